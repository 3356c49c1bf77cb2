"""Many videos at once, each in a process that may hang or die without harm to the others."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

from vivit_lab.data.checking.worker import READY

START = "from vivit_lab.data.checking.worker import main; main()"
START_SECONDS = 120  # to import torch from a slow disk
EXIT_SECONDS = 30  # from the last word to the end


class Worker:
    """One process that looks at videos, one after the other; a new one takes a dead one's place."""

    def __init__(self, limit: float):
        self.limit = limit  # seconds for one video
        self._process: subprocess.Popen | None = None
        self._stopped = False
        self._turn = threading.Lock()

    def examine(self, task: dict) -> dict:
        """As `examine.examine(**task)`; a video that hangs or crashes the process has a reason too,
        and "retry": True, since the machine may be to blame."""
        if self._process is not None and self._process.poll() is not None:
            self._end()  # it has died since, and not of this video
        if self._process is None:
            self._start()
        process, late = self._process, threading.Event()
        answer = self._ask(process, json.dumps(task), late, self.limit)
        if not late.is_set() and not answer.endswith("\n"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=EXIT_SECONDS)  # it is about to end, and will say how
        if late.is_set() or not answer.endswith("\n"):
            self._end()
        if answer.endswith("\n"):
            return json.loads(answer)
        if late.is_set():
            reason = f"nothing came back within {self.limit:g} s, so it was given up."
        else:
            reason = f"reading it ended the process ({_how_it_ended(process.returncode)})."
        return {"reason": reason, "retry": True}

    def stop(self) -> None:
        """End the process at once, from whatever thread."""
        with self._turn:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _ask(
        self, process: subprocess.Popen, line: str, late: threading.Event, limit: float
    ) -> str:
        def give_up() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limit, give_up)
        timer.daemon = True
        timer.start()
        try:
            if line:
                process.stdin.write(f"{line}\n")
                process.stdin.flush()
            return process.stdout.readline()
        except (OSError, ValueError):  # it has died before it could listen
            return ""
        finally:
            timer.cancel()
            timer.join()  # from here on it will not fire

    def _start(self) -> None:
        paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
        environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        with tempfile.TemporaryFile() as complaints:
            with self._turn:
                if self._stopped:
                    raise WorkerError("stopped")
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", START, str(self.limit)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=complaints,
                    text=True,
                    encoding="ascii",
                    env=environment,
                )
            if self._ask(self._process, "", threading.Event(), START_SECONDS).strip() != READY:
                self._end()
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip()[-2000:]
                raise WorkerError(f"a process that looks at videos could not start:\n{said}")

    def _end(self) -> None:
        with self._turn:
            process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):  # what it was being told is of no use now
                pipe.close()


class WorkerError(RuntimeError):
    """The processes that look at videos cannot be started."""


def examine_all(tasks: list[dict], workers: int, limit: float) -> Iterator[tuple[dict, dict]]:
    """(task, what was found) for each task, as they are done; `workers` processes side by side.

    The processes end when the iterator is closed, be it early. Raises WorkerError.
    """
    waiting, done = queue.SimpleQueue(), queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    crew = [Worker(limit) for _ in range(min(workers, len(tasks)))]
    threads = [threading.Thread(target=_work, args=(w, waiting, done), daemon=True) for w in crew]
    for thread in threads:
        thread.start()
    try:
        for _ in tasks:
            task, found = _next(done)
            if isinstance(found, Exception):
                raise found
            yield task, found
    finally:
        for worker in crew:
            worker.stop()
        for thread in threads:
            thread.join(timeout=5)


def _work(worker: Worker, waiting: queue.SimpleQueue, done: queue.SimpleQueue) -> None:
    task = None
    try:
        while not worker._stopped:
            task = waiting.get_nowait()
            done.put((task, worker.examine(task)))
    except queue.Empty:
        pass
    except Exception as error:
        done.put((task, error))
    finally:
        if worker._process is not None:
            worker._end()


def _next(done: queue.SimpleQueue) -> tuple[dict, dict | Exception]:
    while True:
        try:
            return done.get(timeout=0.5)  # with a limit: on Windows, Ctrl-C waits for nothing else
        except queue.Empty:
            pass


def _how_it_ended(code: int | None) -> str:
    """
    >>> _how_it_ended(-9)
    'signal 9, SIGKILL: killed, perhaps for want of memory'
    """
    if code is None or code >= 0:
        return f"exit status {code}"
    name = signal.Signals(-code).name if -code in iter(signal.Signals) else "unknown"
    hint = {"SIGKILL": ": killed, perhaps for want of memory", "SIGSEGV": ": it crashed"}
    return f"signal {-code}, {name}{hint.get(name, '')}"
