"""Inflation: what is equal to the image ViT is equal, the rest is reported, nothing is silent."""

import itertools

import pytest
import torch
from shared import assert_close, assert_starts_as, both_features, equal, image_vit, refused
from timm.layers import resample_abs_pos_embed

from vivit_lab import build_model
from vivit_lab.models import MODELS
from vivit_lab.weights import ImageViT, WeightsError, inflate, inflate_kernel

GRID, FRAMES = (3, 4), 8
KERNELS = ("central_frame", "filter_inflation")
GAP = {"class_token": False, "global_pool": "avg", "fc_norm": False}
JOINT, ENCODER, SELF, DOT = ({"model": name} for name in MODELS)
AVERAGE, MEAN = ENCODER | {"temporal_depth": 0}, {"pooling": "mean"}


def random_(shape, seed: int = 9) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def source_of(vit, **changes) -> ImageViT:
    return ImageViT("small", vit.state_dict(), **({"heads": 4, "grid": GRID} | changes))


def made(source: ImageViT, **fields):
    return build_model(source.config(**({"frames": FRAMES, "num_classes": 5} | fields))).eval()


def inflated(vit, options: dict | None = None, **fields):
    """(model, report), the model made to fit."""
    model = made(source_of(vit), **fields)
    return model, inflate(model, source_of(vit), **(options or {}))


def names(entries):
    return {entry.name for entry in entries}


def frozen(frame: torch.Tensor) -> torch.Tensor:
    return frame[:, None].expand(-1, FRAMES, -1, -1, -1)


FRAME = random_((2, 3, 24, 32))
CLIP = random_((2, FRAMES, 3, 24, 32))


# ---- the embedding


@torch.no_grad()
def test_frames_are_embedded_as_images():
    vit = image_vit()
    patches = vit.patch_embed(FRAME)
    for name, how, t in itertools.product(MODELS, KERNELS, (1, 2, 4, 8)):  # all alike
        model, _ = inflated(vit, {"tubelet": how}, model=name, tubelet=(t, 8, 8))
        tokens = model.patch_embed(frozen(FRAME))
        assert_close(tokens, patches[:, None].expand_as(tokens))
    for name in MODELS:  # sampled ones, moving or not
        model, report = inflated(vit, model=name, tokenizer="uniform_frames", sampled_frames=3)
        kept = CLIP[:, model.patch_embed.indices]
        right = vit.patch_embed(kept.flatten(0, 1)).unflatten(0, (2, 3))
        assert_close(model.patch_embed(CLIP), right)
        assert not report["inflated"]


def test_each_kernel_is_what_its_name_says_and_a_view_of_nothing():
    kernel = torch.randn(6, 3, 4, 4)
    for t, centre in ((1, 0), (2, 1), (3, 1), (4, 2), (5, 2)):
        wanted = torch.zeros(6, 3, t, 4, 4)
        wanted[:, :, centre] = kernel
        assert torch.equal(inflate_kernel(kernel, t), wanted)
        wanted = torch.stack([kernel / t] * t, dim=2)
        assert torch.equal(inflate_kernel(kernel, t, "filter_inflation"), wanted)
    for t in (2, 3, 4, 8):  # sees change and nothing else
        found = inflate_kernel(kernel, t, "rank_pooling")
        assert_close(found.sum(dim=2), torch.zeros_like(kernel))
        rising = torch.arange(t).view(1, 1, t, 1, 1)  # of a steady change: a positive multiple
        multiple = (found * rising).sum(dim=2) / kernel
        assert multiple.min() > 0.1 and multiple.std() < 1e-4 * multiple.mean()
    for how in (*KERNELS, "rank_pooling"):
        before, found = kernel.clone(), inflate_kernel(kernel, 4, how)
        found[:, :, 0] = 7
        assert torch.equal(kernel, before) and not (found[:, :, 1:] == 7).any()
    for arguments, words in (
        ((kernel[None], 2), r"must be \(D, C, h, w\)"),
        ((kernel, 0), "t is 0"),
        ((kernel, 2, "filter"), "'filter', which is not one of"),
    ):
        refused(words, inflate_kernel, *arguments, error=ValueError)


def test_inflating_leaves_the_source_alone_and_shares_nothing_with_it():
    source = source_of(image_vit())
    before = {name: tensor.clone() for name, tensor in source.state.items()}
    model = made(source, **SELF)
    inflate(model, source, temporal_attention="space")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3)
    assert equal(source.state, before)


# ---- who starts exactly as the image ViT

VITS = (
    {},
    {"act_layer": "gelu_tanh"},
    {"init_values": 0.3},
    {"qkv_bias": False},
    {"proj_bias": False},
    {"no_embed_class": True},
    {"num_heads": 2},
)


def fitting(changes: dict) -> dict:
    gelu = {"gelu_tanh": "tanh"}.get(changes.get("act_layer"), "exact")
    return {"heads": changes.get("num_heads", 4), "gelu": gelu}


def test_who_starts_as_the_image_vit():
    """Model 2, averaging over time; and without class token Models 1 to 3."""
    time_first = SELF | {"attention_order": "time_space"}
    for changes in VITS:
        vit = image_vit(**changes)
        bare = image_vit(**GAP | {k: v for k, v in changes.items() if k != "no_embed_class"})
        cases = [(vit, AVERAGE, how) for how in KERNELS]
        fields = (JOINT | MEAN, AVERAGE | MEAN, SELF, time_first)
        cases += [(bare, some, "central_frame") for some in fields]
        for start, some, how in cases:
            source = source_of(start, **fitting(changes))
            assert_starts_as(start, source, {"tubelet": how}, **some)


def test_before_model_2s_temporal_encoder_each_step_is_the_image_vit_of_its_frame():
    for fields, pooling in (({}, "cls"), (GAP, "mean")):
        vit, seen = image_vit(**fields), []
        model, _ = inflated(vit, **ENCODER, pooling=pooling)
        model.norm.register_forward_hook(lambda *call, seen=seen: seen.append(call[-1]))
        with torch.no_grad():
            model.encode(CLIP, False)
            central = CLIP[:, 1::2].flatten(0, 1)  # of every two frames the second
            right = vit.forward_head(vit.forward_features(central), pre_logits=True)
        found = seen[0][:, :, 0] if pooling == "cls" else seen[0].mean(dim=2)
        assert_close(found, right.unflatten(0, found.shape[:2]))


STARTS = (
    ({}, JOINT, {}, False),
    ({}, JOINT | {"tubelet": (8, 8, 8)}, {}, True),  # one time step
    (GAP, JOINT | MEAN, {}, True),
    ({}, JOINT | MEAN, {}, False),
    ({}, AVERAGE, {}, True),
    (GAP, AVERAGE, {}, False),  # a class token of its own
    ({}, AVERAGE | {"gelu": "tanh"}, {}, False),
    ({}, AVERAGE, {"cls_token": "new"}, False),
    ({}, AVERAGE, {"positions": "new"}, False),
    ({}, AVERAGE, {"tubelet": "random"}, False),
    ({}, AVERAGE, {"tubelet": "rank_pooling"}, False),
    (GAP, SELF, {}, True),
    ({}, SELF, {}, False),
    (GAP, SELF, {"temporal_attention": "space"}, False),
    (GAP, SELF, {"temporal_attention": "new"}, False),
    (GAP, DOT, {}, False),
)


def test_the_report_says_truly_whether_the_start_is_exact():
    for changes, fields, options, exact in STARTS:
        vit = image_vit(**changes)
        model, report = inflated(vit, options, **fields)
        found, right = both_features(model, vit)
        apart = (found - right).abs().max()
        assert apart < 1e-5 if exact else apart > 1e-4  # tanh against exact GELU is the smallest
        (note,) = [note for note in report.notes if note.startswith("Start:")]
        assert ("are exactly" in note) == exact and ("not exactly" in note) != exact
        if options.get("tubelet") == "random":
            parts = {"patch_embed.proj.weight", "patch_embed.proj.bias"}
            assert parts <= names(report["new"]) & names(report["unused"])
        noted = 'A model built with gelu="exact"' in str(report)
        assert noted == (model.config.gelu == "tanh")


# ---- Model 3's attention over time


def test_zeroing_the_output_projection_alone_lets_time_be_learned():
    direction = random_(48)
    for changes in ({}, {"init_values": 0.3}):
        model, _ = inflated(image_vit(**(GAP | changes)), **SELF)
        for learned in (False, True):  # queries, keys and values, from the second step on
            (model.encode(CLIP, False)[0] @ direction).sum().backward()
            block = model.blocks[1]
            assert block.attn_time.proj.weight.grad.abs().max() > 1e-4
            assert (block.attn_time.qkv.weight.grad.abs().max() > 1e-6) == learned
            assert (block.norm_time.weight.grad.abs().max() > 1e-6) == learned
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.grad is not None:
                        parameter -= 0.1 * parameter.grad
            model.zero_grad()


def test_temporal_attention_by_choice():
    source = source_of(image_vit(init_values=0.3))
    for how in ("identity", "space", "new"):
        model = made(source, **SELF)
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        inflate(model, source, temporal_attention=how)
        after = model.state_dict()
        for name in before:
            spatial = after.get(name.replace("attn_time", "attn").replace("ls_time", "ls1"))
            right = before[name]
            if ("attn_time" in name and how == "space") or ("ls_time" in name and how != "new"):
                right = spatial
            elif "attn_time.proj" in name and how == "identity":
                right = torch.zeros_like(spatial)
            if "_time" in name:
                assert torch.equal(after[name], right), (how, name)


# ---- class token and positions


def test_class_tokens_and_positions():
    vit, bare = image_vit(), image_vit(**GAP)
    head, own = {"head.weight", "head.bias"}, torch.full((1, 1, 48), 0.5)
    row, rest = vit.pos_embed[:, :1], vit.pos_embed[:, 1:]
    joint, no_token = [row, *[rest] * 4], {"cls_token", "pos_embed[:, :1]"}
    for start, name, how, token, table, unused, note in (
        (vit, "joint", None, vit.cls_token, joint, set(), "the same for all 4 time steps"),
        (vit, "joint", "copied", vit.cls_token, joint, set(), ""),
        (vit, "joint", "new", own, joint, {"cls_token"}, "its class token is new"),
        (vit, "factorised_encoder", None, vit.cls_token, [row, rest], set(), ""),
        (vit, "factorised_encoder", "new", own, [row, rest], {"cls_token"}, "token is new"),
        (vit, "factorised_self_attention", None, None, [rest] * 4, no_token, "pools by the mean"),
        (vit, "factorised_dot_product", None, None, [rest] * 4, no_token, "half of its heads"),
        (bare, "joint", None, own, [own, *[bare.pos_embed] * 4], set(), "the source has none"),
    ):
        model = made(source_of(start), model=name)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(0.5)
        report = inflate(model, source_of(start), cls_token=how)
        assert token is None or torch.equal(model.cls_token, token)
        assert torch.equal(model.pos_embed, torch.cat(table, dim=1))  # time slowest
        assert names(report["repeated"]) == ({"pos_embed"} if len(table) > 2 else set())
        assert names(report["unused"]) == unused | head and note in str(report)
        assert all(e.shape == (1, 1, 48) for e in report["unused"] if e.name not in head)


def test_at_another_size_timms_resizing_gives_timms_features():
    small, size = image_vit(), (40, 24)
    large = image_vit(img_size=size)
    table = resample_abs_pos_embed(small.pos_embed, [5, 3], [3, 4])
    large.load_state_dict(small.state_dict() | {"pos_embed": table})
    source, options = source_of(small), {"positions": "bicubic"}
    report = assert_starts_as(large, source, options, image_size=size)
    assert report["resized"][0].note == "3 x 4 to 5 x 3, bicubic"


def test_a_position_grid_of_its_own_fills_the_table_and_is_told():
    model, report = inflated(image_vit(), {"position_grid": (8, 6)})
    assert model.pos_embed.shape == (1, 49, 48)
    assert "3 x 4 to 8 x 6" in str(report) and "do not match those of the source" in str(report)


# ---- the report


def test_every_parameter_and_every_tensor_is_in_the_report_once():
    for changes, name in itertools.product(VITS, MODELS):
        source = source_of(image_vit(**changes), **fitting(changes))
        model = made(source, model=name, num_classes={"verb": 3, "noun": 4})
        report = inflate(model, source)
        found = [entry.name for entry in report.entries if entry.action != "unused"]
        assert sorted(found) == sorted(model.state_dict())
        used = {entry.source for entry in report.entries if entry.source} - {"pos_embed[:, :1]"}
        assert used == set(source.state)
        assert not any(parameter.any() for parameter in model.head.parameters())


def test_the_report_as_text_and_as_html():
    report = inflated(image_vit())[1]
    text, html = str(report).splitlines(), report._repr_html_()
    assert text[0] == "From small: 40 copied, 1 inflated, 1 repeated, 2 new, 2 unused"
    rows = [" ".join(line.split()) for line in text]
    assert "copied blocks.0-2.attn.qkv.weight 144 x 48" in rows
    assert "repeated pos_embed 1 x 49 x 48 1 x 13 x 48 the same for all 4 time steps" in rows
    wanted = ("<b>From small: 40 copied", ">blocks.0-2.attn.qkv.weight<", ">144 x 48<", "Start:")
    assert all(words in html for words in wanted)
    assert repr(report) == str(report)
    with pytest.raises(KeyError, match="copied, inflated"):
        report["copies"]


# ---- state dicts


def test_a_state_dict_with_heads_and_grid_is_as_good_as_an_image_vit():
    vit = image_vit(qkv_bias=False, no_embed_class=True)
    model, report = inflated(vit)
    extra = {"mask_token": torch.zeros(1, 48), "pre_logits.fc.weight": torch.zeros(48, 48)}
    other = build_model(model.config)
    second = inflate(other, vit.state_dict() | extra, heads=4, grid=GRID)
    assert equal(other, model)
    for note in ("no bias in attn.qkv: zeros are the same", "adds no position to its class token"):
        assert note in str(report) and note in str(second)
    assert "does not show its GELU" in str(second)
    assert names(second["unused"]) == {*extra, "head.weight", "head.bias"}  # of use to others only


def test_a_square_is_inferred_with_a_note_unless_the_model_says_otherwise():
    vit = image_vit(img_size=32)
    source = ImageViT("small", vit.state_dict(), heads=4)
    assert source.grid == (4, 4)
    assert "4 x 4, is inferred" in str(inflate(made(source), vit.state_dict(), heads=4))
    long = made(source, image_size=(16, 64))
    refused(
        r"16 patches.*may lie 4 x 4, or 2 x 8.*Give grid", inflate, long, vit.state_dict(), heads=4
    )
    report = inflate(long, vit.state_dict(), heads=4, grid=(4, 4))
    assert "4 x 4 to 2 x 8, bilinear" in str(report)


# ---- refusals


def test_a_vit_that_a_vivit_cannot_compute_is_refused_by_name():
    state = image_vit().state_dict()
    states = {
        "reg_token": image_vit(reg_tokens=2).state_dict(),
        "norm_pre": image_vit(pre_norm=True).state_dict(),
        "fc_norm": image_vit(**GAP | {"fc_norm": True}).state_dict(),
        "attn_pool": image_vit(class_token=False, global_pool="map").state_dict(),
        "q_norm": image_vit(qk_norm=True).state_dict(),
        "attn.norm": image_vit(scale_attn_norm=True).state_dict(),
    }
    for name in ("blocks.0.mlp.w12.weight", "blocks.0.attn.qkv.wieght", "module.norm.weight"):
        states[name] = state | {name: torch.zeros(1)}
    for name, foreign in states.items():
        refused(f"{name}.*A plain ViT .* has no such parameter", ImageViT, "x", foreign, 4, GRID)


def test_what_does_not_fit_is_refused_with_both_values_and_nothing_changes():
    source = source_of(image_vit())
    for fields, words in (
        ({"dim": 96}, "dim is 48 in the source, 96 in the model"),
        ({"depth": 2}, "depth is 3 in the source, 2 in the model"),
        ({"depth": 4}, "depth is 3 in the source, 4 in the model"),
        ({"heads": 2}, "heads is 4 in the source, 2 in the model"),
        ({"mlp_dim": 48}, "mlp_dim is 96 in the source, 48 in the model"),
        ({"tubelet": (2, 4, 8)}, r"patch \(h, w\) is \(8, 8\) in the source, \(4, 8\) in the m"),
        ({"in_channels": 1}, "in_channels is 3 in the source, 1 in the model"),
        ({"layer_scale": 0.1}, "LayerScale is False in the source, True in the model"),
    ):
        refused(words, inflate, made(source, **fields), source)


def test_a_source_or_an_option_that_means_nothing_is_refused():
    vit = image_vit()
    source, state, name = source_of(vit), vit.state_dict(), "blocks.2.mlp.fc2.weight"
    nan = torch.full_like(state[name], torch.nan)
    less = {k: v for k, v in state.items() if k != name}
    joint, dot, known = made(source), made(source, **DOT), {"heads": 4, "grid": GRID}
    refusals = {
        WeightsError: (
            (joint, state | {name: nan}, known, f"{name}.*not finite"),
            (joint, state | {name: state[name].int()}, known, "blocks.2.mlp.fc2"),
            (joint, state | {name: state[name][:5]}, known, "blocks.2.mlp.fc2"),
            (joint, less, known, "blocks.2.mlp.fc2"),
            (joint, state | {"pos_embed": [1.0]}, known, "'pos_embed'.*torch.Tensor"),
            (joint, state, {"grid": GRID}, r"Give heads = \.\.\.; the model has 4"),
            (joint, state, {"heads": 4}, "13 rows .* a class token and 3 x 3.*Give grid"),
            (joint, state, {"heads": 2, "grid": GRID}, "heads is 2 in .*, 4 in the model"),
            (joint, state, {"heads": 4, "grid": (3, 5)}, "13 rows .* token and 3 x 5"),
            (joint, source_of(image_vit(**GAP)), {"cls_token": "copied"}, "no class tok"),
        ),
        ValueError: (
            (joint, source, {"tubelet": "central"}, "Did you mean 'central_frame'"),
            (joint, source, {"positions": "nearest"}, "positions is 'nearest', which is n"),
            (joint, source, {"temporal_attention": "space"}, "with model = 'joint' it must"),
            (joint, source, {"cls_token": "keep"}, "cls_token is 'keep'"),
            (joint, source, {"heads": 4}, "has its heads and grid already"),
            (joint, source, {"position_grid": (1, 2, 3)}, r"position_grid is \(1, 2, 3\)"),
            (joint, source, {"position_grid": (0, 3)}, r"position_grid is \(0, 3\), but"),
            (joint, source, {"position_grid": (5, 5)}, "must divide the 48 rows of the mod"),
            (joint, source, {"position_grid": GRID, "positions": "new"}, "must be None"),
            (dot, source, {"cls_token": "new"}, "pools by the mean"),
        ),
        TypeError: (
            (joint, vit, {}, r"pass module.state_dict\(\)"),
            (vit, source, {}, "must be a ViViT from build_model"),
        ),
    }
    for error, rows in refusals.items():
        for model, given, options, words in rows:
            refused(words, inflate, model, given, error=error, **options)
    no_table, no_token, no_norm = dict(state), dict(state), dict(state)
    del no_table["pos_embed"], no_token["cls_token"], no_norm["norm.weight"]
    for wrong, heads, words in (
        (state, 5, "heads is 5, but must divide x's dim 48"),
        (no_table, 4, "has no 'pos_embed' of 3 axes, so it is not"),
        (no_norm, 4, "x has no final norm .*features would not be the same"),
        (no_token, 4, "13 rows of x's pos_embed are not 3 x 4 patches"),
    ):
        refused(words, ImageViT, "x", wrong, heads, GRID, error=ValueError)
