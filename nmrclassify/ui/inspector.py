"""The inspector: what one cell of the masks does, from the mixture to the classes."""

import streamlit as st

from nmrclassify.evaluation import interpretation
from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.plots import activations, page_figures
from nmrclassify.plots.map_rows import centre_label
from nmrclassify.ui import charts, url_state
from nmrclassify.ui.clicks import Click
from nmrclassify.ui.panels import View

_PARTS = ("output", "filter", "position")
EXPLANATION = (
    "**1** is the mixture around the position. **2** are the weights of the filter: the encoding is"
    " the sum of their products with **1**. **3** shows how much of the encoding each mask lets"
    " through (orange: the output that you clicked). **4** is what this one cell adds to the"
    " separated multiplets of that output. **5** is the sum of all cells there, from every filter."
    " **6** shows how the log odds of each class would change if the mask were 0 or 1. A change of"
    " 1 multiplies the odds by 2.7."
)


def choose_clicked(click: Click) -> None:
    """Choose the clicked cell, or training step, and ask for the inspector."""
    if click.rows == "steps":
        url_state.put("step", click.row)
        return
    if click.rows == "grid" or click.rows == "filter":
        url_state.put("filter", click.row)
    elif click.position is not None:
        # Maps of peaks, channels or compounds have no filters: the strongest there is chosen.
        url_state.put("filter", None)
    if click.rows == "compound" and st.session_state.get("outputs are classes"):
        url_state.put("output", click.row + 1)
    if click.output is not None:
        url_state.put("output", click.output + 1)
    if click.position is not None:
        url_state.put("position", click.position)
    # On the page What if a click on peaks chooses what to edit.
    st.session_state["inspector asked"] = (
        click.rows == "filter" or st.session_state.get("link page") != "pages/whatif.py"
    )


def show_clicked(view: View) -> None:
    """Open the inspector over the page if a cell was clicked just now.

    Not on Look inside, which always shows it, and not in the quiz, where it would show the answer.
    """
    if st.session_state.pop("inspector asked", False) and st.session_state.get("link page") not in (
        "pages/inside.py",
        "pages/quiz.py",
    ):
        _over_the_page(view)


@st.dialog("One cell, from mixture to class", width="large")
def _over_the_page(view: View) -> None:
    show_cell(view, "inspector")
    if st.button("Open on the page Look inside", icon=":material/search:"):
        st.switch_page("pages/inside.py", query_params=url_state.query())


def cell_fields(view: View) -> None:
    """Draw the fields that choose a cell; a change of one keeps the other two."""
    cell, model = view.followed_cell, view.checkpoint.model

    def chosen() -> None:
        for part in _PARTS:
            url_state.put(part, int(st.session_state[f"cell {part}"]))

    for part, value in zip(_PARTS, (cell.output + 1, cell.filter, cell.position), strict=True):
        st.session_state[f"cell {part}"] = value  # a click may have changed it
    one, two, three = st.columns(3)
    # Texts, not a function of the view: Streamlit keeps it for the whole session.
    names = {number: view.output_name(number - 1) for number in range(1, model.n_outputs + 1)}
    one.selectbox(
        "Mask of",
        range(1, model.n_outputs + 1),
        key="cell output",
        on_change=chosen,
        format_func=names.__getitem__,
    )
    two.number_input(
        "Filter", 0, model.config.n_filters - 1, step=1, key="cell filter", on_change=chosen
    )
    places = range(model.config.n_positions)[::-1]  # from left to right as on the axis
    three.select_slider(
        "Position",
        places,
        key="cell position",
        on_change=chosen,
        format_func={p: centre_label(view.library.axis, p) for p in places}.__getitem__,
    )


def show_cell(view: View, key: str) -> None:
    """Show what the chosen cell does, as a figure and in words."""
    model, cell = view.checkpoint.model, view.followed_cell
    names, axis = view.library.names, view.library.axis
    trace = interpretation.trace_cell(model, view.areas, cell)
    pattern = patterns_of(model)[cell.filter].name
    edited = f", {len(view.edits)} edits" if view.edits else ""
    st.markdown(
        f"**{view.output_name(cell.output)} · {centre_label(axis, cell.position)} · filter"
        f" {cell.filter} ({pattern}) · mask {trace.masks[cell.output]:.2f}**  \n"
        f"{view.title}{edited} · {view.model_name}"
    )
    words = activations.describe_cell(trace, names, model.kind, axis)
    charts.chart(
        page_figures.cell_trace(trace, model.kind, view.library, view.theme), alt=words, key=key
    )
    st.caption(words)
    st.caption(EXPLANATION)
