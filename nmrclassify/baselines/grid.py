"""Classical methods that need no training: least squares, pursuit, and likelihood over all compositions.

They know the library exactly, so they are the baselines that a network has to be measured against.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.optimize
from scipy.linalg import cholesky, solve_triangular
from scipy.special import ndtr

from nmrclassify.mixtures.grid import MixtureConfig, counts_of
from nmrclassify.nmr.library import Library

# Cells P x L of a mixture up to which a covariance of all cells with all cells is affordable for
# each candidate.
MAX_JITTER_CELLS = 512
# Least noise that the likelihood supposes, as a share of the mean positive area of the library.
NOISE_FLOOR = 1e-3
# Log-likelihoods (in nats) are within this of the best concentrations'.
_ACCURACY = 1e-6
_MAX_SWEEPS = 5000
_SWEEPS_BETWEEN = 5  # of the gap
_BLOCK = 2_000_000  # numbers in an array over mixtures x candidates x sources x sources


def nnls(areas: np.ndarray, library: Library) -> np.ndarray:
    """Return the non-negative amounts of all compounds that explain each mixture best in the least-squares sense.

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
        If the mixtures have another shape than the library's compounds, or hold an undefined
        number.

    References
    ----------
    C. L. Lawson and R. J. Hanson, Solving Least Squares Problems, Prentice-Hall 1974, chapter 23.
    """
    cells = _cells(areas, library)  # (B, PL)
    atoms = _atoms(library)
    return np.array([scipy.optimize.nnls(atoms.T, row)[0] for row in cells]).reshape(
        len(cells), library.n_compounds
    )


def matching_pursuit(
    areas: np.ndarray, library: Library, n_most: int, tolerance: float = 1e-3
) -> np.ndarray:
    """Return the amounts that orthogonal matching pursuit finds: one compound at a time, all refitted after each.

    The next compound is the one whose unit-normalised template has the largest positive product
    with the residual; a non-negative least-squares fit of the compounds chosen so far gives the
    next residual.

    Parameters
    ----------
    areas : ndarray, shape (B, P, L)
    library : Library
    n_most : int
        Distinct compounds to choose at most. A compound chosen and then refitted to 0 counts as
        well.
    tolerance : float
        The search ends where the residual's norm is at most this share of the mixture's.

    Returns
    -------
    ndarray, shape (B, K)
        0 for compounds that were not chosen.

    Raises
    ------
    ValueError
        If the mixtures have another shape than the library's compounds or hold an undefined number,
        or if `n_most` or `tolerance` is out of range.

    References
    ----------
    Y. C. Pati, R. Rezaiifar and P. S. Krishnaprasad, Asilomar 1993, doi:10.1109/ACSSC.1993.342465; non-negative: A. M.
    Bruckstein, M. Elad and M. Zibulevsky, IEEE Trans. Inf. Theory 54(11), 2008, doi:10.1109/TIT.2008.929920.
    """
    cells = _cells(areas, library)
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
    for row, cell in zip(amounts, cells, strict=False):
        chosen: list[int] = []
        residual, enough = cell, tolerance * np.linalg.norm(cell)
        while len(chosen) < n_most and np.linalg.norm(residual) > enough:
            products = unit @ residual
            products[
                chosen
            ] = (
                -np.inf
            )  # after a refit they are at 0 but for rounding, and must not be chosen again
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
    """Decide how often each compound occurs, from its amount, by the known `number` of compounds or by a `threshold`.

    Parameters
    ----------
    amounts : ndarray, shape (B, K)
    repetition : bool
        Whether a compound can occur more than once in a mixture. Its portions can only be told from
        its amount, so they are supposed to have concentration 1 each; with free concentrations, two
        portions look like a large one.
    number : int, optional
        Compounds in each mixture. Without repetition the largest amounts are chosen; with
        repetition, portions are given one at a time to the compound with most of its amount left.
    threshold : float, optional
        A compound occurs where its amount is above this; with repetition, as often as the amount
        rounds to, at least once.

    Returns
    -------
    ndarray, shape (B, K), int64

    Raises
    ------
    ValueError
        If not exactly one of `number` and `threshold` is given, one is out of range, or an amount
        is not finite.
    """
    amounts = _amounts(amounts)
    if (number is None) == (threshold is None):
        raise ValueError(
            f"number is {number!r} and threshold {threshold!r}; give exactly one of the two"
        )
    if threshold is not None:
        if not np.isfinite(threshold):
            raise ValueError(f"threshold is {threshold!r}; expected a finite amount")
        present = amounts > threshold
        return np.where(present, _portions(amounts) if repetition else 1, 0)
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
        # Without repetition a compound that has been given its portion is out of the running.
        left = amounts - counts if repetition else np.where(counts > 0, -np.inf, amounts)
        counts[rows, left.argmax(axis=1)] += 1
    return counts


def tune_threshold(amounts: np.ndarray, counts: np.ndarray, repetition: bool) -> float:
    """Return the threshold for `counts_from_amounts` with the most of the given mixtures wholly right.

    A mixture is right from its largest amount of an absent compound up to just below its smallest
    of a present one, so the number of right mixtures changes at amounts only. Those are the values
    tried; of the widest stretch between them with the most mixtures right, the middle is returned.
    Where no threshold makes any mixture right, that is half the largest amount.

    Parameters
    ----------
    amounts : ndarray, shape (B, K)
        Of mixtures for training; a threshold that is tuned on test mixtures flatters the method.
    counts : ndarray, shape (B, K)
        The truth about the same mixtures.
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
            " mixture or more: give the truth about the mixtures that the amounts were found in"
        )
    present = counts > 0
    # The next number above all amounts, so that a mixture of nothing is right at the largest amount
    # as well.
    top = np.nextafter(max(float(amounts.max()), 0.0), np.inf)
    low = np.where(present, 0.0, amounts).max(axis=1).clip(min=0.0)  # (B,)
    high = np.where(present, amounts, top).min(axis=1)
    given = _portions(amounts) if repetition else np.ones_like(counts)
    possible = (counts == np.where(present, given, 0)).all(axis=1) & (low < high)
    low, high = np.sort(low[possible]), np.sort(high[possible])
    tried = np.unique(np.concatenate([[0.0, top], low, high]))  # (T,)
    # Right on the stretch from each value tried to the next: mixtures whose interval has begun and
    # has not ended.
    right = np.searchsorted(low, tried[:-1], side="right") - np.searchsorted(
        high, tried[:-1], side="right"
    )
    best = np.concatenate([[False], right == right.max(), [False]])
    edges = np.flatnonzero(best[1:] != best[:-1])
    starts, ends = tried[edges[::2]], tried[edges[1::2]]
    widest = int((ends - starts).argmax())
    return float((starts[widest] + ends[widest]) / 2)


@dataclass(frozen=True, eq=False)
class Likelihood:
    """Likelihood of every candidate composition under the data's own noise model; prepared once, asked often.

    - With noise only and known concentrations (lowest equal to highest), the likelihood is exact. Its best candidate is then
      the limit: no method is right more often where all candidates are equally probable beforehand.
    - Free concentrations are profiled: each candidate is judged at the concentrations within the bounds that suit it best.
      Each portion of a repeated compound has its own, of which only the sum shows. That is maximum
      likelihood, but not the limit: a candidate with more freedom is preferred without merit, above
      all where numbers of compounds vary. With `average`, concentrations are averaged over instead,
      their log-uniform distribution replaced by a Gaussian of the same mean and variance. That
      comes close to the limit wherever noise matters.
    - Shift jitter is approximated: a shifted multiplet is replaced by a Gaussian with the same mean and covariance, which
      are exact. Its true distribution is no Gaussian (a multiplet fills two positions, not all
      those that it might reach), so that under jitter this is not the limit, and a method that
      knows better can pass it.
    - With both, the shifts' covariance is that at the geometric mean of the concentrations (with `average`, the exact
      one over all of them), whatever the profiled ones are: one for each candidate, not for each
      mixture and candidate.

    Without noise a wrong candidate has likelihood 0 and the right one infinity, and rounding could
    make every candidate wrong. The standard deviation of the noise is therefore taken as at least
    `NOISE_FLOOR` of the mean positive area of the library: far below any difference between
    compounds, far above rounding.

    Parameters
    ----------
    library : Library
    candidates : ndarray, shape (n, C), int64
        Compositions; K stands for "no compound" and fills up short ones.
    config : MixtureConfig
        Concentrations, shift jitter and noise are read from it; which compositions occur is up to
        `candidates`.
    average : bool
        Average over free concentrations instead of profiling them. Of no consequence where they are
        known.

    Raises
    ------
    ValueError
        If there is no candidate, one holds something else than compounds of the library, or the
        mixtures are too large for shift jitter.
    """

    library: Library
    candidates: np.ndarray
    config: MixtureConfig
    average: bool = False

    def __post_init__(self):
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
        """Standard deviation of the noise on each area that is reckoned with."""
        areas = self.library.areas
        return max(self.config.noise, NOISE_FLOOR * float(areas[areas > 0].mean(dtype=np.float64)))

    @cached_property
    def counts(self) -> np.ndarray:
        """How often each compound occurs in each candidate, shape (n, K)."""
        return counts_of(np.asarray(self.candidates), self.library.n_compounds)

    @cached_property
    def _distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct compounds of each candidate, filled up with K, and their portions: shapes (n, C or less)."""
        width = max(1, int((self.counts > 0).sum(axis=1).max()))
        # A stable sort of "absent" puts the compounds that are present first, in increasing order.
        compounds = np.argsort(self.counts == 0, axis=1, kind="stable")[:, :width]
        portions = np.take_along_axis(self.counts, compounds, axis=1)
        return np.where(portions > 0, compounds, self.library.n_compounds), portions.astype(float)

    @cached_property
    def _means(self) -> np.ndarray:
        """Return the expected areas of each compound at concentration 1, then zeros for "no compound": shape (K + 1, PL)."""
        areas = self.library.areas.astype(np.float64)
        if self.config.shift_jitter:
            areas = areas @ self._moments[0]
        return np.concatenate([areas.reshape(len(areas), -1), np.zeros((1, areas[0].size))])

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        return shift_moments(self.library.axis.n_positions, self.config.shift_jitter)

    @cached_property
    def _outer(self) -> np.ndarray:
        """Return the products of the peaks of each compound's multiplet at each position, shape (K, PP, L)."""
        areas = self.library.areas.astype(np.float64)
        n_compounds, n_peaks, n_positions = areas.shape
        return (areas[:, :, None] * areas[:, None]).reshape(n_compounds, n_peaks**2, n_positions)

    def covariance(self, candidate: int) -> np.ndarray:
        """Return the covariance of the areas of candidate number `candidate`, shape (PL, PL): jitter and noise.

        The multiplets of all portions shift independently, so that their covariances add up. That
        of one is the outer product of its peaks (all of which move together) times that of the
        weights by which it is shared out.
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
            If the mixtures have another shape than the library's compounds, or hold an undefined
            number.
        """
        cells = _cells(areas, self.library)
        return self._with_jitter(cells) if self.config.shift_jitter else self._without_jitter(cells)

    def exhaustive(self, areas: np.ndarray) -> np.ndarray:
        """Return the counts of the most likely candidate (the first, where several are), shape (B, K)."""
        return self.counts[self.log_likelihood(areas).argmax(axis=1)]

    @cached_property
    def _concentration(self) -> tuple[float, float]:
        """Return mean and variance of the log-uniform concentration of one portion."""
        low, high = self.config.concentration_low, self.config.concentration_high
        if low == high:
            return low, 0.0
        width = np.log1p((high - low) / low)  # accurate for the narrowest range as well
        mean = (high - low) / width
        return mean, max((high**2 - low**2) / (2 * width) - mean**2, 0.0)

    def _misfit(
        self,
        gram: np.ndarray,
        products: np.ndarray,
        portions: np.ndarray,
        inverse: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return minus the log-likelihood less what depends on the mixture or the covariance alone, shape (B, n).

        `gram`, shape (n, C, C), and `products`, shape (B, n, C), are those of the candidates'
        templates with each other and with the mixtures, all divided by the noise (whitened);
        `portions` has shape (n, C).
        """
        if not self.average:
            low, high = (
                portions * self.config.concentration_low,
                portions * self.config.concentration_high,
            )
            return bounded_least_squares(gram, products, low, high, inverse)[1]
        # The covariance of the concentrations adds C dimensions to that of the noise (the Woodbury
        # identity).
        mean, variance = self._concentration
        amounts, std = portions * mean, np.sqrt(portions * variance)
        pull = (gram @ amounts[..., None])[..., 0]  # (n, C)
        inner = np.eye(gram.shape[-1]) + std[:, :, None] * gram * std[:, None]
        left = std * (products - pull)  # (B, n, C)
        explained = np.einsum("bni,nij,bnj->bn", left, np.linalg.inv(inner), left, optimize=True)
        given = (amounts * (0.5 * pull - products)).sum(axis=-1)
        return given + 0.5 * (np.linalg.slogdet(inner)[1] - explained)

    def _without_jitter(self, cells: np.ndarray) -> np.ndarray:
        # All is divided by the noise, so that least squares come out in nats.
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
            # Factored anew at each call: as fast as reading it back for a fair number of mixtures,
            # and no memory is held.
            factor = cholesky(
                self.covariance(candidate), lower=True, overwrite_a=True, check_finite=False
            )
            together = np.concatenate([self._means[chosen], cells]).T  # (PL, C + B)
            white = solve_triangular(
                factor, together, lower=True, overwrite_b=True, check_finite=False
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
    """Return mean and covariance of the weights by which a multiplet with a random shift is shared out over the positions.

    The shift is Gaussian; `mixtures.shift_multiplets` shares the area between the two nearest
    positions and stops at the ends. Between two positions the weights are linear in the shift, so
    that partial moments of the Gaussian, which have a closed form, give both without any sampling.

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
    # Beyond 40 standard deviations nothing is left to double precision, and a tiny `std` must not
    # overflow.
    z = np.clip((position - position[:, None]) / std, -40.0, 40.0)  # (from, position)
    below, density = ndtr(z), np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    # Integrals of 1, z and z^2 between each position and the next, shape (L, L - 1) ...
    ones = np.diff(below)
    first = -np.diff(density)
    second = ones - np.diff(z * density)
    # ... and from them those of 1, u and u^2, u being the share that goes to the farther of the
    # two.
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
    # What is shifted past an end stays there as a whole.
    for end, beyond in ((0, below[:, 0]), (-1, ndtr(-z[:, -1]))):
        mean[:, end] += beyond
        moment[:, end, end] += beyond
    return mean, moment - mean[:, :, None] * mean[:, None]


def bounded_least_squares(
    gram: np.ndarray,
    products: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    inverse: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise f(a) = a'Ga/2 - b'a within bounds on each element of a, for all mixtures and candidates at once.

    For templates T and a mixture y, with G = TT' and b = Ty, that is bounded least squares: |y -
    aT|^2 = |y|^2 + 2 f(a). Starts from the unbounded solution, clipped; where a bound is hit,
    coordinate descent follows. It ends where the duality gap shows that f is within 1e-6 of its
    least value (beside rounding), and after 5,000 sweeps in any case.

    Parameters
    ----------
    gram : ndarray, shape (n, C, C)
        Rows of zeros, for padding, are allowed.
    products : ndarray, shape (B, n, C)
    low, high : ndarray, shape (n, C)
    inverse : ndarray, shape (n, C, C), optional
        Pseudo-inverse of `gram`, for a caller that has it already.

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
        flat, rhs = (
            amounts.reshape(-1, size),
            products.reshape(-1, size),
        )  # mixture by mixture; `flat` shares its memory
        active = np.arange(len(flat))
        for _ in range(_MAX_SWEEPS):
            which = active % len(gram)
            g, least, most, a = gram[which], low[which], high[which], flat[active]
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


def _portions(amounts: np.ndarray) -> np.ndarray:
    """Return the nearest whole number of portions (halves upwards), at least 1."""
    return np.maximum(np.floor(amounts + 0.5), 1).astype(np.int64)


def _atoms(library: Library) -> np.ndarray:
    return library.areas.reshape(library.n_compounds, -1).astype(np.float64)  # (K, PL)


def _cells(areas: np.ndarray, library: Library) -> np.ndarray:
    """Check mixtures of shape (B, P, L) against the library, and return them as (B, PL) in double precision."""
    areas = np.asarray(areas)
    expected = library.areas.shape[1:]
    if areas.ndim != 3 or areas.shape[1:] != expected:
        raise ValueError(
            f"areas have shape {areas.shape}; expected (mixtures, {expected[0]} peaks,"
            f" {expected[1]} positions) as in the library: give a single mixture as areas[None]"
        )
    areas = areas.astype(np.float64)
    _check_finite(areas, "areas")
    return areas.reshape(
        len(areas), expected[0] * expected[1]
    )  # not -1, which no mixtures at all leave open


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
            f"{name} hold {values[place]} at {place}; expected finite numbers: mend or leave out"
            " that mixture"
        )
