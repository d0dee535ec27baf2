from itertools import combinations

import numpy as np
import pytest

from nmrclassify.baselines.grid import counts_from_amounts, matching_pursuit, nnls, tune_threshold
from nmrclassify.mixtures.dataset import compositions
from nmrclassify.mixtures.grid import MixtureConfig, counts_of, mix
from nmrclassify.mixtures.presets import build

K = 10
FREE = {"concentration_low": 0.5, "concentration_high": 2.0}
TRIPLES = np.array(list(combinations(range(K), 3)))


@pytest.fixture(scope="module")
def library():
    return build("quick", 100).library


def rng(seed=0):
    return np.random.default_rng(seed)


def draw(library, config, n, candidates=TRIPLES, seed=0):
    """Return mixtures of random candidates, and how often each compound occurs in them."""
    random = rng(seed)
    mixtures = mix(library, candidates[random.integers(len(candidates), size=n)], config, random)
    return mixtures.areas, counts_of(mixtures.labels, library.n_compounds)


def share_right(counts, truth):
    return (counts == truth).all(axis=1).mean()


METHODS = pytest.mark.parametrize(
    "method", [nnls, lambda areas, library: matching_pursuit(areas, library, 3)]
)


@METHODS
def test_clean_triples_are_all_found_with_their_concentrations(library, method):
    mixtures = mix(library, TRIPLES, MixtureConfig(**FREE), rng())
    truth = counts_of(TRIPLES, K)
    amounts = method(mixtures.areas, library)
    np.testing.assert_allclose(amounts, mixtures.by_compound(mixtures.concentrations), atol=1e-4)
    assert (counts_from_amounts(amounts, False, number=3) == truth).all()
    assert (counts_from_amounts(amounts, False, threshold=0.25) == truth).all()


@METHODS
def test_clean_multisets_are_all_counted(library, method):
    rows = compositions(K, 3, True, rng(), number_varies=True)
    truth = counts_of(rows, K)
    amounts = method(mix(library, rows, MixtureConfig(), rng()).areas, library)
    assert (counts_from_amounts(amounts, True, threshold=0.5) == truth).all()
    three = truth.sum(axis=1) == 3
    assert (counts_from_amounts(amounts[three], True, number=3) == truth[three]).all()


def test_pursuit_is_limited_in_compounds_and_by_the_residual(library):
    areas, truth = draw(library, MixtureConfig(noise=0.3), 50)
    amounts = matching_pursuit(areas, library, 2)
    assert ((amounts > 0).sum(axis=1) <= 2).all()
    assert (amounts >= 0).all()
    clean, truth = draw(library, MixtureConfig(), 50)
    # Nothing is left to explain after the three, however many more are allowed.
    assert ((matching_pursuit(clean, library, K) > 0) == truth).all()


def test_pursuit_starts_with_the_largest_cosine(library):
    areas, _ = draw(library, MixtureConfig(noise=0.1), 50)
    flat, atoms = areas.reshape(50, -1), library.areas.reshape(K, -1)
    cosine = flat @ atoms.T / np.linalg.norm(atoms, axis=1)
    amounts = matching_pursuit(areas, library, 1)
    assert (amounts.argmax(axis=1) == cosine.argmax(axis=1)).all()
    first = cosine.argmax(axis=1)
    np.testing.assert_allclose(
        amounts.max(axis=1), cosine.max(axis=1) / np.linalg.norm(atoms[first], axis=1), rtol=1e-5
    )


def test_pursuit_of_every_compound_is_least_squares(library):
    areas, _ = draw(library, MixtureConfig(noise=0.2), 30)
    full = nnls(areas, library)
    residual = np.linalg.norm(areas.reshape(30, -1) - full @ library.areas.reshape(K, -1), axis=1)
    pursued = matching_pursuit(areas, library, K, tolerance=0.0)
    again = np.linalg.norm(areas.reshape(30, -1) - pursued @ library.areas.reshape(K, -1), axis=1)
    np.testing.assert_allclose(again, residual, rtol=1e-6)


@pytest.mark.parametrize(
    ("repetition", "decision", "expected"),
    [
        (False, {"number": 2}, [1, 1, 0, 0]),
        (True, {"number": 2}, [2, 0, 0, 0]),  # 2.6 less one portion is still more than 1.5
        (True, {"number": 3}, [2, 1, 0, 0]),
        (True, {"number": 4}, [3, 1, 0, 0]),  # 0.6 left of 2.6, 0.5 of 1.5 and 0.2 of 0.2
        (False, {"threshold": 0.1}, [1, 1, 1, 0]),
        (True, {"threshold": 0.1}, [3, 2, 1, 0]),  # 0.2 rounds to 0, but is there
        (True, {"threshold": 1.5}, [3, 0, 0, 0]),
        (True, {"number": 0}, [0, 0, 0, 0]),
    ],
)
def test_amounts_become_counts(repetition, decision, expected):
    assert counts_from_amounts([[2.6, 1.5, 0.2, 0.0]], repetition, **decision).tolist() == [
        expected
    ]


@pytest.mark.parametrize("repetition", [False, True])
def test_no_other_threshold_is_right_more_often(library, repetition):
    candidates = compositions(K, 3, repetition, rng())
    areas, truth = draw(library, MixtureConfig(noise=0.4), 300, candidates)
    amounts = nnls(areas, library)

    def right(threshold):
        return share_right(counts_from_amounts(amounts, repetition, threshold=threshold), truth)

    tuned = tune_threshold(amounts, truth, repetition)
    assert 0.2 < right(tuned) < 1
    assert right(tuned) == max(right(t) for t in [0.0, *np.unique(amounts)])


def test_the_threshold_is_in_the_middle_of_the_best_plateau():
    amounts = np.array([[0.0, 0.2, 1.0], [0.9, 0.0, 0.1]])
    assert tune_threshold(amounts, [[0, 0, 1], [1, 0, 0]], False) == pytest.approx((0.2 + 0.9) / 2)
    assert tune_threshold(amounts, [[0, 0, 1], [0, 0, 0]], False) == pytest.approx((0.9 + 1.0) / 2)
    assert tune_threshold(amounts, [[0, 0, 2], [1, 0, 0]], True) == pytest.approx(
        (0.1 + 0.9) / 2
    )  # 1.0 is never two
    assert tune_threshold(amounts, [[1, 0, 0], [0, 0, 2]], False) == pytest.approx(
        0.5
    )  # none can be right
    empty = np.zeros((2, 3))
    assert not counts_from_amounts(
        empty, False, threshold=tune_threshold(empty, empty, False)
    ).any()
    # A mixture of nothing is right at its largest amount; the other needs 0.3 to 0.6.
    assert tune_threshold([[0.0, 0.7], [0.0, 0.3]], [[0, 0], [0, 0]], False) == pytest.approx(0.7)


def test_a_mixture_of_nothing_holds_nothing(library):
    nothing = np.zeros((1, 6, 21))
    assert not nnls(nothing, library).any()
    assert not matching_pursuit(nothing, library, 3).any()


def test_without_mixtures_the_result_is_empty(library):
    none = np.zeros((0, 6, 21))
    assert nnls(none, library).shape == matching_pursuit(none, library, 3).shape == (0, K)
    assert counts_from_amounts(np.zeros((0, K)), True, number=2).shape == (0, K)


@METHODS
def test_mixtures_that_cannot_be_are_refused(library, method):
    for shape in ((6, 21), (2, 6, 20), (2, 5, 21)):
        with pytest.raises(ValueError, match="expected .mixtures, 6 peaks, 21 positions"):
            method(np.zeros(shape), library)
    for value in (np.nan, np.inf):
        areas = np.zeros((2, 6, 21))
        areas[1, 2, 3] = value
        with pytest.raises(ValueError, match=rf"areas hold {value} at \(1, 2, 3\)"):
            method(areas, library)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "number is None and threshold None; give exactly one"),
        ({"number": 3, "threshold": 0.5}, "number is 3 and threshold 0.5; give exactly one"),
        ({"number": 5}, "number is 5; expected a whole number from 0 to 4"),
        ({"number": -1}, "number is -1"),
        ({"number": 1.5}, "number is 1.5"),
        ({"threshold": np.nan}, "threshold is nan"),
    ],
)
def test_decisions_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        counts_from_amounts(np.ones((2, 4)), False, **arguments)


def test_other_arguments_that_cannot_be_are_refused(library):
    with pytest.raises(ValueError, match="number is -2; expected a whole number of 0 or more"):
        counts_from_amounts(np.ones((2, 4)), True, number=-2)
    with pytest.raises(ValueError, match=r"amounts have shape \(4,\)"):
        counts_from_amounts(np.ones(4), True, number=2)
    with pytest.raises(ValueError, match=r"amounts hold nan at \(0, 1\)"):
        counts_from_amounts([[1.0, np.nan]], True, number=2)
    with pytest.raises(ValueError, match="expected the same, of 1 mixture or more"):
        tune_threshold(np.ones((2, 4)), np.ones((2, 3)), False)
    with pytest.raises(ValueError, match="expected the same, of 1 mixture or more"):
        tune_threshold(np.ones((0, 4)), np.ones((0, 4)), False)
    areas = np.zeros((1, 6, 21))
    for n_most in (0, 11, 2.5):
        with pytest.raises(
            ValueError,
            match=f"n_most is {n_most}; expected a whole number of compounds from 1 to 10",
        ):
            matching_pursuit(areas, library, n_most)
    with pytest.raises(ValueError, match="tolerance is 1"):
        matching_pursuit(areas, library, 3, tolerance=1)
