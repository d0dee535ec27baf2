from itertools import product
from math import comb

import numpy as np
import pytest

from nmrclassify.nmr.multiplets import (
    KINDS,
    MAX_LINES,
    PARTNERS,
    SYMBOLS,
    all_patterns,
    are_given_lines,
    first_order,
    given_lines,
    n_couplings,
    normalised,
    parse_kind,
    pascal_row,
    pattern,
)


def split(n_neighbours: int) -> list[float]:
    """Split one line n times in two halves one coupling apart: the physics of Pascal's rows."""
    lines = [1.0]
    for _ in range(n_neighbours):
        lines = [a / 2 + b / 2 for a, b in zip([*lines, 0.0], [0.0, *lines], strict=False)]
    return lines


@pytest.mark.parametrize("n", range(6))
def test_patterns_follow_from_repeated_splitting(n):
    assert pattern(KINDS[n])[: n + 1] == pytest.approx(split(n))
    assert pattern(KINDS[n])[n + 1 :] == pytest.approx(0)


def test_sextet_is_pascals_row():
    assert pascal_row(5).tolist() == [1, 5, 10, 10, 5, 1]


def test_all_patterns_have_unit_area_and_differ():
    patterns = all_patterns()
    assert patterns.shape == (6, 6)
    assert patterns.sum(axis=1) == pytest.approx(1)
    assert len(np.unique(patterns, axis=0)) == 6


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("q", "quartet"),
        (" Quin", "quintet"),
        ("SXT", "sextet"),
        ("m.", "multiplet"),
        *zip(SYMBOLS, KINDS, strict=False),
    ],
)
def test_synonyms(text, kind):
    assert parse_kind(text) == kind


def test_unknown_kind_and_too_few_peaks_are_refused():
    with pytest.raises(ValueError, match="'septet'.*expected one of"):
        pattern("septet")
    with pytest.raises(ValueError, match="4 peaks; n_peaks is 3"):
        pattern("quartet", 3)


def test_unresolved_multiplet_keeps_its_area():
    assert pattern("m", 5).sum() == pytest.approx(1)


def spin_states(symbols, couplings):
    """Lines from the physics: each neighbour moves the line by half its coupling; Hz -> share."""
    neighbours = [
        coupling
        for symbol, coupling in zip(symbols, couplings, strict=False)
        for _ in range(PARTNERS[symbol])
    ]
    lines = {}
    for spins in product((-0.5, 0.5), repeat=len(neighbours)):
        place = round(
            sum(spin * coupling for spin, coupling in zip(spins, neighbours, strict=False)), 6
        )
        lines[place] = lines.get(place, 0) + 0.5 ** len(neighbours)
    return sorted(lines), [lines[place] for place in sorted(lines)]


@pytest.mark.parametrize("symbol", PARTNERS)
def test_one_splitting_is_a_row_of_pascals_triangle(symbol):
    n = PARTNERS[symbol]
    lines = first_order(symbol, (7.3,) * (n > 0))
    assert lines.areas * 2**n == pytest.approx([comb(n, k) for k in range(n + 1)])
    assert np.diff(lines.offsets) == pytest.approx(7.3)


TREES = [
    ("d",),
    ("d", "d"),
    ("d", "t"),
    ("t", "d"),
    ("d", "d", "d"),
    ("d", "d", "t"),
    ("t", "t"),
    ("d", "q"),
    ("q", "d"),
    ("t", "quint"),
]
TREES += [("quint", "t"), ("sept", "d"), ("d", "d", "d", "d"), ("t", "q")]


@pytest.mark.parametrize("symbols", TREES, ids="".join)
@pytest.mark.parametrize("seed", range(3))
def test_trees_agree_with_the_spin_states_of_all_neighbours(symbols, seed):
    couplings = np.random.default_rng(seed).uniform(1, 15, len(symbols)).round(2)
    places, shares = spin_states(symbols, couplings)
    lines = first_order("".join(symbols), couplings)
    if len(places) <= MAX_LINES:
        assert lines.offsets == pytest.approx(places, abs=1e-5)
        assert lines.areas == pytest.approx(shares)
        assert not lines.merged
    assert lines.areas.sum() == pytest.approx(1)
    assert lines.areas @ lines.offsets == pytest.approx(0, abs=1e-9)
    if not lines.merged:
        assert lines.offsets == pytest.approx(-lines.offsets[::-1], abs=1e-9)
        assert lines.areas == pytest.approx(lines.areas[::-1])


def test_the_order_of_splittings_does_not_matter():
    one, other = first_order("dt", (8, 4.1)), first_order("td", (4.1, 8))
    assert one.offsets == pytest.approx(other.offsets)
    assert one.areas == pytest.approx(other.areas)


@pytest.mark.parametrize("n", range(2, 9))
def test_equal_couplings_coincide_to_the_simpler_multiplet(n):
    tree, row = first_order("d" * n, (7.1,) * n), first_order(list(PARTNERS)[n], (7.1,))
    assert tree.offsets == pytest.approx(row.offsets)
    assert tree.areas == pytest.approx(row.areas)
    assert first_order("dd", (7, 7)).areas.tolist() == [0.25, 0.5, 0.25]
    assert len(first_order("dd", (7, 7.00001)).areas) == 4
    assert len(first_order("d", (0,)).areas) == 1


@pytest.mark.parametrize(
    "symbols",
    [("d",) * 5, ("d",) * 6, ("non", "t"), ("d", "d", "t", "q"), ("sept", "d", "d")],
    ids="".join,
)
@pytest.mark.parametrize("seed", range(3))
def test_merging_keeps_area_and_mean_and_moves_little(symbols, seed):
    couplings = np.random.default_rng(seed).uniform(1, 15, len(symbols))
    places, shares = map(np.array, spin_states(symbols, couplings))
    lines = first_order("".join(symbols), couplings)
    assert lines.merged
    assert len(lines.areas) == MAX_LINES < len(places)
    assert (np.diff(lines.offsets) > 0).all()
    assert lines.areas.sum() == pytest.approx(1)
    assert lines.areas @ lines.offsets == pytest.approx(0, abs=1e-9)
    # Merging never spreads; what it takes from the variance is small.
    before, after = shares @ places**2, lines.areas @ lines.offsets**2
    assert 0.97 * before < after <= before * (1 + 1e-9)


def test_the_closest_lines_are_merged_first():
    lines = first_order("ddddd", (16, 8, 4, 2, 0.02))
    # 32 lines: 16 pairs, .02 Hz apart, of which 14 are merged.
    assert len(lines.areas) == MAX_LINES
    assert (np.diff(lines.offsets) < 0.1).sum() == 2
    assert sorted(lines.areas.round(9)) == pytest.approx([1 / 32] * 4 + [1 / 16] * 14)


def test_unresolved_multiplets():
    hump = first_order("m")
    assert not hump.resolved
    assert not hump.merged
    assert hump.areas.sum() == pytest.approx(1)
    assert hump.offsets == pytest.approx(-hump.offsets[::-1])
    given = first_order("m", (13, 9, 7, 5))
    assert given.resolved
    assert given.offsets.tolist() == first_order("dddd", (13, 9, 7, 5)).offsets.tolist()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Doublet of Triplets", "dt"),
        ("doublet of doublet of doublets", "ddd"),
        ("double doublet", "dd"),
        ("br. s.", "br s"),
        ("bs", "br s"),
        ("s, br", "br s"),
        ("Broad singlet", "br s"),
        ("BR D", "br d"),
        ("quin", "quint"),
        ("pent", "quint"),
        ("p", "quint"),
        ("sxt", "sext"),
        ("spt", "sept"),
        ("hept", "sept"),
        ("tquint", "tquint"),
        ("quintt", "quintt"),
        ("septd", "septd"),
        ("d.d.", "dd"),
        (" M ", "m"),
        ("multiplet", "m"),
        ("nonet", "non"),
        ("triplet of quintets", "tquint"),
    ],
)
def test_names_of_trees(text, kind):
    assert normalised(text) == kind == normalised(kind)


def test_couplings_are_counted():
    assert [
        n_couplings(kind) for kind in ("s", "br s", "m", "d", "quint", "dt", "quintt", "dddd")
    ] == [0, 0, 0, 1, 1, 2, 2, 4]


@pytest.mark.parametrize(
    "text", ["", "x", "dx", "sd", "ss", "mm", "dm", "br", "of", "d2", "d" * 99 + "x"]
)
def test_unknown_trees_are_refused(text):
    with pytest.raises(
        ValueError, match="unknown multiplicity .* expected s, m, or a row of d, t, q"
    ):
        first_order(text)


@pytest.mark.parametrize(
    ("kind", "couplings", "message"),
    [
        ("t", (), "'t' are none; expected 1, in Hz"),
        ("dd", (7,), "'dd' are 7; expected 2"),
        ("s", (7,), "'s' are 7; expected 0"),
        ("d", (float("nan"),), "expected 0 to 50 Hz each"),
        ("d", (-7,), "expected 0 to 50 Hz each"),
        ("d", (50.1,), "expected 0 to 50 Hz each"),
        ("m", (1,) * 10, "1,024 lines; expected at most 512"),
        ("non" * 6, (1,) * 6, "531,441 lines; expected at most 512"),
    ],
)
def test_impossible_couplings_are_refused(kind, couplings, message):
    with pytest.raises(ValueError, match=message):
        first_order(kind, couplings)


def test_lines_cannot_be_changed_under_another_user():
    with pytest.raises(ValueError, match="read-only"):
        first_order("d", (7,)).offsets[0] = 0


def test_given_lines_have_their_mean_at_the_centre():
    centre, lines = given_lines([10.0, -2.0, 10.0, 4.0], [1.0, 1.0, 2.0, 4.0])
    assert centre == pytest.approx((30 - 2 + 16) / 8)
    assert lines.offsets + centre == pytest.approx([-2, 4, 10])
    assert lines.areas == pytest.approx([1 / 8, 4 / 8, 3 / 8])
    assert are_given_lines(lines)


@pytest.mark.parametrize(
    "hz, areas, message",
    [
        ([], [], "expected one or more"),
        ([1.0], [1.0, 2.0], "one area for each place"),
        ([1.0, 2.0], [1.0, 0.0], "above 0"),
        ([float("nan")], [1.0], "expected one or more"),
        (list(range(65)), [1.0] * 65, "65 lines"),
        ([0.0, 3000.0], [1.0, 1.0], "1500 Hz from the centre"),
    ],
)
def test_given_lines_are_refused_with_a_reason(hz, areas, message):
    with pytest.raises(ValueError, match=message):
        given_lines(hz, areas)
