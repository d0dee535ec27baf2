"""The prediction for one mixture beside its truth, and how it changes with the threshold.

Equivalent compounds count as one.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from nmrclassify.evaluation.identify import Identification
from nmrclassify.evaluation.peak_metrics import Tally, highest_of_group, in_groups

LISTED = 0.02  # less likely compounds are listed only if they are in the mixture
MAX_LISTED = 300


@dataclass(frozen=True)
class PrecisionRecallCurve:
    """Precision and recall for each possible threshold, the highest first."""

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def tally(prediction: Identification, present: np.ndarray) -> Tally:
    """Count named and present compounds at the threshold of the prediction."""
    groups = prediction.groups
    return Tally.of(in_groups(groups, prediction.is_named), in_groups(groups, present))


def precision_recall(prediction: Identification, present: np.ndarray) -> PrecisionRecallCurve:
    """Return the precision-recall curve of one mixture."""
    highest = highest_of_group(prediction.groups, prediction.probabilities)
    truth = in_groups(prediction.groups, present)
    order = np.argsort(-highest, kind="stable")
    right, values = np.cumsum(truth[order]), highest[order]
    # Equal probabilities pass the threshold together.
    last = np.flatnonzero(np.r_[np.diff(values) != 0, True])
    precision, recall = right[last] / (last + 1), right[last] / max(truth.sum(), 1)
    return PrecisionRecallCurve(values[last], precision, recall)


def listed_compounds(prediction: Identification, present: np.ndarray) -> np.ndarray:
    """Return the likely and the present compounds, likeliest first; at least one."""
    order = np.argsort(-prediction.probabilities, kind="stable")
    first = order[:MAX_LISTED]
    likely = first[prediction.probabilities[first] >= LISTED]
    if not len(likely):
        likely = order[:1]
    return order[np.isin(order, np.union1d(likely, present))]


def outcome_table(
    prediction: Identification, rows: np.ndarray, truth: Mapping[int, float] | None = None
) -> pd.DataFrame:
    """Return a table of compounds: name, outcome, probability, amount, and the true amount.

    Parameters
    ----------
    rows : ndarray
        The compounds to list.
    truth : dict, optional
        The amount of each compound that is in the mixture, where that is known.
    """
    groups, rows = prediction.groups, np.asarray(rows)
    named = prediction.is_named
    named_groups = in_groups(groups, named)
    present_groups = in_groups(groups, np.array(list(truth or {}), dtype=int))

    def outcome(k: int) -> str:
        if truth is None:
            return "named" if named[k] else "not named"
        group = groups[k]
        if named_groups[group] and present_groups[group] and (k in truth) != named[k]:
            # An equivalent compound is in the mixture, or is named.
            return "✓ right, as its equivalent" if named[k] else "✓ found as its equivalent"
        if named[k]:
            return "✓ right" if k in truth else "✗ false alarm"
        return "✗ missed" if k in truth else "rightly not named"

    columns = {
        "compound": [prediction.compounds.names[k] for k in rows],
        "outcome": [outcome(k) for k in rows.tolist()],
        "probability": prediction.probabilities[rows],
        "amount": prediction.amounts[rows],
    }
    if truth is not None:
        columns["truth"] = [f"{truth[k]:.3g}" if k in truth else "not in it" for k in rows.tolist()]
    return pd.DataFrame(columns)
