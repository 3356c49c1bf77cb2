"""Attention maps: the model's own, in the right place, in little memory; then rollout."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import VARIANTS, clips, small_model

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention, attention_maps, rollout
from vivit_lab.analysis.measure import LiveTensors
from vivit_lab.models import MODELS, attention_bytes
from vivit_lab.models.layers import Attention

every_variant = pytest.mark.parametrize("variant", VARIANTS)
M1, M2, M3, M4 = MODELS


def sharp_model(variant: str):
    """Attention far from uniform, so that no mistake hides; float64, so that no rounding does."""
    model = small_model(variant).eval().double()
    for module in model.modules():
        if isinstance(module, Attention):
            module.qkv.weight.data.mul_(3)
    return model


CLIP = clips(1).double()


def own_maps(model, clip: Tensor = CLIP) -> list[dict[str, Tensor]]:
    """What the model itself returns, without the batch axis: (sequences, heads, N, N)."""
    with torch.no_grad():
        _, blocks = model(clip, return_attention=True)
    return [{kind: w.reshape(-1, *w.shape[-3:]) for kind, w in block.items()} for block in blocks]


def close(a, b, atol=1e-9):
    b = b if isinstance(b, (Tensor, tuple)) else torch.tensor(b).double()
    torch.testing.assert_close(a, b, atol=atol, rtol=0)


def is_whole(found, atol=1e-9) -> bool:
    """Whether shares lie in 0..1 and sum to one, for each head."""
    return found.weights.min() >= 0 and float((found.total - 1).abs().max()) < atol


# ---- the maps are the model's own


@every_variant
def test_every_map_is_what_return_attention_gives(variant, monkeypatch):
    model = sharp_model(variant)
    maps, own = attention_maps(model, CLIP), own_maps(model)
    assert [(found.layer, found.kind) for found in maps] == [
        (layer, kind) for layer, block in enumerate(own) for kind in block
    ]
    for found in maps:
        right = own[found.layer][found.kind]
        assert right.amax() > 0.3  # far from uniform
        close(found.full(), right)
        vector = torch.rand(right.shape[0], right.shape[2]).double()
        wanted = found._as_shares(torch.einsum("gi,ghij->hgj", vector, right))
        for chunk in (attention.CHUNK, 100):
            monkeypatch.setattr(attention, "CHUNK", chunk)
            given = found.times(found._as_shares(vector), head="each")
            close((given.tokens, given.cls), (wanted.tokens, wanted.cls))
    model, clip = small_model(variant).eval(), clips(1)  # in single precision too
    maps, own = attention_maps(model, clip), own_maps(model, clip)
    for found in maps:
        close(found.full(), own[found.layer][found.kind], atol=1e-6)
        assert is_whole(found.row("mean"), 1e-6)
    assert is_whole(maps.rollout(), 1e-6)


def wanted_row(model, own: Tensor, kind: str, place: tuple[int, int, int]) -> Tensor:
    """The row of token (step, row, column), as (heads, t, h, w), picked by hand."""
    t, h, w = model.config.grid
    step, p = place[0], place[1] * w + place[2]
    cls = int(model.config.pooling == "cls")
    full = torch.zeros(own.shape[1], t, h, w).double()
    if kind == "joint":
        full = own[0, :, cls + step * h * w + p, cls:].reshape(-1, t, h, w)
    elif kind == "space":
        full[:, step] = own[step, :, cls + p, cls:].reshape(-1, h, w)
    elif model.config.model == M2:
        full = own[0, :, cls + step, cls:].reshape(-1, t, 1, 1)
    else:
        full[:, :, place[1], place[2]] = own[p, :, step]
    return full


@every_variant
def test_a_row_lies_where_its_tokens_are_and_all_shares_sum_to_one(variant):
    model = sharp_model(variant)
    own = own_maps(model)
    for found in attention_maps(model, CLIP):
        if found.has_cls:
            right = own[found.layer][found.kind][:, :, 0].mean(dim=1)  # (sequences, N)
            row = found.row("cls")
            close(row.weights, right[:, 1:].reshape(found.over) / len(right))
            close(row.on_cls, right[:, 0].mean())
        rows = torch.stack([found.row(query).weights for query in range(48)])
        close(found.row("mean").weights, rows.mean(0))
        for place in ((0, 0, 0), (1, 2, 0), (3, 1, 3)):
            right = wanted_row(model, own[found.layer][found.kind], found.kind, place)
            close(found.row(place, head="each").weights, right)
            index = (place[0] * 3 + place[1]) * 4 + place[2]
            close(found.row(index, head=1).weights, right[1])
            close(found.row(place).weights, right.mean(0))
        for query in ("mean", 17, *["cls"] * found.has_cls):
            for head in ("mean", "each", found.heads - 1):
                assert is_whole(found.row(query, head))


# ---- products


def test_a_product_is_the_two_maps_multiplied_in_the_order_of_the_model():
    for variant in (M3, "time_space", M4):
        model = sharp_model(variant)
        own, step, p = own_maps(model)[1], 2, 7
        space, time = own["space"].mean(1), own["time"].mean(1)  # (t, s, s), (s, t, t)
        right = time[p, step][:, None] * space[:, p]
        if variant == "time_space":
            right = space[step, p][None] * time[:, step].T
        found = attention_maps(model, CLIP).product(layer=1, query=step * 12 + p)
        close(found.weights.flatten(1), right)
        assert is_whole(found) and found.kind == "product" and "not attention" in found.label
    for variant in (M2, "encoder_mean"):  # the two encoders, joined
        model = sharp_model(variant)
        own = own_maps(model)
        space, time = own[2]["space"].mean(1), own[-1]["time"].mean(1)[0]
        if variant == M2:
            right = time[0, 1:, None] * space[:, 0, 1:]
            on_cls = time[0, 1:] @ space[:, 0, 0] + time[0, 0]
        else:
            right, on_cls = time.mean(0)[:, None] * space.mean(1), 0.0
        found = attention_maps(model, CLIP).product(layer=2)
        close(found.weights.flatten(1), right)
        close(found.on_cls, on_cls)
        assert is_whole(found)


# ---- rollout, against the whole matrices


def matrix(own: Tensor, kind: str, t: int, s: int) -> Tensor:
    """One attention as a matrix over all t * s tokens of the clip, heads averaged."""
    weights = own.mean(dim=1)
    if kind != "time":
        return torch.block_diag(*weights)
    whole = torch.zeros(t, s, t, s).double()
    for place in range(s):
        whole[:, place, :, place] = weights[place]
    return whole.reshape(t * s, t * s)


def brute_force(model) -> tuple[Tensor, Tensor]:
    """Rollout by multiplying whole matrices: weights (t, h, w), and the share of class tokens."""
    config, own = model.config, own_maps(model)
    t, s, cls = config.temporal_tokens, config.spatial_tokens, int(config.pooling == "cls")

    def output(attentions: list[Tensor]) -> Tensor:
        product = torch.eye(len(attentions[0])).double()
        for weights in attentions:
            product = (0.5 * weights + 0.5 * torch.eye(len(weights))) @ product
        return product[0] if cls else product.mean(dim=0)

    if config.model == M2:
        spatial, temporal = own[: config.depth], own[config.depth :]
        steps = torch.full((t,), 1 / t).double()
        if temporal:
            steps = output([block["time"][0].mean(0) for block in temporal])
        on_cls, steps = steps[:-t].sum(), steps[-t:]
        rows = [output([block["space"][i].mean(0) for block in spatial]) for i in range(t)]
        rows = steps[:, None] * torch.stack(rows)
        return rows[:, cls:].reshape(config.grid), on_cls + rows[:, :cls].sum()

    attentions = []
    for block in own:
        matrices = {kind: matrix(w, kind, t, s) for kind, w in block.items()}
        if config.model == M4:
            attentions.append((matrices["time"] + matrices["space"]) / 2)
        else:
            order = config.attention_order.split("_") if config.model == M3 else ["joint"]
            attentions += [matrices[kind] for kind in order]
    row = output(attentions)
    return row[cls:].reshape(config.grid), row[:cls].sum()


@every_variant
def test_rollout_equals_the_product_of_whole_matrices(variant):
    model = sharp_model(variant)
    found, (weights, on_cls) = rollout(model, CLIP), brute_force(model)
    close((found.weights, found.on_cls), (weights, on_cls))
    assert is_whole(found) and "not attention" in found.label
    assert weights.std() > 0.001  # a uniform one would prove nothing


# ---- what it costs


def test_the_maps_are_never_all_in_memory(monkeypatch):
    monkeypatch.setattr(attention, "CHUNK", 2**18)
    config = ViViTConfig(frames=8, image_size=224, dim=48, heads=12, depth=4, mlp_dim=48)
    model, clip = build_model(config).eval(), torch.zeros(1, *config.clip_shape)
    with LiveTensors(model.parameters()) as watch:
        maps = attention_maps(model, clip)
        maps.rollout(), maps.at(-1).row("mean"), maps.at(0).row("cls", head="each")
    assert 0 < watch.peak < attention_bytes(model) / 4  # not even one of the four at once


@every_variant
def test_what_is_held_grows_with_the_tokens_not_with_their_square(variant):
    model = small_model(variant).eval()
    maps, width = attention_maps(model, clips(1)), model.config.dim * 4 // model.config.heads
    kinds = model.config.attentions()
    held = sum(2 * kind.depth * kind.tokens * kind.heads * width for kind in kinds)
    stored = sum(x.untyped_storage().nbytes() for found in maps for x in (found.q, found.k))
    assert maps.nbytes == held == stored  # no views that keep something larger alive


# ---- nothing is left behind


def hooks(model) -> list[int]:
    return [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in model.modules()]


@every_variant
def test_the_model_stays_as_it_was(variant):
    model, clip = small_model(variant).eval(), clips(1)
    random, before = torch.random.get_rng_state(), hooks(model)
    parameters = [p.detach().clone() for p in model.parameters()]
    with torch.no_grad():
        logits = model(clip)
    maps = attention_maps(model, clip)
    rollout(model, clip)
    assert hooks(model) == before and not any(m.training for m in model.modules())
    assert all(map(torch.equal, model.parameters(), parameters))
    assert all(p.requires_grad for p in model.parameters())
    assert torch.equal(random, torch.random.get_rng_state())
    with torch.no_grad():
        assert torch.equal(logits, model(clip))
    rows = [found.row(3).weights for found in maps]
    for p in model.parameters():  # and the maps are no views of the model
        p.data.zero_()
    assert all(map(torch.equal, rows, (found.row(3).weights for found in maps)))


def test_hooks_are_removed_after_an_error(monkeypatch):
    model = small_model(M3).eval()
    before = hooks(model)
    with pytest.raises(ValueError, match=r"model was built for .*\(8, 3, 24, 32\)"):
        attention_maps(model, clips(1)[:, :6])
    assert hooks(model) == before
    monkeypatch.setattr(model.blocks[2].mlp, "forward", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        attention_maps(model, clips(1))
    assert hooks(model) == before


def test_modes_precisions_and_chosen_layers():
    model = small_model(M4).eval()
    outside = attention_maps(model, clips(1))
    assert not outside[0].q.requires_grad
    with torch.inference_mode():
        inside = attention_maps(model, clips(1))
        assert torch.equal(inside.rollout().weights, outside.rollout().weights)
    assert is_whole(rollout(small_model(M1).eval().bfloat16(), clips(1).bfloat16()), 1e-6)
    model = sharp_model(M3)
    maps, some = attention_maps(model, CLIP), attention_maps(model, CLIP, layers=[-1, 0])
    kept = [(found.layer, found.kind) for found in some]
    assert kept == [(0, "space"), (0, "time"), (2, "space"), (2, "time")]
    assert torch.equal(some.at(2, "time").q, maps.at(-1, "time").q)
    assert some.product(0, 3).weights.equal(maps.product(0, 3).weights)
    for name in MODELS:  # one token an axis
        config = ViViTConfig(model=name, frames=2, image_size=8, tubelet=(2, 8, 8), dim=8, heads=2)
        found = rollout(build_model(config).eval(), torch.zeros(1, 2, 3, 8, 8))
        assert found.weights.shape == (1, 1, 1) and is_whole(found, 1e-6)


# ---- bad input


def test_bad_input_is_named_with_the_rule_or_the_nearest_that_is_there():
    model, one = small_model(M1).eval(), clips(1)
    maps, some = attention_maps(small_model(M3).eval(), one), attention_maps(model, one, [0, 2])
    average, space = attention_maps(small_model("encoder_average").eval(), one), maps.at(1, "space")
    partly = small_model(M1).eval()
    partly.blocks[1].train()  # one block is enough
    for ask, words in [
        (lambda: maps.at(3, "space"), "layer is 3, but must be between -3 and 2"),
        (lambda: maps.at(-9, "space"), "layer is -9, .* between -3 and 2"),
        (lambda: maps.at(-4, "space"), "layer is -4, .* between -3 and 2"),
        (lambda: maps.at(1.0, "space"), "layer is 1.0, .* whole number"),
        (lambda: maps.at(1), "layer 1 has two maps"),
        (lambda: maps.at(1, "spcae"), "Did you mean 'space'"),
        (lambda: space.row(48), "query is 48.* between 0 and 47"),
        (lambda: space.row(-1), "query is -1, .* between 0 and 47"),
        (lambda: space.row(2.5), "query is 2.5, .* whole number"),
        (lambda: space.row((1, 3, 0)), "query row is 3.* between 0 and 2"),
        (lambda: space.row((1, 3)), r"place is \(step, row, column\)"),
        (lambda: space.row("cls"), "has no class token"),
        (lambda: space.row("maen"), "Did you mean 'mean'"),
        (lambda: space.row(0, head=4), "head is 4.* between 0 and 3"),
        (lambda: space.row(0, head="all"), "not one of 'mean', 'each'"),
        (lambda: space.row(0, None), "head is None, .* whole number"),
        (lambda: maps.product(1, 0, head="each"), "one head"),
        (lambda: maps.product(1, 0, time_layer=1), "leave it None"),
        (lambda: maps.product(4, 0), "layer is 4"),
        (lambda: some.product(0), "kind of map in layer 0 is 'space'"),
        (lambda: some.at(1), "layer 1 was not kept; the nearest that was is 0"),
        (some.rollout, "only 2 were kept"),
        (lambda: average.product(0), "kind of map in layer 2 is 'time'"),
        (lambda: attention_maps(model, clips(2)), r"clip holds 2 clips.*clip\[:1\]"),
        (lambda: attention_maps(model, one, layers=[3]), "layer is 3"),
        (lambda: attention_maps(partly, one), r"call model.eval\(\)"),
        (lambda: attention_maps(torch.nn.Sequential(model), one), "_orig_mod"),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            ask()
