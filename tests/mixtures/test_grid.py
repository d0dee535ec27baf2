import numpy as np
import pytest

from nmrclassify.mixtures.dataset import compositions
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
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library, LibraryConfig, metabolite_library, random_library


def rng(seed=0):
    return np.random.default_rng(seed)


def test_levels_scale_the_disturbances_of_each_mixture():
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


def test_a_common_shift_moves_all_multiplets_of_a_mixture_alike():
    areas = np.zeros((2, 6, 21), dtype=np.float32)
    areas[0, :, 8], areas[1, :, 12] = 1.0, 2.0
    library = Library(("a", "b"), areas, Axis(21))
    labels = np.tile([0, 1], (200, 1))
    mixtures = mix(library, labels, MixtureConfig(common_shift=1.5), rng(1))
    # The centre of area of a compound is where its one multiplet is.
    centres = (mixtures.sources * np.arange(21)).sum((2, 3)) / mixtures.sources.sum((2, 3))
    shifts = centres - [8, 12]
    assert shifts[:, 0] == pytest.approx(shifts[:, 1], abs=1e-5)
    assert np.abs(shifts).max() <= 1.5
    assert shifts.min() < -1.2
    assert shifts.max() > 1.2
    none = mix(library, labels, MixtureConfig(common_shift=1.5), rng(1), np.zeros((4, 200)))
    assert np.array_equal(none.sources, mix(library, labels, MixtureConfig(), rng(1)).sources)


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
    mixtures = mix(library, labels, config, rng(1))
    absent = labels == 10
    assert absent.any()
    assert not mixtures.sources[absent].any()
    assert not mixtures.concentrations[absent].any()
    assert mixtures.sources[~absent].any((1, 2)).all()
    assert (mixtures.concentrations[~absent] >= 0.5).all()
    assert mixtures.counts.sum(axis=1).tolist() == (~absent).sum(axis=1).tolist()


def test_the_sum_by_compound_conserves_area_and_portions():
    library = random_library(LibraryConfig(), rng())
    config = MixtureConfig(
        n_sources=4, concentration_low=0.5, concentration_high=2.0, shift_jitter=1.0
    )
    labels = compositions(10, 4, True, rng(), number_varies=True)[:200]
    mixtures = mix(library, labels, config, rng(1))
    each = mixtures.by_compound(mixtures.sources)
    assert each.shape == (200, 10, 6, 21)
    assert each.sum(axis=1) == pytest.approx(mixtures.sources.sum(axis=1), abs=1e-5)
    amounts = mixtures.by_compound(mixtures.concentrations)
    assert each.sum((2, 3)) == pytest.approx(amounts * library.areas.sum((1, 2)), rel=1e-4)
    for b in range(0, 200, 20):
        for k in range(10):
            assert each[b, k] == pytest.approx(
                mixtures.sources[b][labels[b] == k].sum(axis=0), abs=1e-6
            )
            assert mixtures.counts[b, k] == (labels[b] == k).sum()
    assert np.array_equal(counts_of(labels, 10), mixtures.counts)


def test_an_unknown_compound_adds_its_areas():
    library = random_library(LibraryConfig(), rng())
    mixtures = mix(library, rng().integers(10, size=(40, 3)), MixtureConfig(noise=0.1), rng(1))
    amounts = np.linspace(0, 2, 40)
    compounds = unknown_compounds(library, 40, rng(2))
    more = with_unknown(mixtures, compounds, amounts)
    assert np.array_equal(more.areas, mixtures.areas + more.unknown)
    assert more.unknown == pytest.approx(compounds * amounts[:, None, None], rel=1e-6)
    assert not more.unknown[0].any()
    assert more.unknown[1:].any((1, 2)).all()
    assert mixtures.unknown is None
    assert np.array_equal(more.sources, mixtures.sources)
    assert np.array_equal(more.labels, mixtures.labels)
    assert np.array_equal(more[3:9].unknown, more.unknown[3:9])
    assert mixtures[3:9].unknown is None


def columns(areas):
    """Return the multiplets of a compound whatever their positions."""
    return tuple(sorted(tuple(column) for column in areas.T.tolist()))


def test_unknown_compounds_have_the_multiplets_of_a_library_compound_at_other_positions():
    library = random_library(LibraryConfig(), rng())
    found = unknown_compounds(library, 300, rng(1))
    known = {columns(areas) for areas in library.areas}
    assert {columns(areas) for areas in found} == known


@pytest.mark.parametrize(
    "library",
    [metabolite_library(), random_library(LibraryConfig(n_positions=6), rng())],
    ids=["metabolites", "few positions"],
)
def test_unknown_compounds_are_not_in_the_library(library):
    # A moved singlet may equal that of another compound, or be back at its position.
    known = {areas.tobytes() for areas in library.areas}
    found = [
        areas.tobytes() for areas in np.ascontiguousarray(unknown_compounds(library, 2000, rng(1)))
    ]
    assert sum(areas in known for areas in found) == 0


def test_a_mixture_is_the_sum_of_its_sources_and_mass_is_conserved():
    library = random_library(LibraryConfig(), rng())
    config = MixtureConfig(concentration_low=0.2, concentration_high=3.0, shift_jitter=1.5)
    mixtures = mix(library, rng().integers(10, size=(50, 3)), config, rng(1))
    assert mixtures.areas == pytest.approx(mixtures.sources.sum(axis=1), abs=1e-5)
    expected = library.areas[mixtures.labels].sum((2, 3)) * mixtures.concentrations
    assert mixtures.sources.sum((2, 3)) == pytest.approx(expected, rel=1e-4)
    assert (mixtures.concentrations >= 0.2).all()
    assert (mixtures.concentrations <= 3.0).all()


def test_vectorised_mixing_equals_a_loop():
    library = random_library(LibraryConfig(), rng())
    labels, amounts = (
        rng().integers(10, size=(20, 3)),
        rng(1).uniform(0.5, 2, (20, 3)).astype(np.float32),
    )
    mixtures = mix_at(library, labels, amounts, MixtureConfig(), rng())
    for b in range(20):
        total = sum(float(amounts[b, c]) * library.areas[labels[b, c]] for c in range(3))
        assert mixtures.areas[b] == pytest.approx(total, abs=1e-5)


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
    mixtures = mix(library, np.zeros((200, 3), int), MixtureConfig(noise=0.3), rng())
    assert (mixtures.areas - mixtures.sources.sum(axis=1)).std() == pytest.approx(0.3, rel=0.02)


def test_streams_of_one_seed_differ():
    assert generator(1, "train").random() != generator(1, "test").random()
    with pytest.raises(ValueError, match="seed is -1"):
        generator(-1, "train")


def test_unknown_presets_are_refused():
    with pytest.raises(ValueError, match="preset is 'fast'; expected one of"):
        build("fast", 1)
