from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli
from torch.nn import functional as F

from nmrclassify.mixtures.dataset import Augmentation
from nmrclassify.mixtures.grid import MixtureConfig, mix, unknown_compounds, with_unknown
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.conv_tasnet import Intermediates, NetworkConfig, SeparatorOutput
from nmrclassify.networks.losses import (
    ideal_ratio_masks,
    mask_costs,
    mask_losses,
    match,
    pairwise_costs,
)
from nmrclassify.networks.queries import Queries, QueryOutput
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.networks.slots import Slots
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import model_for


def example(seed=0):
    torch.manual_seed(seed)
    logits, multiplets = torch.randn(5, 3, 10), torch.rand(5, 3, 6, 21)
    return logits, multiplets, torch.randint(10, (5, 3)), torch.rand(5, 3, 6, 21)


def mask_example(seed=1, n_filters=8):
    """Masks (B, M, L, N), ideal ratio masks of random encodings, and the mixtures' encodings.

    A third of the cells has no source, and another third has one alone.
    """
    torch.manual_seed(seed)
    encoded = torch.rand(5, 3, 21, n_filters)
    encoded[:, :, :7] = 0
    encoded[:, 1:, 7:14] = 0
    return torch.rand(5, 3, 21, n_filters), ideal_ratio_masks(encoded), encoded.sum(1)


def test_costs_equal_their_definitions():
    logits, multiplets, labels, sources = example()
    costs = pairwise_costs(logits, multiplets, labels, sources)
    for b, i, j in [(0, 0, 0), (2, 1, 2), (4, 2, 0)]:
        assert torch.isclose(
            costs.classification[b, i, j], F.cross_entropy(logits[b, i][None], labels[b, j][None])
        )
        error = ((multiplets[b, i] - sources[b, j]) ** 2).sum() / (sources[b, j] ** 2).sum()
        assert torch.isclose(costs.reconstruction[b, i, j], error)


def test_the_loss_does_not_depend_on_the_order_of_sources_or_outputs():
    logits, multiplets, labels, sources = example()
    masks, ideal, strength = mask_example()
    order, other = [2, 0, 1], [1, 0, 2]
    straight = pairwise_costs(logits, multiplets, labels, sources)
    straight = straight._replace(masks=mask_costs(masks, ideal, strength))
    turned = pairwise_costs(
        logits[:, order], multiplets[:, order], labels[:, other], sources[:, other]
    )
    turned = turned._replace(masks=mask_costs(masks[:, order], ideal[:, other], strength))
    before, after = (costs.mean_along(match(costs, 1.0, 1.0)) for costs in (straight, turned))
    assert len(before) == 3
    for one, two in zip(before, after, strict=True):
        assert torch.isclose(one, two)


def test_the_classification_part_can_reach_zero():
    # A softmax before the cross entropy could not fall below 1.46 nats with 10 classes.
    _, _, labels, sources = example()
    logits = 50.0 * F.one_hot(labels, 10).float()
    costs = pairwise_costs(logits, sources, labels, sources)
    assignment = match(costs, 1.0)
    classification, reconstruction, _ = costs.mean_along(assignment)
    assert classification < 1e-6
    assert reconstruction == 0
    assert (assignment == torch.arange(3)).all()


def test_mask_losses_equal_a_weighted_cross_entropy_less_the_entropy_of_the_ideal():
    masks, ideal, strength = mask_example()
    cross = F.binary_cross_entropy(masks, ideal, reduction="none")
    weights = strength.sqrt().sqrt() * (strength > 0.01 * strength.amax((1, 2), keepdim=True))
    weights = (weights / weights.sum((1, 2), keepdim=True))[:, None]
    expected = ((cross - Bernoulli(ideal).entropy()) * weights).sum((2, 3))
    torch.testing.assert_close(mask_losses(masks, ideal, strength), expected)
    assert (expected > 0).all()


def test_the_ideal_mask_costs_nothing_and_any_other_more():
    masks, ideal, strength = mask_example()
    torch.testing.assert_close(
        mask_losses(ideal, ideal, strength), torch.zeros(5, 3), atol=1e-5, rtol=0
    )
    for share in (0.01, 0.1, 1.0):
        off = mask_losses(ideal + share * (masks - ideal), ideal, strength)
        assert (off > 1e-5).all()
    # Where no source has area, masks are free.
    free = torch.where(strength[:, None] > 0, ideal, masks)
    torch.testing.assert_close(
        mask_losses(free, ideal, strength), torch.zeros(5, 3), atol=1e-5, rtol=0
    )


def test_mask_costs_are_the_losses_of_all_pairs():
    masks, ideal, strength = mask_example()
    costs = mask_costs(masks, ideal, strength)
    assert costs.shape == (5, 3, 3)
    for i in range(3):
        for j in range(3):
            expected = mask_losses(masks[:, i : i + 1], ideal[:, j : j + 1], strength)
            torch.testing.assert_close(costs[:, i, j], expected[:, 0], atol=1e-5, rtol=1e-4)
    turned = mask_costs(ideal[:, [1, 2, 0]], ideal, strength)
    equal = pairwise_costs(*example())
    equal = equal._replace(classification=0 * turned, reconstruction=0 * turned, masks=turned)
    assert match(equal, 1.0, 1.0).tolist() == [[1, 2, 0]] * 5


@pytest.mark.parametrize("least", [0.0, 1.0])
def test_saturated_masks_cost_a_finite_amount_with_a_gradient(least):
    masks, ideal, strength = mask_example()
    hard = (masks > least).float().requires_grad_()
    for cost in (mask_losses(hard, ideal, strength), mask_costs(hard, ideal, strength)):
        assert cost.isfinite().all()
        cost.sum().backward()
    assert hard.grad.isfinite().all()
    empty = mask_losses(masks, 0 * ideal, 0 * strength)
    assert torch.equal(empty, torch.zeros(5, 3))


@pytest.mark.parametrize("kind", [Slots, Queries])
def test_with_a_non_negative_encoder_ideal_masks_separate_exactly(kind):
    made = build("quick", 3).test_mixtures()
    sources, mixtures = torch.from_numpy(made.sources), torch.from_numpy(made.areas)

    def separated(signed):
        """Return ideal masks, mask x encoding of the mixture, and the encodings of the sources."""
        torch.manual_seed(0)
        model = kind(NetworkConfig(non_negative_encoder=not signed))
        with torch.no_grad():
            encoded = model.encode(sources.flatten(0, 1)).unflatten(0, sources.shape[:2])
            ideal = ideal_ratio_masks(encoded.abs())
            return ideal, ideal * model.encode(mixtures)[:, None], encoded

    ideal, parts, encoded = separated(signed=False)
    assert ideal.min() >= 0
    assert ideal.max() <= 1
    has_area = encoded.sum(1) > 0
    assert has_area.any()
    assert not has_area.all()
    torch.testing.assert_close(ideal.sum(1), has_area.float())
    torch.testing.assert_close(parts, encoded)
    ideal, parts, encoded = separated(signed=True)
    assert (parts - encoded).abs().max() > 0.1 * encoded.abs().max()
    # No mask within 0 and 1 does: some parts have the opposite sign of their sum, or are larger.
    ratio = encoded / encoded.sum(1, keepdim=True)
    assert (ratio < 0).any()
    assert (ratio > 1).any()


def test_an_empty_source_costs_a_finite_amount():
    logits, multiplets, labels, sources = example()
    assert pairwise_costs(logits, multiplets, labels, 0 * sources).reconstruction.isfinite().all()


class Oracle(Queries):
    """A queries model that returns the truth about its mixtures."""

    def __init__(self, mixtures, most=3, sure=60.0):
        torch.nn.Module.__init__(self)
        self.config = NetworkConfig(n_sources=most)
        unknown = np.zeros_like(mixtures.areas) if mixtures.unknown is None else mixtures.unknown
        counts = torch.from_numpy(mixtures.counts)
        present = torch.cat([counts > 0, torch.from_numpy(unknown.any((1, 2)))[:, None]], dim=1)
        times = F.one_hot(counts.clamp(1, most) - 1, most)
        amounts = torch.from_numpy(mixtures.by_compound(mixtures.concentrations))
        self.findings = QueryOutput(sure * (2.0 * present - 1), sure * times, amounts)
        sources = torch.from_numpy(mixtures.by_compound(mixtures.sources))
        self.multiplets = torch.cat([sources, torch.from_numpy(unknown)[:, None]], dim=1)

    def forward(self, areas):
        return self.findings, Intermediates(None, None, None, self.multiplets, None)


def troubled(n=32, empty=0, seed=0, **changes):
    """Mixtures of 1 to 3 compounds, the first `empty` of none; half with an unknown compound."""
    data = build("quick", 3, MixtureConfig(repetition=True, number_varies=True, **changes))
    rng = np.random.default_rng(seed)
    labels = data.train[rng.integers(len(data.train), size=n)]
    labels[:empty] = 10
    made = mix(data.library, labels, data.config, rng)
    unknown = with_unknown(
        made, unknown_compounds(data.library, n, rng), (np.arange(n) % 2).astype(float)
    )
    return data, made, unknown


def test_a_perfect_prediction_of_queries_costs_nothing():
    _, made, unknown = troubled(concentration_low=0.5, concentration_high=2.0)
    for mixtures in (made, unknown):
        found = Oracle(mixtures).objective(mixtures, 1.0)
        assert found.classification < 1e-6
        assert found.reconstruction < 1e-9
        assert found.right == 1


def test_each_mistake_of_queries_costs_what_was_stated():
    _, mixtures, _ = troubled(n=1)
    held = int(mixtures.counts[0].argmax())
    least = Oracle(mixtures).objective(mixtures, 1.0).classification
    for place in (
        held,
        10,
    ):  # a compound that is there is missed, an unknown that is not there is seen
        wrong = Oracle(mixtures)
        wrong.findings.presence[0, place] *= -1
        assert wrong.objective(mixtures, 1.0).classification - least == pytest.approx(
            60.0, rel=1e-5
        )
    other = Oracle(mixtures)
    other.findings.counts[0, held] = other.findings.counts[0, held].roll(1)
    assert other.objective(mixtures, 1.0).classification - least == pytest.approx(60.0, rel=1e-5)


def test_queries_costs_equal_their_definitions():
    data, _, mixtures = troubled(n=12)
    model = model_for(data, 3, "queries")
    findings, inside = model(torch.from_numpy(mixtures.areas))
    found = model.objective(mixtures, 1.0)
    nats, errors, energies, amounts = [], [], [], []
    for b, labels in enumerate(mixtures.labels):
        held = [int((labels == k).sum()) for k in range(10)]
        foreign = bool(mixtures.unknown[b].any())
        total = 0.0
        for k, there in enumerate([*(n > 0 for n in held), foreign]):
            total -= F.logsigmoid(findings.presence[b, k] * (1 if there else -1)).item()
        for k, n in enumerate(held):
            if n:
                total += F.cross_entropy(findings.counts[b, k][None], torch.tensor([n - 1])).item()
        nats.append(total)
        error = energy = 0.0
        for k in range(11):
            portions = mixtures.sources[b][labels == k] if k < 10 else mixtures.unknown[b][None]
            source = portions.sum(axis=0)
            error += float(((inside.multiplets[b, k].detach().numpy() - source) ** 2).sum())
            energy += float((source**2).sum())
        errors.append(error)
        energies.append(energy)
        off = (findings.amounts[b].detach().numpy() - np.array(held)) ** 2
        amounts.append(off.sum() / max((np.array(held) ** 2).sum(), 1))
    assert found.classification.item() == pytest.approx(np.mean(nats), rel=1e-4)
    expected = np.mean(np.array(errors) / np.maximum(energies, 0.1 * np.mean(energies))) + np.mean(
        amounts
    )
    assert found.reconstruction.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_loss_of_queries_and_slots_does_not_depend_on_the_order_of_sources(kind):
    data, made, _ = troubled()
    model = model_for(data, 3, kind)
    order = [2, 0, 1]
    turned = replace(
        made,
        sources=made.sources[:, order],
        labels=made.labels[:, order],
        concentrations=made.concentrations[:, order],
    )
    for a, b in zip(model.objective(made, 1.0), model.objective(turned, 1.0), strict=False):
        assert torch.isclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("kind", NETWORKS)
@pytest.mark.parametrize(("empty", "noise"), [(8, 0.1), (8, 0.0), (32, 0.1), (32, 0.0)])
def test_empty_mixtures_and_unknowns_cost_a_finite_amount(kind, empty, noise):
    data, made, unknown = troubled(empty=empty, noise=noise)
    for mixtures in (made, unknown) if kind == "queries" else (made,):
        model = model_for(data, 3, kind)
        found = model.objective(mixtures, 1.0, 1.0)
        found.total(1.0, 1.0).backward()
        assert all(part.isfinite() for part in found)
        assert found.reconstruction < 1e4  # none drowns the others
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_no_compound_predicted_for_an_empty_mixture_is_right():
    _, made, _ = troubled(empty=8)
    assert Oracle(made).objective(made, 1.0).right == 1


def test_one_empty_mixture_as_a_whole_batch_costs_a_finite_amount():
    data, made, _ = troubled(n=1, empty=1, noise=0.1)
    model = model_for(data, 3, "queries")
    found = model.objective(made, 1.0, 1.0)
    found.total(1.0, 1.0).backward()
    assert found.masks == 0
    assert all(part.isfinite() for part in found)
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_absent_sources_are_matched_with_empty_outputs():
    _, made, _ = troubled(n=8)
    logits = 50.0 * F.one_hot(torch.from_numpy(made.labels), 11).float()

    class Matched(Slots):
        def __init__(self):
            torch.nn.Module.__init__(self)

        def forward(self, areas):
            multiplets = torch.from_numpy(made.sources)[:, [1, 2, 0]]
            return logits[:, [1, 2, 0]], Intermediates(None, None, None, multiplets, None)

    found = Matched().objective(made, 1.0)
    assert found.classification < 1e-6
    assert found.reconstruction == 0
    assert found.right == 1


class Separating(Slots):
    """Slots that return set logits and multiplets, and masks (B, M, L, N)."""

    def __init__(self, logits, multiplets, masks, encoder):
        torch.nn.Module.__init__(self)
        self.config, self.encoder = NetworkConfig(), encoder
        self.returned = logits, multiplets, masks

    def forward(self, areas):
        logits, multiplets, masks = self.returned
        encoding = self.encode(areas)
        inner = SeparatorOutput(encoding, [], [], encoding, encoding, masks)
        return logits, Intermediates(encoding, masks.mT, encoding, multiplets, inner)


def encodings(encoder, sources):
    """Encode sources (B, C, P, L) by a convolution, (B, C, L, N)."""
    kernel = encoder.weight.unflatten(1, (-1, 3))  # (N, P, 3)
    encoded = F.conv1d(torch.as_tensor(sources).flatten(0, 1), kernel, padding=1)
    return encoded.mT.unflatten(0, sources.shape[:2]).detach()


def test_an_unknown_that_replaces_a_compound_is_a_source_without_a_class(quick):
    augmentation = Augmentation(quick.config, unknown_replaces=1.0)
    made = quick.training_batch(0, 8, augmentation)
    labels = torch.from_numpy(made.labels)
    assert (labels[:, 2] == 10).all()
    sources = torch.from_numpy(made.sources).clone()
    sources[:, 2] = torch.from_numpy(made.unknown)
    encoder = Slots(NetworkConfig()).encoder
    encoded = encodings(encoder, sources)
    ideal = encoded / encoded.sum(1, keepdim=True).clamp_min(1e-9)
    order = [2, 0, 1]  # output 1 separates the unknown
    logits = 50.0 * F.one_hot(labels.clamp(max=9), 10).float()
    for name in range(10):  # whatever that output predicts, it costs nothing
        logits[:, 2] = 50.0 * F.one_hot(torch.tensor(name), 10).float()
        model = Separating(logits[:, order], sources[:, order], ideal[:, order], encoder)
        found = model.objective(made, 1.0, 1.0)
        assert found.classification < 1e-6
        assert found.reconstruction < 1e-6
        assert abs(found.masks) < 1e-5
        assert found.right == 1
    # Without its multiplets and its mask, that output costs.
    model = Separating(logits[:, order], 0 * sources[:, order], 0 * ideal[:, order], encoder)
    found = model.objective(made, 1.0, 1.0)
    assert found.reconstruction == pytest.approx(1.0)
    assert found.masks > 0.1


def test_an_unknown_on_top_is_in_no_ideal_mask(quick):
    made = quick.training_batch(0, 8, Augmentation(quick.config, unknown=1.0))
    assert made.has_unknown.all()
    labels, sources = torch.from_numpy(made.labels), torch.from_numpy(made.sources)
    encoder = Slots(NetworkConfig()).encoder
    unknown = encodings(encoder, made.unknown[:, None])
    parts = encodings(encoder, sources)
    total = parts.sum(1, keepdim=True) + unknown
    ideal = parts / total.clamp_min(1e-9)
    assert ((unknown > 0) & (ideal.sum(1, keepdim=True) < 0.9)).any()
    logits = 50.0 * F.one_hot(labels, 10).float()
    found = Separating(logits, sources, ideal, encoder).objective(made, 1.0, 1.0)
    assert abs(found.masks) < 1e-5
    assert found.right == 1
    greedy = ideal.clone()
    greedy[:, :1] += unknown / total.clamp_min(1e-9)
    assert Separating(logits, sources, greedy, encoder).objective(made, 1.0, 1.0).masks > 0.01
    scores, _, _ = Separating(logits, sources, ideal, encoder).score(made, 1.0)
    assert scores.mask_distance == pytest.approx(0, abs=1e-5)


def test_a_part_without_a_weight_is_not_in_the_loss(quick):
    for kind in NETWORKS:
        found = model_for(quick, 3, kind).objective(quick.training_batch(0, 8), 1.0)
        assert found.masks == 0
        found = model_for(quick, 3, kind).objective(quick.training_batch(0, 8), 1.0, 2.0)
        assert found.masks > 0
        total = found.classification + 3 * found.reconstruction + 2 * found.masks
        torch.testing.assert_close(found.total(3.0, 2.0), total)


def test_more_portions_than_counted_cost_a_finite_amount():
    # Dynamic mixing may give a fourth portion where three are told apart.
    data = build("quick", 3, MixtureConfig(repetition=True))
    made = mix(data.library, np.full((2, 4), 5), data.config, np.random.default_rng(0))
    assert model_for(data, 3, "queries").objective(made, 1.0).classification.isfinite()


def test_counts_are_predicted_where_presence_is_above_one_half():
    presence = torch.tensor([[1.0, -1.0, 0.1, -0.1, 9.0]])
    counts = torch.tensor([[[0.0, 5.0, 1.0], [0.0, 5.0, 1.0], [3.0, 1.0, 0.0], [9.0, 0.0, 0.0]]])
    assert QueryOutput(presence, counts, torch.zeros(1, 4)).likeliest_counts.tolist() == [
        [2, 0, 1, 0]
    ]


def test_a_step_of_either_objective_makes_it_smaller(quick):
    for kind in NETWORKS:
        model = model_for(quick, 1, kind)
        batch = quick.training_batch(
            0, 64, recipe("modern").augmented(quick, any_number=kind == "queries")
        )
        optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
        before = model.objective(batch, 1.0)
        (before.classification + before.reconstruction).backward()
        optimiser.step()
        after = model.objective(batch, 1.0)
        assert (
            after.classification + after.reconstruction
            < before.classification + before.reconstruction
        ), kind
