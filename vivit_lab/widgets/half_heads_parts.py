"""Parts that the figures about Model 4's attention are put together from."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from vivit_lab.widgets.cells import UNSEEN, draw_numbers, grid_lines, rgb, tinted
from vivit_lab.widgets.footage import Clip
from vivit_lab.widgets.half_heads import HalfHeads
from vivit_lab.widgets.surface import BLUE, INK, LINE, MUTED, ORANGE, Canvas

MARGIN, TOP = 12, 124  # of every figure
YELLOW = "#ffd60a"
STRONG = {BLUE: 0.5, ORANGE: 0.8}  # tints


@dataclass(frozen=True)
class Scene:
    """What the figures are drawn from: the numbers, the frames, and the token that is followed."""

    found: HalfHeads
    clip: Clip  # square frames, one for each time step
    grid: tuple[int, int, int]
    step: int
    place: int

    @property
    def heads_time(self) -> range:
        """Numbers of the heads over time."""
        return range(self.found.half)

    @property
    def heads_space(self) -> range:
        """Numbers of the heads over space."""
        return range(self.found.half, 2 * self.found.half)

    def own(self, numbers: Tensor) -> np.ndarray:
        """Our token's row of (t, s, D), or (heads, d) of (t, heads, s, d)."""
        if numbers.ndim == 3:
            return numbers[self.step, self.place].numpy()
        return numbers[self.step, :, self.place].numpy()


def film(canvas: Canvas, y, side, scene: Scene, seen: str = "all") -> None:
    """The time steps in a row; `seen` "space" or "time" lights that neighbourhood alone."""
    steps, rows, columns = scene.grid
    bright = scene.clip.thumbnails(side, side)
    faded = scene.clip.thumbnails(side, side, 0.84)
    cells = np.zeros((steps, rows * columns, 4))
    if seen == "space":
        cells[..., 3] = UNSEEN
        cells[scene.step] = (*rgb(BLUE), STRONG[BLUE])
    elif seen == "time":
        cells[..., 3] = UNSEEN
        cells[:, scene.place] = (*rgb(ORANGE), STRONG[ORANGE])
    for step in range(steps):
        x = MARGIN + step * (side + 6)
        shown = cells[step].reshape(rows, columns, 4)
        canvas.thumbnail(x, y, tinted(bright[step], faded[step], shown))
        grid_lines(canvas, x, y, side, rows, columns)
        words = f"step {step}"
        canvas.text(x + side / 2, y + side + 4, words, size=11, colour=MUTED, anchor="ma")
    height, width = side / rows, side / columns
    x = MARGIN + scene.step * (side + 6) + scene.place % columns * width
    top = y + scene.place // columns * height
    canvas.box(x - 1, top - 1, width + 2, height + 2, INK, YELLOW + "d0", 2)


def vector(canvas: Canvas, x, y, width, label: str, values: np.ndarray, most: float) -> None:
    """A labelled row of cells, and its first numbers."""
    canvas.text(x, y, label, bold=True)
    first = ", ".join(number(value) for value in values[:6])
    canvas.text(x + width, y + 1, f"{first}, …", size=11, colour=MUTED, anchor="ra")
    draw_numbers(canvas, x, y + 20, width, 22, values, most)


def in_heads(canvas: Canvas, y, label: str, heads: np.ndarray, most: float, height=22) -> None:
    """A vector cut into its heads (heads, d), with gaps."""
    canvas.text(MARGIN, y + height / 2, label, bold=True, anchor="lm")
    for i, head in enumerate(heads):
        draw_numbers(canvas, *head_place(i, len(heads), y), height, head, most)


def head_place(i: int, heads: int, y: float) -> tuple[float, float, float]:
    """x, y and width of one head's piece."""
    pitch = 808 / heads
    return 100 + i * pitch, y, pitch - 14


def number(value: float, digits: int = 0) -> str:
    """Two decimals, or so many digits that count, with a true minus sign."""
    words = f"{value:,.0f}" if digits and abs(value) >= 1000 else f"{value:.2f}"
    if digits and abs(value) < 1000:
        words = f"{value:#.{digits}g}".rstrip(".")
    return words.replace("-", "\N{MINUS SIGN}")


def scale(values: np.ndarray | Tensor) -> float:
    """The largest size of a number, for the colours."""
    return max(float(np.abs(np.asarray(values)).max()), 1e-9)


def where(scene: Scene, place: int) -> str:
    """A place as row and column."""
    return f"row {place // scene.grid[2]}, column {place % scene.grid[2]}"


def softmax_table(
    canvas: Canvas, x, head: int, width: int, names, places, products: Tensor, colour, step=108
) -> None:
    """Key by key: product, divided by the root, e to its power, and its share of the sum."""
    scores = products / width**0.5
    powers = scores.exp()
    shares = powers / powers.sum()
    right = [x + step + 84 * i for i in (1, 2, 3, 4)]
    canvas.text(x, TOP, f"head {head}", bold=True, colour=colour)
    titles = ("q · k", f"/ √{width}", "e to that", "its share")
    for at, title in zip(right, titles, strict=True):
        canvas.text(at, TOP + 26, title, size=12, colour=MUTED, anchor="ra")
    canvas.line([(x, TOP + 46), (right[-1], TOP + 46)], LINE)
    for i, (name, place) in enumerate(zip(names, places, strict=True)):
        y = TOP + 56 + 26 * i
        length = 80 * float(shares[place])
        canvas.box(right[-1] - length, y - 3, length, 21, fill=colour + "50")
        row = products[place], scores[place], powers[place]
        canvas.text(x, y, name)
        for at, value in zip(right, row, strict=False):
            canvas.text(at, y, number(float(value), digits=3), anchor="ra")
        canvas.text(right[-1] - 2, y, f"{float(shares[place]):.3f}", bold=True, anchor="ra")
    y = TOP + 62 + 26 * len(names)
    canvas.line([(x, y - 4), (right[-1], y - 4)], LINE)
    left = len(products) - len(names)
    canvas.text(x, y + 2, f"{left} more, and all" if left else "sum", colour=MUTED)
    canvas.text(right[2], y + 2, number(float(powers.sum()), digits=3), anchor="ra")
    canvas.text(right[3] - 2, y + 2, f"{float(shares.sum()):.3f}", bold=True, anchor="ra")


def shaded_frame(canvas: Canvas, x, y, side, scene: Scene, weights: np.ndarray) -> None:
    """Our token's frame, each cell as blue as its weight."""
    _, rows, columns = scene.grid
    cells = np.zeros((rows * columns, 4))
    cells[:, :3] = rgb(BLUE)
    cells[:, 3] = 0.95 * (weights / weights.max()) ** 0.7
    frame = scene.clip.thumbnails(side, side)[scene.step]
    canvas.thumbnail(x, y, tinted(frame, frame, cells.reshape(rows, columns, 4)))
    grid_lines(canvas, x, y, side, rows, columns)
    height, width = side / rows, side / columns
    corner = x + scene.place % columns * width, y + scene.place // columns * height
    canvas.box(corner[0] - 1, corner[1] - 1, width + 2, height + 2, outline=YELLOW, line=3)


def weighted_sum(canvas: Canvas, x, head: int, weights, values, out, colour: str) -> None:
    """Weights as bars beside the values' rows, and what they add up to."""
    row = 216 / len(weights) if len(weights) > 12 else min(34, 216 / len(weights))
    most = scale(np.concatenate([values, out[None]]))
    canvas.text(x, TOP, f"head {head}", bold=True, colour=colour)
    canvas.text(x + 110, TOP + 1, f"× V: a row for each of {len(values)} keys", colour=MUTED)
    for i, weight in enumerate(weights):
        y, length = TOP + 24 + i * row, max(1, 84 * float(weight))
        canvas.box(x + 100 - length, y + 1, length, row - 2, fill=colour)
        if row > 14:
            canvas.text(x, y + row / 2, f"{weight:.3f}", size=12, anchor="lm")
    draw_numbers(canvas, x + 110, TOP + 24, 324, row * len(weights), values, most)
    y = TOP + 24 + row * len(weights) + 14
    canvas.text(x + 98, y + 12, "sum =", bold=True, anchor="rm")
    draw_numbers(canvas, x + 110, y, 324, 26, out, most)
    first = ", ".join(number(value) for value in out[:5])
    canvas.text(x + 434, y + 31, f"{first}, …", size=11, colour=MUTED, anchor="ra")
