"""A classical method beside the network, on the same mixture: which compounds each of them names.

Both get the same library, at the pH and the frequency of the mixture, with one compound of each
group of equivalent compounds. The method gets the peaks with the offset of the axis corrected that
the network has found: it would find none itself.
"""

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import pandas as pd

from nmrclassify.baselines.peak_tuning import Method, named
from nmrclassify.baselines.peaks import LeastSquares, Transport
from nmrclassify.evaluation.identify import Identification
from nmrclassify.evaluation.peak_metrics import in_groups
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import at_group_means

# `python -m nmrclassify bench spectra` chose them from its development seeds, see
# docs/results/spectra.json. They are used for every mixture, also where it is not a spectrum, and
# the threshold for every method.
SETTING, THRESHOLD = {"blur": 0.03, "power": 1.0}, 0.063


def _least_squares(compounds: Compounds, axis: Axis) -> Method:
    return LeastSquares(compounds, axis=axis, **SETTING)


def _transport(compounds: Compounds, axis: Axis) -> Method:
    return Transport(compounds, axis=axis)


METHODS: dict[str, Callable[[Compounds, Axis], Method]] = {
    "least squares": _least_squares,
    "optimal transport": _transport,
}
NEEDS = {"optimal transport": "magnetstein"}  # packages that may be missing


def installed_methods() -> list[str]:
    """Return the methods that can be used here."""
    return [name for name in METHODS if name not in NEEDS or find_spec(NEEDS[name]) is not None]


def check_method(method: str) -> None:
    """Check that a method exists and is installed.

    Raises
    ------
    ValueError
        If not; says what to do.
    """
    if method not in METHODS:
        raise ValueError(
            f"{method!r} is no method to compare with; expected {' or '.join(METHODS)}: give one of"
            " these"
        )
    if method not in installed_methods():
        package = NEEDS[method]
        raise ValueError(
            f"{method!r} needs the package {package}, which is missing here; install it (`pip"
            f" install {package} 'pulp<4'`), or compare with {' or '.join(installed_methods())}"
        )


def method_amounts(prediction: Identification, method: str) -> np.ndarray:
    """Return the amount of each compound by a classical method, shape (K,).

    The unit is that of the network's amounts: the area of one proton. The first compound of each
    group of equivalent compounds has the amount of its group, the others 0.

    Raises
    ------
    ValueError
        If there is no such method, or it is not installed.
    """
    check_method(method)
    compounds, peaks = prediction.compounds, prediction.peaks
    if prediction.offset:
        peaks = Peaks.from_lines(peaks.ppm - prediction.offset, peaks.areas, peaks.axis)
    first = np.unique(prediction.first_of_group)
    library = at_group_means(compounds, prediction.groups).select(first.tolist())
    amounts = np.zeros(compounds.n_compounds)
    amounts[first] = METHODS[method](library, peaks.axis)(peaks)
    return amounts


def comparison_table(
    prediction: Identification, amounts: np.ndarray, present: np.ndarray | None = None
) -> pd.DataFrame:
    """Return the compounds that the network or a method names, one of each group.

    Those that only one of them names come first: the network, then the method.

    Parameters
    ----------
    amounts : ndarray, shape (K,)
        As `method_amounts` returns them.
    present : ndarray, optional
        The compounds in the mixture, where they are known.

    Returns
    -------
    DataFrame
        With the columns compound, probability, amount, named (bool; these three by the network),
        method_amount, method_named (bool) and, with `present`, in_mixture (bool).
    """
    compounds, groups = prediction.compounds, prediction.groups
    by_network, by_method = prediction.is_named, named(compounds, amounts, THRESHOLD)
    is_first = prediction.first_of_group == np.arange(compounds.n_compounds)
    rows = np.flatnonzero(is_first & (by_network | by_method))
    both = by_network[rows] & by_method[rows]
    order = np.lexsort((-amounts[rows], -prediction.probabilities[rows], ~by_network[rows], both))
    rows = rows[order]
    columns = {
        "compound": [compounds.names[k] for k in rows],
        "probability": prediction.probabilities[rows],
        "amount": prediction.amounts[rows],
        "named": by_network[rows],
        "method_amount": amounts[rows],
        "method_named": by_method[rows],
    }
    if present is not None:
        columns["in_mixture"] = in_groups(groups, present)[groups[rows]]
    return pd.DataFrame(columns)


def named_by(table: pd.DataFrame, method: str) -> np.ndarray:
    """Return who names each compound of a `comparison_table`: "both", "network" or the method."""
    one, other = table["named"].to_numpy(), table["method_named"].to_numpy()
    return np.where(one & other, "both", np.where(one, "network", method))


def comparison_sentence(table: pd.DataFrame, method: str) -> str:
    """Return how many compounds of a `comparison_table` both name, and each alone."""
    who, counts = named_by(table, method), []
    for name in ("both", "network", method):
        chosen = who == name
        counts.append(f"{chosen.sum()}")
        if "in_mixture" in table:
            unit = " in the mixture" if name == "both" else ""
            counts[-1] += f" ({table['in_mixture'][chosen].sum()}{unit})"
    return f"Both name {counts[0]}, only the network {counts[1]}, only {method} {counts[2]}."
