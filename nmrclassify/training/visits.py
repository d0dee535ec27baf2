"""Visits: each has one training, and a key that only its browser knows.

They are held by this module, not by the app's caches, which any visitor can clear. After a restart
a visit finds its runs and its unfinished training on the disk again: their folders state the
SHA-256 of its key.
"""

import functools
import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nmrclassify.training import run_files, run_states, runs
from nmrclassify.training.jobs import Job
from nmrclassify.training.trainer import Trainer

KEY = re.compile(r"[A-Za-z0-9_-]{32}")
END_SECONDS = 600  # a visit ends when no page of it was seen for so long
SWEEP_SECONDS = 15


class Visit:
    """Holds the one training of a visit.

    Parameters
    ----------
    key : str
        Only its SHA-256 is kept, as `digest`.

    Attributes
    ----------
    held : bool
        Whether another process still writes a training of this visit.
    problem : str
        Why a training of before cannot go on; empty if there is none.
    """

    def __init__(self, key: str) -> None:
        """Start without a training."""
        self.digest = run_files.digest(key.encode())
        self.job: Job | None = None
        self.seen = 0.0
        self.held, self.problem = False, ""
        self._searched = False
        self._lock = threading.Lock()  # one visitor may have two windows

    def replace(self, trainer: Trainer, keep: bool) -> Job:
        """Stop the present training, if any, and set up a new one; `keep` saves the old model."""
        with self._lock:
            self._stop(keep)
            run_id = runs.new_id(trainer.model.kind, trainer.dataset.preset, trainer.dataset.seed)
            folder = runs.home() / run_id
            self.job = job = Job(trainer, on_end=_keep, folder=folder, visit=self.digest)
        return job

    def discard(self) -> None:
        """Stop the training, and remove its state."""
        with self._lock:
            self._stop(keep=False)

    def end(self) -> None:
        """Halt the training; its state is kept, or else its model as a run."""
        with self._lock:
            if self.job is not None and not self.job.over:
                try:
                    self.job.keep_state()
                    runs.prune_app_runs()
                except (OSError, ValueError):
                    self.job.stop()
            self.job, self._searched = None, False

    def search(self) -> None:
        """Find the newest unfinished training of this visit on the disk, unless it has one here."""
        if self._searched:
            return
        with self._lock:
            folders = [] if self.job is not None else runs.unfinished(self.digest)
            self.held = any(map(run_files.is_locked, folders))
            self._searched = not self.held
            states = [folder for folder in folders if (folder / run_states.STATE).is_file()]
            if self._searched and states:
                self._go_on(states[0])

    def _go_on(self, folder: Path) -> None:
        try:
            trainer = run_states.resume(folder, logging.getLogger(__name__).warning)
        except (OSError, ValueError) as error:
            logging.getLogger(__name__).warning("%s", error)
            self.problem = "the saved state of your last training is damaged; start a new one"
            return
        why = (
            f"this training stopped at step {trainer.step:,} when the app ended, or when no page of"
            f" yours had been open for {END_SECONDS // 60} minutes"
        )
        self.job = Job(trainer, on_end=_keep, folder=folder, visit=self.digest, interrupted=why)

    def _stop(self, keep: bool) -> None:
        if (job := self.job) is not None:
            job.stop(keep)
            if not keep and job.folder is not None:
                with suppress(OSError):  # there is none where the home is a file
                    run_states.remove_state(job.folder)
        self.job, self.problem, self._searched = None, "", True


def _keep(job: Job) -> None:
    """Save the model of a job as a run, in place of the state of its training."""
    assert job.folder is not None
    with run_files.locked(job.folder):
        run_files.write_visit(job.folder, job.visit)
        runs.save(job.checkpoint(), job.history, job.folder, "app", job.training_history)
    runs.prune_app_runs()
    job.run_id = job.folder.name


class Visits:
    """All visits by their keys.

    Parameters
    ----------
    clock : callable
        Returns the present time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._visits: dict[str, Visit] = {}

    def __len__(self) -> int:
        """Return how many visits are held."""
        return len(self._visits)

    def find(self, key: str) -> Visit:
        """Return the visit with this key, a new one if there is none, as seen now."""
        with self._lock:
            visit = self._visits.get(key) or self._visits.setdefault(key, Visit(key))
            visit.seen = self._clock()
        visit.search()
        return visit

    def end_unseen(self, seconds: float = END_SECONDS) -> None:
        """End the visits that were not seen for so long."""
        with self._lock:
            before = self._clock() - seconds
            unseen = {key: visit for key, visit in self._visits.items() if visit.seen <= before}
        for key, visit in unseen.items():
            visit.end()
            with self._lock:
                if visit.seen <= before:  # nobody came back meanwhile
                    del self._visits[key]


VISITS = Visits()


@functools.cache
def _sweep_from_now_on() -> None:
    """Start a thread that ends unseen visits."""
    never = threading.Event()

    def sweep() -> None:
        while True:
            never.wait(SWEEP_SECONDS)
            try:
                VISITS.end_unseen()
            except Exception:  # the next sweep has to come
                logging.getLogger(__name__).exception("a visit could not be ended")

    threading.Thread(target=sweep, name="visits", daemon=True).start()


def find(key: str) -> Visit:
    """Return the visit with this key, as `Visits.find` does; unseen ones end by themselves."""
    _sweep_from_now_on()
    return VISITS.find(key)
