"""Position tables for another grid: pure functions, with every grid spelled out."""

import math

import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, cat

from vivit_lab.errors import one_of, whole

METHODS = ("bilinear", "bicubic", "bicubic_plain")


def resize_positions(
    table: Tensor,
    grid: tuple[int, ...],
    new_grid: tuple[int, ...],
    *,
    cls: bool,
    method: str = "bilinear",
) -> Tensor:
    """A learned position table for another grid of tokens.

    Space is resized by `method`, time by straight lines from the first step to the last.

    Args:
        table: (1, [cls +] N, D), rows in the order of the grid: time slowest, then rows.
        grid, new_grid: both (h, w), or both (t, h, w); a table of time steps alone is (t, 1, 1).
        cls: whether row 0 belongs to a class token. It is never resized.
        method: "bilinear", corners on corners (the official code's scipy zoom of order 1);
            "bicubic", timm's, smoothed where the grid shrinks; "bicubic_plain", cubic without
            smoothing, as some exported models have it built in.

    Returns:
        (1, [cls +] N', D), N' the product of `new_grid`, in the table's dtype.

    Raises:
        TypeError, ValueError: a grid that does not fit the table, or an unknown method.

    Source: paper section 3.4, "Positional embeddings".

    Example:
        >>> import torch
        >>> table = torch.tensor([9.0, 0.0, 1.0]).reshape(1, 3, 1)  # class token, left, right
        >>> resize_positions(table, (1, 2), (1, 3), cls=True).flatten().tolist()
        [9.0, 0.0, 0.5, 1.0]
    """
    one_of("method", method, METHODS)
    if len(grid) not in (2, 3) or len(new_grid) != len(grid) or min(*grid, *new_grid) < 1:
        grids = f"grid is {tuple(grid)} and new_grid {tuple(new_grid)}"
        raise ValueError(f"{grids}, but both must be (h, w), or both (t, h, w), of at least 1.")
    if table.ndim != 3 or table.shape[:2] != (1, math.prod(grid) + cls):
        raise ValueError(
            f"table has shape {tuple(table.shape)}, but grid {tuple(grid)} and cls = {cls} make it "
            f"(1, {math.prod(grid) + cls}, D)."
        )
    first, rows = table[:, : int(cls)], table[:, int(cls) :]
    t, h, w = (1, *grid)[-3:]
    new_t, new_h, new_w = (1, *new_grid)[-3:]
    images = rearrange(rows.double(), "1 (t h w) d -> t d h w", t=t, h=h, w=w)
    if (h, w) != (new_h, new_w):
        images = _resize_images(images, (new_h, new_w), method)
    if t != new_t:
        lines = rearrange(images, "t d h w -> (h w) d t")
        lines = F.interpolate(lines, new_t, mode="linear", align_corners=True)
        images = rearrange(lines, "(h w) d t -> t d h w", h=new_h)
    rows = rearrange(images, "t d h w -> 1 (t h w) d").to(table.dtype)
    return cat([first, rows], dim=1)


def _resize_images(images: Tensor, size: tuple[int, int], method: str) -> Tensor:
    if method == "bilinear":
        return F.interpolate(images, size, mode="bilinear", align_corners=True)
    if method == "bicubic_plain":
        return F.interpolate(images, size, mode="bicubic", align_corners=False)
    from timm.layers import resample_abs_pos_embed  # imports torchvision: only where it is used

    table = rearrange(images, "t d h w -> 1 (h w) (t d)")
    new = resample_abs_pos_embed(table, list(size), list(images.shape[2:]), num_prefix_tokens=0)
    return rearrange(new, "1 (h w) (t d) -> t d h w", h=size[0], t=len(images))


def repeat_positions(table: Tensor, times: int, *, cls: bool) -> Tensor:
    """The same table for every time step: (1, [cls +] s, D) -> (1, [cls +] times * s, D).

    Time is slowest: all rows of the first step, then all rows of the second. With `cls`, row 0
    belongs to a class token and stands once, at the start.

    Source: paper section 3.4, "Positional embeddings".

    Example:
        >>> import torch
        >>> table = torch.tensor([9.0, 0.0, 1.0]).reshape(1, 3, 1)
        >>> repeat_positions(table, 2, cls=True).flatten().tolist()
        [9.0, 0.0, 1.0, 0.0, 1.0]
    """
    whole("times", times)
    first, rows = table[:, : int(cls)], table[:, int(cls) :]
    return cat([first, repeat(rows, "1 s d -> 1 (t s) d", t=times)], dim=1)
