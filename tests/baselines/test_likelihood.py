from itertools import combinations

import numpy as np
import pytest
from scipy.optimize import lsq_linear
from scipy.stats import multivariate_normal

from nmrclassify.baselines.grid import counts_from_amounts, matching_pursuit, nnls
from nmrclassify.baselines.likelihood import (
    Likelihood,
    bounded_least_squares,
    log_uniform_average,
    shift_moments,
)
from nmrclassify.mixtures.dataset import compositions
from nmrclassify.mixtures.grid import MixtureConfig, counts_of, mix, mix_at, shift_multiplets
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library

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


@pytest.mark.parametrize("repetition", [False, True])
@pytest.mark.parametrize("varies", [False, True])
def test_on_noise_the_best_candidate_is_the_nearest(library, repetition, varies):
    candidates = compositions(K, 3, repetition, rng(), number_varies=varies)
    config = MixtureConfig(noise=0.5)
    areas, _ = draw(library, config, 200, candidates)
    templates = mix(library, candidates, MixtureConfig(), rng()).areas
    distance = ((areas[:, None] - templates).astype(float) ** 2).sum(axis=(2, 3))
    likelihood = Likelihood(library, candidates, config)
    nearest = distance.argmin(axis=1)
    assert (likelihood.exhaustive(areas) == counts_of(candidates[nearest], K)).all()
    expected = -0.5 * distance / 0.5**2 - areas[0].size * np.log(0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(likelihood.log_likelihood(areas), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("config", "least"),
    [
        (MixtureConfig(noise=0.3), 0.93),
        (MixtureConfig(noise=0.3, **FREE), 0.75),
        (MixtureConfig(shift_jitter=0.6, noise=0.1), 0.97),
        (MixtureConfig(shift_jitter=0.6, noise=0.1, **FREE), 0.93),
    ],
)
def test_likelihood_is_right_more_often_than_least_squares(library, config, least):
    # Enough mixtures for the smallest of the differences, 2 points, to be no chance.
    areas, truth = draw(library, config, 3000)
    best = share_right(Likelihood(library, TRIPLES, config).exhaustive(areas), truth)
    assert best >= least
    assert best > share_right(counts_from_amounts(nnls(areas, library), False, number=3), truth)
    assert best > share_right(
        counts_from_amounts(matching_pursuit(areas, library, 3), False, number=3), truth
    )


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize(
    "config",
    [
        MixtureConfig(),
        MixtureConfig(**FREE),
        MixtureConfig(shift_jitter=0.3),
        MixtureConfig(concentration_low=2, concentration_high=2),
    ],
)
def test_without_noise_every_composition_is_estimated_apart(library, config, average):
    candidates = compositions(K, 3, False, rng(), number_varies=True)
    mixtures = mix(library, candidates, config, rng())
    assert (
        Likelihood(library, candidates, config, average).exhaustive(mixtures.areas)
        == counts_of(candidates, K)
    ).all()


@pytest.mark.parametrize("std", [0.01, 0.3, 0.6, 3.0])
def test_shift_moments_are_those_of_shifted_multiplets(std):
    n_positions, draws = 7, 20_000
    mean, covariance = shift_moments(n_positions, std)
    for position in (0, 1, 3, 6):
        single = np.zeros((draws, 1, n_positions))
        single[:, :, position] = 1.0
        weights = shift_multiplets(single, rng(position).normal(0.0, std, (draws, n_positions)))[
            :, 0
        ]
        deviation = weights - mean[position]
        products = deviation[:, :, None] * deviation[:, None]
        for found, expected in ((weights, mean[position]), (products, covariance[position])):
            error = found.std(axis=0) / np.sqrt(draws)
            assert (np.abs(found.mean(axis=0) - expected) <= 5 * error + 1e-4 * std**2).all()
    np.testing.assert_allclose(mean.sum(axis=1), 1.0)  # area is kept
    np.testing.assert_allclose(covariance.sum(axis=2), 0.0, atol=1e-12)


def test_shift_moments_of_one_position_and_of_a_tiny_shift():
    mean, covariance = shift_moments(1, 0.5)
    assert mean.tolist() == [[1.0]]
    assert covariance.tolist() == [[[0.0]]]
    mean, covariance = shift_moments(4, 1e-300)
    np.testing.assert_allclose(mean, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(covariance, 0.0, atol=1e-12)


def small(n_compounds=3, n_positions=5):
    """Return a library that a covariance can be sampled for."""
    areas = rng(4).random((n_compounds, 2, n_positions)) * (
        rng(5).random((n_compounds, 1, n_positions)) < 0.6
    )
    return Library(
        tuple("abcdefgh"[:n_compounds]),
        areas.astype(np.float32),
        Axis(n_positions, 0.0, float(n_positions)),
    )


def within_sampling_error(cells, mean, covariance):
    """Return whether sampled cells, shape (draws, D), have the expected mean and covariance."""
    deviation = cells - mean
    products = deviation[:, :, None] * deviation[:, None]
    return all(
        (np.abs(found.mean(axis=0) - expected) < 5 * found.std(axis=0) / np.sqrt(len(cells))).all()
        for found, expected in ((cells, mean), (products, covariance))
    )


def test_mean_and_covariance_are_those_of_sampled_mixtures():
    library, row, draws = small(), np.array([0, 0, 2]), 40_000
    config = MixtureConfig(shift_jitter=0.7, noise=0.2, **FREE)
    labels = np.tile(row, (draws, 1))
    blurred = (library.areas @ shift_moments(5, 0.7)[0]).reshape(3, -1)
    concentrations = np.ones(labels.shape, dtype=np.float32)  # the geometric mean of 0.5 and 2
    cells = mix_at(library, labels, concentrations, config, rng()).areas.reshape(draws, -1)
    profiled = Likelihood(library, row[None], config)
    assert within_sampling_error(cells, blurred[row].sum(axis=0), profiled.covariance(0))

    # Averaged, free concentrations are part of the mean and of the covariance.
    cells = mix(library, labels, config, rng()).areas.reshape(draws, -1).astype(float)
    averaged = Likelihood(library, row[None], config, average=True)
    drawn = np.exp(np.linspace(np.log(0.5), np.log(2.0), 100_001))
    mean = drawn.mean() * blurred[row].sum(axis=0)
    covariance = averaged.covariance(0) + drawn.var() * blurred[row].T @ blurred[row]
    assert within_sampling_error(cells, mean, covariance)
    found = averaged.log_likelihood(cells[:50].reshape(50, 2, 5))[:, 0]
    np.testing.assert_allclose(
        found, multivariate_normal(mean, covariance).logpdf(cells[:50]), rtol=1e-3
    )


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("concentration", [1.0, 1.5])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_density_of_known_concentrations(library, concentration, jitter, average):
    config = MixtureConfig(
        noise=0.2,
        shift_jitter=jitter,
        concentration_low=concentration,
        concentration_high=concentration,
        repetition=True,
    )
    candidates = np.array([[0, 3, 3], [1, 2, 10], [10, 10, 10]])
    areas, _ = draw(library, config, 5)
    likelihood = Likelihood(library, candidates, config, average)
    blur = shift_moments(21, jitter)[0] if jitter else np.eye(21)
    templates = np.concatenate([library.areas, np.zeros((1, 6, 21))]) @ blur
    for column, row in enumerate(candidates):
        normal = multivariate_normal(
            concentration * templates[row].sum(axis=0).ravel(), likelihood.covariance(column)
        )
        found = likelihood.log_likelihood(areas)[:, column]
        np.testing.assert_allclose(found, normal.logpdf(areas.reshape(5, -1)), rtol=1e-9)
    if not jitter:
        np.testing.assert_array_equal(likelihood.covariance(0), 0.2**2 * np.eye(126))


@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_density_of_profiled_concentrations(library, jitter):
    config = MixtureConfig(noise=0.3, shift_jitter=jitter, repetition=True, **FREE)
    candidates = np.array([[0, 3, 3], [1, 2, 10], [4, 5, 6], [10, 10, 10]])
    areas, _ = draw(library, config, 8)
    likelihood = Likelihood(library, candidates, config)
    found = likelihood.log_likelihood(areas)
    blur = shift_moments(21, jitter)[0] if jitter else np.eye(21)
    for column, counts in enumerate(counts_of(candidates, K)):
        covariance = likelihood.covariance(column)
        white = np.linalg.inv(np.linalg.cholesky(covariance))
        here = np.flatnonzero(counts)
        templates = (library.areas[here] @ blur).reshape(len(here), 126)
        for row, cells in enumerate(areas.reshape(8, 126)):
            mean = np.zeros(126)
            if len(here):
                limits = 0.5 * counts[here], 2.0 * counts[here]
                mean = (
                    lsq_linear(white @ templates.T, white @ cells, limits, tol=1e-14).x @ templates
                )
            expected = multivariate_normal(mean, covariance).logpdf(cells)
            np.testing.assert_allclose(found[row, column], expected, atol=1e-5)


def test_bounded_least_squares_is_scipys():
    random = rng(2)
    templates = random.normal(size=(6, 4, 9))  # (n, C, D)
    templates[1, 2:] = 0  # padding
    templates[2, 1] = templates[2, 0] + 0.05 * templates[2, 1]  # nearly collinear
    low, high = np.full((6, 4), 0.5), np.full((6, 4), 1.5)
    high[3] = low[3]
    low[1, 2:] = high[1, 2:] = 0.0
    cells = random.normal(size=(30, 9)) * 3 + templates[4].sum(axis=0)
    amounts, least = bounded_least_squares(
        templates @ templates.swapaxes(1, 2), np.einsum("bd,ncd->bnc", cells, templates), low, high
    )
    touched = 0
    for n, free in enumerate([4, 2, 4, 0, 4, 4]):
        for b, cell in enumerate(cells):
            expected = low[n].copy()
            if free:
                bound = low[n, :free], high[n, :free]
                expected[:free] = lsq_linear(
                    templates[n, :free].T, cell, bound, method="bvls", tol=1e-15
                ).x
            np.testing.assert_allclose(amounts[b, n], expected, atol=1e-5)
            fit = ((cell - expected @ templates[n]) ** 2).sum()
            np.testing.assert_allclose((cell**2).sum() + 2 * least[b, n], fit, atol=3e-6)
            touched += (expected == low[n]).any()
    assert 50 < touched < 180  # both kinds occur


def test_averaging_over_concentrations_counts_better_than_profiling(library):
    config = MixtureConfig(noise=0.3, number_varies=True, repetition=True, **FREE)
    candidates = compositions(K, 3, True, rng(), number_varies=True)
    areas, truth = draw(library, config, 1000, candidates)
    profiled = Likelihood(library, candidates, config).exhaustive(areas)
    averaged = Likelihood(library, candidates, config, average=True).exhaustive(areas)
    assert share_right(averaged, truth) > share_right(profiled, truth) + 0.05


def test_known_concentrations_leave_nothing_to_average(library):
    for config in (MixtureConfig(noise=0.3), MixtureConfig(noise=0.3, shift_jitter=0.4)):
        areas, _ = draw(library, config, 20)
        one, other = (
            Likelihood(library, TRIPLES[:9], config, average).log_likelihood(areas)
            for average in (False, True)
        )
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_padding_and_order_of_a_candidate_make_no_difference(library):
    for config in (
        MixtureConfig(noise=0.2, **FREE),
        MixtureConfig(noise=0.2, shift_jitter=0.4, **FREE),
    ):
        areas, _ = draw(library, config, 20)
        short = Likelihood(library, np.array([[2, 7], [4, 4]]), config)
        long = Likelihood(library, np.array([[10, 7, 10, 2], [10, 4, 4, 10]]), config)
        np.testing.assert_allclose(
            short.log_likelihood(areas), long.log_likelihood(areas), rtol=1e-9
        )
        assert (short.exhaustive(areas) == long.exhaustive(areas)).all()
        assert short.exhaustive(areas).sum(axis=1).tolist() == [2] * 20


def test_blocks_of_mixtures_make_no_difference(library, monkeypatch):
    config = MixtureConfig(noise=0.3, **FREE)
    areas, _ = draw(library, config, 25)
    whole = Likelihood(library, TRIPLES, config).log_likelihood(areas)
    monkeypatch.setattr("nmrclassify.baselines.likelihood._BLOCK", 7 * 120 * 9)
    np.testing.assert_allclose(
        Likelihood(library, TRIPLES, config).log_likelihood(areas), whole, atol=1e-5
    )


@pytest.mark.parametrize(
    ("candidates", "message"),
    [
        (np.zeros((0, 3), dtype=int), r"candidates have shape \(0, 3\)"),
        (np.zeros(3, dtype=int), r"candidates have shape \(3,\)"),
        (
            np.array([[0, 1, 11]]),
            "from 0 to 11; expected whole numbers from 0 to 9, or 10 for no compound",
        ),
        (np.array([[-1, 1, 2]]), "from -1 to 2"),
        (np.array([[0.5, 1, 2]]), "float64"),
    ],
)
def test_candidates_that_cannot_be_are_refused(library, candidates, message):
    with pytest.raises(ValueError, match=message):
        Likelihood(library, candidates, MixtureConfig())


def test_jitter_on_a_long_axis_is_refused():
    library = Library(("a",), np.ones((1, 6, 100), dtype=np.float32), Axis(100, 0.0, 100.0))
    one = np.zeros((1, 1), dtype=int)
    assert Likelihood(library, one, MixtureConfig(noise=0.1)).exhaustive(
        library.areas
    ).tolist() == [[1]]
    with pytest.raises(ValueError, match="600 cells .* at most 512"):
        Likelihood(library, one, MixtureConfig(shift_jitter=0.1))


def test_a_shift_without_spread_is_refused():
    with pytest.raises(ValueError, match="standard deviation is 0"):
        shift_moments(21, 0)


@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("jitter", [0.0, 0.5])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_mixture_of_nothing(library, jitter, noise, average):
    nothing = np.zeros((1, 6, 21))
    config = MixtureConfig(shift_jitter=jitter, noise=noise, **FREE)
    likelihood = Likelihood(library, TRIPLES, config, average)
    assert np.isfinite(likelihood.log_likelihood(nothing)).all()
    assert likelihood.exhaustive(nothing).sum() == 3
    candidates = np.concatenate([TRIPLES, np.full((1, 3), K)])
    assert not Likelihood(library, candidates, config, average).exhaustive(nothing).any()


@pytest.mark.parametrize("config", [MixtureConfig(), MixtureConfig(shift_jitter=0.5, **FREE)])
def test_without_mixtures_the_result_is_empty(library, config):
    none = np.zeros((0, 6, 21))
    likelihood = Likelihood(library, TRIPLES, config)
    assert likelihood.log_likelihood(none).shape == (0, 120)
    assert likelihood.exhaustive(none).shape == (0, K)


@pytest.mark.parametrize("jitter", [0.0, 0.5])
def test_mixtures_that_cannot_be_are_refused(library, jitter):
    likelihood = Likelihood(library, TRIPLES, MixtureConfig(shift_jitter=jitter))
    with pytest.raises(ValueError, match="expected .mixtures, 6 peaks, 21 positions"):
        likelihood.log_likelihood(np.zeros((2, 6, 20)))
    with pytest.raises(ValueError, match=r"areas hold nan at \(1, 2, 3\)"):
        likelihood.exhaustive(np.where(np.arange(252).reshape(2, 6, 21) == 171, np.nan, 0))


@pytest.mark.parametrize("sharpness", [0.1, 3.0, 100.0])
def test_the_average_over_concentrations_is_that_of_a_fine_grid(sharpness):
    random, (low, high) = rng(3), (0.2, 5.0)
    templates = random.uniform(0, 1, (6, 2, 4))
    gram = sharpness * templates @ templates.mT
    products = (gram @ random.uniform(0.1, 6.0, (6, 2, 1)))[..., 0]
    grid = np.exp(np.linspace(np.log(low), np.log(high), 2001))
    grid = np.sqrt(grid[1:] * grid[:-1])  # the middles of cells of equal probability
    a = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
    expected = [
        np.logaddexp.reduce(a @ b - 0.5 * ((a @ g) * a).sum(axis=1)) - np.log(len(a))
        for g, b in zip(gram, products, strict=True)
    ]
    # The same with a third compound that is padding.
    padded = [np.pad(gram, ((0, 0), (0, 1), (0, 1))), np.pad(products, ((0, 0), (0, 1)))]
    for g, b in ((gram, products), padded):
        bounds = np.zeros(b.shape), np.zeros(b.shape)
        bounds[0][:, :2], bounds[1][:, :2] = low, high
        np.testing.assert_allclose(log_uniform_average(g, b, *bounds), expected, atol=0.04)


def test_averaging_over_concentrations_is_right_more_often_than_the_best_ones(library):
    free = MixtureConfig(noise=0.3, concentration_low=0.2, concentration_high=5.0)
    candidates = compositions(K, 3, False, rng(), number_varies=True)
    areas, counts = draw(library, free, 600, candidates)
    average, profiled = (
        share_right(Likelihood(library, candidates, free, average=way).exhaustive(areas), counts)
        for way in (True, False)
    )
    assert average > profiled
