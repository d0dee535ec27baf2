"""Mixtures a second of our mask estimator, torchaudio's and asteroid's (2 minutes).

The estimators have the same dimensions. First each peer gets our weights and must give our masks:
all compute the same. One repetition runs each estimator once, and a ratio is the median of the
ratios within repetitions: what slows the machine for a while slows all of them. A training step is
forward, mean squared error of the masks, backward and AdamW. The share of the peak counts the
multiply-adds of our estimator's convolutions, three times in training, against a product of two
1024 x 1024 matrices on as many threads.

The operations are small, and threads that spin while they wait slow them down.
OMP_WAIT_POLICY=passive, set before Python starts, lets threads sleep; the result states its value.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn

from nmrclassify.bench import generation
from nmrclassify.bench._peers import available, copy_weights
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.conv_tasnet import NetworkConfig, Separator
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

SEEDS = (0, 7)  # of torch, and of the mixtures
THREADS = (1, 2)
REPEATS = {1: 61, 32: 21, 256: 15}  # by batch
NETWORK_REPEATS = {1: 31, 64: 9, 256: 5}
MASKS = 3
MATRIX = 1024


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def multiply_adds(config: NetworkConfig, n_masks: int) -> int:
    """Return the multiply-adds of the convolutions of our separator for one mixture."""
    length, width, hidden = config.n_positions, config.n_bottleneck, config.n_hidden
    total = length * config.n_filters * width + length * width * n_masks * config.n_filters
    for i, dilation in enumerate(config.dilations):
        reach = config.kernel // 2
        # No products past the ends of the axis.
        taps = sum(max(0, length - abs(tap) * dilation) for tap in range(-reach, reach + 1))
        outputs = width if i == len(config.dilations) - 1 else 2 * width
        total += length * width * hidden + taps * hidden + length * hidden * outputs
    return total


def matrix_peak(repeats: int = 15) -> float:
    """Return the multiply-adds a second of the best of some matrix products."""
    a, b = torch.rand(2, MATRIX, MATRIX)
    return MATRIX**3 / min(_timed(lambda: torch.mm(a, b)) for _ in range(repeats))


def _ours(separator: Separator) -> Callable[[Tensor], Tensor]:
    return lambda encoding: separator(encoding).masks


def parity(config: NetworkConfig) -> dict[str, float]:
    """Return how far each installed peer, carrying our weights, is from our masks.

    Raises
    ------
    ValueError
        If one is off by more than 1e-5.
    """
    separator, off = Separator(config, MASKS), {}
    with torch.no_grad():
        for parameter in separator.parameters():  # no gain stays 1, no bias 0
            parameter.add_(0.1 * torch.randn_like(parameter))
        encoding = torch.randn(8, config.n_filters, config.n_positions)
        ours = separator(encoding.transpose(1, 2)).masks.transpose(2, 3)
        for name, peer in available(config, MASKS)[0].items():
            copy_weights(separator, name, peer)
            off[name] = (peer(encoding) - ours).abs().max().item()
            if off[name] > 1e-5:
                raise ValueError(
                    f"{name} with our weights is {off[name]:.1e} off our masks; expected the same"
                    " to 1e-5"
                )
    return off


def _contender(
    call: Callable[[Tensor], Tensor], model: nn.Module, encoding: Tensor
) -> dict[str, Callable]:
    """Return a training step and an inference on a batch."""
    optimiser = torch.optim.AdamW(model.parameters())
    target = torch.rand_like(call(encoding).detach())

    def train() -> None:
        optimiser.zero_grad()
        (call(encoding) - target).square().mean().backward()
        optimiser.step()

    @torch.inference_mode()
    def infer() -> None:
        call(encoding)

    return {"training": train, "inference": infer}


def _estimators(config: NetworkConfig, threads: int, batch: int) -> list[dict]:
    """Time our separator and the peers; returns a row for training and one for inference."""
    encoding = torch.randn(batch, config.n_filters, config.n_positions)
    separator = Separator(config, MASKS)
    contenders = {
        "ours": _contender(_ours(separator), separator, encoding.transpose(1, 2).contiguous())
    }
    contenders |= {
        name: _contender(peer, peer, encoding) for name, peer in available(config, MASKS)[0].items()
    }
    seconds: dict[str, dict[str, list[float]]] = {
        what: {name: [] for name in contenders} for what in ("training", "inference")
    }
    peak, order = 0.0, list(contenders)
    for turn in range(REPEATS[batch] + 2):
        if turn % 5 == 0:
            peak = max(peak, matrix_peak(3))
        order = order[1:] + order[:1]  # the order changes
        for what, times in seconds.items():
            for name in order:
                duration = _timed(contenders[name][what])
                if turn > 1:  # the first two warm up
                    times[name].append(duration)
    rows = []
    for what, times in seconds.items():
        row = {"threads": threads, "batch": batch, "what": what}
        row |= {
            f"{name}_per_second": round(batch / statistics.median(durations))
            for name, durations in times.items()
        }
        for name in contenders:
            if name != "ours":
                ratio = statistics.median(
                    theirs / ours for theirs, ours in zip(times[name], times["ours"], strict=False)
                )
                row[f"over_{name}"] = round(ratio, 2)
        work = (
            multiply_adds(config, MASKS)
            * (3 if what == "training" else 1)
            * batch
            / statistics.median(times["ours"])
        )
        rows.append(
            row | {"share_of_peak": round(work / peak, 3), "peak_gflops": round(2 * peak / 1e9, 1)}
        )
    return rows


def _networks(threads: int, batch: int) -> list[dict]:
    """Time whole networks: a step of training with its mixtures, and the prediction of a batch."""
    data = build("quick", SEEDS[1])
    calls: dict[str, dict[str, Callable[[], object]]] = {}
    for kind, network in NETWORKS.items():
        config = replace(recipe(network.usual_recipe), batch_size=batch)
        trainer = Trainer(data, config, kind=kind)
        areas = torch.from_numpy(data.training_batch(0, batch).areas)
        infer = torch.inference_mode()(partial(trainer.model, areas))
        calls[kind] = {"training": trainer.advance, "inference": infer}
    seconds: dict[str, dict[str, list[float]]] = {
        kind: {"training": [], "inference": []} for kind in calls
    }
    for turn in range(NETWORK_REPEATS[batch] + 2):
        for kind, times in seconds.items():
            for what, durations in times.items():
                value = _timed(calls[kind][what])
                if turn > 1:
                    durations.append(value)
    rows = []
    for kind, times in seconds.items():
        rates = {
            f"{what}_per_second": round(batch / statistics.median(durations))
            for what, durations in times.items()
        }
        rows.append({"threads": threads, "batch": batch, "network": kind} | rates)
    return rows


def run() -> dict:
    """Return mixtures a second (medians), ratios to installed peers, and which are missing."""
    config = NetworkConfig()
    estimators, networks = [], []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEEDS[0])
        off = parity(config)
        for threads in THREADS:
            with _threads(threads):
                for batch in REPEATS:
                    estimators += _estimators(config, threads, batch)
                for batch in NETWORK_REPEATS:
                    networks += _networks(threads, batch)
    with _threads(1):
        generated = generation.run()
    return {
        "mask_estimators": estimators,
        "whole_networks": networks,
        "mixtures_made_per_second": generated["quick_mixtures_per_second"],
        "largest_difference_with_our_weights": off,
        "missing": available(config, MASKS)[1],
        "multiply_adds_a_mixture": multiply_adds(config, MASKS),
        "repeats": REPEATS,
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY", "not set"),
    }
