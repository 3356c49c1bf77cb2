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
WIDTH, HEIGHT, MARGIN = 920, 530, 12
FADED = 0.82  # a frame that is not kept, towards the paper
# names in the picture: which of the three sliders of a pixel they move
AXES = {"frame": 0, "skipped": 0, "row": 1, "pixel_row": 1, "column": 2, "pixel_column": 2}


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


class Scene:
    """A state with its clip, the token under the microscope, and the frames that are kept."""

    def __init__(self, state: TokenState, clip: Clip):
        self.state, self.clip = state, clip
        self.tubelets, self.uniform = state.tubelets, state.uniform
        self.token = voxel_token(state.tubelets, *state.voxel)
        self.frames, self.rows, self.columns = token_voxels(state.tubelets, self.token)
        few = state.uniform.sampled_frames
        self.kept = uniform_frame_indices(len(clip), few).tolist()
        (_, h, w), (_, nh, nw) = state.tubelets.tubelet, state.tubelets.grid
        self.patches = nh * nw
        self.step = self.token // self.patches
        # the corners of the patches: coordinates by which a token lights up wherever it is seen
        self.grid = {
            "across": ("column", range(0, w * nw, w)),
            "down": ("row", range(0, h * nh, h)),
        }

    def tokens(self, step: int) -> str:
        first = step * self.patches
        return f"time step {step}, tokens {first:,} to {first + self.patches - 1:,}"

    def seen_by(self, frame: int) -> str:
        """Which tokens look at a frame, in both ways."""
        kept = self.tokens(self.kept.index(frame)) if frame in self.kept else "not looked at"
        return f"{self.tokens(frame // self.tubelets.tubelet[0])}\nuniform sampling: {kept}"


def draw(state: TokenState, clip: Clip, name: str) -> Canvas:
    scene, canvas, name = Scene(state, clip), Canvas(WIDTH, HEIGHT), shortened(name, 20)
    tubelets, few = state.tubelets, plural(len(scene.kept), "frame")
    t, h, w = tubelets.tubelet
    title = f"{name} · tubelet embedding: boxes of {t} × {h} × {w}"
    top = _strip(canvas, 8, title, BLUE, scene, tubelets, range(len(clip)))
    title = f"{name} · uniform frame sampling: {few} of {len(clip)}, patches of {h} × {w}"
    top = _strip(canvas, top + 6, title, TEAL, scene, state.uniform, scene.kept)

    canvas.line([(MARGIN, top), (WIDTH - MARGIN, top)], LINE)
    top += 9
    size = HEIGHT - 32 - top
    _frame(canvas, MARGIN, top, size, scene)
    left = MARGIN + max(size, 250) + 22
    _microscope(canvas, left, top, 636 - left, scene)
    _counts(canvas, 652, top, state, motion_lost(clip, tuple(scene.kept)))
    canvas.words = (
        f"{name}: {len(clip)} frames, tubelets of {t} × {h} × {w}: {tubelets.tokens:,} tokens; "
        f"uniform frame sampling of {few}: {state.uniform.tokens:,}. Token {scene.token:,} is "
        f"frames {_span(scene.frames)}, rows {_span(scene.rows)}, columns {_span(scene.columns)}."
    )
    return canvas


def _strip(canvas: Canvas, y, title, colour, scene: Scene, config: ViViTConfig, looked_at) -> float:
    """All frames in one or two rows, a bracket a time step; pale: not looked at. Where it ends."""
    clip, (t, _, _), (nt, nh, nw) = scene.clip, config.tubelet, config.grid
    canvas.text(MARGIN, y, title, size=15, bold=True, colour=colour)
    total = f"{nt} × {nh} × {nw} = {config.tokens:,} tokens"
    canvas.text(WIDTH - MARGIN, y, total, size=15, bold=True, colour=colour, anchor="ra")

    per_row = len(clip) if len(clip) <= 16 else -(-len(clip) // 2)
    pitch = min((WIDTH - 2 * MARGIN) / per_row, 82 if per_row == len(clip) else 50)
    size, scale = pitch - 4, (pitch - 4) / config.image_size[0]
    for i, picture in enumerate(clip.pictures):
        x, top = MARGIN + i % per_row * pitch, y + 26 + i // per_row * (size + 8)
        canvas.frame(x, top, size, size, picture, fade=0 if i in looked_at else FADED)
        # a frame that is skipped has another name, so that a film does not light it up
        name, says = "skipped", f"frame {i}: not looked at"
        if i in looked_at:
            name, says = "frame", f"frame {i}: {scene.tokens(looked_at.index(i))}"
            inside, left, right = i in scene.frames, x - 4 * (i % t > 0), x + size
            if i % t < t - 1 and i % per_row == per_row - 1:
                right += 4  # a tubelet that goes on in the next row
            canvas.box(left, top + size + 2, right - left, 3, fill=ORANGE if inside else colour)
            if inside:
                canvas.box(x - 2, top - 2, size + 4, size + 4, outline=ORANGE, line=2)
                patch = x + scene.columns.start * scale, top + scene.rows.start * scale
                sides = (max(len(each) * scale, 4) for each in (scene.columns, scene.rows))
                canvas.box(*patch, *sides, outline=ORANGE, line=2)
                # under the frame, which is what can be pressed
                canvas.region(x, top, size, size, **scene.grid, frame=i, step=scene.step)
        if config is scene.tubelets:
            says = f"frame {i}: {scene.seen_by(i)}"
        canvas.region(x, top, size, size, says, **{name: i})
    return top + size + 14


def _frame(canvas: Canvas, x, y, size, scene: Scene) -> None:
    """The frame of the pixel, cut into patches, each of which can be pressed."""
    (frame, row, column), config = scene.state.voxel, scene.tubelets
    (_, h, w), (_, nh, nw) = config.tubelet, config.grid
    canvas.text(x, y, f"Frame {frame}, row {row}, column {column}", bold=True)
    y += 24
    canvas.frame(x, y, size, size, scene.clip.pictures[frame])
    canvas.film(x, y, size, size, scene.clip.pictures, "frame")
    if max(nh, nw) <= 32:  # a finer grid would hide the frame
        grid_lines(canvas, x, y, size, nh, nw, WHITE + "90")
    scale = size / config.image_size[0]
    left, top = x + scene.columns.start * scale, y + scene.rows.start * scale
    canvas.box(left - 2, top - 2, w * scale + 4, h * scale + 4, outline=ORANGE, line=3)

    first, uniform = scene.step * scene.patches, f"frame {frame} is not looked at"
    if frame in scene.kept:
        uniform = f"token {{value{scene.kept.index(frame) * scene.patches - first:+d}}}"
    says = (
        f"token {{value}}: frames {_span(scene.frames)}, rows {{row}}–{{row+{h - 1}}}, "
        f"columns {{column}}–{{column+{w - 1}}}\nuniform sampling: {uniform}"
    )
    canvas.region(x, y, size, size, frame=frame)
    tokens = range(first, first + scene.patches)
    canvas.region(x, y, size, size, says, tokens, **scene.grid, step=scene.step)


def _microscope(canvas: Canvas, x, y, width, scene: Scene) -> None:
    frames, rows, columns = scene.frames, scene.rows, scene.columns
    count, h, w = len(frames), len(rows), len(columns)
    _, nh, nw = scene.tubelets.grid
    canvas.text(x, y, f"Token {scene.token:,} under the microscope", bold=True, colour=ORANGE)
    step, row, column = scene.step, scene.token // nw % nh, scene.token % nw
    canvas.text(x, y + 21, f"= ({step} · {nh} + {row}) · {nw} + {column}", colour=MUTED)
    canvas.text(x, y + 40, f"time step {step}, patch row {row}, patch column {column}")

    top, height = y + 66, HEIGHT - y - 140
    pitches = {n: min(width / n, height / -(-count // n), 150) for n in range(1, 17)}
    per_row = max(pitches, key=pitches.get)
    pitch = pitches[per_row]
    wide, tall = min(1, w / h) * (pitch - 5), min(1, h / w) * (pitch - 5)
    crop = columns.start, rows.start, columns.stop, rows.stop
    for i, f in enumerate(frames):
        area = x + i % per_row * (wide + 5), top + i // per_row * pitch, wide, tall
        canvas.frame(*area, scene.clip.pictures[f], crop)
        canvas.box(*area, outline=TEAL if f in scene.kept else ORANGE, line=2)
        says, each = "frame {frame}", {}
        if wide >= 4 * w:  # its pixels are large enough to be pressed
            says = "frame {frame}, row {pixel_row}, column {pixel_column}"
            each = {"across": ("pixel_column", columns), "down": ("pixel_row", rows)}
        here = {"frame": f, "step": step, "row": rows.start, "column": columns.start}
        canvas.region(*area, says, **each, **here)
        frame, row, column = scene.state.voxel
        if each and f == frame:
            left = area[0] + (column - columns.start) * wide / w
            up = area[1] + (row - rows.start) * tall / h
            canvas.box(left - 1, up - 1, wide / w + 2, tall / h + 2, outline=WHITE)
    spans = (
        f"frames {_span(frames)}, rows {_span(rows)}, columns {_span(columns)}",
        f"{count} × {h} × {w} × 3 = {count * h * w * 3:,} numbers → one vector",
    )
    canvas.paragraph(x, HEIGHT - 68, spans, 20, 13)
    seen = [f for f in frames if f in scene.kept]
    says = shortened(", ".join(map(str, seen)), 18) + " only" if seen else "none"
    says = "them all, one token each" if len(seen) == count else says
    canvas.text(x, HEIGHT - 28, f"uniform sampling sees {says}", colour=TEAL)


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
    pitch = (HEIGHT - 48 - y) / len(rows)
    for i, (name, tubelets, uniform) in enumerate(rows):
        top, bold = y + pitch * i, i in (0, 1)
        canvas.text(x, top, name, colour=MUTED)
        canvas.text(x + 188, top, tubelets, colour=BLUE, bold=bold, anchor="ra")
        canvas.text(x + 256, top, uniform, colour=TEAL, bold=bold, anchor="ra")
        canvas.line([(x, top + pitch / 2 + 7), (x + 256, top + pitch / 2 + 7)], LINE)
    note = ("motion lost: frame-to-frame change in", "the clip that the kept frames jump over")
    canvas.paragraph(x, HEIGHT - 42, note, 17, 12, MUTED)


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
        return draw(self.state(), self.clip(), self.picker.footage.name)

    def control(self, name: str) -> widgets.Widget | None:
        axis = AXES.get(name)
        return super().control(name) if axis is None else self.voxel[axis]

    def _move(self, control: widgets.Widget, steps: int) -> None:
        """By one token: a pixel further would mostly show the same one."""
        sides = self.state().tubelets.tubelet
        super()._move(control, steps * sides[self.voxel.index(control)])

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
            self.set_last(self.token, self.state().tubelets.tokens - 1)

    @one_at_a_time
    def refresh(self, change: object = None) -> None:
        """The token slider follows after the picture, so that the picture need not wait."""
        super().refresh(change)
        if not self._quiet:
            state = self.state()
            with self.quiet():
                self.token.value = voxel_token(state.tubelets, *state.voxel)


def _time_sizes(frames: int) -> list[int]:
    return [d for d in divisors(frames) if d <= 16]


def _patch_sizes(image_size: int) -> list[int]:
    return [d for d in divisors(image_size) if d >= 7]  # fewer pixels could not be seen
