"""The picture of a run: loss, accuracy and learning rate over its steps, and where it looks.

The cockpit draws it of a run that is under way, `RunReplay` of a stored one.
"""

import contextlib
from dataclasses import dataclass
from math import ceil

import ipywidgets as widgets
import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.analysis import AttentionMaps, TokenWeights, attention_maps
from vivit_lab.models import ViViT, ViViTConfig, token_voxels
from vivit_lab.training import Recipe, StoredRun
from vivit_lab.training.optim import chance_loss
from vivit_lab.training.run import COLUMNS
from vivit_lab.video import normalise
from vivit_lab.widgets.canvas import BLUE, MUTED, ORANGE, PAPER, RED, TEAL, TRACK, Canvas, Picture
from vivit_lab.widgets.charts import Plot, heat, heat_colours, log_steps, round_steps
from vivit_lab.widgets.surface import Explorer, dropdown, legal_slider, whole_slider

WIDTH, HEIGHT, MARGIN = 800, 462, 12
LEFT, TOP = 60, 60  # of the axes; of what is below the title
PALE, PLAN = BLUE + "50", MUTED + "80"  # single steps, behind their mean; rates to come
COLOURS = {"training": TEAL, "validating": TEAL, "finished": BLUE, "failed": RED}
SIDE = 104  # height of a picture of a strip
BRIGHTEST = 4  # times the even share: what is drawn in full yellow
MOST_PICTURES = 8  # of a strip
PLAYED = 100  # pictures of a whole run, when it is played
Strips = dict[str, Picture | None]  # "epoch 3": its pictures side by side, or not known
EPOCH_STEPS = (1, 2, 5, 10, 20, 50, 100, 1000, 10**6)  # between the numbers below an axis


@dataclass(frozen=True)
class Shown:
    """All that the picture depends on."""

    title: str
    phase: str  # a word or two: "training"
    figures: str  # the line below the title
    points: np.ndarray  # (M, 6), as `thinned` gives them
    ahead: np.ndarray  # those of a stored run that are still to come
    paces: np.ndarray | None  # (M,) clips a second at each point; None: not known
    total: int | None  # steps of the whole run; None: unknown
    steps_per_epoch: int | None
    epochs: list[dict]  # entries of the log
    recipe: Recipe
    chance: float  # accuracy of guessing, 0..1
    chance_loss: float
    log: bool  # the loss on a logarithmic axis
    whole: bool  # the axis of steps shows the whole run
    attends: tuple[str, ...]  # lines of what a strip shows
    strips: Strips | None  # before the first step, and after `epoch`; None: no clip
    time_steps: int  # pictures in a strip
    epoch: int

    @property
    def marked(self) -> int:
        """The end of the epoch whose attention is shown, in steps; 0: there is none."""
        return 0 if self.strips is None else self.epoch * (self.steps_per_epoch or 0)

    @property
    def end(self) -> float:
        """The last step on the axis; up to now: the half, quarter, ... of the run that holds it."""
        now = max([0, *self.points[-1:, 0]])
        end = max(self.total or 1, now)
        while now and not self.whole and end / 2 >= max(now, 8):
            end /= 2
        return end


def draw(shown: Shown) -> Canvas:
    """The picture."""
    canvas, phase = Canvas(WIDTH, HEIGHT, words=_words(shown)), shown.phase
    canvas.text(MARGIN, 9, shown.title, size=15, bold=True, colour=BLUE)
    colour = COLOURS.get(phase.split()[0], ORANGE if "paus" in phase or "stop" in phase else MUTED)
    width = 8 * len(phase) + 24
    canvas.box(WIDTH - MARGIN - width, 7, width, 23, fill=colour, radius=11)
    middle = WIDTH - MARGIN - width / 2
    canvas.text(middle, 18.5, phase, size=13, colour=PAPER, bold=True, anchor="mm")
    canvas.text(MARGIN, 34, shown.figures, size=12.5)
    right = _strips(canvas, shown) - 26
    _steps(_charts(canvas, right, shown), shown)
    return canvas


def _words(shown: Shown) -> str:
    """The picture for those who do not see it."""
    words = f"{shown.title}. {shown.phase}: {shown.figures.replace('  ·  ', ', ')}."
    if len(shown.points):
        _, loss, accuracy, rate = shown.points[-1, :4]
        words += f" Loss {loss:.3f} (guessing: {shown.chance_loss:.3f}), accuracy {accuracy:.1%}"
        for step, accuracy in _validated(shown)[-1:]:
            words += f", validation {accuracy:.1%} after epoch {step // shown.steps_per_epoch}"
        words += f", learning rate {rate:.2g}."
        if shown.marked:
            words += f" Where it looks: before training, and after epoch {shown.epoch}."
    return words


def _validated(shown: Shown) -> list[tuple[int, float]]:
    """Each validation: after so many steps, such an accuracy."""
    per_epoch = shown.steps_per_epoch
    found = [entry for entry in shown.epochs if per_epoch and entry.get("validation")]
    return [(entry["epoch"] * per_epoch, entry["validation"]["top1"]) for entry in found]


def _charts(canvas: Canvas, right: float, shown: Shown) -> Plot:
    """Loss, accuracy and learning rate below each other; returns the lowest of them."""
    tested, per_epoch = _validated(shown), shown.steps_per_epoch
    steps, losses, accuracies, rates, low, high = shown.points.T
    together = int(steps[0]) if len(steps) else 1  # steps in a point; the first is step 1
    window = max(1, ceil(max(10, shown.end / 40) / together))
    loss_means, accuracy_means = (running_mean(each, window) for each in (losses, accuracies))
    loss, accuracy, rate = "", "training", ""  # as they are now, in words
    if len(steps):
        loss, rate = f"{loss_means[-1]:.3f}", f"{rates[-1]:.2g}"
        accuracy = f"training {accuracy_means[-1]:.1%}"

    def chart(y, height, title, words, colour, ends, labels, guessing=None, log=False) -> Plot:
        canvas.text(MARGIN, TOP + y, title, bold=True)
        canvas.text(right, TOP + y, words, bold=True, colour=colour, anchor="ra")
        plot = Plot(canvas, LEFT, TOP + y + 22, right - LEFT, height, (0, shown.end), ends, log)
        if 0 < shown.marked <= shown.end:
            x = plot.place([shown.marked], [ends[1]])[0, 0]
            canvas.line([(x, plot.top), (x, plot.top + height)], MUTED)
        plot.grid(labels, labels.values())
        if guessing is not None:
            plot.level(guessing, MUTED)
            canvas.note(right - 3, plot.place([0], [guessing])[0, 1] - 3, "guessing", anchor="rs")
        return plot

    ends, is_band = loss_range(shown), (high > low).any()  # a band: points of several steps
    pale = "lowest to highest" if is_band else "each step"
    canvas.note(MARGIN + 44, TOP + 1, f"mean of {window * together} steps; pale: {pale}")
    labels = {tick: f"{tick:g}" for tick in (log_steps if shown.log else round_steps)(*ends)}
    plot = chart(0, 120, "Loss", loss, BLUE, ends, labels, shown.chance_loss, shown.log)
    if is_band:
        plot.band(steps, low, high, PALE)
    else:
        plot.line(steps, losses, PALE, 1)
    plot.line(steps, loss_means, BLUE)

    canvas.text(MARGIN + 90, TOP + 156, accuracy, bold=True, colour=BLUE)
    words = f"validation {tested[-1][1]:.1%}" if tested else "validation"
    labels = {k / 4: f"{25 * k} %" for k in range(5)}
    plot = chart(156, 98, "Accuracy", words, ORANGE, (0, 1.02), labels, shown.chance)
    plot.line(steps, accuracies, PALE, 1)
    plot.line(steps, accuracy_means, BLUE)
    if tested:
        plot.line(*zip(*tested, strict=True), ORANGE, 1.2)
        plot.dots(*zip(*tested, strict=True), ORANGE, edge=1)

    highest = 1.08 * max([shown.recipe.peak_lr, 1e-12, *rates])
    labels = {tick: f"{tick:.2g}" for tick in round_steps(0, highest, 3)}
    plot = chart(290, 60, "Learning rate", rate, TEAL, (0, highest), labels)
    if per_epoch and shown.total:
        plan = np.linspace(1, min(shown.total, shown.end), 120)
        plot.line(plan, [shown.recipe.learning_rate(step - 1, per_epoch) for step in plan], PLAN)
    plot.line(steps, rates, TEAL)
    return plot


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and up to window - 1 before it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def loss_range(shown: Shown) -> tuple[float, float]:
    """The ends of the loss axis."""
    points = shown.points
    highest = max([shown.chance_loss * 1.15, 0.01, *points[:, 5] * 1.03])
    lowest = min([shown.chance_loss / 4, *points[:, 4] / 1.2])
    return (max(lowest, highest / 1e7) if shown.log else 0), highest


def _steps(plot: Plot, shown: Shown) -> None:
    """The ends of epochs, or steps, below the axis; the figures of each point in all charts."""
    canvas, per_epoch, end = plot.canvas, shown.steps_per_epoch, shown.end
    if per_epoch and end >= per_epoch:
        every = next(n for n in EPOCH_STEPS if end / per_epoch / n < 13)
        what, length, numbers = "epoch", per_epoch, range(0, int(end / per_epoch) + 1, every)
    else:
        what, length, numbers = "step", 1, [n for n in round_steps(0, end, 6) if n == int(n)]
    words = [f"{n:,.0f}" if n else f"{what} 0" for n in numbers]
    plot.marks([n * length for n in numbers], words, shown.marked or None)

    points, said, before = np.vstack([shown.points, shown.ahead]), [], 0
    points = points[points[:, 0] <= end]
    for i, (step, loss, accuracy, rate, low, high) in enumerate(points.tolist()):
        one = step == before + 1
        words = f"step {step:,.0f}" if one else f"mean of steps {before + 1:,.0f}–{step:,.0f}"
        words += f", epoch {ceil(step / per_epoch)}" if per_epoch else ""
        words += f"\nloss {loss:.4f}" + ("" if one else f" ({low:.4f} to {high:.4f})")
        words += f"\naccuracy {accuracy:.1%}\nlearning rate {rate:.3g}"
        words += "" if shown.paces is None else f"\n{shown.paces[i]:,.0f} clips/s"
        said.append(words)
        before = step
    for after, accuracy in _validated(shown):
        said[np.searchsorted(points[:, 0], after)] += f"\nthen, in validation: {accuracy:.1%}"
    left, top, width, bottom = LEFT - 8, TOP + 16, plot.width + 16, plot.top + plot.height
    if len(points):
        steps = points[:, 0].astype(int)
        box, places = (left, top, width, bottom - top), plot.place(steps, steps)[:, 0]
        canvas.region(*box, "{value}", said, across=("step", steps.tolist()), places=places)
    if per_epoch and shown.strips is not None:
        known = range(int(before // per_epoch) + 1)
        places = plot.place([n * per_epoch for n in known], known)[:, 0]
        box, says = (left, bottom, width, HEIGHT - bottom), "after epoch {epoch}"
        canvas.region(*box, says, across=("epoch", known), places=places)


def _strips(canvas: Canvas, shown: Shown) -> float:
    """Two strips of the same clip beside each other, time runs down; returns where they begin."""
    if shown.strips is None:
        canvas.note(WIDTH - MARGIN, TOP, "no clip to show attention on", anchor="ra")
        return WIDTH - MARGIN + 26
    every = ceil(shown.time_steps / MOST_PICTURES)
    steps, room = range(0, shown.time_steps, every), HEIGHT - TOP - 104
    known = next(filter(None, shown.strips.values()), None)
    rows, columns = known.pixels.shape[:2] if known else (1, shown.time_steps)
    across = columns / shown.time_steps  # pixels of a strip to a time step
    ways = []  # (worth, columns of a strip, height of a picture): large, but narrow
    for count in range(1, len(steps) + 1):
        high = min(SIDE, room / ceil(len(steps) / count) - 4, (150 / count - 4) * rows / across)
        ways.append((high * 0.9**count, count, round(high)))
    _, count, height = max(ways)
    width = round(height * across / rows)
    left = WIDTH - MARGIN - max(180, 2 * count * (width + 4) + 8)
    canvas.text(left, TOP, "Where it looks", bold=True)
    canvas.paragraph(left, TOP + 20, shown.attends, 16, colour=MUTED)
    top = TOP + 74
    for i, (title, strip) in enumerate(shown.strips.items()):
        start = left + i * (count * (width + 4) + 8)
        canvas.text(start, top - 18, title, 12.5)
        for n, step in enumerate(steps):
            box = start + n % count * (width + 4), top + n // count * (height + 4), width, height
            if strip is None:
                canvas.box(*box, fill=TRACK)
            else:
                canvas.frame(*box, strip, (step * across, 0, (step + 1) * across, rows))
                canvas.region(*box, f"{title}, time step {{time}}", time=step)
    y = HEIGHT - 20  # the scale of the colours
    for colours in (np.full((1, 1, 3), 24, np.uint8), heat_colours(np.linspace(0, 1, 35)[None])):
        canvas.picture(left + 14, y + 2, 70, 12, colours)
    canvas.note(left, y, "0")
    canvas.note(
        left + 90, y, f"{BRIGHTEST} × even" + (f", 1 of {every} steps" if every > 1 else "")
    )
    return left


# ---- where a model looks in one clip


class AttentionStrip:
    """What the output of a model attends to in one clip (uint8 (T, C, H, W)), by time step.

    The colours mean the same for every model: from no attention to BRIGHTEST times the even share.
    """

    def __init__(self, clip: Tensor, config: ViViTConfig):
        steps, rows, columns = config.grid
        firsts = [token_voxels(config, step * rows * columns)[0][0] for step in range(steps)]
        frames = clip[firsts].permute(0, 2, 3, 1).contiguous().numpy()
        self.clip, self._frames = clip, [Picture(frame) for frame in frames]
        self.picture = Picture(np.concatenate(frames, axis=1))  # first frames, without attention

    def of(self, model: ViViT) -> np.ndarray:
        """uint8 (t, h, w, 3). The model stays as it is. Raises as `attention_maps`."""
        pixels = normalise(self.clip)[None].to(next(model.parameters()).device)
        with contextlib.ExitStack() as afterwards:
            for module in model.modules():
                afterwards.callback(setattr, module, "training", module.training)
            compiled, model._compiled_call_impl = model._compiled_call_impl, None  # hides blocks
            afterwards.callback(setattr, model, "_compiled_call_impl", compiled)
            weights = output_weights(attention_maps(model.eval(), pixels)).weights.numpy()
        height, width = self._frames[0].pixels.shape[:2]
        width = max(1, round(SIDE * width / height))
        canvas = Canvas(len(weights) * width, SIDE)
        for i, (frame, each) in enumerate(zip(self._frames, weights, strict=True)):
            heat(canvas, i * width, 0, width, SIDE, frame, each * weights.size / BRIGHTEST)
        return np.stack(np.split(np.asarray(canvas.image()), len(weights), axis=1))


def output_weights(maps: AttentionMaps) -> TokenWeights:
    """What the model's output attends to in its last block, mean of the heads.

    Model 1: its attention. Models 2 to 4: the product of time map and space map; a Model 2 that
    averages over time has only the latter, in which every time step has the same share.
    """
    config = maps.config
    last = config.depth - 1  # of the spatial encoder in Model 2
    if config.model == "joint":
        return maps.at(last).row(maps.output)
    if config.model == "factorised_encoder" and not config.temporal_depth:
        return maps.at(last, "space").row(maps.output)
    return maps.product(last)


def attends(config: ViViTConfig) -> tuple[str, ...]:
    """What a strip of this model shows, in lines.

    >>> attends(ViViTConfig(model="factorised_self_attention"))
    ('mean of all tokens,', 'last block: time × space')
    """
    who = "the class token" if config.pooling == "cls" else "mean of all tokens"
    if config.model == "joint":
        return f"{who},", "last block"
    if config.model == "factorised_encoder" and not config.temporal_depth:
        return f"{who} of each step,", "last block"
    return f"{who},", "last block: time × space"


def clip_of(config: ViViTConfig, *datasets: Dataset | None) -> Tensor | None:
    """The first clip of the first data set that has one to show, of several views the middle one.

    What is wrong with a clip is not told here: `fit` does.
    """
    for dataset in datasets:
        with contextlib.suppress(Exception):  # None, or it gives clips in its own order only
            clip = dataset[0][0]
            clip = clip if clip.ndim == 4 else clip[len(clip) // 2]
            if clip.shape == config.clip_shape:
                return clip
    return None


# ---- a stored run


class RunReplay(Explorer):
    """The curves of a run up to a step, and where the model looked then. It needs no model.

    `step` slides over the points of the run, `epoch` over the ends of its epochs. A press on a
    chart goes to the step there; play goes through the run.

    Example:
        >>> point = {"step": 1, "loss": 2.1, "accuracy": 0.1, "lr": 1e-3, "low": 2.1, "high": 2.1}
        >>> recipe = Recipe.preset("cpu_tiny").to_dict()
        >>> run = StoredRun("a toy", recipe, ("run", "jump"), [point], [], None, None, None, None)
        >>> replay = RunReplay(run)
        >>> replay.step.value
        1
    """

    width, height = WIDTH, HEIGHT
    arrows = "step", "epoch"

    def __init__(self, run: StoredRun):
        self.run, self._recipe = run, Recipe.from_dict(run.recipe)
        self._points = np.array([[point[name] for name in COLUMNS] for point in run.steps], float)
        self._strips = None
        if run.strips is not None:
            self._strips = [Picture(np.concatenate(list(strip), axis=1)) for strip in run.strips]
        steps = [0, *(point["step"] for point in run.steps)]
        self.step = legal_slider("step", steps, steps[-1])
        self.epoch = whole_slider("epoch", max(len(run.epochs), 1) + 1, len(run.epochs))
        self.epoch.disabled = not run.epochs
        self.step_axis, self.loss_axis = axis_choices(whole=True)
        controls = {"Replay": [self.step, self.epoch], "Axes": [self.step_axis, self.loss_axis]}
        super().__init__(controls)

    def draw(self) -> Canvas:
        canvas, steps, last = draw(self.shown()), self.step.options, len(self.step.options) - 1
        every = -(-last // PLAYED)  # points from a picture to the next
        played = {0, *steps[:last:every], steps[last], self.step.value}  # on from where it stands
        canvas.steps("step", sorted(played), 0.1)
        return canvas

    def adjust(self, moved: widgets.Widget) -> None:
        """The step and the epoch move each other."""
        per_epoch = self.run.steps_per_epoch or 1
        if moved is self.epoch:
            wanted = self.epoch.value * per_epoch
            self.step.value = next(each for each in self.step.options if each >= wanted)
        self.epoch.value = len(self._epochs())

    def _epochs(self) -> list[dict]:
        """Those that are complete at the step."""
        per_epoch, step = self.run.steps_per_epoch, self.step.value
        return [entry for entry in self.run.epochs if entry["epoch"] * per_epoch <= step]

    def shown(self) -> Shown:
        """What is on show."""
        run, recipe, step, epochs = self.run, self._recipe, self.step.value, self._epochs()
        counts, total = len(run.classes), run.steps[-1]["step"]
        if isinstance(run.classes, dict):
            counts = {head: len(names) for head, names in run.classes.items()}
        strips = None
        if self._strips is not None:
            strips = two_strips(self._strips[0], self._strips[len(epochs)], len(epochs))
        figures = [f"step {step:,} of {total:,}", f"{len(epochs)} of {len(run.epochs)} epochs"]
        if run.clips_per_second:
            figures.append(f"it trained {run.clips_per_second:,.0f} clips/s")
        if run.seconds:
            figures.append(f"{run.seconds:,.0f} s in all")
        config, is_past = recipe.config(num_classes=counts), self._points[:, 0] <= step
        return Shown(
            title=run.title, phase="replay", figures="  ·  ".join(figures),
            points=self._points[is_past], ahead=self._points[~is_past], paces=None,
            total=total, steps_per_epoch=run.steps_per_epoch, epochs=epochs,
            recipe=recipe, chance=run.chance, chance_loss=chance_loss(counts),
            log=self.loss_axis.value, whole=self.step_axis.value, attends=attends(config),
            strips=strips, time_steps=config.grid[0] if strips is None else run.strips.shape[1],
            epoch=len(epochs),
        )  # fmt: skip


def two_strips(first: Picture | None, now: Picture | None, epoch: int) -> Strips:
    """Before training, and after an epoch (0: there was none yet)."""
    return {"before": first, f"epoch {epoch or 1}": now if epoch else None}


def axis_choices(whole: bool) -> tuple[widgets.Dropdown, widgets.Dropdown]:
    """How much of the run the axis of steps shows, and whether that of the loss is logarithmic."""
    spans = dropdown("step axis", [("up to now", False), ("the whole run", True)], whole)
    return spans, dropdown("loss axis", [("linear", False), ("logarithmic", True)])
