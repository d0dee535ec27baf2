"""Which amounts of each compound a mixture allows: a Hough transform, before any learning.

For each compound of the library:

1. Bound. At each shift of a multiplet, the amount is at most that of `templates.log_bounds`. Where
   nothing overlaps, the bound is the amount.
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
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.networks.shift_estimates import estimate_spread
from nmrclassify.networks.templates import (
    Templates,
    check_peaks,
    log_bounds,
    shifted_areas,
    tolerance_of,
    tolerant,
    unit_and_floor,
    within,
)

N_HYPOTHESES = 8  # of each compound
N_PLACES = 24  # of each multiplet
CHUNK = 4096  # lines that are processed together
CLOSE = 0.08  # natural logarithm: how exactly a bound fits the amount where nothing overlaps

_BIN = 0.06
LOG_AMOUNT = torch.arange(-9.5, 4.0, _BIN)  # natural logarithms of the amounts that get votes


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
        Share of the range from the library's lowest to its highest line, and the window around it,
        that has a peak.
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
    check_peaks(templates, peaks)
    if spread is not None and not 0 < spread < 1:
        raise ValueError(
            f"spread is {spread!r}; expected the standard deviation of the shifts in ppm, above 0"
            " and below 1, or None"
        )
    templates = templates.with_tolerance(tolerance_of(peaks))
    if offset:
        templates = templates.moved(offset)
    unit, floor = unit_and_floor(peaks)
    dense = torch.from_numpy(peaks.dense() / unit)
    areas = tolerant(dense, templates.reach)
    spread = estimate_spread(templates, areas, floor) if spread is None else spread
    shifted = shifted_areas(templates, areas)
    chunks = [_chunk(templates, shifted, floor, spread, *ends) for ends in _chunks(templates)]
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
    templates: Templates, shifted: Tensor, floor: float, spread: float, low: int, high: int
) -> tuple[Tensor, ...]:
    """Return log_amounts, votes, likelihoods, places, bounds, fits and scores of some compounds."""
    grid, shifts = LOG_AMOUNT, templates.shifts
    m0, m1 = int(templates.first_multiplet[low]), int(templates.first_multiplet[high])
    bound, fit = log_bounds(templates, shifted, floor, torch.arange(m0, m1))  # (m, S)
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
