"""A stored run, played again: the cockpit's picture with a slider over its steps."""

import ipywidgets as widgets
import numpy as np

from vivit_lab.training import Recipe
from vivit_lab.training.loop import chance_loss
from vivit_lab.training.stored_run import FIGURES, StoredRun
from vivit_lab.widgets.live_picture import HEIGHT, WIDTH, Shown, Strip, draw
from vivit_lab.widgets.live_strip import strip_words
from vivit_lab.widgets.surface import Canvas, Explorer, one_at_a_time

PICTURES = 100  # of a whole run, when it is played


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
        self._points = np.array([[point[name] for name in FIGURES] for point in run.steps], float)
        steps = [0, *(point["step"] for point in run.steps)]
        self.step = widgets.SelectionSlider(
            options=steps,
            value=steps[-1],
            description="step",
            style={"description_width": "40px"},
            layout=widgets.Layout(width="460px"),
        )
        last = len(steps) - 1
        self._every = -(-last // PICTURES)  # points from a picture to the next
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
        total = run.steps[-1]["step"]
        counts = _counts(run)
        return Shown(
            title=run.title,
            phase="replay",
            figures=self._figures(step, len(epochs), total),
            points=self._points[self._points[:, 0] <= step],
            total=total,
            steps_per_epoch=run.steps_per_epoch,
            epochs=epochs,
            recipe=recipe,
            chance=run.chance,
            chance_loss=chance_loss(counts),
            log=self.loss_axis.value,
            strip_words=strip_words(recipe.config(num_classes=counts)),
            strips=self._strips(len(epochs)),
        )

    @one_at_a_time
    def _on_play(self, change: dict) -> None:
        self.step.index = min(change["new"] * self._every, len(self.step.options) - 1)

    @one_at_a_time
    def _on_step(self, _change: object = None) -> None:
        self.play.value = -(-self.step.index // self._every)  # it goes on from here
        self.refresh()

    def _strips(self, epoch: int) -> tuple[Strip, Strip] | None:
        strips = self.run.strips
        if strips is None:
            return None
        now = (
            Strip(f"after epoch {epoch}", strips[epoch]) if epoch else Strip("after epoch 1", None)
        )
        return Strip("before training", strips[0]), now

    def _figures(self, step: int, epochs: int, total: int) -> str:
        run = self.run
        parts = [f"step {step:,} of {total:,}", f"{epochs} of {len(run.epochs)} epochs"]
        if run.clips_per_second:
            parts.append(f"it trained {run.clips_per_second:,.0f} clips/s")
        if run.seconds:
            parts.append(f"{run.seconds:,.0f} s in all")
        return "  ·  ".join(parts)


def loss_axis_choice() -> widgets.Dropdown:
    """Linear or logarithmic: False or True.

    >>> loss_axis_choice().value
    False
    """
    return widgets.Dropdown(
        options=[("linear", False), ("logarithmic", True)],
        description="loss axis",
        style={"description_width": "68px"},
        layout=widgets.Layout(width="190px"),
    )


def _counts(run: StoredRun) -> int | dict[str, int]:
    if isinstance(run.classes, dict):
        return {head: len(names) for head, names in run.classes.items()}
    return len(run.classes)
