"""How does an image kernel become a tubelet kernel? Three ways, and how far off their tokens."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivit_lab import ViViTConfig
from vivit_lab.video import normalise
from vivit_lab.weights import ImageViT, inflate
from vivit_lab.widgets import charts
from vivit_lab.widgets.canvas import BLUE, DARK, LINE, MUTED, ORANGE, TEAL, Canvas, Picture
from vivit_lab.widgets.charts import Plot, grid_lines, plural, round_steps, shortened
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.surface import Explorer, buttons, legal_slider, new_model, whole_slider

COLOURS = {"central_frame": BLUE, "filter_inflation": TEAL, "random": MUTED}
METHODS = {method.replace("_", " "): method for method in COLOURS}
TUBELETS = (1, 2, 4, 8)
STRIDES = (0, 1, 2, 3, 4, 6, 8)  # frames from one frame of the tubelet to the next
IMAGE_SIZE, DIM = 112, 48
EQUAL = 1e-5  # largest difference that counts as none
FILTERS = (0, 1, 2, 3, 4)  # of the source, on show
WIDTH, HEIGHT, MARGIN = 920, 452, 12


@functools.cache
def source() -> ImageViT:
    """The image ViT on show: filters in closed form, the rest drawn at random."""
    # trained filters are edges, waves and patches of colour too; these can be seen at 8 x 8
    config = ViViTConfig(
        model="factorised_encoder", temporal_depth=0, frames=1, image_size=IMAGE_SIZE,
        tubelet=(1, 8, 8), dim=DIM, depth=1, heads=4, mlp_dim=96,
    )  # fmt: skip
    state = new_model(config).state_dict()
    state["patch_embed.proj.weight"] = drawn_filters(config.dim, config.tubelet[1])
    return ImageViT("the image ViT on show", state, heads=4, grid=config.grid[1:], gelu="tanh")


def drawn_filters(count: int, side: int) -> Tensor:
    """Waves in a window, at many angles, grey and coloured: (count, 3, side, side), length 1/2."""
    axis = (torch.arange(side) - (side - 1) / 2) / side  # -0.5..0.5
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    window = torch.exp(-(x**2 + y**2) / 0.18)
    grey, red_green, blue_yellow = torch.tensor([[1.0, 1, 1], [1, -1, 0], [-0.5, -0.5, 1]])
    kinds = (  # angle and phase in half turns, cycles, colour
        (0, 0.5, 1, grey), (0.25, 0, 2, grey), (0.5, 0.5, 1, grey), (0.75, 0.5, 1, red_green),
        (0, 0, 0.3, blue_yellow),
    )  # fmt: skip
    filters = []
    for i in range(count):
        turn, (angle, phase, cycles, tint) = i // 5, kinds[i % 5]
        angle = math.pi * angle + math.pi * turn / 24
        along = x * math.cos(angle) + y * math.sin(angle)
        wave = window * torch.cos(2 * math.pi * cycles * along - math.pi * (phase + turn / 4))
        filters.append(tint[:, None, None] * wave)
    filters = torch.stack(filters)
    return filters / filters.flatten(1).norm(dim=1)[:, None, None, None] / 2


@functools.cache
def embedding(method: str, t: int) -> nn.Module:
    """The tubelet embedding of a ViViT inflated from `source()`, or of a new one for "random"."""
    config = source().config(frames=t, tubelet=(t, *source().patch), num_classes=2)
    model = new_model(config, seed=1)
    inflate(model, source(), tubelet=method)
    return model.patch_embed.requires_grad_(False)


@dataclass(frozen=True)
class Difference:
    """Tokens of one tubelet against those that the image ViT makes of its central frame."""

    tokens: np.ndarray  # (rows, columns): length of the difference / mean length of a token
    largest: float  # of all numbers of all tokens

    @property
    def mean(self) -> float:
        return float(self.tokens.mean())


def compare(method: str, tubelets: Tensor) -> list[Difference]:
    """Tubelets (n, t, C, H, W), embedded, against their central frames by the image ViT."""
    image, t = source(), tubelets.shape[1]
    kernel, bias = image.state["patch_embed.proj.weight"], image.state["patch_embed.proj.bias"]
    right = F.conv2d(tubelets[:, t // 2], kernel, bias, stride=image.patch).flatten(2).mT
    apart = embedding(method, t)(tubelets)[:, 0] - right  # (n, s, D)
    lengths = right.norm(dim=2).mean(dim=1, keepdim=True).clamp_min(1e-6)
    tokens = (apart.norm(dim=2) / lengths).unflatten(1, image.grid).numpy()
    largest = apart.abs().amax(dim=(1, 2)).tolist()
    return [Difference(*pair) for pair in zip(tokens, largest, strict=True)]


def tubelet_frames(moment: int, t: int, stride: int, num_frames: int) -> list[int]:
    """Frames that a tubelet around `moment`, its index t // 2, sees; the ends repeat."""
    return np.clip(moment + (np.arange(t) - t // 2) * stride, 0, num_frames - 1).tolist()


@dataclass(frozen=True)
class InflationState:
    """All that the picture depends on, besides the pixels."""

    method: str  # one of METHODS' values
    t: int  # frames of a tubelet
    stride: int  # one of STRIDES; 0 = the clip is frozen
    moment: int  # number of the central frame


# ---- drawing

LEFT, PITCH, SIDE = 84, 47, 43  # of the kernels' columns
TOP, ROW = 128, 47  # of the kernels' rows
RIGHT, VIEW = 566, 164  # where the panel on the right begins; side of its two pictures
SAYS = {  # title and explanation, with {t} and {centre} of the tubelet
    "central_frame": "Central frame (eq. 9): the image kernel at index {centre}, zeros elsewhere."
    "\nThe sum is the image kernel. The token is that of the central frame alone.",
    "filter_inflation": "Filter inflation (eq. 8): 1/{t} of the image kernel at every index."
    "\nThe sum is the image kernel. The token is that of the frames' mean: motion is blurred.",
    "random": "Random: the image kernel is not used at all."
    "\nThe sum is random, too. The copied blocks get tokens of a kind that is new to them.",
}


def draw(state: InflationState, name: str, clip: Clip, numbers: list, compared: dict) -> Canvas:
    """What a tubelet sees, times what; on the right where its tokens differ, and with motion.

    numbers: of the frames. compared: method -> its `Difference` at each of STRIDES.
    """
    canvas, now = Canvas(WIDTH, HEIGHT), compared[state.method][STRIDES.index(state.stride)]
    t, colour, centre = state.t, COLOURS[state.method], state.t // 2
    canvas.line([(RIGHT - 22, 12), (RIGHT - 22, HEIGHT - 12)])
    # the central frame for the image ViT, and the frames of the tubelet above their slices
    what = f"{plural(t, 'frame')} × {plural(t, 'slice')} of the kernel"
    canvas.text(MARGIN, 10, "image ViT", size=14, bold=True)
    canvas.text(LEFT + 16, 10, f"one tubelet: {what}", 14, colour, bold=True)
    slices, end = [LEFT + i * PITCH for i in range(t)], LEFT + t * PITCH + 18
    for x, i in zip([MARGIN, *slices], (centre, *range(t)), strict=True):
        canvas.frame(x, 56, SIDE, SIDE, clip.pictures[i])
        # where a token that is hovered elsewhere lies
        charts.cells_region(canvas, x, 56, SIDE, now.tokens.shape)
        says = "index {index} of the tubelet: frame {moment}"
        canvas.region(x, 38, SIDE, 80, says, index=i, moment=numbers[i])
        canvas.note(x + SIDE / 2, 102, f"{numbers[i]}", anchor="ma")
    for i, x in enumerate(slices):
        canvas.text(x + SIDE / 2, 38, f"{i}", 12, (MUTED, ORANGE)[i == centre], i == centre, "ma")
    canvas.box(slices[centre] - 2, 54, SIDE + 4, SIDE + 4, outline=ORANGE, line=2)
    canvas.note(LEFT - 15, 38, "index", anchor="ma")
    canvas.note(LEFT - 15, 102, "frame", anchor="ma")
    canvas.note(LEFT - 15, 78, "→", 16, "mm")
    # a row a filter: the image kernel, its slices, and their sum
    canvas.text(end + SIDE / 2, 102, "sum", size=12, colour=MUTED, bold=True, anchor="ma")
    names = "the image kernel", *(f"index {i}" for i in range(t)), "the sum"
    for row, (pictures, words) in enumerate(_weights(state.method, t)):
        y, middle = TOP + row * ROW, TOP + row * ROW + SIDE / 2
        for i, x in enumerate((MARGIN, *slices, end)):
            canvas.frame(x, y, SIDE, SIDE, pictures[i])
            at = {"index": i - 1} if 0 < i <= t else {}
            says = f"filter {FILTERS[row]}, {names[i]}: {words[i]}"
            canvas.region(x, y, SIDE, SIDE, says, filter=FILTERS[row], **at)
        for x in slices:
            canvas.box(x, y, SIDE, SIDE, outline=LINE)
        canvas.note(LEFT - 15, middle, "→", 16, "mm")
        canvas.note(end - 11, middle, "=", 14, "mm")
    y = TOP + len(FILTERS) * ROW + 4
    first, second = SAYS[state.method].format(t=t, centre=centre).split("\n")
    canvas.text(MARGIN, y, first, bold=True, colour=colour)
    canvas.text(MARGIN, y + 20, second, size=12)
    lines = (
        f"Grey is zero. {len(FILTERS)} of {DIM} filters. A row has one scale.",
        "The filters are not trained. They come from formulas, so that they are easy to see.",
    )
    canvas.paragraph(MARGIN, y + 42, lines, 16, colour=MUTED)
    _differences(canvas, state, shortened(name, 14), clip, compared)
    method = state.method.replace("_", " ").capitalize()
    equal = "equal to" if now.largest < EQUAL else "different from"
    canvas.words = (
        f"{name}: a tubelet of {plural(t, 'frame')}, {', '.join(map(str, numbers))}; the "
        f"central one is {state.moment}. {method}: the tokens are {equal} the image ViT's; "
        f"the mean difference is {100 * now.mean:.1f} % of a token's length."
    )
    return canvas


@functools.cache
def _weights(method: str, t: int) -> list[tuple[list[Picture], list[str]]]:
    """Each of FILTERS as pictures, grey for 0, and in words: the image's, the slices, their sum."""
    kernel, inflated = source().state["patch_embed.proj.weight"], embedding(method, t).proj.weight
    rows = []
    for index in FILTERS:
        parts = [kernel[index], *inflated[index].unbind(1), inflated[index].sum(dim=1)]
        scaled = torch.stack(parts).div(kernel[index].abs().max()).clamp(-1, 1)
        pixels = (127.5 + 127.5 * scaled).permute(0, 2, 3, 1).numpy().astype(np.uint8)
        words = [f"weights from {part.min():.3f} to {part.max():.3f}" for part in parts]
        rows.append(([Picture(each) for each in pixels], words))
    return rows


def _differences(canvas: Canvas, state: InflationState, name: str, clip: Clip, compared: dict):
    """The frames of the tubelet, which can be played; where its tokens differ; with more motion."""
    curves = {method: [found.mean for found in row] for method, row in compared.items()}
    now = compared[state.method][STRIDES.index(state.stride)]
    middle, maps = clip.pictures[state.t // 2], RIGHT + VIEW + 14
    canvas.text(RIGHT, 10, f"{name}, frame {state.moment}", size=13, bold=True)
    canvas.frame(RIGHT, 32, VIEW, VIEW, middle)
    canvas.film(RIGHT, 32, VIEW, VIEW, clip.pictures, "index", rate=4)
    charts.cells_region(canvas, RIGHT, 32, VIEW, now.tokens.shape)
    canvas.text(maps, 10, "where tokens differ", size=13, bold=True)
    canvas.frame(maps, 32, VIEW, VIEW, middle, grey=True)
    strength = 217 * np.clip(2 * now.tokens, 0, 1)
    canvas.picture(maps, 32, VIEW, VIEW, charts.one_colour(strength, DARK[ORANGE]))
    grid_lines(canvas, maps, 32, VIEW, *now.tokens.shape, "#ffffff60")
    values = [f"{100 * share:.2f} %" for share in now.tokens.flat]
    says = "token of row {row}, column {column}:\ndifference: {value} of a token's length"
    charts.cells_region(canvas, maps, 32, VIEW, now.tokens.shape, says, values)
    canvas.note(WIDTH - MARGIN, 200, "full orange: 50 % of a token's length", anchor="ra")
    words, colour = ("equal", TEAL) if now.largest < EQUAL else ("different", ORANGE)
    canvas.text(RIGHT, 222, words, size=20, bold=True, colour=colour)
    canvas.note(RIGHT + 130, 220, "mean difference")
    canvas.text(RIGHT + 130, 236, f"{100 * now.mean:.0f} %", bold=True)
    canvas.note(RIGHT + 250, 220, "in one number")
    canvas.text(RIGHT + 250, 236, f"{now.largest:.2g}", bold=True)
    canvas.text(RIGHT, 264, "mean difference, with more motion", size=14, bold=True)
    most = max(1.0, *map(max, curves.values())) * 1.08
    plot = Plot(canvas, RIGHT + 38, 310, 290, 86, (0, STRIDES[-1]), (0, most))
    ticks = round_steps(0, most)
    plot.grid(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    plot.marks(STRIDES, ["frozen", *map(str, STRIDES[1:])], strong=state.stride)
    words = "frames from one frame of the tubelet to the next"
    canvas.note(plot.left + 145, 420, words, anchor="ma")
    shares = {name: [f"{100 * share:.2f} %" for share in row] for name, row in curves.items()}
    lines = [[f"{name} {share}" for share in shares[each]] for name, each in METHODS.items()]
    values = list(map("\n".join, zip(*lines, strict=True)))
    plot.region("{stride} frames a step\n{value}", "stride", STRIDES, values)
    for method in sorted(COLOURS, key=lambda method: (method == state.method, method)):
        strong, each = method == state.method, curves[method]
        plot.line(STRIDES, each, COLOURS[method], 3 if strong else 1.5)
        says = f"{method.replace('_', ' ')}, {{stride}} frames a step: {{value}}"
        plot.region(says, "stride", STRIDES, shares[method], each, method=method)
    plot.dots([state.stride], [now.mean], ORANGE, 5)
    places = zip(METHODS.items(), (0, 118, 250), (114, 128, 76), strict=True)
    for (name, method), x, width in places:
        canvas.box(RIGHT + x, 291, 11, 4, fill=COLOURS[method])
        canvas.text(RIGHT + x + 17, 286, name, 12, bold=method == state.method)
        canvas.region(RIGHT + x - 4, 283, width, 20, "", method=method)


class InflationExplorer(Explorer):
    """Three ways to make a tubelet kernel, the theorem checked on a frozen clip, and motion.

    clip: name of a sample, or path of a video. method: "central_frame", "filter_inflation" or
    "random". t: frames of a tubelet, 1, 2, 4 or 8. stride: from one to the next, 0 = frozen.

    All tokens come from models that `inflate` has filled, and from the image ViT of `source()`.
    Source: paper section 3.4, equations 8 and 9.

    Example:
        >>> explorer = InflationExplorer("crossing", method="filter_inflation", stride=0)
        >>> explorer.difference().largest < 1e-5
        True
        >>> explorer.stride.value = 4
        >>> explorer.difference().largest < 1e-5
        False
    """

    width, height = WIDTH, HEIGHT
    arrows = "stride", "method", "moment"

    def __init__(self, clip: str | Path = "rabbit", method="central_frame", t=4, stride=0):
        self.picker = FootagePicker(clip, self._on_footage, decode=IMAGE_SIZE)
        self.method = buttons(METHODS.items(), method, width=112)
        self.t = legal_slider("tubelet t", TUBELETS, t)
        tip = "frames from one to the next; 0: frozen"
        self.stride = legal_slider("motion", STRIDES, stride, tip)
        self.moment = whole_slider("moment", 1)
        self.moment.tooltip, self.moment.continuous_update = "number of the central frame", False
        self._take_footage()
        controls = {"Clip": [self.picker.ui], "Tubelet kernel": [self.method, self.t]}
        super().__init__(controls | {"What the tubelet sees": [self.stride, self.moment]})

    def state(self) -> InflationState:
        return self.read(InflationState)

    def difference(self) -> Difference:
        """How far the inflated tokens are from the image ViT's, at present."""
        state = self.state()
        return self._compare(state.moment, state.t)[state.method][STRIDES.index(state.stride)]

    def draw(self) -> Canvas:
        state, compared = self.state(), self._compare(self.moment.value, self.t.value)
        numbers = self._numbers(state.moment, state.t, state.stride)
        return draw(state, self.picker.footage.name, self._clip(numbers), numbers, compared)

    def _numbers(self, moment: int, t: int, stride: int) -> list[int]:
        return tubelet_frames(moment, t, stride, self.picker.footage.video.num_frames)

    def _clip(self, numbers: list[int]) -> Clip:
        return self.picker.footage.clip(numbers, IMAGE_SIZE, square=True)

    def _differ(self, moment: int, t: int) -> dict[str, list[Difference]]:
        """Method -> its difference at each of STRIDES."""
        rows = [self._numbers(moment, t, stride) for stride in STRIDES]
        seen = sorted({number for row in rows for number in row})
        frames = normalise(self._clip(seen).frames())
        tubelets = frames[torch.tensor([[seen.index(number) for number in row] for row in rows])]
        return {method: compare(method, tubelets) for method in METHODS.values()}

    def _take_footage(self) -> None:
        self._compare = functools.lru_cache(maxsize=4096)(self._differ)
        last = self.picker.footage.video.num_frames - 1
        self.set_last(self.moment, last, self.moment.value or last // 2)

    def _on_footage(self) -> None:
        with self.one_redraw():
            self._take_footage()
