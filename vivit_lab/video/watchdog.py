"""End work that is stuck, as FFmpeg is on some files: it runs in a thread of its own, for which its
caller waits only so long. Then the thread is left behind, with whatever it holds; else it waits
for the next work: a new thread for each call would scatter FFmpeg's memory."""

import os
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

TIME_LIMIT = 60.0  # seconds for opening a file, and for each picture


class Overdue(Exception):
    """The work made no progress for as long as it was given."""


class GivenUp(Exception):
    """Raised in work that is not waited for any more, so that it ends."""


class Watch:
    """Runs work, and gives it up when it makes no progress for `seconds`; once `given_up`, nothing
    that it used may be used again."""

    def __init__(self, seconds: float = TIME_LIMIT):
        self.seconds = seconds
        self.given_up = False
        self._doing, self._since = "", 0.0

    def run(self, doing: str, work: Callable, *arguments: object) -> object:
        """What `work` returns or raises; Overdue, within a moment of the limit. `doing` says what
        it is at, as `progress` does. Ctrl-C gets through, and gives up, too."""
        self.progress(doing)
        worker = _idle.pop() if _idle else _Worker()
        worker.tasks.put((work, arguments))
        try:
            result, error = self._wait(worker.answers)
        except BaseException:
            self.given_up = True
            raise
        _idle.append(worker)
        if error is None:
            return result
        try:
            raise error
        finally:
            del error  # it would keep this frame, which keeps it, until the next clean-up

    def _wait(self, answers: SimpleQueue) -> tuple:
        while True:
            left = self._since + self.seconds - time.monotonic()
            if left <= 0:
                raise Overdue(f"{self._doing} took longer than the limit of {self.seconds:g} s")
            try:
                return answers.get(timeout=min(left, 0.2))  # short, so that Ctrl-C gets through
            except Empty:
                pass  # late, unless there was progress meanwhile

    def progress(self, doing: str) -> None:
        """Called by the work when it gets to something new: the clock starts again."""
        self._doing, self._since = doing, time.monotonic()

    def check(self) -> None:
        """Called by the work often: raises GivenUp if nobody waits for it any more."""
        if self.given_up:
            raise GivenUp


class _Worker:
    """A thread that does one task after the other; each is answered by what it returned or raised.
    One whose answer nobody waited for is not used again."""

    def __init__(self):
        self.tasks, self.answers = SimpleQueue(), SimpleQueue()
        threading.Thread(target=_serve, args=(self.tasks, self.answers), daemon=True).start()


def _serve(tasks: SimpleQueue, answers: SimpleQueue) -> None:
    while True:
        work, arguments = tasks.get()
        try:
            answer = work(*arguments), None
        except BaseException as error:
            answer = None, error
        del work, arguments  # before the answer: nothing may be kept while waiting for more
        answers.put(answer)
        del answer


_idle = []  # a fork copies no threads: the child begins with none
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_idle.clear)
