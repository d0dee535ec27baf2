"""A measured spectrum: what its readers check, and how a FID becomes one."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nmrclassify.nmr.axis import MHZ_BOUNDS

MAX_BYTES = 64 * 2**20  # of a file, packed or not
MAX_POINTS = 2**20
FEWEST_POINTS = 512
LINE_BROADENING = 0.3  # Hz, of the apodisation of a FID
FID_STEP = 0.35  # Hz between the points of a transformed FID, at most: lines are fitted to them
MAX_VALUE = 1e30


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


def parsed(form: str, read: Callable[[], Spectrum]) -> Spectrum:
    """Return what a reader of a format returns; of its errors make one sentence.

    For damaged files nmrglue raises errors of all kinds.

    Raises
    ------
    SpectrumError
        If `read` raises any error.
    """
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


def checked_spectrum(
    ppm: np.ndarray, heights: np.ndarray, mhz: Any, form: str, metadata: dict[str, Any]
) -> Spectrum:
    """Return the spectrum, in ascending order of ppm.

    Parameters
    ----------
    ppm, heights : np.ndarray, shape (n,)
        Evenly spaced, rising or falling.
    mhz, form, metadata
        As in Spectrum; `mhz` may be text, and `metadata` have values of any kind.

    Raises
    ------
    SpectrumError
        If a value cannot be used.
    """
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


def transform_fid(
    fid: np.ndarray, width_hz: float, carrier_hz: float, mhz: float
) -> tuple[np.ndarray, np.ndarray]:
    """Apodise, zero-fill, Fourier transform and phase a FID.

    Parameters
    ----------
    fid : np.ndarray, shape (points,), complex
        Its frequencies rise with ppm.
    width_hz, carrier_hz : float
        Spectral width, and distance of its centre from 0 ppm.
    mhz : float
        Frequency of 0 ppm.

    Returns
    -------
    ppm, heights : np.ndarray, shape (n,)
        Ascending.

    Raises
    ------
    SpectrumError
        If the FID has several dimensions, no signal, or values that are no numbers.
    """
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
