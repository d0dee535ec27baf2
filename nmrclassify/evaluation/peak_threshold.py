"""The answer for one mixture beside the truth: right, missed, false alarms, and how they change with the threshold.

Compounds that nothing tells apart count as one answer: all figures are over groups of such
compounds.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nmrclassify.evaluation.identify import Identification

LISTED = 0.02  # compounds below this probability are listed only if they are in the mixture
MAX_LISTED = 300


@dataclass(frozen=True)
class Tally:
    """Counts over groups of compounds that can be told apart."""

    present: int
    named: int
    right: int

    @property
    def missed(self) -> int:
        """In the mixture, and not named."""
        return self.present - self.right

    @property
    def false_alarms(self) -> int:
        """Named, and not in the mixture."""
        return self.named - self.right

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is right."""
        return 2 * self.right / max(self.present + self.named, 1)


@dataclass(frozen=True)
class Curve:
    """Precision and recall at each probability that a group has, as a threshold, falling."""

    threshold: np.ndarray
    precision: np.ndarray
    recall: np.ndarray


def _highest(found: Identification, groups: np.ndarray) -> np.ndarray:
    best = np.zeros(groups.max() + 1)
    np.maximum.at(best, groups, found.probabilities)
    return best


def tally(found: Identification, present: np.ndarray, groups: np.ndarray) -> Tally:
    """Count what is right at the threshold of `found`."""
    there, named = np.unique(groups[present]), np.unique(groups[found.named])
    return Tally(len(there), len(named), len(np.intersect1d(there, named)))


def precision_recall(found: Identification, present: np.ndarray, groups: np.ndarray) -> Curve:
    """Return the precision-recall curve of one mixture; empty mixtures have none."""
    best = _highest(found, groups)
    truth = np.zeros(len(best), dtype=bool)
    truth[groups[present]] = True
    order = np.argsort(-best, kind="stable")
    right, values = np.cumsum(truth[order]), best[order]
    last = np.flatnonzero(
        np.r_[np.diff(values) != 0, True]
    )  # equal probabilities are named together
    return Curve(values[last], right[last] / (last + 1), right[last] / max(truth.sum(), 1))


def listed(found: Identification, present: np.ndarray) -> np.ndarray:
    """Return the compounds worth a row, likeliest first: those that may be there, and all that are."""
    order = np.argsort(-found.probabilities, kind="stable")
    likely = order[:MAX_LISTED][found.probabilities[order[:MAX_LISTED]] >= LISTED]
    if not len(likely):
        likely = order[:1]
    return order[np.isin(order, np.union1d(likely, present))]


def table(
    found: Identification,
    rows: np.ndarray,
    groups: np.ndarray,
    present: np.ndarray | None = None,
    amounts: np.ndarray | None = None,
) -> pd.DataFrame:
    """Return compound, verdict, probability and amount and, where `present` and its `amounts` are known, the truth."""
    names, rows = found.compounds.names, np.asarray(rows)
    named = found.probabilities >= found.threshold
    known = {} if present is None else dict(zip(present.tolist(), amounts, strict=False))
    there, called = set(groups[list(known)].tolist()), set(groups[named].tolist())

    def judged(k: int) -> str:
        if present is None:
            return "named" if named[k] else "not named"
        if groups[k] in there and groups[k] in called and (k in known) != named[k]:
            # It was named for its like, or its like for it.
            return "✓ right, as its like" if named[k] else "✓ found as its like"
        if named[k]:
            return "✓ right" if k in known else "✗ false alarm"
        return "✗ missed" if k in known else "rightly left out"

    columns = {
        "compound": [names[k] for k in rows],
        "verdict": [judged(k) for k in rows.tolist()],
        "probability": found.probabilities[rows],
        "amount": found.amounts[rows],
    }
    if present is not None:
        columns["truth"] = [f"{known[k]:.3g}" if k in known else "not in it" for k in rows.tolist()]
    return pd.DataFrame(columns)
