from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.evaluation.peak_metrics import BINS, SHARED, Score, Tally, mask_shares
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

K = 60


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=K), rng(500))


@pytest.fixture(scope="module")
def mixtures(library):
    config = PeakMixtureConfig(n_low=10, n_high=20, noise=0.0, gain=0.0)
    return [draw_mixture(library, config, rng(seed)) for seed in range(8)]


def perfect(mixture, n=K):
    """Return the truth as a prediction: named, amounts, probabilities, masks."""
    named, amounts = np.zeros(n, dtype=bool), np.zeros(n)
    named[mixture.present], amounts[mixture.present] = True, mixture.amounts
    row, peak, area = mixture.parts
    keys, inverse = np.unique(
        mixture.multiplets[row] * len(mixture.totals) + peak, return_inverse=True
    )
    peaks = keys % len(mixture.totals)
    masks = (keys // len(mixture.totals), peaks, np.bincount(inverse, area) / mixture.totals[peaks])
    return named, amounts, named.astype(float), masks


def scored(library, mixtures, change=lambda *prediction: prediction, groups=None):
    score = Score()
    for mixture in mixtures:
        score.add(
            mixture, library, np.arange(K) if groups is None else groups, *change(*perfect(mixture))
        )
    return score


def test_a_perfect_prediction_has_no_error(library, mixtures):
    figures = scored(library, mixtures).summary()
    for name in ("precision", "recall", "f1", "strong_recall"):
        assert figures[name] == 1
        assert figures[f"{name}_interval"] == [1, 1]
    for name in (
        "strong_amount_error",
        "calibration_error",
        "calibration_error_named",
        "mask_error",
        "mask_error_named",
    ):
        assert figures[name] == pytest.approx(0, abs=1e-4)
    assert (
        figures["shared_multiplets"]
        == sum((mixture.shares < SHARED).sum() for mixture in mixtures)
        > 50
    )


def test_masks_of_the_truth_are_the_true_shares(mixtures):
    for mixture in mixtures:
        np.testing.assert_allclose(
            mask_shares(mixture, perfect(mixture)[3]), mixture.shares, atol=1e-6
        )


def test_mask_shares_are_those_of_a_loop(library):
    mixture = draw_mixture(
        library, PeakMixtureConfig(n_low=10, n_high=20, noise=1e-2), rng(3)
    )  # some multiplets are lost
    random, n = rng(4), len(mixture.peaks.areas)
    keys = random.choice(library.n_multiplets * n, 9000, replace=False)
    masks = (keys // n, keys % n, random.random(len(keys)))
    given = {(m, p): share for m, p, share in zip(*masks, strict=True)}
    row, peak, _ = mixture.parts
    for m, (multiplet, found) in enumerate(
        zip(mixture.multiplets, mask_shares(mixture, masks), strict=True)
    ):
        peaks = sorted(set(peak[row == m].tolist()))
        if not peaks:
            assert np.isnan(found)
            assert np.isnan(mixture.shares[m])
            continue
        own = sum(given.get((multiplet, p), 0.0) * mixture.peaks.areas[p] for p in peaks)
        assert found == pytest.approx(own / mixture.peaks.areas[peaks].sum())


def test_an_empty_prediction_finds_nothing(library, mixtures):
    none = np.zeros(0, dtype=np.int64)
    empty = np.zeros(K, dtype=bool), np.zeros(K), np.zeros(K), (none, none, none.astype(float))
    figures = scored(library, mixtures, lambda *_: empty).summary()
    assert figures["recall"] == figures["f1"] == figures["strong_recall"] == 0
    assert "precision" not in figures
    assert "strong_amount_error" not in figures
    assert "mask_error_named" not in figures
    shares = np.concatenate([mixture.shares for mixture in mixtures])
    assert figures["mask_error"] == pytest.approx(shares[shares < SHARED].mean(), abs=1e-4)
    present = sum(len(mixture.present) for mixture in mixtures)
    assert figures["calibration_error"] == pytest.approx(present / len(mixtures) / K, abs=1e-4)


def test_counts_and_amounts_are_those_written_by_hand(library, mixtures):
    mixture = mixtures[0]
    named, amounts, _, _ = perfect(mixture)
    lost, wrong = mixture.present[:3], np.setdiff1d(np.arange(K), mixture.present)[:2]
    named[lost], named[wrong], amounts[wrong] = False, True, 5.0
    score = Score()
    score.add(mixture, library, np.arange(K), named, 1.1 * amounts)
    figures, n = score.summary(), len(mixture.present)
    assert score.counts == [(n - 3, n - 1, n)]
    assert figures["f1"] == pytest.approx(2 * (n - 3) / (2 * n - 1), abs=1e-4)
    strong = mixture.amounts > 0.1 * mixture.amounts.max()
    assert figures["strong_recall"] == pytest.approx(strong[3:].sum() / strong.sum(), abs=1e-4)
    assert figures["strong_amount_error"] == pytest.approx(0.1)
    assert "mask_error" not in figures
    assert "calibration_error" not in figures


def test_masks_of_compounds_that_are_not_named_count_for_nothing(library, mixtures):
    def forget(named, amounts, probabilities, masks):
        return np.where(np.arange(K) % 2, named, False), amounts, probabilities, masks

    figures = scored(library, mixtures, forget).summary()
    lost, all_ = 0.0, 0
    for mixture in mixtures:
        shared = mixture.shares < SHARED
        even = mixture.present[mixture.owners] % 2 == 0
        lost, all_ = lost + mixture.shares[shared & even].sum(), all_ + shared.sum()
    assert figures["mask_error"] == pytest.approx(lost / all_, abs=1e-4)
    assert figures["mask_error_named"] == pytest.approx(0, abs=1e-4)


def test_equivalent_compounds_count_as_one():
    # b is a at twice the protons; they are equivalent.
    table = (
        ("a", 1.0, 3.0),
        ("a", 2.0, 2.0),
        ("b", 1.004, 6.0),
        ("b", 2.004, 4.0),
        ("c", 3.0, 1.0),
    )
    names, ppm, protons = zip(*table, strict=True)
    owners = np.array(["abc".index(name) for name in names])
    compounds = Compounds(
        tuple("abc"), owners, np.array(ppm), np.array(protons), ("s",) * 5, ((),) * 5
    )
    groups = equivalent_compounds(compounds, FULL_AXIS)
    assert groups.tolist() == [0, 0, 1]
    mixture = draw_mixture(
        compounds.select([0, 2]), PeakMixtureConfig(n_low=2, n_high=2, decades=0.0), rng()
    )  # a and c
    true = replace(mixture, present=np.array([0, 2]), multiplets=np.array([0, 1, 4]))
    for named, amounts in (
        ([1, 0, 1], [1, 0, 1]),
        ([0, 1, 1], [0, 0.5, 1]),
        ([1, 1, 1], [0.5, 0.25, 1]),
    ):
        score = Score()
        prediction = (
            np.array(named, dtype=bool),
            np.array(amounts, dtype=float),
            np.array(named, dtype=float),
        )
        score.add(true, compounds, groups, *prediction)
        figures = score.summary()
        assert score.counts == [(2, 2, 2)]
        assert figures["f1"] == 1
        assert figures["strong_amount_error"] == 0
        assert figures["calibration_error"] == 0
    score = Score()
    score.add(true, compounds, np.arange(3), np.array([False, True, True]), np.ones(3))
    assert score.counts == [(1, 2, 2)]


def test_scores_add_up_whatever_the_parts(library, mixtures):
    def noisy(named, amounts, probabilities, masks):
        return named & (np.arange(K) % 3 > 0), amounts, 0.8 * probabilities, masks

    whole = scored(library, mixtures, noisy)
    parts = scored(library, mixtures[:3], noisy) + scored(library, mixtures[3:], noisy)
    assert parts.summary() == whole.summary()
    assert parts.bins.shape == (2, 3, BINS)
    assert parts.bins[0, 2].sum() == K * len(mixtures)
    assert whole.reliability().expected_calibration_error == pytest.approx(
        whole.summary()["calibration_error"], abs=1e-4
    )


def test_the_interval_holds_the_figure_and_narrows_with_mixtures(library, mixtures):
    random = rng(1)

    def guess(named, amounts, probabilities, masks):
        return named & (random.random(K) < random.random()), amounts, probabilities, masks

    few, many = (scored(library, mixtures * n, guess).summary() for n in (1, 16))
    for figures in (few, many):
        low, high = figures["recall_interval"]
        assert low < figures["recall"] < high
    assert np.diff(many["recall_interval"]) < 0.5 * np.diff(few["recall_interval"])


def test_what_cannot_be_scored_is_refused(library, mixtures):
    with pytest.raises(ValueError, match="no mixture was added"):
        Score().summary()
    named = perfect(mixtures[0])[0]
    with pytest.raises(
        ValueError, match=r"amounts have shape \(3,\); expected one for each of the 60 compounds"
    ):
        Score().add(mixtures[0], library, np.arange(K), named, np.ones(3))


def test_two_equivalent_compounds_in_one_mixture_both_get_the_share_of_the_first():
    """A mixture of two equivalent compounds has a finite mask error."""
    library = Compounds(
        ("a", "b", "c"),
        [0, 1, 2],
        [3.0, 3.004, 3.001],
        [3.0, 3.0, 1.0],
        ("s", "s", "s"),
        ((), (), ()),
    )
    mixture = draw_mixture(
        library,
        PeakMixtureConfig(
            n_low=3, n_high=3, jitter=0.0, line_error=0.0, noise=0.0, gain=0.0, resolution=20.0
        ),
        np.random.default_rng(0),
    )
    stood = replace(mixture, multiplets=np.zeros(3, dtype=np.int64))
    n = len(mixture.peaks.areas)
    shares = mask_shares(stood, (np.zeros(n, dtype=np.int64), np.arange(n), np.full(n, 0.5)))
    assert shares == pytest.approx([0.5] * 3)


def test_a_tally_has_the_metrics_of_its_counts():
    named, present = np.array([1, 1, 0, 0, 1], dtype=bool), np.array([1, 0, 1, 0, 1], dtype=bool)
    tally = Tally.of(named, present)
    assert tally == (2, 3, 3)
    assert (tally.missed, tally.false_alarms) == (1, 1)
    assert tally.f1 == pytest.approx(2 * tally.precision * tally.recall / (2 / 3 + 2 / 3))
    nothing = Tally(0, 0, 0)
    assert (nothing.precision, nothing.recall, nothing.f1) == (1.0, 0.0, 0.0)
