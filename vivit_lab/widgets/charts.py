"""Charts on a canvas: axes with round numbers, curves, bands and dots, bars, tables, legends."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from vivit_lab.widgets import canvas as ink
from vivit_lab.widgets.canvas import INK, MUTED, WHITE, Canvas, Picture, rgb, written

Pair = tuple[float, float]
Numbers = Sequence[float] | np.ndarray
UNITS = (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


class Plot:
    """Axes on a canvas: x linear, y linear or logarithmic, each (least, greatest) that is shown."""

    def __init__(self, canvas: Canvas, left, top, width, height, x: Pair, y: Pair, log=False):
        self.canvas, self.log = canvas, log
        self.left, self.top, self.width, self.height = left, top, width, height
        self.x, self.y = x, y
        self.within = left, top, left + width, top + height

    def place(self, xs: Numbers, ys: Numbers) -> np.ndarray:
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
            y = self.place([0], [tick])[0, 1]
            self.canvas.line([(self.left, y), (self.left + self.width, y)])
            self.canvas.text(self.left - 7, y, word, 12, MUTED, anchor="rm")

    def marks(self, ticks: Iterable[float], words: Iterable[str], strong: object = None) -> None:
        """Small marks on the x axis, each with its words below; one tick may be `strong`."""
        bottom = self.top + self.height
        for tick, word in zip(ticks, words, strict=True):
            x, bold = self.place([tick], [self.y[1]])[0, 0], tick == strong
            self.canvas.line([(x, bottom), (x, bottom + 3)], MUTED)
            self.canvas.text(x, bottom + 6, word, 12, INK if bold else MUTED, bold, anchor="ma")

    def level(self, y: float, colour: str) -> None:
        self.canvas.dashes(self.left, self.place([0], [y])[0, 1], self.width, colour)

    def line(self, xs: Numbers, ys: Numbers, colour: str, width=1.7) -> None:
        """A smooth line through points; a single one becomes a dot, none nothing."""
        if len(xs) < 2:
            return self.dots(xs, ys, colour, width)
        return self.canvas.curve(self.place(xs, ys), colour, self.within, width)

    def band(self, xs: Numbers, low: Numbers, high: Numbers, colour: str) -> None:
        points = self.place([*xs, *xs[::-1]], [*low, *high[::-1]])
        self.canvas.curve(points, colour, self.within)

    def dots(self, xs: Numbers, ys: Numbers, colour: str, radius=3.5, edge=0) -> None:
        """A dot at each point within the axes."""
        points = self.place(xs, ys)
        least, most = np.subtract(self.within[:2], 1), np.add(self.within[2:], 1)
        inside = ((points >= least) & (points <= most)).all(axis=1)
        self.canvas.dots(points[inside], colour, radius, edge)

    def ends(self, curves: Iterable[tuple[float, str, str, bool, dict]]) -> None:
        """Names at the right ends of curves, none over another: (y, words, colour, bold, at)."""
        right, step, curves = self.left + self.width, 16, sorted(curves, key=lambda each: each[0])
        levels = self.place([0] * len(curves), [y for y, *_ in curves])[:, 1]
        places, below, above = [], self.top + self.height + step, self.top - step
        for level in levels:  # from the lowest upwards; then down again from the top of the plot
            places.append(below := min(level, below - step))
        for i in reversed(range(len(curves))):
            above = max(places[i], above + step)
            _, words, colour, bold, at = curves[i]
            self.canvas.line([(right + 4, levels[i]), (right + 14, above)])
            self.canvas.text(right + 18, above, words, 12, colour, bold, "lm")
            width = written(words, 12, bold, "lm")[0].width + 8
            self.canvas.region(right + 14, above - step / 2, width, step, **at)

    def region(self, says, name: str, xs: Numbers, values: Sequence, ys: Numbers = (), **at):
        """Columns at x = xs, the coordinate `name`; with `ys` only what is near that curve."""
        points = self.place(xs, ys if len(ys) else [self.y[0]] * len(xs))
        levels, xs = points[:, 1] if len(ys) else (), np.asarray(xs).tolist()
        box = self.left - 8, self.top - 8, self.width + 16, self.height + 16
        places = {"across": (name, xs), "places": points[:, 0], "levels": levels}
        self.canvas.region(*box, says, values, **places, **at)


def round_steps(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many round numbers, evenly spaced, within low..high."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * factor for factor in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(step * k, 12) for k in range(first, last + 1)]


def log_steps(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... or of the powers of ten."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        found = [round(d * 10.0**p, 12) for p in powers for d in digits]
        found = [each for each in found if low <= each <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def bar(canvas: Canvas, x, y, width, height, share: float, colour: str, name="") -> None:
    """A level bar: so much of its track, and one pixel at least."""
    canvas.box(x, y, width, height, fill=ink.TRACK)
    canvas.box(x, y, max(width * share, 1), height, fill=colour, name=name)


def table_row(canvas: Canvas, y, places, cells, size=12, colour=INK, anchor="ra") -> None:
    """A line of a table: each cell at its place, by default what ends there."""
    for x, words in zip(places, cells, strict=True):
        canvas.text(x, y, words, size, colour, anchor=anchor)


def legend(canvas: Canvas, x, y, entries, ink=INK, name="") -> None:
    """Marks in their colours side by side, each with its words: (words, colour).

    `name` is the coordinate whose values they are, which light up together.
    """
    for words, colour in entries:
        width = written(words, 12, False, "la")[0].width
        canvas.box(x, y + 2.5, 11, 11, fill=colour)
        canvas.text(x + 17, y, words, 12, ink)
        if name:
            canvas.region(x - 4, y - 2, width + 26, 20, **{name: words})
        x += 43 + width


def short(number: float) -> str:
    """A number in three or four digits and a letter, to be followed by what was counted.

    >>> short(615_440) + "B", short(2_460_000), short(17)
    ('615.4 kB', '2.46 M', '17 ')
    """
    for unit, factor in UNITS:
        if number >= factor:
            value = number / factor
            return f"{value:.{2 if value < 10 else 1}f} {unit}"
    return f"{number:.0f} "


def minus(number: str) -> str:
    """A number in digits, its hyphens as true minus signs."""
    return number.replace("-", "\N{MINUS SIGN}")


def plural(count: int, what: str) -> str:
    """A count and its noun: 1 view, 1,200 videos."""
    return f"{count:,} {what}{'s' * (count != 1)}"


def shortened(words: str, most: int) -> str:
    """The words, or as many letters as there is room for and an ellipsis."""
    return words if len(words) <= most else words[: max(most - 1, 1)] + "…"


# ---- cells of a grid, tinted, heated, numbered


FADED = 0.84  # how far a frame out of reach is towards the paper
POSITIVE, NEGATIVE = "#0f9d7a", "#b82c96"  # of numbers in pictures, on either paper, which is 0
HEAT = ((120, 240, 255), (40, 100, 226), (130, 40, 100))  # red, green, blue at 0, a half and 1
HOTTEST = 0.77  # how much the hottest cell covers of the frame
BLACK = Picture(np.zeros((1, 1, 3), np.uint8))  # in place of a frame, below a scale of heat


def tinted_film(
    canvas: Canvas, corners: Sequence[Pair], side, frames: Sequence, kinds: np.ndarray, tints
) -> None:
    """The first frame of each time step at its corner, its cells under their tints, and a grid.

    kinds: whole numbers (t, rows, columns), the places in `tints` of their colours: "" for a cell
    as it is, None for one that is faded.
    """
    steps, rows, columns = kinds.shape
    for step, (kind, (x, y)) in enumerate(zip(kinds, corners, strict=True)):
        picture = frames[step * len(frames) // steps]
        high, wide = np.divide(picture.pixels.shape[:2], kind.shape)
        most = np.bincount(kind.flat).argmax()  # all cells at once, then those that differ
        boxes = [(most, (x, y, side, side), None)]
        for i, j in np.argwhere(kind != most).tolist():
            crop = j * wide, i * high, (j + 1) * wide, (i + 1) * high
            boxes.append((kind[i, j], cell(x, y, side, rows, columns, (i, j)), crop))
        for each, box, crop in boxes:
            canvas.frame(*box, picture, crop, fade=FADED if tints[each] is None else 0)
            if tints[each]:
                canvas.box(*box, fill=tints[each])
        if side / rows > 4:
            lines = (ink.PAPER if tints[most] is None else WHITE) + "70"
            grid_lines(canvas, x, y, side, rows, columns, lines)


def heat(canvas: Canvas, x, y, width, height, frame: Picture, weights: np.ndarray) -> None:
    """A frame in grey, and over it each cell of weights (h, w) from clear (0) to yellow (1)."""
    canvas.frame(x, y, width, height, frame, grey=True)
    canvas.picture(x, y, width, height, heat_colours(weights))


def heat_colours(weights: np.ndarray) -> np.ndarray:
    """Red, green, blue and alpha (h, w, 4) of weights (h, w), 0..1."""
    cells = np.clip(np.asarray(weights, np.float32), 0, 1)
    colours = [np.interp(cells, (0, 0.5, 1), ramp) for ramp in HEAT]
    strength = 255 * HOTTEST * cells**0.6  # so that a tenth of the hottest can still be seen
    return np.stack([*colours, strength], axis=-1).round().astype(np.uint8)


def grid_lines(canvas: Canvas, x, y, side, rows: int, columns: int, colour=WHITE + "70") -> None:
    """Thin pale lines between the cells of a square frame."""
    for i in range(1, rows):
        canvas.line([(x, y + side * i / rows), (x + side - 1, y + side * i / rows)], colour)
    for i in range(1, columns):
        canvas.line([(x + side * i / columns, y), (x + side * i / columns, y + side - 1)], colour)


def cell(x, y, side, rows: int, columns: int, place: tuple[int, int], grow=0) -> tuple:
    """Left, top, width and height of the cell at (row, column) of a square frame."""
    width, height = side / columns, side / rows
    left, top = x + place[1] * width - grow, y + place[0] * height - grow
    return left, top, width + 2 * grow, height + 2 * grow


def cells_region(canvas: Canvas, x, y, side, shape, says="", values=(), **at) -> None:
    """The cells of a square frame, (rows, columns) of them, can be hovered and pressed."""
    rows, columns = map(range, shape)
    canvas.region(x, y, side, side, says, values, ("column", columns), ("row", rows), **at)


def one_colour(strength: np.ndarray, colour: str) -> np.ndarray:
    """Red, green, blue and alpha (h, w, 4) of one colour; strength (h, w): its alpha, 0..255."""
    return np.dstack([np.full((*strength.shape, 3), rgb(colour)), strength]).astype(np.uint8)


def signed_colours(shares: np.ndarray) -> np.ndarray:
    """Red, green, blue and alpha (h, w, 4) of shares (h, w): clear at 0, full at -1 and 1."""
    shares = np.clip(shares, -1, 1)[..., None]
    colours = np.where(shares < 0, rgb(NEGATIVE), rgb(POSITIVE))
    return np.concatenate([colours, 255 * np.abs(shares)], axis=-1).round().astype(np.uint8)


def draw_numbers(
    canvas: Canvas, x, y, width, height, values: Sequence, most: float = 0, says="", **places
) -> None:
    """A vector (n) or a matrix (rows, n) as cells: paper is 0, full colour `most` or beyond.

    most: by default the largest. says, places: what a hover says of a cell, {value} being its
    number, and a region's other parts.
    """
    values = np.atleast_2d(np.asarray(values, float))
    pixels = signed_colours(values / (most or np.abs(values).max()))
    canvas.picture(x, y, width, height, pixels)
    canvas.box(x, y, width, height, outline=ink.DIM)
    if says:
        words = [minus(f"{value:.3f}") for value in values.ravel().tolist()]
        canvas.region(x, y, width, height, says, words, **places)
