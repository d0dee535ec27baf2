"""The robustness sweeps: what each one varies, and the packaged table of their results.

`bench robustness` writes the table; the page Robustness shows it.
"""

from dataclasses import dataclass
from importlib import resources

import pandas as pd

from nmrclassify.mixtures.grid import MixtureConfig

# Development used seeds 100 to 102; nothing was tuned on these seeds.
SEEDS = (1, 2, 3, 4, 5)
MIXTURES = 720
DISTURBED = "all disturbances at once"


@dataclass(frozen=True)
class Sweep:
    """One sweep: its values, how mixtures are made without them, and how to read the curves.

    With `known`, all methods get the number of compounds.
    """

    title: str
    values: tuple[float, ...]
    base: MixtureConfig
    reading: str
    known: bool = True


SWEEPS = {
    "shift_jitter": Sweep(
        "shift jitter (positions)",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0),
        MixtureConfig(),
        "Least squares and pursuit use templates without shifts. The likelihood gets the"
        " distribution of the shifts; the networks learn it from examples.",
    ),
    "common_shift": Sweep(
        "shift of all multiplets together (positions)",
        (0.0, 0.25, 0.5, 0.75, 1.0),
        MixtureConfig(),
        "All multiplets of a mixture are shifted by this much, to either side. The likelihood"
        " gets the size of the shift.",
    ),
    "noise": Sweep(
        "noise (peak area)",
        (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
        MixtureConfig(),
        "Against white noise on every peak, least squares is nearly optimal. A network can only be"
        " about as good.",
    ),
    "concentration": Sweep(
        "concentrations up to this many times lower or higher (noise 0.05)",
        (1.0, 1.5, 2.0, 3.0, 5.0, 10.0),
        MixtureConfig(noise=0.05),
        "Noise hides a weak compound from every method.",
    ),
    "unknown": Sweep(
        "concentration of an unknown compound (noise 0.05)",
        (0.0, 0.5, 1.0, 2.0),
        MixtureConfig(noise=0.05),
        "A compound that the library does not hold is added. No classical method allows for it.",
    ),
    "number": Sweep(
        "compounds in the mixture, number not given (shift jitter 0.2, noise 0.05)",
        (1, 2, 3, 4, 5),
        MixtureConfig(n_sources=5, number_varies=True, noise=0.05, shift_jitter=0.2),
        "No method gets the number of compounds. The classical methods get a threshold that was"
        " tuned on training mixtures. The networks trained on triples, and on random mixtures of"
        " up to four compounds: only the triples of the test are unseen.",
        known=False,
    ),
    "training": Sweep(
        "training mixtures (shift jitter 0.4)",
        (10, 30, 76),
        MixtureConfig(shift_jitter=0.4),
        "Each point has a network of its own, trained on a tenth of the mixtures. Slots and"
        " *own mixtures only* train on these compositions only. Queries also train on random"
        " mixtures of the library, so the number of training mixtures has little influence.",
    ),
}
# Trained once for each seed, for all sweeps but the last.
ONE_FOR_ALL = ("queries", "queries without least squares", "slots")
# Of the last sweep, and what changes in their recipes: only without remixing does the number of
# training compositions matter.
OWN_TRAINING: dict[str, dict] = {
    "queries": {},
    "queries, own mixtures only": {"remix": 0.0, "repeats": 0.4},
    "slots": {"remix": 0.0},
}
NETWORKS = tuple(dict.fromkeys((*ONE_FOR_ALL, *OWN_TRAINING)))


def measured() -> pd.DataFrame:
    """Return the packaged table, which `bench robustness` wrote."""
    with resources.files("nmrclassify").joinpath("data/robustness.csv").open() as file:
        return pd.read_csv(file)
