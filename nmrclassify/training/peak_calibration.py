"""After a training: fit the temperature, choose the threshold, and note the scores.

All three use development mixtures, from libraries that neither training nor any report uses.

References
----------
.. [1] C. Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
"""

from dataclasses import asdict, replace
from functools import cache, partial

import numpy as np
import torch
from torch.nn import functional

from nmrclassify.evaluation.calibration import best_temperature
from nmrclassify.evaluation.peak_metrics import Tally, highest_of_group, in_groups
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.peak_network import PeakNetwork
from nmrclassify.networks.peak_weights import Trained
from nmrclassify.networks.templates import Templates
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.training.peak_examples import (
    SHARE_OF_MIXTURES,
    disturbed_recipe,
    held_and_others,
    with_uncertain_places,
)
from nmrclassify.training.peak_trainer import PeakTrainer

DEVELOPMENT = (500, 501, 502)  # library seeds
JITTERS = (0.003, 0.01, 0.03)  # ppm
DISTURBED = "disturbed"
DROPPED = -20.0  # logits of compounds without a candidate in the last round are below
THRESHOLDS = np.round(np.arange(0.2, 0.81, 0.05), 2)


@torch.no_grad()
def development_predictions(
    network: PeakNetwork,
    mixtures: int,
    n_compounds: int = 877,
    recipe: PeakMixtureConfig | None = None,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return logits and truth of the development mixtures, for each jitter and for `DISTURBED`.

    The disturbed mixtures are as many as those of all jitters together. As in training, some hold
    relatives of the library's compounds, and some are of a library with places that are not well
    known.

    Both arrays have one entry for each mixture and group of equivalent compounds.

    Parameters
    ----------
    mixtures : int
        Mixtures of each development library and jitter.
    n_compounds : int
        Compounds of each library.
    recipe : PeakMixtureConfig, optional
        Its jitter is replaced.
    """
    kinds = [*(f"{jitter:g}" for jitter in JITTERS), DISTURBED]
    logits: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    truths: dict[str, list[np.ndarray]] = {kind: [] for kind in kinds}
    recipe, sizes = recipe or PeakMixtureConfig(), SyntheticConfig(n_compounds)

    groups_of = cache(partial(equivalent_compounds, axis=FULL_AXIS))

    def add(kind: str, compounds: Compounds, axis: Axis, mixture: PeakMixture) -> None:
        groups = groups_of(compounds)
        hypotheses = find_hypotheses(Templates.of(compounds, axis), mixture.peaks)
        presence = network(hypotheses).presence.numpy()
        logits[kind].append(highest_of_group(groups, presence))
        truths[kind].append(in_groups(groups, mixture.present))

    for seed in DEVELOPMENT:
        compounds = synthetic_compounds(sizes, np.random.default_rng(seed))
        held, unknown = held_and_others(sizes, np.random.default_rng([seed, 2]))
        not_well_known = with_uncertain_places(held, np.random.default_rng([seed, 3]))
        for k, jitter in enumerate(JITTERS):
            config = replace(recipe, jitter=jitter)
            for number in range(mixtures):
                rng = np.random.default_rng([seed, 1, number])
                add(kinds[k], compounds, FULL_AXIS, draw_mixture(compounds, config, rng))
                rng = np.random.default_rng([seed, 6 + k, number])
                drawn, mhz = disturbed_recipe(config, rng)
                of_mixture = not_well_known if rng.random() < SHARE_OF_MIXTURES else held
                axis = replace(FULL_AXIS, mhz=mhz)
                mixture = draw_mixture(of_mixture, drawn, rng, axis, unknown)
                add(DISTURBED, of_mixture, axis, mixture)
    return {kind: (np.concatenate(logits[kind]), np.concatenate(truths[kind])) for kind in kinds}


def calibrate_network(
    trainer: PeakTrainer,
    mixtures: int = 20,
    n_compounds: int = 877,
    recipe: PeakMixtureConfig | None = None,
) -> Trained:
    """Fit the temperature and choose the threshold of a trained network.

    There is one threshold: the one with the best mean F1 over the jitters and as many kinds of
    disturbed mixtures.

    Parameters
    ----------
    mixtures, n_compounds, recipe
        As in `development_predictions`.
    """
    network = trainer.network.cpu().eval()
    network.temperature.fill_(1.0)
    predictions = development_predictions(network, mixtures, n_compounds, recipe)
    logits, truth = (
        torch.from_numpy(np.concatenate(column).astype(np.float32))
        for column in zip(*predictions.values(), strict=True)
    )
    # Compounds that the screening dropped have no logit of their own.
    kept = logits > DROPPED
    logits, truth = logits[kept], truth[kept]
    temperature = best_temperature(
        lambda value: float(functional.binary_cross_entropy_with_logits(logits / value, truth))
    )
    network.temperature.fill_(temperature)

    temperature = float(network.temperature)  # in single precision
    calibrated = [
        (1 / (1 + np.exp(-(values / temperature).clip(-60, 60))), present)
        for values, present in predictions.values()
    ]

    def f1(threshold: float) -> list[float]:  # of each jitter, then of the disturbed
        return [Tally.of(values >= threshold, present).f1 for values, present in calibrated]

    weights = [*[1.0] * len(JITTERS), len(JITTERS)]
    means = [np.average(f1(level), weights=weights) for level in THRESHOLDS]
    threshold = float(THRESHOLDS[int(np.argmax(means))])
    scores = zip(predictions, f1(threshold), strict=True)
    made = {
        "config": asdict(trainer.config),
        "steps": trainer.step,
        "seconds": round(trainer.seconds),
        "waited": round(trainer.waited),
        "device": trainer.device.type,
        "processes": trainer.world,
        "development_f1": {kind: round(score, 4) for kind, score in scores},
    }
    return Trained(network.requires_grad_(False), threshold, made)
