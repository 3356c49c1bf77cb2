"""Which classes does it confuse? Confusion matrix, accuracy of each class, top-k, verb x noun."""

from dataclasses import dataclass

import numpy as np

from vivit_lab.training import metrics
from vivit_lab.training.metrics import percent
from vivit_lab.training.results import Evaluation, HeadResult, PairResult
from vivit_lab.widgets.evaluation_explorer import buttons
from vivit_lab.widgets.evaluation_state import Answers
from vivit_lab.widgets.surface import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    RED,
    TEAL,
    Canvas,
    Explorer,
    column,
    columns,
    legal_slider,
)

WIDTH, HEIGHT, MARGIN = 920, 500, 14
RIGHT = 566  # where the right part begins
MOST_CLASSES = 12


@dataclass(frozen=True)
class ConfusionState:
    """All that the picture depends on."""

    answers: Answers
    views: int  # those that see most of a video
    average: str
    head: str
    show: str  # "videos" | "share", of the row

    @property
    def result(self) -> HeadResult | PairResult:
        """Of the head, over these views."""
        views = tuple(self.answers.scores.spread(self.views))
        return self.answers.of(views, self.average)[self.head]


def draw(state: ConfusionState) -> Canvas:
    """A matrix on the left; on the right accuracy by class and top-k, or how two heads meet."""
    canvas = Canvas(WIDTH, HEIGHT)
    result = state.result
    if isinstance(result, PairResult):
        _pair_matrix(canvas, state, result)
        _meeting(canvas, result)
        _top_k(canvas, result.ranks, result.chance, 300)
    else:
        _matrix(canvas, state, result)
        _per_class(canvas, state, result)
        _top_k(canvas, result.ranks, result.chance, 300)
    return canvas


# ---- the matrices


def _grid(rows: int, across: int) -> tuple[float, float, float, float]:
    """Left, top, width and height of a cell."""
    width = min(384 / across, 77)
    return 160, 126, width, min(352 / rows, 44)


def _title(canvas: Canvas, state: ConfusionState, what: str, axes: str) -> None:
    canvas.text(MARGIN, 10, what, size=15, bold=True)
    views = f"{state.views} view{'s' * (state.views != 1)}, {state.average} averaged"
    count = state.answers.scores.videos
    words = f"{count:,} video{'s' * (count != 1)}, {views} · {axes}"
    canvas.text(MARGIN, 34, words, size=11.5, colour=MUTED)


def _names(canvas: Canvas, state: ConfusionState, heads: tuple[str, str], shape) -> None:
    """Of the rows and of the columns."""
    left, top, width, height = _grid(*shape)
    for row in range(shape[0]):
        name = _short(state.answers.name(heads[0], row), 20)
        y = top + height * (row + 0.5)
        canvas.text(left - 10, y, name, size=11.5, anchor="rm")
    lines = [_two_lines(state.answers.name(heads[1], number)) for number in range(shape[1])]
    two_heights = any(7 * len(words) > width for each in lines for words in each)
    for number, (first, second) in enumerate(lines):
        up = 30 if two_heights and number % 2 == 0 else 0  # a name then has two columns' width
        x, y = left + width * (number + 0.5), top - 32 - up
        most = int(2 * width / 7) if two_heights else 99
        if two_heights:
            canvas.line([(x, y + 28), (x, top - 2)], LINE)
        canvas.text(x, y, _short(first, most), size=10.5, anchor="ma")
        canvas.text(x, y + 13, _short(second, most), size=10.5, anchor="ma")


def _two_lines(name: str) -> tuple[str, str]:
    first, _, rest = name.partition(" ")
    return ("", first) if not rest else (first, rest)


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: max(most - 1, 1)] + "…"


def _matrix(canvas: Canvas, state: ConfusionState, result: HeadResult) -> None:
    title = f"{result.name}: what is taken for what"
    _title(canvas, state, title, "row: the truth, column: the answer")
    counts = result.confusion
    _names(canvas, state, (result.name, result.name), counts.shape)
    rows = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (row, number), share in np.ndenumerate(counts / rows):
        words = str(counts[row, number]) if state.show == "videos" else f"{100 * share:.0f} %"
        _cell(canvas, counts.shape, row, number, share, words, right=row == number)


def _pair_matrix(canvas: Canvas, state: ConfusionState, result: PairResult) -> None:
    title = f"{result.name}: {result.first.name} and {result.second.name} both right"
    _title(canvas, state, title, f"row: {result.first.name}, column: {result.second.name}")
    shape = result.first.classes, result.second.classes
    _names(canvas, state, (result.first.name, result.second.name), shape)
    hits, counts = np.zeros(shape, int), np.zeros(shape, int)
    place = result.first.labels, result.second.labels
    np.add.at(counts, place, 1)
    np.add.at(hits, place, (result.ranks == 0).astype(int))
    for row in range(shape[0]):
        for number in range(shape[1]):
            here, many = hits[row, number], counts[row, number]
            share = here / max(many, 1)
            words = f"{here} of {many}" if state.show == "videos" else f"{100 * share:.0f} %"
            _cell(canvas, shape, row, number, share, words if many else "-", right=True)


def _cell(canvas, shape, row: int, number: int, share: float, words: str, right: bool) -> None:
    left, top, width, height = _grid(*shape)
    x, y = left + width * number, top + height * row
    base = TEAL if right else RED
    alpha = 0 if share == 0 else int(24 + 190 * share)
    canvas.box(x + 1, y + 1, width - 3, height - 3, fill=f"{base}{alpha:02x}", outline=LINE)
    if share > 0 or right:
        colour = "#ffffff" if share > 0.62 else INK
        size = 12 if width > 50 else 11
        canvas.text(x + width / 2, y + height / 2, words, size=size, colour=colour, anchor="mm")


# ---- beside them


def _per_class(canvas: Canvas, state: ConfusionState, result: HeadResult) -> None:
    """A bar a class, with its interval: few videos a class, wide intervals."""
    title = f"Each class · mean {percent(result.mean_per_class)}"
    canvas.text(RIGHT, 10, title, size=15, bold=True)
    canvas.text(RIGHT, 34, "line: 95 % interval", size=11.5, colour=MUTED)
    counts, left, right = result.confusion.sum(axis=1), RIGHT + 132, WIDTH - MARGIN - 56
    step = min(25, 212 / result.classes)
    for number, share in enumerate(result.per_class):
        y = 60 + step * number
        name = _short(state.answers.name(result.name, number), 19)
        canvas.text(RIGHT, y + step / 2, name, size=11.5, anchor="lm")
        canvas.box(left, y + 2, right - left, step - 5, fill="#eef0f4")
        if not counts[number]:
            continue
        canvas.box(left, y + 2, (right - left) * share, step - 5, fill="#8db4ff")
        hits = int(result.confusion[number, number])
        low, high = (left + (right - left) * s for s in metrics.interval(hits, int(counts[number])))
        canvas.line([(low, y + step / 2), (high, y + step / 2)], INK, 2)
        canvas.text(WIDTH - MARGIN, y + step / 2, percent(share), size=11.5, anchor="rm")


def _meeting(canvas: Canvas, result: PairResult) -> None:
    """In how many videos both heads are right, one, or none; and what chance meeting would give."""
    first, second = result.first, result.second
    canvas.text(RIGHT, 10, f"{result.name}: {percent(result.top1)}", size=15, bold=True)
    low, high = (f"{100 * end:.1f}" for end in result.interval)
    words = f"95 % interval {low} to {high} %"
    canvas.text(RIGHT, 34, words, size=11.5, colour=MUTED)
    a, b = first.ranks == 0, second.ranks == 0
    rows = (
        ("both right", a & b, TEAL),
        (f"only the {first.name}", a & ~b, BLUE),
        (f"only the {second.name}", ~a & b, ORANGE),
        ("neither", ~a & ~b, RED),
    )
    left, right = RIGHT + 132, WIDTH - MARGIN - 56
    for i, (name, chosen, colour) in enumerate(rows):
        y, share = 58 + 29 * i, chosen.mean()
        canvas.text(RIGHT, y + 13, name, size=12, anchor="lm")
        canvas.box(left, y + 3, right - left, 20, fill="#eef0f4")
        canvas.box(left, y + 3, max((right - left) * share, 1), 20, fill=colour)
        canvas.text(WIDTH - MARGIN, y + 13, percent(share), size=12, anchor="rm")
    lines = (
        f"{first.name} {percent(first.top1)} × {second.name} {percent(second.top1)} = "
        f"{percent(first.top1 * second.top1)}",
        "would be both right if mistakes met at random.",
    )
    for i, words in enumerate(lines):
        canvas.text(RIGHT, 182 + 20 * i, words, size=12)
    words = f"Chance is 1 / {first.classes} × 1 / {second.classes} = {percent(result.chance)}."
    canvas.text(RIGHT, 228, words, size=12, colour=MUTED)


def _top_k(canvas: Canvas, ranks: np.ndarray, chance: float, y: float) -> None:
    """How often the right class is among the best k."""
    canvas.text(RIGHT, y, "Right one among the best k", size=13, bold=True)
    left, bottom, height = RIGHT + 20, y + 166, 116
    words = "grey: by chance"
    canvas.text(WIDTH - MARGIN, y + 2, words, size=11.5, colour=MUTED, anchor="ra")
    for k in range(1, 6):
        x, share = left + 64 * (k - 1), metrics.accuracy(ranks, k)
        guess = min(k * chance, 1)
        canvas.box(x, bottom - height * share, 40, max(height * share, 1), fill="#8db4ff")
        canvas.box(x, bottom - height * guess, 40, max(height * guess, 1), fill="#6b72804d")
        canvas.text(x + 20, bottom - height * share - 5, percent(share), size=11, anchor="ms")
        canvas.text(x + 20, bottom + 7, f"k = {k}", size=11.5, anchor="ma")
    canvas.line([(left - 10, bottom), (left + 5 * 64 - 14, bottom)], LINE)


class ConfusionExplorer(Explorer):
    """Confusion matrix, accuracy by class and top-k of each head; of two heads also their pair.

    result: an evaluation with at most 12 classes a head; None: the stored one of 800 long videos.
    The views are those that see most of a video. No model is needed.

    Raises ValueError for more classes, FileNotFoundError without scores.

    Example:
        >>> explorer = ConfusionExplorer()
        >>> explorer.head.value = "noun"
        >>> explorer.state().result.confusion.shape
        (5, 5)
    """

    width, height = WIDTH, HEIGHT

    def __init__(self, result: Evaluation | None = None):
        self.answers = Answers(result)
        for head, logits in self.answers.scores.logits.items():
            if logits.shape[2] > MOST_CLASSES:
                raise ValueError(
                    f"The {head} head has {logits.shape[2]} classes, but at most {MOST_CLASSES} "
                    "can be drawn; result.most_confused() lists the pairs that matter."
                )
        views = self.answers.scores.views
        self.count = legal_slider("views", range(1, views + 1), views)
        self.head = buttons(*self.answers.heads)
        self.average = buttons("softmax", "logits")
        self.show = buttons("videos", "share")
        for control in (self.count, self.head, self.average, self.show):
            control.observe(self.refresh, "value")
        super().__init__(
            columns(
                column("Show", self.head, self.show), column("Average", self.count, self.average)
            )
        )

    def state(self) -> ConfusionState:
        """The present state of the controls."""
        return ConfusionState(
            answers=self.answers,
            views=self.count.value,
            average=self.average.value,
            head=self.head.value,
            show=self.show.value,
        )

    def draw(self) -> Canvas:
        return draw(self.state())
