"""Which frames does the model see? The time line of a video, and the clips cut from it."""

from dataclasses import dataclass, replace
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from PIL import Image

from vivit_lab.video import ByFrame, BySegment, ByTime, TrainTransform, resized_size, three_crops
from vivit_lab.video.sampling import duration
from vivit_lab.widgets.canvas import BLUE, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import plural
from vivit_lab.widgets.footage import Clip, Footage, FootagePicker
from vivit_lab.widgets.surface import Explorer, buttons, dropdown, legal_slider

CLIP_LENGTHS = (4, 8, 16, 32, 64)
STRIDES = (1, 2, 3, 4, 6, 8)
SHORT = {"start again (loop)": "loop", "hold the last frame": "hold"}
CROP_COLOURS = (BLUE, ORANGE, TEAL)
THUMBNAIL_SIDE = 160  # short side of what is decoded for the picture
WIDTH, HEIGHT, MARGIN = 920, 560, 12
NAMES = 78  # pixels, left of the lanes of a training clip
MOST_TICKS = 500  # frames of which each gets a mark on the time line


WAYS = ("by frame", "by time", "by segment")
USUAL_RATE = 25  # frames a second; "by time" keeps the pace that the stride has in such a video
RECIPES = {  # name: (clips, crops, crop size, short side)
    "ViViT: 4 clips × 3 crops of 224": (4, 3, 224, 256),
    "SlowFast: 10 clips × 3 crops of 256": (10, 3, 256, 256),
    "quick: 1 clip × 1 crop of 224": (1, 1, 224, 256),
}


@dataclass(frozen=True)
class ClipState:
    """All that the picture depends on, besides the video."""

    training: bool = True
    clip_frames: int = 32
    stride: int = 2
    seed: int = 0
    recipe: str = next(iter(RECIPES))  # of testing
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
        if self.training:
            return self.sampling.train(times, np.random.default_rng(self.seed))[None]
        return self.sampling.test(times, RECIPES[self.recipe][0])

    def each_way(self, times: np.ndarray) -> dict[str, np.ndarray]:
        """The training clip (clip_frames,) of each of the three ways, at the same settings."""
        return {way: replace(self, way=way, training=True).clips(times)[0] for way in WAYS}

    def crops(self, height: int, width: int) -> tuple[int, int, list[tuple[int, int]]]:
        """(short side, crop size, [(top, left), ...]) in pixels of the scaled video."""
        if self.training:
            draw = TrainTransform().draw(height, width, self.seed)
            return draw.short_side, draw.height, [(draw.top, draw.left)]
        _, crops, size, short_side = RECIPES[self.recipe]
        boxes = three_crops(*resized_size(height, width, short_side), size)
        return short_side, size, boxes if crops == 3 else boxes[1:2]

    def room(self, times: np.ndarray) -> float:
        """Frames ("by time": seconds) that a clip leaves of the video."""
        reach = (self.clip_frames - 1) * (1 if self.way == "by segment" else self.stride)
        return duration(times) - reach / USUAL_RATE if self.way == "by time" else len(times) - reach

    def is_short(self, times: np.ndarray) -> bool:
        return self.room(times) <= 0

    def runs_out(self, times: np.ndarray) -> bool:
        """Whether a clip goes on after the video has ended; one frame of each part never does."""
        return self.way != "by segment" and self.is_short(times)

    def span(self, times: np.ndarray) -> str:
        frames, stride = self.clip_frames, self.stride
        if self.way == "by segment":
            return f"{frames} parts of {len(times)} frames = the whole video"
        if self.way == "by time":
            seconds = frames * stride / USUAL_RATE
            return f"{frames} frames at {USUAL_RATE / stride:.4g} a second = {seconds:.2f} s"
        seconds = frames * stride * duration(times) / len(times)
        return f"span {frames} × {stride} = {frames * stride} frames = {seconds:.2f} s"

    def choice(self, times: np.ndarray) -> str:
        """What there was to choose from, or what happens to a video that is too short."""
        if self.is_short(times):
            if self.way == "by segment":
                return "fewer frames than parts: some are shown again"
            then = "it starts again" if self.short == "loop" else "its last frame is held"
            return f"shorter than the clip: {then}"
        if self.way == "by segment":
            if self.training:
                return "a random frame of each part"
            one = RECIPES[self.recipe][0] == 1
            return "the middle of each part" if one else "evenly spread over each part"
        if not self.training:
            return "starts evenly spread, first to last"
        if self.way == "by time":
            return f"starts anywhere in the first {self.room(times):.2f} s"
        return f"{self.room(times)} possible starts"


def after_the_end(clip: np.ndarray, num_frames: int) -> np.ndarray:
    """Which frames of a clip come after the video has ended: looped, or its last one held."""
    step = np.diff(clip, prepend=-1)
    return np.logical_or.accumulate((step < 0) | ((step == 0) & (clip == num_frames - 1)))


def draw(state: ClipState, footage: Footage) -> Canvas:
    """The picture: time line with key frames and clips; where the crops lie; what is left."""
    video = footage.video
    clips = state.clips(video.times)
    short_side, size, boxes = state.crops(video.height, video.width)
    canvas = Canvas(WIDTH, HEIGHT)
    _heading(canvas, state, footage, len(clips), len(boxes))
    bottom = _time_line(canvas, 66, state, footage, clips)

    middle = clips[len(clips) // 2]
    frame = footage.clip(middle[len(middle) // 2 :][:1], THUMBNAIL_SIDE).pixels[0]
    scaled = resized_size(video.height, video.width, short_side)
    top = bottom + 22
    _crop_picture(canvas, MARGIN, top, frame, scaled, size, boxes, state.training)
    seen = _clip_strip if state.training else _clip_rows
    seen(canvas, 330, top, footage, clips, scaled, size, boxes[len(boxes) // 2])
    return canvas


def _heading(canvas: Canvas, state: ClipState, footage: Footage, clips: int, crops: int) -> None:
    video = footage.video
    title = f"Testing: {clips} × {crops} = {plural(clips * crops, 'view')}, {state.way}"
    if state.training:
        title = f"Training: one random clip of {state.clip_frames} frames, {state.way}"
    canvas.text(MARGIN, 10, title, size=15, bold=True, colour=BLUE)
    words = state.span(video.times)
    canvas.text(WIDTH - MARGIN, 10, words, size=15, bold=True, colour=ORANGE, anchor="ra")
    words = (
        f"{footage.name}: {video.num_frames} frames of {video.width} × {video.height}, "
        f"{video.fps:.5g} a second, {video.duration:.2f} s; key frames (dark): "
        f"{len(video.key_frames)}"
    )
    canvas.text(MARGIN, 34, words, colour=MUTED)
    colour = RED if state.is_short(video.times) else MUTED
    canvas.text(WIDTH - MARGIN, 34, state.choice(video.times), colour=colour, anchor="ra")


def _time_line(canvas: Canvas, y: float, state: ClipState, footage: Footage, clips) -> float:
    """Frames on the line, where they are shown, and one lane a clip; returns where it ends."""
    video = footage.video
    left = MARGIN + (NAMES if state.training else 0)
    scale = (WIDTH - MARGIN - left) / duration(video.times)
    edges = left + scale * np.append(video.times - video.times[0], duration(video.times))

    canvas.box(left, y, edges[-1] - left, 14, fill="#eef1f6")
    if video.num_frames <= MOST_TICKS:
        for x in edges[:-1]:
            canvas.line([(x, y + 7), (x, y + 14)], "#bcc4d2")
    for key in video.key_frames:
        canvas.line([(edges[key], y), (edges[key], y + 14)], MUTED, 1.5)
    _numbers(canvas, y, edges)

    top = y + 34
    if state.training:
        for way, clip in state.each_way(video.times).items():
            chosen = way == state.way
            canvas.text(MARGIN, top + 6, way, size=12, bold=chosen, anchor="lm")
            runs_out = replace(state, way=way).runs_out(video.times)
            _lane(canvas, top, 13, clip, edges, BLUE if chosen else MUTED, runs_out)
            top += 17
        return top
    lane = min(18, 110 / len(clips))
    for i, clip in enumerate(clips):
        _lane(canvas, top, lane - 3, clip, edges, CROP_COLOURS[i % 3], state.runs_out(video.times))
        top += lane
    return top


def _numbers(canvas: Canvas, y: float, edges: np.ndarray) -> None:
    count, last = len(edges) - 1, -100.0
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if count / s <= 12)
    for frame in range(0, count, step):
        if edges[frame] - last >= 34:
            last = edges[frame]
            canvas.note(last, y + 17, f"{frame}", 10)
            canvas.line([(last, y + 14), (last, y + 18)], MUTED, 0.7)


def _lane(canvas: Canvas, y: float, height: float, clip, edges, colour: str, runs_out) -> None:
    """The stretch of the time line that a clip covers, and its frames; red: after the end."""
    first, last = edges[clip.min()], edges[clip.max() + 1]
    canvas.box(first, y, last - first, height, fill=colour + "30")
    late = after_the_end(clip, len(edges) - 1) & runs_out
    for frame, is_late in zip(clip, late, strict=True):
        x = (edges[frame] + min(edges[frame + 1], edges[frame] + 8)) / 2
        canvas.line([(x, y), (x, y + height)], RED if is_late else colour, 1.5)


def _crop_picture(canvas: Canvas, x, y, frame, scaled, size, boxes, training: bool) -> None:
    height, width = scaled
    scale = min(296 / width, (HEIGHT - y - 52) / height)
    canvas.text(x, y, "The crop" if training else "The crops", bold=True)
    top = y + 24
    canvas.picture(x, top, width * scale, height * scale, frame)
    for i, (box_top, box_left) in enumerate(boxes):
        colour = CROP_COLOURS[(i + (training or len(boxes) == 1)) % 3]
        where = (x + box_left * scale, top + box_top * scale)
        canvas.box(*where, size * scale, size * scale, outline=colour, line=3)
    canvas.note(x, top + height * scale + 6, f"{size} × {size} of {width} × {height}", 12)


def _clip_strip(canvas: Canvas, x, y, footage, clips, scaled, size, box) -> None:
    """All frames of a training clip, cropped, each with its number in the video."""
    (clip,) = clips
    canvas.text(x, y, f"What the model sees: {len(clip)} frames, one crop for all", bold=True)
    area_width, area_height = WIDTH - MARGIN - x, HEIGHT - y - 30
    pitches = {n: min(area_width / n, area_height / -(-len(clip) // n) - 15) for n in range(1, 17)}
    per_row = max(pitches, key=pitches.get)
    pitch = min(pitches[per_row], 140)
    for i, image in enumerate(_cropped(footage, clip, scaled, size, box, pitch - 4)):
        left, top = x + i % per_row * pitch, y + 24 + i // per_row * (pitch + 15)
        canvas.thumbnail(left, top, image)
        canvas.text(left + pitch / 2 - 2, top + pitch - 3, f"{clip[i]}", 10, anchor="ma")


def _clip_rows(canvas: Canvas, x, y, footage, clips, scaled, size, box) -> None:
    """One row a test clip: some of its frames, centre crop."""
    shown = np.unique(np.linspace(0, clips.shape[1] - 1, 8).round().astype(int))
    words = f"{len(shown)} of the {clips.shape[1]} frames of each clip, centre crop"
    canvas.text(x, y, words, bold=True)
    pitch = min((HEIGHT - y - 34) / len(clips), (WIDTH - MARGIN - x - 92) / len(shown), 110)
    for i, clip in enumerate(clips):
        top, colour = y + 24 + i * pitch, CROP_COLOURS[i % 3]
        canvas.text(x, top + pitch / 2 - 2, f"{clip[0]} … {clip[-1]}", colour=colour, anchor="lm")
        for j, image in enumerate(_cropped(footage, clip[shown], scaled, size, box, pitch - 4)):
            canvas.thumbnail(x + 92 + j * pitch, top, image)


def _cropped(footage: Footage, clip, scaled, size, box, side: float) -> list[Image.Image]:
    """Thumbnails of the crop, which is given in pixels of the video scaled to `scaled`."""
    pixels = footage.clip(clip, THUMBNAIL_SIDE).pixels
    scale = pixels.shape[1] / scaled[0]
    top, left, width = (round(length * scale) for length in (*box, size))
    return Clip(pixels[:, top : top + width, left : left + width]).thumbnails(side, side)


class ClipExplorer(Explorer):
    """By frame, time or segment; clip length, stride, seed; training or testing; what is seen.

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
        self,
        clip: str | Path = "rabbit",
        clip_frames: int = 32,
        stride: int = 2,
        seed: int = 0,
        training: bool = True,
        way: str = "by frame",
    ):
        self.picker = FootagePicker(clip, self.refresh, decode=THUMBNAIL_SIDE)
        modes = [("training", "train"), ("testing", "test")]
        self.mode = buttons(modes, "train" if training else "test", width=110)
        self.way = buttons([(way.removeprefix("by "), way) for way in WAYS], way)
        lengths = sorted({*CLIP_LENGTHS, clip_frames})
        self.clip_frames = legal_slider("clip length", lengths, clip_frames)
        self.stride = legal_slider("stride", sorted({*STRIDES, stride}), stride)
        self.seed = legal_slider("seed", range(max(51, seed + 1)), seed)
        self.short = dropdown("if too short", SHORT.items())
        self.recipe = dropdown("views", RECIPES)
        self.adjust(self.mode)
        controls = {
            "Video": [self.picker.ui],
            "Frames of a clip, by": [self.way, self.clip_frames, self.stride, self.short],
            "Which clips": [self.mode, self.seed, self.recipe],
        }
        super().__init__(controls)

    def state(self) -> ClipState:
        return self.read(ClipState, training=self.mode.value == "train")

    def clips(self) -> np.ndarray:
        """Frame numbers of the clips in the picture, (clips, clip_frames)."""
        return self.state().clips(self.picker.footage.video.times)

    def draw(self) -> Canvas:
        return draw(self.state(), self.picker.footage)

    def adjust(self, moved: widgets.Widget) -> None:
        """What would change nothing cannot be moved."""
        training = self.mode.value == "train"
        self.seed.disabled, self.recipe.disabled = not training, training
        self.stride.disabled = self.short.disabled = self.way.value == "by segment"
