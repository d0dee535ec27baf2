"""What changes: one network's answers to two mixtures, or two networks' to one, side by side; and what each multiplet is worth."""

from dataclasses import dataclass

import numpy as np
import torch

from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.prediction import MAX_SHOWN, Prediction

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
    sides : tuple of int, length n
        Whether the label is one of A (0) or of B (1); their class K may differ.
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
    sides: tuple[int, ...]
    masks: np.ndarray | None
    multiplets: np.ndarray
    presence: np.ndarray

    def class_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the name of the class of each pair of outputs."""
        called = [side.class_names(names) for side in (self.first, self.second)]
        return tuple(called[side][k] for side, k in zip(self.sides, self.labels, strict=True))


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
    alone = [model.predict(mixture) for model, mixture in zip(models, areas, strict=True)]
    shown = alone
    if alone[0].outputs_are_classes and alone[1].outputs_are_classes:
        both = list(dict.fromkeys([*alone[0].named, *alone[1].named]))[:MAX_SHOWN]
        shown = [
            model.predict(mixture, np.array(both))
            for model, mixture in zip(models, areas, strict=True)
        ]
        pairs = [(i, i) for i in range(len(both))]
    elif models[0] is models[1]:
        pairs = [(i, i) for i in range(len(alone[0].named))]
    else:
        same_classes = alone[0].class_k == alone[1].class_k
        pairs = _paired(alone[0].named, alone[1].named, None if same_classes else sizes[0][0])
    labels = np.array([shown[0].named[i] if i is not None else shown[1].named[j] for i, j in pairs])
    outputs = np.array(
        [shown[0].outputs[i] if i is not None else shown[1].outputs[j] for i, j in pairs]
    )
    same = models[0].config.n_filters == models[1].config.n_filters
    presence = [
        presence_row(model, mixture[None])[0] for model, mixture in zip(models, areas, strict=True)
    ]
    told = min(map(len, presence))
    return Comparison(
        *alone,
        labels,
        outputs,
        tuple(int(i is None) for i, _ in pairs),
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


@torch.inference_mode()
def presence_row(model: Network, areas: np.ndarray) -> np.ndarray:
    """Return the probability of each class, `Network.presence`, of mixtures of shape (B, P, L), in one batch, or in several where its masks would fill the memory."""
    model.eval()
    mixtures, config = torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32)), model.config
    size = max(1, MOST_VALUES // (model.n_outputs * config.n_filters * config.n_positions))
    return torch.cat([model.presence(model(part)[0]) for part in mixtures.split(size)]).numpy()


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
