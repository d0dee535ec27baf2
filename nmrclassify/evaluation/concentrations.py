"""Amounts of the named compounds with intervals: relative, or in mM by a known concentration."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from nmrclassify.evaluation.identify import Identification

# The half width of a 90 % interval on a logarithmic scale is `LEAST_ERROR` or more, and grows with
# `SCATTER` times the scatter of a compound's multiplets around its amount. It was fitted on 12
# spectra (`mixtures.rendered`, seeds 1 to 12), where it holds 91 %; of 14 others it holds 95 %
# (seeds 201 to 214; 90 % of the compounds with one multiplet alone).
LEAST_ERROR = 0.04
SCATTER = 1.5
STANDARDS, STANDARD_PROTONS = ("DSS", "TSP"), 9  # at 0 ppm


@dataclass(frozen=True)
class KnownConcentration:
    """A concentration that is known: what makes the others absolute.

    Attributes
    ----------
    name : str
        Of its compound.
    mm : float
        The concentration in mM.
    amount : float
        The area of one of its protons, in the unit of the peaks.
    error : float
        Half width of the 90 % interval of `amount` on a logarithmic scale.
    """

    name: str
    mm: float
    amount: float
    error: float = LEAST_ERROR

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("mm", "amount"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value:g}; expected a number above 0")


def amount_errors(prediction: Identification) -> np.ndarray:
    """Return half the width of each amount's 90 % interval on a logarithmic scale, shape (K,).

    It is estimated from how far a compound's multiplets are from its amount, each by the area that
    the masks give it; NaN without masks.
    """
    compounds, n = prediction.compounds, prediction.compounds.n_compounds
    owner, protons = compounds.compound, compounds.protons
    areas, amounts = prediction.multiplet_areas, prediction.amounts[owner]
    seen = (areas > 0) & (amounts > 0)
    away = np.log(areas[seen] / protons[seen] / amounts[seen])
    weight = np.bincount(owner[seen], protons[seen], n)
    squares = np.bincount(owner[seen], protons[seen] * away**2, n)
    scatter = np.sqrt(squares / np.where(weight > 0, weight, np.nan))
    return np.hypot(LEAST_ERROR, SCATTER * scatter)[prediction.first_of_group]


def known_concentration(
    prediction: Identification, name: str, mm: float, standard_area: float | None = None
) -> KnownConcentration:
    """Return the known concentration of a compound that the mixture holds.

    Parameters
    ----------
    name : str
        A named compound, or one of `STANDARDS` for the line at 0 ppm.
    mm : float
        Its concentration in mM.
    standard_area : float, optional
        Area of the line of DSS or TSP, in the unit of the peaks.

    Raises
    ------
    ValueError
        If it is not named, and there is no such line; or if `mm` is not above 0.
    """
    if name in STANDARDS and standard_area:
        return KnownConcentration(name, mm, standard_area / STANDARD_PROTONS)
    names = prediction.compounds.names
    if name not in names or not prediction.is_named[names.index(name)]:
        found = [names[k] for k in prediction.named] + [*(STANDARDS if standard_area else ())]
        raise ValueError(
            f"{name!r}, whose concentration is given, is not found in this mixture; expected one"
            f" of: {', '.join(found) or 'none is found'}"
        )
    k = names.index(name)
    error = float(amount_errors(prediction)[k])
    return KnownConcentration(name, mm, float(prediction.amounts[k]), error)


def concentration_table(
    prediction: Identification, rows: np.ndarray, known: KnownConcentration | None = None
) -> pd.DataFrame:
    """Return the concentrations of compounds with 90 % intervals; empty for those not named.

    Parameters
    ----------
    rows : ndarray, shape (n,)
        Compounds.
    known : KnownConcentration, optional
        Without it the unit is a percentage of the sum of all named compounds.

    Returns
    -------
    DataFrame
        With the columns "mM" or "mol %", "from" and "to".
    """
    rows = np.asarray(rows)
    errors = amount_errors(prediction)
    if known is None:
        unit = 100 / max(float(np.nansum(prediction.amounts[prediction.named])), 1e-300)
    else:
        unit = known.mm / known.amount
        errors = np.hypot(errors, known.error)
    # An amount that is not named may be anything, and its error, too.
    values = np.where(prediction.is_named[rows], prediction.amounts[rows], np.nan) * unit
    factor = np.exp(np.where(np.isfinite(values), errors[rows], np.nan))
    name = "mol %" if known is None else "mM"
    return pd.DataFrame({name: values, "from": values / factor, "to": values * factor})
