"""What a network predicts for one mixture or for a batch, and the truth beside it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np

MAX_SHOWN = 8  # outputs of one prediction


def percent(probability: float) -> str:
    """Return a probability for reading; one that is nearly 1 is not rounded up to 100 %."""
    return "over 99.9 %" if probability > 0.999 else f"{probability:.1%}".replace("%", " %")


def listing(items: list[str]) -> str:
    """Return "a", "a and b" or "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


class OutputNames:
    """The names of a network's outputs and classes; the network and its predictions share them.

    Attributes
    ----------
    kind : str
        Names the network in files, in links and on the command line.
    class_k : str
        What class K stands for, the one after the K compounds of the library.
    outputs_are_classes : bool
        Whether output k always stands for class k. Otherwise the outputs have no fixed order, and
        are matched to the sources of a mixture.
    presence_title, about_presence : str
        What `Network.presence` is: for an axis, and in a sentence, which is empty if it needs none.
    """

    kind: ClassVar[str]
    class_k: ClassVar[str]
    outputs_are_classes: ClassVar[bool]
    presence_title: ClassVar[str]
    about_presence: ClassVar[str]

    @classmethod
    def class_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of the K compounds, and of class K."""
        return (*names, cls.class_k)

    @classmethod
    def output_name(cls, output: int, names: tuple[str, ...]) -> str:
        """Return the name of an output, counted from 0: its class, or its number."""
        if cls.outputs_are_classes:
            return cls.class_names(names)[output]
        return f"output {output + 1}"


@dataclass(frozen=True)
class Pairing:
    """The sources of a mixture in the order of a prediction's outputs.

    Attributes
    ----------
    labels : ndarray, shape (M,)
        The compound of each output's source; K where there is no source, or an unknown compound.
    right : ndarray, shape (M,), bool
    sources : ndarray, shape (M, P, L)
    pairing, classification, reconstruction : ndarray, shapes (M,), (M, C), (M, C), or None
        Where outputs are matched to sources: the source of each output, and the costs of pairing
        output i with source j, sources in the order mixed, filled up with empty ones to M.
    """

    labels: np.ndarray
    right: np.ndarray
    sources: np.ndarray
    pairing: np.ndarray | None = None
    classification: np.ndarray | None = None
    reconstruction: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class Truth(Pairing):
    """The true composition of a mixture, in the order of a prediction's outputs.

    Attributes
    ----------
    si_sdr_improvement : ndarray, shape (M,)
        dB; NaN where there is nothing to improve.
    counts : ndarray, shape (K,), int
        How often the mixture holds each compound.
    amounts : ndarray, shape (K,), or None
        Concentration of each compound.
    unknown : bool
        Whether the mixture holds something that is not in the library.
    unshown_labels : ndarray, shape (U,)
        The compounds of the mixture that stand beside no output; K for an unknown compound.
    unshown : ndarray, shape (U, P, L)
        Their areas.
    """

    si_sdr_improvement: np.ndarray
    counts: np.ndarray
    unshown_labels: np.ndarray
    unshown: np.ndarray
    amounts: np.ndarray | None = None
    unknown: bool = False

    @cached_property
    def present(self) -> np.ndarray:
        """Indices of the compounds in the mixture."""
        return np.flatnonzero(self.counts)


@dataclass(frozen=True)
class Prediction(OutputNames, ABC):
    """What a network predicts for one mixture, as arrays; M outputs are shown.

    Attributes
    ----------
    encoding : ndarray, shape (N, L)
    masks, separated_encodings : ndarray, shape (M, N, L)
    multiplets : ndarray, shape (M, P, L)
    named : ndarray, shape (M,), int
        The class of each output; K stands for `class_k`.
    probabilities : ndarray, shape (outputs, classes) or (1, classes)
        Of each class, for each output; in one row where outputs are classes.
    counts : ndarray, shape (K,), int
        How often each compound is predicted.
    amounts : ndarray, shape (K,), or None
        Concentration of each compound; None where the network predicts no amounts.
    trained : bool
        Whether the network is trained.
    """

    encoding: np.ndarray
    masks: np.ndarray
    separated_encodings: np.ndarray
    multiplets: np.ndarray
    named: np.ndarray
    probabilities: np.ndarray
    counts: np.ndarray
    amounts: np.ndarray | None = None
    trained: bool = True

    @property
    def output_classes(self) -> np.ndarray:
        """The class that each output stands for, shape (M,).

        It is -1 in an untrained network, which names nothing, unless outputs are classes.
        """
        known = self.trained or self.outputs_are_classes
        return self.named if known else np.full_like(self.named, -1)

    @property
    @abstractmethod
    def confidence(self) -> np.ndarray:
        """Probability of each output's class, shape (M,)."""

    @property
    @abstractmethod
    def outputs(self) -> np.ndarray:
        """Which of the network's outputs are shown, shape (M,)."""

    @property
    def unknown(self) -> float | None:
        """Probability that the mixture holds something that is not in the library, if predicted."""
        return None

    @property
    def predicts_unknown(self) -> bool:
        """Whether the network predicts something that is not in the library."""
        return self.unknown is not None and self.unknown > 0.5

    @property
    def n_more(self) -> int:
        """Number of predicted compounds that no output shows."""
        return 0

    @abstractmethod
    def match(
        self, sources: np.ndarray, labels: np.ndarray, weight: float, unknown: np.ndarray | None
    ) -> Pairing:
        """Match the outputs to the sources (C, P, L) of the mixture, as `match_truth`."""

    def all_right(self, truth: Truth) -> bool:
        """Whether every compound is predicted as often as it is there, and nothing else is.

        Of something unknown, only where the network predicts that.
        """
        unknown = self.unknown is None or self.predicts_unknown == truth.unknown
        return unknown and np.array_equal(self.counts, truth.counts)

    @abstractmethod
    def statements(self, names: tuple[str, ...]) -> list[str]:
        """Return the compound and its probability, in words, for each output that names one."""

    def summary(self, names: tuple[str, ...]) -> str:
        """Return all that is predicted, in words."""
        statements = self.statements(names)
        more = [f"{self.n_more} more"] if self.n_more else []
        return listing(statements + more) if statements else "no compound of the library"

    @abstractmethod
    def describe_missed(self, compound: int, names: tuple[str, ...], truth: Truth) -> str:
        """Return in words how probable a compound is that was mixed in and is not predicted."""

    def describe_mistakes(self, names: tuple[str, ...], truth: Truth) -> str:
        """Return in words what is found, missed and invented in a prediction with mistakes."""
        found = int(np.minimum(self.counts, truth.counts).sum())
        missed, invented, n_missed, n_invented = [], [], 0, 0
        for k in np.flatnonzero(self.counts != truth.counts).tolist():
            more = int(truth.counts[k] - self.counts[k])
            n_missed, n_invented = n_missed + max(more, 0), n_invented + max(-more, 0)
            if not self.counts[k]:
                missed.append(f"{names[k]}: {self.describe_missed(k, names, truth)}")
            elif more > 0:
                missed.append(f"{more} more {names[k]}")
            else:
                invented.append(f"{-more} more {names[k]}" if truth.counts[k] else names[k])
        if self.unknown is not None and (self.predicts_unknown or truth.unknown):
            if self.predicts_unknown and truth.unknown:
                found += 1
            elif truth.unknown:
                missed.append(f"something unknown: {percent(self.unknown)}")
                n_missed += 1
            else:
                invented.append("something unknown")
                n_invented += 1
        parts = [f"{found} of {found + n_missed} found"] + [
            f"{n} {word} ({items})"
            for n, word, items in (
                (n_missed, "missed", "; ".join(missed)),
                (n_invented, "invented", ", ".join(invented)),
            )
            if n
        ]
        return f"{', '.join(parts)}. The network predicts {self.summary(names)}."


class Scores(NamedTuple):
    """What a network predicts for B mixtures, beside the truth.

    Either `predicted` and `matched` are arrays, of a network whose outputs are matched to sources,
    or `counts` is.
    """

    predicted: np.ndarray | None  # (B, C) class of each output
    matched: np.ndarray | None  # (B, C) class of its source
    counts: np.ndarray | None  # (B, K) how often each compound is predicted
    output_probabilities: np.ndarray | None  # (B, C) probability of each output's class
    presence: np.ndarray  # (B, K) probability of each compound
    unknown: np.ndarray | None  # (B,) probability of something that is not in the library
    confidence: np.ndarray  # (B,) probability of the least certain statement
    mask_distance: np.ndarray  # (B, M) of each mask from the ideal one; NaN without a source
