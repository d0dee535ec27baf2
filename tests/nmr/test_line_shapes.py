import numpy as np
import pytest

from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.line_shapes import LINE_WIDTH, spectrum

SMALL = Axis(4096, 0.0, 4.0, "ppm", 600.0)


def direct(axis: Axis, positions: np.ndarray, areas: np.ndarray, width: float) -> np.ndarray:
    """Add Lorentzian lines one by one, each by its area within every position."""
    edges = np.arange(axis.n_positions + 1)[None] - 0.5 - positions[:, None]
    return (
        (
            areas[:, None] * np.diff(np.arctan(edges * axis.hz_per_position / (width / 2)), axis=1)
        ).sum(0)
        / np.pi
        / axis.hz_per_position
    )


@pytest.mark.parametrize("width", [0.1, LINE_WIDTH, 40.0])
def test_a_spectrum_is_the_sum_of_its_lines(width):
    rng = np.random.default_rng(1)
    positions, areas = rng.choice(SMALL.n_positions, 50, replace=False), rng.exponential(size=50)
    expected = direct(SMALL, positions, areas, width)
    np.testing.assert_allclose(
        spectrum(SMALL, positions, areas, width), expected, rtol=1e-9, atol=1e-12 * expected.max()
    )


@pytest.mark.parametrize("seed", range(5))
def test_the_area_of_a_spectrum_is_the_area_of_its_peaks(seed):
    rng = np.random.default_rng(seed)
    positions = rng.integers(20_000, 50_000, rng.integers(1, 2000))
    areas = 10 ** rng.uniform(-3, 1, len(positions))
    heights = spectrum(FULL_AXIS, positions, areas)
    assert heights.sum() * FULL_AXIS.hz_per_position == pytest.approx(
        areas.sum(), rel=1e-3
    )  # the tails reach beyond the axis
    assert (heights >= 0).all()


def test_a_line_is_as_wide_and_as_high_as_it_should_be():
    heights = spectrum(FULL_AXIS, np.array([30_000]), np.array([2.0]))
    above = np.flatnonzero(heights > heights.max() / 2)
    assert heights.argmax() == 30_000
    assert heights.max() == pytest.approx(2 * 2 / np.pi / LINE_WIDTH, rel=0.01)
    assert len(above) * FULL_AXIS.hz_per_position == pytest.approx(
        LINE_WIDTH, abs=2 * FULL_AXIS.hz_per_position
    )
