"""Mixtures at full scale from files: tables of peaks, of a spectrum or of multiplets; spectra.

The spectra of spectrometers are read by `spectrum_files`. Of a table the columns decide what it is:

- ``ppm, area``: a list of peaks, or a spectrum (``intensity`` and ``height`` are the same as
  ``area``). A table is a spectrum if its rows are evenly spaced, if the
  heights change smoothly, or if many are at a baseline; where that is not clear, it is refused. A
  spectrum needs no header;
- ``ppm, kind, j_hz, protons`` and, optionally, ``amount``: multiplets, split by the first-order
  rule; the area is protons times amount, and ``j_hz`` may be missing where no kind needs it. Of a
  range of ppm the lines are around its centre; an m is spread over it. An AB quartet has its shift
  difference in ``dnu_hz``.

Columns that are not named here are ignored. In place of a table, a text may be the line of a report
of a paper (`nmr.report_lines`).

Spectra are processed (`spectrum_processing`). Where their points are too far apart for a fit of
lines, the local maxima are picked.
"""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from nmrclassify.files import quoted
from nmrclassify.files.tables import TableError, decimal, decimals, read_table, text_of
from nmrclassify.mixtures import spectrum_files
from nmrclassify.mixtures.acid_base import (
    PhChooser,
    PhEstimate,
    PhScores,
    by_hand,
    estimate_ph,
)
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.mixtures.processing_recipe import USUAL, ProcessingRecipe
from nmrclassify.mixtures.spectrum_files import Spectrum, SpectrumError
from nmrclassify.mixtures.spectrum_processing import ProcessedSpectrum, process
from nmrclassify.nmr import report_lines
from nmrclassify.nmr.axis import FULL_AXIS, MHZ_BOUNDS, Axis
from nmrclassify.nmr.column_names import column_name
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.line_shapes import LINE_WIDTH
from nmrclassify.nmr.multiplets import (
    MAX_LINES,
    Lines,
    first_order,
    parse_couplings,
    plain_couplings,
)
from nmrclassify.nmr.published_multiplets import (
    difference_of,
    parse_shift,
    published_lines,
    split_difference,
)
from nmrclassify.nmr.titration import TABLE_PH

MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 2**18
MAX_MULTIPLETS = 20_000
MAX_PEAKS = 20_000
MAX_MERGED = 100  # different multiplets of more than `MAX_LINES` lines: 10 ms each
MAX_AREA = 1e12
MAX_SHIFT = 50.0  # ppm; without a header, the first column must show that it is in ppm
FEWEST_POINTS = 512  # of a spectrum
FEWEST_ROWS = 32  # fewer are peaks, however they are spaced
NOISE = 5.0  # standard deviations that a maximum must stand above the noise
FEW_ROWS, FEW_SHARE, MOST_SHARE = 3, 0.05, 0.2  # without an area above 0: of noise or rounding
WIDEST_STEP = 0.7  # Hz between points; lines of 1 to 3 Hz cannot be fitted to wider ones

_AREA = ("area", "intensity", "height")
_LAYOUTS = (*(("ppm", area) for area in _AREA), ("ppm", "kind", "protons"))


@dataclass(frozen=True)
class PeakSample:
    """A mixture from a file: its peaks, and a sentence on how they were obtained.

    `spectrum` is None for a table, `processed` where no lines were fitted, and `acid_base` where
    the pH was not asked for, or no compound of the library titrates. `first_order` is True where
    the peaks are multiplets that were split by the first-order rule.
    """

    peaks: Peaks
    note: str
    spectrum: Spectrum | None = None
    processed: ProcessedSpectrum | None = None
    first_order: bool = False
    acid_base: PhEstimate | None = None

    @property
    def ph(self) -> float:
        """The pH at which the library is compared with the peaks."""
        return TABLE_PH if self.acid_base is None else self.acid_base.ph


def read_sample(
    source: Path | bytes | str,
    axis: Axis = FULL_AXIS,
    mhz: float | None = None,
    recipe: ProcessingRecipe = USUAL,
    library: Compounds | None = None,
    choose: PhChooser | None = None,
) -> PeakSample:
    """Read a mixture in any of the forms that this module describes.

    Parameters
    ----------
    source : Path, bytes or str
        A file, the folder of an experiment, or the content of a file.
    axis : Axis
        The axis of the peaks, but for its frequency.
    mhz : float, optional
        The frequency of the spectrometer; else that of the file, or of `axis`.
    recipe : ProcessingRecipe
        How a spectrum is processed.
    library : Compounds, optional
        To estimate the pH, and to reference a spectrum without DSS, TSP or TMS; as it is at pH 7.4.
    choose : PhChooser, optional
        Compares the best candidates for the pH; see `process`.

    Raises
    ------
    TableError, SpectrumError
        If the file is too large, is in none of the forms, holds a value that cannot be used, or has
        no peak on the axis.
    OSError
        If it cannot be read.
    """
    if isinstance(source, Path) and not source.is_dir():
        limit = max(MAX_BYTES, spectrum_files.MAX_BYTES)
        with source.open("rb") as file:
            source = file.read(limit + 1)
    if isinstance(source, Path) or (
        isinstance(source, bytes) and spectrum_files.is_instrument_file(source)
    ):
        spectrum = spectrum_files.read_spectrum(source)
        sample = _of_spectrum(spectrum, axis, mhz, recipe, library, choose)
    elif report_lines.is_report(source):
        sample = _of_report(text_of(source, MAX_BYTES), axis, mhz)
    else:
        axis = axis if mhz is None else replace(axis, mhz=mhz)
        sample = _of_table(source, axis, recipe, library, choose)
    return sample if sample.processed else _with_ph(sample, recipe, library, choose)


def _of_spectrum(
    spectrum: Spectrum,
    axis: Axis,
    mhz: float | None,
    recipe: ProcessingRecipe,
    library: Compounds | None,
    choose: PhChooser | None,
) -> PeakSample:
    mhz = mhz or spectrum.mhz
    axis = axis if mhz is None else replace(axis, mhz=mhz)
    try:
        sample = _processed(replace(spectrum, mhz=axis.mhz), axis, recipe, library, choose)
    except TableError as error:
        raise SpectrumError(str(error)) from None
    return replace(sample, note=f"{spectrum.form}. {sample.note}", spectrum=spectrum)


def _with_ph(
    sample: PeakSample,
    recipe: ProcessingRecipe,
    library: Compounds | None,
    choose: PhChooser | None,
) -> PeakSample:
    """Return a list of peaks with its pH, where that is known or asked for.

    It is not estimated otherwise: a list is often made from a table, at the table's places.
    """
    if recipe.ph_from == "by hand":
        found = by_hand(recipe.ph)
    elif recipe.ph_from == "estimate" and library is not None:
        peaks = sample.peaks
        scores = PhScores(
            peaks.ppm, peaks.areas, library, peaks.axis.mhz, 0.0, first_order=sample.first_order
        )
        if not scores.has_groups:
            return sample
        # The chooser simulates strongly coupled protons.
        found = estimate_ph(scores, lambda offset: peaks, None if sample.first_order else choose)
    else:
        return sample
    return replace(sample, note=f"{sample.note} {found.sentence}", acid_base=found)


def _processed(
    spectrum: Spectrum,
    axis: Axis,
    recipe: ProcessingRecipe,
    library: Compounds | None,
    choose: PhChooser | None,
) -> PeakSample:
    step = float(spectrum.ppm[-1] - spectrum.ppm[0]) / (len(spectrum.ppm) - 1) * axis.mhz
    if step > WIDEST_STEP:
        return pick_maxima(spectrum.ppm, spectrum.heights, axis)
    try:
        processed = process(spectrum, recipe, library, axis, choose)
    except ValueError as error:
        raise TableError(str(error)) from None
    note = f"A spectrum of {len(spectrum.ppm):,} points. {processed.note}"
    return PeakSample(processed.peaks, note, processed=processed, acid_base=processed.acid_base)


def _of_table(
    content: bytes | str,
    axis: Axis,
    recipe: ProcessingRecipe,
    library: Compounds | None,
    choose: PhChooser | None,
) -> PeakSample:
    table = read_table(
        content,
        _LAYOUTS,
        ("j_hz", "amount", "dnu_hz"),
        max_bytes=MAX_BYTES,
        max_rows=MAX_ROWS,
        numbers=("ppm", *_AREA, "protons", "amount", "dnu_hz"),
        large=(*_AREA, "protons", "amount"),
        lists=("j_hz",),
        plain=plain_couplings,
        bare=("ppm", "intensity"),
        name_of=column_name,
    )
    if not len(table):
        raise TableError("the table has no row; expected one peak a row")
    if "kind" in table:
        return _multiplets(table, axis)
    ppm = decimals(table, "ppm", -1e3, 1e3, "a chemical shift in ppm")
    area = next(name for name in _AREA if name in table)
    if not table.attrs["header"]:
        _check_without_header(ppm)
    order = np.argsort(ppm, kind="stable")
    heights = decimals(table, area, -MAX_AREA, MAX_AREA, "a number")
    ppm, heights = ppm[order], heights[order]
    if _is_spectrum(ppm, heights):
        del table, order  # what follows takes as much memory again
        even, how = _even(ppm)
        if float(np.median(np.diff(even))) * axis.mhz > WIDEST_STEP:
            return pick_maxima(ppm, heights, axis)
        spectrum = _resampled(even, heights, axis.mhz)
        sample = _processed(spectrum, axis, recipe, library, choose)
        return replace(sample, note=sample.note.replace(" points.", f" points{how}.", 1))
    has_area = heights >= 1e-12
    empty = int((~has_area).sum())
    if not _are_few(empty, len(ppm)):
        expected = f"an area above 0, at most {MAX_AREA:g}"
        if empty > 1:
            expected += f" ({empty:,} of {len(ppm):,} rows have none)"
        decimals(table, area, 1e-12, MAX_AREA, expected)
    note = f"A list of {len(ppm) - empty:,} peaks"
    if empty:
        note += f"; {empty} row{'s' * (empty > 1)} without an area above 0 left out"
    return _sample(ppm[has_area], heights[has_area], axis, note)


def _are_few(empty: int, rows: int) -> bool:
    """Return whether so many rows without an area above 0 are left out of a list of peaks."""
    return empty <= min(max(FEW_ROWS, FEW_SHARE * rows), MOST_SHARE * rows)


def _of_report(text: str, axis: Axis, mhz: float | None) -> PeakSample:
    table = report_lines.read_reports(text)
    reports = table["compound"].nunique()
    if reports > 1:
        raise TableError(
            f"the text has the multiplets of {reports} compounds; expected those of one mixture:"
            " give the text as a library"
        )
    stated = decimal(table["mhz"].iloc[0])
    if mhz is None and MHZ_BOUNDS[0] <= stated <= MHZ_BOUNDS[1]:
        mhz = stated
    axis = axis if mhz is None else replace(axis, mhz=mhz)
    solvent = table["solvent"].iloc[0]
    sample = _multiplets(table, axis)
    note = f"A report at {axis.mhz:g} MHz" + (f" in {solvent}" if solvent else "")
    return replace(sample, note=f"{note}. {sample.note}")


def _sample(ppm: np.ndarray, areas: np.ndarray, axis: Axis, note: str) -> PeakSample:
    peaks = Peaks.from_lines(ppm, areas, axis)
    if not len(peaks.areas):
        raise TableError(
            f"no peak lies from {axis.low:g} to {axis.high:g} ppm; expected at least one"
        )
    if len(peaks.areas) > MAX_PEAKS:
        raise TableError(
            f"the mixture has {len(peaks.areas):,} peaks; expected at most {MAX_PEAKS:,}: pick"
            " fewer"
        )
    outside = int((axis.positions(ppm) < 0).sum())
    rest = f"; {outside:,} outside {axis.low:g} to {axis.high:g} ppm left out" if outside else ""
    return PeakSample(peaks, f"{note}{rest}.")


def _check_without_header(ppm: np.ndarray) -> None:
    """Check that the first column of a table without a header is the ppm of a spectrum."""
    low, high, steps = ppm.min(), ppm.max(), np.diff(ppm)
    in_order = (steps >= 0).all() or (steps <= 0).all()
    if len(ppm) < FEWEST_POINTS or not in_order or max(abs(low), abs(high)) > MAX_SHIFT:
        raise TableError(
            f"the table has no header, and its first column has {len(ppm):,} numbers from {low:g}"
            f" to {high:g}, {'' if in_order else 'not '}in order; expected at least"
            f" {FEWEST_POINTS} in ppm and in order, as of a spectrum: add a header with the columns"
            " ppm, area"
        )


_OR_PEAKS = "; give peaks as ppm, kind (s) and protons"


def _is_spectrum(ppm: np.ndarray, heights: np.ndarray) -> bool:
    """Return whether sorted rows are the points of a spectrum, not peaks.

    Peaks have gaps of all sizes between them, and heights that do not follow from each other. The
    limits leave a margin: of 32 or more peaks, of 2 to 100 compounds in three libraries, with ppm
    of 3 decimals or more, at least 11 % have a gap of twice the median and 1 % one of 11 times the
    median, and the ranks of neighbours correlate by at most .87.

    Raises
    ------
    TableError
        If they can be either, or are points that cannot be used.
    """
    n = len(ppm)
    if n < FEWEST_ROWS:
        return False
    places = np.unique(ppm)
    steps = np.diff(places) if len(places) > 1 else np.ones(1)
    steps /= np.median(steps)  # where an even axis is rounded, they are at most 2
    many_gaps, long_gap = float(np.mean(steps > 2.05)), float(np.quantile(steps, 0.99))
    many = n >= 4 * FEWEST_ROWS
    like_the_last = np.mean(np.abs(np.diff(steps)) <= 0.25 * steps[:-1]) if len(steps) > 1 else 1.0
    if not (
        many_gaps <= 0.05
        or (many and like_the_last >= 0.75)
        or not _are_few(int((heights <= 0).sum()), n)
        or (many and _correlation(heights) >= 0.92)
    ):
        if many_gaps < 0.09 or (many and long_gap <= 9) or _has_baseline(heights):
            raise TableError(
                f"the {n:,} rows can be a spectrum or a list of peaks; expected a spectrum with"
                f" evenly spaced ppm, not rounded{_OR_PEAKS}"
            )
        return False
    if n < FEWEST_POINTS:
        raise TableError(
            f"the {n:,} rows look like the points of a spectrum; expected at least"
            f" {FEWEST_POINTS}{_OR_PEAKS}"
        )
    if n - len(places) > 0.01 * n:
        raise TableError(
            f"the rows look like a spectrum, but {n - len(places):,} of {n:,} have the ppm of"
            f" another row; expected each ppm once: export it with more decimals{_OR_PEAKS}"
        )
    if steps[steps > 9].sum() > 0.5 * steps.sum():
        raise TableError(
            "the rows look like a spectrum, but most of its axis is left out; expected the whole"
            f" spectrum, with its baseline{_OR_PEAKS}"
        )
    return True


def _correlation(heights: np.ndarray) -> float:
    """Return the correlation of the ranks of neighbours; 0 if all are equal."""
    ranks = np.unique(heights, return_inverse=True)[1].astype(float)
    if not ranks[:-1].any() or not ranks[1:].any():
        return 0.0
    return float(np.nan_to_num(np.corrcoef(ranks[:-1], ranks[1:])[0, 1]))


def _has_baseline(heights: np.ndarray) -> bool:
    """Return whether half of many heights are at a level above zero, as a spectrum's can be."""
    if len(heights) < FEWEST_POINTS:
        return False
    low, middle = np.quantile(heights, [0.05, 0.5])
    return bool(0 < middle <= 1.8 * low and heights.max() >= 5 * middle)


def pick_maxima(ppm: np.ndarray, heights: np.ndarray, axis: Axis) -> PeakSample:
    """Pick the local maxima above the noise; a peak's area is what lies between its valleys."""
    ppm, how = _even(ppm)
    base = np.median(heights)
    # Most neighbours differ by the noise alone.
    noise = 1.4826 * float(np.median(np.abs(np.diff(heights)))) / np.sqrt(2)
    least = max(NOISE * noise, 1e-6 * float(heights.max() - base), 1e-300)
    top = find_peaks(heights, height=base + least)[0]
    # Above the saddle to a higher neighbour, too: noise on the flank of a high line is no peak.
    top = top[_prominences(heights, top) >= least]
    if len(top) > MAX_PEAKS:
        raise TableError(
            f"the spectrum has {len(top):,} maxima above its noise; expected at most {MAX_PEAKS:,}:"
            " smooth it, or give a list of peaks"
        )
    if not len(top):
        raise TableError("the spectrum has no maximum above its noise; expected at least one")
    edges = [a + int(heights[a : b + 1].argmin()) for a, b in pairwise(top)]
    reach = 3 * LINE_WIDTH / axis.mhz
    low = np.minimum(np.searchsorted(ppm, ppm[top] - reach), top - 1)
    last = np.maximum(np.searchsorted(ppm, ppm[top] + reach, "right") - 1, top + 1)
    low, last = np.maximum([0, *edges], low), np.minimum([*edges, len(ppm) - 1], last)
    steps = np.diff(ppm)
    # Beside a gap, where the solvent was cut out, a point is as wide as elsewhere.
    half = np.minimum(steps, 10 * np.median(steps)) / 2
    widths = np.r_[half[:1], half] + np.r_[half, half[-1:]]
    sums = np.concatenate([[0.0], np.cumsum(np.maximum(heights - base, 0.0) * widths)])
    areas = (sums[last + 1] - sums[low]) * axis.mhz
    keep = areas > 0
    note = (
        f"A spectrum of {len(ppm):,} points{how}, in which {int(keep.sum()):,} local maxima were"
        " picked as peaks"
    )
    return _sample(ppm[top[keep]], areas[keep], axis, note)


def _even(ppm: np.ndarray) -> tuple[np.ndarray, str]:
    """Return sorted ppm, evenly spaced if they were before rounding; and words on their steps."""
    even = np.linspace(ppm[0], ppm[-1], len(ppm))
    away = np.abs(ppm - even).max()
    step = float(even[1] - even[0])
    if away <= 0.01 * step:
        return ppm, ""
    units = (10.0**-k for k in range(1, 9) if np.allclose(ppm, ppm.round(k), rtol=0, atol=1e-10))
    if away <= 1.01 * next(units, 0.0) <= 1.01 * step:
        return even, " on an even axis, whose ppm were rounded"
    steps = np.diff(ppm)
    usual = np.median(steps)
    is_even = np.mean(np.abs(steps - usual) <= 0.25 * usual) > 0.98
    return ppm, "" if is_even else " with uneven steps"


def _resampled(ppm: np.ndarray, heights: np.ndarray, mhz: float) -> Spectrum:
    """Return a table's spectrum with even steps; where something was cut out, it is straight."""
    steps = np.diff(ppm)
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() <= 0.02 * usual:
        return Spectrum(np.linspace(ppm[0], ppm[-1], len(ppm)), heights, mhz, "table")
    n = min(round(float(ppm[-1] - ppm[0]) / usual) + 1, 4 * len(ppm), spectrum_files.MAX_POINTS)
    even = np.linspace(ppm[0], ppm[-1], n)
    return Spectrum(even, np.interp(even, ppm, heights), mhz, "table")


def _prominences(heights: np.ndarray, top: np.ndarray) -> np.ndarray:
    """Return how far each maximum stands above the higher of the saddles beside it, shape (n,).

    All higher maxima must be in `top`. `scipy.signal.peak_prominences` gives the same in a time
    that grows with the square of their number: minutes for a staircase.
    """
    if not len(top):
        return np.zeros(0)
    valleys = np.minimum.reduceat(heights, np.r_[0, top])
    saddles = [
        _saddles(heights[top], valleys[:-1]),
        _saddles(heights[top][::-1], valleys[:0:-1])[::-1],
    ]
    return heights[top] - np.maximum(*saddles)


def _saddles(tops: np.ndarray, valleys: np.ndarray) -> np.ndarray:
    """Return the lowest of the valleys before each maximum, back to a higher one."""
    lowest, higher = [], list[tuple[float, float]]()  # what may still be the next higher one
    for height, valley in zip(tops.tolist(), valleys.tolist(), strict=True):
        while higher and higher[-1][0] <= height:
            valley = min(valley, higher.pop()[1])
        higher.append((height, valley))
        lowest.append(valley)
    return np.array(lowest)


def _multiplets(table: pd.DataFrame, axis: Axis) -> PeakSample:
    if len(table) > MAX_MULTIPLETS:
        raise TableError(
            f"the table has {len(table):,} multiplets; expected at most {MAX_MULTIPLETS:,}"
        )
    size = next((name for name in ("protons", "area") if name in table), None)
    if size is None:
        raise TableError("column 'protons' is missing; expected ppm, kind, j_hz and protons")
    weights = decimals(table, size, 1e-12, MAX_AREA, f"a number above 0, at most {MAX_AREA:g}")
    if "amount" in table:
        weights = weights * decimals(
            table, "amount", 1e-12, MAX_AREA, f"an amount above 0, at most {MAX_AREA:g}"
        )
    nothing = pd.Series("", index=table.index)
    couplings, differences = (table.get(name, nothing) for name in ("j_hz", "dnu_hz"))
    places, areas, merged = [], [], set()
    for row, weight, shift, kind, text, apart in zip(
        table.index, weights, table["ppm"], table["kind"], couplings, differences, strict=True
    ):
        try:
            centre, lines = _lines_of(shift, kind, text, apart, axis.mhz)
        except ValueError as error:
            raise TableError(f"row {row}: {error}") from None
        if lines.merged:
            merged.add(lines)
            if len(merged) > MAX_MERGED:
                raise TableError(
                    f"the table has more than {MAX_MERGED} multiplets of over {MAX_LINES} lines;"
                    " give such multiplets as m without couplings"
                )
        places.append(centre + lines.offsets / axis.mhz)
        areas.append(weight * lines.areas)
    note = f"{len(table):,} multiplets, split into {sum(map(len, areas)):,} lines"
    sample = _sample(np.concatenate(places), np.concatenate(areas), axis, note)
    return replace(sample, first_order=True)


def _lines_of(
    shift: str, kind: str, couplings: str, difference: str, mhz: float
) -> tuple[float, Lines]:
    """Return the centre in ppm and the lines of a multiplet, for its cells."""
    low, high = parse_shift(shift)
    if not -1e3 <= low <= high <= 1e3:
        raise ValueError(
            f"column 'ppm': {quoted(shift)} is not a chemical shift in ppm, nor a range of two"
        )
    couplings, written = split_difference(couplings, mhz)
    apart = difference_of(difference, mhz) or written
    values = [abs(value) for value in parse_couplings(couplings)]
    lines = published_lines(kind, (high - low) * mhz, values, apart)
    return (low + high) / 2, lines or first_order(kind, values)


def peaks_table(peaks: Peaks) -> pd.DataFrame:
    """Return a mixture's peaks as the table that `read_sample` reads."""
    return pd.DataFrame({"ppm": peaks.ppm.round(6), "area": peaks.areas})


def sample_template() -> str:
    """Return a small valid table of multiplets, to fill in."""
    return "ppm,kind,j_hz,protons,amount\n1.32,d,6.9,3,0.5\n4.10,q,6.9,1,0.5\n8.44,s,,1,0.2\n"


def library_template() -> str:
    """Return a small valid library, to fill in."""
    rows = "lactate,1.32,d,6.9,3\nlactate,4.10,q,6.9,1\nformate,8.44,s,,1\n"
    return "compound,ppm,kind,j_hz,protons\n" + rows
