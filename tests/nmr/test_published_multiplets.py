import numpy as np
import pytest

from nmrclassify.nmr.multiplets import parse_couplings
from nmrclassify.nmr.published_multiplets import (
    ab_quartet,
    difference_of,
    is_ab_quartet,
    parse_shift,
    published_lines,
    split_difference,
)


def exact_ab(coupling, difference):
    """The transitions of two spins 1/2, from the Hamiltonian in Hz: places and their shares."""
    z, plus = np.diag([0.5, -0.5]), np.array([[0.0, 1.0], [0.0, 0.0]])
    one, two = (lambda a: np.kron(a, np.eye(2))), (lambda a: np.kron(np.eye(2), a))
    x, y = (plus + plus.T) / 2, (plus - plus.T) / 2j
    energy = difference / 2 * (one(z) - two(z)) + 1e4 * (one(z) + two(z))
    energy = energy + coupling * sum(one(a) @ two(a) for a in (x, y, z))
    values, states = np.linalg.eigh(energy)
    moment = states.conj().T @ (one(plus) + two(plus)) @ states
    lines = [
        (values[i] - values[j] - 1e4, abs(moment[i, j]) ** 2)
        for i in range(4)
        for j in range(4)
        if abs(moment[i, j]) ** 2 > 1e-9
    ]
    places, areas = np.array(sorted(lines)).T
    return places, areas / areas.sum()


@pytest.mark.parametrize(("coupling", "difference"), [(14, 35), (7, 7), (12, 200), (16, 2)])
def test_an_ab_quartet_has_the_lines_of_two_coupled_spins(coupling, difference):
    places, areas = exact_ab(coupling, difference)
    lines = ab_quartet(coupling, difference)
    assert lines.offsets == pytest.approx(places, abs=1e-6)
    assert lines.areas == pytest.approx(areas, abs=1e-9)


def test_far_apart_it_is_two_doublets():
    lines = ab_quartet(10, 900)
    assert lines.offsets == pytest.approx([-455, -445, 445, 455], abs=0.1)
    assert lines.areas == pytest.approx([0.25] * 4, abs=0.003)


def test_its_difference_follows_from_its_range():
    expected = ab_quartet(14, 35)
    width = float(np.ptp(expected.offsets))
    assert published_lines("ABq", width, [14], None).offsets == pytest.approx(expected.offsets)


@pytest.mark.parametrize("text", ["AB", "ABq", "AB q", "AB quartet", "ab-system", "q (AB)"])
def test_names_of_ab_quartets(text):
    assert is_ab_quartet(text)


@pytest.mark.parametrize("text", ["ABX", "a", "q", "AA'BB'", "dAB", ""])
def test_other_names_are_none(text):
    assert not is_ab_quartet(text)


@pytest.mark.parametrize(
    ("kind", "width", "couplings", "difference", "message"),
    [
        ("AB", 0.0, [14.0], None, "without its shift difference; expected Δν in Hz"),
        ("AB", 20.0, [14.0], None, "20 Hz wide; expected more than twice its coupling of 14 Hz"),
        ("AB", 0.0, [], 30.0, "has 0 couplings; expected one"),
        ("AB", 0.0, [0.0], 30.0, "expected both above 0"),
        ("ABX", 0.0, [7.0], None, "unknown multiplicity 'ABX'"),
        ("m", 2500.0, [], None, "2500 Hz wide; expected at most 2000: divide it"),
    ],
)
def test_what_gives_no_lines_is_refused_with_a_remedy(kind, width, couplings, difference, message):
    with pytest.raises(ValueError, match=message):
        published_lines(kind, width, couplings, difference)


def test_an_m_is_spread_over_its_range_and_other_kinds_are_not():
    lines = published_lines("massif", 24.0, [], None)
    assert np.ptp(lines.offsets) == pytest.approx(24, rel=0.06)
    assert lines.areas.sum() == pytest.approx(1) and not lines.resolved
    assert published_lines("m", 0.0, [], None) is None
    assert published_lines("m", 24.0, [7.0], None) is None
    assert published_lines("t", 24.0, [7.0], None) is None


@pytest.mark.parametrize("dash", ["-", "–", "—", " - ", " – ", " to "])
def test_a_shift_may_be_a_range(dash):
    assert parse_shift(f"3.53{dash}3.49") == (3.49, 3.53)
    assert parse_shift(f"-0.1{dash}-0.2") == (-0.2, -0.1)


@pytest.mark.parametrize("text", ["", "x", "3.5-", "1-2-3", "3.5-x", "1e-3-nan"])
def test_other_texts_are_no_shift(text):
    assert np.isnan(parse_shift(text)).any()


@pytest.mark.parametrize("text", ["1e-1", "-0.5", "3"])
def test_a_sign_is_no_dash(text):
    assert parse_shift(text) == (float(text),) * 2


@pytest.mark.parametrize(
    ("text", "couplings"),
    [
        ("7.2 Hz", [7.2]),
        ("7, 3", [7, 3]),
        ("7.2,3.1", [7.2, 3.1]),
        ("7/3", [7, 3]),
        ("J = 7", [7]),
        ("J=7.2, 3.1 Hz", [7.2, 3.1]),
        ("7.2; 3.1", [7.2, 3.1]),
        ("7.2 Hz, 3.1 Hz", [7.2, 3.1]),
        ("3J(H,H) = 7.2 Hz; ⁴J = 1.1 Hz".replace("⁴", "4"), [7.2, 1.1]),
        ("J1 = 7.2 and J2 = 3.1", [7.2, 3.1]),
        ("JAB = -14.0 Hz", [-14]),
        ("³J_HH = 7 & 3", [7, 3]),
        ("", []),
    ],
)
def test_couplings_of_papers(text, couplings):
    assert parse_couplings(text) == couplings


@pytest.mark.parametrize("text", ["7,1", "J = x", "7 ppm", "7 Hz wide", "1" * 300])
def test_what_is_ambiguous_or_no_coupling_is_refused(text):
    with pytest.raises(ValueError, match="j_hz is .*expected couplings of 0 to 50 Hz"):
        parse_couplings(text)


def test_the_shift_difference_may_stand_in_a_column_or_behind_the_coupling():
    text, difference = split_difference("J = 14.2, Δν = 35.1 Hz", 500)
    assert (parse_couplings(text), difference) == ([14.2], 35.1)
    text, difference = split_difference("ΔδAB = 0.07 ppm, JAB = 14.2 Hz", 500)
    assert (parse_couplings(text), difference) == ([14.2], pytest.approx(35))
    assert split_difference("7;3", 500) == ("7;3", None)
    assert difference_of("", 500) is None
    assert difference_of("35.1", 500) == difference_of("35.1 Hz", 500) == 35.1
    assert difference_of("0.1 ppm", 500) == pytest.approx(50)
    with pytest.raises(ValueError, match="dnu_hz is 'wide'; expected the shift difference"):
        difference_of("wide", 500)
