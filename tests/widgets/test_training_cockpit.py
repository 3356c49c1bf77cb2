"""The cockpit, driven by code: a run that is paused, stopped and gone on with is the same run."""

import io
import json
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vivit_lab.training import StoredRun, fit, read_log
from vivit_lab.weights.files import read_safetensors
from vivit_lab.widgets import TrainingCockpit, live_training
from vivit_lab.widgets.live_training import LiveTraining
from vivit_lab.widgets.training_cockpit import FACTORS

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from tiny_training import Glows, same_weights, tiny_model, tiny_recipe

LONG = {"epochs": 4, "drop_path": 0.1, "mixup": 0.2}  # draws random numbers in every step


def cockpit(folder, *, model=None, recipe=None, train=None, validation=None, **options):
    recipe = tiny_recipe() if recipe is None else recipe
    model = tiny_model(drop_path=recipe.drop_path) if model is None else model
    train = Glows() if train is None else train
    return TrainingCockpit(model, train, validation, recipe=recipe, folder=folder, **options)


def pixels(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value))).astype(int)


def waits(thread: int) -> bool:
    """Whether a thread waits for a training to end."""
    frames = traceback.walk_stack(sys._current_frames()[thread])
    return LiveTraining._ended.__code__ in [frame.f_code for frame, _ in frames]


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.005)


class Gate:
    """Lets a data set give clips only as often as a test says: training stands where it should."""

    def __init__(self):
        self.open, self.asked = threading.Event(), threading.Semaphore(0)

    def data(self, clips=64, seed=0, batches=3):
        gate = self

        class Gated(Glows):
            count = 0

            def __getitem__(self, index):
                self.count += 1
                if self.count > 16 * batches + 2:  # the first is looked at twice before it begins
                    gate.asked.release()
                    assert gate.open.wait(120)
                return super().__getitem__(index)

        return Gated(clips, seed)


def log(folder):
    return read_log(folder)[0]


def plain_run(folder, **changes):
    recipe = tiny_recipe(**changes)
    model = tiny_model(drop_path=recipe.drop_path)
    return fit(model, Glows(), recipe=recipe, folder=folder, progress=False)


# ---- the same run as without a cockpit


def test_it_trains_as_fit_does(tmp_path):
    plain = plain_run(tmp_path / "plain", **LONG)
    run = cockpit(tmp_path / "run", recipe=tiny_recipe(**LONG)).wait(120)
    assert same_weights(run.model, plain.model)
    assert log(tmp_path / "run") == log(tmp_path / "plain")
    assert not run.stopped and run.steps == 16


def test_paused_and_stopped_again_and_again_it_ends_with_the_same_weights(tmp_path):
    plain = plain_run(tmp_path / "plain", **LONG)
    watched = cockpit(tmp_path / "run", recipe=tiny_recipe(**LONG))
    asked = iter(["pause", "stop", "pause then stop", "stop", "pause", "stop"])
    heard = watched.training.record.heard

    def interfering(moment):  # in the middle of epochs, and right after one
        heard(moment)
        if moment.step in (2, 5, 7, 8, 11, 14) and (moment.step != 8 or moment.after_epoch):
            what = next(asked, "")
            for each in what.split(" then "):
                getattr(watched.training, each or "start")()

    watched.training.record.heard = interfering
    ends = 0
    watched.start()
    while watched.state != "finished":
        until(lambda: watched.state in ("paused", "stopped", "finished"))
        time.sleep(0.05)
        if watched.state in ("paused", "stopped"):
            ends += 1
            torch.manual_seed(ends), torch.rand(5)  # what you draw meanwhile is yours
            steps = len(watched.training.record.steps)
            watched.start()
            until(lambda steps=steps: len(watched.training.record.steps) > steps)
    run = watched.wait()
    assert ends == 6
    assert same_weights(run.model, plain.model)
    assert log(tmp_path / "run") == log(tmp_path / "plain")
    assert watched.training.record.steps[:, 0].tolist() == list(range(1, 17))
    assert len(watched.training.record.epochs) == 4


def test_another_cockpit_goes_on_with_the_run_in_a_folder(tmp_path):
    plain = plain_run(tmp_path / "plain", **LONG)
    gate = Gate()
    first = cockpit(tmp_path / "run", recipe=tiny_recipe(**LONG), train=gate.data(batches=5))
    first.lr.value = 0.5
    first.start()
    gate.asked.acquire()
    first.stop()
    gate.open.set()
    assert first.wait(120).stopped
    second = cockpit(tmp_path / "run", recipe=tiny_recipe(**LONG), resume=True)
    steps = len(first.training.record.steps)
    assert second.training.record.steps.tolist() == first.training.record.steps.tolist()
    assert set(second.training.strips) == {0, 1}
    second.lr.value = 0.5  # else it is taken over, as the next test says
    run = second.wait(120)
    assert run.steps == 16 and steps == 6
    lrs = [entry["lr"] for entry in log(tmp_path / "run")]
    full = [entry["lr"] for entry in log(tmp_path / "plain")]
    assert lrs[1:] == pytest.approx([rate / 2 for rate in full[1:]])
    assert not same_weights(run.model, plain.model)
    assert second.training.record.seconds > first.training.record.seconds > 0


def test_a_saved_factor_is_taken_over_by_the_slider(tmp_path):
    recipe = tiny_recipe(epochs=2)

    def slower(moment):
        moment.control.lr_scale, moment.control.stop = 0.3, moment.step == 2

    fit(tiny_model(), Glows(), recipe=recipe, folder=tmp_path / "run", callback=slower,
        progress=False)  # fmt: skip
    watched = cockpit(tmp_path / "run", recipe=recipe, resume=True)
    watched.wait(120)
    assert watched.lr.value == 0.3 and watched.lr.label == "× 0.3"
    lrs = [entry["lr"] for entry in log(tmp_path / "run")]
    expected = [recipe.learning_rate(step, 4) * (0.3 if step else 1) for step in range(8)]
    assert lrs == pytest.approx(expected)


# ---- the learning rate


def test_the_slider_changes_the_rate_from_the_next_step_on(tmp_path):
    recipe = tiny_recipe(epochs=3)
    watched = cockpit(tmp_path / "run", recipe=recipe)
    heard = watched.training.record.heard
    factors = {3: 0.1, 6: 5, 9: 1}

    def moving(moment):
        heard(moment)
        if not moment.after_epoch and moment.step in factors:
            watched.lr.value = factors[moment.step]

    watched.training.record.heard = moving
    watched.wait(120)
    factor, expected = 1, []
    for step in range(12):
        expected.append(recipe.learning_rate(step, 4) * factor)
        factor = factors.get(step + 1, factor)
    assert [entry["lr"] for entry in log(tmp_path / "run")] == pytest.approx(expected)
    assert watched.training.record.steps[:, 3] == pytest.approx(expected)


def test_factors_are_even_on_a_logarithmic_scale():
    ratios = np.diff(np.log(FACTORS))
    assert FACTORS[0] == 0.01 and FACTORS[-1] == 10 and 1 in FACTORS
    assert ratios.min() > np.log(1.9) and ratios.max() < np.log(2.6)


# ---- pausing


def test_a_pause_holds_training_and_counts_in_no_figure(tmp_path):
    watched = cockpit(tmp_path / "run", recipe=tiny_recipe(epochs=12))
    heard = watched.training.record.heard
    watched.training.record.heard = lambda moment: (
        heard(moment),
        watched.training.pause() if moment.step == 20 and not moment.after_epoch else None,
    )
    begun = time.monotonic()
    watched.start()
    until(lambda: watched.state == "paused" and not watched.start_button.disabled)
    assert watched.pause_button.disabled and not watched.stop_button.disabled
    before = pixels(watched)
    time.sleep(1.5)
    assert len(watched.training.record.steps) == 20
    assert (pixels(watched) == before).all()
    run = watched.wait(120)  # goes on by itself: nobody could press start in a Run All
    assert not run.stopped
    record = watched.training.record
    assert record.seconds < time.monotonic() - begun - 1.5
    assert record.clips_per_second > 16 * 48 / (time.monotonic() - begun - 1.5)


def test_stop_while_paused_saves_and_ends(tmp_path):
    gate = Gate()
    watched = cockpit(tmp_path / "run", train=gate.data())
    watched.start()
    gate.asked.acquire()
    watched.pause()
    gate.open.set()
    until(lambda: watched.state == "paused")
    step = len(watched.training.record.steps)
    watched.stop()
    assert watched.wait(120).stopped
    assert watched.state == "stopped" and len(log(tmp_path / "run")) == step
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_stop_and_pause_during_validation_come_after_it(tmp_path):
    class Slow(Glows):
        reached = None

        def __getitem__(self, index):
            if index == 5 and self.reached:
                self.reached()
            return super().__getitem__(index)

    for what, state in (("stop", "stopped"), ("pause", "paused")):
        validation = Slow(32, seed=1)
        folder = tmp_path / what
        watched = cockpit(folder, validation=validation)
        phases = []

        def reached(watched=watched, phases=phases, what=what):
            if not phases:
                phases.append(watched.state)
                getattr(watched, what)()

        validation.reached = reached
        watched.start()
        until(lambda watched=watched, state=state: watched.state == state)
        assert phases == ["validating"]
        steps, epochs = read_log(folder)
        assert len(steps) == 4 and epochs[0]["validation"]["videos"] == 32
        assert not watched.wait(120).stopped if what == "pause" else watched.wait(120).stopped


# ---- clicking


def training_threads() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name == "training"}


def test_clicks_that_come_twice_or_too_soon_do_nothing(tmp_path):
    gate, before = Gate(), training_threads()
    watched = cockpit(tmp_path / "run", train=gate.data())
    watched.pause_button.click(), watched.stop_button.click()
    assert watched.state == "ready"
    for _ in range(3):
        watched.start_button.click()
    gate.asked.acquire()
    mine = [each for each in threading.enumerate() if each is watched.training._thread]
    assert len(mine) == 1 and training_threads() - before == set(mine)
    gate.open.set()
    run = watched.wait(120)
    assert run.steps == 8 and watched.state == "finished"
    for button in (watched.start_button, watched.pause_button, watched.stop_button):
        button.click()
        assert watched.state == "finished" and button.disabled
    assert watched.wait(1) is run


def test_start_right_after_stop_goes_on(tmp_path):
    plain = plain_run(tmp_path / "plain")
    for moment in ("before", "while saving"):
        gate = Gate()
        folder = tmp_path / moment
        watched = cockpit(folder, train=gate.data(batches=2))  # it stops within an epoch
        if moment == "while saving":
            save = watched.training._save
            watched.training._save = lambda epoch, save=save, w=watched: (w.start(), save(epoch))
        watched.start()
        gate.asked.acquire()
        watched.stop()
        if moment == "before":
            watched.start()
        gate.open.set()
        run = watched.wait(120)
        assert not run.stopped and same_weights(run.model, plain.model)


def test_wait_returns_a_stopped_run_and_does_not_begin_it_again(tmp_path):
    gate = Gate()
    watched = cockpit(tmp_path / "run", train=gate.data())
    watched.start()
    gate.asked.acquire()
    with pytest.raises(TimeoutError, match=r"not ended after 0.1 s \(step 3\): it goes on"):
        watched.wait(0.1)
    watched.stop(), gate.open.set()
    run = watched.wait(120)
    assert run.stopped and watched.wait(1) is run and run.steps == 4


def test_an_interrupt_of_the_kernel_stops_saves_and_goes_on_its_way(tmp_path):
    gate = Gate()
    watched = cockpit(tmp_path / "run", train=gate.data())
    watched.start()
    gate.asked.acquire()
    main = threading.main_thread().ident

    def interrupt():
        until(lambda: waits(main))
        signal.pthread_kill(main, signal.SIGINT)
        until(lambda: watched.training.wanted == "stop")
        gate.open.set()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        watched.wait(120)
    assert watched.state == "stopped"
    assert (tmp_path / "run" / "state.safetensors").exists()


# ---- several cockpits


def test_two_at_once_take_turns_and_learn_what_they_learn_alone(tmp_path):
    torch.manual_seed(7)
    yours = torch.get_rng_state()
    plain = plain_run(tmp_path / "plain", **LONG)
    pair = [cockpit(tmp_path / name, recipe=tiny_recipe(**LONG)) for name in "ab"]
    torch.set_rng_state(yours)
    for each in pair:
        each.start()
    runs = [each.wait(120) for each in pair]
    assert all(same_weights(run.model, plain.model) for run in runs)
    assert torch.equal(torch.get_rng_state(), yours)


def test_a_paused_one_does_not_hold_the_other(tmp_path):
    gate = Gate()
    first = cockpit(tmp_path / "a", train=gate.data())
    first.start()
    gate.asked.acquire(), first.pause(), gate.open.set()
    until(lambda: first.state == "paused")
    second = cockpit(tmp_path / "b")
    assert not second.wait(120).stopped and first.state == "paused"
    assert not first.wait(120).stopped


def test_the_cell_run_again_stops_the_forgotten_training(tmp_path):
    gate = Gate()
    model = tiny_model()
    old = cockpit(tmp_path / "run", model=model, train=gate.data())
    old.start()
    gate.asked.acquire()
    new = cockpit(tmp_path / "run", model=model, resume=True)
    new.start()
    until(lambda: old.training.wanted == "stop")
    gate.open.set()
    run = new.wait(120)
    assert old.state == "stopped" and not run.stopped
    assert same_weights(run.model, plain_run(tmp_path / "plain").model)


def test_two_for_one_model_started_at_once_end_one_after_the_other(tmp_path):
    model = tiny_model()
    pair = [cockpit(tmp_path / "run", model=model, resume=True) for _ in range(2)]
    for each in pair:
        each.start()
    runs = [each.wait(120) for each in pair]
    assert not runs[1].stopped
    assert same_weights(model, plain_run(tmp_path / "plain").model)


def test_a_process_that_ends_saves_first(tmp_path):
    program = f"""
import sys, time
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1] / "training")]!r}
from test_training_cockpit import cockpit, live_training, tiny_recipe
live_training.PATIENCE = 300  # a disk may be slow
watched = cockpit({str(tmp_path / "run")!r}, recipe=tiny_recipe(epochs=10_000))
watched.start()
while len(watched.training.record.steps) < 6:
    time.sleep(0.01)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=600)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    tensors, texts = read_safetensors(tmp_path / "run" / "state.safetensors")
    saved = json.loads(texts["vivit_lab_training"])["step"]
    assert saved >= 6 and len(log(tmp_path / "run")) == saved


def test_stop_all_stops_what_no_variable_holds_any_more(tmp_path):
    gate = Gate()
    cockpit(tmp_path / "run", train=gate.data()).start()
    gate.asked.acquire()
    (training,) = [each for each in live_training._ALL if each.is_under_way]

    def open_when_told():
        until(lambda: training.wanted == "stop")
        gate.open.set()

    threading.Thread(target=open_when_told).start()
    TrainingCockpit.stop_all()
    assert len(log(tmp_path / "run")) == 4
    assert (tmp_path / "run" / "state.safetensors").exists()


# ---- what a folder keeps


def test_a_stored_run_has_strips_of_every_epoch_and_times(tmp_path):
    watched = cockpit(tmp_path / "run", validation=Glows(32, seed=1))
    watched.wait(120)
    run = StoredRun.of(tmp_path / "run")
    assert run.strips.shape == (3, 2, 104, 104, 3)
    for epoch, strip in watched.training.strips.items():
        assert np.abs(strip.astype(int) - run.strips[epoch]).mean() < 6
    assert run.title == watched.shown().title
    assert run.epochs == [json.loads(json.dumps(entry)) for entry in watched.training.record.epochs]
    assert run.seconds == watched.training.record.seconds > 0
    assert run.clips_per_second == watched.training.record.clips_per_second > 0
