"""What the explorers of notebook 08 ask of an evaluation; what was worked out once is kept."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vivit_lab.data.samples import ASSETS
from vivit_lab.errors import one_of
from vivit_lab.training.metrics import softmax
from vivit_lab.training.results import Evaluation, PairResult, load_evaluation

STORED = ASSETS / "scores" / "long_videos.npz"  # what assets/score_views.py makes
LISTS = {  # which videos to look at; "these" are the views that are switched on
    "all videos": "all videos",
    "wrong with 1 view, right with these": "mended",
    "right with 1 view, wrong with these": "spoilt",
    "wrong with these": "wrong",
    "softmax right, logits wrong": "softmax",
    "logits right, softmax wrong": "logits",
}
OTHER_WAY = {"softmax": "logits", "logits": "softmax"}


class Point(NamedTuple):
    """Accuracy with so many views."""

    views: int
    top1: float
    interval: tuple[float, float]  # 95 %


class Answers:
    """An evaluation, asked for any views, average and head.

    result: with scores of at least one view; None: the stored one of 800 long videos.

    Raises FileNotFoundError where there is none, ValueError for a head that it lacks.

    Example:
        >>> answers = Answers()
        >>> answers.heads, answers.scores.view_text
        (('verb', 'noun', 'action'), '4 clips x 3 crops = 12 views')
    """

    def __init__(self, result: Evaluation | None = None):
        result = load_evaluation(STORED) if result is None else result
        self.scores = result.scores
        pair = () if result.pair is None else (result.pair.name,)
        self.heads = (*result.heads, *pair)
        self.one = tuple(self.scores.spread(1))  # the middle crop of the middle clip
        self.clips, self.crops = (
            sorted({place[axis] for place in self.scores.places}) for axis in (0, 1)
        )
        self.places = [  # (row, column) of each view in a picture
            (self.clips.index(clip), self.crops.index(crop)) for clip, crop in self.scores.places
        ]
        self.of = functools.lru_cache(maxsize=128)(self._of)
        self.curve = functools.lru_cache(maxsize=32)(self._curve)

    def _of(self, views: tuple[int, ...], average: str) -> Evaluation:
        """The evaluation that these views, by number, give."""
        return Evaluation(self.scores.select(views), average)

    def _curve(self, average: str, head: str) -> list[Point]:
        """Accuracy with 1, 2, ... views, those that see most of a video first."""
        found = []
        for n in range(1, self.scores.views + 1):
            result = self.of(tuple(self.scores.spread(n)), average)[head]
            found.append(Point(n, result.top1, result.interval))
        return found

    def right(self, views: Sequence[int], average: str, head: str) -> np.ndarray:
        """Which videos are right: bool (videos,)."""
        return self.of(tuple(views), average)[head].ranks == 0

    def alone(self, head: str) -> np.ndarray:
        """Accuracy of each view on its own: float (views,)."""
        result = self.of(tuple(range(self.scores.views)), "softmax")[head]
        if isinstance(result, PairResult):
            ranks = np.maximum(result.first.view_ranks, result.second.view_ranks)
        else:
            ranks = result.view_ranks
        return (ranks == 0).mean(axis=0)

    def listed(self, which: str, views: Sequence[int], average: str, head: str) -> np.ndarray:
        """The videos of one of LISTS, by row of the scores: int (n,), maybe none.

        which: a value of LISTS. Raises ValueError for another.

        Example:
            >>> answers = Answers()
            >>> len(answers.listed("mended", answers.one, "softmax", "verb"))
            0
        """
        one_of("which", which, LISTS.values())
        right = self.right(views, average, head)
        if which in OTHER_WAY:
            first = self.right(views, which, head)
            chosen = first & ~self.right(views, OTHER_WAY[which], head)
        else:
            one = self.right(self.one, average, head)
            chosen = {
                "all videos": np.ones_like(right),
                "mended": right & ~one,
                "spoilt": one & ~right,
                "wrong": ~right,
            }[which]
        return np.flatnonzero(chosen)

    def parts(self, head: str) -> tuple[str, ...]:
        """The heads that make a head: of the pair both, else itself."""
        return (head,) if head in self.scores.logits else tuple(self.scores.logits)

    def view_scores(self, video: int, head: str, average: str) -> np.ndarray:
        """What is averaged, of one video: probabilities or logits, float (views, classes)."""
        logits = self.scores.logits[head][video].astype(np.float64)
        return softmax(logits) if average == "softmax" else logits

    def name(self, head: str, number: int) -> str:
        """What a class is called."""
        names = self.scores.class_names[head]
        return names[number] if names else f"class {number}"


def checked_grid(answers: Answers, clips: int, crops: int) -> None:
    """Raise ValueError unless the views are a grid that is small enough to be drawn.

    Example:
        >>> checked_grid(Answers(), clips=4, crops=3)
    """
    rows, across = len(answers.clips), len(answers.crops)
    if answers.scores.views != rows * across:
        raise ValueError(f"The {answers.scores.views} views are not all crops of all clips.")
    if rows > clips or across not in (1, crops):
        raise ValueError(
            f"The evaluation has {rows} clips x {across} crops, but at most {clips} x {crops} can "
            f"be drawn, or {clips} x 1: result.with_views([...]) takes fewer."
        )
