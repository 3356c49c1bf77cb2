"""What the runs of a study reached: one Result each, stored in assets/runs as JSON."""

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vivit_lab.data.samples import ASSETS
from vivit_lab.errors import one_of
from vivit_lab.training.study_arms import STUDIES

if TYPE_CHECKING:
    from vivit_lab.models import ViViT

RUNS = ASSETS / "runs"  # STUDY.json, written by `python -m vivit_lab study STUDY`


@dataclass(frozen=True)
class Result:
    """What one arm reached with one seed. Shares are 0..1, all of clips that were never trained on.

    Example:
        >>> result = Result("joint", 0, top1=0.9, shuffled=0.5, reversed=0.1, per_class=(0.9,) * 8,
        ...                 macs=10**7, params=10**5, seconds=30.0, cpu_seconds=29.0,
        ...                 history=[], curve=[], settings={}, versions={})
        >>> Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result
        True
    """

    arm: str
    seed: int
    top1: float
    shuffled: float  # top-1 where the frames of each test clip come in random order
    reversed: float  # top-1 where they come backwards, and the labels stay
    per_class: tuple[float, ...]  # in the order of ArrowOfTime.classes
    macs: int  # of one clip forwards, as the paper counts
    params: int
    seconds: float  # of training, on whatever machine it was
    cpu_seconds: float  # of all threads together
    history: list[dict]  # an entry for each epoch, as `fit` returns them
    curve: list[dict]  # {"clips" seen, "loss", "accuracy"}: means over equally many steps
    settings: dict  # everything that the run depends on but the versions
    versions: dict
    model: "ViViT | None" = field(default=None, compare=False, repr=False)

    def to_dict(self) -> dict:
        """All but the model, as JSON can hold it."""
        fields = [each.name for each in dataclasses.fields(self) if each.name != "model"]
        return {name: getattr(self, name) for name in fields}

    @classmethod
    def from_dict(cls, fields: Mapping[str, object]) -> "Result":
        """The result that `to_dict` described."""
        return cls(**(dict(fields) | {"per_class": tuple(fields["per_class"])}))


def load_results(study: str, folder: str | Path = RUNS) -> list[Result]:
    """The stored results of a study, arm by arm in its order, and seed by seed; model is None.

    Raises:
        ValueError: an unknown study, or a file that is no stored study.
        FileNotFoundError: it was not run; the message says how to.

    Example:
        >>> {result.arm for result in load_results("four_models")} >= {"joint", "one_frame"}
        True
    """
    one_of("study", study, STUDIES)
    file = Path(folder) / f"{study}.json"
    if not file.exists():
        raise FileNotFoundError(
            f"There is no file {str(file)!r}: the study was not run on this machine. "
            f"`python -m vivit_lab study {study}` runs it."
        )
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        results = [Result.from_dict(each) for each in document["results"]]
    except (KeyError, TypeError, ValueError) as reason:
        raise ValueError(f"{str(file)!r} is no stored study, or is damaged: {reason}") from None
    order = [arm.name for arm in STUDIES[study]]
    known = [result for result in results if result.arm in order]
    return sorted(known, key=lambda result: (order.index(result.arm), result.seed))


@dataclass(frozen=True)
class Spread:
    """A figure over several seeds.

    Example:
        >>> str(Spread.of([0.98, 0.99, 0.97]))
        '98.0 % (97.0-99.0)'
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Mean, smallest and largest of at least one value."""
        return cls(statistics.fmean(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.mean:.1%} ({100 * self.low:.1f}-{100 * self.high:.1f})".replace("%", " %")
