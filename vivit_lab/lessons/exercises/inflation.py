"""Notebook 06: the checks of its exercises, and the mistakes that they name."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from vivit_lab.lessons.checking import Wrong, call, drawn, exercise, expect, expect_tensor, same
from vivit_lab.weights import inflate_kernel, repeat_positions, resize_positions


@exercise("New zeros, one slice filled. On a frozen clip the tokens are the image ViT's.")
def central_frame(inflate) -> None:
    for t in (4, 2, 5):
        kernel = drawn(6, 3, 7, 9)
        before = kernel.clone()
        answer = call(inflate, kernel, t)
        if not torch.equal(kernel, before):
            raise Wrong(
                "That wrote into the image kernel itself: expand() and unsqueeze() copy nothing, "
                "they are views of the same numbers. Zero the view, and there is no kernel left to "
                "put in. Start from new zeros, or from a clone()."
            )
        shapes = {
            "Time is the second axis; a Conv3d has its channels there.": (6, t, 3, 7, 9),
            "Time is the last axis. It goes before height: (D, C, t, h, w).": (6, 3, 7, 9, t),
        }
        answer = expect_tensor(answer, (6, 3, t, 7, 9), f"D, C, t = {t}, h, w.", shapes)
        right, everywhere = inflate_kernel(kernel, t), repeat(kernel, "d c h w -> d c t h w", t=t)
        mistakes = {
            "Everything is zero: the image kernel never got in.": 0 * right,
            f"That is filter inflation (eq. 8): 1/{t} of the kernel at every index. Central frame "
            "(eq. 9) has one index only.": everywhere / t,
            f"The place is right, but the kernel is divided by {t}. There is one of it now, so a "
            f"frozen clip would give tokens {t} times too small.": right / t,
            f"The kernel stands at all {t} indices: a frozen clip would give tokens {t} times too "
            "large.": everywhere,
        }
        for i in range(t):
            words = f"For t = {t} the kernel stands at index {i}, but the central frame is floor(t "
            words += "/ 2), counted from 0."
            mistakes[words] = right.roll(i - t // 2, dims=2)
        expect(answer, right, mistakes=mistakes)


def _zoomed(rows: Tensor, grid, new_grid, align: bool = True) -> Tensor:
    pixels = rearrange(rows, "1 (h w) d -> 1 d h w", h=grid[0])
    pixels = F.interpolate(pixels, new_grid, mode="bilinear", align_corners=align)
    return rearrange(pixels, "1 d h w -> 1 (h w) d")


def _stretched(rows: Tensor, count: int) -> Tensor:
    return F.interpolate(rows.mT, count, mode="linear", align_corners=True).mT


def _with_cls(table: Tensor, rows: Tensor) -> Tensor:
    return torch.cat([table[:, :1], rows], dim=1)


@exercise("The grid is a picture with D channels, the class token is not part of it.")
def resized_positions(resize) -> None:
    for grid, new_grid in (((3, 4), (5, 6)), ((6, 2), (3, 4))):
        table = drawn(1, 1 + grid[0] * grid[1], 8)
        answer = call(resize, table, grid, new_grid)
        patches, rows = table[:, 1:], new_grid[0] * new_grid[1]
        no_cls = {f"The class token's row is gone: {rows} rows for {rows} patches.": (1, rows, 8)}
        sizes = f"{new_grid[0]} x {new_grid[1]} patches and the class token, as wide as before."
        answer = expect_tensor(answer, (1, rows + 1, 8), sizes, no_cls)
        zoomed = _zoomed(patches, grid, new_grid)
        by_columns = rearrange(zoomed, "1 (h w) d -> 1 (w h) d", h=new_grid[0])
        turned = _zoomed(patches, grid[::-1], new_grid)
        outer = _zoomed(patches, grid, new_grid, align=False)
        has_row_0 = same(answer[:, :1], table[:, :1])
        mistakes = {
            "That stretches the whole table as one line, the class token's row in it: row 0 leaks "
            "into the first patches. Set it aside first.": _stretched(table, rows + 1),
            "Row 0 has changed. It belongs to the class token, which lies nowhere.": not has_row_0,
            "That stretches the patches as one line: the end of a row runs into the start of the "
            "next. Make it a picture of h x w first.": _with_cls(table, _stretched(patches, rows)),
            "The old grid is transposed: (h w), not (w h).": _with_cls(table, turned),
            "The new grid comes out column by column, not (h w).": _with_cls(table, by_columns),
            "Almost: this is torch's default, which lines up the outer edges of the patches. The "
            "corner patches must stay in place: align_corners=True.": _with_cls(table, outer),
        }
        expect(answer, resize_positions(table, grid, new_grid, cls=True), mistakes=mistakes)


@exercise("At the start all steps look alike; that time passes is for training to find out.")
def repeated_positions(again) -> None:
    table = drawn(1, 7, 8)
    answer = call(again, table, 3)
    shapes = {
        "There is one class token in Model 1, not one for each time step: 1 + 3 · 6.": (1, 21, 8),
        "The class token's row is gone: 1 + 3 · 6 rows, not 3 · 6.": (1, 18, 8),
    }
    why = "the class token's row and 3 time steps of 6 patches."
    answer = expect_tensor(answer, (1, 19, 8), why, shapes)
    right = repeat_positions(table, 3, cls=True)
    mistakes = {
        "That is patch 0 three times, then patch 1: time is the fastest here. Tokens are (t h w), "
        "time slowest: all patches of step 0 first. repeat, not "
        "repeat_interleave.": _with_cls(table, table[:, 1:].repeat_interleave(3, dim=1)),
        "The class token's row stands last; the class token is first.": right.roll(-1, dims=1),
    }
    expect(answer, right, mistakes=mistakes)
