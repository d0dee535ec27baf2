"""Likelihood of every composition of a mixture on a grid, under the noise model of the data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import logsumexp, ndtr, ndtri
from scipy.stats import qmc

from nmrclassify.baselines.grid import checked_cells
from nmrclassify.mixtures.grid import MixtureConfig, counts_of
from nmrclassify.nmr.library import Library

# Most cells, P x L, with shift jitter: each candidate then needs a covariance of all cells with
# all cells.
MAX_JITTER_CELLS = 512
# Least noise that the likelihood assumes, as a share of the mean positive area of the library.
NOISE_FLOOR = 1e-3
# A log-likelihood is within this many nats of that at the best concentrations.
_ACCURACY = 1e-6
_MAX_SWEEPS = 5000
_SWEEPS_BETWEEN = 5  # between two computations of the duality gap
_BLOCK = 2_000_000  # most numbers in an array over mixtures x candidates x sources x sources
# An average over concentrations is at most the likelihood at the best ones. A candidate whose best
# is this many nats below that of the best candidate is not averaged: it cannot win.
_MARGIN = 40.0
_POINTS = 1024  # quasi-random points of an average over concentrations


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Likelihood of every candidate composition under the noise model of the data.

    - With noise only and known concentrations (lowest equal to highest), the likelihood is exact.
      Its best candidate is then the limit: no method is right more often where all candidates have
      the same prior probability.
    - Free concentrations are profiled: a candidate gets the likelihood at those concentrations
      within the bounds that fit best. Each portion of a repeated compound has a concentration, and
      only their sum affects the mixture. That is maximum likelihood, but not the limit: a candidate
      with more free concentrations fits better without being more probable, above all where the
      number of compounds varies. With `average`, the likelihood is averaged over the log-uniform
      concentrations, which is the limit again. With repeated compounds or with shift jitter, a
      Gaussian of the same mean and variance takes the place of the log-uniform distribution.
    - Shift jitter is approximated: a Gaussian with the exact mean and covariance takes the place of
      a shifted multiplet. The true distribution is not Gaussian (a multiplet fills two positions,
      not all that it could reach), so this is not the limit: another method can be better.
    - With both, the covariance of the shifts is that at the geometric mean of the concentrations
      (with `average`, the exact one over all of them), whatever the profiled concentrations are.
      That needs one covariance a candidate, not one for each mixture and candidate.

    Without noise, a wrong candidate has likelihood 0 and the right one infinity, and rounding could
    make every candidate wrong. The standard deviation of the noise is therefore at least
    `NOISE_FLOOR` of the mean positive area of the library: far below any difference between
    compounds, far above rounding.

    Parameters
    ----------
    candidates : ndarray, shape (n, C), int64
        Compositions; K stands for "no compound" and pads short ones.
    config : MixtureConfig
        Concentrations, shift jitter and noise are read from it. Which compositions occur is read
        from `candidates`.
    average : bool
        Average over free concentrations instead of profiling them. Where concentrations are known,
        both are the same.

    Raises
    ------
    ValueError
        If there is no candidate, a candidate has a number that is no compound of the library, or
        the mixtures are too large for shift jitter.
    """

    library: Library
    candidates: np.ndarray
    config: MixtureConfig
    average: bool = False

    def __post_init__(self) -> None:
        """Refuse candidates that are no compositions, and mixtures too large for shift jitter."""
        rows, n_compounds = np.asarray(self.candidates), self.library.n_compounds
        if rows.ndim != 2 or not rows.size:
            raise ValueError(
                f"candidates have shape {rows.shape}; expected (compositions, sources), at least"
                " one of each"
            )
        if not np.issubdtype(rows.dtype, np.integer) or rows.min() < 0 or rows.max() > n_compounds:
            raise ValueError(
                f"candidates hold {rows.dtype} from {rows.min()} to {rows.max()}; expected whole"
                f" numbers from 0 to {n_compounds - 1}, or {n_compounds} for no compound"
            )
        n_cells = self.library.areas[0].size
        if self.config.shift_jitter and n_cells > MAX_JITTER_CELLS:
            raise ValueError(
                f"mixtures have {n_cells} cells (peaks x positions); expected at most"
                f" {MAX_JITTER_CELLS} with shift jitter: take fewer positions, or a config without"
                " shift_jitter"
            )

    @cached_property
    def noise(self) -> float:
        """Standard deviation of the noise on each area, at least `NOISE_FLOOR`."""
        areas = self.library.areas
        return max(self.config.noise, NOISE_FLOOR * float(areas[areas > 0].mean(dtype=np.float64)))

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each compound occurs in each candidate, shape (n, K)."""
        return counts_of(np.asarray(self.candidates), self.library.n_compounds)

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Return distinct compounds, padded with K, and their portions: shapes (n, at most C)."""
        width = max(1, int((self.counts > 0).sum(axis=1).max()))
        # A stable sort of "absent" puts the compounds that are present first, in increasing order.
        compounds = np.argsort(self.counts == 0, axis=1, kind="stable")[:, :width]
        portions = np.take_along_axis(self.counts, compounds, axis=1)
        return np.where(portions > 0, compounds, self.library.n_compounds), portions.astype(float)

    @cached_property
    def _means(self) -> np.ndarray:
        """Return expected areas at concentration 1, (K + 1, PL); the last row is "no compound"."""
        areas = self.library.areas.astype(np.float64)
        if self.config.shift_jitter:
            areas = areas @ self._moments[0]
        return np.concatenate([areas.reshape(len(areas), -1), np.zeros((1, areas[0].size))])

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        return shift_moments(self.library.axis.n_positions, self.config.shift_jitter)

    @cached_property
    def _outer(self) -> np.ndarray:
        """Return the products of all pairs of peaks of each multiplet, shape (K, PP, L)."""
        areas = self.library.areas.astype(np.float64)
        n_compounds, n_peaks, n_positions = areas.shape
        return (areas[:, :, None] * areas[:, None]).reshape(n_compounds, n_peaks**2, n_positions)

    def covariance(self, candidate: int) -> np.ndarray:
        """Return the covariance of the areas of one candidate from jitter and noise, (PL, PL).

        The multiplets of all portions shift independently, so their covariances add up. The
        covariance of one multiplet is the outer product of its peaks, which move together, times
        the covariance of the weights of `shift_moments`.
        """
        _, n_peaks, n_positions = self.library.areas.shape
        size = n_peaks * n_positions
        total = self.noise**2 * np.eye(size)
        if self.config.shift_jitter:
            mean, variance = self._concentration
            square = (
                mean**2 + variance
                if self.average
                else self.config.concentration_low * self.config.concentration_high
            )
            peaks = np.tensordot(square * self.counts[candidate], self._outer, axes=1)  # (PP, L)
            shared = peaks @ self._moments[1].reshape(n_positions, -1)  # (PP, LL)
            total += (
                shared.reshape(n_peaks, n_peaks, n_positions, n_positions)
                .transpose(0, 2, 1, 3)
                .reshape(size, size)
            )
        return total

    def log_likelihood(self, areas: np.ndarray) -> np.ndarray:
        """Return the natural logarithm of the density of each mixture under each candidate.

        Parameters
        ----------
        areas : ndarray, shape (B, P, L)

        Returns
        -------
        ndarray, shape (B, n)

        Raises
        ------
        ValueError
            If the mixtures have another shape than the library's compounds, or an area is not
            finite.
        """
        cells = checked_cells(areas, self.library)
        return self._with_jitter(cells) if self.config.shift_jitter else self._without_jitter(cells)

    def exhaustive(self, areas: np.ndarray) -> np.ndarray:
        """Return the counts of the most likely candidate, the first of equals, shape (B, K)."""
        return self.counts[self.log_likelihood(areas).argmax(axis=1)]

    @cached_property
    def _concentration(self) -> tuple[float, float]:
        """Return mean and variance of the log-uniform concentration of one portion."""
        low, high = self.config.concentration_low, self.config.concentration_high
        if low == high:
            return low, 0.0
        width = np.log1p((high - low) / low)  # log1p: accurate for a narrow range
        mean = (high - low) / width
        return mean, max((high**2 - low**2) / (2 * width) - mean**2, 0.0)

    @property
    def _log_uniform(self) -> bool:
        """Whether the average is over the log-uniform distribution itself."""
        free = self.config.concentration_low < self.config.concentration_high
        return self.average and free and not self.config.shift_jitter and self.counts.max() <= 1

    def _misfit(
        self,
        gram: np.ndarray,
        products: np.ndarray,
        portions: np.ndarray,
        inverse: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the part of minus the log-likelihood that differs between candidates, (B, n).

        `gram`, shape (n, C, C), has the products of a candidate's templates with each other, and
        `products`, shape (B, n, C), those with the mixtures; templates and mixtures are whitened.
        `portions` has shape (n, C).
        """
        low = portions * self.config.concentration_low
        high = portions * self.config.concentration_high
        if not self.average or self._log_uniform:
            least = bounded_least_squares(gram, products, low, high, inverse)[1]
        if self._log_uniform:
            near = least <= least.min(axis=1, keepdims=True) + _MARGIN  # (B, n)
            mixture, candidate = np.nonzero(near)
            evidence = log_uniform_average(
                gram[candidate], products[mixture, candidate], low[candidate], high[candidate]
            )
            least[near] = -evidence
        if not self.average or self._log_uniform:
            return least
        # The covariance of the concentrations adds a matrix of rank C to that of the noise, which
        # the Woodbury identity inverts.
        mean, variance = self._concentration
        amounts, std = portions * mean, np.sqrt(portions * variance)
        fitted = (gram @ amounts[..., None])[..., 0]  # (n, C)
        inner = np.eye(gram.shape[-1]) + std[:, :, None] * gram * std[:, None]
        residual = std * (products - fitted)  # (B, n, C)
        explained = np.einsum(
            "bni,nij,bnj->bn", residual, np.linalg.inv(inner), residual, optimize=True
        )
        at_mean = (amounts * (0.5 * fitted - products)).sum(axis=-1)
        return at_mean + 0.5 * (np.linalg.slogdet(inner)[1] - explained)

    def _without_jitter(self, cells: np.ndarray) -> np.ndarray:
        # Divided by the noise, squared distances are in nats.
        means, scaled = self._means / self.noise, cells / self.noise
        compounds, portions = self._distinct
        gram = (means @ means.T)[compounds[:, :, None], compounds[:, None]]  # (n, C, C)
        inverse = np.linalg.pinv(gram, hermitian=True)
        energy = (scaled**2).sum(axis=1)
        products = scaled @ means.T  # (B, K + 1)
        squares = np.empty((len(cells), len(compounds)))
        rows = max(1, _BLOCK // gram.size)
        for start in range(0, len(cells), rows):
            block = slice(start, start + rows)
            squares[block] = energy[block, None] + 2 * self._misfit(
                gram, products[block][:, compounds], portions, inverse
            )
        return -0.5 * (squares + cells.shape[1] * np.log(2 * np.pi * self.noise**2))

    def _with_jitter(self, cells: np.ndarray) -> np.ndarray:
        compounds, portions = self._distinct
        density = np.empty((len(cells), len(compounds)))
        constant = cells.shape[1] * np.log(2 * np.pi)
        for candidate, chosen in enumerate(compounds):
            # Not cached: it would take much memory, and reading it back is hardly faster.
            factor = cholesky(
                self.covariance(candidate), lower=True, overwrite_a=True, check_finite=False
            )
            columns = np.concatenate([self._means[chosen], cells]).T  # (PL, C + B)
            white = solve_triangular(
                factor, columns, lower=True, overwrite_b=True, check_finite=False
            )
            means, scaled = white[:, : len(chosen)], white[:, len(chosen) :]
            products = (scaled.T @ means)[:, None]  # (B, 1, C)
            misfit = self._misfit((means.T @ means)[None], products, portions[candidate, None])[
                :, 0
            ]
            squares = (scaled**2).sum(axis=0) + 2 * misfit
            density[:, candidate] = -0.5 * (squares + constant) - np.log(np.diag(factor)).sum()
        return density


def shift_moments(n_positions: int, std: float) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and covariance of a randomly shifted multiplet's weights on the positions.

    The shift is Gaussian. `shift_multiplets` divides the area between the two nearest positions,
    and a multiplet stops at the ends of the axis. Between two positions the weights are linear in
    the shift, so both moments follow from partial moments of the Gaussian in closed form.

    Parameters
    ----------
    n_positions : int
        L.
    std : float
        Standard deviation of the shift, in positions; above 0.

    Returns
    -------
    mean : ndarray, shape (L, L)
        ``mean[l]``: expected weights of a multiplet that belongs at position l.
    covariance : ndarray, shape (L, L, L)
        ``covariance[l]``: their covariance.

    Raises
    ------
    ValueError
        If `std` is not above 0.
    """
    if not 0 < std < np.inf:
        raise ValueError(
            f"the shift's standard deviation is {std!r}; expected a finite number above 0"
        )
    position = np.arange(n_positions)
    # Clipped so that a tiny `std` cannot overflow; beyond 40 the density is 0 in double precision.
    z = np.clip((position - position[:, None]) / std, -40.0, 40.0)  # (from, position)
    below, density = ndtr(z), np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # Integrals of 1, z and z^2 between each position and the next, shape (L, L - 1).
    ones = np.diff(below)
    first = -np.diff(density)
    second = ones - np.diff(z * density)
    # From them those of u and u^2, where u is the share of the farther of the two positions.
    offset = position[:, None] - position[:-1]
    share = offset * ones + std * first
    square = offset**2 * ones + 2 * offset * std * first + std**2 * second
    mean = np.zeros((n_positions, n_positions))
    mean[:, :-1] += ones - share
    mean[:, 1:] += share
    near, far = position[:-1], position[1:]
    moment = np.zeros((n_positions, n_positions, n_positions))
    moment[:, near, near] += ones - 2 * share + square
    moment[:, far, far] += square
    moment[:, near, far] = moment[:, far, near] = share - square
    # A multiplet shifted past an end stays at that end.
    for end, beyond in ((0, below[:, 0]), (-1, ndtr(-z[:, -1]))):
        mean[:, end] += beyond
        moment[:, end, end] += beyond
    return mean, moment - mean[:, :, None] * mean[:, None]


def log_uniform_average(
    gram: np.ndarray, products: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """Return the logarithm of the mean of exp(b'a - a'Ga/2) over log-uniform amounts a.

    The Gaussian factor is drawn one amount at a time, each within its bounds given those before
    (the GHK simulator), at quasi-random points; the density of the log-uniform distribution weights
    the draws.

    Parameters
    ----------
    gram : ndarray, shape (m, C, C)
        G. Rows of zeros (padding) are allowed.
    products : ndarray, shape (m, C)
        b.
    low, high : ndarray, shape (m, C)
        Bounds of the amounts; 0 in the padding.

    Returns
    -------
    ndarray, shape (m,)

    References
    ----------
    V. Hajivassiliou, D. McFadden and P. Ruud, J. Econometrics 72, 85-134 (1996).
    """
    count, size = products.shape
    points = qmc.Sobol(size, scramble=False).random(_POINTS) + 0.5 / _POINTS  # (S, C)
    averages = np.empty(count)
    rows = max(1, _BLOCK // (_POINTS * size))
    for start in range(0, count, rows):
        block = slice(start, start + rows)
        held = high[block] > 0  # (m, C)
        width = np.ones(held.shape)  # of the range, on the logarithmic scale
        width[held] = np.log(high[block][held] / low[block][held])
        # Padding becomes a standard normal amount without bounds, and a small ridge keeps equal
        # templates apart.
        diagonal = np.einsum("mii->mi", gram[block])
        precision = gram[block] + np.eye(size) * np.where(held, 1e-9 * diagonal, 1.0)[:, :, None]
        centre = np.linalg.solve(precision, products[block][..., None])[..., 0]  # (m, C)
        factor = np.linalg.cholesky(np.linalg.inv(precision))
        draws = np.zeros((len(held), _POINTS, size))
        weights = np.zeros((len(held), _POINTS))  # logarithms
        for i in range(size):
            std = factor[:, i, i, None]
            middle = centre[:, i, None] + np.einsum(
                "msj,mj->ms", draws[:, :, :i], factor[:, i, :i]
            )  # (m, S)
            here = held[:, i, None]
            ends = [
                np.where(here, (bound[block][:, i, None] - middle) / std, infinite)
                for bound, infinite in ((low, -np.inf), (high, np.inf))
            ]
            # In the upper tail the mirrored probabilities are accurate.
            mirrored = ends[0] > 0
            least, most = (
                np.where(mirrored, a, b) for a, b in ((-ends[1], ends[0]), (-ends[0], ends[1]))
            )
            below, above = ndtr(least), ndtr(most)
            drawn = ndtri((below + points[:, i] * (above - below)).clip(1e-300, 1 - 1e-16))
            draws[:, :, i] = np.clip(np.where(mirrored, -drawn, drawn), ends[0], ends[1])
            amount = np.where(here, middle + std * draws[:, :, i], 1.0)
            weights += np.log((above - below).clip(1e-300)) - np.log(amount * width[:, i, None])
        peak = 0.5 * (products[block] * centre).sum(axis=1)
        volume = np.log(np.einsum("mii->mi", factor)).sum(axis=1) + 0.5 * np.log(
            2 * np.pi
        ) * held.sum(axis=1)
        averages[block] = peak + volume + logsumexp(weights, axis=1) - np.log(_POINTS)
    return averages


def bounded_least_squares(
    gram: np.ndarray,
    products: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    inverse: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise f(a) = a'Ga/2 - b'a within bounds on each element of a, for a batch.

    For templates T and a mixture y, with G = TT' and b = Ty, this is bounded least squares:
    |y - aT|^2 = |y|^2 + 2 f(a). The start is the unbounded solution, clipped to the bounds.
    Coordinate descent follows until the duality gap shows that f is within 1e-6 of its least value
    (up to rounding), or for 5,000 sweeps.

    Parameters
    ----------
    gram : ndarray, shape (n, C, C)
        Rows of zeros (padding) are allowed.
    products : ndarray, shape (B, n, C)
    low, high : ndarray, shape (n, C)
    inverse : ndarray, shape (n, C, C), optional
        Pseudo-inverse of `gram`; computed where it is not given.

    Returns
    -------
    amounts : ndarray, shape (B, n, C)
    least : ndarray, shape (B, n)
        f at the amounts.

    References
    ----------
    The gap is that of M. Jaggi, Revisiting Frank-Wolfe, ICML 2013, for a box.
    """
    size = gram.shape[-1]
    shape = products.shape
    if (low == high).all():
        amounts = np.broadcast_to(low, shape).copy()
    else:
        inverse = np.linalg.pinv(gram, hermitian=True) if inverse is None else inverse
        amounts = np.ascontiguousarray(
            np.clip(np.einsum("nij,bnj->bni", inverse, products), low, high)
        )
        # (B n, C); `flat` shares the memory of `amounts`.
        flat, rhs = amounts.reshape(-1, size), products.reshape(-1, size)
        active = np.arange(len(flat))
        for _ in range(_MAX_SWEEPS):
            candidate = active % len(gram)
            g, least, most = gram[candidate], low[candidate], high[candidate]
            a = flat[active]
            slope = np.einsum("mij,mj->mi", g, a) - rhs[active]
            gap = (slope * np.where(slope > 0, a - least, a - most)).sum(axis=1)
            open_ = gap > _ACCURACY + 1e-13 * np.abs(rhs[active] * a).sum(axis=1)
            if not open_.any():
                break
            active, g, least, most, a, slope = (
                x[open_] for x in (active, g, least, most, a, slope)
            )
            curvature = np.einsum("mii->mi", g)
            for _ in range(_SWEEPS_BETWEEN):
                for i in range(size):
                    step = slope[:, i] / np.where(curvature[:, i] > 0, curvature[:, i], 1.0)
                    moved = np.clip(a[:, i] - step, least[:, i], most[:, i]) - a[:, i]
                    a[:, i] += moved
                    slope += moved[:, None] * g[:, i]
            flat[active] = a
    fit = 0.5 * np.einsum("bni,nij,bnj->bn", amounts, gram, amounts, optimize=True) - (
        amounts * products
    ).sum(axis=-1)
    return amounts, fit
