"""Accuracy of one head, and of a pair of heads (verb and noun: the action)."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from vivit_lab.training import metrics
from vivit_lab.training.doubts import doubts_about
from vivit_lab.training.view_scores import ONLY

AT_ONCE = 2_000_000  # numbers in float64


class HeadResult:
    """Accuracy of one head, of videos (views averaged) and of views (each on its own).

    name: of the head. averaged: float (videos, K). views: logits (videos, views, K). labels
    (videos,). class_names: in the order of the logits, or None.

    >>> views = np.array([[[0.0, 2.0], [1.0, 0.0]]])
    >>> head = HeadResult("class", views.mean(axis=1), views, np.array([1]), ("run", "jump"))
    >>> head.top1, head.view_top1, head.confusion.tolist()
    (1.0, 0.5, [[0, 0], [0, 1]])
    """

    def __init__(
        self,
        name: str,
        averaged: np.ndarray,
        views: np.ndarray,
        labels: np.ndarray,
        class_names: Sequence[str] | None,
    ):
        self.name, self.averaged, self.views, self.labels = name, averaged, views, labels
        self.class_names = class_names
        self.ranks = metrics.ranks(averaged, labels)

    @property
    def classes(self) -> int:
        """K."""
        return self.averaged.shape[1]

    @property
    def chance(self) -> float:
        """Top-1 of guessing: 1 / K."""
        return 1 / self.classes

    @property
    def top1(self) -> float:
        """Share of the videos whose best class is right."""
        return metrics.accuracy(self.ranks)

    @property
    def top5(self) -> float:
        """Share of the videos whose class is among the best five; of five classes or fewer, 1."""
        return metrics.accuracy(self.ranks, 5)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of top-1 (Wilson)."""
        return metrics.interval(int((self.ranks == 0).sum()), len(self.ranks))

    @cached_property
    def view_ranks(self) -> np.ndarray:
        """Rank of the right class in each view: (videos, views)."""
        videos, views, classes = self.views.shape
        labels = np.repeat(self.labels, views)
        return metrics.ranks(self.views.reshape(-1, classes), labels).reshape(videos, views)

    @property
    def view_top1(self) -> float:
        """Share of the views, each on its own, whose best class is right."""
        return metrics.accuracy(self.view_ranks)

    @property
    def view_top5(self) -> float:
        """Share of the views whose class is among the best five."""
        return metrics.accuracy(self.view_ranks, 5)

    @cached_property
    def confusion(self) -> np.ndarray:
        """int64 (K, K) of the videos: row the truth, column the prediction."""
        return metrics.confusion(self.averaged, self.labels)

    @property
    def per_class(self) -> np.ndarray:
        """Accuracy within each class, float (K,); nan where no video has it."""
        return metrics.per_class(self.confusion)

    @property
    def mean_per_class(self) -> float:
        """Mean accuracy of the classes that have a video."""
        return metrics.mean_per_class(self.confusion)

    def most_confused(self, n: int = 10) -> list[tuple[str, str, int, float]]:
        """(truth, prediction, videos, share of the truth's videos), most videos first."""
        return [
            (self.class_name(pair.truth), self.class_name(pair.prediction), pair.count, pair.share)
            for pair in metrics.most_confused(self.confusion, n)
        ]

    def class_name(self, number: int) -> str:
        """What reports call a class."""
        return self.class_names[number] if self.class_names else f"class {number}"

    def doubts(self, frames: str) -> list[str]:
        """Reasons to doubt the figures, as sentences; frames: the order in which they were."""
        what = "" if self.name == ONLY else f"{self.name}: "
        names = [self.class_name(number) for number in range(self.classes)]
        return [what + line for line in doubts_about(self.confusion, names, frames)]


class PairResult:
    """Both heads at once: a video is right if verb and noun are, the action.

    A pair's score is the product of the two heads' probabilities. average: how those were averaged
    over the views; averaged logits still have to become probabilities.

    >>> verb = HeadResult("verb", np.eye(2), np.eye(2)[:, None], np.array([0, 1]), None)
    >>> noun = HeadResult("noun", np.eye(2), np.eye(2)[:, None], np.array([0, 0]), None)
    >>> pair = PairResult(verb, noun, "softmax")
    >>> pair.name, pair.top1
    ('action', 0.5)
    """

    def __init__(self, first: HeadResult, second: HeadResult, average: str):
        names = {first.name, second.name}
        self.name = "action" if names == {"verb", "noun"} else f"{first.name} and {second.name}"
        self.first, self.second, self.average = first, second, average
        self.classes = first.classes * second.classes
        self.chance = first.chance * second.chance

    @cached_property
    def ranks(self) -> np.ndarray:
        """How many pairs come before the right one, of each video."""
        heads = (self.first.averaged, self.second.averaged)
        if self.average == "logits":
            heads = (metrics.softmax(heads[0]), metrics.softmax(heads[1]))
        return metrics.pair_ranks(*heads, self.first.labels, self.second.labels)

    @property
    def top1(self) -> float:
        """Share of the videos of which both heads are right."""
        return metrics.accuracy(np.maximum(self.first.ranks, self.second.ranks))

    @property
    def top5(self) -> float:
        """Share of the videos whose pair is among the best five pairs."""
        return metrics.accuracy(self.ranks, 5)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of top-1 (Wilson)."""
        right = np.maximum(self.first.ranks, self.second.ranks) == 0
        return metrics.interval(int(right.sum()), len(right))

    @property
    def view_top1(self) -> float:
        """Share of the views of which both heads are right."""
        return metrics.accuracy(np.maximum(self.first.view_ranks, self.second.view_ranks).ravel())


def cross_entropy(views: np.ndarray, labels: np.ndarray) -> float:
    """Mean over all views of -log of the right class's probability, in nats.

    views: logits (videos, views, K). labels (videos,).

    >>> round(cross_entropy(np.zeros((3, 2, 4)), np.array([0, 1, 2])), 4)  # log 4
    1.3863
    """
    total, rows = 0.0, max(1, AT_ONCE // views[:1].size)
    for start in range(0, len(views), rows):
        logits = views[start : start + rows].astype(np.float64)
        logits -= logits.max(axis=-1, keepdims=True)
        own = np.take_along_axis(logits, labels[start : start + rows, None, None], axis=-1)
        total += (np.log(np.exp(logits).sum(axis=-1)) - own[..., 0]).sum()
    return float(total / views.shape[0] / views.shape[1])
