import re
import time
import tracemalloc
from functools import lru_cache

import numpy as np
import pandas as pd
import pytest
from scipy.signal import find_peaks, peak_prominences

from nmrclassify.files.tables import TableError
from nmrclassify.mixtures import peak_files, spectrum_tables
from nmrclassify.mixtures.peak_files import (
    library_template,
    peaks_table,
    read_sample,
    sample_template,
)
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import read_compounds
from nmrclassify.nmr.line_shapes import spectrum
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds


def mixture(seed: int, n: int = 12) -> Peaks:
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=40), np.random.default_rng(seed))
    return draw_mixture(
        compounds, PeakMixtureConfig(n_low=n, n_high=n), np.random.default_rng(seed)
    ).peaks


@pytest.mark.parametrize("seed", range(4))
def test_peaks_come_back_as_they_were_written(seed):
    peaks = mixture(seed)
    again = read_sample(peaks_table(peaks).to_csv(index=False)).peaks
    np.testing.assert_array_equal(again.positions, peaks.positions)
    np.testing.assert_array_equal(again.areas, peaks.areas)


def test_every_place_of_the_axis_comes_back():
    gaps = 1 + np.exp(np.random.default_rng(1).normal(1.5, 1.5, 30_000)).astype(int)
    places = np.cumsum(gaps)[np.cumsum(gaps) < FULL_AXIS.n_positions]
    peaks = Peaks(FULL_AXIS, places, np.ones(len(places), dtype=np.float32))
    table = peaks_table(peaks).sample(frac=1, random_state=1)  # in no order
    again = read_sample(table.to_csv(index=False))
    np.testing.assert_array_equal(again.peaks.positions, places)
    assert len(places) > 4000
    assert again.note.startswith("A list of")


@pytest.mark.parametrize("noise", [0.0, 1e-4])
def test_the_maxima_of_a_spectrum_are_picked(noise):
    rng = np.random.default_rng(3)
    positions = np.sort(
        rng.choice(np.arange(10_000, 60_000, 100), 60, replace=False)
    )  # 12 Hz apart: resolved
    positions = positions[np.abs(FULL_AXIS.centres[positions] - 4.75) > 0.2]  # not in water
    areas = 10 ** rng.uniform(-1, 0, len(positions))
    heights = spectrum(FULL_AXIS, positions, areas) + noise * rng.standard_normal(
        FULL_AXIS.n_positions
    )
    sample = read_sample(
        pd.DataFrame({"ppm": FULL_AXIS.centres[::-1], "intensity": heights[::-1]}).to_csv(
            index=False
        )
    )
    assert "lines were fitted" in sample.note
    assert "65,536 points" in sample.note
    # Without noise, what the baseline leaves counts as lines, of .0002 at most.
    strong = sample.peaks.areas > 0.005
    assert strong.sum() == len(positions) and sample.peaks.areas[~strong].max(initial=0) < 2e-4
    assert np.abs(sample.peaks.positions[strong] - positions).max() <= 2
    assert sample.peaks.areas[strong] == pytest.approx(areas, rel=0.03)  # tails included


def test_a_mixtures_spectrum_gives_its_strong_peaks():
    peaks = mixture(2, 8)
    heights = spectrum(FULL_AXIS, peaks.positions, peaks.areas)
    sample = read_sample(
        pd.DataFrame({"ppm": FULL_AXIS.centres, "area": heights}).to_csv(index=False)
    )
    strong = peaks.ppm[peaks.areas > np.quantile(peaks.areas, 0.9)]
    nearest = np.abs(sample.peaks.ppm[:, None] - strong).min(0)
    assert np.mean(nearest < 0.0015) > 0.9


def test_a_flat_or_empty_spectrum_has_no_peak():
    table = pd.DataFrame({"ppm": np.linspace(0, 10, 5000), "area": np.zeros(5000)})
    with pytest.raises(TableError, match="no maximum"):
        read_sample(table.to_csv(index=False))
    with pytest.raises(TableError, match="is flat"):
        read_sample(table.to_csv(index=False), mhz=100)


def test_noise_alone_is_hardly_picked():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"ppm": np.linspace(0, 10, 20_000), "area": rng.standard_normal(20_000)})
    try:
        assert len(read_sample(table.to_csv(index=False)).peaks.areas) < 5
    except TableError as error:
        assert "no line above" in str(error)


def test_a_coarse_spectrum_has_its_maxima_picked():
    ppm = np.linspace(0, 10, 4001)  # 1.5 Hz
    table = pd.DataFrame({"ppm": ppm, "area": np.exp(-(((ppm - 5) * 200) ** 2)) + ppm % 1e-6})
    assert "local maxima" in read_sample(table.to_csv(index=False)).note
    assert "lines were fitted" in read_sample(table.to_csv(index=False), mhz=200).note


def test_multiplets_are_split_into_lines():
    sample = read_sample(
        "ppm,kind,j_hz,protons,amount\n4.1,q,7.2,1,0.5\n1.3,doublet,7.2,3,0.5\n8.4,s,,1,2\n"
    )
    peaks = sample.peaks
    assert len(peaks.areas) == 7
    assert peaks.areas.sum() == pytest.approx(0.5 + 1.5 + 2)
    np.testing.assert_allclose(peaks.areas[2:6], 0.5 * np.array([1, 3, 3, 1]) / 8)
    assert np.diff(peaks.ppm[:2])[0] * 600 == pytest.approx(7.2, abs=0.13)
    assert sample.note == "3 multiplets, split into 7 lines."
    assert sample.first_order and not read_sample("ppm,area\n1,1\n").first_order
    assert len(read_sample("ppm;kind;protons\n3;s;1\n").peaks.areas) == 1
    assert read_sample(
        "ppm\tkind\tj_hz\tprotons\n3\tdd\t7;-2\t1\n"
    ).peaks.areas.sum() == pytest.approx(1)


def test_what_lies_outside_is_left_out_and_said():
    sample = read_sample("ppm,area\n1,1\n15,1\n-3,2\n")
    assert len(sample.peaks.areas) == 1
    assert "2 outside -1 to 12 ppm left out" in sample.note


def test_rows_of_one_place_add_up_and_order_and_blank_rows_do_not_matter():
    one = read_sample("ppm,area\n3,1\n1,2\n3,1\n").peaks
    two = read_sample(b"\xef\xbb\xbfArea , PPM\r\n2,1\r\n,\r\n2,3\r\n").peaks
    np.testing.assert_array_equal(one.positions, two.positions)
    assert one.areas.tolist() == two.areas.tolist() == [2, 2]


@lru_cache
def whole_spectrum():
    peaks = mixture(1, 20)
    return spectrum(FULL_AXIS, peaks.positions, peaks.areas)


def measured(ppm, noise=0.0, seed=0):
    """Return the heights at some ppm of a spectrum of 20 multiplets or so."""
    heights = np.interp(ppm, FULL_AXIS.centres, whole_spectrum())
    return heights + noise * heights.max() * np.random.default_rng(seed).standard_normal(len(ppm))


def uneven(n, kind, seed=0):
    """Return n ascending ppm from 0 to 10."""
    rng, even = np.random.default_rng(seed), np.linspace(0, 10, n)
    return {
        "even": even,
        "slightly uneven": np.sort(even + rng.uniform(-0.2, 0.2, n) * 10 / n),
        "uneven": np.sort(even + rng.uniform(-0.5, 0.5, n) * 10 / n),
        "random": np.sort(rng.uniform(0, 10, n)),
        "wider": 10 * np.expm1(np.linspace(0, 2, n)) / np.expm1(2),
        "cut": np.r_[even[: n // 3], even[n // 3 + n // 20 :]],
    }[kind]


HEADERS = (
    "ppm{0}intensity",
    "Chemical shift (ppm){0}Intensity (a.u.)",
    "PPM{0}Height",
    "# ppm{0}area",
    "# δ / ppm{0}Signal",
    "",
)
STEPS = ("even", "slightly uneven", "uneven", "random", "wider", "cut")
VARIANTS = [
    (steps, decimals, HEADERS[(i + j + k) % 6], ",;\t "[(i + k) % 4], bool((i + j) % 2), n, noise)
    for i, steps in enumerate(STEPS)
    for j, decimals in enumerate((1, 2, 3, 4, 5, 6, 17))
    for k, (n, noise) in enumerate(
        [(300, 0), (1001, 1e-3), (2001, 0), (4001, 0), (4001, 1e-4), (4001, 1e-2), (8192, 1e-3)]
    )
]


def test_there_are_many_variants_of_spectra():
    assert len(set(VARIANTS)) == len(VARIANTS) >= 200


@pytest.mark.parametrize("steps", STEPS)
def test_a_spectrum_is_never_taken_for_a_list_of_peaks(steps):
    """However its ppm are rounded, spaced, ordered and written; a spectrum of peaks is read."""
    read, places = 0, mixture(1, 20).ppm
    for _, decimals, header, mark, descending, n, noise in (v for v in VARIANTS if v[0] == steps):
        ppm = uneven(n, steps)
        heights = measured(ppm, noise)
        if noise and decimals % 2:
            heights += 0.05 * heights.max() - heights.min()  # a baseline above zero
        order = slice(None, None, -1 if descending else 1)
        comma = mark != "," and n % 2
        rows = [
            f"{x:.{decimals}f}{mark}{y:.6g}".replace(".", "," if comma else ".")
            for x, y in zip(ppm[order], heights[order], strict=True)
        ]
        text = "\n".join([header.format(mark)] * bool(header) + rows)
        case = (decimals, header, mark, descending, n, noise)
        try:
            sample = read_sample(text)
        except TableError as error:
            assert len(str(error)) < 400 and "\n" not in str(error)
            # Peaks that are picked in noise look like noise at random ppm, too.
            unclear = steps == "random" and noise
            assert decimals < 5 or n < 512 or "maxim" in str(error) or unclear, (case, error)
            continue
        read += 1
        assert sample.note.startswith("A spectrum of"), case
        # What stands out of a spectrum of narrow lines, sampled twice a line, is where a peak is.
        near = np.abs(sample.peaks.ppm[:, None] - places).min(1) < max(10 / n, 0.6 * 10**-decimals)
        weights = sample.peaks.areas / sample.peaks.areas.sum()
        assert weights[near].sum() > 0.8, case
    assert read >= (12 if steps == "random" else 18)


@pytest.mark.parametrize("decimals", [3, 4])
def test_rounded_ppm_are_as_good_as_even_ones(decimals):
    ppm = np.linspace(0, 10, 4001)  # steps of .0025 ppm
    heights = measured(ppm)
    expected = read_sample(pd.DataFrame({"ppm": ppm, "area": heights}).to_csv(index=False))
    table = pd.DataFrame({"ppm": ppm.round(decimals), "area": heights})
    found = read_sample(table.to_csv(index=False))
    np.testing.assert_array_equal(found.peaks.positions, expected.peaks.positions)
    np.testing.assert_allclose(found.peaks.areas, expected.peaks.areas, rtol=1e-5)
    assert ("on an even axis, whose ppm were rounded" in found.note) == (decimals == 3)


def test_the_area_of_a_line_does_not_depend_on_the_steps():
    heights = lambda ppm: 1 / (1 + ((ppm - 5) * 600 / 4) ** 2)  # noqa: E731  a line of 8 Hz
    areas = {}
    for steps in STEPS:
        ppm = uneven(16_384, steps)
        table = pd.DataFrame({"ppm": ppm, "area": heights(ppm)})
        areas[steps] = read_sample(table.to_csv(index=False)).peaks.areas
    for area in areas.values():
        assert area.max() == pytest.approx(4 * np.pi, rel=0.02)
        # Between uneven points the line is straight: what that leaves is no signal.
        assert np.sort(area)[:-1].max(initial=0.0) < 0.01 * area.max()


@pytest.mark.parametrize("n", [2, 5, 20, 75, 100])
@pytest.mark.parametrize("decimals", [3, 4, 6])
def test_lists_of_peaks_stay_lists_of_peaks(n, decimals):
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=200), np.random.default_rng(5))
    for seed in range(12):
        config = PeakMixtureConfig(n_low=n, n_high=n)
        peaks = draw_mixture(compounds, config, np.random.default_rng(seed)).peaks
        table = peaks_table(peaks).round({"ppm": decimals})
        sample = read_sample(table.to_csv(index=False))
        assert sample.note == f"A list of {len(table):,} peaks."


@pytest.mark.parametrize(("n", "bad"), [(2, 1), (5, 3), (20, 4), (75, 12)])
def test_a_few_rows_without_an_area_are_left_out_and_said(n, bad):
    config = PeakMixtureConfig(n_low=n, n_high=n)
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=200), np.random.default_rng(5))
    peaks = draw_mixture(compounds, config, np.random.default_rng(0)).peaks
    table = peaks_table(peaks).round({"ppm": 4})
    where = np.arange(bad) * (len(table) // bad)
    table.loc[where, "area"] = [(-0.5, 0.0)[k % 2] for k in range(bad)]
    sample = read_sample(table.to_csv(index=False))
    rows = "row" if bad == 1 else "rows"
    note = f"A list of {len(table) - bad:,} peaks; {bad} {rows} without an area above 0 left out."
    assert sample.note == note
    assert len(sample.peaks.areas) == len(table) - bad


def test_many_rows_without_an_area_are_refused():
    rows = "".join(f"{1 + k / 7:.3f},{-1 if k < 5 else k}\n" for k in range(20))
    message = "row 2, column 'area': '-1' is not an area above 0.*5 of 20 rows have none"
    with pytest.raises(TableError, match=message):
        read_sample("ppm,area\n" + rows)


def scattered(n, seed=0):
    """Return a list of peaks at random places: a few, and noise of nearly one height."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"ppm": rng.uniform(0, 10, n), "area": 1 + rng.random(n) / 4})
    table.loc[::20, "area"] *= 100
    return table.round(6).to_csv(index=False)


def test_few_peaks_may_stand_anywhere():
    assert read_sample(scattered(60)).note == "A list of 60 peaks."


def spaced(n):
    return "".join(f"{k / 100:.2f},{k % 7 + 1}\n" for k in range(n))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ppm,area\n" + spaced(100), "the 100 rows look like the points of a spectrum"),
        (scattered(200), "the 200 rows can be a spectrum or a list of peaks; expected"),
        (scattered(600), "the 600 rows can be a spectrum or a list of peaks; expected"),
        ("ppm,area\n" + spaced(600) * 2, "600 of 1,200 have the ppm of another row"),
        (spaced(100), "no header, and its first column has 100 numbers from 0 to 0.99, in order"),
        (spaced(600) + spaced(600), "1,200 numbers from 0 to 5.99, not in order"),
        (
            "".join(f"{k},{k % 7 + 1}\n" for k in range(600)),
            "600 numbers from 0 to 599, in order; expected at least 512 in ppm",
        ),
        (
            "ppm,area\n"
            + "".join(f"{c + k / 5000},{1 + k % 9}\n" for c in range(60) for k in range(9)),
            "look like a spectrum, but most of its axis is left out",
        ),
        ("ppm;intensity\n1,5;1.000\n", "'1,5' has a comma, but '1.000' in row 2"),
        ("shift (Hz),intensity\n900,1\n", "column 'ppm' is missing: the columns are 'shift"),
        ("##TITLE=x\n##XYDATA=(X++(Y..Y))\n10 1 2 3\n", "JCAMP-DX"),
    ],
)
def test_what_is_ambiguous_is_refused(text, message):
    with pytest.raises(TableError, match=re.escape(message)) as caught:
        read_sample(text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


BAD = {
    "": "CSV",
    "ppm,area\n": "no row",
    "shift,area\n1,2\n": "'ppm' is missing",
    "ppm,mass\n1,2\n": "'area' is missing",
    "ppm,kind\n1,s\n": "'protons' is missing",
    "ppm,area\n1,0\n": "row 2, column 'area': '0' is not an area above 0",
    "ppm,area\n1,2\n2,-1\n": "row 3, column 'area'",
    "ppm,area\n1,nan\n": "'nan' is not",
    "ppm,area\n1,inf\n": "'inf' is not",
    "ppm,area\nx,1\n": "'x' is not a chemical shift",
    "ppm,area\n1e9,1\n": "'1e9' is not a chemical shift",
    "ppm,area\n55,1\n": "no peak lies",
    "ppm,ppm,area\n1,1,1\n": "occurs twice",
    "ppm,area,x\n" + "a" * 100 + ",1,1\n": "not a chemical shift",
    "ppm,kind,j_hz,protons\n1,d,,1\n": "row 2: couplings of 'd' are none; expected 1",
    "ppm,kind,j_hz,protons\n1,zz,7,1\n": "unknown multiplicity",
    "ppm,kind,j_hz,protons\n1,d,seven,1\n": (
        "row 2: j_hz is 'seven'; expected couplings of 0 to 50 Hz"
    ),
    "ppm,kind,j_hz,protons\n1,d,nan,1\n": "row 2",
    "ppm,kind,j_hz,protons\n1,AB,14,2\n": "row 2: an AB quartet without its shift difference",
    "ppm,kind,j_hz,dnu_hz,protons\n1,AB,14,x,2\n": "row 2: dnu_hz is 'x'; expected",
    "ppm,kind,j_hz,protons\n3-9,m,,2\n": "row 2: the range of a multiplet is 3600 Hz wide",
    "ppm,kind,protons\n3-x,m,2\n": "row 2: column 'ppm': '3-x' is not a chemical shift in ppm",
    "ppm,kind,j_hz,protons\n1,s,,0\n": "'0' is not a number above 0",
    "ppm,area\n1,1\0\n": "binary",
    "ppm,area\n1,1\n2,3,4\n": "row 3 has 3 cells; expected 2",
    'ppm,area\n1,"1"x\n': "CSV table",
    '"\n",a,a,a\n1,2,3,4\n': "'a' occurs twice",
    "\n \n\nppm,area\n\n1,x\n": "row 6, column 'area': 'x'",
    ",".join(map(str, range(80))) + "\n": "columns, more than 64",
    "ppm,area\n" + '"1,1\n' * 3: "CSV table|not a chemical shift",
}


@pytest.mark.parametrize(("text", "message"), BAD.items(), ids=range(len(BAD)))
def test_what_cannot_be_used_is_refused_in_one_sentence(text, message):
    with pytest.raises(TableError, match=message) as caught:
        read_sample(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("cell", ['"\n"', '"a\r\nb"', "\n\na", '\n"\n"', "\ra", ""])
def test_columns_are_counted_however_the_header_is_quoted(cell):
    start = time.process_time()
    for last in ("\n1,1\n", ""):
        with pytest.raises(TableError, match="columns, more than 64"):
            read_sample(cell + ",a" * 8_000 + last)
    with pytest.raises(TableError, match="has 8,000 cells"):
        read_sample("ppm,area\n" + ",".join("1" * 8_000))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("start", ["", "\n", "\r\n\r\n", " \n,\n"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_blank_lines_above_a_header_and_its_quotes_do_not_matter(start, end):
    lines = ['"ppm","note\nof mine","area",', '1,"a, b",2,', "", "3,,4"]
    peaks = read_sample(start + end.join(lines)).peaks
    assert peaks.areas.tolist() == [2, 4]
    assert peaks.ppm == pytest.approx([1, 3], abs=2e-4)


def test_prominences_are_those_of_scipy():
    for seed in range(30):
        heights = np.random.default_rng(seed).integers(0, 9, 60).astype(float)
        top = find_peaks(heights, height=2)[0]
        # Maxima as high as the first are all that a maximum can be overtopped by.
        expected = peak_prominences(heights, top)[0]
        assert spectrum_tables._prominences(heights, top) == pytest.approx(expected)
    assert not len(spectrum_tables._prominences(np.zeros(3), np.zeros(0, int)))


def test_a_staircase_is_read_in_seconds():
    heights = np.where(np.arange(peak_files.MAX_ROWS - 1) % 4, 0, np.arange(1, peak_files.MAX_ROWS))
    start = time.process_time()
    with pytest.raises(TableError, match="has 65,535 maxima above its noise"):
        spectrum_tables.pick_maxima(np.arange(len(heights)) / 2e4, heights.astype(float), 600.0)
    assert time.process_time() - start < 5  # scipy took 7 s


def test_many_multiplets_whose_lines_must_be_merged_are_refused():
    rows = "".join(f"{1 + k / 100},dddddd,{k % 40}.{k};7;3;5;8;10,1\n" for k in range(150))
    with pytest.raises(TableError, match="more than 100 multiplets of over 18 lines"):
        read_sample("ppm,kind,j_hz,protons\n" + rows)


def test_the_largest_spectrum_takes_at_most_64_mb():
    ppm = np.linspace(0, 10, peak_files.MAX_ROWS - 1).round(8)
    text = pd.DataFrame({"ppm": ppm, "area": np.arange(len(ppm)) % 977 + 0.5}).to_csv(index=False)
    content = text.encode()
    tracemalloc.start()
    try:
        read_sample(content)
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_a_spectrum_as_large_as_may_be_is_read_in_seconds():
    ppm = np.linspace(0, 10, peak_files.MAX_ROWS)
    heights = 1000 / (1 + ((np.arange(len(ppm)) % 5000 - 2500) / 30) ** 2)  # lines of 1.4 Hz
    text = pd.DataFrame({"ppm": ppm.round(8), "area": heights}).to_csv(index=False)
    start = time.process_time()
    areas = read_sample(text).peaks.areas
    assert (areas > 0.01 * areas.max()).sum() == 49  # and three in the regions that are cut
    assert time.process_time() - start < 10  # about 1.5 s


def test_limits(monkeypatch):
    with pytest.raises(TableError, match="'ÿ' is not a chemical shift"):
        read_sample(b"ppm,area\n\xff,1\n")
    with pytest.raises(TableError, match="bytes"):
        read_sample(b" " * (peak_files.MAX_BYTES + 1))
    monkeypatch.setattr(peak_files, "MAX_ROWS", 10)
    with pytest.raises(TableError, match="more than 10 rows"):
        read_sample("ppm,area\n" + "1,1\n" * 11)
    monkeypatch.setattr(peak_files, "MAX_ROWS", 2**18)
    monkeypatch.setattr(peak_files, "MAX_PEAKS", 3)
    with pytest.raises(TableError, match="at most 3"):
        read_sample("ppm,area\n1,1\n2,1\n3,1\n4,1\n")


def test_the_templates_can_be_read():
    assert len(read_sample(sample_template()).peaks.areas) == 7
    reading = read_compounds(library_template())
    assert reading.compounds.names == ("lactate", "formate")
    assert not reading.problems
