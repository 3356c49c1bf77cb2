"""Trainings in several threads of one process take turns, step by step.

Each step seeds the random numbers of the process and draws from them, so no two may run at once.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterator

import torch


class Turns:
    """Who is on: the first in a queue. Whoever gives the turn away goes to its end.

    Example:
        >>> turns = Turns()
        >>> with turns.training():
        ...     with turns.given_away():  # others may take a step
        ...         pass
        >>> turns.waiting
        0
    """

    def __init__(self):
        self._condition, self._queue = threading.Condition(), deque()
        self._under_way, self._random = 0, None

    @property
    def waiting(self) -> int:
        """How many others want a turn."""
        return max(0, len(self._queue) - 1)

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Have the turn inside; when no one trains any more, random numbers are yours again."""
        self._take()
        try:
            if not self._under_way:
                self._random = torch.get_rng_state()
            self._under_way += 1
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                torch.set_rng_state(self._random)
            self._give()

    @contextlib.contextmanager
    def given_away(self) -> Iterator[None]:
        """Let others have the turn inside, and wait at the end for the own one."""
        self._give()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        ticket = object()
        with self._condition:
            self._queue.append(ticket)
            self._condition.wait_for(lambda: self._queue[0] is ticket)

    def _give(self) -> None:
        with self._condition:
            self._queue.popleft()
            self._condition.notify_all()


TURNS = Turns()
