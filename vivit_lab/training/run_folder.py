"""The folder of a run: what was done, how to do it again, the log, and the checkpoints."""

import contextlib
import dataclasses
import functools
import json
import os
import platform
import shlex
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from accelerate import Accelerator
from torch.utils.data import Dataset

import vivit_lab
from vivit_lab.io import read_json, write_atomically
from vivit_lab.models import ViViT
from vivit_lab.training.state import Training
from vivit_lab.training.trouble import TrainingError
from vivit_lab.weights import save_checkpoint

PACKAGES = ("torch", "torchvision", "timm", "accelerate", "av", "numpy")


@dataclass(frozen=True)
class Run:
    """What `fit` returns.

    Example:
        >>> Run(Path("runs/first"), model=None, steps=640, history=[], stopped=False).steps
        640
    """

    folder: Path
    model: ViViT  # to use: the averaged weights if the recipe has `ema`
    steps: int
    history: list[dict]  # an entry for each epoch: loss, accuracy, validation
    stopped: bool  # by the callback, before the end; `resume=True` goes on


class RunFolder:
    """Names and writes the files of a run.

    run.json, recipe.json, README.md   what was run, and how to repeat it
    log.jsonl                          a line for each step, and one for each epoch
    state.safetensors                  everything, to resume from; replaced in one step
    epoch-0003.safetensors, ...        weights after the last epochs, for `load_checkpoint`
    best.safetensors                   weights of the best validation accuracy so far

    Raises:
        FileExistsError: the folder holds something, and resume is False; or no run to resume.

    Example:
        >>> RunFolder(Path("runs/first")).state.name
        'state.safetensors'
    """

    def __init__(self, path: str | os.PathLike, resume: bool = False):
        self.path = Path(path)
        self.state = self.path / "state.safetensors"
        self.log = self.path / "log.jsonl"
        if self.path.exists() and not self.path.is_dir():
            raise FileExistsError(f"{str(path)!r} is a file, but must be the folder of a run.")
        found = set(self.path.iterdir()) if self.path.is_dir() else set()
        if self.path / "run.json" not in found and found - set(self._left_over()):
            raise FileExistsError(
                f"The folder {str(path)!r} holds other files, and no run. Choose another one."
            )
        if found and not resume:
            raise FileExistsError(
                f"The folder {str(path)!r} holds a run already. Choose another one, or go on with "
                "the run in it: resume=True (on the command line --resume)."
            )

    def describe(
        self,
        training: Training,
        accelerator: Accelerator,
        train: Dataset,
        validation: Dataset | None,
    ) -> None:
        """Write what is run, and how to repeat it; of a run that goes on, when, and with what."""
        now, recipe = time.strftime("%Y-%m-%d %H:%M:%S %z"), training.recipe.to_dict()
        with self.saving():
            self.path.mkdir(parents=True, exist_ok=True)
            for file in self._left_over():
                file.unlink(missing_ok=True)
            if training.step:
                document = read_json(self.path / "run.json")
                resumed = {"time": now, "step": training.step, "versions": versions()}
                if json.loads(json.dumps(recipe)) != document["recipe"]:  # other means
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
                    "model": dataclasses.asdict(training.model.config),
                    "class_names": training.model.class_names,
                    "training set": _described(train),
                    "validation set": None if validation is None else _described(validation),
                    "device": str(accelerator.device),
                    "processes": accelerator.num_processes,
                }
            self._write("run.json", json.dumps(document, indent=1, default=str) + "\n")
            self._write("recipe.json", json.dumps(recipe, indent=1) + "\n")
            if not training.step:
                self._write("README.md", _readme(document, training))

    def save(self, training: Training) -> None:
        """Replace the state to resume from."""
        with self.saving():
            training.save(self.state)

    def save_epoch(self, training: Training, keep: int, is_best: bool) -> None:
        """Write the weights after an epoch, and forget those of more than `keep` epochs ago."""
        about = {"recipe": training.recipe.to_dict(), "versions": versions()}
        history = [about, *training.history]
        with self.saving():
            names = [f"epoch-{training.epoch:04}.safetensors"] + ["best.safetensors"] * is_best
            for name in names:
                save_checkpoint(self.path / name, training.result, history=history)
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
                left = f"{self.state} is as it was, whole: make room, then resume=True goes on."
            raise TrainingError(f"The run could not be saved ({error}). {left}") from error

    def _left_over(self) -> list[Path]:
        """Files that a killed process was writing: they never got their names."""
        return list(self.path.glob(".*.part"))

    def _write(self, name: str, text: str) -> None:
        write_atomically(self.path / name, lambda part: part.write_text(text, encoding="utf-8"))


def read_log(folder: str | os.PathLike) -> tuple[list[dict], list[dict]]:
    """The log of a run: its steps, and its epochs. A line cut short by a kill is left out.

    Another line that cannot be read, as a power cut may leave one, is left out with a warning.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "log.jsonl").write_text('{"step": 1, "loss": 2}\\n{"step": 2, "lo')
        ...     read_log(folder)
        ([{'step': 1, 'loss': 2}], [])
    """
    steps, epochs, file = [], [], Path(folder, "log.jsonl")
    text = file.read_text(encoding="utf-8", errors="replace")
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            entry = json.loads(line)
            kind = next(kind for kind in ("step", "after_epoch") if kind in entry)
        except (ValueError, TypeError, StopIteration):
            warnings.warn(f"{file}, line {number} cannot be read: left out.", stacklevel=2)
            continue
        (steps if kind == "step" else epochs).append(entry)
    return steps, epochs


@functools.cache
def versions() -> dict[str, str]:
    """What a run depends on.

    Example:
        >>> sorted(versions())[:2]
        ['accelerate', 'av']
    """
    found = {"python": platform.python_version(), "vivit_lab": vivit_lab.__version__}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def revision() -> str | None:
    """The git commit of this package, with "+" if files were changed since; None outside git.

    Example:
        >>> revision() is None or len(revision()) >= 40
        True
    """

    def git(*arguments: str) -> str:
        place = Path(vivit_lab.__file__).parent
        done = subprocess.run(
            ["git", "-C", place, *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + "+" * bool(git("status", "--porcelain", "-uno", "."))
    except (OSError, subprocess.SubprocessError):
        return None


def _described(dataset: Dataset) -> dict:
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


def _readme(document: dict, training: Training) -> str:
    command = shlex.join(document["command"])
    used = ", ".join(f"{name} {number}" for name, number in document["versions"].items())
    return f"""# A training run of ViViT Lab

Started {document["started"]} in `{document["working_folder"]}`:

    {command}

To repeat it: the same command, with another folder, on the same versions ({used}; revision of
vivit_lab: {document["revision"] or "unknown"}). The recipe is in recipe.json, the model and the
data are in run.json. On one CPU the weights come out the same to the last bit.

To go on after an interruption: the same command with `--resume`, or `fit(..., resume=True)`.

To use the result: `load_checkpoint("epoch-....safetensors")`; state.safetensors is for resuming.

```
{training.recipe}
```
"""
