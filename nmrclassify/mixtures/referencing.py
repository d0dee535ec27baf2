"""Where the axis of a spectrum belongs: by a reference compound, by the library, or by hand.

Without a reference, the offset is estimated together with the pH (`acid_base`). With one, a library
that fits clearly better close by corrects it.
"""

from dataclasses import replace

import numpy as np

from nmrclassify.mixtures import line_fit
from nmrclassify.mixtures.acid_base import (
    PhChooser,
    PhEstimate,
    PhScores,
    by_hand,
    estimate_ph,
    is_significant,
)
from nmrclassify.mixtures.line_fit import FittedLines
from nmrclassify.mixtures.peaks import Peaks, merged_peaks
from nmrclassify.mixtures.processing_recipe import ProcessingRecipe
from nmrclassify.mixtures.spectrum import Spectrum
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.titration import TABLE_PH, Titrations, at_ph

STANDARD_WINDOW = 0.35  # ppm to either side of 0: wider than a usual error of the axis
UNCERTAIN = 0.75  # of the best fit to the library, without a shift or at another
SMALL_SHIFT = 0.02  # ppm
AT_ZERO = 0.04  # ppm: how far from 0 a reference's line may be on the axis of the library
_NO_STANDARD = "No singlet of a reference was found near 0 ppm"


def shift_and_ph(
    found: FittedLines,
    recipe: ProcessingRecipe,
    library: Compounds | None,
    axis: Axis,
    noise: float,
    regions: tuple[tuple[float, float], ...],
    choose: PhChooser | None,
) -> tuple[float, str, PhEstimate | None]:
    """Return what is added to the axis, a sentence on why ("" if the step is off), and the pH."""
    mhz = axis.mhz
    known, reason = _known_shift(found, recipe, library is not None, mhz, noise)
    is_by_hand, is_exact = recipe.ph_from == "by hand", recipe.reference != "auto"
    if library is None or not len(found):
        return known or 0.0, reason, by_hand(recipe.ph) if is_by_hand else None
    if is_by_hand:
        library = at_ph(library, recipe.ph)
        if known is not None and is_exact:
            return known, reason, by_hand(recipe.ph)
    if known is not None and is_exact and not len(Titrations.of(library).pka):
        return known, reason, None
    limit = None if known is not None else recipe.max_offset
    areas = found.heights * found.widths
    scores = PhScores(
        found.hz / mhz, areas, library, mhz, known, limit, is_exact, searches_ph=not is_by_hand
    )

    def sentence_on(offset: float) -> str:
        return _fits_best(offset) if known is None else reason + _moved_further(offset - known)

    if known is None:
        shift, how = _library_shift(scores)
    else:
        shift = scores.best_offset(scores.above_chance(TABLE_PH))
        how = sentence_on(shift)
    if is_by_hand:
        return shift, how, by_hand(recipe.ph)
    if not scores.has_groups:
        return shift, how, None

    def peaks_at(offset: float) -> Peaks:
        ppm = found.hz / mhz + offset
        kept = np.ones(len(ppm), dtype=bool)
        for low, high in regions:
            kept &= (ppm < low) | (ppm > high)
        return merged_peaks(ppm[kept] * mhz, areas[kept], axis)

    estimate = estimate_ph(scores, peaks_at, choose, shift)
    if estimate.is_estimated:
        how = sentence_on(estimate.offset)
    return estimate.offset, how, estimate


def _known_shift(
    found: FittedLines, recipe: ProcessingRecipe, has_library: bool, mhz: float, noise: float
) -> tuple[float | None, str]:
    """Return the shift that needs no library, or None, and a sentence on it."""
    if recipe.reference == "off":
        return 0.0, ""
    if recipe.reference == "by hand":
        return recipe.shift, f"The axis was shifted by {recipe.shift:+.4f} ppm by hand."
    if recipe.reference in ("auto", "standard"):
        place = _standard(found, mhz, noise)
        if place is not None:
            return -place, (
                f"A singlet at {place:+.4f} ppm was taken for the reference (DSS, TSP or TMS) and"
                " moved to 0."
            )
    if recipe.reference == "standard" or not has_library:
        return 0.0, "No singlet of a reference was found near 0 ppm; the axis is unchanged."
    return None, ""


def _standard(found: FittedLines, mhz: float, noise: float) -> float | None:
    """Return the ppm of a lone high line near 0, or None."""
    ppm = found.hz / mhz
    near = np.abs(ppm) <= STANDARD_WINDOW
    if not near.any():
        return None
    index = np.flatnonzero(near)
    top = index[found.heights[index].argmax()]
    others = index[np.abs(found.hz[index] - found.hz[top]) > 12]
    second = found.heights[others].max(initial=0.0)
    if found.heights[top] < 10 * noise or second > 0.5 * found.heights[top]:
        return None
    return float(ppm[top])


def standard_area(
    spectrum: Spectrum,
    found: FittedLines,
    share: float,
    noise: float,
    width: float,
    correlated: float,
) -> float | None:
    """Return the area of the reference's line at 0 ppm, or None if there is none.

    Parameters
    ----------
    spectrum : Spectrum
        With its shift, before regions are cut.
    found : FittedLines
        Of the whole spectrum.
    share : float
        Of the Lorentzian in the lines.
    """
    mhz = spectrum.mhz or FULL_AXIS.mhz
    place = _standard(found, mhz, noise)
    if place is None or abs(place) > AT_ZERO:
        return None
    hz = spectrum.ppm * mhz
    near = np.abs(hz) <= STANDARD_WINDOW * mhz
    if near.sum() < 16:
        return None
    lines = found.chosen(np.abs(found.hz) <= STANDARD_WINDOW * mhz)
    lines, _ = line_fit.fit_lines(
        spectrum.heights[near],
        hz[near],
        replace(lines, share=share),
        noise * np.sqrt(correlated),
        width,
    )
    at = np.abs(lines.hz - place * mhz) <= 2 * width
    return float(lines.areas[at].sum()) or None


def _library_shift(scores: PhScores) -> tuple[float, str]:
    """Return the shift at which whole compounds explain most, at the pH of the library."""
    score, ppm = scores.at(TABLE_PH), scores.offsets
    best = scores.best(score)
    if not is_significant(score - np.median(score), best):
        return 0.0, (
            f"{_NO_STANDARD}, and the library fits nowhere clearly better than by chance; the axis"
            " is unchanged: check it."
        )
    chosen, highest = float(ppm[best]), max(float(score[best]), 1e-9)
    as_given = float(score[np.abs(ppm) <= SMALL_SHIFT].max()) / highest
    elsewhere = (np.abs(ppm - chosen) > SMALL_SHIFT) & (np.abs(ppm) <= scores.limit)
    other = float(score[elsewhere].max(initial=0.0)) / highest
    if as_given < 1 and max(as_given, other) > UNCERTAIN:
        return 0.0, (
            f"{_NO_STANDARD}, and the library fits at {chosen:+.3f} ppm hardly better than without"
            " a shift or at another; the axis is unchanged: check it."
        )
    return chosen, _fits_best(chosen)


def _moved_further(shift: float) -> str:
    """Return a sentence on an axis that was moved beside a reference's singlet, or ""."""
    if not shift:
        return ""
    tsp = ", as where the sample holds TSP and the library has DSS at 0" if shift < 0 else ""
    return (
        f" The library fits clearly better when the axis is moved by a further {shift:+.3f} ppm,"
        f" which was done{tsp}."
    )


def _fits_best(shift: float) -> str:
    return (
        f"{_NO_STANDARD}; the peaks fit the library best with the axis shifted by {shift:+.3f} ppm."
    )
