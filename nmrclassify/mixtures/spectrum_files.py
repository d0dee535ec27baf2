"""Spectra as spectrometers write them: Bruker, Varian/Agilent, NMRPipe, JCAMP-DX and nmrML.

A folder or a zip archive may hold an experiment of Bruker or Varian, or one file of the other
formats. Processed spectra are preferred; a FID is apodised, zero-filled, Fourier transformed and
phased. nmrglue [1]_ parses all formats but nmrML.

References
----------
.. [1] J. J. Helmus and C. P. Jaroniec, "Nmrglue", J. Biomol. NMR 55, 355 (2013).
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from nmrclassify.files import quoted
from nmrclassify.mixtures.archives import ZIP, ArchiveError, files_below, unpack
from nmrclassify.mixtures.jcamp import is_jcamp, read_jcamp
from nmrclassify.mixtures.nmrml import is_nmrml, read_nmrml
from nmrclassify.mixtures.spectrum import (
    MAX_BYTES,
    Spectrum,
    SpectrumError,
    checked_spectrum,
    parsed,
    transform_fid,
)

# What is read of an experiment; nothing else is taken out of an archive.
_EXPERIMENT = {"acqus", "procs", "1r", "fid", "procpar"}
_SINGLE = re.compile(r".*\.(dx|jdx|jcamp|nmrml|ft|ft1)$", re.IGNORECASE)


def is_instrument_file(content: bytes) -> bool:
    """Return whether a file is in one of the formats of this module, and not a table."""
    start = content[:4096]
    return start.startswith(ZIP) or is_jcamp(start) or is_nmrml(start) or _is_nmrpipe(content)


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
        (is_nmrml, read_nmrml),
        (_is_nmrpipe, _nmrpipe),
        (is_jcamp, read_jcamp),
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
        return parsed("Bruker", lambda: _bruker_processed(folder))
    if (folder / "procpar").is_file():
        return parsed("Varian", lambda: _varian(folder))
    return parsed("Bruker", lambda: _bruker_fid(folder))


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
    return checked_spectrum(ppm, data, mhz, "Bruker, processed spectrum", _bruker_metadata(dic))


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
    ppm, heights = transform_fid(fid, float(acqus["SW_h"]), carrier, mhz)
    return checked_spectrum(ppm, heights, mhz, "Bruker, from the FID", _bruker_metadata(dic))


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
    ppm, heights = transform_fid(fid, width, left * mhz - width / 2, mhz)
    nucleus = str(value("tn", "H1"))
    metadata = {
        "nucleus": re.sub(r"^([A-Za-z]+)(\d+)$", r"\2\1", nucleus),
        "solvent": value("solvent", ""),
        "pulse program": value("seqfil", ""),
        "temperature": f"{float(value('temp')) + 273.15:g} K" if "temp" in parameters else "",
        "scans": value("nt", ""),
    }
    return checked_spectrum(ppm, heights, mhz, "Varian, from the FID", metadata)


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
            ppm, heights = transform_fid(data, width, carrier, mhz)
            return checked_spectrum(ppm, heights, mhz, "NMRPipe, from the FID", {})
        right = float(dic[f"{axis}ORIG"])  # Hz of the last point
        size = len(data)
        ppm = (right + np.arange(size)[::-1] * width / size) / mhz
        return checked_spectrum(ppm, data.real, mhz, "NMRPipe", {})

    return parsed("NMRPipe", read)
