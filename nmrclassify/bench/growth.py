"""Seconds and memory of one identification, over its three sizes (about 6 minutes).

The sizes are the positions of the axis, the compounds of the library, and those of the mixture.
Each point is a fresh process, from the library's table, with multiplets not yet split, to the
prediction. Seconds are medians of 5. Memory is the rise of the process' peak by the first call,
after a tiny call that loads what is loaded only once. F1 is that of one mixture: the network scores
as many hypotheses closely however large the library is. A slope is that of a line through the
logarithms, where 1 is linear growth; "last" is the slope of the two largest points, where fixed
costs have the least effect.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from tqdm import tqdm

from nmrclassify.bench._cost import cost, unsplit
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_threshold import tally
from nmrclassify.mixtures.peaks import PeakMixture, PeakMixtureConfig, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.plots.growth import MEASURES, slope

SEED = 910  # of libraries and mixtures; used for nothing else
SEEDS = (SEED,)
REPEATS = 5
SMALL = 20
USUAL = {"positions": FULL_AXIS.n_positions, "library": 877, "mixture": 50}
POINTS = {
    "positions": tuple(2**n for n in range(12, 19)),
    "library": (100, 300, 1000, 3000, 10_000),
    "mixture": (10, 20, 50, 100, 200, 400),
}


def call(positions: int, library: int, mixture: int) -> Callable[[], object]:
    """Return the identification of a mixture of that size, ready to be called."""
    if library > SMALL:
        # For what is loaded only once, and costs the same at each point.
        call(FULL_AXIS.n_positions, SMALL, 5)()
    axis, compounds, peak_mixture = _drawn(positions, library, mixture)
    return lambda: Detector(unsplit(compounds), axis=axis).identify(peak_mixture.peaks)


def _drawn(positions: int, library: int, mixture: int) -> tuple[Axis, Compounds, PeakMixture]:
    axis = replace(FULL_AXIS, n_positions=positions)
    rng = np.random.default_rng(SEED)
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=library), rng)
    config = PeakMixtureConfig(n_low=mixture, n_high=mixture)
    return axis, compounds, draw_mixture(compounds, config, np.random.default_rng([SEED, 1]), axis)


def f1(positions: int, library: int, mixture: int) -> float:
    """Return the F1 of that mixture."""
    axis, compounds, peak_mixture = _drawn(positions, library, mixture)
    prediction = Detector(compounds, axis=axis).identify(peak_mixture.peaks)
    return round(tally(prediction, peak_mixture.present).f1, 4)


def measure(points: dict[str, tuple[int, ...]], repeats: int = REPEATS) -> dict:
    """Measure these points; see `run`."""
    todo = [(sweep, value) for sweep, values in points.items() for value in values]
    rows = []
    for sweep, value in tqdm(todo, unit="point", file=sys.stderr):
        sizes = USUAL | {sweep: value}
        rows.append(
            {"sweep": sweep, "value": value}
            | cost(call, *sizes.values(), repeats=repeats)
            | {"f1": f1(*sizes.values())}
        )
    table = pd.DataFrame(rows)
    slopes = {}
    for sweep in points:
        part = table[table["sweep"] == sweep]
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
