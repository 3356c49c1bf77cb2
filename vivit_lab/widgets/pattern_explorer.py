"""Which token may attend to which? The attention patterns of the four models, over a clip."""

from dataclasses import dataclass, replace
from functools import reduce
from operator import or_
from pathlib import Path

import ipywidgets as widgets
import numpy as np

from vivit_lab.errors import divisors, one_of
from vivit_lab.models import MODELS, ViViTConfig
from vivit_lab.models.config import ATTENTION_ORDERS
from vivit_lab.widgets import canvas as ink
from vivit_lab.widgets.canvas import BLUE, INK, MUTED, ORANGE, TEAL, TRACK, VIOLET, YELLOW, Canvas
from vivit_lab.widgets.charts import bar, cell, cells_region, legend, tinted_film
from vivit_lab.widgets.footage import Clip, FootagePicker
from vivit_lab.widgets.surface import Explorer, dropdown, legal_slider, place_sliders

STAGES = {  # what of a model is looked at, in the order of the slider
    "space": "attention over space",
    "time": "attention over time",
    "1 block": "one whole block",
    "2 blocks": "two blocks",
    "12 blocks": "twelve blocks",
}
AXES = ("space_time", "space", "time")


@dataclass(frozen=True, eq=False)
class Who:
    """A set of tokens of one model."""

    tokens: np.ndarray  # (t, s), bool: those of the clip, time slowest
    cls: np.ndarray  # (1,) in Model 1; (t,) in Model 2: one a time step; (0,) in Models 3 and 4
    top: bool = False  # the class token of Model 2's temporal encoder

    @property
    def count(self) -> int:
        return int(self.tokens.sum() + self.cls.sum() + self.top)

    def __or__(self, other: "Who") -> "Who":
        return Who(self.tokens | other.tokens, self.cls | other.cls, self.top or other.top)


def nobody(config: ViViTConfig) -> Who:
    """The empty set of a model's tokens."""
    t, s = config.temporal_tokens, config.spatial_tokens
    has_two_encoders = config.temporal_depth is not None
    class_tokens = t if has_two_encoders else config.attentions()[0].tokens - t * s
    return Who(np.zeros((t, s), bool), np.zeros(class_tokens, bool))


def look(who: Who, axis: str) -> Who:
    """All that the members look at in an attention along an axis."""
    if axis == "space_time":
        return Who(np.ones_like(who.tokens), np.ones_like(who.cls))
    if axis == "time":
        return Who(np.zeros_like(who.tokens) | who.tokens.any(axis=0), who.cls)
    steps = who.tokens.any(axis=1)
    steps = steps | who.cls if who.cls.size else steps  # a step's class token belongs to it
    return Who(np.zeros_like(who.tokens) | steps[:, None], steps if who.cls.size else who.cls)


@dataclass(frozen=True)
class Pattern:
    """What one token of one model sees at one stage."""

    asks: Who  # the one token that asks
    direct: dict[str, Who]  # for each attention: "space_time" | "space" | "time"
    # all whose content can be in the token after the stage: within a stage that is one attention
    # since the beginning of the block (Model 2's temporal encoder: of the model)
    reached: Who

    @property
    def looked_at(self) -> Who:
        return reduce(or_, self.direct.values())

    @property
    def kinds(self) -> dict[str, Who]:
        """All sets by their name in KINDS; a later one has what it shares with an earlier one."""
        return {"reached": self.reached, **self.direct, "asks": self.asks}


def pattern(
    config: ViViTConfig, stage: str, query: tuple[int, int] | str, step: int = 0
) -> Pattern | None:
    """Whom one token may look at, and whom it reaches.

    Args:
        stage: one of STAGES. Blocks are those of the token's encoder: of Model 2's spatial one.
        query: (time step, place) of a token, or "cls". In Model 2's temporal encoder ("time") the
            time step's one token asks in its place, and "cls" is that encoder's own.
        step: whose class token is meant, where each time step has one.

    Returns:
        None where there is no class token to ask.

    Source: paper section 3.3.

    Example:
        >>> config = ViViTConfig(model="factorised_dot_product", frames=8, image_size=112)
        >>> [pattern(config, stage, (1, 20)).reached.count for stage in STAGES]
        [49, 4, 52, 196, 196]
    """
    one_of("stage", stage, STAGES)
    asks, has_two_encoders = nobody(config), config.temporal_depth is not None
    in_time, by_cls = has_two_encoders and stage == "time", query == "cls"
    if by_cls and not asks.cls.size:
        return None
    if by_cls and in_time:
        asks = replace(asks, top=True)
    elif by_cls or in_time:
        asks.cls[(step if by_cls else query[0]) % len(asks.cls)] = True  # Model 1 has but one
    else:
        asks.tokens[query] = True
    if in_time:  # a token for each time step, which has heard from all of its step
        steps = Who(np.zeros_like(asks.tokens), np.ones_like(asks.cls), top=True)
        return Pattern(asks, {"time": steps}, steps | look(steps, "space"))

    axes = ["space"] if has_two_encoders else [each.axis for each in config.attentions()]
    side_by_side = _share_heads(config)
    layers = [axes] if side_by_side else [[axis] for axis in axes]
    if stage in axes:
        layers = [*layers[: 0 if side_by_side else axes.index(stage)], [stage]]
        axes = [stage]
    elif stage.endswith("blocks"):
        layers = layers * 2  # twelve reach no further: after two, all that can be reached is
    reached = asks
    for layer in reversed(layers):  # backwards: the later attention first
        reached = reduce(or_, (look(reached, axis) for axis in layer))
    direct = {axis: look(asks, axis) for axis in sorted(axes, key=AXES.index)}
    return Pattern(asks, direct, reached)


def _share_heads(config: ViViTConfig) -> bool:
    return sum(attention.heads for attention in config.attentions()) == config.heads


# ---- what it costs


@dataclass(frozen=True)
class Pairs:
    """(query, key) pairs that one block compares, for all tokens of a clip together."""

    paper: str  # section 3.3's formula, which counts one sequence along each axis
    paper_numbers: str
    paper_value: int
    exact: str  # counts every sequence and the class tokens
    exact_numbers: str
    value: int


def pairs(config: ViViTConfig) -> Pairs:
    """The pairs of one block, averaged over its heads; Model 2: a spatial and a temporal block.

    Example:
        >>> found = pairs(ViViTConfig(model="factorised_encoder"))
        >>> print(found.exact, "=", found.exact_numbers, "=", f"{found.value:,}")
        t·(s + 1)² + (t + 1)² = 16·197² + 17² = 621,233
        >>> print(found.paper, "=", found.paper_numbers, "=", f"{found.paper_value:,}")
        (n_h·n_w)² + n_t² = 196² + 16² = 38,672
    """
    t, s = config.temporal_tokens, config.spatial_tokens
    attentions = sorted(config.attentions(), key=lambda attention: AXES.index(attention.axis))
    value = sum(attention.sequences * attention.length**2 for attention in attentions)
    letters, numbers = [], []  # of each attention: t·(s + 1)² and 16·197²
    for each in attentions:
        times_s = "s·" if config.temporal_depth is None else ""
        many = {"space_time": "", "space": "t·", "time": times_s}[each.axis]
        length = {"space_time": "t·s", "space": "s", "time": "t"}[each.axis]
        length += " + 1" * (config.pooling == "cls")
        letters.append(f"{many}({length})²" if len(length) > 1 else f"{many}{length}²")
        numbers.append((f"{each.sequences}·" if many else "") + f"{each.length:,}²")
    exact, numbers = " + ".join(letters), " + ".join(numbers)
    if attentions[0].axis == "space_time":
        paper = "(n_t·n_h·n_w)²", f"{t * s:,}²", (t * s) ** 2
    else:
        paper = "(n_h·n_w)² + n_t²", f"{s}² + {t}²", s**2 + t**2
        if _share_heads(config):
            exact, numbers, value = f"½ ({exact})", f"½ ({numbers})", value // 2
    return Pairs(*paper, exact, numbers, value)


# ---- the explorer


FRAME_COUNTS = (4, 8, 12, 16, 32)
IMAGE_SIZE = 224
PATCHES = (16, 28, 32, 56, 112)
MOST_STEPS = 16  # more would be too small to see
DRAWN = 112  # pixels a side that are decoded: more than any frame is drawn with
WIDTH, HEIGHT, MARGIN = 920, 460, 12
PANEL, PITCH, TOP = 454, 204, 54  # of the four panels: from one to the next, and the first
WIDE, AREA = 442, 118  # of a panel; height of its frames and their class tokens
LEFT = 40  # of the frames in a panel
CHIP = 15  # height of a class token
ASKER = 8  # pixels a side, at least: of one among 196 only a speck would be left
KINDS = {  # how a token is seen: in words, its tint on a frame, and as a mark
    "asks": ("query token", "", YELLOW),
    "space_time": ("looked at, in the whole clip", TEAL + "73", TEAL + "70"),
    "space": ("looked at, over space", BLUE + "73", BLUE + "70"),
    "time": ("looked at, over time", ORANGE + "bf", ORANGE + "70"),
    "reached": ("reached through others", VIOLET + "4d", VIOLET + "70"),
    "away": ("not reached", None, TRACK),
}


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
    stage: str  # one of STAGES
    order: str  # Model 3's: "space_time" | "time_space"

    def config(self, model: str) -> ViViTConfig:
        """The configuration of one of the four models, ViViT-B apart from its tokens."""
        order = {"attention_order": self.order} if model == "factorised_self_attention" else {}
        size = {"image_size": IMAGE_SIZE, "tubelet": (self.t, self.patch, self.patch)}
        return ViViTConfig(model=model, frames=self.frames, **size, **order)

    def pattern(self, model: str) -> Pattern | None:
        """What the asking token sees in one of the models; None if it has no such token."""
        config = self.config(model)
        place = self.row * config.grid[2] + self.column
        query = "cls" if self.query == "cls" else (self.step, place)
        return pattern(config, self.stage, query, self.step)


def draw(state: PatternState, clip: Clip, name: str = "") -> Canvas:
    """A film strip and a count for each model, for the same query. name: the video's."""
    canvas = Canvas(WIDTH, HEIGHT)
    t, h, w = state.config("joint").grid
    who = f"Query: the token at step {state.step}, row {state.row}, column {state.column}"
    if state.query == "cls":
        who = f"Query: the class token (Model 2: that of step {state.step})"
    canvas.text(MARGIN, 8, who, size=15, bold=True)
    tokens = f"{t} × {h} × {w} = {t * h * w:,} tokens"
    side = TOP - 12
    canvas.text(WIDTH - MARGIN - side - 10, 9, f"{name}   {tokens}", anchor="ra")
    canvas.frame(WIDTH - MARGIN - side, 4, side, side, clip.pictures[state.step * state.t])
    steps = [i // state.t for i in range(len(clip))]
    canvas.film(WIDTH - MARGIN - side, 4, side, side, clip.pictures, "step", steps)
    short = [(words.replace("looked at, over", "over"), mark) for words, _, mark in KINDS.values()]
    legend(canvas, MARGIN, 31, short, ink=MUTED)

    found = {model: state.pattern(model) for model in MODELS}
    kinds, names = np.full((len(MODELS), t, h * w), len(KINDS) - 1), [*KINDS]
    for own, seen in zip(kinds, found.values(), strict=True):
        for kind, them in seen.kinds.items() if seen else ():
            own[them.tokens] = names.index(kind)
    kinds, counts = kinds.reshape(-1, t, h, w), []
    most = pairs(state.config("joint")).value
    for i, (model, seen) in enumerate(found.items()):
        x, y, cost = MARGIN + i % 2 * PANEL, TOP + i // 2 * PITCH, pairs(state.config(model))
        canvas.line([(x, y - 6), (x + WIDE, y - 6)])
        number, title = MODELS[model].split(": ")
        canvas.text(x, y, number, size=14, bold=True)
        canvas.text(x + 66, y + 1, f"{title} · {_stage(model, state)}", 12, MUTED)
        _strip(canvas, x, y + 21, clip, seen, kinds, i)

        y += 24 + AREA  # how many tokens are seen; pairs by the paper's formula and exactly
        if seen is not None:
            looks, reach = f"looks at {seen.looked_at.count:,}", f"reaches {seen.reached.count:,}"
            canvas.text(x, y, f"{looks}, {reach}", bold=True)
            counts.append(f"{number} {looks} and {reach}")
        share = cost.value / most
        canvas.note(x + WIDE, y + 1, f"{100 * share:.3g} % of Model 1's pairs", anchor="ra")
        bar(canvas, x + WIDE - 160, y + 16, 160, 3, min(share, 1), TEAL)
        paper = f"paper: O({cost.paper}), {cost.paper_numbers} = {cost.paper_value:,}"
        canvas.note(x, y + 22, paper)
        exact = f"exactly: {cost.exact} = {cost.exact_numbers} = {cost.value:,}"
        canvas.text(x, y + 39, exact, 12)
    canvas.words = f"{who}, of {tokens}; {STAGES[state.stage]}. {'; '.join(counts)}."
    return canvas


def _stage(model: str, state: PatternState) -> str:
    stage, two_encoders = state.stage, model == "factorised_encoder"
    if stage not in ("space", "time"):
        return f"spatial encoder, {stage}" if two_encoders else STAGES[stage]
    rank = "first" if state.order.startswith(stage) else "second"
    return {
        "joint": "every attention",
        "factorised_encoder": "spatial encoder" if stage == "space" else "temporal encoder",
        "factorised_self_attention": f"attention over {stage}, the {rank}",
        "factorised_dot_product": f"the heads over {stage}",
    }[model]


def frame_places(steps: int, x=0, y=0) -> tuple[float, list[tuple[float, float]]]:
    """Side of a frame, and the corner of each of a panel; in two rows where that is larger."""
    found = {}
    for rows in (1, 2):
        per_row = -(-steps // rows)
        pitch = min((WIDE - LEFT) / per_row, 106)
        side = min(round(pitch - 5), AREA // rows - CHIP - 2)
        places = (divmod(step, per_row) for step in range(steps))
        found[side] = [(x + LEFT + column * pitch, y + row * AREA / 2) for row, column in places]
    return max(found.items())


def _strip(canvas: Canvas, x, y, clip: Clip, found: Pattern | None, all_kinds, model: int) -> None:
    """The first frame of every time step, cell by cell in the colour of how it is seen.

    Any token can ask. all_kinds: how each of the models sees it (models, t, rows, columns).
    """
    kinds, all_kinds = all_kinds[model], np.moveaxis(all_kinds, 0, -1)
    _, rows, columns = kinds.shape
    side, corners = frame_places(len(kinds), x, y)
    tints = [tint for _, tint, _ in KINDS.values()]
    tinted_film(canvas, corners, side, clip.pictures, kinds, tints)
    if found is None:
        words = "No class token here: the classifier reads the mean."
        room = ink.written(words, 13, False, "lm")[0].width + 20
        canvas.box(x + LEFT + 4, y + side / 2 - 13, room, 26, fill=ink.PAPER + "e0", radius=4)
        canvas.text(x + LEFT + 14, y + side / 2, words, anchor="lm")
    elif found.asks.cls.size:
        _class_tokens(canvas, x, y, found)
    for step, i, j in np.argwhere(kinds == 0):
        grow = (max(side / columns + 1, ASKER) - side / columns) / 2
        box = cell(*corners[step], side, rows, columns, (i, j), grow)
        canvas.box(*box, INK, YELLOW, 1.5 if side / columns > ASKER else 1)

    def says(kinds: np.ndarray) -> str:
        seen = zip(MODELS.values(), kinds.tolist(), strict=True)
        lines = (f"{model[:7]}: {[*KINDS.values()][kind][0]}" for model, kind in seen)
        return "\n".join(["step {step}, row {row}, column {column}", *lines])

    codes = all_kinds @ len(KINDS) ** np.arange(len(MODELS))
    for step, corner in enumerate(corners):
        most = np.bincount(codes[step].flat).argmax()  # of a whole frame, but for some cells
        first = all_kinds[step][codes[step] == most][0]
        at = {"query": "token", "step": step}
        cells_region(canvas, *corner, side, (rows, columns), says(first), **at)
        for i, j in np.argwhere(codes[step] != most).tolist():
            box = cell(*corner, side, rows, columns, (i, j))
            canvas.region(*box, says(all_kinds[step, i, j]), **at, row=i, column=j)


def _class_tokens(canvas: Canvas, x, y, found: Pattern) -> None:
    """Model 1's class token before the strip; Model 2's under each frame, and the clip's before."""
    count, (side, corners) = len(found.asks.cls), frame_places(len(found.asks.tokens), x, y)
    name = "cls " if side > 46 else "c"
    chips = [(left, top + side + 2, side, f"{name}{i}", i) for i, (left, top) in enumerate(corners)]
    chips = [(x, y, 34, "cls", 0)] if count == 1 else [*chips, (x, y + side + 2, 34, "clip", None)]
    for i, (left, top, width, words, step) in enumerate(chips):
        kinds = [kind for kind, who in found.kinds.items() if [*who.cls, who.top][i]]
        kind = ["away", *kinds][-1]
        mark = KINDS[kind][2]
        edge, mark = (mark, TRACK) if kind == "asks" else (None, mark)
        canvas.box(left, top, width, CHIP, edge, mark, 2, radius=3)
        colour = MUTED if kind == "away" else INK
        canvas.text(left + width / 2, top + CHIP / 2, words, 12, colour, anchor="mm")
        at = {"query": "cls"} if step is None or count == 1 else {"query": "cls", "step": step}
        whose = "class token of the clip" if len(at) == 1 else f"class token of step {step}"
        canvas.region(left, top, width, CHIP, f"{whose}: {KINDS[kind][0]}", **at)


class PatternExplorer(Explorer):
    """Press a token of any model: it is the query. Point at one to read how each model treats it.

    There are sliders for the token, the stage of the model, and the size of clip and tubelet.

    Args:
        clip: name of a sample, or path of a video.
        frames, t, patch: where the sliders start: frames of the clip and of a tubelet, pixels a
            side of a patch. The image is 224 x 224.
        stage: one of STAGES.

    Source: paper section 3.3, figures 1, 4, 5 and 6.

    Example:
        >>> explorer = PatternExplorer("crossing", frames=8)
        >>> explorer.stage.value = "2 blocks"
        >>> explorer.state().pattern("factorised_encoder").reached.count
        50
    """

    width, height = WIDTH, HEIGHT
    arrows = "column", "row", "step"

    def __init__(self, clip: str | Path = "rabbit", frames=12, t=2, patch=32, stage="1 block"):
        config = ViViTConfig(frames=frames, image_size=IMAGE_SIZE, tubelet=(t, patch, patch))
        self.picker = FootagePicker(clip, on_change=self.refresh)
        self.frames = legal_slider("frames", sorted({*FRAME_COUNTS, frames}), frames)
        self.t = legal_slider("tubelet t", _tubelets(frames), t)
        self.patch = legal_slider("patch", sorted({*PATCHES, patch}), patch)
        self.stage = legal_slider("stage", STAGES, stage)
        orders = [("{}, then {}".format(*order.split("_")), order) for order in ATTENTION_ORDERS]
        self.order = dropdown("Model 3", orders)
        self.query = dropdown("query", [("a token", "token"), ("a class token", "cls")])
        self.step, self.row, self.column = self.place = place_sliders(config.grid)
        controls = {
            "Clip": [self.picker.ui],
            "Tokens": [self.frames, self.t, self.patch, self.order],
            "Query token": [self.query, *self.place, self.stage],
        }
        super().__init__(controls)

    def state(self) -> PatternState:
        return self.read(PatternState)

    def draw(self) -> Canvas:
        return draw(self.state(), self.clip(), self.picker.footage.name)

    def _move(self, control: widgets.Widget, steps: int) -> None:
        if control is not self.step:  # a class token has no place
            self.query.value = "token"
            self.adjust(self.query)
        super()._move(control, steps)

    def clip(self) -> Clip:
        return self.picker.footage.middle_clip(self.frames.value, DRAWN)

    def adjust(self, moved: widgets.Widget) -> None:
        """Another grid: the token that asks stays, or moves to the nearest place there is."""
        self.set_options(self.t, _tubelets(self.frames.value))
        for slider, count in zip(self.place, self.state().config("joint").grid, strict=True):
            self.set_last(slider, count - 1)
        self.row.disabled = self.column.disabled = self.query.value == "cls"


def _tubelets(frames: int) -> list[int]:
    return [d for d in divisors(frames) if d <= 16 and frames // d <= MOST_STEPS]
