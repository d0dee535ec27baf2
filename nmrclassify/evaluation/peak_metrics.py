"""How well answers at full scale fit the truth: compounds, amounts, probabilities and masks, over many mixtures.

Compounds that nothing tells apart (`compounds.alike`) are one answer: named if one of them is, and
there if one is.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from nmrclassify.evaluation.calibration import Reliability
from nmrclassify.evaluation.identify import Identification
from nmrclassify.mixtures.peaks import PeakMixture
from nmrclassify.nmr.compounds import Compounds

STRONG = 0.1  # of the strongest concentration in the mixture
SHARED = 0.95  # a multiplet with a smaller share of its peaks shares them
BINS = 10
REPEATS = 2000


def mask_shares(
    mixture: PeakMixture, masks: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the share that masks give each multiplet of a mixture of the area at its true peaks, shape (m,).

    0 where the masks do not hold the multiplet; NaN where no peak of it was picked, as in
    `PeakMixture.shares`.

    Parameters
    ----------
    mixture : PeakMixture
    masks : tuple of ndarrays
        As in Identification: (multiplet of the library, peak, share), each pair once.
    """
    areas, n = mixture.peaks.areas.astype(float), len(mixture.peaks.areas)
    # A peak counts once for a multiplet, however many of its lines fell into it. By row: of two
    # twins that are both in the mixture, one multiplet of the library may stand for both.
    pairs = np.unique(mixture.parts[0] * n + mixture.parts[1])
    row = pairs // n
    true = mixture.multiplets[row] * n + pairs % n
    key = masks[0] * n + masks[1]
    by_key = np.argsort(key)
    place = np.searchsorted(key[by_key], true).clip(max=max(0, len(key) - 1))
    given = np.zeros(len(true))
    if len(key):
        match = key[by_key][place] == true
        given[match] = masks[2][by_key][place[match]]
    area = areas[true % n]
    total = np.bincount(row, area, len(mixture.multiplets))
    own = np.bincount(row, given * area, len(mixture.multiplets))
    return np.where(total > 0, own / np.maximum(total, 1e-30), np.nan)


def _stand_ins(compounds: Compounds, first: np.ndarray) -> np.ndarray:
    """Return for each multiplet the one of the compound `first[k]` that stands for it, in the order of their shifts, shape (M,)."""
    stand_in, start = np.arange(compounds.n_multiplets), compounds.first_multiplet
    for k in np.flatnonzero(first != np.arange(len(first))):
        own, other = (np.arange(start[i], start[i + 1]) for i in (k, first[k]))
        stand_in[own[np.argsort(compounds.ppm[own], kind="stable")]] = other[
            np.argsort(compounds.ppm[other], kind="stable")
        ]
    return stand_in


@dataclass
class Score:
    """Sums over mixtures; a row a mixture, so that intervals can be drawn from them.

    Attributes
    ----------
    counts : list of (int, int, int)
        Answers that are named and there, named, there.
    strong : list of (int, int)
        Strong compounds that are named, and all; strong is above `STRONG` of the strongest.
    errors : list of ndarrays
        Relative errors of the amounts of strong compounds that are named.
    masks : list of (float, int, float, int, float)
        Sum of the errors of the shares of shared multiplets, their number; the same for named
        compounds only; and the sum of the true shares, which is the error of masks that hold
        nothing.
    bins : ndarray, shape (2, 3, BINS)
        Of all answers, and of the named: sum of stated probabilities, how often they came true,
        number.
    """

    counts: list[tuple[int, int, int]] = field(default_factory=list)
    strong: list[tuple[int, int]] = field(default_factory=list)
    errors: list[np.ndarray] = field(default_factory=list)
    masks: list[tuple[float, int, float, int, float]] = field(default_factory=list)
    bins: np.ndarray = field(default_factory=lambda: np.zeros((2, 3, BINS)))

    def add(
        self,
        mixture: PeakMixture,
        compounds: Compounds,
        groups: np.ndarray,
        named: np.ndarray,
        amounts: np.ndarray,
        probabilities: np.ndarray | None = None,
        masks: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    ) -> None:
        """Add the answer to one mixture.

        Parameters
        ----------
        mixture : PeakMixture
        compounds : Compounds
        groups : ndarray, shape (K,)
            As `compounds.alike` returns them.
        named : ndarray, shape (K,), bool
        amounts : ndarray, shape (K,)
        chances : ndarray, shape (K,), optional
            Probabilities, of a method that states them.
        masks : tuple of ndarrays, optional
            As in Identification, of a method that separates.

        Raises
        ------
        ValueError
            If an array does not have an entry for each compound.
        """
        for name, values in (
            ("groups", groups),
            ("named", named),
            ("amounts", amounts),
            ("probabilities", probabilities),
        ):
            if values is not None and np.shape(values) != (compounds.n_compounds,):
                expected = f"expected one for each of the {compounds.n_compounds} compounds"
                raise ValueError(f"{name} have shape {np.shape(values)}; {expected}")
        n = int(groups.max()) + 1
        protons = np.add.reduceat(compounds.protons, compounds.first_multiplet[:-1])
        found, there, strong = (np.zeros(n, dtype=bool) for _ in range(3))
        found[groups[named]] = True
        there[groups[mixture.present]] = True
        self.counts.append((int((found & there).sum()), int(found.sum()), int(there.sum())))
        strong[
            groups[mixture.present[mixture.amounts > STRONG * mixture.amounts.max(initial=0)]]
        ] = True
        self.strong.append((int((strong & found).sum()), int(strong.sum())))
        # Areas, because compounds that are alike may differ in protons.
        given = np.bincount(groups, np.where(named, amounts * protons, 0.0), n)
        true = np.bincount(groups[mixture.present], mixture.amounts * protons[mixture.present], n)
        self.errors.append(np.abs(given / np.where(there, true, 1.0) - 1)[strong & found])
        if probabilities is not None:
            stated = np.zeros(n)
            np.maximum.at(stated, groups, probabilities)
            index = np.minimum((stated * BINS).astype(int), BINS - 1)
            for bins, which in zip(self.bins, (np.ones(n, dtype=bool), found), strict=False):
                for k, values in enumerate((stated, there, np.ones(n))):
                    bins[k] += np.bincount(index[which], values[which], BINS)
        if masks is not None:
            shared = mixture.shares < SHARED  # NaN is not
            of_named = named[mixture.present[mixture.owners]]
            error = np.abs(np.where(of_named, mask_shares(mixture, masks), 0.0) - mixture.shares)
            both = shared & of_named
            self.masks.append(
                (
                    float(error[shared].sum()),
                    int(shared.sum()),
                    float(error[both].sum()),
                    int(both.sum()),
                    float(mixture.shares[shared].sum()),
                )
            )

    def add_prediction(
        self, mixture: PeakMixture, prediction: Identification, groups: np.ndarray
    ) -> None:
        """Add what `Detector.identify` returned for a mixture."""
        named = prediction.probabilities >= prediction.threshold
        first = prediction.first_of_group
        # One of a group stands for it: its area counts once, and its masks are those of the twin
        # that is in the mixture.
        amounts = np.where(first == np.arange(len(first)), np.nan_to_num(prediction.amounts), 0.0)
        mixture = replace(
            mixture, multiplets=_stand_ins(prediction.compounds, first)[mixture.multiplets]
        )
        self.add(
            mixture,
            prediction.compounds,
            groups,
            named,
            amounts,
            prediction.probabilities,
            prediction.masks,
        )

    def __add__(self, other: "Score") -> "Score":
        """Return the sums of both."""
        lists = (
            getattr(self, name) + getattr(other, name)
            for name in ("counts", "strong", "errors", "masks")
        )
        return Score(*lists, self.bins + other.bins)

    def reliability(self, named: bool = False) -> Reliability:
        """Return stated probabilities against what came true, of all answers or of the named."""
        stated, true, n = self.bins[int(named)]
        with np.errstate(invalid="ignore"):
            return Reliability(stated / n, true / n, n)

    def summary(self, seed: int = 0) -> dict:
        """Return the figures, with 95 % bootstrap intervals over mixtures; what does not apply is left out.

        Raises
        ------
        ValueError
            If no mixture was added.
        """
        if not self.counts:
            raise ValueError("no mixture was added; add at least one before asking for figures")
        n = len(self.counts)
        drawn = np.random.default_rng(seed).multinomial(
            n, np.full(n, 1 / n), REPEATS
        )  # how often each mixture counts
        hits, named, there = np.array(self.counts, dtype=float).T
        figures: dict = {"n_mixtures": n}

        def state(name: str, above: np.ndarray, below: np.ndarray) -> None:
            if below.sum():
                many = drawn @ above / np.maximum(drawn @ below, 1e-9)
                low, high = np.quantile(many, (0.025, 0.975))
                figures[name] = round(float(above.sum() / below.sum()), 4)
                figures[f"{name}_interval"] = [round(float(low), 4), round(float(high), 4)]

        state("precision", hits, named)
        state("recall", hits, there)
        state("f1", 2 * hits, named + there)
        state("strong_recall", *np.array(self.strong, dtype=float).T)
        errors = np.concatenate(self.errors)
        if len(errors):
            figures["strong_amount_error"] = round(float(np.median(errors)), 4)
        if self.bins.any():
            figures["calibration_error"] = round(self.reliability().expected_calibration_error, 4)
            if self.bins[1].any():
                figures["calibration_error_named"] = round(
                    self.reliability(named=True).expected_calibration_error, 4
                )
        if self.masks:
            every, n_every, those, n_those, nothing = np.array(self.masks, dtype=float).T
            state("mask_error", every, n_every)
            state("mask_error_named", those, n_those)
            state("mask_error_of_none", nothing, n_every)
            figures["shared_multiplets"] = int(n_every.sum())
        return figures
