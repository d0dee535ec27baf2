"""Concentrations of an uploaded mixture on the page *Full scale*, and what makes them absolute."""

import pandas as pd
import streamlit as st

from nmrclassify.evaluation.concentrations import (
    STANDARD_PROTONS,
    KnownConcentration,
    concentration_table,
    known_concentration,
)
from nmrclassify.ui import url_state
from nmrclassify.ui.peak_page import PeakResult

_STANDARD = "DSS or TSP (0 ppm)"


def _known_amounts(result: PeakResult) -> dict[int, float]:
    """Return the amounts that can be known: of the standard, 0, and of named compounds, from 1."""
    amounts = {}
    done = None if result.sample is None else result.sample.processed
    if done is not None and done.standard_area:
        amounts[0] = done.standard_area / STANDARD_PROTONS
    prediction = result.prediction
    return amounts | {k + 1: float(prediction.amounts[k]) for k in prediction.named.tolist()}


def known(result: PeakResult) -> KnownConcentration | None:
    """Return the concentration that the visitor has stated, or None."""
    mm, amounts = url_state.get("known_mm", 0.0), _known_amounts(result)
    chosen = url_state.get("known_compound", next(iter(amounts), 0))
    if not mm or not amounts.get(chosen, 0.0) > 0:
        return None
    if chosen == 0:
        return KnownConcentration(_STANDARD, mm, amounts[0])
    return known_concentration(result.prediction, result.prediction.compounds.names[chosen - 1], mm)


def control(result: PeakResult) -> None:
    """Ask for a known concentration."""
    amounts = _known_amounts(result)
    if result.mixture is not None or not amounts:
        return
    names = result.prediction.compounds.names
    with st.container(horizontal=True, vertical_alignment="bottom"):
        url_state.widget(
            st.selectbox,
            "Concentration known of",
            "known_compound",
            next(iter(amounts)),
            options=list(amounts),
            format_func=lambda k: names[k - 1] if k else _STANDARD,
            width=240,
        )
        url_state.widget(
            st.number_input,
            "in mM (0: unknown)",
            "known_mm",
            0.0,
            step=0.1,
            format="%.3f",
            width=160,
            help="All amounts are then in mM. Of DSS or TSP, the line at 0 ppm counts"
            f" ({STANDARD_PROTONS} protons).",
        )


def table(result: PeakResult) -> pd.DataFrame:
    """Return the table of compounds; of an uploaded mixture with concentrations."""
    if result.mixture is not None:
        return result.table
    columns = concentration_table(result.prediction, result.rows, known(result))
    return pd.concat([result.table, columns], axis=1)
