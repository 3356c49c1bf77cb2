"""Tokens drawn: frames with their cells tinted, and vectors as rows of coloured cells."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from vivit_lab.widgets.surface import Canvas

FADED = 0.84  # how far a frame out of reach is towards the paper
UNSEEN = -1.0  # strength of the tint of a cell that is faded instead
POSITIVE, NEGATIVE = "#0f9d7a", "#a21caf"  # of numbers; white is 0


def rgb(colour: str) -> tuple[int, int, int]:
    """A colour as three numbers, 0 to 255.

    Example:
        >>> rgb("#ff0080")
        (255, 0, 128)
    """
    return tuple(int(colour[i : i + 2], 16) for i in (1, 3, 5))


def tinted(bright: Image.Image, faded: Image.Image, cells: np.ndarray) -> Image.Image:
    """A frame with each of its cells tinted, or faded.

    Args:
        bright, faded: the frame, and the same frame near the colour of the paper.
        cells: (rows, columns, 4): red, green, blue, 0 to 255, and the tint's strength, 0 to 1;
            UNSEEN takes the cell from `faded`.

    Example:
        >>> bright, faded = Image.new("RGB", (4, 2), "#000000"), Image.new("RGB", (4, 2), "#eeeeee")
        >>> cells = np.array([[[200, 0, 0, 0.5], [0, 0, 0, UNSEEN]]])
        >>> image = tinted(bright, faded, cells)
        >>> image.getpixel((1, 1)), image.getpixel((2, 1))
        ((100, 0, 0), (238, 238, 238))
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


def grid_lines(canvas: Canvas, x: float, y: float, side: float, rows: int, columns: int) -> None:
    """Thin white lines between the cells of a square frame."""
    for i in range(1, rows):
        canvas.line([(x, y + side * i / rows), (x + side - 1, y + side * i / rows)], "#ffffff70")
    for i in range(1, columns):
        across = x + side * i / columns
        canvas.line([(across, y), (across, y + side - 1)], "#ffffff70")


def numbers_image(values: Sequence, most: float) -> np.ndarray:
    """Numbers as colours, uint8 (rows, columns, 3): white is 0, full colour `most` or beyond.

    Example:
        >>> numbers_image([[0.0, 2.0, -2.0]], most=2.0).tolist()
        [[[255, 255, 255], [15, 157, 122], [162, 28, 175]]]
    """
    shares = np.clip(np.atleast_2d(np.asarray(values, float)) / most, -1, 1)[..., None]
    full = np.where(shares < 0, rgb(NEGATIVE), rgb(POSITIVE))
    return (255 + np.abs(shares) * (full - 255.0)).round().astype(np.uint8)


def draw_numbers(
    canvas: Canvas, x: float, y: float, width: float, height: float, values: Sequence, most: float
) -> None:
    """A vector (n) or a matrix (rows, n) as coloured cells with a thin edge."""
    canvas.picture(x, y, width, height, numbers_image(values, most))
    canvas.box(x, y, width, height, outline="#c3c8d1")
