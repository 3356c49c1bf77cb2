"""Which classes does it confuse? Confusion matrix, accuracy of each class, top-k, verb x noun."""

from dataclasses import dataclass

import numpy as np

from vivit_lab.training import metrics
from vivit_lab.training.metrics import percent
from vivit_lab.training.results import Evaluation, HeadResult, PairResult
from vivit_lab.widgets.canvas import BLUE, INK, LINE, ORANGE, RED, TEAL, Canvas
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
    counts, right = result.confusion, np.eye(result.classes, dtype=bool)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    title = f"{result.name}: what is taken for what", "row: the truth, column: the answer"
    _matrix(canvas, state, title, (result, result), shares, counts.astype(str), right)


def _pair_matrix(canvas: Canvas, state: ConfusionState, result: PairResult) -> None:
    first, second = result.first, result.second
    hits, counts = np.zeros((2, first.classes, second.classes), int)
    np.add.at(counts, (first.labels, second.labels), 1)
    np.add.at(hits, (first.labels, second.labels), result.right)
    both = zip(hits.flat, counts.flat, strict=True)
    words = [f"{hit} of {count}" if count else "-" for hit, count in both]
    words = np.reshape(words, counts.shape)
    title = f"{result.name}: {first.name} and {second.name} both right"
    title = title, f"row: {first.name}, column: {second.name}"
    shares = hits / np.maximum(counts, 1)
    _matrix(canvas, state, title, (first, second), shares, words, counts >= 0)


def _matrix(canvas: Canvas, state: ConfusionState, title, heads, shares, words, right) -> None:
    """right: which cells are of right answers."""
    videos = plural(state.answers.scores.videos, "video")
    views = f"{plural(state.count, 'view')}, {state.average} averaged"
    canvas.text(MARGIN, 10, title[0], size=15, bold=True)
    canvas.note(MARGIN, 34, f"{videos}, {views} · {title[1]}", 11.5)
    width, height = min(384 / shares.shape[1], 77), min(352 / shares.shape[0], 44)
    for number, name in enumerate(heads[0].class_names):
        y = TOP + height * (number + 0.5)
        canvas.text(LEFT - 10, y, shortened(name, 20), size=11.5, anchor="rm")
    lines = [name.rpartition(" ")[::2] for name in heads[1].class_names]
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
        alpha = 0 if share == 0 else int(24 + 150 * share)  # pale enough to read dark words on
        fill = f"{TEAL if right[place] else RED}{alpha:02x}"
        canvas.box(x + 1, y + 1, width - 3, height - 3, fill=fill, outline=LINE)
        if share > 0 or right[place]:
            count = str(words[place])
            text = count if state.show == "videos" or count == "-" else f"{100 * share:.0f} %"
            size = 12 if width > 50 else 11
            canvas.text(x + width / 2, y + height / 2, text, size, anchor="mm")


# ---- beside them


def _per_class(canvas: Canvas, state: ConfusionState, result: HeadResult) -> None:
    """A bar a class, with its interval: few videos a class, wide intervals."""
    title = f"Each class · mean {percent(result.mean_per_class)}"
    canvas.text(RIGHT, 10, title, size=15, bold=True)
    canvas.note(RIGHT, 34, "line: 95 % interval", 11.5)
    step, room = min(25, 212 / result.classes), BARS_END - BARS
    for number, row in enumerate(result.confusion):
        y, hits, count = 60 + step * number, int(row[number]), int(row.sum())
        middle, share = y + step / 2, hits / max(count, 1)
        name = shortened(result.class_names[number], 19)
        canvas.text(RIGHT, middle, name, size=11.5, anchor="lm")
        bar(canvas, BARS, y + 2, room, step - 5, share, PALE_BLUE)
        if count:
            ends = metrics.interval(hits, count)
            canvas.line([(BARS + room * end, middle) for end in ends], INK, 2)
            canvas.text(WIDTH - MARGIN, middle, percent(share), size=11.5, anchor="rm")


def _meeting(canvas: Canvas, result: PairResult) -> None:
    """In how many videos both heads are right, one, or none; and what chance meeting would give."""
    first, second = result.first, result.second
    canvas.text(RIGHT, 10, f"{result.name}: {percent(result.top1)}", size=15, bold=True)
    low, high = (f"{100 * end:.1f}" for end in result.interval)
    canvas.note(RIGHT, 34, f"95 % interval {low} to {high} %", 11.5)
    a, b = first.right, second.right
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
    factors = " × ".join(f"{head.name} {percent(head.top1)}" for head in (first, second))
    product = f"{factors} = {percent(first.top1 * second.top1)}"
    lines = product, "would be both right if mistakes met at random."
    canvas.paragraph(RIGHT, 182, lines, 20)
    words = f"Chance is 1 / {first.classes} × 1 / {second.classes} = {percent(result.chance)}."
    canvas.note(RIGHT, 228, words, 12)


def _top_k(canvas: Canvas, ranks: np.ndarray, chance: float, y: float) -> None:
    """How often the right class is among the best k."""
    canvas.text(RIGHT, y, "Right one among the best k", bold=True)
    canvas.note(WIDTH - MARGIN, y + 2, "grey: by chance", 11.5, "ra")
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
        return self.read(ConfusionState, answers=self.answers)

    def draw(self) -> Canvas:
        return draw(self.state())
