"""The configuration: presets, derived sizes, and an error that teaches for each illegal field."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vivit_lab import ViViTConfig

M2, M3, M4 = "factorised_encoder", "factorised_self_attention", "factorised_dot_product"
UNIFORM = {"tokenizer": "uniform_frames", "tubelet": (1, 16, 16)}


def test_defaults_are_vivit_b_16x2():
    config = ViViTConfig()
    assert config == ViViTConfig.preset("B/16x2", model="joint", num_classes=400)
    assert (config.grid, config.tokens) == ((16, 14, 14), 3136)
    assert config.clip_shape == (32, 3, 224, 224)


def test_presets():
    for name, *sizes, tubelet in [
        ("Ti/16x2", 192, 12, 3, 768, (2, 16, 16)),
        ("S/32x2", 384, 12, 6, 1536, (2, 32, 32)),
        ("B/16x4", 768, 12, 12, 3072, (4, 16, 16)),
        ("L/14x2", 1024, 24, 16, 4096, (2, 14, 14)),
        ("H/14x2", 1280, 32, 16, 5120, (2, 14, 14)),
    ]:
        config = ViViTConfig.preset(name)
        assert [config.dim, config.depth, config.heads, config.mlp_dim] == sizes
        assert config.tubelet == tubelet
    config = ViViTConfig.preset("B/16x2", tokenizer="uniform_frames", sampled_frames=8)
    assert (config.tubelet, config.grid) == ((1, 16, 16), (8, 14, 14))


def test_defaults_that_depend_on_the_model():
    for model, *defaults in [("joint", "cls", None), (M2, "cls", 4), (M3, "mean", None)]:
        config = ViViTConfig(model=model)
        assert [config.pooling, config.temporal_depth] == defaults
        assert dataclasses.replace(config, frames=16).frames == 16  # filled-in defaults are legal
    assert ViViTConfig(model=M4).pooling == "mean"


def test_heads_are_a_dict_once_and_the_configuration_is_frozen():
    several = {"verb": 97, "noun": 300}
    config = ViViTConfig(num_classes=several)
    several["verb"] = 1
    assert config.classes == config.num_classes == {"verb": 97, "noun": 300}
    assert (ViViTConfig().num_classes, ViViTConfig().classes) == (400, {"": 400})
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.frames = 16


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": "factorized_encoder"}, "Did you mean 'factorised_encoder'"),
        ({"tokenizer": "tublet"}, "Did you mean 'tubelet'"),
        ({"pooling": "max"}, "pooling is 'max'.*'cls', 'mean'"),
        ({"gelu": "tahn"}, "Did you mean 'tanh'"),
        ({"attention_order": "space"}, "attention_order is 'space'"),
        ({"heads": 10}, "heads is 10.*divide dim = 768.*is 8"),
        ({"heads": 1000}, "heads is 1000.*is 768"),
        ({"tubelet": (3, 16, 16)}, "tubelet t is 3.*frames = 32.*is 2"),
        ({"tubelet": (2, 15, 16)}, "tubelet h is 15.*height = 224.*is 14"),
        ({"tubelet": (2, 16, 300)}, "tubelet w is 300.*width = 224.*is 224"),
        ({"tubelet": 16}, r"three whole numbers \(t, h, w\)"),
        ({"tubelet": (2, 16)}, r"three whole numbers \(t, h, w\)"),
        ({"tubelet": (0, 16, 16)}, "tubelet t is 0, but must be at least 1"),
        ({"frames": 0}, "frames is 0"),
        ({"frames": 32.0}, "frames is 32.0, but must be a whole number"),
        ({"frames": np.float64(32)}, "frames is 32.0, but must be a whole number"),
        ({"frames": np.bool_(True)}, "frames is True, but must be a whole number"),
        ({"frames": torch.tensor(32.0)}, "frames is 32.0, but must be a whole number"),
        ({"depth": True}, "depth is True, but must be a whole number"),
        ({"image_size": (224, 224, 3)}, r"one number or \(height, width\)"),
        ({"image_size": "224"}, "image height is '224', but must be a whole number"),
        ({"sampled_frames": 8}, "sampled_frames is 8.*uniform_frames"),
        ({"tokenizer": "uniform_frames"}, r"must be \(1, 16, 16\)"),
        (UNIFORM, "sampled_frames is None.*for example 16"),
        (UNIFORM | {"sampled_frames": 0}, "sampled_frames is 0"),
        (UNIFORM | {"sampled_frames": 40}, "sampled_frames is 40.*legal value is frames = 32"),
        ({"temporal_depth": 4}, "temporal_depth is 4.*only.*factorised_encoder"),
        ({"model": M2, "temporal_depth": -1}, "temporal_depth is -1, but must be at least 0"),
        ({"attention_order": "time_space"}, "only model = 'factorised_self_attention'"),
        ({"model": M3, "pooling": "cls"}, "no class token.*Use 'mean'"),
        ({"model": M4, "dim": 192, "heads": 3}, "heads is 3.*be even.*nearest is 2"),
        ({"model": M4, "dim": 75, "heads": 3}, "dim must be even"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"drop_path": -0.1}, "drop_path is -0.1"),
        ({"layer_scale": 0.0}, "layer_scale is 0.0.*above 0"),
        ({"num_classes": -1}, "num_classes is -1"),
        ({"num_classes": {}}, "an identifier .*verb"),
        ({"num_classes": {"verb": 0}}, r"num_classes\['verb'\] is 0"),
        ({"num_classes": {"the verb": 3}}, "'the verb' cannot name a head.*identifier"),
        ({"preset": "B16x2"}, "B16x2.*<size>/<patch>x<tubelet frames>"),
        ({"preset": "XL/16x2"}, "preset size is 'XL'.*'Ti', 'S', 'B', 'L', 'H'"),
        ({"preset": "B/16x2", "temporal_dept": 4}, "Did you mean 'temporal_depth'"),
        ({"preset": "B/13x2"}, "tubelet h is 13.*is 14"),
    ],
    ids=str,
)
def test_an_illegal_field_is_named_with_the_rule_and_a_legal_value(fields, message):
    fields = dict(fields)
    preset = fields.pop("preset", None)
    error = TypeError if "must be a whole number" in message else ValueError
    with pytest.raises(error, match=message):
        ViViTConfig.preset(preset, **fields) if preset else ViViTConfig(**fields)


@given(n=st.tuples(*[st.integers(1, 8)] * 3), size=st.tuples(*[st.integers(1, 16)] * 3))
def test_the_grid_is_clip_over_tubelet(n, size):
    t, h, w = (a * b for a, b in zip(n, size, strict=True))
    config = ViViTConfig(frames=t, image_size=(h, w), tubelet=size)
    assert config.grid == n
    assert config.tokens == n[0] * n[1] * n[2]


@given(frames=st.integers(1, 96), t=st.integers(1, 96))
def test_the_suggested_tubelet_is_legal(frames, t):
    try:
        ViViTConfig(frames=frames, image_size=16, tubelet=(t, 16, 16))
    except ValueError as error:
        suggested = int(str(error).split("does is ")[1].split(".")[0])
        ViViTConfig(frames=frames, image_size=16, tubelet=(suggested, 16, 16))
