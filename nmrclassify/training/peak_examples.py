"""Examples for the training of the network of full scale: mixtures of synthetic libraries.

Training example i depends on the seed and on i alone, so the number of processes does not change
the batches. Of n processes, process r has the examples i with i % n == r of each batch. Workers
prepare mixtures and their hypotheses ahead of the steps.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nmrclassify.config import bounded, check
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import AmountHypotheses, find_hypotheses
from nmrclassify.networks.peak_losses import PeakTruth, peak_truth
from nmrclassify.networks.shift_estimates import SPREADS
from nmrclassify.networks.templates import TOLERANCE, Templates, tolerance_of
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

# Of the training's libraries; seeds below 1,000 are for development and reports.
LIBRARY_SEED = 1_000
N_UNKNOWN = 100  # compounds beside each library that it does not hold
FREQUENCIES = (60.0, 80.0, 100.0, 200.0, 300.0, 400.0, 500.0, 700.0, 800.0)  # MHz, beside 600
# Places that are not well known: their deviations in ppm, their share of a library's places, and
# the share of the disturbed mixtures whose library has them.
DEVIATIONS, SHARE_OF_PLACES, SHARE_OF_MIXTURES = (0.004, 0.06), 0.5, 0.2
# Stored in a saved state. Raise it with every change of the examples that a seed gives: a resumed
# training would go on with other ones.
EXAMPLES_VERSION = 2


@dataclass(frozen=True)
class PeakTrainConfig:
    """Options of a training. Its files store the names."""

    steps: int = bounded(4000, 1, 10_000_000, "optimiser steps")
    batch: int = bounded(4, 1, 4096, "mixtures a step, over all processes")
    learning_rate: float = bounded(
        2e-3, 1e-6, 1.0, "learning rate at its highest; warmed up, then a half cosine"
    )
    weight_decay: float = bounded(1e-4, 0.0, 1.0, "AdamW weight decay")
    libraries: int = bounded(24, 1, 10_000, "synthetic libraries that the mixtures are drawn from")
    # `libraries` draws N_UNKNOWN more; a synthetic library has 10,000 at most.
    compounds: int = bounded(877, 2, 9_900, "compounds of each library")
    n_low: int = bounded(15, 1, 2000, "fewest compounds in a mixture")
    n_high: int = bounded(115, 1, 2000, "most compounds in a mixture")
    seed: int = bounded(7, 0, 2**31, "of weights, libraries and mixtures")
    disturbed: float = bounded(
        0.6,
        0.0,
        1.0,
        "share of mixtures with what spectra do to lists of peaks; see `disturbed_recipe`",
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)
        if not self.n_low <= self.n_high <= self.compounds:
            raise ValueError(
                f"n_low is {self.n_low}, n_high {self.n_high} and compounds {self.compounds};"
                " expected them in ascending order"
            )


@dataclass
class TrainingExample:
    """One mixture, as the network and its loss need it."""

    hypotheses: AmountHypotheses
    truth: PeakTruth

    def to(self, device: torch.device) -> "TrainingExample":
        """Return a copy on a device."""
        return TrainingExample(_moved(self.hypotheses, device), _moved(self.truth, device))


def _moved(record: Any, device: torch.device) -> Any:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    moved = {n: v.to(device) for n, v in values.items() if isinstance(v, (Tensor, Templates))}
    return replace(record, **moved)


def held_and_others(
    config: SyntheticConfig, rng: np.random.Generator
) -> tuple[Compounds, Compounds]:
    """Draw a synthetic library, and `N_UNKNOWN` compounds that it does not hold.

    Some of these are relatives of those that it holds.
    """
    count = config.n_compounds
    drawn = synthetic_compounds(replace(config, n_compounds=count + N_UNKNOWN), rng)
    order = rng.permutation(count + N_UNKNOWN)
    held, others = np.sort(order[:count]), np.sort(order[count:])
    return drawn.select(held.tolist()), drawn.select(others.tolist())


def with_uncertain_places(held: Compounds, rng: np.random.Generator) -> Compounds:
    """Return a library in which `SHARE_OF_PLACES` of the places are not well known."""
    low, high = np.log(DEVIATIONS)
    deviations = np.exp(rng.uniform(low, high, held.n_multiplets))
    return replace(held, deviations=deviations * (rng.random(held.n_multiplets) < SHARE_OF_PLACES))


@lru_cache(maxsize=64)
def libraries(compounds: int, number: int) -> tuple[Compounds, Compounds]:
    """Return synthetic library `number` of the trainings, and compounds that it does not hold.

    A third of the libraries are like fragments, a third like metabolites, a third between.
    """
    config = SyntheticConfig(n_compounds=compounds, metabolites=(number % 3) / 2)
    return held_and_others(config, np.random.default_rng([LIBRARY_SEED, number]))


@lru_cache(maxsize=64)
def library(compounds: int, number: int, is_uncertain: bool = False) -> Compounds:
    """Return synthetic library `number`; if uncertain, some places are not well known."""
    held = libraries(compounds, number)[0]
    if not is_uncertain:
        return held
    return with_uncertain_places(held, np.random.default_rng([LIBRARY_SEED, number, 1]))


@lru_cache(maxsize=64)
def templates(
    compounds: int,
    number: int,
    mhz: float = FULL_AXIS.mhz,
    tolerance: float = TOLERANCE,
    is_uncertain: bool = False,
) -> Templates:
    """Return that library prepared for the full axis at a frequency."""
    axis = replace(FULL_AXIS, mhz=mhz)
    held = library(compounds, number, is_uncertain)
    return Templates.of(held, axis).with_tolerance(tolerance)


def disturbed_recipe(
    recipe: PeakMixtureConfig, rng: np.random.Generator
) -> tuple[PeakMixtureConfig, float]:
    """Change a recipe by what spectra do, each thing with its own probability.

    Fewer compounds, another frequency, a lower resolution, areas of peaks and of multiplets that
    are wrong, compounds that the library does not hold, peaks of noise, and regions that were cut
    out.

    Returns
    -------
    recipe : PeakMixtureConfig
    mhz : float
    """
    changed: dict[str, Any] = {}
    count = recipe.n_high
    if rng.random() < 0.3:
        count = int(np.exp(rng.uniform(0.0, np.log(count + 0.99))))
        changed |= {"n_low": count, "n_high": count}
    mhz = float(rng.choice(FREQUENCIES)) if rng.random() < 0.5 else FULL_AXIS.mhz
    if rng.random() < 0.35:
        changed["resolution"] = float(np.exp(rng.uniform(np.log(0.8), np.log(5.0))))
    if rng.random() < 0.35:
        changed["gain"] = rng.uniform(0.05, 0.25)
    if rng.random() < 0.3:
        changed["multiplet_gain"] = rng.uniform(0.03, 0.2)
    if rng.random() < 0.4:
        changed["n_unknown"] = int(rng.integers(1, 41))
    if rng.random() < 0.35:
        changed["n_false"] = int(np.exp(rng.uniform(0.0, np.log(800.0))))
    if rng.random() < 0.25 and count >= 5:  # fewer could lose all their peaks
        changed["n_cut"] = int(rng.integers(1, 4))
    return replace(recipe, **changed), mhz


def training_example(config: PeakTrainConfig, index: int) -> tuple[int, TrainingExample]:
    """Draw example `index` of a training, and return the number of its library and the example."""
    rng = np.random.default_rng([config.seed, index])
    number = int(rng.integers(config.libraries))
    count = int(rng.integers(config.n_low, config.n_high + 1))

    def between(low: float, high: float) -> float:  # log-uniform
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    recipe = PeakMixtureConfig(
        n_low=count,
        n_high=count,
        jitter=between(0.002, 0.04),
        noise=between(1e-4, 1e-3),
        gain=rng.uniform(0, 0.05),
        common=rng.uniform(0, 1),
        line_error=rng.uniform(0.02, 0.2),
        decades=rng.uniform(1, 2.5),
        n_unknown=int(rng.integers(0, 8)) if rng.random() < 0.3 else 0,
    )
    mhz, is_uncertain = FULL_AXIS.mhz, False
    if config.disturbed and rng.random() < config.disturbed:
        recipe, mhz = disturbed_recipe(recipe, rng)
        is_uncertain = bool(rng.random() < SHARE_OF_MIXTURES)
    axis = replace(FULL_AXIS, mhz=mhz)
    held, unknown = libraries(config.compounds, number)
    if is_uncertain:
        held = library(config.compounds, number, True)
    mixture = draw_mixture(held, recipe, rng, axis, unknown)
    # The spread is estimated, or known, or wrong: the later rounds learn to correct it.
    source, spread = rng.random(), None
    if source >= 0.9:
        spread = float(rng.choice(SPREADS))
    elif source >= 0.7:
        spread = recipe.jitter * 1.1
    tolerance = tolerance_of(mixture.peaks)
    of_library = templates(config.compounds, number, mhz, tolerance, is_uncertain)
    hypotheses = find_hypotheses(of_library, mixture.peaks, spread)
    return number, TrainingExample(hypotheses, peak_truth(mixture, hypotheses))


class _ExampleDataset(Dataset):
    """The examples of one process, as plain tensors, which a worker can send."""

    def __init__(self, config: PeakTrainConfig, start: int, rank: int, world: int):
        self.config = config
        self.indices = [
            i
            for i in range(start * config.batch, config.steps * config.batch)
            if (i % config.batch) % world == rank
        ]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> tuple[tuple, dict, dict]:
        torch.set_num_threads(1)
        number, example = training_example(self.config, self.indices[k])
        tensors = vars(example.hypotheses).copy()
        used = tensors.pop("templates")  # the receiver has them
        is_uncertain = bool(used.deviations.any())
        key = number, used.axis.mhz, used.tolerance, is_uncertain
        return key, tensors, vars(example.truth)


def _only(batch: list) -> Any:
    return batch[0]


def training_examples(
    config: PeakTrainConfig, start: int, rank: int = 0, world: int = 1, workers: int = 1
) -> Iterator[TrainingExample]:
    """Yield the examples of this process from step `start` on.

    Parameters
    ----------
    rank, world : int
        Number of this process, and number of all.
    workers : int
        Processes that prepare the examples; 0 prepares them in this process.
    """
    loader = DataLoader(
        _ExampleDataset(config, start, rank, world),
        batch_size=1,
        collate_fn=_only,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
    for which, hypotheses, truth in loader:
        yield TrainingExample(
            AmountHypotheses(templates=templates(config.compounds, *which), **hypotheses),
            PeakTruth(**truth),
        )
