"""Lesson: how dilation widens the receptive field."""

import copy

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor, nn

from nmrclassify.lessons.example_mixture import STATE
from nmrclassify.lessons.figures import lines
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation
from nmrclassify.lessons.short_training import SEED
from nmrclassify.mixtures.dataset import split
from nmrclassify.mixtures.grid import MixtureConfig, generator
from nmrclassify.networks.conv_tasnet import Block, Network
from nmrclassify.networks.layers import GlobalNorm
from nmrclassify.nmr.library import LibraryConfig, random_library
from nmrclassify.plots.style import Theme
from nmrclassify.training.checkpoints import shipped
from nmrclassify.training.trainer import model_for

POSITIONS = 160  # the whole receptive field fits in
PLACE = 7  # on the short axis of the shipped model: 3.5 to 4 ppm
DRAWS = 4  # gradients at random inputs: a single one may be zero by chance
DILATED, PLAIN = "with dilation", "without"
FIXED, FREE = "norm held fixed", "norm free"


class FixedNorm(GlobalNorm):
    """A global norm with constant mean and spread: no position affects another one through it."""

    def __init__(self, norm: GlobalNorm) -> None:
        super().__init__(len(norm.weight))
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        """Normalise values of shape (B, L, channels); mean and spread get no gradient."""
        mean = x.mean((1, 2), keepdim=True).detach()
        spread = x.std((1, 2), keepdim=True, unbiased=False).detach()
        return (x - mean) / (spread + 1e-5) * self.weight + self.bias


def fix_norms(module: nn.Module) -> None:
    """Replace all global norms in a module by fixed ones."""
    for name, child in module.named_children():
        if isinstance(child, GlobalNorm):
            setattr(module, name, FixedNorm(child))
        else:
            fix_norms(child)


def influence(model: Network, fixed: bool, position: int, rng: np.random.Generator) -> np.ndarray:
    """Measure how much the masks at one position change with the encoding at each position.

    Parameters
    ----------
    fixed : bool
        Whether the global norms are held fixed; then only convolutions connect positions.

    Returns
    -------
    ndarray, shape (L,)
        Root mean square gradient over channels and random inputs, relative to its largest value; 0
        where the encoding has no effect.
    """
    separator, config = copy.deepcopy(model.separator), model.config
    if fixed:
        fix_norms(separator)
    values = rng.normal(size=(DRAWS, config.n_positions, config.n_filters)).astype(np.float32)
    encoding = torch.from_numpy(values).requires_grad_(True)
    masks = separator(encoding).masks  # (B, M, L, N)
    # Random weights: in a plain sum, gradients could cancel.
    weights = rng.normal(size=(DRAWS, masks.shape[1], config.n_filters)).astype(np.float32)
    total = (masks[:, :, position] * torch.from_numpy(weights)).sum()
    (gradient,) = torch.autograd.grad(total, encoding)
    strength = gradient.square().mean((0, 2)).sqrt().numpy()
    return strength / strength.max()


@computation(seconds=1.0)
def receptive_fields(report: Report, seed: int = SEED) -> Facts:
    """Measure by gradients which positions affect the masks, with and without dilation."""
    report(0.0, "making networks")
    library = random_library(LibraryConfig(n_positions=POSITIONS), generator(seed, "library"))
    model = model_for(split(library, MixtureConfig(), seed, None, None), seed)
    config, middle = model.config, POSITIONS // 2
    plain = copy.deepcopy(model)
    for block in plain.separator.blocks:
        assert isinstance(block, Block)
        block.dilation = 1
    curves = {}
    for i, (name, network) in enumerate(((DILATED, model), (PLAIN, plain))):
        report(0.1 + 0.3 * i, f"measuring gradients, {name}")
        curves[name] = influence(network, True, middle, generator(seed, "view"))
    report(0.6, "measuring gradients, two blocks")
    two = copy.deepcopy(plain)
    two.separator.blocks = plain.separator.blocks[-2:]
    two_blocks = int((influence(two, True, middle, generator(seed, "view")) > 0).sum())
    report(0.7, "measuring gradients, norms free")
    free = influence(model, False, middle, generator(seed, "view"))
    report(0.9, "measuring gradients, shipped model")
    toy = shipped("queries").model
    n_toy = toy.config.n_positions
    toy_reached = int((influence(toy, True, PLACE, generator(seed, "view")) > 0).sum())

    kernel, dilations = config.kernel, config.dilations
    formula = {DILATED: config.receptive_field, PLAIN: 1 + len(dilations) * (kernel - 1)}
    reached = {name: np.flatnonzero(values > 0) for name, values in curves.items()}
    measured = {name: int(at[-1] - at[0] + 1) for name, at in reached.items()}
    no_holes = all(len(at) == measured[name] for name, at in reached.items())
    outside = float(np.delete(free, reached[DILATED]).max())
    offsets = np.arange(POSITIONS) - middle
    # From one end of the axis of the shipped model to the other.
    axis = np.abs(offsets) < n_toy
    spans = {name: bool((values[axis] > 0).all()) for name, values in curves.items()}
    # The kernel of the encoder adds one position on each side to those of the blocks.
    sides = (1 + np.cumsum(toy.config.dilations) * (kernel - 1) // 2).tolist()
    far_end = max(PLACE, n_toy - 1 - PLACE)
    needed = 1 + int(np.argmax(np.array(sides) >= far_end))
    report(1.0, "done")
    return {
        "seed": seed,
        "n_positions": POSITIONS,
        "kernel": kernel,
        "kernel_squared": kernel**2,
        "two_blocks": two_blocks,
        "two_option": (kernel, 1 + 2 * (kernel - 1), kernel**2).index(two_blocks),
        "two_layers_add_two_positions": two_blocks == 1 + 2 * (kernel - 1),
        "n_blocks": len(dilations),
        "dilations": list(dilations),
        "dilation_sum": " + ".join(map(str, dilations)),
        "one_stack": 1 + sum(dilations[: config.n_layers]) * (kernel - 1),
        "dilated": formula[DILATED],
        "plain": formula[PLAIN],
        "three_times": 3 * formula[DILATED],
        "of_the_mixture": formula[DILATED] + 2,
        "measured": measured,
        "measured_dilated": measured[DILATED],
        "measured_plain": measured[PLAIN],
        "dilated_option": 2 if measured[DILATED] == formula[DILATED] else 0,
        "plain_option": (3, formula[PLAIN], formula[DILATED]).index(measured[PLAIN]),
        "formula_is_measured": measured[DILATED] == formula[DILATED],
        "both_formulas_are_measured": measured == formula and no_holes,
        "only_dilation_spans_the_axis": spans[DILATED] and not spans[PLAIN],
        "offsets": offsets,
        "curves": curves,
        "free": free,
        "outside": outside,
        "outside_option": 0 if outside == 0 else 1 if outside < 0.1 else 2,
        "norms_reach_everywhere": bool((free > 0).all()) and 0 < outside < 0.1,
        "place": PLACE,
        "n_toy": n_toy,
        "n_toy_minus_1": n_toy - 1,
        "toy_reached": toy_reached,
        "toy_reaches_everywhere": toy_reached == n_toy,
        "far_end": far_end,
        "sides": sides,
        "first_sides": sides[:4],
        "needed": needed,
        "needed_option": ("2", "4", "12", "Never").index(str(needed)),
        "four_blocks_are_needed": needed == 4,
    }


def _draw(curves: dict[str, np.ndarray], facts: Facts, theme: Theme) -> go.Figure:
    return lines(
        {
            name: (facts["offsets"], np.where(values > 0, values, np.nan))
            for name, values in curves.items()
        },
        "positions from the middle",
        "influence on the masks",
        theme,
        logarithmic=True,
    )


def draw_dilations(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the influence of each position with and without dilation."""
    return _draw(facts["curves"], facts, theme)


def draw_norms(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the influence of each position with the norm held fixed and free."""
    return _draw({FIXED: facts["curves"][DILATED], FREE: facts["free"]}, facts, theme)


LESSON = Lesson(
    name="dilation",
    title="How far dilation reaches",
    aim="You will know how far a receptive field reaches along the axis, and how to measure it.",
    steps=(
        Step(
            title="A small window",
            page="app.py",
            state=STATE,
            target="network",
            facts=receptive_fields,
            text="""A **convolution** with a **kernel** of {kernel} computes each new value from
                {kernel} old values: the one at the same position and its two neighbours. The next
                layer does the same with the values of the first layer. The picture shows such
                layers: four in each stack.""",
            question="On how many positions does a value depend after two such layers?",
            options=("{kernel}", "{two_blocks}", "{kernel_squared}"),
            answer="two_option",
            reveal="""It depends on {two_blocks} positions: each layer adds one position on either
                side. We also measured this. Only {two_blocks} positions change the result of two
                layers of the real network. This number is called the **receptive field**.""",
            claims={
                "two_layers_add_two_positions": """Two layers without dilation depend on
                    {two_blocks} positions, measured by gradients."""
            },
        ),
        Step(
            title="Gaps that double",
            page="app.py",
            state=STATE,
            target="network",
            facts=receptive_fields,
            text="""**Dilation** puts gaps into the kernel. With dilation 4, the kernel takes a
                position, the one 4 before it and the one 4 behind it. The {n_blocks} layers of the
                network have the dilations {dilations}. A layer with dilation d adds d positions on
                either side.""",
            question="On how many positions does a mask value depend?",
            options=("{plain}", "{one_stack}", "{dilated}", "{three_times}"),
            answer="dilated_option",
            reveal="""1 + 2 x ({dilation_sum}) = {dilated}. The first four layers (1, 2, 4, 8) alone
                give {one_stack}. These are positions of the encoding. The encoder adds one position
                on either side, so a mask value depends on {of_the_mixture} positions of the
                mixture.""",
            claims={
                "formula_is_measured": """The formula gives {dilated} positions. The gradients show
                    {measured_dilated}."""
            },
        ),
        Step(
            title="With and without dilation",
            page="pages/lessons.py",
            facts=receptive_fields,
            text="""This network has a long axis of {n_positions} positions. If the encoding changes
                a little at one position, how much do the masks in the middle change? That is a
                **gradient**. The curves show it for the dilations above, and with all dilations set
                to 1. The weights are the same (untrained, seed {seed}). The scale is
                logarithmic.""",
            question="How many positions affect the masks without dilation?",
            options=("3", "{plain}", "{dilated}"),
            answer="plain_option",
            reveal="""{measured_plain} positions without dilation and {measured_dilated} with
                dilation, with the same number of weights. The curves fall steeply, so positions
                near the edge of the receptive field have little effect. On the short axis of
                {n_toy} positions, only the network with dilation reaches from one end to the
                other.""",
            claims={
                "both_formulas_are_measured": """Measured: {measured_dilated} positions with
                    dilation, {measured_plain} without.""",
                "only_dilation_spans_the_axis": """Only with dilation does the network reach
                    {n_toy_minus_1} positions to either side.""",
            },
            figure=draw_dilations,
            alt="""Curves of the influence: {measured_dilated} positions with dilation,
                {measured_plain} without, falling steeply to both sides""",
        ),
        Step(
            title="The global norm reaches everywhere",
            page="pages/lessons.py",
            facts=receptive_fields,
            text="""So far we held one part fixed: the **global norm** between the layers. It
                subtracts the mean of all values on the whole axis and divides by their spread. The
                dashed curve is the same network with the norm free.""",
            question="""Can a change 70 positions away, far outside the receptive field, change the
                masks in the middle?""",
            options=("No, never", "Yes, a little", "Yes, as much as a change nearby"),
            answer="outside_option",
            reveal="""Yes. It changes the mean and the spread, and these are used at every position.
                Outside the receptive field, the influence is at most {outside:.1%} of the
                strongest, but it is never zero. So the network recognises **patterns** only within
                the receptive field. Positions outside it still have a small effect.""",
            claims={
                "norms_reach_everywhere": """With the norm free, all {n_positions} positions have an
                    effect. Outside the receptive field it is at most {outside:.1%} of the
                    strongest."""
            },
            figure=draw_norms,
            alt="""Curves of the influence: with the norm held fixed {measured_dilated} positions,
                with the norm free all {n_positions}""",
        ),
        Step(
            title="On the short axis",
            page="pages/inside.py",
            state=STATE | {"position": str(PLACE)},
            target="receptive field",
            facts=receptive_fields,
            text="""The shipped network has only {n_toy} positions. Look at *Receptive field:
                which positions influence this one?*. Each row is a stage of the network. The orange
                frame shows the receptive field of position {place} (3.5 to 4 ppm). The far end of
                the axis is {far_end} positions away. After one block, the frame reaches {sides[0]}
                positions to either side. After two blocks, it reaches {sides[1]}.""",
            question="After how many blocks does the frame reach both ends of the axis?",
            options=("2", "4", "12", "Never"),
            answer="needed_option",
            reveal="""After {needed}: 1 + 1 + 2 + 4 + 8 = {sides[3]} positions to either side. The
                later blocks process the whole axis again. We also measured this with the norms held
                fixed: the masks at position {place} depend on {toy_reached} of {n_toy}
                positions.""",
            claims={
                "four_blocks_are_needed": """Block {needed} is the first to reach {far_end}
                    positions: the blocks reach {first_sides}.""",
                "toy_reaches_everywhere": """In the shipped network, {toy_reached} of {n_toy}
                    positions affect the masks at position {place}.""",
            },
        ),
    ),
)
