"""The objective at full scale: presence, amounts, places and masks, at the first look and after every round."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nmrclassify.mixtures.peaks import PeakMixture
from nmrclassify.networks.amount_hypotheses import AmountHypotheses
from nmrclassify.networks.peak_network import PeakNetworkOutput, compete

CLOSE_AMOUNT = (
    0.3  # natural logarithm: a hypothesis within 35 % of the true amount is the right one
)
CLOSE_PLACE = 0.0018  # ppm: about the tolerance of a line at 600 MHz


@dataclass
class PeakTruth:
    """What is true of a mixture, for every compound and multiplet of the library.

    Attributes
    ----------
    log_amounts : Tensor, shape (K,)
        Relative to the evidence's unit; NaN where a compound is not there.
    shifts : Tensor, shape (M,)
        In ppm; NaN where a compound is not there.
    keys, sums : Tensors
        Area that each multiplet brings to peaks, sorted by multiplet and position; running sums,
        for ranges.
    totals : Tensor, shape (L + 1,)
        Running sum of the area of all peaks before noise.
    """

    log_amounts: Tensor
    shifts: Tensor
    keys: Tensor
    sums: Tensor
    totals: Tensor


def peak_truth(mixture: PeakMixture, evidence: AmountHypotheses) -> PeakTruth:
    """Lay out the truth of a synthetic mixture beside its evidence."""
    t = evidence.templates
    log_amounts = torch.full((t.n_compounds,), float("nan"))
    log_amounts[mixture.present] = torch.as_tensor(np.log(mixture.amounts / evidence.unit)).float()
    shifts = torch.full((len(t.protons),), float("nan"))
    shifts[mixture.multiplets] = torch.as_tensor(mixture.shifts).float()
    row, peak, area = mixture.parts
    keys = mixture.multiplets[row] * (2 * t.axis.n_positions) + mixture.peaks.positions[peak]
    order = np.argsort(keys, kind="stable")
    dense = np.zeros(t.axis.n_positions + 1)
    dense[mixture.peaks.positions + 1] = mixture.totals
    return PeakTruth(
        log_amounts, shifts, torch.as_tensor(keys[order]), torch.as_tensor(np.concatenate([[0.0], np.cumsum(area[order])])),
        torch.as_tensor(np.cumsum(dense)),
    )  # fmt: skip


def true_shares(
    truth: PeakTruth, evidence: AmountHypotheses, findings: PeakNetworkOutput
) -> Tensor:
    """Return the share of the area within each line's tolerance that is truly of its multiplet, shape (V,)."""
    look, t = findings.look, evidence.templates
    key = look.multiplet[look.item // look.n_places] * (2 * t.axis.n_positions) + look.position
    own = (
        truth.sums[torch.searchsorted(truth.keys, key + t.reach, right=True)]
        - truth.sums[torch.searchsorted(truth.keys, key - t.reach)]
    )
    low, high = (
        (look.position - t.reach).clamp(min=0),
        (look.position + t.reach + 1).clamp(max=t.axis.n_positions),
    )
    total = truth.totals[high] - truth.totals[low]
    return (own / total.clamp(min=1e-12)).float().clamp(0, 1)


def _presence_loss(
    probabilities: Tensor, absent: Tensor, good: Tensor, compound: Tensor, present: Tensor
) -> Tensor:
    """Minus log probability of the right hypotheses of present compounds, and of the absence of others; shape (K,)."""
    right = torch.zeros_like(absent).index_add(0, compound, probabilities * good)
    # A present compound none of whose chosen hypotheses is close counts as found by any of them.
    any_good = torch.zeros_like(absent).index_add(0, compound, good.float()) > 0
    found = torch.where(any_good, right, -torch.expm1(absent))
    return torch.where(present, -found.clamp(min=1e-4).log(), -absent.clamp(min=-12))


def objective(
    findings: PeakNetworkOutput, evidence: AmountHypotheses, truth: PeakTruth
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of one mixture (a scalar) and its parts, as numbers.

    Presence is a negative log likelihood over a compound's hypotheses and its absence, per compound
    that is there; amounts a Huber loss on logarithms; places a cross entropy; masks a cross entropy
    with the true share.
    """
    present = truth.log_amounts.isfinite()
    scale = 1.0 / present.sum().clamp(min=1)
    n_compounds, n_columns = evidence.log_amounts.shape
    distance = (evidence.log_amounts - truth.log_amounts[:, None]).abs()
    everything = torch.arange(n_compounds, device=distance.device).repeat_interleave(n_columns)
    flat = findings.first.flatten()
    first = (
        _presence_loss(
            *compete(everything, flat, n_compounds),
            (distance < CLOSE_AMOUNT).flatten(),
            everything,
            present,
        ).sum()
        * scale
    )
    losses = {"first": first}
    for k, (look, state) in enumerate(zip(findings.looks, findings.rounds, strict=False), 1):
        good = (
            look.log_amount - truth.log_amounts[look.compound]
        ).abs() < CLOSE_AMOUNT  # a NaN is not
        of_good = good[look.hypothesis]
        off = (look.shift - truth.shifts[look.multiplet, None]).abs()
        right_place = (off < CLOSE_PLACE) & of_good[:, None]
        has_place = right_place.any(1)
        probabilities, absent = compete(look.compound, state["logit"], n_compounds)
        losses[f"presence {k}"] = (
            _presence_loss(probabilities, absent, good, look.compound, present).sum() * scale
        )
        error = state["log_amount"][good] - truth.log_amounts[look.compound[good]]
        losses[f"amount {k}"] = (
            functional.huber_loss(error, torch.zeros_like(error), delta=0.1, reduction="sum")
            * scale
            * 10
        )
        score = state["score"][has_place]
        places = score.logsumexp(1) - score.masked_fill(~right_place[has_place], -1e4).logsumexp(1)
        losses[f"places {k}"] = 0.6 * places.sum() / max(1, len(places))
    if findings.masks is None:  # only in training
        return sum(losses.values()), {name: value.item() for name, value in losses.items()}
    lines = of_good[look.item // look.n_places]
    target = true_shares(truth, evidence, findings)[lines]
    masks = functional.binary_cross_entropy_with_logits(
        findings.masks[lines], target, weight=look.share[lines], reduction="sum"
    )
    losses["masks"] = masks / look.share[lines].sum().clamp(min=1e-6)
    return sum(losses.values()), {name: value.item() for name, value in losses.items()}
