"""The editor of the page *What if*: edits by click, in tables, and by buttons; undo and redo."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from nmrclassify.mixtures.edits import (
    MAX_AMOUNT,
    MAX_AREA,
    MAX_EDITS,
    Add,
    Amount,
    Cut,
    Edit,
    EditError,
    Move,
    Noise,
    Scale,
    apply,
    from_text,
    is_empty,
    to_text,
)
from nmrclassify.nmr.multiplets import SYMBOLS
from nmrclassify.plots.map_rows import centre_label, position_label
from nmrclassify.ui import url_state
from nmrclassify.ui.panels import View

LEAST = 0.01  # smaller multiplets, relative to the largest one, are in no table


def edits() -> tuple[Edit, ...]:
    """Return the edits in the link, whether or not they are possible."""
    return from_text(url_state.get("edits"))


def do(view: View, *new: Edit) -> None:
    """Make edits, if they are possible. Edits that were undone cannot be redone afterwards."""
    try:
        wanted = from_text(to_text((*edits(), *new)))  # to the digits that a link carries
        if len(wanted) > MAX_EDITS:
            raise EditError(
                f"{len(wanted)} edits; expected at most {MAX_EDITS}; undo some, or start over"
            )
        if is_empty(apply(view.plain, wanted, view.library), view.plain):
            raise EditError("nothing would be left in the mixture")
    except EditError as error:
        st.session_state["edit problem"] = f"This edit is not possible: {error}."
        return
    _show(wanted, [])


def _undone() -> list[Edit]:
    """Return the edits that can be made again, the next one last; none after other edits.

    A link or a step in the browser's history can replace the edits.
    """
    after, waiting = st.session_state.get("undone", ("", []))
    return waiting if after == url_state.get("edits") else []


def _show(wanted: Sequence[Edit], undone: list[Edit]) -> None:
    text = to_text(tuple(wanted))
    st.session_state["undone"] = (text, undone)
    url_state.put("edits", text or None)


def undo() -> None:
    """Undo the last edit."""
    *earlier, last = edits()
    _show(earlier, [*_undone(), last])


def redo() -> None:
    """Make the edit again that was undone last."""
    *waiting, again = _undone()
    if len(edits()) >= MAX_EDITS:
        st.session_state["edit problem"] = (
            f"This edit is not possible: there are already {MAX_EDITS} edits, the limit; undo some,"
            " or start over."
        )
        return
    _show((*edits(), again), waiting)


def start_over() -> None:
    """Undo all edits, the last one first, so that they can be redone in order."""
    _show((), [*_undone(), *reversed(edits())])


def history(view: View) -> None:
    """Draw the list of edits with undo, redo and start over."""
    present = edits()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Undo", on_click=undo, disabled=not present, icon=":material/undo:", shortcut="Alt+Z"
        )
        st.button(
            "Redo",
            on_click=redo,
            disabled=not _undone(),
            icon=":material/redo:",
            shortcut="Alt+Y",
        )
        st.button(
            "Start over", on_click=start_over, disabled=not present, icon=":material/restart_alt:"
        )
    if problem := st.session_state.pop("edit problem", None):
        st.warning(problem, icon=":material/block:")
    if present:
        st.markdown(
            "Edits so far: "
            + "; ".join(
                f"**{i + 1}.** {edit.words(view.library)}" for i, edit in enumerate(present)
            )
            + "."
        )
    else:
        st.markdown("No edits yet: click a position.")


def usual_position(view: View) -> int:
    """Return the position of the largest multiplet before any edit: the default position."""
    return int(np.abs(view.plain.areas).sum(axis=0).argmax())


def at_position(view: View) -> None:
    """Draw the edits of the chosen position."""
    axis, filled = view.library.axis, np.abs(view.areas).sum(axis=0)
    where, cut = st.columns([4, 1], vertical_alignment="bottom")
    with where:
        position = url_state.widget(
            st.select_slider,
            "Position",
            "position",
            usual_position(view),
            options=range(axis.n_positions)[::-1],  # from left to right as on the axis
            format_func=[centre_label(axis, p) for p in range(axis.n_positions)].__getitem__,
            help="You can also click a position of the mixture.",
        )
    size = float(filled[position])
    filled_here = size > LEAST * filled.max()
    st.markdown(
        f"**{position_label(axis, position)}**: "
        + (f"peak areas {size:.3g} in all" if filled_here else "no multiplet")
    )
    cut.button(
        "Remove it",
        on_click=do,
        args=(view, Cut(position)),
        disabled=not filled_here,
        icon=":material/delete:",
        width="stretch",
    )
    distance, move, kind, area, add = st.columns(5, vertical_alignment="bottom")
    by = distance.number_input(
        f"Move by ({'ppm' if axis.unit == 'ppm' else 'positions'})",
        -20.0 * axis.width,
        20.0 * axis.width,
        axis.width,
        axis.width / 5,
        key=f"move by {axis.unit}",
        help="With a fraction, two positions share the area.",
    )
    move.button(
        "Move it",
        on_click=_move,
        args=(view, position),
        disabled=not filled_here or by == 0,
        icon=":material/arrow_right_alt:",
        width="stretch",
    )
    kind.selectbox("Kind", SYMBOLS[: view.library.n_peaks], index=1, key="add kind")
    area.number_input("Area", 0.1, MAX_AREA, 1.0, 0.5, key="add area")
    add.button(
        "Add a multiplet",
        on_click=_add,
        args=(view, position),
        icon=":material/add:",
        width="stretch",
    )


# These read the fields when a button is pressed: a click and a change of a field can come together.
def _move(view: View, position: int) -> None:
    axis = view.library.axis
    do(view, Move(position, float(st.session_state[f"move by {axis.unit}"]) / axis.width))


def _add(view: View, position: int) -> None:
    do(view, Add(position, st.session_state["add kind"], float(st.session_state["add area"])))


def _add_noise(view: View) -> None:
    times = sum(isinstance(edit, Noise) for edit in edits())
    do(view, Noise(float(st.session_state["noise level"]), times + 1))


def compounds(view: View) -> None:
    """Draw the table of compounds and amounts; each changed number becomes an edit."""
    names, labels, concentrations = (
        view.library.names,
        view.sample.labels,
        view.sample.concentrations,
    )
    amounts, column = np.zeros(len(names)), "add amount"
    if labels is not None and concentrations is not None:
        column = "amount"
        in_library = labels < len(names)
        np.add.at(amounts, labels[in_library], concentrations[in_library])
    table = pd.DataFrame({"compound": names, column: amounts.round(4)})
    key = f"amounts {to_text(edits())} {view.title} {view.dataset.seed}"
    st.data_editor(
        table,
        hide_index=True,
        disabled=["compound"],
        key=key,
        on_change=edit_amounts,
        args=(view, key, column),
        height=min(38 + 35 * len(names), 400),
        column_config={
            column: st.column_config.NumberColumn(
                min_value=0.0, max_value=MAX_AMOUNT, step=0.01, format="%.2f"
            )
        },
    )


def edit_amounts(view: View, key: str, column: str) -> None:
    """Make an edit of each amount that was changed in the table of compounds."""
    changed = st.session_state[key]["edited_rows"]
    do(
        view,
        *(
            Amount(int(row) + 1, float(values.get(column) or 0.0))
            for row, values in changed.items()
        ),
    )


def multiplets(view: View) -> None:
    """Draw the table of multiplets; each changed, removed or added row becomes an edit."""
    axis, sizes = view.library.axis, view.areas.sum(axis=0)
    positions = np.flatnonzero(sizes > LEAST * np.abs(sizes).max())
    table = pd.DataFrame(
        {
            axis.title: axis.centres[positions].round(3),
            "area": sizes[positions].round(3),
            "kind": None,
        }
    )
    key = f"multiplets {to_text(edits())} {view.title} {view.dataset.seed}"
    st.data_editor(
        table,
        hide_index=True,
        num_rows="dynamic",
        key=key,
        on_change=edit_multiplets,
        args=(view, key, positions),
        column_config={
            axis.title: st.column_config.NumberColumn(
                min_value=float(axis.centres[0]),
                max_value=float(axis.centres[-1]),
                step=0.001,
                required=True,
                help="Change this number to move the multiplet",
            ),
            "area": st.column_config.NumberColumn(
                min_value=0.001, max_value=MAX_AREA, format="%.3g", required=True, default=1.0
            ),
            "kind": st.column_config.SelectboxColumn(
                options=list(SYMBOLS[: view.library.n_peaks]),
                default="s",
                help="Only for multiplets that you add",
            ),
        },
    )


def edit_multiplets(view: View, key: str, positions: np.ndarray) -> None:
    """Make edits of the rows that were changed, removed or added in the table of multiplets."""
    state, sizes, axis = st.session_state[key], view.areas.sum(axis=0), view.library.axis
    new: list[Edit] = []

    def place(values: dict) -> float:
        return (float(values[axis.title]) - float(axis.centres[0])) / axis.width

    for row, values in state["edited_rows"].items():
        position = int(positions[int(row)])
        if values.get("area"):
            new.append(Scale(position, float(values["area"]) / float(sizes[position])))
        if values.get(axis.title) is not None:
            new.append(Move(position, place(values) - position))
    new += [Cut(int(positions[int(row)])) for row in state["deleted_rows"]]
    for values in state["added_rows"]:
        if values.get(axis.title) is None:
            return  # not finished yet
        new.append(
            Add(
                round(place(values)),
                values.get("kind") or "s",
                float(values.get("area") or 1.0),
            )
        )
    do(view, *new)


def noise(view: View) -> None:
    """Draw the button that adds noise."""
    st.number_input("Noise (peak area)", 0.01, 1.0, 0.1, 0.05, key="noise level")
    st.button(
        "Add noise", on_click=_add_noise, args=(view,), icon=":material/grain:", width="stretch"
    )
