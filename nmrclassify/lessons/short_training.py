"""Trainings of a few seconds, short enough for a lesson."""

from dataclasses import replace
from typing import Any

import numpy as np

from nmrclassify.training.recipes import TrainConfig, recipe

SEED = 7  # of data, weights and lists, where a lesson names no other
STEPS, EVERY = 120, 10
BATCH = 16


def short(**changes: Any) -> TrainConfig:
    """Return the recipe "modern" with fewer, smaller steps and a lower learning rate.

    The learning rate was tuned on seeds 100 to 102, which no lesson uses.
    """
    settings = {"batch_size": BATCH, "steps": STEPS, "learning_rate": 6e-3}
    return replace(recipe("modern"), **settings | changes)


def five_seeds(seed: int) -> range:
    """Return the seeds of a figure over five: 1 to 5 for `seed` 1, 6 to 10 for 2, and so on."""
    return range(5 * seed - 4, 5 * seed + 1)


def only_these(**changes: Any) -> TrainConfig:
    """Return `short` for a training on the data's own mixtures: nothing in them is varied."""
    own = {"concentration_spread": 1.0, "added_noise": 0.0, "unknown_replaces": 0.0}
    return short(**own, **changes)


def over_steps(runs: dict[str, list[dict]], key: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each history of a training its steps and one of its values, as a curve."""
    return {
        name: (np.array([row["step"] for row in rows]), np.array([row[key] for row in rows]))
        for name, rows in runs.items()
    }
