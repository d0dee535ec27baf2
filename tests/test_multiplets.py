import numpy as np
import pytest

from nmrclassify.multiplets import KINDS, SYMBOLS, all_patterns, parse_kind, pascal_row, pattern


def split(n_neighbours: int) -> list[float]:
    """Split one line n times in two halves that stand one coupling apart: the physics behind Pascal's rows."""
    lines = [1.0]
    for _ in range(n_neighbours):
        lines = [a / 2 + b / 2 for a, b in zip([*lines, 0.0], [0.0, *lines])]
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


@pytest.mark.parametrize("text, kind", [("q", "quartet"), (" Quin", "quintet"), ("SXT", "sextet"), ("m.", "multiplet"), *zip(SYMBOLS, KINDS)])
def test_synonyms(text, kind):
    assert parse_kind(text) == kind


def test_unknown_kind_and_too_few_peaks_are_refused():
    with pytest.raises(ValueError, match="'septet'.*expected one of"):
        pattern("septet")
    with pytest.raises(ValueError, match="4 peaks; n_peaks is 3"):
        pattern("quartet", 3)


def test_unresolved_multiplet_keeps_its_area():
    assert pattern("m", 5).sum() == pytest.approx(1)
