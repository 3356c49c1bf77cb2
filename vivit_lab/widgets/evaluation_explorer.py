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
from vivit_lab.training.metrics import percent, softmax
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
        result = load_evaluation(STORED) if result is None else result
        self.scores = result.scores
        self.heads = tuple(result.results)
        self.names = {name: head.class_names for name, head in result.heads.items()}
        self.clips, self.crops = (
            sorted({place[axis] for place in self.scores.places}) for axis in (0, 1)
        )
        self.places = [  # (row, column) of each view in a picture
            (self.clips.index(clip), self.crops.index(crop)) for clip, crop in self.scores.places
        ]
        self.row_by_row = sorted(range(self.scores.views), key=self.places.__getitem__)
        self.clip_names = [clip + 1 for clip in self.clips]
        self.crop_names = CROPS.get(len(self.crops), self.crops)
        self.named = [  # the same in words
            {"clip": self.clip_names[clip], "crop": self.crop_names[crop]}
            for clip, crop in self.places
        ]
        self._of = functools.lru_cache(maxsize=128)(
            lambda views, average: Evaluation(self.scores.select(views), average)
        )

    def of(self, views: Sequence[int], average: str, head: str) -> HeadResult | PairResult:
        """What these views, by number, say together."""
        return self._of(tuple(views), average)[head]

    def number(self, video: int) -> int:
        """Of a video, by row of the scores, in its data set."""
        return int(self.scores.numbers[video])

    def file(self, video: int) -> str:
        return self.scores.names[video].replace("\\", "/").split("/")[-1]

    def curve(self, average: str, head: str) -> list[HeadResult | PairResult]:
        """With 1, 2, ... views, those that see most of a video first."""
        counts = range(1, self.scores.views + 1)
        return [self.of(self.scores.spread(n), average, head) for n in counts]

    def alone(self, head: str) -> np.ndarray:
        """Accuracy of each view on its own: float (views,)."""
        every = self.of(range(self.scores.views), "softmax", head)
        return (every.view_ranks == 0).mean(axis=0)

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
    pictures: LongVideos | None  # None: the videos are not ours to draw

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
    canvas = Canvas(WIDTH, HEIGHT)
    _curve(canvas, state)
    _summary(canvas, state)
    canvas.line([(398, 12), (398, HEIGHT - 12)], LINE)
    now, count = state.answers.of(state.views, state.average, state.head), len(state.views)
    canvas.words = (
        f"{state.head}, {state.average} averaged: with {count} of "
        f"{plural(state.answers.scores.views, 'view')} {percent(now.top1)} of "
        f"{plural(len(now.right), 'video')} are right. "
    )
    if state.video is None:
        canvas.text(RIGHT, 10, "No video", size=15, bold=True)
        canvas.text(RIGHT, 40, f"No video is “{state.which}”.", colour=MUTED)
        canvas.words += f"No video is “{state.which}”."
    else:
        _video(canvas, state)
    return canvas


def _curve(canvas: Canvas, state: EvaluationState) -> None:
    results, macs = state.answers.curve(state.average, state.head), state.answers.scores.origin.macs
    now, count = state.answers.of(state.views, state.average, state.head), len(state.views)
    canvas.text(MARGIN, 10, f"{state.head} accuracy against cost", size=15, bold=True)
    lows, highs = zip(*(result.interval for result in results), strict=True)
    low, high = min(*lows, now.interval[0]) - 0.02, max(*highs, now.interval[1]) + 0.02
    ticks = round_steps(low, high)
    views, top1 = range(1, len(results) + 1), [result.top1 for result in results]
    plot = Plot(canvas, 66, 44, LEFT_END - 74, 160, (1, max(len(results), 2)), (low, high))
    if len(results) > 1:
        plot.band(views, lows, highs, f"{BLUE}22")
    plot.grid(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    plot.marks(views, map(str, views), strong=count)
    plot.line(views, top1, BLUE, 2)
    plot.dots(views, top1, BLUE, 2.5)
    plot.line([count, count], now.interval, ORANGE, 2)
    for x, y in plot.place([count, count], now.interval):
        canvas.line([(x - 5, y), (x + 5, y)], ORANGE, 2)
    plot.dots([count], [now.top1], ORANGE, 5)
    says = [f"{percent(each.top1)}\n95 % interval {_interval(each)}" for each in results]
    if macs is not None:
        says = [f"{each}\n{in_units(n * macs)}MACs" for n, each in enumerate(says, 1)]
    plot.region("views: {count}, those that see most\n{value}", "count", views, says)
    what = "views of each video, those first that see most of it"
    canvas.note(plot.left + plot.width / 2, 228, what, anchor="ma")


def _interval(result: HeadResult | PairResult) -> str:
    return " to ".join(f"{100 * end:.1f}" for end in result.interval) + " %"


def _summary(canvas: Canvas, state: EvaluationState) -> None:
    """The figures of the views that are on, and each view's accuracy as a grid."""
    answers, count = state.answers, len(state.views)
    now = answers.of(state.views, state.average, state.head)
    cost, macs = "cost unknown", answers.scores.origin.macs
    if macs is not None:
        cost = f"cost {count} × {in_units(macs)}MACs = {in_units(count * macs)}MACs a video"
    lists = answers.lists(state.views, state.average, state.head)
    _, mended, spoilt, _, softmax, logits = map(len, lists.values())
    title = f"{plural(count, 'view')}: {percent(now.top1)}"
    canvas.text(MARGIN, 256, title, size=15, bold=True, colour=ORANGE)
    lines = (
        f"95 % interval {_interval(now)}, over {plural(answers.scores.videos, 'video')}",
        cost,
        f"against 1 view: {mended} wrong → right, {spoilt} right → wrong",
        f"only softmax is right: {softmax} · only logits: {logits}",
    )
    canvas.paragraph(MARGIN, 279, lines, 18)

    canvas.text(MARGIN, 362, "Each view on its own", bold=True)
    alone, says = answers.alone(state.head), []
    for view in answers.row_by_row:
        (clip, crop), on, share = answers.places[view], view in state.views, percent(alone[view])
        x, y, colour = 74 + 78 * crop, 402 + 30 * clip, INK if on else MUTED
        canvas.box(x, y, 72, 26, fill=f"{BLUE}2e" if on else TRACK, radius=4)
        canvas.text(x + 36, y + 13, share, 12, colour, bold=on, anchor="mm")
        says.append(f"right in {share}\n{_press(state, view)}")
    _grid(canvas, answers, (71, 400, 78, 30), MARGIN, "on its own: {value}", says)


def _grid(canvas: Canvas, answers: Answers, cells, left, says: str, values: Sequence[str]) -> None:
    """Names and regions of a grid of views, whose first is at `cells` (x, y, width, height)."""
    x, y, width, height = cells
    clips, crops = answers.clip_names, answers.crop_names
    across, down = ("crop", crops), ("clip", clips)
    place = x, y, width * len(crops), height * len(clips)
    canvas.region(*place, "clip {clip}, {crop}, " + says, values, across, down)
    for i, crop in enumerate(crops):
        canvas.note(x + width * (i + 0.5), y - 18, crop, anchor="ma")
    canvas.region(x, y - 20, place[2], 18, "{crop}: press for all its views", across=across)
    box = left - 3, y, x - left, place[3]
    canvas.region(*box, "clip {clip}: press for all its views", down=down)
    for i, clip in enumerate(clips):
        canvas.text(left, y + height * i + 16, f"clip {clip}", 12, anchor="lm")


# ---- one video


def _video(canvas: Canvas, state: EvaluationState) -> None:
    answers, pictures, truths = state.answers, state.pictures, state.truths
    title = f"Video {state.place + 1} of {len(state.videos)}: {_classes(state, truths)}"
    canvas.text(RIGHT, 10, shortened(title, 49), size=15, bold=True)
    file = shortened(answers.file(state.video), 24)
    canvas.note(RIGHT, 32, f"{state.which} · {file}")
    each = {head: answers.scores.logits[head][state.video].astype(float) for head in truths}
    if state.average == "softmax":
        each = {head: softmax(logits) for head, logits in each.items()}
    edges, says, films = _edges(each, state.average), [], []
    if pictures is not None:
        numbers = _clips(pictures)
        films = frames_of(pictures, answers.number(state.video), tuple(numbers.ravel().tolist()))
        note = "Lines: the clip is blue, the action orange."
        canvas.note(WIDTH - MARGIN, HEIGHT - 22, note, anchor="ra")
    canvas.note(RIGHT, HEIGHT - 22, "Teal is right, red a wrong winner.")
    for view in answers.row_by_row:
        best = _best({head: values[view] for head, values in each.items()})
        right = "right" if best == truths else "wrong"
        says.append(f"{_classes(state, best)}, {right}\n{_press(state, view)}")
    _grid(canvas, answers, (RIGHT + 52, 69, 150, 64), RIGHT, "{value}", says)
    if pictures is not None:
        _time_lines(canvas, state, numbers)
    for view, (clip, crop) in enumerate(answers.places):
        x, y, on = RIGHT + 56 + 150 * crop, 72 + 64 * clip, view in state.views
        scores, left = {head: values[view] for head, values in each.items()}, x + 5
        outline = (TEAL if _best(scores) == truths else RED) if on else LINE
        canvas.box(x, y, 142, 58, outline=outline, line=2 if on else 1, radius=4)
        if films:
            film = films[CLIPS.clip_frames * clip :][: CLIPS.clip_frames]
            box, start = (left, y + 5, THUMB, THUMB), crop * THUMB // 2
            square = start, 0, start + THUMB, THUMB
            canvas.frame(*box, film[len(film) // 2], square, fade=0 if on else 0.5)
            canvas.film(*box, film, rate=25 / CLIPS.stride, crop=square)
            left += THUMB + 6
        _small_bars(canvas, state, view, scores, (left, y + 6, x + 137, y + 52), edges)
    _average(canvas, state, each)


def _press(state: EvaluationState, view: int) -> str:
    return "press to leave it out" if view in state.views else "press to take it in"


def _classes(state: EvaluationState, numbers: dict[str, int]) -> str:
    return " · ".join(state.answers.names[head][number] for head, number in numbers.items())


def _figure(value: float, state: EvaluationState, more: int = 0) -> str:
    """A mean or a score, with `more` digits."""
    return f"{100 * value:.{more}f} %" if state.average == "softmax" else f"{value:.{1 + more}f}"


def _best(scores: dict[str, np.ndarray]) -> dict[str, int]:
    return {head: int(values.argmax()) for head, values in scores.items()}


def _time_lines(canvas: Canvas, state: EvaluationState, numbers: np.ndarray) -> None:
    """Of each clip: on a line as long as the video the clip (blue) and the action (orange)."""
    length, pixel = 46, 46 / state.pictures.frames  # of a frame
    first, stop = state.pictures.action(state.answers.number(state.video))
    for i, clip in enumerate(state.answers.clip_names):
        y, seen = 72 + 64 * i, (numbers[i][0], numbers[i][-1] + 1)
        for top, colour, (start, end) in ((34, BLUE, seen), (41, ORANGE, (first, stop))):
            canvas.box(RIGHT, y + top, length, 4, fill=LINE)
            canvas.box(RIGHT + pixel * start, y + top, pixel * (end - start), 4, fill=colour)
        says = f"clip {{clip}}: frames {seen[0]} to {seen[1] - 1}, the action {first} to {stop - 1}"
        box = RIGHT - 3, 69 + 64 * i, 55, 64
        canvas.region(*box, f"{says}\npress for all its views", clip=clip)


def _clips(videos: LongVideos) -> np.ndarray:
    """Numbers of the frames of each clip."""
    return CLIPS.test(np.arange(videos.frames) / 25, MOST_CLIPS)


@functools.lru_cache(maxsize=64)
def frames_of(videos: LongVideos, number: int, frames: tuple[int, ...]) -> list:
    """Some frames of a video, twice as wide as high."""
    return Clip(videos.draw([number], np.array([frames]))[0].transpose(0, 2, 3, 1)).pictures


def _edges(each: dict[str, np.ndarray], average: str) -> tuple[float, float]:
    """The lowest and the highest value of all small charts of a video, 0 among them."""
    values = np.concatenate([values.ravel() for values in each.values()])
    return (0, 1) if average == "softmax" else (min(0, values.min()), max(0, values.max()))


def _small_bars(
    canvas: Canvas, state: EvaluationState, view: int, scores: dict, box, edges
) -> None:
    """One upright bar a class: the right one teal, the highest of the others red if it wins."""
    x, top, right, bottom = box
    low, high = edges
    zero, on = bottom + (bottom - top) * low / (high - low), view in state.views
    step = (right - x) / (sum(map(len, scores.values())) + 1.5 * (len(scores) - 1))
    canvas.line([(x, zero), (right, zero)], LINE)
    for head, values in scores.items():
        words, names = [], state.answers.names[head]
        for number, value in enumerate(values):
            y, left = bottom - (bottom - top) * (value - low) / (high - low), x + step * number
            colour = _colour(values, number, state.truths[head]) if on else LINE
            canvas.box(left, min(y, zero), max(step - 1.5, 1.5), max(abs(y - zero), 1), fill=colour)
            words.append(f"{names[number]}: {_figure(value, state, 1)}")
        place = x, top, step * len(values), bottom - top
        classes, named = (f"class {head}", range(len(values))), state.answers.named[view]
        canvas.region(*place, across=classes)  # lights up in every view; the one above in its own
        canvas.region(*place, "clip {clip}, {crop}\n{value}", words, classes, **named)
        x += step * (len(values) + 1.5)


def _colour(values: np.ndarray, number: int, truth: int) -> str:
    if number == truth:
        return TEAL
    return RED if number == values.argmax() else DIM


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
    pitch = (WIDTH - MARGIN - RIGHT + 24) / len(means)
    for i, (head, mean) in enumerate(means.items()):
        left, right = RIGHT + i * pitch, RIGHT + (i + 1) * pitch - 24
        first = left + (150 if len(means) == 1 else 130)
        room = (right - 46 - first) / (high - low)  # pixels of 1
        zero = first - room * low
        shown = np.sort(np.argsort(-mean, kind="stable")[:8])
        words = []
        for line, number in enumerate(shown):
            y, value = top + 22 + 18 * line, mean[number]
            colour = _colour(mean, number, truths[head])
            strong = colour in (TEAL, RED)
            name = state.answers.names[head][number]
            canvas.text(left, y, shortened(name, 19), 12, colour if strong else INK, strong)
            length = room * value
            canvas.box(zero + min(length, 0), y + 2, max(abs(length), 1), 11, fill=colour)
            canvas.text(right, y, _figure(value, state), 12, MUTED, anchor="ra")
            words.append(f"{name}: {_figure(value, state, 1)}")
        box, rows = (left - 3, top + 20, right - left + 6, 18 * len(shown)), shown.tolist()
        canvas.region(*box, "mean of {value}", words, down=(f"class {head}", rows))


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
        self.pictures = LongVideos(height=THUMB) if result is None else None
        self.count = legal_slider("views", range(1, views + 1), views)
        self.head = buttons(answers.heads)
        self.average = buttons(("softmax", "logits"))
        size = {"width": "84px", "height": "26px", "margin": "0"}
        self.views = []
        for place in answers.named:
            name = f"{place['clip']} {place['crop']}"
            self.views.append(widgets.ToggleButton(True, description=name, layout=size))
            self.views[-1].observe(self._on_control, "value")
        self.which = dropdown("videos", LISTS, label_width=56)
        self.video = widgets.IntSlider(
            value=1, min=1, max=answers.scores.videos, description="video", **look(56)
        )
        self.listed = tuple(range(answers.scores.videos))
        layout = {"grid_template_columns": f"repeat({across}, 84px)", "grid_gap": "2px"}
        self.grid = widgets.GridBox(self.views, layout=layout)
        controls = {"Average": [self.count, self.average, self.head]}
        controls |= {"Views that count": [self.grid], "One video": [self.which, self.video]}
        super().__init__(controls)

    def state(self) -> EvaluationState:
        return self.read(
            EvaluationState,
            answers=self.answers,
            views=self._chosen(),
            videos=self.listed,
            place=self.video.value - 1,
            pictures=self.pictures,
        )

    def draw(self) -> Canvas:
        return draw(self.state())

    def control(self, name: str) -> widgets.Widget | None:
        return self.grid if name in ("clip", "crop", "views") else super().control(name)

    def pressed(self, at: dict) -> None:
        """A view, or all of a clip or a crop, goes out if it is in; or `views` are taken."""
        named, on = self.answers.named, set(self._chosen())
        part = {
            n for n, place in enumerate(named) if all(at.get(k, v) == v for k, v in place.items())
        }
        if "views" in at:
            self._choose(at["views"])
        elif {"clip", "crop"} & at.keys():
            self._choose(on - part if part <= on else on | part)
        else:
            return super().pressed(at)
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
