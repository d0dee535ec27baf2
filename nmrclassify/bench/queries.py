"""Train queries with five seeds on three kinds of mixtures; test on unseen ones (15 minutes).

Measured are accuracy, calibration of probabilities, and detection of unknown compounds.
"""

import statistics
from dataclasses import replace

from nmrclassify.bench._parallel import run_all
from nmrclassify.evaluation.calibration import reliability, roc
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.evaluation.unknown import unknown_scores
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig, generator, mix
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.queries import Queries
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer, set_threads

# Development used seeds 100 to 102; nothing was tuned on these seeds.
SEEDS = (1, 2, 3, 4, 5)
TASKS = {
    "distinct triples": MixtureConfig(),
    "triples with repetition": MixtureConfig(repetition=True),
    "1 to 5 compounds, number unknown": MixtureConfig(n_sources=5, number_varies=True),
}
DRAWS = 20
FIGURES = (
    "n_compositions",
    "exact_match",
    "compound_accuracy",
    "si_sdr_improvement_db",
    "mask_distance",
)


def _calibration(model: Network, data: Dataset) -> dict[str, float]:
    """Return calibration errors, and areas under the ROC for unknown compounds.

    They are measured on clean mixtures and on hard ones, where a network makes mistakes.
    """
    if not isinstance(model, Queries):
        raise TypeError(f"network is {type(model).__name__}; expected Queries")
    figures = {}
    for name, config in (
        ("clean", data.config),
        ("hard", replace(data.config, noise=0.1, shift_jitter=0.3)),
    ):
        rows = data.test.repeat(DRAWS if name == "hard" else 1, axis=0)
        result = evaluate(model, mix(data.library, rows, config, generator(data.seed, "test", 1)))
        figures[f"exact_match_{name}"] = float(result.exact.mean())
        figures[f"calibration_error_{name}"] = reliability(
            *result.statements()
        ).expected_calibration_error
        figures[f"calibration_error_{name}_named"] = reliability(
            *result.statements(named=True)
        ).expected_calibration_error
        scores, has_unknown = unknown_scores(model, data, config)
        for score, values in scores.items():
            figures[f"auroc_{name}_{score.split()[-1]}"] = roc(values, has_unknown).area
    return figures


def train(task: str, seed: int) -> dict:
    """Return the figures of one training on one of `TASKS`."""
    set_threads()
    data = build("quick", seed, TASKS[task])
    trainer = Trainer(data, recipe("queries"), kind="queries")
    while not trainer.finished:
        trainer.advance()
    test = evaluate(trainer.model, data.test_mixtures()).summary()
    return (
        {"seed": seed, "seconds": trainer.seconds}
        | {key: test[key] for key in FIGURES}
        | {"temperature": float(trainer.model.temperature)}
        | _calibration(trainer.model, data)
    )


def run() -> dict:
    """Return all figures for each task and seed, and their means over the seeds."""
    tasks = [(task, seed) for task in TASKS for seed in SEEDS]
    runs = run_all([(train, arguments) for arguments in tasks], "training")
    results = {}
    for task in TASKS:
        of_task = [run for run, (name, _) in zip(runs, tasks, strict=True) if name == task]
        means = {
            key: statistics.mean(run[key] for run in of_task) for key in of_task[0] if key != "seed"
        }
        results[task] = {"mean": means, "seeds": of_task}
    return results
