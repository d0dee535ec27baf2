"""Lesson: what "82.9 % accuracy" meant."""

from itertools import permutations

import numpy as np

from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.progress import counted
from nmrclassify.lessons.trained import SEED, short
from nmrclassify.lessons.wording import several, share
from nmrclassify.mixtures.grid import counts_of
from nmrclassify.mixtures.presets import build
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    REPORTED,
    naming_the_commonest,
    printed,
    train,
)

SEEDS = (1, 2, 3, 4, 5)
EPOCHS, SIZE = 80, 10  # ten mixtures a step: each step is an epoch
OPTIMISERS = {"sgd": "SGD", "momentum": "SGD, momentum", "adam": "Adam"}


def _in_place(named: np.ndarray, rows: np.ndarray) -> float:
    """Return which share is right if names in a fixed order are compared place by place with lists in all orders."""
    orders = np.array(list(permutations(range(rows.shape[1]))))
    return float((rows[:, orders] == named).mean())


def counted_then(report: Report) -> Facts:
    """Turn the figures of 2022 into shares of compounds, and set them against naming the commonest compounds."""
    report(0.0, "naming the commonest")
    lazy, in_place = [], []
    for i, seed in enumerate(SEEDS):
        few, many = build("original", seed), build("quick", seed)
        rows = np.concatenate([many.validation, many.test])
        rows = rows[~np.isin(few.keys(rows), few.keys(few.train))]
        lazy.append(naming_the_commonest(few, rows)[1])
        often = counts_of(few.train, few.library.n_compounds).sum(axis=0)
        in_place.append(_in_place(np.argsort(-often, kind="stable")[: few.config.n_sources], rows))
        report((i + 1) / len(SEEDS), f"naming the commonest, seed {seed}")
    n = few.config.n_sources
    return {
        "n": n,
        "most": printed(np.ones(1), n),
        "reported": REPORTED,
        "per compound": {name: value / n for name, value in REPORTED.items()},
        "lazy": float(np.mean(lazy)),
        "lazy seeds": lazy,
        "in place": float(np.mean(in_place)),
    }


def over_epochs(report: Report) -> Facts:
    """Train slots on the ten mixtures of the preset "original", and count after each epoch as was done in 2022."""
    data = build("original", SEED)
    config = short(batch_size=SIZE, steps=EPOCHS)
    _, history = train(
        data, config, NO_FAULTS, SEED, counted(report, EPOCHS, "training, epoch after epoch"), 1
    )
    shares = np.array([row["right"] for row in history])
    n = data.config.n_sources
    return {
        "epochs": np.array([row["step"] for row in history]),
        "shares": shares,
        "printed": printed(shares, n),
        "mean": float(shares.mean()),
        "end": float(shares[-1]),
        "n": n,
        "mixtures": len(data.test),
    }


def _guesses(f: Facts) -> tuple[float, float, float]:
    return f["reported"]["sgd"], 2 * f["per compound"]["sgd"], f["per compound"]["sgd"]


LESSON = Lesson(
    "accuracy",
    "What 82.9 % accuracy meant",
    "You will know which questions to ask when somebody tells you an accuracy.",
    (
        Step(
            "A share of what?",
            "pages/evaluate.py",
            {},
            lambda f: (
                "In 2022 the first public version of this network reported a test accuracy of"
                f" {f['reported']['sgd']:.4f}. It had divided the number of **compounds** named"
                f" right by the number of **mixtures**. Each mixture holds {f['n']} compounds."
                " (This page counts differently: *Compounds right* are divided by compounds.)"
            ),
            "If every compound is named right, what does the accuracy of 2022 come to?",
            lambda f: ("1", f"{f['most']:.0f}", "10"),
            lambda f: 1 if f["most"] == f["n"] else 0,
            lambda f: (
                f"To {f['most']:.0f}: all {f['n']} compounds of each mixture, divided by one"
                f" mixture. A share that can reach {100 * f['most']:.0f} % is no share. Always ask:"
                " how many out of how many?"
            ),
            (
                Claim(
                    lambda f: f"Counted as in 2022, a perfect network gets {f['most']:.0f}.",
                    lambda f: f["most"] == f["n"] == 3,
                ),
            ),
            counted_then,
            0.2,
        ),
        Step(
            "Per compound",
            "pages/lessons.py",
            {},
            lambda f: (
                "The three bars are the accuracies reported in 2022, for three **optimisers** (ways"
                " to adjust the weights). To get the share of compounds, divide compounds by"
                " compounds."
            ),
            f"What share of the compounds was right for the {REPORTED['sgd']:.1%} of SGD?".replace(
                "%", " %"
            ),
            lambda f: tuple(f"{100 * value:.1f} %" for value in _guesses(f)),
            lambda f: int(np.argmin(np.abs(np.array(_guesses(f)) - f["reported"]["sgd"] / f["n"]))),
            lambda f: (
                f"{f['reported']['sgd']:.4f} / {f['n']} = {f['per compound']['sgd']:.3f}. The other"
                f" two come to {100 * f['per compound']['momentum']:.1f} and"
                f" {100 * f['per compound']['adam']:.1f} %."
            ),
            (
                Claim(
                    lambda f: (
                        "Per compound the best of the three figures is"
                        f" {100 * max(f['per compound'].values()):.1f} %."
                    ),
                    lambda f: abs(max(f["per compound"].values()) - 0.2762) < 1e-4,
                ),
            ),
            counted_then,
            0.2,
            lambda f, theme: bars(
                list(OPTIMISERS.values()),
                {"reported": np.array([f["reported"][name] for name in OPTIMISERS])},
                "optimiser",
                "accuracy reported in 2022",
                theme,
                per_cent=True,
            ),
            lambda f: (
                "Bars of the reported accuracy: "
                + ", ".join(
                    f"{OPTIMISERS[name]} {share(value)}" for name, value in f["reported"].items()
                )
            ),
        ),
        Step(
            "Averaged over what?",
            "pages/lessons.py",
            {},
            lambda f: (
                "There was a second peculiarity: the figure was averaged over all **epochs**, that"
                " is, all rounds of training, the first clumsy ones as well. Here a network was"
                f" just trained for {EPOCHS} epochs on ten mixtures (seed {SEED}; with today's"
                f" code). The curve shows the compounds right on {f['mixtures']} unseen mixtures"
                " after each."
            ),
            "What would have been printed for this training in 2022?",
            lambda f: (share(f["end"]), share(f["mean"]), share(f["printed"])),
            lambda f: int(
                np.argmin(
                    np.abs(
                        np.array([f["end"], f["mean"], f["printed"]]) - f["n"] * f["shares"].mean()
                    )
                )
            ),
            lambda f: (
                f"At the end {share(f['end'])} are right; the mean over the epochs is"
                f" {share(f['mean'])}, and times {f['n']} that makes {share(f['printed'])}. One"
                " number with two mistakes, one of which makes it larger and the other smaller. It"
                " says nothing of the network that one has in hand at the end."
            ),
            (
                Claim(
                    lambda f: (
                        f"The printed figure, {share(f['printed'])}, is neither the share at the"
                        f" end, {share(f['end'])}, nor the mean, {share(f['mean'])}."
                    ),
                    lambda f: f["printed"] > 1.2 * f["end"] and f["mean"] < f["end"],
                ),
                Claim(
                    lambda f: f"It is {f['n']} times the mean over the epochs.",
                    lambda f: abs(f["printed"] - f["n"] * f["mean"]) < 1e-9,
                ),
            ),
            over_epochs,
            2.5,
            lambda f, theme: lines(
                {"after each epoch": (f["epochs"], f["shares"])},
                "epoch",
                "compounds right, unseen mixtures",
                theme,
                per_cent=True,
            ),
            lambda f: (
                f"Curve of the compounds right over {EPOCHS} epochs, rising to {share(f['end'])}"
            ),
        ),
        Step(
            "Compared with what?",
            "pages/lessons.py",
            {},
            lambda f: (
                "The last question is what one gets for nothing. A lazy method always names the"
                " three compounds that are commonest in the ten training mixtures, whatever it is"
                " shown. The bars show the shares of compounds right of 2022, and what the lazy"
                f" method gets on unseen mixtures (mean of {len(SEEDS)} random libraries, seeds"
                f" {SEEDS[0]} to {SEEDS[-1]})."
            ),
            "How good were the figures of 2022, compared with the lazy method?",
            lambda f: ("All were better", "Not one was better", "Only the best one was better"),
            lambda f: {3: 0, 0: 1}.get(
                sum(value > f["lazy"] for value in f["per compound"].values()), 2
            ),
            lambda f: (
                f"The lazy method gets {share(f['lazy'])} (the seeds: {several(f['lazy seeds'])}),"
                " so none was better. To be fair: if an output counted as right only in the place"
                " of its compound on the list, which we suppose but cannot look up, the lazy"
                f" method gets {share(f['in place'])}. Then the network had learnt something, and"
                " the order of the outputs stood in its way (lesson *The order must not matter*)."
            ),
            (
                Claim(
                    lambda f: (
                        f"Naming the three commonest gets {share(f['lazy'])} of compounds, the best"
                        f" figure of 2022 is {100 * max(f['per compound'].values()):.1f} %."
                    ),
                    lambda f: max(f["per compound"].values()) < f["lazy"],
                ),
                Claim(
                    lambda f: (
                        "Counted place by place, the lazy method gets a third of that:"
                        f" {share(f['in place'])}."
                    ),
                    lambda f: abs(f["in place"] - f["lazy"] / 3) < 1e-9,
                ),
            ),
            counted_then,
            0.2,
            lambda f, theme: bars(
                [*OPTIMISERS.values(), "lazy"],
                {
                    "compounds right": np.array(
                        [*(f["per compound"][name] for name in OPTIMISERS), f["lazy"]]
                    )
                },
                "optimiser in 2022, and the lazy method",
                "share of compounds right",
                theme,
                y_range=(0, 0.4),
                per_cent=True,
            ),
            lambda f: (
                "Bars of the share of compounds right: "
                + ", ".join(
                    f"{OPTIMISERS[name]} {share(value)}"
                    for name, value in f["per compound"].items()
                )
                + f", lazy method {share(f['lazy'])}"
            ),
        ),
    ),
)
