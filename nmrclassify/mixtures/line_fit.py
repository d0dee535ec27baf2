"""FittedLines of a spectrum: found by curvature, fitted together where they overlap.

A line is a pseudo-Voigt: a Lorentzian and a Gaussian of the same width, mixed. Its area counts the
tails, which no sum of points near the maximum does. Lines near each other are fitted together by
Levenberg and Marquardt's method [1]_; the tails of all others are subtracted first. The widths of
the lines of a spectrum are alike: each fit starts from the usual width, and a weak prior keeps it
near where the data do not decide.

References
----------
.. [1] D. W. Marquardt, "An algorithm for least-squares estimation of nonlinear parameters",
   SIAM J. Appl. Math. 11, 431 (1963).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

CLUSTER = 5.0  # widths between lines that are fitted together
MAX_CLUSTER = 16  # lines
EDGE = 3.0  # widths beyond the outer lines of a cluster that are fitted
WIDTHS = (0.3, 4.0)  # times the usual width: the range of a fitted width
WIDTH_PRIOR = 0.25  # standard deviation of the logarithm of a width, before any is known
LEAST_PRIOR = 0.08
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.0)  # of the Lorentzian, that are tried
GAUSSIAN = np.sqrt(np.pi / np.log(2)) / 2  # area of a Gaussian over height and width
_FAR = 40.0  # widths from which tails are computed on a coarse grid
_COARSE = 16
_LN2 = np.log(2)


@dataclass(frozen=True)
class FittedLines:
    """Fitted lines.

    Attributes
    ----------
    hz : ndarray, shape (n,)
        Positions, ascending.
    heights, widths : ndarray, shape (n,)
        Height above the baseline, and full width at half maximum in Hz.
    share : float
        Of the Lorentzian in each line; the rest is Gaussian.
    hz_errors, area_errors : ndarray, shape (n,)
        Standard errors from the curvature of the sum of squares; NaN before a fit.
    """

    hz: np.ndarray
    heights: np.ndarray
    widths: np.ndarray
    share: float
    hz_errors: np.ndarray
    area_errors: np.ndarray

    @property
    def areas(self) -> np.ndarray:
        """Areas with the tails, in height times Hz, shape (n,)."""
        return self.heights * self.widths * _unit_area(self.share)

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.hz)

    def chosen(self, index: np.ndarray) -> "FittedLines":
        """Return some of the lines."""
        return replace(
            self,
            **{
                name: getattr(self, name)[index]
                for name in ("hz", "heights", "widths", "hz_errors", "area_errors")
            },
        )

    @classmethod
    def start(
        cls, hz: np.ndarray, heights: np.ndarray, widths: np.ndarray, share: float
    ) -> "FittedLines":
        """Return lines that are not fitted yet, in ascending order."""
        order = np.argsort(hz)
        unknown = np.full(len(hz), np.nan)
        return cls(hz[order], heights[order], widths[order], share, unknown, unknown)


def _unit_area(share: float) -> float:
    return share * np.pi / 2 + (1 - share) * GAUSSIAN


def step_of(hz: np.ndarray) -> float:
    """Return the step of an even axis; of two neighbours it may be rounded."""
    return float(hz[-1] - hz[0]) / (len(hz) - 1)


def robust_noise(values: np.ndarray, block: int = 256) -> float:
    """Return the standard deviation where there is no signal, correlation counted.

    The standard deviation is taken in blocks, each without its straight trend. Differences of
    neighbours would not do: zero filling and apodisation correlate them.
    """
    n = len(values) // block
    if n < 8:
        block, n = max(8, len(values) // 8), 8
        n = min(n, len(values) // block)
    blocks = values[: n * block].reshape(n, block)
    x = np.linspace(-1, 1, block)
    x = x / np.sqrt((x**2).sum())
    blocks = blocks - blocks.mean(1, keepdims=True)
    blocks = blocks - (blocks @ x)[:, None] * x
    deviations = np.sqrt((blocks**2).sum(1) / (block - 2))
    # A flat or straight part, where something was cut out, has none; a computed spectrum neither.
    noisy = deviations[deviations > 1e-9 * np.ptp(values)]
    if len(noisy) < 0.4 * len(deviations):
        return 0.0
    deviations = noisy
    # A quarter of the blocks at least is without signal: those at the ends of the axis.
    low = np.quantile(deviations, 0.2)
    return float(np.median(deviations[deviations <= 1.3 * low]))


def correlation_points(values: np.ndarray, noise: float, block: int = 256) -> float:
    """Return how many neighbours count as one independent point, from blocks without signal."""
    n = len(values) // block
    if n < 2 or noise <= 0:
        return 1.0
    blocks = values[: n * block].reshape(n, block)
    blocks = blocks - blocks.mean(1, keepdims=True)
    quiet = blocks[blocks.std(1) <= 1.2 * noise]
    if not len(quiet):
        return 1.0
    power = (quiet**2).mean()
    if power <= 0:
        return 1.0
    total = 1.0
    for lag in range(1, 17):
        rho = float((quiet[:, lag:] * quiet[:, :-lag]).mean() / power)
        if rho < 0.05:
            break
        total += 2 * rho
    return total


def usual_width(heights: np.ndarray, step: float, noise: float) -> float:
    """Return the usual full width at half maximum in Hz, of strong lines that stand alone."""
    tops = np.flatnonzero(
        (heights[1:-1] > heights[:-2])
        & (heights[1:-1] >= heights[2:])
        & (heights[1:-1] > 15 * noise)
    )
    tops = tops[np.argsort(-heights[tops + 1])[:200]] + 1
    widths = []
    reach = max(4, round(12 / step))
    for top in tops:
        if top < reach or top >= len(heights) - reach:
            continue
        half = heights[top] / 2
        left = heights[top - reach : top][::-1]
        right = heights[top + 1 : top + 1 + reach]
        sides = []
        for side in (left, right):
            below = np.flatnonzero(side <= half)
            if not len(below):
                break
            k = int(below[0])
            before = heights[top] if k == 0 else side[k - 1]
            rises = np.diff(np.r_[heights[top], side[: k + 1]]) > 2 * noise
            if rises.any():
                break
            sides.append(k + (before - half) / max(before - side[k], 1e-300))
        if len(sides) == 2:
            widths.append(sum(sides) * step)
    if not widths:
        return max(1.5, 4 * step)
    # Overlap makes lines wider, never narrower.
    return float(np.clip(np.quantile(widths, 0.3), 2 * step, 10.0))


def find_lines(
    heights: np.ndarray, hz: np.ndarray, noise: float, width: float, threshold: float
) -> FittedLines:
    """Return a start for the fit: where the curvature is strongly negative.

    Shoulders without a maximum of their own are found, too.

    Parameters
    ----------
    heights : ndarray, shape (n,)
        Without baseline.
    hz : ndarray, shape (n,)
        Ascending, evenly spaced.
    noise : float
        Standard deviation of the heights.
    width : float
        Usual width of a line in Hz.
    threshold : float
        Standard deviations that curvature and height must exceed.
    """
    step = step_of(hz)
    places = list[np.ndarray]()
    for scale, factor in ((0.2, 1.5), (0.45, 1.0)):
        sigma = max(scale * width / step, 0.7)
        curvature = -gaussian_filter1d(heights, sigma, order=2)
        limit = factor * threshold * robust_noise(curvature)
        size = max(3, 2 * round(0.3 * width / step) + 1)
        top = (curvature >= limit) & (curvature == maximum_filter1d(curvature, size))
        smooth = gaussian_filter1d(heights, sigma)
        found = np.flatnonzero(top & (smooth > 0.7 * threshold * noise))
        if places:
            # A coarse place stands only where no fine one is near.
            near = np.searchsorted(places[0], found)
            before = places[0][np.maximum(near - 1, 0)] if len(places[0]) else found - 10**9
            after = (
                places[0][np.minimum(near, len(places[0]) - 1)] if len(places[0]) else found + 10**9
            )
            gap = np.minimum(np.abs(found - before), np.abs(after - found))
            found = found[gap * step > 0.6 * width]
        places.append(found)
    index = np.sort(np.concatenate(places))
    tops = np.maximum(heights[index], noise)
    return FittedLines.start(hz[index], tops, np.full(len(index), width), 1.0)


def model(lines: FittedLines, hz: np.ndarray) -> np.ndarray:
    """Return the sum of lines on an even axis, shape (n,).

    Tails are computed on a coarse grid: exact to 1e-4 of a line's height.
    """
    step = step_of(hz)
    n = len(hz)
    total = np.zeros(n)
    if not len(lines):
        return total
    coarse = hz[::_COARSE]
    coarse = np.r_[coarse, coarse[-1] + step * _COARSE]
    far = np.zeros(len(coarse))
    reaches = np.maximum(_FAR * lines.widths, 2 * _COARSE * step)
    for first in range(0, len(lines), 64):
        part = slice(first, first + 64)
        half = lines.widths[part, None] / 2
        d2 = (coarse - lines.hz[part, None]) ** 2
        r2 = reaches[part, None] ** 2
        # Beyond the reach a Lorentzian; within, its value at the reach, which interpolates well.
        far += (
            lines.share * lines.heights[part, None] * half**2 / (np.maximum(d2, r2) + half**2)
        ).sum(0)
    total += np.interp(hz, coarse, far)
    for centre, height, width, reach in zip(
        lines.hz, lines.heights, lines.widths, reaches, strict=True
    ):
        low = max(0, int((centre - reach - hz[0]) / step) + 1)
        high = min(n, int((centre + reach - hz[0]) / step) + 1)
        if high <= low:
            continue
        u2 = ((hz[low:high] - centre) * (2 / width)) ** 2
        values = lines.share / (1 + u2) - lines.share / (1 + (2 * reach / width) ** 2)
        if lines.share < 1:
            values += (1 - lines.share) * np.exp(-_LN2 * np.minimum(u2, 700))
        total[low:high] += height * values
    return total


def clusters(lines: FittedLines, width: float) -> list[np.ndarray]:
    """Return groups of lines that are near each other, at most `MAX_CLUSTER` each."""
    if not len(lines):
        return []
    gaps = np.diff(lines.hz)
    groups = []
    waiting = np.split(np.arange(len(lines)), np.flatnonzero(gaps > CLUSTER * width) + 1)
    while waiting:
        group = waiting.pop()
        if len(group) <= MAX_CLUSTER:
            groups.append(group)
            continue
        inner = gaps[group[:-1]].copy()
        edge = len(group) // 4  # no slivers
        inner[:edge] = inner[len(inner) - edge :] = -1
        cut = int(inner.argmax()) + 1
        waiting += [group[:cut], group[cut:]]
    return groups


def fit_cluster(
    hz: np.ndarray,
    values: np.ndarray,
    lines: FittedLines,
    noise: float,
    width: float,
    prior: float = WIDTH_PRIOR,
    iterations: int = 12,
) -> FittedLines:
    """Fit lines together to the points around them; heights stay above 0."""
    n, share = len(lines), lines.share
    centre, log_width = lines.hz.copy(), np.log(lines.widths)
    log_height = np.log(np.maximum(lines.heights, 0.1 * noise))
    start, usual = lines.hz, np.log(width)
    low, high = usual + np.log(WIDTHS[0]), usual + np.log(WIDTHS[1])

    def shapes(c: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return lines of height 1 and their derivatives by position and log width, (n, points)."""
        u = (hz - c[:, None]) * (2 / np.exp(w))[:, None]
        u2 = u**2
        lorentz = 1 / (1 + u2)
        shape = share * lorentz
        slope = 2 * share * lorentz**2  # -dshape/du over u
        if share < 1:
            gauss = np.exp(-_LN2 * np.minimum(u2, 700))
            shape = shape + (1 - share) * gauss
            slope = slope + 2 * _LN2 * (1 - share) * gauss
        return shape, slope * u * (2 / np.exp(w))[:, None], slope * u2

    def cost(shape: np.ndarray, c: np.ndarray, w: np.ndarray, h: np.ndarray) -> float:
        residual = (values - np.exp(h) @ shape) / noise
        return float(
            residual @ residual
            + (((w - usual) / prior) ** 2).sum()
            + (((c - start) / (0.5 * width)) ** 2).sum()
        )

    shape, by_place, by_width = shapes(centre, log_width)
    best = cost(shape, centre, log_width, log_height)
    damping = 1e-2
    precision = np.r_[
        np.full(n, 1 / (0.5 * width) ** 2), np.full(n, 1 / prior**2), np.full(n, 1e-6)
    ]
    normal = np.eye(3 * n)
    for _ in range(iterations):
        height = np.exp(log_height)[:, None]
        jacobian = np.concatenate([height * by_place, height * by_width, height * shape]) / noise
        residual = (values - np.exp(log_height) @ shape) / noise
        gradient = jacobian @ residual
        gradient[:n] -= (centre - start) / (0.5 * width) ** 2
        gradient[n : 2 * n] -= (log_width - usual) / prior**2
        normal = jacobian @ jacobian.T
        normal[np.diag_indices(3 * n)] += precision
        improved = False
        for _ in range(6):
            damped = normal + np.diag(damping * normal.diagonal())
            change = np.linalg.solve(damped, gradient)
            c = centre + np.clip(change[:n], -width, width)
            w = np.clip(log_width + np.clip(change[n : 2 * n], -0.5, 0.5), low, high)
            h = log_height + np.clip(change[2 * n :], -1.5, 1.5)
            tried = shapes(c, w)
            value = cost(tried[0], c, w, h)
            if value < best:
                improved = True
                break
            damping *= 6
        if not improved:
            break
        gain = best - value
        centre, log_width, log_height, best = c, w, h, value
        shape, by_place, by_width = tried
        damping = max(damping / 6, 1e-6)
        if gain < 0.02 + 1e-3 * best:
            break
    heights, widths = np.exp(log_height), np.exp(log_width)
    covariance = np.linalg.pinv(normal, hermitian=True)
    variance = covariance.diagonal()
    of_area = (
        variance[n : 2 * n]
        + variance[2 * n :]
        + 2 * covariance[np.arange(n, 2 * n), np.arange(2 * n, 3 * n)]
    )
    areas = heights * widths * _unit_area(share)
    fitted = FittedLines(
        centre,
        heights,
        widths,
        share,
        np.sqrt(np.maximum(variance[:n], 0)),
        areas * np.sqrt(np.maximum(of_area, 0)),
    )
    return fitted.chosen(np.argsort(centre))


def fit_lines(
    heights: np.ndarray,
    hz: np.ndarray,
    lines: FittedLines,
    noise: float,
    width: float,
    sweeps: int = 2,
    budget: float = np.inf,
    prior: float = WIDTH_PRIOR,
) -> tuple[FittedLines, float]:
    """Fit all lines, cluster by cluster; return them, and what is left of the budget.

    Parameters
    ----------
    noise : float
        Standard deviation of a point, times the square root of how many neighbours count as one.
    width, prior : float
        Usual width in Hz, and the standard deviation of its logarithm.
    budget : float
        Points times lines of all clusters that may be fitted, in each sweep anew. A count, not a
        time, so that the same spectrum gives the same lines. Once it is spent, what is left is
        below 0, and further clusters keep their start.
    """
    step, origin = step_of(hz), float(hz[0])
    for sweep in range(sweeps):
        rest = heights - model(lines, hz)
        done = []
        for group in clusters(lines, width):
            some = lines.chosen(group)
            edge = EDGE * width
            low = max(0, int((some.hz[0] - edge - origin) / step))
            high = min(len(hz), int((some.hz[-1] + edge - origin) / step) + 2)
            if high - low >= 8:
                budget -= (high - low) * len(some)
            if high - low < 8 or budget < 0:
                done.append(some)
                continue
            x = hz[low:high]
            own = _sum(some, x)
            values = rest[low:high] + own
            done.append(fit_cluster(x, values, some, noise, width, prior, 12 - 4 * sweep))
        lines = joined(done, lines.share)
    return lines, budget


def widths_of(lines: FittedLines, width: float) -> tuple[float, float]:
    """Return the usual width of well determined lines, and the spread of its logarithm."""
    error = lines.area_errors / np.maximum(lines.areas, 1e-300)
    sure = np.flatnonzero(error < 0.04)
    if len(sure) < 8:
        return width, WIDTH_PRIOR
    logs = np.log(lines.widths[sure])
    usual = float(np.median(logs))
    spread = 1.4826 * float(np.median(np.abs(logs - usual)))
    return float(np.exp(usual)), float(np.clip(spread, LEAST_PRIOR, WIDTH_PRIOR))


def _sum(lines: FittedLines, x: np.ndarray) -> np.ndarray:
    """Return the exact sum of a few lines."""
    u2 = ((x - lines.hz[:, None]) * (2 / lines.widths)[:, None]) ** 2
    shape = lines.share / (1 + u2)
    if lines.share < 1:
        shape += (1 - lines.share) * np.exp(-_LN2 * np.minimum(u2, 700))
    return lines.heights @ shape


def joined(parts: list[FittedLines], share: float) -> FittedLines:
    """Return all lines of several fits, ascending."""
    names = ("hz", "heights", "widths", "hz_errors", "area_errors")
    columns = [np.concatenate([getattr(part, name) for part in parts] or [[]]) for name in names]
    lines = FittedLines(columns[0], columns[1], columns[2], share, columns[3], columns[4])
    return lines.chosen(np.argsort(lines.hz))


def lorentzian_share(
    heights: np.ndarray, hz: np.ndarray, lines: FittedLines, noise: float, width: float
) -> float:
    """Return the share of the Lorentzian that fits the strongest clusters best.

    Parameters
    ----------
    heights : ndarray, shape (n,)
    lines : FittedLines
        Fitted once, as Lorentzians.
    """
    groups = clusters(lines, width)
    strongest = sorted(groups, key=lambda group: -lines.heights[group].max() / len(group))[:8]
    step, origin = step_of(hz), float(hz[0])
    costs = np.zeros(len(SHARES))
    rest = heights - model(lines, hz)
    for group in strongest:
        some = lines.chosen(group)
        if some.heights.max() < 30 * noise:
            continue
        low = max(0, int((some.hz[0] - EDGE * width - origin) / step))
        high = min(len(hz), int((some.hz[-1] + EDGE * width - origin) / step) + 2)
        x = hz[low:high]
        values = rest[low:high] + _sum(some, x)
        for k, share in enumerate(SHARES):
            fitted = fit_cluster(x, values, replace(some, share=share), noise, width, iterations=8)
            left = values - _sum(fitted, x)
            # Relative to the height: no single line decides.
            costs[k] += float((left**2).mean()) / max(some.heights.max(), noise) ** 2
    return SHARES[int(costs.argmin())] if costs.any() else 1.0
