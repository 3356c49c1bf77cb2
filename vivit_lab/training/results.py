"""What a model said of every view of every video, and all that may be asked of it afterwards.

Other averages, fewer views, other measures: none of them needs the model again.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vivit_lab.analysis.flops import in_units
from vivit_lab.data.catalog import plural
from vivit_lab.errors import one_of, takes_plain, whole
from vivit_lab.io import npz_path, read_npz, write_atomically, write_npz
from vivit_lab.tables import Tabular, as_html, as_text
from vivit_lab.training import metrics
from vivit_lab.training.metrics import percent, softmax, span

AVERAGES = {
    "softmax": "softmax averaged over the views (the paper's description, SlowFast)",
    "logits": "logits averaged over the views (the official code)",
}
ORDERS = {  # of the frames of a clip
    "in_order": "frames in order",
    "shuffled": "frames shuffled, each view in its own way",
    "reversed": "frames backwards",
    "middle": "the middle frame alone, repeated",
}
NO_LABELS = (
    "{} has no labels: there is no accuracy to compute. score_views(model, data).average() gives "
    "the model's answers for each video."
)
ONLY = "class"  # what the head is called where the model has but one
ABOUT, FORMAT_VERSION = "vivit_lab_scores", 1  # the entry of the file that is no array: JSON
SHOWN = 5  # files in a report, before "and so many more"


@takes_plain
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
    frames: str = "in_order"  # one of ORDERS
    seed: int = 0  # of the order, where it is drawn
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class ViewScores:
    """Logits of every view, with names and labels. Raises ValueError where these do not fit.

    >>> logits = np.zeros((5, 2, 3), np.float32)
    >>> origin = Origin("a toy", "", None, "made up", listed=5)
    >>> scores = ViewScores({"class": logits}, None, np.arange(5), tuple("abcde"),
    ...                     {"class": None}, ((0, 0), (1, 0)), origin)
    >>> print(scores)
    5 videos x (2 clips x 1 crop = 2 views) x 3 classes, a toy on made up
    """

    logits: Mapping[str, np.ndarray]  # head -> float32 (videos, views, K); the only head: "class"
    labels: Mapping[str, np.ndarray] | None  # head -> int64 (videos,); None: the data have none
    numbers: np.ndarray  # int64 (videos,), which sample of the data set each row is
    names: tuple[str, ...]  # of the videos
    class_names: Mapping[str, tuple[str, ...] | None]  # head -> in the order of the logits
    places: tuple[tuple[int, int], ...]  # (clip, crop) of each view, both from 0
    origin: Origin

    def __post_init__(self) -> None:
        shape, labels = (self.videos, self.views), self.labels or {}
        shapes = [each.shape for each in self.logits.values()]
        fit = all(len(each) == 3 and each[:2] == shape for each in shapes)
        fit = fit and labels.keys() <= self.logits.keys()
        fit = fit and all(each.shape == shape[:1] for each in labels.values())
        if not fit or not len(set(self.numbers.tolist())) == len(self.numbers) == self.videos:
            raise ValueError(
                f"logits of shape {shapes}, their labels, {len(self.numbers)} numbers (no two the "
                f"same), {self.videos} names and {self.views} views do not fit each other."
            )

    @property
    def videos(self) -> int:
        return len(self.names)

    @property
    def views(self) -> int:
        return len(self.places)

    @property
    def view_text(self) -> str:
        """The views in words, "4 clips x 3 crops = 12 views"."""
        return view_text(self.places)

    def __repr__(self) -> str:
        heads = self.logits.items()
        classes = ", ".join(f"{each.shape[2]} {prefix(head)}classes" for head, each in heads)
        about = f"{self.origin.model} on {self.origin.data}"
        return f"{self.videos:,} videos x ({self.view_text}) x {classes}, {about}"

    def average(self, average: str = "softmax") -> dict[str, np.ndarray]:
        """Scores of the videos, averaged over their views: head -> float64 (videos, classes).

        average: "softmax" averages probabilities, as the paper describes it; "logits" averages
        logits, as the official code does: there one very sure view decides. Else ValueError.
        """
        one_of("average", average, AVERAGES)

        def of_some(views: np.ndarray) -> np.ndarray:
            return (softmax(views) if average == "softmax" else views.astype(float)).mean(axis=1)

        heads = self.logits.items()
        return {head: metrics.in_pieces(of_some, each[0].size, each) for head, each in heads}

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

        The views of n - 1 are among them, so that accuracy over n is one curve. ValueError: n.
        """
        whole("n", n)
        if n > self.views:
            raise ValueError(f"n is {n}, but there are {self.views} views.")
        clips = _far_apart(sorted({clip for clip, _ in self.places}))
        crops = sorted({crop for _, crop in self.places})
        crops.insert(0, crops.pop(len(crops) // 2))  # the middle one first
        order = [(clip, crop) for crop in crops for clip in clips if (clip, crop) in self.places]
        return sorted(self.places.index(place) for place in order[:n])

    def save(self, file: str | Path) -> None:
        """Write everything into one .npz file; it appears complete or not at all.

        A video of 12 views and 400 classes takes 19 kB. Raises ValueError for another suffix,
        OSError if it cannot be written.
        """
        about = {
            "format_version": FORMAT_VERSION,
            "heads": list(self.logits),
            "names": self.names,
            "class_names": self.class_names,
            "places": self.places,
            "origin": dataclasses.asdict(self.origin),
        }
        arrays = {"numbers": self.numbers}
        arrays |= {f"logits.{head}": each for head, each in self.logits.items()}
        arrays |= {f"labels.{head}": each for head, each in (self.labels or {}).items()}
        write_npz(npz_path(file, "scores"), ABOUT, about, arrays, compressed=False)


def load_scores(file: str | Path) -> ViewScores:
    """What `ViewScores.save` wrote. Raises FileNotFoundError, or ValueError for any other file.

    >>> load_scores("nowhere.npz")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'nowhere.npz'.
    """
    about, arrays = read_npz(file, ABOUT, "scores", version=FORMAT_VERSION)
    try:
        heads, origin = about["heads"], about["origin"]
        labels = {h: arrays[f"labels.{h}"] for h in heads if f"labels.{h}" in arrays}
        names = about["class_names"]
        return ViewScores(
            logits={head: arrays[f"logits.{head}"] for head in heads},
            labels=labels or None,
            numbers=arrays["numbers"],
            names=tuple(about["names"]),
            class_names={head: each and tuple(each) for head, each in names.items()},
            places=tuple((clip, crop) for clip, crop in about["places"]),
            origin=Origin(**{k: tuple(v) if isinstance(v, list) else v for k, v in origin.items()}),
        )
    except (KeyError, TypeError, ValueError) as reason:
        raise ValueError(f"{str(file)!r} holds scores that do not fit together: {reason}") from None


def prefix(head: str) -> str:
    """A head's name before another word; nothing for the only one."""
    return "" if head == ONLY else f"{head} "


def view_text(places: Sequence[tuple[int, int]]) -> str:
    """Views in words: as clips x crops where every clip has the same crops."""
    clips, crops = ({place[axis] for place in places} for axis in (0, 1))
    views = plural(len(places), "view")
    grid = f"{plural(len(clips), 'clip')} x {plural(len(crops), 'crop')} = {views}"
    return grid if len(places) == len(clips) * len(crops) else views


class _Result:
    """What one head, a pair of heads and an evaluation have in common.

    right: bool (videos,). ranks, view_ranks: how many classes come before the right one: (videos,),
    (videos, views).
    """

    @property
    def top1(self) -> float:
        """Share of the videos whose best class is right; of two heads: both."""
        return float(self.right.mean())

    @property
    def top5(self) -> float:
        """Share of the videos whose class (or pair) is among the best five."""
        return metrics.accuracy(self.ranks, 5)

    @property
    def interval(self) -> tuple[float, float]:
        """Where top-1 would lie, with 95 % confidence, on ever more such videos (Wilson)."""
        return metrics.interval(int(self.right.sum()), len(self.right))

    @property
    def view_top1(self) -> float:
        """Share of the views, each on its own, whose best class is right."""
        return metrics.accuracy(self.view_ranks)


@dataclass(eq=False, repr=False)
class HeadResult(_Result):
    """Accuracy of one head, of videos (views averaged) and of views (each on its own)."""

    name: str
    averaged: np.ndarray  # float (videos, K)
    views: np.ndarray  # logits (videos, views, K)
    labels: np.ndarray  # (videos,)
    class_names: Sequence[str] | None

    def __post_init__(self) -> None:
        self.classes = self.averaged.shape[1]
        self.chance = 1 / self.classes
        self.class_names = self.class_names or [f"class {k}" for k in range(self.classes)]
        self.ranks = metrics.ranks(self.averaged, self.labels)
        self.right = self.ranks == 0

    @cached_property
    def view_ranks(self) -> np.ndarray:
        videos, views, classes = self.views.shape
        labels = np.repeat(self.labels, views)
        return metrics.ranks(self.views.reshape(-1, classes), labels).reshape(videos, views)

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
        pairs, names = metrics.most_confused(self.confusion, n), self.class_names
        return [(names[truth], names[answer], *figures) for truth, answer, *figures in pairs]

    def by_class(self, n: int = 10) -> "ByClass":
        """The n worst classes and the n commonest mistakes, to be printed: text, or HTML.

        >>> head = HeadResult("class", np.eye(2)[[0, 1, 1]], np.eye(2)[[0, 1, 1]][:, None],
        ...                   np.array([0, 0, 1]), ["run", "jump"])
        >>> head.by_class(1)
        class  videos   top-1
        run         2  50.0 %
        ... and 1 class more, of at least 100.0 %
        Most often confused:
          run answered as jump: 1 video, 50.0 % of the class
        """
        whole("n", n)
        return ByClass(self, n)


@dataclass(frozen=True, repr=False)
class ByClass(Tabular):
    """Classes, the worst first, and what they are taken for."""

    head: HeadResult
    n: int  # rows at most

    def _table(self) -> tuple:
        head, n = self.head, self.n
        counts, shares = head.confusion.sum(axis=1), head.per_class
        order = np.lexsort((-counts, shares))[: np.count_nonzero(counts)]  # nan comes last
        rows = [(f"{prefix(head.name)}class", "videos", "top-1")]
        rows += [(head.class_names[k], f"{counts[k]:,}", percent(shares[k])) for k in order[:n]]
        below = []
        if more := len(order) - n > 0 and plural(len(order) - n, "class"):
            below.append(f"... and {more} more, of at least {percent(shares[order[n]])}")
        if mistakes := head.most_confused(head.classes**2):
            below.append("Most often confused:")
        for truth, answer, count, share in mistakes[:n]:
            what = f"{plural(count, 'video')}, {percent(share)} of the class"
            below.append(f"  {truth} answered as {answer}: {what}")
        if len(mistakes) > n:
            below.append(f"  ... and {plural(len(mistakes) - n, 'pair')} more")
        return rows, "lr", (), below


class PairResult(_Result):
    """Both heads at once: a video is right if verb and noun are, the action.

    A pair's score is the product of the two heads' probabilities.
    """

    def __init__(self, first: HeadResult, second: HeadResult, average: str):
        names = {first.name, second.name}
        self.name = "action" if names == {"verb", "noun"} else f"{first.name} and {second.name}"
        self.first, self.second, self.average = first, second, average
        self.classes = first.classes * second.classes
        self.chance = first.chance * second.chance
        self.right = first.right & second.right

    @cached_property
    def ranks(self) -> np.ndarray:
        heads = self.first.averaged, self.second.averaged
        if self.average == "logits":
            heads = map(softmax, heads)
        return metrics.pair_ranks(*heads, self.first.labels, self.second.labels)

    @property
    def view_ranks(self) -> np.ndarray:
        """0 where both heads are right."""
        return np.maximum(self.first.view_ranks, self.second.view_ranks)


class ViewCount(NamedTuple):
    """Accuracy with so many views of each video, and what they cost.

    >>> print(ViewCount(3, (0, 1, 2), 0.75, (0.5, 0.9), 3 * 10**9))
    3 views: 75.0 % (50.0 to 90.0 %) for 3.00 GMACs a video
    """

    count: int
    views: tuple[int, ...]  # which they are, by number
    top1: float
    interval: tuple[float, float]  # 95 %
    macs: int | None  # of one video; None: unknown

    def __str__(self) -> str:
        accuracy = f"{percent(self.top1)} ({span(self.interval)})"
        return f"{plural(self.count, 'view')}: {accuracy} for {_cost(self.macs, 1)} a video"


class Evaluation(_Result):
    """What scores say: printed, or at the end of a notebook cell, it is a table.

    `result["verb"]` is one head's HeadResult (.top1, .per_class, .confusion, ...); of verb and noun
    `result["action"]` is the pair. Shares are 0..1. Raises ValueError for scores without labels.

    >>> logits = np.log([[[0.6, 0.4], [0.3, 0.7]], [[0.2, 0.8], [0.1, 0.9]]]).astype(np.float32)
    >>> scores = ViewScores({"class": logits}, {"class": np.array([1, 1])}, np.arange(2),
    ...                     ("a", "b"), {"class": None}, ((0, 0), (1, 0)),
    ...                     Origin("a toy", "", 10, "made up", 2))
    >>> result = Evaluation(scores)
    >>> result.top1, result.view_top1
    (1.0, 0.75)
    """

    def __init__(self, scores: ViewScores, average: str = "softmax"):
        one_of("average", average, AVERAGES)
        if scores.labels is None:
            raise ValueError(NO_LABELS.format(scores.origin.data))
        self.scores, self.average = scores, average
        averaged, names = scores.average(average), scores.class_names
        self.heads = {
            head: HeadResult(head, averaged[head], logits, scores.labels[head], names[head])
            for head, logits in scores.logits.items()
        }
        self.pair = PairResult(*self.heads.values(), average) if len(self.heads) == 2 else None

    @property
    def results(self) -> dict[str, HeadResult | PairResult]:
        """Of each head, and of the pair if there are two."""
        return self.heads if self.pair is None else {**self.heads, self.pair.name: self.pair}

    def __getitem__(self, head: str) -> HeadResult | PairResult:
        one_of("head", head, self.results)
        return self.results[head]

    @property
    def main(self) -> HeadResult | PairResult:
        """The result that counts: the pair's (action) if there are two heads, else the first's."""
        return self.pair or next(iter(self.heads.values()))

    right = property(lambda self: self.main.right)
    ranks = property(lambda self: self.main.ranks)
    view_ranks = property(lambda self: self.main.view_ranks)

    @cached_property
    def loss(self) -> float:
        """Cross-entropy of single views, in nats, the mean of the heads."""
        losses = [metrics.cross_entropy(head.views, head.labels) for head in self.heads.values()]
        return sum(losses) / len(losses)

    @property
    def per_class(self) -> np.ndarray | dict[str, np.ndarray]:
        """Accuracy within each class, float (K,), nan where no video has it; by head if several."""
        return self._of_heads("per_class")

    @property
    def confusion(self) -> np.ndarray | dict[str, np.ndarray]:
        """int64 (K, K), row the truth, column the prediction; by head if there are several."""
        return self._of_heads("confusion")

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one view; None if unknown."""
        return self.scores.origin.macs

    @property
    def warnings(self) -> list[str]:
        """What speaks against the figures: near chance, one class for all, and likely reasons."""
        frames = self.scores.origin.frames
        return [
            line if name == ONLY else f"{name}: {line}"
            for name, head in self.heads.items()
            for line in metrics.warnings_about(head.confusion, head.class_names, frames)
        ]

    def most_confused(self, n: int = 10) -> list[tuple[str, str, int, float]]:
        """As `HeadResult.most_confused`, of the first head."""
        return next(iter(self.heads.values())).most_confused(n)

    def with_views(self, views: Sequence[int]) -> "Evaluation":
        """The evaluation that only these views (by number) would have given: no model needed."""
        return Evaluation(self.scores.select(views), self.average)

    def by_views(self) -> list[ViewCount]:
        """Accuracy against cost: for each number of views those that lie farthest apart."""
        found = []
        for n in range(1, self.scores.views + 1):
            fewer = self.with_views(views := self.scores.spread(n))
            macs = self.macs and self.macs * n
            found.append(ViewCount(n, tuple(views), fewer.top1, fewer.interval, macs))
        return found

    def save(self, file: str | Path) -> None:
        """Keep the scores of every view (.npz); `load_evaluation` brings them back."""
        self.scores.save(file)

    def save_report(self, file: str | Path) -> None:
        """Write `to_dict()` as JSON; the file appears complete or not at all."""
        write_atomically(file, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    def report(self) -> str:
        """The table as text: accuracy, videos and cost side by side, then what to know."""
        return as_text(self._rows(), "lr", [*self._heading(), ""], ["", *self._remarks()])

    __str__ = __repr__ = report

    def _repr_html_(self) -> str:
        return as_html(self._rows(), "lr", self._heading(), list(self._remarks()))

    def to_dict(self) -> dict:
        """All figures, as JSON can hold them; scores and confusion matrices stay out."""
        scores, origin = self.scores, self.scores.origin
        return {
            **{name: getattr(origin, name) for name in ("model", "data", "clips")},
            "average": self.average,
            "views": {"count": scores.views, "text": scores.view_text},
            **{name: getattr(origin, name) for name in ("frames", "seed")},
            **{name: getattr(self, name) for name in ("top1", "top5", "view_top1")},
            "interval": list(self.interval),
            "loss": self.loss,
            "videos": {
                "listed": origin.listed,
                "evaluated": scores.videos,
                "absent": list(origin.absent),
                "unreadable": list(origin.unreadable),
                "not_evaluated": origin.listed - scores.videos,
                "top1_if_others_are_wrong": self.top1 * scores.videos / origin.listed,
            },
            "macs": {"view": self.macs, "video": self.macs and self.macs * scores.views},
            "heads": {name: _result_dict(result) for name, result in self.results.items()},
            "warnings": self.warnings,
            "notes": list(origin.notes),
        }

    def _of_heads(self, what: str) -> np.ndarray | dict[str, np.ndarray]:
        found = {name: getattr(head, what) for name, head in self.heads.items()}
        return found if len(found) > 1 else next(iter(found.values()))

    def _heading(self) -> list[str]:
        scores, origin = self.scores, self.scores.origin
        return [
            f"{origin.model}, on {origin.data}",
            f"{scores.view_text} · {AVERAGES[self.average]} · {ORDERS[origin.frames]}",
            *([f"each clip: {origin.clips}"] if origin.clips else []),
            *(f"WARNING: {line}" for line in self.warnings),
        ]

    def _rows(self) -> list[tuple[str, ...]]:
        """Of the table: a video, a clip on its own, and chance, for each head."""
        rows = [("", "top-1", "95 % interval", "top-5", "mean of classes", "over", "cost of each")]
        count, views = self.scores.videos, self.scores.views
        for result in self.results.values():
            head, pair = f"{result.name}, " * (len(self.heads) > 1), result is self.pair
            five = result.classes > 5  # else the best five are all there are
            name = f"{head}{'video (all views)' if views > 1 else 'clip (one view)'}"
            top1, between, top5 = percent(result.top1), span(result.interval), percent(result.top5)
            mean = "" if pair else percent(result.mean_per_class)
            over, cost = plural(count, "video"), _cost(self.macs, views)
            rows.append((name, top1, between, top5 if five else "", mean, over, cost))
            if views > 1:
                name, top1 = f"{head}clip (each view)", percent(result.view_top1)
                top5 = percent(result.view_top5) if five and not pair else ""
                over, cost = f"{count * views:,} views", _cost(self.macs, 1)
                rows.append((name, top1, "", top5, "", over, cost))
            top5 = percent(min(5 * result.chance, 1)) if five else ""
            rows.append((f"{head}chance", percent(result.chance), "", top5, "", "", ""))
        return rows

    def _remarks(self) -> Iterator[str]:
        scores, origin = self.scores, self.scores.origin
        if lost := origin.listed - scores.videos:
            kinds = {"not there": origin.absent, "unreadable": origin.unreadable}
            counts = {kind: len(names) for kind, names in kinds.items()}
            counts["not yet evaluated"] = lost - sum(counts.values())
            reasons = [f"{count:,} {kind}" for kind, count in counts.items() if count > 0]
            yield (
                f"Videos: {origin.listed:,} listed, {scores.videos:,} evaluated; "
                f"{', '.join(reasons)}. The figures count those evaluated; with the others "
                f"counted as wrong, top-1 is {percent(self.top1 * scores.videos / origin.listed)}."
            )
            for kind, names in kinds.items():
                yield from (f"  {kind}: {name}" for name in names[:SHOWN])
                if len(names) > SHOWN:
                    yield f"  ... and {len(names) - SHOWN:,} more {kind}"
        else:
            yield f"Videos: all {origin.listed:,} that the data set lists were evaluated."
        for name, head in self.heads.items():
            if count := int(np.isnan(head.per_class).sum()):
                empty = f"{count:,} of the {head.classes:,} {prefix(name)}classes have no video"
                yield f"{empty}: the mean over classes leaves them out."
        if origin.macs is not None:
            yield "1 MAC = 2 FLOPs; what the paper's tables call GFLOPs are the GMACs of one view."
        yield from (f"Note: {note}." for note in origin.notes)


def load_evaluation(file: str | Path, average: str = "softmax") -> Evaluation:
    """The evaluation of saved scores, averaged either way. Raises as `load_scores`.

    >>> load_evaluation("nowhere.npz")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'nowhere.npz'.
    """
    return Evaluation(load_scores(file), average)


def _result_dict(result: HeadResult | PairResult) -> dict:
    figures = "classes", "chance", "top1", "interval", "top5", "view_top1"
    found = {name: getattr(result, name) for name in figures}
    found["interval"] = list(result.interval)
    if isinstance(result, PairResult):
        return found
    counts, shares = result.confusion.sum(axis=1).tolist(), result.per_class.tolist()
    return {
        **found,
        "view_top5": result.view_top5,
        "mean_per_class": result.mean_per_class,
        "per_class": [
            {"name": name, "videos": count, "top1": share if count else None}
            for name, count, share in zip(result.class_names, counts, shares, strict=True)
        ],
        "most_confused": [list(pair) for pair in result.most_confused(20)],
    }


def _far_apart(clips: Sequence[int]) -> list[int]:
    """All clips, each as far as can be from those before it, from the middle on."""
    left = list(clips)
    order = [left.pop((len(left) - 1) // 2)]
    while left:
        order.append(max(left, key=lambda clip: min(abs(clip - other) for other in order)))
        left.remove(order[-1])
    return order


def _cost(macs: int | None, views: int) -> str:
    if macs is None:
        return "unknown"
    each = in_units(macs)
    return f"{each}MACs" if views == 1 else f"{in_units(macs * views)}MACs ({views} x {each})"
