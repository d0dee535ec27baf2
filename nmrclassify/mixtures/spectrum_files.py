"""Spectra as spectrometers write them: Bruker, Varian/Agilent, NMRPipe, JCAMP-DX and nmrML.

A folder or a zip archive may hold an experiment of Bruker or Varian, or one file of the other
formats. Processed spectra are preferred; a FID is apodised, zero-filled, Fourier transformed and
phased. nmrglue [1]_ parses all formats but nmrML.

References
----------
.. [1] J. J. Helmus and C. P. Jaroniec, "Nmrglue", J. Biomol. NMR 55, 355 (2013).
"""

import base64
import re
import tempfile
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from nmrclassify.files import quoted
from nmrclassify.mixtures.archives import ZIP, ArchiveError, files_below, unpack
from nmrclassify.nmr.axis import MHZ_BOUNDS

MAX_BYTES = 64 * 2**20  # of a file, packed or not
MAX_POINTS = 2**20
FEWEST_POINTS = 512
LINE_BROADENING = 0.3  # Hz, of the apodisation of a FID
FID_STEP = 0.35  # Hz between the points of a transformed FID, at most: lines are fitted to them
MAX_VALUE = 1e30

# What is read of an experiment; nothing else is taken out of an archive.
_EXPERIMENT = {"acqus", "procs", "1r", "fid", "procpar"}
_SINGLE = re.compile(r".*\.(dx|jdx|jcamp|nmrml|ft|ft1)$", re.IGNORECASE)
# Its first label; a comment of a table may begin with ##, too.
_JCAMP = re.compile(rb"(\xef\xbb\xbf)?\s*##\s*TITLE\s*=", re.IGNORECASE)


class SpectrumError(ValueError):
    """A file that cannot be read as a spectrum: value, expectation, remedy."""


@dataclass(frozen=True)
class Spectrum:
    """A one-dimensional spectrum.

    Attributes
    ----------
    ppm : np.ndarray, shape (n,)
        Ascending, evenly spaced.
    heights : np.ndarray, shape (n,)
        Real part, in the units of the file.
    mhz : float or None
        Frequency of the nucleus; None if the file does not state it.
    form : str
        The format and what was done to read it.
    metadata : dict
        What the file states of the experiment, such as "solvent" or "temperature".
    """

    ppm: np.ndarray
    heights: np.ndarray
    mhz: float | None
    form: str
    metadata: dict[str, str] = field(default_factory=dict)


def is_instrument_file(content: bytes) -> bool:
    """Return whether a file is in one of the formats of this module, and not a table."""
    start = content[:4096]
    return (
        start.startswith(ZIP)
        or _JCAMP.match(start) is not None
        or b"<nmrML" in start
        or _is_nmrpipe(content)
    )


def read_spectrum(source: Path | bytes) -> Spectrum:
    """Read a folder, an archive or a file.

    Parameters
    ----------
    source : Path or bytes
        A folder or file, or the content of a file.

    Raises
    ------
    SpectrumError
        If it holds no such spectrum, or is too large.
    OSError
        If it cannot be read.
    """
    if isinstance(source, Path):
        if source.is_dir():
            return _of_folder(source)
        if source.stat().st_size > MAX_BYTES:
            raise SpectrumError(
                f"{source.name} has {source.stat().st_size:,} bytes; expected {MAX_BYTES:,} at most"
            )
        source = source.read_bytes()
    if len(source) > MAX_BYTES:
        raise SpectrumError(f"it has {len(source):,} bytes; expected {MAX_BYTES:,} at most")
    if source.startswith(ZIP):
        with tempfile.TemporaryDirectory() as folder:
            try:
                unpack(source, Path(folder), is_part_of_spectrum)
            except ArchiveError as error:
                raise SpectrumError(str(error)) from None
            return _of_folder(Path(folder))
    for is_form, read in (
        (lambda c: b"<nmrML" in c[:4096], _nmrml),
        (_is_nmrpipe, _nmrpipe),
        (_JCAMP.match, _jcamp),
    ):
        if is_form(source):
            return read(source)
    raise SpectrumError(
        "it is no file of a spectrometer; expected a zip archive of Bruker or Varian, JCAMP-DX,"
        " nmrML or NMRPipe"
    )


def is_part_of_spectrum(name: str) -> bool:
    """Return whether a file of this name, without its folders, can be part of a spectrum."""
    return name in _EXPERIMENT or _SINGLE.match(name) is not None


def _of_folder(folder: Path) -> Spectrum:
    """Read the first experiment with one dimension of protons, or else the only spectrum file."""
    try:
        files = files_below(folder, is_part_of_spectrum)
    except ArchiveError as error:
        raise SpectrumError(str(error)) from None
    experiments = [path.parent for path in files if path.name == "1r"]
    experiments += [
        path.parent
        for path in files
        if path.name == "fid" and not any(path.parent in e.parents for e in experiments)
    ]
    problems, found = [], list[Spectrum]()
    for experiment in sorted(experiments, key=_by_number):
        try:
            found.append(_experiment(experiment))
        except SpectrumError as error:
            problems.append(f"{experiment.relative_to(folder)}: {error}")
        if len(problems) + len(found) == 32:
            break
    protons = [s for s in found if s.metadata.get("nucleus", "1H") == "1H"]
    if protons:
        first = protons[0]
        others = f", the first of {len(protons)} spectra" if len(protons) > 1 else ""
        return Spectrum(first.ppm, first.heights, first.mhz, first.form + others, first.metadata)
    if found:
        raise SpectrumError(
            f"its spectra are of {quoted(found[0].metadata['nucleus'])}; expected protons, 1H"
        )
    if problems:
        raise SpectrumError(problems[0])
    single = [path for path in files if _SINGLE.match(path.name)]
    if len(single) == 1:
        return read_spectrum(single[0])
    raise SpectrumError(
        f"it holds {len(single)} files of spectra, and no experiment; expected a folder with fid"
        " and acqus (Bruker) or procpar (Varian), or one file (.dx, .nmrML)"
    )


def _by_number(path: Path) -> list[tuple[int, str]]:
    return [(int(part) if part.isdigit() else 0, part) for part in path.parts]


def _experiment(folder: Path) -> Spectrum:
    for path in folder.iterdir():
        if path.is_file() and path.stat().st_size > MAX_BYTES:
            raise SpectrumError(
                f"{path.name} has {path.stat().st_size:,} bytes; expected {MAX_BYTES:,} at most"
            )
    if (folder / "1r").is_file():
        return _parsed("Bruker", lambda: _bruker_processed(folder))
    if (folder / "procpar").is_file():
        return _parsed("Varian", lambda: _varian(folder))
    return _parsed("Bruker", lambda: _bruker_fid(folder))


def _parsed(form: str, read: Callable[[], Spectrum]) -> Spectrum:
    """Call a reader that uses nmrglue, which raises errors of all kinds for damaged files."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except SpectrumError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise SpectrumError(
            f"the data of {form} are damaged or incomplete ({reason[:80]}); copy or export the"
            " whole experiment again"
        ) from None


def _spectrum(
    ppm: np.ndarray, heights: np.ndarray, mhz: Any, form: str, metadata: dict[str, Any]
) -> Spectrum:
    """Check the values, and bring them into ascending order."""
    heights = np.asarray(heights, dtype=np.float64)
    if heights.ndim != 1:
        raise SpectrumError(f"the data have {heights.ndim} dimensions; expected a 1D spectrum")
    if not FEWEST_POINTS <= len(heights) <= MAX_POINTS:
        raise SpectrumError(
            f"the spectrum has {len(heights):,} points; expected {FEWEST_POINTS} to {MAX_POINTS:,}"
        )
    if len(ppm) != len(heights):
        raise SpectrumError(f"there are {len(heights):,} heights for {len(ppm):,} points")
    if not np.isfinite(ppm).all() or not (np.abs(heights) <= MAX_VALUE).all():
        raise SpectrumError("the spectrum holds values that are no numbers; export it again")
    if not np.ptp(heights):
        raise SpectrumError("the spectrum is flat; expected peaks")
    order = slice(None) if ppm[0] < ppm[-1] else slice(None, None, -1)
    if not 0.01 < abs(ppm[-1] - ppm[0]) < 1000:
        raise SpectrumError(
            f"the spectrum reaches from {ppm[0]:g} to {ppm[-1]:g} ppm; expected a width of .01 to"
            " 1,000 ppm"
        )
    mhz = None if mhz is None else float(mhz)
    if mhz is not None and not MHZ_BOUNDS[0] <= mhz <= MHZ_BOUNDS[1]:
        raise SpectrumError(
            f"its frequency is {mhz:g} MHz; expected {MHZ_BOUNDS[0]:g} to {MHZ_BOUNDS[1]:g}"
        )
    stated = {
        key: " ".join(str(v).split())[:80] for key, v in metadata.items() if v not in ("", None)
    }
    return Spectrum(ppm[order], heights[order], mhz, form, stated)


def _transformed(
    fid: np.ndarray, width_hz: float, carrier_hz: float, mhz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return ppm (ascending) and heights of a FID, shape (n,), whose frequencies rise with ppm."""
    from nmrglue.process import proc_autophase, proc_base

    fid = np.array(fid, dtype=np.complex128)
    if fid.ndim != 1:
        raise SpectrumError(f"the FID has {fid.ndim} dimensions; expected one")
    if not np.isfinite(fid).all() or not fid.any():
        raise SpectrumError("the FID holds no signal, or values that are no numbers")
    fid[0] /= 2  # its integral would be twice its share: an offset of the baseline
    fid = proc_base.em(fid, lb=LINE_BROADENING / width_hz)
    points = max(2 * len(fid), width_hz / FID_STEP)
    size = min(2 ** int(np.ceil(np.log2(points))), MAX_POINTS)
    spectrum = proc_base.fft(proc_base.zf_size(fid, size))
    # The phases are found on a coarse spectrum: each step of the search sums over all points.
    coarse = proc_base.fft(proc_base.zf_size(fid[: 2**14], 2**14))
    _, (p0, p1) = proc_autophase.autops(coarse, "acme", return_phases=True, disp=False)
    heights = proc_base.ps(spectrum, p0=p0, p1=p1).real
    if np.abs(heights.min()) > heights.max():
        heights = -heights
    offsets = (np.arange(size) - size // 2) * width_hz / size
    return (carrier_hz + offsets) / mhz, heights


def _bruker_metadata(dic: dict) -> dict[str, Any]:
    acqus, procs = dic.get("acqus", {}), dic.get("procs", {})
    return {
        "nucleus": acqus.get("NUC1", procs.get("AXNUC", "")),
        "solvent": acqus.get("SOLVENT", ""),
        "pulse program": acqus.get("PULPROG", ""),
        "temperature": f"{acqus['TE']} K" if "TE" in acqus else "",
        "scans": acqus.get("NS", ""),
    }


def _bruker_processed(folder: Path) -> Spectrum:
    from nmrglue.fileio import bruker

    dic, data = bruker.read_pdata(str(folder), bin_files=["1r"])
    procs = dic["procs"]
    mhz, size = float(procs["SF"]), len(data)
    ppm = float(procs["OFFSET"]) - np.arange(size) * float(procs["SW_p"]) / mhz / size
    return _spectrum(ppm, data, mhz, "Bruker, processed spectrum", _bruker_metadata(dic))


def _bruker_fid(folder: Path) -> Spectrum:
    from nmrglue.fileio import bruker

    if not (folder / "acqus").is_file():
        raise SpectrumError("acqus is missing beside fid; expected a whole experiment of Bruker")
    dic, data = bruker.read(str(folder), bin_file="fid", read_pulseprogram=False)
    acqus = dic["acqus"]
    fid = bruker.remove_digital_filter(dic, data) if "DECIM" in acqus else data
    processed = next(iter(sorted(folder.glob("pdata/*/procs"))), None)
    mhz = float(acqus.get("BF1") or acqus["SFO1"])
    if processed is not None:  # it states the reference
        mhz = float(bruker.read_jcamp(str(processed))["SF"])
    carrier = (float(acqus["SFO1"]) - mhz) * 1e6
    ppm, heights = _transformed(fid, float(acqus["SW_h"]), carrier, mhz)
    return _spectrum(ppm, heights, mhz, "Bruker, from the FID", _bruker_metadata(dic))


def _varian(folder: Path) -> Spectrum:
    from nmrglue.fileio import varian

    dic, data = varian.read(str(folder))
    parameters = dic["procpar"]

    def value(name: str, default: Any = None) -> Any:
        if name not in parameters and default is not None:
            return default
        return parameters[name]["values"][0]

    width, mhz = float(value("sw")), float(value("reffrq", value("sfrq")))
    left = (width - float(value("rfl", "0")) + float(value("rfp", "0"))) / mhz
    # Its phases turn the other way.
    fid = np.conj(data[0] if data.ndim == 2 and len(data) == 1 else data)
    ppm, heights = _transformed(fid, width, left * mhz - width / 2, mhz)
    nucleus = str(value("tn", "H1"))
    metadata = {
        "nucleus": re.sub(r"^([A-Za-z]+)(\d+)$", r"\2\1", nucleus),
        "solvent": value("solvent", ""),
        "pulse program": value("seqfil", ""),
        "temperature": f"{float(value('temp')) + 273.15:g} K" if "temp" in parameters else "",
        "scans": value("nt", ""),
    }
    return _spectrum(ppm, heights, mhz, "Varian, from the FID", metadata)


def _is_nmrpipe(content: bytes) -> bool:
    """Return whether the header has the number that NMRPipe writes in its third value."""
    if len(content) < 2048:
        return False
    return (
        abs(float(np.frombuffer(content[8:12], "<f4")[0]) - 2.345) < 1e-3
        or abs(float(np.frombuffer(content[8:12], ">f4")[0]) - 2.345) < 1e-3
    )


def _nmrpipe(content: bytes) -> Spectrum:
    from nmrglue.fileio import pipe

    def read() -> Spectrum:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.ft1"
            path.write_bytes(content)
            dic, data = pipe.read(str(path))
        if int(dic["FDDIMCOUNT"]) != 1:
            raise SpectrumError(
                f"the data have {int(dic['FDDIMCOUNT'])} dimensions; expected a 1D spectrum"
            )
        axis = f"FDF{int(dic['FDDIMORDER1'])}"
        mhz, width = float(dic[f"{axis}OBS"]), float(dic[f"{axis}SW"])
        if not dic[f"{axis}FTFLAG"]:
            carrier = float(dic[f"{axis}CAR"]) * mhz
            ppm, heights = _transformed(data, width, carrier, mhz)
            return _spectrum(ppm, heights, mhz, "NMRPipe, from the FID", {})
        right = float(dic[f"{axis}ORIG"])  # Hz of the last point
        size = len(data)
        ppm = (right + np.arange(size)[::-1] * width / size) / mhz
        return _spectrum(ppm, data.real, mhz, "NMRPipe", {})

    return _parsed("NMRPipe", read)


def _jcamp(content: bytes) -> Spectrum:
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
            return _of_jcamp_fid(dic, data)
        heights = data[0] if isinstance(data, list) else data
        return _of_jcamp(dic, heights)

    return _parsed("JCAMP-DX", read)


def _of_jcamp(dic: dict[str, list[str]], heights: np.ndarray) -> Spectrum:
    value = partial(_jcamp_value, dic)
    first, last, unit = _jcamp_axis(value)
    x = np.linspace(first, last, len(heights))
    mhz = float(value(".OBSERVEFREQUENCY")) if value(".OBSERVEFREQUENCY") else None
    if unit == "HZ":
        if mhz is None:
            raise SpectrumError(
                "the axis is in Hz, and .OBSERVE FREQUENCY is missing; export it in ppm"
            )
        x = x / mhz
        x = x + _jcamp_shift(value, x, heights)
    elif unit != "PPM":
        raise SpectrumError(f"the axis is in {quoted(unit)}; expected PPM or HZ")
    return _spectrum(x, heights, mhz, "JCAMP-DX", _jcamp_metadata(value))


def _of_jcamp_fid(dic: dict[str, list[str]], data: np.ndarray | list[np.ndarray]) -> Spectrum:
    """Transform a FID with a real and an imaginary part.

    The reference is the stated one: a point and its ppm, or the frequencies of Bruker; without
    them, the centre is that of water.
    """
    from nmrglue.fileio import bruker

    value = partial(_jcamp_value, dic)
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
    first, last, unit = _jcamp_axis(value)
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
    stated = _jcamp_reference(value)
    if value("$BF1") and value("$SFO1"):
        carrier = (float(value("$SFO1")) - float(value("$BF1"))) * 1e6
        mhz = float(value("$BF1"))
    elif stated is not None:
        carrier = stated[1] * mhz + (stated[0] / len(fid) - 0.5) * width
    if value("$DECIM") and value("$DSPFVS"):
        filtered = {key: float(value(f"${key}") or 0) for key in ("DECIM", "DSPFVS", "GRPDLY")}
        fid = bruker.remove_digital_filter({"acqus": filtered}, fid)
    metadata = _jcamp_metadata(value)
    ppm, heights = _transformed(fid, width, carrier, mhz)
    return _spectrum(ppm, heights, mhz, "JCAMP-DX, from the FID", metadata)


def _jcamp_value(dic: dict[str, list[str]], name: str) -> str:
    return dic[name][0].split("$$")[0].strip() if name in dic else ""


def _jcamp_axis(value: Callable[[str], str]) -> tuple[float, float, str]:
    """Return the first and the last value of the axis, and its unit in capitals."""
    if "NTUPLES" in value("DATACLASS").upper() or not value("FIRSTX"):
        column = [s.strip() for s in value("SYMBOL").split(",")].index("X")
        first, last, unit = (value(name).split(",")[column] for name in ("FIRST", "LAST", "UNITS"))
    else:
        first, last, unit = value("FIRSTX"), value("LASTX"), value("XUNITS")
    return float(first), float(last), unit.strip().upper()


def _jcamp_metadata(value: Callable[[str], str]) -> dict[str, str]:
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


def _jcamp_shift(value: Callable[[str], str], x: np.ndarray, heights: np.ndarray) -> float:
    """Return what is to be added to an axis in Hz over MHz, from the stated reference."""
    stated = _jcamp_reference(value)
    if stated is not None and 0 <= stated[0] < len(heights):
        return stated[1] - float(x[stated[0]])
    if value("$OFFSET"):  # of Bruker: the ppm of the left edge
        return float(value("$OFFSET")) - float(x.max())
    return 0.0


def _jcamp_reference(value: Callable[[str], str]) -> tuple[int, float] | None:
    """Return a point, from 0, and its ppm, if they are stated."""
    stated = [part.strip() for part in value(".SHIFTREFERENCE").split(",")]
    # Where, compound, number of the point, its ppm.
    return (int(float(stated[2])) - 1, float(stated[3])) if len(stated) == 4 else None


_NUMBERS = {
    "complex64": "<c8",
    "complex128": "<c16",
    "float32": "<f4",
    "float64": "<f8",
    "int32": "<i4",
    "integer32": "<i4",
    "int64": "<i8",
    "class java.lang.integer": ">i4",
    "class java.lang.double": ">f8",
    "class java.lang.float": ">f4",
}


def _nmrml(content: bytes) -> Spectrum:
    """Read nmrML [2]_: the first spectrum1D, or else the FID.

    References
    ----------
    .. [2] D. Schober et al., "nmrML", Anal. Chem. 90, 649 (2018).
    """

    def read() -> Spectrum:
        # No entity is ever expanded: a file that declares any is refused. UTF-16 could hide one.
        if b"\x00" in content or re.search(rb"<!(DOCTYPE|ENTITY)", content, re.IGNORECASE):
            raise SpectrumError(
                "the nmrML file has a document type or entities; expected plain XML in UTF-8"
            )
        root = ElementTree.fromstring(content)
        for element in root.iter():
            element.tag = element.tag.rpartition("}")[2]
        parameters = root.find(".//acquisition1D/acquisitionParameterSet")
        mhz = _nmrml_number(parameters, "irradiationFrequency", hertz=True)
        solvent = root.find(".//sampleContainer/../solventType/.//cvTerm")
        metadata = {"solvent": "" if solvent is None else solvent.get("name", "")}
        spectrum = root.find(".//spectrum1D")
        if spectrum is not None and spectrum.find(".//spectrumDataArray") is not None:
            data = _nmrml_array(spectrum.find(".//spectrumDataArray"))
            axis = spectrum.find(".//xAxis")
            if axis is None:
                raise SpectrumError("the spectrum has no xAxis; expected startValue and endValue")
            unit = axis.get("unitName", "ppm")
            if "ppm" not in unit and "parts per million" not in unit:
                raise SpectrumError(f"the axis is in {quoted(unit)}; expected ppm")
            ends = float(axis.get("startValue", "nan")), float(axis.get("endValue", "nan"))
            ppm = np.linspace(*ends, len(data))
            return _spectrum(ppm, data.real, mhz, "nmrML, processed spectrum", metadata)
        fid = root.find(".//acquisition1D/fidData")
        if fid is None or mhz is None:
            raise SpectrumError("the nmrML file has no spectrum1D, and no FID with its frequency")
        width = _nmrml_number(parameters, "sweepWidth")
        if width is None:
            raise SpectrumError("the FID has no sweepWidth; expected it in Hz")
        if width < 200:  # some writers give ppm
            width *= mhz
        centre = _nmrml_number(parameters, "effectiveExcitationField", hertz=True)
        carrier = 4.7 * mhz if centre is None else (centre - mhz) * 1e6
        ppm, heights = _transformed(_nmrml_array(fid), width, carrier, mhz)
        return _spectrum(ppm, heights, mhz, "nmrML, from the FID", metadata)

    return _parsed("nmrML", read)


def _nmrml_number(
    parameters: ElementTree.Element | None, name: str, hertz: bool = False
) -> float | None:
    """Return a value of the acquisition; a frequency in MHz, whatever its unit."""
    element = None if parameters is None else parameters.find(f".//{name}")
    if element is None or not element.get("value"):
        return None
    value = float(element.get("value", "nan"))
    return value / 1e6 if hertz and value > 1e5 else value


def _nmrml_array(element: ElementTree.Element | None) -> np.ndarray:
    assert element is not None
    data = base64.b64decode("".join((element.text or "").split()), validate=True)
    if element.get("compressed", "false").lower() not in ("false", "none", ""):
        unpack = zlib.decompressobj()
        data = unpack.decompress(data, MAX_BYTES)
        if unpack.unconsumed_tail:
            raise SpectrumError(f"its data unpack to more than {MAX_BYTES:,} bytes")
    form = element.get("byteFormat", "").lower()
    if form not in _NUMBERS:
        raise SpectrumError(
            f"its numbers are {quoted(form)}; expected one of {', '.join(_NUMBERS)}"
        )
    values = np.frombuffer(data, _NUMBERS[form])
    if values.dtype.kind != "c" and element.tag == "fidData":  # real and imaginary by turns
        values = values[: len(values) // 2 * 2].astype(np.float64)
        values = values[::2] + 1j * values[1::2]
    return values
