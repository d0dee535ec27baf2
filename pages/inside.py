"""Look inside: one cell from mixture to class, filters, blocks, weights and the receptive field."""

from collections import Counter

import streamlit as st

from nmrclassify.evaluation import interpretation
from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.lessons.glossary import term
from nmrclassify.plots import activations
from nmrclassify.plots.map_rows import centre_label
from nmrclassify.ui import cell_panel, charts, page, panels, results, url_state

view = page.setup("pages/inside.py")
model, axis, cell = view.checkpoint.model, view.library.axis, view.followed_cell

st.title("Look inside")
st.markdown(
    f"Every number between the {term('mixture')} and the name of a {term('compound')}: click a"
    " cell, here or on another page, or choose one."
)
panels.mixture_heading(view)
cell_panel.fields(view)

encoder, decoder = interpretation.filters(model)
counted = "; ".join(
    f"{times} {name}"
    for name, times in Counter(pattern.name for pattern in patterns_of(model)).most_common(4)
)
st.subheader(
    "The filters of encoder and decoder",
    help=f"Each small picture is one of {len(encoder)} filters. Its rows are the"
    f" {encoder.shape[1]} peaks of a multiplet. Its columns are three positions, with the larger"
    " shift on the left. Filters are ordered by the multiplet to which they respond most: first"
    " those at their own position, then at the left, then at the right. The most frequent:"
    f" {counted}. Click a filter to follow it.",
)
charts.chart(
    activations.filter_grid(encoder, decoder, view.theme, cell.filter),
    key="filters",
    alt=(
        f"Weights of the {len(encoder)} filters of encoder and decoder as patterns of"
        f" {encoder.shape[1]} peaks by 3 positions; filter {cell.filter} is framed"
    ),
)
st.caption(
    "Blue weights are positive, orange ones negative."
    + ("" if view.checkpoint.step else " They are random: this network is untrained.")
)

st.subheader(
    "The output of every block",
    help=f"A map is one {term('dilated block')}, channels by positions. It combines each position"
    f" with two others, at the distance of its {term('dilation')}. Through its norms, all positions"
    " have a small influence too.",
)
which = url_state.widget(
    st.radio,
    "Output",
    "blocks",
    options=["skip", "residual"][: len(model.config.dilations)],
    horizontal=True,
    format_func={
        "skip": "Skip: goes to the masks",
        "residual": "Residual: goes to the next block",
    }.get,
)
blocks = interpretation.activations(model, view.areas)
charts.chart(
    activations.activation_maps(blocks, axis, view.theme, cell.position, which == "skip"),
    key="blocks",
    alt=(
        f"Activations of {len(blocks.dilations)} dilated blocks, {blocks.skip.shape[1]} channels by"
        f" {axis.n_positions} positions each"
    ),
)

st.subheader("All weights")
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

place = centre_label(axis, cell.position)
st.subheader(
    "Receptive field: which positions influence this one?",
    help=f"Colour: the gradient of each stage at {place} with respect to each position of the"
    f" mixture, for this mixture. The frame has at most {model.config.receptive_field + 2}"
    " positions, as computed from kernel sizes and dilations. The norms average over the whole"
    " axis.",
)
if problem := interpretation.too_large(model.config):
    st.info(f"{problem}.")
    st.stop()
field = results.receptive_field(model, view.areas, cell.position)
leaks = " and ".join(
    f"{leak:.0%} at *{stage}*"
    for stage, leak in list(zip(field.stages, field.leak, strict=False))[1:3]
)
charts.chart(
    activations.receptive_field(field, axis, view.theme),
    key="receptive field",
    alt=(
        f"Gradient of every stage at {place} with respect to the mixture, and the"
        f" reach of its convolutions; outside the reach lie {leaks}"
    ),
)
st.caption(
    f"Orange frame: what the convolutions reach. Outside it, {leaks} of the gradient come through"
    " the norms."
)
