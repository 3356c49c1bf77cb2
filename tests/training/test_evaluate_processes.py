"""Several processes share the videos: the same figures as one process, nothing twice, no hang."""

import json
import subprocess
import sys

import pytest
import torch
from known_answers import Table, Views, evaluate, random_labels, random_table
from torch import distributed, multiprocessing

from vivit_lab import ViViTConfig, build_model
from vivit_lab.cli import main
from vivit_lab.training import load_scores
from vivit_lab.weights import save_checkpoint

START = "fork" if sys.platform == "linux" else "spawn"  # a fork need not import torch again
JOBS = {  # videos, broken video, order of the frames, file
    "plain": (7, None, "in_order", None),
    "wrapped": (8, None, "in_order", None),  # in DistributedDataParallel, which would wait
    "one video": (1, None, "in_order", None),  # the second process has nothing to do
    "fails": (6, 3, "in_order", "s.npz"),
    "again": (6, None, "in_order", "s.npz"),
    "other frames": (6, None, "shuffled", "s.npz"),
}


class Broken(Views):
    _broken = None  # a public one would be part of the name of the data

    def __getitem__(self, number):
        if number == self._broken:
            raise RuntimeError(f"video {number} is broken")
        return super().__getitem__(number)


def model_and_data(videos):
    model = Table(random_table(videos, 4, 5))
    model.register_buffer("seen", torch.zeros(1))
    model.register_parameter("weight", torch.nn.Parameter(torch.ones(1)))
    return model, Broken(random_labels(videos, 5), 2, 2)


def worker(rank, folder):
    """All jobs one after the other; what was found is left in a file."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    everything = {}
    for job, (videos, broken, frames, file) in JOBS.items():
        model, data = model_and_data(videos)
        if job == "wrapped":
            model = torch.nn.parallel.DistributedDataParallel(model)
        data._broken, file = broken, file and f"{folder}/{file}"
        try:
            result = evaluate(model, data, batch_size=3, frames=frames, file=file)
            found = {"report": result.to_dict(), "logits": result.scores.logits["class"].tolist()}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        if job == "fails" and rank == 0:
            found["kept"] = load_scores(file).numbers.tolist()
        everything[job] = found | {"asked": data.asked}
        distributed.barrier()
    with open(f"{folder}/{rank}.json", "w") as out:
        json.dump(everything, out)
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What the two processes found, by job."""

    folder = tmp_path_factory.mktemp("shared")
    multiprocessing.start_processes(worker, (str(folder),), nprocs=2, start_method=START)
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in range(2))
    return {job: (first[job], second[job]) for job in JOBS}


def test_processes_together_find_what_one_finds(found):
    for job in ("plain", "wrapped", "one video"):
        videos = JOBS[job][0]
        alone = evaluate(*model_and_data(videos))
        for each in found[job]:
            assert each["report"] == json.loads(json.dumps(alone.to_dict()))
            assert each["logits"] == alone.scores.logits["class"].tolist()
        asked = found[job][0]["asked"] + found[job][1]["asked"]
        assert sorted(asked) == list(range(videos))  # every video once, whatever the remainder


def test_a_failure_in_one_process_ends_all_and_keeps_the_scores(found):
    first, second = found["fails"]  # video 3 is the second one's
    assert "Process 1 failed" in first["error"] and "video 3 is broken" in first["error"]
    assert second["error"].startswith("LoadingError") and "video 3 is broken" in second["error"]
    assert first["kept"] == [0, 1, 2, 4]
    first, second = found["again"]
    assert sorted(first["asked"] + second["asked"]) == [3, 5]
    assert first["report"] == second["report"]
    assert first["report"]["videos"]["evaluated"] == 6


def test_a_file_of_another_evaluation_is_refused_by_all(found):
    for each in found["other frames"]:
        assert "another evaluation" in each["error"] and each["asked"] == []


def test_the_command_under_accelerate_launch(tmp_path, monkeypatch):
    torch.manual_seed(0)
    model = build_model(ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2,
                                    depth=1, mlp_dim=8, num_classes=8))  # fmt: skip
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
    files = tmp_path / "alone.json", tmp_path / "together.json"
    alone, together = (json.loads(file.read_text()) for file in files)
    assert together.pop("loss") == pytest.approx(alone.pop("loss"), abs=1e-6)
    assert together == alone
