"""A comparison holds the two predictions; occlusion equals that of a plain loop."""

import numpy as np
import pytest
import torch

from nmrclassify.evaluation.compare_predictions import (
    _paired,
    compare_predictions,
    occlude,
    presence_row,
)
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.prediction import MAX_SHOWN
from nmrclassify.networks.slots import Slots
from nmrclassify.training.trainer import model_for


def said(model, areas):
    """Return the probability of each class, from the network itself."""
    with torch.inference_mode():
        output = model.eval()(torch.from_numpy(areas)[None])[0]
    if model.kind == "queries":
        return output.presence[0].sigmoid().numpy()
    return (1 - (1 - output[0].softmax(-1)[:, : model.config.n_compounds]).prod(dim=0)).numpy()


def test_the_same_twice_makes_no_difference(either, quick):
    areas = quick.test_mixtures().areas[0]
    found, alone = (
        compare_predictions((either.model, areas), (either.model, areas)),
        either.model.predict(areas),
    )
    for both in (found.masks, found.multiplets, found.presence):
        assert np.array_equal(both[0], both[1])
    assert found.labels.tolist() == alone.named.tolist()
    assert found.outputs.tolist() == alone.outputs.tolist()
    assert np.array_equal(found.masks[0], alone.masks)
    assert np.array_equal(found.multiplets[0], alone.multiplets)
    assert np.array_equal(found.first.probabilities, alone.probabilities)
    assert np.array_equal(found.second.probabilities, alone.probabilities)


def test_both_sides_are_what_each_is_alone(either, quick):
    areas = quick.test_mixtures().areas[[0, 5]]
    found = compare_predictions((either.model, areas[0]), (either.model, areas[1]))
    for side, given in enumerate((found.first, found.second)):
        own = either.model.predict(areas[side])
        assert given.named.tolist() == own.named.tolist()
        assert np.array_equal(given.masks, own.masks)
        assert found.presence[side] == pytest.approx(said(either.model, areas[side]), abs=1e-6)
        whole = either.model.predict(
            areas[side], np.arange(11)
        )  # slots show all, whatever is asked for
        assert np.array_equal(found.masks[side], whole.masks[found.outputs])
        assert np.array_equal(found.multiplets[side], whole.multiplets[found.outputs])


def test_two_queries_networks_show_what_either_finds(learned, quick):
    made = quick.test_mixtures()
    for i, j in ((0, 1), (2, 9), (4, 4)):
        found = compare_predictions((learned.model, made.areas[i]), (learned.model, made.areas[j]))
        assert set(found.labels) == {*found.first.named.tolist(), *found.second.named.tolist()}
        assert len(set(found.labels)) == len(found.labels) <= MAX_SHOWN
        assert found.labels.tolist() == found.outputs.tolist()
        assert not np.isnan(
            found.masks
        ).any()  # queries have an output for each compound, found or not


def test_no_more_outputs_are_shown_than_fit(quick):
    eager = model_for(quick, 3, "queries")
    eager.global_head[2].bias.data.fill_(50.0)
    areas = quick.test_mixtures().areas
    found = compare_predictions((eager, areas[0]), (eager, areas[1]))
    assert len(found.labels) == MAX_SHOWN
    assert found.masks.shape[:2] == (2, MAX_SHOWN)


def test_slots_of_two_trainings_are_paired_by_what_they_name(trained, quick):
    areas, other = quick.test_mixtures().areas[0], model_for(quick, 11, "slots")
    other.trained = True
    found = compare_predictions((trained.model, areas), (other, areas))
    first, second = found.first.named.tolist(), found.second.named.tolist()
    # Every output of either stands once; those of one name stand together as often as both have it.
    common = sum(min(first.count(k), second.count(k)) for k in set(first))
    assert len(found.labels) == len(first) + len(second) - common
    there = ~np.isnan(found.masks).all((2, 3))
    assert there[0].sum() == len(first)
    assert there[1].sum() == len(second)
    assert (there.sum(axis=0) == 2).sum() == common
    for side, (given, names) in enumerate(((found.first, first), (found.second, second))):
        assert sorted(found.labels[there[side]]) == sorted(names)
        for k, masks, multiplets in zip(
            found.labels[there[side]],
            found.masks[side][there[side]],
            found.multiplets[side][there[side]],
            strict=False,
        ):
            places = [i for i, name in enumerate(names) if name == k]
            assert any(
                np.array_equal(masks, given.masks[i])
                and np.array_equal(multiplets, given.multiplets[i])
                for i in places
            )


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_a_multiset_intersection(seed):
    rng = np.random.default_rng(seed)
    for _ in range(30):
        first, second = (
            rng.integers(4, size=rng.integers(1, 5)),
            rng.integers(4, size=rng.integers(1, 5)),
        )
        pairs = _paired(first, second)
        assert all(first[i] == second[j] for i, j in pairs if i is not None and j is not None)
        assert sorted(i for i, _ in pairs if i is not None) == list(range(len(first)))
        assert sorted(j for _, j in pairs if j is not None) == list(range(len(second)))
        together = sum(i is not None and j is not None for i, j in pairs)
        assert together == sum(min((first == k).sum(), (second == k).sum()) for k in range(4))


def test_the_same_slots_stay_in_their_places(trained, quick):
    areas = quick.test_mixtures().areas
    found = compare_predictions((trained.model, areas[0]), (trained.model, areas[7]))
    assert found.outputs.tolist() == [0, 1, 2]
    assert not np.isnan(found.multiplets).any()


def test_two_steps_of_one_training_are_paired_by_number(trained, quick):
    areas, before = quick.test_mixtures().areas[0], model_for(quick, 3, "slots")
    found = compare_predictions((before, areas), (trained.model, areas), one_training=True)
    assert found.outputs.tolist() == [0, 1, 2]
    assert found.named.tolist() == [[-1, -1, -1], found.second.named.tolist()]
    for side, prediction in enumerate((found.first, found.second)):
        assert np.array_equal(found.masks[side], prediction.masks)
        assert np.array_equal(found.multiplets[side], prediction.multiplets)
    names = quick.library.names
    assert found.labels.tolist() == found.second.named.tolist()
    assert found.class_names(names) == tuple(f"untrained → {names[k]}" for k in found.second.named)
    before.trained = True  # it then names compounds, as an early step of a training does
    found = compare_predictions((before, areas), (trained.model, areas), one_training=True)
    assert found.named.tolist() == [found.first.named.tolist(), found.second.named.tolist()]
    for text, (a, b) in zip(found.class_names(names), found.named.T, strict=True):
        assert text == (names[a] if a == b else f"{names[a]} → {names[b]}")


@pytest.mark.parametrize("trained_first", [True, False])
def test_untrained_slots_name_nothing_beside_trained_queries(learned, quick, trained_first):
    areas, blank = quick.test_mixtures().areas[0], model_for(quick, 11, "slots")
    sides = [(learned.model, areas), (blank, areas)]
    found = compare_predictions(*(sides if trained_first else sides[::-1]))
    named = learned.model.predict(areas).named.tolist()
    queries, slots = found.named if trained_first else found.named[::-1]
    assert queries[: len(named)].tolist() == named
    assert (slots == -1).all()
    texts = found.class_names(quick.library.names)
    assert all("untrained" in text.split(" → ") for text in texts)
    assert len(texts) == max(3, len(named))


def test_untrained_queries_show_the_compounds_of_the_other_side(trained, quick):
    areas, blank = quick.test_mixtures().areas[0], model_for(quick, 11, "queries")
    found = compare_predictions((trained.model, areas), (blank, areas))
    assert found.named[0].tolist() == found.named[1].tolist() == found.first.named.tolist()


def test_slots_beside_queries_share_the_compounds(trained, learned, quick):
    areas = quick.test_mixtures().areas[0]
    for first, second in ((trained.model, learned.model), (learned.model, trained.model)):
        found = compare_predictions((first, areas), (second, areas))
        slots = 0 if first is trained.model else 1
        # Queries have an output for whatever the slots name; so both have a map beside it.
        for k in found.first.named if slots == 0 else found.second.named:
            assert k in found.named[1 - slots]
        together = (found.named >= 0).all(axis=0)
        assert (found.named[0] == found.named[1])[together].all()
        assert not np.isnan(found.multiplets[:, together]).any()
        assert found.presence.shape == (2, 10)
        for row, model in zip(found.presence, (first, second), strict=False):
            assert row == pytest.approx(said(model, areas)[:10], abs=1e-6)


def test_other_numbers_of_filters_have_no_common_masks(quick):
    models = [Slots(NetworkConfig(n_filters=n)) for n in (64, 32)]
    areas = quick.test_mixtures().areas[0]
    found = compare_predictions((models[0], areas), (models[1], areas))
    assert found.masks is None
    assert found.multiplets.shape[0] == 2
    assert found.presence.shape == (2, 10)


@pytest.mark.parametrize(
    "config",
    [NetworkConfig(n_compounds=9), NetworkConfig(n_positions=20), NetworkConfig(n_peaks=5)],
)
def test_other_sizes_are_refused(trained, quick, config):
    sizes = (config.n_compounds, config.n_peaks, config.n_positions)
    other = np.ones(sizes[1:], np.float32)
    with pytest.raises(
        ValueError, match=rf"\(10, 6, 21\) and \({sizes[0]}, {sizes[1]}, {sizes[2]}\)"
    ):
        compare_predictions((trained.model, quick.test_mixtures().areas[0]), (Slots(config), other))


def test_an_empty_mixture_is_refused(learned, quick):
    areas = quick.test_mixtures().areas[0]
    with pytest.raises(ValueError, match="empty"):
        compare_predictions((learned.model, areas), (learned.model, 0 * areas))


def test_presences_of_a_batch_are_those_of_each(either, quick):
    areas = quick.test_mixtures().areas[:5]
    for row, own in zip(presence_row(either.model, areas), areas, strict=False):
        assert row == pytest.approx(said(either.model, own), abs=1e-5)


@pytest.mark.parametrize("least", [0.02, 0.5, 0.0])
def test_what_a_multiplet_is_worth_is_what_a_loop_finds(either, quick, least):
    rng = np.random.default_rng(0)
    areas = quick.test_mixtures().areas[3] + rng.normal(0, 0.002, (6, 21)).astype(np.float32)
    kept, found = areas.copy(), occlude(either.model, areas, least)
    sizes = [float(np.abs(areas[:, p]).sum()) for p in range(21)]
    assert found.positions.tolist() == [p for p in range(21) if sizes[p] > least * max(sizes)]
    whole = said(either.model, areas)
    assert found.presence == pytest.approx(whole, abs=1e-5)
    assert found.fall.shape == (len(whole), 21)
    for p in range(21):
        if p not in found.positions:
            assert np.isnan(found.fall[:, p]).all()
            continue
        without = areas.copy()
        without[:, p] = 0
        assert found.fall[:, p] == pytest.approx(whole - said(either.model, without), abs=2e-5), (
            f"position {p}"
        )
    assert np.array_equal(areas, kept)


def test_a_lone_multiplet_is_all_there_is(either, quick):
    areas = np.zeros((6, 21), np.float32)
    areas[0, 4] = 1.0
    found = occlude(either.model, areas)
    assert found.positions.tolist() == [4]
    assert np.isfinite(found.fall[:, 4]).all()
    assert np.isfinite(found.presence).all()
