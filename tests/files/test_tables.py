import csv
import io
import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from nmrclassify.files.tables import TableError, decimal, ends, read_table, write_csv


def read(source, **changes):
    limits = {"max_bytes": 1000, "max_rows": 10} | changes
    return read_table(
        source,
        (("ppm", "area"), ("ppm", "kind", "protons")),
        ("note", "j"),
        numbers=("ppm", "area", "protons"),
        large=("area",),
        lists=("j",),
        **limits,
    )


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_tables_of_every_separator_and_line_end_are_read(mark, end):
    lines = ["", "PPM ,area,other", '"1",2,"a, b; c\td"', ",,", "3,,"]
    text = end.join(lines[:1] + [line.replace(",", mark, 2) for line in lines[1:]])
    table = read(text)
    assert list(table.columns) == ["ppm", "area"]
    assert table.index.tolist() == [3, 5]
    assert table.to_numpy().tolist() == [["1", "2"], ["3", ""]]


TABLE = [["1.25", "2.5"], ["3", "40"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", [";", "\t", "  ", " \t"])
@pytest.mark.parametrize("comma", [True, False])
def test_every_separator_decimal_mark_and_encoding_is_understood(encoding, mark, comma):
    text = "\n".join(mark.join(row) for row in [["ppm", "Area"], *TABLE])
    text = text.replace(".", ",") if comma else text
    assert read(text.encode(encoding)).to_numpy().tolist() == TABLE


def test_decimal_commas_in_quotes_may_stand_between_commas():
    assert read('ppm,area\n"1,25","2,5"\n3,40\n').to_numpy().tolist() == TABLE


def test_a_number_of_thousands_is_read_where_another_shows_that_commas_are_decimal():
    assert read("ppm;area\n1,25;2,500\n").area.tolist() == ["2.500"]
    table = read("ppm;area;note;j\n1,25;1;1,5 g;7,1 6\n2;1;a,b;x\n")
    assert table.note.tolist() == ["1,5 g", "a,b"]  # a text is as it was
    assert table.j.tolist() == ["7.1 6", "x"]
    assert read("ppm;area;j\n1.5;1;7,1\n").j.tolist() == ["7,1"]  # its reader refuses it


@pytest.mark.parametrize("dash", ["-", "–", " — "])
def test_the_numbers_of_a_range_may_have_decimal_commas(dash):
    table = read(f"ppm;area\n3,53{dash}3,49;2\n", max_rows=10)
    assert ends(table.ppm[2]) == ["3.53", "3.49"]
    assert ends("-1e-3") == ["-1e-3"] and ends("2026-11-28") == ["2026-11-28"]


def test_latin_1_is_read_where_nothing_is_utf_8():
    assert read("ppm,area,note\n1,2,Säure\n".encode("latin-1")).note.tolist() == ["Säure"]


COMMENTS = "# made by hand\n%\n\nsep=;\n"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (COMMENTS + "ppm;area\n1;2\n", [6]),
        (COMMENTS + "ppm;area\n# a note; of mine; here\n1;2\n", [7]),
        ("# ppm;area\n1;2\n", [2]),
        ("#no header\n% ppm area\n# else\n1;2\n", [4]),  # names between spaces
        ("#;ppm;area\n1;1;2\n", [2]),
        ('ppm;area;note\n1;2;"x\n# y"\n', [2]),  # within a cell
    ],
)
def test_comments_are_no_rows_but_may_hold_the_header(text, rows):
    table = read(text)
    assert table.index.tolist() == rows
    assert table[["ppm", "area"]].to_numpy().tolist() == [["1", "2"]]


@pytest.mark.parametrize("mark", [",", ";", "\t", " "])
@pytest.mark.parametrize("above", ["", "# a comment\n", "\n"])
def test_two_columns_need_no_header_where_that_is_allowed(mark, above):
    table = read(f"{above}10.5{mark}-1e3\n10.4{mark}2\n", bare=("ppm", "area"))
    assert table.to_numpy().tolist() == [["10.5", "-1e3"], ["10.4", "2"]]
    assert not table.attrs["header"]
    assert read("ppm,area\n1,2\n", bare=("ppm", "area")).attrs["header"]
    assert read("# ppm area\n1,2\n", bare=("ppm", "area")).attrs["header"]
    with pytest.raises(TableError, match="no header, and 4 numbers in its first row.* put ; bet"):
        read("1,5,2,5\n", bare=("ppm", "area"))


def test_a_separator_within_another_column_does_not_mislead():
    assert read("ppm,area,a;b;c;d\n1,2,x\n").area.tolist() == ["2"]
    assert read("ppm;area;a,b,c,d\n1;2;x\n").area.tolist() == ["2"]


@pytest.mark.parametrize("wrap", [str.encode, io.StringIO, lambda text: io.BytesIO(text.encode())])
def test_sources_of_every_kind_are_read(wrap):
    assert read(wrap("\ufeffppm,area\n1,2\n")).ppm.tolist() == ["1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n", "the file is empty; expected a CSV table with the columns ppm, area"),
        ("ppm,kind\n", "column 'protons' is missing: the columns are 'ppm', 'kind'; expected ppm"),
        ("ppm,area,x,x\n", "column 'x' occurs twice"),
        ("ppm,area\n" + "1,1\n" * 11, "more than 10 rows"),
        ("ppm,area\n1,1,1\n", "row 2 has 3 cells; expected 2, one for each column: with decimal c"),
        ("ppm,area\n\0", "binary data"),
        ("ppm,area\né".encode() + b"\xff", "byte 11 is not UTF-8"),
        (b"ppm,area\n\x81", "byte 9 is not CP1252 text"),
        ("ppm,area\n1,2\n".encode("utf-16")[:-1], "byte 26 is not UTF-16 text"),
        (b"PK\3\4\0\0", "workbook or an archive; save the table as CSV"),
        ("##TITLE= x\n##XUNITS= HZ\n1,2\n", "the file is JCAMP-DX; export it as CSV"),
        ("1,2\n", "no header, and 2 numbers in its first row; expected a header with the columns"),
        ("ppm area\n1 2\n3\n", "row 3 has 1 cell; expected 2, one for each column: where a cell"),
        ("ppm;area\n1,5;2\n3.5;1\n", "row 2, column 'ppm': '1,5' has a comma, but '3.5' in row 3"),
        ("ppm;area\n1,5;1.234,5\n", "has a comma, but '1.234,5' in row 2, column 'area' a point"),
        ("ppm;area\n1;2,345\n", "'2,345' can be '2.345' or '2345'; expected numbers without"),
        ("ppm;kind;protons;j\n1;s;2;7,1\n", "column 'j': '7,1' can be '7.1' or '7 and 1'"),
        ("ppm,area\n" + "1" * 1000, "more than 1,000 bytes"),
        ('ppm,area\n"1,1\n', "is not a CSV table"),
        ('ppm,area\n"1' + "\n" * 40, "a quoted cell does not end within 32 lines"),
        (",".join(map(str, range(65))), "65 columns, more than 64"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(text, message):
    with pytest.raises(TableError, match=message):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        "ppm,area\n" + ",".join("1" * 40_000),
        "ppm,area\n" + "," * 2_000_000,
        "ppm,area" + "," * 2_000_000,
        "ppm,area\n" + ',"\n"' * 400_000,
        "ppm,area\n" + "\n" * 2_000_000,
        "\n" * 2_000_000,
        ",\n" * 1_000_000,
        "ppm,area\nx" + "\U0001f600" * 500_000,
        "#\n" * 1_000_000,
        "ppm,area\n" + "#\n" * 1_000_000,
        ("#" + ",a" * 8_000 + "\n") * 120 + "1\n",
        "ppm area\n" + "1 " * 1_000_000,
        "ppm(" * 4_000 + "\n",
        "( " * 8_000 + "\n",
    ],
    ids=range(14),
)
def test_no_table_takes_long_or_much_memory_before_it_is_refused(text):
    content = text.encode()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(TableError) as caught:
            read(content, max_bytes=2**21, max_rows=20_000)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 2
    assert len(str(caught.value)) < 200


def test_the_most_cells_take_at_most_50_mb():
    content = ("ppm,area,kind,protons,note\n" + "1é,2é,3é,4é,5é\n" * 120_000).encode()
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="more than 104,857 rows"):
            read(content, max_bytes=2**23, max_rows=2**18)
        assert tracemalloc.get_traced_memory()[1] < 50e6
    finally:
        tracemalloc.stop()


FORMULAS = [
    "#1",
    "%",
    "=1+1",
    "+1+1",
    "-2+3",
    "@sum(a1)",
    "\t=1",
    "\r=1",
    "=cmd|' /c calc'!a0",
    "-OH",
]


def test_no_text_of_a_written_table_is_a_formula(tmp_path):
    values = np.array([-1.5, 0.1], dtype=np.float32)
    for formula in FORMULAS:
        table = pd.DataFrame({"ppm": values, "area": [formula, "+2.5"], formula: ["x", None]})
        write_csv(table, tmp_path / "t.csv")
        header, *rows = csv.reader(
            io.StringIO((tmp_path / "t.csv").read_bytes().decode(), newline="")
        )
        formula = formula.replace("\r", "\n")
        assert header == ["ppm", "area", f"'{formula}"]
        assert rows == [["-1.5", f"'{formula}", "x"], ["0.1", "+2.5", ""]]
        assert read(tmp_path / "t.csv").area.tolist() == [formula.strip(), "+2.5"]


@pytest.mark.parametrize("text", ["1", "-1.5", "+.5", "1.", "1e-3", "2.5E+7"])
def test_plain_decimals_are_numbers(text):
    assert decimal(text) == float(text)


@pytest.mark.parametrize(
    "text", ["", "nan", "inf", "1_0", "0x1", "1,5", "１", " 1", "1" * 41, "e5"]
)
def test_other_texts_are_no_numbers(text):
    assert np.isnan(decimal(text))
