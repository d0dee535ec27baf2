"""What changes: one network's answers to two mixtures, or two networks' to one, side by side; and what each multiplet is worth."""

from dataclasses import dataclass

import numpy as np
import torch

from nmrclassify.evaluation.interpretation import n_outputs
from nmrclassify.evaluation.metrics import presence_of
from nmrclassify.evaluation.prediction import MAX_SHOWN, Prediction, predict
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.training.checkpoints import Checkpoint

MOST_VALUES = 20_000_000  # of the masks of one batch


@dataclass(frozen=True)
class Comparison:
    """Two answers, A and B, with their outputs paired.

    Attributes
    ----------
    first, second : Answer
        As each was given by itself.
    labels : ndarray, shape (n,)
        The compound that each pair of outputs names (K: nothing, or something unknown).
    outputs : ndarray, shape (n,)
        Which of A's outputs stands in each pair, of B's where A has none.
    kinds : tuple of str, length n
        Of the network that the label is of: K means "something unknown" with queries, "nothing"
        with slots.
    masks : ndarray, shape (2, n, N, L), or None
        Of A and of B; NaN where one has no such output. None where their sizes differ.
    multiplets : ndarray, shape (2, n, P, L)
    presence : ndarray, shape (2, K) or (2, K + 1)
        Probability of each compound; that of something unknown where both tell.
    """

    first: Prediction
    second: Prediction
    labels: np.ndarray
    outputs: np.ndarray
    kinds: tuple[str, ...]
    masks: np.ndarray | None
    multiplets: np.ndarray
    presence: np.ndarray


def compare_predictions(
    first: tuple[Network, np.ndarray], second: tuple[Network, np.ndarray]
) -> Comparison:
    """Set a model's answer to a mixture (P, L) against another model's, or another mixture's; both know the same compounds.

    Two queries networks show the compounds that either finds. Slots have no order: two sets of
    weights are paired by what their outputs name, the same weights by their place.

    Raises
    ------
    ValueError
        As `answer`, and where the models know different numbers of compounds or positions.
    """
    models, areas = (first[0], second[0]), (first[1], second[1])
    sizes = [(m.config.n_compounds, m.config.n_peaks, m.config.n_positions) for m in models]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the models are made for {sizes[0]} and {sizes[1]} compounds, peaks and positions;"
            " choose two for the same library"
        )
    alone = [predict(model, mixture) for model, mixture in zip(models, areas, strict=False)]
    shown = alone
    if alone[0].kind == alone[1].kind == "queries":
        both = list(dict.fromkeys([*alone[0].named, *alone[1].named]))[:MAX_SHOWN]
        shown = [
            predict(model, mixture, np.array(both))
            for model, mixture in zip(models, areas, strict=False)
        ]
        pairs = [(i, i) for i in range(len(both))]
    elif models[0] is models[1]:
        pairs = [(i, i) for i in range(len(alone[0].named))]
    else:
        pairs = _paired(
            alone[0].named, alone[1].named, None if alone[0].kind == alone[1].kind else sizes[0][0]
        )
    labels = np.array([shown[0].named[i] if i is not None else shown[1].named[j] for i, j in pairs])
    outputs = np.array(
        [shown[0].outputs[i] if i is not None else shown[1].outputs[j] for i, j in pairs]
    )
    kinds = tuple(alone[0 if i is not None else 1].kind for i, _ in pairs)
    same = models[0].config.n_filters == models[1].config.n_filters
    presence = [
        presence_row(model, mixture[None])[0] for model, mixture in zip(models, areas, strict=False)
    ]
    told = min(map(len, presence))
    return Comparison(
        *alone,
        labels,
        outputs,
        kinds,
        _both("masks", shown, pairs) if same else None,
        _both("multiplets", shown, pairs),
        np.stack([row[:told] for row in presence]),
    )


def _paired(
    first: np.ndarray, second: np.ndarray, apart: int | None = None
) -> list[tuple[int | None, int | None]]:
    """Pair outputs that name the same compound, each once; the rest, and those that name `apart`, stay alone."""
    left, pairs = list(range(len(second))), []
    for i, k in enumerate(first):
        j = next((j for j in left if second[j] == k != apart), None)
        if j is not None:
            left.remove(j)
        pairs.append((i, j))
    return (pairs + [(None, j) for j in left])[:MAX_SHOWN]


def _both(
    name: str, shown: list[Prediction], pairs: list[tuple[int | None, int | None]]
) -> np.ndarray:
    sides = []
    for side, given in enumerate(shown):
        maps = getattr(given, name)
        blank = np.full(maps.shape[1:], np.nan, dtype=np.float32)
        sides.append(
            np.stack([blank if pair[side] is None else maps[pair[side]] for pair in pairs])
        )
    return np.stack(sides)


def same_filters(first: Checkpoint, second: Checkpoint) -> bool:
    """Whether filter n of one model is filter n of the other: two steps of one training, and not two trainings.

    Filters start at random, so those of two other trainings have no common order, and a difference
    of their masks cell by cell means nothing.
    """
    own = [
        (
            c.model.kind,
            c.model.config,
            c.seed,
            c.dataset.seed,
            c.dataset.config,
            c.dataset.preset,
            c.training,
        )
        for c in (first, second)
    ]
    return own[0] == own[1] and np.array_equal(
        first.dataset.library.areas, second.dataset.library.areas
    )


@torch.inference_mode()
def presence_row(model: Network, areas: np.ndarray) -> np.ndarray:
    """Return `presence_of` for mixtures of shape (B, P, L), in one batch, or in several where its masks would fill the memory."""
    model.eval()
    mixtures, config = torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32)), model.config
    size = max(1, MOST_VALUES // (n_outputs(model) * config.n_filters * config.n_positions))
    return torch.cat(
        [presence_of(model(part)[0], config.n_compounds) for part in mixtures.split(size)]
    ).numpy()


@dataclass(frozen=True)
class Occlusion:
    """What each multiplet of a mixture is worth to the network.

    Attributes
    ----------
    positions : ndarray, shape (n,)
        The filled positions.
    presence : ndarray, shape (K,) or (K + 1,)
        Probability of each compound in the whole mixture.
    fall : ndarray, shape (K, L) or (K + 1, L)
        By how much that falls when the multiplet at a position is taken away; NaN where there is
        none.
    """

    positions: np.ndarray
    presence: np.ndarray
    fall: np.ndarray


def occlude(model: Network, areas: np.ndarray, least: float = 0.02) -> Occlusion:
    """Take away each multiplet of a mixture (P, L), one at a time, in one batch.

    The occlusion of M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional
    Networks", ECCV 2014, section 4.2, with a multiplet for their grey square. Positions whose area
    is below `least` of the largest one's are left out; with noise all may lie above it.
    """
    sizes = np.abs(areas).sum(axis=0)
    positions = np.flatnonzero(sizes > least * max(sizes.max(), 1e-30))
    without = np.repeat(areas[None], len(positions) + 1, axis=0)
    without[np.arange(len(positions)) + 1, :, positions] = 0
    whole, *rest = presence_row(model, without)
    fall = np.full((len(whole), areas.shape[1]), np.nan, dtype=np.float32)
    for position, row in zip(positions, rest, strict=False):
        fall[:, position] = whole - row
    return Occlusion(positions, whole, fall)
