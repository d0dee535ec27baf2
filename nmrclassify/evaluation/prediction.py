"""What a model makes of one mixture, as arrays and in words, with the truth beside it where that is known."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from nmrclassify.evaluation.metrics import pair_for_scoring, si_sdr_improvement
from nmrclassify.mixtures.edits import Mixture
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.losses import Costs, counts_found, pairwise_costs

MAX_SHOWN = 8


@dataclass(frozen=True)
class Prediction:
    """What a model makes of one mixture, as arrays.

    The M outputs of slots are all there are. Of queries they are those of the compounds found, the
    likeliest first, and of the unknown where something unknown is found; or the likeliest one,
    where nothing is.

    Attributes
    ----------
    kind : str
        "slots" or "queries".
    encoding : ndarray, shape (N, L)
    masks, separated_encodings : ndarray, shape (M, N, L)
    multiplets : ndarray, shape (M, P, L)
    named : ndarray, shape (M,), int
        The compound of each output; K stands for "nothing" with slots, for "something unknown" with
        queries.
    chances : ndarray
        Slots: the softmax of each output, shape (C, K), or (C, K + 1) with "nothing". Queries: the
        presence of each compound and of something unknown, shape (1, K + 1).
    counts : ndarray, shape (K,), int
        How often each compound was found.
    amounts : ndarray, shape (K,), or None
        Concentration of each compound; slots do not tell.
    """

    kind: str
    encoding: np.ndarray
    masks: np.ndarray
    separated_encodings: np.ndarray
    multiplets: np.ndarray
    named: np.ndarray
    probabilities: np.ndarray
    counts: np.ndarray
    amounts: np.ndarray | None = None

    @property
    def confidence(self) -> np.ndarray:
        """Probability of what each output named, shape (M,)."""
        return (
            self.probabilities[0, self.named]
            if self.kind == "queries"
            else self.probabilities.max(axis=-1)
        )

    @property
    def outputs(self) -> np.ndarray:
        """Which of the network's outputs are shown, shape (M,): with queries the named compounds', with slots all in order."""
        return self.named if self.kind == "queries" else np.arange(len(self.named))

    @property
    def unknown(self) -> float | None:
        """Probability that the mixture holds something that is not in the library; slots do not tell."""
        return float(self.probabilities[0, -1]) if self.kind == "queries" else None


def _softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)


def class_names(kind: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the K compounds, and what K itself stands for."""
    return (*names, "something unknown" if kind == "queries" else "nothing")


@torch.inference_mode()
def predict(model: Network, areas: np.ndarray, outputs: np.ndarray | None = None) -> Prediction:
    """Run a model on one mixture of shape (P, L).

    `outputs` says which of the outputs of queries to show, whatever was found; slots always show
    all.

    Raises
    ------
    ValueError
        If the mixture has another shape than the model's, holds an undefined number, or nothing at
        all.
    """
    areas = np.ascontiguousarray(areas, dtype=np.float32)
    if not np.isfinite(areas).all():
        raise ValueError(
            f"the mixture holds {int((~np.isfinite(areas)).sum())} undefined or infinite areas;"
            " expected numbers only"
        )
    if not areas.any():
        raise ValueError(
            "the mixture is empty: all areas are 0; give at least one multiplet with an area"
        )
    model.eval()
    output, separation = model(torch.from_numpy(areas)[None])
    record = [tensor[0].numpy().copy() for tensor in separation]
    if model.kind == "slots":
        probabilities = _softmax(output[0].numpy())
        named = probabilities.argmax(-1)
        counts = np.bincount(named, minlength=model.config.n_compounds)[: model.config.n_compounds]
        return Prediction("slots", *record, named, probabilities, counts)
    logits = output.presence[0].numpy()
    presence = output.presence[0].sigmoid().numpy()
    order = np.argsort(-presence[:-1], kind="stable")
    found = order[logits[order] > 0][:MAX_SHOWN]
    if logits[-1] > 0:
        found = np.append(found[: MAX_SHOWN - 1], len(presence) - 1)
    shown = outputs if outputs is not None else found if len(found) else order[:1]
    encoding, *outputs = record
    return Prediction(
        "queries",
        encoding,
        *(part[shown] for part in outputs),
        shown,
        presence[None],
        counts_found(output)[0].numpy(),
        output.amounts[0].numpy().copy(),
    )


@dataclass(frozen=True)
class Truth:
    """What a mixture was made of, put in the order of the outputs.

    Attributes
    ----------
    labels : ndarray, shape (M,)
        The compound behind each output's source; K where there is none, or a foreign compound.
    right : ndarray, shape (M,), bool
    sources : ndarray, shape (M, P, L)
        With queries all portions of one compound together.
    si_sdr_improvement : ndarray, shape (M,)
        dB; NaN where there is nothing to improve.
    counts : ndarray, shape (K,), int
        How often each compound was mixed in.
    amounts : ndarray, shape (K,), or None
        Concentration of each compound.
    unknown : bool
        Whether something is in the mixture that the library does not hold.
    pairing, classification, reconstruction : ndarray, shapes (C,), (C, C), (C, C), or None
        Slots: the source that each output stands for, and the costs of pairing output i with source
        j, in the order mixed.
    """

    labels: np.ndarray
    right: np.ndarray
    sources: np.ndarray
    si_sdr_improvement: np.ndarray
    counts: np.ndarray
    amounts: np.ndarray | None = None
    unknown: bool = False
    pairing: np.ndarray | None = None
    classification: np.ndarray | None = None
    reconstruction: np.ndarray | None = None

    @cached_property
    def present(self) -> np.ndarray:
        """Indices of the compounds in the mixture."""
        return np.flatnonzero(self.counts)


def match_truth(
    given: Prediction,
    areas: np.ndarray,
    sources: np.ndarray,
    labels: np.ndarray,
    weight: float = 1.0,
    unknown: np.ndarray | None = None,
    concentrations: np.ndarray | None = None,
) -> Truth:
    """Match an answer to the sources of its mixture.

    Parameters
    ----------
    given : Answer
    areas : ndarray, shape (P, L)
        The mixture.
    sources : ndarray, shape (C, P, L)
    labels : ndarray, shape (C,)
    weight : float
        The training's reconstruction weight, which the assignment of slots follows.
    unknown : ndarray, shape (P, L), optional
        What a compound from outside the library adds.
    concentrations : ndarray, shape (C,), optional
    """
    n_compounds = len(given.counts)
    counts = (labels[:, None] == np.arange(n_compounds)).sum(axis=0)
    amounts = None
    if concentrations is not None:
        amounts = ((labels[:, None] == np.arange(n_compounds)) * concentrations[:, None]).sum(
            axis=0
        )
    foreign = unknown is not None and bool(unknown.any())
    if given.kind == "queries":
        total = [sources[labels == k].sum(axis=0) for k in given.named]
        if unknown is not None and given.named[-1] == n_compounds:
            total[-1] = unknown
        mixed = np.stack(total)
        present = mixed.any((1, 2))
        right = np.array(
            [
                present[i] and (k == n_compounds or given.counts[k] == counts[k])
                for i, k in enumerate(given.named)
            ]
        )
        gain = np.where(present, si_sdr_improvement(given.multiplets, areas[None], mixed), np.nan)
        return Truth(
            np.where(present, given.named, n_compounds),
            right,
            mixed,
            gain,
            counts,
            amounts,
            foreign,
        )
    logits, multiplets, truth, classes = (
        torch.from_numpy(np.asarray(a))[None]
        for a in (np.log(np.maximum(given.probabilities, 1e-30)), given.multiplets, sources, labels)
    )
    costs: Costs = pairwise_costs(logits, multiplets, classes, truth)
    pairing = pair_for_scoring(logits, costs, classes, weight)[0]
    paired = sources[pairing]
    gain = si_sdr_improvement(given.multiplets, areas[None], paired)
    return Truth(
        labels[pairing],
        given.named == labels[pairing],
        paired,
        gain,
        counts,
        amounts,
        foreign,
        pairing,
        costs.classification[0].numpy(),
        costs.reconstruction[0].numpy(),
    )


def match_mixture(prediction: Prediction, mixture: Mixture, weight: float = 1.0) -> Truth | None:
    """Match a prediction to the sources of its mixture, as `match_truth` does.

    None where the sources are not known, and where slots have no output or no class for one of
    them.
    """
    if mixture.contents is None:
        return None
    sources, labels, concentrations = mixture.contents
    n_classes = prediction.probabilities.shape[1]
    if prediction.kind == "slots" and (
        len(labels) != len(prediction.named) or (labels >= n_classes).any()
    ):
        return None
    areas, unknown = mixture.areas, mixture.unknown
    return match_truth(prediction, areas, sources, labels, weight, unknown, concentrations)


def percent(probability: float) -> str:
    """Return a probability for reading; one that is nearly certain is not rounded up to certainty."""
    return "over 99.9 %" if probability > 0.999 else f"{probability:.1%}".replace("%", " %")


def listing(items: list[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def all_right(given: Prediction, truth: Truth) -> bool:
    """Whether everything in the mixture was named, as often as it is there, and nothing else."""
    if given.kind == "slots":
        return bool(truth.right.all())
    return np.array_equal(given.counts, truth.counts) and predicts_unknown(given) == truth.unknown


def predicts_unknown(given: Prediction) -> bool:
    """Whether the network says that something is in the mixture that the library does not hold."""
    return given.kind == "queries" and given.unknown > 0.5


def describe_prediction(
    given: Prediction, names: tuple[str, ...], truth: Truth | None = None
) -> str:
    """Say in words what the model found, and where the truth is known what it got wrong."""
    called = class_names(given.kind, names)

    def sure(i: int) -> str:
        k = given.named[i]
        times = (
            f"{given.counts[k]}x "
            if given.kind == "queries" and k < len(names) and given.counts[k] > 1
            else ""
        )
        return f"{times}{called[k]} ({percent(given.confidence[i])})"

    if given.kind == "slots":
        kept = np.flatnonzero(given.named < len(names))
    else:
        kept = [
            i
            for i, k in enumerate(given.named)
            if (given.counts[k] if k < len(names) else predicts_unknown(given))
        ]
    more = (
        int((given.counts > 0).sum()) - sum(k < len(names) for k in given.named[kept])
        if given.kind == "queries"
        else 0
    )
    found = (
        listing([sure(i) for i in kept] + ([f"{more} more"] if more > 0 else []))
        if len(kept)
        else "nothing that it knows"
    )
    if truth is None:
        return f"The network hears {found}. The truth about this mixture is not known."
    if all_right(given, truth):
        return f"All {len(kept)} right: {found}." if len(kept) > 1 else f"Right: {found}."
    return (
        _mistakes(given, called, truth, found)
        if given.kind == "queries"
        else _wrong_outputs(given, called, truth)
    )


def _wrong_outputs(given: Prediction, called: tuple[str, ...], truth: Truth) -> str:
    parts = []
    for i in np.flatnonzero(~truth.right):
        rank = int((given.probabilities[i] > given.probabilities[i, truth.labels[i]]).sum()) + 1
        parts.append(
            f"output {i + 1} says {called[given.named[i]]} ({percent(given.confidence[i])}) where"
            f" {called[truth.labels[i]]} was mixed in, its guess number {rank}"
            f" ({percent(given.probabilities[i, truth.labels[i]])})"
        )
    return f"{int(truth.right.sum())} of {len(truth.right)} right. Wrong: {listing(parts)}."


def _mistakes(given: Prediction, called: tuple[str, ...], truth: Truth, found: str) -> str:
    probabilities, parts = given.probabilities[0], []
    for k in np.flatnonzero(given.counts != truth.counts):
        if not given.counts[k]:
            parts.append(f"{called[k]} is in it and was missed ({percent(probabilities[k])})")
        elif not truth.counts[k]:
            parts.append(f"{called[k]} is not in it")
        else:
            parts.append(f"{called[k]} is in it {truth.counts[k]} times, not {given.counts[k]}")
    if predicts_unknown(given) != truth.unknown:
        missed = f"something unknown is in it and was missed ({percent(probabilities[-1])})"
        parts.append(missed if truth.unknown else "nothing unknown is in it")
    right = int(np.minimum(given.counts, truth.counts).sum())
    return f"{right} of {int(truth.counts.sum())} right: it hears {found}. Wrong: {listing(parts)}."
