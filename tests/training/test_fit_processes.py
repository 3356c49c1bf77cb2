"""Two processes (gloo) train as one does with the same total batch.

Started by notebook_launcher, which tells each its rank in the same environment variables as
torchrun does. Gradients are summed in another order, which rounds differently. Tolerance: 1e-5
on each loss and each weight, after 12 steps of SGD.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import Glows, assert_near, tiny_model, tiny_recipe

from vivit_lab.data.dataset import BadVideo, Fetched
from vivit_lab.training import fit, read_log
from vivit_lab.weights import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::vivit_lab.data.dataset.BadVideoWarning")
RECIPE = {
    "optimiser": "sgd", "lr": 0.05, "momentum": 0.9, "epochs": 3, "accumulate": 2, "ema": 0.5,
    "label_smoothing": 0.1,
}  # fmt: skip
SAMPLES = 71  # which two processes cannot share equally, nor batches of 16
SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from test_fit_processes import in_each_process
from accelerate import notebook_launcher

notebook_launcher(in_each_process, ({folder!r},), num_processes=2, use_port="{port}")
"""


class SomeBad(Glows):
    """Samples 3 and 40, which different processes meet, are said to be in place of bad ones."""

    def fetch(self, number):
        bad = (BadVideo(0, number, f"sample {number}.", number),) * (number in (3, 40))
        return Fetched(*self[number], number, bad)


def train(folder, seed=0, **options):
    recipe, data = tiny_recipe(**RECIPE), SomeBad(SAMPLES)
    return fit(
        tiny_model(seed), data, Glows(33, seed=1), recipe=recipe, folder=folder, device="cpu",
        progress=False, **options,
    )  # fmt: skip


def halve(moment):
    if moment.step == 6:
        moment.control.lr_scale = 0.5


def stop(moment):
    moment.control.stop = moment.step == 6


def in_each_process(folder):
    from accelerate import PartialState

    rank = PartialState(cpu=True).process_index
    train(f"{folder}/two", seed=rank, callback=halve)  # each starts with other weights
    run = train(f"{folder}/stopped", seed=0, callback=stop)
    told = json.dumps([rank, run.steps, run.stopped, run.history])
    Path(folder, f"told-{rank}.json").write_text(told)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of two processes, side by side with one of one process."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder), port=port)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    train(folder / "one", callback=halve)
    return folder


def test_two_processes_train_as_one(folder):
    one, two = (read_log(folder / name) for name in ("one", "two"))
    assert len(two[0]) == 12  # written by the first process alone
    for name in ("loss", "accuracy", "grad_norm", "lr"):
        first, second = ([entry[name] for entry in log[0]] for log in (one, two))
        assert first == pytest.approx(second, abs=1e-5), name
    figures = [log[1][-1]["validation"] for log in (one, two)]
    assert figures[0] == pytest.approx(figures[1], abs=1e-5)
    named = [[sorted(entry.get("unreadable", ())) for entry in log[1]] for log in (one, two)]
    assert named[0] == named[1] and sorted(sum(named[0], [])) == ["sample 3.", "sample 40."]
    files = (folder / name / "epoch-0003.safetensors" for name in ("one", "two"))
    assert_near(*(load_checkpoint(file)[0] for file in files))
    assert json.loads((folder / "two" / "run.json").read_text())["processes"] == 2


def test_all_stop_together_and_one_goes_on(folder):
    told = [json.loads((folder / f"told-{rank}.json").read_text()) for rank in (0, 1)]
    assert [entry[:3] for entry in told] == [[0, 6, True], [1, 6, True]]
    assert told[0][3] == told[1][3] and told[0][3]
    again = train(folder / "stopped", seed=5, resume=True)
    whole = train(folder / "whole")
    assert again.steps == whole.steps == 12
    assert_near(again.model, whole.model)
