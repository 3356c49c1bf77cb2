"""Watch a model learn, and steer: start, pause, stop, learning rate, curves, attention."""

import atexit
import contextlib
import functools
import io
import math
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import ipywidgets as widgets
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.models import ViViT
from vivit_lab.training import Moment, Recipe, Run, StoredRun, TrainingError, fit
from vivit_lab.training import run as runs
from vivit_lab.training.optim import chance_loss
from vivit_lab.training.sanity import class_names_of
from vivit_lab.widgets import run_view, surface
from vivit_lab.widgets.canvas import Canvas, Picture
from vivit_lab.widgets.surface import TURN, one_at_a_time

SLOW, RATE = 1, 4  # pictures a second at least, where a step takes no longer, and at most
SHARE = 0.012  # of the training's time that more than SLOW may take
POLITE = 0.05  # seconds that the training waits while another thread draws
FACTORS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)  # of the learning rate
PLAIN = (TrainingError, ValueError, TypeError, OSError, ImportError)  # their message says it all
ENDED = ("stopped", "finished", "failed")
PATIENCE = 4.0  # seconds that a process which ends waits for its training to be saved
YIELDED = (
    "Another cockpit began to train, so this run was saved and paused. Press Go on to continue it: "
    "the result is the same as without the pause. The other run then pauses."
)

_ALL: "weakref.WeakSet[LiveTraining]" = weakref.WeakSet()
_CHANGED = threading.Condition()  # guards `wanted`, `phase` and `now` of all trainings


@dataclass(eq=False)
class LiveTraining:
    """A run of `fit` in a thread of its own: start, pause, stop and go on, from any other thread.

    Each step seeds the random numbers of the process and draws from them, so one trains at a time:
    start makes any other one save what it did and pause. on_change is called in the training's
    thread after each step, and with now=True when the phase changes.
    """

    now: ClassVar["LiveTraining | None"] = None  # the one whose turn it is

    model: ViViT
    train: Dataset
    validation: Dataset | None
    recipe: Recipe
    folder: Path
    workers: int
    resume: bool  # is the run in the folder this one?
    strip: run_view.AttentionStrip | None  # draws the attention of each epoch
    on_change: Callable[..., None]
    phase: str = "ready"  # or starting, training, validating, paused, stopped, finished, failed
    wanted: str | None = None  # "go", "pause", "stop", "yield", asked for last; None: it was done
    yielded: bool = False  # whether it was paused for another one
    last: Moment | None = None  # of the last step
    run: Run | None = None
    error: BaseException | None = None  # what ended the training, if it failed
    lr_scale: float | None = None  # on the recipe's learning rate; None: the run's own
    note: str = ""  # what is wrong with the pictures
    _thread: threading.Thread | None = None

    def __post_init__(self):
        # {epoch: JPEG}, 0 before the first step
        self.strips = runs.read_strips(self.folder) if self.resume else {}
        self._log = runs.Log(self.folder)
        _ALL.add(self)

    # ---- from any thread

    @property
    def is_under_way(self) -> bool:
        """Whether its thread lives: starting, training, paused, or saving."""
        return self._thread is not None

    @one_at_a_time
    def log(self) -> runs.Log:
        """The record of the run, as it is now."""
        if self.resume:
            with contextlib.suppress(OSError):  # there is none yet, or no longer
                self._log.read()
        return self._log

    def start(self) -> None:
        """Begin, or go on after a pause, a stop, or an error. Nothing if it trains or is done."""
        with _CHANGED:
            if self.phase == "finished":
                return
            for other in list(_ALL):
                if other is not self and other.is_under_way and other.phase not in ENDED:
                    other.wanted = "stop" if other.wanted == "stop" else "yield"
            self.wanted, self.yielded = "go", False
            if self._thread is None:
                self.phase = "starting"
                self._thread = threading.Thread(target=self._live, name="training", daemon=True)
                self._thread.start()
            _CHANGED.notify_all()

    def pause(self) -> None:
        """Wait after this step, or this validation, until start or stop."""
        self._want("pause")

    def stop(self) -> None:
        """After this step, or this validation, save and end; `start` goes on."""
        self._want("stop")

    def _want(self, what: str) -> None:
        with _CHANGED:
            waits = what == "pause" and self.wanted == "yield"  # it is about to
            if self._thread is not None and self.phase not in ENDED and not waits:
                self.wanted = what
                _CHANGED.notify_all()

    def wait(self, timeout: float | None = None) -> Run:
        """Until it ends; it is started, or goes on after a pause, but not after a stop.

        An interrupt of the kernel stops the training, which is saved, before it goes on its way.
        TimeoutError: after so many seconds; the training goes on. Any other: what it ended with.
        """
        if self.phase == "ready" or self.yielded or self.wanted in ("pause", "yield"):
            self.start()
        try:
            ended = self._ended(math.inf if timeout is None else timeout)
        except KeyboardInterrupt:
            self.stop()
            self._ended(math.inf)
            raise
        if not ended:
            step = self.last.step if self.last else 0
            said = f"The training has not ended after {timeout:g} s (step {step}): it goes on."
            raise TimeoutError(said)
        if self.error is not None:
            raise self.error
        return self.run

    def _ended(self, timeout: float) -> bool:
        end = time.monotonic() + timeout
        with _CHANGED:
            while self._thread is not None and time.monotonic() < end:
                _CHANGED.wait(min(0.2, timeout))  # short: an interrupt gets through everywhere
            return self._thread is None

    # ---- in the training's own thread

    def _live(self) -> None:
        while True:
            run = error = None
            with _CHANGED:  # until the one before has saved, or a newer one wants to train
                _CHANGED.wait_for(lambda: LiveTraining.now is None or self.wanted == "yield")
                mine = self.wanted != "yield"
                if mine:
                    LiveTraining.now = self
            if mine:
                try:
                    run = self._fit()
                except BaseException as reason:
                    error = reason
            with _CHANGED:
                if mine:
                    LiveTraining.now = None
                _CHANGED.notify_all()
                unfinished = run.stopped if run else error is None
                if unfinished and self.wanted == "go":  # start was pressed while it was saved
                    self.phase = "starting"
                    continue
                self.run, self.error = run or self.run, error
                self.yielded = unfinished and self.wanted == "yield"
                ended = "paused" if self.yielded else "stopped" if unfinished else "finished"
                self.phase, self.wanted = "failed" if error else ended, None
            self._tell(now=True)
            with _CHANGED:
                if self.wanted is None:
                    self._thread = None
                    _CHANGED.notify_all()
                    return
                self.phase = "starting"

    def _fit(self) -> Run:
        path, state = self.folder, self.folder / "state.safetensors"
        is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        if self.last is not None and not state.exists():
            raise FileNotFoundError(
                f"{str(state)!r} is gone, so this run cannot go on. The model has the weights of "
                "its last step: train it by a new cockpit, in another folder."
            )
        self.resume = self.resume or is_free  # a folder that is free becomes ours
        if not state.exists():
            self._draw_strip(0, self.model)
        self._tell(now=True)
        options = {"recipe": self.recipe, "folder": path, "workers": self.workers}
        options |= {"callback": self._heard, "resume": self.resume, "progress": False}
        run = fit(self.model, self.train, self.validation, **options)
        self._save_strips()
        return run

    def _heard(self, moment: Moment) -> None:
        """What `fit` calls back, after each step and each epoch."""
        if moment.after_epoch:
            self._draw_strip(moment.epoch, moment.model)
            self._save_strips()
        self.last = moment
        before, self.phase = self.phase, "training"
        per_epoch = moment.steps // moment.epochs
        ends = not moment.after_epoch and moment.step == (moment.epoch + 1) * per_epoch
        if ends and self.validation is not None:
            self.phase = "validating"
        self._tell(now=moment.after_epoch or self.phase != before)
        if self.wanted == "pause":
            phase, self.phase = self.phase, "paused"
            self._tell(now=True)
            with _CHANGED:
                _CHANGED.wait_for(lambda: self.wanted != "pause")
                self.phase = phase
            self._tell(now=True)
        if self.lr_scale is None:
            self.lr_scale = moment.control.lr_scale
        moment.control.lr_scale = self.lr_scale
        moment.control.stop = self.wanted in ("stop", "yield")

    def _tell(self, now: bool) -> None:
        """A picture is not worth a training: what goes wrong with it is only noted."""
        try:
            self.on_change(now=now)
        except Exception as reason:
            self.note = f"The picture could not be drawn: {reason!r}"

    def _draw_strip(self, epoch: int, model: ViViT) -> None:
        if self.strip is None:
            return
        try:
            self.strips = self.strips | {epoch: runs.jpeg_of(self.strip.of(model))}
        except Exception as reason:
            self.note = f"No attention strip: {reason}"

    def _save_strips(self) -> None:
        if self.strips:
            runs.write_strips(self.folder, self.strips)


class TrainingCockpit(surface.Explorer):
    """Buttons and a slider above the curves of a run that is under way.

    The training runs in a thread of its own: other cells can be run meanwhile. After an error, or a
    stop, start goes on from what was saved. One cockpit trains at a time: starting another one
    saves and pauses the first, which goes on later as if nothing had happened.

    Args:
        model, train, validation, recipe, folder, workers: as `fit` takes them.
        clip: uint8 (T, C, H, W), on which attention is drawn; None: the first clip of the
            validation set, or of the training set.
        resume: go on with the run that is in the folder.

    Raises ValueError for a clip that the model does not take.

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

    width, height = run_view.WIDTH, run_view.HEIGHT
    arrows = ("epoch",)

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
        wanted, is_clip = model.config.clip_shape, isinstance(clip, Tensor)
        if clip is None:
            clip = run_view.clip_of(model.config, validation, train)
        elif not is_clip or clip.shape != wanted or clip.dtype != torch.uint8:
            found = f"{clip.dtype} {tuple(clip.shape)}" if is_clip else repr(clip)
            raise ValueError(
                f"clip is {found}, but must be torch.uint8 (T, C, H, W) = {wanted}, as a data set "
                "gives it: dataset[0][0]."
            )
        strip = None if clip is None else run_view.AttentionStrip(clip, model.config)
        about = Path(folder), workers, resume, strip, self._on_training
        self.training = LiveTraining(model, train, validation, recipe, *about)
        self._title = runs.title_of(model.config.model, runs.described(train))
        self._classes = runs.classes_of(class_names_of(train), model.config.num_classes)
        self._due = 0.0  # when the next picture may be drawn
        self._steered = False  # whether the slider says what the training does
        self._newest = 0  # the last epoch with a strip
        self._read: list | None = None  # the log's steps that are among the known rows
        self.start_button = surface.button("Start", self.start, "play", "success")
        self.pause_button = surface.button("Pause", self.pause, "pause")
        self.stop_button = surface.button("Stop", self.stop, "stop")
        buttons = [self.start_button, self.pause_button, self.stop_button]
        for each in buttons:
            each.layout = widgets.Layout(width="auto", flex="1 1 0")
        factors = [(f"× {factor:g}", factor) for factor in FACTORS]
        tip = "factor on the recipe's learning rate, from the next step on"
        self.lr = surface.legal_slider("learning rate", factors, 1, tip)
        self.epoch = surface.whole_slider("after epoch", recipe.epochs + 1)
        self.step_axis, self.loss_axis = run_view.axis_choices(whole=False)
        controls = {
            "Training": [widgets.HBox(buttons), self.lr],
            "Picture": [self.epoch, self.step_axis, self.loss_axis],
        }
        super().__init__(controls)

    # ---- from code

    @property
    def state(self) -> str:
        """ready, starting, training, validating, paused, stopped, finished, or failed."""
        return self.training.phase

    @one_at_a_time
    def start(self) -> None:
        """Begin, or go on after a pause, a stop, or an error."""
        self.training.start()
        self.refresh()

    @one_at_a_time
    def pause(self) -> None:
        """Wait after this step, or this validation."""
        self.training.pause()
        self.refresh()

    @one_at_a_time
    def stop(self) -> None:
        """After this step, or this validation, save and end; `start` goes on."""
        self.training.stop()
        self.refresh()

    def wait(self, timeout: float | None = None) -> Run:
        """Start it if it was not, or if it was paused, and wait until it ends; the picture moves.

        An interrupt of the kernel stops the training; what it did is saved. Raises TimeoutError
        after so many seconds, while the training goes on; else what it ended with.
        """
        return self.training.wait(timeout)

    @staticmethod
    def stop_all(patience: float = math.inf) -> None:
        """Stop the trainings of all cockpits, forgotten ones too, and wait until they are saved."""
        under_way = [training for training in list(_ALL) if training.is_under_way]
        for training in under_way:
            training.stop()
        end = time.monotonic() + patience
        for training in under_way:
            training._ended(end - time.monotonic())

    @staticmethod
    def replay(run: StoredRun) -> run_view.RunReplay:
        """The same picture of a run that was stored, with a slider over its steps."""
        return run_view.RunReplay(run)

    # ---- the picture

    def draw(self) -> Canvas:
        canvas = run_view.draw(self.shown())
        if self._newest:
            canvas.steps("epoch", range(self._newest + 1), 0.8)
        return canvas

    def control(self, name: str) -> widgets.Widget | None:
        """A press on a step of the charts chooses the epoch that was complete then."""
        return self.epoch if name == "step" else super().control(name)

    def pressed(self, at: dict) -> None:
        if "step" in at:
            at = {"epoch": at["step"] // (self._steps_per_epoch() or 1)}
        super().pressed(at)

    def adjust(self, moved: widgets.Widget) -> None:
        if moved is self.lr:
            self._steered = True
            self.training.lr_scale = float(self.lr.value)
        self.epoch.value = min(self.epoch.value, self._newest)

    def shown(self) -> run_view.Shown:
        """What is on show."""
        training, log = self.training, self.training.log()
        config = training.model.config
        rows = self._rows(log)
        points, seconds = runs.thinned(rows[:, :4]), runs.thinned(rows[:, [0, 4, 4, 4]])[:, 1]
        per_epoch = self._steps_per_epoch()
        total = per_epoch and per_epoch * training.recipe.epochs
        return run_view.Shown(
            title=self._title, phase=_phase(training.phase, training.wanted),
            figures=self._figures(log, total), points=points, ahead=points[:0],
            paces=training.recipe.batch / seconds if seconds.all() else None,
            total=total, steps_per_epoch=per_epoch, epochs=list(log.epochs),
            recipe=training.recipe, chance=runs.chance(self._classes),
            chance_loss=chance_loss(config.num_classes), log=self.loss_axis.value,
            whole=self.step_axis.value, attends=run_view.attends(config), strips=self._strips(),
            time_steps=config.grid[0], epoch=self.epoch.value,
        )  # fmt: skip

    @one_at_a_time
    def refresh(self, _change: object = None) -> None:
        """Draw again; what went wrong in training stands above the picture, which stays."""
        training = self.training
        follows, self._newest = self.epoch.value == self._newest, max(training.strips, default=0)
        if follows:  # whoever looks at an earlier epoch goes on doing so
            with self.quiet():
                self.epoch.value = self._newest
        super().refresh()
        self._fit_controls()
        said = YIELDED if training.yielded else training.note
        if training.phase == "failed":
            error, said = training.error, str(training.error)
            if not isinstance(error, PLAIN):
                said = f"{type(error).__name__}: {said} (cockpit.wait() shows where it came from.)"
        if said:
            self.message.value = surface.message_html(said)

    def _steps_per_epoch(self) -> int | None:
        """None: not known before the first step."""
        training, last = self.training, self.training.last
        if last is not None:
            return last.steps // last.epochs
        samples = len(training.train) if hasattr(training.train, "__len__") else 0
        return samples // training.recipe.batch or None

    def _rows(self, log: runs.Log) -> np.ndarray:
        """(N, 5): what `rows_of` says of all steps, and their seconds; each step is read once."""
        if log.steps is not self._read:
            self._read, self._known = log.steps, np.empty((0, 5))
        if new := log.steps[len(self._known) :]:
            rows = np.column_stack([runs.rows_of(new), [step.get("seconds", 0) for step in new]])
            self._known = np.concatenate([self._known, rows])
        return self._known

    def _strips(self) -> run_view.Strips | None:
        training, strips = self.training, self.training.strips
        if training.strip is None:
            return None
        if not strips:
            return {"the clip": training.strip.picture, "epoch 1": None}
        epoch = self.epoch.value
        known = {n: _picture(strips[n]) for n in (0, epoch) if n in strips}
        return run_view.two_strips(known.get(0), known.get(epoch), epoch)

    def _figures(self, log: runs.Log, total: int | None) -> str:
        """The line below the title."""
        training, recipe, last = self.training, self.training.recipe, self.training.last
        if last is None:
            words = "" if total is None else f" · {total:,} steps"
            return f"{recipe.epochs} epochs{words} of {recipe.batch} clips · press Start"
        epoch = min(last.epoch + 1, last.epochs)
        parts = [f"epoch {epoch} of {last.epochs}", f"step {last.step:,} of {last.steps:,}"]
        if training.phase in ENDED:
            if log.seconds_a_step:
                parts.append(f"{recipe.batch / log.seconds_a_step:,.0f} clips/s on average")
            parts.append(f"{_time(log.seconds)} in all")
        else:
            parts.append(f"{last.clips_per_second:,.0f} clips/s")
            parts.append(f"waited {last.waited:.1f} s for clips in this epoch")
            parts.append(f"about {_time(last.seconds_left)} left")
        return "  ·  ".join(parts)

    def _fit_controls(self) -> None:
        training = self.training
        phase, wanted = training.phase, training.wanted
        ended = phase in ("ready", *ENDED) or training.yielded
        waits = phase == "paused" or wanted in ("pause", "stop", "yield")
        self.start_button.disabled = phase == "finished" or not (ended or waits)
        self.start_button.description = "Start" if phase == "ready" else "Go on"
        self.pause_button.disabled = ended or waits
        self.stop_button.disabled = ended or wanted == "stop"
        if not self._steered and training.lr_scale is not None:
            self._steered = True
            if self.lr.value == 1:  # show the factor with which the run was saved
                factors = sorted({*FACTORS, training.lr_scale})
                with self.quiet():
                    self.set_options(self.lr, [(f"× {each:g}", each) for each in factors])
                    self.lr.value = training.lr_scale

    def _on_training(self, now: bool) -> None:
        """In the training's thread: a new picture, if one is due and no other thread draws."""
        if not now and time.monotonic() < self._due:
            return
        rests = self.training.phase in ("paused", *ENDED)  # then there is time to wait for others
        if not TURN.acquire(timeout=-1 if rests else POLITE):
            self._due = 0.0
            return
        begun = time.thread_time()
        try:
            self.refresh()
        finally:
            TURN.release()
            cost = time.thread_time() - begun
            self._due = time.monotonic() + min(1 / SLOW, max(1 / RATE, cost / SHARE))
        if self.training.phase in ENDED:
            self.renew_still()


@functools.lru_cache(maxsize=64)
def _picture(jpeg: bytes) -> Picture:
    """A strip, which goes to the browser as it was stored."""
    found = Picture(np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")))
    found.file = jpeg
    return found


# a kernel that is shut down saves first
atexit.register(lambda: TrainingCockpit.stop_all(PATIENCE))


def _phase(phase: str, wanted: str | None) -> str:
    """What the badge says.

    >>> _phase("training", "stop")
    'stopping'
    """
    if wanted == "stop" and phase not in ENDED:
        return "stopping"
    if wanted in ("pause", "yield") and phase in ("starting", "training", "validating"):
        return "pausing"
    return phase


def _time(seconds: float | None) -> str:
    """
    >>> _time(7.4), _time(75), _time(4000)
    ('7 s', '1 min 15 s', '1 h 6 min')
    """
    if seconds is None or not seconds < 1e9:  # nan, before the first step
        return "?"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
