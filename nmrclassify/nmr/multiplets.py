"""Multiplets: the peaks that one group of equivalent protons gives.

A proton with n equivalent neighbours splits into n + 1 peaks whose areas follow row n of Pascal's
triangle (the first-order "n + 1 rule"; J. Keeler, Understanding NMR Spectroscopy, 2nd ed., section
3.2). Neighbours of several kinds split one after the other: a tree. `pattern` returns area ratios
alone, for the toy; `first_order` returns lines in Hz.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb, prod

import numpy as np

from nmrclassify.files import quoted
from nmrclassify.files.tables import decimal

KINDS = ("singlet", "doublet", "triplet", "quartet", "quintet", "sextet")
SYMBOLS = ("s", "d", "t", "q", "quint", "sext")
UNRESOLVED = "multiplet"

_SYNONYMS = {
    "quin": "quintet",
    "pent": "quintet",
    "p": "quintet",
    "sxt": "sextet",
    "m": UNRESOLVED,
    UNRESOLVED: UNRESOLVED,
}
_SYNONYMS |= dict(zip(KINDS, KINDS, strict=True)) | dict(zip(SYMBOLS, KINDS, strict=True))


def parse_kind(text: str) -> str:
    """Return the full name of a kind of multiplet: "quartet" for "q" or "Quartet.".

    Raises
    ------
    ValueError
        If the text names no kind of up to six peaks and is not "m" (unresolved).
    """
    kind = _SYNONYMS.get(text.strip().lower().rstrip("."))
    if kind is None:
        raise ValueError(
            f"unknown multiplicity {quoted(text)}; expected one of {', '.join(SYMBOLS)}, m, or"
            " their full names"
        )
    return kind


def pascal_row(n_neighbours: int) -> np.ndarray:
    """Return the peak area ratios 1 : n : ... : 1 for `n_neighbours` equivalent neighbours."""
    return np.array([comb(n_neighbours, k) for k in range(n_neighbours + 1)], dtype=np.int64)


def pattern(kind: str, n_peaks: int = 6) -> np.ndarray:
    """Return a multiplet of unit area as `n_peaks` peak areas.

    Parameters
    ----------
    kind : str
        A name or symbol that `parse_kind` accepts. An unresolved multiplet ("m") has no published
        ratios: its area is spread evenly.
    n_peaks : int
        Number of peaks P; shorter patterns are padded with zeros on the right, as in the design
        document.

    Returns
    -------
    ndarray, shape (P,), float64
        Areas that sum to 1, in Pascal's ratios.

    Raises
    ------
    ValueError
        If the kind is unknown, or has more than `n_peaks` peaks.
    """
    name = parse_kind(kind)
    if name == UNRESOLVED:
        return np.full(n_peaks, 1.0 / n_peaks)
    row = pascal_row(KINDS.index(name))
    if len(row) > n_peaks:
        raise ValueError(
            f"a {name} has {len(row)} peaks; n_peaks is {n_peaks}: raise n_peaks or choose another"
            " kind"
        )
    return np.pad(row / row.sum(), (0, n_peaks - len(row)))


def all_patterns(n_peaks: int = 6) -> np.ndarray:
    """Return every kind that fits in `n_peaks` peaks, singlet first, shape (kinds, P)."""
    return np.stack([pattern(kind, n_peaks) for kind in KINDS[:n_peaks]])


# As in the design document; 98.3 % of the first-order multiplets of GISSMO have no more.
MAX_LINES = 18
MAX_TREE_LINES = 512
MAX_COUPLING = 50.0  # Hz; the largest between protons, in a CH2 group, are near 20
SAME_LINE = 1e-6  # Hz
UNRESOLVED_WIDTH = 33.0  # Hz
MAX_GIVEN_LINES = 64
MAX_OFFSET = 1000.0  # Hz, of a given line from the centre of its multiplet

# Symbol -> number of equivalent neighbours.
PARTNERS = {"s": 0, "d": 1, "t": 2, "q": 3, "quint": 4, "sext": 5, "sept": 6, "oct": 7, "non": 8}
_SHORT = {
    "quin": "quint",
    "pent": "quint",
    "p": "quint",
    "sxt": "sext",
    "spt": "sept",
    "hept": "sept",
    "sep": "sept",
    "hex": "sext",
    "massif": "m",
    "mult": "m",
    "br": "b",
    "broad": "b",
    "app": "",  # apparent: its lines look like those of the kind that follows
    "apparent": "",
    "pseudo": "",
}
_FULL = {
    "singlet": "s",
    "doublet": "d",
    "double": "d",
    "triplet": "t",
    "triple": "t",
    "quartet": "q",
    "quintet": "quint",
}
_FULL |= {
    "quadruplet": "q",
    "quintuplet": "quint",
    "pentet": "quint",
    "sextet": "sext",
    "hextet": "sext",
    "septet": "sept",
    "heptet": "sept",
    "octet": "oct",
}
_FULL |= {"nonet": "non", "multiplet": "m", "of": ""}
_WORDS = {symbol: symbol for symbol in (*PARTNERS, "m", "b")} | _SHORT | _FULL
# The longest word first, so that "quint" is not read as "q".
_WORD = re.compile(
    "|".join(
        sorted((f"{word}s?" if word in _FULL else word for word in _WORDS), key=len, reverse=True)
    )
)


MAX_COUPLINGS_TEXT = 200  # characters
# As in "3J(H,H) = " and "JAB = ".
_LABEL = re.compile(r"[\d¹²³⁴⁵]?J(?:[_-]?\w{1,6}|\s?\([^()]{1,20}\))?\s?(?:[=:≈~]|(?=\s[-+.\d]))")
_UNIT = re.compile(r"(?<=[\d.\s])Hz\b\.?", re.IGNORECASE)
_OF_NUMBERS = re.compile(r"[-+\d.,;eE\s]*", re.ASCII)


@dataclass(frozen=True, eq=False)
class Lines:
    """The lines of one multiplet of unit area.

    Attributes
    ----------
    offsets : ndarray, shape (n,), float64
        Distance of each line from the centre in Hz, ascending; their mean, weighted by area, is 0.
    areas : ndarray, shape (n,), float64
        Sum to 1.
    merged : bool
        Whether neighbouring lines were added together because there were more than `MAX_LINES`.
    resolved : bool
        False for a hump that stands for a multiplet whose couplings are not known.
    """

    offsets: np.ndarray
    areas: np.ndarray
    merged: bool = False
    resolved: bool = True


@lru_cache(maxsize=4096)
def parse_tree(text: str) -> tuple[bool, tuple[str, ...]]:
    """Return whether a kind is called broad, and its symbols: (True, ("d", "t")) for "br dt".

    Raises
    ------
    ValueError
        If the text is not made of the symbols s, d, t, q, quint, sext, sept, oct, non, or m alone,
        or their names.
    """
    rest = re.sub(r"[\s.,-]+", " ", str(text)[:100].lower()).strip()
    symbols: list[str] = []
    position, broad = 0, False
    while position < len(rest):
        match = _WORD.match(rest, position)
        if match is None and rest[position] != " ":
            symbols = []
            break
        word = match.group() if match else ""
        symbol = _WORDS.get(word, _WORDS.get(word[:-1], "")) if word else ""
        if symbol == "b":
            broad = True
        elif symbol:
            symbols.append(symbol)
        position = match.end() if match else position + 1
    alone = len(symbols) == 1 or not {"s", "m"} & set(symbols)
    if not symbols or not alone:
        raise ValueError(
            f"unknown multiplicity {str(text)[:40]!r}; expected s, m, or a row of d, t, q,"
            f" {', '.join(list(PARTNERS)[4:])} such as 'dt', with 'br' in front where the lines are"
            " broad"
        )
    return broad, tuple(symbols)


def normalised(kind: str) -> str:
    """Return a kind in symbols: "dt" for "doublet of Triplets", "br s" for "br. s."."""
    broad, symbols = parse_tree(kind)
    return "br " * broad + "".join(symbols)


def n_couplings(kind: str) -> int:
    """Return how many couplings a kind of multiplet needs: one a splitting, none for s and m."""
    return sum(symbol not in ("s", "m") for symbol in parse_tree(kind)[1])


def plain_couplings(text: str) -> str:
    """Return couplings as papers write them ("J = 7.2, 3.1 Hz") with ";" between them: "7.2; 3.1".

    A comma is a separator where a space follows or the numbers have decimal points; a text with
    anything else in it is returned as it is.
    """
    if len(text) > MAX_COUPLINGS_TEXT:
        return text
    rest = _UNIT.sub(" ", _LABEL.sub(" ", text))
    rest = re.sub(r",\s+|\s*(?:/|&|\band\b)\s*", "; ", rest)
    if "." in rest:
        rest = rest.replace(",", ";")
    return rest.strip("; ") if _OF_NUMBERS.fullmatch(rest) else text


def parse_couplings(text: str) -> list[float]:
    """Return couplings in Hz, signed, written with ";", "/" or a space between them.

    What `plain_couplings` takes away may stand beside them.

    Raises
    ------
    ValueError
        If one is not a number of at most `MAX_COUPLING` Hz.
    """
    parts = [part for part in re.split(r"[;\s]+", plain_couplings(text).strip("; ")) if part]
    values = list(map(decimal, parts))
    for part, value in zip(parts, values, strict=True):
        if not abs(value) <= MAX_COUPLING:
            raise ValueError(
                f"j_hz is {part[:40]!r}; expected couplings of 0 to {MAX_COUPLING:g} Hz with ';'"
                " between them"
            )
    return values


def check_couplings(kind: str, couplings: Sequence[float]) -> None:
    """Raise ValueError unless the couplings are in range and as many as the kind needs.

    The range is 0 to `MAX_COUPLING` Hz; m may have any number of them.
    """
    symbols = parse_tree(kind)[1]
    needed = len(couplings) if symbols == ("m",) else n_couplings(kind)
    in_range = all(0 <= value <= MAX_COUPLING for value in couplings)
    if not in_range or len(couplings) != needed:
        stated = ", ".join(f"{value:g}" for value in couplings[:12]) or "none"
        expected = (
            f"{needed}, in Hz: one for each splitting"
            if in_range
            else f"0 to {MAX_COUPLING:g} Hz each"
        )
        raise ValueError(f"couplings of {kind!r} are {stated}; expected {expected}")
    n_lines = 2**needed if symbols == ("m",) else prod(PARTNERS[symbol] + 1 for symbol in symbols)
    if n_lines > MAX_TREE_LINES:
        raise ValueError(
            f"{kind!r} has {n_lines:,} lines; expected at most {MAX_TREE_LINES}: give it as m"
            " without couplings"
        )


def first_order(kind: str, couplings: Sequence[float] = ()) -> Lines:
    """Return the lines of a first-order multiplet: a tree of splittings.

    Parameters
    ----------
    kind : str
        One or more of s, d, t, q, quint, sext, sept, oct, non in a row, as symbols or as names
        ("dt", "doublet of triplets"); "br" in front moves no line. An unresolved
        multiplet (m) with couplings is split in two by each of them. Without, it is a flat hump of
        `MAX_LINES` lines over `UNRESOLVED_WIDTH` Hz, flagged as not resolved. Its standard
        deviation, 9.5 Hz, is that of the multiplets with four and more couplings in GISSMO.
    couplings : sequence of float
        One coupling in Hz for each splitting: a dt with (8, 4) is a doublet of 8 Hz, each line a
        triplet of 4 Hz.

    Returns
    -------
    Lines
        Lines within `SAME_LINE` are added together (a dd with equal couplings is 1:2:1). While
        there are more than `MAX_LINES`, the two closest are merged at their area-weighted mean.

    Raises
    ------
    ValueError
        If the kind is unknown, or the couplings are too few, too many, undefined, or not from 0 to
        `MAX_COUPLING` Hz.
    """
    kind, couplings = normalised(kind), tuple(map(float, couplings))
    check_couplings(kind, couplings)
    return split(kind, couplings)


@lru_cache(maxsize=2**16)
def split(kind: str, couplings: tuple[float, ...]) -> Lines:
    """Return `first_order` of a `normalised` kind and couplings that `check_couplings` accepts."""
    symbols = parse_tree(kind)[1]
    if symbols == ("m",) and not couplings:
        step = UNRESOLVED_WIDTH / MAX_LINES
        return _lines(
            (np.arange(MAX_LINES) - (MAX_LINES - 1) / 2) * step,
            np.full(MAX_LINES, 1 / MAX_LINES),
            resolved=False,
        )
    offsets, areas = np.zeros(1), np.ones(1)
    for symbol, coupling in zip(
        ("d",) * len(couplings) if symbols == ("m",) else symbols,
        couplings,
        strict=False,  # s has none
    ):
        steps, ratios = _splitting(symbol)
        offsets = (offsets[:, None] + coupling * steps).ravel()
        areas = (areas[:, None] * ratios).ravel()
    if len(offsets) > 2:  # two lines are in order
        order = offsets.argsort()
        offsets, areas = offsets[order], areas[order]
    apart = offsets[1:] - offsets[:-1] > SAME_LINE
    if not apart.all():
        starts = np.flatnonzero(np.concatenate([[True], apart]))
        sums = np.add.reduceat(areas, starts)
        offsets, areas = np.add.reduceat(areas * offsets, starts) / sums, sums
    merged = len(offsets) > MAX_LINES
    while len(offsets) > MAX_LINES:
        # Rounded, so that the first of equal gaps is chosen in spite of rounding errors.
        k = int(np.diff(offsets).round(9).argmin())
        area = areas[k] + areas[k + 1]
        offsets[k] = (areas[k] * offsets[k] + areas[k + 1] * offsets[k + 1]) / area
        areas[k] = area
        offsets, areas = np.delete(offsets, k + 1), np.delete(areas, k + 1)
    return _lines(offsets, areas, merged)


def given_lines(
    hz: Sequence[float] | np.ndarray, areas: Sequence[float] | np.ndarray
) -> tuple[float, Lines]:
    """Return the centre and the lines of a multiplet that is given line by line.

    For lines that do not follow the first-order rule: measured or simulated ones.

    Parameters
    ----------
    hz : sequence of float, length n
        Place of each line in Hz, in any order; those within `SAME_LINE` are one.
    areas : sequence of float, length n
        In any unit.

    Returns
    -------
    float
        Mean of the places, weighted by area, in Hz.
    Lines
        Offsets from it; the areas sum to 1.

    Raises
    ------
    ValueError
        If there is no line or more than `MAX_GIVEN_LINES`, if an area is not above 0, or if a line
        is more than `MAX_OFFSET` from the centre.
    """
    places, sizes = np.array(hz, dtype=np.float64), np.array(areas, dtype=np.float64)
    if places.ndim != 1 or places.shape != sizes.shape:
        raise ValueError(
            f"places and areas of lines have the shapes {places.shape} and {sizes.shape}; expected"
            " one area for each place"
        )
    if not len(places) or not np.isfinite(places).all():
        raise ValueError(f"places of lines are {places[:9].tolist()}; expected one or more, in Hz")
    if not ((sizes > 0) & np.isfinite(sizes)).all():
        raise ValueError(f"areas of lines are {sizes[:9].tolist()}; expected numbers above 0")
    order = places.argsort(kind="stable")
    places, sizes = places[order], sizes[order] / sizes.sum()
    starts = np.flatnonzero(np.r_[True, np.diff(places) > SAME_LINE])
    totals = np.add.reduceat(sizes, starts)
    places = np.add.reduceat(sizes * places, starts) / totals
    if len(places) > MAX_GIVEN_LINES:
        raise ValueError(
            f"a multiplet has {len(places)} lines; expected at most {MAX_GIVEN_LINES}: divide it at"
            " its widest gap, or leave out its weakest lines"
        )
    centre = float(totals @ places)
    lines = _lines(places - centre, totals)
    furthest = float(np.abs(lines.offsets).max())
    if furthest > MAX_OFFSET:
        raise ValueError(
            f"a line is {furthest:g} Hz from the centre of its multiplet; expected at most"
            f" {MAX_OFFSET:g}: divide the multiplet at its widest gap"
        )
    return centre, lines


def are_given_lines(lines: Lines) -> bool:
    """Return whether these are lines as `given_lines` returns them."""
    offsets, areas = lines.offsets, lines.areas
    return (
        offsets.ndim == 1
        and offsets.shape == areas.shape
        and 1 <= len(offsets) <= MAX_GIVEN_LINES
        and bool((np.diff(offsets) > 0).all() and (np.abs(offsets) <= MAX_OFFSET).all())
        and bool((areas > 0).all() and abs(areas.sum() - 1) <= 1e-6)
        and bool(abs(areas @ offsets) <= 1e-3)
    )


@lru_cache(maxsize=len(PARTNERS))
def _splitting(symbol: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the offsets, in units of the coupling, and the area ratios of one splitting."""
    n_neighbours = PARTNERS[symbol]
    return (
        np.arange(n_neighbours + 1) - n_neighbours / 2,
        pascal_row(n_neighbours) / 2**n_neighbours,
    )


def _lines(
    offsets: np.ndarray, areas: np.ndarray, merged: bool = False, resolved: bool = True
) -> Lines:
    offsets = offsets - areas @ offsets
    # One object is shared by all multiplets of this kind and couplings.
    offsets.setflags(write=False)
    areas.setflags(write=False)
    return Lines(offsets, areas, merged, resolved)
