"""The folder of a run: how to do it again, the state to go on from, and the record of its steps.

run.json, recipe.json              what was run, and how to repeat it
log.jsonl                          the record: a line a step, a line an epoch (`Log` says more)
attention.zip                      where the model looked, a JPEG an epoch; a cockpit writes it
state.safetensors                  everything, to resume from; replaced in one step
epoch-0003.safetensors, ...        weights after the last epochs, for `load_checkpoint`
best.safetensors                   weights of the best validation accuracy; of equals the lower loss
"""

import contextlib
import dataclasses
import functools
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

import vivit_lab
from vivit_lab import io
from vivit_lab.data.catalog import plural
from vivit_lab.models import MODELS, ViViT, ViViTConfig
from vivit_lab.training.recipe import Recipe
from vivit_lab.video.preprocessing import Preprocessing
from vivit_lab.weights import save_checkpoint
from vivit_lab.weights.files import read_safetensors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PACKAGES = ("torch", "torchvision", "timm", "accelerate", "av", "numpy")
FIELD, FORMAT_VERSION = "vivit_lab_training", 2  # of the state's header: a JSON document
POINTS = 400  # at most so many points of a curve are kept
COLUMNS = ("step", "loss", "accuracy", "lr", "low", "high")  # of a point
ABOUT, ABOUT_VERSION = "vivit_lab_run", 1  # the entry of the file that is no array: JSON
LONGEST = 22  # letters of a data set's name
COUNTERS = ("epoch", "step", "lr_scale", "first", "average", "history", "sums")

Classes = tuple[str, ...] | dict[str, tuple[str, ...]]


class TrainingError(RuntimeError):
    """Training had to stop. The message says why, and what is left; the checkpoints are sound."""


class FinishedWarning(UserWarning):
    """There was nothing to resume."""


@dataclass(frozen=True)
class Run:
    """What `fit` returns.

    >>> Run(Path("runs/first"), model=None, steps=640, history=[], stopped=False).steps
    640
    """

    folder: Path
    model: ViViT  # to use: the averaged weights if the recipe has `ema`
    steps: int
    history: list[dict]  # an entry for each epoch: loss, accuracy, validation
    stopped: bool  # by the callback, before the end; `resume=True` goes on


# ---- the state: all that a step changes


@dataclass
class TrainingState:
    """What a step changes: weights, optimiser, averaged weights, place in the data, counters.

    No random numbers: what a step draws follows from (seed, step, process) alone.
    """

    recipe: Recipe
    model: ViViT
    optimiser: torch.optim.Optimizer
    scaler: torch.amp.GradScaler  # of float16; else it does nothing
    ema: torch.nn.Module | None  # timm's ModelEmaV3
    loader: object  # ClipLoader: knows which clips are due
    reader: object  # ClipLoader of the validation set, if there is one
    steps_per_epoch: int  # with a full batch; what is left over is in another epoch's steps
    epoch: int = 0  # epochs that are complete
    step: int = 0  # steps that were taken
    lr_scale: float = 1.0  # by which a callback changed the learning rate
    first: float | None = None  # loss of the first step, to judge divergence by
    average: float | None = None  # of the loss, to judge divergence by
    history: list[dict] = field(default_factory=list)  # an entry for each epoch
    sums: list[float] = field(default_factory=lambda: [0.0] * 3)  # of this epoch's steps

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.recipe.epochs * self.steps_per_epoch

    @property
    def result(self) -> ViViT:
        """The model to use: the averaged weights if there are any."""
        return self.model if self.ema is None else self.ema.module

    @functools.cached_property
    def data(self) -> dict[str, str]:
        """What of the data must be the same when the run goes on."""
        validation = self.reader and self.reader.dataset.dataset  # it reads a Subset
        return identity_of(training=self.loader.dataset, validation=validation)

    @property
    def since_best(self) -> int:
        """Epochs since the best validation: highest top-1, of equals the lowest loss."""
        found = [entry["validation"] for entry in self.history if "validation" in entry]
        merits = [(each["top1"], -each.get("loss", 0)) for each in found]  # older: no loss
        return len(merits) - 1 - merits.index(max(merits)) if merits else 0

    @property
    def finished(self) -> bool:
        """All epochs are complete, or `patience` of them brought nothing better."""
        patience = self.recipe.patience or math.inf
        return self.epoch >= self.recipe.epochs or self.since_best >= patience

    def learning_rate(self) -> float:
        """Of the step that is due, or of the last one."""
        step = min(self.step, self.steps - 1)
        return self.recipe.learning_rate(step, self.steps_per_epoch) * self.lr_scale

    def save(self, file: Path) -> None:
        """Write everything, completely or not at all."""
        tensors = {f"model/{name}": tensor for name, tensor in self.model.state_dict().items()}
        for number, values in self.optimiser.state_dict()["state"].items():
            for name, value in values.items():
                if value is not None:  # SGD's momentum before its first step
                    tensors[f"optimiser/{number}/{name}"] = value
        if self.ema is not None:
            averaged = self.ema.module.state_dict()
            tensors |= {f"ema/{name}": tensor for name, tensor in averaged.items()}
        document = {
            "format_version": FORMAT_VERSION,
            "recipe": self.recipe.to_dict(),
            "config": dataclasses.asdict(self.model.config),
            "class_names": self.model.class_names,
            "preprocessing": self.model.preprocessing and self.model.preprocessing.to_dict(),
            "data": self.data,
            "loader": self.loader.state_dict(),
            "scaler": self.scaler.state_dict(),  # powers of two and counts: exact as JSON
        } | {name: getattr(self, name) for name in COUNTERS}
        io.write_safetensors(file, tensors, {FIELD: json.dumps(document)})

    def load(self, file: Path) -> None:
        """Put everything back. TrainingError: of other data, model or recipe; nothing changed."""
        tensors, texts = read_safetensors(file)
        document = io.parse_json(texts.get(FIELD, "{}"), f"the header of {file.name!r}")
        self._check(file, document)
        parts = {part: {} for part in ("model", "ema", "optimiser")}
        for name, tensor in tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        place, devices = document["loader"], self.loader.state_dict()["world_size"]
        if place["world_size"] != devices and not isinstance(self.loader.dataset, IterableDataset):
            steps = document["step"] - document["epoch"] * self.steps_per_epoch
            place["world_size"] = devices  # the clips that are due are shared out anew
            place["taken"] = [steps * self.recipe.batch // devices]
        self.loader.load_state_dict(place)  # refuses other data, before all else
        self.model.load_state_dict(parts["model"])
        if self.ema is not None:
            self.ema.module.load_state_dict(parts["ema"])
        optimiser = self.optimiser.state_dict()
        for name, tensor in parts["optimiser"].items():
            number, _, key = name.partition("/")
            optimiser["state"].setdefault(int(number), {})[key] = tensor
        self.optimiser.load_state_dict(optimiser)
        if document.get("scaler"):  # of an older version, and of another precision, there is none
            self.scaler.load_state_dict(document["scaler"])
        if expected := document.get("preprocessing"):  # the scale of pixels is that of the start
            for model in (self.model, self.result):
                model.preprocessing = Preprocessing.from_dict(expected)
        for name in COUNTERS:
            setattr(self, name, document[name])

    def _check(self, file: Path, document: dict) -> None:
        if document.get("format_version") != FORMAT_VERSION:
            raise TrainingError(
                f"{str(file)!r} is not the state of a run, or of another version of this package."
            )
        saved = document["config"] | {"class_names": document["class_names"]}
        here = dataclasses.asdict(self.model.config) | {"class_names": self.model.class_names}
        here = _plain(here)
        start = {"init": self.recipe.init}  # which older runs did not note
        recipe = Recipe.from_dict(start | document["recipe"])
        pairs = {
            "another model": ({name: saved.get(name) for name in here}, here),
            "another recipe": (recipe.result_fields(), self.recipe.result_fields()),
            "other data": (document.get("data", self.data), self.data),  # older runs: no data
        }
        for what, (was, now) in pairs.items():
            changed = [name for name in was | now if was.get(name) != now.get(name)]
            if changed:
                found = ", ".join(
                    f"{name} {was.get(name)}, not {now.get(name)}" for name in changed
                )
                raise TrainingError(
                    f"{str(file)!r} is of {what}, with {found}. A run continues with its own, and "
                    "with the recipe.json beside it; or start a new run in another folder from its "
                    f"weights: --init {file.parent}."
                )


def _plain(value: object) -> object:
    """As it comes back from JSON: lists for tuples."""
    return json.loads(json.dumps(value))


# ---- the record


class Log:
    """The record of a run, read as it grows; all pictures of a run are drawn from it.

    A step's line holds step (from 1), epoch (complete ones), loss, accuracy (0..1), lr, grad_norm
    (before clipping; Infinity: too large for float16, the step was left out), seconds. An epoch's
    line holds after_epoch, the means of its steps under the same names, validation (accuracies and
    loss, if there is a set for it), unreadable (why files were left out or replaced that no line
    before names), seconds (of the validation).
    """

    def __init__(self, folder: str | os.PathLike):
        self.file = Path(folder, "log.jsonl")
        self.steps: list[dict] = []
        self.epochs: list[dict] = []
        self._inode, self._offset, self._lines = None, 0, 0

    def read(self) -> "Log":
        """Read on; from the beginning if the file was replaced, as by a run that goes on.

        A line that is not complete yet is left for the next time; a bad one is left out.
        """
        with open(self.file, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._offset:
                self.steps, self.epochs = [], []
                self._inode, self._offset, self._lines = status.st_ino, 0, 0
            file.seek(self._offset)
            *lines, rest = file.read().split(b"\n")
            self._offset = file.tell() - len(rest)
        for line in lines:
            self._lines += 1
            try:
                entry = json.loads(line.decode(errors="replace"))
                kind = next(kind for kind in ("step", "after_epoch") if kind in entry)
            except (ValueError, TypeError, StopIteration):
                said = f"{self.file}, line {self._lines} cannot be read: left out."
                warnings.warn(said, stacklevel=3)
                continue
            (self.steps if kind == "step" else self.epochs).append(entry)
        return self

    @property
    def seconds(self) -> float | None:
        """Of all steps and validations; None: an older version did not note them."""
        return sum(entry.get("seconds", 0) for entry in self.steps + self.epochs) or None

    @property
    def seconds_a_step(self) -> float | None:
        """The mean, without validation, saving and pauses."""
        return sum(step.get("seconds", 0) for step in self.steps) / max(len(self.steps), 1) or None


def read_log(folder: str | os.PathLike) -> tuple[list[dict], list[dict]]:
    """The log of a run: its steps, and its epochs, a dict each, with the entries of `Log`.

    A line cut short by a kill is left out; another that cannot be read, too, with a warning.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "log.jsonl").write_text('{"step": 1, "loss": 2}\\n{"step": 2, "lo')
    ...     read_log(folder)
    ([{'step': 1, 'loss': 2}], [])
    """
    log = Log(folder).read()
    return log.steps, log.epochs


def write_strips(folder: Path, strips: Mapping[int, bytes]) -> None:
    """Keep the attention after each epoch (0: before the first), JPEGs, in one file."""

    def write(part: Path) -> None:
        with zipfile.ZipFile(part, "w") as archive:
            for epoch, jpeg in strips.items():
                archive.writestr(f"epoch-{epoch:04}.jpg", jpeg)

    io.write_atomically(folder / "attention.zip", write)


def read_strips(folder: Path) -> dict[int, bytes]:
    """What `write_strips` wrote; {}: nothing."""
    file = folder / "attention.zip"
    if not file.is_file():
        return {}
    with zipfile.ZipFile(file) as archive:
        return {int(name[6:-4]): archive.read(name) for name in archive.namelist()}


# ---- the folder


class RunFolder:
    """Writes the files of a run. FileExistsError: it holds another one, or something else."""

    def __init__(self, path: str | os.PathLike, resume: bool = False):
        self.path = Path(path)
        self.state = self.path / "state.safetensors"
        found = set(self.path.iterdir()) if self.path.exists() else set()
        if self.path / "run.json" not in found and found - set(self._left_over()):
            raise FileExistsError(
                f"The folder {str(path)!r} holds other files, and no run. Choose another one."
            )
        if found and not resume and self._steps_saved():
            raise FileExistsError(
                f"The folder {str(path)!r} holds a run already. Choose another one, or go on with "
                "the run in it: resume=True (on the command line --resume)."
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out until the end of the block, or of this process (not on Windows).

        FileExistsError: another one is at work in the folder.
        """
        with self.saving():
            self.path.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            yield
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise FileExistsError(
                    f"Another process trains in the folder {str(self.path)!r}: wait until it "
                    "ends, or choose another folder."
                ) from None
            except OSError:  # some network folders know no locks
                pass
            yield
        finally:
            os.close(handle)

    def describe(self, state: TrainingState, place: Mapping, **data: Dataset | None) -> None:
        """Write what is run, and how to repeat it; of a run that goes on, when, and with what."""
        now, recipe = time.strftime("%Y-%m-%d %H:%M:%S %z"), state.recipe.to_dict()
        with self.saving():
            for file in self._left_over():
                file.unlink(missing_ok=True)
            if state.step:
                document = io.read_json(self.path / "run.json")
                resumed = {"time": now, "step": state.step, "versions": versions()}
                if _plain(recipe) != document["recipe"]:  # other means
                    resumed["recipe"] = recipe
                document.setdefault("resumed", []).append(resumed)
            else:
                document = {
                    "command": [sys.executable, *sys.argv],
                    "working_folder": os.getcwd(),
                    "started": now,
                    "versions": versions(),
                    "revision": revision(),
                    "recipe": recipe,
                    "model": dataclasses.asdict(state.model.config),
                    "class_names": state.model.class_names,
                    "training set": described(data["train"]),
                    "validation set": described(data["validation"]),
                    **place,
                }
            self._write_about(document)  # first: it says that this is a run
            state.recipe.save(self.path / "recipe.json")

    def open_log(self, state: TrainingState) -> BinaryIO:
        """The log to write to. What was logged after the state is forgotten: it comes again."""
        with self.saving():
            file = self.path / "log.jsonl"
            if file.exists():
                log = Log(self.path).read()
                kept = [entry for entry in log.steps if entry["step"] <= state.step]
                kept += [entry for entry in log.epochs if entry["after_epoch"] <= state.epoch]
                kept.sort(key=lambda entry: entry.get("after_epoch", entry.get("epoch", 0) + 0.5))
                io.write_atomically(file, "".join(json.dumps(entry) + "\n" for entry in kept))
            return open(file, "ab", buffering=0)

    def save(self, state: TrainingState) -> None:
        """Replace the state to resume from."""
        with self.saving():
            state.save(self.state)

    def save_epoch(self, state: TrainingState, keep: int, is_best: bool) -> None:
        """Write the weights after an epoch, and forget those of more than `keep` epochs ago."""
        about = {"recipe": state.recipe.to_dict(), "versions": versions()}
        about["training set"] = described(state.loader.dataset)
        names = [f"epoch-{state.epoch:04}.safetensors"] + ["best.safetensors"] * is_best
        with self.saving():
            for name in names:
                save_checkpoint(self.path / name, state.result, history=[about, *state.history])
            if "unreadable" in state.history[-1]:
                found = [each for e in state.history for each in e.get("unreadable", ())]
                self._write_about(io.read_json(self.path / "run.json") | {"unreadable": found})
        for old in sorted(self.path.glob("epoch-[0-9]*.safetensors"))[:-keep]:
            old.unlink()

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Turn a full disk into a message that says what is left."""
        try:
            yield
        except OSError as error:
            left = "No state to resume from was written yet."
            if self.state.exists():
                left = f"{self.state} is whole: make room, then continue with resume=True."
            raise TrainingError(f"The run could not be saved ({error}). {left}") from error

    def _write_about(self, document: dict) -> None:
        text = json.dumps(document, indent=1, default=str) + "\n"
        io.write_atomically(self.path / "run.json", text)

    def _steps_saved(self) -> int:
        if not self.state.exists():
            return 0  # it failed before it was begun
        _, texts = read_safetensors(self.state, header_only=True)
        return io.parse_json(texts.get(FIELD, "{}"), self.state.name).get("step", 1)

    def _left_over(self) -> list[Path]:
        """Files that a killed process was writing: they never got their names."""
        return list(self.path.glob(".*.part"))


@functools.cache
def versions() -> dict[str, str]:
    """What a run depends on."""
    found = {"python": platform.python_version(), "vivit_lab": vivit_lab.__version__}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def revision() -> str | None:
    """The git commit of this package, "-dirty" if files were changed since; None outside git."""
    command = ["git", "-C", Path(vivit_lab.__file__).parent, "describe", "--always", "--dirty"]
    command += ["--abbrev=40", "--exclude=*"]  # no tags
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()
    return None


def identity_of(**sets: Dataset | None) -> dict[str, str]:
    """What of the data must be the same when a run goes on; where the files lie may change."""
    found = {}
    for which, dataset in sets.items():
        about = described(dataset) or {}
        catalog = getattr(getattr(dataset, "dataset", dataset), "catalog", None)  # of a Subset
        if catalog is not None:
            about |= {"files": catalog.fingerprint()[:12], "source": None, "missing": None}
        for name, value in about.items():  # of a function or an object its address is left out
            found[f"{which} {name}"] = re.sub(" at 0x[0-9a-fA-F]+", "", str(value))
    return found


def described(dataset: Dataset | None) -> dict | None:
    """A data set as run.json has it: kind, samples, source, sampling, transform, seed."""
    if dataset is None:
        return None
    about = {"kind": type(dataset).__name__}
    if hasattr(dataset, "__len__"):
        about["samples"] = len(dataset)
    catalog = getattr(dataset, "catalog", None)
    if catalog is not None:
        about |= {"source": str(catalog.source), "missing": len(catalog.missing)}
    for name in ("sampling", "transform", "seed"):
        if hasattr(dataset, name):
            about[name] = repr(getattr(dataset, name))
    return about


# ---- a run in one small file, to be looked at again without its model


@dataclass(frozen=True, repr=False)
class StoredRun:
    """What `TrainingCockpit.replay` shows: curves, epochs, and where the model looked.

    Up to 400 steps each is a point of the curves. Of more, a point is the mean of equally many
    steps in a row, the last of which is its "step"; "low" and "high" are the least and the greatest
    loss among them, so that no peak is lost. Raises ValueError where parts do not fit each other.

    >>> point = {"step": 1, "loss": 2.1, "accuracy": 0.1, "lr": 1e-3, "low": 2.1, "high": 2.1}
    >>> StoredRun("a toy", {}, ("run", "jump"), [point], [], None, None, None, None)
    a toy: 1 step, 0 epochs, loss 2.100
    """

    title: str  # model and data in words
    recipe: dict  # its fields, as `Recipe.to_dict` gives them
    classes: Classes  # names, or {head: names}
    steps: list[dict]  # points of the curves, with COLUMNS
    epochs: list[dict]  # the log's entry for each epoch: loss, accuracy, validation, ...
    # Attention on one clip, a picture for each of its t time steps, before the first step and after
    # each epoch: uint8 (epochs + 1, t, h, w, 3)
    strips: np.ndarray | None
    steps_per_epoch: int | None  # None: no epoch was completed
    clips_per_second: float | None  # in training alone; None: it was not measured
    seconds: float | None  # of training and validation; None: they were not measured

    def __post_init__(self) -> None:
        if not self.steps or any(set(point) != set(COLUMNS) for point in self.steps):
            raise ValueError(f"every step must have {', '.join(COLUMNS)}, and there must be one.")
        if self.strips is not None and len(self.strips) != len(self.epochs) + 1:
            raise ValueError(
                f"there are {len(self.strips)} strips, but there must be one before the first step "
                f"and one after each of {len(self.epochs)} epochs."
            )

    @classmethod
    def of(cls, folder: str | Path) -> "StoredRun":
        """The run in a folder, with strips if a cockpit watched the whole of it.

        Raises FileNotFoundError: there is no such folder. ValueError: it holds no run, no step was
        taken yet, or a file is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {str(folder)!r}.")
        try:
            about, log = io.read_json(folder / "run.json"), Log(folder).read()
            if not log.steps:
                raise ValueError("no step was logged yet.")
            pace, jpegs, strips = log.seconds_a_step, read_strips(folder), None
            numbers = range(len(log.epochs) + 1)
            if all(epoch in jpegs for epoch in numbers):
                time_steps = ViViTConfig(**about["model"]).grid[0]
                strips = np.stack([strip_of(jpegs[epoch], time_steps) for epoch in numbers])
            return cls(
                title=title_of(about["model"]["model"], about["training set"]),
                recipe=about["recipe"],
                classes=classes_of(about["class_names"], about["model"]["num_classes"]),
                steps=_points(thinned(rows_of(log.steps))),
                epochs=log.epochs,
                strips=strips,
                steps_per_epoch=sum(s["epoch"] == 0 for s in log.steps) if log.epochs else None,
                clips_per_second=pace and about["recipe"]["batch"] / pace,
                seconds=log.seconds,
            )
        except io.DAMAGE as reason:
            raise ValueError(f"The run in {str(folder)!r} cannot be used: {reason}") from None

    @property
    def chance(self) -> float:
        """Accuracy of guessing, 0..1; of several heads the mean, as in training."""
        return chance(self.classes)

    def __repr__(self) -> str:
        last, epochs = self.steps[-1], plural(len(self.epochs), "epoch")
        return f"{self.title}: {plural(last['step'], 'step')}, {epochs}, loss {last['loss']:.3f}"

    def save(self, file: str | Path) -> None:
        """Write everything into one .npz file, strips as JPEG: 38 kB for that of notebook 07.

        Raises ValueError for another suffix, OSError if it cannot be written.
        """
        about = {"format_version": ABOUT_VERSION} | vars(self)
        del about["steps"], about["strips"]
        rows = [[point[name] for name in COLUMNS] for point in self.steps]
        arrays = {"steps": np.array(rows, np.float64)}
        if self.strips is not None:
            arrays["time_steps"] = np.array(self.strips.shape[1])
            for epoch, strip in enumerate(self.strips):
                arrays[f"strip_{epoch}"] = np.frombuffer(jpeg_of(strip), np.uint8)
        file = io.npz_path(file, "runs")
        io.write_npz(file, ABOUT, about, arrays, compressed=True)

    @classmethod
    def load(cls, file: str | Path) -> "StoredRun":
        """What `save` wrote. Raises FileNotFoundError, or ValueError for any other file.

        >>> StoredRun.load("no_such_file.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file 'no_such_file.npz'.
        """
        about, arrays = io.read_npz(file, ABOUT, "run", version=ABOUT_VERSION)
        try:
            strips, names = None, about["classes"]
            about["classes"] = classes_of(names, names)  # lists in a file, tuples here
            if "time_steps" in arrays:
                count = sum(name.startswith("strip_") for name in arrays)
                jpegs = (arrays[f"strip_{i}"].tobytes() for i in range(count))
                strips = np.stack([strip_of(each, int(arrays["time_steps"])) for each in jpegs])
            return cls(steps=_points(arrays["steps"]), strips=strips, **about)
        except io.DAMAGE as reason:
            raise ValueError(f"{str(file)!r} holds a run that is damaged: {reason}") from None


def rows_of(steps: Sequence[Mapping]) -> np.ndarray:
    """float (N, 4) of the log's steps: step, loss, accuracy, learning rate."""
    rows = [[step[name] for name in COLUMNS[:4]] for step in steps]
    return np.array(rows, np.float64).reshape(-1, 4)


def thinned(rows: np.ndarray, points: int = POINTS) -> np.ndarray:
    """Steps (N, 4) as at most so many points of a curve, float (M, 6) with the columns COLUMNS."""
    if not len(rows):
        return np.empty((0, len(COLUMNS)))
    together = -(-len(rows) // points)
    starts = np.arange(0, len(rows), together)
    counts = np.diff(np.append(starts, len(rows)))[:, None]
    ends = np.append(starts[1:], len(rows)) - 1
    means = np.add.reduceat(rows[:, 1:], starts, axis=0) / counts
    low = np.minimum.reduceat(rows[:, 1], starts)
    high = np.maximum.reduceat(rows[:, 1], starts)
    return np.column_stack([rows[ends, 0], means, low, high])


def title_of(model: str, data: Mapping) -> str:
    """A run in words; data: what run.json says of the training set."""
    samples = f"{data['samples']:,} clips of " if "samples" in data else ""
    source = Path(data["source"]).name if "source" in data else data["kind"]
    source = source if len(source) <= LONGEST else f"{source[: LONGEST - 1]}…"
    return f"{MODELS[model]}, on {samples}{source}"


def classes_of(names: object, count: int | Mapping[str, int]) -> Classes:
    """The names of classes, numbers where there are none."""
    if isinstance(count, Mapping):
        names = names or dict.fromkeys(count)
        return {head: classes_of(names[head], number) for head, number in count.items()}
    return tuple(map(str, range(count))) if names is None else tuple(names)


def chance(classes: Classes) -> float:
    """Accuracy of guessing, 0..1; of several heads the mean."""
    heads = list(classes.values()) if isinstance(classes, Mapping) else [classes]
    return sum(1 / len(names) for names in heads) / len(heads)


def jpeg_of(strip: np.ndarray) -> bytes:
    """A strip, uint8 (t, h, w, 3), as one wide picture."""
    buffer = BytesIO()
    Image.fromarray(np.concatenate(list(strip), axis=1)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def strip_of(jpeg: bytes, time_steps: int) -> np.ndarray:
    """What `jpeg_of` wrote, uint8 (t, h, w, 3)."""
    wide = np.asarray(Image.open(BytesIO(jpeg)).convert("RGB"))
    return np.stack(np.split(wide, time_steps, axis=1))


def _points(rows: np.ndarray) -> list[dict]:
    points = [dict(zip(COLUMNS, row, strict=True)) for row in rows.tolist()]
    return [point | {"step": int(point["step"])} for point in points]
