from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.peak_losses import (
    CLOSE_AMOUNT,
    FEWEST,
    close_place,
    objective,
    peak_truth,
    true_shares,
)
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.networks.templates import Templates
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

SMALL = PeakNetworkConfig(lines=4, places=6, hypotheses=8, judged=64, kept=32)
WHOLE = replace(
    SMALL, judged=1024, kept=1024
)  # more than there are: an untrained network leaves nothing out


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=20), rng())


@pytest.fixture(scope="module")
def example(library):
    """A mixture, its hypotheses, and its truth."""
    made = draw_mixture(
        library,
        PeakMixtureConfig(n_low=6, n_high=6, jitter=0.004, n_unknown=2),
        rng(1),
        unknown=library,
    )
    hypotheses = find_hypotheses(Templates.of(library), made.peaks)
    return made, hypotheses, peak_truth(made, hypotheses)


@pytest.fixture(scope="module")
def output(example):
    torch.manual_seed(0)
    with torch.no_grad():
        return PeakNetwork(WHOLE)(example[1])


def perfect_output(output, hypotheses, truth, logit=20.0):
    """The same output with the true amounts, places and masks, and logits of the truth."""
    present = truth.log_amounts.isfinite()

    def logits(log_amount, compound):
        off = (log_amount - truth.log_amounts[compound]).abs()
        best = torch.full(present.shape, float("inf")).scatter_reduce(
            0, compound, off.nan_to_num(1e9), "amin"
        )
        return torch.where(present[compound] & (off == best[compound]), logit, -logit)

    flat = torch.arange(len(present)).repeat_interleave(hypotheses.log_amounts.shape[1])
    screening = logits(hypotheses.log_amounts.flatten(), flat).view_as(output.screening)
    rounds = []
    for candidates, state in zip(output.round_candidates, output.rounds, strict=True):
        right = (candidates.shift - truth.shifts[candidates.multiplet, None]).abs() < close_place(
            hypotheses
        )
        true = truth.log_amounts[candidates.compound]
        rounds.append(
            state
            | {
                "logit": logits(candidates.log_amount, candidates.compound),
                "log_amount": torch.where(true.isfinite(), true, candidates.log_amount),
                "score": torch.where(right, logit, -logit),
            }
        )
    masks = torch.logit(true_shares(truth, hypotheses, output).double(), eps=1e-9).float()
    return replace(output, screening=screening, rounds=rounds, masks=masks)


def test_a_perfect_output_has_a_loss_near_zero(output, example):
    _, hypotheses, truth = example
    _, before = objective(output, hypotheses, truth)
    total, after = objective(perfect_output(output, hypotheses, truth), hypotheses, truth)
    assert set(after) == {
        "first",
        *(
            f"{name} {k + 1}"
            for name in ("presence", "amount", "places")
            for k in range(len(output.rounds))
        ),
        "masks",
    }
    assert float(total) == pytest.approx(sum(after.values()), rel=1e-5)
    for name, value in after.items():
        if name.split()[0] in ("first", "presence", "amount", "places"):
            assert value < 1e-3, name
        assert value < before[name]
    # What is left of a cross entropy with a share is the share's own entropy.
    assert after["masks"] < 0.35


def test_sure_predictions_that_are_wrong_cost_much(output, example):
    _, hypotheses, truth = example
    _, right = objective(perfect_output(output, hypotheses, truth), hypotheses, truth)
    _, wrong = objective(perfect_output(output, hypotheses, truth, logit=-20.0), hypotheses, truth)
    for name in ("first", "presence 1", "presence 2", "presence 3"):
        assert wrong[name] > 10 + right[name]
        assert np.isfinite(wrong[name])


def test_the_truth_is_laid_out_beside_the_library(library, example):
    made, hypotheses, truth = example
    present = truth.log_amounts.isfinite().nonzero()[:, 0]
    assert present.tolist() == made.present.tolist()
    assert truth.log_amounts[present].exp().numpy() * hypotheses.unit == pytest.approx(
        made.amounts, rel=1e-5
    )
    owned = truth.shifts.isfinite().numpy()
    assert np.array_equal(owned, np.isin(library.compound, made.present))
    assert truth.shifts[made.multiplets].numpy() == pytest.approx(made.shifts, abs=1e-7)
    assert float(truth.totals[-1]) == pytest.approx(made.totals.sum())
    assert float(truth.sums[-1]) == pytest.approx(made.parts[2].sum())
    assert (truth.keys.diff() >= 0).all()


def test_true_shares_are_those_of_a_loop_over_peaks(output, example):
    made, hypotheses, truth = example
    candidates, reach = output.candidates, hypotheses.templates.reach
    found = true_shares(truth, hypotheses, output).numpy()
    row, peak, area = made.parts
    lines = rng().choice(len(found), 250, replace=False)
    for v in lines:
        multiplet, position = (
            int(candidates.multiplet[candidates.place[v] // candidates.n_places]),
            int(candidates.position[v]),
        )
        own = sum(
            a
            for r, p, a in zip(row, peak, area, strict=True)
            if made.multiplets[r] == multiplet and abs(made.peaks.positions[p] - position) <= reach
        )
        total = made.totals[np.abs(made.peaks.positions - position) <= reach].sum()
        assert found[v] == pytest.approx(own / total if total else 0.0, abs=1e-5)
    assert found.min() >= 0
    assert found.max() <= 1
    assert (found[lines] > 0).any()


def test_a_compound_alone_has_the_whole_of_its_lines():
    library = Compounds(
        ("a", "b"),
        [0, 0, 1],
        [2.0, 5.0, 7.5],
        [3.0, 1.0, 1.0],
        ("d", "q", "s"),
        ((7.0,), (7.0,), ()),
    )
    made = draw_mixture(
        library.select([0]), PeakMixtureConfig(n_low=1, n_high=1, jitter=0.002), rng()
    )
    hypotheses = find_hypotheses(Templates.of(library), made.peaks)
    truth = peak_truth(made, hypotheses)
    output = PeakNetwork(WHOLE)(hypotheses)
    candidates = output.candidates
    at = (candidates.shift - truth.shifts[candidates.multiplet, None]).abs().flatten()[
        candidates.place
    ] < hypotheses.templates.step * hypotheses.templates.axis.width
    shares = true_shares(truth, hypotheses, output)
    assert at.any()
    assert shares[at].min() > 0.999
    assert (
        shares[
            candidates.compound[candidates.hypothesis[candidates.place // candidates.n_places]] == 1
        ]
        == 0
    ).all()


def test_a_present_compound_without_a_close_hypothesis_counts_as_found_by_any(output, example):
    _, hypotheses, truth = example
    made = perfect_output(output, hypotheses, truth)
    k = int(truth.log_amounts.isfinite().nonzero()[0, 0])
    far = replace(truth, log_amounts=truth.log_amounts.clone())
    far.log_amounts[k] = hypotheses.log_amounts[k].max() + 40 * CLOSE_AMOUNT
    assert objective(made, hypotheses, far)[1]["first"] < 1e-3
    # A sure hypothesis is wrong where another one is close to the truth.
    other = made.screening.clone()
    other[k] = torch.where(
        other[k] > 0,
        -20.0,
        torch.where((hypotheses.log_amounts[k] - truth.log_amounts[k]).abs() > 1, 20.0, -20.0),
    )
    assert (other[k] > 0).any()
    wrong = objective(replace(made, screening=other), hypotheses, truth)[1]["first"]
    assert wrong > 9 / FEWEST  # the logarithm of the least probability


def test_loss_and_gradients_are_finite_where_nothing_is_right(library, example):
    _, hypotheses, truth = example
    torch.manual_seed(1)
    net = PeakNetwork(SMALL)
    nothing = replace(
        truth,
        log_amounts=torch.full_like(truth.log_amounts, float("nan")),
        shifts=torch.full_like(truth.shifts, float("nan")),
    )
    loss, parts = objective(net(hypotheses), hypotheses, nothing)
    loss.backward()
    assert np.isfinite(list(parts.values())).all()
    assert parts["masks"] == parts["places 1"] == parts["amount 1"] == 0
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


def test_a_place_that_is_none_is_never_the_right_one(example, output):
    _, hypotheses, truth = example
    last = f"places {len(output.rounds)}"
    before = objective(output, hypotheses, truth)[1][last]
    c = output.candidates
    features = c.place_features.clone()
    features[:, 1:, 3] = 1.0  # only the first place of each multiplet is one
    changed = replace(c, place_features=features)
    score = output.rounds[-1]["score"] - 1e3 * features[..., 3]
    rounds = [*output.rounds[:-1], output.rounds[-1] | {"score": score}]
    fewer = replace(
        output,
        candidates=changed,
        rounds=rounds,
        round_candidates=[*output.round_candidates[:-1], changed],
    )
    assert objective(fewer, hypotheses, truth)[1][last] < before < 10


def test_thirty_steps_lower_the_loss(library):
    made = draw_mixture(library, PeakMixtureConfig(n_low=6, n_high=6, jitter=0.004), rng())
    hypotheses = find_hypotheses(Templates.of(library), made.peaks)
    truth = peak_truth(made, hypotheses)
    torch.manual_seed(0)
    net = PeakNetwork(SMALL)
    optimiser = torch.optim.Adam(net.parameters(), 0.01)
    losses = []
    for _ in range(30):
        loss, parts = objective(net(hypotheses), hypotheses, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append((parts["first"], parts["presence 3"], loss.item()))
    assert all(after < 0.6 * before for before, after in zip(losses[0], losses[-1], strict=True))
