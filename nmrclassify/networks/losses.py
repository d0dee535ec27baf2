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
    masks: Tensor  # cross entropy with the ideal mask, less its least value, nats

    def total(
        self, reconstruction_weight: float | Tensor, mask_weight: float | Tensor = 0.0
    ) -> Tensor:
        """Return the weighted sum that the assignment minimises, shape (B, C, C)."""
        return (
            self.classification
            + reconstruction_weight * self.reconstruction
            + mask_weight * self.masks
        )

    def mean_along(self, assignment: Tensor) -> list[Tensor]:
        """Return the mean of each part along an assignment, shape (B, C), of outputs to sources."""
        return [part.gather(2, assignment[..., None]).mean() for part in self]


class Objective(NamedTuple):
    """The parts of the loss of one batch, scalars; `right` is the share of right compounds."""

    classification: Tensor
    reconstruction: Tensor
    masks: Tensor
    right: Tensor

    def total(self, reconstruction_weight: float, mask_weight: float) -> Tensor:
        """Return the loss."""
        return (
            self.classification
            + reconstruction_weight * self.reconstruction
            + mask_weight * self.masks
        )


def pairwise_costs(logits: Tensor, multiplets: Tensor, labels: Tensor, sources: Tensor) -> Costs:
    """Compute the cost of every pairing, without that of the masks.

    Parameters
    ----------
    logits : Tensor, shape (B, C, K)
        Not softmaxed: the cross entropy applies its own log-softmax.
    multiplets : Tensor, shape (B, C, P, L)
        Separated multiplets.
    labels : Tensor, shape (B, C), int64
        A label K or higher, for which there is no class, costs nothing.
    sources : Tensor, shape (B, C, P, L)
    """
    n_sources, n_classes = logits.shape[1:]
    log_p = logits.log_softmax(-1)  # (B, C, K)
    listed = labels.clamp(max=n_classes - 1)[:, None].expand(-1, n_sources, -1)
    classification = -log_p.gather(2, listed) * (labels < n_classes)[:, None]  # (B, C, C)
    error = (multiplets[:, :, None] - sources[:, None]).square().sum((-1, -2))  # (B, C, C)
    energy = sources.square().sum((-1, -2))[:, None]  # (B, 1, C)
    # An absent source has no energy to relate an error to: a tenth of the mixture's mean energy
    # replaces it.
    reconstruction = error / energy.maximum(0.1 * energy.mean(-1, keepdim=True)).clamp_min(1e-3)
    return Costs(classification, reconstruction, torch.zeros_like(reconstruction))


def ideal_ratio_masks(encoded: Tensor) -> Tensor:
    """Return the masks that share each cell in proportion to the true sources.

    The ideal ratio mask of D. Wang and J. Chen, IEEE/ACM TASLP 26(10), 2018, section III.

    Parameters
    ----------
    encoded : Tensor, shape (B, C, ...)
        Encodings of the C sources, none negative.

    Returns
    -------
    Tensor, shape (B, C, ...)
        0 where no source has area.
    """
    total = encoded.sum(1, keepdim=True)
    empty = total <= 1e-6 * total.flatten(1).amax(1).view(-1, *[1] * (total.ndim - 1))
    return torch.where(empty, 0.0, encoded / torch.where(empty, 1.0, total))


def mask_costs(masks: Tensor, ideal: Tensor, strength: Tensor) -> Tensor:
    """Return the cost of each mask with each ideal mask, (B, M, C), nats, as `mask_losses`.

    Parameters
    ----------
    masks : Tensor, shape (B, M, L, N)
    ideal : Tensor, shape (B, C, L, N)
    strength : Tensor, shape (B, L, N)
    """
    weights, passed, least = _mask_terms(masks, ideal, strength)
    held = torch.log1p(-passed) * weights
    passes = (passed.log() * weights - held).flatten(2) @ ideal.flatten(2).mT  # (B, M, C)
    return least[:, None] - passes - held.sum((2, 3))[..., None]


def mask_losses(masks: Tensor, ideal: Tensor, strength: Tensor) -> Tensor:
    """Return the cost of each mask with its ideal mask, (B, M), nats.

    It is the cross entropy between both, less the entropy of the ideal mask, so that a perfect mask
    costs 0: a mean over the cells, weighted by the fourth root of their strength.

    Parameters
    ----------
    masks, ideal : Tensor, shape (B, M, L, N)
    strength : Tensor, shape (B, L, N)
        Weight of each cell: the encoding of the mixture without noise.
    """
    weights, passed, least = _mask_terms(masks, ideal, strength)
    cross = ideal * passed.log() + (1 - ideal) * torch.log1p(-passed)
    return least - (cross * weights).sum((2, 3))


def _mask_terms(masks: Tensor, ideal: Tensor, strength: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cells' weights, the masks within 0 and 1, and the ideal's entropy, negative."""
    # The fourth root, so that weak multiplets count nearly as much; below 1 % a mask has no effect.
    relative = strength / strength.amax((1, 2), keepdim=True).clamp_min(1e-12)
    weights = torch.where(relative > 0.01, relative.sqrt().sqrt(), 0.0)
    weights = (weights / weights.sum((1, 2), keepdim=True).clamp_min(1e-12))[:, None]
    entropy = torch.special.entr(ideal) + torch.special.entr(1 - ideal)
    return weights, masks.clamp(1e-6, 1 - 1e-6), -(entropy * weights).sum((2, 3))


def match(costs: Costs, reconstruction_weight: float, mask_weight: float = 0.0) -> Tensor:
    """Assign outputs to sources by the total cost, shape (B, C), int64."""
    total = costs.total(reconstruction_weight, mask_weight)
    return torch.from_numpy(assign(total.detach().cpu().numpy())).to(total.device)


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
