"""Mixtures at full scale: 50 to 100 of hundreds of compounds, as the peaks that one would pick from their spectrum.

A mixture stays a sparse list of peaks (position, area). Each multiplet is moved by a shift of its
own and by one that its whole compound shares, split into its first-order lines, and lines in one
cell of the resolution are one peak.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmrclassify.config import bounded, check
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds


@dataclass(frozen=True)
class PeakMixtureConfig:
    """What a mixture at full scale is drawn with."""

    n_low: int = bounded(50, 1, 2000, "fewest compounds in a mixture")
    n_high: int = bounded(100, 1, 2000, "most compounds in a mixture")
    jitter: float = bounded(
        0.01, 0.0, 0.05, "standard deviation of each multiplet's own shift, in ppm"
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
    line_error: float = bounded(0.1, 0.0, 5.0, "standard deviation of a line's position, in Hz")
    resolution: float = bounded(
        1.0, 0.05, 20.0, "width of the cells whose lines are one peak, in Hz"
    )
    n_unknown: int = bounded(0, 0, 100, "compounds that the library does not hold")

    def __post_init__(self):
        check(self)
        if self.n_low > self.n_high:
            raise ValueError(
                f"n_low is {self.n_low}, above n_high {self.n_high}; expected the fewest first"
            )


@dataclass(frozen=True)
class Peaks:
    """A mixture as it is measured: the picked peaks of its spectrum.

    Attributes
    ----------
    axis : Axis
    positions : ndarray, shape (n,), int64
        Positions on the axis, ascending, each once.
    areas : ndarray, shape (n,), float32
        Peak areas, above 0, in any unit.
    """

    axis: Axis
    positions: np.ndarray
    areas: np.ndarray

    def __post_init__(self):
        if self.positions.shape != self.areas.shape or self.positions.ndim != 1:
            raise ValueError(
                f"peaks hold {self.positions.shape} positions and {self.areas.shape} areas;"
                " expected one of each a peak"
            )
        if not np.isfinite(self.areas).all() or (self.areas <= 0).any():
            raise ValueError("a peak has an area that is not a number above 0; leave it out")
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
        """The smallest area that was picked: what a missing peak may have had at most."""
        return float(self.areas.min()) if len(self.areas) else 1.0

    def dense(self) -> np.ndarray:
        """Areas along the whole axis, shape (L,), float32."""
        areas = np.zeros(self.axis.n_positions, dtype=np.float32)
        areas[self.positions] = self.areas
        return areas

    @classmethod
    def from_lines(cls, ppm: np.ndarray, areas: np.ndarray, axis: Axis = FULL_AXIS) -> "Peaks":
        """Bin lines (ppm, area) on `axis`; lines of one position are added, lines outside or without area are left out."""
        positions = axis.positions(ppm)
        areas = np.asarray(areas, dtype=np.float32)
        keep = (positions >= 0) & np.isfinite(areas) & (areas > 0)
        unique, inverse = np.unique(positions[keep], return_inverse=True)
        return cls(axis, unique, np.bincount(inverse, areas[keep], len(unique)).astype(np.float32))


@dataclass(frozen=True)
class PeakMixture:
    """A synthetic mixture with the truth about it.

    Attributes
    ----------
    peaks : Peaks
    present : ndarray, shape (n,), int64
        The compounds in it, as indices into the library.
    amounts : ndarray, shape (n,)
        Their concentrations.
    multiplets : ndarray, shape (m,), int64
        The library's multiplets that they bring, in the order of `present`.
    owners : ndarray, shape (m,), int64
        Index into `present` of each multiplet's compound.
    shifts : ndarray, shape (m,)
        How far each multiplet lies from its place in the library, in ppm.
    parts : tuple of ndarrays, each of shape (p,)
        Sparse truth of the masks: (multiplet as an index into `multiplets`, peak, area that it
        brings there before noise).
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
        """Share of the area at each multiplet's peaks that is its own, shape (m,); NaN where no peak of it was picked."""
        row, peak, area = self.parts
        own = np.bincount(row, area, len(self.multiplets))
        # A peak counts once for a multiplet, however many of its lines fell into it.
        pairs = np.unique(np.stack([row, peak]), axis=1)
        total = np.bincount(pairs[0], self.totals[pairs[1]], len(self.multiplets))
        return np.where(total > 0, own / np.maximum(total, 1e-30), np.nan)

    def areas_of(self, compound: int) -> np.ndarray:
        """Return the area that a compound brings to each peak before noise, shape (n_peaks,)."""
        row, peak, area = self.parts
        of_compound = self.present[self.owners[row]] == compound
        return np.bincount(peak[of_compound], area[of_compound], len(self.peaks.areas))


def _spread(first: np.ndarray, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all rows first[i] to first[i + 1] for every i of `index`, and which of `index` each belongs to."""
    lengths = first[index + 1] - first[index]
    owner = np.repeat(np.arange(len(index)), lengths)
    starts = np.cumsum(lengths) - lengths
    return np.repeat(first[index] - starts, lengths) + np.arange(lengths.sum()), owner


def _lines(
    compounds: Compounds,
    index: np.ndarray,
    config: PeakMixtureConfig,
    axis: Axis,
    rng: np.random.Generator,
):
    amounts = 10.0 ** (-config.decades * rng.random(len(index)))
    multiplets, owners = _spread(compounds.first_multiplet, index)
    shared = config.common * config.jitter * rng.standard_normal(len(index))
    shifts = shared[owners] + config.jitter * rng.standard_normal(len(multiplets))
    lines, rows = _spread(compounds.first_line, multiplets)
    hz = (compounds.ppm[multiplets] + shifts)[rows] * axis.mhz + compounds.offsets[lines]
    hz = hz + config.line_error * rng.standard_normal(len(lines))
    return (
        amounts,
        multiplets,
        owners,
        shifts,
        rows,
        hz,
        amounts[owners][rows] * compounds.areas[lines],
    )


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
    unknown : Compounds, optional
        Where `config.n_unknown` compounds are drawn from that the library does not hold.

    Raises
    ------
    ValueError
        If the library (or `unknown`) holds fewer compounds than the mixture asks for.
    """
    count = int(rng.integers(config.n_low, config.n_high + 1))
    if count > compounds.n_compounds:
        raise ValueError(
            f"a mixture of {count} compounds was asked for; the library holds"
            f" {compounds.n_compounds}: lower n_high"
        )
    present = np.sort(rng.choice(compounds.n_compounds, count, replace=False))
    amounts, multiplets, owners, shifts, rows, hz, areas = _lines(
        compounds, present, config, axis, rng
    )
    if config.n_unknown:
        if unknown is None or unknown.n_compounds < config.n_unknown:
            raise ValueError(
                f"{config.n_unknown} unknown compounds were asked for; give a table `unknown` that"
                " holds as many"
            )
        other = _lines(
            unknown,
            rng.choice(unknown.n_compounds, config.n_unknown, replace=False),
            config,
            axis,
            rng,
        )
        rows, hz, areas = (
            np.r_[rows, np.full(len(other[4]), -1)],
            np.r_[hz, other[5]],
            np.r_[areas, other[6]],
        )
    # Lines of one resolution cell are one peak at their centre of area.
    cells, peak = np.unique(np.floor(hz / config.resolution), return_inverse=True)
    totals = np.bincount(peak, areas, len(cells))
    positions = axis.positions(
        np.bincount(peak, areas * hz, len(cells)) / np.maximum(totals, 1e-30) / axis.mhz
    )
    seen = totals * (
        1 + config.gain * rng.standard_normal(len(cells))
    ) + config.noise * rng.standard_normal(len(cells))
    picked = (positions >= 0) & (seen > max(2 * config.noise, 1e-9))
    # Two cells can share a position on a coarse axis; they are one peak there.
    unique, place = np.unique(positions[picked], return_inverse=True)
    index = np.full(len(cells), -1)
    index[picked] = place
    peaks = Peaks(axis, unique, np.bincount(place, seen[picked], len(unique)).astype(np.float32))
    own = (rows >= 0) & (index[peak] >= 0)
    return PeakMixture(
        peaks, present, amounts, multiplets, owners, shifts, (rows[own], index[peak][own], areas[own]),
        np.bincount(place, totals[picked], len(unique)),
    )  # fmt: skip
