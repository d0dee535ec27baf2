import numpy as np
import pytest
import torch

from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
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
