"""What a model makes of one mixture, as arrays and in words, with the truth beside it where that is known."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .losses import Costs, pairwise_costs
from .metrics import pair_for_scoring, si_sdr_improvement
from .model import Slots


class Answer(NamedTuple):
    """What a model makes of one mixture, as arrays: the shapes of `model.Separation` without the batch axis."""

    encoding: np.ndarray  # (N, L)
    masks: np.ndarray  # (C, N, L)
    separated_encodings: np.ndarray  # (C, N, L)
    multiplets: np.ndarray  # (C, P, L)
    logits: np.ndarray  # (C, K)

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax over the compounds, shape (C, K)."""
        power = np.exp(self.logits - self.logits.max(-1, keepdims=True))
        return power / power.sum(-1, keepdims=True)


@torch.inference_mode()
def answer(model: Slots, areas: np.ndarray) -> Answer:
    """Run a model on one mixture of shape (P, L)."""
    model.eval()
    logits, separation = model(torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32))[None])
    return Answer(*(tensor[0].numpy().copy() for tensor in separation), logits[0].numpy().copy())


@dataclass(frozen=True)
class Truth:
    """What a mixture was made of, put in the order of the outputs.

    Attributes
    ----------
    pairing : ndarray, shape (C,)
        The source that each output stands for.
    labels : ndarray, shape (C,)
        The compound behind each output's source.
    sources : ndarray, shape (C, P, L)
    classification, reconstruction : ndarray, shape (C, C)
        Cost of pairing output i with source j, sources in the order they were mixed.
    si_sdr_improvement : ndarray, shape (C,)
        dB.
    """

    pairing: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    classification: np.ndarray
    reconstruction: np.ndarray
    si_sdr_improvement: np.ndarray


def compare(given: Answer, areas: np.ndarray, sources: np.ndarray, labels: np.ndarray, weight: float = 1.0) -> Truth:
    """Match an answer to the sources of its mixture.

    Parameters
    ----------
    given : Answer
    areas : ndarray, shape (P, L)
        The mixture.
    sources : ndarray, shape (C, P, L)
    labels : ndarray, shape (C,)
    weight : float
        The training's reconstruction weight, which the assignment follows.
    """
    logits, multiplets, truth, classes = (
        torch.from_numpy(np.asarray(a))[None] for a in (given.logits, given.multiplets, sources, labels)
    )
    costs: Costs = pairwise_costs(logits, multiplets, classes, truth)
    pairing = pair_for_scoring(logits, costs, classes, weight)[0]
    paired = sources[pairing]
    gain = si_sdr_improvement(given.multiplets, areas[None], paired)
    return Truth(pairing, labels[pairing], paired, costs.classification[0].numpy(), costs.reconstruction[0].numpy(), gain)


def percent(probability: float) -> str:
    """Return a probability for reading; one that is nearly certain is not rounded up to certainty."""
    return "over 99.9 %" if probability > 0.999 else f"{probability:.1%}".replace("%", " %")


def listing(items: list[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def verdict(given: Answer, names: tuple[str, ...], truth: Truth | None = None) -> str:
    """Say in words what the model found, and where the truth is known what it got wrong."""
    chances = given.probabilities
    named = chances.argmax(1)
    found = listing([f"{names[k]} ({percent(chances[i, k])})" for i, k in enumerate(named)])
    if truth is None:
        return f"The network hears {found}. The truth about this mixture is not known."
    wrong = np.flatnonzero(named != truth.labels)
    if not len(wrong):
        count = "All" if len(named) > 1 else "The"
        return f"{count} {len(named)} right: {found}." if len(named) > 1 else f"Right: {found}."
    parts = []
    for i in wrong:
        rank = int((chances[i] > chances[i, truth.labels[i]]).sum()) + 1
        parts.append(
            f"output {i + 1} says {names[named[i]]} ({percent(chances[i, named[i]])}) where {names[truth.labels[i]]} was mixed in, "
            f"its guess number {rank} ({percent(chances[i, truth.labels[i]])})"
        )
    return f"{len(named) - len(wrong)} of {len(named)} right. Wrong: {listing(parts)}."
