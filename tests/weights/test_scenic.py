"""Official checkpoints: every layout gives the same model, and nothing is taken on trust."""

import json
from pathlib import Path

import msgpack
import numpy as np
import pytest
import torch
from flax_like import nested, official, packed
from shared import (
    OFFICIAL,
    SMALL,
    VARIANTS,
    equal,
    image_vit,
    official_config,
    refused,
    sevens,
    small_model,
)

from vivit_lab import ViViTConfig, build_model
from vivit_lab.weights import load_flax_image_vit, load_scenic, scenic_config

CHECKPOINT = Path(__file__).parent / "official" / "m1_token_t2p8_32x32.checkpoint"
TWIN = OFFICIAL[0].with_name("m1_token_t2p8_32x32.npz")
KERNEL = "Transformer/encoderblock_1/MlpBlock_0/Dense_0/kernel"


def leaves_of(model):
    is_encoder = model.config.model == "factorised_encoder"
    encoder = "SpatialTransformer" if is_encoder else "Transformer"
    return official(model.state_dict(), model.config.heads, encoder=encoder)


def assert_loads(model, *sources):
    for source in sources:
        other = sevens(model.config)
        report = load_scenic(other, source)
        assert equal(other, model)
        assert report.counts == {"copied": len(model.state_dict())}


@pytest.fixture
def checkpoint(tmp_path):
    """Writes a tree as flax does, and returns the file."""

    def write(tree):
        (tmp_path / "checkpoint").write_bytes(packed(tree))
        return tmp_path / "checkpoint"

    return write


# ---- files as released


def test_an_official_checkpoint_is_opened_in_two_lines_and_holds_what_its_npz_twin_does():
    model = build_model(scenic_config(CHECKPOINT, frames=8))
    assert load_scenic(model, CHECKPOINT).source == CHECKPOINT.name
    assert model.config == official_config(json.loads(TWIN.with_suffix(".json").read_text()))
    assert_loads(model, TWIN)
    table = np.load(TWIN)["params/Transformer/posembed_input/pos_embedding"]
    assert np.array_equal(model.pos_embed.detach().numpy(), table)


def test_the_configuration_is_read_off_the_shapes():
    for path in OFFICIAL:
        config = official_config(json.loads(path.read_text()))
        names = ["frames", "image_size", "attention_order"]
        names += ["model"] if config.pooling == "mean" else []
        hints = {name: getattr(config, name) for name in names}
        assert scenic_config(path.with_suffix(".npz"), **hints) == config


# ---- all models, all layouts


def test_every_model_comes_back_from_every_layout(checkpoint, tmp_path):
    for variant in VARIANTS.keys() - {"layer_scale"}:  # which the official code has not
        model = small_model(variant)
        leaves = leaves_of(model)
        tree = nested(leaves)
        np.savez(tmp_path / "model.npz", **leaves)
        assert_loads(model, leaves, tree, tmp_path / "model.npz", str(checkpoint(tree)))
    for wrapped in (
        {"optimizer": {"target": tree}},
        {"params": tree, "opt_state": {"0": {"mu": tree}}, "step": 3, "metadata": {"by": "me"}},
        {"params": {"params": tree}},
        {"opt": {"target": tree, "state": {"step": np.int32(3)}}},
    ):
        assert_loads(model, wrapped, checkpoint(wrapped))


def test_optimiser_state_is_passed_over_unread(checkpoint):
    model = small_model("joint")
    broken = {"momentum": msgpack.ExtType(1, b"not an array at all")}
    tree = {"target": nested(leaves_of(model)), "state": broken}
    file = checkpoint({"optimizer": tree, "opt_state": broken, "step": 1})
    report = load_scenic(sevens(model.config), file)
    assert "beside the parameters, not read: 1." in str(report)  # the step


def test_large_arrays_come_in_pieces(checkpoint):
    """flax writes an array over 1 GB so; here a small one."""
    model = small_model("joint")
    leaves = leaves_of(model)
    pieces = np.array_split(leaves[KERNEL].reshape(-1), 12)
    leaves[KERNEL] = {
        "__msgpack_chunked_array__": True,
        "shape": {str(i): n for i, n in enumerate(leaves[KERNEL].shape)},
        "chunks": {str(i): piece for i, piece in enumerate(pieces)},
    }
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
        big = {k: v.astype(v.dtype.newbyteorder(">")) for k, v in leaves_of(model).items()}
        assert_loads(model, leaves, checkpoint(nested(leaves)), tmp_path / "model.npz", big)


def test_the_two_heads_of_epic_share_one_matrix_nouns_first():
    heads = {"verb": 2, "noun": 3}
    one = small_model("factorised_encoder")
    two = small_model("factorised_encoder", num_classes=heads)
    assert "noun, verb" in str(load_scenic(two, leaves_of(one)))
    for kind in ("weight", "bias"):
        rows = [getattr(two.head[name], kind) for name in ("noun", "verb")]
        assert torch.equal(torch.cat(rows), getattr(one.head, kind))
    config = scenic_config(leaves_of(one), image_size=(24, 32), num_classes=heads)
    assert config.num_classes == heads


# ---- what the file cannot say must be given, and is checked


def test_the_size_of_a_clip_is_seen_or_asked_for():
    uniform = {"tokenizer": "uniform_frames", "sampled_frames": 3, "tubelet": (1, 8, 8)}
    size, square = {"image_size": (24, 32)}, {"image_size": 32}
    for variant, changes, hints, wanted in (
        ("joint", {}, size, {"frames": 8}),
        ("joint", {"heads": 6}, size, {"heads": 6}),
        ("joint", {}, {"frames": 6}, {"image_size": (32, 32)}),  # 3 x 4 x 4 is as good as 4 x 3 x 4
        ("factorised_encoder", square, {}, {"frames": 8, "image_size": (32, 32)}),
        ("factorised_encoder", square | uniform, {"frames": 9}, {"sampled_frames": 3}),
    ):
        config = scenic_config(leaves_of(small_model(variant, **changes)), **hints)
        assert {name: getattr(config, name) for name in wanted} == wanted
    positions = "number of positions is 48"
    for variant, changes, hints, words in (
        ("joint", {}, {}, "48 positions.*frames or image_size.*frames=6 with image_size=32"),
        ("joint", {}, {"frames": 8, "image_size": 32}, f"{positions} in the source, 64 in"),
        ("joint", {}, {"frames": 8}, positions),  # no square image has 12 patches
        ("joint", {}, size | {"model": "factorised_encoder"}, "parameters of 'joint', but model"),
        ("factorised_encoder", square, {"frames": 6}, "time steps is 4 in the source, 3.*Check"),
        ("factorised_encoder", {}, size | {"num_classes": {"noun": 4}}, "classes is 5 in .*, 4 in"),
        ("encoder_average", square, {}, "size of a clip: give frames, or"),
        ("factorised_encoder", square | uniform, {}, "give frames"),
        ("encoder_average", square | uniform, {"frames": 9}, "by hand"),
        ("factorised_dot_product", {}, size, "'joint' or 'factorised_dot_product'"),
        ("time_space", {}, size, "attention_order"),
    ):
        refused(words, scenic_config, leaves_of(small_model(variant, **changes)), **hints)


# ---- nothing left over, nothing missing


def test_every_leaf_is_needed_and_none_is_spare():
    extra = ("Transformer/encoderblock_0/LayerNorm_9/scale", "extra", "embedding/scale_2")
    for variant in ("joint", "factorised_encoder", "factorised_self_attention"):
        model = small_model(variant)
        leaves, other = leaves_of(model), sevens(model.config)
        for name in leaves:
            refused(None, load_scenic, other, {k: v for k, v in leaves.items() if k != name})
        for name in (*extra, "pre_logits/kernel"):
            words = name.removesuffix("/kernel")
            refused(words, load_scenic, other, leaves | {name: np.zeros((48, 48), np.float32)})
    leaves = leaves_of(small_model("joint"))
    out = "Transformer/encoderblock_1/MultiHeadDotProductAttention_0/out/kernel"
    for changes, words in (
        ({"cls_SpatialTransformer": leaves["cls"]}, "'cls_token', which another leaf fills"),
        ({out: leaves[out].reshape(6, 8, 48)}, "one number of heads, but has 4, 6"),
    ):
        refused(words, load_scenic, small_model("joint"), leaves | changes)


def test_another_model_is_refused_with_both_values():
    for variant, changes, words in (
        ("joint", {"num_classes": 7}, "number of classes is 5 in the source, 7 in the model"),
        ("joint", {"heads": 6}, "heads is 4 in the source, 6 in the model"),  # the same shapes
        ("joint", {"dim": 96}, "dim is 48 in the source, 96 in the model"),
        ("joint", {"depth": 2}, "depth is 3 in the source, 2 in the model"),
        ("joint", {"mlp_dim": 48}, "mlp_dim is 96 in the source, 48 in the model"),
        ("joint", {"pooling": "mean"}, "pooling is 'cls' in the source, 'mean' in the model"),
        ("joint", {"tubelet": (4, 8, 8)}, r"tubelet is \(2, 8, 8\) in the source, \(4, 8, 8\) in"),
        ("joint", {"frames": 16}, "number of positions is 48 in the source, 96 in the model"),
        ("joint", {"model": "factorised_encoder"}, "model is 'joint' in .*, 'factorised_encoder'"),
        ("joint", {"layer_scale": 0.1}, "layer_scale is None in the source, 0.1 in the model"),
        ("joint", {"num_classes": {"noun": 4, "verb": 3}}, "number of classes is 5 in .*, 7 in"),
        ("factorised_encoder", {"frames": 16}, "number of time steps is 4 in the source, 8 in"),
    ):
        model = build_model(ViViTConfig(**(SMALL | VARIANTS[variant] | changes)))
        refused(words, load_scenic, model, leaves_of(small_model(variant)))


def test_what_the_reader_should_know_is_in_the_report():
    for model, source, note in (
        (small_model("joint", gelu="exact"), small_model("joint"), "1e-4"),
        (small_model("time_space"), small_model("time_space"), "time_space"),
        (small_model("factorised_dot_product"), small_model("joint_mean"), "Model 4"),
    ):
        assert note in str(load_scenic(model, leaves_of(source)))
    assert not load_scenic(model, leaves_of(source)).notes[1:]


# ---- image ViTs


def test_googles_image_vits_are_read_as_timm_reads_them(tmp_path):
    for style, prefix in (
        ("augreg", ""),
        ("augreg", "opt/target/"),
        ("big_vision", ""),
        ("big_vision", "params/"),
        ("stacked", "params/"),
    ):
        augreg = style == "augreg"
        vit, there = (image_vit(img_size=32, depth=2, no_embed_class=not augreg) for _ in range(2))
        leaves = official(vit.state_dict(), 4, style if augreg else "big_vision", head="head")
        if not augreg:
            leaves["pos_embedding"] = leaves.pop("Transformer/posembed_input/pos_embedding")
        if style == "stacked":
            for name in sorted(k for k in leaves if "encoderblock_0" in k):
                pair = [leaves.pop(name), leaves.pop(name.replace("block_0", "block_1"))]
                leaves[name.replace("block_0", "block")] = np.stack(pair)
        file = tmp_path / "vit.npz"  # older ones of timm know this style by this prefix alone
        np.savez(file, **{prefix + k if augreg else f"params/{k}": v for k, v in leaves.items()})
        there.load_pretrained(str(file))
        np.savez(file, **{prefix + k: v for k, v in leaves.items()})
        found = load_flax_image_vit(file)
        state = dict(found.state)
        if not augreg:  # positions are added before the class token is there
            assert not state["pos_embed"][:, 0].any()
            state["pos_embed"] = state["pos_embed"][:, 1:]
        assert equal(state, there)
        assert (found.heads, found.grid, found.gelu) == (4, (4, 4), "tanh")


def test_a_scenic_checkpoint_of_an_image_vit(checkpoint, tmp_path):
    vit = image_vit(img_size=32)
    leaves = official(vit.state_dict(), 4)
    extra = {"pre_logits/kernel": np.ones((48, 48)), "pre_logits/bias": np.ones(48)}
    tree = {"optimizer": {"target": nested(leaves | extra), "state": {}}, "rng": np.zeros(2)}
    found = load_flax_image_vit(checkpoint(tree))
    ours = {"pre_logits.fc.weight": torch.ones(48, 48), "pre_logits.fc.bias": torch.ones(48)}
    assert equal(found.state, vit.state_dict() | ours)
    file = tmp_path / "vit.npz"
    vit = image_vit(img_size=(24, 40))  # no square: the grid must be given
    np.savez(file, **official(vit.state_dict(), 4, "augreg"))
    refused("not a class token and 3 x 3 patches", load_flax_image_vit, file)
    assert load_flax_image_vit(file, grid=(3, 5)).grid == (3, 5)
    for variant in ("joint", "factorised_encoder", "time_space"):
        np.savez(file, **leaves_of(small_model(variant)))
        refused("load_scenic", load_flax_image_vit, file)
