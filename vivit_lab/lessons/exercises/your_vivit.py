"""Notebook 11: the checks of its exercises, and the mistakes that they name.

The right answers are those of the package's models, which are equal to the official code.
"""

import copy
import functools

import torch
from einops import rearrange
from torch import Tensor, nn

from vivit_lab.data.samples import ASSETS
from vivit_lab.lessons.checking import call, drawn, exercise, expect, expect_tensor
from vivit_lab.models import ViViT
from vivit_lab.weights import load_checkpoint

NEARLY = 0.05  # largest difference of logits that is a matter of constants


@functools.cache
def trained(name: str) -> ViViT:
    """A small trained model of assets/weights, in eval mode, without gradients.

    >>> sorted(trained("joint").state_dict())[:3]
    ['blocks.0.attn.proj.bias', 'blocks.0.attn.proj.weight', 'blocks.0.attn.qkv.bias']
    """
    model, _ = load_checkpoint(ASSETS / "weights" / f"{name}.safetensors")
    return model.eval().requires_grad_(False)


def clips(model: ViViT) -> Tensor:
    """Two random clips (2, T, C, H, W) in [-1, 1] for a model."""
    return drawn(2, *model.config.clip_shape).clamp(-1, 1)


@exercise("Cut, flatten, one matrix product: (B, t, s, D), as notebook 02 had it.")
def embedding(embed) -> None:
    model = trained("joint")
    x, state = clips(model), dict(model.state_dict())
    right = model.patch_embed(x)
    shapes = {"Keep time and space apart: (B, t, s, D).": (2, right[0, ..., 0].numel(), 64)}
    answer = call(embed, x, state, model.config.tubelet)
    answer = expect_tensor(answer, tuple(right.shape), "(B, t, s, D).", shapes)
    by_columns = right.unflatten(2, model.config.grid[1:]).transpose(2, 3).flatten(2, 3)
    t, h, w = model.config.tubelet
    order = "b (nt t) c (nh h) (nw w) -> b nt (nh nw) (t c h w)"
    boxes = rearrange(x, order, t=t, h=h, w=w)
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    other = boxes @ weight.flatten(1).T + bias
    mistakes = {
        "All that is missing is the bias.": right - bias,
        "Places run column by column; rows are slower: (h w).": by_columns,
        "The voxels of a box are flattened in another order than the weight's, (c t h w).": other,
    }
    expect(answer, right, mistakes=mistakes, same=_near)


def _near(answer: Tensor, other: Tensor) -> bool:
    return torch.allclose(answer, other, atol=1e-4)


@exercise("Norm, attention, residual; norm, MLP, residual. Every model is made of this.")
def block(function) -> None:
    model = trained("joint")
    layer, state, heads = model.blocks[1], dict(model.state_dict()), model.config.heads
    for shape in ((2, 7, 64), (2, 3, 5, 64)):  # with any axes before the tokens
        x = drawn(*shape)
        right = layer(x)[0]
        answer = call(function, x.clone(), state, "blocks.1", heads)
        answer = expect_tensor(answer, shape, "as x came in.")
        attended = layer.attn(layer.norm1(x))[0]
        mistakes = {
            "The MLP is missing (equation 3).": x + attended,
            "The residual around the MLP is missing (equation 3).": right - x - attended,
            "The residual around the attention is missing (equation 2).": attended
            + layer.mlp(layer.norm2(attended)),
            "All heads are one: cut q, k and v into heads first.": _with_heads(layer, 1)(x)[0],
        }
        nearly = "Nearly. Two numbers: F.gelu(..., approximate='tanh'), and layer norms add 1e-6."
        otherwise = nearly if (answer - right).abs().max() < NEARLY else ""
        expect(answer, right, mistakes=mistakes, otherwise=otherwise, same=_near)


def _with_heads(layer: nn.Module, heads: int) -> nn.Module:
    layer = copy.deepcopy(layer)
    layer.attn.heads = heads
    return layer


def _changed(model: ViViT, norm: str = "", positions: str = "", pooling: str = "") -> ViViT:
    """A copy without a norm, without a table of positions, or with another pooling."""
    model = copy.deepcopy(model)
    if norm:
        setattr(model, norm, nn.Identity())
    if positions:
        getattr(model, positions).zero_()
    if pooling:
        model.pooling, model.class_token_only = pooling, False
    return model


@torch.inference_mode()
def _answers(function, name: str, also: dict[str, ViViT]) -> None:
    """Whether a function (clip, state, config) gives the logits of a trained model."""
    model = trained(name)
    x, norms = clips(model), ["norm", "temporal_norm"][: 1 + hasattr(model, "temporal_norm")]
    answer = call(function, x, dict(model.state_dict()), model.config)
    right = model(x)
    answer = expect_tensor(answer, tuple(right.shape), "logits, (B, K).")
    other = {"cls": "mean", "mean": "cls"}[model.pooling]
    read = {"cls": "the class token, the first", "mean": "the mean of all tokens"}[model.pooling]
    mistakes = {
        "The last norm is missing.": _changed(model, norm=norms[-1])(x),
        "No positions are added (pos_embed).": _changed(model, positions="pos_embed")(x),
        f"The classifier reads {read}.": _changed(model, pooling=other)(x),
    } | {words: changed(x) for words, changed in also.items()}
    apart = float((answer - right).abs().max())
    nearly = f"Nearly: the logits are {apart:.0e} apart. Do block and embedding pass their checks?"
    otherwise = nearly if apart < NEARLY else "The shape is right, the logits are not."
    expect(answer, right, mistakes=mistakes, otherwise=otherwise, same=_near)


@exercise("An image ViT with more tokens: that is Model 1.")
def model_1(function) -> None:
    _answers(function, "joint", {})


@exercise("Two encoders, two class tokens, two tables of positions, two norms.")
def model_2(function) -> None:
    model = trained("factorised_encoder")
    changes = {
        "The positions in time are missing (temporal_pos_embed).": {
            "positions": "temporal_pos_embed"
        },
        "The spatial encoder has a last norm of its own.": {"norm": "norm"},
    }
    also = {words: _changed(model, **change) for words, change in changes.items()}
    _answers(function, "factorised_encoder", also)


@exercise("Space, then time, then the MLP, and no class token.")
def model_3(function) -> None:
    spatial, swapped = (copy.deepcopy(trained("factorised_self_attention")) for _ in range(2))
    for layer in spatial.blocks:
        layer.attn_time.proj.weight.zero_(), layer.attn_time.proj.bias.zero_()
    for layer in swapped.blocks:
        layer.order = layer.order[::-1]
    also = {
        "The attention over time is missing (equation 5).": spatial,
        "That is time first, then space; the paper has space first.": swapped,
    }
    _answers(function, "factorised_self_attention", also)


@exercise("The same parameters as Model 1, and half of its heads look along time.")
def model_4(function) -> None:
    spatial = copy.deepcopy(trained("factorised_dot_product"))
    for layer in spatial.blocks:
        layer.attn.forward = functools.partial(
            type(trained("joint").blocks[0].attn).forward, layer.attn
        )
    _answers(function, "factorised_dot_product", {"All heads look over space.": spatial})
