"""Some hypotheses laid out as flat arrays, with every line of every likely place, for the network.

A hypothesis has multiplets, a multiplet has places, a place has lines. There is one flat array for
each of these levels, and each entry holds the index of its parent in the level above.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmrclassify.networks.amount_hypotheses import CLOSE, AmountHypotheses, likelihood


@dataclass
class Candidates:
    """J hypotheses with U multiplets, N places of each multiplet, and V lines in all places."""

    compound: Tensor  # (J,) compound of each hypothesis
    column: Tensor  # (J,) which of the compound's hypotheses it is
    log_amount: Tensor  # (J,)
    n_places: int  # N
    multiplet: Tensor  # (U,) multiplet of the library
    hypothesis: Tensor  # (U,) index into J
    shift: Tensor  # (U, N) ppm
    place_features: Tensor  # (U, N, 4) score, fit, shift, 1 where there is no such place
    line: Tensor  # (V,) line of the library
    place: Tensor  # (V,) index into the U x N places
    lines_per_place: Tensor  # (U * N,)
    position: Tensor  # (V,) on the axis
    expected_area: Tensor  # (V,) of the multiplet near the line, at concentration 1
    share: Tensor  # (V,) of the multiplet's expected areas
    order: Tensor  # (V,) lines sorted by compound and position
    same_compound: tuple[Tensor, Tensor]  # (V,) range of `order` near the line, in its compound


def rows_of(first: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows first[i] to first[i + 1] of every i of `index`, and the place of i."""
    lengths = first[index + 1] - first[index]
    owner = torch.repeat_interleave(torch.arange(len(index), device=index.device), lengths)
    starts = lengths.cumsum(0) - lengths
    return (first[index] - starts)[owner] + torch.arange(len(owner), device=index.device), owner


def gather_candidates(hypotheses: AmountHypotheses, chosen: Tensor, n_places: int) -> Candidates:
    """Lay out some hypotheses with their best places.

    Parameters
    ----------
    chosen : Tensor, shape (J,), int64
        Indices into the K x H hypotheses, ascending.
    n_places : int
        Places of each multiplet.
    """
    t = hypotheses.templates
    n_columns = hypotheses.log_amounts.shape[1]
    compound, column = chosen // n_columns, chosen % n_columns
    log_amount = hypotheses.log_amounts.flatten()[chosen]
    multiplet, hypothesis = rows_of(t.first_multiplet, compound)
    # The best places for this amount: the bound is equal to it, or higher where others overlap.
    over = hypotheses.bounds[multiplet] - log_amount[hypothesis, None]  # (U, places)
    score = hypotheses.scores[multiplet] + likelihood(over).log()
    n_places = min(n_places, score.shape[1])
    top = score.topk(n_places, 1)
    over = over.gather(1, top.indices)
    # The votes were counted in bins. The mean of the bounds that fit closely is more precise.
    weight = (-0.5 * (over[:, 0] / CLOSE) ** 2).exp()
    sums = torch.zeros(2, len(log_amount), device=log_amount.device).index_add_(
        1, hypothesis, torch.stack([weight * over[:, 0], weight])
    )
    log_amount = log_amount + sums[0] / (sums[1] + 0.3)
    index = hypotheses.places[multiplet].gather(1, top.indices)  # (U, N)
    shift = t.shifts[index]
    features = [
        (top.values - top.values[:, :1]).clamp(min=-10) / 5,
        hypotheses.fits[multiplet].gather(1, top.indices),
        shift / 0.03,
        (top.values < -1e3).float(),
    ]
    line, place = rows_of(t.first_line, multiplet.repeat_interleave(n_places))
    offset = (index.flatten()[place] - (len(t.shifts) - 1) // 2) * t.step
    position = (t.centres[line] + offset).clamp(0, t.axis.n_positions - 1)
    expected_area = t.expected_areas[line]
    # Compounds are further apart in this key than any tolerance.
    key = compound[hypothesis[place // n_places]] * (2 * t.axis.n_positions) + position
    ordered, order = key.sort(stable=True)

    def neighbours(distance: int, right: bool) -> Tensor:
        # Searching for ascending numbers uses the cache: three times faster.
        place = torch.searchsorted(ordered, ordered + distance, right=right)
        return torch.empty_like(order).scatter_(0, order, place)

    return Candidates(
        compound=compound,
        column=column,
        log_amount=log_amount,
        n_places=n_places,
        multiplet=multiplet,
        hypothesis=hypothesis,
        shift=shift,
        place_features=torch.stack(features, 2),
        line=line,
        place=place,
        lines_per_place=t.n_lines[multiplet].repeat_interleave(n_places),
        position=position,
        expected_area=expected_area,
        share=expected_area / t.total[multiplet][place // n_places],
        order=order,
        same_compound=(neighbours(-t.reach, False), neighbours(t.reach, True)),
    )


def first_place_attention(candidates: Candidates) -> Tensor:
    """Return an attention of 1 for each multiplet's best place and 0 for the others, (U, N)."""
    attention = torch.zeros_like(candidates.shift)
    attention[:, 0] = 1
    return attention
