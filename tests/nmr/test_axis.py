import numpy as np
import pytest

from nmrclassify.nmr.axis import FULL_AXIS, MAX_POSITIONS, PPM_AXIS, Axis
from nmrclassify.nmr.library import LibraryConfig


def test_positions_of_the_ppm_axis():
    assert PPM_AXIS.width == pytest.approx(0.5)
    assert [PPM_AXIS.position(ppm) for ppm in (0.0, 0.49, 0.5, 1.32, 10.49)] == [0, 0, 1, 2, 20]
    for ppm in (-0.1, 10.5, float("nan")):
        with pytest.raises(ValueError, match="expected 0 to below 10.5"):
            PPM_AXIS.position(ppm)


@pytest.mark.parametrize("axis", [PPM_AXIS, FULL_AXIS, Axis(), Axis(1000, -0.3, 11.1, "ppm")])
def test_many_positions_are_each_position(axis):
    values = np.random.default_rng(0).uniform(axis.low, axis.high, (50, 40))
    values[0] = axis.low
    values[1] = np.nextafter(axis.high, axis.low)
    found = axis.positions(values)
    assert found.dtype == np.int64
    assert found.shape == values.shape
    assert found.ravel().tolist() == [axis.position(value) for value in values.ravel()]
    assert found.min() == 0
    assert found.max() == axis.n_positions - 1


def test_values_outside_have_no_position():
    outside = np.array([-1.0001, 12.0, 1e9, -np.inf, np.inf, np.nan])
    assert FULL_AXIS.positions(outside).tolist() == [-1] * 6


def test_every_centre_is_in_its_own_position():
    assert np.array_equal(FULL_AXIS.positions(FULL_AXIS.centres), np.arange(FULL_AXIS.n_positions))


def test_the_full_axis_resolves_a_line():
    assert (
        FULL_AXIS.n_positions,
        FULL_AXIS.low,
        FULL_AXIS.high,
        FULL_AXIS.unit,
        FULL_AXIS.mhz,
    ) == (65_536, -1, 12, "ppm", 600)
    assert FULL_AXIS.hz_per_position == pytest.approx(13 * 600 / 65_536)
    assert FULL_AXIS.hz_per_position < 1.3 / 2  # the narrowest usual line, in Hz
    with pytest.raises(ValueError, match="'position', which has no width in Hz"):
        Axis().hz_per_position  # noqa: B018


@pytest.mark.parametrize(
    "changes",
    [
        {"low": 1.0, "high": 1.0},
        {"unit": "Hz"},
        {"n_positions": 0},
        {"n_positions": MAX_POSITIONS + 1},
        {"high": float("nan")},
        {"mhz": 9.0},
        {"mhz": 2001.0},
        {"mhz": float("nan")},
    ],
)
def test_impossible_axes_are_refused(changes):
    with pytest.raises(ValueError, match="axis is"):
        Axis(**changes)


def test_a_toy_library_keeps_its_own_bound():
    with pytest.raises(ValueError, match="n_positions is 513"):
        LibraryConfig(n_positions=513)
