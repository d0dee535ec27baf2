"""Metrics at full scale over many mixtures: of compounds, amounts, probabilities and masks.

Equivalent compounds (`nmr.equivalent_compounds`) count as one: it is named if one of them is named,
and present if one of them is present.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from nmrclassify.evaluation.calibration import Reliability
from nmrclassify.evaluation.identify import Identification, Masks
from nmrclassify.mixtures.peaks import PeakMixture
from nmrclassify.nmr.compounds import Compounds

STRONG = 0.1  # of the highest concentration in the mixture
SHARED = 0.95  # a multiplet with a smaller share of the area of its peaks is overlapped
BINS = 10
REPEATS = 2000  # of the bootstrap


def f1_score(
    right: np.ndarray | float, named: np.ndarray | float, present: np.ndarray | float
) -> np.ndarray | float:
    """Return the harmonic mean of precision and recall from counts; 0 where nothing is right."""
    return 2 * right / np.maximum(named + present, 1)


class Tally(NamedTuple):
    """Counts of named and present compounds."""

    right: int
    named: int
    present: int

    @classmethod
    def of(cls, named: np.ndarray, present: np.ndarray) -> "Tally":
        """Count two arrays of bool."""
        return cls(int((named & present).sum()), int(named.sum()), int(present.sum()))

    @property
    def missed(self) -> int:
        """Present, but not named."""
        return self.present - self.right

    @property
    def false_alarms(self) -> int:
        """Named, but not present."""
        return self.named - self.right

    @property
    def precision(self) -> float:
        """Right ones of the named; 1 where nothing is named."""
        return self.right / self.named if self.named else 1.0

    @property
    def recall(self) -> float:
        """Right ones of the present."""
        return self.right / max(self.present, 1)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 where nothing is right."""
        return float(f1_score(*self))


def in_groups(groups: np.ndarray, compounds: np.ndarray) -> np.ndarray:
    """Return which groups have one of `compounds` (indices or bool), shape (groups,), bool."""
    members = np.zeros(int(groups.max()) + 1, dtype=bool)
    members[groups[compounds]] = True
    return members


def highest_of_group(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the highest value of each group, shape (groups,)."""
    highest = np.full(int(groups.max()) + 1, -np.inf)
    np.maximum.at(highest, groups, values)
    return highest


def mask_shares(mixture: PeakMixture, masks: Masks) -> np.ndarray:
    """Return the share of each multiplet in the area of its true peaks, according to masks.

    Parameters
    ----------
    masks : tuple of ndarrays
        As in Identification: (multiplet of the library, peak, share), each pair once.

    Returns
    -------
    ndarray, shape (m,)
        0 for a multiplet without a mask; NaN for one without a peak, as in `PeakMixture.shares`.
    """
    areas, n = mixture.peaks.areas.astype(float), len(mixture.peaks.areas)
    # Several lines of a multiplet can be one peak, which counts once. The pairs are by index into
    # `mixture.multiplets`: two equivalent compounds can have the same multiplet of the library.
    pairs = np.unique(mixture.parts[0] * n + mixture.parts[1])
    row = pairs // n
    true = mixture.multiplets[row] * n + pairs % n
    key = masks[0] * n + masks[1]
    by_key = np.argsort(key)
    place = np.searchsorted(key[by_key], true).clip(max=max(0, len(key) - 1))
    shares = np.zeros(len(true))
    if len(key):
        match = key[by_key][place] == true
        shares[match] = masks[2][by_key][place[match]]
    area = areas[true % n]
    total = np.bincount(row, area, len(mixture.multiplets))
    part = np.bincount(row, shares * area, len(mixture.multiplets))
    return np.where(total > 0, part / np.maximum(total, 1e-30), np.nan)


def _first_of_group_multiplets(compounds: Compounds, first: np.ndarray) -> np.ndarray:
    """Return for each multiplet the equivalent one of the first compound of its group, (M,).

    The multiplets of two equivalent compounds correspond in the order of their shifts.
    """
    stand_in, start = np.arange(compounds.n_multiplets), compounds.first_multiplet
    for k in np.flatnonzero(first != np.arange(len(first))):
        these, others = (np.arange(start[i], start[i + 1]) for i in (k, first[k]))
        order = np.argsort(compounds.ppm[others], kind="stable")
        stand_in[these[np.argsort(compounds.ppm[these], kind="stable")]] = others[order]
    return stand_in


class _MaskErrors(NamedTuple):
    """Sums over the overlapped multiplets of a mixture."""

    error: float  # of the shares by the masks
    n: int
    error_named: float  # of those of named compounds
    n_named: int
    error_of_none: float  # of masks that are 0


@dataclass
class Score:
    """Sums over mixtures, with an entry for each mixture.

    Attributes
    ----------
    strong : list of (int, int)
        Strong compounds that are named, and all strong compounds; see `STRONG`.
    errors : list of ndarrays
        Relative errors of the amounts of strong compounds that are named.
    masks : list of tuple
        Errors of the masks.
    bins : ndarray, shape (2, 3, BINS)
        For all compounds, and for the named ones: sum of probabilities, number of present
        compounds, number of all, in bins of the probability.
    """

    counts: list[Tally] = field(default_factory=list)
    strong: list[tuple[int, int]] = field(default_factory=list)
    errors: list[np.ndarray] = field(default_factory=list)
    masks: list[_MaskErrors] = field(default_factory=list)
    bins: np.ndarray = field(default_factory=lambda: np.zeros((2, 3, BINS)))

    def add(
        self,
        mixture: PeakMixture,
        compounds: Compounds,
        groups: np.ndarray,
        named: np.ndarray,
        amounts: np.ndarray,
        probabilities: np.ndarray | None = None,
        masks: Masks | None = None,
    ) -> None:
        """Add the prediction for one mixture.

        Parameters
        ----------
        groups : ndarray, shape (K,)
            As `equivalent_compounds` returns them.
        named : ndarray, shape (K,), bool
        amounts : ndarray, shape (K,)
        probabilities : ndarray, shape (K,), optional
            If the method has them.
        masks : tuple of ndarrays, optional
            As in Identification, if the method has them.

        Raises
        ------
        ValueError
            If an array does not have one entry for each compound.
        """
        arrays = {"groups": groups, "named": named, "amounts": amounts}
        if probabilities is not None:
            arrays["probabilities"] = probabilities
        for name, values in arrays.items():
            if np.shape(values) != (compounds.n_compounds,):
                expected = f"expected one for each of the {compounds.n_compounds} compounds"
                raise ValueError(f"{name} have shape {np.shape(values)}; {expected}")
        named_groups, present = in_groups(groups, named), in_groups(groups, mixture.present)
        self.counts.append(Tally.of(named_groups, present))
        is_strong = mixture.amounts > STRONG * mixture.amounts.max(initial=0)
        strong = in_groups(groups, mixture.present[is_strong])
        self.strong.append((int((strong & named_groups).sum()), int(strong.sum())))
        # Errors of areas: equivalent compounds can differ in protons, and so in amounts.
        n, protons = len(present), compounds.total_protons
        predicted = np.bincount(groups, np.where(named, amounts * protons, 0.0), n)
        true = np.bincount(groups[mixture.present], mixture.amounts * protons[mixture.present], n)
        errors = np.abs(predicted / np.where(present, true, 1.0) - 1)
        self.errors.append(errors[strong & named_groups])
        if probabilities is not None:
            stated = highest_of_group(groups, probabilities)
            index = np.minimum((stated * BINS).astype(int), BINS - 1)
            for bins, chosen in zip(self.bins, (np.ones(n, dtype=bool), named_groups), strict=True):
                for k, values in enumerate((stated, present, np.ones(n))):
                    bins[k] += np.bincount(index[chosen], values[chosen], BINS)
        if masks is not None:
            self.masks.append(_mask_errors(mixture, named, masks))

    def add_prediction(self, mixture: PeakMixture, prediction: Identification) -> None:
        """Add what `Detector.identify` returned for a mixture."""
        first = prediction.first_of_group
        # The first compound of a group stands for it: with the amount, and with the masks.
        amounts = np.where(first == np.arange(len(first)), np.nan_to_num(prediction.amounts), 0.0)
        stand_in = _first_of_group_multiplets(prediction.compounds, first)
        self.add(
            replace(mixture, multiplets=stand_in[mixture.multiplets]),
            prediction.compounds,
            prediction.groups,
            prediction.is_named,
            amounts,
            prediction.probabilities,
            prediction.masks,
        )

    def __add__(self, other: "Score") -> "Score":
        """Return the sums of both."""
        return Score(
            self.counts + other.counts,
            self.strong + other.strong,
            self.errors + other.errors,
            self.masks + other.masks,
            self.bins + other.bins,
        )

    def reliability(self, named: bool = False) -> Reliability:
        """Return probabilities beside what is true, of all compounds or of the named ones."""
        stated, true, n = self.bins[int(named)]
        with np.errstate(invalid="ignore"):
            return Reliability(stated / n, true / n, n)

    def summary(self, seed: int = 0) -> dict:
        """Return the metrics, with 95 % bootstrap intervals over mixtures.

        Metrics that do not apply are missing.

        Raises
        ------
        ValueError
            If no mixture was added.
        """
        if not self.counts:
            raise ValueError("no mixture was added; add at least one first")
        n = len(self.counts)
        # How often each mixture occurs in each resample.
        resamples = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), REPEATS)
        figures: dict = {"n_mixtures": n}

        def ratio(name: str, above: np.ndarray, below: np.ndarray) -> None:
            if below.sum():
                resampled = resamples @ above / np.maximum(resamples @ below, 1e-9)
                low, high = np.quantile(resampled, (0.025, 0.975))
                figures[name] = round(float(above.sum() / below.sum()), 4)
                figures[f"{name}_interval"] = [round(float(low), 4), round(float(high), 4)]

        right, named, present = np.array(self.counts, dtype=float).T
        ratio("precision", right, named)
        ratio("recall", right, present)
        ratio("f1", 2 * right, named + present)
        ratio("strong_recall", *np.array(self.strong, dtype=float).T)
        errors = np.concatenate(self.errors)
        if len(errors):
            figures["strong_amount_error"] = round(float(np.median(errors)), 4)
        for name, bins in zip(("", "_named"), self.bins, strict=True):
            if bins.any():
                error = self.reliability(bool(name)).expected_calibration_error
                figures[f"calibration_error{name}"] = round(error, 4)
        if self.masks:
            error, n_all, error_named, n_named, of_none = np.array(self.masks, dtype=float).T
            ratio("mask_error", error, n_all)
            ratio("mask_error_named", error_named, n_named)
            ratio("mask_error_of_none", of_none, n_all)
            figures["shared_multiplets"] = int(n_all.sum())
        return figures


def _mask_errors(mixture: PeakMixture, named: np.ndarray, masks: Masks) -> _MaskErrors:
    shared = mixture.shares < SHARED  # false for NaN
    of_named = named[mixture.present[mixture.owners]]
    error = np.abs(np.where(of_named, mask_shares(mixture, masks), 0.0) - mixture.shares)
    return _MaskErrors(
        float(error[shared].sum()),
        int(shared.sum()),
        float(error[shared & of_named].sum()),
        int((shared & of_named).sum()),
        float(mixture.shares[shared].sum()),
    )
