"""How does an image kernel become a tubelet kernel? Three ways, and where each one parts."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivit_lab import ViViTConfig
from vivit_lab.video import normalise
from vivit_lab.weights import ImageViT, inflate
from vivit_lab.widgets.canvas import BLUE, LINE, MUTED, ORANGE, TEAL, Canvas, rgb
from vivit_lab.widgets.charts import Plot, grid_lines, legend, round_steps
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.surface import Explorer, buttons, legal_slider, new_model, whole_slider

COLOURS = {"central_frame": BLUE, "filter_inflation": TEAL, "random": MUTED}
METHODS = {method.replace("_", " "): method for method in COLOURS}
TUBELETS = (1, 2, 4, 8)
STRIDES = (0, 1, 2, 3, 4, 6, 8)  # frames from one frame of the tubelet to the next
IMAGE_SIZE = 112
EQUAL = 1e-5  # largest difference that counts as none
FILTERS = (0, 1, 2, 3, 4)  # of the source, on show
WIDTH, HEIGHT, MARGIN = 920, 516, 12


@functools.cache
def source() -> ImageViT:
    """The image ViT on show: filters in closed form, the rest drawn at random."""
    # trained filters are edges, waves and patches of colour too; these can be seen at 8 x 8
    config = ViViTConfig(
        model="factorised_encoder", temporal_depth=0, frames=1, image_size=IMAGE_SIZE,
        tubelet=(1, 8, 8), dim=48, depth=1, heads=4, mlp_dim=96,
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
TOP, ROW = 134, 54  # of the kernels' rows
RIGHT = 566  # of the panel on the right
SAYS = {  # title and explanation; {t} and {centre} of the tubelet
    "central_frame": (
        "Central frame (eq. 9): the image kernel at index {centre}, else zeros.",
        "The sum is the image kernel. The token is the central frame's, moving or not.",
    ),
    "filter_inflation": (
        "Filter inflation (eq. 8): 1/{t} of the image kernel at every index.",
        "The sum is the image kernel. The token is the mean over the frames: motion blurs it.",
    ),
    "random": (
        "Random: the image kernel is not used at all.",
        "The sum is noise. The blocks behind it meet tokens that they have never seen.",
    ),
}


def draw(
    state: InflationState, clip: Clip, numbers: Sequence[int], compared: dict[str, list[Difference]]
) -> Canvas:
    """What a tubelet sees, times what; where its tokens differ, at each of STRIDES too."""
    canvas, now = Canvas(WIDTH, HEIGHT), compared[state.method][STRIDES.index(state.stride)]
    canvas.line([(RIGHT - 22, 12), (RIGHT - 22, HEIGHT - 12)], LINE)
    _frames(canvas, state, clip, numbers)
    _kernels(canvas, state)
    _tokens(canvas, state, clip.pixels[state.t // 2], now)
    _curves(canvas, state, compared)
    return canvas


def _frames(canvas: Canvas, state: InflationState, clip: Clip, numbers: Sequence[int]) -> None:
    """The central frame for the image ViT, and the frames of the tubelet above their slices."""
    canvas.text(MARGIN, 10, "image ViT", size=14, bold=True)
    what = "1 frame, 1 slice of kernel"
    if state.t > 1:
        what = f"{state.t} frames, a slice of kernel each"
    canvas.text(LEFT + 16, 10, f"one tubelet: {what}", 14, COLOURS[state.method], bold=True)
    images, centre = clip.thumbnails(SIDE, SIDE), state.t // 2
    canvas.thumbnail(MARGIN, 60, images[centre])
    for i, (image, number) in enumerate(zip(images, numbers, strict=True)):
        x, colour = LEFT + i * PITCH, ORANGE if i == centre else MUTED
        canvas.text(x + SIDE / 2, 40, f"{i}", 11, colour, bold=i == centre, anchor="ma")
        canvas.thumbnail(x, 60, image)
        canvas.note(x + SIDE / 2, 108, f"{number}", 10.5, "ma")
    canvas.box(LEFT + centre * PITCH - 2, 58, SIDE + 4, SIDE + 4, outline=ORANGE, line=2)
    words = f"{'frame ' * (state.moment < 1000)}{state.moment}"
    canvas.note(MARGIN + SIDE / 2, 108, words, 10.5, "ma")
    canvas.note(LEFT - 15, 40, "index", anchor="ma")
    canvas.note(LEFT - 15, 82, "→", 16, "mm")


def _kernels(canvas: Canvas, state: InflationState) -> None:
    """A row a filter: the image kernel, its slices, and their sum."""
    kernel = source().state["patch_embed.proj.weight"]
    inflated = embedding(state.method, state.t).proj.weight
    end = LEFT + state.t * PITCH + 18
    canvas.text(end + SIDE / 2, 108, "sum", size=11, colour=MUTED, bold=True, anchor="ma")
    for row, index in enumerate(FILTERS):
        y, scale = TOP + row * ROW, float(kernel[index].abs().max())
        slices = [(LEFT + i * PITCH, inflated[index, :, i]) for i in range(state.t)]
        total = end, inflated[index].sum(dim=1)
        for x, weights in ((MARGIN, kernel[index]), *slices, total):
            pixels = 127.5 + 127.5 * (weights / scale).clamp(-1, 1)  # grey for 0
            pixels = pixels.permute(1, 2, 0).numpy().astype(np.uint8)
            canvas.picture(x, y, SIDE, SIDE, pixels)
        for x, _ in slices:
            canvas.box(x, y, SIDE, SIDE, outline=LINE)
        canvas.note(LEFT - 15, y + SIDE / 2, "→", 16, "mm")
        canvas.note(end - 11, y + SIDE / 2, "=", 14, "mm")
    y = TOP + len(FILTERS) * ROW + 2
    first, second = (words.format(t=state.t, centre=state.t // 2) for words in SAYS[state.method])
    canvas.text(MARGIN, y, first, bold=True, colour=COLOURS[state.method])
    canvas.text(MARGIN, y + 21, second, size=12)
    notes = (
        f"Grey is zero; {len(FILTERS)} of {source().dim} filters; one scale a row.",
        "The filters are drawn from formulas, not trained, so that they can be seen.",
    )
    canvas.paragraph(MARGIN, y + 44, notes, 16, 11, MUTED)


def _tokens(canvas: Canvas, state: InflationState, frame: np.ndarray, now: Difference) -> None:
    side = 196
    canvas.text(RIGHT, 10, "tokens: inflated − image ViT's", size=14, bold=True)
    canvas.picture(RIGHT, 40, side, side, _heat(frame, now.tokens))
    grid_lines(canvas, RIGHT, 40, side, *now.tokens.shape, "#ffffff60")
    x, equal = RIGHT + side + 14, now.largest < EQUAL
    colour = TEAL if equal else ORANGE
    canvas.text(x, 42, "equal" if equal else "apart", size=20, bold=True, colour=colour)
    canvas.note(x, 74, "largest difference", 11.5)
    canvas.text(x, 91, f"{now.largest:.1g}", size=15, bold=True)
    canvas.note(x, 125, "mean over the tokens,", 11.5)
    canvas.note(x, 142, "of a token's length", 11.5)
    canvas.text(x, 159, f"{100 * now.mean:.0f} %", size=15, bold=True)
    canvas.text(x, 190, "the clip moves" if state.stride else "the clip is frozen", size=12)
    step = "1 frame a step" if state.stride == 1 else f"{state.stride} frames a step"
    canvas.note(x, 207, step if state.stride else "all frames alike", 11.5)
    canvas.note(RIGHT, 241, "orange: where the tokens differ, full at 50 %")


def _heat(frame: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The frame, pale and grey, with each patch as orange as its token differs (full at 50 %)."""
    rows, columns = frame.shape[0] // tokens.shape[0], frame.shape[1] // tokens.shape[1]
    amount = np.clip(2 * tokens, 0, 1).repeat(rows, 0).repeat(columns, 1)[..., None]
    grey = frame.mean(axis=-1, keepdims=True) * 0.6 + 100
    return (grey * (1 - 0.85 * amount) + np.array(rgb(ORANGE)) * 0.85 * amount).astype(np.uint8)


def _curves(canvas: Canvas, state: InflationState, compared: dict[str, list[Difference]]) -> None:
    canvas.text(RIGHT, 270, "mean difference, with more motion", size=14, bold=True)
    curves = {method: [found.mean for found in row] for method, row in compared.items()}
    most = max(1.0, *map(max, curves.values())) * 1.08
    plot = Plot(canvas, RIGHT + 34, 300, 296, 150, (0, STRIDES[-1]), (0, most))
    ticks = round_steps(0, most)
    plot.grid(ticks, [f"{100 * tick:.0f} %" for tick in ticks])
    plot.marks(STRIDES, ["frozen", *map(str, STRIDES[1:])])
    words = "frames from one frame of the tubelet to the next"
    canvas.note(plot.left + 148, 474, words, anchor="ma")
    for method in reversed(COLOURS):
        plot.line(STRIDES, curves[method], COLOURS[method], 3 if method == state.method else 1.5)
    plot.dots([state.stride], [curves[state.method][STRIDES.index(state.stride)]], ORANGE, 5)
    names = [(name, COLOURS[method]) for name, method in METHODS.items()]
    legend(canvas, plot.left, 491, names, 11, height=4, strong=state.method.replace("_", " "))


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

    def __init__(
        self,
        clip: str | Path = "rabbit",
        method: str = "central_frame",
        t: int = 4,
        stride: int = 0,
    ):
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
        state = self.state()
        numbers = self._numbers(state.moment, state.t, state.stride)
        return draw(state, self._clip(numbers), numbers, self._compare(state.moment, state.t))

    def _numbers(self, moment: int, t: int, stride: int) -> list[int]:
        return tubelet_frames(moment, t, stride, self.picker.footage.video.num_frames)

    def _clip(self, numbers: Sequence[int]) -> Clip:
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
