"""Lesson: ten mixtures are memorised, not understood."""

from math import comb

import numpy as np

from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.lessons.figures import bars, lines
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.progress import counted, part
from nmrclassify.lessons.trained import EVERY, SEED, over_steps, short
from nmrclassify.lessons.wording import share
from nmrclassify.mixtures.dataset import Dataset, compositions
from nmrclassify.mixtures.grid import Mixtures, generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.training.original_model_2022 import naming_the_commonest
from nmrclassify.training.trainer import Trainer

STEPS, SIZE = 120, 10
TEN, MANY = "ten mixtures", "many mixtures"


def _trained(data: Dataset, unseen: Mixtures, report: Report, what: str) -> list[dict]:
    """Train slots on clean mixtures; return what they get right on their own training mixtures and on unseen ones."""
    plain = short(
        batch_size=SIZE, steps=STEPS, concentration_spread=1.0, repeats=0.0, added_noise=0.0
    )
    trainer, history = Trainer(data, plain), []
    own, tell = data.training_set(), counted(report, STEPS, what)
    tell(0)
    while not trainer.finished:
        trainer.advance()
        if trainer.step % EVERY == 0:
            row = {"step": trainer.step}
            for name, mixtures in (("training", own), ("unseen", unseen)):
                summary = evaluate(trainer.model, mixtures).summary()
                row |= {name: summary["compound_accuracy"], f"{name} exact": summary["exact_match"]}
            history.append(row)
        tell(trainer.step)
    return history


def ten_and_many(report: Report) -> Facts:
    """Train slots on the ten mixtures of the preset "original" and on the many of "quick"; test on what neither has seen."""
    few, many = build("original", SEED), build("quick", SEED)
    everything = np.concatenate([many.train, many.validation, many.test])
    seen = np.concatenate([few.keys(few.train), many.keys(many.train), many.keys(many.validation)])
    rows = everything[~np.isin(many.keys(everything), seen)]
    unseen = mix(few.library, rows, few.config, generator(SEED, "test"))
    runs = {
        TEN: _trained(few, unseen, part(report, 0.0, 0.5), "training on ten mixtures"),
        MANY: _trained(many, unseen, part(report, 0.5, 1.0), "training on many mixtures"),
    }
    report(1.0, "done")
    return {
        "runs": runs,
        "sizes": {TEN: len(few.train), MANY: len(many.train)},
        "unseen": len(rows),
        "possible": len(everything),
        "commonest": naming_the_commonest(few, rows)[1],
        "shared": bool(np.isin(few.keys(rows), few.keys(few.train)).any()),
    }


def possible_mixtures(report: Report) -> Facts:
    """Count the compositions of the preset "original"."""
    report(0.0, "counting")
    data = build("original", SEED)
    n, k = data.config.n_sources, data.library.n_compounds
    report(1.0, "done")
    return {
        "n": n,
        "compounds": k,
        "possible": len(compositions(k, n, False, generator(SEED, "view"))),
        "ten": len(data.train),
    }


def _last(f: Facts, name: str, key: str) -> float:
    return f["runs"][name][-1][key]


def _gain(f: Facts) -> float:
    return _last(f, MANY, "unseen") - _last(f, TEN, "unseen")


def _ten_curves(f: Facts) -> dict:
    return {
        "the ten training mixtures": over_steps(f["runs"], "training")[TEN],
        "unseen mixtures": over_steps(f["runs"], "unseen")[TEN],
    }


LESSON = Lesson(
    "memory",
    "Ten mixtures by heart",
    "You will know why a network is tested on mixtures that it has not seen.",
    (
        Step(
            "Ten of how many?",
            "pages/mixtures.py",
            {"preset": "original"},
            lambda f: (
                f"The first public version trained on {f['ten']} mixtures of {f['n']} different"
                f" compounds from a library of {f['compounds']}. This page shows such a library:"
                " scroll down to see it."
            ),
            "How many different mixtures of three could be made?",
            lambda f: ("30", str(f["possible"]), "1000"),
            lambda f: ("30", str(comb(f["compounds"], f["n"])), "1000").index(str(f["possible"])),
            lambda f: (
                f"10 x 9 x 8 / 6 = {f['possible']}. So {f['ten']} of them are about one in"
                f" {round(f['possible'] / f['ten'])}, and the network is meant to name the others"
                " as well."
            ),
            (
                Claim(
                    lambda f: (
                        f"There are {f['possible']} compositions of {f['n']} of {f['compounds']}"
                        " compounds."
                    ),
                    lambda f: f["possible"] == comb(f["compounds"], f["n"]),
                ),
            ),
            possible_mixtures,
            0.1,
        ),
        Step(
            "Learnt by heart",
            "pages/lessons.py",
            {},
            lambda f: (
                "Slots (three outputs, each names one compound) were just trained on"
                f" {f['sizes'][TEN]} mixtures for {STEPS} steps (seed {SEED}). The solid curve"
                f" shows what they get right on those. The dashed one shows {f['unseen']} mixtures"
                " of the same compounds in other combinations."
            ),
            "Has the network understood the compounds?",
            lambda f: (
                "Yes: it gets all training mixtures right",
                "No: it knows its mixtures, but gets other combinations wrong",
                "It has not even learnt its mixtures",
            ),
            lambda f: (
                2 if _last(f, TEN, "training") < 0.9 else 1 if _last(f, TEN, "unseen") < 0.75 else 0
            ),
            lambda f: (
                f"It gets {share(_last(f, TEN, 'training'))} of the compounds right in the training"
                f" mixtures, but {share(_last(f, TEN, 'unseen'))} in the unseen ones, and only"
                f" {share(_last(f, TEN, 'unseen exact'))} of those mixtures wholly right. It can"
                " tell ten pictures apart without knowing what they are made of. This is called"
                " **overfitting**."
            ),
            (
                Claim(
                    lambda f: (
                        f"Training mixtures {share(_last(f, TEN, 'training'))}, unseen mixtures "
                        f"{share(_last(f, TEN, 'unseen'))} of compounds (one seed)."
                    ),
                    lambda f: _last(f, TEN, "training") - _last(f, TEN, "unseen") > 0.2,
                ),
                Claim(
                    lambda f: f"Not one of the {f['unseen']} unseen compositions was trained on.",
                    lambda f: not f["shared"],
                ),
            ),
            ten_and_many,
            6.0,
            lambda f, theme: lines(_ten_curves(f), "step", "compounds right", theme, per_cent=True),
            lambda f: (
                f"Curves: training mixtures up to {share(_last(f, TEN, 'training'))}, unseen"
                f" mixtures up to {share(_last(f, TEN, 'unseen'))}"
            ),
        ),
        Step(
            "Better than guessing?",
            "pages/lessons.py",
            {},
            lambda f: (
                "A share needs something to be compared with. The laziest method looks at no"
                " mixture at all: it always names the three compounds that are commonest in the"
                " training mixtures. The thin line shows how far that gets."
            ),
            "What share of the compounds in the unseen mixtures does it get right?",
            lambda f: ("0 %", "10 %", share(f["commonest"]), share(_last(f, TEN, "unseen"))),
            lambda f: 2,
            lambda f: (
                f"{share(f['commonest'])}, without looking. So the {share(_last(f, TEN, 'unseen'))}"
                " of the network are better than nothing, but must be counted from"
                f" {share(f['commonest'])} and not from 0."
            ),
            (
                Claim(
                    lambda f: (
                        f"Always naming the three commonest gets {share(f['commonest'])} of"
                        f" compounds in {f['unseen']} unseen mixtures."
                    ),
                    lambda f: 0.1 < f["commonest"] < _last(f, TEN, "unseen"),
                ),
            ),
            ten_and_many,
            6.0,
            lambda f, theme: lines(
                _ten_curves(f),
                "step",
                "compounds right",
                theme,
                {"the three commonest, every time": f["commonest"]},
                per_cent=True,
            ),
            lambda f: (
                f"The same curves, with a line at {share(f['commonest'])} for always naming the"
                " three commonest"
            ),
        ),
        Step(
            "More mixtures",
            "pages/lessons.py",
            {},
            lambda f: (
                f"The same network, first weights, number of steps and mixtures a step ({SIZE}),"
                f" but now it learns from {f['sizes'][MANY]} compositions instead of"
                f" {f['sizes'][TEN]}. Both are tested on the same {f['unseen']} that neither was"
                " trained on."
            ),
            "What changes?",
            lambda f: (
                "It does better on unseen mixtures",
                "It does worse: there is more to remember",
                "Nothing",
            ),
            lambda f: 0 if _gain(f) > 0.05 else 1 if _gain(f) < -0.05 else 2,
            lambda f: (
                f"Unseen compounds right go from {share(_last(f, TEN, 'unseen'))} to"
                f" {share(_last(f, MANY, 'unseen'))}, and mixtures wholly right from"
                f" {share(_last(f, TEN, 'unseen exact'))} to"
                f" {share(_last(f, MANY, 'unseen exact'))}. The more there is to remember, the more"
                " it pays to learn what the mixtures have in common: the compounds."
            ),
            (
                Claim(
                    lambda f: (
                        f"With {f['sizes'][MANY]} compositions the network gets "
                        f"{100 * _gain(f):.0f} points of a hundred more of the "
                        "unseen compounds right (one seed)."
                    ),
                    lambda f: _gain(f) > 0.05,
                ),
            ),
            ten_and_many,
            6.0,
            lambda f, theme: bars(
                ["training mixtures", "unseen mixtures"],
                {
                    f"trained on {size}": np.array(
                        [_last(f, name, key) for key in ("training", "unseen")]
                    )
                    for name, size in f["sizes"].items()
                },
                "tested on",
                "compounds right",
                theme,
                per_cent=True,
            ),
            lambda f: (
                f"Bars of the compounds right: trained on ten {share(_last(f, TEN, 'training'))}"
                f" and unseen {share(_last(f, TEN, 'unseen'))}; trained on many"
                f" {share(_last(f, MANY, 'training'))} and unseen {share(_last(f, MANY, 'unseen'))}"
            ),
        ),
    ),
)
