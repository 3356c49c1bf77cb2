"""Notebook 03: its small models, the checks of its exercises, and the mistakes that they name.

An answer that equals a variant of Model 3's block or of Model 4's half heads has its fault.
"""

import contextlib
import functools

import torch
from einops import rearrange
from torch import Tensor, nn

from vivit_lab.lessons.checking import (
    Wrong,
    call,
    drawn,
    exercise,
    expect,
    expect_tensor,
    like,
    refuse,
    true_or_false,
)
from vivit_lab.models import FactorisedEncoder, ViViTConfig, build_model, dot_product_attention
from vivit_lab.models.layers import FactorisedSelfAttentionBlock
from vivit_lab.video.transforms import seeded

SIZE = {
    "frames": 8, "image_size": 16, "tubelet": (2, 8, 8), "dim": 16, "heads": 4, "mlp_dim": 24,
    "depth": 2, "num_classes": 5,
}  # fmt: skip


def lively(module: nn.Module) -> nn.Module:
    """Random biases, norms and tokens too, so that no part can be left out unseen."""
    with seeded(3), torch.no_grad():
        for parameter in module.parameters():
            if parameter.ndim == 1:
                parameter += 0.5 * torch.randn_like(parameter)
            elif parameter.ndim == 3:  # class tokens and positions
                nn.init.normal_(parameter)
    return module.eval()


class MixingModel2(FactorisedEncoder):
    """Model 2, as somebody wrote it: right for one clip, wrong for a batch."""

    def encode(self, clip, return_attention=False):
        b = len(clip)
        x = rearrange(self.patch_embed(clip), "b t s d -> (b t) s d")
        x = torch.cat([self.cls_token.expand(len(x), 1, -1), x], dim=1) + self.pos_embed
        for block in self.blocks:
            x, _ = block(x)
        x = self.frame_tokens(self.norm(x)[:, 0], b)
        x = torch.cat([self.temporal_cls_token.expand(b, 1, -1), x], dim=1)
        x = x + self.temporal_pos_embed
        for block in self.temporal_blocks:
            x, _ = block(x)
        return self.temporal_norm(x)[:, 0], []

    def frame_tokens(self, x, b):
        return rearrange(x, "(t b) d -> b t d", b=b)


class SpoiltModel2(FactorisedEncoder):
    """Model 2 whose features (B, D) are changed."""

    def encode(self, clip, return_attention=False):
        features, maps = super().encode(clip, return_attention)
        return self.changed(features), maps


class RememberingModel2(SpoiltModel2):
    """What it saw last time leaks into what it says now."""

    seen = 0.0

    def changed(self, features):
        before, self.seen = self.seen, features.mean(dim=0)
        return features + 0.1 * before


class CentringModel2(SpoiltModel2):
    """It takes the mean of the batch away: one clip alone always says the same."""

    def changed(self, features):
        return features - features.mean(dim=0)


class NeighbourModel2(SpoiltModel2):
    """It gives the last clip of a batch a bit of the first."""

    def changed(self, features):
        last = features[-1:] + 0.1 * features[:1] * (len(features) > 1)
        return torch.cat([features[:-1], last])


class ThirdClipModel2(SpoiltModel2):
    """It gives the first clip of a batch a bit of the third."""

    def changed(self, features):
        first = features[:1] + 0.1 * features[2:3].sum(dim=0)
        return torch.cat([first, features[1:]])


def small_model_2(kind: type[FactorisedEncoder] = FactorisedEncoder) -> FactorisedEncoder:
    """A small Model 2 with random weights, classifier included; the same ones for every kind.

    Example:
        >>> model = small_model_2(MixingModel2)
        >>> model(torch.zeros(3, *model.config.clip_shape)).shape
        torch.Size([3, 5])
    """
    config = ViViTConfig(model="factorised_encoder", temporal_depth=1, **SIZE)
    with seeded(2):
        model = build_model(config) if kind is FactorisedEncoder else kind(config)
        nn.init.normal_(model.head.weight)
    return lively(model)


def small_clips(count: int, seed: int = 0) -> Tensor:
    """Random clips (count, 8, 3, 16, 16) in [-1, 1] for `small_model_2`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 8, 3, 16, 16, generator=generator) * 2 - 1


# ---- 1. Model 3's block


class _Parts(FactorisedSelfAttentionBlock):
    """The parts that the learner puts together, under a short name for messages."""

    def __repr__(self) -> str:
        return "block"


@functools.cache
def model_3_parts() -> FactorisedSelfAttentionBlock:
    """The parts, with random weights, always the same."""
    config = ViViTConfig(model="factorised_self_attention", **SIZE)
    with seeded(1):
        return lively(_Parts(config))


def block_variant(
    parts, x: Tensor, *, order="space first", lost=None, norms="own", time="own", mlp=True
) -> Tensor:
    """Model 3's block (b, t, s, d) -> (b, t, s, d); the defaults are right.

    order: "space first" | "time first" | "parallel". lost: the residual left out, "space" | "time"
    | "mlp", or one that adds the block's input, "time's sum" | "first sum", the MLP's. norms: "own"
    | "none" | "one" for both attentions | "two", none for the MLP | "no time", none for the
    attention over time. time: "own" weights | "attn", those of space | "exchanged", each has those
    of the other | "not turned".
    """

    def normed(layer: nn.Module, y: Tensor) -> Tensor:
        return y if norms == "none" else layer(y)

    def over_space(y: Tensor) -> Tensor:
        attention = parts.attn_time if time == "exchanged" else parts.attn
        return attention(normed(parts.norm1, y))[0]

    def over_time(y: Tensor) -> Tensor:
        attention = parts.attn if time in ("attn", "exchanged") else parts.attn_time
        if norms != "no time":
            y = normed(parts.norm1 if norms == "one" else parts.norm_time, y)
        if time == "not turned":
            return attention(y)[0]
        return attention(y.transpose(1, 2))[0].transpose(1, 2)

    first = x
    if order == "parallel":
        x = x + over_space(x) + over_time(x)
    elif order == "time first":
        x = x + over_time(x)
        x = x + over_space(x)
    else:
        x = (0 if lost == "space" else x) + over_space(x)
        x = {"time": 0, "time's sum": first}.get(lost, x) + over_time(x)
    if not mlp:
        return x
    around = {"mlp": 0, "first sum": first}.get(lost, x)
    return around + parts.mlp(x if norms == "two" else normed(parts.norm2, x))


BLOCK_MISTAKES = {
    "This is time first, then space. The paper's order is space, then time (equations 4 and 5). "
    "The other order is the option attention_order='time_space'.": {"order": "time first"},
    "Both attentions get the same x. The second one must get the result of the first one. Only "
    "then a token reaches the whole clip in one block.": {"order": "parallel"},
    "The MLP is missing (equation 6).": {"mlp": False},
    "The second attention runs over space again. Attention runs over the second-to-last axis, so "
    "move t there, and move it back afterwards.": {"time": "not turned"},
    "Both attentions are attn. The attention over time has its own weights: attn_time.": {
        "time": "attn"
    },
    "The residual around the attention over space is missing (equation 4).": {"lost": "space"},
    "The residual around the attention over time is missing (equation 5).": {"lost": "time"},
    "The residual around the MLP is missing (equation 6).": {"lost": "mlp"},
    "The residual around the attention over time adds the input of the block. It must add the "
    "result of the attention over space (equation 5).": {"lost": "time's sum"},
    "The residual around the MLP adds the input of the block. It must add the result of the two "
    "attentions (equation 6).": {"lost": "first sum"},
    "All norms are missing. Each of the three parts gets a norm of x.": {"norms": "none"},
    "The norm before the MLP is missing: norm2.": {"norms": "two"},
    "The norm before the attention over time is missing: norm_time.": {"norms": "no time"},
    "The two attentions are exchanged: attn is for space, attn_time is for time.": {
        "time": "exchanged"
    },
    "The attention over time uses norm1. It has its own norm: norm_time.": {"norms": "one"},
}


@exercise("Space, time, MLP: each has a norm before it and a residual around it.")
@torch.inference_mode()
def model_3_block(forward) -> None:
    parts, x = model_3_parts(), drawn(2, 3, 5, SIZE["dim"])
    pair = "An attention returns a pair (output, weights). Take [0] of it: one"
    try:
        answer = call(forward, parts, x.clone())  # x += ... is right as well
    except Wrong as wrong:
        refuse({f"{pair} is used as a tensor.": "tuple" in str(wrong)})
        raise
    is_pair = isinstance(answer, tuple) and any(isinstance(each, Tensor) for each in answer)
    refuse({f"{pair} is returned.": is_pair})
    answer = expect_tensor(answer, tuple(x.shape), "(b, t, s, d), as x.")
    known = BLOCK_MISTAKES.items()
    mistakes = {words: block_variant(parts, x, **change) for words, change in known}
    expect(answer, block_variant(parts, x), mistakes=mistakes)


# ---- 2. Model 4's half heads


def _attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return dot_product_attention(q, k, v)[0]


def halves_variant(
    q, k, v, *, first="time", split="half", turned=True, back=True, joined="two h d"
) -> Tensor:
    """(b, t, h, s, d) three times -> (b, t, s, D); the defaults are right."""
    heads = q.shape[2]
    if split == "none":  # all heads over time
        return rearrange(
            _attend(*(rearrange(y, "b t h s d -> b s h t d") for y in (q, k, v))),
            "b s h t d -> b t s (h d)",
        )
    picks = range(heads // 2) if split == "half" else range(0, heads, 2)
    rest = [i for i in range(heads) if i not in picks]
    over_time, over_space = (list(picks), rest) if first == "time" else (rest, list(picks))
    turn = "b t h s d -> b s h t d" if turned else "b t h s d -> b t h s d"
    y_t = _attend(*(rearrange(y[:, :, over_time], turn) for y in (q, k, v)))
    y_s = _attend(*(y[:, :, over_space] for y in (q, k, v)))
    if turned and back:
        y_t = rearrange(y_t, "b s h t d -> b t h s d")
    y_t = y_t.reshape(y_s.shape)  # not turned back: the right shape, the wrong places
    pair = (y_t, y_s) if first == "time" else (y_s, y_t)
    halves = torch.stack(pair, dim=2)
    if joined == "as they are":
        return halves.reshape(*q.shape[:2], q.shape[3], -1)
    return rearrange(halves, f"b t two h s d -> b t s ({joined})")


def heads_cut_in_two(q, k, v) -> Tensor:
    """Half of every head's numbers over each axis, where half of the heads should be."""
    half, turn = q.shape[-1] // 2, "b t h s d -> b s h t d"
    y_t = _attend(*(rearrange(y[..., :half], turn) for y in (q, k, v)))
    y_s = _attend(*(y[..., half:] for y in (q, k, v)))
    y_t = rearrange(y_t, "b s h t d -> b t s (h d)")
    return torch.cat([y_t, rearrange(y_s, "b t h s d -> b t s (h d)")], dim=-1)


HALF_MISTAKES = {
    "The first half of the heads runs over space. The paper writes it so, but the official "
    "weights, and ours, have time first.": {"first": "space"},
    "Every second head runs over time. It must be the first half of the heads.": {
        "split": "alternate"
    },
    "All heads run over space: the second-to-last axis is s in both halves. Move t there for the "
    "first half.": {"turned": False},
    "All heads run over time. The second half of them must run over space.": {"split": "none"},
    "A reshape brings the half over time back. A reshape keeps the order in memory, so it puts the "
    "numbers into other tokens. Use rearrange, the other way round than before.": {"back": False},
    "The numbers of the heads are mixed, (d h). One head must stand after another: (h d).": {
        "joined": "d two h"
    },
    "In each half the numbers of the heads are mixed, (d h). One head must stand after another: "
    "(h d).": {"joined": "two d h"},
    "A reshape joins the heads while the axis of the heads stands before s. So it puts the numbers "
    "into other tokens. Move the heads beside d first.": {"joined": "as they are"},
}


@exercise("The same attention twice, over different axes. This is the whole idea of Model 4.")
@torch.inference_mode()
def half_heads(attend) -> None:
    b, t, h, s, d = 2, 3, 4, 5, 6
    q, k, v = (drawn(b, t, h, s, d, seed=seed) for seed in range(3))
    answer = call(attend, q, k, v)
    if isinstance(answer, (tuple, list)) and any(isinstance(each, Tensor) for each in answer):
        raise Wrong("These are several tensors. Join them to one tensor (b, t, s, heads · d).")
    shapes = {
        "This has half of the numbers: join the two halves, do not add them.": (
            b,
            t,
            s,
            h * d // 2,
        ),
        "The heads are still a separate axis: join them, (b, t, s, (h d)).": (b, t, h, s, d),
    }
    answer = expect_tensor(answer, (b, t, s, h * d), "(b, t, s, heads · d).", shapes)
    right = halves_variant(q, k, v)
    known, swapped = HALF_MISTAKES.items(), right.roll(h * d // 2, dims=-1)
    mistakes = {words: halves_variant(q, k, v, **change) for words, change in known} | {
        "Each half is right, but they are joined in the wrong order: time comes first.": swapped,
        "Every head is cut in two, with one half of its numbers over time and one over space. "
        "Split the axis of the heads, not d.": heads_cut_in_two(q, k, v),
    }
    expect(answer, right, mistakes=mistakes)


# ---- 3. and 4. A Model 2 that mixes the clips of a batch


_MODELS = {  # kind -> what a test that is deceived by it has overlooked
    MixingModel2: "It finds nothing wrong in MixingModel2. Do two different clips in one batch "
    "get the logits that each of them gets alone?",
    CentringModel2: "It misses a model that subtracts the mean of the batch. Repeated clips, or "
    "the same clips in another order, do not show this. Compare the batch with each clip alone.",
    NeighbourModel2: "It misses a model in which only the last clip of a batch is wrong. Compare "
    "the logits of every clip, not only of the first.",
    ThirdClipModel2: "It misses a model in which only the first clip is wrong, and only in a batch "
    "of three or more. Compare every clip of the whole batch.",
    RememberingModel2: "It misses a model that remembers clips of an earlier call. Call the same "
    "model several times, not copies of it.",
    FactorisedEncoder: "It says True for the package's own Model 2, which is right. Alone and in a "
    "batch the sums are rounded differently: use torch.allclose(..., atol=1e-5).",
}


ALL_ONE = "a model whose logits are all 1. Only the bias of its classifier is not zero"
BY_CLASS = "a model whose logits differ only from class to class, by the bias of its classifier"


@exercise("Each clip must get the logits that it gets alone. The test is cheap: keep it.")
def batch_independence(mixes) -> None:
    for kind, overlooked in _MODELS.items():
        model = small_model_2(kind).requires_grad_(False)  # gradients to the clips may be asked for
        found = true_or_false(call(mixes, model, small_clips(3)))
        if found == (kind is FactorisedEncoder):
            raise Wrong(overlooked)
    nn.init.zeros_(model.head.weight)
    zeros = torch.zeros(model.head.bias.shape)
    new = "a new model. Its classifier is zero"
    for bias, kind in ((0, new), (1, ALL_ONE), (torch.arange(len(zeros)), BY_CLASS)):
        model.head.bias.copy_(zeros + bias)
        with contextlib.suppress(ValueError):
            mixes(model, small_clips(3))
            raise Wrong(
                f"It accepts {kind}, so the logits of all clips are equal, and the test cannot "
                "find a mistake: raise a ValueError."
            )


@exercise("With one clip both versions agree. This is why nobody notices such a bug.")
@torch.inference_mode()
def frame_tokens(function) -> None:
    b, t, d = 3, 4, 5
    x = drawn(b * t, d)
    answer = call(function, x, b)
    shapes = {
        "Here the clips are the second axis. The blocks need (b, t, d): clips first.": (t, b, d),
        "Here each clip has only one token. The temporal encoder needs all t tokens.": (b, d),
    }
    answer = expect_tensor(answer, (b, t, d), "(b, t, d).", shapes)
    right = rearrange(x, "(b t) d -> b t d", b=b)
    mistakes = {
        "This is the mistake of MixingModel2. It reads the rows as (t b). But their order is "
        "(b t): all time steps of clip 0, then all of clip 1.": rearrange(
            x, "(t b) d -> b t d", b=b
        ),
        "This cuts the tokens into pieces: the d numbers of a token must stay together.": x.reshape(
            b, d, t
        ).mT,
        "Each clip has its own time steps, but in reversed order.": right.flip(1),
    }
    expect(answer, right, mistakes=mistakes)
    model, clips = small_model_2(MixingModel2), small_clips(3)
    model.frame_tokens = lambda x, b: like(call(function, x, b), x)
    alone = torch.cat([model(clip[None]) for clip in clips])
    expect(
        model(clips), alone, otherwise="In the model the clips are still mixed."
    )  # by a state, say
