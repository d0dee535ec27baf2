"""Lesson: why the order of the outputs must not matter."""

from itertools import permutations
from math import factorial, log

import numpy as np
import plotly.graph_objects as go
import torch

from nmrclassify.lessons.figures import lines
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.progress import counted, part
from nmrclassify.lessons.trained import BATCH, EVERY, SEED, STEPS, over_steps, short
from nmrclassify.lessons.wording import share
from nmrclassify.mixtures.grid import generator
from nmrclassify.mixtures.presets import build
from nmrclassify.plots.map_rows import MapRow, stack
from nmrclassify.plots.style import Theme, area_scale
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    Faults,
    costs_along,
    listed_anew,
    train,
)

MATCHED, LISTED = "matched", "in the order listed"


def two_lists(report: Report) -> Facts:
    """List the compounds of one mixture in two orders, and find the least loss that any guess of an order allows."""
    report(0.0, "mixing")
    data = build("quick", SEED)
    first = data.test_mixtures()[:1]
    other = listed_anew(first, generator(SEED, "view"))
    n = data.config.n_sources
    orders = np.array(list(permutations(range(n))))
    # All orders are equally likely: no output can say better than how often each compound comes at
    # its place.
    probabilities = np.zeros((n, data.library.n_compounds))
    for order in orders:
        probabilities[np.arange(n), first.labels[0][order]] += 1 / len(orders)
    least = -np.mean(
        [np.log(probabilities[np.arange(n), first.labels[0][order]]).mean() for order in orders]
    )
    report(1.0, "done")
    return {
        "axis": data.library.axis,
        "lists": [
            [data.library.names[k] for k in mixtures.labels[0]] for mixtures in (first, other)
        ],
        "sources": [first.sources[0], other.sources[0]],
        "areas": first.areas[0],
        "difference": float(np.abs(first.sources.sum(axis=1) - other.sources.sum(axis=1)).max()),
        "n": n,
        "orders": len(orders),
        "least": float(least),
    }


def with_and_without_matching(report: Report) -> Facts:
    """Train slots twice on the same mixtures, matched and in the order listed; try all pairings of one unseen mixture."""
    data, runs = build("quick", SEED), {}
    for i, (name, faults) in enumerate(
        ((MATCHED, NO_FAULTS), (LISTED, Faults(False, False, True)))
    ):
        on = part(report, 0.49 * i, 0.49 * (i + 1))
        model, runs[name] = train(
            data, short(), faults, SEED, counted(on, STEPS, f"training, {name}"), EVERY
        )
        if name == MATCHED:
            matched = model
    report(0.98, "trying all pairings")
    unseen = data.test_mixtures()
    first = unseen[:1]
    labels, sources = torch.from_numpy(first.labels), torch.from_numpy(first.sources)
    with torch.no_grad():
        logits, separation = matched(torch.from_numpy(first.areas))

        def cost(order: list[int], unmatched: bool) -> float:
            along = costs_along(
                logits,
                separation.multiplets,
                labels[:, order],
                sources[:, order],
                unmatched=unmatched,
            )
            return float(along.total(1.0).sum())

        every = sorted(cost(list(order), True) for order in permutations(range(labels.shape[1])))
        chosen = cost(list(range(labels.shape[1])), False)
        equivalent_compounds = (
            model(torch.from_numpy(unseen.areas))[0].argmax(-1).numpy()
        )  # the other model's, (B, C)
    report(1.0, "done")
    return {
        "runs": runs,
        "n_test": len(unseen),
        "pairings": len(every),
        "cheapest": every[0],
        "dearest": every[-1],
        "chosen": chosen,
        "same name thrice": float(
            (equivalent_compounds == equivalent_compounds[:, :1]).all(axis=1).mean()
        ),
        "least": log(labels.shape[1]),
    }


def _last(f: Facts, name: str, key: str = "right") -> float:
    return f["runs"][name][-1][key]


def _lists_figure(f: Facts, theme: Theme) -> go.Figure:
    scale = area_scale(theme, f["areas"])
    rows = [MapRow("<b>The mixture</b>", f["areas"][None], scale, outputs=False)]
    rows += [
        MapRow(f"<b>List {i}</b>", sources, scale, headings=tuple(names), outputs=False)
        for i, (names, sources) in enumerate(zip(f["lists"], f["sources"], strict=False), 1)
    ]
    return stack(rows, f["axis"], theme)


LESSON = Lesson(
    "order",
    "The order must not matter",
    "You will know why outputs are matched to compounds before they are marked right or wrong.",
    (
        Step(
            "A list has no order",
            "pages/lessons.py",
            {},
            lambda f: (
                "Two chemists mix the same three compounds. One writes down"
                f" {', '.join(f['lists'][0])}, the other {', '.join(f['lists'][1])}. The rows show"
                f" both lists, and above them the mixture (random compounds, seed {SEED})."
            ),
            "In how many orders can three compounds be listed?",
            lambda f: ("1", str(f["n"]), str(f["orders"]), str(f["n"] ** f["n"])),
            lambda f: 2 if f["orders"] == factorial(f["n"]) else 0,
            lambda f: (
                f"{f['n']} x {f['n'] - 1} x 1 = {f['orders']}. All give the same mixture, since a"
                " sum does not depend on the order. So nothing in the mixture can tell which"
                " compound was written down first."
            ),
            (
                Claim(
                    lambda f: (
                        f"The sums of the two lists differ by at most {f['difference']:.1g} in any"
                        " cell."
                    ),
                    lambda f: f["difference"] < 1e-5 and f["lists"][0] != f["lists"][1],
                ),
            ),
            two_lists,
            0.2,
            _lists_figure,
            lambda f: (
                f"Maps of a mixture and of its sources, listed as {', '.join(f['lists'][0])} and as"
                f" {', '.join(f['lists'][1])}"
            ),
        ),
        Step(
            "What should output 1 learn?",
            "pages/separation.py",
            {"preset": "quick", "network": "slots", "model": "untrained"},
            lambda f: (
                "This is an untrained network of the kind *slots*: three outputs, all alike, each"
                " of which names one compound. Suppose that we mark output 1 right only if it names"
                " the compound that was written down first. Every order is equally likely."
            ),
            "What is the best that output 1 can do once it knows which three compounds are there?",
            lambda f: (
                "Name the right one every time",
                "Give each of the three a chance of one third",
                "Give each compound of the library a tenth",
            ),
            lambda f: 1 if abs(f["least"] - log(f["n"])) < 1e-9 else 0,
            lambda f: (
                "One third each. The loss (**cross entropy**: minus the logarithm of the chance"
                " given to the true answer, so lower is better) then cannot fall below log"
                f" {f['n']} = {f['least']:.2f}. Even a network that knows all three cannot do"
                " better."
            ),
            (
                Claim(
                    lambda f: (
                        f"Over all {f['orders']} orders, the least mean loss is {f['least']:.4f} ="
                        f" log {f['n']}."
                    ),
                    lambda f: abs(f["least"] - log(f["n"])) < 1e-9,
                ),
            ),
            two_lists,
            0.2,
        ),
        Step(
            "Match first, then mark",
            "pages/separation.py",
            {"preset": "quick", "network": "slots", "model": "untrained"},
            lambda f: (
                "Scroll to *How outputs are matched to sources*. Every output is compared with"
                " every compound: the number in a cell is the **cost** of that pair. The frames"
                " mark the pairing that counts. This is called **permutation-invariant** training:"
                " the order does not matter."
            ),
            "In training, which of all the pairings counts?",
            lambda f: (
                "The one in the order of the list",
                "The one with the lowest sum of costs",
                "The mean of all of them",
            ),
            lambda f: 1 if abs(f["chosen"] - f["cheapest"]) < 1e-4 else 0,
            lambda f: (
                f"The cheapest. For three outputs there are {f['pairings']} pairings. For a network"
                " trained for the next step, on its first unseen mixture, their sums go from"
                f" {f['cheapest']:.2f} to {f['dearest']:.2f}; the one that training takes costs"
                f" {f['chosen']:.2f}."
            ),
            (
                Claim(
                    lambda f: (
                        f"Of {f['pairings']} pairings, all tried, none is cheaper than the one that"
                        " training chose."
                    ),
                    lambda f: (
                        abs(f["chosen"] - f["cheapest"]) < 1e-4 and f["dearest"] > f["cheapest"]
                    ),
                ),
            ),
            with_and_without_matching,
            5.0,
        ),
        Step(
            "With and without",
            "pages/lessons.py",
            {},
            lambda f: (
                f"Two networks learn from the same {STEPS} batches of {BATCH} mixtures, with the"
                f" same first weights (seed {SEED}). One is marked after matching, the other in the"
                " order listed, which is random. The curves show what they get right on"
                f" {f['n_test']} mixtures that neither was trained on, counted in whichever order"
                " suits each best."
            ),
            "What does the network that is marked in the order listed learn?",
            lambda f: (
                "The same, only more slowly",
                "Hardly more than one compound in three",
                "Nothing at all",
            ),
            lambda f: 1 if _last(f, LISTED) < 0.5 < _last(f, MATCHED) else 0,
            lambda f: (
                f"Matched, {share(_last(f, MATCHED))} of the compounds are right at the end, and in"
                f" the order listed {share(_last(f, LISTED))}. Its loss stays at"
                f" {_last(f, LISTED, 'classification'):.2f}, above log 3 = {f['least']:.2f}, while"
                f" the other's falls to {_last(f, MATCHED, 'classification'):.2f}. In"
                f" {share(f['same name thrice'])} of the mixtures its three outputs all give the"
                " same name: each settles for the likeliest of three."
            ),
            (
                Claim(
                    lambda f: (
                        "Matching takes the compounds right on unseen mixtures from"
                        f" {share(_last(f, LISTED))} to {share(_last(f, MATCHED))} (one seed,"
                        f" {f['n_test']} mixtures)."
                    ),
                    lambda f: _last(f, MATCHED) - _last(f, LISTED) > 0.2,
                ),
                Claim(
                    lambda f: (
                        "Without matching the loss stays above log 3: it is"
                        f" {_last(f, LISTED, 'classification'):.2f} at the end."
                    ),
                    lambda f: f["least"] < _last(f, LISTED, "classification"),
                ),
            ),
            with_and_without_matching,
            5.0,
            lambda f, theme: lines(
                over_steps(f["runs"], "right"),
                "step",
                "compounds right, unseen mixtures",
                theme,
                per_cent=True,
            ),
            lambda f: (
                f"Curves of the compounds right over {STEPS} steps: matched up to"
                f" {share(_last(f, MATCHED))}, in the order listed up to {share(_last(f, LISTED))}"
            ),
        ),
    ),
)
