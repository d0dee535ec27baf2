"""Shifts at a pH: the table of groups, and the curves that follow from it."""

from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.nmr import titration
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds, joined
from nmrclassify.nmr.multiplets import Lines
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.titration import TABLE_PH, Titrations, acid_base_table, at_ph

LIBRARY = common_metabolites()


def places(library, name):
    k = library.names.index(name)
    return library.ppm[library.first_multiplet[k] : library.first_multiplet[k + 1]]


def test_every_row_names_a_compound_and_multiplets_of_the_packaged_table():
    for row in acid_base_table():
        ppm = places(LIBRARY, row.compound)
        assert titration.PH_BOUNDS[0] <= row.pka <= titration.PH_BOUNDS[1]
        assert row.changes
        for place, change, deviation in row.changes:
            assert (abs(ppm - place) < 5e-4).any(), (row.compound, place)
            assert 0 < deviation < 0.5
            assert 0.005 <= abs(change) < 1
    titrations = Titrations.of(common_metabolites())
    assert len(titrations.pka) == len(acid_base_table())
    assert len(set(titrations.owner.tolist())) > 100


def test_no_multiplet_is_listed_twice_for_one_group():
    for row in acid_base_table():
        listed = [place for place, _, _ in row.changes]
        assert len(set(listed)) == len(listed), row


@pytest.mark.parametrize(
    ("name", "ph", "expected", "within"),
    [
        # Published limits: Tredwell 2016.
        ("acetate", 1.0, 2.084, 0.006),
        ("acetate", 4.578, (2.084 + 1.905) / 2, 0.006),
        ("acetate", 12.0, 1.905, 0.006),
        ("formate", 1.0, 8.234, 0.006),
        ("formate", 3.555, (8.234 + 8.448) / 2, 0.006),
        # Measured in acid: 3.84 to 3.98 with less and less of the zwitterion.
        ("glycine", 1.0, 3.88, 0.05),
        ("glycine", 12.0, 3.17, 0.05),
        ("ethanol", 1.0, 1.17, 0.001),
    ],
)
def test_places_at_a_ph(name, ph, expected, within):
    assert places(at_ph(LIBRARY, ph), name)[0] == pytest.approx(expected, abs=within)


def test_only_ppm_changes_and_nothing_at_the_ph_of_the_table():
    assert at_ph(LIBRARY, TABLE_PH) is LIBRARY
    moved = at_ph(LIBRARY, 2.0)
    assert not np.array_equal(moved.ppm, LIBRARY.ppm)
    assert moved.frame().drop(columns="ppm").equals(LIBRARY.frame().drop(columns="ppm"))
    assert not Titrations.of(common_metabolites()).moves(TABLE_PH).any()
    assert not Titrations.of(common_metabolites()).drawn(TABLE_PH, np.random.default_rng(0)).any()


def test_what_is_not_known_of_a_place_is_stated_with_the_library():
    acid = at_ph(LIBRARY, 3.0)
    spread = Titrations.of(LIBRARY).spread_at(3.0)
    assert acid.deviations == pytest.approx(spread)
    assert acid.deviations.max() > 0.03
    assert not LIBRARY.deviations.any()
    assert not at_ph(LIBRARY, TABLE_PH).deviations.any()
    k = [LIBRARY.names.index("histidine")]
    rows = acid.compound == k[0]
    assert acid.select(k).deviations == pytest.approx(spread[rows])
    assert second_order(acid, 500.0).deviations == pytest.approx(spread)
    both = joined([acid.select(k), Compounds(("a",), [0], [1.0], [1.0], ("s",), ((),))])
    assert both.deviations == pytest.approx([*spread[rows], 0.0])
    with pytest.raises(ValueError, match="the deviation of a multiplet of 'a' is -1; expected 0"):
        Compounds(("a",), [0], [1.0], [1.0], ("s",), ((),), deviations=[-1.0])


def test_moves_follow_the_henderson_hasselbalch_curve():
    own = Titrations(
        2,
        pka=np.array([4.0]),
        owner=np.array([0]),
        group=np.array([0]),
        multiplet=np.array([1]),
        change=np.array([0.2]),
        change_sd=np.array([0.04]),
    )
    phs = np.array([1.0, 4.0, 7.4, 10.0])
    expected = 0.2 * (1 / (1 + 10 ** (phs - 4)) - 1 / (1 + 10**3.4))
    assert own.moves(phs)[:, 1] == pytest.approx(expected)
    assert not own.moves(phs)[:, 0].any()
    spread = own.spread_at(phs)[:, 1]
    assert spread[0] == pytest.approx(0.04, rel=0.05)  # of the change alone
    assert spread[1] == pytest.approx(np.hypot(0.02, 0.2 * np.log(10) / 4 * 0.15), rel=0.02)
    assert spread[2] < 1e-4


def test_samples_deviate_as_the_table_states():
    titrations = Titrations.of(common_metabolites())
    rng = np.random.default_rng(0)
    drawn = np.array([titrations.drawn(3.0, rng) for _ in range(200)])
    mean, spread = titrations.moves(3.0), titrations.spread_at(3.0)
    assert np.abs(drawn.mean(0) - mean).max() < 0.03
    moving = spread > 0.01
    assert (drawn.std(0)[moving] < 1.3 * spread[moving]).all()
    assert (drawn.std(0)[moving] > 0.4 * spread[moving]).all()


def test_only_compounds_of_the_packaged_table_titrate():
    own = Compounds(
        names=("acetate", "glycine", "alanine"),
        compound=[0, 1, 2],
        ppm=[1.92, 3.544, 1.466],
        protons=[3.0, 2.0, 3.0],
        kinds=("s", "s", "d"),
        couplings=((), (), (7.2,)),
    )
    moved = at_ph(own, 2.0)
    assert moved.ppm[0] == 1.92  # at another place than in the table
    assert moved.ppm[1] == places(at_ph(LIBRARY, 2.0), "glycine")[0]
    assert moved.ppm[2] == places(at_ph(LIBRARY, 2.0), "alanine")[0]  # one multiplet left out
    renamed = replace(own, names=("a", "b", "c"))
    assert at_ph(renamed, 2.0) is renamed


@pytest.mark.parametrize("ph", [0.4, 12.1, float("nan")])
def test_a_ph_out_of_bounds_is_refused(ph):
    with pytest.raises(ValueError, match="expected a number from 0.5 to 12"):
        at_ph(LIBRARY, ph)


def test_a_row_that_cannot_be_read_says_why():
    with pytest.raises(ValueError, match="position is 'alpa'; expected one of alpha"):
        titration._changes("carboxyl", "alpa: 1.9")
    with pytest.raises(ValueError, match="class of a group is 'acid'"):
        titration._changes("acid", "alpha: 1.9")


def test_a_library_with_simulated_lines_is_refused_because_its_places_have_moved():
    with pytest.raises(ValueError, match=r"lines of .* were simulated.* after the pH"):
        Titrations.of(second_order(common_metabolites(), 600.0))


def test_compounds_of_pure_spectra_keep_their_places():
    table = common_metabolites()
    one = table.select([table.names.index("cis-aconitate")])
    lines = tuple(Lines(np.zeros(1), np.ones(1)) for _ in one.kinds)
    measured = replace(one, ppm=one.ppm + 0.02, given=lines)
    assert not len(Titrations.of(measured).pka)
    assert np.array_equal(at_ph(measured, 3.0).ppm, measured.ppm)
