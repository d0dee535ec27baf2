import numpy as np
import pytest
import torch

from nmrclassify.mixtures.peaks import PeakMixtureConfig
from nmrclassify.networks.peak_network import PeakNetworkConfig
from nmrclassify.networks.peak_weights import shipped
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compounds import joined
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig
from nmrclassify.training import peak_calibration
from nmrclassify.training.peak_calibration import (
    DEVELOPMENT,
    DISTURBED,
    JITTERS,
    THRESHOLDS,
    calibrate_network,
    development_predictions,
)
from nmrclassify.training.peak_examples import (
    N_UNKNOWN,
    PeakTrainConfig,
    held_and_others,
    with_uncertain_places,
)
from nmrclassify.training.peak_trainer import PeakTrainer

SMALL = PeakNetworkConfig(lines=4, places=6, hypotheses=8, rounds=2, judged=64, kept=24)
FEW = PeakMixtureConfig(n_low=5, n_high=8)


@pytest.fixture(scope="module")
def trainer():
    config = PeakTrainConfig(steps=1, batch=1, libraries=1, compounds=30, n_low=5, n_high=8)
    return PeakTrainer(config, SMALL, workers=0)


def test_unknown_compounds_are_none_of_the_library():
    held, others = held_and_others(SyntheticConfig(200), np.random.default_rng(0))
    assert held.n_compounds == 200 and others.n_compounds == N_UNKNOWN
    both = joined([held, others])  # raises if they share a name
    assert len(np.unique(equivalent_compounds(both, FULL_AXIS))) == both.n_compounds


def test_half_of_the_places_are_not_well_known():
    held, _ = held_and_others(SyntheticConfig(200), np.random.default_rng(0))
    assert not held.deviations.any()
    deviations = with_uncertain_places(held, np.random.default_rng(1)).deviations
    assert 0.4 < (deviations > 0).mean() < 0.6
    assert deviations[deviations > 0].min() >= 0.004 and deviations.max() <= 0.06


def test_development_mixtures_of_every_kind_have_a_logit_for_every_group(trainer, monkeypatch):
    drawn = []
    draw = peak_calibration.draw_mixture

    def recorded(compounds, recipe, *rest):
        drawn.append((compounds.deviations.any(), recipe.n_unknown))
        return draw(compounds, recipe, *rest)

    monkeypatch.setattr(peak_calibration, "draw_mixture", recorded)
    with torch.no_grad():
        found = development_predictions(trainer.network.eval(), 4, 30, FEW)
    assert list(found) == [*(f"{jitter:g}" for jitter in JITTERS), DISTURBED]
    sizes = [len(logits) for logits, _ in found.values()]
    assert sizes == [len(DEVELOPMENT) * 4 * 30] * 3 + [3 * len(DEVELOPMENT) * 4 * 30]
    for logits, truth in found.values():
        assert len(logits) == len(truth) and np.isfinite(logits).all() and 0.1 < truth.mean() < 0.3
    is_uncertain, n_unknown = np.array(drawn).T
    assert 0.02 < is_uncertain.mean() < 0.25 and 0.1 < (n_unknown > 0).mean() < 0.4


def test_the_temperature_has_the_least_cross_entropy(trainer):
    # Of an untrained network every temperature is as good as another.
    source = shipped().network
    trained = calibrate_network(
        PeakTrainer(trainer.config, source.config, workers=0, start=source), 2, 30, FEW
    )
    network = trained.network
    assert trained.threshold in THRESHOLDS
    assert set(trained.made["development_f1"]) == {"0.003", "0.01", "0.03", DISTURBED}
    found = development_predictions(network, 2, 30, FEW)
    logits, truth = (np.concatenate(column) for column in zip(*found.values(), strict=True))
    kept = logits > peak_calibration.DROPPED
    logits, truth = logits[kept], truth[kept]

    def cross_entropy(temperature):
        p = 1 / (1 + np.exp(-logits / temperature))
        return -np.mean(np.where(truth, np.log(p), np.log1p(-p)))

    best = cross_entropy(float(network.temperature))
    assert best <= min(cross_entropy(float(network.temperature) * by) for by in (0.8, 1.25)) + 1e-9
