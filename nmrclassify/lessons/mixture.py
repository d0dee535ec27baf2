"""Lesson: what a mixture is."""

from dataclasses import replace

import numpy as np

from nmrclassify.lessons.example_mixture import SPEC, STATE, example_mixture
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation, nearest
from nmrclassify.mixtures.edits import Mixture, apply, from_text
from nmrclassify.mixtures.grid import generator, mix_at
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.networks.prediction import listing, percent
from nmrclassify.plots.map_rows import position_label

PAGE = "pages/mixtures.py"
CUT = 7  # the position at 3.5 to 4 ppm
EDIT = f"cut_{CUT}"


@computation(seconds=0.3)
def sums_and_edits(report: Report) -> Facts:
    """Measure the example mixture, the same with twice the lactate, and the same with a gap."""
    report(0.0, "opening the mixture")
    example = example_mixture()
    names, library, data = example.names, example.library, example.checkpoint.dataset
    ethanol, glycine, lactate = (names.index(name) for name in ("ethanol", "glycine", "lactate"))
    pure = int(library.areas[example.labels[ethanol]].any(axis=0).sum())
    sums = [float(total) for total in example.sources.sum(axis=(1, 2))]
    total = float(example.areas.sum())
    sum_error = float(np.abs(example.sources.sum(axis=0) - example.areas).max())
    shared = example.shared
    overlaps = []
    for position in shared:
        owners = [n for n, s in zip(names, example.sources, strict=True) if s[:, position].any()]
        overlaps.append(f"{listing(owners)} at {position_label(library.axis, position)}")
    n_filled = int(example.areas.any(axis=0).sum())

    report(0.6, "mixing it again")
    present = example.labels[None]
    once = np.ones((1, len(names)), np.float32)
    twice = np.where(np.arange(len(names)) == lactate, 2, once).astype(np.float32)
    single, double = (
        mix_at(library, present, amounts, data.config, generator(data.seed, "view")).sources[0]
        for amounts in (once, twice)
    )
    filled = single[lactate] > 0
    growth = float((double[lactate][filled] / single[lactate][filled]).mean())
    same_positions = np.array_equal(double[lactate].any(axis=0), single[lactate].any(axis=0))
    only_higher = abs(growth - 2) < 1e-5 and same_positions
    change = float(np.abs(np.delete(double - single, lactate, axis=0)).max())

    report(0.8, "removing multiplets")
    whole = Mixture(example.areas, example.sources, example.labels, example.concentrations)
    cut = example.checkpoint.model.predict(apply(whole, from_text(EDIT), library).areas)
    before, after = (
        [float(prediction.probabilities[0, k]) for k in example.labels]
        for prediction in (example.prediction, cut)
    )
    left = [int(np.delete(s, CUT, axis=1).any(axis=0).sum()) for s in example.sources]
    n_peaks, n_positions = library.areas.shape[1:]
    report(1.0, "done")
    return {
        "names": names,
        "n_compounds": len(names),
        "n_peaks": n_peaks,
        "n_positions": n_positions,
        "n_cells": example.areas.size,
        "cells_are_peaks_by_positions": example.areas.size == n_peaks * n_positions,
        "pure": pure,
        "pure_minus_1": pure - 1,
        "pure_plus_2": pure + 2,
        "ethanol_has_two_multiplets": pure == 2,
        "sums": sums,
        "sum_in_words": " + ".join(f"{value:.2f}" for value in sums),
        "largest": max(sums),
        "mean": total / 3,
        "total": total,
        "total_option": nearest((max(sums), total / 3, total), sum(sums)),
        "sum_error": sum_error,
        "sources_sum_to_the_mixture": sum_error < 1e-5,
        "shared": shared,
        "n_shared": len(shared),
        "n_filled": n_filled,
        "overlaps": "; ".join(overlaps),
        "some_positions_are_shared": 0 < len(shared) < min(n_filled, 4),
        "growth": growth,
        "growth_option": 1 if only_higher else 0,
        "lactate_only_grows": only_higher,
        "others_change": change,
        "others_stay": change == 0,
        "n_predicted": sum(probability > 0.5 for probability in after),
        "changes": [
            f"from {percent(old)} to {percent(new)} for {name}"
            for name, old, new in zip(names, before, after, strict=True)
        ],
        "glycine_left": left[glycine],
        "ethanol_left": left[ethanol],
        "cut_compounds_are_missed": left[glycine] == 0 < left[ethanol]
        and max(after[glycine], after[ethanol]) < 0.5,
        "lactate_is_less_probable": 0.5 < after[lactate] < before[lactate],
    }


LESSON = Lesson(
    name="mixture",
    title="What a mixture is",
    aim="You will know what data the network gets, and why some compounds are hard to separate.",
    steps=(
        Step(
            title="A compound is a pattern",
            page=PAGE,
            state=STATE,
            target="library",
            facts=sums_and_edits,
            text="""In an NMR spectrum, a **compound** shows as groups of peaks. Such a group is
                called a **multiplet**. Each multiplet has a place on the axis: its **chemical
                shift** in ppm. Look at *The library*. Each row is one pure compound. Each coloured
                cell holds one or more multiplets. Find the row *ethanol*.""",
            question="In how many positions does pure ethanol have peaks?",
            options=("In {pure_minus_1}", "In {pure}", "In {pure_plus_2}"),
            answer=1,
            reveal="""Pure ethanol has peaks in {pure} positions. The hydrogens of its CH₃ group
                make one multiplet. Those of its CH₂ group make the other. Such a pattern identifies
                a compound.""",
            claims={
                "ethanol_has_two_multiplets": """In the library, ethanol has area in {pure} of
                    {n_positions} positions."""
            },
        ),
        Step(
            title="A mixture is a sum",
            page=PAGE,
            state=STATE,
            target="spectrum",
            facts=sums_and_edits,
            text="""This mixture holds {names}. The colour of a stick shows which compound its area
                comes from. The peaks of the three compounds have total areas of {sums:.2f}.""",
            question="What is the total area of all peaks of the mixture?",
            options=("{largest:.2f}", "{mean:.2f}", "{total:.2f}"),
            answer="total_option",
            reveal="""Areas add up: {sum_in_words} = {total:.2f}. They also add up in each single
                cell. To separate a mixture means to undo this sum.""",
            claims={
                "sources_sum_to_the_mixture": """The sum of the sources and the mixture differ by at
                    most {sum_error:.1g} in any cell."""
            },
        ),
        Step(
            title="Where two compounds overlap",
            page=PAGE,
            state=STATE,
            target="spectrum",
            facts=sums_and_edits,
            text="""Some sticks have two colours. There, two compounds have a multiplet in the same
                position, and the spectrum shows only their sum. Look for these positions in the
                spectrum.""",
            question="In how many positions do two compounds of this mixture overlap?",
            options=("0", "1", "2", "3"),
            answer="n_shared",
            reveal="""In {n_shared} of {n_filled} filled positions: {overlaps}. There the network
                has to find how much area belongs to which compound. It uses the other multiplets of
                each compound for this.""",
            claims={
                "some_positions_are_shared": """{n_shared} of {n_filled} filled positions hold area
                    of two compounds."""
            },
        ),
        Step(
            title="More of one compound",
            page=PAGE,
            state=MixtureSpec(compounds=(1, 2, 5), concentrations=(1.0, 2.0, 1.0)).link(),
            target="spectrum",
            facts=sums_and_edits,
            text="""The mixture holds the same three compounds, but now the amount of lactate is 2.
                The amounts of ethanol and glycine are 1. You can change the amounts in the sidebar,
                under *Mixture*. Set lactate back to 1 and watch its peaks.""",
            question="What changes if there is twice as much lactate?",
            options=(
                "The peaks of lactate are twice as far apart",
                "All peaks of lactate are twice as high",
                "Only the highest peak of lactate grows",
                "The peaks of the other compounds shrink",
            ),
            answer="growth_option",
            reveal="""Every peak of lactate grows by a factor of {growth:.0f}. No peak moves, and
                the other compounds stay as they are. So the pattern shows **which** compound is
                there, and the height of the peaks shows **how much** of it.""",
            claims={
                "lactate_only_grows": """The areas of lactate are {growth:.2f} times as large, in
                    the same positions.""",
                "others_stay": "The areas of the other compounds change by {others_change:.0f}.",
            },
        ),
        Step(
            title="What the network gets",
            page=PAGE,
            state=STATE,
            target="mixture map",
            facts=sums_and_edits,
            text="""Look at the map *The input of the network*. Each column is a
                position on the axis. The cells of a column are the peaks of the multiplets in that
                position, from top to bottom. A singlet has one peak, a doublet has two, and so on
                up to six.""",
            question="What does the network get as input?",
            options=(
                "The names of the {n_compounds} compounds",
                "The sticks with their colours",
                "A table of {n_peaks} x {n_positions} heights",
            ),
            answer=2,
            reveal="""The network gets {n_cells} numbers: {n_peaks} peaks in {n_positions}
                positions. It gets neither colours nor names. Its task is to find which numbers
                belong together.""",
            claims={
                "cells_are_peaks_by_positions": """The mixture is an array of {n_peaks} x
                    {n_positions} = {n_cells} numbers."""
            },
        ),
        Step(
            title="What a multiplet tells the network",
            page="pages/whatif.py",
            state=replace(SPEC, edits=from_text(EDIT)).link(),
            target="mixture",
            facts=sums_and_edits,
            text="""Here all peaks between 3.5 and 4 ppm are removed from the mixture. These are the
                quartet of ethanol and the singlet of glycine. Glycine has no other peaks. The page
                shows the prediction of the network before and after the change.""",
            question="How many of the three compounds does the network still predict?",
            options=("0", "1", "2", "3"),
            answer="n_predicted",
            reveal="""The probabilities go {changes}. Glycine has no peaks left. Ethanol still has
                its triplet, but the triplet alone is not the pattern of ethanol. The network
                recognises a compound by all of its multiplets together.""",
            claims={
                "cut_compounds_are_missed": """Glycine has {glycine_left} positions left and ethanol
                    {ethanol_left}. The network predicts neither.""",
                "lactate_is_less_probable": """Lactate loses nothing. The network still predicts it,
                    with a lower probability.""",
            },
        ),
    ),
)
