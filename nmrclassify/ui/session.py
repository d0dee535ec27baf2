"""The training of one visit, which stops when the visit ends."""

import os
import threading

import streamlit as st

from nmrclassify.training import runs
from nmrclassify.training.jobs import Job
from nmrclassify.training.trainer import Trainer


class TrainingBox:
    """Holds the one training of a visit."""

    def __init__(self) -> None:
        """Start without a training."""
        self.job: Job | None = None
        self.run_ids: list[str] = []

    def replace(self, trainer: Trainer, keep: bool) -> Job:
        """Stop the present training, if any, and set up a new one; `keep` saves the old model."""
        if self.job is not None:
            self.job.stop(keep)
        self.job = Job(trainer, on_end=self._keep)
        return self.job

    def close(self) -> None:
        """Stop when the visit ends, in a new thread: the caller is a thread of the server."""
        if self.job is not None:
            threading.Thread(target=self.job.stop, daemon=True).start()

    def _keep(self, job: Job) -> None:
        run_id = runs.new_id(job.kind, job.dataset.preset, job.dataset.seed)
        runs.save(job.checkpoint(), job.history, runs.home() / run_id, "app", job.training_history)
        runs.prune_app_runs()
        job.run_id = run_id
        self.run_ids.append(run_id)


@st.cache_resource(scope="session", on_release=lambda box: box.close(), show_spinner=False)
def training_box() -> TrainingBox:
    """Return the holder of this visit's training."""
    return TrainingBox()


def own_runs() -> list[runs.Run]:
    """Return the runs that this visitor may open: those of this visit and of the command line.

    The environment variable NMRCLASSIFY_ALL_RUNS=1 allows all, for a server with one user. The
    address of a request does not identify a user: it can be that of a proxy.
    """
    all_runs = os.environ.get("NMRCLASSIFY_ALL_RUNS") == "1"
    ids = set(training_box().run_ids)
    return [run for run in runs.listed() if all_runs or run.made_by == "cli" or run.id in ids]
