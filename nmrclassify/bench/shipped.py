"""Measure the shipped model on unseen compositions, with other concentrations (seconds)."""

from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.training.checkpoints import shipped

SEEDS = (101, 102, 103, 104, 105)
DRAWS = 5


def run() -> dict:
    """Return the summary for each seed, and the steps and parameters of the model."""
    model = shipped()
    results = []
    for seed in SEEDS:
        mixtures = model.dataset.test_mixtures(seed, DRAWS)
        results.append(
            {"seed": seed}
            | evaluate(model.model, mixtures, model.training.reconstruction_weight).summary()
        )
    keys = ("compound_accuracy", "exact_match", "si_sdr_improvement_db")
    means = {f"mean_{key}": round(sum(r[key] for r in results) / len(results), 4) for key in keys}
    return means | {"steps": model.step, "parameters": model.model.n_parameters, "seeds": results}
