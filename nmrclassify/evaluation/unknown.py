"""Evaluations beyond accuracy: compounds that the library does not hold, and how far probabilities can be trusted."""

import numpy as np
import torch

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import (
    MixtureConfig,
    Mixtures,
    generator,
    mix,
    unknown_compounds,
    with_unknown,
)
from nmrclassify.networks.conv_tasnet import Queries
from nmrclassify.nmr.library import Library, LibraryConfig, random_library

UNKNOWN_MIXTURES = 720


def unknown_test_compounds(library: Library, size: int, seed: int) -> np.ndarray:
    """Return `size` compounds that are not in the library, shape (size, P, L).

    For a random library they are drawn as it was, but from another stream, and not by moving its
    multiplets as training does; for any other they are its multiplets at other positions.
    """
    rng = generator(seed, "unknown")
    if library.axis.unit == "position" and library.n_peaks >= 2:
        config = LibraryConfig(
            min(64, max(8, size // 8)), library.axis.n_positions, library.n_peaks
        )
        drawn = random_library(config, rng).areas
        return drawn[np.arange(size) % len(drawn)]
    return unknown_compounds(library, size, rng)


def half_unknown(
    dataset: Dataset, config: MixtureConfig | None = None, seed: int | None = None
) -> Mixtures:
    """Make mixtures of the test compositions, every other one with a stranger at concentration 1."""
    seed = dataset.seed if seed is None else seed
    rows = dataset.test[np.arange(UNKNOWN_MIXTURES) % len(dataset.test)]
    # In random order: with an even number of compositions every other mixture would always hold the
    # same ones.
    rng = generator(seed, "unknown", 1)
    mixtures = mix(dataset.library, rng.permutation(rows), config or dataset.config, rng)
    concentrations = (np.arange(len(mixtures)) % 2).astype(float)
    return with_unknown(
        mixtures, unknown_test_compounds(dataset.library, len(mixtures), seed), concentrations
    )


@torch.inference_mode()
def unknown_scores(
    model: Queries, dataset: Dataset, config: MixtureConfig | None = None, seed: int | None = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return two scores for "something unknown is in it" on `half_unknown` mixtures, and whether it is.

    "something unknown" is the network's own output; "residual" the squared area that its compounds
    leave unexplained, relative to the mixture's.
    """
    model.eval()
    mixtures = half_unknown(dataset, config, seed)
    areas = torch.from_numpy(mixtures.areas)
    findings, separation = model(areas)
    known = separation.multiplets[:, :-1] * (findings.presence[:, :-1] > 0)[..., None, None]
    rest = (areas - known.sum(1)).square().sum((1, 2)) / areas.square().sum((1, 2)).clamp_min(1e-30)
    scores = {
        "something unknown": findings.presence[:, -1].sigmoid().numpy(),
        "residual": rest.numpy(),
    }
    return scores, mixtures.unknown.any((1, 2))
