"""The loss of full scale: presence, amounts, places and masks, for each stage of the network."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nmrclassify.mixtures.peaks import PeakMixture
from nmrclassify.networks.amount_hypotheses import AmountHypotheses
from nmrclassify.networks.peak_network import PeakNetworkOutput, compete

CLOSE_AMOUNT = 0.3  # natural logarithm: a hypothesis within 35 % of the true amount is right
FEWEST = 15  # present compounds: mixtures of fewer have no larger part of the loss
CLOSE_PLACE = 1.35  # times the tolerance of a line


@dataclass
class PeakTruth:
    """The truth of a mixture, for every compound and multiplet of the library.

    Attributes
    ----------
    log_amounts : Tensor, shape (K,)
        Relative to the unit of the hypotheses; NaN for a compound that is absent.
    shifts : Tensor, shape (M,)
        In ppm; NaN for a compound that is absent.
    keys, sums : Tensors
        The area that each multiplet brings to each peak, sorted by multiplet and position, as
        running sums: the area in a range is a difference of two.
    totals : Tensor, shape (L + 1,)
        Running sum of the areas of all peaks before noise.
    """

    log_amounts: Tensor
    shifts: Tensor
    keys: Tensor
    sums: Tensor
    totals: Tensor


def peak_truth(mixture: PeakMixture, hypotheses: AmountHypotheses) -> PeakTruth:
    """Return the truth of a synthetic mixture in the units of its hypotheses."""
    t = hypotheses.templates
    log_amounts = torch.full((t.n_compounds,), float("nan"))
    relative = np.log(mixture.amounts / hypotheses.unit)
    log_amounts[mixture.present] = torch.as_tensor(relative).float()
    shifts = torch.full((len(t.protons),), float("nan"))
    shifts[mixture.multiplets] = torch.as_tensor(mixture.shifts).float()
    row, peak, area = mixture.parts
    keys = mixture.multiplets[row] * (2 * t.axis.n_positions) + mixture.peaks.positions[peak]
    order = np.argsort(keys, kind="stable")
    dense = np.zeros(t.axis.n_positions + 1)
    dense[mixture.peaks.positions + 1] = mixture.totals
    return PeakTruth(
        log_amounts,
        shifts,
        keys=torch.as_tensor(keys[order]),
        sums=torch.as_tensor(np.concatenate([[0.0], np.cumsum(area[order])])),
        totals=torch.as_tensor(np.cumsum(dense)),
    )


def true_shares(
    truth: PeakTruth, hypotheses: AmountHypotheses, output: PeakNetworkOutput
) -> Tensor:
    """Return the true share that each line's multiplet has of the area near the line, (V,)."""
    c, t = output.candidates, hypotheses.templates
    key = c.multiplet[c.place // c.n_places] * (2 * t.axis.n_positions) + c.position
    high = torch.searchsorted(truth.keys, key + t.reach, right=True)
    part = truth.sums[high] - truth.sums[torch.searchsorted(truth.keys, key - t.reach)]
    low = (c.position - t.reach).clamp(min=0)
    high = (c.position + t.reach + 1).clamp(max=t.axis.n_positions)
    total = truth.totals[high] - truth.totals[low]
    return (part / total.clamp(min=1e-12)).float().clamp(0, 1)


def close_place(hypotheses: AmountHypotheses) -> float:
    """Return how near a place must be to the true one, in ppm."""
    t = hypotheses.templates
    return CLOSE_PLACE * t.tolerance / t.axis.mhz


def _presence_loss(compound: Tensor, logit: Tensor, right: Tensor, present: Tensor) -> Tensor:
    """Return the negative log likelihood of the truth, summed over compounds.

    The truth is one of the `right` hypotheses for a compound that is present, and its absence
    otherwise.
    """
    probabilities, log_absent = compete(compound, logit, len(present))
    zeros = torch.zeros_like(log_absent)
    probability = zeros.index_add(0, compound, probabilities * right)
    # Without a right hypothesis any hypothesis of the compound counts.
    has_right = zeros.index_add(0, compound, right.float()) > 0
    probability = torch.where(has_right, probability, -torch.expm1(log_absent))
    of_present, of_absent = probability.clamp(min=1e-4).log(), log_absent.clamp(min=-12)
    return torch.where(present, -of_present, -of_absent).sum()


def objective(
    output: PeakNetworkOutput, hypotheses: AmountHypotheses, truth: PeakTruth
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of one mixture, a scalar, and the values of its parts.

    Presence: negative log likelihood, divided by the number of present compounds, `FEWEST` at
    least. Amounts: Huber loss of logarithms. Places: cross entropy. Masks, in training only: cross
    entropy with the true shares.
    """
    present = truth.log_amounts.isfinite()
    scale = 1.0 / present.sum().clamp(min=FEWEST)
    n_compounds, n_columns = hypotheses.log_amounts.shape
    right = (hypotheses.log_amounts - truth.log_amounts[:, None]).abs() < CLOSE_AMOUNT
    compound = torch.arange(n_compounds, device=right.device).repeat_interleave(n_columns)
    screening = _presence_loss(compound, output.screening.flatten(), right.flatten(), present)
    losses = {"first": screening * scale}
    rounds = zip(output.round_candidates, output.rounds, strict=True)
    close = close_place(hypotheses)
    for k, (c, state) in enumerate(rounds, 1):
        # An absent compound has the amount NaN, so none of its hypotheses is right.
        right = (c.log_amount - truth.log_amounts[c.compound]).abs() < CLOSE_AMOUNT
        presence = _presence_loss(c.compound, state["logit"], right, present)
        losses[f"presence {k}"] = presence * scale
        error = state["log_amount"][right] - truth.log_amounts[c.compound[right]]
        amount = functional.huber_loss(error, torch.zeros_like(error), delta=0.1, reduction="sum")
        losses[f"amount {k}"] = amount * scale * 10
        off = (c.shift - truth.shifts[c.multiplet, None]).abs()
        is_place = c.place_features[..., 3] == 0
        right_place = (off < close) & is_place & right[c.hypothesis][:, None]
        has_place = right_place.any(1)
        score = state["score"][has_place]
        places = score.logsumexp(1) - score.masked_fill(~right_place[has_place], -1e4).logsumexp(1)
        losses[f"places {k}"] = 0.6 * places.sum() / max(1, len(places))
    if output.masks is not None:
        lines = right[c.hypothesis][c.place // c.n_places]
        target, share = true_shares(truth, hypotheses, output)[lines], c.share[lines]
        masks = functional.binary_cross_entropy_with_logits(
            output.masks[lines], target, weight=share, reduction="sum"
        )
        losses["masks"] = masks / share.sum().clamp(min=1e-6)
    total = sum(losses.values(), torch.zeros((), device=present.device))
    return total, {name: value.item() for name, value in losses.items()}
