import numpy as np
import pytest

from nmrclassify.evaluation.identify import Detector
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.line_shapes import spectrum
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.plots.spectrum_layers import (
    MAX_POINTS,
    drawable_range,
    sample_range,
    spectrum_layers,
)


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


@pytest.mark.parametrize("seed", range(8))
def test_no_peak_vanishes_however_far_one_zooms_out(seed):
    rng = np.random.default_rng(seed)
    heights = spectrum(
        FULL_AXIS, rng.choice(65_536, 300, replace=False), 10 ** rng.uniform(-3, 0, 300)
    )
    low, high = sorted(rng.uniform(-1, 12, 2))
    n = int(rng.integers(1, MAX_POINTS + 1))
    drawing = sample_range(FULL_AXIS, heights, low, high, n)
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
    drawing = sample_range(FULL_AXIS, heights, 4.9, 5.0)
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
        sample_range(FULL_AXIS, np.zeros(65_536), low, high, n)


@pytest.mark.parametrize(
    ("low", "high"),
    [(3, 4), (4, 3), (3, 3), (-1, 12), (-9, 40), (11.999, 12.0), (-1.0, -1.0), (11, 20)],
)
def test_any_range_is_widened_to_one_that_can_be_drawn(low, high):
    a, b = drawable_range(FULL_AXIS, low, high)
    assert -1.0 <= a < b <= 12.0
    assert b - a >= 0.0199
    assert 1 <= len(sample_range(FULL_AXIS, np.zeros(65_536), a, b).heights) <= MAX_POINTS
    if (low, high) == (3, 4):
        assert (a, b) == (3, 4)


def test_parts_never_stand_above_the_mixture(found):
    prediction, mixture = found
    for compound in range(prediction.compounds.n_compounds):
        assert (prediction.separated(compound) <= prediction.peaks.areas).all()
    for compound in [*prediction.named[:4], int(prediction.probabilities.argmin())]:
        shown = spectrum_layers(prediction, int(compound), mixture)
        assert (shown.chosen <= shown.mixture).all()
        assert (shown.explained <= shown.mixture).all()
        for low, high in ((-1, 12), (1, 2), (3.1, 3.15)):
            drawn = [
                sample_range(FULL_AXIS, heights, low, high, 777).heights
                for heights in (shown.mixture, shown.explained, shown.chosen)
            ]
            assert (drawn[1] <= drawn[0]).all()
            assert (drawn[2] <= drawn[0]).all()
            assert (
                prediction.probabilities[compound] < prediction.threshold
                or (drawn[2] <= drawn[1] + 1e-6 * drawn[0].max()).all()
            )


def test_the_true_parts_add_up_to_the_mixture(found):
    prediction, mixture = found
    total = sum(mixture.areas_of(int(k)) for k in mixture.present)
    np.testing.assert_allclose(total, mixture.totals)
    absent = int(np.setdiff1d(np.arange(60), mixture.present)[0])
    assert not mixture.areas_of(absent).any()
    assert spectrum_layers(prediction, absent, mixture).truth is None


def test_one_peak_is_enough():
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=5), np.random.default_rng(1))
    prediction = Detector(compounds).identify(
        Peaks(FULL_AXIS, np.array([30_000]), np.array([1.0], dtype=np.float32))
    )
    shown = spectrum_layers(prediction, 0)
    assert shown.truth is None
    assert shown.mixture.argmax() == 30_000
