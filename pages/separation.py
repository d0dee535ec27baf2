"""Separation: separated multiplets and the truth, class probabilities, amounts or matching."""

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.lessons.glossary import term
from nmrclassify.mixtures import grid_files
from nmrclassify.plots import classes, page_figures
from nmrclassify.plots.outputs import output_names
from nmrclassify.ui import charts, page, panels

view = page.setup("pages/separation.py")
prediction, truth, axis, names = view.prediction, view.truth, view.library.axis, view.library.names
called = output_names(prediction, names)

st.title("Separation")
st.markdown(f"What each {term('output')} contains, beside the truth.")
panels.mixture_heading(view)
panels.show_prediction(view)

st.subheader("Separated multiplets")
charts.chart(
    page_figures.separation(prediction, truth, view.library, view.theme, view.cell),
    alt=(
        "Separated multiplets of each output, truth and difference."
        f" {classes.alt_text(prediction, names)}"
    ),
    key="separated",
)
if truth is not None:
    gains = ", ".join(
        f"{name} {gain:+.1f} dB"
        if np.isfinite(gain)
        else f"{name} none (the only compound)"
        if source.any()
        else f"{name} none (not in the mixture)"
        for name, gain, source in zip(called, truth.si_sdr_improvement, truth.sources, strict=True)
    )
    st.caption(
        f"{term('SI-SDR improvement')}: {gains}.",
        help="How much closer to the true source each output is than the mixture.",
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
    st.subheader(
        "How much of each?",
        help="Amounts are concentrations; 1 is the concentration in the library. Counts above 1 are"
        " possible only where the data allow the same compound twice. Each compound of the library"
        " has its own output, so outputs need no matching.",
    )
    st.container(key="amounts").dataframe(
        panels.amounts_table(view),
        hide_index=True,
        column_config={
            "amount": st.column_config.NumberColumn(format="%.2f"),
            "true amount": st.column_config.NumberColumn(format="%.2f"),
        },
    )
elif truth is not None and truth.pairing is not None:
    weight = view.checkpoint.training.reconstruction_weight
    st.subheader(
        "How outputs are matched to sources",
        help="Outputs have no fixed order. Each pairing of an output with a source has a cost: the"
        f" {term('cross entropy')} of the class (first number) plus {weight:g} times the relative"
        " squared error of the multiplets (second number). The frames mark the chosen pairing: the"
        " pairing with the most correct names and, among those, the lowest sum of costs. Training"
        " chooses the lowest sum, of masks too.",
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
