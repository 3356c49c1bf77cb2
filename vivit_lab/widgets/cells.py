"""Tokens drawn: frames with their cells tinted, faded or heated, and vectors as coloured cells."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from vivit_lab.widgets.canvas import Canvas, rgb

FADED = 0.84  # how far a frame out of reach is towards the paper
UNSEEN = -1.0  # strength of the tint of a cell that is faded instead
VIOLET, YELLOW = "#8b5cf6", "#ffd60a"  # reached through others; the token itself
POSITIVE, NEGATIVE = "#0f9d7a", "#a21caf"  # of numbers; white is 0
HEAT = ((120, 240, 255), (40, 100, 226), (130, 40, 100))  # red, green, blue at 0, a half and 1
HOTTEST = 0.77  # how much the hottest cell covers of the frame
DIMMED = [round(24 + 0.6 * level) for level in range(256)]


def tinted(bright: Image.Image, faded: Image.Image, cells: np.ndarray) -> Image.Image:
    """A frame with each of its cells tinted, or taken from its `faded` copy.

    cells: (rows, columns, 4): red, green, blue, 0 to 255, and the strength, 0 to 1, or UNSEEN.
    """
    strength = cells[..., 3]
    layers = (
        cells[..., :3].astype(np.uint8),
        (255 * strength.clip(0)).round().astype(np.uint8),
        np.where(strength == UNSEEN, 255, 0).astype(np.uint8),
    )
    colours, alpha, away = (
        Image.fromarray(layer).resize(bright.size, Image.Resampling.NEAREST) for layer in layers
    )
    return Image.composite(faded, Image.composite(colours, bright, alpha), away)


def heat(frame: Image.Image, weights: np.ndarray) -> Image.Image:
    """A frame in grey, and over it each cell of weights (h, w) from clear (0) to yellow (1)."""
    cells = np.clip(np.asarray(weights, np.float32), 0, 1)
    colours = np.stack([np.interp(cells, (0, 0.5, 1), ramp) for ramp in HEAT], axis=-1)
    strength = 255 * HOTTEST * cells**0.6  # so that a tenth of the hottest can still be seen
    over, mask = (
        Image.fromarray(x.round().astype(np.uint8)).resize(frame.size, Image.Resampling.NEAREST)
        for x in (colours, strength)
    )
    grey = frame.convert("L").point(DIMMED).convert("RGB")
    return Image.composite(over, grey, mask)


def grid_lines(canvas: Canvas, x, y, side, rows: int, columns: int, colour="#ffffff70") -> None:
    """Thin pale lines between the cells of a square frame."""
    for i in range(1, rows):
        canvas.line([(x, y + side * i / rows), (x + side - 1, y + side * i / rows)], colour)
    for i in range(1, columns):
        canvas.line([(x + side * i / columns, y), (x + side * i / columns, y + side - 1)], colour)


def cell(x, y, side, rows: int, columns: int, place: tuple[int, int]) -> tuple[float, ...]:
    """Left, top, width and height of the cell at (row, column) of a square frame."""
    width, height = side / columns, side / rows
    return x + place[1] * width, y + place[0] * height, width, height


def draw_numbers(canvas: Canvas, x, y, width, height, values: Sequence, most: float) -> None:
    """A vector (n) or a matrix (rows, n) as cells: white is 0, full colour `most` or beyond."""
    shares = np.clip(np.atleast_2d(np.asarray(values, float)) / most, -1, 1)[..., None]
    full = np.where(shares < 0, rgb(NEGATIVE), rgb(POSITIVE))
    pixels = (255 + np.abs(shares) * (full - 255.0)).round().astype(np.uint8)
    canvas.picture(x, y, width, height, pixels)
    canvas.box(x, y, width, height, outline="#c3c8d1")
