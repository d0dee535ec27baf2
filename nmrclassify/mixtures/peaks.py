"""Mixtures at full scale: 50 to 100 of hundreds of compounds, as a list of picked peaks.

A peak is a position and an area. To make a mixture, each multiplet is shifted: by a random shift of
its own, by one that all multiplets of the compound share, and by what the library does not know of
its place (`Compounds.deviations`). Then it is split into its first-order lines. Lines closer than
the resolution become one peak.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from nmrclassify.config import bounded, check
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds, expand_ranges

CUT_WIDTHS = (0.05, 0.4)  # ppm


@dataclass(frozen=True)
class PeakMixtureConfig:
    """Distributions from which a mixture is drawn."""

    n_low: int = bounded(50, 1, 2000, "fewest compounds in a mixture")
    n_high: int = bounded(100, 1, 2000, "most compounds in a mixture")
    jitter: float = bounded(
        0.01, 0.0, 0.05, "standard deviation of the shift of each multiplet, in ppm"
    )
    common: float = bounded(
        0.5, 0.0, 2.0, "shift that a compound's multiplets share, as a multiple of the jitter"
    )
    decades: float = bounded(
        2.0, 0.0, 4.0, "concentrations are log-uniform over this many decades, the highest 1"
    )
    noise: float = bounded(
        3e-4,
        0.0,
        0.1,
        "standard deviation of a peak's area, in protons of a compound of concentration 1",
    )
    gain: float = bounded(
        0.02, 0.0, 0.5, "relative standard deviation of a peak's area, as from integration"
    )
    multiplet_gain: float = bounded(
        0.0,
        0.0,
        1.0,
        "standard deviation of the logarithm of a multiplet's area, as from incomplete relaxation",
    )
    line_error: float = bounded(0.1, 0.0, 5.0, "standard deviation of a line's position, in Hz")
    resolution: float = bounded(
        1.0, 0.05, 20.0, "width of the cells whose lines are one peak, in Hz"
    )
    n_unknown: int = bounded(0, 0, 100, "compounds that the library does not hold")
    n_false: int = bounded(0, 0, 5000, "peaks of no compound, with areas like those of its lines")
    n_cut: int = bounded(0, 0, 50, "regions without peaks, as where a solvent was cut out")

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)
        if self.n_low > self.n_high:
            raise ValueError(
                f"n_low is {self.n_low}, above n_high {self.n_high}; expected the fewest first"
            )


@dataclass(frozen=True)
class Peaks:
    """A measured mixture: the picked peaks of its spectrum.

    Attributes
    ----------
    positions : ndarray, shape (n,), int64
        Positions on the axis, ascending, each once.
    areas : ndarray, shape (n,), float32
        Peak areas, above 0, in any unit.
    """

    axis: Axis
    positions: np.ndarray
    areas: np.ndarray

    def __post_init__(self) -> None:
        """Check positions and areas."""
        if self.positions.shape != self.areas.shape or self.positions.ndim != 1:
            raise ValueError(
                f"positions have shape {self.positions.shape} and areas {self.areas.shape};"
                " expected the same length"
            )
        if not np.isfinite(self.areas).all() or (self.areas <= 0).any():
            raise ValueError("a peak has an area that is not a number above 0; remove it")
        inside = (self.positions >= 0) & (self.positions < self.axis.n_positions)
        if not inside.all() or (np.diff(self.positions) <= 0).any():
            raise ValueError(
                f"peak positions must ascend within 0 to {self.axis.n_positions - 1}; expected each"
                " position once"
            )

    @property
    def ppm(self) -> np.ndarray:
        """Chemical shift of each peak, shape (n,)."""
        return self.axis.low + (self.positions + 0.5) * self.axis.width

    @property
    def floor(self) -> float:
        """The smallest area that was picked; a peak that was not picked may be as large."""
        return float(self.areas.min()) if len(self.areas) else 1.0

    def dense(self) -> np.ndarray:
        """Areas along the whole axis, shape (L,), float32."""
        areas = np.zeros(self.axis.n_positions, dtype=np.float32)
        areas[self.positions] = self.areas
        return areas

    @classmethod
    def from_lines(cls, ppm: np.ndarray, areas: np.ndarray, axis: Axis = FULL_AXIS) -> "Peaks":
        """Bin lines on `axis`.

        Lines at one position are added. Lines beyond the axis or without an area are dropped.
        """
        positions = axis.positions(ppm)
        areas = np.asarray(areas, dtype=np.float32)
        keep = (positions >= 0) & np.isfinite(areas) & (areas > 0)
        unique, inverse = np.unique(positions[keep], return_inverse=True)
        return cls(axis, unique, np.bincount(inverse, areas[keep], len(unique)).astype(np.float32))


def merged_peaks(hz: np.ndarray, areas: np.ndarray, axis: Axis) -> Peaks:
    """Return lines on an axis, in which those within half a Hz are one peak."""
    group = np.r_[0, np.cumsum(np.diff(hz) > 0.5)] if len(hz) else np.zeros(0, dtype=np.int64)
    total = np.bincount(group, areas)
    centre = np.bincount(group, areas * hz) / np.maximum(total, 1e-300)
    return Peaks.from_lines(centre / axis.mhz, total, axis)


@dataclass(frozen=True)
class PeakMixture:
    """A synthetic mixture with its truth.

    Attributes
    ----------
    present : ndarray, shape (n,), int64
        Its compounds, as indices into the library.
    amounts : ndarray, shape (n,)
        Their concentrations.
    multiplets : ndarray, shape (m,), int64
        Their multiplets, as indices into the library's, in the order of `present`.
    owners : ndarray, shape (m,), int64
        Index into `present` of each multiplet's compound.
    shifts : ndarray, shape (m,)
        Distance of each multiplet from its place in the library, in ppm.
    parts : tuple of ndarrays, each of shape (p,)
        The true parts of each peak, sparse: index into `multiplets`, index of the peak, and area
        before noise.
    totals : ndarray, shape (n_peaks,)
        Area of each peak before noise, unknown compounds included.
    """

    peaks: Peaks
    present: np.ndarray
    amounts: np.ndarray
    multiplets: np.ndarray
    owners: np.ndarray
    shifts: np.ndarray
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]
    totals: np.ndarray

    @cached_property
    def shares(self) -> np.ndarray:
        """Share of each multiplet in the area of its peaks, shape (m,); NaN without a peak."""
        row, peak, area = self.parts
        part = np.bincount(row, area, len(self.multiplets))
        # Several lines of a multiplet can be one peak, which counts once.
        pairs = np.unique(np.stack([row, peak]), axis=1)
        total = np.bincount(pairs[0], self.totals[pairs[1]], len(self.multiplets))
        return np.where(total > 0, part / np.maximum(total, 1e-30), np.nan)

    def areas_of(self, compound: int) -> np.ndarray:
        """Return the area that a compound brings to each peak before noise, shape (n_peaks,)."""
        row, peak, area = self.parts
        of_compound = self.present[self.owners[row]] == compound
        return np.bincount(peak[of_compound], area[of_compound], len(self.peaks.areas))


class _Lines(NamedTuple):
    """The lines of some compounds in one mixture."""

    amounts: np.ndarray  # (n,)
    multiplets: np.ndarray  # (m,) of the library
    owners: np.ndarray  # (m,) index into the compounds
    shifts: np.ndarray  # (m,) ppm
    rows: np.ndarray  # (lines,) index into the multiplets
    hz: np.ndarray  # (lines,)
    areas: np.ndarray  # (lines,)


def _lines(
    compounds: Compounds,
    index: np.ndarray,
    config: PeakMixtureConfig,
    axis: Axis,
    rng: np.random.Generator,
) -> _Lines:
    """Draw amounts and shifts of the compounds `index`, and return their lines."""
    amounts = 10.0 ** (-config.decades * rng.random(len(index)))
    first, end = compounds.first_multiplet[index], compounds.first_multiplet[index + 1]
    multiplets, owners = expand_ranges(first, end - first)
    shared = config.common * config.jitter * rng.standard_normal(len(index))
    shifts = shared[owners] + config.jitter * rng.standard_normal(len(multiplets))
    if compounds.deviations.any():
        shifts += compounds.deviations[multiplets] * rng.standard_normal(len(multiplets))
    first, end = compounds.first_line[multiplets], compounds.first_line[multiplets + 1]
    lines, rows = expand_ranges(first, end - first)
    hz = (compounds.ppm[multiplets] + shifts)[rows] * axis.mhz + compounds.offsets[lines]
    hz = hz + config.line_error * rng.standard_normal(len(lines))
    areas = amounts[owners][rows] * compounds.areas[lines]
    if config.multiplet_gain:
        gains = np.exp(config.multiplet_gain * rng.standard_normal(len(multiplets)))
        areas *= gains[rows]
    return _Lines(amounts, multiplets, owners, shifts, rows, hz, areas)


def draw_mixture(
    compounds: Compounds,
    config: PeakMixtureConfig,
    rng: np.random.Generator,
    axis: Axis = FULL_AXIS,
    unknown: Compounds | None = None,
) -> PeakMixture:
    """Draw one mixture of distinct compounds.

    Parameters
    ----------
    compounds : Compounds
        The library.
    unknown : Compounds, optional
        A table from which `config.n_unknown` compounds are drawn that the library does not hold.

    Raises
    ------
    ValueError
        If the library (or `unknown`) holds fewer compounds than the mixture needs.
    """
    count = int(rng.integers(config.n_low, config.n_high + 1))
    if count > compounds.n_compounds:
        raise ValueError(
            f"a mixture of {count} compounds was asked for; the library holds"
            f" {compounds.n_compounds}: lower n_high"
        )
    present = np.sort(rng.choice(compounds.n_compounds, count, replace=False))
    known = _lines(compounds, present, config, axis, rng)
    rows, hz, areas = known.rows, known.hz, known.areas
    if config.n_unknown:
        if unknown is None or unknown.n_compounds < config.n_unknown:
            raise ValueError(
                f"{config.n_unknown} unknown compounds were asked for; give a table `unknown` that"
                " holds as many"
            )
        chosen = rng.choice(unknown.n_compounds, config.n_unknown, replace=False)
        other = _lines(unknown, chosen, config, axis, rng)
        rows = np.r_[rows, np.full(len(other.rows), -1)]
        hz, areas = np.r_[hz, other.hz], np.r_[areas, other.areas]
    if config.n_false:
        low, high = np.quantile(compounds.ppm, (0.0, 1.0)) * axis.mhz
        sizes = np.median(known.areas) * np.exp(rng.standard_normal(config.n_false))
        rows = np.r_[rows, np.full(config.n_false, -1)]
        hz, areas = np.r_[hz, rng.uniform(low, high, config.n_false)], np.r_[areas, sizes]
    # The lines in one cell of the resolution are one peak, at their centre of area.
    cells, cell = np.unique(np.floor(hz / config.resolution), return_inverse=True)
    totals = np.bincount(cell, areas, len(cells))
    centres = np.bincount(cell, areas * hz, len(cells)) / np.maximum(totals, 1e-30)
    positions = axis.positions(centres / axis.mhz)
    gain = 1 + config.gain * rng.standard_normal(len(cells))
    measured = totals * gain + config.noise * rng.standard_normal(len(cells))
    picked = (positions >= 0) & (measured > max(2 * config.noise, 1e-9))
    for _ in range(config.n_cut):
        cut = rng.uniform(*np.quantile(compounds.ppm, (0.0, 1.0)))
        picked &= np.abs(centres / axis.mhz - cut) > rng.uniform(*CUT_WIDTHS) / 2
    # On a coarse axis two cells can have the same position; they are one peak there.
    unique, peak = np.unique(positions[picked], return_inverse=True)
    peak_areas = np.bincount(peak, measured[picked], len(unique)).astype(np.float32)
    peak_of_cell = np.full(len(cells), -1)
    peak_of_cell[picked] = peak
    in_peak = (rows >= 0) & (peak_of_cell[cell] >= 0)
    return PeakMixture(
        Peaks(axis, unique, peak_areas),
        present,
        known.amounts,
        known.multiplets,
        known.owners,
        known.shifts,
        parts=(rows[in_peak], peak_of_cell[cell][in_peak], areas[in_peak]),
        totals=np.bincount(peak, totals[picked], len(unique)),
    )
