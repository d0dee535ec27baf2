"""Training at full scale: synthetic libraries and mixtures without end, one process or several, resumable.

Case i of a training depends on (seed, i) alone, so any number of processes sees the same batches:
rank r of n takes the cases i with i % n == r of each batch, and the gradients are averaged.
Mixtures and their hypotheses are prepared by workers ahead of the steps that use them.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from math import cos, pi
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from nmrclassify.config import bounded, check
from nmrclassify.files import TensorFile, tensor_bytes, write_tensors
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import (
    SPREADS,
    AmountHypotheses,
    Templates,
    find_hypotheses,
)
from nmrclassify.networks.peak_losses import PeakTruth, objective, peak_truth
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
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
MAX_STATE_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class PeakTrainConfig:
    """How the network at full scale is trained."""

    steps: int = bounded(4000, 1, 10_000_000, "optimiser steps")
    batch: int = bounded(4, 1, 4096, "mixtures a step, over all processes")
    learning_rate: float = bounded(
        2e-3, 1e-6, 1.0, "learning rate at its highest; warmed up, then a half cosine"
    )
    weight_decay: float = bounded(1e-4, 0.0, 1.0, "AdamW weight decay")
    libraries: int = bounded(24, 1, 10_000, "synthetic libraries that the mixtures are drawn from")
    compounds: int = bounded(877, 2, 20_000, "compounds of each library")
    n_low: int = bounded(15, 1, 2000, "fewest compounds in a mixture")
    n_high: int = bounded(115, 1, 2000, "most compounds in a mixture")
    seed: int = bounded(7, 0, 2**31, "of weights, libraries and mixtures")

    def __post_init__(self):
        check(self)
        if not self.n_low <= self.n_high <= self.compounds:
            raise ValueError(
                f"mixtures of {self.n_low} to {self.n_high} of {self.compounds} compounds; expected"
                " low, high, and no more than all"
            )


@dataclass
class TrainingExample:
    """One mixture ready for the network."""

    hypotheses: AmountHypotheses
    truth: PeakTruth

    def to(self, device: torch.device) -> "TrainingExample":
        """Return the case on a device."""
        return TrainingExample(_moved(self.hypotheses, device), _moved(self.truth, device))


def _moved(record: Any, device: torch.device) -> Any:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    return type(record)(
        **{n: v.to(device) if isinstance(v, (Tensor, Templates)) else v for n, v in values.items()}
    )


@lru_cache(maxsize=64)
def library(compounds: int, number: int) -> Compounds:
    """Return synthetic library `number` of the trainings; they run from fragments to metabolites."""
    rng = np.random.default_rng([LIBRARY_SEED, number])
    return synthetic_compounds(
        SyntheticConfig(n_compounds=compounds, metabolites=(number % 3) / 2), rng
    )


@lru_cache(maxsize=64)
def templates(compounds: int, number: int) -> Templates:
    """Return that library made ready for the full axis."""
    return Templates.of(library(compounds, number), FULL_AXIS)


def case(config: PeakTrainConfig, index: int) -> tuple[int, TrainingExample]:
    """Draw case `index` of a training: its library's number, and the mixture with its truth."""
    rng = np.random.default_rng([config.seed, index])
    number = int(rng.integers(config.libraries))
    count = int(rng.integers(config.n_low, config.n_high + 1))

    def between(low: float, high: float) -> float:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))))

    recipe = PeakMixtureConfig(
        n_low=count, n_high=count, jitter=between(0.002, 0.04), noise=between(1e-4, 1e-3), gain=rng.uniform(0, 0.05),
        common=rng.uniform(0, 1), line_error=rng.uniform(0.02, 0.2), decades=rng.uniform(1, 2.5),
        n_unknown=min(config.compounds, int(rng.integers(0, 8))) if rng.random() < 0.3 else 0,
    )  # fmt: skip
    unknown = library(config.compounds, (number + 1) % max(2, config.libraries))
    mixture = draw_mixture(library(config.compounds, number), recipe, rng, FULL_AXIS, unknown)
    # Now and then the spread is given, or wrong: later rounds see for themselves.
    given = rng.random()
    spread = (
        None if given < 0.7 else recipe.jitter * 1.1 if given < 0.9 else float(rng.choice(SPREADS))
    )
    hypotheses = find_hypotheses(templates(config.compounds, number), mixture.peaks, spread)
    return number, TrainingExample(hypotheses, peak_truth(mixture, hypotheses))


class _Cases(Dataset):
    """The cases of one process, as plain tensors: what workers can send."""

    def __init__(self, config: PeakTrainConfig, start: int, rank: int, world: int):
        self.config = config
        self.indices = [
            i
            for i in range(start * config.batch, config.steps * config.batch)
            if (i % config.batch) % world == rank
        ]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, k: int) -> tuple[int, dict, dict]:
        torch.set_num_threads(1)
        number, made = case(self.config, self.indices[k])
        hypotheses = {
            f.name: getattr(made.hypotheses, f.name)
            for f in fields(AmountHypotheses)
            if f.name != "templates"
        }
        return number, hypotheses, vars(made.truth)


def _alone(batch: list) -> Any:
    return batch[0]


def cases(
    config: PeakTrainConfig, start: int, rank: int = 0, world: int = 1, workers: int = 1
) -> Iterator[TrainingExample]:
    """Yield this process' cases from step `start` on, prepared by `workers` other processes (0: in this one)."""
    # Many small tensors a case: by file name, not by descriptor, of which a process has few.
    loader = DataLoader(
        _Cases(config, start, rank, world), batch_size=1, collate_fn=_alone, num_workers=workers,
        prefetch_factor=8 if workers else None, multiprocessing_context="spawn" if workers else None,
    )  # fmt: skip
    for number, hypotheses, truth in loader:
        yield TrainingExample(
            AmountHypotheses(templates=templates(config.compounds, number), **hypotheses),
            PeakTruth(**truth),
        )


class _Loss(nn.Module):
    """The mean loss of several cases in one call, as DistributedDataParallel needs it."""

    def __init__(self, network: PeakNetwork):
        super().__init__()
        self.network = network

    def forward(self, batch: list[TrainingExample]) -> tuple[Tensor, dict[str, float]]:
        total, parts = 0.0, {}
        for item in batch:
            loss, shares = objective(self.network(item.hypotheses), item.hypotheses, item.truth)
            total = total + loss / len(batch)
            for name, value in shares.items():
                parts[name] = parts.get(name, 0.0) + value / len(batch)
        return total, parts


class PeakTrainer:
    """Train the network; `run` goes on from `step`.

    Under `torchrun` it joins the other processes (NCCL with a GPU each, gloo otherwise); the device
    is chosen automatically.

    Parameters
    ----------
    config : PeakTrainConfig
    network : PeakNetworkConfig, optional
    workers : int
        Processes that prepare mixtures for this one; 0 prepares them between the steps.

    Raises
    ------
    ValueError
        If the batch is not a multiple of the number of processes.
    """

    def __init__(
        self, config: PeakTrainConfig, network: PeakNetworkConfig | None = None, workers: int = 1
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
        self.network = PeakNetwork(network).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), config.learning_rate, weight_decay=config.weight_decay
        )
        self._loss = _Loss(self.network)
        if self.world > 1:
            # The temperature is set after training, and is alike in all processes.
            self._loss = DistributedDataParallel(self._loss, broadcast_buffers=False)
        self.step = 0
        self.seconds = 0.0
        self.waited = 0.0  # of them for mixtures

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.config.steps

    def _rate(self) -> float:
        warm = min(1.0, (self.step + 1) / 50)
        return (
            self.config.learning_rate
            * warm
            * (0.01 + 0.99 * 0.5 * (1 + cos(pi * self.step / self.config.steps)))
        )

    def train_step(self, batch: list[TrainingExample]) -> dict[str, float]:
        """Take one step on this process' share of a batch; returns the parts of the loss, and their sum as "loss"."""
        self.network.train()
        loss, parts = self._loss(
            [item.to(self.device) if self.device.type != "cpu" else item for item in batch]
        )
        take_step(self.optimiser, loss, self._rate(), 1.0, finite=True)
        self.step += 1
        return {"loss": loss.item()} | parts

    def run(
        self,
        report: Callable[[int, dict[str, float]], None] | None = None,
        halt: Callable[[], bool] = lambda: False,
    ) -> None:
        """Train until the last step, or until `halt` says so; `report` gets each step and its loss."""
        share = self.config.batch // self.world
        stream = cases(self.config, self.step, self.rank, self.world, self.workers)
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
        """Write all that `resume` needs, atomically; only the first of several processes writes."""
        if self.rank:
            return
        header = {"config": asdict(self.config), "network": asdict(self.network.config)}
        header |= {"step": self.step, "seconds": self.seconds, "waited": self.waited}
        tensors = training_tensors(self.network, self.optimiser, "network")
        tensors = {name: value.cpu() for name, value in tensors.items()}
        write_tensors(path, tensor_bytes(tensors, "state", header))

    @classmethod
    def resume(cls, path: Path, workers: int = 1) -> "PeakTrainer":
        """Go on from a file that `save` wrote, as if the training had never been interrupted.

        Raises
        ------
        ValueError
            If there is no such file, or it is damaged.
        """
        if not path.is_file():
            raise ValueError(f"no interrupted training at {path}; start one without --resume")
        try:
            file = TensorFile.read(path, "state", MAX_STATE_BYTES)
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
            raise ValueError(
                f"the state at {path} is damaged ({error}); start again without --resume"
            ) from error
        return trainer
