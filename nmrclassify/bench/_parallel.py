"""Run the parts of a measurement that do not depend on each other, one process for each core."""

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

from tqdm import tqdm


def run_all(calls: Sequence[tuple[Callable, tuple]], unit: str) -> list[Any]:
    """Return the results of calls of functions of modules, in the order of `calls`.

    Each process starts anew and computes with one thread. A bar on the error output counts `unit`s.

    Parameters
    ----------
    calls : sequence of (function, arguments)
        Those that take longest first, so that no process is idle at the end.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(function, *arguments) for function, arguments in calls]
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), unit=unit, file=sys.stderr):
                job.result()
        except BaseException:  # the others would run on for hours
            pool.shutdown(cancel_futures=True)
            raise
        return [job.result() for job in jobs]
