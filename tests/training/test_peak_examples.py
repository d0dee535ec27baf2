import sys
from collections import Counter
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import torch

from nmrclassify.config import bounds
from nmrclassify.networks.templates import TOLERANCE
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.synthetic import SyntheticConfig
from nmrclassify.training import peak_examples
from nmrclassify.training.peak_examples import (
    PeakTrainConfig,
    library,
    templates,
    training_example,
    training_examples,
)

TINY = PeakTrainConfig(steps=6, batch=4, compounds=40, libraries=2, n_low=5, n_high=10)


def same(one, other):
    """Whether two examples are the same bytes."""
    for a, b in ((one.hypotheses, other.hypotheses), (one.truth, other.truth)):
        for name, value in vars(a).items():
            if isinstance(value, torch.Tensor):
                if not torch.equal(value.nan_to_num(-7.0), getattr(b, name).nan_to_num(-7.0)):
                    return False
            elif name != "templates" and value != getattr(b, name):
                return False
    return True


def test_an_example_depends_on_the_seed_and_its_number_alone():
    number, one = training_example(TINY, 5)
    for config in (TINY, replace(TINY, steps=999, batch=16, learning_rate=1e-4)):
        again, other = training_example(config, 5)
        assert again == number
        assert same(one, other)
    assert not same(one, training_example(TINY, 6)[1])
    assert not same(one, training_example(replace(TINY, seed=8), 5)[1])


def test_examples_vary_within_the_options():
    clean = replace(TINY, disturbed=0.0)
    made = [training_example(clean, k) for k in range(30)]
    assert {number for number, _ in made} == {0, 1}
    counts = [int(one.truth.log_amounts.isfinite().sum()) for _, one in made]
    assert min(counts) >= 5
    assert max(counts) <= 10
    assert len(set(counts)) > 3
    assert len({one.hypotheses.spread for _, one in made}) > 3
    for number, one in made:
        assert len(one.truth.log_amounts) == 40
        assert one.hypotheses.templates.axis == FULL_AXIS
        assert torch.equal(one.hypotheses.templates.centres, templates(40, number).centres)


def test_disturbed_examples_have_other_frequencies_resolutions_and_fewer_compounds():
    disturbed = replace(TINY, disturbed=1.0)
    made = [training_example(disturbed, k)[1] for k in range(40)]
    used = [one.hypotheses.templates for one in made]
    assert len({t.axis.mhz for t in used}) > 4
    assert min(int(one.truth.log_amounts.isfinite().sum()) for one in made) < 5
    assert all(t.tolerance >= TOLERANCE for t in used)


def test_libraries_are_the_same_each_time_and_differ_from_one_another():
    first = library(40, 0)
    library.cache_clear()
    assert np.array_equal(library(40, 0).ppm, first.ppm)
    assert not np.array_equal(library(40, 1).ppm, first.ppm)


def test_some_compounds_that_a_library_does_not_hold_are_relatives_of_those_that_it_holds():
    held, others = peak_examples.libraries(200, 0)
    assert (held.n_compounds, others.n_compounds) == (200, peak_examples.N_UNKNOWN)
    assert not set(held.names) & set(others.names)

    def relatives(a, b):
        """Return how many of the second's compounds have two multiplets of one of the first."""
        of_one = Counter()
        for m, kind in enumerate(b.kinds):
            alike = np.array([kind == other for other in a.kinds])
            alike &= (np.abs(a.ppm - b.ppm[m]) < 0.05) & (a.protons == b.protons[m])
            of_one.update((b.compound[m], k) for k in set(a.compound[alike]))
        return len({k for (k, _), count in of_one.items() if count > 1})

    unrelated = peak_examples.libraries(200, 3)[1]
    assert relatives(held, others) > relatives(held, unrelated) + 10


def test_an_uncertain_library_is_the_same_but_for_what_is_not_known_of_its_places():
    held, uncertain = library(40, 0), library(40, 0, True)
    assert np.array_equal(held.ppm, uncertain.ppm)
    assert not held.deviations.any()
    low, high = peak_examples.DEVIATIONS
    some = uncertain.deviations[uncertain.deviations > 0]
    assert ((low <= some) & (some <= high)).all()
    assert 0.3 < len(some) / held.n_multiplets < 0.7


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("start", [0, 2])
def test_processes_divide_each_batch(world, start):
    parts = [peak_examples._ExampleDataset(TINY, start, rank, world) for rank in range(world)]
    share = TINY.batch // world
    assert {len(part) for part in parts} == {share * (TINY.steps - start)}
    for step in range(TINY.steps - start):
        taken = [k for part in parts for k in part.indices[step * share : (step + 1) * share]]
        assert sorted(taken) == list(range((start + step) * 4, (start + step + 1) * 4))


@pytest.mark.parametrize("workers", [0, 1])
def test_the_stream_gives_the_examples_in_order(workers, monkeypatch):
    # A worker imports what the main module is, and Streamlit's page tests leave the app's entry
    # page there.
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    config = replace(TINY, steps=2)
    stream = list(training_examples(config, 1, rank=1, world=2, workers=workers))
    assert len(stream) == 2
    for made, index in zip(stream, (5, 7), strict=True):
        number, expected = training_example(config, index)
        assert same(made, expected)
        used = made.hypotheses.templates
        is_uncertain = bool(used.deviations.any())
        assert used is templates(40, number, used.axis.mhz, used.tolerance, is_uncertain)
        assert used.axis == expected.hypotheses.templates.axis


def test_unknown_compounds_never_come_from_the_library_of_the_mixture(monkeypatch):
    # With one library alone, the next one is the same: what is unknown would be there, and labelled
    # absent.
    drawn, draw = [], peak_examples.draw_mixture

    def watched(compounds, recipe, rng, axis, unknown):
        drawn.append((recipe.n_unknown, unknown is compounds))
        return draw(compounds, recipe, rng, axis, unknown)

    monkeypatch.setattr(peak_examples, "draw_mixture", watched)
    for index in range(12):
        training_example(replace(TINY, libraries=1), index)
    assert not any(n and own for n, own in drawn)


def test_every_example_of_a_tiny_library_can_be_drawn():
    config = replace(TINY, compounds=5, n_low=2, n_high=5)
    assert len([training_example(config, index) for index in range(25)]) == 25


def test_the_largest_library_of_a_training_can_be_drawn_with_its_unknown_compounds():
    most = bounds(PeakTrainConfig, "compounds").high
    assert most + peak_examples.N_UNKNOWN == bounds(SyntheticConfig, "n_compounds").high


def test_the_examples_are_those_of_their_version():
    # If this fails because examples have changed, raise EXAMPLES_VERSION and state the new ones.
    made = [training_example(TINY, index) for index in (0, 1, 2, 11)]
    hypotheses = [one.hypotheses for _, one in made]
    assert peak_examples.EXAMPLES_VERSION == 2
    assert [number for number, _ in made] == [1, 1, 0, 1]
    assert [h.templates.axis.mhz for h in hypotheses] == [600, 400, 200, 60]
    areas = [float(h.areas.sum()) for h in hypotheses]
    assert areas == pytest.approx([197.85, 816.76, 571.91, 9897.09], rel=1e-4)
    occupied = [float(h.occupied) for h in hypotheses]
    assert occupied == pytest.approx([0.0481, 0.07187, 0.05703, 0.88134], rel=1e-3)
    votes = [float(h.votes.clamp(min=-60).sum()) for h in hypotheses]
    assert votes == pytest.approx([-5366.8, -5961.1, -5877.7, -5850.8], rel=1e-3)
    shifts = [float(one.truth.shifts.nansum()) for _, one in made]
    assert shifts == pytest.approx([-0.2886, 0.02713, 0.10705, -0.01228], rel=1e-3)
