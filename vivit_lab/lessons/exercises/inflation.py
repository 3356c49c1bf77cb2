"""Notebook 06: the checks of its exercises, and the mistakes that they name."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from vivit_lab.lessons.checking import Wrong, call, drawn, exercise, expect, expect_tensor, same
from vivit_lab.weights import inflate_kernel, repeat_positions, resize_positions


@exercise("The kernel has one filled slice. On a frozen clip the tokens are the image ViT's.")
def central_frame(inflate) -> None:
    for t in (4, 2, 5):
        kernel = drawn(6, 3, 7, 9)
        before = kernel.clone()
        answer = call(inflate, kernel, t)
        if not torch.equal(kernel, before):
            raise Wrong(
                "You changed the image kernel itself. expand() and unsqueeze() copy nothing: they "
                "are views of the same numbers. If you set a view to zero, the kernel is zero, "
                "too. Start from new zeros, or from a clone()."
            )
        shapes = {
            "In your answer, time is before the channels. It must be after them.": (6, t, 3, 7, 9),
            "In your answer, time is the last axis. It must be before height.": (6, 3, 7, 9, t),
        }
        answer = expect_tensor(answer, (6, 3, t, 7, 9), f"D, C, t = {t}, h, w.", shapes)
        right, everywhere = inflate_kernel(kernel, t), repeat(kernel, "d c h w -> d c t h w", t=t)
        mistakes = {
            "Everything is zero. The image kernel is not in your answer.": 0 * right,
            f"This is filter inflation (eq. 8): 1/{t} of the kernel at every index. Central frame "
            "(eq. 9) has the kernel at one index only.": everywhere / t,
            f"The index is right, but you divided the kernel by {t}. With one slice only, a frozen "
            f"clip would give tokens that are {t} times too small.": right / t,
            f"The kernel is at all {t} indices, so a frozen clip would give tokens that are {t} "
            "times too large.": everywhere,
            "You exchanged the kernel and the zeros.": everywhere - right,
        }
        for i in range(t):
            words = f"For t = {t} you put the kernel at index {i}. The central frame is index "
            words += "floor(t / 2), counted from 0."
            mistakes[words] = right.roll(i - t // 2, dims=2)
        expect(answer, right, mistakes=mistakes)


def _zoomed(rows: Tensor, grid, new_grid, align: bool = True, how: str = "bilinear") -> Tensor:
    pixels = rearrange(rows, "1 (h w) d -> 1 d h w", h=grid[0])
    pixels = F.interpolate(pixels, new_grid, mode=how, align_corners=align)
    return rearrange(pixels, "1 d h w -> 1 (h w) d")


def _reshaped(rows: Tensor, grid, new_grid, before: bool = True, after: bool = True) -> Tensor:
    """The mistake of a reshape where the axes must change places."""
    x = (rows if before else rows.mT).reshape(1, -1, *grid)
    x = F.interpolate(x, new_grid, mode="bilinear", align_corners=True)
    return x.reshape(1, new_grid[0] * new_grid[1], -1) if after else x.flatten(2).mT


def _stretched(rows: Tensor, count: int) -> Tensor:
    return F.interpolate(rows.mT, count, mode="linear", align_corners=True).mT


def _with_cls(table: Tensor, rows: Tensor) -> Tensor:
    return torch.cat([table[:, :1], rows], dim=1)


@exercise("The grid is a picture with D channels. The class token is not a part of it.")
def resized_positions(resize) -> None:
    for grid, new_grid in (((3, 4), (5, 6)), ((6, 2), (3, 4))):
        table = drawn(1, 1 + grid[0] * grid[1], 8)
        answer = call(resize, table, grid, new_grid)
        patches, rows = table[:, 1:], new_grid[0] * new_grid[1]
        no_cls = {f"The class token's row is missing: {rows} patches, {rows} rows.": (1, rows, 8)}
        sizes = f"{new_grid[0]} x {new_grid[1]} patches and the class token, as wide as before."
        answer = expect_tensor(answer, (1, rows + 1, 8), sizes, no_cls)
        zoomed = _zoomed(patches, grid, new_grid)
        by_columns = rearrange(zoomed, "1 (h w) d -> 1 (w h) d", h=new_grid[0])
        turned = _zoomed(patches, grid[::-1], new_grid)
        both_turned = _zoomed(patches, grid[::-1], new_grid[::-1])
        outer = _zoomed(patches, grid, new_grid, align=False)
        cubic = [_zoomed(patches, grid, new_grid, align, "bicubic") for align in (True, False)]
        is_cubic = any(same(answer, _with_cls(table, each)) for each in cubic)
        ways = {"before and after": (True, True), "before": (True, False), "after": (False, True)}
        has_row_0 = same(answer[:, :1], table[:, :1])
        mistakes = {
            "You stretch the whole table as one line, so the class token's row is mixed into the "
            "first patches. Take this row out first.": _stretched(table, rows + 1),
            "Row 0 has changed. It belongs to the class token, which has no place.": not has_row_0,
            "You stretch the patches as one line, so the end of a row is mixed with the start of "
            "the next. Make a picture of h x w first.": _with_cls(table, _stretched(patches, rows)),
            "The old grid is transposed. It is (h w), not (w h).": _with_cls(table, turned),
            "Rows and columns are exchanged in both grids. Both are (rows, columns).": _with_cls(
                table, both_turned
            ),
            "The new grid is column by column. It must be row by row.": _with_cls(
                table, by_columns
            ),
            "You used torch's default, which aligns the outer edges of the patches. Here the "
            "corner patches keep their values: align_corners=True.": _with_cls(table, outer),
            "This is bicubic interpolation. The exercise asks for the bilinear one.": is_cubic,
        } | {
            f"A reshape stands {when} the interpolation. There the axes of D and of the patches "
            "must change places: use .mT or rearrange.": _with_cls(
                table, _reshaped(patches, grid, new_grid, *way)
            )
            for when, way in ways.items()
        }
        expect(answer, resize_positions(table, grid, new_grid, cls=True), mistakes=mistakes)


@exercise("At the start all time steps have equal positions. Training makes them different.")
def repeated_positions(again) -> None:
    table = drawn(1, 7, 8)
    answer = call(again, table, 3)
    shapes = {
        "Model 1 has one class token, not one for each time step: 1 + 3 · 6 rows.": (1, 21, 8),
        "The class token's row is missing: 1 + 3 · 6 rows, not 3 · 6.": (1, 18, 8),
    }
    why = "the class token's row and 3 time steps of 6 patches."
    answer = expect_tensor(answer, (1, 19, 8), why, shapes)
    right = repeat_positions(table, 3, cls=True)
    mistakes = {
        "Your rows are patch 0 three times, then patch 1 three times. But tokens are in the order "
        "(t h w): first all patches of step 0. Use repeat, not "
        "repeat_interleave.": _with_cls(table, table[:, 1:].repeat_interleave(3, dim=1)),
        "The class token's row is the last in your answer. It must be the first.": right.roll(
            -1, dims=1
        ),
    }
    expect(answer, right, mistakes=mistakes)
