"""Accuracy of both networks and of classical methods as mixtures get worse or training data fewer, over five seeds (half an hour)."""

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from importlib import resources

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from nmrclassify.baselines.comparison import classical_counts, network_counts, shares_right
from nmrclassify.mixtures.grid import Dataset, MixtureConfig, Mixtures, generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.training.trainer import TrainConfig, Trainer, recipe

# Development used seeds 100 to 102; nothing was tuned on these.
SEEDS = (1, 2, 3, 4, 5)
MIXTURES = 720


@dataclass(frozen=True)
class Sweep:
    """One axis of trouble: its values, how mixtures are made at each, and how far the training's own trouble reaches.

    One network a seed is trained for the whole axis. `known` says whether everyone is told the
    number of compounds; `queries` is what changes in the training of queries alone.
    """

    title: str
    values: tuple[float, ...]
    base: MixtureConfig
    training: dict
    reading: str
    known: bool = True
    queries: dict = field(default_factory=dict)


SWEEPS = {
    "shift_jitter": Sweep(
        "shift jitter (positions)",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0),
        MixtureConfig(),
        {"added_jitter": 1.2},
        "Least squares and pursuit compare with unshifted templates. The likelihood knows how"
        " shifts are distributed, and so, from examples, does the network.",
    ),
    "noise": Sweep(
        "noise (peak area)",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        MixtureConfig(),
        {"added_noise": 0.55},
        "Against white noise on every peak least squares is nearly the best there is; the network"
        " can only come as close.",
        queries={"remix": 1.0, "steps": 1600, "batch_size": 96, "learning_rate": 7e-3},
    ),
    "concentration": Sweep(
        "concentrations up to this many times lower or higher (noise 0.05)",
        (1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
        MixtureConfig(noise=0.05),
        {"concentration_spread": 10.0},
        "A weak compound drowns in the noise for every method alike.",
    ),
    "number": Sweep(
        "compounds in the mixture, number not told (shift jitter 0.2, noise 0.05)",
        (1, 2, 3, 4, 5),
        MixtureConfig(n_sources=5, number_varies=True, noise=0.05, shift_jitter=0.2),
        {"added_noise": 0.05, "added_jitter": 0.2},
        "Nobody is told how many compounds there are: the classical methods get a threshold tuned"
        " on training mixtures.",
        known=False,
    ),
    "training": Sweep(
        "training mixtures (shift jitter 0.4)",
        (10, 30, 76),
        MixtureConfig(shift_jitter=0.4),
        {"added_jitter": 0.4, "steps": 500},
        "Slots see only their own mixtures. Queries may mix the library's compounds anew, and with"
        " that their number hardly matters.",
    ),
}
# Without remixing, training sees no compositions but its own; only there does their number matter.
NETWORKS = {
    "queries": {},
    "queries, own mixtures only": {"remix": 0.0, "repeats": 0.4},
    "slots": {},
}


def _conditions(sweep: str, value: float) -> MixtureConfig:
    base = SWEEPS[sweep].base
    if sweep in ("shift_jitter", "noise"):
        return replace(base, **{sweep: value})
    if sweep == "concentration":
        return replace(base, concentration_low=1 / value, concentration_high=value)
    return base


def _training(sweep: str, kind: str, changes: dict) -> TrainConfig:
    """Return the training of a network for a whole sweep: its own recipe, with trouble on the sweep's axis only."""
    usual = replace(
        recipe("queries" if kind == "queries" else "modern"),
        concentration_spread=1.0,
        added_noise=0.0,
        added_jitter=0.0,
        unknown=0.0,
        own_levels=True,
    )
    own = {"remix": 0.8} | SWEEPS[sweep].queries if kind == "queries" else {}
    return replace(usual, **own | SWEEPS[sweep].training | changes)


def _data(sweep: str, seed: int, n_train: int | None) -> Dataset:
    data = build("quick", seed, SWEEPS[sweep].base)
    return replace(data, train=data.train[:n_train])


def _test(data: Dataset, sweep: str, value: float) -> Mixtures:
    """Make the test mixtures of one point: unseen compositions, each as often as needed, made in the way of the point."""
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
    sweep: str, value: float, method: str, seed: int, found: np.ndarray, true: np.ndarray
) -> dict:
    exact, named = shares_right(found, true)
    return {
        "sweep": sweep,
        "value": value,
        "method": method,
        "seed": seed,
        "exact_match": round(exact, 5),
        "compound_accuracy": round(named, 5),
        "n_mixtures": len(true),
    }


def network(sweep: str, name: str, seed: int, n_train: int | None = None) -> list[dict]:
    """Train one network for a sweep, and measure it at each of the sweep's points (or at one number of training mixtures)."""
    torch.set_num_threads(1)
    kind = name.split(",")[0]
    data, axis = _data(sweep, seed, n_train), SWEEPS[sweep]
    trainer = Trainer(data, _training(sweep, kind, NETWORKS[name]), kind=kind)
    while not trainer.finished:
        trainer.advance()
    rows = []
    for value in axis.values if n_train is None else (n_train,):
        mixtures = _test(data, sweep, value)
        found = network_counts(trainer.model, mixtures, axis.base.n_sources if axis.known else None)
        rows.append(_row(sweep, value, name, seed, found, mixtures.counts))
    return rows


def classical(sweep: str, seed: int) -> list[dict]:
    """Measure the classical methods at each point of a sweep."""
    torch.set_num_threads(1)
    data, rows = _data(sweep, seed, None), []
    for value in SWEEPS[sweep].values:
        mixtures = _test(data, sweep, value)
        for method, found in classical_counts(data, mixtures, _conditions(sweep, value)).items():
            rows.append(_row(sweep, value, method, seed, found, mixtures.counts))
    return rows


def tasks() -> list[tuple]:
    """Return every (function, arguments) of the measurement; they do not depend on each other."""
    found = []
    for sweep, axis in SWEEPS.items():
        for seed in SEEDS:
            found.append((classical, sweep, seed))
            if sweep == "training":
                found += [
                    (network, sweep, name, seed, int(n)) for name in NETWORKS for n in axis.values
                ]
            else:
                found += [(network, sweep, name, seed) for name in ("queries", "slots")]
    return found


def work(task: tuple) -> list[dict]:
    """Run one of `tasks`."""
    return task[0](*task[1:])


def measured() -> pd.DataFrame:
    """Return the table that comes with the package, the result of one `run` on two cores."""
    with resources.files("nmrclassify").joinpath("data/robustness.csv").open() as file:
        return pd.read_csv(file)


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
