"""Multiplets: the area ratios of the peaks that one group of equivalent protons gives.

A proton with n equivalent neighbours splits into n + 1 peaks whose areas follow row n of Pascal's triangle
(the first-order "n + 1 rule"; J. Keeler, Understanding NMR Spectroscopy, 2nd ed., section 3.2).
"""

from math import comb

import numpy as np

KINDS = ("singlet", "doublet", "triplet", "quartet", "quintet", "sextet")
SYMBOLS = ("s", "d", "t", "q", "quint", "sext")
UNRESOLVED = "multiplet"

_SYNONYMS = {"quin": "quintet", "pent": "quintet", "p": "quintet", "sxt": "sextet", "m": UNRESOLVED, UNRESOLVED: UNRESOLVED}
_SYNONYMS |= dict(zip(KINDS, KINDS)) | dict(zip(SYMBOLS, KINDS))


def parse_kind(text: str) -> str:
    """Return the full name of a kind of multiplet given by name or symbol ("q", "Quartet", "quin", ...).

    Raises
    ------
    ValueError
        If the text names no kind of up to six peaks and is not "m" (unresolved).
    """
    kind = _SYNONYMS.get(text.strip().lower().rstrip("."))
    if kind is None:
        raise ValueError(f"unknown multiplicity {text!r}; expected one of {', '.join(SYMBOLS)}, m, or their full names")
    return kind


def pascal_row(n_neighbours: int) -> np.ndarray:
    """Return the peak area ratios 1 : n : ... : 1 for `n_neighbours` equivalent neighbours, as whole numbers."""
    return np.array([comb(n_neighbours, k) for k in range(n_neighbours + 1)], dtype=np.int64)


def pattern(kind: str, n_peaks: int = 6) -> np.ndarray:
    """Return a multiplet of unit area as `n_peaks` peak areas.

    Parameters
    ----------
    kind : str
        A name or symbol that `parse_kind` takes. An unresolved multiplet ("m") has no published ratios: its area
        is spread evenly.
    n_peaks : int
        Number of peaks P; shorter patterns are padded with zeros on the right, as in the design document.

    Returns
    -------
    ndarray, shape (P,), float64
        Areas that sum to 1, in Pascal's ratios.

    Raises
    ------
    ValueError
        If the kind is unknown, or has more than `n_peaks` peaks.
    """
    name = parse_kind(kind)
    if name == UNRESOLVED:
        return np.full(n_peaks, 1.0 / n_peaks)
    row = pascal_row(KINDS.index(name))
    if len(row) > n_peaks:
        raise ValueError(f"a {name} has {len(row)} peaks; n_peaks is {n_peaks}: raise n_peaks or choose another kind")
    return np.pad(row / row.sum(), (0, n_peaks - len(row)))


def all_patterns(n_peaks: int = 6) -> np.ndarray:
    """Return every kind that fits in `n_peaks` peaks, singlet first, as an array of shape (kinds, P)."""
    return np.stack([pattern(kind, n_peaks) for kind in KINDS[:n_peaks]])
