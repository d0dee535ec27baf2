"""Metrics of predictions beside the truth, with confidence intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.special import stdtrit  # scipy.stats would cost each training 40 MB

from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import Network


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval (95 % by default) of a share seen in n independent trials.

    E. B. Wilson, J. Am. Stat. Assoc. 22, 209-212 (1927). Unlike the normal interval it is not empty
    at 0 and 1.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the scale-invariant signal-to-distortion ratio, dB, over the last two axes (P, L).

    It is capped at +-80 dB.
    J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 4, without mean
    subtraction: areas have a natural zero.
    """
    dot = (estimate * reference).sum((-1, -2), keepdims=True)
    target = dot / np.maximum((reference**2).sum((-1, -2), keepdims=True), 1e-12) * reference
    signal = (target**2).sum((-1, -2))
    distortion = ((estimate - target) ** 2).sum((-1, -2))
    energy = signal + distortion
    # A floor relative to the energy caps the ratio, so that it is finite for a perfect estimate. An
    # empty estimate has the lowest.
    ratio = 10 * np.log10(
        np.maximum(signal, 1e-8 * energy + 1e-30) / np.maximum(distortion, 1e-8 * energy + 1e-30)
    )
    return np.where(energy > 1e-20, ratio, -80.0)


def si_sdr_improvement(estimate: np.ndarray, mixture: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the gain in `si_sdr`, dB, of an estimate of the source over the mixture itself.

    NaN where the mixture is the source up to scale (60 dB or more), as with one compound alone.
    """
    baseline = si_sdr(mixture, source)
    return np.where(baseline < 60.0, si_sdr(estimate, source) - baseline, np.nan)


METRICS = tuple(
    key + interval
    for key in (
        "n_mixtures",
        "n_compositions",
        "compound_accuracy",
        "exact_match",
        "si_sdr_improvement_db",
        "mask_distance",
    )
    for interval in (("",) if key.startswith("n_") else ("", "_ci95"))
)


def _mean_and_half_width(values: np.ndarray, n: int) -> tuple[float | None, float | None]:
    """Return the mean of values (mixtures, outputs) without NaN, and half its 95 % interval.

    `n` is the number of independent mixtures.
    """
    rows = values[~np.isnan(values).all(axis=1)]
    if len(rows) < 2 or n < 2:
        return (float(np.nanmean(rows)), None) if len(rows) else (None, None)
    means, n = np.nanmean(rows, axis=1), min(n, len(rows))
    return float(means.mean()), float(stdtrit(n - 1, 0.975) * means.std(ddof=1) / np.sqrt(n))


@dataclass(frozen=True)
class Evaluation:
    """Predictions for B mixtures beside the truth, in M pairs of a predicted and a true compound.

    M is the number of outputs where outputs are matched to sources, and otherwise what the mixture
    with the most pairs needs.

    Attributes
    ----------
    predicted, matched : ndarray, shape (B, M)
        The predicted compound and the true one. Where only the second is K, a compound is
        predicted that is not there; where only the first is, one is missed; where both are, the
        pair is empty.
    output_probabilities : ndarray, shape (B, M), or None
        Probability of each predicted class, where outputs are matched to sources.
    presence : ndarray, shape (B, K)
        Probability that each compound is in the mixture.
    unknown : ndarray, shape (B,), or None
        Probability that the mixture holds something that is not in the library, if predicted.
    true_counts : ndarray, shape (B, K)
    confidence : ndarray, shape (B,)
        Probability of the least certain statement about each mixture.
    si_sdr_improvement : ndarray, shape (B, outputs)
        dB, as `si_sdr_improvement`; NaN where there is no source.
    mask_distance : ndarray, shape (B, outputs)
        Mean absolute difference of each mask from the ideal ratio mask, over the cells that are not
        weak: 0 to 1; NaN where there is no source.
    compositions : int
        Number of distinct compositions among the mixtures, the unit of the intervals: mixtures of
        the same compounds are not independent.
    """

    predicted: np.ndarray
    matched: np.ndarray
    output_probabilities: np.ndarray | None
    presence: np.ndarray
    unknown: np.ndarray | None
    true_counts: np.ndarray
    confidence: np.ndarray
    si_sdr_improvement: np.ndarray
    mask_distance: np.ndarray
    compositions: int

    @property
    def n_compounds(self) -> int:
        """K."""
        return self.presence.shape[1]

    @property
    def counted(self) -> np.ndarray:
        """Whether a pair is not empty, shape (B, M)."""
        return (self.predicted < self.n_compounds) | (self.matched < self.n_compounds)

    @property
    def correct(self) -> np.ndarray:
        """Whether the predicted compound is right, shape (B, M); False for an empty pair."""
        return (self.predicted == self.matched) & self.counted

    @property
    def exact(self) -> np.ndarray:
        """Whether all pairs of a mixture are right, shape (B,)."""
        return (self.predicted == self.matched).all(axis=1)

    def statements(self, named: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return the predicted probabilities, and whether each came true, both flat.

        Outputs that are matched to sources state one each, that of their class. Otherwise there is
        one for each compound of the library, that it is there; `named` keeps only those of
        predicted compounds.
        """
        if self.output_probabilities is not None:
            return self.output_probabilities.ravel(), (self.predicted == self.matched).ravel()
        chosen = self.presence >= 0.5 if named else np.full(self.presence.shape, True)
        return self.presence[chosen], (self.true_counts > 0)[chosen]

    def confusion(self) -> np.ndarray:
        """Return counts of (true, predicted) compounds, (K, K); K + 1 where a pair lacks one."""
        size = self.n_compounds + 1
        counts = np.zeros((size, size), dtype=np.int64)
        np.add.at(counts, (self.matched[self.counted], self.predicted[self.counted]), 1)
        return counts if counts[-1].any() or counts[:, -1].any() else counts[:-1, :-1]

    def table(self, names: tuple[str, ...]) -> pd.DataFrame:
        """Return one row for each mixture: the true and predicted compounds, and the figures."""
        gains, counted = self.si_sdr_improvement, self.counted

        def listed(row: np.ndarray) -> str:
            return " + ".join(sorted(names[k] for k in row if k < self.n_compounds)) or "nothing"

        return pd.DataFrame(
            {
                "number": np.arange(1, len(self.predicted) + 1),
                "mixed": [listed(row) for row in self.matched],
                "named": [listed(row) for row in self.predicted],
                "right": [
                    f"{row.sum()} of {n}"
                    for row, n in zip(self.correct, counted.sum(axis=1), strict=True)
                ],
                "wholly right": self.exact,
                "confidence": self.confidence,
                "SI-SDR improvement (dB)": [
                    np.mean(row[~np.isnan(row)]) if not np.isnan(row).all() else None
                    for row in gains
                ],
                "mask distance": [
                    np.mean(row[~np.isnan(row)]) if not np.isnan(row).all() else None
                    for row in self.mask_distance
                ],
            }
        )

    def summary(self) -> dict:
        """Return the figures with their 95 % intervals, ready for JSON."""
        means: dict[str, float | list[float | None] | None] = {}
        for name, values in (
            ("si_sdr_improvement_db", self.si_sdr_improvement),
            ("mask_distance", self.mask_distance),
        ):
            mean, half = _mean_and_half_width(values, self.compositions)
            means[name] = mean
            means[f"{name}_ci95"] = (
                [None, None] if mean is None or half is None else [mean - half, mean + half]
            )
        accuracy, exact = float(self.correct.sum() / self.counted.sum()), float(self.exact.mean())
        return {
            "n_mixtures": len(self.predicted),
            "n_compositions": self.compositions,
            "compound_accuracy": accuracy,
            # The outputs of a mixture are not independent; counting mixtures as trials gives an
            # interval that is too wide rather than too narrow.
            "compound_accuracy_ci95": list(wilson(accuracy, self.compositions)),
            "exact_match": exact,
            "exact_match_ci95": list(wilson(exact, self.compositions)),
            **means,
        }


def _listed(counts: np.ndarray, width: int) -> np.ndarray:
    """Return counts (B, K) as rows of compounds (B, width), filled up with K."""
    size, n_compounds = counts.shape
    rows = np.full((size, width), n_compounds)
    row, compound = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), n_compounds)
    first = np.concatenate([[0], counts.sum(axis=1).cumsum()[:-1]])
    rows[row, np.arange(len(row)) - first[row]] = compound
    return rows


def pair_counts(predicted: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted and true counts (B, K) as `Evaluation.predicted` and `.matched`."""
    common = np.minimum(predicted, true)
    extra, missed = predicted - common, true - common
    right = _listed(common, int(common.sum(axis=1).max(initial=0)))
    width = max(int(extra.sum(axis=1).max(initial=0)), int(missed.sum(axis=1).max(initial=0)))
    first, second = (
        np.concatenate([right, _listed(part, width)], axis=1) for part in (extra, missed)
    )
    return first, second


@torch.inference_mode()
def evaluate(
    model: Network, mixtures: Mixtures, reconstruction_weight: float = 1.0, chunk: int = 256
) -> Evaluation:
    """Run a model on mixtures and return its predictions beside the truth."""
    model.eval()
    scores, gains = [], []
    for start in range(0, len(mixtures), chunk):
        part = mixtures[start : start + chunk]
        scored, multiplets, sources = model.score(part, reconstruction_weight)
        scores.append(scored)
        gain = si_sdr_improvement(multiplets, part.areas[:, None], sources)
        gains.append(np.where(sources.any((2, 3)), gain, np.nan))

    true_counts, first = mixtures.counts, scores[0]
    if first.predicted is None:
        counts = np.concatenate([part.counts for part in scores])
        predicted, matched = pair_counts(counts, true_counts)
    else:
        predicted = np.concatenate([part.predicted for part in scores])
        matched = np.concatenate([part.matched for part in scores])
    probabilities, unknown = (
        None if getattr(first, name) is None else np.concatenate([getattr(p, name) for p in scores])
        for name in ("output_probabilities", "unknown")
    )
    return Evaluation(
        predicted=predicted,
        matched=matched,
        output_probabilities=probabilities,
        presence=np.concatenate([part.presence for part in scores]),
        unknown=unknown,
        true_counts=true_counts,
        confidence=np.concatenate([part.confidence for part in scores]),
        si_sdr_improvement=np.concatenate(gains),
        mask_distance=np.concatenate([part.mask_distance for part in scores]),
        compositions=len(np.unique(np.sort(mixtures.labels, axis=1), axis=0)),
    )


def shares_right(predicted: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    """Return the share of mixtures wholly right, and the share of compounds right.

    Compounds are counted per mixture: as many as are predicted or true, whichever is more.
    """
    most = np.maximum(predicted.sum(axis=1), true.sum(axis=1)).sum()
    compounds = np.minimum(predicted, true).sum() / max(most, 1)
    return float((predicted == true).all(axis=1).mean()), float(compounds)
