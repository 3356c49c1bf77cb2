"""What is told of a run while it goes on: a bar, the log, TensorBoard, and your callback."""

import contextlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from vivit_lab.io import write_atomically
from vivit_lab.models import ViViT
from vivit_lab.training.run_folder import RunFolder, read_log
from vivit_lab.training.state import Taken, Training


@dataclass
class Control:
    """What a callback may change. It may also wait: training then pauses until it returns.

    >>> Control().lr_scale
    1.0
    """

    lr_scale: float = 1.0  # factor on the recipe's learning rate, from the next step on
    stop: bool = False  # save everything, then end; `fit(..., resume=True)` goes on


@dataclass(frozen=True)
class Moment:
    """What a callback is told after each step, and once more after each epoch.

    Example:
        >>> def slow_down(moment: Moment) -> None:
        ...     if moment.loss < 0.1:
        ...         moment.control.lr_scale = 0.1
    """

    step: int  # steps taken, from 1
    steps: int  # in all
    epoch: int  # epochs complete
    epochs: int  # in all
    loss: float  # of this step; after an epoch the mean of its steps. Over all devices
    accuracy: float  # 0..1, of the training clips of this step, or epoch; several heads: all right
    lr: float  # of this step
    grad_norm: float  # before clipping
    clips_per_second: float  # over the last steps; saving, validation and callbacks not counted
    seconds_left: float  # to the last step, at this pace
    waited: float  # seconds of this epoch in which training waited for clips
    validation: dict | None  # after an epoch: accuracy and what else `evaluate` says; else None
    after_epoch: bool
    model: ViViT  # as it is now: to look at, not to change
    control: Control


Callback = Callable[[Moment], None]


class Journal:
    """Writes down each step and epoch, and calls back. Only the first process keeps one.

    folder: None writes nothing. steps: of the whole run. tensorboard: also into folder/tensorboard.

    Raises:
        ImportError: TensorBoard is asked for, and is not installed.

    Example:
        >>> import torch
        >>> training = Training(None, torch.nn.Identity(), None, None, None, 5)
        >>> with Journal(None, training, steps=10) as journal:
        ...     journal.steps
        10
    """

    def __init__(
        self,
        folder: RunFolder | None,
        training: Training,
        steps: int,
        tensorboard: bool = False,
        progress: bool = False,
        callback: Callback | None = None,
    ):
        self.folder, self.training, self.steps, self.callback = folder, training, steps, callback
        self.control = Control(lr_scale=training.lr_scale)
        self._progress, self._tensorboard = progress, tensorboard
        self._file = self._bar = self._board = None
        self._seconds = None  # a step, running average
        self._began = time.perf_counter()  # the step that is under way

    def __enter__(self) -> "Journal":
        if self.folder is not None:
            if self.training.step or self.folder.log.exists():
                _rewind(self.folder, self.training)
            self._file = open(self.folder.log, "a", encoding="utf-8")
            if self._tensorboard:
                self._board = _summary_writer(self.folder.path / "tensorboard")
        if self._progress:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.steps, initial=self.training.step, unit="step")
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._file, self._bar, self._board):
            if each is not None:
                with contextlib.suppress(OSError):  # a full disk has been told of already
                    each.close()

    def start_clock(self) -> None:
        """Before a step: what was done since the last one (saving, validation) is no part of it."""
        self._began = time.perf_counter()

    def step(self, taken: Taken) -> None:
        """After a step."""
        seconds = time.perf_counter() - self._began
        if self._seconds is not None:
            seconds = 0.9 * self._seconds + 0.1 * seconds
        self._seconds = seconds
        self._write({"step": self.training.step, "epoch": self.training.epoch, **taken._asdict()})
        if self._bar is not None:
            self._bar.set_postfix_str(
                f"loss {taken.loss:.3f}, accuracy {taken.accuracy:.0%}, lr {taken.lr:.2g}",
                refresh=False,
            )
            self._bar.update()
        if self.callback is not None:
            self._call_back(taken, None, after_epoch=False)

    def epoch(self, mean: Taken, validation: dict | None) -> None:
        """After an epoch: the means of its steps, and what validation said, if there was any."""
        self._write({"after_epoch": self.training.epoch, **self.training.history[-1]})
        if self._bar is not None:
            self._bar.write(_line(self.training.epoch, mean, validation))
        if self.callback is not None:
            self._call_back(mean, validation, after_epoch=True)

    def _call_back(self, taken: Taken, validation: dict | None, after_epoch: bool) -> None:
        training, seconds = self.training, self._seconds or float("nan")
        self.callback(
            Moment(
                step=training.step,
                steps=self.steps,
                epoch=training.epoch,
                epochs=training.recipe.epochs,
                **taken._asdict(),
                clips_per_second=training.recipe.batch / seconds,
                seconds_left=(self.steps - training.step) * seconds,
                waited=training.loader.waited,
                validation=validation,
                after_epoch=after_epoch,
                model=training.result,
                control=self.control,
            )
        )

    def _write(self, entry: dict) -> None:
        if self._file is not None:
            with self.folder.saving():
                self._file.write(json.dumps(entry) + "\n")
                self._file.flush()
        if self._board is not None:
            kind = "epoch" if "after_epoch" in entry else "step"
            for name, value in _flat(entry):
                self._board.add_scalar(f"{kind}/{name}", value, self.training.step)


def _rewind(folder: RunFolder, training: Training) -> None:
    """Forget what was logged after the state that the run goes on from: it comes again."""
    steps, epochs = read_log(folder.path) if folder.log.exists() else ([], [])
    kept = [entry for entry in steps if entry["step"] <= training.step]
    kept += [entry for entry in epochs if entry["after_epoch"] <= training.epoch]
    kept.sort(key=lambda entry: entry.get("after_epoch", entry.get("epoch", 0) + 0.5))
    text = "".join(json.dumps(entry) + "\n" for entry in kept)
    with folder.saving():
        write_atomically(folder.log, lambda part: part.write_text(text, encoding="utf-8"))


def _line(epoch: int, mean: Taken, validation: dict | None) -> str:
    line = f"epoch {epoch}: loss {mean.loss:.3f}, accuracy {mean.accuracy:.1%}"
    return line if validation is None else f"{line}; validation {validation['top1']:.1%}"


def _flat(entry: dict, prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for name, value in entry.items():
        if isinstance(value, dict):
            found += _flat(value, f"{prefix}{name}/")
        elif isinstance(value, (int, float)) and name not in ("step", "epoch", "after_epoch"):
            found.append((prefix + name, value))
    return found


def _summary_writer(folder: object) -> object:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ImportError(
            "tensorboard=True needs the package tensorboard, which is not installed here. Install "
            "it with: pip install tensorboard. The log is in log.jsonl in any case."
        ) from None
    return SummaryWriter(folder)
