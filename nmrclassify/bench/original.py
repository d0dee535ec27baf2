"""What the recipe of 2022 printed and what it was worth, and what each repair brings, over five seeds (about 20 minutes).

The first rows train the package's `Slots` network as the first public version did, for 1,000 epochs
over ten mixtures, one at a time, with its faults (`nmrclassify.faults`) put back in: arrays of (L,
P) reshaped to (P, L) instead of transposed, a softmax before the cross entropy, output i compared
with the i-th compound that was mixed, and no other loss. Further rows take the faults out one after
the other.

What is not on record is assumed: the network is this package's, not the code of 2022; compounds
stand in a mixture in a random order, drawn once; a test compound counts as correct where output i
names it, as in the loss. Sextets are Pascal's.

`Slots` has a ReLU before its classifier, which the design document does not mention. With some
initial weights it lets hardly anything through, and the network goes on to name the same compounds
in all mixtures. Such trainings stay in the means; each row of one mixture a step counts them as
`stuck`, and gives the means of the other seeds beside them.
"""

import multiprocessing
import os
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import t as student_t
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap
from tqdm import tqdm

from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.networks import conv_tasnet as networks
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.slots import Slots
from nmrclassify.training.optimiser import OPTIMISERS
from nmrclassify.training.original_model_2022 import (
    NO_FAULTS,
    REPORTED,
    Faults,
    costs_along,
    naming_the_commonest,
    printed,
    reshaped,
)
from nmrclassify.training.recipes import TrainConfig, recipe
from nmrclassify.training.trainer import Trainer, model_for

# Development used seeds 100 to 102; nothing was tuned on these.
SEEDS = (1, 2, 3, 4, 5)
EPOCHS = 1000
UNSEEDED = 5
RECIPES_2022 = {"2022, SGD": "sgd", "2022, momentum": "momentum", "2022, Adam": "adam"}
METRICS = ("compound_accuracy", "exact_match")
# On the mixtures trained on; the ten test mixtures of 2022; all compositions that a row does not
# train on; and those of them that no row trains on, the same for all rows, which is what rows are
# compared on.
JOB_QUEUE = ("training", "test", "untrained", "unseen")

# Each repair is added to those before.
REPAIRS = {
    "2022, Adam": Faults(),
    "transposed instead of reshaped": Faults(reshaped=False),
    "no softmax before the cross entropy": Faults(reshaped=False, softmaxed=False),
    "outputs matched to compounds, and reconstruction in the loss": NO_FAULTS,
}
# Preset, recipe and network of the rows that have no fault left.
MODERN = {
    "recipe modern on the same ten mixtures": ("original", "modern", "slots"),
    "70 % of the compositions to train on": ("quick", "modern", "slots"),
    "a query for each compound instead of slots": ("quick", "queries", "queries"),
}


@dataclass(frozen=True)
class Member:
    """One training of 2022: on the data of `seed`, with weights and order of mixtures from `start`."""

    seed: int
    faults: Faults
    start: int

    def dataset(self) -> Dataset:
        """Return the data; as everything is linear without noise, reshaping the library reshapes every mixture."""
        data = build("original", self.seed)
        return replace(data, library=reshaped(data.library)) if self.faults.reshaped else data


class _Shifts:
    """Stands in for the model's depthwise convolution, which `torch.func.vmap` cannot take apart; the same sums."""

    @staticmethod
    def apply(x: Tensor, weight: Tensor, dilation: int) -> Tensor:  # (B, L, C), (kernel, C)
        reach = len(weight) // 2 * dilation
        padded = F.pad(x, (0, 0, reach, reach))
        return sum(
            padded[:, tap * dilation : tap * dilation + x.shape[1]] * w
            for tap, w in enumerate(weight)
        )


class _Stack:
    """Networks that train side by side, each on its own data with its own faults, one mixture a step: one pass for all.

    At a batch of one nearly all time goes into starting operations, and so twenty trainings take
    two or three times as long as one. Members share nothing: `check` compares one with the
    package's own training.
    """

    def __init__(self, members: list[Member], config: TrainConfig):
        self.members, self.data = members, [member.dataset() for member in members]
        self.models = [
            model_for(data, member.start) for data, member in zip(self.data, members, strict=False)
        ]
        self.parameters, self.buffers = stack_module_state(self.models)
        self.optimiser = OPTIMISERS[config.optimiser](self.parameters.values(), config)
        self.train, self.test = [self._mixed(part) for part in ("train", "test")]
        faults = [member.faults for member in members]
        self.softmaxed = torch.tensor([fault.softmaxed for fault in faults])[:, None, None]
        self.unmatched = np.array([fault.unmatched for fault in faults])
        # The recipe of 2022 only classified.
        self.weight = torch.from_numpy(
            np.where(self.unmatched, 0.0, config.reconstruction_weight)
        ).float()[:, None, None]

    def _mixed(self, part: str) -> tuple[Tensor, Tensor, Tensor]:
        """Return areas (E, n, P, L), sources (E, n, C, P, L) and labels (E, n, C) of the E members."""
        made = []
        for data in self.data:
            rng = generator(data.seed, "view")
            rows = {name: rng.permuted(getattr(data, name), axis=1) for name in ("train", "test")}
            made.append(mix(data.library, rows[part], data.config, rng))
        return tuple(
            torch.from_numpy(np.stack([getattr(m, name) for m in made]))
            for name in ("areas", "sources", "labels")
        )

    def _run(
        self, areas: Tensor
    ) -> tuple[Tensor, Tensor]:  # (E, B, P, L) -> (E, B, C, K), (E, B, C, P, L)
        def one(parameters: dict, buffers: dict, mixture: Tensor) -> tuple[Tensor, Tensor]:
            logits, separation = functional_call(self.models[0], (parameters, buffers), (mixture,))
            return logits, separation.multiplets

        with mock.patch.object(networks, "DepthwiseShifts", _Shifts):
            return vmap(one)(self.parameters, self.buffers, areas)

    def _step(self, rows: np.ndarray) -> None:
        areas, sources, labels = (part[np.arange(len(rows)), rows] for part in self.train)
        logits, multiplets = (part.squeeze(1) for part in self._run(areas[:, None]))
        costs = costs_along(
            logits, multiplets, labels, sources, self.weight, self.softmaxed, self.unmatched
        )  # (E, C)
        # The members share no weight: the gradient of the sum is the gradient of each.
        loss = costs.total(self.weight[..., 0]).mean(1).sum()
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()

    def epoch(self, number: int) -> np.ndarray:
        """Train for one epoch; return the share of the test compounds that output i names in place i, shape (E,)."""
        n = len(self.data[0].train)
        for rows in np.stack(
            [generator(member.start, "order", number).permutation(n) for member in self.members],
            axis=1,
        ):
            self._step(rows)
        areas, _, labels = self.test
        with torch.no_grad():
            return (self._run(areas)[0].argmax(-1) == labels).double().mean((1, 2)).numpy()

    def stuck(self) -> np.ndarray:
        """Return which members name the same compounds in all test mixtures now, shape (E,)."""
        with torch.no_grad():
            named = self._run(self.test[0])[0].argmax(-1)
        return (named == named[:, :1]).flatten(1).all(1).numpy()

    def unstacked(self) -> list[Slots]:
        """Return the networks as they are now."""
        for i, model in enumerate(self.models):
            model.load_state_dict(
                {name: value[i] for name, value in (self.parameters | self.buffers).items()}
            )
        return self.models


def _compositions(data: Dataset) -> dict[str, np.ndarray]:
    """Return the compositions of each of `PLACES`."""
    original, quick = build("original", data.seed), build("quick", data.seed)
    everything = np.concatenate([quick.train, quick.validation, quick.test])

    def without(*parts: np.ndarray) -> np.ndarray:
        return everything[~np.isin(data.keys(everything), data.keys(np.concatenate(parts)))]

    return dict(
        zip(
            JOB_QUEUE,
            (data.train, original.test, without(data.train), without(original.train, quick.train)),
            strict=False,
        )
    )


def _measure(model: Network, data: Dataset) -> dict:
    """Return compound accuracy under the best matching, and exact match, in each of `PLACES`."""
    found = {}
    for place, rows in _compositions(data).items():
        summary = evaluate(
            model, mix(data.library, rows, data.config, generator(data.seed, "test"))
        ).summary()
        found |= {f"{place}_{key}": summary[key] for key in METRICS} | {f"{place}_n": len(rows)}
    return found


def stacked(rows: dict[str, Faults], optimiser: str, unseeded: list[int]) -> list[dict]:
    """Train all `rows` with all seeds by the recipe of 2022; and once more from each of the starts `unseeded`."""
    torch.set_num_threads(1)
    members = {
        name: [Member(seed, faults, seed) for seed in SEEDS] for name, faults in rows.items()
    }
    members |= {"unseeded": [Member(SEEDS[0], Faults(), start) for start in unseeded]}
    began = time.perf_counter()
    stack = _Stack([member for group in members.values() for member in group], recipe(optimiser))
    shares = np.stack([stack.epoch(number) for number in range(EPOCHS)])  # (epochs, E)
    seconds, stuck = time.perf_counter() - began, stack.stuck()
    names = [name for name, group in members.items() for _ in group]
    runs = []
    for i, (name, member, data, model) in enumerate(
        zip(names, stack.members, stack.data, stack.unstacked(), strict=False)
    ):
        share = shares[:, i]
        run = {
            "row": name,
            "seed": member.seed,
            "stuck": bool(stuck[i]),
            "seconds": seconds / len(names),
        }
        run |= {"trained_at_once": len(names), "steps": EPOCHS * len(data.train)}
        run |= {"in_order": float(share.mean()), "in_order_at_end": float(share[-1])}
        # Compounds right / mixtures, so up to 3, and the mean of that over all epochs.
        runs.append(
            run | {"printed": printed(share, data.config.n_sources)} | _measure(model, data)
        )
    return runs


def modern(name: str, seed: int) -> list[dict]:
    """Train one row of `MODERN` with one seed."""
    torch.set_num_threads(1)
    preset, how, kind = MODERN[name]
    trainer = Trainer(build(preset, seed), recipe(how), kind=kind)
    while not trainer.finished:
        trainer.advance()
    run = {
        "row": name,
        "seed": seed,
        "seconds": trainer.seconds,
        "trained_at_once": 1,
        "steps": trainer.step,
    }
    return [run | _measure(trainer.model, trainer.dataset)]


def _weights(model: Network) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def check(epochs: int = 3) -> dict:
    """Compare the stack with the package's own training, and two trainings from one seed with each other.

    Raises
    ------
    ValueError
        If the stack without faults does not train as `Trainer` does, or one seed gives two results.
    """
    torch.set_num_threads(1)
    members, config = (
        [Member(seed, faults, seed) for seed in SEEDS[:2] for faults in REPAIRS.values()],
        recipe("sgd"),
    )
    stacks = [_Stack(members, config) for _ in range(2)]
    for stack in stacks:
        for number in range(epochs):
            stack.epoch(number)
    first, again = ([_weights(model) for model in stack.unstacked()] for stack in stacks)
    if not all(torch.equal(a, b) for a, b in zip(first, again, strict=False)):
        raise ValueError(
            "the same seeds gave two results; expected the same weights to the last bit"
        )
    off = 0.0
    for member, data, weights in zip(members, stacks[0].data, first, strict=False):
        if not any(member.faults):
            trainer = Trainer(data, config)
            for _ in range(epochs * len(data.train)):
                trainer.advance()
            off = max(off, (_weights(trainer.model) - weights).abs().max().item())
    if off > 1e-4:
        raise ValueError(
            f"the stack's weights are {off:.1e} off those of the package's own training; expected"
            " below 1e-4"
        )
    same = {
        "same_seed_twice": "the same weights to the last bit",
        "largest_difference_from_trainer": off,
    }
    return same | {"epochs_compared": epochs}


def _interval(values: list[float], low: float = -1.0) -> dict:
    """Return the mean and its 95 % t interval, within the values that are possible."""
    mean, n = statistics.mean(values), len(values)
    half = float(student_t.ppf(0.975, n - 1)) * statistics.stdev(values) / n**0.5
    return {
        "mean": round(mean, 4),
        "ci95": [round(max(mean - half, low), 4), round(min(mean + half, 1.0), 4)],
    }


def _summary(name: str, runs: list[dict], before: list[dict]) -> dict:
    """Return one row of a table: means over the seeds, and the gain on the row before, seed by seed."""
    row = {"row": name, "n_unseen": runs[0]["unseen_n"]}
    row |= {
        f"{place}_{key}": _interval([run[f"{place}_{key}"] for run in runs], 0.0)
        for place in JOB_QUEUE
        for key in METRICS
    }
    if before:
        for key in (f"unseen_{metric}" for metric in METRICS):
            row[f"brings_{key}"] = _interval(
                [new[key] - old[key] for old, new in zip(before, runs, strict=False)]
            )
    if "stuck" in runs[0]:
        others = [run for run in runs if not run["stuck"]]
        row["stuck"] = len(runs) - len(others)
        if len(others) > 1:
            row |= {
                f"others_{key}": _interval([run[f"unseen_{key}"] for run in others], 0.0)
                for key in METRICS
            }
    row["seconds_each"] = round(statistics.mean(run["seconds"] for run in runs), 1)
    return row | {key: runs[0][key] for key in ("trained_at_once", "steps")}


def _guess() -> dict:
    """Return the figures of naming the three commonest compounds of the ten training mixtures each time."""
    results = []
    for seed in SEEDS:
        data = build("original", seed)
        results.append(naming_the_commonest(data, _compositions(data)["unseen"]))
    exact, compounds = zip(*results, strict=False)
    return {
        "unseen_compound_accuracy": _interval(compounds, 0.0),
        "unseen_exact_match": _interval(exact, 0.0),
    }


def tasks() -> list[tuple[Callable, tuple]]:
    """Return every function of the measurement with its arguments, longest first; they do not depend on each other."""
    found = [(stacked, (REPAIRS, "adam", [secrets.randbits(62) for _ in range(UNSEEDED)]))]
    others = [name for name in RECIPES_2022 if name not in REPAIRS]
    found += [(stacked, ({name: Faults()}, RECIPES_2022[name], [])) for name in others]
    return found + [(modern, (name, seed)) for name in reversed(MODERN) for seed in SEEDS]


def run() -> dict:
    """Return the three optimisers of 2022 as `recipe_of_2022`, and as `repairs` one row for each, on top of those before."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    began, runs = time.perf_counter(), []
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        checked = pool.submit(check).result()
        jobs = [pool.submit(function, *arguments) for function, arguments in tasks()]
        for job in tqdm(as_completed(jobs), total=len(jobs), unit="training", file=sys.stderr):
            runs += job.result()
    runs.sort(key=lambda run: (run["row"], run["seed"]))
    rows = {
        name: [run for run in runs if run["row"] == name] for name in {run["row"] for run in runs}
    }
    old = []
    for name, optimiser in RECIPES_2022.items():
        printed = [run["printed"] for run in rows[name]]
        mean, low, high = (
            round(value, 4) for value in (statistics.mean(printed), min(printed), max(printed))
        )
        extra = {
            "printed": mean,
            "printed_range": [low, high],
            "reported_in_2022": REPORTED[optimiser],
        }
        extra |= {"printed_per_compound": round(mean / 3, 4)}
        old.append(_summary(name, rows[name], []) | extra)
    order = [*REPAIRS, *MODERN]
    new = [
        _summary(name, rows[name], rows[before] if before else [])
        for name, before in zip(order, [None, *order], strict=False)
    ]
    unseeded = [round(run["printed"], 4) for run in rows["unseeded"]]
    return {
        "seeds": list(SEEDS),
        "epochs": EPOCHS,
        "seconds": round(time.perf_counter() - began),
        "seeding": checked | {"printed_on_the_data_of_one_seed_without_a_seed": unseeded},
        "naming_the_three_commonest": _guess(),
        "recipe_of_2022": old,
        "repairs": new,
        "runs": runs,
    }
