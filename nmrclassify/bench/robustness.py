"""Accuracy of networks and classical methods on disturbed mixtures, five seeds (hours).

One network for each seed is trained on all disturbances at once and measured on all sweeps. Only
the last sweep, over the number of training mixtures, has networks of its own. With `--cache` a
bench that was stopped goes on where it was; with `--seeds` several processes share one.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from nmrclassify.baselines.comparison import classical_counts, counts_of_result
from nmrclassify.baselines.likelihood import Likelihood
from nmrclassify.bench._parallel import run_all
from nmrclassify.evaluation.calibration import given_number, reliability
from nmrclassify.evaluation.metrics import Evaluation, evaluate, shares_right
from nmrclassify.evaluation.robustness import (
    DISTURBED,
    MIXTURES,
    ONE_FOR_ALL,
    OWN_TRAINING,
    SEEDS,
    SWEEPS,
)
from nmrclassify.evaluation.unknown import unknown_test_compounds
from nmrclassify.files import write_atomically
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import (
    MixtureConfig,
    Mixtures,
    generator,
    mix,
    shift_multiplets,
    with_unknown,
)
from nmrclassify.mixtures.presets import build
from nmrclassify.moved import moved_name
from nmrclassify.networks.registry import NETWORKS as KINDS
from nmrclassify.training.recipes import TrainConfig, recipe
from nmrclassify.training.trainer import Trainer

CONFIDENT = 0.9  # a statement with at least this probability
OWN_SHARE = 0.1  # of the mixtures, for a network of the sweep of training mixtures


def _conditions(sweep: str, value: float) -> MixtureConfig:
    base = SWEEPS[sweep].base
    if sweep == "shift_jitter":
        return replace(base, shift_jitter=value)
    if sweep == "noise":
        return replace(base, noise=value)
    if sweep == "concentration":
        return replace(base, concentration_low=1 / value, concentration_high=value)
    return base


def _training(name: str, share: float, changes: dict) -> TrainConfig:
    """Return the recipe of a network, for `share` of the mixtures of the recipe of queries.

    All networks train on as many mixtures, with the disturbances of the recipe of queries.
    """
    queries = recipe("disturbed")
    usual = queries if _kind(name) == "queries" else recipe("modern")
    disturbances = {
        key: getattr(queries, key)
        for key in (
            "concentration_spread",
            "added_noise",
            "added_jitter",
            "added_common_shift",
            "unknown",
            "own_levels",
        )
    }
    steps = max(1, round(share * queries.steps * queries.batch_size / usual.batch_size))
    return replace(usual, steps=steps, **disturbances | changes)


def _kind(name: str) -> str:
    return name.split(",")[0].split()[0]


def _data(sweep: str, seed: int) -> Dataset:
    return build("quick", seed, SWEEPS[sweep].base)


def shifted_to_either_side(mixtures: Mixtures, shift: float, rng: np.random.Generator) -> Mixtures:
    """Shift all multiplets of each mixture by `shift` positions, up or down at random."""
    sides = rng.choice((-shift, shift), len(mixtures))[:, None, None]  # (B, 1, 1)
    sources = mixtures.sources
    shifts = np.broadcast_to(sides, (*sources.shape[:2], sources.shape[-1]))
    moved = shift_multiplets(sources, shifts).astype(np.float32)
    return replace(mixtures, areas=moved.sum(axis=1), sources=moved)


def _test(data: Dataset, sweep: str, value: float) -> Mixtures:
    """Make the test mixtures of one value of a sweep, of the unseen compositions in turn."""
    rows, rng = data.test, generator(data.seed, "test", int(1000 * value))
    if sweep == "number":
        sizes = (rows < data.library.n_compounds).sum(axis=1)
        # The networks trained on triples of the same library: their own test triples are unseen.
        rows = _data("noise", data.seed).test if value == 3 else rows[sizes == value]
    rows = rows[np.arange(max(MIXTURES, len(rows))) % len(rows)]
    mixtures = mix(data.library, rows, _conditions(sweep, value), rng)
    if sweep == "common_shift":
        return shifted_to_either_side(mixtures, value, rng)
    if sweep == "unknown" and value:
        unknown = unknown_test_compounds(data.library, len(rows), data.seed)
        return with_unknown(mixtures, unknown, np.full(len(rows), value))
    return mixtures


def _calibration(result: Evaluation, given: int | None) -> dict:
    """Return the calibration error, and the share of wrong among confidently named compounds.

    Queries that are given the number of compounds state the probabilities for this number.
    """
    if given is not None:
        result = replace(result, presence=given_number(result.presence, given))
    stated, right = result.statements(named=True)
    sure = right[stated >= CONFIDENT]
    error = reliability(*result.statements()).expected_calibration_error
    return {
        "calibration_error": round(error, 5),
        "confident_wrong": round(float(1 - sure.mean()), 5) if len(sure) else None,
    }


def _row(
    sweep: str,
    value: float,
    method: str,
    seed: int,
    predicted: np.ndarray,
    true: np.ndarray,
    calibration: dict | None = None,
    trained_on: str = "",
) -> dict:
    exact, compounds = shares_right(predicted, true)
    return {
        "sweep": sweep,
        "value": value,
        "method": method,
        "seed": seed,
        "exact_match": round(exact, 5),
        "compound_accuracy": round(compounds, 5),
        **(calibration or {"calibration_error": None, "confident_wrong": None}),
        "n_mixtures": len(true),
        "trained_on": trained_on,
        "number_known": SWEEPS[sweep].known,
    }


def _trained(
    name: str, seed: int, share: float, n_train: int | None = None, **changes: float
) -> tuple[Trainer, str]:
    """Train a network; return it, and in words what it was trained on."""
    torch.set_num_threads(1)
    kind, data, config = _kind(name), build("quick", seed), _training(name, share, changes)
    data = replace(data, train=data.train[:n_train])
    sizes = KINDS[kind].sizes_for(data)
    if name == "queries without least squares":
        sizes = replace(sizes, least_squares_features=False)
    trainer = Trainer(data, config, kind=kind, network=sizes)
    while not trainer.finished:
        trainer.advance()
    words = f"{config.steps * config.batch_size} mixtures of {len(data.train)} triples"
    random = " and random compositions" if config.remix else ""
    return trainer, f"{words}{random}, {DISTURBED}"


def _measured(trainer: Trainer, sweep: str, value: float, name: str, words: str) -> dict:
    axis, seed = SWEEPS[sweep], trainer.seed
    mixtures = _test(_data(sweep, seed), sweep, value)
    result = evaluate(trainer.model, mixtures)
    given = axis.base.n_sources if axis.known and trainer.model.any_number else None
    counts = counts_of_result(result, given)
    return _row(
        sweep, value, name, seed, counts, mixtures.counts, _calibration(result, given), words
    )


def network(name: str, seed: int, share: float) -> list[dict]:
    """Train one network and measure it at each value of all sweeps but the last.

    Slots cannot state how many compounds there are: they take no part where the number varies.
    """
    trainer, words = _trained(name, seed, share)
    return [
        _measured(trainer, sweep, value, name, words)
        for sweep, axis in SWEEPS.items()
        if sweep != "training" and (axis.known or trainer.model.any_number)
        for value in axis.values
    ]


def own_training(name: str, seed: int, share: float, n_train: int) -> list[dict]:
    """Train one network on `n_train` compositions, and measure it at that value of the sweep."""
    trainer, words = _trained(name, seed, OWN_SHARE * share, n_train, **OWN_TRAINING[name])
    return [_measured(trainer, "training", n_train, name, words)]


def classical(sweep: str, seed: int, share: float) -> list[dict]:
    """Measure the classical methods at each value of a sweep; `share` has no effect."""
    torch.set_num_threads(1)
    data, rows = _data(sweep, seed), []
    for value in SWEEPS[sweep].values:
        mixtures = _test(data, sweep, value)
        counts = classical_counts(data, mixtures, _conditions(sweep, value))
        if sweep == "common_shift":
            counts["exhaustive"] = _most_likely_at_either_side(data, mixtures, value)
        for method, predicted in counts.items():
            rows.append(_row(sweep, value, method, seed, predicted, mixtures.counts))
    return rows


def _most_likely_at_either_side(data: Dataset, mixtures: Mixtures, shift: float) -> np.ndarray:
    """Return the counts of the likeliest composition where both sides are as likely, (B, K)."""
    library = data.library
    candidates = np.concatenate([data.train, data.validation, data.test])
    sides = [
        Likelihood(
            replace(
                library,
                areas=shift_multiplets(
                    library.areas,
                    np.full((library.n_compounds, library.axis.n_positions), side),
                ).astype(np.float32),
            ),
            candidates,
            data.config,
        )
        for side in (-shift, shift)
    ]
    density = np.logaddexp(*(side.log_likelihood(mixtures.areas) for side in sides))
    return sides[0].counts[density.argmax(axis=1)]


def tasks(seeds: Sequence[int] = SEEDS, share: float = 1.0) -> list[tuple]:
    """Return every (function, arguments) of the measurement; they do not depend on each other.

    `share` of the mixtures of the recipes is trained on: 1, or less for a trial.
    """
    calls: list[tuple] = []
    for seed in seeds:
        calls += [(network, name, seed, share) for name in ONE_FOR_ALL]
        calls += [(classical, sweep, seed, share) for sweep in SWEEPS]
        calls += [
            (own_training, name, seed, share, int(n))
            for name in OWN_TRAINING
            for n in SWEEPS["training"].values
        ]
    return calls


def work(task: tuple, cache: Path | None = None) -> list[dict]:
    """Run one of `tasks`, or read its rows from the folder `cache`, where it leaves them."""
    function, *arguments = task
    if cache is None:
        return function(*arguments)
    # A changed recipe is another task.
    recipes = [repr(recipe(name)) for name in ("disturbed", "modern")]
    digest = hashlib.sha256("".join(recipes).encode()).hexdigest()[:8]
    words = [function.__name__, *map(str, arguments), digest]
    path = cache / ("-".join(words).replace(" ", "_") + ".json")
    if path.exists():
        return json.loads(path.read_text())
    rows = function(*arguments)
    cache.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(rows).encode())
    return rows


def run(seeds: Sequence[int] = SEEDS, cache: Path | None = None, share: float = 1.0) -> dict:
    """Return one row for each sweep, value, method and seed, as `table`."""
    parts = run_all([(work, (task, cache)) for task in tasks(seeds, share)], "task")
    rows = [row for part in parts for row in part]
    order = {name: i for i, name in enumerate(SWEEPS)}
    rows.sort(key=lambda row: (order[row["sweep"]], row["value"], row["method"], row["seed"]))
    return {"seeds": list(seeds), "table": rows}


def __getattr__(name: str) -> Any:
    """Return a name that programs of version 0.1 import from here."""
    return moved_name("bench.robustness", name)
