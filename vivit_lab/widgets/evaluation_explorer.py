"""How good is it, with how many views? Accuracy against cost, and one video's views in detail."""

import bisect
import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from vivit_lab.analysis.flops import in_units
from vivit_lab.data import LongVideos
from vivit_lab.data.samples import ASSETS
from vivit_lab.training.metrics import percent, softmax, span
from vivit_lab.training.results import Evaluation, HeadResult, PairResult, load_evaluation
from vivit_lab.video import ByFrame
from vivit_lab.widgets.canvas import BLUE, DIM, INK, LINE, MUTED, ORANGE, RED, TEAL, TRACK, Canvas
from vivit_lab.widgets.charts import Plot, plural, round_steps, shortened
from vivit_lab.widgets.footage import Clip
from vivit_lab.widgets.surface import Explorer, buttons, dropdown, legal_slider, look

STORED = ASSETS / "scores" / "long_videos.npz"  # what assets/score_views.py makes
LISTS = (  # which videos to look at; "these" are the views that are switched on
    "all videos",
    "wrong with 1 view, right with these",
    "right with 1 view, wrong with these",
    "wrong with these",
    "softmax right, logits wrong",
    "logits right, softmax wrong",
)
WIDTH, HEIGHT, MARGIN = 920, 540, 14
LEFT_END, RIGHT = 384, 412  # where the left half ends, and the right one begins
CROPS = {1: ("centre",), 3: ("left", "centre", "right")}
MOST_CLIPS, THUMB = 4, 48
CLIPS = ByFrame(clip_frames=8, stride=2)  # of the stored evaluation


class Answers:
    """An evaluation, asked for any views, average and head; what was worked out once is kept."""

    def __init__(self, result: Evaluation | None = None):
        stored, result = result is None, result or load_evaluation(STORED)
        self.scores = result.scores
        self.heads = tuple(result.results)
        self.names = {name: head.class_names for name, head in result.heads.items()}
        self.pictures = LongVideos(height=THUMB) if stored else None  # None: not ours to draw
        clips, crops = (sorted({place[axis] for place in self.scores.places}) for axis in (0, 1))
        self.clips, self.crops = [clip + 1 for clip in clips], CROPS.get(len(crops), crops)
        self.places = [(clips.index(clip), crops.index(crop)) for clip, crop in self.scores.places]
        self.named = [{"clip": self.clips[i], "crop": self.crops[j]} for i, j in self.places]
        self._of = functools.lru_cache(maxsize=128)(
            lambda views, average: Evaluation(self.scores.select(views), average)
        )

    def of(self, views: Sequence[int], average: str, head: str) -> HeadResult | PairResult:
        return self._of(tuple(views), average)[head]

    def controls(self) -> tuple[widgets.Widget, widgets.Widget, widgets.Widget]:
        """How many views, of which head, averaged how."""
        count = legal_slider("views", range(1, self.scores.views + 1), self.scores.views)
        return count, buttons(self.heads), buttons(("softmax", "logits"))

    def file(self, video: int) -> str:
        return self.scores.names[video].replace("\\", "/").split("/")[-1]

    def lists(self, views: Sequence[int], average: str, head: str) -> dict[str, np.ndarray]:
        """The videos of each of LISTS, by row of the scores: int (n,), maybe none."""
        now = self.of(views, average, head).right
        one = self.of(self.scores.spread(1), average, head).right
        softmax, logits = (self.of(views, way, head).right for way in ("softmax", "logits"))
        every, mended, spoilt = now | True, now & ~one, one & ~now
        masks = every, mended, spoilt, ~now, softmax & ~logits, logits & ~softmax
        return dict(zip(LISTS, map(np.flatnonzero, masks), strict=True))


@dataclass(frozen=True)
class EvaluationState:
    """All that the picture depends on."""

    answers: Answers
    views: tuple[int, ...]  # those that are switched on
    average: str  # "softmax" | "logits"
    head: str
    which: str  # one of LISTS
    videos: tuple[int, ...]  # that list, by row
    place: int  # in it

    @property
    def result(self) -> HeadResult | PairResult:
        return self.answers.of(self.views, self.average, self.head)

    @property
    def video(self) -> int | None:
        """Row of the video in view; None where the list is empty."""
        return self.videos[self.place] if self.videos else None

    @property
    def truths(self) -> dict[str, int]:
        """Head -> the right class of the video in view; of a pair both heads."""
        labels = self.answers.scores.labels
        heads = (self.head,) if self.head in labels else tuple(labels)
        return {head: int(labels[head][self.video]) for head in heads}


# ---- all videos


def draw(state: EvaluationState) -> Canvas:
    """On the left all videos: accuracy against cost. On the right one of them, view by view."""
    canvas, result = Canvas(WIDTH, HEIGHT), state.result
    canvas.words = (
        f"{state.head}, {state.average} averaged: with {len(state.views)} of "
        f"{plural(state.answers.scores.views, 'view')} {percent(result.top1)} of "
        f"{plural(len(result.right), 'video')} are right. "
    )
    _curve(canvas, state)
    _summary(canvas, state)
    canvas.line([(398, 12), (398, HEIGHT - 12)], LINE)
    if state.videos:
        _video(canvas, state)
    else:
        canvas.text(RIGHT, 10, "No video", size=15, bold=True)
        none = f"No video is “{state.which}”."
        canvas.text(RIGHT, 40, none, colour=MUTED)
        canvas.words += none
    return canvas


def _curve(canvas: Canvas, state: EvaluationState) -> None:
    answers, now, count = state.answers, state.result, len(state.views)
    counts = range(1, answers.scores.views + 1)
    results = [answers.of(answers.scores.spread(n), state.average, state.head) for n in counts]
    canvas.text(MARGIN, 10, f"{state.head} accuracy against cost", size=15, bold=True)
    lows, highs = zip(*(result.interval for result in results), strict=True)
    low, high = min(*lows, now.interval[0]) - 0.02, max(*highs, now.interval[1]) + 0.02
    ticks, top1 = round_steps(low, high), [result.top1 for result in results]
    plot = Plot(canvas, 66, 44, LEFT_END - 74, 160, (1, max(len(results), 2)), (low, high))
    if len(results) > 1:
        plot.band(counts, lows, highs, f"{BLUE}22")
    plot.grid(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    plot.marks(counts, map(str, counts), strong=count)
    plot.line(counts, top1, BLUE, 2)
    plot.dots(counts, top1, BLUE, 2.5)
    plot.line([count, count], now.interval, ORANGE, 2)
    for x, y in plot.place([count, count], now.interval):
        canvas.line([(x - 5, y), (x + 5, y)], ORANGE, 2)
    plot.dots([count], [now.top1], ORANGE, 5)
    says = [f"{percent(each.top1)}\n95 % interval {span(each.interval)}" for each in results]
    if macs := answers.scores.origin.macs:
        says = [f"{each}\n{in_units(n * macs)}MACs" for n, each in enumerate(says, 1)]
    plot.region("views: {count}, the centre crops first\n{value}", "count", counts, says)
    what = "number of views (first: the centre crops)"
    canvas.note(plot.left + plot.width / 2, 228, what, anchor="ma")


def _summary(canvas: Canvas, state: EvaluationState) -> None:
    """The figures of the views that are on, and each view's accuracy as a grid."""
    answers, now, count = state.answers, state.result, len(state.views)
    cost, macs = "cost unknown", answers.scores.origin.macs
    if macs:
        cost = f"cost {count} × {in_units(macs)}MACs = {in_units(count * macs)}MACs a video"
    lists = answers.lists(state.views, state.average, state.head)
    _, mended, spoilt, _, softmax, logits = map(len, lists.values())
    title = f"{plural(count, 'view')}: {percent(now.top1)}"
    canvas.text(MARGIN, 256, title, 15, ORANGE, bold=True)
    lines = (
        f"95 % interval {span(now.interval)}, over {plural(answers.scores.videos, 'video')}",
        cost,
        f"against 1 view: {mended} wrong → right, {spoilt} right → wrong",
        f"only softmax is right: {softmax} · only logits: {logits}",
    )
    canvas.paragraph(MARGIN, 279, lines, 18)

    canvas.text(MARGIN, 362, "Each view on its own", bold=True)
    every = answers.of(range(answers.scores.views), "softmax", state.head)
    alone = [percent(share) for share in (every.view_ranks == 0).mean(axis=0)]
    for view, (clip, crop) in enumerate(answers.places):
        x, y, on = 74 + 78 * crop, 402 + 30 * clip, view in state.views
        canvas.box(x, y, 72, 26, fill=f"{BLUE}2e" if on else TRACK, radius=4)
        canvas.text(x + 36, y + 13, alone[view], 12, INK if on else MUTED, bold=on, anchor="mm")
    _grid(canvas, state, (71, 400, 78, 30), MARGIN, "on its own: right in {value}", alone)


def _grid(canvas: Canvas, state: EvaluationState, cells, left, says: str, values) -> None:
    """Names and regions of a grid of views, whose first is at `cells` (x, y, width, height)."""
    x, y, width, height = cells
    clips, crops, on = state.answers.clips, state.answers.crops, state.views
    across, down = ("crop", crops), ("clip", clips)
    values = [
        f"{values[view]}\npress to {'leave it out' if view in on else 'take it in'}"
        for view in sorted(range(len(values)), key=state.answers.places.__getitem__)
    ]
    place = x, y, width * len(crops), height * len(clips)
    canvas.region(*place, f"clip {{clip}}, {{crop}}, {says}", values, across, down)
    canvas.region(x, y - 20, place[2], 18, "{crop}: press for all its views", across=across)
    box = left - 3, y, x - left, place[3]
    canvas.region(*box, "clip {clip}: press for all its views", down=down)
    for i, crop in enumerate(crops):
        canvas.note(x + width * (i + 0.5), y - 18, crop, anchor="ma")
    for i, clip in enumerate(clips):
        canvas.text(left, y + height * i + 16, f"clip {clip}", 12, anchor="lm")


# ---- one video


def _video(canvas: Canvas, state: EvaluationState) -> None:
    answers, truths, names = state.answers, state.truths, state.answers.names
    title = f"Video {state.place + 1} of {len(state.videos)}: {_classes(state, truths)}"
    canvas.text(RIGHT, 10, shortened(title, 49), size=15, bold=True)
    canvas.note(RIGHT, 32, f"{state.which} · {shortened(answers.file(state.video), 24)}")
    canvas.note(RIGHT, HEIGHT - 22, "Teal: the true class. Red: wrong, but highest.")
    each = {head: answers.scores.logits[head][state.video].astype(float) for head in truths}
    if state.average == "softmax":
        each = {head: softmax(logits) for head, logits in each.items()}
    low, high = _edges(each, state.average)
    best = [
        _best({head: values[view] for head, values in each.items()})
        for view in range(answers.scores.views)
    ]
    says = [f"{_classes(state, one)}, {'right' if one == truths else 'wrong'}" for one in best]
    _grid(canvas, state, (RIGHT + 52, 69, 150, 64), RIGHT, "{value}", says)
    films = _films(canvas, state) if answers.pictures else ()
    for view, (clip, crop) in enumerate(answers.places):
        x, y, on = RIGHT + 56 + 150 * crop, 72 + 64 * clip, view in state.views
        outline = (TEAL if best[view] == truths else RED) if on else LINE
        canvas.box(x, y, 142, 58, outline=outline, line=2 if on else 1, radius=4)
        left, top, bottom = x + 5, y + 6, y + 52
        if films:
            start, box = crop * THUMB // 2, (left, y + 5, THUMB, THUMB)
            square = start, 0, start + THUMB, THUMB
            canvas.frame(*box, films[clip][CLIPS.clip_frames // 2], square, fade=0 if on else 0.5)
            canvas.film(*box, films[clip], rate=25 / CLIPS.stride, crop=square)
            left += THUMB + 6
        pixel = (bottom - top) / (high - low)  # of 1
        zero = bottom + pixel * low
        step = (x + 137 - left) / (sum(map(len, map(names.get, each))) + 1.5 * (len(each) - 1))
        canvas.line([(left, zero), (x + 137, zero)], LINE)
        for head, values in each.items():  # one upright bar a class
            words = []
            for number, value in enumerate(values[view]):
                at, end = left + step * number, bottom - pixel * (value - low)
                colour = _colour(values[view], number, truths[head]) if on else LINE
                size = max(step - 1.5, 1.5), max(abs(end - zero), 1)
                canvas.box(at, min(end, zero), *size, fill=colour)
                words.append(f"{names[head][number]}: {_figure(value, state, 1)}")
            place = left, top, step * len(words), bottom - top
            classes, named = (f"class {head}", range(len(words))), answers.named[view]
            canvas.region(*place, across=classes)  # lights up in every view; the next in its own
            canvas.region(*place, "clip {clip}, {crop}\n{value}", words, classes, **named)
            left += step * (len(words) + 1.5)
    _average(canvas, state, each)


def _classes(state: EvaluationState, numbers: dict[str, int]) -> str:
    return " · ".join(state.answers.names[head][number] for head, number in numbers.items())


def _figure(value: float, state: EvaluationState, more: int = 0) -> str:
    """A mean or a score, with `more` digits."""
    return f"{100 * value:.{more}f} %" if state.average == "softmax" else f"{value:.{1 + more}f}"


def _best(scores: dict[str, np.ndarray]) -> dict[str, int]:
    return {head: int(values.argmax()) for head, values in scores.items()}


def _colour(values: np.ndarray, number: int, truth: int) -> str:
    return TEAL if number == truth else RED if number == values.argmax() else DIM


def _edges(each: dict[str, np.ndarray], average: str) -> tuple[float, float]:
    """The lowest and the highest value of some charts, 0 among them."""
    values = np.concatenate([values.ravel() for values in each.values()])
    return (0, 1) if average == "softmax" else (min(0, values.min()), max(0, values.max()))


def _films(canvas: Canvas, state: EvaluationState) -> list[list]:
    """Each clip's frames, and on a line as long as the video where clip and action are."""
    videos, number = state.answers.pictures, state.answers.scores.numbers[state.video]
    clips = CLIPS.test(np.arange(videos.frames) / 25, MOST_CLIPS)  # numbers of frames
    first, stop = videos.action(number)
    length, pixel = 46, 46 / videos.frames  # of a frame
    note = "Blue: the clip. Orange: the change."
    canvas.note(WIDTH - MARGIN, HEIGHT - 22, note, anchor="ra")
    for i, (start, *_, last) in enumerate(clips):
        y = 72 + 64 * i
        for top, colour, begin, end in ((34, BLUE, start, last + 1), (41, ORANGE, first, stop)):
            canvas.box(RIGHT, y + top, length, 4, fill=LINE)
            canvas.box(RIGHT + pixel * begin, y + top, pixel * (end - begin), 4, fill=colour)
    says = "clip {clip}: frames {value}\npress for all its views"
    seen = [f"{clip[0]} to {clip[-1]}, the change {first} to {stop - 1}" for clip in clips]
    canvas.region(
        RIGHT - 3, 69, 55, 64 * len(clips), says, seen, down=("clip", state.answers.clips)
    )
    every, size = frames_of(videos, number, tuple(clips.ravel().tolist())), CLIPS.clip_frames
    return [every[i : i + size] for i in range(0, len(every), size)]


@functools.lru_cache(maxsize=64)
def frames_of(videos: LongVideos, number: int, frames: tuple[int, ...]) -> list:
    """Some frames of a video, twice as wide as high."""
    return Clip(videos.draw([number], np.array([frames]))[0].transpose(0, 2, 3, 1)).pictures


def _average(canvas: Canvas, state: EvaluationState, each: dict[str, np.ndarray]) -> None:
    """What the average of the views that are on says, class by class."""
    top, truths = 78 + 64 * len(state.answers.clips), state.truths
    kind = "probabilities" if state.average == "softmax" else "logits"
    means = {head: values[list(state.views)].mean(axis=0) for head, values in each.items()}
    words = f"Mean of the {kind}, {plural(len(state.views), 'view')}:"
    canvas.text(RIGHT, top, words, bold=True)
    best = _best(means)
    said, colour = ("right", TEAL) if best == truths else ("wrong", RED)
    canvas.text(WIDTH - MARGIN, top, said, bold=True, colour=colour, anchor="ra")
    canvas.words += (
        f"Video {state.place + 1} of {len(state.videos)} ({state.which}) is "
        f"{_classes(state, truths)}, and taken for {_classes(state, best)}: {said}."
    )
    low, high = _edges(means, state.average)
    pitch, first = (WIDTH - MARGIN - RIGHT + 24) / len(means), 150 if len(means) == 1 else 130
    pixel = (pitch - 24 - 46 - first) / (high - low)  # of 1
    for i, (head, mean) in enumerate(means.items()):
        left, words = RIGHT + i * pitch, []
        right, zero = left + pitch - 24, left + first - pixel * low
        shown = np.sort(np.argsort(-mean, kind="stable")[:8]).tolist()
        for line, number in enumerate(shown):
            y, name = top + 22 + 18 * line, state.answers.names[head][number]
            length = pixel * mean[number]
            colour = _colour(mean, number, truths[head])
            strong = colour != DIM
            canvas.text(left, y, shortened(name, 19), 12, colour if strong else INK, strong)
            canvas.box(zero + min(length, 0), y + 2, max(abs(length), 1), 11, fill=colour)
            canvas.text(right, y, _figure(mean[number], state), 12, MUTED, anchor="ra")
            words.append(f"{name}: {_figure(mean[number], state, 1)}")
        box, down = (left - 3, top + 20, pitch - 18, 18 * len(shown)), (f"class {head}", shown)
        canvas.region(*box, "mean of {value}", words, down=down)


class EvaluationExplorer(Explorer):
    """Which views, averaged how: accuracy against cost, and any one video view by view.

    result: an evaluation of at most 4 clips x 3 crops; None: the stored one, 12 views of 800 long
    videos that a small model with two heads has seen, with pictures. No model is needed.

    Raises ValueError for more views, or views that are no grid; FileNotFoundError without scores.

    Example:
        >>> explorer = EvaluationExplorer()
        >>> explorer.count.value = 1
        >>> explorer.state().views
        (4,)
    """

    width, height = WIDTH, HEIGHT
    arrows = "count", "video", "which"
    switches = "clip", "crop"

    def __init__(self, result: Evaluation | None = None):
        self.answers = answers = Answers(result)
        rows, across, views = len(answers.clips), len(answers.crops), answers.scores.views
        if rows > MOST_CLIPS or across not in CROPS or views != rows * across:
            raise ValueError(
                f"The evaluation has {answers.scores.view_text}, but can be drawn with at most "
                f"{MOST_CLIPS} clips x 1 or 3 crops: result.with_views([...]) takes fewer."
            )
        self.count, self.head, self.average = answers.controls()
        size = {"width": "84px", "height": "26px", "margin": "0"}
        self.views = []
        for place in answers.named:
            name = "{clip} {crop}".format(**place)
            self.views.append(widgets.ToggleButton(True, description=name, layout=size))
            self.views[-1].observe(self._on_control, "value")
        layout = {"grid_template_columns": f"repeat({across}, 84px)", "grid_gap": "2px"}
        self.grid = widgets.GridBox(self.views, layout=layout)
        self.which = dropdown("videos", LISTS, label_width=56)
        self.listed = tuple(range(answers.scores.videos))
        self.video = widgets.IntSlider(1, 1, len(self.listed), description="video", **look(56))
        controls = {"Average": [self.count, self.average, self.head]}
        controls |= {"Views that count": [self.grid], "One video": [self.which, self.video]}
        super().__init__(controls)

    def state(self) -> EvaluationState:
        given = {"answers": self.answers, "views": self._chosen(), "videos": self.listed}
        return self.read(EvaluationState, place=self.video.value - 1, **given)

    def draw(self) -> Canvas:
        return draw(self.state())

    def control(self, name: str) -> widgets.Widget | None:
        return self.grid if name in ("clip", "crop", "views") else super().control(name)

    def pressed(self, at: dict) -> None:
        """A view, or all of a clip or a crop, goes out if it is in; or `views` are taken."""
        on, names = set(self._chosen()), at.keys() & {"clip", "crop"}
        named = enumerate(self.answers.named)
        part = {view for view, place in named if all(place[name] == at[name] for name in names)}
        if not names and "views" not in at:
            return super().pressed(at)
        self._choose(at.get("views", on - part if part <= on else on | part))
        self.adjust(self.views[min(part)])

    def _chosen(self) -> tuple[int, ...]:
        return tuple(number for number, button in enumerate(self.views) if button.value)

    def _choose(self, views: Collection[int]) -> None:
        for number, button in enumerate(self.views):
            button.value = number in views

    def adjust(self, moved: widgets.Widget) -> None:
        """Slider and grid follow each other; the video in view stays while its list allows."""
        if moved is self.count:
            self._choose(self.answers.scores.spread(self.count.value))
        if not self._chosen():  # the last view stays on
            moved.value = True
        self.count.value = len(self._chosen())
        before = self.listed[self.video.value - 1] if self.listed else 0
        lists = self.answers.lists(self._chosen(), self.average.value, self.head.value)
        self.listed = tuple(lists[self.which.value].tolist())
        last = max(len(self.listed), 1)
        self.set_last(self.video, last, min(bisect.bisect_left(self.listed, before) + 1, last))
        self.video.disabled = not self.listed
