"""Multiplets as the experimental part of a paper prints them: one line of text for a compound.

For example "ethyl acetate: 1H NMR (400 MHz, CDCl3) δ 4.12 (q, J = 7.1 Hz, 2H), 2.04 (s, 3H), 1.26
(t, J = 7.1 Hz, 3H).", the form that the journals of the American Chemical Society ask for.
"""

import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import pandas as pd

from nmrclassify.files import quoted
from nmrclassify.files.tables import TableError
from nmrclassify.nmr.compounds import MAX_NAME, Compounds
from nmrclassify.nmr.multiplets import MAX_LINES, Lines, parse_tree
from nmrclassify.nmr.published_multiplets import ab_quartet, is_ab_quartet

COLUMNS = ("compound", "ppm", "kind", "j_hz", "protons", "mhz", "solvent")
MAX_REPORTS = 2_000
MAX_ENTRIES = 64  # of one report
SHARED = 0.2  # protons: multiplets that overlap share their simulated lines
LONGEST_INTRODUCTION = 300  # characters between "1H NMR" and the first shift
LONGEST_ENTRY = 400  # characters in the brackets behind a shift

_NMR = re.compile(r"NMR", re.IGNORECASE)
_PROTON_BEFORE = re.compile(r"(?:[1¹]\s?|(?<!\w))H[\s-]{0,2}$", re.IGNORECASE)
_PROTON_BEHIND = re.compile(r"[\s-]{0,2}[1¹]H\b", re.IGNORECASE)
_SHIFT = r"[-+−]?\d{1,2}(?:\.\d{0,5})?"
_ENTRY = re.compile(rf"(?<![\w.,-])({_SHIFT}(?:\s*(?:[-‒–—−]|to)\s*{_SHIFT})?)\s*(?:ppm\s*)?\(")
_BETWEEN = re.compile(r"[\s,;.]*(?:and\s+)?(?:δH?\s*=?\s*)?")
_DELTA = re.compile("δ")
_MHZ = re.compile(r"(\d{2,4}(?:\.\d{1,6})?)\s*MHz", re.IGNORECASE)
_NO_SOLVENT = re.compile(
    r"MHz|[δΔ°]|\bppm\b|\d\s*K\b|\b(?:TMS|DSS|TSP|r\.?\s?t\.?)\b", re.IGNORECASE
)
_PROTONS = re.compile(r"(\d{1,3}(?:\.\d{1,3})?)\s?H(?:\s.*)?", re.DOTALL)
_COUPLING = re.compile(r"[\d¹²³⁴⁵]?J(?:[^=]{0,24}=|\s[-+.\d])|Δ")
_OF_COUPLING = re.compile(r"(?:and\s+)?[-+]?\d+(?:\.\d+)?\s*(?:Hz)?(?:\s+and\s+[\d.]+\s*(?:Hz)?)?")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")
_SHIFT_ALONE = re.compile(r"[-+−]?\d+(?:\.\d+)?(?![\w.])")
_EXPECTED = "multiplets such as 7.26 (d, J = 8.1 Hz, 2H)"


class _Report(NamedTuple):
    """What the words around the multiplets of a report say, and where it begins and ends."""

    name: str
    mhz: str
    solvent: str
    entries: list[tuple[int, str, str]]  # position, shift and what is in the brackets
    end: int


def is_report(content: str | bytes) -> bool:
    """Return whether a text has a line as this module describes, and is not a table."""
    start = content[: 2**16]
    if isinstance(start, bytes):
        start = start.replace(b"\0", b"").decode("utf-8", "replace")
    first = start.lstrip("\ufeff \t\r\n")[:1]
    found = next(_headers(start), None)
    if found is None or first in ("#", "%"):
        return False
    behind = start[found[1] : found[1] + LONGEST_INTRODUCTION]
    return any(pattern.search(behind) for pattern in (_MHZ, _DELTA, _ENTRY))


def _headers(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each "1H NMR" or "NMR 1H" begins and ends."""
    for found in _NMR.finditer(text):
        begin = max(found.start() - 8, 0)
        if before := _PROTON_BEFORE.search(text[begin : found.start()]):
            yield begin + before.start(), found.end()
        elif behind := _PROTON_BEHIND.match(text, found.end()):
            yield found.start(), behind.end()


def read_reports(text: str, name: str = "") -> pd.DataFrame:
    """Return the multiplets of all reports of a text as a table with `COLUMNS`, all of them text.

    A report begins at "1H NMR" and ends behind the last shift with brackets; spectra of other
    nuclei are passed over. Its name is what stands before it on its line, or else the line above.
    The index holds the number of the line of each multiplet.

    Parameters
    ----------
    name : str
        Of the compound of the only report, where the text does not name it.

    Raises
    ------
    TableError
        If a report has no shift with brackets, a shift without, or more than `MAX_ENTRIES`; or if
        there are more than `MAX_REPORTS`.
    """
    headers = list(islice(_headers(text), MAX_REPORTS + 1))
    if len(headers) > MAX_REPORTS:
        raise TableError(f"the text has more than {MAX_REPORTS:,} reports; split it")
    rows, index = [], []
    names: dict[str, int] = {}
    end, line, counted = 0, 1, 0
    for k, header in enumerate(headers):
        stop = headers[k + 1][0] if k + 1 < len(headers) else len(text)
        default = name if name and len(headers) == 1 else f"compound {k + 1}"
        report = _report(text, header, end, stop, default)
        end = report.end
        names[report.name] = names.get(report.name, 0) + 1
        label = report.name
        if names[label] > 1:
            label = f"{label[: MAX_NAME - 6]} ({names[label]})"
        for position, shift, inside in report.entries:
            line, counted = line + text.count("\n", counted, position), position
            rows.append((label, shift, *_fields(inside), report.mhz, report.solvent))
            index.append(line)
    return pd.DataFrame(rows, index=index, columns=list(COLUMNS), dtype=object)


def _report(text: str, header: tuple[int, int], start: int, stop: int, default: str) -> _Report:
    """Read the report at a header; `start` is the end of the report before, `stop` the next one."""
    begin, behind = header
    line = text.count("\n", 0, begin) + 1
    body = text[behind:stop]
    if re.search(r"\d\.\d", body[:2000]) is None:
        body = _DECIMAL_COMMA.sub(".", body)
    found = _ENTRY.search(body, 0, LONGEST_INTRODUCTION)
    if found is None:
        raise TableError(
            f"line {line}: there is no shift with brackets behind {quoted(text[begin:behind])};"
            f" expected {_EXPECTED}"
        )
    introduction = body[: found.start()]
    entries, closed, at = list[tuple[int, str, str]](), None, 0
    while found is not None:
        if len(entries) == MAX_ENTRIES:
            raise TableError(
                f"line {line}: the report has more than {MAX_ENTRIES} multiplets; split it"
            )
        closed = _closing(body, found.end())
        if closed is None:
            raise TableError(
                f"line {line}: the bracket behind {quoted(found[1])} is not closed; expected"
                f" {_EXPECTED}"
            )
        entries.append((behind + found.start(), found[1], body[found.end() : closed]))
        between = _BETWEEN.match(body, closed + 1)
        at = between.end() if between else closed + 1
        found = _ENTRY.match(body, at)
    rest = body[at:].split("\n", 1)[0]
    if _SHIFT_ALONE.match(rest):
        raise TableError(f"line {line}: {quoted(rest[:30])} has no brackets; expected {_EXPECTED}")
    mhz = _MHZ.search(introduction)
    return _Report(
        _name(text, start, begin) or default,
        mhz[1] if mhz else "",
        _solvent(introduction),
        entries,
        behind + (closed or 0) + 1,
    )


def _closing(text: str, opened: int) -> int | None:
    """Return where the bracket that was opened before `opened` is closed."""
    depth = 1
    for k in range(opened, min(len(text), opened + LONGEST_ENTRY)):
        depth += (text[k] in "([") - (text[k] in ")]")
        if not depth:
            return k
    return None


def _name(text: str, start: int, stop: int) -> str:
    """Return the name of a compound: what stands before its report, or else on the line above.

    The rest of the line where the report before ends, at `start`, is no name.
    """
    lines = text[max(start, stop - 2000) : stop].split("\n")
    above = [line for line in lines[bool(start) : -1] if line.strip()]
    for line in [lines[-1] * (len(lines) > 1 or not start), *above[-1:]]:
        name = line.strip(" \t\r:;,.–—-*#•")
        if name and len(name) <= MAX_NAME and "NMR" not in name:
            return name
    return ""


def _solvent(introduction: str) -> str:
    """Return the solvent that the brackets behind "1H NMR" state; empty if there is none."""
    brackets = re.search(r"[(\[]((?:[^()\[\]]|\([^()]*\))*)[)\]]", introduction)
    parts = re.split(r"[,;]\s*", brackets[1] if brackets else introduction)
    parts = [" ".join(part.strip(" :=").split()) for part in parts]
    return next((part[:40] for part in parts if part and not _NO_SOLVENT.search(part)), "")


def _fields(inside: str) -> tuple[str, str, str]:
    """Return kind, couplings and protons of what stands in brackets; assignments are left out.

    The order does not matter: "2H, d, J = 8.1 Hz" is the same as "d, J = 8.1 Hz, 2H".
    """
    kind, broad, couplings, protons = "", "", list[str](), ""
    for field in _at_commas(" ".join(inside.split())):
        if not protons and (found := _PROTONS.fullmatch(field)):
            protons = found[1]
        elif _COUPLING.match(field) or (couplings and _OF_COUPLING.fullmatch(field)):
            couplings.append(field)
        elif field.lower().rstrip(".") in ("br", "broad", "b"):
            broad = "br "
        elif not kind and _is_kind(field):
            kind = field
    return broad * (not kind.lower().startswith("b")) + kind, ", ".join(couplings), protons


def _at_commas(text: str) -> list[str]:
    """Return what stands between commas and semicolons that are in no brackets."""
    fields, depth = [""], 0
    for character in text:
        depth += (character in "([") - (character in ")]")
        if character in ",;" and not depth:
            fields.append("")
        else:
            fields[-1] += character
    return [field.strip() for field in fields]


def _is_kind(text: str) -> bool:
    try:
        return is_ab_quartet(text) or bool(parse_tree(text))
    except ValueError:
        return False


def report_line(
    compounds: Compounds, compound: int, mhz: float | None = None, solvent: str = ""
) -> str:
    """Return a compound as such a line, which `read_reports` reads back.

    Shifts are rounded to .001 ppm and couplings to .1 Hz. The given lines of an m are
    printed as one over their range, or as an AB quartet if they are one.

    Parameters
    ----------
    compound : int
        As an index into the library.
    mhz : float, optional
        Frequency of the spectrometer; needed where lines are given.
    solvent : str
        As it is to be printed.

    Raises
    ------
    ValueError
        If the compound has given lines, and no frequency is stated.
    """
    first = compounds.first_multiplet[compound : compound + 2]
    multiplets = sorted(range(*first), key=lambda m: -compounds.ppm[m])
    stated = ", ".join(part for part in (f"{mhz:g} MHz" if mhz else "", solvent) if part)
    entries = ", ".join(_printed(compounds, m, mhz) for m in multiplets)
    brackets = f" ({stated})" if stated else ""
    return f"{compounds.names[compound]}: 1H NMR{brackets} δ {entries}."


def _printed(compounds: Compounds, multiplet: int, mhz: float | None) -> str:
    kind, couplings = compounds.kinds[multiplet], compounds.couplings[multiplet]
    shift, difference = _shift(compounds.ppm[multiplet]), ""
    given = compounds.given[multiplet] if compounds.given else None
    if given is not None and kind.endswith("m"):
        if mhz is None:
            raise ValueError(
                f"{compounds.names[compounds.compound[multiplet]]!r} has given lines; expected the"
                " frequency in MHz, which their range in ppm depends on"
            )
        if (apart := _ab_difference(given, couplings)) is not None:
            kind, difference = "ABq", f", Δν = {apart:.1f} Hz"
        else:
            # The lines of a hump stand in the middle of their parts of the range.
            share = 1.0 if given.resolved else MAX_LINES / (MAX_LINES - 1)
            ends = compounds.ppm[multiplet] + share * given.offsets[[-1, 0]] / mhz
            shift, couplings = "–".join(map(_shift, ends)), ()
    values = ", ".join(f"{value:.1f}" for value in couplings)
    written = f"J = {values} Hz" if values else ""
    count = compounds.protons[multiplet]
    if given is not None and abs(count - round(count)) < SHARED and count > 1 - SHARED:
        count = round(count)  # simulated multiplets that overlap share their lines
    protons = f"{count:.3g}H"
    return f"{shift} ({', '.join(part for part in (kind, written) if part)}{difference}, {protons})"


def _shift(ppm: float) -> str:
    text = f"{ppm:.3f}"
    return text[:-1] if text.endswith("0") else text


def _ab_difference(lines: Lines, couplings: tuple[float, ...]) -> float | None:
    """Return the shift difference in Hz if lines are an AB quartet of this coupling, or None."""
    if len(couplings) != 1 or len(lines.offsets) != 4:
        return None
    apart = float(lines.offsets[3] + lines.offsets[2])
    difference = float(np.sqrt(max(apart**2 - couplings[0] ** 2, 0.0)))
    if difference <= 0 or couplings[0] <= 0:
        return None
    expected = ab_quartet(couplings[0], difference)
    same = np.allclose(lines.offsets, expected.offsets, atol=0.01)
    return difference if same and np.allclose(lines.areas, expected.areas, atol=1e-3) else None
