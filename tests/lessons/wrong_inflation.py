"""Wrong answers to the exercises of inflation, each with words of its message."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from vivit_lab.lessons.exercises.inflation import _with_cls, _zoomed


def _zeroed_view(kernel: Tensor, t: int) -> Tensor:
    inflated = kernel.unsqueeze(2).expand(-1, -1, t, -1, -1)
    inflated.zero_()
    inflated[:, :, t // 2] = kernel
    return inflated


def _at(kernel: Tensor, t: int, index: int) -> Tensor:
    inflated = kernel.new_zeros(*kernel.shape[:2], t, *kernel.shape[2:])
    inflated[:, :, index] = kernel
    return inflated


def _picture_of_channels(table: Tensor, grid, new_grid) -> Tensor:
    """Takes (D, h w) for (h w, D)."""
    pixels = table[:, 1:].reshape(1, -1, *grid)
    pixels = F.interpolate(pixels, new_grid, mode="bilinear", align_corners=True)
    return _with_cls(table, pixels.reshape(1, new_grid[0] * new_grid[1], -1))


central_frame = {
    "the view that zeroes itself": (_zeroed_view, "wrote into the image kernel itself"),
    "first frame": (lambda k, t: _at(k, t, 0), "stands at index 0"),
    "last frame": (lambda k, t: _at(k, t, t - 1), "stands at index 3"),
    "divided": (lambda k, t: _at(k / t, t, t // 2), "the kernel is divided by"),
    "everywhere": (lambda k, t: repeat(k, "d c h w -> d c t h w", t=t), "stands at all"),
    "filter inflation": (
        lambda k, t: repeat(k / t, "d c h w -> d c t h w", t=t),
        "That is filter inflation",
    ),
    "second axis": (lambda k, t: _at(k, t, t // 2).transpose(1, 2), "the second axis"),
    "last axis": (lambda k, t: _at(k, t, t // 2).movedim(2, -1), "the last axis"),
    "nothing": (lambda k, t: 0 * _at(k, t, 0), "never got in"),
    "no time": (lambda k, t: k, "must be (6, 3, 4, 7, 9)"),
}


resized_positions = {
    "class row too": (
        lambda x, g, n: F.interpolate(x.mT, n[0] * n[1] + 1, mode="linear", align_corners=True).mT,
        "row 0 leaks",
    ),
    "class row lost": (lambda x, g, n: _zoomed(x[:, 1:], g, n), "row is gone"),
    "class row zero": (
        lambda x, g, n: _with_cls(0 * x, _zoomed(x[:, 1:], g, n)),
        "Row 0 has changed",
    ),
    "as one line": (
        lambda x, g, n: _with_cls(
            x, F.interpolate(x[:, 1:].mT, n[0] * n[1], mode="linear", align_corners=True).mT
        ),
        "the patches as one line",
    ),
    "transposed": (
        lambda x, g, n: _with_cls(x, _zoomed(x[:, 1:], g[::-1], n)),
        "old grid is transposed",
    ),
    "flattened by columns": (
        lambda x, g, n: _with_cls(
            x, rearrange(_zoomed(x[:, 1:], g, n), "1 (h w) d -> 1 (w h) d", h=n[0])
        ),
        "column by column",
    ),
    "torch's default": (
        lambda x, g, n: _with_cls(x, _zoomed(x[:, 1:], g, n, align=False)),
        "align_corners=True",
    ),
    "over the wrong axis": (_picture_of_channels, "the numbers are not"),
    "not resized": (lambda x, g, n: x, "5 x 6 patches and the class token"),
}


repeated_positions = {
    "time fastest": (
        lambda x, t: _with_cls(x, x[:, 1:].repeat_interleave(t, dim=1)),
        "time is the fastest",
    ),
    "class row each step": (lambda x, t: x.repeat(1, t, 1), "one class token in Model 1"),
    "class row lost": (lambda x, t: x[:, 1:].repeat(1, t, 1), "row is gone"),
    "class row last": (
        lambda x, t: torch.cat([x[:, 1:].repeat(1, t, 1), x[:, :1]], dim=1),
        "stands last",
    ),
    "divided": (
        lambda x, t: _with_cls(x, x[:, 1:].repeat(1, t, 1) / t),
        "the numbers are not",
    ),
}
