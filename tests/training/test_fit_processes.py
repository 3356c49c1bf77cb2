"""Two processes (gloo) train as one does with the same total batch.

Started by torchrun, and by notebook_launcher. `accelerate launch` starts processes on GPUs as
torchrun does; on a CPU it starts one, unless there is MPI. Gradients are summed in another order,
which rounds differently. Tolerance: 1e-5 on each loss and each weight, after 12 steps of SGD.
"""

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_training import Glows, tiny_model, tiny_recipe

from vivit_lab.training import fit, read_log
from vivit_lab.weights import load_checkpoint

RECIPE = {
    "optimiser": "sgd", "lr": 0.05, "momentum": 0.9, "epochs": 3, "accumulate": 2, "ema": 0.5,
    "label_smoothing": 0.1,
}  # fmt: skip
SAMPLES = 71  # which two processes cannot share equally, nor batches of 16
SCRIPT = """
import json, sys
sys.path.insert(0, {tests!r})
from test_fit_processes import RECIPE, SAMPLES, train
from accelerate import PartialState

rank = PartialState(cpu=True).process_index
def callback(moment):
    if moment.step == 6:
        moment.control.lr_scale = 0.5

train({folder!r} + "/two", seed=rank, callback=callback)   # each starts with other weights

def stop(moment):
    moment.control.stop = moment.step == 6
run = train({folder!r} + "/stopped", seed=0, callback=stop)
print(json.dumps([rank, run.steps, run.stopped, run.history]))
"""

NOTEBOOK = """
import sys
sys.path.insert(0, {tests!r})
from test_fit_processes import halve, train
from accelerate import notebook_launcher

notebook_launcher(
    lambda: train({folder!r} + "/launched", callback=halve), num_processes=2, use_port="{port}"
)
"""


def train(folder, seed=0, **options):
    recipe, data = tiny_recipe(**RECIPE), Glows(SAMPLES)
    return fit(
        tiny_model(seed), data, Glows(33, seed=1), recipe=recipe, folder=folder, device="cpu",
        progress=False, **options,
    )  # fmt: skip


def halve(moment):
    if moment.step == 6:
        moment.control.lr_scale = 0.5


def run_script(folder, text, *launch):
    """What it prints; it stands in the folder, and may use its name and a free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = folder / "train.py"
    tests = str(Path(__file__).parent)
    script.write_text(text.format(tests=tests, folder=str(folder), port=port))
    command = [sys.executable, *launch, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of two processes, side by side with one of one process."""
    folder = tmp_path_factory.mktemp("processes")
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    (folder / "printed").write_text(run_script(folder, SCRIPT, *launch))
    run_script(folder, NOTEBOOK)
    train(folder / "one", callback=halve)
    return folder


@pytest.mark.parametrize("started", ["two", "launched"])
def test_two_processes_train_as_one(folder, started):
    one, two = (read_log(folder / name) for name in ("one", started))
    assert len(two[0]) == 12  # written by the first process alone
    for name in ("loss", "accuracy", "grad_norm", "lr"):
        first, second = ([entry[name] for entry in log[0]] for log in (one, two))
        assert first == pytest.approx(second, abs=1e-5), name
    assert one[1][-1]["validation"] == two[1][-1]["validation"]
    models = [load_checkpoint(folder / n / "epoch-0003.safetensors")[0] for n in ("one", started)]
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-5)
    assert json.loads((folder / started / "run.json").read_text())["processes"] == 2


def test_all_processes_stop_together(folder):
    lines = (folder / "printed").read_text().splitlines()
    told = sorted(json.loads(line) for line in lines if line.startswith("["))
    assert [entry[:3] for entry in told] == [[0, 6, True], [1, 6, True]]
    assert told[0][3] == told[1][3] and told[0][3]


def test_a_run_of_two_goes_on_with_one(folder):
    again = train(folder / "stopped", seed=5, resume=True)
    whole = train(folder / "whole")
    assert again.steps == whole.steps == 12
    for p, q in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-5)
