"""Which sample comes when: by (seed, epoch), shared out to processes, and where we stand in it."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

ORDER = 1  # sets these random numbers apart from those of the samples


def epoch_order(
    count: int, seed: int, epoch: int, shuffle: bool, rank: int = 0, world_size: int = 1
) -> np.ndarray:
    """Numbers of the samples that process `rank` of `world_size` takes in an epoch: int64.

    All processes together take every sample. Where `count` does not divide, the first samples of
    the order come a second time, so that all processes take equally many (as torch's
    DistributedSampler): else the last step of one would wait for ever for the others.

    >>> [epoch_order(5, 0, 0, False, rank, 2).tolist() for rank in range(2)]
    [[0, 2, 4], [1, 3, 0]]
    """
    order = np.arange(count)
    if shuffle:
        order = np.random.default_rng((seed, epoch, 0, 0, ORDER)).permutation(count)
    share = -(-count // world_size)  # rounded up
    return np.resize(order, share * world_size)[rank::world_size]


@dataclass
class Place:
    """Where a loader stands: how much of which epoch it has handed out.

    >>> Place(epoch=3).taken
    [0]
    """

    epoch: int = 0
    taken: list[int] = field(default_factory=lambda: [0])  # samples; for shards one a worker


@dataclass
class Batches:
    """The batches of the rest of an epoch, as lists of (epoch, sample): a batch sampler for torch.

    >>> list(Batches(Place(), 5, batch_size=2, seed=0, shuffle=False))
    [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4)]]
    """

    place: Place
    count: int
    batch_size: int
    seed: int
    shuffle: bool
    drop_last: bool = False
    rank: int = 0
    world_size: int = 1

    def __len__(self) -> int:
        share = -(-self.count // self.world_size)
        return share // self.batch_size if self.drop_last else -(-share // self.batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch = self.place.epoch
        order = epoch_order(
            self.count, self.seed, epoch, self.shuffle, self.rank, self.world_size
        ).tolist()
        stop = len(order)
        if self.drop_last:
            stop -= stop % self.batch_size
        for first in range(self.place.taken[0], stop, self.batch_size):
            yield [(epoch, number) for number in order[first : min(first + self.batch_size, stop)]]
