"""Separation and classes: separated multiplets beside the truth, class probabilities, the matching, the verdict."""

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.evaluation.prediction import class_names
from nmrclassify.mixtures import grid_files
from nmrclassify.plots import classes, maps
from nmrclassify.ui import charts, page, panels

view = page.setup("pages/separation.py")
given, truth, axis, names = view.prediction, view.truth, view.library.axis, view.library.names

st.title("Separation and classes")
panels.mixture_heading(view)
panels.say_verdict(view)

st.subheader("Separated multiplets")
headings = classes.headings(given, names, truth)
rows = [("Separated by the network", given.multiplets)] + (
    [("Truth", truth.sources)] if truth is not None else []
)
charts.chart(
    maps.area_maps(
        rows, axis, view.theme, headings=headings, indices=given.outputs, cell=view.cell
    ),
    alt=f"Separated multiplets of each output beside the truth. {classes.alt_text(given, names)}",
    key="separated",
)
if truth is not None:
    residual = given.multiplets - truth.sources
    high = float(max(np.abs(truth.sources).max(), 1e-6))
    charts.chart(
        maps.difference_maps(
            "Residual: separated minus truth",
            residual,
            high,
            axis,
            view.theme,
            given.outputs,
            view.cell,
        ),
        alt=f"Residual of each output; the largest is {np.abs(residual).max():.2g}",
        key="residual",
    )
    gains = ", ".join(
        (
            f"output {i + 1} {gain:+.1f} dB"
            if np.isfinite(gain)
            else (
                f"output {i + 1} none, it was alone in the mixture"
                if truth.sources[i].any()
                else f"output {i + 1} none, its compound is not in the mixture"
            )
        )
        for i, gain in enumerate(truth.si_sdr_improvement)
    )
    st.caption(
        f"Scale-invariant signal-to-distortion ratio, improvement over the mixture: {gains}."
    )

st.subheader(
    "Which compounds are there?" if given.kind == "queries" else "Which compound is each output?"
)
charts.chart(
    classes.class_heatmap(given, names, view.theme, truth),
    alt=classes.alt_text(given, names),
    key="classes",
)
charts.chart(
    classes.class_bars(given, names, view.theme),
    alt=f"The same as bars. {classes.alt_text(given, names)}",
    key="bars",
)

if given.kind == "queries":
    st.subheader("How much of each?")
    st.dataframe(
        panels.amounts_table(view),
        hide_index=True,
        column_config={
            "probability": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent"
            ),
            "amount": st.column_config.NumberColumn(format="%.2f"),
            "true amount": st.column_config.NumberColumn(format="%.2f"),
        },
    )
    st.caption(
        "Each compound of the library has its own output, so nothing has to be matched. Amounts are"
        " concentrations, 1 as in the library; a count tells portions of one compound apart only"
        " where the data allow the same compound twice."
    )
elif truth is not None:
    weight = view.checkpoint.training.reconstruction_weight
    st.subheader("How outputs are matched to sources")
    st.markdown(
        "The outputs have no order of their own. Each pairing of an output with a source has a"
        f" **cost**: cross entropy of the class (first number of the sum) plus {weight:g} times the"
        " relative squared error of the multiplets (second). The frames mark the pairing that"
        " counts, with as many right names as can be and then the lowest sum; training takes the"
        " lowest sum."
    )
    called = class_names(given.kind, names)
    sources = [called[k] for k in view.labels]
    chosen = ", ".join(f"output {i + 1} with {called[k]}" for i, k in enumerate(truth.labels))
    charts.chart(
        classes.cost_matrix(truth, sources, weight, view.theme),
        alt=f"Cost of each pairing; chosen: {chosen}",
        key="costs",
    )

st.subheader("Tables")
one, two = st.columns(2)
with one:
    outputs = tuple(f"output {i + 1}" for i in range(len(given.multiplets)))
    charts.download(
        "Separated multiplets as CSV",
        grid_files.areas_table(given.multiplets, axis, "output", outputs),
        "separated.csv",
    )
with two:
    probabilities = pd.DataFrame(
        given.probabilities,
        columns=list(class_names(given.kind, names)[: given.probabilities.shape[1]]),
    )
    probabilities.insert(0, "output", "all" if given.kind == "queries" else outputs)
    charts.download("Probabilities as CSV", probabilities, "probabilities.csv")
