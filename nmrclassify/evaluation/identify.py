"""From a mixture of peaks to an answer: which compounds, how much of each, and which share of every peak is theirs."""

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.networks.amount_hypotheses import Templates, find_hypotheses
from nmrclassify.networks.peak_weights import Trained, shipped
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds

CLAIM_REACH = (
    1.6  # Hz: twice the tolerance, because a merged peak lies at the centre of all its lines
)
MOSTLY = (
    0.5  # of a peak's area: claims from there on share it wholly, for a peak has to be somebody's
)
FAINT = 0.02  # compounds below this probability are given no share of a peak


@dataclass(frozen=True, eq=False)
class Identification:
    """The answer for one mixture.

    Attributes
    ----------
    compounds : Compounds
        The library that was asked for.
    groups : ndarray, shape (K,)
        Compounds of one group cannot be told apart and count as one answer; the first of each group
        stands for it.
    peaks : Peaks
    chances : ndarray, shape (K,)
        Calibrated probability that each compound, or another of its group, is there.
    amounts : ndarray, shape (K,)
        Its concentration if it is there, in the unit of the peaks: the area of one proton; NaN
        where it got no closer candidates.
    shifts : ndarray, shape (M,)
        Where each multiplet was found, as a distance from its place in the library, in ppm; NaN
        where it was not looked for.
    shares : ndarray, shape (M,)
        Share of the area at each multiplet's peaks that is its own; NaN where it was not looked
        for.
    masks : tuple of ndarrays, each of shape (n,)
        Sparse masks: (multiplet of the library, peak, share in 0..1). Shares of one peak add to 1
        at most over the compounds, each weighed by its probability.
    threshold : float
        Probability from which a compound is named.
    spread : float
        Estimated standard deviation of the shifts in this mixture, in ppm.
    seconds : float
        From the peaks to the answer.
    """

    compounds: Compounds
    groups: np.ndarray
    peaks: Peaks
    probabilities: np.ndarray
    amounts: np.ndarray
    shifts: np.ndarray
    shares: np.ndarray
    masks: tuple[np.ndarray, np.ndarray, np.ndarray]
    threshold: float
    spread: float
    seconds: float

    @cached_property
    def first_of_group(self) -> np.ndarray:
        """The compound that stands for each compound's group, and has its masks, shape (K,)."""
        return np.unique(self.groups, return_index=True)[1][self.groups]

    @property
    def named(self) -> np.ndarray:
        """Compounds at or above the threshold, likeliest first; one of each group."""
        order = np.argsort(-self.probabilities, kind="stable")
        order = order[self.first_of_group[order] == order]
        return order[self.probabilities[order] >= self.threshold]

    def separated(self, compound: int) -> np.ndarray:
        """Return masks times mixture: the area of every peak that is `compound`'s, shape (n_peaks,)."""
        row, peak, share = self.masks
        own = self.compounds.compound[row] == self.first_of_group[compound]
        # Two multiplets of one compound may claim a peak together.
        return (
            np.minimum(np.bincount(peak[own], share[own], len(self.peaks.areas)), 1.0)
            * self.peaks.areas
        )

    @cached_property
    def explained(self) -> np.ndarray:
        """Share of each peak that the named compounds account for, shape (n_peaks,), at most 1."""
        row, peak, share = self.masks
        named = self.probabilities[self.compounds.compound[row]] >= self.threshold
        return np.minimum(np.bincount(peak[named], share[named], len(self.peaks.areas)), 1.0)

    def neighbours(self, compound: int) -> list[tuple[int, float]]:
        """Return other compounds with a share of this one's peaks, and how much of their area, largest first."""
        row, peak, share = self.masks
        owner, compound = self.compounds.compound[row], self.first_of_group[compound]
        mine = np.unique(peak[owner == compound])
        total = self.peaks.areas[mine].sum()
        inside = (
            np.isin(peak, mine)
            & (owner != compound)
            & (self.probabilities[owner] >= self.threshold)
        )
        area = np.bincount(
            owner[inside],
            share[inside] * self.peaks.areas[peak[inside]],
            self.compounds.n_compounds,
        )
        order = np.argsort(-area, kind="stable")
        return [(int(k), float(area[k] / total)) for k in order if area[k] > 0]


class Detector:
    """A trained network with a library, ready to be asked about mixtures; nothing in it changes.

    Of compounds that nothing tells apart one is asked for, so that twins do not explain each other
    away. Multiplets beyond the axis are not looked for: they would speak against their compound.

    Parameters
    ----------
    compounds : Compounds
        Any library: training need not have seen it.
    trained : Trained, optional
        The shipped network by default.
    axis : Axis

    Attributes
    ----------
    groups : ndarray, shape (K,)
        Which compounds count as one answer.
    problem : str
        Why such groups could not be looked for, or nothing.
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
        asked = np.unique(self.groups, return_index=True)[1]
        inside = axis.positions(compounds.ppm) >= 0
        # A compound that is wholly beyond the axis keeps its multiplets, and is never found.
        lost = np.bincount(compounds.compound, inside, compounds.n_compounds) == 0
        self._rows = np.flatnonzero(
            np.isin(compounds.compound, asked) & (inside | lost[compounds.compound])
        )
        self.templates = Templates.of(compounds.rows(self._rows), axis)
        protons = np.add.reduceat(compounds.protons, compounds.first_multiplet[:-1])
        # The amount of a twin whose protons are counted differently gives the same area.
        self._ratio = protons[asked][self.groups] / protons

    def identify(self, peaks: Peaks, spread: float | None = None) -> Identification:
        """Take a mixture apart.

        Parameters
        ----------
        peaks : Peaks
        spread : float, optional
            Standard deviation of the shifts in ppm, where it is known.

        Raises
        ------
        ValueError
            If the mixture is empty, lies on another axis, or `spread` is not a usable number; if
            the network is broken.
        """
        started = time.perf_counter()
        network, t = self.trained.network, self.templates
        with torch.no_grad():
            hypotheses = find_hypotheses(t, peaks, spread)
            found = network(hypotheses)
            probabilities = torch.sigmoid(found.presence / network.temperature)
            if not probabilities.isfinite().all():
                raise ValueError(
                    "the network's answers are not finite numbers; train it again, or take the"
                    " shipped one"
                )
            candidates = found.candidates
            # Of each compound its likeliest hypothesis, of each multiplet its likeliest place.
            chosen = found.best[candidates.compound] == torch.arange(len(candidates.compound))
            best = found.rounds[-1]["attention"].argmax(1)
            rows = chosen[candidates.hypothesis]
            multiplets = candidates.multiplet[rows]
            shifts = torch.full((len(t.protons),), float("nan"))
            shifts[multiplets] = candidates.shift[rows].gather(1, best[rows, None])[:, 0]
            unit, place = (
                candidates.place // candidates.n_places,
                candidates.place % candidates.n_places,
            )
            lines = (
                rows[unit]
                & (place == best[unit])
                & (probabilities[candidates.compound[candidates.hypothesis[unit]]] >= FAINT)
            )
            amount = (
                found.log_amounts[candidates.compound[candidates.hypothesis[unit[lines]]]].exp()
                * hypotheses.unit
            )
            claims = (
                candidates.multiplet[unit[lines]],
                candidates.position[lines],
                amount * t.line_areas[candidates.line[lines]],
            )
        multiplet, position, claim = (value.numpy() for value in claims)
        probabilities = probabilities.numpy()[self.groups]
        masks = ratio_masks(
            self.compounds, peaks, probabilities, self._rows[multiplet], position, claim
        )
        area = peaks.areas[masks[1]]
        own = np.bincount(masks[0], masks[2] * area, self.compounds.n_multiplets)
        there = np.bincount(masks[0], area, self.compounds.n_multiplets)
        shares = np.where(there > 0, own / np.maximum(there, 1e-30), np.nan)
        amounts = np.where(
            found.best.numpy() >= 0, np.exp(found.log_amounts.numpy()) * hypotheses.unit, np.nan
        )
        moved = np.full(self.compounds.n_multiplets, np.nan)
        moved[self._rows] = shifts.numpy()
        return Identification(
            self.compounds, self.groups, peaks, probabilities, amounts[self.groups] * self._ratio, moved, shares, masks,
            self.trained.threshold, hypotheses.spread, time.perf_counter() - started,
        )  # fmt: skip


def ratio_masks(
    compounds: Compounds,
    peaks: Peaks,
    probabilities: np.ndarray,
    multiplet: np.ndarray,
    position: np.ndarray,
    claim: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share out the peaks among the lines that claim them.

    Each line claims the peak that suits it best: near, and with enough area. The ratio of its claim
    to all claims is its mask there, an ideal ratio mask of the amounts found; where all claims come
    to less than `MOSTLY` of the peak's area, it is the ratio to that area, and the rest stays
    unexplained.

    Parameters
    ----------
    chances : ndarray, shape (K,)
        Weights of the compounds' claims.
    multiplet, position, claim : ndarrays, each of shape (n,)
        Of each line: its multiplet, where it is, and the area that it should have.

    Returns
    -------
    tuple of ndarrays
        As `Identification.masks`.
    """
    n, hz = len(peaks.areas), peaks.axis.hz_per_position
    reach = max(2, round(CLAIM_REACH / hz))
    low = np.searchsorted(peaks.positions, position - reach)
    count = np.searchsorted(peaks.positions, position + reach, "right") - low
    line = np.repeat(np.arange(len(position)), count)
    peak = low[line] + np.arange(count.sum()) - (np.cumsum(count) - count)[line]
    far = (peaks.positions[peak] - position[line]) * hz
    lacking = np.log(np.maximum(claim[line] / peaks.areas[peak], 1.0))
    suits = -(far**2) - 8 * lacking**2
    order = np.lexsort((suits, line))
    last = order[np.append(np.diff(line[order]) > 0, True)] if len(order) else order
    key = multiplet[line[last]] * n + peak[last]
    unique, inverse = np.unique(key, return_inverse=True)
    area = np.bincount(inverse, claim[line[last]], len(unique))
    row, peak = unique // n, unique % n
    weighed = area * probabilities[compounds.compound[row]]
    total = np.bincount(peak, weighed, n)[peak] - weighed + area
    there = peaks.areas[peak]
    mask = area / np.where(total >= MOSTLY * there, total, there)
    claimed = np.bincount(peak, mask * probabilities[compounds.compound[row]], n)
    return row, peak, np.minimum(mask / np.maximum(claimed, 1.0)[peak], 1.0)
