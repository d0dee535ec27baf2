"""Training of the network of full scale, on one process or several; it can be interrupted.

Training example i depends on the seed and on i alone, so the number of processes does not change
the batches. Of n processes, process r has the examples i with i % n == r of each batch, and the
gradients are averaged. Workers prepare mixtures and their hypotheses ahead of the steps.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from nmrclassify.config import bounded, check
from nmrclassify.files import TensorFile, tensor_bytes, write_tensors
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import AmountHypotheses, find_hypotheses
from nmrclassify.networks.peak_losses import PeakTruth, objective, peak_truth
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.networks.shift_estimates import SPREADS
from nmrclassify.networks.templates import TOLERANCE, Templates, tolerance_of
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.training.optimiser import (
    expected_tensors,
    load_training_tensors,
    take_step,
    training_tensors,
)

# Of the training's libraries; seeds below 1,000 are for development and reports.
LIBRARY_SEED = 1_000
N_UNKNOWN = 100  # compounds beside each library that it does not hold
FREQUENCIES = (60.0, 80.0, 100.0, 200.0, 300.0, 400.0, 500.0, 700.0, 800.0)  # MHz, beside 600
# Places that are not well known: their deviations in ppm, their share of a library's places, and
# the share of the disturbed mixtures whose library has them.
DEVIATIONS, SHARE_OF_PLACES, SHARE_OF_MIXTURES = (0.004, 0.06), 0.5, 0.2
# Stored in a saved state. Raise it with every change of the examples that a seed gives: a resumed
# training would go on with other ones.
EXAMPLES_VERSION = 2
MAX_STATE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class PeakTrainConfig:
    """Options of a training. Its files store the names."""

    steps: int = bounded(4000, 1, 10_000_000, "optimiser steps")
    batch: int = bounded(4, 1, 4096, "mixtures a step, over all processes")
    learning_rate: float = bounded(
        2e-3, 1e-6, 1.0, "learning rate at its highest; warmed up, then a half cosine"
    )
    weight_decay: float = bounded(1e-4, 0.0, 1.0, "AdamW weight decay")
    libraries: int = bounded(24, 1, 10_000, "synthetic libraries that the mixtures are drawn from")
    # `libraries` draws N_UNKNOWN more; a synthetic library has 10,000 at most.
    compounds: int = bounded(877, 2, 9_900, "compounds of each library")
    n_low: int = bounded(15, 1, 2000, "fewest compounds in a mixture")
    n_high: int = bounded(115, 1, 2000, "most compounds in a mixture")
    seed: int = bounded(7, 0, 2**31, "of weights, libraries and mixtures")
    disturbed: float = bounded(
        0.6,
        0.0,
        1.0,
        "share of mixtures with what spectra do to lists of peaks; see `disturbed_recipe`",
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)
        if not self.n_low <= self.n_high <= self.compounds:
            raise ValueError(
                f"n_low is {self.n_low}, n_high {self.n_high} and compounds {self.compounds};"
                " expected them in ascending order"
            )


@dataclass
class TrainingExample:
    """One mixture, as the network and its loss need it."""

    hypotheses: AmountHypotheses
    truth: PeakTruth

    def to(self, device: torch.device) -> "TrainingExample":
        """Return a copy on a device."""
        return TrainingExample(_moved(self.hypotheses, device), _moved(self.truth, device))


def _moved(record: Any, device: torch.device) -> Any:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    moved = {n: v.to(device) for n, v in values.items() if isinstance(v, (Tensor, Templates))}
    return replace(record, **moved)


def held_and_others(
    config: SyntheticConfig, rng: np.random.Generator
) -> tuple[Compounds, Compounds]:
    """Draw a synthetic library, and `N_UNKNOWN` compounds that it does not hold.

    Some of these are relatives of those that it holds.
    """
    count = config.n_compounds
    drawn = synthetic_compounds(replace(config, n_compounds=count + N_UNKNOWN), rng)
    order = rng.permutation(count + N_UNKNOWN)
    held, others = np.sort(order[:count]), np.sort(order[count:])
    return drawn.select(held.tolist()), drawn.select(others.tolist())


def with_uncertain_places(held: Compounds, rng: np.random.Generator) -> Compounds:
    """Return a library in which `SHARE_OF_PLACES` of the places are not well known."""
    low, high = np.log(DEVIATIONS)
    deviations = np.exp(rng.uniform(low, high, held.n_multiplets))
    return replace(held, deviations=deviations * (rng.random(held.n_multiplets) < SHARE_OF_PLACES))


@lru_cache(maxsize=64)
def libraries(compounds: int, number: int) -> tuple[Compounds, Compounds]:
    """Return synthetic library `number` of the trainings, and compounds that it does not hold.

    A third of the libraries are like fragments, a third like metabolites, a third between.
    """
    config = SyntheticConfig(n_compounds=compounds, metabolites=(number % 3) / 2)
    return held_and_others(config, np.random.default_rng([LIBRARY_SEED, number]))


@lru_cache(maxsize=64)
def library(compounds: int, number: int, is_uncertain: bool = False) -> Compounds:
    """Return synthetic library `number`; if uncertain, some places are not well known."""
    held = libraries(compounds, number)[0]
    if not is_uncertain:
        return held
    return with_uncertain_places(held, np.random.default_rng([LIBRARY_SEED, number, 1]))


@lru_cache(maxsize=64)
def templates(
    compounds: int,
    number: int,
    mhz: float = FULL_AXIS.mhz,
    tolerance: float = TOLERANCE,
    is_uncertain: bool = False,
) -> Templates:
    """Return that library prepared for the full axis at a frequency."""
    axis = replace(FULL_AXIS, mhz=mhz)
    held = library(compounds, number, is_uncertain)
    return Templates.of(held, axis).with_tolerance(tolerance)


def disturbed_recipe(
    recipe: PeakMixtureConfig, rng: np.random.Generator
) -> tuple[PeakMixtureConfig, float]:
    """Change a recipe by what spectra do, each thing with its own probability.

    Fewer compounds, another frequency, a lower resolution, areas of peaks and of multiplets that
    are wrong, compounds that the library does not hold, peaks of noise, and regions that were cut
    out.

    Returns
    -------
    recipe : PeakMixtureConfig
    mhz : float
    """
    changed: dict[str, Any] = {}
    count = recipe.n_high
    if rng.random() < 0.3:
        count = int(np.exp(rng.uniform(0.0, np.log(count + 0.99))))
        changed |= {"n_low": count, "n_high": count}
    mhz = float(rng.choice(FREQUENCIES)) if rng.random() < 0.5 else FULL_AXIS.mhz
    if rng.random() < 0.35:
        changed["resolution"] = float(np.exp(rng.uniform(np.log(0.8), np.log(5.0))))
    if rng.random() < 0.35:
        changed["gain"] = rng.uniform(0.05, 0.25)
    if rng.random() < 0.3:
        changed["multiplet_gain"] = rng.uniform(0.03, 0.2)
    if rng.random() < 0.4:
        changed["n_unknown"] = int(rng.integers(1, 41))
    if rng.random() < 0.35:
        changed["n_false"] = int(np.exp(rng.uniform(0.0, np.log(800.0))))
    if rng.random() < 0.25 and count >= 5:  # fewer could lose all their peaks
        changed["n_cut"] = int(rng.integers(1, 4))
    return replace(recipe, **changed), mhz


def training_example(config: PeakTrainConfig, index: int) -> tuple[int, TrainingExample]:
    """Draw example `index` of a training, and return the number of its library and the example."""
    rng = np.random.default_rng([config.seed, index])
    number = int(rng.integers(config.libraries))
    count = int(rng.integers(config.n_low, config.n_high + 1))

    def between(low: float, high: float) -> float:  # log-uniform
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    recipe = PeakMixtureConfig(
        n_low=count,
        n_high=count,
        jitter=between(0.002, 0.04),
        noise=between(1e-4, 1e-3),
        gain=rng.uniform(0, 0.05),
        common=rng.uniform(0, 1),
        line_error=rng.uniform(0.02, 0.2),
        decades=rng.uniform(1, 2.5),
        n_unknown=int(rng.integers(0, 8)) if rng.random() < 0.3 else 0,
    )
    mhz, is_uncertain = FULL_AXIS.mhz, False
    if config.disturbed and rng.random() < config.disturbed:
        recipe, mhz = disturbed_recipe(recipe, rng)
        is_uncertain = bool(rng.random() < SHARE_OF_MIXTURES)
    axis = replace(FULL_AXIS, mhz=mhz)
    held, unknown = libraries(config.compounds, number)
    if is_uncertain:
        held = library(config.compounds, number, True)
    mixture = draw_mixture(held, recipe, rng, axis, unknown)
    # The spread is estimated, or known, or wrong: the later rounds learn to correct it.
    source, spread = rng.random(), None
    if source >= 0.9:
        spread = float(rng.choice(SPREADS))
    elif source >= 0.7:
        spread = recipe.jitter * 1.1
    tolerance = tolerance_of(mixture.peaks)
    of_library = templates(config.compounds, number, mhz, tolerance, is_uncertain)
    hypotheses = find_hypotheses(of_library, mixture.peaks, spread)
    return number, TrainingExample(hypotheses, peak_truth(mixture, hypotheses))


class _ExampleDataset(Dataset):
    """The examples of one process, as plain tensors, which a worker can send."""

    def __init__(self, config: PeakTrainConfig, start: int, rank: int, world: int):
        self.config = config
        self.indices = [
            i
            for i in range(start * config.batch, config.steps * config.batch)
            if (i % config.batch) % world == rank
        ]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> tuple[tuple, dict, dict]:
        torch.set_num_threads(1)
        number, example = training_example(self.config, self.indices[k])
        tensors = vars(example.hypotheses).copy()
        used = tensors.pop("templates")  # the receiver has them
        is_uncertain = bool(used.deviations.any())
        key = number, used.axis.mhz, used.tolerance, is_uncertain
        return key, tensors, vars(example.truth)


def _only(batch: list) -> Any:
    return batch[0]


def training_examples(
    config: PeakTrainConfig, start: int, rank: int = 0, world: int = 1, workers: int = 1
) -> Iterator[TrainingExample]:
    """Yield the examples of this process from step `start` on.

    Parameters
    ----------
    rank, world : int
        Number of this process, and number of all.
    workers : int
        Processes that prepare the examples; 0 prepares them in this process.
    """
    loader = DataLoader(
        _ExampleDataset(config, start, rank, world),
        batch_size=1,
        collate_fn=_only,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )
    for which, hypotheses, truth in loader:
        yield TrainingExample(
            AmountHypotheses(templates=templates(config.compounds, *which), **hypotheses),
            PeakTruth(**truth),
        )


class _Loss(nn.Module):
    """The mean loss of several examples in one call, as DistributedDataParallel needs it."""

    def __init__(self, network: PeakNetwork):
        super().__init__()
        self.network = network

    def forward(self, batch: list[TrainingExample]) -> tuple[Tensor, dict[str, float]]:
        """Return the loss, and its parts as numbers."""
        losses: list[Tensor] = []
        parts: dict[str, float] = {}
        for example in batch:
            output = self.network(example.hypotheses)
            loss, values = objective(output, example.hypotheses, example.truth)
            losses.append(loss / len(batch))
            for name, value in values.items():
                parts[name] = parts.get(name, 0.0) + value / len(batch)
        return sum(losses[1:], losses[0]), parts


def _copy_weights(source: PeakNetwork, target: PeakNetwork) -> None:
    """Copy all weights.

    Further inputs of `target` get weights of 0, its further rounds those of the last of `source`.

    Raises
    ------
    ValueError
        If a layer of `source` has other outputs than that of `target`, or more inputs, or if
        `source` has more rounds.
    """
    if len(source.rounds) > len(target.rounds):
        raise ValueError(
            f"the network to start from has {len(source.rounds)} rounds; expected at most"
            f" {len(target.rounds)}: choose one of the same sizes"
        )
    available, copied = source.state_dict(), {}
    last = f"rounds.{len(source.rounds) - 1}."
    for name, new in target.state_dict().items():
        old = available[name if name in available else re.sub(r"^rounds\.\d+\.", last, name)]
        if old.shape != new.shape:
            if old.shape[0] != new.shape[0] or old.shape[1] > new.shape[1]:
                raise ValueError(
                    f"{name} of the network to start from is {tuple(old.shape)}; expected"
                    f" {tuple(new.shape)}: choose one of the same sizes"
                )
            old = functional.pad(old, (0, new.shape[1] - old.shape[1]))
        copied[name] = old
    target.load_state_dict(copied)
    target.temperature.fill_(1.0)


class PeakTrainer:
    """Train the network.

    Under `torchrun` it joins the other processes, by NCCL if each has a GPU, by gloo otherwise.

    Parameters
    ----------
    workers : int
        Processes that prepare examples for this one; 0 prepares them between the steps.
    start : PeakNetwork, optional
        A trained network whose weights are those of the start. Inputs that it lacks get weights
        of 0, rounds that it lacks the weights of its last one.

    Attributes
    ----------
    step : int
        Steps done; `run` continues from here.
    seconds, waited : float
        Time of the training, and the part of it in which it waited for examples.

    Raises
    ------
    ValueError
        If the batch is not a multiple of the number of processes, or `start` has other sizes.
    """

    def __init__(
        self,
        config: PeakTrainConfig,
        network: PeakNetworkConfig | None = None,
        workers: int = 1,
        start: PeakNetwork | None = None,
    ):
        self.config, self.workers = config, workers
        self.world = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))
        if config.batch % self.world:
            raise ValueError(
                f"batch is {config.batch}; expected a multiple of the {self.world} processes"
            )
        self.device = torch.device("cpu")
        if torch.cuda.is_available():
            self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
            torch.cuda.set_device(self.device)
        if self.world > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if self.device.type == "cuda" else "gloo")
        torch.manual_seed(config.seed)
        self.network = PeakNetwork(network)
        if start is not None:
            _copy_weights(start, self.network)
        self.network.to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self._loss: nn.Module = _Loss(self.network)
        if self.world > 1:
            # The temperature, a buffer, is set after training: it is equal in all processes.
            self._loss = DistributedDataParallel(self._loss, broadcast_buffers=False)
        self.step = 0
        self.seconds = 0.0
        self.waited = 0.0

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.config.steps

    def _rate(self) -> float:
        """Return the learning rate: a linear rise over 50 steps, then half a cosine."""
        rise = min(1.0, (self.step + 1) / 50)
        fall = 0.01 + 0.99 * 0.5 * (1 + cos(pi * self.step / self.config.steps))
        return self.config.learning_rate * rise * fall

    def train_step(self, batch: list[TrainingExample]) -> dict[str, float]:
        """Take one step on this process' part of a batch.

        Returns
        -------
        dict
            The parts of the loss, and their sum as "loss".
        """
        self.network.train()
        if self.device.type != "cpu":
            batch = [example.to(self.device) for example in batch]
        loss, parts = self._loss(batch)
        take_step(self.optimiser, loss, self._rate(), 1.0, finite=True)
        self.step += 1
        return {"loss": loss.item()} | parts

    def run(
        self,
        report: Callable[[int, dict[str, float]], None] | None = None,
        halt: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train until the last step, or until `halt` returns true.

        Parameters
        ----------
        report : callable, optional
            Called with the number of each step and the parts of its loss.
        halt : callable
            Called before each step.
        """
        share = self.config.batch // self.world
        stream = training_examples(self.config, self.step, self.rank, self.world, self.workers)
        started = time.perf_counter()
        while not self.finished and not halt():
            batch = [next(stream) for _ in range(share)]
            self.waited += time.perf_counter() - started
            parts = self.train_step(batch)
            now = time.perf_counter()
            self.seconds, started = self.seconds + now - started, now
            if report is not None:
                report(self.step, parts)

    def save(self, path: Path) -> None:
        """Write what `resume` needs, atomically; of several processes only the first writes."""
        if self.rank:
            return
        header: dict[str, Any] = {
            "examples_version": EXAMPLES_VERSION,
            "config": asdict(self.config),
            "network": asdict(self.network.config),
        }
        header |= {"step": self.step, "seconds": self.seconds, "waited": self.waited}
        tensors = training_tensors(self.network, self.optimiser, "network")
        tensors = {name: value.cpu() for name, value in tensors.items()}
        write_tensors(path, tensor_bytes(tensors, "state", header))

    @classmethod
    def resume(cls, path: Path, workers: int = 1) -> "PeakTrainer":
        """Continue from a file that `save` wrote, as if there had been no interruption.

        Raises
        ------
        ValueError
            If there is no such file, it is damaged, or its examples are those of another version.
        """
        if not path.is_file():
            raise ValueError(f"no interrupted training at {path}; start one without --resume")
        try:
            file = TensorFile.read(path, "state", MAX_STATE_BYTES)
            version = file.header.get("examples_version")
        except (AttributeError, ValueError) as error:
            raise _damaged(path, error) from error
        if version != EXAMPLES_VERSION:
            raise ValueError(
                f"the state at {path} has examples of version {version}; expected"
                f" {EXAMPLES_VERSION}: finish it with the nmrclassify that wrote it, or start again"
                " without --resume"
            )
        try:
            trainer = cls(
                PeakTrainConfig(**file.header["config"]),
                PeakNetworkConfig(**file.header["network"]),
                workers,
            )
            parts = trainer.network, trainer.optimiser, "network"
            arrays = file.arrays(expected_tensors(file.described, *parts))
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            load_training_tensors(tensors, *parts)
            trainer.step, trainer.seconds, trainer.waited = (
                file.header[name] for name in ("step", "seconds", "waited")
            )
        except (KeyError, TypeError, RuntimeError, AttributeError, ValueError) as error:
            raise _damaged(path, error) from error
        return trainer


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"the state at {path} is damaged ({error}); start again without --resume")
