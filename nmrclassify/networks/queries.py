"""`Queries`: one output for each compound of the library, and a last one for the unknown.

Output k predicts whether compound k is in the mixture, how often, and how much of it. So no outputs
are matched, and the number of compounds may vary.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig, Mixtures
from nmrclassify.networks.conv_tasnet import Intermediates, MaskHook, Network, NetworkConfig, rms
from nmrclassify.networks.losses import Objective, mask_losses
from nmrclassify.networks.prediction import (
    MAX_SHOWN,
    OutputNames,
    Pairing,
    Prediction,
    Scores,
    Truth,
    percent,
)

# Steps towards non-negative amounts: with noise 0.3 on the preset quick, all are then within 0.012
# of the exact solution.
FIT_STEPS = 20


class _QueryNames(OutputNames):
    kind = "queries"
    class_k = "something unknown"
    outputs_are_classes = True
    presence_title = "probability"
    about_presence = ""


@dataclass(frozen=True)
class QueriesPrediction(_QueryNames, Prediction):
    """What `Queries` predict for one mixture.

    The outputs shown are those of the predicted compounds, the likeliest first, and of the unknown
    where that is predicted; where nothing is predicted, that of the likeliest compound.
    """

    @property
    def confidence(self) -> np.ndarray:
        """Probability of each shown class, shape (M,)."""
        return self.probabilities[0, self.named]

    @property
    def outputs(self) -> np.ndarray:
        """The outputs shown: those of the shown classes, shape (M,)."""
        return self.named

    @property
    def unknown(self) -> float:
        """Probability that the mixture holds something that is not in the library."""
        return float(self.probabilities[0, -1])

    @property
    def _stated(self) -> list[int]:
        """The shown classes that are predicted."""
        return [
            k
            for k in self.named
            if (self.counts[k] if k < len(self.counts) else self.predicts_unknown)
        ]

    @property
    def n_more(self) -> int:
        """Number of predicted compounds that no output shows."""
        shown = sum(k < len(self.counts) for k in self._stated)
        return int((self.counts > 0).sum()) - shown

    def match(
        self, sources: np.ndarray, labels: np.ndarray, weight: float, unknown: np.ndarray | None
    ) -> Pairing:
        """Set each output beside its compound, all portions of one compound together."""
        n_compounds = len(self.counts)
        mixed = np.stack([sources[labels == k].sum(axis=0) for k in self.named])
        mixed[self.named == n_compounds] = 0.0 if unknown is None else unknown
        present = mixed.any((1, 2))
        right = [
            self.predicts_unknown if k == n_compounds else self.counts[k] == (labels == k).sum()
            for k in self.named
        ]
        return Pairing(np.where(present, self.named, n_compounds), present & np.array(right), mixed)

    def statements(self, names: tuple[str, ...]) -> list[str]:
        """Return count, compound and probability, in words, for each predicted class shown."""
        classes, statements = self.class_names(names), []
        for k in self._stated:
            times = f"{self.counts[k]}x " if k < len(names) and self.counts[k] > 1 else ""
            statements.append(f"{times}{classes[k]} ({percent(self.probabilities[0, k])})")
        return statements

    def describe_missed(self, compound: int, names: tuple[str, ...], truth: Truth) -> str:
        """Return the compound's probability in words."""
        return percent(self.probabilities[0, compound])


class QueryOutput(NamedTuple):
    """What `Queries.forward` returns for each class; the last presence is "something unknown"."""

    presence: Tensor  # (B, K + 1), logits
    counts: Tensor  # (B, K, Q), logits of 1, 2, ... Q portions, if the compound is there
    amounts: Tensor  # (B, K), concentration, summed over the portions

    @property
    def likeliest_counts(self) -> Tensor:
        """The likeliest count of each compound, shape (B, K), int64; 0 where presence < 1/2."""
        return (self.presence[:, :-1] > 0) * (self.counts.argmax(-1) + 1)


class Queries(_QueryNames, Network):
    """The network with one output for each compound; see the module.

    The presence of a compound is computed from its separated encoding, and from a least-squares fit
    of the library to the mixture: the amount of the compound, and the residual at each position. On
    clean, aligned mixtures these features are exact; training learns when they are not. For that, a
    small network computes from the residual a weight for each of a compound's amount features, the
    same for all compounds, and the weighted sum is added to the presence.
    """

    title = "Queries: one output for each compound"
    about_outputs = (
        "This network has one output for each compound of the library. The picture shows the"
        " outputs of the predicted compounds. Their number is predicted, not an input."
    )
    usual_recipe = "queries"
    any_number = True
    n_features, n_class_hidden, n_global_hidden, n_weights_hidden = 6, 24, 96, 32
    # Least-squares features, relative to the mixture, are scaled by asinh: linear below each of
    # these values and logarithmic above.
    asinh_scale_values = (0.003, 0.03, 0.3)
    # The same for an amount relative to its standard deviation.
    significance_scales = (1.0, 8.0)
    library: Tensor
    asinh_scales: Tensor
    unmixing: Tensor
    sharpness: Tensor
    count_bias: Tensor

    def __init__(self, config: NetworkConfig):
        n_queries, n_positions, n_cells = (
            config.n_compounds + 1,
            config.n_positions,
            config.n_peaks * config.n_positions,
        )
        n_scales, significances = len(self.asinh_scale_values), config.non_negative_fit
        n_amounts = n_scales + len(self.significance_scales) * significances
        n_residuals = n_scales * n_positions + significances
        super().__init__(config, n_queries)
        self.register_buffer("library", torch.zeros(config.n_compounds, n_cells))
        self.register_buffer("asinh_scales", torch.tensor(self.asinh_scale_values))
        self.register_buffer("unmixing", torch.zeros(n_cells, config.n_compounds))
        # Amount = separated multiplets x template; starts as the projection on the pure compound,
        # see `set_library`.
        self.templates = nn.Parameter(torch.zeros(config.n_compounds, n_positions, config.n_peaks))
        self.to_features = nn.Linear(config.n_filters, self.n_features)
        size = n_positions * self.n_features + n_amounts + n_residuals
        self.class_heads = nn.Parameter(
            torch.randn(n_queries, size, self.n_class_hidden) / size**0.5
        )
        self.class_heads_bias = nn.Parameter(torch.zeros(n_queries, 1, self.n_class_hidden))
        self.features_prelu, self.class_heads_prelu = nn.PReLU(), nn.PReLU()
        self.to_presence = nn.Parameter(
            torch.randn(n_queries, self.n_class_hidden, 1) / self.n_class_hidden**0.5
        )
        size = n_positions * config.n_bottleneck + n_amounts * config.n_compounds + n_residuals
        self.global_head = nn.Sequential(
            nn.Linear(size, self.n_global_hidden),
            nn.PReLU(),
            nn.Linear(self.n_global_hidden, n_queries),
        )
        self.amount_weights = (
            nn.Sequential(
                nn.Linear(n_residuals, self.n_weights_hidden),
                nn.PReLU(),
                nn.Linear(self.n_weights_hidden, n_amounts),
            )
            if significances
            else None
        )
        # With at most one portion there is no count to learn: buffers, and not parameters.
        for name, value in (("sharpness", 1.0), ("count_bias", 0.0)):
            values = torch.full((config.n_sources,), value)
            if config.n_sources > 1:
                self.register_parameter(name, nn.Parameter(values))
            else:
                self.register_buffer(name, values)

    @classmethod
    def sizes_for(cls, dataset: Dataset) -> NetworkConfig:
        """Return sizes with as many portions of one compound as a mixture can hold."""
        n_compounds, n_peaks, n_positions = dataset.library.areas.shape
        portions = dataset.config.n_sources if dataset.config.repetition else 1
        return NetworkConfig(n_compounds, n_positions, n_peaks, portions, n_bottleneck=16)

    def set_data(self, dataset: Dataset) -> None:
        """Set the library."""
        self.set_library(torch.from_numpy(dataset.library.areas))

    @classmethod
    def has_nothing(cls, mixture: MixtureConfig) -> bool:
        """Return False: each output is a class."""
        return False

    @torch.no_grad()
    def set_library(self, areas: Tensor) -> None:
        """Set the pure compounds, shape (K, P, L): once, before training."""
        self.library.copy_(areas.flatten(1))
        self.unmixing.copy_(torch.linalg.pinv(areas.flatten(1).double()))
        self.templates.copy_((areas / areas.square().sum((1, 2), keepdim=True)).transpose(1, 2))

    @torch.no_grad()
    def _non_negative(self, amounts: Tensor, cells: Tensor) -> Tensor:
        """Return the non-negative amounts with the least squared residual, (B, K), nearly.

        `FIT_STEPS` steps of FISTA (A. Beck and M. Teboulle, SIAM J. Imaging Sciences 2, 2009,
        section 4) from `amounts`, the solution that may be negative. Where that is not negative,
        it is the result.
        """
        gram, target = self.library @ self.library.T, cells @ self.library.T
        step = 1 / gram.abs().sum(1).max().clamp_min(1e-9)  # 1 / a bound of the largest eigenvalue
        amounts = ahead = amounts.clamp_min(0)
        for i in range(FIT_STEPS):
            before = amounts
            amounts = (ahead - step * (ahead @ gram - target)).clamp_min(0)
            ahead = amounts + i / (i + 3) * (amounts - before)
        return amounts

    def _least_squares_features(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scaled amounts (B, K, n) and residuals (B, n) of a fit of the library.

        An amount is given relative to the mixture, and relative to the standard deviation that
        white noise as strong as the residual would give it: its t statistic. The residuals are
        those of the positions, and the strength of this noise.
        """
        cells, scale = mixture.flatten(1), rms(mixture)  # (B, P L), (B, 1, 1)
        amounts = cells @ self.unmixing  # (B, K)
        if self.config.non_negative_fit:
            amounts = self._non_negative(amounts, cells)
        left = cells - amounts @ self.library  # (B, P L)
        residual = left.unflatten(1, mixture.shape[1:]).square().sum(1).sqrt()  # (B, L)
        relative = amounts * self.library.square().mean(1).sqrt()
        scaled, residuals = (
            torch.asinh(part[..., None] / scale / self.asinh_scales)
            for part in (relative, residual)
        )
        residuals = residuals.flatten(1)  # (B, scales x L)
        if self.config.non_negative_fit:
            # The residual of an exact fit is only rounding: a thousandth of the mixture is the
            # least noise.
            free = max(1, cells.shape[1] - amounts.shape[1])
            noise = (left.square().sum(1) / free).sqrt().maximum(1e-3 * scale[:, 0, 0])  # (B,)
            significance = amounts / noise[:, None] / self.unmixing.norm(dim=0).clamp_min(1e-9)
            scales = significance.new_tensor(self.significance_scales)
            scaled = torch.cat([scaled, torch.asinh(significance[..., None] / scales)], dim=-1)
            residuals = torch.cat([residuals, (noise / scale[:, 0, 0]).log()[:, None]], dim=1)
        if not self.config.least_squares_features:
            return torch.zeros_like(scaled), torch.zeros_like(residuals)
        return scaled, residuals

    def forward(
        self, mixture: Tensor, mask_hook: MaskHook | None = None
    ) -> tuple[QueryOutput, Intermediates]:
        """Separate, and predict presence, count and amount of each compound; see `Network`."""
        separated, trunk, intermediates = self._separate(mixture, mask_hook)
        first, *others = self._presence_parts(separated, trunk, mixture).values()
        presence = sum(others, start=first)
        amounts = torch.einsum("bkpl,klp->bk", intermediates.multiplets[:, :-1], self.templates)
        steps = torch.arange(1, self.config.n_sources + 1, device=mixture.device)
        distance = amounts.clamp(0, self.config.n_sources + 1)[..., None] - steps  # (B, K, Q)
        counts = self.count_bias - self.sharpness.exp() * distance.square()
        output = QueryOutput(presence / self.temperature, counts / self.temperature, amounts)
        return output, intermediates

    def presence_parts(self, mixture: Tensor) -> dict[str, Tensor]:
        """Return what adds up to the logits of `presence`, shape (B, K + 1) each, by name.

        Before they are divided by the temperature; `mixture` as for `forward`.
        """
        separated, trunk, _ = self._separate(mixture)
        return self._presence_parts(separated, trunk, mixture)

    def _presence_parts(
        self, separated: Tensor, trunk: Tensor, mixture: Tensor
    ) -> dict[str, Tensor]:
        # Presence must not depend on the unit of the areas; the amount must.
        scale = rms(mixture)[..., None]  # (B, 1, 1, 1)
        features = (
            F.linear(separated, self.to_features.weight) / scale + self.to_features.bias
        )  # (B, K + 1, L, F)
        features = self.features_prelu(features).flatten(2).transpose(0, 1)  # (K + 1, B, L F)
        amount, residual = self._least_squares_features(mixture)
        fit = torch.cat([amount.flatten(1), residual], dim=1)
        # Least squares has no amount of the unknown: 0 stands for it.
        amount = F.pad(amount, (0, 0, 0, 1))  # (B, K + 1, n)
        hidden = self.class_heads_prelu(
            torch.baddbmm(
                self.class_heads_bias,
                torch.cat(
                    [features, amount.transpose(0, 1), residual.expand(len(features), -1, -1)], -1
                ),
                self.class_heads,
            )
        )  # (K + 1, B, hidden)
        parts = {
            "its own mask": (hidden @ self.to_presence).squeeze(-1).T,
            "the whole mixture": self.global_head(torch.cat([trunk.flatten(1), fit], dim=1)),
        }
        if self.amount_weights is not None:
            weighted = amount @ self.amount_weights(residual)[..., None]
            parts["its least-squares amount"] = weighted.squeeze(-1)
        return parts

    def objective(
        self, mixtures: Mixtures, reconstruction_weight: float, mask_weight: float = 0.0
    ) -> Objective:
        """Return the cross entropy of presences and counts, and the relative squared errors.

        The errors are those of the separated multiplets and of the amounts.
        """
        most = self.config.n_sources
        counts = torch.from_numpy(mixtures.counts)  # (B, K)
        amounts = torch.from_numpy(mixtures.by_compound(mixtures.concentrations))  # (B, K)
        unknown = mixtures.unknown if mixtures.unknown is not None else mixtures.areas * 0
        sources = torch.from_numpy(mixtures.by_compound(mixtures.sources))  # (B, K, P, L)
        sources = torch.cat([sources, torch.from_numpy(unknown)[:, None]], dim=1)  # K + 1
        output, inner = self(torch.from_numpy(mixtures.areas))
        holds_unknown = torch.from_numpy(unknown.any((1, 2)))
        present = torch.cat([counts > 0, holds_unknown[:, None]], dim=1)  # (B, K + 1)
        # Sums over the compounds: a mistake costs the same in a library of ten and of fifty.
        classification = (
            F.binary_cross_entropy_with_logits(output.presence, present.float(), reduction="none")
            .sum(1)
            .mean()
        )
        if most > 1:
            log_p = output.counts.log_softmax(-1)  # (B, K, Q)
            true = log_p.gather(2, (counts.clamp(1, most) - 1)[..., None]).squeeze(-1)
            classification = classification - (true * (counts > 0)).sum(1).mean()
        error = (inner.multiplets - sources).square().sum((1, 2, 3))
        energy = sources.square().sum((1, 2, 3))
        off = (output.amounts - amounts).square().sum(1)
        # An empty mixture has no energy; a tenth of the batch's mean is the least. If all are
        # empty, a thousandth of a multiplet's is.
        reconstruction = (error / energy.maximum((0.1 * energy.mean()).clamp_min(1e-3))).mean() + (
            off / amounts.square().sum(1).clamp_min(1.0)
        ).mean()
        predicted = output.likeliest_counts
        common = torch.minimum(predicted, counts).sum(1)
        of = torch.maximum(predicted.sum(1), counts.sum(1))
        # To predict nothing for an empty mixture is right.
        right = torch.where(of > 0, common / of.clamp_min(1), 1.0).mean()
        masks = torch.zeros(())
        if mask_weight:
            ideal, strength = self._ideal_masks(sources)
            # A sum over the outputs for each compound that a mixture holds on average.
            losses = mask_losses(inner.separator.masks, ideal, strength)
            masks = losses.sum() / present.sum().clamp_min(1)
        return Objective(classification, reconstruction, masks, right)

    def presence(self, output: QueryOutput, slot: int | None = None) -> Tensor:
        """Return the probability of each compound, and of something unknown, shape (B, K + 1)."""
        return output.presence.sigmoid()

    def names(self, output: QueryOutput, slot: int | None = None) -> Tensor:
        """Whether each compound, and something unknown, is predicted, shape (B, K + 1)."""
        return output.presence > 0

    def log_odds(self, output: QueryOutput) -> Tensor:
        """Return the logits of `presence`."""
        return output.presence

    def score(
        self, mixtures: Mixtures, reconstruction_weight: float
    ) -> tuple[Scores, np.ndarray, np.ndarray]:
        """Run a batch, as `Network.score`; outputs are compounds, so nothing is matched."""
        output, inner = self(torch.from_numpy(mixtures.areas))
        presence = self.presence(output).numpy()
        counts = output.likeliest_counts.numpy()
        times = output.counts.softmax(-1).amax(-1).numpy()
        sources = mixtures.by_compound(mixtures.sources)
        certain = np.where(counts > 0, presence[:, :-1] * times, 1 - presence[:, :-1])
        scores = Scores(
            predicted=None,
            matched=None,
            counts=counts,
            output_probabilities=None,
            presence=presence[:, :-1],
            unknown=presence[:, -1],
            confidence=certain.min(axis=1),
            mask_distance=self._mask_distances(inner, sources, mixtures),
        )
        return scores, inner.multiplets[:, :-1].numpy(), sources

    def _prediction(
        self, output: QueryOutput, arrays: list[np.ndarray], outputs: np.ndarray | None
    ) -> QueriesPrediction:
        logits = output.presence[0].numpy()
        presence = output.presence[0].sigmoid().numpy()
        order = np.argsort(-presence[:-1], kind="stable")
        predicted = order[logits[order] > 0][:MAX_SHOWN]
        if logits[-1] > 0:
            predicted = np.append(predicted[: MAX_SHOWN - 1], len(presence) - 1)
        if outputs is None:
            outputs = predicted if len(predicted) else order[:1]
        encoding, masks, separated, multiplets = arrays
        return QueriesPrediction(
            encoding,
            masks[outputs],
            separated[outputs],
            multiplets[outputs],
            outputs,
            presence[None],
            output.likeliest_counts[0].numpy(),
            output.amounts[0].numpy().copy(),
        )
