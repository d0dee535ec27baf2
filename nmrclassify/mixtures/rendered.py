"""Rendered spectra: a mixture's FID as a spectrometer would record it, and its spectrum.

The lines of a `PeakMixture` decay exponentially in a FID of limited length, which is apodised,
zero-filled and Fourier transformed. Faults are added where a spectrometer has them: noise to the
FID, so that neighbours in the spectrum are correlated; errors of the first points, which make the
baseline roll; phase, a tilted baseline, residual water, and an axis that is off. Away from pH 7.4
the compounds are moved together to the pH of the sample (`nmr.titration`), with deviations.
"""

from dataclasses import dataclass, replace

import numpy as np

from nmrclassify.config import bounded, check
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, draw_mixture
from nmrclassify.mixtures.spectrum import Spectrum
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.titration import PH_BOUNDS, TABLE_PH, Titrations

CENTRE, SWEEP = 4.7, 14.0  # ppm: of the axis, and its width
WATER = 4.7  # ppm
WATER_LINES = 6
STANDARD_PROTONS = 9  # of DSS and TSP, in one line at 0 ppm
_BINS = 2**19  # of the frequencies; .03 Hz at most
_WIDTH_GROUPS = 6


@dataclass(frozen=True)
class RenderConfig:
    """Distributions from which a rendered spectrum is drawn."""

    n_low: int = bounded(5, 1, 2000, "fewest compounds in a mixture")
    n_high: int = bounded(20, 1, 2000, "most compounds in a mixture")
    decades: float = bounded(1.0, 0.0, 4.0, "amounts are log-uniform over this many decades")
    jitter: float = bounded(
        0.005, 0.0, 0.05, "standard deviation of the shift of each multiplet, in ppm"
    )
    common: float = bounded(
        0.5, 0.0, 2.0, "shift that a compound's multiplets share, as a multiple of the jitter"
    )
    mhz_low: float = bounded(400.0, 40.0, 1200.0, "lowest frequency of the spectrometer, in MHz")
    mhz_high: float = bounded(800.0, 40.0, 1200.0, "highest frequency of the spectrometer, in MHz")
    width_low: float = bounded(1.0, 0.5, 20.0, "narrowest width of lines at half height, in Hz")
    width_high: float = bounded(2.5, 0.5, 20.0, "largest width of lines at half height, in Hz")
    snr_low: float = bounded(
        50.0,
        2.0,
        1e6,
        "lowest ratio of the median compound's highest line to the noise's standard deviation",
    )
    snr_high: float = bounded(3000.0, 2.0, 1e6, "highest ratio of line to noise (log-uniform)")
    offset: float = bounded(0.2, 0.0, 1.0, "largest error of the axis to either side, in ppm")
    phase: float = bounded(3.0, 0.0, 90.0, "largest error of the phase to either side, in degrees")
    baseline: float = bounded(
        0.01, 0.0, 1.0, "size of the baseline's errors, relative to the highest line"
    )
    water: float = bounded(
        2.0, 0.0, 100.0, "largest area of the residual water, relative to all compounds together"
    )
    standard: float = bounded(0.5, 0.0, 1.0, "probability that the sample holds DSS or TSP at 0")
    ph_low: float = bounded(TABLE_PH, *PH_BOUNDS, "lowest pH of the sample")
    ph_high: float = bounded(TABLE_PH, *PH_BOUNDS, "highest pH of the sample")
    seconds: float = bounded(3.0, 0.2, 20.0, "length of the FID")
    broadening: float = bounded(0.3, 0.0, 10.0, "apodisation in Hz, part of the line width")
    second_order: bool = True  # simulate strongly coupled protons, where their couplings are known

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)
        for name in ("n", "mhz", "width", "snr", "ph"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if low > high:
                raise ValueError(
                    f"{name}_low is {low:g}, above {name}_high {high:g}; expected the lower first"
                )


@dataclass(frozen=True)
class RenderedMixture:
    """A rendered spectrum and its truth.

    Attributes
    ----------
    spectrum : Spectrum
        What the spectrometer's file would hold.
    truth : PeakMixture
        Compounds, amounts, shifts and ideal peaks, on an axis without offset. The shifts are
        distances from the library, including what pH and strong coupling move.
    mhz, width, snr, offset : float
        As drawn: frequency, line width in Hz, ratio of the median compound's highest line to the
        noise, error of the axis in ppm.
    standard : bool
        Whether the sample holds a reference compound at 0 ppm.
    noise : float
        Standard deviation of the noise, in the spectrum's unit: area per Hz.
    ph : float
        Of the sample.
    """

    spectrum: Spectrum
    truth: PeakMixture
    mhz: float
    width: float
    snr: float
    offset: float
    standard: bool
    noise: float
    ph: float = TABLE_PH


def render(
    compounds: Compounds, config: RenderConfig = RenderConfig(), seed: int = 0
) -> RenderedMixture:
    """Draw a mixture and render its spectrum.

    The same seed gives the same spectrum.

    Parameters
    ----------
    compounds : Compounds
        The library.

    Raises
    ------
    ValueError
        If the library holds fewer compounds than the mixture needs.
    """
    rng = np.random.default_rng(seed)
    mhz = float(rng.uniform(config.mhz_low, config.mhz_high))
    width = float(rng.uniform(config.width_low, config.width_high))
    snr = float(np.exp(rng.uniform(np.log(config.snr_low), np.log(config.snr_high))))
    offset = float(rng.uniform(-config.offset, config.offset))
    standard = bool(rng.random() < config.standard)
    ideal = PeakMixtureConfig(
        n_low=config.n_low,
        n_high=config.n_high,
        jitter=config.jitter,
        common=config.common,
        decades=config.decades,
        noise=0.0,
        gain=0.0,
        line_error=0.0,
    )
    ph, moves = _moves(compounds, config, seed)
    sample = replace(compounds, ppm=compounds.ppm + moves) if moves.any() else compounds
    if config.second_order:
        sample = second_order(sample, mhz)
    truth = draw_mixture(sample, ideal, rng, replace(FULL_AXIS, mhz=mhz))
    ppm, areas, rows = _lines(sample, truth, mhz)
    moved = (sample.ppm - compounds.ppm)[truth.multiplets]
    truth = replace(truth, shifts=truth.shifts + moved)
    # Multiplets relax at different rates.
    spread = np.exp(0.15 * rng.standard_normal(len(truth.multiplets)))
    widths = np.maximum(width * spread[rows] - config.broadening, 0.1)

    sweep = SWEEP * mhz
    n = round(config.seconds * sweep)
    time = np.arange(n) / sweep
    apodisation = np.exp(-np.pi * config.broadening * time)
    fid = _fid((ppm + offset - CENTRE) * mhz, areas + 0j, widths, time)
    highest = float(_transform(fid * apodisation, sweep).real.max())
    # Of each compound, at the mean width: its highest line alone.
    tops = np.zeros(len(truth.present))
    np.maximum.at(tops, truth.owners[rows], areas * 2 / np.pi / width)

    if standard:
        area = np.array([STANDARD_PROTONS * np.exp(rng.uniform(np.log(0.1), 0.0)) + 0j])
        place = np.array([(offset - CENTRE) * mhz])
        fid += _fid(place, area, np.array([max(width - config.broadening, 0.1)]), time)
    fid += _water(config, areas.sum(), offset, mhz, time, rng)
    scale = highest * sweep / 2  # a first point of this size lifts the spectrum by `highest`
    errors = rng.standard_normal(3) + 1j * rng.standard_normal(3)
    fid[:3] += config.baseline * scale * errors * np.array([1.0, 1.0, 0.5])
    noise = float(np.median(tops)) / snr
    white = rng.standard_normal(n) + 1j * rng.standard_normal(n)
    fid += white * noise * sweep / 2 / np.sqrt((apodisation**2).sum())

    heights = _transform(fid * apodisation, sweep)
    x = np.linspace(-0.5, 0.5, len(heights))
    p0, p1 = np.radians(rng.uniform(-config.phase, config.phase, 2))
    heights = (heights * np.exp(1j * (p0 + p1 * x))).real
    tilt, bend = config.baseline * highest * rng.standard_normal(2)
    heights = heights + tilt * x + bend * x**2
    axis = CENTRE + SWEEP * (np.arange(len(heights)) / len(heights) - 0.5)
    metadata = {"nucleus": "1H", "solvent": "D2O"}
    spectrum = Spectrum(axis, heights, mhz, f"rendered, seed {seed}", metadata)
    return RenderedMixture(spectrum, truth, mhz, width, snr, offset, standard, noise, ph)


def _moves(compounds: Compounds, config: RenderConfig, seed: int) -> tuple[float, np.ndarray]:
    """Draw the pH and what it moves, in ppm, shape (M,)."""
    # A stream of its own: other draws do not depend on the pH.
    rng = np.random.default_rng([seed, 1])
    ph = float(rng.uniform(config.ph_low, config.ph_high))
    if ph == TABLE_PH:
        return ph, np.zeros(compounds.n_multiplets)
    return ph, Titrations.of(compounds).drawn(ph, rng)


def _lines(
    compounds: Compounds, truth: PeakMixture, mhz: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ppm, area and multiplet (index into the mixture's) of each line, shape (n,)."""
    ppm, areas, rows = [], [], []
    for row, multiplet in enumerate(truth.multiplets):
        lines = compounds.lines[multiplet]
        ppm.append(compounds.ppm[multiplet] + truth.shifts[row] + lines.offsets / mhz)
        protons = compounds.protons[multiplet]
        areas.append(truth.amounts[truth.owners[row]] * protons * lines.areas)
        rows.append(np.full(len(lines.areas), row))
    return np.concatenate(ppm), np.concatenate(areas), np.concatenate(rows)


def _fid(hz: np.ndarray, areas: np.ndarray, widths: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return the sum of decaying lines at the given times, shape (n,), complex."""
    sweep = 1 / time[1]
    bins = np.round(hz / sweep * _BINS).astype(np.int64) % _BINS
    inside = np.abs(hz) < sweep / 2
    # Lines of similar width decay together: one Fourier transform for each group.
    edges = np.quantile(widths, np.linspace(0, 1, _WIDTH_GROUPS + 1)[1:-1])
    group = np.searchsorted(edges, widths)
    fid = np.zeros(len(time), dtype=complex)
    for k in np.unique(group):
        chosen = inside & (group == k)
        sticks = np.zeros(_BINS, dtype=complex)
        np.add.at(sticks, bins[chosen], areas[chosen])
        decay = np.exp(-np.pi * widths[group == k].mean() * time)
        fid += np.fft.ifft(sticks)[: len(time)] * _BINS * decay
    return fid


def _transform(fid: np.ndarray, sweep: float) -> np.ndarray:
    """Return the spectrum in area per Hz, zero-filled at least twofold, complex."""
    fid = fid.copy()
    fid[0] /= 2
    size = 2 ** int(np.ceil(np.log2(2 * len(fid))))
    return np.fft.fftshift(np.fft.fft(fid, size)) * 2 / sweep


def _water(
    config: RenderConfig,
    total: float,
    offset: float,
    mhz: float,
    time: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the FID of residual water: lines of several phases, as after presaturation."""
    area = config.water * total * rng.random()
    hz = (WATER + offset - CENTRE + 0.02 * rng.standard_normal()) * mhz
    places = hz + 12 * rng.standard_normal(WATER_LINES)
    shares = rng.dirichlet(np.ones(WATER_LINES))
    phases = np.radians(20 * rng.standard_normal(WATER_LINES))
    return _fid(places, area * shares * np.exp(1j * phases), rng.uniform(4, 25, WATER_LINES), time)
