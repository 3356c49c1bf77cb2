"""The first check of any training: can the model learn one batch by heart?"""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from vivit_lab.data.loader import ClipLoader
from vivit_lab.errors import whole
from vivit_lab.models import ViViT
from vivit_lab.training.checks import check_data
from vivit_lab.training.loop import chance_loss, in_range, loss_of, open_accelerator


@dataclass(frozen=True)
class OneBatch:
    """What came of it; printed, it says what to do.

    >>> print(OneBatch([2.08, 0.4, 0.01], 1.0, chance=2.08, clips=8))
    Learnt by heart: 8 clips in 3 steps, loss 2.08 -> 0.01, accuracy 100%.
    """

    losses: list[float]  # before each step
    accuracy: float  # 0..1, at the end
    chance: float  # loss of answering every clip alike
    clips: int

    @property
    def ok(self) -> bool:
        """All clips are right, at a tenth of the loss of chance."""
        return self.accuracy == 1 and self.losses[-1] < 0.1 * self.chance

    def __str__(self) -> str:
        what = (
            f"{self.clips} clips in {len(self.losses)} steps, loss {self.losses[0]:.2f} -> "
            f"{self.losses[-1]:.2f}, accuracy {self.accuracy:.0%}"
        )
        if self.ok:
            return f"Learnt by heart: {what}."
        if self.losses[-1] < 0.5 * self.losses[0]:
            return f"On the way: {what}. Give it more steps, or a higher lr."
        return (
            f"Not learnt: {what}. Even without any variety the loss stays. Are some of the clips "
            "the same, with different labels? Are the weights sound, and does anything learn?"
        )


def overfit_one_batch(
    model: ViViT,
    train: Dataset,
    *,
    clips: int = 8,
    steps: int = 60,
    lr: float | None = None,
    seed: int = 0,
    device: str = "auto",
) -> OneBatch:
    """Train a copy of the model on the same few clips again and again: the loss must go to zero.

    If it does not, no recipe will help: data, labels or model are at fault. AdamW without dropout,
    mixup, smoothing or decay; a minute at most for a small model. The model stays as it was.

    lr: by default 0.06 / dim, which is 1e-3 for a small model and 8e-5 for ViViT-B.

    Raises:
        ValueError, TypeError: data that do not fit the model.

    Example:
        >>> from vivit_lab import build_model
        >>> from vivit_lab.data import ArrowOfTime
        >>> from vivit_lab.training import Recipe
        >>> model = build_model(Recipe.preset("cpu_tiny").config())
        >>> overfit_one_batch(model, ArrowOfTime(64, frames=8), device="cpu").ok
        True
    """
    whole("clips", clips)
    whole("steps", steps)
    check_data(model, train, "training")
    place = open_accelerator(device).device
    streams = isinstance(train, IterableDataset)
    with ClipLoader(train, batch_size=clips, shuffle=not streams, seed=seed) as loader:
        batch = next(iter(loader.on(place)))
    labels, _ = in_range(batch.labels, model.config.num_classes)
    learner = copy.deepcopy(model).to(place).eval()  # eval: nothing is dropped
    learner.requires_grad_(True)
    lr = 0.06 / model.config.dim if lr is None else lr
    optimiser = torch.optim.AdamW(learner.parameters(), lr=lr, weight_decay=0)
    losses = []
    for _ in range(steps):
        loss, accuracy = loss_of(learner(batch.clips), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    chance = chance_loss(model.config.num_classes)
    return OneBatch(losses, accuracy.item(), chance, len(batch.clips))
