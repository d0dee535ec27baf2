"""A network and the classical methods on the same mixtures."""

import numpy as np
import pandas as pd

from nmrclassify.baselines.grid import counts_from_amounts, matching_pursuit, nnls, tune_threshold
from nmrclassify.baselines.likelihood import MAX_JITTER_CELLS, Likelihood
from nmrclassify.evaluation.metrics import Evaluation, evaluate, shares_right, wilson
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig, Mixtures, counts_of, generator, mix
from nmrclassify.networks.conv_tasnet import Network

TUNING_MIXTURES = 600
# Most compositions that are searched: the page should not have to wait.
MAX_CANDIDATES = 3_000
METHODS = {
    "least squares": "The non-negative amounts of all compounds with the least squared residual.",
    "matching pursuit": (
        "Adds one compound at a time, the one that explains most of the residual, and fits all"
        " amounts again."
    ),
    "exhaustive": (
        "The most likely of all compositions, from the distributions that the mixtures were made"
        " with: the limit with noise, close to it with shifts. Left out where the search would take"
        " too long."
    ),
}


def classical_counts(
    dataset: Dataset, mixtures: Mixtures, config: MixtureConfig
) -> dict[str, np.ndarray]:
    """Return the counts of each classical method, (B, K), for mixtures made with `config`.

    All use the library, and the number of compounds if it is the same in all mixtures. If it
    varies, the amount above which a compound counts as present is tuned on mixtures of the training
    compositions. `exhaustive` uses `config` too; it is left out where it would take too long.
    """
    library, most = dataset.library, config.n_sources
    rows = dataset.train[np.arange(TUNING_MIXTURES) % len(dataset.train)]
    counts = {}
    for method, amounts in (
        ("least squares", nnls),
        ("matching pursuit", lambda a, b: matching_pursuit(a, b, min(most, b.n_compounds))),
    ):
        number: int | None = most
        threshold: float | None = None
        if config.number_varies:
            tuning = mix(library, rows, config, generator(dataset.seed, "validation"))
            tuned_on = amounts(tuning.areas, library)
            number, threshold = None, tune_threshold(tuned_on, tuning.counts, config.repetition)
        counts[method] = counts_from_amounts(
            amounts(mixtures.areas, library), config.repetition, number, threshold
        )
    candidates = np.concatenate([dataset.train, dataset.validation, dataset.test])
    cells = library.n_peaks * library.axis.n_positions
    if len(candidates) <= MAX_CANDIDATES and not (config.shift_jitter and cells > MAX_JITTER_CELLS):
        average = config.concentration_low < config.concentration_high
        likelihood = Likelihood(library, candidates, config, average=average)
        counts["exhaustive"] = likelihood.exhaustive(mixtures.areas)
    return counts


def network_counts(model: Network, mixtures: Mixtures, number: int | None = None) -> np.ndarray:
    """Return predicted counts, (B, K); networks of any number name the `number` likeliest."""
    return counts_of_result(evaluate(model, mixtures), number if model.any_number else None)


def counts_of_result(result: Evaluation, number: int | None = None) -> np.ndarray:
    """Return predicted counts, (B, K), or the `number` likeliest compounds where that is given."""
    if number is not None:
        return counts_from_amounts(result.presence, False, number=number)
    return counts_of(result.predicted, result.n_compounds)


def compare_methods(
    model: Network, name: str, dataset: Dataset, mixtures: Mixtures
) -> pd.DataFrame:
    """Return one row a method: mixtures wholly right with a 95 % interval, and compounds right."""
    rows = []
    independent = len(np.unique(mixtures.labels, axis=0))
    counts = {name: network_counts(model, mixtures)}
    counts |= classical_counts(dataset, mixtures, dataset.config)
    for method, predicted in counts.items():
        exact, compounds = shares_right(predicted, mixtures.counts)
        low, high = wilson(exact, independent)
        rows.append(
            {
                "method": method,
                "mixtures wholly right": exact,
                "from": low,
                "to": high,
                "compounds right": compounds,
            }
        )
    return pd.DataFrame(rows)
