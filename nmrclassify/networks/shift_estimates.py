"""How far the multiplets of a mixture lie from their places in the library: spread and offset.

Exact fits of multiplets by chance occur equally at all shifts, true ones around one shift.
"""

import torch
from torch import Tensor

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.networks.templates import (
    Templates,
    check_peaks,
    log_bounds,
    shifted_areas,
    tolerance_of,
    tolerant,
    unit_and_floor,
)

USUAL_SPREAD = 0.01  # ppm, between two libraries
MAX_SPREAD_MULTIPLETS = 2000  # enough to estimate the spread of the shifts
ROWS = 1024  # multiplets that are processed together
# Lines of the multiplets whose exact fits give the spread of the shifts, and their common offset.
SPREAD_LINES, OFFSET_LINES = (3, 6), (2, 8)
WELL_KNOWN = 0.01  # ppm: places with larger deviations say nothing of the spread or the axis
OFFSETS = torch.arange(-30, 31) / 1000  # ppm
SMALL_OFFSET = 0.0065  # ppm
# Log likelihood that an offset must gain, a small one and a large one. Without an offset, the
# largest gain of 108 mixtures was 6.3 (5 to 100 compounds, jitter of .003 to .02 ppm).
OFFSET_COST = (1.0, 6.0)
SPREADS = (0.0025, 0.0035, 0.005, 0.007, 0.01, 0.014, 0.02, 0.028, 0.04)  # ppm


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
    check_peaks(templates, peaks)
    templates = templates.with_tolerance(tolerance_of(peaks))
    unit, floor = unit_and_floor(peaks)
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
    shifted = shifted_areas(templates, areas)
    # Fewer lines fit everywhere by chance, more are rarely free of overlap.
    rows = (templates.n_lines >= n_lines[0]) & (templates.n_lines <= n_lines[1])
    # The scatter is what all places share: where they are known.
    rows = (rows & (templates.deviations <= WELL_KNOWN)).nonzero()[:, 0]
    for part in rows[:: max(1, len(rows) // MAX_SPREAD_MULTIPLETS)].split(ROWS):
        bound, fit = log_bounds(templates, shifted, floor, part)
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
