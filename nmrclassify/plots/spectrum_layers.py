"""The curves in a figure of a spectrum: the whole mixture, and the parts of it that are coloured.

A curve has a height for each of the axis' 65,536 positions, which is more than a browser draws
quickly. `sample_range` keeps the highest of neighbouring positions: no peak disappears at any zoom,
and a part that lies below the mixture at each position also lies below it in each figure.
"""

from dataclasses import dataclass

import numpy as np

from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures.peaks import PeakMixture
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.line_shapes import spectrum

MAX_POINTS = 5_000  # of one trace in a browser
NARROWEST = 0.02  # ppm; a narrower range has fewer positions than the figure has pixels


@dataclass(frozen=True)
class SampledCurve:
    """Heights at evenly spaced places: `start`, `start + step`, ... in ppm."""

    start: float
    step: float
    heights: np.ndarray

    @property
    def ppm(self) -> np.ndarray:
        """Chemical shift of each height."""
        return self.start + self.step * np.arange(len(self.heights))


def sample_range(
    axis: Axis, heights: np.ndarray, low: float, high: float, n: int = MAX_POINTS
) -> SampledCurve:
    """Return a curve between `low` and `high` ppm as at most `n` points.

    Each point stands for a few neighbouring positions and has the height of the highest.

    Raises
    ------
    ValueError
        If `n` is not 1 to `MAX_POINTS`, or no position of the axis lies in the range.
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
    size = -(-(last - first) // n)  # positions for each point, rounded up
    highest = np.maximum.reduceat(heights[first:last], np.arange(0, last - first, size))
    return SampledCurve(axis.low + (first + size / 2) * axis.width, size * axis.width, highest)


def drawable_range(axis: Axis, low: float, high: float) -> tuple[float, float]:
    """Return a range near this one that lies within the axis and is not below `NARROWEST` wide."""
    low, high = min(low, high), max(low, high)
    width = min(max(high - low, NARROWEST), axis.high - axis.low)
    low = min(max((low + high - width) / 2, axis.low), axis.high - width)
    return low, low + width


@dataclass(frozen=True)
class SpectrumLayers:
    """The spectrum of a mixture and parts of it, each of shape (L,).

    Attributes
    ----------
    explained : ndarray
        The part that the masks give to the named compounds; nowhere above `mixture`.
    chosen : ndarray
        The part that the masks give to one chosen compound; nowhere above `mixture`.
    truth : ndarray or None
        The true spectrum of the chosen compound. None if it is not in the mixture, or if the truth
        is not known.
    """

    axis: Axis
    mixture: np.ndarray
    explained: np.ndarray
    chosen: np.ndarray
    truth: np.ndarray | None


def spectrum_layers(
    prediction: Identification, compound: int, mixture: PeakMixture | None = None
) -> SpectrumLayers:
    """Return the spectra of a mixture, of its named compounds and of one compound.

    Parameters
    ----------
    compound : int
        The chosen compound, as an index into the library.
    mixture : PeakMixture, optional
        The truth, where it is known.
    """
    peaks = prediction.peaks

    def curve(areas: np.ndarray) -> np.ndarray:
        return spectrum(peaks.axis, peaks.positions, areas)

    chosen = prediction.separated(compound)
    explained = prediction.explained * peaks.areas
    # The maximum and the minima only remove rounding errors.
    if prediction.probabilities[compound] >= prediction.threshold:
        explained = np.maximum(explained, chosen)
    whole, truth = curve(peaks.areas), None
    if mixture is not None and compound in mixture.present:
        truth = curve(mixture.areas_of(compound))
    return SpectrumLayers(
        peaks.axis,
        whole,
        np.minimum(curve(explained), whole),
        np.minimum(curve(chosen), whole),
        truth,
    )
