"""Spectra and FIDs in nmrML [1]_, an XML format.

References
----------
.. [1] D. Schober et al., "nmrML", Anal. Chem. 90, 649 (2018).
"""

import base64
import re
import zlib
from xml.etree import ElementTree

import numpy as np

from nmrclassify.files import quoted
from nmrclassify.mixtures.spectrum import (
    MAX_BYTES,
    Spectrum,
    SpectrumError,
    checked_spectrum,
    parsed,
    transform_fid,
)

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


def is_nmrml(content: bytes) -> bool:
    """Return whether a file is in nmrML."""
    return b"<nmrML" in content[:4096]


def read_nmrml(content: bytes) -> Spectrum:
    """Read the first spectrum1D, or else the FID.

    Raises
    ------
    SpectrumError
        If it holds neither, is damaged, or declares entities.
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
        mhz = _number(parameters, "irradiationFrequency", hertz=True)
        solvent = root.find(".//sampleContainer/../solventType/.//cvTerm")
        metadata = {"solvent": "" if solvent is None else solvent.get("name", "")}
        spectrum = root.find(".//spectrum1D")
        if spectrum is not None and spectrum.find(".//spectrumDataArray") is not None:
            data = _array(spectrum.find(".//spectrumDataArray"))
            axis = spectrum.find(".//xAxis")
            if axis is None:
                raise SpectrumError("the spectrum has no xAxis; expected startValue and endValue")
            unit = axis.get("unitName", "ppm")
            if "ppm" not in unit and "parts per million" not in unit:
                raise SpectrumError(f"the axis is in {quoted(unit)}; expected ppm")
            ends = float(axis.get("startValue", "nan")), float(axis.get("endValue", "nan"))
            ppm = np.linspace(*ends, len(data))
            return checked_spectrum(ppm, data.real, mhz, "nmrML, processed spectrum", metadata)
        fid = root.find(".//acquisition1D/fidData")
        if fid is None or mhz is None:
            raise SpectrumError("the nmrML file has no spectrum1D, and no FID with its frequency")
        width = _number(parameters, "sweepWidth")
        if width is None:
            raise SpectrumError("the FID has no sweepWidth; expected it in Hz")
        if width < 200:  # some writers give ppm
            width *= mhz
        centre = _number(parameters, "effectiveExcitationField", hertz=True)
        carrier = 4.7 * mhz if centre is None else (centre - mhz) * 1e6
        ppm, heights = transform_fid(_array(fid), width, carrier, mhz)
        return checked_spectrum(ppm, heights, mhz, "nmrML, from the FID", metadata)

    return parsed("nmrML", read)


def _number(parameters: ElementTree.Element | None, name: str, hertz: bool = False) -> float | None:
    """Return a value of the acquisition; a frequency in MHz, whatever its unit."""
    element = None if parameters is None else parameters.find(f".//{name}")
    if element is None or not element.get("value"):
        return None
    value = float(element.get("value", "nan"))
    return value / 1e6 if hertz and value > 1e5 else value


def _array(element: ElementTree.Element | None) -> np.ndarray:
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
