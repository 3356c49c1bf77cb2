"""The cockpit, driven by code: a run that is paused, stopped and gone on with is the same run."""

import contextlib
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
from cockpits import LONG, Gate, at, cockpit, held, pixels, plain_run, until
from tiny_training import Glows, logged, same_weights, tiny_model, tiny_recipe

from vivit_lab.training import StoredRun, fit, read_log
from vivit_lab.training.run import strip_of
from vivit_lab.weights.files import read_safetensors
from vivit_lab.widgets import TrainingCockpit
from vivit_lab.widgets import cockpit as module


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What the recipe LONG comes to without a cockpit: the run, and its folder."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    return plain_run(folder, **LONG), folder


# ---- the same run as without a cockpit


def test_paused_and_stopped_again_and_again_it_ends_with_the_same_weights(tmp_path, plain):
    watched = cockpit(tmp_path / "run", recipe=tiny_recipe(**LONG))
    asked = iter(["pause", "stop", "pause then stop", "stop", "pause", "stop"])

    def interfere(moment):  # in the middle of epochs, and right after one
        if moment.step in (2, 5, 7, 8, 11, 14) and (moment.step != 8 or moment.after_epoch):
            for each in next(asked, "start").split(" then "):
                getattr(watched.training, each)()

    at(watched, interfere)
    ends = 0
    watched.start()
    while watched.state != "finished":
        until(lambda: watched.state in ("paused", "stopped", "finished"))
        time.sleep(0.05)
        if watched.state in ("paused", "stopped"):
            ends += 1
            torch.manual_seed(ends), torch.rand(5)  # what you draw meanwhile is yours
            steps = watched.training.last.step
            watched.start()
            until(lambda steps=steps: watched.training.last.step > steps)
    run = watched.wait()
    assert ends == 6 and not run.stopped and run.steps == 16
    assert same_weights(run.model, plain[0].model)
    assert logged(tmp_path / "run") == logged(plain[1])
    assert watched.shown().points[:, 0].tolist() == list(range(1, 17))
    assert len(watched.shown().epochs) == 4


def test_another_cockpit_goes_on_with_the_run_in_a_folder(tmp_path, plain):
    gate = Gate()
    first = cockpit(tmp_path / "run", recipe=tiny_recipe(**LONG), train=gate.data(batches=5))
    first.lr.value = 0.5
    first.start()
    gate.asked.acquire()
    first.stop()
    gate.open.set()
    assert first.wait(300).stopped
    second = cockpit(tmp_path / "run", recipe=tiny_recipe(**LONG), resume=True)
    assert (second.shown().points == first.shown().points).all()
    assert set(second.training.strips) == {0, 1} and len(first.shown().points) == 6
    seconds = first.training.log().seconds
    second.lr.value = 0.5  # else it is taken over, as the next test says
    run = second.wait(300)
    rates, full = ([entry["lr"] for entry in read_log(each)[0]] for each in (run.folder, plain[1]))
    assert run.steps == 16 and rates[1:] == pytest.approx([rate / 2 for rate in full[1:]])
    assert not same_weights(run.model, plain[0].model)
    assert second.training.log().seconds > seconds > 0


def test_a_saved_factor_is_taken_over_by_the_slider(tmp_path):
    recipe = tiny_recipe(epochs=2)

    def slower(moment):
        moment.control.lr_scale, moment.control.stop = 0.3, moment.step == 2

    fit(tiny_model(), Glows(), recipe=recipe, folder=tmp_path / "run", callback=slower,
        progress=False)  # fmt: skip
    watched = cockpit(tmp_path / "run", recipe=recipe, resume=True)
    watched.wait(300)
    assert watched.lr.value == 0.3 and watched.lr.label == "× 0.3"
    expected = [recipe.learning_rate(step, 4) * (0.3 if step else 1) for step in range(8)]
    assert [entry["lr"] for entry in read_log(tmp_path / "run")[0]] == pytest.approx(expected)


def test_the_slider_changes_the_rate_from_the_next_step_on(tmp_path):
    recipe, factors = tiny_recipe(epochs=3), {3: 0.1, 6: 5, 9: 1}
    watched = cockpit(tmp_path / "run", recipe=recipe)

    def move(moment):
        if not moment.after_epoch and moment.step in factors:
            watched.lr.value = factors[moment.step]

    at(watched, move)
    watched.wait(300)
    factor, expected = 1, []
    for step in range(12):
        expected.append(recipe.learning_rate(step, 4) * factor)
        factor = factors.get(step + 1, factor)
    assert [entry["lr"] for entry in read_log(tmp_path / "run")[0]] == pytest.approx(expected)
    assert watched.shown().points[:, 3] == pytest.approx(expected)
    ratios = np.diff(np.log(module.FACTORS))  # even on a logarithmic scale
    assert module.FACTORS[0] == 0.01 and module.FACTORS[-1] == 10 and 1 in module.FACTORS
    assert ratios.min() > np.log(1.9) and ratios.max() < np.log(2.6)


# ---- pausing


def test_a_pause_holds_training_and_counts_in_no_figure(tmp_path):
    watched = cockpit(tmp_path / "run", recipe=tiny_recipe(epochs=12))
    at(watched, lambda m: m.step == 20 and not m.after_epoch and watched.training.pause())
    begun = time.monotonic()
    watched.start()
    until(lambda: watched.state == "paused" and not watched.start_button.disabled)
    assert watched.pause_button.disabled and not watched.stop_button.disabled
    before = pixels(watched.picture.value)
    time.sleep(1.5)
    assert len(read_log(tmp_path / "run")[0]) == 20
    assert (pixels(watched.picture.value) == before).all()
    assert not watched.wait(300).stopped  # goes on: nobody could press start in a Run All
    assert watched.training.log().seconds < time.monotonic() - begun - 1.5


def test_stop_while_paused_saves_and_ends(tmp_path):
    watched, gate = held(tmp_path / "run")
    watched.pause(), gate.set()
    until(lambda: watched.state == "paused")
    step = watched.training.last.step
    with module._CHANGED, contextlib.suppress(TimeoutError):  # before the training can notice:
        watched.training.stop()
        watched.wait(0.01)  # does not undo it
    assert watched.wait(300).stopped
    assert watched.state == "stopped" and len(read_log(tmp_path / "run")[0]) == step


def told_while_validating(folder, what):
    """A cockpit that is told to stop or to pause within its first validation."""

    class Telling(Glows):
        def __getitem__(self, index):
            if index == 5 and watched.state == "validating" and watched.training.last.epoch == 0:
                getattr(watched, what)()
            return super().__getitem__(index)

    watched = cockpit(folder, validation=Telling(32, seed=1))
    return watched


def test_stop_and_pause_during_validation_come_after_it(tmp_path):
    for what, state in (("stop", "stopped"), ("pause", "paused")):
        watched = told_while_validating(tmp_path / what, what)
        watched.start()
        until(lambda watched=watched, state=state: watched.state == state)
        steps, epochs = read_log(tmp_path / what)
        assert len(steps) == 4 and epochs[0]["validation"]["videos"] == 32
        assert watched.wait(300).stopped == (what == "stop")


# ---- clicking


def test_clicks_that_come_twice_or_too_soon_do_nothing(tmp_path):
    def threads():
        return {each for each in threading.enumerate() if each.name == "training"}

    gate, before = Gate(), threads()
    watched = cockpit(tmp_path / "run", train=gate.data())
    watched.pause_button.click(), watched.stop_button.click()
    assert watched.state == "ready"
    for _ in range(3):
        watched.start_button.click()
    gate.asked.acquire()
    assert threads() - before == {watched.training._thread}
    gate.open.set()
    run = watched.wait(300)
    assert run.steps == 8 and watched.state == "finished"
    for button in (watched.start_button, watched.pause_button, watched.stop_button):
        button.click()
        assert watched.state == "finished" and button.disabled
    assert watched.wait(1) is run


def test_start_right_after_stop_goes_on(tmp_path):
    plain = plain_run(tmp_path / "plain")
    for moment in ("before", "while saving"):
        watched, gate = held(tmp_path / moment, batches=2)  # within an epoch
        if moment == "while saving":
            save = watched.training._save_strips
            watched.training._save_strips = lambda save=save, w=watched: (w.start(), save())
        watched.stop()
        if moment == "before":
            watched.start()
        gate.set()
        run = watched.wait(300)
        assert not run.stopped and same_weights(run.model, plain.model)


def test_wait_returns_a_stopped_run_and_does_not_begin_it_again(tmp_path):
    watched, gate = held(tmp_path / "run")
    with pytest.raises(TimeoutError, match=r"not ended after 0.1 s \(step 3\): it goes on"):
        watched.wait(0.1)
    watched.stop_button.click(), gate.set()
    run = watched.wait(300)
    assert run.stopped and watched.wait(1) is run and run.steps == 4


def test_an_interrupt_of_the_kernel_stops_saves_and_goes_on_its_way(tmp_path):
    watched, gate = held(tmp_path / "run")
    main = threading.main_thread().ident

    def waits() -> bool:
        frames = traceback.walk_stack(sys._current_frames()[main])
        return module.LiveTraining._ended.__code__ in [frame.f_code for frame, _ in frames]

    def interrupt():
        until(waits)
        signal.pthread_kill(main, signal.SIGINT)
        until(lambda: watched.training.wanted == "stop")
        gate.set()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        watched.wait(300)
    assert watched.state == "stopped" and len(read_log(tmp_path / "run")[0]) == 4


# ---- several cockpits: one trains at a time


def test_another_one_saves_and_pauses_the_first_which_goes_on_as_if_nothing_were(tmp_path, plain):
    torch.manual_seed(7)
    yours = torch.get_rng_state()
    gate = Gate()
    first = cockpit(tmp_path / "a", recipe=tiny_recipe(**LONG), train=gate.data(batches=5))
    second = cockpit(tmp_path / "b", recipe=tiny_recipe(**LONG))
    torch.set_rng_state(yours)
    first.start()
    gate.asked.acquire()
    second.start()
    until(lambda: first.training.wanted == "yield")
    first.pause()  # it is about to: nothing changes
    gate.open.set()
    runs = [second.wait(300)]
    assert first.state == "paused" and first.training.yielded and not first.training.is_under_way
    assert len(read_log(tmp_path / "a")[0]) == 6
    assert "Another cockpit began to train, so this run was saved and paused" in first.message.value
    assert first.start_button.description == "Go on" and not first.start_button.disabled
    assert first.pause_button.disabled and first.stop_button.disabled
    runs.append(first.wait(300))
    assert first.message.value == ""
    assert all(same_weights(run.model, plain[0].model) for run in runs)
    assert logged(tmp_path / "a") == logged(tmp_path / "b") == logged(plain[1])
    assert torch.equal(torch.get_rng_state(), yours)


def test_two_started_at_once_and_waited_for_in_turn_both_end(tmp_path, plain):
    pair = [cockpit(tmp_path / name, recipe=tiny_recipe(**LONG)) for name in "ab"]
    for each in pair * 3:
        each.start()
    runs = [each.wait(300) for each in pair]
    assert all(same_weights(run.model, plain[0].model) for run in runs)
    assert [each.state for each in pair] == ["finished"] * 2


def test_a_paused_one_is_saved_for_the_other(tmp_path):
    first, gate = held(tmp_path / "a")
    first.pause_button.click(), gate.set()
    until(lambda: first.state == "paused")
    second = cockpit(tmp_path / "b")
    assert not second.wait(300).stopped
    until(lambda: not first.training.is_under_way)
    assert first.state == "paused" and not first.wait(300).stopped


def test_the_cell_run_again_with_the_same_model_and_folder_goes_on(tmp_path):
    model = tiny_model()
    old, gate = held(tmp_path / "run", model=model)
    new = cockpit(tmp_path / "run", model=model, resume=True)
    new.start()
    until(lambda: old.training.wanted == "yield")
    gate.set()
    run = new.wait(300)
    assert old.state == "paused" and not run.stopped
    assert same_weights(run.model, plain_run(tmp_path / "plain").model)


def test_a_process_that_ends_saves_first(tmp_path):
    program = f"""
import sys, time
sys.path[:0] = {[str(Path(__file__).parent)]!r}
from cockpits import cockpit, tiny_recipe
from vivit_lab.widgets import cockpit as module
module.PATIENCE = 300  # a disk may be slow
watched = cockpit({str(tmp_path / "run")!r}, recipe=tiny_recipe(epochs=10_000))
watched.start()
while watched.training.last is None or watched.training.last.step < 6:
    time.sleep(0.01)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=600)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    _, texts = read_safetensors(tmp_path / "run" / "state.safetensors")
    saved = json.loads(texts["vivit_lab_training"])["step"]
    assert saved >= 6 and len(read_log(tmp_path / "run")[0]) == saved


def test_stop_all_stops_what_no_variable_holds_any_more(tmp_path):
    gate = held(tmp_path / "run")[1]
    (training,) = [each for each in module._ALL if each.is_under_way]
    told = threading.Thread(target=lambda: (until(lambda: training.wanted == "stop"), gate.set()))
    told.start()
    TrainingCockpit.stop_all()
    assert len(read_log(tmp_path / "run")[0]) == 4


# ---- what a folder keeps


def test_a_stored_run_has_strips_of_every_epoch_and_times(tmp_path):
    watched = cockpit(tmp_path / "run", validation=Glows(32, seed=1))
    watched.wait(300)
    run, log = StoredRun.of(tmp_path / "run"), watched.training.log()
    assert run.strips.shape == (3, 2, 104, 104, 3)
    for epoch, jpeg in watched.training.strips.items():
        assert (strip_of(jpeg, 2) == run.strips[epoch]).all()
    assert run.title == watched.shown().title and run.epochs == log.epochs
    assert run.seconds == log.seconds > 0
    assert run.clips_per_second == 16 / log.seconds_a_step
