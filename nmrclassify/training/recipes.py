"""How a network is trained: the configuration, its schedules, and named recipes."""

import math
from dataclasses import dataclass, replace

import numpy as np

from nmrclassify.config import bounded, bounds, check
from nmrclassify.mixtures.dataset import Augmentation, Dataset
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.training.optimiser import OPTIMISERS

SCHEDULES = ("one cycle", "constant")


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained; the defaults train slots for about 80 seconds."""

    optimiser: str = "adamw"
    learning_rate: float = bounded(1e-2, 1e-6, 1.0, "step size of the optimiser")
    momentum: float = bounded(0.0, 0.0, 0.999, "momentum of SGD")
    weight_decay: float = bounded(0.2, 0.0, 1.0, "weight decay")
    schedule: str = "one cycle"
    batch_size: int = bounded(64, 1, 512, "mixtures a step")
    steps: int = bounded(1500, 1, 50_000, "optimiser steps")
    reconstruction_weight: float = bounded(
        1.0, 0.0, 100.0, "weight of the separated multiplets' error in the loss"
    )
    mask_weight: float = bounded(
        2.0, 0.0, 100.0, "weight in the loss of the masks' distance from the ideal ratio masks"
    )
    clip_norm: float = bounded(1.0, 1e-3, 1e6, "gradients longer than this are shortened to it")
    # Augmentation of the training mixtures: without it, a network memorises the few compositions.
    concentration_spread: float = bounded(
        1.2, 1.0, 10.0, "training concentrations are drawn this many times lower or higher"
    )
    repeats: float = bounded(
        0.0,
        0.0,
        1.0,
        "share of training mixtures in which a repeat of one compound replaces another",
    )
    added_noise: float = bounded(
        0.02, 0.0, 1.0, "noise added in training, relative to the library's mean multiplet area"
    )
    added_jitter: float = bounded(0.0, 0.0, 3.0, "shift jitter added in training, in positions")
    remix: float = bounded(
        0.0,
        0.0,
        1.0,
        "share of training mixtures whose compounds are drawn anew; never a held-out composition",
    )
    unknown: float = bounded(
        0.0, 0.0, 1.0, "share of training mixtures with a compound from outside the library"
    )
    unknown_replaces: float = bounded(
        0.5, 0.0, 1.0, "share of training mixtures in which an unknown compound replaces one"
    )
    # each training mixture draws its share of spread, jitter, noise and common shift
    own_levels: bool = False
    added_common_shift: float = bounded(
        0.0,
        0.0,
        3.0,
        "largest shift, either way, added in training to all multiplets of a mixture",
    )

    def __post_init__(self) -> None:
        """Check the values."""
        check(self)
        for name, value, known in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")

    def augmented(self, dataset: Dataset, any_number: bool = False) -> Augmentation:
        """Return how training mixtures are drawn: as those of the data set, with wider variation.

        With `any_number`, the number of compounds varies, too.
        """
        areas = dataset.library.areas.sum(axis=1)
        # Queries count the portions of a compound by its amount, which then must not vary.
        counts_portions = any_number and dataset.config.repetition
        base, spread = dataset.config, 1.0 if counts_portions else self.concentration_spread
        mixing = replace(
            base,
            concentration_low=max(
                base.concentration_low / spread, bounds(MixtureConfig, "concentration_low").low
            ),
            concentration_high=min(
                base.concentration_high * spread, bounds(MixtureConfig, "concentration_high").high
            ),
            noise=min(float(np.hypot(base.noise, self.added_noise * areas[areas > 0].mean())), 1.0),
            shift_jitter=min(float(np.hypot(base.shift_jitter, self.added_jitter)), 3.0),
            common_shift=min(base.common_shift + self.added_common_shift, 3.0),
        )
        return Augmentation(
            mixing,
            self.repeats,
            self.remix,
            any_number,
            self.unknown,
            self.own_levels,
            self.unknown_replaces,
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: constant, or "one cycle".

        One cycle is a linear warm-up over 5 % of the steps, then half a cosine down to zero.
        """
        if self.schedule == "constant":
            return self.learning_rate
        done, warm = (step + 1) / self.steps, 0.05
        if done < warm:
            return self.learning_rate * done / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))


# The three optimisers of the design document: 1,000 epochs over 10 mixtures, one mixture a step.
_ORIGINAL = TrainConfig(
    "sgd",
    1e-2,
    0.0,
    1e-5,
    "constant",
    batch_size=1,
    steps=10_000,
    mask_weight=0.0,
    clip_norm=1e6,
    concentration_spread=1.0,
    added_noise=0.0,
    unknown_replaces=0.0,
)
_QUERIES = TrainConfig(
    learning_rate=5e-3,
    steps=1000,
    concentration_spread=2.0,
    unknown_replaces=0.0,
    added_noise=0.15,
    added_jitter=0.5,
    remix=0.7,
    unknown=0.3,
    own_levels=True,
)
RECIPES = {
    "modern": TrainConfig(),
    # About four minutes on one thread.
    "long": TrainConfig(steps=4500),
    # Queries train on compositions that are drawn anew, each with a share of noise and jitter.
    "queries": _QUERIES,
    # Trained the packaged queries.
    "thorough": replace(_QUERIES, steps=3000),
    # One network for all disturbances of `bench robustness`: four to five minutes on one thread.
    "disturbed": replace(
        _QUERIES,
        learning_rate=1e-2,
        batch_size=96,
        steps=1700,
        concentration_spread=10.0,
        added_noise=0.65,
        added_jitter=1.5,
        added_common_shift=1.2,
        remix=0.8,
    ),
    "sgd": _ORIGINAL,
    "momentum": replace(_ORIGINAL, learning_rate=1e-4, momentum=0.99),
    "adam": replace(_ORIGINAL, optimiser="adam", learning_rate=1e-4),
}


def recipe(name: str) -> TrainConfig:
    """Return the training recipe called `name`.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}; expected one of {', '.join(RECIPES)}")
    return RECIPES[name]
