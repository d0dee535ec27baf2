"""Training as a stream of immutable snapshots, which the command line and the app both consume."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from nmrclassify.evaluation.calibration import fit_temperature
from nmrclassify.evaluation.filters import FilterPattern, patterns_of
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import generator
from nmrclassify.networks.conv_tasnet import Network, NetworkConfig
from nmrclassify.networks.losses import Objective
from nmrclassify.networks.prediction import Prediction
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training.history import TrainingHistory
from nmrclassify.training.optimiser import (
    OPTIMISERS,
    load_training_tensors,
    take_step,
    training_tensors,
)
from nmrclassify.training.recipes import TrainConfig

VALIDATION_MIXTURES = 500


@dataclass(frozen=True)
class Snapshot:
    """The state of a training at one step; losses are means since the snapshot before."""

    step: int
    steps: int
    seconds: float
    loss: float
    classification: float
    reconstruction: float
    masks: float
    train_accuracy: float
    learning_rate: float
    test: dict  # Evaluation.summary() on the unseen compositions
    pinned: Prediction  # the first unseen mixture
    patterns: list[FilterPattern]  # of the filters

    def row(self) -> dict:
        """Return the scalars, one row of a run's history."""
        keys = (
            "step",
            "seconds",
            "loss",
            "classification",
            "reconstruction",
            "masks",
            "train_accuracy",
            "learning_rate",
        )
        test = {
            f"test_{k}": self.test[k]
            for k in ("compound_accuracy", "exact_match", "si_sdr_improvement_db", "mask_distance")
        }
        return {key: getattr(self, key) for key in keys} | test


_INITIALISING = threading.Lock()


def set_threads() -> None:
    """Use one thread, or the number in the environment variable NMRCLASSIFY_THREADS.

    The operations are so small that several threads are slower: two train three times as
    long as one.
    """
    torch.set_num_threads(int(os.environ.get("NMRCLASSIFY_THREADS", "1")))


def model_for(
    dataset: Dataset, seed: int, kind: str = "slots", config: NetworkConfig | None = None
) -> Network:
    """Return an untrained network; the same seed gives the same weights.

    It has the data set's sizes, or those of `config`.
    """
    network = NETWORKS[kind]
    # Initialisation draws from torch's generator, which all threads share: it is locked, and
    # restored afterwards.
    with _INITIALISING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "weights").integers(2**63)))
        model = network(config or network.sizes_for(dataset))
    model.set_data(dataset)
    model.trained = False
    return model


def sizes_for(dataset: Dataset, kind: str, **changes: Any) -> NetworkConfig:
    """Return the usual sizes of a network for a data set, with changes such as `n_filters=16`."""
    return replace(NETWORKS[kind].sizes_for(dataset), **changes)


class Trainer:
    """A model in training on a data set.

    All randomness is a function of (seed, step), so that a resumed run takes the same steps.

    Parameters
    ----------
    seed : int, optional
        Seeds the initial weights; by default the seed of the data set.
    kind : str
        Which network, a key of `NETWORKS`.
    network : NetworkConfig, optional
        Its sizes; by default the usual ones for the data set.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: TrainConfig,
        seed: int | None = None,
        kind: str = "slots",
        network: NetworkConfig | None = None,
    ):
        self.dataset, self.config = dataset, config
        self.seed = dataset.seed if seed is None else seed
        self.model = model_for(dataset, self.seed, kind, network)
        self.optimiser = OPTIMISERS[config.optimiser](self.model.parameters(), config)
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict] = []
        self.training_history = TrainingHistory(self.model)
        self.training_history.add(0, self.model)
        self._widen = config.augmented(dataset, any_number=self.model.any_number)
        self._test = dataset.test_mixtures()
        self._since: list[tuple[float, ...]] = []

    @property
    def finished(self) -> bool:
        """Whether all steps have been taken."""
        return self.step >= self.config.steps

    def advance(self) -> None:
        """Take one optimiser step."""
        began = time.perf_counter()
        config = self.config
        batch = self.dataset.training_batch(self.step, config.batch_size, self._widen)
        self.model.train()
        weights = config.reconstruction_weight, config.mask_weight
        parts = self.model.objective(batch, *weights)
        take_step(self.optimiser, parts.total(*weights), config.rate(self.step), config.clip_norm)
        self.model.constrain()
        self.model.trained = True
        self._since.append(tuple(part.item() for part in parts))
        self.step += 1
        if self.finished and len(self.dataset.validation):
            fit_temperature(
                self.model, self.dataset.validation_mixtures(VALIDATION_MIXTURES, self._widen)
            )
        if self.finished or self.training_history.due(self.step):
            self.training_history.add(self.step, self.model)
        self.seconds += time.perf_counter() - began

    def snapshot(self) -> Snapshot:
        """Measure the present state, and add it to the history."""
        means = np.mean(self._since, axis=0) if self._since else np.full(4, np.nan)
        parts = Objective(*torch.from_numpy(means))
        snapshot = Snapshot(
            step=self.step,
            steps=self.config.steps,
            seconds=self.seconds,
            loss=parts.total(self.config.reconstruction_weight, self.config.mask_weight).item(),
            classification=parts.classification.item(),
            reconstruction=parts.reconstruction.item(),
            masks=parts.masks.item(),
            train_accuracy=parts.right.item(),
            learning_rate=self.config.rate(max(self.step - 1, 0)),
            test=evaluate(self.model, self._test, self.config.reconstruction_weight).summary(),
            pinned=self.model.predict(self._test.areas[0]),
            patterns=patterns_of(self.model),
        )
        self._since = []
        self.history.append(snapshot.row())
        return snapshot

    def snapshots(
        self, every: int = 10, halt: Callable[[], bool] = lambda: False
    ) -> Iterator[Snapshot]:
        """Train to the end, or until `halt` is true; yield each `every` steps and at the end."""
        while not self.finished and not halt():
            self.advance()
            if self.step % every == 0 or self.finished:
                yield self.snapshot()

    def state(self) -> dict:
        """Return what a resumed training needs besides the data set and the configuration."""
        tensors = training_tensors(self.model, self.optimiser, "model")
        return {
            "tensors": {name: value.detach().clone() for name, value in tensors.items()},
            "step": self.step,
            "seconds": self.seconds,
            "history": list(self.history),
            "since": list(self._since),
        }

    def load_state(self, state: dict) -> None:
        """Continue from what `state` returned.

        Raises
        ------
        ValueError, TypeError, KeyError, RuntimeError
            If it cannot be the state of this training.
        """
        step, rows = state["step"], state["history"]
        if type(step) is not int or not 0 <= step <= self.config.steps:
            raise ValueError(f"its step is {str(step)[:40]}; expected 0 to {self.config.steps:,}")
        if not all(type(row["step"]) is int for row in rows):
            raise ValueError("a row of its history has no whole step")
        if not all(len(row) in (3, 4) for row in state["since"]):
            raise ValueError("its losses are not four numbers a step")
        # Version 0.1 had no mask loss.
        since = [
            tuple(map(float, row if len(row) == 4 else (*row[:2], 0.0, row[2])))
            for row in state["since"]
        ]
        load_training_tensors(state["tensors"], self.model, self.optimiser, "model")
        self.step, self.seconds = step, float(state["seconds"])
        self.model.trained = step > 0
        self.history, self._since = list(rows), since
