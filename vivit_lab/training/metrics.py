"""Accuracy and its kin: plain functions of scores and labels, each short enough to check by hand.

Scores are float (N, K): one row a video (or a view), one column a class, higher is likelier.
Labels are whole numbers (N,), 0 to K - 1. What the scores are (logits, probabilities) is the same
to all of them. Where two classes have equal scores, the one with the lower number comes first, as
in argmax: so accuracy, rank and confusion matrix always speak of the same prediction.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from vivit_lab.errors import whole

PAIRS_AT_ONCE = 4_000_000  # of verb and noun, held in memory together


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the right one: int64 (N,); 0 is a hit, below 5 is a top-5 hit.

    Raises ValueError for shapes that do not fit, labels out of range, scores that are not finite.

    >>> ranks(np.array([[0.1, 0.7, 0.2], [0.4, 0.2, 0.4]]), np.array([2, 2]))
    array([1, 1])
    """
    scores, labels = checked(scores, labels)
    own = np.take_along_axis(scores, labels[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


def pair_ranks(
    first: np.ndarray, second: np.ndarray, labels: np.ndarray, second_labels: np.ndarray
) -> np.ndarray:
    """How many pairs of classes come before the right pair, as in verb and noun: int64 (N,).

    first (N, K), second (N, L): probabilities of two heads; a pair's score is their product. Where
    products are equal, the pair whose first class ranks higher comes first, then the second. So
    rank 0 is exactly: both heads are right. Memory: some rows at a time.

    Raises ValueError as `ranks` does. Source: the official code for EPIC-Kitchens (outer product
    of the two softmaxes).

    >>> verb, noun = np.array([[0.6, 0.4]]), np.array([[0.5, 0.3, 0.2]])
    >>> pair_ranks(verb, noun, np.array([1]), np.array([0]))  # after 0.30, and before 0.18
    array([1])
    """
    first, labels = checked(first, labels)
    second, second_labels = checked(second, second_labels)
    if len(first) != len(second):
        raise ValueError(
            f"The heads have {len(first)} and {len(second)} rows, but must have equal."
        )
    places = ranks(first, labels), ranks(second, second_labels)
    first, second = (-np.sort(-each, axis=1) for each in (first, second))  # best class first
    rows = max(1, PAIRS_AT_ONCE // (first.shape[1] * second.shape[1]))
    found = np.empty(len(first), np.int64)
    for start in range(0, len(first), rows):
        here = slice(start, start + rows)
        products = first[here, :, None] * second[here, None, :]
        flat = products.reshape(len(products), -1)
        found[here] = ranks(flat, places[0][here] * second.shape[1] + places[1][here])
    return found


def accuracy(ranks: np.ndarray, k: int = 1) -> float:
    """Share of the rows whose right class is among the best k: 0..1.

    Raises ValueError for no rows, or k below 1.

    >>> accuracy(np.array([0, 3, 0, 7]), k=5)
    0.75
    """
    whole("k", k)
    if not len(ranks):
        raise ValueError("There is nothing to take the accuracy of: no rows.")
    return float((np.asarray(ranks) < k).mean())


def confusion(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How often each class was taken for each: int64 (K, K), row the truth, column the prediction.

    Raises ValueError as `ranks` does.

    >>> confusion(np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]), np.array([0, 1, 1]))
    array([[1, 0],
           [1, 1]])
    """
    scores, labels = checked(scores, labels)
    classes = scores.shape[1]
    cells = labels * classes + scores.argmax(axis=1)
    return np.bincount(cells, minlength=classes**2).reshape(classes, classes)


def per_class(confusion: np.ndarray) -> np.ndarray:
    """Accuracy within each class: float (K,); nan where no video has the class.

    >>> per_class(np.array([[3, 1, 0], [0, 0, 0], [1, 0, 1]]))
    array([0.75,  nan, 0.5 ])
    """
    counts = confusion.sum(axis=1)
    share = np.full(len(confusion), math.nan)
    return np.divide(np.diag(confusion), counts, out=share, where=counts > 0)


def mean_per_class(confusion: np.ndarray) -> float:
    """Mean accuracy of the classes, rare ones counting as much as frequent ones: 0..1.

    Over the classes that have a video; nan if none has.

    >>> mean_per_class(np.array([[3, 1, 0], [0, 0, 0], [1, 0, 1]]))
    0.625
    """
    share = per_class(confusion)
    present = share[~np.isnan(share)]
    return float(present.mean()) if len(present) else math.nan


@dataclass(frozen=True)
class Confused:
    """One class taken for another.

    >>> Confused(truth=3, prediction=7, count=5, share=0.25).share
    0.25
    """

    truth: int
    prediction: int
    count: int  # of videos
    share: float  # of the videos of the true class


def most_confused(confusion: np.ndarray, n: int = 10) -> list[Confused]:
    """The n pairs of classes that are mistaken most often, most videos first; fewer if there are.

    Of pairs with equally many videos the one with the larger share of its class comes first, then
    the one of lower numbers. Raises ValueError for n below 1.

    >>> most_confused(np.array([[3, 1], [2, 4]]), n=1)
    [Confused(truth=1, prediction=0, count=2, share=0.3333333333333333)]
    """
    whole("n", n)
    counts = confusion.sum(axis=1)
    pairs = [
        Confused(int(i), int(j), int(confusion[i, j]), float(confusion[i, j] / counts[i]))
        for i, j in np.argwhere(confusion)
        if i != j
    ]
    return sorted(pairs, key=lambda p: (-p.count, -p.share, p.truth, p.prediction))[:n]


def interval(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Between which accuracies the true one lies, if so many of `count` independent tries are hits.

    Wilson's score interval: sensible for few tries and near 0 and 1, where the usual plus-minus is
    not. Views of one video are not independent: count videos. Raises ValueError for illegal counts.

    Source: E. B. Wilson 1927; Brown, Cai and DasGupta 2001.

    >>> [round(end, 3) for end in interval(8, 10)]
    [0.49, 0.943]
    """
    whole("count", count)
    whole("hits", hits, least=0)
    if hits > count:
        raise ValueError(f"hits is {hits}, but must be at most count = {count}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}, but must lie between 0 and 1: 0.95.")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = hits / count, z * z / count
    middle = (share + weight / 2) / (1 + weight)
    half = z * math.sqrt(share * (1 - share) / count + weight / count / 4) / (1 + weight)
    low = 0.0 if hits == 0 else max(middle - half, 0.0)  # exact at the ends
    high = 1.0 if hits == count else min(middle + half, 1.0)
    return low, high


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in float64.

    >>> softmax(np.array([0.0, math.log(3)])).round(6)
    array([0.25, 0.75])
    """
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels as arrays, if they fit each other.

    >>> checked([[0.5, 0.5]], [2])
    Traceback (most recent call last):
    ValueError: The label of row 0 is 2, but with 2 classes labels run from 0 to 1.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise ValueError(
            f"scores have shape {scores.shape} and labels {labels.shape}, but must have (N, K) "
            "and (N,)."
        )
    if labels.size and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels are {labels.dtype}, but must be whole numbers.")
    labels = labels.astype(np.int64)
    wrong = np.flatnonzero((labels < 0) | (labels >= scores.shape[1]))
    if len(wrong):
        raise ValueError(
            f"The label of row {wrong[0]} is {labels[wrong[0]]}, but with {scores.shape[1]} "
            f"classes labels run from 0 to {scores.shape[1] - 1}."
        )
    broken = np.flatnonzero(~np.isfinite(scores).all(axis=1))
    if len(broken):
        raise ValueError(f"The scores of row {broken[0]} are not finite: nothing ranks them.")
    return scores, labels
