"""Read the owner of each multiplet from the shipped model's masks alone (seconds)."""

import numpy as np

from nmrclassify.evaluation.masks import owners_right
from nmrclassify.training.checkpoints import shipped

SEEDS = (1, 2, 3, 4, 5)  # each picks its mixtures
N_MIXTURES = 20


def run() -> dict:
    """Return how many owners are right on 20 unseen mixtures for each seed, and in all."""
    checkpoint = shipped()
    mixtures = checkpoint.dataset.test_mixtures()
    weight = checkpoint.training.reconstruction_weight
    runs = []
    for seed in SEEDS:
        picked = np.random.default_rng(seed).choice(len(mixtures), N_MIXTURES, replace=False)
        counts = [owners_right(checkpoint.model, mixtures[i : i + 1], weight) for i in picked]
        right, multiplets = np.sum(counts, axis=0).tolist()
        runs.append({"seed": seed, "right": right, "multiplets": multiplets})
    total = {key: sum(run[key] for run in runs) for key in ("right", "multiplets")}
    return {"share_right": round(total["right"] / total["multiplets"], 4)} | total | {"runs": runs}
