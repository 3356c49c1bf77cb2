"""Watch a model learn, and steer: start, pause, stop, learning rate, curves, attention."""

import time
from pathlib import Path

import ipywidgets as widgets
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.models import ViViT
from vivit_lab.training import Recipe, Run, TrainingError
from vivit_lab.training.checks import class_names_of
from vivit_lab.training.loop import chance_loss
from vivit_lab.training.stored_run import StoredRun, chance, classes_of, thinned, title_of
from vivit_lab.widgets.live_picture import HEIGHT, WIDTH, Shown, Strip, draw
from vivit_lab.widgets.live_replay import RunReplay, loss_axis_choice
from vivit_lab.widgets.live_strip import AttentionStrip, clip_of, strip_words
from vivit_lab.widgets.live_training import LiveTraining, stop_all
from vivit_lab.widgets.surface import Canvas, Explorer, message_html, one_at_a_time

RATE, SHARE = 4, 0.012  # pictures a second at most, and of the training's time at most
FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # of the learning rate
PLAIN = (TrainingError, ValueError, TypeError, OSError, ImportError)  # their message says it all


class TrainingCockpit(Explorer):
    """Buttons and a slider above the curves of a run that is under way.

    The training runs in a thread of its own: other cells can be run meanwhile. Only the buttons
    start it, or the methods of the same names. After an error, or a stop, start goes on from what
    was saved; a model that diverged then takes a lower learning rate.

    Args:
        model, train, validation, recipe, folder, workers: as `fit` takes them.
        clip: uint8 (T, C, H, W), on which attention is drawn; None: the first clip of the
            validation set, or of the training set.
        resume: go on with the run that is in the folder.

    Several cockpits take turns, step by step. One for a model or a folder that another one is
    training with (a cell that was run again) stops the other first.

    Raises:
        ValueError: clip has not the shape that the model takes.

    Example:
        >>> import tempfile
        >>> from vivit_lab import build_model
        >>> from vivit_lab.data import ArrowOfTime
        >>> recipe = Recipe.preset("cpu_tiny", batch=4, epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cockpit = TrainingCockpit(build_model(recipe.config()), ArrowOfTime(8, frames=8),
        ...                               recipe=recipe, folder=f"{folder}/run")
        ...     run = cockpit.wait()
        >>> run.steps, cockpit.state
        (2, 'finished')
    """

    width, height = WIDTH, HEIGHT

    def __init__(
        self,
        model: ViViT,
        train: Dataset,
        validation: Dataset | None = None,
        *,
        recipe: Recipe,
        folder: str | Path,
        clip: Tensor | None = None,
        workers: int = 0,
        resume: bool = False,
    ):
        clip = clip_of(model.config, validation, train) if clip is None else _checked(clip, model)
        self.training = LiveTraining(
            model,
            train,
            validation,
            recipe=recipe,
            folder=folder,
            strip=None if clip is None else AttentionStrip(clip, model.config),
            workers=workers,
            resume=resume,
            on_change=self._on_training,
        )
        self._title = title_of(model.config.model, _about(train))
        self._classes = classes_of(class_names_of(train), model.config.num_classes)
        self._frames = None if clip is None else self.training.strip.frames
        self._due = 0.0  # when the next picture may be drawn
        self._steered = False  # whether the slider says what the training does
        self.start_button = _button("Start", "play", "success", self._on_start)
        self.pause_button = _button("Pause", "pause", "", self._on_pause)
        self.stop_button = _button("Stop", "stop", "", self._on_stop)
        self.lr = widgets.SelectionSlider(
            options=[(f"× {factor:g}", factor) for factor in FACTORS],
            value=1,
            description="learning rate",
            tooltip="factor on the recipe's learning rate, from the next step on",
            style={"description_width": "92px"},
            layout=widgets.Layout(width="330px"),
        )
        self.loss_axis = loss_axis_choice()
        self.lr.observe(self._on_lr, "value")
        self.loss_axis.observe(self.refresh, "value")
        row = widgets.Layout(flex_flow="row wrap", align_items="center", width="100%")
        buttons = [self.start_button, self.pause_button, self.stop_button]
        super().__init__(widgets.HBox([*buttons, self.lr, self.loss_axis], layout=row))

    # ---- from code

    @property
    def state(self) -> str:
        """ready, starting, training, validating, paused, stopped, finished, or failed."""
        return self.training.phase

    def start(self) -> None:
        """Begin, or go on after a pause, a stop, or an error."""
        self.training.start()
        self.refresh()

    def pause(self) -> None:
        """Wait after this step, or this validation."""
        self.training.pause()
        self.refresh()

    def stop(self) -> None:
        """After this step, or this validation, save and end; `start` goes on."""
        self.training.stop()
        self.refresh()

    def wait(self, timeout: float | None = None) -> Run:
        """Start it if it was not, or if it was paused, and wait until it ends; the picture moves.

        An interrupt of the kernel stops the training; what it did is saved.

        Raises:
            TimeoutError: after so many seconds; the training goes on.
            TrainingError, or any other: what the training ended with.
        """
        return self.training.wait(timeout)

    @staticmethod
    def stop_all() -> None:
        """Stop the trainings of all cockpits, forgotten ones too, and wait until they are saved."""
        stop_all()

    @staticmethod
    def replay(run: StoredRun) -> RunReplay:
        """The same picture of a run that was stored, with a slider over its steps."""
        return RunReplay(run)

    # ---- the picture

    def draw(self) -> Canvas:
        return draw(self.shown())

    def shown(self) -> Shown:
        """What is on show."""
        training, record = self.training, self.training.record
        per_epoch, total = self._length()
        return Shown(
            title=self._title,
            phase=_phase(training.phase, training.wanted),
            figures=self._figures(total),
            points=thinned(record.steps),
            total=total,
            steps_per_epoch=per_epoch,
            epochs=record.epochs,
            recipe=training.recipe,
            chance=chance(self._classes),
            chance_loss=chance_loss(training.model.config.num_classes),
            log=self.loss_axis.value,
            strip_words=strip_words(training.model.config),
            strips=self._strips(),
        )

    @one_at_a_time
    def refresh(self, _change: object = None) -> None:
        """Draw again; what went wrong in training stands above the picture, which stays."""
        super().refresh()
        self._fit_controls()
        error = self.training.error
        if error is not None and self.training.phase == "failed":
            self.message.value = message_html(_said(error))
        elif self.training.trouble:
            self.message.value = message_html(self.training.trouble)

    def _length(self) -> tuple[int | None, int | None]:
        """Steps of an epoch, and of the whole run; None: not known before the first one."""
        recipe, last = self.training.recipe, self.training.record.last
        if last is not None:
            return last.steps // last.epochs, last.steps
        if not hasattr(self.training.train, "__len__"):
            return None, None
        per_epoch = len(self.training.train) // recipe.batch
        return (per_epoch, per_epoch * recipe.epochs) if per_epoch else (None, None)

    def _strips(self) -> tuple[Strip, Strip] | None:
        if self.training.strip is None:
            return None
        strips = self.training.strips
        if not strips:
            return Strip("the clip", self._frames), Strip("after epoch 1", None)
        last = max(strips, default=0)
        now = Strip(f"after epoch {last or 1}", strips[last] if last else None)
        return Strip("before training", strips.get(0)), now

    def _figures(self, total: int | None) -> str:
        """The line below the title."""
        training, record, last = self.training, self.training.record, self.training.record.last
        recipe = training.recipe
        if last is None:
            words = "" if total is None else f" · {total:,} steps"
            return f"{recipe.epochs} epochs{words} of {recipe.batch} clips · press Start"
        epoch = min(last.epoch + 1, last.epochs)
        parts = [f"epoch {epoch} of {last.epochs}", f"step {last.step:,} of {last.steps:,}"]
        if training.phase in ("finished", "stopped", "failed"):
            if record.clips_per_second:
                parts.append(f"{record.clips_per_second:,.0f} clips/s on average")
            parts.append(f"{_time(record.seconds)} in all")
        else:
            parts.append(f"{last.clips_per_second:,.0f} clips/s")
            if training.takes_turns:
                parts.append("takes turns with another cockpit")
            else:
                parts.append(f"waited {last.waited:.1f} s for clips in this epoch")
            parts.append(f"about {_time(last.seconds_left)} left")
        return "  ·  ".join(parts)

    def _fit_controls(self) -> None:
        phase, wanted = self.training.phase, self.training.wanted
        ended = phase in ("ready", "stopped", "finished", "failed")
        waits = phase == "paused" or wanted in ("pause", "stop")
        self.start_button.disabled = phase == "finished" or not (ended or waits)
        self.start_button.description = "Start" if phase == "ready" else "Go on"
        self.pause_button.disabled = ended or waits
        self.stop_button.disabled = ended or wanted == "stop"
        if not self._steered and self.training.lr_scale is not None:
            self._steered = True
            if self.lr.value == 1:
                self._offer(self.training.lr_scale)

    def _offer(self, factor: float) -> None:
        """Show the factor with which a run was saved that goes on here."""
        factors = sorted({*FACTORS, factor})
        self.lr.unobserve(self._on_lr, "value")
        with self.lr.hold_sync():  # one message: the browser must not see the new options alone
            self.lr.options = [(f"× {each:g}", each) for each in factors]
            self.lr.value = factor
        self.lr.observe(self._on_lr, "value")

    # ---- callbacks

    def _on_training(self, now: bool) -> None:
        """In the training's thread: a new picture, if one is due."""
        if not now and time.monotonic() < self._due:
            return
        begun = time.monotonic()
        self.refresh()
        end = time.monotonic()
        self._due = end + max(1 / RATE, (end - begun) / SHARE)

    @one_at_a_time
    def _on_start(self, _button: object = None) -> None:
        self.start()

    @one_at_a_time
    def _on_pause(self, _button: object = None) -> None:
        self.pause()

    @one_at_a_time
    def _on_stop(self, _button: object = None) -> None:
        self.stop()

    @one_at_a_time
    def _on_lr(self, change: dict) -> None:
        self._steered = True
        self.training.lr_scale = float(change["new"])


def _button(words: str, icon: str, style: str, callback: object) -> widgets.Button:
    layout = widgets.Layout(width="96px")
    button = widgets.Button(description=words, icon=icon, button_style=style, layout=layout)
    button.on_click(callback)
    return button


def _checked(clip: Tensor, model: ViViT) -> Tensor:
    shape, wanted = tuple(getattr(clip, "shape", ())), model.config.clip_shape
    if shape != wanted or str(clip.dtype) != "torch.uint8":
        kind = getattr(clip, "dtype", type(clip).__name__)
        raise ValueError(
            f"clip is {kind} {shape}, but must be torch.uint8 (T, C, H, W) = {wanted}, as a data "
            "set gives it: dataset[0][0]."
        )
    return clip


def _about(dataset: Dataset) -> dict:
    about = {"kind": type(dataset).__name__}
    if hasattr(dataset, "__len__"):
        about["samples"] = len(dataset)
    catalog = getattr(dataset, "catalog", None)
    return about if catalog is None else about | {"source": str(catalog.source)}


def _phase(phase: str, wanted: str | None) -> str:
    """What the badge says.

    >>> _phase("training", "stop")
    'stopping'
    """
    if wanted == "stop" and phase not in ("stopped", "finished", "failed"):
        return "stopping"
    if wanted == "pause" and phase in ("starting", "training", "validating"):
        return "pausing"
    return phase


def _said(error: BaseException) -> str:
    if isinstance(error, PLAIN):
        return str(error)
    return f"{type(error).__name__}: {error} (cockpit.wait() shows where it came from.)"


def _time(seconds: float) -> str:
    """
    >>> _time(7.4), _time(75), _time(4000)
    ('7 s', '1 min 15 s', '1 h 6 min')
    """
    if not seconds < 1e9:  # nan, before the first step
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
