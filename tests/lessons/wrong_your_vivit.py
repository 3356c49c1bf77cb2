"""Wrong answers to the exercises of your_vivit, by words of the message that they get."""

import copy

import torch
from einops import rearrange
from torch import nn
from torch.nn.functional import conv3d

from vivit_lab.lessons.exercises.your_vivit import _changed, _with_heads, trained


def _embedded(clip, p):
    weight, bias = p["patch_embed.proj.weight"], p["patch_embed.proj.bias"]
    return conv3d(clip.transpose(1, 2), weight, bias, weight.shape[2:]).movedim(1, -1)


def _layer():
    return trained("joint").blocks[1]


def _exact_gelu(x, *_):
    layer = copy.deepcopy(_layer())
    layer.mlp.act = nn.GELU()
    return layer(x)[0]


def _answers(name, **change):
    return lambda clip, *_: _changed(trained(name), **change)(clip)


def _without(name, part):
    """The model with one of its parts giving nothing."""

    def answer(clip, *_):
        model = copy.deepcopy(trained(name))
        for layer in model.blocks:
            getattr(layer, part).proj.weight.zero_(), getattr(layer, part).proj.bias.zero_()
        return model(clip)

    return answer


def _exact(name):
    def answer(clip, *_):
        model = copy.deepcopy(trained(name))
        for layer in model.blocks:
            layer.mlp.act = nn.GELU()
        return model(clip)

    return answer


def _time_first(clip, *_):
    model = copy.deepcopy(trained("factorised_self_attention"))
    for layer in model.blocks:
        layer.order = layer.order[::-1]
    return model(clip)


def _space_alone(clip, *_):
    model = copy.deepcopy(trained("factorised_dot_product"))
    attention = type(trained("joint").blocks[0].attn)
    for layer in model.blocks:
        layer.attn.forward = attention.forward.__get__(layer.attn)
    return model(clip)


embedding = {
    "missing is the bias": lambda clip, p, tubelet: (
        _embedded(clip, p).flatten(2, 3) - p["patch_embed.proj.bias"]
    ),
    "column by column": lambda clip, p, tubelet: _embedded(clip, p).transpose(2, 3).flatten(2, 3),
    "Keep time and space apart": lambda clip, p, tubelet: _embedded(clip, p).flatten(1, 3),
    "in another order": lambda clip, p, tubelet: (
        rearrange(clip, "b (i t) c (j h) (k w) -> b i (j k) (t c h w)", t=2, h=8, w=8)
        @ p["patch_embed.proj.weight"].flatten(1).T
        + p["patch_embed.proj.bias"]
    ),
    "the numbers are not": lambda clip, p, tubelet: 2 * _embedded(clip, p).flatten(2, 3),
    "raised KeyError": lambda clip, p, tubelet: p["patch_embed.weight"],
}


block = {
    "The MLP is missing": lambda x, *_: x + _layer().attn(_layer().norm1(x))[0],
    "residual around the MLP": lambda x, *_: (
        _layer()(x)[0] - x - _layer().attn(_layer().norm1(x))[0]
    ),
    "residual around the attention": lambda x, *_: (
        (y := _layer().attn(_layer().norm1(x))[0]) + _layer().mlp(_layer().norm2(y))
    ),
    "All heads are one": lambda x, *_: _with_heads(_layer(), 1)(x)[0],
    "Nearly. Two numbers": _exact_gelu,
    "as x came in": lambda x, *_: x[..., :1],
}


def _of(name, read, **others):
    return {
        "The last norm is missing": _answers(
            name, norm="temporal_norm" if name == "factorised_encoder" else "norm"
        ),
        "No positions are added": _answers(name, positions="pos_embed"),
        f"The classifier reads {read}": _answers(
            name, pooling="mean" if "class" in read else "cls"
        ),
        "Nearly: the logits": _exact(name),
        "logits, (B, K)": lambda clip, *_: torch.zeros(2),
    } | others


model_1 = _of("joint", "the class token")
model_2 = _of("factorised_encoder", "the class token") | {
    "positions in time are missing": _answers("factorised_encoder", positions="temporal_pos_embed"),
    "a last norm of its own": _answers("factorised_encoder", norm="norm"),
}
model_3 = _of("factorised_self_attention", "the mean of all tokens") | {
    "attention over time is missing": _without("factorised_self_attention", "attn_time"),
    "That is time first": _time_first,
}
model_4 = _of("factorised_dot_product", "the mean of all tokens") | {
    "All heads look over space": _space_alone,
}
