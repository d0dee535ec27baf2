import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.presets import build
from nmrclassify.training import RECIPES, TrainConfig, Trainer, model_for, recipe

SHORT = replace(recipe("modern"), steps=12, batch_size=16)


def strip(history):
    """Drop the wall-clock seconds, the only thing that may differ."""
    return [{key: value for key, value in row.items() if key != "seconds"} for row in history]


def test_one_seed_gives_the_same_numbers(quick):
    first, second = Trainer(quick, SHORT), Trainer(quick, SHORT)
    assert strip(s.row() for s in first.snapshots(4)) == strip(s.row() for s in second.snapshots(4))
    other = Trainer(quick, SHORT, seed=99)
    assert strip(s.row() for s in other.snapshots(4)) != strip(first.history)


@pytest.mark.parametrize("name", ["modern", "momentum", "adam"])
def test_a_resumed_training_is_the_same_training(quick, name):
    config = replace(recipe(name), steps=12, batch_size=4)
    straight = Trainer(quick, config)
    list(straight.snapshots(5))
    halted = Trainer(quick, config)
    for _ in range(7):
        halted.advance()
        if halted.step == 5:
            halted.snapshot()
    resumed = Trainer(quick, config)
    resumed.load_state(halted.state())
    list(resumed.snapshots(5))
    assert strip(resumed.history) == strip(straight.history)
    for a, b in zip(straight.model.parameters(), resumed.model.parameters()):
        assert torch.equal(a, b)


def test_a_training_disturbs_no_other_randomness(quick):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    Trainer(quick, SHORT).advance()
    assert torch.equal(torch.rand(3), expected)


def test_reset_gives_the_same_weights(quick):
    for a, b in zip(model_for(quick, 4).parameters(), model_for(quick, 4).parameters()):
        assert torch.equal(a, b)


def test_snapshots_are_not_changed_by_later_steps(quick):
    trainer = Trainer(quick, SHORT)
    stream = trainer.snapshots(4)
    first = next(stream)
    masks, row = first.pinned.masks.copy(), dict(first.row())
    list(stream)
    assert np.array_equal(first.pinned.masks, masks) and first.row() == row
    with pytest.raises(AttributeError):
        first.step = 3


def test_training_learns_ten_mixtures_by_heart():
    config = replace(recipe("modern"), steps=150, batch_size=10, repeats=0.0, added_noise=0.0, concentration_spread=1.0)
    first, *_, last = Trainer(build("original", 3), config).snapshots(15)
    assert last.loss < 0.25 * first.loss
    assert last.train_accuracy > 0.9 and first.train_accuracy < 0.5
    assert last.test["compound_accuracy"] < last.train_accuracy  # by heart is not understood


def test_the_one_cycle_rises_and_falls_to_zero():
    rates = [TrainConfig(steps=200).rate(step) for step in range(200)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(3e-3, rel=0.02) and 5 <= top <= 12
    assert (np.diff(rates[: top + 1]) > 0).all() and (np.diff(rates[top:]) <= 0).all() and rates[-1] < 1e-6


def test_the_original_recipes_are_those_of_the_design():
    table = {name: (c.optimiser, c.learning_rate, c.momentum, c.weight_decay, c.batch_size, c.steps) for name, c in RECIPES.items()}
    assert table["sgd"] == ("sgd", 1e-2, 0.0, 1e-5, 1, 10_000)
    assert table["momentum"] == ("sgd", 1e-4, 0.99, 1e-5, 1, 10_000)
    assert table["adam"] == ("adam", 1e-4, 0.0, 1e-5, 1, 10_000)
    data = build("original", 1)
    assert all(c.augmented(data) == data.config for name, c in RECIPES.items() if name in table and name not in ("modern", "long"))


def test_augmentation_widens_the_data_sets_own_mixing():
    data = build("metabolites", 1)
    wide = recipe("modern").augmented(data)
    assert wide.concentration_low < data.config.concentration_low < data.config.concentration_high < wide.concentration_high
    assert wide.noise > 0 and data.test_mixtures().areas.min() >= 0


@pytest.mark.parametrize("changes, message", [({"optimiser": "lbfgs"}, "optimiser is 'lbfgs'"), ({"schedule": "none"}, "schedule is"), ({"steps": 10**9}, "steps is")])
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**changes)
    with pytest.raises(ValueError, match="recipe is 'best'"):
        recipe("best")


def test_weights_are_those_of_the_seed_whatever_other_threads_do(quick):
    expected = [p.clone() for p in model_for(quick, 4).parameters()]
    seen = []
    threads = [threading.Thread(target=lambda seed=seed: seen.append((seed, model_for(quick, seed)))) for seed in (4, 5) * 8]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in (model for seed, model in seen if seed == 4):
        assert all(torch.equal(a, b) for a, b in zip(expected, model.parameters()))
