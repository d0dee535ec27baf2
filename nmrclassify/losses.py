"""What training minimises: a cost for each pairing of an output with a source, summed along the best assignment."""

from typing import NamedTuple

import torch
from torch import Tensor

from .matching import assign


class Costs(NamedTuple):
    """The two parts of the pairing cost, each of shape (B, C, C): [b, i, j] pairs output i with source j."""

    classification: Tensor  # cross entropy, nats
    reconstruction: Tensor  # squared error relative to the source's energy

    def total(self, reconstruction_weight: float) -> Tensor:
        """Return the weighted sum that the assignment minimises, shape (B, C, C)."""
        return self.classification + reconstruction_weight * self.reconstruction


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
    # The floor keeps an all-zero source from dividing by zero.
    return Costs(classification, error / energy.clamp_min(1e-6))


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
    return costs.classification.gather(2, along).mean(), costs.reconstruction.gather(2, along).mean(), assignment
