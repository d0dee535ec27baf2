"""The network of full scale beside classical methods: F1, amounts, masks, seconds, memory (12 min).

Mixtures of 50 to 100 of 877 compounds, at three shift jitters. The libraries were used neither in
training nor in development: synthetic ones, and real ones from GISSMO's table if it is there.

The network has one threshold. Least squares and matching pursuit are tuned on development
mixtures, once for all jitters together and once for each, as if the jitter were known. They get
some of the mixtures; one more row gives the network on the same ones. Optimal transport
(magnetstein, if it is installed) takes about a minute for each mixture. It has the settings of its
authors, and the best threshold for each jitter, chosen afterwards on the mixtures of the report.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from nmrclassify.baselines.peak_tuning import THRESHOLDS as AREA_THRESHOLDS
from nmrclassify.baselines.peak_tuning import Tuned, named, tune
from nmrclassify.baselines.peaks import LeastSquares, Pursuit, Transport
from nmrclassify.bench._cost import cost, unsplit
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_metrics import Score, Tally
from nmrclassify.files.tables import csv_text
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import find_hypotheses
from nmrclassify.networks.peak_network import compete
from nmrclassify.networks.peak_weights import shipped
from nmrclassify.networks.templates import Templates
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import read_compounds
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.training.peak_calibration import DEVELOPMENT, JITTERS, THRESHOLDS
from nmrclassify.training.trainer import set_threads

SEEDS = (900, 901, 902)  # used for nothing else
REAL = Path(__file__).parents[3] / "shared" / "data" / "gissmo_first_order_multiplets.csv"
NO_TABLE = "not measured: the table is not there"
SETTINGS: dict[str, tuple[Callable, list[dict]]] = {
    "least squares": (
        LeastSquares,
        [{"blur": b, "power": p} for p in (0.0, 1.0) for b in (0.003, 0.006, 0.01, 0.02, 0.04)],
    ),
    "matching pursuit": (
        Pursuit,
        [{"window": w, "lines": n} for n in (0.0, 0.5) for w in (0.01, 0.03, 0.06, 0.1)],
    ),
}


@dataclass(frozen=True)
class Plan:
    """How much is measured; the seeds were used for nothing else."""

    seeds: tuple[int, ...] = SEEDS
    mixtures: int = 20
    compounds: int = 877
    recipe: PeakMixtureConfig = field(default_factory=PeakMixtureConfig)
    n_classical: int = 5  # mixtures of each library for the classical methods
    transport: int = 2  # mixtures of the first library for optimal transport
    development: int = 6  # mixtures of each jitter for the tuning of the classical methods
    rounds: int = 8  # mixtures of each jitter for the gain of each round of explaining away
    repeats: int = 9


@cache
def library(kind: str, seed: int, compounds: int) -> tuple[Compounds, np.ndarray]:
    """Return a "synthetic" or "real" library, and its groups of equivalent compounds."""
    rng = np.random.default_rng(seed)
    if kind == "synthetic":
        chosen = synthetic_compounds(SyntheticConfig(n_compounds=compounds), rng)
    else:
        table = read_compounds(REAL).compounds
        index = np.sort(rng.choice(table.n_compounds, compounds, replace=False))
        chosen = table.select(index.tolist())
    return chosen, equivalent_compounds(chosen, FULL_AXIS)


def mixture_of(kind: str, seed: int, number: int, jitter: float, plan: Plan) -> PeakMixture:
    """Return one of the mixtures."""
    compounds, _ = library(kind, seed, plan.compounds)
    return draw_mixture(
        compounds, replace(plan.recipe, jitter=jitter), np.random.default_rng([seed, 1, number])
    )


def _network(kind: str, seed: int, jitter: float, plan: Plan) -> list[Score]:
    """Score the network on each mixture of a library."""
    set_threads()
    detector, scores = Detector(library(kind, seed, plan.compounds)[0]), []
    for number in range(plan.mixtures):
        mixture = mixture_of(kind, seed, number, jitter, plan)
        score = Score()
        score.add_prediction(mixture, detector.identify(mixture.peaks))
        scores.append(score)
    return scores


def rounds(plan: Plan) -> dict[str, list[float]]:
    """Return for each jitter the F1 after the screening and after each round.

    On a development library, with the best threshold of each: this is the gain of a round, however
    well its probabilities are calibrated.
    """
    set_threads()
    seed = DEVELOPMENT[1]
    compounds, _ = library("synthetic", seed, plan.compounds)
    n = compounds.n_compounds
    network, templates, scores = shipped().network, Templates.of(compounds), {}
    for jitter in JITTERS:
        probabilities: list[list[np.ndarray]] = []  # of each mixture and step
        truths = []
        for number in range(plan.rounds):
            rng = np.random.default_rng([seed, 2, number])
            mixture = draw_mixture(compounds, replace(plan.recipe, jitter=jitter), rng)
            with torch.no_grad():
                output = network(find_hypotheses(templates, mixture.peaks))
            every = torch.arange(n).repeat_interleave(output.screening.shape[1])
            steps = [(every, output.screening.flatten())]
            for candidates, state in zip(output.round_candidates, output.rounds, strict=True):
                steps.append((candidates.compound, state["logit"]))
            probabilities.append([-torch.expm1(compete(*step, n)[1]).numpy() for step in steps])
            truths.append(np.isin(np.arange(n), mixture.present))
        truth = np.concatenate(truths)
        joined = [np.concatenate(step) for step in zip(*probabilities, strict=True)]
        scores[f"{jitter:g}"] = [
            round(max(Tally.of(step >= level, truth).f1 for level in THRESHOLDS), 3)
            for step in joined
        ]
    return scores


def _tuned(method: str, plan: Plan) -> tuple[Tuned, dict[float, Tuned]]:
    """Tune a classical method on development mixtures of the first development library."""
    set_threads()
    make, settings = SETTINGS[method]
    mixtures = {
        jitter: [
            mixture_of("synthetic", DEVELOPMENT[0], number, jitter, plan)
            for number in range(plan.development)
        ]
        for jitter in JITTERS
    }
    return tune(make, settings, library("synthetic", DEVELOPMENT[0], plan.compounds)[0], mixtures)


def _classical(method: str, tuned: Tuned, kind: str, seed: int, jitter: float, plan: Plan) -> Score:
    """Score a classical method on some of the mixtures of a library."""
    set_threads()
    compounds, groups = library(kind, seed, plan.compounds)
    solve, score = SETTINGS[method][0](compounds, **tuned.setting), Score()
    for number in range(min(plan.n_classical, plan.mixtures)):
        mixture = mixture_of(kind, seed, number, jitter, plan)
        amounts = solve(mixture.peaks)
        score.add(mixture, compounds, groups, named(compounds, amounts, tuned.threshold), amounts)
    return score


def _transport(kind: str, number: int, jitter: float, plan: Plan) -> list[Score]:
    """Score optimal transport on one mixture of the first library, at each threshold."""
    set_threads()
    compounds, groups = library(kind, plan.seeds[0], plan.compounds)
    mixture, scores = mixture_of(kind, plan.seeds[0], number, jitter, plan), []
    amounts = Transport(compounds)(mixture.peaks)
    for height in AREA_THRESHOLDS:
        scores.append(Score())
        scores[-1].add(mixture, compounds, groups, named(compounds, amounts, height), amounts)
    return scores


def _first_mixture(plan: Plan) -> tuple[Compounds, PeakMixture]:
    """Return the library and the mixture whose seconds and memory are measured."""
    seed = plan.seeds[0]
    compounds, _ = library("synthetic", seed, plan.compounds)
    return compounds, mixture_of("synthetic", seed, 0, JITTERS[1], plan)


def _call_network(plan: Plan) -> Callable[[], object]:
    compounds, mixture = _first_mixture(plan)
    detector = Detector(compounds)
    return lambda: detector.identify(mixture.peaks)


def _call_table(plan: Plan) -> Callable[[], object]:
    compounds, mixture = _first_mixture(plan)
    return lambda: Detector(unsplit(compounds)).identify(mixture.peaks)


def _call_file(plan: Plan) -> Callable[[], object]:
    compounds, mixture = _first_mixture(plan)
    text = csv_text(compounds.frame())
    return lambda: Detector(read_compounds(text).compounds).identify(mixture.peaks)


def _call_classical(method: str, setting: dict, plan: Plan) -> Callable[[], object]:
    compounds, mixture = _first_mixture(plan)
    make = Transport if method == "optimal transport" else SETTINGS[method][0]
    solve = make(compounds, **setting)
    return lambda: solve(mixture.peaks)


def _row(cell: tuple[str, float], method: str, threshold_for: str, score: Score) -> dict:
    """Return a row of the table; `threshold_for` names the jitters that share a threshold."""
    row = {"library": cell[0], "jitter": cell[1], "method": method, "threshold_for": threshold_for}
    for name, value in score.summary().items():
        if name.endswith("_interval"):
            row[name.replace("_interval", "_low")], row[name.replace("_interval", "_high")] = value
        else:
            row[name] = value
    return row


def _sum(scores: Iterable[Score]) -> Score:
    return sum(scores, Score())


def measure(plan: Plan) -> dict:
    """Measure what the plan contains; see `run`."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kinds = ["synthetic"] + ["real"] * REAL.is_file()
    notes = {} if REAL.is_file() else {"real": NO_TABLE}
    try:
        Transport(library("synthetic", plan.seeds[0], plan.compounds)[0].select([0]))
        n_transport = plan.transport
    except ValueError as error:
        n_transport, notes["optimal transport"] = 0, f"not measured: {error}"
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        bar = tqdm(unit="task", file=sys.stderr)

        def submit(function: Callable, *arguments: Any) -> Future:
            bar.total = (bar.total or 0) + 1
            job = pool.submit(function, *arguments)
            job.add_done_callback(lambda _: bar.update())
            return job

        cells = [(kind, jitter) for kind in kinds for jitter in JITTERS]
        tuning = {method: submit(_tuned, method, plan) for method in SETTINGS}
        transport, network, classical = {}, {}, {}
        for kind, jitter in cells:
            numbers = range(n_transport)
            transport[kind, jitter] = [submit(_transport, kind, n, jitter, plan) for n in numbers]
        for kind, jitter in cells:
            network[kind, jitter] = [submit(_network, kind, s, jitter, plan) for s in plan.seeds]
        tuned = {method: job.result() for method, job in tuning.items()}
        for kind, jitter in cells:
            for method, (one, each) in tuned.items():
                for threshold_for, setting in (("all jitters", one), ("each jitter", each[jitter])):
                    classical[kind, jitter, method, threshold_for] = [
                        submit(_classical, method, setting, kind, seed, jitter, plan)
                        for seed in plan.seeds
                    ]
        rows = []
        for cell in cells:
            scores = [job.result() for job in network[cell]]  # of each seed and mixture
            whole = _sum(score for of_seed in scores for score in of_seed)
            some = _sum(score for of_seed in scores for score in of_seed[: plan.n_classical])
            rows.append(_row(cell, "network", "all jitters", whole))
            rows.append(_row(cell, "network, same mixtures as peers", "all jitters", some))
            for threshold_for in ("all jitters", "each jitter"):
                for method in SETTINGS:
                    score = _sum(job.result() for job in classical[(*cell, method, threshold_for)])
                    rows.append(_row(cell, method, threshold_for, score))
            if n_transport:
                of_mixtures = (job.result() for job in transport[cell])
                at_each = [_sum(at_one) for at_one in zip(*of_mixtures, strict=True)]
                best = max(at_each, key=lambda score: score.summary()["f1"])
                rows.append(_row(cell, "optimal transport", "each jitter, afterwards", best))
                same = _sum(scores[0][:n_transport])
                rows.append(_row(cell, "network, same mixtures as transport", "all jitters", same))
        bar.close()
    # One after the other, with nothing else running.
    costs = {
        "network": cost(_call_network, plan, repeats=plan.repeats),
        "network, from the library's table": cost(_call_table, plan, repeats=plan.repeats),
        "network, from the library's CSV": cost(_call_file, plan, repeats=plan.repeats),
    }
    for method, (one, _) in tuned.items():
        costs[method] = cost(_call_classical, method, one.setting, plan, repeats=plan.repeats)
    if n_transport:
        costs["optimal transport"] = cost(_call_classical, "optimal transport", {}, plan, repeats=1)
    settings = {
        method: {str(jitter): vars(best) for jitter, best in {"all": one, **each}.items()}
        for method, (one, each) in tuned.items()
    }
    return {
        "plan": asdict(plan),
        "notes": notes,
        "f1_after_each_round": rounds(plan),
        "tuned": settings,
        "one_mixture": costs,
        "table": rows,
    }


def run() -> dict:
    """Return the table with a row for each library, jitter and method, and what `measure` adds.

    That is seconds and memory of one mixture, F1 after each round, and the tuned settings.
    """
    return measure(Plan())
