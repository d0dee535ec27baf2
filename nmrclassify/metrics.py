"""How good an answer is: on which mixtures, how many, and how sure one can be of the figure."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student_t
from torch import nn

from .losses import Costs, pairwise_costs
from .matching import assign
from .mixtures import Mixtures


def wilson(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval (95 % by default) of a share seen in n independent trials.

    E. B. Wilson, J. Am. Stat. Assoc. 22, 209-212 (1927). Unlike the normal interval it is not empty at 0 and 1.
    """
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def si_sdr(estimate: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Return the scale-invariant signal-to-distortion ratio in dB over the last two axes (P, L), capped at +-80 dB.

    J. Le Roux et al., "SDR - half-baked or well done?", ICASSP 2019, equation 4, without mean subtraction: areas
    have a natural zero.
    """
    dot = (estimate * reference).sum((-1, -2), keepdims=True)
    target = dot / np.maximum((reference**2).sum((-1, -2), keepdims=True), 1e-12) * reference
    signal = (target**2).sum((-1, -2))
    distortion = ((estimate - target) ** 2).sum((-1, -2))
    energy = signal + distortion
    # A floor relative to the energy caps the ratio, so that a perfect estimate has a finite figure; silence has the lowest.
    ratio = 10 * np.log10(np.maximum(signal, 1e-8 * energy + 1e-30) / np.maximum(distortion, 1e-8 * energy + 1e-30))
    return np.where(energy > 1e-20, ratio, -80.0)


def si_sdr_improvement(estimate: np.ndarray, mixture: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return by how many dB an estimate is closer to its source than the mixture is, over the last two axes.

    NaN where the mixture is the source up to scale (60 dB or more), as with one compound alone: nothing is to be improved.
    """
    baseline = si_sdr(mixture, source)
    return np.where(baseline < 60.0, si_sdr(estimate, source) - baseline, np.nan)



METRICS = tuple(
    key + interval
    for key in ("n_mixtures", "n_compositions", "compound_accuracy", "exact_match", "si_sdr_improvement_db")
    for interval in (("",) if key.startswith("n_") else ("", "_ci95"))
)


def _mean_and_half_width(values: np.ndarray, n: int) -> tuple[float | None, float | None]:
    """Return the mean of (mixtures, outputs) leaving out NaN, and half its 95 % interval for n independent mixtures."""
    rows = values[~np.isnan(values).all(axis=1)]
    if len(rows) < 2 or n < 2:
        return (float(np.nanmean(rows)), None) if len(rows) else (None, None)
    means, n = np.nanmean(rows, axis=1), min(n, len(rows))
    return float(means.mean()), float(student_t.ppf(0.975, n - 1) * means.std(ddof=1) / np.sqrt(n))


@dataclass(frozen=True)
class Evaluation:
    """A model's answers on B mixtures, matched to the truth.

    Attributes
    ----------
    probabilities : ndarray, shape (B, C, K)
    predicted : ndarray, shape (B, C)
        The likeliest compound of each output.
    matched : ndarray, shape (B, C)
        The true compound that each output was matched to.
    si_sdr_improvement : ndarray, shape (B, C)
        dB, as `si_sdr_improvement`.
    compositions : int
        Number of distinct compositions among the mixtures, the unit of the intervals: several mixtures of the same
        compounds are not independent evidence.
    """

    probabilities: np.ndarray
    predicted: np.ndarray
    matched: np.ndarray
    si_sdr_improvement: np.ndarray
    compositions: int

    @property
    def correct(self) -> np.ndarray:
        """Whether each output names its compound, shape (B, C)."""
        return self.predicted == self.matched

    @property
    def exact(self) -> np.ndarray:
        """Whether every compound of a mixture is named, shape (B,)."""
        return self.correct.all(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """Probability of the least sure output of each mixture, shape (B,)."""
        return self.probabilities.max(axis=-1).min(axis=1)

    def confusion(self) -> np.ndarray:
        """Return counts of (true compound, named compound), shape (K, K)."""
        counts = np.zeros((self.probabilities.shape[-1],) * 2, dtype=np.int64)
        np.add.at(counts, (self.matched.ravel(), self.predicted.ravel()), 1)
        return counts

    def table(self, names: tuple[str, ...]) -> pd.DataFrame:
        """Return one row for each mixture: what was in it, what was named, how sure and how well separated."""
        return pd.DataFrame(
            {
                "number": np.arange(1, len(self.predicted) + 1),
                "mixed": [" + ".join(sorted(names[k] for k in row)) for row in self.matched],
                "named": [" + ".join(sorted(names[k] for k in row)) for row in self.predicted],
                "right": [f"{row.sum()} of {len(row)}" for row in self.correct],
                "wholly right": self.exact,
                "confidence": self.confidence,
                "SI-SDR improvement (dB)": [np.mean(row[~np.isnan(row)]) if not np.isnan(row).all() else None for row in self.si_sdr_improvement],
            }
        )

    def summary(self) -> dict:
        """Return the figures with their 95 % intervals, ready for JSON."""
        gain, half = _mean_and_half_width(self.si_sdr_improvement, self.compositions)
        accuracy, exact = float(self.correct.mean()), float(self.exact.mean())
        return {
            "n_mixtures": len(self.predicted),
            "n_compositions": self.compositions,
            "compound_accuracy": accuracy,
            # The outputs of a mixture are not independent; counting mixtures as trials errs on the wide side.
            "compound_accuracy_ci95": list(wilson(accuracy, self.compositions)),
            "exact_match": exact,
            "exact_match_ci95": list(wilson(exact, self.compositions)),
            "si_sdr_improvement_db": gain,
            "si_sdr_improvement_db_ci95": [None, None] if half is None else [gain - half, gain + half],
        }


def pair_for_scoring(logits: torch.Tensor, costs: Costs, labels: torch.Tensor, weight: float = 1.0) -> np.ndarray:
    """Assign outputs to sources, shape (B, C): first as many right as can be, then at the lowest training cost.

    So accuracy is that of the best matching, and confusion and separation speak of the same pairing.
    """
    cost = costs.total(weight).double()
    wrong = logits.argmax(-1)[:, :, None] != labels[:, None]  # (B, C, C)
    # One wrong name outweighs all that the costs of a mixture can add up to.
    penalty = 1.0 + 2.0 * labels.shape[1] * cost.amax((1, 2), keepdim=True)
    return assign((wrong * penalty + cost).numpy())


@torch.inference_mode()
def evaluate(model: nn.Module, mixtures: Mixtures, reconstruction_weight: float = 1.0, chunk: int = 256) -> Evaluation:
    """Run a model on mixtures and match its outputs to the true sources."""
    model.eval()
    probabilities, pairings, gains = [], [], []
    for start in range(0, len(mixtures), chunk):
        part = mixtures[start : start + chunk]
        areas, sources, labels = (torch.from_numpy(a) for a in (part.areas, part.sources, part.labels))
        logits, separation = model(areas)
        costs = pairwise_costs(logits, separation.multiplets, labels, sources)
        pairing = pair_for_scoring(logits, costs, labels, reconstruction_weight)
        paired = np.take_along_axis(part.sources, pairing[:, :, None, None], axis=1)
        estimate = separation.multiplets.numpy()
        gains.append(si_sdr_improvement(estimate, part.areas[:, None], paired))
        probabilities.append(logits.softmax(-1).numpy())
        pairings.append(pairing)
    chances, pairing = np.concatenate(probabilities), np.concatenate(pairings)
    return Evaluation(
        probabilities=chances,
        predicted=chances.argmax(-1),
        matched=np.take_along_axis(mixtures.labels, pairing, axis=1),
        si_sdr_improvement=np.concatenate(gains),
        compositions=len(np.unique(np.sort(mixtures.labels, axis=1), axis=0)),
    )
