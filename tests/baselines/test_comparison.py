from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.baselines.comparison import classical_counts, compare_methods, network_counts
from nmrclassify.evaluation.metrics import shares_right
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build


@pytest.mark.parametrize(
    "config",
    [
        MixtureConfig(),
        MixtureConfig(repetition=True),
        MixtureConfig(n_sources=4, number_varies=True),
    ],
)
def test_on_clean_aligned_mixtures_classical_methods_are_exact(config):
    data = build("quick", 5, config)
    mixtures = data.test_mixtures()
    found = classical_counts(data, mixtures, config)
    assert list(found) == ["least squares", "matching pursuit", "exhaustive"]
    for method in ("least squares", "exhaustive"):
        assert shares_right(found[method], mixtures.counts) == (1.0, 1.0), method
    assert shares_right(found["matching pursuit"], mixtures.counts)[0] > 0.9


def test_shares_right_by_hand():
    true = np.array([[1, 1, 0], [2, 0, 0], [0, 0, 1]])
    found = np.array([[1, 0, 1], [2, 0, 0], [0, 1, 1]])
    # One of two right, both portions right, the one right and one too many.
    assert shares_right(found, true) == (
        pytest.approx(1 / 3),
        pytest.approx((1 + 2 + 1) / (2 + 2 + 2)),
    )


def test_a_search_too_long_is_left_out():
    data = build("quick", 5, MixtureConfig(n_sources=8, repetition=True))
    assert "exhaustive" not in classical_counts(data, data.test_mixtures()[:4], data.config)


def test_queries_with_a_known_number_name_as_many(learned):
    mixtures = learned.dataset.test_mixtures()
    assert (network_counts(learned.model, mixtures, number=3).sum(axis=1) == 3).all()


def test_the_table_has_the_network_first(learned):
    data = learned.dataset
    shifted = replace(data, config=replace(data.config, shift_jitter=0.6))
    table = compare_methods(learned.model, "mine", shifted, shifted.test_mixtures(draws=5))
    assert list(table["method"]) == ["mine", "least squares", "matching pursuit", "exhaustive"]
    assert (table["from"] <= table["mixtures wholly right"]).all()
    assert (table["mixtures wholly right"] <= table["to"]).all()
