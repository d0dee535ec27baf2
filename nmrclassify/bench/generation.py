"""Mixtures made a second: vectorised against a Python loop over mixtures, interleaved on one thread."""

import statistics
import time

import numpy as np

from nmrclassify.mixtures.grid import generator
from nmrclassify.mixtures.presets import build

BATCH, REPEATS = 2048, 9


def _loop(library: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Add up one mixture after the other, as one would write it first."""
    mixtures = []
    for row in labels:
        total = np.zeros(library.shape[1:], dtype=np.float32)
        for compound in row:
            total += library[compound]
        mixtures.append(total)
    return np.stack(mixtures)


def run() -> dict:
    """Return mixtures a second (medians) for the presets and the loop, and the ratio."""
    quick, metabolites = build("quick", 7), build("metabolites", 7)
    labels = quick.train[generator(7, "view").integers(len(quick.train), size=BATCH)]
    if not np.allclose(
        _loop(quick.library.areas, labels), quick.library.areas[labels].sum(1), atol=1e-5
    ):
        raise ValueError("the loop and the vectorised sum disagree")
    what = {
        "quick": lambda step: quick.training_batch(step, BATCH),
        "metabolites": lambda step: metabolites.training_batch(step, BATCH),
        "loop": lambda step: _loop(quick.library.areas, labels),
    }
    seconds = {name: [] for name in what}
    for step in range(REPEATS):
        for name, make in what.items():
            began = time.perf_counter()
            make(step)
            seconds[name].append(time.perf_counter() - began)
    rates = {
        f"{name}_mixtures_per_second": round(BATCH / statistics.median(times))
        for name, times in seconds.items()
    }
    ratio = statistics.median(
        loop / quick for loop, quick in zip(seconds["loop"], seconds["quick"], strict=False)
    )
    return rates | {"quick_over_loop": round(ratio, 1), "batch": BATCH, "repeats": REPEATS}
