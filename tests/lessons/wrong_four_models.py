"""Wrong answers to the exercises of four_models, by words of the message that they get."""

import copy

import torch
from einops import rearrange

from vivit_lab.lessons.exercises.four_models import block_variant, halves_variant, heads_cut_in_two


def _changed(**change):
    return lambda parts, x: block_variant(parts, x, **change)


def _with(**change):
    return lambda q, k, v: halves_variant(q, k, v, **change)


def _alone(model, clips):
    return torch.cat([model(clip[None]) for clip in clips])


def _differ(a, b):
    return not torch.allclose(a, b, atol=1e-5)


def _with_copies(model, clips):
    batch = copy.deepcopy(model)(clips)
    return _differ(batch, torch.cat([copy.deepcopy(model)(clip[None]) for clip in clips]))


def _only_zeros_refused(model, clips):
    if (model(clips) == 0).all():
        raise ValueError
    return _differ(model(clips), _alone(model, clips))


def _only_one_number_refused(model, clips):
    if model(clips).std() == 0:
        raise ValueError
    return _differ(model(clips), _alone(model, clips))


model_3_block = {
    "This is time first": _changed(order="time first"),
    "Both attentions get the same x": _changed(order="parallel"),
    "The MLP is missing": _changed(mlp=False),
    "runs over space again": _changed(time="not turned"),
    "raised RuntimeError": lambda parts, x: x + parts.attn_time(x.transpose(1, 2))[0],
    "around the attention over space": _changed(lost="space"),
    "around the attention over time is missing": _changed(lost="time"),
    "around the MLP is missing": _changed(lost="mlp"),
    "over time adds the input of the block": _changed(lost="time's sum"),
    "MLP adds the input of the block": _changed(lost="first sum"),
    "All norms are missing": _changed(norms="none"),
    "norm before the MLP is missing": _changed(norms="two"),
    "uses norm1": _changed(norms="one"),
    "Both attentions are attn": _changed(time="attn"),
    "the numbers are not": lambda parts, x: x.mul_(2),
    "norm before the attention over time": _changed(norms="no time"),
    "attentions are exchanged": _changed(time="exchanged"),
    "one is returned": lambda parts, x: parts.attn(x),
    "one is used as a tensor": lambda parts, x: x + parts.attn(parts.norm1(x)),
}


half_heads = {
    "The paper writes it so": _with(first="space"),
    "Every second head": _with(split="alternate"),
    "All heads run over space": _with(turned=False),
    "All heads run over time": _with(split="none"),
    "reshape brings the half": _with(back=False),
    "The numbers of the heads are mixed": _with(joined="d two h"),
    "In each half the numbers": _with(joined="two d h"),
    "A reshape joins the heads": _with(joined="as they are"),
    "in the wrong order": lambda q, k, v: halves_variant(q, k, v).roll(12, -1),
    "Every head is cut in two": heads_cut_in_two,
    "do not add them": lambda q, k, v: sum(halves_variant(q, k, v).chunk(2, -1)),
    "a separate axis": lambda q, k, v: halves_variant(q, k, v).reshape(q.shape),
    "These are several tensors": lambda q, k, v: (q, v),
    "must be (2, 3, 5, 24)": lambda q, k, v: q[:, :, :, 0],
}


batch_independence = {
    "nothing wrong in Mixing": lambda m, c: m(c).shape != _alone(m, c).shape,
    "subtracts the mean of the batch": lambda m, c: _differ(m(c[[0, 0]]), m(c[:1])),
    "three or more": lambda m, c: (
        _differ(m(c)[1:], _alone(m, c)[1:]) or _differ(m(c[:2]), _alone(m, c[:2]))
    ),
    "only the last clip": lambda m, c: _differ(m(c)[0], m(c[:1])[0]),
    "remembers clips of an earlier call": _with_copies,
    "says True for the package's own": lambda m, c: True,
    "accepts a new model": lambda m, c: _differ(m(c), _alone(m, c)),
    "logits are all 1": _only_zeros_refused,
    "only from class to class": _only_one_number_refused,
    "True or False": lambda m, c: (m(c) - _alone(m, c)).abs().max().item(),
}


def _right_but_for_big_batches(x, b):
    x = rearrange(x, "(b t) d -> b t d", b=b)
    return x.flip(0) if x.shape[-1] == 16 else x


frame_tokens = {
    "the mistake of MixingModel2": lambda x, b: rearrange(x, "(t b) d -> b t d", b=b),
    "clips are the second axis": lambda x, b: rearrange(x, "(b t) d -> t b d", b=b),
    "cuts the tokens": lambda x, b: x.reshape(b, x.shape[-1], -1).mT,
    "in reversed order": lambda x, b: rearrange(x, "(b t) d -> b t d", b=b).flip(1),
    "has only one token": lambda x, b: x.reshape(b, -1, x.shape[-1]).mean(1),
    "must be (3, 4, 5)": lambda x, b: x,
    "clips are still mixed": _right_but_for_big_batches,
}
