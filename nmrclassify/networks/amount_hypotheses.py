"""Which amounts of each compound a mixture allows: a Hough transform, before any learning.

For each compound of the library:

1. Bound. A multiplet has lines at offsets d_i, with areas n_i at concentration 1. When it is moved
   by a shift s, the mixture has the area A(ppm + s + d_i) near line i, and the compound can bring
   no more than that. So its amount is at most ``E(s) = min_i A(ppm + s + d_i) / n_i``. Where
   nothing overlaps, E(s) is the amount.
2. Votes. A compound's amount is the same for all its multiplets. Each multiplet therefore votes for
   amounts, on a logarithmic scale, by its bounds at all shifts within a window. Small shifts and
   exact fits of many lines have a higher weight.
3. Hypotheses. The votes of all multiplets are added. The highest maxima are the compound's
   hypotheses "it is here with this amount". `peak_network` estimates which are true.
4. Places. The best shifts of each multiplet are passed to the network.

The work is linear in the number of lines. Maps over shifts exist only for a chunk of compounds.
Amounts and areas are relative to the mixture's unit.

References
----------
.. [1] R. O. Duda and P. E. Hart, "Use of the Hough transformation to detect lines and curves in
   pictures", Communications of the ACM 15(1), 1972.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cache, cached_property
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
N_HYPOTHESES = 8  # of each compound
N_PLACES = 24  # of each multiplet
CHUNK = 4096  # lines that are processed together
USUAL_SPREAD = 0.01  # ppm, between two libraries
FEWEST_GAPS = 30
SHARE_OF_CLOSE = 0.12
FLOORS = (1e-5, 0.02)  # range of the smallest peak that training saw, in units of the mixture
MAX_SPREAD_MULTIPLETS = 2000  # enough to estimate the spread of the shifts
# Lines of the multiplets whose exact fits give the spread of the shifts, and their common offset.
SPREAD_LINES, OFFSET_LINES = (3, 6), (2, 8)
WELL_KNOWN = 0.01  # ppm: deviations of the places whose scatter is estimated
OFFSETS = torch.arange(-30, 31) / 1000  # ppm
SMALL_OFFSET = 0.0065  # ppm
# Log likelihood that an offset must gain, a small one and a large one. Without an offset, the
# largest gain of 108 mixtures was 6.3 (5 to 100 compounds, jitter of .003 to .02 ppm).
OFFSET_COST = (1.0, 6.0)
SPREADS = (0.0025, 0.0035, 0.005, 0.007, 0.01, 0.014, 0.02, 0.028, 0.04)  # ppm
CLOSE = 0.08  # natural logarithm: how exactly a bound fits the amount where nothing overlaps

_BIN = 0.06
LOG_AMOUNT = torch.arange(-9.5, 4.0, _BIN)  # natural logarithms of the amounts that get votes
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


@dataclass
class AmountHypotheses:
    """Possible amounts of each compound, and possible places of each multiplet, in one mixture.

    Attributes
    ----------
    areas, narrow_areas : Tensors, shape (L,)
        Area within the tolerance of each position, and within a third of it.
    unit : float
        A high peak of the mixture. All areas and amounts here are relative to it.
    floor : float
        Half the area of the smallest picked peak.
    spread : float
        Standard deviation of the shifts, in ppm, where places are known.
    occupied : Tensor, scalar
        Share of the places where the library's lines are sought that have a peak.
    log_amounts, votes : Tensors, shape (K, H)
        Hypotheses of each compound, the most votes first, and their votes.
    likelihoods : Tensor, shape (M, H, 2)
        Log likelihood of each hypothesis at each multiplet: with small shifts preferred, and with
        all shifts of the window equally likely.
    places : Tensor, shape (M, N), int64
        The best shifts of each multiplet, as indices into `templates.shifts`.
    bounds, fits, scores : Tensors, shape (M, N)
        At each place: log of the bound; log of the share of the area there that the bound explains;
        log weight.
    """

    templates: Templates
    areas: Tensor
    narrow_areas: Tensor
    unit: float
    floor: float
    spread: float
    occupied: Tensor
    log_amounts: Tensor
    votes: Tensor
    likelihoods: Tensor
    places: Tensor
    bounds: Tensor
    fits: Tensor
    scores: Tensor


def find_hypotheses(
    templates: Templates, peaks: Peaks, spread: float | None = None, offset: float = 0.0
) -> AmountHypotheses:
    """Find the possible amounts of every compound of a library in a mixture.

    Parameters
    ----------
    spread : float, optional
        Standard deviation of the shifts in ppm, where it is known; estimated from the mixture
        otherwise.
    offset : float
        ppm by which all peaks lie higher than in the library. Shifts are relative to it.

    Returns
    -------
    AmountHypotheses
        Its templates have the tolerance that the resolution of the peaks demands.

    Raises
    ------
    ValueError
        If the mixture has no peak, or lies on another axis than the library, or `spread` is not a
        number between 0 and 1.
    """
    _check_peaks(templates, peaks)
    if spread is not None and not 0 < spread < 1:
        raise ValueError(
            f"spread is {spread!r}; expected the standard deviation of the shifts in ppm, above 0"
            " and below 1, or None"
        )
    templates = templates.with_tolerance(tolerance_of(peaks))
    if offset:
        templates = templates.moved(offset)
    unit, floor = _unit_and_floor(peaks)
    dense = torch.from_numpy(peaks.dense() / unit)
    areas = tolerant(dense, templates.reach)
    spread = estimate_spread(templates, areas, floor) if spread is None else spread
    phases = _phases(templates, areas)
    chunks = [_chunk(templates, phases, floor, spread, *ends) for ends in _chunks(templates)]
    columns = [torch.cat(column) for column in zip(*chunks, strict=True)]
    narrow_areas = within(dense, templates.reach // 3)
    occupied = _occupied(templates, areas)
    return AmountHypotheses(templates, areas, narrow_areas, unit, floor, spread, occupied, *columns)


def _occupied(templates: Templates, areas: Tensor) -> Tensor:
    # Without the window, a library of one exact singlet would lie in an axis full of peaks.
    window = round(templates.window / templates.axis.width)
    low, high = templates.centres.aminmax()
    inside = areas[max(0, int(low) - window) : int(high) + window + 1]
    return (inside > 0).float().mean().clamp(min=1e-3)


def _check_peaks(templates: Templates, peaks: Peaks) -> None:
    if peaks.axis != templates.axis:
        raise ValueError(
            f"the mixture lies on {peaks.axis} and the library on {templates.axis}; bring both to"
            " one axis"
        )
    if not len(peaks.areas):
        raise ValueError("the mixture has no peak on the axis; expected at least one")


def _unit_and_floor(peaks: Peaks) -> tuple[float, float]:
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


def _chunks(templates: Templates) -> Iterator[tuple[int, int]]:
    """Yield ranges of compounds (low, high) that are processed together."""
    lines = templates.first_line[templates.first_multiplet]
    low = 0
    while low < templates.n_compounds:
        high = int(torch.searchsorted(lines, lines[low] + CHUNK, right=True)) - 1
        high = min(max(high, low + 1), templates.n_compounds)
        yield low, high
        low = high


def _chunk(
    templates: Templates, phases: Tensor, floor: float, spread: float, low: int, high: int
) -> tuple[Tensor, ...]:
    """Return log_amounts, votes, likelihoods, places, bounds, fits and scores of some compounds."""
    grid, shifts = LOG_AMOUNT, templates.shifts
    m0, m1 = int(templates.first_multiplet[low]), int(templates.first_multiplet[high])
    bound, fit = _bounds(templates, phases, floor, torch.arange(m0, m1))  # (m, S)
    # Weight of each shift: small shifts are likelier, and an exact fit of many lines is rarer by
    # chance than one of few. A singlet always fits.
    spreads = 1.15 * templates.spreads(spread)[m0:m1, None]
    prior = torch.logaddexp(-0.5 * (shifts / spreads) ** 2, torch.tensor(-7.0)).log_softmax(1)
    weight = 0.5 * (templates.n_lines[m0:m1, None] - 1).clamp(max=4) * fit
    score = weight + prior
    # Votes: the weights, summed in bins of the bound, times the likelihood of each bound.
    bins = ((bound - (grid[0] - _BIN / 2)) / _BIN).clamp_(0, len(grid) - 1).long()

    def log_likelihood(mass: Tensor) -> Tensor:  # (m, amounts)
        return (torch.zeros(len(bins), len(grid)).scatter_add_(1, bins, mass) @ _kernel()).log_()

    near = log_likelihood(score.exp())
    anywhere = log_likelihood(weight.exp() / len(shifts))
    owner = templates.owner[m0:m1] - low
    votes = torch.zeros(high - low, len(grid)).index_add_(0, owner, near - 0.4 * anywhere)
    # Hypotheses: the highest local maxima of the votes.
    highest = functional.max_pool1d(votes[:, None], 9, 1, 4)[:, 0] == votes
    best = torch.where(highest, votes, torch.tensor(-1e9)).topk(N_HYPOTHESES, 1)
    columns = best.indices[owner]
    likelihoods = torch.stack([near.gather(1, columns), anywhere.gather(1, columns)], 2)
    # Places: only local maxima of the bound, because neighbouring shifts count the same peaks.
    wide = functional.pad(bound, (2, 2), value=-99.0)
    before = torch.maximum(wide[:, :-4], wide[:, 1:-3])
    after = torch.maximum(wide[:, 3:-1], wide[:, 4:])
    score.masked_fill_((bound <= before) | (bound < after), -1e4)
    top = score.topk(min(N_PLACES, len(shifts)), 1)
    bounds, fits = bound.gather(1, top.indices), fit.gather(1, top.indices)
    return grid[best.indices], best.values, likelihoods, top.indices, bounds, fits, top.values


def _phases(templates: Templates, areas: Tensor) -> Tensor:
    """Return a view of `areas` in which [p % step, p // step] are the areas at p + each shift.

    The shape is (step, n, S); the areas of all shifts are contiguous, which makes `_bounds` fast.
    """
    step, half = templates.step, (len(templates.shifts) - 1) // 2 * templates.step
    padded = functional.pad(areas, (half, half + step))
    padded = padded[: len(padded) // step * step]
    return padded.view(-1, step).T.contiguous().unfold(1, len(templates.shifts), 1)


def _bounds(
    templates: Templates, phases: Tensor, floor: float, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Return log bounds and log fits of the multiplets `rows` at every shift, both (rows, S)."""
    shape = (len(rows), phases.shape[2])
    bound, total = phases.new_empty(shape), phases.new_empty(shape)
    counts = templates.n_lines[rows]
    # Multiplets with the same number of lines form one dense array: faster than segments.
    for count in counts.unique().tolist():
        chosen = (counts == count).nonzero()[:, 0]
        lines = templates.first_line[rows[chosen], None] + torch.arange(count, device=rows.device)
        centres = templates.centres[lines]
        there = phases[centres % templates.step, centres // templates.step]  # (m, count, S)
        total[chosen] = there.sum(1)
        # A peak that was too small to be picked can have an area up to the floor.
        there = there.add_(floor).mul_((1 / templates.expected_areas[lines])[:, :, None])
        bound[chosen] = there.amin(1)
    fit = (bound * templates.total[rows, None] / total.add_(floor)).clamp_(1e-2, 1.0)
    return bound.log_(), fit.log_()


def likelihood(over: Tensor, width: float = CLOSE) -> Tensor:
    """Return the likelihood of a bound whose logarithm exceeds that of the amount by `over`.

    A normal distribution around 0 (nothing overlaps), an exponential one above 0 (other compounds
    overlap), and a constant (the bound has another cause).
    """
    normal = 3.0 * CLOSE / width * torch.exp(-0.5 * (over / width) ** 2)
    return normal + 0.1 * (over > 0) * torch.exp(-over) + 1e-4


@cache
def _kernel() -> Tensor:
    """Return the likelihood of every bound of the grid for every amount of the grid."""
    # The bound lies anywhere within its bin, which widens the normal distribution.
    width = (CLOSE**2 + _BIN**2 / 12) ** 0.5
    return likelihood(LOG_AMOUNT[:, None] - LOG_AMOUNT[None], width)


def estimate_offset(templates: Templates, peaks: Peaks) -> float:
    """Return by how many ppm all peaks lie higher than in the library, below .03; else 0.

    True fits of multiplets occur around one shift, those by chance equally at all, see
    `shift_likelihoods`. A large offset must be clear; a small one is the likeliest. It is sought
    only where it is more than the shifts of the multiplets scatter.

    Raises
    ------
    ValueError
        If the mixture has no peak, or lies on another axis than the library.
    """
    _check_peaks(templates, peaks)
    templates = templates.with_tolerance(tolerance_of(peaks))
    unit, floor = _unit_and_floor(peaks)
    areas = tolerant(torch.from_numpy(peaks.dense() / unit), templates.reach)
    histogram = _exact_fits(templates, areas, floor, OFFSET_LINES)
    gains = shift_likelihoods(histogram, templates.shifts, OFFSETS)  # (SPREADS, offsets)
    # An offset below the spread matters little, and would often be one by chance.
    matters = torch.tensor(SPREADS)[:, None] <= OFFSETS.abs()
    gains = torch.where(matters | (OFFSETS == 0), gains, -torch.inf).amax(0)
    is_small = OFFSETS.abs() <= SMALL_OFFSET
    cost = torch.where(is_small, OFFSET_COST[0], OFFSET_COST[1]) * (OFFSETS != 0)
    best = int((gains - cost).argmax())
    # At an end of the range the highest likelihood may be beyond it.
    return float(OFFSETS[best]) if 0 < best < len(OFFSETS) - 1 else 0.0


def estimate_spread(templates: Templates, areas: Tensor, floor: float) -> float:
    """Estimate the standard deviation of the shifts, in ppm, from the shifts of exact fits.

    Fits by chance occur equally at all shifts, true ones around 0; see `shift_likelihoods`.
    """
    histogram = _exact_fits(templates, areas, floor, SPREAD_LINES)
    # The histogram is empty for a library of singlets, for example.
    return spread_of(histogram, templates.shifts) if histogram.any() else USUAL_SPREAD


def _exact_fits(
    templates: Templates, areas: Tensor, floor: float, n_lines: tuple[int, int]
) -> Tensor:
    """Return how often multiplets of a number of lines fit exactly at each shift, shape (S,)."""
    histogram = torch.zeros(len(templates.shifts))
    phases = _phases(templates, areas)
    # Fewer lines fit everywhere by chance, more are rarely free of overlap.
    rows = (templates.n_lines >= n_lines[0]) & (templates.n_lines <= n_lines[1])
    # The scatter is what all places share: where they are known.
    rows = (rows & (templates.deviations <= WELL_KNOWN)).nonzero()[:, 0]
    for part in rows[:: max(1, len(rows) // MAX_SPREAD_MULTIPLETS)].split(CHUNK // 4):
        bound, fit = _bounds(templates, phases, floor, part)
        strong = bound > (8 * floor / templates.total[part, None]).log()
        histogram += ((fit.exp() - 0.6).clamp(min=0) * strong).sum(0)
    return histogram


def spread_of(histogram: Tensor, shifts: Tensor) -> float:
    """Return the standard deviation of `SPREADS` that fits a histogram of shifts around 0 best."""
    return SPREADS[int(shift_likelihoods(histogram, shifts, torch.zeros(1))[:, 0].argmax())]


def shift_likelihoods(histogram: Tensor, shifts: Tensor, offsets: Tensor) -> Tensor:
    """Return the log likelihood of each standard deviation and offset, shape (SPREADS, offsets).

    The model of the histogram is a normal distribution around the offset and a uniform background.
    Their proportion is fitted by expectation maximisation.
    """
    widths = torch.tensor(SPREADS)[:, None, None]
    normal = torch.exp(-0.5 * ((shifts - offsets[:, None]) / widths) ** 2)
    normal = normal / normal.sum(2, keepdim=True)  # (SPREADS, offsets, S)
    uniform = 1.0 / len(shifts)
    part = torch.full_like(normal[:, :, :1], 0.1)
    total = histogram.sum().clamp(min=1e-9)
    for _ in range(40):
        both = part * normal + (1 - part) * uniform
        part = (histogram * part * normal / both).sum(2, keepdim=True) / total
        # With no true fits at all, each standard deviation would fit equally well.
        part = part.clamp(min=0.02)
    return (histogram * (part * normal + (1 - part) * uniform).log()).sum(2)
