"""The configuration: presets, derived sizes, and an error that teaches for each illegal field."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivit_lab import ViViTConfig


def test_defaults_are_vivit_b_16x2():
    config = ViViTConfig()
    assert config == ViViTConfig.preset("B/16x2", model="joint", num_classes=400)
    assert (config.grid, config.tokens, config.clip_shape) == (
        (16, 14, 14),
        3136,
        (32, 3, 224, 224),
    )


@pytest.mark.parametrize(
    ("name", "dim", "depth", "heads", "mlp_dim", "tubelet"),
    [
        ("Ti/16x2", 192, 12, 3, 768, (2, 16, 16)),
        ("S/32x2", 384, 12, 6, 1536, (2, 32, 32)),
        ("B/16x4", 768, 12, 12, 3072, (4, 16, 16)),
        ("L/14x2", 1024, 24, 16, 4096, (2, 14, 14)),
        ("H/14x2", 1280, 32, 16, 5120, (2, 14, 14)),
    ],
)
def test_presets(name, dim, depth, heads, mlp_dim, tubelet):
    config = ViViTConfig.preset(name)
    assert (config.dim, config.depth, config.heads) == (dim, depth, heads)
    assert (config.mlp_dim, config.tubelet) == (mlp_dim, tubelet)


def test_a_preset_with_uniform_frames_embeds_single_frames():
    config = ViViTConfig.preset("B/16x2", tokenizer="uniform_frames", sampled_frames=8)
    assert (config.tubelet, config.grid) == ((1, 16, 16), (8, 14, 14))


@pytest.mark.parametrize(
    ("model", "pooling", "temporal_depth"),
    [
        ("joint", "cls", None),
        ("factorised_encoder", "cls", 4),
        ("factorised_self_attention", "mean", None),
        ("factorised_dot_product", "mean", None),
    ],
)
def test_defaults_that_depend_on_the_model(model, pooling, temporal_depth):
    config = ViViTConfig(model=model)
    assert (config.pooling, config.temporal_depth) == (pooling, temporal_depth)
    assert dataclasses.replace(config, frames=16).frames == 16  # filled-in defaults are legal


def test_it_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ViViTConfig().frames = 16


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"model": "factorized_encoder"}, ValueError, "Did you mean 'factorised_encoder'"),
        ({"tokenizer": "tublet"}, ValueError, "Did you mean 'tubelet'"),
        ({"pooling": "max"}, ValueError, "pooling is 'max'.*'cls', 'mean'"),
        ({"gelu": "tahn"}, ValueError, "Did you mean 'tanh'"),
        ({"attention_order": "space"}, ValueError, "attention_order is 'space'"),
        ({"heads": 10}, ValueError, "heads is 10.*divide dim = 768.*is 8"),
        ({"heads": 1000}, ValueError, "heads is 1000.*is 768"),
        ({"tubelet": (3, 16, 16)}, ValueError, "tubelet t is 3.*frames = 32.*is 2"),
        ({"tubelet": (2, 15, 16)}, ValueError, "tubelet h is 15.*height = 224.*is 14"),
        ({"tubelet": (2, 16, 300)}, ValueError, "tubelet w is 300.*width = 224.*is 224"),
        ({"tubelet": 16}, ValueError, r"three whole numbers \(t, h, w\)"),
        ({"tubelet": (2, 16)}, ValueError, r"three whole numbers \(t, h, w\)"),
        ({"tubelet": (0, 16, 16)}, ValueError, "tubelet t is 0, but must be at least 1"),
        ({"frames": 0}, ValueError, "frames is 0"),
        ({"frames": 32.0}, TypeError, "frames is 32.0, but must be a whole number"),
        ({"depth": True}, TypeError, "depth is True"),
        ({"image_size": (224, 224, 3)}, ValueError, r"one number or \(height, width\)"),
        ({"image_size": "224"}, TypeError, "image height is '224'"),
        ({"sampled_frames": 8}, ValueError, "sampled_frames is 8.*uniform_frames"),
        ({"tokenizer": "uniform_frames"}, ValueError, r"must be \(1, 16, 16\)"),
        (
            {"tokenizer": "uniform_frames", "tubelet": (1, 16, 16)},
            ValueError,
            "sampled_frames is None.*for example 16",
        ),
        (
            {"tokenizer": "uniform_frames", "tubelet": (1, 16, 16), "sampled_frames": 40},
            ValueError,
            "sampled_frames is 40.*largest legal value is frames = 32",
        ),
        ({"temporal_depth": 4}, ValueError, "temporal_depth is 4.*only.*factorised_encoder"),
        (
            {"model": "factorised_encoder", "temporal_depth": -1},
            ValueError,
            "temporal_depth is -1, but must be at least 0",
        ),
        ({"attention_order": "time_space"}, ValueError, "only model = 'factorised_self_attention'"),
        (
            {"model": "factorised_self_attention", "pooling": "cls"},
            ValueError,
            "no class token.*Use 'mean'",
        ),
        (
            {"model": "factorised_dot_product", "dim": 192, "heads": 3},
            ValueError,
            "heads is 3.*be even.*nearest is 2",
        ),
        ({"dropout": 1.0}, ValueError, "dropout is 1.0"),
        ({"drop_path": -0.1}, ValueError, "drop_path is -0.1"),
        ({"layer_scale": 0.0}, ValueError, "layer_scale is 0.0.*above 0"),
        ({"num_classes": 0}, ValueError, "num_classes is 0"),
        ({"num_classes": {}}, ValueError, "by identifiers: .*verb"),
        ({"num_classes": {"verb": 0}}, ValueError, r"num_classes\['verb'\] is 0"),
        ({"num_classes": {"the verb": 3}}, ValueError, "'the verb'.*identifiers"),
    ],
)
def test_an_illegal_field_is_named_with_the_rule_and_a_legal_value(fields, error, message):
    with pytest.raises(error, match=message):
        ViViTConfig(**fields)


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("B16x2", {}, "B16x2.*<size>/<patch>x<tubelet frames>"),
        ("XL/16x2", {}, "preset size is 'XL'.*'Ti', 'S', 'B', 'L', 'H'"),
        ("B/16x2", {"temporal_dept": 4}, "Did you mean 'temporal_depth'"),
        ("B/13x2", {}, "tubelet h is 13.*is 14"),
    ],
)
def test_an_illegal_preset_is_named(name, fields, message):
    with pytest.raises(ValueError, match=message):
        ViViTConfig.preset(name, **fields)


@given(
    n=st.tuples(*[st.integers(1, 8)] * 3),
    size=st.tuples(*[st.integers(1, 16)] * 3),
)
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
