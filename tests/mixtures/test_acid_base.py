"""The pH of a mixture from its lines, without a network."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nmrclassify.mixtures.acid_base import PhCandidate, PhScores, estimate_ph, is_significant
from nmrclassify.mixtures.peak_files import peaks_table, read_sample
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.mixtures.processing_recipe import USUAL, ProcessingRecipe
from nmrclassify.mixtures.rendered import RenderConfig, render
from nmrclassify.mixtures.spectrum_processing import process
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.titration import TABLE_PH, Titrations, at_ph

LIBRARY = common_metabolites()


SPECTRUM = render(LIBRARY, RenderConfig(n_low=15, n_high=15, ph_low=3.0, ph_high=3.0), 1)
AXIS = replace(FULL_AXIS, mhz=600.0)


def peaks_at(ph, seed):
    """Return ideal peaks of 15 compounds in a sample that deviates from the table."""
    rng = np.random.default_rng(seed)
    places = LIBRARY.ppm + Titrations.of(LIBRARY).drawn(ph, rng)
    config = PeakMixtureConfig(n_low=15, n_high=15, jitter=0.005, decades=1.0)
    return draw_mixture(replace(LIBRARY, ppm=places), config, rng, AXIS).peaks


def estimate(ppm, areas, known=0.0):
    peaks = Peaks.from_lines(ppm, areas, AXIS)
    return estimate_ph(PhScores(ppm, areas, LIBRARY, 600.0, known), lambda offset: peaks)


@pytest.mark.parametrize("ph", [2.0, 3.0, 4.0, 9.5])
def test_the_ph_is_found_within_half_a_unit(ph):
    found = []
    for seed in range(100, 105):
        peaks = peaks_at(ph, seed)
        found.append(estimate(peaks.ppm, peaks.areas).ph)
    assert (np.abs(np.array(found) - ph) <= 0.5).sum() >= 4


def test_the_ph_of_the_table_stays():
    for seed in range(100, 105):
        peaks = peaks_at(TABLE_PH, seed)
        told = estimate(peaks.ppm, peaks.areas)
        assert not told.is_estimated
        assert told.ph == TABLE_PH
        assert "which is assumed" in told.sentence


def test_the_offset_of_the_axis_is_found_with_the_ph():
    for seed in (100, 101, 102):
        peaks = peaks_at(3.0, seed)
        told = estimate(peaks.ppm + 0.15, peaks.areas, known=None)
        assert told.ph == pytest.approx(3.0, abs=0.5)
        assert told.offset == pytest.approx(-0.15, abs=0.012)


def offset_at_7(ppm, library=LIBRARY, **settings):
    areas = np.ones(len(ppm))
    scores = PhScores(np.array(ppm), areas, library, 600.0, is_exact=False, **settings)
    return scores.best_offset(scores.above_chance(TABLE_PH))


@pytest.mark.parametrize("ppm", [[1.92], [2.43, 1.93], [5.0, 6.0, 1.92], [1.925, 3.3]])
def test_a_few_peaks_move_no_axis_that_has_a_reference(ppm):
    assert offset_at_7(ppm, known=0.0) == 0
    singlets = Compounds(("a", "b"), [0, 1], [1.9, 3.5], [3.0, 3.0], ("s", "s"), ((), ()))
    assert offset_at_7(ppm, singlets, known=0.0) == 0


@pytest.mark.parametrize("known", [0.0, 0.1])
@pytest.mark.parametrize("searches_ph", [True, False])
def test_a_reference_is_corrected_within_its_error_only(known, searches_ph):
    peaks = peaks_at(TABLE_PH, 100)
    for off, expected in ((0.016, -0.016), (0.0, 0.0), (0.04, 0.0), (-0.06, 0.0)):
        scores = PhScores(
            peaks.ppm + off - known,
            peaks.areas,
            LIBRARY,
            600.0,
            known,
            is_exact=False,
            searches_ph=searches_ph,
        )
        found = scores.best_offset(scores.above_chance(TABLE_PH))
        assert found - known == pytest.approx(expected, abs=0.004)
        assert scores.has_groups == searches_ph
        assert searches_ph or scores.candidates() == (scores.candidates()[-1],)


@pytest.mark.parametrize("limit", [0.01, 0.02, 0.05, 0.3])
def test_an_offset_is_found_whatever_its_limit(limit):
    peaks = peaks_at(TABLE_PH, 100)
    scores = PhScores(peaks.ppm + 0.006, peaks.areas, LIBRARY, 600.0, limit=limit)
    row = scores.above_chance(TABLE_PH)
    assert is_significant(row, scores.best(row))
    assert scores.best_offset(row) == pytest.approx(-0.006, abs=0.004)
    far = PhScores(peaks.ppm + 0.1, peaks.areas, LIBRARY, 600.0, limit=limit)
    assert abs(far.best_offset(far.above_chance(TABLE_PH))) <= limit + 1e-6


@pytest.mark.parametrize("stands_out", [True, False])
def test_without_a_chooser_a_ph_whose_offset_does_not_stand_out_is_refused(stands_out):
    candidates = (PhCandidate(3.0, 0.1, 10.0, stands_out), PhCandidate(TABLE_PH, 0.0, 5.0))
    told = estimate_ph(SimpleNamespace(candidates=lambda: candidates), None)
    assert told.is_estimated == stands_out


def scores_with(rows):
    """Return scores of which only those in `rows` are not 0: pH to ppm, height, stands out."""
    scores = PhScores(np.array([1.9]), np.ones(1), LIBRARY.select([0]), 600.0)

    def row(ppm, height, stands_out):
        scored = np.zeros(len(scores.offsets))
        scored[::4] = height / (10 if stands_out else 2)
        scored[np.abs(scores.offsets - ppm).argmin()] = height
        return scored

    scores.has_groups = True
    scores.__dict__["_coarse"] = {ph: row(*values) for ph, values in rows.items()}
    scores.above_chance = lambda ph: np.zeros(len(scores.offsets))  # between the coarse ones
    return scores


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        # What is possible is relative to the best that stands out.
        ({3.0: (0.1, 50, True), 5.0: (0.1, 31, True), 9.0: (-0.1, 100, False)}, [3.0, 5.0, 9.0]),
        ({3.0: (0.1, 50, True), 5.0: (0.1, 29, True), 9.0: (-0.1, 31, False)}, [3.0, 9.0]),
        ({3.0: (0.1, 50, True), 9.0: (-0.1, 29, False)}, [3.0]),
        # One that does not stand out blocks no neighbour, but is blocked by it.
        ({3.0: (0.1, 50, True), 3.3: (0.1, 60, False)}, [3.0]),
        # At most three that stand out, at most one other, also where none stands out.
        (
            {ph: (0.1, 50 - ph, True) for ph in (1.0, 2.0, 3.0, 4.0)}
            | {ph: (-0.1, 90 + ph, False) for ph in (9.0, 10.0)},
            [1.0, 2.0, 3.0, 10.0],
        ),
        ({9.0: (0.1, 90, False), 10.0: (-0.1, 80, False)}, [9.0]),
        # Each must be clearly higher than at the pH of the table.
        ({3.0: (0.1, 10.5, True), 9.0: (0.1, 10.5, False)}, []),
    ],
)
def test_candidates_that_stand_out_come_first(rows, expected):
    candidates = scores_with({TABLE_PH: (0.0, 10, True)} | rows).candidates()
    assert [c.ph for c in candidates] == [*expected, TABLE_PH]
    for one in candidates[:-1]:
        ppm, height, stands_out = rows[one.ph]
        assert one.offset == pytest.approx(ppm, abs=1e-3)
        assert (one.score, one.stands_out) == (height, stands_out)


@pytest.mark.parametrize(
    ("phs", "is_asked"),
    [((7.5, 3.0), True), ((3.0, 7.5), True), ((7.5,), False), ((7.5, 7.25), False), ((), False)],
)
def test_the_chooser_is_asked_if_any_candidate_is_far_from_the_ph_of_the_table(phs, is_asked):
    candidates = tuple(PhCandidate(ph, 0.1, 10.0) for ph in (*phs, TABLE_PH))
    asked = []

    def choose(given, peaks):
        asked.append((given, peaks))
        return [c.ph for c in given].index(3.0), 3.4, "as the chooser says"

    told = estimate_ph(SimpleNamespace(candidates=lambda: candidates), lambda offset: None, choose)
    assert asked == ([(candidates, [None] * len(candidates))] if is_asked else [])
    assert told.ph == (3.4 if is_asked else TABLE_PH)
    assert told.is_estimated == ("as the chooser says" in told.sentence) == is_asked


def test_without_a_chooser_a_first_candidate_near_the_ph_of_the_table_keeps_it():
    candidates = (
        PhCandidate(7.5, 0.1, 12.0),
        PhCandidate(3.0, 0.1, 11.0),
        PhCandidate(TABLE_PH, 0.0, 5.0),
    )
    told = estimate_ph(SimpleNamespace(candidates=lambda: candidates), None)
    assert (told.ph, told.offset, told.is_estimated) == (TABLE_PH, 0.0, False)


def test_a_library_moved_by_hand_scores_as_it_does_when_its_ph_is_searched():
    ph = 3.0
    peaks = peaks_at(ph, 100)

    def scores(library, **settings):
        made = PhScores(peaks.ppm, peaks.areas, library, 600.0, first_order=True, **settings)
        return made.at(TABLE_PH if settings else ph)

    moved = at_ph(LIBRARY, ph)
    searched = scores(LIBRARY)
    by_hand = scores(moved, searches_ph=False)
    exact = scores(replace(moved, deviations=np.zeros(moved.n_multiplets)), searches_ph=False)
    assert by_hand.max() == pytest.approx(searched.max(), rel=0.02)
    # Places are rounded to bins before or after they move.
    assert np.abs(by_hand - searched).mean() < 0.2 * np.abs(exact - searched).mean()


def test_an_uncertain_place_is_looked_for_further_away():
    def score_at_0(deviation):
        one = Compounds(("a",), [0], [3.0], [2.0], ("s",), ((),), deviations=np.array([deviation]))
        return PhScores(np.array([3.03]), np.ones(1), one, 600.0).at(TABLE_PH)[360]

    assert score_at_0(0.0) == pytest.approx(0.0, abs=1e-6)
    assert score_at_0(0.03) > 0.1


def test_sugars_cannot_tell():
    sugars = ("glucose", "sucrose", "myo-inositol", "ethanol", "methanol")
    some = LIBRARY.select([LIBRARY.names.index(name) for name in sugars])
    lines = some.line_ppm(600.0)
    told = estimate(np.sort(lines), some.areas[np.argsort(lines)])
    assert not told.is_estimated


def test_a_library_without_groups_has_no_ph():
    own = Compounds(("a", "b"), [0, 1], [1.9, 3.5], [3.0, 2.0], ("s", "s"), ((), ()))
    done = process(SPECTRUM.spectrum, library=own)
    assert done.acid_base is None
    assert "pH" not in [step.name for step in done.steps]


def test_a_ph_by_hand_is_taken():
    done = process(SPECTRUM.spectrum, replace(USUAL, ph_from="by hand", ph=3.0), LIBRARY)
    assert done.acid_base is not None
    assert done.acid_base.ph == 3.0
    assert "The pH is 3.00 by hand." in done.note
    assert done.shift == pytest.approx(-SPECTRUM.offset, abs=0.01)


def test_a_list_of_peaks_is_searched_only_if_asked():
    table = peaks_table(peaks_at(3.0, 100)).to_csv(index=False)
    usual = read_sample(table, library=LIBRARY)
    assert (usual.ph, usual.acid_base) == (TABLE_PH, None)
    recipe = ProcessingRecipe(ph_from="estimate")
    asked = read_sample(table, library=LIBRARY, recipe=recipe)
    assert asked.ph == pytest.approx(3.0, abs=0.5)
    assert "The pH was estimated as" in asked.note
    by_hand = ProcessingRecipe(ph_from="by hand", ph=2.5)
    assert read_sample(table, library=LIBRARY, recipe=by_hand).ph == 2.5


@pytest.mark.parametrize("values", [{"ph": 0.0}, {"ph": 13.0}, {"ph_from": "guess"}])
def test_a_recipe_with_another_ph_is_refused(values):
    with pytest.raises(ValueError, match=r"ph(_from)? is .*; expected"):
        ProcessingRecipe(**values)
