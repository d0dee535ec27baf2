import numpy as np
import pytest

from nmrclassify.evaluation.identify import Detector
from nmrclassify.mixtures.peaks import Peaks, PeakMixtureConfig, draw_mixture
from nmrclassify.mixtures.spectrum import (
    LINE_WIDTH,
    MAX_POINTS,
    draw_range,
    layers,
    spectrum,
    true_areas,
    widened,
)
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

SMALL = Axis(4096, 0.0, 4.0, "ppm", 600.0)


def case(seed: int):
    """Return a small library's mixture and what the network makes of it."""
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=60), np.random.default_rng(seed))
    mixture = draw_mixture(
        compounds, PeakMixtureConfig(n_low=12, n_high=12), np.random.default_rng(seed + 1)
    )
    return Detector(compounds).identify(mixture.peaks), mixture


@pytest.fixture(scope="module")
def found():
    return case(5)


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


@pytest.mark.parametrize("seed", range(8))
def test_no_peak_vanishes_however_far_one_zooms_out(seed):
    rng = np.random.default_rng(seed)
    heights = spectrum(
        FULL_AXIS, rng.choice(65_536, 300, replace=False), 10 ** rng.uniform(-3, 0, 300)
    )
    low, high = sorted(rng.uniform(-1, 12, 2))
    n = int(rng.integers(1, MAX_POINTS + 1))
    drawing = draw_range(FULL_AXIS, heights, low, high, n)
    assert 1 <= len(drawing.heights) <= n
    inside = (FULL_AXIS.centres >= low) & (FULL_AXIS.centres <= high)
    tops = (
        np.flatnonzero(
            inside[1:-1] & (heights[1:-1] > heights[:-2]) & (heights[1:-1] > heights[2:])
        )
        + 1
    )
    nearest = np.abs(drawing.ppm[:, None] - FULL_AXIS.centres[tops]).argmin(0)
    assert (np.abs(drawing.ppm[nearest] - FULL_AXIS.centres[tops]) <= drawing.step / 2 + 1e-9).all()
    assert (drawing.heights[nearest] >= heights[tops]).all()
    assert np.isin(drawing.heights, heights).all()
    assert drawing.heights.max() >= heights[inside].max(initial=0.0)


def test_a_narrow_range_is_drawn_place_by_place():
    heights = spectrum(FULL_AXIS, np.array([30_000]), np.array([1.0]))
    drawing = draw_range(FULL_AXIS, heights, 4.9, 5.0)
    assert drawing.step == FULL_AXIS.width
    np.testing.assert_allclose(
        drawing.ppm,
        FULL_AXIS.centres[(FULL_AXIS.centres >= drawing.ppm[0] - 1e-9)][: len(drawing.ppm)],
    )


@pytest.mark.parametrize(
    ("low", "high", "n"),
    [(2, 1, 100), (1, 1, 100), (13, 14, 100), (np.nan, 1, 100), (1, 2, 0), (1, 2, MAX_POINTS + 1)],
)
def test_what_cannot_be_drawn_is_refused(low, high, n):
    with pytest.raises(ValueError, match="expected"):
        draw_range(FULL_AXIS, np.zeros(65_536), low, high, n)


@pytest.mark.parametrize(
    ("low", "high"),
    [(3, 4), (4, 3), (3, 3), (-1, 12), (-9, 40), (11.999, 12.0), (-1.0, -1.0), (11, 20)],
)
def test_any_range_is_widened_to_one_that_can_be_drawn(low, high):
    a, b = widened(FULL_AXIS, low, high)
    assert -1.0 <= a < b <= 12.0
    assert b - a >= 0.0199
    assert 1 <= len(draw_range(FULL_AXIS, np.zeros(65_536), a, b).heights) <= MAX_POINTS
    if (low, high) == (3, 4):
        assert (a, b) == (3, 4)


def test_parts_never_stand_above_the_mixture(found):
    prediction, mixture = found
    for compound in range(prediction.compounds.n_compounds):
        assert (prediction.separated(compound) <= prediction.peaks.areas).all()
    for compound in [*prediction.named[:4], int(prediction.probabilities.argmin())]:
        shown = layers(prediction, int(compound), mixture)
        assert (shown.chosen <= shown.mixture).all()
        assert (shown.explained <= shown.mixture).all()
        for low, high in ((-1, 12), (1, 2), (3.1, 3.15)):
            drawn = [
                draw_range(FULL_AXIS, heights, low, high, 777).heights
                for heights in (shown.mixture, shown.explained, shown.chosen)
            ]
            assert (drawn[1] <= drawn[0]).all()
            assert (drawn[2] <= drawn[0]).all()
            assert (
                prediction.probabilities[compound] < prediction.threshold
                or (drawn[2] <= drawn[1] + 1e-6 * drawn[0].max()).all()
            )


def test_the_true_parts_add_up_to_the_mixture(found):
    _, mixture = found
    total = sum(true_areas(mixture, int(k)) for k in mixture.present)
    np.testing.assert_allclose(total, mixture.totals)
    absent = np.setdiff1d(np.arange(60), mixture.present)[0]
    assert true_areas(mixture, int(absent)) is None


def test_one_peak_is_enough():
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=5), np.random.default_rng(1))
    prediction = Detector(compounds).identify(
        Peaks(FULL_AXIS, np.array([30_000]), np.array([1.0], dtype=np.float32))
    )
    shown = layers(prediction, 0)
    assert shown.truth is None
    assert shown.mixture.argmax() == 30_000
