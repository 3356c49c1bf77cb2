"""Loading weights all at once or not at all, and the report of what went where."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vivit_lab.tables import Tabular

ACTIONS = (
    "copied",  # as they are
    "inflated",  # image kernel to tubelet kernel
    "resized",  # to another grid
    "repeated",  # one table for every time step
    "new",  # keeps what the model had
    "unused",  # in the source, not in the model
)
HEADER = ("", "parameter", "shape", "from", "note")


class WeightsError(ValueError):
    """Weights that do not fit the model, or cannot be read. The model is as it was before."""


@dataclass(frozen=True)
class Entry:
    """One parameter of the model, or one tensor of the source that found no use."""

    name: str  # in the model; in the source for "unused"
    action: str  # one of ACTIONS
    shape: tuple[int, ...]  # in the model; in the source for "unused"
    source: str = ""  # name in the source
    source_shape: tuple[int, ...] | None = None
    note: str = ""  # how, or why


@dataclass(frozen=True, repr=False)
class LoadReport(Tabular):
    """What a loader did: every parameter of the model and every tensor of the source, once.

    Printed or shown, it is a table in which blocks that were treated alike share a row.
    `report["inflated"]` lists the entries of one kind.

    Example:
        >>> entry = Entry("pos_embed", "repeated", (1, 393, 48), "pos_embed", (1, 50, 48))
        >>> report = LoadReport("vit.safetensors", (entry,))
        >>> [entry.name for entry in report["repeated"]], report.counts
        (['pos_embed'], {'repeated': 1})
    """

    source: str  # where the weights came from
    entries: tuple[Entry, ...]
    notes: tuple[str, ...] = ()  # what the reader should know beyond the table
    class_names: object = None  # names in the order of the logits, or {head: names}, where known
    preprocessing: object = None  # what the model expects of a video, where known

    def __getitem__(self, action: str) -> list[Entry]:
        if action not in ACTIONS:
            raise KeyError(f"{action!r} is not one of {', '.join(ACTIONS)}")
        return [entry for entry in self.entries if entry.action == action]

    @property
    def counts(self) -> dict[str, int]:
        """How many entries there are of each kind."""
        found = Counter(entry.action for entry in self.entries)
        return {action: found[action] for action in ACTIONS if action in found}

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """(what, parameter, shape, from, note) for the table; equal blocks in one row."""
        groups: dict[tuple, list[Entry]] = {}
        for entry in sorted(self.entries, key=lambda entry: ACTIONS.index(entry.action)):
            names = (re.sub(r"\.\d+\.", ".#.", name) for name in (entry.name, entry.source))
            key = (entry.action, *names, entry.shape, entry.source_shape, entry.note)
            groups.setdefault(key, []).append(entry)
        rows = []
        for (action, *_, shape, source_shape, note), entries in groups.items():
            name = _span(entry.name for entry in entries)
            source, there = _span(entry.source for entry in entries), []
            if source and action != "unused":  # only what differs
                there = [source] if source != name else []
                there += [by(source_shape)] if source_shape != shape else []
            rows.append((action, name, by(shape), " ".join(there), note))
        return rows

    def _table(self) -> tuple:
        """Above the rows the counts; below them notes, classes, preprocessing."""
        counts = ", ".join(f"{count} {action}" for action, count in self.counts.items())
        names = self.class_names or {}
        heads = names if isinstance(names, Mapping) else {"": names}
        classes = [f"Classes{h and f' of {h}'}: {listed(each)}." for h, each in heads.items()]
        expects = [f"Expects {self.preprocessing}."] * (self.preprocessing is not None)
        title, below = f"From {self.source}: {counts}", [*self.notes, *classes, *expects]
        return [HEADER, *self.rows()], "l", [title], below


def _span(names: Iterable[str]) -> str:
    """blocks.0.norm1.bias, blocks.1.norm1.bias, ... -> blocks.0-11.norm1.bias"""
    columns = zip(*(name.split(".") for name in names), strict=True)
    ends = [list(dict.fromkeys(column)) for column in columns]
    return ".".join(c[0] if len(c) == 1 else f"{c[0]}-{c[-1]}" for c in ends)


def by(sizes: Iterable[int]) -> str:
    """(3, 4) -> '3 x 4'"""
    return " x ".join(map(str, sizes)) or "one number"


class Loading:
    """The one way in which weights get into a model: collect, check everything, then write.

    `finish` changes nothing unless every parameter of the model and every tensor of the source was
    dealt with, all shapes fit, and all numbers are finite.
    """

    def __init__(self, model: nn.Module, source: str, tensors: Mapping[str, Tensor]):
        self.model, self.source = model, source
        self.parameters = dict(model.state_dict(keep_vars=True))
        if any(parameter.is_meta for parameter in self.parameters.values()):
            raise WeightsError(
                "The model has no memory yet: first call model.to_empty(device=...)."
            )
        self.tensors = dict(tensors)
        self.left = dict(tensors)  # not yet used
        self.values: dict[str, Tensor] = {}
        self.entries: list[Entry] = []
        self.notes: list[str] = []

    def take(self, name: str) -> Tensor:
        """Remove a tensor from the source and return it."""
        if name not in self.left:
            close = difflib.get_close_matches(name, self.left, n=1)
            hint = f" The closest that is left is {close[0]!r}." if close else ""
            raise WeightsError(f"{self.source} has no {name!r}.{hint}")
        return self.left.pop(name)

    def place(self, name: str, value: Tensor, action: str, source: str, shape=None, note=""):
        """Give the model's parameter `name` this value, of `shape` there, when all is done."""
        here = self._claim(name)
        theirs = f"{source!r} of {self.source}"
        if tuple(value.shape) != here:
            both = f"{by(here)} in the model, but {by(value.shape)}"
            raise WeightsError(f"{name} is {both} from {theirs}.")
        if not value.is_floating_point():
            raise WeightsError(f"{theirs} holds {value.dtype}, but must hold floats.")
        if value.is_meta:
            raise WeightsError(f"{theirs} has a shape, but no numbers: it is on the meta device.")
        if not value.isfinite().all():
            raise WeightsError(f"{theirs} holds numbers that are not finite.")
        self.values[name] = value
        shape = here if shape is None else tuple(shape)
        self.entries.append(Entry(name, action, here, source, shape, note))

    def copy(self, name: str, source: str | None = None) -> Tensor:
        """Take the tensor `source` (the same name, if not given) and place it as it is."""
        tensor = self.take(source or name)
        self.place(name, tensor, "copied", source or name)
        return tensor

    def keep(self, name: str, note: str = "") -> None:
        """The model's parameter `name` keeps the value that it has."""
        self.entries.append(Entry(name, "new", self._claim(name), note=note))

    def leave(self, source: str, note: str = "") -> None:
        """The tensor `source` has no place in the model."""
        shape = tuple(self.take(source).shape)
        self.entries.append(Entry(source, "unused", shape, source, shape, note))

    def finish(self) -> LoadReport:
        """Write all values into the model, or raise WeightsError and change nothing."""
        placed = {entry.name for entry in self.entries if entry.action != "unused"}
        missing = [name for name in self.parameters if name not in placed]
        problems = [f"nothing for {listed(missing)} of the model"] if missing else []
        problems += [f"no place for {listed(self.left)} of the source"] if self.left else []
        if problems:
            raise WeightsError(f"{self.source} does not fit the model: {'; '.join(problems)}.")
        with torch.no_grad():
            for name, value in self.values.items():
                self.parameters[name].copy_(value)
        return LoadReport(self.source, tuple(self.entries), tuple(self.notes))

    def _claim(self, name: str) -> tuple[int, ...]:
        if name not in self.parameters:
            raise WeightsError(f"The model has no {name!r}, which {self.source} would fill.")
        return tuple(self.parameters[name].shape)


def refuse_differences(source: str, pairs: Mapping[str, tuple], advice: str) -> None:
    """Raise WeightsError unless what the source has and what the model has is alike everywhere."""
    wrong = [
        f"{name} is {there!r} in the source, {here!r} in the model"
        for name, (there, here) in pairs.items()
        if there != here
    ]
    if wrong:
        more = f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""
        raise WeightsError(
            f"{source} does not fit the model: {'; '.join(wrong[:6])}{more}. {advice}"
        )


def listed(names: Iterable[str], most: int = 4) -> str:
    """The first names in quotes, and how many more there are."""
    names = list(names)
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
