"""Inflation: what is equal to the image ViT is equal, the rest is reported, nothing is silent."""

import itertools

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer

from vivit_lab import build_model
from vivit_lab.models import MODELS
from vivit_lab.weights import ImageViT, WeightsError, inflate, inflate_kernel

GRID, FRAMES = (3, 4), 8
KERNELS = ("central_frame", "filter_inflation")


def image_vit(seed: int = 0, **changes) -> VisionTransformer:
    """timm's own ViT, small, not square, every parameter drawn at random."""
    torch.manual_seed(seed)
    fields = {
        "img_size": (24, 32), "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 4,
        "mlp_ratio": 2, "num_classes": 7,
    }  # fmt: skip
    vit = VisionTransformer(**(fields | changes)).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return vit


GAP = {"class_token": False, "global_pool": "avg", "fc_norm": False}


def source_of(vit: VisionTransformer, **changes) -> ImageViT:
    return ImageViT("small", vit.state_dict(), **({"heads": 4, "grid": GRID} | changes))


def inflated(vit: VisionTransformer, model: str, options: dict | None = None, **fields):
    """(model, report), the model made to fit."""
    source = source_of(vit)
    model = build_model(source.config(model=model, frames=FRAMES, num_classes=5, **fields)).eval()
    return model, inflate(model, source, **(options or {}))


def frames(batch: int = 2, size: tuple[int, int] = (24, 32)) -> torch.Tensor:
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(9)) * 2 - 1


def frozen(frame: torch.Tensor) -> torch.Tensor:
    return frame[:, None].expand(-1, FRAMES, -1, -1, -1)


@torch.no_grad()
def features(model, clip: torch.Tensor) -> torch.Tensor:
    return model.encode(clip, False)[0]


@torch.no_grad()
def image_features(vit: VisionTransformer, frame: torch.Tensor) -> torch.Tensor:
    return vit.forward_head(vit.forward_features(frame), pre_logits=True)


# ---- the embedding


def test_a_frozen_clip_is_embedded_as_its_frame_is():
    vit = image_vit()
    with torch.no_grad():
        patches = vit.patch_embed(frames())
    for name, how, t in itertools.product(MODELS, KERNELS, (1, 2, 4, 8)):
        model, _ = inflated(vit, name, {"tubelet": how}, tubelet=(t, 8, 8))
        with torch.no_grad():
            tokens = model.patch_embed(frozen(frames()))
        right = patches[:, None].expand_as(tokens)
        torch.testing.assert_close(tokens, right, atol=1e-5, rtol=0)


def test_sampled_frames_are_embedded_as_images_moving_or_not():
    vit, clip = image_vit(), torch.rand(2, FRAMES, 3, 24, 32) * 2 - 1
    for name in MODELS:
        model, report = inflated(vit, name, tokenizer="uniform_frames", sampled_frames=3)
        kept = clip[:, model.patch_embed.indices]
        with torch.no_grad():
            right = vit.patch_embed(kept.flatten(0, 1)).unflatten(0, (2, 3))
            torch.testing.assert_close(model.patch_embed(clip), right, atol=1e-5, rtol=0)
        assert not report["inflated"]


def test_each_kernel_is_what_its_name_says_and_a_view_of_nothing():
    kernel = torch.randn(6, 3, 4, 4)
    for t, centre in ((1, 0), (2, 1), (3, 1), (4, 2), (5, 2)):
        found = inflate_kernel(kernel, t)
        assert torch.equal(found[:, :, centre], kernel)
        assert not found[:, :, [i for i in range(t) if i != centre]].any()
    found = inflate_kernel(kernel, 4, "filter_inflation")
    assert torch.equal(found, torch.stack([kernel / 4] * 4, dim=2))
    for t in (2, 3, 4, 8):  # sees change and nothing else
        found = inflate_kernel(kernel, t, "rank_pooling")
        torch.testing.assert_close(found.sum(dim=2), torch.zeros_like(kernel), atol=1e-5, rtol=0)
        rising = torch.arange(t).view(1, 1, t, 1, 1)  # of a steady change: a positive multiple
        multiple = (found * rising).sum(dim=2) / kernel
        assert multiple.min() > 0.1 and multiple.std() < 1e-4 * multiple.mean()
    for how in (*KERNELS, "rank_pooling"):
        before, found = kernel.clone(), inflate_kernel(kernel, 4, how)
        found[:, :, 0] = 7
        assert torch.equal(kernel, before)
        assert not (found[:, :, 1:] == 7).any()
    for arguments, words in (
        ((kernel[None], 2), r"must be \(D, C, h, w\)"),
        ((kernel, 0), "t is 0"),
        ((kernel, 2, "filter"), "'filter', which is not one of"),
    ):
        with pytest.raises(ValueError, match=words):
            inflate_kernel(*arguments)


def test_inflating_leaves_the_source_alone_and_shares_nothing_with_it():
    vit = image_vit()
    source = source_of(vit)
    before = {name: tensor.clone() for name, tensor in source.state.items()}
    model = build_model(source.config(model="factorised_self_attention", frames=FRAMES))
    inflate(model, source, temporal_attention="space")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3)
    for name, tensor in before.items():
        assert torch.equal(source.state[name], tensor)


# ---- who starts exactly as the image ViT

VITS = {
    "plain": {},
    "tanh": {"act_layer": "gelu_tanh"},
    "layer_scale": {"init_values": 0.3},
    "no_qkv_bias": {"qkv_bias": False},
    "no_proj_bias": {"proj_bias": False},
    "cls_without_position": {"no_embed_class": True},
    "two_heads": {"num_heads": 2},
}
every_vit = pytest.mark.parametrize("changes", VITS.values(), ids=VITS)


def fitting(changes: dict) -> dict:
    tanh = changes.get("act_layer") == "gelu_tanh"
    return {"heads": changes.get("num_heads", 4), "gelu": "tanh" if tanh else "exact"}


@every_vit
def test_who_starts_as_the_image_vit(changes):
    """Model 2, averaging over time; and without class token Models 1 to 3."""
    vit, without = image_vit(**changes), changes
    if changes.get("no_embed_class"):
        without = {}
    bare = image_vit(**(GAP | without))
    cases = [(vit, {"model": "factorised_encoder", "temporal_depth": 0}, how) for how in KERNELS]
    for fields in (
        {"model": "joint", "pooling": "mean"},
        {"model": "factorised_encoder", "pooling": "mean", "temporal_depth": 0},
        {"model": "factorised_self_attention"},
        {"model": "factorised_self_attention", "attention_order": "time_space"},
    ):
        cases.append((bare, fields, "central_frame"))
    for start, fields, how in cases:
        source = source_of(start, **fitting(changes))
        model = build_model(source.config(frames=FRAMES, **fields)).eval()
        inflate(model, source, tubelet=how)
        right = image_features(start, frames())
        torch.testing.assert_close(features(model, frozen(frames())), right, atol=1e-5, rtol=0)


def test_before_model_2s_temporal_encoder_each_step_is_the_image_vit_of_its_frame():
    for fields, pooling in (({}, "cls"), (GAP, "mean")):
        vit, seen = image_vit(**fields), []
        model, _ = inflated(vit, "factorised_encoder", pooling=pooling)
        model.norm.register_forward_hook(lambda *call, seen=seen: seen.append(call[-1]))
        clip = torch.rand(2, FRAMES, 3, 24, 32) * 2 - 1
        features(model, clip)
        found = seen[0][:, :, 0] if pooling == "cls" else seen[0].mean(dim=2)
        for step in range(FRAMES // 2):  # the central of frames 2 k and 2 k + 1 is 2 k + 1
            right = image_features(vit, clip[:, 2 * step + 1])
            torch.testing.assert_close(found[:, step], right, atol=1e-5, rtol=0)


ENCODER = {"model": "factorised_encoder", "temporal_depth": 0}
SELF = {"model": "factorised_self_attention"}
STARTS = (
    ({}, {"model": "joint"}, {}, False),
    ({}, {"model": "joint", "tubelet": (8, 8, 8)}, {}, True),  # one time step
    (GAP, {"model": "joint", "pooling": "mean"}, {}, True),
    ({}, {"model": "joint", "pooling": "mean"}, {}, False),
    ({}, ENCODER, {}, True),
    ({}, ENCODER | {"gelu": "tanh"}, {}, False),
    ({}, ENCODER, {"cls_token": "new"}, False),
    ({}, ENCODER, {"positions": "new"}, False),
    ({}, ENCODER, {"tubelet": "random"}, False),
    ({}, ENCODER, {"tubelet": "rank_pooling"}, False),
    (GAP, SELF, {}, True),
    ({}, SELF, {}, False),
    (GAP, SELF, {"temporal_attention": "space"}, False),
    (GAP, SELF, {"temporal_attention": "new"}, False),
    (GAP, {"model": "factorised_dot_product"}, {}, False),
)


def test_the_report_says_truly_whether_the_start_is_exact():
    for changes, fields, options, exact in STARTS:
        vit = image_vit(**changes)
        model, report = inflated(vit, options=options, **fields)
        apart = (features(model, frozen(frames())) - image_features(vit, frames())).abs().max()
        assert (apart < 1e-5) == exact
        assert exact or apart > 1e-4  # tanh against exact GELU is the smallest
        says = [note for note in report.notes if note.startswith("Start:")]
        assert len(says) == 1
        assert ("are exactly" in says[0]) == exact
        assert ("not exactly" in says[0]) != exact
        if options.get("tubelet") == "random":
            parts = {"patch_embed.proj.weight", "patch_embed.proj.bias"}
            for kind in ("new", "unused"):
                assert parts <= {entry.name for entry in report[kind]}


# ---- Model 3's attention over time


def test_zeroing_the_output_projection_alone_lets_time_be_learned():
    clip = torch.rand(2, FRAMES, 3, 24, 32, generator=torch.Generator().manual_seed(3)) * 2 - 1
    direction = torch.randn(48, generator=torch.Generator().manual_seed(4))
    for changes in ({}, {"init_values": 0.3}):
        model, _ = inflated(image_vit(**(GAP | changes)), "factorised_self_attention")
        for learned in (False, True):  # queries, keys and values, from the second step on
            (model.encode(clip, False)[0] @ direction).sum().backward()
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
    vit = image_vit(init_values=0.3)
    for how in ("identity", "space", "new"):
        source = source_of(vit)
        model = build_model(source.config(model="factorised_self_attention", frames=FRAMES))
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        inflate(model, source, temporal_attention=how)
        after = model.state_dict()
        for name in before:
            if "norm_time" in name:
                assert torch.equal(after[name], before[name])
            if "attn_time" in name:
                spatial = after[name.replace("attn_time", "attn")]
                zeroed = how == "identity" and ".proj." in name
                kept = torch.zeros_like(spatial) if zeroed else before[name]
                assert torch.equal(after[name], spatial if how == "space" else kept)
            if "ls_time" in name:
                right = before[name] if how == "new" else after[name.replace("ls_time", "ls1")]
                assert torch.equal(after[name], right)


# ---- class token and positions


def test_a_class_token_is_copied_or_left_new():
    vit, new = image_vit(), torch.zeros(1, 1, 48)
    for name in ("joint", "factorised_encoder"):
        for how, right in ((None, vit.cls_token), ("copied", vit.cls_token), ("new", new)):
            model, report = inflated(vit, name, {"cls_token": how})
            assert torch.equal(model.cls_token, right)
            assert torch.equal(model.pos_embed[:, 0], vit.pos_embed[:, 0])  # in any case
            assert ("cls_token" in {e.name for e in report["unused"]}) == (how == "new")
            assert ("its class token is new" in str(report)) == (how == "new")


def test_a_class_token_without_a_place_is_reported_with_its_position():
    vit = image_vit()
    unused = {"cls_token": (1, 1, 48), "pos_embed[:, :1]": (1, 1, 48), "head.weight": (7, 48)}
    for name in ("factorised_self_attention", "factorised_dot_product"):
        model, report = inflated(vit, name)
        assert torch.equal(model.pos_embed, vit.pos_embed[:, 1:].repeat(1, 4, 1))
        assert {e.name: e.shape for e in report["unused"]} == unused | {"head.bias": (7,)}


def test_without_a_class_token_to_copy_the_models_own_stays_with_its_row():
    vit = image_vit(**GAP)
    source = source_of(vit)
    model = build_model(source.config(model="joint", frames=FRAMES))
    with torch.no_grad():
        model.cls_token.fill_(0.5)
    row = model.pos_embed[:, :1].clone()
    report = inflate(model, source)
    assert (model.cls_token == 0.5).all()
    assert torch.equal(model.pos_embed, torch.cat([row, vit.pos_embed.repeat(1, 4, 1)], dim=1))
    assert "the source has none" in str(report)
    with pytest.raises(WeightsError, match="small has no class token"):
        inflate(model, source, cls_token="copied")


def test_positions_are_repeated_for_joint_tables_and_copied_for_model_2():
    vit = image_vit()
    for name, times, repeated in (("joint", 4, ["pos_embed"]), ("factorised_encoder", 1, [])):
        model, report = inflated(vit, name)
        row, rest = vit.pos_embed[:, :1], vit.pos_embed[:, 1:]  # time slowest
        assert torch.equal(model.pos_embed, torch.cat([row, *[rest] * times], dim=1))
        assert [e.name for e in report["repeated"]] == repeated


def test_at_another_size_timms_resizing_gives_timms_features():
    small = image_vit()
    large = image_vit(img_size=(40, 24))
    state = small.state_dict()
    large.load_state_dict({k: v for k, v in state.items() if k != "pos_embed"}, strict=False)
    from timm.layers import resample_abs_pos_embed

    with torch.no_grad():
        large.pos_embed.copy_(resample_abs_pos_embed(small.pos_embed, [5, 3], [3, 4]))
    model, report = inflated(
        small, "factorised_encoder", {"positions": "bicubic"}, image_size=(40, 24), temporal_depth=0
    )
    frame = frames(size=(40, 24))
    right = image_features(large, frame)
    torch.testing.assert_close(features(model, frozen(frame)), right, atol=1e-5, rtol=0)
    assert report["resized"][0].note == "3 x 4 to 5 x 3, bicubic"


def test_a_position_grid_of_its_own_fills_the_table_and_is_told():
    model, report = inflated(image_vit(), "joint", {"position_grid": (8, 6)})
    assert model.pos_embed.shape == (1, 49, 48)
    assert "3 x 4 to 8 x 6" in str(report)
    assert "do not line up" in str(report)
    with pytest.raises(ValueError, match="must divide the 48 rows of the model's table; its"):
        inflated(image_vit(), "joint", {"position_grid": (5, 5)})


# ---- the report


@every_vit
def test_every_parameter_and_every_tensor_is_in_the_report_once(changes):
    source = source_of(image_vit(**changes), **fitting(changes))
    for name in MODELS:
        heads = {"verb": 3, "noun": 4}
        model = build_model(source.config(model=name, frames=FRAMES, num_classes=heads))
        report = inflate(model, source)
        names = [e.name for e in report.entries if e.action != "unused"]
        assert sorted(names) == sorted(model.state_dict())
        used = {e.source for e in report.entries if e.source} - {"pos_embed[:, :1]"}
        assert used == set(source.state)
        assert not any(parameter.any() for parameter in model.head.parameters())


def test_the_report_as_text_and_as_html():
    report = inflated(image_vit(), "joint")[1]
    text, html = str(report).splitlines(), report._repr_html_()
    assert text[0] == "From small: 40 copied, 1 inflated, 1 repeated, 2 new, 2 unused"
    rows = [line.split() for line in text]
    assert ["copied", "blocks.0-2.attn.qkv.weight", "144", "x", "48"] in rows
    repeated = "repeated pos_embed 1 x 49 x 48 1 x 13 x 48 the same for all 4 time steps"
    assert repeated.split() in rows
    for words in (
        "<b>From small: 40 copied",
        ">blocks.0-2.attn.qkv.weight<",
        ">144 x 48<",
        "Start:",
    ):
        assert words in html
    assert repr(report) == str(report)
    with pytest.raises(KeyError, match="copied, inflated"):
        report["copies"]


def test_what_the_reader_should_know_is_noted():
    source = source_of(image_vit())
    for gelu, noted in (("tanh", True), ("exact", False)):
        report = inflate(build_model(source.config(frames=FRAMES, gelu=gelu)), source)
        assert ('A model built with gelu="exact"' in str(report)) == noted
    vit = image_vit(qkv_bias=False, no_embed_class=True)
    model, report = inflated(vit, "joint")
    assert "no bias in attn.qkv: zeros are the same" in str(report)
    assert "adds no position to its class token" in str(report)
    extra = {"mask_token": torch.zeros(1, 48), "pre_logits.fc.weight": torch.zeros(48, 48)}
    report = inflate(model, vit.state_dict() | extra, heads=4, grid=GRID)  # of use to others only
    assert {e.name for e in report["unused"]} == {*extra, "head.weight", "head.bias"}


# ---- state dicts


def test_a_state_dict_with_heads_and_grid_is_as_good_as_an_image_vit():
    vit = image_vit()
    model, _ = inflated(vit, "joint")
    other = build_model(model.config)
    report = inflate(other, vit.state_dict(), heads=4, grid=GRID)
    for name, tensor in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor), name
    assert "the GELU cannot be seen" in str(report)


def test_what_a_state_dict_cannot_tell_is_asked_for():
    vit = image_vit()
    model, _ = inflated(vit, "joint")
    with pytest.raises(WeightsError, match=r"Give heads = \.\.\.; the model has 4"):
        inflate(model, vit.state_dict(), grid=GRID)
    with pytest.raises(WeightsError, match="13 rows .* a class token and 3 x 3 .*Give grid = "):
        inflate(model, vit.state_dict(), heads=4)
    with pytest.raises(WeightsError, match="heads is 2 in the source, 4 in the model"):
        inflate(model, vit.state_dict(), heads=2, grid=GRID)
    with pytest.raises(WeightsError, match="13 rows .* not a class token and 3 x 5"):
        inflate(model, vit.state_dict(), heads=4, grid=(3, 5))


def test_a_square_is_inferred_with_a_note_unless_the_model_says_otherwise():
    vit = image_vit(img_size=32)
    source = ImageViT("small", vit.state_dict(), heads=4)
    assert source.grid == (4, 4)
    square = build_model(source.config(frames=FRAMES))
    assert "4 x 4 is inferred" in str(inflate(square, vit.state_dict(), heads=4))
    long = build_model(source.config(frames=FRAMES, image_size=(16, 64)))
    with pytest.raises(WeightsError, match=r"16 patches.*may lie 4 x 4, or 2 x 8.*Give grid"):
        inflate(long, vit.state_dict(), heads=4)
    report = inflate(long, vit.state_dict(), heads=4, grid=(4, 4))
    assert "4 x 4 to 2 x 8, bilinear" in str(report)


# ---- refusals

FOREIGN_VITS = (
    ("reg_token", {"reg_tokens": 2}),
    ("norm_pre", {"pre_norm": True}),
    ("fc_norm", GAP | {"fc_norm": True}),
    ("attn_pool", {"class_token": False, "global_pool": "map"}),
    ("q_norm", {"qk_norm": True}),
    ("attn.norm", {"scale_attn_norm": True}),
)


def test_a_vit_that_a_vivit_cannot_compute_is_refused_by_name():
    vit = image_vit()
    model, _ = inflated(vit, "joint")
    states = [(image_vit(**fields).state_dict(), name) for name, fields in FOREIGN_VITS]
    for name in ("blocks.0.mlp.w12.weight", "blocks.0.attn.qkv.wieght", "module.norm.weight"):
        states.append((vit.state_dict() | {name: torch.zeros(1)}, name))
    for state, name in states:
        with pytest.raises(WeightsError, match=f"{name}.*no parameter of a plain ViT"):
            inflate(model, state, heads=4, grid=GRID)


def assert_refused(model, words: str, source, error=WeightsError, **options) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(error, match=words):
        inflate(model, source, **options)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


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
        assert_refused(build_model(source.config(frames=FRAMES, **fields)), words, source)


def test_a_damaged_source_changes_nothing():
    model, _ = inflated(image_vit(), "joint")
    state, name = image_vit(seed=5).state_dict(), "blocks.2.mlp.fc2.weight"
    nan = state[name].clone()
    nan[0, 0] = torch.nan
    changed = [state | {name: spoilt} for spoilt in (nan, state[name].int(), state[name][:5])]
    for spoilt in (*changed, {k: v for k, v in state.items() if k != name}):
        assert_refused(model, r"blocks.2.mlp.fc2", spoilt, heads=4, grid=GRID)


def test_options_that_mean_nothing_are_refused():
    source = source_of(image_vit())
    joint = build_model(source.config(frames=FRAMES))
    for options, words in (
        ({"tubelet": "central"}, "Did you mean 'central_frame'"),
        ({"positions": "nearest"}, "positions is 'nearest', which is not one of"),
        ({"temporal_attention": "space"}, "with model = 'joint' it must be None"),
        ({"cls_token": "keep"}, "cls_token is 'keep'"),
        ({"heads": 4}, "knows its heads and grid"),
        ({"position_grid": (1, 2, 3)}, r"position_grid is \(1, 2, 3\)"),
        ({"position_grid": (0, 3)}, "position_grid is \\(0, 3\\), but"),
        ({"position_grid": (3, 4), "positions": "new"}, "with positions = 'new' it must be None"),
    ):
        assert_refused(joint, words, source, ValueError, **options)
    mean = build_model(source.config(model="factorised_dot_product", frames=FRAMES))
    assert_refused(mean, "pools by the mean", source, ValueError, cls_token="new")


def test_things_that_are_no_model_or_no_source_are_refused():
    vit = image_vit()
    model, _ = inflated(vit, "joint")
    with pytest.raises(TypeError, match="must be a ViViT from build_model"):
        inflate(vit, source_of(vit))
    with pytest.raises(TypeError, match=r"pass module.state_dict\(\)"):
        inflate(model, vit)
    with pytest.raises(WeightsError, match=r"'pos_embed'.*must be a torch.Tensor"):
        inflate(model, vit.state_dict() | {"pos_embed": [1.0]}, heads=4)
    with pytest.raises(ValueError, match="heads is 5, but must divide small's dim 48"):
        source_of(vit, heads=5)
    with pytest.raises(WeightsError, match=r"has no 'pos_embed' of 3 axes, so it is not"):
        ImageViT("x", {k: v for k, v in vit.state_dict().items() if k != "pos_embed"}, 4)
    without_cls = {k: v for k, v in vit.state_dict().items() if k != "cls_token"}
    with pytest.raises(WeightsError, match="13 rows of x's pos_embed are not 3 x 4 patches"):
        ImageViT("x", without_cls, 4, GRID)
