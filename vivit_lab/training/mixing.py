"""Mixup on clips, and the loss of one head or several."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Labels = Tensor | Mapping[str, Tensor]  # int64 (B,), one for each head


class Mixed(NamedTuple):
    """A batch after mixup: every clip is `share` of itself and 1 - `share` of its partner.

    >>> Mixed(torch.zeros(2, 4, 3, 8, 8), {"verb": torch.tensor([1, 0])}, share=1.0).share
    1.0
    """

    clips: Tensor  # float (B,T,C,H,W)
    labels: dict[str, Tensor]  # {head: int64 (B,)}; a single head is called ""
    share: float  # 0..1; 1: nothing is mixed


def mixup(clips: Tensor, labels: dict[str, Tensor], alpha: float) -> Mixed:
    """Mix each clip with its partner, the clip as far from the other end of the batch.

    One share is drawn for the whole batch, from Beta(alpha, alpha), by torch's global generator.
    `loss_of` mixes the labels with the same share, those of every head.

    clips: float (B,T,C,H,W), -1..1. labels: {head: int64 (B,)}. alpha: at least 0; 0 mixes nothing
    and draws nothing.

    Source: Zhang et al. (arXiv 1710.09412); the official code's rule, a reversed batch.
    (torchvision's MixUp takes the next clip for a partner, and labels of one head only.)

    >>> clips = torch.arange(4.0).reshape(4, 1, 1, 1, 1)
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch...>
    >>> mixed = mixup(clips, {"verb": torch.tensor([0, 1, 2, 3])}, alpha=0.3)
    >>> torch.allclose(mixed.clips, mixed.share * clips + (1 - mixed.share) * clips.flip(0))
    True
    """
    if not alpha:
        return Mixed(clips, labels, 1.0)
    share = torch.distributions.Beta(alpha, alpha).sample().item()
    return Mixed(clips.flip(0).lerp_(clips, share), labels, share)


def loss_of(
    logits: Tensor | Mapping[str, Tensor], mixed: Mixed, smoothing: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Cross entropy, mean over clips and heads; and the share of clips with every head right.

    logits: (B,K), or {head: (B,K)}. smoothing: that share of each label is spread evenly over all K
    classes, after mixing. An answer is right if it names the class that has the larger share.

    Returns two tensors without axes, loss and accuracy 0..1.

    Source: the official code: smoothing y (1 - e) + e / K; verbs and nouns weigh the same.

    >>> mixed = Mixed(torch.zeros(2, 4, 3, 8, 8), {"": torch.tensor([1, 0])}, share=1.0)
    >>> loss_of(torch.tensor([[0.0, 9.0], [0.0, 9.0]]), mixed)[1]
    tensor(0.5000)
    """
    answers = logits if isinstance(logits, Mapping) else {"": logits}
    losses, right = [], []
    for head, labels in mixed.labels.items():
        answer = answers[head].float()
        loss = F.cross_entropy(answer, labels, label_smoothing=smoothing)
        if mixed.share < 1:
            partner = F.cross_entropy(answer, labels.flip(0), label_smoothing=smoothing)
            loss = mixed.share * loss + (1 - mixed.share) * partner
        main = labels if mixed.share >= 0.5 else labels.flip(0)
        losses.append(loss)
        right.append(answer.argmax(dim=-1) == main)
    return torch.stack(losses).mean(), torch.stack(right).all(dim=0).float().mean()


def in_range(labels: Labels, classes: int | Mapping[str, int]) -> tuple[dict[str, Tensor], Tensor]:
    """Labels by head, and how many of them are none of 0 .. classes - 1 (a tensor, no axes).

    The wrong ones are replaced, so that they can be counted without waiting for a GPU, on which a
    wrong label would end the process without a word.

    Raises ValueError unless labels and classes are of the same heads.

    >>> in_range(torch.tensor([0, 7, -1]), 5)
    ({'': tensor([0, 4, 0])}, tensor(2))
    """
    heads = labels if isinstance(labels, Mapping) else {"": labels}
    counts = classes if isinstance(classes, Mapping) else {"": classes}
    if heads.keys() != counts.keys():
        raise ValueError(
            f"The labels of a batch are for {_listed(heads)}, but the model answers for "
            f"{_listed(counts)}."
        )
    safe = {head: y.clamp(0, counts[head] - 1) for head, y in heads.items()}
    return safe, sum((safe[head] != y).sum() for head, y in heads.items())


def _listed(heads: Mapping) -> str:
    return ", ".join(repr(head) for head in heads) if "" not in heads else "one head without a name"
