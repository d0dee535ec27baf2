"""What training minimises: for slots a cost of each pairing of an output with a source, for queries a cost of each compound."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import Network, QueryOutput
from nmrclassify.networks.matching import assign


class Costs(NamedTuple):
    """The two parts of the pairing cost, each of shape (B, C, C): [b, i, j] pairs output i with source j."""

    classification: Tensor  # cross entropy, nats
    reconstruction: Tensor  # squared error relative to the source's energy

    def total(self, reconstruction_weight: float) -> Tensor:
        """Return the weighted sum that the assignment minimises, shape (B, C, C)."""
        return self.classification + reconstruction_weight * self.reconstruction


class Objective(NamedTuple):
    """The parts of the loss of one batch, scalars; `right` is the share of compounds named right."""

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
    # A source that is not there has no energy of its own to relate an error to: a tenth of the
    # mixture's mean takes its place.
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


def slots_objective(model: Network, mixtures: Mixtures, reconstruction_weight: float) -> Objective:
    """Permutation-invariant cross entropy and separation error of interchangeable outputs."""
    areas, sources, labels = (
        torch.from_numpy(a) for a in (mixtures.areas, mixtures.sources, mixtures.labels)
    )
    logits, separation = model(areas)
    costs = pairwise_costs(logits, separation.multiplets, labels, sources)
    classification, reconstruction, assignment = match_and_reduce(costs, reconstruction_weight)
    right = (logits.detach().argmax(-1) == labels.gather(1, assignment)).float().mean()
    return Objective(classification, reconstruction, right)


def queries_objective(
    model: Network, mixtures: Mixtures, reconstruction_weight: float
) -> Objective:
    """Cross entropy of presences and counts; separation and amount errors relative to the mixture. No matching is needed."""
    most = model.config.n_sources
    counts = torch.from_numpy(mixtures.counts)  # (B, K)
    amounts = torch.from_numpy(mixtures.by_compound(mixtures.concentrations))  # (B, K)
    unknown = mixtures.unknown if mixtures.unknown is not None else mixtures.areas * 0  # (B, P, L)
    foreign = torch.from_numpy(unknown.any((1, 2)))
    sources = torch.from_numpy(mixtures.by_compound(mixtures.sources))  # (B, K, P, L)
    sources = torch.cat([sources, torch.from_numpy(unknown)[:, None]], dim=1)  # (B, K + 1, P, L)
    findings, separation = model(torch.from_numpy(mixtures.areas))
    present = torch.cat([counts > 0, foreign[:, None]], dim=1)  # (B, K + 1)
    # Sums over the compounds: a mistake costs the same in a library of ten and of fifty.
    classification = (
        F.binary_cross_entropy_with_logits(findings.presence, present.float(), reduction="none")
        .sum(1)
        .mean()
    )
    if most > 1:
        probabilities = findings.counts.log_softmax(-1)  # (B, K, Q)
        told = probabilities.gather(2, (counts.clamp(1, most) - 1)[..., None]).squeeze(-1)
        classification = classification - (told * (counts > 0)).sum(1).mean()
    error = (separation.multiplets - sources).square().sum((1, 2, 3))
    energy = sources.square().sum((1, 2, 3))
    off = (findings.amounts - amounts).square().sum(1)
    # A mixture of nothing has no energy; the batch's mean stands in where there is far less than
    # that. Should all be empty, a thousandth of a multiplet's does.
    reconstruction = (error / energy.maximum((0.1 * energy.mean()).clamp_min(1e-3))).mean() + (
        off / amounts.square().sum(1).clamp_min(1.0)
    ).mean()
    named = counts_found(findings)
    common = torch.minimum(named, counts).sum(1)
    of = torch.maximum(named.sum(1), counts.sum(1))
    right = torch.where(
        of > 0, common / of.clamp_min(1), 1.0
    ).mean()  # to hear nothing in nothing is right
    return Objective(classification, reconstruction, right)


def counts_found(findings: QueryOutput) -> Tensor:
    """Return the likeliest count of each compound, shape (B, K), int64; 0 where its presence is below one half."""
    return (findings.presence[:, :-1] > 0) * (findings.counts.argmax(-1) + 1)


OBJECTIVES = {"queries": queries_objective, "slots": slots_objective}
