"""ClipLoader: batches for training and testing, in a known order, with nothing lost.

torch's DataLoader does the work. Added are: an order that depends on (seed, epoch) only, a place in
it that can be saved and restored, errors that name the file, and copying to the GPU meanwhile.
"""

import atexit
import contextlib
import multiprocessing
import pickle
import signal
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from vivit_lab.data.bad_videos import BadVideo, BadVideoWarning, TooManyBadVideos, check_limit
from vivit_lab.data.loading_checks import check_map_style, check_settings, check_stream
from vivit_lab.data.loading_device import to_device
from vivit_lab.data.loading_failure import ended, explained, more_room, shared_memory_is_full
from vivit_lab.data.loading_order import Batches, Place
from vivit_lab.data.loading_worker import (
    Batch,
    Failure,
    Hands,
    MapSource,
    Parcel,
    StreamSource,
    pack,
    sign_on,
)
from vivit_lab.errors import whole
from vivit_lab.video.opening import VideoError

PATIENCE = 5.0  # seconds after which we look whether the workers still live
Result = TypeVar("Result")


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
