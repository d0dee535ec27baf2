"""Identify the compounds in a mixture of peaks: which, how much of each, and its part of each peak.

`Detector` joins the library, the hypotheses of `networks.amount_hypotheses` and a trained network.
"""

import time
from dataclasses import dataclass
from functools import cached_property
from math import log

import numpy as np
import torch

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.networks.amount_hypotheses import AmountHypotheses, find_hypotheses
from nmrclassify.networks.peak_network import PeakNetworkOutput
from nmrclassify.networks.peak_weights import Trained, shipped
from nmrclassify.networks.prediction import percent
from nmrclassify.networks.shift_estimates import WELL_KNOWN, estimate_offset
from nmrclassify.networks.templates import Templates
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds, expand_ranges
from nmrclassify.nmr.equivalent_compounds import at_group_means, equivalent_compounds

PEAK_REACH = 1.6  # Hz between a line and its peak: lines that merge move to their common centre
WHOLLY_EXPLAINED = 0.5  # of a peak's area: from here on the expected areas share the whole peak
MIN_PROBABILITY = 0.02  # less likely compounds get no masks
USUAL_SIZE = 877  # compounds of a library in training
# 1 is the ratio of the prior odds. Less, because small libraries hold less of what samples hold:
# chosen on development mixtures with unknown compounds and false peaks.
SIZE_WEIGHT = 0.75
LEAST_SIZE = 5  # smaller libraries count as this many compounds
LEAST_EXPLAINED = 0.2  # of the area or of the peaks: with less, no compound is named
UNLIKELY = 0.5  # if all compounds are, the library does not explain the mixture
SURE = 0.9
FEWEST_SURE = 5  # sure compounds that a common shift needs
LEAST_OFFSET = 0.006  # ppm
OFFSET_ERRORS = 4.0  # standard errors that a common shift must exceed
MOST_OFFSETS = 2  # corrections of the axis: the first is too small where it is found by chance hits

Masks = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Identification:
    """The prediction for one mixture.

    Attributes
    ----------
    compounds : Compounds
        The library.
    groups : ndarray, shape (K,)
        Group of each compound. Compounds of one group are equivalent: they have the same spectrum
        and count as one. The first of each group stands for it.
    probabilities : ndarray, shape (K,)
        Calibrated probability that the compound, or another of its group, is in the mixture.
    amounts : ndarray, shape (K,)
        Its concentration if it is there, in the unit of the peaks: the area of one proton. NaN for
        a compound without a candidate in the network's last round.
    shifts : ndarray, shape (M,)
        Distance of each multiplet from its place in the library, in ppm; NaN without a candidate.
    shares : ndarray, shape (M,)
        Share of each multiplet in the area of its peaks; NaN without a mask.
    masks : tuple of ndarrays, each of shape (n,)
        Sparse masks: multiplet of the library, index of the peak, share in 0..1. The shares of a
        peak, each times the probability of its compound, add to 1 at most.
    threshold : float
        Probability from which a compound is named.
    spread : float
        Estimated standard deviation of the shifts in this mixture, in ppm.
    seconds : float
        Time from the peaks to the prediction.
    offset : float
        Estimated distance of all peaks from their places in the library, in ppm; 0 where it is
        below the spread or, for a large one, not clear. Part of `shifts`.
    """

    compounds: Compounds
    groups: np.ndarray
    peaks: Peaks
    probabilities: np.ndarray
    amounts: np.ndarray
    shifts: np.ndarray
    shares: np.ndarray
    masks: Masks
    threshold: float
    spread: float
    seconds: float
    offset: float = 0.0

    @cached_property
    def first_of_group(self) -> np.ndarray:
        """The compound that stands for each compound's group, and has its masks, shape (K,)."""
        return np.unique(self.groups, return_index=True)[1][self.groups]

    @cached_property
    def is_named(self) -> np.ndarray:
        """Whether each compound is likely enough to be named, shape (K,), bool; see `outside`."""
        return (self.probabilities >= self.threshold) & (not self.outside)

    @cached_property
    def outside(self) -> str:
        """Why no compound is named, or ""."""
        highest = float(self.probabilities.max())
        if highest < self.threshold:
            start = "This is not explained by the library: no" if highest < UNLIKELY else "No"
            return (
                f"{start} compound reaches the probability of {percent(self.threshold)}; the"
                f" highest is {percent(highest)}."
            )
        # By area alone, one large peak of a solvent would hide that all others are explained.
        by_area = float((self.explained * self.peaks.areas).sum() / self.peaks.areas.sum())
        if max(by_area, float(self.explained.mean())) >= LEAST_EXPLAINED:
            return ""
        return (
            f"This is not explained by the library: the compounds that the network finds account"
            f" for {by_area:.0%} of the area and {self.explained.mean():.0%} of the peaks. No"
            " compound is named."
        )

    @property
    def note(self) -> str:
        """What the reader of a prediction must know: `outside`, and an axis that was off; or ""."""
        moved = (
            f"All peaks lie {self.offset:+.3f} ppm from their places in the library; this was"
            " corrected."
            if abs(self.offset) >= LEAST_OFFSET and not self.outside
            else ""
        )
        return " ".join(filter(None, (self.outside, moved)))

    @property
    def named(self) -> np.ndarray:
        """Compounds at or above the threshold, likeliest first; one of each group.

        None where the mixture is `outside` of what the library explains.
        """
        order = np.argsort(-self.probabilities, kind="stable")
        order = order[self.first_of_group[order] == order]
        return order[self.is_named[order]]

    def _share_of(self, masks: np.ndarray) -> np.ndarray:
        """Return the sum of some of the masks for each peak, at most 1, shape (n_peaks,)."""
        _, peak, share = self.masks
        sums = np.bincount(peak[masks], share[masks], len(self.peaks.areas))
        return np.minimum(sums, 1.0)

    def separated(self, compound: int) -> np.ndarray:
        """Return masks times mixture: the compound's part of every peak's area, (n_peaks,)."""
        of_compound = self.compounds.compound[self.masks[0]] == self.first_of_group[compound]
        return self._share_of(of_compound) * self.peaks.areas

    @cached_property
    def explained(self) -> np.ndarray:
        """Share of the named compounds in each peak, shape (n_peaks,), at most 1."""
        owner = self.compounds.compound[self.masks[0]]
        return self._share_of(self.probabilities[owner] >= self.threshold)

    @cached_property
    def multiplet_areas(self) -> np.ndarray:
        """Area that the masks give to each multiplet, shape (M,)."""
        row, peak, share = self.masks
        return np.bincount(row, share * self.peaks.areas[peak], self.compounds.n_multiplets)

    def multiplets_of(self, compound: int) -> np.ndarray:
        """Return a compound's multiplets, the one with the largest separated area first."""
        first = self.compounds.first_multiplet
        index = np.arange(first[compound], first[compound + 1])
        return index[np.lexsort((-self.compounds.protons[index], -self.multiplet_areas[index]))]

    def places(self, multiplets: np.ndarray) -> np.ndarray:
        """Return the ppm of multiplets in the mixture; without a shift, with that of the axis."""
        shifts = self.shifts[multiplets]
        return self.compounds.ppm[multiplets] + np.where(np.isfinite(shifts), shifts, self.offset)

    def neighbours(self, compound: int) -> list[tuple[int, float]]:
        """Return the other named compounds in this one's peaks, and their share of the area.

        The largest share comes first.
        """
        row, peak, share = self.masks
        owner, compound = self.compounds.compound[row], self.first_of_group[compound]
        its_peaks = np.unique(peak[owner == compound])
        inside = np.isin(peak, its_peaks) & (owner != compound)
        inside &= self.probabilities[owner] >= self.threshold
        areas = share[inside] * self.peaks.areas[peak[inside]]
        area = np.bincount(owner[inside], areas, self.compounds.n_compounds)
        total = self.peaks.areas[its_peaks].sum()
        order = np.argsort(-area, kind="stable")
        return [(int(k), float(area[k] / total)) for k in order if area[k] > 0]


class Detector:
    """A trained network with a library, ready for mixtures. It does not change.

    The network gets one compound of each group of equivalent compounds, because two would explain
    each other away, at the mean places of its group. It gets no multiplets beyond the axis, because
    they would count as missing.

    Parameters
    ----------
    compounds : Compounds
        Any library, also one that was not in training.
    trained : Trained, optional
        The packaged network by default.

    Attributes
    ----------
    groups : ndarray, shape (K,)
        Group of equivalent compounds of each compound.
    problem : str
        Why equivalent compounds were not grouped, or "".
    """

    def __init__(
        self, compounds: Compounds, trained: Trained | None = None, axis: Axis = FULL_AXIS
    ):
        self.compounds, self.axis = compounds, axis
        self.trained = trained or shipped()
        try:
            self.groups, self.problem = equivalent_compounds(compounds, axis), ""
        except ValueError as error:
            self.groups, self.problem = np.arange(compounds.n_compounds), str(error)
        first = np.unique(self.groups, return_index=True)[1]
        inside = axis.positions(compounds.ppm) >= 0
        # A compound that lies wholly beyond the axis keeps its multiplets: it is never named.
        beyond = np.bincount(compounds.compound, inside, compounds.n_compounds) == 0
        self._rows = np.flatnonzero(
            np.isin(compounds.compound, first) & (inside | beyond[compounds.compound])
        )
        placed = at_group_means(compounds, self.groups)
        self._moved = (placed.ppm - compounds.ppm)[self._rows]
        self.templates = Templates.of(placed.rows(self._rows), axis)
        # Of a smaller library than the training's, each compound is likelier to be there.
        trained_on = self.trained.made.get("config", {}).get("compounds", USUAL_SIZE)
        self._prior = SIZE_WEIGHT * log(trained_on / max(self.templates.n_compounds, LEAST_SIZE))
        # Equivalent compounds can differ in protons; the same area is then another amount.
        self._ratio = compounds.total_protons[first][self.groups] / compounds.total_protons

    def identify(self, peaks: Peaks, spread: float | None = None) -> Identification:
        """Identify and separate the compounds of a mixture.

        Where exact fits of multiplets gather around a shift, or the sure compounds share one, the
        axis is taken to be off by it. `spread` has no part in this.

        Parameters
        ----------
        spread : float, optional
            Standard deviation of the shifts in ppm, where it is known.

        Raises
        ------
        ValueError
            If the mixture is empty or lies on another axis, if `spread` is not a usable number, or
            if the network's output is not finite.
        """
        started = time.perf_counter()
        network, compounds = self.trained.network, self.compounds
        offset = estimate_offset(self.templates, peaks)
        with torch.no_grad():
            for corrections in range(MOST_OFFSETS + 1):
                hypotheses = find_hypotheses(self.templates, peaks, spread, offset)
                output = network(hypotheses)
                logits = output.presence / network.temperature + self._prior
                probability = torch.sigmoid(logits)
                if not probability.isfinite().all():
                    raise ValueError(
                        "the network's output is not finite; train it again, or use the packaged"
                        " one"
                    )
                shifts, lines = _best_places(hypotheses, output, probability >= MIN_PROBABILITY)
                more = self._common_shift(shifts, probability.numpy())
                if not more or corrections == MOST_OFFSETS:
                    break
                offset += more
        probabilities = probability.numpy()[self.groups]
        multiplet, position, area = lines
        masks = ratio_masks(compounds, peaks, probabilities, self._rows[multiplet], position, area)
        peak_areas = peaks.areas[masks[1]]
        part = np.bincount(masks[0], masks[2] * peak_areas, compounds.n_multiplets)
        total = np.bincount(masks[0], peak_areas, compounds.n_multiplets)
        amounts = np.exp(output.log_amounts.numpy()) * hypotheses.unit
        amounts = np.where(output.best.numpy() >= 0, amounts, np.nan)
        all_shifts = np.full(compounds.n_multiplets, np.nan)
        all_shifts[self._rows] = shifts + self._moved + offset
        return Identification(
            compounds=compounds,
            groups=self.groups,
            peaks=peaks,
            probabilities=probabilities,
            amounts=amounts[self.groups] * self._ratio,
            shifts=all_shifts,
            shares=np.where(total > 0, part / np.maximum(total, 1e-30), np.nan),
            masks=masks,
            threshold=self.trained.threshold,
            spread=hypotheses.spread,
            seconds=time.perf_counter() - started,
            offset=offset,
        )

    def _common_shift(self, shifts: np.ndarray, probabilities: np.ndarray) -> float:
        """Return the shift that the sure compounds have in common, 0 where it is not significant.

        Compounds that are there by chance have shifts around 0. Only places that are well known
        count.
        """
        owner = self.templates.owner.numpy()
        is_well_known = self.templates.deviations.numpy() <= WELL_KNOWN
        chosen = (probabilities[owner] >= SURE) & np.isfinite(shifts) & is_well_known
        if not chosen.any():
            return 0.0
        n = np.bincount(owner[chosen])
        of_compounds = np.bincount(owner[chosen], shifts[chosen])[n > 0] / n[n > 0]
        middle = float(np.median(of_compounds))
        error = 1.5 * float(np.median(np.abs(of_compounds - middle))) / len(of_compounds) ** 0.5
        clear = abs(middle) > max(LEAST_OFFSET, OFFSET_ERRORS * error)
        return middle if clear and len(of_compounds) >= FEWEST_SURE else 0.0


def _best_places(
    hypotheses: AmountHypotheses, output: PeakNetworkOutput, likely: torch.Tensor
) -> tuple[np.ndarray, Masks]:
    """Return the shift of each multiplet, and the lines of the likely compounds.

    Each compound has the amount of its best hypothesis, each multiplet its best place.

    Returns
    -------
    shifts : ndarray, shape (M,)
        In ppm; NaN without a candidate.
    lines : tuple of ndarrays, each of shape (n,)
        Multiplet, position and expected area of each line.
    """
    t, c = hypotheses.templates, output.candidates
    chosen = output.best[c.compound] == torch.arange(len(c.compound))  # (J,)
    rows = chosen[c.hypothesis]  # (U,)
    best = output.rounds[-1]["attention"].argmax(1)
    shifts = torch.full((len(t.protons),), float("nan"))
    shifts[c.multiplet[rows]] = c.shift[rows].gather(1, best[rows, None])[:, 0]
    unit, place = c.place // c.n_places, c.place % c.n_places  # (V,)
    compound = c.compound[c.hypothesis[unit]]
    lines = rows[unit] & (place == best[unit]) & likely[compound]
    amount = output.log_amounts[compound[lines]].exp() * hypotheses.unit
    area = amount * t.line_areas[c.line[lines]]
    return shifts.numpy(), (
        c.multiplet[unit[lines]].numpy(),
        c.position[lines].numpy(),
        area.numpy(),
    )


def ratio_masks(
    compounds: Compounds,
    peaks: Peaks,
    probabilities: np.ndarray,
    multiplet: np.ndarray,
    position: np.ndarray,
    area: np.ndarray,
) -> Masks:
    """Divide the peaks among the lines that are expected there.

    Each line belongs to one peak: a near one with enough area. The mask of a line is its expected
    area divided by the sum of the expected areas at its peak: an ideal ratio mask of the estimated
    amounts. If that sum is below `WHOLLY_EXPLAINED` of the peak's area, the divisor is the peak's
    area, and the rest of the peak remains unexplained.

    Parameters
    ----------
    probabilities : ndarray, shape (K,)
        Weights of the compounds' expected areas.
    multiplet, position, area : ndarrays, each of shape (n,)
        Multiplet of the library, position and expected area of each line.

    Returns
    -------
    tuple of ndarrays
        As `Identification.masks`.
    """
    n, hz = len(peaks.areas), peaks.axis.hz_per_position
    reach = max(2, round(PEAK_REACH / hz))
    low = np.searchsorted(peaks.positions, position - reach)
    count = np.searchsorted(peaks.positions, position + reach, "right") - low
    peak, line = expand_ranges(low, count)  # all pairs of a line and a near peak
    far = (peaks.positions[peak] - position[line]) * hz
    lacking = np.log(np.maximum(area[line] / peaks.areas[peak], 1.0))
    order = np.lexsort((-(far**2) - 8 * lacking**2, line))
    last = order[np.append(np.diff(line[order]) > 0, True)] if len(order) else order
    # The lines of one multiplet in one peak have one mask.
    key = multiplet[line[last]] * n + peak[last]
    unique, inverse = np.unique(key, return_inverse=True)
    expected = np.bincount(inverse, area[line[last]], len(unique))
    row, peak = unique // n, unique % n
    probability = probabilities[compounds.compound[row]]
    # A mask assumes that its compound is present: its expected area has the weight 1.
    weighted = expected * probability
    total = np.bincount(peak, weighted, n)[peak] - weighted + expected
    available = peaks.areas[peak]
    mask = expected / np.where(total >= WHOLLY_EXPLAINED * available, total, available)
    sums = np.bincount(peak, mask * probability, n)
    return row, peak, np.minimum(mask / np.maximum(sums, 1.0)[peak], 1.0)
