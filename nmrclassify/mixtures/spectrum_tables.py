"""Columns of ppm and intensity: whether they are a spectrum, its even axis, its local maxima."""

from itertools import pairwise

import numpy as np
from scipy.signal import find_peaks

from nmrclassify.files.tables import TableError
from nmrclassify.mixtures.spectrum import MAX_POINTS, Spectrum
from nmrclassify.nmr.line_shapes import LINE_WIDTH

FEWEST_POINTS = 512  # of a spectrum
FEWEST_ROWS = 32  # fewer are peaks, however they are spaced
MAX_PEAKS = 20_000
NOISE = 5.0  # standard deviations that a maximum must stand above the noise
FEW_ROWS, FEW_SHARE, MOST_SHARE = 3, 0.05, 0.2  # without an area above 0: of noise or rounding
_OR_PEAKS = "; give peaks as ppm, kind (s) and protons"


def are_few(empty: int, rows: int) -> bool:
    """Return whether so many rows without an area above 0 are left out of a list of peaks."""
    return empty <= min(max(FEW_ROWS, FEW_SHARE * rows), MOST_SHARE * rows)


def is_spectrum(ppm: np.ndarray, heights: np.ndarray) -> bool:
    """Return whether sorted rows are the points of a spectrum, not peaks.

    Peaks have gaps of all sizes between them, and heights that do not follow from each other. The
    limits leave a margin: of 32 or more peaks, of 2 to 100 compounds in three libraries, with ppm
    of 3 decimals or more, at least 11 % have a gap of twice the median and 1 % one of 11 times the
    median, and the ranks of neighbours correlate by at most .87.

    Raises
    ------
    TableError
        If they can be either, or are points that cannot be used.
    """
    n = len(ppm)
    if n < FEWEST_ROWS:
        return False
    places = np.unique(ppm)
    steps = np.diff(places) if len(places) > 1 else np.ones(1)
    steps /= np.median(steps)  # where an even axis is rounded, they are at most 2
    many_gaps, long_gap = float(np.mean(steps > 2.05)), float(np.quantile(steps, 0.99))
    many = n >= 4 * FEWEST_ROWS
    like_the_last = np.mean(np.abs(np.diff(steps)) <= 0.25 * steps[:-1]) if len(steps) > 1 else 1.0
    if not (
        many_gaps <= 0.05
        or (many and like_the_last >= 0.75)
        or not are_few(int((heights <= 0).sum()), n)
        or (many and _correlation(heights) >= 0.92)
    ):
        if many_gaps < 0.09 or (many and long_gap <= 9) or _has_baseline(heights):
            raise TableError(
                f"the {n:,} rows can be a spectrum or a list of peaks; expected a spectrum with"
                f" evenly spaced ppm, not rounded{_OR_PEAKS}"
            )
        return False
    if n < FEWEST_POINTS:
        raise TableError(
            f"the {n:,} rows look like the points of a spectrum; expected at least"
            f" {FEWEST_POINTS}{_OR_PEAKS}"
        )
    if n - len(places) > 0.01 * n:
        raise TableError(
            f"the rows look like a spectrum, but {n - len(places):,} of {n:,} have the ppm of"
            f" another row; expected each ppm once: export it with more decimals{_OR_PEAKS}"
        )
    if steps[steps > 9].sum() > 0.5 * steps.sum():
        raise TableError(
            "the rows look like a spectrum, but most of its axis is left out; expected the whole"
            f" spectrum, with its baseline{_OR_PEAKS}"
        )
    return True


def _correlation(heights: np.ndarray) -> float:
    """Return the correlation of the ranks of neighbours; 0 if all are equal."""
    ranks = np.unique(heights, return_inverse=True)[1].astype(float)
    if not ranks[:-1].any() or not ranks[1:].any():
        return 0.0
    return float(np.nan_to_num(np.corrcoef(ranks[:-1], ranks[1:])[0, 1]))


def _has_baseline(heights: np.ndarray) -> bool:
    """Return whether half of many heights are at a level above zero, as a spectrum's can be."""
    if len(heights) < FEWEST_POINTS:
        return False
    low, middle = np.quantile(heights, [0.05, 0.5])
    return bool(0 < middle <= 1.8 * low and heights.max() >= 5 * middle)


def pick_maxima(
    ppm: np.ndarray, heights: np.ndarray, mhz: float
) -> tuple[np.ndarray, np.ndarray, str]:
    """Pick the local maxima above the noise; a peak's area is what lies between its valleys.

    Returns
    -------
    ppm, areas : ndarrays, shape (n,)
    note : str
        What was done, without a full stop.

    Raises
    ------
    TableError
        If there are none, or too many.
    """
    ppm, how = even_axis(ppm)
    base = np.median(heights)
    # Most neighbours differ by the noise alone.
    noise = 1.4826 * float(np.median(np.abs(np.diff(heights)))) / np.sqrt(2)
    least = max(NOISE * noise, 1e-6 * float(heights.max() - base), 1e-300)
    top = find_peaks(heights, height=base + least)[0]
    # Above the saddle to a higher neighbour, too: noise on the flank of a high line is no peak.
    top = top[_prominences(heights, top) >= least]
    if len(top) > MAX_PEAKS:
        raise TableError(
            f"the spectrum has {len(top):,} maxima above its noise; expected at most {MAX_PEAKS:,}:"
            " smooth it, or give a list of peaks"
        )
    if not len(top):
        raise TableError("the spectrum has no maximum above its noise; expected at least one")
    edges = [a + int(heights[a : b + 1].argmin()) for a, b in pairwise(top)]
    reach = 3 * LINE_WIDTH / mhz
    low = np.minimum(np.searchsorted(ppm, ppm[top] - reach), top - 1)
    last = np.maximum(np.searchsorted(ppm, ppm[top] + reach, "right") - 1, top + 1)
    low, last = np.maximum([0, *edges], low), np.minimum([*edges, len(ppm) - 1], last)
    steps = np.diff(ppm)
    # Beside a gap, where the solvent was cut out, a point is as wide as elsewhere.
    half = np.minimum(steps, 10 * np.median(steps)) / 2
    widths = np.r_[half[:1], half] + np.r_[half, half[-1:]]
    sums = np.concatenate([[0.0], np.cumsum(np.maximum(heights - base, 0.0) * widths)])
    areas = (sums[last + 1] - sums[low]) * mhz
    keep = areas > 0
    note = (
        f"A spectrum of {len(ppm):,} points{how}, in which {int(keep.sum()):,} local maxima were"
        " picked as peaks"
    )
    return ppm[top[keep]], areas[keep], note


def even_axis(ppm: np.ndarray) -> tuple[np.ndarray, str]:
    """Return sorted ppm, evenly spaced if they were before rounding; and words on their steps."""
    even = np.linspace(ppm[0], ppm[-1], len(ppm))
    away = np.abs(ppm - even).max()
    step = float(even[1] - even[0])
    if away <= 0.01 * step:
        return ppm, ""
    units = (10.0**-k for k in range(1, 9) if np.allclose(ppm, ppm.round(k), rtol=0, atol=1e-10))
    if away <= 1.01 * next(units, 0.0) <= 1.01 * step:
        return even, " on an even axis, whose ppm were rounded"
    steps = np.diff(ppm)
    usual = np.median(steps)
    is_even = np.mean(np.abs(steps - usual) <= 0.25 * usual) > 0.98
    return ppm, "" if is_even else " with uneven steps"


def resampled(ppm: np.ndarray, heights: np.ndarray, mhz: float) -> Spectrum:
    """Return a table's spectrum with even steps; where something was cut out, it is straight."""
    steps = np.diff(ppm)
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() <= 0.02 * usual:
        return Spectrum(np.linspace(ppm[0], ppm[-1], len(ppm)), heights, mhz, "table")
    n = min(round(float(ppm[-1] - ppm[0]) / usual) + 1, 4 * len(ppm), MAX_POINTS)
    even = np.linspace(ppm[0], ppm[-1], n)
    return Spectrum(even, np.interp(even, ppm, heights), mhz, "table")


def _prominences(heights: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return how far each maximum stands above the higher of the saddles beside it, shape (n,).

    All higher maxima must be in `top`. `scipy.signal.peak_prominences` gives the same in a time
    that grows with the square of their number: minutes for a staircase.
    """
    if not len(top):
        return np.zeros(0)
    valleys = np.minimum.reduceat(heights, np.r_[0, top])
    saddles = [
        _saddles(heights[top], valleys[:-1]),
        _saddles(heights[top][::-1], valleys[:0:-1])[::-1],
    ]
    return heights[top] - np.maximum(*saddles)


def _saddles(tops: np.ndarray, valleys: np.ndarray) -> np.ndarray:
    """Return the lowest of the valleys before each maximum, back to a higher one."""
    lowest, higher = [], list[tuple[float, float]]()  # what may still be the next higher one
    for height, valley in zip(tops.tolist(), valleys.tolist(), strict=True):
        while higher and higher[-1][0] <= height:
            valley = min(valley, higher.pop()[1])
        higher.append((height, valley))
        lowest.append(valley)
    return np.array(lowest)
