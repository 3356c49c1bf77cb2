"""Which classes does it confuse? Confusion matrix, accuracy of each class, top-k, verb x noun."""

from dataclasses import dataclass

import numpy as np

from vivit_lab.training import metrics
from vivit_lab.training.metrics import percent
from vivit_lab.training.results import Evaluation, HeadResult, PairResult
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import bar, plural, shortened
from vivit_lab.widgets.evaluation_explorer import Answers
from vivit_lab.widgets.surface import Explorer, buttons, legal_slider

WIDTH, HEIGHT, MARGIN = 920, 500, 14
LEFT, TOP = 160, 126  # of the matrix
RIGHT = 566  # where the right part begins
BARS, BARS_END = RIGHT + 132, WIDTH - MARGIN - 56
PALE_BLUE = "#8db4ff"
MOST_CLASSES = 12


@dataclass(frozen=True)
class ConfusionState:
    """All that the picture depends on."""

    answers: Answers
    count: int  # of views, those that see most of a video
    average: str
    head: str
    show: str  # "videos" | "share", of the row

    @property
    def result(self) -> HeadResult | PairResult:
        """Of the head, over these views."""
        return self.answers.of(self.answers.scores.spread(self.count), self.average, self.head)


def draw(state: ConfusionState) -> Canvas:
    """A matrix on the left; on the right accuracy by class and top-k, or how two heads meet."""
    canvas, result = Canvas(WIDTH, HEIGHT), state.result
    if isinstance(result, PairResult):
        _pair_matrix(canvas, state, result)
        _meeting(canvas, result)
    else:
        _confusion_matrix(canvas, state, result)
        _per_class(canvas, state, result)
    _top_k(canvas, result.ranks, result.chance, 300)
    return canvas


# ---- the matrices


def _confusion_matrix(canvas: Canvas, state: ConfusionState, result: HeadResult) -> None:
    counts = result.confusion
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    title = f"{result.name}: what is taken for what", "row: the truth, column: the answer"
    right = np.eye(len(counts), dtype=bool)
    _matrix(canvas, state, title, (result, result), shares, counts.astype(str), right)


def _pair_matrix(canvas: Canvas, state: ConfusionState, result: PairResult) -> None:
    first, second = result.first, result.second
    counts = np.zeros((first.classes, second.classes), int)
    hits = counts.copy()
    np.add.at(counts, (first.labels, second.labels), 1)
    np.add.at(hits, (first.labels, second.labels), result.ranks == 0)
    both = zip(hits.flat, counts.flat, strict=True)
    words = [f"{hit} of {count}" if count else "-" for hit, count in both]
    title = (
        f"{result.name}: {first.name} and {second.name} both right",
        f"row: {first.name}, column: {second.name}",
    )
    shares, words = hits / np.maximum(counts, 1), np.reshape(words, counts.shape)
    _matrix(canvas, state, title, (first, second), shares, words, counts >= 0)


def _matrix(canvas: Canvas, state: ConfusionState, title, heads, shares, words, right) -> None:
    """right: which cells are of right answers."""
    answers = state.answers
    canvas.text(MARGIN, 10, title[0], size=15, bold=True)
    views = f"{plural(state.count, 'view')}, {state.average} averaged"
    line = f"{plural(answers.scores.videos, 'video')}, {views} · {title[1]}"
    canvas.text(MARGIN, 34, line, size=11.5, colour=MUTED)
    width, height = min(384 / shares.shape[1], 77), min(352 / shares.shape[0], 44)
    for number in range(shares.shape[0]):
        name = shortened(answers.name(heads[0].name, number), 20)
        canvas.text(LEFT - 10, TOP + height * (number + 0.5), name, size=11.5, anchor="rm")
    names = [answers.name(heads[1].name, number) for number in range(shares.shape[1])]
    lines = [name.split(" ", 1) if " " in name else ["", name] for name in names]
    crowded = any(7 * len(part) > width for both in lines for part in both)
    for number, both in enumerate(lines):
        x, y = LEFT + width * (number + 0.5), TOP - 32
        if crowded:  # names at two heights: each has the width of two columns
            y -= 30 * (number % 2 == 0)
            both = [shortened(part, int(2 * width / 7)) for part in both]
            canvas.line([(x, y + 28), (x, TOP - 2)], LINE)
        canvas.paragraph(x, y, both, 13, 10.5, anchor="ma")
    for place, share in np.ndenumerate(shares):
        x, y = LEFT + width * place[1], TOP + height * place[0]
        alpha = 0 if share == 0 else int(24 + 190 * share)
        fill = f"{TEAL if right[place] else RED}{alpha:02x}"
        canvas.box(x + 1, y + 1, width - 3, height - 3, fill=fill, outline=LINE)
        if share > 0 or right[place]:
            count = str(words[place])
            text = count if state.show == "videos" or count == "-" else f"{100 * share:.0f} %"
            colour, size = "#ffffff" if share > 0.62 else INK, 12 if width > 50 else 11
            canvas.text(x + width / 2, y + height / 2, text, size, colour, anchor="mm")


# ---- beside them


def _per_class(canvas: Canvas, state: ConfusionState, result: HeadResult) -> None:
    """A bar a class, with its interval: few videos a class, wide intervals."""
    title = f"Each class · mean {percent(result.mean_per_class)}"
    canvas.text(RIGHT, 10, title, size=15, bold=True)
    canvas.text(RIGHT, 34, "line: 95 % interval", size=11.5, colour=MUTED)
    counts, step = result.confusion.sum(axis=1), min(25, 212 / result.classes)
    for number, share in enumerate(result.per_class):
        y = 60 + step * number
        name = shortened(state.answers.name(result.name, number), 19)
        canvas.text(RIGHT, y + step / 2, name, size=11.5, anchor="lm")
        known, room = counts[number] > 0, BARS_END - BARS
        bar(canvas, BARS, y + 2, room, step - 5, share if known else 0, PALE_BLUE)
        if known:
            hits = int(result.confusion[number, number])
            ends = (BARS + room * end for end in metrics.interval(hits, int(counts[number])))
            canvas.line([(x, y + step / 2) for x in ends], INK, 2)
            canvas.text(WIDTH - MARGIN, y + step / 2, percent(share), size=11.5, anchor="rm")


def _meeting(canvas: Canvas, result: PairResult) -> None:
    """In how many videos both heads are right, one, or none; and what chance meeting would give."""
    first, second = result.first, result.second
    canvas.text(RIGHT, 10, f"{result.name}: {percent(result.top1)}", size=15, bold=True)
    low, high = (f"{100 * end:.1f}" for end in result.interval)
    canvas.text(RIGHT, 34, f"95 % interval {low} to {high} %", size=11.5, colour=MUTED)
    a, b = first.ranks == 0, second.ranks == 0
    rows = (
        ("both right", a & b, TEAL),
        (f"only the {first.name}", a & ~b, BLUE),
        (f"only the {second.name}", ~a & b, ORANGE),
        ("neither", ~a & ~b, RED),
    )
    for i, (name, chosen, colour) in enumerate(rows):
        y = 71 + 29 * i
        canvas.text(RIGHT, y, name, size=12, anchor="lm")
        bar(canvas, BARS, y - 10, BARS_END - BARS, 20, chosen.mean(), colour)
        canvas.text(WIDTH - MARGIN, y, percent(chosen.mean()), size=12, anchor="rm")
    lines = (
        f"{first.name} {percent(first.top1)} × {second.name} {percent(second.top1)} = "
        f"{percent(first.top1 * second.top1)}",
        "would be both right if mistakes met at random.",
    )
    canvas.paragraph(RIGHT, 182, lines, 20)
    words = f"Chance is 1 / {first.classes} × 1 / {second.classes} = {percent(result.chance)}."
    canvas.text(RIGHT, 228, words, size=12, colour=MUTED)


def _top_k(canvas: Canvas, ranks: np.ndarray, chance: float, y: float) -> None:
    """How often the right class is among the best k."""
    canvas.text(RIGHT, y, "Right one among the best k", bold=True)
    canvas.text(WIDTH - MARGIN, y + 2, "grey: by chance", size=11.5, colour=MUTED, anchor="ra")
    left, bottom = RIGHT + 20, y + 166
    for k in range(1, 6):
        x, share = left + 64 * (k - 1), metrics.accuracy(ranks, k)
        for part, colour in ((share, PALE_BLUE), (min(k * chance, 1), "#6b72804d")):
            canvas.box(x, bottom - 116 * part, 40, max(116 * part, 1), fill=colour)
        canvas.text(x + 20, bottom - 116 * share - 5, percent(share), size=11, anchor="ms")
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
        self.head = buttons(self.answers.heads)
        self.average = buttons(("softmax", "logits"))
        self.show = buttons(("videos", "share"))
        super().__init__({"Show": [self.head, self.show], "Average": [self.count, self.average]})

    def state(self) -> ConfusionState:
        """The present state of the controls."""
        return self.read(ConfusionState, answers=self.answers)

    def draw(self) -> Canvas:
        return draw(self.state())
