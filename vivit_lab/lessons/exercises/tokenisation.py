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
)
from vivit_lab.models import uniform_frame_indices


@exercise("n_t · n_h · n_w: halve the tubelet's three sides and there are eight times as many.")
def token_count(count) -> None:
    for frames, size, (t, h, w) in ((32, 224, (2, 16, 16)), (16, 112, (4, 14, 28))):
        answer = call(count, frames, size, (t, h, w))
        right = (frames // t) * (size // h) * (size // w)
        mistakes = {
            f"this forgets time. A tubelet spans {t} frames, so there are {frames} / {t} steps, "
            f"not {frames}.": frames * (size // h) * (size // w),
            "the three counts multiply; you added them.": frames // t + size // h + size // w,
            "this counts the class token too, which joins the sequence later.": right + 1,
            "this divides the width by 1. Patches have a width as well.": right * w,
        }
        what = f"{frames} frames of {size} with tubelets of {t} x {h} x {w}"
        expect(answer, right, what, mistakes)


def _tubelets(clip: Tensor, pattern: str = "b (nt t) c (nh h) (nw w) -> b (nt nh nw) (c t h w)"):
    return rearrange(clip, pattern, t=2, h=4, w=3)


class _NoConvolution(TorchDispatchMode):
    """Raises Wrong where a convolution runs."""

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        if "conv" in str(function):
            raise Wrong(
                "The answer may be right, but a convolution made it. Cut the clip into boxes, "
                "flatten each, and multiply by the flattened weight."
            )
        return function(*arguments, **(named or {}))


@exercise("Cut, flatten, one matrix product: a convolution whose stride is its kernel is no more.")
def tubelet_embedding(embed) -> None:
    clip, weight, bias = drawn(2, 4, 3, 8, 12), drawn(5, 3, 2, 4, 3, seed=1), drawn(5, seed=2)
    with _NoConvolution():
        answer = call(embed, clip, weight, bias)
    why = "4 x 8 x 12 voxels in boxes of 2 x 4 x 3 make 2 · 2 · 4 = 16 tokens of width 5."
    answer = expect_tensor(answer, (2, 16, 5), why)

    def embedded(tokens: Tensor) -> Tensor:
        return tokens @ weight.flatten(1).T + bias

    right, voxels = embedded(_tubelets(clip)), "b (nt t) c (nh h) (nw w) -> b (nt nh nw)"
    turned = embedded(_tubelets(clip, f"{voxels} (c t w h)"))
    by_place = rearrange(right, "b (t h w) d -> b (h w t) d", t=2, h=2)
    mistakes = {
        "Every token is there, but in the order (h w t). Time must be slowest: (t h w). The next "
        "exercise shows what that mistake looks like.": by_place,
        "All that is missing is the bias.": right - bias,
        "The voxels of a box are flattened as (t c h w), but the weight as (c t h w): each number "
        "meets another's weight.": embedded(_tubelets(clip, f"{voxels} (t c h w)")),
        "Height and width are swapped inside the box: you flatten it as (c t w h).": turned,
    }

    def near(answer: Tensor, other: Tensor) -> bool:  # a sum of 96 products, in any order
        return torch.allclose(answer, other, atol=1e-4)

    expect(answer, right, mistakes=mistakes, same=near)


@exercise("Evenly spread, and the frames at either end are nobody's favourites.")
def uniform_frames(choose) -> None:
    for frames, n in ((32, 8), (8, 4), (9, 5)):
        what = f"{n} of {frames} frames"
        answer = frame_numbers(call(choose, frames, n), n, what)
        cut_off = [int(k * frames / (n + 1)) for k in range(1, n + 1)]
        step, ends = frames // n, [k * (frames - 1) / (n - 1) for k in range(n)]
        mistakes = {
            f"you cut the fractions off: {answer}. Round to the nearest, as round() does.": cut_off,
            "you start at the first frame and end at the last. These stay inside: n frames cut the "
            "clip into n + 1 equal parts.": answer in ([*map(round, ends)], [*map(int, ends)]),
            f"you take every {step}th frame: the end is never seen.": [k * step for k in range(n)],
        }
        right = uniform_frame_indices(frames, n).tolist()
        exact = [k * frames / (n + 1) for k in range(1, n + 1)]
        is_nearest = all(abs(a - b) <= 0.5 for a, b in zip(answer, exact, strict=True))
        expect(right if is_nearest else answer, right, what, mistakes)  # 4.5 has two nearest


@exercise("A wrong order keeps every shape right. Only a picture, or a test of values, shows it.")
def mended_order(mend) -> None:
    config = ViViTConfig(frames=6, image_size=(16, 32), tubelet=(2, 8, 8))
    nt, nh, _ = config.grid
    right = torch.arange(config.tokens).view(1, -1, 1).expand(1, -1, 3)
    broken = rearrange(right, "b (t h w) d -> b (h w t) d", t=nt, h=nh)
    answer = like(call(mend, broken, config.grid), right)
    if not isinstance(answer, Tensor) or answer.shape != right.shape:
        raise Wrong("This asks for the same tokens in another order: (B, N, D) as they came.")
    twice = rearrange(broken, "b (t h w) d -> b (h w t) d", t=nt, h=nh)
    swapped = rearrange(broken, "b (w h t) d -> b (t h w) d", t=nt, h=nh)
    mistakes = {
        "These are the tokens as they came; nothing has moved.": broken,
        "That is the mistake made a second time: you go from (t h w) to (h w t). Say on the left "
        "what order the tokens are in now.": twice,
        "Time is mended, but rows and columns are swapped: (h w t) on the left.": swapped,
    }
    elsewhere = "The tokens have moved, but not to (t h w): time slowest, then rows."
    expect(answer, right, mistakes=mistakes, otherwise=elsewhere)
