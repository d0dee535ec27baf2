"""The glossary: every term of the app in one or two sentences, in groups.

`docs/glossary.md` is `as_markdown()`; a test compares them.
"""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class GlossaryTerm:
    """A term, its meaning, and its symbol in shapes such as (B, C, N, L)."""

    name: str
    meaning: str
    symbol: str = ""

    @property
    def anchor(self) -> str:
        """The part of the page's address after #."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


GROUPS: dict[str, tuple[GlossaryTerm, ...]] = {
    "Spectra and mixtures": (
        GlossaryTerm(
            "ppm",
            "The unit of the chemical shift, in parts per million. It decreases to the right.",
        ),
        GlossaryTerm("peak", "One line of a multiplet. The toy has 6 at each position.", "P"),
        GlossaryTerm(
            "multiplet",
            "A group of peaks at one ppm position, with area ratios: 6 peaks in the toy, up to 18"
            " lines at full scale. A singlet has one peak, a doublet two, a sextet six.",
        ),
        GlossaryTerm(
            "position",
            "A bin on the ppm axis: 21 in the toy, 65,536 at full scale.",
            "L",
        ),
        GlossaryTerm("compound", "A pure substance. In this app it is its multiplets."),
        GlossaryTerm("library", "The compounds that a network can name. It holds K of them.", "K"),
        GlossaryTerm("source", "One compound of a mixture, times its concentration.", "C"),
        GlossaryTerm(
            "mixture", "The sum of its sources. Where two compounds overlap, their areas add up."
        ),
        GlossaryTerm(
            "composition",
            "Which compounds are in a mixture, whatever their amounts. Training and test share no"
            " composition.",
        ),
        GlossaryTerm(
            "amount", "The concentration of a compound in a mixture; 1 is the usual amount."
        ),
        GlossaryTerm(
            "shift jitter",
            "The standard deviation by which a multiplet moves from its position in the library.",
        ),
        GlossaryTerm("noise", "The standard deviation of what is added to each peak area."),
        GlossaryTerm("disturbance", "Noise, shift jitter or a spread of concentrations."),
        GlossaryTerm("unknown compound", "A compound that the library does not hold."),
        GlossaryTerm(
            "equivalent compounds",
            "Compounds that no method can distinguish on an axis. They count as one.",
        ),
        GlossaryTerm(
            "spectrum", "Intensity over ppm: the area of each peak is proportional to the amount."
        ),
    ),
    "The network": (
        GlossaryTerm(
            "encoder",
            "The first layer. It compares each position and its two neighbours with every filter.",
        ),
        GlossaryTerm(
            "filter",
            "A pattern of peaks over three positions. The encoder has 64 filters, or 32 or 16.",
            "N",
        ),
        GlossaryTerm(
            "encoding",
            "The output of the encoder: how strongly each filter responds at each position.",
        ),
        GlossaryTerm(
            "bottleneck", "A layer that reduces the filters to fewer channels before the blocks."
        ),
        GlossaryTerm(
            "dilated block",
            "A layer that combines each position with two others at a distance, its dilation. The"
            " distance doubles from block to block.",
        ),
        GlossaryTerm(
            "dilation", "The distance between the positions that a block combines: 1, 2, 4 or 8."
        ),
        GlossaryTerm(
            "stack", "A row of dilated blocks with dilations 1, 2, 4, 8. The network has three."
        ),
        GlossaryTerm(
            "channel", "One row of a block's output, as a filter is one row of the encoding."
        ),
        GlossaryTerm("skip", "The output of a block that goes straight to the masks."),
        GlossaryTerm(
            "residual",
            "The output of a block that is added to its input and goes to the next block.",
        ),
        GlossaryTerm("receptive field", "The positions that can influence a value."),
        GlossaryTerm(
            "norm",
            "A layer that brings values to mean 0 and standard deviation 1. It averages over the"
            " whole axis, so every position has a small influence on every other.",
        ),
        GlossaryTerm("activation", "The value of one cell of a layer for the shown mixture."),
        GlossaryTerm("logit", "A value before the sigmoid or the softmax."),
        GlossaryTerm("sigmoid", "Turns any number into one from 0 to 1. It makes the masks."),
        GlossaryTerm(
            "mask",
            "A number from 0 (blocks) to 1 (passes) for each filter and position. Each output has a"
            " mask of its own.",
        ),
        GlossaryTerm(
            "ideal ratio mask",
            "The mask that shares each cell in proportion to the true sources. Also: ideal mask.",
        ),
        GlossaryTerm(
            "decoder",
            "The last layer of the separation. It turns a masked encoding into multiplets.",
        ),
        GlossaryTerm("separated multiplets", "What the decoder makes of mask times encoding."),
        GlossaryTerm(
            "classifier",
            "The layer that gives separated multiplets a probability for each compound.",
        ),
        GlossaryTerm("softmax", "Turns logits into probabilities that add up to 1."),
        GlossaryTerm(
            "output", "A mask and what follows from it: C with slots, K + 1 with queries.", "M"
        ),
        GlossaryTerm(
            "slots",
            "The reference network: C outputs in no fixed order, each with a softmax over the"
            " compounds.",
        ),
        GlossaryTerm(
            "queries",
            "A network with one output for each compound of the library, and one for the unknown.",
        ),
        GlossaryTerm(
            "probability", "How likely a compound is in the mixture, as the network predicts."
        ),
        GlossaryTerm(
            "prediction",
            "What a network computes of one mixture: masks, separated multiplets, probabilities,"
            " amounts.",
        ),
    ),
    "Training": (
        GlossaryTerm("preset", "How a data set is made: library, mixtures, split."),
        GlossaryTerm("recipe", "How a network is trained."),
        GlossaryTerm("step", "One change of the weights, after a batch of mixtures."),
        GlossaryTerm("batch", "The mixtures of one step.", "B"),
        GlossaryTerm("weights", "The numbers that a training changes."),
        GlossaryTerm(
            "loss", "What a training makes smaller: errors of names, multiplets and masks."
        ),
        GlossaryTerm(
            "cross entropy", "The loss of a probability: 0 if the true compound has probability 1."
        ),
        GlossaryTerm(
            "matching",
            "Assigning outputs to sources at the lowest summed cost (permutation-invariant"
            " training).",
        ),
        GlossaryTerm("remix", "Training mixtures with compounds that are combined at random."),
        GlossaryTerm(
            "added noise, added jitter, repeats",
            "What training adds to its mixtures, so that the network does not memorise them.",
        ),
        GlossaryTerm("run", "A training on disk."),
        GlossaryTerm("checkpoint", "One trained network in a file."),
        GlossaryTerm(
            "visit",
            "What one browser does until it is closed. It has one training, and sees its own runs.",
        ),
    ),
    "Judging a network": (
        GlossaryTerm("test mixture", "A mixture whose composition no training has used."),
        GlossaryTerm("compounds right", "The share of the compounds named or mixed that are both."),
        GlossaryTerm(
            "mixtures wholly right", "The share of mixtures with all compounds named, and no other."
        ),
        GlossaryTerm(
            "SI-SDR improvement",
            "How much closer a separated source is to the truth than the mixture was, in decibels."
            " SI-SDR is the scale-invariant signal-to-distortion ratio.",
            "dB",
        ),
        GlossaryTerm(
            "mask distance",
            "The mean absolute difference of the masks from the ideal ratio masks: 0 is ideal.",
        ),
        GlossaryTerm(
            "95 % interval",
            "The range in which the true value lies in 95 of 100 such measurements.",
        ),
        GlossaryTerm(
            "confusion", "One compound named where another is. The confusion matrix counts them."
        ),
        GlossaryTerm(
            "calibration",
            "Fitting a temperature so that, of the predictions with a probability of 80 %, 80 % are"
            " right.",
        ),
        GlossaryTerm(
            "temperature", "The number that divides all logits. Above 1, it lowers the confidence."
        ),
        GlossaryTerm(
            "expected calibration error",
            "The mean difference between a probability and the share of predictions that are true.",
        ),
        GlossaryTerm(
            "receiver operating characteristic",
            "The share of unknown compounds found over the share of false alarms, for every"
            " threshold.",
        ),
        GlossaryTerm(
            "least squares", "The amounts of library compounds whose sum is nearest to the mixture."
        ),
        GlossaryTerm(
            "matching pursuit", "Takes the compound that explains most, subtracts it, and goes on."
        ),
        GlossaryTerm(
            "occlusion", "Emptying one position, to see what the network predicts without it."
        ),
    ),
    "Full scale": (
        GlossaryTerm(
            "amount hypothesis",
            "A compound together with an amount that several of its multiplets agree on.",
        ),
        GlossaryTerm(
            "deviation of a place",
            "How uncertain a multiplet's place in the library is, as a standard deviation in ppm."
            " It is 0 for most; away from pH 7.4 it grows.",
        ),
        GlossaryTerm(
            "occupied share",
            "The share of the ppm axis where a line of the library would find a peak. The larger"
            " it is, the more compounds fit by chance.",
        ),
        GlossaryTerm("threshold", "The least probability at which a compound is named."),
        GlossaryTerm(
            "toy", "The small data: mixtures of 6 peaks at 21 positions, and ten compounds."
        ),
    ),
}
TERMS = {term.name: term for terms in GROUPS.values() for term in terms}


def term(name: str, words: str = "") -> str:
    """Return a Markdown link to a term, titled with its meaning; `words` replace its name.

    Raises
    ------
    ValueError
        If the glossary has no such term.
    """
    if name not in TERMS:
        raise ValueError(f"term is {name!r}; expected one of {', '.join(TERMS)}")
    return f'[{words or name}](glossary#{TERMS[name].anchor} "{TERMS[name].meaning}")'


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
