"""The pH by what the network names, from the spectrum to the compounds."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nmrclassify.evaluation import choose_ph
from nmrclassify.evaluation.choose_ph import (
    LEAST_SHARE,
    LEAST_SHARE_UNCLEAR_OFFSET,
    ph_chooser,
)
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_threshold import tally
from nmrclassify.mixtures.acid_base import PhCandidate
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.mixtures.processing_recipe import USUAL
from nmrclassify.mixtures.rendered import RenderConfig, render
from nmrclassify.mixtures.spectrum_processing import process
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.titration import TABLE_PH, at_ph

LIBRARY = common_metabolites()


def f1_and_ph(drawn, recipe=USUAL):
    done = process(drawn.spectrum, recipe, LIBRARY, choose=ph_chooser(LIBRARY))
    library = second_order(at_ph(LIBRARY, done.acid_base.ph), drawn.mhz)
    detector = Detector(library, axis=done.peaks.axis)
    found = tally(detector.identify(done.peaks), drawn.truth.present)
    return 2 * found.right / (found.named + found.present), done.acid_base


def test_compounds_are_found_in_acid():
    with_search, without = [], []
    for seed in (102, 103, 104, 105):
        config = RenderConfig(n_low=12, n_high=12, snr_low=500.0, ph_low=2.0, ph_high=2.0)
        drawn = render(LIBRARY, config, seed)
        f1, told = f1_and_ph(drawn)
        assert told.ph <= 3.0
        assert "of the peaks, at pH 7.4" in told.sentence
        with_search.append(f1)
        without.append(f1_and_ph(drawn, replace(USUAL, ph_from="by hand", ph=TABLE_PH))[0])
    assert np.mean(with_search) > 0.8
    assert np.mean(with_search) > np.mean(without) + 0.2


def test_nothing_changes_at_the_ph_of_the_table():
    config = RenderConfig(n_low=12, n_high=12, snr_low=500.0)
    for seed in (100, 101):
        drawn = render(LIBRARY, config, seed)
        f1, told = f1_and_ph(drawn)
        usual, _ = f1_and_ph(drawn, replace(USUAL, ph_from="by hand", ph=TABLE_PH))
        assert f1 >= usual - 0.01
        assert abs(told.ph - TABLE_PH) <= 1.0


@pytest.fixture
def chosen(monkeypatch):
    """Return a function from candidates, and the explained share at each pH, to the chosen pH."""
    shares = {}

    def detector(ph, trained, axis):
        return SimpleNamespace(identify=lambda peaks: shares.get(ph, 0.0))

    monkeypatch.setattr(choose_ph, "at_ph", lambda compounds, ph: ph)
    monkeypatch.setattr(choose_ph, "second_order", lambda ph, mhz: ph)
    monkeypatch.setattr(choose_ph, "Detector", detector)
    monkeypatch.setattr(choose_ph, "explained_share", lambda share: share)
    peaks = Peaks.from_lines(np.array([1.9]), np.ones(1), FULL_AXIS)

    def choose(candidates, shares_at):
        shares.clear()
        shares.update(shares_at)
        index, ph, _ = ph_chooser(LIBRARY)(candidates, [peaks] * len(candidates))
        return candidates[index].ph, ph

    return choose


@pytest.mark.parametrize(
    ("stands_out", "least"), [(True, LEAST_SHARE), (False, LEAST_SHARE_UNCLEAR_OFFSET)]
)
def test_an_offset_that_does_not_stand_out_must_explain_more(chosen, stands_out, least):
    candidates = (PhCandidate(4.0, 0.1, 20.0, stands_out), PhCandidate(TABLE_PH, 0.0, 20.0))
    for share, expected in ((least - 0.01, TABLE_PH), (least + 0.01, 4.0)):
        assert chosen(candidates, {4.0: share, TABLE_PH: 0.0}) == (expected, expected)


def test_an_offset_that_does_not_stand_out_is_compared_beside_those_that_do(chosen):
    candidates = (
        PhCandidate(4.0, 0.1, 20.0),
        PhCandidate(9.0, -0.1, 20.0, stands_out=False),
        PhCandidate(TABLE_PH, 0.0, 20.0),
    )
    assert chosen(candidates, {4.0: 0.4, 9.0: 0.8}) == (9.0, 9.0)
    assert chosen(candidates, {4.0: 0.4, 9.0: 0.55}) == (4.0, 4.0)
    # The pH of the table needs no least share.
    assert chosen(candidates, {4.0: 0.1, 9.0: 0.55, TABLE_PH: 0.1}) == (TABLE_PH, TABLE_PH)


def test_a_candidate_near_the_ph_of_the_table_needs_its_margin_too(chosen):
    candidates = (
        PhCandidate(7.5, 0.1, 20.0),
        PhCandidate(3.0, 0.1, 20.0),
        PhCandidate(TABLE_PH, 0.0, 20.0),
    )
    assert chosen(candidates, {7.5: 0.64, 3.0: 0.3, TABLE_PH: 0.6}) == (TABLE_PH, TABLE_PH)
    assert chosen(candidates, {7.5: 0.7, 3.0: 0.3, TABLE_PH: 0.6}) == (7.5, 7.5)
