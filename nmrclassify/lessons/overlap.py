"""Lesson: overlapping compounds, and how far even ideal masks get."""

import copy

import numpy as np
import torch
from torch import Tensor, nn

from nmrclassify.evaluation.masks import ideal_ratio_masks
from nmrclassify.evaluation.metrics import evaluate, si_sdr_improvement
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.progress import part
from nmrclassify.lessons.shown import STATE, shown
from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.training.checkpoints import Checkpoint

PAGE = "pages/masks.py"


class _Told(nn.Module):
    """Stands in for the separator of a network, and returns the masks that it was told."""

    def __init__(self, masks: Tensor, width: int):
        super().__init__()
        self.told, self.width = masks, width

    def forward(
        self, encoding: Tensor
    ) -> tuple[Tensor, Tensor]:  # (B, L, N) -> (B, M, L, N), (B, L, W)
        return self.told.transpose(-1, -2), encoding.new_zeros(*encoding.shape[:2], self.width)


@torch.inference_mode()
def separated_with(model: Network, mixture: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return what a network separates if it is given masks instead of estimating them.

    Parameters
    ----------
    model : Network
    mixture : ndarray, shape (P, L), float32
    masks : ndarray, shape (M, N, L)
        With queries M has to be K + 1, as many as the network has outputs.

    Returns
    -------
    ndarray, shape (M, P, L)
    """
    told = copy.copy(model)  # its parts are shared; only the separator of the copy is another
    told._modules = dict(model._modules)
    told.separator = _Told(torch.from_numpy(masks)[None], model.config.n_bottleneck)
    return told.eval()(torch.from_numpy(mixture)[None])[1].multiplets[0].numpy()


def _measured(checkpoint: Checkpoint, mixtures: Mixtures, report: Report) -> dict[str, np.ndarray]:
    """Return for each source the gain in dB by the network's own and by ideal masks, and which share of it overlaps."""
    model, sources = checkpoint.model, mixtures.by_compound(mixtures.sources)  # (B, K, P, L)
    found = {"own": [], "ideal": [], "overlap": []}
    for i in range(len(mixtures)):
        report(i / len(mixtures), f"ideal masks: mixture {i + 1} of {len(mixtures)}")
        everything = np.concatenate(
            [sources[i], np.zeros_like(sources[i, :1])]
        )  # the unknown has no source
        ideal = separated_with(model, mixtures.areas[i], ideal_ratio_masks(model, everything))[:-1]
        present = mixtures.labels[i]
        found["ideal"].append(
            si_sdr_improvement(ideal[present], mixtures.areas[i][None], sources[i, present])
        )
        area = sources[i, present].sum(axis=1)  # (C, L)
        shared = (area > 0).sum(axis=0) > 1
        found["overlap"].append(area[:, shared].sum(axis=1) / area.sum(axis=1))
    gains = evaluate(model, mixtures).si_sdr_improvement
    found["own"] = [gains[i, mixtures.labels[i]] for i in range(len(mixtures))]
    return {name: np.concatenate(values) for name, values in found.items()}


def ideal_masks(report: Report) -> Facts:
    """Compare ideal ratio masks with the network's own: in one shared cell, and over all unseen test compositions."""
    report(0.0, "running the network")
    seen = shown()
    model, truth, axis = seen.checkpoint.model, seen.truth, seen.library.axis
    position = axis.position(3.54)
    pair = [seen.output("ethanol"), seen.output("glycine")]
    rest = np.delete(np.arange(len(seen.given.named)), pair)
    encoded = model.encode(torch.from_numpy(truth.sources)).detach().numpy()  # (M, N, L)
    both = encoded[pair, :, position]  # (2, N)
    loud = np.abs(both).min(axis=0) > 0.1 * np.abs(both).max()
    opposed = loud & (both[0] * both[1] < 0)
    # A filter on which both compounds act in the same direction, by quite different strengths.
    ratio = np.abs(both[1]) / np.abs(both).sum(axis=0)
    row = int(np.argmin(np.where(loud & ~opposed, np.abs(ratio - 0.3), np.inf)))
    measured = _measured(
        seen.checkpoint, seen.checkpoint.dataset.test_mixtures(), part(report, 0.1, 1.0)
    )
    alone = measured["overlap"] == 0
    groups = {"alone": alone, "overlapping": ~alone}
    report(1.0, "done")
    return {
        "filter": row,
        "strengths": (float(abs(both[0, row])), float(abs(both[1, row]))),
        "ideal": float(ideal_ratio_masks(model, truth.sources)[pair[1], row, position]),
        "cells": int(loud.sum()),
        "filters": both.shape[1],
        "neighbour": float(np.abs(encoded[rest, row, position]).sum()),
        "opposed": int(opposed.sum()),
        "positions": [len(seen.shared), int(seen.areas.any(axis=0).sum())],
        "sizes": {name: int(rows.sum()) for name, rows in groups.items()},
        "own": {name: float(np.nanmedian(measured["own"][rows])) for name, rows in groups.items()},
        "ideal gains": {
            name: float(np.nanmedian(measured["ideal"][rows])) for name, rows in groups.items()
        },
        "mixtures": len(seen.checkpoint.dataset.test),
    }


LESSON = Lesson(
    "overlap",
    "Overlap and ideal masks",
    "You will know what the best possible mask is, and why even that one does not separate all.",
    (
        Step(
            "Compounds rarely stand alone",
            "pages/mixtures.py",
            STATE,
            lambda f: (
                f"In this mixture {f['positions'][0]} of {f['positions'][1]} filled positions hold"
                f" two compounds: look for the sticks with two colours. There are {f['mixtures']}"
                " test mixtures of three compounds each. *Previous* and *Next* show the others."
            ),
            "How many of all their compounds share at least one position with another one in the"
            " same mixture?",
            lambda f: tuple(
                f"{n} of {sum(f['sizes'].values())}"
                for n in (0, f["sizes"]["overlapping"], sum(f["sizes"].values()))
            ),
            lambda f: 1,
            lambda f: (
                f"{f['sizes']['overlapping']} of {sum(f['sizes'].values())}, and these are only"
                " three compounds at a time. In a real sample there are dozens, and hardly one"
                " stands alone."
            ),
            (
                Claim(
                    lambda f: (
                        f"{f['sizes']['overlapping']} of the {sum(f['sizes'].values())} compounds"
                        " in the test mixtures overlap with another."
                    ),
                    lambda f: 0 < f["sizes"]["overlapping"] < sum(f["sizes"].values()),
                ),
            ),
            ideal_masks,
            0.5,
        ),
        Step(
            "The ideal mask shares fairly",
            PAGE,
            STATE,
            lambda f: (
                "Below the network's masks stand the **ideal ratio masks**. They are made from the"
                f" true compounds: each gets its share of a cell. In filter {f['filter']} between"
                f" 3.5 and 4 ppm, ethanol alone has strength {f['strengths'][0]:.2f} and glycine"
                f" alone {f['strengths'][1]:.2f}; lactate, in the next position, adds"
                f" {f['neighbour']:.2f}."
            ),
            "What is glycine's ideal mask in this cell?",
            lambda f: (
                f"{f['strengths'][1]:.2f}",
                f"{f['ideal']:.2f}",
                f"{1 - f['ideal']:.2f}",
                "0.50",
            ),
            lambda f: int(
                np.argmin(
                    [
                        abs(value - f["strengths"][1] / (sum(f["strengths"]) + f["neighbour"]))
                        for value in (f["strengths"][1], f["ideal"], 1 - f["ideal"], 0.5)
                    ]
                )
            ),
            lambda f: (
                f"{f['strengths'][1]:.2f} / ({f['strengths'][0]:.2f} + {f['strengths'][1]:.2f} +"
                f" {f['neighbour']:.2f}) = {f['ideal']:.2f}. One has to know the answer to make it,"
                " so it is a yardstick and no method."
            ),
            (
                Claim(
                    lambda f: (
                        "The ideal ratio mask is glycine's share of the strengths,"
                        f" {f['ideal']:.3f}."
                    ),
                    lambda f: (
                        abs(f["ideal"] - f["strengths"][1] / (sum(f["strengths"]) + f["neighbour"]))
                        < 1e-4
                    ),
                ),
            ),
            ideal_masks,
            0.5,
        ),
        Step(
            "What no mask can do",
            PAGE,
            STATE,
            lambda f: (
                "A filter can react to one compound with a positive number and to another with a"
                " negative one. In the mixture the two then cancel in part. Between 3.5 and 4 ppm,"
                f" {f['cells']} of {f['filters']} filters react clearly to both ethanol and"
                " glycine."
            ),
            "How many of these filters react to the two in opposite directions?",
            lambda f: ("Not one", f"{f['opposed']} of {f['cells']}", "All"),
            lambda f: 0 if f["opposed"] == 0 else 2 if f["opposed"] == f["cells"] else 1,
            lambda f: (
                f"{f['opposed']} of {f['cells']}. There the sum is smaller than its larger part. A"
                " mask from 0 to 1 can only make the sum smaller still, so it cannot give that"
                " part back. The network has to read it from other filters."
            ),
            (
                Claim(
                    lambda f: (
                        f"{f['opposed']} of {f['cells']} filters that react clearly to both react"
                        " in opposite directions."
                    ),
                    lambda f: 0 < f["opposed"] < f["cells"],
                ),
            ),
            ideal_masks,
            0.5,
        ),
        Step(
            "The network against the ideal",
            "pages/lessons.py",
            {},
            lambda f: (
                "We give the shipped network the ideal masks in place of its own and let it go on"
                " from there. The bars show by how many decibels (dB) compounds come closer to the"
                f" truth: the median (the middle one) of {f['sizes']['alone']} compounds that stand"
                f" alone and of {f['sizes']['overlapping']} that overlap, in the {f['mixtures']}"
                " test mixtures."
            ),
            "What do the figures say?",
            lambda f: (
                "Overlap makes no difference",
                "Ideal masks separate overlapping compounds perfectly",
                (
                    "Overlap costs with either kind of mask, and the network's own masks do better"
                    " here"
                ),
                "Overlap costs with either kind of mask, and the ideal masks do better here",
            ),
            lambda f: 2 if f["own"]["overlapping"] > f["ideal gains"]["overlapping"] else 3,
            lambda f: (
                f"Overlapping compounds gain {f['own']['overlapping']:.0f} dB with the network's"
                f" own masks and {f['ideal gains']['overlapping']:.0f} dB with ideal ones;"
                f" compounds alone gain {f['own']['alone']:.0f} and {f['ideal gains']['alone']:.0f}"
                " dB. *Ideal* means a fair share of each cell and not the best result: this"
                " decoder was trained together with the network's own masks, and it expects those."
            ),
            (
                Claim(
                    lambda f: (
                        f"Overlap costs {f['own']['alone'] - f['own']['overlapping']:.0f} dB with"
                        " the network's own masks and"
                        f" {f['ideal gains']['alone'] - f['ideal gains']['overlapping']:.0f} dB"
                        " with ideal ones."
                    ),
                    lambda f: all(
                        f[kind]["alone"] > f[kind]["overlapping"] for kind in ("own", "ideal gains")
                    ),
                ),
                Claim(
                    lambda f: (
                        "With this decoder, ideal masks bring overlapping compounds"
                        f" {f['own']['overlapping'] - f['ideal gains']['overlapping']:.0f} dB less"
                        " than the network's own."
                    ),
                    lambda f: f["own"]["overlapping"] > f["ideal gains"]["overlapping"],
                ),
            ),
            ideal_masks,
            0.5,
            lambda f, theme: bars(
                ["alone", "overlapping"],
                {
                    "the network's own masks": np.array(
                        [f["own"][name] for name in ("alone", "overlapping")]
                    ),
                    "ideal ratio masks": np.array(
                        [f["ideal gains"][name] for name in ("alone", "overlapping")]
                    ),
                },
                "compounds in the test mixtures",
                "closer to the truth by (dB)",
                theme,
            ),
            lambda f: (
                "Bars: median improvement of compounds that stand alone and of overlapping ones;"
                f" own masks {f['own']['alone']:.0f} and {f['own']['overlapping']:.0f} dB, ideal"
                f" masks {f['ideal gains']['alone']:.0f} and"
                f" {f['ideal gains']['overlapping']:.0f} dB"
            ),
        ),
    ),
)
