"""Which choice matters? Stored studies: every arm, every seed, how it learned and what it costs."""

import statistics
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.lessons import studies
from vivit_lab.lessons.studies import REPORTED, STUDIES, Arm, Result, Spread, load_results
from vivit_lab.widgets.canvas import INK, LINE, MUTED, RED, SERIES, Canvas
from vivit_lab.widgets.charts import Plot, plural, table_row
from vivit_lab.widgets.surface import Explorer, dropdown

WIDTH, HEIGHT, MARGIN = 920, 540, 14
PALE = "40"  # alpha of the colour of an arm that is not highlighted
MEASURES = {"in order": "top1", "shuffled": "shuffled", "backwards": "reversed"}
EVERY = "all of them"
SEED = "{arm}\nseed {seed}: {value} %"  # what each dot says
CHANCE = 1 / 8
CURVE_POINTS = 24

ROWS_TOP, ROWS_HEIGHT = 68, 204  # where the arms stand, one below the other
DOTS, DOTS_END = 300, 592  # where the axis of accuracy begins and ends
COLUMN_ENDS = 664, 754, 814, 906  # mean, range, cost, the paper's figure
CURVES, COSTS, PLOTS_BOTTOM = (62, 440), (540, 900), 478  # left and right of the plots below


@dataclass(frozen=True)
class AblationState:
    """All that the picture depends on."""

    study: str
    results: tuple[Result, ...]
    measure: str = "in order"  # how the frames of a test clip come: a key of MEASURES
    arm: str = EVERY  # the title of the highlighted one

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

    def seeds(self, arm: Arm) -> dict[int, str]:
        """The same in per cent, {seed: accuracy}."""
        runs = zip(self.of(arm), self.values(arm), strict=True)
        return {result.seed: f"{100 * value:.2f}" for result, value in runs}

    def spread(self, arm: Arm) -> Spread:
        return Spread.of(self.values(arm))

    @property
    def step(self) -> float:
        """Height of an arm's row, in pixels."""
        return min(34, ROWS_HEIGHT / len(self.arms))

    @property
    def lowest(self) -> float:
        """Where the axis of accuracy begins: a round value below every dot."""
        lowest = min(min(self.values(arm)) for arm in self.arms)
        edges = (0.95, 0.9, 0.8, 0.6, 0.4)
        return next((edge for edge in edges if lowest >= edge + 0.05 * (1 - edge)), 0.0)

    def colour(self, arm: Arm) -> str:
        """An arm's colour; pale unless it is highlighted."""
        colours = SERIES[4:] if len(self.arms) <= 4 else SERIES  # the stronger half is enough
        colour = colours[self.arms.index(arm) % len(colours)]
        return colour if self.arm in (EVERY, arm.title) else colour + PALE

    def plot(self, canvas: Canvas, edges: tuple[float, float], x: float, low: float) -> Plot:
        """Axes below the rows: 0..x, and low..1 in percent."""
        top = ROWS_TOP + self.step * len(self.arms) + 54
        size = edges[1] - edges[0], PLOTS_BOTTOM - top
        plot = Plot(canvas, edges[0], top, *size, (0, x), (low, 1))
        ticks = [low, (low + 1) / 2, 1]
        plot.grid(ticks, [f"{100 * tick:.3g} %" for tick in ticks])
        return plot


def draw(state: AblationState) -> Canvas:
    """The arms as rows of dots, the paper beside them; below, learning curves and cost."""
    canvas, paper = Canvas(WIDTH, HEIGHT), REPORTED[state.study]
    canvas.text(MARGIN, 10, paper.question, size=15, bold=True)
    counts = sorted({len(state.of(arm)) for arm in state.arms})
    seeds = f"{counts[0]} to " * (len(counts) > 1) + plural(counts[-1], "seed")
    settings = state.results[0].settings
    had = f"{settings['data']['clips']:,} clips, each seen {settings['recipe']['epochs']} times"
    words = f"{had} · {seeds} · {studies.TEST_CLIPS:,} test clips"
    canvas.note(WIDTH - MARGIN, 12, words, anchor="ra")
    canvas.note(MARGIN, 46, f"top-1, test frames {state.measure}")
    _rows(canvas, state)
    _plots(canvas, state)
    figures = f" ({paper.measure}, %)" if paper.measure else ""
    words = f"As reported in the paper, {paper.where}{figures}: {paper.says}"
    canvas.text(MARGIN, PLOTS_BOTTOM + 25, words, size=12)
    found = "The paper's figures are of frames in order: choose that to see what agrees."
    if state.measure == "in order":
        found = str(studies.agreement(state.study, state.results))
    canvas.text(MARGIN, PLOTS_BOTTOM + 42, found, size=12, bold=True)
    means = ", ".join(f"{arm.title} {100 * state.spread(arm).mean:.1f} %" for arm in state.arms)
    question = paper.question.rstrip("?")
    canvas.words = f"{question}: top-1, test frames {state.measure}: {means}. "
    canvas.words += found if state.arm == EVERY else f"Highlighted: {state.arm}."
    return canvas


def _rows(canvas: Canvas, state: AblationState) -> None:
    """Each arm: its name, every seed on an axis of accuracy, and its figures in columns."""
    paper, low = REPORTED[state.study], state.lowest
    bottom = ROWS_TOP + state.step * len(state.arms)

    def at(value: float) -> float:
        return DOTS + (DOTS_END - DOTS) * (value - low) / (1 - low)

    for value in np.linspace(low, 1, 5):
        canvas.line([(at(value), ROWS_TOP - 6), (at(value), bottom)], LINE)
        canvas.note(at(value), ROWS_TOP - 22, f"{100 * value:.4g} %", anchor="ma")
    if low < CHANCE:
        canvas.line([(at(CHANCE), ROWS_TOP - 6), (at(CHANCE), bottom)], f"{RED}66")
        canvas.text(at(CHANCE), bottom + 2, "chance", size=12, colour=RED, anchor="ma")
    titles = ("", "", "MMACs", "paper, %"), ("mean", "range", "a clip", paper.where)
    for i, words in enumerate(titles):
        table_row(canvas, 34 + 14 * i, COLUMN_ENDS, words, 12, MUTED)
    for i, arm in enumerate(state.arms):
        top, values, colour = ROWS_TOP + i * state.step, state.values(arm), state.colour(arm)
        y, spread, lit = top + state.step / 2, state.spread(arm), state.arm in (EVERY, arm.title)
        ink = INK if lit else MUTED
        canvas.box(MARGIN, y - 5, 10, 10, fill=colour)
        canvas.text(MARGIN + 18, y, arm.title, 12.5, ink, bold=lit, anchor="lm")
        left, right = at(spread.low), at(spread.high)
        canvas.box(left, y - 2, max(right - left, 1), 4, fill=colour)
        canvas.text(COLUMN_ENDS[0], y, f"{100 * spread.mean:.1f}", 12.5, ink, lit, "rm")
        gap = f"{100 * spread.low:.1f}-{100 * spread.high:.1f}"
        cost = f"{state.of(arm)[0].macs / 1e6:.1f}"
        figure = f"{arm.paper:.1f}" if arm.paper else "not on file"
        table_row(canvas, y, COLUMN_ENDS[1:], (gap, cost, figure), 12, ink, anchor="rm")
        says = [arm.title, *(f"seed {n}: {share} %" for n, share in state.seeds(arm).items())]
        says.append(f"{cost} MMACs a clip")
        says.append(
            f"the paper, {paper.where}: {figure}" + f" % ({paper.measure})" * bool(arm.paper)
        )
        box = MARGIN - 6, top, WIDTH - 2 * MARGIN + 12, state.step
        canvas.region(*box, "\n".join(says), arm=arm.title)
        points = [(at(value), y) for value in values]
        _dots(canvas, points, colour, SEED, "seed", state.seeds(arm), 4, arm=arm.title)
        canvas.line([(at(spread.mean), y - 9), (at(spread.mean), y + 9)], ink, 2)


def _plots(canvas: Canvas, state: AblationState) -> None:
    """On the left accuracy over clips seen, on the right against MACs of one clip."""
    divide = ROWS_TOP + state.step * len(state.arms) + 18
    canvas.line([(MARGIN, divide), (WIDTH - MARGIN, divide)], LINE)
    canvas.text(MARGIN, divide + 8, "How they learned", bold=True)
    canvas.note(440, divide + 9, "in order · line: training, dots: held out (means)", anchor="ra")
    last = max(result.curve[-1]["clips"] for result in state.results)
    learned = state.plot(canvas, CURVES, last, 0)
    learned.marks([0, last / 2, last], ["clips seen: 0", f"{last / 2:,.0f}", f"{last:,.0f}"])
    canvas.text(482, divide + 8, "What they cost", bold=True)
    canvas.note(900, divide + 9, "MMACs of one clip", anchor="ra")
    dearest = 4 * -(-max(result.macs for result in state.results) / 1e6 // 4)  # whole quarters
    cost = state.plot(canvas, COSTS, dearest, state.lowest)
    ticks = [dearest * k / 4 for k in range(5)]
    cost.marks(ticks, [f"{tick:g}" for tick in ticks])

    for arm in sorted(state.arms, key=lambda arm: arm.title == state.arm):  # what is lit on top
        results, colour = state.of(arm), state.colour(arm)
        steps = _means([result.curve for result in results], "clips", "accuracy")
        some = -(-len(steps) // CURVE_POINTS)  # whose mean is a point of the curve
        parts = [steps[i : i + some] for i in range(0, len(steps), some)]
        clips, shares = zip(*((int(part[-1, 0]), part[:, 1].mean()) for part in parts), strict=True)
        learned.line(clips, shares, colour, 2)
        means = _means([result.history for result in results], "validation")[:, 0]
        ends = np.linspace(0, clips[-1], len(means) + 1)[1:]
        words = [f"{100 * share:.1f}" for share in shares]
        says = "{arm}\n{clips} clips seen, training {value} %"
        learned.region(says, "clips", clips, words, shares, arm=arm.title)
        points, epochs = learned.place(ends, means), enumerate((f"{100 * m:.1f}" for m in means), 1)
        says = "{arm}\nheld out after epoch {epoch}: {value} %"
        _dots(canvas, points, colour, says, "epoch", dict(epochs), arm=arm.title)

        macs, values = [results[0].macs / 1e6] * len(results), state.values(arm)
        points = cost.place(macs, values)
        (x, *_), heights = points.T
        canvas.line([(x, heights.min()), (x, heights.max() + 1)], colour, 2)
        canvas.box(x - 9, heights.mean() - 1, 18, 3, fill=colour)
        _dots(canvas, points, colour, SEED, "seed", state.seeds(arm), arm=arm.title)


def _dots(canvas, points, colour, says, name: str, values: dict, radius=3.5, **at) -> None:
    """Dots that can each be touched: {value of the coordinate `name`: what {value} is}."""
    canvas.dots(points, colour, radius, edge=1)
    (left, top), (right, bottom) = np.min(points, axis=0) - 9, np.max(points, axis=0) + 9
    at |= dict(zip(("places", "levels"), np.transpose(points), strict=True))
    box = left, top, right - left, bottom - top
    canvas.region(*box, says, list(values.values()), (name, values), dots=True, **at)


def _means(runs: list[list[dict]], *fields: str) -> np.ndarray:
    """Of some fields over the seeds, step by step: (steps, fields)."""
    steps = zip(*runs, strict=False)
    return np.array(
        [[statistics.fmean(r[field] for r in step) for field in fields] for step in steps]
    )


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
    arrows = "measure", "arm", "study"
    switches = ("arm",)

    def __init__(self, study: str = "four_models", folder: str | Path = studies.RUNS):
        load_results(study, folder)  # says what is wrong, if anything is
        self.studies = {
            REPORTED[name].question: (name, tuple(load_results(name, folder)))
            for name in STUDIES
            if (Path(folder) / f"{name}.json").exists()
        }
        self.study = dropdown("study", self.studies, REPORTED[study].question)
        self.measure = dropdown("test frames", MEASURES)
        self.arm = dropdown("highlight", [EVERY])
        self.adjust(self.study)
        super().__init__({"Study": [self.study], "Look at": [self.measure, self.arm]})

    def state(self) -> AblationState:
        study, results = self.studies[self.study.value]
        return self.read(AblationState, study=study, results=results)

    def draw(self) -> Canvas:
        return draw(self.state())

    def pressed(self, at: dict) -> None:
        """A second press on the highlighted arm highlights all of them."""
        again = at.get("arm") == self.arm.value and "study" not in at
        super().pressed(at | {"arm": EVERY} if again else at)

    def adjust(self, moved: widgets.Widget) -> None:
        """Another study has other arms; then all are highlighted."""
        self.set_options(self.arm, [EVERY, *(arm.title for arm in self.state().arms)])
