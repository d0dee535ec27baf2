from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.mixtures.rendered import RenderConfig, render
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.titration import Titrations

LIBRARY = Compounds(
    names=("left", "right"),
    compound=[0, 1, 1],
    ppm=[8.4, 1.3, 4.1],
    protons=[2.0, 3.0, 1.0],
    kinds=("s", "d", "s"),
    couplings=((), (7.0,), ()),
)
PLAIN = RenderConfig(
    n_low=2,
    n_high=2,
    decades=0.0,
    jitter=0.0,
    mhz_low=500.0,
    mhz_high=500.0,
    width_low=1.5,
    width_high=1.5,
    snr_low=1e6,
    snr_high=1e6,
    offset=0.0,
    phase=0.0,
    baseline=0.0,
    water=0.0,
    standard=0.0,
)


def area(rendered, low, high):
    ppm, heights = rendered.spectrum.ppm, rendered.spectrum.heights
    inside = (ppm >= low) & (ppm <= high)
    return heights[inside].sum() * (ppm[1] - ppm[0]) * rendered.mhz


def test_the_same_seed_gives_the_same_bytes():
    a, b, c = (render(LIBRARY, RenderConfig(n_low=2, n_high=2), seed) for seed in (3, 3, 4))
    assert a.spectrum.heights.tobytes() == b.spectrum.heights.tobytes()
    assert a.spectrum.heights.tobytes() != c.spectrum.heights.tobytes()


def test_areas_are_protons_times_amount():
    rendered = render(LIBRARY, PLAIN)
    # A Lorentzian of 1.5 Hz has .24 % of its area beyond 200 Hz.
    assert area(rendered, 8.0, 8.8) == pytest.approx(2.0, rel=0.005)
    assert area(rendered, 0.9, 1.7) == pytest.approx(3.0, rel=0.005)
    assert rendered.truth.peaks.areas.sum() == pytest.approx(6.0)


@pytest.mark.parametrize("mhz", [400.0, 800.0])
def test_lines_are_where_the_offset_and_the_frequency_put_them(mhz):
    for seed in range(3):
        config = replace(PLAIN, mhz_low=mhz, mhz_high=mhz, offset=0.2)
        rendered = render(LIBRARY, config, seed)
        ppm, heights = rendered.spectrum.ppm, rendered.spectrum.heights
        assert ppm[heights.argmax()] == pytest.approx(8.4 + rendered.offset, abs=3e-4)
        doublet = np.abs(ppm - 1.3 - rendered.offset) < 0.05
        tops = np.flatnonzero(
            doublet[1:-1]
            & (heights[1:-1] > heights[2:])
            & (heights[1:-1] > heights[:-2])
            & (heights[1:-1] > 0.1 * heights.max())
        )
        assert np.diff(ppm[tops + 1]) * mhz == pytest.approx([7.0], abs=0.2)


def test_the_noise_is_as_stated_and_correlated():
    rendered = render(LIBRARY, replace(PLAIN, snr_low=100.0, snr_high=100.0))
    quiet = rendered.spectrum.heights[rendered.spectrum.ppm > 10.5]
    quiet = quiet - quiet.mean()
    assert quiet.std() == pytest.approx(rendered.noise, rel=0.05)
    # The median of 2 for one compound, and of 1.5 for a line of the doublet.
    assert rendered.noise == pytest.approx((2 + 1.5) / 2 * 2 / np.pi / 1.5 / 100, rel=0.01)
    # Noise from neighbour differences would be too low.
    assert np.diff(quiet).std() / np.sqrt(2) < 0.8 * rendered.noise


def test_water_the_standard_and_the_baseline_are_added():
    plain = render(LIBRARY, PLAIN)
    assert area(render(LIBRARY, replace(PLAIN, water=5.0)), 4.3, 5.1) > area(plain, 4.3, 5.1) + 1
    standard = render(LIBRARY, replace(PLAIN, standard=1.0))
    assert standard.standard and area(standard, -0.3, 0.3) > 0.5 > area(plain, -0.3, 0.3)
    tilted = render(LIBRARY, replace(PLAIN, baseline=0.05)).spectrum
    edge = np.abs(tilted.heights[(tilted.ppm > 10) | (tilted.ppm < -1)]).max()
    assert edge > 0.01 * plain.spectrum.heights.max()


@pytest.mark.parametrize(
    ("field", "value"), [("mhz_low", 900.0), ("snr_low", 1.0), ("standard", 2.0), ("n_low", 30)]
)
def test_bounds_are_checked(field, value):
    with pytest.raises(ValueError, match=field):
        replace(RenderConfig(), **{field: value})


def test_a_ph_moves_the_compounds_and_nothing_else_is_drawn_anew():
    library = common_metabolites()
    acid = RenderConfig(n_low=20, n_high=20, ph_low=2.0, ph_high=2.0)
    rendered, usual = (render(library, config, 3) for config in (acid, RenderConfig(20, 20)))
    assert (rendered.ph, usual.ph) == (2.0, 7.4)
    truth, as_usual = rendered.truth, usual.truth
    assert (truth.present == as_usual.present).all()
    assert (truth.amounts == as_usual.amounts).all()
    moved = truth.shifts - as_usual.shifts
    stated = Titrations.of(library).moves(2.0)[truth.multiplets]
    assert np.corrcoef(moved, stated)[0, 1] > 0.9
    assert np.abs(moved[np.abs(stated) < 1e-6]).max() < 1e-12  # what does not titrate
    assert 0.001 < np.abs(moved - stated).max() < 0.2  # samples deviate from the table
    # The peaks are where the shifts say.
    k = int(truth.amounts.argmax())
    row = int(np.flatnonzero(truth.owners == k)[0])
    place = library.ppm[truth.multiplets[row]] + truth.shifts[row]
    lines = place + library.lines[truth.multiplets[row]].offsets / rendered.mhz
    assert np.abs(lines[:, None] - truth.peaks.ppm).min(1).max() < 2 / rendered.mhz
