"""Libraries and mixtures on a grid as CSV tables, in and out.

One format serves both. A row is one multiplet; the columns are

- ``compound`` in a library, ``mixture`` in a file of several mixtures, neither in a single mixture;
- ``ppm``, or ``position`` (0, 1, 2, ...) where the axis has no unit;
- either ``multiplicity`` (s, d, t, q, quint, sext, m) and ``area`` (protons x concentration;
  or ``protons``), or the peak areas themselves as ``peak_1`` ... ``peak_6``.

Rows at the same position add up. Columns that are not named here are ignored.
"""

from typing import Any

import numpy as np
import pandas as pd

from nmrclassify.files import quoted
from nmrclassify.files.tables import TableError, decimals, read_table
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.column_names import column_name
from nmrclassify.nmr.library import Library
from nmrclassify.nmr.multiplets import pattern

MAX_BYTES = 2 * 1024 * 1024
MAX_ROWS = 20_000
MAX_AREA = 1e12
MAX_NAME = 80

_SIZES = ("area", "protons")


def _read(content: bytes | str, axis: Axis, n_peaks: int, *key: str) -> pd.DataFrame:
    shifts = ("ppm", "position") if axis.unit == "ppm" else ("position", "ppm")
    layouts = [
        (*key, shift, *columns)
        for shift in shifts
        for columns in (("multiplicity", "area"), ("multiplicity", "protons"), _peaks(n_peaks))
    ]
    return read_table(
        content,
        layouts,
        ("mixture",),
        max_bytes=MAX_BYTES,
        max_rows=MAX_ROWS,
        numbers=("ppm", "position", *_SIZES, *_peaks(n_peaks)),
        large=(*_SIZES, *_peaks(n_peaks)),
        name_of=column_name,
    )


def is_in_ppm(content: bytes | str) -> bool:
    """Return whether a table has a column of chemical shifts."""
    try:
        table = read_table(
            content, (("ppm",),), max_bytes=MAX_BYTES, max_rows=MAX_ROWS, name_of=column_name
        )
    except TableError:
        return False
    return "ppm" in table


def _peaks(n_peaks: int) -> list[str]:
    return [f"peak_{k + 1}" for k in range(n_peaks)]


def _areas(table: pd.DataFrame, axis: Axis, n_peaks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each row, shape (rows,), and its peak areas, shape (rows, P)."""
    if "ppm" not in table:
        expected = f"a whole number from 0 to {axis.n_positions - 1}"
        values = decimals(table, "position", 0, axis.n_positions - 1, expected)
        if (bad := values % 1 != 0).any():
            row, text = table.index[bad.argmax()], table["position"].iloc[bad.argmax()]
            raise TableError(f"row {row}, column 'position': {quoted(text)} is not {expected}")
        positions = values.astype(np.int64)
    elif axis.unit == "ppm":
        expected = f"a chemical shift from {axis.low:g} to below {axis.high:g} ppm"
        below = float(np.nextafter(axis.high, axis.low))
        positions = axis.positions(decimals(table, "ppm", axis.low, below, expected))
    else:
        raise TableError(
            "column 'ppm': this axis has no ppm; use 'position', a whole number from 0"
        )
    peaks = _peaks(n_peaks)
    if all(name in table for name in peaks):
        expected = f"an area from {-MAX_AREA:g} to {MAX_AREA:g}"
        filled = table[peaks].replace("", "0")
        columns = [decimals(filled, name, -MAX_AREA, MAX_AREA, expected) for name in peaks]
        return positions, np.stack(columns, axis=1)
    size = "area" if "area" in table else "protons"
    sizes = decimals(table, size, 0, MAX_AREA, f"an area from 0 to {MAX_AREA:g}")
    areas = np.zeros((len(table), n_peaks))
    for k, (number, kind) in enumerate(table["multiplicity"].items()):
        try:
            areas[k] = sizes[k] * pattern(kind, n_peaks)
        except ValueError as error:
            raise TableError(f"row {number}, column 'multiplicity': {error}") from None
    return positions, areas


def read_mixture(
    content: bytes | str, axis: Axis, n_peaks: int, mixture: str | None = None
) -> np.ndarray:
    """Read one mixture from CSV.

    Parameters
    ----------
    mixture : str, optional
        Which of the file's mixtures, where it has a `mixture` column; the first by default.

    Returns
    -------
    ndarray, shape (P, L), float32

    Raises
    ------
    TableError
        If the table is not as this module describes.
    """
    table = _read(content, axis, n_peaks)
    if "mixture" in table and len(table):
        names = list(dict.fromkeys(table["mixture"]))
        chosen = names[0] if mixture is None else str(mixture)
        if chosen not in names:
            raise TableError(
                f"mixture {quoted(chosen)} is not in the file; it has"
                f" {', '.join(quoted(name) for name in names[:8])}"
            )
        table = table[table["mixture"] == chosen]
    elif mixture is not None:
        raise TableError(
            f"mixture {quoted(mixture)} was asked for, but the file has no column 'mixture'"
        )
    areas = np.zeros((n_peaks, axis.n_positions), dtype=np.float32)
    for position, peaks in zip(*_areas(table, axis, n_peaks), strict=True):
        areas[:, position] += peaks
    if not areas.any():
        raise TableError("the mixture is empty; give at least one row with an area above 0")
    return areas


def read_library(content: bytes | str, axis: Axis, n_peaks: int) -> Library:
    """Read a library from CSV, with the column `compound`; raises as `read_mixture` does."""
    table = _read(content, axis, n_peaks, "compound")
    for number, name in table["compound"].items():
        if not 1 <= len(name) <= MAX_NAME:
            raise TableError(
                f"row {number}, column 'compound': {quoted(name)} is not a name of 1 to {MAX_NAME}"
                " characters"
            )
    names = list(dict.fromkeys(table["compound"]))
    if not 1 <= len(names) <= 64:
        raise TableError(f"the table names {len(names)} compounds; expected 1 to 64")
    index = {name: k for k, name in enumerate(names)}
    areas = np.zeros((len(names), n_peaks, axis.n_positions), dtype=np.float32)
    for name, position, peaks in zip(table["compound"], *_areas(table, axis, n_peaks), strict=True):
        areas[index[name], :, position] += peaks
    try:
        return Library(tuple(names), areas, axis)
    except ValueError as error:
        raise TableError(str(error)) from None


def areas_table(
    areas: np.ndarray, axis: Axis, key: str | None = None, names: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return areas as a table that `read_mixture` or `read_library` reads: a row a filled position.

    Parameters
    ----------
    areas : ndarray, shape (P, L), or (n, P, L) with `key` and `names`
    key : str, optional
        Name of the first column, e.g. "compound".
    names : tuple of str, length n
        Its values.
    """
    stack = areas[None] if areas.ndim == 2 else areas
    item, position = np.nonzero(stack.any(axis=1))
    columns: dict[str, Any] = {key: [names[i] for i in item]} if key else {}
    columns[axis.unit] = axis.centres[position].round(6) if axis.unit == "ppm" else position
    peaks = stack[item, :, position]
    columns |= {f"peak_{k + 1}": peaks[:, k] for k in range(stack.shape[1])}
    return pd.DataFrame(columns)


def mixture_template(axis: Axis) -> str:
    """Return a small valid mixture table, to fill in."""
    places = (
        (("1.32", "d", 3), ("4.10", "q", 1), ("8.45", "s", 1))
        if axis.unit == "ppm"
        else (("2", "d", 1), ("8", "q", 1))
    )
    return f"{axis.unit},multiplicity,area\n" + "".join(f"{p},{m},{a}\n" for p, m, a in places)


def library_template(axis: Axis) -> str:
    """Return a small valid library table, to fill in."""
    if axis.unit == "ppm":
        rows = "lactate,1.32,d,3\nlactate,4.10,q,1\nformate,8.45,s,1\n"
        return "compound,ppm,multiplicity,protons\n" + rows
    return "compound,position,multiplicity,area\nfirst,2,d,1\nfirst,8,q,1\nsecond,16,s,1\n"
