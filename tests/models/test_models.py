"""Properties that every one of the four models must have."""

import pytest
import torch
from small import SMALL, VARIANTS, clips, close, every_variant, small_model

from vivit_lab import ViViTConfig, build_model
from vivit_lab.models import attention_bytes, layers
from vivit_lab.models.layers import DropPath

UNIFORM = {"tokenizer": "uniform_frames", "sampled_frames": 3, "tubelet": (1, 8, 8)}


# ---- what a clip's logits depend on


@every_variant
def test_a_clip_does_not_see_the_others_and_eval_ignores_every_dropout(variant):
    rates = {"dropout": 0.5, "attention_dropout": 0.5, "drop_path": 0.5}
    model, plain = small_model(variant, **rates).train(), small_model(variant).eval()
    batch, other = clips(3, seed=0), clips(3, seed=9)
    with torch.inference_mode():
        assert not torch.equal(model(batch), model(batch))
        together = model.eval()(batch)
        assert torch.equal(together, model(batch))
        close(together, plain(batch))
        close(together, torch.cat([model(clip[None]) for clip in batch]))
        close(together[:1], model(torch.cat([batch[:1], other[1:]]))[:1])
        # averaging over time included: a tubelet of two frames still knows which came first
        assert (model(batch.flip(1)) - together).abs().max() > 1e-3


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


def test_average_pooling_over_single_frames_cannot_tell_order():
    model = small_model("encoder_average", tubelet=(1, 8, 8)).eval()
    with torch.inference_mode():
        close(model(clips()), model(clips().flip(1)))


def test_without_positions_a_model_knows_tokens_only_by_the_axes_that_it_attends_along():
    """Model 1 knows none; Models 3 and 4 tell a step from a step and a place from a place."""
    generator = torch.Generator().manual_seed(5)
    every, steps, sites = (torch.randperm(n, generator=generator) for n in (48, 4, 12))

    def all_mixed(x):
        return x.flatten(1, 2)[:, every].unflatten(1, x.shape[1:3])

    def mixed_in_one_step(x):
        return torch.cat([x[:, :1, sites], x[:, 1:]], dim=1)

    same = {"joint": all_mixed, "joint_mean": all_mixed}
    for variant in ("factorised_self_attention", "factorised_dot_product"):
        same[variant] = lambda x: x[:, steps][:, :, sites]
    with torch.inference_mode():
        for variant, mixed in same.items():
            model = small_model(variant).eval()
            embed, ordered = model.patch_embed.forward, model(clips())
            model.patch_embed.forward = lambda clip, embed=embed, mixed=mixed: mixed(embed(clip))
            assert (model(clips()) - ordered).abs().max() > 1e-3  # with positions it matters
            model.pos_embed[:, int(variant == "joint") :] = 0
            shuffled = model(clips())
            model.patch_embed.forward = embed
            close(model(clips()), shuffled)
            if mixed is not all_mixed:
                model.patch_embed.forward = lambda clip, embed=embed: mixed_in_one_step(embed(clip))
                assert (model(clips()) - shuffled).abs().max() > 1e-3


def test_model_2_encodes_every_time_step_alone():
    model = small_model("encoder_average").eval()
    first, second = clips(1, seed=0), clips(1, seed=1)
    both = torch.cat([first[:, :4], second[:, 4:]], dim=1)
    rest = torch.cat([second[:, :4], first[:, 4:]], dim=1)
    with torch.inference_mode():
        # features are means over time, so halves of two clips add up
        a, b, c, d = (model.encode(x, False)[0] for x in (first, second, both, rest))
        close(a + b, c + d)


# ---- who attends to what


@pytest.mark.parametrize("variant", [*VARIANTS, "uniform_encoder"])
def test_attentions_are_what_the_attention_function_really_gets(variant, monkeypatch):
    """And explicit attention gives the logits of the fused one, and maps of these shapes."""
    uniform = variant == "uniform_encoder"
    model = small_model("factorised_encoder", **UNIFORM) if uniform else small_model(variant)
    seen, attend = [], layers.dot_product_attention

    def watched(q, k, v, **options):
        seen.append((k.shape[:-3].numel() // 2, k.shape[-2], k.shape[-3]))
        return attend(q, k, v, **options)

    monkeypatch.setattr(layers, "dot_product_attention", watched)
    with torch.inference_mode():
        logits, maps = model.eval()(clips(2), return_attention=True)
        kinds, explicit = model.config.attentions(), seen.copy()
        close(model(clips(2)), logits)
    if model.config.model in ("joint", "factorised_encoder"):  # one after the other
        order = [kind for kind in kinds for _ in range(kind.depth)]
    else:  # both in every block
        order = [*kinds] * model.config.depth
    assert explicit == seen[len(explicit) :] == [kind[1:4] for kind in order]
    found = [(axis, weights) for block in maps for axis, weights in block.items()]
    for kind, (axis, weights) in zip(order, found, strict=True):
        assert axis == kind.axis.replace("space_time", "joint")
        one = axis == "joint" or (axis == "time" and "encoder" in model.config.model)
        shape = (2, kind.heads, kind.length, kind.length)
        assert weights.shape == (shape if one else (2, kind.sequences, *shape[1:]))
        assert weights.numel() == 2 * kind.weights
        assert kind.tokens == kind.sequences * kind.length
        close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert sum(w.numel() * 4 for _, w in found) == attention_bytes(model, batch=2)


# ---- stochastic depth


def test_drop_path_is_rescaled_drops_whole_clips_and_rises_linearly():
    torch.manual_seed(0)
    drop = DropPath(0.25).train()
    out = drop(torch.ones(20_000, 3, 2))
    assert out.unique().tolist() == pytest.approx([0, 4 / 3])
    assert (out == out[:, :1, :1]).all()  # one draw a clip
    assert out.mean().item() == pytest.approx(1, abs=0.02)  # the expected value stays
    for name in ("factorised_encoder", "factorised_self_attention"):
        model = small_model(name, drop_path=0.4)
        rates = [block.drop_path1.rate for block in model.blocks]
        assert rates == pytest.approx([0, 0.2, 0.4])
        assert rates == [block.drop_path2.rate for block in model.blocks]
        if name == "factorised_encoder":  # it starts again in the temporal encoder
            rates = [block.drop_path2.rate for block in model.temporal_blocks]
            assert rates == pytest.approx([0, 0.4 / 3, 0.8 / 3, 0.4])
        else:
            assert rates == [block.drop_path_time.rate for block in model.blocks]


# ---- bad input


def test_a_wrong_clip_is_refused_and_the_axis_named():
    cases = [
        (torch.zeros(1, 8, 3, 24, 32, dtype=torch.uint8), TypeError, "uint8.*normalise"),
        (torch.zeros(8, 3, 24, 32), ValueError, r"five axes.*clip\[None\]"),
        (torch.zeros(1, 6, 3, 24, 32), ValueError, r"\(1, 6, 3, 24, 32\), .*\(8, 3, 24, 32\)"),
        (torch.zeros(1, 8, 1, 24, 32), ValueError, r"\(1, 8, 1, 24, 32\), .*\(8, 3, 24, 32\)"),
        (torch.zeros(1, 8, 3, 32, 32), ValueError, r"\(1, 8, 3, 32, 32\), .*\(8, 3, 24, 32\)"),
        (torch.zeros(1, 8, 3, 24, 24), ValueError, r"\(1, 8, 3, 24, 24\), .*\(8, 3, 24, 32\)"),
        (torch.full((1, 8, 3, 24, 32), 255.0), ValueError, "up to 255.*normalise"),
        (torch.full((1, 8, 3, 24, 32), -17.0), ValueError, "up to 17.*normalise"),
        ([[0.0]], TypeError, "list"),
    ]
    for value, words in ((torch.nan, "NaN"), (torch.inf, "up to inf"), (-torch.inf, "up to inf")):
        clip = clips()
        clip[1, 3, 2, 7, 9] = value
        cases.append((clip, ValueError, words))
    right = clips()
    for wrong, mend, name in [
        ((0, 2, 1, 3, 4), (0, 2, 1, 3, 4), "B, C, T, H, W"),
        ((0, 1, 3, 4, 2), (0, 1, 4, 2, 3), "B, T, H, W, C"),
    ]:
        assert torch.equal(right.permute(wrong).permute(mend), right)
        words = rf"\({name}\): pass clip.permute\({str(mend)[1:-1]}\)"
        cases.append((right.permute(wrong), ValueError, words))
    model = small_model("joint")
    for call in (model, model.forward_features, model.for_inference()):
        for clip, error, message in cases:
            with pytest.raises(error, match=message):
                call(clip)
    model(torch.full((1, 8, 3, 24, 32), 16.0))  # normalised in another way


def test_build_model_wants_a_configuration():
    with pytest.raises(TypeError, match=r"ViViTConfig.preset\('B/16x2'"):
        build_model("B/16x2")
