from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.evaluation.identify import MIN_PROBABILITY, Detector
from nmrclassify.evaluation.peak_metrics import mask_shares
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.peak_losses import objective, peak_truth
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.networks.peak_weights import Trained, shipped
from nmrclassify.networks.shift_estimates import estimate_offset
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

# Tests named test_the_shipped_network_... hold for a well-trained network only: `pytest -k
# shipped_network`.


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=40), rng())


@pytest.fixture(scope="module")
def untrained():
    torch.manual_seed(5)
    # With a high temperature every probability is near one half: every compound gets masks.
    network = PeakNetwork(
        PeakNetworkConfig(lines=4, places=6, hypotheses=8, judged=1024, kept=1024)
    )
    network.temperature.fill_(100.0)
    # A seed whose masks explain enough for names.
    made = {"config": {"compounds": 40}}
    return Trained(network.requires_grad_(False).eval(), 0.3, made)


@pytest.fixture(scope="module", params=["shipped", "untrained"])
def detector(request, library, untrained):
    """Whatever a network has learned, its prediction has the properties below."""
    return Detector(library, shipped() if request.param == "shipped" else untrained)


@pytest.fixture(scope="module")
def mixtures(library):
    recipes = (
        PeakMixtureConfig(n_low=10, n_high=10, jitter=0.004),
        PeakMixtureConfig(n_low=30, n_high=30, jitter=0.02),
    )
    return [draw_mixture(library, recipe, rng(seed)) for recipe in recipes for seed in range(2)]


@pytest.fixture(scope="module")
def predictions(detector, mixtures):
    return [detector.identify(made.peaks) for made in mixtures]


def same(one, other):
    """Whether two predictions are equal bit for bit, apart from their times."""
    for name in ("probabilities", "amounts", "shifts", "shares"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True), name
    return (
        all(np.array_equal(a, b) for a, b in zip(one.masks, other.masks, strict=True))
        and one.spread == other.spread
    )


def test_a_prediction_has_the_stated_shapes(predictions, library, mixtures):
    for found, made in zip(predictions, mixtures, strict=True):
        assert found.probabilities.shape == found.amounts.shape == (40,)
        assert found.shifts.shape == found.shares.shape == (library.n_multiplets,)
        assert (found.probabilities >= 0).all()
        assert (found.probabilities <= 1).all()
        assert (found.amounts > 0).all()
        assert np.isfinite(found.amounts).all()
        assert np.nanmax(np.abs(found.shifts)) <= 0.101
        assert found.seconds > 0
        assert found.spread > 0
        known = found.shares[np.isfinite(found.shares)]
        assert len(known)
        assert known.min() >= 0
        assert known.max() <= 1 + 1e-9
        assert found.peaks is made.peaks
        assert found.compounds is library


def test_compounds_are_named_from_the_threshold_on_likeliest_first(predictions):
    for found in predictions:
        assert set(found.named) == set(np.flatnonzero(found.probabilities >= found.threshold))
        assert (np.diff(found.probabilities[found.named]) <= 0).all()


def test_masks_divide_each_peak_once_at_most(predictions, library):
    for found in predictions:
        row, peak, share = found.masks
        n = len(found.peaks.areas)
        assert len(row)
        assert share.min() >= 0
        assert share.max() <= 1
        assert len(np.unique(row * n + peak)) == len(row)
        assert peak.min() >= 0
        assert peak.max() < n
        weighed = np.bincount(peak, share * found.probabilities[library.compound[row]], n)
        assert weighed.max() <= 1 + 1e-6
        assert (found.probabilities[library.compound[row]] >= MIN_PROBABILITY).all()


def test_masks_lie_on_the_peaks_of_their_multiplet(predictions, library):
    reach = 2.0 / FULL_AXIS.mhz  # Hz: a merged peak lies at the centre of all its lines
    for found in predictions:
        row, peak, _ = found.masks
        for k in rng().choice(len(row), 60):
            lines = slice(library.first_line[row[k]], library.first_line[row[k] + 1])
            places = (
                library.ppm[row[k]] + found.shifts[row[k]] + library.offsets[lines] / FULL_AXIS.mhz
            )
            assert np.abs(places - found.peaks.ppm[peak[k]]).min() <= reach


def test_what_is_separated_is_never_above_the_mixture(predictions):
    for found in predictions:
        total = np.zeros(len(found.peaks.areas))
        for k in range(40):
            own = found.separated(k)
            assert (own >= 0).all()
            assert (own <= found.peaks.areas * (1 + 1e-6)).all()
            total += found.probabilities[k] * own
        assert (total <= found.peaks.areas * (1 + 1e-5)).all()


def test_two_multiplets_of_an_unsure_compound_do_not_take_a_peak_twice(untrained):
    library = Compounds(("a",), [0, 0], [3.0, 3.0002], [2.0, 2.0], ("s", "s"), ((), ()))
    found = Detector(library, untrained).identify(
        Peaks.from_lines(np.array([3.0]), np.array([4.0])), 0.003
    )
    assert found.probabilities[0] < 0.9
    assert len(found.masks[0]) == 2
    assert found.separated(0)[0] <= 4.0 * (1 + 1e-6)


def test_a_compound_alone_gets_its_peaks(library):
    lone = library.select([k for k in range(40) if np.sum(library.compound == k) >= 3][:1])
    made = draw_mixture(
        lone, PeakMixtureConfig(n_low=1, n_high=1, jitter=0.003, decades=0.0), rng()
    )
    found = Detector(lone).identify(made.peaks)
    assert found.separated(0).sum() == pytest.approx(made.peaks.areas.sum(), rel=0.15)


def test_named_compounds_explain_at_most_the_whole_of_a_peak(predictions, library):
    for found in predictions:
        assert found.explained.shape == found.peaks.areas.shape
        assert found.explained.min() >= 0
        assert found.explained.max() <= 1
        row, peak, share = found.masks
        for p in rng().choice(len(found.peaks.areas), 20):
            own = [
                s
                for m, q, s in zip(row, peak, share, strict=True)
                if q == p and found.probabilities[library.compound[m]] >= found.threshold
            ]
            assert found.explained[p] == pytest.approx(min(1.0, sum(own)), abs=1e-9)


def test_named_neighbours_name_each_other(predictions):
    pairs = 0
    for found in predictions:
        near = {int(k): dict(found.neighbours(int(k))) for k in found.named}
        for k, others in near.items():
            assert k not in others
            assert set(others) <= set(near)
            assert all(k in near[other] for other in others)
            assert list(others.values()) == sorted(others.values(), reverse=True)
            assert all(share > 0 for share in others.values())
            pairs += len(others)
    assert pairs


def test_a_neighbours_area_is_that_of_a_loop(predictions, library):
    found = predictions[0]
    k = int(next(k for k in found.named if found.neighbours(int(k))))
    row, peak, share = found.masks
    mine = {int(p) for m, p in zip(row, peak, strict=True) if library.compound[m] == k}
    total = sum(float(found.peaks.areas[p]) for p in mine)
    for other, part in found.neighbours(k):
        own = sum(
            s * found.peaks.areas[p]
            for m, p, s in zip(row, peak, share, strict=True)
            if library.compound[m] == other and int(p) in mine
        )
        assert part == pytest.approx(own / total, rel=1e-5)


def test_a_compound_without_a_mask_has_no_neighbour(predictions):
    found = predictions[0]
    without = replace(found, masks=tuple(part[:0] for part in found.masks))
    assert without.neighbours(3) == []
    assert not without.separated(3).any()
    assert not without.explained.any()


def test_a_detector_does_not_change(detector, predictions, mixtures):
    fresh = Detector(detector.compounds, detector.trained)
    for found, made in reversed(list(zip(predictions, mixtures, strict=True))):
        assert same(fresh.identify(made.peaks), found)
        assert same(detector.identify(made.peaks), found)


def test_multiplets_are_ordered_by_their_separated_area_and_have_places(predictions, library):
    for found in predictions:
        for k in range(0, 40, 7):
            index = found.multiplets_of(k)
            assert sorted(index) == list(np.flatnonzero(library.compound == k))
            areas = found.multiplet_areas[index]
            assert (np.diff(areas) <= 0).all()
            assert areas.sum() >= found.separated(k).sum() * (1 - 1e-6)
            moved = np.isfinite(found.shifts[index])
            places = library.ppm[index] + np.where(moved, found.shifts[index], 0.0)
            assert np.array_equal(found.places(index), places)


@pytest.mark.parametrize("factor", [1000.0, 2.0**-20])
def test_the_unit_of_area_only_scales_the_amounts(detector, predictions, mixtures, factor):
    for found, made in zip(predictions[:2], mixtures[:2], strict=True):
        other = detector.identify(
            replace(made.peaks, areas=(made.peaks.areas * factor).astype(np.float32))
        )
        assert other.probabilities == pytest.approx(found.probabilities, abs=2e-3)
        likely = found.probabilities > 0.3
        close = np.isclose(other.amounts[likely], factor * found.amounts[likely], rtol=2e-3)
        # Of two hypotheses that are equally likely, rounding chooses.
        assert likely.any()
        assert close.mean() > 0.9
        assert np.isclose(other.amounts, factor * found.amounts, rtol=2e-3).mean() > 0.75


def test_equivalent_compounds_are_one_group(library):
    copies = library.select([3, 7])
    copies = Compounds(
        ("equivalent of 3", "equivalent of 7"),
        copies.compound,
        copies.ppm + 0.002,
        copies.protons * 2,
        copies.kinds,
        copies.couplings,
    )
    both = library.with_compounds(copies)
    groups = Detector(both).groups
    assert groups[40] == groups[3]
    assert groups[41] == groups[7]
    assert len(np.unique(groups)) == 40
    assert np.array_equal(groups, equivalent_compounds(both, FULL_AXIS))
    assert np.array_equal(Detector(library).groups, np.arange(40))


def test_a_group_is_looked_for_between_its_members(library):
    twin = Compounds(("first",), [0, 0], [3.0, 6.0], [3, 2], ("s", "q"), ((), (7.0,)))
    both = twin.with_compounds(replace(twin, names=("second",), ppm=twin.ppm + 0.008))
    detector = Detector(both)
    assert detector.groups.tolist() == [0, 0]
    for k in (0, 1):
        peaks = Peaks.from_lines(both.select([k]).line_ppm(FULL_AXIS.mhz), both.select([k]).areas)
        found = detector.identify(peaks)
        # The places are those of the peaks, whichever of the two they came from.
        assert found.places(np.arange(2)) == pytest.approx(both.ppm[2 * k : 2 * k + 2], abs=1e-3)
        assert found.shifts[:2] == pytest.approx(
            both.ppm[2 * k : 2 * k + 2] - both.ppm[:2], abs=1e-3
        )


def test_the_shipped_network_names_either_of_two_equivalent_compounds():
    library = common_metabolites()
    pair = [library.names.index(name) for name in ("methanol", "scyllo-inositol")]
    detector, named = Detector(library), dict.fromkeys(pair, 0)
    assert detector.groups[pair[0]] == detector.groups[pair[1]]
    config = PeakMixtureConfig(n_low=10, n_high=10, jitter=0.0, decades=1.0)
    others = np.setdiff1d(np.arange(library.n_compounds), pair)
    for k in pair:
        for seed in range(8):
            chosen = library.select([k, *rng(seed).choice(others, 9, replace=False)])
            found = detector.identify(draw_mixture(chosen, config, rng(seed)).peaks)
            named[k] += int(found.probabilities[k] >= found.threshold)
    assert min(named.values()) >= 7


def test_the_network_can_still_be_trained_after_a_prediction(library, mixtures):
    # What the templates derive on first use is kept: it must not be bound to inference.
    detector = Detector(library)
    detector.identify(mixtures[0].peaks)
    hypotheses = find_hypotheses(detector.templates, mixtures[0].peaks)
    network = PeakNetwork(PeakNetworkConfig(lines=4, places=6, hypotheses=8))
    objective(network(hypotheses), hypotheses, peak_truth(mixtures[0], hypotheses))[0].backward()
    assert network.first.hypotheses[0].weight.grad.any()


def test_an_answer_changes_no_weight(detector, mixtures):
    before = {name: value.clone() for name, value in detector.trained.network.state_dict().items()}
    detector.identify(mixtures[0].peaks)
    assert all(
        torch.equal(value, before[name])
        for name, value in detector.trained.network.state_dict().items()
    )


def test_a_library_of_one_compound_is_enough(library, mixtures):
    found = Detector(library.select([4])).identify(mixtures[0].peaks)
    assert found.probabilities.shape == (1,)
    assert np.isfinite(found.probabilities).all()


def test_mixtures_that_cannot_be_asked_about_are_refused(detector, mixtures):
    empty = Peaks(FULL_AXIS, np.array([], dtype=np.int64), np.array([], dtype=np.float32))
    with pytest.raises(ValueError, match="no peak on the axis; expected at least one"):
        detector.identify(empty)
    other = Axis(65_536, -1.0, 12.0, "ppm", 500.0)
    with pytest.raises(ValueError, match="bring both to one axis"):
        detector.identify(replace(mixtures[0].peaks, axis=other))


@pytest.mark.parametrize("spread", [0.0, -0.01, float("nan"), float("inf")])
def test_spreads_that_are_none_are_refused(detector, mixtures, spread):
    with pytest.raises(ValueError, match="spread is .*expected"):
        detector.identify(mixtures[0].peaks, spread)


@pytest.mark.parametrize("n_positions", [64, 4096])
def test_coarse_axes_have_finite_probabilities(library, n_positions):
    axis = Axis(n_positions, -1.0, 12.0, "ppm", 600.0)
    made = draw_mixture(library, PeakMixtureConfig(n_low=6, n_high=6, jitter=0.002), rng(), axis)
    assert np.isfinite(Detector(library, axis=axis).identify(made.peaks).probabilities).all()


@pytest.fixture(scope="module")
def unseen():
    """A library whose seed no training used, and compounds of yet another one."""
    library = synthetic_compounds(SyntheticConfig(), rng(700))
    more = synthetic_compounds(SyntheticConfig(n_compounds=30), rng(701))
    size = np.diff(more.first_multiplet)
    other = more.select(np.flatnonzero((size >= 3) & (size <= 8))[:3])
    return library, replace(other, names=tuple(f"added {k}" for k in range(3)))


@pytest.fixture(scope="module")
def judged(unseen):
    library, _ = unseen
    detector = Detector(library)
    made = [draw_mixture(library, PeakMixtureConfig(jitter=0.003), rng(seed)) for seed in range(3)]
    return [(mixture, detector.identify(mixture.peaks)) for mixture in made]


def test_the_shipped_network_names_what_is_there(judged):
    scores = []
    for mixture, found in judged:
        hits = np.isin(found.named, mixture.present).sum()
        scores.append(2 * hits / (len(found.named) + len(mixture.present)))
    assert min(scores) >= 0.9, scores


def test_the_shipped_network_measures_strong_compounds(judged):
    for mixture, found in judged:
        strong = (mixture.amounts > 0.1 * mixture.amounts.max()) & np.isin(
            mixture.present, found.named
        )
        assert strong.sum() > 0.4 * len(strong)
        error = np.abs(found.amounts[mixture.present[strong]] / mixture.amounts[strong] - 1)
        assert np.median(error) < 0.1


def test_the_shipped_network_finds_compounds_that_are_added_to_the_table(unseen, judged):
    library, other = unseen
    mixture, before = judged[0]
    extra = [
        draw_mixture(
            other.select([k]),
            PeakMixtureConfig(n_low=1, n_high=1, jitter=0.003, decades=0.0),
            rng(k),
        ).peaks
        for k in range(3)
    ]
    ppm = np.concatenate([mixture.peaks.ppm, *(peaks.ppm for peaks in extra)])
    areas = np.concatenate([mixture.peaks.areas, *(peaks.areas for peaks in extra)])
    detector = Detector(library.with_compounds(other))
    found = detector.identify(Peaks.from_lines(ppm, areas))
    assert {877, 878, 879} <= set(found.named)
    assert found.amounts[877:] == pytest.approx(1.0, rel=0.2)
    # In the mixture without them they are not named, and the others are as before.
    without = detector.identify(mixture.peaks)
    assert not {877, 878, 879} & set(without.named)
    assert len(np.setxor1d(without.named, before.named)) <= 4


def test_the_shipped_network_finds_multiplets_where_they_moved(judged):
    for mixture, found in judged:
        named = np.isin(mixture.present[mixture.owners], found.named)
        off = np.abs(found.shifts[mixture.multiplets] - mixture.shifts)[named]
        assert np.median(off) < 0.001
        assert (off < 0.002).mean() > 0.8


def test_the_shipped_network_knows_which_peaks_are_shared(judged):
    for mixture, found in judged:
        given = mask_shares(mixture, found.masks)
        named = np.isin(mixture.present[mixture.owners], found.named) & np.isfinite(given)
        assert np.abs(given - mixture.shares)[named].mean() < 0.15


@pytest.mark.parametrize("offset", [0.05, -0.03])
def test_the_shipped_network_corrects_an_axis_that_is_off(offset):
    library = synthetic_compounds(SyntheticConfig(n_compounds=200), rng(5))
    detector, recipe = Detector(library), PeakMixtureConfig(n_low=30, n_high=30, jitter=0.005)
    mixture = draw_mixture(library, recipe, rng(6))
    steps = round(offset / FULL_AXIS.width)
    moved = Peaks(FULL_AXIS, mixture.peaks.positions + steps, mixture.peaks.areas)
    true, found = detector.identify(mixture.peaks), detector.identify(moved)
    assert abs(true.offset) <= 0.003
    assert found.offset == pytest.approx(offset, abs=0.006)
    assert len(set(true.named) ^ set(found.named)) <= 2
    both = np.intersect1d(true.named, found.named)
    rows = np.isin(library.compound, both)
    assert np.nanmedian(found.shifts[rows] - true.shifts[rows]) == pytest.approx(offset, abs=1e-3)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_shipped_network_finds_compounds_at_uncertain_places_if_the_library_states_them(seed):
    library, draw = synthetic_compounds(SyntheticConfig(n_compounds=100), rng(8)), rng(seed)
    present = draw.choice(100, 20, replace=False)
    uncertain = present[:8]
    rows = np.isin(library.compound, uncertain)
    moved = replace(library, ppm=library.ppm + 0.05 * rows * draw.choice([-1, 1], len(rows)))
    recipe = PeakMixtureConfig(n_low=20, n_high=20, jitter=0.003, decades=0.5)
    peaks = draw_mixture(moved.select(present), recipe, draw).peaks
    stated = Detector(replace(library, deviations=0.05 * rows)).identify(peaks)
    unstated = Detector(library).identify(peaks)
    assert set(uncertain) <= set(stated.named)
    assert np.isin(uncertain, unstated.named).sum() <= 3
    # The others are found as before.
    assert set(present[8:]) & set(unstated.named) <= set(stated.named)


def test_a_shift_of_few_compounds_is_not_taken_for_one_of_the_axis():
    library = synthetic_compounds(SyntheticConfig(n_compounds=40), rng(5))
    recipe = PeakMixtureConfig(n_low=3, n_high=3, jitter=0.002, decades=0.0)
    mixture = draw_mixture(library, recipe, rng(6))
    steps = round(0.05 / FULL_AXIS.width)  # further than exact fits are searched for
    moved = Peaks(FULL_AXIS, mixture.peaks.positions + steps, mixture.peaks.areas)
    assert abs(Detector(library).identify(moved).offset) <= 0.0065


def test_places_that_are_not_well_known_move_no_axis(library):
    detector = Detector(library)
    owner = detector.templates.owner.numpy()
    shifts = np.full(len(owner), 0.02)
    probabilities = np.full(library.n_compounds, 0.95)
    assert detector._common_shift(shifts, probabilities) == pytest.approx(0.02)
    badly = replace(library, deviations=np.full(library.n_multiplets, 0.05))
    assert Detector(badly)._common_shift(shifts, probabilities) == 0


def test_random_peaks_are_not_named_but_said_to_be_unexplained():
    library = synthetic_compounds(SyntheticConfig(n_compounds=200), rng(5))
    detector = Detector(library)
    for seed in range(3):
        ppm, areas = rng(seed).uniform(0.5, 9.0, 600), rng(seed).lognormal(0.0, 1.0, 600)
        found = detector.identify(Peaks.from_lines(ppm, areas))
        assert not len(found.named)
        explains_nothing = (found.probabilities >= found.threshold).any()
        assert ("account for" in found.note) == explains_nothing
        assert "This is not explained by the library" in found.note


def test_a_high_threshold_does_not_make_a_mixture_unexplained(predictions):
    for found in predictions:
        strict = replace(found, threshold=1.01)
        assert not len(strict.named)
        assert strict.note.startswith("No compound reaches the probability of over 99.9 %; the")


def test_compounds_that_explain_next_to_nothing_are_not_named(predictions):
    for found in predictions:
        row, peak, share = found.masks
        little = replace(found, masks=(row, peak, share * 0.05))
        assert "not explained by the library" in little.note
        assert not len(little.named)
        assert (little.probabilities >= little.threshold).any()


def test_a_compound_is_likelier_in_a_small_library(library, untrained):
    recipe = PeakMixtureConfig(n_low=5, n_high=5, jitter=0.004)
    peaks = draw_mixture(library.select(range(20)), recipe, rng()).peaks
    found = Detector(library.select(range(20)), untrained).identify(peaks)
    larger = synthetic_compounds(SyntheticConfig(n_compounds=400), rng(4))
    usual = replace(untrained, made={"config": {"compounds": 877}})
    likelier = Detector(library.select(range(20)), usual).identify(peaks)
    change = np.log(likelier.probabilities / (1 - likelier.probabilities)) - np.log(
        found.probabilities / (1 - found.probabilities)
    )
    assert change == pytest.approx(0.75 * np.log(877 / 40), rel=1e-3)
    assert Detector(larger, usual)._prior < Detector(library, usual)._prior


def test_a_large_peak_of_a_solvent_does_not_hide_what_is_explained(library):
    recipe = PeakMixtureConfig(n_low=10, n_high=10, jitter=0.004)
    mixture = draw_mixture(library, recipe, rng())
    ppm, areas = mixture.peaks.ppm, mixture.peaks.areas
    water = Peaks.from_lines(np.r_[ppm, 11.5], np.r_[areas, 100 * areas.sum()])
    found = Detector(library).identify(water)
    assert found.outside == ""
    assert len(found.named) > 5


def test_corrections_of_the_axis_end_and_shifts_are_those_of_the_last_estimate(
    library, mixtures, untrained, monkeypatch
):
    detector = Detector(library, untrained)
    asked = []
    monkeypatch.setattr(detector, "_common_shift", lambda *_: asked.append(0) or 0.004)
    found = detector.identify(mixtures[0].peaks)
    assert len(asked) == 3
    by_fits = estimate_offset(detector.templates, mixtures[0].peaks)  # before the corrections
    assert found.offset == pytest.approx(by_fits + 2 * 0.004)
    again = find_hypotheses(detector.templates, mixtures[0].peaks, offset=found.offset)
    known = np.isfinite(found.shifts)
    assert np.abs(found.shifts[known] - found.offset).max() <= float(again.templates.shifts.max())


def test_a_multiplet_without_a_shift_has_the_offset_of_the_axis(predictions, library):
    found = replace(predictions[0], offset=0.05, shifts=np.full(library.n_multiplets, np.nan))
    assert np.allclose(found.places(np.arange(3)), library.ppm[:3] + 0.05)
