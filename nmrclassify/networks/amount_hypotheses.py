"""What a mixture says for each compound before any learning: how much of each multiplet could be there, and where.

For a multiplet whose lines have areas n_i at offsets d_i, and a shift s, the most that can be there
is ``E(s) = min_i A(ppm + s + d_i) / n_i``, with A the mixture's area within a tolerance: an upper
bound on the amount that is close where nothing overlaps. A compound's amount is one number for all
its multiplets, so each multiplet votes for amounts (on a logarithmic scale) with what it finds near
its place, and the votes are added up: a Hough transform over amounts. The best few amounts of each
compound are its hypotheses, which the network judges. Everything is linear in the number of lines,
and the maps over shifts are held for a chunk of compounds only.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds

TOLERANCE = 0.8  # Hz to either side of a line: the picking error and the resolution of a peak list
WINDOW = (
    0.1  # ppm to either side of a multiplet's place: three standard deviations of the widest jitter
)
STEP = 0.36  # Hz between the shifts that are tried: under half the tolerance
N_HYPOTHESES = 8
N_PLACES = 24
CHUNK = 4096  # lines that are looked at together
USUAL_SPREAD = 0.01  # ppm
FLOORS = (1e-5, 0.02)  # of the unit
MAX_TELLING = 2000  # multiplets that the spread of the shifts is estimated from

_BIN = 0.06
CLOSE = 0.08  # natural logarithm: how closely a bound fits the amount where nothing overlaps
LOG_AMOUNT = torch.arange(
    -9.5, 4.0, _BIN
)  # natural logarithms of the amounts voted for, relative to the mixture's unit
_MIDDLE = 0.04
SPREADS = (0.0025, 0.0035, 0.005, 0.007, 0.01, 0.014, 0.02, 0.028, 0.04)  # ppm


def likelihood(over: Tensor, width: float = CLOSE) -> Tensor:
    """Return how likely a bound is that lies `over` (in logarithms) the amount: close where nothing overlaps, else above."""
    return (
        3.0 * CLOSE / width * torch.exp(-0.5 * (over / width) ** 2)
        + 0.1 * (over > 0) * torch.exp(-over)
        + 1e-4
    )


def _kernel() -> Tensor:
    """Return the likelihood of every bound of the grid at every amount of the grid."""
    return likelihood(
        LOG_AMOUNT[:, None] - LOG_AMOUNT[None], (CLOSE**2 + _BIN**2 / 12) ** 0.5
    )  # anywhere in its bin


def _reach(axis: Axis) -> int:
    return max(1, round(TOLERANCE / axis.hz_per_position - 0.5))


@dataclass(frozen=True)
class Templates:
    """A library made ready for one axis: where each line is looked for, and what should be there.

    Attributes
    ----------
    centres : Tensor, shape (lines,), int64
        Position of each line at shift 0.
    needs : Tensor, shape (lines,)
        Area that the multiplet itself brings within the tolerance of each of its lines, at
        concentration 1.
    line_areas : Tensor, shape (lines,)
        Area of each line alone.
    first_line, first_multiplet : Tensor
        As in Compounds.
    protons : Tensor, shape (M,)
    """

    axis: Axis
    centres: Tensor
    needs: Tensor
    line_areas: Tensor
    first_line: Tensor
    first_multiplet: Tensor
    protons: Tensor

    @property
    def n_compounds(self) -> int:
        """K, the number of compounds."""
        return len(self.first_multiplet) - 1

    @property
    def reach(self) -> int:
        """Positions to either side within which a peak counts as a line's."""
        return _reach(self.axis)

    @property
    def step(self) -> int:
        """Positions between the shifts that are tried."""
        return max(1, round(STEP / self.axis.hz_per_position))

    @cached_property
    def shifts(self) -> Tensor:
        """Shifts that are tried, in ppm, shape (S,)."""
        half = max(1, round(WINDOW / self.axis.width / self.step))
        return (
            torch.arange(-half, half + 1, device=self.centres.device) * self.step * self.axis.width
        )

    @cached_property
    def n_lines(self) -> Tensor:
        """Lines of each multiplet, shape (M,)."""
        return self.first_line.diff()

    @cached_property
    def total(self) -> Tensor:
        """Sum of the needs of each multiplet, shape (M,)."""
        return segment_sum(self.needs, self.n_lines)

    @cached_property
    def owner(self) -> Tensor:
        """Compound of each multiplet, shape (M,)."""
        return torch.repeat_interleave(
            torch.arange(self.n_compounds, device=self.centres.device), self.first_multiplet.diff()
        )

    @classmethod
    def of(cls, compounds: Compounds, axis: Axis = FULL_AXIS) -> "Templates":
        """Prepare a library for `axis`."""
        rows, offsets, areas = compounds.line_multiplet, compounds.offsets, compounds.areas
        reach = (_reach(axis) + 0.5) * axis.hz_per_position
        # Lines ascend within a multiplet, and one key orders all multiplets: the sums of neighbours
        # are two searches.
        key = rows * 1e5 + offsets
        sums = np.concatenate([[0.0], np.cumsum(areas)])
        needs = (
            sums[np.searchsorted(key, key + reach, "right")]
            - sums[np.searchsorted(key, key - reach)]
        )
        centres = np.floor((compounds.line_ppm(axis.mhz) - axis.low) / axis.width)
        return cls(
            axis, torch.as_tensor(np.clip(centres, 0, axis.n_positions - 1)).long(), torch.as_tensor(needs).float(),
            torch.as_tensor(areas).float(), torch.tensor(compounds.first_line),
            torch.tensor(compounds.first_multiplet), torch.tensor(compounds.protons, dtype=torch.float32),
        )  # fmt: skip

    def to(self, device: torch.device | str) -> "Templates":
        """Return a copy on a device."""
        moved = (
            getattr(self, name).to(device)
            for name in (
                "centres",
                "needs",
                "line_areas",
                "first_line",
                "first_multiplet",
                "protons",
            )
        )
        return Templates(self.axis, *moved)


def segment_sum(values: Tensor, lengths: Tensor) -> Tensor:
    """Sum runs of `lengths` rows of `values`, shape (len(lengths), ...)."""
    return torch.segment_reduce(values, "sum", lengths=lengths, axis=0)


def within(dense: Tensor, reach: int) -> Tensor:
    """Sum an array along the axis within `reach` positions to either side of each, shape (L,)."""
    sums = dense.double().cumsum(0)
    sums = torch.cat([sums.new_zeros(reach + 1), sums, sums[-1:].expand(reach)])
    return (sums[2 * reach + 1 :] - sums[: -2 * reach - 1]).clamp(min=0).float()


def tolerant(dense: Tensor, reach: int) -> Tensor:
    """Sum within the tolerance with a little more weight on its middle half, so that a line's best place is its centre."""
    return (within(dense, reach) + _MIDDLE * within(dense, reach // 2)) / (1 + _MIDDLE)


@dataclass
class AmountHypotheses:
    """What the mixture says about each compound; every amount is relative to `unit`.

    Attributes
    ----------
    templates : Templates
    areas, narrow : Tensors, shape (L,)
        Area within the tolerance of each position, and within a third of it.
    unit, floor, spread : float
        Largest possible amount in the mixture's unit of area; smallest picked area; estimated
        shift, in ppm.
    log_amounts, votes : Tensors, shape (K, H)
        Hypotheses of each compound, the most voted for first, and their votes.
    near : Tensor, shape (M, H, 2)
        Log likelihood of each hypothesis at a multiplet: near its place, and anywhere in the
        window.
    places : Tensor, shape (M, N), int64
        The likeliest shifts of each multiplet, as indices into `templates.shifts`.
    bounds, fits, scores : Tensors, shape (M, N)
        At each place: log of the most that can be there, log of the share of the area that this
        explains, log weight.
    """

    templates: Templates
    areas: Tensor
    narrow: Tensor
    unit: float
    floor: float
    spread: float
    log_amounts: Tensor
    votes: Tensor
    near: Tensor
    places: Tensor
    bounds: Tensor
    fits: Tensor
    scores: Tensor


def _chunks(templates: Templates):
    """Yield ranges of compounds whose lines are looked at together."""
    lines = templates.first_line[templates.first_multiplet]
    low = 0
    while low < templates.n_compounds:
        high = int(torch.searchsorted(lines, lines[low] + CHUNK, right=True)) - 1
        high = min(max(high, low + 1), templates.n_compounds)
        yield low, high
        low = high


def _phases(templates: Templates, areas: Tensor) -> Tensor:
    """Return a view of `areas` for `_bounds`: [phase, start] is what lies at every tried shift, contiguous; (step, n, S)."""
    step, half = templates.step, (len(templates.shifts) - 1) // 2 * templates.step
    padded = functional.pad(areas, (half, half + step))
    padded = padded[: len(padded) // step * step]
    return padded.view(-1, step).T.contiguous().unfold(1, len(templates.shifts), 1)


def _bounds(
    templates: Templates, phases: Tensor, floor: float, rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Return log bounds and log fits of the multiplets `rows` at every shift, both (len(rows), S)."""
    shape = (len(rows), phases.shape[2])
    bound, total = phases.new_empty(shape), phases.new_empty(shape)
    counts = templates.n_lines[rows]
    # Multiplets of as many lines are one dense array: far faster than reducing segments.
    for count in counts.unique().tolist():
        chosen = (counts == count).nonzero()[:, 0]
        lines = templates.first_line[rows[chosen], None] + torch.arange(count, device=rows.device)
        centres = templates.centres[lines]
        there = phases[centres % templates.step, centres // templates.step]  # (m, count, S)
        total[chosen] = there.sum(1)
        # A peak too small to be picked may have had up to the floor.
        bound[chosen] = there.add_(floor).mul_((1 / templates.needs[lines])[:, :, None]).amin(1)
    fit = (bound * templates.total[rows, None] / total.add_(floor)).clamp_(1e-2, 1.0)
    return bound.log_(), fit.log_()


def estimate_spread(templates: Templates, areas: Tensor, floor: float) -> float:
    """Estimate the standard deviation of the shifts, in ppm, from where exact fits of several lines lie.

    Fits by chance lie anywhere in the window, true ones around 0: a mixture of a uniform and a
    normal distribution, fitted by expectation maximisation for each width of `SPREADS`.
    """
    histogram = torch.zeros(len(templates.shifts))
    phases = _phases(templates, areas)
    telling = ((templates.n_lines >= 3) & (templates.n_lines <= 6)).nonzero()[:, 0]
    # Enough is enough: a larger library tells no more about the mixture.
    telling = telling[:: max(1, len(telling) // MAX_TELLING)]
    for rows in telling.split(CHUNK // 4):
        bound, fit = _bounds(templates, phases, floor, rows)
        strong = bound > (8 * floor / templates.total[rows, None]).log()
        histogram += ((fit.exp() - 0.6).clamp(min=0) * strong).sum(0)
    # A library of singlets tells nothing of the shifts: take what is usual between two libraries.
    return spread_of(histogram, templates.shifts) if histogram.any() else USUAL_SPREAD


def spread_of(histogram: Tensor, shifts: Tensor) -> float:
    """Return the width of `SPREADS` whose mixture with a uniform background fits a histogram of shifts best."""
    widths = torch.tensor(SPREADS)[:, None]
    normal = torch.exp(-0.5 * (shifts / widths) ** 2)
    normal = normal / normal.sum(1, keepdim=True)
    uniform = 1.0 / len(shifts)
    part = torch.full_like(widths, 0.1)
    total = histogram.sum().clamp(min=1e-9)
    for _ in range(40):
        part = (histogram * part * normal / (part * normal + (1 - part) * uniform)).sum(
            1, keepdim=True
        ) / total
        # Some of the fits are always true ones: a part of nothing would leave the width open.
        part = part.clamp(min=0.02)
    return SPREADS[int((histogram * (part * normal + (1 - part) * uniform).log()).sum(1).argmax())]


def find_hypotheses(
    templates: Templates, peaks: Peaks, spread: float | None = None
) -> AmountHypotheses:
    """Gather the evidence of a mixture for every compound of a library.

    Parameters
    ----------
    spread : float, optional
        Standard deviation of the shifts in ppm, where it is known; estimated from the mixture
        otherwise.

    Raises
    ------
    ValueError
        If the mixture has no peak, or lies on another axis than the library.
    """
    if peaks.axis != templates.axis:
        raise ValueError(
            f"the mixture lies on {peaks.axis} and the library on {templates.axis}; bring both to"
            " one axis"
        )
    if not len(peaks.areas):
        raise ValueError("the mixture has no peak on the axis; expected at least one")
    if spread is not None and not 0 < spread < 1:
        raise ValueError(
            f"spread is {spread!r}; expected the standard deviation of the shifts in ppm, above 0"
            " and below 1, or None"
        )
    # Relative to a high peak rather than the highest, which a solvent may be.
    unit = float(np.quantile(peaks.areas, 0.98))
    # Within what training saw: of a list of one peak, or with one tiny artefact, the smallest peak
    # tells nothing.
    floor = min(max(peaks.floor / unit / 2, FLOORS[0]), FLOORS[1])
    dense = torch.from_numpy(peaks.dense() / unit)
    areas, narrow = tolerant(dense, templates.reach), within(dense, templates.reach // 3)
    spread = estimate_spread(templates, areas, floor) if spread is None else spread
    shifts = templates.shifts
    prior = torch.logaddexp(-0.5 * (shifts / (1.15 * spread)) ** 2, torch.tensor(-7.0)).log_softmax(
        0
    )
    kernel, grid = _kernel(), LOG_AMOUNT
    phases = _phases(templates, areas)
    parts = []
    for low, high in _chunks(templates):
        m0, m1 = int(templates.first_multiplet[low]), int(templates.first_multiplet[high])
        bound, fit = _bounds(templates, phases, floor, torch.arange(m0, m1))
        # An exact fit of many lines is rarer by chance than one of few; a singlet always fits.
        weight = 0.5 * (templates.n_lines[m0:m1, None] - 1).clamp(max=4) * fit  # (m, S)
        index = ((bound - (grid[0] - _BIN / 2)) / _BIN).clamp_(0, len(grid) - 1).long()

        def voted(mass: Tensor, index: Tensor = index) -> Tensor:
            return (torch.zeros(len(index), len(grid)).scatter_add_(1, index, mass) @ kernel).log_()

        near = voted((weight + prior).exp())
        anywhere = voted(weight.exp() / len(shifts))
        owner = templates.owner[m0:m1] - low
        votes = torch.zeros(high - low, len(grid)).index_add_(0, owner, near - 0.4 * anywhere)
        highest = functional.max_pool1d(votes[:, None], 9, 1, 4)[:, 0] == votes
        best = torch.where(highest, votes, torch.tensor(-1e9)).topk(N_HYPOTHESES, 1)
        columns = best.indices[owner]
        score = weight + prior
        # One place a local maximum: neighbours within the tolerance see the same peaks.
        wide = functional.pad(bound, (2, 2), value=-99.0)
        before, after = (
            torch.maximum(wide[:, :-4], wide[:, 1:-3]),
            torch.maximum(wide[:, 3:-1], wide[:, 4:]),
        )
        score.masked_fill_((bound <= before) | (bound < after), -1e4)
        top = score.topk(min(N_PLACES, len(shifts)), 1)
        parts.append((
            grid[best.indices], best.values, torch.stack([near.gather(1, columns), anywhere.gather(1, columns)], 2),
            top.indices, bound.gather(1, top.indices), fit.gather(1, top.indices), top.values,
        ))  # fmt: skip
    return AmountHypotheses(
        templates,
        areas,
        narrow,
        unit,
        floor,
        spread,
        *(torch.cat(column) for column in zip(*parts, strict=False)),
    )
