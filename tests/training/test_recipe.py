"""Recipes: the paper's figures, the official learning-rate curve, and what is refused."""

import dataclasses
import math
import random

import pytest

from vivit_lab.training import Recipe
from vivit_lab.training.presets import PRESETS
from vivit_lab.training.recipe import SCALES
from vivit_lab.video import transforms

# the paper's table of hyperparameters: lr, epochs, smoothing, mixup, drop path, RandAugment
PAPER = {
    "kinetics400_joint": (0.1, 30, 0, 0, 0, None),
    "kinetics400_factorised_encoder": (0.1, 30, 0, 0, 0, None),
    "kinetics400_large": (0.1, 30, 0, 0, 0, None),
    "kinetics600_large": (0.1, 30, 0, 0, 0, None),
    "moments_in_time_large": (0.25, 10, 0, 0, 0, None),
    "epic_kitchens_large": (0.5, 50, 0.2, 0.1, 0.2, (2, 15)),
    "something_something_v2_large": (0.5, 35, 0.3, 0.3, 0.3, (2, 20)),
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_recipes(name):
    recipe = Recipe.preset(name)
    figures = (recipe.peak_lr, recipe.epochs, recipe.label_smoothing, recipe.mixup)
    assert (*figures, recipe.drop_path, recipe.rand_augment) == PAPER[name]
    assert (recipe.optimiser, recipe.momentum, recipe.batch) == ("sgd", 0.9, 64)
    assert (recipe.warmup_epochs, recipe.max_grad_norm, recipe.weight_decay) == (2.5, 1, 0)
    config = recipe.config()
    assert config.frames == 32 and config.tubelet == (2, 16, 16)
    assert config.drop_path == recipe.drop_path and config.image_size == (recipe.crop, recipe.crop)
    assert recipe.notes, "differences to the official configuration are told"


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds_survives_json_and_prints(name, tmp_path):
    recipe = Recipe.preset(name)
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe
    table = str(recipe)
    for field in dataclasses.fields(recipe):
        assert field.name == "notes" or f"  {field.name} " in table
    words = " ".join(table.split())
    assert all(note in words for note in recipe.notes)
    assert max(map(len, table.splitlines())) <= 110
    transform = recipe.train_transform(["from left to right", "from right to left"])
    assert transform.crop == recipe.crop and transform.rand_augment == recipe.rand_augment
    assert transform.flip_labels == ({0: 1, 1: 0} if recipe.flip else None)
    assert recipe.sampling().clip_frames == recipe.frames
    assert recipe.test_transform().short_side == recipe.min_short_side


def official(step, base, warm, total):
    """Scenic's compound schedule: constant * linear_warmup * cosine_decay."""
    cosine = 0.5 * (
        1 + math.cos(math.pi * (max(0.0, step - warm) / (total - warm)) % (2 * math.pi))
    )
    return base * min(1.0, step / warm) * max(0.0, cosine)


@pytest.mark.parametrize(
    "name, steps_per_epoch, base",
    [
        ("kinetics400_joint", 3356, 0.1),
        ("kinetics600_large", 5675, 0.1),  # a warm-up of 14187.5 steps
        ("epic_kitchens_large", 1050, 0.5),
    ],
)
def test_learning_rate_is_the_official_curve(name, steps_per_epoch, base):
    recipe = Recipe.preset(name)
    total, warm = recipe.epochs * steps_per_epoch, 2.5 * steps_per_epoch
    steps = [0, 1, int(warm), int(warm) + 1, total - 1, *random.Random(0).sample(range(total), 500)]
    for step in steps:
        expected = official(step, base, warm, total)
        assert recipe.learning_rate(step, steps_per_epoch) == pytest.approx(expected, abs=1e-15)


def test_learning_rate_is_tied_to_the_total_batch():
    recipe = Recipe.preset("kinetics400_joint")
    assert recipe.change(batch=512).peak_lr == pytest.approx(0.8)
    assert recipe.change(batch=8, accumulate=4).peak_lr == pytest.approx(0.0125)
    assert recipe.change(batch=8, lr_batch=None).peak_lr == 0.1
    half = recipe.change(batch=32)
    assert half.learning_rate(700, 100) == pytest.approx(recipe.learning_rate(700, 100) / 2)


def test_difference_names_what_differs_and_nothing_else():
    paper = Recipe.preset("kinetics400_joint")
    table = paper.change(name="mine", lr=0.02, ema=0.99).difference(paper)
    lines = [line.split() for line in table.splitlines()]
    assert lines == [["mine", "kinetics400_joint"], ["lr", "0.02", "0.1"], ["ema", "0.99", "-"]]
    assert paper.difference(paper.change(name="other")) == "No field differs."


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"lrr": 1}, "'lrr', which is not one of .* Did you mean 'lr'"),
        ({"model": "factorized_encoder"}, "Did you mean 'factorised_encoder'"),
        ({"size": "B16x2"}, "must be <size>/<patch>"),
        ({"optimiser": "adam"}, "Did you mean 'adamw'"),
        ({"optimiser": "adamw", "momentum": 0.9}, "belongs to optimiser = 'sgd'"),
        ({"betas": (0.9, 0.95)}, "belongs to optimiser = 'adamw'"),
        ({"lr": 0}, "must be a number above 0"),
        ({"lr": float("nan")}, "must be a number above 0"),
        ({"lr": "0.1"}, "must be a number above 0"),
        ({"warmup_epochs": 30}, "less than epochs = 30"),
        ({"accumulate": 5}, "must divide batch = 64; the nearest number that does is 4"),
        ({"rand_augment": (2, 15)}, "set colour=0, grey=0"),
        ({"rand_augment": (2, 31), "colour": 0, "grey": 0}, "at most 30"),
        ({"mixup": -0.1}, "at least 0"),
        ({"flip": 1.5}, "is a chance"),
        ({"ema": 1}, "above 0 and below 1"),
        ({"ema": True}, "above 0 and below 1"),
        ({"label_smoothing": 1}, "below 1"),
        ({"crop": 288}, "min_short_side is 256, but must be at least crop = 288"),
        ({"max_short_side": 200}, "at least min_short_side = 256"),
        ({"freeze": "encoder"}, "Did you mean 'spatial_encoder'"),
        ({"freeze": "spatial_encoder", "model": "joint"}, "only 'factorised_encoder' has one"),
        ({"freeze": "spatial_encoder", "temporal_depth": 0}, "only the head is left"),
        ({"freeze": "all_but_head", "layer_decay": 0.7}, "leaves no layers"),
        ({"temporal_depth": 2, "model": "joint"}, "temporal encoder"),
        ({"bf16": "yes"}, "True or False"),
        ({"batch": 0}, "batch is 0"),
        ({"epochs": 2.5}, "whole number"),
        ({"scale": "streched"}, "Did you mean 'stretch'"),
    ],
)
def test_illegal_fields_are_named_with_the_rule(fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Recipe().change(**fields)


def test_scales_are_those_of_the_transform():
    assert SCALES == transforms.SCALES


@pytest.mark.parametrize("text", ["{", "[1]", '{"lrr": 1}', '{"lr": -1}', '{"classes": {}}'])
def test_files_that_are_no_recipe(text, tmp_path):
    file = tmp_path / "recipe.json"
    file.write_text(text)
    with pytest.raises(ValueError):
        Recipe.load(file)
