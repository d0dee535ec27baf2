import numpy as np
import pytest
import torch

from nmrclassify.evaluation.prediction import UNTRAINED, describe_prediction, match_truth
from nmrclassify.mixtures.grid import MixtureConfig, mix, mix_at, unknown_compounds, with_unknown
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.prediction import MAX_SHOWN, listing, percent
from nmrclassify.networks.queries import Queries, QueriesPrediction
from nmrclassify.networks.slots import Slots, SlotsPrediction
from nmrclassify.training.trainer import model_for


def scripted(classes, sources, sure=9.0, n_classes=10):
    """A prediction of slots with `classes` and perfect multiplets."""
    probabilities = torch.softmax(sure * torch.eye(n_classes)[classes], -1).numpy()
    empty = np.zeros((64, 21), np.float32)
    stack = np.stack([empty] * len(classes))
    counts = np.bincount(classes, minlength=10)[:10]
    return SlotsPrediction(
        empty, stack, stack, sources.astype(np.float32), np.asarray(classes), probabilities, counts
    )


def told(counts, made, row=0, unknown=0.01, sure=0.95, doubt=0.04):
    """A prediction of queries with `counts`, the likeliest first, and perfect multiplets."""
    probabilities = np.full(11, doubt)
    for rank, k in enumerate(counts):
        probabilities[k] = sure - 0.01 * rank
    probabilities[10] = unknown
    named = [*counts, *([10] if unknown >= 0.5 else [])] or [int(probabilities[:10].argmax())]
    each = made.by_compound(made.sources)[row]
    foreign = np.zeros_like(each[0]) if made.unknown is None else made.unknown[row]
    found = np.array([counts.get(k, 0) for k in range(10)])
    empty = np.zeros((64, 21), np.float32)
    return QueriesPrediction(
        empty,
        np.stack([empty] * len(named)),
        np.stack([empty] * len(named)),
        np.stack([each[k] if k < 10 else foreign for k in named]),
        np.array(named),
        probabilities[None],
        found,
        found.astype(float),
    )


def described(counts, made, row=0, **changes):
    """Return the description of a prediction by `told`, with the truth."""
    given = told(counts, made, row, **changes)
    unknown = None if made.unknown is None else made.unknown[row]
    truth = match_truth(
        given,
        made.areas[row],
        made.sources[row],
        made.labels[row],
        1.0,
        unknown,
        made.concentrations[row],
    )
    return describe_prediction(given, build("quick", 3).library.names, truth), given, truth


@pytest.fixture(scope="module")
def pair():
    """A mixture of compounds 2, 2 and 7, alone and with a foreign compound."""
    data = build("quick", 3, MixtureConfig(repetition=True))
    made = mix_at(
        data.library,
        np.array([[2, 7, 2]]),
        np.array([[0.5, 1.0, 1.5]], np.float32),
        data.config,
        np.random.default_rng(0),
    )
    rng = np.random.default_rng(1)
    return made, with_unknown(made, unknown_compounds(data.library, 1, rng), np.ones(1))


def test_a_prediction_of_slots_is_what_the_model_computes(trained, quick):
    areas = quick.test_mixtures().areas[0]
    given = trained.model.predict(areas)
    with torch.no_grad():
        logits, inside = trained.model(torch.from_numpy(areas)[None])
    assert given.kind == "slots"
    assert given.masks.shape == (3, 64, 21)
    assert given.probabilities == pytest.approx(logits[0].softmax(-1).numpy(), abs=1e-6)
    assert given.probabilities.sum(axis=1) == pytest.approx(1)
    assert given.named.tolist() == logits[0].argmax(-1).tolist()
    assert given.confidence == pytest.approx(given.probabilities.max(axis=1))
    assert np.array_equal(given.multiplets, inside.multiplets[0].numpy())
    assert given.separated_encodings == pytest.approx(given.masks * given.encoding)
    assert given.counts.sum() == 3
    assert given.amounts is None
    assert given.unknown is None


def test_a_prediction_of_queries_is_what_the_model_computes(learned, quick):
    made = quick.test_mixtures()
    for areas, labels in zip(made.areas[:6], made.labels, strict=False):
        given = learned.model.predict(areas)
        with torch.no_grad():
            findings, inside = learned.model(torch.from_numpy(areas)[None])
        presence = findings.presence[0].sigmoid().numpy()
        assert given.kind == "queries"
        assert given.probabilities[0] == pytest.approx(presence, abs=1e-6)
        assert given.unknown == pytest.approx(presence[-1])
        assert given.confidence.tolist() == given.probabilities[0, given.named].tolist()
        assert given.counts.tolist() == findings.likeliest_counts[0].tolist()
        assert given.amounts == pytest.approx(findings.amounts[0].numpy())
        assert np.array_equal(given.masks, inside.masks[0].numpy()[given.named])
        assert np.array_equal(given.multiplets, inside.multiplets[0].numpy()[given.named])
        assert given.separated_encodings == pytest.approx(given.masks * given.encoding)
        compounds = given.named[given.named < 10]
        assert set(compounds) == set(np.flatnonzero(given.counts))
        assert (
            np.diff(given.probabilities[0, compounds]) <= 0
        ).all()  # the likeliest first, the unknown last
        assert (compounds == given.named[: len(compounds)]).all()
        assert set(compounds) == set(labels)  # which the model has learnt
    off = [
        abs(learned.model.predict(areas).amounts[labels] - 1)
        for areas, labels in zip(made.areas, made.labels, strict=True)
    ]
    assert np.mean(off) < 0.25


def test_where_nothing_is_predicted_the_likeliest_is_shown(learned, quick):
    given = learned.model.predict(quick.test_mixtures().areas[0])
    model = model_for(quick, 3, "queries")
    model.global_head[2].bias.data.fill_(-50.0)
    said = describe_prediction(model.predict(quick.test_mixtures().areas[0]), quick.library.names)
    assert said == UNTRAINED
    model.trained = True
    none = model.predict(quick.test_mixtures().areas[0])
    assert len(none.named) == 1
    assert none.named[0] == none.probabilities[0, :10].argmax()
    assert not none.counts.any()
    assert describe_prediction(none, quick.library.names).startswith(
        "The network predicts no compound of the library."
    )
    model.global_head[2].bias.data.fill_(50.0)
    everything = model.predict(quick.test_mixtures().areas[0])
    assert len(everything.named) == MAX_SHOWN
    assert everything.named[-1] == 10
    assert len(set(everything.named)) == MAX_SHOWN
    assert everything.masks.shape == (MAX_SHOWN, 64, 21)
    assert len(given.named) < MAX_SHOWN


def test_a_prediction_is_a_copy(either, quick):
    areas = quick.test_mixtures().areas[0].copy()
    given = either.model.predict(areas)
    kept = {
        key: value.copy() for key, value in vars(given).items() if isinstance(value, np.ndarray)
    }
    areas[:] = 7
    either.model.predict(areas)
    assert all(np.array_equal(getattr(given, key), value) for key, value in kept.items())


def test_compare_puts_the_truth_in_the_order_of_the_outputs(quick):
    made = quick.test_mixtures()
    labels, sources = made.labels[0], made.sources[0]
    truth = match_truth(
        scripted(labels[[2, 0, 1]], sources[[2, 0, 1]]),
        made.areas[0],
        sources,
        labels,
        1.0,
        None,
        made.concentrations[0],
    )
    assert truth.pairing.tolist() == [2, 0, 1]
    assert truth.labels.tolist() == labels[[2, 0, 1]].tolist()
    assert (truth.si_sdr_improvement > 60).all()
    assert truth.present.tolist() == sorted(labels)
    assert truth.counts.sum() == 3
    assert truth.amounts.tolist() == truth.counts.tolist()
    assert truth.right.all()
    assert np.array_equal(truth.sources, sources[[2, 0, 1]])


def test_compare_adds_the_portions_of_a_compound_for_queries(pair):
    made, strange = pair
    _, given, truth = described({7: 1, 2: 2}, made)
    assert truth.labels.tolist() == [7, 2]
    assert truth.right.tolist() == [True, True]
    assert truth.present.tolist() == [2, 7]
    assert truth.counts[[2, 7]].tolist() == [2, 1]
    assert truth.amounts[[2, 7]].tolist() == [2.0, 1.0]
    assert truth.amounts.sum() == 3
    assert truth.sources[1] == pytest.approx(made.sources[0, 0] + made.sources[0, 2])
    assert (truth.si_sdr_improvement > 60).all()
    assert truth.pairing is None
    _, given, truth = described({7: 1, 5: 1}, strange, unknown=0.9)
    assert given.named.tolist() == [7, 5, 10]
    assert truth.labels.tolist() == [7, 10, 10]
    assert truth.right.tolist() == [True, False, True]
    assert np.array_equal(truth.sources[2], strange.unknown[0])
    assert not truth.sources[1].any()
    assert np.isnan(truth.si_sdr_improvement[1])


def test_descriptions_of_slots(quick):
    names, made = quick.library.names, quick.test_mixtures()
    labels, sources, areas = made.labels[0], made.sources[0], made.areas[0]
    right = scripted(labels, sources)
    assert describe_prediction(right, names, match_truth(right, areas, sources, labels)).startswith(
        "All 3 right: "
    )
    wrong_labels = labels.copy()
    wrong_labels[1] = next(k for k in range(10) if k not in labels)
    wrong = scripted(wrong_labels, sources)
    text = describe_prediction(wrong, names, match_truth(wrong, areas, sources, labels))
    missed, invented = names[labels[1]], names[wrong_labels[1]]
    assert text.startswith(f"2 of 3 found, 1 missed ({missed}: rank ")
    assert f" where {invented} is named, 0.0 %), 1 invented ({invented}). The network pre" in text
    assert "not known" in describe_prediction(right, names)


def test_descriptions_of_slots_where_the_number_varies():
    data = build("quick", 3, MixtureConfig(number_varies=True))
    names = data.library.names
    made = mix(
        data.library, np.array([[2, 7, 10], [2, 10, 10]]), data.config, np.random.default_rng(0)
    )
    sentences = []
    for row, classes in ((0, [2, 10, 7]), (1, [10, 2, 10]), (0, [2, 7, 7]), (0, [2, 10, 10])):
        given = scripted(
            np.array(classes), made.sources[row][[0, 2, 1] if row == 0 else [1, 0, 2]], n_classes=11
        )
        truth = match_truth(given, made.areas[row], made.sources[row], made.labels[row])
        sentences.append(describe_prediction(given, names, truth))
        assert set(truth.present.tolist()) - {10} == set(made.labels[row].tolist()) - {10}
    assert sentences[0].startswith("All 2 right: compound 2")
    assert "nothing" not in sentences[0]
    assert sentences[1].startswith("Right: compound 2")
    assert sentences[2].startswith("2 of 2 found, 1 invented (1 more compound 7).")
    assert sentences[3].startswith("1 of 2 found, 1 missed (compound 7: rank ")


def test_slots_are_judged_by_a_mixture_of_more_and_of_fewer_compounds(quick):
    library, rng = quick.library, np.random.default_rng(0)
    names, K = library.names, library.n_compounds
    four = mix(library, np.array([[1, 4, 6, 8]]), MixtureConfig(n_sources=4), rng)
    given = scripted(np.array([6, 1, 8]), four.sources[0][[2, 0, 3]])
    truth = match_truth(given, four.areas[0], four.sources[0], four.labels[0])
    assert truth.labels.tolist() == [6, 1, 8]
    assert truth.right.all()
    assert not given.all_right(truth)
    assert truth.unshown_labels.tolist() == [4]
    assert truth.unshown[0] == pytest.approx(four.sources[0, 1], abs=1e-5)
    text = describe_prediction(given, names, truth)
    assert text.startswith(f"3 of 4 found, 1 missed ({names[4]}: no output left).")
    two = four.sources[0, :2]
    for sources, labels in ((two, [1, 4]), (np.append(two, 0 * two[:1], axis=0), [1, 4, K])):
        truth = match_truth(given, two.sum(axis=0), sources, np.array(labels))
        assert truth.counts.sum() == 2
        assert truth.right.tolist() == [False, True, False]
        assert truth.labels[1] == 1
        text = describe_prediction(given, names, truth)
        assert text.startswith(f"1 of 2 found, 1 missed ({names[4]}: rank ")
        assert f"2 invented ({names[6]}, {names[8]})" in text


def test_whatever_was_mixed_stands_beside_an_output_or_is_left_over(pair):
    for made in pair:
        unknown = None if made.unknown is None else made.unknown[0]
        for given in (
            told({2: 2}, made),
            told({7: 1, 5: 1}, made, unknown=0.9),
            scripted(np.array([2, 3, 2]), made.sources[0]),
            scripted(np.array([7]), made.sources[0, :1]),
        ):
            truth = match_truth(given, made.areas[0], made.sources[0], made.labels[0], 1.0, unknown)
            shown = truth.sources.sum(axis=0) + truth.unshown.sum(axis=0)
            assert shown == pytest.approx(made.areas[0], abs=1e-4)
            assert truth.unshown.any((1, 2)).all()


def test_slots_say_that_they_have_no_output_for_the_unknown(pair):
    _, strange = pair
    given = scripted(strange.labels[0], strange.sources[0])
    truth = match_truth(
        given, strange.areas[0], strange.sources[0], strange.labels[0], 1.0, strange.unknown[0]
    )
    assert truth.unshown_labels.tolist() == [10]
    text = describe_prediction(given, build("quick", 3).library.names, truth)
    assert text.startswith("All 3 right: ")
    assert text.endswith("Something unknown was mixed in, too; this network has no output for it.")


@pytest.mark.parametrize(
    ("labels", "n_classes"), [([0, 1, 2], 10), ([0, 1, 10], 11), ([10, 10, 4], 11)]
)
def test_counts_are_of_the_compounds_of_the_library(labels, n_classes):
    data = build("quick", 3, MixtureConfig(number_varies=n_classes == 11))
    made = mix(data.library, np.array([labels]), data.config, np.random.default_rng(0))
    model = model_for(data, 3, "slots")
    given = model.predict(made.areas[0])
    truth = match_truth(given, made.areas[0], made.sources[0], made.labels[0])
    assert given.counts.shape == truth.counts.shape == (10,)
    assert given.counts.sum() == (given.named < 10).sum()
    assert truth.present.tolist() == sorted(k for k in labels if k < 10)


def test_a_description_of_queries_that_are_all_right(pair):
    text, given, truth = described({7: 1, 2: 2}, pair[0])
    assert text == "All 2 right: compound 7 (95.0 %) and 2x compound 2 (94.0 %)."
    assert given.all_right(truth)
    data = build("quick", 3)
    alone = mix(data.library, np.array([[4]]), data.config, np.random.default_rng(0))
    assert described({4: 1}, alone)[0] == "Right: compound 4 (95.0 %)."


def test_a_description_of_queries_names_what_was_missed(pair):
    text, given, truth = described({2: 2}, pair[0])
    assert (
        text == "2 of 3 found, 1 missed (compound 7: 4.0 %). The network predicts 2x compound 2"
        " (95.0 %)."
    )
    assert not given.all_right(truth)
    text, given, truth = described({}, pair[0])
    assert text.startswith("0 of 3 found, 3 missed (compound 2: ")
    assert "; compound 7: 4.0 %)" in text
    assert text.endswith("The network predicts no compound of the library.")
    assert len(given.named) == 1


def test_a_description_of_queries_names_what_is_invented(pair):
    text, _, truth = described({2: 2, 7: 1, 4: 1}, pair[0])
    assert text == (
        "3 of 3 found, 1 invented (compound 4). The network predicts 2x compound 2 (95.0 %),"
        " compound 7 (94.0 %) and compound 4 (93.0 %)."
    )
    assert truth.right.tolist() == [True, True, False]
    text, _, _ = described({5: 1, 7: 1}, pair[0])
    assert text.startswith("1 of 3 found, 2 missed (compound 2: 4.0 %), 1 invented (compound 5).")


def test_a_description_of_queries_names_wrong_counts(pair):
    text, _, truth = described({2: 1, 7: 1}, pair[0])
    assert text.startswith("2 of 3 found, 1 missed (1 more compound 2).")
    assert truth.right.tolist() == [False, True]
    text, _, _ = described({2: 3, 7: 1}, pair[0])
    assert text.startswith("3 of 3 found, 1 invented (1 more compound 2).")


def test_a_description_of_something_unknown(pair):
    made, strange = pair
    text, given, truth = described({2: 2, 7: 1}, strange, unknown=0.9)
    assert text.startswith("All 3 right: ")
    assert text.endswith("and something unknown (90.0 %).")
    assert given.all_right(truth)
    assert given.named.tolist() == [2, 7, 10]
    text, given, truth = described({2: 2, 7: 1}, made, unknown=0.9)
    assert not given.all_right(truth)
    assert text.startswith("3 of 3 found, 1 invented (something unknown).")
    text, given, truth = described({2: 2}, strange, unknown=0.9)
    assert text.startswith("3 of 4 found, 1 missed (compound 7: 4.0 %).")


def test_an_unknown_that_was_missed_is_a_mistake(pair):
    _, strange = pair
    text, given, truth = described({2: 2, 7: 1}, strange, unknown=0.2)
    assert not given.all_right(truth)
    assert text.startswith("3 of 4 found, 1 missed (something unknown: 20.0 %).")


def test_a_mixture_of_something_unknown_alone_has_a_whole_sentence(pair):
    data = build("quick", 3, MixtureConfig(number_varies=True))
    rng = np.random.default_rng(1)
    made = mix(data.library, np.array([[10, 10, 10]]), data.config, rng)
    alone = with_unknown(made, unknown_compounds(data.library, 1, rng), np.ones(1))
    text, _, truth = described({}, alone, unknown=0.9)
    assert text == "Right: something unknown (90.0 %)."
    assert truth.present.tolist() == []
    text, _, truth = described({}, alone, unknown=0.2)
    assert text.startswith("0 of 1 found, 1 missed (something unknown: 20.0 %).")


def test_a_description_without_the_truth(pair):
    given = told({7: 1, 2: 2}, pair[0], unknown=0.7)
    names = build("quick", 3).library.names
    text = (
        "The network predicts compound 7 (95.0 %), 2x compound 2 (94.0 %) and something unknown"
        " (70.0 %). The truth about this mixture is not known."
    )
    assert describe_prediction(given, names) == text


def test_what_k_stands_for():
    assert Queries.class_names(("a", "b")) == ("a", "b", "something unknown")
    assert Slots.class_names(("a", "b")) == ("a", "b", "nothing")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "over 99.9 %"), (0.9996, "over 99.9 %"), (0.123, "12.3 %"), (0.0, "0.0 %")],
)
def test_percent(value, text):
    assert percent(value) == text


def test_listing():
    assert [listing(list("abc")[:n]) for n in (1, 2, 3)] == ["a", "a and b", "a, b and c"]


# What may come in from outside: each is refused in a sentence, or answered in finite numbers.


def sane(given):
    """Whether an answer is finite throughout, names something and states probabilities."""
    parts = [value for value in vars(given).values() if isinstance(value, np.ndarray)]
    finite = all(np.isfinite(part).all() for part in parts)
    return (
        finite
        and len(given.named) >= 1
        and ((given.probabilities >= 0) & (given.probabilities <= 1)).all()
    )


def test_an_empty_mixture_is_refused(either):
    with pytest.raises(
        ValueError, match="the mixture is empty: all areas are 0; give at least one multiplet"
    ):
        either.model.predict(np.zeros((6, 21), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_undefined_areas_are_refused(either, quick, value):
    areas = quick.test_mixtures().areas[0].astype(float)
    areas[2, 5] = areas[3, 7] = value
    with (
        np.errstate(over="ignore"),
        pytest.raises(ValueError, match="the mixture holds 2 undefined or infinite areas"),
    ):
        either.model.predict(areas)


def test_negative_areas_are_accepted(either, quick):
    areas = quick.test_mixtures().areas[0]
    noise = np.random.default_rng(0).normal(0, 0.1, areas.shape)
    for mixture in (-areas, areas + noise - 0.2, -np.eye(6, 21)):
        assert sane(either.model.predict(mixture))


@pytest.mark.parametrize("shape", [(6, 40), (6, 20), (5, 21), (1, 6, 21), (21,)])
def test_a_mixture_of_another_axis_is_refused_with_both_shapes(either, shape):
    given = ", ".join(map(str, (1, *shape)))
    with pytest.raises(
        ValueError,
        match=f"mixture has shape \\({given},?\\); expected \\(batch, 6 peaks, 21 positions\\)",
    ):
        either.model.predict(np.ones(shape))


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_the_unit_of_the_areas_changes_no_prediction(either, quick, factor):
    for areas in quick.test_mixtures().areas:
        plain, other = either.model.predict(areas), either.model.predict(factor * areas)
        assert sane(other)
        assert other.probabilities == pytest.approx(plain.probabilities, abs=2e-3)
        assert other.masks == pytest.approx(plain.masks, abs=2e-3)
        assert other.multiplets / factor == pytest.approx(plain.multiplets, abs=1e-3)
        if other.kind == "queries":
            assert other.named.tolist() == plain.named.tolist()
            assert other.amounts / factor == pytest.approx(plain.amounts, abs=1e-3)


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6, 1e12, 1e18])
def test_no_size_of_areas_gives_undefined_numbers(either, quick, factor):
    mixture = quick.test_mixtures().areas[0] + 0.1 * np.roll(quick.library.areas[0], 1)
    assert sane(either.model.predict(factor * mixture.astype(float)))


def test_other_types_of_numbers_are_taken(either, quick):
    areas = quick.test_mixtures().areas[0]
    expected = either.model.predict(areas).probabilities
    for other in (
        areas.astype(float),
        np.asfortranarray(areas),
        np.repeat(areas, 2, axis=1)[:, ::2],
        areas.tolist(),
    ):
        assert np.array_equal(either.model.predict(other).probabilities, expected)


def test_outputs_are_those_of_the_network_that_are_shown(trained, learned, quick):
    areas = quick.test_mixtures().areas
    for mixture in areas[:4]:
        slots, queries = trained.model.predict(mixture), learned.model.predict(mixture)
        assert slots.outputs.tolist() == [0, 1, 2]
        assert queries.outputs.tolist() == queries.named.tolist()
        for given, model in ((slots, trained.model), (queries, learned.model)):
            with torch.no_grad():
                record = model(torch.from_numpy(mixture)[None])[1]
            assert np.array_equal(given.masks, record.masks[0].numpy()[given.outputs])


@pytest.mark.parametrize("wanted", [[3], [10], [7, 2, 10], list(range(11))], ids=str)
def test_any_outputs_of_queries_can_be_asked_for(learned, quick, wanted):
    areas = quick.test_mixtures().areas[0]
    given, usual = learned.model.predict(areas, np.array(wanted)), learned.model.predict(areas)
    with torch.no_grad():
        record = learned.model(torch.from_numpy(areas)[None])[1]
    assert given.named.tolist() == given.outputs.tolist() == wanted
    for name in ("masks", "separated_encodings", "multiplets"):
        shown, all_of_it = getattr(given, name), getattr(record, name)
        assert np.array_equal(shown, all_of_it[0].numpy()[wanted])
    assert given.confidence.tolist() == given.probabilities[0, wanted].tolist()
    for name in (
        "encoding",
        "probabilities",
        "counts",
        "amounts",
    ):  # what was found stays what it was
        assert np.array_equal(getattr(given, name), getattr(usual, name)), name


def test_slots_show_all_whatever_is_asked_for(trained, quick):
    areas = quick.test_mixtures().areas[0]
    given, usual = trained.model.predict(areas, np.array([1])), trained.model.predict(areas)
    assert all(np.array_equal(value, vars(usual)[key]) for key, value in vars(given).items())
