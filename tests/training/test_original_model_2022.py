from itertools import permutations
from math import e, log

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from nmrclassify.bench import original
from nmrclassify.lessons.short_training import short
from nmrclassify.mixtures.grid import MixtureConfig, generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.losses import match, pairwise_costs
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    REPORTED,
    Faults,
    assigned_costs,
    most_frequent_shares,
    printed,
    refilled,
    reshaped,
    reshaped_mixtures,
    shuffled_compounds,
    train,
)
from nmrclassify.training.trainer import Trainer


def outputs(seed=0, batch=5, n=3, k=10):
    draw = torch.Generator().manual_seed(seed)
    shapes = (batch, n, k), (batch, n, 6, 21), (batch, n, 6, 21)
    logits, multiplets, sources = (torch.randn(shape, generator=draw) for shape in shapes)
    return logits, multiplets, torch.randint(k, (batch, n), generator=draw), sources


def test_refilling_reads_line_by_line():
    areas = np.arange(2 * 6 * 21.0).reshape(2, 6, 21)
    for before, after in zip(areas, refilled(areas), strict=False):
        measured = [before[peak, position] for position in range(21) for peak in range(6)]
        assert [after[row, column] for row in range(6) for column in range(21)] == measured
    assert not np.array_equal(areas, refilled(areas))


def test_mixing_a_reshaped_library_is_reshaping_the_mixtures(quick):
    rows = quick.test[:4]
    libraries = reshaped(quick.library), quick.library
    one, other = (mix(library, rows, quick.config, generator(3, "view")) for library in libraries)
    again = reshaped_mixtures(other)
    assert np.allclose(one.areas, again.areas, atol=1e-6)
    assert np.allclose(one.sources, again.sources, atol=1e-6)


def test_a_list_in_another_order_is_the_same_mixture(quick):
    config = MixtureConfig(concentration_low=0.5, concentration_high=2.0)
    rows = mix(quick.library, quick.test[:20], config, generator(3, "view"))
    listed = shuffled_compounds(rows, generator(3, "order"))
    assert np.array_equal(listed.areas, rows.areas)
    assert np.array_equal(listed.counts, rows.counts)
    assert np.array_equal(listed.by_compound(listed.sources), rows.by_compound(rows.sources))
    assert np.array_equal(
        listed.by_compound(listed.concentrations), rows.by_compound(rows.concentrations)
    )
    orders = {tuple(np.argsort(labels)) for labels in listed.labels}
    assert len(orders) == 6  # of three compounds, each order comes up


def test_without_faults_the_costs_are_those_of_training():
    given = outputs()
    along = assigned_costs(*given, 0.7)
    costs = pairwise_costs(*given)
    classification, reconstruction, _ = costs.mean_along(match(costs, 0.7))
    assert along.classification.mean() == pytest.approx(classification.item())
    assert along.reconstruction.mean() == pytest.approx(reconstruction.item())
    # By trying every pairing.
    total = costs.total(0.7)
    least = torch.stack(
        [total[:, range(3), list(order)].sum(1) for order in permutations(range(3))]
    ).amin(0)
    assert torch.allclose(along.total(0.7).sum(1), least)


def test_unmatched_compares_output_i_with_the_ith_listed():
    logits, multiplets, labels, sources = outputs()
    along = assigned_costs(logits, multiplets, labels, sources, unmatched=True)
    assert torch.allclose(
        along.classification, F.cross_entropy(logits.transpose(1, 2), labels, reduction="none")
    )


def test_softmaxed_is_a_cross_entropy_of_probabilities_and_has_a_floor():
    logits, multiplets, labels, sources = outputs()
    along = assigned_costs(30 * logits, multiplets, labels, sources, softmaxed=True, unmatched=True)
    twice = F.cross_entropy((30 * logits).softmax(-1).transpose(1, 2), labels, reduction="none")
    assert torch.allclose(along.classification, twice)
    sure = torch.full((1, 1, 10), -50.0).index_fill(2, labels[:1, :1].flatten(), 50.0)
    least = assigned_costs(
        sure, multiplets[:1, :1], labels[:1, :1], sources[:1, :1], softmaxed=True
    ).classification.item()
    assert least == pytest.approx(log(e + 9) - 1, abs=1e-5)
    assert (along.classification > log(e + 9) - 1 - 1e-5).all()


def test_switches_can_differ_from_row_to_row():
    given = outputs(batch=4)
    softmaxed, unmatched = [False, True, False, True], [False, False, True, True]
    weight = torch.tensor([1.0, 0.0, 0.5, 2.0])[:, None, None]
    together = assigned_costs(
        *given, weight, torch.tensor(softmaxed)[:, None, None], np.array(unmatched)
    )
    for i in range(4):
        alone = assigned_costs(
            *(part[i : i + 1] for part in given), weight[i].item(), softmaxed[i], unmatched[i]
        )
        for one, other in zip(together, alone, strict=False):
            assert torch.equal(one[i], other[0])


def test_without_faults_training_is_the_packages_own(quick):
    config = short(steps=6, mask_weight=0.0, unknown_replaces=0.0)
    model, history = train(quick, config, NO_FAULTS, quick.seed, every=3)
    trainer = Trainer(quick, config)
    while not trainer.finished:
        trainer.advance()
    for (name, one), other in zip(
        model.named_parameters(), trainer.model.parameters(), strict=False
    ):
        assert torch.allclose(one, other, atol=1e-5), name
    assert [row["step"] for row in history] == [3, 6]
    assert all(0 <= row["right"] <= 1 and row["gradient"] > 0 for row in history)


@pytest.mark.parametrize("fault", Faults._fields)
def test_each_fault_changes_training_and_one_seed_gives_one_result(quick, fault):
    config, faults = short(steps=3, batch_size=4), NO_FAULTS._replace(**{fault: True})
    results = [train(quick, config, one, 3, every=1) for one in (NO_FAULTS, faults, faults)]
    weights = [
        torch.cat([p.detach().flatten() for p in model.parameters()]) for model, _ in results
    ]
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])
    assert results[1][1] == results[2][1]


def test_training_reports_each_step_and_can_be_stopped(quick):
    taken = []
    train(quick, short(steps=3, batch_size=2), NO_FAULTS, 3, taken.append)
    assert taken == [0, 1, 2, 3]

    def stop(step):
        if step == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(quick, short(steps=50, batch_size=2), NO_FAULTS, 3, stop)


def test_the_printed_figure_can_pass_one():
    assert printed(np.array([0.2, 0.4]), 3) == pytest.approx(0.9)
    assert printed(np.ones(7), 3) == 3
    assert original.REPORTED is REPORTED
    assert max(REPORTED.values()) < 1


def test_naming_the_commonest_against_counting_by_hand():
    data = build("original", 1)
    often = [(data.train == k).sum() for k in range(10)]
    named = set(sorted(range(10), key=lambda k: -often[k])[:3])
    right = [len(named & set(row)) for row in data.test.tolist()]
    exact, compounds = most_frequent_shares(data, data.test)
    assert compounds == pytest.approx(sum(right) / (3 * len(right)))
    assert exact == pytest.approx(np.mean([n == 3 for n in right]))


def test_the_measurement_of_2022_still_agrees_with_the_packages_training():
    found = original.check(1)
    assert found["largest_difference_from_trainer"] < 1e-4
