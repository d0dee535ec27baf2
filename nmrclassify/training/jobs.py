"""Train in the background: jobs that can be stopped, a limit on how many run, and a queue.

A job is a thread. Its owner reads immutable snapshots of it, never the trainer itself.
"""

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable

import numpy as np

from nmrclassify.evaluation.prediction import match_truth
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.prediction import Truth
from nmrclassify.training.checkpoints import Checkpoint, from_bytes, to_bytes
from nmrclassify.training.history import TrainingHistory
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import Snapshot, Trainer

MAX_RUNNING = 2
MAX_WAITING = 16
MAX_SECONDS = 15 * 60
YIELD_SECONDS = 0.6
OVER = ("finished", "stopped", "failed")


class QueueFull(RuntimeError):
    """Too many trainings wait already."""


class JobQueue:
    """A limit on how many jobs compute at once; the job that came first starts first.

    Parameters
    ----------
    max_running, max_waiting : int
        How many jobs compute, and how many more may wait.
    clock : callable
        Returns the present time in seconds.
    sleep : callable
        Waits for so many seconds.
    """

    def __init__(
        self,
        max_running: int = MAX_RUNNING,
        max_waiting: int = MAX_WAITING,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._max_running, self._max_waiting = max_running, max_waiting
        self.clock, self.sleep = clock, sleep
        self._changed = threading.Condition()
        self._running: set[int] = set()
        self._waiting: deque[int] = deque()
        self._yield_until = -np.inf

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
        """Block until it is this job's turn; returns False if it was halted first."""
        with self._changed:
            while not halted.is_set():
                first = self._waiting and self._waiting[0] == job
                if first and len(self._running) < self._max_running:
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

    def n_ahead(self, job: int) -> int:
        """Return how many jobs wait before this one."""
        with self._changed:
            return list(self._waiting).index(job) if job in self._waiting else 0

    def yield_to_visitors(self) -> None:
        """Make all jobs pause for YIELD_SECONDS from now on."""
        self._yield_until = self.clock() + YIELD_SECONDS

    def rest(self, busy_until: float) -> float:
        """Sleep between two steps, longer while a visitor waits for a page.

        Parameters
        ----------
        busy_until : float
            Before this time the job does not yield, so that it pauses at most half of the time.

        Returns
        -------
        busy_until : float
            The same for the next call.
        """
        now = self.clock()
        # Locks are not fair: without a short sleep a page that waits for the model's lock would
        # never get it.
        pause = 0.001
        if busy_until < now < self._yield_until:
            pause = self._yield_until - now
            busy_until = now + 2 * pause
        self.sleep(pause)
        return busy_until


JOB_QUEUE = JobQueue()


def yield_to_visitors() -> None:
    """Make trainings pause for a moment, because a visitor waits for a page.

    A training and a page share one interpreter lock: even at the lowest priority, two trainings
    would leave the page a third of it.
    """
    JOB_QUEUE.yield_to_visitors()


class Job:
    """One training in a thread of its own.

    States: "ready" (not started), "waiting" (in the queue), "running", "paused" (also after a
    single step), "finished", "stopped", "failed". A paused job gives its place to the next one.

    Parameters
    ----------
    queue : JobQueue
        The queue to wait in.
    max_seconds : float
        Computing time after which the job is stopped.
    on_end : callable, optional
        Called once with the job when it is finished or stopped after at least one step, for example
        to keep its model.
    """

    def __init__(
        self,
        trainer: Trainer,
        queue: JobQueue = JOB_QUEUE,
        max_seconds: float = MAX_SECONDS,
        on_end: Callable[["Job"], None] | None = None,
    ):
        self._trainer, self._queue = trainer, queue
        self._max_seconds, self._on_end = max_seconds, on_end
        self._lock = threading.Lock()  # guards the trainer
        self._halted = threading.Event()
        self._thread: threading.Thread | None = None
        self._seconds = 0.0  # computing time of earlier turns
        self._state = "ready"
        self.message = ""
        self.run_id: str | None = None
        self.pinned: Mixtures = trainer.dataset.test_mixtures()[:1]
        self.latest: Snapshot = trainer.snapshot()

    @property
    def state(self) -> str:
        """Present state, as listed above."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether the job waits or computes, so that its state changes by itself."""
        return self._state in ("waiting", "running")

    @property
    def over(self) -> bool:
        """Whether the job has ended for good."""
        return self._state in OVER

    @property
    def n_ahead(self) -> int:
        """How many jobs wait before this one."""
        return self._queue.n_ahead(id(self))

    @property
    def history(self) -> list[dict]:
        """Rows of the snapshots so far."""
        return list(self._trainer.history)

    @property
    def training_history(self) -> TrainingHistory:
        """The weights at steps so far; it grows while the job runs."""
        return self._trainer.training_history

    @property
    def remaining_seconds(self) -> float | None:
        """Estimated seconds to the end, or None before the first step was measured."""
        latest = self.latest
        if not latest.step or not latest.seconds:
            return None
        return latest.seconds / latest.step * (latest.steps - latest.step)

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

    def matches(
        self,
        dataset: Dataset,
        config: TrainConfig,
        seed: int,
        kind: str,
        n_filters: int = NetworkConfig.n_filters,
    ) -> bool:
        """Whether this job trains this network on these data with this configuration and seed."""
        trainer, data = self._trainer, self._trainer.dataset
        return (
            (trainer.config, trainer.seed, self.kind) == (config, seed, kind)
            and trainer.model.config.n_filters == n_filters
            and data.config == dataset.config
            and np.array_equal(data.library.areas, dataset.library.areas)
            and np.array_equal(data.train, dataset.train)
        )

    def start(self) -> None:
        """Start, or go on after a pause; does nothing in a job that is active or over.

        Raises
        ------
        QueueFull
            If too many jobs wait already.
        """
        if self.active or self.over:
            return
        self._join()
        self._queue.enter(id(self))
        self._halted.clear()
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
        if not self.over:
            self._conclude("stopped", keep)

    def step(self) -> None:
        """Take one step while halted."""
        if self.active or self.over:
            return
        began = self._queue.clock()
        try:
            with self._lock:
                self._trainer.advance()
                self.latest = self._trainer.snapshot()
        except Exception as error:  # shown to the owner, as in the thread
            self._fail(error)
            return
        self._seconds += self._queue.clock() - began
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
        self._halted.set()
        self._queue.leave(id(self))
        self._join()

    def _conclude(self, state: str, keep: bool = True) -> None:
        """Keep the model, and then change the state, so that no reader sees it too early."""
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

    def _fail(self, error: Exception) -> None:
        self.message, self._state = f"training failed: {error}", "failed"

    def _join(self) -> None:
        if self._thread and self._thread is not threading.current_thread():
            self._thread.join(timeout=30)

    def _work(self) -> None:
        try:
            if self._queue.wait_for_turn(id(self), self._halted):
                self._state = "running"
                self._train()
        except Exception as error:  # shown to the owner: nobody else reads a thread's exception
            self._fail(error)
        finally:
            self._queue.leave(id(self))

    def _train(self) -> None:
        # Niceness belongs to a thread on Linux: pages' threads come first.
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
        clock = self._queue.clock
        began = snapshot_due = busy_until = clock()
        try:
            while not self._halted.is_set() and not self._trainer.finished:
                with self._lock:
                    self._trainer.advance()
                    now = clock()
                    # At most a tenth of the time goes to snapshots, and no more of them than a
                    # page can show.
                    if now > snapshot_due:
                        self.latest = self._trainer.snapshot()
                        snapshot_due = clock() + max(0.4, 9 * (clock() - now))
                busy_until = self._queue.rest(busy_until)
                if self._seconds + clock() - began > self._max_seconds:
                    self.message = (
                        f"stopped after {self._max_seconds / 60:g} minutes, the limit for one"
                        " training"
                    )
                    break
        finally:
            self._seconds += clock() - began
        with self._lock:
            if self.latest.step != self._trainer.step:
                self.latest = self._trainer.snapshot()
        if self.message:
            self._conclude("stopped")
        elif self._trainer.finished:
            self._conclude("finished")
        else:
            self._state = "paused"
