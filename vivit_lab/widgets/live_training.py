"""`fit` in a thread of its own: start, pause, stop and go on, from any other thread."""

import atexit
import itertools
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from torch.utils.data import Dataset

from vivit_lab.models import ViViT
from vivit_lab.training import Moment, Recipe, Run, fit
from vivit_lab.training.run import read_strips, write_strips
from vivit_lab.training.stored_run import jpeg_of, strip_of
from vivit_lab.widgets.live_record import LiveRecord
from vivit_lab.widgets.live_strip import AttentionStrip
from vivit_lab.widgets.live_turns import TURNS

ENDED = ("stopped", "finished", "failed")
PATIENCE = 4.0  # seconds that a process which ends waits for its trainings to be saved


class LiveTraining:
    """A run of `fit` that can be started, paused, stopped and gone on with.

    strip: draws the attention after each epoch; None: it is not drawn. resume: go on with the run
    in the folder. on_change: called in the training's thread after each step, and with now=True
    when the phase changes.

    phase     "ready" | "starting" | "training" | "validating" | "paused" | "stopped" | "finished"
              | "failed"
    wanted    "go" | "pause" | "stop", what was asked for last; None: nothing, or it was done
    record    LiveRecord, all that was heard
    strips    {epoch: uint8 (t, h, w, 3)}, 0 before the first step
    trouble   why there is no strip; "" if nothing is wrong
    error     what ended the training, if it failed
    lr_scale  factor on the recipe's learning rate; None: the run's own

    Example:
        >>> import tempfile
        >>> from vivit_lab import build_model
        >>> from vivit_lab.data import ArrowOfTime
        >>> recipe = Recipe.preset("cpu_tiny", batch=4, epochs=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     training = LiveTraining(build_model(recipe.config()), ArrowOfTime(8, frames=8),
        ...                             None, recipe=recipe, folder=f"{folder}/run")
        ...     training.wait().steps
        2
    """

    def __init__(
        self,
        model: ViViT,
        train: Dataset,
        validation: Dataset | None,
        *,
        recipe: Recipe,
        folder: str | Path,
        strip: AttentionStrip | None = None,
        workers: int = 0,
        resume: bool = False,
        on_change: Callable[..., None] = lambda now=False: None,
    ):
        self.model, self.train, self.validation = model, train, validation
        self.recipe, self.folder, self.workers = recipe, Path(folder), workers
        self.strip, self.on_change = strip, on_change
        self.phase, self.wanted = "ready", None
        self.record, self.strips = LiveRecord(recipe.batch), {}
        self.run: Run | None = None
        self.error: BaseException | None = None
        self.lr_scale: float | None = None
        self.trouble = ""
        self._resume = resume  # is the run in the folder this one?
        self._state = self.folder / "state.safetensors"
        self._first_weights = None  # to begin again from, until something is saved
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._number = 0  # of its thread, among all of this process
        if resume:
            self._remember()
        _ALL.add(self)

    def _remember(self) -> None:
        """What is known of the run in the folder."""
        self.record.load(self.folder)
        time_steps = self.model.config.grid[0]
        for epoch, jpeg in read_strips(self.folder).items():
            self.strips[epoch] = strip_of(jpeg, time_steps)

    # ---- from any thread

    @property
    def is_under_way(self) -> bool:
        """Whether its thread lives: starting, training, paused, or saving."""
        return self._thread is not None

    @property
    def takes_turns(self) -> bool:
        """Whether another training is under way, too."""
        return any(other.is_under_way for other in list(_ALL) if other is not self)

    def start(self) -> None:
        """Begin, or go on after a pause, a stop, or an error. Nothing if it trains or is done."""
        with self._changed:
            if self.phase == "finished":
                return
            self.wanted = "go"
            self._changed.notify_all()
            if self._thread is None:
                self.phase, self._number = "starting", next(_NUMBERS)
                self._thread = threading.Thread(target=self._live, name="training", daemon=True)
                self._thread.start()

    def pause(self) -> None:
        """Wait after this step, or this validation, until start or stop."""
        self._want("pause")

    def stop(self) -> None:
        """After this step, or this validation, save and end; `start` goes on."""
        self._want("stop")

    def _want(self, what: str) -> None:
        with self._changed:
            if self._thread is not None and self.phase not in ENDED:
                self.wanted = what
                self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> Run:
        """Until it ends; it is started, or goes on after a pause, but not after a stop.

        An interrupt of the kernel stops the training, which is saved, before it goes on its way.

        Raises:
            TimeoutError: after so many seconds; the training goes on.
            TrainingError, or any other: what the training ended with.
        """
        if self.phase == "ready" or self.wanted == "pause":
            self.start()
        try:
            ended = self._ended(timeout)
        except KeyboardInterrupt:
            self.stop()
            self._ended(None)
            raise
        if not ended:
            raise TimeoutError(
                f"The training has not ended after {timeout:g} s (step "
                f"{len(self.record.steps)}): it goes on; wait again, or stop it."
            )
        if self.error is not None:
            raise self.error
        return self.run

    def _ended(self, timeout: float | None) -> bool:
        end = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while self._thread is not None:  # short waits: an interrupt gets through everywhere
                left = 0.2 if end is None else min(0.2, end - time.monotonic())
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    # ---- in the training's own thread

    def _live(self) -> None:
        while True:
            run = error = None
            try:
                self._take_over()
                with TURNS.training():
                    run = self._fit()
                    self._save(len(self.record.epochs))
            except BaseException as reason:
                error = reason
            if not self._note_end(run, error):
                self._tell(now=True)
                with self._changed:
                    if self.wanted is None:
                        self._thread = None
                        self._changed.notify_all()
                        return
            self.phase = "starting"

    def _note_end(self, run: Run | None, error: BaseException | None) -> bool:
        """Note how a sitting ended; returns whether start was pressed while it was being saved."""
        with self._changed:
            if run is not None and run.stopped and self.wanted == "go":
                return True
            self.run, self.error, self.wanted = run, error, None
            self.phase = "failed" if error else "stopped" if run.stopped else "finished"
            return False

    def _take_over(self) -> None:
        """Stop older ones that train this model, or in this folder: of a cell that ran again."""
        for other in list(_ALL):
            same = other.model is self.model or other.folder.resolve() == self.folder.resolve()
            if same and other.is_under_way and other._number < self._number:
                other.stop()
                other._ended(None)

    def _fit(self) -> Run:
        self._prepare()
        self._tell(now=True)
        self.record.begin()
        return fit(
            self.model,
            self.train,
            self.validation,
            recipe=self.recipe,
            folder=str(self.folder),
            callback=self._heard,
            resume=self._resume,
            workers=self.workers,
            progress=False,
        )

    def _prepare(self) -> None:
        """Before each sitting: it can be begun again, and a folder that is free becomes ours."""
        path = self.folder
        is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        self._resume = self._resume or is_free
        if self._resume and self._state.exists():
            return
        if self.record.last is not None:  # the last sitting failed before anything was saved
            if self._first_weights is None:
                raise FileNotFoundError(
                    f"{str(self._state)!r} is gone, so this run cannot go on. The model has the "
                    "weights of its last step: train it by a new cockpit, in another folder."
                )
            self.model.load_state_dict(self._first_weights)
        else:
            weights = self.model.state_dict()
            self._first_weights = {name: each.cpu().clone() for name, each in weights.items()}
        self._draw_strip(0, self.model)

    def _heard(self, moment: Moment) -> None:
        """What `fit` calls back, after each step and each epoch."""
        self.record.heard(moment)
        if self._first_weights is not None and self._state.exists():
            self._first_weights = None
        if moment.after_epoch:
            self._draw_strip(moment.epoch, moment.model)
            self._save(moment.epoch)
        before = self.phase
        self.phase = "validating" if self._validates_next(moment) else "training"
        self._tell(now=moment.after_epoch or self.phase != before)
        with TURNS.given_away():
            self._pause()
        if self.lr_scale is None:
            self.lr_scale = moment.control.lr_scale
        moment.control.lr_scale = self.lr_scale
        moment.control.stop = self.wanted == "stop"
        self.record.go_on()

    def _validates_next(self, moment: Moment) -> bool:
        per_epoch = moment.steps // moment.epochs
        ends = not moment.after_epoch and moment.step == (moment.epoch + 1) * per_epoch
        return ends and self.validation is not None

    def _pause(self) -> None:
        if self.wanted != "pause":
            return
        phase, self.phase = self.phase, "paused"
        self._tell(now=True)
        with self._changed:
            self._changed.wait_for(lambda: self.wanted != "pause")
            self.phase = phase
        self._tell(now=True)

    def _tell(self, now: bool) -> None:
        """A picture is not worth a training: trouble with it is only noted."""
        try:
            self.on_change(now=now)
        except Exception as reason:
            self.trouble = f"The picture could not be drawn: {reason!r}"

    def _draw_strip(self, epoch: int, model: ViViT) -> None:
        if self.strip is None:
            return
        try:
            self.strips = self.strips | {epoch: self.strip.of(model)}
        except Exception as reason:
            self.trouble = f"No attention strip: {reason}"

    def _save(self, epoch: int) -> None:
        """This strip, the first one, and the times, into the folder that `fit` has made."""
        if self.strips:
            write_strips(self.folder, {n: jpeg_of(strip) for n, strip in self.strips.items()})


_NUMBERS = itertools.count(1)
_ALL: "weakref.WeakSet[LiveTraining]" = weakref.WeakSet()


def stop_all(patience: float | None = None) -> None:
    """Stop every training of this process, and wait until all are saved, or so many seconds.

    >>> stop_all()
    """
    under_way = [training for training in list(_ALL) if training.is_under_way]
    for training in under_way:
        training.stop()
    end = None if patience is None else time.monotonic() + patience
    for training in under_way:
        training._ended(None if end is None else end - time.monotonic())


atexit.register(lambda: stop_all(PATIENCE))  # a kernel that is shut down saves first
