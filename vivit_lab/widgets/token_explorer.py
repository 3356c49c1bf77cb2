"""What is a token? Tubelets against sampled frames on one clip, and a microscope on one token."""

import functools
from collections.abc import Sequence
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.errors import divisors
from vivit_lab.models import ViViTConfig, token_voxels, uniform_frame_indices, voxel_token
from vivit_lab.widgets import surface
from vivit_lab.widgets.canvas import BLUE, MUTED, ORANGE, TEAL, WHITE, Canvas
from vivit_lab.widgets.charts import cell, grid_lines, plural, short, shortened
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.surface import Explorer, legal_slider, place_sliders, whole_slider

FRAME_COUNTS = (4, 8, 12, 16, 24, 32)
IMAGE_SIZES = (96, 112, 128, 160, 192, 224)
WIDTH, HEIGHT, MARGIN = 920, 530, 12
FADED = 0.82  # a frame that is not kept, towards the paper
# names in the picture: which of the three sliders of a pixel they move
AXES = {"frame": 0, "skipped": 0, "row": 1, "pixel_row": 1, "column": 2, "pixel_column": 2}


class TokenState:
    """All that the picture depends on besides the pixels: both ways, and the pixel looked at."""

    def __init__(self, tubelets: ViViTConfig, uniform: ViViTConfig, voxel: tuple[int, int, int]):
        self.tubelets, self.uniform, self.voxel = tubelets, uniform, voxel  # frame, row, column
        self.token = voxel_token(tubelets, *voxel)
        self.frames, self.rows, self.columns = token_voxels(tubelets, self.token)
        self.kept = uniform_frame_indices(tubelets.frames, uniform.sampled_frames).tolist()
        (_, h, w), (_, nh, nw) = tubelets.tubelet, tubelets.grid
        self.patches = nh * nw
        self.step, patch = divmod(self.token, self.patches)
        self.place = nh, nw, divmod(patch, nw)  # of its patch in a frame, for charts.cell
        # the corners of the patches: coordinates by which a token lights up wherever it is seen
        across, down = ("column", range(0, w * nw, w)), ("row", range(0, h * nh, h))
        self.grid = {"across": across, "down": down}

    def tokens(self, step: int) -> str:
        first = step * self.patches
        return f"time step {step}, tokens {first:,} to {first + self.patches - 1:,}"


@functools.lru_cache(maxsize=16)
def motion_lost(clip: Clip, kept: tuple[int, ...]) -> float:
    """Share of a clip's frame-to-frame change that a choice of frames cannot see, 0..1."""
    # The change of a clip is the way that its pixels travel, the sum of |frame - next frame|.
    # Fewer frames take short cuts, so the way can only get shorter: what is missing is lost.
    pixels = clip.pixels.astype(np.int16)
    ways = (np.diff(each, axis=0) for each in (pixels, pixels[list(kept)]))
    travelled, seen = (float(np.abs(way).sum()) for way in ways)
    return 1 - seen / travelled if travelled else 0.0


def draw(state: TokenState, clip: Clip, name: str) -> Canvas:
    canvas, name, few = Canvas(WIDTH, HEIGHT), shortened(name, 20), plural(len(state.kept), "frame")
    tubelets, uniform, (t, h, w) = state.tubelets, state.uniform, state.tubelets.tubelet
    title = f"{name} · tubelet embedding: boxes of {t} × {h} × {w}"
    top = _strip(canvas, 8, title, BLUE, state, clip, tubelets, range(len(clip)))
    title = f"{name} · uniform frame sampling: {few} of {len(clip)}, patches of {h} × {w}"
    top = _strip(canvas, top + 6, title, TEAL, state, clip, uniform, state.kept)
    canvas.line([(MARGIN, top), (WIDTH - MARGIN, top)])
    top += 9
    size = HEIGHT - 32 - top
    _frame(canvas, MARGIN, top, size, state, clip)
    left = MARGIN + max(size, 250) + 22
    _microscope(canvas, left, top, 636 - left, state, clip)

    lost = motion_lost(clip, tuple(state.kept))
    rows = [
        ("", "tubelets", "uniform"),
        ("tokens", *(f"{each.tokens:,}" for each in (tubelets, uniform))),
        ("with class token", *(f"{each.tokens + 1:,}" for each in (tubelets, uniform))),
        ("attention pairs", *(short((each.tokens + 1) ** 2) for each in (tubelets, uniform))),
        ("time steps", f"{tubelets.temporal_tokens}", f"{uniform.temporal_tokens}"),
        ("numbers in a piece", f"{t * h * w * 3:,}", f"{h * w * 3:,}"),
        ("frames used", f"{len(clip)}", f"{len(state.kept)} of {len(clip)}"),
        ("motion lost", "0 %", f"{100 * lost:.0f} %"),
    ]
    left, pitch = 652, (HEIGHT - 48 - top) / len(rows)
    for i, (what, *numbers) in enumerate(rows):
        y = top + pitch * i
        canvas.text(left, y, what, colour=MUTED)
        for number, x, colour in zip(numbers, (188, 256), (BLUE, TEAL), strict=True):
            canvas.text(left + x, y, number, colour=colour, bold=i < 2, anchor="ra")
        canvas.line([(left, y + pitch / 2 + 7), (left + 256, y + pitch / 2 + 7)])
    note = ("motion lost: 1 − change between kept", "frames / change between all frames")
    canvas.paragraph(left, HEIGHT - 42, note, 17, 12, MUTED)
    canvas.words = (
        f"{name}: {len(clip)} frames, tubelets of {t} × {h} × {w}: {tubelets.tokens:,} tokens; "
        f"uniform frame sampling of {few}: {uniform.tokens:,}. Token {state.token:,} is "
        f"frames {_span(state.frames)}, rows {_span(state.rows)}, columns {_span(state.columns)}."
    )
    return canvas


def _strip(canvas: Canvas, y, title, colour, state: TokenState, clip, config, looked_at) -> float:
    """All frames in one or two rows, a bracket a time step; pale: not kept. Where it ends."""
    (t, _, _), (nt, nh, nw), kept = config.tubelet, config.grid, state.kept
    canvas.text(MARGIN, y, title, size=15, bold=True, colour=colour)
    total = f"{nt} × {nh} × {nw} = {config.tokens:,} tokens"
    canvas.text(WIDTH - MARGIN, y, total, size=15, bold=True, colour=colour, anchor="ra")

    per_row = len(clip) if len(clip) <= 16 else -(-len(clip) // 2)
    pitch = min((WIDTH - 2 * MARGIN) / per_row, 82 if per_row == len(clip) else 50)
    size = pitch - 4
    for i, picture in enumerate(clip.pictures):
        x, top = MARGIN + i % per_row * pitch, y + 26 + i // per_row * (size + 8)
        canvas.frame(x, top, size, size, picture, fade=0 if i in looked_at else FADED)
        # a frame that is skipped has another name, so that a film does not light it up
        name, says = "skipped", "not kept"
        if i in looked_at:
            name, says = "frame", state.tokens(looked_at.index(i))
            inside, left, right = i in state.frames, x - 4 * (i % t > 0), x + size
            if i % t < t - 1 and i % per_row == per_row - 1:
                right += 4  # a tubelet that goes on in the next row
            canvas.box(left, top + size + 2, right - left, 3, fill=ORANGE if inside else colour)
            if inside:
                canvas.box(x - 2, top - 2, size + 4, size + 4, outline=ORANGE, line=2)
                left, up, *sides = cell(x, top, size, *state.place)
                canvas.box(left, up, *(max(side, 4) for side in sides), outline=ORANGE, line=2)
                # under the frame, which is what can be pressed
                canvas.region(x, top, size, size, **state.grid, frame=i, step=state.step)
        if config is state.tubelets:  # what looks at it in both ways
            other = state.tokens(kept.index(i)) if i in kept else "not kept"
            says = f"{state.tokens(i // t)}\nuniform sampling: {other}"
        canvas.region(x, top, size, size, f"frame {i}: {says}", **{name: i})
    return top + size + 14


def _frame(canvas: Canvas, x, y, size, state: TokenState, clip: Clip) -> None:
    """The frame of the pixel, cut into patches, each of which can be pressed."""
    (frame, row, column), (_, nh, nw) = state.voxel, state.tubelets.grid
    area, (_, h, w) = (x, y + 24, size, size), state.tubelets.tubelet
    canvas.text(x, y, f"Frame {frame}, row {row}, column {column}", bold=True)
    canvas.frame(*area, clip.pictures[frame])
    canvas.film(*area, clip.pictures, "frame")
    if max(nh, nw) <= 32:  # a finer grid would hide the frame
        grid_lines(canvas, x, y + 24, size, nh, nw, WHITE + "90")
    canvas.box(*cell(x, y + 24, size, *state.place, grow=2), outline=ORANGE, line=3)

    first, uniform = state.step * state.patches, f"frame {frame} is not kept"
    if frame in state.kept:
        uniform = f"token {{value{state.kept.index(frame) * state.patches - first:+d}}}"
    says = (
        f"token {{value}}: frames {_span(state.frames)}, rows {{row}}–{{row+{h - 1}}}, "
        f"columns {{column}}–{{column+{w - 1}}}\nuniform sampling: {uniform}"
    )
    canvas.region(*area, frame=frame)
    tokens = range(first, first + state.patches)
    canvas.region(*area, says, tokens, **state.grid, step=state.step)


def _microscope(canvas: Canvas, x, y, width, state: TokenState, clip: Clip) -> None:
    frames, rows, columns, step = state.frames, state.rows, state.columns, state.step
    count, h, w = len(frames), len(rows), len(columns)
    nh, nw, (row, column) = state.place
    canvas.text(x, y, f"Token {state.token:,} under the microscope", bold=True, colour=ORANGE)
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
        canvas.frame(*area, clip.pictures[f], crop)
        canvas.box(*area, outline=TEAL if f in state.kept else ORANGE, line=2)
        says, each = "frame {frame}", {}
        if wide >= 4 * w:  # its pixels are large enough to be pressed
            says = "frame {frame}, row {pixel_row}, column {pixel_column}"
            each = {"across": ("pixel_column", columns), "down": ("pixel_row", rows)}
        here = {"frame": f, "step": step, "row": rows.start, "column": columns.start}
        canvas.region(*area, says, **each, **here)
        frame, row, column = state.voxel
        if each and f == frame:
            left = area[0] + (column - columns.start) * wide / w
            up = area[1] + (row - rows.start) * tall / h
            canvas.box(left - 1, up - 1, wide / w + 2, tall / h + 2, outline=WHITE)
    spans = (
        f"frames {_span(frames)}, rows {_span(rows)}, columns {_span(columns)}",
        f"{count} × {h} × {w} × 3 = {count * h * w * 3:,} numbers → one vector",
    )
    canvas.paragraph(x, HEIGHT - 68, spans, 20, 13)
    seen = [f for f in frames if f in state.kept]
    says = shortened(", ".join(map(str, seen)), 18) + " only" if seen else "none"
    says = "all, each for a token of its own" if len(seen) == count else says
    canvas.text(x, HEIGHT - 28, f"uniform sampling keeps {says}", colour=TEAL)


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
        self, clip: str | Path = "rabbit", frames=16, image_size=224, tubelet=(2, 16, 16),
        sampled_frames=4,
    ):  # fmt: skip
        config = ViViTConfig(frames=frames, image_size=image_size, tubelet=tubelet)  # checked
        self.picker = FootagePicker(clip, on_change=self.refresh)
        self.frames = legal_slider("frames", sorted({*FRAME_COUNTS, frames}), frames)
        sizes = sorted({*IMAGE_SIZES, image_size})
        self.image_size = legal_slider("image size", sizes, image_size)
        names = "tubelet t", "tubelet h", "tubelet w", "kept frames"
        legal = map(legal_slider, names, _legal(frames, image_size), (*tubelet, sampled_frames))
        self.limited = self.tubelet_t, self.tubelet_h, self.tubelet_w, self.sampled = tuple(legal)
        sides = frames, image_size, image_size
        self.voxel = place_sliders(sides, names=("pixel: frame", "row", "column"))
        middle = voxel_token(config, *(side // 2 for side in sides))
        self.token = whole_slider("token", config.tokens, middle)
        self.adjust(self.token)
        controls = {
            "Clip": [self.picker.ui, self.frames, self.image_size],
            "Tokens": self.limited,
            "Microscope": [self.token, *self.voxel],
        }
        super().__init__(controls)

    def state(self) -> TokenState:
        t, h, w = self.tubelet_t.value, self.tubelet_h.value, self.tubelet_w.value
        clip = {"frames": self.frames.value, "image_size": self.image_size.value}
        few = {"tokenizer": "uniform_frames", "sampled_frames": self.sampled.value}
        tubelets = ViViTConfig(**clip, tubelet=(t, h, w))
        uniform = ViViTConfig(**clip, **few, tubelet=(1, h, w))
        return TokenState(tubelets, uniform, tuple(slider.value for slider in self.voxel))

    def draw(self) -> Canvas:
        return draw(self.state(), self.clip(), self.picker.footage.name)

    def control(self, name: str) -> widgets.Widget | None:
        return self.voxel[AXES[name]] if name in AXES else super().control(name)

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
            for slider, options in zip(self.limited, _legal(frames, size), strict=True):
                self.set_options(slider, options)
            for slider, length in zip(self.voxel, (frames, size, size), strict=True):
                self.set_last(slider, length - 1)
            self.set_last(self.token, self.state().tubelets.tokens - 1)

    @surface.one_at_a_time
    def refresh(self, change: object = None) -> None:
        """The token slider follows after the picture, so that the picture need not wait."""
        super().refresh(change)
        if not self._quiet:
            with self.quiet():
                self.token.value = self.state().token


def _legal(frames: int, image_size: int) -> tuple[Sequence[int], ...]:
    """Values of t, h, w and the kept frames."""
    patch = [d for d in divisors(image_size) if d >= 7]  # fewer pixels could not be seen
    return [d for d in divisors(frames) if d <= 16], patch, patch, range(1, frames + 1)
