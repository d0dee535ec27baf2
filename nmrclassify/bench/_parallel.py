"""Run the parts of a measurement that do not depend on each other, here or on a cluster."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from typing import Any

from tqdm import tqdm

from nmrclassify.training import cluster


@contextmanager
def _workers() -> Iterator[Executor]:
    """Give the workers of the cluster, or else a process for each core of this machine."""
    if scheduler := cluster.address():
        # Not pure: a measurement that is repeated is computed again.
        with cluster.connect(scheduler) as client, client.get_executor(pure=False) as pool:
            yield pool
    else:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
            yield pool


def run_all(calls: Sequence[tuple[Callable, tuple]], unit: str) -> list[Any]:
    """Return the results of calls of functions of modules, in the order of `calls`.

    They run on the cluster that NMRCLASSIFY_SCHEDULER names (`training/cluster.py`), or else on
    this machine: each process starts anew and computes with one thread. A bar on the error output
    counts `unit`s.

    Parameters
    ----------
    calls : sequence of (function, arguments)
        Those that take longest first, so that no process is idle at the end.
    """
    with _workers() as pool:
        # As one object: a cluster would look for references to other calls in the arguments.
        jobs = [pool.submit(partial(function, *arguments)) for function, arguments in calls]
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), unit=unit, file=sys.stderr):
                job.result()
        except BaseException:  # the others would run on for hours
            for job in jobs:
                job.cancel()
            raise
        return [job.result() for job in jobs]
