"""What is in a picture: its texts, and whether they can be read, inside and none over another.

with written() as lines:
    explorer.refresh()
check_readable(lines, explorer.width, explorer.height)
"""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vivit_lab.widgets import canvas as drawing
from vivit_lab.widgets.canvas import Canvas


def pixels(explorer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(explorer.picture.value))).astype(int)


def is_shown(explorer) -> bool:
    return explorer.picture.layout.display is None and explorer.message.value == ""


@dataclass(frozen=True)
class Line:
    """One text with its box in pixels."""

    words: str
    left: int
    top: int
    right: int
    bottom: int

    def overlaps(self, other: "Line") -> bool:
        """Whether the ink of two lines can touch."""
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom


@contextlib.contextmanager
def written() -> Iterator[list[Line]]:
    """All that canvases are told to write inside the block."""
    lines, text = [], Canvas.text

    def noted(canvas, x, y, words, size=13, colour=drawing.INK, bold=False, anchor="la"):
        mask, left, top = drawing.written(words, size, bold, anchor)
        corner = round(x) + left, round(y) + top
        if words.strip():
            lines.append(Line(words, *corner, corner[0] + mask.width, corner[1] + mask.height))
        text(canvas, x, y, words, size, colour, bold, anchor)

    Canvas.text = noted
    try:
        yield lines
    finally:
        Canvas.text = text


def check_readable(lines: list[Line], width: int, height: int) -> None:
    """No text leaves the card or runs into another."""
    assert lines
    for i, line in enumerate(lines):
        inside = line.left >= 0 and line.top >= 0 and line.right <= width and line.bottom <= height
        assert inside, f"{line} leaves the card of {width} x {height}"
        for other in lines[i + 1 :]:
            assert not line.overlaps(other), f"{line} runs into {other}"
