"""Notebook 02: the checks of its exercises, and the mistakes that they name."""

import torch
from einops import rearrange
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vivit_lab import ViViTConfig
from vivit_lab.lessons.checking import (
    Wrong,
    call,
    drawn,
    exercise,
    expect,
    expect_tensor,
    frame_numbers,
    like,
    refuse,
)
from vivit_lab.models import uniform_frame_indices


@exercise("It is n_t · n_h · n_w. With half of each side there are eight times as many tokens.")
def token_count(count) -> None:
    for frames, size, (t, h, w) in ((32, 224, (2, 16, 16)), (16, 112, (4, 14, 28))):
        answer = call(count, frames, size, (t, h, w))
        right = (frames // t) * (size // h) * (size // w)
        mistakes = {
            f"this forgets time. A tubelet has {t} frames, so there are {frames} / {t} time steps, "
            f"not {frames}.": frames * (size // h) * (size // w),
            "you added the three counts. Multiply them.": frames // t + size // h + size // w,
            "this counts the class token, too. It is added to the sequence later.": right + 1,
            "this does not divide the width. A patch has a width, too.": right * w,
            "you used the height of the patch for its width, too.": frames // t * (size // h) ** 2,
        }
        what = f"{frames} frames of {size} with tubelets of {t} x {h} x {w}"
        expect(answer, right, what, mistakes)
        floats = f"the number is right, but {answer} is a float. Divide with //."
        refuse({floats: isinstance(answer, float)}, what)


def _tubelets(clip: Tensor, pattern: str = "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (c t h w)"):
    return rearrange(clip, pattern, t=2, h=4, w=3)


class _NoConvolution(TorchDispatchMode):
    """Raises Wrong where a convolution runs."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if "conv" in str(function):
            raise Wrong(
                "Your answer uses a convolution. Do without it: cut the clip into boxes, flatten "
                "each box, and multiply by the flattened weight."
            )
        return function(*arguments, **(named or {}))


BOXES = (
    "A pattern cuts the channels as if they were frames. The clip is (B, T, C, H, W), time first"
)


@exercise("Cut, flatten, multiply: where the boxes do not overlap, a convolution does just this.")
def tubelet_embedding(embed) -> None:
    clip, weight, bias = drawn(2, 4, 3, 8, 12), drawn(5, 3, 2, 4, 3, seed=1), drawn(5, seed=2)
    try:
        with _NoConvolution():
            answer = call(embed, clip, weight, bias)
    except Wrong as wrong:
        refuse({f"{BOXES}, {tuple(clip.shape)}.": "axis of length 3 in chunks" in str(wrong)})
        raise
    why = "4 x 8 x 12 voxels in boxes of 2 x 4 x 3 make 2 · 2 · 4 = 16 tokens of width 5."
    answer = expect_tensor(answer, (2, 16, 5), why)

    def embedded(tokens: Tensor) -> Tensor:
        return tokens @ weight.flatten(1).T + bias

    right, voxels = embedded(_tubelets(clip)), "b (nt t) c (nh h) (nw w) -> b (nt nh nw)"
    turned = embedded(_tubelets(clip, f"{voxels} (c t w h)"))
    by_place = rearrange(right, "b (t h w) d -> b (h w t) d", t=2, h=2)
    mistakes = {
        "All tokens are right, but their order is (h w t). It must be (t h w): time changes "
        "slowest. Exercise 4 is about this mistake.": by_place,
        "Only the bias is missing.": right - bias,
        "You flatten the voxels of a box as (t c h w), but the weight is flattened as (c t h w). "
        "So voxels get wrong weights.": embedded(_tubelets(clip, f"{voxels} (t c h w)")),
        "You flatten a box as (c t w h), but the weight has height before width.": turned,
        "You only reshaped the clip, so a token gets the next 72 numbers in memory. They are not "
        "one box: cut along time, height and width.": embedded(clip.reshape(2, 16, -1)),
    }

    def near(answer: Tensor, other: Tensor) -> bool:  # a sum of 72 products, in any order
        return torch.allclose(answer, other, atol=1e-4)

    expect(answer, right, mistakes=mistakes, same=near)


@exercise("The frames are evenly spread, and the first and the last frame are not kept.")
def uniform_frames(choose) -> None:
    for frames, n in ((30, 8), (8, 4), (9, 5)):
        what = f"{n} of {frames} frames"
        answer = frame_numbers(call(choose, frames, n), n, what)
        cut_off = [int(k * frames / (n + 1)) for k in range(1, n + 1)]
        shorter = [k * (frames - 1) / (n + 1) for k in range(1, n + 1)]
        from_0 = [round(k * frames / (n + 1)) for k in range(n)]
        middles = [(k + 0.5) * frames / n for k in range(n)]
        step, ends = frames // n, [k * (frames - 1) / (n - 1) for k in range(n)]
        mistakes = {
            f"you cut the fractions off: {answer}. Round to the nearest frame.": cut_off,
            f"you divide {frames - 1}: {answer}. Divide the length, {frames}.": answer
            in ([*map(round, shorter)], [*map(int, shorter)]),
            "you start at the first frame and end at the last. But no cut lies at an end: n cuts "
            "make n + 1 equal parts.": answer in ([*map(round, ends)], [*map(int, ends)]),
            f"you take every {step}th frame from 0 on.": [k * step for k in range(n)],
            "your first cut is at 0. Count the cuts from 1 to n, not from 0.": from_0,
            "these are the middles of n equal parts. This asks for the cuts between n + 1 equal "
            "parts.": answer in ([*map(round, middles)], [*map(int, middles)]),
        }
        right = uniform_frame_indices(frames, n).tolist()
        exact = [k * frames / (n + 1) for k in range(1, n + 1)]
        is_nearest = all(abs(a - b) <= 0.5 for a, b in zip(answer, exact, strict=True))
        expect(right if is_nearest else answer, right, what, mistakes)  # 4.5 has two nearest


@exercise("A wrong order leaves every shape right. Only a picture or a test of values shows it.")
def mended_order(mend) -> None:
    config = ViViTConfig(frames=6, image_size=(16, 32), tubelet=(2, 8, 8))
    nt, nh, _ = config.grid
    right = torch.arange(config.tokens).view(1, -1, 1).expand(1, -1, 3)
    broken = rearrange(right, "b (t h w) d -> b (h w t) d", t=nt, h=nh)
    answer = like(call(mend, broken, config.grid), right)
    if not isinstance(answer, Tensor) or answer.shape != right.shape:
        raise Wrong("This asks for the same tokens in another order, again as (B, N, D).")
    twice = rearrange(broken, "b (t h w) d -> b (h w t) d", t=nt, h=nh)
    swapped = rearrange(broken, "b (w h t) d -> b (t h w) d", t=nt, h=nh)
    mistakes = {
        "The tokens have the same order as before.": broken,
        "This repeats the mistake: you go from (t h w) to (h w t). Write the order that the tokens "
        "have now on the left.": twice,
        "Time is right, but rows and columns are exchanged. Write (h w t) on the left.": swapped,
    }
    elsewhere = "The order has changed, but it is not (t h w): time changes slowest, then rows."
    expect(answer, right, mistakes=mistakes, otherwise=elsewhere)
