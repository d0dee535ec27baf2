"""Accuracy of networks and classical methods on disturbed mixtures, five seeds (half an hour).

The last sweep varies the number of training mixtures.
"""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nmrclassify.baselines.comparison import classical_counts, network_counts
from nmrclassify.evaluation.metrics import shares_right
from nmrclassify.evaluation.robustness import MIXTURES, NETWORKS, SEEDS, SWEEPS
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig, Mixtures, generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.moved import moved_name
from nmrclassify.networks import registry
from nmrclassify.training.recipes import TrainConfig, recipe
from nmrclassify.training.trainer import Trainer


def _conditions(sweep: str, value: float) -> MixtureConfig:
    base = SWEEPS[sweep].base
    if sweep == "shift_jitter":
        return replace(base, shift_jitter=value)
    if sweep == "noise":
        return replace(base, noise=value)
    if sweep == "concentration":
        return replace(base, concentration_low=1 / value, concentration_high=value)
    return base


def _training(sweep: str, kind: str, changes: dict) -> TrainConfig:
    """Return the recipe of a network, with augmentation by the disturbance of the sweep only."""
    network = registry.NETWORKS[kind]
    usual = replace(
        recipe(network.usual_recipe),
        concentration_spread=1.0,
        added_noise=0.0,
        added_jitter=0.0,
        unknown=0.0,
        own_levels=True,
    )
    of_queries = {"remix": 0.8} | SWEEPS[sweep].queries if network.any_number else {}
    return replace(usual, **of_queries | SWEEPS[sweep].training | changes)


def _data(sweep: str, seed: int, n_train: int | None) -> Dataset:
    data = build("quick", seed, SWEEPS[sweep].base)
    return replace(data, train=data.train[:n_train])


def _test(data: Dataset, sweep: str, value: float) -> Mixtures:
    """Make the test mixtures of one value of a sweep, of the unseen compositions in turn."""
    rows = data.test
    if sweep == "number":
        rows = rows[(rows < data.library.n_compounds).sum(axis=1) == value]
    rows = rows[np.arange(max(MIXTURES, len(rows))) % len(rows)]
    return mix(
        data.library,
        rows,
        _conditions(sweep, value),
        generator(data.seed, "test", int(1000 * value)),
    )


def _row(
    sweep: str, value: float, method: str, seed: int, predicted: np.ndarray, true: np.ndarray
) -> dict:
    exact, compounds = shares_right(predicted, true)
    return {
        "sweep": sweep,
        "value": value,
        "method": method,
        "seed": seed,
        "exact_match": round(exact, 5),
        "compound_accuracy": round(compounds, 5),
        "n_mixtures": len(true),
    }


def network(sweep: str, name: str, seed: int, n_train: int | None = None) -> list[dict]:
    """Train one network and measure it at each value of a sweep, or at `n_train` only."""
    torch.set_num_threads(1)
    kind = name.split(",")[0]
    data, axis = _data(sweep, seed, n_train), SWEEPS[sweep]
    trainer = Trainer(data, _training(sweep, kind, NETWORKS[name]), kind=kind)
    while not trainer.finished:
        trainer.advance()
    rows = []
    for value in axis.values if n_train is None else (n_train,):
        mixtures = _test(data, sweep, value)
        predicted = network_counts(
            trainer.model, mixtures, axis.base.n_sources if axis.known else None
        )
        rows.append(_row(sweep, value, name, seed, predicted, mixtures.counts))
    return rows


def classical(sweep: str, seed: int) -> list[dict]:
    """Measure the classical methods at each value of a sweep."""
    torch.set_num_threads(1)
    data, rows = _data(sweep, seed, None), []
    for value in SWEEPS[sweep].values:
        mixtures = _test(data, sweep, value)
        counts = classical_counts(data, mixtures, _conditions(sweep, value))
        for method, predicted in counts.items():
            rows.append(_row(sweep, value, method, seed, predicted, mixtures.counts))
    return rows


def tasks() -> list[tuple]:
    """Return every (function, arguments) of the measurement; they do not depend on each other."""
    calls: list[tuple] = []
    for sweep, axis in SWEEPS.items():
        for seed in SEEDS:
            calls.append((classical, sweep, seed))
            if sweep == "training":
                calls += [
                    (network, sweep, name, seed, int(n)) for name in NETWORKS for n in axis.values
                ]
            else:
                calls += [(network, sweep, name, seed) for name in ("queries", "slots")]
    return calls


def work(task: tuple) -> list[dict]:
    """Run one of `tasks`."""
    return task[0](*task[1:])


def run() -> dict:
    """Return one row for each sweep, value, method and seed, as `table`."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    rows = []
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(work, task) for task in tasks()]
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="training", file=sys.stderr):
            rows += job.result()
    order = {name: i for i, name in enumerate(SWEEPS)}
    rows.sort(key=lambda row: (order[row["sweep"]], row["value"], row["method"], row["seed"]))
    return {"seeds": list(SEEDS), "table": rows}


def __getattr__(name: str) -> Any:
    """Return a name that programs of version 0.1 import from here."""
    return moved_name("bench.robustness", name)
