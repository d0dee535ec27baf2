"""From a mixture of peaks to an answer: which compounds, how much of each, and which share of every peak is theirs."""

import time
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from ..axis import FULL_AXIS, Axis
from ..compounds import Compounds, alike
from .evidence import Templates, gather
from .mixtures import Peaks
from .weights import Trained, shipped

FAINT = 0.02  # compounds below this probability are given no share of a peak


@dataclass(frozen=True, eq=False)
class Identification:
    """The answer for one mixture.

    Attributes
    ----------
    compounds : Compounds
        The library that was asked for.
    peaks : Peaks
    chances : ndarray, shape (K,)
        Calibrated probability that each compound is there.
    amounts : ndarray, shape (K,)
        Its concentration if it is there, in the unit of the peaks: the area of one proton.
    shifts : ndarray, shape (M,)
        Where each multiplet was found, as a distance from its place in the library, in ppm; NaN where it was not looked for.
    shares : ndarray, shape (M,)
        Share of the area at each multiplet's peaks that is its own; NaN where it was not looked for.
    masks : tuple of ndarrays, each of shape (n,)
        Sparse masks: (multiplet of the library, peak, share in 0..1). Shares of one peak add to 1 at most over the compounds,
        each weighed by its probability.
    threshold : float
        Probability from which a compound is named.
    spread : float
        Estimated standard deviation of the shifts in this mixture, in ppm.
    seconds : float
        From the peaks to the answer.
    """

    compounds: Compounds
    peaks: Peaks
    chances: np.ndarray
    amounts: np.ndarray
    shifts: np.ndarray
    shares: np.ndarray
    masks: tuple[np.ndarray, np.ndarray, np.ndarray]
    threshold: float
    spread: float
    seconds: float

    @property
    def named(self) -> np.ndarray:
        """Compounds at or above the threshold, likeliest first."""
        order = np.argsort(-self.chances, kind="stable")
        return order[self.chances[order] >= self.threshold]

    def separated(self, compound: int) -> np.ndarray:
        """Return masks times mixture: the area of every peak that is `compound`'s, shape (n_peaks,)."""
        row, peak, share = self.masks
        own = self.compounds.compound[row] == compound
        return np.bincount(peak[own], share[own] * self.peaks.areas[peak[own]], len(self.peaks.areas))

    @cached_property
    def explained(self) -> np.ndarray:
        """Share of each peak that the named compounds account for, shape (n_peaks,), at most 1."""
        row, peak, share = self.masks
        named = self.chances[self.compounds.compound[row]] >= self.threshold
        return np.minimum(np.bincount(peak[named], share[named], len(self.peaks.areas)), 1.0)

    def neighbours(self, compound: int) -> list[tuple[int, float]]:
        """Return other compounds with a share of this one's peaks, and how much of their area, largest first."""
        row, peak, share = self.masks
        owner = self.compounds.compound[row]
        mine = np.unique(peak[owner == compound])
        total = self.peaks.areas[mine].sum()
        inside = np.isin(peak, mine) & (owner != compound) & (self.chances[owner] >= self.threshold)
        area = np.bincount(owner[inside], share[inside] * self.peaks.areas[peak[inside]], self.compounds.n_compounds)
        order = np.argsort(-area, kind="stable")
        return [(int(k), float(area[k] / total)) for k in order if area[k] > 0]


class Detector:
    """A trained network with a library, ready to be asked about mixtures; nothing in it changes.

    Parameters
    ----------
    compounds : Compounds
        Any library: training need not have seen it.
    trained : Trained, optional
        The shipped network by default.
    axis : Axis
    """

    def __init__(self, compounds: Compounds, trained: Trained | None = None, axis: Axis = FULL_AXIS):
        self.compounds, self.axis = compounds, axis
        self.trained = trained or shipped()
        self.templates = Templates.of(compounds, axis)

    @cached_property
    def groups(self) -> np.ndarray:
        """Which compounds count as one answer, because nothing tells them apart, shape (K,)."""
        return alike(self.compounds, self.axis)

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
            If the mixture is empty, or lies on another axis.
        """
        started = time.perf_counter()
        network, t = self.trained.network, self.templates
        with torch.inference_mode():
            evidence = gather(t, peaks, spread)
            found = network(evidence)
            chances = torch.sigmoid(found.presence / network.temperature)
            look = found.look
            # Of each compound its likeliest hypothesis, of each multiplet its likeliest place.
            chosen = found.best[look.compound] == torch.arange(len(look.compound))
            best = found.rounds[-1]["attention"].argmax(1)
            rows = chosen[look.hypothesis]
            multiplets = look.multiplet[rows]
            shifts = torch.full((len(t.protons),), float("nan"))
            shifts[multiplets] = look.shift[rows].gather(1, best[rows, None])[:, 0]
            unit, place = look.item // look.n_places, look.item % look.n_places
            lines = rows[unit] & (place == best[unit]) & (chances[look.compound[look.hypothesis[unit]]] >= FAINT)
            entries = (look.multiplet[unit[lines]], look.position[lines], torch.sigmoid(found.masks[lines]))
        multiplet, position, share = (value.numpy() for value in entries)
        masks = _on_peaks(self.compounds, peaks, chances.numpy(), multiplet, position, share, t.reach)
        area = peaks.areas[masks[1]]
        own = np.bincount(masks[0], masks[2] * area, self.compounds.n_multiplets)
        there = np.bincount(masks[0], area, self.compounds.n_multiplets)
        shares = np.where(there > 0, own / np.maximum(there, 1e-30), np.nan)
        amounts = np.exp(found.log_amounts.numpy()) * evidence.unit
        return Identification(
            self.compounds, peaks, chances.numpy(), amounts, shifts.numpy(), shares, masks, self.trained.threshold,
            evidence.spread, time.perf_counter() - started,
        )  # fmt: skip


def _on_peaks(
    compounds: Compounds, peaks: Peaks, chances: np.ndarray, multiplet: np.ndarray, position: np.ndarray, share: np.ndarray, reach: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bring the masks of lines to the peaks within their reach, and share out peaks that are claimed more than once."""
    low = np.searchsorted(peaks.positions, position - reach)
    count = np.searchsorted(peaks.positions, position + reach, "right") - low
    entry = np.repeat(np.arange(len(position)), count)
    peak = low[entry] + np.arange(count.sum()) - (np.cumsum(count) - count)[entry]
    # Several lines of a multiplet can reach one peak; each knows the share of the whole multiplet there.
    key = multiplet[entry] * len(peaks.areas) + peak
    unique, inverse = np.unique(key, return_inverse=True)
    best = np.zeros(len(unique))
    np.maximum.at(best, inverse, share[entry])
    row, peak = unique // len(peaks.areas), unique % len(peaks.areas)
    claimed = np.bincount(peak, best * chances[compounds.compound[row]], len(peaks.areas))
    return row, peak, np.minimum(best / np.maximum(claimed, 1.0)[peak], 1.0)
