"""Which worker of which process reads which stretch of which shard: every sample exactly once."""

from typing import NamedTuple


class Part(NamedTuple):
    """Samples first to stop - 1 of a shard; stop is None where its length is not known.

    >>> Part(shard=2, first=10, stop=20).shard
    2
    """

    shard: int
    first: int
    stop: int | None


def share_of(
    count: int, rank: int, world_size: int, batch_size: int, drop_last: bool
) -> tuple[int, int]:
    """Places in the epoch's order, first to stop - 1, that process `rank` takes of `count`.

    The shares differ by at most one. With drop_last they are equal, and whole batches.

    >>> [share_of(10, rank, 3, batch_size=2, drop_last=False) for rank in range(3)]
    [(0, 3), (3, 6), (6, 10)]
    >>> [share_of(10, rank, 3, batch_size=2, drop_last=True) for rank in range(3)]
    [(0, 2), (3, 5), (6, 8)]
    """
    first, stop = rank * count // world_size, (rank + 1) * count // world_size
    if drop_last:
        stop = first + count // world_size // batch_size * batch_size
    return first, stop


def batches_of(count: int, batch_size: int) -> int:
    """Batches that `count` samples make; the last may be smaller.

    >>> batches_of(9, 4)
    3
    """
    return -(-count // batch_size)


def parts_of(
    order: list[int],
    counts: list[int] | None,
    rank: int,
    world_size: int,
    batch_size: int,
    drop_last: bool,
    worker: int,
    workers: int,
) -> list[Part]:
    """What one worker reads. order: the shards as the epoch takes them; counts: their samples.

    A process's share is cut into whole batches for its workers, so that only its last batch may
    be smaller. Without counts each worker takes every so manieth shard, whole.

    >>> parts_of([1, 0], [4, 6], 0, 1, 2, False, worker=1, workers=2)
    [Part(shard=1, first=4, stop=6), Part(shard=0, first=0, stop=4)]
    >>> parts_of([1, 0, 2], None, 0, 1, 2, False, worker=1, workers=2)
    [Part(shard=0, first=0, stop=None)]
    """
    if counts is None:
        mine = order[rank * workers + worker :: world_size * workers]
        return [Part(shard, 0, None) for shard in mine]
    first, stop = share_of(sum(counts), rank, world_size, batch_size, drop_last)
    batches = batches_of(stop - first, batch_size)
    begin = first + worker * batches // workers * batch_size
    end = min(first + (worker + 1) * batches // workers * batch_size, stop)
    parts, before = [], 0
    for shard in order:
        low, high = max(begin - before, 0), min(end - before, counts[shard])
        if low < high:
            parts.append(Part(shard, low, high))
        before += counts[shard]
    return parts
