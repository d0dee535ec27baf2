import numpy as np

from nmrclassify.evaluation.unknown import half_unknown, unknown_scores, unknown_test_compounds
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.library import metabolite_library


def test_strangers_are_none_of_the_library():
    for library in (build("quick", 4).library, metabolite_library()):
        found = unknown_test_compounds(library, 64, 4)
        assert found.shape == (64, *library.areas.shape[1:])
        assert found.any((1, 2)).all()
        assert not any(
            np.array_equal(stranger, known) for stranger in found for known in library.areas
        )
        assert np.array_equal(found, unknown_test_compounds(library, 64, 4))


def test_every_other_mixture_holds_a_stranger():
    data = build("quick", 4)
    mixtures = half_unknown(data)
    held = mixtures.unknown.any((1, 2))
    assert held.tolist() == [i % 2 == 1 for i in range(len(mixtures))]
    assert np.allclose(mixtures.areas - mixtures.sources.sum(axis=1), mixtures.unknown, atol=1e-5)
    assert set(data.keys(mixtures.labels)) <= set(data.keys(data.test))
    shares = [
        np.isin(data.keys(mixtures.labels[part]), data.keys(data.test[:10])).mean()
        for part in (held, ~held)
    ]
    assert abs(shares[0] - shares[1]) < 0.1  # which compositions hold one is left to chance


def test_a_little_training_tells_strangers(learned):
    scores, held = unknown_scores(learned.model, learned.dataset)
    assert set(scores) == {"something unknown", "residual"}
    assert all(len(score) == len(held) for score in scores.values())
    assert scores["residual"][held].mean() > scores["residual"][~held].mean()
    assert (
        scores["something unknown"][held].mean() > scores["something unknown"][~held].mean() + 0.2
    )
