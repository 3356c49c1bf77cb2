"""Run a model over every view of every video, once, and keep what it says of each.

Under Accelerate or torchrun every process takes its share of the videos, none of them twice, and
every process gets all the scores.
"""

import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate
from tqdm import tqdm

from vivit_lab.data.loader import Batch, ClipLoader
from vivit_lab.errors import one_of, whole
from vivit_lab.training.described_arrays import npz_path
from vivit_lab.training.frame_order import ORDERS, reorder
from vivit_lab.training.scoring_data import (
    Chosen,
    Labels,
    check_data,
    class_names_of,
    clips_of,
    listed_in,
    name_of,
    notes_on,
    places_of,
    source_of,
)
from vivit_lab.training.scoring_model import Subject
from vivit_lab.training.scoring_rows import Rows, hits_in, joined
from vivit_lab.training.view_scores import (
    ONLY,
    Origin,
    ViewScores,
    load_scores,
    view_text,
)

SAVE_EVERY = 300  # seconds


def score_views(
    model: nn.Module,
    data: Dataset,
    *,
    batch_size: int | None = None,
    workers: int = 0,
    frames: str = "in_order",
    seed: int = 0,
    file: str | Path | None = None,
    progress: bool = True,
) -> ViewScores:
    """What a model says of every view of every video; for its arguments see `evaluate`.

    The data need no labels: `.average()` of the result are predictions. Raises as `evaluate` does.

    >>> from vivit_lab import ViViTConfig, build_model
    >>> from vivit_lab.data import ArrowOfTime
    >>> config = ViViTConfig(frames=4, image_size=16, tubelet=(2, 8, 8), dim=12, heads=2, depth=1,
    ...                      mlp_dim=8, num_classes=8)
    >>> scores = score_views(build_model(config), ArrowOfTime(24, 4, 16), progress=False)
    >>> scores.logits["class"].shape
    (24, 1, 8)
    """
    one_of("frames", frames, ORDERS)
    whole("seed", seed, least=0)
    if batch_size is not None:
        whole("batch_size", batch_size)
    check_data(data)
    return _Scoring(Subject(model, batch_size), data, frames, seed, file).run(workers, progress)


class _Scoring:
    """One run of `score_views`."""

    def __init__(
        self, subject: Subject, data: Dataset, frames: str, seed: int, file: str | Path | None
    ):
        self.subject, self.data, self.frames, self.seed = subject, data, frames, seed
        self.file = None if file is None else npz_path(file, "scores")
        self.places, self.rank, self.processes = places_of(data), *_process()
        self.labels: Labels | None = None  # known when the heads of the model are
        if subject.classes is not None:
            self._meet(subject.classes)
        listed, absent = listed_in(data)
        self.origin = Origin(
            model=subject.title,
            weights=subject.checksum() if file else "",
            macs=subject.macs,
            data=source_of(data),
            listed=listed,
            clips=clips_of(data),
            absent=absent,
            frames=frames,
            seed=seed,
        )
        self.rows: list[Rows] = []
        self.unreadable: list[str] = []

    def run(self, workers: int, progress: bool) -> ViewScores:
        known = self._known()
        left = [number for number in range(len(self.data)) if number not in known]
        own = left[self.rank :: self.processes]
        failure = None
        try:
            with self.subject.at_rest():
                self._score(own, workers, progress and self.rank == 0)
        except Exception as error:
            failure = error
        except KeyboardInterrupt:
            self._save()
            raise
        failure = self._gather(failure)
        self._save()
        if failure is not None:
            raise failure
        return self._scores()

    def _score(self, own: list[int], workers: int, progress: bool) -> None:
        """Score these videos, in `self.rows`."""
        if not own:
            return
        chosen = Chosen.of(self.data, own)
        at_once = max(1, self.subject.batch_size // len(self.places))
        saved, hits, done = time.monotonic(), 0, 0
        known = sum(len(rows.numbers) for rows in self.rows)
        with (
            ClipLoader(chosen, batch_size=at_once, workers=workers) as loader,
            tqdm(
                total=known + len(own),
                initial=known,
                unit=" videos",
                disable=not progress,
                leave=False,
            ) as bar,
        ):
            try:
                for batch in loader.on(self.subject.device):
                    rows = self._answer(batch, chosen.numbers_of(batch.numbers))
                    self.rows.append(rows)
                    if rows.labels is not None:
                        hits, done = hits + hits_in(rows), done + len(rows.numbers)
                        bar.set_postfix_str(
                            f"top-1 so far {100 * hits / done:.1f} %", refresh=False
                        )
                    bar.update(len(rows.numbers))
                    if time.monotonic() - saved > SAVE_EVERY:
                        self._save()
                        saved = time.monotonic()
            finally:
                self.unreadable += [bad.reason for bad in loader.bad]

    def _answer(self, batch: Batch, numbers: Tensor) -> Rows:
        clips = batch.clips if batch.clips.ndim == 6 else batch.clips[:, None]  # (B,V,T,C,H,W)
        if clips.ndim != 6 or clips.shape[1] != len(self.places):
            raise ValueError(
                f"The data give clips of shape {tuple(batch.clips.shape[1:])}, but must give "
                f"(T,C,H,W), or (views,T,C,H,W) from a ViewDataset of {len(self.places)} views."
            )
        answer = self.subject.answer(reorder(clips, self.frames, self.seed, numbers).flatten(0, 1))
        if self.labels is None:
            self._meet({head: logits.shape[-1] for head, logits in answer.items()})
        names = [name_of(self.data, number) for number in numbers.tolist()]
        logits = {head: each.unflatten(0, clips.shape[:2]).numpy() for head, each in answer.items()}
        for head, each in logits.items():
            for place in np.flatnonzero(~np.isfinite(each).all(axis=(1, 2)))[:1]:
                raise ValueError(
                    f"The model's {head} scores for {names[place]} are not finite. Are its weights "
                    "sound? In float16 numbers overflow; bfloat16 or float32 do not."
                )
        return Rows(numbers.numpy(), logits, self._renumbered(batch.labels, names))

    def _renumbered(self, labels, names: list[str]) -> dict[str, np.ndarray] | None:
        if labels is None:
            return None
        given = labels if isinstance(labels, dict) else {ONLY: labels}
        lacking = [head for head in self.labels.classes if head not in given]
        if lacking:
            raise ValueError(
                f"The model answers {', '.join(self.labels.classes)}, but the labels of the data "
                f"are {', '.join(given)}: {', '.join(lacking)} would have nothing to compare with."
            )
        return self.labels({head: each.cpu().numpy() for head, each in given.items()}, names)

    def _meet(self, classes: dict[str, int]) -> None:
        """Compare the model's classes with those of the data."""
        model = class_names_of(self.subject.bare, list(classes))
        self.labels = Labels(model, class_names_of(self.data, list(classes)), classes)
        self.class_names = {
            head: names or class_names_of(self.data, list(classes))[head]
            for head, names in model.items()
        }

    # ---- all processes together

    def _gather(self, failure: Exception | None) -> Exception | None:
        """Give every process the rows of all; the failure of one is a failure of all."""
        if self.processes == 1:
            return failure
        parts = [None] * self.processes
        mine = (
            joined(self.rows),
            self.unreadable,
            failure and f"{type(failure).__name__}: {failure}",
        )
        torch.distributed.all_gather_object(parts, mine)
        self.rows = [rows for rows, _, _ in parts if rows is not None]
        self.unreadable = [reason for _, reasons, _ in parts for reason in reasons]
        for rank, (_, _, said) in enumerate(parts):
            if said and failure is None:
                failure = RuntimeError(f"Process {rank} failed, so no result is whole: {said}")
        return failure

    # ---- the file

    def _known(self) -> set[int]:
        """The videos that the file has scores of already. The first process takes those over."""
        if self.file is None:
            return set()
        told = [None, None]  # numbers, or what is wrong with the file
        if self.rank == 0 and self.file.exists():
            try:
                self._take_over(load_scores(self.file))
                told[0] = {number for rows in self.rows for number in rows.numbers.tolist()}
            except (ValueError, OSError) as error:
                told[1] = str(error)
        if self.processes > 1:
            torch.distributed.broadcast_object_list(told)
        if told[1]:
            raise ValueError(told[1])
        return told[0] or set()

    def _take_over(self, scores: ViewScores) -> None:
        """Take the rows of earlier scores, if they are of the same evaluation."""
        was = scores.origin
        differences = [
            f"{what} {old!r}, here {new!r}"
            for what, old, new in (
                ("the model", was.model, self.origin.model),
                ("weights", was.weights[:8], self.origin.weights[:8]),
                ("data", was.data, self.origin.data),
                ("clips", was.clips, self.origin.clips),
                ("frames", was.frames, self.frames),
                ("the seed", was.seed, self.seed),
                ("views", scores.view_text, view_text(self.places)),
            )
            if old != new
        ]
        for number, name in zip(scores.numbers.tolist(), scores.names, strict=True):
            if number >= len(self.data) or name_of(self.data, number) != name:
                differences.append(f"video {number} is {name!r} there, but not here")
                break
        if differences:
            raise ValueError(
                f"{self.file} holds the scores of another evaluation: {'; '.join(differences)}. "
                "Give another file, or delete this one."
            )
        if self.labels is None:
            self._meet({head: each.shape[-1] for head, each in scores.logits.items()})
        labels = scores.labels
        catalog = getattr(self.data, "catalog", None)
        if catalog is not None:  # the annotations may have been mended since
            fresh = [catalog[number].label for number in scores.numbers.tolist()]
            labels = None
            if fresh and fresh[0] is not None:
                labels = self._renumbered(default_collate(fresh), list(scores.names))
        self.rows = [Rows(scores.numbers, dict(scores.logits), labels)]

    def _save(self) -> None:
        """Save what there is; where several processes still run, the first one's part."""
        if self.file is not None and self.rank == 0 and self.rows:
            self._scores().save(self.file)

    def _scores(self) -> ViewScores:
        rows = joined(self.rows)
        if rows is None:
            reasons = "\n".join(f"  {reason}" for reason in self.unreadable[:5])
            raise ValueError(f"Not one video of {self.origin.data} could be scored.\n{reasons}")
        if self.labels is None:  # this process had no video of its own
            self._meet({head: logits.shape[-1] for head, logits in rows.logits.items()})
        notes = [*self.labels.notes, *notes_on(self.data), *self.subject.notes]
        return ViewScores(
            logits=rows.logits,
            labels=rows.labels,
            numbers=rows.numbers,
            names=tuple(name_of(self.data, number) for number in rows.numbers.tolist()),
            class_names=self.class_names,
            places=self.places,
            origin=dataclasses.replace(
                self.origin, unreadable=tuple(sorted(set(self.unreadable))), notes=tuple(notes)
            ),
        )


def _process() -> tuple[int, int]:
    """(number of this process, how many there are)."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1
