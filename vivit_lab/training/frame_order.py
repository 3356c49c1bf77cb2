"""The frames of a clip in another order: the test of whether a model looks at order at all.

Class, objects and places stay; only time is broken. A model whose accuracy stays too has not
used the order of the frames, whatever its architecture allows.
"""

import numpy as np
import torch
from torch import Tensor

from vivit_lab.errors import one_of, whole

ORDERS = {
    "in_order": "frames in order",
    "shuffled": "frames shuffled, each view in its own way",
    "reversed": "frames backwards",
    "middle": "the middle frame alone, repeated",
}


def reorder(clips: Tensor, frames: str, seed: int, numbers: Tensor) -> Tensor:
    """The views of some videos, (B, V, T, C, H, W), with their frames in another order.

    frames: "in_order" | "shuffled" | "reversed" | "middle" (frame T // 2, T times). numbers (B,):
    of the videos. A shuffle depends on (seed, number, view) alone: not on the batch that a video
    is in. Raises ValueError for another word, or a seed below 0.

    >>> clip = torch.arange(4).reshape(1, 1, 4, 1, 1, 1)
    >>> reorder(clip, "reversed", 0, torch.tensor([7])).flatten().tolist()
    [3, 2, 1, 0]
    >>> sorted(reorder(clip, "shuffled", 0, torch.tensor([7])).flatten().tolist())
    [0, 1, 2, 3]
    """
    one_of("frames", frames, ORDERS)
    whole("seed", seed, least=0)
    length = clips.shape[2]
    if frames == "in_order":
        return clips
    if frames == "reversed":
        return clips.flip(2)
    if frames == "middle":
        return clips[:, :, length // 2 : length // 2 + 1].expand_as(clips)
    orders = torch.stack(
        [
            torch.stack([_shuffle(length, seed, number, view) for view in range(clips.shape[1])])
            for number in numbers.tolist()
        ]
    )  # (B, V, T)
    index = orders.to(clips.device)[(..., *(None,) * (clips.ndim - 3))]
    return clips.gather(2, index.expand_as(clips))


def _shuffle(length: int, seed: int, number: int, view: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng((seed, number, view)).permutation(length))
