"""Tables in and out: libraries and mixtures as CSV, with errors that name the row, the column and the value.

One format serves both. A row is one multiplet; the columns are

- ``compound`` in a library, ``mixture`` in a file of several mixtures, neither in a single mixture;
- ``ppm``, or ``position`` (0, 1, 2, ...) where the axis has no unit;
- either ``multiplicity`` (s, d, t, q, quint, sext, m) and ``area`` (protons x concentration; ``protons`` is taken
  too), or the peak areas themselves as ``peak_1`` ... ``peak_6``.

Rows at the same place add up. Columns that are not named here are ignored.
"""

import csv
import io

import numpy as np
import pandas as pd

from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library
from nmrclassify.nmr.multiplets import pattern

MAX_BYTES = 2 * 1024 * 1024
MAX_ROWS = 20_000
MAX_COLUMNS = 64
MAX_AREA = 1e12
MAX_NAME = 80


class TableError(ValueError):
    """A table that cannot be used; the message names the row, the column, the value and what was expected."""


def _read(content: bytes | str) -> pd.DataFrame:
    size = len(content)
    if size > MAX_BYTES:
        raise TableError(f"the file has {size:,} bytes; expected at most {MAX_BYTES:,}")
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise TableError(
            f"byte {error.start} is not UTF-8 text; save the table as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise TableError("the file holds binary data; expected a CSV table")
    text = text.lstrip("\r\n")
    try:
        # From the text itself: pandas would silently rename the second of two equal columns. A
        # quoted name may hold a line's end, so that the first line is not the header; pandas takes
        # quadratic time over many columns.
        names = [
            name.strip().lower() for name in next(csv.reader(io.StringIO(text, newline="")), [])
        ]
        if len(names) > MAX_COLUMNS:
            raise TableError(
                f"the table has more than {MAX_COLUMNS} columns; keep those that are needed, see"
                " the template"
            )
        # Cells stay text, so that a message can quote what was written.
        table = pd.read_csv(
            io.StringIO(text),
            dtype=str,
            keep_default_na=False,
            nrows=MAX_ROWS + 1,
            skip_blank_lines=False,
        )
    except TableError:
        raise
    except (ValueError, csv.Error, pd.errors.ParserError) as error:
        raise TableError(
            f"the file is not a CSV table ({str(error).strip().splitlines()[-1]}); compare it with"
            " the template"
        ) from None
    if len(table) > MAX_ROWS:
        raise TableError(f"the table has more than {MAX_ROWS:,} rows; split it")
    if not isinstance(table.index, pd.RangeIndex):
        raise TableError(
            "a row has more values than the header has columns; compare the file with the template"
        )
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise TableError(f"column {twice[0]!r} occurs twice; keep one of them")
    table.columns = [str(column).strip().lower() for column in table.columns]
    table.index = table.index + 2  # the row numbers that a spreadsheet shows
    table = table.apply(lambda column: column.str.strip())
    return table[(table != "").any(axis=1)]


def _number(row: int, column: str, text: str, low: float, high: float, expected: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise TableError(f"row {row}, column {column!r}: {text!r} is not {expected}")
    return value


def _areas(table: pd.DataFrame, axis: Axis, n_peaks: int) -> list[tuple[int, np.ndarray]]:
    """Return the (position, peak areas) of each row."""
    places = [column for column in ("ppm", "position") if column in table]
    if not places:
        raise TableError(
            f"column {axis.unit!r} is missing; the table has"
            f" {', '.join(map(repr, table.columns)) or 'no columns'}"
        )
    if places[0] == "ppm" and axis.unit != "ppm":
        raise TableError(
            "column 'ppm': this axis has no ppm; use 'position', a whole number from 0"
        )
    peaks = [f"peak_{k + 1}" for k in range(n_peaks)]
    size = next((column for column in ("area", "protons") if column in table), None)
    by_peaks = all(column in table for column in peaks)
    if not by_peaks and not ("multiplicity" in table and size):
        raise TableError(
            f"columns 'multiplicity' and 'area', or {peaks[0]!r} to {peaks[-1]!r}, are missing; the"
            f" table has {', '.join(map(repr, table.columns))}"
        )
    rows = []
    for number, row in zip(table.index, table.to_dict("records"), strict=False):
        if places[0] == "ppm":
            expected = f"a chemical shift from {axis.low:g} to below {axis.high:g} ppm"
            value = _number(
                number, "ppm", row["ppm"], axis.low, np.nextafter(axis.high, axis.low), expected
            )
            position = axis.position(value)
        else:
            expected = f"a whole number from 0 to {axis.n_positions - 1}"
            value = _number(number, "position", row["position"], 0, axis.n_positions - 1, expected)
            if value != int(value):
                raise TableError(
                    f"row {number}, column 'position': {row['position']!r} is not {expected}"
                )
            position = int(value)
        if by_peaks:
            expected = f"an area from {-MAX_AREA:g} to {MAX_AREA:g}"
            areas = np.array(
                [_number(number, c, row[c] or "0", -MAX_AREA, MAX_AREA, expected) for c in peaks]
            )
        else:
            area = _number(number, size, row[size], 0, MAX_AREA, f"an area from 0 to {MAX_AREA:g}")
            try:
                areas = area * pattern(row["multiplicity"], n_peaks)
            except ValueError as error:
                raise TableError(f"row {number}, column 'multiplicity': {error}") from None
        rows.append((position, areas))
    return rows


def read_mixture(
    content: bytes | str, axis: Axis, n_peaks: int, mixture: str | None = None
) -> np.ndarray:
    """Read one mixture from CSV.

    Parameters
    ----------
    content : bytes or str
    axis : Axis
    n_peaks : int
    mixture : str, optional
        Which of the file's mixtures, where it has a `mixture` column; the first one if not given.

    Returns
    -------
    ndarray, shape (P, L), float32

    Raises
    ------
    TableError
        If the table is not as this module describes.
    """
    table = _read(content)
    if "mixture" in table and len(table):
        known = list(dict.fromkeys(table["mixture"]))
        wanted = known[0] if mixture is None else str(mixture)
        if wanted not in known:
            raise TableError(
                f"mixture {wanted!r} is not in the file; it has {', '.join(known[:8])}"
            )
        table = table[table["mixture"] == wanted]
    elif mixture is not None:
        raise TableError(f"mixture {mixture!r} was asked for, but the file has no column 'mixture'")
    areas = np.zeros((n_peaks, axis.n_positions), dtype=np.float32)
    for position, peaks in _areas(table, axis, n_peaks):
        areas[:, position] += peaks
    if not areas.any():
        raise TableError("the mixture is empty; give at least one row with an area above 0")
    return areas


def read_library(content: bytes | str, axis: Axis, n_peaks: int) -> Library:
    """Read a library from CSV (with the column `compound`); returns and raises as `read_mixture` does."""
    table = _read(content)
    if "compound" not in table:
        raise TableError(
            "column 'compound' is missing; the table has"
            f" {', '.join(map(repr, table.columns)) or 'no columns'}"
        )
    for number, name in table["compound"].items():
        if not 1 <= len(name) <= MAX_NAME:
            raise TableError(
                f"row {number}, column 'compound': {name[:20]!r} is not a name of 1 to {MAX_NAME}"
                " characters"
            )
    names = list(dict.fromkeys(table["compound"]))
    if not 1 <= len(names) <= 64:
        raise TableError(f"the table names {len(names)} compounds; expected 1 to 64")
    index = {name: k for k, name in enumerate(names)}
    areas = np.zeros((len(names), n_peaks, axis.n_positions), dtype=np.float32)
    for name, (position, peaks) in zip(
        table["compound"], _areas(table, axis, n_peaks), strict=False
    ):
        areas[index[name], :, position] += peaks
    try:
        return Library(tuple(names), areas, axis)
    except ValueError as error:
        raise TableError(str(error)) from None


def areas_table(
    areas: np.ndarray, axis: Axis, key: str | None = None, names: tuple[str, ...] = ()
) -> pd.DataFrame:
    """Return areas as a table that `read_mixture` or `read_library` takes back: one row a filled position.

    Parameters
    ----------
    areas : ndarray, shape (P, L), or (n, P, L) with `key` and `names`
    axis : Axis
    key : str, optional
        Name of the first column, e.g. "compound".
    names : tuple of str, length n
        Its values.
    """
    stack = areas[None] if areas.ndim == 2 else areas
    item, position = np.nonzero(stack.any(axis=1))
    columns = {key: [names[i] for i in item]} if key else {}
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
        return "compound,ppm,multiplicity,protons\nlactate,1.32,d,3\nlactate,4.10,q,1\nformate,8.45,s,1\n"
    return "compound,position,multiplicity,area\nfirst,2,d,1\nfirst,8,q,1\nsecond,16,s,1\n"
