import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.evaluation.calibration import (
    TEMPERATURES,
    fit_temperature,
    given_number,
    reliability,
    roc,
)
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures.grid import MixtureConfig, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.conv_tasnet import Intermediates, NetworkConfig
from nmrclassify.networks.queries import Queries, QueryOutput
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.networks.slots import Slots
from nmrclassify.training.recipes import recipe


def test_probabilities_that_equal_the_shares_have_a_small_error():
    rng = np.random.default_rng(0)
    stated = rng.random((200, 500))
    found = reliability(stated, rng.random((200, 500)) < stated)
    assert found.expected_calibration_error < 0.01
    assert found.stated == pytest.approx(np.arange(0.05, 1, 0.1), abs=0.005)
    assert found.came_true == pytest.approx(found.stated, abs=0.02)
    assert found.n.sum() == 100_000
    assert len(found.n) == 10


def test_constant_overconfidence_is_the_error():
    outcomes = np.arange(1000) < 600
    assert reliability(np.full(1000, 0.9), outcomes).expected_calibration_error == pytest.approx(
        0.3
    )
    assert reliability(np.full(1000, 0.3), outcomes).expected_calibration_error == pytest.approx(
        0.3
    )
    # Half of the statements at .9 of which 60 % are true, half at .2 of which 10 % are: the errors
    # add up by their shares.
    both = reliability(
        np.repeat([0.9, 0.2], 1000), np.concatenate([outcomes, np.arange(1000) < 100])
    )
    assert both.expected_calibration_error == pytest.approx(0.5 * 0.3 + 0.5 * 0.1)


def test_empty_bins_are_undefined_and_do_not_count():
    found = reliability(np.array([0.0, 0.05, 1.0, 1.0]), np.array([0, 0, 1, 1]))
    assert found.n.tolist() == [2] + [0] * 8 + [2]
    assert np.isnan(found.stated[1:9]).all()
    assert np.isnan(found.came_true[1:9]).all()
    assert (found.stated[0], found.stated[9]) == (0.025, 1.0)
    assert (found.came_true[0], found.came_true[9]) == (0.0, 1.0)
    assert found.expected_calibration_error == pytest.approx(0.0125)
    assert reliability(np.array([0.5]), np.array([1]), bins=4).n.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    "stated", [np.array([]), np.array([0.5, 1.1]), np.array([-0.1]), np.array([np.nan])]
)
def test_impossible_probabilities_are_refused(stated):
    with pytest.raises(ValueError, match="expected at least one, all within 0 to 1"):
        reliability(stated, np.zeros(len(stated)))


class Overconfident:
    """A model whose logits are too large by a known factor."""

    def __init__(self, logits, factor):
        torch.nn.Module.__init__(self)
        self.logits, self.factor = logits, factor
        self.config = NetworkConfig(n_sources=1)
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, areas):
        logits = self.factor * self.logits / self.temperature
        inner = Intermediates(None, None, None, torch.zeros(len(areas), 1, 6, 21), None)
        if not self.outputs_are_classes:
            return logits[:, None], inner
        zeros = torch.zeros(len(areas), 10)
        return QueryOutput(logits, zeros[..., None], zeros), inner


class OverconfidentSlots(Overconfident, Slots):
    pass


class OverconfidentQueries(Overconfident, Queries):
    pass


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_known_temperature_is_recovered(kind, factor):
    n, data = 4000, build("quick", 1, MixtureConfig(n_sources=1))
    rng, torch_rng = np.random.default_rng(0), torch.Generator().manual_seed(0)
    if kind == "slots":
        logits = 2 * torch.randn(n, 10, generator=torch_rng)
        labels = torch.multinomial(logits.softmax(-1), 1, generator=torch_rng).numpy()
        made = mix(data.library, labels, data.config, rng)
    else:
        logits = 2 * torch.randn(n, 11, generator=torch_rng)
        there = torch.bernoulli(logits.sigmoid(), generator=torch_rng).bool().numpy()
        labels = np.where(there[:, :10], np.arange(10), 10)
        made = mix(data.library, labels, data.config, rng)
        unknown = np.zeros_like(made.areas)
        unknown[there[:, 10], 0, 0] = 1.0
        made = replace(made, unknown=unknown)
    kinds = {"slots": OverconfidentSlots, "queries": OverconfidentQueries}
    model = kinds[kind](logits, factor)
    assert fit_temperature(model, made) == pytest.approx(factor, rel=0.06)
    assert float(model.temperature) == pytest.approx(factor, rel=0.06)


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_temperature_stays_in_its_range(factor):
    data = build("quick", 1, MixtureConfig(n_sources=1))
    labels = np.arange(10).repeat(10)[:, None]
    logits = 5.0 * torch.eye(10)[labels.ravel()]
    made = mix(data.library, labels, data.config, np.random.default_rng(0))
    # Never wrong: the lowest temperature.
    found = fit_temperature(OverconfidentSlots(logits, factor), made)
    assert (
        found == pytest.approx(TEMPERATURES[0], rel=0.05)
        if factor == 1e-3
        else TEMPERATURES[0] <= found <= TEMPERATURES[1]
    )
    # Always wrong: the highest.
    wrong = OverconfidentSlots(logits.roll(1, 1), 1.0)
    assert fit_temperature(wrong, made) == pytest.approx(TEMPERATURES[1], rel=0.05)


def predictions(model, mixtures):
    """Return everything that a model predicts."""
    with torch.no_grad():
        out = model(torch.from_numpy(mixtures.areas))[0]
    if model.kind == "slots":
        return [out.argmax(-1).tolist()]
    return [
        out.likeliest_counts.tolist(),
        (out.presence > 0).tolist(),
        out.presence.argsort(-1).tolist(),
    ]


def test_a_fit_changes_no_prediction_and_lowers_the_cost(either, quick):
    model = copy.deepcopy(either.model)
    model.temperature.fill_(1.0)
    widen = recipe("queries").augmented(quick, any_number=model.kind == "queries")
    mixtures = quick.validation_mixtures(80, widen)
    weights = {
        name: value.clone() for name, value in model.state_dict().items() if name != "temperature"
    }
    before, cost = (
        predictions(model, mixtures),
        model.objective(mixtures, 1.0).classification.item(),
    )
    summary = evaluate(model, quick.test_mixtures()).summary()
    fitted = fit_temperature(model, mixtures)
    assert TEMPERATURES[0] <= fitted <= TEMPERATURES[1]
    assert fitted != 1
    assert float(model.temperature) == pytest.approx(fitted)
    assert predictions(model, mixtures) == before
    assert model.objective(mixtures, 1.0).classification.item() <= cost
    after = evaluate(model, quick.test_mixtures()).summary()
    assert (after["compound_accuracy"], after["exact_match"]) == (
        summary["compound_accuracy"],
        summary["exact_match"],
    )
    assert all(torch.equal(model.state_dict()[name], value) for name, value in weights.items())


@pytest.mark.parametrize("levels", [None, 4, 1])
def test_the_area_is_the_share_of_pairs_in_the_right_order(levels):
    rng = np.random.default_rng(levels)
    positive = rng.random(80) < 0.4
    scores = rng.normal(size=80) + positive
    if levels:  # coarse scores have ties
        scores = np.round(scores) % levels
    found = roc(scores, positive)
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert found.area == pytest.approx(np.mean(pairs))
    assert np.trapezoid(found.true_alarms, found.false_alarms) == pytest.approx(found.area)
    for curve in (found.false_alarms, found.true_alarms):
        assert curve[0] == 0
        assert curve[-1] == 1
        assert (np.diff(curve) >= 0).all()
    assert len(found.true_alarms) == len(np.unique(scores)) + 1
    for threshold in np.unique(scores):  # each is a point of the curve
        point = (scores[~positive] >= threshold).mean(), (scores[positive] >= threshold).mean()
        assert (
            np.isclose(np.stack([found.false_alarms, found.true_alarms], axis=1), point)
            .all(axis=1)
            .any()
        )


def test_perfect_and_useless_scores():
    positive = np.repeat([True, False], 20)
    assert roc(positive.astype(float), positive).area == 1
    assert roc(-positive.astype(float), positive).area == 0
    assert roc(np.zeros(40), positive).area == 0.5


@pytest.mark.parametrize("positive", [np.zeros(5, bool), np.ones(5, bool), np.zeros(0, bool)])
def test_a_curve_needs_positives_and_negatives(positive):
    with pytest.raises(ValueError, match="expected at least one of each"):
        roc(np.arange(len(positive), dtype=float), positive)


@pytest.mark.parametrize("number", [1, 3, 5])
def test_probabilities_given_the_number_are_those_of_an_enumeration(number):
    presence = np.random.default_rng(3).random((4, 6))
    summed, total = np.zeros_like(presence), np.zeros(4)
    for chosen in itertools.combinations(range(6), number):
        held = np.isin(range(6), chosen)
        weight = np.where(held, presence, 1 - presence).prod(axis=1)
        total += weight
        summed[:, held] += weight[:, None]
    conditional = given_number(presence, number)
    np.testing.assert_allclose(conditional, summed / total[:, None])
    np.testing.assert_allclose(conditional.sum(axis=1), number)


def test_probabilities_given_the_number_allow_for_certainty():
    certain = np.array([[1.0, 1.0, 1.0, 0.0, 0.0]])
    np.testing.assert_allclose(given_number(certain, 3), certain, atol=1e-9)
