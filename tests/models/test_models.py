"""Properties that every one of the four models must have."""

import pytest
import torch
from small import SMALL, VARIANTS, clips, small_model

from vivit_lab import ViViTConfig, build_model
from vivit_lab.models import attention_bytes, layers
from vivit_lab.models.layers import DropPath

every_variant = pytest.mark.parametrize("variant", VARIANTS)


def close(a, b, atol=1e-5):
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


# ---- the paper's parameter counts (Table 2, exact counts from the official code)


@pytest.mark.parametrize(
    ("preset", "fields", "parameters"),
    [
        ("B/16x2", {"model": "joint"}, 88_954_000),
        ("B/16x2", {"model": "factorised_encoder"}, 115_062_928),
        ("B/16x2", {"model": "factorised_self_attention"}, 117_319_312),
        ("B/16x2", {"model": "factorised_dot_product"}, 88_952_464),
        ("B/16x2", {"model": "factorised_encoder", "temporal_depth": 0}, 86_696_080),
        ("L/16x2", {"model": "factorised_encoder"}, 354_903_440),
        ("L/16x2", {"model": "factorised_encoder", "temporal_depth": 24}, 606_827_920),
        ("B/16x4", {"model": "factorised_encoder"}, 116_236_432),
        ("B/32x2", {"model": "factorised_encoder"}, 118_488_976),
    ],
)
def test_parameter_counts_are_the_papers(preset, fields, parameters):
    with torch.device("meta"):
        model = build_model(ViViTConfig.preset(preset, num_classes=400, **fields))
    assert sum(p.numel() for p in model.parameters()) == parameters


# ---- what a clip's logits depend on


@every_variant
def test_a_clip_does_not_see_the_others_in_its_batch(variant):
    model = small_model(variant).eval()
    batch, other = clips(3, seed=0), clips(3, seed=9)
    with torch.inference_mode():
        together = model(batch)
        alone = torch.cat([model(clip[None]) for clip in batch])
        mixed = model(torch.cat([batch[:1], other[1:]]))
    close(together, alone)
    close(together[:1], mixed[:1])


@every_variant
def test_eval_is_deterministic_and_ignores_every_dropout(variant):
    rates = {"dropout": 0.5, "attention_dropout": 0.5, "drop_path": 0.5}
    dropping, plain = small_model(variant, **rates), small_model(variant)
    with torch.no_grad():
        assert not torch.equal(dropping(clips()), dropping(clips()))
        dropping.eval()
        first = dropping(clips())
        assert torch.equal(first, dropping(clips()))
        close(first, plain.eval()(clips()))


@every_variant
def test_every_parameter_gets_a_gradient(variant):
    model = small_model(variant).train()
    torch.nn.functional.cross_entropy(model(clips()), torch.tensor([0, 3])).backward()
    still = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_at_the_official_start_logits_are_zero_and_only_the_head_learns():
    torch.manual_seed(0)
    model = build_model(ViViTConfig(**SMALL))
    logits = model(clips())
    assert not logits.any()
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 3])).backward()
    moving = {n.split(".")[0] for n, p in model.named_parameters() if p.grad.any()}
    assert moving == {"head"}


@every_variant
def test_showing_the_frames_backwards_changes_the_logits(variant):
    # averaging over time included: a tubelet of two frames still knows which came first
    model = small_model(variant).eval()
    with torch.inference_mode():
        change = (model(clips()) - model(clips().flip(1))).abs().max()
    assert change > 1e-3


def test_average_pooling_over_single_frames_cannot_tell_order():
    model = small_model("encoder_average", tubelet=(1, 8, 8)).eval()
    with torch.inference_mode():
        close(model(clips()), model(clips().flip(1)))


@pytest.mark.parametrize("variant", ["joint", "joint_mean"])
def test_without_positions_permuting_the_tokens_changes_nothing(variant):
    model = small_model(variant).eval()

    def shuffled_tokens(clip):
        tokens = embed(clip)
        b, t, s, d = tokens.shape
        order = torch.randperm(t * s, generator=torch.Generator().manual_seed(5))
        return tokens.view(b, t * s, d)[:, order].view(b, t, s, d)

    embed = model.patch_embed.forward
    with torch.inference_mode():
        ordered = model(clips())
        model.patch_embed.forward = shuffled_tokens
        assert (model(clips()) - ordered).abs().max() > 1e-3  # with positions it matters
        model.pos_embed[:, int(variant == "joint") :] = 0
        shuffled = model(clips())
        model.patch_embed.forward = embed
        close(model(clips()), shuffled)


@pytest.mark.parametrize("variant", ["factorised_self_attention", "factorised_dot_product"])
def test_without_positions_factorised_models_only_know_the_axes(variant):
    """Permuting whole time steps, or sites alike in all steps, changes nothing; both mixed does."""
    model = small_model(variant).eval()
    embed = model.patch_embed.forward
    generator = torch.Generator().manual_seed(5)
    steps, sites = torch.randperm(4, generator=generator), torch.randperm(12, generator=generator)
    with torch.inference_mode():
        model.pos_embed.zero_()
        ordered = model(clips())
        model.patch_embed.forward = lambda clip: embed(clip)[:, steps][:, :, sites]
        close(model(clips()), ordered)
        model.patch_embed.forward = lambda clip: torch.cat(
            [embed(clip)[:, :1, sites], embed(clip)[:, 1:]], dim=1
        )
        assert (model(clips()) - ordered).abs().max() > 1e-3


def test_model_2_encodes_every_time_step_alone():
    model = small_model("encoder_average").eval()
    first, second = clips(1, seed=0), clips(1, seed=1)
    both = torch.cat([first[:, :4], second[:, 4:]], dim=1)
    with torch.inference_mode():
        # features are means over time, so halves of two clips add up
        a, b, c = (model.encode(x, False)[0] for x in (first, second, both))
        rest = torch.cat([second[:, :4], first[:, 4:]], dim=1)
        close(a + b, c + model.encode(rest, False)[0])


# ---- attention weights


@every_variant
def test_explicit_attention_gives_the_same_logits_as_fused(variant):
    model = small_model(variant).eval()
    with torch.inference_mode():
        fused = model(clips())
        explicit, _ = model(clips(), return_attention=True)
    close(fused, explicit)


@pytest.mark.parametrize("variant", [*VARIANTS, "uniform_encoder"])
def test_attentions_are_what_the_attention_function_really_gets(variant, monkeypatch):
    uniform = {"tokenizer": "uniform_frames", "sampled_frames": 3, "tubelet": (1, 8, 8)}
    if variant == "uniform_encoder":
        model = small_model("factorised_encoder", **uniform).eval()
    else:
        model = small_model(variant).eval()
    seen, attend = [], layers.dot_product_attention

    def watched(q, k, v, **options):
        seen.append((k.shape[:-3].numel() // 2, k.shape[-2], k.shape[-3]))
        return attend(q, k, v, **options)

    monkeypatch.setattr(layers, "dot_product_attention", watched)
    with torch.inference_mode():
        _, maps = model(clips(2), return_attention=True)
    kinds = model.config.attentions()
    if model.config.model in ("joint", "factorised_encoder"):  # one after the other
        order = [kind for kind in kinds for _ in range(kind.depth)]
    else:  # both in every block
        order = [*kinds] * model.config.depth
    assert seen == [(kind.sequences, kind.length, kind.heads) for kind in order]
    found = [(axis, weights) for block in maps for axis, weights in block.items()]
    for kind, (axis, weights) in zip(order, found, strict=True):
        assert axis == kind.axis.replace("space_time", "joint")
        assert weights.numel() == 2 * kind.weights
        assert kind.tokens == kind.sequences * weights.shape[-1]


@every_variant
def test_attention_maps_have_the_documented_shapes_rows_and_bytes(variant):
    model = small_model(variant).eval()
    with torch.inference_mode():
        _, maps = model(clips(), return_attention=True)
    config = model.config
    cls = config.pooling == "cls"
    t, s, h = config.temporal_tokens, config.spatial_tokens, config.heads
    space, time = (2, t, h, s, s), (2, s, h, t, t)
    blocks = {
        "joint": [{"joint": (2, h, t * s + cls, t * s + cls)}] * 3,
        "factorised_encoder": [{"space": (2, t, h, s + cls, s + cls)}] * 3
        + [{"time": (2, h, t + cls, t + cls)}] * (config.temporal_depth or 0),
        "factorised_self_attention": [{"space": space, "time": time}] * 3,
        "factorised_dot_product": [
            {"time": (2, s, h // 2, t, t), "space": (2, t, h // 2, s, s)},
        ]
        * 3,
    }[config.model]
    assert [{k: tuple(w.shape) for k, w in block.items()} for block in maps] == blocks
    weights = [w for block in maps for w in block.values()]
    for w in weights:
        close(w.sum(-1), torch.ones(w.shape[:-1]))
    assert sum(w.numel() * 4 for w in weights) == attention_bytes(model, batch=2)


# ---- heads, stochastic depth


def test_several_heads_give_a_dict_of_logits():
    model = small_model("factorised_encoder", num_classes={"verb": 97, "noun": 300}).eval()
    logits, _ = model(clips(), return_attention=True)
    assert {name: tuple(x.shape) for name, x in logits.items()} == {
        "verb": (2, 97),
        "noun": (2, 300),
    }


def test_drop_path_is_rescaled_and_drops_whole_clips():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    out = drop(torch.ones(20_000, 3, 2))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == out[:, :1, :1]).all()  # one draw a clip
    assert out.mean().item() == pytest.approx(1, abs=0.02)  # the expected value stays


@pytest.mark.parametrize("model", ["factorised_encoder", "factorised_self_attention"])
def test_drop_path_rises_linearly_and_restarts_in_the_temporal_encoder(model):
    built = small_model(model, drop_path=0.4)
    rates = [block.drop_path1.rate for block in built.blocks]
    assert rates == pytest.approx([0, 0.2, 0.4])
    if model == "factorised_encoder":
        rates = [block.drop_path2.rate for block in built.temporal_blocks]
        assert rates == pytest.approx([0, 0.4 / 3, 0.8 / 3, 0.4])


@every_variant
def test_compiles_without_a_graph_break(variant):
    model = small_model(variant).eval()
    explanation = torch._dynamo.explain(model)(clips())
    assert explanation.graph_break_count == 0


# ---- bad input


@pytest.mark.parametrize(
    ("clip", "error", "message"),
    [
        (torch.zeros(1, 8, 3, 24, 32, dtype=torch.uint8), TypeError, "uint8.*normalise"),
        (torch.zeros(8, 3, 24, 32), ValueError, r"five axes.*clip\[None\]"),
        (torch.zeros(1, 6, 3, 24, 32), ValueError, "T = 8 frames, not 6"),
        (torch.zeros(1, 8, 1, 24, 32), ValueError, "C = 3 channels, not 1"),
        (torch.zeros(1, 8, 3, 32, 32), ValueError, "H = 24 pixels, not 32"),
        (torch.zeros(1, 8, 3, 24, 24), ValueError, "W = 32 pixels, not 24"),
        (torch.zeros(1, 3, 8, 24, 32), ValueError, r"\(B, C, T, H, W\).*permute\(0, 2, 1, 3, 4\)"),
        (torch.zeros(1, 8, 24, 32, 3), ValueError, r"\(B, T, H, W, C\).*permute\(0, 1, 4, 2, 3\)"),
        (torch.full((1, 8, 3, 24, 32), 255.0), ValueError, "up to 255.*normalise"),
        ([[0.0]], TypeError, "list"),
    ],
)
@pytest.mark.parametrize("variant", ["joint", "factorised_encoder"])
def test_a_wrong_clip_is_refused_and_the_axis_named(variant, clip, error, message):
    with pytest.raises(error, match=message):
        small_model(variant)(clip)


def test_the_permutation_in_the_message_mends_the_clip():
    model = small_model("joint").eval()
    right = clips()
    for wrong, mend in [((0, 2, 1, 3, 4), (0, 2, 1, 3, 4)), ((0, 1, 3, 4, 2), (0, 1, 4, 2, 3))]:
        assert torch.equal(right.permute(wrong).permute(mend), right)
        with pytest.raises(ValueError, match=str(mend).strip("()")):
            model(right.permute(wrong))


def test_build_model_wants_a_configuration():
    with pytest.raises(TypeError, match=r"ViViTConfig.preset\('B/16x2'"):
        build_model("B/16x2")
