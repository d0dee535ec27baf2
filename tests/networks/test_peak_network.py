from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.candidates import first_place_attention, gather_candidates, rows_of
from nmrclassify.networks.peak_losses import objective, peak_truth
from nmrclassify.networks.peak_network import (
    PeakNetwork,
    PeakNetworkConfig,
    _likeliest,
    _mean_shift,
    _pool,
    _spread,
    area_of_others,
    compete,
)
from nmrclassify.networks.templates import Templates
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

SMALL = PeakNetworkConfig(lines=4, places=6, hypotheses=8, judged=64, kept=24)
ALL_KEPT = replace(SMALL, judged=160, kept=160)  # with few kept, none may be right
WHOLE = replace(SMALL, judged=1024, kept=1024)  # more than there are: nothing is left out


def rng(seed=0):
    return np.random.default_rng(seed)


def network(config=SMALL, seed=0):
    torch.manual_seed(seed)
    return PeakNetwork(config)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=20), rng())


@pytest.fixture(scope="module")
def mixture(library):
    return draw_mixture(library, PeakMixtureConfig(n_low=6, n_high=6, jitter=0.004), rng(1))


@pytest.fixture(scope="module")
def hypotheses(library, mixture):
    return find_hypotheses(Templates.of(library), mixture.peaks)


def sizes(hypotheses):
    """Return how many hypotheses the first round and the last one have."""
    output = network(replace(SMALL, judged=50, kept=20))(hypotheses)
    return [len(output.round_candidates[k].compound) for k in (0, -1)]


def test_more_hypotheses_are_kept_where_more_fit_by_chance(library, mixture):
    few = find_hypotheses(Templates.of(library), mixture.peaks)
    crowded = Peaks.from_lines(np.arange(0.0, 10.0, 0.003), np.ones(3334))
    many = find_hypotheses(Templates.of(library), crowded)
    assert 0.01 < few.occupied < 0.3
    assert 0.6 < many.occupied <= 1
    assert sizes(few) == [50, 20]
    assert sizes(many) == [100, 60]


@pytest.mark.parametrize(
    ("occupied", "judged", "kept"),
    [
        (0.001, 50, 20),
        (0.4, 50, 20),
        (0.451, 75, 30),
        (0.499, 99, 39),
        (0.501, 100, 40),
        (0.551, 100, 50),
        (0.601, 100, 60),
        (1.0, 100, 60),
    ],
)
def test_the_number_of_hypotheses_grows_with_the_occupied_share_up_to_a_limit(
    hypotheses, occupied, judged, kept
):
    assert sizes(replace(hypotheses, occupied=torch.tensor(occupied))) == [judged, kept]


def uncertain(library):
    """Return a library every third multiplet of which has a place that is not well known."""
    deviations = np.where(np.arange(library.n_multiplets) % 3 == 0, 0.05, 0.0)
    return replace(library, deviations=deviations)


def test_shifts_count_relative_to_what_is_known_of_their_places(library, mixture):
    found = find_hypotheses(Templates.of(uncertain(library)), mixture.peaks, 0.004)
    net, seen = network(WHOLE), []
    net.rounds[0].places.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    candidates = net(found).round_candidates[0]
    deviations = uncertain(library).deviations[candidates.multiplet]
    assert (candidates.shift[deviations > 0].abs() > 0.05).any()
    for value, column in ((1, -3), (2, -2)):  # the shift, and .3 times its square
        expected = candidates.shift.numpy() / np.hypot(deviations, 0.004)[:, None]
        expected = (expected.clip(-4, 4) ** value) * (0.3 if value == 2 else 1.0)
        made = seen[0][:, column].view(candidates.shift.shape).detach().numpy()
        assert made == pytest.approx(expected, abs=1e-4)


def test_the_spread_is_that_of_multiplets_whose_places_are_known(library, mixture):
    found = find_hypotheses(Templates.of(library), mixture.peaks)
    candidates = gather_candidates(found, torch.arange(len(found.votes)) * 8, 1)
    deviations = uncertain(library).deviations[candidates.multiplet]
    draw = rng(2).standard_normal(len(deviations))
    shift = draw * np.hypot(deviations, 0.004)  # as the library states it, with a spread of .004
    candidates = replace(candidates, shift=torch.tensor(shift, dtype=torch.float32)[:, None])

    def spread(compounds, before, probability=0.9):
        return float(
            _spread(
                Templates.of(compounds),
                candidates,
                torch.full(candidates.compound.shape, probability),
                torch.ones_like(candidates.shift),
                torch.tensor(before),
            )
        )

    exact = 0.004 * np.sqrt((draw**2).mean())
    assert spread(uncertain(library), 0.004) == pytest.approx(exact, rel=1e-3)
    # If the library does not state it, all multiplets seem to move far.
    assert spread(library, 0.004) == pytest.approx(np.sqrt((shift**2).mean()), rel=1e-3)
    assert spread(library, 0.004) > 4 * exact
    # From a spread that is too high, it falls.
    assert exact < spread(uncertain(library), 0.012) < 0.012
    # No candidate is likely: the lowest spread.
    assert spread(uncertain(library), 0.004, 0.3) == pytest.approx(0.002)


def test_a_small_library_is_sought_in_an_axis_that_is_mostly_free():
    one = Compounds(("singlet",), [0], [2.5], [3], ("s",), ((),))
    for peak in (2.5, 2.5015):  # exact, and 1 Hz off
        found = find_hypotheses(Templates.of(one), Peaks.from_lines(np.array([peak]), np.ones(1)))
        assert 0.005 < found.occupied < 0.02
    ends = Compounds(("ends",), [0, 0], [-1.0, 11.9], [3, 3], ("s", "s"), ((), ()))
    found = find_hypotheses(Templates.of(ends), Peaks.from_lines(np.array([2.5]), np.ones(1)))
    assert 0 < found.occupied < 0.02


def test_a_place_that_is_not_well_known_hardly_moves_the_mean_shift(library, mixture):
    found = find_hypotheses(Templates.of(library), mixture.peaks, 0.01)
    chosen = torch.arange(0, library.n_compounds * 8, 8)  # the first hypothesis of each compound
    candidates = gather_candidates(found, chosen, 1)
    attention = first_place_attention(candidates)
    spread = torch.tensor(0.01)

    def mean_shift(deviations, shift):
        templates = Templates.of(replace(library, deviations=deviations))
        moved = replace(candidates, shift=shift)
        return _mean_shift(templates, moved, attention, spread)

    known, shift = np.zeros(library.n_multiplets), torch.zeros_like(candidates.shift)
    of_first = candidates.hypothesis == 0
    n = int(of_first.sum())
    shift[of_first] = 0.02
    assert mean_shift(known, shift)[0] == pytest.approx(0.02 * n / (n + 2), rel=1e-5)
    # The first multiplet is far off, and known to .1 ppm only: its weight is 1 / 101.
    badly = known.copy()
    badly[0] = 0.1
    shift[candidates.multiplet == 0] = 0.09
    weight = 1 / 101
    expected = (0.02 * (n - 1) + 0.09 * weight) / (n - 1 + weight + 2)
    assert mean_shift(badly, shift)[0] == pytest.approx(expected, rel=1e-4)
    assert torch.equal(mean_shift(badly, shift)[1:], torch.zeros(library.n_compounds - 1))


def test_answers_are_finite_and_of_the_stated_shapes(hypotheses, library):
    found = network()(hypotheses)
    k = library.n_compounds
    assert found.presence.shape == found.log_amounts.shape == found.best.shape == (k,)
    assert found.screening.shape == (k, 8)
    assert found.masks.shape == found.candidates.line.shape
    for value in (
        found.presence,
        found.log_amounts,
        found.screening,
        found.masks,
        *(v for state in found.rounds for v in state.values()),
    ):
        assert torch.isfinite(value).all()


@pytest.mark.parametrize(
    "config",
    [ALL_KEPT, replace(ALL_KEPT, rounds=1), PeakNetworkConfig()],
    ids=["small", "one round", "full size"],
)
def test_every_parameter_gets_a_gradient(hypotheses, mixture, config):
    net = network(config, seed=3)
    objective(net(hypotheses), hypotheses, peak_truth(mixture, hypotheses))[0].backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.any(), name


def test_the_network_is_small_and_its_size_does_not_depend_on_the_library(hypotheses):
    net = PeakNetwork()
    count = sum(value.numel() for value in net.parameters())
    c = net.config
    a, d, h = c.lines, c.places, c.hypotheses

    def mlp(*sizes):
        return sum((i + 1) * o for i, o in pairwise(sizes))

    first = mlp(6, d, d) + mlp(3 * d + 6, h, 1)
    one = (
        mlp(6, a, a)
        + mlp(a + 9, d, d)
        + mlp(d, 1)
        + mlp(d + 6, d, d)
        + mlp(3 * d + 8 + c.context, h, h)
        + mlp(h, 2)
    )
    masks = mlp(a, d) + d * d + h * d + mlp(d + 2, 1)
    assert count == first + c.rounds * one + masks
    assert count * 4 < 1e6
    names = dict(net.named_buffers())
    assert list(names) == ["temperature"]
    assert float(names["temperature"]) == 1


def test_permuting_the_library_permutes_the_answers(library, mixture, hypotheses):
    net, order = network(WHOLE), rng(5).permutation(library.n_compounds)
    one = net(hypotheses)
    other = net(find_hypotheses(Templates.of(library.select(order)), mixture.peaks))
    assert other.presence.detach().numpy() == pytest.approx(
        one.presence.detach().numpy()[order], abs=2e-3
    )
    assert other.screening.detach().numpy() == pytest.approx(
        one.screening.detach().numpy()[order], abs=2e-3
    )
    close = np.isclose(
        other.log_amounts.detach().numpy(), one.log_amounts.detach().numpy()[order], atol=2e-3
    )
    assert (
        close.mean() > 0.85
    )  # two hypotheses of an absent compound can be equally likely up to rounding


def test_the_order_of_multiplets_within_a_compound_does_not_matter(library, mixture, hypotheses):
    order = np.lexsort((-library.ppm, library.compound))
    turned = Compounds(
        library.names,
        library.compound[order],
        library.ppm[order],
        library.protons[order],
        tuple(library.kinds[k] for k in order),
        tuple(library.couplings[k] for k in order),
    )
    assert not np.array_equal(turned.ppm, library.ppm)
    one, other = (
        network(WHOLE)(e).presence.detach().numpy()
        for e in (hypotheses, find_hypotheses(Templates.of(turned), mixture.peaks))
    )
    assert other == pytest.approx(one, abs=2e-3)


def test_a_compound_that_is_added_to_the_library_gets_an_answer(library, mixture):
    part, added = library.select(range(12)), library.select([15])
    net = network(WHOLE)
    one, more = (
        net(find_hypotheses(Templates.of(compounds), mixture.peaks, 0.004))
        for compounds in (part, part.with_compounds(added))
    )
    assert one.presence.shape == (12,)
    assert more.presence.shape == (13,)
    assert torch.isfinite(more.presence).all()
    # The screening scores each compound by itself.
    assert torch.allclose(more.screening[:12], one.screening, atol=1e-4)


def test_competing_is_a_softmax_with_absence_as_one_more_choice():
    generator = torch.Generator().manual_seed(0)
    compound = torch.randint(0, 7, (40,), generator=generator)
    compound[compound == 4] = 5
    logit = 30 * torch.randn(40, generator=generator)
    probabilities, absent = compete(compound, logit, 7)
    for k in range(7):
        own = logit[compound == k]
        expected = torch.cat([own, torch.zeros(1)]).double().softmax(0)
        assert probabilities[compound == k].numpy() == pytest.approx(
            expected[:-1].numpy(), rel=1e-4, abs=1e-12
        )
        assert float(absent[k]) == pytest.approx(
            float(torch.cat([own, torch.zeros(1)]).double().log_softmax(0)[-1]), rel=1e-4, abs=1e-6
        )
    assert absent[4] == 0


def test_presence_is_the_log_odds_of_any_hypothesis(hypotheses, library):
    with torch.no_grad():
        found = network(WHOLE)(hypotheses)
    logit, compound = found.rounds[-1]["logit"].double(), found.candidates.compound
    for k in range(library.n_compounds):
        assert float(found.presence[k]) == pytest.approx(
            float(logit[compound == k].logsumexp(0)), abs=1e-3
        )
        best = int(found.best[k])
        assert compound[best] == k
        assert logit[best] == logit[compound == k].max()
        assert found.log_amounts[k] == found.rounds[-1]["log_amount"][best]


def test_a_compound_without_a_candidate_is_absent(hypotheses, library):
    found = network(replace(SMALL, judged=16, kept=16))(hypotheses)
    unseen = torch.ones(library.n_compounds, dtype=torch.bool)
    unseen[found.candidates.compound] = False
    assert unseen.any()
    assert not unseen.all()
    assert (found.presence[unseen] < -15).all()
    assert (found.presence[~unseen] > -15).all()
    assert torch.equal(found.best == -1, unseen)
    assert (found.log_amounts[unseen] == -30).all()


@pytest.mark.parametrize("rounds", [1, 2, 4])
def test_each_round_has_its_candidates(hypotheses, rounds):
    config = replace(SMALL, rounds=rounds)
    found = network(config)(hypotheses)
    assert len(found.rounds) == len(found.round_candidates) == rounds
    assert found.candidates is found.round_candidates[-1]
    assert [len(candidates.compound) for candidates in found.round_candidates] == [64] + [24] * (
        rounds - 1
    )
    assert [candidates.n_places for candidates in found.round_candidates] == [
        config.judged_places
    ] + [config.kept_places] * (rounds - 1)
    for candidates, state in zip(found.round_candidates, found.rounds, strict=True):
        assert state["logit"].shape == state["log_amount"].shape == candidates.log_amount.shape
        assert state["attention"].shape == state["score"].shape == candidates.shift.shape
        assert state["attention"].sum(1).detach().numpy() == pytest.approx(1, abs=1e-5)
    kept = {
        (int(k), int(c))
        for k, c in zip(found.candidates.compound, found.candidates.column, strict=True)
    }
    assert kept <= {
        (int(k), int(c))
        for k, c in zip(
            found.round_candidates[0].compound, found.round_candidates[0].column, strict=True
        )
    }
    assert len(kept) == len(found.candidates.compound)


def test_later_rounds_go_on_with_the_likeliest(hypotheses):
    with torch.no_grad():
        found = network(replace(SMALL, rounds=2))(hypotheses)
    first, last = found.round_candidates
    logits = {
        (int(k), int(c)): float(v)
        for k, c, v in zip(first.compound, first.column, found.rounds[0]["logit"], strict=True)
    }
    kept = {(int(k), int(c)) for k, c in zip(last.compound, last.column, strict=True)}
    assert min(logits[key] for key in kept) >= max(logits[key] for key in logits.keys() - kept)
    judged = found.screening.flatten().sort(descending=True).values[:64]
    chosen = found.screening[first.compound, first.column]
    assert torch.equal(chosen.sort(descending=True).values, judged)


def test_amounts_stay_close_to_their_hypotheses(hypotheses):
    found = network(WHOLE)(hypotheses)
    for candidates, state in zip(found.round_candidates, found.rounds, strict=True):
        assert (state["log_amount"] - candidates.log_amount).abs().max() <= 0.3
        assert (
            candidates.log_amount - hypotheses.log_amounts[candidates.compound, candidates.column]
        ).abs().max() < 0.25


def test_the_likeliest_come_in_ascending_order():
    logits = torch.tensor([0.1, 5.0, -1.0, 3.0, 4.0])
    assert _likeliest(logits, 3).tolist() == [1, 3, 4]
    assert _likeliest(logits, 9).tolist() == [0, 1, 2, 3, 4]


def test_pooling_is_that_of_a_loop_over_groups():
    values = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)) - 3
    index = torch.randint(0, 6, (30,), generator=torch.Generator().manual_seed(1))
    index[index == 2] = 3
    pooled = _pool(values, index, 6)
    assert pooled.shape == (6, 12)
    assert not pooled[2].any()
    for k in (0, 1, 3, 4, 5):
        own = values[index == k]
        assert pooled[k].tolist() == pytest.approx(
            [*own.mean(0).tolist(), *own.amin(0).tolist(), *own.amax(0).tolist()], abs=1e-5
        )


def test_runs_are_those_of_a_loop():
    first, index = torch.tensor([0, 3, 4, 4, 9]), torch.tensor([3, 0, 2, 0, 1])
    rows, owner = rows_of(first, index)
    expected = [
        (row, k)
        for k, i in enumerate(index.tolist())
        for row in range(int(first[i]), int(first[i + 1]))
    ]
    assert list(zip(rows.tolist(), owner.tolist(), strict=True)) == expected


def test_candidates_hold_every_line_of_every_place(hypotheses, library):
    chosen = torch.tensor([0, 3, 9, 40, 41, 100])
    candidates, t = gather_candidates(hypotheses, chosen, 3), hypotheses.templates
    assert (candidates.compound * 8 + candidates.column).tolist() == chosen.tolist()
    row = 0
    for j, k in enumerate(candidates.compound.tolist()):
        for m in range(library.first_multiplet[k], library.first_multiplet[k + 1]):
            u = int(((candidates.hypothesis == j) & (candidates.multiplet == m)).nonzero()[0, 0])
            for place in range(3):
                for line in range(library.first_line[m], library.first_line[m + 1]):
                    assert (int(candidates.line[row]), int(candidates.place[row])) == (
                        line,
                        u * 3 + place,
                    )
                    moved = int(t.centres[line]) + round(
                        float(candidates.shift[u, place]) / t.axis.width
                    )
                    assert int(candidates.position[row]) == min(
                        max(moved, 0), t.axis.n_positions - 1
                    )
                    assert float(candidates.expected_area[row]) == float(t.expected_areas[line])
                    row += 1
    assert row == len(candidates.line)
    assert int(candidates.lines_per_place.sum()) == row
    per_item = torch.zeros(len(candidates.lines_per_place)).index_add_(
        0, candidates.place, candidates.share
    )
    assert per_item.numpy() == pytest.approx(1, abs=1e-5)


def test_the_area_of_others_is_that_of_a_loop_over_lines(hypotheses):
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(hypotheses.log_amounts.numel(), generator=generator)[:30].sort().values
    candidates, t = gather_candidates(hypotheses, chosen, 2), hypotheses.templates
    state = {
        "probabilities": torch.rand(30, generator=generator),
        "log_amount": torch.randn(30, generator=generator),
        "attention": torch.rand(candidates.shift.shape, generator=generator),
    }
    others, explained = area_of_others(hypotheses, candidates, state)
    found = others.numpy()
    assert 0 < float(explained) <= 1
    unit, place = (candidates.place // 2).numpy(), (candidates.place % 2).numpy()
    hypothesis = candidates.hypothesis.numpy()[unit]
    owner, position = candidates.compound.numpy()[hypothesis], candidates.position.numpy()
    probabilities, amounts, attention = (
        state[name].double().numpy() for name in ("probabilities", "log_amount", "attention")
    )
    areas = (
        probabilities[hypothesis]
        * np.exp(amounts)[hypothesis]
        * attention[unit, place]
        * t.line_areas.numpy()[candidates.line]
    )
    for v in rng().choice(len(position), 150, replace=False):
        near = np.abs(position - position[v]) <= t.reach
        assert found[v] == pytest.approx(
            areas[near & (owner != owner[v])].sum(), abs=1e-4 * areas.max()
        )
    assert (found > 0).any()


def test_a_compound_takes_no_area_from_itself(hypotheses):
    candidates = gather_candidates(hypotheses, torch.arange(8), 2)
    state = {
        "probabilities": torch.ones(8),
        "log_amount": torch.zeros(8),
        "attention": torch.ones_like(candidates.shift),
    }
    assert area_of_others(hypotheses, candidates, state)[0].abs().max() < 1e-4


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rounds": 0}, "rounds is 0; expected a whole number from 1 to 8"),
        ({"judged_places": 25}, "judged_places is 25"),
        ({"lines": "16"}, "lines is '16'"),
    ],
)
def test_sizes_out_of_bounds_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PeakNetworkConfig(**values)
