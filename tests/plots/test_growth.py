import numpy as np
import pandas as pd
import pytest

from nmrclassify.plots.growth import growth, slope
from nmrclassify.plots.style import Theme


def table(*sweeps):
    rows = []
    for sweep, power in sweeps:
        values = [10, 100, 1000]
        rows += [
            {"sweep": sweep, "value": v, "seconds": 0.1 * v**power, "peak_extra_mib": 5.0 * v**0.5}
            for v in values
        ]
    return pd.DataFrame(rows)


def test_slopes_are_powers():
    x = np.array([100, 300, 1000])
    for power in (0.0, 0.5, 1.0, 2.0):
        assert slope(x, 3 * x**power) == pytest.approx(power, abs=1e-12)
    assert np.isnan(slope([1, 2], [0, 1]))
    assert np.isnan(slope([1], [1]))


@pytest.mark.parametrize("dark", [False, True])
def test_each_sweep_has_both_measures_beside_linear_growth(dark):
    figure = growth(table(("positions", 0.2), ("library", 1.0), ("mixture", 0.7)), Theme(dark))
    assert [trace.name for trace in figure.data] == ["linear growth", "measured"] * 6
    powers = [note.text.removeprefix("slope ") for note in figure.layout.annotations]
    assert powers == ["0.20", "0.50", "1.00", "0.50", "0.70", "0.50"]
    for linear, measured in zip(figure.data[::2], figure.data[1::2], strict=False):
        assert linear.y[-1] == measured.y[-1]
        assert slope(linear.x, linear.y) == pytest.approx(1)
    np.testing.assert_allclose(figure.data[4].y, figure.data[5].y)  # linear growth lies on its line
    assert (
        len({trace.xaxis for trace in figure.data})
        == len({trace.yaxis for trace in figure.data})
        == 6
    )


def test_a_table_of_other_sweeps_is_refused():
    with pytest.raises(
        ValueError, match=r"sweeps are \['noise'\]; expected some of positions, library, mixture"
    ):
        growth(table(("noise", 1.0)), Theme())
