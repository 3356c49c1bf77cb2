"""A training run in one small file, to be looked at again without its model."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vivit_lab.io import DAMAGE, npz_path, read_json, read_npz, write_npz
from vivit_lab.models import MODELS, ViViTConfig
from vivit_lab.training.run import Log, read_strips

POINTS = 400  # at most so many points of a curve are kept
FIGURES = ("step", "loss", "accuracy", "lr", "low", "high")  # of a point
ABOUT, FORMAT_VERSION = "vivit_lab_run", 1  # the entry of the file that is no array: JSON
LONGEST = 22  # letters of a data set's name

Classes = tuple[str, ...] | dict[str, tuple[str, ...]]


@dataclass(frozen=True, repr=False)
class StoredRun:
    """What `TrainingCockpit.replay` shows: curves, epochs, and where the model looked.

    title             model and data in words
    recipe            its fields, as `Recipe.to_dict` gives them
    classes           names, or {head: names}
    steps             points of the curves, {"step", "loss", "accuracy", "lr", "low", "high"}. Up to
                      400 steps: each one. Of more, each point is the mean of equally many steps
                      in a row, the last of which is "step"; low and high are the least and the
                      greatest loss among them, so that no peak is lost
    epochs            the log's entry for each epoch: loss, accuracy, validation, ...
    strips            uint8 (epochs + 1, t, h, w, 3): attention on one clip, a picture for each
                      of its t time steps, before the first step and after each epoch; or None
    steps_per_epoch   None: no epoch was completed
    clips_per_second  in training, validation not counted; None: it was not measured
    seconds           of training and validation; None: they were not measured

    Raises ValueError where these do not fit each other.

    >>> point = {"step": 1, "loss": 2.1, "accuracy": 0.1, "lr": 1e-3, "low": 2.1, "high": 2.1}
    >>> StoredRun("a toy", {}, ("run", "jump"), [point], [], None, None, None, None)
    a toy: 1 step, 0 epochs, loss 2.100
    """

    title: str
    recipe: dict
    classes: Classes
    steps: list[dict]
    epochs: list[dict]
    strips: np.ndarray | None
    steps_per_epoch: int | None
    clips_per_second: float | None
    seconds: float | None

    def __post_init__(self) -> None:
        if not self.steps or any(set(point) != set(FIGURES) for point in self.steps):
            raise ValueError(f"every step must have {', '.join(FIGURES)}, and there must be one.")
        if self.strips is None:
            return
        shape, wanted = self.strips.shape, len(self.epochs) + 1
        if len(shape) != 5 or shape[0] != wanted or shape[-1] != 3 or self.strips.dtype != np.uint8:
            raise ValueError(
                f"strips are {self.strips.dtype} {shape}, but must be uint8 ({wanted}, t, h, w, 3):"
                " one before the first step, and one after each epoch."
            )

    @classmethod
    def of(cls, folder: str | Path) -> "StoredRun":
        """The run in a folder, as `fit` and the cockpit wrote it.

        Strips are there if a cockpit watched the whole of it.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: it holds no run, no step was taken yet, or a file is damaged.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"There is no folder {str(folder)!r}.")
        for name in ("run.json", "log.jsonl"):
            if not (folder / name).is_file():
                raise ValueError(f"{str(folder)!r} holds no run: {name} is missing.")
        try:
            return cls(**_of(folder))
        except DAMAGE as reason:
            raise ValueError(f"The run in {str(folder)!r} cannot be used: {reason}") from None

    @property
    def chance(self) -> float:
        """Accuracy of guessing, 0..1; of several heads the mean, as in training."""
        return chance(self.classes)

    def __repr__(self) -> str:
        last, epochs = self.steps[-1], len(self.epochs)
        return (
            f"{self.title}: {last['step']:,} step{'s' * (last['step'] != 1)}, "
            f"{epochs} epoch{'s' * (epochs != 1)}, loss {last['loss']:.3f}"
        )

    def save(self, file: str | Path) -> None:
        """Write everything into one .npz file; it appears complete or not at all.

        Strips are kept as JPEG: the run of notebook 07 takes 38 kB.
        Raises ValueError for another suffix, OSError if it cannot be written.
        """
        about = {"format_version": FORMAT_VERSION} | {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("steps", "strips")
        }
        rows = [[point[name] for name in FIGURES] for point in self.steps]
        arrays = {"steps": np.array(rows, np.float64)}
        if self.strips is not None:
            arrays["time_steps"] = np.array(self.strips.shape[1])
            for epoch, strip in enumerate(self.strips):
                arrays[f"strip_{epoch}"] = np.frombuffer(jpeg_of(strip), np.uint8)
        file = npz_path(file, "runs")
        write_npz(file, ABOUT, about, arrays, compressed=True)

    @classmethod
    def load(cls, file: str | Path) -> "StoredRun":
        """What `save` wrote.

        Raises FileNotFoundError; ValueError for a file that is damaged, holds something else, or
        is of a later version.

        >>> StoredRun.load("no_such_file.npz")
        Traceback (most recent call last):
        FileNotFoundError: There is no file 'no_such_file.npz'.
        """
        about, arrays = read_npz(file, ABOUT, "run", version=FORMAT_VERSION)
        try:
            classes, strips = about["classes"], None
            if isinstance(classes, Mapping):
                about["classes"] = {head: tuple(names) for head, names in classes.items()}
            else:
                about["classes"] = tuple(classes)
            if "time_steps" in arrays:
                count = sum(name.startswith("strip_") for name in arrays)
                jpegs = (arrays[f"strip_{i}"].tobytes() for i in range(count))
                strips = np.stack([strip_of(each, int(arrays["time_steps"])) for each in jpegs])
            return cls(steps=_points(arrays["steps"]), strips=strips, **about)
        except DAMAGE as reason:
            raise ValueError(f"{str(file)!r} holds a run that is damaged: {reason}") from None


def _of(folder: Path) -> dict:
    about, log = read_json(folder / "run.json"), Log(folder).read()
    if not log.steps:
        raise ValueError("no step was logged yet.")
    pace, jpegs, strips = log.seconds_a_step, read_strips(folder), None
    if all(epoch in jpegs for epoch in range(len(log.epochs) + 1)):
        time_steps = ViViTConfig(**about["model"]).grid[0]
        strips = np.stack([strip_of(jpegs[n], time_steps) for n in range(len(log.epochs) + 1)])
    return {
        "title": title_of(about["model"]["model"], about["training set"]),
        "recipe": about["recipe"],
        "classes": classes_of(about["class_names"], about["model"]["num_classes"]),
        "steps": _points(thinned(rows_of(log.steps))),
        "epochs": log.epochs,
        "strips": strips,
        "steps_per_epoch": sum(s["epoch"] == 0 for s in log.steps) if log.epochs else None,
        "clips_per_second": pace and about["recipe"]["batch"] / pace,
        "seconds": log.seconds,
    }


def rows_of(steps: Sequence[Mapping]) -> np.ndarray:
    """float (N, 4) of the log's steps: step, loss, accuracy, learning rate."""
    rows = [[step[name] for name in FIGURES[:4]] for step in steps]
    return np.array(rows, np.float64).reshape(-1, 4)


def thinned(rows: np.ndarray, points: int = POINTS) -> np.ndarray:
    """Steps as at most so many points of a curve.

    rows: float (N, 4), step, loss, accuracy, learning rate. Returns float (M, 6): number of the
    last step, means of loss, accuracy and learning rate, least and greatest loss. Each point is
    made of ceil(N / points) steps in a row, the last one of those that are left.

    >>> rows = np.array([[1, 2.0, 0.1, 1e-3], [2, 1.0, 0.3, 1e-3], [3, 3.0, 0.2, 1e-3]])
    >>> thinned(rows, points=2).round(3).tolist()
    [[2.0, 1.5, 0.2, 0.001, 1.0, 2.0], [3.0, 3.0, 0.2, 0.001, 3.0, 3.0]]
    """
    if not len(rows):
        return np.empty((0, len(FIGURES)))
    together = -(-len(rows) // points)
    starts = np.arange(0, len(rows), together)
    counts = np.diff(np.append(starts, len(rows)))[:, None]
    ends = np.append(starts[1:], len(rows)) - 1
    means = np.add.reduceat(rows[:, 1:], starts, axis=0) / counts
    low = np.minimum.reduceat(rows[:, 1], starts)
    high = np.maximum.reduceat(rows[:, 1], starts)
    return np.column_stack([rows[ends, 0], means, low, high])


def title_of(model: str, data: Mapping) -> str:
    """A run in words. model: id. data: what run.json says of the training set.

    >>> title_of("joint", {"kind": "ArrowOfTime", "samples": 4096})
    'Model 1: spatio-temporal attention, on 4,096 clips of ArrowOfTime'
    """
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
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(strip), axis=1)).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def strip_of(jpeg: bytes, time_steps: int) -> np.ndarray:
    """What `jpeg_of` wrote, uint8 (t, h, w, 3)."""
    wide = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
    return np.stack(np.split(wide, time_steps, axis=1))


def _points(rows: np.ndarray) -> list[dict]:
    points = [dict(zip(FIGURES, row, strict=True)) for row in rows.tolist()]
    return [point | {"step": int(point["step"])} for point in points]
