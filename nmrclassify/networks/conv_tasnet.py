"""The network: a small Conv-TasNet that separates a mixture of multiplets into its compounds.

    mixture (B, P, L)
       |
    encoder -------------------------------.          encoding            (B, N, L)
       |                                   |
    norm, bottleneck 1x1                   |          bottleneck          (B, W, L)
       |                                   |
    stacks x layers dilated blocks         |          skip_sum            (B, W, L)
       |                                   |
    PReLU, 1x1, sigmoid ---- masks ------- x          masks               (B, M, N, L)
                                           |
                                separated_encodings                       (B, M, N, L)
                                   |             |
                                decoder        heads
                                   |             |
                      multiplets (B, M, P, L)  classes

This file holds what all networks share, up to the separated multiplets. The heads, and what the M
outputs stand for, differ: `slots.py` has the network of the design document, `queries.py` one with
an output for each compound. A third network has to implement the class `Network`.

Y. Luo and N. Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech
Separation", IEEE/ACM TASLP 27(8), 2019, doi:10.1109/TASLP.2019.2915167. The paper's symbols stand
in brackets below.

Inside, channels come last, (B, L, channels): a 1x1 convolution is then one matrix product, the
global norm a layer norm over contiguous numbers and the depthwise convolution three shifted
multiply-adds. `bench speed` measures the gain.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmrclassify.config import bounded, check
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig, Mixtures
from nmrclassify.networks.layers import DepthwiseShifts, GlobalNorm
from nmrclassify.networks.losses import Objective, ideal_ratio_masks
from nmrclassify.networks.prediction import OutputNames, Prediction, Scores

# A cell of the encoding below this share of the strongest is weak: a mask has no effect there.
WEAK = 0.02

# Changes the masks (B, M, N, L) before they are applied, to measure the effect of another mask.
MaskHook = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a network. The first four come from the data, the rest from the design document."""

    n_compounds: int = bounded(10, 1, 64, "compounds K")
    n_positions: int = bounded(21, 4, 512, "positions L on the axis")
    n_peaks: int = bounded(6, 2, 6, "peaks P of a multiplet, the input channels")
    n_sources: int = bounded(
        3,
        1,
        8,
        "slots: outputs C; queries: the most portions of one compound that are distinguished",
    )
    n_filters: int = bounded(64, 2, 512, "encoder filters [N]")
    n_bottleneck: int = bounded(
        32, 2, 256, "channels between blocks, residual and skip [B, Sc], W above"
    )
    n_hidden: int = bounded(64, 2, 512, "channels inside a block [H]")
    kernel: int = bounded(3, 3, 9, "kernel of the depthwise convolutions [P], odd")
    n_stacks: int = bounded(3, 1, 6, "repeats of the dilation pattern [R]")
    n_layers: int = bounded(4, 1, 8, "blocks in a stack, dilation 1, 2, 4, ... [X]")
    # slots: a class K for "no compound", where the number of compounds varies
    nothing: bool = False
    # Areas are never negative. With such weights the encodings of the sources are not negative
    # either, so the ideal ratio mask lies in 0..1 and separates exactly. Version 0.1: any sign.
    non_negative_encoder: bool = True
    # slots: the ReLU of version 0.1 before the classifier, which can pass no gradient at all. Now
    # the line of each output is divided by its root mean square.
    relu_before_classes: bool = False
    # queries: whether the heads read a least-squares fit; without it they read 0 in its place
    least_squares_features: bool = True
    # queries: whether that fit allows no negative amounts, states the significance of each, and
    # adds them to the presences with weights that the residual decides. Version 0.1: no.
    non_negative_fit: bool = True

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)
        if self.kernel % 2 == 0:
            raise ValueError(
                f"kernel is {self.kernel}; expected an odd number, so that positions stay aligned"
            )

    @property
    def dilations(self) -> list[int]:
        """Dilation of each block, in order."""
        return [2**layer for _ in range(self.n_stacks) for layer in range(self.n_layers)]

    @property
    def receptive_field(self) -> int:
        """Positions that one mask value depends on through convolutions (norms aside)."""
        return 1 + sum(dilation * (self.kernel - 1) for dilation in self.dilations)


class Block(nn.Module):
    """One dilated depthwise-separable block; one product gives the residual and the skip."""

    def __init__(self, config: NetworkConfig, dilation: int, residual: bool):
        super().__init__()
        width, hidden = config.n_bottleneck, config.n_hidden
        self.dilation = dilation
        # No biases before the norms: the norms remove a constant, up to the bend of the PReLU, and
        # each bias costs a pass over the numbers.
        self.expand = nn.Linear(width, hidden, bias=False)
        self.first = nn.PReLU()
        self.first_norm = GlobalNorm(hidden)
        self.depthwise = nn.Parameter(
            torch.empty(config.kernel, hidden).uniform_(-1, 1) / config.kernel**0.5
        )
        self.second = nn.PReLU()
        self.second_norm = GlobalNorm(hidden)
        # The last block has no residual: nothing would read it.
        self.project = nn.Linear(hidden, 2 * width if residual else width)

    def forward(self, x: Tensor) -> Tensor:
        """Map x (B, L, W) to residual and skip, (B, L, 2 W); the last block to (B, L, W)."""
        hidden = self.first_norm(self.first(self.expand(x)))  # (B, L, H)
        hidden = DepthwiseShifts.apply(hidden, self.depthwise, self.dilation)
        return self.project(self.second_norm(self.second(hidden)))


class SeparatorOutput(NamedTuple):
    """The masks, and every array on the way to them, channels last."""

    bottleneck: Tensor  # (B, L, W)
    streams: list[Tensor]  # (B, L, W) after each block but the last: what the next one reads
    blocks: list[Tensor]  # (B, L, 2 W) residual and skip of each; (B, L, W) skip of the last
    skip_sum: Tensor  # (B, L, W)
    trunk: Tensor  # (B, L, W), the PReLU of the sum
    masks: Tensor  # (B, M, L, N)


class Separator(nn.Module):
    """Encoding to masks: normalise, narrow, run the dilated blocks, sum their skips."""

    def __init__(self, config: NetworkConfig, n_masks: int):
        super().__init__()
        self.shape = (n_masks, config.n_filters)
        self.norm = GlobalNorm(config.n_filters)
        self.bottleneck = nn.Linear(config.n_filters, config.n_bottleneck)
        last = len(config.dilations) - 1
        self.blocks = nn.ModuleList(
            Block(config, d, residual=i < last) for i, d in enumerate(config.dilations)
        )
        self.prelu = nn.PReLU()
        self.masks = nn.Linear(config.n_bottleneck, n_masks * config.n_filters)

    def forward(self, encoding: Tensor) -> SeparatorOutput:
        """Estimate the masks from an encoding (B, L, N)."""
        x = bottleneck = self.bottleneck(self.norm(encoding))  # (B, L, W)
        width = x.shape[-1]
        skip_sum = torch.zeros_like(x)
        streams, outs = [], []
        for block in self.blocks[:-1]:
            outs.append(out := block(x))  # (B, L, 2 W)
            x, skip_sum = x + out[..., :width], skip_sum + out[..., width:]
            streams.append(x)
        outs.append(out := self.blocks[-1](x))
        skip_sum = skip_sum + out
        trunk = self.prelu(skip_sum)
        masks = self.masks(trunk).sigmoid().unflatten(-1, self.shape)  # (B, L, M, N)
        return SeparatorOutput(bottleneck, streams, outs, skip_sum, trunk, masks.transpose(1, 2))


def rms(mixture: Tensor) -> Tensor:
    """Return the root mean square of each mixture, shape (B, 1, 1), never zero."""
    return mixture.square().mean((1, 2), keepdim=True).clamp_min(1e-30).sqrt()


class Intermediates(NamedTuple):
    """Every array between a batch of mixtures and the heads, by name; see the drawing above.

    Those of the separator are transposed on access.
    """

    encoding: Tensor  # (B, N, L)
    masks: Tensor  # (B, M, N, L)
    separated_encodings: Tensor  # (B, M, N, L)
    multiplets: Tensor  # (B, M, P, L)
    separator: SeparatorOutput  # channels last

    @property
    def bottleneck(self) -> Tensor:
        """What the first block reads, (B, W, L)."""
        return self.separator.bottleneck.mT

    @property
    def streams(self) -> list[Tensor]:
        """What the next block reads after each block but the last, (B, W, L)."""
        return [x.mT for x in self.separator.streams]

    @property
    def residuals(self) -> list[Tensor]:
        """What each block but the last adds to the stream, (B, W, L)."""
        return [out.mT[:, : out.shape[-1] // 2] for out in self.separator.blocks[:-1]]

    @property
    def skips(self) -> list[Tensor]:
        """What each block adds to `skip_sum`, (B, W, L)."""
        width = self.separator.skip_sum.shape[-1]
        return [out.mT[:, -width:] for out in self.separator.blocks]

    @property
    def skip_sum(self) -> Tensor:
        """The sum of all skips, (B, W, L)."""
        return self.separator.skip_sum.mT


class Separation(NamedTuple):
    """The input of a network's heads."""

    separated: Tensor  # (B, M, L, N) separated encodings, channels last
    trunk: Tensor  # (B, L, W)
    intermediates: Intermediates


class Network(nn.Module, OutputNames, ABC):
    """What all networks share, and what each must offer; `registry.NETWORKS` lists them.

    A network is a file of this folder. It has these attributes, those of `OutputNames`, and the
    abstract methods below; its predictions are a subclass of `Prediction`.

    Attributes
    ----------
    title, about_outputs : str
        For the pages: one line for a list, and a sentence on what the outputs are.
    usual_recipe : str
        The training recipe that suits it.
    any_number : bool
        Whether it works without the number of compounds in a mixture. Training then mixes any
        number of them.
    trained : bool
        Whether a training has changed the weights.
    """

    title: ClassVar[str]
    about_outputs: ClassVar[str]
    usual_recipe: ClassVar[str]
    any_number: ClassVar[bool]
    temperature: Tensor
    trained = True

    def __init__(self, config: NetworkConfig, n_outputs: int):
        super().__init__()
        self.config = config
        # Without a bias the encoding is additive: encode(a + b) = encode(a) + encode(b), so masks
        # can be exact.
        self.encoder = nn.Linear(3 * config.n_peaks, config.n_filters, bias=False)
        if config.non_negative_encoder:
            with torch.no_grad():
                self.encoder.weight.abs_()
        self.separator = Separator(config, n_outputs)
        self.decoder = nn.Linear(config.n_filters, 3 * config.n_peaks, bias=False)
        # Fitted on validation mixtures after training, to calibrate the probabilities.
        self.register_buffer("temperature", torch.ones(()))

    @classmethod
    @abstractmethod
    def sizes_for(cls, dataset: Dataset) -> NetworkConfig:
        """Return the sizes of a network for a data set."""

    @abstractmethod
    def set_data(self, dataset: Dataset) -> None:
        """Set, before training, what is computed from the data set and not learnt."""

    @classmethod
    @abstractmethod
    def has_nothing(cls, mixture: MixtureConfig) -> bool:
        """Whether mixtures of this configuration need the class "nothing"."""

    @abstractmethod
    def forward(
        self, mixture: Tensor, mask_hook: MaskHook | None = None
    ) -> tuple[Any, Intermediates]:
        """Separate and classify.

        Parameters
        ----------
        mixture : Tensor, shape (B, P, L), float32
            Peak areas.
        mask_hook : callable, optional
            Changes the masks (B, M, N, L) before they are applied.

        Returns
        -------
        output : Tensor or NamedTuple of Tensors
            Logits; the network's own methods read it.
        intermediates : Intermediates

        Raises
        ------
        ValueError
            If `mixture` does not have the network's numbers of peaks and positions.
        """

    @torch.no_grad()
    def constrain(self) -> None:
        """Set negative encoder weights to 0 where the configuration forbids them.

        To be called after each step of an optimiser (projected gradient descent).
        """
        if self.config.non_negative_encoder:
            self.encoder.weight.clamp_(min=0)

    @abstractmethod
    def objective(
        self, mixtures: Mixtures, reconstruction_weight: float, mask_weight: float = 0.0
    ) -> Objective:
        """Return the parts of the loss of a batch.

        The weights are those of the parts in the matching of outputs with sources, where there is
        one. Without a mask weight the mask loss is not computed, and 0.
        """

    def _mask_distances(
        self, inner: "Intermediates", sources: np.ndarray, mixtures: Mixtures
    ) -> np.ndarray:
        """Return the mean absolute difference of masks from ideal masks, shape (B, M).

        The mean is over the cells with at least `WEAK` of the strongest encoding. NaN where a mask
        has no source.

        Parameters
        ----------
        sources : ndarray, shape (B, M, P, L)
            Of the first M masks.
        """
        rest = mixtures.sources.sum(axis=1) - sources.sum(axis=1)
        if mixtures.unknown is not None:
            rest = rest + mixtures.unknown
        every = np.concatenate([sources, rest[:, None]], axis=1).astype(np.float32)
        ideal, _ = self._ideal_masks(torch.from_numpy(every))
        strength = inner.encoding.mT.abs()  # (B, L, N)
        strong = (strength >= WEAK * strength.amax((1, 2), keepdim=True))[:, None]
        apart = (inner.separator.masks[:, : sources.shape[1]] - ideal[:, :-1]).abs() * strong
        distance = (apart.sum((2, 3)) / strong.sum((2, 3)).clamp_min(1)).numpy()
        return np.where(sources.any((2, 3)), distance, np.nan)

    def _ideal_masks(self, sources: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ideal masks (B, M, L, N) of sources (B, M, P, L), and their sum of encodings.

        The sum, (B, L, N), is the weight of each cell in the mask loss. Without gradients: the
        encoder is not to be trained towards easy masks.
        """
        with torch.no_grad():
            encoded = self._encode(sources.flatten(0, 1)).abs().unflatten(0, sources.shape[:2])
            return ideal_ratio_masks(encoded), encoded.sum(1)

    @abstractmethod
    def presence(self, output: Any, slot: int | None = None) -> Tensor:
        """Return the probability that each class is in each mixture, from the output of `forward`.

        Shape (B, K), or (B, K + 1) where class K is predicted too. `slot` selects one output of a
        network whose outputs have no order.
        """

    @abstractmethod
    def names(self, output: Any, slot: int | None = None) -> Tensor:
        """Return whether each class is predicted, bool, shaped as `presence`."""

    @abstractmethod
    def log_odds(self, output: Any) -> Tensor:
        """Return the logarithms of the odds of `presence`, also where that rounds to 0 or 1."""

    @abstractmethod
    def score(
        self, mixtures: Mixtures, reconstruction_weight: float
    ) -> tuple[Scores, np.ndarray, np.ndarray]:
        """Run a batch and set the predictions beside the truth.

        Returns
        -------
        scores : Scores
        multiplets, sources : ndarray, shape (B, M, P, L)
            Separated multiplets and their sources; 0 where there is no source.
        """

    @abstractmethod
    def _prediction(
        self, output: Any, arrays: list[np.ndarray], outputs: np.ndarray | None
    ) -> Prediction:
        """Return the prediction for one mixture from the output and the arrays of `predict`."""

    @torch.inference_mode()
    def predict(self, areas: np.ndarray, outputs: np.ndarray | None = None) -> Prediction:
        """Run the network on one mixture of shape (P, L).

        `outputs` chooses the outputs that are shown, where outputs are classes; other networks
        always show all.

        Raises
        ------
        ValueError
            If the mixture has another shape than the network's, holds an undefined number, or is
            empty.
        """
        areas = np.ascontiguousarray(areas, dtype=np.float32)
        if not np.isfinite(areas).all():
            raise ValueError(
                f"the mixture holds {int((~np.isfinite(areas)).sum())} undefined or infinite areas;"
                " expected numbers only"
            )
        if not areas.any():
            raise ValueError(
                "the mixture is empty: all areas are 0; give at least one multiplet with an area"
            )
        self.eval()
        output, inner = self(torch.from_numpy(areas)[None])
        shown = (inner.encoding, inner.masks, inner.separated_encodings, inner.multiplets)
        arrays = [t[0].numpy().copy() for t in shown]
        return replace(self._prediction(output, arrays, outputs), trained=self.trained)

    @property
    def n_outputs(self) -> int:
        """M, the number of masks."""
        return self.separator.shape[0]

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters())

    def encode(self, mixture: Tensor) -> Tensor:
        """Return the encoding, shape (B, N, L), of mixtures or of pure sources, shape (B, P, L)."""
        return self._encode(mixture).mT

    def _encode(self, mixture: Tensor) -> Tensor:  # (B, P, L) -> (B, L, N), kernel 3
        return self.encoder(F.pad(mixture, (1, 1)).unfold(2, 3, 1).transpose(1, 2).flatten(2))

    def _separate(self, mixture: Tensor, mask_hook: MaskHook | None = None) -> Separation:
        """Run everything but the heads."""
        expected = (self.config.n_peaks, self.config.n_positions)
        if mixture.ndim != 3 or mixture.shape[1:] != expected:
            raise ValueError(
                f"mixture has shape {tuple(mixture.shape)}; expected (batch, {expected[0]} peaks,"
                f" {expected[1]} positions): bin it on the axis of the model's library"
            )
        encoding = self._encode(mixture)  # (B, L, N)
        # Masks and classes must not depend on the unit of the areas. The small constants of the
        # norms would make them, so the norms get mixtures of one size.
        inner = self.separator(encoding / rms(mixture))
        masks = inner.masks if mask_hook is None else mask_hook(inner.masks.mT).mT  # (B, M, L, N)
        separated = masks * encoding[:, None]  # (B, M, L, N)
        taps = self.decoder(separated).unflatten(-1, (3, self.config.n_peaks))  # (B, M, L, 3, P)
        left, middle, right = taps.unbind(-2)
        # A position sums one tap of its own and one of each neighbour.
        multiplets = (
            middle + F.pad(left[..., :-1, :], (0, 0, 1, 0)) + F.pad(right[..., 1:, :], (0, 0, 0, 1))
        )  # (B, M, L, P)
        arrays = (encoding.mT, masks.mT, separated.mT, multiplets.mT)
        return Separation(separated, inner.trunk, Intermediates(*arrays, inner))
