"""From picked peaks back to a spectrum that can be drawn: Lorentzian lines, on any range, with a bounded number of points.

Lines are laid on the axis by one convolution, so a spectrum costs the same whatever the number of
peaks. For drawing, neighbouring positions are joined at their highest: however far one zooms out,
no peak vanishes, and what lies below something else at every position also does in every drawing.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures.peaks import PeakMixture, Peaks
from nmrclassify.nmr.axis import Axis

LINE_WIDTH = 1.85  # Hz, full width at half maximum: the median of real libraries at 600 MHz
MAX_POINTS = 5_000  # that a browser is given for one trace
NARROWEST = 0.02  # ppm; closer there are fewer positions than pixels


@dataclass(frozen=True)
class Drawing:
    """Heights at evenly spaced places: `start`, `start + step`, ... in ppm."""

    start: float
    step: float
    heights: np.ndarray

    @property
    def ppm(self) -> np.ndarray:
        """Chemical shift of each height."""
        return self.start + self.step * np.arange(len(self.heights))


@lru_cache(maxsize=4)
def _line(axis: Axis, width: float) -> np.ndarray:
    """Return the transform of one line of unit area on `axis`, wide enough that no end meets the other."""
    edges = (np.arange(-axis.n_positions, axis.n_positions + 1) - 0.5) * axis.hz_per_position
    # The area in each position rather than the height at its centre: nothing is lost on a coarse
    # axis.
    line = np.diff(np.arctan(edges / (width / 2))) / np.pi / axis.hz_per_position
    return np.fft.rfft(np.fft.ifftshift(line))


def spectrum(
    axis: Axis, positions: np.ndarray, areas: np.ndarray, width: float = LINE_WIDTH
) -> np.ndarray:
    """Lay a Lorentzian line of `width` Hz at each position; return the height at each place of the axis, in area per Hz.

    Parameters
    ----------
    axis : Axis
        In ppm.
    positions, areas : ndarray, shape (n,)
    width : float
        Full width at half maximum, in Hz.

    Returns
    -------
    ndarray, shape (L,)
        Never below 0; only the tails beyond the axis are missing from the area.
    """
    sticks = np.bincount(positions, areas, 2 * axis.n_positions)
    heights = np.fft.irfft(np.fft.rfft(sticks) * _line(axis, width), 2 * axis.n_positions)[
        : axis.n_positions
    ]
    return np.maximum(heights, 0.0)


def draw_range(
    axis: Axis, heights: np.ndarray, low: float, high: float, n: int = MAX_POINTS
) -> Drawing:
    """Return what lies from `low` to `high` ppm as at most `n` points, each the highest of the positions it stands for.

    Raises
    ------
    ValueError
        If `n` is not 1 to `MAX_POINTS`, or the range holds no place of the axis.
    """
    if not 1 <= n <= MAX_POINTS:
        raise ValueError(f"{n} points were asked for; expected 1 to {MAX_POINTS:,}")
    inside = [min(max(end, axis.low), axis.high) for end in (low, high)]
    if not low < high or not inside[0] < inside[1]:
        raise ValueError(
            f"range is {low:g} to {high:g} ppm; expected the lower end first, within {axis.low:g}"
            f" to {axis.high:g}"
        )
    first = int(np.floor((inside[0] - axis.low) / axis.width))
    last = min(int(np.ceil((inside[1] - axis.low) / axis.width)), axis.n_positions)
    size = -(
        -(last - first) // n
    )  # as many positions for each point, so that the points are evenly spaced
    highest = np.maximum.reduceat(heights[first:last], np.arange(0, last - first, size))
    return Drawing(axis.low + (first + size / 2) * axis.width, size * axis.width, highest)


def widened(axis: Axis, low: float, high: float) -> tuple[float, float]:
    """Return a range that can be drawn: the lower end first, no narrower than `NARROWEST`, within the axis."""
    low, high = min(low, high), max(low, high)
    width = min(max(high - low, NARROWEST), axis.high - axis.low)
    low = min(max((low + high - width) / 2, axis.low), axis.high - width)
    return low, low + width


@dataclass(frozen=True)
class Layers:
    """A mixture's spectrum, and parts of it that lie within one another, each of shape (L,).

    Attributes
    ----------
    axis : Axis
    mixture : ndarray
    explained : ndarray
        The part that the named compounds account for.
    chosen : ndarray
        The part that one compound's masks let through.
    truth : ndarray or None
        What that compound really brings, where that is known and it is there.
    """

    axis: Axis
    mixture: np.ndarray
    explained: np.ndarray
    chosen: np.ndarray
    truth: np.ndarray | None


def true_areas(mixture: PeakMixture, compound: int) -> np.ndarray | None:
    """Return the area that a compound really brings to every peak, shape (n_peaks,), or None if it is not in the mixture."""
    if compound not in mixture.present:
        return None
    row, peak, area = mixture.parts
    own = mixture.present[mixture.owners[row]] == compound
    return np.bincount(peak[own], area[own], len(mixture.peaks.areas))


def layers(found: Identification, compound: int, mixture: PeakMixture | None = None) -> Layers:
    """Return the spectra of a mixture, of what its named compounds explain, and of one compound in it."""
    peaks: Peaks = found.peaks
    part = found.separated(compound)
    named = found.probabilities[compound] >= found.threshold
    # Shown within what is explained only if it is named.
    explained = np.maximum(found.explained * peaks.areas, part if named else 0.0)
    truth = None if mixture is None else true_areas(mixture, compound)
    whole, *parts = (
        spectrum(peaks.axis, peaks.positions, areas)
        for areas in (peaks.areas, explained, part, truth)
        if areas is not None
    )
    inside = [
        np.minimum(heights, whole) for heights in parts[:2]
    ]  # rounding of the transform aside, they are
    return Layers(peaks.axis, whole, *inside, parts[2] if truth is not None else None)
