import time

import numpy as np
import pytest

from nmrclassify.files.tables import TableError
from nmrclassify.mixtures.peak_files import read_sample
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites, read_compounds
from nmrclassify.nmr.published_multiplets import ab_quartet
from nmrclassify.nmr.report_lines import MAX_ENTRIES, is_report, read_reports, report_line

LINE = "1H NMR (400 MHz, CDCl3) δ 7.26 (d, J = 8.1 Hz, 2H), 3.71 (s, 3H), 1.25 (t, J = 7.1 Hz, 3H)."
ROWS = [
    ("7.26", "d", "J = 8.1 Hz", "2"),
    ("3.71", "s", "", "3"),
    ("1.25", "t", "J = 7.1 Hz", "3"),
]


def rows(text):
    return list(read_reports(text)[["ppm", "kind", "j_hz", "protons"]].itertuples(index=False))


@pytest.mark.parametrize(
    "text",
    [
        LINE,
        LINE.replace("1H NMR", "¹H-NMR"),
        LINE.replace("1H NMR (400 MHz, CDCl3)", "NMR 1H (CDCl3, 400 MHz):"),
        LINE.replace(" δ", " δ (ppm):"),
        LINE.replace(" δ ", " δH = "),
        LINE.replace("), ", "); "),
        LINE.replace(", 3.71 (s, 3H), ", ", 3.71 (s, 3H, OCH3), and "),
        LINE.replace("(s, 3H)", "(3 H, s, CH3(CO))"),
        LINE.replace(", 3.71", ",\n3.71"),
        LINE + " 13C NMR (101 MHz, CDCl3) δ 170.1, 60.3 (CH2), 14.2. HRMS 123.4 (M + H)",
        "Yield 12 % (2 mg)\n" + LINE,
    ],
)
def test_a_report_is_read_in_the_forms_of_papers(text):
    assert is_report(text) and is_report(text.encode()) and is_report(text.encode("utf-16"))
    assert rows(text) == ROWS
    table = read_reports(text)
    assert set(table.mhz) == {"400"} and set(table.solvent) == {"CDCl3"}


def test_decimal_commas_of_a_report_are_points():
    text = LINE.replace(".2", ",2").replace(".7", ",7").replace(".1", ",1")
    assert rows(text) == ROWS


def test_ranges_ab_quartets_and_broad_lines():
    text = (
        "1H NMR (500 MHz, DMSO-d6) δ 7.60–7.52 (m, 5H, Ar-H), 3.53 (ABq, J = 14.2 Hz, Δν = 35.1"
        " Hz, 2H), 3.0 (dd, J1 = 7.1, J2 = 3.2 Hz, 1H), 2.0 (s, br, 1H), 1.1 (app t, J 7, 3H)"
    )
    assert rows(text) == [
        ("7.60–7.52", "m", "", "5"),
        ("3.53", "ABq", "J = 14.2 Hz, Δν = 35.1 Hz", "2"),
        ("3.0", "dd", "J1 = 7.1, J2 = 3.2 Hz", "1"),
        ("2.0", "br s", "", "1"),
        ("1.1", "app t", "J 7", "3"),
    ]
    compounds = read_compounds(text).compounds
    assert compounds.kinds == ("m", "m", "dd", "br s", "t")
    assert np.ptp(compounds.lines[0].offsets) == pytest.approx(0.08 * 500, rel=0.06)
    assert compounds.lines[1].offsets == pytest.approx(ab_quartet(14.2, 35.1).offsets)


def test_a_report_is_a_mixture_at_its_frequency():
    sample = read_sample(LINE.encode())
    assert sample.peaks.axis.mhz == 400
    assert sample.peaks.areas.sum() == pytest.approx(8)
    assert sample.note == "A report at 400 MHz in CDCl3. 3 multiplets, split into 6 lines."
    top = sample.peaks.ppm[-2:]
    assert np.ptp(top) * 400 == pytest.approx(8.1, abs=0.1)
    assert read_sample(LINE, mhz=600).peaks.axis.mhz == 600
    with pytest.raises(TableError, match="multiplets of 2 compounds; expected those of one"):
        read_sample(f"{LINE}\n{LINE}")


def test_several_reports_are_a_library():
    text = f"ethanol: {LINE}\n\nEthyl acetate\n{LINE}\nethanol {LINE} ESI-MS 12.3\n{LINE}\n"
    reading = read_compounds(text)
    names = ("ethanol", "Ethyl acetate", "ethanol (2)", "compound 4")
    assert reading.compounds.names == names
    assert reading.compounds.n_multiplets == 12
    assert read_reports(text).index.tolist() == [1] * 3 + [4] * 3 + [5] * 3 + [6] * 3


def test_a_multiplet_that_cannot_be_used_is_reported_with_its_line():
    text = f"a: {LINE}\nb: {LINE.replace('(s, 3H)', '(s)').replace('d, J', 'zz, J')}"
    reading = read_compounds(text)
    assert [(p.row, p.text[:26], p.dropped) for p in reading.problems] == [
        (2, "unknown multiplicity ''; e", True),
        (2, "protons is ''; expected a ", True),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1H NMR (400 MHz, CDCl3) δ 7.26", "line 1: there is no shift with brackets behind '1H N"),
        (LINE.replace("3.71 (s, 3H)", "3.71 s, 3H"), "line 1: '3.71 s, 3H, 1.25 .* no brackets"),
        ("\n" + LINE[:-2], "line 2: the bracket behind '1.25' is not closed"),
        (LINE[:-1] + ", 1.1 (s, 1H)" * MAX_ENTRIES, "more than 64 multiplets"),
        ("1H NMR δ " * 3000 + LINE, "more than 2,000 reports"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(text, message):
    for read in (read_compounds, read_sample):
        with pytest.raises(TableError, match=message) as caught:
            read(text)
        assert len(str(caught.value)) < 300 and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["ppm,area\n1,2\n", "# 1H NMR (400 MHz, D2O)\nppm,area\n1,2\n", "compound,ppm\n1H NMR,1\n", ""],
)
def test_tables_are_no_reports(text):
    assert not is_report(text)


def test_no_text_takes_long():
    started = time.process_time()
    for text in (LINE + "(" * 10**6, "1H NMR δ" * 10**5, LINE + " 1-" * 10**6, LINE + "1" * 10**6):
        try:
            read_compounds(text)
        except ValueError as error:
            assert len(str(error)) < 300
    assert time.process_time() - started < 3


def test_a_compound_comes_back_from_its_line():
    library = common_metabolites()
    for k in range(0, library.n_compounds, 3):
        line = report_line(library, k, 600, "D2O")
        assert is_report(line)
        again = read_compounds(line).compounds
        assert again.names == (library.names[k],)
        expected = library.select([k])
        order = np.argsort(-expected.ppm, kind="stable")
        assert again.ppm == pytest.approx(expected.ppm[order], abs=5.1e-4)
        assert again.protons == pytest.approx(expected.protons[order], rel=5e-3)
        assert again.areas.sum() == pytest.approx(expected.areas.sum(), rel=5e-3)
        kinds = [expected.kinds[m] for m in order]
        assert list(again.kinds) == kinds


def test_the_line_of_a_compound():
    compounds = read_compounds(
        "compound,ppm,kind,j_hz,dnu_hz,protons\nx,1.325,d,6.94,,3\nx,4.10,AB,14.2,35.1,2\n"
        "x,7.60-7.52,m,,,1.5\nx,2,br s,,,1\n"
    ).compounds
    assert report_line(compounds, 0, 600, "D2O") == (
        "x: 1H NMR (600 MHz, D2O) δ 7.60–7.52 (m, 1.5H), 4.10 (ABq, J = 14.2 Hz, Δν = 35.1 Hz, 2H),"
        " 2.00 (br s, 1H), 1.325 (d, J = 6.9 Hz, 3H)."
    )
    again = read_compounds(report_line(compounds, 0, 600)).compounds
    dense = [c.sparse(FULL_AXIS).toarray()[0] for c in (compounds, again)]
    reach = 3  # positions: couplings are rounded
    moved = [np.convolve(d, np.ones(2 * reach + 1), "same") > 0 for d in dense]
    assert (moved[0] >= (dense[1] > 0)).all() and (moved[1] >= (dense[0] > 0)).all()
    with pytest.raises(ValueError, match="'x' has given lines; expected the frequency in MHz"):
        report_line(compounds, 0)
