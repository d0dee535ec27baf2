import numpy as np
import pytest

from nmrclassify.evaluation import masks


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


def test_masks_of_one_output_can_be_ordered_and_overlap_nowhere(learned, quick):
    given = learned.model.predict(quick.library.areas[0])
    assert sorted(masks.similarity_order(given.masks[:1])) == list(range(64))
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
    assert masks.dominant_outputs(multiplets).tolist() == [0, -1, 1, -1]


def test_silence_is_relative_to_the_strongest_cell():
    encoding = np.array([[10.0, -0.3], [0.1, 0.0]])
    assert masks.weak_cells(encoding).tolist() == [[False, False], [True, True]]
    assert masks.weak_cells(np.zeros((2, 2))).all()


def test_similar_filters_come_to_stand_together():
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat([0, 1], 8))
    rows = np.where(kinds[:, None] == 0, 0.1, 0.9) + 0.01 * rng.random((16, 5))
    order = masks.similarity_order(np.stack([rows, rows]))
    assert sorted(order) == list(range(16))
    assert (np.diff(kinds[order]) != 0).sum() == 1
