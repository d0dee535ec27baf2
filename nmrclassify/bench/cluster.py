"""Four trainings on a cluster of two workers of this machine, beside two processes (minutes)."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from nmrclassify.mixtures.presets import build
from nmrclassify.training import checkpoints, cluster
from nmrclassify.training.job_queue import JobQueue, max_running
from nmrclassify.training.jobs import Job
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

SEEDS = (1, 2, 3, 4)  # a training for each
STEPS = 400  # of each, as in `bench visitors`
START_SECONDS = 300  # of a scheduler and its workers on a busy machine


@contextmanager
def started(n_workers: int = 2) -> Iterator[str]:
    """Give the address of a scheduler with workers of one thread each, all on 127.0.0.1.

    NMRCLASSIFY_SCHEDULER names it meanwhile.

    Raises
    ------
    TimeoutError
        If they have not started within five minutes.
    """
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    before = os.environ.get("NMRCLASSIFY_SCHEDULER")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as processes:
        file = Path(folder) / "scheduler.json"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(path),
            "OMP_NUM_THREADS": "1",
            "DASK_TEMPORARY_DIRECTORY": folder,
            "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "warning",
        }

        def start(*options: str) -> None:
            command = [sys.executable, "-m", "dask", *options, "--host", "127.0.0.1"]
            command += ["--no-dashboard"]
            process = subprocess.Popen(command, cwd=folder, env=environment)
            processes.callback(process.wait)
            processes.callback(process.kill)

        start("scheduler", "--port", "0", "--scheduler-file", str(file))
        end = time.monotonic() + START_SECONDS
        # It is empty for a moment.
        while not file.exists() or not (text := file.read_text()).endswith("}"):
            if time.monotonic() > end:
                raise TimeoutError(f"`dask scheduler` has not started within {START_SECONDS} s")
            time.sleep(0.05)
        scheduler = json.loads(text)["address"]
        for _ in range(n_workers):
            start("worker", scheduler, "--nthreads", "1", "--no-nanny")
        with cluster.connect(scheduler) as client:
            client.wait_for_workers(n_workers, START_SECONDS)
        os.environ["NMRCLASSIFY_SCHEDULER"] = scheduler
        try:
            yield scheduler
        finally:
            del os.environ["NMRCLASSIFY_SCHEDULER"]
            if before is not None:
                os.environ["NMRCLASSIFY_SCHEDULER"] = before


def _train_all(steps: int) -> tuple[float, list[bytes]]:
    """Return the seconds that all trainings took together, and their models."""
    config = replace(recipe("modern"), steps=steps)
    queue = JobQueue(max_running())
    jobs = [Job(Trainer(build("quick", seed), config), queue) for seed in SEEDS]
    began = time.monotonic()
    try:
        for job in jobs:
            job.start()
        while any(job.active for job in jobs):
            time.sleep(0.05)
        seconds = time.monotonic() - began
    finally:
        for job in jobs:
            job.stop()
    if problems := [job.message for job in jobs if job.state != "finished"]:
        raise RuntimeError(f"{len(problems)} trainings have not finished: {problems[0]}")
    return seconds, [checkpoints.to_bytes(job.checkpoint()) for job in jobs]


def run(steps: int = STEPS) -> dict:
    """Return the seconds of four trainings here and on the cluster, two at a time.

    The second time on the cluster its workers have imported torch; a process of this machine
    imports it for each training.
    """
    local, models = _train_all(steps)
    with started():
        first, on_first = _train_all(steps)
        second, on_second = _train_all(steps)
    return {
        "table": [
            {"where": "two processes of this machine", "seconds": round(local, 1)},
            {"where": "two workers that have just started", "seconds": round(first, 1)},
            {"where": "two workers after a training", "seconds": round(second, 1)},
        ],
        "trainings": len(SEEDS),
        "steps_of_each": steps,
        "same_bytes": models == on_first == on_second,
    }
