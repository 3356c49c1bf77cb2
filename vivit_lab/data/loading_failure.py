"""What a loader says when a worker was killed, got stuck, or found no shared memory."""

import re
import shutil
import signal
from collections.abc import Iterable
from multiprocessing.process import BaseProcess
from pathlib import Path

from torch.utils.data import Dataset

from vivit_lab.data.loading_worker import sample_name

SHARED = Path("/dev/shm")  # where Linux keeps the memory that processes share


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
