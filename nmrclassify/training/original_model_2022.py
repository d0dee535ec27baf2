"""The three faults of the first public version (2022), as switches, to be shown and measured."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nmrclassify.evaluation.metrics import evaluate, shares_right
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import Mixtures, counts_of, generator
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.losses import Costs, pairwise_costs
from nmrclassify.networks.matching import assign
from nmrclassify.nmr.library import Library
from nmrclassify.training.optimiser import OPTIMISERS, take_step
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import model_for

# What the first version printed as test accuracy for its three optimisers: see `printed`.
REPORTED = {"sgd": 0.8286, "momentum": 0.4416, "adam": 0.6298}


class Faults(NamedTuple):
    """Which faults of 2022 a training has."""

    reshaped: bool = True  # (L, P) reshaped to (P, L) instead of transposed
    softmaxed: bool = True  # a softmax before the cross entropy, which applies its own
    unmatched: bool = True  # output i stands for the i-th compound listed


NO_FAULTS = Faults(False, False, False)


def refilled(areas: np.ndarray) -> np.ndarray:
    """Return arrays (..., P, L) as they are after (L, P) is reshaped, not transposed, to (P, L)."""
    transposed = np.ascontiguousarray(np.swapaxes(areas, -1, -2))  # (..., L, P)
    return transposed.reshape(areas.shape)


def reshaped(library: Library) -> Library:
    """Return the library with each compound `refilled`.

    Mixing is linear: mixtures of these compounds are the refilled mixtures.
    """
    return replace(library, areas=refilled(library.areas))


def reshaped_mixtures(mixtures: Mixtures) -> Mixtures:
    """Return the mixtures with areas and sources `refilled`."""
    return replace(mixtures, areas=refilled(mixtures.areas), sources=refilled(mixtures.sources))


def shuffled_compounds(mixtures: Mixtures, rng: np.random.Generator) -> Mixtures:
    """Return the same mixtures with the compounds of each in a random order."""
    order = rng.permuted(
        np.tile(np.arange(mixtures.labels.shape[1]), (len(mixtures), 1)), axis=1
    )  # (B, C)
    return replace(
        mixtures,
        sources=np.take_along_axis(mixtures.sources, order[:, :, None, None], axis=1),
        labels=np.take_along_axis(mixtures.labels, order, axis=1),
        concentrations=np.take_along_axis(mixtures.concentrations, order, axis=1),
    )


def assigned_costs(
    logits: Tensor,
    multiplets: Tensor,
    labels: Tensor,
    sources: Tensor,
    weight: float | Tensor = 1.0,
    softmaxed: bool | Tensor = False,
    unmatched: bool | np.ndarray = False,
) -> Costs:
    """Return the cost of each output with the source that it is paired with.

    Parameters
    ----------
    logits, multiplets, labels, sources : Tensor
        As in `losses.pairwise_costs`.
    weight : float, or Tensor of shape (B, 1, 1)
        Of the reconstruction, in the sum that the matching minimises.
    softmaxed : bool, or Tensor of shape (B, 1, 1)
        Whether the cross entropy is given probabilities where it expects logits.
    unmatched : bool, or ndarray of shape (B,)
        Whether output i stands for source i, instead of the pairing with the lowest sum.

    Returns
    -------
    Costs
        Each of shape (B, C), for output i and the source that it stands for.
    """
    costs = pairwise_costs(
        torch.where(torch.as_tensor(softmaxed), logits.softmax(-1), logits),
        multiplets,
        labels,
        sources,
    )
    pairing = assign(costs.total(weight).detach().numpy())
    pairing = np.where(np.reshape(unmatched, (-1, 1)), np.arange(pairing.shape[1]), pairing)
    along = torch.from_numpy(pairing)[..., None]
    return Costs(*(part.gather(2, along).squeeze(2) for part in costs))


def train(
    dataset: Dataset,
    config: TrainConfig,
    faults: Faults,
    seed: int,
    report: Callable[[int], None] = lambda step: None,
    every: int = 25,
) -> tuple[Network, list[dict]]:
    """Train slots as `Trainer` does, with faults; mixtures list their compounds in random order.

    The model of 2022 had no mask loss, so the mask weight of `config` is not used.

    Parameters
    ----------
    dataset : Dataset
        Without a fault; `faults.reshaped` changes its mixtures.
    seed : int
        Seeds the initial weights and the order of the lists.
    report : callable
        Called with the number of steps taken, before the first and after each; may raise to stop.
    every : int
        Steps from one row of the history to the next.

    Returns
    -------
    model : Network
    history : list of dict
        "step"; "classification" (nats) and "gradient" (its length before clipping), means since the
        row before; and on the unseen test compositions, under the best matching, "right" (share of
        compounds) and "exact" (share of mixtures in which all are right).
    """
    form = reshaped_mixtures if faults.reshaped else lambda mixtures: mixtures
    model = model_for(dataset, seed)
    optimiser = OPTIMISERS[config.optimiser](model.parameters(), config)
    widen, test = config.augmented(dataset), form(dataset.test_mixtures())
    history, since = [], []
    report(0)
    for step in range(config.steps):
        batch = form(dataset.training_batch(step, config.batch_size, widen))
        batch = shuffled_compounds(batch, generator(seed, "view", step))
        model.train()
        logits, separation = model(torch.from_numpy(batch.areas))
        labels, sources = torch.from_numpy(batch.labels), torch.from_numpy(batch.sources)
        weight = config.reconstruction_weight
        costs = assigned_costs(
            logits,
            separation.multiplets,
            labels,
            sources,
            weight,
            faults.softmaxed,
            faults.unmatched,
        )
        loss = costs.total(weight).mean()
        length = take_step(optimiser, loss, config.rate(step), config.clip_norm)
        model.constrain()
        model.trained = True
        # A source without a class costs nothing, and does not count.
        known = (labels < logits.shape[-1]).sum()
        since.append(((costs.classification.sum() / known).item(), length.item()))
        if (step + 1) % every == 0 or step + 1 == config.steps:
            summary = evaluate(model, test, weight).summary()
            means = dict(
                zip(("classification", "gradient"), np.mean(since, axis=0).tolist(), strict=True)
            )
            unseen = {"right": summary["compound_accuracy"], "exact": summary["exact_match"]}
            history.append({"step": step + 1} | means | unseen)
            since = []
        report(step + 1)
    return model, history


def printed(shares: np.ndarray, n_sources: int) -> float:
    """Return the "accuracy" that the first version printed, a mean over the epochs.

    It divided the number of right compounds by the number of mixtures.

    Parameters
    ----------
    shares : ndarray, shape (epochs,)
        Share of the compounds that were right after each epoch.
    n_sources : int
        Compounds in a mixture, C, and so the highest value.
    """
    return float(np.mean(shares)) * n_sources


def most_frequent_shares(dataset: Dataset, rows: np.ndarray) -> tuple[float, float]:
    """Return the shares of mixtures and of compounds that the most frequent compounds get right.

    Each prediction is the C compounds that occur most often in training.

    Parameters
    ----------
    rows : ndarray, shape (n, C)
        The true compositions.
    """
    frequency = counts_of(dataset.train, dataset.library.n_compounds).sum(axis=0)
    named = np.argsort(-frequency, kind="stable")[: dataset.config.n_sources]
    true = counts_of(rows, dataset.library.n_compounds)
    return shares_right(
        counts_of(np.tile(named, (len(true), 1)), dataset.library.n_compounds), true
    )
