"""Inside a network: one cell traced to the classes, activations, filters, receptive field."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from nmrclassify.networks.conv_tasnet import Network, NetworkConfig

MAX_WORK = 1e8  # values to differentiate, about a second


@dataclass(frozen=True)
class Cell:
    """A cell of the masks: an output, a filter and a position, each counted from 0."""

    output: int
    filter: int
    position: int

    def within(self, config: NetworkConfig, n_outputs: int) -> "Cell":
        """Return the nearest cell that a network of these sizes has."""

        def clamp(value: int, n: int) -> int:
            return min(max(value, 0), n - 1)

        return Cell(
            clamp(self.output, n_outputs),
            clamp(self.filter, config.n_filters),
            clamp(self.position, config.n_positions),
        )


@dataclass(frozen=True)
class CellTrace:
    """The effect of one cell of the maps, from the mixture to the classes.

    A window has the P peaks of three positions: the one before the cell, the cell's, the one after;
    zeros past the ends.

    Attributes
    ----------
    window, encoder : ndarray, shape (P, 3)
        The mixture there, and the filter's weights; the encoding is the sum of their products.
    masks : ndarray, shape (M,)
        Of all outputs of the network, at this filter and position.
    separated : float
        Mask of the cell's output times encoding.
    decoder, added : ndarray, shape (P, 3)
        The filter's weights in the decoder, and these times `separated`: what the cell adds to the
        separated multiplets.
    multiplets : ndarray, shape (P, 3)
        The separated multiplets of the output, to which all filters and neighbours add.
    presence, closed, opened, silenced : ndarray, shape (K,) or (K + 1,)
        Probability of each compound as it is, with this one mask value set to 0, to 1, and with the
        mask of the cell's output set to 0 for all filters at the position.
    log_odds : ndarray, shape (4, K) or (4, K + 1)
        The logarithms of the odds of these four, also where probabilities round to 0 or 1.
    output_classes : ndarray, shape (M,), int
        The class that each output stands for; -1 where it names nothing.
    """

    cell: Cell
    window: np.ndarray
    encoder: np.ndarray
    encoding: float
    masks: np.ndarray
    separated: float
    decoder: np.ndarray
    added: np.ndarray
    multiplets: np.ndarray
    presence: np.ndarray
    closed: np.ndarray
    opened: np.ndarray
    silenced: np.ndarray
    log_odds: np.ndarray
    output_classes: np.ndarray


def _window(areas: np.ndarray, position: int) -> np.ndarray:
    return np.pad(areas, ((0, 0), (1, 1)))[:, position : position + 3]


@torch.inference_mode()
def trace_cell(model: Network, areas: np.ndarray, cell: Cell) -> CellTrace:
    """Follow one cell of the maps of a mixture (P, L).

    Raises
    ------
    ValueError
        If the network has no such cell.
    """
    config, total = model.config, model.n_outputs
    if cell != cell.within(config, total):
        raise ValueError(
            f"cell is output {cell.output}, filter {cell.filter}, position {cell.position};"
            f" expected below {total}, {config.n_filters} and {config.n_positions}"
        )

    def changed(masks: Tensor) -> Tensor:  # (4, M, N, L): as is, closed, open, all filters closed
        masks = masks.clone()
        masks[1:3, cell.output, cell.filter, cell.position] = torch.tensor([0.0, 1.0])
        masks[3, cell.output, :, cell.position] = 0
        return masks

    model.eval()
    mixture = torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32)).expand(4, -1, -1)
    output, record = model(mixture, changed)
    presence, closed, opened, silenced = model.presence(output).numpy()
    encoder, decoder = filters(model)
    masks = record.masks[0, :, cell.filter, cell.position].numpy()
    separated = float(record.separated_encodings[0, cell.output, cell.filter, cell.position])
    return CellTrace(
        cell,
        _window(areas, cell.position),
        encoder[cell.filter],
        float(record.encoding[0, cell.filter, cell.position]),
        masks,
        separated,
        decoder[cell.filter],
        separated * decoder[cell.filter],
        _window(record.multiplets[0, cell.output].numpy(), cell.position),
        presence,
        closed,
        opened,
        silenced,
        model.log_odds(output).numpy(),
        model.predict(areas, np.arange(total)).output_classes,
    )


def strongest_filter(encoding: np.ndarray, position: int) -> int:
    """Return the filter with the strongest encoding (N, L) at a position."""
    return int(np.abs(encoding[:, position]).argmax())


def example_cell(
    mask: np.ndarray, encoding: np.ndarray, multiplets: np.ndarray, output: int
) -> Cell:
    """Return the cell shown first: an output's strongest masked filter where it separates most.

    Parameters
    ----------
    mask, encoding : ndarray, shape (N, L)
    multiplets : ndarray, shape (P, L)
        Separated by the output.
    """
    position = int(np.abs(multiplets).sum(axis=0).argmax())
    return Cell(output, strongest_filter(mask * encoding, position), position)


def filters(model: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights of encoder and decoder as small patterns, (N, P, 3 positions) each.

    The encoding by filter n is the sum of its pattern times the mixture around a position. The
    decoder adds its pattern, times the separated encoding, around that position.
    """
    n, p = model.config.n_filters, model.config.n_peaks
    # Encoder weights are ordered (peak, tap), those of the decoder (tap, peak); the taps are the
    # position before, the same, and the one after.
    encoder = model.encoder.weight.detach().numpy().reshape(n, p, 3)
    decoder = model.decoder.weight.detach().numpy().reshape(3, p, n).transpose(2, 1, 0)
    # The decoder adds its first tap one position further on, so the order is reversed.
    return encoder, decoder[:, :, ::-1]


@dataclass(frozen=True)
class Activations:
    """The outputs of each dilated block: W channels x L positions.

    Attributes
    ----------
    dilations : list of int
        Of the n blocks, in order.
    residual : ndarray, shape (n - 1, W, L)
        What a block adds to the stream that the next one reads; the last block has none.
    skip : ndarray, shape (n, W, L)
        What a block adds to the sum from which the masks are computed.
    """

    dilations: list[int]
    residual: np.ndarray
    skip: np.ndarray


@torch.inference_mode()
def activations(model: Network, areas: np.ndarray) -> Activations:
    """Run a mixture (P, L) through a network and return every block's activations."""
    _, inner = model(torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32))[None])
    residual = torch.cat(inner.residuals) if inner.residuals else inner.bottleneck[:0]
    return Activations(model.config.dilations, residual.numpy(), torch.cat(inner.skips).numpy())


@dataclass(frozen=True)
class ReceptiveField:
    """The positions that each stage at one position depends on.

    Attributes
    ----------
    stages : tuple of str
        "encoding"; "block 1" and so on, the stream after each block; "to the masks", the sum of all
        blocks' skips.
    reach : ndarray, shape (stages,), int
        Positions to either side that convolutions alone reach, the nominal half-width.
    strength : ndarray, shape (stages, L)
        Length of the gradient of the stage's channels at `position` with respect to the mixture at
        each position, relative to the largest of its stage.
    """

    position: int
    stages: tuple[str, ...]
    reach: np.ndarray
    strength: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """Whether a position is in the nominal field of a stage, shape (stages, L)."""
        return np.abs(np.arange(self.strength.shape[1]) - self.position) <= self.reach[:, None]

    @property
    def leak(self) -> np.ndarray:
        """Share of the strength outside the nominal field, shape (stages,).

        It comes through the norms, which average over all positions.
        """
        return np.where(self.inside, 0, self.strength).sum(axis=1) / self.strength.sum(axis=1)


def too_large(config: NetworkConfig) -> str | None:
    """Return why the receptive field of such a network is not measured; None where it is."""
    blocks = len(config.dilations)
    work = blocks * blocks * config.n_bottleneck * config.n_positions * config.n_hidden
    if work <= MAX_WORK:
        return None
    return (
        f"The gradients of {blocks} blocks of {config.n_bottleneck} and {config.n_hidden} channels"
        f" at {config.n_positions} positions are too many to measure here; take a smaller network"
    )


def receptive_field(model: Network, areas: np.ndarray, position: int) -> ReceptiveField:
    """Measure by gradients which positions each stage at `position` depends on.

    The nominal reach is that of W. Luo et al., "Understanding the Effective Receptive Field in Deep
    Convolutional Neural Networks", NeurIPS 2016, section 1; the measured one is the gradient that
    they call the effective receptive field.

    Raises
    ------
    ValueError
        If the network is too large, see `too_large`.
    """
    config = model.config
    if problem := too_large(config):
        raise ValueError(problem)
    mixture = torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32))
    scale = mixture.square().mean().clamp_min(1e-30).sqrt()

    def strength(stage: Tensor, leaf: Tensor) -> Tensor:  # (C, L, C), (C, P, L) -> (L,)
        # Example c selects channel c alone, so that one backward pass gives the gradients of all
        # channels.
        selected = stage[:, position].diagonal().sum()
        (gradient,) = torch.autograd.grad(selected, leaf, retain_graph=True)
        return gradient.square().sum((0, 1)).sqrt()

    with torch.enable_grad():
        leaf = mixture.expand(config.n_filters, -1, -1).clone().requires_grad_()
        rows = [strength(model.encode(leaf).mT, leaf)]
        leaf = mixture.expand(config.n_bottleneck, -1, -1).clone().requires_grad_()
        # The scale is a constant here: its gradient would reach every position.
        inner = model.separator(model.encode(leaf).mT / scale)  # (W, L, W)
        rows += [strength(stage, leaf) for stage in (*inner.streams, inner.skip_sum)]
    measured = torch.stack(rows).detach().numpy()
    steps = [1, *(dilation * (config.kernel - 1) // 2 for dilation in config.dilations)]
    stages = (
        "encoding",
        *(f"block {i + 1}" for i in range(len(config.dilations) - 1)),
        "to the masks",
    )
    return ReceptiveField(
        position,
        stages,
        np.cumsum(steps),
        measured / np.maximum(measured.max(axis=1, keepdims=True), 1e-30),
    )


def parameter_table(model: Network) -> pd.DataFrame:
    """Return one row for each tensor of weights: its part, name, shape and sizes of its values."""
    rows = []
    for name, value in model.named_parameters():
        part = name.split(".")[0]
        rows.append(
            {
                "part": part if part in ("encoder", "separator", "decoder") else "heads",
                "name": name,
                "shape": " x ".join(map(str, value.shape)) or "1",
                "values": value.numel(),
                "root mean square": float(value.detach().square().mean().sqrt()),
                "largest": float(value.detach().abs().max()),
            }
        )
    return pd.DataFrame(rows)
