"""Lesson: mixtures of an unknown number of compounds."""

from dataclasses import replace

import numpy as np

from nmrclassify.baselines.comparison import network_counts, shares_right
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.progress import counted, part
from nmrclassify.lessons.trained import SEED, STEPS, short
from nmrclassify.lessons.wording import several, share
from nmrclassify.mixtures.dataset import compositions
from nmrclassify.mixtures.grid import counts_of, generator, mix
from nmrclassify.networks.prediction import listing
from nmrclassify.plots.classes import class_heatmap
from nmrclassify.training.checkpoints import shipped
from nmrclassify.training.original_model_2022 import NO_FAULTS, train

NUMBERS = (1, 2, 3, 4, 5)
SOME = 100  # mixtures of each number
PAIR = ("ethanol", "glycine")
SLOTS, QUERIES = "slots for three", "queries"


def three_slots(report: Report) -> Facts:
    """Train slots for three compounds in seconds, ask them and the shipped queries about mixtures of one to five."""
    checkpoint = shipped()
    data, queries = checkpoint.dataset, checkpoint.model
    slots, _ = train(
        data,
        short(),
        NO_FAULTS,
        SEED,
        counted(part(report, 0.0, 0.9), STEPS, "training slots"),
        STEPS,
    )
    right: dict[str, list] = {SLOTS: [], QUERIES: []}
    named, sizes = [], []
    for i, n in enumerate(NUMBERS):
        report(0.9 + 0.02 * i, f"mixtures of {n}")
        rng = generator(SEED, "test", n)
        rows = compositions(data.library.n_compounds, n, False, rng)
        mixtures = mix(
            data.library, rows[np.arange(SOME) % len(rows)], replace(data.config, n_sources=n), rng
        )
        sizes.append(min(SOME, len(rows)))
        right[QUERIES].append(shares_right(network_counts(queries, mixtures), mixtures.counts)[0])
        # Slots cannot be matched to another number of sources: what they name is counted as it
        # stands.
        answers = [slots.predict(areas) for areas in mixtures.areas]
        named += [len(given.named) for given in answers]
        right[SLOTS].append(
            shares_right(np.stack([given.counts for given in answers]), mixtures.counts)[0]
        )
    names = data.library.names
    labels = np.array([[names.index(name) for name in PAIR]])
    two = mix(
        data.library,
        labels,
        replace(data.config, n_sources=2, concentration_low=1.0, concentration_high=1.0),
        generator(SEED, "view"),
    )
    by_slots, by_queries = slots.predict(two.areas[0]), queries.predict(two.areas[0])
    report(1.0, "done")
    return {
        "names": names,
        "two": by_slots,
        "slots say": [names[k] for k in by_slots.named],
        "sure": [float(p) for p in by_slots.confidence],
        "queries say": [names[k] for k in np.flatnonzero(by_queries.counts)],
        "true": counts_of(labels, len(names))[0],
        "queries counts": by_queries.counts,
        "least named": min(named),
        "most named": max(named),
        "right": {name: np.array(values) for name, values in right.items()},
        "sizes": sizes,
        "trained": checkpoint.training.steps,
        "wide": data.config.n_sources + 1,
    }


LESSON = Lesson(
    "number",
    "How many compounds?",
    "You will know which kind of network has to be told how many compounds there are, and which has"
    " not.",
    (
        Step(
            "A query for each compound",
            "pages/separation.py",
            {"mixture": "choose", "sources": "2", "c1": "1", "c2": "5"},
            lambda f: (
                f"This mixture holds only {listing(list(PAIR))}. The network shown here works with"
                " **queries**: one output for each compound of the library, which says how likely"
                " that compound is there. Look at the bars under *Which compounds are there?*."
                " Nobody told it how many to find."
            ),
            "How many compounds does it name?",
            lambda f: tuple(str(n) for n in range(1, 5)),
            lambda f: int((f["queries counts"] > 0).sum()) - 1,
            lambda f: (
                f"{len(f['queries say'])}: {listing(f['queries say'])}. Each output is asked one"
                " question of its own, *are you there?*, and most of them say no."
            ),
            (
                Claim(
                    lambda f: (
                        f"The shipped model names {listing(f['queries say'])}, and nothing else."
                    ),
                    lambda f: bool((f["queries counts"] == f["true"]).all()),
                ),
            ),
            three_slots,
            4.5,
        ),
        Step(
            "Three slots, two compounds",
            "pages/lessons.py",
            {},
            lambda f: (
                "The reference design works with **slots** instead: three outputs, and each shares"
                " out 100 % among the compounds of the library. This one was trained a moment ago"
                f" on mixtures of three ({STEPS} steps, seed {SEED}). It is given the same mixture"
                " of two. A row is an output, the number in a cell a probability."
            ),
            "What does the output do that is one too many?",
            lambda f: (
                "It stays silent",
                "It names a compound all the same",
                "It splits one compound in two and says so",
            ),
            lambda f: 1 if len(f["slots say"]) == 3 else 0,
            lambda f: (
                "The outputs say "
                + ", ".join(
                    f"{name} ({share(p)})"
                    for name, p in zip(f["slots say"], f["sure"], strict=False)
                )
                + ". An output that has to name something always does, because its chances add up"
                " to 100 %. Only a low chance may warn the reader."
            ),
            (
                Claim(
                    lambda f: (
                        "In all mixtures tried, of one to five compounds, three slots name"
                        f" {f['least named']} compounds."
                    ),
                    lambda f: f["least named"] == f["most named"] == 3,
                ),
            ),
            three_slots,
            4.5,
            lambda f, theme: class_heatmap(f["two"], f["names"], theme).update_yaxes(
                title={"text": "output of the network"},
            ),
            lambda f: "Probabilities of three outputs; they name " + ", ".join(f["slots say"]),
        ),
        Step(
            "From one to five",
            "pages/lessons.py",
            {},
            lambda f: (
                f"Now both get {SOME} mixtures of each number of compounds (seed {SEED}; of"
                f" {f['sizes'][0]} and {f['sizes'][1]} different compositions with one and two"
                " compounds). A mixture counts as wholly right if all its compounds are named and"
                " no other. Do not compare the heights at three: the shipped queries were trained"
                f" for {f['trained']:,} steps, the slots for {STEPS}."
            ),
            "At which numbers can three slots ever be wholly right?",
            lambda f: ("At all of them, with more training", "At three only", "At three and below"),
            lambda f: (
                1
                if [n for n, value in zip(NUMBERS, f["right"][SLOTS], strict=False) if value > 0]
                == [3]
                else 2
            ),
            lambda f: (
                "At three only; no training changes that. From one to five compounds the slots get"
                f" {several(list(f['right'][SLOTS]))} of the mixtures wholly right, the queries"
                f" {several(list(f['right'][QUERIES]))}. (Slots can be given a further class,"
                " *nothing*. The page *Train or load* does so where the number varies.)"
            ),
            (
                Claim(
                    lambda f: "Three slots get no mixture of another number wholly right.",
                    lambda f: (
                        [
                            n
                            for n, value in zip(NUMBERS, f["right"][SLOTS], strict=False)
                            if value > 0
                        ]
                        == [3]
                    ),
                ),
                Claim(
                    lambda f: (
                        f"Queries get at least {share(min(f['right'][QUERIES]))} of the mixtures of"
                        " each number wholly right."
                    ),
                    lambda f: min(f["right"][QUERIES]) > 0.5,
                ),
            ),
            three_slots,
            4.5,
            lambda f, theme: bars(
                [str(n) for n in NUMBERS],
                f["right"],
                "compounds in the mixture",
                "mixtures wholly right",
                theme,
                per_cent=True,
            ),
            lambda f: (
                f"Bars over one to five compounds: slots {several(list(f['right'][SLOTS]))},"
                f" queries {several(list(f['right'][QUERIES]))} wholly right"
            ),
        ),
        Step(
            "Where queries end",
            "app.py",
            {"mixture": "choose", "sources": "5"},
            lambda f: (
                "Five compounds at once: you may choose others in the sidebar. In its training"
                " this network saw mixtures of any number of compounds from none up to"
                f" {f['wide']}."
            ),
            "Do queries get five compounds right as often as two?",
            lambda f: (
                "Yes, the number does not matter to them",
                "No, somewhat less often",
                "No, never",
            ),
            lambda f: (
                2
                if f["right"][QUERIES][4] == 0
                else 1
                if f["right"][QUERIES][4] < f["right"][QUERIES][1]
                else 0
            ),
            lambda f: (
                f"Of the mixtures of two, {share(f['right'][QUERIES][1])} were wholly right, of"
                f" those of five {share(f['right'][QUERIES][4])}. More compounds overlap more, one"
                " mistake spoils the whole mixture, and five is more than it was trained on."
            ),
            (
                Claim(
                    lambda f: (
                        "From two to five compounds, mixtures wholly right change from"
                        f" {share(f['right'][QUERIES][1])} to {share(f['right'][QUERIES][4])}"
                        f" ({SOME} mixtures each)."
                    ),
                    lambda f: 0 < f["right"][QUERIES][4] < f["right"][QUERIES][1],
                ),
            ),
            three_slots,
            4.5,
        ),
    ),
)
