from collections import Counter
from dataclasses import replace
from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch

from nmrclassify.evaluation.metrics import METRICS, evaluate, pair_counts, si_sdr, wilson
from nmrclassify.mixtures.grid import MixtureConfig, counts_of, generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.conv_tasnet import Intermediates, NetworkConfig, SeparatorOutput
from nmrclassify.networks.queries import Queries, QueryOutput
from nmrclassify.networks.slots import Slots


def with_encoder(model, n_filters=4):
    """Give a model that is not initialised an encoder without negative weights."""
    torch.nn.Module.__init__(model)
    model.encoder = torch.nn.Linear(18, n_filters, bias=False)
    model.encoder.weight.data.uniform_(0.1, 1.0, generator=torch.Generator().manual_seed(0))


def inner(model, areas, multiplets, masks=None):
    """Intermediates with these multiplets (B, M, P, L) and masks (B, M, L, N), by default 0."""
    encoding = model.encode(areas)
    if masks is None:
        masks = torch.zeros(*multiplets.shape[:2], *encoding.mT.shape[1:])
    separator = SeparatorOutput(encoding.mT, [], [], encoding.mT, encoding.mT, masks)
    return Intermediates(encoding, masks.mT, masks.mT * encoding[:, None], multiplets, separator)


class Scripted(Slots):
    """Slots that predict set classes, multiplets and masks."""

    def __init__(self, classes, multiplets, n_classes=10, masks=None):
        with_encoder(self)
        self.config, self.masks = NetworkConfig(), masks
        self.classes, self.multiplets, self.n_classes = (
            torch.as_tensor(classes),
            torch.as_tensor(multiplets),
            n_classes,
        )

    def forward(self, areas):
        logits = 9.0 * torch.nn.functional.one_hot(self.classes, self.n_classes).float()
        return logits, inner(self, areas, self.multiplets, self.masks)


class Told(Queries):
    """Queries that predict set counts (B, K), presence of the unknown, and multiplets."""

    def __init__(self, counts, multiplets, unknown=0.0, sure=9.0):
        with_encoder(self)
        counts = torch.as_tensor(counts)
        presence = torch.cat(
            [sure * (2.0 * (counts > 0) - 1), torch.full((len(counts), 1), unknown)], dim=1
        )
        probabilities = sure * torch.nn.functional.one_hot((counts - 1).clamp_min(0), 5).float()
        self.findings = QueryOutput(presence, probabilities, counts.float())
        multiplets = torch.as_tensor(multiplets)
        self.multiplets = torch.cat([multiplets, 0 * multiplets[:, :1]], dim=1)
        self.at = 0

    def forward(self, areas):
        rows = slice(self.at, self.at + len(areas))
        self.at += len(areas)
        output = QueryOutput(*(part[rows] for part in self.findings))
        return output, inner(self, areas, self.multiplets[rows])


def varied(n=60, repetition=True, seed=0):
    """Mixtures of one to three compounds, and partly right predictions of their compounds."""
    rng = np.random.default_rng(seed)
    data = build("quick", 2, MixtureConfig(repetition=repetition, number_varies=True))
    made = mix(data.library, data.train[rng.integers(len(data.train), size=n)], data.config, rng)
    guesses = np.where(rng.random((n, 3)) < 0.6, made.labels, rng.integers(11, size=(n, 3)))
    return made, guesses


def test_wilson_interval_agrees_with_published_values():
    # R. G. Newcombe, Statistics in Medicine 17, 857-872 (1998), table I, method 3.
    for share, n, low, high in (
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
        (0 / 20, 20, 0.0, 0.1611),
    ):
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
    assert summary["si_sdr_improvement_db"] is None
    assert summary["compound_accuracy"] == 1.0


@pytest.mark.parametrize("repetition", [False, True])
def test_accuracy_is_the_overlap_of_multisets(repetition):
    mixtures = build("quick", 2, MixtureConfig(repetition=repetition)).test_mixtures()
    rng = np.random.default_rng(1)
    guesses = np.where(
        rng.random(mixtures.labels.shape) < 0.5,
        mixtures.labels,
        rng.integers(10, size=mixtures.labels.shape),
    )
    result = evaluate(Scripted(guesses, mixtures.sources), mixtures)
    right = [
        sum((Counter(g) & Counter(t)).values())
        for g, t in zip(guesses.tolist(), mixtures.labels.tolist(), strict=False)
    ]
    assert result.correct.sum(axis=1).tolist() == right
    assert result.exact.tolist() == [r == 3 for r in right]
    assert result.confusion().trace() == sum(right)
    assert result.confusion().sum() == mixtures.labels.size
    summary = result.summary()
    assert summary["compound_accuracy"] == pytest.approx(np.mean(right) / 3)
    assert (
        summary["compound_accuracy_ci95"][0]
        < summary["compound_accuracy"]
        < summary["compound_accuracy_ci95"][1]
    )


def test_the_order_of_outputs_does_not_matter():
    mixtures = build("quick", 2).test_mixtures()
    order = [1, 2, 0]
    straight = evaluate(Scripted(mixtures.labels, mixtures.sources), mixtures).summary()
    turned = evaluate(
        Scripted(mixtures.labels[:, order], mixtures.sources[:, order]), mixtures
    ).summary()
    for key, value in straight.items():
        assert value == pytest.approx(turned[key]), key
    assert straight["exact_match"] == 1.0
    assert straight["si_sdr_improvement_db"] > 70


def test_the_mask_distance_is_a_mean_over_the_strong_cells():
    mixtures = build("quick", 2, MixtureConfig(number_varies=True)).test_mixtures()
    model = Scripted(mixtures.labels, mixtures.sources, 11)
    encoded = np.stack(
        [model.encode(torch.from_numpy(s)).detach().mT.numpy() for s in mixtures.sources]
    )  # (B, C, L, N)
    total = encoded.sum(axis=1, keepdims=True)
    ideal = np.divide(encoded, total, out=np.zeros_like(encoded), where=total > 0)
    off = np.random.default_rng(0).random(ideal.shape).astype(np.float32)
    expected = np.full(mixtures.labels.shape, np.nan)
    for b, c in np.ndindex(expected.shape):
        strong = total[b, 0] >= 0.02 * total[b, 0].max()
        if mixtures.labels[b, c] < 10:
            expected[b, c] = np.abs(off[b, c] - ideal[b, c])[strong].mean()
    # An output in which there is no source has no distance.
    assert 0 < np.isnan(expected).mean() < 1
    for masks, distances in ((ideal, 0 * expected), (off, expected)):
        scripted = Scripted(mixtures.labels, mixtures.sources, 11, torch.from_numpy(masks))
        result = evaluate(scripted, mixtures)
        assert result.mask_distance == pytest.approx(distances, abs=1e-6, nan_ok=True)
        summary = result.summary()
        per_mixture = np.nanmean(distances, axis=1)
        assert summary["mask_distance"] == pytest.approx(np.mean(per_mixture), abs=1e-6)
        low, high = summary["mask_distance_ci95"]
        assert low <= summary["mask_distance"] <= high
        assert result.table(build("quick", 2).library.names)["mask distance"].tolist() == (
            pytest.approx(per_mixture, abs=1e-6)
        )


def test_perfect_scores_still_have_an_interval():
    mixtures = build("original", 2).test_mixtures()
    low, high = evaluate(Scripted(mixtures.labels, mixtures.sources), mixtures).summary()[
        "exact_match_ci95"
    ]
    assert (low, high) == pytest.approx((0.7225, 1.0), abs=1e-3)


def test_repeated_draws_do_not_narrow_the_interval():
    mixtures = build("quick", 2).test_mixtures(draws=4)
    result = evaluate(Scripted(mixtures.labels, mixtures.sources), mixtures)
    assert result.compositions == len(mixtures) / 4


def test_the_table_has_a_row_for_each_mixture(either, quick):
    mixtures = quick.test_mixtures()
    result = evaluate(either.model, mixtures)
    table = result.table(quick.library.names)
    assert len(table) == len(mixtures)
    assert table["wholly right"].sum() == result.exact.sum()
    assert table["mixed"][0] == " + ".join(
        sorted(quick.library.names[k] for k in mixtures.labels[0])
    )


def multiset(row):
    """Return what a row of compounds holds; 10 fills up."""
    return Counter(k for k in row if k < 10)


@pytest.mark.parametrize("seed", range(5))
def test_pairing_counts_is_multiset_arithmetic(seed):
    rng = np.random.default_rng(seed)
    n_compounds, high = int(rng.integers(1, 7)), int(rng.integers(1, 4))
    found, true = rng.integers(0, high + 1, (2, 40, n_compounds)) * (
        rng.random((2, 40, n_compounds)) < 0.5
    )
    predicted, matched = pair_counts(found, true)
    assert predicted.shape == matched.shape
    assert predicted.dtype.kind == "i"
    widest = 0
    for f, t, said, was in zip(found, true, predicted.tolist(), matched.tolist(), strict=False):
        given, truth = (Counter(dict(enumerate(counts.tolist()))) for counts in (f, t))
        assert Counter(k for k in said if k < n_compounds) == +given
        assert Counter(k for k in was if k < n_compounds) == +truth
        pairs = [
            (a, b) for a, b in zip(said, was, strict=False) if (a, b) != (n_compounds, n_compounds)
        ]
        right = [a for a, b in pairs if a == b]
        assert Counter(right) == given & truth
        # What is not right stands for nothing that is in it: a wrong name takes the place of a
        # missed one where both are.
        extra, missed = sum((given - truth).values()), sum((truth - given).values())
        assert len(pairs) == len(right) + max(extra, missed)
        widest = max(widest, len(right))
    assert predicted.shape[1] >= widest


def test_pairing_no_counts_at_all():
    predicted, matched = pair_counts(np.zeros((3, 4), int), np.zeros((3, 4), int))
    assert predicted.shape == matched.shape == (3, 0)


@pytest.mark.parametrize("repetition", [False, True])
def test_accuracy_of_queries_is_the_overlap_of_multisets(repetition):
    made, guesses = varied(repetition=repetition)
    result = evaluate(Told(counts_of(guesses, 10), made.by_compound(made.sources)), made, chunk=17)
    right, needed = [], []
    for guess, labels in zip(guesses.tolist(), made.labels.tolist(), strict=False):
        said, truth = multiset(guess), multiset(labels)
        right.append((said & truth).total())
        needed.append(
            max(said.total(), truth.total())
        )  # a name too many counts as a mistake, as one too few does
    assert 0 < sum(right) < sum(needed)
    assert result.correct.sum(axis=1).tolist() == right
    assert result.counted.sum(axis=1).tolist() == needed
    assert result.exact.tolist() == [r == n for r, n in zip(right, needed, strict=False)]
    summary = result.summary()
    assert summary["compound_accuracy"] == pytest.approx(sum(right) / sum(needed))
    assert summary["exact_match"] == pytest.approx(result.exact.mean())
    assert summary.keys() == set(METRICS)
    assert summary["n_mixtures"] == len(made)
    counts = result.confusion()
    assert counts.shape == (11, 11)
    assert counts.sum() == sum(needed)
    assert counts[:10, :10].trace() == sum(right)
    truth = made.counts.sum(axis=0)
    assert (
        counts[:10].sum(axis=1).tolist() == truth.tolist()
    )  # each compound that was mixed in is in its row
    assert counts[:, :10].sum(axis=0).tolist() == counts_of(guesses, 10).sum(axis=0).tolist()
    assert counts[10, 10] == 0


def test_a_perfect_prediction_of_queries_is_wholly_right():
    made, _ = varied()
    result = evaluate(Told(made.counts, made.by_compound(made.sources), sure=30.0), made, chunk=7)
    assert result.exact.all()
    assert result.correct.sum() == made.counts.sum()
    summary = result.summary()
    assert summary["compound_accuracy"] == summary["exact_match"] == 1
    assert summary["si_sdr_improvement_db"] > 70
    assert result.confusion().shape == (10, 10)
    assert result.confusion().trace() == made.counts.sum()
    assert (result.confidence > 0.999).all()
    assert result.output_probabilities is None
    assert np.array_equal(result.true_counts, made.counts)
    assert np.array_equal(
        np.isnan(result.si_sdr_improvement[made.counts == 0]),
        np.ones((made.counts == 0).sum(), bool),
    )


def test_the_table_of_queries_lists_what_is_predicted():
    made, _ = varied(n=4, repetition=False)
    names = build("quick", 2).library.names
    counts = made.counts.copy()
    counts[0] = 0  # nothing is named
    counts[1, np.flatnonzero(made.counts[1] == 0)[0]] = 1  # one too many
    table = evaluate(Told(counts, made.by_compound(made.sources)), made).table(names)
    total = made.counts.sum(axis=1).tolist()
    assert table["number"].tolist() == [1, 2, 3, 4]
    assert table["named"][0] == "nothing"
    assert table["right"][0] == f"0 of {total[0]}"
    assert table["right"][1] == f"{total[1]} of {total[1] + 1}"
    assert table["right"][2] == f"{total[2]} of {total[2]}"
    assert table["wholly right"].tolist() == [False, False, True, True]
    for i, row in enumerate(made.counts):
        assert table["mixed"][i] == " + ".join(sorted(names[k] for k in np.flatnonzero(row)))
    for i, row in enumerate(counts[1:], 1):
        assert table["named"][i] == " + ".join(sorted(names[k] for k in np.flatnonzero(row)))


def test_portions_are_named_as_often_as_they_are_there():
    data = build("quick", 2, MixtureConfig(repetition=True))
    made = mix(data.library, np.array([[4, 4, 7]]), data.config, np.random.default_rng(0))
    table = evaluate(Told(made.counts, made.by_compound(made.sources)), made).table(
        data.library.names
    )
    assert table["mixed"][0] == table["named"][0] == "compound 4 + compound 4 + compound 7"
    assert table["right"][0] == "3 of 3"
    once = np.minimum(made.counts, 1)
    result = evaluate(Told(once, made.by_compound(made.sources)), made)
    assert not result.exact[0]
    assert result.correct.sum() == 2
    assert result.confusion()[4, 10] == 1


def test_the_least_sure_statement_is_the_confidence():
    made, _ = varied(n=1)
    told = Told(made.counts, made.by_compound(made.sources))
    there, absent = int(made.counts[0].argmax()), int(made.counts[0].argmin())
    for place, logit in ((there, 0.4), (absent, -0.3)):
        told.findings.presence[0, place] = logit
        told.at = 0
        found = evaluate(told, made).confidence[0]
        assert found == pytest.approx(1 / (1 + np.exp(-abs(logit))), abs=1e-3)


def test_the_unknown_is_predicted_and_does_not_count():
    made, _ = varied()
    with_unknown, without = (
        evaluate(Told(made.counts, made.by_compound(made.sources), unknown=u), made)
        for u in (4.0, -4.0)
    )
    assert with_unknown.unknown == pytest.approx(1 / (1 + np.exp(-4.0)))
    assert without.unknown.max() < 0.02
    assert with_unknown.summary() == without.summary()
    assert without.presence.shape == (60, 10)


def test_nothing_is_a_class_of_slots_where_the_number_varies():
    made, guesses = varied()
    result = evaluate(Scripted(guesses, made.sources, 11), made)
    right = [
        (multiset(g) & multiset(t)).total()
        for g, t in zip(guesses.tolist(), made.labels.tolist(), strict=False)
    ]
    # Two outputs that say nothing where nothing is are no merit, and no mistake.
    assert result.correct.sum(axis=1).tolist() == right
    assert result.exact.tolist() == [
        multiset(g) == multiset(t)
        for g, t in zip(guesses.tolist(), made.labels.tolist(), strict=False)
    ]
    both = ((result.predicted == 10) & (result.matched == 10)).sum(axis=1)
    assert (result.counted.sum(axis=1) == 3 - both).all()
    assert both.any()
    assert result.confusion().shape == (11, 11)
    assert result.confusion()[10, 10] == 0
    assert result.presence.shape == (60, 10)
    assert result.true_counts.tolist() == made.counts.tolist()
    assert np.isnan(result.si_sdr_improvement).sum() >= (made.labels == 10).sum()
    perfect = evaluate(Scripted(made.labels, made.sources, 11), made)
    assert perfect.exact.all()
    assert perfect.summary()["compound_accuracy"] == 1
    assert perfect.confusion().shape == (10, 10)


def test_presence_of_slots_is_that_of_any_output():
    made = build("quick", 2).test_mixtures()[:1]
    result = evaluate(Scripted([[1, 1, 2]], made.sources), made)
    p = np.exp(9.0) / (np.exp(9.0) + 9)
    q = (1 - p) / 9
    assert result.presence[0, 1] == pytest.approx(1 - (1 - p) ** 2 * (1 - q), rel=1e-6)
    assert result.presence[0, 2] == pytest.approx(1 - (1 - q) ** 2 * (1 - p), rel=1e-6)
    assert result.presence[0, 5] == pytest.approx(1 - (1 - q) ** 3, rel=1e-2)


def test_chunks_change_no_figure(either, quick):
    mixtures = quick.test_mixtures()
    whole, parts = (evaluate(either.model, mixtures, chunk=size) for size in (256, 7))
    assert np.array_equal(whole.predicted, parts.predicted)
    assert np.array_equal(whole.matched, parts.matched)
    assert whole.confidence == pytest.approx(parts.confidence, abs=1e-5)
    for key, value in whole.summary().items():
        assert value == pytest.approx(parts.summary()[key], rel=1e-4), key


def test_statements_are_what_was_said_and_whether_it_is_true():
    made, guesses = varied()
    queries = evaluate(Told(counts_of(guesses, 10), made.by_compound(made.sources)), made)
    stated, true = queries.statements()
    assert stated.shape == true.shape == (600,)
    assert true.sum() == (made.counts > 0).sum()
    stated, true = queries.statements(named=True)
    said = counts_of(guesses, 10) > 0
    assert len(stated) == said.sum()
    assert (stated >= 0.5).all()
    assert true.sum() == (said & (made.counts > 0)).sum()
    slots = evaluate(Scripted(guesses, made.sources, 11), made)
    stated, true = slots.statements()
    assert stated.shape == (180,)
    assert true.sum() == (slots.predicted == slots.matched).sum()
    assert stated == pytest.approx(np.exp(9.0) / (np.exp(9.0) + 10))


def exact_log_odds(logits, n_compounds):
    """Return the log odds that any output names k, (K,), of logits (C, classes), with 80 digits."""
    getcontext().prec = 80
    power = [[Decimal(float(v)).exp() for v in row] for row in logits]
    absent = [Decimal(1)] * n_compounds
    for row in power:
        total = sum(row)
        absent = [a * (total - row[k]) / total for k, a in enumerate(absent)]
    return np.array([float(((1 - a) / a).ln()) for a in absent])


@pytest.mark.parametrize("n_classes", [4, 5])
def test_presence_of_slots_is_that_any_output_names_it(n_classes):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (6, 3, n_classes)).astype(np.float32)
    slots = Slots(NetworkConfig(4))
    found = slots.presence(torch.from_numpy(logits)).numpy()
    assert found.shape == (6, 4)
    # The share of answers in which at least one of the outputs, each drawn by itself, says it.
    probabilities = np.exp(logits.astype(float)) / np.exp(logits.astype(float)).sum(
        axis=-1, keepdims=True
    )
    for row, p in zip(found, probabilities, strict=False):
        total = np.zeros(4)
        for said in np.ndindex(*(n_classes,) * 3):
            together = p[0, said[0]] * p[1, said[1]] * p[2, said[2]]
            total[[k for k in range(4) if k in said]] += together
        assert row == pytest.approx(total, abs=1e-6)
    turned = slots.presence(torch.from_numpy(logits[:, [2, 0, 1]])).numpy()
    assert turned == pytest.approx(found, abs=1e-6)


def test_presence_of_queries_is_their_own_with_the_unknown_last():
    made, _ = varied(n=3)
    model = Told(made.counts, made.by_compound(made.sources), unknown=0.7)
    findings = model.findings
    found = model.presence(findings).numpy()
    assert found.shape == (3, 11)
    assert found == pytest.approx(1 / (1 + np.exp(-findings.presence.numpy())))
    assert torch.equal(model.log_odds(findings), findings.presence)


@pytest.mark.parametrize("spread", [1.0, 5.0, 30.0])
@pytest.mark.parametrize("n_classes", [4, 5])
def test_log_odds_tell_where_probabilities_round(spread, n_classes):
    rng = np.random.default_rng(int(spread))
    logits = rng.normal(0, spread, (8, 3, n_classes)).astype(np.float32)
    found = Slots(NetworkConfig(4)).log_odds(torch.from_numpy(logits)).numpy()
    assert found.shape == (8, 4)
    assert np.isfinite(found).all()
    for row, own in zip(found, logits, strict=False):
        expected = exact_log_odds(own, 4)
        clear = expected < 30  # beyond, odds are only told to be large
        assert row[clear] == pytest.approx(expected[clear], rel=1e-5, abs=1e-5)
        assert (row[~clear] > 29).all()


def test_log_odds_and_presence_agree(either, quick):
    with torch.inference_mode():
        mixtures = quick.test_mixtures()
        noise = generator(3, "view").normal(0, 0.3, mixtures.areas.shape)
        mixtures = replace(mixtures, areas=mixtures.areas + noise.astype(np.float32))
        output = either.model.eval()(torch.from_numpy(mixtures.areas))[0]
    presence, evidence = (
        either.model.presence(output).double(),
        either.model.log_odds(output).double(),
    )
    clear = (presence > 1e-3) & (presence < 1 - 1e-3)
    assert evidence.shape == presence.shape
    assert clear.any()
    assert evidence[clear].numpy() == pytest.approx(torch.logit(presence[clear]).numpy(), abs=1e-2)
    assert presence.numpy() == pytest.approx(evidence.sigmoid().numpy(), abs=1e-6)
    evaluated = evaluate(either.model, mixtures).presence[:, :10]
    assert presence[:, :10].numpy() == pytest.approx(evaluated, abs=1e-6)
