import io
import time
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.nmr.axis import FULL_AXIS, PPM_AXIS, Axis
from nmrclassify.nmr.compounds import (
    DEFAULT_COUPLING,
    MAX_NAME,
    MAX_ROWS,
    Compounds,
    Problem,
    read_compounds,
    safe_name,
)
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


def make(*tables):
    """Compounds of (ppm, kind, couplings, protons) rows."""
    rows = [(k, *row) for k, table in enumerate(tables) for row in table]
    compound, ppm, kinds, couplings, protons = zip(*rows, strict=False)
    return Compounds(
        tuple(f"c{k}" for k in range(len(tables))),
        np.array(compound),
        np.array(ppm),
        np.array(protons),
        kinds,
        couplings,
    )


def random_compounds(n, seed=0, most=13):
    r = rng(seed)
    kinds = np.array(["s", "d", "t", "q", "dd", "dt", "ddd"])
    needed = {"s": 0, "dd": 2, "dt": 2, "ddd": 3}
    return make(
        *(
            [
                (
                    r.uniform(0.5, 9),
                    kind,
                    tuple(r.uniform(1, 15, needed.get(kind, 1)).round(2).tolist()),
                    float(r.integers(1, 4)),
                )
                for kind in r.choice(kinds, r.integers(1, most + 1))
            ]
            for _ in range(n)
        )
    )


def test_the_lines_are_those_of_the_multiplets():
    compounds = random_compounds(30)
    first, starts = compounds.first_line, compounds.first_multiplet
    assert (first[0], first[-1], starts[0], starts[-1]) == (
        0,
        len(compounds.areas),
        0,
        compounds.n_multiplets,
    )
    for m in range(compounds.n_multiplets):
        lines, own = (
            first_order(compounds.kinds[m], compounds.couplings[m]),
            slice(first[m], first[m + 1]),
        )
        assert np.array_equal(compounds.offsets[own], lines.offsets)
        assert compounds.areas[own] == pytest.approx(lines.areas * compounds.protons[m])
        assert (compounds.line_multiplet[own] == m).all()
    for k in range(compounds.n_compounds):
        assert (compounds.compound[starts[k] : starts[k + 1]] == k).all()
    assert {a.dtype for a in (first, starts, compounds.line_multiplet)} == {np.dtype(np.int64)}
    assert compounds.areas.sum() == pytest.approx(compounds.protons.sum())


def test_sticks_keep_protons_and_centres():
    compounds = random_compounds(20)
    sticks = compounds.sparse(FULL_AXIS)
    assert sticks.shape == (20, 65_536)
    protons = np.bincount(compounds.compound, compounds.protons)
    assert sticks.sum(axis=1) == pytest.approx(protons)
    mean = np.bincount(compounds.compound, compounds.protons * compounds.ppm) / protons
    assert sticks @ FULL_AXIS.centres / protons == pytest.approx(mean, abs=FULL_AXIS.width)
    dense = compounds.dense(FULL_AXIS, [7, 2])
    assert dense.dtype == np.float32
    assert dense == pytest.approx(sticks[[7, 2]].toarray())


def test_lines_beyond_the_axis_are_left_out():
    compounds = make([(4.0, "d", (12.0,), 2.0)], [(-3.0, "s", (), 3.0)])
    # At 600 MHz the lines are at 3.99 and 4.01 ppm.
    assert compounds.line_ppm(600.0).tolist() == pytest.approx([3.99, 4.01, -3.0])
    assert compounds.sparse(Axis(100, 4.0, 5.0, "ppm")).sum(axis=1).tolist() == [1.0, 0.0]
    # At a tenth of the field a coupling spans ten times as many ppm.
    assert compounds.line_ppm(60.0).tolist() == pytest.approx([3.9, 4.1, -3.0])


def test_selection_and_concatenation():
    compounds = random_compounds(12)
    order = rng(1).permutation(12)
    picked = compounds.select(order)
    assert picked.names == tuple(compounds.names[k] for k in order)
    assert np.array_equal(
        picked.sparse(FULL_AXIS).toarray(), compounds.sparse(FULL_AXIS).toarray()[order]
    )
    both = compounds.select(range(5)).with_compounds(compounds.select(range(5, 12)))
    assert both.frame().equals(compounds.frame())
    with pytest.raises(ValueError, match="'c3' is the name of a compound in both"):
        compounds.with_compounds(compounds.select([3]))
    for wrong in ([], [12], [-1], [1, 1]):
        with pytest.raises(
            ValueError, match="cannot be chosen; expected different ones of 0 to 11"
        ):
            compounds.select(wrong)


GOOD = {
    "names": ("a", "b"),
    "compound": [0, 0, 1],
    "ppm": [1.0, 2.0, 3.0],
    "protons": [1, 2, 3],
    "kinds": ("s", "d", "m"),
}
GOOD |= {"couplings": ((), (7.0,), ())}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"compound": [0, 0, 0]}, "'b' has no multiplet"),
        ({"compound": [1, 0, 1]}, "rising order"),
        ({"compound": [0, 1, 2]}, "rising order"),
        ({"ppm": [1.0, 2.0]}, "expected one length"),
        ({"ppm": [1.0, np.nan, 3.0]}, "ppm of a multiplet of 'a' is nan; expected -5 to 20"),
        ({"protons": [1, 2, 0]}, "protons of a multiplet of 'b' is 0; expected above 0"),
        ({"protons": [1, 2, np.inf]}, "protons of a multiplet of 'b' is inf"),
        ({"kinds": ("s", "doublet", "m")}, "'doublet' is not in symbols; write it 'd'"),
        ({"kinds": ("s", "x", "m")}, "unknown multiplicity 'x'"),
        ({"couplings": ((), (), ())}, "'d' are none; expected 1"),
        ({"names": ("a", "a")}, "share a name"),
        ({"names": ("a", "*b*")}, r"'\*b\*' is not usable; 'b-' is"),
        ({"names": ("a", "")}, "not usable"),
        ({"names": ()}, "has 0 compounds"),
        (
            {name: [*GOOD[name], *[GOOD[name][-1]] * 64] for name in GOOD if name != "names"},
            "'b' has 65 multiplets; expected at most 64",
        ),
    ],
)
def test_impossible_compounds_are_refused(changes, message):
    Compounds(**GOOD)
    with pytest.raises(ValueError, match=message):
        Compounds(**(GOOD | changes))


def test_columns_cannot_be_changed_afterwards():
    ppm = np.array([1.0, 2.0, 3.0])
    compounds = Compounds(**(GOOD | {"ppm": ppm}))
    ppm[0] = 9
    assert compounds.ppm[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        compounds.ppm[0] = 9


def test_what_is_written_is_read_back():
    compounds = random_compounds(40)
    reading = read_compounds(compounds.frame().to_csv(index=False))
    assert reading.problems == ()
    assert reading.compounds.frame().equals(compounds.frame())


@pytest.mark.parametrize(
    "give", ["text", "bytes", "bom", "file", "binary file", "path", "tabs", "capitals", "windows"]
)
def test_sources(give, tmp_path):
    text = HEADER + ETHANOL
    path = tmp_path / "t.csv"
    path.write_text(text)
    source = {
        "text": text, "bytes": text.encode(), "bom": b"\xef\xbb\xbf" + text.encode(), "file": io.StringIO(text),
        "binary file": io.BytesIO(text.encode()), "path": path, "tabs": text.replace(",", "\t"), "windows": text.replace("\n", "\r\n"),
        "capitals": text.replace(HEADER, HEADER.upper()),
    }[give]  # fmt: skip
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
        ("", "columns are none; expected compound, ppm"),
        ("a,b\n1,2\n", "columns are 'a', 'b'; expected compound"),
        (HEADER, "no usable row; expected"),
        (HEADER + "x,1,wiggle,,1\n", "no usable row: row 2, unknown multiplicity"),
        (HEADER + "a,1,s,,1\n" * (MAX_ROWS + 1), "more than 100,000 rows"),
        (HEADER + "a" * (20 * 1024 * 1024), "more than 20,971,520 bytes"),
        (b"\xff\xfe\x00", "byte 0 is not UTF-8"),
        ("PK\0\3", "binary data"),
        (HEADER + '"' + "a" * 200_000, "not a CSV table"),
        (",".join(["compound", "ppm", "kind", "protons"] + ["x"] * 70) + "\n", "74 columns"),
        ('"\n"' + ",a" * 2_000_000 + "\n1\n", "2,000,001 columns"),
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
    text += "i1,A,1.0,3,t,8.18,2,3\ni1,A,2.0,1,m,12;7;5;4,1;1;2;1,24\ni2,A,3.0,1,s,,,1\ni3,B[b],4.0,1,m,7.00,8,9\n"
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


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("2-Ethyl-4-methyl-1H-imidazole", None), ("(S)-3-Phenoxypropane-1,2-diol", None), ("α-D-glucose", None), ("β-alanine", None),
        ("5'-AMP & \"salt\"", None), ("PC(16:0/18:1)", None), ("50 % D2O", None), ("a[b]{c}", "a(b)(c)"), ("lambda~6~", "lambda-6-"),
        ("<b>x</b>", "‹b›x‹/b›"), ("a|b\\c`d", "a/b/c'd"), ("$x_1$", "x-1-"), ("=1+1", "1+1"), ("# head", "head"), ("a\n\tb", "a b"),
        ("a :smile: x", "a -smile: x"), ("http://a.b", "http-//a.b"), ("www.a.b", "www-a.b"), ("a@b.c", "a-b.c"), ("", "unnamed"), ("***", "unnamed"),
        ("a\u202eb\u200bc", "abc"), ("a:material/x:", "a-material/x:"),
    ],
)  # fmt: skip
def test_names_become_safe(name, safe):
    assert safe_name(name) == (name if safe is None else safe)


def test_any_text_becomes_a_safe_name_for_good():
    r = rng()
    for _ in range(3000):
        # Markup and words that matter, and any character of the first plane but the surrogates.
        parts = [
            r.choice(list("*_`<>[]{}|$\\#~:&=+-@. /aw1")),
            "www.",
            "://",
            ":a:",
            chr(r.integers(1, 0xD800)),
        ]
        text = "".join(r.choice(parts) for _ in range(r.integers(0, 12))) * int(r.choice([1, 40]))
        name = safe_name(text)
        assert 1 <= len(name) <= MAX_NAME
        assert not set(name) & set("*_`<>[]{}|$\\#~@\n\t\0")
        assert "://" not in name
        assert safe_name(name) == name, (text, name)


def test_names_that_clash_are_numbered():
    reading = read("a*b,1,s,,1\na-b,1,d,7,1\na_b,1,t,7,1\na-b (2),1,q,7,1\n")
    assert reading.compounds.names == ("a-b (3)", "a-b", "a-b (4)", "a-b (2)")
    long = read("".join(f"{'x' * 200}{k},1,s,,{k + 1}\n" for k in range(12))).compounds.names
    assert len(set(long)) == 12
    assert all(len(name) <= MAX_NAME for name in long)


def brute_alike(compounds, axis, tolerance):
    """Groups by trying every pairing of every pair of compounds."""
    near, first = max(tolerance, axis.width), compounds.first_multiplet
    group = list(range(compounds.n_compounds))

    def fits(i, j):
        a, b = ([m for m in range(first[k], first[k + 1])] for k in (i, j))
        if len(a) != len(b):
            return False
        for order in permutations(b):
            ratio = compounds.protons[a] / compounds.protons[list(order)]
            if (
                np.abs(compounds.ppm[a] - compounds.ppm[list(order)]).max() > near
                or np.ptp(ratio) > 1e-9
            ):
                continue
            lines = [
                [first_order(compounds.kinds[m], compounds.couplings[m]) for m in side]
                for side in (a, order)
            ]
            if all(
                len(x.areas) == len(y.areas)
                and np.abs(x.areas - y.areas).max() < 1e-9
                and np.abs(x.offsets - y.offsets).max() <= 1
                for x, y in zip(*lines, strict=False)
            ):
                return True
        return False

    for i in range(compounds.n_compounds):
        for j in range(i):
            if fits(i, j):
                old, new = group[i], group[j]
                group = [new if g == old else g for g in group]
    return list(map({g: k for k, g in enumerate(dict.fromkeys(group))}.get, group))


@pytest.mark.parametrize("seed", range(6))
def test_compounds_alike_are_those_that_brute_force_finds(seed):
    r = rng(seed)
    tables = []
    for _ in range(40):
        shifts = r.choice([1.0, 1.008, 1.016, 2.0, 2.009], size=r.integers(1, 4)) + r.uniform(
            -0.003, 0.003
        )
        times = r.integers(1, 3)
        kinds = r.choice(["s", "d", "t"], len(shifts))
        js = r.choice([7.0, 8.5, 12.0], len(shifts))
        tables.append(
            [
                (p, k, (float(j),) * (k != "s"), float(times))
                for p, k, j in zip(shifts, kinds, js, strict=False)
            ]
        )
    compounds = make(*tables)
    found = equivalent_compounds(compounds, FULL_AXIS)
    assert found.tolist() == brute_alike(compounds, FULL_AXIS, 0.01)
    assert 1 < found.max() + 1 < 40


def test_what_makes_compounds_alike():
    base = [(1.0, "d", (7.0,), 3.0), (4.0, "q", (7.0,), 1.0)]
    same = [
        [
            (4.005, "q", (7.2,), 2.0),
            (1.009, "d", (6.5,), 6.0),
        ],  # another order, doubled, slightly moved
        [(1.0, "d", (7.0,), 3.0), (4.0, "q", (7.6,), 1.0)],  # outer lines .9 Hz away
    ]
    other = [
        [(1.011, "d", (7.0,), 3.0), (4.0, "q", (7.0,), 1.0)],
        [(1.0, "d", (9.1,), 3.0), (4.0, "q", (7.0,), 1.0)],
        [(1.0, "d", (7.0,), 3.0), (4.0, "q", (7.0,), 2.0)],
        [(1.0, "t", (7.0,), 3.0), (4.0, "q", (7.0,), 1.0)],
        [*base, (7.0, "s", (), 1.0)],
    ]
    for table in same:
        assert equivalent_compounds(make(base, table), FULL_AXIS).tolist() == [0, 0]
    for table in other:
        assert equivalent_compounds(make(base, table), FULL_AXIS).tolist() == [0, 1]
    # A chain is one group; the crossing order of two near multiplets is seen through.
    assert equivalent_compounds(
        make(*([(p, "s", (), 1.0)] for p in (1.0, 5.0, 1.016, 1.008))), FULL_AXIS
    ).tolist() == [0, 1, 0, 0]
    crossing = (
        [(1.0, "s", (), 1.0), (1.004, "d", (9.0,), 1.0)],
        [(1.0, "d", (9.0,), 1.0), (1.004, "s", (), 1.0)],
    )
    assert equivalent_compounds(make(*crossing), FULL_AXIS).tolist() == [0, 0]
    # On bins of half a ppm, much is alike.
    assert equivalent_compounds(
        make(base, [(1.3, "t", (7.0,), 3.0), (4.1, "q", (7.0,), 1.0)]), PPM_AXIS
    ).tolist() == [0, 0]
    # A splitting that no line width resolves is none.
    assert equivalent_compounds(
        make([(1.0, "d", (0.5,), 1.0)], [(1.0, "s", (), 1.0)]), FULL_AXIS
    ).tolist() == [
        0,
        0,
    ]


def test_large_compounds_alike_are_found_quickly():
    n, size = 120, 64
    columns = np.repeat(np.arange(n), size), np.tile(np.linspace(1, 9, size), n), np.ones(n * size)
    compounds = Compounds(
        tuple(f"c{k}" for k in range(n)), *columns, ("s",) * n * size, ((),) * n * size
    )
    start = time.process_time()
    assert not equivalent_compounds(compounds, FULL_AXIS).any()
    assert time.process_time() - start < 6  # about 1 s; all pairings of all multiplets took 5 s


def test_too_many_pairs_and_bad_tolerances_are_refused():
    crowd = make(*([(1.0, "s", (), 1.0)] for _ in range(800)))
    with pytest.raises(ValueError, match="more than 300,000 pairs"):
        equivalent_compounds(crowd, FULL_AXIS)
    with pytest.raises(ValueError, match="more than 100 pairs"):
        equivalent_compounds(crowd.select(range(20)), FULL_AXIS, max_pairs=100)
    assert (
        equivalent_compounds(crowd.select(range(10)), FULL_AXIS, max_pairs=100).tolist() == [0] * 10
    )
    for tolerance in (-0.1, float("nan"), 2.0):
        with pytest.raises(ValueError, match="expected 0 to 1 ppm"):
            equivalent_compounds(random_compounds(3), FULL_AXIS, tolerance)


def test_ten_thousand_compounds_are_quick():
    r = rng()
    sizes = r.integers(1, 14, 10_000)
    n = int(sizes.sum())
    kinds = r.choice(["s", "d", "t", "dd", "ddd"], n)
    needed = {"s": 0, "d": 1, "t": 1, "dd": 2, "ddd": 3}
    columns = np.repeat(np.arange(10_000), sizes), r.uniform(0, 9, n), r.integers(1, 4, n), kinds
    couplings = [
        tuple(row[: needed[kind]])
        for row, kind in zip(r.uniform(1, 15, (n, 3)).tolist(), kinds, strict=False)
    ]
    start = time.process_time()
    compounds = Compounds(tuple(f"compound {k}" for k in range(10_000)), *columns, couplings)
    assert len(compounds.areas) == len(compounds.offsets)
    assert time.process_time() - start < 6  # about 1.5 s; the bound leaves room for a slow machine
    start = time.process_time()
    assert equivalent_compounds(compounds, FULL_AXIS).max() > 9000
    assert time.process_time() - start < 8
