from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

COARSE, FINE = Axis(4096, -1.0, 12.0, "ppm", 600.0), Axis(2**18, -1.0, 12.0, "ppm", 600.0)
CLEAN = PeakMixtureConfig(
    n_low=6, n_high=6, jitter=0.0, common=0.0, noise=0.0, gain=0.0, line_error=0.0
)
NOISY = PeakMixtureConfig(n_low=4, n_high=9)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=30), rng())


def singlets(*ppm, protons=1.0):
    """A library of one singlet each."""
    n = len(ppm)
    return Compounds(
        tuple(f"s{k}" for k in range(n)),
        np.arange(n),
        np.array(ppm),
        np.full(n, protons),
        ("s",) * n,
        ((),) * n,
    )


def content(mixture):
    arrays = (
        mixture.peaks.positions,
        mixture.peaks.areas,
        mixture.present,
        mixture.amounts,
        mixture.multiplets,
        mixture.owners,
        mixture.shifts,
        *mixture.parts,
        mixture.totals,
    )
    return [array.tobytes() for array in arrays]


def test_one_seed_gives_the_same_bytes(library):
    config = replace(NOISY, n_unknown=2)
    one, same, other = (
        draw_mixture(library, config, rng(seed), unknown=library) for seed in (5, 5, 6)
    )
    assert content(one) == content(same) != content(other)


@pytest.mark.parametrize("axis", [COARSE, FULL_AXIS, FINE], ids=["coarse", "full", "fine"])
@pytest.mark.parametrize(
    "config",
    [CLEAN, replace(CLEAN, jitter=0.02, common=1.0, line_error=0.3)],
    ids=["in place", "moved"],
)
def test_area_is_conserved_without_noise(library, axis, config):
    for seed in range(5):
        made = draw_mixture(library, config, rng(seed), axis)
        protons = np.bincount(library.compound, library.protons)[made.present]
        assert made.peaks.areas.sum(dtype=float) == pytest.approx(
            (made.amounts * protons).sum(), rel=1e-5
        )
        assert made.totals == pytest.approx(made.peaks.areas, rel=1e-5)
        assert np.bincount(made.parts[1], made.parts[2], len(made.totals)) == pytest.approx(
            made.totals, rel=1e-9
        )
        per_multiplet = np.bincount(made.parts[0], made.parts[2], len(made.multiplets))
        assert per_multiplet == pytest.approx(
            made.amounts[made.owners] * library.protons[made.multiplets], rel=1e-9
        )


@pytest.mark.parametrize("axis", [COARSE, FULL_AXIS, FINE], ids=["coarse", "full", "fine"])
def test_peaks_ascend_and_lie_on_the_axis(library, axis):
    for seed in range(5):
        peaks = draw_mixture(library, NOISY, rng(seed), axis).peaks
        assert (np.diff(peaks.positions) > 0).all()
        assert peaks.positions.min() >= 0
        assert peaks.positions.max() < axis.n_positions
        assert peaks.areas.dtype == np.float32
        assert peaks.positions.dtype == np.int64
        assert np.array_equal(axis.positions(peaks.ppm), peaks.positions)
        dense = peaks.dense()
        assert dense.shape == (axis.n_positions,)
        assert np.array_equal(np.flatnonzero(dense), peaks.positions)
        assert np.array_equal(dense[peaks.positions], peaks.areas)
        assert peaks.floor == peaks.areas.min()


@pytest.mark.parametrize("axis", [COARSE, FULL_AXIS, FINE], ids=["coarse", "full", "fine"])
def test_a_singlet_that_does_not_move_lies_in_its_own_bin(axis):
    bins = [17, axis.n_positions // 3, axis.n_positions - 2]
    library = singlets(*(axis.low + (k + 0.4) * axis.width for k in bins))
    made = draw_mixture(library, replace(CLEAN, n_low=3, n_high=3), rng(), axis)
    assert made.peaks.positions.tolist() == bins
    assert made.shifts.tolist() == [0.0] * 3
    assert made.peaks.areas == pytest.approx(made.amounts, rel=1e-6)
    assert made.shares == pytest.approx(np.ones(3))


def test_lines_beyond_the_axis_leave_nothing_on_it():
    made = draw_mixture(
        singlets(3.0, 13.0, -1.2), replace(CLEAN, n_low=3, n_high=3, decades=0.0), rng()
    )
    assert made.peaks.areas.tolist() == [1.0]
    assert made.peaks.positions.tolist() == [FULL_AXIS.position(3.0)]
    assert made.shares[0] == 1
    assert np.isnan(made.shares[1:]).all()


def test_lines_within_the_resolution_are_one_peak_at_their_centre_of_area():
    # 1800.2 and 1800.8 Hz: five positions of the full axis apart.
    library = Compounds(
        ("a", "b"), [0, 1], [1800.2 / 600, 1800.8 / 600], [1.0, 3.0], ("s", "s"), ((), ())
    )
    config = replace(CLEAN, n_low=2, n_high=2, decades=0.0)
    one, two = (draw_mixture(library, replace(config, resolution=hz), rng()) for hz in (1.0, 0.1))
    assert one.peaks.areas.tolist() == [4.0]
    assert one.peaks.positions.tolist() == [FULL_AXIS.position(1800.65 / 600)]
    assert two.peaks.areas.tolist() == [1.0, 3.0]
    assert one.shares == pytest.approx([0.25, 0.75])
    assert two.shares == pytest.approx([1.0, 1.0])


def slow_shares(library, made, axis, resolution):
    """The share of each multiplet from the library's lines, one line at a time."""
    cells = {}
    for row, multiplet in enumerate(made.multiplets.tolist()):
        for line in range(library.first_line[multiplet], library.first_line[multiplet + 1]):
            hz = (library.ppm[multiplet] + made.shifts[row]) * axis.mhz + library.offsets[line]
            cells.setdefault(int(np.floor(hz / resolution)), []).append(
                (row, hz, made.amounts[made.owners[row]] * library.areas[line])
            )
    brought, own, at = {}, {}, {}
    for lines in cells.values():
        total = sum(area for _, _, area in lines)
        position = axis.position(sum(hz * area for _, hz, area in lines) / total / axis.mhz)
        brought[position] = brought.get(position, 0.0) + total
        for row, _, area in lines:
            own[row] = own.get(row, 0.0) + area
            at.setdefault(row, set()).add(position)
    return np.array(
        [
            own[row] / sum(brought[position] for position in at[row])
            for row in range(len(made.multiplets))
        ]
    )


@pytest.mark.parametrize("axis", [COARSE, FULL_AXIS], ids=["coarse", "full"])
def test_shares_are_those_of_a_loop_over_lines(library, axis):
    config = replace(CLEAN, n_low=15, n_high=15, jitter=0.01, common=0.5)
    for seed in range(3):
        made = draw_mixture(library, config, rng(seed), axis)
        assert made.shares == pytest.approx(
            slow_shares(library, made, axis, config.resolution), rel=1e-9
        )
        assert (made.shares < 0.9).any()
        assert (made.shares > 0.999).any()


def test_shares_lie_between_nothing_and_all(library):
    for seed in range(5):
        made = draw_mixture(
            library,
            replace(NOISY, n_low=20, n_high=20, n_unknown=5, noise=3e-3),
            rng(seed),
            unknown=library,
        )
        known = made.shares[np.isfinite(made.shares)]
        assert len(known)
        assert known.min() > 0
        assert known.max() <= 1 + 1e-9


def test_a_compound_alone_has_all_of_its_peaks():
    library = Compounds(("a",), [0, 0], [2.0, 5.0], [3.0, 1.0], ("d", "q"), ((7.0,), (7.0,)))
    made = draw_mixture(library, replace(NOISY, n_low=1, n_high=1), rng())
    assert made.shares == pytest.approx([1.0, 1.0], abs=1e-12)
    assert len(made.peaks.areas) == 6


@pytest.mark.parametrize("decades", [0.0, 1.0, 3.0])
def test_concentrations_are_log_uniform_within_their_decades(library, decades):
    amounts = np.concatenate(
        [
            draw_mixture(
                library, replace(NOISY, n_low=30, n_high=30, decades=decades), rng(s)
            ).amounts
            for s in range(30)
        ]
    )
    assert amounts.max() <= 1
    assert amounts.min() >= 10**-decades
    found = np.sort(-np.log10(amounts))
    assert found == pytest.approx(
        decades * (np.arange(900) + 0.5) / 900, abs=0.07 * decades + 1e-12
    )


def test_a_mixture_holds_as_many_different_compounds_as_asked_for(library):
    made = [draw_mixture(library, NOISY, rng(seed)) for seed in range(60)]
    assert {len(m.present) for m in made} == {4, 5, 6, 7, 8, 9}
    assert all((np.diff(m.present) > 0).all() for m in made)
    for m in made[:5]:
        assert np.array_equal(library.compound[m.multiplets], m.present[m.owners])
        assert len(m.multiplets) == np.isin(library.compound, m.present).sum()


def test_shifts_have_a_common_and_an_own_part(library):
    config = replace(NOISY, n_low=30, n_high=30, jitter=0.01, common=0.75)
    made = [draw_mixture(library, config, rng(seed)) for seed in range(150)]
    shifts = np.stack(
        [m.shifts for m in made]
    )  # (mixtures, M), all multiplets of the library in order
    assert shifts.std() == pytest.approx(0.01 * (1 + 0.75**2) ** 0.5, rel=0.04)
    assert abs(shifts.mean()) < 5e-4
    covariance = shifts.T @ shifts / len(shifts)
    owners = library.compound
    same = (owners[:, None] == owners) & ~np.eye(len(owners), dtype=bool)
    assert covariance[same].mean() == pytest.approx((0.75 * 0.01) ** 2, rel=0.1)
    assert abs(covariance[owners[:, None] != owners].mean()) < 3e-6


def test_gain_and_noise_have_their_standard_deviations():
    library = singlets(*np.linspace(0.5, 9.5, 400))
    config = replace(CLEAN, n_low=400, n_high=400, decades=0.0)
    gain = draw_mixture(library, replace(config, gain=0.05), rng()).peaks.areas - 1
    noise = draw_mixture(library, replace(config, noise=0.02), rng()).peaks.areas - 1
    assert gain.std() == pytest.approx(0.05, rel=0.1)
    assert noise.std() == pytest.approx(0.02, rel=0.1)
    weak = draw_mixture(library, replace(config, noise=0.1, decades=2.0), rng())
    assert weak.peaks.areas.min() > 0.2
    assert len(weak.peaks.areas) < 300
    assert np.isnan(weak.shares).sum() == 400 - len(weak.peaks.areas)


def test_all_lines_of_a_multiplet_share_its_error_of_area(library):
    config = replace(CLEAN, n_low=1, n_high=1, resolution=0.05)
    plain = draw_mixture(library, config, rng(4))
    wrong = draw_mixture(library, replace(config, multiplet_gain=0.3), rng(4))
    ratios = wrong.parts[2] / plain.parts[2]
    for m in range(len(plain.multiplets)):
        assert ratios[plain.parts[0] == m].std() < 1e-9
    assert len(plain.multiplets) > 1
    assert np.ptp(ratios) > 0.1


def test_places_that_are_not_well_known_move_further(library):
    deviations = np.where(np.arange(library.n_multiplets) % 2, 0.05, 0.0)
    uncertain = replace(library, deviations=deviations)
    shifts = {0: [], 1: []}
    for seed in range(40):
        made = draw_mixture(uncertain, CLEAN, rng(seed))
        for m, shift in zip(made.multiplets, made.shifts, strict=True):
            shifts[m % 2].append(shift)
    assert np.std(shifts[0]) == 0
    assert np.std(shifts[1]) == pytest.approx(0.05, rel=0.15)


def test_foreign_compounds_bring_area_and_no_label(library):
    config = replace(CLEAN, jitter=0.005)
    unknown = singlets(0.1, 0.2, 0.3, 0.4, 0.5, protons=9.0)
    alone, beside = (
        draw_mixture(library, replace(config, n_unknown=n), rng(3), unknown=unknown) for n in (0, 3)
    )
    for name in ("present", "amounts", "multiplets", "shifts"):
        assert np.array_equal(getattr(alone, name), getattr(beside, name))
    extra = beside.peaks.areas.sum(dtype=float) - alone.peaks.areas.sum(dtype=float)
    assert 0.27 <= extra <= 27
    assert beside.parts[2].sum() == pytest.approx(alone.parts[2].sum())
    own = np.bincount(beside.parts[1], beside.parts[2], len(beside.totals))
    assert (own <= beside.totals * (1 + 1e-9)).all()
    assert (own == 0).sum() == 3
    assert beside.totals.sum() - own.sum() == pytest.approx(extra, rel=1e-5)


@pytest.mark.parametrize(
    ("config", "unknown", "message"),
    [
        (
            replace(NOISY, n_low=31, n_high=31),
            None,
            "mixture of 31 compounds was asked for; the library holds 30",
        ),
        (replace(NOISY, n_unknown=2), None, "2 unknown compounds were asked for; give a table"),
        (
            replace(NOISY, n_unknown=2),
            singlets(1.0),
            "2 unknown compounds were asked for; give a table",
        ),
    ],
)
def test_too_few_compounds_are_refused(library, config, unknown, message):
    with pytest.raises(ValueError, match=message):
        draw_mixture(library, config, rng(), unknown=unknown)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_low": 9, "n_high": 8}, "n_low is 9, above n_high 8; expected"),
        ({"jitter": 0.06}, "jitter is 0.06; expected a number from 0 to 0.05"),
        ({"noise": float("nan")}, "noise is nan; expected"),
        ({"n_unknown": 1.5}, "n_unknown is 1.5; expected a whole number"),
        ({"resolution": 0.0}, "resolution is 0.0; expected"),
    ],
)
def test_recipes_out_of_bounds_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        PeakMixtureConfig(**values)


@pytest.mark.parametrize(
    ("positions", "areas", "message"),
    [
        ([1, 2], [1.0], r"shape \(2,\) and areas \(1,\); expected the same length"),
        ([[1]], [[1.0]], "expected the same length"),
        ([1, 2], [1.0, 0.0], "not a number above 0"),
        ([1, 2], [1.0, -1.0], "not a number above 0"),
        ([1, 2], [1.0, float("nan")], "not a number above 0"),
        ([1, 2], [1.0, float("inf")], "not a number above 0"),
        ([2, 1], [1.0, 1.0], "must ascend within 0 to 65535; expected each position once"),
        ([1, 1], [1.0, 1.0], "must ascend"),
        ([-1, 1], [1.0, 1.0], "must ascend"),
        ([1, 65_536], [1.0, 1.0], "must ascend"),
    ],
)
def test_peaks_that_are_none_are_refused(positions, areas, message):
    with pytest.raises(ValueError, match=message):
        Peaks(FULL_AXIS, np.array(positions), np.array(areas, dtype=np.float32))


def test_lines_of_one_position_are_added_and_lines_outside_left_out():
    ppm = np.array([7.0, 3.0, 3.0 + 1e-6, 12.0, -1.01, np.nan, 2.0, 2.1, 2.2, 2.3, 11.9999])
    areas = np.array([1.0, 2.0, 0.5, 9.0, 9.0, 9.0, 0.0, -3.0, np.nan, np.inf, 4.0])
    peaks = Peaks.from_lines(ppm, areas)
    assert peaks.positions.tolist() == [FULL_AXIS.position(3.0), FULL_AXIS.position(7.0), 65_535]
    assert peaks.areas.tolist() == [2.5, 1.0, 4.0]
    assert Peaks.from_lines(ppm, areas, COARSE).areas.sum() == pytest.approx(7.5)


def test_lines_without_area_in_single_precision_are_left_out_too():
    peaks = Peaks.from_lines(np.array([1.0, 2.0]), np.array([1e-46, 1.0]))
    assert peaks.areas.tolist() == [1.0]


def test_no_line_at_all_makes_an_empty_mixture():
    peaks = Peaks.from_lines(np.array([20.0]), np.array([1.0]))
    assert len(peaks.areas) == 0
    assert peaks.floor == 1.0
    assert not peaks.dense().any()


def test_a_mixture_is_what_its_recipe_says_on_every_axis(library):
    made = [draw_mixture(library, CLEAN, rng(1), axis) for axis in (COARSE, FULL_AXIS, FINE)]
    assert all(
        isinstance(m, PeakMixture) and np.array_equal(m.amounts, made[0].amounts) for m in made
    )
    n = [len(m.peaks.areas) for m in made]
    assert n[0] < n[1] <= n[2]


def test_false_peaks_belong_to_no_compound_and_lie_among_the_library(library):
    clean = replace(NOISY, n_low=3, n_high=3)
    one, other = (draw_mixture(library, replace(clean, n_false=n), rng(3)) for n in (0, 200))
    assert np.array_equal(one.present, other.present)
    assert len(other.peaks.areas) > len(one.peaks.areas) + 150
    owned = np.bincount(other.parts[1], minlength=len(other.peaks.areas)) > 0
    assert (~owned).sum() > 150
    assert library.ppm.min() - 0.1 < other.peaks.ppm[~owned].min()
    assert other.peaks.ppm[~owned].max() < library.ppm.max() + 0.1


def test_regions_that_are_cut_have_no_peak(library):
    clean = replace(NOISY, n_low=20, n_high=20)
    one, other = (draw_mixture(library, replace(clean, n_cut=n), rng(3)) for n in (0, 3))
    assert 0 < len(other.peaks.areas) < len(one.peaks.areas)
    missing = np.isnan(other.shares)
    assert missing.sum() > np.isnan(one.shares).sum()
