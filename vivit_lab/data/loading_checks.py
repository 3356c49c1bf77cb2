"""What a ClipLoader refuses before it starts: settings and data sets that would end badly."""

import torch
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset

from vivit_lab.errors import one_of, whole


def check_map_style(dataset: Dataset) -> None:
    """Raise for an empty data set, and for a wrapper that would hide what a ClipDataset needs.

    Through torch's Subset or ConcatDataset it would not hear of the epoch, and draw the same clips
    in each; nor would its bad videos be counted.
    """
    inner = [dataset.dataset] if isinstance(dataset, Subset) else []
    if isinstance(dataset, ConcatDataset):
        inner = dataset.datasets
    if any(hasattr(one, "fetch") for one in inner):
        raise TypeError(
            f"The data set is a {type(dataset).__name__} around a {type(inner[0]).__name__}, which "
            "would hide the epoch from it. Choose among the segments instead, e.g. "
            "ClipDataset(catalog[:100])."
        )
    if not len(dataset):
        raise ValueError("The data set is empty: there is nothing to load.")


def check_stream(dataset: IterableDataset, shuffle: bool) -> None:
    """Raise for an iterable data set that a ClipLoader cannot share out to its workers."""
    if not hasattr(dataset, "stream"):
        raise TypeError(
            f"The data set is a {type(dataset).__name__}, an iterable one. Of those ClipLoader "
            "knows how to share out ShardDataset only; others need torch's DataLoader."
        )
    if shuffle:
        raise ValueError("A stream is shuffled as it is read: give shuffle to the ShardDataset.")


def check_settings(
    batch_size: int,
    workers: int,
    seed: int,
    rank: int,
    world_size: int,
    prefetch: int,
    context: str | None,
    timeout: float,
) -> None:
    """Raise TypeError or ValueError for an illegal setting of a ClipLoader."""
    whole("batch_size", batch_size)
    whole("workers", workers, least=0)
    whole("seed", seed, least=0)
    whole("rank", rank, least=0)
    whole("world_size", world_size)
    if rank >= world_size:
        raise ValueError(
            f"rank is {rank}, but the {world_size} processes are 0 to {world_size - 1}."
        )
    whole("prefetch", prefetch)
    if context is not None:
        one_of("context", context, torch.multiprocessing.get_all_start_methods())
    if not timeout >= 0:
        raise ValueError(f"timeout is {timeout}, but must be at least 0 seconds; 0 waits for ever.")
