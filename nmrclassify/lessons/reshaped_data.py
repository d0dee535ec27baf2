"""Lesson: data that were reshaped instead of transposed."""

from dataclasses import asdict

import numpy as np
import plotly.graph_objects as go
from scipy.special import stdtrit

from nmrclassify.baselines.grid import counts_from_amounts, nnls
from nmrclassify.evaluation.metrics import shares_right
from nmrclassify.lessons.example_mixture import example_mixture
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation
from nmrclassify.lessons.progress import part_of, report_steps
from nmrclassify.lessons.short_training import BATCH, five_seeds, short
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.maps import area_maps
from nmrclassify.plots.style import Theme
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    Faults,
    reshaped,
    reshaped_mixtures,
    train,
)

TRANSPOSED, RESHAPED = "transposed", "reshaped"
FAULTS = {TRANSPOSED: NO_FAULTS, RESHAPED: Faults(True, False, False)}
STEPS = 100
CANNOT_TELL = (
    "The interval contains zero. The table looks destroyed, but these runs do not show that this"
    " costs accuracy. A probable reason: the last layer has separate weights for every column, so"
    " the network can work without neighbours on clean mixtures. Reshaping is still a mistake."
)


@computation(seconds=0.5)
def transposed_and_reshaped(report: Report) -> Facts:
    """Find the peaks of reshaped ethanol, and identify reshaped mixtures by least squares."""
    report(0.0, "reshaping")
    example = example_mixture()
    library, ethanol = example.library, example.library.names.index("ethanol")
    right, wrong = library.areas[ethanol], reshaped(library).areas[ethanol]  # (P, L)
    n_peaks, n_positions = right.shape
    position = int(np.flatnonzero(right.any(axis=0))[-1])  # of the quartet
    is_peak = right[:, position] > 0
    # Cells of the quartet in the array as measured, one position after the other.
    cells = (np.arange(n_peaks) + position * n_peaks)[is_peak]
    rows, columns = (len(np.unique(indices)) for indices in np.divmod(cells, n_positions))
    # The next position is n_peaks cells further; some cells then end in another row.
    before = np.arange(right.size - n_peaks)
    wrapped = float(((before + n_peaks) // n_positions != before // n_positions).mean())

    report(0.5, "identifying reshaped mixtures")
    mixtures = example.checkpoint.dataset.test_mixtures()
    amounts = nnls(reshaped_mixtures(mixtures).areas, reshaped(library))
    counts = counts_from_amounts(amounts, False, number=mixtures.labels.shape[1])
    exact, _ = shares_right(counts, mixtures.counts)
    report(1.0, "done")
    return {
        "axis": asdict(library.axis),
        "right": right,
        "wrong": wrong,
        "same_numbers": np.array_equal(np.sort(right, axis=None), np.sort(wrong, axis=None)),
        "position": position,
        "n_peaks": int(is_peak.sum()),
        "n_rows": rows,
        "n_columns": columns,
        "quartet_option": 0 if columns == 1 else 1 if rows == 1 else 2,
        "quartet_lies_in_one_row": columns == is_peak.sum() and rows == 1,
        "exact": exact,
        "exact_option": 2 if exact == 1 else 0 if exact == 0 else 1,
        "least_squares_gets_all": exact == 1,
        "n_mixtures": len(mixtures),
        "moves": n_peaks,
        "moves_option": ("0", "1", str(n_peaks), "21").index(str(n_peaks)),
        "wrapped": wrapped,
        "cells_jump": n_peaks == right.shape[0] and 0 < wrapped < 1,
    }


@computation(seconds=20.0, trains=True)
def cost_of_reshaping(report: Report, seed: int = 1) -> Facts:
    """Train slots on both forms of the data of five seeds; compare them on unseen mixtures.

    `seed` chooses the five: see `five_seeds`.
    """
    seeds = five_seeds(seed)
    right: dict[str, list[float]] = {name: [] for name in FAULTS}
    jobs = [(one, name) for one in seeds for name in FAULTS]
    for i, (one, name) in enumerate(jobs):
        data = build("quick", one)
        part = part_of(report, i / len(jobs), (i + 1) / len(jobs))
        on_step = report_steps(part, STEPS, f"training, {name}, seed {one}")
        _, history = train(data, short(steps=STEPS), FAULTS[name], one, on_step, STEPS)
        right[name].append(history[-1]["right"])
    cost = np.array(right[TRANSPOSED]) - np.array(right[RESHAPED])  # (seeds,)
    mean = float(cost.mean())
    half = float(stdtrit(len(seeds) - 1, 0.975) * cost.std(ddof=1) / len(seeds) ** 0.5)
    low, high = mean - half, mean + half
    contains_zero = low <= 0 <= high
    report(1.0, "done")
    return {
        "seeds": list(seeds),
        "n_seeds": len(seeds),
        "n_networks": len(jobs),
        "steps": STEPS,
        "batch": BATCH,
        "n_test": len(data.test),
        "right": right,
        "transposed": right[TRANSPOSED],
        "reshaped": right[RESHAPED],
        "transposed_mean": float(np.mean(right[TRANSPOSED])),
        "reshaped_mean": float(np.mean(right[RESHAPED])),
        "best_reshaped": max(right[RESHAPED]),
        "cost": 100 * mean,
        "low": 100 * low,
        "high": 100 * high,
        "cost_option": 0 if low > 0 else 1 if high < 0 else 2,
        "contains": "contains" if contains_zero else "does not contain",
        "conclusion": CANNOT_TELL if contains_zero else "The interval does not contain zero.",
        "interval_contains_zero": contains_zero,
        "reshaped_data_can_be_learnt": max(right[RESHAPED]) > 0.5,
    }


def draw_tables(facts: Facts, theme: Theme) -> go.Figure:
    """Draw transposed ethanol above reshaped ethanol."""
    maps = [
        ("Transposed: a column is a position", facts["right"][None]),
        ("Reshaped: a column holds several positions", facts["wrong"][None]),
    ]
    return area_maps(maps, Axis(**facts["axis"]), theme, outputs=False)


def draw_means(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the mean of the seeds for both forms, and the range of the seeds."""
    means, ranges = {}, {}
    for name, values in facts["right"].items():
        mean = np.mean(values)
        means[name] = np.array([mean])
        ranges[name] = np.array([[mean - min(values)], [max(values) - mean]])
    groups = [f"mean of {facts['n_seeds']} seeds"]
    return bars(groups, means, "unseen mixtures", "compounds right", theme, ranges, per_cent=True)


LESSON = Lesson(
    name="reshape",
    title="Reshaped instead of transposed",
    aim="You will know what reshaped data look like, and why their cost is hard to measure.",
    steps=(
        Step(
            title="Transpose or reshape?",
            page="pages/lessons.py",
            facts=transposed_and_reshaped,
            text="""Measured data have 21 rows (positions) of 6 peaks. The network needs 6 rows of
                21. To **transpose** a table means to exchange its rows and columns. The first
                public version **reshaped** it: it read all numbers row by row and filled them into
                a new table. The upper map shows ethanol transposed, the lower one reshaped.""",
            question="""The quartet of ethanol has its peaks in one position. Where are they in the
                reshaped table?""",
            options=(
                "Still in one column, one above the other",
                "Side by side, in {n_peaks} columns of one row",
                "They are lost",
            ),
            answer="quartet_option",
            reveal="""The {n_peaks} peaks are in {n_columns} columns of {n_rows} row. In the
                reshaped table, a row is no longer a peak number and a column is no longer a
                position.""",
            claims={
                "quartet_lies_in_one_row": """The {n_peaks} peaks of the multiplet in position
                    {position} are in {n_columns} columns and {n_rows} row."""
            },
            figure=draw_tables,
            alt="""Two maps of ethanol: transposed, with its two multiplets in two columns, and
                reshaped, with its peaks spread over the columns""",
        ),
        Step(
            title="Is anything lost?",
            page="pages/lessons.py",
            facts=transposed_and_reshaped,
            text="""Look at the two tables again. Both hold the same numbers, but in other places.
                The new places are the same for every compound. Now least squares gets the reshaped
                mixtures and the reshaped library. Least squares is a method that uses no neighbours
                and needs no training.""",
            question="How many of the reshaped test mixtures does least squares get wholly right?",
            options=("None of {n_mixtures}", "About a third of {n_mixtures}", "All {n_mixtures}"),
            answer="exact_option",
            reveal="""It gets {exact:.0%} of them right. Least squares compares cell with cell, and
                does not use which cells are neighbours. So no information is lost. But neighbours
                in the table are no longer neighbours on the axis.""",
            claims={
                "same_numbers": "Both tables hold the same numbers.",
                "least_squares_gets_all": """Least squares gets {exact:.0%} of {n_mixtures} reshaped
                    mixtures wholly right.""",
            },
            figure=draw_tables,
            alt="The same two maps of ethanol",
        ),
        Step(
            title="What happens to neighbours",
            page="pages/lessons.py",
            facts=transposed_and_reshaped,
            text="""A **convolution** processes a column and its neighbours. So it can learn that a
                multiplet is still the same if it moves by one position. Suppose that the quartet of
                ethanol moves by one position on the axis.""",
            question="By how many columns do its peaks move in the reshaped table?",
            options=("0", "1", "{moves}", "21"),
            answer="moves_option",
            reveal="""They move by {moves} columns, because one position is a row of {moves} numbers
                in the measured table. Also, {wrapped:.0%} of all cells move to another row. A small
                shift on the axis becomes a large shift in the table.""",
            claims={
                "cells_jump": """The next position is {moves} cells further. {wrapped:.0%} of the
                    cells move to another row."""
            },
            figure=draw_tables,
            alt="The same two maps of ethanol",
        ),
        Step(
            title="What does it cost?",
            page="pages/lessons.py",
            facts=cost_of_reshaping,
            text="""We trained {n_networks} networks, half of them on transposed mixtures and half
                on reshaped ones. Each had {steps} steps of {batch} mixtures; in half of these,
                an unknown compound replaces one. The seeds are {seeds}: a seed sets the compounds,
                the weights and the mixtures. The bars show the mean share of compounds right on
                {n_test} unseen mixtures. The lines show the worst and the best seed.""",
            question="What can we conclude?",
            options=(
                "Reshaping costs accuracy",
                "Reshaping improves accuracy",
                "These runs are too few to show whether it costs accuracy",
            ),
            answer="cost_option",
            reveal="""Transposed, the seeds get {transposed:.0%}. Reshaped, they get {reshaped:.0%}.
                The mean cost is {cost:.0f} percentage points, and its 95 % interval goes from
                {low:.0f} to {high:.0f}. {conclusion}""",
            claims={
                "interval_contains_zero": """The 95 % interval of the cost over {n_seeds} seeds,
                    {low:.0f} to {high:.0f} percentage points, {contains} zero.""",
                "reshaped_data_can_be_learnt": """Reshaped mixtures can be learnt: with the best
                    seed, {best_reshaped:.0%} of the compounds are right.""",
            },
            figure=draw_means,
            alt="""Bars with the range of the seeds: transposed {transposed_mean:.0%}, reshaped
                {reshaped_mean:.0%} of the compounds right""",
        ),
    ),
)
