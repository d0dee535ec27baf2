"""Least squares and matching pursuit on a grid, and counts from amounts: no training is needed.

Both use the exact library, so a network has to be compared with them.
"""

import numpy as np
import scipy.optimize

from nmrclassify.nmr.library import Library


def nnls(areas: np.ndarray, library: Library) -> np.ndarray:
    """Return the non-negative least-squares amounts of all compounds in each mixture.

    Parameters
    ----------
    areas : ndarray, shape (B, P, L)
    library : Library
        K compounds of shape (P, L).

    Returns
    -------
    ndarray, shape (B, K)

    Raises
    ------
    ValueError
        If the mixtures have another shape than the library's compounds, or an area is not finite.

    References
    ----------
    C. L. Lawson and R. J. Hanson, Solving Least Squares Problems, Prentice-Hall 1974, chapter 23.
    """
    cells = checked_cells(areas, library)  # (B, PL)
    atoms = _atoms(library)
    return np.array([scipy.optimize.nnls(atoms.T, row)[0] for row in cells]).reshape(
        len(cells), library.n_compounds
    )


def matching_pursuit(
    areas: np.ndarray, library: Library, n_most: int, tolerance: float = 1e-3
) -> np.ndarray:
    """Return the amounts of orthogonal matching pursuit: compounds are added one at a time.

    The next compound is the one whose unit-normalised template has the largest positive product
    with the residual; a non-negative least-squares fit of the compounds chosen so far gives the
    next residual.

    Parameters
    ----------
    areas : ndarray, shape (B, P, L)
    n_most : int
        Most distinct compounds to choose. A compound that a later fit sets to 0 counts too.
    tolerance : float
        The search ends when the norm of the residual is at most this share of the mixture's.

    Returns
    -------
    ndarray, shape (B, K)
        0 for compounds that were not chosen.

    Raises
    ------
    ValueError
        If the mixtures have another shape than the library's compounds, an area is not finite, or
        `n_most` or `tolerance` is out of range.

    References
    ----------
    Y. C. Pati, R. Rezaiifar and P. S. Krishnaprasad, Asilomar 1993,
    doi:10.1109/ACSSC.1993.342465. Non-negative: A. M. Bruckstein, M. Elad and M. Zibulevsky, IEEE
    Trans. Inf. Theory 54(11), 2008, doi:10.1109/TIT.2008.929920.
    """
    cells = checked_cells(areas, library)
    if not 1 <= n_most <= library.n_compounds or n_most != int(n_most):
        raise ValueError(
            f"n_most is {n_most!r}; expected a whole number of compounds from 1 to"
            f" {library.n_compounds}"
        )
    if not 0 <= tolerance < 1:
        raise ValueError(
            f"tolerance is {tolerance!r}; expected a share of the mixture's norm from 0 to below 1"
        )
    atoms = _atoms(library)
    unit = atoms / np.linalg.norm(atoms, axis=1, keepdims=True)
    amounts = np.zeros((len(cells), library.n_compounds))
    for row, cell in zip(amounts, cells, strict=True):
        chosen: list[int] = []
        residual, enough = cell, tolerance * np.linalg.norm(cell)
        while len(chosen) < n_most and np.linalg.norm(residual) > enough:
            products = unit @ residual
            # After a fit these are 0 up to rounding: they must not be chosen again.
            products[chosen] = -np.inf
            best = int(products.argmax())
            if products[best] <= 0:
                break  # any further compound could only be subtracted
            chosen.append(best)
            row[chosen] = scipy.optimize.nnls(atoms[chosen].T, cell)[0]
            residual = cell - row @ atoms
    return amounts


def counts_from_amounts(
    amounts: np.ndarray, repetition: bool, number: int | None = None, threshold: float | None = None
) -> np.ndarray:
    """Return how often each compound occurs, from amounts and a `number` or a `threshold`.

    Parameters
    ----------
    amounts : ndarray, shape (B, K)
    repetition : bool
        Whether a compound can occur more than once in a mixture. Only its amount shows how many
        portions there are, so each is assumed to have concentration 1. With free concentrations,
        two portions cannot be distinguished from a large one.
    number : int, optional
        Compounds in each mixture. Without repetition, those with the largest amounts occur. With
        repetition, portions are assigned one at a time, each to the compound with the largest
        amount not yet assigned.
    threshold : float, optional
        A compound occurs if its amount is above this. With repetition, its count is the
        rounded amount, at least 1.

    Returns
    -------
    ndarray, shape (B, K), int64

    Raises
    ------
    ValueError
        If not exactly one of `number` and `threshold` is given, it is out of range, or an amount is
        not finite.
    """
    amounts = _amounts(amounts)
    if threshold is not None and number is None:
        if not np.isfinite(threshold):
            raise ValueError(f"threshold is {threshold!r}; expected a finite amount")
        return np.where(amounts > threshold, _portions(amounts) if repetition else 1, 0)
    if threshold is not None or number is None:
        raise ValueError(
            f"number is {number!r} and threshold {threshold!r}; give exactly one of the two"
        )
    most = np.inf if repetition else amounts.shape[1]
    if not 0 <= number <= most or number != int(number):
        limit = (
            "of 0 or more"
            if repetition
            else f"from 0 to {most}, the compounds that can occur once each"
        )
        raise ValueError(f"number is {number!r}; expected a whole number {limit}")
    counts = np.zeros(amounts.shape, dtype=np.int64)
    rows = np.arange(len(amounts))
    for _ in range(int(number)):
        # Without repetition, a compound is assigned at most one portion.
        rest = amounts - counts if repetition else np.where(counts > 0, -np.inf, amounts)
        counts[rows, rest.argmax(axis=1)] += 1
    return counts


def tune_threshold(amounts: np.ndarray, counts: np.ndarray, repetition: bool) -> float:
    """Return the threshold of `counts_from_amounts` that gets most mixtures wholly right.

    A mixture is right for thresholds from its largest amount of an absent compound up to just below
    its smallest amount of a present one. The number of right mixtures therefore changes only at
    amounts, and these are tried. The result is the middle of the widest interval with the most
    mixtures right, or half the largest amount if no threshold makes any mixture right.

    Parameters
    ----------
    amounts : ndarray, shape (B, K)
        Of training mixtures: tuned on test mixtures, the threshold would look better than it is.
    counts : ndarray, shape (B, K)
        How often each compound really occurs in these mixtures.
    repetition : bool
        As for `counts_from_amounts`.

    Raises
    ------
    ValueError
        If there is no mixture, the shapes differ or an amount is not finite.
    """
    amounts, counts = _amounts(amounts), np.asarray(counts)
    if counts.shape != amounts.shape or not amounts.size:
        raise ValueError(
            f"amounts have shape {amounts.shape} and counts {counts.shape}; expected the same, of 1"
            " mixture or more: give the true counts of the mixtures that the amounts are from"
        )
    present = counts > 0
    # The next number above all amounts: an empty mixture is right at the largest amount too.
    top = np.nextafter(max(float(amounts.max()), 0.0), np.inf)
    low = np.where(present, 0.0, amounts).max(axis=1).clip(min=0.0)  # (B,)
    high = np.where(present, amounts, top).min(axis=1)
    portions = _portions(amounts) if repetition else np.ones_like(counts)
    possible = (counts == np.where(present, portions, 0)).all(axis=1) & (low < high)
    low, high = np.sort(low[possible]), np.sort(high[possible])
    tried = np.unique(np.concatenate([[0.0, top], low, high]))  # (T,)
    # Between two values that are tried, those mixtures are right whose interval has begun and has
    # not ended.
    right = np.searchsorted(low, tried[:-1], side="right") - np.searchsorted(
        high, tried[:-1], side="right"
    )
    best = np.concatenate([[False], right == right.max(), [False]])
    edges = np.flatnonzero(best[1:] != best[:-1])
    starts, ends = tried[edges[::2]], tried[edges[1::2]]
    widest = int((ends - starts).argmax())
    return float((starts[widest] + ends[widest]) / 2)


def _portions(amounts: np.ndarray) -> np.ndarray:
    """Return the nearest whole number of portions, at least 1; halves are rounded up."""
    return np.maximum(np.floor(amounts + 0.5), 1).astype(np.int64)


def _atoms(library: Library) -> np.ndarray:
    return library.areas.reshape(library.n_compounds, -1).astype(np.float64)  # (K, PL)


def checked_cells(areas: np.ndarray, library: Library) -> np.ndarray:
    """Return mixtures of shape (B, P, L) as (B, PL) in double precision, checked."""
    areas = np.asarray(areas)
    expected = library.areas.shape[1:]
    if areas.ndim != 3 or areas.shape[1:] != expected:
        raise ValueError(
            f"areas have shape {areas.shape}; expected (mixtures, {expected[0]} peaks,"
            f" {expected[1]} positions) as in the library: give a single mixture as areas[None]"
        )
    areas = areas.astype(np.float64)
    _check_finite(areas, "areas")
    # The size is written out: -1 would be ambiguous for an empty batch.
    return areas.reshape(len(areas), expected[0] * expected[1])


def _amounts(amounts: np.ndarray) -> np.ndarray:
    amounts = np.asarray(amounts, dtype=np.float64)
    if amounts.ndim != 2:
        raise ValueError(
            f"amounts have shape {amounts.shape}; expected (mixtures, compounds): give one as"
            " [amounts]"
        )
    _check_finite(amounts, "amounts")
    return amounts


def _check_finite(values: np.ndarray, name: str) -> None:
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        place = tuple(int(i) for i in wrong[0])
        raise ValueError(
            f"{name} hold {values[place]} at {place}; expected finite numbers: correct or leave out"
            " that mixture"
        )
