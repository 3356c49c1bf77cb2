"""Official checkpoints: every layout gives the same model, and nothing is taken on trust."""

import json
import sys
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch
from flax_like import chunked, nested, official, packed

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import WeightsError, load_flax_image_vit, load_scenic, scenic_config

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import SMALL, VARIANTS, small_model

OFFICIAL = Path(__file__).resolve().parents[1] / "models" / "official"
CHECKPOINT = Path(__file__).parent / "official" / "m1_token_t2p8_32x32.checkpoint"
TWIN = OFFICIAL / "m1_token_t2p8_32x32.npz"
CHECKPOINT_CONFIG = ViViTConfig(
    frames=8, image_size=32, tubelet=(2, 8, 8), dim=48, depth=3, heads=4, mlp_dim=96, num_classes=5
)
# the official code has no LayerScale
NAMES = [name for name in VARIANTS if name != "layer_scale"]


def equal(one, other):
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def other_weights(model):
    """A model of the same configuration that shares no number with `model`."""
    other = build_model(model.config)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.fill_(7.0)
    return other


def leaves_of(model):
    is_encoder = model.config.model == "factorised_encoder"
    encoder = "SpatialTransformer" if is_encoder else "Transformer"
    return official(model.state_dict(), model.config.heads, encoder=encoder)


# ---- files as released


def test_the_released_layout_holds_the_same_parameters_as_its_npz_twin():
    from_msgpack, from_npz = build_model(CHECKPOINT_CONFIG), build_model(CHECKPOINT_CONFIG)
    report = load_scenic(from_msgpack, CHECKPOINT)
    load_scenic(from_npz, TWIN)
    assert equal(from_msgpack, from_npz)
    assert report.counts == {"copied": len(from_msgpack.state_dict())}
    assert report.source == CHECKPOINT.name
    arrays = np.load(TWIN)
    table = from_msgpack.pos_embed.detach().numpy()
    assert np.array_equal(table, arrays["params/Transformer/posembed_input/pos_embedding"])


def test_an_official_checkpoint_is_opened_in_two_lines():
    model = build_model(scenic_config(CHECKPOINT, frames=8))
    load_scenic(model, CHECKPOINT)
    assert model.config == CHECKPOINT_CONFIG


def test_the_configuration_is_read_off_the_shapes():
    for path in sorted(OFFICIAL.glob("*.json")):
        case = json.loads(path.read_text())
        hints = {"frames": case["frames"], "image_size": (case["height"], case["width"])}
        if path.stem.startswith("m1_gap"):
            hints["model"] = "joint"
        if path.stem.startswith("m4"):
            hints["model"] = "factorised_dot_product"
        if "attention_order" in case:
            hints["attention_order"] = case["attention_order"]
        config = scenic_config(path.with_suffix(".npz"), **hints)
        assert (config.dim, config.depth, config.heads) == (48, case["layers"], case["heads"])
        assert (config.mlp_dim, config.num_classes) == (case["mlp"], case["classes"])
        assert config.frames == case["frames"]
        assert config.image_size == (case["height"], case["width"])
        assert config.pooling == {"token": "cls", "gap": "mean"}[case["classifier"]]
        if case["scenic_attention_type"] == "factorized_encoder":
            depth = 0 if case.get("spatial_only_baseline") else case["temporal_layers"]
            assert config.temporal_depth == depth
        if "n_sampled_frames" in case:
            assert config.sampled_frames == case["n_sampled_frames"]
        load_scenic(build_model(config), path.with_suffix(".npz"))


# ---- all models, all layouts


@pytest.fixture
def checkpoint(tmp_path):
    """Writes a tree as flax does, and returns the file."""

    def write(tree):
        (tmp_path / "checkpoint").write_bytes(packed(tree))
        return tmp_path / "checkpoint"

    return write


def assert_loads(model, *sources):
    for source in sources:
        other = other_weights(model)
        report = load_scenic(other, source)
        assert equal(other, model)
        assert report.counts == {"copied": len(model.state_dict())}


def test_every_model_comes_back_from_the_official_layout(checkpoint, tmp_path):
    for variant in NAMES:
        model = small_model(variant)
        leaves = leaves_of(model)
        np.savez(tmp_path / "model.npz", **leaves)
        file = checkpoint({"optimizer": {"target": nested(leaves)}})
        assert_loads(model, leaves, nested(leaves), tmp_path / "model.npz", str(file))


def test_newer_checkpoints_keep_the_parameters_elsewhere(checkpoint):
    model = small_model("factorised_encoder")
    tree = nested(leaves_of(model))
    for wrapped in (
        {"params": tree, "opt_state": {"0": {"mu": tree}}, "step": 3, "metadata": {"by": "me"}},
        {"params": {"params": tree}},
        {"opt": {"target": tree, "state": {"step": np.int32(3)}}},
        tree,
    ):
        assert_loads(model, wrapped, checkpoint(wrapped))


def test_optimiser_state_is_passed_over_unread(checkpoint):
    model = small_model("joint")
    broken = {"momentum": msgpack.ExtType(1, b"not an array at all")}
    tree = {"target": nested(leaves_of(model)), "state": broken}
    file = checkpoint({"optimizer": tree, "opt_state": broken, "step": 1})
    report = load_scenic(other_weights(model), file)
    assert "beside the parameters, not read: 1." in str(
        report
    )  # the step: no state was taken apart


def test_large_arrays_come_in_pieces(checkpoint):
    model = small_model("joint")
    leaves = leaves_of(model)
    name = "Transformer/encoderblock_1/MlpBlock_0/Dense_0/kernel"
    leaves[name] = chunked(leaves[name], pieces=12)
    assert_loads(model, checkpoint(nested(leaves)), nested(leaves))


def test_other_float_types_are_converted(checkpoint, tmp_path):
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        model = small_model("joint").to(dtype).float()  # numbers that the type can hold
        leaves = {k: torch.from_numpy(v.copy()).to(dtype) for k, v in leaves_of(model).items()}
        if dtype is torch.bfloat16:  # NumPy has no such type: .npz files hold two raw bytes each
            arrays = {k: v.view(torch.int16).numpy().view("V2") for k, v in leaves.items()}
        else:
            arrays = {k: v.numpy() for k, v in leaves.items()}
        np.savez(tmp_path / "model.npz", **arrays)
        assert_loads(model, leaves, checkpoint(nested(leaves)), tmp_path / "model.npz")
        big = {k: v.astype(v.dtype.newbyteorder(">")) for k, v in leaves_of(model).items()}
        assert_loads(model, big)


def test_the_two_heads_of_epic_share_one_matrix_nouns_first():
    heads = {"verb": 2, "noun": 3}
    one = small_model("factorised_encoder")
    two = small_model("factorised_encoder", num_classes=heads)
    report = load_scenic(two, leaves_of(one))
    assert torch.equal(two.head["noun"].weight, one.head.weight[:3])
    assert torch.equal(two.head["verb"].weight, one.head.weight[3:])
    assert torch.equal(two.head["noun"].bias, one.head.bias[:3])
    assert torch.equal(two.head["verb"].bias, one.head.bias[3:])
    assert "noun, verb" in str(report)
    config = scenic_config(leaves_of(one), image_size=(24, 32), num_classes=heads)
    assert config.num_classes == heads
    with pytest.raises(WeightsError, match="number of classes is 5 in the source, 4 in the model"):
        scenic_config(leaves_of(one), image_size=(24, 32), num_classes={"noun": 4})


# ---- what the file cannot say must be given, and is checked


def test_a_joint_table_shows_only_a_product():
    leaves = leaves_of(small_model("joint"))  # grid 4 x 3 x 4
    with pytest.raises(WeightsError, match="48 positions.*frames or image_size"):
        scenic_config(leaves)
    assert scenic_config(leaves, image_size=(24, 32)).frames == 8
    six = scenic_config(leaves_of(small_model("joint", heads=6)), image_size=(24, 32))
    assert six.heads == 6
    assert scenic_config(leaves, frames=6).image_size == (32, 32)  # 3 x 4 x 4 is as good
    with pytest.raises(WeightsError, match="number of positions is 48 in the source, 64 in"):
        scenic_config(leaves, frames=8, image_size=32)
    with pytest.raises(WeightsError, match="number of positions is 48"):
        scenic_config(leaves, frames=8)  # no square image has 12 patches


def test_an_encoder_shows_its_frames():
    leaves = leaves_of(small_model("factorised_encoder", image_size=32))
    config = scenic_config(leaves)
    assert (config.frames, config.image_size) == (8, (32, 32))
    with pytest.raises(WeightsError, match="time steps is 4 in the source, 3 in.*Check"):
        scenic_config(leaves, frames=6)
    with pytest.raises(WeightsError, match="size of a clip: give frames, or"):
        scenic_config(leaves_of(small_model("encoder_average", image_size=32)))
    uniform = {"tokenizer": "uniform_frames", "sampled_frames": 3, "tubelet": (1, 8, 8)}
    leaves = leaves_of(small_model("factorised_encoder", image_size=32, **uniform))
    with pytest.raises(WeightsError, match="give frames"):
        scenic_config(leaves)
    assert scenic_config(leaves, frames=9).sampled_frames == 3
    leaves = leaves_of(small_model("encoder_average", image_size=32, **uniform))
    with pytest.raises(WeightsError, match="by hand"):
        scenic_config(leaves, frames=9)


def test_models_with_the_same_parameters_must_be_told_apart():
    with pytest.raises(WeightsError, match="'joint' or 'factorised_dot_product'"):
        scenic_config(leaves_of(small_model("factorised_dot_product")), image_size=(24, 32))
    with pytest.raises(WeightsError, match="attention_order"):
        scenic_config(leaves_of(small_model("time_space")), image_size=(24, 32))
    with pytest.raises(WeightsError, match="parameters of 'joint', but model is"):
        leaves = leaves_of(small_model("joint"))
        scenic_config(leaves, image_size=(24, 32), model="factorised_encoder")
    report = load_scenic(
        small_model("factorised_dot_product"), leaves_of(small_model("joint_mean"))
    )
    assert "Model 4" in str(report)


# ---- nothing left over, nothing missing


def test_every_leaf_is_needed_and_none_is_spare():
    for variant in ("joint", "factorised_encoder", "factorised_self_attention"):
        model = small_model(variant)
        leaves = leaves_of(model)
        before = other_weights(model)
        for name in leaves:
            with pytest.raises(WeightsError):
                load_scenic(before, {k: v for k, v in leaves.items() if k != name})
        for name in ("Transformer/encoderblock_0/LayerNorm_9/scale", "extra", "embedding/scale_2"):
            with pytest.raises(WeightsError, match=name):
                load_scenic(before, leaves | {name: np.zeros(48, np.float32)})
        assert equal(before, other_weights(model))
    twice = {"cls_SpatialTransformer": leaves_of(small_model("joint"))["cls"]}
    with pytest.raises(WeightsError, match="'cls_token', which another leaf fills already"):
        load_scenic(small_model("joint"), leaves_of(small_model("joint")) | twice)


def test_another_model_is_refused_with_both_values():
    leaves = leaves_of(small_model("joint"))
    for changes, message in (
        ({"num_classes": 7}, "number of classes is 5 in the source, 7 in the model"),
        ({"heads": 6}, "heads is 4 in the source, 6 in the model"),  # the same shapes with us
        ({"dim": 96}, "dim is 48 in the source, 96 in the model"),
        ({"depth": 2}, "depth is 3 in the source, 2 in the model"),
        ({"mlp_dim": 48}, "mlp_dim is 96 in the source, 48 in the model"),
        ({"pooling": "mean"}, "pooling is 'cls' in the source, 'mean' in the model"),
        ({"tubelet": (4, 8, 8)}, r"tubelet is \(2, 8, 8\) in the source, \(4, 8, 8\) in"),
        ({"frames": 16}, "number of positions is 48 in the source, 96 in the model"),
        ({"model": "factorised_encoder"}, "model is 'joint' in the source, 'factorised_encoder'"),
        ({"layer_scale": 0.1}, "layer_scale is None in the source, 0.1 in the model"),
        ({"num_classes": {"noun": 4, "verb": 3}}, "number of classes is 5 in the source, 7 in"),
    ):
        model = build_model(ViViTConfig(**(SMALL | changes)))
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(WeightsError, match=message):
            load_scenic(model, leaves)
        assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    longer = small_model("factorised_encoder", frames=16)
    with pytest.raises(WeightsError, match="number of time steps is 4 in the source, 8 in the mod"):
        load_scenic(longer, leaves_of(small_model("factorised_encoder")))
    model = small_model("joint")
    extra = {"pre_logits/kernel": np.zeros((48, 48)), "pre_logits/bias": np.zeros(48)}
    with pytest.raises(WeightsError, match="pre_logits"):
        load_scenic(model, leaves | extra)


def test_what_the_reader_should_know_is_in_the_report():
    exact = small_model("joint", gelu="exact")
    assert "1e-4" in str(load_scenic(exact, leaves_of(small_model("joint"))))
    model = small_model("time_space")
    assert "time_space" in str(load_scenic(model, leaves_of(model)))


# ---- image ViTs


def timm_vit(**changes):
    from timm.models.vision_transformer import VisionTransformer

    options = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 4}
    torch.manual_seed(0)
    model = VisionTransformer(**(options | {"num_classes": 3} | changes))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model


def test_googles_image_vits_are_read_as_timm_reads_them(tmp_path):
    for style, prefix in (
        ("augreg", ""),
        ("augreg", "opt/target/"),
        ("big_vision", ""),
        ("big_vision", "params/"),
        ("stacked", "params/"),
    ):
        augreg = style == "augreg"
        vit, there = (timm_vit(no_embed_class=not augreg) for _ in range(2))
        leaves = official(vit.state_dict(), 4, style if augreg else "big_vision", head="head")
        if not augreg:
            leaves["pos_embedding"] = leaves.pop("Transformer/posembed_input/pos_embedding")
        if style == "stacked":
            for name in sorted(k for k in leaves if "encoderblock_0" in k):
                pair = [leaves.pop(name), leaves.pop(name.replace("block_0", "block_1"))]
                leaves[name.replace("block_0", "block")] = np.stack(pair)
        file = tmp_path / "vit.npz"
        np.savez(file, **{prefix + k: v for k, v in leaves.items()})
        there.load_pretrained(str(file))
        state, found = there.state_dict(), load_flax_image_vit(file)
        assert set(found.state) == set(state)
        for name, tensor in state.items():
            ours = found.state[name]
            if name == "pos_embed" and not augreg:
                assert not ours[:, 0].any()  # positions are added before the class token is there
                ours = ours[:, 1:]
            assert torch.equal(ours, tensor), name
        assert (found.heads, found.grid, found.gelu) == (4, (4, 4), "tanh")


def test_a_scenic_checkpoint_of_an_image_vit(checkpoint, tmp_path):
    vit = timm_vit()
    leaves = official(vit.state_dict(), 4)
    extra = {"pre_logits/kernel": np.ones((48, 48)), "pre_logits/bias": np.ones(48)}
    tree = {"optimizer": {"target": nested(leaves | extra), "state": {}}, "rng": np.zeros(2)}
    found = load_flax_image_vit(checkpoint(tree))
    assert all(torch.equal(found.state[k], v) for k, v in vit.state_dict().items())
    assert set(found.state) - set(vit.state_dict()) == {
        "pre_logits.fc.weight",
        "pre_logits.fc.bias",
    }
    vit = timm_vit(img_size=(24, 40))  # no square: the grid must be given
    np.savez(tmp_path / "vit.npz", **official(vit.state_dict(), 4, "augreg"))
    with pytest.raises(WeightsError, match="not a class token and 3 x 3 patches"):
        load_flax_image_vit(tmp_path / "vit.npz")
    assert load_flax_image_vit(tmp_path / "vit.npz", grid=(3, 5)).grid == (3, 5)


def test_a_video_model_is_no_image_vit(tmp_path):
    for variant in ("joint", "factorised_encoder", "time_space"):
        np.savez(tmp_path / "video.npz", **leaves_of(small_model(variant)))
        with pytest.raises(WeightsError, match="load_scenic"):
            load_flax_image_vit(tmp_path / "video.npz")
