"""The cockpit's picture: loss, accuracy and learning rate over the steps, and where it looks."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from PIL import Image

from vivit_lab.training import Recipe
from vivit_lab.widgets.attention_explorer import heat
from vivit_lab.widgets.curves import Plot, log_steps, round_steps, running_mean
from vivit_lab.widgets.live_strip import BRIGHTEST, SIDE
from vivit_lab.widgets.surface import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, Canvas

WIDTH, HEIGHT, MARGIN = 920, 560, 12
PALE = "#b9cdf8"  # single steps, behind their mean
COLOURS = {"training": TEAL, "validating": TEAL, "finished": BLUE, "failed": RED}
MOST_PICTURES = 8  # of a strip
EPOCH_STEPS = (1, 2, 5, 10, 20, 50, 100, 1000, 10**6)  # between the numbers below an axis


@dataclass(frozen=True)
class Strip:
    """Attention on the clip at one moment."""

    words: str  # "after epoch 3"
    pixels: np.ndarray | None  # uint8 (t, h, w, 3); None: not known


@dataclass(frozen=True)
class Shown:
    """All that the picture depends on."""

    title: str
    phase: str  # a word or two: "training"
    figures: str  # the line below the title
    points: np.ndarray  # (M, 6), as `thinned` gives them
    total: int | None  # steps of the whole run; None: unknown
    steps_per_epoch: int | None
    epochs: list[dict]  # entries of the log
    recipe: Recipe
    chance: float  # accuracy of guessing, 0..1
    chance_loss: float
    log: bool  # the loss on a logarithmic axis
    strip_words: str
    strips: tuple[Strip, Strip] | None  # before the first step, and now; None: no clip


def draw(shown: Shown) -> Canvas:
    """The picture.

    >>> shown = Shown("a toy", "ready", "", np.empty((0, 6)), 100, 10, [], Recipe(), 0.1, 2.3,
    ...               False, "", None)
    >>> draw(shown).height
    560
    """
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(MARGIN, 10, shown.title, size=15, bold=True, colour=BLUE)
    _badge(canvas, shown.phase)
    canvas.text(MARGIN, 36, shown.figures, size=12.5, colour=INK)
    _loss(canvas, MARGIN, 66, shown)
    _accuracy(canvas, 478, 66, shown)
    canvas.line([(MARGIN, 302), (WIDTH - MARGIN, 302)], LINE)
    _learning_rate(canvas, MARGIN, 314, shown)
    _strips(canvas, 322, 314, shown)
    return canvas


def smoothing(total: int | None) -> int:
    """Steps in a running mean: ten, or a fortieth of a long run.

    >>> smoothing(None), smoothing(2000)
    (10, 50)
    """
    return max(10, (total or 0) // 40)


def _badge(canvas: Canvas, phase: str) -> None:
    colour = COLOURS.get(phase.split()[0], ORANGE if "paus" in phase or "stop" in phase else MUTED)
    width = 8 * len(phase) + 22
    left = WIDTH - MARGIN - width
    canvas.box(left, 8, width, 22, fill=colour, radius=11)
    canvas.text(left + width / 2, 19, phase, size=12, colour="#ffffff", bold=True, anchor="mm")


def _smooth(shown: Shown, column: int) -> tuple[np.ndarray, int]:
    """A running mean over the points, and over how many steps it runs."""
    points = shown.points
    together = int(points[0, 0]) if len(points) else 1  # steps in a point; the first is step 1
    window = max(1, ceil(smoothing(shown.total) / together))
    return running_mean(points[:, column], window), window * together


def _loss(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    points = shown.points
    means, window = _smooth(shown, 1)
    is_band = bool((points[:, 5] > points[:, 4]).any())  # a point is made of several steps
    canvas.text(x, y, "Loss", bold=True)
    words = f"mean of {window} steps; pale: {'least to most' if is_band else 'each step'}"
    canvas.text(x + 42, y + 1, words, size=11.5, colour=MUTED)
    if len(points):
        canvas.text(x + 426, y, f"{means[-1]:.3f}", bold=True, colour=BLUE, anchor="ra")
    plot = _plot(canvas, x, y, shown, *_loss_range(shown), log=shown.log)
    steps = log_steps(*plot.y) if shown.log else round_steps(*plot.y)
    plot.grid(steps, [f"{step:g}" for step in steps])
    _chance(plot, shown.chance_loss, "guessing")
    if len(points):
        if is_band:
            plot.band(points[:, 0], points[:, 4], points[:, 5], PALE)
        else:
            plot.line(points[:, 0], points[:, 1], PALE, 1)
        plot.line(points[:, 0], means, BLUE)


def _loss_range(shown: Shown) -> tuple[float, float]:
    points = shown.points
    highest = max([shown.chance_loss * 1.15, 0.01, *points[:, 5] * 1.03])
    if not shown.log:
        return 0, highest
    lowest = min([shown.chance_loss / 4, *points[:, 4] / 1.2])
    return max(lowest, highest / 1e7), highest


def _accuracy(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    points, tested = shown.points, _validations(shown)
    means, _ = _smooth(shown, 2)
    canvas.text(x, y, "Accuracy", bold=True)
    words = f"training {means[-1]:.1%}" if len(points) else "training"
    canvas.text(x + 86, y, words, bold=True, colour=BLUE)
    words = f"validation {tested[-1][1]:.1%}" if tested else "validation"
    canvas.text(x + 430, y, words, bold=True, colour=ORANGE, anchor="ra")
    plot = _plot(canvas, x, y, shown, 0, 1.02)
    plot.grid([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    _chance(plot, shown.chance, "guessing")
    if len(points):
        plot.line(points[:, 0], points[:, 2], PALE, 1)
        plot.line(points[:, 0], means, BLUE)
    if tested:
        plot.line(*zip(*tested, strict=True), ORANGE, 1.2)
        plot.dots(*zip(*tested, strict=True), ORANGE)


def _validations(shown: Shown) -> list[tuple[float, float]]:
    """(step, accuracy) after each epoch that was validated."""
    return [
        (entry["epoch"] * shown.steps_per_epoch, entry["validation"]["top1"])
        for entry in shown.epochs
        if entry.get("validation") and shown.steps_per_epoch
    ]


def _chance(plot: Plot, y: float, words: str) -> None:
    plot.level(y, MUTED)
    right, height = plot.left + plot.width - 3, plot.place([0], [y])[0, 1]
    plot.canvas.text(right, height - 3, words, size=10.5, colour=MUTED, anchor="rs")


def _plot(
    canvas: Canvas, x: float, y: float, shown: Shown, low: float, high: float, log: bool = False
) -> Plot:
    """Axes over the whole run, with the ends of its epochs below."""
    plot = Plot(canvas, x + 46, y + 26, 384, 172, (0, _end(shown)), (low, high), log)
    _epochs(plot, shown, most=13)
    return plot


def _end(shown: Shown) -> float:
    return max([shown.total or 1, *shown.points[-1:, 0]])


def _epochs(plot: Plot, shown: Shown, most: int) -> None:
    per_epoch, end = shown.steps_per_epoch, _end(shown)
    if per_epoch and end >= per_epoch:
        every = next(n for n in EPOCH_STEPS if end / per_epoch / n < most)
        numbers = range(0, int(end / per_epoch) + 1, every)
        words = [f"epoch {n}" if n == 0 else f"{n}" for n in numbers]
        plot.marks([n * per_epoch for n in numbers], words)
    else:
        steps = [step for step in round_steps(0, end, 6) if step == int(step)]
        plot.marks(steps, [f"step {step:,.0f}" if step == 0 else f"{step:,.0f}" for step in steps])


def _learning_rate(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    points, recipe, end = shown.points, shown.recipe, _end(shown)
    canvas.text(x, y, "Learning rate", bold=True)
    if len(points):
        canvas.text(x + 282, y, f"{points[-1, 3]:.2g}", bold=True, colour=TEAL, anchor="ra")
    highest = 1.08 * max([recipe.peak_lr, 1e-12, *points[:, 3]])
    plot = Plot(canvas, x + 46, y + 26, 236, 180, (0, end), (0, highest))
    steps = round_steps(0, highest, 4)
    plot.grid(steps, [f"{step:.2g}" for step in steps])
    _epochs(plot, shown, most=7)
    if shown.steps_per_epoch and shown.total:
        plan = np.linspace(1, shown.total, 120)
        rates = [recipe.learning_rate(step - 1, shown.steps_per_epoch) for step in plan]
        plot.line(plan, rates, LINE, 1.7)
    if len(points):
        plot.line(points[:, 0], points[:, 3], TEAL)


def _strips(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    """Two strips of the same clip, one below the other."""
    canvas.text(x, y, shown.strip_words, bold=True)
    if shown.strips is None:
        canvas.text(x, y + 30, "There is no clip to draw it on.", size=12, colour=MUTED)
        return
    _scale(canvas, WIDTH - MARGIN, y)
    top = y + 24
    for strip in shown.strips:
        every, pictures = _pictures(strip)
        height = max([image.height for image in pictures], default=SIDE)
        for row, words in enumerate(strip.words.split(" ", 1)):
            canvas.text(x, top + height / 2 - 17 + 17 * row, words, size=12, colour=MUTED)
        for i, image in enumerate(pictures):
            canvas.thumbnail(x + 66 + i * (image.width + 5), top, image)
        top += height + 6
        if every > 1 and strip is shown.strips[-1]:
            canvas.text(x + 66, top + 4, f"one in {every} time steps", size=11, colour=MUTED)


def _pictures(strip: Strip) -> tuple[int, list[Image.Image]]:
    """At most MOST_PICTURES of the time steps, every so many-th, to fit beside each other."""
    if strip.pixels is None:
        return 1, []
    every = -(-len(strip.pixels) // MOST_PICTURES)
    pixels = strip.pixels[::every]
    room = (WIDTH - MARGIN - 322 - 66) / len(pixels) - 5
    height = min(SIDE, room * pixels.shape[1] / pixels.shape[2])
    size = round(height * pixels.shape[2] / pixels.shape[1]), round(height)
    pictures = map(Image.fromarray, pixels)
    return every, [each if each.size == size else each.resize(size) for each in pictures]


def _scale(canvas: Canvas, right: float, y: float) -> None:
    ramp = heat(Image.new("RGB", (70, 11)), np.linspace(0, 1, 70)[None])
    canvas.text(right, y + 1, f"{BRIGHTEST} × even", size=11, colour=MUTED, anchor="ra")
    canvas.thumbnail(right - 128, y + 2, ramp)
    canvas.text(right - 133, y + 1, "0", size=11, colour=MUTED, anchor="ra")
