"""What belongs to one visit: its training, which stops when the visit ends."""

import os
import threading

import streamlit as st

from nmrclassify.training import runs
from nmrclassify.training.jobs import Job
from nmrclassify.training.trainer import Trainer


class TrainingBox:
    """Holds the one training of a visit."""

    def __init__(self):
        self.job: Job | None = None
        self.run_ids: list[str] = []

    def replace(self, trainer: Trainer, keep: bool) -> Job:
        """Stop the present training, if any, keep its model or not, and put a new one in its place."""
        if self.job is not None:
            self.job.stop(keep)
        self.job = Job(trainer, on_end=self._keep)
        return self.job

    def close(self) -> None:
        """Stop; called when the visit ends. Not waited for: the server's own thread calls."""
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
    """The holder of this visit's training."""
    return TrainingBox()


def own_runs() -> list[runs.Run]:
    """Return the runs that this visitor may pick: those of this visit and of the command line.

    All of them where the environment variable NMRCLASSIFY_ALL_RUNS is 1, for a server that one
    person uses. What the request says of its origin is not to be trusted behind a proxy.
    """
    everything = os.environ.get("NMRCLASSIFY_ALL_RUNS") == "1"
    mine = set(training_box().run_ids)
    return [run for run in runs.listed() if everything or run.made_by == "cli" or run.id in mine]
