"""Notebook 11: the checks of its exercises, and the mistakes that they name.

The right answers are those of the package's models, which are equal to the official code.
"""

import contextlib
import copy
import functools
from collections.abc import Callable, Mapping

import torch
from einops import rearrange
from torch import Tensor, nn

from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.checking import (
    Wrong,
    call,
    drawn,
    exercise,
    expect,
    expect_tensor,
    refuse,
    same,
)
from vivit_lab.lessons.exercises.four_models import (
    BLOCK_MISTAKES,
    HALF_MISTAKES,
    block_variant,
    halves_variant,
    lively,
)
from vivit_lab.models import ViViT, ViViTConfig, build_model
from vivit_lab.models.layers import Attention
from vivit_lab.video.transforms import seeded
from vivit_lab.weights import load_checkpoint

SIZES = "Right for the sizes of the trained models, but not for others. Take each size from the "
SIZES += "arguments or from the shape of a tensor."
NEARLY = 0.05  # largest difference of logits that is a matter of constants


@functools.cache
def trained(name: str) -> ViViT:
    """A small trained model of assets/weights, in eval mode, without gradients.

    >>> sorted(trained("joint").state_dict())[:3]
    ['blocks.0.attn.proj.bias', 'blocks.0.attn.proj.weight', 'blocks.0.attn.qkv.bias']
    """
    model, _ = load_checkpoint(ASSETS / "weights" / f"{name}.safetensors")
    return model.eval().requires_grad_(False)


@functools.cache
def _other(name: str) -> ViViT:
    """A model with random weights; each of its sizes is another one than in `trained(name)`."""
    sizes = {"frames": 6, "image_size": (24, 16), "tubelet": (3, 4, 8), "dim": 24, "depth": 3}
    if name == "factorised_encoder":
        sizes["temporal_depth"] = 1
    with seeded(4):
        config = ViViTConfig(model=name, heads=2, mlp_dim=40, num_classes=5, **sizes)
        model = build_model(config)
        nn.init.normal_(model.head.weight)
    return lively(model).requires_grad_(False)


@contextlib.contextmanager
def _hint(words: str):
    """Put words before what is said of a wrong answer."""
    try:
        yield
    except Wrong as wrong:
        raise Wrong(f"{words} {wrong}".strip()) from None


def clips(model: ViViT) -> Tensor:
    """Two random clips (2, T, C, H, W) in [-1, 1] for a model."""
    return drawn(2, *model.config.clip_shape).clamp(-1, 1)


@exercise("One token for each tubelet, and time and space stay apart: (B, t, s, D).")
def embedding(embed) -> None:
    _embeds(embed, trained("joint"))
    with _hint(SIZES):
        _embeds(embed, _other("joint"))


def _embeds(embed, model: ViViT) -> None:
    x, state = clips(model), dict(model.state_dict())
    right = model.patch_embed(x)
    shapes = {"Keep time and space apart: (B, t, s, D).": (2, *right.flatten(1, 2).shape[1:])}
    answer = call(embed, x, state, model.config.tubelet)
    answer = expect_tensor(answer, tuple(right.shape), "(B, t, s, D).", shapes)
    by_columns = right.unflatten(2, model.config.grid[1:]).transpose(2, 3).flatten(2, 3)
    t, h, w = model.config.tubelet
    order = "b (nt t) c (nh h) (nw w) -> b nt (nh nw) (t c h w)"
    boxes = rearrange(x, order, t=t, h=h, w=w)
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    other = boxes @ weight.flatten(1).T + bias
    mistakes = {
        "Only the bias is missing.": right - bias,
        "The places run column by column. They must run row by row: (h w).": by_columns,
        "The voxels of a tubelet are flattened in another order than the weight. Its order is "
        "(c t h w).": other,
    }
    expect(answer, right, mistakes=mistakes, same=_near)


def _near(answer: Tensor, other: Tensor) -> bool:
    return torch.allclose(answer, other, atol=1e-4)


# ---- the block, and its likely mistakes


def _attended(attn: nn.Module, x: Tensor, how: dict) -> Tensor:
    """Attention over the last but one axis with another order, scale, ... than the right one."""
    pattern = f"... n ({how.get('rows', 'three h d')}) -> three ... h n d"
    heads = how.get("heads", attn.heads)
    qkv = rearrange(attn.qkv(x), pattern, three=3, h=heads)
    q, k, v = (qkv[i] for i in how.get("order", (0, 1, 2)))
    scale = {"none": 1, "all": x.shape[-1] ** -0.5}.get(how.get("scale"), q.shape[-1] ** -0.5)
    weights = (q @ k.mT * scale).softmax(dim=how.get("over", -1))
    return attn.proj(rearrange(weights @ v, f"... h n d -> ... n ({how.get('joined', 'h d')})"))


_ATTENTION_MISTAKES = {
    "The scale is missing: divide q k^T by the root of d (equation 7).": {"scale": "none"},
    "The scale is that of all D numbers. Each head has d = D / heads numbers: divide by the root "
    "of d.": {"scale": "all"},
    "The softmax runs over the queries. For each query the weights of all keys must sum to 1: "
    "dim=-1.": {"over": -2},
    "All heads are one: cut q, k and v into heads first.": {"heads": 1},
    "You always make 4 heads. Make as many as the argument heads says.": {"heads": 4},
    "qkv is cut in the order (heads, three, d). Its order is (three, heads, d): all queries come "
    "first, then all keys.": {"rows": "h three d"},
    "qkv is cut in the order (three, d, heads). Its order is (three, heads, d).": {
        "rows": "three d h"
    },
    "qkv is cut in the order (d, three, heads) or the like. Its order is (three, heads, d).": {
        "rows": "h d three"
    },
    "The heads are joined in the order (d h). They must stand one after another: (h d).": {
        "joined": "d h"
    },
    "Queries and keys are exchanged.": {"order": (1, 0, 2)},
    "Keys and values are exchanged.": {"order": (0, 2, 1)},
    "Queries and values are exchanged.": {"order": (2, 1, 0)},
    "The first third of qkv is the queries, the second the keys, the last the values.": {
        "order": (1, 2, 0)
    },
}
_CONSTANTS = {
    "The GELU is the exact one. The official code has F.gelu(..., approximate='tanh').": (
        lambda model: _each(model, nn.GELU, lambda layer: setattr(layer, "approximate", "none"))
    ),
    "The layer norms add 1e-5, torch's default. The official code adds 1e-6.": (
        lambda model: _each(model, nn.LayerNorm, lambda layer: setattr(layer, "eps", 1e-5))
    ),
}


def _each(model: nn.Module, kind: type, change: Callable) -> None:
    for layer in model.modules():
        if isinstance(layer, kind):
            change(layer)


def _spoilt(model: nn.Module, change: Callable) -> nn.Module:
    """A copy of a model with one mistake in it."""
    model = copy.deepcopy(model)
    change(model)
    return model


@exercise("Norm, attention, residual; norm, MLP, residual. All four models consist of this.")
@torch.inference_mode()
def block(function) -> None:
    model = trained("joint")
    state, axes = dict(model.state_dict()), "There may be any number of axes before N."
    for shape, size, heads, hint in (
        ((2, 7, 64), 1, 4, ""),
        ((2, 3, 5, 64), 0.03, 2, axes),  # small numbers show what norms add
    ):
        layer = copy.deepcopy(model.blocks[1])
        layer.attn.heads, x = heads, drawn(*shape) * size
        right = layer(x)[0]
        with _hint(hint):
            answer = call(function, x.clone(), state, "blocks.1", heads)
        answer = expect_tensor(answer, shape, "the shape of x.")
        if not _near(answer, right):
            expect(answer, right, mistakes=_block_mistakes(layer, x), same=_near)


def _block_mistakes(layer: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Words -> what a block with this mistake makes of x."""

    def finished(y: Tensor, normed: bool = False) -> Tensor:  # equation 3
        return (layer.norm2(y) if normed else y) + layer.mlp(layer.norm2(y))

    attended = layer.attn(layer.norm1(x))[0]
    after, mixed = layer.norm1(x + layer.attn(x)[0]), layer.norm1(x) + attended
    mistakes = {
        "The MLP is missing (equation 3).": x + attended,
        "The attention is missing (equation 2).": finished(x),
        "The residual around the MLP is missing (equation 3).": layer.mlp(
            layer.norm2(x + attended)
        ),
        "The residual around the attention is missing (equation 2).": finished(attended),
        "The MLP's residual adds the x of the beginning. It must add the result of equation 2.": x
        + layer.mlp(layer.norm2(x + attended)),
        "The norms come after the residuals. In equations 2 and 3 they come before attention and "
        "MLP.": layer.norm2(after + layer.mlp(after)),
        "Around the attention you add LN(z). Add z itself (equation 2).": finished(mixed),
        "Around the MLP you add LN(y). Add y itself (equation 3).": finished(x + attended, True),
        "In both residuals you add the tokens after the norm. Add the tokens themselves.": finished(
            mixed, True
        ),
        "Both norms are norm1. The MLP has its own: norm2.": x
        + attended
        + layer.mlp(layer.norm1(x + attended)),
        "The norm before the attention is missing: norm1.": finished(x + layer.attn(x)[0]),
        "The norm before the MLP is missing: norm2.": x + attended + layer.mlp(x + attended),
    }
    for words, how in _ATTENTION_MISTAKES.items():
        mistakes[words] = finished(x + _attended(layer.attn, layer.norm1(x), how))
    return mistakes | {words: _spoilt(layer, how)(x)[0] for words, how in _CONSTANTS.items()}


# ---- the models, and their likely mistakes: words -> what spoils a model in this way


def _lost(norm: str) -> Callable:
    return lambda model: setattr(model, norm, nn.Identity())


def _zero(table: str, rows: slice = slice(None)) -> Callable:
    return lambda model: getattr(model, table)[:, rows].zero_()


def _taken(part: str, other: str) -> Callable:
    """One part in the place of another, as if its name were written there."""
    return lambda model: setattr(model, part, getattr(model, other))


def _first_block(name: str) -> Callable:
    def spoil(model: ViViT) -> None:
        blocks = getattr(model, name)
        setattr(model, name, nn.ModuleList(copy.deepcopy(blocks[0]) for _ in blocks))

    return spoil


def _places_first(model: ViViT) -> None:
    rows = model.pos_embed[:, -model.config.tokens :]  # without the class token's
    rows.copy_(rearrange(rows, "1 (s t) d -> 1 (t s) d", t=model.config.temporal_tokens))


def _reads(features: Callable) -> Callable:
    """A model whose classifier reads something else of the tokens (B, N, D)."""

    def spoil(model: ViViT) -> None:
        model.forward = lambda clip: model.head(features(model.forward_features(clip)))

    return spoil


def _frames(change: Callable) -> Callable:
    """Model 2 whose spatial encoder leaves something else of (B, t, N, D); token 0 is read."""

    def spoil(model: ViViT) -> None:
        model.class_token_only = False
        model.norm.register_forward_hook(lambda _, given, x: change(x))

    return spoil


def _pooled_first(model: ViViT) -> None:
    model.head = nn.Sequential(model.norm, model.head)
    model.norm = nn.Identity()


def _mixed(x: Tensor) -> Tensor:
    return rearrange(x.flatten(0, 1), "(t b) n d -> b t n d", b=len(x))


_PLACES_FIRST = {
    "The places come first in the sequence, or pos_embed is read so. The order is (t s): time is "
    "the slowest.": _places_first,
}
_READ = {
    "the mean of all tokens": lambda x: x.mean(dim=1),
    "the mean without the class token": lambda x: x[:, 1:].mean(dim=1),
    "the last token": lambda x: x[:, -1],
}
_COMMON = {
    "No positions are added (pos_embed).": _zero("pos_embed"),
    "Every round uses blocks.0. The name of round i is blocks.{i}.": _first_block("blocks"),
    "The last block is missing. The blocks are 0 to config.depth - 1.": (
        lambda model: setattr(model, "blocks", model.blocks[:-1])
    ),
}
_MODEL_1 = {
    "The last norm is missing (norm).": _lost("norm"),
    "The class token gets no position. Add pos_embed after you put the class token first: it has a "
    "row for it.": _zero("pos_embed", slice(1)),
    **{f"The classifier must read token 0, not {it}.": _reads(how) for it, how in _READ.items()},
}
_MODEL_2 = {
    "The last norm is missing (temporal_norm).": _lost("temporal_norm"),
    "The positions in time are missing (temporal_pos_embed).": _zero("temporal_pos_embed"),
    "The spatial encoder has a last norm of its own (norm).": _lost("norm"),
    "The last norm is norm, that of the spatial encoder. The temporal encoder has its own: "
    "temporal_norm.": _taken("temporal_norm", "norm"),
    "The spatial encoder uses temporal_norm. Its own is norm.": _taken("norm", "temporal_norm"),
    "Both class tokens are cls_token. The temporal encoder has its own: temporal_cls_token.": (
        _taken("temporal_cls_token", "cls_token")
    ),
    "The temporal encoder uses the blocks of the spatial one. Its own are temporal_blocks.0 and so "
    "on.": lambda model: setattr(model, "temporal_blocks", model.blocks[:2]),
    "Every round in time uses temporal_blocks.0.": _first_block("temporal_blocks"),
    "The token of a time step must be its class token, not the mean of its tokens.": _frames(
        lambda x: x.mean(dim=2, keepdim=True)
    ),
    "The token of a time step must be its class token, not the mean of its places.": _frames(
        lambda x: x[:, :, 1:].mean(dim=2, keepdim=True)
    ),
    "The clips of the batch are mixed: the rows are read as (t b), but their order is (b t).": (
        _frames(_mixed)
    ),
    "The class token of a time step gets no position. Add pos_embed after you put it first.": (
        _zero("pos_embed", slice(1))
    ),
    **{
        f"The classifier must read token 0 of the temporal encoder, not {it}.": _reads(how)
        for it, how in _READ.items()
    },
}
_MEAN = {
    "The last norm is missing (norm).": _lost("norm"),
    "The classifier must read the mean of all tokens.": _reads(lambda x: x[:, 0]),
    "The mean is taken before the last norm. Norm each token first, then take the mean.": (
        _pooled_first
    ),
    **_PLACES_FIRST,
}


def _by_variant(change: dict) -> Callable:
    """Model 3 whose blocks have a mistake of notebook 03."""

    def spoil(model: ViViT) -> None:
        for layer in model.blocks:
            layer.forward = lambda x, *_, layer=layer: (block_variant(layer, x, **change), None)

    return spoil


def _by_reshape(before: bool, after: bool) -> Callable:
    """Model 3 with a reshape where t and s must be exchanged around the attention over time."""

    def attended(attn: nn.Module, turned: Tensor) -> Tensor:
        x = turned.transpose(1, 2)
        y = Attention.forward(attn, x.reshape(turned.shape) if before else turned)[0]
        return y.reshape(x.shape).transpose(1, 2) if after else y

    return _by_attention(attended, "attn_time")


def _two_attentions(order: str) -> Callable:
    """Model 4 with two whole attentions in a block."""

    def spoil(model: ViViT) -> None:
        for layer in model.blocks:
            layer.attn.forward = functools.partial(Attention.forward, layer.attn)
        _by_variant({"norms": "one", "time": "attn", "order": order})(model)

    return spoil


def _by_attention(attend: Callable, name: str = "attn") -> Callable:
    """A model whose attention of this name over tokens (B, t, s, D) is another one."""

    def spoil(model: ViViT) -> None:
        for layer in model.blocks:
            attn = getattr(layer, name)
            attn.forward = lambda x, *_, attn=attn: (attend(attn, x), None)

    return spoil


def _by_halves(change: dict) -> Callable:
    return _by_attention(lambda attn, x: attn.proj(halves_variant(*attn.split_heads(x), **change)))


def _halves_exchanged(attn: nn.Module, x: Tensor, first: str = "time") -> Tensor:
    """The halves are joined the wrong way round. first: what the first half attends over."""
    y = halves_variant(*attn.split_heads(x), first=first)
    return attn.proj(y.roll(y.shape[-1] // 2, dims=-1))


def _all_tokens(attn: nn.Module, x: Tensor) -> Tensor:
    return Attention.forward(attn, x.flatten(1, 2))[0].view(x.shape)


_RESHAPED = "A reshape stands where t and s must be exchanged {} the attention over time. It keeps "
_RESHAPED += "the order in memory, so it puts the numbers into other tokens. Use transpose."
_MODEL_3 = {words: _by_variant(change) for words, change in BLOCK_MISTAKES.items()} | {
    _RESHAPED.format("before and after"): _by_reshape(True, True),
    _RESHAPED.format("before"): _by_reshape(True, False),
    _RESHAPED.format("after"): _by_reshape(False, True),
}
_TWO = "Two whole attentions follow each other, over {} and over {}. Model 4 has one: half of its "
_TWO += "heads attend over time, half over space."
_MODEL_4 = {words: _by_halves(change) for words, change in HALF_MISTAKES.items()} | {
    "Each half is right, but they are joined in the wrong order: the half over time comes "
    "first.": _by_attention(_halves_exchanged),
    "The second half of the heads runs over time. It must be the first half. (The half over time "
    "is joined first, as it must be.)": _by_attention(
        functools.partial(_halves_exchanged, first="space")
    ),
    "Every token attends to all tokens of the clip. That is Model 1.": _by_attention(_all_tokens),
    _TWO.format("space", "time"): _two_attentions("space first"),
    _TWO.format("time", "space"): _two_attentions("time first"),
}


@torch.inference_mode()
def _answers(function, name: str, mistakes: Mapping[str, Callable]) -> None:
    _gives(function, trained(name), mistakes)
    with _hint(SIZES):
        _gives(function, _other(name), {})


def _gives(function, model: ViViT, mistakes: Mapping[str, Callable]) -> None:
    """Whether a function (clip, state, config) gives the logits of a model."""
    x, right = clips(model), model(clips(model))
    answer = call(function, x, dict(model.state_dict()), model.config)
    answer = expect_tensor(answer, tuple(right.shape), "logits, (B, K).")
    if same(answer, right):
        return
    for words, change in mistakes.items():
        refuse({words: _near(answer, _spoilt(model, change)(x))})
    apart = float((answer - right).abs().max())
    nearly = (
        f"Nearly: the logits are {apart:.0e} apart. Is a constant of a function that you wrote "
    )
    nearly += "here another one: of a norm, of the GELU, of the scale?"
    expect(answer, right, otherwise=nearly if apart < NEARLY else "")


@exercise("An image ViT with more tokens: that is Model 1.")
def model_1(function) -> None:
    _answers(function, "joint", _MODEL_1 | _PLACES_FIRST | _COMMON | _CONSTANTS)


@exercise("Two encoders, two class tokens, two tables of positions, two norms.")
def model_2(function) -> None:
    _answers(function, "factorised_encoder", _MODEL_2 | _COMMON | _CONSTANTS)


@exercise("Space, then time, then the MLP, and no class token.")
def model_3(function) -> None:
    _answers(function, "factorised_self_attention", _MODEL_3 | _MEAN | _COMMON | _CONSTANTS)


@exercise("The same parameters as in Model 1, but half of the heads attend over time.")
def model_4(function) -> None:
    _answers(function, "factorised_dot_product", _MODEL_4 | _MEAN | _COMMON | _CONSTANTS)
