import re
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from nmrclassify.evaluation.choose_ph import ph_chooser
from nmrclassify.mixtures.processing_recipe import (
    REFERENCE_REGION,
    SOLVENTS,
    ProcessingRecipe,
    solvent_of,
)
from nmrclassify.mixtures.rendered import RenderConfig, render
from nmrclassify.mixtures.spectrum import Spectrum
from nmrclassify.mixtures.spectrum_processing import process
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

CLEAN = RenderConfig(
    n_low=8, n_high=8, jitter=0.002, snr_low=500.0, snr_high=500.0, water=0.0, standard=1.0
)


@lru_cache(maxsize=8)
def rendered(config=CLEAN, seed=100):
    return render(common_metabolites(), config, seed)


def test_areas_and_places_are_those_of_the_truth():
    result = rendered()
    peaks, true = process(result.spectrum).peaks, result.truth.peaks
    assert peaks.axis == true.axis
    assert peaks.areas.sum() == pytest.approx(true.areas.sum(), rel=0.03)
    strong = true.areas > 0.05 * true.areas.max()
    distance = np.abs(true.ppm[strong, None] - peaks.ppm).min(1) * result.mhz
    assert np.mean(distance < 1.0) > 0.9


def test_each_step_has_a_sentence_and_follows_the_one_before():
    done = process(rendered().spectrum)
    assert [step.name for step in done.steps] == ["baseline", "noise", "reference", "cut", "peaks"]
    assert done.steps[0].before is rendered().spectrum
    for step, following in zip(done.steps[:-1], done.steps[1:], strict=True):
        assert following.before is step.after
    assert all(step.sentence.endswith(".") for step in done.steps)
    assert done.steps[-1].after is done.spectrum
    rest = done.spectrum.heights - done.fitted
    quiet = (done.spectrum.ppm > 0.2) & (done.spectrum.ppm < 4.5)
    assert rest[quiet].std() < 2 * done.noise


def test_a_step_can_be_switched_off():
    recipe = ProcessingRecipe(baseline=False, reference="off", cut=False, fit=False)
    done = process(rendered().spectrum, recipe)
    assert [step.name for step in done.steps] == ["noise", "peaks"]
    assert done.shift == 0 and done.regions == ()
    assert (done.spectrum.heights == rendered().spectrum.heights).all()


def test_the_baseline_is_removed():
    config = replace(CLEAN, baseline=0.05)
    result = rendered(config)

    def level(recipe):
        done = process(result.spectrum, recipe)
        spectrum = done.spectrum
        return abs(np.median(spectrum.heights[spectrum.ppm > 10.5])) / result.noise

    assert level(ProcessingRecipe(baseline=False)) > 3
    assert level(ProcessingRecipe()) < 0.5


def test_a_baseline_far_above_the_noise_is_no_signal():
    result = render(common_metabolites(), RenderConfig(baseline=0.1), 102)
    done = process(result.spectrum, library=common_metabolites())
    assert len(done.peaks.areas) < 1.5 * len(result.truth.peaks.areas)
    assert done.shift == pytest.approx(-result.offset, abs=0.004)


def test_a_hump_is_left_out_and_said():
    spectrum = rendered().spectrum
    hz = (spectrum.ppm - 8.9) * spectrum.mhz
    top = 0.02 * float(spectrum.heights.max())
    with_hump = replace(spectrum, heights=spectrum.heights + top / (1 + (hz / 5) ** 2))

    def left_out(spectrum):
        done = process(spectrum)
        found = re.search(r"(\d+) lines? of .* humps?: ([\d.]+)% of", done.steps[-1].sentence)
        return (int(found[1]), float(found[2]), done) if found else (0, 0.0, done)

    count, part, _ = left_out(spectrum)
    more, larger, done = left_out(with_hump)
    assert more > count
    area = top * np.pi * 5
    assert larger - part == pytest.approx(100 * area / (area + done.lines.areas.sum()), rel=0.5)
    assert not ((done.peaks.ppm > 8.88) & (done.peaks.ppm < 8.92)).any()


def test_the_area_of_the_standard_is_in_the_unit_of_the_peaks():
    ppm = np.linspace(-1, 11, 2**16)
    heights = np.random.default_rng(1).normal(0, 0.002, len(ppm))
    for place, area in ((0.01, 9.0), (3.01, 3.0), (8.4, 1.0)):
        heights += area * 2 / np.pi / (1 + ((ppm - place) * 500 / 0.5) ** 2)
    done = process(Spectrum(ppm, heights, 500.0, "table"))
    assert done.standard_area == pytest.approx(9, rel=0.02)
    assert done.peaks.areas == pytest.approx([3, 1], rel=0.03)
    assert process(rendered(replace(CLEAN, standard=0.0)).spectrum).standard_area is None


def test_the_noise_is_that_of_the_truth():
    assert process(rendered().spectrum).noise == pytest.approx(rendered().noise, rel=0.1)


def test_a_standard_is_found_and_moved_to_0():
    done = process(rendered().spectrum)
    assert done.shift == pytest.approx(-rendered().offset, abs=3e-4)
    assert "moved to 0" in done.steps[2].sentence


@pytest.mark.parametrize("seed", [101, 103, 106])
def test_without_a_standard_the_library_gives_the_shift(seed):
    result = rendered(replace(CLEAN, standard=0.0), seed)
    done = process(result.spectrum, library=common_metabolites())
    assert done.shift == pytest.approx(-result.offset, abs=0.004)
    assert "library" in done.steps[2].sentence
    assert process(result.spectrum).shift == 0  # no library, no guess
    by_hand = process(result.spectrum, ProcessingRecipe(reference="by hand", shift=0.123))
    assert by_hand.shift == 0.123
    assert by_hand.spectrum.ppm[0] == pytest.approx(result.spectrum.ppm[0] + 0.123)


def tsp(seed, **changes):
    """Return a spectrum whose reference is .016 ppm from that of the library."""
    table = common_metabolites()
    moved = replace(table, ppm=table.ppm + 0.016)
    return render(moved, replace(CLEAN, n_low=15, n_high=15, second_order=False, **changes), seed)


@pytest.mark.parametrize("seed", [101, 102, 103])
def test_a_singlet_that_is_not_the_zero_of_the_library_is_corrected(seed):
    result, table = tsp(seed), common_metabolites()
    done = process(result.spectrum, library=table)
    assert done.shift + result.offset == pytest.approx(-0.016, abs=0.006)
    assert "The library fits clearly better when the axis is moved by a further -0.01" in done.note
    at_7 = process(result.spectrum, ProcessingRecipe(ph_from="by hand", ph=7.4), table)
    assert at_7.shift == pytest.approx(done.shift, abs=0.004)
    assert done.standard_area is not None
    exact = process(result.spectrum, ProcessingRecipe(reference="standard"), table)
    assert exact.shift + result.offset == pytest.approx(0, abs=0.001)
    assert "clearly better" not in exact.note


@pytest.mark.parametrize("seed", [100, 101, 102])
def test_a_singlet_that_is_the_zero_of_the_library_is_kept(seed):
    result = rendered(replace(CLEAN, ph_low=3.0, ph_high=9.0), seed)
    done = process(result.spectrum, library=common_metabolites())
    assert done.shift + result.offset == pytest.approx(0, abs=0.001)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_spectrum_of_other_compounds_moves_no_axis(seed):
    others = synthetic_compounds(SyntheticConfig(60), np.random.default_rng(seed))
    spectrum = render(others, replace(CLEAN, standard=0.0), seed).spectrum
    table = common_metabolites()
    done = process(spectrum, library=table, choose=ph_chooser(table))
    assert done.shift == 0
    assert "the axis is unchanged: check it" in done.note
    assert done.acid_base.ph == 7.4


def test_the_regions_of_the_solvent_and_the_reference_are_cut():
    result = rendered(replace(CLEAN, water=5.0))
    done = process(result.spectrum)
    assert done.regions == (REFERENCE_REGION, *SOLVENTS["water"])
    for low, high in done.regions:
        inside = (done.spectrum.ppm > low) & (done.spectrum.ppm < high)
        assert not done.spectrum.heights[inside].any()
        assert not ((done.peaks.ppm > low) & (done.peaks.ppm < high)).any()
    own = process(result.spectrum, ProcessingRecipe(regions=((1.0, 2.0),)))
    assert own.regions == ((1.0, 2.0),)
    water = (own.spectrum.ppm > 4.58) & (own.spectrum.ppm < 4.92)
    assert own.spectrum.heights[water].max() > 20 * own.noise
    assert not ((own.peaks.ppm > 1.0) & (own.peaks.ppm < 2.0)).any()


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("D2O", "water"),
        ("H2O+D2O", "water"),
        ("DMSO", "DMSO"),
        ("Dimethylsulfoxide-d6", "DMSO"),
        ("CDCl3", "chloroform"),
        ("MeOD", "methanol"),
        ("CD3CN", "acetonitrile"),
        ("Acetone", "acetone"),
        ("", "water"),
    ],
)
def test_solvents_are_known_by_the_names_in_files(stated, name):
    assert solvent_of(stated) == name
    spectrum = replace(rendered().spectrum, metadata={"solvent": stated})
    assert process(spectrum, ProcessingRecipe(fit=False)).regions[1:] == SOLVENTS[name]


def test_the_frequency_is_that_of_the_file_or_else_of_the_axis():
    spectrum = rendered().spectrum
    assert process(spectrum).peaks.axis.mhz == rendered().mhz
    assert process(replace(spectrum, mhz=None)).peaks.axis.mhz == 600


def test_a_recipe_is_stored_and_reproduces_the_peaks():
    recipe = ProcessingRecipe(threshold=5.0, regions=((4.5, 5.0), (-0.3, 0.3)), shape="Lorentzian")
    again = ProcessingRecipe.from_json(recipe.to_json())
    assert again == recipe
    one, two = (process(rendered().spectrum, r).peaks for r in (recipe, again))
    assert one.areas.tobytes() == two.areas.tobytes()
    assert ProcessingRecipe.from_json("{}") == ProcessingRecipe()


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[1]", "expected an object"),
        ("{", "no JSON"),
        ('{"colour": 1}', "expected an object"),
        ('{"threshold": 1}', "threshold is 1"),
        ('{"baseline": 1}', "baseline is 1"),
        ('{"reference": "TMS"}', "reference is 'TMS'"),
        ('{"reference": []}', "reference is"),
        ('{"regions": [[2, 1]]}', "lower first"),
        ('{"regions": 3}', "pairs of ppm"),
        ('{"regions": [[1, 2, 3]]}', "pairs of ppm"),
        ('{"shift": NaN}', "shift is nan"),
    ],
)
def test_a_wrong_recipe_is_refused(text, match):
    with pytest.raises(ValueError, match=match):
        ProcessingRecipe.from_json(text)


def test_pure_noise_gives_few_lines_or_none():
    heights = np.random.default_rng(0).standard_normal(65_536)
    spectrum = Spectrum(np.linspace(-1, 12, 65_536), heights, 600.0, "noise")
    try:
        assert len(process(spectrum).peaks.areas) < 30
    except ValueError as error:
        assert "no line above" in str(error)


def test_a_spectrum_beyond_the_axis_is_refused():
    spectrum = replace(rendered().spectrum, ppm=rendered().spectrum.ppm + 100)
    with pytest.raises(ValueError, match="expected at least one"):
        process(spectrum, ProcessingRecipe(reference="off"))
