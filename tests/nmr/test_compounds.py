from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compound_files import read_compounds
from nmrclassify.nmr.compounds import MAX_NAME, Compounds, safe_name
from nmrclassify.nmr.multiplets import Lines, first_order, given_lines


def rng(seed=0):
    return np.random.default_rng(seed)


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
        ({"ppm": [1.0, 2.0, 3.0, 4.0]}, "expected one length"),
        ({"compound": [[0, 0, 1]]}, r"compound of the multiplets has shape \(1, 3\); expected one"),
        ({"deviations": []}, "'deviations': 0}; expected one length"),
        ({"deviations": [0.1]}, "'deviations': 1}; expected one length"),
        ({"deviations": 0.1}, r"deviations of the multiplets has shape \(\); expected one number"),
        ({"deviations": [[0.1] * 3]}, r"deviations of the multiplets has shape \(1, 3\)"),
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


def test_what_is_written_is_read_back():
    compounds = random_compounds(40)
    reading = read_compounds(compounds.frame().to_csv(index=False))
    assert reading.problems == ()
    assert reading.compounds.frame().equals(compounds.frame())


def test_columns_cannot_be_changed_afterwards():
    ppm = np.array([1.0, 2.0, 3.0])
    compounds = Compounds(**(GOOD | {"ppm": ppm}))
    ppm[0] = 9
    assert compounds.ppm[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        compounds.ppm[0] = 9


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("2-Ethyl-4-methyl-1H-imidazole", None),
        ("(S)-3-Phenoxypropane-1,2-diol", None),
        ("α-D-glucose", None),
        ("β-alanine", None),
        ('5\'-AMP & "salt"', None),
        ("PC(16:0/18:1)", None),
        ("50 % D2O", None),
        ("a[b]{c}", "a(b)(c)"),
        ("lambda~6~", "lambda-6-"),
        ("<b>x</b>", "‹b›x‹/b›"),
        ("a|b\\c`d", "a/b/c'd"),
        ("$x_1$", "x-1-"),
        ("=1+1", "1+1"),
        ("# head", "head"),
        ("a\n\tb", "a b"),
        ("a :smile: x", "a -smile: x"),
        ("http://a.b", "http-//a.b"),
        ("www.a.b", "www-a.b"),
        ("a@b.c", "a-b.c"),
        ("", "unnamed"),
        ("***", "unnamed"),
        ("a\u202eb\u200bc", "abc"),
        ("a:material/x:", "a-material/x:"),
    ],
)
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


def with_given_lines():
    """A library of two compounds in which one multiplet has lines of its own."""
    centre, lines = given_lines([610.0, 600.0, 604.0], [1.0, 2.0, 5.0])
    plain = make([(2.0, "d", (7.0,), 3.0), (centre / 600, "m", (), 2.0)], [(3.0, "s", (), 1.0)])
    return replace(plain, given=(None, lines, None)), lines


def test_given_lines_take_the_place_of_the_first_order_ones():
    compounds, lines = with_given_lines()
    assert compounds.lines[1] is lines
    assert np.array_equal(compounds.lines[0].offsets, first_order("d", (7.0,)).offsets)
    assert compounds.line_ppm(600.0)[2:5] * 600 == pytest.approx([600, 604, 610])
    assert compounds.areas[2:5] == pytest.approx(2 * np.array([2, 5, 1]) / 8)


def test_given_lines_follow_their_multiplet_into_parts_of_a_library_and_joined_ones():
    compounds, lines = with_given_lines()
    assert compounds.select([1, 0]).lines[2] is lines
    assert compounds.select([1]).given == ()
    assert compounds.rows(np.array([1])).given == (lines,)
    other = replace(random_compounds(3), names=("x", "y", "z"))
    joined = other.with_compounds(compounds)
    assert joined.given[other.n_multiplets + 1] is lines
    assert compounds.with_compounds(other).lines[1] is lines


def test_a_table_with_given_lines_is_read_back():
    compounds, _ = with_given_lines()
    reading = read_compounds(compounds.frame().to_csv(index=False))
    assert reading.problems == ()
    assert reading.compounds.frame().equals(compounds.frame())
    assert "shares" not in make([(3.0, "s", (), 1.0)]).frame()


@pytest.mark.parametrize(
    "offsets, areas",
    [([1.0, -1.0], [0.5, 0.5]), ([-1.0, 1.0], [0.9, 0.9]), ([0.0, 2.0], [0.5, 0.5])],
)
def test_given_lines_are_checked(offsets, areas):
    plain = make([(3.0, "s", (), 1.0)])
    with pytest.raises(ValueError, match=r"given lines of a multiplet of 'c0'.*given_lines"):
        replace(plain, given=(Lines(np.array(offsets), np.array(areas)),))
