"""Curves over the steps of a run: axes with round numbers, smooth lines, bands and dots."""

import contextlib
import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw

from vivit_lab.widgets.surface import LINE, MUTED, Canvas

FINE = 3  # curves are drawn so many times larger, then reduced: smooth edges


class Plot:
    """Axes on a canvas: x linear, y linear or logarithmic. Lengths are pixels.

    x, y: (least, greatest) that is shown; what lies outside is cut off.

    Example:
        >>> plot = Plot(Canvas(300, 120), 40, 10, 250, 90, x=(0, 100), y=(0, 2))
        >>> plot.line([0, 50, 100], [2, 1, 0], "#2f6fed")
        >>> plot.place([50], [1]).tolist()
        [[165.0, 55.0]]
    """

    def __init__(
        self,
        canvas: Canvas,
        left: float,
        top: float,
        width: float,
        height: float,
        x: tuple[float, float],
        y: tuple[float, float],
        log: bool = False,
    ):
        self.canvas, self.log = canvas, log
        self.left, self.top, self.width, self.height = left, top, width, height
        self.x, self.y = x, y

    def place(self, xs: Sequence[float], ys: Sequence[float]) -> np.ndarray:
        """Pixels of points, (N, 2)."""
        low, high = (math.log(edge) for edge in self.y) if self.log else self.y
        ys = np.asarray(ys, float)
        ys = np.log(np.maximum(ys, self.y[0] / 1e6)) if self.log else ys
        across = (np.asarray(xs, float) - self.x[0]) / (self.x[1] - self.x[0])
        up = (ys - low) / (high - low)
        return np.column_stack([self.left + self.width * across, self.top + self.height * (1 - up)])

    def grid(self, ticks: Iterable[float], words: Iterable[str]) -> None:
        """Level lines at y = ticks, each with its words on the left."""
        for tick, word in zip(ticks, words, strict=True):
            height = self.place([0], [tick])[0, 1]
            self.canvas.line([(self.left, height), (self.left + self.width, height)], LINE)
            self.canvas.text(self.left - 7, height, word, size=11, colour=MUTED, anchor="rm")

    def marks(self, ticks: Iterable[float], words: Iterable[str]) -> None:
        """Small marks on the x axis, each with its words below."""
        bottom = self.top + self.height
        for tick, word in zip(ticks, words, strict=True):
            across = self.place([tick], [self.y[1]])[0, 0]
            self.canvas.line([(across, bottom), (across, bottom + 3)], MUTED)
            self.canvas.text(across, bottom + 6, word, size=11, colour=MUTED, anchor="ma")

    def level(self, y: float, colour: str) -> None:
        """A dashed line at one height."""
        height = round(self.place([0], [y])[0, 1])
        self.canvas.image.paste(colour, (round(self.left), height), _dashes(round(self.width)))

    def line(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, width: float = 1.7
    ) -> None:
        """A smooth line through points; a single one becomes a dot."""
        if len(xs) == 1:
            self.dots(xs, ys, colour, width)
            return
        with self._fine(colour, xs, ys) as (pen, points):
            pen.line(points, fill=255, width=round(width * FINE))

    def band(
        self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], colour: str
    ) -> None:
        """The area between two lines."""
        round_trip = [*xs, *xs[::-1]], [*low, *high[::-1]]
        with self._fine(colour, *round_trip) as (pen, points):
            pen.polygon(points, fill=255)

    def dots(
        self, xs: Sequence[float], ys: Sequence[float], colour: str, radius: float = 3.5
    ) -> None:
        """A dot at each point."""
        reach = radius * FINE
        with self._fine(colour, xs, ys) as (pen, points):
            for x, y in points:
                pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)

    @contextlib.contextmanager
    def _fine(
        self, colour: str, xs: Sequence[float], ys: Sequence[float]
    ) -> Iterator[tuple[ImageDraw.ImageDraw, list[tuple[float, float]]]]:
        """A pen and the points on a layer FINE times larger, which is put on the canvas after.

        The layer is no larger than the points need, nor than the axes and a margin.
        """
        points = self.place(xs, ys)
        least = np.round((self.left, self.top)) - MARGIN
        most = np.round((self.left + self.width, self.top + self.height)) + MARGIN
        first = np.clip(np.floor(points.min(axis=0)) - MARGIN, least, most)
        size = np.clip(np.ceil(points.max(axis=0)) + MARGIN, least, most) - first
        layer = Image.new("L", tuple((np.maximum(size, 1) * FINE).astype(int).tolist()))
        yield ImageDraw.Draw(layer), list(map(tuple, ((points - first) * FINE).tolist()))
        corner = tuple(first.astype(int).tolist())
        mask = layer.reduce(FINE)
        self.canvas.image.paste(Image.new("RGB", mask.size, colour), corner, mask)


MARGIN = 5  # pixels around the axes in which a dot or a thick line may still be seen


@functools.cache
def _dashes(width: int) -> Image.Image:
    pattern = (255, 255, 255, 255, 0, 0, 0, 0) * (width // 8 + 1)
    return Image.frombytes("L", (width, 1), bytes(pattern[:width]))


def round_steps(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many round numbers, evenly spaced, within low..high.

    >>> round_steps(0, 2.3)
    [0.0, 0.5, 1.0, 1.5, 2.0]
    """
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * f for f in (1, 2, 5, 10, 20) if _count(low, high, power * f) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(step * (first + k), 12) for k in range(_count(low, high, step))]


def _count(low: float, high: float, step: float) -> int:
    return math.floor(high / step + 1e-9) - math.ceil(low / step - 1e-9) + 1


def log_steps(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... or of the powers of ten.

    >>> log_steps(0.03, 3)
    [0.1, 1.0]
    >>> log_steps(0.3, 3)
    [0.5, 1.0, 2.0]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        found = [round(d * 10.0**p, 12) for p in powers for d in digits]
        found = [each for each in found if low <= each <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and up to window - 1 before it.

    >>> running_mean(np.array([2.0, 4.0, 6.0, 8.0]), 2).tolist()
    [2.0, 3.0, 5.0, 7.0]
    """
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)
