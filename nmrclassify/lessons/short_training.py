"""Trainings of a few seconds, short enough for a lesson."""

from dataclasses import replace
from typing import Any

import numpy as np

from nmrclassify.training.recipes import TrainConfig, recipe

SEED = 7  # of data, weights and lists, where a lesson names no other
STEPS, EVERY = 120, 10
BATCH = 16


def short(**changes: Any) -> TrainConfig:
    """Return the recipe "modern" with fewer, smaller steps and a higher learning rate.

    The learning rate was tuned on seeds 100 to 102, which no lesson uses.
    """
    settings = {"batch_size": BATCH, "steps": STEPS, "learning_rate": 6e-3}
    return replace(recipe("modern"), **settings | changes)


def over_steps(runs: dict[str, list[dict]], key: str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return for each history of a training its steps and one of its values, as a curve."""
    return {
        name: (np.array([row["step"] for row in rows]), np.array([row[key] for row in rows]))
        for name, rows in runs.items()
    }
