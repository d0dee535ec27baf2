"""The pH by what the network names, from the spectrum to the compounds."""

from dataclasses import replace

import numpy as np

from nmrclassify.evaluation.choose_ph import ph_chooser
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_threshold import tally
from nmrclassify.mixtures.processing_recipe import USUAL
from nmrclassify.mixtures.rendered import RenderConfig, render
from nmrclassify.mixtures.spectrum_processing import process
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
