"""ClipLoader: torch's DataLoader with an order by (seed, epoch) only, a place in it that can be
saved, errors that name the sample, and copying to the GPU meanwhile.
"""

import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing import resource_tracker
from operator import length_hint
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    Subset,
    default_collate,
)

from vivit_lab.data.dataset import BadVideo, BadVideoWarning, Fetched, check_limit
from vivit_lab.errors import one_of, plain, takes_plain, whole
from vivit_lab.video.opening import VideoError
from vivit_lab.video.transforms import normalise

PATIENCE = 5.0  # seconds after which torch looks whether the workers still live
ORDER = 1  # sets these random numbers apart from those of the samples

# A fork copies locks that other threads hold, for ever: a Jupyter kernel has threads. In its place
# a server without threads forks, which has imported what workers need once for all of them.
START_METHOD = "forkserver" if sys.platform == "linux" else None
IMPORTED_ONCE = ["torchvision.transforms.v2", __name__]

_ENDED = (
    "If a worker ended and printed nothing above, memory or shared memory (/dev/shm) may have run "
    "out: use fewer workers, or smaller batches. If a worker could not get an attribute of "
    "__main__, put that class or function into a .py file and import it, or use workers=0."
)
_SLOW = (
    "No batch came for {:g} s. A disk or a network folder may be slow or unreachable. A higher "
    "`timeout` waits longer; 0 waits without a limit."
)
_CANNOT_BE_SENT = (
    "The data set cannot be sent to workers, which are new processes here: {}. Put its classes and "
    "functions at the top of a .py file and import them from there, or use workers=0."
)


class LoadingError(RuntimeError):
    """A batch could not be made: what happened, and to which sample.

    >>> LoadingError("sample 3 (a.mp4): ZeroDivisionError: division by zero")
    LoadingError('sample 3 (a.mp4): ZeroDivisionError: division by zero')
    """


class Batch(NamedTuple):
    """Several samples: B rows, one for each. A failed video's row is another sample's, or absent.

    >>> Batch(torch.zeros(2, 8, 3, 32, 32, dtype=torch.uint8), torch.tensor([3, 1]),
    ...       torch.tensor([17, 4])).numbers
    tensor([17,  4])
    """

    clips: Tensor  # uint8 (B,T,3,H,W), or (B,views,T,3,H,W); float -1..1 from `loader.on(device)`
    labels: Tensor | dict[str, Tensor] | None  # int64 (B,), one for each head; None: no labels
    numbers: Tensor  # int64 (B,), which sample of the data set each row shows; -1 where unknown


class WorkerResult(NamedTuple):
    """What a worker sends for a batch."""

    batch: Batch | None  # None: nothing is left of it
    bad: tuple[BadVideo, ...]
    asked: int  # samples that the batch was to have
    error: Exception | None = None


class ClipLoader:
    """Batches of a data set: `for batch in loader` runs to the end of an epoch.

    dataset: ClipDataset, ViewDataset, ShardDataset, any map-style data set of (clip, label), such
    as ArrowOfTime, or a torch Subset of one (`batch.numbers` are those of the whole). batch_size:
    samples; the last batch of an epoch may be smaller, unless drop_last leaves it out. workers:
    processes that read ahead, `prefetch` batches each; with 0 the main process reads. shuffle:
    another order in each epoch, by (seed, epoch); a ShardDataset shuffles by itself.
    shuffle="balanced": as many are drawn, from each class equally often, some videos several times
    (torch's WeightedRandomSampler); for a data set of a catalogue with one class a sample.

    A loop that was left goes on where it stopped; after the last batch the next epoch is due.
    `set_epoch` moves the place; `state_dict` and `load_state_dict` save and restore it, for a
    ShardDataset only the epoch. The batches are the same whatever the number of workers.

    rank, world_size: this process among those that train together. All together take every sample
    in every epoch; where it does not divide, a few come twice.

    context: how workers start: "forkserver" (None, on Linux), "spawn" (None, elsewhere) or "fork".
    But for "fork" a script must do its work under `if __name__ == "__main__":`, and a data set must
    be defined in a module. timeout: seconds without a batch before LoadingError; 0: for ever.

    epoch      the epoch that the next batch belongs to
    bad        list of BadVideo, one a sample: what was replaced or left out since the start. A file
               is warned of once
    waited     seconds that this epoch's loop has waited for data: the time that training starved,
               with the start of the workers

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
        shuffle: bool | str = False,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
        prefetch: int = 2,
        context: str | None = None,
        timeout: float = 300,
    ):
        counts = {"batch_size": batch_size, "prefetch": prefetch, "world_size": world_size}
        for name, value in counts.items():
            whole(name, value)
        for name, value in {"workers": workers, "seed": seed, "rank": rank}.items():
            whole(name, value, least=0)
        if rank >= world_size:
            rule = f"the {world_size} processes are 0 to {world_size - 1}"
            raise ValueError(f"rank is {rank}, but {rule}.")
        if context is not None:
            one_of("context", context, multiprocessing.get_all_start_methods())
        if not timeout >= 0:
            raise ValueError(f"timeout is {timeout}, but must be at least 0 seconds; 0: no limit.")
        self.dataset, self.batch_size, self.workers = dataset, batch_size, workers
        self.bad: list[BadVideo] = []
        self.waited = 0.0
        self.epoch, self._taken = 0, 0  # our place: samples of the epoch that were handed out
        self.seed, self.shuffle, self._drop_last = plain((seed, shuffle, drop_last))
        self._rank, self.world_size = plain((rank, world_size))
        self._prefetch, self._timeout = prefetch, timeout
        self._context = context or START_METHOD
        self._indices = dataset.indices if isinstance(dataset, Subset) else None
        self._inner = dataset if self._indices is None else dataset.dataset
        self._streams = isinstance(dataset, IterableDataset)
        one_of("shuffle", shuffle, (False, True, "balanced"))
        _check_dataset(dataset, shuffle)
        self._chances = _even_chances(self._inner, self._indices) if shuffle == "balanced" else None
        if self._streams:
            self._source = _Stream(dataset, (rank, world_size, batch_size, drop_last))
        else:
            self._source = _Numbered(self._inner)
        self._keys: list[list[tuple[int, int]]] = []  # torch's batch sampler; refilled in place
        self._loader: DataLoader | None = None  # made, with its workers, by the first loop
        self._batches: Iterator[WorkerResult] | None = None
        self._read: tuple[int, int] | None = None  # how far `_batches` is; None: at an end

    def __len__(self) -> int:
        """Batches in a whole epoch, for this process."""
        if self._streams:
            return self.dataset.batches(*self._source.share)
        share = -(-len(self.dataset) // self.world_size)
        return share // self.batch_size if self._drop_last else -(-share // self.batch_size)

    def __repr__(self) -> str:
        return f"ClipLoader({type(self.dataset).__name__}, epoch={self.epoch})"

    @takes_plain
    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch, a whole number of at least 0."""
        whole("epoch", epoch, least=0)
        self.epoch, self._taken = epoch, 0

    def state_dict(self) -> dict:
        """Where the loop stands: behind the last batch that was handed out.

        >>> from vivit_lab.data import ArrowOfTime
        >>> loader = ClipLoader(ArrowOfTime(clips=10), batch_size=4)
        >>> batch = next(iter(loader))
        >>> loader.state_dict()["taken"]
        [4]
        """
        place = {"epoch": self.epoch, "taken": [self._taken], **self._identity()}
        return place | {"bad": self.bad.copy()}

    def load_state_dict(self, state: dict) -> None:
        """Go to a saved place: the batches that follow are those that would have followed there.

        A ShardDataset begins the epoch again, with a warning. ValueError if samples, seed, shuffle
        or world_size differ.

        >>> from vivit_lab.data import ArrowOfTime
        >>> loader = ClipLoader(ArrowOfTime(clips=10), batch_size=4)
        >>> loader.load_state_dict({**loader.state_dict(), "epoch": 3})
        >>> loader.epoch
        3
        """
        for name, here in self._identity().items():
            if state[name] != here:
                raise ValueError(
                    f"The saved position was for {name} = {state[name]!r}, but here {name} is "
                    f"{here!r}: the next batches would not be the same."
                )
        self.epoch, self._taken = state["epoch"], sum(state["taken"])
        self.bad = [BadVideo(*bad) for bad in state.get("bad", ())]
        if self._streams and self._taken:
            self._taken = 0
            warnings.warn(
                f"Shards are read from the beginning: epoch {self.epoch} starts again, although "
                f"{sum(state['taken']):,} of its samples were already used.",
                stacklevel=2,
            )

    def __iter__(self) -> Iterator[Batch]:
        return self._handed_out((result, result.batch) for result in self._results())

    def on(self, device: str | torch.device) -> Iterator[Batch]:
        """The batches on a device, pixels normalised there: float32 -1..1.

        >>> from vivit_lab.data import ArrowOfTime
        >>> batch = next(ClipLoader(ArrowOfTime(clips=8), batch_size=4).on("cpu"))
        >>> batch.clips.dtype, bool(batch.clips.abs().max() <= 1)
        (torch.float32, True)
        """
        return self._handed_out(_on_device(self._results(), torch.device(device)))

    def close(self) -> None:
        """End the workers now. The loader can still be used: the next loop starts new ones.

        >>> from vivit_lab.data import ArrowOfTime
        >>> ClipLoader(ArrowOfTime(clips=8), batch_size=4, workers=1).close()
        """
        if hasattr(self._batches, "_shutdown_workers"):  # not only when the last name is gone:
            self._batches._shutdown_workers()  # the stack of an exception may hold one for long
        self._loader = self._batches = self._read = None

    def __enter__(self) -> "ClipLoader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _handed_out(self, pairs: Iterable[tuple[WorkerResult, Batch | None]]) -> Iterator[Batch]:
        """The batches; with each our place moves on, and what was bad about it is said."""
        try:
            for result, batch in pairs:
                self._taken += result.asked
                for bad in result.bad:
                    known = {each.number: each.reason for each in self.bad}
                    if bad.number not in known:  # else another epoch or worker has met it
                        self.bad.append(bad)
                        if bad.reason not in known.values():  # else another segment of the file
                            warnings.warn(str(bad), BadVideoWarning, stacklevel=2)
                if result.bad:  # each worker knows of those only that it met
                    check_limit(self._inner, {bad.number: bad.reason for bad in self.bad})
                if batch is not None:
                    yield batch
        except GeneratorExit:  # the loop was left, and may go on
            raise
        except BaseException:  # Ctrl-C too
            self.close()
            raise
        self.set_epoch(self.epoch + 1)

    def _results(self) -> Iterator[WorkerResult]:
        """What the workers send, from our place to the end of the epoch."""
        self.waited = 0.0
        if self._read != (self.epoch, self._taken):
            self._start()
        for result in iter(self._next, None):
            if result.error is not None:
                raise result.error
            epoch, taken = self._read
            self._read = epoch, taken + result.asked
            yield result
        self._read = None

    def _start(self) -> None:
        """Begin at our place, with the workers that there are, or new ones.

        torch throws away what they have read ahead for another place.
        """
        begun = time.perf_counter()
        if self._streams:
            self._source.epoch.fill_(self.epoch)
        else:
            self._keys[:] = self._plan()
        with _interrupts_held():
            try:
                if self._loader is None:
                    self._loader = self._new_loader()
                self._batches = iter(self._loader)
            except RuntimeError as error:
                if "timed out" not in str(error):
                    raise
                self.close()  # the workers there were did not answer
                self._loader = self._new_loader()
                self._batches = iter(self._loader)
            except (pickle.PicklingError, AttributeError, TypeError) as error:
                if "pickle" not in str(error) and "local object" not in str(error):
                    raise
                raise TypeError(_CANNOT_BE_SENT.format(error)) from error
        self._read = self.epoch, self._taken
        self.waited += time.perf_counter() - begun

    def _plan(self) -> list[list[tuple[int, int]]]:
        """The batches of the rest of the epoch, as lists of (epoch, sample).

        Where the count does not divide, the first samples come again: all processes take equally
        many, else the last step of one would wait for ever for others.
        """
        count = len(self.dataset)
        order = np.arange(count)
        if self.shuffle:
            seed = (self.seed, self.epoch, 0, 0, ORDER)
            random = np.random.default_rng(seed)
            order = random.permutation(count)
            if self._chances is not None:
                order = random.choice(count, count, p=self._chances)
        share = -(-count // self.world_size)  # rounded up
        order = np.resize(order, share * self.world_size)[self._rank :: self.world_size]
        if self._drop_last:
            order = order[: share - share % self.batch_size]
        if self._indices is not None:
            order = np.asarray(self._indices)[order]
        keys = [(self.epoch, number) for number in order.tolist()]
        size = self.batch_size
        return [keys[first : first + size] for first in range(self._taken, len(keys), size)]

    def _new_loader(self) -> DataLoader:
        settings = {"batch_sampler": self._keys}
        if self._streams:
            settings = {"batch_size": self.batch_size, "drop_last": self._drop_last}
        if self.workers:
            context = multiprocessing.get_context(self._context)
            if self._context != "fork":
                _check_importable(self._inner)
            if self._context == "forkserver":
                context.set_forkserver_preload(IMPORTED_ONCE)
            settings |= {
                "num_workers": self.workers,
                "persistent_workers": True,
                "prefetch_factor": self._prefetch,
                "timeout": min(self._timeout or PATIENCE, PATIENCE),
                "multiprocessing_context": context,
                "worker_init_fn": _start_worker,
            }
        return DataLoader(
            self._source,
            collate_fn=_pack,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # leaves torch's global random numbers as they are
            **settings,
        )

    def _next(self) -> WorkerResult | None:
        """The next result; None at the end."""
        # torch looks after dead workers when it gives up waiting: it waits briefly, many times
        begun = time.perf_counter()
        try:
            while True:
                try:
                    return next(self._batches, None)
                except (RuntimeError, OSError, EOFError) as error:
                    if "timed out" not in str(error):
                        said = f"{type(error).__name__}: {error}".removesuffix(": ")
                        raise LoadingError(f"{said}. {_ENDED}") from error
                    if 0 < self._timeout <= time.perf_counter() - begun:
                        raise LoadingError(_SLOW.format(self._timeout)) from error
        finally:
            self.waited += time.perf_counter() - begun

    def _identity(self) -> dict:
        """What must be the same for a saved place to mean the same."""
        names = () if self._streams else ("seed", "shuffle", "world_size")
        samples = {"samples": length_hint(self.dataset) or None}  # None: shards without an index
        return samples | {name: getattr(self, name) for name in names}


# --- what runs in the workers: an error travels as a value, and is raised once, in the main process


class _Numbered(Dataset):
    """Numbered samples, as torch's DataLoader sees them: a list of (epoch, number) in."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitems__(self, keys: list[tuple[int, int]]) -> list[Fetched | Exception]:
        dataset, numbers = self.dataset, [number for _, number in keys]
        fetch = getattr(dataset, "fetch", lambda number: Fetched(*dataset[number], number, ()))
        name, found = f"samples {numbers}", []
        try:
            if hasattr(dataset, "set_epoch"):
                dataset.set_epoch(keys[0][0])
            if hasattr(dataset, "__getitems__"):  # it makes many at once faster than one by one
                pairs = zip(dataset.__getitems__(numbers), numbers, strict=True)
                return [Fetched(*pair, number, ()) for pair, number in pairs]
            for number in numbers:
                file = f" ({dataset.name_of(number)})" if hasattr(dataset, "name_of") else ""
                name = f"sample {number}{file}"
                found.append(fetch(number))
            return found
        except Exception as error:
            return [_failure(error, name)]


class _Stream(IterableDataset):
    """A ShardDataset as torch's DataLoader sees it."""

    def __init__(self, dataset: IterableDataset, share: tuple):
        self.dataset, self.share = dataset, share
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # workers outlive an epoch

    def __iter__(self) -> Iterator[Fetched | Exception]:
        try:
            yield from self.dataset.stream(int(self.epoch), *self.share)
        except Exception as error:
            yield _failure(error, repr(self.dataset))


def _pack(found: list[Fetched | Exception]) -> WorkerResult:
    """Samples side by side in one tensor, which in a worker lies in shared memory."""
    for one in found:
        if isinstance(one, Exception):
            return WorkerResult(None, (), len(found), one)
    bad = tuple(video for one in found for video in one.bad)
    rows = [one for one in found if one.clip is not None]
    try:
        return WorkerResult(_batch(rows) if rows else None, bad, len(found))
    except Exception as error:
        failure = _failure(error, f"the batch of samples {[row.number for row in rows]}")
        return WorkerResult(None, bad, len(found), failure)


def _batch(rows: list[Fetched]) -> Batch:
    clips, labels = [row.clip for row in rows], [row.label for row in rows]
    heads = {tuple(sorted(one)) if isinstance(one, Mapping) else one is None for one in labels}
    if len(heads) > 1:
        raise ValueError(
            f"the labels are for different classifiers, or some are missing: {labels}."
        )
    if all(clip.stride(-3) == 1 for clip in clips):  # colours last in memory: quicker left so
        stacked = default_collate([clip.movedim(-3, -1) for clip in clips]).movedim(-1, -3)
    else:
        stacked = default_collate(clips)
    labels = None if labels[0] is None else default_collate(labels)
    return Batch(stacked, labels, torch.tensor([row.number for row in rows]))


def _failure(error: Exception, name: str) -> Exception:
    """The error as the loader raises it: that of a video names its file, others get a name."""
    if isinstance(error, VideoError):
        return error
    failure = LoadingError(f"{name}: {type(error).__name__}: {error}")
    failure.add_note(f"Where it happened:\n{traceback.format_exc()}")
    return failure


def _start_worker(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the workers
    # Killed, it ends none: each waits for its death. (torch asks for the parent process, which is
    # the fork server here.)
    main = multiprocessing.parent_process()
    threading.Thread(target=lambda: (main.join(), os._exit(1)), daemon=True).start()


# --- what runs in the main process


def _on_device(
    results: Iterable[WorkerResult], device: torch.device
) -> Iterator[tuple[WorkerResult, Batch | None]]:
    """Each result, and its batch on the device; a GPU copies the next batch meanwhile."""
    copying = torch.cuda.Stream(device) if device.type == "cuda" else None

    def ready(result: WorkerResult, batch: Batch | None, copied: torch.cuda.Event | None) -> tuple:
        if copied is not None:
            computing = torch.cuda.current_stream(device)
            computing.wait_event(copied)
            tree_map_only(Tensor, lambda x: x.record_stream(computing), batch)  # not reused early
        return result, batch and batch._replace(clips=normalise(batch.clips))

    send = functools.partial(Tensor.to, device=device, non_blocking=copying is not None)
    sent = deque()
    for result in results:
        with torch.cuda.stream(copying):  # memory is pinned: the copy runs in the background
            batch = tree_map_only(Tensor, send, result.batch)
            sent.append((result, batch, copying and copying.record_event()))
        if copying is None or len(sent) > 1:
            yield ready(*sent.popleft())
    for last in sent:
        yield ready(*last)


def _check_dataset(dataset: Dataset, shuffle: bool) -> None:
    kind = type(dataset).__name__
    if isinstance(dataset, IterableDataset):
        if not hasattr(dataset, "stream"):
            raise TypeError(
                f"The only iterable data set that a loader takes is ShardDataset, not {kind}."
            )
        if shuffle:
            raise ValueError("A stream is shuffled as it is read: give shuffle to ShardDataset.")
    elif isinstance(dataset, ConcatDataset) and hasattr(dataset.datasets[0], "fetch"):
        raise TypeError(
            "A ConcatDataset hides the epoch from its data sets, so that each draws the same clips "
            "in every epoch. Join the catalogues in place of the data sets."
        )
    elif not len(dataset):
        raise ValueError(f"The data set is empty: {kind} has nothing to load.")


def _even_chances(dataset: Dataset, indices: Sequence[int] | None) -> np.ndarray:
    """With which chance each sample is drawn, so that all classes come equally often."""
    segments = getattr(getattr(dataset, "catalog", None), "segments", [])
    labels = [segments[i].label for i in (range(len(segments)) if indices is None else indices)]
    if not labels or not all(isinstance(label, int) for label in labels):
        rule = "a data set of a catalogue with one class for each sample"
        raise ValueError(
            f"shuffle is 'balanced', which needs {rule}, not {type(dataset).__name__}."
        )
    _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1 / (len(counts) * counts[place])


def _check_importable(dataset: Dataset) -> None:
    """Raise TypeError for classes of a notebook, which a worker that starts afresh has not."""
    if hasattr(sys.modules["__main__"], "__file__"):
        return  # a script, which workers import too
    for thing in (dataset, *getattr(dataset, "__dict__", {}).values()):
        if getattr(thing, "__module__", "") == "__main__":
            name = getattr(thing, "__qualname__", type(thing).__qualname__)
            raise TypeError(_CANNOT_BE_SENT.format(f"{name} is defined in a notebook"))


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C waits until the end of the block; processes started in it never hear of it at all, so
    that workers that are still importing do not each print a stack."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # else it starts in the block, and lets Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
