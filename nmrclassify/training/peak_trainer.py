"""Training of the network of full scale, on one process or several; it can be interrupted.

The examples are those of `peak_examples`. The gradients of the processes are averaged.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict
from math import cos, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from nmrclassify.files import TensorFile, tensor_bytes, write_tensors
from nmrclassify.networks.peak_losses import objective
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.training.optimiser import (
    expected_tensors,
    load_training_tensors,
    take_step,
    training_tensors,
)
from nmrclassify.training.peak_examples import (
    EXAMPLES_VERSION,
    PeakTrainConfig,
    TrainingExample,
    training_examples,
)

MAX_STATE_BYTES = 64 * 1024 * 1024


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
