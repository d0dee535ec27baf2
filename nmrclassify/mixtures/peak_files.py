"""Mixtures at full scale from files, and back: a list of peaks, a whole spectrum, or a table of multiplets, as CSV.

The columns say which it is:

- ``ppm, area``: a list of peaks; if the rows are many and evenly spaced, a spectrum, whose local maxima are picked
  (``intensity`` and ``height`` are taken for ``area``);
- ``ppm, kind, j_hz, protons`` and, optionally, ``amount``: multiplets, split by the first-order rule; the area is protons
  times amount, and the column ``j_hz`` may be missing where no kind needs it.

Columns that are not named here are ignored. Whatever cannot be used is refused in one plain
sentence, which may quote the file: it is not to be shown as Markdown.
"""

import csv
import io
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.line_shapes import LINE_WIDTH
from nmrclassify.nmr.multiplets import first_order

MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 2**18
MAX_MULTIPLETS = 20_000
MAX_PEAKS = 20_000
MAX_COLUMNS = 64
MAX_AREA = 1e12
FEWEST_POINTS = 512  # of a spectrum; fewer evenly spaced rows are peaks
NOISE = 5.0  # standard deviations that a maximum must stand above the noise

_AREA = ("area", "intensity", "height")
_COLUMNS = ("ppm", *_AREA, "kind", "j_hz", "protons", "amount")
_EXPECTED = "ppm and area, or ppm, kind, j_hz and protons"


class SampleError(ValueError):
    """A file that cannot be used; the message says what was found and what was expected, as plain text."""


@dataclass(frozen=True)
class PeakSample:
    """A mixture from a file: its peaks, and in a sentence how they came out of it."""

    peaks: Peaks
    note: str


def _read(content: bytes | str) -> pd.DataFrame:
    if len(content) > MAX_BYTES:
        raise SampleError(f"the file has {len(content):,} bytes; expected at most {MAX_BYTES:,}")
    try:
        text = (
            content.decode("utf-8-sig")
            if isinstance(content, bytes)
            else content.removeprefix("\ufeff")
        )
    except UnicodeDecodeError as error:
        raise SampleError(
            f"byte {error.start} is not UTF-8 text; save the table as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise SampleError("the file holds binary data; expected a CSV table")
    separator = next((mark for mark in "\t;" if mark in _first_line(text)), ",")
    # Enumerated, as a cell may hold a line break and a spreadsheet counts it as one row.
    reader = enumerate(
        csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1
    )
    numbers, kept = [], []
    try:
        above, header = next(
            ((number, cells) for number, cells in reader if any(map(str.strip, cells))), (1, [])
        )
        if not header:
            raise SampleError(
                f"the file is empty; expected a CSV table with the columns {_EXPECTED}"
            )
        if len(header) > MAX_COLUMNS:
            raise SampleError(
                f"the table has more than {MAX_COLUMNS} columns; expected ppm and area"
            )
        names = [name.strip().lower() for name in header]
        twice = [name for name in names if name and names.count(name) > 1]
        if twice:
            raise SampleError(f"column {twice[0][:30]!r} occurs twice; keep one of them")
        if "ppm" not in names:
            shown = ", ".join(repr(name[:30]) for name in names[:12]) or "none"
            raise SampleError(
                f"column 'ppm' is missing: the columns are {shown}; expected {_EXPECTED}"
            )
        used = [names.index(name) for name in _COLUMNS if name in names]
        for number, cells in reader:
            if number > above + MAX_ROWS:
                raise SampleError(
                    f"the table has more than {MAX_ROWS:,} rows; take fewer points, or cut the"
                    " ends off"
                )
            if any(map(str.strip, cells[len(names) :])):
                raise SampleError(
                    f"row {number} has {len(cells):,} cells; expected {len(names)}, one for each"
                    " column"
                )
            if any(map(str.strip, cells)):
                numbers.append(number)
                # Cells stay text, so that a message can quote what was written.
                kept.append([cells[k] if k < len(cells) else "" for k in used])
    except csv.Error as error:
        raise SampleError(
            f"the file is not a CSV table ({error}); expected the columns ppm and area"
        ) from None
    return pd.DataFrame(kept, index=numbers, columns=[names[k] for k in used], dtype=object)


def _first_line(text: str) -> str:
    return next((line for line in io.StringIO(text, newline="") if line.strip()), "")


def _numbers(
    table: pd.DataFrame, column: str, low: float, high: float, expected: str
) -> np.ndarray:
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(
        dtype=np.float64, na_value=np.nan
    )
    bad = ~((low <= values) & (values <= high))
    if bad.any():
        k = int(bad.argmax())
        raise SampleError(
            f"row {table.index[k]}, column {column!r}: {str(table[column].iloc[k]).strip()[:40]!r}"
            f" is not {expected}"
        )
    return values


def read_sample(content: bytes | str, axis: Axis = FULL_AXIS) -> PeakSample:
    """Read a mixture from CSV, in any of the forms that this module describes.

    Raises
    ------
    SampleError
        If the file is too large, is not such a table, holds a value that cannot be used, or has no
        peak on the axis.
    """
    table = _read(content)
    if not len(table):
        raise SampleError("the table has no row; expected one peak a row")
    ppm = _numbers(table, "ppm", -1e3, 1e3, "a chemical shift in ppm")
    area = next((name for name in _AREA if name in table), None)
    if "kind" in table:
        return _multiplets(table, ppm, axis)
    if area is None:
        raise SampleError(f"column 'area' is missing; expected {_EXPECTED}")
    order = np.argsort(ppm, kind="stable")
    if _is_spectrum(ppm[order]):
        heights = _numbers(table, area, -MAX_AREA, MAX_AREA, "a number")
        return _picked(ppm[order], heights[order], axis)
    areas = _numbers(table, area, 1e-12, MAX_AREA, f"an area above 0, at most {MAX_AREA:g}")
    return _sample(ppm, areas, axis, f"A list of {len(ppm):,} peaks")


def _sample(ppm: np.ndarray, areas: np.ndarray, axis: Axis, note: str) -> PeakSample:
    peaks = Peaks.from_lines(ppm, areas, axis)
    if not len(peaks.areas):
        raise SampleError(
            f"no peak lies from {axis.low:g} to {axis.high:g} ppm; expected at least one"
        )
    if len(peaks.areas) > MAX_PEAKS:
        raise SampleError(
            f"the mixture has {len(peaks.areas):,} peaks; expected at most {MAX_PEAKS:,}: pick"
            " fewer"
        )
    outside = int((axis.positions(ppm) < 0).sum())
    rest = f"; {outside:,} outside {axis.low:g} to {axis.high:g} ppm left out" if outside else ""
    return PeakSample(peaks, f"{note}{rest}.")


def _is_spectrum(ppm: np.ndarray) -> bool:
    if len(ppm) < FEWEST_POINTS:
        return False
    steps = np.diff(ppm)
    usual = np.median(steps)
    # A list of peaks has gaps of all sizes; a spectrum at most one where the solvent was cut out.
    return bool(usual > 0 and np.mean(np.abs(steps - usual) <= 0.25 * usual) > 0.98)


def _picked(ppm: np.ndarray, heights: np.ndarray, axis: Axis) -> PeakSample:
    """Pick the local maxima above the noise; a peak's area is what lies between its valleys, near it."""
    step = float(np.median(np.diff(ppm)))
    base = np.median(heights)
    # Most neighbours differ by the noise alone.
    noise = 1.4826 * float(np.median(np.abs(np.diff(heights)))) / np.sqrt(2)
    least = max(NOISE * noise, 1e-6 * float(heights.max() - base), 1e-300)
    # Above the saddle to a higher neighbour, too: noise on the flank of a high line is no peak.
    top = find_peaks(heights, height=base + least, prominence=least)[0]
    if len(top) > MAX_PEAKS:
        raise SampleError(
            f"the spectrum has {len(top):,} maxima above its noise; expected at most {MAX_PEAKS:,}:"
            " smooth it, or give a list of peaks"
        )
    if not len(top):
        raise SampleError("the spectrum has no maximum above its noise; expected at least one")
    reach = max(1, round(3 * LINE_WIDTH / axis.mhz / step))
    edges = [a + int(heights[a : b + 1].argmin()) for a, b in pairwise(top)]
    low = np.maximum(np.r_[0, edges], top - reach)
    last = np.minimum(np.r_[edges, len(heights) - 1], top + reach)
    sums = np.concatenate([[0.0], np.cumsum(np.maximum(heights - base, 0.0))])
    areas = (sums[last + 1] - sums[low]) * step * axis.mhz
    keep = areas > 0
    note = (
        f"A spectrum of {len(ppm):,} points, in which {int(keep.sum()):,} local maxima were picked"
        " as peaks"
    )
    return _sample(ppm[top[keep]], areas[keep], axis, note)


def _multiplets(table: pd.DataFrame, ppm: np.ndarray, axis: Axis) -> PeakSample:
    if len(table) > MAX_MULTIPLETS:
        raise SampleError(
            f"the table has {len(table):,} multiplets; expected at most {MAX_MULTIPLETS:,}"
        )
    size = next((name for name in ("protons", "area") if name in table), None)
    if size is None:
        raise SampleError("column 'protons' is missing; expected ppm, kind, j_hz and protons")
    weights = _numbers(table, size, 1e-12, MAX_AREA, f"a number above 0, at most {MAX_AREA:g}")
    if "amount" in table:
        weights = weights * _numbers(
            table, "amount", 1e-12, MAX_AREA, f"an amount above 0, at most {MAX_AREA:g}"
        )
    couplings = table["j_hz"] if "j_hz" in table else pd.Series("", index=table.index)
    places, areas = [], []
    for row, centre, weight, kind, text in zip(
        table.index, ppm, weights, table["kind"], couplings, strict=False
    ):
        try:
            values = [
                abs(float(part))
                for part in re.split(r"[;\s]+", str(text)[:200].strip("; "))
                if part
            ]
        except ValueError:
            raise SampleError(
                f"row {row}, column 'j_hz': {str(text)[:40]!r} is not couplings in Hz with ';'"
                " between them"
            ) from None
        try:
            lines = first_order(str(kind), values)
        except ValueError as error:
            raise SampleError(f"row {row}, column 'kind': {error}") from None
        places.append(centre + lines.offsets / axis.mhz)
        areas.append(weight * lines.areas)
    ppm, areas = np.concatenate(places), np.concatenate(areas)
    return _sample(ppm, areas, axis, f"{len(table):,} multiplets, split into {len(ppm):,} lines")


def peaks_table(peaks: Peaks) -> pd.DataFrame:
    """Return a mixture's peaks as the table that `read_sample` takes back."""
    return pd.DataFrame({"ppm": peaks.ppm.round(6), "area": peaks.areas})


def sample_template() -> str:
    """Return a small valid table of multiplets, to fill in."""
    return "ppm,kind,j_hz,protons,amount\n1.32,d,6.9,3,0.5\n4.10,q,6.9,1,0.5\n8.44,s,,1,0.2\n"


def library_template() -> str:
    """Return a small valid library, to fill in."""
    return "compound,ppm,kind,j_hz,protons\nlactate,1.32,d,6.9,3\nlactate,4.10,q,6.9,1\nformate,8.44,s,,1\n"
