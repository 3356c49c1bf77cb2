"""Model 4 explained slowly: one figure a step, real numbers from a real block."""

import functools

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from vivit_lab.data import ArrowOfTime
from vivit_lab.video import normalise
from vivit_lab.widgets.attention_explorer import models
from vivit_lab.widgets.footage import Clip
from vivit_lab.widgets.half_heads import HalfHeads, half_heads
from vivit_lab.widgets.half_heads_parts import Scene
from vivit_lab.widgets.half_heads_steps import BOXES, STEPS, WIRES
from vivit_lab.widgets.surface import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    Canvas,
    Explorer,
    column,
    columns,
    one_at_a_time,
)

MODEL = "factorised_dot_product"
DRAWN = 192  # pixels a side of the frames in the picture; the model sees fewer
WIDTH, HEIGHT, MARGIN = 920, 556, 12


def draw(number: int, scene: Scene) -> Canvas:
    """The picture of one step: title and shape, the map, the figure, words, and the code."""
    step, canvas = STEPS[number], Canvas(WIDTH, HEIGHT)
    title = f"{number + 1} of {len(STEPS)} · {step.title}"
    canvas.text(MARGIN, 8, title, size=16, bold=True)
    letters, shape = step.shape(scene.found)
    words = f"{letters} = ({', '.join(map(str, shape))})"
    colour = ORANGE if step.lit[0].startswith("time") else BLUE
    canvas.text(WIDTH - MARGIN, 10, words, size=14, bold=True, colour=colour, anchor="ra")
    _map(canvas, step.lit)
    canvas.line([(MARGIN, 114), (WIDTH - MARGIN, 114)], LINE)
    step.figure(canvas, scene)
    canvas.line([(MARGIN, 450), (WIDTH - MARGIN, 450)], LINE)
    for i, sentence in enumerate(step.says):
        canvas.text(MARGIN, 462 + 22 * i, sentence, size=14)
    canvas.box(MARGIN, 516, WIDTH - 2 * MARGIN, 30, fill="#f3f4f7", radius=4)
    canvas.text(MARGIN + 10, 531, step.code, size=13, colour=INK, anchor="lm")
    return canvas


def _map(canvas: Canvas, lit: tuple[str, ...]) -> None:
    """All steps as boxes; all but the lit ones are dim."""
    middle = {}
    for name, (_, x, row, width) in BOXES.items():
        middle[name] = (x, x + width, 44 + 26 * row)
    for start, end in WIRES:
        x, y, to, at = middle[start][1], middle[start][2], middle[end][0], middle[end][2]
        between = (x + to) / 2
        both = start in lit and end in lit
        points = [(x, y), (between, y), (between, at), (to, at)]
        canvas.line(points, MUTED if both else LINE, 2 if both else 1)
    for name, (words, x, _, width) in BOXES.items():
        colour = BLUE if name.startswith("space") else ORANGE if name.startswith("time") else INK
        y = middle[name][2]
        fill = colour if name in lit else "#f3f4f7"
        canvas.box(x, y - 12, width, 24, fill=fill, radius=5)
        ink = "#ffffff" if name in lit else "#a3a9b5"
        canvas.text(x + width / 2, y, words, 12, ink, name in lit, "mm")


class HalfHeadsStepper(Explorer):
    """Back, next and a slider through Model 4's attention; one token of one clip is followed.

    Args:
        clip: a class of `ArrowOfTime`, of which a clip is drawn.
        at: the token: time step, row and column.
        step: where to start, 1 to 13.

    The block is the first one of the small trained Model 4 in assets/weights (of one with random
    weights where that is missing), and the numbers are what it computes for the clip.

    Source: paper section 3.3.4, equation 7, figure 6.

    Example:
        >>> stepper = HalfHeadsStepper("moves right")
        >>> stepper.next.click()
        >>> stepper.step.value, stepper.scene().found.q.shape
        (2, torch.Size([4, 4, 36, 16]))
    """

    width, height = WIDTH, HEIGHT

    def __init__(
        self, clip: str = "moves right", at: tuple[int, int, int] = (1, 2, 2), step: int = 1
    ):
        kinds = models()
        self.model = (kinds["trained"] or kinds["random"])[MODEL]
        look = {"style": {"description_width": "80px"}, "layout": {"width": "98%"}}
        button = widgets.Layout(width="96px")
        self.step = widgets.IntSlider(
            value=step, min=1, max=len(STEPS), description="step", readout_format="d", **look
        )
        self.back = widgets.Button(description="Back", icon="arrow-left", layout=button)
        self.next = widgets.Button(
            description="Next", icon="arrow-right", button_style="primary", layout=button
        )
        self.clip = widgets.Dropdown(
            options=ArrowOfTime.classes, value=clip, description="clip", **look
        )
        names = zip(("time step", "row", "column"), self.model.config.grid, at, strict=True)
        self.place = [
            widgets.IntSlider(value=value, max=count - 1, description=name, **look)
            for name, count, value in names
        ]
        self.back.on_click(lambda _: self.go(-1))
        self.next.on_click(lambda _: self.go(1))
        self.step.observe(self._on_step, "value")
        for control in (self.clip, *self.place):
            control.observe(self.refresh, "value")
        self._enable()
        buttons = widgets.HBox([self.back, self.next], layout=widgets.Layout(margin="0 0 0 84px"))
        super().__init__(
            columns(
                column("Step", self.step, buttons, self.clip),
                column("Our token", *self.place),
            )
        )

    def scene(self) -> Scene:
        """The numbers, frames and token that are drawn."""
        step, row, column_ = (slider.value for slider in self.place)
        grid = self.model.config.grid
        found, clip = _follow(self.model, self.clip.value)
        return Scene(found, clip, grid, step, row * grid[2] + column_)

    def draw(self) -> Canvas:
        return draw(self.step.value - 1, self.scene())

    @one_at_a_time
    def go(self, steps: int) -> None:
        """So many steps forwards, or backwards; not beyond the ends."""
        self.step.value = min(max(self.step.value + steps, 1), len(STEPS))

    @one_at_a_time
    def _on_step(self, _change) -> None:
        self._enable()
        self.refresh()

    def _enable(self) -> None:
        self.back.disabled = self.step.value == 1
        self.next.disabled = self.step.value == len(STEPS)


@functools.lru_cache(maxsize=len(ArrowOfTime.classes))
@torch.inference_mode()
def _follow(model: torch.nn.Module, name: str) -> tuple[HalfHeads, Clip]:
    """The first block's attention on a clip of a class, and a frame of it for each time step."""
    config = model.config
    frames, _, size, _ = config.clip_shape
    pixels = _arrow_clip(name, frames, size)
    tokens = model.patch_embed(normalise(pixels)[None])  # (1, t, s, D)
    tokens = tokens + model.pos_embed.unflatten(1, tokens.shape[1:3])
    block = model.blocks[0]
    found = half_heads(block.attn, block.norm1(tokens)[0])
    shown = _arrow_clip(name, frames, DRAWN)[:: config.tubelet[0]]
    return found, Clip(np.ascontiguousarray(shown.permute(0, 2, 3, 1).numpy()))


def _arrow_clip(name: str, frames: int, size: int) -> Tensor:
    """The first clip of a class, (T, 3, H, W): the same scene at any size."""
    return ArrowOfTime(len(ArrowOfTime.classes), frames, size, seed=3)[
        ArrowOfTime.classes.index(name)
    ][0]
