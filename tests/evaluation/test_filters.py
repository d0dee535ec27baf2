import numpy as np
import pytest

from nmrclassify.evaluation.filters import PLACES, filter_patterns, patterns_of, readable_order
from nmrclassify.nmr.multiplets import KINDS, all_patterns


@pytest.mark.parametrize("n_peaks", [4, 6])
def test_a_filter_is_named_after_the_multiplet_with_the_largest_encoding(n_peaks):
    rng = np.random.default_rng(4)
    encoder = rng.random((30, n_peaks, 3))
    for weights, found in zip(encoder, filter_patterns(encoder), strict=True):
        encodings = {
            (kind, place): float(weights[:, tap] @ multiplet)
            for kind, multiplet in zip(KINDS, all_patterns(n_peaks), strict=False)
            for tap, place in enumerate(PLACES)
        }
        assert (found.kind, found.place) == max(encodings, key=encodings.get)
        assert found.response == pytest.approx(max(encodings.values()))


def test_the_left_neighbour_is_the_one_at_higher_ppm(trained, quick):
    """A multiplet one position up the axis, drawn further left, is the left neighbour."""
    model, found = trained.model, patterns_of(trained.model)
    areas = np.zeros((6, 21), np.float32)
    for i, pattern in enumerate(found):
        areas[:] = 0
        at = {"own position": 10, "left neighbour": 11, "right neighbour": 9}[pattern.place]
        areas[:, at] = all_patterns()[KINDS.index(pattern.kind)]
        encoding = model.predict(areas).encoding
        assert encoding[i, 10] == pytest.approx(pattern.response, abs=1e-5)


def test_names_are_short_and_filters_without_weights_have_none():
    encoder = np.zeros((4, 6, 3))
    encoder[0, 0, 1], encoder[1, 4:, 2], encoder[2, 5, 0] = 1.0, 0.4, -0.5
    names = [pattern.name for pattern in filter_patterns(encoder)]
    assert names == [
        "singlet",
        "sextet, left neighbour",
        "sextet, right neighbour",
        "no response",
    ]


def test_the_order_is_by_place_then_multiplet_then_strength():
    encoder = np.zeros((6, 6, 3))
    encoder[1, 0, 0] = 1.0  # singlet, right
    encoder[2, 0, 2] = 1.0  # singlet, left
    encoder[3, 5, 1] = 1.0  # sextet
    encoder[4, 0, 1] = 0.5  # singlet, weaker
    encoder[5, 0, 1] = 0.9
    assert readable_order(filter_patterns(encoder)).tolist() == [5, 4, 3, 2, 1, 0]
    assert readable_order(filter_patterns(np.zeros((3, 6, 3)))).tolist() == [0, 1, 2]
