"""Studies: many small runs that differ in one thing, each with several seeds, and their results.

Every run goes through `fit` and `evaluate`, on Arrow of Time, by the recipe cpu_tiny. Results are
stored in assets/runs, so that a notebook shows a study at once; `train_arm` repeats any run.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import Dataset

from vivit_lab.analysis import count_flops
from vivit_lab.data import ArrowOfTime
from vivit_lab.errors import whole
from vivit_lab.models import ViViT, build_model
from vivit_lab.training.evaluation import reorder
from vivit_lab.training.study_arms import STUDIES, TEST_CLIPS, Arm, find_arm, settings
from vivit_lab.training.study_results import RUNS, Result, Spread, load_results
from vivit_lab.weights import inflate, small_image_vit

if TYPE_CHECKING:
    from vivit_lab.training.journal import Moment

__all__ = [
    "RUNS",
    "STUDIES",
    "Arm",
    "InRandomOrder",
    "Result",
    "Spread",
    "clips_of",
    "find_arm",
    "load_results",
    "settings",
    "start_model",
    "train_arm",
]

VALIDATION_SEED, TEST_SEED = 1, 2  # of other clips than those of training, whose seed is 0
VALIDATION_CLIPS = 256
POINTS = 48  # of a learning curve


def train_arm(
    arm: Arm,
    seed: int = 0,
    folder: str | Path | None = None,
    progress: bool = False,
    device: str = "cpu",
) -> Result:
    """Train one arm of a study, and test it: some seconds to two minutes on one core.

    seed: of weights, order and what drops; the clips are the same for every seed. folder: of the
    run, for its log and checkpoints, must be new; None keeps nothing. device: as for `fit`.

    Raises as `fit` does. The same versions, machine and threads give the same figures.

    Example:
        >>> quick = {"batch": 8, "epochs": 1}
        >>> tiny = Arm(name="tiny", title="A quick one", changes=quick, clips=16)
        >>> train_arm(tiny).curve[-1]["clips"]
        16
    """
    from vivit_lab.training.evaluation import evaluate
    from vivit_lab.training.loop import fit
    from vivit_lab.training.run_folder import versions

    whole("seed", seed, least=0)
    recipe = arm.recipe(seed)
    model = start_model(arm, seed)
    train, validation, test = (
        clips_of(arm, seed, count)
        for seed, count in (
            (0, arm.clips),
            (VALIDATION_SEED, VALIDATION_CLIPS),
            (TEST_SEED, TEST_CLIPS),
        )
    )
    moments: list[Moment] = []

    def note(moment: "Moment") -> None:
        if not moment.after_epoch:
            moments.append(moment)

    started, cpu_started = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as aside:
        run = fit(
            model,
            DrawnOnce(train),
            validation,
            recipe=recipe,
            folder=f"{aside}/run" if folder is None else folder,
            callback=note,
            device=device,
            progress=progress,
        )
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    in_order, shuffled, backwards = (
        evaluate(run.model, test, frames=frames, progress=False)
        for frames in ("in_order", "shuffled", "reversed")
    )
    count = count_flops(model.config, counter="closed_form")
    return Result(
        arm=arm.name,
        seed=seed,
        top1=round(in_order.top1, 6),
        shuffled=round(shuffled.top1, 6),
        reversed=round(backwards.top1, 6),
        per_class=tuple(round(float(share), 4) for share in in_order.per_class),
        macs=count.macs,
        params=count.params,
        seconds=round(seconds, 1),
        cpu_seconds=round(cpu_seconds, 1),
        history=[_short(epoch) for epoch in run.history],
        curve=_means(moments, recipe.batch),
        settings=settings(arm),
        versions=versions(),
        model=run.model,
    )


def start_model(arm: Arm, seed: int) -> ViViT:
    """The model of an arm before its first step: new weights, or inflated ones.

    Example:
        >>> start_model(STUDIES["four_models"][-1], seed=0).config.model
        'factorised_dot_product'
    """
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        model = build_model(arm.model_config())
    if arm.start != "random":
        tubelet = arm.start.removeprefix("image_vit_")
        inflate(model, small_image_vit(), tubelet=tubelet)
    return model


def clips_of(arm: Arm, seed: int, count: int) -> Dataset:
    """Clips of the size and level that an arm wants; `seed` says which."""
    config = arm.model_config()
    clips = ArrowOfTime(count, config.frames, config.image_size[0], seed, arm.level)
    return InRandomOrder(clips) if arm.shuffled else clips


class InRandomOrder(Dataset):
    """Clips whose frames come in random order, each clip in one of its own: bags of frames.

    Example:
        >>> clips = InRandomOrder(ArrowOfTime(clips=8, frames=8))
        >>> clips[3][0].shape, clips[3][1]
        (torch.Size([8, 3, 32, 32]), 3)
    """

    def __init__(self, clips: ArrowOfTime):
        self.clips, self.classes = clips, clips.classes

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Many at once, as torch's DataLoader asks for them."""
        clips, labels = self.clips.batch(indices)
        mixed = reorder(clips[:, None], "shuffled", self.clips.seed, indices)[:, 0]
        return list(zip(mixed, labels.tolist(), strict=True))


class DrawnOnce(Dataset):
    """Clips that are kept once they are drawn: later epochs need not wait for them.

    Example:
        >>> clips = DrawnOnce(ArrowOfTime(clips=8, frames=8))
        >>> clips[3][0] is clips[3][0]
        True
    """

    def __init__(self, clips: ArrowOfTime | InRandomOrder):
        self.clips, self.classes = clips, clips.classes
        self._kept: dict[int, tuple[Tensor, int]] = {}

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[Tensor, int]]:
        """Many at once, as torch's DataLoader asks for them."""
        new = [index for index in indices if index not in self._kept]
        if new:
            self._kept.update(zip(new, self.clips.__getitems__(new), strict=True))
        return [self._kept[index] for index in indices]


def _short(epoch: dict) -> dict:
    return {
        "epoch": epoch["epoch"],
        "loss": round(epoch["loss"], 4),
        "accuracy": round(epoch["accuracy"], 4),
        "validation": round(epoch["validation"]["top1"], 4),
    }


def _means(moments: "list[Moment]", batch: int) -> list[dict]:
    """A learning curve of at most POINTS points."""
    width = -(-len(moments) // POINTS)
    found = []
    for start in range(0, len(moments), width):
        part = moments[start : start + width]
        found.append(
            {
                "clips": part[-1].step * batch,
                "loss": round(statistics.fmean(each.loss for each in part), 4),
                "accuracy": round(statistics.fmean(each.accuracy for each in part), 4),
            }
        )
    return found
