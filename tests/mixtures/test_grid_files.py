import numpy as np
import pytest

from nmrclassify.mixtures import grid_files
from nmrclassify.mixtures.grid_files import TableError, areas_table, read_library, read_mixture
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.nmr.library import metabolite_library

TOY = Axis()


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_intensities_of_any_size_are_read_and_named_the_same(learned, quick, factor):
    made = quick.test_mixtures()
    for areas in made.areas[:8]:
        text = areas_table(factor * areas, TOY).to_csv(index=False)
        found = read_mixture(text, TOY, 6)
        assert found == pytest.approx(factor * areas, rel=1e-5)
        assert (
            learned.model.predict(found).named.tolist()
            == learned.model.predict(areas).named.tolist()
        )


def test_a_mixture_of_another_axis_is_refused_before_it_reaches_a_model(quick):
    text = "position,multiplicity,area\n3,s,1\n30,s,1\n"
    with pytest.raises(
        TableError, match="row 3, column 'position': '30' is not a whole number from 0 to 20"
    ):
        read_mixture(text, TOY, 6)


def test_a_library_of_one_compound_is_read():
    assert read_library("compound,position,multiplicity,area\nonly,3,s,1\n", TOY, 6).names == (
        "only",
    )


def test_a_mixture_comes_back_from_its_own_table(quick):
    areas = quick.test_mixtures().areas[0]
    assert read_mixture(areas_table(areas, TOY).to_csv(index=False), TOY, 6) == pytest.approx(areas)


def test_a_library_comes_back_from_its_own_table():
    library = metabolite_library()
    found = read_library(
        areas_table(library.areas, PPM_AXIS, "compound", library.names)
        .to_csv(index=False)
        .encode(),
        PPM_AXIS,
        6,
    )
    assert found.names == library.names
    assert found.areas == pytest.approx(library.areas)


def test_multiplets_by_name_equal_the_packaged_library():
    text = "compound,ppm,multiplicity,protons\nethanol,1.17,triplet,3\nethanol,3.64,q,2\n"
    assert read_library(text, PPM_AXIS, 6).areas[0] == pytest.approx(metabolite_library().areas[0])


@pytest.mark.parametrize("axis", [TOY, PPM_AXIS])
def test_templates_are_valid(axis):
    assert read_mixture(grid_files.mixture_template(axis), axis, 6).any()
    assert read_library(grid_files.library_template(axis), axis, 6).n_compounds == 2


def test_rows_at_one_place_add_up_and_spreadsheet_habits_are_taken():
    text = "\ufeffPPM , Multiplicity,AREA,remark\n1.32,d, 2,a\n\n1.40,d,1,b\n,,,\n"
    areas = read_mixture(text.encode("utf-8"), PPM_AXIS, 6)
    assert areas[:, 2] == pytest.approx([1.5, 1.5, 0, 0, 0, 0])


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_columns_are_separated_by_a_comma_a_semicolon_or_a_tab(mark):
    text = "compound,ppm,multiplicity,protons\nethanol,1.17,t,3\nethanol,3.64,q,2\n"
    library = read_library(text.replace(",", mark), PPM_AXIS, 6)
    assert library.areas[0] == pytest.approx(metabolite_library().areas[0])


def test_one_of_several_mixtures_is_picked():
    text = "mixture,position,multiplicity,area\na,1,s,1\nb,2,s,5\n"
    assert read_mixture(text, TOY, 6)[0, 1] == 1
    assert read_mixture(text, TOY, 6, "b")[0, 2] == 5
    assert read_mixture(text + "c,99,s,1\n", TOY, 6, "b")[0, 2] == 5
    with pytest.raises(TableError, match="mixture 'c' is not in the file; it has 'a', 'b'"):
        read_mixture(text, TOY, 6, "c")
    with pytest.raises(TableError, match="no column 'mixture'"):
        read_mixture("position,multiplicity,area\n1,s,1\n", TOY, 6, "a")


BAD_MIXTURES = {
    "empty": ("", "the file is empty; expected a CSV table with the columns ppm"),
    "header only": ("ppm,multiplicity,area\n", "mixture is empty"),
    "no area": (
        "ppm,multiplicity\n1,s\n",
        "column 'area' is missing: the columns are 'ppm', 'mult",
    ),
    "no place": ("multiplicity,area\ns,1\n", "column 'ppm' is missing"),
    "bad number": (
        "ppm,multiplicity,area\n1.3,s,1\nx,s,1\n",
        "row 3, column 'ppm': 'x' is not a chemical shift from 0 to below 10.5",
    ),
    "outside": ("ppm,multiplicity,area\n10.5,s,1\n", "row 2, column 'ppm': '10.5'"),
    "nan": (
        "ppm,multiplicity,area\n1,s,nan\n",
        "row 2, column 'area': 'nan' is not an area from 0",
    ),
    "infinite": ("ppm,multiplicity,area\n1,s,inf\n", "row 2, column 'area': 'inf'"),
    "negative": ("ppm,multiplicity,area\n\n1,s,-2\n", "row 3, column 'area': '-2'"),
    "kind": (
        "ppm,multiplicity,area\n1,octet,1\n",
        "row 2, column 'multiplicity': unknown multiplicity 'octet'",
    ),
    "blank": ("ppm,multiplicity,area\n1,s,\n", "row 2, column 'area': ''"),
    "twice": ("ppm,ppm,multiplicity,area\n1,2,s,1\n", "column 'ppm' occurs twice"),
    "zero": ("ppm,multiplicity,area\n1,s,0\n", "mixture is empty"),
    "too many values": (
        "ppm,multiplicity,area\n1,s,1,9,9\n",
        "row 2 has 5 cells; expected 3, one for each column",
    ),
    "underscore": ("ppm,multiplicity,area\n1,s,1_0\n", "row 2, column 'area': '1_0'"),
    "long number": ("ppm,multiplicity,area\n1,s," + "1" * 41 + "\n", "row 2, column 'area': '1111"),
    "two decimal marks": (
        "ppm;multiplicity;area\n1,3;s;1\n2;s;1.5\n",
        "row 2, column 'ppm': '1,3' has a comma, but '1.5' in row 3, column 'area' a point",
    ),
    "many columns": (",".join(f"c{i}" for i in range(70)) + "\n", "70 columns, more than 64"),
    "long field": ("x" * 200_000 + "\n", "line 1 has more than 16,384 characters"),
    "binary": ("ppm\0,x\n", "binary"),
    "fraction": (
        "position,peak_1,peak_2,peak_3,peak_4,peak_5,peak_6\n1.5,1,0,0,0,0,0\n",
        "row 2, column 'position': '1.5'",
    ),
}


@pytest.mark.parametrize("name", BAD_MIXTURES)
def test_bad_mixtures_name_row_column_value_and_expectation(name):
    text, message = BAD_MIXTURES[name]
    with pytest.raises(TableError, match=message):
        read_mixture(text, PPM_AXIS, 6)


def test_bad_libraries_are_refused():
    with pytest.raises(TableError, match="column 'compound' is missing"):
        read_library("ppm,multiplicity,area\n1,s,1\n", PPM_AXIS, 6)
    with pytest.raises(TableError, match="row 3, column 'compound': ''"):
        read_library("compound,ppm,multiplicity,area\na,1,s,1\n,1,s,1\n", PPM_AXIS, 6)
    with pytest.raises(TableError, match="'a' has no multiplet"):
        read_library("compound,ppm,multiplicity,area\na,1,s,0\n", PPM_AXIS, 6)
    with pytest.raises(TableError, match="not usable"):
        read_library("compound,ppm,multiplicity,area\n![x](//y),1,s,1\n", PPM_AXIS, 6)
    many = "compound,ppm,multiplicity,area\n" + "".join(f"c{i},1,s,1\n" for i in range(65))
    with pytest.raises(TableError, match="65 compounds; expected 1 to 64"):
        read_library(many, PPM_AXIS, 6)


def test_a_ppm_table_does_not_fit_a_bare_axis():
    with pytest.raises(TableError, match="this axis has no ppm; use 'position'"):
        read_mixture("ppm,multiplicity,area\n1,s,1\n", TOY, 6)


def test_sizes_are_limited(monkeypatch):
    with pytest.raises(TableError, match="bytes; expected at most"):
        read_mixture(b"x" * (grid_files.MAX_BYTES + 1), TOY, 6)
    monkeypatch.setattr(grid_files, "MAX_ROWS", 3)
    with pytest.raises(TableError, match="more than 3 rows"):
        read_mixture("position,multiplicity,area\n" + "1,s,1\n" * 4, TOY, 6)


def written(text, mark, comma, encoding):
    """Return a table with another separator, decimal mark and encoding."""
    rows = [line.split(",") for line in text.splitlines()]
    if comma:
        rows = [[cell.replace(".", ",") for cell in row] for row in rows]
    return "\r\n".join(mark.join(row) for row in rows).encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize(("mark", "comma"), [(",", 0), (";", 0), (";", 1), ("\t", 1), ("  ", 1)])
def test_mixtures_and_libraries_are_read_as_spreadsheets_write_them(mark, comma, encoding):
    mixture = "ppm,multiplicity,area\n1.32,d,2.5\n4.10,q,1\n"
    library = "compound,chemical shift,multiplicity,protons\nacid,1.32,d,3\nb,4.10,q,1.5\n"
    if encoding == "latin-1":
        library = library.replace("acid", "säure")
    if mark == "  ":  # a name with a space between them
        library = library.replace("chemical shift", "Chemical shift (ppm)")
    found = read_mixture(written(mixture, mark, comma, encoding), PPM_AXIS, 6)
    assert found == pytest.approx(read_mixture(mixture, PPM_AXIS, 6))
    found = read_library(written(library, mark, comma, encoding), PPM_AXIS, 6)
    assert found.names == ("säure" if encoding == "latin-1" else "acid", "b")
    assert found.areas.sum() == pytest.approx(4.5)
    assert grid_files.is_in_ppm(written(library, mark, comma, encoding))
    assert not grid_files.is_in_ppm("compound;position\nppm;1\n")


def test_negative_peaks_are_noise_and_stay():
    text = "position,peak_1,peak_2,peak_3,peak_4,peak_5,peak_6\n1,1,-0.2,0,0,0,\n"
    assert read_mixture(text, TOY, 6)[:, 1] == pytest.approx(np.array([1, -0.2, 0, 0, 0, 0]))


def test_many_columns_behind_a_quoted_line_end_are_refused():
    text = '"\n"' + ",a" * 2_000 + "\n"
    with pytest.raises(TableError, match="columns"):
        read_mixture(text.encode(), PPM_AXIS, 6)
