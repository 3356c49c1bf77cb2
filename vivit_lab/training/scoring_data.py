"""What a data set under test says of itself: its videos, its views, its labels and their order."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from vivit_lab.data.dataset import ClipDataset, Fetched
from vivit_lab.training.view_scores import ONLY

Names = Mapping[str, tuple[str, ...] | None]  # head -> class names in their order, where known


class Chosen(Dataset):
    """Some samples of a data set, under their own numbers.

    >>> from vivit_lab.data import ArrowOfTime
    >>> Chosen(ArrowOfTime(clips=8), [5, 2]).fetch(0).number
    5
    """

    @staticmethod
    def of(data: Dataset, numbers: Sequence[int]) -> "Chosen":
        """The samples of these numbers, many at once where the data set makes them so."""
        return (ChosenAtOnce if hasattr(data, "__getitems__") else Chosen)(data, numbers)

    def __init__(self, data: Dataset, numbers: Sequence[int]):
        self.data, self.numbers = data, list(numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    def name_of(self, place: int) -> str:
        """What messages call a sample."""
        return name_of(self.data, self.numbers[place])

    def fetch(self, place: int) -> Fetched:
        """The sample, and the bad videos on the way to it."""
        number = self.numbers[place]
        if hasattr(self.data, "fetch"):
            return self.data.fetch(number)
        clip, label = self.data[number]
        return Fetched(clip, label, number, ())

    def numbers_of(self, loaded: Tensor) -> Tensor:
        """The samples' numbers in the data set, of the numbers that a loader gives."""
        return loaded.cpu()


class ChosenAtOnce(Chosen):
    """The same of a data set that makes many samples at once; a loader then counts places.

    >>> from vivit_lab.data import ArrowOfTime
    >>> chosen = ChosenAtOnce(ArrowOfTime(clips=8), [5, 2])
    >>> [label for _, label in chosen.__getitems__([0, 1])], chosen.numbers_of(torch.tensor([1]))
    ([5, 2], tensor([2]))
    """

    def __getitems__(self, places: Sequence[int]) -> list[tuple]:
        return self.data.__getitems__([self.numbers[place] for place in places])

    def numbers_of(self, loaded: Tensor) -> Tensor:
        return torch.tensor(self.numbers)[loaded.cpu()]


def check_data(data: Dataset) -> None:
    """Raise unless `data` can be asked for sample after sample, and has some."""
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        raise TypeError(
            f"data is {_kind(data)}, but must be a data set with numbered samples, such as a "
            "ViewDataset: only then is it sure that each video counts once."
        )
    if not hasattr(data, "__len__") or not len(data):
        raise ValueError(f"data is empty: {_kind(data)} has no sample to evaluate.")


def name_of(data: Dataset, number: int) -> str:
    """What reports call a sample: the data set's own id, else the file, else the number.

    >>> from vivit_lab.data import ArrowOfTime
    >>> name_of(ArrowOfTime(), 12)
    'sample 12'
    """
    catalog = getattr(data, "catalog", None)
    if catalog is not None:
        return catalog[number].name or str(catalog[number].path)
    named = data.name_of(number) if hasattr(data, "name_of") else ""
    return named or f"sample {number}"


def places_of(data: Dataset) -> tuple[tuple[int, int], ...]:
    """(clip, crop) of each view of a sample, in the order in which the data set gives them.

    >>> from vivit_lab.data import ArrowOfTime
    >>> places_of(ArrowOfTime())
    ((0, 0),)
    """
    crops = getattr(getattr(data, "transform", None), "crops", None)
    if crops is None or not hasattr(data, "clips"):
        return ((0, 0),)
    return tuple((clip, crop) for clip in range(data.clips) for crop in range(crops))


def clips_of(data: Dataset) -> str:
    """How clips are made of a video: its frames, and their pixels; "" where that is unknown.

    >>> from vivit_lab.data import ArrowOfTime
    >>> clips_of(ArrowOfTime())
    ''
    """
    if not hasattr(data, "sampling") or not hasattr(data, "transform"):
        return ""
    return f"{data.sampling}, {data.transform}"


def source_of(data: Dataset) -> str:
    """The annotation file or folder, else the kind of data set, with its settings.

    >>> from vivit_lab.data import ArrowOfTime
    >>> source_of(ArrowOfTime(clips=64)).startswith("ArrowOfTime(clips=64, ")
    True
    """
    catalog = getattr(data, "catalog", None)
    if catalog is not None:
        return str(catalog.source)
    settings = {
        name: value
        for name, value in vars(data).items()
        if isinstance(value, (int, float, str)) and not name.startswith("_")
    }
    listed = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    return f"{_kind(data)}({listed})" if listed else f"{_kind(data)} of {len(data):,} samples"


def listed_in(data: Dataset) -> tuple[int, tuple[str, ...]]:
    """How many samples the data set lists, and those of them whose file is not there."""
    missing = getattr(getattr(data, "catalog", None), "missing", [])
    return len(data) + len(missing), tuple(str(segment.path) for segment in missing)


def notes_on(data: Dataset) -> list[str]:
    """What a reader of the accuracy should know about how clips are made."""
    if not isinstance(data, ClipDataset) or data.testing:
        return []
    return ["the clips were drawn at random, as in training: to report a figure take a ViewDataset"]


def check_labelled(data: Dataset) -> None:
    """Raise ValueError for a catalogue without labels, before any work is done."""
    catalog = getattr(data, "catalog", None)
    if catalog is not None and catalog[0].label is None:
        raise ValueError(
            f"{catalog.source} has no labels: there is no accuracy to compute. score_views(model, "
            "data).average() is what the model says of each video."
        )


def class_names_of(thing: object, heads: Sequence[str]) -> Names:
    """Names of the classes that a model or data set carries, for each head.

    >>> from vivit_lab.data import ArrowOfTime
    >>> class_names_of(ArrowOfTime(), ["class"])["class"][0]
    'moves right'
    """
    holder = getattr(thing, "catalog", thing)
    names = getattr(holder, "class_names", None) or getattr(holder, "classes", None)
    if names is None:
        return dict.fromkeys(heads)
    if not isinstance(names, Mapping):
        names = {ONLY: names}
    return {head: tuple(names[head]) if names.get(head) else None for head in heads}


class Labels:
    """The data set's labels in the order of a model's classes: found by name, not by number.

    model: names by head. data: the same of the data set. classes: how many the model has, by head.
    Where both have the same names in another order, labels are renumbered, and `notes` says so.

    Raises ValueError for another number of classes, or other names, naming them.

    >>> labels = Labels({"class": ("run", "jump")}, {"class": ("jump", "run")}, {"class": 2})
    >>> labels({"class": np.array([0, 0, 1])}, ["a", "b", "c"])["class"], len(labels.notes)
    (array([1, 1, 0]), 1)
    """

    def __init__(self, model: Names, data: Names, classes: Mapping[str, int]):
        self.classes, self.notes = dict(classes), []
        self.maps: dict[str, np.ndarray | None] = {}
        for head, count in classes.items():
            self._check_count(head, count, data[head])
            self.maps[head] = self._map(head, model[head], data[head])

    def __call__(
        self, labels: Mapping[str, np.ndarray], names: Sequence[str]
    ) -> dict[str, np.ndarray]:
        """Labels of some videos, renumbered; ValueError for one out of range, naming the video."""
        found = {}
        for head, count in self.classes.items():
            here = np.asarray(labels[head], np.int64)
            for place in np.flatnonzero((here < 0) | (here >= count))[:1]:
                raise ValueError(
                    f"{names[place]} has the {_of(head)}label {here[place]}, but the model has "
                    f"{count} {_of(head)}classes: labels run from 0 to {count - 1}."
                )
            found[head] = here if self.maps[head] is None else self.maps[head][here]
        return found

    def _check_count(self, head: str, count: int, names: Sequence[str] | None) -> None:
        if names is not None and len(names) != count:
            raise ValueError(
                f"The model has {count} {_of(head)}classes, but the data have {len(names)}. If the "
                "data hold a part of the model's classes, read them with its names: "
                "read_folder(path, classes=model.class_names), or another reader. If they hold "
                f"others, the model needs a head of {len(names)}, and training."
            )

    def _map(
        self, head: str, model: Sequence[str] | None, data: Sequence[str] | None
    ) -> np.ndarray | None:
        if data is None or model is None:
            whose = "model carries" if model is None else "data carry"
            self.notes.append(
                f"the order of the {_of(head)}classes was not checked: the {whose} no names"
            )
            return None
        if list(model) == list(data):
            return None
        key = str if set(model) == set(data) else _with_spaces
        places = {key(name): place for place, name in enumerate(model)}
        same = {key(name) for name in data}
        unknown = [name for name in data if key(name) not in places]
        lacking = [name for name in model if key(name) not in same]
        if unknown or lacking:
            raise ValueError(
                f"The model's {_of(head)}classes and those of the data are not the same. Only the "
                f"model has {_listed(lacking)}; only the data have {_listed(unknown)}. The "
                f"first of the model is {model[0]!r}, of the data {data[0]!r}."
            )
        renumbered = np.array([places[key(name)] for name in data])
        if (renumbered == np.arange(len(data))).all():
            return None
        self.notes.append(
            f"the data have the {_of(head)}classes in another order than the model: their labels "
            "were renumbered by name"
        )
        return renumbered


def _with_spaces(name: str) -> str:
    """Kinetics has `high jump`, its folders are called `high_jump`."""
    return name.replace("_", " ")


def _of(head: str) -> str:
    return "" if head == ONLY else f"{head} "


def _listed(names: Sequence[str], most: int = 3) -> str:
    if not names:
        return "none of its own"
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _kind(data: object) -> str:
    return type(data).__name__
