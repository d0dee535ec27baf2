"""Which compounds a classical method names, and the choice of its settings and threshold.

A compound is named if the area that it brings is above a threshold, relative to the compound that
brings most. Settings and threshold are chosen on development mixtures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nmrclassify.evaluation.peak_metrics import Tally, f1_score
from nmrclassify.mixtures.peaks import PeakMixture, Peaks
from nmrclassify.nmr.compounds import Compounds

THRESHOLDS = np.logspace(-4.5, -0.5, 41)

Method = Callable[[Peaks], np.ndarray]


def named(compounds: Compounds, amounts: np.ndarray, threshold: float) -> np.ndarray:
    """Return which compounds bring `threshold` of the largest area or more, shape (K,), bool."""
    area = amounts * compounds.total_protons
    return (area > 0) & (area >= threshold * area.max())


@dataclass(frozen=True)
class Tuned:
    """The best arguments of a method, its best threshold, and its micro-F1 with them."""

    setting: dict
    threshold: float
    f1: float


def tune(
    make: Callable[..., Method],
    settings: Sequence[dict],
    compounds: Compounds,
    mixtures: Mapping[float, Sequence[PeakMixture]],
    report: Callable[[], object] = lambda: None,
) -> tuple[Tuned, dict[float, Tuned]]:
    """Choose a method's setting and threshold by micro-F1 on development mixtures.

    Parameters
    ----------
    make : callable
        Called with `compounds` and the arguments of a setting, e.g. `LeastSquares`.
    compounds : Compounds
        Without equivalent compounds.
    mixtures : dict
        Development mixtures of each jitter.
    report : callable, optional
        Called after each mixture.

    Returns
    -------
    one : Tuned
        The best for all jitters together, as the network has one threshold.
    each : dict of Tuned
        The best for each jitter by itself, which assumes that the jitter is known.

    Raises
    ------
    ValueError
        If there is no setting or no mixture.
    """
    if not settings or not any(mixtures.values()):
        n_mixtures = sum(map(len, mixtures.values()))
        raise ValueError(
            f"{len(settings)} settings and {n_mixtures} mixtures were given; expected one of each"
            " at least"
        )
    counts = np.zeros((len(mixtures), len(settings), len(THRESHOLDS), 3))
    for s, setting in enumerate(settings):
        method = make(compounds, **setting)
        for j, of_jitter in enumerate(mixtures.values()):
            for mixture in of_jitter:
                amounts = method(mixture.peaks)
                present = np.isin(np.arange(compounds.n_compounds), mixture.present)
                for t, threshold in enumerate(THRESHOLDS):
                    counts[j, s, t] += Tally.of(named(compounds, amounts, threshold), present)
                report()

    def best(sums: np.ndarray) -> Tuned:
        f1 = np.asarray(f1_score(*np.moveaxis(sums, -1, 0)))
        s, t = np.unravel_index(f1.argmax(), f1.shape)
        return Tuned(dict(settings[int(s)]), float(THRESHOLDS[t]), float(f1[s, t]))

    each = {jitter: best(sums) for jitter, sums in zip(mixtures, counts, strict=True)}
    return best(counts.sum(0)), each
