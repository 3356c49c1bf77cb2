"""Accuracy and its kin: plain functions, each short enough to check by hand.

Scores are float (N, K): one row a video (or a view), one column a class, higher is likelier.
Labels are whole numbers (N,), 0 to K - 1. Of equal scores the class with the lower number comes
first, as in argmax: so accuracy, rank and confusion matrix always speak of the same prediction.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from vivit_lab.errors import whole

AT_ONCE = 2_000_000  # numbers held in float64 together
CAUSES = (
    "Usual reasons: the classifier was not trained (new classes, other weights); labels counted "
    "from 1; another order of the classes; pixels in another range than in training (here: -1 to 1)"
)


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the right one: int64 (N,); 0 is a hit, below 5 a top-5 hit."""
    scores, labels = _checked(scores, labels)
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


def pair_ranks(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, second_labels: np.ndarray
) -> np.ndarray:
    """How many pairs of classes come before the right pair, as in verb and noun: int64 (N,).

    first (N, K), second (N, L): probabilities of two heads; a pair's score is their product. Of
    equal products the pair whose first class ranks higher comes first, then the second: rank 0 is
    exactly: both heads are right. Source: the official code for EPIC-Kitchens.

    >>> verb, noun = np.array([[0.6, 0.4]]), np.array([[0.5, 0.3, 0.2]])
    >>> pair_ranks(verb, noun, np.array([1]), np.array([0]))  # after 0.30, and before 0.18
    array([1])
    """
    right = ranks(first, labels) * second.shape[1] + ranks(second, second_labels)
    first, second = (-np.sort(-each, axis=1) for each in (first, second))  # best class first

    def of_some(first: np.ndarray, second: np.ndarray, right: np.ndarray) -> np.ndarray:
        products = first[:, :, None] * second[:, None, :]
        return ranks(products.reshape(len(right), -1), right)

    return in_pieces(of_some, first.shape[1] * second.shape[1], first, second, right)


def accuracy(ranks: np.ndarray, k: int = 1) -> float:
    """Share of the rows whose right class is among the best k: 0..1."""
    return float((ranks < k).mean())


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often each class was taken for each: int64 (K, K), row the truth, column the prediction.

    >>> confusion(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]))
    array([[1, 0],
           [1, 1]])
    """
    scores, labels = _checked(scores, labels)
    classes = scores.shape[1]
    cells = labels * classes + scores.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: np.ndarray) -> np.ndarray:
    """Accuracy within each class: float (K,); nan where no video has the class."""
    with np.errstate(invalid="ignore"):
        return np.diag(confusion) / confusion.sum(axis=1)


def mean_per_class(confusion: np.ndarray) -> float:
    """Mean accuracy of the classes that have a video, rare ones counting as much as frequent."""
    return float(np.nanmean(per_class(confusion)))


def most_confused(confusion: np.ndarray, n: int = 10) -> list[tuple[int, int, int, float]]:
    """(truth, prediction, videos, share of the truth's videos) of the n commonest mistakes.

    Most videos first, then the larger share of its class, then the lower numbers.
    """
    whole("n", n)
    videos = confusion.sum(axis=1).tolist()
    counts = ((i, j, int(confusion[i, j])) for i, j in np.argwhere(confusion).tolist() if i != j)
    pairs = [(i, j, count, count / videos[i]) for i, j, count in counts]
    return sorted(pairs, key=lambda pair: (-pair[2], -pair[3], pair[:2]))[:n]


def interval(hits: int, count: int) -> tuple[float, float]:
    """Between which accuracies the true one lies (95 %), if of `count` tries so many are hits.

    Wilson's score interval: sensible for few tries and near 0 and 1. Tries are independent, views
    of one video are not: count videos. Source: E. B. Wilson 1927; Brown, Cai and DasGupta 2001.

    >>> [round(end, 3) for end in interval(8, 10)]
    [0.49, 0.943]
    """
    whole("count", count)
    if not 0 <= hits <= count:
        raise ValueError(f"hits is {hits}, but must be 0 to count = {count}.")
    z = NormalDist().inv_cdf((1 + 0.95) / 2)
    share, weight = hits / count, z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / count + weight / count / 4) / (1 + weight)
    low = 0.0 if hits == 0 else max(middle - half, 0.0)  # exact at the ends
    high = 1.0 if hits == count else min(middle + half, 1.0)
    return low, high


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in float64."""
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def cross_entropy(views: np.ndarray, labels: np.ndarray) -> float:
    """Mean over logits (videos, views, K) of -log of the right class's probability, in nats."""

    def of_some(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
        logits = logits - logits.max(axis=-1, keepdims=True).astype(np.float64)
        own = np.take_along_axis(logits, labels[:, None, None], axis=-1)
        return np.log(np.exp(logits).sum(axis=-1)) - own[..., 0]

    losses = in_pieces(of_some, views[0].size, views, labels)  # (videos, views)
    return float(losses.sum() / losses.shape[0] / losses.shape[1])


def in_pieces(function: Callable, size: int, *arrays: np.ndarray) -> np.ndarray:
    """What a function gives for all rows, asked for a few at a time; size: numbers in a row."""
    rows = max(1, AT_ONCE // size)
    starts = range(0, len(arrays[0]), rows)
    return np.concatenate([function(*(each[i : i + rows] for each in arrays)) for i in starts])


def warnings_about(confusion: np.ndarray, names: Sequence[str], frames: str) -> list[str]:
    """What speaks against an accuracy, most of it mistakes in the set-up; frames: one of ORDERS.

    >>> warnings_about(np.array([[9, 0], [9, 0]]), "ab", "in_order")[1]
    "every video got the answer 'a': the answer does not depend on the video"
    """
    classes, videos, hits = len(confusion), int(confusion.sum()), int(np.trace(confusion))
    if classes == 1:
        return ["there is only one class: every answer is right"]
    truths, answers = confusion.sum(axis=1), confusion.sum(axis=0)
    most, chance, found = truths.argmax(), 1 / classes, []
    low, high = interval(hits, videos)
    if low <= chance:
        where = f"which with {videos:,} videos cannot be distinguished from chance"
        if high < chance:
            where = "below chance"
        if frames != "in_order":
            why = "The frames were not in order: a model that needs their order cannot work"
        else:
            why = _renaming(confusion, names) or CAUSES
        found.append(f"top-1 is {percent(hits / videos)}, {where} ({percent(chance)}). {why}")
    if (truths > 0).sum() < 2:
        return found
    if (answers > 0).sum() == 1:
        only = names[answers.argmax()]
        found.append(
            f"every video got the answer {only!r}: the answer does not depend on the video"
        )
    elif hits <= truths[most] and truths[most] > 2 * videos / classes:
        share = percent(truths[most] / videos)
        found.append(f"no better than always answering {names[most]!r} ({share} of the videos)")
    return found


def percent(share: float) -> str:
    """A share as a report shows it; "-" for nan."""
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"


def span(interval: tuple[float, float]) -> str:
    """The ends of an interval as a report shows them."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def _renaming(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Does each class go to a class of its own, only under another name?"""
    present = np.flatnonzero(confusion.sum(axis=1))
    videos, best = int(confusion.sum()), confusion[present].argmax(axis=1)
    agreed = int(confusion[present, best].sum())
    wrong = np.flatnonzero(present != best)
    one_to_one = len(set(best.tolist())) == len(present) and videos >= 5 * len(present)
    if not len(wrong) or not one_to_one or interval(agreed, videos)[0] < 0.5:
        return ""
    own, other = names[present[wrong[0]]], names[best[wrong[0]]]
    return (
        f"If classes were renamed, it would be {percent(agreed / videos)}: {own!r} is almost "
        f"always called {other!r}. Are the classes in another order, or labels shifted by one?"
    )


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels as arrays, if they fit each other."""
    scores, labels = np.asarray(scores), np.asarray(labels)
    whole_numbers = np.issubdtype(labels.dtype, np.integer)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or not whole_numbers:
        found = f"scores {scores.shape} and labels {labels.shape}, {labels.dtype}"
        raise ValueError(f"There are {found}, but must be (N, K) and whole numbers (N,).")
    last = scores.shape[1] - 1
    for row in np.flatnonzero((labels < 0) | (labels > last))[:1]:
        raise ValueError(f"The label of row {row} is {labels[row]}, but labels are 0 to {last}.")
    for row in np.flatnonzero(~np.isfinite(scores).all(axis=1))[:1]:
        raise ValueError(f"The scores of row {row} are not finite: they cannot be ranked.")
    return scores, labels.astype(np.int64)
