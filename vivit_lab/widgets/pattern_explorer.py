"""Who may look at whom? The four attention patterns side by side over the frames of a clip."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.errors import divisors
from vivit_lab.models import MODELS, ViViTConfig
from vivit_lab.models.config import ATTENTION_ORDERS
from vivit_lab.video import test_clips
from vivit_lab.widgets.cells import FADED, UNSEEN, grid_lines, rgb, tinted
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.patterns import STAGES, Pairs, Pattern, Who, nobody, pairs, pattern
from vivit_lab.widgets.surface import (
    BLUE,
    INK,
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

FRAME_COUNTS = (4, 8, 12, 16, 32)
IMAGE_SIZE = 224
PATCHES = (16, 28, 32, 56, 112)
MOST_STEPS = 16  # more would be too small to see
STRIDE = 2  # of the frames taken from the video
DRAWN = 112  # pixels a side that are decoded: more than any frame is drawn with
WIDTH, HEIGHT, MARGIN = 920, 620, 12
TOP, PITCH = 58, 140  # of the four rows
LEFT, RIGHT = 52, 640  # of the film strips
CHIP = 15  # height of a class token
ASKER = 8  # pixels a side, at least: of one among 196 only a speck would be left
VIOLET, YELLOW = "#8b5cf6", "#ffd60a"
COLOURS = {"joint": TEAL, "space": BLUE, "time": ORANGE}
SECOND_HAND = 0.3  # how far towards violet
TINTS = {"joint": 0.45, "space": 0.45, "time": 0.75}  # towards the colour


@dataclass(frozen=True)
class PatternState:
    """All that the picture depends on, besides the pixels."""

    frames: int
    t: int  # frames of a tubelet
    patch: int  # pixels a side
    query: str  # "token" | "cls"
    step: int
    row: int
    column: int
    stage: str  # one of patterns.STAGES
    order: str  # Model 3's: "space_time" | "time_space"

    def config(self, model: str) -> ViViTConfig:
        """The configuration of one of the four models, ViViT-B apart from its tokens."""
        order = {"attention_order": self.order} if model == "factorised_self_attention" else {}
        return ViViTConfig(
            model=model,
            frames=self.frames,
            image_size=IMAGE_SIZE,
            tubelet=(self.t, self.patch, self.patch),
            **order,
        )

    def pattern(self, model: str) -> Pattern | None:
        """What the asking token sees in one of the models; None if it has no such token.

        Example:
            >>> state = PatternState(8, 2, 32, "token", 1, 3, 3, "time", "space_time")
            >>> state.pattern("factorised_dot_product").looked_at.count
            4
        """
        config = self.config(model)
        place = self.row * config.grid[2] + self.column
        query = "cls" if self.query == "cls" else (self.step, place)
        return pattern(config, self.stage, query, self.step)


def draw(state: PatternState, clip: Clip) -> Canvas:
    """The picture: a film strip and a count for each model, all asked by the same token.

    Args:
        clip: square frames, as many as the state says.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    _legend(canvas, state)
    most = pairs(state.config("joint")).value
    for i, model in enumerate(MODELS):
        y, config, found = TOP + i * PITCH, state.config(model), state.pattern(model)
        canvas.line([(MARGIN, y - 6), (WIDTH - MARGIN, y - 6)], LINE)
        number, name = MODELS[model].split(": ")
        canvas.text(MARGIN, y, number, size=14, bold=True)
        canvas.text(MARGIN + 66, y + 1, f"{name} · {_stage(model, state)}", colour=MUTED)
        _strip(canvas, y + 22, config, clip.thumbnails, found)
        _numbers(canvas, 654, y, pairs(config), most, found)
    return canvas


def _stage(model: str, state: PatternState) -> str:
    """What the stage is called in a model."""
    if model == "joint":
        return "every attention" if state.stage in ("space", "time") else STAGES[state.stage]
    if model == "factorised_encoder":
        if state.stage == "time":
            return "temporal encoder"
        return "spatial encoder" + f", {state.stage}" * (state.stage != "space")
    if model == "factorised_dot_product" and state.stage in ("space", "time"):
        return f"the heads over {state.stage}"
    first = state.order.split("_")[0]
    if model == "factorised_self_attention" and state.stage in ("space", "time"):
        rank = "first" if state.stage == first else "second"
        return f"attention over {state.stage}, the {rank}"
    return STAGES[state.stage]


def _legend(canvas: Canvas, state: PatternState) -> None:
    t, h, w = state.config("joint").grid
    if state.query == "cls":
        who = "A class token asks"
    else:
        who = f"The token at step {state.step}, row {state.row}, column {state.column} asks"
    canvas.text(MARGIN, 8, who, size=15, bold=True)
    tokens = f"{t} × {h} × {w} = {t * h * w:,} tokens"
    canvas.text(WIDTH - MARGIN, 9, tokens, size=14, bold=True, anchor="ra")
    x = MARGIN
    for colour, words in (
        (YELLOW, "asks"),
        (TEAL, "looks at, everywhere"),
        (BLUE, "looks at, over space"),
        (ORANGE, "looks at, over time"),
        (VIOLET, "reached through others"),
        ("#e9ebef", "out of reach"),
    ):
        fill = colour if colour in (YELLOW, "#e9ebef") else colour + "a0"
        canvas.box(x, 33, 12, 12, fill=fill, outline=INK if colour == YELLOW else None)
        canvas.text(x + 18, 31, words, size=12, colour=MUTED)
        x += 38 + 6.6 * len(words)


def frame_size(steps: int) -> tuple[float, int]:
    """Pixels from one frame of a strip to the next, and of a frame's side."""
    pitch = min((RIGHT - LEFT) / steps, 95)
    return pitch, round(pitch - 5)


def _strip(canvas: Canvas, y, config: ViViTConfig, thumbnails, found: Pattern | None) -> None:
    """The first frame of every time step, cell by cell in the colour of how it is seen."""
    steps, rows, columns_ = config.grid
    pitch, side = frame_size(steps)
    firsts = slice(None, None, config.frames // steps)
    bright = thumbnails(side, side)[firsts]
    faded = thumbnails(side, side, FADED)[firsts]
    seen = _shades(config, found)
    for step in range(steps):
        cells = seen[step].reshape(rows, columns_, 4)
        x = LEFT + step * pitch
        canvas.thumbnail(x, y, tinted(bright[step], faded[step], cells))
        if side / rows > 4:
            grid_lines(canvas, x, y, side, rows, columns_)
    if found is None:
        words = "No class token here: the classifier reads the mean of all tokens."
        canvas.box(LEFT + 8, y + side / 2 - 13, 8 + 7.2 * len(words), 26, fill="#ffffffe0")
        canvas.text(LEFT + 18, y + side / 2, words, anchor="lm")
        return
    _class_tokens(canvas, y, side, pitch, found)
    for step, place in np.argwhere(found.asks.tokens):
        height, width = side / rows, side / columns_
        size = max(width + 1, ASKER)
        left = LEFT + step * pitch + (place % columns_ + 0.5) * width - size / 2
        top = y + (place // columns_ + 0.5) * height - size / 2
        canvas.box(left, top, size, size, INK, YELLOW, 1.5 if size > ASKER else 1)


def _shades(config: ViViTConfig, found: Pattern | None) -> np.ndarray:
    """(t, s, 4): red, green, blue and strength of each cell's tint; UNSEEN out of reach."""
    tint = np.zeros((*nobody(config).tokens.shape, 4), np.float32)
    tint[..., 3] = UNSEEN
    if found is None:
        return tint
    tint[found.reached.tokens] = (*rgb(VIOLET), SECOND_HAND)
    for axis, who in found.direct.items():
        tint[who.tokens] = (*rgb(COLOURS[axis]), TINTS[axis])
    return tint


def _class_tokens(canvas: Canvas, y, side, pitch, found: Pattern) -> None:
    """Model 1's class token before the strip; Model 2's under each frame, and the clip's before."""
    if len(found.asks.cls) == 1:
        _chip(canvas, MARGIN, y, LEFT - MARGIN - 6, "cls", _colour(found, "cls", 0))
        return
    for step in range(len(found.asks.cls)):
        name = f"cls {step}" if side > 40 else f"c{step}"
        _chip(canvas, LEFT + step * pitch, y + side + 3, side, name, _colour(found, "cls", step))
    if len(found.asks.cls):
        colour = _colour(found, "top", 0)
        _chip(canvas, MARGIN, y + side + 3, LEFT - MARGIN - 6, "clip", colour)


def _colour(found: Pattern, kind: str, index: int) -> str | None:
    """The colour of a class token: "cls" with its index, or "top"; None out of reach."""

    def has(who: Who) -> bool:
        return bool(who.top if kind == "top" else who.cls[index])

    if has(found.asks):
        return YELLOW
    for axis, who in found.direct.items():
        if has(who):
            return COLOURS[axis]
    return VIOLET if has(found.reached) else None


def _chip(canvas: Canvas, x, y, width, words: str, colour: str | None) -> None:
    is_asker = colour == YELLOW
    fill = colour if is_asker else (colour or "#e9ebef") + ("b0" if colour else "")
    canvas.box(x, y, width, CHIP, INK if is_asker else None, fill, radius=3)
    ink = MUTED if colour is None else INK if is_asker else "#ffffff"
    canvas.text(x + width / 2, y + CHIP / 2, words, 10, ink, anchor="mm")


def _numbers(canvas: Canvas, x, y, found: Pairs, most: int, seen: Pattern | None) -> None:
    """How many tokens are seen; the paper's formula, the exact one, and its share of Model 1's."""
    if seen is not None:
        looks, reaches = seen.looked_at.count, seen.reached.count
        words = f"looks at {looks:,}, reaches {reaches:,}"
        canvas.text(x, y + 1, words, bold=True)
    lines = (
        f"paper: O({found.paper})",
        f"{found.paper_numbers} = {found.paper_value:,}",
        f"exactly: {found.exact}",
        f"{found.exact_numbers} = {found.value:,} pairs",
    )
    for i, words in enumerate(lines):
        is_formula = i % 2 == 0
        indent = 0 if is_formula else 12
        colour = MUTED if is_formula else INK
        canvas.text(x + indent, y + 24 + 19 * i, words, size=12, colour=colour)
    share, width = found.value / most, WIDTH - MARGIN - x
    canvas.box(x, y + 106, width, 7, fill="#eef0f3")
    canvas.box(x, y + 106, max(1, width * min(share, 1)), 7, fill=TEAL)
    canvas.text(x, y + 116, f"{100 * share:.3g} % of Model 1's pairs", size=11, colour=MUTED)


class PatternExplorer(Explorer):
    """Sliders for the token that asks, the stage of the model, and the size of clip and tubelet.

    Args:
        clip: name of a sample, or path of a video.
        frames, t, patch: where the sliders start: frames of the clip, frames of a tubelet, pixels
            a side of a patch. The image is 224 x 224.
        stage: one of patterns.STAGES.

    Only legal values can be chosen. What is drawn is what gradients of the real models say
    (tests/widgets/test_patterns.py).

    Source: paper section 3.3, figures 1, 4, 5 and 6.

    Example:
        >>> explorer = PatternExplorer("crossing", frames=8)
        >>> explorer.stage.value = "2 blocks"
        >>> explorer.state().pattern("factorised_encoder").reached.count
        50
    """

    width, height = WIDTH, HEIGHT

    def __init__(
        self,
        clip: str | Path = "rabbit",
        frames: int = 12,
        t: int = 2,
        patch: int = 32,
        stage: str = "1 block",
    ):
        config = ViViTConfig(frames=frames, image_size=IMAGE_SIZE, tubelet=(t, patch, patch))
        self.picker = FootagePicker(clip, on_change=self.refresh)
        self.frames = legal_slider("frames", sorted({*FRAME_COUNTS, frames}), frames)
        self.t = legal_slider("tubelet t", _tubelets(frames), t)
        self.patch = legal_slider("patch", sorted({*PATCHES, patch}), patch)
        self.stage = legal_slider("stage", STAGES, stage)
        self.order = _dropdown("Model 3", [(_words(o), o) for o in ATTENTION_ORDERS])
        self.query = _dropdown("who asks", [("a token", "token"), ("a class token", "cls")])
        self.place = [
            widgets.IntSlider(value=n // 2, max=n - 1, description=name, **_LOOK)
            for name, n in zip(("time step", "row", "column"), config.grid, strict=True)
        ]
        self.step, self.row, self.column = self.place
        for control in (self.frames, self.t, self.patch):
            control.observe(self._on_shape, "value")
        for control in (self.stage, self.order, *self.place):
            control.observe(self.refresh, "value")
        self.query.observe(self._on_query, "value")
        super().__init__(
            columns(
                column("Clip", self.picker.ui),
                column("Tokens", self.frames, self.t, self.patch, self.order),
                column("Who asks, and where", self.query, *self.place, self.stage),
            )
        )

    def state(self) -> PatternState:
        """The present state of the controls."""
        return PatternState(
            frames=self.frames.value,
            t=self.t.value,
            patch=self.patch.value,
            query=self.query.value,
            step=self.step.value,
            row=self.row.value,
            column=self.column.value,
            stage=self.stage.value,
            order=self.order.value,
        )

    def draw(self) -> Canvas:
        return draw(self.state(), self.clip())

    def clip(self) -> Clip:
        """The clip on show: square frames at stride 2 from the video's middle."""
        footage, frames = self.picker.footage, self.frames.value
        indices = test_clips(footage.video.num_frames, 3, frames, STRIDE)[1]
        return footage.clip(indices, DRAWN, square=True)

    @one_at_a_time
    def _on_shape(self, _change) -> None:
        """Another grid: the token that asks stays, or moves to the nearest place there is."""
        if self._quiet:
            return
        with self.one_redraw():
            set_options(self.t, _tubelets(self.frames.value))
            for slider, count in zip(self.place, self.state().config("joint").grid, strict=True):
                slider.value = min(slider.value, count - 1)  # before max, which would move it too
                slider.max = count - 1

    @one_at_a_time
    def _on_query(self, _change) -> None:
        for slider in (self.row, self.column):
            slider.disabled = self.query.value == "cls"
        self.refresh()


_LOOK = {"style": {"description_width": "96px"}, "layout": {"width": "98%"}}


def _dropdown(label: str, options: Sequence) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, description=label, **_LOOK)


def _words(order: str) -> str:
    return "{}, then {}".format(*order.split("_"))


def _tubelets(frames: int) -> list[int]:
    return [d for d in divisors(frames) if d <= 16 and frames // d <= MOST_STEPS]
