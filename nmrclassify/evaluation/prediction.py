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
    n_compounds = len(prediction.counts)
    is_compound = labels[:, None] == np.arange(n_compounds)  # (C, K)
    paired = prediction.match(sources, labels, weight, unknown)
    # What was mixed of each compound, and last of the unknown, less what stands beside outputs.
    rest = np.einsum("ck,cpl->kpl", is_compound, sources)
    rest = np.concatenate([rest, np.zeros_like(rest[:1]) if unknown is None else unknown[None]])
    np.subtract.at(rest, paired.labels, paired.sources)
    left = np.flatnonzero(np.abs(rest).max((1, 2)) > 1e-6 * np.abs(areas).max())
    gain = si_sdr_improvement(prediction.multiplets, areas[None], paired.sources)
    return Truth(
        **vars(paired),
        si_sdr_improvement=np.where(paired.sources.any((1, 2)), gain, np.nan),
        counts=is_compound.sum(axis=0),
        unshown_labels=left,
        unshown=rest[left],
        amounts=(
            None if concentrations is None else (is_compound * concentrations[:, None]).sum(axis=0)
        ),
        unknown=unknown is not None and bool(unknown.any()),
    )


def match_mixture(prediction: Prediction, mixture: Mixture, weight: float = 1.0) -> Truth | None:
    """Match a prediction to the sources of its mixture, as `match_truth` does.

    None where the sources are not known.
    """
    if mixture.contents is None:
        return None
    sources, labels, concentrations = mixture.contents
    areas, unknown = mixture.areas, mixture.unknown
    return match_truth(prediction, areas, sources, labels, weight, unknown, concentrations)


UNTRAINED = "This network is **untrained**: its weights are random, so it names no compound."


def describe_prediction(
    prediction: Prediction, names: tuple[str, ...], truth: Truth | None = None
) -> str:
    """Return in words the prediction and, where the truth is known, its mistakes.

    An untrained network predicts nothing.
    """
    if not prediction.trained:
        return UNTRAINED
    summary = prediction.summary(names)
    if truth is None:
        return f"The network predicts {summary}. The truth about this mixture is not known."
    if prediction.all_right(truth):
        n_stated = len(prediction.statements(names))
        text = f"All {n_stated} right: {summary}." if n_stated > 1 else f"Right: {summary}."
    else:
        text = prediction.describe_mistakes(names, truth)
    if truth.unknown and prediction.unknown is None:
        text += " Something unknown was mixed in, too; this network has no output for it."
    return text
