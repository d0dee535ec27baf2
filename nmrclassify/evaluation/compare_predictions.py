"""Two predictions side by side, by two networks or of two mixtures; what each multiplet changes."""

from dataclasses import dataclass

import numpy as np
import torch

from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.prediction import MAX_SHOWN, Prediction

MOST_VALUES = 20_000_000  # of the masks of one batch


@dataclass(frozen=True)
class Comparison:
    """Two predictions, A and B, with their outputs paired.

    Attributes
    ----------
    first, second : Prediction
        The predictions A and B.
    labels : ndarray, shape (n,)
        The class of each pair of outputs.
    outputs : ndarray, shape (n,)
        Index of A's output in each pair; of B's where A has none.
    sides : tuple of int, length n
        Whether the label is one of A (0) or of B (1); their class K may differ.
    masks : ndarray, shape (2, n, N, L), or None
        Of A and of B; NaN where one has no such output. None where their sizes differ.
    multiplets : ndarray, shape (2, n, P, L)
    presence : ndarray, shape (2, K) or (2, K + 1)
        Probability of each compound; of something unknown too, where both predict it.
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
    """Compare a prediction of a mixture (P, L) with one by another model or of another mixture.

    Both models have the same library. Where outputs are classes in both, all classes that
    either predicts are shown. Outputs without an order are paired by number in the same model, and
    by the compounds that they name in two models.

    Raises
    ------
    ValueError
        As `Network.predict`, and where the models have different numbers of compounds or positions.
    """
    models, areas = (first[0], second[0]), (first[1], second[1])
    sizes = [(m.config.n_compounds, m.config.n_peaks, m.config.n_positions) for m in models]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"the models have {sizes[0]} and {sizes[1]} compounds, peaks and positions;"
            " choose two for the same library"
        )
    predictions = [model.predict(mixture) for model, mixture in zip(models, areas, strict=True)]
    shown = predictions
    if predictions[0].outputs_are_classes and predictions[1].outputs_are_classes:
        both = list(dict.fromkeys([*predictions[0].named, *predictions[1].named]))[:MAX_SHOWN]
        shown = [
            model.predict(mixture, np.array(both))
            for model, mixture in zip(models, areas, strict=True)
        ]
        pairs = _same(len(both))
    elif models[0] is models[1]:
        pairs = _same(len(predictions[0].named))
    else:
        same_classes = predictions[0].class_k == predictions[1].class_k
        unpaired = None if same_classes else sizes[0][0]
        pairs = _paired(predictions[0].named, predictions[1].named, unpaired)
    sides = tuple(int(i is None) for i, _ in pairs)
    where = list(zip(sides, (j if i is None else i for i, j in pairs), strict=True))
    labels = np.array([shown[side].named[i] for side, i in where])
    outputs = np.array([shown[side].outputs[i] for side, i in where])
    same = models[0].config.n_filters == models[1].config.n_filters
    presence = [
        presence_row(model, mixture[None])[0] for model, mixture in zip(models, areas, strict=True)
    ]
    n_classes = min(map(len, presence))
    return Comparison(
        predictions[0],
        predictions[1],
        labels,
        outputs,
        sides,
        _both("masks", shown, pairs) if same else None,
        _both("multiplets", shown, pairs),
        np.stack([row[:n_classes] for row in presence]),
    )


Pairs = list[tuple[int | None, int | None]]  # outputs of A and of B; None where one has no such


def _same(n: int) -> Pairs:
    return [(i, i) for i in range(n)]


def _paired(first: np.ndarray, second: np.ndarray, unpaired: int | None = None) -> Pairs:
    """Pair outputs of the same class, each once; those of class `unpaired` get no partner."""
    left, pairs = list(range(len(second))), Pairs()
    for i, k in enumerate(first):
        j = next((j for j in left if second[j] == k != unpaired), None)
        if j is not None:
            left.remove(j)
        pairs.append((i, j))
    pairs += [(None, j) for j in left]
    return pairs[:MAX_SHOWN]


def _both(name: str, shown: list[Prediction], pairs: Pairs) -> np.ndarray:
    sides = []
    for maps, outputs in zip(
        (getattr(p, name) for p in shown), zip(*pairs, strict=True), strict=True
    ):
        blank = np.full(maps.shape[1:], np.nan, dtype=np.float32)
        sides.append(np.stack([blank if output is None else maps[output] for output in outputs]))
    return np.stack(sides)


@torch.inference_mode()
def presence_row(model: Network, areas: np.ndarray) -> np.ndarray:
    """Return `Network.presence` of mixtures (B, P, L), in batches whose masks fit the memory."""
    model.eval()
    mixtures, config = torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32)), model.config
    size = max(1, MOST_VALUES // (model.n_outputs * config.n_filters * config.n_positions))
    return torch.cat([model.presence(model(part)[0]) for part in mixtures.split(size)]).numpy()


@dataclass(frozen=True)
class Occlusion:
    """The effect of each multiplet of a mixture on the prediction.

    Attributes
    ----------
    positions : ndarray, shape (n,)
        The filled positions.
    presence : ndarray, shape (K,) or (K + 1,)
        Probability of each compound in the whole mixture.
    fall : ndarray, shape (K, L) or (K + 1, L)
        Decrease of `presence` without the multiplet at a position; NaN where there is none.
    """

    positions: np.ndarray
    presence: np.ndarray
    fall: np.ndarray


def occlude(model: Network, areas: np.ndarray, least: float = 0.02) -> Occlusion:
    """Remove each multiplet of a mixture (P, L), one at a time, and predict again.

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
    for position, row in zip(positions, rest, strict=True):
        fall[:, position] = whole - row
    return Occlusion(positions, whole, fall)
