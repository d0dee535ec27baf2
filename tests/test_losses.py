import torch
from torch.nn import functional as F

from nmrclassify.losses import match_and_reduce, pairwise_costs


def example(seed=0):
    torch.manual_seed(seed)
    logits, multiplets = torch.randn(5, 3, 10), torch.rand(5, 3, 6, 21)
    return logits, multiplets, torch.randint(10, (5, 3)), torch.rand(5, 3, 6, 21)


def test_costs_equal_their_definitions():
    logits, multiplets, labels, sources = example()
    costs = pairwise_costs(logits, multiplets, labels, sources)
    for b, i, j in [(0, 0, 0), (2, 1, 2), (4, 2, 0)]:
        assert torch.isclose(costs.classification[b, i, j], F.cross_entropy(logits[b, i][None], labels[b, j][None]))
        error = ((multiplets[b, i] - sources[b, j]) ** 2).sum() / (sources[b, j] ** 2).sum()
        assert torch.isclose(costs.reconstruction[b, i, j], error)


def test_the_loss_does_not_depend_on_the_order_of_sources_or_outputs():
    logits, multiplets, labels, sources = example()
    before = match_and_reduce(pairwise_costs(logits, multiplets, labels, sources), 1.0)
    order = [2, 0, 1]
    after = match_and_reduce(pairwise_costs(logits[:, order], multiplets[:, order], labels[:, [1, 0, 2]], sources[:, [1, 0, 2]]), 1.0)
    assert torch.isclose(before[0], after[0]) and torch.isclose(before[1], after[1])


def test_the_classification_part_can_reach_zero():
    # A softmax before the cross entropy could not fall below 1.46 nats with 10 classes.
    _, _, labels, sources = example()
    logits = 50.0 * F.one_hot(labels, 10).float()
    classification, reconstruction, assignment = match_and_reduce(pairwise_costs(logits, sources, labels, sources), 1.0)
    assert classification < 1e-6 and reconstruction == 0
    assert (assignment == torch.arange(3)).all()


def test_a_silent_source_costs_a_finite_amount():
    logits, multiplets, labels, sources = example()
    assert pairwise_costs(logits, multiplets, labels, 0 * sources).reconstruction.isfinite().all()
