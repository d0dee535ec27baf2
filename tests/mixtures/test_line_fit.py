from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.special import voigt_profile

from nmrclassify.mixtures import line_fit
from nmrclassify.mixtures.line_fit import FittedLines

HZ = np.arange(0, 1000, 0.12)


def spectrum(places, areas, width=1.5, noise=0.0, seed=0):
    lines = sum(
        a * width / 2 / np.pi / ((HZ - p) ** 2 + (width / 2) ** 2)
        for p, a in zip(places, areas, strict=True)
    )
    white = np.random.default_rng(seed).standard_normal(len(HZ))
    return lines + noise * white


def fitted(heights, noise, width=1.5):
    start = line_fit.find_lines(heights, HZ, noise, width, 4.0)
    return line_fit.fit_lines(heights, HZ, start, noise, width, 2)[0]


def test_overlapping_lines_have_their_areas_tails_included():
    places, areas = [300.0, 301.8, 303.9, 500.0, 640.0], [1.0, 2.0, 0.5, 10.0, 0.2]
    lines = fitted(spectrum(places, areas, noise=1e-3), 1e-3)
    assert lines.hz == pytest.approx(places, abs=0.03)
    assert lines.areas == pytest.approx(areas, rel=0.02)
    # The sum of the points within 3 widths would lack a tenth.
    near = np.abs(HZ - 500) < 4.5
    assert spectrum(places, areas)[near].sum() * 0.12 < 0.92 * 10


def test_a_shoulder_without_a_maximum_is_found():
    heights = spectrum([300.0, 301.1], [1.0, 0.3], noise=1e-4)
    tops = np.flatnonzero((heights[1:-1] > heights[2:]) & (heights[1:-1] > heights[:-2])) + 1
    assert (heights[tops] > 0.1).sum() == 1
    lines = fitted(heights, 1e-4)
    strong = lines.chosen(np.flatnonzero(lines.areas > 0.05))
    assert strong.hz == pytest.approx([300.0, 301.1], abs=0.05)
    assert strong.areas == pytest.approx([1.0, 0.3], rel=0.05)


def test_standard_errors_are_those_of_repeated_noise():
    fits = [fitted(spectrum([300.0], [1.0], noise=0.01, seed=k), 0.01) for k in range(40)]
    fits = [lines.chosen(np.array([lines.heights.argmax()])) for lines in fits]
    for values, stated in (
        ([f.areas[0] for f in fits], np.mean([f.area_errors[0] for f in fits])),
        ([f.hz[0] for f in fits], np.mean([f.hz_errors[0] for f in fits])),
    ):
        assert np.std(values) == pytest.approx(stated, rel=0.35)


def test_the_share_of_the_lorentzian_is_estimated():
    pure = spectrum([300.0, 500.0, 700.0], [1.0, 2.0, 3.0])
    voigt = sum(a * voigt_profile(HZ - p, 0.6, 0.3) for p, a in ((300, 1.0), (500, 2.0), (700, 3)))
    for heights, expected in ((pure, [1.0]), (voigt, [0.4, 0.6])):
        lines = fitted(heights, 1e-4, 1.6)
        share = line_fit.lorentzian_share(heights, HZ, lines, 1e-4, 1.6)
        assert share in expected
        again = line_fit.fit_lines(heights, HZ, replace(lines, share=share), 1e-4, 1.6, 2)[0]
        strong = again.areas > 0.3
        assert again.areas[strong] == pytest.approx([1.0, 2.0, 3.0], rel=0.04)


def test_the_model_is_the_exact_sum():
    rng = np.random.default_rng(2)
    lines = FittedLines.start(
        rng.uniform(50, 950, 100), rng.uniform(0.1, 9, 100), rng.uniform(0.8, 5, 100), 0.7
    )
    u2 = ((HZ - lines.hz[:, None]) * 2 / lines.widths[:, None]) ** 2
    exact = lines.heights @ (0.7 / (1 + u2) + 0.3 * np.exp(-np.log(2) * u2))
    assert np.abs(line_fit.model(lines, HZ) - exact).max() < 2e-3


def test_the_noise_of_correlated_neighbours_is_not_underestimated():
    white = np.random.default_rng(1).standard_normal(40_000)
    noise = gaussian_filter1d(white, 2.0)
    noise[10_000:14_000] += 100 * np.sin(np.arange(4000) / 30)  # signal
    true = noise[20_000:].std()
    assert line_fit.robust_noise(noise) == pytest.approx(true, rel=0.1)
    assert np.abs(np.diff(noise[20_000:])).mean() < 0.6 * true
    assert line_fit.correlation_points(noise, true) == pytest.approx(7.1, rel=0.2)
    assert line_fit.correlation_points(white, 1.0) == pytest.approx(1.0, abs=0.1)


def test_a_straight_part_does_not_count_as_noise():
    noise = np.random.default_rng(1).standard_normal(40_000)
    noise[:20_000] = np.linspace(0, 3, 20_000)
    assert line_fit.robust_noise(noise) == pytest.approx(1.0, rel=0.1)


def test_many_lines_are_split_into_clusters_of_bounded_size():
    lines = FittedLines.start(np.arange(100) * 2.0, np.ones(100), np.ones(100), 1.0)
    groups = line_fit.clusters(lines, 1.5)
    assert sorted(np.concatenate(groups)) == list(range(100))
    assert max(map(len, groups)) <= line_fit.MAX_CLUSTER


def test_beyond_the_budget_lines_keep_their_start():
    heights = spectrum([300.0], [1.0])
    start = line_fit.find_lines(heights, HZ, 1e-3, 1.5, 4.0)
    lines, left = line_fit.fit_lines(heights, HZ, start, 1e-3, 1.5, budget=0.0)
    assert left < 0 and (lines.hz == start.hz).all()
    lines, left = line_fit.fit_lines(heights, HZ, start, 1e-3, 1.5, sweeps=1, budget=1e6)
    assert 0 < left < 1e6 and np.isfinite(lines.hz_errors).all()
