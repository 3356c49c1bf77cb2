"""Which frames does the model see? The time line of a video, and the clips cut from it."""

from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.video import (
    TrainTransform,
    resized_size,
    span_frames,
    span_seconds,
    test_clips,
    three_crops,
    train_clip,
)
from vivit_lab.widgets.footage import Clip, Footage, FootagePicker
from vivit_lab.widgets.surface import (
    BLUE,
    INK,
    MUTED,
    ORANGE,
    RED,
    TEAL,
    Canvas,
    Explorer,
    column,
    columns,
    legal_slider,
    one_at_a_time,
)

CLIP_LENGTHS = (4, 8, 16, 32, 64)
STRIDES = (1, 2, 3, 4, 6, 8)
RECIPES = {  # name: (clips, crops, crop size, short side)
    "ViViT: 4 clips × 3 crops of 224": (4, 3, 224, 256),
    "SlowFast: 10 clips × 3 crops of 256": (10, 3, 256, 256),
    "quick: 1 clip × 1 crop of 224": (1, 1, 224, 256),
}
CROP_COLOURS = (BLUE, ORANGE, TEAL)
THUMBNAIL_SIDE = 160  # short side of what is decoded for the picture
WIDTH, HEIGHT, MARGIN = 920, 560, 12


@dataclass(frozen=True)
class ClipState:
    """All that the picture depends on, besides the video."""

    training: bool
    clip_frames: int
    stride: int
    seed: int
    recipe: str  # of testing, a key of RECIPES

    def clips(self, num_frames: int) -> np.ndarray:
        """Frame numbers, (clips, clip_frames): one clip in training, several in testing."""
        if self.training:
            return train_clip(num_frames, self.clip_frames, self.stride, self.seed)[None]
        return test_clips(num_frames, RECIPES[self.recipe][0], self.clip_frames, self.stride)

    def crops(self, height: int, width: int) -> tuple[int, int, list[tuple[int, int]]]:
        """(short side, crop size, [(top, left), ...]) in pixels of the scaled video."""
        if self.training:
            transform = TrainTransform()
            short_side, top, left = transform.crop_box(height, width, self.seed)
            return short_side, transform.crop, [(top, left)]
        _, crops, size, short_side = RECIPES[self.recipe]
        boxes = three_crops(*resized_size(height, width, short_side), size)
        return short_side, size, boxes if crops == 3 else boxes[1:2]


def draw(state: ClipState, footage: Footage) -> Canvas:
    """The picture: time line with key frames and clips; where the crops lie; what is left."""
    video = footage.video
    clips = state.clips(video.num_frames)
    short_side, size, boxes = state.crops(video.height, video.width)
    canvas = Canvas(WIDTH, HEIGHT)
    _heading(canvas, state, footage, len(clips), len(boxes))
    bottom = _time_line(canvas, 66, state, footage, clips)

    middle = clips[len(clips) // 2]
    frame = footage.clip(middle[len(middle) // 2 :][:1], THUMBNAIL_SIDE).pixels[0]
    scaled = resized_size(video.height, video.width, short_side)
    top = bottom + 22
    _crop_picture(canvas, MARGIN, top, frame, scaled, size, boxes, state.training)
    if state.training:
        _clip_strip(canvas, 330, top, footage, clips[0], scaled, size, boxes[0])
    else:
        _clip_rows(canvas, 330, top, footage, clips, scaled, size, boxes[len(boxes) // 2])
    return canvas


def _heading(canvas: Canvas, state: ClipState, footage: Footage, clips: int, crops: int) -> None:
    video = footage.video
    span = span_frames(state.clip_frames, state.stride)
    if state.training:
        title = f"Training: one random clip of {state.clip_frames} frames, stride {state.stride}"
    else:
        views = clips * crops
        title = f"Testing: {clips} × {crops} = {views} view{'s' * (views > 1)} of one video"
    canvas.text(MARGIN, 10, title, size=15, bold=True, colour=BLUE)
    seconds = span_seconds(state.clip_frames, state.stride, video.fps)
    words = f"span {state.clip_frames} × {state.stride} = {span} frames = {seconds:.2f} s"
    canvas.text(WIDTH - MARGIN, 10, words, size=15, bold=True, colour=ORANGE, anchor="ra")
    words = (
        f"{footage.name}: {video.num_frames} frames of {video.width} × {video.height}, "
        f"{video.fps:.5g} a second, {video.duration:.2f} s; key frames (dark): "
        f"{len(video.key_frames)}"
    )
    canvas.text(MARGIN, 34, words, colour=MUTED)
    short = video.num_frames < span - state.stride + 1
    if short:
        words = "shorter than the clip: it starts again"
    elif state.training:
        words = f"{video.num_frames - span + state.stride} possible starts"
    else:
        words = "starts evenly spread, first to last"
    canvas.text(WIDTH - MARGIN, 34, words, colour=RED if short else MUTED, anchor="ra")


def _time_line(canvas: Canvas, y: float, state: ClipState, footage: Footage, clips) -> float:
    """Key frames on the line, one lane a clip under it; returns where the next thing may start."""
    video = footage.video
    count, width = video.num_frames, WIDTH - 2 * MARGIN

    def at(frame: float) -> float:
        return MARGIN + width * frame / count

    canvas.box(MARGIN, y, width, 14, fill="#eef1f6")
    for key in video.key_frames:
        canvas.line([(at(key), y), (at(key), y + 14)], MUTED, 1.5)
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**9) if count / s <= 12)
    for frame in range(0, count, step):
        canvas.text(at(frame), y + 17, f"{frame}", size=10, colour=MUTED)
        canvas.line([(at(frame), y + 14), (at(frame), y + 18)], MUTED, 0.7)

    lane = 26 if len(clips) == 1 else min(18, 110 / len(clips))
    top = y + 34
    for i, clip in enumerate(clips):
        colour = CROP_COLOURS[i % 3]
        last = min(count, clip[0] + span_frames(state.clip_frames, state.stride))
        canvas.box(at(clip[0]), top, at(last) - at(clip[0]), lane - 3, fill=colour + "38")
        for k, frame in enumerate(clip):
            wrapped = frame < clip[0] or k * state.stride >= count
            x = at(frame + 0.5)
            canvas.line([(x, top), (x, top + lane - 3)], RED if wrapped else colour, 1.5)
        top += lane
    return top


def _crop_picture(canvas: Canvas, x, y, frame, scaled, size, boxes, training: bool) -> None:
    """One frame of the clip, with the crop or crops drawn on it."""
    height, width = scaled
    scale = min(296 / width, (HEIGHT - y - 52) / height)
    canvas.text(x, y, "The crop" if training else "The crops", bold=True)
    top = y + 24
    canvas.picture(x, top, width * scale, height * scale, frame)
    for i, (box_top, box_left) in enumerate(boxes):
        colour = CROP_COLOURS[(i + (training or len(boxes) == 1)) % 3]
        where = (x + box_left * scale, top + box_top * scale)
        canvas.box(*where, size * scale, size * scale, outline=colour, line=3)
    words = f"{size} × {size} of {width} × {height}"
    canvas.text(x, top + height * scale + 6, words, size=12, colour=MUTED)


def _clip_strip(canvas: Canvas, x, y, footage, clip, scaled, size, box) -> None:
    """All frames of a training clip, cropped, each with its number in the video."""
    canvas.text(x, y, f"What the model sees: {len(clip)} frames, one crop for all", bold=True)
    area_width, area_height = WIDTH - MARGIN - x, HEIGHT - y - 30
    per_row, pitch = max(
        ((n, min(area_width / n, area_height / -(-len(clip) // n) - 15)) for n in range(1, 17)),
        key=lambda choice: choice[1],
    )
    pitch = min(pitch, 140)
    cropped = _cropped(footage.clip(clip, THUMBNAIL_SIDE), scaled, size, box)
    for i, image in enumerate(cropped.thumbnails(pitch - 4, pitch - 4)):
        left, top = x + i % per_row * pitch, y + 24 + i // per_row * (pitch + 15)
        canvas.thumbnail(left, top, image)
        middle = (left + pitch / 2 - 2, top + pitch - 3)
        canvas.text(*middle, f"{clip[i]}", size=10, colour=INK, anchor="ma")


def _clip_rows(canvas: Canvas, x, y, footage, clips, scaled, size, box) -> None:
    """One row a test clip: some of its frames, centre crop."""
    shown = np.unique(np.linspace(0, clips.shape[1] - 1, 8).round().astype(int))
    words = f"{len(shown)} of the {clips.shape[1]} frames of each clip, centre crop"
    canvas.text(x, y, words, bold=True)
    pitch = min((HEIGHT - y - 34) / len(clips), (WIDTH - MARGIN - x - 92) / len(shown), 110)
    for i, clip in enumerate(clips):
        top = y + 24 + i * pitch
        colour = CROP_COLOURS[i % 3]
        canvas.text(x, top + pitch / 2 - 2, f"{clip[0]} … {clip[-1]}", colour=colour, anchor="lm")
        cropped = _cropped(footage.clip(clip[shown], THUMBNAIL_SIDE), scaled, size, box)
        for j, image in enumerate(cropped.thumbnails(pitch - 4, pitch - 4)):
            canvas.thumbnail(x + 92 + j * pitch, top, image)


def _cropped(clip: Clip, scaled: tuple[int, int], size: int, box: tuple[int, int]) -> Clip:
    """The crop, given in pixels of the video scaled to `scaled`, of frames of another size."""
    scale = clip.pixels.shape[1] / scaled[0]
    top, left, side = (round(length * scale) for length in (*box, size))
    return Clip(np.ascontiguousarray(clip.pixels[:, top : top + side, left : left + side]))


class ClipExplorer(Explorer):
    """Sliders for clip length, stride and seed; training or testing; time line, crops, frames.

    Args:
        clip: name of a sample, or path of a video.
        clip_frames, stride, seed, training: where the controls start.

    Source: paper section 4.1; SlowFast's protocol beside it.

    Example:
        >>> explorer = ClipExplorer("counter", clip_frames=16)
        >>> explorer.mode.value = "test"
        >>> explorer.state().clips(300)[:, 0]
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
    ):
        self.picker = FootagePicker(clip, on_change=self._on_footage)
        self.picker.footage.decode_all(THUMBNAIL_SIDE)
        self.mode = widgets.ToggleButtons(
            options=[("training", "train"), ("testing", "test")],
            value="train" if training else "test",
            style={"button_width": "110px"},
        )
        lengths = sorted({*CLIP_LENGTHS, clip_frames})
        self.clip_frames = legal_slider("clip length", lengths, clip_frames)
        self.stride = legal_slider("stride", sorted({*STRIDES, stride}), stride)
        self.seed = legal_slider("seed", range(max(51, seed + 1)), seed)
        self.recipe = widgets.Dropdown(
            options=list(RECIPES),
            description="views",
            style={"description_width": "96px"},
            layout=widgets.Layout(width="98%"),
        )
        for control in (self.mode, self.clip_frames, self.stride, self.seed, self.recipe):
            control.observe(self._on_control, "value")
        self._enable()
        super().__init__(
            columns(
                column("Video", *self.picker.controls),
                column("Clip", self.clip_frames, self.stride),
                column("Which clips", self.mode, self.seed, self.recipe),
            )
        )

    def state(self) -> ClipState:
        """The present state of the controls."""
        return ClipState(
            training=self.mode.value == "train",
            clip_frames=self.clip_frames.value,
            stride=self.stride.value,
            seed=self.seed.value,
            recipe=self.recipe.value,
        )

    def draw(self) -> Canvas:
        return draw(self.state(), self.picker.footage)

    @one_at_a_time
    def _on_footage(self) -> None:
        self.picker.footage.decode_all(THUMBNAIL_SIDE)
        self.refresh()

    @one_at_a_time
    def _on_control(self, _change) -> None:
        self._enable()
        self.refresh()

    def _enable(self) -> None:
        training = self.mode.value == "train"
        self.seed.disabled, self.recipe.disabled = not training, training
