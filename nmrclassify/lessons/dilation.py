"""Lesson: what dilation lets the network see."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from nmrclassify.lessons.figures import lines
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.shown import STATE
from nmrclassify.lessons.trained import SEED
from nmrclassify.mixtures.dataset import split
from nmrclassify.mixtures.grid import MixtureConfig, generator
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.layers import GlobalNorm
from nmrclassify.nmr.library import LibraryConfig, random_library
from nmrclassify.training.checkpoints import shipped
from nmrclassify.training.trainer import model_for

POSITIONS = 160  # long enough for the whole receptive field to fit in
PLACE = 7  # on the short axis of the shipped model: 3.5 to 4 ppm
DRAWS = 4  # gradients at random inputs: one alone may be zero by chance
DILATED, PLAIN = "with dilation", "without"


class _Still(nn.Module):
    """A global norm whose mean and spread are held fixed, so that no position is told of the others through them."""

    def __init__(self, norm: GlobalNorm):
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:  # (B, L, channels)
        mean, spread = (
            x.mean((1, 2), keepdim=True).detach(),
            x.std((1, 2), keepdim=True, unbiased=False).detach(),
        )
        return (x - mean) / (spread + 1e-5) * self.norm.weight + self.norm.bias


def influence(model: Network, still: bool, position: int, rng: np.random.Generator) -> np.ndarray:
    """Measure how much the masks at one position change with the encoding at each position.

    Parameters
    ----------
    model : Network
    still : bool
        Whether the global norms are held fixed; then only convolutions carry anything from one
        position to another.
    position : int
    rng : numpy Generator

    Returns
    -------
    ndarray, shape (L,)
        Root mean square gradient over channels and random inputs, relative to its largest value; 0
        where nothing is felt.
    """
    separator, config = copy.deepcopy(model.separator), model.config
    if still:
        for block in separator.blocks:
            block.first_norm, block.second_norm = (
                _Still(block.first_norm),
                _Still(block.second_norm),
            )
        separator.norm = _Still(separator.norm)
    values = rng.normal(size=(DRAWS, config.n_positions, config.n_filters)).astype(np.float32)
    encoding = torch.from_numpy(values).requires_grad_(True)
    masks, _ = separator(encoding)  # (B, M, L, N)
    # Weighted at random: a plain sum could cancel.
    weights = torch.from_numpy(
        rng.normal(size=(DRAWS, masks.shape[1], config.n_filters)).astype(np.float32)
    )
    (masks[:, :, position] * weights).sum().backward()
    felt = encoding.grad.square().mean((0, 2)).sqrt().numpy()
    return felt / felt.max()


def seen_positions(report: Report) -> Facts:
    """Measure by gradients what the middle of a long axis depends on, with and without dilation, norms fixed and free."""
    report(0.0, "making networks")
    library = random_library(LibraryConfig(n_positions=POSITIONS), generator(SEED, "library"))
    model = model_for(split(library, MixtureConfig(), SEED, None, None), SEED)
    config = model.config
    narrow = copy.deepcopy(model)
    for block in narrow.separator.blocks:
        block.dilation = 1
    felt = {}
    for i, (name, network) in enumerate(((DILATED, model), (PLAIN, narrow))):
        report(0.1 + 0.3 * i, f"measuring gradients, {name}")
        felt[name] = influence(network, True, POSITIONS // 2, generator(SEED, "view"))
    report(0.6, "measuring gradients, two blocks")
    two = copy.deepcopy(narrow)
    two.separator.blocks = narrow.separator.blocks[-2:]
    few = influence(two, True, POSITIONS // 2, generator(SEED, "view"))
    report(0.7, "measuring gradients, norms free")
    free = influence(model, False, POSITIONS // 2, generator(SEED, "view"))
    report(0.9, "measuring gradients, shipped model")
    toy = shipped().model
    toy_felt = influence(toy, True, PLACE, generator(SEED, "view"))
    # The encoder's kernel adds one position on either side to what the blocks see.
    sides = 1 + np.cumsum(toy.config.dilations) * (config.kernel - 1) // 2
    reach = {name: np.flatnonzero(values > 0) for name, values in felt.items()}
    offsets = np.arange(POSITIONS) - POSITIONS // 2
    outside = np.delete(free, reach[DILATED])
    far = np.flatnonzero(
        np.abs(offsets) < toy.config.n_positions
    )  # from one end of the toy's axis to the other
    report(1.0, "done")
    return {
        "offsets": offsets,
        "felt": felt,
        "free": free,
        "kernel": config.kernel,
        "dilations": config.dilations,
        "nominal": {
            DILATED: config.receptive_field,
            PLAIN: 1 + len(config.dilations) * (config.kernel - 1),
        },
        "measured": {name: int(where[-1] - where[0] + 1) for name, where in reach.items()},
        "holes": {
            name: int(where[-1] - where[0] + 1 - len(where)) for name, where in reach.items()
        },
        "two blocks": int((few > 0).sum()),
        "one stack": 1 + sum(config.dilations[: config.n_layers]) * (config.kernel - 1),
        "outside": float(outside.max()),
        "everywhere": bool((free > 0).all()),
        "blocks": len(config.dilations),
        "toy": toy.config.n_positions,
        "toy felt": int((toy_felt > 0).sum()),
        "far end": max(PLACE, toy.config.n_positions - 1 - PLACE),
        "sides": sides.tolist(),
        "reaches across": {name: bool((values[far] > 0).all()) for name, values in felt.items()},
    }


def _blocks_needed(f: Facts) -> int:
    return 1 + int(np.argmax(np.array(f["sides"]) >= f["far end"]))


LESSON = Lesson(
    "dilation",
    "What dilation sees",
    "You will know how far a network can look along the axis, and how one measures that.",
    (
        Step(
            "A small window",
            "pages/lessons.py",
            {},
            lambda f: (
                f"A **convolution** with a **kernel** of {f['kernel']} computes each new value from"
                f" {f['kernel']} old ones: the position itself and its two neighbours. The next"
                " layer does the same with what the first has computed."
            ),
            "On how many positions does a value depend after two such layers?",
            lambda f: tuple(str(n) for n in (f["kernel"], f["two blocks"], f["kernel"] ** 2)),
            lambda f: (f["kernel"], 1 + 2 * (f["kernel"] - 1), f["kernel"] ** 2).index(
                f["two blocks"]
            ),
            lambda f: (
                f"On {f['two blocks']}: each layer adds one position on either side. We measured"
                f" it, too: only {f['two blocks']} positions change the result of two layers of the"
                " real network. This number is the **receptive field**."
            ),
            (
                Claim(
                    lambda f: (
                        f"Two layers without dilation see {f['two blocks']} positions, measured by"
                        " gradients."
                    ),
                    lambda f: f["two blocks"] == 1 + 2 * (f["kernel"] - 1),
                ),
            ),
            seen_positions,
            1.0,
        ),
        Step(
            "Gaps that double",
            "pages/lessons.py",
            {},
            lambda f: (
                "**Dilation** leaves gaps: with dilation 4, the kernel looks at a position and at"
                f" those 4 before and 4 behind it. The network's {f['blocks']} layers have the"
                f" dilations {', '.join(map(str, f['dilations']))}. A layer with dilation d adds d"
                " positions on either side."
            ),
            "On how many positions does a mask value depend?",
            lambda f: tuple(
                str(n)
                for n in (
                    f["nominal"][PLAIN],
                    f["one stack"],
                    f["nominal"][DILATED],
                    3 * f["nominal"][DILATED],
                )
            ),
            lambda f: 2 if f["measured"][DILATED] == f["nominal"][DILATED] else 0,
            lambda f: (
                f"1 + 2 x ({' + '.join(map(str, f['dilations']))}) = {f['nominal'][DILATED]}. One"
                f" run of 1, 2, 4, 8 alone sees {f['one stack']}. These are positions of the"
                " encoding; the encoder adds one on either side, which makes"
                f" {f['nominal'][DILATED] + 2} of the mixture."
            ),
            (
                Claim(
                    lambda f: (
                        f"By the formula {f['nominal'][DILATED]} positions, measured by gradients"
                        f" {f['measured'][DILATED]}."
                    ),
                    lambda f: f["nominal"][DILATED] == f["measured"][DILATED],
                ),
            ),
            seen_positions,
            1.0,
        ),
        Step(
            "With and without",
            "pages/lessons.py",
            {},
            lambda f: (
                f"We ask a network on a long axis of {POSITIONS} positions: if the encoding changes"
                " a little here, how much do the masks in the middle change? That is a"
                " **gradient**. The curves show it for dilations as above and for all dilations"
                f" set to 1, with the same weights (untrained, seed {SEED}). The scale is"
                " logarithmic: each step down is a factor."
            ),
            "How many positions can the network see without dilation?",
            lambda f: tuple(str(n) for n in (3, f["nominal"][PLAIN], f["nominal"][DILATED])),
            lambda f: (3, f["nominal"][PLAIN], f["nominal"][DILATED]).index(f["measured"][PLAIN]),
            lambda f: (
                f"{f['measured'][PLAIN]} instead of {f['measured'][DILATED]}, with exactly as many"
                " weights. Note that the curves fall steeply: the edge of the receptive field is"
                f" hardly felt. On the short axis of {f['toy']} positions, only the dilated network"
                " sees from one end to the other."
            ),
            (
                Claim(
                    lambda f: (
                        f"Measured: {f['measured'][DILATED]} positions with dilation,"
                        f" {f['measured'][PLAIN]} without."
                    ),
                    lambda f: f["measured"] == f["nominal"] and not any(f["holes"].values()),
                ),
                Claim(
                    lambda f: (
                        f"Only with dilation does it reach {f['toy'] - 1} positions to either side."
                    ),
                    lambda f: f["reaches across"][DILATED] and not f["reaches across"][PLAIN],
                ),
            ),
            seen_positions,
            1.0,
            lambda f, theme: lines(
                {
                    name: (f["offsets"], np.where(values > 0, values, np.nan))
                    for name, values in f["felt"].items()
                },
                "positions from the middle",
                "influence on the masks",
                theme,
                logarithmic=True,
            ),
            lambda f: (
                f"Curves of the influence: {f['measured'][DILATED]} positions with dilation,"
                f" {f['measured'][PLAIN]} without, falling steeply to both sides"
            ),
        ),
        Step(
            "The wall has a gap",
            "pages/lessons.py",
            {},
            lambda f: (
                "So far we held one thing fixed: the **global norm**. Between layers it subtracts"
                " the mean of all values and divides by their spread, over the whole axis. The"
                " dashed curve is the same network with the norm set free."
            ),
            "Can a change 70 positions away, far outside that window, change the masks in the"
            " middle?",
            lambda f: ("No, never", "Yes, a little", "Yes, as much as one nearby"),
            lambda f: 0 if f["outside"] == 0 else 1 if f["outside"] < 0.1 else 2,
            lambda f: (
                "Yes: it changes the mean and the spread, and these are used everywhere. Outside"
                f" the window the influence is at most {100 * f['outside']:.1f} % of the strongest,"
                " but it is never zero. So the receptive field says how far **patterns** are seen,"
                " and not what the network is blind to."
            ),
            (
                Claim(
                    lambda f: (
                        f"With the norm free, all {POSITIONS} positions are felt; outside the"
                        f" window by at most {100 * f['outside']:.1f} % of the strongest."
                    ),
                    lambda f: f["everywhere"] and 0 < f["outside"] < 0.1,
                ),
            ),
            seen_positions,
            1.0,
            lambda f, theme: lines(
                {
                    "norm held fixed": (
                        f["offsets"],
                        np.where(f["felt"][DILATED] > 0, f["felt"][DILATED], np.nan),
                    ),
                    "norm free": (f["offsets"], f["free"]),
                },
                "positions from the middle",
                "influence on the masks",
                theme,
                logarithmic=True,
            ),
            lambda f: (
                f"Curves of the influence: with the norm held fixed {f['measured'][DILATED]}"
                f" positions, with the norm free all {POSITIONS}"
            ),
        ),
        Step(
            "On the short axis",
            "pages/inside.py",
            STATE | {"position": str(PLACE)},
            lambda f: (
                f"The shipped network has only {f['toy']} positions. Scroll to *What a place can"
                " see, and what it does see*. Each row is a stage of the network, and the orange"
                f" frame what convolutions can bring to position {PLACE} (3.5 to 4 ppm). Its far"
                f" end is {f['far end']} positions away. After one block the frame reaches"
                f" {f['sides'][0]} positions to either side, after two {f['sides'][1]}."
            ),
            "After how many blocks does the frame reach both ends of the axis?",
            lambda f: ("2", "4", "12", "Never"),
            lambda f: ("2", "4", "12", "Never").index(str(_blocks_needed(f))),
            lambda f: (
                f"After {_blocks_needed(f)}: 1 + 1 + 2 + 4 + 8 = {f['sides'][3]} positions to"
                " either side. The other blocks look at the whole axis again, each time with more"
                f" worked out. Measured with the norms held fixed, the masks at position {PLACE}"
                f" depend on {f['toy felt']} of {f['toy']} positions."
            ),
            (
                Claim(
                    lambda f: (
                        f"Block {_blocks_needed(f)} is the first to reach {f['far end']} positions:"
                        f" {', '.join(map(str, f['sides'][:4]))}."
                    ),
                    lambda f: _blocks_needed(f) == 4,
                ),
                Claim(
                    lambda f: (
                        f"In the shipped network, {f['toy felt']} of {f['toy']} positions are felt"
                        f" at position {PLACE}."
                    ),
                    lambda f: f["toy felt"] == f["toy"],
                ),
            ),
            seen_positions,
            1.0,
        ),
    ),
)
