import hashlib
from itertools import combinations, combinations_with_replacement

import numpy as np
import pytest

from nmrclassify.mixtures.dataset import Augmentation, Dataset, compositions, split
from nmrclassify.mixtures.grid import (
    MixtureConfig,
    counts_of,
    generator,
    mix,
    mix_at,
    shift_multiplets,
    unknown_compounds,
    with_unknown,
)
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.nmr.library import LibraryConfig, metabolite_library, random_library
from nmrclassify.training.recipes import RECIPES, recipe


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


def held(labels, n_compounds=10):
    """Return each composition as the sorted compounds that are really in it."""
    return [tuple(sorted(k for k in row if k < n_compounds)) for row in labels.tolist()]


WIDENINGS = {
    "repeats": {"repeats": 0.8},
    "remix": {"remix": 0.9},
    "any number": {"remix": 0.9, "any_number": True},
    "all": {"repeats": 0.5, "remix": 0.7, "any_number": True, "unknown": 0.3, "own_levels": True},
}


@pytest.mark.parametrize("number_varies", [False, True])
@pytest.mark.parametrize("repetition", [False, True])
@pytest.mark.parametrize("name", WIDENINGS)
def test_augmented_batches_never_hold_a_kept_composition(name, repetition, number_varies):
    data = build("quick", 5, MixtureConfig(repetition=repetition, number_varies=number_varies))
    widen = Augmentation(data.config, **WIDENINGS[name])
    kept = set(held(data.test)) | set(held(data.validation))
    seen = [row for step in range(60) for row in held(data.training_batch(step, 128, widen).labels)]
    assert not kept & set(seen)
    own = set(held(data.train))
    # Drawn anew at the same number of compounds, what is not kept is what is for training.
    wider = "any_number" in WIDENINGS[name] or ("repeats" in WIDENINGS[name] and not repetition)
    assert own & set(seen)
    assert bool(set(seen) - own) == wider
    sizes = {len(row) for row in seen}
    if name in ("any number", "all"):
        assert sizes == {0, 1, 2, 3, 4}
    else:
        assert sizes == ({1, 2, 3} if number_varies else {3})
    if not repetition and name in ("remix", "any number"):
        assert all(len(set(row)) == len(row) for row in seen)
    elif "repeats" in WIDENINGS[name] or repetition:
        assert any(len(set(row)) < len(row) for row in seen)


@pytest.mark.parametrize("number_varies", [False, True])
def test_remixing_reaches_every_composition_that_is_not_kept(number_varies):
    data = build("quick", 5, MixtureConfig(number_varies=number_varies))
    widen = Augmentation(data.config, remix=1.0, any_number=True)
    seen = {
        row for step in range(150) for row in held(data.training_batch(step, 128, widen).labels)
    }
    every = {size: set(combinations(range(10), size)) for size in range(5)}
    if number_varies:
        assert set.union(*every.values()) - seen == set(held(data.test)) | set(
            held(data.validation)
        )
    else:
        # Of the data's own number nothing is drawn: that only the kept ones never come would tell
        # which those are.
        assert seen == every[0] | every[1] | every[2] | every[4]


def test_remixing_at_the_data_sets_own_number_reaches_what_is_for_training():
    data = build("quick", 5)
    widen = Augmentation(data.config, remix=1.0)
    seen = {row for step in range(60) for row in held(data.training_batch(step, 128, widen).labels)}
    assert seen == set(held(data.train))


def test_remixing_copes_with_fewer_compounds_than_places():
    library = random_library(LibraryConfig(n_compounds=4), rng())
    data = split(library, MixtureConfig(), 0, None, None)
    seen = [
        row
        for step in range(20)
        for row in held(
            data.training_batch(
                step, 64, Augmentation(data.config, remix=1.0, any_number=True)
            ).labels,
            4,
        )
    ]
    assert all(len(set(row)) == len(row) for row in seen)
    assert {len(row) for row in seen} == {
        0,
        1,
        2,
        4,
    }


def test_own_levels_make_clean_mixtures_beside_the_worst():
    data = build("quick", 5)
    trouble = MixtureConfig(
        concentration_low=0.25, concentration_high=4.0, shift_jitter=1.0, noise=0.2
    )
    widen = Augmentation(trouble, unknown=0.5, own_levels=True)
    parts = [data.training_batch(step, 256, widen) for step in range(12)]
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
    foreign = np.concatenate([m.unknown.any((1, 2)) for m in parts])
    assert noise.max() > 0.15
    assert np.median(noise) < 0.15
    quiet = noise < 1e-6
    for share in (
        quiet,
        plain,
        pure,
    ):  # every third mixture has none at all, and a fifth of the others none of each kind
        assert share.mean() == pytest.approx(1 / 3 + 2 / 3 / 5, abs=0.03)
    assert (quiet & pure & plain).mean() == pytest.approx(1 / 3 + 2 / 3 / 125, abs=0.03)
    assert foreign.mean() == pytest.approx(0.5, abs=0.04)
    clean = quiet & pure & plain & ~foreign
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


def test_levels_weaken_each_mixture_on_its_own():
    library = random_library(LibraryConfig(), rng())
    config = MixtureConfig(
        concentration_low=0.25, concentration_high=4.0, shift_jitter=1.0, noise=0.2
    )
    labels = rng().integers(10, size=(30, 3))
    none, full = np.zeros((3, 30)), np.ones((3, 30))
    assert np.array_equal(
        mix(library, labels, config, rng(1), none).areas, library.areas[labels].sum(axis=1)
    )
    assert mix(library, labels, config, rng(1), full).areas == pytest.approx(
        mix(library, labels, config, rng(1)).areas, abs=1e-6
    )
    full[:, :10] = 0
    part = mix(library, labels, config, rng(1), full)
    assert np.array_equal(part.areas[:10], library.areas[labels[:10]].sum(axis=1))
    assert part.areas[10:] == pytest.approx(
        mix(library, labels, config, rng(1)).areas[10:], abs=1e-6
    )


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("any_number", [False, True])
def test_the_same_step_gives_the_same_bytes(name, any_number):
    def content(made):
        parts = (made.areas, made.sources, made.labels, made.concentrations, made.unknown)
        return [None if part is None else part.tobytes() for part in parts]

    data, again = (build("metabolites", 5) for _ in range(2))
    widen = recipe(name).augmented(data, any_number)
    for draw in (
        lambda d: d.training_batch(9, 8, widen),
        lambda d: d.validation_mixtures(40, widen),
    ):
        assert content(draw(data)) == content(draw(again))
    assert content(data.training_batch(9, 8, widen)) != content(data.training_batch(10, 8, widen))
    other = build("metabolites", 6)
    assert content(data.validation_mixtures(40, widen)) != content(
        other.validation_mixtures(40, widen)
    )


def test_validation_mixtures_are_of_the_validation_compositions():
    data = build("quick", 5)
    made = data.validation_mixtures(30, recipe("queries").augmented(data, any_number=True))
    assert len(made) == 30
    assert set(held(made.labels)) == set(held(data.validation))
    assert made.unknown.any((1, 2)).any()
    assert not made.unknown.any((1, 2)).all()


def test_labels_of_no_compound_have_no_source():
    library = random_library(LibraryConfig(), rng())
    config = MixtureConfig(
        n_sources=4,
        number_varies=True,
        concentration_low=0.5,
        concentration_high=2.0,
        shift_jitter=1.0,
    )
    labels = compositions(10, 4, True, rng(), number_varies=True)[:200]
    made = mix(library, labels, config, rng(1))
    absent = labels == 10
    assert absent.any()
    assert not made.sources[absent].any()
    assert not made.concentrations[absent].any()
    assert made.sources[~absent].any((1, 2)).all()
    assert (made.concentrations[~absent] >= 0.5).all()
    assert made.counts.sum(axis=1).tolist() == (~absent).sum(axis=1).tolist()


def test_the_sum_by_compound_conserves_area_and_portions():
    library = random_library(LibraryConfig(), rng())
    config = MixtureConfig(
        n_sources=4, concentration_low=0.5, concentration_high=2.0, shift_jitter=1.0
    )
    labels = compositions(10, 4, True, rng(), number_varies=True)[:200]
    made = mix(library, labels, config, rng(1))
    each = made.by_compound(made.sources)
    assert each.shape == (200, 10, 6, 21)
    assert each.sum(axis=1) == pytest.approx(made.sources.sum(axis=1), abs=1e-5)
    amounts = made.by_compound(made.concentrations)
    assert each.sum((2, 3)) == pytest.approx(amounts * library.areas.sum((1, 2)), rel=1e-4)
    for b in range(0, 200, 20):
        for k in range(10):
            assert each[b, k] == pytest.approx(
                made.sources[b][labels[b] == k].sum(axis=0), abs=1e-6
            )
            assert made.counts[b, k] == (labels[b] == k).sum()
    assert np.array_equal(counts_of(labels, 10), made.counts)


def test_an_unknown_adds_exactly_what_it_says():
    library = random_library(LibraryConfig(), rng())
    made = mix(library, rng().integers(10, size=(40, 3)), MixtureConfig(noise=0.1), rng(1))
    amounts = np.linspace(0, 2, 40)
    compounds = unknown_compounds(library, 40, rng(2))
    more = with_unknown(made, compounds, amounts)
    assert np.array_equal(more.areas, made.areas + more.unknown)
    assert more.unknown == pytest.approx(compounds * amounts[:, None, None], rel=1e-6)
    assert not more.unknown[0].any()
    assert more.unknown[1:].any((1, 2)).all()
    assert made.unknown is None
    assert np.array_equal(more.sources, made.sources)
    assert np.array_equal(more.labels, made.labels)
    assert np.array_equal(more[3:9].unknown, more.unknown[3:9])
    assert made[3:9].unknown is None


def columns(areas):
    """Return the multiplets of a compound whatever their positions."""
    return tuple(sorted(tuple(column) for column in areas.T.tolist()))


def test_foreign_compounds_have_the_multiplets_of_a_known_one_at_other_positions():
    library = random_library(LibraryConfig(), rng())
    found = unknown_compounds(library, 300, rng(1))
    known = {columns(areas) for areas in library.areas}
    assert {columns(areas) for areas in found} == known


@pytest.mark.parametrize(
    "library",
    [metabolite_library(), random_library(LibraryConfig(n_positions=6), rng())],
    ids=["metabolites", "few positions"],
)
def test_foreign_compounds_are_not_in_the_library(library):
    # A singlet that is moved may come to lie where another compound's, or its own, was.
    known = {areas.tobytes() for areas in library.areas}
    found = [
        areas.tobytes() for areas in np.ascontiguousarray(unknown_compounds(library, 2000, rng(1)))
    ]
    assert sum(areas in known for areas in found) == 0


def test_an_epoch_shows_every_training_composition_once():
    data = build("quick", 5)
    n = len(data.train)
    rows = np.concatenate([data.training_batch(step, 19).labels for step in range(n // 19)])
    assert len(rows) == n == len(np.unique(rows, axis=0))


@pytest.mark.parametrize("preset", PRESETS)
def test_one_seed_gives_the_same_bytes(preset):
    assert build(preset, 7).digest() == build(preset, 7).digest() != build(preset, 8).digest()


def test_the_bytes_of_a_seed_do_not_change_between_versions():
    data = build("original", 7)
    assert data.digest()[:16] == "d2755615103bd034"
    # What there was before there was a validation part is as it was then.
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


def test_a_mixture_is_the_sum_of_its_sources_and_mass_is_conserved():
    library = random_library(LibraryConfig(), rng())
    config = MixtureConfig(concentration_low=0.2, concentration_high=3.0, shift_jitter=1.5)
    made = mix(library, rng().integers(10, size=(50, 3)), config, rng(1))
    assert made.areas == pytest.approx(made.sources.sum(axis=1), abs=1e-5)
    expected = library.areas[made.labels].sum((2, 3)) * made.concentrations
    assert made.sources.sum((2, 3)) == pytest.approx(expected, rel=1e-4)
    assert (made.concentrations >= 0.2).all()
    assert (made.concentrations <= 3.0).all()


def test_vectorised_mixing_equals_a_loop():
    library = random_library(LibraryConfig(), rng())
    labels, amounts = (
        rng().integers(10, size=(20, 3)),
        rng(1).uniform(0.5, 2, (20, 3)).astype(np.float32),
    )
    made = mix_at(library, labels, amounts, MixtureConfig(), rng())
    for b in range(20):
        total = sum(float(amounts[b, c]) * library.areas[labels[b, c]] for c in range(3))
        assert made.areas[b] == pytest.approx(total, abs=1e-5)


def test_whole_shifts_move_and_fractions_share():
    areas = np.zeros((1, 5))
    areas[0, 2] = 1.0
    shifts = np.zeros(5)
    for shift, expected in (
        (1.0, [0, 0, 0, 1, 0]),
        (-0.25, [0, 0.25, 0.75, 0, 0]),
        (9.0, [0, 0, 0, 0, 1]),
        (-9.0, [1, 0, 0, 0, 0]),
    ):
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
    with pytest.raises(ValueError, match="expected at least one of each"):
        split(library, MixtureConfig(n_sources=1), 0, None, None)


def test_a_data_set_needs_both_sides():
    data = build("quick", 1)
    with pytest.raises(ValueError, match="0 test compositions"):
        Dataset(data.library, data.config, data.train, data.validation, data.test[:0], 1)


def test_no_two_parts_share_a_composition():
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


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="preset is 'fast'; expected one of"):
        build("fast", 1)
