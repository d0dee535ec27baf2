import hashlib
from collections import Counter
from dataclasses import replace
from itertools import combinations, combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.mixtures.dataset import Augmentation, Dataset, compositions, split
from nmrclassify.mixtures.grid import MixtureConfig, generator
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.nmr.library import LibraryConfig, random_library
from nmrclassify.training.recipes import RECIPES, recipe

DESIGN = Path(__file__).parents[2] / "docs" / "design.md"


def with_percent(line):
    """Write shares as Python does, without a space before the sign."""
    return line.replace(" %", "%")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("repetition", "oracle"), [(False, combinations), (True, combinations_with_replacement)]
)
@pytest.mark.parametrize(("n_compounds", "n_sources"), [(10, 3), (5, 1), (4, 4), (6, 2)])
def test_compositions_are_all_of_them(repetition, oracle, n_compounds, n_sources):
    found = compositions(n_compounds, n_sources, repetition, rng())
    assert sorted(map(tuple, found.tolist())) == sorted(oracle(range(n_compounds), n_sources))


@pytest.mark.parametrize(
    ("repetition", "oracle"), [(False, combinations), (True, combinations_with_replacement)]
)
@pytest.mark.parametrize(("n_compounds", "n_sources"), [(10, 5), (5, 1), (4, 4), (3, 5)])
def test_compositions_of_any_number_are_all_of_them(repetition, oracle, n_compounds, n_sources):
    found = compositions(n_compounds, n_sources, repetition, rng(), number_varies=True)
    expected = {
        (*row, *[n_compounds] * (n_sources - size))
        for size in range(1, n_sources + 1)
        for row in oracle(range(n_compounds), size)
    }
    assert sorted(map(tuple, found.tolist())) == sorted(expected)
    if (n_compounds, n_sources, repetition) == (10, 5, False):
        assert len(found) == 637


@pytest.mark.parametrize("repetition", [False, True])
@pytest.mark.parametrize("number_varies", [False, True])
def test_many_compositions_are_a_distinct_sample(repetition, number_varies):
    found = compositions(60, 6, repetition, rng(), number_varies)
    assert len(found) == 20_000 == len(np.unique(found, axis=0))
    step = np.diff(found, axis=1)
    both = (found[:, 1:] < 60) & (found[:, :-1] < 60)
    assert (step >= 0).all()
    assert repetition or (step[both] > 0).all()
    sizes = np.unique((found < 60).sum(axis=1), return_counts=True)
    assert sizes[0].tolist() == (list(range(1, 7)) if number_varies else [6])


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_test_composition_is_for_training(preset, seed):
    data = build(preset, seed)
    parts = [set(map(tuple, part.tolist())) for part in (data.train, data.validation, data.test)]
    assert (
        sum(map(len, parts))
        == len(set.union(*parts))
        == len(data.train) + len(data.validation) + len(data.test)
    )
    assert len(data.validation) == {"quick": 8, "metabolites": 8, "original": 11}[preset]
    if preset == "original":
        assert (len(data.train), len(data.test)) == (10, 10)


def compounds_of(labels, n_compounds=10):
    """Return the sorted compounds of each composition, without "no compound"."""
    return [tuple(sorted(k for k in row if k < n_compounds)) for row in labels.tolist()]


AUGMENTATIONS = {
    "repeats": {"repeats": 0.8},
    "remix": {"remix": 0.9},
    "any number": {"remix": 0.9, "any_number": True},
    "all": {"repeats": 0.5, "remix": 0.7, "any_number": True, "unknown": 0.3, "own_levels": True},
}


@pytest.mark.parametrize("number_varies", [False, True])
@pytest.mark.parametrize("repetition", [False, True])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmented_batches_never_hold_a_held_out_composition(name, repetition, number_varies):
    data = build("quick", 5, MixtureConfig(repetition=repetition, number_varies=number_varies))
    augmentation = Augmentation(data.config, **AUGMENTATIONS[name])
    held_out = set(compounds_of(data.test)) | set(compounds_of(data.validation))
    seen = [
        row
        for step in range(60)
        for row in compounds_of(data.training_batch(step, 128, augmentation).labels)
    ]
    assert not held_out & set(seen)
    own = set(compounds_of(data.train))
    # With the number of the data, all compositions that are not held out are for training.
    wider = "any_number" in AUGMENTATIONS[name] or (
        "repeats" in AUGMENTATIONS[name] and not repetition
    )
    assert own & set(seen)
    assert bool(set(seen) - own) == wider
    sizes = {len(row) for row in seen}
    if name in ("any number", "all"):
        assert sizes == {0, 1, 2, 3, 4}
    else:
        assert sizes == ({1, 2, 3} if number_varies else {3})
    if not repetition and name in ("remix", "any number"):
        assert all(len(set(row)) == len(row) for row in seen)
    elif "repeats" in AUGMENTATIONS[name] or repetition:
        assert any(len(set(row)) < len(row) for row in seen)


@pytest.mark.parametrize("number_varies", [False, True])
def test_remixing_reaches_every_composition_that_is_not_held_out(number_varies):
    data = build("quick", 5, MixtureConfig(number_varies=number_varies))
    augmentation = Augmentation(data.config, remix=1.0, any_number=True)
    seen = {
        row
        for step in range(150)
        for row in compounds_of(data.training_batch(step, 128, augmentation).labels)
    }
    every = {size: set(combinations(range(10), size)) for size in range(5)}
    if number_varies:
        assert set.union(*every.values()) - seen == set(compounds_of(data.test)) | set(
            compounds_of(data.validation)
        )
    else:
        # Nothing is drawn at the number of the data: only held-out compositions would be missing.
        assert seen == every[0] | every[1] | every[2] | every[4]


def test_remixing_at_the_same_number_gives_the_training_compositions():
    data = build("quick", 5)
    augmentation = Augmentation(data.config, remix=1.0)
    seen = {
        row
        for step in range(60)
        for row in compounds_of(data.training_batch(step, 128, augmentation).labels)
    }
    assert seen == set(compounds_of(data.train))


def test_remixing_works_with_fewer_compounds_than_sources():
    library = random_library(LibraryConfig(n_compounds=4), rng())
    data = split(library, MixtureConfig(), 0, None, None)
    seen = [
        row
        for step in range(20)
        for row in compounds_of(
            data.training_batch(
                step, 64, Augmentation(data.config, remix=1.0, any_number=True)
            ).labels,
            4,
        )
    ]
    assert all(len(set(row)) == len(row) for row in seen)
    assert {len(row) for row in seen} == {0, 1, 2, 4}


def test_own_levels_give_clean_mixtures_and_disturbed_ones():
    data = build("quick", 5)
    disturbed = MixtureConfig(
        concentration_low=0.25, concentration_high=4.0, shift_jitter=1.0, noise=0.2
    )
    augmentation = Augmentation(disturbed, unknown=0.5, own_levels=True)
    parts = [data.training_batch(step, 256, augmentation) for step in range(12)]
    noise = np.concatenate(
        [(m.areas - m.sources.sum(axis=1) - m.unknown).std((1, 2)) for m in parts]
    )
    pure = np.concatenate(
        [
            (m.concentrations[..., None, None] * data.library.areas[m.labels] == m.sources).all(
                (1, 2, 3)
            )
            for m in parts
        ]
    )
    plain = np.concatenate([(m.concentrations == 1).all(axis=1) for m in parts])
    unknown = np.concatenate([m.unknown.any((1, 2)) for m in parts])
    assert noise.max() > 0.15
    assert np.median(noise) < 0.15
    quiet = noise < 1e-6
    # A fifth of the mixtures is clean, a fifth has two of the three disturbances, the others one.
    for share in (quiet, plain, pure):
        assert share.mean() == pytest.approx(1 - 0.6 / 3 - 0.2 * 2 / 3, abs=0.03)
    assert (quiet & pure & plain).mean() == pytest.approx(0.2, abs=0.03)
    assert (~quiet & ~pure & ~plain).sum() == 0
    assert unknown.mean() == pytest.approx(0.5, abs=0.04)
    clean = quiet & pure & plain & ~unknown
    assert clean.any()
    areas, labels = (
        np.concatenate([getattr(m, key) for m in parts])[clean] for key in ("areas", "labels")
    )
    assert np.array_equal(areas, data.library.areas[labels].sum(axis=1))
    amounts = np.concatenate([m.concentrations for m in parts])
    assert amounts.min() < 0.3
    assert amounts.max() > 3.3
    assert amounts.min() >= 0.25
    assert amounts.max() <= 4.0


@pytest.mark.parametrize("number_varies", [False, True])
@pytest.mark.parametrize("remix", [0.0, 0.7])
@pytest.mark.parametrize("any_number", [False, True])
def test_an_unknown_compound_replaces_one_compound(number_varies, remix, any_number):
    data = build("quick", 5, MixtureConfig(number_varies=number_varies))
    whole = Augmentation(data.config, remix=remix, any_number=any_number)
    parts = [
        data.training_batch(step, 128, replace(whole, unknown_replaces=0.5)) for step in range(40)
    ]
    before = [data.training_batch(step, 128, whole) for step in range(40)]
    labels, old, areas, sources, unknown = (
        np.concatenate([getattr(m, key) for m in of])
        for of, key in (
            (parts, "labels"),
            (before, "labels"),
            (parts, "areas"),
            (parts, "sources"),
            (parts, "unknown"),
        )
    )
    replaced, size = unknown.any((1, 2)), (labels < 10).sum(axis=1)
    assert areas == pytest.approx(sources.sum(axis=1) + unknown, abs=1e-5)
    assert not sources[labels == 10].any()
    full = (old < 10).all(axis=1)
    assert not replaced[~full].any()
    assert replaced[full].mean() > 0.15
    # One compound of the composition is missing; the others are as they were.
    for now, was in zip(labels[replaced].tolist(), old[replaced].tolist(), strict=True):
        assert now[-1] == 10
        assert (Counter(was) - Counter(now)).total() == 1
        assert not Counter(now[:-1]) - Counter(was)
    assert np.array_equal(labels[~replaced], old[~replaced])
    assert not data.held_out(labels).any()
    if not (number_varies or any_number):
        assert replaced.mean() == pytest.approx(0.5, abs=0.03)
        assert (size[replaced] == 2).all()
        assert (size[~replaced] == 3).all()


def test_validation_mixtures_have_no_compound_replaced():
    data = build("quick", 5)
    mixtures = data.validation_mixtures(
        40, Augmentation(data.config, unknown=0.5, unknown_replaces=0.9)
    )
    assert (mixtures.labels < 10).all()
    assert mixtures.has_unknown.mean() == pytest.approx(0.5, abs=0.3)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("any_number", [False, True])
def test_the_same_step_gives_the_same_bytes(name, any_number):
    def content(mixtures):
        parts = (
            mixtures.areas,
            mixtures.sources,
            mixtures.labels,
            mixtures.concentrations,
            mixtures.unknown,
        )
        return [None if part is None else part.tobytes() for part in parts]

    data, again = (build("metabolites", 5) for _ in range(2))
    augmentation = recipe(name).augmented(data, any_number)
    for draw in (
        lambda d: d.training_batch(9, 8, augmentation),
        lambda d: d.validation_mixtures(40, augmentation),
    ):
        assert content(draw(data)) == content(draw(again))
    assert content(data.training_batch(9, 8, augmentation)) != content(
        data.training_batch(10, 8, augmentation)
    )
    other = build("metabolites", 6)
    assert content(data.validation_mixtures(40, augmentation)) != content(
        other.validation_mixtures(40, augmentation)
    )


def test_validation_mixtures_are_of_the_validation_compositions():
    data = build("quick", 5)
    mixtures = data.validation_mixtures(30, recipe("queries").augmented(data, any_number=True))
    assert len(mixtures) == 30
    assert set(compounds_of(mixtures.labels)) == set(compounds_of(data.validation))
    assert mixtures.unknown.any((1, 2)).any()
    assert not mixtures.unknown.any((1, 2)).all()


def test_an_epoch_shows_every_training_composition_once():
    data = build("quick", 5)
    n = len(data.train)
    rows = np.concatenate([data.training_batch(step, 19).labels for step in range(n // 19)])
    assert len(rows) == n == len(np.unique(rows, axis=0))


@pytest.mark.parametrize("preset", PRESETS)
def test_one_seed_gives_the_same_bytes(preset):
    assert build(preset, 7).digest() == build(preset, 7).digest() != build(preset, 8).digest()


def test_the_bytes_of_a_seed_do_not_change_between_versions():
    assert build("original", 7).digest()[:16] == "bf06107ab12533f9"
    # The libraries of version 0.1, whose compounds filled any number of positions.
    library = random_library(LibraryConfig(filled=0.0), generator(7, "library"))
    data = build("original", 7, library=library)
    assert data.digest()[:16] == "d2755615103bd034"
    # The bytes from before there was a validation part.
    before = hashlib.sha256()
    for array in (
        data.library.areas,
        data.train,
        data.test,
        data.test_mixtures().areas,
        data.training_batch(0, 64).areas,
    ):
        before.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    assert before.hexdigest()[:16] == "404f945fbc4219d2"


@pytest.mark.parametrize(
    ("row", "filled"), [("| now |", 0.2), ("| version 0.1: any number", 0.0)], ids=["now", "0.1"]
)
def test_compounds_and_mixtures_fill_the_positions_that_the_design_page_states(row, filled):
    singles, mixed = [], []  # positions filled, for each seed
    for seed in range(1, 6):
        library = random_library(LibraryConfig(filled=filled), generator(seed, "library"))
        if filled:
            assert np.array_equal(library.areas, build("quick", seed).library.areas)
        fills = library.areas.any(axis=1)  # (K, L)
        triples = np.array(list(combinations(range(10), 3)))
        singles.append(fills.sum(axis=1))
        mixed.append(fills[triples].any(axis=1).sum(axis=1))
    single, mixture = np.mean(singles), np.mean(mixed)
    stated = next(line for line in DESIGN.read_text().splitlines() if line.startswith(row))
    least, most = np.min(singles), np.max(singles)
    assert f"| {single:.2f} ({single / 21:.0%}), from {least} to {most} |" in with_percent(stated)
    assert f"| {mixture:.1f} ({mixture / 21:.0%})" in with_percent(stated)
    # Three compounds that are placed independently overlap: they fill less than 3 x 20 %.
    assert mixture / 21 == pytest.approx(1 - (1 - single / 21) ** 3, abs=0.01)
    assert mixture < 3 * single - 2


def test_the_test_set_is_the_same_whatever_training_does():
    data = build("quick", 5)
    before = data.test_mixtures().areas.tobytes()
    data.training_batch(3, 64)
    assert data.test_mixtures().areas.tobytes() == before


def test_too_small_libraries_are_refused():
    library = random_library(LibraryConfig(n_compounds=1), rng())
    with pytest.raises(ValueError, match="3 different compounds cannot be chosen from 1"):
        split(library, MixtureConfig(), 0, None, None)
    with pytest.raises(ValueError, match="expected at least one of each"):
        split(library, MixtureConfig(repetition=True), 0, None, None)
    with pytest.raises(ValueError, match="expected at least one of each"):
        split(library, MixtureConfig(n_sources=1), 0, None, None)


def test_a_data_set_needs_training_and_test():
    data = build("quick", 1)
    with pytest.raises(ValueError, match="0 test compositions"):
        Dataset(data.library, data.config, data.train, data.validation, data.test[:0], 1)


def test_a_composition_in_two_parts_is_refused():
    data = build("quick", 1)
    for validation, test in (
        (data.validation, data.train[:2]),
        (data.train[:2], data.test),
        (data.test[:2], data.test),
    ):
        with pytest.raises(ValueError, match="compositions are in another part as well"):
            Dataset(data.library, data.config, data.train, validation, test, 1)
    Dataset(data.library, data.config, data.train, data.validation[:0], data.test, 1)


def test_a_number_of_training_compositions_means_the_same_ones():
    data = build("quick", 1)
    fewer = split(data.library, data.config, 1, 20, None)
    assert len(data.train) > 20
    assert np.array_equal(fewer.train, data.train[:20])
    assert np.array_equal(fewer.validation, data.validation)
    assert np.array_equal(fewer.test, data.test)
