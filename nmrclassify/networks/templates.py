"""A library prepared for one axis, and the amount that a mixture allows each multiplet at a place.

Also what both need of a list of peaks: its resolution, its unit, and sums of areas within a reach.

A multiplet has lines at offsets d_i, with areas n_i at concentration 1. When it is moved by a shift
s, the mixture has the area A(ppm + s + d_i) near line i, and the compound can bring no more than
that. So its amount is at most ``E(s) = min_i A(ppm + s + d_i) / n_i``, the bound. Where nothing
overlaps, E(s) is the amount.
"""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds

TOLERANCE = 0.8  # Hz to either side of a line: error of a peak list with a resolution of 1 Hz
TOLERANCE_OF_RESOLUTION = 0.6  # a peak of merged lines lies up to half the resolution from a line
RESOLUTIONS = (2.0, 2.8, 4.0, 5.6)  # Hz; `estimate_resolution` takes lower ones for 1
# ppm to either side of a multiplet: three standard deviations of the widest jitter. A place that is
# known to worse than a third of it may lie beyond.
WINDOW = 0.1
STEP = 0.36  # Hz between the shifts that are tried: under half the tolerance
FEWEST_GAPS = 30
SHARE_OF_CLOSE = 0.12
FLOORS = (1e-5, 0.02)  # range of the smallest peak that training saw, in units of the mixture
_MIDDLE = 0.04  # extra weight of the middle of the tolerance


@dataclass(frozen=True)
class Templates:
    """A library prepared for one axis: the position and the area of each line.

    Attributes
    ----------
    centres : Tensor, shape (lines,), int64
        Position of each line at shift 0.
    expected_areas : Tensor, shape (lines,)
        Area of the multiplet within the tolerance of each of its lines, at concentration 1.
    line_areas : Tensor, shape (lines,)
        Area of each line alone.
    first_line, first_multiplet : Tensor
        As in Compounds.
    protons : Tensor, shape (M,)
    deviations : Tensor, shape (M,)
        As in Compounds, in ppm.
    tolerance : float
        Hz to either side of a line in which a peak can belong to it.
    window : float
        ppm to either side of a multiplet in which it is looked for.
    """

    axis: Axis
    centres: Tensor
    expected_areas: Tensor
    line_areas: Tensor
    first_line: Tensor
    first_multiplet: Tensor
    protons: Tensor
    deviations: Tensor
    tolerance: float = TOLERANCE
    window: float = WINDOW

    @property
    def n_compounds(self) -> int:
        """K, the number of compounds."""
        return len(self.first_multiplet) - 1

    @property
    def reach(self) -> int:
        """Tolerance in positions: a peak at most so far from a line can belong to it."""
        return _reach(self.axis, self.tolerance)

    @property
    def step(self) -> int:
        """Positions between the shifts that are tried."""
        return max(1, round(STEP * self.tolerance / TOLERANCE / self.axis.hz_per_position))

    @cached_property
    def shifts(self) -> Tensor:
        """Shifts that are tried, in ppm, shape (S,)."""
        half = max(1, round(self.window / self.axis.width / self.step))
        steps = torch.arange(-half, half + 1, device=self.centres.device)
        return steps * self.step * self.axis.width

    @cached_property
    def n_lines(self) -> Tensor:
        """Lines of each multiplet, shape (M,)."""
        return self.first_line.diff()

    @cached_property
    def total(self) -> Tensor:
        """Sum of the expected areas of each multiplet, shape (M,)."""
        return segment_sum(self.expected_areas, self.n_lines)

    @cached_property
    def owner(self) -> Tensor:
        """Compound of each multiplet, shape (M,)."""
        return torch.repeat_interleave(
            torch.arange(self.n_compounds, device=self.centres.device), self.first_multiplet.diff()
        )

    @classmethod
    def of(cls, compounds: Compounds, axis: Axis = FULL_AXIS) -> "Templates":
        """Prepare a library for `axis`."""
        offsets, areas = compounds.offsets, compounds.areas
        reach = (_reach(axis, TOLERANCE) + 0.5) * axis.hz_per_position
        # Lines ascend within a multiplet, so this key ascends over all lines, and two searches find
        # the neighbours of each line within its multiplet.
        key = compounds.line_multiplet * 1e5 + offsets
        sums = np.concatenate([[0.0], np.cumsum(areas)])
        high, low = np.searchsorted(key, key + reach, "right"), np.searchsorted(key, key - reach)
        centres = np.floor((compounds.line_ppm(axis.mhz) - axis.low) / axis.width)
        return cls(
            axis,
            centres=torch.as_tensor(np.clip(centres, 0, axis.n_positions - 1)).long(),
            expected_areas=torch.as_tensor(sums[high] - sums[low]).float(),
            line_areas=torch.as_tensor(areas).float(),
            first_line=torch.tensor(compounds.first_line),
            first_multiplet=torch.tensor(compounds.first_multiplet),
            protons=torch.tensor(compounds.protons, dtype=torch.float32),
            deviations=torch.tensor(compounds.deviations, dtype=torch.float32),
        )

    def spreads(self, spread: float | Tensor) -> Tensor:
        """Return the standard deviation of each multiplet's shift in ppm, shape (M,)."""
        return (self.deviations**2 + spread**2).sqrt()

    def moved(self, offset: float) -> "Templates":
        """Return a copy whose lines lie `offset` ppm higher."""
        centres = self.centres + round(offset / self.axis.width)
        return replace(self, centres=centres.clamp(0, self.axis.n_positions - 1))

    def to(self, device: torch.device | str) -> "Templates":
        """Return a copy on a device."""
        values = ((item.name, getattr(self, item.name)) for item in fields(self))
        moved: dict[str, Any] = {k: v.to(device) for k, v in values if isinstance(v, Tensor)}
        return replace(self, **moved)

    def with_tolerance(self, tolerance: float) -> "Templates":
        """Return a copy for peaks whose positions are known to `tolerance`, in Hz."""
        if tolerance == self.tolerance:
            return self
        reach = _reach(self.axis, tolerance)
        multiplet = torch.repeat_interleave(self.n_lines)
        # Lines ascend within a multiplet: see `of`.
        key = multiplet * (4 * self.axis.n_positions) + self.centres
        sums = torch.cat(
            [self.line_areas.new_zeros(1).double(), self.line_areas.double().cumsum(0)]
        )
        high = torch.searchsorted(key, key + reach, right=True)
        low = torch.searchsorted(key, key - reach)
        return replace(self, expected_areas=(sums[high] - sums[low]).float(), tolerance=tolerance)


def _reach(axis: Axis, tolerance: float) -> int:
    return max(1, round(tolerance / axis.hz_per_position - 0.5))


def segment_sum(values: Tensor, lengths: Tensor) -> Tensor:
    """Sum runs of `lengths` rows of `values`, shape (len(lengths), ...)."""
    return torch.segment_reduce(values, "sum", lengths=lengths, axis=0)


def within(dense: Tensor, reach: int) -> Tensor:
    """Return for each position the sum over `reach` positions to either side, shape (L,)."""
    sums = dense.double().cumsum(0)
    sums = torch.cat([sums.new_zeros(reach + 1), sums, sums[-1:].expand(reach)])
    return (sums[2 * reach + 1 :] - sums[: -2 * reach - 1]).clamp(min=0).float()


def tolerant(dense: Tensor, reach: int) -> Tensor:
    """Return the sum within `reach`, with slightly more weight on the middle half, shape (L,).

    The weight makes the centre of a peak the best place for a line.
    """
    return (within(dense, reach) + _MIDDLE * within(dense, reach // 2)) / (1 + _MIDDLE)


def check_peaks(templates: Templates, peaks: Peaks) -> None:
    """Raise ValueError if the mixture has no peak, or lies on another axis than the library."""
    if peaks.axis != templates.axis:
        raise ValueError(
            f"the mixture lies on {peaks.axis} and the library on {templates.axis}; bring both to"
            " one axis"
        )
    if not len(peaks.areas):
        raise ValueError("the mixture has no peak on the axis; expected at least one")


def unit_and_floor(peaks: Peaks) -> tuple[float, float]:
    """Return a high area of the peaks, and half the smallest one in that unit."""
    # Not the highest peak, which may be a solvent.
    unit = float(np.quantile(peaks.areas, 0.98))
    # Within the range of training: the smallest of very few peaks, or an artefact, is no measure.
    return unit, min(max(peaks.floor / unit / 2, FLOORS[0]), FLOORS[1])


def estimate_resolution(peaks: Peaks) -> float:
    """Estimate the resolution of a list of peaks in Hz, 1 at least, from the gaps between them.

    Where lines in one cell of r Hz are one peak, the gaps between peaks of neighbouring cells have
    a triangular distribution from 0 to 2 r: few of those below 1.5 r are below r / 2. In a list of
    higher resolution there are more. Too few narrow gaps count as 1 Hz.
    """
    gaps = np.sort(np.diff(peaks.positions) * peaks.axis.hz_per_position)
    highest = 1.0
    for resolution in RESOLUTIONS:
        close, near = np.searchsorted(gaps, (resolution / 2, 1.5 * resolution))
        if near >= FEWEST_GAPS and close <= SHARE_OF_CLOSE * near:
            highest = resolution
    return highest


def tolerance_of(peaks: Peaks) -> float:
    """Return the distance in Hz within which a peak of the list can belong to a line."""
    return max(TOLERANCE, TOLERANCE_OF_RESOLUTION * estimate_resolution(peaks))


def shifted_areas(templates: Templates, areas: Tensor) -> Tensor:
    """Return a view of `areas` in which [p % step, p // step] are the areas at p + each shift.

    The shape is (step, n, S). The areas of all shifts are contiguous, so `log_bounds` reads fast.
    """
    step, half = templates.step, (len(templates.shifts) - 1) // 2 * templates.step
    padded = functional.pad(areas, (half, half + step))
    padded = padded[: len(padded) // step * step]
    return padded.view(-1, step).T.contiguous().unfold(1, len(templates.shifts), 1)


def log_bounds(
    templates: Templates, shifted: Tensor, floor: float, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the bound and the fit of some multiplets at every shift, as natural logarithms.

    The fit is the share of the area near the lines that the bound explains: 1 where each line has
    the area that its multiplet asks for.

    Parameters
    ----------
    shifted : Tensor, shape (step, n, S)
        Of `shifted_areas`.
    floor : float
        Area that a peak which was not picked can have.
    rows : Tensor, shape (m,), int64
        The multiplets.

    Returns
    -------
    bounds, fits : Tensors, shape (m, S)
    """
    shape = (len(rows), shifted.shape[2])
    bound, total = shifted.new_empty(shape), shifted.new_empty(shape)
    counts = templates.n_lines[rows]
    # Multiplets with the same number of lines form one dense array: faster than segments.
    for count in counts.unique().tolist():
        chosen = (counts == count).nonzero()[:, 0]
        lines = templates.first_line[rows[chosen], None] + torch.arange(count, device=rows.device)
        centres = templates.centres[lines]
        there = shifted[centres % templates.step, centres // templates.step]  # (m, count, S)
        total[chosen] = there.sum(1)
        # A peak that was too small to be picked can have an area up to the floor.
        there = there.add_(floor).mul_((1 / templates.expected_areas[lines])[:, :, None])
        bound[chosen] = there.amin(1)
    fit = (bound * templates.total[rows, None] / total.add_(floor)).clamp_(1e-2, 1.0)
    return bound.log_(), fit.log_()
