from collections import Counter

import numpy as np
import pytest
import torch

from nmrclassify.metrics import evaluate, si_sdr, wilson
from nmrclassify.mixtures import MixtureConfig
from nmrclassify.model import Separation
from nmrclassify.presets import build


class Scripted(torch.nn.Module):
    """A model that answers what it is told: class indices, and sources as multiplets."""

    def __init__(self, classes, multiplets):
        super().__init__()
        self.classes, self.multiplets = torch.as_tensor(classes), torch.as_tensor(multiplets)

    def forward(self, areas):
        return 9.0 * torch.nn.functional.one_hot(self.classes, 10).float(), Separation(areas, areas, areas, self.multiplets)


def test_wilson_interval_agrees_with_published_values():
    # R. G. Newcombe, Statistics in Medicine 17, 857-872 (1998), table I, method 3.
    for share, n, low, high in ((81 / 263, 263, 0.2553, 0.3662), (15 / 148, 148, 0.0624, 0.1605), (0 / 20, 20, 0.0, 0.1611)):
        assert wilson(share, n) == pytest.approx((low, high), abs=2e-4)


def test_si_sdr_ignores_scale_and_measures_distortion():
    rng = np.random.default_rng(0)
    reference = rng.random((6, 21))
    orthogonal = rng.random((6, 21))
    orthogonal -= (orthogonal * reference).sum() / (reference**2).sum() * reference
    orthogonal *= np.sqrt((reference**2).sum() / (orthogonal**2).sum() / 100)  # 20 dB below
    assert si_sdr(reference + orthogonal, reference) == pytest.approx(20.0, abs=1e-6)
    assert si_sdr(7 * (reference + orthogonal), reference) == pytest.approx(20.0, abs=1e-6)
    assert si_sdr(reference, reference) == pytest.approx(80.0)
    assert si_sdr(0 * reference, reference) == si_sdr(orthogonal, reference) == pytest.approx(-80.0)


def test_a_lone_compound_leaves_nothing_to_improve():
    data = build("quick", 2, MixtureConfig(n_sources=1))
    mixtures = data.test_mixtures()
    summary = evaluate(Scripted(mixtures.labels, mixtures.sources), mixtures).summary()
    assert summary["si_sdr_improvement_db"] is None and summary["compound_accuracy"] == 1.0


@pytest.mark.parametrize("repetition", [False, True])
def test_accuracy_is_the_overlap_of_multisets(repetition):
    mixtures = build("quick", 2, MixtureConfig(repetition=repetition)).test_mixtures()
    rng = np.random.default_rng(1)
    guesses = np.where(rng.random(mixtures.labels.shape) < 0.5, mixtures.labels, rng.integers(10, size=mixtures.labels.shape))
    result = evaluate(Scripted(guesses, mixtures.sources), mixtures)
    right = [sum((Counter(g) & Counter(t)).values()) for g, t in zip(guesses.tolist(), mixtures.labels.tolist())]
    assert result.correct.sum(axis=1).tolist() == right
    assert result.exact.tolist() == [r == 3 for r in right]
    assert result.confusion().trace() == sum(right) and result.confusion().sum() == mixtures.labels.size
    summary = result.summary()
    assert summary["compound_accuracy"] == pytest.approx(np.mean(right) / 3)
    assert summary["compound_accuracy_ci95"][0] < summary["compound_accuracy"] < summary["compound_accuracy_ci95"][1]


def test_the_order_of_outputs_does_not_matter():
    mixtures = build("quick", 2).test_mixtures()
    order = [1, 2, 0]
    straight = evaluate(Scripted(mixtures.labels, mixtures.sources), mixtures).summary()
    turned = evaluate(Scripted(mixtures.labels[:, order], mixtures.sources[:, order]), mixtures).summary()
    for key, value in straight.items():
        assert value == pytest.approx(turned[key]), key
    assert straight["exact_match"] == 1.0 and straight["si_sdr_improvement_db"] > 70


def test_perfect_scores_still_have_an_interval():
    mixtures = build("original", 2).test_mixtures()
    low, high = evaluate(Scripted(mixtures.labels, mixtures.sources), mixtures).summary()["exact_match_ci95"]
    assert (low, high) == pytest.approx((0.7225, 1.0), abs=1e-3)


def test_repeated_draws_do_not_narrow_the_interval():
    mixtures = build("quick", 2).test_mixtures(draws=4)
    result = evaluate(Scripted(mixtures.labels, mixtures.sources), mixtures)
    assert result.compositions == len(mixtures) / 4


def test_the_table_has_a_row_for_each_mixture(trained, quick):
    mixtures = quick.test_mixtures()
    result = evaluate(trained.model, mixtures)
    table = result.table(quick.library.names)
    assert len(table) == len(mixtures)
    assert table["wholly right"].sum() == result.exact.sum()
    assert table["mixed"][0] == " + ".join(sorted(quick.library.names[k] for k in mixtures.labels[0]))
