"""Groups of compounds that no method can distinguish on an axis; each counts as one."""

from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.compounds import Compounds

MAX_PAIRS = 300_000
SAME_PATTERN = 1.0  # Hz; half a usual line width


def equivalent_compounds(
    compounds: Compounds, axis: Axis, tolerance: float = 0.01, max_pairs: int = MAX_PAIRS
) -> np.ndarray:
    """Return groups of compounds that no method can distinguish.

    Two compounds are equivalent if their multiplets can be paired one to one such that the centres
    differ by at most `tolerance` (or one position, if that is more), the line patterns by at most
    `SAME_PATTERN` (or one position), and the protons are in one proportion, because the
    concentration is unknown. A group is a connected component of these
    pairs.

    Parameters
    ----------
    axis : Axis
        In ppm.
    tolerance : float
        In ppm.
    max_pairs : int
        Limit on the pairs that are compared in full, of compounds with equally many multiplets.

    Returns
    -------
    ndarray, shape (K,), int64
        Number of each compound's group, counted from 0 in the order of their first compounds.

    Raises
    ------
    ValueError
        If the tolerance is so large that more than `max_pairs` pairs would have to be compared.
    """
    if not 0 <= tolerance <= 1:
        raise ValueError(f"tolerance is {tolerance!r}; expected 0 to 1 ppm")
    near = max(tolerance, axis.width) * (1 + 1e-9)
    profiles = _profiles(compounds) / (
        max(SAME_PATTERN, axis.hz_per_position) * (1 + 1e-9)
    )  # (M, 64), in tolerances
    first = compounds.first_multiplet
    sizes = np.diff(first)
    shares = compounds.protons / compounds.total_protons[compounds.compound] / 1e-6
    shifts = compounds.ppm / near
    pairs = []
    for size in np.unique(sizes):
        members = np.flatnonzero(sizes == size)
        rows = first[members][:, None] + np.arange(size)  # (n, size)
        rows = np.take_along_axis(rows, shifts[rows].argsort(axis=1, kind="stable"), axis=1)
        # A necessary condition: if any pairing of the numbers is within the tolerance, the pairing
        # in rising order is.
        sorted_ = np.concatenate(
            [np.sort(x[rows], axis=1) for x in (shifts, shares, profiles[:, -1], profiles[:, 48])],
            axis=1,
        )
        tree = cKDTree(sorted_)
        if tree.count_neighbors(tree, 1.0, p=np.inf) > 2 * max_pairs:
            raise ValueError(
                f"more than {max_pairs:,} pairs of compounds are within {near:g} ppm; lower the"
                " tolerance"
            )
        near_pairs = tree.query_pairs(1.0, p=np.inf, output_type="ndarray")
        same = np.zeros(len(near_pairs), dtype=bool)
        for k, (one, two) in enumerate(near_pairs):
            a, b = rows[one], rows[two]
            # Pairing in the order of ppm nearly always works; if not, search for another pairing.
            same[k] = all(
                (np.abs(values[a] - values[b]) <= 1).all() for values in (shifts, shares, profiles)
            )
            if same[k]:
                continue
            distance = np.maximum(
                np.abs(shifts[a][:, None] - shifts[b]), np.abs(shares[a][:, None] - shares[b])
            )
            apart = distance > 1  # (size, size)
            i, j = np.nonzero(~apart)
            apart[i, j] = np.abs(profiles[a[i]] - profiles[b[j]]).max(axis=-1) > 1
            same[k] = not apart[linear_sum_assignment(apart)].any()
        pairs.append(members[near_pairs[same]])
    pair = np.concatenate(pairs)
    graph = coo_array((np.ones(len(pair)), pair.T), shape=(compounds.n_compounds,) * 2)
    labels = connected_components(graph, directed=False)[1]
    _, lowest, group = np.unique(labels, return_index=True, return_inverse=True)
    return lowest.argsort().argsort()[group].astype(np.int64)


def at_group_means(compounds: Compounds, groups: np.ndarray) -> Compounds:
    """Return the library with the first compound of each group at the mean places of the group.

    The first stands for the others, which are up to the tolerance away from it.

    Parameters
    ----------
    groups : ndarray, shape (K,), int64
        As `equivalent_compounds` returns them.
    """
    several = np.flatnonzero(np.bincount(groups) > 1)
    if not len(several):
        return compounds  # with the lines that have been split already
    ppm, first = compounds.ppm.copy(), compounds.first_multiplet
    for group in several:
        rows = [np.arange(first[k], first[k + 1]) for k in np.flatnonzero(groups == group)]
        ascending = np.stack([row[compounds.ppm[row].argsort(kind="stable")] for row in rows])
        ppm[ascending[0]] = compounds.ppm[ascending].mean(axis=0)  # (members, multiplets)
    return replace(compounds, ppm=ppm)


def _profiles(compounds: Compounds) -> np.ndarray:
    """Return where 64 equal parts of each multiplet's area lie, in Hz, shape (M, 64).

    Two patterns are close if each part is, whatever their numbers of lines: a doublet of 0.5 Hz is
    close to a singlet.
    """
    profiles = np.empty((compounds.n_multiplets, 64))
    part = (np.arange(64) + 0.5) / 64
    cache: dict[int, np.ndarray] = {}
    for k, lines in enumerate(compounds.lines):
        profile = cache.get(id(lines))
        if profile is None:
            profile = cache[id(lines)] = lines.offsets[
                np.searchsorted(np.cumsum(lines.areas)[:-1], part)
            ]
        profiles[k] = profile
    return profiles
