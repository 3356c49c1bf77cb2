"""Wrong answers to the exercises of inflation, each with words of its message."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat

from vivit_lab.lessons.exercises.inflation import _stretched, _with_cls, _zoomed


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


def _picture_of_channels(patches, grid, new_grid):
    """Takes (D, h w) for (h w, D)."""
    pixels = patches.reshape(1, -1, *grid)
    pixels = F.interpolate(pixels, new_grid, mode="bilinear", align_corners=True)
    return pixels.reshape(1, new_grid[0] * new_grid[1], -1)


def _by_columns(x, g, n):
    return rearrange(_zoomed(x, g, n), "1 (h w) d -> 1 (w h) d", h=n[0])


def _class_row_last(x, t):
    return torch.cat([x[:, 1:].repeat(1, t, 1), x[:, :1]], dim=1)


central_frame = {
    "the view that zeroes itself": (_zeroed_view, "wrote into the image kernel itself"),
    "first frame": (lambda k, t: _at(k, t, 0), "stands at index 0"),
    "last frame": (lambda k, t: _at(k, t, t - 1), "stands at index 3"),
    "divided": (lambda k, t: _at(k / t, t, t // 2), "the kernel is divided by"),
    "everywhere": (_everywhere, "stands at all"),
    "filter inflation": (lambda k, t: _everywhere(k / t, t), "That is filter inflation"),
    "second axis": (lambda k, t: _at(k, t, t // 2).transpose(1, 2), "the second axis"),
    "last axis": (lambda k, t: _at(k, t, t // 2).movedim(2, -1), "the last axis"),
    "nothing": (lambda k, t: 0 * _at(k, t, 0), "never got in"),
    "no time": (lambda k, t: k, "must be (6, 3, 4, 7, 9)"),
}


resized_positions = {
    "class row too": (lambda x, g, n: _stretched(x, n[0] * n[1] + 1), "row 0 leaks"),
    "class row lost": (lambda x, g, n: _zoomed(x[:, 1:], g, n), "row is gone"),
    "class row zero": (lambda x, g, n: _with_cls(0 * x, _zoomed(x[:, 1:], g, n)), "Row 0 has"),
    "one line": (_patches(lambda x, g, n: _stretched(x, n[0] * n[1])), "the patches as one line"),
    "transposed": (_patches(lambda x, g, n: _zoomed(x, g[::-1], n)), "old grid is transposed"),
    "flattened by columns": (_patches(_by_columns), "column by column"),
    "torch's": (_patches(lambda x, g, n: _zoomed(x, g, n, align=False)), "align_corners=True"),
    "over the wrong axis": (_patches(_picture_of_channels), "the numbers are not"),
    "not resized": (lambda x, g, n: x, "5 x 6 patches and the class token"),
}


repeated_positions = {
    "fastest": (lambda x, t: _with_cls(x, x[:, 1:].repeat_interleave(t, 1)), "time is the fastest"),
    "class row each step": (lambda x, t: x.repeat(1, t, 1), "one class token in Model 1"),
    "class row lost": (lambda x, t: x[:, 1:].repeat(1, t, 1), "row is gone"),
    "class row last": (_class_row_last, "stands last"),
    "divided": (lambda x, t: _with_cls(x, x[:, 1:].repeat(1, t, 1) / t), "the numbers are not"),
}
