"""Notebook 02: the checks of its exercises, and the mistakes that they name."""

import torch
from einops import rearrange
from torch import Tensor

from vivit_lab import ViViTConfig
from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect, expect_tensor
from vivit_lab.models import uniform_frame_indices

# ---- 1. How many tokens?


def _judge_token_count(count) -> None:
    def ask(frames, size, tubelet, what):
        answer = call(count, frames, size, tubelet)
        t, h, w = tubelet
        if answer == frames * (size // h) * (size // w):
            raise Wrong(
                f"{what}: {answer} forgets time. A tubelet spans {t} frames, so there are "
                f"{frames} / {t} steps, not {frames}."
            )
        if answer == frames // t + size // h + size // w:
            raise Wrong(f"{what}: the three counts along t, h and w multiply; you added them.")
        if answer == (frames // t) * (size // h) * (size // w) + 1:
            raise Wrong(
                f"{what}: {answer} counts the class token too. It is no tubelet: it joins the "
                "sequence later."
            )
        if answer == frames * size * size // (t * h):
            raise Wrong(f"{what}: {answer} divides the width by 1. Patches have a width as well.")
        expect(answer, (frames // t) * (size // h) * (size // w), what)

    ask(32, 224, (2, 16, 16), "ViViT-B/16x2, 32 frames of 224")
    ask(16, 112, (4, 14, 28), "16 frames of 112 with tubelets of 4 x 14 x 28")


token_count = Exercise(
    praise="n_t · n_h · n_w: halve the tubelet's three sides and there are eight times as many.",
    judge=_judge_token_count,
)


# ---- 2. Write tubelet embedding


def _tubelets(clip: Tensor, pattern: str) -> Tensor:
    return rearrange(clip, pattern, t=2, h=4, w=4)


_RIGHT = "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (c t h w)"


def _judge_tubelet_embedding(embed) -> None:
    generator = torch.Generator().manual_seed(2)
    clip = torch.randn(2, 4, 3, 8, 12, generator=generator)
    weight = torch.randn(5, 3, 2, 4, 4, generator=generator)
    bias = torch.randn(5, generator=generator)
    answer = call(embed, clip, weight, bias)
    expect_tensor(answer)
    right = _tubelets(clip, _RIGHT) @ weight.flatten(1).T + bias
    if answer.shape != right.shape:
        raise Wrong(
            f"The shape is {tuple(answer.shape)}, but 4 x 8 x 12 voxels in boxes of 2 x 4 x 4 make "
            f"2 · 2 · 3 = 12 tokens of width 5 for each of 2 clips: {tuple(right.shape)}."
        )

    def same(other: Tensor) -> bool:
        return torch.allclose(answer, other, atol=1e-4)

    by_space = rearrange(right, "b (t h w) d -> b (h w t) d", t=2, h=2)
    if same(by_space):
        raise Wrong(
            "Every token is there, but in the order (h w t). Time must be slowest: (t h w). The "
            "next exercise shows what that mistake looks like."
        )
    if same(right - bias):
        raise Wrong("All that is missing is the bias.")
    wrong_inside = _tubelets(clip, "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (t c h w)")
    if same(wrong_inside @ weight.flatten(1).T + bias):
        raise Wrong(
            "The voxels of a box are flattened as (t c h w), but the weight as (c t h w): each "
            "number meets another's weight. Shapes cannot show this one."
        )
    swapped = _tubelets(clip, "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (c t w h)")
    if same(swapped @ weight.flatten(1).T + bias):
        raise Wrong("Height and width are swapped inside the box: (c t h w), not (c t w h).")
    if not same(right):
        raise Wrong("The shape is right, the numbers are not. Compare with F.conv3d step by step.")


tubelet_embedding = Exercise(
    praise="Cut, flatten, one matrix product: a convolution whose stride is its kernel is no more.",
    judge=_judge_tubelet_embedding,
)


# ---- 3. Write uniform frame sampling


def _judge_uniform_frames(choose) -> None:
    for frames, sampled in ((32, 8), (8, 4), (9, 5)):
        answer = call(choose, frames, sampled)
        what = f"{sampled} of {frames} frames"
        try:
            answer = [int(i) for i in answer]
        except TypeError:
            raise Wrong(f"This asks for a list of frame numbers, but got {answer!r}.") from None
        right = uniform_frame_indices(frames, sampled).tolist()
        if answer == right:
            continue
        if len(answer) != sampled:
            raise Wrong(f"For {what} you have {len(answer)} numbers.")
        spaced = [k * frames / (sampled + 1) for k in range(1, sampled + 1)]
        if answer == [int(x) for x in spaced]:
            raise Wrong(
                f"For {what} you cut the fractions off: {answer}. Round to the nearest, as round() "
                "does."
            )
        ends = [round(k * (frames - 1) / (sampled - 1)) for k in range(sampled)]
        if answer in (ends, [int(k * (frames - 1) / (sampled - 1)) for k in range(sampled)]):
            raise Wrong(
                f"For {what} you start at the first frame and end at the last. These stay inside: "
                "n frames cut the clip into n + 1 equal parts."
            )
        if answer == [k * (frames // sampled) for k in range(sampled)]:
            raise Wrong(
                f"For {what} you take every {frames // sampled}th from frame 0 on: the end of the "
                "clip is never seen."
            )
        raise Wrong(f"For {what} you have {answer}, but it is {right}.")


uniform_frames = Exercise(
    praise="Evenly spread, and the frames at either end are nobody's favourites.",
    judge=_judge_uniform_frames,
)


# ---- 4. The picture with bars


def _judge_mended_order(mend) -> None:
    config = ViViTConfig(frames=6, image_size=(16, 32), tubelet=(2, 8, 8))
    nt, nh, nw = config.grid
    right = torch.arange(config.tokens).view(1, -1, 1).expand(1, -1, 3)
    broken = rearrange(right, "b (t h w) d -> b (h w t) d", t=nt, h=nh)
    answer = call(mend, broken, config.grid)
    if not isinstance(answer, Tensor) or answer.shape != right.shape:
        raise Wrong("This asks for the same tokens in another order: (B, N, D) as they came.")
    if torch.equal(answer, broken):
        raise Wrong("These are the tokens as they came; nothing has moved.")
    if torch.equal(answer, rearrange(broken, "b (t h w) d -> b (h w t) d", t=nt, h=nh)):
        raise Wrong(
            "That is the mistake made a second time: you go from (t h w) to (h w t). Say on the "
            "left what order the tokens are in now."
        )
    if torch.equal(answer, rearrange(broken, "b (w h t) d -> b (t h w) d", t=nt, h=nh)):
        raise Wrong("Time is mended, but rows and columns are swapped: (h w t) on the left.")
    if not torch.equal(answer, right):
        raise Wrong("The tokens have moved, but not to (t h w): time slowest, then rows.")


mended_order = Exercise(
    praise="A wrong order keeps every shape right. Only a picture, or a test of values, shows it.",
    judge=_judge_mended_order,
)
