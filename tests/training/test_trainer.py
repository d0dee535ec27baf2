import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.evaluation.calibration import fit_temperature
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.nmr.library import Library, LibraryConfig, random_library
from nmrclassify.training import trainer
from nmrclassify.training.recipes import RECIPES, TrainConfig, recipe
from nmrclassify.training.trainer import Trainer, model_for

SHORT = replace(recipe("modern"), steps=12, batch_size=16)
QUERIES = replace(recipe("queries"), steps=12, batch_size=16)


@pytest.fixture(autouse=True)
def few_validation_mixtures(monkeypatch):
    """Calibrate on few mixtures: the fit takes longer than these trainings."""
    monkeypatch.setattr(trainer, "VALIDATION_MIXTURES", 40)


def strip(history):
    """Drop the wall-clock seconds, the only thing that may differ."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


@pytest.mark.parametrize(("config", "kind"), [(SHORT, "slots"), (QUERIES, "queries")])
def test_one_seed_gives_the_same_numbers(quick, config, kind):
    first, second = Trainer(quick, config, kind=kind), Trainer(quick, config, kind=kind)
    assert strip(s.row() for s in first.snapshots(4)) == strip(s.row() for s in second.snapshots(4))
    other = Trainer(quick, config, seed=99, kind=kind)
    assert strip(s.row() for s in other.snapshots(4)) != strip(first.history)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("modern", "slots"),
        ("momentum", "slots"),
        ("adam", "slots"),
        ("queries", "queries"),
        ("sgd", "queries"),
    ],
)
def test_a_resumed_training_is_the_same_training(quick, name, kind):
    config = replace(recipe(name), steps=12, batch_size=4)
    straight = Trainer(quick, config, kind=kind)
    list(straight.snapshots(5))
    halted = Trainer(quick, config, kind=kind)
    for _ in range(7):
        halted.advance()
        if halted.step == 5:
            halted.snapshot()
    resumed = Trainer(quick, config, kind=kind)
    resumed.load_state(halted.state())
    list(resumed.snapshots(5))
    assert strip(resumed.history) == strip(straight.history)
    states = straight.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert straight.model.temperature != 1


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_finished_training_is_calibrated_on_validation_mixtures(quick, kind):
    trainer = Trainer(quick, replace(QUERIES, steps=3), kind=kind)
    for step in range(3):
        assert (trainer.step, trainer.finished, float(trainer.model.temperature)) == (
            step,
            False,
            1.0,
        )
        trainer.advance()
    fitted = float(trainer.model.temperature)
    assert fitted != 1
    made = quick.validation_mixtures(
        40, trainer.config.augmented(quick, any_number=kind == "queries")
    )
    assert fit_temperature(trainer.model, made) == pytest.approx(fitted, rel=1e-6)


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_training_without_validation_compositions_ends_uncalibrated(quick, kind):
    data = Dataset(quick.library, quick.config, quick.train, quick.validation[:0], quick.test, 3)
    trainer = Trainer(data, replace(QUERIES, steps=2), kind=kind)
    *_, last = trainer.snapshots(1)
    assert trainer.finished
    assert float(trainer.model.temperature) == 1
    assert np.isfinite(last.loss)


def test_no_test_mixture_is_calibrated_on(quick):
    """The same training with another test part ends in the same weights: nothing leaks."""
    other = Dataset(quick.library, quick.config, quick.train, quick.validation, quick.test[:4], 3)
    # Remixing must not tell the two apart: what is kept differs.
    config = replace(QUERIES, steps=3, remix=0.0)
    models = []
    for data in (quick, other):
        trainer = Trainer(data, config, kind="queries")
        while not trainer.finished:
            trainer.advance()
        models.append(trainer.model.state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_training_disturbs_no_other_randomness(quick, kind):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Trainer(quick, replace(SHORT, steps=1), kind=kind).advance()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("kind", NETWORKS)
def test_reset_gives_the_same_weights(quick, kind):
    models = [model_for(quick, seed, kind).state_dict() for seed in (4, 4, 5)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])
    assert not torch.equal(models[0]["encoder.weight"], models[2]["encoder.weight"])


@pytest.mark.parametrize("kind", NETWORKS)
def test_snapshots_are_not_changed_by_later_steps(quick, kind):
    trainer = Trainer(quick, SHORT, kind=kind)
    stream = trainer.snapshots(4)
    first = next(stream)
    parts = {
        key: np.copy(value)
        for key, value in vars(first.pinned).items()
        if isinstance(value, np.ndarray)
    }
    row = dict(first.row())
    list(stream)
    assert {"masks", "probabilities", "multiplets"} <= parts.keys()
    assert first.row() == row
    assert all(np.array_equal(getattr(first.pinned, key), value) for key, value in parts.items())
    with pytest.raises(AttributeError):
        first.step = 3


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_training_keeps_encoder_weights_at_0_or_more(quick, kind, optimiser, monkeypatch):
    config = replace(SHORT, optimiser=optimiser, learning_rate=0.05)

    def after_each_step(network=None):
        trainer = Trainer(quick, config, kind=kind, network=network)
        for _ in range(6):
            trainer.advance()
            yield trainer.model.encoder.weight.detach().clone()

    *_, last = weights = list(after_each_step())
    assert all((w >= 0).all() for w in weights)
    assert (last == 0).any()
    assert (last > 0).any()
    free = replace(
        NETWORKS[kind].sizes_for(quick), non_negative_encoder=False, relu_before_classes=True
    )
    signed = list(after_each_step(free))
    assert (signed[-1] < 0).any()
    monkeypatch.setattr(NETWORKS[kind], "constrain", lambda _: None)
    assert (list(after_each_step())[-1] < 0).any()
    # A network without the constraint trains as if there were none.
    assert all(map(torch.equal, signed, after_each_step(free)))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_mask_loss_brings_masks_to_the_ideal(quick, kind):
    distances = {}
    for weight in (0.0, 5.0):
        trainer = Trainer(quick, replace(SHORT, steps=40, mask_weight=weight), kind=kind)
        first, *_, last = trainer.snapshots(20)
        assert last.loss == pytest.approx(
            last.classification + last.reconstruction + weight * last.masks
        )
        assert (last.masks > 0) == (weight > 0)
        assert last.row()["masks"] == last.masks
        assert last.row()["test_mask_distance"] == last.test["mask_distance"]
        distances[weight] = last.test["mask_distance"]
    assert 0 < distances[5.0] < distances[0.0] < 1


def test_training_learns_ten_mixtures_by_heart():
    config = replace(
        recipe("modern"),
        steps=150,
        batch_size=10,
        repeats=0.0,
        added_noise=0.0,
        concentration_spread=1.0,
        unknown_replaces=0.0,
    )
    first, *_, last = Trainer(build("original", 3), config).snapshots(5)
    assert last.loss < 0.25 * first.loss
    assert last.train_accuracy > 0.9
    assert first.train_accuracy < 0.5
    assert last.test["compound_accuracy"] < last.train_accuracy  # by heart is not understood


def test_queries_learn_what_was_never_mixed_in_training(learned, quick):
    result = evaluate(learned.model, quick.test_mixtures())
    assert result.summary() == learned.metrics
    assert result.summary()["compound_accuracy"] > 0.9
    assert (
        evaluate(model_for(quick, 3, "queries"), quick.test_mixtures()).summary()[
            "compound_accuracy"
        ]
        < 0.6
    )


def test_a_perfect_training_accuracy_can_be_seen(learned, quick):
    # The share on training batches is drawn beside that on unseen compositions: a batch that is all
    # right must say 1.
    widen = replace(
        recipe("queries"),
        added_noise=0.0,
        added_jitter=0.0,
        unknown=0.0,
        concentration_spread=1.0,
        added_common_shift=0.0,
    )
    batch = quick.training_batch(0, 256, widen.augmented(quick, any_number=True))
    found = evaluate(learned.model, batch)
    share = float(learned.model.objective(batch, 1.0).right)
    assert share >= found.exact.mean() - 1e-6


def test_queries_count_portions_where_compounds_repeat():
    data = build("quick", 3, MixtureConfig(repetition=True, number_varies=True))
    config = recipe("queries").augmented(data, any_number=True)
    # The amount is what tells one portion from two, so it may not be spread.
    assert (config.mixing.concentration_low, config.mixing.concentration_high) == (1.0, 1.0)
    assert recipe("queries").augmented(data).mixing.concentration_high > 1
    assert model_for(data, 3, "queries").config.n_sources == 3
    assert model_for(build("quick", 3), 3, "queries").config.n_sources == 1


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize("batch_size", [1, 16])
@pytest.mark.parametrize("repetition", [False, True])
def test_training_on_any_number_of_compounds_stays_finite(kind, batch_size, repetition):
    data = build("quick", 3, MixtureConfig(n_sources=3, repetition=repetition, number_varies=True))
    for name in (NETWORKS[kind].usual_recipe, "queries"):
        trainer = Trainer(data, replace(recipe(name), steps=30, batch_size=batch_size), kind=kind)
        *_, last = trainer.snapshots(10)
        assert all(np.isfinite(value) for value in last.row().values() if value is not None)
        assert max(row["reconstruction"] for row in trainer.history) < 1e3
        assert all(p.isfinite().all() for p in trainer.model.parameters())


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_single_compound_is_a_library(kind):
    """One compound, one to three portions of it: three compositions, one of which is unseen."""
    areas = random_library(LibraryConfig(), np.random.default_rng(0)).areas[:1]
    library = Library(("only",), areas, build("quick", 1).library.axis)
    data = build(
        "quick", 1, MixtureConfig(n_sources=3, repetition=True, number_varies=True), library
    )
    assert sorted(map(tuple, np.concatenate([data.train, data.test]).tolist())) == [
        (0, 0, 0),
        (0, 0, 1),
        (0, 1, 1),
    ]
    trainer = Trainer(
        data, replace(recipe(NETWORKS[kind].usual_recipe), steps=20, batch_size=8), kind=kind
    )
    *_, last = trainer.snapshots(10)
    assert np.isfinite(last.loss)
    assert 0 <= last.test["compound_accuracy"] <= 1
    given = trainer.model.predict(2 * library.areas[0])
    assert np.isfinite(given.probabilities).all()
    assert set(given.named.tolist()) <= {0, 1}


def test_a_training_without_augmentation_uses_the_data_sets_own_mixing(quick):
    plain = replace(
        SHORT, concentration_spread=1.0, repeats=0.0, added_noise=0.0, unknown_replaces=0.0
    )
    widen = plain.augmented(quick)
    assert widen.mixing == quick.config
    for a, b in zip(
        vars(quick.training_batch(3, 16)).values(),
        vars(quick.training_batch(3, 16, widen)).values(),
        strict=False,
    ):
        assert np.array_equal(a, b)


def test_defaults_belong_to_their_models():
    for network in NETWORKS.values():
        assert network.usual_recipe in RECIPES


def test_the_one_cycle_rises_and_falls_to_zero():
    rates = [TrainConfig(steps=200).rate(step) for step in range(200)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(1e-2, rel=0.02)
    assert 5 <= top <= 12
    assert (np.diff(rates[: top + 1]) > 0).all()
    assert (np.diff(rates[top:]) <= 0).all()
    assert rates[-1] < 1e-6


def test_the_original_recipes_are_those_of_the_design():
    table = {
        name: (c.optimiser, c.learning_rate, c.momentum, c.weight_decay, c.batch_size, c.steps)
        for name, c in RECIPES.items()
    }
    assert table["sgd"] == ("sgd", 1e-2, 0.0, 1e-5, 1, 10_000)
    assert table["momentum"] == ("sgd", 1e-4, 0.99, 1e-5, 1, 10_000)
    assert table["adam"] == ("adam", 1e-4, 0.0, 1e-5, 1, 10_000)
    data = build("original", 1)
    for name in ("sgd", "momentum", "adam"):
        widen = RECIPES[name].augmented(data)
        assert widen.mixing == data.config
        assert not (widen.repeats)
        assert not (widen.remix)
        assert not (widen.unknown)
        assert not (widen.own_levels)
        assert not (widen.any_number)


def test_augmentation_widens_the_data_sets_own_mixing():
    data = build("metabolites", 1)
    wide = recipe("modern").augmented(data).mixing
    assert (
        wide.concentration_low
        < data.config.concentration_low
        < data.config.concentration_high
        < wide.concentration_high
    )
    assert wide.noise > 0
    assert data.test_mixtures().areas.min() >= 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimiser": "lbfgs"}, "optimiser is 'lbfgs'"),
        ({"schedule": "none"}, "schedule is"),
        ({"steps": 10**9}, "steps is"),
        ({"own_levels": 1}, "own_levels is 1; expected true or false"),
        ({"remix": 1.5}, "remix is 1.5"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)
    with pytest.raises(ValueError, match="recipe is 'best'"):
        recipe("best")


def test_weights_are_those_of_the_seed_whatever_other_threads_do(quick):
    expected = [p.clone() for p in model_for(quick, 4).parameters()]
    seen = []
    threads = [
        threading.Thread(target=lambda seed=seed: seen.append((seed, model_for(quick, seed))))
        for seed in (4, 5) * 8
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in (model for seed, model in seen if seed == 4):
        assert all(torch.equal(a, b) for a, b in zip(expected, model.parameters(), strict=False))
