import warnings
from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.evaluation.concentrations import (
    LEAST_ERROR,
    KnownConcentration,
    amount_errors,
    concentration_table,
)
from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.compounds import Compounds


def prediction(areas=(6.0, 4.0, 3.0, 1.0)):
    """Compounds a (two multiplets) and b are named with amounts 2 and 3; c is not."""
    compounds = Compounds(
        names=("a", "b", "c"),
        compound=np.array([0, 0, 1, 2]),
        ppm=np.array([1.0, 2.0, 3.0, 4.0]),
        protons=np.array([3.0, 2.0, 1.0, 1.0]),
        kinds=("s",) * 4,
        couplings=((),) * 4,
    )
    return Identification(
        compounds=compounds,
        groups=np.arange(3),
        peaks=Peaks.from_lines(compounds.ppm, np.array(areas)),
        probabilities=np.array([0.9, 0.8, 0.1]),
        amounts=np.array([2.0, 3.0, 1.0]),
        shifts=np.zeros(4),
        shares=np.ones(4),
        masks=(np.arange(3), np.arange(3), np.ones(3)),
        threshold=0.5,
        spread=0.01,
        seconds=0.0,
    )


def test_without_a_known_concentration_the_amounts_are_shares_of_what_is_named():
    table = concentration_table(prediction(), np.arange(3))
    assert table["mol %"].tolist()[:2] == pytest.approx([40, 60])
    assert np.isnan(table.iloc[2]).all()


def test_an_amount_next_to_0_that_is_not_named_has_no_interval():
    found = replace(
        prediction(),
        amounts=np.array([2.0, 3.0, 1e-300]),
        masks=(np.arange(4), np.arange(4), np.ones(4)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = concentration_table(found, np.arange(3))
    assert np.isnan(table.iloc[2]).all() and table.iloc[:2].notna().all(axis=None)


def test_a_known_concentration_makes_them_absolute():
    found = prediction()
    # 9 protons of 0.5 mM have the area 90: an amount of 10.
    table = concentration_table(found, np.array([1, 0]), KnownConcentration("DSS", 0.5, 10.0))
    assert table["mM"].tolist() == pytest.approx([0.15, 0.1])
    own = concentration_table(found, np.array([0]), KnownConcentration("a", 7.0, 2.0))
    assert own["mM"][0] == pytest.approx(7)
    # The error of the reference is one of each amount.
    relative = concentration_table(found, np.array([0]))
    assert own["to"][0] / own["mM"][0] > relative["to"][0] / relative["mol %"][0] > 1


def test_the_interval_widens_as_the_multiplets_disagree():
    agreeing, _, without = amount_errors(prediction())
    assert agreeing == pytest.approx(LEAST_ERROR) and np.isnan(without)
    assert amount_errors(prediction((6.0, 6.0, 3.0, 1.0)))[0] > 0.3
    low, high = concentration_table(prediction((6.0, 6.0, 3.0, 1.0)), np.array([0])).iloc[0, 1:]
    assert low * high == pytest.approx(40**2)


def test_equivalent_compounds_have_the_error_of_the_one_with_the_masks():
    pair = replace(prediction(), groups=np.array([0, 1, 1]))
    assert amount_errors(pair)[2] == amount_errors(pair)[1]


@pytest.mark.parametrize(("mm", "amount"), [(0, 1), (1, 0), (float("nan"), 1), (1, float("inf"))])
def test_a_known_concentration_is_above_0(mm, amount):
    with pytest.raises(ValueError, match="expected a number above 0"):
        KnownConcentration("DSS", mm, amount)


def test_where_nothing_is_named_no_amount_is_stated():
    usual = prediction()
    row, peak, share = usual.masks
    outside = replace(usual, masks=(row, peak, 0.01 * share))
    assert outside.outside
    assert not outside.is_named.any()
    assert concentration_table(outside, np.arange(3)).isna().all(axis=None)
