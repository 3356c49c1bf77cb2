"""Notebook 06: the checks of its exercises, and the mistakes that they name."""

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor

from vivit_lab.lessons.exercises.checking import Exercise, Wrong, call, expect_tensor
from vivit_lab.weights import inflate_kernel, repeat_positions, resize_positions


def _drawn(*shape: int, seed: int = 6) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _tensor(answer: object, shape: tuple[int, ...], why: str) -> Tensor:
    expect_tensor(answer)
    if tuple(answer.shape) != shape:
        raise Wrong(f"The shape is {tuple(answer.shape)}, but must be {shape}: {why}")
    return answer


def _same(answer: Tensor, other: Tensor) -> bool:
    return answer.shape == other.shape and torch.allclose(answer, other, atol=1e-5)


# ---- 1. Central frame


def _judge_central_frame(inflate) -> None:
    for t in (4, 2, 5):
        kernel = _drawn(6, 3, 7, 9)
        before = kernel.clone()
        answer = call(inflate, kernel, t)
        if not torch.equal(kernel, before):
            raise Wrong(
                "That wrote into the image kernel itself: expand() and unsqueeze() copy nothing, "
                "they are views of the same numbers. Zero the view, and there is no kernel left to "
                "put in. Start from new zeros, or from a clone()."
            )
        if isinstance(answer, Tensor) and answer.shape == (6, t, 3, 7, 9):
            raise Wrong(
                "Time is the second axis here. A Conv3d has its channels there: (D, C, t, h, w)."
            )
        if isinstance(answer, Tensor) and answer.shape == (6, 3, 7, 9, t):
            raise Wrong("Time is the last axis here. It goes before height: (D, C, t, h, w).")
        answer = _tensor(answer, (6, 3, t, 7, 9), f"D, C, t = {t}, h, w.")
        _name_wrong_kernel(answer, kernel, t)


def _name_wrong_kernel(answer: Tensor, kernel: Tensor, t: int) -> None:
    if _same(answer, inflate_kernel(kernel, t)):
        return
    if not answer.any():
        raise Wrong("Everything is zero: the image kernel never got in.")
    if _same(answer, inflate_kernel(kernel, t, "filter_inflation")):
        raise Wrong(
            f"That is filter inflation (eq. 8): 1/{t} of the kernel at every index. Central frame "
            "(eq. 9) has one index only."
        )
    if _same(answer, inflate_kernel(kernel / t, t)):
        raise Wrong(
            f"The place is right, but the kernel is divided by {t}. There is one of it now, so a "
            f"frozen clip would give tokens {t} times too small."
        )
    if _same(answer, repeat(kernel, "d c h w -> d c t h w", t=t)):
        raise Wrong(
            f"The kernel stands at all {t} indices: a frozen clip would give tokens {t} times too "
            "large."
        )
    places = [i for i in range(t) if answer[:, :, i].any()]
    if len(places) == 1 and _same(answer[:, :, places[0]], kernel):
        raise Wrong(
            f"For t = {t} the kernel stands at index {places[0]}, but the central frame is floor(t "
            f"/ 2) = {t // 2}, counted from 0."
        )
    raise Wrong(f"For t = {t} the shape is right, the numbers are not.")


central_frame = Exercise(
    praise="New zeros, one slice filled. On a frozen clip the tokens are the image ViT's.",
    judge=_judge_central_frame,
)


# ---- 2. Positions for another size


def _zoomed(rows: Tensor, grid, new_grid, align: bool = True) -> Tensor:
    pixels = rearrange(rows, "1 (h w) d -> 1 d h w", h=grid[0])
    pixels = F.interpolate(pixels, new_grid, mode="bilinear", align_corners=align)
    return rearrange(pixels, "1 d h w -> 1 (h w) d")


def _with_cls(table: Tensor, rows: Tensor) -> Tensor:
    return torch.cat([table[:, :1], rows], dim=1)


def _judge_resized_positions(resize) -> None:
    for grid, new_grid in (((3, 4), (5, 6)), ((6, 2), (3, 4))):
        table = _drawn(1, 1 + grid[0] * grid[1], 8)
        answer = call(resize, table, grid, new_grid)
        rows = new_grid[0] * new_grid[1]
        if isinstance(answer, Tensor) and answer.shape == (1, rows, 8):
            raise Wrong(f"The class token's row is gone: {rows} rows for {rows} patches, and none.")
        sizes = f"{new_grid[0]} x {new_grid[1]} patches and the class token, as wide as before."
        answer = _tensor(answer, (1, rows + 1, 8), sizes)
        _name_wrong_positions(answer, table, grid, new_grid)


def _name_wrong_positions(answer: Tensor, table: Tensor, grid, new_grid) -> None:
    if _same(answer, resize_positions(table, grid, new_grid, cls=True)):
        return
    patches, rows = table[:, 1:], new_grid[0] * new_grid[1]
    line = F.interpolate(table.mT, rows + 1, mode="linear", align_corners=True).mT
    if _same(answer, line):
        raise Wrong(
            "That stretches the whole table as one line, the class token's row in it: row 0 leaks "
            "into the first patches. Set it aside first."
        )
    if not _same(answer[:, :1], table[:, :1]):
        raise Wrong("Row 0 has changed. It belongs to the class token, which lies nowhere.")
    line = F.interpolate(patches.mT, rows, mode="linear", align_corners=True).mT
    if _same(answer[:, 1:], line):
        raise Wrong(
            "That stretches the patches as one line: the end of a row runs into the start of the "
            "next. Make it a picture of h x w first."
        )
    if _same(answer[:, 1:], _zoomed(patches, grid[::-1], new_grid)):
        raise Wrong("The old grid is transposed: (h w) with h rows, not (w h).")
    swapped = rearrange(_zoomed(patches, grid, new_grid), "1 (h w) d -> 1 (w h) d", h=new_grid[0])
    if _same(answer[:, 1:], swapped):
        raise Wrong("The new grid comes out column by column; its rows must stay together: (h w).")
    if _same(answer[:, 1:], _zoomed(patches, grid, new_grid, align=False)):
        raise Wrong(
            "Almost: this is torch's default, which lines up the outer edges of the patches. The "
            "corner patches themselves must stay where they are: align_corners=True."
        )
    raise Wrong("The shape is right, the numbers are not.")


resized_positions = Exercise(
    praise="The grid is a picture with D channels, the class token is not part of it.",
    judge=_judge_resized_positions,
)


# ---- 3. The same positions at every time step


def _judge_repeated_positions(again) -> None:
    table, steps = _drawn(1, 7, 8), 3
    answer = call(again, table, steps)
    if isinstance(answer, Tensor) and answer.shape == (1, 7 * steps, 8):
        raise Wrong("There is one class token in Model 1, not one for each time step: 1 + 3 · 6.")
    if isinstance(answer, Tensor) and answer.shape == (1, 6 * steps, 8):
        raise Wrong("The class token's row is gone: 1 + 3 · 6 rows, not 3 · 6.")
    why = "the class token's row and 3 time steps of 6 patches."
    answer = _tensor(answer, (1, 1 + 6 * steps, 8), why)
    if _same(answer, _with_cls(table, table[:, 1:].repeat_interleave(steps, dim=1))):
        raise Wrong(
            "That is patch 0 three times, then patch 1: time is the fastest here. Tokens are (t h "
            "w), time slowest: all patches of step 0 first. repeat, not repeat_interleave."
        )
    last = torch.cat([table[:, 1:].repeat(1, steps, 1), table[:, :1]], dim=1)
    if _same(answer, last):
        raise Wrong("The class token's row stands last; the class token is first.")
    if not _same(answer, repeat_positions(table, steps, cls=True)):
        raise Wrong("The shape is right, the numbers are not.")


repeated_positions = Exercise(
    praise="At the start all steps look alike; that time passes is for training to find out.",
    judge=_judge_repeated_positions,
)
