"""After training: make the probabilities fit, choose the one threshold, and note how good the network is.

All on development mixtures, of libraries that neither training nor any report uses.
"""

from dataclasses import asdict

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch.nn import functional

from nmrclassify.evaluation.calibration import TEMPERATURES
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import Templates, find_hypotheses
from nmrclassify.networks.peak_network import PeakNetwork
from nmrclassify.networks.peak_weights import Trained
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.training.peak_trainer import PeakTrainer

DEVELOPMENT = (500, 501, 502)  # library seeds
JITTERS = (0.003, 0.01, 0.03)  # ppm
THRESHOLDS = np.round(np.arange(0.2, 0.81, 0.05), 2)


@torch.no_grad()
def development_predictions(
    network: PeakNetwork,
    mixtures: int,
    n_compounds: int = 877,
    recipe: PeakMixtureConfig | None = None,
) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """Return logits and truth of all answers for each jitter, both (answers,): alike compounds are one answer.

    Parameters
    ----------
    mixtures : int
        Mixtures of each development library and jitter.
    """
    recipe = asdict(recipe or PeakMixtureConfig())
    found: dict[float, tuple[list, list]] = {jitter: ([], []) for jitter in JITTERS}
    for seed in DEVELOPMENT:
        compounds = synthetic_compounds(SyntheticConfig(n_compounds), np.random.default_rng(seed))
        templates, groups = (
            Templates.of(compounds, FULL_AXIS),
            equivalent_compounds(compounds, FULL_AXIS),
        )
        for jitter, (logits, truths) in found.items():
            for number in range(mixtures):
                mixture = draw_mixture(
                    compounds,
                    PeakMixtureConfig(**(recipe | {"jitter": jitter})),
                    np.random.default_rng([seed, 1, number]),
                )
                presence = network(find_hypotheses(templates, mixture.peaks)).presence.numpy()
                best = np.full(groups.max() + 1, -np.inf)
                np.maximum.at(best, groups, presence)
                logits.append(best)
                truths.append(np.isin(np.arange(len(best)), groups[mixture.present]))
    return {
        jitter: (np.concatenate(logits), np.concatenate(truths))
        for jitter, (logits, truths) in found.items()
    }


def f1(named: np.ndarray, truth: np.ndarray) -> float:
    """Return the micro F1 of answers."""
    return float(2 * (named & truth).sum() / max(1, named.sum() + truth.sum()))


def finish(
    trainer: PeakTrainer,
    mixtures: int = 8,
    n_compounds: int = 877,
    recipe: PeakMixtureConfig | None = None,
) -> Trained:
    """Fit the temperature (Guo et al. 2017, section 4.2) and the threshold, and note the scores on the development mixtures.

    The threshold is the one with the best mean F1 over the three jitters: one for all.
    """
    network = trainer.network.cpu().eval()
    network.temperature.fill_(1.0)
    answers = development_predictions(network, mixtures, n_compounds, recipe)
    logits, truth = (
        torch.from_numpy(np.concatenate(column).astype(np.float32))
        for column in zip(*answers.values(), strict=False)
    )

    def cost(logarithm: float) -> float:
        return float(
            functional.binary_cross_entropy_with_logits(logits / float(np.exp(logarithm)), truth)
        )

    best = minimize_scalar(
        cost, bounds=tuple(np.log(TEMPERATURES)), method="bounded", options={"xatol": 0.02}
    )
    network.temperature.fill_(float(np.exp(best.x)))
    probabilities = {
        jitter: (1 / (1 + np.exp(-(values / float(network.temperature)).clip(-60, 60))), there)
        for jitter, (values, there) in answers.items()
    }
    means = [
        np.mean([f1(values >= level, there) for values, there in probabilities.values()])
        for level in THRESHOLDS
    ]
    threshold = float(THRESHOLDS[int(np.argmax(means))])
    made = {
        "config": asdict(trainer.config), "steps": trainer.step, "seconds": round(trainer.seconds), "waited": round(trainer.waited), "device": trainer.device.type,
        "processes": trainer.world, "development_f1": {f"{j:g}": round(f1(v >= threshold, there), 4) for j, (v, there) in probabilities.items()},
    }  # fmt: skip
    return Trained(network.requires_grad_(False), threshold, made)
