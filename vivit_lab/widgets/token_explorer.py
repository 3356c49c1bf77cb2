"""What is a token? Tubelets against sampled frames on one clip, and a microscope on one token."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.errors import divisors
from vivit_lab.models import ViViTConfig, token_voxels, uniform_frame_indices, voxel_token
from vivit_lab.widgets.canvas import BLUE, LINE, MUTED, ORANGE, TEAL, WHITE, Canvas
from vivit_lab.widgets.charts import grid_lines, plural, short, shortened
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.surface import (
    Explorer,
    legal_slider,
    one_at_a_time,
    place_sliders,
    whole_slider,
)

FRAME_COUNTS = (4, 8, 12, 16, 24, 32)
IMAGE_SIZES = (96, 112, 128, 160, 192, 224)
WIDTH, HEIGHT, MARGIN = 920, 596, 12
FADED = 0.82  # a frame that is not kept, towards the paper


@dataclass(frozen=True)
class TokenState:
    """All that the picture depends on, besides the pixels."""

    tubelets: ViViTConfig  # tokenizer "tubelet"
    uniform: ViViTConfig  # tokenizer "uniform_frames", same clip, same patch
    voxel: tuple[int, int, int]  # (frame, row, column) under the microscope


@functools.lru_cache(maxsize=16)
def motion_lost(clip: Clip, kept: tuple[int, ...]) -> float:
    """Share of a clip's frame-to-frame change that a choice of frames cannot see, 0..1."""
    # The change of a clip is the way that its pixels travel, the sum of |frame - next frame|.
    # Fewer frames take short cuts, so the way can only get shorter: what is missing is lost.
    pixels = clip.pixels.astype(np.int16)
    ways = (np.diff(each, axis=0) for each in (pixels, pixels[list(kept)]))
    travelled, seen = (float(np.abs(way).sum()) for way in ways)
    return 1 - seen / travelled if travelled else 0.0


def draw(state: TokenState, clip: Clip) -> Canvas:
    canvas = Canvas(WIDTH, HEIGHT)
    tubelets, uniform = state.tubelets, state.uniform
    token = voxel_token(tubelets, *state.voxel)
    frames, rows, columns = token_voxels(tubelets, token)
    kept = uniform_frame_indices(uniform.frames, uniform.sampled_frames).tolist()

    t, h, w = tubelets.tubelet
    title = f"Tubelet embedding: boxes of {t} × {h} × {w}"
    _strip(canvas, 10, title, BLUE, tubelets, clip, range(len(clip)), frames)
    few = plural(len(kept), "frame")
    title = f"Uniform frame sampling: {few} of {len(clip)}, patches of {h} × {w}"
    _strip(canvas, 150, title, TEAL, uniform, clip, kept, frames)

    canvas.line([(MARGIN, 290), (WIDTH - MARGIN, 290)], LINE)
    frame, row, column = state.voxel
    canvas.text(MARGIN, 302, f"Frame {frame}, row {row}, column {column}", bold=True)
    _grid(canvas, MARGIN, 326, 256, clip, frame, tubelets, rows, columns)
    _microscope(canvas, 292, 302, clip, tubelets, token, kept)
    _counts(canvas, 640, 302, state, motion_lost(clip, tuple(kept)))
    canvas.words = (
        f"{len(clip)} frames, tubelets of {t} × {h} × {w}: {tubelets.tokens:,} tokens; uniform "
        f"frame sampling of {few}: {uniform.tokens:,}. Token {token:,} is frames {_span(frames)}, "
        f"rows {_span(rows)}, columns {_span(columns)}."
    )
    return canvas


def _strip(canvas: Canvas, y, title, colour: str, config: ViViTConfig, clip: Clip, kept, token):
    """All frames in one or two rows, a bracket a tubelet; `kept` in full colour, `token` framed."""
    nt, nh, nw = config.grid
    total = f"{nt} × {nh} × {nw} = {config.tokens:,} tokens"
    canvas.text(MARGIN, y, title, size=15, bold=True, colour=colour)
    canvas.text(WIDTH - MARGIN, y, total, size=15, bold=True, colour=colour, anchor="ra")
    groups, rows = config.tubelet[0], 1 if len(clip) <= 16 else 2
    per_row = -(-len(clip) // rows)
    pitch = min((WIDTH - 2 * MARGIN) / per_row, 98 / rows)
    size = pitch - 4
    for i, picture in enumerate(clip.pictures):
        x, top = MARGIN + i % per_row * pitch, y + 26 + i // per_row * (size + 10)
        canvas.frame(x, top, size, size, picture, fade=0 if i in kept else FADED)
        says = "frame {frame}" if i in kept else "frame {frame}: not looked at"
        canvas.region(x, top, size, size, says, frame=i)
        if i not in kept:
            continue
        left, right = x - 4 * (i % groups > 0), x + size
        if i % groups < groups - 1 and i % per_row == per_row - 1:
            right += 4  # a tubelet that goes on in the next row
        canvas.box(left, top + size + 2, right - left, 3, fill=ORANGE if i in token else colour)
        if i in token:
            canvas.box(x - 2, top - 2, size + 4, size + 4, outline=ORANGE, line=2)


def _grid(canvas: Canvas, x, y, size, clip, frame, config: ViViTConfig, rows, columns) -> None:
    """The frame of the pixel, cut into patches; a press on a patch takes its middle pixel."""
    canvas.frame(x, y, size, size, clip.pictures[frame])
    canvas.film(x, y, size, size, clip.pictures, "frame")
    (_, h, w), side = config.tubelet, config.image_size[0]
    across, down = ("column", range(w // 2, side, w)), ("row", range(h // 2, side, h))
    says = "the patch around row {row}, column {column}"
    canvas.region(x, y, size, size, says, across=across, down=down)
    if max(config.grid[1:]) <= 32:  # a finer grid would hide the frame
        grid_lines(canvas, x, y, size, *config.grid[1:], f"{WHITE}90")
    scale = size / config.image_size[0]
    left, top = x + columns.start * scale, y + rows.start * scale
    box = left - 2, top - 2, len(columns) * scale + 4, len(rows) * scale + 4
    canvas.box(*box, outline=ORANGE, line=2.5)


def _microscope(
    canvas: Canvas, x, y, clip: Clip, config: ViViTConfig, token: int, kept: list
) -> None:
    frames, rows, columns = token_voxels(config, token)
    count, h, w = len(frames), len(rows), len(columns)
    _, nh, nw = config.grid
    canvas.text(x, y, f"Token {token:,} under the microscope", bold=True, colour=ORANGE)
    step, row, column = token // (nh * nw), token // nw % nh, token % nw
    canvas.text(x, y + 24, f"= ({step} · {nh} + {row}) · {nw} + {column}", colour=MUTED)
    canvas.text(x, y + 43, f"time step {step}, patch row {row}, patch column {column}")
    across = next(n for n in (1, 2, 4, 8, 16) if n * -(-count // n) >= count <= n * n)
    down = -(-count // across)
    pitch = min(330 / across, 136 / down, 112)
    wide, tall = min(1, w / h) * (pitch - 5), min(1, h / w) * (pitch - 5)
    for i, f in enumerate(frames):
        left, top = x + i % across * pitch, y + 72 + i // across * pitch
        crop = columns.start, rows.start, columns.stop, rows.stop
        canvas.frame(left, top, wide, tall, clip.pictures[f], crop)
        canvas.region(left, top, wide, tall, "frame {frame}", frame=f)
        canvas.box(left, top, wide, tall, outline=ORANGE if f not in kept else TEAL, line=1.5)
    bottom = y + 76 + down * pitch
    spans = (
        f"frames {_span(frames)}, rows {_span(rows)}, columns {_span(columns)}",
        f"{count} × {h} × {w} × 3 = {count * h * w * 3:,} numbers → one vector",
    )
    canvas.paragraph(x, bottom, spans, 19, 12.5)
    seen = [f for f in frames if f in kept]
    says = shortened(", ".join(map(str, seen)), 22) + " only" if seen else "none"
    says = "them all, one token each" if len(seen) == count else says
    canvas.text(x, bottom + 38, f"uniform sampling sees {says}", size=12.5, colour=TEAL)


def _counts(canvas: Canvas, x: float, y: float, state: TokenState, lost: float) -> None:
    a, b = state.tubelets, state.uniform
    t, h, w = a.tubelet
    rows = [
        ("", "tubelets", "uniform"),
        ("tokens", f"{a.tokens:,}", f"{b.tokens:,}"),
        ("with class token", f"{a.tokens + 1:,}", f"{b.tokens + 1:,}"),
        ("attention pairs", short((a.tokens + 1) ** 2), short((b.tokens + 1) ** 2)),
        ("time steps", f"{a.temporal_tokens}", f"{b.temporal_tokens}"),
        ("numbers in a token", f"{t * h * w * 3:,}", f"{h * w * 3:,}"),
        ("frames seen", f"{a.frames}", f"{b.sampled_frames} of {b.frames}"),
        ("motion lost", "0 %", f"{100 * lost:.0f} %"),
    ]
    for i, (name, tubelets, uniform) in enumerate(rows):
        top, bold = y + 28 * i, i in (0, 1)
        canvas.text(x, top, name, colour=MUTED)
        canvas.text(x + 196, top, tubelets, colour=BLUE, bold=bold, anchor="ra")
        canvas.text(x + 268, top, uniform, colour=TEAL, bold=bold, anchor="ra")
        canvas.line([(x, top + 22), (x + 268, top + 22)], LINE)
    note = ("Motion lost: frame-to-frame change in", "the clip that the kept frames jump over.")
    canvas.paragraph(x, y + 28 * len(rows) + 6, note, 16, 12, MUTED)


def _span(numbers: Sequence[int]) -> str:
    first, last = numbers[0], numbers[-1]
    return f"{first}" if first == last else f"{first}–{last}"


class TokenExplorer(Explorer):
    """Sliders for frames, image size and tubelet; the token under the microscope; live counts.

    Args:
        clip: name of a sample, or path of a video.
        frames, image_size, tubelet, sampled_frames: where the sliders start.

    A tubelet side divides its length. `token` and the three `voxel` sliders move each other.

    Source: paper section 3.2, figures 2 and 3.

    Example:
        >>> explorer = TokenExplorer("crossing", frames=16, image_size=96)
        >>> explorer.tubelet_t.value = 4
        >>> explorer.state().tubelets.tokens
        144
    """

    width, height = WIDTH, HEIGHT
    arrows = "column", "row", "frame"

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
        sides = frames, image_size, image_size
        self.voxel = place_sliders(sides, names=("pixel: frame", "row", "column"))
        middle = voxel_token(config, *(side // 2 for side in sides))
        self.token = whole_slider("token", config.tokens, middle)
        self.adjust(self.token)
        controls = {
            "Clip": [self.picker.ui, self.frames, self.image_size],
            "Tokens": [self.tubelet_t, self.tubelet_h, self.tubelet_w, self.sampled],
            "Microscope": [self.token, *self.voxel],
        }
        super().__init__(controls)

    def state(self) -> TokenState:
        clip = {"frames": self.frames.value, "image_size": self.image_size.value}
        t, h, w = self.tubelet_t.value, self.tubelet_h.value, self.tubelet_w.value
        few = {"tokenizer": "uniform_frames", "sampled_frames": self.sampled.value}
        tubelets = ViViTConfig(**clip, tubelet=(t, h, w))
        uniform = ViViTConfig(**clip, **few, tubelet=(1, h, w))
        return TokenState(tubelets, uniform, tuple(slider.value for slider in self.voxel))

    def draw(self) -> Canvas:
        return draw(self.state(), self.clip())

    def control(self, name: str) -> widgets.Widget | None:
        voxel = ("frame", "row", "column")
        return self.voxel[voxel.index(name)] if name in voxel else super().control(name)

    def clip(self) -> Clip:
        return self.picker.footage.middle_clip(self.frames.value, self.image_size.value)

    def adjust(self, moved: widgets.Widget) -> None:
        """Another clip or tubelet: other values are legal; another token: other pixels."""
        frames, size = self.frames.value, self.image_size.value
        if moved is self.token:
            seen = token_voxels(self.state().tubelets, self.token.value)
            for slider, span in zip(self.voxel, seen, strict=True):
                slider.value = span[0]
        elif moved not in self.voxel:
            self.set_options(self.tubelet_t, _time_sizes(frames))
            self.set_options(self.tubelet_h, _patch_sizes(size))
            self.set_options(self.tubelet_w, _patch_sizes(size))
            self.set_options(self.sampled, range(1, frames + 1))
            for slider, length in zip(self.voxel, (frames, size, size), strict=True):
                self.set_last(slider, length - 1)

    @one_at_a_time
    def refresh(self, change: object = None) -> None:
        """The token slider follows after the picture, so that the picture need not wait."""
        super().refresh(change)
        if not self._quiet:
            state = self.state()
            with self.quiet():
                last = state.tubelets.tokens - 1
                self.set_last(self.token, last, voxel_token(state.tubelets, *state.voxel))


def _time_sizes(frames: int) -> list[int]:
    return [d for d in divisors(frames) if d <= 16]


def _patch_sizes(image_size: int) -> list[int]:
    return [d for d in divisors(image_size) if d >= 7]  # fewer pixels could not be seen
