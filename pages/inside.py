"""Look inside: one cell followed from mixture to class, every block, the filters, the receptive field, the weights."""

import streamlit as st

from nmrclassify.evaluation import interpretation
from nmrclassify.plots import activations
from nmrclassify.ui import charts, inspector, page, panels, url_state

view = page.setup("pages/inside.py")
model, axis, cell = view.checkpoint.model, view.library.axis, view.some_cell

st.title("Look inside")
st.markdown(
    "Everything between the mixture and the name of a compound, as numbers that you can follow."
    " **Click any cell of any map**, on this page or another, or choose it here."
)
panels.mixture_heading(view)
inspector.choose(view)

st.subheader("One cell, from mixture to class")
inspector.follow(view, "inspector")

st.subheader("What every filter looks for, and what it writes")
encoder, decoder = interpretation.filters(model)
charts.chart(
    activations.filter_grid(encoder, decoder, view.theme, cell.filter),
    key="filters",
    alt=(
        f"Weights of the {len(encoder)} filters of encoder and decoder as patterns of"
        f" {encoder.shape[1]} peaks by 3 positions; filter {cell.filter} is framed"
    ),
)
st.caption(
    f"Each little picture is one of {len(encoder)} filters: its rows are the {encoder.shape[1]}"
    " peaks of a multiplet, its columns three positions, the larger shift left. Blue answers to"
    " area, orange against it. "
    + ("" if view.checkpoint.step else "They are random: this network is untrained. ")
    + "Click a filter to follow it."
)

st.subheader("What every block gives on")
which = url_state.widget(
    st.radio,
    "Blocks give on",
    "blocks",
    "skip",
    options=["skip", "residual"][: len(model.config.dilations)],
    horizontal=True,
    format_func={
        "skip": "Skip: what goes to the masks",
        "residual": "Residual: what goes to the next block",
    }.get,
)
found = interpretation.activations(model, view.areas)
charts.chart(
    activations.activation_maps(found, axis, view.theme, cell.position, which == "skip"),
    key="blocks",
    alt=(
        f"Activations of {len(found.dilations)} dilated blocks, {found.skip.shape[1]} channels by"
        f" {axis.n_positions} positions each"
    ),
)
st.caption(
    "Each map is a block, channels x positions. A block mixes a position with two others, as far"
    " away as its dilation says, and with all positions a little, through its norms."
)

st.subheader("All its weights")
table = interpretation.parameter_table(model)
parts = ", ".join(
    f"{part} {values:,}"
    for part, values in table.groupby("part", sort=False)["values"].sum().items()
)
st.markdown(f"**{model.n_parameters:,} numbers**: {parts}.")
st.dataframe(
    table,
    hide_index=True,
    height=280,
    column_config={
        "root mean square": st.column_config.NumberColumn(format="%.3f"),
        "largest": st.column_config.NumberColumn(format="%.3f"),
    },
)
charts.download("Parameters as CSV", table, "parameters.csv")

st.subheader("What a place can see, and what it does see")
if problem := interpretation.too_large(model.config):
    st.info(f"{problem}.")
    st.stop()
field = interpretation.receptive_field(model, view.areas, cell.position)
leaks = " and ".join(
    f"{leak:.0%} at *{stage}*"
    for stage, leak in list(zip(field.stages, field.leak, strict=False))[1:3]
)
charts.chart(
    activations.receptive_field(field, axis, view.theme),
    key="receptive field",
    alt=(
        f"Gradient of every stage at position {cell.position} with respect to the mixture, and the"
        f" reach of its convolutions; outside the reach lie {leaks}"
    ),
)
st.caption(
    f"Colour: the gradient of each stage at position {cell.position} with respect to the mixture at"
    " each position, measured here. Orange frame: what the convolutions alone can bring in, up to"
    f" {model.config.receptive_field + 2} positions by count of kernels and dilations. What lies"
    f" outside of it, {leaks}, comes through the norms, which average over the whole axis."
)
