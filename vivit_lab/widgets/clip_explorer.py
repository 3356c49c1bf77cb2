"""Which frames does the model see? The time line of a video, and the clips cut from it."""

from dataclasses import dataclass, replace
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.video import ByFrame, BySegment, ByTime, TrainTransform, resized_size, three_crops
from vivit_lab.video.sampling import ROUNDING, duration
from vivit_lab.widgets.canvas import BLUE, DIM, INK, MUTED, ORANGE, RED, TEAL, TRACK, Canvas
from vivit_lab.widgets.charts import plural, shortened
from vivit_lab.widgets.footage import Footage, FootagePicker
from vivit_lab.widgets.surface import Explorer, buttons, dropdown, legal_slider, whole_slider

CLIP_LENGTHS = (4, 8, 16, 32, 64)
STRIDES = (1, 2, 3, 4, 6, 8)
SHORT = {"start again (loop)": "loop", "hold the last frame": "hold"}
CROP_COLOURS = (BLUE, ORANGE, TEAL)
SIDE = 160  # short side of what is decoded for the picture
WIDTH, HEIGHT, MARGIN = 920, 530, 12
NAMES = 84  # pixels, left of the lanes
MOST_TICKS = 500  # frames of which each gets a mark on the time line
MOST_STARTS = 250  # that can be told apart by dragging; the slider has all
LARGE = 310  # pixels, the width of the frame that is shown large
FADED = 0.6  # what is outside the crop, towards the paper
WAYS = ("by frame", "by time", "by segment")
USUAL_RATE = 25  # frames a second; "by time" keeps the pace that the stride has in such a video
RECIPES = {  # name: (clips, crops, crop size, short side)
    "ViViT: 4 clips × 3 crops": (4, 3, 224, 256),
    "SlowFast: 10 clips × 3 crops": (10, 3, 256, 256),
    "quick: 1 clip × 1 crop": (1, 1, 224, 256),
}


@dataclass(frozen=True)
class ClipState:
    """All that the picture depends on, besides the video."""

    training: bool = True
    clip_frames: int = 32
    stride: int = 2
    seed: int = 0
    start: int | None = None  # frame with which the training clip begins; None: drawn by the seed
    recipe: str = next(iter(RECIPES))  # of testing
    view: int = 0  # which test clip, and
    crop: int = 0  # which of its crops, is shown
    shown: int = 0  # which frame of the clip is shown large
    way: str = "by frame"  # one of WAYS
    short: str = "loop"  # a video shorter than the clip: "loop" or "hold"

    @property
    def sampling(self) -> ByFrame | ByTime | BySegment:
        if self.way == "by time":
            return ByTime(self.clip_frames, USUAL_RATE / self.stride, self.short)
        if self.way == "by segment":
            return BySegment(self.clip_frames)
        return ByFrame(self.clip_frames, self.stride, self.short)

    def clips(self, times: np.ndarray) -> np.ndarray:
        """Frame numbers, (clips, clip_frames): one clip in training, several in testing."""
        if not self.training:
            return self.sampling.test(times, RECIPES[self.recipe][0])
        if self.start is None or self.way == "by segment":
            return self.sampling.train(times, np.random.default_rng(self.seed))[None]
        start = min(self.start, self.starts(times) - 1)
        return start + self.sampling.test(times[start:], 1)  # the first clip of what is left

    def crops(self, height: int, width: int) -> tuple[int, int, dict[str, tuple[int, int]]]:
        """(short side, crop size, {name: (top, left), ...}) in pixels of the scaled video."""
        if self.training:
            draw = TrainTransform().draw(height, width, self.seed)
            return draw.short_side, draw.height, {"random": (draw.top, draw.left)}
        _, crops, size, short_side = RECIPES[self.recipe]
        names = ("top", "centre", "bottom") if height > width else ("left", "centre", "right")
        places = three_crops(*resized_size(height, width, short_side), size)
        boxes = dict(zip(names, places, strict=True))
        return short_side, size, boxes if crops == 3 else {"centre": boxes["centre"]}

    def room(self, times: np.ndarray) -> float:
        """Frames ("by time": seconds) that a clip leaves of the video."""
        reach = (self.clip_frames - 1) * (1 if self.way == "by segment" else self.stride)
        return duration(times) - reach / USUAL_RATE if self.way == "by time" else len(times) - reach

    def starts(self, times: np.ndarray) -> int:
        """How many frames a training clip can begin with."""
        room = self.room(times)
        if self.way == "by time":
            room = np.searchsorted(times - times[0], room - ROUNDING)
        return 1 if self.way == "by segment" else max(int(room), 1)

    def is_short(self, times: np.ndarray) -> bool:
        return self.room(times) <= 0

    def late(self, clip: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Which frames come after the video has ended; of one frame of each part none does."""
        return after_the_end(clip, len(times)) & (self.way != "by segment" and self.is_short(times))

    def span(self, times: np.ndarray) -> str:
        frames, stride, pace = self.clip_frames, self.stride, USUAL_RATE / self.stride
        reach = frames * stride
        return {
            "by frame": f"span {frames} × {stride} = {reach} frames = "
            f"{reach * duration(times) / len(times):.2f} s",
            "by time": f"{frames} frames at {pace:.4g} a second = {reach / USUAL_RATE:.2f} s",
            "by segment": f"{frames} parts of {len(times)} frames = the whole video",
        }[self.way]

    def choice(self, times: np.ndarray) -> str:
        """What there was to choose from, or what happens to a video that is too short."""
        if self.way == "by segment":
            if self.is_short(times):
                return "fewer frames than parts: some are shown again"
            if self.training:
                return "a random frame of each part"
            one = RECIPES[self.recipe][0] == 1
            return "the middle of each part" if one else "evenly spread over each part"
        if self.is_short(times):
            then = "it starts again" if self.short == "loop" else "its last frame is held"
            return f"shorter than the clip: {then}"
        if not self.training:
            return "starts evenly spread, first to last"
        if self.way == "by time":
            return f"starts anywhere in the first {self.room(times):.2f} s"
        return f"{self.room(times)} possible starts"


def after_the_end(clip: np.ndarray, num_frames: int) -> np.ndarray:
    """Which frames of a clip come after the video has ended: looped, or its last one held."""
    step = np.diff(clip, prepend=-1)
    return np.logical_or.accumulate((step < 0) | ((step == 0) & (clip == num_frames - 1)))


class Scene:
    """A state, and what it takes of a video."""

    def __init__(self, state: ClipState, footage: Footage):
        self.state, self.video, self.footage = state, footage.video, footage
        size = self.video.height, self.video.width
        self.clips = state.clips(self.video.times)
        self.clip = self.clips[0 if state.training else state.view]
        self.short_side, self.size, self.boxes = state.crops(*size)
        self.scaled = resized_size(*size, self.short_side)
        self.names = list(self.boxes)
        self.crop = 0 if state.training else state.crop  # of which the frames are shown
        self.name = self.names[self.crop]
        self.pictures = footage.pictures(self.clip, SIDE)
        scale, side = SIDE / self.short_side, self.size
        self.cuts = [
            tuple(round(scale * each) for each in (left, top, left + side, top + side))
            for top, left in self.boxes.values()
        ]  # the crops in pixels of these pictures

    def time(self, frame: int) -> str:
        return f"{self.video.times[frame] - self.video.times[0]:.2f} s"


def draw(state: ClipState, footage: Footage, whole: bool) -> Canvas:
    """The picture: time line with key frames and clips; where the crops lie; what is seen."""
    scene, canvas = Scene(state, footage), Canvas(WIDTH, HEIGHT)
    video, clip, clips, crops = scene.video, scene.clip, scene.clips, scene.boxes
    span, choice = state.span(video.times), state.choice(video.times)
    if state.training:
        heading = f"Training: one random clip of {len(clip)} frames, {state.way}"
        kind, title = "training clip", f"What the model sees: {len(clip)} frames, one crop for all"
    else:
        views = len(clips) * len(crops)
        heading = f"Testing: {len(clips)} × {len(crops)} = {plural(views, 'view')}, {state.way}"
        kind = f"view {state.view * len(crops) + scene.crop + 1} of {views}"
        title = f"{kind.capitalize()}: clip {state.view + 1}, {scene.name} crop"
    canvas.text(MARGIN, 8, heading, 15, BLUE, bold=True)
    canvas.text(WIDTH - MARGIN, 8, span, 15, ORANGE, bold=True, anchor="ra")
    about = (
        f"{shortened(footage.name, 24)}: {video.num_frames} frames of {video.width} × "
        f"{video.height}, {video.fps:.5g} a second, {video.duration:.2f} s; key frames (dark): "
        f"{len(video.key_frames)}"
    )
    canvas.text(MARGIN, 31, about, colour=MUTED)
    colour = RED if state.is_short(video.times) else MUTED
    canvas.text(WIDTH - MARGIN, 31, choice, colour=colour, anchor="ra")

    top = _time_line(canvas, 58, scene) + 12
    below = _large_frame(canvas, MARGIN, top, scene, whole)
    if state.training:  # what chance has decided
        (row, column), starts = crops["random"], state.starts(video.times)
        how = f"random, one of {plural(starts, 'start')}"
        if state.start is not None:
            how = f"set by hand, one of {starts}"
        start = f"start: frame {clip[0]}, {how}"
        lines = (
            "frames: a random one of each part" if state.way == "by segment" else start,
            f"short side: {scene.short_side}, random, 256 to 320",
            f"crop: row {row}, column {column}, random",
            "flip, colours: random too, not shown here",
        )
        canvas.paragraph(MARGIN, below, lines, 19, 13)
    else:
        _views(canvas, MARGIN, below, scene)
    canvas.text(346, top, title, bold=True)
    _film_strip(canvas, 346, top + 24, scene)
    height, width = scene.scaled
    canvas.words = (
        f"{footage.name}, {video.num_frames} frames: {kind}, {state.way}, of {len(clip)} frames, "
        f"{clip[0]} to {clip[-1]}; {span}; {choice}. {scene.name.capitalize()} crop: {scene.size} "
        f"× {scene.size} of {width} × {height} pixels."
    )
    return canvas


def _large_frame(canvas: Canvas, x, y, scene: Scene, whole: bool) -> float:
    """A frame, pale outside the crop in which a film runs; returns where it ends."""
    state, footage, clip, size = scene.state, scene.footage, scene.clip, scene.size
    frame, (height, width) = clip[state.shown], scene.scaled
    scale = min(LARGE / width, (186 if state.training else 164) / height)
    canvas.text(x, y, f"Frame {frame}, {scene.time(frame)}", bold=True)
    picture, cut = scene.pictures[state.shown], scene.cuts[scene.crop]
    canvas.frame(x, y + 24, width * scale, height * scale, picture, fade=FADED)
    side, boxes = size * scale, list(scene.boxes.values())
    spots = [(x + left * scale, y + 24 + top * scale, side, side) for top, left in boxes]
    canvas.frame(*spots[scene.crop], picture, cut)
    film, pictures, rate = clip.tolist(), scene.pictures, 1 / max(np.abs(np.diff(clip)).mean(), 0.1)
    if whole and not footage.is_large:
        film, rate = list(range(scene.video.num_frames)), 1
        pictures = footage.pictures(film, SIDE)
    rate *= scene.video.num_frames / duration(scene.video.times)
    canvas.film(*spots[scene.crop], pictures, "frame", film, round(float(rate), 2), cut)
    # what lies on top can be pressed: of crops that overlap the one in the middle, never the chosen
    for i in sorted(range(len(spots)), key=lambda i: (i != scene.crop, i == 1)):
        (left, top, *_), (row, column), edge = spots[i], boxes[i], 3 * (i == scene.crop)
        # the edge of the chosen one lies around its film
        outer, colour = side + 2 * edge, CROP_COLOURS[(i + (len(spots) == 1)) % 3]
        canvas.box(left - edge, top - edge, outer, outer, colour, line=max(edge, 2))
        says = f"{scene.names[i]} crop: {size} × {size} at row {row}, column {column}"
        canvas.region(*spots[i], says, **({"crop": i} if len(spots) > 1 else {}))
    bottom = y + 32 + height * scale
    canvas.note(x, bottom, f"{size} × {size} of {width} × {height}, {scene.name} crop", 13)
    return bottom + 24


def _views(canvas: Canvas, x, y, scene: Scene) -> None:
    """The middle frame of each test clip, cut by each crop: all that is averaged."""
    clips, cuts = scene.clips, scene.cuts
    side = min((LARGE + 4) / len(clips), (HEIGHT - 8 - y) / len(cuts), 64) - 4
    middles = scene.footage.pictures(clips[:, clips.shape[1] // 2], SIDE)
    for view, picture in enumerate(middles):
        for i, cut in enumerate(cuts):
            left, top = x + view * (side + 4), y + i * (side + 4)
            canvas.frame(left, top, side, side, picture, cut)
            says = f"view {view * len(cuts) + i + 1}: clip {view + 1}, {scene.names[i]} crop"
            canvas.region(left, top, side, side, says, view=view, crop=i)
            if (view, i) == (scene.state.view, scene.state.crop):
                canvas.box(left - 2, top - 2, side + 4, side + 4, ORANGE, line=3)


def _time_line(canvas: Canvas, y: float, scene: Scene) -> float:
    """Frames on the line, where they are shown, and one lane a clip; returns where it ends."""
    state, video, times = scene.state, scene.video, scene.video.times
    left, right, count = MARGIN + NAMES, WIDTH - MARGIN, video.num_frames
    scale = (right - left) / duration(times)
    edges = left + scale * np.append(times - times[0], duration(times))

    canvas.text(MARGIN, y + 7, "the video", anchor="lm")
    canvas.box(left, y, right - left, 14, fill=TRACK)
    if count <= MOST_TICKS:
        canvas.ticks(edges[:-1], y + 8, y + 14, DIM)
    canvas.ticks(edges[list(video.key_frames)], y, y + 14, INK, 2)
    _frames(canvas, (left, y, edges[-1] - left, 14), "", scene, edges, range(count))
    last = -100.0
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if count / s <= 12)
    for frame in range(0, count, step):
        if edges[frame] - last >= 40:
            last = edges[frame]
            canvas.note(last, y + 17, f"{frame}", 13)
            canvas.line([(last, y + 14), (last, y + 18)], MUTED, 0.7)

    top, starts = y + 36, state.starts(times)
    lanes = [({"view": i}, f"clip {i + 1}", state, clip) for i, clip in enumerate(scene.clips)]
    colours = [INK if i == state.view else MUTED for i in range(len(lanes))]  # not the crops' own
    if state.training:
        ways = [replace(state, way=way) for way in WAYS]
        lanes = [({"way": each.way}, each.way, each, each.clips(times)[0]) for each in ways]
        colours = [BLUE if each == state else MUTED for each in ways]
    pitch = 20 if state.training else min(20, 110 / len(lanes))
    for i, (at, words, lane, clip) in enumerate(lanes):
        chosen, colour = at in ({"way": state.way}, {"view": state.view}), colours[i]
        if pitch >= 14:
            canvas.text(MARGIN, top + pitch / 2 - 2, words, bold=chosen, anchor="lm")
        _lane(canvas, top, pitch - 4, clip, edges, colour, lane.late(clip, times))
        first, last = edges[clip.min()], edges[clip.max() + 1]
        if chosen:
            canvas.box(first - 2, top - 2, last - first + 4, pitch, colour, line=1, radius=3)
        canvas.region(MARGIN, top - 2, right - MARGIN, pitch, f"{words}: press to see it", **at)
        area = first, top - 2, last - first, pitch
        _frames(canvas, area, f"{words}: ", scene, edges, np.unique(clip), **at)
        if state.training and chosen and starts > 1:
            each = range(0, starts, -(-starts // MOST_STARTS))
            places = [edges[start] + (last - first) / 2 for start in each]
            says, values = "drag the clip: from frame {start}, {value}", map(scene.time, each)
            drag = {"across": ("start", each), "places": places, "grip": (first, last - first)}
            canvas.region(left, top - 2, right - left, pitch, says, list(values), **drag)
        top += pitch
    return top


def _frames(canvas: Canvas, area, words: str, scene: Scene, edges, frames, **at) -> None:
    """Each of some frames of the video can be pointed at on the time line."""
    frames = [int(each) for each in frames][:: -(-len(frames) // MOST_TICKS)]
    places = [(edges[each] + edges[each + 1]) / 2 for each in frames]
    says, values = words + "frame {frame}, {value}", list(map(scene.time, frames))
    canvas.region(*area, says, values, across=("frame", frames), places=places, **at)


def _lane(canvas: Canvas, y, height, clip, edges, colour: str, late: np.ndarray) -> None:
    """The frames of a clip on the time line, one step lower with each turn; red: the late ones."""
    turn = np.cumsum(np.diff(clip, prepend=clip[0]) < 0)
    step = height / (turn[-1] + 1)
    tall = step if turn[-1] == 0 else max(step - 2, 1)
    middles = (edges[clip] + np.minimum(edges[clip + 1], edges[clip] + 8)) / 2
    for each in range(turn[-1] + 1):
        top, here = y + step * each, turn == each
        first, last = edges[clip[here].min()], edges[clip[here].max() + 1]
        canvas.box(first, top, last - first, tall, fill=colour + "30")
        canvas.ticks(middles[here & ~late], top, top + tall, colour, 2)
        canvas.ticks(middles[here & late], top, top + tall, RED, 2)


def _film_strip(canvas: Canvas, x, y, scene: Scene) -> None:
    """All frames of a clip, cropped, each with its number in the video; red: after its end."""
    clip, state = scene.clip, scene.state
    width, height, count = WIDTH - MARGIN - x, HEIGHT - y - 4, len(clip)
    pitches = {n: min((width + 4) / n, height / -(-count // n) - 16) for n in range(1, 17)}
    per_row = max(pitches, key=pitches.get)
    pitch = min(pitches[per_row], 140)
    late = state.late(clip, scene.video.times)
    for i, (frame, picture) in enumerate(zip(clip, scene.pictures, strict=True)):
        left, top, side = x + i % per_row * pitch, y + i // per_row * (pitch + 16), pitch - 4
        canvas.frame(left, top, side, side, picture, scene.cuts[scene.crop])
        if i == state.shown:
            canvas.box(left - 2, top - 2, side + 4, side + 4, ORANGE, line=3)
        colour = RED if late[i] else MUTED
        canvas.text(left + side / 2, top + side + 1, f"{frame}", 13, colour, anchor="ma")
        says = f"frame {frame}, {scene.time(frame)}" + ", after the end" * bool(late[i])
        canvas.region(left, top, side, side + 14, says, frame=int(frame), shown=i)


class ClipExplorer(Explorer):
    """By frame, time or segment; clip length, stride, seed; training or testing; what is seen.

    The seed draws where the training clip starts; `start` moves it by hand, until the seed, the
    mode or the video changes. `view`, `crop`, `shown`: which test clip, crop, frame is looked at.

    Args:
        clip: name of a sample, or path of a video.
        clip_frames, stride, seed, training, way: where the controls start; `way` is one of WAYS.

    Source: paper section 4.1; SlowFast's views and TSN's segments beside it.

    Example:
        >>> explorer = ClipExplorer("counter", clip_frames=16)
        >>> explorer.mode.value = "test"
        >>> explorer.clips()[:, 0]
        array([  0,  89, 178, 268])
    """

    width, height = WIDTH, HEIGHT

    def __init__(
        self, clip: str | Path = "rabbit", clip_frames=32, stride=2, seed=0, training=True,
        way="by frame",
    ):  # fmt: skip
        self.picker = FootagePicker(clip, self._on_video, decode=SIDE)
        self.clip = self.picker.name
        modes = [("training", "train"), ("testing", "test")]
        self.mode = buttons(modes, "train" if training else "test", width=110)
        self.way = buttons([(way.removeprefix("by "), way) for way in WAYS], way)
        lengths = sorted({*CLIP_LENGTHS, clip_frames})
        self.clip_frames = legal_slider("clip length", lengths, clip_frames)
        self.stride = legal_slider("stride", sorted({*STRIDES, stride}), stride)
        self.short = dropdown("if too short", SHORT.items())
        self.seed = legal_slider("seed", range(max(51, seed + 1)), seed)
        self.start, self.by_hand = whole_slider("start", 1), False
        self.recipe = dropdown("views", RECIPES)
        self.view = whole_slider("test clip", RECIPES[self.recipe.value][0])
        self.crop = legal_slider("crop", [("left", 0), ("centre", 1), ("right", 2)], 1)
        self.shown = whole_slider("frame shown", clip_frames, clip_frames // 2)
        self.film = buttons([("the clip", False), ("the whole video", True)], width=130)
        self.adjust(self.mode)
        controls = {
            "Video": [self.picker.ui, self.shown, self.film],
            "Frames of a clip, by": [self.way, self.clip_frames, self.stride, self.short],
            "Which clips": [self.mode, self.seed, self.start, self.recipe, self.view, self.crop],
        }
        super().__init__(controls)

    @property
    def arrows(self) -> tuple[str, str, str]:
        return ("start", "seed", "way") if self.mode.value == "train" else ("crop", "view", "way")

    def state(self) -> ClipState:
        start = self.start.value if self.by_hand else None
        return self.read(ClipState, training=self.mode.value == "train", start=start)

    def clips(self) -> np.ndarray:
        """Frame numbers of the clips in the picture, (clips, clip_frames)."""
        return self.state().clips(self.picker.footage.video.times)

    def draw(self) -> Canvas:
        return draw(self.state(), self.picker.footage, self.film.value)

    def adjust(self, moved: widgets.Widget) -> None:
        """What would change nothing cannot be moved; what is too far moves to the nearest."""
        training, video = self.mode.value == "train", self.picker.footage.video
        if moved in (self.start, self.seed, self.mode):
            self.by_hand = moved is self.start
        self.set_last(self.view, RECIPES[self.recipe.value][0] - 1)
        self.set_last(self.shown, self.clip_frames.value - 1)
        state = self.state()
        if training:
            drawn = None if self.by_hand else int(state.clips(video.times)[0, 0])
            self.set_last(self.start, state.starts(video.times) - 1, drawn)
        else:
            _, _, crops = state.crops(video.height, video.width)
            self.set_options(self.crop, [(name, i) for i, name in enumerate(crops)])
        self.seed.disabled = not training
        self.start.disabled = not training or self.start.max == 0
        self.recipe.disabled = self.view.disabled = self.crop.disabled = training
        self.stride.disabled = self.short.disabled = self.way.value == "by segment"

    def _on_video(self) -> None:
        with self.one_redraw():
            self.adjust(self.mode)
