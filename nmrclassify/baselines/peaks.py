"""Classical methods on the same peaks and library: least squares, matching pursuit, and optimal transport if installed.

Each returns an amount for every compound; `named` turns amounts into an answer by one threshold on
the area that a compound brings, relative to the one that brings most. `tune` chooses settings and
threshold on development mixtures.
"""

import heapq
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from copy import copy
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy.optimize
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.sparse import coo_array, csr_array
from scipy.special import ndtr

from nmrclassify.mixtures.peaks import PeakMixture, Peaks
from nmrclassify.networks.amount_hypotheses import Templates
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.line_shapes import spectrum

MAX_ROWS = 6000  # of the binned library
EXCHANGES = 60
WIDE = 4.0  # standard deviations of the blur, to either side
RESIDUE = 0.05  # of a peak that was taken away: less than this is an error of its area
HEIGHTS = np.logspace(-4.5, -0.5, 41)  # thresholds that are tried
LEAST = float(HEIGHTS[0])
# The defaults of magnetstein, which its authors found good on many data sets.
TRANSPORT = {"MTD": 0.25, "MTD_th": 0.22}

Method = Callable[[Peaks], np.ndarray]


def named(compounds: Compounds, amounts: np.ndarray, threshold: float) -> np.ndarray:
    """Return which compounds bring at least `threshold` of the area of the one that brings most, shape (K,), bool."""
    area = _brought(compounds, amounts)
    return (area > 0) & (area >= threshold * area.max())


def _brought(compounds: Compounds, amounts: np.ndarray) -> np.ndarray:
    return amounts * np.add.reduceat(compounds.protons, compounds.first_multiplet[:-1])


def _blurred(
    ppm: np.ndarray,
    areas: np.ndarray,
    column: np.ndarray,
    blur: float,
    width: float,
    axis: Axis,
    n: int,
) -> csr_array:
    """Return lines as a sparse array of bins, each line a normal distribution; shape (bins, n)."""
    n_bins = int(np.ceil((axis.high - axis.low) / width))
    place = (ppm - axis.low) / width
    reach = int(np.ceil(WIDE * blur / width))
    bins = np.floor(place).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
    edges = ndtr((np.concatenate([bins, bins[:, -1:] + 1], axis=1) - place[:, None]) * width / blur)
    inside = (bins >= 0) & (bins < n_bins)
    columns = np.broadcast_to(column[:, None], bins.shape)
    values = np.diff(edges, axis=1) * areas[:, None]
    return coo_array((values[inside], (bins[inside], columns[inside])), shape=(n_bins, n)).tocsr()


def nonnegative(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Minimise x'Gx/2 - b'x over x >= 0 by block principal pivoting, shape (n,).

    J. Kim and H. Park, SIAM J. Sci. Comput. 33(6), 2011, doi:10.1137/110821172, algorithm 1 with
    its backup rule. Where it has not ended after `EXCHANGES`, Lawson and Hanson's method goes
    through with the same problem.

    Parameters
    ----------
    gram : ndarray, shape (n, n)
        Symmetric, positive semidefinite; a ridge of 1e-9 of its diagonal is added, for compounds
        that are alike.
    products : ndarray, shape (n,)
    """
    scale = 1 / np.sqrt(np.maximum(gram.diagonal(), 1e-300))
    scale[gram.diagonal() <= 0] = 0.0  # nothing of it lies on the axis
    g, b = gram * scale * scale[:, None], products * scale
    g[np.diag_indices_from(g)] = np.where(scale > 0, 1 + 1e-9, 1.0)
    x, slope = np.zeros(len(b)), -b
    free = np.zeros(len(b), dtype=bool)
    tiny = 1e-10 * max(float(np.abs(b).max(initial=0)), 1e-300)
    fewest, patience = len(b) + 1, 3
    for _ in range(EXCHANGES):
        wrong = np.where(free, x < -tiny, slope < -tiny)
        count = int(wrong.sum())
        if not count:
            return np.maximum(x, 0) * scale
        if count < fewest:
            fewest, patience = count, 3
        elif patience:
            patience -= 1
        else:  # one at a time cannot go round in circles
            wrong[: np.flatnonzero(wrong)[-1]] = False
        free ^= wrong
        x = np.zeros(len(b))
        if free.any():
            x[free] = cho_solve(cho_factor(g[np.ix_(free, free)]), b[free])
        slope = np.where(free, 0.0, g @ x - b)
    root = cholesky(g)
    return (
        scipy.optimize.nnls(root, solve_triangular(root, b, trans=1), maxiter=20 * len(b))[0]
        * scale
    )


class LeastSquares:
    """Non-negative least squares of the blurred mixture on the blurred library.

    Parameters
    ----------
    compounds : Compounds
    blur : float
        Standard deviation of the blur in ppm: what a shift may be without harm.
    power : float
        Rows count as 1 / (area + least area) ** power: 0 is plain least squares, 2 makes errors
        relative.
    axis : Axis
    """

    def __init__(
        self, compounds: Compounds, blur: float = 0.01, power: float = 0.0, axis: Axis = FULL_AXIS
    ):
        self.compounds, self.blur, self.power, self.axis = compounds, blur, power, axis
        self.width = max(blur / 2, (axis.high - axis.low) / MAX_ROWS)
        owner = compounds.compound[compounds.line_multiplet]
        self.library = _blurred(
            compounds.line_ppm(axis.mhz),
            compounds.areas,
            owner,
            blur,
            self.width,
            axis,
            compounds.n_compounds,
        )
        self._gram = None if power else (self.library.T @ self.library).toarray()

    def __call__(self, peaks: Peaks) -> np.ndarray:
        """Return the amount of each compound, shape (K,)."""
        n = np.zeros(len(peaks.areas), dtype=np.int64)
        mixture = _blurred(
            peaks.ppm, peaks.areas.astype(float), n, self.blur, self.width, self.axis, 1
        ).toarray()[:, 0]
        if self._gram is not None:
            return nonnegative(self._gram, self.library.T @ mixture)
        # What the smallest peak is at its height, so that empty bins count, but not without bound.
        least = peaks.floor * self.width / self.blur / np.sqrt(2 * np.pi)
        weighted = self.library.multiply(((mixture + least) ** -self.power)[:, None]).tocsr()
        return nonnegative((self.library.T @ weighted).toarray(), weighted.T @ mixture)


class Pursuit:
    """Matching pursuit with shifts: again and again the compound that can explain most area, which is then taken away.

    Of each multiplet the best place within `window` counts, with the least that its lines allow
    (see `hypotheses`); of a compound the least that its multiplets allow. What a compound can explain
    only falls as area is taken away, so that only those at the top need to be computed again.

    Parameters
    ----------
    compounds : Compounds
    window : float
        How far a multiplet may lie from its place, in ppm.
    lines : float
        Areas count times (number of lines) ** lines when the next compound is chosen: many lines
        fit by chance less often.
    least : float
        The search ends where this share of the first compound's area is not reached any more.
    axis : Axis
    """

    def __init__(
        self,
        compounds: Compounds,
        window: float = 0.03,
        lines: float = 0.5,
        least: float = LEAST,
        axis: Axis = FULL_AXIS,
    ):
        t = Templates.of(compounds, axis)
        self.compounds, self.least, self.axis, self.reach = compounds, least, axis, t.reach
        half = round(window / axis.width / t.step)
        self.tried = np.arange(-half, half + 1) * t.step  # positions
        self.cost = np.abs(self.tried) * axis.width / max(window, axis.width)
        self.centres, self.expected_areas = t.centres.numpy(), t.expected_areas.double().numpy()
        self.line_areas = t.line_areas.double().numpy()
        first = compounds.first_line
        self.protons = np.add.reduceat(compounds.protons, compounds.first_multiplet[:-1])
        n_lines = np.diff(first[compounds.first_multiplet])
        self.rank = self.protons * n_lines.astype(float) ** lines

    def _near(self, areas: np.ndarray) -> np.ndarray:
        """Return the area within reach of each position, shape (L,)."""
        sums = np.concatenate([[0.0], np.cumsum(areas)])
        index = np.arange(len(areas))
        return np.maximum(
            sums[np.minimum(index + self.reach + 1, len(areas))]
            - sums[np.maximum(index - self.reach, 0)],
            0,
        )

    def _bounds(self, near: np.ndarray, compound: int) -> np.ndarray:
        """Return the most of a compound that each of its multiplets allows at each shift, shape (multiplets, shifts)."""
        lines, first = self._lines(compound)
        there = near[(self.centres[lines, None] + self.tried).clip(0, self.axis.n_positions - 1)]
        return np.minimum.reduceat(
            there / self.expected_areas[lines, None], first[:-1] - first[0], axis=0
        )

    def _lines(self, compound: int) -> tuple[slice, np.ndarray]:
        m0, m1 = self.compounds.first_multiplet[compound : compound + 2]
        first = self.compounds.first_line[m0 : m1 + 1]
        return slice(first[0], first[-1]), first

    def _remove(
        self, areas: np.ndarray, given: np.ndarray, compound: int, amount: float, bounds: np.ndarray
    ) -> None:
        """Take a compound away, each multiplet where the amount suits best and near its place."""
        misfit = np.where(
            bounds >= 0.9 * amount,
            np.abs(np.log(np.maximum(bounds, 1e-30) / amount)) + self.cost,
            np.inf,
        )
        lines, first = self._lines(compound)
        positions = self.centres[lines] + np.repeat(self.tried[misfit.argmin(1)], np.diff(first))
        for area, position in zip(
            amount * self.line_areas[lines],
            positions.clip(0, self.axis.n_positions - 1),
            strict=False,
        ):
            here = slice(max(0, position - self.reach), position + self.reach + 1)
            total = areas[here].sum()
            if total > 0:
                left = areas[here] * max(0.0, 1 - area / total)
                areas[here] = np.where(left < RESIDUE * given[here], 0.0, left)

    def __call__(self, peaks: Peaks) -> np.ndarray:
        """Return the amount of each compound, shape (K,), 0 where it was not taken."""
        given = peaks.dense().astype(float)
        areas, floor = given.copy(), peaks.floor
        near = self._near(areas)
        amounts, highest = np.zeros(self.compounds.n_compounds), 0.0
        heap = [(-np.inf, k) for k in range(self.compounds.n_compounds)]
        while heap:
            _, k = heapq.heappop(heap)
            # A peak too small to be picked may have had the floor's area.
            bounds = self._bounds(np.maximum(near, floor), k)
            amount = float(bounds.max(1).min())
            lines, _ = self._lines(k)
            if (
                amount * self.protons[k] < self.least * highest
                or amount * self.expected_areas[lines].max() < 2 * floor
            ):
                continue
            value = -amount * self.rank[k]
            if heap and value > heap[0][0]:
                heapq.heappush(heap, (value, k))
                continue
            highest = max(highest, amount * self.protons[k])
            amounts[k] = amount
            self._remove(areas, given, k, amount, bounds)
            near = self._near(areas)
        return amounts


@dataclass(frozen=True)
class Tuned:
    """What `tune` found: the arguments of a method, its threshold, and the micro-F1 on the development mixtures."""

    setting: dict
    threshold: float
    f1: float


def tune(
    make: Callable[..., Method],
    settings: Sequence[dict],
    compounds: Compounds,
    mixtures: dict[float, Sequence[PeakMixture]],
    report: Callable[[], object] = lambda: None,
) -> tuple[Tuned, dict[float, Tuned]]:
    """Choose a method's setting and threshold by micro-F1 on development mixtures of several jitters.

    Parameters
    ----------
    make : callable
        Called with `compounds` and a setting's arguments, e.g. `LeastSquares`.
    settings : sequence of dict
    compounds : Compounds
        None alike.
    mixtures : dict
        Development mixtures of each jitter; as many of each, or the one with more counts for more.
    report : callable, optional
        Called after each mixture.

    Returns
    -------
    one : Tuned
        The best setting and threshold for all jitters together, as the network has one threshold.
    each : dict of Tuned
        The best for each jitter by itself: the jitter is told, which is the friendliest to the
        method.

    Raises
    ------
    ValueError
        If there is no setting or no mixture.
    """
    if not settings or not any(mixtures.values()):
        n_mixtures = sum(map(len, mixtures.values()))
        raise ValueError(
            f"{len(settings)} settings and {n_mixtures} mixtures were given; expected one of each"
            " at least"
        )
    counts = np.zeros(
        (len(mixtures), len(settings), len(HEIGHTS), 2)
    )  # hits; named and there together
    for s, setting in enumerate(settings):
        method = make(compounds, **setting)
        for j, cases in enumerate(mixtures.values()):
            for mixture in cases:
                amounts = method(mixture.peaks)
                for h, height in enumerate(HEIGHTS):
                    found = named(compounds, amounts, height)
                    counts[j, s, h] += (
                        found[mixture.present].sum(),
                        found.sum() + len(mixture.present),
                    )
                report()

    def best(sums: np.ndarray) -> Tuned:
        f1 = 2 * sums[..., 0] / np.maximum(sums[..., 1], 1)
        s, h = np.unravel_index(f1.argmax(), f1.shape)
        return Tuned(dict(settings[s]), float(HEIGHTS[h]), float(f1[s, h]))

    return best(counts.sum(0)), {
        jitter: best(sums) for jitter, sums in zip(mixtures, counts, strict=False)
    }


class Transport:
    """Optimal transport of the mixture's spectrum to the library's, by the package magnetstein.

    B. Domzal et al., Anal. Chem. 2023, doi:10.1021/acs.analchem.3c03594. Peaks are rendered as
    Lorentzian lines. Its linear program grows with compounds times points: on a busy core 100
    compounds at 2,000 points took seconds, 877 about a minute, and 877 at 5,000 points did not end
    in ten.

    Parameters
    ----------
    compounds : Compounds
    n_points : int
        Points of each spectrum.
    axis : Axis

    Raises
    ------
    ValueError
        If magnetstein or its solver is not installed, with how to get it.
    """

    def __init__(self, compounds: Compounds, n_points: int = 2000, axis: Axis = FULL_AXIS):
        try:
            import magnetstein
            import pulp
        except ImportError:
            raise ValueError(
                "the package magnetstein is missing; `pip install magnetstein` brings it"
            ) from None
        self.compounds = compounds
        self.axis = Axis(n_points, axis.low, axis.high, axis.unit, axis.mhz)
        self._estimate, self._spectrum = magnetstein.estimate_proportions, magnetstein.NMRSpectrum
        if pulp.LpSolverDefault is None:
            raise ValueError("magnetstein finds no solver; `pip install pulp[cbc]` brings one")
        self._solver = copy(pulp.LpSolverDefault)
        self._solver.msg = False
        self.protons = np.add.reduceat(compounds.protons, compounds.first_multiplet[:-1])
        first, ppm = compounds.first_line[compounds.first_multiplet], compounds.line_ppm(axis.mhz)
        self.library = [self._rendered(ppm[a:b], compounds.areas[a:b]) for a, b in pairwise(first)]

    def _rendered(self, ppm: np.ndarray, areas: np.ndarray):
        """Return Lorentzian lines as one of magnetstein's spectra."""
        place = self.axis.positions(ppm)
        heights = spectrum(self.axis, place[place >= 0], areas[place >= 0])
        # Tails that reach everywhere make the linear program large and say nothing.
        kept = np.flatnonzero(heights > 1e-3 * heights.max())
        made = self._spectrum(
            confs=list(zip(self.axis.centres[kept].tolist(), heights[kept].tolist(), strict=False)),
            protons=1,
        )
        made.normalize()
        return made

    def __call__(self, peaks: Peaks) -> np.ndarray:
        """Return the amount of each compound, shape (K,)."""
        mixture = self._rendered(peaks.ppm, peaks.areas.astype(float))
        with redirect_stdout(sys.stderr):  # it prints its doubts
            found = self._estimate(
                mixture, self.library, what_to_compare="area", solver=self._solver, **TRANSPORT
            )
        return np.maximum(found["proportions"], 0) * peaks.areas.sum() / self.protons
