"""Libraries at full scale from CSV tables, and the packaged table of common metabolites.

A table has one multiplet a row and one of two sets of columns, told apart by the header:

- ``compound, ppm, kind, j_hz, protons``: couplings in Hz with ";" or a space between them (the
  column may be left out). Of a range of ppm the lines are around its centre; an m is spread over
  it. An AB quartet has its shift difference in ``dnu_hz``. Ranges were measured at ``mhz``, 600
  where it is not stated;
- ``gissmo_id, name, ppm, n_protons, multiplicity, J_hz`` and, optionally, ``J_multiplicity`` (the
  equivalent neighbours of each coupling), as derived from the spin systems of GISSMO (Dashti et
  al., Anal. Chem. 2017, 89, 12201).

Either may have ``offsets_hz`` and ``shares``: the lines of a multiplet that does not follow the
first-order rule, as distances from ``ppm`` in Hz and shares of its area, with ";" between them.
Kind and couplings then only describe it.

Columns that are not named here are ignored. In place of a table, a text may hold the lines of
reports of papers, see `report_lines`: one compound each.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from nmrclassify.files import packaged, quoted
from nmrclassify.files.tables import TableError, content_of, decimal, read_table, text_of
from nmrclassify.nmr.axis import FULL_AXIS, MHZ_BOUNDS
from nmrclassify.nmr.column_names import column_name
from nmrclassify.nmr.compounds import (
    MAX_NAME,
    MAX_OF_ONE,
    MAX_PROTONS,
    PPM_BOUNDS,
    Compounds,
    safe_name,
)
from nmrclassify.nmr.multiplets import (
    MAX_LINES,
    PARTNERS,
    SAME_LINE,
    UNRESOLVED_WIDTH,
    Lines,
    are_given_lines,
    check_couplings,
    given_lines,
    n_couplings,
    parse_couplings,
    parse_tree,
    plain_couplings,
)
from nmrclassify.nmr.published_multiplets import (
    difference_of,
    parse_shift,
    published_lines,
    split_difference,
)
from nmrclassify.nmr.report_lines import is_report, read_reports

MAX_BYTES = 8 * 1024 * 1024
MAX_ROWS = 30_000
MAX_CROWDED = 2_000  # multiplets of more than `MAX_LINES` lines: merging these takes 10 ms each
MAX_OFF_CENTRE = 0.5  # Hz, of given lines whose offsets and shares are rounded
DEFAULT_COUPLING = 7.0  # Hz; the median of real libraries

SIMPLE = ("compound", "ppm", "kind", "protons")
GISSMO = ("gissmo_id", "name", "ppm", "n_protons", "multiplicity")

_MERGED = "the closest are merged"
_SYMBOLS = {count: symbol for symbol, count in PARTNERS.items()}


@dataclass(frozen=True)
class Problem:
    """A row of a file that was left out or changed.

    Attributes
    ----------
    row : int
        As a spreadsheet counts; the header is row 1.
    text : str
        Plain text, which may quote the file: not to be shown as Markdown.
    dropped : bool
        Whether the row was left out.
    """

    row: int
    text: str
    dropped: bool


@dataclass(frozen=True)
class Reading:
    """The compounds of a file, and a problem for each row that was left out or changed."""

    compounds: Compounds
    problems: tuple[Problem, ...]


def read_compounds(
    source: str | bytes | Path | IO, mhz: float = FULL_AXIS.mhz, name: str = ""
) -> Reading:
    """Read a library in any of the forms that this module describes.

    Parameters
    ----------
    source : str, bytes, Path or file
        A `Path` or an open file is read; a `str` is the text itself, never a path.
    mhz : float
        Frequency at which ranges of ppm were measured, where the file does not state it.
    name : str
        Name of the only compound of a file that does not name it.

    Returns
    -------
    Reading
        Unusable rows are left out, each with a `Problem` that gives the reason. A d, t, q, ...
        without a coupling gets `DEFAULT_COUPLING`; the sign of a coupling, which moves no
        first-order line, is dropped; lines beyond `MAX_LINES` are merged; an m without couplings is
        a hump over its range: all are reported. A compound of more than `MAX_OF_ONE` multiplets is
        left out. Names that differ by case alone are one compound if its multiplets are the same;
        otherwise the later one is numbered.

    Raises
    ------
    ValueError
        If the file is too large, is not CSV text, lacks a column, or has no usable row.
    """
    table = _table(content_of(source, MAX_BYTES), name)
    key, label = ("compound",) * 2 if set(SIMPLE) <= set(table.columns) else ("gissmo_id", "name")
    multiplets_of: dict[str, list[tuple]] = {}
    labels: dict[str, tuple[int, str]] = {}  # row and label where each compound occurs first
    seen: dict[tuple, int] = {}
    problems: list[Problem] = []
    crowded = 0
    for number, cells in zip(table.index.tolist(), table.to_numpy(), strict=True):
        row = dict(zip(table.columns, cells, strict=True))
        try:
            if not row[key]:
                raise ValueError(f"{key} is empty; expected the compound's name")
            labels.setdefault(row[key], (number, row[label] or row[key]))
            multiplet, notes = _multiplet(row, _mhz(row, mhz))
        except ValueError as error:
            problems.append(Problem(number, str(error), True))
            continue
        if (earlier := seen.setdefault((row[key], *multiplet), number)) != number:
            problems.append(Problem(number, f"the same as row {earlier}", True))
            continue
        problems += [Problem(number, note, False) for note in notes]
        crowded += any(note.endswith(_MERGED) for note in notes)
        if crowded > MAX_CROWDED:
            raise TableError(
                f"the file has more than {MAX_CROWDED:,} multiplets of over {MAX_LINES} lines; give"
                " such multiplets as m without couplings"
            )
        multiplets_of.setdefault(row[key], []).append(multiplet)
    for identity, (number, name) in labels.items():
        count = len(multiplets_of.get(identity, ()))
        if 1 <= count <= MAX_OF_ONE:
            continue
        reason = f"{count:,} multiplets, more than {MAX_OF_ONE}," if count else "no usable row,"
        text = f"compound {quoted(name)} has {reason} and is left out"
        problems.append(Problem(number, text, True))
        multiplets_of.pop(identity, None)
    if key == label:
        _merge_cases(labels, multiplets_of, problems)
    if not multiplets_of:
        reason = f": row {problems[0].row}, {problems[0].text}" if problems else ""
        raise ValueError(f"the file has no usable row{reason}; expected one multiplet a row")
    names = _unique({key: labels[key] for key in labels if key in multiplets_of}, problems)
    rows = [(k, *multiplet) for k, key in enumerate(names) for multiplet in multiplets_of[key]]
    compound, ppm, kinds, couplings, given, protons = zip(*rows, strict=True)
    compounds = Compounds(
        tuple(names.values()),
        np.array(compound),
        np.array(ppm),
        np.array(protons),
        kinds,
        couplings,
        tuple(map(_as_lines, given)) if any(given) else (),
    )
    return Reading(compounds, tuple(sorted(problems, key=lambda problem: problem.row)))


def _table(content: str | bytes, name: str) -> pd.DataFrame:
    if is_report(content):
        return read_reports(text_of(content, MAX_BYTES), name)
    table = read_table(
        content,
        (SIMPLE, GISSMO, SIMPLE[1:]) if name else (SIMPLE, GISSMO),
        ("j_hz", "j_multiplicity", "dnu_hz", "mhz", "offsets_hz", "shares"),
        max_bytes=MAX_BYTES,
        max_rows=MAX_ROWS,
        numbers=("ppm", "protons", "n_protons", "dnu_hz", "mhz"),
        lists=("j_hz", "offsets_hz", "shares"),
        plain=plain_couplings,
        name_of=column_name,
    )
    if name and not {"compound", "gissmo_id"} & set(table.columns):
        table.insert(0, "compound", name)
    return table


def _mhz(row: dict[str, str], default: float) -> float:
    """Return the frequency that a row states, or else the default."""
    if not row.get("mhz"):
        return default
    expected = "a frequency from {:g} to {:g} MHz".format(*MHZ_BOUNDS)
    return _number(row, "mhz", *MHZ_BOUNDS, expected)


@lru_cache(maxsize=1)
def common_metabolites() -> Compounds:
    """Return the packaged table of common metabolites; each row of the file names its reference."""
    return read_compounds(packaged("common_metabolites.csv")).compounds


def _number(row: dict[str, str], name: str, low: float, high: float, expected: str) -> float:
    value = decimal(row[name])
    if not low <= value <= high:
        raise ValueError(f"{name} is {quoted(row[name])}; expected {expected}")
    return value


def _multiplet(row: dict[str, str], mhz: float) -> tuple[tuple, list[str]]:
    """Return (ppm, kind, couplings, given lines, protons) of a row, and what was changed about it.

    Given lines are None, `Lines`, or pairs of an offset and a share.
    """
    notes = []
    low, high = parse_shift(row["ppm"])
    ppm = (low + high) / 2 if low < high else low
    if not PPM_BOUNDS[0] <= low <= high <= PPM_BOUNDS[1]:
        raise ValueError(
            "ppm is {}; expected a chemical shift from {:g} to {:g}".format(
                quoted(row["ppm"]), *PPM_BOUNDS
            )
        )
    expected = f"a number above 0, at most {MAX_PROTONS:g}"
    protons = _number(
        row, "protons" if "protons" in row else "n_protons", 1e-9, MAX_PROTONS, expected
    )
    written, apart = split_difference(row.get("j_hz", ""), mhz)
    apart = difference_of(row.get("dnu_hz", ""), mhz) or apart
    couplings = parse_couplings(written)
    if any(value < 0 for value in couplings):
        notes.append(f"j_hz is {quoted(row['j_hz'])}; the sign moves no line, and is dropped")
        couplings = [abs(value) for value in couplings]
    counted, text = row.get("j_multiplicity"), row["kind"] if "kind" in row else row["multiplicity"]
    given = _given(row.get("offsets_hz", ""), row.get("shares", ""))
    if not counted and not given:
        lines = published_lines(text, (high - low) * mhz, couplings, apart)
        if lines is not None:
            what = "m" if not couplings else "an AB quartet"
            notes.append(f"{what} over {np.ptp(lines.offsets):.3g} Hz at {mhz:g} MHz")
            broad = not couplings and parse_tree(text)[0]
            return (ppm, "br " * broad + "m", tuple(couplings), lines, protons), notes
    # With the neighbours counted, an m among the letters ("dm") is a splitting that has no letter.
    broad, symbols = parse_tree(text.replace("m", "d") if counted else text)
    if counted and symbols != ("s",):
        counts = counted.split(";")
        symbols = tuple(
            _SYMBOLS.get(int(count) if count.strip().isdecimal() else -1, "?") for count in counts
        )
    if given and not couplings and symbols != ("s",):
        return (ppm, "br " * broad + "m", (), given, protons), notes
    return (ppm, *_tree(broad, symbols, couplings, notes), given, protons), notes


def _given(offsets: str, shares: str) -> tuple[tuple[float, float], ...] | None:
    """Return the lines that a row gives, or None."""
    if not offsets and not shares:
        return None
    places, sizes = (
        [decimal(part) for part in re.split(r"[;\s]+", text.strip("; "))]
        for text in (offsets, shares)
    )
    expected = "one share above 0 for each offset in Hz, with ';' between them"
    if len(places) != len(sizes):
        raise ValueError(
            f"offsets_hz has {len(places)} values and shares {len(sizes)}; expected {expected}"
        )
    for name, text, values in (("offsets_hz", offsets, places), ("shares", shares, sizes)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is {quoted(text)}; expected {expected}")
    pairs = tuple(zip(places, sizes, strict=True))
    lines = _as_lines(pairs)
    if lines is not None and are_given_lines(lines):
        return pairs  # without rounding errors, if they are from `Compounds.frame`
    centre, lines = given_lines(places, sizes)
    if abs(centre) > MAX_OFF_CENTRE:
        raise ValueError(
            f"the mean of offsets_hz, weighted by shares, is {centre:g} Hz; expected 0: ppm is the"
            " centre of the lines"
        )
    return tuple(zip(lines.offsets.tolist(), lines.areas.tolist(), strict=True))


def _as_lines(given: Lines | tuple[tuple[float, float], ...] | None) -> Lines | None:
    if given is None or isinstance(given, Lines):
        return given
    offsets, areas = np.array(given).T.copy()
    offsets.setflags(write=False)
    areas.setflags(write=False)
    return Lines(offsets, areas)


def _tree(
    broad: bool, symbols: tuple[str, ...], couplings: list[float], notes: list[str]
) -> tuple[str, tuple[float, ...]]:
    """Return kind and couplings as `Compounds` expects them; adds what was changed to `notes`."""
    unresolved = "?" in symbols
    if unresolved:
        notes.append("a coupling to more than 8 equivalent neighbours; taken as m, unresolved")
        symbols, couplings = ("m",), []
    kind = "br " * broad + "".join(symbols)
    needed = len(couplings) if symbols == ("m",) else n_couplings(kind)
    if needed == 1 and not couplings:
        notes.append(f"{kind} without a coupling; {DEFAULT_COUPLING:g} Hz is assumed")
        couplings = [DEFAULT_COUPLING]
    if len(couplings) > needed:
        notes.append(f"{kind} with {len(couplings)} couplings; only the first {needed} are used")
    couplings = couplings[:needed]
    check_couplings(kind, couplings)
    if _crowded(symbols, couplings):
        notes.append(f"{kind} has more than {MAX_LINES} lines; {_MERGED}")
    if symbols == ("m",) and not couplings and not unresolved:
        notes.append(f"m without couplings is taken as a hump of {UNRESOLVED_WIDTH:g} Hz")
    return kind, tuple(couplings)


def _crowded(symbols: tuple[str, ...], couplings: list[float]) -> bool:
    """Return whether `first_order` would merge lines; merging them would take 10 ms."""
    steps = [
        PARTNERS.get(symbol, 1) + 1
        for symbol in (symbols if symbols != ("m",) else "d" * len(couplings))
    ]
    if prod(steps) <= MAX_LINES:
        return False
    offsets = np.zeros(1)
    for count, coupling in zip(steps, couplings, strict=True):
        offsets = (offsets[:, None] + coupling * np.arange(count)).ravel()
    return int((np.diff(np.sort(offsets)) > SAME_LINE).sum()) + 1 > MAX_LINES


def _merge_cases(
    labels: dict[str, tuple[int, str]],
    multiplets_of: dict[str, list[tuple]],
    problems: list[Problem],
) -> None:
    """Drop each compound whose name differs by case alone from one with the same multiplets."""
    first: dict[str, str] = {}
    for identity in [identity for identity in labels if identity in multiplets_of]:
        row, label = labels[identity]
        earlier = first.setdefault(label.casefold(), identity)
        if earlier == identity:
            continue
        same = set(multiplets_of[identity]) == set(multiplets_of[earlier])
        what = "is the same as" if same else "has other multiplets than"
        text = f"compound {quoted(label)} {what} {quoted(labels[earlier][1])}"
        problems.append(Problem(row, f"{text} in row {labels[earlier][0]}", same))
        if same:
            del multiplets_of[identity]


def _unique(labels: dict[str, tuple[int, str]], problems: list[Problem]) -> dict[str, str]:
    """Return a safe name for each compound, no two the same; each change is reported."""
    names: dict[str, str] = {}
    # Safe names stay as they are, also those of later rows.
    reserved = {name.casefold() for _, name in labels.values() if safe_name(name) == name}
    used: set[str] = set()
    counts: dict[str, int] = {}
    for identity, (row, label) in labels.items():
        name = base = safe_name(label)
        while name.casefold() in used or (name.casefold() in reserved and name != label):
            counts[base] = counts.get(base, 1) + 1
            suffix = f" ({counts[base]})"
            name = base[: MAX_NAME - len(suffix)].rstrip() + suffix
        if name != label:
            problems.append(
                Problem(row, f"compound {quoted(label)} is called {name!r} here", False)
            )
        used.add(name.casefold())
        names[identity] = name
    return names
