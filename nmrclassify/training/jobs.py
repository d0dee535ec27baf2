"""Trainings in the background: jobs that wait in a queue and can be stopped.

A running job is a process of its own (`worker.py`), so that pages do not wait for it. Its owner
reads immutable snapshots of it. While a job is halted there is no process: its trainer is here.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from nmrclassify.evaluation.prediction import match_truth
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.prediction import Truth
from nmrclassify.training import cluster, run_files, run_states
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import TrainingHistory, weights_of
from nmrclassify.training.job_queue import JOB_QUEUE, JobQueue
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import Snapshot, Trainer
from nmrclassify.training.worker import HALT_SECONDS, WorkerProcess

MAX_SECONDS = 15 * 60
# Of private memory. Python, torch and what they reserve without using it take half of it.
MAX_MEMORY = 3 * 2**30
OVER = ("finished", "stopped", "failed")


class Job:
    """One training, which runs in a process of its own, or on a cluster (`cluster.py`).

    States: "ready" (not started), "waiting" (in a queue), "starting" (until its process has taken
    a step; a cluster may begin it more than once), "running", "paused" (also after a single step),
    "interrupted" (goes on from its saved state), "finished", "stopped", "failed". A paused job
    gives its place to the next one. A failed one keeps its latest snapshot and model.

    Parameters
    ----------
    queue : JobQueue
        The queue to wait in.
    max_seconds : float
        Computing time after which the job is stopped.
    max_memory : int
        Bytes of private memory that its process may have (where the system has such limits).
    on_end : callable, optional
        Called once with the job when it is over, after at least one step, for example to keep its
        model.
    folder : Path, optional
        Where the state of the training is saved while it runs.
    visit : str
        The SHA-256 of the key of its visit, which is stated in the folder.
    interrupted : str
        Why it had stopped, if the trainer is from a saved state.
    """

    def __init__(
        self,
        trainer: Trainer,
        queue: JobQueue = JOB_QUEUE,
        max_seconds: float = MAX_SECONDS,
        max_memory: int = MAX_MEMORY,
        on_end: Callable[["Job"], None] | None = None,
        folder: Path | None = None,
        visit: str = "",
        interrupted: str = "",
    ):
        self._trainer, self._queue = trainer, queue
        self._limits, self._on_end = (max_seconds, max_memory), on_end
        self.folder, self.visit = folder, visit
        self._controls = threading.RLock()  # one owner may have two windows
        self._lock = threading.Lock()  # guards `_halted`, `_worker` and the states around them
        self._halted = threading.Event()
        self._thread: threading.Thread | None = None
        self._worker: WorkerProcess | cluster.ClusterTask | None = None
        self._killed = False  # by this job, not from outside
        self._state = "interrupted" if interrupted else "ready"
        self.message = interrupted
        self.run_id: str | None = None
        self.pinned: Mixtures = trainer.dataset.test_mixtures()[:1]
        # Replaced as a whole, so that pages can read at any time.
        self._seen: tuple[Snapshot, Tensor] = trainer.snapshot(), weights_of(trainer.model)
        self._before = self._seen, self.history, self.training_history  # the present turn
        # Of one snapshot: every page asks for it.
        self._checkpoint: tuple[tuple, Checkpoint | None] = self._seen, None

    @property
    def latest(self) -> Snapshot:
        """The latest snapshot."""
        return self._seen[0]

    @property
    def process_id(self) -> int | None:
        """The number of the process that trains now, if any, on its machine."""
        worker = self._worker
        return None if worker is None else worker.pid

    @property
    def state(self) -> str:
        """Present state, as listed above."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether the job waits or computes, so that its state changes by itself."""
        return self._state in ("waiting", "starting", "running")

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

    def trains_on(self, dataset: Dataset) -> bool:
        """Whether this job's data are these: the same library, mixtures and split."""
        data = self._trainer.dataset
        return (
            data.config == dataset.config
            and np.array_equal(data.library.areas, dataset.library.areas)
            and np.array_equal(data.train, dataset.train)
        )

    def matches(
        self,
        dataset: Dataset,
        config: TrainConfig,
        seed: int,
        kind: str,
        n_filters: int = NetworkConfig.n_filters,
    ) -> bool:
        """Whether this job trains this network on these data with this configuration and seed."""
        trainer = self._trainer
        return (
            (trainer.config, trainer.seed, self.kind) == (config, seed, kind)
            and trainer.model.config.n_filters == n_filters
            and self.trains_on(dataset)
        )

    def start(self) -> None:
        """Start, or go on after a pause; does nothing in a job that is active or over.

        Raises
        ------
        QueueFull
            If too many jobs wait already.
        """
        with self._controls:
            if self.active or self.over:
                return
            self._queue.enter(id(self))
            self._halted.clear()
            self._state, self.message = "waiting", ""
            self._thread = threading.Thread(target=self._work, name="training", daemon=True)
            self._thread.start()

    def pause(self) -> None:
        """Halt after the present step; `start` goes on. Waits for it, but not for ever."""
        with self._controls:
            self._halt()
            if self._ended() and self.active:
                self._state = "paused"

    def stop(self, keep: bool = True) -> None:
        """Halt for good; the model stays as it is. Without `keep`, `on_end` is not called."""
        with self._controls:
            self._halt()
            if not self._ended():  # it does not answer; its latest snapshot is kept
                self._kill()
                self._ended(None)
            if not self.over:
                self._conclude("stopped", keep)

    def step(self) -> None:
        """Take one step while halted, in this process."""
        with self._controls:
            if self.active or self.over:
                return
            trainer = self._trainer
            try:
                trainer.advance()
                self._seen = trainer.snapshot(), weights_of(trainer.model)
            except Exception as error:  # shown to the owner, as an error of the process is
                self._fail(f"training failed: {error}")
                return
            if trainer.finished:
                self._conclude("finished")
            else:
                self._state = "paused"

    def keep_state(self) -> None:
        """Pause, and write what a later job needs to go on; nothing where no step was taken.

        Raises
        ------
        OSError, ValueError
            If it does not pause, or the state cannot be written.
        """
        with self._controls:
            self.pause()
            if self.active or self.folder is None:
                raise ValueError("this training does not pause, or has no folder")
            if self._state == "paused" and self._trainer.step:
                self._save_state(self.folder)

    def _save_state(self, folder: Path) -> None:
        with run_files.locked(folder):
            run_files.write_visit(folder, self.visit)
            run_states.save_state(self._trainer, folder)

    def checkpoint(self) -> Checkpoint:
        """Return the model of the latest snapshot; later steps do not change it."""
        seen, (of, checkpoint) = self._seen, self._checkpoint
        if checkpoint is None or of is not seen:
            (latest, weights), trainer = seen, self._trainer
            model = self.training_history.network_of(weights)
            model.trained = latest.step > 0
            checkpoint = Checkpoint(
                model, trainer.dataset, trainer.config, trainer.seed, latest.step, latest.test
            )
            self._checkpoint = seen, checkpoint
        return checkpoint

    def _halt(self) -> None:
        with self._lock:
            self._halted.set()
            if self._state in ("waiting", "starting"):  # nothing is lost
                self._kill()
            elif self._worker is not None:
                self._worker.halt()
        self._queue.leave(id(self))

    def _ended(self, seconds: float | None = HALT_SECONDS) -> bool:
        """Wait for the end of the present turn; return whether it has come."""
        if self._thread is not None:
            self._thread.join(seconds)
        return self._thread is None or not self._thread.is_alive()

    def _kill(self) -> None:
        self._killed = True
        if (worker := self._worker) is not None:
            worker.kill()

    def _conclude(self, state: str, keep: bool = True) -> None:
        """Keep the model, and then change the state, so that no reader sees it too early."""
        latest, weights = self._seen
        if self.training_history.steps[-1] != latest.step:
            self.training_history.keep(latest.step, weights)
        if keep and self._on_end is not None and latest.step:
            try:
                self._on_end(self)
            except (OSError, ValueError) as error:
                self.message += (
                    f"{'. ' * bool(self.message)}the run could not be saved ({error});"
                    " download the model to keep it"
                )
        self._before = self._seen, [], self.training_history
        if self.run_id is not None:  # its folder has the steps: up to 24 MB less for each job
            self.training_history.release()
        self._state = state

    def _fail(self, message: str) -> None:
        self.message = message
        self._conclude("failed")

    def _work(self) -> None:
        try:
            if self._queue.wait_for_turn(id(self), self._halted):
                self._train()
        except Exception as error:  # shown to the owner: nobody else reads a thread's exception
            self._fail(f"training failed: {error}")
        finally:
            self._queue.leave(id(self))

    def _train(self) -> None:
        with self._lock:
            if self._halted.is_set():
                return
            self._killed = False
            worker: WorkerProcess | cluster.ClusterTask
            if scheduler := cluster.address():
                worker = cluster.ClusterTask(scheduler)  # it waits until a worker begins it
            else:
                folder = () if self.folder is None else (str(self.folder.absolute()), self.visit)
                worker, self._state = WorkerProcess(*folder), "starting"
            self._worker = worker
        self._before = self._seen, self.history, self.training_history.snapshot()
        try:
            worker.send(self._limits, self._trainer)
            while self._follow(*worker.receive()):
                pass
        finally:
            worker.end()
            self._worker = None

    def _follow(self, kind: str, *content: Any) -> bool:
        """Take in a message of the process; return whether more messages follow."""
        trainer = self._trainer
        with self._lock:
            if self._killed:
                return False
            if kind == "begun":  # once more, if the cluster lost the worker that trained
                self._seen, trainer.history = self._before[0], list(self._before[1])
                trainer.training_history = self._before[2].snapshot()
                self._state = "starting"
            elif kind == "snapshot":
                self._seen = content
                trainer.history.append(self.latest.row())
                self._state = "running"
        if kind == "frame":
            self.training_history.keep(*content)
        elif kind == "state":  # of a cluster; a process of this machine saves it itself
            trainer.load_state(*content)
            if self.folder is not None:
                with suppress(OSError, ValueError):  # the next one may be saved
                    self._save_state(self.folder)
        elif kind == "failed":
            self._fail(*content)
        elif kind == "lost":
            self._lose(*content)
        elif kind == "halted":
            trainer.load_state(*content)
            if trainer.finished:
                self._conclude("finished")
            elif trainer.seconds > self._limits[0]:
                self.message = (
                    f"stopped after {self._limits[0] / 60:g} minutes, the limit for one training"
                )
                self._conclude("stopped")
            else:
                self._state = "paused"
        return kind in ("begun", "frame", "snapshot", "state")

    def _lose(self, cause: str) -> None:
        """Go back to the saved state of a training whose process has died, or fail."""
        try:
            if self.folder is None:
                raise ValueError("this training has no folder")
            trainer = run_states.resume(self.folder)
        except (OSError, ValueError):  # it died before the first state, or that cannot be read
            kept = f"Its model of step {self.latest.step:,} is kept: download it, or start again"
            self._fail(f"{cause}. {kept if self.latest.step else 'Start it again'}")
            return
        self._trainer, self._seen = trainer, (trainer.snapshot(), weights_of(trainer.model))
        self.message = f"{cause}. Its state of step {trainer.step:,} is kept"
        self._state = "interrupted"
