"""The parts of the loss, and the costs of pairing outputs that have no order with sources."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nmrclassify.networks.matching import assign


class Costs(NamedTuple):
    """The parts of the cost of pairing output i with source j, [b, i, j] of shape (B, C, C)."""

    classification: Tensor  # cross entropy, nats
    reconstruction: Tensor  # squared error relative to the source's energy

    def total(self, reconstruction_weight: float | Tensor) -> Tensor:
        """Return the weighted sum that the assignment minimises, shape (B, C, C)."""
        return self.classification + reconstruction_weight * self.reconstruction


class Objective(NamedTuple):
    """The parts of the loss of one batch, scalars; `right` is the share of right compounds."""

    classification: Tensor
    reconstruction: Tensor
    right: Tensor


def pairwise_costs(logits: Tensor, multiplets: Tensor, labels: Tensor, sources: Tensor) -> Costs:
    """Compute the cost of every pairing.

    Parameters
    ----------
    logits : Tensor, shape (B, C, K)
        Not softmaxed: the cross entropy applies its own log-softmax.
    multiplets : Tensor, shape (B, C, P, L)
        Separated multiplets.
    labels : Tensor, shape (B, C), int64
    sources : Tensor, shape (B, C, P, L)
    """
    n_sources = logits.shape[1]
    log_p = logits.log_softmax(-1)  # (B, C, K)
    classification = -log_p.gather(2, labels[:, None].expand(-1, n_sources, -1))  # (B, C, C)
    error = (multiplets[:, :, None] - sources[:, None]).square().sum((-1, -2))  # (B, C, C)
    energy = sources.square().sum((-1, -2))[:, None]  # (B, 1, C)
    # An absent source has no energy to relate an error to: a tenth of the mixture's mean energy
    # replaces it.
    return Costs(
        classification, error / energy.maximum(0.1 * energy.mean(-1, keepdim=True)).clamp_min(1e-3)
    )


def match_and_reduce(costs: Costs, reconstruction_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Assign outputs to sources by the total cost, and average both parts along the assignment.

    Returns
    -------
    classification, reconstruction : Tensor, scalars
    assignment : Tensor, shape (B, C), int64
    """
    total = costs.total(reconstruction_weight)
    assignment = torch.from_numpy(assign(total.detach().cpu().numpy())).to(total.device)
    along = assignment[..., None]
    return (
        costs.classification.gather(2, along).mean(),
        costs.reconstruction.gather(2, along).mean(),
        assignment,
    )


def pair_for_scoring(
    logits: Tensor, costs: Costs, labels: Tensor, weight: float = 1.0
) -> np.ndarray:
    """Assign outputs to sources, shape (B, C): first as many right as can be, then the lowest cost.

    So accuracy is that of the best matching, and confusion and separation use the same pairing.
    """
    cost = costs.total(weight).double()
    wrong = logits.argmax(-1)[:, :, None] != labels[:, None]  # (B, C, C)
    # One wrong class outweighs the sum of all costs of a mixture.
    penalty = 1.0 + 2.0 * labels.shape[1] * cost.amax((1, 2), keepdim=True)
    return assign((wrong * penalty + cost).numpy())
