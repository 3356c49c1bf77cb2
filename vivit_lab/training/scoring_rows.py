"""Scores of some videos, as they come from the model batch by batch, and all of them in one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """Scores of n videos.

    >>> Rows(np.array([4]), {"class": np.zeros((1, 12, 400), np.float32)}, None).numbers
    array([4])
    """

    numbers: np.ndarray  # (n,), of the samples in the data set
    logits: dict[str, np.ndarray]  # head -> float32 (n,V,K)
    labels: dict[str, np.ndarray] | None  # head -> int64 (n,), in the order of the logits


def joined(rows: Sequence[Rows]) -> Rows | None:
    """All rows in one, by number; a number that comes twice counts once. None for none.

    >>> zero = np.zeros((2, 1, 3), np.float32)
    >>> joined([Rows(np.array([5, 2]), {"class": zero}, None),
    ...         Rows(np.array([3, 5]), {"class": zero}, None)]).numbers
    array([2, 3, 5])
    """
    if not rows:
        return None
    numbers, first = np.unique(np.concatenate([each.numbers for each in rows]), return_index=True)

    def join(arrays: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(arrays)[first]

    labels = None
    if all(each.labels is not None for each in rows):
        labels = {head: join([each.labels[head] for each in rows]) for head in rows[0].labels}
    logits = {head: join([each.logits[head] for each in rows]) for head in rows[0].logits}
    return Rows(numbers, logits, labels)


def hits_in(rows: Rows) -> int:
    """Videos of which every head is right when logits are averaged; for a progress bar.

    >>> logits = np.array([[[0.0, 1.0]], [[0.0, 1.0]]])
    >>> hits_in(Rows(np.arange(2), {"class": logits}, {"class": np.array([1, 0])}))
    1
    """
    right = np.ones(len(rows.numbers), bool)
    for head, labels in rows.labels.items():
        right &= rows.logits[head].mean(axis=1).argmax(axis=-1) == labels
    return int(right.sum())
