from itertools import combinations, combinations_with_replacement

import numpy as np
import pytest

from nmrclassify.library import LibraryConfig, random_library
from nmrclassify.mixtures import Dataset, MixtureConfig, compositions, generator, mix, mix_at, shift_multiplets, split
from nmrclassify.presets import PRESETS, build


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("repetition, oracle", [(False, combinations), (True, combinations_with_replacement)])
@pytest.mark.parametrize("n_compounds, n_sources", [(10, 3), (5, 1), (4, 4), (6, 2)])
def test_compositions_are_all_of_them(repetition, oracle, n_compounds, n_sources):
    found = compositions(n_compounds, n_sources, repetition, rng())
    assert sorted(map(tuple, found.tolist())) == sorted(oracle(range(n_compounds), n_sources))


def test_many_compositions_are_a_distinct_sample():
    found = compositions(60, 6, True, rng())
    assert len(found) == 20_000 == len(np.unique(found, axis=0))
    assert (np.diff(found, axis=1) >= 0).all()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_test_composition_is_for_training(preset, seed):
    data = build(preset, seed)
    assert not set(map(tuple, data.train.tolist())) & set(map(tuple, data.test.tolist()))
    if preset == "original":
        assert (len(data.train), len(data.test)) == (10, 10)


@pytest.mark.parametrize("repetition", [False, True])
def test_augmented_batches_never_hold_a_test_composition(repetition):
    data = build("quick", 5, MixtureConfig(repetition=repetition))
    test = set(map(tuple, data.test.tolist()))
    seen = [tuple(sorted(row)) for step in range(40) for row in data.training_batch(step, 64, repeats=0.8).labels.tolist()]
    assert not test & set(seen)
    assert any(len(set(row)) < 3 for row in seen)


def test_an_epoch_shows_every_training_composition_once():
    data = build("quick", 5)
    n = len(data.train)
    rows = np.concatenate([data.training_batch(step, 12).labels for step in range(n // 12)])
    assert len(rows) == n == len(np.unique(rows, axis=0))


@pytest.mark.parametrize("preset", PRESETS)
def test_one_seed_gives_the_same_bytes(preset):
    assert build(preset, 7).digest() == build(preset, 7).digest() != build(preset, 8).digest()


def test_the_bytes_of_a_seed_do_not_change_between_versions():
    assert build("original", 7).digest()[:16] == "404f945fbc4219d2"


def test_a_mixture_is_the_sum_of_its_sources_and_mass_is_conserved():
    library = random_library(LibraryConfig(), rng())
    config = MixtureConfig(concentration_low=0.2, concentration_high=3.0, shift_jitter=1.5)
    made = mix(library, rng().integers(10, size=(50, 3)), config, rng(1))
    assert made.areas == pytest.approx(made.sources.sum(axis=1), abs=1e-5)
    expected = library.areas[made.labels].sum((2, 3)) * made.concentrations
    assert made.sources.sum((2, 3)) == pytest.approx(expected, rel=1e-4)
    assert (made.concentrations >= 0.2).all() and (made.concentrations <= 3.0).all()


def test_vectorised_mixing_equals_a_loop():
    library = random_library(LibraryConfig(), rng())
    labels, amounts = rng().integers(10, size=(20, 3)), rng(1).uniform(0.5, 2, (20, 3)).astype(np.float32)
    made = mix_at(library, labels, amounts, MixtureConfig(), rng())
    for b in range(20):
        total = sum(float(amounts[b, c]) * library.areas[labels[b, c]] for c in range(3))
        assert made.areas[b] == pytest.approx(total, abs=1e-5)


def test_whole_shifts_move_and_fractions_share():
    areas = np.zeros((1, 5))
    areas[0, 2] = 1.0
    shifts = np.zeros(5)
    for shift, expected in ((1.0, [0, 0, 0, 1, 0]), (-0.25, [0, 0.25, 0.75, 0, 0]), (9.0, [0, 0, 0, 0, 1]), (-9.0, [1, 0, 0, 0, 0])):
        shifts[2] = shift
        assert shift_multiplets(areas, shifts)[0] == pytest.approx(expected)


def test_noise_has_its_standard_deviation():
    library = random_library(LibraryConfig(), rng())
    made = mix(library, np.zeros((200, 3), int), MixtureConfig(noise=0.3), rng())
    assert (made.areas - made.sources.sum(axis=1)).std() == pytest.approx(0.3, rel=0.02)


def test_the_test_set_is_the_same_whatever_training_does():
    data = build("quick", 5)
    before = data.test_mixtures().areas.tobytes()
    data.training_batch(3, 64)
    assert data.test_mixtures().areas.tobytes() == before


def test_streams_of_one_seed_differ():
    assert generator(1, "train").random() != generator(1, "test").random()
    with pytest.raises(ValueError, match="seed is -1"):
        generator(-1, "train")


def test_too_small_libraries_are_refused():
    library = random_library(LibraryConfig(n_compounds=1), rng())
    with pytest.raises(ValueError, match="3 different compounds cannot be chosen from 1"):
        split(library, MixtureConfig(), 0, None, None)
    with pytest.raises(ValueError, match="expected at least one of each"):
        split(library, MixtureConfig(repetition=True), 0, None, None)


def test_a_data_set_needs_both_sides():
    data = build("quick", 1)
    with pytest.raises(ValueError, match="0 test compositions"):
        Dataset(data.library, data.config, data.train, data.test[:0], 1)


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="preset is 'fast'; expected one of"):
        build("fast", 1)
