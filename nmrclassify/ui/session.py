"""What belongs to one visit: its training, which stops when the visit ends."""

import threading

import streamlit as st

from .. import runs
from ..jobs import Job
from ..training import Trainer


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
        run_id = runs.new_id(job.dataset.preset, job.dataset.seed)
        runs.save(job.checkpoint(), job.history, runs.home() / run_id, "app")
        runs.prune_app_runs()
        job.run_id = run_id
        self.run_ids.append(run_id)


@st.cache_resource(scope="session", on_release=lambda box: box.close(), show_spinner=False)
def training_box() -> TrainingBox:
    """The holder of this visit's training."""
    return TrainingBox()


def own_runs() -> list[runs.Run]:
    """Runs that this visitor may pick: all on one's own machine, elsewhere those of this visit and the command line's."""
    headers = st.context.headers
    local = st.context.ip_address is None and "X-Forwarded-For" not in headers
    mine = set(training_box().run_ids)
    return [run for run in runs.listed() if local or run.made_by == "cli" or run.id in mine]
