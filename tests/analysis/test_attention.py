"""Attention maps: the model's own, in the right place, in little memory; then rollout."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "models"))
from small import VARIANTS, clips, small_model

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention, attention_maps, rollout
from vivit_lab.models import MODELS
from vivit_lab.models.layers import Attention

every_variant = pytest.mark.parametrize("variant", VARIANTS)
GRID = (4, 3, 4)  # of the small models: three different meanings, two different lengths


def sharp_model(variant: str):
    """Attention far from uniform, so that no mistake hides; float64, so that no rounding does."""
    model = small_model(variant).eval().double()
    for module in model.modules():
        if isinstance(module, Attention):
            module.qkv.weight.data.mul_(3)
    return model


def one_clip() -> Tensor:
    return clips(1).double()


def own_maps(model, clip: Tensor) -> list[dict[str, Tensor]]:
    """What the model itself returns, without the batch axis: (sequences, heads, N, N)."""
    with torch.no_grad():
        _, blocks = model(clip, return_attention=True)
    return [{kind: w.reshape(-1, *w.shape[-3:]) for kind, w in block.items()} for block in blocks]


# ---- the maps are the model's own


@every_variant
@pytest.mark.parametrize("chunk", [attention.CHUNK, 100])
def test_every_map_is_what_return_attention_gives(variant, chunk, monkeypatch):
    monkeypatch.setattr(attention, "CHUNK", chunk)
    model, clip = sharp_model(variant), one_clip()
    maps, own = attention_maps(model, clip), own_maps(model, clip)
    assert len(maps) == sum(map(len, own))
    for found in maps:
        right = own[found.layer][found.kind]
        assert right.amax() > 0.3  # far from uniform
        torch.testing.assert_close(found.full(), right, atol=1e-9, rtol=0)
        vector = torch.rand(right.shape[0], right.shape[2]).double()
        shares = found._as_shares(vector)
        product = torch.einsum("gi,ghij->hgj", vector, right.double())
        given = found.times(shares, head="each")
        wanted = found._as_shares(product)
        torch.testing.assert_close(given.tokens, wanted.tokens, atol=1e-9, rtol=0)
        torch.testing.assert_close(given.cls, wanted.cls, atol=1e-9, rtol=0)


@every_variant
def test_it_is_so_in_single_precision_too(variant):
    model, clip = small_model(variant).eval(), clips(1)
    maps, own = attention_maps(model, clip), own_maps(model, clip)
    for found in maps:
        right = own[found.layer][found.kind]
        torch.testing.assert_close(found.full(), right, atol=1e-6, rtol=0)
        assert abs(float(found.row("mean").total) - 1) < 1e-6
    assert abs(float(maps.rollout().total) - 1) < 1e-6


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
    elif model.config.model == "factorised_encoder":
        full = own[0, :, cls + step, cls:].reshape(-1, t, 1, 1)
    else:
        full[:, :, place[1], place[2]] = own[p, :, step]
    return full


@every_variant
def test_a_row_lies_where_its_tokens_are(variant):
    model, clip = sharp_model(variant), one_clip()
    own = own_maps(model, clip)
    for found in attention_maps(model, clip):
        for place in ((0, 0, 0), (1, 2, 0), (3, 1, 3)):
            right = wanted_row(model, own[found.layer][found.kind], found.kind, place)
            each = found.row(place, head="each")
            assert each.weights.shape == right.shape
            torch.testing.assert_close(each.weights, right, atol=1e-9, rtol=0)
            index = (place[0] * 3 + place[1]) * 4 + place[2]
            one = found.row(index, head=1).weights
            torch.testing.assert_close(one, right[1], atol=1e-9, rtol=0)
            mean = found.row(place).weights
            torch.testing.assert_close(mean, right.mean(0), atol=1e-9, rtol=0)


def test_class_tokens_have_rows_of_their_own_and_a_share_of_their_own():
    for variant, layer in (("joint", 2), ("factorised_encoder", 1), ("factorised_encoder", 5)):
        model, clip = sharp_model(variant), one_clip()
        found = attention_maps(model, clip).at(layer)
        right = own_maps(model, clip)[layer][found.kind][:, :, 0].mean(dim=1)  # (sequences, N)
        row = found.row("cls")
        weights = right[:, 1:].reshape(found.over) / len(right)
        torch.testing.assert_close(row.weights, weights, atol=1e-9, rtol=0)
        assert float(row.on_cls) == pytest.approx(float(right[:, 0].mean()), abs=1e-9)


@every_variant
def test_all_shares_sum_to_one(variant):
    model, clip = sharp_model(variant), one_clip()
    maps = attention_maps(model, clip)
    for found in maps:
        for query in ("mean", 17, *["cls"] * found.has_cls):
            for head in ("mean", "each", found.heads - 1):
                row = found.row(query, head)
                assert row.weights.min() >= 0
                assert float((row.total - 1).abs().max()) < 1e-9
    assert abs(float(maps.rollout().total) - 1) < 1e-9


def test_mean_is_the_mean_of_all_rows():
    maps = attention_maps(sharp_model("factorised_dot_product"), one_clip())
    for found in maps.at(1, "space"), maps.at(1, "time"):
        rows = torch.stack([found.row(query).weights for query in range(48)])
        torch.testing.assert_close(found.row("mean").weights, rows.mean(0), atol=1e-9, rtol=0)


# ---- planted patterns: where a token looks is decided beforehand


def codes(count: int, dim: int) -> Tensor:
    """`count` directions, any two of them far apart."""
    return torch.nn.functional.normalize(torch.randn(count, dim).double(), dim=-1)


def plant(qkv, seen: Tensor, target: Tensor, dims: slice) -> None:
    """Set q and k of the heads in `dims` such that token i looks at target[i], and nowhere else.

    seen: (N, D), what the attention gets for each token, linearly independent.
    """
    dim = seen.shape[-1]
    code = codes(len(seen), dims.stop - dims.start)
    weight = torch.linalg.pinv(seen.double())
    q, k = (weight @ y for y in (300 * code[target], code))  # seen @ q = 300 code[target]
    qkv.weight.data[:dim][dims] = q.T.float()
    qkv.weight.data[dim : 2 * dim][dims] = k.T.float()
    qkv.bias.data[: 2 * dim].zero_()


def looks_at(kind: str, t: Tensor, h: Tensor, w: Tensor, grid) -> tuple[Tensor, Tensor, Tensor]:
    """A pattern that only the right layout gives back: a step on, upside down, a column on."""
    step, row, column = (t + 1) % grid[0], grid[1] - 1 - h, (w + 1) % grid[2]
    return {"joint": (step, row, column), "space": (t, row, column), "time": (step, h, w)}[kind]


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("joint", "joint"),
        ("factorised_encoder", "space"),
        ("factorised_self_attention", "space"),
        ("factorised_self_attention", "time"),
        ("factorised_dot_product", "space"),
        ("factorised_dot_product", "time"),
    ],
)
def test_a_planted_pattern_comes_back_at_its_place(model, kind):
    torch.manual_seed(0)
    config = ViViTConfig(
        model=model, frames=4, image_size=(24, 32), tubelet=(2, 8, 8), pooling=None,
        dim=96, depth=1, heads=2, mlp_dim=96, num_classes=2,
    )  # fmt: skip
    net, clip = build_model(config).eval(), torch.rand(1, 4, 3, 24, 32) * 2 - 1
    t, h, w = grid = config.grid
    assert grid == (2, 3, 4)
    attn = net.blocks[0].attn_time if (model, kind) == (
        "factorised_self_attention", "time"
    ) else net.blocks[0].attn  # fmt: skip
    seen = []
    hook = attn.register_forward_pre_hook(lambda _, x: seen.append(x[0][0]))
    with torch.no_grad():
        net(clip)
    hook.remove()

    x = seen[0] if seen[0].ndim == 3 else seen[0][None]  # (sequences, N, D)
    has_cls = config.pooling == "cls"
    if model == "factorised_self_attention" and kind == "time":
        x = x.transpose(0, 1)
    cls, x = x[:, :has_cls].flatten(0, 1), x[:, has_cls:].flatten(0, 1)
    place = torch.cartesian_prod(*(torch.arange(n) for n in grid)).unbind(-1)
    to = looks_at(kind, *place, grid)
    target = (to[0] * h + to[1]) * w + to[2]
    for_cls = {"joint": torch.tensor([17]), "space": torch.arange(t) * h * w + 5}
    if has_cls:  # the class token(s) look at token 17, or at place 5 of their step
        target = torch.cat([target, for_cls[kind]])
    halves = {"time": slice(0, 48), "space": slice(48, 96)}
    dims = halves[kind] if model == "factorised_dot_product" else slice(0, 48)
    plant(attn.qkv, torch.cat([x, cls]), target, dims)

    found = attention_maps(net, clip).at(0, kind)
    for token in range(t * h * w):
        weights = found.row(token, head=0).weights
        where = tuple(int(i[token]) for i in to)
        assert weights[where] > 0.99, (token, where)
    if has_cls:
        weights = found.row("cls", head=0).weights
        assert weights.flatten()[for_cls[kind]].sum() > 0.99


def test_a_planted_time_step_comes_back_in_model_2():
    torch.manual_seed(0)
    config = ViViTConfig(
        model="factorised_encoder", frames=8, image_size=(24, 32), tubelet=(2, 8, 8), dim=96,
        depth=1, temporal_depth=1, heads=2, mlp_dim=96, num_classes=2,
    )  # fmt: skip
    net, clip = build_model(config).eval(), torch.rand(1, 8, 3, 24, 32) * 2 - 1
    seen = []
    attn = net.temporal_blocks[0].attn
    hook = attn.register_forward_pre_hook(lambda _, x: seen.append(x[0][0]))
    with torch.no_grad():
        net(clip)
    hook.remove()
    plant(attn.qkv, seen[0], torch.tensor([3, 2, 3, 4, 1]), slice(0, 48))  # cls -> step 2
    maps = attention_maps(net, clip)
    time = maps.at(-1)
    assert time.row("cls", head=0).weights.argmax() == 2
    assert time.row((3, 2, 1), head=0).weights.argmax() == 0
    shares = maps.product(layer=0, query="cls", head=0).weights.sum(dim=(1, 2))
    assert shares.argmax() == 2 and shares[2] > 0.8 * shares.sum()


# ---- products


def test_a_product_is_the_two_maps_multiplied_in_the_order_of_the_model():
    for variant in ("factorised_self_attention", "time_space", "factorised_dot_product"):
        model, clip = sharp_model(variant), one_clip()
        maps, step, p = attention_maps(model, clip), 2, 7
        own = own_maps(model, clip)[1]
        space, time = own["space"].mean(1), own["time"].mean(1)  # (t, s, s), (s, t, t)
        if variant == "time_space":
            right = space[step, p][None] * time[:, step].T
        else:
            right = time[p, step][:, None] * space[:, p]
        found = maps.product(layer=1, query=step * 12 + p)
        torch.testing.assert_close(found.weights.flatten(1), right, atol=1e-9, rtol=0)
        assert float(found.total) == pytest.approx(1, abs=1e-9)
        assert found.kind == "product" and "not attention" in found.label


@pytest.mark.parametrize("variant", ["factorised_encoder", "encoder_mean"])
def test_a_product_in_model_2_joins_the_two_encoders(variant):
    model, clip = sharp_model(variant), one_clip()
    maps, own = attention_maps(model, clip), own_maps(model, clip)
    space, time = own[2]["space"].mean(1), own[-1]["time"].mean(1)[0]
    found = maps.product(layer=2)
    if variant == "factorised_encoder":
        right, on_cls = time[0, 1:, None] * space[:, 0, 1:], time[0, 1:] @ space[:, 0, 0]
        on_cls = on_cls + time[0, 0]
    else:
        right, on_cls = time.mean(0)[:, None] * space.mean(1), torch.zeros(())
    torch.testing.assert_close(found.weights.flatten(1), right, atol=1e-9, rtol=0)
    assert float(found.on_cls) == pytest.approx(float(on_cls), abs=1e-9)
    assert float(found.total) == pytest.approx(1, abs=1e-9)


# ---- rollout, against the whole matrices


def matrix(own: Tensor, kind: str, t: int, s: int) -> Tensor:
    """One attention as a matrix over all t * s tokens of the clip, heads averaged."""
    weights = own.mean(dim=1).double()
    if kind == "joint":
        return weights[0]
    if kind == "space":
        return torch.block_diag(*weights)
    whole = torch.zeros(t, s, t, s, dtype=torch.float64)
    for place in range(s):
        whole[:, place, :, place] = weights[place]
    return whole.reshape(t * s, t * s)


def brute_force(model, clip: Tensor) -> tuple[Tensor, Tensor]:
    """Rollout by multiplying whole matrices: weights (t, h, w), and the share of class tokens."""
    config, own = model.config, own_maps(model, clip)
    t, s, cls = config.temporal_tokens, config.spatial_tokens, int(config.pooling == "cls")

    def rolled(attentions: list[Tensor]) -> Tensor:
        product = torch.eye(len(attentions[0])).double()
        for weights in attentions:
            product = (0.5 * weights + 0.5 * torch.eye(len(weights))) @ product
        return product

    def output(product: Tensor) -> Tensor:
        return product[0] if cls else product.mean(dim=0)

    if config.model == "factorised_encoder":
        steps = torch.full((t,), 1 / t).double()
        on_cls = torch.zeros(()).double()
        if config.temporal_depth:
            row = output(rolled([b["time"][0].mean(0).double() for b in own if "time" in b]))
            on_cls, steps = row[:cls].sum(), row[cls:]
        spatial = [b["space"].mean(1).double() for b in own if "space" in b]
        rows = torch.stack([output(rolled([w[i] for w in spatial])) for i in range(t)])
        rows = steps[:, None] * rows
        return rows[:, cls:].reshape(config.grid), on_cls + rows[:, :cls].sum()

    attentions = []
    for block in own:
        matrices = {kind: matrix(w, kind, t, s) for kind, w in block.items()}
        if config.model == "factorised_dot_product":
            attentions.append((matrices["time"] + matrices["space"]) / 2)
        elif config.model == "joint":
            attentions.append(matrices["joint"])
        else:
            attentions += [matrices[kind] for kind in config.attention_order.split("_")]
    row = output(rolled(attentions))
    return row[cls:].reshape(config.grid), row[:cls].sum()


@every_variant
def test_rollout_equals_the_product_of_whole_matrices(variant):
    model, clip = sharp_model(variant), one_clip()
    found = rollout(model, clip)
    weights, on_cls = brute_force(model, clip)
    torch.testing.assert_close(found.weights, weights, atol=1e-9, rtol=0)
    assert float(found.on_cls) == pytest.approx(float(on_cls), abs=1e-9)
    assert float(found.total) == pytest.approx(1, abs=1e-9)
    assert "not attention" in found.label
    assert weights.std() > 0.001  # a uniform one would prove nothing


# ---- what it costs

PEAK = """
import resource, sys, torch
from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import attention_maps
from vivit_lab.models import attention_bytes

def ask(size):
    config = ViViTConfig(frames=16, image_size=size, dim=48, heads=12, depth=4, mlp_dim=48)
    model, clip = build_model(config).eval(), torch.zeros(1, 16, 3, size, size)
    maps = attention_maps(model, clip)
    maps.rollout(), maps.at(-1).row("mean"), maps.at(0).row("cls", head="each")
    unit = 1 if sys.platform == "darwin" else 1024
    return attention_bytes(model), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

_, before = ask(32)  # what loading the code takes
all_maps, after = ask(224)
print(all_maps, after - before)
"""


def test_the_maps_are_never_all_in_memory():
    at_once = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # what is freed is given back, not kept for later
    done = subprocess.run(
        [sys.executable, "-c", PEAK],
        env=os.environ | at_once,
        capture_output=True,
        text=True,
        check=True,
    )
    all_maps, grown = map(int, done.stdout.split())
    assert all_maps > 450e6
    assert grown < all_maps / 4  # not even one of the four is there at once


def test_what_is_held_grows_with_the_tokens_not_with_their_square():
    maps = attention_maps(small_model("joint").eval(), clips(1))
    assert maps.nbytes == 3 * 2 * 49 * 48 * 4
    stored = sum(x.untyped_storage().nbytes() for found in maps for x in (found.q, found.k))
    assert stored == maps.nbytes  # no views that keep something larger alive


# ---- nothing is left behind


def state(model) -> tuple:
    modules = list(model.modules())
    hooks = [len(m._forward_pre_hooks) + len(m._forward_hooks) for m in modules]
    parameters = [p.detach().clone() for p in model.parameters()]
    return (
        [m.training for m in modules],
        hooks,
        [p.requires_grad for p in model.parameters()],
        (parameters),
    )


@every_variant
def test_the_model_stays_as_it_was(variant):
    model, clip = small_model(variant).eval(), clips(1)
    before, random = state(model), torch.random.get_rng_state()
    with torch.no_grad():
        logits = model(clip)
    maps = attention_maps(model, clip)
    rollout(model, clip)
    after = state(model)
    assert before[:3] == after[:3]
    assert all(torch.equal(a, b) for a, b in zip(before[3], after[3], strict=True))
    assert torch.equal(random, torch.random.get_rng_state())
    with torch.no_grad():
        assert torch.equal(logits, model(clip))
    rows = [found.row(3).weights for found in maps]
    for p in model.parameters():  # and the maps are no views of the model
        p.data.zero_()
    assert all(torch.equal(a, found.row(3).weights) for a, found in zip(rows, maps, strict=True))


def test_hooks_are_removed_after_an_error(monkeypatch):
    model = small_model("factorised_self_attention").eval()
    before = state(model)[1]
    with pytest.raises(ValueError, match="T = 8 frames, not 6"):
        attention_maps(model, clips(1)[:, :6])
    assert state(model)[1] == before
    monkeypatch.setattr(model.blocks[2].mlp, "forward", lambda x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        attention_maps(model, clips(1))
    assert state(model)[1] == before


def test_it_runs_in_inference_mode_and_records_no_gradients():
    model = small_model("factorised_dot_product").eval()
    outside = attention_maps(model, clips(1))
    assert not outside[0].q.requires_grad
    with torch.inference_mode():
        inside = attention_maps(model, clips(1))
        assert torch.equal(inside.rollout().weights, outside.rollout().weights)


def test_half_precision_rows_still_sum_to_one():
    model = small_model("joint").eval().bfloat16()
    found = rollout(model, clips(1).bfloat16())
    assert float(found.total) == pytest.approx(1, abs=1e-6)


def test_chosen_layers_are_all_that_is_kept():
    model, clip = sharp_model("factorised_self_attention"), one_clip()
    maps, some = attention_maps(model, clip), attention_maps(model, clip, layers=[-1, 0])
    assert [(found.layer, found.kind) for found in some] == [
        (0, "space"), (0, "time"), (2, "space"), (2, "time"),
    ]  # fmt: skip
    assert torch.equal(some.at(2, "time").q, maps.at(-1, "time").q)
    assert some.product(0, 3).weights.equal(maps.product(0, 3).weights)


# ---- bad input


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda m: m.at(3, "space"), "layer is 3, but must be between -3 and 2.*value is 2"),
        (lambda m: m.at(-9, "space"), "nearest legal value is -3"),
        (lambda m: m.at(1), "layer 1 has two maps"),
        (lambda m: m.at(1, "spcae"), "Did you mean 'space'"),
        (lambda m: m.at(1, "space").row(48), "query is 48.* between 0 and 47.*value is 47"),
        (lambda m: m.at(1, "space").row(-1), "nearest legal value is 0"),
        (lambda m: m.at(1, "space").row((1, 3, 0)), "query row is 3.*value is 2"),
        (lambda m: m.at(1, "space").row((1, 3)), r"place is \(step, row, column\)"),
        (lambda m: m.at(1, "space").row("cls"), "has no class token"),
        (lambda m: m.at(1, "space").row("maen"), "Did you mean 'mean'"),
        (lambda m: m.at(1, "space").row(0, head=4), "head is 4.* between 0 and 3.*value is 3"),
        (lambda m: m.at(1, "space").row(0, head="all"), "not one of 'mean', 'each'"),
        (lambda m: m.product(1, 0, head="each"), "one head"),
        (lambda m: m.product(1, 0, time_layer=1), "leave it None"),
        (lambda m: m.product(4, 0), "nearest legal value is 2"),
    ],
)
def test_what_is_not_there_is_named_with_the_nearest_that_is(ask, words):
    maps = attention_maps(small_model("factorised_self_attention").eval(), clips(1))
    with pytest.raises(ValueError, match=words):
        ask(maps)


def test_a_number_that_is_none_is_refused():
    maps = attention_maps(small_model("joint").eval(), clips(1))
    for ask in (lambda: maps.at(1.0), lambda: maps.at(0).row(2.5), lambda: maps.at(0).row(0, None)):
        with pytest.raises(TypeError, match="must be a whole number"):
            ask()


def test_what_cannot_be_watched_is_refused():
    model = small_model("joint").eval()
    with pytest.raises(ValueError, match=r"clip holds 2 clips.*clip\[:1\]"):
        attention_maps(model, clips(2))
    with pytest.raises(ValueError, match="layer is 3"):
        attention_maps(model, clips(1), layers=[3])
    with pytest.raises(TypeError, match="_orig_mod"):
        attention_maps(torch.nn.Sequential(model), clips(1))
    model.blocks[1].train()  # one block is enough
    with pytest.raises(ValueError, match=r"call model.eval\(\)"):
        attention_maps(model, clips(1))


def test_products_and_rollouts_that_do_not_exist_are_refused():
    maps = attention_maps(small_model("joint").eval(), clips(1), layers=[0, 2])
    with pytest.raises(ValueError, match="kind of map in layer 0 is 'space'"):
        maps.product(0)
    with pytest.raises(ValueError, match="layer 1 was not kept; the nearest that was is 0"):
        maps.at(1)
    with pytest.raises(ValueError, match="only 2 were kept"):
        maps.rollout()
    average = attention_maps(small_model("encoder_average").eval(), clips(1))
    with pytest.raises(ValueError, match="averages over time"):
        average.product(0)


@pytest.mark.parametrize("model", MODELS)
def test_a_map_of_one_token_an_axis(model):
    config = ViViTConfig(model=model, frames=2, image_size=8, tubelet=(2, 8, 8), dim=8, heads=2)
    found = rollout(build_model(config).eval(), torch.zeros(1, 2, 3, 8, 8))
    assert found.weights.shape == (1, 1, 1)
    assert float(found.total) == pytest.approx(1, abs=1e-6)
