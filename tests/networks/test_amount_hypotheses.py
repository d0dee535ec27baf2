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
    estimate_offset,
    estimate_spread,
    spread_of,
)
from nmrclassify.networks.templates import (
    TOLERANCE,
    Templates,
    estimate_resolution,
    log_bounds,
    segment_sum,
    shifted_areas,
    tolerance_of,
    tolerant,
    within,
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


@pytest.mark.parametrize("reach", [0, 1, 2, 6, 26, 40])
def test_sums_within_a_reach_are_direct_sums_up_to_the_edges(reach):
    dense = torch.as_tensor(rng().random(90) * (rng(1).random(90) < 0.5)).float()
    direct = [float(dense[max(0, k - reach) : k + reach + 1].double().sum()) for k in range(90)]
    assert within(dense, reach).numpy() == pytest.approx(direct, abs=1e-5)
    narrow = [
        float(dense[max(0, k - reach // 2) : k + reach // 2 + 1].double().sum()) for k in range(90)
    ]
    assert tolerant(dense, reach).numpy() == pytest.approx(
        (np.array(direct) + 0.04 * np.array(narrow)) / 1.04, abs=1e-5
    )


def test_sums_stay_exact_beside_a_solvent_of_a_million():
    dense = torch.zeros(70_000)
    dense[10], dense[60_000] = 1e6, 1e-3
    found = within(dense, 6)
    assert float(found[60_003]) == pytest.approx(1e-3, rel=1e-3)
    assert float(found[59_000]) == 0


@AXES
def test_the_tolerance_and_the_step_fit_the_axis(axis, library):
    t = Templates.of(library, axis)
    width = axis.hz_per_position
    # Bins are whole: the nearest number of them to .8 Hz to either side, and one to either side at
    # least.
    assert t.reach == 1 or abs((t.reach + 0.5) * width - 0.8) <= width / 2 + 1e-9
    assert t.step == 1 or t.step * width <= 0.4
    middle = len(t.shifts) // 2
    assert len(t.shifts) % 2 == 1
    assert t.shifts[middle] == 0
    assert torch.equal(t.shifts, -t.shifts.flip(0))
    assert abs(float(t.shifts[-1]) - 0.1) <= t.step * axis.width


@AXES
def test_expected_areas_are_those_of_a_double_loop(axis, library):
    t = Templates.of(library, axis)
    reach = (t.reach + 0.5) * axis.hz_per_position
    for m in range(library.n_multiplets):
        lines = range(library.first_line[m], library.first_line[m + 1])
        for i in lines:
            need = sum(
                library.areas[j]
                for j in lines
                if abs(library.offsets[j] - library.offsets[i]) <= reach
            )
            assert float(t.expected_areas[i]) == pytest.approx(need, rel=1e-5)
    assert t.total.numpy() == pytest.approx(
        [
            float(t.expected_areas[a:b].sum())
            for a, b in zip(t.first_line[:-1], t.first_line[1:], strict=True)
        ],
        rel=1e-5,
    )
    assert np.array_equal(t.owner.numpy(), library.compound)
    assert t.n_compounds == library.n_compounds
    assert np.array_equal(t.centres.numpy(), axis.positions(library.line_ppm(axis.mhz)))


def test_runs_are_summed_one_by_one():
    values = torch.arange(12.0).view(6, 2)
    assert segment_sum(values, torch.tensor([1, 3, 2])).tolist() == [[0, 1], [12, 15], [18, 20]]


def at_the_edges():
    """Multiplets whose windows leave the axis on either side, and one in the middle."""
    return Compounds(
        ("low", "middle", "high"),
        [0, 0, 1, 1, 2],
        [-0.97, -0.9995, 3.0, 5.0, 11.98],
        [3.0, 1.0, 2.0, 1.0, 1.0],
        ("q", "s", "dd", "m", "t"),
        ((7.0,), (), (8.0, 1.2), (), (6.5,)),
    )


@AXES
def test_the_bound_is_that_of_a_loop_over_shifts_and_lines(axis, library):
    compounds = library.select(range(6)).with_compounds(at_the_edges())
    made = draw_mixture(compounds, PeakMixtureConfig(n_low=8, n_high=8, jitter=0.01), rng(2), axis)
    t = Templates.of(compounds, axis)
    areas, floor = tolerant(torch.from_numpy(made.peaks.dense()), t.reach), made.peaks.floor / 2
    bounds, fits = log_bounds(
        t, shifted_areas(t, areas), floor, torch.arange(compounds.n_multiplets)
    )
    positions, seen = made.peaks.positions, made.peaks.areas.astype(float)
    chosen = [
        *rng().choice(compounds.n_multiplets - 5, 6, replace=False),
        *range(compounds.n_multiplets - 5, compounds.n_multiplets),
    ]
    for m in chosen:
        lines = np.arange(compounds.first_line[m], compounds.first_line[m + 1])
        for s in [
            0,
            len(t.shifts) // 2,
            len(t.shifts) - 1,
            *rng(int(m)).integers(len(t.shifts), size=25),
        ]:
            moved = t.centres.numpy()[lines] + round(float(t.shifts[s]) / axis.width)
            there = np.zeros(len(lines))
            for k, position in enumerate(moved):
                # Beyond the axis nothing was measured, and nothing is counted.
                if -t.reach <= position < axis.n_positions + t.reach:
                    off = np.abs(positions - position)
                    there[k] = (
                        seen[off <= t.reach].sum() + 0.04 * seen[off <= t.reach // 2].sum()
                    ) / 1.04
                    there[k] *= 0 <= position < axis.n_positions
            need = t.expected_areas.numpy()[lines]
            least = ((there + floor) / need).min()
            assert float(bounds[m, s].exp()) == pytest.approx(least, rel=1e-3)
            share = np.clip(least * need.sum() / (there.sum() + floor), 1e-2, 1)
            assert float(fits[m, s].exp()) == pytest.approx(share, rel=1e-3)


def test_the_bound_is_never_below_a_true_amount_where_nothing_moves(library):
    for seed in range(3):
        made = draw_mixture(library, CLEAN, rng(seed))
        t = Templates.of(library)
        areas = tolerant(torch.from_numpy(made.peaks.dense()), t.reach)
        rows = torch.as_tensor(made.multiplets)
        bounds = (
            log_bounds(t, shifted_areas(t, areas), 1e-6, rows)[0][:, len(t.shifts) // 2]
            .exp()
            .numpy()
        )
        ratio = bounds / made.amounts[made.owners]
        # Lines at the rim of the tolerance may be moved across it by a bin, and count a little less
        # off the middle.
        assert (ratio > 0.95).mean() > 0.93
        assert np.median(ratio) == pytest.approx(1, abs=0.05)


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


@pytest.mark.parametrize("width", SPREADS)
@pytest.mark.parametrize("part", [0.15, 0.6])
def test_the_width_of_a_histogram_is_recovered_beside_a_background(width, part, library):
    shifts = Templates.of(library).shifts
    normal = torch.exp(-0.5 * (shifts / width) ** 2)
    exact = (part * normal / normal.sum() + (1 - part) / len(shifts)).double()
    assert spread_of(exact.float() * 500, shifts) == width
    drawn = torch.as_tensor(rng(1).multinomial(4000, (exact / exact.sum()).numpy()))
    assert abs(SPREADS.index(spread_of(drawn.float(), shifts)) - SPREADS.index(width)) <= 1


@pytest.mark.parametrize("jitter", [0.003, 0.008, 0.02])
def test_the_spread_of_a_mixture_is_estimated(jitter):
    library = synthetic_compounds(SyntheticConfig(n_compounds=60), rng(4))
    t = Templates.of(library)
    found = []
    for seed in range(3):
        made = draw_mixture(
            library, PeakMixtureConfig(n_low=25, n_high=25, jitter=jitter, common=0.0), rng(seed)
        )
        areas = tolerant(torch.from_numpy(made.peaks.dense()), t.reach)
        found.append(estimate_spread(t, areas, made.peaks.floor / 2))
    assert jitter / 1.6 < np.median(found) < jitter * 1.6


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


@pytest.mark.parametrize("offset", [0.0, 0.015, -0.022])
def test_the_common_offset_of_all_peaks_is_estimated(offset):
    library = synthetic_compounds(SyntheticConfig(n_compounds=100), rng(4))
    recipe = PeakMixtureConfig(n_low=25, n_high=25, jitter=0.003)
    for seed in range(3):
        peaks = draw_mixture(library, recipe, rng(seed)).peaks
        peaks = Peaks.from_lines(peaks.ppm + offset, peaks.areas)
        assert abs(estimate_offset(Templates.of(library), peaks) - offset) <= 0.002


def test_no_large_offset_is_estimated_from_peaks_of_other_compounds():
    library = synthetic_compounds(SyntheticConfig(n_compounds=100), rng(4))
    others = synthetic_compounds(SyntheticConfig(n_compounds=100), rng(5))
    recipe = PeakMixtureConfig(n_low=25, n_high=25)
    found = [
        estimate_offset(Templates.of(library), draw_mixture(others, recipe, rng(seed)).peaks)
        for seed in range(8)
    ]
    assert max(map(abs, found)) <= 0.0065


def test_a_library_without_a_usable_multiplet_gets_the_usual_spread():
    # Singlets and doublets alone: no multiplet has the 3 to 6 lines that the estimate is made from.
    n = 12
    library = Compounds(
        tuple(f"s{k}" for k in range(n)),
        np.arange(n),
        np.linspace(1, 9, n),
        np.ones(n),
        ("s",) * n,
        ((),) * n,
    )
    made = draw_mixture(library, PeakMixtureConfig(n_low=6, n_high=6, jitter=0.01), rng())
    assert find_hypotheses(Templates.of(library), made.peaks).spread > min(SPREADS)


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


def test_what_is_derived_lies_on_the_device_of_the_templates(library):
    moved = Templates.of(library).to("meta")
    assert moved.shifts.device == moved.expected_areas.device


@pytest.mark.parametrize("resolution", [1.0, 2.0, 4.0])
def test_the_resolution_of_a_crowded_list_is_estimated(resolution):
    library = synthetic_compounds(SyntheticConfig(n_compounds=120), rng(3))
    recipe = PeakMixtureConfig(n_low=60, n_high=60, resolution=resolution)
    found = [
        estimate_resolution(draw_mixture(library, recipe, rng(seed)).peaks) for seed in range(4)
    ]
    assert 0.7 * resolution <= np.mean(found) <= 1.3 * resolution


def test_a_list_of_few_peaks_counts_as_resolved():
    ppm = np.arange(1.0, 2.0, 0.05)
    assert tolerance_of(Peaks.from_lines(ppm, np.ones(len(ppm)))) == TOLERANCE


def test_a_larger_tolerance_sums_the_lines_of_a_multiplet_that_are_near(library):
    t = Templates.of(library)
    assert t.with_tolerance(TOLERANCE) is t
    wide = t.with_tolerance(4.0)
    assert wide.reach > t.reach
    for line in rng().choice(len(t.centres), 40, replace=False):
        multiplet = int(library.line_multiplet[line])
        own = range(int(t.first_line[multiplet]), int(t.first_line[multiplet + 1]))
        near = [k for k in own if abs(int(t.centres[k] - t.centres[line])) <= wide.reach]
        expected = t.line_areas[near].sum()
        assert float(wide.expected_areas[line]) == pytest.approx(float(expected), rel=1e-5)
    # To the rounding of a position, it is what `of` computes.
    again = wide.with_tolerance(TOLERANCE).expected_areas
    assert (again - t.expected_areas).abs().gt(1e-4).float().mean() < 0.05


def test_an_offset_moves_the_library_and_shifts_are_relative_to_it(library, mixture):
    t, offset = Templates.of(library), 0.06
    steps = round(offset / FULL_AXIS.width)
    moved = Peaks(FULL_AXIS, mixture.peaks.positions + steps, mixture.peaks.areas)
    one, other = find_hypotheses(t, mixture.peaks), find_hypotheses(t, moved, offset=offset)
    assert torch.equal(one.places, other.places)
    assert torch.allclose(one.votes, other.votes, atol=1e-3)
