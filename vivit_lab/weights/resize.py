"""Position tables for another grid: pure functions, with every grid spelled out."""

import math

import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, cat

from vivit_lab.errors import one_of, whole


def _bilinear(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Corners stay corners, straight lines between: what the official code does."""
    return F.interpolate(images, size, mode="bilinear", align_corners=True)


def _bicubic(images: Tensor, size: tuple[int, int]) -> Tensor:
    """timm's way: cubic, and smoothed where the grid shrinks."""
    from timm.layers import resample_abs_pos_embed  # imports torchvision: only where it is used

    table = rearrange(images, "t d h w -> 1 (h w) (t d)")
    new = resample_abs_pos_embed(table, list(size), list(images.shape[2:]), num_prefix_tokens=0)
    return rearrange(new, "1 (h w) (t d) -> t d h w", h=size[0], t=len(images))


def _bicubic_plain(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Cubic without smoothing: what some exported models have built in."""
    return F.interpolate(images, size, mode="bicubic", align_corners=False)


METHODS = {"bilinear": _bilinear, "bicubic": _bicubic, "bicubic_plain": _bicubic_plain}


def resize_positions(
    table: Tensor,
    grid: tuple[int, ...],
    new_grid: tuple[int, ...],
    *,
    cls: bool,
    method: str = "bilinear",
) -> Tensor:
    """A learned position table for another grid of tokens.

    Space and time are resized one after the other: space by `method`, time by straight lines
    between the old time steps, the first and the last of which stay where they are.

    Args:
        table: (1, [cls +] N, D), rows in the order of the grid: time slowest, then rows.
        grid: (h, w), or (t, h, w) for a joint table; its product is N. A table of time steps
            alone is (t, 1, 1).
        new_grid: as many axes as `grid`.
        cls: whether row 0 belongs to a class token. It is never resized.
        method: "bilinear", corners on corners (the official code's scipy zoom of order 1);
            "bicubic", timm's, antialiased; "bicubic_plain", cubic without antialiasing.

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
    _check_grids(table, grid, new_grid, cls)
    first, rows = table[:, : int(cls)], table[:, int(cls) :]
    t, h, w = _three(grid)
    new_t, *new_space = _three(new_grid)
    images = rearrange(rows.double(), "1 (t h w) d -> t d h w", t=t, h=h, w=w)
    if (h, w) != tuple(new_space):
        images = METHODS[method](images, tuple(new_space))
    if t != new_t:
        lines = rearrange(images, "t d h w -> (h w) d t")
        lines = F.interpolate(lines, new_t, mode="linear", align_corners=True)
        images = rearrange(lines, "(h w) d t -> t d h w", h=new_space[0])
    rows = rearrange(images, "t d h w -> 1 (t h w) d").to(table.dtype)
    return cat([first, rows], dim=1)


def repeat_positions(table: Tensor, times: int, *, cls: bool) -> Tensor:
    """The same table for every time step: (1, [cls +] s, D) -> (1, [cls +] times * s, D).

    Time is slowest: all rows of the first step, then all rows of the second. The class token's
    row stands once, at the start.

    Args:
        table: (1, [cls +] s, D), for one time step.
        times: n_t, number of time steps.
        cls: whether row 0 belongs to a class token.

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


def _three(grid: tuple[int, ...]) -> tuple[int, int, int]:
    return tuple(grid) if len(grid) == 3 else (1, *grid)


def _check_grids(table: Tensor, grid: tuple[int, ...], new_grid: tuple[int, ...], cls: bool):
    if len(grid) not in (2, 3) or len(new_grid) != len(grid):
        raise ValueError(
            f"grid is {tuple(grid)} and new_grid {tuple(new_grid)}, but both must be (h, w), or "
            "both (t, h, w)."
        )
    for name, sizes in (("grid", grid), ("new_grid", new_grid)):
        for axis, size in zip("thw"[-len(sizes) :], sizes, strict=True):
            whole(f"{name} {axis}", size)
    if table.ndim != 3 or table.shape[0] != 1:
        raise ValueError(f"table has shape {tuple(table.shape)}, but must be (1, rows, D).")
    wanted = math.prod(grid) + int(cls)
    if table.shape[1] != wanted:
        plus = " and the class token's" if cls else ""
        sizes = " x ".join(map(str, grid))
        raise ValueError(
            f"table has {table.shape[1]} rows, but the grid {sizes}{plus} make {wanted}. Check "
            f"grid, and cls (now {cls})."
        )
