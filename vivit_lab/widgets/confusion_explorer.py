"""Which classes does it confuse? Confusion matrix, accuracy of each class, top-k, verb x noun."""

from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from vivit_lab.training import metrics
from vivit_lab.training.metrics import percent, span
from vivit_lab.training.results import Evaluation, HeadResult, PairResult
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import bar, plural, shortened
from vivit_lab.widgets.evaluation_explorer import Answers, frames_of
from vivit_lab.widgets.surface import Explorer, buttons, dropdown, look

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

    @property
    def result(self) -> HeadResult | PairResult:
        return self.answers.of(self.answers.scores.spread(self.count), self.average, self.head)

    @property
    def heads(self) -> tuple[HeadResult, HeadResult]:
        """Whose classes are the rows, and whose the columns."""
        result = self.result
        return (result.first, result.second) if isinstance(result, PairResult) else (result, result)

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
    _beside(canvas, result)
    _cell(canvas, state)
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
    return [
        f"{n} of {plural(int(of), 'video')}, {percent(n / of)}" if of else "no video"
        for n, of in both
    ]


# ---- beside it


def _beside(canvas: Canvas, result: HeadResult | PairResult) -> None:
    """Of each class, or of two heads how often both, one or none: a bar; below it top-k."""
    if pair := isinstance(result, PairResult):
        first, second = result.first, result.second
        title = f"{result.name}: {percent(result.top1)}"
        note = f"95 % interval (line): {span(result.interval)}"
        what, colours = "meeting", (TEAL, BLUE, ORANGE, RED)
        names = "both right", f"only the {first.name}", f"only the {second.name}", "neither"
        a, b = first.right, second.right
        hits = np.array([(a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()])
        counts = np.full(4, len(a))
        factors = " × ".join(f"{head.name} {percent(head.top1)}" for head in (first, second))
        product = f"{factors} = {percent(first.top1 * second.top1)}"
        lines = product, "is what independent mistakes would give."
        canvas.paragraph(RIGHT, 162, lines, 19)
        words = f"Chance is 1 / {first.classes} × 1 / {second.classes} = {percent(result.chance)}."
        canvas.note(RIGHT, 204, words)
    else:
        title, note = f"Each class · mean {percent(result.mean_per_class)}", "line: 95 % interval"
        what, names, colours = "truth", result.class_names, [PALE_BLUE] * result.classes
        hits, counts = np.diag(result.confusion), result.confusion.sum(axis=1)
    canvas.text(RIGHT, 10, title, size=15, bold=True)
    canvas.note(RIGHT, 32, note)
    step, values = 26 if pair else min(22, 184 / len(names)), _of(hits, counts)
    for i, (name, hit, count) in enumerate(zip(names, hits, counts, strict=True)):
        y = 50 + step * (i + 0.5)
        canvas.text(RIGHT, y, shortened(name, 19), size=12, anchor="lm")
        share = hit / max(count, 1)
        bar(canvas, BARS, y - step / 2 + 2, BARS_END - BARS, step - 4, share, colours[i])
        if count:
            ends = metrics.interval(int(hit), int(count))
            canvas.line([(BARS + (BARS_END - BARS) * end, y) for end in ends], INK, 2)
            canvas.text(WIDTH - MARGIN, y, percent(share), size=12, anchor="rm")
            values[i] += f"\n95 % interval {span(ends)}"
    box = RIGHT - 3, 50, WIDTH - MARGIN - RIGHT + 6, step * len(names)
    says = f"{{{what}}}: {'' if pair else 'right in '}{{value}}"
    canvas.region(*box, says, values, down=(what, names))

    canvas.text(RIGHT, 238, "Right one among the best k", bold=True)
    canvas.note(WIDTH - MARGIN, 239, "dark: by chance", anchor="ra")
    left, bottom, values = RIGHT + 20, 316, []
    for k in range(1, 6):
        x, share = left + 64 * (k - 1), metrics.accuracy(result.ranks, k)
        chance = min(k * result.chance, 1)
        for part, colour in ((share, PALE_BLUE), (chance, PALE)):
            canvas.box(x, bottom - 40 * part, 40, max(40 * part, 1), fill=colour)
        canvas.text(x + 20, bottom - 40 * share - 4, percent(share), 12, anchor="ms")
        canvas.text(x + 20, bottom + 4, f"k = {k}", 12, anchor="ma")
        values.append(f"{percent(share)}, by chance {percent(chance)}")
    canvas.line([(left - 10, bottom), (left + 5 * 64 - 14, bottom)], LINE)
    box = left - 12, 258, 5 * 64, 78
    canvas.region(*box, "among the best {k}: {value}", values, across=("k", range(1, 6)))


def _cell(canvas: Canvas, state: ConfusionState) -> None:
    """The videos of the chosen cell, some at a time."""
    videos, heads, pictures = state.videos, dict.fromkeys(state.heads), state.answers.pictures
    taken = f"{state.truth}, taken for {state.answer}"
    if len(heads) == 2:
        taken = f"{state.truth} and {state.answer}"
    elif state.truth == state.answer:
        taken = f"{state.truth}, and taken for it"
    start, count = SHOWN * (state.page - 1), plural(len(videos), "video")
    shown = videos[start : start + SHOWN].tolist()
    canvas.text(RIGHT, 340, f"The cell's {count}", bold=True, colour=ORANGE)
    canvas.note(RIGHT, 357, shortened(taken, 46))
    these = f", of which {start + 1} to {start + len(shown)} are shown" if shown else ""
    canvas.words += f"The chosen cell ({taken}) has {count}{these}."
    if shown:
        here = f"here: {start + 1} to {start + len(shown)}{', changing' if pictures else ''}"
        canvas.note(WIDTH - MARGIN, 341, here, anchor="ra")
    for i, video in enumerate(shown):
        answers = (head.class_names[head.averaged[video].argmax()] for head in heads)
        file = state.answers.file(video)
        says = f"{file}\nanswer: {' · '.join(answers)}"
        if pictures is None:
            canvas.text(RIGHT, 380 + 24 * i, shortened(file, 46), 12)
            canvas.region(RIGHT, 376 + 24 * i, 340, 24, says, video=video)
            continue
        x, top = RIGHT + 170 * (i % 2), 376 + 86 * (i // 2)
        number = state.answers.scores.numbers[video]
        begin, end = pictures.action(number)  # before and after it nothing happens
        span = max(begin - AROUND, 0), min(end + AROUND, pictures.frames)
        film = frames_of(pictures, number, tuple(range(*span, STRIDE)))
        canvas.frame(x, top, 164, 82, film[len(film) // 2])
        canvas.film(x, top, 164, 82, film, rate=25 / STRIDE)
        edge = TEAL if state.result.right[video] else RED
        canvas.box(x - 2, top - 2, 168, 86, outline=edge, line=2)
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
                    f"The {head} classifier has {logits.shape[2]} classes, but at most "
                    f"{MOST_CLASSES} can be drawn; result.most_confused() lists the worst pairs."
                )
        self.count, self.head, self.average = self.answers.controls()
        self.show = buttons(("videos", "share"))
        names = next(iter(self.answers.names.values()))
        self.truth, self.answer = dropdown("row", names), dropdown("column", names)
        self.page = widgets.IntSlider(1, min=1, max=1, description="page of videos", **look())
        self.adjust(self.head)
        controls = {"Show": [self.head, self.show], "Average": [self.count, self.average]}
        super().__init__(controls | {"Cell": [self.truth, self.answer, self.page]})

    def state(self) -> ConfusionState:
        return self.read(ConfusionState, answers=self.answers)

    def draw(self) -> Canvas:
        return draw(self.state())

    def adjust(self, moved: widgets.Widget) -> None:
        """Another head has other classes: the cell is the one of most mistakes."""
        if moved is self.head:
            state = self.state()
            counts, right = state.counts()
            cell = np.unravel_index((counts - right).argmax(), counts.shape)
            for control, head, n in zip((self.truth, self.answer), state.heads, cell, strict=True):
                self.set_options(control, head.class_names)
                control.value = head.class_names[n]
        if moved not in (self.page, self.show):
            last = max(1, -(-len(self.state().videos) // SHOWN))
            self.set_last(self.page, last, 1)
            self.page.disabled = last == 1
