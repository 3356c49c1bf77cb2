"""Which choice matters? Stored studies: every arm, every seed, how it learned and what it costs."""

import statistics
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets

from vivit_lab.lessons.reported import REPORTED, agreement
from vivit_lab.lessons.studies import RUNS, STUDIES, TEST_CLIPS, Arm, Result, Spread, load_results
from vivit_lab.widgets.surface import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    PAPER,
    RED,
    TEAL,
    Canvas,
    Explorer,
    column,
    columns,
    one_at_a_time,
)

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
CURVES, CURVES_END, COSTS, COSTS_END = 62, 440, 540, 900  # left and right of the plots below
PLOTS_BOTTOM = 540


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
        """An arm's results, seed by seed."""
        return [result for result in self.results if result.arm == arm.name]

    def values(self, arm: Arm) -> list[float]:
        """An arm's accuracies, seed by seed."""
        return [getattr(result, MEASURES[self.measure]) for result in self.of(arm)]

    @property
    def step(self) -> float:
        """Height of an arm's row, in pixels."""
        return min(40, ROWS_HEIGHT / len(self.arms))

    @property
    def divide(self) -> float:
        """Where the rows end and the plots begin."""
        return ROWS_TOP + self.step * len(self.arms) + 20

    def height(self, share: float) -> float:
        """Where 0..1 is in the plots."""
        return PLOTS_BOTTOM - (PLOTS_BOTTOM - self.divide - 52) * share

    def colour(self, arm: Arm) -> str:
        """An arm's colour; pale unless it is in the light."""
        names = [each.name for each in self.arms]
        first = 0 if len(names) > 4 else 4  # the stronger half, where it is enough
        colour = COLOURS[(first + names.index(arm.name)) % len(COLOURS)]
        return colour if self.arm in (EVERY, arm.title) else _pale(colour)


def _pale(colour: str) -> str:
    mixed = [round(0.28 * int(colour[i : i + 2], 16) + 0.72 * 255) for i in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in mixed)


# ---- the picture


def draw(state: AblationState) -> Canvas:
    """The arms as rows of dots, the paper beside them; below, learning curves and cost."""
    canvas = Canvas(WIDTH, HEIGHT)
    paper = REPORTED[state.study]
    canvas.text(MARGIN, 10, paper.question, size=15, bold=True)
    canvas.text(WIDTH - MARGIN, 12, _budget(state), size=12, colour=MUTED, anchor="ra")
    frames = f"top-1, test frames {WAYS[state.measure]}"
    canvas.text(MARGIN, 46, frames, size=11, colour=MUTED)
    low = _lowest(state)
    _axis(canvas, state, low)
    for row, arm in enumerate(state.arms):
        _row(canvas, state, arm, ROWS_TOP + row * state.step, low)
    canvas.line([(MARGIN, state.divide), (WIDTH - MARGIN, state.divide)], LINE)
    _curves(canvas, state)
    _costs(canvas, state)
    _verdict(canvas, state)
    return canvas


def _budget(state: AblationState) -> str:
    """What each run had: clips and seeds."""
    seeds = {len(state.of(arm)) for arm in state.arms}
    count = f"{min(seeds)} to {max(seeds)}" if len(seeds) > 1 else f"{min(seeds)}"
    count += " seed" if seeds == {1} else " seeds"
    recipe = state.results[0].settings["recipe"]
    clips = state.results[0].settings["data"]["clips"]
    seen = f"{clips:,} clips, each seen {recipe['epochs']} times"
    return f"{seen} · {count} · {TEST_CLIPS:,} test clips"


def _lowest(state: AblationState) -> float:
    """Where the axis begins: a round value below every dot."""
    lowest = min(min(state.values(arm)) for arm in state.arms)
    for edge in (0.95, 0.9, 0.8, 0.6, 0.4):
        if lowest >= edge + 0.05 * (1 - edge):
            return edge
    return 0.0


def _at(value: float, low: float) -> float:
    return DOTS + (DOTS_END - DOTS) * (value - low) / (1 - low)


def _axis(canvas: Canvas, state: AblationState, low: float) -> None:
    bottom = ROWS_TOP + state.step * len(state.arms)
    for k in range(5):
        value = low + (1 - low) * k / 4
        x = _at(value, low)
        canvas.line([(x, ROWS_TOP - 8), (x, bottom)], LINE)
        canvas.text(x, ROWS_TOP - 24, f"{100 * value:.4g} %", size=11, colour=MUTED, anchor="ma")
    if low < CHANCE:
        x = _at(CHANCE, low)
        canvas.line([(x, ROWS_TOP - 8), (x, bottom)], "#b4231866")
        canvas.text(x, bottom + 2, "chance", size=10.5, colour=RED, anchor="ma")
    paper = REPORTED[state.study]
    headings = [("mean", "and range"), ("MMACs", "a clip")]
    headings.append(("reported", paper.where) if paper.figures else ("", ""))
    for right, lines in zip(COLUMN_ENDS, headings, strict=True):
        for i, words in enumerate(lines):
            canvas.text(right, 38 + 13 * i, words, size=11, colour=MUTED, anchor="ra")


def _row(canvas: Canvas, state: AblationState, arm: Arm, top: float, low: float) -> None:
    middle = top + state.step / 2
    values, colour = state.values(arm), state.colour(arm)
    lit = state.arm in (EVERY, arm.title)
    spread = Spread.of(values)
    ink = INK if lit else "#b3b9c4"
    canvas.box(MARGIN, middle - 5, 10, 10, fill=colour)
    canvas.text(MARGIN + 18, middle, arm.title, size=12.5, colour=ink, bold=lit, anchor="lm")
    left, right = _at(spread.low, low), _at(spread.high, low)
    canvas.box(left, middle - 2, max(right - left, 1), 4, fill=colour)
    for value in values:
        x = _at(value, low)
        canvas.box(x - 5, middle - 5, 10, 10, fill=colour, outline=PAPER, radius=5)
    x = _at(spread.mean, low)
    canvas.line([(x, middle - 10), (x, middle + 10)], ink, 2)
    gap = f"{100 * spread.low:.1f}-{100 * spread.high:.1f}"
    canvas.text(694, middle, f"{100 * spread.mean:.1f}", size=12.5, colour=ink, bold=lit,
                anchor="rm")  # fmt: skip
    canvas.text(COLUMN_ENDS[0], middle, gap, size=11, colour=MUTED if lit else ink, anchor="rm")
    cost = f"{state.of(arm)[0].macs / 1e6:.1f}"
    canvas.text(COLUMN_ENDS[1], middle, cost, size=12, colour=ink, anchor="rm")
    figures = REPORTED[state.study].figures
    if figures:
        words = f"{figures[arm.name]:.1f}" if arm.name in figures else "–"
        canvas.text(COLUMN_ENDS[2], middle, words, size=12.5, colour=ink, anchor="rm")


def _curves(canvas: Canvas, state: AblationState) -> None:
    """Accuracy over clips seen: training as a line, held-out clips after each epoch as dots."""
    canvas.text(MARGIN, state.divide + 10, "How they learned", size=13, bold=True)
    key = "frames in order · line: training · dots: held-out clips"
    canvas.text(CURVES_END, state.divide + 12, key, size=11, colour=MUTED, anchor="ra")
    last = max(result.curve[-1]["clips"] for result in state.results)
    _frame(canvas, state, CURVES, CURVES_END, 0)
    for k in range(3):
        x = CURVES + (CURVES_END - CURVES) * k / 2
        words = "clips seen: 0" if k == 0 else f"{last * k / 2:,.0f}"
        canvas.text(x, PLOTS_BOTTOM + 5, words, size=10.5, colour=MUTED, anchor="ma")
    order = sorted(state.arms, key=lambda arm: arm.title == state.arm)  # the lit one on top
    for arm in order:
        results = state.of(arm)
        points = _curve(results)
        canvas.line([_in_curves(state, x / last, y) for x, y in points], state.colour(arm), 2)
        for k, epochs in enumerate(zip(*(r.history for r in results), strict=False)):
            share = (k + 1) / len(results[0].history) * points[-1][0] / last
            held_out = statistics.fmean(epoch["validation"] for epoch in epochs)
            x, y = _in_curves(state, share, held_out)
            canvas.box(x - 4, y - 4, 8, 8, fill=state.colour(arm), outline=PAPER, radius=4)


def _curve(results: list[Result]) -> list[tuple[int, float]]:
    """(clips seen, training accuracy): means over the seeds, and over a few steps."""
    means = [
        (points[0]["clips"], statistics.fmean(each["accuracy"] for each in points))
        for points in zip(*(result.curve for result in results), strict=False)
    ]
    width = -(-len(means) // CURVE_POINTS)
    parts = [means[i : i + width] for i in range(0, len(means), width)]
    return [(part[-1][0], statistics.fmean(y for _, y in part)) for part in parts]


def _in_curves(state: AblationState, share: float, accuracy: float) -> tuple[float, float]:
    return CURVES + (CURVES_END - CURVES) * share, state.height(accuracy)


def _frame(canvas: Canvas, state: AblationState, left: float, right: float, low: float) -> None:
    for share in (0, 0.5, 1):
        y = state.height(share)
        canvas.line([(left, y), (right, y)], LINE)
        value = f"{100 * (low + (1 - low) * share):.3g} %"
        canvas.text(left - 6, y, value, size=10.5, colour=MUTED, anchor="rm")


def _costs(canvas: Canvas, state: AblationState) -> None:
    """Accuracy against MACs of one clip: every seed a dot, the means a bar."""
    canvas.text(COSTS - 58, state.divide + 10, "What they cost", size=13, bold=True)
    canvas.text(
        COSTS_END, state.divide + 12, "MMACs of one clip", size=11, colour=MUTED, anchor="ra"
    )
    low = _lowest(state)
    dearest = _round_up(max(result.macs for result in state.results) / 1e6)
    _frame(canvas, state, COSTS, COSTS_END, low)
    for k in range(5):
        x = COSTS + (COSTS_END - COSTS) * k / 4
        words = f"{dearest * k / 4:g}"
        canvas.text(x, PLOTS_BOTTOM + 5, words, size=10.5, colour=MUTED, anchor="ma")
    for arm in sorted(state.arms, key=lambda arm: arm.title == state.arm):
        x = COSTS + (COSTS_END - COSTS) * state.of(arm)[0].macs / 1e6 / dearest
        heights = [state.height((value - low) / (1 - low)) for value in state.values(arm)]
        canvas.line([(x, min(heights)), (x, max(heights) + 1)], state.colour(arm), 2)
        mean = statistics.fmean(heights)
        canvas.box(x - 9, mean - 1, 18, 3, fill=state.colour(arm))
        for y in heights:
            canvas.box(x - 4, y - 4, 8, 8, fill=state.colour(arm), outline=PAPER, radius=4)


def _round_up(number: float) -> float:
    """The next of 4, 8, 12, 16, 20, 24, ... , so that quarters are whole numbers."""
    return 4 * -(-number // 4)


def _verdict(canvas: Canvas, state: AblationState) -> None:
    paper = REPORTED[state.study]
    figures = f" ({paper.measure}, %)" if paper.measure else ""
    words = f"As reported in the paper, {paper.where}{figures}: {paper.says}"
    canvas.text(MARGIN, PLOTS_BOTTOM + 26, words, size=12)
    found = "The paper's figures are of frames in order: choose that to see what agrees."
    if state.measure == "in order":
        found = str(agreement(state.study, state.results))
    canvas.text(MARGIN, PLOTS_BOTTOM + 44, found, size=12, bold=True)


class AblationExplorer(Explorer):
    """Choose a study: its arms with every seed, the paper's figures, learning curves and cost.

    Args:
        study: which to begin with, one of STUDIES.
        folder: of the stored results, one STUDY.json each; a study without one is not offered.

    Raises:
        ValueError: an unknown study, a damaged file. FileNotFoundError: no results of it.

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
        self.study = _choice("study", list(self.studies), REPORTED[study].question)
        self.measure = _choice("test frames", list(MEASURES), "in order")
        self.arm = _choice("in the light", [EVERY], EVERY)
        self._offer_arms()
        self.study.observe(self._on_study, "value")
        for control in (self.measure, self.arm):
            control.observe(self.refresh, "value")
        super().__init__(
            columns(column("Study", self.study), column("Look at", self.measure, self.arm))
        )

    def state(self) -> AblationState:
        """The present state of the controls."""
        study, results = self.studies[self.study.value]
        return AblationState(study, results, self.measure.value, self.arm.value)

    def draw(self) -> Canvas:
        return draw(self.state())

    @one_at_a_time
    def _on_study(self, _change) -> None:
        """Other arms are there to be chosen."""
        with self.one_redraw():
            self._offer_arms()

    def _offer_arms(self) -> None:
        study, results = self.studies[self.study.value]
        titles = [arm.title for arm in AblationState(study, results).arms]
        with self.arm.hold_sync():
            self.arm.value = EVERY
            self.arm.options = [EVERY, *titles]


def _choice(label: str, options: list[str], value: str) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=options,
        value=value,
        description=label,
        style={"description_width": "96px"},
        layout=widgets.Layout(width="98%"),
    )
