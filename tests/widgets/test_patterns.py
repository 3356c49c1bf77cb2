"""The patterns that are drawn, against the gradients of the real models, token by token.

A token looks at another one exactly if the gradient of what its attention says, with respect to the
other's numbers, is not zero. All in double precision, with random weights: no gradient is zero by
chance, and none is tiny where it should be zero.
"""

import numpy as np
import pytest
import torch

from vivit_lab import ViViTConfig, build_model
from vivit_lab.models import MODELS
from vivit_lab.widgets.pattern_explorer import STAGES, Who, nobody, pairs, pattern

SIZE = {
    "frames": 6, "image_size": (24, 16), "tubelet": (2, 8, 8), "dim": 8, "heads": 2, "mlp_dim": 8,
    "depth": 3, "num_classes": 3,
}  # fmt: skip
CASES = [(name, "space_time") for name in MODELS] + [("factorised_self_attention", "time_space")]
every_model = pytest.mark.parametrize(("name", "order"), CASES)


def real_model(name: str, order: str, depth: int = SIZE["depth"]):
    fields = {"depth": depth}
    fields |= {"attention_order": order} if name == "factorised_self_attention" else {}
    fields |= {"temporal_depth": 2} if name == "factorised_encoder" else {}
    torch.manual_seed(3)
    model = build_model(ViViTConfig(model=name, **SIZE | fields)).double().eval()
    for block in model.blocks:
        if hasattr(block.attn, "first_only"):
            block.attn.first_only = False  # here every token is asked
    return model


def leaves(config: ViViTConfig) -> dict[str, torch.Tensor]:
    """Random tokens, and class tokens, one leaf each: what gradients are taken to."""
    empty = nobody(config)
    shapes = {"tokens": empty.tokens.shape, "cls": empty.cls.shape, "top": (1,)}
    return {
        name: torch.randn(*shape, config.dim, dtype=torch.double, requires_grad=True)
        for name, shape in shapes.items()
    }


def laid_out(config: ViViTConfig, parts: dict) -> torch.Tensor:
    """The leaves as the first block gets them."""
    if config.model == "joint":
        return torch.cat([parts["cls"], parts["tokens"].flatten(0, 1)])[None]
    if config.model == "factorised_encoder":
        return torch.cat([parts["cls"][:, None], parts["tokens"]], dim=1)[None]
    return parts["tokens"][None]


def asked(config: ViViTConfig, out: torch.Tensor, query, step: int, in_time: bool) -> torch.Tensor:
    """The one row of an output that belongs to the query."""
    if config.model == "joint":
        index = 0 if query == "cls" else 1 + query[0] * config.spatial_tokens + query[1]
        return out[0, index]
    if config.model == "factorised_encoder":
        if in_time:
            return out[0, 0 if query == "cls" else 1 + query[0]]
        return out[0, step, 0] if query == "cls" else out[0, query[0], 1 + query[1]]
    return out[0, *query]


def depends_on(row: torch.Tensor, parts: dict) -> Who:
    """The tokens that a row's numbers depend on."""
    says = (row * torch.linspace(1, 2, len(row), dtype=torch.double)).sum()
    leaves = list(parts.values())
    grads = torch.autograd.grad(says, leaves, retain_graph=True, materialize_grads=True)
    tokens, cls, top = ((grad.abs().amax(-1) > 1e-13).numpy() for grad in grads)
    return Who(tokens, cls, bool(top[0]))


def same(a: Who, b: Who) -> bool:
    return np.array_equal(a.tokens, b.tokens) and np.array_equal(a.cls, b.cls) and a.top == b.top


def queries(config: ViViTConfig):
    """(query, step): every token, and every class token."""
    t, s = config.temporal_tokens, config.spatial_tokens
    yield from (((step, place), step) for step in range(t) for place in range(s))
    if nobody(config).cls.size:
        yield from (("cls", step) for step in range(t))


def look_along(model, x: torch.Tensor, axis: str) -> torch.Tensor:
    """What the first block's attention along one axis says of x, without the residual."""
    block, name = model.blocks[0], model.config.model
    if name == "factorised_self_attention":
        attend = block.attend_space if axis == "space" else block.attend_time
        return attend(x, False)[0]
    if name == "factorised_dot_product":
        half = model.config.dim // 2
        with torch.no_grad():  # only one half of the heads may speak: time's is the first
            block.attn.proj.weight[:, slice(half, None) if axis == "time" else slice(half)] = 0
    return block.attn(block.norm1(x))[0]


@every_model
@pytest.mark.parametrize("stage", STAGES)
def test_whom_a_token_looks_at_and_reaches_is_what_the_model_depends_on(name, order, stage):
    is_deep, is_axis = stage == "12 blocks", stage in ("space", "time")
    model = real_model(name, order, depth=12 if is_deep else 3)
    config, parts = model.config, leaves(model.config)
    in_time = name == "factorised_encoder" and stage == "time"
    x = laid_out(config, parts)
    looked = look_along(model, x, stage) if is_axis and not in_time else None
    if in_time:
        block, tokens = model.temporal_blocks[0], torch.cat([parts["top"], parts["cls"]])[None]
        looked = block.attn(block.norm1(tokens))[0]
        for spatial in model.blocks:
            x, _ = spatial(x)
        x, _ = block(torch.cat([parts["top"][None], model.norm(x)[:, :, 0]], dim=1))
    elif name == "factorised_self_attention" and is_axis:
        steps = order.split("_")
        for axis in steps[: steps.index(stage) + 1]:
            x = look_along(model, x, axis)
    elif name == "factorised_dot_product" and is_axis:
        x = looked
    else:
        for block in model.blocks[: 1 if is_axis else int(stage.split()[0])]:
            x, _ = block(x)
    for query, step in list(queries(config))[:: 5 if is_deep else 1]:
        found = pattern(config, stage, query, step)
        right = depends_on(asked(config, x, query, step, in_time), parts)
        assert same(found.reached, right), (query, step)
        if is_axis:
            right = depends_on(asked(config, looked, query, step, in_time), parts)
            assert list(found.direct) == (["space_time"] if name == "joint" else [stage])
            assert same(found.looked_at, right), (query, step)


@every_model
def test_pairs_are_what_all_queries_together_look_at(name, order):
    config = real_model(name, order).config
    counts = {"space": 0, "time": 0}
    seen = set()
    for query, step in queries(config):
        for axis in counts:
            found = pattern(config, axis, query, step)
            who = (axis, found.asks.tokens.tobytes(), found.asks.cls.tobytes(), found.asks.top)
            counts[axis] += 0 if who in seen else found.looked_at.count  # each asker once
            seen.add(who)
    right = {
        "joint": counts["space"],
        "factorised_encoder": counts["space"] + counts["time"],
        "factorised_self_attention": counts["space"] + counts["time"],
        "factorised_dot_product": (counts["space"] + counts["time"]) / 2,
    }[name]
    assert pairs(config).value == right


def test_the_formulas_of_the_pairs_give_their_numbers():
    for name in MODELS:
        for frames, patch in ((2, 8), (8, 4), (12, 16)):
            size = SIZE | {"frames": frames, "image_size": 16, "tubelet": (2, patch, patch)}
            config = ViViTConfig(model=name, **size)
            found, t, s = pairs(config), config.temporal_tokens, config.spatial_tokens
            assert found.paper_value == ((t * s) ** 2 if name == "joint" else s**2 + t**2)
            assert computed(found.paper_numbers) == found.paper_value
            letters = found.exact.replace("t", str(t)).replace("s", str(s))
            assert computed(found.exact_numbers) == computed(letters) == found.value


def computed(numbers: str) -> float:
    """The value of a formula as it is printed: 8·50² + 9²."""
    python = numbers.replace(",", "").replace("²", "**2").replace("·", "*").replace("½", "0.5*")
    return eval(python)


def test_an_unknown_stage_is_named():
    with pytest.raises(ValueError, match=r"stage is '1 blok'.*Did you mean '1 block'"):
        pattern(ViViTConfig(), "1 blok", (0, 0))
