"""Batches on the device: uint8 travels, the GPU normalises, and copying hides behind computing."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from vivit_lab.data.loading_worker import Batch, Parcel


def to_device(
    parcels: Iterable[Parcel], device: torch.device
) -> Iterator[tuple[Parcel, Batch | None]]:
    """Each parcel, and its batch on the device with pixels in -1..1 (float32).

    On a GPU the next batch is already on its way, on a stream of its own, when one is handed out.
    Copies from pinned memory only run in the background; a loader pins where there is a GPU.

    >>> clips = torch.tensor([[[[[255]]]]], dtype=torch.uint8)
    >>> parcel = Parcel(Batch(clips, None, torch.tensor([0])), (), 0, 1, None)
    >>> [batch.clips.item() for _, batch in to_device([parcel], torch.device("cpu"))]
    [1.0]
    """
    from vivit_lab.video.transforms import normalise  # torchvision: slow, and not for workers

    if device.type != "cuda":
        for parcel in parcels:
            batch = parcel.batch
            if batch is not None:
                batch = _each(batch, lambda tensor: tensor.to(device))
                batch = batch._replace(clips=normalise(batch.clips))
            yield parcel, batch
        return

    copying, before = torch.cuda.Stream(device), None
    for parcel in parcels:
        with torch.cuda.stream(copying):
            sent = _each(parcel.batch, lambda tensor: tensor.to(device, non_blocking=True))
            arrived = copying.record_event()
        if before is not None:
            yield _received(*before, normalise)
        before = parcel, sent, arrived
    if before is not None:
        yield _received(*before, normalise)


def _received(
    parcel: Parcel,
    batch: Batch | None,
    arrived: torch.cuda.Event,
    normalise: Callable[[Tensor], Tensor],
) -> tuple[Parcel, Batch | None]:
    if batch is None:
        return parcel, None
    computing = torch.cuda.current_stream(batch.clips.device)
    computing.wait_event(arrived)
    _each(batch, lambda tensor: tensor.record_stream(computing))  # not to be reused too early
    return parcel, batch._replace(clips=normalise(batch.clips))


def _each(batch: Batch | None, action: Callable[[Tensor], Tensor | None]) -> Batch | None:
    """The batch with `action` done to each of its tensors."""
    if batch is None:
        return None
    labels = batch.labels
    if isinstance(labels, dict):
        labels = {head: action(tensor) for head, tensor in labels.items()}
    elif labels is not None:
        labels = action(labels)
    return Batch(action(batch.clips), labels, action(batch.numbers))
