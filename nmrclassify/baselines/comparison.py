"""A network beside the classical methods, all on the same mixtures."""

import numpy as np
import pandas as pd

from nmrclassify.baselines.grid import (
    MAX_JITTER_CELLS,
    Likelihood,
    counts_from_amounts,
    matching_pursuit,
    nnls,
    tune_threshold,
)
from nmrclassify.evaluation.metrics import evaluate, wilson
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig, Mixtures, counts_of, generator, mix
from nmrclassify.networks.conv_tasnet import Network

TUNING_MIXTURES = 600
# More compositions than this are not searched: the page would wait.
MAX_CANDIDATES = 3_000
METHODS = {
    "least squares": "Non-negative amounts of all compounds that leave the smallest squared rest.",
    "matching pursuit": (
        "One compound at a time, the one that explains most of the rest; all refitted after each."
    ),
    "exhaustive": (
        "The likelihood of every composition there is, knowing how the mixtures were made: the"
        " limit against noise, a close approximation of it with shifts; left out where the search"
        " would be too long."
    ),
}


def classical_counts(
    dataset: Dataset, mixtures: Mixtures, config: MixtureConfig
) -> dict[str, np.ndarray]:
    """Return what each classical method finds in mixtures that were made as `config` says, as counts of shape (B, K).

    All know the library. They are told the number of compounds where it is the same in all
    mixtures; where it varies, the amount above which a compound counts as found is tuned on
    mixtures of the training compositions. `exhaustive` knows `config` as well, and is left out
    where the search would take too long.
    """
    library, most = dataset.library, config.n_sources
    rows = dataset.train[np.arange(TUNING_MIXTURES) % len(dataset.train)]
    tuning = (
        mix(library, rows, config, generator(dataset.seed, "validation"))
        if config.number_varies
        else None
    )
    found = {}
    for method, amounts in (
        ("least squares", nnls),
        ("matching pursuit", lambda a, b: matching_pursuit(a, b, min(most, b.n_compounds))),
    ):
        if tuning is None:
            told = {"number": most}
        else:
            told = {
                "threshold": tune_threshold(
                    amounts(tuning.areas, library), tuning.counts, config.repetition
                )
            }
        found[method] = counts_from_amounts(
            amounts(mixtures.areas, library), config.repetition, **told
        )
    candidates = np.concatenate([dataset.train, dataset.validation, dataset.test])
    cells = library.n_peaks * library.axis.n_positions
    if len(candidates) <= MAX_CANDIDATES and not (config.shift_jitter and cells > MAX_JITTER_CELLS):
        average = config.concentration_low < config.concentration_high
        found["exhaustive"] = Likelihood(library, candidates, config, average=average).exhaustive(
            mixtures.areas
        )
    return found


def network_counts(model: Network, mixtures: Mixtures, number: int | None = None) -> np.ndarray:
    """Return what a network finds, as counts of shape (B, K); with `number`, queries are told how many compounds to name."""
    result = evaluate(model, mixtures)
    if model.kind == "queries" and number is not None:
        return counts_from_amounts(result.presence, False, number=number)
    return counts_of(result.predicted, mixtures.n_compounds)


def shares_right(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Return the share of mixtures wholly right, and of compounds right among all that were named or should have been."""
    named = np.minimum(found, true).sum() / max(
        np.maximum(found.sum(axis=1), true.sum(axis=1)).sum(), 1
    )
    return float((found == true).all(axis=1).mean()), float(named)


def compare_methods(
    model: Network, name: str, dataset: Dataset, mixtures: Mixtures
) -> pd.DataFrame:
    """Return one row a method: mixtures wholly right with a 95 % interval, and compounds right."""
    rows = []
    independent = len(np.unique(mixtures.labels, axis=0))
    for method, found in (
        {name: network_counts(model, mixtures)}
        | classical_counts(dataset, mixtures, dataset.config)
    ).items():
        exact, named = shares_right(found, mixtures.counts)
        low, high = wilson(exact, independent)
        rows.append(
            {
                "method": method,
                "mixtures wholly right": exact,
                "from": low,
                "to": high,
                "compounds right": named,
            }
        )
    return pd.DataFrame(rows)
