"""Lesson: shifted peaks, where least squares loses."""

from dataclasses import replace

import numpy as np

from nmrclassify.baselines.comparison import network_counts, shares_right
from nmrclassify.baselines.grid import counts_from_amounts, nnls
from nmrclassify.evaluation.metrics import wilson
from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.shown import STATE
from nmrclassify.lessons.trained import SEED
from nmrclassify.lessons.wording import share
from nmrclassify.mixtures.grid import generator, mix, shift_multiplets
from nmrclassify.training.checkpoints import shipped

JITTERS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
DRAWS = 10  # mixtures of each composition
MOVED = 0.4  # positions
NETWORK, SQUARES = "network", "least squares"
ENOUGH = 0.1  # amount that would count as found; the least that is mixed in is 0.5


def as_shifts_grow(report: Report) -> Facts:
    """Name unseen compositions as shifts grow, by the shipped network and by least squares, both told the number."""
    report(0.0, "opening the model")
    checkpoint = shipped()
    data, n = checkpoint.dataset, checkpoint.dataset.config.n_sources
    right: dict[str, list] = {NETWORK: [], SQUARES: []}
    found, left = [], []
    for i, jitter in enumerate(JITTERS):
        report(0.1 + 0.85 * i / len(JITTERS), f"shift jitter {jitter:g}")
        rng = generator(SEED, "test", int(1000 * jitter))
        mixtures = mix(
            data.library,
            np.repeat(data.test, DRAWS, axis=0),
            replace(data.config, shift_jitter=jitter),
            rng,
        )
        right[NETWORK].append(
            shares_right(network_counts(checkpoint.model, mixtures, n), mixtures.counts)[0]
        )
        amounts = nnls(mixtures.areas, data.library)
        right[SQUARES].append(
            shares_right(counts_from_amounts(amounts, False, number=n), mixtures.counts)[0]
        )
        found.append(float((amounts > ENOUGH).sum(axis=1).mean()))
        rest = mixtures.areas - np.einsum("bk,kpl->bpl", amounts, data.library.areas)
        left.append(float(np.sqrt((rest**2).sum() / (mixtures.areas**2).sum())))
    report(0.95, "moving one multiplet")
    ethanol = data.library.areas[data.library.names.index("ethanol")]
    position = int(np.flatnonzero(ethanol.any(axis=0))[-1])
    shifts = np.where(np.arange(ethanol.shape[1]) == position, MOVED, 0.0)
    moved = shift_multiplets(ethanol, shifts).sum(axis=0)
    widths = {
        name: [wilson(value, len(data.test)) for value in values] for name, values in right.items()
    }
    report(1.0, "done")
    return {
        "right": {name: np.array(values) for name, values in right.items()},
        "widths": widths,
        "found": np.array(found),
        "left": np.array(left),
        "stays": float(moved[position] / ethanol[:, position].sum()),
        "goes": float(moved[position + 1] / ethanol[:, position].sum()),
        "kept": float(moved.sum() / ethanol.sum()),
        "n": n,
        "compositions": len(data.test),
        "width": data.library.axis.width,
        "trained": checkpoint.training.added_jitter,
    }


def _at(f: Facts, name: str, jitter: float) -> float:
    return float(f["right"][name][JITTERS.index(jitter)])


def _gap(f: Facts) -> np.ndarray:
    return f["right"][NETWORK] - f["right"][SQUARES]


LESSON = Lesson(
    "shifts",
    "When peaks move",
    "You will know why shifted peaks break least squares, and what a network can learn about them.",
    (
        Step(
            "Peaks wander",
            "pages/compare.py",
            STATE | {"otherjitter": f"{MOVED:g}"},
            lambda f: (
                "Acidity, salt and temperature move peaks. A is a clean mixture, B the same one"
                f" with a **shift jitter** of {MOVED:g}: each multiplet moves by a random amount,"
                f" typically {MOVED:g} positions ({MOVED * f['width']:.1f} ppm here). One that ends"
                " between two positions shares its area between them. Look at the maps of the"
                " mixture and their difference."
            ),
            f"A multiplet moves by exactly {MOVED:g} positions. How much of its area stays in the"
            " old position?",
            lambda f: ("All", share(f["stays"]), share(f["goes"]), "Nothing"),
            lambda f: int(np.argmin(np.abs(np.array([1, f["stays"], f["goes"], 0]) - (1 - MOVED)))),
            lambda f: (
                f"{share(f['stays'])}; the next position gets {share(f['goes'])}. Nothing is lost,"
                " but the pattern no longer looks like the one in the library."
            ),
            (
                Claim(
                    lambda f: (
                        f"Of ethanol's quartet {share(f['stays'])} stay and {share(f['goes'])} move"
                        " on; the total stays the same."
                    ),
                    lambda f: (
                        abs(f["stays"] - 0.6) < 1e-5
                        and abs(f["goes"] - 0.4) < 1e-5
                        and abs(f["kept"] - 1) < 1e-5
                    ),
                ),
            ),
            as_shifts_grow,
            1.0,
        ),
        Step(
            "No shift, no problem",
            "pages/robustness.py",
            {},
            lambda f: (
                "**Least squares** is a classical method: it looks for the amounts of all library"
                " compounds whose sum comes nearest to the mixture. The first table compares it"
                " with the network on clean mixtures. There the network has the harder task: it is"
                " not told the number of compounds. In the count for this question, both are."
            ),
            "On clean mixtures, is the network better than least squares?",
            lambda f: ("Yes", "No: least squares gets them all right", "No: neither is any good"),
            lambda f: 1 if f["right"][SQUARES][0] == 1 else 0 if _gap(f)[0] > 0 else 2,
            lambda f: (
                f"Least squares gets {share(_at(f, SQUARES, 0.0))} wholly right, the network"
                f" {share(_at(f, NETWORK, 0.0))} ({f['compositions'] * DRAWS} mixtures of"
                f" {f['compositions']} unseen compositions, seed {SEED}). There is nothing to gain."
            ),
            (
                Claim(
                    lambda f: (
                        f"Without shifts least squares gets {share(_at(f, SQUARES, 0.0))} of the"
                        " mixtures wholly right."
                    ),
                    lambda f: _at(f, SQUARES, 0.0) == 1,
                ),
            ),
            as_shifts_grow,
            1.0,
        ),
        Step(
            "As shifts grow",
            "pages/lessons.py",
            {},
            lambda f: (
                f"The same {f['compositions']} compositions, {DRAWS} mixtures of each, at eight"
                " sizes of shift. Network and least squares get the same mixtures, and both are"
                f" told that there are {f['n']} compounds. Wholly right means all {f['n']} right."
            ),
            "Which of the two falls first?",
            lambda f: ("The network", "Least squares", "Both alike"),
            lambda f: (
                1
                if _gap(f)[JITTERS.index(MOVED)] > 0.05
                else 0
                if _gap(f)[JITTERS.index(MOVED)] < -0.05
                else 2
            ),
            lambda f: (
                f"Least squares. At {MOVED:g} positions it gets {share(_at(f, SQUARES, MOVED))}"
                f" wholly right and the network {share(_at(f, NETWORK, MOVED))}. The network was"
                " trained on shifted mixtures; it has seen what shifts do. Least squares knows one"
                " fixed pattern for each compound."
            ),
            (
                Claim(
                    lambda f: (
                        f"At {MOVED:g} positions the network is"
                        f" {100 * _gap(f)[JITTERS.index(MOVED)]:.0f} points of a hundred ahead."
                    ),
                    lambda f: bool(
                        f["widths"][NETWORK][JITTERS.index(MOVED)][0] > _at(f, SQUARES, MOVED)
                    ),
                ),
            ),
            as_shifts_grow,
            1.0,
            lambda f, theme: lines(
                {name: (np.array(JITTERS), values) for name, values in f["right"].items()},
                "shift jitter (positions)",
                "mixtures wholly right",
                theme,
                per_cent=True,
            ),
            lambda f: (
                f"Curves over the shift jitter: at {MOVED:g} positions network"
                f" {share(_at(f, NETWORK, MOVED))}, least squares {share(_at(f, SQUARES, MOVED))}"
                " wholly right"
            ),
        ),
        Step(
            "How least squares errs",
            "pages/lessons.py",
            {},
            lambda f: (
                "Least squares can only add up patterns of the library. The bars show how many"
                f" compounds it gives an amount above {ENOUGH:g}, on average. There are {f['n']} in"
                " each mixture, none with an amount below 0.5."
            ),
            "What does it do with area in a place where no true compound has any?",
            lambda f: (
                "It ignores it",
                "It explains it with compounds that are not there",
                "It says that something is wrong",
            ),
            lambda f: 1 if f["found"][JITTERS.index(MOVED)] > f["n"] + 0.5 else 0,
            lambda f: (
                f"It calls up compounds that are not there: {f['found'][0]:.1f} without shifts,"
                f" {f['found'][JITTERS.index(MOVED)]:.1f} at {MOVED:g} positions. And still"
                f" {share(f['left'][JITTERS.index(MOVED)])} of the mixture stays unexplained (root"
                " of the squared areas). That remainder is a warning that one can read."
            ),
            (
                Claim(
                    lambda f: (
                        f"At {MOVED:g} positions it finds {f['found'][JITTERS.index(MOVED)]:.1f}"
                        f" compounds a mixture instead of {f['n']}."
                    ),
                    lambda f: bool(
                        abs(f["found"][0] - f["n"]) < 0.05
                        and f["found"][JITTERS.index(MOVED)] > f["n"] + 0.5
                    ),
                ),
                Claim(
                    lambda f: (
                        f"What it leaves unexplained grows from {share(f['left'][0])} to "
                        f"{share(f['left'][JITTERS.index(MOVED)])}."
                    ),
                    lambda f: bool(f["left"][0] < 0.01 < f["left"][JITTERS.index(MOVED)]),
                ),
            ),
            as_shifts_grow,
            1.0,
            lambda f, theme: bars(
                [f"{j:g}" for j in JITTERS],
                {"compounds found": f["found"]},
                "shift jitter (positions)",
                "compounds found by least squares",
                theme,
            ),
            lambda f: (
                f"Bars: least squares finds {f['found'][0]:.1f} compounds without shifts and"
                f" {f['found'].max():.1f} at most"
            ),
        ),
        Step(
            "The network has limits, too",
            "pages/robustness.py",
            {"jitter": "1"},
            lambda f: (
                "Here the shifts are larger: jitter 1. In training, the network saw shifts of up"
                f" to {f['trained']:g} positions (standard deviation). On this page it is not told"
                " the number of compounds and the classical methods are, so it has the harder"
                " task."
            ),
            "Told the number as well, how many mixtures does the network get wholly right at"
            " jitter 1?",
            lambda f: ("All", "More than half", "Fewer than half"),
            lambda f: 0 if _at(f, NETWORK, 1.0) == 1 else 1 if _at(f, NETWORK, 1.0) > 0.5 else 2,
            lambda f: (
                f"{share(_at(f, NETWORK, 1.0))}; least squares {share(_at(f, SQUARES, 1.0))}. With"
                " shifts as large as the distance between compounds, different mixtures look"
                " alike, and such shifts were rare in its training. A network knows what it was"
                " shown."
            ),
            (
                Claim(
                    lambda f: (
                        "From no shift to jitter 1 the network falls from"
                        f" {share(_at(f, NETWORK, 0.0))} to {share(_at(f, NETWORK, 1.0))}, and"
                        " stays above least squares."
                    ),
                    lambda f: (
                        _at(f, NETWORK, 1.0) < 0.6 < _at(f, NETWORK, 0.0)
                        and _at(f, NETWORK, 1.0)
                        > _at(
                            f,
                            SQUARES,
                            1.0,
                        )
                    ),
                ),
            ),
            as_shifts_grow,
            1.0,
        ),
    ),
)
