"""Wrong answers to the exercises of inflation, by words of the message that they get."""

import torch
from einops import rearrange, repeat

from vivit_lab.lessons.exercises.inflation import _reshaped, _stretched, _with_cls, _zoomed


def _zeroed_view(kernel, t):
    inflated = kernel.unsqueeze(2).expand(-1, -1, t, -1, -1)
    inflated.zero_()
    inflated[:, :, t // 2] = kernel
    return inflated


def _at(kernel, t, index):
    inflated = kernel.new_zeros(*kernel.shape[:2], t, *kernel.shape[2:])
    inflated[:, :, index] = kernel
    return inflated


def _everywhere(kernel, t):
    return repeat(kernel, "d c h w -> d c t h w", t=t)


def _patches(change):
    """A wrong answer: the class token's row, and what becomes of the patches, the grid, the new."""
    return lambda x, g, n: _with_cls(x, change(x[:, 1:], g, n))


def _by_columns(x, g, n):
    return rearrange(_zoomed(x, g, n), "1 (h w) d -> 1 (w h) d", h=n[0])


central_frame = {
    "You changed the image kernel itself": _zeroed_view,
    "the kernel at index 0": lambda k, t: _at(k, t, 0),
    "the kernel at index 3": lambda k, t: _at(k, t, t - 1),
    "you divided the kernel by": lambda k, t: _at(k / t, t, t // 2),
    "The kernel is at all": _everywhere,
    "You exchanged the kernel": lambda k, t: _everywhere(k, t) - _at(k, t, t // 2),
    "This is filter inflation": lambda k, t: _everywhere(k / t, t),
    "before the channels": lambda k, t: _at(k, t, t // 2).transpose(1, 2),
    "the last axis": lambda k, t: _at(k, t, t // 2).movedim(2, -1),
    "Everything is zero": lambda k, t: 0 * _at(k, t, 0),
    "must be (6, 3, 4, 7, 9)": lambda k, t: k,
}


resized_positions = {
    "the whole table as one line": lambda x, g, n: _stretched(x, n[0] * n[1] + 1),
    "row is missing": lambda x, g, n: _zoomed(x[:, 1:], g, n),
    "Row 0 has": lambda x, g, n: _with_cls(0 * x, _zoomed(x[:, 1:], g, n)),
    "the patches as one line": _patches(lambda x, g, n: _stretched(x, n[0] * n[1])),
    "old grid is transposed": _patches(lambda x, g, n: _zoomed(x, g[::-1], n)),
    "column by column": _patches(_by_columns),
    "align_corners=True": _patches(lambda x, g, n: _zoomed(x, g, n, align=False)),
    "This is bicubic": _patches(lambda x, g, n: _zoomed(x, g, n, False, "bicubic")),
    "in both grids": _patches(lambda x, g, n: _zoomed(x, g[::-1], n[::-1])),
    "stands before and after the": _patches(_reshaped),
    "stands before the": _patches(lambda x, g, n: _reshaped(x, g, n, after=False)),
    "stands after the": _patches(lambda x, g, n: _reshaped(x, g, n, before=False)),
    "the numbers are not": _patches(lambda x, g, n: _zoomed(x, g, n).flip(1)),
    "5 x 6 patches and the class token": lambda x, g, n: x,
}


repeated_positions = {
    "patch 0 three times": lambda x, t: _with_cls(x, x[:, 1:].repeat_interleave(t, 1)),
    "has one class token": lambda x, t: x.repeat(1, t, 1),
    "row is missing": lambda x, t: x[:, 1:].repeat(1, t, 1),
    "is the last in your answer": lambda x, t: torch.cat([x[:, 1:].repeat(1, t, 1), x[:, :1]], 1),
    "the numbers are not": lambda x, t: _with_cls(x, x[:, 1:].repeat(1, t, 1) / t),
}
