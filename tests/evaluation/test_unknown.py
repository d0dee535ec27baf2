import numpy as np

from nmrclassify.evaluation.unknown import half_unknown, unknown_scores, unknown_test_compounds
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.library import metabolite_library


def test_unknown_compounds_are_not_in_the_library():
    for library in (build("quick", 4).library, metabolite_library()):
        compounds = unknown_test_compounds(library, 64, 4)
        assert compounds.shape == (64, *library.areas.shape[1:])
        assert compounds.any((1, 2)).all()
        assert not any(
            np.array_equal(unknown, known) for unknown in compounds for known in library.areas
        )
        assert np.array_equal(compounds, unknown_test_compounds(library, 64, 4))


def test_every_other_mixture_has_an_unknown_compound():
    data = build("quick", 4)
    mixtures = half_unknown(data)
    has_unknown = mixtures.has_unknown
    assert has_unknown.tolist() == [i % 2 == 1 for i in range(len(mixtures))]
    assert np.allclose(mixtures.areas - mixtures.sources.sum(axis=1), mixtures.unknown, atol=1e-5)
    assert set(data.keys(mixtures.labels)) <= set(data.keys(data.test))
    shares = [
        np.isin(data.keys(mixtures.labels[part]), data.keys(data.test[:10])).mean()
        for part in (has_unknown, ~has_unknown)
    ]
    assert abs(shares[0] - shares[1]) < 0.1  # which compositions have one is random


def test_a_little_training_detects_unknown_compounds(learned):
    scores, has_unknown = unknown_scores(learned.model, learned.dataset)
    assert set(scores) == {"something unknown", "residual"}
    assert all(len(score) == len(has_unknown) for score in scores.values())
    assert scores["residual"][has_unknown].mean() > scores["residual"][~has_unknown].mean()
    assert (
        scores["something unknown"][has_unknown].mean()
        > scores["something unknown"][~has_unknown].mean() + 0.2
    )
