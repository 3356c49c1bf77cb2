"""A run that was cut off and goes on ends with the weights of the run that was not, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_training import Glows, logged, same_weights, tiny_model, tiny_recipe

from vivit_lab.training import TrainingError, fit, read_log
from vivit_lab.weights import load_checkpoint
from vivit_lab.weights.files import read_safetensors

# all that draws or remembers: mixup, stochastic depth, dropout, averaged weights, microbatches
RESTLESS = {"mixup": 0.4, "drop_path": 0.2, "ema": 0.9, "accumulate": 2, "label_smoothing": 0.1}


def restless_model(**changes):
    return tiny_model(drop_path=0.2, dropout=0.1, **changes)


def train(folder, recipe, *, resume=False, callback=None, model=None, **options):
    model = restless_model(seed=3 if resume else 0) if model is None else model  # other weights
    options = {"save_every": 3, "device": "cpu", "progress": False} | options
    return fit(
        model, Glows(), recipe=recipe, folder=folder, callback=callback, resume=resume, **options
    )


class Cut(Exception):
    pass


def cut_at(step):
    def callback(moment):
        if moment.step == step and not moment.after_epoch:
            raise Cut

    return callback


@pytest.mark.parametrize(
    "optimiser", [{"optimiser": "adamw"}, {"optimiser": "sgd", "lr": 0.05, "momentum": 0.9}]
)
@pytest.mark.parametrize("step", [1, 5, 8])  # nothing was saved after it; in mid epoch; at its end
def test_going_on_gives_the_same_weights_to_the_last_bit(tmp_path, optimiser, step):
    recipe = tiny_recipe(epochs=3, **RESTLESS, **optimiser)
    whole = train(tmp_path / "whole", recipe)
    with pytest.raises(Cut):
        train(tmp_path / "cut", recipe, callback=cut_at(step))
    again = train(tmp_path / "cut", recipe, resume=True)  # with a model of other weights
    assert same_weights(whole.model, again.model)
    states = [
        read_safetensors(tmp_path / name / "state.safetensors")[0] for name in ("whole", "cut")
    ]
    assert states[0].keys() == states[1].keys()
    assert all(states[0][name].equal(states[1][name]) for name in states[0])
    assert again.history == whole.history
    assert logged(tmp_path / "cut") == logged(tmp_path / "whole")


SCRIPT = """
import sys, torch
sys.path.insert(0, {tests!r})
from test_resume import RESTLESS, restless_model, train
from tiny_training import tiny_recipe
import time
def slow(moment):
    print(moment.step, flush=True)
    time.sleep(0.05)
train({folder!r}, tiny_recipe(epochs=3, **RESTLESS), callback=slow, save_every=1,
      model=restless_model(), workers=1)
"""


def test_kill_9_in_mid_epoch(tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(tmp_path / "killed"))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if int(line) == 6:
            break
    time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    steps, _ = read_log(tmp_path / "killed")
    assert 6 <= len(steps) < 12
    recipe = tiny_recipe(epochs=3, **RESTLESS)
    whole, again = (
        train(tmp_path / "whole", recipe),
        train(tmp_path / "killed", recipe, resume=True),
    )
    assert same_weights(whole.model, again.model)
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")


def test_what_a_callback_draws_and_how_many_workers_read_change_nothing(tmp_path):
    import torch

    recipe = tiny_recipe(**RESTLESS)
    plain = train(tmp_path / "plain", recipe)
    busy = train(
        tmp_path / "busy",
        recipe,
        callback=lambda moment: torch.rand(7),
        workers=2,
        model=restless_model(),
    )
    assert same_weights(plain.model, busy.model)


def test_your_random_numbers_stay_as_they_were(tmp_path):
    import torch

    model = restless_model()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(tmp_path / "run", tiny_recipe(**RESTLESS), model=model)
    assert torch.equal(torch.get_rng_state(), before)


def test_stop_by_callback_saves_and_resume_goes_on(tmp_path):
    def stop_at_3(moment):
        moment.control.stop = moment.step == 3

    recipe = tiny_recipe(**RESTLESS)
    whole = train(tmp_path / "whole", recipe)
    first = train(tmp_path / "stopped", recipe, callback=stop_at_3, save_every=100)
    assert first.stopped and first.steps == 3 and not first.model.training
    again = train(tmp_path / "stopped", recipe, resume=True)
    assert not again.stopped and same_weights(again.model, whole.model)


def test_a_changed_learning_rate_is_kept(tmp_path):
    def callback(moment):
        if moment.step == 2:
            moment.control.lr_scale = 0.25
        if moment.step == 3 and cut:
            moment.control.stop = True

    recipe, cut = tiny_recipe(**RESTLESS), False
    whole = train(tmp_path / "whole", recipe, callback=callback)
    rates = [entry["lr"] for entry in read_log(tmp_path / "whole")[0]]
    steps_per_epoch = 4
    expected = [
        recipe.learning_rate(step, steps_per_epoch) * (1 if step < 2 else 0.25) for step in range(8)
    ]
    assert rates == pytest.approx(expected)
    cut = True
    train(tmp_path / "cut", recipe, callback=callback)
    again = train(tmp_path / "cut", recipe, resume=True)
    assert same_weights(whole.model, again.model)


def test_a_finished_run_is_left_as_it_is(tmp_path):
    recipe = tiny_recipe(**RESTLESS)
    whole = train(tmp_path / "run", recipe)
    again = train(tmp_path / "run", recipe, resume=True)
    assert again.steps == whole.steps == 8 and same_weights(whole.model, again.model)


def test_what_may_not_change(tmp_path):
    recipe = tiny_recipe(**RESTLESS)
    train(tmp_path / "run", recipe)
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    with pytest.raises(FileExistsError, match="resume=True"):
        train(tmp_path / "run", recipe)
    with pytest.raises(TrainingError, match=r"(?s)another recipe.*lr  .*0\.002 .*0\.5"):
        train(tmp_path / "run", recipe.change(lr=0.5), resume=True)
    with pytest.raises(TrainingError, match="another model, with dim 16, not 32"):
        train(tmp_path / "run", recipe, resume=True, model=restless_model(dim=32))
    with pytest.raises(ValueError, match="samples = 64, but here samples is 48"):
        fit(restless_model(), Glows(48), recipe=recipe, folder=tmp_path / "run", resume=True,
            device="cpu", progress=False)  # fmt: skip
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


@pytest.mark.parametrize("resume", [False, True])
def test_other_files_in_the_folder_are_not_overwritten(tmp_path, resume):
    (tmp_path / "README.md").write_text("years of work")
    with pytest.raises(FileExistsError, match="other files, and no run"):
        train(tmp_path, tiny_recipe(), resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "years of work"


def test_means_may_change_when_a_run_goes_on(tmp_path):
    def stop_at_5(moment):
        moment.control.stop = moment.step == 5

    recipe = tiny_recipe(optimiser="sgd", lr=0.05)
    whole = train(tmp_path / "whole", recipe, model=tiny_model())
    train(tmp_path / "run", recipe, callback=stop_at_5, model=tiny_model())
    other = recipe.change(accumulate=4, checkpointing=True, name="small GPU", notes=("in parts",))
    again = train(tmp_path / "run", other, resume=True, model=tiny_model(seed=3))
    for one, two in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert (one - two).abs().max() < 1e-5
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["recipe"]["accumulate"] == 1
    assert [entry["recipe"]["accumulate"] for entry in about["resumed"]] == [4]
    assert type(recipe).load(tmp_path / "run" / "recipe.json") == other  # and so it goes on again


def test_what_a_killed_process_was_writing_is_cleared_away(tmp_path):
    recipe = tiny_recipe(**RESTLESS)
    train(tmp_path / "run", recipe)
    (tmp_path / "run" / ".state.safetensors.0a1b2c3d.part").write_bytes(b"half")
    train(tmp_path / "run", recipe, resume=True)
    assert not list((tmp_path / "run").glob(".*"))
    (tmp_path / "new").mkdir()  # killed while the very first file was written
    (tmp_path / "new" / ".run.json.0a1b2c3d.part").write_bytes(b"{")
    train(tmp_path / "new", recipe, resume=True, model=restless_model())
    assert not list((tmp_path / "new").glob(".*"))


def test_a_damaged_line_of_the_log_does_not_keep_a_run_from_going_on(tmp_path):
    def stop_at_5(moment):
        moment.control.stop = moment.step == 5

    recipe = tiny_recipe(**RESTLESS)
    whole = train(tmp_path / "whole", recipe)
    train(tmp_path / "run", recipe, callback=stop_at_5)
    with open(tmp_path / "run" / "log.jsonl", "ab") as file:
        file.write(b"\0" * 40 + b"\n[1, 2]\n")
    with pytest.warns(UserWarning, match=r"log.jsonl, line \d+ cannot be read"):
        again = train(tmp_path / "run", recipe, resume=True)
    assert same_weights(whole.model, again.model)
    assert logged(tmp_path / "run") == logged(tmp_path / "whole")


def test_the_folder_says_how_to_repeat_the_run(tmp_path):
    recipe = tiny_recipe(**RESTLESS)
    train(tmp_path / "run", recipe, keep=1)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "README.md", "run.json", "recipe.json", "log.jsonl", "state.safetensors",
        "epoch-0002.safetensors",
    }  # fmt: skip
    about = json.loads((tmp_path / "run" / "run.json").read_text())
    assert about["command"][1:] == sys.argv and about["versions"]["torch"]
    assert about["training set"]["samples"] == 64
    assert recipe == type(recipe).load(tmp_path / "run" / "recipe.json")
    model, report = load_checkpoint(tmp_path / "run" / "epoch-0002.safetensors")
    assert report.class_names == Glows.classes
    train(tmp_path / "run", recipe, resume=True)
    assert len(json.loads((tmp_path / "run" / "run.json").read_text())["resumed"]) == 1
