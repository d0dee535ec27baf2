import numpy as np
import pytest

from nmrclassify.answers import Answer, answer, compare, listing, percent, verdict


def scripted(classes, sources, sure=9.0):
    """An answer that names `classes` and separates perfectly."""
    logits = sure * np.eye(10, dtype=np.float32)[classes]
    empty = np.zeros((64, 21), np.float32)
    return Answer(empty, np.stack([empty] * 3), np.stack([empty] * 3), sources.astype(np.float32), logits)


def test_an_answer_is_what_the_model_computes(trained, quick):
    areas = quick.test_mixtures().areas[0]
    given = answer(trained.model, areas)
    assert given.masks.shape == (3, 64, 21)
    assert given.probabilities.sum(axis=1) == pytest.approx(1)
    assert given.separated_encodings == pytest.approx(given.masks * given.encoding)


def test_compare_puts_the_truth_in_the_order_of_the_outputs(quick):
    made = quick.test_mixtures()
    labels, sources = made.labels[0], made.sources[0]
    truth = compare(scripted(labels[[2, 0, 1]], sources[[2, 0, 1]]), made.areas[0], sources, labels)
    assert truth.pairing.tolist() == [2, 0, 1]
    assert truth.labels.tolist() == labels[[2, 0, 1]].tolist()
    assert (truth.si_sdr_improvement > 60).all()


def test_verdicts(quick):
    names, made = quick.library.names, quick.test_mixtures()
    labels, sources, areas = made.labels[0], made.sources[0], made.areas[0]
    right = scripted(labels, sources)
    assert verdict(right, names, compare(right, areas, sources, labels)).startswith("All 3 right: ")
    wrong_labels = labels.copy()
    wrong_labels[1] = next(k for k in range(10) if k not in labels)
    wrong = scripted(wrong_labels, sources)
    text = verdict(wrong, names, compare(wrong, areas, sources, labels))
    assert text.startswith("2 of 3 right. Wrong: output 2 says " + names[wrong_labels[1]])
    assert f"where {names[labels[1]]} was mixed in" in text
    assert "not known" in verdict(right, names)


@pytest.mark.parametrize("value, text", [(1.0, "over 99.9 %"), (0.9996, "over 99.9 %"), (0.123, "12.3 %"), (0.0, "0.0 %")])
def test_percent(value, text):
    assert percent(value) == text


def test_listing():
    assert [listing(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]
