"""Which classes does it confuse? Confusion matrix, accuracy of each class, top-k, verb x noun."""

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from vivit_lab.data import LongVideos
from vivit_lab.training import metrics
from vivit_lab.training.metrics import percent
from vivit_lab.training.results import Evaluation, HeadResult, PairResult
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import bar, plural, shortened
from vivit_lab.widgets.evaluation_explorer import THUMB, Answers, frames_of
from vivit_lab.widgets.surface import Explorer, buttons, dropdown, legal_slider, look

WIDTH, HEIGHT, MARGIN = 920, 546, 14
LEFT, TOP = 160, 124  # of the matrix
RIGHT = 566  # where the right part begins
BARS, BARS_END = RIGHT + 136, WIDTH - MARGIN - 56
PALE_BLUE, PALE = f"{BLUE}80", f"{MUTED}66"
MOST_CLASSES = 12
SHOWN = 4  # videos of a cell at once
STRIDE, AROUND = 2, 4  # frames of a video from one to the next; before and after the action


@dataclass(frozen=True)
class ConfusionState:
    """All that the picture depends on."""

    answers: Answers
    count: int  # of views, those that see most of a video
    average: str
    head: str
    show: str  # "videos" | "share", of the row
    truth: str  # class of the row of the chosen cell
    answer: str  # class of its column
    page: int  # of the cell's videos, from 1
    pictures: LongVideos | None  # None: the videos are not ours to draw

    @property
    def result(self) -> HeadResult | PairResult:
        return self.answers.of(self.answers.scores.spread(self.count), self.average, self.head)

    @property
    def heads(self) -> tuple[HeadResult, HeadResult]:
        """Whose classes are the rows, and whose the columns."""
        result = self.result
        both = isinstance(result, PairResult)
        return (result.first, result.second) if both else (result, result)

    @property
    def places(self) -> np.ndarray:
        """Row and column of each video: int (2, videos)."""
        first, second = self.heads
        columns = second.averaged.argmax(axis=1) if first is second else second.labels
        return np.stack([first.labels, columns])

    def counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each cell the videos, and how many of them are right: int (rows, columns)."""
        counts = np.zeros((2, *(head.classes for head in self.heads)), int)
        np.add.at(counts, (0, *self.places), 1)
        np.add.at(counts, (1, *self.places), self.result.right)
        return counts

    @property
    def videos(self) -> np.ndarray:
        """Of the chosen cell, by row of the scores."""
        names = zip((self.truth, self.answer), self.heads, strict=True)
        cell = [[list(head.class_names).index(name)] for name, head in names]
        return np.flatnonzero((self.places == cell).all(axis=0))


def draw(state: ConfusionState) -> Canvas:
    """A matrix on the left; on the right accuracy by class, top-k, and a cell's videos."""
    canvas, result = Canvas(WIDTH, HEIGHT), state.result
    canvas.words = (
        f"{result.name}, {plural(state.count, 'view')}, {state.average} averaged: "
        f"{percent(result.top1)} of {plural(len(result.right), 'video')} are right. "
    )
    _matrix(canvas, state)
    if isinstance(result, PairResult):
        _meeting(canvas, result)
    else:
        _per_class(canvas, result)
    _top_k(canvas, result, 238)
    _cell(canvas, state, 340)
    return canvas


# ---- the matrix


def _matrix(canvas: Canvas, state: ConfusionState) -> None:
    """What is taken for what; of two heads, in how many of its videos both are right."""
    (first, second), (counts, right) = state.heads, state.counts()
    rows, columns, both = list(first.class_names), list(second.class_names), first is not second
    title, what = f"{first.name}: what is taken for what", "row: the truth, column: the answer"
    found, of = counts, np.repeat(counts.sum(axis=1, keepdims=True), len(columns), axis=1)
    says = "{truth}, taken for {answer}:\n{value}"
    if both:
        title = f"{state.head}: {first.name} and {second.name} both right"
        what = f"row: {first.name}, column: {second.name}"
        found, of, says = right, counts, "{truth}, {answer}:\nboth right in {value}"
    canvas.text(MARGIN, 10, title, size=15, bold=True)
    views = f"{plural(state.count, 'view')}, {state.average} averaged"
    canvas.note(MARGIN, 32, f"{plural(int(counts.sum()), 'video')}, {views} · {what}")
    width, height = min(384 / len(columns), 77), min(408 / len(rows), 51)
    chosen = rows.index(state.truth), columns.index(state.answer)
    for place, count in np.ndenumerate(found):
        x, y = LEFT + width * place[1], TOP + height * place[0]
        share, good = count / max(of[place], 1), both or place[0] == place[1]
        alpha = int(20 + 106 * share) if count else 0  # pale enough to read words on
        edge = {"outline": ORANGE, "line": 3} if place == chosen else {"outline": LINE}
        fill = f"{TEAL if good else RED}{alpha:02x}"
        canvas.box(x + 1, y + 1, width - 3, height - 3, fill=fill, **edge)
        if count or good:
            words = f"{count} of {of[place]}" if both else f"{count}"
            if not of[place]:
                words = "-"
            elif state.show == "share":
                words = f"{100 * share:.0f} %"
            canvas.text(x + width / 2, y + height / 2, words, 12, anchor="mm")
    box = LEFT, TOP, width * len(columns), height * len(rows)
    canvas.region(*box, says, _of(found, of), ("answer", columns), ("truth", rows))

    good = right if both else np.diag(np.diag(counts))
    for number, name in enumerate(rows):
        y, colour = TOP + height * (number + 0.5), ORANGE if name == state.truth else INK
        canvas.text(LEFT - 10, y, shortened(name, 20), 12, colour, anchor="rm")
    values, box = _of(good.sum(axis=1), counts.sum(axis=1)), (6, TOP, LEFT - 6, box[3])
    canvas.region(*box, "{truth}:\nright in {value}", values, down=("truth", rows))
    values = _of(good.sum(axis=0), counts.sum(axis=0))
    lines = [name.rpartition(" ")[::2] for name in columns]
    crowded = any(7 * len(part) > width for parts in lines for part in parts)
    for number, (name, parts) in enumerate(zip(columns, lines, strict=True)):
        x, y, half = LEFT + width * (number + 0.5), TOP - 34, width / 2
        if crowded:  # names at two heights: each has the width of two columns
            y, half = y - 31 * (number % 2 == 0), width
            parts = [shortened(part, int(2 * width / 7)) for part in parts]
            canvas.line([(x, y + 30), (x, TOP - 2)], LINE)
        canvas.paragraph(x, y, parts, 14, 12, ORANGE if name == state.answer else INK, "ma")
        says = f"{{answer}}:\n{'' if both else 'the answer, '}right in {values[number]}"
        canvas.region(x - half, y - 1, 2 * half, 31, says, answer=name)


def _of(parts: np.ndarray, wholes: np.ndarray) -> list[str]:
    """Counts and shares in words."""
    both = zip(parts.flat, wholes.flat, strict=True)
    return [f"{n} of {plural(int(of), 'video')}, {percent(n / max(of, 1))}" for n, of in both]


# ---- beside it


def _per_class(canvas: Canvas, result: HeadResult) -> None:
    """A bar a class, with its interval: few videos a class, wide intervals."""
    title = f"Each class · mean {percent(result.mean_per_class)}"
    canvas.text(RIGHT, 10, title, size=15, bold=True)
    canvas.note(RIGHT, 32, "line: 95 % interval")
    step, values = min(22, 184 / result.classes), []
    for number, row in enumerate(result.confusion):
        y, hits, count = 50 + step * number, int(row[number]), int(row.sum())
        middle, share = y + step / 2, hits / max(count, 1)
        name = shortened(result.class_names[number], 19)
        canvas.text(RIGHT, middle, name, size=12, anchor="lm")
        bar(canvas, BARS, y + 2, BARS_END - BARS, step - 4, share, PALE_BLUE)
        values.append("no video")
        if count:
            ends = metrics.interval(hits, count)
            canvas.line([(BARS + (BARS_END - BARS) * end, middle) for end in ends], INK, 2)
            canvas.text(WIDTH - MARGIN, middle, percent(share), size=12, anchor="rm")
            low, high = (f"{100 * end:.1f}" for end in ends)
            values[-1] = f"{hits} of {plural(count, 'video')}, {percent(share)}"
            values[-1] += f"\n95 % interval {low} to {high} %"
    box = RIGHT - 3, 50, WIDTH - MARGIN - RIGHT + 6, step * result.classes
    says = "{truth}: right in {value}"
    canvas.region(*box, says, values, down=("truth", result.class_names))


def _meeting(canvas: Canvas, result: PairResult) -> None:
    """In how many videos both heads are right, one, or none; and what chance meeting would give."""
    first, second = result.first, result.second
    canvas.text(RIGHT, 10, f"{result.name}: {percent(result.top1)}", size=15, bold=True)
    low, high = (f"{100 * end:.1f}" for end in result.interval)
    canvas.note(RIGHT, 32, f"95 % interval {low} to {high} %")
    a, b = first.right, second.right
    rows = (
        ("both right", a & b, TEAL),
        (f"only the {first.name}", a & ~b, BLUE),
        (f"only the {second.name}", ~a & b, ORANGE),
        ("neither", ~a & ~b, RED),
    )
    for i, (name, chosen, colour) in enumerate(rows):
        y = 64 + 26 * i
        canvas.text(RIGHT, y, name, size=12, anchor="lm")
        bar(canvas, BARS, y - 9, BARS_END - BARS, 18, chosen.mean(), colour)
        canvas.text(WIDTH - MARGIN, y, percent(chosen.mean()), size=12, anchor="rm")
        box = RIGHT - 3, y - 13, WIDTH - MARGIN - RIGHT + 6, 26
        canvas.region(*box, f"{name}: {chosen.sum()} of {plural(len(chosen), 'video')}", meeting=i)
    factors = " × ".join(f"{head.name} {percent(head.top1)}" for head in (first, second))
    product = f"{factors} = {percent(first.top1 * second.top1)}"
    lines = product, "would be both right if mistakes met at random."
    canvas.paragraph(RIGHT, 162, lines, 19)
    words = f"Chance is 1 / {first.classes} × 1 / {second.classes} = {percent(result.chance)}."
    canvas.note(RIGHT, 204, words)


def _top_k(canvas: Canvas, result: HeadResult | PairResult, y: float) -> None:
    """How often the right class is among the best k."""
    canvas.text(RIGHT, y, "Right one among the best k", bold=True)
    canvas.note(WIDTH - MARGIN, y + 1, "grey: by chance", anchor="ra")
    left, bottom, values = RIGHT + 20, y + 78, []
    for k in range(1, 6):
        x, share = left + 64 * (k - 1), metrics.accuracy(result.ranks, k)
        chance = min(k * result.chance, 1)
        for part, colour in ((share, PALE_BLUE), (chance, PALE)):
            canvas.box(x, bottom - 40 * part, 40, max(40 * part, 1), fill=colour)
        canvas.text(x + 20, bottom - 40 * share - 4, percent(share), 12, anchor="ms")
        canvas.text(x + 20, bottom + 4, f"k = {k}", 12, anchor="ma")
        values.append(f"{percent(share)}, by chance {percent(chance)}")
    canvas.line([(left - 10, bottom), (left + 5 * 64 - 14, bottom)], LINE)
    box = left - 12, y + 20, 5 * 64, 78
    canvas.region(*box, "among the best {k}: {value}", values, across=("k", range(1, 6)))


def _cell(canvas: Canvas, state: ConfusionState, y: float) -> None:
    """The videos of the chosen cell, some at a time."""
    videos, heads, pictures = state.videos, dict.fromkeys(state.heads), state.pictures
    taken = f"{state.truth}, taken for {state.answer}"
    if len(heads) == 2:
        taken = f"{state.truth} and {state.answer}"
    elif state.truth == state.answer:
        taken = f"{state.truth}, and taken for it"
    start, count = SHOWN * (state.page - 1), plural(len(videos), "video")
    shown = videos[start : start + SHOWN].tolist()
    canvas.text(RIGHT, y, f"The cell's {count}", bold=True, colour=ORANGE)
    canvas.note(RIGHT, y + 17, shortened(taken, 46))
    canvas.words += f"The chosen cell ({taken}) has {count}"
    if shown:
        these = f"{start + 1} to {start + len(shown)}"
        what = "" if pictures is None else ", the action"
        canvas.note(WIDTH - MARGIN, y + 1, f"here: {these}{what}", anchor="ra")
        canvas.words += f", of which {these} are shown"
    canvas.words += "."
    for i, video in enumerate(shown):
        answers = (head.class_names[head.averaged[video].argmax()] for head in heads)
        file = state.answers.file(video)
        says = f"{file}\nanswer: {' · '.join(answers)}"
        if pictures is None:
            canvas.text(RIGHT, y + 40 + 24 * i, shortened(file, 46), 12)
            canvas.region(RIGHT, y + 36 + 24 * i, 340, 24, says, video=video)
            continue
        x, top = RIGHT + 170 * (i % 2), y + 36 + 86 * (i // 2)
        number, colour = state.answers.number(video), TEAL if state.result.right[video] else RED
        begin, end = pictures.action(number)  # before and after it nothing happens
        span = max(begin - AROUND, 0), min(end + AROUND, pictures.frames)
        film = frames_of(pictures, number, tuple(range(*span, STRIDE)))
        canvas.frame(x, top, 164, 82, film[len(film) // 2])
        canvas.film(x, top, 164, 82, film, rate=25 / STRIDE)
        canvas.box(x - 2, top - 2, 168, 86, outline=colour, line=2)
        canvas.region(x, top, 164, 82, says, video=video)


class ConfusionExplorer(Explorer):
    """Confusion matrix, accuracy by class and top-k of each head; of two heads also their pair.

    result: an evaluation with at most 12 classes a head; None: the stored one of 800 long videos,
    which can be played. The views are those that see most of a video. No model is needed.

    Raises ValueError for more classes, FileNotFoundError without scores.

    Example:
        >>> explorer = ConfusionExplorer()
        >>> explorer.head.value = "noun"
        >>> explorer.state().result.confusion.shape
        (5, 5)
    """

    width, height = WIDTH, HEIGHT
    arrows = "answer", "truth", "page"

    def __init__(self, result: Evaluation | None = None):
        self.answers = Answers(result)
        for head, logits in self.answers.scores.logits.items():
            if logits.shape[2] > MOST_CLASSES:
                raise ValueError(
                    f"The {head} head has {logits.shape[2]} classes, but at most {MOST_CLASSES} "
                    "can be drawn; result.most_confused() lists the pairs that matter."
                )
        self.pictures = LongVideos(height=THUMB) if result is None else None
        views = self.answers.scores.views
        self.count = legal_slider("views", range(1, views + 1), views)
        self.head = buttons(self.answers.heads)
        self.average = buttons(("softmax", "logits"))
        self.show = buttons(("videos", "share"))
        names = self.answers.names[next(iter(self.answers.names))]
        self.truth, self.answer = dropdown("row", names), dropdown("column", names)
        self.page = widgets.IntSlider(1, min=1, max=1, description="page of videos", **look())
        self.adjust(self.head)
        controls = {"Show": [self.head, self.show], "Average": [self.count, self.average]}
        super().__init__(controls | {"Cell": [self.truth, self.answer, self.page]})

    def state(self) -> ConfusionState:
        return self.read(ConfusionState, answers=self.answers, pictures=self.pictures)

    def draw(self) -> Canvas:
        return draw(self.state())

    def adjust(self, moved: widgets.Widget) -> None:
        """Another head has other classes: the cell is the one of most mistakes."""
        if moved is self.head:
            state = self.state()
            counts, right = state.counts()
            row, column = np.unravel_index((counts - right).argmax(), counts.shape)
            truths, answers = (head.class_names for head in state.heads)
            self.set_options(self.truth, truths)
            self.set_options(self.answer, answers)
            self.truth.value, self.answer.value = truths[row], answers[column]
        if moved not in (self.page, self.show):
            last = max(1, -(-len(self.state().videos) // SHOWN))
            self.set_last(self.page, last, 1)
            self.page.disabled = last == 1
