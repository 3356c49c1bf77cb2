"""How good is it, with how many views? Accuracy against cost, and one video's views in detail."""

import bisect
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np

from vivit_lab.analysis.flops import in_units
from vivit_lab.data import LongVideos
from vivit_lab.data.samples import ASSETS
from vivit_lab.training.metrics import percent, softmax
from vivit_lab.training.results import Evaluation, HeadResult, PairResult, load_evaluation
from vivit_lab.video import ByFrame
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, TRACK, Canvas
from vivit_lab.widgets.charts import Plot, paler, plural, round_steps, shortened
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
WIDTH, HEIGHT, MARGIN = 920, 560, 14
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
        self._of = functools.lru_cache(maxsize=128)(
            lambda views, average: Evaluation(self.scores.select(views), average)
        )

    def of(self, views: Sequence[int], average: str, head: str) -> HeadResult | PairResult:
        """What these views, by number, say together."""
        return self._of(tuple(views), average)[head]

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
    def number(self) -> int:
        """Of the video in view in its data set."""
        return int(self.answers.scores.numbers[self.video])

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
    if state.video is None:
        canvas.text(RIGHT, 10, "No video", size=15, bold=True)
        canvas.text(RIGHT, 40, f"No video is “{state.which}”.", colour=MUTED)
    else:
        _video(canvas, state)
    note = "In the charts: teal is right, red a wrong winner."
    if state.pictures is not None:
        note += " Lines: the clip is blue, the action orange."
    canvas.note(RIGHT, HEIGHT - 24, note)
    return canvas


def _curve(canvas: Canvas, state: EvaluationState) -> None:
    results = state.answers.curve(state.average, state.head)
    now, count = state.answers.of(state.views, state.average, state.head), len(state.views)
    canvas.text(MARGIN, 10, f"{state.head} accuracy against cost", size=15, bold=True)
    lows, highs = zip(*(result.interval for result in results), strict=True)
    low, high = min(*lows, now.interval[0]) - 0.02, max(*highs, now.interval[1]) + 0.02
    ticks = round_steps(low, high)
    views, top1 = range(1, len(results) + 1), [result.top1 for result in results]
    plot = Plot(canvas, 66, 48, LEFT_END - 74, 190, (1, max(len(results), 2)), (low, high))
    if len(results) > 1:
        plot.band(views, lows, highs, paler(BLUE, 0.13))
    plot.grid(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    plot.marks(views, map(str, views), strong=count)
    plot.line(views, top1, BLUE, 2)
    plot.dots(views, top1, BLUE, 2.5)
    plot.line([count, count], now.interval, ORANGE, 2)
    for x, y in plot.place([count, count], now.interval):
        canvas.line([(x - 5, y), (x + 5, y)], ORANGE, 2)
    plot.dots([count], [now.top1], ORANGE, 5)
    what = "views of each video, those first that see most of it"
    canvas.note(plot.left + plot.width / 2, 264, what, anchor="ma")


def _summary(canvas: Canvas, state: EvaluationState) -> None:
    """The figures of the views that are on, and each view's accuracy as a grid."""
    answers, count = state.answers, len(state.views)
    now = answers.of(state.views, state.average, state.head)
    cost, macs = "cost unknown", answers.scores.origin.macs
    if macs is not None:
        cost = f"cost {count} × {in_units(macs)}MACs = {in_units(count * macs)}MACs a video"
    lists = answers.lists(state.views, state.average, state.head)
    _, mended, spoilt, _, softmax, logits = map(len, lists.values())
    low, high = (f"{100 * end:.1f}" for end in now.interval)
    title = f"{plural(count, 'view')}: {percent(now.top1)}"
    canvas.text(MARGIN, 292, title, size=15, bold=True, colour=ORANGE)
    lines = (
        f"95 % interval {low} to {high} %, over {plural(answers.scores.videos, 'video')}",
        cost,
        f"against 1 view: {mended} wrong → right, {spoilt} right → wrong",
        f"only softmax is right: {softmax} · only logits: {logits}",
    )
    canvas.paragraph(MARGIN, 315, lines, 19)

    canvas.text(MARGIN, 402, "Each view on its own", bold=True)
    for crop, name in enumerate(CROPS[len(answers.crops)]):
        canvas.note(110 + 78 * crop, 424, name, 11.5, "ma")
    for clip, number in enumerate(answers.clips):
        canvas.text(MARGIN, 447 + 27 * clip, f"clip {number + 1}", size=12)
    for view, share in enumerate(answers.alone(state.head)):
        (clip, crop), on = answers.places[view], view in state.views
        x, y, colour = 74 + 78 * crop, 442 + 27 * clip, INK if on else MUTED
        canvas.box(x, y, 72, 24, fill=paler(BLUE, 0.18) if on else TRACK, radius=4)
        canvas.text(x + 36, y + 12, percent(share), 12, colour, bold=on, anchor="mm")


# ---- one video


def _video(canvas: Canvas, state: EvaluationState) -> None:
    answers, pictures, truths = state.answers, state.pictures, state.truths
    name = f"Video {state.number}"
    if pictures is None:
        name = answers.scores.names[state.video].replace("\\", "/").split("/")[-1]
    truth = " · ".join(answers.names[head][label] for head, label in truths.items())
    canvas.text(RIGHT, 10, f"{shortened(name, 24)}: {truth}", size=15, bold=True)
    canvas.note(RIGHT, 32, f"{state.place + 1} of {len(state.videos)}: {state.which}", 11.5)
    each = {head: answers.scores.logits[head][state.video].astype(float) for head in truths}
    if state.average == "softmax":
        each = {head: softmax(logits) for head, logits in each.items()}
    for crop, name in enumerate(CROPS[len(answers.crops)]):
        canvas.note(_corner(0, crop)[0] + 71, 54, name, 11.5, "ma")
    for clip in range(len(answers.clips)):
        _clip_label(canvas, state, clip)
    thumbs = _thumbnails(pictures, state.number) if pictures else None
    edges = _edges(each, state.average)
    for view, (clip, crop) in enumerate(answers.places):
        (x, y), on = _corner(clip, crop), view in state.views
        scores = {head: values[view] for head, values in each.items()}
        outline = (TEAL if _hit(scores, truths) else RED) if on else LINE
        canvas.box(x, y, 142, 58, outline=outline, line=2 if on else 1, radius=4)
        left = x + 5
        if thumbs is not None:
            canvas.picture(left, y + 5, THUMB, THUMB, thumbs[clip][crop])
            left += THUMB + 6
        _small_bars(canvas, (left, y + 6, x + 137, y + 52), scores, truths, edges, on)
    _average(canvas, state, each)


def _hit(scores: dict[str, np.ndarray], truths: dict[str, int]) -> bool:
    return all(values.argmax() == truths[head] for head, values in scores.items())


def _corner(clip: int, crop: int) -> tuple[float, float]:
    return RIGHT + 56 + 150 * crop, 72 + 64 * clip


def _clip_label(canvas: Canvas, state: EvaluationState, clip: int) -> None:
    """Its number, and on a line as long as the video the clip (blue) and the action (orange)."""
    y = _corner(clip, 0)[1]
    canvas.text(RIGHT, y + 10, f"clip {state.answers.clips[clip] + 1}", size=12, bold=True)
    if state.pictures is None:
        return
    length, pixel = 46, 46 / state.pictures.frames  # of a frame
    numbers = _clips(state.pictures)[clip]
    seen, action = (numbers[0], numbers[-1] + 1), state.pictures.action(state.number)
    for top, colour, (first, stop) in ((34, BLUE, seen), (41, ORANGE, action)):
        canvas.box(RIGHT, y + top, length, 4, fill=LINE)
        canvas.box(RIGHT + pixel * first, y + top, pixel * (stop - first), 4, fill=colour)


def _clips(videos: LongVideos) -> np.ndarray:
    """Numbers of the frames of each clip."""
    return CLIPS.test(np.arange(videos.frames) / 25, MOST_CLIPS)


@functools.lru_cache(maxsize=256)
def _thumbnails(videos: LongVideos, number: int) -> list[list[np.ndarray]]:
    """The middle frame of each view: clip by clip, crop by crop, uint8 (THUMB, THUMB, 3)."""
    middle = _clips(videos)[:, CLIPS.clip_frames // 2]
    wide = videos.draw([number], middle[None])[0].transpose(0, 2, 3, 1)
    return [[frame[:, x : x + THUMB] for x in (0, THUMB // 2, THUMB)] for frame in wide]


def _edges(each: dict[str, np.ndarray], average: str) -> tuple[float, float]:
    """The lowest and the highest value of all small charts of a video, 0 among them."""
    values = np.concatenate([values.ravel() for values in each.values()])
    return (0, 1) if average == "softmax" else (min(0, values.min()), max(0, values.max()))


def _small_bars(canvas: Canvas, frame: tuple, scores: dict, truths: dict, edges, on: bool) -> None:
    """One upright bar a class: the right one teal, the highest of the others red if it wins."""
    x, top, right, bottom = frame
    low, high = edges
    zero = bottom + (bottom - top) * low / (high - low)
    step = (right - x) / (sum(map(len, scores.values())) + 1.5 * (len(scores) - 1))
    canvas.line([(x, zero), (right, zero)], LINE)
    for head, values in scores.items():
        for number, value in enumerate(values):
            y = bottom - (bottom - top) * (value - low) / (high - low)
            colour = _colour(values, number, truths[head]) if on else "#dfe3ea"
            canvas.box(x, min(y, zero), max(step - 1.5, 1.5), max(abs(y - zero), 1), fill=colour)
            x += step
        x += 1.5 * step


def _colour(values: np.ndarray, number: int, truth: int) -> str:
    if number == truth:
        return TEAL
    return RED if number == values.argmax() else "#c3c9d4"


def _average(canvas: Canvas, state: EvaluationState, each: dict[str, np.ndarray]) -> None:
    """What the average of the views that are on says, class by class."""
    top, truths = 80 + 64 * len(state.answers.clips), state.truths
    kind = "probabilities" if state.average == "softmax" else "logits"
    means = {head: values[list(state.views)].mean(axis=0) for head, values in each.items()}
    words = f"Mean of the {kind}, {plural(len(state.views), 'view')}:"
    canvas.text(RIGHT, top, words, bold=True)
    words, colour = ("right", TEAL) if _hit(means, truths) else ("wrong", RED)
    canvas.text(WIDTH - MARGIN, top, words, bold=True, colour=colour, anchor="ra")
    low, high = _edges(means, state.average)
    pitch = (WIDTH - MARGIN - RIGHT + 24) / len(means)
    for i, (head, mean) in enumerate(means.items()):
        left, right = RIGHT + i * pitch, RIGHT + (i + 1) * pitch - 24
        first = left + (150 if len(means) == 1 else 124)
        room = (right - 42 - first) / (high - low)  # pixels of 1
        zero = first - room * low
        for line, number in enumerate(np.sort(np.argsort(-mean, kind="stable")[:8])):
            y, value = top + 24 + 18 * line, mean[number]
            colour = _colour(mean, number, truths[head])
            strong = colour in (TEAL, RED)
            name = shortened(state.answers.names[head][number], 19)
            canvas.text(left, y, name, 11.5, colour if strong else INK, strong)
            length = room * value
            canvas.box(zero + min(length, 0), y + 2, max(abs(length), 1), 11, fill=colour)
            words = f"{100 * value:.0f} %" if state.average == "softmax" else f"{value:.1f}"
            canvas.text(right, y, words, 11.5, MUTED, anchor="ra")


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
        for clip, crop in answers.places:
            name = f"{answers.clips[clip] + 1} {CROPS[across][crop]}"
            self.views.append(widgets.ToggleButton(True, description=name, layout=size))
            self.views[-1].observe(self._on_control, "value")
        self.which = dropdown("videos", LISTS, label_width=56)
        self.video = widgets.IntSlider(
            value=1, min=1, max=answers.scores.videos, description="video", **look(56)
        )
        self.listed = tuple(range(answers.scores.videos))
        layout = {"grid_template_columns": f"repeat({across}, 84px)", "grid_gap": "2px"}
        grid = widgets.GridBox(self.views, layout=layout)
        controls = {"Average": [self.count, self.average, self.head], "Views that count": [grid]}
        super().__init__(controls | {"One video": [self.which, self.video]})

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

    def _chosen(self) -> tuple[int, ...]:
        return tuple(number for number, button in enumerate(self.views) if button.value)

    def adjust(self, moved: widgets.Widget) -> None:
        """Slider and grid follow each other; the video in view stays while its list allows."""
        if moved is self.count:  # those that see most of a video
            chosen = self.answers.scores.spread(self.count.value)
            for number, button in enumerate(self.views):
                button.value = number in chosen
        if not self._chosen():  # the last view stays on
            moved.value = True
        self.count.value = len(self._chosen())
        before = self.listed[self.video.value - 1] if self.listed else 0
        lists = self.answers.lists(self._chosen(), self.average.value, self.head.value)
        self.listed = tuple(lists[self.which.value].tolist())
        last = max(len(self.listed), 1)
        self.set_last(self.video, last, min(bisect.bisect_left(self.listed, before) + 1, last))
        self.video.disabled = not self.listed
