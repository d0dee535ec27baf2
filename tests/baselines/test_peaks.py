import sys

import numpy as np
import pytest
import scipy.optimize

from nmrclassify.baselines.peak_tuning import THRESHOLDS, named, tune
from nmrclassify.baselines.peaks import LeastSquares, Pursuit, Transport, nonnegative
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

K = 60
CLEAN = {
    "jitter": 0.0,
    "line_error": 0.0,
    "gain": 0.0,
    "noise": 0.0,
    "resolution": 0.05,
    "decades": 1.0,
}


def weighted(compounds):
    return LeastSquares(compounds, power=1.0)


def narrow(compounds):
    return Pursuit(compounds, window=0.001)


METHODS = pytest.mark.parametrize("make", [LeastSquares, weighted, narrow])


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=K), rng(500))


def drawn(library, seed=0, **recipe):
    return draw_mixture(
        library, PeakMixtureConfig(**({"n_low": 4, "n_high": 6} | CLEAN | recipe)), rng(seed)
    )


def truth(mixture):
    amounts = np.zeros(K)
    amounts[mixture.present] = mixture.amounts
    return amounts


@pytest.mark.parametrize(("size", "rank"), [(5, 5), (40, 40), (40, 25), (120, 120)])
def test_the_solver_is_scipys(size, rank):
    for seed in range(10):
        random = rng(seed)
        matrix = np.abs(random.normal(size=(2 * rank, size))) @ np.diag(
            10 ** random.uniform(-2, 2, size)
        )
        if rank < size:
            matrix = np.linalg.svd(matrix, full_matrices=False)[0][:, :rank] @ random.normal(
                size=(rank, size)
            )
        goal = matrix @ random.normal(size=size).clip(0) + 0.1 * random.normal(size=len(matrix))
        expected, residual = scipy.optimize.nnls(matrix, goal)
        found = nonnegative(matrix.T @ matrix, matrix.T @ goal)
        assert (found >= 0).all()
        assert np.linalg.norm(matrix @ found - goal) == pytest.approx(residual, rel=1e-6)
        if rank == size:
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5 * expected.max())


def test_the_solver_survives_what_is_not_there():
    gram = np.diag([1.0, 0.0, 2.0])
    np.testing.assert_allclose(
        nonnegative(gram, np.array([3.0, 0.0, -1.0])), [3.0, 0.0, 0.0], rtol=1e-8
    )
    assert not nonnegative(gram, np.zeros(3)).any()
    twice = np.ones((2, 2))  # equal: any split will do
    assert nonnegative(twice, np.array([1.0, 1.0])).sum() == pytest.approx(1, rel=1e-6)


def test_when_exchanges_go_on_for_too_long_scipy_takes_over(monkeypatch):
    random = rng(3)
    matrix = random.random((80, 40))
    goal = random.random(80)
    expected = scipy.optimize.nnls(matrix, goal)[0]
    monkeypatch.setattr("nmrclassify.baselines.peaks.EXCHANGES", 1)
    np.testing.assert_allclose(nonnegative(matrix.T @ matrix, matrix.T @ goal), expected, atol=1e-6)


@METHODS
def test_clean_aligned_mixtures_are_recovered(library, make):
    solve = make(library)
    for seed in range(8):
        mixture = drawn(library, seed)
        amounts = solve(mixture.peaks)
        assert amounts.shape == (K,)
        assert (amounts >= 0).all()
        found = np.flatnonzero(named(library, amounts, 0.003))
        assert found.tolist() == mixture.present.tolist()
        close = np.isclose(amounts[found], mixture.amounts, rtol=0.03)
        # Where two share a peak, what pursuit takes away for the first is missing from the second.
        assert close.mean() >= (0.75 if make is narrow else 1.0)


@METHODS
def test_amounts_follow_the_unit_of_the_peaks(library, make):
    mixture, solve = drawn(library, 1, jitter=0.01, noise=1e-3), make(library)
    peaks = Peaks(mixture.peaks.axis, mixture.peaks.positions, 1000 * mixture.peaks.areas)
    np.testing.assert_allclose(solve(peaks), 1000 * solve(mixture.peaks), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_least_squares_leaves_the_residual_that_scipy_leaves(library, power):
    mixture, solve = drawn(library, 2, jitter=0.01, n_high=20), LeastSquares(library, 0.01, power)
    matrix = solve.library.toarray()
    # A library of singlets, one for each peak, adds up to the mixture itself.
    n = len(mixture.peaks.areas)
    names = tuple(f"peak {i}" for i in range(n))
    sticks = Compounds(
        names, np.arange(n), mixture.peaks.ppm, mixture.peaks.areas, ("s",) * n, ((),) * n
    )
    goal = LeastSquares(sticks, 0.01).library.toarray().sum(axis=1)
    least = mixture.peaks.floor * solve.width / solve.blur / np.sqrt(2 * np.pi)
    weight = (goal + least) ** (-power / 2)
    expected, residual = scipy.optimize.nnls(weight[:, None] * matrix, weight * goal)
    found = solve(mixture.peaks)
    assert np.linalg.norm(weight * (matrix @ found - goal)) == pytest.approx(residual, rel=1e-6)
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.max())


def test_the_binned_library_keeps_its_area_and_is_small(library):
    for blur in (0.001, 0.003, 0.03):
        solve = LeastSquares(library, blur)
        assert solve.library.shape[0] <= 6000
        protons = np.bincount(library.compound, library.protons)
        np.testing.assert_allclose(solve.library.sum(axis=0), protons, rtol=1e-3)


def test_pursuit_finds_what_is_shifted_within_its_window_only(library):
    mixture = drawn(library, 4, n_low=3, n_high=3, jitter=0.008)
    assert (np.abs(mixture.shifts) > 0.005).any()
    wide, tight = (Pursuit(library, window)(mixture.peaks) for window in (0.04, 0.002))
    assert (wide[mixture.present] > 0.5 * mixture.amounts).all()
    assert (tight[mixture.present] < 0.5 * mixture.amounts).any()


def test_pursuit_never_takes_more_area_than_there_is(library):
    for seed in range(5):
        mixture = drawn(library, seed, n_low=20, n_high=30, jitter=0.01, noise=3e-4)
        amounts = Pursuit(library)(mixture.peaks)
        protons = np.bincount(library.compound, library.protons)
        assert 0 < amounts @ protons < 1.1 * mixture.peaks.areas.sum()


def test_a_threshold_is_relative_to_what_brings_most(library):
    amounts = np.zeros(K)
    protons = np.bincount(library.compound, library.protons)
    amounts[[3, 5, 8]] = np.array([1.0, 0.1, 0.01]) / protons[[3, 5, 8]]
    for threshold, expected in ((0.5, [3]), (0.05, [3, 5]), (0.005, [3, 5, 8]), (0.0, [3, 5, 8])):
        assert np.flatnonzero(named(library, amounts, threshold)).tolist() == expected
    assert not named(library, np.zeros(K), 0.0).any()


def test_tuning_finds_the_best_setting_of_each_and_of_all(library):
    mixtures = {
        jitter: [drawn(library, seed, jitter=jitter, n_high=15) for seed in range(3)]
        for jitter in (0.0, 0.02)
    }
    settings, seen = [{"blur": 0.003}, {"blur": 0.02}], []
    one, each = tune(LeastSquares, settings, library, mixtures, lambda: seen.append(1))
    assert len(seen) == 12
    assert list(each) == [0.0, 0.02]

    def f1(jitters, setting, threshold):
        solve, hits, total = LeastSquares(library, **setting), 0, 0
        for mixture in (mixture for jitter in jitters for mixture in mixtures[jitter]):
            found, true = named(library, solve(mixture.peaks), threshold), truth(mixture) > 0
            hits, total = hits + (found & true).sum(), total + found.sum() + true.sum()
        return 2 * hits / total

    for tuned, jitters in ((one, mixtures), (each[0.0], [0.0]), (each[0.02], [0.02])):
        assert tuned.f1 == pytest.approx(f1(jitters, tuned.setting, tuned.threshold))
        for setting in settings:
            assert all(f1(jitters, setting, value) <= tuned.f1 + 1e-9 for value in THRESHOLDS[::8])
    with pytest.raises(ValueError, match="0 settings and 6 mixtures"):
        tune(LeastSquares, [], library, mixtures)


def test_without_magnetstein_the_error_says_how_to_get_it(library, monkeypatch):
    monkeypatch.setitem(sys.modules, "magnetstein", None)
    with pytest.raises(ValueError, match="pip install magnetstein"):
        Transport(library)


def test_transport_recovers_a_clean_mixture(library):
    pytest.importorskip("magnetstein")
    small = library.select(range(10))
    mixture = draw_mixture(small, PeakMixtureConfig(**(CLEAN | {"n_low": 4, "n_high": 4})), rng(1))
    amounts = Transport(small, 1000)(mixture.peaks)
    assert np.flatnonzero(named(small, amounts, 0.003)).tolist() == mixture.present.tolist()
    np.testing.assert_allclose(amounts[mixture.present], mixture.amounts, rtol=0.2)
