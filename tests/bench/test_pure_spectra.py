import numpy as np
import pytest

from nmrclassify.bench import pure_spectra
from nmrclassify.nmr.compound_files import common_metabolites


def test_the_drawn_compounds_show_all_their_multiplets():
    table = common_metabolites()
    for number in range(1, 30):
        chosen = pure_spectra.draw(number)
        assert len(np.unique(chosen)) == pure_spectra.N
        ppm = table.ppm[np.isin(table.compound, chosen)]
        for low, high in pure_spectra.HIDDEN:
            assert not ((ppm > low) & (ppm < high)).any()


def test_a_pure_library_has_the_protons_of_the_table():
    table = common_metabolites()
    library = pure_spectra.pure_library(100).compounds
    chosen = [table.names.index(name) for name in library.names]
    assert chosen == pure_spectra.draw(100).tolist()
    for k, name in enumerate(library.names):
        groups = library.protons[library.compound == k]
        assert groups == pytest.approx(groups.round(), rel=0.04), name
    assert np.allclose(library.total_protons, table.total_protons[chosen])


def test_the_figures_count_compounds_and_whole_mixtures():
    lines = {"a": 1, "b": 4, "c": 2, "d": 6, "e": 9}
    common = {"library": "table", "axis": "found", "lines": lines}
    results = [
        common
        | {
            "misplaced": False,
            "other pH": False,
            "wrong": [],
            "errors": dict.fromkeys(lines, 0.01),
        },
        common
        | {"misplaced": True, "other pH": True, "wrong": ["x"], "errors": {"b": 0.2, "c": 0.06}},
    ]
    row = pure_spectra._row(results)
    assert row["5 of 5, nothing else"] == "1 of 2"
    assert (row["found, several lines"], row["found, one line"]) == ("6 of 8", "1 of 2")
    assert (row["axis wrong"], row["pH not 7.4"], row["others named"]) == (1, 1, 1)
    assert (row["amounts within 5 %"], row["amounts within 10 %"]) == (0.714, 0.857)
