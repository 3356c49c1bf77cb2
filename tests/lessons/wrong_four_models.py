"""Wrong answers to the exercises of four_models, each with words of its message."""

import copy

import torch
from einops import rearrange

from vivit_lab.lessons.exercises.four_models import block_variant, halves_variant, heads_cut_in_two


def _not_turned_back(parts, x):
    x = x + parts.attn(parts.norm1(x))[0]
    return x + parts.attn_time(parts.norm_time(x).transpose(1, 2))[0]


def _in_place(parts, x):
    x += parts.attn(parts.norm1(x))[0]
    return x


def _changed(**change):
    return lambda parts, x: block_variant(parts, x, **change)


def _with(**change):
    return lambda q, k, v: halves_variant(q, k, v, **change)


def _halves(join):
    """A wrong answer: the two halves of Model 4, joined like this."""
    return lambda q, k, v: join(*halves_variant(q, k, v).chunk(2, dim=-1))


def _apart(q, k, v):
    return rearrange(halves_variant(q, k, v), "b t s (h d) -> b t h s d", h=q.shape[2])


def _alone(model, clips):
    return torch.cat([model(clip[None]) for clip in clips])


def _differ(a, b):
    return not torch.allclose(a, b, atol=1e-5)


def _with_copies(model, clips):
    batch = copy.deepcopy(model)(clips)
    return _differ(batch, torch.cat([copy.deepcopy(model)(clip[None]) for clip in clips]))


model_3_block = {
    "time first": (_changed(order="time first"), "That is time first"),
    "parallel": (_changed(order="parallel"), "Both attentions get the same x"),
    "no MLP": (_changed(mlp=False), "The MLP is missing"),
    "not turned": (_changed(time="not turned"), "runs over space again"),
    "not turned back": (_not_turned_back, "raised RuntimeError"),
    "no residual, space": (_changed(lost="space"), "around the attention over space"),
    "no residual, time": (_changed(lost="time"), "around the attention over time is missing"),
    "no residual, MLP": (_changed(lost="mlp"), "around the MLP"),
    "residual of the beginning": (_changed(lost="first sum"), "back to the x of the beginning"),
    "no norms": (_changed(norms="none"), "No part is normed"),
    "no norm2": (_changed(norms="two"), "It has a norm, too: norm2"),
    "norm1 twice": (_changed(norms="one"), "takes norm1"),
    "attn twice": (_changed(time="attn"), "Both attentions are attn"),
    "in place": (_in_place, "wrote into x itself"),
    "a pair": (lambda parts, x: parts.attn(x), "That is a pair"),
}


half_heads = {
    "space first": (_with(first="space"), "The paper writes it so"),
    "alternate": (_with(split="alternate"), "Every other head"),
    "not turned": (_with(turned=False), "All heads run over space"),
    "reshaped": (_with(back=False), "comes back by a reshape"),
    "interleaved": (_with(joined="d h"), "The heads are interleaved"),
    "joined backwards": (_halves(lambda a, b: torch.cat([b, a], -1)), "the wrong way round"),
    "by width": (heads_cut_in_two, "Every head is cut in two"),
    "added": (_halves(torch.add), "do not add them"),
    "heads apart": (_apart, "an axis of their own"),
    "two tensors": (lambda q, k, v: (q, v), "That is several tensors"),
    "no space": (lambda q, k, v: q[:, :, :, 0], "must be (2, 3, 5, 24)"),
}


batch_independence = {
    "shapes": (lambda m, c: m(c).shape != _alone(m, c).shape, "nothing wrong with Mixing"),
    "the same clip": (lambda m, c: _differ(m(c[[0, 0]]), m(c[:1])), "batch's mean away"),
    "first clip only": (lambda m, c: _differ(m(c)[0], m(c[:1])[0]), "only the last clip"),
    "fresh copies": (_with_copies, "remembers what it saw before"),
    "always": (lambda m, c: True, "accuses the package's own"),
    "a number": (lambda m, c: (m(c) - _alone(m, c)).abs().max().item(), "True or False"),
}


def _right_but_for_big_batches(x, b):
    x = rearrange(x, "(b t) d -> b t d", b=b)
    return x.flip(0) if x.shape[-1] == 16 else x


frame_tokens = {
    "the bug": (lambda x, b: rearrange(x, "(t b) d -> b t d", b=b), "the mistake itself"),
    "time first": (lambda x, b: rearrange(x, "(b t) d -> t b d", b=b), "second axis here"),
    "through the tokens": (lambda x, b: x.reshape(b, x.shape[-1], -1).mT, "cuts through"),
    "backwards": (lambda x, b: rearrange(x, "(b t) d -> b t d", b=b).flip(1), "but backwards"),
    "averaged": (lambda x, b: x.reshape(b, -1, x.shape[-1]).mean(1), "Only one token"),
    "as it is": (lambda x, b: x, "must be (3, 4, 5)"),
    "in the model": (_right_but_for_big_batches, "clips still mix"),
}
