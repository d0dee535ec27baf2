"""The pH of a mixture by what the network names at each of a few: the last step of its estimate."""

from collections.abc import Sequence

import numpy as np

from nmrclassify.evaluation.identify import Detector, Identification
from nmrclassify.mixtures.acid_base import HIGH, LOW, PhCandidate, PhChooser
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.networks.peak_weights import Trained
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.titration import TABLE_PH, at_ph

# Another pH than that of the table must explain more of the peaks, the more the further it is: most
# samples are near it, and where few compounds titrate, one that is named by chance would decide.
MARGIN, MARGIN_PER_PH = 0.05, 0.015
# Of the peaks, that the named compounds must explain: where the candidate's offset stands out from
# others, and where it does not.
LEAST_SHARE, LEAST_SHARE_UNCLEAR_OFFSET = 0.2, 0.6
OF_SCORE = 0.1  # of the explained share, for e times the score of the candidate
REFINED = 0.4  # pH to either side of the chosen one
FINER = 0.01  # of the explained share, by which a pH beside the chosen one must be better


def explained_share(prediction: Identification) -> float:
    """Return the share of the peaks that the named compounds explain, by the root of their areas.

    By the areas alone, one strong compound that does not titrate would decide.
    """
    weights = np.sqrt(prediction.peaks.areas)
    return float((prediction.explained * weights).sum() / weights.sum())


def ph_chooser(compounds: Compounds, trained: Trained | None = None) -> PhChooser:
    """Return what compares candidates for the pH by identifying the compounds at each.

    Parameters
    ----------
    compounds : Compounds
        The library, as it is at pH 7.4.
    trained : Trained, optional
        The packaged network by default.
    """

    def share_at(ph: float, peaks: Peaks) -> float:
        if not len(peaks.areas):
            return 0.0
        library = second_order(at_ph(compounds, ph), peaks.axis.mhz)
        return explained_share(Detector(library, trained, peaks.axis).identify(peaks))

    def choose(candidates: Sequence[PhCandidate], peaks: Sequence[Peaks]) -> tuple[int, float, str]:
        shares = [share_at(c.ph, p) for c, p in zip(candidates, peaks, strict=True)]
        scores = np.array([max(c.score, 1.0) for c in candidates])
        far = np.array([abs(c.ph - TABLE_PH) for c in candidates])
        worth = shares + OF_SCORE * np.log(scores / scores[-1])
        worth[:-1] -= MARGIN + MARGIN_PER_PH * far[:-1]
        least = np.where(
            [c.stands_out for c in candidates], LEAST_SHARE, LEAST_SHARE_UNCLEAR_OFFSET
        )
        worth[:-1][(shares < least)[:-1]] = -np.inf
        best = int(worth.argmax())
        ph, share = candidates[best].ph, shares[best]
        if best < len(shares) - 1:
            for beside in (ph - REFINED, ph + REFINED):
                if LOW <= beside <= HIGH:
                    other = share_at(beside, peaks[best])
                    if other > share + FINER:
                        ph, share = beside, other
        return (
            best,
            ph,
            (
                f"there the named compounds explain {share:.0%} of the peaks, at pH {TABLE_PH:g}"
                f" {shares[-1]:.0%}"
            ),
        )

    return choose
