"""Which peaks of a mixture speak for a compound, which expected lines are missing, and the rest.

The evidence is computed from the peaks and the library alone: the masks of the network only say how
much of a peak belongs to the compound.
"""

from dataclasses import dataclass, replace

import numpy as np

from nmrclassify.evaluation.identify import PEAK_REACH, Identification
from nmrclassify.nmr.compounds import PPM_BOUNDS
from nmrclassify.nmr.report_lines import report_line

FOUND, TOO_LITTLE, NO_PEAK = "found", "too little area", "no peak"
WEAK, CUT, BEYOND = "too weak to see", "cut out", "beyond the axis"
AGAINST = (TOO_LITTLE, NO_PEAK)
SILENT = (WEAK, CUT, BEYOND)  # say nothing about the compound
ENOUGH = 0.5  # of the expected area: at least so much must be there
_MENTIONED = 0.1  # of the area: a smaller share is no reason
REACH = 2 * PEAK_REACH  # Hz between an expected line and a peak that can be it


@dataclass(frozen=True, eq=False)
class Evidence:
    """The lines that a compound must have in a mixture, and what is there; the largest first.

    Lines of one multiplet nearer than `PEAK_REACH` are one line.

    Attributes
    ----------
    multiplets : ndarray, shape (n,)
        Multiplet of the library that each line belongs to.
    ppm : ndarray, shape (n,)
        Where it is expected, with the estimated shift of its multiplet.
    expected : ndarray, shape (n,)
        Its area: of a named compound by its amount, of another by the lines that are there. NaN
        where none is there.
    measured : ndarray, shape (n,)
        Area of all peaks there.
    separated : ndarray, shape (n,)
        The part of `measured` that the masks give to the compound.
    shares : ndarray, shape (n,)
        Part of the compound's whole area that each line has in the library.
    outcomes : tuple of str, length n
        `FOUND`, one of `AGAINST`, or one of `SILENT`.
    owners : tuple of (int, float)
        The other named compounds that have area at the lines that are found, and their share of
        it; the largest first.
    """

    multiplets: np.ndarray
    ppm: np.ndarray
    expected: np.ndarray
    measured: np.ndarray
    separated: np.ndarray
    shares: np.ndarray
    outcomes: tuple[str, ...]
    owners: tuple[tuple[int, float], ...] = ()

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self.ppm)

    @property
    def speaks_for(self) -> np.ndarray:
        """Whether each line is found, shape (n,)."""
        return np.array([outcome == FOUND for outcome in self.outcomes], dtype=bool)

    @property
    def speaks_against(self) -> np.ndarray:
        """Whether each line is missing, or has too little area, shape (n,)."""
        return np.array([outcome in AGAINST for outcome in self.outcomes], dtype=bool)


def evidence(
    prediction: Identification,
    compound: int,
    cut: tuple[tuple[float, float], ...] = (),
) -> Evidence:
    """Return the evidence for and against a compound.

    A line speaks against its compound if less than `ENOUGH` of its area is there. Peaks of other
    compounds at the same place hide a missing line: see `Evidence.separated`. A line below the
    smallest peak of the mixture says nothing, nor does one in a region that was cut.

    What is expected of a compound that is not named follows from the lines that are there: if they
    were its own, its other lines would be there too. The network's amount would not do, for it is
    small where lines are missing, and lines of a small amount cannot be seen.

    Parameters
    ----------
    compound : int
        As an index into the library.
    cut : tuple of (float, float)
        Regions in ppm without peaks because they were cut.
    """
    compounds, peaks = prediction.compounds, prediction.peaks
    compound = int(prediction.first_of_group[compound])
    first = compounds.first_multiplet
    index = np.arange(first[compound], first[compound + 1])
    multiplets, ppm, areas = _merged_lines(prediction, index)
    reach = REACH / peaks.axis.mhz
    measured = _area_within(peaks.ppm, peaks.areas, ppm, reach)
    separated = _area_within(peaks.ppm, prediction.separated(compound), ppm, reach)
    amount = float(prediction.amounts[compound])
    if not np.isfinite(amount) or not prediction.is_named[compound]:
        amount = _amount_allowed(measured, areas)
    expected = amount * areas
    outcomes = [
        _outcome(prediction, place, area, found, cut)
        for place, area, found in zip(ppm, expected, measured, strict=True)
    ]
    order = np.lexsort((-ppm, -np.nan_to_num(expected)))
    is_found = np.array([outcome == FOUND for outcome in outcomes])
    return Evidence(
        multiplets[order],
        ppm[order],
        expected[order],
        measured[order],
        separated[order],
        areas[order] / areas.sum(),
        tuple(outcomes[i] for i in order),
        _owners(prediction, compound, ppm[is_found], reach),
    )


def found_line(prediction: Identification, compound: int, solvent: str = "") -> str:
    """Return a compound's multiplets, where they are in the mixture, as the line of a report.

    The protons are those of the library. See `nmr.report_lines`.
    """
    compounds = prediction.compounds
    compound = int(prediction.first_of_group[compound])
    rows = np.flatnonzero(compounds.compound == compound)
    one = compounds.select([compound])
    moved = replace(one, ppm=prediction.places(rows).clip(*PPM_BOUNDS))
    return report_line(moved, 0, prediction.peaks.axis.mhz, solvent)


def sentence(prediction: Identification, compound: int, evidence: Evidence) -> str:
    """Return one sentence on why a compound is named or not."""
    named = bool(prediction.is_named[compound])
    n, outcomes = len(evidence), evidence.outcomes
    against, found = int(evidence.speaks_against.sum()), int(evidence.speaks_for.sum())
    cut = outcomes.count(CUT)
    part = float(evidence.shares[[outcome == CUT for outcome in outcomes]].sum())
    counts = [
        (cut, "cut out of the spectrum" + (f" with {part:.0%} of its area" if part > 0.1 else "")),
        (against, "missing or too small" if TOO_LITTLE in outcomes else "missing"),
        (outcomes.count(WEAK), "too weak to see"),
        (outcomes.count(BEYOND), "beyond the axis"),
    ]
    if named:
        counts.insert(0, (found, "there"))
    parts = list[str]()
    for count, what in counts:
        if count:
            lines = f"{count}" if parts else _lines(count, n)
            parts.append(f"{lines} {'is' if count == 1 else 'are'} {what}")
    if found and not named:
        owners = [
            f"{prediction.compounds.names[k]} ({share:.0%})"
            for k, share in evidence.owners[:2]
            if share >= _MENTIONED
        ]
        lines, many = _lines(found, n), found > 1
        if parts:
            lines = f"the {found} that are there" if many else "the one that is there"
        parts.append(
            f"{lines} belong{'' if many else 's'} to {' and '.join(owners) or 'no named compound'}"
        )
    probability = f"{prediction.probabilities[compound]:.0%}"
    return f"{'Named' if named else 'Not named'} ({probability}): {'; '.join(parts)}."


def _lines(count: int, n: int) -> str:
    """Return words for some of the n lines of a compound."""
    if count < n:
        return f"{count} of its {n} lines"
    return f"its {n} lines" if n > 1 else "its one line"


def _amount_allowed(measured: np.ndarray, areas: np.ndarray) -> float:
    """Return the largest amount that most of the lines with a peak allow; NaN without any.

    Parameters
    ----------
    measured : ndarray, shape (n,)
        Area of the peaks at each line.
    areas : ndarray, shape (n,)
        Area of each line at amount 1: its weight.
    """
    there = measured > 0
    if not there.any():
        return float("nan")
    allowed = measured[there] / areas[there]
    order = np.argsort(-allowed)
    weight = np.cumsum(areas[there][order])
    return float(allowed[order][np.searchsorted(weight, 0.5 * weight[-1], "right")])


def _owners(
    prediction: Identification, compound: int, places: np.ndarray, reach: float
) -> tuple[tuple[int, float], ...]:
    """Return the other named compounds with area within `reach` of places, and their shares."""
    ppm, areas = prediction.peaks.ppm, prediction.peaks.areas
    near = np.zeros(len(ppm), dtype=bool)
    for place in places:
        near |= np.abs(ppm - place) <= reach
    if not near.any():
        return ()
    row, peak, share = prediction.masks
    owner = prediction.compounds.compound[row]
    chosen = near[peak] & (owner != compound) & prediction.is_named[owner]
    parts = np.bincount(
        owner[chosen], (share * areas[peak])[chosen], prediction.compounds.n_compounds
    )
    shares = np.minimum(parts / areas[near].sum(), 1.0)
    return tuple((int(k), float(shares[k])) for k in np.argsort(-shares) if shares[k] > 0)


def _merged_lines(
    prediction: Identification, multiplets: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return multiplet, ppm and area at amount 1 of lines that can be told apart."""
    compounds, mhz = prediction.compounds, prediction.peaks.axis.mhz
    rows, places, areas = [], [], []
    for m, centre in zip(multiplets, prediction.places(multiplets), strict=True):
        lines = slice(compounds.first_line[m], compounds.first_line[m + 1])
        order = np.argsort(compounds.offsets[lines])
        hz, area = compounds.offsets[lines][order], compounds.areas[lines][order]
        group = np.r_[0, np.cumsum(np.diff(hz) > PEAK_REACH)]
        total = np.bincount(group, area)
        rows.append(np.full(len(total), m))
        places.append(centre + np.bincount(group, hz * area) / total / mhz)
        areas.append(total)
    return np.concatenate(rows), np.concatenate(places), np.concatenate(areas)


def _area_within(
    ppm: np.ndarray, areas: np.ndarray, places: np.ndarray, reach: float
) -> np.ndarray:
    """Return the area of the peaks within `reach` ppm of each place, shape of `places`."""
    sums = np.r_[0.0, np.cumsum(areas, dtype=np.float64)]
    low = np.searchsorted(ppm, places - reach)
    return sums[np.searchsorted(ppm, places + reach, "right")] - sums[low]


def _outcome(
    prediction: Identification,
    place: float,
    expected: float,
    measured: float,
    cut: tuple[tuple[float, float], ...],
) -> str:
    axis = prediction.peaks.axis
    if not axis.low <= place <= axis.high:
        return BEYOND
    if any(low <= place <= high for low, high in cut):
        return CUT
    if measured > 0:
        enough = not np.isfinite(expected) or measured >= ENOUGH * expected
        return FOUND if enough else TOO_LITTLE
    return WEAK if expected < prediction.peaks.floor else NO_PEAK


def unexplained_share(prediction: Identification) -> float:
    """Return the part of the mixture's area that no named compound explains, 0 to 1."""
    areas = prediction.peaks.areas
    return float(((1 - prediction.explained) * areas).sum() / areas.sum())


def unexplained_peaks(prediction: Identification, n: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Return the peaks with the largest area that no named compound explains.

    Returns
    -------
    peaks : ndarray, shape (n,) at most
        As indices into the mixture's peaks, the largest first.
    areas : ndarray, shape of `peaks`
        The unexplained area of each, above 0.
    """
    rest = (1 - prediction.explained) * prediction.peaks.areas
    order = np.argsort(-rest, kind="stable")[:n]
    order = order[rest[order] > 0]
    return order, rest[order]
