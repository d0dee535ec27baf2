"""The network of full scale beside classical methods: F1, amounts, masks, seconds, memory (12 min).

Mixtures of 50 to 100 of 877 compounds, at three shift jitters. The libraries were used neither in
training nor in development: synthetic ones, and real ones from GISSMO's table if it is there.

The network has one threshold. Least squares and matching pursuit are tuned on development mixtures,
once for all jitters together and once for each, as if the jitter were known. They get some of the
mixtures; a row of its own gives the network on the same ones. Optimal transport (magnetstein, if it
is installed) takes about a minute for each mixture. It has the settings of its authors, and the best
threshold for each jitter, chosen afterwards on the mixtures of the report.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from nmrclassify.baselines.peak_tuning import THRESHOLDS as AREA_THRESHOLDS
from nmrclassify.baselines.peak_tuning import Tuned, named, tune
from nmrclassify.baselines.peaks import LeastSquares, Pursuit, Transport
from nmrclassify.bench._cost import cost, unsplit
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_metrics import Score, Tally
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, draw_mixture
from nmrclassify.networks.amount_hypotheses import Templates, find_hypotheses
from nmrclassify.networks.peak_network import compete
from nmrclassify.networks.peak_weights import shipped
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import read_compounds
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.training.peak_calibration import DEVELOPMENT, JITTERS, THRESHOLDS
from nmrclassify.training.trainer import set_threads

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

    seeds: tuple[int, ...] = (900, 901, 902)
    mixtures: int = 20
    compounds: int = 877
    recipe: PeakMixtureConfig = field(default_factory=PeakMixtureConfig)
    peers: int = 5  # mixtures of each library for the classical methods
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
    for number in range(min(plan.peers, plan.mixtures)):
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


def _ask_network(plan: Plan) -> Callable[[], object]:
    compounds, _ = library("synthetic", plan.seeds[0], plan.compounds)
    mixture = mixture_of("synthetic", plan.seeds[0], 0, JITTERS[1], plan)
    detector = Detector(compounds)
    return lambda: detector.identify(mixture.peaks)


def _ask_table(plan: Plan) -> Callable[[], object]:
    compounds, _ = library("synthetic", plan.seeds[0], plan.compounds)
    mixture = mixture_of("synthetic", plan.seeds[0], 0, JITTERS[1], plan)
    return lambda: Detector(unsplit(compounds)).identify(mixture.peaks)


def _ask_file(plan: Plan) -> Callable[[], object]:
    compounds, _ = library("synthetic", plan.seeds[0], plan.compounds)
    mixture = mixture_of("synthetic", plan.seeds[0], 0, JITTERS[1], plan)
    text = compounds.frame().to_csv(index=False)
    return lambda: Detector(read_compounds(text).compounds).identify(mixture.peaks)


def _ask_peer(method: str, setting: dict, plan: Plan) -> Callable[[], object]:
    compounds, _ = library("synthetic", plan.seeds[0], plan.compounds)
    mixture = mixture_of("synthetic", plan.seeds[0], 0, JITTERS[1], plan)
    solve = (
        Transport(compounds)
        if method == "optimal transport"
        else SETTINGS[method][0](compounds, **setting)
    )
    return lambda: solve(mixture.peaks)


def _row(kind: str, jitter: float, method: str, decided: str, figures: dict) -> dict:
    row = {"library": kind, "jitter": jitter, "method": method, "threshold_for": decided}
    for name, value in figures.items():
        row |= (
            {f"{name[:-9]}_low": value[0], f"{name[:-9]}_high": value[1]}
            if name.endswith("_interval")
            else {name: value}
        )
    return row


def _sum(scores: list[Score]) -> Score:
    return sum(scores, Score())


def measure(plan: Plan) -> dict:
    """Measure as much as the plan says; see `run`."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    kinds = ["synthetic"] + ["real"] * REAL.is_file()
    rows, notes = [], {} if REAL.is_file() else {"real": NO_TABLE}
    try:
        Transport(library("synthetic", plan.seeds[0], plan.compounds)[0].select([0]))
        transport = plan.transport
    except ValueError as error:
        transport, notes["optimal transport"] = 0, f"not measured: {error}"
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        bar = tqdm(unit="task", file=sys.stderr)

        def submit(function: Callable, *arguments):
            bar.total = (bar.total or 0) + 1
            job = pool.submit(function, *arguments)
            job.add_done_callback(lambda _: bar.update())
            return job

        tuning = {method: submit(_tuned, method, plan) for method in SETTINGS}
        transported = {
            (kind, jitter): [submit(_transport, kind, number, jitter, plan) for number in range(transport)]
            for kind in kinds for jitter in JITTERS
        }  # fmt: skip
        networks = {
            (kind, jitter): [submit(_network, kind, seed, jitter, plan) for seed in plan.seeds]
            for kind in kinds for jitter in JITTERS
        }  # fmt: skip
        tuned = {method: job.result() for method, job in tuning.items()}
        classical = {
            (kind, jitter, method, decided): [
                submit(_classical, method, one if decided == "all jitters" else each[jitter], kind, seed, jitter, plan)
                for seed in plan.seeds
            ]
            for kind in kinds for jitter in JITTERS
            for method, (one, each) in tuned.items() for decided in ("all jitters", "each jitter")
        }  # fmt: skip
        for (kind, jitter), jobs in networks.items():
            scores = [job.result() for job in jobs]
            rows.append(
                _row(
                    kind,
                    jitter,
                    "network",
                    "all jitters",
                    _sum([_sum(of_seed) for of_seed in scores]).summary(),
                )
            )
            some = _sum([_sum(of_seed[: plan.peers]) for of_seed in scores]).summary()
            rows.append(_row(kind, jitter, "network, same mixtures as peers", "all jitters", some))
            for decided in ("all jitters", "each jitter"):
                for method in SETTINGS:
                    score = _sum([job.result() for job in classical[kind, jitter, method, decided]])
                    rows.append(_row(kind, jitter, method, decided, score.summary()))
            if transport:
                at_each = [
                    _sum(list(scores))
                    for scores in zip(
                        *(job.result() for job in transported[kind, jitter]), strict=False
                    )
                ]
                best = max(
                    (score.summary() for score in at_each), key=lambda figures: figures["f1"]
                )
                rows.append(
                    _row(kind, jitter, "optimal transport", "each jitter, afterwards", best)
                )
                same = _sum(scores[0][:transport]).summary()
                rows.append(
                    _row(kind, jitter, "network, same mixtures as transport", "all jitters", same)
                )
        bar.close()
    # One after the other, with nothing else running.
    costs = {
        "network": cost(_ask_network, plan, repeats=plan.repeats),
        "network, from the library's table": cost(_ask_table, plan, repeats=plan.repeats),
        "network, from the library's CSV": cost(_ask_file, plan, repeats=plan.repeats),
    }
    for method, (one, _) in tuned.items():
        costs[method] = cost(_ask_peer, method, one.setting, plan, repeats=plan.repeats)
    if transport:
        costs["optimal transport"] = cost(_ask_peer, "optimal transport", {}, plan, repeats=1)
    settings = {
        method: {str(jitter): vars(found) for jitter, found in {"all": one, **each}.items()}
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
    """Return a row for each library, jitter and method as `table`; seconds and memory of one mixture; the tuned settings."""
    return measure(Plan())
