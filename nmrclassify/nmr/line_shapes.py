"""The shape of a line in a spectrum: peaks of an area become Lorentzian lines on an axis."""

from functools import lru_cache

import numpy as np

from nmrclassify.nmr.axis import Axis

LINE_WIDTH = 1.85  # Hz, full width at half maximum: the median of real libraries at 600 MHz


@lru_cache(maxsize=4)
def _line(axis: Axis, width: float) -> np.ndarray:
    """Return the Fourier transform of one line of unit area, on an axis of twice the length."""
    # Twice the length, so that a line at one end does not wrap around to the other.
    edges = (np.arange(-axis.n_positions, axis.n_positions + 1) - 0.5) * axis.hz_per_position
    # The area within each position, not the height at its centre: no area is lost on a coarse axis.
    line = np.diff(np.arctan(edges / (width / 2))) / np.pi / axis.hz_per_position
    return np.fft.rfft(np.fft.ifftshift(line))


def spectrum(
    axis: Axis, positions: np.ndarray, areas: np.ndarray, width: float = LINE_WIDTH
) -> np.ndarray:
    """Return the sum of a Lorentzian line at each position, in area per Hz.

    The lines are added by one convolution, so the cost does not depend on their number.

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
        Never below 0. Its area is the sum of `areas`, except for the tails beyond the axis.
    """
    sticks = np.bincount(positions, areas, 2 * axis.n_positions)
    heights = np.fft.irfft(np.fft.rfft(sticks) * _line(axis, width), 2 * axis.n_positions)
    return np.maximum(heights[: axis.n_positions], 0.0)
