"""The network as a row of stages, from the mixture to the classes, and the arithmetic of a cell.

`stages` runs a mixture once and returns each intermediate result as a map. `explain` states how one
value of such a map follows from the stage before: the largest products, their sum, and what comes
after the sum.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from nmrclassify.evaluation.interpretation import filters
from nmrclassify.networks.conv_tasnet import Block, Intermediates, Network, rms
from nmrclassify.networks.layers import DepthwiseShifts
from nmrclassify.networks.queries import Queries
from nmrclassify.networks.slots import Slots

MAX_TERMS = 8  # of a sum; the others are added up
KERNEL = 3  # positions of the filters of encoder and decoder
BEFORE, AFTER = "lower ppm", "higher ppm"


@dataclass(frozen=True)
class Stage:
    """One intermediate result: rows x L positions, or classes.

    Attributes
    ----------
    key : str
        "mixture", "encoding", "bottleneck", "block 1" and so on (its skip), "skip sum"; with the
        number of the output, from 0: "mask 0", "separated 0", "multiplets 0", "classes 0".
    layer : str
        What computes it, the last layer in a word; empty for the mixture.
    rows : str
        What a row is: "peak", "filter", "channel" or "class".
    values : ndarray, shape (rows, L), of classes (rows, 1)
    reach : int
        How many positions of the mixture, to either side, convolutions carry into one position.
    dilation : int or None
        Of a block.
    """

    key: str
    layer: str
    rows: str
    values: np.ndarray
    reach: int
    dilation: int | None = None

    @property
    def output(self) -> int | None:
        """The output of the network that the stage belongs to, from 0; None where it is of all."""
        kind, _, number = self.key.rpartition(" ")
        return int(number) if kind in ("mask", "separated", "multiplets", "classes") else None


@dataclass(frozen=True)
class Term:
    """One product of a sum."""

    name: str
    weight: float
    value: float

    @property
    def product(self) -> float:
        """Weight times value."""
        return self.weight * self.value


@dataclass(frozen=True)
class Window:
    """A kernel over its inputs, shape (rows, columns) each; the sum of their products is a value.

    Columns have ppm decreasing to the right, as the maps are drawn.
    """

    weights: np.ndarray
    inputs: np.ndarray
    rows: tuple[str, ...]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Arithmetic:
    """How one value of a stage is computed.

    Attributes
    ----------
    rule : str
        The computation in one sentence.
    terms : tuple of Term
        The largest products, the largest first, and the sum of the others as the last one.
    bias : float
    after : tuple of (str, float)
        What follows the sum, in order, each with its result: ("sigmoid", .76).
    window : Window, optional
        The same products as a picture, where a kernel lies over its inputs.
    before : Arithmetic, optional
        How the largest term's value is computed, where that is no stage.
    """

    rule: str
    terms: tuple[Term, ...] = ()
    bias: float = 0.0
    after: tuple[tuple[str, float], ...] = ()
    window: Window | None = None
    before: "Arithmetic | None" = field(default=None, repr=False)

    @property
    def total(self) -> float:
        """The sum of the products and the bias."""
        return sum(term.product for term in self.terms) + self.bias

    @property
    def result(self) -> float:
        """The value of the cell."""
        return self.after[-1][1] if self.after else self.total


def _mixture(areas: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(areas, dtype=np.float32))[None]


@torch.inference_mode()
def stages(model: Network, areas: np.ndarray, outputs: np.ndarray | None = None) -> list[Stage]:
    """Run a mixture (P, L) and return all stages in order.

    Parameters
    ----------
    outputs : ndarray of int, optional
        The outputs of the network to return, from 0; all of them by default.

    Raises
    ------
    ValueError
        If the mixture does not fit the network.
    """
    model.eval()
    output, inner = model(_mixture(areas))
    config = model.config
    shown = range(model.n_outputs) if outputs is None else outputs.tolist()
    reach = KERNEL // 2
    found = [
        Stage("mixture", "", "peak", np.asarray(areas, dtype=np.float32), 0),
        Stage("encoding", "encoder", "filter", inner.encoding[0].numpy(), reach),
        Stage("bottleneck", "1x1", "channel", inner.bottleneck[0].numpy(), reach),
    ]
    for i, (skip, dilation) in enumerate(zip(inner.skips, config.dilations, strict=True)):
        reach += dilation * (config.kernel // 2)
        layer, values = f"blocks.{i}", skip[0].numpy()
        found.append(Stage(f"block {i + 1}", layer, "channel", values, reach, dilation))
    found.append(Stage("skip sum", "sum", "channel", inner.skip_sum[0].numpy(), reach))
    classes = _probabilities(model, output)
    for m in shown:
        masked = inner.separated_encodings[0, m].numpy()
        found += [
            Stage(f"mask {m}", "sigmoid", "filter", inner.masks[0, m].numpy(), reach),
            Stage(f"separated {m}", "product", "filter", masked, reach),
            Stage(
                f"multiplets {m}",
                "decoder",
                "peak",
                inner.multiplets[0, m].numpy(),
                reach + KERNEL // 2,
            ),
            Stage(f"classes {m}", _head(model), "class", classes[m][:, None], reach),
        ]
    return found


def _head(model: Network) -> str:
    return "sigmoid" if model.outputs_are_classes else "classifier, softmax"


def _probabilities(model: Network, output: Tensor) -> np.ndarray:
    """Return the probability of each class in each output, shape (M, classes).

    Where outputs are classes, an output has the one of its class, and the others are those of the
    other outputs.
    """
    if model.outputs_are_classes:
        presence = model.presence(output)[0].numpy()
        return np.broadcast_to(presence, (model.n_outputs, len(presence)))
    return torch.stack([model.presence(output, m)[0] for m in range(model.n_outputs)]).numpy()


@torch.inference_mode()
def explain(model: Network, areas: np.ndarray, key: str, row: int, position: int) -> Arithmetic:
    """Return how one value of a stage is computed.

    Parameters
    ----------
    key : str
        Of a stage of `stages`; "residual 1" and so on for what a block adds to its input.
    row, position : int
        Of the cell; classes have position 0.

    Raises
    ------
    ValueError
        If the network has no such cell.
    """
    by_key = {stage.key: stage for stage in stages(model, areas)}
    residual = key.startswith("residual ")
    if residual:  # drawn in place of the skip of the same block; the last block has none
        by_key.update(
            (f"residual {stage.key.split()[1]}", replace(stage, key=key))
            for stage in by_key.copy().values()
            if stage.dilation is not None and stage.key != f"block {len(model.config.dilations)}"
        )
    if key not in by_key:
        raise ValueError(f"there is no stage {key[:40]!r}; expected one of {', '.join(by_key)}")
    stage = by_key[key]
    n_rows, n_positions = stage.values.shape
    if not (0 <= row < n_rows and 0 <= position < n_positions):
        raise ValueError(
            f"cell is row {row}, position {position} of {key}; expected below {n_rows} and"
            f" {n_positions}"
        )
    mixture = _mixture(areas)
    output, inner = model(mixture)
    kind = key if stage.output is None and stage.dilation is None else key.rpartition(" ")[0]
    m = stage.output or 0
    if kind == "mixture":
        return Arithmetic("The input: the area of one peak.", bias=float(areas[row, position]))
    if kind == "encoding":
        return _encoder(model, areas, row, position)
    if kind == "bottleneck":
        normed = model.separator.norm(inner.encoding.mT / rms(mixture))[0, position]
        layer = model.separator.bottleneck
        return _product(
            "Each filter, after the norm, times a weight; then the sum.",
            layer.weight[row],
            normed,
            float(layer.bias[row]),
            "filter",
        )
    if kind in ("block", "residual"):
        return _block(model, inner, int(key.split()[1]) - 1, row, position, residual)
    if kind == "skip sum":
        values = torch.stack([skip[0, row, position] for skip in inner.skips])
        return _product(
            "The skips of all blocks, added up.",
            torch.ones_like(values),
            values,
            0.0,
            "block",
            first=1,
        )
    if kind == "mask":
        return _mask(model, inner, m, row, position)
    if kind == "separated":
        mask = float(inner.masks[0, m, row, position])
        encoding = float(inner.encoding[0, row, position])
        return Arithmetic("Mask times encoding.", (Term("mask x encoding", mask, encoding),))
    if kind == "multiplets":
        return _decoder(model, inner, m, row, position)
    if isinstance(model, Slots):
        return _softmax(model, mixture, inner, output, m, row)
    assert isinstance(model, Queries)
    parts = model.presence_parts(mixture)
    terms = tuple(Term(name, 1.0, float(part[0, row])) for name, part in parts.items())
    divided = (
        []
        if float(model.temperature) == 1
        else [("divided by the temperature", float(output.presence[0, row]))]
    )
    probability = float(output.presence[0, row].sigmoid())
    return Arithmetic(
        "The outputs of three small networks for this compound, added up; then the sigmoid.",
        terms,
        after=(*divided, ("sigmoid", probability)),
    )


def _product(
    rule: str,
    weights: Tensor,
    values: Tensor,
    bias: float,
    name: str,
    after: tuple[tuple[str, float], ...] = (),
    before: Arithmetic | None = None,
    first: int = 0,
) -> Arithmetic:
    """Return the arithmetic of a dot product; terms are called by `name` and number."""
    products = weights * values
    order = products.abs().argsort(descending=True, stable=True).tolist()
    terms = [
        Term(f"{name} {i + first}", float(weights[i]), float(values[i])) for i in order[:MAX_TERMS]
    ]
    if rest := order[MAX_TERMS:]:
        terms.append(Term(f"{len(rest)} others", 1.0, float(products[rest].sum())))
    return Arithmetic(rule, tuple(terms), bias, after, before=before)


def _window(values: np.ndarray, position: int) -> np.ndarray:
    """Return the values (P, 3) around a position, ppm decreasing to the right; 0 past the ends."""
    return np.pad(values, ((0, 0), (1, 1)))[:, position : position + KERNEL][:, ::-1]


def _kernel_terms(window: Window) -> tuple[Term, ...]:
    place = [
        (row, column)
        for row in range(window.weights.shape[0])
        for column in range(window.weights.shape[1])
    ]
    place.sort(key=lambda at: -abs(window.weights[at] * window.inputs[at]))
    terms = [
        Term(
            f"{window.rows[row]}, {window.columns[column]}",
            float(window.weights[row, column]),
            float(window.inputs[row, column]),
        )
        for row, column in place
    ]
    others = sum(term.product for term in terms[MAX_TERMS:])
    rest = [Term(f"{len(terms) - MAX_TERMS} others", 1.0, others)] * (len(terms) > MAX_TERMS)
    return (*terms[:MAX_TERMS], *rest)


def _encoder(model: Network, areas: np.ndarray, row: int, position: int) -> Arithmetic:
    weights, _ = filters(model)
    window = Window(
        weights[row][:, ::-1],
        _window(np.asarray(areas, dtype=np.float32), position),
        tuple(f"peak {p + 1}" for p in range(model.config.n_peaks)),
        (AFTER, "here", BEFORE),
    )
    return Arithmetic(
        "The kernel of this filter times the mixture under it; then the sum.",
        _kernel_terms(window),
        window=window,
    )


def _decoder(
    model: Network, inner: Intermediates, output: int, row: int, position: int
) -> Arithmetic:
    _, weights = filters(model)  # (N, P, 3): what filter n adds before, at and after its position
    masked = inner.separated_encodings[0, output].numpy()  # (N, L)
    # The neighbour at the higher position adds with its tap for the position before it.
    taps = weights[:, row, :]  # (N, 3)
    window = Window(
        taps,
        _window(masked, position),
        tuple(f"filter {n}" for n in range(len(masked))),
        (AFTER, "here", BEFORE),
    )
    return Arithmetic(
        "Each separated filter, here and at both neighbours, times its weight for this peak; then"
        " the sum.",
        _kernel_terms(window),
    )


def _block(
    model: Network, inner: Intermediates, number: int, row: int, position: int, residual: bool
) -> Arithmetic:
    block = model.separator.blocks[number]
    assert isinstance(block, Block)
    x = (inner.bottleneck if number == 0 else inner.streams[number - 1]).mT  # (1, L, W)
    expanded = block.first_norm(block.first(block.expand(x)))  # (1, L, H)
    convolved = DepthwiseShifts.apply(expanded, block.depthwise, block.dilation)
    normed = block.second_norm(block.second(convolved))[0, position]  # (H,)
    layer, width = block.project, model.config.n_bottleneck
    # The skips are the last of its outputs.
    at = row if residual else row + (layer.out_features - width)
    strongest = int((layer.weight[at] * normed).abs().argmax())
    taps = []
    for tap in range(len(block.depthwise)):
        shift = (tap - len(block.depthwise) // 2) * block.dilation
        source = position + shift
        inside = 0 <= source < x.shape[1]
        value = float(expanded[0, source, strongest]) if inside else 0.0
        where = f"{abs(shift)} to {AFTER if shift > 0 else BEFORE}" if shift else "here"
        taps.append(
            Term(
                where + " (past the end: 0)" * (not inside),
                float(block.depthwise[tap, strongest]),
                value,
            )
        )
    after = (
        ("PReLU", float(block.second(convolved)[0, position, strongest])),
        ("norm", float(normed[strongest])),
    )
    before = Arithmetic(
        f"Hidden channel {strongest}, which counts most: one channel here and at distance"
        f" {block.dilation}, times three weights.",
        tuple(taps),
        after=after,
    )
    return _product(
        "Each hidden channel of the block times a weight; then the sum.",
        layer.weight[at],
        normed,
        float(layer.bias[at]),
        "hidden",
        before=before,
    )


def _mask(model: Network, inner: Intermediates, output: int, row: int, position: int) -> Arithmetic:
    layer = model.separator.masks
    at = output * model.config.n_filters + row
    trunk = inner.separator.trunk[0, position]
    return _product(
        "Each channel of the sum of skips, after a PReLU, times a weight; then the sum and the"
        " sigmoid, which maps any number to 0..1.",
        layer.weight[at],
        trunk,
        float(layer.bias[at]),
        "channel",
        (("sigmoid", float(inner.masks[0, output, row, position])),),
    )


def _softmax(
    model: Slots, mixture: Tensor, inner: Intermediates, output: Tensor, m: int, row: int
) -> Arithmetic:
    line = model.line(inner.separated_encodings.mT, mixture)[0, m]  # (L,)
    probability = float(output[0, m].softmax(-1)[row])
    logit = float(output[0, m, row])
    divided = () if float(model.temperature) == 1 else (("divided by the temperature", logit),)
    return _product(
        "The separated encoding as one number for each position, times a weight; then the sum and"
        " the softmax, which makes all classes add up to 1.",
        model.classifier.weight[row],
        line,
        float(model.classifier.bias[row]),
        "position",
        (*divided, ("softmax", probability)),
    )
