"""The glossary: every term of the app in one or two sentences, in groups.

`docs/glossary.md` is `as_markdown()`; a test compares them.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A term, its meaning, and its symbol in shapes such as (B, C, N, L)."""

    name: str
    meaning: str
    symbol: str = ""

    @property
    def anchor(self) -> str:
        """The part of the page's address after #."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


GROUPS: dict[str, tuple[Term, ...]] = {
    "Spectra and mixtures": (
        Term(
            "ppm",
            "The unit of the chemical shift, in parts per million. It decreases to the right.",
        ),
        Term("peak", "One line of a multiplet. The toy has 6 at each position.", "P"),
        Term(
            "multiplet",
            "A group of peaks at one ppm position, with area ratios: 6 peaks in the toy, up to 18"
            " lines at full scale. A singlet has one peak, a doublet two, a sextet six.",
        ),
        Term(
            "position",
            "A bin on the ppm axis: 21 in the toy, 65,536 at full scale.",
            "L",
        ),
        Term("compound", "A pure substance. In this app it is its multiplets."),
        Term("library", "The compounds that a network can name. It holds K of them.", "K"),
        Term("source", "One compound of a mixture, times its concentration.", "C"),
        Term("mixture", "The sum of its sources. Where two compounds overlap, their areas add up."),
        Term(
            "composition",
            "Which compounds are in a mixture, whatever their amounts. Training and test share no"
            " composition.",
        ),
        Term("amount", "The concentration of a compound in a mixture; 1 is the usual amount."),
        Term(
            "shift jitter",
            "The standard deviation by which a multiplet moves from its position in the library.",
        ),
        Term("noise", "The standard deviation of what is added to each peak area."),
        Term("disturbance", "Noise, shift jitter or a spread of concentrations."),
        Term("unknown compound", "A compound that the library does not hold."),
        Term(
            "equivalent compounds",
            "Compounds that no method can distinguish on an axis. They count as one.",
        ),
        Term(
            "spectrum", "Intensity over ppm: each peak is a line whose area says how much is there."
        ),
    ),
    "The network": (
        Term(
            "encoder",
            "The first layer. It compares each position and its two neighbours with every filter.",
        ),
        Term(
            "filter",
            "A pattern of peaks over three positions. The encoder has 64 filters, or 32 or 16.",
            "N",
        ),
        Term(
            "encoding",
            "The output of the encoder: how strongly each filter responds at each position.",
        ),
        Term("bottleneck", "A layer that reduces the filters to fewer channels before the blocks."),
        Term(
            "dilated block",
            "A layer that combines each position with two others at a distance, its dilation. The"
            " distance doubles from block to block.",
        ),
        Term("dilation", "The distance between the positions that a block combines: 1, 2, 4 or 8."),
        Term("stack", "A row of dilated blocks with dilations 1, 2, 4, 8. The network has three."),
        Term("channel", "One row of a block's output, as a filter is one row of the encoding."),
        Term("skip", "The output of a block that goes straight to the masks."),
        Term(
            "residual",
            "The output of a block that is added to its input and goes to the next block.",
        ),
        Term("receptive field", "The positions that can influence a value."),
        Term(
            "norm",
            "A layer that brings values to mean 0 and standard deviation 1. It averages over the"
            " whole axis, so every position has a small influence on every other.",
        ),
        Term("activation", "The value of one cell of a layer for the shown mixture."),
        Term("logit", "A value before the sigmoid or the softmax."),
        Term("sigmoid", "Turns any number into one from 0 to 1. It makes the masks."),
        Term(
            "mask",
            "A number from 0 (blocks) to 1 (passes) for each filter and position. Each output has a"
            " mask of its own.",
        ),
        Term(
            "ideal ratio mask",
            "The mask that shares each cell in proportion to the true sources. Also: ideal mask.",
        ),
        Term(
            "decoder",
            "The last layer of the separation. It turns a masked encoding into multiplets.",
        ),
        Term("separated multiplets", "What the decoder makes of mask times encoding."),
        Term(
            "classifier",
            "The layer that gives separated multiplets a probability for each compound.",
        ),
        Term("softmax", "Turns logits into probabilities that add up to 1."),
        Term("output", "A mask and what follows from it: C with slots, K + 1 with queries.", "M"),
        Term(
            "slots",
            "The reference network: C outputs in no fixed order, each with a softmax over the"
            " compounds.",
        ),
        Term(
            "queries",
            "A network with one output for each compound of the library, and one for the unknown.",
        ),
        Term("probability", "How likely a compound is in the mixture, as the network predicts."),
        Term(
            "prediction",
            "All that a network says of one mixture: masks, separated multiplets, probabilities,"
            " amounts.",
        ),
    ),
    "Training": (
        Term("preset", "How a data set is made: library, mixtures, split."),
        Term("recipe", "How a network is trained."),
        Term("step", "One change of the weights, after a batch of mixtures."),
        Term("batch", "The mixtures of one step.", "B"),
        Term("weights", "The numbers that a training changes."),
        Term("loss", "What a training makes smaller: errors of names, multiplets and masks."),
        Term(
            "cross entropy", "The loss of a probability: 0 if the true compound has probability 1."
        ),
        Term(
            "matching",
            "Assigning outputs to sources at the lowest summed cost (permutation-invariant"
            " training).",
        ),
        Term("remix", "Training mixtures with compounds that are combined at random."),
        Term(
            "added noise, added jitter, repeats",
            "What training adds to its mixtures, so that the network does not memorise them.",
        ),
        Term("run", "A training on disk."),
        Term("checkpoint", "One trained network in a file."),
        Term(
            "visit",
            "What one browser does until it is closed. It has one training, and sees its own runs.",
        ),
    ),
    "Judging a network": (
        Term("test mixture", "A mixture whose composition no training has used."),
        Term("compounds right", "The share of the compounds named or mixed that are both."),
        Term(
            "mixtures wholly right", "The share of mixtures with all compounds named, and no other."
        ),
        Term(
            "SI-SDR improvement",
            "How much closer a separated source is to the truth than the mixture was, in decibels."
            " SI-SDR is the scale-invariant signal-to-distortion ratio.",
            "dB",
        ),
        Term(
            "mask distance",
            "The mean absolute difference of the masks from the ideal ratio masks: 0 is ideal.",
        ),
        Term(
            "95 % interval",
            "The range in which the true value lies in 95 of 100 such measurements.",
        ),
        Term("confusion", "One compound named where another is. The confusion matrix counts them."),
        Term(
            "calibration",
            "Fitting a temperature so that, of the predictions with a probability of 80 %, 80 % are"
            " right.",
        ),
        Term(
            "temperature", "The number that divides all logits. Above 1, it lowers the confidence."
        ),
        Term(
            "expected calibration error",
            "The mean difference between a probability and the share of predictions that are true.",
        ),
        Term(
            "receiver operating characteristic",
            "The share of unknown compounds found over the share of false alarms, for every"
            " threshold.",
        ),
        Term(
            "least squares", "The amounts of library compounds whose sum is nearest to the mixture."
        ),
        Term(
            "matching pursuit", "Takes the compound that explains most, subtracts it, and goes on."
        ),
        Term("occlusion", "Emptying one position, to see what the network predicts without it."),
    ),
    "Full scale": (
        Term(
            "amount hypothesis",
            "A compound together with an amount that several of its multiplets agree on.",
        ),
        Term("threshold", "The least probability at which a compound is named."),
        Term("toy", "The small data: mixtures of 6 peaks at 21 positions, and ten compounds."),
    ),
}
TERMS = {term.name: term for terms in GROUPS.values() for term in terms}


def term(name: str, words: str = "") -> str:
    """Return a Markdown link to a term; `words` are shown in place of its name.

    Raises
    ------
    ValueError
        If the glossary has no such term.
    """
    if name not in TERMS:
        raise ValueError(f"term is {name!r}; expected one of {', '.join(TERMS)}")
    return f"[{words or name}](glossary#{TERMS[name].anchor})"


def as_markdown() -> str:
    """Return the text of `docs/glossary.md`."""
    lines = [
        "# Glossary",
        "",
        "Written from `nmrclassify/lessons/glossary.py`. The app shows it on the page *Glossary*.",
    ]
    for group, terms in GROUPS.items():
        lines += ["", f"## {group}", "", "| word | symbol | meaning |", "|---|---|---|"]
        lines += [f"| {one.name} | {one.symbol} | {one.meaning} |" for one in terms]
    return "\n".join(lines) + "\n"
