"""Notebook 03: the checks of its exercises, and the mistakes that they name."""

import torch
from einops import rearrange
from torch import Tensor

from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect_tensor
from vivit_lab.lessons.exercises.mixing_models import (
    SIZE,
    CentringModel2,
    MixingModel2,
    NeighbourModel2,
    RememberingModel2,
    small_clips,
    small_model_2,
)
from vivit_lab.lessons.exercises.model_variants import (
    block_variant,
    halves_variant,
    heads_cut_in_two,
    model_3_parts,
    time_with_space_weights,
)
from vivit_lab.models import FactorisedEncoder


def _drawn(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _same(answer: Tensor, other: Tensor) -> bool:
    return answer.shape == other.shape and torch.allclose(answer, other, atol=1e-5)


# ---- 1. Model 3's block


_BLOCK_MISTAKES = (
    (
        {"order": "time first"},
        "That is time first, then space. The paper's order is space, then time (equations 4 and "
        "5); the other is the option attention_order='time_space'.",
    ),
    (
        {"order": "parallel"},
        "Both attentions get the same x. The second one must get what the first has made of it: "
        "that is how a token reaches the whole clip in one block.",
    ),
    ({"mlp": False}, "The MLP is missing (equation 6)."),
    (
        {"turned": False},
        "The second attention runs over space again: attention runs over the last but one axis, "
        "so t must be brought there, and back.",
    ),
    ({"lost": "space"}, "The residual around the attention over space is missing (equation 4)."),
    ({"lost": "time"}, "The residual around the attention over time is missing (equation 5)."),
    ({"lost": "mlp"}, "The residual around the MLP is missing (equation 6)."),
    (
        {"lost": "first sum"},
        "The MLP's residual goes back to the x of the beginning. It adds to "
        "what the two attentions have made (equation 6).",
    ),
    ({"norms": "none"}, "No part is normed: each gets the norm of x, and x itself goes round it."),
    ({"norms": "two"}, "The MLP gets x as it is. It has a norm, too: norm2."),
    (
        {"norms": "one"},
        "The attention over time takes norm1. It has a norm of its own, norm_time: what reaches it "
        "is no longer what norm1 was learned for.",
    ),
)


@torch.inference_mode()
def _judge_block(forward) -> None:
    parts, x = model_3_parts(), _drawn(2, 3, 5, SIZE["dim"])
    before = x.clone()
    answer = call(forward, parts, x)
    if not torch.equal(x, before):
        raise Wrong("That wrote into x itself (x += ...). A residual needs the old x: x = x + ...")
    if isinstance(answer, tuple):
        raise Wrong("That is a pair: an attention returns (output, weights); take [0] of it.")
    expect_tensor(answer)
    if answer.shape != x.shape:
        shape = tuple(answer.shape)
        raise Wrong(f"The shape is {shape}, but a block gives back what it gets, {tuple(x.shape)}.")
    if _same(answer, parts(x)[0]):
        return
    for change, words in _BLOCK_MISTAKES:
        if _same(answer, block_variant(parts, x, **change)):
            raise Wrong(words)
    if _same(answer, time_with_space_weights(parts, x)):
        raise Wrong("Both attentions are attn. The one over time has weights of its own.")
    raise Wrong("The shape is right, the numbers are not.")


model_3_block = Exercise(
    praise="Three sentences: space, time, MLP, each with a norm before and a residual around.",
    judge=_judge_block,
)


# ---- 2. Model 4's half heads


_HALF_MISTAKES = (
    (
        {"first": "space"},
        "The first half of the heads runs over space. The paper writes it so, but the official "
        "weights, and ours, have time first.",
    ),
    (
        {"split": "alternate"},
        "Every other head runs over time. The halves are the first heads and the last ones.",
    ),
    (
        {"turned": False},
        "All heads run over space: the last but one axis is s in both halves. Bring t there for "
        "the first half.",
    ),
    (
        {"back": False},
        "The half over time comes back by a reshape: that keeps the order in memory, and puts its "
        "numbers into other tokens. Turn it back as you turned it: rearrange.",
    ),
    (
        {"joined": "d h"},
        "The heads are interleaved, (d h). Heads stand one after another: (h d).",
    ),
)


@torch.inference_mode()
def _judge_halves(attend) -> None:
    b, t, h, s, d = 2, 3, 4, 5, 6
    q, k, v = (_drawn(b, t, h, s, d, seed=seed) for seed in range(3))
    answer = call(attend, q, k, v)
    if isinstance(answer, (tuple, list)):
        raise Wrong("That is several tensors. Join them: one tensor (b, t, s, D).")
    expect_tensor(answer)
    shape = tuple(answer.shape)
    if shape == (b, t, s, h * d // 2):
        raise Wrong("That is half as wide as it should be: join the two halves, do not add them.")
    if shape == (b, t, h, s, d):
        raise Wrong("The heads are still an axis of their own: join them, (b, t, s, (h d)).")
    if shape != (b, t, s, h * d):
        raise Wrong(f"The shape is {shape}, but must be {(b, t, s, h * d)}: (b, t, s, D).")
    if _same(answer, halves_variant(q, k, v)):
        return
    for change, words in _HALF_MISTAKES:
        if _same(answer, halves_variant(q, k, v, **change)):
            raise Wrong(words)
    if _same(answer, _joined_backwards(q, k, v)):
        raise Wrong("Each half is right, but they are joined the wrong way round: time's first.")
    if _same(answer, heads_cut_in_two(q, k, v)):
        raise Wrong(
            "Every head is cut in two, and gives one half of its numbers to each axis. Whole heads "
            "are shared out: halve the axis h, not d."
        )
    raise Wrong("The shape is right, the numbers are not.")


def _joined_backwards(q, k, v) -> Tensor:
    return torch.cat(halves_variant(q, k, v).chunk(2, dim=-1)[::-1], dim=-1)


half_heads = Exercise(
    praise="The same attention twice, over other neighbours. That is all of Model 4.",
    judge=_judge_halves,
)


# ---- 3. and 4. A Model 2 that mixes the clips of a batch


_SUBJECTS = (  # kind, does it mix, what a test that is deceived by it has overlooked
    (MixingModel2, True, "It finds nothing wrong with MixingModel2. Do two different clips in one "
     "batch get the answers that they get alone?"),
    (CentringModel2, True, "It misses a model that takes the batch's mean away. A batch of the "
     "same clip again and again is no test: compare a batch with each clip alone."),
    (NeighbourModel2, True, "It misses a model where only the last clip of a batch is wrong. "
     "Compare every clip's answer, not the first one's."),
    (RememberingModel2, True, "It misses a model that remembers what it saw before. Ask one and "
     "the same model again and again, no copies of it."),
    (FactorisedEncoder, False, "It accuses the package's own Model 2. Alone and in a batch a sum "
     "is added up in another order, so allow for rounding: torch.allclose(..., atol=1e-5)."),
)  # fmt: skip


def _judge_detector(mixes) -> None:
    for kind, is_mixing, overlooked in _SUBJECTS:
        model = small_model_2(kind).requires_grad_(False)  # gradients to the clips may be asked for
        found = call(mixes, model, small_clips(3))
        if not isinstance(found, bool):
            raise Wrong(f"This asks for True or False, but got {type(found).__name__}.")
        if found != is_mixing:
            raise Wrong(overlooked)


def _alone(model, clips: Tensor) -> Tensor:
    return torch.cat([model(clip[None]) for clip in clips])


def _differ(a: Tensor, b: Tensor) -> bool:
    return not torch.allclose(a, b, atol=1e-5)


batch_independence = Exercise(
    praise="Alone and in a batch: the same answer, for every clip. The test is cheap; keep it.",
    judge=_judge_detector,
)


@torch.inference_mode()
def _judge_frame_tokens(frame_tokens) -> None:
    b, t, d = 3, 4, 5
    x = _drawn(b * t, d)
    answer = call(frame_tokens, x, b)
    expect_tensor(answer)
    shape = tuple(answer.shape)
    if shape == (t, b, d):
        raise Wrong("The clips are the second axis here. The blocks want (b, t, d): clips first.")
    if shape == (b, d):
        raise Wrong("Only one token for each clip is left. The temporal encoder wants all t.")
    if shape != (b, t, d):
        raise Wrong(f"The shape is {shape}, but must be {(b, t, d)}: (b, t, d).")
    for wrong, words in (
        ("(t b) d -> b t d", "That is the mistake itself: it reads the rows as if time were the "
         "slowest. They came from (b t): all time steps of clip 0, then of clip 1."),
        ("(b d) t -> b t d", "That cuts through the tokens: d must stay together."),
    ):  # fmt: skip
        source = x if wrong.startswith("(t") else x.reshape(b * d, t)
        if _same(answer, rearrange(source, wrong, b=b)):
            raise Wrong(words)
    if _same(answer, rearrange(x, "(b t) d -> b t d", b=b).flip(1)):
        raise Wrong("Each clip has its own steps, but backwards.")
    if not _same(answer, rearrange(x, "(b t) d -> b t d", b=b)):
        raise Wrong("The shape is right, the numbers are not.")
    model = small_model_2(MixingModel2)
    model.frame_tokens = frame_tokens
    clips = small_clips(3)
    if _differ(model(clips), _alone(model, clips)):
        raise Wrong("In the model clips still mix.")  # what no single call can show: a state


frame_tokens = Exercise(
    praise="With one clip the two readings agree. That is how such a bug survives.",
    judge=_judge_frame_tokens,
)
