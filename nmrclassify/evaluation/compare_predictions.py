"""Two predictions side by side, by two networks or of two mixtures; what each multiplet changes."""

from dataclasses import dataclass

import numpy as np
import torch

from nmrclassify.evaluation.filters import FilterPattern, patterns_of
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
    named : ndarray, shape (2, n)
        The class of A's output in each pair, and of B's; -1 where one has no such output, or is an
        untrained network that names nothing.
    outputs : ndarray, shape (n,)
        Index of A's output in each pair; of B's where A has none.
    masks : ndarray, shape (2, n, N, L), or None
        Of A and of B; NaN where one has no such output. None where their sizes differ.
    multiplets : ndarray, shape (2, n, P, L)
    presence : ndarray, shape (2, K) or (2, K + 1)
        Probability of each compound; of something unknown too, where both predict it.
    patterns : tuple of two lists of FilterPattern
        Of the filters of A and of B.
    """

    first: Prediction
    second: Prediction
    named: np.ndarray
    outputs: np.ndarray
    masks: np.ndarray | None
    multiplets: np.ndarray
    presence: np.ndarray
    patterns: tuple[list[FilterPattern], list[FilterPattern]]

    @property
    def labels(self) -> np.ndarray:
        """The class of A's output in each pair, of B's where A names none; shape (n,)."""
        return np.where(self.named[0] < 0, self.named[1], self.named[0])

    def class_names(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the class of each pair of outputs, or "A's → B's" where these differ.

        An untrained network that names nothing is called "untrained".
        """
        sides = [
            (side.class_names(names), (side.output_classes < 0).any())
            for side in (self.first, self.second)
        ]
        return tuple(
            " → ".join(
                dict.fromkeys(
                    called[k] if k >= 0 else "untrained"
                    for k, (called, nameless) in zip(pair, sides, strict=True)
                    if k >= 0 or nameless
                )
            )
            for pair in self.named.T
        )


def compare_predictions(
    first: tuple[Network, np.ndarray],
    second: tuple[Network, np.ndarray],
    one_training: bool = False,
) -> Comparison:
    """Compare a prediction of a mixture (P, L) with one by another model or of another mixture.

    Both models have the same library. Where outputs are classes in both, all classes that
    either predicts are shown. Outputs without an order are paired by number in the same model, in
    two steps of `one_training` and where one network is untrained, and otherwise by the compounds
    that they name.

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
    same_classes = predictions[0].class_k == predictions[1].class_k
    # What random weights seem to name is of no interest beside a trained network.
    telling = [p for p in predictions if p.trained] or predictions
    both, shown = dict.fromkeys(k for p in telling for k in p.named), []
    for model, mixture, prediction in zip(models, areas, predictions, strict=True):
        if prediction.outputs_are_classes:  # what only the other side names is shown, too
            known = [k for k in both if same_classes or k < sizes[0][0] or k in prediction.named]
            prediction = model.predict(mixture, np.array(known[:MAX_SHOWN]))
        shown.append(prediction)
    one_order = models[0] is models[1] or one_training or shown[0].outputs_are_classes
    if (same_classes and one_order) or any((p.output_classes < 0).any() for p in shown):
        a, b = (len(p.named) for p in shown)
        pairs: Pairs = [
            (i if i < a else None, i if i < b else None) for i in range(min(max(a, b), MAX_SHOWN))
        ]
    else:
        pairs = _paired(shown[0].named, shown[1].named, None if same_classes else sizes[0][0])
    named = np.array(
        [
            [-1 if i is None else p.output_classes[i] for i in side]
            for p, side in zip(shown, zip(*pairs, strict=True), strict=True)
        ]
    )
    outputs = np.array(
        [shown[0].outputs[i] if i is not None else shown[1].outputs[j] for i, j in pairs]
    )
    same = models[0].config.n_filters == models[1].config.n_filters
    presence = [
        presence_row(model, mixture[None])[0] for model, mixture in zip(models, areas, strict=True)
    ]
    n_classes = min(map(len, presence))
    return Comparison(
        predictions[0],
        predictions[1],
        named,
        outputs,
        _both("masks", shown, pairs) if same else None,
        _both("multiplets", shown, pairs),
        np.stack([row[:n_classes] for row in presence]),
        (patterns_of(models[0]), patterns_of(models[1])),
    )


Pairs = list[tuple[int | None, int | None]]  # outputs of A and of B; None where one has no such


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
