"""Model 3's block and Model 4's half heads as they are, and with one thing wrong at a time.

The exercises of notebook 03 tell mistakes apart by computing them: an answer that equals a variant
has that variant's fault.
"""

import functools

import torch
from einops import rearrange
from torch import Tensor

from vivit_lab.lessons.exercises.mixing_models import SIZE, lively
from vivit_lab.models import ViViTConfig, dot_product_attention
from vivit_lab.models.layers import FactorisedSelfAttentionBlock


class _Parts(FactorisedSelfAttentionBlock):
    """The parts that the learner puts together, under a short name for messages."""

    def __repr__(self) -> str:
        return "block"


@functools.cache
def model_3_parts() -> FactorisedSelfAttentionBlock:
    """The parts, with random weights, always the same."""
    config = ViViTConfig(model="factorised_self_attention", **SIZE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return lively(_Parts(config))


def space_branch(parts, y: Tensor) -> Tensor:
    """Attention over space of (b, t, s, d)."""
    return parts.attn(y)[0]


def time_branch(parts, y: Tensor) -> Tensor:
    """Attention over time of (b, t, s, d)."""
    return parts.attn_time(y.transpose(1, 2))[0].transpose(1, 2)


def block_variant(
    parts, x: Tensor, *, order="space first", lost=None, norms="own", turned=True, mlp=True
) -> Tensor:
    """Model 3's block (b, t, s, d) -> (b, t, s, d); the defaults are right.

    order: "space first" | "time first" | "parallel". lost: the residual that is left out, "space",
    "time" or "mlp", or the "first sum", which the MLP's then lacks. norms: "own" | "none" | "one"
    for both attentions | "two", none for the MLP. turned: bring t to the place of s for the
    attention over time. mlp: have one.
    """
    norm = (lambda _, y: y) if norms == "none" else (lambda layer, y: layer(y))
    norm_time = parts.norm1 if norms == "one" else parts.norm_time
    time = time_branch if turned else _space_for_time
    first = x
    if order == "parallel":
        x = x + space_branch(parts, norm(parts.norm1, x)) + time(parts, norm(norm_time, x))
    elif order == "time first":
        x = x + time(parts, norm(norm_time, x))
        x = x + space_branch(parts, norm(parts.norm1, x))
    else:
        x = (0 if lost == "space" else x) + space_branch(parts, norm(parts.norm1, x))
        x = (0 if lost == "time" else x) + time(parts, norm(norm_time, x))
    if not mlp:
        return x
    around = {"mlp": 0, "first sum": first}.get(lost, x)
    return around + parts.mlp(x if norms == "two" else norm(parts.norm2, x))


def _space_for_time(parts, y: Tensor) -> Tensor:
    return parts.attn_time(y)[0]


def time_with_space_weights(parts, x: Tensor) -> Tensor:
    """The block with one attention used twice."""
    x = x + space_branch(parts, parts.norm1(x))
    y = parts.attn(parts.norm_time(x).transpose(1, 2))[0].transpose(1, 2)
    x = x + y
    return x + parts.mlp(parts.norm2(x))


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return dot_product_attention(q, k, v)[0]


def halves_variant(
    q, k, v, *, first="time", split="half", turned=True, back=True, joined="h d"
) -> Tensor:
    """(b, t, h, s, d) three times -> (b, t, s, D); the defaults are right."""
    heads = q.shape[2]
    picks = {"half": [*range(heads // 2)], "alternate": [*range(0, heads, 2)]}[split]
    rest = [i for i in range(heads) if i not in picks]
    over_time, over_space = (picks, rest) if first == "time" else (rest, picks)
    q_t, k_t, v_t = (y[:, :, over_time] for y in (q, k, v))
    if turned:
        q_t, k_t, v_t = (rearrange(y, "b t h s d -> b s h t d") for y in (q_t, k_t, v_t))
    y_t = _attend(q_t, k_t, v_t)
    y_s = _attend(*(y[:, :, over_space] for y in (q, k, v)))
    if turned:
        if not back:  # right shape, wrong places
            y_t = y_t.reshape(y_s[:, :, : len(over_time)].shape)
        else:
            y_t = rearrange(y_t, "b s h t d -> b t h s d")
    pair = (y_t, y_s) if first == "time" else (y_s, y_t)
    return rearrange(torch.cat(pair, dim=2), f"b t h s d -> b t s ({joined})")


def heads_cut_in_two(q, k, v) -> Tensor:
    """Half of every head's numbers over each axis, where half of the heads should be."""
    half = q.shape[-1] // 2
    turn = "b t h s d -> b s h t d"
    y_t = _attend(*(rearrange(y[..., :half], turn) for y in (q, k, v)))
    y_s = _attend(*(y[..., half:] for y in (q, k, v)))
    y_t = rearrange(y_t, "b s h t d -> b t s (h d)")
    return torch.cat([y_t, rearrange(y_s, "b t h s d -> b t s (h d)")], dim=-1)
