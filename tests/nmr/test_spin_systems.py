"""Second-order spectra: published formulas, an independent simulation, and the packaged systems."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_metrics import Score
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.mixtures.rendered import RenderConfig, render
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.multiplets import MAX_LINES
from nmrclassify.nmr.spin_systems import (
    SpinSystem,
    WeakGroup,
    second_order,
    spin_systems,
    transitions,
)
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.nmr.titration import at_ph

# Hz between the multiplets of the table and those of the systems. Two protons of one shift couple
# alike, with the mean of the couplings that the table states; lines beyond the limit are merged.
AVERAGED = {"arginine": 1.2, "glutathione": 1.9, "inosine": 0.4, "isovalerate": 0.6, "leucine": 0.6}
AVERAGED |= {"methionine": 0.4, "ornithine": 0.8, "pyroglutamate": 1.5, "sucrose": 0.35}


def lines_of(compounds, name, row):
    k = compounds.names.index(name)
    return compounds.lines[compounds.first_multiplet[k] + row]


def system(*couplings):
    """Return a system of spins from the upper triangle of its couplings, row by row."""
    n = int((1 + np.sqrt(1 + 8 * len(couplings))) / 2)
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = couplings
    return SpinSystem(tuple(range(n)), tuple(map(tuple, (matrix + matrix.T).tolist())))


def sorted_lines(system, hz, least=1e-9):
    places, areas, rows = transitions(system, np.array(hz))
    order = np.argsort(places)
    order = order[areas[order] > least]
    return places[order], areas[order], rows[order]


@pytest.mark.parametrize("distance", [5.0, 20.0, 150.0])
@pytest.mark.parametrize("coupling", [-16.9, 7.0])
def test_two_spins_are_an_ab_quartet(coupling, distance):
    places, areas, rows = sorted_lines(system(coupling), [1000 - distance / 2, 1000 + distance / 2])
    d = np.hypot(coupling, distance)
    inner, outer = (d - abs(coupling)) / 2, (d + abs(coupling)) / 2
    assert places - 1000 == pytest.approx([-outer, -inner, inner, outer])
    weak, strong = (1 - abs(coupling) / d) / 2, (1 + abs(coupling) / d) / 2
    assert areas == pytest.approx([weak, strong, strong, weak])
    assert rows.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("j_ax, j_bx", [(7.7, 4.3), (8.0, -3.0), (2.0, 11.0)])
def test_three_spins_are_an_abx_spectrum(j_ax, j_bx):
    """Formulas of Pople, Schneider and Bernstein (High-resolution NMR, 1959, chapter 6)."""
    j, a, b, x = 16.9, 1035.0, 1000.0, 500_000.0
    expected = []
    two_d, angle = {}, {}
    for sign in (1, -1):
        apart = a - b + sign * (j_ax - j_bx) / 2
        two_d[sign], angle[sign] = np.hypot(apart, j), np.arctan2(j, apart)
        centre = (a + b) / 2 + sign * (j_ax + j_bx) / 4
        for side in (1, -1):
            for shift in (1, -1):
                area = (1 + side * shift * -np.sin(angle[sign])) / 4
                expected.append((centre + side * two_d[sign] / 2 + shift * j / 2, area))
    half = (angle[1] - angle[-1]) / 2
    for side in (1, -1):
        expected.append((x + side * (j_ax + j_bx) / 2, 1 / 4))
        expected.append((x + side * (two_d[1] - two_d[-1]) / 2, np.cos(half) ** 2 / 4))
        expected.append((x + side * (two_d[1] + two_d[-1]) / 2, np.sin(half) ** 2 / 4))
    places, areas, rows = sorted_lines(system(j, j_ax, j_bx), [a, b, x], 1e-6)
    expected = np.array(sorted(line for line in expected if line[1] > 1e-6))
    assert places == pytest.approx(expected[:, 0], abs=0.01)
    assert areas == pytest.approx(expected[:, 1], abs=1e-4)
    assert (rows[places > 1e5] == 2).all() and (rows[places < 1e5] < 2).all()


def test_the_lines_are_those_of_nmrsim():
    from nmrsim.qm import qm_spinsystem

    for name in ("glutamate", "glycerol", "phenylalanine", "citrate", "methionine"):
        compounds = common_metabolites()
        first = compounds.first_multiplet[compounds.names.index(name)]
        for one in spin_systems()[name]:
            hz = np.array([compounds.ppm[first + row] for row, _ in one.protons]) * 400
            places, areas, _ = transitions(one, hz)
            theirs = np.array(qm_spinsystem(hz, np.array(one.couplings), cache=False, cutoff=0.0))
            assert areas.sum() == pytest.approx(len(hz))
            assert theirs[:, 1].sum() == pytest.approx(len(hz))
            assert wasserstein_distance(places, theirs[:, 0], areas, theirs[:, 1]) < 1e-3


def test_far_groups_are_coupled_at_first_order():
    """The CH3 group of a strongly coupled CH2 group gets more lines than a triplet."""
    weak = (WeakGroup(3, (9.0, 2.0), 2), WeakGroup(1, (0.0, 3.0)))
    one = SpinSystem((0, 1), ((0.0, -14.0), (-14.0, 0.0)), weak)
    places, areas, rows = transitions(one, np.array([700.0, 730.0, 9e5]))
    assert [areas[rows == row].sum() for row in range(3)] == pytest.approx([1, 1, 3])
    # The same with all in one system, too far away to be coupled strongly.
    inside = np.zeros((6, 6))
    inside[0, 1], inside[0, 2:5], inside[1, 2:5], inside[1, 5] = -14, 9, 2, 3
    whole = SpinSystem((0, 1, 2, 2, 2, 3), tuple(map(tuple, (inside + inside.T).tolist())))
    hz, sizes, there = transitions(whole, np.array([700, 730, 9e5, 9e5, 9e5, -9e5]))
    for row in range(3):
        a, b = rows == row, (there == row) & (sizes > 1e-9)
        assert wasserstein_distance(places[a], hz[b], areas[a], sizes[b]) < 0.01
    assert ((rows == 2) & (areas > 0.01)).sum() > 4


@pytest.mark.parametrize(
    "couplings, text",
    [(((0.0,),), "1 spins; expected 2"), (((0.0, 1.0), (2.0, 0.0)), "symmetric")],
)
def test_a_system_states_what_is_wrong(couplings, text):
    with pytest.raises(ValueError, match=text):
        SpinSystem(tuple(range(len(couplings))), couplings)


def test_frequencies_are_checked():
    with pytest.raises(ValueError, match="shape"):
        transitions(system(7.0), np.zeros(3))
    with pytest.raises(ValueError, match="mhz is nan"):
        second_order(common_metabolites(), float("nan"))


def test_the_packaged_systems_are_the_couplings_of_the_table():
    """Far from each other, the spins give the multiplets that the table states."""
    compounds = common_metabolites()
    far = second_order(replace(compounds, ppm=1e-4 + compounds.ppm), 2e6)
    assert set(spin_systems()) <= set(compounds.names)
    for name, systems in spin_systems().items():
        for row in {row for one in systems for row, _ in one.protons}:
            stated, simulated = lines_of(compounds, name, row), lines_of(far, name, row)
            distance = wasserstein_distance(
                stated.offsets, simulated.offsets, stated.areas, simulated.areas
            )
            assert distance < AVERAGED.get(name, 0.2), (name, row)


@pytest.mark.parametrize("mhz", [400.0, 600.0])
def test_areas_centres_and_compounds_stay(mhz):
    compounds = common_metabolites()
    found = second_order(compounds, mhz)
    assert found.names == compounds.names and found.kinds == compounds.kinds
    assert found.total_protons == pytest.approx(compounds.total_protons, rel=1e-5)
    assert np.abs(found.protons - compounds.protons).max() < 0.2
    assert np.abs(found.ppm - compounds.ppm).max() * mhz < 6
    changed = [lines for lines in found.given if lines is not None]
    assert 250 < len(changed) < 350
    assert max(len(lines.offsets) for lines in changed) <= MAX_LINES
    assert second_order(found, mhz).given == found.given  # given lines stay


def test_the_inner_lines_of_asparagine_are_the_higher_ones():
    found = second_order(common_metabolites(), 400.0)
    high, low = lines_of(found, "asparagine", 1), lines_of(found, "asparagine", 0)
    half = len(high.areas) // 2
    assert high.areas[:half].sum() > 0.68  # towards its partner, .09 ppm below
    assert low.areas[half:].sum() > 0.68


def test_only_packaged_compounds_are_simulated():
    made = synthetic_compounds(SyntheticConfig(n_compounds=50), np.random.default_rng(0))
    assert second_order(made, 400.0) is made
    compounds = common_metabolites().select([common_metabolites().names.index("serine")])
    named = replace(compounds, names=("my compound",))
    other = replace(compounds, couplings=((6.0, 3.6), (12.3, 6.0), (12.3, 9.9)))
    for library in (named, other):
        assert second_order(library, 400.0) is library
    # Its shifts are those of the library: the pH moves them.
    moved = replace(compounds, ppm=compounds.ppm + [0.3, 0.0, 0.0])
    one, two = second_order(compounds, 400.0), second_order(moved, 400.0)
    assert one.given[0] is not None and two.given[0] is not None
    assert two.ppm[0] - one.ppm[0] == pytest.approx(0.3, abs=0.005)
    assert not np.array_equal(one.lines[1].areas, two.lines[1].areas)


def test_the_ph_comes_first():
    compounds, mhz = common_metabolites(), 400.0
    row = compounds.first_multiplet[compounds.names.index("serine")]
    acid = at_ph(compounds, 3.0)
    apart = [np.diff(library.ppm[row : row + 2]) * mhz for library in (compounds, acid)]
    assert abs(apart[0] - apart[1]) > 1  # Hz, so that the roof is another
    usual, moved = (second_order(library, mhz) for library in (compounds, acid))
    assert moved.ppm[row : row + 3] == pytest.approx(acid.ppm[row : row + 3], abs=0.01)
    assert np.abs(usual.lines[row].areas - moved.lines[row].areas).max() > 0.005


STRONG = ["asparagine", "aspartate", "cysteine", "glutamate", "glutamine", "histidine", "serine"]
OTHERS = ["alanine", "glycine", "lysine", "methionine", "phenylalanine", "threonine", "valine"]


@pytest.mark.parametrize("mhz", [400.0, 600.0])
def test_strongly_coupled_amino_acids_are_identified(mhz):
    """The exact spectra: most are missed with first-order lines, none with second-order ones."""
    axis = replace(FULL_AXIS, mhz=mhz)
    first_order = common_metabolites()
    exact = second_order(first_order, mhz)
    config = PeakMixtureConfig(n_low=8, n_high=8, jitter=0.003, decades=1.0, noise=1e-3)
    chosen = [exact.names.index(name) for name in STRONG + OTHERS]
    scores = []
    for library in (first_order, exact):
        detector, score = Detector(library.select(chosen), axis=axis), Score()
        for seed in range(100, 106):
            rng = np.random.default_rng(seed)
            mixture = draw_mixture(exact.select(chosen), config, rng, axis)
            score.add_prediction(mixture, detector.identify(mixture.peaks))
        scores.append(score.summary()["f1"])
    assert scores[0] < 0.95
    assert scores[1] > max(0.96, scores[0] + 0.04)


def test_rendered_spectra_have_second_order_lines():
    serine = common_metabolites().select([common_metabolites().names.index("serine")])
    config = RenderConfig(n_low=1, n_high=1, mhz_low=400, mhz_high=400, baseline=0, water=0)
    config = replace(config, phase=0.0, offset=0.0, standard=0.0, snr_low=3000.0, jitter=0.0)
    exact, first_order = (
        render(serine, replace(config, second_order=chosen), 5) for chosen in (True, False)
    )
    assert exact.mhz == first_order.mhz
    for made, library in ((exact, second_order(serine, 400.0)), (first_order, serine)):
        tallest = library.line_ppm(400.0)[library.areas.argmax()]
        near = made.spectrum.ppm[made.spectrum.heights.argmax()]
        assert np.abs(library.line_ppm(400.0) - near).min() * 400 < 0.6
        assert abs(tallest - near) < 0.2
    assert not np.allclose(exact.spectrum.heights, first_order.spectrum.heights, rtol=0.05)
