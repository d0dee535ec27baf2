import numpy as np
import pytest
import torch

from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.shift_estimates import (
    SPREADS,
    estimate_offset,
    estimate_spread,
    spread_of,
)
from nmrclassify.networks.templates import (
    Templates,
    tolerant,
)
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=30), rng())


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
