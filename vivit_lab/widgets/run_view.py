"""The picture of a run: loss, accuracy and learning rate over its steps, and where it looks.

The cockpit draws it of a run that is under way, `RunReplay` of a stored one.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import ipywidgets as widgets
import numpy as np
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from vivit_lab.analysis import AttentionMaps, TokenWeights, attention_maps
from vivit_lab.models import ViViT, ViViTConfig, token_voxels
from vivit_lab.training import Recipe, StoredRun
from vivit_lab.training.optim import chance_loss
from vivit_lab.training.run import COLUMNS
from vivit_lab.video import normalise
from vivit_lab.widgets.canvas import BLUE, INK, LINE, MUTED, ORANGE, RED, TEAL, Canvas
from vivit_lab.widgets.charts import Plot, heat_colours, log_steps, round_steps
from vivit_lab.widgets.surface import Explorer, dropdown, legal_slider, one_at_a_time

WIDTH, HEIGHT, MARGIN = 920, 560, 12
PALE = "#b9cdf8"  # single steps, behind their mean
COLOURS = {"training": TEAL, "validating": TEAL, "finished": BLUE, "failed": RED}
SIDE = 104  # height of a picture of a strip
BRIGHTEST = 4  # times the even share: what is drawn in full yellow
MOST_PICTURES = 8  # of a strip
PLAYED = 100  # pictures of a whole run, when it is played
Strips = dict[str, np.ndarray | None]  # "after epoch 3": uint8 (t, h, w, 3), or not known
EPOCH_STEPS = (1, 2, 5, 10, 20, 50, 100, 1000, 10**6)  # between the numbers below an axis


@dataclass(frozen=True)
class Shown:
    """All that the picture depends on."""

    title: str
    phase: str  # a word or two: "training"
    figures: str  # the line below the title
    points: np.ndarray  # (M, 6), as `thinned` gives them
    total: int | None  # steps of the whole run; None: unknown
    steps_per_epoch: int | None
    epochs: list[dict]  # entries of the log
    recipe: Recipe
    chance: float  # accuracy of guessing, 0..1
    chance_loss: float
    log: bool  # the loss on a logarithmic axis
    strip_words: str
    strips: Strips | None  # before the first step, and now; None: no clip

    @property
    def end(self) -> float:
        """The last step on the axes."""
        return max([self.total or 1, *self.points[-1:, 0]])


def draw(shown: Shown) -> Canvas:
    """The picture."""
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(MARGIN, 10, shown.title, size=15, bold=True, colour=BLUE)
    phase = shown.phase
    colour = COLOURS.get(phase.split()[0], ORANGE if "paus" in phase or "stop" in phase else MUTED)
    width = 8 * len(phase) + 22
    canvas.box(WIDTH - MARGIN - width, 8, width, 22, fill=colour, radius=11)
    middle = WIDTH - MARGIN - width / 2
    canvas.text(middle, 19, phase, size=12, colour="#ffffff", bold=True, anchor="mm")
    canvas.text(MARGIN, 36, shown.figures, size=12.5, colour=INK)
    _loss(canvas, MARGIN, 66, shown)
    _accuracy(canvas, 478, 66, shown)
    canvas.line([(MARGIN, 302), (WIDTH - MARGIN, 302)], LINE)
    _learning_rate(canvas, MARGIN, 314, shown)
    _strips(canvas, 322, 314, shown)
    return canvas


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """The mean of each value and up to window - 1 before it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def _smooth(shown: Shown, column: int) -> tuple[np.ndarray, int]:
    """A running mean over the points, and over how many steps it runs: 10, or a 40th of them."""
    points = shown.points
    together = int(points[0, 0]) if len(points) else 1  # steps in a point; the first is step 1
    window = max(1, ceil(max(10, (shown.total or 0) // 40) / together))
    return running_mean(points[:, column], window), window * together


def _loss(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    points = shown.points
    means, window = _smooth(shown, 1)
    is_band = bool((points[:, 5] > points[:, 4]).any())  # a point is made of several steps
    canvas.text(x, y, "Loss", bold=True)
    words = f"mean of {window} steps; pale: {'least to most' if is_band else 'each step'}"
    canvas.text(x + 42, y + 1, words, size=11.5, colour=MUTED)
    if len(points):
        canvas.text(x + 426, y, f"{means[-1]:.3f}", bold=True, colour=BLUE, anchor="ra")
    plot = Plot(canvas, x + 46, y + 26, 384, 172, (0, shown.end), loss_range(shown), shown.log)
    _epochs(plot, shown, most=13)
    steps = log_steps(*plot.y) if shown.log else round_steps(*plot.y)
    plot.grid(steps, [f"{step:g}" for step in steps])
    _guessing(plot, shown.chance_loss)
    if len(points):
        if is_band:
            plot.band(points[:, 0], points[:, 4], points[:, 5], PALE)
        else:
            plot.line(points[:, 0], points[:, 1], PALE, 1)
        plot.line(points[:, 0], means, BLUE)


def loss_range(shown: Shown) -> tuple[float, float]:
    """The ends of the loss axis."""
    points = shown.points
    highest = max([shown.chance_loss * 1.15, 0.01, *points[:, 5] * 1.03])
    if not shown.log:
        return 0, highest
    lowest = min([shown.chance_loss / 4, *points[:, 4] / 1.2])
    return max(lowest, highest / 1e7), highest


def _accuracy(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    points, per_epoch = shown.points, shown.steps_per_epoch or 0
    validated = [entry for entry in shown.epochs if entry.get("validation")] if per_epoch else []
    tested = [(each["epoch"] * per_epoch, each["validation"]["top1"]) for each in validated]
    means, _ = _smooth(shown, 2)
    canvas.text(x, y, "Accuracy", bold=True)
    words = f"training {means[-1]:.1%}" if len(points) else "training"
    canvas.text(x + 86, y, words, bold=True, colour=BLUE)
    words = f"validation {tested[-1][1]:.1%}" if tested else "validation"
    canvas.text(x + 430, y, words, bold=True, colour=ORANGE, anchor="ra")
    plot = Plot(canvas, x + 46, y + 26, 384, 172, (0, shown.end), (0, 1.02))
    _epochs(plot, shown, most=13)
    plot.grid([0, 0.25, 0.5, 0.75, 1], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    _guessing(plot, shown.chance)
    if len(points):
        plot.line(points[:, 0], points[:, 2], PALE, 1)
        plot.line(points[:, 0], means, BLUE)
    if tested:
        plot.line(*zip(*tested, strict=True), ORANGE, 1.2)
        plot.dots(*zip(*tested, strict=True), ORANGE)


def _guessing(plot: Plot, y: float) -> None:
    plot.level(y, MUTED)
    right, height = plot.left + plot.width - 3, plot.place([0], [y])[0, 1]
    plot.canvas.text(right, height - 3, "guessing", size=10.5, colour=MUTED, anchor="rs")


def _epochs(plot: Plot, shown: Shown, most: int) -> None:
    """The ends of the epochs below the axes; of a run within its first one, steps."""
    per_epoch, end = shown.steps_per_epoch, shown.end
    if per_epoch and end >= per_epoch:
        every = next(n for n in EPOCH_STEPS if end / per_epoch / n < most)
        numbers = range(0, int(end / per_epoch) + 1, every)
        words = [f"epoch {n}" if n == 0 else f"{n}" for n in numbers]
        plot.marks([n * per_epoch for n in numbers], words)
    else:
        steps = [step for step in round_steps(0, end, 6) if step == int(step)]
        plot.marks(steps, [f"step {step:,.0f}" if step == 0 else f"{step:,.0f}" for step in steps])


def _learning_rate(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    points, recipe = shown.points, shown.recipe
    canvas.text(x, y, "Learning rate", bold=True)
    if len(points):
        canvas.text(x + 282, y, f"{points[-1, 3]:.2g}", bold=True, colour=TEAL, anchor="ra")
    highest = 1.08 * max([recipe.peak_lr, 1e-12, *points[:, 3]])
    plot = Plot(canvas, x + 46, y + 26, 236, 180, (0, shown.end), (0, highest))
    steps = round_steps(0, highest, 4)
    plot.grid(steps, [f"{step:.2g}" for step in steps])
    _epochs(plot, shown, most=7)
    if shown.steps_per_epoch and shown.total:
        plan = np.linspace(1, shown.total, 120)
        rates = [recipe.learning_rate(step - 1, shown.steps_per_epoch) for step in plan]
        plot.line(plan, rates, LINE, 1.7)
    if len(points):
        plot.line(points[:, 0], points[:, 3], TEAL)


def _strips(canvas: Canvas, x: float, y: float, shown: Shown) -> None:
    """Two strips of the same clip, one below the other."""
    canvas.text(x, y, shown.strip_words, bold=True)
    if shown.strips is None:
        canvas.text(x, y + 30, "There is no clip to draw it on.", size=12, colour=MUTED)
        return
    right = WIDTH - MARGIN  # the scale of the colours
    canvas.text(right, y + 1, f"{BRIGHTEST} × even", size=11, colour=MUTED, anchor="ra")
    canvas.picture(right - 128, y + 2, 70, 11, np.full((1, 1, 3), 24, np.uint8))
    canvas.picture(right - 128, y + 2, 70, 11, heat_colours(np.linspace(0, 1, 25)[None]))
    canvas.text(right - 133, y + 1, "0", size=11, colour=MUTED, anchor="ra")
    top = y + 24
    for title, pixels in shown.strips.items():
        pixels = np.empty((0, SIDE, SIDE, 3)) if pixels is None else pixels
        every = max(1, -(-len(pixels) // MOST_PICTURES))
        pixels = pixels[::every]
        ratio = pixels.shape[2] / pixels.shape[1]
        height = SIDE  # less where they would not fit beside each other
        if len(pixels):
            height = round(min(SIDE, ((right - x - 66) / len(pixels) - 5) / ratio))
        for row, words in enumerate(title.split(" ", 1)):
            canvas.text(x, top + height / 2 - 17 + 17 * row, words, size=12, colour=MUTED)
        width = max(1, round(height * ratio))
        for i, each in enumerate(pixels):
            canvas.picture(x + 66 + i * (width + 5), top, width, height, each)
        top += height + 6
    if every > 1:
        canvas.text(x + 66, top + 4, f"one in {every} time steps", size=11, colour=MUTED)


# ---- where a model looks in one clip


class AttentionStrip:
    """What the output of a model attends to in one clip (uint8 (T, C, H, W)), by time step.

    The colours mean the same for every model: from no attention to BRIGHTEST times the even share.
    """

    def __init__(self, clip: Tensor, config: ViViTConfig):
        steps, rows, columns = config.grid
        firsts = [token_voxels(config, step * rows * columns)[0][0] for step in range(steps)]
        frames = clip[firsts].permute(0, 2, 3, 1).contiguous().numpy()
        size = max(1, round(SIDE * frames.shape[2] / frames.shape[1])), SIDE
        self.clip = clip
        # uint8 (t, h, w, 3), the first frame of each time step, without attention
        self.frames = np.stack([Image.fromarray(frame).resize(size) for frame in frames])

    def of(self, model: ViViT) -> np.ndarray:
        """uint8 (t, h, w, 3). The model stays as it is. Raises as `attention_maps`."""
        pixels = normalise(self.clip)[None].to(next(model.parameters()).device)
        with _at_rest(model):
            weights = output_weights(attention_maps(model, pixels)).weights.numpy()
        shares = weights * weights.size / BRIGHTEST
        frames = map(Image.fromarray, self.frames)
        return np.stack([_heat(*both) for both in zip(frames, shares, strict=True)])


def _heat(frame: Image.Image, weights: np.ndarray) -> np.ndarray:
    """A frame in grey under its weights (h, w)."""
    over = Image.fromarray(heat_colours(weights)).resize(frame.size, Image.Resampling.NEAREST)
    grey = frame.convert("L").point(lambda level: 24 + 0.6 * level).convert("RGB")
    grey.paste(over, mask=over)
    return np.asarray(grey)


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


def strip_words(config: ViViTConfig) -> str:
    """What a strip of this model shows.

    >>> strip_words(ViViTConfig(model="factorised_self_attention"))
    'Attention of all tokens (mean), last block: time × space'
    """
    who = "the class token" if config.pooling == "cls" else "all tokens (mean)"
    if config.model == "joint":
        return f"Attention of {who}, last block"
    if config.model == "factorised_encoder" and not config.temporal_depth:
        return f"Attention of {who} in each time step, last block"
    return f"Attention of {who}, last block: time × space"


def clip_of(config: ViViTConfig, *datasets: Dataset | None) -> Tensor | None:
    """The first clip of the first data set that has one to show, of several views the middle one.

    What is wrong with a clip is not told here: `fit` does.
    """
    for dataset in datasets:
        if dataset is None or isinstance(dataset, IterableDataset):
            continue
        with contextlib.suppress(Exception):
            clip = dataset[0][0]
            clip = clip if clip.ndim == 4 else clip[len(clip) // 2]
            if clip.shape == config.clip_shape:
                return clip
    return None


@contextlib.contextmanager
def _at_rest(model: ViViT) -> Iterator[None]:
    """In evaluation mode, and not compiled, which would hide the blocks; afterwards as before."""
    modes = [(module, module.training) for module in model.modules()]
    compiled, model._compiled_call_impl = model._compiled_call_impl, None
    model.eval()
    try:
        yield
    finally:
        model._compiled_call_impl = compiled
        for module, training in modes:
            module.training = training


# ---- a stored run


class RunReplay(Explorer):
    """The curves of a run up to a step, and where the model looked then. It needs no model.

    `step` slides over the points of the run, `play` moves it.

    Example:
        >>> point = {"step": 1, "loss": 2.1, "accuracy": 0.1, "lr": 1e-3, "low": 2.1, "high": 2.1}
        >>> recipe = Recipe.preset("cpu_tiny").to_dict()
        >>> run = StoredRun("a toy", recipe, ("run", "jump"), [point], [], None, None, None, None)
        >>> replay = RunReplay(run)
        >>> replay.step.value
        1
    """

    width, height = WIDTH, HEIGHT

    def __init__(self, run: StoredRun):
        self.run, self._recipe = run, Recipe.from_dict(run.recipe)
        self._points = np.array([[point[name] for name in COLUMNS] for point in run.steps], float)
        steps = [0, *(point["step"] for point in run.steps)]
        self.step = legal_slider("step", steps, steps[-1])
        self.step.layout.width = "460px"
        last = len(steps) - 1
        self._every = -(-last // PLAYED)  # points from a picture to the next
        pictures = -(-last // self._every)
        self.play = widgets.Play(value=pictures, max=pictures, interval=100, show_repeat=False)
        self.loss_axis = loss_axis_choice()
        self.play.observe(self._on_play, "value")
        self.step.observe(self._on_step, "value")
        self.loss_axis.observe(self.refresh, "value")
        row = widgets.Layout(flex_flow="row wrap", align_items="center", width="100%")
        super().__init__(widgets.HBox([self.play, self.step, self.loss_axis], layout=row))

    def draw(self) -> Canvas:
        return draw(self.shown())

    def shown(self) -> Shown:
        """What is on show."""
        run, recipe, step = self.run, self._recipe, self.step.value
        epochs = [entry for entry in run.epochs if entry["epoch"] * run.steps_per_epoch <= step]
        counts, total = len(run.classes), run.steps[-1]["step"]
        if isinstance(run.classes, dict):
            counts = {head: len(names) for head, names in run.classes.items()}
        strips = None
        if run.strips is not None:
            strips = two_strips(run.strips[0], run.strips[len(epochs)], len(epochs))
        figures = [f"step {step:,} of {total:,}", f"{len(epochs)} of {len(run.epochs)} epochs"]
        if run.clips_per_second:
            figures.append(f"it trained {run.clips_per_second:,.0f} clips/s")
        if run.seconds:
            figures.append(f"{run.seconds:,.0f} s in all")
        return Shown(
            title=run.title,
            phase="replay",
            figures="  ·  ".join(figures),
            points=self._points[self._points[:, 0] <= step],
            total=total,
            steps_per_epoch=run.steps_per_epoch,
            epochs=epochs,
            recipe=recipe,
            chance=run.chance,
            chance_loss=chance_loss(counts),
            log=self.loss_axis.value,
            strip_words=strip_words(recipe.config(num_classes=counts)),
            strips=strips,
        )

    @one_at_a_time
    def _on_play(self, change: dict) -> None:
        self.step.index = min(change["new"] * self._every, len(self.step.options) - 1)

    @one_at_a_time
    def _on_step(self, _change: object = None) -> None:
        self.play.value = -(-self.step.index // self._every)  # it goes on from here
        self.refresh()


def two_strips(first: np.ndarray | None, now: np.ndarray, epoch: int) -> Strips:
    """Before training, and after an epoch (0: there was none yet)."""
    return {"before training": first, f"after epoch {epoch or 1}": now if epoch else None}


def loss_axis_choice() -> widgets.Dropdown:
    """Linear or logarithmic: False or True."""
    choice = dropdown("loss axis", [("linear", False), ("logarithmic", True)], label_width=68)
    choice.layout.width = "190px"
    return choice
