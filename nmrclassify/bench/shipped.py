"""Measure the packaged models on unseen compositions, with other concentrations (seconds)."""

from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.training.checkpoints import PACKAGED, shipped

SEEDS = (101, 102, 103, 104, 105)
DRAWS = 5
METRICS = ("compound_accuracy", "exact_match", "si_sdr_improvement_db", "mask_distance")


def run() -> dict:
    """Return, for each model of `metabolites`, the means and the summary of each seed."""
    result = {}
    for name in PACKAGED:
        model = shipped(name)
        rows = []
        for seed in SEEDS:
            mixtures = model.dataset.test_mixtures(seed, DRAWS)
            summary = evaluate(
                model.model, mixtures, model.training.reconstruction_weight
            ).summary()
            rows.append({"seed": seed} | summary)
        means = {
            f"mean_{key}": round(sum(row[key] for row in rows) / len(rows), 4) for key in METRICS
        }
        size = {"steps": model.step, "parameters": model.model.n_parameters}
        result[name] = means | size | {"seeds": rows}
    return result
