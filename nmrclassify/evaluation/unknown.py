"""Mixtures with unknown compounds, and how well a network detects these."""

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
from nmrclassify.networks.queries import Queries
from nmrclassify.nmr.library import Library, LibraryConfig, random_library

UNKNOWN_MIXTURES = 720


def unknown_test_compounds(library: Library, size: int, seed: int) -> np.ndarray:
    """Return `size` compounds that are not in the library, shape (size, P, L).

    For a random library they are drawn like its compounds, from another random stream, and so
    differ from those of training. For other libraries they are its multiplets at other positions.
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
    """Make mixtures of test compositions, every other one with an unknown compound."""
    seed = dataset.seed if seed is None else seed
    rows = dataset.test[np.arange(UNKNOWN_MIXTURES) % len(dataset.test)]
    # In random order: otherwise, with an even number of compositions, the same ones would always
    # get the unknown compound.
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
    """Return two scores for an unknown compound on `half_unknown` mixtures, and the truth.

    "something unknown" is the network's output for it. "residual" is the squared area that the
    predicted compounds leave, as a share of that of the mixture.
    """
    model.eval()
    mixtures = half_unknown(dataset, config, seed)
    areas = torch.from_numpy(mixtures.areas)
    output, separation = model(areas)
    predicted = separation.multiplets[:, :-1] * (output.presence[:, :-1] > 0)[..., None, None]
    residual = (areas - predicted.sum(1)).square().sum((1, 2)) / areas.square().sum(
        (1, 2)
    ).clamp_min(1e-30)
    scores = {
        "something unknown": output.presence[:, -1].sigmoid().numpy(),
        "residual": residual.numpy(),
    }
    return scores, mixtures.has_unknown
