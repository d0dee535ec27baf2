"""Libraries at full scale: a table of multiplets, from which lines, and a dense array where one is asked for, follow.

A table in a file has one multiplet a row and one of two sets of columns, told apart by the header:

- ``compound, ppm, kind, j_hz, protons``: couplings in Hz with ";" or a space between them (the column may be left out);
- ``gissmo_id, name, ppm, n_protons, multiplicity, J_hz`` and, optionally, ``J_multiplicity`` (the equivalent neighbours
  of each coupling), as derived from the spin systems of GISSMO (Dashti et al., Anal. Chem. 2017,
  89, 12201).

Columns that are not named here are ignored.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import resources
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from scipy.sparse import coo_array, csr_array

from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.multiplets import (
    MAX_COUPLING,
    MAX_LINES,
    PARTNERS,
    SAME_LINE,
    UNRESOLVED_WIDTH,
    Lines,
    check_couplings,
    n_couplings,
    normalised,
    parse_tree,
    split,
)

MAX_BYTES = 20 * 1024 * 1024
MAX_ROWS = 100_000
MAX_COMPOUNDS = 20_000
MAX_OF_ONE = 64  # multiplets of one compound; the largest of two real libraries has 32
MAX_COLUMNS = 64
MAX_NAME = 120
PPM_BOUNDS = (-5.0, 20.0)
MAX_PROTONS = 1000.0
DEFAULT_COUPLING = (
    7.0  # Hz; the median of real libraries, for a d, t, q, ... that came without its own
)

SIMPLE = ("compound", "ppm", "kind", "j_hz", "protons")
GISSMO = ("gissmo_id", "name", "ppm", "n_protons", "multiplicity", "j_hz")

_LOOKALIKE = str.maketrans(
    {
        "[": "(",
        "]": ")",
        "{": "(",
        "}": ")",
        "<": "‹",
        ">": "›",
        "`": "'",
        "|": "/",
        "\\": "/",
        "—": "-",
    }
)
_UNSAFE = re.compile(r"[^\w \-+,.'()/:;&%=\"!?′″’‘“”·±→≥≤°‹›‒–]|_")
# Streamlit turns :name: into a picture, and GitHub's Markdown turns addresses into links.
_MARK = re.compile(r":(?=[\w+-]*:|//|material/)|(?<=www)\.", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_SYMBOLS = {count: symbol for symbol, count in PARTNERS.items()}


def safe_name(text: str) -> str:
    """Return a name of 1 to `MAX_NAME` characters in which nothing is markup to Markdown, HTML, Plotly or a spreadsheet.

    Brackets become round, and what has no harmless look-alike becomes "-"; a safe name comes back
    as it is.
    """
    text = unicodedata.normalize("NFC", str(text)[: 4 * MAX_NAME])
    text = "".join(
        character for character in text if unicodedata.category(character) not in ("Cf", "Mn", "Me")
    )
    text = _UNSAFE.sub("-", re.sub(r"\s+", " ", text).translate(_LOOKALIKE))
    while _MARK.search(text):
        text = _MARK.sub("-", text)
    # At the start, = + - would be a formula to a spreadsheet, or a list to Markdown.
    return text.lstrip("=+- ")[:MAX_NAME].rstrip() or "unnamed"


@dataclass(frozen=True, eq=False)
class Compounds:
    """K named compounds as a table of M multiplets.

    Attributes
    ----------
    names : tuple of str, length K
    compound : ndarray, shape (M,), int64
        The compound that each multiplet belongs to, from 0, never decreasing.
    ppm : ndarray, shape (M,), float64
        Centre of each multiplet.
    protons : ndarray, shape (M,), float64
        Its area at concentration 1.
    kinds : tuple of str, length M
        As `multiplets.normalised` writes them, e.g. "dd".
    couplings : tuple of tuples of float, length M
        In Hz, one for each splitting.
    """

    names: tuple[str, ...]
    compound: np.ndarray
    ppm: np.ndarray
    protons: np.ndarray
    kinds: tuple[str, ...]
    couplings: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        for name, dtype in (("compound", np.int64), ("ppm", np.float64), ("protons", np.float64)):
            array = np.array(getattr(self, name), dtype=dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        for name in ("names", "kinds", "couplings"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        lengths = {
            name: len(getattr(self, name))
            for name in ("compound", "ppm", "protons", "kinds", "couplings")
        }
        if len(set(lengths.values())) != 1 or self.compound.ndim != 1:
            raise ValueError(
                f"columns of the multiplets have lengths {lengths}; expected one length"
            )
        n_compounds = len(self.names)
        if not 1 <= n_compounds <= MAX_COMPOUNDS:
            raise ValueError(
                f"the library has {n_compounds:,} compounds; expected 1 to {MAX_COMPOUNDS:,}"
            )
        present = np.zeros(n_compounds, dtype=bool)
        inside = (self.compound >= 0) & (self.compound < n_compounds)
        if not inside.all() or (np.diff(self.compound) < 0).any():
            raise ValueError(
                f"compound indices are not 0 to {n_compounds - 1} in rising order; sort the"
                " multiplets by compound"
            )
        present[self.compound] = True
        if not present.all():
            raise ValueError(
                f"compound {self.names[present.argmin()]!r} has no multiplet; give it at least one,"
                " or leave it out"
            )
        counts = np.bincount(self.compound)
        if counts.max() > MAX_OF_ONE:
            raise ValueError(
                f"compound {self.names[counts.argmax()]!r} has {counts.max():,} multiplets;"
                f" expected at most {MAX_OF_ONE}: give each group of equivalent protons once, or"
                " leave the compound out"
            )
        for name, values, low, high in (
            ("ppm", self.ppm, *PPM_BOUNDS),
            ("protons", self.protons, 1e-9, MAX_PROTONS),
        ):
            bad = ~((low <= values) & (values <= high))
            if bad.any():
                k = int(bad.argmax())
                expected = f"{low:g} to {high:g}" if name == "ppm" else f"above 0, at most {high:g}"
                raise ValueError(
                    f"{name} of a multiplet of {self.names[self.compound[k]]!r} is {values[k]:g};"
                    f" expected {expected}"
                )
        for kind in set(self.kinds):
            if normalised(kind) != kind:
                raise ValueError(f"kind {kind!r} is not in symbols; write it {normalised(kind)!r}")
        for kind, couplings in set(zip(self.kinds, self.couplings, strict=False)):
            check_couplings(kind, couplings)
        for name in self.names:
            if safe_name(name) != name:
                raise ValueError(
                    f"compound name {name[:80]!r} is not usable; {safe_name(name)!r} is, see"
                    " safe_name"
                )
        if len(set(self.names)) != n_compounds:
            raise ValueError("two compounds share a name; give each its own")

    @property
    def n_compounds(self) -> int:
        """K, the number of compounds (classes)."""
        return len(self.names)

    @property
    def n_multiplets(self) -> int:
        """M, the number of multiplets."""
        return len(self.compound)

    @cached_property
    def first_multiplet(self) -> np.ndarray:
        """Where each compound's multiplets start, shape (K + 1,), int64; the last entry is M."""
        return np.searchsorted(self.compound, np.arange(self.n_compounds + 1)).astype(np.int64)

    @cached_property
    def lines(self) -> tuple[Lines, ...]:
        """The lines of each multiplet, of unit area, length M."""
        return tuple(map(split, self.kinds, self.couplings))

    @cached_property
    def first_line(self) -> np.ndarray:
        """Where each multiplet's lines start, shape (M + 1,), int64; the last entry is the number of lines."""
        return np.concatenate([[0], np.cumsum([len(lines.areas) for lines in self.lines])]).astype(
            np.int64
        )

    @cached_property
    def offsets(self) -> np.ndarray:
        """Distance of every line from its multiplet's centre in Hz, shape (lines,)."""
        return np.concatenate([lines.offsets for lines in self.lines])

    @cached_property
    def line_multiplet(self) -> np.ndarray:
        """The multiplet that each line belongs to, shape (lines,), int64."""
        return np.repeat(np.arange(self.n_multiplets), np.diff(self.first_line))

    @cached_property
    def areas(self) -> np.ndarray:
        """Area of every line at concentration 1, shape (lines,): protons times the line's share."""
        return (
            np.concatenate([lines.areas for lines in self.lines])
            * self.protons[self.line_multiplet]
        )

    def line_ppm(self, mhz: float) -> np.ndarray:
        """Return where every line stands on a spectrometer of `mhz`, in ppm, shape (lines,)."""
        return self.ppm[self.line_multiplet] + self.offsets / mhz

    def frame(self) -> pd.DataFrame:
        """Return the table with the columns compound, ppm, kind, j_hz, protons, which `read_compounds` takes back."""
        values = (
            [self.names[k] for k in self.compound],
            self.ppm,
            list(self.kinds),
            [";".join(repr(float(value)) for value in couplings) for couplings in self.couplings],
            self.protons,
        )
        return pd.DataFrame(dict(zip(SIMPLE, values, strict=False)))

    def select(self, indices: Sequence[int]) -> "Compounds":
        """Return the library of these compounds, in this order.

        Raises
        ------
        ValueError
            If an index is not one of the library's, or comes twice.
        """
        chosen = np.asarray(indices, dtype=np.int64).ravel()
        if (
            not len(chosen)
            or not ((chosen >= 0) & (chosen < self.n_compounds)).all()
            or len(np.unique(chosen)) != len(chosen)
        ):
            raise ValueError(
                f"compounds {chosen[:9].tolist()} cannot be chosen; expected different ones of 0 to"
                f" {self.n_compounds - 1}"
            )
        first = self.first_multiplet
        rows = np.concatenate([np.arange(first[k], first[k + 1]) for k in chosen])
        return Compounds(
            tuple(self.names[k] for k in chosen),
            np.repeat(np.arange(len(chosen)), first[chosen + 1] - first[chosen]),
            self.ppm[rows],
            self.protons[rows],
            tuple(self.kinds[row] for row in rows),
            tuple(self.couplings[row] for row in rows),
        )

    def rows(self, multiplets: np.ndarray) -> "Compounds":
        """Return the library of these multiplets, ascending; a compound of which none is left is left out."""
        if len(multiplets) == self.n_multiplets:
            return self  # and with it the lines that are split already
        kept, compound = np.unique(self.compound[multiplets], return_inverse=True)
        return Compounds(
            tuple(self.names[k] for k in kept), compound, self.ppm[multiplets], self.protons[multiplets],
            tuple(self.kinds[row] for row in multiplets), tuple(self.couplings[row] for row in multiplets),
        )  # fmt: skip

    def with_compounds(self, other: "Compounds") -> "Compounds":
        """Return the library with another's compounds behind its own.

        Raises
        ------
        ValueError
            If a name is in both.
        """
        clash = set(self.names) & set(other.names)
        if clash:
            raise ValueError(
                f"{min(clash)!r} is the name of a compound in both libraries; rename it in one of"
                " them"
            )
        return Compounds(
            self.names + other.names,
            np.concatenate([self.compound, other.compound + self.n_compounds]),
            np.concatenate([self.ppm, other.ppm]),
            np.concatenate([self.protons, other.protons]),
            self.kinds + other.kinds,
            self.couplings + other.couplings,
        )

    def sparse(self, axis: Axis) -> csr_array:
        """Return the compounds as sticks on an axis: a sparse array of areas, shape (K, L); lines beyond the axis are left out."""
        position = axis.positions(self.line_ppm(axis.mhz))
        inside = position >= 0
        rows = self.compound[self.line_multiplet[inside]]
        return coo_array(
            (self.areas[inside], (rows, position[inside])),
            shape=(self.n_compounds, axis.n_positions),
        ).tocsr()

    def dense(self, axis: Axis, indices: Sequence[int]) -> np.ndarray:
        """Return some compounds as sticks on an axis, shape (n, L), float32; see `sparse`."""
        return self.select(indices).sparse(axis).toarray().astype(np.float32)


@dataclass(frozen=True)
class Problem:
    """Something about a row of a file that was not taken as it stands.

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
    """What a file held: the compounds, and a problem for each thing that was left out or changed."""

    compounds: Compounds
    problems: tuple[Problem, ...]


class _Refused(ValueError):
    """A row that cannot be used."""


def read_compounds(source: str | bytes | Path | IO) -> Reading:
    """Read a library from CSV, in either of the layouts that this module describes.

    Parameters
    ----------
    source : str, bytes, Path or file
        A `Path` or an open file is read; a `str` is the text itself, never a path.

    Returns
    -------
    Reading
        Rows that cannot be used are left out, each with a problem that says why. A d, t, q, ...
        without a coupling gets `DEFAULT_COUPLING`; a coupling's sign, which moves no first-order
        line, is dropped; lines beyond `MAX_LINES` are merged; an m without couplings is a hump: all
        are reported. A compound of more than `MAX_OF_ONE` multiplets is left out.

    Raises
    ------
    ValueError
        If the file is too large, is not CSV text, lacks a column, or has no usable row.
    """
    header, rows = _table(_text(source))
    layout = next(
        (names for names in (SIMPLE, GISSMO) if set(names) - {"j_hz"} <= set(header)), None
    )
    if layout is None:
        shown = ", ".join(repr(name[:30]) for name in header[:12]) or "none"
        raise ValueError(
            f"columns are {shown}; expected {', '.join(SIMPLE)}, or {', '.join(GISSMO)}"
        )
    column = {name: header.index(name) for name in (*layout, "j_multiplicity") if name in header}
    key, label = ("compound", "compound") if layout is SIMPLE else ("gissmo_id", "name")
    keep: dict[str, list[tuple]] = {}
    labels: dict[str, tuple[int, str]] = {}
    seen: dict[tuple, int] = {}
    problems: list[Problem] = []
    for number, cells in rows:
        row = {name: cells[k].strip() if k < len(cells) else "" for name, k in column.items()}
        if not any(row.values()):
            continue
        try:
            if not row[key]:
                raise _Refused(f"{key} is empty; expected the compound's name")
            labels.setdefault(row[key], (number, row[label] or row[key]))
            multiplet, notes = _multiplet(row)
        except ValueError as error:
            problems.append(Problem(number, str(error), True))
            continue
        if (earlier := seen.setdefault((row[key], *multiplet), number)) != number:
            problems.append(Problem(number, f"the same as row {earlier}", True))
            continue
        problems += [Problem(number, note, False) for note in notes]
        keep.setdefault(row[key], []).append(multiplet)
    for identity, (number, name) in labels.items():
        if identity not in keep:
            problems.append(
                Problem(
                    number, f"compound {name[:MAX_NAME]!r} has no usable row, and is left out", True
                )
            )
        elif (count := len(keep[identity])) > MAX_OF_ONE:
            text = (
                f"compound {name[:MAX_NAME]!r} has {count:,} multiplets, more than {MAX_OF_ONE},"
                " and is left out"
            )
            problems.append(Problem(number, text, True))
            del keep[identity]
    if not keep:
        reason = f": row {problems[0].row}, {problems[0].text}" if problems else ""
        raise ValueError(f"the file has no usable row{reason}; expected one multiplet a row")
    names = _unique(
        {identity: labels[identity] for identity in labels if identity in keep}, problems
    )
    table = [(k, *multiplet) for k, identity in enumerate(names) for multiplet in keep[identity]]
    compound, ppm, kinds, couplings, protons = zip(*table, strict=False)
    compounds = Compounds(
        tuple(names.values()),
        np.array(compound),
        np.array(ppm),
        np.array(protons),
        kinds,
        couplings,
    )
    return Reading(compounds, tuple(sorted(problems, key=lambda problem: problem.row)))


@lru_cache(maxsize=1)
def common_metabolites() -> Compounds:
    """Return the packaged table of common metabolites; each row of the file names its reference."""
    with resources.as_file(
        resources.files("nmrclassify").joinpath("data/common_metabolites.csv")
    ) as path:
        return read_compounds(path).compounds


def _text(source: str | bytes | Path | IO) -> str:
    if isinstance(source, Path):
        with source.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    else:
        content = source if isinstance(source, (str, bytes)) else source.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(
            f"the file has more than {MAX_BYTES:,} bytes; expected a table of multiplets of at most"
            " that: split it"
        )
    try:
        text = (
            content.decode("utf-8-sig")
            if isinstance(content, bytes)
            else content.removeprefix("\ufeff")
        )
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start} is not UTF-8 text; save the table as CSV in UTF-8"
        ) from None
    if "\0" in text:
        raise ValueError("the file holds binary data; expected a CSV table")
    return text


def _table(text: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the column names in lower case, and each row with its number."""
    first = next((line for line in io.StringIO(text, newline="") if line.strip()), "")
    try:
        # Enumerated, as a cell may hold a line break and a spreadsheet counts it as one row.
        separator = "\t" if "\t" in first else ","
        reader = enumerate(
            csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True), 1
        )
        above, header = next(
            ((number, cells) for number, cells in reader if any(map(str.strip, cells))), (1, [])
        )
        if len(header) > MAX_COLUMNS:
            expected = f"at most {MAX_COLUMNS}, of which {', '.join(SIMPLE)} are read"
            raise ValueError(f"the table has {len(header):,} columns; expected {expected}")
        rows = []
        for number, cells in reader:
            if number > above + MAX_ROWS:
                raise ValueError(
                    f"the table has more than {MAX_ROWS:,} rows; expected one multiplet a row, and"
                    " no more: split it"
                )
            rows.append((number, cells[:MAX_COLUMNS]))
    except csv.Error as error:
        raise ValueError(
            f"the file is not a CSV table ({error}); expected the columns {', '.join(SIMPLE)}"
        ) from None
    return [name.strip().lower() for name in header], rows


def _number(text: str, name: str, low: float, high: float, expected: str) -> float:
    value = float(text) if _NUMBER.fullmatch(text[:40]) else np.nan
    if not low <= value <= high:
        raise _Refused(f"{name} is {text[:40]!r}; expected {expected}")
    return value


def _multiplet(row: dict[str, str]) -> tuple[tuple, list[str]]:
    """Return (ppm, kind, couplings, protons) of a row, and what was changed about it."""
    notes = []
    ppm = _number(
        row["ppm"], "ppm", *PPM_BOUNDS, "a chemical shift from {:g} to {:g}".format(*PPM_BOUNDS)
    )
    name = "protons" if "protons" in row else "n_protons"
    protons = _number(
        row[name], name, 1e-9, MAX_PROTONS, f"a number above 0, at most {MAX_PROTONS:g}"
    )
    expected = f"couplings of 0 to {MAX_COUPLING:g} Hz with ';' between them"
    parts = re.split(r"[;\s]+", row.get("j_hz", "").strip("; "))
    couplings = [
        _number(part, "j_hz", -MAX_COUPLING, MAX_COUPLING, expected) for part in parts if part
    ]
    if any(value < 0 for value in couplings):
        notes.append(f"j_hz is {row['j_hz'][:40]!r}; the sign moves no line, and is dropped")
        couplings = [abs(value) for value in couplings]
    counted, text = row.get("j_multiplicity"), row["kind"] if "kind" in row else row["multiplicity"]
    # With the neighbours counted, an m among the letters ("dm") is a splitting that has no letter.
    broad, symbols = parse_tree(text.replace("m", "d") if counted else text)
    if counted and symbols != ("s",):
        counts = counted.split(";")
        symbols = tuple(
            _SYMBOLS.get(int(count) if count.strip().isdecimal() else -1, "?") for count in counts
        )
    return (ppm, *_tree(broad, symbols, couplings, notes), protons), notes


def _tree(
    broad: bool, symbols: tuple[str, ...], couplings: list[float], notes: list[str]
) -> tuple[str, tuple[float, ...]]:
    unresolved = "?" in symbols
    if unresolved:
        notes.append("a coupling to more than 8 equivalent neighbours; taken as m, unresolved")
        symbols, couplings = ("m",), []
    kind = "br " * broad + "".join(symbols)
    needed = len(couplings) if symbols == ("m",) else n_couplings(kind)
    if needed == 1 and not couplings:
        notes.append(f"{kind} without a coupling; {DEFAULT_COUPLING:g} Hz is assumed")
        couplings = [DEFAULT_COUPLING]
    if len(couplings) < needed:
        given = ", ".join(f"{value:g}" for value in couplings) or "none"
        raise _Refused(f"couplings of {kind!r} are {given}; expected {needed}, in Hz")
    if len(couplings) > needed:
        notes.append(f"{kind} with {len(couplings)} couplings; only the first {needed} are used")
    couplings = couplings[:needed]
    check_couplings(kind, couplings)
    if _crowded(symbols, couplings):
        notes.append(f"{kind} has more than {MAX_LINES} lines; the closest are merged")
    if symbols == ("m",) and not couplings and not unresolved:
        notes.append(f"m without couplings is taken as a hump of {UNRESOLVED_WIDTH:g} Hz")
    return kind, tuple(couplings)


def _crowded(symbols: tuple[str, ...], couplings: list[float]) -> bool:
    """Return whether `first_order` would merge lines; without merging: 10 ms a row is too long for 100,000."""
    steps = [
        PARTNERS.get(symbol, 1) + 1
        for symbol in (symbols if symbols != ("m",) else "d" * len(couplings))
    ]
    if prod(steps) <= MAX_LINES:
        return False
    places = np.zeros(1)
    for count, coupling in zip(steps, couplings, strict=False):
        places = (places[:, None] + coupling * np.arange(count)).ravel()
    places.sort()
    return int((places[1:] - places[:-1] > SAME_LINE).sum()) + 1 > MAX_LINES


def _unique(labels: dict[str, tuple[int, str]], problems: list[Problem]) -> dict[str, str]:
    """Return a safe name for each compound, no two alike; each change is reported."""
    names: dict[str, str] = {}
    # A name that needs no change keeps it, wherever it stands.
    taken = {name for _, name in labels.values() if safe_name(name) == name}
    used: set[str] = set()
    counts: dict[str, int] = {}
    for identity, (row, label) in labels.items():
        name = base = safe_name(label)
        while name in used or (name in taken and name != label):
            counts[base] = counts.get(base, 1) + 1
            suffix = f" ({counts[base]})"
            name = base[: MAX_NAME - len(suffix)].rstrip() + suffix
        if name != label:
            problems.append(
                Problem(row, f"compound {label[:MAX_NAME]!r} is called {name!r} here", False)
            )
        used.add(name)
        names[identity] = name
    return names
