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
from pathlib import Path

import numpy as np
import pandas as pd

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
from nmrclassify.mixtures.spectrum import Spectrum, SpectrumError
from nmrclassify.mixtures.spectrum_processing import ProcessedSpectrum, process
from nmrclassify.mixtures.spectrum_tables import (
    FEWEST_POINTS,
    MAX_PEAKS,
    are_few,
    even_axis,
    is_spectrum,
    pick_maxima,
    resampled,
)
from nmrclassify.nmr import report_lines
from nmrclassify.nmr.axis import FULL_AXIS, MHZ_BOUNDS, Axis
from nmrclassify.nmr.column_names import column_name
from nmrclassify.nmr.compounds import Compounds
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
MAX_MERGED = 100  # different multiplets of more than `MAX_LINES` lines: 10 ms each
MAX_AREA = 1e12
MAX_SHIFT = 50.0  # ppm; without a header, the first column must show that it is in ppm
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
        To estimate the pH, and to reference a spectrum; as it is at pH 7.4.
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
        return _sample(*pick_maxima(spectrum.ppm, spectrum.heights, axis.mhz), axis)
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
    if is_spectrum(ppm, heights):
        del table, order  # what follows takes as much memory again
        even, how = even_axis(ppm)
        if float(np.median(np.diff(even))) * axis.mhz > WIDEST_STEP:
            return _sample(*pick_maxima(ppm, heights, axis.mhz), axis)
        spectrum = resampled(even, heights, axis.mhz)
        sample = _processed(spectrum, axis, recipe, library, choose)
        return replace(sample, note=sample.note.replace(" points.", f" points{how}.", 1))
    has_area = heights >= 1e-12
    empty = int((~has_area).sum())
    if not are_few(empty, len(ppm)):
        expected = f"an area above 0, at most {MAX_AREA:g}"
        if empty > 1:
            expected += f" ({empty:,} of {len(ppm):,} rows have none)"
        decimals(table, area, 1e-12, MAX_AREA, expected)
    note = f"A list of {len(ppm) - empty:,} peaks"
    if empty:
        note += f"; {empty} row{'s' * (empty > 1)} without an area above 0 left out"
    return _sample(ppm[has_area], heights[has_area], note, axis)


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


def _sample(ppm: np.ndarray, areas: np.ndarray, note: str, axis: Axis) -> PeakSample:
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
    sample = _sample(np.concatenate(places), np.concatenate(areas), note, axis)
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
