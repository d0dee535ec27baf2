"""From a spectrum to its peaks in steps that can be switched off, and that say what they did.

1. Baseline: asymmetrically reweighted penalised least squares [1]_ on a coarse axis.
2. Noise: the standard deviation where there is no signal.
3. Reference: the singlet of DSS, TSP or TMS is moved to 0, or close by, where the peaks fit a
   library clearly better; without a singlet, the shift at which they fit it best; or a shift by
   hand.
4. The pH at which the peaks fit the library best, together with that shift (`acid_base`).
5. Regions of the solvent and of the reference are cut out.
6. Peaks: lines are found by curvature, and fitted together (`line_fit`).

A `ProcessingRecipe` states all settings; the same recipe gives the same peaks.

References
----------
.. [1] S.-J. Baek et al., "Baseline correction using asymmetrically reweighted penalized least
   squares smoothing", Analyst 140, 250 (2015), as in pybaselines.
"""

import warnings
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, percentile_filter
from scipy.signal import hilbert

from nmrclassify.mixtures import line_fit
from nmrclassify.mixtures.acid_base import PhChooser, PhEstimate
from nmrclassify.mixtures.line_fit import FittedLines
from nmrclassify.mixtures.peaks import Peaks, merged_peaks
from nmrclassify.mixtures.processing_recipe import USUAL, ProcessingRecipe, regions_of
from nmrclassify.mixtures.referencing import shift_and_ph, standard_area
from nmrclassify.mixtures.spectrum import Spectrum
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds

MAX_LINES = 3000
LEAST_NOISE = 1e-5  # of the highest point, for spectra that were computed
FIT_BUDGET = 4e6  # points times lines of all clusters in all rounds
ROUNDS = 4
MAX_PHASE = 0.2  # radians
BROAD = 3.0  # times the usual width: wider lines are no lines of a small molecule
MISFIT = 0.03  # of a line's height: a smaller line beside it may be an error of its shape
_COARSE_STEP = 0.0034  # ppm, of the axis on which the baseline is estimated
_STIFFNESS = 1e6  # on that axis: the baseline bends over .7 ppm and more
_QUANTILE_WIDTH = 0.5  # ppm


@dataclass(frozen=True)
class ProcessingStep:
    """What one step did: a sentence, and the spectrum before and after it."""

    name: str
    sentence: str
    before: Spectrum
    after: Spectrum


@dataclass(frozen=True)
class ProcessedSpectrum:
    """A processed spectrum and its peaks.

    Attributes
    ----------
    spectrum : Spectrum
        After all steps; 0 in the cut regions.
    fitted : np.ndarray, shape (n,)
        Sum of the fitted lines.
    steps : tuple of ProcessingStep
        Those that were switched on, in their order.
    lines : FittedLines
        The fitted lines; their `hz` is ppm times `mhz`.
    peaks : Peaks
        For `Detector.identify`; the detector needs the same axis.
    noise : float
        Standard deviation of the noise.
    shift : float
        ppm that were added to the axis.
    regions : tuple of (float, float)
        That were cut, in ppm.
    standard_area : float, optional
        Area of the line of DSS, TSP or TMS near 0 ppm, in the unit of the peaks.
    acid_base : PhEstimate, optional
        The pH; None where no compound of the library titrates.
    """

    spectrum: Spectrum
    fitted: np.ndarray
    steps: tuple[ProcessingStep, ...]
    lines: FittedLines
    peaks: Peaks
    noise: float
    shift: float
    regions: tuple[tuple[float, float], ...]
    recipe: ProcessingRecipe
    standard_area: float | None = None
    acid_base: PhEstimate | None = None

    @property
    def note(self) -> str:
        """The sentences on what decides most: reference, pH, cut regions and peaks."""
        told = ("reference", "pH", "cut", "peaks")
        steps = [step for step in self.steps if step.name in told]
        return " ".join(step.sentence for step in steps)


def process(
    spectrum: Spectrum,
    recipe: ProcessingRecipe = USUAL,
    library: Compounds | None = None,
    axis: Axis = FULL_AXIS,
    choose: PhChooser | None = None,
) -> ProcessedSpectrum:
    """Process a spectrum and pick its peaks.

    Parameters
    ----------
    library : Compounds, optional
        To estimate the pH and to reference the spectrum; as it is at pH 7.4.
    choose : PhChooser, optional
        Compares the best candidates for the pH, such as `evaluation.choose_ph.ph_chooser`.
    axis : Axis
        Of the peaks. Its frequency holds where the spectrum states none.

    Raises
    ------
    ValueError
        If it is flat, no line is above the noise, or all lie beyond the axis.
    """
    if not np.ptp(spectrum.heights):
        raise ValueError("the spectrum is flat; expected lines above its noise")
    mhz = spectrum.mhz or axis.mhz
    axis = replace(axis, mhz=mhz)
    steps = list[ProcessingStep]()
    now = spectrum

    def done(name: str, sentence: str, after: Spectrum) -> Spectrum:
        steps.append(ProcessingStep(name, sentence, now, after))
        return after

    if recipe.baseline:
        line = _baseline(now)
        sentence = f"A baseline of {_span(line)} was subtracted."
        now = done("baseline", sentence, replace(now, heights=now.heights - line))
    hz = now.ppm * mhz
    noise = max(line_fit.robust_noise(now.heights), LEAST_NOISE * float(np.ptp(now.heights)))
    correlated = line_fit.correlation_points(now.heights, noise)
    width = line_fit.usual_width(now.heights, line_fit.step_of(hz), noise)
    sentence = (
        f"The noise has a standard deviation of {noise:.3g}, 1/{now.heights.max() / noise:,.0f} of"
        f" the highest point; {correlated:.1f} neighbours count as one. Lines are usually"
        f" {width:.2g} Hz wide."
    )
    now = done("noise", sentence, now)
    found = line_fit.find_lines(now.heights, hz, noise, width, recipe.threshold)
    regions = regions_of(recipe, spectrum.metadata.get("solvent", ""))
    shift, reason, acid_base = shift_and_ph(found, recipe, library, axis, noise, regions, choose)
    if reason:
        now = done("reference", reason, replace(now, ppm=now.ppm + shift))
    if acid_base is not None:
        now = done("pH", acid_base.sentence, now)
    hz, found = now.ppm * mhz, replace(found, hz=found.hz + shift * mhz)
    uncut = now

    kept = np.ones(len(hz), dtype=bool)
    for low, high in regions:
        kept &= (now.ppm < low) | (now.ppm > high)
    if regions:
        names = ", ".join(f"{low:g} to {high:g}" for low, high in regions)
        sentence = f"The regions {names} ppm were cut out."
        now = done("cut", sentence, replace(now, heights=np.where(kept, now.heights, 0.0)))
    inside = (now.ppm >= axis.low) & (now.ppm <= axis.high) & kept
    lines, fitted, sentence, corrected = _lines(
        now, found, inside, recipe, noise, width, mhz, correlated
    )
    if not len(lines):
        raise ValueError(
            f"the spectrum has no line above {recipe.threshold:g} standard deviations of its noise"
            f" from {axis.low:g} to {axis.high:g} ppm; expected at least one"
        )
    now = done("peaks", sentence, replace(now, heights=corrected))
    peaks = peaks_of(lines, axis)
    standard = standard_area(uncut, found, lines.share, noise, width, correlated)
    return ProcessedSpectrum(
        now,
        fitted,
        tuple(steps),
        lines,
        peaks,
        noise,
        shift,
        regions,
        recipe,
        standard,
        acid_base,
    )


def _span(line: np.ndarray) -> str:
    return f"{line.min():.3g} to {line.max():.3g}"


def _baseline(spectrum: Spectrum, valid: np.ndarray | None = None) -> np.ndarray:
    """Return the baseline at every point, estimated on a coarse axis; without points not valid."""
    from pybaselines import Baseline

    heights, n = spectrum.heights, len(spectrum.heights)
    step = float(spectrum.ppm[-1] - spectrum.ppm[0]) / (n - 1)
    size = int(np.clip(_COARSE_STEP // step, 1, max(1, n // 128)))
    m = n // size
    stiffness = max(_STIFFNESS * (_COARSE_STEP / (size * step)) ** 4, 1.0)
    coarse = heights[: m * size].reshape(m, size).mean(1)
    centres = np.arange(m) * size + (size - 1) / 2
    if valid is not None:
        usable = valid[: m * size].reshape(m, size).all(1)
        if usable.sum() < 16:
            return np.zeros(n)
        coarse = np.interp(centres, centres[usable], coarse[usable])
    scale = float(np.abs(coarse).max()) or 1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a spectrum without noise is fitted as far as it goes
        # A low quantile first: a baseline that rises far above the noise would count as signal.
        points = int(np.clip(_QUANTILE_WIDTH / (size * step), 3, max(3, m // 8)))
        rough = np.zeros(m)
        if valid is None:
            low = percentile_filter(coarse, 15, points, mode="nearest")
            rough = gaussian_filter1d(low, points / 2)
        baseline = Baseline(np.arange(m, dtype=float))
        fine = baseline.arpls((coarse - rough) / scale, lam=min(stiffness, 1e9))[0]
        line = rough + fine * scale
    return np.interp(np.arange(n), centres, line)


def _lines(
    spectrum: Spectrum,
    found: FittedLines,
    inside: np.ndarray,
    recipe: ProcessingRecipe,
    noise: float,
    width: float,
    mhz: float,
    correlated: float,
) -> tuple[FittedLines, np.ndarray, str, np.ndarray]:
    """Return lines, their sum, a sentence, and the heights with the baseline under the lines."""
    heights = spectrum.heights
    hz = spectrum.ppm * mhz
    step = line_fit.step_of(hz)

    def within(lines: FittedLines) -> FittedLines:
        index = np.clip(np.round((lines.hz - hz[0]) / step).astype(np.int64), 0, len(hz) - 1)
        return lines.chosen(inside[index])

    lines = within(found)
    if len(lines) > MAX_LINES:
        strongest = np.sort(np.argsort(-lines.heights)[:MAX_LINES])
        lines = lines.chosen(strongest)
    if not recipe.fit or not len(lines):
        fitted = line_fit.model(lines, hz)
        return (
            lines,
            fitted,
            f"{len(lines):,} maxima of the curvature were taken as lines.",
            heights,
        )
    # Neighbours that are correlated say less than as many independent points.
    sure = noise * np.sqrt(correlated)
    lines, budget = line_fit.fit_lines(heights, hz, lines, sure, width, 1, FIT_BUDGET)
    if recipe.shape == "auto":
        share = line_fit.lorentzian_share(heights, hz, lines, sure, width)
        lines = replace(lines, share=share)
    width, prior = line_fit.widths_of(lines, width)
    phase = 0.0
    for round_ in range(ROUNDS):
        fitted = line_fit.model(lines, hz)
        rest = np.where(inside, heights - fitted, 0.0)
        if recipe.baseline:
            # Without the lines' tails, what is left of the baseline is plain.
            under = _baseline(replace(spectrum, heights=rest), inside)
            heights = np.where(inside, heights - under, heights)
            rest = np.where(inside, rest - under, 0.0)
        dispersion, angle = _dispersion(fitted, rest, inside)
        heights, rest, phase = heights - dispersion, rest - dispersion, phase + angle
        if round_:  # first the phase, then lines beside strong ones
            more = within(line_fit.find_lines(rest, hz, noise, width, recipe.threshold))
            more = _beside(more, lines, width)
            if len(lines) + len(more) <= MAX_LINES:
                lines = line_fit.joined([lines, replace(more, share=lines.share)], lines.share)
        lines, budget = line_fit.fit_lines(heights, hz, lines, sure, width, 1, budget, prior)
        lines, humps = _significant(within(lines), noise, width, recipe.threshold)
        if budget < 0:
            break
        width, prior = line_fit.widths_of(lines, width)
    fitted = line_fit.model(lines, hz)
    kind = "Lorentzian" if lines.share == 1 else f"pseudo-Voigt ({lines.share:.0%} Lorentzian)"
    late = " The fit was ended early: some lines have a rough shape." if budget < 0 else ""
    turned = f", with a phase error of {phase:+.1f}°" if abs(phase) > 0.2 else ""
    sentence = f"{len(lines):,} {kind} lines were fitted, overlapping ones together{turned}.{late}"
    return lines, fitted, sentence + _left_out(lines, humps), heights


def _left_out(lines: FittedLines, humps: FittedLines) -> str:
    """Return a sentence on the lines that are too wide, or ""."""
    if not len(humps):
        return ""
    part = humps.areas.sum() / (lines.areas.sum() + humps.areas.sum())
    many = len(humps) > 1
    return (
        f" {len(humps):,} line{'s' * many} of {humps.widths.min():.2g} Hz or more"
        f" {'were' if many else 'was'} left out as {'humps' if many else 'a hump'}: {part:.1%} of"
        " the area."
    )


def _dispersion(
    fitted: np.ndarray, rest: np.ndarray, inside: np.ndarray
) -> tuple[np.ndarray, float]:
    """Return the dispersive part of the lines that a phase error leaves, and its mean in degrees.

    The Hilbert transform of absorptive lines is dispersive. Its share in the residual is the
    phase error in radians, which may change linearly along the axis.
    """
    dispersive = hilbert(fitted).imag
    # Only the wings: in the middle of a line its position takes the phase error up.
    size = np.abs(dispersive)
    wings = inside & (size > 2 * fitted) & (size > 0.003 * size.max())
    if wings.sum() < 100:
        return np.zeros_like(fitted), 0.0
    x = np.linspace(-1, 1, len(fitted))
    columns, values = np.stack([dispersive, dispersive * x])[:, wings], rest[wings]
    angles, weights = np.zeros(2), np.ones(len(values))
    for _ in range(4):  # lines that are not fitted yet lose their weight
        normal = (columns * weights) @ columns.T
        normal[np.diag_indices(2)] *= 1.001
        angles = np.linalg.solve(normal, (columns * weights) @ values)
        left = np.abs(values - angles @ columns)
        weights = 1 / np.maximum(left, 2 * np.median(left) + 1e-300)
    if not np.abs(angles).max() < MAX_PHASE:  # the wings of water are like those of a phase error
        return np.zeros_like(fitted), 0.0
    turned = np.where(inside, dispersive * (angles[0] + angles[1] * x), 0.0)
    return turned, float(np.degrees(angles[0]))


def _beside(more: FittedLines, lines: FittedLines, width: float) -> FittedLines:
    """Return those lines of the residual that are no error of a strong line's shape."""
    if not len(more) or not len(lines):
        return more
    gap = np.abs(more.hz[:, None] - lines.hz)
    # A misfit of some percent of a line's height within some widths of it is its shape.
    shape = (MISFIT * lines.heights / (1 + (gap / (1.5 * lines.widths)) ** 2)).max(1)
    return more.chosen((more.heights > shape) & (gap.min(1) > 0.3 * width))


def _significant(
    lines: FittedLines, noise: float, width: float, threshold: float
) -> tuple[FittedLines, FittedLines]:
    """Return the lines whose area stands above its error: those of usual widths, and humps."""
    stands_out = lines.areas > 0.6 * threshold * np.nan_to_num(lines.area_errors)
    stands_out &= lines.heights > noise
    broad = lines.widths >= BROAD * width
    return lines.chosen(stands_out & ~broad), lines.chosen(stands_out & broad)


def peaks_of(lines: FittedLines, axis: Axis) -> Peaks:
    """Return the peaks of fitted lines; those within half a Hz are one.

    Raises
    ------
    ValueError
        If none lies on the axis.
    """
    peaks = merged_peaks(lines.hz, lines.areas, axis)
    if not len(peaks.areas):
        raise ValueError(f"no line lies from {axis.low:g} to {axis.high:g} ppm")
    return peaks
