"""Spectra and FIDs in JCAMP-DX; nmrglue parses them."""

import re
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from nmrclassify.files import quoted
from nmrclassify.mixtures.spectrum import (
    Spectrum,
    SpectrumError,
    checked_spectrum,
    parsed,
    transform_fid,
)

# The first label of a file; a comment of a table may begin with ##, too.
_TITLE = re.compile(rb"(\xef\xbb\xbf)?\s*##\s*TITLE\s*=", re.IGNORECASE)


def is_jcamp(content: bytes) -> bool:
    """Return whether a file is in JCAMP-DX."""
    return _TITLE.match(content) is not None


def read_jcamp(content: bytes) -> Spectrum:
    """Read a spectrum, or a FID with a real and an imaginary part.

    Raises
    ------
    SpectrumError
        If it holds neither, is damaged, or is not of protons.
    """
    from nmrglue.fileio import jcampdx

    def read() -> Spectrum:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.dx"
            # Windows-1252 has a character for nearly every byte; nmrglue reads UTF-8.
            path.write_text(content.decode("cp1252", "replace"), encoding="utf-8")
            dic, data = jcampdx.read(str(path))
        if data is None:
            raise SpectrumError("the JCAMP-DX file has no XYDATA or NTUPLES; expected a spectrum")
        if "FID" in " ".join(dic.get("DATATYPE", [])).upper():
            return _of_fid(dic, data)
        heights = data[0] if isinstance(data, list) else data
        return _of_spectrum(dic, heights)

    return parsed("JCAMP-DX", read)


def _of_spectrum(dic: dict[str, list[str]], heights: np.ndarray) -> Spectrum:
    value = partial(_value, dic)
    first, last, unit = _axis(value)
    x = np.linspace(first, last, len(heights))
    mhz = float(value(".OBSERVEFREQUENCY")) if value(".OBSERVEFREQUENCY") else None
    if unit == "HZ":
        if mhz is None:
            raise SpectrumError(
                "the axis is in Hz, and .OBSERVE FREQUENCY is missing; export it in ppm"
            )
        x = x / mhz
        x = x + _shift(value, x, heights)
    elif unit != "PPM":
        raise SpectrumError(f"the axis is in {quoted(unit)}; expected PPM or HZ")
    return checked_spectrum(x, heights, mhz, "JCAMP-DX", _metadata(value))


def _of_fid(dic: dict[str, list[str]], data: np.ndarray | list[np.ndarray]) -> Spectrum:
    """Transform a FID.

    The reference is the stated one: a point and its ppm, or the frequencies of Bruker; without
    them, the centre is that of water.
    """
    from nmrglue.fileio import bruker

    value = partial(_value, dic)
    parts = data if isinstance(data, list) else [data]
    if len(parts) != 2 or any(part is None for part in parts) or len(parts[0]) != len(parts[1]):
        raise SpectrumError(
            "the JCAMP-DX file holds a FID without an imaginary part; expected real and imaginary"
            " values as NTUPLES, or a spectrum: process it and export again"
        )
    if not value(".OBSERVEFREQUENCY"):
        raise SpectrumError(
            "the FID has no .OBSERVE FREQUENCY; expected it in MHz: export it again"
        )
    first, last, unit = _axis(value)
    seconds = (last - first) * {"SECONDS": 1.0, "S": 1.0, "SEC": 1.0, "MILLISECONDS": 1e-3}.get(
        unit, np.nan
    )
    if not seconds > 0:
        raise SpectrumError(
            f"the FID lasts from {first:g} to {last:g} {quoted(unit)}; expected seconds, rising"
        )
    fid = np.asarray(parts[0]) + 1j * np.asarray(parts[1])
    width, mhz = (len(fid) - 1) / seconds, float(value(".OBSERVEFREQUENCY"))
    carrier = 4.7 * mhz
    stated = _reference(value)
    if value("$BF1") and value("$SFO1"):
        carrier = (float(value("$SFO1")) - float(value("$BF1"))) * 1e6
        mhz = float(value("$BF1"))
    elif stated is not None:
        carrier = stated[1] * mhz + (stated[0] / len(fid) - 0.5) * width
    if value("$DECIM") and value("$DSPFVS"):
        filtered = {key: float(value(f"${key}") or 0) for key in ("DECIM", "DSPFVS", "GRPDLY")}
        fid = bruker.remove_digital_filter({"acqus": filtered}, fid)
    metadata = _metadata(value)
    ppm, heights = transform_fid(fid, width, carrier, mhz)
    return checked_spectrum(ppm, heights, mhz, "JCAMP-DX, from the FID", metadata)


def _value(dic: dict[str, list[str]], name: str) -> str:
    return dic[name][0].split("$$")[0].strip() if name in dic else ""


def _axis(value: Callable[[str], str]) -> tuple[float, float, str]:
    """Return the first and the last value of the axis, and its unit in capitals."""
    if "NTUPLES" in value("DATACLASS").upper() or not value("FIRSTX"):
        column = [s.strip() for s in value("SYMBOL").split(",")].index("X")
        first, last, unit = (value(name).split(",")[column] for name in ("FIRST", "LAST", "UNITS"))
    else:
        first, last, unit = value("FIRSTX"), value("LASTX"), value("XUNITS")
    return float(first), float(last), unit.strip().upper()


def _metadata(value: Callable[[str], str]) -> dict[str, str]:
    solvent = value(".SOLVENTNAME") or value("$SOLVENT").strip("<> ")
    metadata = {
        "nucleus": value(".OBSERVENUCLEUS").replace("^", ""),
        "solvent": solvent,
        "pulse program": value(".PULSESEQUENCE") or value("$PULPROG").strip("<> "),
        "temperature": f"{value('$TE')} K" if value("$TE") else "",
        "scans": value(".AVERAGES"),
    }
    if metadata["nucleus"] not in ("", "1H"):
        raise SpectrumError(f"the nucleus is {quoted(metadata['nucleus'])}; expected 1H")
    return metadata


def _shift(value: Callable[[str], str], x: np.ndarray, heights: np.ndarray) -> float:
    """Return what is to be added to an axis in Hz over MHz, from the stated reference."""
    stated = _reference(value)
    if stated is not None and 0 <= stated[0] < len(heights):
        return stated[1] - float(x[stated[0]])
    if value("$OFFSET"):  # of Bruker: the ppm of the left edge
        return float(value("$OFFSET")) - float(x.max())
    return 0.0


def _reference(value: Callable[[str], str]) -> tuple[int, float] | None:
    """Return a point, from 0, and its ppm, if they are stated."""
    stated = [part.strip() for part in value(".SHIFTREFERENCE").split(",")]
    # Where, compound, number of the point, its ppm.
    return (int(float(stated[2])) - 1, float(stated[3])) if len(stated) == 4 else None
