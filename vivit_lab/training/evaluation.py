"""How good a model is: the paper's multi-view evaluation, and all that may be asked of its result.

A video is seen in several views (paper: 4 clips x 3 crops), the views' scores are averaged, and
the class that then leads is the answer.
"""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from torch import nn
from torch.utils.data import Dataset

from vivit_lab.errors import one_of
from vivit_lab.io import write_atomically
from vivit_lab.training.evaluation_report import ViewCount, as_dict, as_html, as_text
from vivit_lab.training.head_result import HeadResult, PairResult, cross_entropy
from vivit_lab.training.scoring import score_views
from vivit_lab.training.scoring_data import check_labelled
from vivit_lab.training.view_scores import AVERAGES, ViewScores, load_scores


def evaluate(
    model: nn.Module,
    data: Dataset,
    average: str = "softmax",
    *,
    batch_size: int | None = None,
    workers: int = 0,
    frames: str = "in_order",
    seed: int = 0,
    file: str | Path | None = None,
    progress: bool = True,
) -> "Evaluation":
    """Accuracy of a model, where it is (CPU or GPU), with its scores of every view.

    model: a ViViT, `model.for_inference()`, or any module that gives logits (B,K), or a dict of
    them, for clips (B,T,C,H,W) in [-1, 1]. Its weights and training mode stay as they are.
    data: a ViewDataset (all views of each video), or any data set of (uint8 clip, label).
    average: "softmax", as the paper describes it, or "logits", as the official code does it.
    batch_size: views at once, which changes nothing but time and memory; None: as many as fit.
    workers: processes that read videos ahead.
    frames: "in_order"; or, to see whether the model looks at time at all, "shuffled" (by `seed`),
    "reversed", or "middle" (that frame alone, repeated).
    file: keep the scores there (.npz), also when stopped half-way: the same call then goes
    on from there. progress: show a bar.

    Where torch.distributed runs (Accelerate, torchrun) call it in every process: each takes a share
    of the videos, none of them twice, and all get the whole result.

    Labels are matched to the model's classes by name, where both carry names; in another order
    they are renumbered, and the report says so. Videos that are missing or unreadable are reported,
    and accuracy is over the others.

    Raises TypeError or ValueError: an unknown option; other classes, or another number of them,
    than the model's; labels out of range, or none; scores that are not finite; a file of another
    evaluation. VideoError: a bad video, where the data set says that it is an error. MemoryError:
    a view does not fit. Source: paper section 4.1; SlowFast (Feichtenhofer et al. 2019).

    >>> from vivit_lab import ViViTConfig, build_model
    >>> from vivit_lab.data import ArrowOfTime
    >>> config = ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2, depth=1,
    ...                      mlp_dim=8, num_classes=8)
    >>> result = evaluate(build_model(config), ArrowOfTime(80, 4, 16), progress=False)
    >>> 0 <= result.top1 <= result.top5 <= 1
    True
    """
    one_of("average", average, AVERAGES)
    check_labelled(data)
    scores = score_views(
        model,
        data,
        batch_size=batch_size,
        workers=workers,
        frames=frames,
        seed=seed,
        file=file,
        progress=progress,
    )
    return Evaluation(scores, average)


class Evaluation:
    """What scores say: printed, or at the end of a notebook cell, it is a table.

    scores, average: what it is made of. Evaluation(scores, "logits") averages the other way.
    `result["verb"]` is one head's HeadResult (.top1, .per_class, .confusion, ...); of verb and noun
    `result["action"]` is the pair. Shares are 0..1. Raises ValueError for scores without labels.

    >>> import numpy as np
    >>> from vivit_lab.training.view_scores import Origin
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
            raise ValueError(
                f"{scores.origin.data} has no labels: there is no accuracy to compute. "
                "scores.average() is what the model says of each video."
            )
        self.scores, self.average = scores, average
        averaged = scores.average(average)
        self.heads = {
            head: HeadResult(
                head, averaged[head], logits, scores.labels[head], scores.class_names[head]
            )
            for head, logits in scores.logits.items()
        }
        self.pair: PairResult | None = None
        if len(self.heads) == 2:
            self.pair = PairResult(*self.heads.values(), average)

    def __getitem__(self, head: str) -> HeadResult | PairResult:
        results = self.heads if self.pair is None else {**self.heads, self.pair.name: self.pair}
        one_of("head", head, results)
        return results[head]

    @property
    def main(self) -> HeadResult | PairResult:
        """The result that counts: the pair's (action) if there are two heads, else the first's."""
        return self.pair or next(iter(self.heads.values()))

    @property
    def top1(self) -> float:
        """Share of the videos whose best class is right; of two heads, both of them."""
        return self.main.top1

    @property
    def top5(self) -> float:
        """Share of the videos whose right class (of two heads: pair) is among the best five."""
        return self.main.top5

    @property
    def view_top1(self) -> float:
        """Share of the views, each on its own, whose best class is right."""
        return self.main.view_top1

    @property
    def interval(self) -> tuple[float, float]:
        """Where top-1 would lie, with 95 % confidence, on ever more such videos (Wilson)."""
        return self.main.interval

    @cached_property
    def loss(self) -> float:
        """Cross-entropy of single views, in nats, the mean of the heads."""
        losses = [cross_entropy(head.views, head.labels) for head in self.heads.values()]
        return sum(losses) / len(losses)

    @property
    def per_class(self):
        """Accuracy within each class, float (K,), nan where no video has it; by head if several."""
        return self._of_heads("per_class")

    @property
    def confusion(self):
        """int64 (K, K), row the truth, column the prediction; by head if there are several."""
        return self._of_heads("confusion")

    @property
    def warnings(self) -> list[str]:
        """What speaks against the figures: near chance, one class for all, and likely reasons."""
        frames = self.scores.origin.frames
        return [line for head in self.heads.values() for line in head.doubts(frames)]

    def most_confused(self, n: int = 10) -> list[tuple[str, str, int, float]]:
        """(truth, prediction, videos, share of the truth's videos), most videos first.

        Classes go by name where names are known. Of the first head; else result["noun"].
        """
        return next(iter(self.heads.values())).most_confused(n)

    def with_views(self, views: Sequence[int]) -> "Evaluation":
        """The evaluation that only these views (by number) would have given: no model needed."""
        return Evaluation(self.scores.select(views), self.average)

    def by_views(self) -> list[ViewCount]:
        """Accuracy against cost: for each number of views those that lie farthest apart."""
        found = []
        for n in range(1, self.scores.views + 1):
            views = self.scores.spread(n)
            fewer = self.with_views(views)
            macs = None if self.macs is None else self.macs * n
            found.append(ViewCount(n, tuple(views), fewer.top1, fewer.interval, macs))
        return found

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates of one view; None if unknown."""
        return self.scores.origin.macs

    def report(self) -> str:
        """The table as text: accuracy, videos and cost side by side, then what to know."""
        return as_text(self)

    __str__ = __repr__ = report

    def _repr_html_(self) -> str:
        return as_html(self)

    def to_dict(self) -> dict:
        """All figures, as JSON can hold them; scores and confusion matrices stay out."""
        return as_dict(self)

    def save_report(self, file: str | Path) -> None:
        """Write `to_dict()` as JSON; the file appears complete or not at all."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        write_atomically(file, lambda path: path.write_text(text, encoding="utf-8"))

    def save(self, file: str | Path) -> None:
        """Keep the scores of every view (.npz); `load_evaluation` brings them back."""
        self.scores.save(file)

    def _of_heads(self, what: str):
        found = {name: getattr(head, what) for name, head in self.heads.items()}
        return found if len(found) > 1 else next(iter(found.values()))


def load_evaluation(file: str | Path, average: str = "softmax") -> Evaluation:
    """The evaluation of saved scores; they can be averaged either way. Raises as `load_scores`.

    >>> load_evaluation("nowhere.npz")
    Traceback (most recent call last):
    FileNotFoundError: There is no file 'nowhere.npz'.
    """
    return Evaluation(load_scores(file), average)
