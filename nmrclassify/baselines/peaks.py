"""Classical methods on the same peaks and the same library as the network.

Non-negative least squares, matching pursuit, and optimal transport if it is installed. Each returns
an amount for every compound; `peak_tuning.named` turns amounts into named compounds.
"""

import heapq
import sys
from contextlib import redirect_stdout
from copy import copy
from importlib import import_module
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.optimize
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.sparse import coo_array, csr_array
from scipy.special import ndtr

from nmrclassify.baselines.peak_tuning import THRESHOLDS
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.networks.templates import Templates
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.line_shapes import spectrum

MAX_ROWS = 6000  # of the binned library
EXCHANGES = 60
WIDE = 4.0  # standard deviations of the blur, to either side
RESIDUE = 0.05  # of a peak that was subtracted: a smaller rest is an error of its area
# The defaults of magnetstein, which its authors found good on many data sets.
TRANSPORT = {"MTD": 0.25, "MTD_th": 0.22}


def _blurred(
    ppm: np.ndarray,
    areas: np.ndarray,
    column: np.ndarray,
    blur: float,
    width: float,
    axis: Axis,
    n: int,
) -> csr_array:
    """Return lines, blurred by a normal distribution, as a sparse array, shape (bins, n).

    Line i is added to column `column[i]`.
    """
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

    The algorithm is number 1 of [1]_, with its backup rule. If it has not ended after `EXCHANGES`
    steps, the method of Lawson and Hanson solves the same problem.

    Parameters
    ----------
    gram : ndarray, shape (n, n)
        Symmetric, positive semidefinite. A ridge of 1e-9 of its diagonal is added, because of
        equivalent compounds.
    products : ndarray, shape (n,)

    References
    ----------
    .. [1] J. Kim and H. Park, SIAM J. Sci. Comput. 33(6), 2011, doi:10.1137/110821172.
    """
    scale = 1 / np.sqrt(np.maximum(gram.diagonal(), 1e-300))
    scale[gram.diagonal() <= 0] = 0.0  # such a compound lies wholly beyond the axis
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
        else:  # exchanges of a single variable cannot cycle
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
    blur : float
        Standard deviation of the blur in ppm: the shift that the method tolerates.
    power : float
        Each row has the weight 1 / (area + least area) ** power: 0 is plain least squares, 2
        makes errors relative.
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
        # The height of the smallest peak: the weight of an empty bin is bounded.
        least = peaks.floor * self.width / self.blur / np.sqrt(2 * np.pi)
        weighted = self.library.multiply(((mixture + least) ** -self.power)[:, None]).tocsr()
        return nonnegative((self.library.T @ weighted).toarray(), weighted.T @ mixture)


class Pursuit:
    """Matching pursuit with shifts.

    In each step the compound that can explain the most area is subtracted from the mixture. Its
    amount is the least of the bounds of its multiplets, each at its best place within `window` (see
    `templates`). As area is subtracted these bounds can only fall, so only the compounds at
    the top of the ranking are computed again.

    Parameters
    ----------
    window : float
        Largest distance of a multiplet from its place, in ppm.
    lines : float
        The ranking is by area times (number of lines) ** lines: many lines rarely fit by chance.
    least : float
        Compounds with less than this share of the largest compound's area are ignored.
    """

    def __init__(
        self,
        compounds: Compounds,
        window: float = 0.03,
        lines: float = 0.5,
        least: float = THRESHOLDS[0],
        axis: Axis = FULL_AXIS,
    ):
        t = Templates.of(compounds, axis)
        self.compounds, self.least, self.axis, self.reach = compounds, least, axis, t.reach
        half = round(window / axis.width / t.step)
        self.tried = np.arange(-half, half + 1) * t.step  # positions
        self.cost = np.abs(self.tried) * axis.width / max(window, axis.width)
        self.centres = t.centres.numpy()
        self.expected_areas = t.expected_areas.double().numpy()
        self.line_areas = t.line_areas.double().numpy()
        self.protons = compounds.total_protons
        n_lines = np.diff(compounds.first_line[compounds.first_multiplet])
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
        """Return the bound of each multiplet at each shift, shape (multiplets, shifts)."""
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
        self,
        areas: np.ndarray,
        original: np.ndarray,
        compound: int,
        amount: float,
        bounds: np.ndarray,
    ) -> None:
        """Subtract a compound, each multiplet at a near place with a bound close to the amount."""
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
            strict=True,
        ):
            here = slice(max(0, position - self.reach), position + self.reach + 1)
            total = areas[here].sum()
            if total > 0:
                left = areas[here] * max(0.0, 1 - area / total)
                areas[here] = np.where(left < RESIDUE * original[here], 0.0, left)

    def __call__(self, peaks: Peaks) -> np.ndarray:
        """Return the amount of each compound, shape (K,); 0 if it was not subtracted."""
        original = peaks.dense().astype(float)
        areas, floor = original.copy(), peaks.floor
        near = self._near(areas)
        amounts, highest = np.zeros(self.compounds.n_compounds), 0.0
        heap = [(-np.inf, k) for k in range(self.compounds.n_compounds)]
        while heap:
            _, k = heapq.heappop(heap)
            # A peak that was too small to be picked can have the floor's area.
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
            self._remove(areas, original, k, amount, bounds)
            near = self._near(areas)
        return amounts


class Transport:
    """Optimal transport of the mixture's spectrum to the library's, by the package magnetstein.

    Peaks become Lorentzian lines. The linear program grows with compounds times points: on a busy
    core, 100 compounds at 2,000 points took seconds, 877 about a minute, and 877 at 5,000 points
    more than ten minutes.

    Parameters
    ----------
    n_points : int
        Points of each spectrum.

    Raises
    ------
    ValueError
        If magnetstein or its solver is not installed.

    References
    ----------
    .. [1] B. Domzal et al., Anal. Chem. 2023, doi:10.1021/acs.analchem.3c03594.
    """

    def __init__(self, compounds: Compounds, n_points: int = 2000, axis: Axis = FULL_AXIS):
        try:
            magnetstein, pulp = import_module("magnetstein"), import_module("pulp")
        except ImportError:
            raise ValueError(
                "the package magnetstein is missing; `pip install magnetstein` installs it"
            ) from None
        self.compounds = compounds
        self.axis = Axis(n_points, axis.low, axis.high, axis.unit, axis.mhz)
        self._estimate, self._spectrum = magnetstein.estimate_proportions, magnetstein.NMRSpectrum
        if pulp.LpSolverDefault is None:
            raise ValueError("magnetstein has no solver; `pip install pulp[cbc]` installs one")
        self._solver = copy(pulp.LpSolverDefault)
        self._solver.msg = False
        self.protons = compounds.total_protons
        first, ppm = compounds.first_line[compounds.first_multiplet], compounds.line_ppm(axis.mhz)
        self.library = [self._rendered(ppm[a:b], compounds.areas[a:b]) for a, b in pairwise(first)]

    def _rendered(self, ppm: np.ndarray, areas: np.ndarray) -> Any:
        """Return Lorentzian lines as one of magnetstein's spectra."""
        place = self.axis.positions(ppm)
        heights = spectrum(self.axis, place[place >= 0], areas[place >= 0])
        # Without the low tails, which only make the linear program large.
        high = np.flatnonzero(heights > 1e-3 * heights.max())
        points = list(zip(self.axis.centres[high].tolist(), heights[high].tolist(), strict=True))
        rendered = self._spectrum(confs=points, protons=1)
        rendered.normalize()
        return rendered

    def __call__(self, peaks: Peaks) -> np.ndarray:
        """Return the amount of each compound, shape (K,)."""
        mixture = self._rendered(peaks.ppm, peaks.areas.astype(float))
        with redirect_stdout(sys.stderr):  # it prints warnings
            estimate = self._estimate(
                mixture, self.library, what_to_compare="area", solver=self._solver, **TRANSPORT
            )
        return np.maximum(estimate["proportions"], 0) * peaks.areas.sum() / self.protons
