"""What a cockpit has heard of a run so far: its steps, its epochs, and the time they took."""

import time
from pathlib import Path

import numpy as np

from vivit_lab.training.loop import Moment
from vivit_lab.training.run import read_log


class LiveRecord:
    """Steps and epochs of a run, added one after the other by its thread, read by any other.

    last     the Moment of the last step; None: there was none yet
    epochs   an entry for each epoch, as in the log
    seconds  of training and validation, without pauses

    Example:
        >>> len(LiveRecord(batch=64).steps), LiveRecord(batch=64).clips_per_second
        (0, None)
    """

    def __init__(self, batch: int):
        self.batch = batch
        self.last: Moment | None = None
        self.epochs: list[dict] = []
        self.seconds = 0.0
        self._counted_steps, self._counted_seconds = 0, 0.0
        self._rows, self._count = np.empty((256, 4)), 0
        self._since = self._between = None

    @property
    def steps(self) -> np.ndarray:
        """float (N, 4): step, loss, accuracy, learning rate."""
        rows = self._rows  # the thread may put a larger one in its place
        return rows[: min(self._count, len(rows))]

    @property
    def clips_per_second(self) -> float | None:
        """Over all steps that were seen, without validation, saving and pauses."""
        if not self._counted_steps:
            return None
        return self.batch * self._counted_steps / self._counted_seconds

    def begin(self) -> None:
        """The clock runs from now on."""
        self._since, self._between = time.perf_counter(), False

    def heard(self, moment: Moment) -> None:
        """A step, or an epoch. What was heard before of the same or later steps is forgotten."""
        now = time.perf_counter()
        self.seconds += now - self._since
        if moment.after_epoch:
            self._add_epoch(moment)
            self._between = False  # what follows is saved first
            return
        if self._between:
            self._counted_steps += 1
            self._counted_seconds += now - self._since
        self._add_step(moment)
        self._between, self.last = True, moment

    def go_on(self) -> None:
        """The clock stood still since `heard`, and runs again."""
        self._since = time.perf_counter()

    def _add_step(self, moment: Moment) -> None:
        rows, count = self._rows, self._count
        count = int(np.searchsorted(rows[:count, 0], moment.step))
        if count == len(rows):
            rows = np.concatenate([rows, np.empty_like(rows)])
        rows[count] = moment.step, moment.loss, moment.accuracy, moment.lr
        self._rows, self._count = rows, count + 1
        if len(self.epochs) > moment.epoch:
            self.epochs = self.epochs[: moment.epoch]

    def _add_epoch(self, moment: Moment) -> None:
        entry = {
            "after_epoch": moment.epoch,
            "epoch": moment.epoch,
            "loss": moment.loss,
            "accuracy": moment.accuracy,
            "lr": moment.lr,
            "grad_norm": moment.grad_norm,
        }
        if moment.validation is not None:
            entry["validation"] = moment.validation
        self.epochs = [*self.epochs[: moment.epoch - 1], entry]

    # ---- over several sittings

    def load(self, folder: Path) -> None:
        """What was heard of the run in a folder before; nothing if it holds none."""
        if (folder / "log.jsonl").is_file():
            steps, epochs = read_log(folder)
            names = ("step", "loss", "accuracy", "lr")
            rows = np.array([[entry[name] for name in names] for entry in steps], float)
            self._rows = np.concatenate([rows.reshape(-1, 4), np.empty((256, 4))])
            self._count, self.epochs = len(rows), epochs
