"""How far a stated probability can be trusted, and how well a score tells two kinds apart."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.stats import rankdata

from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.losses import OBJECTIVES

# Outside this range a fit says only that validation held no mistake, or nothing but mistakes.
TEMPERATURES = (0.25, 8.0)


@dataclass(frozen=True)
class Reliability:
    """Stated probabilities against what came true, in bins of equal width.

    Attributes
    ----------
    stated, came_true : ndarray, shape (bins,)
        Mean probability and share that came true; NaN where a bin is empty.
    n : ndarray, shape (bins,)
        Statements in each bin.
    """

    stated: np.ndarray
    came_true: np.ndarray
    n: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean distance of stated probability and share that came true, weighted by the number of statements."""
        filled = self.n > 0
        return float((self.n * np.abs(self.stated - self.came_true))[filled].sum() / self.n.sum())


def reliability(probabilities: np.ndarray, outcomes: np.ndarray, bins: int = 10) -> Reliability:
    """Sort statements into bins of stated probability.

    C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equations 2 and 3.

    Parameters
    ----------
    probabilities, outcomes : ndarray, of one shape
        What was stated, from 0 to 1, and whether it came true.
    bins : int

    Raises
    ------
    ValueError
        If there is no statement, or a probability outside 0 to 1.
    """
    stated, came_true = np.ravel(probabilities).astype(float), np.ravel(outcomes).astype(float)
    if not len(stated) or not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError(
            f"{len(stated)} probabilities were given, or one is outside 0 to 1; expected at least"
            " one, all within"
        )
    which = np.minimum((stated * bins).astype(int), bins - 1)
    n = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [
            np.bincount(which, weights=values, minlength=bins) / n for values in (stated, came_true)
        ]
    return Reliability(*means, n)


def best_temperature(cost: Callable[[float], float]) -> float:
    """Return the temperature within `TEMPERATURES` with the lowest cost, to about 2 %."""
    best = minimize_scalar(
        lambda logarithm: cost(float(np.exp(logarithm))),
        bounds=tuple(np.log(TEMPERATURES)),
        method="bounded",
        options={"xatol": 0.02},
    )
    return float(np.exp(best.x))


@torch.no_grad()
def fit_temperature(model: Network, mixtures: Mixtures) -> float:
    """Set the model's temperature to the one that fits `mixtures` best, and return it.

    `mixtures` must not hold a composition of the training: those would only tell how well the model
    has learnt them by heart.
    """
    model.eval()
    objective = OBJECTIVES[model.kind]

    def cost(temperature: float) -> float:
        model.temperature.fill_(temperature)
        return float(objective(model, mixtures, 1.0).classification)

    model.temperature.fill_(best_temperature(cost))
    return float(model.temperature)


@dataclass(frozen=True)
class Roc:
    """How the share of true and of false alarms grows as the threshold on a score falls, and the area below that curve."""

    false_alarms: np.ndarray
    true_alarms: np.ndarray
    area: float


def roc(scores: np.ndarray, positive: np.ndarray) -> Roc:
    """Return the receiver operating characteristic of a score for `positive`, shape (B,), bool.

    The area is the Mann-Whitney statistic: the chance that a positive one scores higher than a negative one, ties counting half
    (J. A. Hanley and B. J. McNeil, Radiology 143, 29-36 (1982)).

    Raises
    ------
    ValueError
        If there are not both positives and negatives.
    """
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        raise ValueError(
            f"{n_positive} positives and {n_negative} negatives; expected at least one of each"
        )
    area = (rankdata(scores)[positive].sum() - n_positive * (n_positive + 1) / 2) / (
        n_positive * n_negative
    )
    order = np.argsort(-scores, kind="stable")
    last = np.append(
        np.diff(scores[order]) != 0, True
    )  # equal scores are passed by one threshold at once
    true_alarms, false_alarms = (
        np.append(0.0, hits[order].cumsum()[last] / hits.sum()) for hits in (positive, ~positive)
    )
    return Roc(false_alarms, true_alarms, float(area))
