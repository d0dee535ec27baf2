"""A closer look at chosen hypotheses: their likeliest places, and every line there, laid out flat.

Hypotheses hold multiplets, multiplets hold places, places hold lines; each level knows the index of
the one above.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from nmrclassify.networks.amount_hypotheses import CLOSE, AmountHypotheses, likelihood


@dataclass
class Candidates:
    """The chosen hypotheses, laid out flat: hypotheses hold multiplets, which hold places, which hold lines."""

    compound: Tensor  # (J,) compound of each hypothesis
    column: Tensor  # (J,) which of the compound's hypotheses it is
    log_amount: Tensor  # (J,)
    n_places: int  # N
    multiplet: Tensor  # (U,) multiplet of the library
    hypothesis: Tensor  # (U,) index into J
    shift: Tensor  # (U, N) ppm
    place: Tensor  # (U, N, 4) what the evidence says of each place
    line: Tensor  # (V,) line of the library; V = lines of U x N places
    item: Tensor  # (V,) index into the U x N places
    lengths: Tensor  # (U * N,) lines of each place
    position: Tensor  # (V,) on the axis
    need: Tensor  # (V,) area of the multiplet within the tolerance of the line, at concentration 1
    share: Tensor  # (V,) of the multiplet's needs
    order: Tensor  # (V,) lines sorted by compound and position
    own: tuple[
        Tensor, Tensor
    ]  # (V,) range in that order that is the same compound's within the tolerance


def rows_of(first: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return all rows first[i] to first[i + 1] for every i of `index`, and which of `index` each belongs to."""
    lengths = first[index + 1] - first[index]
    owner = torch.repeat_interleave(torch.arange(len(index), device=index.device), lengths)
    starts = lengths.cumsum(0) - lengths
    return (first[index] - starts)[owner] + torch.arange(len(owner), device=index.device), owner


def gather_candidates(evidence: AmountHypotheses, chosen: Tensor, n_places: int) -> Candidates:
    """Lay out the hypotheses `chosen` (indices into K x H, ascending) with their likeliest places and their lines."""
    t = evidence.templates
    n_columns = evidence.log_amounts.shape[1]
    compound, column = chosen // n_columns, chosen % n_columns
    x = evidence.log_amounts.flatten()[chosen]
    multiplet, hypothesis = rows_of(t.first_multiplet, compound)
    # The places that suit this amount: the bound is close to it, or above where others overlap.
    over = evidence.bounds[multiplet] - x[hypothesis, None]  # (U, 24)
    suits = evidence.scores[multiplet] + likelihood(over).log()
    n_places = min(n_places, suits.shape[1])
    top = suits.topk(n_places, 1)
    over = over.gather(1, top.indices)
    # Votes are counted in bins; the amount itself is what the places that fit closely agree on.
    weight = (-0.5 * (over[:, 0] / CLOSE) ** 2).exp()
    sums = torch.zeros(2, len(x), device=x.device).index_add_(
        1, hypothesis, torch.stack([weight * over[:, 0], weight])
    )
    x = x + sums[0] / (sums[1] + 0.3)
    index = evidence.places[multiplet].gather(1, top.indices)
    shift = t.shifts[index]
    # (U, N, 4): how well it suits, the share explained, how far, and whether there is such a place
    # at all
    missing = top.values < -1e3
    place = torch.stack([
        (top.values - top.values[:, :1]).clamp(min=-10) / 5, evidence.fits[multiplet].gather(1, top.indices),
        shift / 0.03, missing.float(),
    ], 2)  # fmt: skip
    line, item = rows_of(t.first_line, multiplet.repeat_interleave(n_places))
    offset = (index.flatten()[item] - (len(t.shifts) - 1) // 2) * t.step
    position = (t.centres[line] + offset).clamp(0, t.axis.n_positions - 1)
    need = t.needs[line]
    owner = compound[hypothesis[item // n_places]]
    key = owner * (2 * t.axis.n_positions) + position
    ordered, order = key.sort(stable=True)
    # Asked in order, a search finds its numbers in the cache: three times faster.
    own = tuple(
        torch.empty_like(order).scatter_(
            0, order, torch.searchsorted(ordered, ordered + d, right=d > 0)
        )
        for d in (-t.reach, t.reach)
    )
    return Candidates(
        compound, column, x, n_places, multiplet, hypothesis, shift, place, line, item, t.n_lines[multiplet].repeat_interleave(n_places),
        position, need, need / t.total[multiplet][item // n_places], order, own,
    )  # fmt: skip


def first_place_attention(look: Candidates) -> Tensor:
    """Return an attention that is all on each multiplet's first place."""
    attention = torch.zeros_like(look.shift)
    attention[:, 0] = 1
    return attention
