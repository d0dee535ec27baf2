import numpy as np
import pandas as pd
import pytest

from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.ui.peak_edits import edited_peaks


def test_the_peaks_of_a_table_are_taken_and_rows_without_a_number_left_out():
    table = pd.DataFrame({"ppm": [3.5, 1.25, None, 2.0], "area": [2.0, 1.0, 4.0, None]})
    peaks = edited_peaks(table, FULL_AXIS)
    assert peaks.ppm == pytest.approx([1.25, 3.5], abs=1e-3)
    assert peaks.areas == pytest.approx([1, 2])
    assert peaks.axis == FULL_AXIS


@pytest.mark.parametrize(
    ("ppm", "area", "match"),
    [
        ([], [], "no peak is left"),
        ([np.nan], [1.0], "no peak is left"),
        ([1.0, 2.0], [1.0, -1.0], "an area is -1; expected numbers above 0"),
        ([1.0, 99.0], [1.0, 1.0], "a peak is at 99 ppm; expected"),
    ],
)
def test_other_tables_are_refused(ppm, area, match):
    with pytest.raises(ValueError, match=match):
        edited_peaks(pd.DataFrame({"ppm": ppm, "area": area}), FULL_AXIS)
