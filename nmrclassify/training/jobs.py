"""Training in the background: stoppable jobs, of which only a few run at once and the rest wait in a visible queue.

A job is a thread that talks to its owner through immutable snapshots only. Nothing here knows about
pages.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from nmrclassify.evaluation.prediction import Truth, match_truth
from nmrclassify.mixtures.grid import Dataset, Mixtures
from nmrclassify.training.checkpoints import Checkpoint, from_bytes, to_bytes
from nmrclassify.training.history import TrainingHistory
from nmrclassify.training.trainer import Snapshot, TrainConfig, Trainer

MAX_RUNNING = 2
MAX_WAITING = 16
MAX_SECONDS = 15 * 60


YIELD_SECONDS = 0.6
_visited = -YIELD_SECONDS


def yield_to_visitors() -> None:
    """Tell trainings that a visitor waits for a page: they pause for a moment, and at most half of the time.

    A training and a page share one interpreter lock, so even at the lowest priority two trainings
    would leave the page a third of it.
    """
    global _visited
    _visited = time.monotonic()


class QueueFull(RuntimeError):
    """Too many trainings wait already."""


class JobQueue:
    """A first-come, first-served limit on how many jobs compute at once."""

    def __init__(self, n: int = MAX_RUNNING, waiting: int = MAX_WAITING):
        self._n, self._max_waiting = n, waiting
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

    def wait_for_turn(self, job: int, stopped: threading.Event) -> bool:
        """Block until it is this job's turn; returns False if it was stopped first."""
        with self._changed:
            while not stopped.is_set():
                if self._waiting and self._waiting[0] == job and len(self._running) < self._n:
                    self._waiting.popleft()
                    self._running.add(job)
                    self._changed.notify_all()
                    return True
                self._changed.wait(0.2)
            return False

    def leave(self, job: int) -> None:
        """Free the place, running or waiting."""
        with self._changed:
            self._running.discard(job)
            if job in self._waiting:
                self._waiting.remove(job)
            self._changed.notify_all()

    def ahead(self, job: int) -> int:
        """Return how many jobs wait before this one."""
        with self._changed:
            return list(self._waiting).index(job) if job in self._waiting else 0


JOB_QUEUE = JobQueue()


class Job:
    """One training in a thread of its own.

    States: "ready" (not started, or stepped by hand), "waiting" (for a place), "running", "paused",
    "finished", "stopped", "failed". A paused job gives its place to the next one in the queue.

    Parameters
    ----------
    trainer : Trainer
    places : Places
        The queue to wait in.
    max_seconds : float
        Computing time after which the job is stopped.
    on_end : callable, optional
        Called once with the job when it is finished or stopped after at least one step, e.g. to
        keep its model.
    """

    def __init__(
        self,
        trainer: Trainer,
        places: JobQueue = JOB_QUEUE,
        max_seconds: float = MAX_SECONDS,
        on_end: Callable[["Job"], None] | None = None,
    ):
        self._trainer, self._places, self._max_seconds, self._on_end = (
            trainer,
            places,
            max_seconds,
            on_end,
        )
        self._lock = threading.Lock()  # guards the trainer
        self._halt = threading.Event()
        self._thread: threading.Thread | None = None
        self._state = "ready"
        self.message = ""
        self.run_id: str | None = None
        self.spent = 0.0  # wall seconds in earlier turns
        self._began = 0.0
        self.pinned: Mixtures = trainer.dataset.test_mixtures()[:1]
        self.latest: Snapshot = trainer.snapshot()

    @property
    def state(self) -> str:
        """Present state, as listed above."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether the job waits or computes, so that a page should look again."""
        return self._state in ("waiting", "running")

    @property
    def ahead(self) -> int:
        """How many jobs wait before this one."""
        return self._places.ahead(id(self))

    @property
    def history(self) -> list[dict]:
        """Rows of the snapshots so far."""
        return list(self._trainer.history)

    @property
    def training_history(self) -> TrainingHistory:
        """The weights at steps so far; it grows while the job runs."""
        return self._trainer.training_history

    @property
    def remaining(self) -> float | None:
        """Estimated seconds to the end, or None before a first step was measured."""
        latest = self.latest
        done = latest.step and latest.seconds
        return latest.seconds / latest.step * (latest.steps - latest.step) if done else None

    @property
    def dataset(self) -> Dataset:
        """The data set that is trained on."""
        return self._trainer.dataset

    @property
    def pinned_truth(self) -> Truth:
        """The sources of the pinned mixture, matched to the latest snapshot's outputs."""
        pinned, weight = self.pinned, self._trainer.config.reconstruction_weight
        return match_truth(
            self.latest.pinned, pinned.areas[0], pinned.sources[0], pinned.labels[0], weight
        )

    @property
    def kind(self) -> str:
        """Which network is trained."""
        return self._trainer.model.kind

    def describes(self, dataset: Dataset, config: TrainConfig, seed: int, kind: str) -> bool:
        """Whether this job trains this network on these data with this configuration and seed."""
        own = self._trainer
        same_data = own.dataset.config == dataset.config and np.array_equal(
            own.dataset.library.areas, dataset.library.areas
        )
        same_split = np.array_equal(own.dataset.train, dataset.train)
        return (
            same_data and same_split and (own.config, own.seed, self.kind) == (config, seed, kind)
        )

    def start(self) -> None:
        """Start, or go on after a pause; raises QueueFull. Does nothing in a job that is active or over."""
        if self.active or self._state in ("finished", "stopped", "failed"):
            return
        self._join()
        self._places.enter(id(self))
        self._halt.clear()
        self._state = "waiting"
        self._thread = threading.Thread(target=self._work, name="training", daemon=True)
        self._thread.start()

    def pause(self) -> None:
        """Halt after the present step; `start` goes on."""
        self._halt_and_wait()
        if self.active:
            self._state = "paused"

    def stop(self, keep: bool = True) -> None:
        """Halt for good; the model stays as it is. Without `keep`, `on_end` is not called."""
        self._halt_and_wait()
        if self._state not in ("finished", "stopped", "failed"):
            self._conclude("stopped", keep)

    def step(self) -> None:
        """Take one step by hand while halted."""
        if self.active or self._state in ("finished", "stopped", "failed"):
            return
        began = time.monotonic()
        try:
            with self._lock:
                self._trainer.advance()
                self.latest = self._trainer.snapshot()
        except Exception as error:  # shown to the owner, as in the thread
            self.message, self._state = f"training failed: {error}", "failed"
            return
        self.spent += time.monotonic() - began
        if self._trainer.finished:
            self._conclude("finished")
        else:
            self._state = "paused"

    def checkpoint(self) -> Checkpoint:
        """Return the present model as a checkpoint of its own, which later steps do not change."""
        with self._lock:
            return from_bytes(
                to_bytes(Checkpoint.from_trainer(self._trainer, self.latest.test)), "this training"
            )

    def _halt_and_wait(self) -> None:
        self._halt.set()
        self._places.leave(id(self))
        self._join()

    def _conclude(self, state: str, keep: bool = True) -> None:
        """Keep the model, then tell the state: who sees the end also sees what was kept."""
        if self.training_history.steps[-1] != self._trainer.step:
            self.training_history.add(self._trainer.step, self._trainer.model)
        if keep and self._on_end is not None and self.latest.step:
            try:
                self._on_end(self)
            except OSError as error:
                self.message = (
                    f"the run could not be written to disk ({error}); download the model to keep it"
                )
        self._state = state

    def _join(self) -> None:
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=30)

    def _work(self) -> None:
        try:
            if not self._places.wait_for_turn(id(self), self._halt):
                return
            self._state = "running"
            # Below the pages' own threads (Linux: niceness is a thread's), so that a training never
            # slows a visitor.
            if sys.platform == "linux":
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
            self._began = due = rested = time.monotonic()
            while not self._halt.is_set() and not self._trainer.finished:
                with self._lock:
                    self._trainer.advance()
                    began = time.monotonic()
                    if (
                        began > due
                    ):  # as often as a page can look, and never more than a tenth of the time
                        self.latest = self._trainer.snapshot()
                        due = time.monotonic() + max(0.4, 9 * (time.monotonic() - began))
                # Locks are not fair: without a pause a page that waits for the model would never
                # get it.
                now, pause = time.monotonic(), 0.001
                if _visited + YIELD_SECONDS > now > rested:
                    pause = _visited + YIELD_SECONDS - now
                    rested = now + 2 * pause
                time.sleep(pause)
                if self.spent + time.monotonic() - self._began > self._max_seconds:
                    self.message = (
                        f"stopped after {self._max_seconds / 60:g} minutes, the limit for one"
                        " training"
                    )
                    break
            with self._lock:
                if self.latest.step != self._trainer.step:
                    self.latest = self._trainer.snapshot()
            if self.message:
                self._conclude("stopped")
            elif self._trainer.finished:
                self._conclude("finished")
            else:
                self._state = "paused"
        except Exception as error:  # shown to the owner; a thread has no one else to tell
            self.message, self._state = f"training failed: {error}", "failed"
        finally:
            self.spent += time.monotonic() - self._began if self._began else 0.0
            self._began = 0.0
            self._places.leave(id(self))
