from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.evaluation import evidence as ev
from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compounds import Compounds

# a: a doublet of 7 Hz and a singlet of 2 protons; b: one singlet.
COMPOUNDS = Compounds(
    names=("a", "b"),
    compound=np.array([0, 0, 1]),
    ppm=np.array([1.3, 3.5, 6.0]),
    protons=np.array([3.0, 2.0, 1.0]),
    kinds=("d", "s", "s"),
    couplings=((7.0,), (), ()),
)
HALF = 3.5 / FULL_AXIS.mhz
PEAKS = {1.3 - HALF: 3.0, 1.3 + HALF: 3.0, 3.5: 4.0, 6.0: 2.0, 8.0: 1.0}


def prediction(peaks=PEAKS, amounts=(2.0, 2.0), shifts=(0.0, 0.0, 0.0), probabilities=(0.9, 0.1)):
    """A prediction in which compound a has the whole of each peak below 5 ppm."""
    made = Peaks.from_lines(np.array(list(peaks)), np.array(list(peaks.values())))
    of_a = np.flatnonzero(made.ppm < 5)
    row = np.where(made.ppm[of_a] < 2, 0, 1)
    return Identification(
        compounds=COMPOUNDS,
        groups=np.arange(2),
        peaks=made,
        probabilities=np.array(probabilities),
        amounts=np.array(amounts),
        shifts=np.array(shifts),
        shares=np.ones(3),
        masks=(row, of_a, np.ones(len(of_a))),
        threshold=0.5,
        spread=0.01,
        seconds=0.0,
    )


def test_all_lines_of_a_compound_that_is_there_are_found_with_their_areas():
    found = ev.evidence(prediction(), 0)
    assert found.ppm == pytest.approx([3.5, 1.3 + HALF, 1.3 - HALF], abs=1e-6)
    assert found.expected == pytest.approx([4, 3, 3])
    assert found.measured == pytest.approx([4, 3, 3])
    assert found.separated == pytest.approx([4, 3, 3])
    assert found.speaks_for.all() and not found.speaks_against.any()
    assert found.multiplets.tolist() == [1, 0, 0]


def test_missing_and_weak_lines_speak_against():
    peaks = PEAKS | {3.5: 1.9}  # of the 4 that are expected
    del peaks[1.3 + HALF]
    found = ev.evidence(prediction(peaks), 0)
    assert found.outcomes == (ev.TOO_LITTLE, ev.NO_PEAK, ev.FOUND)
    assert found.speaks_against.tolist() == [True, True, False]
    enough = ev.evidence(prediction(PEAKS | {3.5: 2.1}), 0)
    assert enough.outcomes[0] == ev.FOUND


def test_a_line_is_looked_for_at_its_shifted_place():
    moved = {(p + 0.05 if p == 3.5 else p): a for p, a in PEAKS.items()}
    assert ev.evidence(prediction(moved), 0).outcomes[0] == ev.NO_PEAK
    assert ev.evidence(prediction(moved, shifts=(0.0, 0.05, 0.0)), 0).outcomes[0] == ev.FOUND


def test_the_area_of_another_compound_at_its_place_is_not_its_own():
    shared = prediction()
    row, peak, share = shared.masks
    shared = replace(shared, masks=(row, peak, np.where(row == 1, 0.25, share)))
    found = ev.evidence(shared, 0)
    assert found.measured[0] == pytest.approx(4) and found.separated[0] == pytest.approx(1)


def test_lines_that_cannot_be_seen_say_nothing():
    without = {p: a for p, a in PEAKS.items() if p != 3.5}
    assert ev.evidence(prediction(without), 0, ((3.4, 3.6),)).outcomes[0] == ev.CUT
    weak = ev.evidence(prediction(without, amounts=(0.2, 2.0)), 0)
    assert weak.outcomes[0] == ev.WEAK and not weak.speaks_against.any()
    beyond = prediction(shifts=(0.0, 20.0, 0.0))
    assert ev.BEYOND in ev.evidence(beyond, 0).outcomes


def test_without_an_amount_that_of_the_peaks_counts():
    found = ev.evidence(prediction(amounts=(np.nan, np.nan)), 0)
    assert found.expected == pytest.approx([4, 3, 3])
    nothing = ev.evidence(prediction({8.0: 1.0}, amounts=(np.nan, np.nan)), 0)
    assert np.isnan(nothing.expected).all()
    assert set(nothing.outcomes) == {ev.NO_PEAK}


def coinciding(peaks, probability=0.1, amounts=(0.01, 3.0, 2.0)):
    """Compound x is asked for: its singlet is that of y, which alone is in the mixture."""
    compounds = Compounds(
        names=("x", "y", "z"),
        compound=np.array([0, 0, 0, 1, 1, 2]),
        ppm=np.array([1.3, 3.5, 7.0, 3.5, 5.0, 9.0]),
        protons=np.array([3.0, 2.0, 1.0, 1.0, 4.0, 1.0]),
        kinds=("d", "s", "s", "s", "s", "s"),
        couplings=((7.0,), (), (), (), (), ()),
    )
    made = Peaks.from_lines(np.array(list(peaks)), np.array(list(peaks.values())))
    at = np.abs(made.ppm - 3.5).argmin()
    return Identification(
        compounds=compounds,
        groups=np.arange(3),
        peaks=made,
        probabilities=np.array([probability, 0.95, 0.9]),
        amounts=np.array(amounts),
        shifts=np.zeros(6),
        shares=np.ones(6),
        masks=(np.array([0, 3]), np.array([at, at]), np.array([0.02, 0.9])),
        threshold=0.5,
        spread=0.01,
        seconds=0.0,
    )


# y at amount 3 and a small peak: x would be seen at an amount of .06 and more.
OF_Y = {3.5: 3.0, 5.0: 12.0, 8.0: 0.1}


def test_missing_lines_speak_against_an_absent_compound_whatever_its_estimated_amount():
    made = coinciding(OF_Y)
    found = ev.evidence(made, 0)
    # If the peak at 3.5 were x's, its other lines would be large.
    assert found.expected == pytest.approx([3, 2.25, 2.25, 1.5])
    assert found.outcomes == (ev.FOUND, ev.NO_PEAK, ev.NO_PEAK, ev.NO_PEAK)
    assert found.owners == ((1, pytest.approx(0.9)),)
    assert ev.sentence(made, 0, found) == (
        "Not named (10%): 3 of its 4 lines are missing; the one that is there belongs to y (90%)."
    )


def test_a_compound_near_the_noise_is_not_contradicted_by_lines_that_could_not_be_seen():
    made = coinciding({3.5: 0.11, 5.0: 12.0, 8.0: 0.1})
    found = ev.evidence(made, 0)
    assert set(found.outcomes) == {ev.FOUND, ev.WEAK}
    assert ev.sentence(made, 0, found).startswith(
        "Not named (10%): 3 of its 4 lines are too weak to see"
    )


def test_the_amount_is_what_most_of_the_present_lines_allow():
    half = 3.5 / FULL_AXIS.mhz
    # A large peak of another compound at one line; the doublet and 7.0 agree on 1.
    peaks = {1.3 - half: 1.5, 1.3 + half: 1.5, 3.5: 90.0, 7.0: 1.0, 8.0: 0.1}
    assert ev.evidence(coinciding(peaks), 0).expected.sum() == pytest.approx(6)
    del peaks[7.0]
    assert ev.evidence(coinciding(peaks), 0).outcomes[-1] == ev.NO_PEAK


def test_nothing_of_an_absent_compound_is_there():
    made = coinciding(OF_Y)
    assert ev.sentence(made, 2, ev.evidence(made, 2)) == "Named (90%): its one line is missing."
    unlikely = replace(made, probabilities=np.array([0.1, 0.95, 0.1]))
    assert (
        ev.sentence(unlikely, 2, ev.evidence(unlikely, 2))
        == "Not named (10%): its one line is missing."
    )


def test_the_sentence_tells_cut_lines_and_a_named_compound():
    made = coinciding(OF_Y)
    found = ev.evidence(made, 1)
    assert ev.sentence(made, 1, found) == "Named (95%): its 2 lines are there."
    cut = ev.evidence(made, 1, ((4.9, 5.1),))
    assert ev.sentence(made, 1, ev.evidence(coinciding({3.5: 3.0}), 1, ((4.9, 5.1),))) == (
        "Named (95%): 1 of its 2 lines is there; 1 is cut out of the spectrum with 80% of its area."
    )
    assert cut.outcomes[0] == ev.CUT


def test_the_rest_is_what_the_named_compounds_leave():
    made = prediction()
    assert ev.unexplained_share(made) == pytest.approx(3 / 13)
    peaks, areas = ev.unexplained_peaks(made)
    assert made.peaks.ppm[peaks] == pytest.approx([6.0, 8.0], abs=1e-3)
    assert areas == pytest.approx([2, 1])
    assert len(ev.unexplained_peaks(made, 1)[0]) == 1
    # A compound that is not named explains nothing.
    assert ev.unexplained_share(prediction(probabilities=(0.4, 0.1))) == pytest.approx(1)


def test_the_multiplets_of_a_compound_are_printed_where_they_are_found():
    moved = prediction(shifts=(0.02, np.nan, 0.0))
    expected = "a: 1H NMR (600 MHz, D2O) δ 3.50 (s, 2H), 1.32 (d, J = 7.0 Hz, 3H)."
    assert ev.found_line(moved, 0, "D2O") == expected
