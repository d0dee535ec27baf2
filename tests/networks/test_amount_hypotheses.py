from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.networks import amount_hypotheses as module
from nmrclassify.networks import shift_estimates
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.shift_estimates import (
    SPREADS,
)
from nmrclassify.networks.templates import (
    Templates,
)
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

COARSE, FINE = Axis(4096, -1.0, 12.0, "ppm", 600.0), Axis(2**18, -1.0, 12.0, "ppm", 600.0)
AXES = pytest.mark.parametrize("axis", [COARSE, FULL_AXIS, FINE], ids=["coarse", "full", "fine"])
CLEAN = PeakMixtureConfig(
    n_low=6, n_high=6, jitter=0.0, common=0.0, noise=0.0, gain=0.0, line_error=0.0, decades=1.0
)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=30), rng())


@pytest.fixture(scope="module")
def mixture(library):
    return draw_mixture(library, PeakMixtureConfig(n_low=8, n_high=8, jitter=0.004), rng(1))


def same(one, other, exact=("log_amounts", "places")):
    for name in (
        "areas",
        "narrow_areas",
        "log_amounts",
        "votes",
        "likelihoods",
        "places",
        "bounds",
        "fits",
        "scores",
    ):
        a, b = getattr(one, name), getattr(other, name)
        assert torch.equal(a, b) if name in exact else torch.allclose(a, b, rtol=1e-4, atol=1e-4), (
            name
        )
    return True


def test_hypotheses_of_a_clean_mixture_hold_the_true_amounts(library):
    hits = []
    for seed in range(4):
        made = draw_mixture(library, CLEAN, rng(seed))
        found = find_hypotheses(Templates.of(library), made.peaks)
        error = (
            found.log_amounts[made.present]
            - torch.as_tensor(np.log(made.amounts / found.unit)).float()[:, None]
        ).abs()
        hits += (error.amin(1) < 0.1).tolist()
    assert np.mean(hits) > 0.9


def test_hypotheses_have_the_stated_shapes(library, mixture):
    found = find_hypotheses(Templates.of(library), mixture.peaks)
    k, m = library.n_compounds, library.n_multiplets
    assert found.areas.shape == found.narrow_areas.shape == (65_536,)
    assert found.log_amounts.shape == found.votes.shape == (k, 8)
    assert found.likelihoods.shape == (m, 8, 2)
    assert (
        found.places.shape
        == found.bounds.shape
        == found.fits.shape
        == found.scores.shape
        == (m, 24)
    )
    assert (found.votes.diff(dim=1) <= 0).all()
    assert (found.scores.diff(dim=1) <= 0).all()
    assert found.floor == pytest.approx(mixture.peaks.areas.min() / found.unit / 2)
    assert found.spread in SPREADS
    assert (found.narrow_areas <= found.areas * 1.05 + 1e-6).all()


@AXES
def test_every_peak_is_within_the_narrow_tolerance_of_itself(axis, library):
    made = draw_mixture(library, CLEAN, rng(), axis)
    found = find_hypotheses(Templates.of(library, axis), made.peaks)
    assert (
        found.narrow_areas[made.peaks.positions].numpy() >= made.peaks.areas / found.unit * 0.999
    ).all()


@pytest.mark.parametrize("factor", [2.0**20, 1e6, 1e-6])
def test_the_unit_of_area_does_not_matter(library, mixture, factor):
    t = Templates.of(library)
    one = find_hypotheses(t, mixture.peaks)
    other = find_hypotheses(
        t,
        Peaks(
            FULL_AXIS,
            mixture.peaks.positions,
            (mixture.peaks.areas * np.float32(factor)).astype(np.float32),
        ),
    )
    assert other.unit == pytest.approx(one.unit * factor, rel=1e-5)
    assert other.spread == one.spread
    assert other.floor == pytest.approx(one.floor, rel=1e-5)
    assert torch.allclose(other.votes, one.votes, atol=1e-3)
    if factor == 2.0**20:
        assert same(one, other)
    # Without any vote, the order of hypotheses depends on rounding.
    equal = other.log_amounts == one.log_amounts
    assert equal[:, 0].all()
    assert equal.float().mean() > 0.98


def test_chunks_do_not_matter_and_are_no_larger_than_stated(library, mixture, monkeypatch):
    t = Templates.of(library)
    whole = find_hypotheses(t, mixture.peaks)
    lines = t.first_line[t.first_multiplet]
    for size in (1, 64, 300):
        monkeypatch.setattr(module, "CHUNK", size)
        monkeypatch.setattr(shift_estimates, "ROWS", 8)
        ranges = list(module._chunks(t))
        assert [low for low, _ in ranges] == [0, *(high for _, high in ranges[:-1])]
        assert ranges[-1][1] == t.n_compounds
        # A compound is never torn apart: one that is larger than a chunk is a chunk alone.
        assert all(high - low == 1 or int(lines[high] - lines[low]) <= size for low, high in ranges)
        if size > 1:
            assert same(whole, find_hypotheses(t, mixture.peaks))


def test_a_larger_library_is_processed_in_chunks(library, mixture, monkeypatch):
    t, seen, bounds = Templates.of(library), [], module.log_bounds

    def watched(templates, shifted, floor, rows):
        seen.append(int(templates.n_lines[rows].sum()))
        return bounds(templates, shifted, floor, rows)

    monkeypatch.setattr(module, "CHUNK", 200)
    monkeypatch.setattr(module, "log_bounds", watched)
    find_hypotheses(t, mixture.peaks, 0.005)
    largest = int(t.first_line[t.first_multiplet].diff().max())
    assert len(seen) > 3
    assert max(seen) <= max(200, largest)
    assert sum(seen) == len(t.centres)


def test_a_place_that_is_not_well_known_is_looked_for_further_away():
    # A triplet .06 ppm from where the library has it, and one by chance beside that place.
    lines = np.array([-7.0, 0.0, 7.0]) / 600
    ppm = np.r_[3.06 + lines, 3.004 + lines]
    peaks = Peaks.from_lines(ppm, np.r_[[1.0, 2.0, 1.0], [1.0, 0.6, 1.0]])
    one = Compounds(("a",), [0], [3.0], [2.0], ("t",), ((7.0,),))

    def first_place(deviation):
        templates = Templates.of(replace(one, deviations=[deviation]))
        found = find_hypotheses(templates, peaks, 0.003)
        return float(templates.shifts[found.places[0, 0]])

    assert first_place(0.0) == pytest.approx(0.004, abs=0.001)
    assert first_place(0.06) == pytest.approx(0.06, abs=0.002)


def test_a_known_spread_is_taken_as_it_is(library, mixture):
    assert find_hypotheses(Templates.of(library), mixture.peaks, 0.0123).spread == 0.0123


@pytest.mark.parametrize("spread", [0.0, -0.01, float("nan"), float("inf")])
def test_a_spread_that_is_none_is_refused(library, mixture, spread):
    with pytest.raises(ValueError, match="spread is .*expected"):
        find_hypotheses(Templates.of(library), mixture.peaks, spread)


def test_mixtures_without_a_peak_or_on_another_axis_are_refused(library, mixture):
    t = Templates.of(library)
    empty = Peaks(FULL_AXIS, np.array([], dtype=np.int64), np.array([], dtype=np.float32))
    with pytest.raises(ValueError, match="no peak on the axis; expected at least one"):
        find_hypotheses(t, empty)
    with pytest.raises(ValueError, match="bring both to one axis"):
        find_hypotheses(Templates.of(library, COARSE), mixture.peaks)
    with pytest.raises(ValueError, match="no width in Hz"):
        Templates.of(library, Axis(21, 0.0, 21.0))


def test_one_peak_is_enough(library):
    found = find_hypotheses(
        Templates.of(library), Peaks.from_lines(np.array([3.2]), np.array([5.0]))
    )
    assert found.unit == 5.0
    for name in ("log_amounts", "votes", "likelihoods", "bounds", "fits", "scores"):
        assert torch.isfinite(getattr(found, name)).all()


def test_an_offset_moves_the_library_and_shifts_are_relative_to_it(library, mixture):
    t, offset = Templates.of(library), 0.06
    steps = round(offset / FULL_AXIS.width)
    moved = Peaks(FULL_AXIS, mixture.peaks.positions + steps, mixture.peaks.areas)
    one, other = find_hypotheses(t, mixture.peaks), find_hypotheses(t, moved, offset=offset)
    assert torch.equal(one.places, other.places)
    assert torch.allclose(one.votes, other.votes, atol=1e-3)
