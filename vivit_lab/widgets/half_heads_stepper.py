"""Model 4's attention in slow motion: one figure a step, real numbers from a real block."""

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import ipywidgets as widgets
import numpy as np
import torch
from torch import Tensor

from vivit_lab.data import ArrowOfTime
from vivit_lab.models.layers import FactorisedDotProductAttention
from vivit_lab.video import normalise
from vivit_lab.widgets import charts
from vivit_lab.widgets.attention_explorer import models
from vivit_lab.widgets.canvas import BLUE, INK, MUTED, ORANGE, PAPER, TEAL, TRACK, YELLOW, Canvas
from vivit_lab.widgets.charts import cell, draw_numbers, grid_lines, table_row, tinted_film
from vivit_lab.widgets.footage import Clip, arrow_clip
from vivit_lab.widgets.surface import Explorer, button, dropdown, place_sliders, whole_slider

MODEL = "factorised_dot_product"
DRAWN = 192  # pixels a side of the frames in the picture; the model sees fewer
EXACT = 1e-5  # two ways of computing the same: no more apart than that
WIDTH, HEIGHT, MARGIN, TOP = 920, 500, 12, 114  # the last: of the figures
TINTS = {"space": BLUE + "80", "time": ORANGE + "cc", "": ""}
COLOURS = {"space": BLUE, "time": ORANGE}


# ---- the numbers


@dataclass(frozen=True, eq=False)
class Half:
    """What one half of the heads computes over sequences of n tokens: time steps, or places."""

    heads: range  # their numbers
    q: Tensor  # (sequences, h, n, d)
    k: Tensor
    v: Tensor
    products: Tensor  # (sequences, h, n, n): q · k, not yet divided by the square root of d
    weights: Tensor  # (sequences, h, n, n), rows that sum to one
    out: Tensor  # (sequences, h, n, d)


@dataclass(frozen=True, eq=False)
class HalfHeads:
    """What one attention of Model 4 computes on the way, for one clip."""

    x: Tensor  # (t, s, D), what goes in
    q: Tensor  # (t, heads, s, d), of both halves
    k: Tensor
    v: Tensor
    time: Half  # with the first heads
    space: Half
    joined: Tensor  # (t, s, D): time's half first
    projection: Tensor  # (D, D), W_O
    y: Tensor  # (t, s, D), what comes out
    apart: float  # largest difference to what the module itself says


@torch.inference_mode()
def half_heads(attention: FactorisedDotProductAttention, x: Tensor) -> HalfHeads:
    """Follow (t, s, D) tokens through Model 4's attention, step by step (paper, equation 7)."""
    qkv = attention.split_heads(x)  # (t, heads, s, d) each
    count, halves, outs = attention.heads // 2, [], []
    for first, order in ((0, (2, 1, 0, 3)), (count, (0, 1, 2, 3))):  # over time, over space
        heads = range(first, first + count)
        q, k, v = (part[:, heads].permute(order) for part in qkv)
        products = q @ k.mT
        weights = (products / q.shape[-1] ** 0.5).softmax(dim=-1)
        halves.append(Half(heads, q, k, v, products, weights, weights @ v))
        outs.append(halves[-1].out.permute(order).transpose(1, 2).flatten(2))  # (t, s, h · d)
    joined = torch.cat(outs, dim=-1)
    y = attention.proj(joined)
    apart = (attention(x[None])[0][0] - y).abs().max().item()
    return HalfHeads(x, *qkv, *halves, joined, attention.proj.weight.detach(), y, apart)


@dataclass(frozen=True)
class Scene:
    """What the figures are drawn from: the numbers, the frames, and the token that is followed."""

    found: HalfHeads
    clip: Clip  # square frames, one for each time step
    grid: tuple[int, int, int]
    step: int
    place: int
    axis: str  # "space" or "time" where one half is on show, else ""
    name: str  # of the clip

    @property
    def half(self) -> Half:
        return getattr(self.found, self.axis)

    @property
    def along(self) -> tuple[int, int]:
        """Which of the half's sequences our token is in, and where in it."""
        return (self.step, self.place) if self.axis == "space" else (self.place, self.step)

    def keys(self, i: int) -> tuple[str, dict]:
        """What a list of our query's keys in head i is of: the name of its rows, and a region's."""
        name, count, same = "time", self.grid[0], {"place": self.place}
        if self.axis == "space":
            name, count, same = "place", self.grid[1] * self.grid[2], {"time": self.step}
        return name, {"down": (name, range(count)), "head": self.half.heads[i], **same}

    def own(self, numbers: Tensor) -> np.ndarray:
        """Our token's row of (t, s, D), or (heads, d) of (t, heads, s, d)."""
        return numbers[self.step, ..., self.place, :].numpy()


# ---- parts of the figures


def _film(canvas: Canvas, y, side, scene: Scene) -> None:
    """The time steps in a row, the neighbourhood of the half on show in the light."""
    steps, rows, columns = scene.grid
    kinds = np.zeros((steps, rows * columns), int)
    kinds[scene.step if scene.axis == "space" else (slice(None), scene.place)] = 1
    tints = None if scene.axis else "", TINTS[scene.axis]
    corners = [(MARGIN + step * (side + 6), y) for step in range(steps)]
    kinds = kinds.reshape(scene.grid)
    tinted_film(canvas, corners, side, scene.clip.pictures, kinds, tints)
    for step, (x, _) in enumerate(corners):
        canvas.note(x + side / 2, y + side + 3, f"step {step}", anchor="ma")
        _places(canvas, x, y, side, scene, time=step)
    box = cell(*corners[scene.step], side, rows, columns, divmod(scene.place, columns), grow=1)
    canvas.box(*box, INK, YELLOW + "d0", 2)


def _places(canvas: Canvas, x, y, side, scene: Scene, says: Sequence[str] = (), **at) -> None:
    """The tokens of a frame can be pressed; says: what there is to say of each place."""
    _, rows, columns = scene.grid
    for row in range(rows):
        part = range(row * columns, (row + 1) * columns)
        words = [f"row {row}, column {j}{says[i] if says else ''}" for j, i in enumerate(part)]
        box = x, y + side * row / rows, side, side / rows
        canvas.region(*box, "step {time}, {value}", words, ("place", part), **at)


def _number(value: float) -> str:
    """Three digits that count, with a true minus sign."""
    return charts.minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip("."))


def _first(canvas: Canvas, right, y, values: np.ndarray, count: int) -> None:
    words = ", ".join(f"{value:.2f}" for value in values[:count])
    canvas.note(right, y, charts.minus(words) + ", …", anchor="ra")


def _cells(canvas: Canvas, box, values, name: str, says="", most=0, first=0, **places) -> None:
    """Numbers that say which they are; those of one name, in any figure, are hovered together."""
    places["across"] = name, range(first, first + values.shape[-1])
    draw_numbers(canvas, *box, values, most, f"{says}number {{{name}}}: {{value}}", **places)


def _vector(canvas: Canvas, x, y, width, name: str, label: str, values: np.ndarray) -> None:
    canvas.text(x, y, label, bold=True)
    _first(canvas, x + width, y + 1, values, 6)
    _cells(canvas, (x, y + 20, width, 22), values, name)


def _piece(i: int, heads: int) -> tuple[float, float]:
    """x and width of one head's piece of a vector."""
    pitch = 808 / heads
    return 100 + i * pitch, pitch - 14


def _softmax_table(canvas: Canvas, x, scene: Scene, i: int, names: dict, step) -> None:
    """Key by key: product, divided by the root, e to its power, and its share of the sum."""
    half, colour, (sequence, query) = scene.half, COLOURS[scene.axis], scene.along
    products, width = half.products[sequence, i, query], half.q.shape[-1]
    powers = (products / width**0.5).exp()
    shares = powers / powers.sum()
    ends = [x + step + 84 * k for k in (1, 2, 3, 4)]
    canvas.text(x, TOP, f"head {half.heads[i]}", bold=True, colour=colour)
    table_row(canvas, TOP + 26, ends, ("q · k", f"/ √{width}", "exp", "weight"), 12, MUTED)
    canvas.line([(x, TOP + 46), (ends[-1], TOP + 46)])
    y, (name, at) = TOP + 56, scene.keys(i)
    del at["down"]
    for key, words in names.items():
        length = 80 * float(shares[key])
        says = f"{words}: q · k is {products[key]:.4f}, the weight {shares[key]:.5f}"
        canvas.region(x, y - 4, ends[-1] - x, 24, says, **at, **{name: key})
        canvas.box(ends[-1] - length, y - 3, length, 21, fill=colour + "50")
        canvas.text(x, y, words)
        numbers = products[key], products[key] / width**0.5, powers[key]
        table_row(canvas, y, ends[:3], [_number(float(value)) for value in numbers], 13)
        canvas.text(ends[-1] - 2, y, f"{float(shares[key]):.3f}", bold=True, anchor="ra")
        y += 26
    canvas.line([(x, y + 2), (ends[-1], y + 2)])
    left = len(products) - len(names)
    canvas.text(x, y + 8, f"{left} more; sum of all" if left else "sum", colour=MUTED)
    canvas.text(ends[2], y + 8, _number(float(powers.sum())), anchor="ra")
    canvas.text(ends[3] - 2, y + 8, f"{float(shares.sum()):.3f}", bold=True, anchor="ra")


# ---- the figures


def _tokens(canvas: Canvas, scene: Scene) -> None:
    _film(canvas, TOP + 4, 206, scene)
    own = scene.own(scene.found.x)
    _vector(canvas, MARGIN, TOP + 246, 896, "x", f"our token: {len(own)} numbers", own)


def _queries(canvas: Canvas, scene: Scene) -> None:
    found = scene.found
    _film(canvas, TOP, 84, scene)
    _vector(canvas, 400, TOP + 14, 508, "x", "x, our token", scene.own(found.x))
    for i, label in enumerate(("q, the query", "k, the key", "v, the value")):
        part, y = getattr(found, label[0]), TOP + 118 + 60 * i
        canvas.text(MARGIN, y + 31, f"x · W_{label[0]}  =", anchor="lm", colour=MUTED)
        _vector(canvas, 100, y, 808, "n", label, scene.own(part).ravel())


def _halves(canvas: Canvas, scene: Scene) -> None:
    for axis, colour in COLOURS.items():
        heads, count = getattr(scene.found, axis).heads, scene.found.q.shape[1]
        left, right = _piece(heads[0], count)[0], sum(_piece(heads[-1], count))
        canvas.box(left - 5, TOP + 8, right - left + 10, 282, colour, colour + "18", 2, 8)
        words = f"these heads look over {axis}"
        canvas.text((left + right) / 2, TOP + 22, words, 13, colour, True, "ma")
    _heads(canvas, scene)


def _heads(canvas: Canvas, scene: Scene) -> None:
    for k, name in enumerate("qkv"):
        own, y = scene.own(getattr(scene.found, name)), TOP + 84 + 70 * k
        canvas.text(MARGIN, y + 17, name, bold=True, anchor="lm")
        for i, head in enumerate(own):
            x, width = _piece(i, len(own))
            box, says, most = (x, y, width, 34), f"{name}, head {i}, ", np.abs(own).max()
            _cells(canvas, box, head, "d", says, most, head=i)
            if k == 0:
                canvas.note(x + width / 2, TOP + 52, f"head {i}", 13, "ma")


def _keys(canvas: Canvas, scene: Scene) -> None:
    """The neighbourhood on the film strip, one query, the keys that it meets, and the shapes."""
    half, axis, (sequence, own) = scene.half, scene.axis, scene.along
    colour, head = COLOURS[axis], half.heads[0]
    whose, what, letters = "our place", "the half over time", "(s, heads/2, t, d)"
    words, batch = "t and s change places.", "s is a batch axis: every place"
    if axis == "space":
        whose, what, letters = f"step {scene.step}", "the half over space", "(t, heads/2, s, d)"
        words = "Attention runs over the second-to-last axis: s."
        batch = "t is a batch axis: every time step"
    _film(canvas, TOP, 120, scene)
    query, keys = half.q[sequence, 0, own].numpy(), half.k[sequence, 0].numpy()
    most, (name, at) = np.abs([query, *keys]).max(), scene.keys(0)
    canvas.text(560, TOP, f"q of our token, head {head}: {len(query)} numbers", bold=True)
    _cells(canvas, (560, TOP + 20, 348, 20), query, "d", f"q, head {head}, ", most, head=head)
    title = f"K_{axis[0]}: the {len(keys)} keys of {whose}, head {head}"
    canvas.text(560, TOP + 56, title, bold=True)
    height = min(24, 206 / len(keys))
    box = 560, TOP + 76, 348, height * len(keys)
    says = f"key of {name} {{{name}}}, head {head}, "
    _cells(canvas, box, keys, "d", says, most, **at)
    canvas.box(557, TOP + 75 + own * height, 354, height + 2, outline=INK, line=1.5)
    canvas.note(560, TOP + 82 + height * len(keys), "framed: the token's own key")

    canvas.line([(MARGIN, TOP + 150), (510, TOP + 150)])
    rows = ("q, k, v as they are", "(t, heads, s, d)", scene.found.q), (what, letters, half.q)
    for i, (name, axes, part) in enumerate(rows):
        y = TOP + 178 + 28 * i
        canvas.text(MARGIN, y, name)
        shape = f"{axes} = {tuple(part.shape)}"
        canvas.text(MARGIN + 200, y, shape, 13, colour if i else INK, bold=i)
    canvas.text(MARGIN, TOP + 252, words, colour=colour)
    canvas.text(MARGIN, TOP + 272, f"{batch} has its own sequence.")


def _space_weights(canvas: Canvas, scene: Scene) -> None:
    """Where two heads look, each cell as blue as its weight, and how the largest come about."""
    half, side, (_, rows, columns) = scene.half, 200, scene.grid
    weights = half.weights[scene.step, :, scene.place]  # (h, s)
    for i, row in enumerate(weights[:2].numpy()):
        x, y = MARGIN + i * (side + 20), TOP + 22
        canvas.text(x, TOP, f"head {half.heads[i]}", bold=True, colour=BLUE)
        strength = (242 * (row / row.max()) ** 0.7).reshape(rows, columns)
        canvas.frame(x, y, side, side, scene.clip.pictures[scene.step])
        canvas.picture(x, y, side, side, charts.one_colour(strength, BLUE))
        grid_lines(canvas, x, y, side, rows, columns)
        box = cell(x, y, side, rows, columns, divmod(scene.place, columns), grow=1)
        canvas.box(*box, outline=YELLOW, line=3)
        canvas.note(x, y + side + 6, f"largest {row.max():.3f}, sum {row.sum():.3f}", 12)
        at = {"time": scene.step, "head": half.heads[i]}
        _places(canvas, x, y, side, scene, [f": weight {weight:.5f}" for weight in row], **at)
    best = weights[0].argsort(descending=True)[:6].tolist()
    names = {key: "row {}, column {}".format(*divmod(key, columns)) for key in best}
    _softmax_table(canvas, 462, scene, 0, names, step=108)


def _time_weights(canvas: Canvas, scene: Scene) -> None:
    names = {step: f"step {step}" for step in range(scene.grid[0])}
    for i in range(len(scene.half.heads))[:2]:
        _softmax_table(canvas, MARGIN + 462 * i, scene, i, names, step=88)
    _film(canvas, TOP + 204, 76, scene)


def _output(canvas: Canvas, scene: Scene) -> None:
    """Weights as bars beside the values' rows, and what they add up to."""
    half, colour, (sequence, own) = scene.half, COLOURS[scene.axis], scene.along
    for i, head in enumerate(half.heads[:2]):
        weights, values = half.weights[sequence, i, own].tolist(), half.v[sequence, i].numpy()
        out, x, (key, at) = half.out[sequence, i, own].numpy(), MARGIN + 462 * i, scene.keys(i)
        count, most = len(weights), np.abs([out, *values]).max()
        height = min(34, 206 / count)
        canvas.text(x, TOP, f"head {head}", bold=True, colour=colour)
        canvas.text(x + 110, TOP + 1, f"× V: a row for each of {count} keys", colour=MUTED)
        names, says = [f"{weight:.5f}" for weight in weights], f"of {key} {{{key}}}"
        says, weighs = f"value {says}, head {head}, ", f"weight {says}: {{value}}"
        canvas.region(x, TOP + 24, 104, height * count, weighs, names, **at)
        for k, weight in enumerate(weights):
            y, length = TOP + 24 + k * height, max(1, 84 * weight)
            canvas.box(x + 100 - length, y + 1, length, height - 2, fill=colour + "70")
            if height > 14:
                canvas.text(x, y + height / 2, f"{weight:.3f}", size=12, anchor="lm")
        box = x + 110, TOP + 24, 324, height * count
        _cells(canvas, box, values, "d", says, most, **at)
        y = TOP + 36 + height * count
        canvas.text(x + 98, y + 12, "sum =", bold=True, anchor="rm")
        _cells(canvas, (x + 110, y, 324, 26), out, "d", f"head {head}, ", most, head=head)
        _first(canvas, x + 434, y + 29, out, 5)
    if scene.axis == "time":
        _film(canvas, TOP + 222, 62, scene)


def _joined(canvas: Canvas, scene: Scene) -> None:
    found, own = scene.found, scene.own(scene.found.joined)
    count, most, y = found.q.shape[1], np.abs(own).max(), TOP + 34
    for axis, colour in COLOURS.items():
        for i in getattr(found, axis).heads:
            x, width = _piece(i, count)
            canvas.text(x + width / 2, TOP + 8, f"head {i}, over {axis}", 13, colour, True, "ma")
            canvas.box(x - 4, y - 4, width + 8, 42, colour, colour + "20", 2, 4)
            part, first = own.reshape(count, -1)[i], i * len(own) // count
            _cells(canvas, (x, y, width, 34), part, "joined", "", most, first)
            middle = 100 + (i + 0.5) * 794 / count
            canvas.line([(x + width / 2, y + 42), (middle, TOP + 148)], colour, 2)
    canvas.text(MARGIN, TOP + 169, "joined", bold=True, anchor="lm")
    _cells(canvas, (100, TOP + 152, 794, 34), own, "joined")
    t, s, _ = found.x.shape
    lines = (
        f"{count} × {len(own) // count} = {len(own)} numbers for our token, "
        f"and the same for the other {t * s - 1} tokens.",
        "The half over time is turned back first: (s, h/2, t, d) becomes (t, s, h/2 · d).",
    )
    canvas.paragraph(100, TOP + 214, lines, 24, 13)


def _projected(canvas: Canvas, scene: Scene) -> None:
    found, side = scene.found, 192
    _vector(canvas, MARGIN, TOP, 560, "joined", "joined", scene.own(found.joined))
    canvas.text(MARGIN, TOP + 62, "× W_O, and a bias", bold=True)
    weights = found.projection.T.numpy()
    says = "weight of number {joined} of joined in number {y} of y: {value}"
    names = {"down": ("joined", range(len(weights))), "across": ("y", range(len(weights)))}
    draw_numbers(canvas, MARGIN, TOP + 84, side, side, weights, 0, says, **names)
    for i, axis in enumerate(("time", "space")):
        colour, top, half = COLOURS[axis], TOP + 84 + i * side / 2, side / 2
        canvas.box(MARGIN + side + 6, top + 2, 5, half - 4, fill=colour)
        canvas.text(MARGIN + side + 18, top + half / 2, f"{axis}'s half", 12, colour, anchor="lm")
    _vector(canvas, 340, TOP + 122, 568, "y", "= y, our token after attention", scene.own(found.y))
    agrees = found.apart < EXACT
    gives = "gives" if agrees else "does NOT give"
    words = f"Checked: the module {gives} the same, for all tokens."
    canvas.text(340, TOP + 190, words, bold=True)
    size = f"largest difference below {EXACT:g}" if agrees else f"{found.apart:g}"
    canvas.note(340, TOP + 212, size, 13)
    canvas.text(340, TOP + 242, "Every number of y depends on both halves.")


def _compared(canvas: Canvas, scene: Scene) -> None:
    t, s, d = scene.found.x.shape
    joint, both = (t * s) ** 2, t * s**2 + s * t**2
    attention = 4 * d * d + 4 * d  # weights and biases of q, k, v and out
    rows = (
        ("", "keys for one query", "pairs, all queries, mean over heads", "weights and biases"),
        ("Model 1", f"{t * s} in each head", joint, attention),
        ("Model 3", f"{s}, then {t}, in each head", both, 2 * attention),
        ("Model 4", f"{s} or {t}, by head", both // 2, attention),
    )
    for i, cells in enumerate(rows):
        y, look = TOP + 20 + 52 * i, (15, INK) if i else (12, MUTED)
        canvas.line([(MARGIN, y + 36), (908, y + 36)])
        for x, each in zip((MARGIN, 130, 390, 720), cells, strict=True):
            words = f"{each:,}" if isinstance(each, int) else each
            canvas.text(x, y + 8, words, *look, bold=i == 3 or x == MARGIN)
        if i:
            canvas.box(480, y + 10, 200 * cells[2] / joint, 14, fill=TEAL)
    words = f"one attention of a block, {t} × {s} tokens of {d} numbers; no class tokens"
    canvas.note(MARGIN, TOP + 240, words, 12)


# ---- the steps

BOXES = {  # of the map at the top: name -> (words, x, row, width)
    "x": ("tokens x", 12, 1, 84),
    "qkv": ("q, k, v", 116, 1, 76),
    "heads": ("heads", 212, 1, 70),
    "time keys": ("K_t: own place", 312, 2, 126),
    "space keys": ("K_s: own step", 312, 0, 126),
    "time weights": ("softmax(q K_tᵀ)", 456, 2, 134),
    "space weights": ("softmax(q K_sᵀ)", 456, 0, 134),
    "time sum": ("× V_t", 608, 2, 66),
    "space sum": ("× V_s", 608, 0, 66),
    "join": ("join", 704, 1, 64),
    "project": ("× W_O", 786, 1, 64),
    "y": ("y", 868, 1, 40),
}
PATHS = [
    ("x", "qkv", "heads", f"{axis} keys", f"{axis} weights", f"{axis} sum", "join", "project", "y")
    for axis in ("time", "space")
]


@dataclass(frozen=True)
class Step:
    """One step: what of the map is lit, whose shape is shown, the figure, code and words."""

    title: str
    lit: tuple[str, ...]
    letters: str  # of the shape
    numbers: str  # whose shape it is, in HalfHeads
    figure: Callable[[Canvas, Scene], None]
    code: str  # the package's line for it
    says: tuple[str, ...]


# fmt: off
STEPS = (
    Step("The tokens", ("x",), "x (t, s, D)", "x", _tokens,
         "y, weights = self.attn(self.norm1(x), *how)  # eq. 2", (
         "A clip has t time steps of s places, and each place has a token of D numbers. We follow "
         "the yellow token.",
         "The tokens are those after the norm of the first block. Press another token to follow "
         "it.")),
    Step("Query, key and value", ("x", "qkv"), "q, k, v (t, s, D), each", "x", _queries,
         "qkv = self.split_heads(x)  # each (b, t, h, s, d): ready for space", (
         "Three linear maps make q, k and v. They are the same for every token. Models 1 to 3 do "
         "this, too.",
         "A query is compared with keys. A value is what other tokens take from a token.")),
    Step("Cut into heads", ("qkv", "heads"), "q, k, v (t, heads, s, d)", "q", _heads,
         'rearrange(self.qkv(x), "... n (three h d) -> three ... h n d", three=3, h=self.heads)', (
         "Nothing is computed here. D numbers are cut into heads of d numbers. Each head attends "
         "on its own.",
         "Up to this step Model 4 does the same as Model 1.")),
    Step("Half and half", ("heads",), "each half (t, heads/2, s, d)", "space.q", _halves,
         'time = [rearrange(y[:, :, : self.heads // 2], "b t h s d -> b s h t d") for y in qkv]', (
         "The idea of Model 4: queries, keys and values stay as they are. A query is compared "
         "with fewer keys.",
         "Half of the heads use the keys of its own time step, the other half those of its own "
         "place.")),
    Step("Over space: which keys?", ("space keys",), "K_s (t, heads/2, s, d)", "space.k", _keys,
         "space = [y[:, :, self.heads // 2 :] for y in qkv]", (
         "The blue half compares our query with the keys of its own time step: K_s in the paper. "
         "It sees no other step.",)),
    Step("Over space: the weights", ("space weights",), "weights (t, heads/2, s, s)",
         "space.weights", _space_weights,
         "y_s, weights_s = self.attend(*space, return_attention)", (
         "Equation 7: the product of our query with each key, divided by √d, then a softmax. One "
         "weight for each place.",
         "Each head has its own weights. The bluer a place, the more our token takes from it.")),
    Step("Over space: the output", ("space sum",), "Y_s (t, heads/2, s, d)", "space.out", _output,
         "y_s, weights_s = self.attend(*space, return_attention)", (
         "The sum of the values of the time step, each times its weight: d numbers for each head. "
         "It is our row of Y_s.",)),
    Step("Over time: which keys?", ("time keys",), "K_t (s, heads/2, t, d)", "time.k", _keys,
         'time = [rearrange(y[:, :, : self.heads // 2], "b t h s d -> b s h t d") for y in qkv]', (
         "The orange half compares our query with the keys of its own place, at all time steps: "
         "K_t in the paper.",
         "In the code only two axes change places. The function for attention is the same.")),
    Step("Over time: the weights", ("time weights",), "weights (s, heads/2, t, t)",
         "time.weights", _time_weights, "y_t, weights_t = self.attend(*time, return_attention)", (
         "Equation 7 again. There are so few keys that all numbers fit here. Check a row with a "
         "calculator.",)),
    Step("Over time: the output", ("time sum",), "Y_t (s, heads/2, t, d)", "time.out", _output,
         "y_t, weights_t = self.attend(*time, return_attention)", (
         "The sum of the values of our place at all time steps, each times its weight. It is our "
         "row of Y_t.",)),
    Step("Join the halves", ("join",), "Concat (t, s, D)", "joined", _joined,
         "out = self.proj_drop(self.proj(torch.cat([y_t, y_s], dim=-1)))", (
         "All heads side by side are D numbers again. The paper writes Concat(Y_s, Y_t).",
         "The official code and this package put time first. W_O can learn either order, but "
         "loaded weights need this one.")),
    Step("One projection for both", ("project", "y"), "y (t, s, D)", "y", _projected,
         "out = self.proj_drop(self.proj(torch.cat([y_t, y_s], dim=-1)))", (
         "Y = Concat(Y_s, Y_t) W_O. Then the residual and the MLP follow, as in every block.",
         "Now our token depends on its time step and its place. After the next block it depends "
         "on all tokens.")),
    Step("What it saves", tuple(BOXES), "y (t, s, D)", "y", _compared,
         "Block(config, rate, FactorisedDotProductAttention)", (
         "Model 4 is factorised and has the parameters of Model 1. Model 3 needs W_q, W_k, W_v and "
         "W_O twice.",
         "There are fewer products of queries and keys. Projections and MLP cost as much as in "
         "Model 1.")),
)
# fmt: on


def draw(number: int, scene: Scene) -> Canvas:
    """The picture of one step: title and shape, the map, the figure, words, and the code."""
    step, canvas = STEPS[number], Canvas(WIDTH, HEIGHT)
    title = f"{number + 1} of {len(STEPS)} · {step.title}"
    canvas.text(MARGIN, 8, title, size=16, bold=True)
    shape = f"{step.letters} = {tuple(operator.attrgetter(step.numbers)(scene.found).shape)}"
    colour = COLOURS.get(scene.axis, BLUE)
    canvas.text(WIDTH - MARGIN, 10, shape, 14, colour, bold=True, anchor="ra")
    row, column = divmod(scene.place, scene.grid[2])
    token = f"our token: step {scene.step}, row {row}, column {column}"
    canvas.paragraph(MARGIN, 32, (f"clip: {scene.name}", token), 52, colour=MUTED)
    # the map: a press on a box goes to the first step about it; all but the lit ones are dim
    for start, end in (pair for path in PATHS for pair in zip(path, path[1:], strict=False)):
        (_, x, from_row, width), (_, to, to_row, _) = BOXES[start], BOXES[end]
        y, at, between = 40 + 25 * from_row, 40 + 25 * to_row, (x + width + to) / 2
        look = (MUTED, 2) if start in step.lit and end in step.lit else ()
        canvas.line([(x + width, y), (between, y), (between, at), (to, at)], *look)
    for name, (words, x, row, width) in BOXES.items():
        is_lit, y = name in step.lit, 40 + 25 * row
        fill = COLOURS.get(name.split()[0], INK) if is_lit else TRACK
        canvas.box(x, y - 11, width, 22, fill=fill, radius=5)
        canvas.text(x + width / 2, y, words, 12, PAPER if is_lit else MUTED, is_lit, "mm")
        first = next(i for i, each in enumerate(STEPS, 1) if name in each.lit)
        says = f"step {first}: {STEPS[first - 1].title}"
        canvas.region(x, y - 11, width, 22, says, step=first)
    canvas.line([(MARGIN, TOP - 10), (WIDTH - MARGIN, TOP - 10)])
    step.figure(canvas, scene)
    canvas.line([(MARGIN, TOP + 306), (WIDTH - MARGIN, TOP + 306)])
    canvas.paragraph(MARGIN, TOP + 314, step.says, 20, 14)
    canvas.box(MARGIN, HEIGHT - 32, WIDTH - 2 * MARGIN, 26, fill=TRACK, radius=4)
    canvas.text(MARGIN + 10, HEIGHT - 19, step.code, anchor="lm")
    canvas.steps("step", range(1, len(STEPS) + 1), seconds=5)
    canvas.words = f"Step {title}. {shape}; {scene.name}, {token}. {' '.join(step.says)}"
    return canvas


class HalfHeadsStepper(Explorer):
    """Step by step through Model 4's attention; one token of one clip is followed.

    Back, next, play, a slider, and the boxes of the map go to a step; a token that is pressed is
    followed from then on.

    Args:
        clip: a class of `ArrowOfTime`. at: the token: time step, row and column.
        step: where to start, 1 to 13.

    The numbers are those of the first block of the small trained Model 4 in assets/weights, or of
    one with random weights where that is missing.

    Source: paper section 3.3.4, equation 7, figure 6.

    Example:
        >>> stepper = HalfHeadsStepper("moves right")
        >>> stepper.next.click()
        >>> stepper.step.value, stepper.scene().found.q.shape
        (2, torch.Size([4, 4, 36, 16]))
    """

    width, height = WIDTH, HEIGHT
    arrows = "column", "row", "step"

    def __init__(self, clip: str = "moves right", at=(1, 2, 2), step: int = 1):
        kinds = models()
        self.model = (kinds["trained"] or kinds["random"])[MODEL]
        self.step = whole_slider("step", len(STEPS) + 1, step)
        self.step.min = 1
        self.back = button("Back", lambda: self._move(self.step, -1), "arrow-left")
        self.next = button("Next", lambda: self._move(self.step, 1), "arrow-right", "primary")
        self.back.layout.width = self.next.layout.width = "96px"
        self.clip = dropdown("clip", ArrowOfTime.classes, clip)
        self.time, self.row, self.column = self.place = place_sliders(self.model.config.grid, at)
        self.adjust(self.step)
        both = widgets.HBox([self.back, self.next], layout=widgets.Layout(margin="0 0 0 100px"))
        super().__init__({"Step": [self.step, both, self.clip], "Our token": self.place})

    def scene(self) -> Scene:
        step, row, column = (slider.value for slider in self.place)
        grid, axis = self.model.config.grid, STEPS[self.step.value - 1].lit[0].split()[0]
        found, clip = _follow(self.model, self.clip.value)
        axis = axis if axis in COLOURS else ""
        return Scene(found, clip, grid, step, row * grid[2] + column, axis, self.clip.value)

    def draw(self) -> Canvas:
        return draw(self.step.value - 1, self.scene())

    def pressed(self, at: dict) -> None:
        """A place has a row and a column."""
        if "place" in at:
            row, column = divmod(at["place"], self.model.config.grid[2])
            at = {**at, "row": row, "column": column}
        super().pressed(at)

    def adjust(self, moved: widgets.Widget) -> None:
        self.back.disabled = self.step.value == 1
        self.next.disabled = self.step.value == len(STEPS)


@functools.lru_cache(maxsize=len(ArrowOfTime.classes))
@torch.inference_mode()
def _follow(model: torch.nn.Module, name: str) -> tuple[HalfHeads, Clip]:
    """The first block's attention on a clip of a class, and a frame of it for each time step."""
    config = model.config
    frames, _, size, _ = config.clip_shape
    pixels = arrow_clip(name, 0, frames, size).frames()
    tokens = model.patch_embed(normalise(pixels)[None])  # (1, t, s, D)
    tokens = tokens + model.pos_embed.unflatten(1, tokens.shape[1:3])
    block = model.blocks[0]
    found = half_heads(block.attn, block.norm1(tokens)[0])
    return found, Clip(arrow_clip(name, 0, frames, DRAWN).pixels[:: config.tubelet[0]])
