"""A prediction beside the truth: the sources matched to the outputs, and both in words."""

import numpy as np

from nmrclassify.evaluation.metrics import si_sdr_improvement
from nmrclassify.mixtures.edits import Mixture
from nmrclassify.networks.prediction import Prediction, Truth


def match_truth(
    prediction: Prediction,
    areas: np.ndarray,
    sources: np.ndarray,
    labels: np.ndarray,
    weight: float = 1.0,
    unknown: np.ndarray | None = None,
    concentrations: np.ndarray | None = None,
) -> Truth:
    """Match a prediction to the sources of its mixture.

    Parameters
    ----------
    areas : ndarray, shape (P, L)
        The mixture.
    sources : ndarray, shape (C, P, L)
    labels : ndarray, shape (C,)
    weight : float
        The reconstruction weight of the training; the matching uses it too.
    unknown : ndarray, shape (P, L), optional
        Areas of the unknown compound.
    concentrations : ndarray, shape (C,), optional
    """
    is_compound = labels[:, None] == np.arange(len(prediction.counts))  # (C, K)
    paired = prediction.match(sources, labels, weight, unknown)
    gain = si_sdr_improvement(prediction.multiplets, areas[None], paired.sources)
    return Truth(
        **vars(paired),
        si_sdr_improvement=np.where(paired.sources.any((1, 2)), gain, np.nan),
        counts=is_compound.sum(axis=0),
        amounts=(
            None if concentrations is None else (is_compound * concentrations[:, None]).sum(axis=0)
        ),
        unknown=unknown is not None and bool(unknown.any()),
    )


def match_mixture(prediction: Prediction, mixture: Mixture, weight: float = 1.0) -> Truth | None:
    """Match a prediction to the sources of its mixture, as `match_truth` does.

    None where the sources are not known, or cannot be matched to the outputs.
    """
    if mixture.contents is None:
        return None
    sources, labels, concentrations = mixture.contents
    if not prediction.can_match(labels):
        return None
    areas, unknown = mixture.areas, mixture.unknown
    return match_truth(prediction, areas, sources, labels, weight, unknown, concentrations)


def describe_prediction(
    prediction: Prediction, names: tuple[str, ...], truth: Truth | None = None
) -> str:
    """Return in words the prediction and, where the truth is known, its mistakes."""
    summary = prediction.summary(names)
    if truth is None:
        return f"The network predicts {summary}. The truth about this mixture is not known."
    if prediction.all_right(truth):
        n_stated = len(prediction.statements(names))
        return f"All {n_stated} right: {summary}." if n_stated > 1 else f"Right: {summary}."
    return prediction.describe_mistakes(names, truth)
