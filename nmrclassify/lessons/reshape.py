"""Lesson: an array reshaped instead of transposed."""

import numpy as np
from scipy.stats import t as student_t

from nmrclassify.baselines.comparison import shares_right
from nmrclassify.baselines.grid import counts_from_amounts, nnls
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.progress import counted, part
from nmrclassify.lessons.shown import shown
from nmrclassify.lessons.trained import BATCH, short
from nmrclassify.lessons.wording import between, several, share
from nmrclassify.mixtures.presets import build
from nmrclassify.plots.maps import area_maps
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    Faults,
    reshaped,
    reshaped_mixtures,
    train,
)

SEEDS = (1, 2, 3, 4, 5)
TURNED, REFILLED = "transposed", "reshaped"
FAULTS = {TURNED: NO_FAULTS, REFILLED: Faults(True, False, False)}
SHORTER = 100  # steps


def turned_and_refilled(report: Report) -> Facts:
    """Turn and refill one compound, see where its multiplets go, and let least squares name refilled mixtures."""
    report(0.0, "reshaping")
    seen = shown()
    library, ethanol = seen.library, seen.library.names.index("ethanol")
    turned, jumbled = library.areas[ethanol], reshaped(library).areas[ethanol]  # (P, L)
    n_peaks, n_positions = turned.shape
    position = int(np.flatnonzero(turned.any(axis=0))[-1])  # of the quartet
    places = (
        np.arange(n_peaks) + position * n_peaks
    )  # its cells, one after the other, in the array as measured
    now = [divmod(int(place), n_positions) for place in places[turned[:, position] > 0]]
    report(0.5, "naming refilled mixtures")
    mixtures = seen.checkpoint.dataset.test_mixtures()
    amounts = nnls(reshaped_mixtures(mixtures).areas, reshaped(library))
    exact, _ = shares_right(
        counts_from_amounts(amounts, False, number=mixtures.labels.shape[1]), mixtures.counts
    )
    # One position further along the axis is n_peaks cells further in memory: some cells end in
    # another row.
    before = np.arange(turned.size - n_peaks)
    wrapped = (before + n_peaks) // n_positions != before // n_positions
    report(1.0, "done")
    return {
        "axis": library.axis,
        "turned": turned,
        "refilled": jumbled,
        "same numbers": bool(
            np.array_equal(np.sort(turned, axis=None), np.sort(jumbled, axis=None))
        ),
        "position": position,
        "peaks": int((turned[:, position] > 0).sum()),
        "rows": len({row for row, _ in now}),
        "columns": len({column for _, column in now}),
        "moves": n_peaks,
        "wrapped": float(wrapped.mean()),
        "exact": exact,
        "n": len(mixtures),
    }


def cost_of_reshaping(report: Report) -> Facts:
    """Train slots on both forms of the data of each seed, and compare them on unseen compositions."""
    right: dict[str, list] = {name: [] for name in FAULTS}
    jobs = [(seed, name) for seed in SEEDS for name in FAULTS]
    for i, (seed, name) in enumerate(jobs):
        data = build("quick", seed)
        on = counted(
            part(report, i / len(jobs), (i + 1) / len(jobs)),
            SHORTER,
            f"training, {name}, seed {seed}",
        )
        _, history = train(data, short(steps=SHORTER), FAULTS[name], seed, on, SHORTER)
        right[name].append(history[-1]["right"])
    report(1.0, "done")
    cost = np.array(right[TURNED]) - np.array(right[REFILLED])  # (seeds,)
    half = float(student_t.ppf(0.975, len(SEEDS) - 1) * cost.std(ddof=1) / len(SEEDS) ** 0.5)
    mean = float(cost.mean())
    return {
        "right": right,
        "cost": mean,
        "interval": (mean - half, mean + half),
        "n_test": len(data.test),
    }


def _verdict(f: Facts) -> int:
    low, high = f["interval"]
    return 0 if low > 0 else 1 if high < 0 else 2


def _mean(f: Facts, name: str) -> float:
    return float(np.mean(f["right"][name]))


def _spread(f: Facts, name: str) -> np.ndarray:
    """Return how far the least and the largest of the seeds lie from the mean, shape (2, 1)."""
    values = np.array(f["right"][name])
    return np.array([[values.mean() - values.min()], [values.max() - values.mean()]])


LESSON = Lesson(
    "reshape",
    "Reshaped instead of turned",
    "You will know what a jumbled array looks like, and how hard it is to show what it costs.",
    (
        Step(
            "Turn or refill?",
            "pages/lessons.py",
            {},
            lambda f: (
                "Measured data come as 21 rows (positions) with 6 peaks each; the network wants 6"
                " rows of 21. To **transpose** means to turn the table on its side. The first"
                " public version **reshaped** it: it read all the numbers line by line and filled"
                " them into a new table of the right size. Above is ethanol turned, below ethanol"
                " reshaped."
            ),
            "Ethanol's quartet has its peaks in one position. Where are they in the reshaped"
            " table?",
            lambda f: (
                "Still one above the other, in one column",
                f"Side by side, in {f['peaks']} columns of one row",
                "Gone",
            ),
            lambda f: 0 if f["columns"] == 1 else 1 if f["rows"] == 1 else 2,
            lambda f: (
                f"The {f['peaks']} peaks lie in {f['columns']} columns of {f['rows']} row. Up and"
                " down no longer means *which peak*, and left and right no longer means *where on"
                " the axis*."
            ),
            (
                Claim(
                    lambda f: (
                        f"The {f['peaks']} peaks of the multiplet in position {f['position']} are"
                        f" in {f['columns']} columns and {f['rows']} row."
                    ),
                    lambda f: f["columns"] == f["peaks"] and f["rows"] == 1,
                ),
            ),
            turned_and_refilled,
            0.5,
            lambda f, theme: area_maps(
                [
                    ("Transposed: columns are positions", f["turned"][None]),
                    ("Reshaped: columns are a jumble", f["refilled"][None]),
                ],
                f["axis"],
                theme,
                outputs=False,
            ),
            lambda f: (
                "Two maps of ethanol: transposed, with its two multiplets in two columns, and"
                " reshaped, with its peaks spread over the columns"
            ),
        ),
        Step(
            "Is anything lost?",
            "pages/lessons.py",
            {},
            lambda f: (
                "Look at the two tables again. Both hold the same numbers, only in other places,"
                " and for every compound in the same way. Least squares, a method without"
                " neighbours or training, is now given the reshaped mixtures together with the"
                " reshaped library."
            ),
            "How many of the reshaped test mixtures does least squares name wholly right?",
            lambda f: (f"Not one of {f['n']}", f"About a third of {f['n']}", f"All {f['n']}"),
            lambda f: 2 if f["exact"] == 1 else 0 if f["exact"] == 0 else 1,
            lambda f: (
                f"{share(f['exact'])}. It fits one cell after the other and never asks which cell"
                " lies beside which. So reshaping loses no information. What it destroys is the"
                " neighbourhood."
            ),
            (
                Claim(lambda f: "Both tables hold the same numbers.", lambda f: f["same numbers"]),
                Claim(
                    lambda f: (
                        f"Least squares names {share(f['exact'])} of {f['n']} reshaped mixtures"
                        " wholly right."
                    ),
                    lambda f: f["exact"] == 1,
                ),
            ),
            turned_and_refilled,
            0.5,
            lambda f, theme: area_maps(
                [("Transposed", f["turned"][None]), ("Reshaped", f["refilled"][None])],
                f["axis"],
                theme,
                outputs=False,
            ),
            lambda f: "The same two maps of ethanol",
        ),
        Step(
            "What becomes of a neighbour",
            "pages/lessons.py",
            {},
            lambda f: (
                "A **convolution** looks at a column and its neighbours. It can learn that a"
                " multiplet one position further on is the same multiplet, only moved. Suppose that"
                " ethanol's quartet moves by one position on the axis."
            ),
            "By how many columns do its peaks move in the reshaped table?",
            lambda f: ("0", "1", str(f["moves"]), "21"),
            lambda f: ("0", "1", str(f["moves"]), "21").index(str(f["moves"])),
            lambda f: (
                f"By {f['moves']}: one position is a whole line of {f['moves']} numbers. And of all"
                f" cells, {share(f['wrapped'])} end in another row as well. What is one small step"
                " for the molecule is a jump for the network."
            ),
            (
                Claim(
                    lambda f: (
                        f"One position further is {f['moves']} cells further; {share(f['wrapped'])}"
                        " of the cells change their row."
                    ),
                    lambda f: f["moves"] == f["turned"].shape[0] and 0 < f["wrapped"] < 1,
                ),
            ),
            turned_and_refilled,
            0.5,
            lambda f, theme: area_maps(
                [("Transposed", f["turned"][None]), ("Reshaped", f["refilled"][None])],
                f["axis"],
                theme,
                outputs=False,
            ),
            lambda f: "The same two maps of ethanol",
        ),
        Step(
            "What does it cost?",
            "pages/lessons.py",
            {},
            lambda f: (
                f"{2 * len(SEEDS)} networks, {len(SEEDS)} on transposed and {len(SEEDS)} on"
                f" reshaped clean mixtures, each trained for {SHORTER} steps of {BATCH} mixtures"
                f" (seeds {SEEDS[0]} to {SEEDS[-1]}: compounds, weights and mixtures). The bars"
                f" show the mean share of compounds right on {f['n_test']} unseen mixtures, the"
                " lines the worst and the best seed."
            ),
            "What may we conclude?",
            lambda f: (
                "Reshaping costs accuracy",
                "Reshaping gains accuracy",
                "These runs are too few to say whether it costs anything",
            ),
            _verdict,
            lambda f: (
                f"Transposed, the seeds get {several(f['right'][TURNED])}; reshaped,"
                f" {several(f['right'][REFILLED])}. The mean cost is {100 * f['cost']:.0f} points"
                f" of a hundred, and its 95 % interval goes from {between(f['interval'])}. "
                + (
                    "It holds zero: the picture looks ruined, yet these runs do not show a harm. A"
                    " likely reason: the last layer has a weight of its own for every column, so on"
                    " clean mixtures the network can do without neighbours. A fault it is all the"
                    " same."
                    if _verdict(f) == 2
                    else "It leaves out zero."
                )
            ),
            (
                Claim(
                    lambda f: (
                        f"The 95 % interval of the cost over {len(SEEDS)} seeds,"
                        f" {between(f['interval'])},"
                        f" {('leaves out', 'leaves out', 'holds')[_verdict(f)]} zero."
                    ),
                    lambda f: f["interval"][0] <= 0 <= f["interval"][1],
                ),
                Claim(
                    lambda f: (
                        f"Reshaped mixtures can be learnt: {share(max(f['right'][REFILLED]))} of"
                        " the compounds with the best seed."
                    ),
                    lambda f: max(f["right"][REFILLED]) > 0.5,
                ),
            ),
            cost_of_reshaping,
            20.0,
            lambda f, theme: bars(
                [f"mean of {len(SEEDS)} seeds"],
                {name: np.array([_mean(f, name)]) for name in FAULTS},
                "unseen mixtures",
                "compounds right",
                theme,
                {name: _spread(f, name) for name in FAULTS},
                per_cent=True,
            ),
            lambda f: (
                f"Bars with the range of the seeds: transposed {share(_mean(f, TURNED))}, reshaped "
                f"{share(_mean(f, REFILLED))} of compounds right"
            ),
        ),
    ),
)
