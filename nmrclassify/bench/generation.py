"""Mixtures made a second, vectorised and by a Python loop, in turn on one thread (seconds)."""

import statistics
import time

import numpy as np

from nmrclassify.mixtures.grid import generator
from nmrclassify.mixtures.presets import build

SEEDS = (7,)
BATCH, REPEATS = 2048, 9


def _loop(library: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Sum the compounds of one mixture after the other."""
    mixtures = []
    for row in labels:
        total = np.zeros(library.shape[1:], dtype=np.float32)
        for compound in row:
            total += library[compound]
        mixtures.append(total)
    return np.stack(mixtures)


def run() -> dict:
    """Return mixtures a second (medians) for the presets and the loop, and the ratio."""
    quick, metabolites = build("quick", *SEEDS), build("metabolites", *SEEDS)
    labels = quick.train[generator(*SEEDS, "view").integers(len(quick.train), size=BATCH)]
    if not np.allclose(
        _loop(quick.library.areas, labels), quick.library.areas[labels].sum(1), atol=1e-5
    ):
        raise ValueError("the loop and the vectorised sum differ; expected the same to 1e-5")
    calls = {
        "quick": lambda step: quick.training_batch(step, BATCH),
        "metabolites": lambda step: metabolites.training_batch(step, BATCH),
        "loop": lambda step: _loop(quick.library.areas, labels),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for step in range(REPEATS):
        for name, call in calls.items():
            began = time.perf_counter()
            call(step)
            seconds[name].append(time.perf_counter() - began)
    rates = {
        f"{name}_mixtures_per_second": round(BATCH / statistics.median(times))
        for name, times in seconds.items()
    }
    ratio = statistics.median(
        loop / quick for loop, quick in zip(seconds["loop"], seconds["quick"], strict=True)
    )
    return rates | {"quick_over_loop": round(ratio, 1), "batch": BATCH, "repeats": REPEATS}
