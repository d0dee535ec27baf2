"""A mixture is described by one value, and equal values give equal bytes."""

from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.mixtures.edits import MAX_EDITS, Cut, EditError, Mixture, apply
from nmrclassify.mixtures.grid import MixtureConfig, generator, mix_at, unknown_compounds
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.mixtures.spec import MixtureSpec

NOISY = MixtureConfig(noise=0.1, shift_jitter=0.2)


def same(first: Mixture, second: Mixture) -> bool:
    """Whether two mixtures are equal in every byte."""
    pairs = [(vars(first)[name], vars(second)[name]) for name in vars(first)]
    return all(
        (a is None and b is None)
        or (a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes())
        for a, b in pairs
    )


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("config", [None, NOISY])
def test_a_test_mixture_is_that_of_the_data(preset, config):
    data, plain, sample = MixtureSpec(preset, 3, config, number=4).realise()
    expected = build(preset, 3, config)
    assert data.digest() == expected.digest()
    assert same(plain, Mixture.of(expected.test_mixtures(), 3))
    assert same(plain, sample)


def test_a_composition_is_mixed_in_the_order_of_the_library():
    spec = MixtureSpec("quick", 3, NOISY, compounds=(8, 1, 4), concentrations=(2.5, 0.75, 1.0))
    data, plain, _ = spec.realise()
    labels, amounts = np.array([[0, 3, 7]]), np.array([[0.75, 1.0, 2.5]], dtype=np.float32)
    mixtures = mix_at(data.library, labels, amounts, NOISY, generator(3, "view"))
    assert same(plain, Mixture.of(mixtures, 0))
    again = replace(spec, compounds=(1, 4, 8), concentrations=(0.75, 1.0, 2.5))
    assert same(plain, again.realise(data).plain)


@pytest.mark.parametrize(
    ("spec", "stream"),
    [(MixtureSpec(number=5, unknown=True), 4), (MixtureSpec(compounds=(2,), unknown=True), 0)],
)
def test_an_unknown_compound_is_added_before_the_edits(spec, stream):
    spec = replace(spec, edits=(Cut(3),))
    data, plain, sample = spec.realise()
    known = replace(spec, unknown=False).realise(data).plain
    extra = unknown_compounds(data.library, 1, generator(data.seed, "unknown", stream))
    assert np.array_equal(plain.areas, known.areas + extra[0])
    assert same(sample, apply(plain, (Cut(3),), data.library))


def test_no_compound_is_a_source_without_area():
    config = MixtureConfig(number_varies=True)
    data, plain, _ = MixtureSpec("quick", 3, config, compounds=(0, 5, 0)).realise()
    assert plain.labels.tolist() == [4, data.library.n_compounds, data.library.n_compounds]
    assert plain.concentrations.tolist() == [1, 0, 0]


def test_files_are_passed_when_the_mixture_is_made():
    areas = np.ones((6, 21), dtype=np.float32)
    spec = MixtureSpec(edits=(Cut(3),))
    data, plain, sample = spec.realise(areas=areas)
    assert plain.areas is areas
    assert plain.labels is None
    assert not sample.areas[:, 3].any()
    own = replace(spec, preset="own", number=2, edits=())
    expected = build("quick", 7, library=data.library)
    assert same(own.realise(library=data.library).plain, Mixture.of(expected.test_mixtures(), 1))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "fast"}, "preset is 'fast'; expected metabolites"),
        ({"number": 0}, "number is 0.*from 1"),
        ({"number": 1, "compounds": (1,)}, "number is 1, compounds are .*not both"),
        ({"compounds": (1, 2), "concentrations": (1.0,)}, "1 concentrations for 2 compounds"),
        ({"compounds": (0, 0)}, r"compounds are \(0, 0\).*at least one"),
        ({"compounds": (-1,)}, "expected numbers from 1"),
        ({"compounds": (1,), "concentrations": (0.0,)}, "expected 0.01 to 100"),
        ({"compounds": (1,), "concentrations": (float("nan"),)}, "expected 0.01 to 100"),
        ({"unknown": True}, "unknown is True for a mixture from a file; expected False"),
        ({"number": 1, "edits": (Cut(1),) * (MAX_EDITS + 1)}, "expected at most"),
    ],
)
def test_what_cannot_be_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        MixtureSpec(**values)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (MixtureSpec(number=37), "number is 37; expected 1 to 36"),
        (MixtureSpec(compounds=(11,)), "expected numbers up to 10"),
        (MixtureSpec(), "areas are missing"),
        (MixtureSpec("own", number=1), "library is missing"),
    ],
)
def test_what_the_data_do_not_have_is_refused(spec, message):
    with pytest.raises(ValueError, match=message):
        spec.realise()
    with pytest.raises(EditError, match="position is 99"):
        MixtureSpec(number=1, edits=(Cut(99),)).realise()
