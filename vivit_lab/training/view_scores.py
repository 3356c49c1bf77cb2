"""What a model said of every view of every video: kept, so that questions can come afterwards.

Averages over fewer views, softmax or logits, other measures: none of them needs the model again.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vivit_lab.errors import one_of, whole
from vivit_lab.training.described_arrays import npz_path, read_npz, write_npz
from vivit_lab.training.metrics import softmax

AVERAGES = {
    "softmax": "softmax averaged over the views (the paper's description, SlowFast)",
    "logits": "logits averaged over the views (the official code)",
}
ONLY = "class"  # what the head is called where the model has but one
ABOUT, FORMAT_VERSION = "vivit_lab_scores", 1  # the entry of the file that is no array: JSON
AT_ONCE = 2_000_000  # numbers averaged together in float64


@dataclass(frozen=True)
class Origin:
    """Where scores come from: all that a report says beside the numbers."""

    model: str  # "Model 2: factorised encoder · 32 x 224 x 224"
    weights: str  # a checksum; "" if it was not taken
    macs: int | None  # multiply-accumulates of one view; None: unknown
    data: str  # annotation file or folder, or the kind of data set
    listed: int  # videos that the data set lists, there or not
    clips: str = ""  # how clips are made of a video: sampling and transform
    absent: tuple[str, ...] = ()  # listed, but the file is not there
    unreadable: tuple[str, ...] = ()  # there, but could not be used; each with the reason
    frames: str = "in_order"  # one of frame_order.ORDERS
    seed: int = 0  # of the order, where it is drawn
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class ViewScores:
    """Logits of every view, with names and labels.

    logits       head -> float32 (videos, views, classes); the only head is called "class"
    labels       head -> int64 (videos,), in the order of the logits; None: the data have none
    numbers      int64 (videos,), which sample of the data set each row is
    names        of the videos
    class_names  head -> names in the order of the logits, or None
    places       (clip, crop) of each view, both from 0
    origin       Origin

    Raises ValueError where these do not fit each other.

    >>> logits = np.zeros((5, 2, 3), np.float32)
    >>> origin = Origin("a toy", "", None, "made up", listed=5)
    >>> scores = ViewScores({"class": logits}, None, np.arange(5), tuple("abcde"),
    ...                     {"class": None}, ((0, 0), (1, 0)), origin)
    >>> print(scores)
    5 videos x (2 clips x 1 crop = 2 views) x 3 classes, a toy on made up
    """

    logits: Mapping[str, np.ndarray]
    labels: Mapping[str, np.ndarray] | None
    numbers: np.ndarray
    names: tuple[str, ...]
    class_names: Mapping[str, tuple[str, ...] | None]
    places: tuple[tuple[int, int], ...]
    origin: Origin

    def __post_init__(self) -> None:
        shape = (len(self.names), len(self.places))
        for head, logits in self.logits.items():
            if logits.ndim != 3 or logits.shape[:2] != shape:
                raise ValueError(
                    f"logits of {head!r} have shape {logits.shape}, but there are {shape[0]} names "
                    f"and {shape[1]} views."
                )
        for head, labels in (self.labels or {}).items():
            if head not in self.logits or labels.shape != shape[:1]:
                raise ValueError(f"labels of {head!r} do not fit: shape {labels.shape}.")
        if len(self.numbers) != shape[0] or len(set(self.numbers.tolist())) != shape[0]:
            raise ValueError("every video must have one number, and no two the same.")

    @property
    def videos(self) -> int:
        """How many videos there are scores of."""
        return len(self.names)

    @property
    def views(self) -> int:
        """How many views each video has."""
        return len(self.places)

    @property
    def view_text(self) -> str:
        """The views in words, "4 clips x 3 crops = 12 views"."""
        return view_text(self.places)

    def __repr__(self) -> str:
        classes = ", ".join(
            f"{each.shape[2]} {'classes' if head == ONLY else head + ' classes'}"
            for head, each in self.logits.items()
        )
        return (
            f"{self.videos:,} videos x ({self.view_text}) x {classes}, "
            f"{self.origin.model} on {self.origin.data}"
        )

    def average(self, average: str = "softmax") -> dict[str, np.ndarray]:
        """Scores of the videos, averaged over their views: head -> float64 (videos, classes).

        average: "softmax" averages probabilities, as the paper describes it; "logits" averages
        logits, as the official code does. They differ where views disagree: one very sure view
        decides among logits. Raises ValueError for any other word.
        """
        one_of("average", average, AVERAGES)
        return {head: _averaged(logits, average) for head, logits in self.logits.items()}

    def select(self, views: Sequence[int]) -> "ViewScores":
        """Only these views, by number. Raises ValueError for none, one twice, or one too high."""
        views = [int(view) for view in views]
        if not views or len(set(views)) < len(views) or not set(views) <= set(range(self.views)):
            raise ValueError(
                f"views is {views}, but must be one or more of 0 to {self.views - 1}, none twice."
            )
        logits = {head: each[:, views] for head, each in self.logits.items()}
        places = tuple(self.places[view] for view in views)
        return dataclasses.replace(self, logits=logits, places=places)

    def spread(self, n: int) -> list[int]:
        """The n views that see most of a video: the middle crop of clips far apart, then the rest.

        The views of n - 1 are among them, so that accuracy over n is one curve. Raises ValueError
        for n out of range.
        """
        whole("n", n)
        if n > self.views:
            raise ValueError(f"n is {n}, but there are {self.views} views.")
        clips = _far_apart(sorted({clip for clip, _ in self.places}))
        crops = sorted({crop for _, crop in self.places})
        middle = crops[len(crops) // 2]
        crops = [middle, *(crop for crop in crops if crop != middle)]
        order = [(clip, crop) for crop in crops for clip in clips if (clip, crop) in self.places]
        return sorted(self.places.index(place) for place in order[:n])

    def save(self, file: str | Path) -> None:
        """Write everything into one .npz file; it appears complete or not at all.

        float32, to the last bit: a video of 12 views and 400 classes takes 19 kB. Raises
        ValueError for another suffix, OSError if it cannot be written.
        """
        about = {
            "heads": list(self.logits),
            "names": self.names,
            "class_names": self.class_names,
            "places": self.places,
            "origin": dataclasses.asdict(self.origin),
        }
        arrays = {"numbers": self.numbers}
        arrays |= {f"logits.{head}": each for head, each in self.logits.items()}
        arrays |= {f"labels.{head}": each for head, each in (self.labels or {}).items()}
        file = npz_path(file, "scores")
        write_npz(file, ABOUT, about, arrays, version=FORMAT_VERSION, compressed=False)


def load_scores(file: str | Path) -> ViewScores:
    """What `ViewScores.save` wrote.

    Raises FileNotFoundError; ValueError for a file that is damaged, holds something else, or is of
    a later version.

    >>> import tempfile
    >>> origin = Origin("a toy", "", None, "made up", listed=1)
    >>> scores = ViewScores({"class": np.ones((1, 1, 3), np.float32)}, {"class": np.array([2])},
    ...                     np.array([0]), ("a.mp4",), {"class": None}, ((0, 0),), origin)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     scores.save(f"{folder}/scores.npz")
    ...     load_scores(f"{folder}/scores.npz").names
    ('a.mp4',)
    """
    about, arrays = read_npz(file, ABOUT, "scores", version=FORMAT_VERSION)
    try:
        return _from_arrays(arrays, about)
    except (KeyError, TypeError, ValueError) as reason:
        raise ValueError(f"{str(file)!r} holds scores that do not fit together: {reason}") from None


def view_text(places: Sequence[tuple[int, int]]) -> str:
    """Views in words: as clips x crops where every clip has the same crops.

    >>> view_text([(0, 0), (1, 2), (2, 1)])
    '3 views'
    """
    clips, crops = ({place[axis] for place in places} for axis in (0, 1))
    views = _count(len(places), "view")
    if len(places) != len(clips) * len(crops):
        return views
    return f"{_count(len(clips), 'clip')} x {_count(len(crops), 'crop')} = {views}"


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'s' * (number != 1)}"


def _averaged(logits: np.ndarray, average: str) -> np.ndarray:
    videos, views, classes = logits.shape
    found = np.empty((videos, classes))
    rows = max(1, AT_ONCE // (views * classes))
    for start in range(0, videos, rows):
        here = logits[start : start + rows].astype(np.float64)
        found[start : start + rows] = (softmax(here) if average == "softmax" else here).mean(axis=1)
    return found


def _far_apart(clips: Sequence[int]) -> list[int]:
    """All clips, each as far as can be from those before it, from the middle on."""
    left = list(clips)
    order = [left.pop((len(left) - 1) // 2)]
    while left:
        order.append(max(left, key=lambda clip: min(abs(clip - other) for other in order)))
        left.remove(order[-1])
    return order


def _from_arrays(arrays: Mapping[str, np.ndarray], about: Mapping) -> ViewScores:
    heads = about["heads"]
    labels = {h: arrays[f"labels.{h}"] for h in heads if f"labels.{h}" in arrays}
    return ViewScores(
        logits={head: arrays[f"logits.{head}"] for head in heads},
        labels=labels or None,
        numbers=arrays["numbers"],
        names=tuple(about["names"]),
        class_names={head: names and tuple(names) for head, names in about["class_names"].items()},
        places=tuple((clip, crop) for clip, crop in about["places"]),
        origin=Origin(**{name: _frozen(value) for name, value in about["origin"].items()}),
    )


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value
