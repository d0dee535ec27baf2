"""Lesson: when a classical method is the better answer."""

from dataclasses import replace

import numpy as np

from nmrclassify.baselines.comparison import network_counts, shares_right
from nmrclassify.baselines.grid import counts_from_amounts, nnls
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.shown import STATE, shown
from nmrclassify.lessons.trained import SEED
from nmrclassify.lessons.wording import share
from nmrclassify.mixtures.grid import generator, mix
from nmrclassify.mixtures.presets import build

NEW = (1, 2, 3, 4, 5)  # seeds of random libraries
NOISES = (0.0, 0.1, 0.3, 0.5)
DRAWS = 10


def exactly(report: Report) -> Facts:
    """Solve for the amounts of the mixture that is shown and of all test mixtures, of new libraries, and with noise."""
    report(0.0, "solving for the amounts")
    seen = shown()
    library, data = seen.library, seen.checkpoint.dataset
    unknowns, equations = library.n_compounds, library.areas[0].size
    solved = nnls(seen.areas[None], library)[0]
    true = np.zeros(unknowns)
    true[seen.labels] = seen.concentrations
    mixtures = data.test_mixtures(draws=DRAWS)
    network_amounts = seen.given.amounts
    report(0.2, "solving all test mixtures")
    amounts = mixtures.by_compound(mixtures.concentrations)
    worst = float(np.abs(nnls(mixtures.areas, library) - amounts).max())
    report(0.4, "solving with new libraries")
    fresh = []
    for seed in NEW:
        other = build("quick", seed)
        unseen = other.test_mixtures()
        found = counts_from_amounts(
            nnls(unseen.areas, other.library), False, number=other.config.n_sources
        )
        fresh.append(shares_right(found, unseen.counts)[0])
    right: dict[str, list] = {"network": [], "least squares": []}
    for i, noise in enumerate(NOISES):
        report(0.6 + 0.1 * i, f"noise {noise:g}")
        config = replace(data.config, noise=noise)
        noisy = mix(
            library,
            np.repeat(data.test, DRAWS, axis=0),
            config,
            generator(SEED, "test", int(1000 * noise)),
        )
        found = network_counts(seen.checkpoint.model, noisy, config.n_sources)
        right["network"].append(shares_right(found, noisy.counts)[0])
        found = counts_from_amounts(nnls(noisy.areas, library), False, number=config.n_sources)
        right["least squares"].append(shares_right(found, noisy.counts)[0])
    report(1.0, "done")
    return {
        "unknowns": unknowns,
        "equations": equations,
        "rank": int(np.linalg.matrix_rank(library.areas.reshape(unknowns, -1).astype(float))),
        "names": seen.names,
        "solved": [float(solved[k]) for k in seen.labels],
        "true": [float(value) for value in seen.concentrations],
        "network": [float(network_amounts[k]) for k in seen.labels],
        "off": float(np.abs(solved - true).max()),
        "network off": float(max(abs(network_amounts[k] - true[k]) for k in seen.labels)),
        "worst": worst,
        "mixtures": len(mixtures),
        "fresh": fresh,
        "fresh mixtures": len(unseen),
        "steps": seen.checkpoint.training.steps,
        "right": {name: np.array(values) for name, values in right.items()},
        "compositions": len(data.test),
        "trained noise": seen.checkpoint.training.augmented(data, any_number=True).mixing.noise,
    }


def _right(f: Facts, name: str, noise: float) -> float:
    return float(f["right"][name][NOISES.index(noise)])


def _joined(values: list[float]) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


LESSON = Lesson(
    "classical",
    "When no network is needed",
    "You will know when solving equations beats training a network.",
    (
        Step(
            "Equations instead of training",
            "pages/mixtures.py",
            STATE,
            lambda f: (
                "The mixture is a sum: amount of ethanol times ethanol's pattern, plus amount of"
                " lactate times lactate's pattern, and so on. Every cell of the map, peak by"
                " position, gives one such equation. The unknowns are the amounts of the"
                f" {f['unknowns']} compounds of the library."
            ),
            "How many equations are there for these unknowns?",
            lambda f: tuple(str(n) for n in (f["unknowns"], 21, f["equations"])),
            lambda f: (f["unknowns"], 21, f["equations"]).index(f["equations"]),
            lambda f: (
                f"6 x 21 = {f['equations']} equations for {f['unknowns']} unknowns, far more than"
                " needed. As no compound's pattern is a sum of others (the table has **rank**"
                f" {f['rank']}: that many independent patterns), there is only one solution."
            ),
            (
                Claim(
                    lambda f: (
                        f"{f['equations']} equations, {f['unknowns']} unknowns, rank {f['rank']}."
                    ),
                    lambda f: f["rank"] == f["unknowns"] < f["equations"],
                ),
            ),
            exactly,
            2.0,
        ),
        Step(
            "The exact amounts",
            "pages/separation.py",
            STATE,
            lambda f: (
                "**Least squares** solves these equations as well as can be, with no amount below"
                f" zero. The mixture really holds {_joined(f['true'])} of {', '.join(f['names'])}."
                " Look at the network's amounts in the table *How much of each?*:"
                f" {_joined(f['network'])}."
            ),
            "What does least squares find?",
            lambda f: (
                _joined(f["network"]),
                _joined([1.0] * len(f["names"])),
                _joined(f["solved"]),
            ),
            lambda f: 2 if f["off"] < 1e-4 else 0,
            lambda f: (
                f"{_joined(f['solved'])}: exact but for rounding (off by at most {f['off']:.0e}),"
                f" and 0 for the others. The network is off by up to {f['network off']:.2f}. Over"
                f" {f['mixtures']} test mixtures of {f['compositions']} compositions, least squares"
                f" is never off by more than {f['worst']:.0e}."
            ),
            (
                Claim(
                    lambda f: (
                        f"Least squares is off by at most {f['worst']:.0e} in {f['mixtures']} clean"
                        " mixtures."
                    ),
                    lambda f: f["worst"] < 1e-4 and f["off"] < 1e-4,
                ),
                Claim(
                    lambda f: (
                        f"The network's amounts are off by up to {f['network off']:.2f} in the"
                        " mixture shown."
                    ),
                    lambda f: f["network off"] > 100 * f["off"],
                ),
            ),
            exactly,
            2.0,
        ),
        Step(
            "A new library",
            "pages/robustness.py",
            {"preset": "quick", "seed": "1", "model": "untrained"},
            lambda f: (
                "These are other compounds: a random library. The network shown here is untrained,"
                " since the shipped one knows only its own ten compounds. It would have to be"
                f" trained for these (the shipped one took {f['steps']:,} steps). The first table"
                " shows both on the new mixtures."
            ),
            "How long does least squares have to be trained on the new library?",
            lambda f: ("As long as the network", "A few steps", "Not at all"),
            lambda f: 2 if min(f["fresh"]) == 1 else 1,
            lambda f: (
                f"Not at all: it needs the library and nothing else. On {len(NEW)} new random"
                f" libraries (seeds {NEW[0]} to {NEW[-1]}, {f['fresh mixtures']} clean mixtures of"
                f" three each) it gets {share(min(f['fresh']))} wholly right with the worst one."
            ),
            (
                Claim(
                    lambda f: (
                        f"On {len(NEW)} libraries that it never met, least squares names at least"
                        f" {share(min(f['fresh']))} of the mixtures wholly right."
                    ),
                    lambda f: min(f["fresh"]) == 1,
                ),
            ),
            exactly,
            2.0,
        ),
        Step(
            "And with noise?",
            "pages/lessons.py",
            {},
            lambda f: (
                "Now each peak area gets random **noise**, a little up or down. The axis shows its"
                " size (standard deviation); a single hydrogen has area 1. The shipped network and"
                f" least squares get the same {f['mixtures']} mixtures of {f['compositions']}"
                f" compositions (seed {SEED}), and both are told that there are three compounds."
            ),
            f"Which is better at noise {NOISES[2]:g}?",
            lambda f: ("The network: it has learnt about noise", "Least squares", "They are level"),
            lambda f: (
                1
                if _right(f, "least squares", NOISES[2]) > _right(f, "network", NOISES[2]) + 0.02
                else (
                    0
                    if _right(f, "network", NOISES[2])
                    > _right(f, "least squares", NOISES[2]) + 0.02
                    else 2
                )
            ),
            lambda f: (
                f"Least squares, with {share(_right(f, 'least squares', NOISES[2]))} of the"
                f" mixtures wholly right against {share(_right(f, 'network', NOISES[2]))}. If all"
                " cells are equally noisy, statistics recommends just this method. (The shipped"
                f" network met noise of up to {f['trained noise']:.2f} in training; one trained for"
                " more may do better.) The rule: patterns known and in place, take least squares;"
                " patterns that move, see the lesson *When peaks move*."
            ),
            (
                Claim(
                    lambda f: (
                        f"At noise {NOISES[2]:g} least squares is"
                        f" {100 * (_right(f, 'least squares', NOISES[2]) - _right(f, 'network', NOISES[2])):.0f}"
                        " points of a hundred ahead of the shipped network."
                    ),
                    lambda f: (
                        _right(f, "least squares", NOISES[2]) > _right(f, "network", NOISES[2])
                    ),
                ),
                Claim(
                    lambda f: "The network is not ahead at any of these noises.",
                    lambda f: bool((f["right"]["network"] <= f["right"]["least squares"]).all()),
                ),
            ),
            exactly,
            2.0,
            lambda f, theme: bars(
                [f"{noise:g}" for noise in NOISES],
                f["right"],
                "noise (peak area)",
                "mixtures wholly right",
                theme,
                per_cent=True,
            ),
            lambda f: (
                "Bars over noise: "
                + "; ".join(
                    f"{name} " + ", ".join(share(v) for v in values)
                    for name, values in f["right"].items()
                )
            ),
        ),
    ),
)
