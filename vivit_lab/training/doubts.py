"""Reasons to doubt an accuracy, found in the confusion matrix: most are mistakes in the set-up."""

from collections.abc import Sequence

import numpy as np

from vivit_lab.training.metrics import interval

CAUSES = (
    "Usual reasons: the head was not trained (new classes, other weights); labels counted from 1; "
    "another order of the classes; pixels scaled otherwise than in training (here: -1..1)"
)


def doubts_about(
    confusion: np.ndarray, names: Sequence[str], frames: str = "in_order"
) -> list[str]:
    """Sentences on what is suspicious, the most telling first; none if nothing is.

    confusion: int (K, K), row the truth, column the prediction. names: of the classes. frames: the
    order in which the model saw them, since chance is no surprise for a model without its order.

    >>> doubts_about(np.array([[40, 2], [3, 45]]), ["run", "jump"])
    []
    >>> print(doubts_about(np.array([[0, 9, 0], [0, 0, 9], [9, 0, 0]]), list("abc"))[0])
    top-1 is 0.0 %, below chance (33.3 %). 100.0 % of the predictions are the label + 1: are the \
labels, or the classes, shifted by one?
    """
    classes, videos, hits = len(confusion), int(confusion.sum()), int(np.trace(confusion))
    if classes == 1:
        return ["there is but one class: every answer is right"]
    found = []
    low, high = interval(hits, videos)
    chance = 1 / classes
    if low <= chance:
        where = f"which {videos:,} videos cannot tell from chance"
        if high < chance:
            where = "below chance"
        if frames != "in_order":
            why = "The frames were not in order: a model that needs their order is lost"
        else:
            why = _shift(confusion) or _renaming(confusion, names) or CAUSES
        found.append(f"top-1 is {_percent(hits / videos)}, {where} ({_percent(chance)}). {why}")
    return found + _one_for_all(confusion, names)


def _shift(confusion: np.ndarray) -> str:
    """Do the predictions lie one beside the labels?"""
    videos, chance = int(confusion.sum()), 1 / len(confusion)
    for shift in (1, -1):
        moved = int(np.trace(np.roll(confusion, -shift, axis=1)))
        if len(confusion) > 2 and interval(moved, videos)[0] > 2 * chance:
            return (
                f"{_percent(moved / videos)} of the predictions are the label "
                f"{'+' if shift > 0 else '-'} 1: are the labels, or the classes, shifted by one?"
            )
    return ""


def _renaming(confusion: np.ndarray, names: Sequence[str]) -> str:
    """Does each class go to a class of its own, only under another name?"""
    present = np.flatnonzero(confusion.sum(axis=1))
    videos, best = int(confusion.sum()), confusion[present].argmax(axis=1)
    agreed = int(confusion[present, best].sum())
    if (
        len(set(best.tolist())) < len(present)
        or videos < 5 * len(present)
        or interval(agreed, videos)[0] < 0.5
    ):
        return ""
    wrong = [place for place, other in zip(present, best, strict=True) if place != other]
    if not wrong:
        return ""
    here, other = names[wrong[0]], names[confusion[wrong[0]].argmax()]
    return (
        f"If classes were renamed, it would be {_percent(agreed / videos)}: {here!r} is "
        f"almost always called {other!r}. Are the classes in another order?"
    )


def _one_for_all(confusion: np.ndarray, names: Sequence[str]) -> list[str]:
    """Is one class the answer to everything, or would that be as good?"""
    videos, truths, answers = confusion.sum(), confusion.sum(axis=1), confusion.sum(axis=0)
    if (truths > 0).sum() < 2:
        return []
    if (answers > 0).sum() == 1:
        return [f"every video was taken for {names[answers.argmax()]!r}: the model does not look"]
    most = truths.argmax()
    if np.trace(confusion) <= truths[most] and truths[most] > 2 * videos / len(confusion):
        return [
            f"no better than always answering {names[most]!r} ({_percent(truths[most] / videos)} "
            "of the videos)"
        ]
    return []


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
