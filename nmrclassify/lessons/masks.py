"""Lesson: how to read a mask."""

import numpy as np

from nmrclassify.evaluation.interpretation import strongest_filter
from nmrclassify.evaluation.masks import ideal_ratio_masks, overlap, shares, weak_cells
from nmrclassify.lessons.example_mixture import STATE, example_mixture
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation, nearest

PAGE = "pages/masks.py"
# Ethanol and lactate share this position; the page frames its filter with the strongest encoding.
POSITION = 2
FRAMED = {"output": "1", "position": str(POSITION)}  # output 1 is ethanol's
SHARED_PPM = 3.54  # singlet of glycine, quartet of ethanol


@computation(seconds=0.3)
def masks_and_encodings(report: Report) -> Facts:
    """Compare the masks of the example mixture with the encoding, the ideal masks and the truth."""
    report(0.0, "running the network")
    example = example_mixture()
    prediction, truth, library = example.prediction, example.truth, example.library
    names = [library.names[k] for k in prediction.named]

    report(0.6, "comparing with ideal masks")
    masks, weak = prediction.masks, weak_cells(prediction.encoding)
    strength = np.abs(prediction.encoding)
    passed = np.abs(prediction.separated_encodings)
    product_error = float(
        np.abs(prediction.separated_encodings - masks * prediction.encoding).max()
    )
    ethanol = example.output("ethanol")
    chosen = strongest_filter(prediction.encoding, POSITION)
    encoding = float(strength[chosen, POSITION])
    mask, cell_passed = (float(table[ethanol, chosen, POSITION]) for table in (masks, passed))
    mask_options = (encoding, encoding * mask, encoding * (1 - mask), 0.0)
    highest_weak = float(masks[:, weak].max())
    passed_weak = float(passed[:, weak].max() / strength.max())

    position = library.axis.position(SHARED_PPM)
    predicted, true = (
        shares(multiplets)[:, position] for multiplets in (prediction.multiplets, truth.sources)
    )
    share_error = float(np.abs(predicted - true).max())
    predicted_shares, true_shares = (
        [f"{100 * part:.0f} % to {name}" for name, part in zip(names, parts, strict=True)]
        for parts in (predicted, true)
    )

    from_1 = float(np.abs(masks.sum(axis=0)[~weak] - 1).mean())
    ideal = ideal_ratio_masks(example.checkpoint.model, truth.sources)
    distance = float(np.abs(masks - ideal)[:, ~weak].mean())
    gains = truth.si_sdr_improvement.tolist()
    report(1.0, "done")
    return {
        "names": names,
        "encoding": encoding,
        "mask": mask,
        "passed": cell_passed,
        "mask_options": mask_options,
        "mask_option": nearest(mask_options, cell_passed),
        "product_error": max(product_error, 1e-7),
        "masks_multiply": product_error < 1e-5 and abs(mask_options[1] - cell_passed) < 1e-5,
        "weak": float(weak.mean()),
        "highest_weak": highest_weak,
        "passed_weak": passed_weak,
        "weak_option": 1 if passed_weak < 0.02 else 0,
        "weak_cells_pass_nothing": passed_weak < 0.02,
        "largest_option": int(np.argmax(predicted)),
        "predicted_shares": predicted_shares,
        "true_shares": true_shares,
        "share_error": 100 * share_error,
        "shares_are_close": share_error < 0.15,
        "from_1": from_1,
        "from_1_option": 1 if 0.001 < from_1 < 0.2 else 2,
        "no_rule_forces_the_sum": 0.001 < from_1 < 0.2,
        "second_above_half": float((overlap(masks)[~weak] > 0.5).mean()),
        "distance": distance,
        "gains": gains,
        "least_gain": min(gains),
        "gain_option": 1 if min(gains) > 10 else 0,
        "every_compound_gains": min(gains) > 10,
    }


LESSON = Lesson(
    name="mask",
    title="Reading a mask",
    aim="You will know what a mask does, where it has no meaning, and how to recognise a good one.",
    steps=(
        Step(
            title="From 0 to 1",
            page=PAGE,
            state=STATE | FRAMED,
            target="masks",
            facts=masks_and_encodings,
            text="""First the network turns the mixture into an **encoding**: a table of filters
                (rows) and positions (columns). A **filter** reacts to one kind of peaks. Then the
                network makes a **mask** for each compound: one number from 0 to 1 for each cell. It
                multiplies the encoding by the mask. In the **framed cell**, the encoding has the
                strength {encoding:.2f} and the mask of ethanol is {mask:.2f}.""",
            question="How much of this cell passes to ethanol?",
            options=(
                "{mask_options[0]:.2f}",
                "{mask_options[1]:.2f}",
                "{mask_options[2]:.2f}",
                "{mask_options[3]:.2f}",
            ),
            answer="mask_option",
            reveal="""{encoding:.2f} x {mask:.2f} = {passed:.2f}. A mask of 0 blocks a cell. A mask
                of 1 passes the whole cell. Ethanol and lactate share this position, so the mask of
                ethanol passes a part of the cell.""",
            claims={
                "masks_multiply": """In all cells of all outputs, encoding times mask is what passes
                    (to {product_error:.0e})."""
            },
        ),
        Step(
            title="Where the encoding is weak",
            page=PAGE,
            state=STATE | {"weak_cells": "yes"},
            target="masks",
            facts=masks_and_encodings,
            text="""Now the page shows the masks in all cells, also where the encoding is weak. (The
                switch *Show weak cells* does this.) Most of these cells are at positions without
                any peak. In weak cells the masks reach {highest_weak:.2f}.""",
            question="What does a mask near 1 do at a position without any peak?",
            options=(
                "It adds a peak that is not there",
                "Nothing: there is no area to pass",
                "It takes area from other compounds",
            ),
            answer="weak_option",
            reveal="""It does nothing, because almost zero times a mask is still almost zero. Of all
                cells, {weak:.0%} are weak. There, no output passes more than {passed_weak:.1%} of
                the strongest cell of the encoding. So do not read the masks there. The page leaves
                these cells blank by default.""",
            claims={
                "weak_cells_pass_nothing": """In weak cells, at most {passed_weak:.1%} of the
                    strongest cell passes."""
            },
        ),
        Step(
            title="Which compound has the most area?",
            page="pages/separation.py",
            state=STATE,
            target="separated",
            facts=masks_and_encodings,
            text="""Between 3.5 and 4 ppm, the singlet of glycine and the quartet of ethanol are in
                the same position. Find this position in the separated multiplets: the network
                divides its area between the compounds.""",
            question="Which compound gets the largest share between 3.5 and 4 ppm?",
            options=("{names[0]}", "{names[1]}", "{names[2]}"),
            answer="largest_option",
            reveal="""The network gives {predicted_shares}. The true shares are {true_shares}. So
                the predicted shares are close to the true ones, but not exact.""",
            claims={
                "shares_are_close": """No share is wrong by more than {share_error:.0f} percentage
                    points."""
            },
        ),
        Step(
            title="Must masks add up to 1?",
            page=PAGE,
            state=STATE,
            target="sums",
            facts=masks_and_encodings,
            text="""Open *Encoding, sum and overlap of the masks*, the framed panel. The
                second map shows the sum of the masks in each cell. The third map shows the second
                highest mask. It is near 1 where two outputs take the same cell.""",
            question="Do the masks add up to 1 in the cells that are not weak?",
            options=("Exactly: the network is built so", "Nearly", "No, not even nearly"),
            answer="from_1_option",
            reveal="""Nearly: on average, the sum differs from 1 by {from_1:.2f}. In
                {second_above_half:.0%} of these cells, a second output has a mask above one half.
                The true shares of a cell add up to 1. The network learns from them, but no rule
                forces its masks to add up to 1.""",
            claims={
                "no_rule_forces_the_sum": """In the cells that are not weak, the sum of the masks
                    differs from 1 by {from_1:.3f} on average."""
            },
        ),
        Step(
            title="What counts in the end",
            page="pages/separation.py",
            state=STATE,
            target="separated",
            facts=masks_and_encodings,
            text="""An **ideal mask** gives each compound its true share of each cell. The masks of
                the network differ from the ideal masks by {distance:.2f} on average. (0 means the
                same, 1 means the opposite.) Now compare the results on this page: the separated
                multiplets, and below them the truth.""",
            question="How good is the separation?",
            options=(
                "Bad: the masks are far from ideal",
                "Good: each output is much closer to its compound than the mixture is",
                "Nobody can tell",
            ),
            answer="gain_option",
            reveal="""The separation is good. It is measured in **decibels** (dB): with every 10 dB,
                the squared error is ten times smaller, relative to the signal. The outputs are
                {gains:.0f} dB closer to their compounds than the mixture is. A small error of a
                mask counts more where the encoding is strong. So look at the separated multiplets,
                and not at the masks alone.""",
            claims={
                "every_compound_gains": """The masks differ from the ideal ones by {distance:.2f}.
                    Every compound gains at least {least_gain:.0f} dB."""
            },
        ),
    ),
)
