"""The section *Compare with least squares* of the page *Full scale*."""

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.baselines import beside_network
from nmrclassify.evaluation.identify import Identification
from nmrclassify.ui.peak_page import PeakResult
from nmrclassify.ui.peak_uploads import WORKERS

# Compounds of a library up to which a method takes a second or two.
MOST_COMPOUNDS = {"least squares": 1000, "optimal transport": 200}
_KEY = "classical"


# The threshold is no part of the key: it does not change the amounts.
@st.cache_resource(max_entries=16, show_spinner=False)
def _amounts(key: str, method: str, _prediction: Identification) -> np.ndarray:
    with WORKERS:
        return beside_network.method_amounts(_prediction, method)


def show_comparison(result: PeakResult) -> None:
    """Show which compounds the network and a classical method name, once it is opened."""
    st.fragment(_comparison)(result)


def _comparison(result: PeakResult) -> None:
    section = st.expander(
        "Compare with least squares", icon=":material/balance:", key=_KEY, on_change="rerun"
    )
    if not section.open:
        return
    with section:
        n_compounds = result.prediction.compounds.n_compounds
        methods = [
            name
            for name in beside_network.installed_methods()
            if n_compounds <= MOST_COMPOUNDS[name]
        ]
        if not methods:
            st.info(
                f"Least squares takes too long here with more than {max(MOST_COMPOUNDS.values()):,}"
                f" compounds; this library has {n_compounds:,}. The command line has no such limit:"
                ' `python -m nmrclassify identify FILE --compare "least squares"`.'
            )
            return
        method = methods[0]
        if len(methods) > 1:
            method = st.radio(
                "Method",
                methods,
                format_func=str.capitalize,
                horizontal=True,
                key=f"{_KEY} method",
            )
        _show_table(result, method)


def _show_table(result: PeakResult, method: str) -> None:
    with st.spinner(f"Computing {method} …"):
        amounts = _amounts(result.key, method, result.prediction)
    present = None if result.mixture is None else result.mixture.present
    table = beside_network.comparison_table(result.prediction, amounts, present)
    sentence = beside_network.comparison_sentence(table, method)
    st.markdown(f"**{sentence}**", help=_settings(method))
    of_method = f"amount, {method}"
    shown = {"compound": table["compound"], "named by": beside_network.named_by(table, method)}
    if present is not None:
        shown["in the mixture"] = np.where(table["in_mixture"], "✓", "✗")
    shown |= {name: table[name] for name in ("probability", "amount")}
    shown[of_method] = table["method_amount"]
    number = st.column_config.NumberColumn
    st.dataframe(
        pd.DataFrame(shown),
        hide_index=True,
        placeholder="",
        alt=f"Compounds that the network or {method} names, the differences first",
        column_config={
            "probability": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent", width=120, help="By the network."
            ),
            "amount": number(
                format="%.3g", help="By the network: area of one proton, in the unit of the peaks."
            ),
            of_method: number(format="%.3g", help="In the same unit."),
        },
    )
    if result.sample is None or result.sample.spectrum is None:
        st.caption(
            f"{method.capitalize()} names a compound from {beside_network.THRESHOLD:.1%} of the"
            " largest area: chosen on spectra whose amounts vary tenfold. Smaller amounts, as in"
            " drawn mixtures, are below it."
        )


def _settings(method: str) -> str:
    """Return what the method gets, and when it names a compound."""
    blur = beside_network.SETTING["blur"]
    how = f" Peaks are blurred by {blur:g} ppm." if method == "least squares" else ""
    return (
        "The same peaks, with the offset of the axis corrected, and the same library. A compound is"
        f" named from {beside_network.THRESHOLD:.1%} of the largest compound's area.{how} Chosen"
        " for least squares by `bench spectra`, used for every mixture."
    )
