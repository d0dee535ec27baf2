"""Training as a stream of immutable snapshots, which the command line and the app both consume."""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from nmrclassify.config import bounded, bounds, check
from nmrclassify.evaluation.calibration import fit_temperature
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.evaluation.prediction import Prediction, predict
from nmrclassify.mixtures.dataset import Augmentation, Dataset
from nmrclassify.mixtures.grid import MixtureConfig, generator
from nmrclassify.networks.conv_tasnet import Network, NetworkConfig, Queries, Slots, rms
from nmrclassify.networks.losses import OBJECTIVES
from nmrclassify.training.history import TrainingHistory

OPTIMISERS = {
    "adamw": lambda parameters, c: torch.optim.AdamW(
        parameters, lr=c.learning_rate, weight_decay=c.weight_decay
    ),
    "adam": lambda parameters, c: torch.optim.Adam(
        parameters, lr=c.learning_rate, weight_decay=c.weight_decay
    ),
    "sgd": lambda parameters, c: torch.optim.SGD(
        parameters, lr=c.learning_rate, momentum=c.momentum, weight_decay=c.weight_decay
    ),
}
MODELS = {"queries": Queries, "slots": Slots}
SCHEDULES = ("one cycle", "constant")


@dataclass(frozen=True)
class TrainConfig:
    """How the network is trained; the defaults learn within about a minute."""

    optimiser: str = "adamw"
    learning_rate: float = bounded(3e-3, 1e-6, 1.0, "step size of the optimiser")
    momentum: float = bounded(0.0, 0.0, 0.999, "momentum of SGD")
    weight_decay: float = bounded(1e-2, 0.0, 1.0, "weight decay")
    schedule: str = "one cycle"
    batch_size: int = bounded(64, 1, 512, "mixtures a step")
    steps: int = bounded(700, 1, 50_000, "optimiser steps")
    reconstruction_weight: float = bounded(
        1.0, 0.0, 100.0, "weight of the separated multiplets' error in the loss"
    )
    clip_norm: float = bounded(1.0, 1e-3, 1e6, "gradients longer than this are shortened to it")
    # Augmentation widens the training mixtures only: with their few compositions alone the network
    # learns them by heart.
    concentration_spread: float = bounded(
        1.5, 1.0, 10.0, "training concentrations are drawn this many times lower or higher"
    )
    repeats: float = bounded(
        0.4,
        0.0,
        1.0,
        "share of training mixtures in which a compound gives way to a repeat of another",
    )
    added_noise: float = bounded(
        0.05, 0.0, 1.0, "noise added in training, relative to the library's mean multiplet area"
    )
    added_jitter: float = bounded(0.0, 0.0, 3.0, "shift jitter added in training, in positions")
    remix: float = bounded(
        0.0,
        0.0,
        1.0,
        "share of training mixtures whose compounds are drawn anew; never a kept composition",
    )
    unknown: float = bounded(
        0.0, 0.0, 1.0, "share of training mixtures with a compound from outside the library"
    )
    own_levels: bool = False  # each training mixture weakens spread, jitter and noise on its own

    def __post_init__(self):
        check(self)
        for name, value, known in (
            ("optimiser", self.optimiser, OPTIMISERS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; expected one of {', '.join(known)}")

    def augmented(self, dataset: Dataset, any_number: bool = False) -> Augmentation:
        """Return how training mixtures are made: the data set's own way, widened; `any_number` frees their number of compounds."""
        areas = dataset.library.areas.sum(axis=1)
        # Where queries count portions of one compound, its amount is what tells them: it has to
        # stay what it is.
        counts_portions = any_number and dataset.config.repetition
        own, spread = dataset.config, 1.0 if counts_portions else self.concentration_spread
        mixing = replace(
            own,
            concentration_low=max(
                own.concentration_low / spread, bounds(MixtureConfig, "concentration_low").low
            ),
            concentration_high=min(
                own.concentration_high * spread, bounds(MixtureConfig, "concentration_high").high
            ),
            noise=min(float(np.hypot(own.noise, self.added_noise * areas[areas > 0].mean())), 1.0),
            shift_jitter=min(float(np.hypot(own.shift_jitter, self.added_jitter)), 3.0),
        )
        return Augmentation(
            mixing, self.repeats, self.remix, any_number, self.unknown, self.own_levels
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step: constant, or 5 % linear warm-up and a half cosine down to zero."""
        if self.schedule == "constant":
            return self.learning_rate
        done, warm = (step + 1) / self.steps, 0.05
        if done < warm:
            return self.learning_rate * done / warm
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm)))


# 1,000 epochs over the original preset's 10 mixtures, one a step: the design document's three
# optimisers.
_ORIGINAL = TrainConfig(
    "sgd",
    1e-2,
    0.0,
    1e-5,
    "constant",
    batch_size=1,
    steps=10_000,
    clip_norm=1e6,
    concentration_spread=1.0,
    repeats=0.0,
    added_noise=0.0,
)
_QUERIES = TrainConfig(
    learning_rate=5e-3,
    steps=1000,
    concentration_spread=2.0,
    repeats=0.0,
    added_noise=0.15,
    added_jitter=0.5,
    remix=0.7,
    unknown=0.3,
    own_levels=True,
)
DEFAULT_RECIPES = {"queries": "queries", "slots": "modern"}
VALIDATION_MIXTURES = 500
RECIPES = {
    "modern": TrainConfig(),
    # For mixtures that vary in concentration already: they need less noise, and more steps.
    "long": TrainConfig(
        learning_rate=1e-2, steps=3000, concentration_spread=1.0, repeats=0.4, added_noise=0.02
    ),
    # Queries need no few compositions to be stretched: theirs are drawn anew. Each mixture has its
    # own share of trouble.
    "queries": _QUERIES,
    # Made the shipped model.
    "thorough": replace(_QUERIES, steps=3000),
    "sgd": _ORIGINAL,
    "momentum": replace(_ORIGINAL, learning_rate=1e-4, momentum=0.99),
    "adam": replace(_ORIGINAL, optimiser="adam", learning_rate=1e-4),
}


def recipe(name: str) -> TrainConfig:
    """Return the training recipe called `name`.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in RECIPES:
        raise ValueError(f"recipe is {name!r}; expected one of {', '.join(RECIPES)}")
    return RECIPES[name]


@dataclass(frozen=True)
class Snapshot:
    """The state of a training at one step. Losses and `train_accuracy` are means since the snapshot before."""

    step: int
    steps: int
    seconds: float
    loss: float
    classification: float
    reconstruction: float
    train_accuracy: float
    learning_rate: float
    test: dict  # Evaluation.summary() on the unseen compositions
    pinned: Prediction  # the first unseen mixture

    def row(self) -> dict:
        """Return the scalars, one row of a run's history."""
        keys = (
            "step",
            "seconds",
            "loss",
            "classification",
            "reconstruction",
            "train_accuracy",
            "learning_rate",
        )
        test = {
            f"test_{k}": self.test[k]
            for k in ("compound_accuracy", "exact_match", "si_sdr_improvement_db")
        }
        return {key: getattr(self, key) for key in keys} | test


_INITIALISING = threading.Lock()


def set_threads() -> None:
    """Use one thread, or as many as the environment variable NMRCLASSIFY_THREADS says.

    The operations are so small that sharing them out costs more than it brings: two threads train
    three times slower.
    """
    torch.set_num_threads(int(os.environ.get("NMRCLASSIFY_THREADS", "1")))


def model_for(dataset: Dataset, seed: int, kind: str = "slots") -> Network:
    """Return an untrained network of the data set's sizes; the same seed gives the same weights."""
    areas, config = dataset.library.areas, dataset.config
    if kind == "slots":
        sizes = NetworkConfig(
            areas.shape[0],
            areas.shape[2],
            areas.shape[1],
            config.n_sources,
            nothing=config.number_varies,
        )
    else:
        sizes = NetworkConfig(
            areas.shape[0],
            areas.shape[2],
            areas.shape[1],
            config.n_sources if config.repetition else 1,
        )
    # Initialisation draws from torch's generator, which all threads share: one at a time, and put
    # back as it was.
    with _INITIALISING, torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(generator(seed, "weights").integers(2**63)))
        model = MODELS[kind](sizes)
    if kind == "queries":
        model.set_library(torch.from_numpy(areas))
    else:
        model.reference.copy_(rms(torch.from_numpy(dataset.training_set().areas)).mean())
    return model


class Trainer:
    """A model in training on a data set. All randomness is a function of (seed, step), so a resumed run is the same run.

    Parameters
    ----------
    dataset : Dataset
    config : TrainConfig
    seed : int, optional
        Seeds the initial weights; the data set's own seed where not given.
    kind : str
        Which network, a key of `MODELS`.
    """

    def __init__(
        self, dataset: Dataset, config: TrainConfig, seed: int | None = None, kind: str = "slots"
    ):
        self.dataset, self.config = dataset, config
        self.seed = dataset.seed if seed is None else seed
        self.model = model_for(dataset, self.seed, kind)
        self.optimiser = OPTIMISERS[config.optimiser](self.model.parameters(), config)
        self.step = 0
        self.seconds = 0.0
        self.history: list[dict] = []
        self.training_history = TrainingHistory(self.model)
        self.training_history.add(0, self.model)
        self._widen = config.augmented(dataset, any_number=kind == "queries")
        self._test = dataset.test_mixtures()
        self._since: list[tuple[float, float, float]] = []

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
        classification, reconstruction, right = OBJECTIVES[self.model.kind](
            self.model, batch, config.reconstruction_weight
        )
        loss = classification + config.reconstruction_weight * reconstruction
        for group in self.optimiser.param_groups:
            group["lr"] = config.rate(self.step)
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        self.optimiser.step()
        self._since.append((classification.item(), reconstruction.item(), right.item()))
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
        classification, reconstruction, accuracy = (
            np.mean(self._since, axis=0) if self._since else (float("nan"),) * 3
        )
        snapshot = Snapshot(
            step=self.step,
            steps=self.config.steps,
            seconds=self.seconds,
            loss=float(classification + self.config.reconstruction_weight * reconstruction),
            classification=float(classification),
            reconstruction=float(reconstruction),
            train_accuracy=float(accuracy),
            learning_rate=self.config.rate(max(self.step - 1, 0)),
            test=evaluate(self.model, self._test, self.config.reconstruction_weight).summary(),
            pinned=predict(self.model, self._test.areas[0]),
        )
        self._since = []
        self.history.append(snapshot.row())
        return snapshot

    def snapshots(
        self, every: int = 10, halt: Callable[[], bool] = lambda: False
    ) -> Iterator[Snapshot]:
        """Train to the end, yielding a snapshot each `every` steps and at the last; `halt` is asked before each step."""
        while not self.finished and not halt():
            self.advance()
            if self.step % every == 0 or self.finished:
                yield self.snapshot()

    def state(self) -> dict:
        """Return what a resumed training needs besides the data set and the configuration."""
        optimiser = self.optimiser.state_dict()["state"]
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        for index, moments in optimiser.items():
            tensors |= {
                f"optimiser.{index}.{name}": torch.as_tensor(v)
                for name, v in moments.items()
                if v is not None
            }
        return {
            "tensors": {name: value.detach().clone() for name, value in tensors.items()},
            "step": self.step,
            "seconds": self.seconds,
            "history": list(self.history),
            "since": list(self._since),
        }

    def load_state(self, state: dict) -> None:
        """Continue from what `state` returned."""
        tensors = state["tensors"]
        self.model.load_state_dict(
            {n.removeprefix("model."): v for n, v in tensors.items() if n.startswith("model.")}
        )
        moments: dict[int, dict] = {}
        for name, value in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = value.clone()
        self.optimiser.load_state_dict(
            {"state": moments, "param_groups": self.optimiser.state_dict()["param_groups"]}
        )
        self.step, self.seconds = state["step"], state["seconds"]
        self.history, self._since = list(state["history"]), [tuple(row) for row in state["since"]]
