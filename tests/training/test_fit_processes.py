"""Two processes (gloo, started by torchrun) train as one does with the same total batch.

`accelerate launch` starts processes on GPUs in the same way; on a CPU it starts one, unless there
is MPI. Gradients are summed in another order, which rounds differently. Tolerance: 1e-5 on each
loss and each weight, after 12 steps of SGD.
"""

import json
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


def train(folder, seed=0, **options):
    recipe, data = tiny_recipe(**RECIPE), Glows(SAMPLES)
    return fit(
        tiny_model(seed), data, Glows(33, seed=1), recipe=recipe, folder=folder, device="cpu",
        progress=False, **options,
    )  # fmt: skip


def halve(moment):
    if moment.step == 6:
        moment.control.lr_scale = 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of two processes, side by side with one of one process."""
    folder = tmp_path_factory.mktemp("processes")
    script = folder / "train.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent), folder=str(folder)))
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
    ]
    done = subprocess.run([*launch, str(script)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    (folder / "printed").write_text(done.stdout)
    train(folder / "one", callback=halve)
    return folder


def test_two_processes_train_as_one(folder):
    one, two = (read_log(folder / name) for name in ("one", "two"))
    assert len(two[0]) == 12  # written by the first process alone
    for name in ("loss", "accuracy", "grad_norm", "lr"):
        first, second = ([entry[name] for entry in log[0]] for log in (one, two))
        assert first == pytest.approx(second, abs=1e-5), name
    assert one[1][-1]["validation"] == two[1][-1]["validation"]
    models = [load_checkpoint(folder / n / "epoch-0003.safetensors")[0] for n in ("one", "two")]
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=0, atol=1e-5)
    assert json.loads((folder / "two" / "run.json").read_text())["processes"] == 2


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
