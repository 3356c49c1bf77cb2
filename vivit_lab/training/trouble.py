"""When training goes wrong: what happened, at which step, the likely cause, and what to do."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vivit_lab.data.loader import Batch, LoadingError
from vivit_lab.models import ViViT
from vivit_lab.training.recipe import Recipe

if TYPE_CHECKING:
    from vivit_lab.training.state import Training

DIVERGED = 4  # times the first loss, or that of answering every clip alike, on average
MEMORY = 0.9  # share of the past in that average


class TrainingError(RuntimeError):
    """Training had to stop. The message says why, and what is left; the checkpoints are sound.

    >>> TrainingError("The loss is nan at step 7.")
    TrainingError('The loss is nan at step 7.')
    """


def chance_loss(classes: int | dict[str, int]) -> float:
    """Loss of a model that answers every clip alike: log K, the mean over the heads.

    >>> round(chance_loss(400), 2)
    5.99
    """
    counts = classes.values() if isinstance(classes, dict) else [classes]
    return sum(math.log(count) for count in counts) / len(counts)


def smoothed(average: float | None, loss: float) -> float:
    """The running average of the loss that divergence is judged by.

    >>> smoothed(2.0, 1.0)
    1.9
    """
    return loss if average is None else MEMORY * average + (1 - MEMORY) * loss


def check_step(training: "Training", rate: float, loss: float, norm: float) -> None:
    """Raise unless loss and gradient are numbers, and the loss is not far above where it began.

    Called before the weights are changed, so that they are still those of the step before. A head
    that was trained for other labels begins far above chance; that is no divergence.

    training: its `average` is the loss as `smoothed` over the last steps, this one included, its
    `first` that of the first step. rate: learning rate of this step. norm: of all gradients, before
    clipping.

    Raises:
        TrainingError: naming the step and the likely cause.
    """
    model, recipe, step = training.model, training.recipe, training.step + 1
    average, first = training.average, training.first
    broken = "loss" if not math.isfinite(loss) else "gradient" if not math.isfinite(norm) else ""
    chance = chance_loss(model.config.num_classes)
    if broken:
        value = loss if broken == "loss" else norm
        raise TrainingError(
            f"The {broken} is {value} at step {step} (learning rate {rate:.3g}). "
            f"{_cause_of_nan(model, recipe, step, rate)} The weights were not changed by this step."
        )
    if average > DIVERGED * max(chance, first):
        raise TrainingError(
            f"Training diverged: the loss is {average:.2f} on average at step {step}, "
            f"{average / chance:.0f} times that of answering every clip alike ({chance:.2f}); it "
            f"began with {first:.2f}. "
            f"{_lower_rate(recipe, rate)}"
        )


def check_labels(batches: Sequence[Batch], classes: int | dict[str, int], step: int) -> None:
    """Raise TrainingError for labels out of range, naming the samples.

    batches: those of this step, on any device; their labels, and which samples they are, are read.

    >>> batch = Batch(torch.zeros(2, 4, 3, 8, 8), torch.tensor([0, 7]), torch.tensor([31, 17]))
    >>> check_labels([batch], 5, step=3)
    Traceback (most recent call last):
    vivit_lab.training.trouble.TrainingError: Step 3 met labels out of range: sample 17 has the \
label 7, but the model has classes 0 to 4.
    """
    counts = classes if isinstance(classes, dict) else {"": classes}
    wrong = []
    for batch in batches:
        for head, labels in (batch.labels if "" not in counts else {"": batch.labels}).items():
            for number, label in zip(batch.numbers.tolist(), labels.tolist(), strict=True):
                if not 0 <= label < counts[head]:
                    of = f" of head {head!r}" if head else ""
                    wrong.append(
                        f"sample {number} has the label {label}, but the model has classes 0 to "
                        f"{counts[head] - 1}{of}"
                    )
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        raise TrainingError(f"Step {step} met labels out of range: {'; '.join(wrong[:3])}{more}.")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was not enough, of the GPU or of the machine.

    >>> is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    True
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, LoadingError):
        return False  # of a process that reads clips; it says itself what to do
    said = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in said or "out of memory" in said
    )


def _cause_of_nan(model: ViViT, recipe: Recipe, step: int, rate: float) -> str:
    sick = [name for name, p in model.named_parameters() if not _finite(p)]
    if sick:
        return f"The weights are not finite already, {sick[0]} first: start from sound ones."
    if step == 1:
        return (
            "No step was taken yet, so it is not the learning rate: look at the clips and at the "
            "weights that the model starts from."
        )
    return _lower_rate(recipe, rate)


def _lower_rate(recipe: Recipe, rate: float) -> str:
    advice = [f"lr={recipe.lr / 3:.2g}"]
    if recipe.max_grad_norm is None:
        advice.append("max_grad_norm=1.0")
    if recipe.warmup_epochs < 1:
        advice.append("warmup_epochs=1 or more")
    return f"The learning rate is the likely cause; try {', '.join(advice)}."


def _finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())
