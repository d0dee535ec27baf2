"""Separation: separated multiplets and the truth, class probabilities, amounts or matching."""

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.mixtures import grid_files
from nmrclassify.plots import classes, maps, page_figures
from nmrclassify.plots.outputs import output_names
from nmrclassify.ui import charts, page, panels

view = page.setup("pages/separation.py")
prediction, truth, axis, names = view.prediction, view.truth, view.library.axis, view.library.names
called = output_names(prediction, names)

st.title("Separation")
panels.mixture_heading(view)
panels.show_prediction(view)

st.subheader("Separated multiplets")
charts.chart(
    page_figures.separation(prediction, truth, view.library, view.theme, view.cell),
    alt=f"Separated multiplets of each output, and truth. {classes.alt_text(prediction, names)}",
    key="separated",
)
if truth is not None:
    residual = prediction.multiplets - truth.sources
    high = float(max(np.abs(truth.sources).max(), 1e-6))
    charts.chart(
        maps.difference_maps(
            "Residual: separated minus truth",
            residual,
            high,
            axis,
            view.theme,
            prediction.outputs,
            view.cell,
            shown=called,
        ),
        alt=f"Residual of each output; the largest is {np.abs(residual).max():.2g}",
        key="residual",
    )
    gains = ", ".join(
        f"{name} {gain:+.1f} dB"
        if np.isfinite(gain)
        else f"{name} none (it is the only compound of the mixture)"
        if source.any()
        else f"{name} none (it is not in the mixture)"
        for name, gain, source in zip(called, truth.si_sdr_improvement, truth.sources, strict=True)
    )
    st.caption(
        "Improvement of the scale-invariant signal-to-distortion ratio (SI-SDR) over the mixture:"
        f" {gains}."
    )

st.subheader(
    "Which compounds are there?"
    if prediction.outputs_are_classes
    else "Which compound is each output?"
)
charts.chart(
    classes.class_heatmap(prediction, names, view.theme, truth),
    alt=classes.alt_text(prediction, names),
    key="classes",
)
charts.chart(
    classes.class_bars(prediction, names, view.theme),
    alt=f"The same as bars. {classes.alt_text(prediction, names)}",
    key="bars",
)

if prediction.amounts is not None:
    st.subheader("How much of each?")
    st.container(key="amounts").dataframe(
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
        "Each compound of the library has its own output, so outputs need no matching. Amounts are"
        " concentrations; 1 is the concentration in the library. Counts above 1 are possible only"
        " where the data allow the same compound twice."
    )
elif truth is not None and truth.pairing is not None:
    weight = view.checkpoint.training.reconstruction_weight
    st.subheader("How outputs are matched to sources")
    st.markdown(
        "The outputs have no fixed order. Each pairing of an output with a source has a **cost**:"
        f" the cross entropy of the class (first number) plus {weight:g} times the relative squared"
        " error of the multiplets (second number). The frames mark the chosen pairing: the pairing"
        " with the most correct names and, among those, the lowest sum of costs. Training chooses"
        " the lowest sum, of masks too."
    )
    class_labels = prediction.class_names(names)
    lacking = len(prediction.named) - len(view.labels)
    sources = [class_labels[k] for k in view.labels] + ["nothing"] * lacking
    chosen = ", ".join(
        f"{name} with {class_labels[k]}" for name, k in zip(called, truth.labels, strict=True)
    )
    charts.chart(
        classes.cost_matrix(truth, called, sources, weight, view.theme),
        alt=f"Cost of each pairing; chosen: {chosen}",
        key="costs",
    )

st.subheader("Tables")
one, two = st.columns(2)
with one:
    charts.download(
        "Separated multiplets as CSV",
        grid_files.areas_table(prediction.multiplets, axis, "output", called),
        "separated.csv",
    )
with two:
    probabilities = pd.DataFrame(
        prediction.probabilities,
        columns=list(prediction.class_names(names)[: prediction.probabilities.shape[1]]),
    )
    probabilities.insert(0, "output", "all" if prediction.outputs_are_classes else called)
    charts.download("Probabilities as CSV", probabilities, "probabilities.csv")
