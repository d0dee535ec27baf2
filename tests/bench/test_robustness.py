import json

import numpy as np
import pytest

from nmrclassify import bench
from nmrclassify.bench import robustness
from nmrclassify.evaluation.robustness import ONE_FOR_ALL, OWN_TRAINING, SWEEPS
from nmrclassify.mixtures.grid import MixtureConfig, generator, mix
from nmrclassify.mixtures.presets import build

TINY = 1e-5


@pytest.mark.parametrize("name", ONE_FOR_ALL)
def test_one_network_is_measured_on_every_sweep_that_it_takes_part_in(name, monkeypatch):
    monkeypatch.setattr(robustness, "MIXTURES", 12)
    rows = robustness.network(name, 1, TINY)
    sweeps = {row["sweep"] for row in rows}
    assert sweeps == set(SWEEPS) - {"training"} - ({"number"} if name == "slots" else set())
    for sweep in sweeps:
        assert [row["value"] for row in rows if row["sweep"] == sweep] == list(SWEEPS[sweep].values)
    # The same network in each row.
    assert len({row["trained_on"] for row in rows}) == 1
    for row in rows:
        assert 0 <= row["calibration_error"] <= 1
        assert row["confident_wrong"] is None or 0 <= row["confident_wrong"] <= 1
        assert row["number_known"] == (row["sweep"] != "number")


def test_all_networks_train_on_as_many_mixtures_with_the_same_disturbances():
    recipes = [robustness._training(name, 1.0, {}) for name in ONE_FOR_ALL]
    sizes = [config.steps * config.batch_size for config in recipes]
    assert max(sizes) - min(sizes) < max(config.batch_size for config in recipes)
    for field in ("added_noise", "added_jitter", "added_common_shift", "unknown", "own_levels"):
        assert len({getattr(config, field) for config in recipes}) == 1


def test_a_task_that_is_cached_is_not_run_again(tmp_path, monkeypatch):
    monkeypatch.setattr(robustness, "MIXTURES", 12)
    task = (robustness.classical, "unknown", 1, TINY)
    rows = robustness.work(task, tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_text(json.dumps([{"from": "the cache"}]))
    assert robustness.work(task, tmp_path) == [{"from": "the cache"}]
    assert {row["method"] for row in rows} == {"least squares", "matching pursuit", "exhaustive"}


def test_tasks_are_distinct_and_those_of_two_seeds_are_those_of_each():
    tasks = robustness.tasks((1, 2))
    assert len(set(tasks)) == len(tasks)
    assert set(tasks) == set(robustness.tasks((1,))) | set(robustness.tasks((2,)))
    own = [task for task in tasks if task[0] is robustness.own_training]
    assert {task[1] for task in own} == set(OWN_TRAINING)


def test_all_multiplets_of_a_mixture_are_shifted_to_one_side():
    data = build("quick", 1)
    mixtures = mix(data.library, data.test, MixtureConfig(), generator(1, "test"))
    moved = robustness.shifted_to_either_side(mixtures, 1.0, generator(1, "test"))
    up, down = (
        np.isclose(moved.areas[:, :, 2:-2], np.roll(mixtures.areas, side, axis=2)[:, :, 2:-2]).all(
            (1, 2)
        )
        for side in (1, -1)
    )
    assert (up ^ down).all() and up.any() and down.any()
    np.testing.assert_allclose(moved.areas.sum((1, 2)), mixtures.areas.sum((1, 2)), rtol=1e-5)


def test_a_bench_refuses_an_option_that_it_does_not_have():
    with pytest.raises(ValueError, match="has no option share"):
        bench.run("generation", share=0.5)
