"""Multiplets as papers print them, where the first-order rule does not give their lines.

A multiplet whose couplings are not known is printed as a range of shifts: "3.53-3.49 (m)". Two
coupled protons whose shifts differ by little are an AB quartet: four lines of which the inner ones
are higher (J. Keeler, Understanding NMR Spectroscopy, 2nd ed., section 12.1).
"""

import re
from functools import lru_cache

import numpy as np

from nmrclassify.files import quoted
from nmrclassify.files.tables import decimal, ends
from nmrclassify.nmr.multiplets import MAX_LINES, MAX_OFFSET, Lines, parse_tree

MAX_DIFFERENCE = MAX_OFFSET  # Hz, between the shifts of an AB quartet
SHARPEST = 0.1  # Hz: a range that is narrower is one shift
_AB = re.compile(r"(?:q ?\(ab\)|ab ?(?:q|quartet|quadruplet|system|pattern)?)")
_DIFFERENCE = re.compile(
    r"[,;\s]*(?:Δ\s?[νδvAB]{0,4}|delta nu|dnu)\s?=\s?([\d.]{1,12})\s?(Hz|ppm)?[.,;\s]*",
    re.IGNORECASE,
)


def parse_shift(text: str) -> tuple[float, float]:
    """Return the lowest and the highest ppm of "3.51", or of a range; NaN for anything else."""
    low, high = sorted(map(decimal, (parts := ends(text))[:1] + parts[-1:]))
    return low, high


def split_difference(couplings: str, mhz: float) -> tuple[str, float | None]:
    """Return couplings without "Δν = 35.1 Hz" behind them, and that difference in Hz, or None."""
    found = _DIFFERENCE.search(couplings[:200])
    if found is None:
        return couplings, None
    value = decimal(found[1]) * (mhz if found[2] and found[2].lower() == "ppm" else 1.0)
    return couplings[: found.start()] + ";" + couplings[found.end() :], value


def is_ab_quartet(kind: str) -> bool:
    """Return whether a kind is called an AB quartet or system."""
    return _AB.fullmatch(re.sub(r"[\s.-]+", " ", kind[:100].lower()).strip()) is not None


@lru_cache(maxsize=4096)
def ab_quartet(coupling: float, difference: float) -> Lines:
    """Return the four lines of two coupled protons.

    Parameters
    ----------
    coupling : float
        J in Hz.
    difference : float
        Between the two shifts, in Hz.

    Raises
    ------
    ValueError
        If one of them is not above 0, or too large.
    """
    if not (coupling > 0 and 0 < difference <= MAX_DIFFERENCE):
        raise ValueError(
            f"an AB quartet has a coupling of {coupling:g} Hz and a shift difference of"
            f" {difference:g} Hz; expected both above 0, at most {MAX_DIFFERENCE:g}"
        )
    apart = float(np.hypot(coupling, difference))
    inner, outer = (apart - coupling) / 2, (apart + coupling) / 2
    high, low = (1 + coupling / apart) / 4, (1 - coupling / apart) / 4
    return _shared(np.array([-outer, -inner, inner, outer]), np.array([low, high, high, low]))


@lru_cache(maxsize=4096)
def spread(width: float) -> Lines:
    """Return a flat hump of `MAX_LINES` lines over a width in Hz, flagged as not resolved."""
    offsets = (np.arange(MAX_LINES) - (MAX_LINES - 1) / 2) * (width / MAX_LINES)
    return _shared(offsets, np.full(MAX_LINES, 1 / MAX_LINES), resolved=False)


def _shared(offsets: np.ndarray, areas: np.ndarray, resolved: bool = True) -> Lines:
    offsets.setflags(write=False)
    areas.setflags(write=False)
    return Lines(offsets, areas, resolved=resolved)


def published_lines(
    kind: str, width: float, couplings: list[float], difference: float | None
) -> Lines | None:
    """Return the lines of an AB quartet, or of an m over a range; None for any other multiplet.

    The shift difference of an AB quartet may be left out if its range is known: its outer lines
    are the ends.

    Parameters
    ----------
    kind : str
        As printed.
    width : float
        Of the range of shifts, in Hz; 0 if there is none.
    couplings : list of float
        In Hz.
    difference : float or None
        Between the shifts of an AB quartet, in Hz.

    Raises
    ------
    ValueError
        If the kind is unknown, the range too wide, or an AB quartet lacks a value.
    """
    if width > 2 * MAX_OFFSET:
        raise ValueError(
            f"the range of a multiplet is {width:g} Hz wide; expected at most {2 * MAX_OFFSET:g}:"
            " divide it"
        )
    if is_ab_quartet(kind):
        if len(couplings) != 1:
            raise ValueError(
                f"an AB quartet has {len(couplings)} couplings; expected one, and the shift"
                " difference as Δν"
            )
        if difference is None:
            difference = _difference_in(width, couplings[0])
        return ab_quartet(couplings[0], difference)
    if parse_tree(kind)[1] == ("m",) and not couplings and width > SHARPEST:
        return spread(width)
    return None


def _difference_in(width: float, coupling: float) -> float:
    """Return the shift difference of an AB quartet from the distance of its outer lines, in Hz."""
    apart = width - coupling
    if not width:
        raise ValueError(
            "an AB quartet without its shift difference; expected Δν in Hz (column dnu_hz), a range"
            " of ppm from the first line to the last, or two doublets"
        )
    if apart <= coupling:
        raise ValueError(
            f"the range of an AB quartet is {width:g} Hz wide; expected more than twice its"
            f" coupling of {coupling:g} Hz: give the shift difference Δν"
        )
    return float(np.sqrt(apart**2 - coupling**2))


def difference_of(text: str, mhz: float) -> float | None:
    """Return the shift difference that a cell states, in Hz; None if it is empty.

    Raises
    ------
    ValueError
        If it is no number above 0.
    """
    if not text:
        return None
    shown = text.strip().lower()
    in_ppm = shown.endswith("ppm")
    number = shown.removesuffix("ppm").removesuffix("hz").strip()
    value = decimal(number) * (mhz if in_ppm else 1.0)
    if not 0 < value <= MAX_DIFFERENCE:
        raise ValueError(
            f"dnu_hz is {quoted(text)}; expected the shift difference of an AB quartet in Hz, at"
            f" most {MAX_DIFFERENCE:g}"
        )
    return value
