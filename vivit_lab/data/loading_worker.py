"""What runs in the workers of a loader: fetch the samples of a batch, and lay them side by side.

Nothing here ends a worker by an exception: a failure travels back as a sentence in its parcel, and
the main process raises it there, once, without the stack of torch's own machinery.
"""

import atexit
import functools
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset, default_collate, get_worker_info

from vivit_lab.data.bad_videos import BadVideo, TooManyBadVideos
from vivit_lab.data.fetched import Fetched
from vivit_lab.video.opening import VideoError


class Batch(NamedTuple):
    """Several samples: B rows, one for each. A failed video's row is another sample's, or absent.

    >>> Batch(torch.zeros(2, 8, 3, 32, 32, dtype=torch.uint8), torch.tensor([3, 1]),
    ...       torch.tensor([17, 4])).numbers
    tensor([17,  4])
    """

    clips: Tensor  # uint8 (B,T,3,H,W), or (B,views,T,3,H,W); float -1..1 from `loader.on(device)`
    labels: Tensor | dict[str, Tensor] | None  # int64 (B,), one for each head; None: no labels
    numbers: Tensor  # int64 (B,), which sample of the data set each row shows; -1 where unknown


class Failure(NamedTuple):
    """An exception, as it travels from a worker: what kind, what it says, where it happened.

    >>> Failure("VideoError", "a.mp4: the file is empty (0 bytes).", "").kind
    'VideoError'
    """

    kind: str
    message: str
    where: str  # the stack in the worker


class Parcel(NamedTuple):
    """What a worker sends: a batch (None if nothing is left of it), or a failure.

    >>> Parcel(None, (), 0, 4, None).asked
    4
    """

    batch: Batch | None
    bad: tuple[BadVideo, ...]
    worker: int
    asked: int  # samples that the batch was to have
    failure: Failure | None


class Hands:
    """What each worker has in hand, in memory that all processes see: outlives a killed worker.

    >>> hands = Hands(workers=2)
    >>> hands.take(1, 7)
    >>> hands.held()[1][1]
    7
    """

    def __init__(self, workers: int):
        self._table = torch.full((max(workers, 1), 2), -1, dtype=torch.int64).share_memory_()

    def take(self, worker: int, number: int) -> None:
        """Note that a worker begins a sample."""
        self._table[worker, 1] = number

    def sign_on(self, worker: int, process: int) -> None:
        """Note a worker's process id."""
        self._table[worker, 0] = process

    def held(self) -> list[tuple[int, int]]:
        """(process id, sample) of each worker; -1 where it has none yet."""
        return [(process, number) for process, number in self._table.tolist()]


class MapSource(Dataset):
    """A map-style data set as torch's DataLoader sees it: lists of (epoch, number) in.

    >>> from vivit_lab.data import ArrowOfTime
    >>> source = MapSource(ArrowOfTime(clips=8), Hands(0))
    >>> source.__getitems__([(0, 2), (0, 5)])[1].number
    5
    """

    def __init__(self, dataset: Dataset, hands: Hands):
        self.dataset, self.hands = dataset, hands

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Fetched | Failure]:
        worker, found = _worker(), []
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(keys[0][0])
        if hasattr(self.dataset, "__getitems__"):  # it makes many at once faster than one by one
            numbers = [number for _, number in keys]
            self.hands.take(worker, numbers[0])
            made = _attempt(lambda: self.dataset.__getitems__(numbers), f"samples {numbers}")
            if isinstance(made, Failure):
                return [made]
            return [Fetched(*pair, number, ()) for pair, number in zip(made, numbers, strict=True)]
        for _, number in keys:
            self.hands.take(worker, number)
            name = sample_name(self.dataset, number)
            found.append(_attempt(functools.partial(self._fetch, number), name))
            if isinstance(found[-1], Failure):
                break
        self.hands.take(worker, -1)
        return found

    def _fetch(self, number: int) -> Fetched:
        if hasattr(self.dataset, "fetch"):
            return self.dataset.fetch(number)
        clip, label = self.dataset[number]
        return Fetched(clip, label, number, ())


class StreamSource(IterableDataset):
    """A stream of shards as torch's DataLoader sees it; `place`: epoch, then samples taken.

    The place lies in shared memory, because workers live on from epoch to epoch.
    """

    def __init__(self, dataset: IterableDataset, share: tuple, hands: Hands, workers: int):
        self.dataset, self.share, self.hands = dataset, share, hands
        self.place = torch.zeros(1 + max(workers, 1), dtype=torch.int64).share_memory_()

    def __iter__(self) -> Iterator[Fetched | Failure]:
        worker, info = _worker(), get_worker_info()
        epoch, *taken = self.place.tolist()
        workers = info.num_workers if info else 1
        stream = self.dataset.stream(epoch, *self.share, worker, workers, skip=taken[worker])
        while True:
            fetched = _attempt(lambda: next(stream, None), f"a sample of {self.dataset!r}")
            if fetched is None:
                return
            if isinstance(fetched, Fetched):
                self.hands.take(worker, fetched.number)
            yield fetched
            if isinstance(fetched, Failure):
                return


def pack(found: Iterable[Fetched | Failure]) -> Parcel:
    """Samples side by side in one tensor, which in a worker lies in shared memory.

    >>> clip = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    >>> pack([Fetched(clip, 1, 7, ()), Fetched(clip, 0, 9, ())]).batch.labels
    tensor([1, 0])
    """
    found, worker = list(found), _worker()
    for one in found:
        if isinstance(one, Failure):
            return Parcel(None, (), worker, len(found), one)
    bad = tuple(video for one in found for video in one.bad)
    rows = [one for one in found if one.clip is not None]
    batch = _attempt(lambda: _batch(rows), f"the batch of samples {[row.number for row in rows]}")
    if isinstance(batch, Failure):
        return Parcel(None, bad, worker, len(found), batch)
    return Parcel(batch, bad, worker, len(found), None)


def sign_on(worker: int) -> None:
    """Run by each worker as it starts. Ctrl-C is the main process's affair: it ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit.register(_hand_over)  # not run by forked workers, which need no such care
    info = get_worker_info()
    info.dataset.hands.sign_on(worker, torch.multiprocessing.current_process().pid)


def _hand_over() -> None:
    """Let the queue's thread hand over what it holds: where Python ends (before 3.14) while that
    thread is in torch's code for it, C++ aborts the worker, and torch reports a failure."""
    for thread in threading.enumerate():
        if thread.name == "QueueFeederThread":
            thread.join(timeout=4)  # that long only where nobody reads, outside torch's code


def sample_name(dataset: Dataset, number: int) -> str:
    """What messages call a sample: its number, and its file if the data set knows one.

    >>> from vivit_lab.data import ArrowOfTime
    >>> sample_name(ArrowOfTime(), 12)
    'sample 12'
    """
    name = dataset.name_of(number) if hasattr(dataset, "name_of") else ""
    return f"sample {number} ({name})" if name else f"sample {number}"


def _attempt(action: Callable[[], object], name: str) -> object:
    """What `action` returns, or the Failure that it ends in."""
    try:
        return action()
    except (TooManyBadVideos, VideoError) as error:  # these name their files
        return Failure(type(error).__name__, str(error), traceback.format_exc())
    except Exception as error:
        said = f"{name}: {type(error).__name__}: {error}"
        return Failure("LoadingError", said, traceback.format_exc())


def _batch(rows: list[Fetched]) -> Batch | None:
    if not rows:
        return None
    shapes = {tuple(row.clip.shape) for row in rows}
    if len(shapes) > 1:
        raise ValueError(f"the clips have different shapes: {sorted(shapes)}.")
    labels = [row.label for row in rows]
    missing = [row.number for row in rows if row.label is None]
    if missing and len(missing) < len(rows):
        raise ValueError(f"samples {missing} have no label, the others of the batch have one.")
    heads = {tuple(sorted(label)) for label in labels if isinstance(label, dict)}
    if len(heads) > 1:
        raise ValueError(f"the labels are for different heads: {sorted(heads)}.")
    return Batch(
        _stacked([row.clip for row in rows]),
        None if missing else default_collate(labels),
        torch.tensor([row.number for row in rows]),
    )


def _stacked(clips: list[Tensor]) -> Tensor:
    """Clips side by side; colours that are last in memory stay so, which is quicker."""
    if len(clips) == 1:
        return clips[0][None]
    if all(clip.stride(-3) == 1 for clip in clips):
        return default_collate([clip.movedim(-3, -1) for clip in clips]).movedim(-1, -3)
    return default_collate(clips)


def _worker() -> int:
    info = get_worker_info()
    return info.id if info else 0
