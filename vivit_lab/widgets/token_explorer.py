"""What is a token? Tubelets against sampled frames on one clip, and a microscope on one token."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.errors import divisors
from vivit_lab.models import ViViTConfig, token_voxels, uniform_frame_indices, voxel_token
from vivit_lab.video import test_clips
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.surface import (
    BLUE,
    LINE,
    MUTED,
    ORANGE,
    TEAL,
    Canvas,
    Explorer,
    column,
    columns,
    legal_slider,
    one_at_a_time,
    set_options,
)

FRAME_COUNTS = (4, 8, 12, 16, 24, 32)
IMAGE_SIZES = (96, 112, 128, 160, 192, 224)
STRIDE = 2  # of the frames that make up the clip, as in the paper
WIDTH, HEIGHT, MARGIN = 920, 596, 12


@dataclass(frozen=True)
class TokenState:
    """All that the picture depends on, besides the pixels."""

    tubelets: ViViTConfig  # tokenizer "tubelet"
    uniform: ViViTConfig  # tokenizer "uniform_frames", same clip, same patch
    voxel: tuple[int, int, int]  # (frame, row, column) under the microscope


def motion_lost(clip: np.ndarray, kept: Sequence[int]) -> float:
    """Share of a clip's frame-to-frame change that a choice of frames cannot see, 0..1.

    The change of a whole clip is the way that its pixels travel from the first frame to the last:
    the sum of |frame - next frame|. Looking at fewer frames means taking short cuts, so the way
    can only get shorter. What is missing is lost.

    Args:
        clip: (T, H, W, 3), whole numbers.
        kept: ascending frame numbers.

    Example:
        >>> clip = np.array([0, 9, 0, 0]).reshape(4, 1, 1, 1) * np.ones((1, 2, 2, 3))
        >>> motion_lost(clip, [0, 1, 2, 3]), motion_lost(clip, [0, 2, 3])
        (0.0, 1.0)
    """
    clip = clip.astype(np.int16)
    travelled = float(np.abs(np.diff(clip, axis=0)).sum())
    seen = float(np.abs(np.diff(clip[list(kept)], axis=0)).sum())
    return 1 - seen / travelled if travelled else 0.0


@functools.lru_cache(maxsize=16)
def _motion_lost(clip: Clip, kept: tuple[int, ...]) -> float:
    return motion_lost(clip.pixels, kept)


def draw(state: TokenState, clip: Clip) -> Canvas:
    """The picture: both tokenisations as film strips, the microscope, the counts side by side.

    Args:
        clip: of the shape that the configurations say.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    tubelets, uniform = state.tubelets, state.uniform
    token = voxel_token(tubelets, *state.voxel)
    frames, rows, columns_ = token_voxels(tubelets, token)
    kept = uniform_frame_indices(uniform.frames, uniform.sampled_frames).tolist()

    t, h, w = tubelets.tubelet
    title = f"Tubelet embedding: boxes of {t} × {h} × {w}"
    _title(canvas, 10, title, BLUE, tubelets)
    _strip(canvas, 36, clip, groups=t, lit=frames, kept=range(len(clip)), colour=BLUE)
    plural = "frame" if len(kept) == 1 else "frames"
    title = f"Uniform frame sampling: {len(kept)} {plural} of {len(clip)}, patches of {h} × {w}"
    _title(canvas, 150, title, TEAL, uniform)
    lit = [f for f in frames if f in kept]
    _strip(canvas, 176, clip, groups=1, lit=lit, kept=kept, colour=TEAL)

    canvas.line([(MARGIN, 290), (WIDTH - MARGIN, 290)], LINE)
    frame, row, column_ = state.voxel
    canvas.text(MARGIN, 302, f"Frame {frame}, row {row}, column {column_}", bold=True)
    _grid(canvas, MARGIN, 326, 256, clip.pixels[frame], tubelets, rows, columns_)
    _microscope(canvas, 292, 302, clip.pixels, tubelets, token, kept)
    _counts(canvas, 640, 302, state, _motion_lost(clip, tuple(kept)))
    return canvas


def _title(canvas: Canvas, y: float, words: str, colour: str, config: ViViTConfig) -> None:
    canvas.text(MARGIN, y, words, size=15, bold=True, colour=colour)
    nt, nh, nw = config.grid
    total = f"{nt} × {nh} × {nw} = {config.tokens:,} tokens"
    canvas.text(WIDTH - MARGIN, y, total, size=15, bold=True, colour=colour, anchor="ra")


def _strip(canvas: Canvas, y: float, clip: Clip, groups: int, lit: list, kept, colour: str) -> None:
    """All frames in one or two rows, bracketed in groups; only `kept` in full colour."""
    rows = 1 if len(clip) <= 16 else 2
    per_row = -(-len(clip) // rows)
    pitch = min((WIDTH - 2 * MARGIN) / per_row, 98 / rows)
    size = pitch - 4
    bright, faded = clip.thumbnails(size, size), clip.thumbnails(size, size, 0.82)
    for i in range(len(clip)):
        x, top = MARGIN + i % per_row * pitch, y + i // per_row * (size + 10)
        canvas.thumbnail(x, top, bright[i] if i in kept else faded[i])
        if i in kept:
            starts, ends = i % groups == 0, i % groups == groups - 1
            left = x if starts else x - 4
            strong = ORANGE if i in lit else colour
            canvas.box(left, top + size + 2, x + size - left, 3, fill=strong)
            if not ends and i % per_row == per_row - 1:  # a tubelet that goes on in the next row
                canvas.box(x + size, top + size + 2, 4, 3, fill=strong)
        if i in lit:
            canvas.box(x - 2, top - 2, size + 4, size + 4, outline=ORANGE, line=2)


def _grid(canvas: Canvas, x, y, size, frame, config: ViViTConfig, rows: range, columns_: range):
    """One frame with the grid of patches, and the patch of the token framed."""
    canvas.picture(x, y, size, size, frame)
    _, nh, nw = config.grid
    if max(nh, nw) <= 32:  # a finer grid would hide the frame
        for i in range(1, nh):
            canvas.line([(x, y + size * i / nh), (x + size, y + size * i / nh)], "#ffffff90")
        for i in range(1, nw):
            canvas.line([(x + size * i / nw, y), (x + size * i / nw, y + size)], "#ffffff90")
    height, width = config.image_size
    left, top = x + size * columns_.start / width, y + size * rows.start / height
    box = size * len(columns_) / width, size * len(rows) / height
    canvas.box(left - 2, top - 2, box[0] + 4, box[1] + 4, outline=ORANGE, line=2.5)


def _microscope(canvas: Canvas, x, y, clip, config: ViViTConfig, token: int, kept: list) -> None:
    """The voxels of one token, enlarged, and where they are."""
    frames, rows, columns_ = token_voxels(config, token)
    _, nh, nw = config.grid
    canvas.text(x, y, f"Token {token:,} under the microscope", bold=True, colour=ORANGE)
    step, row, column_ = token // (nh * nw), token // nw % nh, token % nw
    canvas.text(x, y + 24, f"= ({step} · {nh} + {row}) · {nw} + {column_}", colour=MUTED)
    canvas.text(x, y + 43, f"time step {step}, patch row {row}, patch column {column_}")
    across = next(n for n in (1, 2, 4, 8, 16) if n * -(-len(frames) // n) >= len(frames) <= n * n)
    pitch = min(330 / across, 136 / -(-len(frames) // across), 112)
    ratio = len(columns_) / len(rows)
    wide, tall = min(1, ratio) * (pitch - 5), min(1, 1 / ratio) * (pitch - 5)
    for i, f in enumerate(frames):
        left, top = x + i % across * pitch, y + 72 + i // across * pitch
        voxels = clip[f, rows.start : rows.stop, columns_.start : columns_.stop]
        canvas.picture(left, top, wide, tall, np.ascontiguousarray(voxels))
        canvas.box(left, top, wide, tall, outline=ORANGE if f not in kept else TEAL, line=1.5)
    bottom = y + 72 + -(-len(frames) // across) * pitch + 4
    h, w = len(rows), len(columns_)
    spans = (
        f"frames {_span(frames)}, rows {_span(rows)}, columns {_span(columns_)}",
        f"{len(frames)} × {h} × {w} × 3 = {len(frames) * h * w * 3:,} numbers → one vector",
    )
    for i, words in enumerate(spans):
        canvas.text(x, bottom + 19 * i, words, size=12.5)
    seen = [f for f in frames if f in kept]
    says = f"uniform sampling sees {_span(seen)} only" if seen else "uniform sampling sees none"
    words = "uniform sampling sees them all, one token each" if seen == frames else says
    canvas.text(x, bottom + 38, words, size=12.5, colour=TEAL)


def _counts(canvas: Canvas, x: float, y: float, state: TokenState, lost: float) -> None:
    """Both tokenisations in numbers."""
    a, b = state.tubelets, state.uniform
    t, h, w = a.tubelet
    rows = [
        ("", "tubelets", "uniform"),
        ("tokens", f"{a.tokens:,}", f"{b.tokens:,}"),
        ("with class token", f"{a.tokens + 1:,}", f"{b.tokens + 1:,}"),
        ("attention pairs", _short((a.tokens + 1) ** 2), _short((b.tokens + 1) ** 2)),
        ("time steps", f"{a.temporal_tokens}", f"{b.temporal_tokens}"),
        ("numbers in a token", f"{t * h * w * 3:,}", f"{h * w * 3:,}"),
        ("frames seen", f"{a.frames}", f"{b.sampled_frames} of {b.frames}"),
        ("motion lost", "0 %", f"{100 * lost:.0f} %"),
    ]
    for i, (name, tubelets, uniform) in enumerate(rows):
        top = y + 28 * i
        canvas.text(x, top, name, colour=MUTED)
        bold = i in (0, 1)
        canvas.text(x + 196, top, tubelets, colour=BLUE, bold=bold, anchor="ra")
        canvas.text(x + 268, top, uniform, colour=TEAL, bold=bold, anchor="ra")
        canvas.line([(x, top + 22), (x + 268, top + 22)], LINE, width=0.7)
    note = ("Motion lost: frame-to-frame change in", "the clip that the kept frames jump over.")
    for i, words in enumerate(note):
        canvas.text(x, y + 28 * len(rows) + 6 + 16 * i, words, size=11, colour=MUTED)


def _span(numbers) -> str:
    first, last = numbers[0], numbers[-1]
    return f"{first}" if first == last else f"{first}–{last}"


def _short(number: int) -> str:
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {unit}"
    return str(number)


class TokenExplorer(Explorer):
    """Sliders for frames, image size and tubelet; the token under the microscope; live counts.

    Args:
        clip: name of a sample, or path of a video.
        frames, image_size, tubelet, sampled_frames: where the sliders start.

    Only legal values can be chosen: a tubelet side divides its length. `token` and the three
    `voxel` sliders move each other.

    Source: paper section 3.2, figures 2 and 3.

    Example:
        >>> explorer = TokenExplorer("crossing", frames=16, image_size=96)
        >>> explorer.tubelet_t.value = 4
        >>> explorer.state().tubelets.tokens
        144
    """

    width, height = WIDTH, HEIGHT

    def __init__(
        self,
        clip: str | Path = "rabbit",
        frames: int = 16,
        image_size: int = 224,
        tubelet: tuple[int, int, int] = (2, 16, 16),
        sampled_frames: int = 4,
    ):
        config = ViViTConfig(frames=frames, image_size=image_size, tubelet=tubelet)  # checked
        t, h, w = tubelet
        self.picker = FootagePicker(clip, on_change=self.refresh)
        self.frames = legal_slider("frames", sorted({*FRAME_COUNTS, frames}), frames)
        sizes = sorted({*IMAGE_SIZES, image_size})
        self.image_size = legal_slider("image size", sizes, image_size)
        self.tubelet_t = legal_slider("tubelet t", _time_sizes(frames), t)
        self.tubelet_h = legal_slider("tubelet h", _patch_sizes(image_size), h)
        self.tubelet_w = legal_slider("tubelet w", _patch_sizes(image_size), w)
        self.sampled = legal_slider("kept frames", range(1, frames + 1), sampled_frames)
        self.token = _whole_slider("token", config.tokens)
        self.voxel = [
            _whole_slider("pixel: frame", frames),
            _whole_slider("row", image_size),
            _whole_slider("column", image_size),
        ]
        middle = voxel_token(config, frames // 2, image_size // 2, image_size // 2)
        self.token.value = middle
        self._look_at_token()
        for slider in (
            self.frames, self.image_size, self.tubelet_t, self.tubelet_h, self.tubelet_w,
            self.sampled,
        ):  # fmt: skip
            slider.observe(self._on_shape, "value")
        self.token.observe(self._on_token, "value")
        for slider in self.voxel:
            slider.observe(self._on_voxel, "value")
        super().__init__(
            columns(
                column("Clip", self.picker.ui, self.frames, self.image_size),
                column("Tokens", self.tubelet_t, self.tubelet_h, self.tubelet_w, self.sampled),
                column("Microscope", self.token, *self.voxel),
            )
        )

    def state(self) -> TokenState:
        """The present state of the sliders."""
        frames, size = self.frames.value, self.image_size.value
        t, h, w = self.tubelet_t.value, self.tubelet_h.value, self.tubelet_w.value
        return TokenState(
            tubelets=ViViTConfig(frames=frames, image_size=size, tubelet=(t, h, w)),
            uniform=ViViTConfig(
                frames=frames,
                image_size=size,
                tokenizer="uniform_frames",
                sampled_frames=self.sampled.value,
                tubelet=(1, h, w),
            ),
            voxel=tuple(slider.value for slider in self.voxel),
        )

    def draw(self) -> Canvas:
        return draw(self.state(), self.clip())

    def clip(self) -> Clip:
        """The clip on show: square frames at stride 2 from the video's middle."""
        footage, frames = self.picker.footage, self.frames.value
        indices = test_clips(footage.video.num_frames, 3, frames, STRIDE)[1]
        return footage.clip(indices, self.image_size.value, square=True)

    @one_at_a_time
    def _on_shape(self, _change) -> None:
        """Another clip or tubelet: other values are legal now; the pixel under the lens stays."""
        if self._quiet:
            return
        with self.one_redraw():
            frames, size = self.frames.value, self.image_size.value
            set_options(self.tubelet_t, _time_sizes(frames))
            set_options(self.tubelet_h, _patch_sizes(size))
            set_options(self.tubelet_w, _patch_sizes(size))
            set_options(self.sampled, range(1, frames + 1))
            for slider, length in zip(self.voxel, (frames, size, size), strict=True):
                slider.max = length - 1
        self._show_token()

    @one_at_a_time
    def _on_voxel(self, _change) -> None:
        if not self._quiet:
            self.refresh()
            self._show_token()

    @one_at_a_time
    def _on_token(self, _change) -> None:
        if not self._quiet:
            with self.one_redraw():
                self._look_at_token()

    def _show_token(self) -> None:
        """Let the token slider follow; after the picture, so that the picture need not wait.

        A slider in a browser whose range shrinks below its value sends the clipped value back, as
        if somebody had moved it. So the value goes first when the range shrinks.
        """
        state = self.state()
        token, last = voxel_token(state.tubelets, *state.voxel), state.tubelets.tokens - 1
        with self.quiet():
            if last < self.token.max:
                self.token.value, self.token.max = token, last
            else:
                self.token.max, self.token.value = last, token

    def _look_at_token(self) -> None:
        frames, rows, columns_ = token_voxels(self.state().tubelets, self.token.value)
        corner = (frames[0], rows.start, columns_.start)
        for slider, value in zip(self.voxel, corner, strict=True):
            slider.value = value


def _time_sizes(frames: int) -> list[int]:
    return [d for d in divisors(frames) if d <= 16]


def _patch_sizes(image_size: int) -> list[int]:
    """Legal patch sides: divisors of the image, fine enough to see and coarse enough to count."""
    return [d for d in divisors(image_size) if d >= 7]


def _whole_slider(label: str, count: int) -> widgets.IntSlider:
    return widgets.IntSlider(
        max=count - 1,
        description=label,
        style={"description_width": "96px"},
        layout=widgets.Layout(width="98%"),
    )
