"""Several processes share the videos: the same figures as one process, nothing twice, no hang."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from known_answers import Table, Views, random_table
from torch import distributed, multiprocessing

from vivit_lab import ViViTConfig, build_model
from vivit_lab.__main__ import main
from vivit_lab.training import evaluate, load_scores
from vivit_lab.weights import save_checkpoint

CLASSES = 5
START = "fork" if sys.platform == "linux" else "spawn"  # a fork need not import torch again


def truth(videos):
    return np.random.default_rng(1).integers(CLASSES, size=videos).tolist()


class Broken(Views):
    _broken = False

    def __getitem__(self, number):
        if number == 3 and self._broken:
            raise RuntimeError("video 3 is broken")
        return super().__getitem__(number)


def worker(rank, processes, folder, videos, kind, file):
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes
    )
    model = Table(random_table(videos, 4, CLASSES))
    model.register_buffer("seen", torch.zeros(1))
    model.register_parameter("weight", torch.nn.Parameter(torch.ones(1)))
    if kind == "parallel":
        model = torch.nn.parallel.DistributedDataParallel(model)
    data = Broken(truth(videos), 2, 2)
    data._broken = kind == "fails"
    frames = "shuffled" if kind == "shuffled" else "in_order"
    found = {}
    try:
        result = evaluate(model, data, batch_size=3, frames=frames, file=file, progress=False)
        found = {"report": result.to_dict(), "logits": result.scores.logits["class"].tolist()}
    except Exception as error:
        found = {"error": f"{type(error).__name__}: {error}"}
    found["asked"] = data.asked
    with open(f"{folder}/{rank}.json", "w") as out:
        json.dump(found, out)
    distributed.destroy_process_group()


def shared(tmp_path, processes, videos, kind="plain", file=None):
    """What each process found."""
    (tmp_path / "meeting").unlink(missing_ok=True)
    multiprocessing.start_processes(
        worker, (processes, str(tmp_path), videos, kind, file), nprocs=processes, start_method=START
    )
    return [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.parametrize(
    ("processes", "videos", "kind"),
    [(2, 7, "plain"), (2, 8, "parallel"), (3, 2, "plain")],  # 3 for 2: one has nothing to do
)
def test_processes_together_find_what_one_finds(tmp_path, processes, videos, kind):
    data = Broken(truth(videos), 2, 2)
    alone = evaluate(Table(random_table(videos, 4, CLASSES)), data, progress=False)
    found = shared(tmp_path, processes, videos, kind)
    expected = json.loads(json.dumps(alone.to_dict()))
    for each in found:
        assert each["report"] == expected
        assert each["logits"] == alone.scores.logits["class"].tolist()
    asked = [number for each in found for number in each["asked"]]
    assert sorted(asked) == list(range(videos))  # every video once, whatever the remainder


def test_a_failure_in_one_process_ends_all_and_keeps_the_scores(tmp_path):
    file = str(tmp_path / "s.npz")
    first, second = shared(tmp_path, 2, 6, "fails", file)  # video 3 is the second one's
    assert "Process 1 failed" in first["error"] and "video 3 is broken" in first["error"]
    assert second["error"].startswith("LoadingError") and "video 3 is broken" in second["error"]
    kept = load_scores(file).numbers.tolist()
    assert kept == [0, 1, 2, 4]
    again = shared(tmp_path, 2, 6, "plain", file)
    assert sorted(again[0]["asked"] + again[1]["asked"]) == [3, 5]
    assert again[0]["report"] == again[1]["report"]
    assert again[0]["report"]["videos"]["evaluated"] == 6


def test_a_file_of_another_evaluation_is_refused_by_all(tmp_path):
    file = str(tmp_path / "s.npz")
    shared(tmp_path, 2, 4, "plain", file)
    for each in shared(tmp_path, 2, 4, "shuffled", file):
        assert "another evaluation" in each["error"] and each["asked"] == []


def test_the_command_under_accelerate_launch(tmp_path, monkeypatch):
    torch.manual_seed(0)
    config = ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2, depth=1,
                         mlp_dim=8, num_classes=8)  # fmt: skip
    model = build_model(config)
    torch.nn.init.normal_(model.head.weight)
    save_checkpoint(tmp_path / "m.safetensors", model)
    command = ["evaluate", "m.safetensors", "arrow-of-time", "--device", "cpu", "--workers", "0"]
    monkeypatch.chdir(tmp_path)
    main([*command, "--out", "alone"])
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--cpu",
         "--main_process_port", "0", "-m", "vivit_lab", *command, "--out", "together"],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert (tmp_path / "together.json").exists(), done.stderr
    assert done.stdout.count("95 % interval") == 1  # printed once
    alone, together = (
        json.loads((tmp_path / f"{name}.json").read_text()) for name in ("alone", "together")
    )
    assert together.pop("loss") == pytest.approx(alone.pop("loss"), abs=1e-6)
    assert together == alone
