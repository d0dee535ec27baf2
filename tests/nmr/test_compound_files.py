import io
import time
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.mixtures.peak_files import read_sample
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import (
    DEFAULT_COUPLING,
    MAX_BYTES,
    MAX_ROWS,
    Problem,
    read_compounds,
)
from nmrclassify.nmr.compounds import MAX_NAME
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.library import metabolite_table
from nmrclassify.nmr.multiplets import first_order, n_couplings

REFERENCE = Path(__file__).parents[3] / "shared" / "data" / "gissmo_first_order_multiplets.csv"
ETHANOL = "ethanol,1.17,t,7.1,3\nethanol,3.64,q,7.1,2\n"
HEADER = "compound,ppm,kind,j_hz,protons\n"


def rng(seed=0):
    return np.random.default_rng(seed)


def read(text):
    return read_compounds(HEADER + text)


@pytest.mark.parametrize(
    "give",
    [
        "text",
        "bytes",
        "bom",
        "file",
        "binary file",
        "path",
        "tabs",
        "semicolons",
        "capitals",
        "windows",
    ],
)
def test_sources(give, tmp_path):
    text = HEADER + ETHANOL
    path = tmp_path / "t.csv"
    path.write_text(text)
    source = {
        "text": text,
        "bytes": text.encode(),
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "file": io.StringIO(text),
        "binary file": io.BytesIO(text.encode()),
        "path": path,
        "tabs": text.replace(",", "\t"),
        "semicolons": text.replace(",", ";"),
        "windows": text.replace("\n", "\r\n"),
        "capitals": text.replace(HEADER, HEADER.upper()),
    }[give]
    reading = read_compounds(source)
    assert reading.problems == ()
    assert reading.compounds.kinds == ("t", "q")
    assert reading.compounds.couplings == ((7.1,), (7.1,))


@pytest.mark.parametrize("start", ["\n", "\r\n\r\n", " \n,,\n"])
def test_blank_lines_above_the_header_count_as_rows(start):
    reading = read_compounds(start + HEADER + ETHANOL + "x,1,t,,1\n")
    assert reading.compounds.names == ("ethanol", "x")
    assert [p.row for p in reading.problems] == [4 + start.count("\n")]


def test_text_is_never_a_path(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(HEADER + ETHANOL)
    with pytest.raises(ValueError, match="expected compound, ppm, kind"):
        read_compounds(str(path))


@pytest.mark.parametrize(
    ("row", "problem", "dropped"),
    [
        ("x,2.0,wiggle,,1", "unknown multiplicity 'wiggle'", True),
        ("x,,s,,1", "ppm is ''; expected a chemical shift from -5 to 20", True),
        ("x,nan,s,,1", "ppm is 'nan'", True),
        ("x,inf,s,,1", "ppm is 'inf'", True),
        ("x,20.1,s,,1", "ppm is '20.1'", True),
        ("x,1_0,s,,1", "ppm is '1_0'", True),
        ("x,2.0,s,,-1", "protons is '-1'; expected a number above 0", True),
        ("x,2.0,s,,", "protons is ''", True),
        ("x,2.0,s,,0", "protons is '0'", True),
        ("x,2.0", "protons is ''", True),
        (",2.0,s,,1", "compound is empty", True),
        ("x,2.0,dd,7,1", "'dd' are 7; expected 2", True),
        ("x,2.0,dd,,1", "'dd' are none; expected 2", True),
        ("x,2.0,d,1e999,1", "j_hz is '1e999'", True),
        ("x,2.0,d,seven,1", "j_hz is 'seven'; expected couplings of 0 to 50 Hz", True),
        ("x,2.0,d,51,1", "j_hz is '51'", True),
        ("x,2.0," + "d" * 10 + "," + ";".join("1234567891") + ",1", "1,024 lines", True),
        ("x,2.0,t,,1", "7 Hz is assumed", False),
        ("x,2.0,d,-12.5,1", "the sign moves no line", False),
        ("x,2.0,s,7,1", "only the first 0 are used", False),
        ("x,2.0,m,,1", "m without couplings is taken as a hump of 33 Hz", False),
        (
            "x,2.0,ddddd,13;11;7;5;2,1",
            "ddddd has more than 18 lines; the closest are merged",
            False,
        ),
        ("ethanol,1.17,t,7.1,3", "the same as row 2", True),
        ("ethanol,1.17,Triplet,7.10,3.0", "the same as row 2", True),
    ],
)
def test_rows_that_are_not_taken_as_they_stand_are_reported(row, problem, dropped):
    reading = read(ETHANOL + "y,1,s,,1\n\n" + row + "\n")
    found = [p for p in reading.problems if problem in p.text]
    assert [(p.row, p.dropped) for p in found] == [(6, dropped)], reading.problems
    left = reading.compounds.n_multiplets - 3
    assert left == (not dropped)
    # A compound without a usable row is named once more.
    assert len(reading.problems) == 1 + (dropped and row.startswith("x"))
    assert reading.compounds.names == ("ethanol", "y") + (() if dropped else ("x",))


def test_merged_lines_are_reported_where_there_are_any():
    r = rng(4)
    kinds = ["d" * n for n in range(1, 8)] + ["tt", "qt", "dtq", "quintq", "octt", "m"]
    rows = []
    for kind in kinds * 20:
        couplings = (r.integers(1, 16, len(kind)) * r.choice([0.5, 0.7, 1.0])).tolist()
        rows.append((kind, tuple(couplings[: n_couplings(kind)] if kind != "m" else couplings * 6)))
    text = "".join(
        f"c{k},1,{kind},{';'.join(map(repr, js))},1\n" for k, (kind, js) in enumerate(rows)
    )
    found = {
        p.row - 2
        for p in read(text).problems
        if p.text.endswith("has more than 18 lines; the closest are merged")
    }
    expected = {k for k, (kind, js) in enumerate(rows) if first_order(kind, js).merged}
    assert found == expected
    assert 20 < len(found) < len(rows) - 20


def test_a_compound_of_too_many_multiplets_is_left_out():
    crowd = "".join(f"x,{k / 20},s,,1\n" for k in range(65))
    reading = read(ETHANOL + crowd + "".join(f"y,{k / 20},s,,1\n" for k in range(64)))
    assert reading.compounds.names == ("ethanol", "y")
    assert reading.compounds.n_multiplets == 66
    assert reading.problems == (
        Problem(4, "compound 'x' has 65 multiplets, more than 64, and is left out", True),
    )


def test_couplings_of_every_spelling():
    reading = read(
        "a,1,dd,8;4,1\na,2,dd,8 4,1\na,3,dd, 8 ; 4; ,1\na,4,t,,1\na,5,m,,1\na,6,m,13;9;7,1\na,7,br."
        " s.,,1\n"
    )
    assert reading.compounds.couplings == ((8, 4),) * 3 + ((DEFAULT_COUPLING,), (), (13, 9, 7), ())
    assert reading.compounds.kinds == ("dd", "dd", "dd", "t", "m", "m", "br s")
    assert reading.problems == (
        Problem(5, "t without a coupling; 7 Hz is assumed", False),
        Problem(6, "m without couplings is taken as a hump of 33 Hz", False),
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_library_is_read_as_a_spreadsheet_of_decimal_commas_writes_it(encoding):
    text = "# mine\ncompound;chemical shift (ppm);kind;J (Hz);protons\n"
    text += 'säure;1,17;t;7,1;3\nb;3,64;dd;"7,5;4";2\nb;4;s;;0,5\nb;5;m;7,1 6,5;1\n'
    reading = read_compounds(text.encode(encoding))
    assert reading.problems == ()
    assert reading.compounds.names == ("säure", "b")
    assert reading.compounds.ppm.tolist() == [1.17, 3.64, 4, 5]
    assert reading.compounds.protons.tolist() == [3, 2, 0.5, 1]
    assert reading.compounds.couplings == ((7.1,), (7.5, 4), (), (7.1, 6.5))


def test_rows_of_a_compound_need_not_stand_together():
    compounds = read("b,1,s,,1\na,2,s,,1\nb,3,s,,1\n").compounds
    assert compounds.names == ("b", "a")
    assert compounds.ppm.tolist() == [1, 3, 2]


def test_the_packaged_table_is_read_with_its_own_column_name():
    table = metabolite_table().rename(columns={"multiplicity": "kind"})
    reading = read_compounds(table.to_csv(index=False))
    assert reading.compounds.n_compounds == 10
    assert all("7 Hz is assumed" in p.text or "as a hump" in p.text for p in reading.problems)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty; expected a CSV table with the columns compound, ppm"),
        ("a,b\n1,2\n", "column 'compound' is missing: the columns are 'a', 'b'; expected compound"),
        (HEADER, "no usable row; expected"),
        (HEADER + "x,1,wiggle,,1\n", "no usable row: row 2, unknown multiplicity"),
        (HEADER + "a,1,s,,1\n" * (MAX_ROWS + 1), "more than 30,000 rows"),
        (HEADER + "x,1,s,,1,2\n", "row 2 has 6 cells; expected 5, one for each column"),
        ("compound," + HEADER + "x,x,1,s,,1\n", "column 'compound' occurs twice"),
        (HEADER + "a" * MAX_BYTES, "more than 8,388,608 bytes"),
        (b"\xff\xfe\x00", "byte 2 is not UTF-16"),
        ("PK\0\3", "binary data"),
        (HEADER + '"' + "a" * 20_000, "line 2 has more than 16,384 characters"),
        (
            ",".join(["compound", "ppm", "kind", "protons"] + ["x"] * 70) + "\n",
            "74 columns, more than 64",
        ),
        ('"\n"' + ",a" * 2_000 + "\n1\n", "2,001 columns"),
        (HEADER + 'x,1,s,,1\n"y,1,s,,1\nz,2,s,,1\n', "not a CSV table"),
        (
            HEADER + "".join(f"x,{k / 10},s,,1\n" for k in range(65)),
            "row 2, compound 'x' has 65 multiplets, more than 64",
        ),
    ],
)
def test_files_that_cannot_be_used_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        read_compounds(text)


def test_the_columns_of_gissmo():
    text = "gissmo_id,name,ppm,n_protons,multiplicity,J_hz,J_multiplicity,first_order_lines\n"
    text += "i1,A,1.0,3,t,8.18,2,3\ni1,A,2.0,1,m,12;7;5;4,1;1;2;1,24\n"
    text += "i2,A,3.0,1,s,,,1\ni3,B[b],4.0,1,m,7.00,8,9\n"
    text += "i3,B[b],5.0,1,dm,7.9;6.7,1;7,16\ni3,B[b],6.0,1,m,1.0,15,16\ni4,A (2),1.5,1,s,,,1\n"
    reading = read_compounds(text)
    assert reading.compounds.names == ("A", "A (3)", "B(b)", "A (2)")
    assert reading.compounds.kinds == ("t", "ddtd", "s", "non", "doct", "m", "s")
    assert reading.problems == (
        Problem(3, "ddtd has more than 18 lines; the closest are merged", False),
        Problem(4, "compound 'A' is called 'A (3)' here", False),
        Problem(5, "compound 'B[b]' is called 'B(b)' here", False),
        Problem(
            7, "a coupling to more than 8 equivalent neighbours; taken as m, unresolved", False
        ),
    )


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not on this machine")
def test_the_reference_table_is_read_whole():
    start = time.process_time()
    reading = read_compounds(REFERENCE)
    compounds = reading.compounds
    assert (compounds.n_compounds, compounds.n_multiplets) == (1325, 6076)
    assert not any(problem.dropped for problem in reading.problems)
    assert len(reading.problems) < 300
    many = np.array([lines.merged for lines in compounds.lines]).mean()
    assert many == pytest.approx(0.017, abs=0.003)  # 98.3 % have at most 18 lines
    groups = equivalent_compounds(compounds, FULL_AXIS)
    assert 1200 < groups.max() + 1 < 1325
    assert time.process_time() - start < 10


def test_names_that_clash_are_numbered():
    reading = read("a*b,1,s,,1\na-b,1,d,7,1\na_b,1,t,7,1\na-b (2),1,q,7,1\n")
    assert reading.compounds.names == ("a-b (3)", "a-b", "a-b (4)", "a-b (2)")
    long = read("".join(f"{'x' * 200}{k},1,s,,{k + 1}\n" for k in range(12))).compounds.names
    assert len(set(long)) == 12
    assert all(len(name) <= MAX_NAME for name in long)


GIVEN = "compound,ppm,kind,protons,offsets_hz,shares\n"


def test_lines_that_are_given_are_taken_as_they_stand():
    reading = read_compounds(GIVEN + "a,2.5,m,2,-6.5;-1.5;6.5,.4;.2;.4\na,3.5,s,1,,\n")
    one, other = reading.compounds.lines
    assert one.areas == pytest.approx([0.4, 0.2, 0.4])
    # The mean, rounded away in the file, is at the centre.
    assert one.offsets == pytest.approx([-6.2, -1.2, 6.8])
    assert other.offsets == pytest.approx([0.0])
    assert reading.problems == ()


@pytest.mark.parametrize(
    "cells, problem",
    [
        ("-1;1,1", "offsets_hz has 2 values and shares 1"),
        ("-1;x,1;1", "offsets_hz is '-1;x'"),
        ("-1;1,1;0", "areas of lines are [1.0, 0.0]"),
        ("1;2,1;1", "weighted by shares, is 1.5 Hz; expected 0"),
        (";".join(map(str, range(-50, 51))) + "," + ";".join(["1"] * 101), "101 lines"),
    ],
)
def test_given_lines_that_cannot_be_used_are_reported(cells, problem):
    reading = read_compounds(GIVEN + f"a,2.5,m,2,{cells}\na,3.5,s,1,,\n")
    assert reading.compounds.n_multiplets == 1
    assert [p.dropped for p in reading.problems] == [True]
    assert problem in reading.problems[0].text


PUBLISHED = [
    ("3.51,t,7.2 Hz,2", 3.51, "t", (7.2,)),
    ('3.51,dd,"7, 3",2', 3.51, "dd", (7, 3)),
    ("3.51,dd,7/3,2", 3.51, "dd", (7, 3)),
    ("3.51,d,J = 7,2", 3.51, "d", (7,)),
    ("3.51,dd,7.2; 3.1,2", 3.51, "dd", (7.2, 3.1)),
    ('3.51,dt,"J = 7.2, 3.1 Hz",2', 3.51, "dt", (7.2, 3.1)),
    ("3.53-3.49,q,7,2", 3.51, "q", (7,)),
    ("3.53 – 3.49,q,7,2", 3.51, "q", (7,)),
    ("3.51,app t,7,2", 3.51, "t", (7,)),
    ("3.51,apparent triplet,7,2", 3.51, "t", (7,)),
    ("3.51,br s,,2", 3.51, "br s", ()),
    ("3.51,hex,7,2", 3.51, "sext", (7,)),
    ("3.51,sep,7,2", 3.51, "sept", (7,)),
    ("3.53-3.49,massif,,2", 3.51, "m", ()),
]


@pytest.mark.parametrize(("row", "ppm", "kind", "couplings"), PUBLISHED)
def test_multiplets_may_be_written_as_papers_do(row, ppm, kind, couplings):
    reading = read(f"x,{row}\n")
    assert not [p for p in reading.problems if p.dropped]
    compounds = reading.compounds
    assert compounds.ppm.tolist() == pytest.approx([ppm])
    assert (compounds.kinds, compounds.couplings) == ((kind,), (couplings,))
    # The same row is a mixture, with the same lines.
    peaks = read_sample(HEADER.removeprefix("compound,") + row + "\n").peaks
    expected = compounds.sparse(FULL_AXIS).toarray()[0]
    assert peaks.positions.tolist() == np.flatnonzero(expected).tolist()
    assert peaks.areas == pytest.approx(expected[peaks.positions], rel=1e-5)


def test_a_range_of_m_is_its_width_and_others_are_centred():
    reading = read("x,3.60-3.40,m,,2\n")
    assert np.ptp(reading.compounds.offsets) == pytest.approx(0.2 * 600, rel=0.06)
    assert [p.text for p in reading.problems] == ["m over 113 Hz at 600 MHz"]
    half = read_compounds(HEADER + "x,3.60-3.40,m,,2\n", mhz=300).compounds
    assert np.ptp(half.offsets) == pytest.approx(np.ptp(reading.compounds.offsets) / 2)
    again = read_compounds(reading.compounds.frame().to_csv(index=False)).compounds
    assert again.offsets == pytest.approx(reading.compounds.offsets)


def test_ranges_and_couplings_may_have_decimal_commas():
    text = "compound;ppm;kind;j_hz;protons\nx;3,53-3,49;q;7,2 Hz;2\nx;1,2;dd;7,2, 3,1 Hz;3\n"
    reading = read_compounds(text)
    assert not reading.problems
    assert reading.compounds.ppm.tolist() == pytest.approx([3.51, 1.2])
    assert reading.compounds.couplings == ((7.2,), (7.2, 3.1))


def test_an_ab_quartet_has_four_lines():
    header = "compound,ppm,kind,J (Hz),Δν (Hz),protons\n"
    one = read_compounds(header + "x,3.53,ABq,14.2,35.1,2\n")
    assert [p.text for p in one.problems] == ["an AB quartet over 52.1 Hz at 600 MHz"]
    areas = one.compounds.areas
    assert areas.sum() == pytest.approx(2) and areas[1] == areas[2] > areas[0] == areas[3]
    same = read('x,3.53,AB quartet,"J = 14.2 Hz, Δν = 35.1 Hz",2\n').compounds
    assert same.offsets == pytest.approx(one.compounds.offsets)
    reading = read("x,3.53,AB,14.2,2\ny,1,s,,1\n")
    assert "AB quartet without its shift difference; expected Δν" in reading.problems[0].text
    assert reading.compounds.names == ("y",)


def test_names_that_differ_by_case_are_one_compound_if_their_multiplets_are_the_same():
    reading = read(
        "Alanine,1.48,d,7.2,3\nAlanine,3.78,q,7.2,1\nalanine,3.78,q,7.2,1\nALANINE,1.4,d,7,3\n"
        "alanine,1.48,d,7.2,3\nb,1,s,,1\n"
    )
    assert reading.compounds.names == ("Alanine", "ALANINE (2)", "b")
    assert reading.compounds.n_multiplets == 4
    assert reading.problems == (
        Problem(4, "compound 'alanine' is the same as 'Alanine' in row 2", True),
        Problem(5, "compound 'ALANINE' has other multiplets than 'Alanine' in row 2", False),
        Problem(5, "compound 'ALANINE' is called 'ALANINE (2)' here", False),
    )


def test_a_table_may_state_the_frequency_of_its_ranges():
    text = "compound,ppm,kind,protons,MHz\nx,3.60-3.40,m,2,300\ny,3.60-3.40,m,2,\nz,1,s,1,9999\n"
    reading = read_compounds(text)
    widths = [float(np.ptp(lines.offsets)) for lines in reading.compounds.lines]
    assert widths[1] == pytest.approx(2 * widths[0])
    assert reading.problems[2].text.startswith("mhz is '9999'; expected a frequency from")
