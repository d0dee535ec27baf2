"""The robustness sweeps: what each one varies, and the packaged table of their results.

`bench robustness` writes the table; the page Robustness shows it.
"""

from dataclasses import dataclass, field
from importlib import resources

import pandas as pd

from nmrclassify.mixtures.grid import MixtureConfig

# Development used seeds 100 to 102; nothing was tuned on these seeds.
SEEDS = (1, 2, 3, 4, 5)
MIXTURES = 720


@dataclass(frozen=True)
class Sweep:
    """One sweep: its values, how mixtures are made, and what changes in training.

    One network a seed is trained for all values. With `known`, the methods get the number of
    compounds; `queries` is what changes in the training of queries only.
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
        "Least squares and pursuit use templates without shifts. The likelihood gets the"
        " distribution of the shifts; the network learns it from examples.",
    ),
    "noise": Sweep(
        "noise (peak area)",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        MixtureConfig(),
        {"added_noise": 0.55},
        "Against white noise on every peak, least squares is nearly optimal. A network can only be"
        " about as good.",
        queries={"remix": 1.0, "steps": 1600, "batch_size": 96, "learning_rate": 7e-3},
    ),
    "concentration": Sweep(
        "concentrations up to this many times lower or higher (noise 0.05)",
        (1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
        MixtureConfig(noise=0.05),
        {"concentration_spread": 10.0},
        "Noise hides a weak compound from every method.",
    ),
    "number": Sweep(
        "compounds in the mixture, number not given (shift jitter 0.2, noise 0.05)",
        (1, 2, 3, 4, 5),
        MixtureConfig(n_sources=5, number_varies=True, noise=0.05, shift_jitter=0.2),
        {"added_noise": 0.05, "added_jitter": 0.2},
        "No method gets the number of compounds. The classical methods get a threshold that was"
        " tuned on training mixtures.",
        known=False,
    ),
    "training": Sweep(
        "training mixtures (shift jitter 0.4)",
        (10, 30, 76),
        MixtureConfig(shift_jitter=0.4),
        {"added_jitter": 0.4, "steps": 500},
        "Slots train on these mixtures only. Queries also train on random mixtures of the library,"
        " so the number of training mixtures has little influence.",
    ),
}
# Only without remixing does the number of training compositions matter.
NETWORKS = {
    "queries": {},
    "queries, own mixtures only": {"remix": 0.0, "repeats": 0.4},
    "slots": {},
}


def measured() -> pd.DataFrame:
    """Return the packaged table, which `bench robustness` wrote."""
    with resources.files("nmrclassify").joinpath("data/robustness.csv").open() as file:
        return pd.read_csv(file)
