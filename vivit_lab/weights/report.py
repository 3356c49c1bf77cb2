"""Loading weights all at once or not at all, and the report of what went where."""

import difflib
import html
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

ACTIONS = {
    "copied": "as they are",
    "inflated": "image kernel to tubelet kernel",
    "resized": "to another grid",
    "repeated": "one table for every time step",
    "new": "keeps what the model had",
    "unused": "in the source, not in the model",
}


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
class LoadReport:
    """What a loader did: every parameter of the model and every tensor of the source, once.

    Printed, or shown at the end of a notebook cell, it is a table in which the blocks that were
    treated alike share a row. `report["inflated"]` lists the entries of one kind.

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
        order = list(ACTIONS)
        for entry in sorted(self.entries, key=lambda entry: order.index(entry.action)):
            key = (
                entry.action,
                _without_number(entry.name),
                entry.shape,
                _without_number(entry.source),
                entry.source_shape,
                entry.note,
            )
            groups.setdefault(key, []).append(entry)
        return [
            (
                first.action,
                _span(entry.name for entry in entries),
                _shape(first.shape),
                _from(entries),
                first.note,
            )
            for entries in groups.values()
            for first in entries[:1]
        ]

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {action}" for action, count in self.counts.items())
        header = ("", "parameter", "shape", "from", "note")
        rows = [header, *self.rows()]
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines = [
            "  ".join([*(cell.ljust(w) for cell, w in zip(row[:4], widths, strict=True)), row[4]])
            for row in rows
        ]
        return "\n".join(
            [f"From {self.source}: {counts}", *(line.rstrip() for line in lines), *self.notes]
        )

    __repr__ = __str__  # a cell that ends in a report stores the table, not the entries

    def _repr_html_(self) -> str:
        cell = "padding:2px 12px 2px 0;text-align:left;vertical-align:top;font-size:13px"
        table = "".join(
            "<tr>" + "".join(f'<td style="{cell}">{html.escape(value)}</td>' for value in row)
            + "</tr>"
            for row in [("", "parameter", "shape", "from", "note"), *self.rows()]
        )  # fmt: skip
        counts = ", ".join(f"{count} {action}" for action, count in self.counts.items())
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        return (
            f"<div><b>From {html.escape(self.source)}</b>: {counts}</div>"
            f'<table style="border-collapse:collapse">{table}</table>{notes}'
        )


def _without_number(name: str) -> str:
    return ".".join("#" if part.isdigit() else part for part in name.split("."))


def _span(names: Iterable[str]) -> str:
    """blocks.0.norm1.bias, blocks.1.norm1.bias, ... -> blocks.0-11.norm1.bias"""
    names = list(names)
    if len(names) == 1:
        return names[0]
    parts = (name.split(".") for name in names)
    columns = [list(dict.fromkeys(column)) for column in zip(*parts, strict=True)]
    return ".".join(c[0] if len(c) == 1 else f"{c[0]}-{c[-1]}" for c in columns)


def _from(entries: list[Entry]) -> str:
    first = entries[0]
    if not first.source or first.action == "unused":
        return ""
    same = first.source == first.name and len({e.source == e.name for e in entries}) == 1
    name = "" if same else _span(entry.source for entry in entries)
    reshaped = first.source_shape not in (None, first.shape)
    return " ".join(filter(None, [name, _shape(first.source_shape) if reshaped else ""]))


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "one number"


class Loading:
    """The one way in which weights get into a model: collect, check everything, then write.

    A loader takes tensors out of the source and places them under the model's names, or says that
    a parameter keeps its present value (`keep`) or a tensor of the source has no place (`leave`).
    `finish` raises before anything is changed unless every parameter of the model and every tensor
    of the source was dealt with, all shapes fit, and all numbers are finite.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> loading = Loading(layer, "memory", {"w": torch.ones(3, 2), "steps": torch.ones(1)})
        >>> loading.place("weight", loading.take("w"), "copied", "w")
        >>> loading.keep("bias")
        >>> loading.leave("steps", "optimiser state")
        >>> loading.finish().counts
        {'copied': 1, 'new': 1, 'unused': 1}
    """

    def __init__(self, model: nn.Module, source: str, tensors: Mapping[str, Tensor]):
        self.model, self.source = model, source
        self.parameters = dict(model.state_dict(keep_vars=True))
        self.left = dict(tensors)
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

    def place(
        self,
        name: str,
        value: Tensor,
        action: str,
        source: str,
        source_shape: tuple[int, ...] | None = None,
        note: str = "",
    ) -> None:
        """Give the model's parameter `name` this value when all is done."""
        self._claim(name)
        shape = tuple(self.parameters[name].shape)
        if tuple(value.shape) != shape:
            raise WeightsError(
                f"{name} is {_shape(shape)} in the model, but {_shape(tuple(value.shape))} from "
                f"{source!r} of {self.source}."
            )
        if not value.is_floating_point():
            kind = str(value.dtype).removeprefix("torch.")
            raise WeightsError(f"{source!r} of {self.source} holds {kind}, but must hold floats.")
        if not value.isfinite().all():
            raise WeightsError(f"{source!r} of {self.source} holds numbers that are not finite.")
        self.values[name] = value
        shape_there = shape if source_shape is None else tuple(source_shape)
        self.entries.append(Entry(name, action, shape, source, shape_there, note))

    def copy(self, name: str, source: str | None = None) -> None:
        """Take the tensor `source` (the same name, if not given) and place it as it is."""
        source = source or name
        self.place(name, self.take(source), "copied", source)

    def keep(self, name: str, note: str = "") -> None:
        """The model's parameter `name` keeps the value that it has."""
        self._claim(name)
        self.entries.append(Entry(name, "new", tuple(self.parameters[name].shape), note=note))

    def leave(self, source: str, note: str = "") -> None:
        """The tensor `source` has no place in the model."""
        shape = tuple(self.take(source).shape)
        self.entries.append(Entry(source, "unused", shape, source, shape, note))

    def say(self, note: str) -> None:
        """Add a line under the report's table."""
        self.notes.append(note)

    def finish(self) -> LoadReport:
        """Write all values into the model, or raise WeightsError and change nothing."""
        placed = {entry.name for entry in self.entries if entry.action != "unused"}
        missing = [name for name in self.parameters if name not in placed]
        problems = []
        if missing:
            problems.append(f"nothing for {_listed(missing)} of the model")
        if self.left:
            problems.append(f"no place for {_listed(list(self.left))} of the source")
        if problems:
            raise WeightsError(f"{self.source} does not fit the model: {'; '.join(problems)}.")
        with torch.no_grad():
            for name, value in self.values.items():
                self.parameters[name].copy_(value)
        return LoadReport(self.source, tuple(self.entries), tuple(self.notes))

    def _claim(self, name: str) -> None:
        if name not in self.parameters:
            raise WeightsError(f"The model has no {name!r}, which {self.source} would fill.")
        if any(entry.name == name and entry.action != "unused" for entry in self.entries):
            raise WeightsError(f"{self.source} fills {name!r} twice.")


def _listed(names: list[str], most: int = 4) -> str:
    shown = ", ".join(map(repr, names[:most]))
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
