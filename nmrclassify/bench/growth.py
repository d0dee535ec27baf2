"""Seconds and memory of one identification over positions, compounds in the library and in the mixture (about 6 minutes).

Each point is a fresh process: from the library's table, its multiplets not yet split, and the
mixture's peaks to the answer. F1 is that of one mixture: the network has one size, and looks
closely at as many hypotheses however large the library. Seconds are medians of 5; memory is how far
the first call raises the process' highest, after a tiny case for what is loaded only once. A slope
is that of a line through the logarithms: 1 is linear growth. The "last" is that of the two largest
points, where fixed costs hide least.
"""

import sys
from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm import tqdm

from nmrclassify.bench._cost import cost, unsplit
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_metrics import Score
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.plots.growth import MEASURES, slope

SEED = 910  # of libraries and mixtures; used for nothing else
REPEATS = 5
SMALL = 20
USUAL = {"positions": FULL_AXIS.n_positions, "library": 877, "mixture": 50}
POINTS = {
    "positions": tuple(2**n for n in range(12, 19)),
    "library": (100, 300, 1000, 3000, 10_000),
    "mixture": (10, 20, 50, 100, 200, 400),
}


def ask(positions: int, library: int, mixture: int) -> Callable[[], object]:
    """Return the identification of a mixture of that size, ready to be called."""
    if library > SMALL:
        ask(
            FULL_AXIS.n_positions, SMALL, 5
        )()  # for what is loaded only once, and costs the same for all
    axis = Axis(positions, FULL_AXIS.low, FULL_AXIS.high, FULL_AXIS.unit, FULL_AXIS.mhz)
    compounds, made = _drawn(axis, library, mixture)
    return lambda: Detector(unsplit(compounds), axis=axis).identify(made.peaks)


def _drawn(axis: Axis, library: int, mixture: int) -> tuple[Compounds, PeakMixture]:
    compounds = synthetic_compounds(
        SyntheticConfig(n_compounds=library), np.random.default_rng(SEED)
    )
    return compounds, draw_mixture(
        compounds,
        PeakMixtureConfig(n_low=mixture, n_high=mixture),
        np.random.default_rng([SEED, 1]),
        axis,
    )


def f1(positions: int, library: int, mixture: int) -> float:
    """Return the F1 of that mixture."""
    axis = Axis(positions, FULL_AXIS.low, FULL_AXIS.high, FULL_AXIS.unit, FULL_AXIS.mhz)
    compounds, made = _drawn(axis, library, mixture)
    detector, score = Detector(compounds, axis=axis), Score()
    score.add_prediction(made, detector.identify(made.peaks))
    return score.summary()["f1"]


def measure(points: dict[str, tuple[int, ...]], repeats: int = REPEATS) -> dict:
    """Measure these points; see `run`."""
    todo = [(sweep, value) for sweep, values in points.items() for value in values]
    rows = []
    for sweep, value in tqdm(todo, unit="point", file=sys.stderr):
        sizes = USUAL | {sweep: value}
        rows.append(
            {"sweep": sweep, "value": value}
            | cost(ask, *sizes.values(), repeats=repeats)
            | {"f1": f1(*sizes.values())}
        )
    table = pd.DataFrame(rows)
    slopes = {}
    for sweep, part in table.groupby("sweep", sort=False):
        x = part["value"].to_numpy()
        for name in MEASURES:
            y = part[name].to_numpy(dtype=float)
            slopes[f"{sweep}, {name}"] = {
                "all": round(slope(x, y), 2),
                "last": round(slope(x[-2:], y[-2:]), 2),
            }
    return {"usual": USUAL, "repeats": repeats, "slopes": slopes, "table": rows}


def run() -> dict:
    """Return a row for each point as `table`, and the slopes of each sweep."""
    return measure(POINTS)
