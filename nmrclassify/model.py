"""The reference network: a small Conv-TasNet that takes a mixture of multiplets apart and names the compounds.

    mixture (B, P, L)
       |
    encoder -------------------------------.          encoding            (B, N, L)
       |                                   |
    norm, bottleneck 1x1                   |                              (B, H, L)
       |                                   |
    stacks x layers dilated blocks         |          sum of skips        (B, H, L)
       |                                   |
    PReLU, 1x1, sigmoid ---- masks ------- x          masks               (B, C, N, L)
                                           |
                                separated encodings                       (B, C, N, L)
                                   |             |
                                decoder      classifier
                                   |             |
              separated multiplets (B, C, P, L)  logits (B, C, K)

Y. Luo and N. Mesgarani, "Conv-TasNet: Surpassing Ideal Time-Frequency Magnitude Masking for Speech Separation",
IEEE/ACM TASLP 27(8), 2019, doi:10.1109/TASLP.2019.2915167. The paper's symbols stand in brackets below.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .config import bounded, check


@dataclass(frozen=True)
class SlotsConfig:
    """Sizes of the reference network. The first four come from the data, the rest from the design document."""

    n_compounds: int = bounded(10, 1, 64, "classes K of the softmax")
    n_positions: int = bounded(21, 4, 512, "positions L on the axis")
    n_peaks: int = bounded(6, 2, 6, "peaks P of a multiplet, the input channels")
    n_sources: int = bounded(3, 1, 8, "outputs C, one for each compound of a mixture")
    n_filters: int = bounded(64, 2, 512, "encoder filters [N]")
    n_bottleneck: int = bounded(16, 2, 256, "channels between blocks, residual and skip [B, Sc]")
    n_hidden: int = bounded(64, 2, 512, "channels inside a block [H]")
    kernel: int = bounded(3, 3, 9, "kernel of the depthwise convolutions [P], odd")
    n_stacks: int = bounded(3, 1, 6, "repeats of the dilation pattern [R]")
    n_layers: int = bounded(4, 1, 8, "blocks in a stack, dilation 1, 2, 4, ... [X]")

    def __post_init__(self):
        check(self)
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel is {self.kernel}; expected an odd number, so that positions stay aligned")

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
    masks: Tensor  # (B, C, N, L)
    separated_encodings: Tensor  # (B, C, N, L)
    multiplets: Tensor  # (B, C, P, L)


class Block(nn.Module):
    """One dilated depthwise-separable block: residual and skip outputs of the bottleneck's width."""

    def __init__(self, config: SlotsConfig, dilation: int, residual: bool):
        super().__init__()
        width, hidden = config.n_bottleneck, config.n_hidden
        self.body = nn.Sequential(
            nn.Conv1d(width, hidden, 1),
            nn.PReLU(),
            nn.GroupNorm(1, hidden),  # one group: the paper's global layer norm
            nn.Conv1d(
                hidden, hidden, config.kernel, padding=dilation * (config.kernel // 2), dilation=dilation, groups=hidden
            ),
            nn.PReLU(),
            nn.GroupNorm(1, hidden),
        )
        self.skip = nn.Conv1d(hidden, width, 1)
        # The last block's residual would reach nothing, and so get no gradient.
        self.residual = nn.Conv1d(hidden, width, 1) if residual else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.body(x)  # (B, H, L)
        return x + self.residual(hidden) if self.residual else x, self.skip(hidden)


class Separator(nn.Module):
    """Encoding to masks: normalise, narrow, run the dilated blocks, sum their skips."""

    def __init__(self, config: SlotsConfig):
        super().__init__()
        self.shape = (config.n_sources, config.n_filters)
        self.bottleneck = nn.Sequential(
            nn.GroupNorm(1, config.n_filters), nn.Conv1d(config.n_filters, config.n_bottleneck, 1)
        )
        last = len(config.dilations) - 1
        self.blocks = nn.ModuleList(Block(config, d, residual=i < last) for i, d in enumerate(config.dilations))
        self.masks = nn.Sequential(
            nn.PReLU(), nn.Conv1d(config.n_bottleneck, config.n_sources * config.n_filters, 1), nn.Sigmoid()
        )

    def forward(self, encoding: Tensor) -> Tensor:
        x = self.bottleneck(encoding)  # (B, bottleneck, L)
        total = torch.zeros_like(x)
        for block in self.blocks:
            x, skip = block(x)
            total = total + skip
        return self.masks(total).unflatten(1, self.shape)  # (B, C, N, L)


class Slots(nn.Module):
    """The reference network of the design document: C interchangeable outputs, each with a mask and a softmax."""

    kind = "slots"

    def __init__(self, config: SlotsConfig):
        super().__init__()
        self.config = config
        # Without a bias the encoding is additive: encode(a + b) = encode(a) + encode(b), so masks can be exact.
        self.encoder = nn.Conv1d(config.n_peaks, config.n_filters, 3, padding=1, bias=False)
        self.separator = Separator(config)
        self.decoder = nn.Conv1d(config.n_filters, config.n_peaks, 3, padding=1, bias=False)
        self.to_line = nn.Conv1d(config.n_filters, 1, 1)
        self.classifier = nn.Linear(config.n_positions, config.n_compounds)

    def forward(self, mixture: Tensor) -> tuple[Tensor, Separation]:
        """Separate and classify.

        Parameters
        ----------
        mixture : Tensor, shape (B, P, L), float32
            Peak areas.

        Returns
        -------
        logits : Tensor, shape (B, C, K)
            A softmax over the last axis gives class probabilities.
        separation : Separation

        Raises
        ------
        ValueError
            If the shape of `mixture` is not the one that the network was made for.
        """
        expected = (self.config.n_peaks, self.config.n_positions)
        if mixture.ndim != 3 or mixture.shape[1:] != expected:
            raise ValueError(f"mixture has shape {tuple(mixture.shape)}; expected (batch, {expected[0]} peaks, {expected[1]} positions)")
        encoding = self.encoder(mixture)  # (B, N, L)
        masks = self.separator(encoding)  # (B, C, N, L)
        separated = masks * encoding[:, None]  # (B, C, N, L)
        flat = separated.flatten(0, 1)  # (B * C, N, L)
        multiplets = self.decoder(flat).unflatten(0, masks.shape[:2])  # (B, C, P, L)
        logits = self.classifier(torch.relu(self.to_line(flat)).squeeze(1)).unflatten(0, masks.shape[:2])  # (B, C, K)
        return logits, Separation(encoding, masks, separated, multiplets)

    @property
    def n_parameters(self) -> int:
        """Number of trainable values."""
        return sum(p.numel() for p in self.parameters())
