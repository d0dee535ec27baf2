import csv
import re
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.nmr.library import (
    Library,
    LibraryConfig,
    metabolite_library,
    metabolite_table,
    random_library,
)

REFERENCE = Path(__file__).parents[3] / "shared" / "data" / "gissmo_first_order_multiplets.csv"


def rng(seed=0):
    return np.random.default_rng(seed)


def n_filled(library):
    """Return the number of positions that each compound fills, (K,)."""
    return library.areas.any(axis=1).sum(axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_a_compound_fills_a_fifth_of_the_positions(seed):
    library = random_library(LibraryConfig(n_compounds=60), rng(seed))
    assert library.areas.shape == (60, 6, 21)
    assert set(n_filled(library)) == {4, 5}  # 20 % of 21 positions are 4.2
    # A position that both sets fill has the sum of two multiplets.
    assert (library.areas.sum(axis=1) > 1.5).any()


@pytest.mark.parametrize(("filled", "allowed"), [(0.1, {2, 3}), (1 / 3, {7}), (0.5, {10, 11})])
def test_a_compound_fills_the_share_that_is_asked_for(filled, allowed):
    config = LibraryConfig(n_compounds=60, occupancy=filled / 2, filled=filled)
    assert set(n_filled(random_library(config, rng()))) == allowed


def test_a_compound_may_fill_any_number_of_positions():
    library = random_library(LibraryConfig(n_compounds=60, filled=0.0), rng())
    # Two sets at .1 fill 1 - .9^2 = 19 % of the positions on average.
    assert library.occupancy.mean() == pytest.approx(0.19, abs=0.03)
    assert len(set(n_filled(library))) > 4


@pytest.mark.parametrize("seed", range(5))
def test_every_compound_has_a_multiplet_and_none_is_twice(seed):
    config = LibraryConfig(n_compounds=12, n_positions=6, occupancy=0.05, filled=0.0)
    library = random_library(config, rng(seed))
    assert library.areas.any(axis=(1, 2)).all()
    assert len({compound.tobytes() for compound in library.areas}) == 12


def test_impossible_sizes_are_refused():
    with pytest.raises(ValueError, match="only .* distinct compounds"):
        random_library(
            LibraryConfig(n_compounds=64, n_positions=4, n_peaks=2, n_sets=1, occupancy=0.01), rng()
        )


def test_metabolite_areas_are_proton_counts():
    library, table = metabolite_library(), metabolite_table()
    protons = table.groupby("compound").protons.sum()
    assert library.n_compounds == 10
    for name, areas in zip(library.names, library.areas, strict=False):
        assert areas.sum() == pytest.approx(protons[name], rel=1e-6)


def test_every_metabolite_row_has_a_reference():
    assert (
        metabolite_table()
        .reference.map(lambda text: bool(re.fullmatch(r"BMRB bmse\d{6}", text)))
        .all()
    )


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not on this machine")
def test_metabolite_shifts_agree_with_the_reference_table():
    with REFERENCE.open() as file:
        known: dict[str, list[float]] = {}
        for row in csv.DictReader(file):
            known.setdefault(row["gissmo_id"], []).append(float(row["ppm"]))
    for row in metabolite_table().itertuples():
        assert min(abs(ppm - row.ppm) for ppm in known[row.reference.split()[1]]) <= 0.03, row


@pytest.mark.parametrize(
    ("areas", "message"),
    [
        (np.zeros((2, 6, 21)), "'a' has no multiplet"),
        (np.ones((2, 6, 20)), "shape"),
        (-np.ones((2, 6, 21)), "negative or undefined"),
        (np.full((2, 6, 21), np.nan), "negative or undefined"),
    ],
)
def test_impossible_libraries_are_refused(areas, message):
    with pytest.raises(ValueError, match=message):
        Library(("a", "b"), areas.astype(np.float32), Axis())


def test_two_compounds_cannot_share_a_name():
    with pytest.raises(ValueError, match="share a name"):
        Library(("a", "a"), np.ones((2, 6, 21), np.float32), Axis())


def test_infinite_areas_are_refused():
    with pytest.raises(ValueError, match="negative or undefined"):
        Library(("a", "b"), np.full((2, 6, 21), np.inf, np.float32), Axis())


def test_one_compound_is_a_library_but_not_a_data_set():
    one = Library(("only",), metabolite_library().areas[:1], PPM_AXIS)
    assert one.n_compounds == 1
    for config in (MixtureConfig(n_sources=1), MixtureConfig(n_sources=3, repetition=True)):
        with pytest.raises(
            ValueError,
            match=(
                "1 training and 0 test compositions; expected at least one of each: take a larger"
                " library"
            ),
        ):
            build("quick", 1, config, one)
    with pytest.raises(
        ValueError, match="3 different compounds cannot be chosen from 1; allow repetition"
    ):
        build("quick", 1, MixtureConfig(n_sources=3), one)
    # Where the number of portions varies, there is something to tell.
    made = build("quick", 1, MixtureConfig(n_sources=3, repetition=True, number_varies=True), one)
    assert len(made.train) + len(made.test) == 3
    assert made.preset == "own"
