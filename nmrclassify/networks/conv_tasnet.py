"""The networks: a small Conv-TasNet that takes a mixture of multiplets apart, with two ways to name the compounds.

    mixture (B, P, L)
       |
    encoder -------------------------------.          encoding            (B, N, L)
       |                                   |
    norm, bottleneck 1x1                   |                              (B, W, L)
       |                                   |
    stacks x layers dilated blocks         |          sum of skips        (B, W, L)
       |                                   |
    PReLU, 1x1, sigmoid ---- masks ------- x          masks               (B, M, N, L)
                                           |
                                separated encodings                       (B, M, N, L)
                                   |             |
                                decoder        heads
                                   |             |
              separated multiplets (B, M, P, L)  names

`Slots`, the reference, has M = C interchangeable outputs, one for each compound of a mixture, each
with a softmax over the compounds. `Queries` has M = K + 1 outputs with a fixed meaning: one for
each compound of the library, and a last one for whatever no compound of the library explains; each
says whether its compound is there, how often and how much of it.

Y. Luo and N. Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech
Separation", IEEE/ACM TASLP 27(8), 2019, doi:10.1109/TASLP.2019.2915167. The paper's symbols stand
in brackets below.

Inside, channels come last, (B, L, channels): a 1x1 convolution is then one matrix product, the
global norm a layer norm over contiguous numbers and the depthwise convolution three shifted
multiply-adds. `bench speed` measures what that brings.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nmrclassify.config import bounded, check
from nmrclassify.networks.layers import DepthwiseShifts, GlobalNorm

MaskHook = Callable[
    [Tensor], Tensor
]  # masks (B, M, N, L) to those to go on with: what would be, were a mask another one


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a network. The first four come from the data, the rest from the design document."""

    n_compounds: int = bounded(10, 1, 64, "compounds K")
    n_positions: int = bounded(21, 4, 512, "positions L on the axis")
    n_peaks: int = bounded(6, 2, 6, "peaks P of a multiplet, the input channels")
    n_sources: int = bounded(
        3, 1, 8, "slots: outputs C; queries: the most portions of one compound that are told apart"
    )
    n_filters: int = bounded(64, 2, 512, "encoder filters [N]")
    n_bottleneck: int = bounded(
        16, 2, 256, "channels between blocks, residual and skip [B, Sc], W above"
    )
    n_hidden: int = bounded(64, 2, 512, "channels inside a block [H]")
    kernel: int = bounded(3, 3, 9, "kernel of the depthwise convolutions [P], odd")
    n_stacks: int = bounded(3, 1, 6, "repeats of the dilation pattern [R]")
    n_layers: int = bounded(4, 1, 8, "blocks in a stack, dilation 1, 2, 4, ... [X]")
    nothing: bool = (
        False  # slots: a class K for "no compound", where the number of compounds varies
    )

    def __post_init__(self):
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
        """Positions of the encoding that one mask value depends on through convolutions (norms aside)."""
        return 1 + sum(dilation * (self.kernel - 1) for dilation in self.dilations)


class Separation(NamedTuple):
    """What happened inside the network for a batch: shapes as in the drawing above."""

    encoding: Tensor  # (B, N, L)
    masks: Tensor  # (B, M, N, L)
    separated_encodings: Tensor  # (B, M, N, L)
    multiplets: Tensor  # (B, M, P, L)


class QueryOutput(NamedTuple):
    """What `Queries` says of each compound of the library; the last of the presences is "something unknown"."""

    presence: Tensor  # (B, K + 1), logits
    counts: Tensor  # (B, K, Q), logits of 1, 2, ... Q portions, should the compound be there
    amounts: Tensor  # (B, K), concentration, summed over the portions


class Block(nn.Module):
    """One dilated depthwise-separable block; returns residual and skip, each of the bottleneck's width, from one product."""

    def __init__(self, config: NetworkConfig, dilation: int, residual: bool):
        super().__init__()
        width, hidden = config.n_bottleneck, config.n_hidden
        self.dilation = dilation
        # No biases before the norms: a shift of the PReLU's knee is hardly missed, and each is one
        # pass over the numbers less.
        self.expand = nn.Linear(width, hidden, bias=False)
        self.first = nn.PReLU()
        self.first_norm = GlobalNorm(hidden)
        self.depthwise = nn.Parameter(
            torch.empty(config.kernel, hidden).uniform_(-1, 1) / config.kernel**0.5
        )
        self.second = nn.PReLU()
        self.second_norm = GlobalNorm(hidden)
        # The last block's residual would reach nothing, and so get no gradient.
        self.project = nn.Linear(hidden, 2 * width if residual else width)

    def forward(
        self, x: Tensor
    ) -> Tensor:  # (B, L, W) -> (B, L, 2 W), or (B, L, W) in the last block
        hidden = self.first_norm(self.first(self.expand(x)))  # (B, L, H)
        hidden = DepthwiseShifts.apply(hidden, self.depthwise, self.dilation)
        return self.project(self.second_norm(self.second(hidden)))


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
        self.knee = nn.PReLU()
        self.masks = nn.Linear(config.n_bottleneck, n_masks * config.n_filters)

    def forward(
        self, encoding: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, L, N) -> (B, M, L, N), (B, L, W)
        x = self.bottleneck(self.norm(encoding))  # (B, L, W)
        width = x.shape[-1]
        total = torch.zeros_like(x)
        for block in self.blocks[:-1]:
            out = block(x)  # (B, L, 2 W)
            x, total = x + out[..., :width], total + out[..., width:]
        total = self.knee(total + self.blocks[-1](x))
        return self.masks(total).sigmoid().unflatten(-1, self.shape).transpose(1, 2), total


def rms(mixture: Tensor) -> Tensor:
    """Return the root mean square of each mixture, shape (B, 1, 1), never zero."""
    return mixture.square().mean((1, 2), keepdim=True).clamp_min(1e-30).sqrt()


class Network(nn.Module):
    """What both networks share: mixture to encoding, masks, separated encodings and separated multiplets."""

    def __init__(self, config: NetworkConfig, n_outputs: int):
        super().__init__()
        self.config = config
        # Without a bias the encoding is additive: encode(a + b) = encode(a) + encode(b), so masks
        # can be exact.
        self.encoder = nn.Linear(3 * config.n_peaks, config.n_filters, bias=False)
        self.separator = Separator(config, n_outputs)
        self.decoder = nn.Linear(config.n_filters, 3 * config.n_peaks, bias=False)
        # Fitted on validation mixtures after training, to make the probabilities mean what they
        # say.
        self.register_buffer("temperature", torch.ones(()))

    def _encode(
        self, mixture: Tensor
    ) -> Tensor:  # (B, P, L) -> (B, L, N): a convolution of kernel 3
        return self.encoder(F.pad(mixture, (1, 1)).unfold(2, 3, 1).transpose(1, 2).flatten(2))

    def encode(self, mixture: Tensor) -> Tensor:
        """Return the encoding, shape (B, N, L), of mixtures or of pure sources, shape (B, P, L)."""
        return self._encode(mixture).transpose(1, 2)

    def _separate(
        self, mixture: Tensor, mask_hook: MaskHook | None = None
    ) -> tuple[Separation, Tensor, Tensor]:
        """Return the record, the separated encodings with channels last (B, M, L, N), and the trunk (B, L, W)."""
        expected = (self.config.n_peaks, self.config.n_positions)
        if mixture.ndim != 3 or mixture.shape[1:] != expected:
            raise ValueError(
                f"mixture has shape {tuple(mixture.shape)}; expected (batch, {expected[0]} peaks,"
                f" {expected[1]} positions): bin it on the axis of the model's library"
            )
        encoding = self._encode(mixture)  # (B, L, N)
        # Masks and names must not depend on the unit of the areas; the norms' small constants alone
        # would make them.
        masks, trunk = self.separator(encoding / rms(mixture))  # (B, M, L, N), (B, L, W)
        masks = masks if mask_hook is None else mask_hook(masks.mT).mT
        separated = masks * encoding[:, None]  # (B, M, L, N)
        taps = self.decoder(separated).unflatten(-1, (3, self.config.n_peaks))  # (B, M, L, 3, P)
        left, middle, right = taps.unbind(-2)
        # Each place takes a third of its kernel from the place itself and one from each neighbour.
        multiplets = (
            middle + F.pad(left[..., :-1, :], (0, 0, 1, 0)) + F.pad(right[..., 1:, :], (0, 0, 0, 1))
        )  # (B, M, L, P)
        record = Separation(
            *(t.transpose(-1, -2) for t in (encoding, masks, separated, multiplets))
        )
        return record, separated, trunk

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters())


class Slots(Network):
    """The reference network of the design document: C interchangeable outputs, each with a mask and a softmax."""

    kind = "slots"

    def __init__(self, config: NetworkConfig):
        super().__init__(config, config.n_sources)
        # What mixtures of the training measure, as `rms`; see `_in_unit`.
        self.register_buffer("reference", torch.ones(()))
        self.to_line = nn.Linear(config.n_filters, 1)
        self.classifier = nn.Linear(config.n_positions, config.n_compounds + config.nothing)

    def forward(
        self, mixture: Tensor, mask_hook: MaskHook | None = None
    ) -> tuple[Tensor, Separation]:
        """Separate and classify.

        Parameters
        ----------
        mixture : Tensor, shape (B, P, L), float32
            Peak areas.
        touch : callable, optional
            Changes the masks on their way.

        Returns
        -------
        logits : Tensor, shape (B, C, K), or (B, C, K + 1) with "nothing"
            A softmax over the last axis gives class probabilities.
        separation : Separation

        Raises
        ------
        ValueError
            If the shape of `mixture` is not the one that the network was made for.
        """
        record, separated, _ = self._separate(mixture, mask_hook)
        line = (
            F.linear(separated, self.to_line.weight) * self._in_unit(mixture)[..., None]
            + self.to_line.bias
        )  # (B, C, L, 1)
        line = torch.relu(line).squeeze(-1)  # (B, C, L)
        return self.classifier(line) / self.temperature, record

    def _in_unit(self, mixture: Tensor) -> Tensor:
        """Return the factor, shape (B, 1, 1), that brings areas in quite another unit to the training's; 1 within a factor of 16."""
        factor = self.reference / rms(mixture)
        return torch.where((factor < 16) & (factor > 1 / 16), 1.0, factor)


class Queries(Network):
    """One query for each compound of the library, and one for the unknown: no order to find, no number to be told.

    Whether a compound is there is judged from its separated encoding, and from what least squares
    makes of the mixture: the amount that it gives to the compound and what it leaves over at each
    position. On clean, aligned mixtures that evidence is exact; training teaches when to trust it.
    """

    kind = "queries"
    n_features, n_judges, n_jury = 6, 24, 96
    knees = (
        0.003,
        0.03,
        0.3,
    )  # evidence relative to the mixture counts on these scales, linear below and logarithmic above

    def __init__(self, config: NetworkConfig):
        n_queries, n_positions, n_cells = (
            config.n_compounds + 1,
            config.n_positions,
            config.n_peaks * config.n_positions,
        )
        super().__init__(config, n_queries)
        self.register_buffer("library", torch.zeros(config.n_compounds, n_cells))
        self.register_buffer("scales", torch.tensor(self.knees))
        self.register_buffer("unmixing", torch.zeros(n_cells, config.n_compounds))
        # Amount = separated multiplets x template; starts as the projection on the pure compound,
        # see `know`.
        self.templates = nn.Parameter(torch.zeros(config.n_compounds, n_positions, config.n_peaks))
        self.to_features = nn.Linear(config.n_filters, self.n_features)
        size = n_positions * self.n_features + len(self.knees) * (n_positions + 1)
        self.judges = nn.Parameter(torch.randn(n_queries, size, self.n_judges) / size**0.5)
        self.judges_bias = nn.Parameter(torch.zeros(n_queries, 1, self.n_judges))
        self.knee_features, self.knee_judges = nn.PReLU(), nn.PReLU()
        self.to_presence = nn.Parameter(
            torch.randn(n_queries, self.n_judges, 1) / self.n_judges**0.5
        )
        size = n_positions * config.n_bottleneck + len(self.knees) * (
            n_positions + config.n_compounds
        )
        self.jury = nn.Sequential(
            nn.Linear(size, self.n_jury), nn.PReLU(), nn.Linear(self.n_jury, n_queries)
        )
        # Where one portion is all there can be nothing is to be learnt.
        keep = nn.Module.register_parameter if config.n_sources > 1 else nn.Module.register_buffer
        for name, values in (
            ("sharpness", torch.ones(config.n_sources)),
            ("count_bias", torch.zeros(config.n_sources)),
        ):
            keep(self, name, nn.Parameter(values) if config.n_sources > 1 else values)

    @torch.no_grad()
    def set_library(self, areas: Tensor) -> None:
        """Take in the pure compounds, shape (K, P, L): once, before training."""
        self.library.copy_(areas.flatten(1))
        self.unmixing.copy_(torch.linalg.pinv(areas.flatten(1).double()))
        self.templates.copy_((areas / areas.square().sum((1, 2), keepdim=True)).transpose(1, 2))

    def _evidence(self, mixture: Tensor) -> tuple[Tensor, Tensor]:
        """Return what least squares gives to each compound (B, K, knees), and what it leaves at each position (B, L, knees)."""
        cells, scale = mixture.flatten(1), rms(mixture)  # (B, P L), (B, 1, 1)
        amounts = cells @ self.unmixing  # (B, K)
        left = (
            (cells - amounts @ self.library).unflatten(1, mixture.shape[1:]).square().sum(1).sqrt()
        )  # (B, L)
        amounts = amounts * self.library.square().mean(1).sqrt()
        return tuple(torch.asinh(part[..., None] / scale / self.scales) for part in (amounts, left))

    def forward(
        self, mixture: Tensor, mask_hook: MaskHook | None = None
    ) -> tuple[QueryOutput, Separation]:
        """Separate, and say of each compound whether it is there, how often, and how much of it; else as `Slots.forward`."""
        record, separated, trunk = self._separate(mixture, mask_hook)
        # As for the masks: whether a compound is there must not depend on the unit of the areas,
        # how much of it must.
        scale = rms(mixture)[..., None]  # (B, 1, 1, 1)
        features = (
            F.linear(separated, self.to_features.weight) / scale + self.to_features.bias
        )  # (B, K + 1, L, F)
        features = self.knee_features(features).flatten(2).transpose(0, 1)  # (K + 1, B, L F)
        own, left = self._evidence(mixture)
        everyone = torch.cat([own, left], dim=1).flatten(1)  # (B, knees x (K + L))
        own = F.pad(own, (0, 0, 0, 1)).transpose(
            0, 1
        )  # (K + 1, B, knees); the unknown is given no amount
        given = torch.cat([features, own, left.flatten(1).expand(len(own), -1, -1)], dim=-1)
        judged = self.knee_judges(
            torch.baddbmm(self.judges_bias, given, self.judges)
        )  # (K + 1, B, judges)
        presence = (judged @ self.to_presence).squeeze(-1).T + self.jury(
            torch.cat([trunk.flatten(1), everyone], dim=1)
        )
        amounts = torch.einsum("bkpl,klp->bk", record.multiplets[:, :-1], self.templates)
        steps = torch.arange(1, self.config.n_sources + 1, device=mixture.device)
        distance = amounts.clamp(0, self.config.n_sources + 1)[..., None] - steps  # (B, K, Q)
        counts = self.count_bias - self.sharpness.exp() * distance.square()
        return QueryOutput(presence / self.temperature, counts / self.temperature, amounts), record
