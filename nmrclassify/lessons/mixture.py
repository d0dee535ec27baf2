"""Lesson: what a mixture is."""

import numpy as np

from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.shown import STATE, shown
from nmrclassify.mixtures.edits import Mixture, apply, from_text
from nmrclassify.mixtures.grid import generator, mix_at
from nmrclassify.networks.prediction import listing, percent
from nmrclassify.plots.map_rows import position_label

PAGE = "pages/mixtures.py"
CUT = 7  # the position at 3.5 to 4 ppm
EDIT = f"cut_{CUT}"


def compounds_and_sums(report: Report) -> Facts:
    """Take the mixture that is shown apart into its true sources, and mix it again with twice as much of one compound."""
    report(0.0, "opening the mixture")
    seen = shown()
    library, axis, data = seen.library, seen.library.axis, seen.checkpoint.dataset
    report(0.6, "mixing it again")
    first = seen.library.names.index("ethanol")
    doubled = np.where(seen.labels == seen.library.names.index("lactate"), 2, 1).astype(np.float32)
    plain, twice = (
        mix_at(library, seen.labels[None], amounts[None], data.config, generator(data.seed, "view"))
        for amounts in (np.ones_like(doubled), doubled)
    )
    source = list(seen.names).index("lactate")
    grown = twice.sources[0, source] / np.where(
        plain.sources[0, source] > 0, plain.sources[0, source], 1
    )
    others = [i for i in range(len(seen.labels)) if i != source]
    shared = seen.shared
    report(0.8, "taking a multiplet away")
    whole = Mixture(seen.areas, seen.sources, seen.labels, seen.concentrations)
    less = seen.checkpoint.model.predict(apply(whole, from_text(EDIT), library).areas)
    report(1.0, "done")
    return {
        "chances": [
            [float(given.probabilities[0, k]) for k in seen.labels] for given in (seen.given, less)
        ],
        "left": [int(np.delete(source, CUT, axis=1).any(axis=0).sum()) for source in seen.sources],
        "names": seen.names,
        "multiplets": int(library.areas[first].any(axis=0).sum()),
        "totals": [float(total) for total in seen.sources.sum(axis=(1, 2))],
        "total": float(seen.areas.sum()),
        "off": float(np.abs(seen.sources.sum(axis=0) - seen.areas).max()),
        "shared": shared,
        "filled": int(seen.areas.any(axis=0).sum()),
        "places": [position_label(axis, position) for position in shared],
        "pairs": [
            listing(
                [
                    name
                    for name, source in zip(seen.names, seen.sources, strict=False)
                    if source[:, p].any()
                ]
            )
            for p in shared
        ],
        "grown": float(grown[plain.sources[0, source] > 0].mean()),
        "moved": int(
            (twice.sources[0, source].any(axis=0) != plain.sources[0, source].any(axis=0)).sum()
        ),
        "others": float(np.abs(twice.sources[0, others] - plain.sources[0, others]).max()),
        "cells": seen.areas.size,
        "shape": seen.areas.shape,
    }


def _chances(f: Facts, name: str) -> tuple[float, float]:
    """Return the probability of a compound before and after the multiplet is taken away."""
    before, after = f["chances"]
    return before[f["names"].index(name)], after[f["names"].index(name)]


LESSON = Lesson(
    "mixture",
    "What a mixture is",
    "You will know what the network is given, and why two compounds can be hard to tell apart.",
    (
        Step(
            "A compound is a pattern",
            PAGE,
            STATE,
            lambda f: (
                "A **compound** shows in an NMR spectrum as groups of peaks, called **multiplets**."
                " Each stands at its own place on the axis, the **chemical shift** in ppm. Scroll"
                " down to *The library*: each row is one pure compound, each coloured cell one or"
                " more multiplets. Find the row *ethanol*."
            ),
            "In how many positions does pure ethanol have peaks?",
            lambda f: tuple(
                f"In {n}" for n in (f["multiplets"] - 1, f["multiplets"], f["multiplets"] + 2)
            ),
            lambda f: 1,
            lambda f: (
                f"Ethanol fills {f['multiplets']} positions: the hydrogens of its CH₃ group make"
                " one multiplet and those of its CH₂ group the other. Such a pattern is a"
                " compound's fingerprint."
            ),
            (
                Claim(
                    lambda f: (
                        f"In the library, ethanol has area in {f['multiplets']} of {f['shape'][1]}"
                        " positions."
                    ),
                    lambda f: f["multiplets"] == 2,
                ),
            ),
            compounds_and_sums,
            0.3,
        ),
        Step(
            "A mixture is a sum",
            PAGE,
            STATE,
            lambda f: (
                f"This mixture holds {listing(f['names'])}. The colours of the sticks tell which"
                " compound an area comes from. All peaks of the three compounds have the areas"
                f" {', '.join(f'{total:.2f}' for total in f['totals'])}."
            ),
            "What is the area of all peaks of the mixture?",
            lambda f: (f"{max(f['totals']):.2f}", f"{f['total'] / 3:.2f}", f"{f['total']:.2f}"),
            lambda f: int(
                np.argmin(
                    np.abs(
                        np.array([max(f["totals"]), f["total"] / 3, f["total"]]) - sum(f["totals"])
                    )
                )
            ),
            lambda f: (
                f"Areas add up: {' + '.join(f'{total:.2f}' for total in f['totals'])} ="
                f" {f['total']:.2f}. That is true in each single cell as well. To take a mixture"
                " apart means to undo this sum."
            ),
            (
                Claim(
                    lambda f: (
                        f"The sum of the sources and the mixture differ by at most {f['off']:.1g}"
                        " in any cell."
                    ),
                    lambda f: f["off"] < 1e-5,
                ),
            ),
            compounds_and_sums,
            0.3,
        ),
        Step(
            "Where two compounds meet",
            PAGE,
            STATE,
            lambda f: (
                "Some sticks have two colours: two compounds have a multiplet in the same position."
                " Only the sum is measured there. Look for these positions in the spectrum."
            ),
            "In how many positions do two compounds of this mixture meet?",
            lambda f: tuple(str(n) for n in range(4)),
            lambda f: len(f["shared"]),
            lambda f: (
                f"In {len(f['shared'])} of {f['filled']} filled positions: "
                + listing(
                    [
                        f"{pair} at {where}"
                        for pair, where in zip(f["pairs"], f["places"], strict=False)
                    ]
                )
                + ". There the network has to find out how much belongs to whom, from the other"
                " places of each compound."
            ),
            (
                Claim(
                    lambda f: (
                        f"{len(f['shared'])} of {f['filled']} filled positions hold area of two"
                        " compounds."
                    ),
                    lambda f: 0 < len(f["shared"]) < f["filled"] and len(f["shared"]) < 4,
                ),
            ),
            compounds_and_sums,
            0.3,
        ),
        Step(
            "More of one compound",
            PAGE,
            {"mixture": "choose", "c1": "1", "c2": "2", "c3": "5", "a2": "2"},
            lambda f: (
                "The same three compounds, but now with amount 1 of ethanol and glycine, and amount"
                " 2 of lactate. The amounts stand in the sidebar under *Mixture*. Set lactate back"
                " to 1 and watch its peaks."
            ),
            "What does twice as much lactate change?",
            lambda f: (
                "Lactate's peaks stand twice as far apart",
                "All of lactate's peaks are twice as high",
                "Only lactate's highest peak grows",
                "The peaks of the others shrink",
            ),
            lambda f: 1 if abs(f["grown"] - 2) < 1e-5 and f["moved"] == 0 else 0,
            lambda f: (
                f"Every peak of lactate grows {f['grown']:.0f} times, none moves, and the other"
                " compounds stay as they are. So the pattern tells **which** compound, and its"
                " height **how much**."
            ),
            (
                Claim(
                    lambda f: (
                        f"Lactate's areas are {f['grown']:.2f} times as large, and it fills the"
                        " same positions."
                    ),
                    lambda f: abs(f["grown"] - 2) < 1e-5 and f["moved"] == 0,
                ),
                Claim(
                    lambda f: f"The areas of the other compounds change by {f['others']:.0f}.",
                    lambda f: f["others"] == 0,
                ),
            ),
            compounds_and_sums,
            0.3,
        ),
        Step(
            "What the network is given",
            PAGE,
            STATE,
            lambda f: (
                "Now look at the map *The same mixture as the network sees it*. Each column is a"
                " position on the axis. From top to bottom stand the peaks of the multiplets in"
                " that position: one for a singlet, two for a doublet, up to six."
            ),
            "What does the network get?",
            lambda f: (
                f"The names of the {len(f['names'])} compounds",
                "The sticks with their colours",
                f"A table of {f['shape'][0]} x {f['shape'][1]} heights",
            ),
            lambda f: 2,
            lambda f: (
                f"It gets {f['cells']} numbers, {f['shape'][0]} peaks in {f['shape'][1]} positions:"
                " neither colours nor names. Which of them belong together is what it has to find."
            ),
            (
                Claim(
                    lambda f: (
                        f"The mixture is an array of {f['shape'][0]} x {f['shape'][1]} ="
                        f" {f['cells']} numbers."
                    ),
                    lambda f: f["cells"] == f["shape"][0] * f["shape"][1],
                ),
            ),
            compounds_and_sums,
            0.3,
        ),
        Step(
            "What a multiplet is worth",
            "pages/whatif.py",
            STATE | {"edit": EDIT},
            lambda f: (
                "Here everything between 3.5 and 4 ppm has been taken out of the mixture: ethanol's"
                " quartet and the singlet of glycine, the only peaks that glycine has. The page"
                " shows what the network makes of it, before and after."
            ),
            "How many of the three compounds does the network still hear?",
            lambda f: tuple(str(n) for n in range(4)),
            lambda f: sum(after > 0.5 for after in f["chances"][1]),
            lambda f: (
                "The probabilities go "
                + ", ".join(
                    f"from {percent(a)} to {percent(b)} for {name}"
                    for name, a, b in zip(f["names"], *f["chances"], strict=False)
                )
                + ". Of glycine nothing is left. Of ethanol the triplet is, but one multiplet"
                " without the other is not ethanol's pattern. A compound is recognised by all its"
                " places together."
            ),
            (
                Claim(
                    lambda f: (
                        f"Glycine has {f['left'][f['names'].index('glycine')]} positions left and"
                        f" ethanol {f['left'][f['names'].index('ethanol')]}; the network hears"
                        " neither."
                    ),
                    lambda f: (
                        f["left"][f["names"].index("glycine")]
                        == 0
                        < f["left"][f["names"].index("ethanol")]
                        and all(_chances(f, name)[1] < 0.5 for name in ("glycine", "ethanol"))
                    ),
                ),
                Claim(
                    lambda f: "Lactate, which loses nothing, is still heard, though less surely.",
                    lambda f: 0.5 < _chances(f, "lactate")[1] < _chances(f, "lactate")[0],
                ),
            ),
            compounds_and_sums,
            0.3,
        ),
    ),
)
