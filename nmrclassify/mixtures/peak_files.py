"""Mixtures at full scale as CSV tables, in and out: peaks, a whole spectrum, or multiplets.

The columns decide which:

- ``ppm, area``: a list of peaks; if the rows are many and evenly spaced, a spectrum, whose local
  maxima are picked (``intensity`` and ``height`` are the same as ``area``);
- ``ppm, kind, j_hz, protons`` and, optionally, ``amount``: multiplets, split by the first-order
  rule; the area is protons times amount, and ``j_hz`` may be missing where no kind needs it.

Columns that are not named here are ignored.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy.signal import find_peaks

from nmrclassify.files import TableError, decimals, read_table
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.line_shapes import LINE_WIDTH
from nmrclassify.nmr.multiplets import MAX_LINES, first_order, parse_couplings

MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 2**18
MAX_MULTIPLETS = 20_000
MAX_PEAKS = 20_000
MAX_MERGED = 100  # different multiplets of more than `MAX_LINES` lines: 10 ms each
MAX_AREA = 1e12
FEWEST_POINTS = 512  # of a spectrum; fewer evenly spaced rows are peaks
NOISE = 5.0  # standard deviations that a maximum must stand above the noise

_AREA = ("area", "intensity", "height")
_LAYOUTS = (*(("ppm", area) for area in _AREA), ("ppm", "kind", "protons"))


@dataclass(frozen=True)
class PeakSample:
    """A mixture from a file: its peaks, and a sentence on how they were obtained."""

    peaks: Peaks
    note: str


def read_sample(content: bytes | str, axis: Axis = FULL_AXIS) -> PeakSample:
    """Read a mixture from CSV, in any of the forms that this module describes.

    Raises
    ------
    TableError
        If the file is too large, is not such a table, holds a value that cannot be used, or has no
        peak on the axis.
    """
    table = read_table(
        content, _LAYOUTS, ("j_hz", "amount"), max_bytes=MAX_BYTES, max_rows=MAX_ROWS
    )
    if not len(table):
        raise TableError("the table has no row; expected one peak a row")
    ppm = decimals(table, "ppm", -1e3, 1e3, "a chemical shift in ppm")
    if "kind" in table:
        return _multiplets(table, ppm, axis)
    area = next(name for name in _AREA if name in table)
    order = np.argsort(ppm, kind="stable")
    if _is_spectrum(ppm[order]):
        heights = decimals(table, area, -MAX_AREA, MAX_AREA, "a number")
        return _picked(ppm[order], heights[order], axis)
    areas = decimals(table, area, 1e-12, MAX_AREA, f"an area above 0, at most {MAX_AREA:g}")
    return _sample(ppm, areas, axis, f"A list of {len(ppm):,} peaks")


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


def _is_spectrum(ppm: np.ndarray) -> bool:
    if len(ppm) < FEWEST_POINTS:
        return False
    steps = np.diff(ppm)
    usual = np.median(steps)
    # A list of peaks has gaps of all sizes; a spectrum at most one where the solvent was cut out.
    return bool(usual > 0 and np.mean(np.abs(steps - usual) <= 0.25 * usual) > 0.98)


def _picked(ppm: np.ndarray, heights: np.ndarray, axis: Axis) -> PeakSample:
    """Pick the local maxima above the noise; a peak's area is what lies between its valleys."""
    step = float(np.median(np.diff(ppm)))
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


def _multiplets(table: pd.DataFrame, ppm: np.ndarray, axis: Axis) -> PeakSample:
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
    couplings = table["j_hz"] if "j_hz" in table else pd.Series("", index=table.index)
    places, areas, merged = [], [], set()
    for row, centre, weight, kind, text in zip(
        table.index, ppm, weights, table["kind"], couplings, strict=True
    ):
        try:
            lines = first_order(kind, [abs(value) for value in parse_couplings(text)])
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
    return _sample(np.concatenate(places), np.concatenate(areas), axis, note)


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
