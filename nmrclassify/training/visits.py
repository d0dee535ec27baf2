"""Visits: each has one training, and a key that only its browser knows.

They are held by this module, not by the app's caches, which any visitor can clear.
"""

import functools
import logging
import re
import threading
import time
from collections.abc import Callable

from nmrclassify.training import runs
from nmrclassify.training.jobs import Job
from nmrclassify.training.trainer import Trainer

KEY = re.compile(r"[A-Za-z0-9_-]{32}")
END_SECONDS = 600  # a visit ends when no page of it was seen for so long
SWEEP_SECONDS = 15


class Visit:
    """Holds the one training of a visit, and the names of the runs that it made."""

    def __init__(self) -> None:
        """Start without a training."""
        self.job: Job | None = None
        self.run_ids: list[str] = []
        self.seen = 0.0
        self._lock = threading.Lock()  # one visitor may have two windows

    def replace(self, trainer: Trainer, keep: bool) -> Job:
        """Stop the present training, if any, and set up a new one; `keep` saves the old model."""
        with self._lock:
            if self.job is not None:
                self.job.stop(keep)
            self.job = job = Job(trainer, on_end=self._keep)
        return job

    def end(self) -> None:
        """Stop the training; its model is kept as a run."""
        with self._lock:
            if self.job is not None:
                self.job.stop()
            self.job = None

    def _keep(self, job: Job) -> None:
        run_id = runs.new_id(job.kind, job.dataset.preset, job.dataset.seed)
        runs.save(job.checkpoint(), job.history, runs.home() / run_id, "app", job.training_history)
        runs.prune_app_runs()
        job.run_id = run_id
        self.run_ids.append(run_id)


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
            visit = self._visits.setdefault(key, Visit())
            visit.seen = self._clock()
        return visit

    def end_unseen(self, seconds: float = END_SECONDS) -> None:
        """End the visits that were not seen for so long; those that made runs keep their key."""
        with self._lock:
            before = self._clock() - seconds
            unseen = {key: visit for key, visit in self._visits.items() if visit.seen <= before}
        for key, visit in unseen.items():
            visit.end()
            with self._lock:
                if not visit.run_ids and visit.seen <= before:
                    del self._visits[key]


VISITS = Visits()


@functools.cache
def _sweep_from_now_on() -> None:
    """Start a thread that ends unseen visits."""

    def sweep() -> None:
        while True:
            time.sleep(SWEEP_SECONDS)
            try:
                VISITS.end_unseen()
            except Exception:  # the next sweep has to come
                logging.getLogger(__name__).exception("a visit could not be ended")

    threading.Thread(target=sweep, name="visits", daemon=True).start()


def find(key: str) -> Visit:
    """Return the visit with this key, as `Visits.find` does; unseen ones end by themselves."""
    _sweep_from_now_on()
    return VISITS.find(key)
