"""The mixture that the app shows first, and what the shipped model makes of it: what several lessons speak of."""

from dataclasses import dataclass

import numpy as np

from nmrclassify.evaluation.prediction import match_truth
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.training.checkpoints import Checkpoint, shipped

NUMBER = 12  # of the test mixture, counted from 1
STATE = {"n": str(NUMBER)}  # all else as it is by default: the shipped model, metabolites, seed 7


@dataclass(frozen=True)
class Shown:
    """A mixture with all that is known about it.

    Attributes
    ----------
    checkpoint : Checkpoint
    areas : ndarray, shape (P, L)
    sources : ndarray, shape (C, P, L)
        In the order mixed; `truth.sources` has them in the order of the outputs.
    labels, concentrations : ndarray, shape (C,)
    given : Answer
    truth : Truth
    """

    checkpoint: Checkpoint
    areas: np.ndarray
    sources: np.ndarray
    labels: np.ndarray
    concentrations: np.ndarray
    given: Prediction
    truth: Truth

    @property
    def library(self) -> Library:
        """The compounds that are mixed."""
        return self.checkpoint.dataset.library

    @property
    def names(self) -> list[str]:
        """The compounds in the mixture, in the order mixed."""
        return [self.library.names[k] for k in self.labels]

    def output(self, name: str) -> int:
        """Return which output of the network, counted from 0, stands for a compound of the mixture."""
        return int(np.flatnonzero(self.given.named == self.library.names.index(name))[0])

    @property
    def shared(self) -> list[int]:
        """The positions where two or more compounds of the mixture have area."""
        return np.flatnonzero(self.sources.any(axis=1).sum(axis=0) > 1).tolist()


def shown() -> Shown:
    """Run the shipped model on its test mixture number `NUMBER`."""
    checkpoint = shipped()
    made = checkpoint.dataset.test_mixtures()[NUMBER - 1 : NUMBER]
    areas, sources, labels, amounts = (
        made.areas[0],
        made.sources[0],
        made.labels[0],
        made.concentrations[0],
    )
    given = checkpoint.model.predict(areas)
    weight = checkpoint.training.reconstruction_weight
    truth = match_truth(given, areas, sources, labels, weight, concentrations=amounts)
    return Shown(checkpoint, areas, sources, labels, amounts, given, truth)
