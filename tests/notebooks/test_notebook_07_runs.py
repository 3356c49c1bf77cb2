"""What notebook 07 shows before anything runs is of its own cells' settings, and complete."""

import json
import os
from collections import Counter
from pathlib import Path

import jupytext
import pytest
import torch

from vivit_lab.data.samples import ASSETS
from vivit_lab.training import Recipe, StoredRun
from vivit_lab.training.sanity import step_bytes

SOURCE = Path(__file__).resolve().parents[2] / "notebooks" / "src" / "07_fine_tuning.py"


def settings(setup: str) -> dict:
    """The variables of the cell with the switch, for a setup."""
    cells = [cell.source for cell in jupytext.read(SOURCE).cells if cell.cell_type == "code"]
    (switch,) = [each for each in cells if "VIVIT_LAB_SETUP" in each]
    space = {"os": os, "torch": torch, "Recipe": Recipe}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIVIT_LAB_SETUP", setup)
        exec(switch, space)
    return space


def test_the_stored_run_is_the_notebooks_own():
    run, space = StoredRun.load(ASSETS / "runs" / "fine_tuning.npz"), settings("cpu")
    stored = Recipe.from_dict(run.recipe)
    assert stored.change(notes=()) == space["recipe"].change(notes=())
    assert list(run.classes) == space["CLASSES"]
    assert len(run.epochs) == space["recipe"].epochs
    assert run.strips is not None and run.seconds > 0 and run.clips_per_second > 0
    assert run.epochs[-1]["validation"]["top1"] > 0.9
    assert (ASSETS / "runs" / "fine_tuning.npz").stat().st_size < 300_000


def test_a_gpu_gets_the_large_model_from_an_image_vit_of_the_same_size():
    space = settings("gpu")
    config = space["recipe"].config()
    assert space["recipe"].size == "B/16x2" and space["recipe"].precision == "auto"
    on_a_t4 = space["recipe"].change(precision="fp16")  # 16 GB, without bfloat16
    assert 4 * 2**30 < step_bytes(config, on_a_t4) < 13 * 2**30
    assert (config.frames, config.image_size, config.dim) == (32, (224, 224), 768)
    assert len(space["CLASSES"]) == config.num_classes


def test_nothing_is_mirrored_where_left_and_right_are_classes():
    for setup in ("cpu", "gpu", "trial"):
        space = settings(setup)
        assert space["SETUP"] == setup and space["recipe"].flip == 0
        assert space["videos"] // 2 >= 8 * space["recipe"].batch  # an eighth is a batch, too


def test_both_starts_have_three_seeds_and_the_same_budget():
    rows = json.loads((ASSETS / "runs" / "starts.json").read_text())
    assert Counter(row["start"] for row in rows) == {"random": 3, "central frame": 3}
    assert {row["seed"] for row in rows} == {0, 1, 2}
    for row in rows:
        assert len(row["validation"]) == 6 and all(0 <= value <= 1 for value in row["validation"])
