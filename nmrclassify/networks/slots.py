"""`Slots`, the network of the design document: C interchangeable outputs, each with a softmax.

Each output stands for one compound of the mixture. The outputs have no order, so training matches
them to the sources. The number of compounds is fixed, or one more class is "nothing".
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig, Mixtures
from nmrclassify.networks.conv_tasnet import Intermediates, MaskHook, Network, NetworkConfig, rms
from nmrclassify.networks.losses import (
    Objective,
    mask_costs,
    match,
    pair_for_scoring,
    pairwise_costs,
)
from nmrclassify.networks.prediction import (
    OutputNames,
    Pairing,
    Prediction,
    Scores,
    Truth,
    percent,
)


class _SlotNames(OutputNames):
    kind = "slots"
    class_k = "nothing"
    outputs_are_classes = False
    presence_title = "an output names it: probability"
    about_presence = (
        "Each output of the slots has a probability p for each compound. One number for a compound"
        " combines them: 1 minus the product of (1 - p) over the outputs, the probability that at"
        " least one output names it."
    )


@dataclass(frozen=True)
class SlotsPrediction(_SlotNames, Prediction):
    """What `Slots` predict for one mixture: all outputs, each with its softmax over the classes."""

    @property
    def confidence(self) -> np.ndarray:
        """Probability of each output's class, shape (C,)."""
        return self.probabilities.max(axis=-1)

    @property
    def outputs(self) -> np.ndarray:
        """All outputs in order, shape (C,)."""
        return np.arange(len(self.named))

    def match(
        self, sources: np.ndarray, labels: np.ndarray, weight: float, unknown: np.ndarray | None
    ) -> Pairing:
        """Match as `pair_for_scoring`; outputs beyond the sources get empty ones."""
        n_compounds = len(self.counts)
        lacking = max(len(self.named) - len(labels), 0)
        labels = np.pad(labels, (0, lacking), constant_values=n_compounds)
        sources = np.pad(sources, ((0, lacking), (0, 0), (0, 0)))
        logits, multiplets, truth, classes = (
            torch.from_numpy(np.asarray(a))[None]
            for a in (
                np.log(np.maximum(self.probabilities, 1e-30)),
                self.multiplets,
                sources,
                labels,
            )
        )
        costs = pairwise_costs(logits, multiplets, classes, truth)
        pairing = pair_for_scoring(logits, costs, classes, weight)[0]
        return Pairing(
            labels[pairing],
            self.named == labels[pairing],
            sources[pairing],
            pairing,
            costs.classification[0].numpy(),
            costs.reconstruction[0].numpy(),
        )

    def statements(self, names: tuple[str, ...]) -> list[str]:
        """Return the compound and its probability, in words, for each output that names one."""
        return [
            f"{names[k]} ({percent(p)})"
            for k, p in zip(self.named, self.confidence, strict=True)
            if k < len(names)
        ]

    def describe_missed(self, compound: int, names: tuple[str, ...], truth: Truth) -> str:
        """Return in words the compound's rank in its output, or that it has no output."""
        outputs = np.flatnonzero(truth.labels == compound)
        if not len(outputs):
            return "no output left"
        output = int(outputs[0])
        probability = float(self.probabilities[output, compound])
        rank = int((self.probabilities[output] > probability).sum()) + 1
        named = self.class_names(names)[self.named[output]]
        return f"rank {rank} where {named} is named, {percent(probability)}"


class Slots(_SlotNames, Network):
    """The network of the design document; see the module."""

    title = "Slots: the reference design"
    about_outputs = (
        "The outputs of this network have no fixed order: output 1 may hold any compound."
    )
    usual_recipe = "modern"
    any_number = False
    reference: Tensor

    def __init__(self, config: NetworkConfig):
        super().__init__(config, config.n_sources)
        if config.relu_before_classes:
            # The mean `rms` of the training mixtures; see `_in_unit`.
            self.register_buffer("reference", torch.ones(()))
        # Bias omitted: a position without area then stays 0.
        self.to_line = nn.Linear(config.n_filters, 1, bias=config.relu_before_classes)
        self.classifier = nn.Linear(config.n_positions, config.n_compounds + config.nothing)

    @classmethod
    def sizes_for(cls, dataset: Dataset) -> NetworkConfig:
        """Return sizes with one output for each source of a mixture."""
        n_compounds, n_peaks, n_positions = dataset.library.areas.shape
        return NetworkConfig(
            n_compounds,
            n_positions,
            n_peaks,
            dataset.config.n_sources,
            nothing=cls.has_nothing(dataset.config),
        )

    @torch.no_grad()
    def set_data(self, dataset: Dataset) -> None:
        """Set the unit of the areas, for networks of version 0.1."""
        if self.config.relu_before_classes:
            self.reference.copy_(rms(torch.from_numpy(dataset.training_set().areas)).mean())

    @classmethod
    def has_nothing(cls, mixture: MixtureConfig) -> bool:
        """Whether mixtures have fewer compounds than outputs at times."""
        return mixture.number_varies

    def forward(
        self, mixture: Tensor, mask_hook: MaskHook | None = None
    ) -> tuple[Tensor, Intermediates]:
        """Separate and classify, as `Network.forward`.

        Returns
        -------
        logits : Tensor, shape (B, C, K), or (B, C, K + 1) with "nothing"
            A softmax over the last axis gives class probabilities.
        intermediates : Intermediates
        """
        separated, _, intermediates = self._separate(mixture, mask_hook)
        line = self.line(separated, mixture)
        return self.classifier(line) / self.temperature, intermediates

    def line(self, separated: Tensor, mixture: Tensor) -> Tensor:
        """Return separated encodings (B, C, L, N) as one number for each position, (B, C, L)."""
        if self.config.relu_before_classes:
            line = F.linear(separated, self.to_line.weight) * self._in_unit(mixture)[..., None]
            return (line + self.to_line.bias).squeeze(-1).relu()
        line = self.to_line(separated / rms(mixture)[..., None]).squeeze(-1)  # (B, C, L)
        # A class must not depend on the amount: a weak compound is the same compound.
        return line / (line.square().mean(-1, keepdim=True) + 1e-4).sqrt()

    def _in_unit(self, mixture: Tensor) -> Tensor:
        """Return the factor (B, 1, 1) that brings areas in another unit to that of the training.

        It is 1 where the areas are within a factor of 16 of the training's.
        """
        factor = self.reference / rms(mixture)
        return torch.where((factor < 16) & (factor > 1 / 16), 1.0, factor)

    def objective(
        self, mixtures: Mixtures, reconstruction_weight: float, mask_weight: float = 0.0
    ) -> Objective:
        """Return the permutation-invariant cross entropy, separation error and mask loss.

        An unknown compound that stands in the place of one of the library is a source without a
        class; where it comes on top, no output is to separate it.
        """
        areas, sources, labels = (
            torch.from_numpy(a) for a in (mixtures.areas, mixtures.sources, mixtures.labels)
        )
        rest = torch.zeros_like(areas)
        if mixtures.unknown is not None:
            unknown = torch.from_numpy(mixtures.unknown)
            # Absent compounds are listed last.
            replaces = (labels[:, -1] == self.config.n_compounds)[:, None, None]
            last = torch.where(replaces, unknown, sources[:, -1])
            sources = torch.cat([sources[:, :-1], last[:, None]], dim=1)
            rest = torch.where(replaces, 0.0, unknown)
        logits, inner = self(areas)
        costs = pairwise_costs(logits, inner.multiplets, labels, sources)
        if mask_weight:
            ideal, strength = self._ideal_masks(torch.cat([sources, rest[:, None]], dim=1))
            masks = inner.separator.masks
            costs = costs._replace(masks=mask_costs(masks, ideal[:, :-1], strength))
        along = match(costs, reconstruction_weight, mask_weight)
        true = labels.gather(1, along)
        classes = true < logits.shape[-1]
        right = ((logits.detach().argmax(-1) == true) & classes).sum() / classes.sum().clamp_min(1)
        classification, reconstruction, masks = costs.mean_along(along)
        return Objective(classification, reconstruction, masks, right)

    def presence(self, output: Tensor, slot: int | None = None) -> Tensor:
        """Return the probability that some output names the compound, shape (B, K).

        With `slot` the softmax of that output, shape (B, classes).
        """
        if slot is not None:
            return output[:, slot].softmax(-1)
        return 1 - (1 - output.softmax(-1)[..., : self.config.n_compounds]).prod(dim=1)

    def names(self, output: Tensor, slot: int | None = None) -> Tensor:
        """Whether some output names the compound, or `slot` the class, shaped as `presence`."""
        named = F.one_hot(output.argmax(-1), output.shape[-1]).bool()  # (B, C, classes)
        if slot is not None:
            return named[:, slot]
        return named[..., : self.config.n_compounds].any(dim=1)

    def log_odds(self, output: Tensor) -> Tensor:
        """Return the logarithms of the odds of `presence`, also where that rounds to 0 or 1."""
        probabilities = output.double().softmax(-1)[..., : self.config.n_compounds]
        absent = torch.log1p(-probabilities.clamp(max=1 - 1e-15)).sum(dim=1)
        return torch.log(-torch.expm1(absent)) - absent

    def score(
        self, mixtures: Mixtures, reconstruction_weight: float
    ) -> tuple[Scores, np.ndarray, np.ndarray]:
        """Run a batch and match the outputs to the sources, as `Network.score`."""
        areas, sources, labels = (
            torch.from_numpy(a) for a in (mixtures.areas, mixtures.sources, mixtures.labels)
        )
        logits, inner = self(areas)
        costs = pairwise_costs(logits, inner.multiplets, labels, sources)
        pairing = pair_for_scoring(logits, costs, labels, reconstruction_weight)
        probabilities = logits.softmax(-1).numpy()
        highest = probabilities.max(axis=-1)
        paired = np.take_along_axis(mixtures.sources, pairing[:, :, None, None], axis=1)
        scores = Scores(
            predicted=probabilities.argmax(-1),
            matched=np.take_along_axis(mixtures.labels, pairing, axis=1),
            counts=None,
            output_probabilities=highest,
            presence=self.presence(logits).numpy(),
            unknown=None,
            confidence=highest.min(axis=1),
            mask_distance=self._mask_distances(inner, paired, mixtures),
        )
        return scores, inner.multiplets.numpy(), paired

    def _prediction(
        self, output: Tensor, arrays: list[np.ndarray], outputs: np.ndarray | None
    ) -> SlotsPrediction:
        n_compounds = self.config.n_compounds
        probabilities = _softmax(output[0].numpy())
        named = probabilities.argmax(-1)
        counts = np.bincount(named, minlength=n_compounds)[:n_compounds]
        encoding, masks, separated, multiplets = arrays
        return SlotsPrediction(encoding, masks, separated, multiplets, named, probabilities, counts)


def _softmax(logits: np.ndarray) -> np.ndarray:
    power = np.exp(logits - logits.max(-1, keepdims=True))
    return power / power.sum(-1, keepdims=True)
