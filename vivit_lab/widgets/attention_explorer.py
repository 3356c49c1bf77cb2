"""Where does it look? Attention of four small models as heat on the frames, for any query."""

import functools
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image

from vivit_lab import ViViTConfig
from vivit_lab.analysis import AttentionMaps, TokenWeights, attention_maps
from vivit_lab.data import ArrowOfTime
from vivit_lab.data.samples import ASSETS
from vivit_lab.models import MODELS, ViViT
from vivit_lab.video import normalise
from vivit_lab.weights import load_checkpoint
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import cell, grid_lines, heat
from vivit_lab.widgets.footage import Clip, FootagePicker, arrow_clip
from vivit_lab.widgets.surface import (
    Explorer,
    dropdown,
    look,
    new_model,
    place_sliders,
    whole_slider,
)

WEIGHTS = ASSETS / "weights"  # what assets/train_weights.py makes
SMALL = {  # the models' size where there are no files; random weights come in the trained size
    "frames": 8, "image_size": 48, "tubelet": (2, 8, 8), "dim": 64, "depth": 4, "heads": 4,
    "mlp_dim": 256, "num_classes": len(ArrowOfTime.classes),
}  # fmt: skip
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
    """{"random": {name: model}, "trained": ...}; no trained ones where a file is missing."""
    files = {name: WEIGHTS / f"{name}.safetensors" for name in MODELS}
    trained, random = {}, {}
    if all(file.is_file() for file in files.values()):
        trained = {name: load_checkpoint(file)[0].eval() for name, file in files.items()}
    for name in MODELS:
        depth = 2 if name == "factorised_encoder" else None
        small = ViViTConfig(model=name, temporal_depth=depth, **SMALL)
        random[name] = new_model(trained[name].config if trained else small)
    return {"random": random, "trained": trained}


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
    if state.show in ("attention", "rollout"):
        is_rollout = state.show == "rollout"
        strip = maps.rollout() if is_rollout else maps.at(state.layer).row(state.query, state.head)
        return Looks(strip, strip, strip, "Summed over time", "Summed over space")
    # with two encoders the layer chooses a block of either; of the other the last is taken
    depth, two_encoders = maps.config.depth, maps.depth > maps.config.depth
    space_layer, time_layer = min(state.layer, depth - 1), state.layer
    if two_encoders and state.layer < depth:
        time_layer = maps.depth - 1
    space = maps.at(space_layer, "space").row(state.query, state.head)
    time = maps.at(time_layer, "time").row(state.query, state.head)
    after = time_layer if two_encoders else None
    strip = {"space": space, "time": time}.get(state.show)
    strip = strip or maps.product(space_layer, state.query, state.head, time_layer=after)
    titles = f"Space map of block {space_layer}", f"Time map of block {time_layer}"
    return Looks(strip, space, time, *titles)


def draw(state: AttentionState, found: Looks, clip: Clip, config: ViViTConfig, says: str) -> Canvas:
    """Query, space map, time map, sums; then the film strip of weights. says: the prediction."""
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
    _sums(canvas, 694, top, state, found, config)
    side = min((WIDTH - 2 * MARGIN + 6) / grid[0] - 6, 156)
    _strip(canvas, 316, state, found, clip.thumbnails(side, side)[firsts])
    return canvas


def _query(canvas: Canvas, x, y, side, state: AttentionState, frames, grid) -> None:
    """The frame of the query's time step under the grid of tokens, the query's cell framed."""
    is_token = isinstance(state.query, tuple)
    step, *place = state.query if is_token else (grid[0] // 2, 0, 0)
    title, note = {
        "cls": ("Query: the class token", "it belongs to no place"),
        "mean": ("Query: the mean of all", "every token asks"),
    }.get(state.query, ("Query: one token", "step {}, row {}, column {}".format(step, *place)))
    if state.show == "rollout":
        title, note = "Query: the model's output", "what the classifier reads"
    canvas.text(x, y - 20, title, bold=True, colour=ORANGE)
    canvas.picture(x, y, side, side, frames[step])
    grid_lines(canvas, x, y, side, *grid[1:], "#ffffff40")
    if is_token:
        canvas.box(*cell(x, y, side, *grid[1:], place, grow=1), outline=ORANGE, line=3)
    canvas.note(x, y + side + 6, note, 12)


def _space_map(canvas: Canvas, x, y, state: AttentionState, found: Looks, frames: list) -> None:
    weights = found.space.weights.sum(dim=0).numpy()
    step = state.query[0] if isinstance(state.query, tuple) else len(frames) // 2
    canvas.text(x, y - 20, found.space_title, bold=True)
    canvas.thumbnail(x, y, heat(frames[step], weights / max(weights.max(), 1e-12)))
    words = f"brightest {weights.max():.3f}, if all were even {1 / weights.size:.3f}"
    canvas.note(x, y + frames[0].height + 6, words)


def _time_map(canvas: Canvas, x, y, side, found: Looks) -> None:
    shares = found.time.weights.sum(dim=(1, 2)).tolist()
    canvas.text(x, y - 20, found.time_title, bold=True)
    pitch, bottom = side / len(shares), y + side - 18
    room = (side - 30) / max(max(shares), 1.5 / len(shares))  # pixels of 1
    for i, share in enumerate(shares):
        middle, height = x + (i + 0.5) * pitch - 0.5, max(1, room * share)
        canvas.box(x + i * pitch + 2, bottom - height, pitch - 5, height, fill="#f06428")
        fits = height > 20
        at = bottom - (4 if fits else height + 4)
        canvas.text(middle, at, f"{100 * share:.0f}", 11, "#ffffff" if fits else MUTED, anchor="ms")
        canvas.note(middle, bottom + 4, f"{i}", anchor="ma")
    even = bottom - room / len(shares)
    canvas.line([(x, even), (x + side, even)], INK)
    canvas.note(x, y + side + 6, "% of each time step; line: even")


def _sums(canvas: Canvas, x, y, state: AttentionState, found: Looks, config: ViViTConfig) -> None:
    """The sums of what is shown, computed from it, class tokens on their own."""
    canvas.text(x, y - 20, "Sums", bold=True)
    parts = {SHOWS[state.show].split(":")[0].split(",")[0]: found.strip}
    if state.show not in ("attention", "rollout"):
        parts |= {"space map": found.space, "time map": found.time}
    for name, part in parts.items():
        total, on_cls = float(part.total), float(part.on_cls)
        colour = TEAL if abs(total - 1) < 5e-4 else RED
        canvas.text(x, y, f"{name} sums to {total:.3f}", 12.5, colour, bold=True)
        words = f"{total - on_cls:.3f} tokens + {on_cls:.3f} class token"
        canvas.note(x, y + 19, words if on_cls else "all of it on tokens", 11.5)
        y += 54
    canvas.paragraph(x, y + 6, _about(state, config), 17, 11.5, MUTED)


def _about(state: AttentionState, config: ViViTConfig) -> list[str]:
    if state.show == "rollout":
        return [
            "0.5 A + 0.5 I of every block,",
            "heads averaged, multiplied:",
            "no attention of any one block.",
        ]
    lines = ["mean of the heads" if state.head == "mean" else f"head {state.head}"]
    if config.attentions()[0].heads < config.heads and state.head != "mean":
        lines[0] += " of each axis's two"
    if config.temporal_depth is not None:
        is_token = isinstance(state.query, tuple)
        lines += ["in time its whole step asks" if is_token else "space: mean over the time steps"]
    if state.show == "product":
        lines += ["The product is ours: no", "layer computes it."]
    return lines


def _strip(canvas: Canvas, y, state: AttentionState, found: Looks, frames) -> None:
    weights = found.strip.weights.numpy()
    most, side = max(weights.max(), 1e-12), frames[0].width
    canvas.line([(MARGIN, y - 10), (WIDTH - MARGIN, y - 10)], LINE)
    canvas.text(MARGIN, y, found.strip.label[0].upper() + found.strip.label[1:], bold=True)
    x = WIDTH - MARGIN - 300  # of the colours from 0 to the largest weight
    canvas.note(x + 52, y, "0", anchor="ra")
    canvas.thumbnail(x + 60, y + 1, heat(Image.new("RGB", (100, 12)), np.linspace(0, 1, 100)[None]))
    canvas.note(x + 168, y, f"{most:.4f}, {most * (weights > 0).sum():.1f} × even")
    for step, frame in enumerate(frames):
        left, top = MARGIN + step * (side + 6), y + 26
        canvas.thumbnail(left, top, heat(frame, weights[step] / most))
        if isinstance(state.query, tuple) and step == state.query[0]:
            ours = cell(left, top, side, *found.space.weights.shape[1:], state.query[1:])
            canvas.box(*ours, outline="#ffffff")
        words = f"step {step}: {100 * weights[step].sum():.1f} %"
        canvas.note(left + side / 2, top + side + 5, words, anchor="ma")


class AttentionExplorer(Explorer):
    """Sliders for query, block and head; four models, trained or with random weights.

    Args:
        clip: name of a class of `ArrowOfTime` ("moves right"), of a sample, or path of a video.
        model: id of the model. trained: its weights, where assets/weights has them.

    The models are small; the trained ones know moving shapes and nothing else. `query` "output" is
    what the classifier reads: the class token in Models 1 and 2, the mean of all tokens in 3 and 4.

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
        shapes = [*ArrowOfTime.classes, VIDEO]
        self.shape = dropdown("moving shape", shapes, clip if is_shape else VIDEO)
        self.number = whole_slider("another one", 20)
        kinds = [kind for kind in ("trained", "random") if models()[kind]]
        self.weights = dropdown("weights", kinds, kinds[0] if trained else "random")
        names = [(text.split(": ")[0], name) for name, text in MODELS.items()]
        self.model = dropdown("model", names, model)
        config = self._config()
        self.show = dropdown("show", [""])
        self.query = dropdown("query", [""])
        self.step, self.row, self.column = self.place = place_sliders(config.grid)
        self.layer = whole_slider("block", config.depth, config.depth - 1)
        self.head = widgets.SelectionSlider(options=["mean"], description="head", **look())
        self._maps = functools.lru_cache(maxsize=32)(self._attend)
        self.adjust(self.model)
        controls = {
            "Clip": [self.shape, self.number, self.picker.ui],
            "Model": [self.model, self.weights, self.show, self.layer, self.head],
            "Query": [self.query, *self.place],
        }
        super().__init__(controls)

    def state(self) -> AttentionState:
        asks_a_token = self.query.value == "token" and self.show.value != "rollout"
        place = tuple(slider.value for slider in self.place)
        return self.read(AttentionState, query=place if asks_a_token else self._config().pooling)

    def looks(self) -> Looks:
        return looks(self._now()[0], self.state())

    def clip(self) -> Clip:
        """The frames that are drawn; the models see the same ones smaller."""
        return self._frames(DRAWN)

    def draw(self) -> Canvas:
        return draw(self.state(), self.looks(), self.clip(), self._config(), self._now()[1])

    def _config(self) -> ViViTConfig:
        return models()[self.weights.value][self.model.value].config

    def _frames(self, size: int) -> Clip:
        frames = self._config().frames
        if self.shape.value == VIDEO:
            return self.picker.footage.middle_clip(frames, size)
        return arrow_clip(self.shape.value, self.number.value, frames, size)

    def _now(self) -> tuple[AttentionMaps, str]:
        clip = self._frames(self._config().image_size[0])
        return self._maps(self.weights.value, self.model.value, clip)

    def _attend(self, weights: str, name: str, clip: Clip) -> tuple[AttentionMaps, str]:
        """The maps of a model for a clip, and what it says, in words."""
        model = models()[weights][name]
        pixels = normalise(clip.frames())[None]
        with torch.inference_mode():
            shares = model(pixels)[0].softmax(-1)
        best, names = int(shares.argmax()), model.class_names or ArrowOfTime.classes
        says = f"it says: {names[best]} ({float(shares[best]):.0%})"
        if weights == "random":
            says = "its classifier is still 0: it says nothing"
        return attention_maps(model, pixels), says

    def _on_footage(self) -> None:
        with self.one_redraw():
            self.shape.value = VIDEO
            self.adjust(self.shape)

    def adjust(self, moved: widgets.Widget) -> None:
        """Offer what the chosen model has, and nothing that would change nothing."""
        config = self._config()
        attentions = config.attentions()
        kinds = ["attention"] if len(attentions) == 1 else ["product", "space", "time"]
        self.set_options(self.show, [(SHOWS[kind], kind) for kind in [*kinds, "rollout"]])
        output = "the class token" if config.pooling == "cls" else "the mean of all tokens"
        self.set_options(self.query, [(f"{output} (output)", "output"), ("one token", "token")])
        self.set_last(self.layer, config.depth + (config.temporal_depth or 0) - 1)
        for slider, count in zip(self.place, config.grid, strict=True):
            self.set_last(slider, count - 1)
        self.set_options(self.head, ["mean", *range(attentions[0].heads)])

        is_rollout = self.show.value == "rollout"
        for control in (self.query, self.layer, self.head):
            control.disabled = is_rollout
        for control in self.place:
            control.disabled = is_rollout or self.query.value == "output"
        self.number.disabled = self.shape.value == VIDEO
