"""Look inside: one cell followed from mixture to class, every block, the filters, the receptive field, the weights."""

import streamlit as st

from nmrclassify import inside, inside_figures
from nmrclassify.ui import charts, inspector, link, views, workspace

view = workspace.setup("pages/inside.py")
model, axis, cell = view.checkpoint.model, view.library.axis, view.some_cell

st.title("Look inside")
st.markdown(
    "Everything between the mixture and the name of a compound, as numbers that you can follow. **Click any cell of any map**, on this page or "
    "another, or choose it here."
)
views.mixture_heading(view)
names = list(range(1, inside.n_outputs(model) + 1))
one, two, three = st.columns(3)
with one:
    link.widget(
        st.selectbox, "Mask of", "output", cell.output + 1, options=names,
        format_func=lambda number: view.classes[number - 1] if model.kind == "queries" else f"output {number}",
    )
with two:
    link.widget(st.number_input, "Filter", "filter", cell.filter, min_value=0, max_value=model.config.n_filters - 1, step=1)
with three:
    link.widget(st.number_input, "Position", "position", cell.position, min_value=0, max_value=axis.n_positions - 1, step=1)

st.subheader("One cell, from mixture to class")
inspector.follow(view, "inspector")

st.subheader("What every filter looks for, and what it writes")
encoder, decoder = inside.filters(model)
charts.chart(
    inside_figures.filter_grid(encoder, decoder, view.theme, cell.filter), key="filters",
    alt=f"Weights of the {len(encoder)} filters of encoder and decoder as patterns of {encoder.shape[1]} peaks by 3 positions; filter {cell.filter} is framed",
)
st.caption(
    f"Each little picture is one of {len(encoder)} filters: its rows are the {encoder.shape[1]} peaks of a multiplet, its columns three positions, the larger shift left. "
    "Blue answers to area, orange against it. The encoder learnt to answer multiplets, the decoder to write them: click a filter to follow it."
)

st.subheader("What every block gives on")
which = link.widget(
    st.radio, "Blocks give on", "blocks", "skip", options=["skip", "residual"], horizontal=True,
    format_func={"skip": "Skip: what goes to the masks", "residual": "Residual: what goes to the next block"}.get,
)
found = inside.activations(model, view.areas)
charts.chart(
    inside_figures.activation_maps(found, axis, view.theme, cell.position, which == "skip"), key="blocks",
    alt=f"Activations of {len(found.dilations)} dilated blocks, {found.skip.shape[1]} channels by {axis.n_positions} positions each",
)
st.caption("Each map is a block, channels x positions. A block mixes a position with two others, as far away as its dilation says, and with all positions a little, through its norms.")

st.subheader("What a place can see, and what it does see")
field = inside.receptive_field(model, view.areas, cell.position)
charts.chart(
    inside_figures.receptive_field(field, axis, view.theme), key="receptive field",
    alt=f"Gradient of every stage at position {cell.position} with respect to the mixture, and the reach of its convolutions; "
    f"at block 1 {field.leak[1]:.0%} lies outside the reach",
)
st.caption(
    f"Colour: the gradient of each stage at position {cell.position} with respect to the mixture at each position, measured here. Orange frame: what the "
    f"convolutions alone can bring in, up to {model.config.receptive_field + 2} positions by count of kernels and dilations. Outside of it, {field.leak[1]:.0%} after block 1 "
    f"and {field.leak[2]:.0%} after block 2, comes through the norms, which average over the whole axis."
)

st.subheader("All its weights")
table = inside.parameter_table(model)
parts = ", ".join(f"{part} {values:,}" for part, values in table.groupby("part", sort=False)["values"].sum().items())
st.markdown(f"**{model.n_parameters:,} numbers**: {parts}.")
st.dataframe(
    table, hide_index=True, height=280,
    column_config={"root mean square": st.column_config.NumberColumn(format="%.3f"), "largest": st.column_config.NumberColumn(format="%.3f")},
)
charts.download("Parameters as CSV", table, "parameters.csv")
