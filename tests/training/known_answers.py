"""A data set and a model whose answers are known: pixels say which video and view they are of.

The model looks its logits up in a table, so that every average can be worked out by hand.
"""

import functools

import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

from vivit_lab import training

evaluate = functools.partial(training.evaluate, progress=False)
score_views = functools.partial(training.score_views, progress=False)

FRAMES, SIZE = 6, 4  # of the clips


class SingleViews(Dataset):
    """One view of each video: (T,C,H,W)."""

    def __init__(self, labels):
        self.labels, self.asked = labels, []

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, number):
        return views_of(number, 1)[0], self.labels[number]


class Crops:
    """What a ViewDataset's transform says of itself."""

    def __init__(self, crops: int):
        self.crops = crops

    def __repr__(self) -> str:
        return "toy"


class Views(SingleViews):
    """Several views of each video, as a ViewDataset gives them."""

    def __init__(self, labels, clips: int, crops: int, classes=None):
        super().__init__(labels)
        self.clips, self.sampling = clips, ("toy",)
        self.transform = Crops(crops)
        if classes is not None:
            self.classes = classes

    def __getitem__(self, number):
        self.asked.append(number)
        return views_of(number, self.clips * self.transform.crops), self.labels[number]


def views_of(number: int, views: int) -> torch.Tensor:
    """In each picture the top row is: number, view, frame (uint8)."""
    clips = torch.zeros(views, FRAMES, 3, SIZE, SIZE, dtype=torch.uint8)
    clips[:, :, :, 0, 0] = number
    clips[:, :, :, 0, 1] = torch.arange(views, dtype=torch.uint8)[:, None, None]
    clips[:, :, :, 0, 2] = torch.arange(FRAMES, dtype=torch.uint8)[:, None]
    return clips


class Table(nn.Module):
    """Looks logits up: table (videos, views, K), or a dict of such for several heads."""

    def __init__(self, table, class_names=None):
        super().__init__()
        self.table, self.class_names = table, class_names
        self.dropout = nn.Dropout(0.5)
        self.batches, self.orders, self.modes = [], {}, []

    def forward(self, clips):
        pixels = ((clips + 1) * 127.5).round().long()  # back to what the data set painted
        numbers, views = pixels[:, 0, 0, 0, 0].tolist(), pixels[:, 0, 0, 0, 1].tolist()
        self.batches.append(len(clips))
        self.modes.append((self.training, self.dropout.training, torch.is_grad_enabled()))
        for number, view, frames in zip(numbers, views, pixels[:, :, 0, 0, 2], strict=True):
            self.orders[number, view] = frames.tolist()
        if isinstance(self.table, dict):
            return {head: each[numbers, views] for head, each in self.table.items()}
        return self.table[numbers, views]


def random_table(videos: int, views: int, classes: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(videos, views, classes, generator=generator)


def random_labels(videos: int, classes: int, seed: int = 1) -> list[int]:
    return np.random.default_rng(seed).integers(classes, size=videos).tolist()
