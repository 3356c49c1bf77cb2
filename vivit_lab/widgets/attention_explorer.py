"""Where does it look? Attention of four small models as heat on the frames, for any query."""

import functools
from dataclasses import dataclass
from pathlib import Path

import ipywidgets as widgets
import numpy as np
import torch

from vivit_lab import ViViTConfig
from vivit_lab.analysis import AttentionMaps, TokenWeights, attention_maps
from vivit_lab.data import ArrowOfTime
from vivit_lab.data.samples import ASSETS
from vivit_lab.models import MODELS, ViViT
from vivit_lab.video import normalise
from vivit_lab.weights import load_checkpoint
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, PAPER, RED, TEAL, WHITE, Canvas
from vivit_lab.widgets.charts import BLACK, cell, grid_lines, heat, heat_colours
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
PLACE = "step {}, row {}, column {}"
ASKS = {  # who, and where that is
    "rollout": ("the output", "what the classifier reads"),
    "token": ("one token", PLACE),
    "cls": ("the class token", "it belongs to no place"),
    "mean": ("the mean of all", "every token is a query"),
}
WIDTH, HEIGHT, MARGIN = 920, 442, 12
SMALL_SIDE = 13  # pixels of a small map, which are enlarged, and of the gap after it
TOP, SIDE = 52, 170  # of the maps in the upper row


@functools.cache
def models() -> dict[str, dict[str, ViViT]]:
    """{"random": {name: model}, "trained": ...}; no trained ones where a file is missing."""
    files = {name: WEIGHTS / f"{name}.safetensors" for name in MODELS}
    whole, random = all(file.is_file() for file in files.values()), {}
    trained = {name: load_checkpoint(files[name])[0].eval() for name in MODELS if whole}
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


@functools.lru_cache(maxsize=8)
def all_looks(maps: AttentionMaps, kind: str, query) -> list[np.ndarray]:
    """For each block maps (h, w), or (1, t) over time, of the heads' mean and of each head."""
    found = []
    for layer in range(maps.depth):
        kinds = [each.kind for each in maps if each.layer == layer]  # two in Models 3 and 4
        asked = maps.at(layer, kind if kind in kinds else kinds[0])
        weights = asked.row(query, "each").weights.numpy()
        weights = np.concatenate([weights.mean(axis=0, keepdims=True), weights])
        over_time = weights.sum(axis=(2, 3))[:, None]
        found.append(over_time if asked.kind == "time" else weights.sum(axis=1))
    return found


def draw(state: AttentionState, found: Looks, small, clip: Clip, says: tuple[str, str]) -> Canvas:
    """Query, space map, time map, all blocks and heads; then the film strip and its sums.

    small: of `all_looks`. says: which clip it is, and what the model says of it.
    """
    canvas, weights = Canvas(WIDTH, HEIGHT), found.strip.weights
    number, name = MODELS[state.model].split(": ")
    title = f"{number}, {name}, {state.weights} weights"
    canvas.text(MARGIN, 8, title, size=15, bold=True, colour=BLUE)
    canvas.text(WIDTH - MARGIN, 10, " · ".join(says), colour=MUTED, anchor="ra")

    # the frame of the query's time step under the grid of tokens, the query's cell framed
    is_token, grid = isinstance(state.query, tuple), found.space.weights.shape[1:]
    kind = "rollout" if state.show == "rollout" else "token" if is_token else state.query
    who, where = ASKS[kind]
    where = where.format(*state.query)
    step = state.query[0] if is_token else len(weights) // 2
    firsts = clip.pictures[:: len(clip) // len(weights)]  # the first frame of every time step
    canvas.text(MARGIN, TOP - 18, f"Query: {who}", bold=True, colour=ORANGE)
    canvas.frame(MARGIN, TOP, SIDE, SIDE, firsts[step])
    steps = [i * len(weights) // len(clip) for i in range(len(clip))]
    canvas.film(MARGIN, TOP, SIDE, SIDE, clip.pictures, "step", steps)
    _tokens(canvas, MARGIN, TOP, SIDE, weights[step].expand(grid).numpy(), step=step)
    grid_lines(canvas, MARGIN, TOP, SIDE, *grid, WHITE + "60")
    if is_token:
        box = cell(MARGIN, TOP, SIDE, *grid, state.query[1:], grow=1)
        canvas.box(*box, outline=ORANGE, line=3)
    canvas.note(MARGIN, TOP + SIDE + 5, where)

    x, space = MARGIN + 190, found.space.weights.sum(dim=0).numpy()
    canvas.text(x, TOP - 18, found.space_title, bold=True)
    heat(canvas, x, TOP, SIDE, SIDE, firsts[step], space / max(space.max(), 1e-12))
    _tokens(canvas, x, TOP, SIDE, space, "row {row}, column {column}, all steps: {value}")
    canvas.note(x, TOP + SIDE + 5, f"largest {space.max():.3f}; even: 1/{space.size}")
    _time_map(canvas, MARGIN + 380, found)
    _blocks(canvas, MARGIN + 576, state, small)
    _strip(canvas, 252, state, found, firsts)

    place = np.unravel_index(int(weights.argmax()), weights.shape)
    canvas.words = (
        f"{title}. {says[0]}; {says[1]}. Query: {who}, {where}: {found.strip.label}. The largest "
        f"weight, {weights.max():.4f}, is at {PLACE.format(*place)}; all sum to "
        f"{found.strip.total:.3f}."
    )
    return canvas


def _tokens(canvas: Canvas, x, y, side, weights: np.ndarray, says="", **at) -> None:
    """What lies in a frame can be pressed, each cell with its weight (h, w)."""
    says = says or "step {step}, row {row}, column {column}: {value}"
    rows, columns = weights.shape
    values = [f"{weight:.4f}" for weight in weights.ravel().tolist()]
    across, down = ("column", range(columns)), ("row", range(rows))
    canvas.region(x, y, side, side, says, values, across, down, **at)


def _time_map(canvas: Canvas, x, found: Looks) -> None:
    shares = found.time.weights.sum(dim=(1, 2)).tolist()
    canvas.text(x, TOP - 18, found.time_title, bold=True)
    pitch, bottom = SIDE / len(shares), TOP + SIDE - 18
    room = (SIDE - 30) / max(max(shares), 1.5 / len(shares))  # pixels of 1
    for i, share in enumerate(shares):
        middle, height = x + (i + 0.5) * pitch - 0.5, max(1, room * share)
        canvas.box(x + i * pitch + 2, bottom - height, pitch - 5, height, fill=ORANGE)
        fits = height > 20
        at = bottom - (4 if fits else height + 4)
        canvas.text(middle, at, f"{100 * share:.0f}", 12, PAPER if fits else MUTED, anchor="ms")
        canvas.note(middle, bottom + 4, f"{i}", anchor="ma")
    even = bottom - room / len(shares)
    canvas.line([(x, even), (x + SIDE, even)], INK)
    values, across = [f"{100 * share:.2f} %" for share in shares], ("step", range(len(shares)))
    canvas.region(x, TOP + 6, SIDE, SIDE - 6, "step {step}: {value}", values, across)
    canvas.note(x, TOP + SIDE + 5, f"% a time step; line: 1/{len(shares)}")


def _blocks(canvas: Canvas, x, state: AttentionState, small: list) -> None:
    """A small map of each block and head, each on a scale of its own; the present one framed."""
    heads = ["mean", *range(len(small[0]) - 1)]
    pitch = min(SIDE / len(small), 45)
    left = x + 62
    canvas.text(left - 16, TOP - 18, "Heads", bold=True, anchor="ra")
    for i, head in enumerate(heads):
        canvas.note(left + (i + 0.5) * pitch - 2, TOP - 17, f"{head}", anchor="ma")
    size = len(heads) * pitch, len(small) * pitch
    pixels = np.zeros((len(small), SMALL_SIDE, len(heads), SMALL_SIDE, 4), np.uint8)
    for layer, row in enumerate(small):
        canvas.note(left - 8, TOP + (layer + 0.5) * pitch - 2, f"block {layer}", anchor="rm")
        rows, columns = (np.arange(SMALL_SIDE - 1) * n // (SMALL_SIDE - 1) for n in row.shape[1:])
        found = heat_colours(row / row.max(axis=(1, 2), keepdims=True).clip(1e-12))
        share = found[..., 3:] / 255
        found = np.concatenate([share * found[..., :3] + 36 * (1 - share), 0 * share + 255], -1)
        found = found[:, rows][:, :, columns].swapaxes(0, 1)
        pixels[layer, :-1, :, :-1] = found.round()
    canvas.picture(left, TOP, *size, pixels.reshape(-1, len(heads) * SMALL_SIDE, 4))
    if state.show != "rollout":
        at = left + heads.index(state.head) * pitch - 2, TOP + state.layer * pitch - 2
        side = pitch * (1 - 1 / SMALL_SIDE) + 4
        canvas.box(*at, side, side, outline=ORANGE, line=3)
    values = [f"{weights.max():.3f}" for row in small for weights in row]
    says = "block {layer}, head {head}: brightest {value}"
    axes = ("head", heads), ("layer", range(len(small)))
    canvas.region(left - 2, TOP - 2, *size, says, values, *axes)


def _strip(canvas: Canvas, y, state: AttentionState, found: Looks, frames) -> None:
    """The weights on each time step, and the sums of what is shown, class tokens on their own."""
    weights, grid = found.strip.weights.numpy(), found.space.weights.shape[1:]
    is_token = isinstance(state.query, tuple)
    most, side = max(weights.max(), 1e-12), min(590 / len(frames) - 6, 140)
    canvas.line([(MARGIN, y - 9), (WIDTH - MARGIN, y - 9)], LINE)
    canvas.text(MARGIN, y, found.strip.label[0].upper() + found.strip.label[1:], bold=True)
    x, count = WIDTH - MARGIN - 300, (weights > 0).sum()  # colours from 0 to the largest weight
    canvas.note(x + 20, y + 1, "0", anchor="ra")
    heat(canvas, x + 28, y + 2, 70, 12, BLACK, np.linspace(0, 1, 25)[None])
    canvas.note(x + 106, y + 1, f"{most:.4f} = {most * count:.1f} × even (1/{count})")
    for step, frame in enumerate(frames):
        left, top = MARGIN + step * (side + 6), y + 24
        heat(canvas, left, top, side, side, frame, weights[step] / most)
        _tokens(canvas, left, top, side, np.broadcast_to(weights[step], grid), step=step)
        if is_token and step == state.query[0]:
            canvas.box(*cell(left, top, side, *grid, state.query[1:]), outline=WHITE)
        words = f"step {step}: {100 * weights[step].sum():.1f} %"
        canvas.note(left + side / 2, top + side + 4, words, anchor="ma")

    x, y = MARGIN + 604, y + 26
    parts = {SHOWS[state.show].split(":")[0].split(",")[0]: found.strip}
    if state.show not in ("attention", "rollout"):
        parts |= {"space map": found.space, "time map": found.time}
    for name, part in parts.items():
        total, on_cls = float(part.total), float(part.on_cls)
        colour = TEAL if abs(total - 1) < 5e-4 else RED
        canvas.text(x, y, f"{name} sums to {total:.3f}", 13, colour, bold=True)
        words = f"{total - on_cls:.3f} tokens + {on_cls:.3f} class token"
        canvas.note(x, y + 17, words if on_cls else "all of it on tokens")
        y += 37
    lines = ["mean of the heads" if state.head == "mean" else f"head {state.head}"]
    if state.show == "rollout":
        lines = ["0.5 A + 0.5 I of every block, heads averaged,"]
        lines += ["multiplied: no attention of any one block."]
    elif state.model == "factorised_dot_product" and state.head != "mean":
        lines[0] += f" over space, head {state.head} over time"
    elif state.model == "factorised_encoder":
        lines[0] += (
            "; over time its step is the query" if is_token else "; space: mean over the steps"
        )
    if state.show == "product":
        lines += ["No layer of the model computes this product."]
    canvas.paragraph(x, y + 4, lines, 16, 12, MUTED)


class AttentionExplorer(Explorer):
    """Press a token, and it is the query; four models, trained or with random weights.

    A press on a small map chooses block and head. There are sliders for all of this.

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
    arrows = "column", "row", "step"

    def __init__(
        self, clip: str | Path = "moves right", model: str = "joint", trained: bool = True
    ):
        is_shape = clip in ArrowOfTime.classes
        self.picker = FootagePicker("rabbit" if is_shape else clip, on_change=self._on_footage)
        shapes = [*ArrowOfTime.classes, VIDEO]
        self.shape = dropdown("moving shape", shapes, clip if is_shape else VIDEO)
        self.number = whole_slider("number", 20)
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
        self.adjust(self.shape)
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

    def clip(self, side: int = DRAWN) -> Clip:
        """The frames that are drawn; the models see the same ones smaller."""
        frames = self._config().frames
        if self.shape.value == VIDEO:
            return self.picker.footage.middle_clip(frames, side)
        return arrow_clip(self.shape.value, self.number.value, frames, side)

    def draw(self) -> Canvas:
        (maps, says), state = self._now(), self.state()
        small = all_looks(maps, "time" if state.show == "time" else "space", state.query)
        clip = f"{self.shape.value}, number {self.number.value}"
        clip = self.picker.footage.name if self.shape.value == VIDEO else clip
        return draw(state, looks(maps, state), small, self.clip(), (f"Clip: {clip}", says))

    def pressed(self, at: dict) -> None:
        """A token that is pressed is the query; a token or a block ends the view of rollout."""
        is_token = bool({"step", "row", "column"} & set(at))
        if self.show.value == "rollout" and (is_token or {"layer", "head"} & set(at)):
            self.show.index = 0
            self.adjust(self.show)
        super().pressed({"query": "token", **at} if is_token else at)

    def _move(self, control: widgets.Widget, steps: int) -> None:
        self.pressed({name: self.control(name).value for name in self.arrows})
        super()._move(control, steps)

    def _config(self) -> ViViTConfig:
        return models()[self.weights.value][self.model.value].config

    def _now(self) -> tuple[AttentionMaps, str]:
        clip = self.clip(self._config().image_size[0])
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
            says = "its classifier is still zero: no answer"
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

        if moved is self.shape:  # the list of videos names the one that is shown, or none
            found = self.picker.footage.name if self.shape.value == VIDEO else None
            self.picker.name.value = found if found in self.picker.name.options else None
        is_rollout, by_output = self.show.value == "rollout", self.query.value == "output"
        for control in (self.query, self.layer, self.head, *self.place):
            control.disabled = is_rollout or (by_output and control in self.place)
        self.number.disabled = self.shape.value == VIDEO
