"""The inspector: a clicked cell of any map, followed from the mixture to the class."""

import streamlit as st

from nmrclassify.evaluation import interpretation
from nmrclassify.plots import activations
from nmrclassify.plots.map_rows import position_label
from nmrclassify.ui import charts, url_state
from nmrclassify.ui.clicks import Click
from nmrclassify.ui.panels import View

_PARTS = ("output", "filter", "position")
HOW = (
    "**1** is the mixture around the position. **2** are the weights of the filter: their products"
    " with 1 add up to the encoding. **3** shows how much of it each mask lets through (orange: the"
    " output that you clicked). **4** is what the decoder writes for what is let through, **5** all"
    " that it writes there, with every filter. **6** asks: how would the evidence for each class"
    " change (logarithm of the odds; 1 more is 2.7 times the odds), were the mask another one?"
)


def act(click: Click) -> None:
    """Note what was clicked; pages show it, and the inspector opens."""
    if click.rows == "steps":
        url_state.put("at", click.row)
        return
    if click.rows == "grid" or click.rows == "filter":
        url_state.put("filter", click.row)
    elif click.position is not None:
        # A map of peaks, channels or compounds has no filters: the loudest at that place is
        # followed.
        url_state.put("filter", None)
    if click.rows == "compound" and st.session_state.get("network kind") == "queries":
        url_state.put("output", click.row + 1)
    if click.output is not None:
        url_state.put("output", click.output + 1)
    if click.position is not None:
        url_state.put("position", click.position)
    # On the page What if a click on peaks chooses what to edit; the quiz's mixture is another one,
    # and not to be given away.
    st.session_state["inspector asked"] = (
        click.rows == "filter" or st.session_state.get("link page") != "pages/whatif.py"
    )


def show_if_asked(view: View) -> None:
    """Open the inspector over the page, if a cell was clicked just now."""
    if st.session_state.pop("inspector asked", False) and st.session_state.get("link page") not in (
        "pages/inside.py",
        "pages/quiz.py",
    ):
        _over_the_page(view)


@st.dialog("One cell, from mixture to class", width="large")
def _over_the_page(view: View) -> None:
    follow(view, "inspector")
    if st.button("Open on the page Look inside", icon=":material/search:"):
        st.switch_page("pages/inside.py", query_params=url_state.query())


def choose(view: View) -> None:
    """Draw the fields of the cell; what is chosen in one holds the other two as they are."""
    cell, model = view.some_cell, view.checkpoint.model

    def chosen() -> None:
        for part in _PARTS:
            url_state.put(part, int(st.session_state[f"cell {part}"]))

    for part, value in zip(_PARTS, (cell.output + 1, cell.filter, cell.position), strict=False):
        st.session_state[f"cell {part}"] = value  # a click may have moved it
    one, two, three = st.columns(3)
    one.selectbox(
        "Mask of",
        range(1, interpretation.n_outputs(model) + 1),
        key="cell output",
        on_change=chosen,
        format_func=lambda number: (
            view.classes[number - 1] if model.kind == "queries" else f"output {number}"
        ),
    )
    two.number_input(
        "Filter", 0, model.config.n_filters - 1, step=1, key="cell filter", on_change=chosen
    )
    three.number_input(
        "Position", 0, model.config.n_positions - 1, step=1, key="cell position", on_change=chosen
    )


def follow(view: View, key: str) -> None:
    """Show what the chosen cell does, in words and as a figure."""
    model, cell, names, axis = (
        view.checkpoint.model,
        view.some_cell,
        view.library.names,
        view.library.axis,
    )
    trace = interpretation.trace_cell(model, view.areas, cell)
    of = view.classes[cell.output] if model.kind == "queries" else f"output {cell.output + 1}"
    edited = f", {len(view.edits)} edits" if view.edits else ""
    st.markdown(
        f"**{position_label(axis, cell.position)} · filter {cell.filter} · mask of {of}** "
        f" \n{view.title}{edited} · {view.model_name}"
    )
    words = activations.describe_cell(trace, names, model.kind, axis)
    charts.chart(
        activations.cell_trace(trace, names, model.kind, axis, view.theme), alt=words, key=key
    )
    st.caption(words)
    st.caption(HOW)
