from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.evaluation import peak_threshold
from nmrclassify.evaluation.identify import Identification
from nmrclassify.evaluation.peak_metrics import Score
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.compounds import Compounds


def predict(
    probabilities: list[float], groups: np.ndarray | None = None, threshold: float = 0.5
) -> Identification:
    """Return a prediction with these probabilities; each compound is a singlet."""
    k = len(probabilities)
    compounds = Compounds(
        tuple(f"compound {i + 1}" for i in range(k)),
        np.arange(k),
        np.linspace(1.0, 9.0, k),
        np.ones(k),
        ("s",) * k,
        ((),) * k,
    )
    peaks = Peaks.from_lines(compounds.ppm, np.ones(k))
    all_explained = (np.repeat(np.arange(k), k), np.tile(np.arange(k), k), np.ones(k * k))
    return Identification(
        compounds,
        np.arange(k) if groups is None else groups,
        peaks,
        np.array(probabilities),
        np.ones(k),
        np.zeros(k),
        np.zeros(k),
        all_explained,
        threshold,
        0.01,
        0.1,
    )


def test_counts_and_words():
    found = predict([0.9, 0.8, 0.6, 0.3, 0.1, 0.001])
    present = np.array([0, 1, 3])
    score = peak_threshold.tally(found, present)
    assert (score.present, score.named, score.right, score.missed, score.false_alarms) == (
        3,
        3,
        2,
        1,
        1,
    )
    assert score.f1 == pytest.approx(2 / 3)
    rows = peak_threshold.listed_compounds(found, present)
    assert rows.tolist() == [0, 1, 2, 3, 4]
    table = peak_threshold.outcome_table(found, rows, {0: 0.5, 1: 0.02, 3: 1.0})
    assert table["outcome"].tolist() == [
        "✓ right",
        "✓ right",
        "✗ false alarm",
        "✗ missed",
        "rightly not named",
    ]
    assert table["truth"].tolist() == ["0.5", "0.02", "not in it", "1", "not in it"]
    unknown = peak_threshold.outcome_table(found, rows)
    assert "truth" not in unknown
    assert unknown["outcome"].tolist() == ["named"] * 3 + ["not named"] * 2


def test_equivalent_compounds_count_once():
    groups = np.array([0, 0, 1, 2, 3, 4])
    found = predict([0.9, 0.1, 0.0, 0.0, 0.0, 0.0], groups)
    present = np.array([1])
    score = peak_threshold.tally(found, present)
    assert (score.present, score.named, score.right, score.f1) == (1, 1, 1, 1.0)
    table = peak_threshold.outcome_table(found, np.array([0, 1]), {1: 1.0})
    assert table["outcome"].tolist() == ["✓ right, as its equivalent", "✓ found as its equivalent"]
    both = replace(found, probabilities=np.array([0.9, 0.9, 0, 0, 0, 0]))
    assert peak_threshold.tally(both, np.array([0, 1])) == (1, 1, 1)


@pytest.mark.parametrize("seed", range(6))
def test_the_curve_holds_the_score_of_every_threshold(seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.integers(0, 12, 30) / 12
    groups = np.sort(rng.integers(0, 20, 30))
    groups = np.unique(groups, return_inverse=True)[1]
    present = np.sort(rng.choice(30, 8, replace=False))
    found = predict(probabilities.tolist(), groups)
    curve = peak_threshold.precision_recall(found, present)
    assert (np.diff(curve.threshold) < 0).all()
    assert (np.diff(curve.recall) >= 0).all()
    assert curve.recall[-1] == 1
    for threshold, precision, recall in zip(
        curve.threshold, curve.precision, curve.recall, strict=True
    ):
        score = peak_threshold.tally(replace(found, threshold=threshold), present)
        assert score.precision == pytest.approx(precision)
        assert score.recall == pytest.approx(recall)


def test_missed_compounds_are_listed_however_unlikely_and_something_always_is():
    found = predict([0.0] * 5 + [0.001])
    assert peak_threshold.listed_compounds(found, np.array([2])).tolist() == [5, 2]
    assert peak_threshold.listed_compounds(found, np.zeros(0, dtype=int)).tolist() == [5]
    score = peak_threshold.tally(found, np.array([2]))
    assert score == (0, 0, 1)
    assert score.f1 == 0


@pytest.mark.parametrize("seed", range(4))
def test_the_page_counts_as_the_benchmark_does(seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.random(30).tolist()
    groups = np.unique(np.sort(rng.integers(0, 20, 30)), return_inverse=True)[1]
    found = predict(probabilities, groups)
    mixture = draw_mixture(found.compounds, PeakMixtureConfig(n_low=9, n_high=9), rng)
    measured = Score()
    measured.add(
        mixture,
        found.compounds,
        groups,
        found.probabilities >= found.threshold,
        found.amounts,
        found.probabilities,
    )
    tally = peak_threshold.tally(found, mixture.present)
    assert measured.counts == [tally]
    assert tally.f1 == pytest.approx(measured.summary()["f1"], abs=1e-4)
