"""The picture of the evaluation explorer: accuracy against cost, and one video view by view."""

import functools
from dataclasses import dataclass

import numpy as np

from vivit_lab.analysis.flops import in_units
from vivit_lab.data import LongVideos
from vivit_lab.training.metrics import percent
from vivit_lab.video import ByFrame
from vivit_lab.widgets.evaluation_state import Answers, Point
from vivit_lab.widgets.surface import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    RED,
    TEAL,
    Canvas,
)

WIDTH, HEIGHT, MARGIN = 920, 560, 14
LEFT_END, RIGHT = 384, 412  # where the left half ends, and the right one begins
GREY, BAND, OFF = "#c3c9d4", "#2f6fed22", "#eef0f4"
CROPS = {1: ("centre",), 3: ("left", "centre", "right")}
MOST_CLIPS, THUMB, GAP = 4, 48, 24  # the last: between the charts of two heads
CLIPS = ByFrame(clip_frames=8, stride=2)  # of the stored evaluation


@dataclass(frozen=True)
class EvaluationState:
    """All that the picture depends on."""

    answers: Answers
    views: tuple[int, ...]  # those that are switched on
    average: str  # "softmax" | "logits"
    head: str
    which: str  # a key of LISTS
    videos: tuple[int, ...]  # that list, by row
    place: int  # in it
    pictures: LongVideos | None  # None: the videos are not ours to draw

    @property
    def video(self) -> int | None:
        """The row of the video in view; None where the list is empty."""
        return self.videos[self.place] if self.videos else None


def draw(state: EvaluationState) -> Canvas:
    """On the left all videos: accuracy against cost. On the right one of them, view by view."""
    canvas = Canvas(WIDTH, HEIGHT)
    _curve(canvas, state)
    _summary(canvas, state)
    _alone(canvas, state)
    canvas.line([(398, 12), (398, HEIGHT - 12)], LINE)
    _video(canvas, state)
    note = "In the charts: teal is right, red a wrong winner."
    if state.pictures is not None:
        note += " Lines: the clip is blue, the action orange."
    canvas.text(RIGHT, HEIGHT - 24, note, size=11, colour=MUTED)
    return canvas


# ---- all videos


def _curve(canvas: Canvas, state: EvaluationState) -> None:
    points = state.answers.curve(state.average, state.head)
    now = _now(state)
    canvas.text(MARGIN, 10, f"{state.head} accuracy against cost", size=15, bold=True)
    left, right, top, bottom = 66, LEFT_END - 8, 48, 238
    lows = [*(p.interval[0] for p in points), now.interval[0]]
    highs = [*(p.interval[1] for p in points), now.interval[1]]
    ticks = _ticks(min(lows), max(highs))

    def place(views: int, share: float) -> tuple[float, float]:
        step = (right - left) / max(len(points) - 1, 1)
        height = (share - ticks[0]) / (ticks[-1] - ticks[0])
        return left + step * (views - 1), bottom - (bottom - top) * height

    for tick in ticks:
        y = place(1, tick)[1]
        canvas.line([(left - 8, y), (right + 8, y)], LINE)
        canvas.text(left - 14, y, f"{100 * tick:.0f} %", size=11, colour=MUTED, anchor="rm")
    _band(canvas, [place(p.views, p.interval[0]) for p in points],
          [place(p.views, p.interval[1]) for p in points])  # fmt: skip
    line = [place(p.views, p.top1) for p in points]
    canvas.line(line if len(line) > 1 else line * 2, BLUE, 2)
    for point, (x, y) in zip(points, line, strict=True):
        canvas.box(x - 2, y - 2, 4, 4, fill=BLUE)
        bold = point.views == now.views
        words, colour = str(point.views), INK if bold else MUTED
        canvas.text(x, bottom + 8, words, size=11, bold=bold, colour=colour, anchor="ma")
    (x, y), low, high = (place(now.views, share) for share in (now.top1, *now.interval))
    canvas.line([low, high], ORANGE, 2)
    for end in (low, high):
        canvas.line([(x - 5, end[1]), (x + 5, end[1])], ORANGE, 2)
    canvas.box(x - 5, y - 5, 10, 10, fill=ORANGE, radius=5)
    what = "views of each video, those first that see most of it"
    canvas.text((left + right) / 2, bottom + 26, what, size=11, colour=MUTED, anchor="ma")


def _band(canvas: Canvas, lower: list[tuple], upper: list[tuple]) -> None:
    """Fill between two lines over the same places."""
    places = [x for x, _ in lower]
    across = np.arange(round(places[0]), round(places[-1]) + 1)
    ends = (np.interp(across, places, [y for _, y in line]) for line in (lower, upper))
    for x, low, high in zip(across, *ends, strict=True):
        canvas.line([(x, low), (x, high)], BAND)


def _ticks(low: float, high: float) -> list[float]:
    """Round shares, a step below the lowest value to one above the highest.

    Example:
        >>> _ticks(0.42, 0.68)
        [0.4, 0.5, 0.6, 0.7]
    """
    step = 0.2 if high - low > 0.45 else 0.1 if high - low > 0.18 else 0.05
    first, last = int(np.floor(low / step)), int(np.ceil(high / step))
    return [round(step * k, 2) for k in range(first, max(last, first + 1) + 1)]


def _now(state: EvaluationState) -> Point:
    result = state.answers.of(state.views, state.average)[state.head]
    return Point(len(state.views), result.top1, result.interval)


def _summary(canvas: Canvas, state: EvaluationState) -> None:
    now, answers = _now(state), state.answers
    count = answers.scores.videos
    views = f"{now.views} view{'s' * (now.views != 1)}"
    canvas.text(MARGIN, 292, f"{views}: {percent(now.top1)}", size=15, bold=True, colour=ORANGE)
    low, high = (f"{100 * end:.1f}" for end in now.interval)
    words = f"95 % interval {low} to {high} %, over {count:,} video{'s' * (count != 1)}"
    canvas.text(MARGIN, 315, words, size=12)
    macs = answers.scores.origin.macs
    cost = "cost unknown"
    if macs is not None:
        cost = f"cost {now.views} × {in_units(macs)}MACs = {in_units(now.views * macs)}MACs a video"
    canvas.text(MARGIN, 334, cost, size=12)
    mended, spoilt = (
        len(answers.listed(which, state.views, state.average, state.head))
        for which in ("mended", "spoilt")
    )
    words = f"against 1 view: {mended} wrong → right, {spoilt} right → wrong"
    canvas.text(MARGIN, 353, words, size=12)
    softmax, logits = (
        len(answers.listed(which, state.views, state.average, state.head))
        for which in ("softmax", "logits")
    )
    words = f"only softmax is right: {softmax} · only logits: {logits}"
    canvas.text(MARGIN, 372, words, size=12)


def _alone(canvas: Canvas, state: EvaluationState) -> None:
    """Each view's accuracy, as a grid."""
    canvas.text(MARGIN, 402, "Each view on its own", size=13, bold=True)
    shares = state.answers.alone(state.head)
    for crop, name in enumerate(CROPS[len(state.answers.crops)]):
        x = 110 + 78 * crop
        canvas.text(x, 424, name, size=11.5, colour=MUTED, anchor="ma")
    for view, (clip, crop) in enumerate(state.answers.places):
        x, y = 74 + 78 * crop, 442 + 27 * clip
        if crop == 0:
            canvas.text(MARGIN, y + 5, f"clip {state.answers.clips[clip] + 1}", size=12)
        on = view in state.views
        canvas.box(x, y, 72, 24, fill="#2f6fed2e" if on else OFF, radius=4)
        words, colour = percent(shares[view]), INK if on else MUTED
        canvas.text(x + 36, y + 12, words, size=12, bold=on, colour=colour, anchor="mm")


# ---- one video


def _video(canvas: Canvas, state: EvaluationState) -> None:
    if state.video is None:
        canvas.text(RIGHT, 10, "No video", size=15, bold=True)
        words = f"No video is “{state.which}”."
        canvas.text(RIGHT, 40, words, size=13, colour=MUTED)
        return
    _truth(canvas, state)
    truths = _truths(state)
    each = {
        head: state.answers.view_scores(state.video, head, state.average) for head in truths
    }  # (views, K)
    heights = _scale(each, state.average)
    for crop, name in enumerate(CROPS[len(state.answers.crops)]):
        canvas.text(_cell(0, crop)[0] + 71, 54, name, size=11.5, colour=MUTED, anchor="ma")
    thumbs = _thumbnails(state.pictures, _number(state)) if state.pictures else None
    for clip in range(len(state.answers.clips)):
        _clip_label(canvas, state, clip)
    for view, (clip, crop) in enumerate(state.answers.places):
        x, y = _cell(clip, crop)
        on = view in state.views
        scores = {head: values[view] for head, values in each.items()}
        hit = all(values.argmax() == truths[head] for head, values in scores.items())
        outline, line = ((TEAL if hit else RED), 2) if on else (LINE, 1)
        canvas.box(x, y, 142, 58, outline=outline, line=line, radius=4)
        left = x + 5
        if thumbs is not None:
            canvas.picture(left, y + 5, THUMB, THUMB, thumbs[clip][crop])
            left += THUMB + 6
        _small_bars(canvas, (left, y + 6, x + 137, y + 52), scores, truths, heights, on)
    _average(canvas, state, each, truths)


def _truth(canvas: Canvas, state: EvaluationState) -> None:
    truths, answers = _truths(state), state.answers
    words = " · ".join(answers.name(head, label) for head, label in truths.items())
    title = f"{_name(state)}: {words}"
    canvas.text(RIGHT, 10, title, size=15, bold=True)
    many = len(state.videos)
    words = f"{state.place + 1} of {many}: {state.which}"
    canvas.text(RIGHT, 32, words, size=11.5, colour=MUTED)


def _truths(state: EvaluationState) -> dict[str, int]:
    labels = state.answers.scores.labels
    return {head: int(labels[head][state.video]) for head in state.answers.parts(state.head)}


def _number(state: EvaluationState) -> int:
    return int(state.answers.scores.numbers[state.video])


def _name(state: EvaluationState) -> str:
    if state.pictures is not None:
        return f"Video {_number(state)}"
    name = state.answers.scores.names[state.video].replace("\\", "/").split("/")[-1]
    return name if len(name) <= 24 else name[:23] + "…"


def _cell(clip: int, crop: int) -> tuple[float, float]:
    return RIGHT + 56 + 150 * crop, 72 + 64 * clip


def _clip_label(canvas: Canvas, state: EvaluationState, clip: int) -> None:
    """Its number, and on a line as long as the video the clip (blue) and the action (orange)."""
    y = _cell(clip, 0)[1]
    canvas.text(RIGHT, y + 10, f"clip {state.answers.clips[clip] + 1}", size=12, bold=True)
    if state.pictures is None:
        return
    frames, length = state.pictures.frames, 46

    def bar(first: int, stop: int, top: float, colour: str) -> None:
        canvas.box(RIGHT + length * first / frames, top, length * (stop - first) / frames, 4,
                   fill=colour)  # fmt: skip

    bar(0, frames, y + 34, LINE)
    bar(0, frames, y + 41, LINE)
    numbers = _clip_frames(frames, MOST_CLIPS)[clip]
    bar(int(numbers[0]), int(numbers[-1]) + 1, y + 34, BLUE)
    bar(*state.pictures.action(_number(state)), y + 41, ORANGE)


def _clip_frames(frames: int, clips: int) -> np.ndarray:
    return CLIPS.test(np.arange(frames) / 25, clips)


@functools.lru_cache(maxsize=256)
def _thumbnails(videos: LongVideos, number: int) -> list[list[np.ndarray]]:
    """The middle frame of each view: clip by clip, crop by crop, uint8 (THUMB, THUMB, 3)."""
    middle = _clip_frames(videos.frames, MOST_CLIPS)[:, CLIPS.clip_frames // 2]
    wide = videos.draw([number], middle[None])[0].transpose(0, 2, 3, 1)
    lefts = (0, THUMB // 2, THUMB)
    return [[frame[:, left : left + THUMB] for left in lefts] for frame in wide]


def _scale(each: dict[str, np.ndarray], average: str) -> tuple[float, float]:
    """The lowest and the highest value of all small charts of a video."""
    if average == "softmax":
        return 0.0, 1.0
    return (
        min(0.0, *(values.min() for values in each.values())),
        max(0.0, *(values.max() for values in each.values())),
    )


def _small_bars(canvas: Canvas, frame: tuple, scores: dict, truths: dict, heights, on) -> None:
    """One bar a class: the right one teal, the highest of the others red if it wins."""
    left, top, right, bottom = frame
    low, high = heights
    zero = bottom - (bottom - top) * (0 - low) / (high - low)
    count = sum(map(len, scores.values())) + 1.5 * (len(scores) - 1)
    step, x = (right - left) / count, left
    canvas.line([(left, zero), (right, zero)], LINE)
    for head, values in scores.items():
        for number, value in enumerate(values):
            y = bottom - (bottom - top) * (value - low) / (high - low)
            colour = _colour(values, number, truths[head]) if on else "#dfe3ea"
            width = max(step - 1.5, 1.5)
            canvas.box(x, min(y, zero), width, max(abs(y - zero), 1), fill=colour)
            x += step
        x += 1.5 * step


def _colour(values: np.ndarray, number: int, truth: int) -> str:
    if number == truth:
        return TEAL
    return RED if number == values.argmax() else GREY


def _average(canvas: Canvas, state: EvaluationState, each: dict, truths: dict) -> None:
    """What the average of the views that are on says, class by class."""
    top = 72 + 64 * len(state.answers.clips) + 8
    views = f"{len(state.views)} view{'s' * (len(state.views) != 1)}"
    kind = "probabilities" if state.average == "softmax" else "logits"
    means = {head: values[list(state.views)].mean(axis=0) for head, values in each.items()}
    hit = all(values.argmax() == truths[head] for head, values in means.items())
    canvas.text(RIGHT, top, f"Mean of the {kind}, {views}:", size=13, bold=True)
    words, colour = ("right", TEAL) if hit else ("wrong", RED)
    canvas.text(WIDTH - MARGIN, top, words, size=13, bold=True, colour=colour, anchor="ra")
    low, high = _scale({head: mean[None] for head, mean in means.items()}, state.average)
    width = (WIDTH - MARGIN - RIGHT - GAP * (len(means) - 1)) / len(means)
    for i, (head, mean) in enumerate(means.items()):
        left = RIGHT + i * (width + GAP)
        rows = min(len(mean), 8)
        order = range(len(mean)) if len(mean) <= rows else np.sort(np.argsort(-mean)[:rows])
        bar_left = left + (150 if len(means) == 1 else 124)
        room = left + width - 42 - bar_left
        for row, number in enumerate(order):
            y, value = top + 24 + 18 * row, mean[number]
            colour = _colour(mean, number, truths[head])
            strong = colour != GREY
            name = state.answers.name(head, number)
            name = name if len(name) <= 19 else name[:18] + "…"
            canvas.text(left, y, name, size=11.5, bold=strong, colour=colour if strong else INK)
            zero = bar_left + room * (0 - low) / (high - low)
            end = bar_left + room * (value - low) / (high - low)
            canvas.box(min(zero, end), y + 2, max(abs(end - zero), 1), 11, fill=colour)
            text = f"{100 * value:.0f} %" if state.average == "softmax" else f"{value:.1f}"
            canvas.text(left + width, y, text, size=11.5, colour=MUTED, anchor="ra")
