"""Where does it look? Attention of four small models as heat on the frames, for any query."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vivit_lab import ViViTConfig, build_model
from vivit_lab.analysis import AttentionMap, AttentionMaps, TokenWeights, attention_maps
from vivit_lab.data import ArrowOfTime
from vivit_lab.data.samples import ASSETS
from vivit_lab.models import MODELS, ViViT
from vivit_lab.video import normalise, test_clips
from vivit_lab.weights import load_checkpoint
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.surface import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    RED,
    TEAL,
    Canvas,
    Explorer,
    column,
    columns,
    one_at_a_time,
)

WEIGHTS = ASSETS / "weights"  # what assets/train_weights.py makes
SMALL = {  # the models' size where there are no files; random weights come in the trained size
    "frames": 8,
    "image_size": 48,
    "tubelet": (2, 8, 8),
    "dim": 64,
    "depth": 4,
    "heads": 4,
    "mlp_dim": 256,
    "num_classes": len(ArrowOfTime.classes),
}
STRIDE = 2  # of the frames taken from a video
DRAWN = 192  # pixels a side of the frames in the picture; the models see fewer
VIDEO = "none: the video below"
SHOWS = {
    "attention": "attention",
    "product": "product: space × time",
    "space": "space map",
    "time": "time map",
    "rollout": "rollout, all blocks",
}
WIDTH, HEIGHT, MARGIN = 920, 530, 12


@functools.cache
def models() -> dict[str, dict[str, ViViT]]:
    """The four models with each kind of weights: {"random": {name: model}, "trained": ...}.

    "trained" is empty where assets/weights lacks one of the four files.

    Example:
        >>> list(models()["random"])[:2]
        ['joint', 'factorised_encoder']
    """
    files = {name: WEIGHTS / f"{name}.safetensors" for name in MODELS}
    trained = {}
    if all(file.is_file() for file in files.values()):
        trained = {name: load_checkpoint(file)[0].eval() for name, file in files.items()}
    return {"random": {name: _random(name, trained) for name in MODELS}, "trained": trained}


def _random(name: str, trained: Mapping[str, ViViT]) -> ViViT:
    temporal_depth = 2 if name == "factorised_encoder" else None
    config = ViViTConfig(model=name, temporal_depth=temporal_depth, **SMALL)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(trained[name].config if trained else config).eval()


@dataclass(frozen=True)
class AttentionState:
    """All that the picture depends on, besides the clip."""

    weights: str  # "trained" | "random"
    model: str  # model id
    show: str  # one of SHOWS
    query: str | tuple[int, int, int]  # "cls" | "mean" | (step, row, column); rollout: no tuple
    layer: int
    head: int | str  # its number, or "mean"


@dataclass(frozen=True)
class Looks:
    """What there is to draw: the strip, and a map over space and one over time beside it."""

    strip: TokenWeights
    space: TokenWeights
    time: TokenWeights
    space_title: str
    time_title: str


def looks(maps: AttentionMaps, state: AttentionState) -> Looks:
    """The maps that a state asks for.

    In Model 2 the layer chooses a block of either encoder; of the other one the last block is
    taken.

    Example:
        >>> model = models()["random"]["factorised_encoder"]
        >>> maps = attention_maps(model, torch.zeros(1, *model.config.clip_shape))
        >>> state = AttentionState("random", "factorised_encoder", "product", "mean", 0, "mean")
        >>> looks(maps, state).space_title
        'Space map of block 0'
    """
    if state.show in ("attention", "rollout"):
        both = maps.rollout() if state.show == "rollout" else _asked(maps.at(state.layer), state)
        return Looks(both, both, both, "Summed over time", "Summed over space")
    space_layer = time_layer = state.layer
    is_encoder = state.model == "factorised_encoder"
    if is_encoder:
        space_layer = min(state.layer, maps.config.depth - 1)
        time_layer = state.layer if state.layer >= maps.config.depth else maps.depth - 1
    space = _asked(maps.at(space_layer, "space"), state)
    time = _asked(maps.at(time_layer, "time"), state)
    after = time_layer if is_encoder else None
    strip = {"space": space, "time": time}.get(state.show)
    strip = strip or maps.product(space_layer, state.query, state.head, time_layer=after)
    titles = f"Space map of block {space_layer}", f"Time map of block {time_layer}"
    return Looks(strip, space, time, *titles)


def _asked(found: AttentionMap, state: AttentionState) -> TokenWeights:
    return found.row(state.query, state.head)


def heat(frame: Image.Image, weights: np.ndarray) -> Image.Image:
    """A frame in grey, and over it every token's cell, from clear (0) to yellow (1).

    Args:
        weights: (h, w), 0..1, any grid.

    Example:
        >>> frame = Image.new("RGB", (4, 2), (100, 100, 100))
        >>> image = heat(frame, np.array([[0.0, 1.0]]))
        >>> image.getpixel((1, 1)), image.getpixel((2, 1))
        ((84, 84, 84), (215, 193, 96))
    """
    cells = np.clip(np.asarray(weights, np.float32), 0, 1)
    colours = np.stack([np.interp(cells, (0, 0.5, 1), ramp) for ramp in RAMP], axis=-1)
    strength = 255 * STRONGEST * cells**0.6  # so that a tenth of the brightest can still be seen
    over, mask = (
        Image.fromarray(x.round().astype(np.uint8)).resize(frame.size, Image.Resampling.NEAREST)
        for x in (colours, strength)
    )
    grey = frame.convert("L").point(DIMMED).convert("RGB")
    return Image.composite(over, grey, mask)


RAMP = ((120, 240, 255), (40, 100, 226), (130, 40, 100))  # red, green, blue at 0, a half and 1
STRONGEST = 0.77  # how much the brightest cell covers of the frame
DIMMED = [round(24 + 0.6 * level) for level in range(256)]


def draw(state: AttentionState, found: Looks, clip: Clip, says: str) -> Canvas:
    """The picture: query, space map, time map, sums; then the film strip of weights.

    Args:
        clip: the frames that are drawn on, square, as many as the model sees. says: the model's
            prediction in words.
    """
    canvas = Canvas(WIDTH, HEIGHT)
    number, name = MODELS[state.model].split(": ")
    title = f"{number}, {name}, {state.weights} weights"
    canvas.text(MARGIN, 10, title, size=15, bold=True, colour=BLUE)
    canvas.text(WIDTH - MARGIN, 12, says, colour=MUTED, anchor="ra")

    grid = found.strip.weights.shape[0], *found.space.weights.shape[1:]
    firsts = slice(None, None, len(clip) // grid[0])  # the first frame of every time step
    top, side = 66, 206
    _query(canvas, MARGIN, top, side, state, clip.pixels[firsts], grid)
    _space_map(canvas, 236, top, state, found, clip.thumbnails(side, side)[firsts])
    _time_map(canvas, 462, top, side, found)
    _sums(canvas, 694, top, state, found)
    side = min((WIDTH - 2 * MARGIN + 6) / grid[0] - 6, 156)
    _strip(canvas, 316, state, found, clip.thumbnails(side, side)[firsts])
    return canvas


def _query(canvas: Canvas, x, y, side, state: AttentionState, frames, grid) -> None:
    """The frame of the query's time step under the grid of tokens, the query's cell framed."""
    is_token = isinstance(state.query, tuple)
    step, row, column_ = state.query if is_token else (grid[0] // 2, 0, 0)
    title, note = {
        "cls": ("Query: the class token", "it belongs to no place"),
        "mean": ("Query: the mean of all", "every token asks"),
    }.get(state.query, ("Query: one token", f"step {step}, row {row}, column {column_}"))
    if state.show == "rollout":
        title, note = "Query: the model's output", "what the classifier reads"
    canvas.text(x, y - 20, title, bold=True, colour=ORANGE)
    canvas.picture(x, y, side, side, frames[step])
    height, width = side / grid[1], side / grid[2]
    for i in range(1, grid[1]):
        canvas.line([(x, y + i * height), (x + side, y + i * height)], "#ffffff40")
    for i in range(1, grid[2]):
        canvas.line([(x + i * width, y), (x + i * width, y + side)], "#ffffff40")
    if is_token:
        cell = (x + column_ * width - 1, y + row * height - 1, width + 2, height + 2)
        canvas.box(*cell, outline=ORANGE, line=3)
    canvas.text(x, y + side + 6, note, size=12, colour=MUTED)


def _space_map(canvas: Canvas, x, y, state: AttentionState, found: Looks, frames: list) -> None:
    weights = found.space.weights.sum(dim=0).numpy()
    step = state.query[0] if isinstance(state.query, tuple) else len(frames) // 2
    canvas.text(x, y - 20, found.space_title, bold=True)
    canvas.thumbnail(x, y, heat(frames[step], weights / max(weights.max(), 1e-12)))
    words = f"brightest {weights.max():.3f}, if all were even {1 / weights.size:.3f}"
    canvas.text(x, y + frames[0].height + 6, words, size=11, colour=MUTED)


def _time_map(canvas: Canvas, x, y, side, found: Looks) -> None:
    shares = found.time.weights.sum(dim=(1, 2)).tolist()
    canvas.text(x, y - 20, found.time_title, bold=True)
    most, pitch, bottom = max(max(shares), 1.5 / len(shares)), side / len(shares), y + side - 18
    for i, share in enumerate(shares):
        height = max(1, (side - 30) * share / most)
        left, middle = x + i * pitch, x + (i + 0.5) * pitch - 0.5
        canvas.box(left + 2, bottom - height, pitch - 5, height, fill="#f06428")
        fits = height > 20
        at = bottom - (4 if fits else height + 4)
        canvas.text(middle, at, f"{100 * share:.0f}", 11, "#ffffff" if fits else MUTED, anchor="ms")
        canvas.text(middle, bottom + 4, f"{i}", size=11, colour=MUTED, anchor="ma")
    even = bottom - (side - 30) / len(shares) / most
    canvas.line([(x, even), (x + side, even)], INK)
    canvas.text(x, y + side + 6, "% of each time step; line: even", size=11, colour=MUTED)


def _sums(canvas: Canvas, x, y, state: AttentionState, found: Looks) -> None:
    """The sums of what is shown, computed from it, class tokens on their own."""
    canvas.text(x, y - 20, "Sums", bold=True)
    parts = {SHOWS[state.show].split(":")[0].split(",")[0]: found.strip}
    if state.show not in ("attention", "rollout"):
        parts |= {"space map": found.space, "time map": found.time}
    for i, (name, part) in enumerate(parts.items()):
        top = y + 54 * i
        total, on_cls = float(part.total), float(part.on_cls)
        colour = TEAL if abs(total - 1) < 5e-4 else RED
        canvas.text(x, top, f"{name} sums to {total:.3f}", 12.5, colour, bold=True)
        words = f"{total - on_cls:.3f} tokens + {on_cls:.3f} class token"
        canvas.text(x, top + 19, words if on_cls else "all of it on tokens", 11.5, MUTED)
    for i, words in enumerate(_about(state)):
        canvas.text(x, y + 54 * len(parts) + 6 + 17 * i, words, size=11.5, colour=MUTED)


def _about(state: AttentionState) -> list[str]:
    if state.show == "rollout":
        return [
            "0.5 A + 0.5 I of every block,",
            "heads averaged, multiplied:",
            "no attention of any one block.",
        ]
    head = "mean of the heads" if state.head == "mean" else f"head {state.head}"
    if state.model == "factorised_dot_product":
        head += "" if state.head == "mean" else " of each axis's two"
    lines = [head]
    if state.model == "factorised_encoder":
        is_token = isinstance(state.query, tuple)
        lines += ["in time its whole step asks" if is_token else "space: mean over the time steps"]
    if state.show == "product":
        lines += ["The product is ours: no", "layer computes it."]
    return lines


def _strip(canvas: Canvas, y, state: AttentionState, found: Looks, frames) -> None:
    weights = found.strip.weights.numpy()
    most = max(weights.max(), 1e-12)
    canvas.line([(MARGIN, y - 10), (WIDTH - MARGIN, y - 10)], LINE)
    canvas.text(MARGIN, y, found.strip.label[0].upper() + found.strip.label[1:], bold=True)
    _scale(canvas, WIDTH - MARGIN - 300, y, most, int((weights > 0).sum()))
    side = frames[0].width
    for step, frame in enumerate(frames):
        left = MARGIN + step * (side + 6)
        canvas.thumbnail(left, y + 26, heat(frame, weights[step] / most))
        if isinstance(state.query, tuple) and step == state.query[0]:
            _, row, column_ = state.query
            height, width = (side / count for count in found.space.weights.shape[1:])
            cell = (left + column_ * width, y + 26 + row * height, width, height)
            canvas.box(*cell, outline="#ffffff")
        words = f"step {step}: {100 * weights[step].sum():.1f} %"
        canvas.text(left + side / 2, y + 26 + side + 5, words, size=11, colour=MUTED, anchor="ma")


def _scale(canvas: Canvas, x, y, most: float, count: int) -> None:
    """The colours from 0 to the largest weight, which is compared with 1 / count."""
    ramp = heat(Image.new("RGB", (100, 12)), np.linspace(0, 1, 100)[None])
    canvas.text(x + 52, y, "0", size=11, colour=MUTED, anchor="ra")
    canvas.thumbnail(x + 60, y + 1, ramp)
    canvas.text(x + 168, y, f"{most:.4f}, {most * count:.1f} × even", size=11, colour=MUTED)


class AttentionExplorer(Explorer):
    """Sliders for query, block and head; four models, trained or with random weights.

    Args:
        clip: name of a class of `ArrowOfTime` ("moves right"), of a sample, or path of a video.
        model: id of the model. trained: its weights, where assets/weights has them.

    The models are small, and see few and small frames. The trained ones know moving shapes and
    nothing else. `query` "output" asks for what the classifier reads: the class token in
    Models 1 and 2, the mean of all tokens in Models 3 and 4.

    Source: paper section 3.3; rollout: Abnar and Zuidema, 2020.

    Example:
        >>> explorer = AttentionExplorer("moves right", model="factorised_self_attention")
        >>> explorer.query.value = "token"
        >>> explorer.step.value, explorer.row.value, explorer.column.value = 1, 2, 3
        >>> shown = explorer.looks().strip
        >>> shown.kind, round(float(shown.total), 3)
        ('product', 1.0)
    """

    width, height = WIDTH, HEIGHT

    def __init__(
        self, clip: str | Path = "moves right", model: str = "joint", trained: bool = True
    ):
        is_shape = clip in ArrowOfTime.classes
        self.picker = FootagePicker("rabbit" if is_shape else clip, on_change=self._on_footage)
        self.shape = _dropdown("moving shape", [*ArrowOfTime.classes, VIDEO])
        self.shape.value = clip if is_shape else VIDEO
        self.number = _slider("another one", 20)
        kinds = [kind for kind in ("trained", "random") if models()[kind]]
        self.weights = _dropdown("weights", kinds)
        self.weights.value = kinds[0] if trained else "random"
        self.model = _dropdown(
            "model", [(text.split(": ")[0], name) for name, text in MODELS.items()]
        )
        self.model.value = model
        self.show = _dropdown("show", [])
        self.query = _dropdown("query", [])
        grid = _model(self.weights.value, model).config.grid
        names = zip(("time step", "row", "column"), grid, strict=True)
        self.step, self.row, self.column = (
            _slider(name, count, at=count // 2) for name, count in names
        )
        last = _model(self.weights.value, model).config.depth - 1
        self.layer = _slider("block", last + 1, at=last)
        self.head = widgets.SelectionSlider(options=["mean"], description="head", **_LOOK)
        self._maps = functools.lru_cache(maxsize=32)(self._attend)
        self._fit()
        for control in (
            self.shape, self.number, self.weights, self.model, self.show, self.layer, self.head,
            self.query, self.step, self.row, self.column,
        ):  # fmt: skip
            control.observe(self._on_control, "value")
        super().__init__(
            columns(
                column("Clip", self.shape, self.number, self.picker.ui),
                column("Model", self.model, self.weights, self.show, self.layer, self.head),
                column("Query", self.query, self.step, self.row, self.column),
            )
        )

    def state(self) -> AttentionState:
        """The present state of the controls."""
        place = tuple(slider.value for slider in self._place())
        asks_a_token = self.query.value == "token" and self.show.value != "rollout"
        return AttentionState(
            weights=self.weights.value,
            model=self.model.value,
            show=self.show.value,
            query=place if asks_a_token else self._config().pooling,
            layer=self.layer.value,
            head=self.head.value,
        )

    def looks(self) -> Looks:
        """What is on show: weights with their sums."""
        return looks(self._now()[0], self.state())

    def clip(self) -> Clip:
        """The frames that are drawn; the models see the same ones smaller."""
        return self._frames(DRAWN)

    def draw(self) -> Canvas:
        return draw(self.state(), self.looks(), self.clip(), self._now()[1])

    def _place(self) -> tuple[widgets.IntSlider, ...]:
        return self.step, self.row, self.column

    def _config(self) -> ViViTConfig:
        return _model(self.weights.value, self.model.value).config

    def _frames(self, size: int) -> Clip:
        frames = self._config().frames
        if self.shape.value == VIDEO:
            footage = self.picker.footage
            indices = test_clips(footage.video.num_frames, 3, frames, STRIDE)[1]
            return footage.clip(indices, size, square=True)
        return _shape_clip(self.shape.value, self.number.value, frames, size)

    def _now(self) -> tuple[AttentionMaps, str]:
        """The maps and the prediction of the chosen model for the chosen clip."""
        clip = self._frames(self._config().image_size[0])
        return self._maps(self.weights.value, self.model.value, clip)

    def _attend(self, weights: str, name: str, clip: Clip) -> tuple[AttentionMaps, str]:
        model = _model(weights, name)
        pixels = normalise(torch.from_numpy(clip.pixels).permute(0, 3, 1, 2))[None]
        with torch.inference_mode():
            shares = model(pixels)[0].softmax(-1)
        return attention_maps(model, pixels), _says(model, weights, shares)

    @one_at_a_time
    def _on_footage(self) -> None:
        with self.one_redraw():
            self.shape.value = VIDEO
            self._fit()

    @one_at_a_time
    def _on_control(self, _change) -> None:
        if not self._quiet:
            with self.one_redraw():
                self._fit()

    def _fit(self) -> None:
        """Offer what the chosen model has, and nothing that would change nothing."""
        config = self._config()
        kinds = ["attention"] if config.model == "joint" else ["product", "space", "time"]
        _offer(self.show, [(SHOWS[kind], kind) for kind in [*kinds, "rollout"]])
        output = "the class token" if config.pooling == "cls" else "the mean of all tokens"
        _offer(self.query, [(f"{output} (output)", "output"), ("one token", "token")])
        last = config.depth + (config.temporal_depth or 0) - 1
        lasts = {self.layer: last}
        lasts |= {c: n - 1 for c, n in zip(self._place(), config.grid, strict=True)}
        for slider, last in lasts.items():
            slider.value = min(slider.value, last)  # before max, which would move it too
            slider.max = last
        halves = 2 if config.model == "factorised_dot_product" else 1
        _offer(self.head, ["mean", *range(config.heads // halves)])

        is_rollout, is_video = self.show.value == "rollout", self.shape.value == VIDEO
        for control in (self.query, self.layer, self.head):
            control.disabled = is_rollout
        for control in self._place():
            control.disabled = is_rollout or self.query.value == "output"
        self.number.disabled = is_video


_LOOK = {"style": {"description_width": "96px"}, "layout": {"width": "98%"}}


def _dropdown(label: str, options: list) -> widgets.Dropdown:
    return widgets.Dropdown(options=options, description=label, **_LOOK)


def _slider(label: str, count: int, at: int = 0) -> widgets.IntSlider:
    return widgets.IntSlider(value=at, max=count - 1, description=label, **_LOOK)


def _offer(control: widgets.Widget, options: list) -> None:
    """Give a control other options; it keeps its value where that is still one."""
    values = [option[1] if isinstance(option, tuple) else option for option in options]
    if list(control.options) != options:
        value = control.value if control.value in values else values[0]
        with control.hold_sync():  # one message: the browser must not see the new options alone
            control.options = options
            control.value = value


def _model(weights: str, name: str) -> ViViT:
    return models()[weights][name]


@functools.lru_cache(maxsize=32)
def _shape_clip(name: str, number: int, frames: int, size: int) -> Clip:
    """A clip of Arrow of Time: the same scene at any size."""
    classes = ArrowOfTime.classes
    dataset = ArrowOfTime(20 * len(classes), frames, size, seed=3)
    clip, _ = dataset[number * len(classes) + classes.index(name)]
    return Clip(np.ascontiguousarray(clip.permute(0, 2, 3, 1).numpy()))


def _says(model: ViViT, weights: str, probabilities: Tensor) -> str:
    if weights == "random":
        return "its classifier is still 0: it says nothing"
    names = model.class_names or ArrowOfTime.classes
    best = int(probabilities.argmax())
    return f"it says: {names[best]} ({float(probabilities[best]):.0%})"
