"""How many trainings compute at once, and the queue of the others."""

import math
import os
import threading
from collections import deque

from nmrclassify.training import cluster

MAX_RUNNING = 2  # by default
MAX_WAITING = 16


class QueueFull(RuntimeError):
    """Too many trainings wait already."""


def max_running() -> float:
    """Return how many trainings compute at once: NMRCLASSIFY_TRAININGS, or 2.

    There is no limit where NMRCLASSIFY_SCHEDULER names a cluster: its scheduler has the queue.

    Raises
    ------
    ValueError
        If the environment variable is not a whole number from 1 to 64, or not an address.
    """
    if cluster.address():
        return math.inf
    text = os.environ.get("NMRCLASSIFY_TRAININGS", str(MAX_RUNNING))
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise ValueError(
            f"NMRCLASSIFY_TRAININGS is {text[:20]!r}; expected a whole number from 1 to 64, such as"
            " the number of CPU cores to spare"
        )
    return int(text)


class JobQueue:
    """A limit on how many jobs compute at once; the job that came first starts first.

    Parameters
    ----------
    max_running, max_waiting : float, int
        How many jobs compute, and how many more may wait.
    """

    def __init__(self, max_running: float = MAX_RUNNING, max_waiting: int = MAX_WAITING):
        self._max_running, self._max_waiting = max_running, max_waiting
        self._changed = threading.Condition()
        self._running: set[int] = set()
        self._waiting: deque[int] = deque()

    def enter(self, job: int) -> None:
        """Join the queue; raises QueueFull where it is too long."""
        with self._changed:
            if len(self._waiting) >= self._max_waiting:
                raise QueueFull(
                    f"{len(self._waiting)} trainings are waiting already; try again in a few"
                    " minutes"
                )
            self._waiting.append(job)
            self._changed.notify_all()

    def wait_for_turn(self, job: int, halted: threading.Event) -> bool:
        """Block until it is this job's turn; returns False if it was halted and left first."""
        with self._changed:
            while not halted.is_set():
                first = self._waiting and self._waiting[0] == job
                if first and len(self._running) < self._max_running:
                    self._waiting.popleft()
                    self._running.add(job)
                    self._changed.notify_all()
                    return True
                self._changed.wait()
            return False

    def leave(self, job: int) -> None:
        """Free the place, running or waiting."""
        with self._changed:
            self._running.discard(job)
            if job in self._waiting:
                self._waiting.remove(job)
            self._changed.notify_all()

    def n_ahead(self, job: int) -> int:
        """Return how many jobs wait before this one."""
        with self._changed:
            return list(self._waiting).index(job) if job in self._waiting else 0


JOB_QUEUE = JobQueue(max_running())
