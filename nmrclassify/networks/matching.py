"""Matching outputs that have no order to the sources of each mixture."""

import numpy as np
from scipy.optimize import linear_sum_assignment


def assign(cost: np.ndarray) -> np.ndarray:
    """Return the assignment of outputs to sources with the lowest total cost, for each mixture.

    Parameters
    ----------
    cost : ndarray, shape (B, C, C)
        ``cost[b, i, j]`` of letting output i stand for source j of mixture b.

    Returns
    -------
    ndarray, shape (B, C), int64
        ``assignment[b, i]`` is the source that output i stands for.

    Raises
    ------
    ValueError
        If a cost is not finite.

    References
    ----------
    The permutation-invariant training of M. Kolbaek et al., IEEE/ACM TASLP 25(10), 2017,
    doi:10.1109/TASLP.2017.2726762, with the Hungarian method in place of trying every permutation.
    """
    if not np.isfinite(cost).all():
        raise ValueError(
            "the matching cost is not a finite number; the outputs or the mixture hold an undefined"
            " value"
        )
    matched = np.empty(cost.shape[:2], dtype=np.int64)
    for row, matrix in enumerate(cost):
        matched[row] = linear_sum_assignment(matrix)[1]
    return matched
