"""Lesson: how to read a mask."""

import numpy as np

from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import ideal_ratio_masks, overlap, shares, weak_cells
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step
from nmrclassify.lessons.shown import STATE, shown
from nmrclassify.lessons.wording import share

PAGE = "pages/masks.py"
# Strong, and with a mask that is neither open nor closed; of ethanol, the first compound.
CELL = Cell(0, 9, 3)
FRAMED = {
    "output": str(CELL.output + 1),
    "filter": str(CELL.filter),
    "position": str(CELL.position),
}
WHERE = 3.54  # ppm: glycine's singlet, and ethanol's quartet in the same position


def masks_and_what_they_pass(report: Report) -> Facts:
    """Measure the masks of the mixture that is shown: against the encoding, the ideal masks, and what they let through."""
    report(0.0, "running the network")
    seen = shown()
    given, truth, names = seen.given, seen.truth, seen.library.names
    report(0.6, "comparing with ideal masks")
    loud = ~weak_cells(given.encoding)
    strength = np.abs(given.encoding)
    passed = np.abs(given.separated_encodings)
    cell = (CELL.filter, CELL.position)
    position = seen.library.axis.position(WHERE)
    parts = shares(given.multiplets)[:, position]
    true = shares(truth.sources)[:, position]
    ideal = ideal_ratio_masks(seen.checkpoint.model, truth.sources)
    total = given.masks.sum(axis=0)[loud]
    report(1.0, "done")
    return {
        "names": [names[k] for k in given.named],
        "mask": float(given.masks[0][cell]),
        "encoding": float(strength[cell]),
        "passed": float(passed[0][cell]),
        "product": float(np.abs(given.separated_encodings - given.masks * given.encoding).max()),
        "silent": float((~loud).mean()),
        "open in silence": float(given.masks[:, ~loud].max()),
        "passed in silence": float(passed[:, ~loud].max() / strength.max()),
        "parts": parts,
        "true parts": true,
        "distance": float(np.abs(given.masks - ideal)[:, loud].mean()),
        "gains": truth.si_sdr_improvement.tolist(),
        "above one": float((total > 1).mean()),
        "both": float((overlap(given.masks)[loud] > 0.5).mean()),
    }


LESSON = Lesson(
    "mask",
    "Reading a mask",
    "You will know what a mask does, where it means nothing, and how to tell a good one.",
    (
        Step(
            "From 0 to 1",
            PAGE,
            STATE | FRAMED,
            lambda f: (
                "First the network turns the mixture into an **encoding**: a table of filters"
                " (rows) and positions (columns). A **filter** reacts to one kind of peaks. For"
                " each compound it then makes a **mask**: one number from 0 to 1 for each cell."
                " The encoding is multiplied by it. In the **framed cell** the encoding has the"
                f" strength {f['encoding']:.2f}, and the mask of output 1 is {f['mask']:.2f}."
            ),
            "How much of this cell gets through to output 1?",
            lambda f: tuple(
                f"{part * f['encoding']:.2f}" for part in (1, f["mask"], 1 - f["mask"], 0)
            ),
            lambda f: int(
                np.argmin(
                    np.abs(np.array([1, f["mask"], 1 - f["mask"], 0]) * f["encoding"] - f["passed"])
                )
            ),
            lambda f: (
                f"{f['encoding']:.2f} x {f['mask']:.2f} = {f['passed']:.2f}. A mask of 0 blocks a"
                " cell and a mask of 1 lets it through whole; this one, of output 1"
                f" ({f['names'][0]}), lets part of it through."
            ),
            (
                Claim(
                    lambda f: (
                        "In all cells of all outputs, what gets through is encoding times mask (to "
                        f"{max(f['product'], 1e-7):.0e})."
                    ),
                    lambda f: (
                        f["product"] < 1e-5 and abs(f["encoding"] * f["mask"] - f["passed"]) < 1e-5
                    ),
                ),
            ),
            masks_and_what_they_pass,
            0.3,
        ),
        Step(
            "Where nothing is",
            PAGE,
            STATE | {"silent": "yes"},
            lambda f: (
                "Now the masks are drawn everywhere, also in positions without any peak. (The"
                " switch *Show masks where the mixture is silent* does this.) There they reach"
                f" {f['open in silence']:.2f}."
            ),
            "What does a mask near 1 do where the mixture is silent?",
            lambda f: (
                "It makes up a peak",
                "Nothing: there is nothing to let through",
                "It takes away from other outputs",
            ),
            lambda f: 1 if f["passed in silence"] < 0.02 else 0,
            lambda f: (
                "Hardly anything times a mask is still hardly anything. Of all cells"
                f" {share(f['silent'])} are silent, and no output lets through more than"
                f" {100 * f['passed in silence']:.1f} % of the encoding's strongest cell there."
                " That is why they are left blank by default: do not read them."
            ),
            (
                Claim(
                    lambda f: (
                        f"In silent cells at most {100 * f['passed in silence']:.1f} % of the"
                        " strongest cell gets through."
                    ),
                    lambda f: f["passed in silence"] < 0.02,
                ),
                Claim(
                    lambda f: f"Yet a mask reaches {f['open in silence']:.2f} there.",
                    lambda f: f["open in silence"] > 0.9,
                ),
            ),
            masks_and_what_they_pass,
            0.3,
        ),
        Step(
            "Who owns a position?",
            PAGE,
            STATE,
            lambda f: (
                "Between 3.5 and 4 ppm, glycine's singlet and ethanol's quartet fall into one"
                " position. Find it in the last picture, *Who owns which position?*. Each bar shows"
                " how the area that was taken apart is shared out."
            ),
            "Which compound gets the larger share between 3.5 and 4 ppm?",
            lambda f: tuple(f["names"]),
            lambda f: int(np.argmax(f["parts"])),
            lambda f: (
                "The network gives "
                + ", ".join(
                    f"{name} {share(part)}"
                    for name, part in zip(f["names"], f["parts"], strict=False)
                )
                + ". In truth it is "
                + ", ".join(
                    f"{name} {share(part)}"
                    for name, part in zip(f["names"], f["true parts"], strict=False)
                )
                + ". So the sharing is close, but not exact."
            ),
            (
                Claim(
                    lambda f: (
                        "No share is off by more than"
                        f" {100 * np.abs(f['parts'] - f['true parts']).max():.0f} points of a"
                        " hundred."
                    ),
                    lambda f: bool(np.abs(f["parts"] - f["true parts"]).max() < 0.15),
                ),
            ),
            masks_and_what_they_pass,
            0.3,
        ),
        Step(
            "Must masks add up to 1?",
            PAGE,
            STATE,
            lambda f: (
                "Look at *Do the masks share out, or quarrel?*. On the left stands the sum of the"
                " masks in each cell. On the right is the second highest mask: near 1 where two"
                " outputs both claim the cell."
            ),
            "In how many of the cells that are not silent is the sum above 1?",
            lambda f: (
                "In none: 1 is all there is",
                "In less than a tenth",
                "In more than a third",
            ),
            lambda f: 0 if f["above one"] == 0 else 1 if f["above one"] < 0.1 else 2,
            lambda f: (
                f"In {share(f['above one'])} of them. In {share(f['both'])} of the cells a second"
                " output has a mask above one half, too. Nothing forces the sum to be 1: the"
                " **decoder**, which turns masked cells back into peaks, has learnt to set the"
                " scale right."
            ),
            (
                Claim(
                    lambda f: (
                        f"The sum of the masks is above 1 in {share(f['above one'])} of the cells"
                        " that are not silent."
                    ),
                    lambda f: f["above one"] > 1 / 3,
                ),
            ),
            masks_and_what_they_pass,
            0.3,
        ),
        Step(
            "What counts in the end",
            "pages/separation.py",
            STATE,
            lambda f: (
                "An **ideal mask** gives each compound its true share of each cell. The network's"
                f" masks are {f['distance']:.2f} away from the ideal ones on average, on a scale"
                " from 0 (the same) to 1 (the opposite). Now compare what comes out: the separated"
                " multiplets and the truth below them."
            ),
            "How good is the separation?",
            lambda f: (
                "Bad: the masks are far from ideal",
                "Good: each compound is much closer to its truth than the mixture is",
                "One cannot tell",
            ),
            lambda f: 1 if min(f["gains"]) > 10 else 0,
            lambda f: (
                "Good. It is measured in **decibels** (dB): every 10 dB, the squared error is ten"
                " times smaller compared with the signal. The outputs are "
                + ", ".join(f"{gain:.0f}" for gain in f["gains"])
                + " dB closer to their compounds than the mixture is. Different masks can "
                "separate equally well, so judge what comes out and not how the mask looks."
            ),
            (
                Claim(
                    lambda f: (
                        f"Masks that are {f['distance']:.2f} off the ideal ones still bring at"
                        f" least {min(f['gains']):.0f} dB."
                    ),
                    lambda f: f["distance"] > 0.2 and min(f["gains"]) > 10,
                ),
            ),
            masks_and_what_they_pass,
            0.3,
        ),
    ),
)
