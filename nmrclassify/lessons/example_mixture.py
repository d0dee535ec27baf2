"""The mixture that the app shows first, with the prediction of the packaged queries."""

from dataclasses import dataclass

import numpy as np

from nmrclassify.evaluation.prediction import match_truth
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.training.checkpoints import Checkpoint, shipped

NUMBER = 12  # of the test mixture, counted from 1
SPEC = MixtureSpec(number=NUMBER)
STATE = SPEC.link() | {"model": "queries"}


@dataclass(frozen=True)
class ExampleMixture:
    """A mixture, its truth and the prediction of a model.

    Attributes
    ----------
    areas : ndarray, shape (P, L)
    sources : ndarray, shape (C, P, L)
        In the order mixed; `truth.sources` has them in the order of the outputs.
    labels, concentrations : ndarray, shape (C,)
    """

    checkpoint: Checkpoint
    areas: np.ndarray
    sources: np.ndarray
    labels: np.ndarray
    concentrations: np.ndarray
    prediction: Prediction
    truth: Truth

    @property
    def library(self) -> Library:
        """The library that the mixture is made from."""
        return self.checkpoint.dataset.library

    @property
    def names(self) -> list[str]:
        """The compounds in the mixture, in the order mixed."""
        return [self.library.names[k] for k in self.labels]

    @property
    def shared(self) -> list[int]:
        """The positions where two or more compounds of the mixture have area."""
        return np.flatnonzero(self.sources.any(axis=1).sum(axis=0) > 1).tolist()

    def output(self, name: str) -> int:
        """Return the output of the network, counted from 0, for a compound of the mixture."""
        return int(np.flatnonzero(self.prediction.named == self.library.names.index(name))[0])


def example_mixture() -> ExampleMixture:
    """Run the packaged queries on the mixture of `SPEC`."""
    checkpoint = shipped("queries")
    mixtures = checkpoint.dataset.test_mixtures()[NUMBER - 1 : NUMBER]
    areas, sources = mixtures.areas[0], mixtures.sources[0]
    labels, amounts = mixtures.labels[0], mixtures.concentrations[0]
    prediction = checkpoint.model.predict(areas)
    weight = checkpoint.training.reconstruction_weight
    truth = match_truth(prediction, areas, sources, labels, weight, concentrations=amounts)
    return ExampleMixture(checkpoint, areas, sources, labels, amounts, prediction, truth)
