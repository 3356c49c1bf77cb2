"""ClipLoader: batches for training and testing, in a known order, with nothing lost.

torch's DataLoader does the work. Added are: an order that depends on (seed, epoch) only, a place in
it that can be saved and restored, errors that name the file, and copying to the GPU meanwhile.
"""

import atexit
import contextlib
import functools
import multiprocessing
import pickle
import re
import shutil
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    default_collate,
    get_worker_info,
)

from vivit_lab.data.dataset import BadVideo, BadVideoWarning, Fetched, TooManyBadVideos, check_limit
from vivit_lab.errors import one_of, whole
from vivit_lab.video.opening import VideoError

PATIENCE = 5.0  # seconds after which we look whether the workers still live
SHARED = Path("/dev/shm")  # where Linux keeps the memory that processes share
ORDER = 1  # sets these random numbers apart from those of the samples
Result = TypeVar("Result")


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


def explained(
    error: RuntimeError,
    deaths: str,
    held: list[tuple[int, int]],
    dataset: Dataset,
    timeout: float,
) -> str:
    """Why torch's DataLoader gave up, in plain words.

    deaths: of workers, as `ended` gives them. held: (process id, sample) of each worker, as
    `Hands.held` gives them.

    >>> from vivit_lab.data import ArrowOfTime
    >>> error = RuntimeError("DataLoader worker (pid(s) 41) exited unexpectedly")
    >>> print(explained(error, "", [(40, 8), (41, 3)], ArrowOfTime(), 300))
    A worker ended unexpectedly: worker 1 (process 41) with sample 3. If nobody ended it, the \
machine may have run out of memory: try fewer workers, or a smaller batch.
    """
    said = f"{error} {error.__cause__ or ''} {error.__context__ or ''} {deaths}"
    if "timed out" in said:
        return (
            f"No batch came for {timeout:g} s: {_in_hand(held, held, dataset)}. A disk or a "
            "network folder may be slow or gone. A higher `timeout` waits longer; 0 for ever."
        )
    processes = set(re.findall(r"\d+", " ".join(re.findall(r"pid(?:\(s\))? [\d, ]+", said))))
    gone = [worker for worker in held if str(worker[0]) in processes]
    who = _in_hand(gone, held, dataset) if gone else "before it began to read"
    if shared_memory_is_full(said):
        return f"Workers have no room left in shared memory: {who}. {more_room()}"
    if not any(sign in said for sign in ("exited unexpectedly", "killed by signal")):
        return str(error)
    if not gone:
        return (
            f"A worker ended {who}: {error}. Where workers are spawned, a script must do its work "
            'under: if __name__ == "__main__":'
        )
    by = re.search(r"killed by signal: ([A-Za-z ]+)", said)
    how = f"was ended by a signal ({by[1].strip()})" if by else "ended unexpectedly"
    return (
        f"A worker {how}: {who}. If nobody ended it, the machine may have run out of memory: try "
        "fewer workers, or a smaller batch."
    )


def ended(workers: Iterable[BaseProcess]) -> str:
    """Which workers have ended, and by which signal, in torch's words for it.

    torch tells by an exception from its signal handler, which is lost where it lands in a callback
    of the garbage collector; five seconds later it knows the process, but no longer the signal.

    >>> ended([])
    ''
    """
    return " ".join(
        f"(pid {worker.pid}) is killed by signal: {signal.strsignal(-worker.exitcode)}."
        if worker.exitcode < 0
        else f"(pid {worker.pid}) exited unexpectedly."
        for worker in workers
        if worker.exitcode is not None
    )


def shared_memory_is_full(said: str) -> bool:
    """Whether an error of torch or of the system means that.

    >>> shared_memory_is_full("unable to allocate shared memory(shm) for file </torch_12_3>")
    True
    """
    return "Bus error" in said or "/torch_" in said


def more_room() -> str:
    """What can be done about shared memory that is full.

    >>> more_room().endswith("or take fewer workers, a lower prefetch, or a smaller batch.")
    True
    """
    room = ""
    if SHARED.is_dir():
        space = shutil.disk_usage(SHARED)
        room = f"{SHARED} has {space.free >> 20:,} MB free of {space.total >> 20:,}. "
    return (
        f"{room}Give it more (docker run --shm-size=8g), or take fewer workers, a lower prefetch, "
        "or a smaller batch."
    )


def _in_hand(
    workers: Iterable[tuple[int, int]], held: list[tuple[int, int]], dataset: Dataset
) -> str:
    """Who the workers are, and the sample that each was busy with."""
    found = []
    for process, number in workers:
        what = "between two samples" if number < 0 else f"with {sample_name(dataset, number)}"
        found.append(f"worker {held.index((process, number))} (process {process}) {what}")
    return ", ".join(found)


class LoadingError(RuntimeError):
    """A batch could not be made. The message says what happened, and to which sample.

    >>> LoadingError("sample 3 (a.mp4): ZeroDivisionError: division by zero")
    LoadingError('sample 3 (a.mp4): ZeroDivisionError: division by zero')
    """


_RAISED = {kind.__name__: kind for kind in (TooManyBadVideos, VideoError, LoadingError)}


class ClipLoader:
    """Batches of a data set: `for batch in loader` runs to the end of an epoch.

    dataset: ClipDataset, ViewDataset, ShardDataset, or any map-style data set of (clip, label),
    such as ArrowOfTime. batch_size: samples; the last batch of an epoch may be smaller, unless
    drop_last leaves it out. workers: processes that read ahead, `prefetch` batches each; with 0
    the main process reads. shuffle: another order in each epoch, by (seed, epoch); a ShardDataset
    shuffles by itself.

    A loader stands at a place, (epoch, samples handed out), that only moves forward: a loop that
    was left goes on where it stopped, and after the last batch the next epoch is due. `set_epoch`
    moves it anywhere; `state_dict` and `load_state_dict` save and restore it, exactly. The batches
    are the same whatever the number of workers.

    rank, world_size: this process among those that train together. All together take every sample
    in every epoch; where it does not divide, a few come twice, as with torch's DistributedSampler
    (`batch.numbers` tells which; ShardDataset repeats none).

    context: how workers start: "fork", "spawn" or "forkserver"; None is the platform's custom.
    timeout: seconds without a batch after which LoadingError is raised; 0 waits for ever.

    epoch      the epoch that the next batch belongs to
    bad        list of BadVideo, each warned of once: what was replaced or left out since the start
    waited     seconds that this epoch's loop has waited for data: the time that training starved

    Raises TypeError or ValueError for illegal settings; while running TooManyBadVideos, VideoError
    (a bad video in a test set), or LoadingError. The workers end with the loader, or `close()`.

    >>> from vivit_lab.data import ArrowOfTime
    >>> loader = ClipLoader(ArrowOfTime(clips=10), batch_size=4, shuffle=True)
    >>> [batch.clips.shape[0] for batch in loader]
    [4, 4, 2]
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 8,
        workers: int = 0,
        shuffle: bool = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 2,
        context: str | None = None,
        timeout: float = 300,
    ):
        check_settings(batch_size, workers, seed, rank, world_size, prefetch, context, timeout)
        self.dataset, self.batch_size, self.workers = dataset, batch_size, workers
        self.bad: list[BadVideo] = []
        self.waited = 0.0
        self._streams = isinstance(dataset, IterableDataset)
        self._settings = {"seed": seed, "shuffle": shuffle, "world_size": world_size, "rank": rank}
        self._drop_last, self._prefetch = drop_last, prefetch
        self._context, self._timeout = context, timeout
        self._hands = Hands(workers)
        self._place = Place(taken=[0] * max(workers, 1) if self._streams else [0])
        if self._streams:
            check_stream(dataset, shuffle)
            share = (rank, world_size, batch_size, drop_last)
            self._source = StreamSource(dataset, share, self._hands, workers)
        else:
            check_map_style(dataset)
            self._source = MapSource(dataset, self._hands)
        self._loader: DataLoader | None = None  # made, with its workers, by the first loop
        self._batches: Iterator[Parcel] | None = None
        self._under_way, self._fetched = False, Place()  # how far `_batches` is in its epoch

    def __len__(self) -> int:
        """Batches in a whole epoch, for this process."""
        if self._streams:
            rank, size = self._settings["rank"], self._settings["world_size"]
            return self.dataset.batches(rank, size, self.batch_size, self._drop_last)
        return len(self._plan())

    def __repr__(self) -> str:
        return (
            f"ClipLoader({type(self.dataset).__name__}, batch_size={self.batch_size}, "
            f"workers={self.workers}, epoch={self.epoch})"
        )

    @property
    def epoch(self) -> int:
        return self._place.epoch

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, a whole number of at least 0."""
        whole("epoch", epoch, least=0)
        self._place.epoch, self._place.taken = epoch, [0] * len(self._place.taken)

    def state_dict(self) -> dict:
        """Where the loop stands: what has been handed out counts, what was only prefetched not.

        >>> from vivit_lab.data import ArrowOfTime
        >>> loader = ClipLoader(ArrowOfTime(clips=10), batch_size=4)
        >>> batch = next(iter(loader))
        >>> loader.state_dict()["taken"]
        [4]
        """
        return {"epoch": self.epoch, "taken": list(self._place.taken), **self._what()}

    def load_state_dict(self, state: dict) -> None:
        """Go to a saved place: the batches that follow are those that would have followed there.

        The number of workers may differ, except for a ShardDataset. Raises ValueError if data set,
        seed, shuffle, world_size or, for shards, workers or batch size are not those of the state.

        >>> from vivit_lab.data import ArrowOfTime
        >>> loader = ClipLoader(ArrowOfTime(clips=10), batch_size=4)
        >>> loader.load_state_dict({**loader.state_dict(), "epoch": 3})
        >>> loader.epoch
        3
        """
        for name, here in self._what().items():
            if state[name] != here:
                raise ValueError(
                    f"The saved place was for {name} = {state[name]!r}, but here {name} is "
                    f"{here!r}: other batches would follow than those that were due."
                )
        self._place.epoch, self._place.taken = state["epoch"], list(state["taken"])

    def __iter__(self) -> Iterator[Batch]:
        for parcel in self._parcels():
            self._count(parcel)
            if parcel.batch is not None:
                yield parcel.batch
        self.set_epoch(self.epoch + 1)

    def on(self, device: str | torch.device) -> Iterator[Batch]:
        """The batches on a device, pixels normalised there: float32 -1..1.

        On a GPU the next batch is copied, on a stream of its own, while this one is in use.

        >>> from vivit_lab.data import ArrowOfTime
        >>> batch = next(ClipLoader(ArrowOfTime(clips=8), batch_size=4).on("cpu"))
        >>> batch.clips.dtype, bool(batch.clips.abs().max() <= 1)
        (torch.float32, True)
        """
        for parcel, batch in to_device(self._parcels(), torch.device(device)):
            self._count(parcel)
            if batch is not None:
                yield batch
        self.set_epoch(self.epoch + 1)

    def close(self) -> None:
        """End the workers now. The loader can still be used: the next loop starts new ones.

        >>> from vivit_lab.data import ArrowOfTime
        >>> ClipLoader(ArrowOfTime(clips=8), batch_size=4, workers=1).close()
        """
        if hasattr(self._batches, "_shutdown_workers"):  # not only when the last name is gone:
            self._batches._shutdown_workers()  # the stack of an exception may hold one for long
        self._loader = self._batches = None
        self._under_way = False

    def __enter__(self) -> "ClipLoader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _parcels(self) -> Iterator[Parcel]:
        """What the workers send, from our place to the end of the epoch."""
        self.waited = 0.0
        if not (self._under_way and self._fetched == self._place):
            self._guarded(self._start)
        while True:
            begun = time.perf_counter()
            parcel = self._guarded(self._next)
            self.waited += time.perf_counter() - begun
            if parcel is None:
                self._under_way = False
                return
            if parcel.failure is not None:
                self.close()
                raise _raised(parcel.failure)
            self._move(self._fetched, parcel)
            yield parcel

    def _start(self) -> None:
        """Begin at our place, with the workers that there are, if they are idle, or new ones."""
        if self._under_way:
            self.close()
        if self._streams:
            self._source.place.copy_(torch.tensor([self.epoch, *self._place.taken]))
        with _interrupts_held(self._context or multiprocessing.get_start_method()):
            try:
                self._loader = self._made() if self._loader is None else self._loader
                self._batches = iter(self._loader)
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
                self.close()  # the workers there were did not answer
                self._loader = self._made()
                self._batches = iter(self._loader)
        self._fetched = Place(self.epoch, list(self._place.taken))
        self._under_way = True

    def _next(self) -> Parcel | None:
        """The next parcel; None at the end. torch looks after dead workers each time it gives up
        waiting, so it waits for a short while again and again."""
        begun = time.monotonic()
        while True:
            try:
                return next(self._batches, None)
            except RuntimeError as error:
                late = 0 < self._timeout <= time.monotonic() - begun
                if late or "timed out" not in str(error):
                    raise
            except (OSError, EOFError) as error:
                # A batch is fetched from the worker that offers it. Where that dies meanwhile, the
                # connection breaks before the system, and so torch, calls the worker dead.
                dying = wait([worker.sentinel for worker in self._processes()], PATIENCE)
                for worker in self._processes():
                    if worker.sentinel in dying:
                        worker.join(PATIENCE)
                if not ended(self._processes()):
                    raise
                raise RuntimeError("the connection to a worker broke") from error

    def _processes(self) -> list[BaseProcess]:
        """The workers that there are."""
        return getattr(self._batches, "_workers", [])

    def _move(self, place: Place, parcel: Parcel) -> None:
        place.taken[parcel.worker if self._streams else 0] += parcel.asked

    def _made(self) -> DataLoader:
        several = self.workers > 0
        if self._streams:
            order = {"batch_size": self.batch_size, "drop_last": self._drop_last}
        else:
            order = {"batch_sampler": self._plan()}
        return DataLoader(
            self._source,
            **order,
            collate_fn=pack,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=several,
            prefetch_factor=self._prefetch if several else None,
            timeout=min(self._timeout or PATIENCE, PATIENCE) if several else 0,
            multiprocessing_context=self._context if several else None,
            worker_init_fn=sign_on if several else None,
            generator=torch.Generator(),  # leaves torch's global random numbers as they are
        )

    def _plan(self) -> Batches:
        return Batches(
            self._place,
            len(self.dataset),
            self.batch_size,
            drop_last=self._drop_last,
            **self._settings,
        )

    def _count(self, parcel: Parcel) -> None:
        """Move on by what is handed out now, and say what was bad about it."""
        self._move(self._place, parcel)
        for bad in parcel.bad:
            self.bad.append(bad)
            warnings.warn(str(bad), BadVideoWarning, stacklevel=3)
        limit = getattr(self.dataset, "bad_limit", None)
        if parcel.bad and limit is not None:
            reasons = {bad.number: bad.reason for bad in self.bad}
            count, source = _length(self.dataset), _source_of(self.dataset)
            self._guarded(lambda: check_limit(reasons, limit, count, source))

    def _what(self) -> dict:
        """What must be the same for a saved place to mean the same."""
        settings = {"samples": _length(self.dataset), **self._settings}
        if self._streams:
            settings |= {"workers": self.workers, "batch_size": self.batch_size}
            settings |= self.dataset.settings()
        del settings["rank"]
        return settings

    def _guarded(self, action: Callable[[], Result]) -> Result:
        """Do it; if that fails, end the workers, and say in plain words what happened."""
        try:
            return action()
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self.close()
            if "pickle" not in str(error) and "local object" not in str(error):
                raise
            raise TypeError(
                f"The data set cannot be sent to workers, which start afresh here: {error}. Use "
                "functions and classes defined at the top of a module in place of lambdas and "
                'local ones, or context="fork" where the platform has it.'
            ) from error
        except RuntimeError as error:
            deaths = ended(self._processes())
            said = explained(error, deaths, self._hands.held(), self.dataset, self._timeout)
            self.close()
            raise LoadingError(said) from error
        except BaseException:
            self.close()
            raise


@atexit.register
def _leave_quietly() -> None:
    """Python kills the workers that are left as it ends, and torch, which listens for deaths, would
    add a stack of its own for one that was still starting."""
    listens = signal.getsignal(signal.SIGCHLD) if hasattr(signal, "SIGCHLD") else None
    if getattr(listens, "__module__", "").startswith("torch.utils.data"):
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _raised(failure: Failure) -> Exception:
    """The exception that a worker met, with the place where it happened as a note."""
    message = failure.message
    if shared_memory_is_full(message):
        message = f"{message} {more_room()}"
    error = _RAISED[failure.kind](message)
    if failure.kind == "LoadingError":
        error.add_note(f"In the worker:\n{failure.where}")
    return error


@contextlib.contextmanager
def _interrupts_held(context: str) -> Iterator[None]:
    """Ctrl-C waits until the end of the block; processes started in it never hear of it at all.

    So workers that are still importing do not each print a stack: we end them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    if context in ("spawn", "forkserver"):
        resource_tracker.ensure_running()  # else it starts in the block, and lets Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _length(dataset: Dataset) -> int | None:
    try:
        return len(dataset)
    except TypeError:  # shards without an index
        return None


def _source_of(dataset: Dataset) -> object:
    return dataset.catalog.source if hasattr(dataset, "catalog") else None
