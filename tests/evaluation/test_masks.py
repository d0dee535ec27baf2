import dataclasses

import numpy as np
import pytest

from nmrclassify.evaluation import masks
from nmrclassify.evaluation.prediction import match_mixture
from nmrclassify.mixtures.edits import Mixture


def test_ideal_masks_share_out_the_encoding(either, quick):
    made = quick.test_mixtures()
    ideal = masks.ideal_ratio_masks(either.model, made.sources[0])
    total = ideal.sum(axis=0)
    assert ideal.shape == (3, 64, 21)
    assert (ideal >= 0).all()
    assert (ideal <= 1).all()
    assert ((np.abs(total - 1) < 1e-5) | (total == 0)).all()
    assert (total > 0).any()


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_ideal_masks_do_not_depend_on_the_unit(either, quick, factor):
    sources = quick.test_mixtures().sources[0]
    ideal = masks.ideal_ratio_masks(either.model, sources)
    assert masks.ideal_ratio_masks(either.model, factor * sources) == pytest.approx(ideal, abs=1e-4)


def test_the_mask_of_one_output_overlaps_nowhere(learned, quick):
    given = learned.model.predict(quick.library.areas[0])
    assert not masks.overlap(given.masks[:1]).any()


def test_a_lone_source_owns_its_cells(trained, quick):
    sources = quick.test_mixtures().sources[0].copy()
    sources[1:] = 0
    ideal = masks.ideal_ratio_masks(trained.model, sources)
    assert not ideal[1:].any()
    assert set(np.unique(ideal[0])) == {0.0, 1.0}


def test_overlap_is_the_second_highest():
    stack = np.array([[[0.1, 0.9]], [[0.7, 0.8]], [[0.3, 0.2]]])
    assert masks.overlap(stack).tolist() == [[0.3, 0.8]]
    assert masks.overlap(stack[:1]).tolist() == [[0.0, 0.0]]


def test_owners_and_shares():
    multiplets = np.zeros((2, 6, 4))
    multiplets[0, 0, 0], multiplets[1, 0, 0], multiplets[1, :2, 2] = 3.0, 1.0, 1.0
    assert masks.shares(multiplets)[:, 0] == pytest.approx([0.75, 0.25])
    assert masks.owners(masks.shares(multiplets)).tolist() == [0, -1, 1, -1]


def test_silence_is_relative_to_the_strongest_cell():
    encoding = np.array([[10.0, -0.3], [0.1, 0.0]])
    assert masks.weak_cells(encoding).tolist() == [[False, False], [True, True]]
    assert masks.weak_cells(np.zeros((2, 2))).all()


def test_encodings_of_single_multiplets_add_up(either, quick):
    areas = quick.test_mixtures().areas[0]
    parts = masks.multiplet_encodings(either.model, areas)
    assert parts.sum(axis=0) == pytest.approx(either.model.predict(areas).encoding, abs=1e-4)
    filled = areas.any(axis=0)
    for position, part in enumerate(parts):
        assert part.any() == filled[position]
        near = np.abs(np.arange(21) - position) <= 1
        assert not part[:, ~near].any()


def test_shares_of_ideal_masks_are_the_true_ones(trained, quick):
    made, close = quick.test_mixtures(), []
    for i in range(6):
        mixture = Mixture.of(made, i)
        truth = match_mixture(trained.model.predict(mixture.areas), mixture)
        ideal = masks.ideal_masks_of_outputs(trained.model, mixture, truth)
        parts = masks.multiplet_encodings(trained.model, mixture.areas)
        shares, true = masks.shares_from_masks(ideal, parts), masks.true_shares(mixture, truth)
        assert shares.shape == true.shape == (3, 21)
        alone = np.isclose(true.max(axis=0), 1)
        assert shares[:, alone] == pytest.approx(true[:, alone], abs=0.1)
        there = shares.any(axis=0)
        close.append(np.abs(shares - true)[:, there].mean())
    assert np.mean(close) < 0.03


def test_shares_follow_the_masks_of_a_multiplet_alone(trained, quick):
    areas = np.zeros((6, 21))
    areas[0, 4], areas[:2, 12] = 2.0, 1.0
    parts = masks.multiplet_encodings(trained.model, areas)
    stack = np.full((2, 64, 21), 0.25)
    stack[1, :, :8] = 0.75
    shares = masks.shares_from_masks(stack, parts)
    expected = np.zeros((2, 21))
    expected[:, 4], expected[:, 12] = (0.25, 0.75), 0.25
    assert shares == pytest.approx(expected, abs=1e-6)
    assert masks.owners(shares)[[4, 12, 0]].tolist() == [1, 0, -1]
    assert masks.shares_from_masks(stack, 1e-5 * parts) == pytest.approx(expected, abs=1e-6)


def test_an_empty_mixture_has_no_shares():
    assert not masks.shares_from_masks(np.ones((2, 4, 5)), np.zeros((5, 4, 5))).any()


def test_true_shares_include_the_unknown_compound(trained, quick):
    made = quick.test_mixtures()
    mixture = Mixture.of(made, 0)
    truth = match_mixture(trained.model.predict(mixture.areas), mixture)
    total = masks.true_shares(mixture, truth).sum(axis=0)
    filled = np.where(mixture.areas.any(axis=0), 1.0, np.nan)
    assert total == pytest.approx(filled, abs=1e-5, nan_ok=True)
    doubled = Mixture(
        2 * mixture.areas,
        mixture.sources,
        mixture.labels,
        mixture.concentrations,
        unknown=mixture.areas,
    )
    assert masks.true_shares(doubled, truth).sum(axis=0) == pytest.approx(
        filled / 2, abs=1e-5, nan_ok=True
    )
    assert masks.true_shares(mixture, None) is None


def test_cells_disagree_only_where_the_encoding_is_strong():
    encoding = np.array([[10.0, 0.1], [5.0, 3.0]])
    stack, ideal = np.array([[[0.9, 1.0], [0.2, 0.5]]]), np.array([[[0.4, 0.0], [0.3, 0.5]]])
    difference = masks.disagreements(stack, ideal, encoding)
    assert difference == pytest.approx(np.array([[[0.5, np.nan], [-0.1, 0.0]]]), nan_ok=True)


@pytest.mark.parametrize("number", [3, 1000])
def test_the_worst_masks_are_those_that_the_page_shows(either, quick, number):
    made = quick.test_mixtures()
    worst = masks.worst_masks(either.model, made, number)
    assert 0 < len(worst) <= number
    distances = [one.distance for one in worst]
    assert distances == sorted(distances, reverse=True)
    assert min(distances) > masks.DISAGREES
    one = worst[0]
    mixture = Mixture.of(made, one.mixture)
    prediction = either.model.predict(mixture.areas)
    truth = match_mixture(prediction, mixture)
    parts = masks.multiplet_encodings(either.model, mixture.areas)
    m = prediction.outputs.tolist().index(one.output)
    read = masks.shares_from_masks(prediction.masks, parts)[m, one.position]
    ideal = masks.ideal_masks_of_outputs(either.model, mixture, truth)
    wanted = masks.shares_from_masks(ideal, parts)[m, one.position]
    assert (one.mask, one.ideal) == pytest.approx((read, wanted))


def test_an_owner_without_an_output_makes_every_output_wrong():
    true = np.array([[0.6, 0.49, 0.0, np.nan], [0.4, 0.51, 0.0, np.nan]])
    read = np.array([[0.9, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1]])
    assert masks.wrong_owners(read, true).tolist() == [False, False, True, False]
    assert masks.wrong_owners(read[::-1], true).tolist() == [True, False, True, False]
    assert masks.wrong_owners(np.zeros((2, 4)), true).tolist() == [True, True, True, False]


def test_right_owners_are_counted(learned, quick, monkeypatch):
    made = quick.test_mixtures()
    right, total = masks.owners_right(learned.model, made)
    occupied = (made.sources.sum(axis=(1, 2)) > 0).sum()
    assert 0.3 * total < right <= total <= occupied
    # With ideal masks in place of the network's, nearly all are right.
    predict = type(learned.model).predict

    def ideally(model, areas, outputs=None):
        prediction = predict(model, areas, outputs)
        i = int(np.flatnonzero((made.areas == areas).all(axis=(1, 2)))[0])
        mixture = Mixture.of(made, i)
        truth = match_mixture(prediction, mixture)
        ideal = masks.ideal_masks_of_outputs(model, mixture, truth)
        return dataclasses.replace(prediction, masks=ideal)

    monkeypatch.setattr(type(learned.model), "predict", ideally)
    best, _ = masks.owners_right(learned.model, made)
    assert best >= right
    assert best > 0.9 * total
