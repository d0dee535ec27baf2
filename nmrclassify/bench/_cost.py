"""Seconds and memory of one call in a fresh process, so that earlier calls have no effect."""

import ctypes
import gc
import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from nmrclassify.nmr import multiplets
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.training.trainer import set_threads

MIB = 2**20


def unsplit(compounds: Compounds) -> Compounds:
    """Return the same table with no multiplet split into lines, and an empty cache of lines."""
    multiplets.split.cache_clear()
    return replace(compounds)


def _status(name: str, process: int | str = "self") -> int:
    """Return a size of a process in bytes, as Linux states it; 0 on other systems."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _watch(stop: threading.Event, seen: list[int]) -> None:
    """Record the memory of this process' children, in which solvers run, until `stop`."""
    while not stop.wait(0.05):
        try:
            children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        except OSError:
            return
        seen.append(sum(_status("VmRSS", int(child)) for child in children))


def _here(prepare: Callable, arguments: tuple, repeats: int) -> dict:
    set_threads()
    call = prepare(*arguments)
    # Return freed memory and reset the peak, which would otherwise hide the rise.
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        pass
    before, stop, children, seconds = _status("VmRSS"), threading.Event(), [0], []
    watcher = threading.Thread(target=_watch, args=(stop, children), daemon=True)
    watcher.start()
    peak = 0
    for turn in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
        if not turn:
            peak = max(0, _status("VmHWM") - before)
    stop.set()
    watcher.join()
    return {
        "seconds": round(statistics.median(seconds[1:] or seconds), 4),
        "peak_extra_mib": round((peak + max(children)) / MIB, 1) if _status("VmHWM") else None,
    }


def cost(prepare: Callable, *arguments: Any, repeats: int = 9) -> dict:
    """Return the median seconds of a call and the rise in memory by its first, in a fresh process.

    Parameters
    ----------
    prepare : callable
        A function of a module, so that another process can import it. Called with `arguments`, it
        returns the call to measure.
    repeats : int
        Calls for the median. One more precedes them, unless this is 1.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_here, prepare, arguments, repeats + (repeats > 1)).result()
