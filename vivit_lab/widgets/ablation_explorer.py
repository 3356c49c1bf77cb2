"""Which choice matters? Stored studies: every arm, every seed, how it learned and what it costs."""

import statistics
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.lessons.studies import (
    REPORTED,
    RUNS,
    STUDIES,
    TEST_CLIPS,
    Arm,
    Result,
    Spread,
    agreement,
    load_results,
)
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import Plot, paler, plural, table_row
from vivit_lab.widgets.surface import Explorer, dropdown

WIDTH, HEIGHT, MARGIN = 920, 604, 14
COLOURS = ("#8a94a6", "#a9743a", "#7c5cd6", "#c2549a", RED, BLUE, TEAL, ORANGE)
MEASURES = {"in order": "top1", "shuffled": "shuffled", "backwards": "reversed"}
WAYS = {"in order": "in order", "shuffled": "shuffled", "backwards": "played backwards"}
EVERY = "all of them"
CHANCE = 1 / 8
CURVE_POINTS = 24

ROWS_TOP, ROWS_HEIGHT = 72, 248  # where the arms stand, one below the other
DOTS, DOTS_END = 300, 640  # where the axis of accuracy begins and ends
COLUMN_ENDS = 768, 834, 906  # mean and range, cost, the paper's figure
CURVES, COSTS, PLOTS_BOTTOM = (62, 440), (540, 900), 540  # left and right of the plots below


@dataclass(frozen=True)
class AblationState:
    """All that the picture depends on."""

    study: str
    results: tuple[Result, ...]
    measure: str = "in order"  # how the frames of a test clip come: a key of MEASURES
    arm: str = EVERY  # the title of the one in the light

    @property
    def arms(self) -> list[Arm]:
        """Those that have results, in the order of the study."""
        stored = {result.arm for result in self.results}
        return [arm for arm in STUDIES[self.study] if arm.name in stored]

    def of(self, arm: Arm) -> list[Result]:
        return [result for result in self.results if result.arm == arm.name]

    def values(self, arm: Arm) -> list[float]:
        """An arm's accuracies, seed by seed."""
        return [getattr(result, MEASURES[self.measure]) for result in self.of(arm)]

    @property
    def step(self) -> float:
        """Height of an arm's row, in pixels."""
        return min(40, ROWS_HEIGHT / len(self.arms))

    @property
    def lowest(self) -> float:
        """Where the axis of accuracy begins: a round value below every dot."""
        lowest = min(min(self.values(arm)) for arm in self.arms)
        edges = (0.95, 0.9, 0.8, 0.6, 0.4)
        return next((edge for edge in edges if lowest >= edge + 0.05 * (1 - edge)), 0.0)

    def colour(self, arm: Arm) -> str:
        """An arm's colour; pale unless it is in the light."""
        names = [each.name for each in self.arms]
        first = 0 if len(names) > 4 else 4  # the stronger half, where it is enough
        colour = COLOURS[(first + names.index(arm.name)) % len(COLOURS)]
        return colour if self.arm in (EVERY, arm.title) else paler(colour, 0.28)

    def plot(self, canvas: Canvas, edges: tuple[float, float], x: float, low: float) -> Plot:
        """Axes below the rows: 0..x, and low..1 in percent."""
        top = ROWS_TOP + self.step * len(self.arms) + 72
        size = edges[1] - edges[0], PLOTS_BOTTOM - top
        plot = Plot(canvas, edges[0], top, *size, (0, x), (low, 1))
        ticks = [low, (low + 1) / 2, 1]
        plot.grid(ticks, [f"{100 * tick:.3g} %" for tick in ticks])
        return plot


def draw(state: AblationState) -> Canvas:
    """The arms as rows of dots, the paper beside them; below, learning curves and cost."""
    canvas, paper = Canvas(WIDTH, HEIGHT), REPORTED[state.study]
    canvas.text(MARGIN, 10, paper.question, size=15, bold=True)
    canvas.text(WIDTH - MARGIN, 12, _budget(state), size=12, colour=MUTED, anchor="ra")
    canvas.note(MARGIN, 46, f"top-1, test frames {WAYS[state.measure]}")
    _rows(canvas, state)
    divide = ROWS_TOP + state.step * len(state.arms) + 20
    canvas.line([(MARGIN, divide), (WIDTH - MARGIN, divide)], LINE)
    canvas.text(MARGIN, divide + 10, "How they learned", bold=True)
    key = "frames in order · line: training · dots: held-out clips"
    canvas.note(440, divide + 12, key, anchor="ra")
    _curves(canvas, state)
    canvas.text(482, divide + 10, "What they cost", bold=True)
    canvas.note(900, divide + 12, "MMACs of one clip", anchor="ra")
    _costs(canvas, state)
    figures = f" ({paper.measure}, %)" if paper.measure else ""
    words = f"As reported in the paper, {paper.where}{figures}: {paper.says}"
    canvas.text(MARGIN, PLOTS_BOTTOM + 26, words, size=12)
    found = "The paper's figures are of frames in order: choose that to see what agrees."
    if state.measure == "in order":
        found = str(agreement(state.study, state.results))
    canvas.text(MARGIN, PLOTS_BOTTOM + 44, found, size=12, bold=True)
    return canvas


def _budget(state: AblationState) -> str:
    """What each run had: clips and seeds."""
    seeds = sorted({len(state.of(arm)) for arm in state.arms})
    count = f"{seeds[0]} to " * (len(seeds) > 1) + plural(seeds[-1], "seed")
    settings = state.results[0].settings
    clips, epochs = settings["data"]["clips"], settings["recipe"]["epochs"]
    return f"{clips:,} clips, each seen {epochs} times · {count} · {TEST_CLIPS:,} test clips"


def _rows(canvas: Canvas, state: AblationState) -> None:
    """Each arm: its name, every seed on an axis of accuracy, and its figures in columns."""
    paper, low = REPORTED[state.study], state.lowest
    bottom = ROWS_TOP + state.step * len(state.arms)

    def at(value: float) -> float:
        return DOTS + (DOTS_END - DOTS) * (value - low) / (1 - low)

    for value in np.linspace(low, 1, 5):
        canvas.line([(at(value), ROWS_TOP - 8), (at(value), bottom)], LINE)
        canvas.note(at(value), ROWS_TOP - 24, f"{100 * value:.4g} %", anchor="ma")
    if low < CHANCE:
        canvas.line([(at(CHANCE), ROWS_TOP - 8), (at(CHANCE), bottom)], "#b4231866")
        canvas.text(at(CHANCE), bottom + 2, "chance", size=10.5, colour=RED, anchor="ma")
    reported = ("reported", paper.where) if paper.figures else ("", "")
    for i, words in enumerate((("mean", "MMACs"), ("and range", "a clip"))):
        table_row(canvas, 38 + 13 * i, COLUMN_ENDS, (*words, reported[i]), 11, MUTED)
    for i, arm in enumerate(state.arms):
        y, values, colour = ROWS_TOP + (i + 0.5) * state.step, state.values(arm), state.colour(arm)
        spread, lit = Spread.of(values), state.arm in (EVERY, arm.title)
        ink, pale = (INK, MUTED) if lit else ("#b3b9c4", "#b3b9c4")
        canvas.box(MARGIN, y - 5, 10, 10, fill=colour)
        canvas.text(MARGIN + 18, y, arm.title, 12.5, ink, bold=lit, anchor="lm")
        left, right = at(spread.low), at(spread.high)
        canvas.box(left, y - 2, max(right - left, 1), 4, fill=colour)
        canvas.dots([(at(value), y) for value in values], colour, 4, edge=1)
        canvas.line([(at(spread.mean), y - 10), (at(spread.mean), y + 10)], ink, 2)
        canvas.text(694, y, f"{100 * spread.mean:.1f}", 12.5, ink, bold=lit, anchor="rm")
        gap = f"{100 * spread.low:.1f}-{100 * spread.high:.1f}"
        canvas.text(COLUMN_ENDS[0], y, gap, 11, pale, anchor="rm")
        cost = f"{state.of(arm)[0].macs / 1e6:.1f}"
        figure = "–" if paper.figures else ""
        if arm.name in paper.figures:
            figure = f"{paper.figures[arm.name]:.1f}"
        table_row(canvas, y, COLUMN_ENDS[1:], (cost, figure), 12.5, ink, anchor="rm")


def _lit_last(state: AblationState) -> list[Arm]:
    return sorted(state.arms, key=lambda arm: arm.title == state.arm)


def _curves(canvas: Canvas, state: AblationState) -> None:
    """Accuracy over clips seen: training as a line, held-out clips after each epoch as dots."""
    last = max(result.curve[-1]["clips"] for result in state.results)
    plot = state.plot(canvas, CURVES, last, 0)
    plot.marks([0, last / 2, last], ["clips seen: 0", f"{last / 2:,.0f}", f"{last:,.0f}"])
    for arm in _lit_last(state):
        points = _curve(state.of(arm))
        plot.line(*zip(*points, strict=True), state.colour(arm), 2)
        epochs = zip(*(result.history for result in state.of(arm)), strict=False)
        means = [statistics.fmean(each["validation"] for each in epoch) for epoch in epochs]
        ends = np.linspace(0, points[-1][0], len(means) + 1)[1:]
        plot.dots(ends, means, state.colour(arm), edge=1)


def _curve(results: list[Result]) -> list[tuple[int, float]]:
    """(clips seen, training accuracy): means over the seeds, and over a few steps."""
    means = [
        (points[0]["clips"], statistics.fmean(each["accuracy"] for each in points))
        for points in zip(*(result.curve for result in results), strict=False)
    ]
    width = -(-len(means) // CURVE_POINTS)
    parts = [means[i : i + width] for i in range(0, len(means), width)]
    return [(part[-1][0], statistics.fmean(y for _, y in part)) for part in parts]


def _costs(canvas: Canvas, state: AblationState) -> None:
    """Accuracy against MACs of one clip: every seed a dot, the means a bar."""
    dearest = 4 * -(-max(result.macs for result in state.results) / 1e6 // 4)  # whole quarters
    plot = state.plot(canvas, COSTS, dearest, state.lowest)
    ticks = [dearest * k / 4 for k in range(5)]
    plot.marks(ticks, [f"{tick:g}" for tick in ticks])
    for arm in _lit_last(state):
        values, colour = state.values(arm), state.colour(arm)
        costs = [state.of(arm)[0].macs / 1e6] * len(values)
        (x, *_), heights = plot.place(costs, values).T
        canvas.line([(x, heights.min()), (x, heights.max() + 1)], colour, 2)
        canvas.box(x - 9, heights.mean() - 1, 18, 3, fill=colour)
        plot.dots(costs, values, colour, edge=1)


class AblationExplorer(Explorer):
    """Choose a study: its arms with every seed, the paper's figures, learning curves and cost.

    study: one of STUDIES, to begin with. folder: of the stored results, STUDY.json; a study
    without one is not offered.

    Raises ValueError for an unknown study or a damaged file, FileNotFoundError without results.
    Source: paper section 4.2 and tables 1 to 4.

    Example:
        >>> explorer = AblationExplorer("four_models")
        >>> explorer.state().arms[4].title
        'Model 1: joint'
    """

    width, height = WIDTH, HEIGHT

    def __init__(self, study: str = "four_models", folder: str | Path = RUNS):
        load_results(study, folder)  # says what is wrong, if anything is
        self.studies = {
            REPORTED[name].question: (name, tuple(load_results(name, folder)))
            for name in STUDIES
            if (Path(folder) / f"{name}.json").exists()
        }
        self.study = dropdown("study", self.studies, REPORTED[study].question)
        self.measure = dropdown("test frames", MEASURES)
        self.arm = dropdown("in the light", [EVERY])
        self.adjust(self.study)
        super().__init__({"Study": [self.study], "Look at": [self.measure, self.arm]})

    def state(self) -> AblationState:
        study, results = self.studies[self.study.value]
        return self.read(AblationState, study=study, results=results)

    def draw(self) -> Canvas:
        return draw(self.state())

    def adjust(self, moved: widgets.Widget) -> None:
        """Another study has other arms; then all are in the light."""
        self.set_options(self.arm, [EVERY, *(arm.title for arm in self.state().arms)])
