"""Calibration of probabilities, and how well a score separates two groups."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar

from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import Network

# A fit outside this range means only that validation had no mistakes, or nothing but mistakes.
TEMPERATURES = (0.25, 8.0)


@dataclass(frozen=True)
class Reliability:
    """Predicted probabilities and the shares that came true, in bins of equal width.

    Attributes
    ----------
    stated, came_true : ndarray, shape (bins,)
        Mean predicted probability, and share of statements that were true; NaN for an empty bin.
    n : ndarray, shape (bins,)
        Statements in each bin.
    """

    stated: np.ndarray
    came_true: np.ndarray
    n: np.ndarray

    @property
    def expected_calibration_error(self) -> float:
        """Mean difference of probability and share, weighted by the statements in a bin."""
        filled = self.n > 0
        return float((self.n * np.abs(self.stated - self.came_true))[filled].sum() / self.n.sum())


def reliability(probabilities: np.ndarray, outcomes: np.ndarray, bins: int = 10) -> Reliability:
    """Sort statements into bins of their predicted probability.

    Parameters
    ----------
    probabilities, outcomes : ndarray, of one shape
        Predicted probability of each statement, from 0 to 1, and whether the statement was true.

    Raises
    ------
    ValueError
        If there is no statement, or a probability is outside 0 to 1.

    References
    ----------
    C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equations 2 and 3.
    """
    stated, came_true = np.ravel(probabilities).astype(float), np.ravel(outcomes).astype(float)
    if not len(stated) or not ((stated >= 0) & (stated <= 1)).all():
        raise ValueError(
            f"{len(stated)} probabilities from {stated.min(initial=np.inf):g} to"
            f" {stated.max(initial=-np.inf):g}; expected at least one, all within 0 to 1"
        )
    which = np.minimum((stated * bins).astype(int), bins - 1)
    n = np.bincount(which, minlength=bins)
    with np.errstate(invalid="ignore"):
        mean_stated, mean_true = (
            np.bincount(which, weights=values, minlength=bins) / n for values in (stated, came_true)
        )
    return Reliability(mean_stated, mean_true, n)


def given_number(presence: np.ndarray, number: int) -> np.ndarray:
    """Return the probability of each compound if a mixture holds exactly `number` compounds.

    The compounds are taken as independent, apart from their number (conditional Bernoulli: S. X.
    Chen, A. P. Dempster and J. S. Liu, Biometrika 81, 1994, equation 5).

    Parameters
    ----------
    presence : ndarray, shape (B, K)
        Probabilities where the number is not known.
    """
    p = np.clip(presence.astype(float), 1e-12, 1 - 1e-12)
    odds = p / (1 - p)  # (B, K)

    def weights(odds: np.ndarray) -> np.ndarray:
        """Return the summed products of the odds of 0 to `number` compounds, (B, number + 1)."""
        sums = np.zeros((len(odds), number + 1))
        sums[:, 0] = 1
        for column in odds.T:
            sums[:, 1:] += column[:, None] * sums[:, :-1]
        return sums

    without = np.stack([weights(np.delete(odds, k, axis=1)) for k in range(p.shape[1])], axis=1)
    there = odds * without[:, :, number - 1]  # (B, K)
    return there / (there + without[:, :, number])


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
    """Set the temperature of the model that fits its probabilities to `mixtures`; return it.

    The temperature divides all logits, so no prediction changes. `mixtures` must have no
    composition of the training set: on these the model is more certain than on others.

    References
    ----------
    C. Guo et al., ICML 2017, section 4.2 (temperature scaling).
    """
    model.eval()

    def cost(temperature: float) -> float:
        model.temperature.fill_(temperature)
        return float(model.objective(mixtures, 1.0).classification)

    model.temperature.fill_(best_temperature(cost))
    return float(model.temperature)


@dataclass(frozen=True)
class Roc:
    """Shares of true and false alarms as the threshold on a score falls, and area below."""

    false_alarms: np.ndarray
    true_alarms: np.ndarray
    area: float


def roc(scores: np.ndarray, positive: np.ndarray) -> Roc:
    """Return the receiver operating characteristic of a score for `positive`, shape (B,), bool.

    The area is the Mann-Whitney statistic: the probability that a positive has a higher score than
    a negative; ties count half.

    Raises
    ------
    ValueError
        If there are no positives, or no negatives.

    References
    ----------
    J. A. Hanley and B. J. McNeil, Radiology 143, 29-36 (1982).
    """
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        raise ValueError(
            f"{n_positive} positives and {n_negative} negatives; expected at least one of each"
        )
    area = (pd.Series(scores).rank()[positive].sum() - n_positive * (n_positive + 1) / 2) / (
        n_positive * n_negative
    )
    order = np.argsort(-scores, kind="stable")
    # One threshold passes all equal scores: only the last of them is a point of the curve.
    last = np.append(np.diff(scores[order]) != 0, True)
    true_alarms, false_alarms = (
        np.append(0.0, hits[order].cumsum()[last] / hits.sum()) for hits in (positive, ~positive)
    )
    return Roc(false_alarms, true_alarms, float(area))
