"""The faults of the first public version (2022), as switches, to be seen and measured; all else is without them."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nmrclassify.baselines.comparison import shares_right
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import Mixtures, counts_of, generator
from nmrclassify.networks.losses import Costs, pairwise_costs
from nmrclassify.networks.matching import assign
from nmrclassify.networks.slots import Slots
from nmrclassify.nmr.library import Library
from nmrclassify.training.optimiser import OPTIMISERS, take_step
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import model_for

# What the first version printed as test accuracy for its three optimisers: see `printed`.
REPORTED = {"sgd": 0.8286, "momentum": 0.4416, "adam": 0.6298}


class Faults(NamedTuple):
    """Which faults of 2022 are in."""

    reshaped: bool = True  # (L, P) refilled as (P, L) instead of turned
    softmaxed: bool = True  # a softmax before the cross entropy, which applies its own
    unmatched: bool = True  # output i stands for the i-th compound listed


NO_FAULTS = Faults(False, False, False)


def refilled(areas: np.ndarray) -> np.ndarray:
    """Return arrays of shape (..., P, L) as they become if (L, P) is reshaped to (P, L) instead of turned: jumbled."""
    turned = np.ascontiguousarray(np.swapaxes(areas, -1, -2))  # (..., L, P)
    return turned.reshape(areas.shape)


def reshaped(library: Library) -> Library:
    """Return the library with each compound refilled; mixing is linear, so clean mixtures of it are the refilled ones."""
    return replace(library, areas=refilled(library.areas))


def reshaped_mixtures(mixtures: Mixtures) -> Mixtures:
    """Return the mixtures with areas and sources refilled, as they come about when measured arrays are reshaped."""
    return replace(mixtures, areas=refilled(mixtures.areas), sources=refilled(mixtures.sources))


def listed_anew(mixtures: Mixtures, rng: np.random.Generator) -> Mixtures:
    """Return the same mixtures with the compounds of each listed in a random order, as a chemist's list has none."""
    order = rng.permuted(
        np.tile(np.arange(mixtures.labels.shape[1]), (len(mixtures), 1)), axis=1
    )  # (B, C)
    return replace(
        mixtures,
        sources=np.take_along_axis(mixtures.sources, order[:, :, None, None], axis=1),
        labels=np.take_along_axis(mixtures.labels, order, axis=1),
        concentrations=np.take_along_axis(mixtures.concentrations, order, axis=1),
    )


def costs_along(
    logits: Tensor,
    multiplets: Tensor,
    labels: Tensor,
    sources: Tensor,
    weight: float | Tensor = 1.0,
    softmaxed: bool | Tensor = False,
    unmatched: bool | np.ndarray = False,
) -> Costs:
    """Compute the costs of the pairs of output and source that count in training, with faults in or out.

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
) -> tuple[Slots, list[dict]]:
    """Train slots as `training.Trainer` does, with faults in, each mixture's compounds listed in a random order.

    Parameters
    ----------
    dataset : Dataset
        As it should be; `faults.reshaped` jumbles its mixtures.
    config : TrainConfig
    faults : Faults
    seed : int
        Seeds the initial weights and the order of the lists.
    report : callable
        Called with the number of steps taken, before the first and after each; may raise to stop.
    every : int
        Steps from one row of the history to the next.

    Returns
    -------
    model : Slots
    history : list of dict
        "step"; "classification" (nats) and "gradient" (its length before clipping), means since the
        row before; and on the unseen test compositions, under the best matching, "right" (share of
        compounds) and "exact" (share of mixtures wholly right).
    """
    form = reshaped_mixtures if faults.reshaped else lambda mixtures: mixtures
    model = model_for(dataset, seed)
    optimiser = OPTIMISERS[config.optimiser](model.parameters(), config)
    widen, test = config.augmented(dataset), form(dataset.test_mixtures())
    history, since = [], []
    report(0)
    for step in range(config.steps):
        batch = form(dataset.training_batch(step, config.batch_size, widen))
        batch = listed_anew(batch, generator(seed, "view", step))
        model.train()
        logits, separation = model(torch.from_numpy(batch.areas))
        labels, sources = torch.from_numpy(batch.labels), torch.from_numpy(batch.sources)
        weight = config.reconstruction_weight
        costs = costs_along(
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
        since.append((costs.classification.mean().item(), length.item()))
        if (step + 1) % every == 0 or step + 1 == config.steps:
            summary = evaluate(model, test, weight).summary()
            means = dict(
                zip(("classification", "gradient"), np.mean(since, axis=0).tolist(), strict=False)
            )
            unseen = {"right": summary["compound_accuracy"], "exact": summary["exact_match"]}
            history.append({"step": step + 1} | means | unseen)
            since = []
        report(step + 1)
    return model, history


def printed(shares: np.ndarray, n_sources: int) -> float:
    """Return the "accuracy" that the first version printed: compounds right / mixtures, averaged over the epochs.

    Parameters
    ----------
    shares : ndarray, shape (epochs,)
        Share of the compounds that were right after each epoch.
    n_sources : int
        Compounds in a mixture, C; the figure can reach C.
    """
    return float(np.mean(shares)) * n_sources


def naming_the_commonest(dataset: Dataset, rows: np.ndarray) -> tuple[float, float]:
    """Return which shares of mixtures and of compounds are right if the commonest in training are named each time.

    Parameters
    ----------
    dataset : Dataset
    rows : ndarray, shape (n, C)
        The compositions to be named.
    """
    often = counts_of(dataset.train, dataset.library.n_compounds).sum(axis=0)
    named = np.argsort(-often, kind="stable")[: dataset.config.n_sources]
    true = counts_of(rows, dataset.library.n_compounds)
    return shares_right(
        counts_of(np.tile(named, (len(true), 1)), dataset.library.n_compounds), true
    )
