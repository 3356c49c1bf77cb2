"""What is in a picture: its texts, and whether they can be read, inside and none over another.

with written() as lines:
    explorer.refresh()
check_readable(lines, explorer.width, explorer.height)
check_legible(explorer.picture.canvas)
"""

import contextlib
import io
import re
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


COLOUR = re.compile("#[0-9a-f]{6}([0-9a-f]{2})?")
THEME = {*drawing.DARK, drawing.WHITE, drawing.YELLOW}


def check_legible(canvas: Canvas) -> None:
    """No text is small, or pale in a theme; and a theme knows every colour."""
    texts = [command[1:] for command in canvas.commands if command[0] == "t" and command[3].strip()]
    faults = {f"{words!r} has size {size}" for _, _, words, size, *_ in texts if size < 12}
    for _, *rest in canvas.commands:
        colours = [each for each in rest if isinstance(each, str) and COLOUR.fullmatch(each)]
        faults |= {f"{each} is no colour of the theme" for each in colours if each[:7] not in THEME}
    for dark in (False, True):
        bare = drawing.Canvas(canvas.width, canvas.height)
        bare.commands = [command for command in canvas.commands if command[0] != "t"]
        bare.pictures = canvas.pictures
        behind = _luminance(np.asarray(bare.image(dark)))
        for x, base, words, size, colour, bold, side in texts:
            mask, left, top = drawing.written(words, size, bool(bold), side + "s")
            left, top = max(0, round(x) + left), max(0, round(base) + top)
            under = behind[top : top + mask.height, left : left + mask.width]
            under = under[np.asarray(mask)[: under.shape[0], : under.shape[1]] > 128]
            own = drawing.DARK.get(colour, colour) if dark else colour
            own = _luminance(np.array(drawing.rgb(own)[:3]))
            ratio = (np.maximum(own, under) + 0.05) / (np.minimum(own, under) + 0.05)
            worst = np.quantile(ratio, 0.05)  # a line may run below a letter
            if worst < 4.5:
                theme = "dark" if dark else "light"
                faults.add(f"{words!r} in {colour} has a contrast of {worst:.2f} ({theme})")
    assert not faults, "\n".join(sorted(faults))


def _luminance(colours: np.ndarray) -> np.ndarray:
    """Relative luminance of sRGB (..., 3), 0..255, as WCAG 2 defines it."""
    parts = colours / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def ends(region: dict) -> list[dict]:
    """What the first and the last cell of a region stand for: what a press there would send."""
    axes = [region[axis] for axis in ("across", "down") if axis in region]
    return [{**region["at"], **{name: values[end] for name, values in axes}} for end in (0, -1)]
