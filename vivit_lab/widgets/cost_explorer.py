"""What does it cost? The five rows of the paper's table side by side, for any clip and size."""

import dataclasses
import functools
import itertools

import ipywidgets as widgets

from vivit_lab.analysis import Machine, calibrate, cost, count_flops
from vivit_lab.analysis.cost import in_seconds
from vivit_lab.analysis.flops import PARTS
from vivit_lab.errors import divisors
from vivit_lab.models import ViViTConfig
from vivit_lab.models.config import SIZES
from vivit_lab.widgets import canvas as ink
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, TRACK, Canvas
from vivit_lab.widgets.charts import Plot, legend, plural, round_steps, short, table_row
from vivit_lab.widgets.surface import Explorer, button, dropdown, legal_slider

WIDTH, HEIGHT, MARGIN = 920, 526, 14
FRAME_COUNTS = (2, 4, 8, 12, 16, 18, 20, 24, 32, 48, 64, 96, 128)
IMAGE_SIZES = (64, 96, 112, 128, 160, 192, 224, 256, 288, 320, 448)
BATCHES = (1, 2, 4, 8, 16, 32, 64)
VIEWS = (1, 2, 3, 4, 6, 12, 30)
COUNTERS = {
    "closed form": "closed_form", "fvcore": "fvcore", "torch": "torch", "naive counter": "naive",
}  # fmt: skip
AXES = {"frames": "frames", "tubelet t": "t", "patch": "patch", "image size": "image_size"}

# the rows of the paper's table 2: what differs, its name, what it is, a colour
ROWS = (
    ({"model": "joint"}, "Model 1", "spatio-temporal attention", RED),
    ({"model": "factorised_encoder"}, "Model 2", "factorised encoder", BLUE),
    ({"model": "factorised_self_attention"}, "Model 3", "factorised self-attention", TEAL),
    ({"model": "factorised_dot_product"}, "Model 4", "factorised dot-product", ORANGE),
    ({"model": "factorised_encoder", "temporal_depth": 0}, "averaging",
     "Model 2, no temporal encoder", ink.VIOLET),
)  # fmt: skip
NAMES = tuple(name for _, name, _, _ in ROWS)
THICKNESS = 2, 6, 2, 2, 3.5  # of the lines: two that lie on each other are both seen
PART_COLOURS = LINE, MUTED + "70", ink.GOLD, ink.PINK, INK, MUTED + "b0", INK  # none is a model's
COLOURS = dict(zip(PARTS, PART_COLOURS, strict=True))

# what the explorer predicts with until it has measured the learner's machine
ASSUMED = Machine("an assumed 40 GMAC/s, 20 in attention", 40e9, 20e9, 4e9, 0.0002)


@dataclasses.dataclass(frozen=True)
class CostState:
    """All that the picture depends on."""

    frames: int = 32
    image_size: int = 224
    t: int = 2  # frames of a tubelet
    patch: int = 16  # height and width of a tubelet
    size: str = "B"
    views: int = 12
    batch: int = 1
    counter: str = "closed form"  # a key of COUNTERS
    axis: str = "frames"  # a key of AXES
    model: str = NAMES[0]  # which stands out
    machine: Machine = ASSUMED

    @property
    def name(self) -> str:
        """The paper's name for the model."""
        return f"ViViT-{self.size}/{self.patch}x{self.t}"

    def legal(self, axis: str) -> list[int]:
        """The values that an axis can take while the others stay, the present one among them."""
        frames, side, t, patch = self.frames, self.image_size, self.t, self.patch
        return {
            "frames": sorted(n for n in {*FRAME_COUNTS, frames} if n % t == 0),
            "image size": sorted(n for n in {*IMAGE_SIZES, side} if n % patch == 0),
            "tubelet t": [d for d in divisors(frames) if d <= 16 or d == t],  # can be counted
            "patch": [d for d in divisors(side) if 8 <= d <= side // 2 or d == patch],  # and seen
        }[axis]

    def at(self, axis: str, value: int) -> "CostState":
        """The same with another value on one axis."""
        return dataclasses.replace(self, **{AXES[axis]: value})

    def configs(self) -> list[ViViTConfig]:
        """One configuration a row of the table."""
        clip = self.frames, self.image_size
        return [_config(self.name.removeprefix("ViViT-"), *clip, i) for i in range(len(ROWS))]


@functools.lru_cache(maxsize=4096)
def _config(preset: str, frames: int, image_size: int, row: int) -> ViViTConfig:
    options = dict(ROWS[row][0])
    if preset.startswith("Ti") and options["model"] == "factorised_dot_product":  # 3 is odd
        options["heads"] = 4
    return ViViTConfig.preset(preset, frames=frames, image_size=image_size, **options)


@functools.lru_cache(maxsize=4096)
def _parts(config: ViViTConfig, counter: str) -> dict[str, int]:
    if counter == "naive":  # which takes the model as it runs and overlooks fused attention
        return count_flops(config, counter="closed_form", as_run=True, naive=True).by_part
    return count_flops(config, counter=counter).by_part


def _macs(config: ViViTConfig, counter: str) -> int:
    return sum(_parts(config, counter).values())


@functools.lru_cache(maxsize=1024)
def _needs(config: ViViTConfig, batch: int, machine: Machine) -> tuple[int, str, str, str]:
    """Parameters, memory to run and to train, and time to run."""
    run, train = (cost(config, batch=batch, training=t, machine=machine) for t in (False, True))
    memory = (f"{short(each.total_bytes)}B" for each in (run, train))
    return run.params, *memory, in_seconds(run.seconds)


def flips(state: CostState) -> list[str]:
    """From where along the state's axis a row of the table costs more than another, in words.

    Example:
        >>> flips(CostState())[1]
        'Model 1 above Model 3 from frames = 18'
    """
    values, counter, found = state.legal(state.axis), _live(state.counter), []
    macs = [[_macs(c, counter) for c in state.at(state.axis, v).configs()] for v in values]
    for a, b in itertools.permutations(range(len(ROWS)), 2):
        for value, before, after in zip(values[1:], macs, macs[1:], strict=False):
            if before[a] <= before[b] and after[a] > after[b]:
                found.append(f"{ROWS[a][1]} above {ROWS[b][1]} from {state.axis} = {value}")
    return found


def _live(counter: str) -> str:
    """The counter of the curves: hundreds of counts, so the formulas, which give the same."""
    return "naive" if COUNTERS[counter] == "naive" else "closed_form"


# ---- the picture


COLUMNS = (600, 686, 762, 838, 906)  # where the columns beside the bars end
BAR, BAR_LENGTH = 216, 230


def draw(state: CostState) -> Canvas:
    """Bars by part, what follows from them in memory and time, and a curve along one axis."""
    canvas, found, y, axis = Canvas(WIDTH, HEIGHT), flips(state), 36, AXES[state.axis]
    configs, counter = state.configs(), COUNTERS[state.counter]
    macs, naive = [_macs(config, counter) for config in configs], counter == "naive"
    title = f"{state.name}, {state.frames} frames of {state.image_size} × {state.image_size}"
    canvas.text(MARGIN, 10, title, size=15, bold=True)
    tokens = f"{configs[0].tokens:,} tokens"
    shape = "{} × {} × {} = {}".format(*configs[0].grid, tokens)
    canvas.text(WIDTH - MARGIN, 10, shape, size=15, bold=True, anchor="ra")
    head = (("", "MACs of one clip"), ("MACs of one clip,", "without fused attention"))[naive]
    canvas.paragraph(BAR, y, head, 15, 12, RED if naive else MUTED)
    clips = "one clip" if state.batch == 1 else f"{state.batch} clips"
    table_row(canvas, y, COLUMNS, ("", "MACs of", "memory", "memory", "time for"), 12, MUTED)
    under = ("parameters", plural(state.views, "view"), "to run", "to train", clips)
    table_row(canvas, y + 15, COLUMNS, under, 12, MUTED)
    for i, (config, total) in enumerate(zip(configs, macs, strict=True)):
        top, x, (_, name, what, colour) = y + 38 + 35 * i, BAR, ROWS[i]
        at = {"model": name, "row": name, axis: getattr(state, axis)}
        if name == state.model:
            canvas.box(0, top - 5, WIDTH, 35, fill=TRACK)
            canvas.box(0, top - 5, 5, 35, fill=colour)
        canvas.region(2, top - 5, WIDTH - 4, 35, f"{name}, {what}\n{_figures(state, i)}", **at)
        canvas.text(MARGIN, top - 2, name, colour=colour, bold=True)
        note = {min(macs): "costs least", max(macs): "costs most"}.get(total, "")
        canvas.text(MARGIN + 92, top - 1, note, size=12)
        canvas.note(MARGIN, top + 14, what)
        for part, count in _parts(config, counter).items():
            width = BAR_LENGTH * count / max(macs)
            if width >= 0.5:
                canvas.box(x, top + 1, width, 23, fill=COLOURS[part])
                says = f"{part}: {count:,} MACs, {100 * count / total:.1f} % of {name}"
                canvas.region(x, top + 1, width, 23, says, part=part, **at)
            x += width
        canvas.text(x + 6, top + 4, short(total), bold=True)
        parameters, *others = _needs(config, state.batch, state.machine)
        cells = short(parameters), short(total * state.views), *others
        table_row(canvas, top + 4, COLUMNS, cells, 13)
    parts = [(part, COLOURS[part]) for part in PARTS[:-1]]  # the classifier is too small to see
    legend(canvas, MARGIN, y + 216, parts, name="part")
    who = "closed form, as fvcore without help" if naive else state.counter
    canvas.note(MARGIN, y + 237, f"Counted by {who}. 1 MAC = 2 FLOPs.")
    note = f"Memory in float32. Time with {state.machine.name.split(' (')[0]}."
    canvas.note(WIDTH - MARGIN, y + 237, note, anchor="ra")
    canvas.line([(MARGIN, 294), (WIDTH - MARGIN, 294)], LINE)
    _below(canvas, 304, state, found)
    each = ", ".join(f"{name} {short(n)}" for name, n in zip(NAMES, macs, strict=True))
    flip = "; ".join(found) or f"Over {state.axis} the order stays"
    canvas.words = f"{title}: {tokens}. MACs of one clip: {each}; {state.model} stands out. {flip}."
    return canvas


def _figures(state: CostState, row: int) -> str:
    """Exactly what a row of the table costs."""
    config = state.configs()[row]
    macs = _macs(config, _live(state.counter))
    parameters, run, train, _ = _needs(config, state.batch, state.machine)
    size = f"{config.tokens:,} tokens, {parameters:,} parameters"
    macs = f"{macs:,} MACs, {macs / config.tokens:,.0f} a token"
    return f"{macs}\n{size}\n{run} to run, {train} to train"


def _below(canvas: Canvas, y: float, state: CostState, found: list[str]) -> None:
    """MACs a token along one axis: flat where cost grows with the tokens, rising where faster.

    Beside them the parts of the model that stands out, and where the order of the models changes.
    """
    axis, now = AXES[state.axis], getattr(state, AXES[state.axis])
    values, counter = state.legal(state.axis), _live(state.counter)
    states = [state.at(state.axis, value) for value in values]
    configs = list(zip(*(each.configs() for each in states), strict=True))
    lines = [[_macs(config, counter) / config.tokens for config in each] for each in configs]
    title = f"MACs a token, if only the {state.axis} changed (linear axes)"
    canvas.text(MARGIN, y, title, bold=True)
    highest = max(map(max, lines)) * 1.05
    plot = Plot(canvas, 70, y + 28, 390, 166, (0, values[-1]), (0, highest))
    steps = round_steps(0, highest)
    plot.grid(steps, [short(step).replace(".00 ", " ").replace(".0 ", " ") for step in steps])
    ticks = [now]
    for value in (0, *sorted(values, key=lambda v: -(v & -v))):  # powers of two first
        if all(abs(value - tick) * plot.width > 27 * values[-1] for tick in ticks):
            ticks.append(value)
    plot.marks(ticks, map(str, ticks), strong=now)
    canvas.box(plot.place([now], [0])[0, 0] - 7, plot.top - 4, 14, plot.height + 4, fill=INK + "18")
    says = f"{state.axis} = {{{axis}}}: {{value}} tokens"
    plot.region(says, axis, values, [f"{config.tokens:,}" for config in configs[0]])
    ends = {}
    for i in sorted(range(len(ROWS)), key=lambda i: (NAMES[i] == state.model, -THICKNESS[i])):
        line, (_, name, _, colour), strong = lines[i], ROWS[i], NAMES[i] == state.model  # on top
        plot.line(values, line, colour, 4 if strong else THICKNESS[i])
        plot.dots(values, line, colour, 4 if strong else 2.5, edge=strong)
        says = f"{name} at {state.axis} = {{{axis}}}\n{{value}}"
        plot.region(says, axis, values, [_figures(each, i) for each in states], line, row=name)
        words, at = f"{name} {short(line[-1])}".strip(), {"model": name, "row": name}
        ends[i] = line[-1], words, colour, strong, at
    plot.ends(ends[i] for i in sorted(ends))
    x, row = 614, NAMES.index(state.model)
    parts = _parts(state.configs()[row], COUNTERS[state.counter])
    total = sum(parts.values())
    canvas.text(x, y, f"{state.model}: {total:,} MACs", bold=True, colour=ROWS[row][3])
    shown = [(part, parts[part]) for part in PARTS[:-1] if parts.get(part)]
    for top, (part, count) in zip(itertools.count(y + 24, 18), shown):
        canvas.box(x, top + 3, 11, 11, fill=COLOURS[part])
        canvas.text(x + 17, top, part)
        words = short(count), f"{100 * count / total:.0f} %"
        table_row(canvas, top, (x + 212, x + 264), words, 13)
        at = {"part": part, "row": state.model, axis: now}
        canvas.region(x - 4, top - 1, 300, 18, f"{count:,} MACs", **at)
    canvas.text(x, y + 122, "Where the order changes", bold=True)
    found = sorted(found, key=lambda words: state.model not in words)
    shown = found if len(found) <= 4 else [*found[:3], f"and {len(found) - 3} more"]
    canvas.paragraph(x, y + 145, shown or ["nowhere along this axis"], 18, 12)
    for i, words in enumerate(found[:3] if len(found) > 4 else found):
        at = {axis: int(words.split(" = ")[1])}
        canvas.region(x - 4, y + 144 + 18 * i, 300, 18, "press to go there", **at)


class CostExplorer(Explorer):
    """Sliders for the clip and the model; MACs by part, memory and time of the five variants.

    frames, image_size, t, patch, size: where the sliders start: ViViT-<size>/<patch>x<t>.

    With fvcore and torch the picture follows when a slider is let go. Until the button has measured
    this machine (2 seconds), times are those of a made-up machine of 40 GMAC/s.

    Raises ValueError for an illegal start. Source: paper section 3.3 and table 2.

    Example:
        >>> explorer = CostExplorer(frames=16)
        >>> explorer.state().configs()[0].tokens
        1568
    """

    width, height = WIDTH, HEIGHT
    arrows = "along", "model", "axis"

    def __init__(self, frames=32, image_size=224, t=2, patch=16, size="B"):
        start = CostState(frames, image_size, t, patch, size)
        start.configs()  # says what is wrong, if anything is
        self.machine = ASSUMED
        self.frames = legal_slider("frames", sorted({*FRAME_COUNTS, frames}), frames)
        self.image_size = legal_slider("image size", sorted({*IMAGE_SIZES, image_size}), image_size)
        self.t = legal_slider("tubelet t", start.legal("tubelet t"), t)
        self.patch = legal_slider("patch", start.legal("patch"), patch)
        self.model = dropdown("stands out", NAMES)
        self.size = legal_slider("model size", list(SIZES), size)
        self.batch = legal_slider("batch", BATCHES, 1)
        self.views = legal_slider("views", VIEWS, 12)
        self.counter = dropdown("count by", COUNTERS)
        self.axis = dropdown("curve over", AXES)
        self.button = button("Measure this machine (2 s)", self._measure, icon="clock-o")
        self.button.layout.width = "98%"
        clip = [self.frames, self.image_size, self.t, self.patch]
        model = [self.model, self.size, self.batch, self.views]
        count = [self.counter, self.axis, self.button]
        super().__init__({"Clip": clip, "Model": model, "Count": count})

    def state(self) -> CostState:
        return self.read(CostState, machine=self.machine)

    def draw(self) -> Canvas:
        return draw(self.state())

    def control(self, name: str) -> widgets.Widget | None:
        return super().control(AXES[self.axis.value] if name == "along" else name)

    def adjust(self, moved: widgets.Widget) -> None:
        self.set_options(self.t, self.state().legal("tubelet t"))
        self.set_options(self.patch, self.state().legal("patch"))
        live = self.counter.value not in ("fvcore", "torch")  # they cannot follow the hand
        for slider in (self.frames, self.image_size, self.t, self.patch, self.size):
            slider.continuous_update = live

    def _measure(self) -> None:
        self.button.disabled = True
        try:
            self.machine = calibrate()
        finally:
            self.button.disabled = False
        self.refresh()
