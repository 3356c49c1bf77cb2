"""Recipes: the paper's figures, the official learning-rate curve, and what is refused."""

import dataclasses
import json
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


def test_the_papers_recipes():
    for name, wanted in PAPER.items():
        recipe = Recipe.preset(name)
        figures = (recipe.peak_lr, recipe.epochs, recipe.label_smoothing, recipe.mixup)
        assert (*figures, recipe.drop_path, recipe.rand_augment) == wanted, name
        assert (recipe.optimiser, recipe.momentum, recipe.batch) == ("sgd", 0.9, 64)
        assert (recipe.warmup_epochs, recipe.max_grad_norm, recipe.weight_decay) == (2.5, 1, 0)
        config, side = recipe.config(), (recipe.crop, recipe.crop)
        assert config.frames == 32 and config.tubelet == (2, 16, 16)
        assert config.drop_path == recipe.drop_path and config.image_size == side
        assert recipe.init.startswith(f"vit_{'large' if config.dim > 768 else 'base'}_patch16")
        assert recipe.notes, "differences to the official configuration are told"


def test_every_preset_builds_survives_json_and_prints(tmp_path):
    for name in PRESETS:
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


def test_learning_rate_is_the_official_curve():
    """Scenic's compound schedule: constant * linear_warmup * cosine_decay."""
    for name, steps_per_epoch, base in (
        ("kinetics400_joint", 3356, 0.1),
        ("kinetics600_large", 5675, 0.1),  # a warm-up of 14187.5 steps
        ("epic_kitchens_large", 1050, 0.5),
    ):
        recipe = Recipe.preset(name)
        total, warm = recipe.epochs * steps_per_epoch, 2.5 * steps_per_epoch
        drawn = random.Random(0).sample(range(total), 500)
        for step in [0, 1, int(warm), int(warm) + 1, total - 1, *drawn]:
            turn = math.pi * (max(0.0, step - warm) / (total - warm)) % (2 * math.pi)
            cosine = max(0.0, 0.5 * (1 + math.cos(turn)))
            expected = base * min(1.0, step / warm) * cosine
            assert recipe.learning_rate(step, steps_per_epoch) == pytest.approx(expected, abs=1e-15)


def test_learning_rate_is_tied_to_the_total_batch():
    recipe = Recipe.preset("kinetics400_joint")
    assert recipe.change(batch=512).peak_lr == pytest.approx(0.8)
    assert recipe.change(batch=8, accumulate=4).peak_lr == pytest.approx(0.0125)
    assert recipe.change(batch=8, lr_batch=None).peak_lr == 0.1
    half = recipe.change(batch=32)
    assert half.learning_rate(700, 100) == pytest.approx(recipe.learning_rate(700, 100) / 2)


ILLEGAL = [
    ({"lrr": 1}, "'lrr', which is not one of .* Did you mean 'lr'"),
    ({"name": ""}, "name is '', but must be a text"),
    ({"notes": (3,)}, "must be a text"),
    ({"model": "factorized_encoder"}, "Did you mean 'factorised_encoder'"),
    ({"size": "B16x2"}, "must be <size>/<patch>"),
    ({"optimiser": "adam"}, "Did you mean 'adamw'"),
    ({"optimiser": "adamw", "momentum": 0.9}, "belongs to optimiser = 'sgd'"),
    ({"betas": (0.9, 0.95)}, "belongs to optimiser = 'adamw'"),
    ({"optimiser": "adamw", "betas": (0.9,)}, "must be two numbers"),
    ({"lr": 0}, "must be a number above 0"),
    ({"lr": float("nan")}, "must be a number above 0"),
    ({"lr": "0.1"}, "must be a number above 0"),
    ({"lr_batch": 0}, "lr_batch is 0"),
    ({"max_grad_norm": 0}, "must be a number above 0"),
    ({"warmup_epochs": 30}, "less than epochs = 30"),
    ({"rand_augment": (2, 15)}, "set colour=0, grey=0"),
    ({"rand_augment": (2, 31), "colour": 0, "grey": 0}, "at most 30"),
    ({"rand_augment": 2}, "must be .layers, magnitude. or None"),
    ({"mixup": -0.1}, "at least 0"),
    ({"flip": 1.5}, "is a chance"),
    ({"ema": 1}, "above 0 and below 1"),
    ({"ema": True}, "above 0 and below 1"),
    ({"label_smoothing": 1}, "below 1"),
    ({"crop": 98}, "crop is 98, but must be a multiple of the 16 pixels .* 96 or 112"),
    ({"crop": 8, "size": "B/14x2"}, "the nearest is 14"),
    ({"crop": 98, "init": "random"}, "96 or 112"),
    ({"init": ""}, "init is '', but must be a text"),
    ({"crop": 288}, "min_short_side is 256, but must be at least crop = 288"),
    ({"max_short_side": 200}, "at least min_short_side = 256"),
    ({"freeze": "encoder"}, "Did you mean 'spatial_encoder'"),
    ({"freeze": "all_but_head", "layer_decay": 0.7}, "leaves no layers"),
    ({"temporal_depth": 2, "model": "joint"}, "temporal encoder"),
    ({"precision": "bf61"}, "Did you mean 'bf16'"),
    ({"bf16": "yes"}, "True or False"),
    ({"batch": 0}, "batch is 0"),
    ({"seed": -1}, "seed is -1"),
    ({"epochs": 2.5}, "whole number"),
    ({"epochs": None}, "whole number"),
    ({"scale": "streched"}, "Did you mean 'stretch'"),
]


def test_illegal_fields_are_named_with_the_rule():
    for fields, message in ILLEGAL:
        with pytest.raises((ValueError, TypeError), match=message):
            Recipe().change(**fields)


def test_an_image_vit_brings_its_own_patch(tmp_path):
    """Whether it fills the crop is known when it is opened; the rest of the size is checked."""
    recipe = Recipe.preset("small_data", crop=98, init="vit_small_patch14_dinov2")
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe
    assert Recipe(size="S/14x2", crop=98).config().grid == (16, 7, 7)
    with pytest.raises(ValueError, match="tubelet t is 2, but must divide frames = 5"):
        recipe.change(frames=5)


def test_bf16_of_older_recipes_is_read_as_a_precision_and_said(tmp_path):
    file, older = tmp_path / "recipe.json", Recipe.preset("small_data").to_dict()
    del older["precision"]
    for was, now in ((True, "bf16"), (False, "float32")):
        file.write_text(json.dumps(older | {"bf16": was}))
        with pytest.warns(UserWarning, match=f"bf16 .* precision now: {was} .* {now!r}"):
            assert Recipe.load(file) == Recipe.preset("small_data", precision=now)
        with pytest.warns(UserWarning, match="precision now"):
            assert Recipe().change(bf16=was).precision == now
    assert Recipe().precision == "auto" and Recipe.preset("cpu_tiny").precision == "float32"


def test_scales_are_those_of_the_transform():
    assert SCALES == transforms.SCALES


def test_files_that_are_no_recipe(tmp_path):
    file = tmp_path / "recipe.json"
    for text in ("{", "[1]", '{"lrr": 1}', '{"lr": -1}', '{"classes": {}}'):
        file.write_text(text)
        with pytest.raises(ValueError):
            Recipe.load(file)
    with pytest.raises(FileNotFoundError, match="other.json"):
        Recipe.load(tmp_path / "other.json")
