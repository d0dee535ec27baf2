"""The panel at the foot of every page: how the value of a cell is computed.

A click on a map, or on the network's picture, unfolds the cell that the link calls `unfolded`. The
panel is a fragment: it is painted first, and then the page runs, whose figures frame the cell.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.evaluation.interpretation import Cell, strongest_filter, trace_cell
from nmrclassify.evaluation.stages import Stage, explain
from nmrclassify.plots.activations import describe_effect
from nmrclassify.plots.arithmetic import STEPS, CellOfStage, Words, row_order, way_of
from nmrclassify.plots.map_rows import centre_label
from nmrclassify.ui import results, url_state
from nmrclassify.ui.clicks import Click, decode
from nmrclassify.ui.panels import View

_FOLDER, _KEY = Path(__file__).parent, "cell panel"
_PARTS = ("output", "filter", "position")
# The quiz would show its answer; an open lesson has figures of its own mixtures.
_SHOWN = "panel shows"  # the view and the page of the newest run
_WITHOUT = ("pages/quiz.py", "pages/lessons.py")


@st.cache_resource(max_entries=1, show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "nmrclassify_cell_panel",
        html='<div class="dock"></div>',
        css=(_FOLDER / "cell_panel.css").read_text(encoding="utf-8"),
        js=(_FOLDER / "cell_panel.js").read_text(encoding="utf-8"),
    )


def _to_text(cell: CellOfStage) -> str:
    return f"{cell.key.replace(' ', '-')}~{cell.row}~{cell.position}"


def _from_text(text: str) -> CellOfStage:
    key, row, position = text.split("~")
    return CellOfStage(key.replace("-", " "), int(row), int(position))


def unfold(cell: CellOfStage) -> None:
    """Unfold a cell, and let the maps of all pages frame it.

    Raises
    ------
    ValueError
        If no network can have such a cell.
    """
    text = _to_text(cell)
    url_state.PARAMETERS["unfolded"].parse(text)
    url_state.put("unfolded", text)
    if cell.kind in ("mask", "separated", "multiplets", "classes"):
        url_state.put("output", int(cell.number) + 1)
    if cell.kind == "classes":  # it has no position
        return
    url_state.put("position", cell.position)
    if cell.kind in ("encoding", "mask", "separated"):
        url_state.put("filter", cell.row)


def fold() -> None:
    """Close the panel."""
    url_state.put("unfolded", None)
    st.session_state["panel folded"] = True


def choose(value: Any, view: View) -> bool:
    """Unfold the cell that a message of the browser names, or fold; ignore any other message.

    Returns whether a cell was unfolded.
    """
    try:
        if not value["key"]:
            fold()
            return False
        if value["key"] == "usual":
            unfold(_usual(view))
            return True
        unfold(CellOfStage(str(value["key"]), int(value["row"]), int(value["position"])))
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        return False
    return True


def cell_of(click: Click, view: View) -> CellOfStage:
    """Return the cell of the network that a clicked cell of a map stands for.

    Positions of maps that are not of the network stand for the strongest filter there.
    """
    output = view.followed_output if click.output is None else click.output
    if click.rows == "classes":
        return CellOfStage(f"classes {output}", click.row, 0)
    position = view.followed_cell.position if click.position is None else click.position
    if click.stage is not None:
        return CellOfStage(click.stage, click.row, position)
    if click.rows in ("filter", "grid"):
        key = "encoding" if click.output is None else f"mask {output}"
        return CellOfStage(key, click.row, position)
    if click.rows == "peak" and click.output is not None:
        return CellOfStage(f"multiplets {output}", click.row, position)
    strongest = strongest_filter(view.prediction.encoding, position)
    if click.rows == "compound" and view.checkpoint.model.outputs_are_classes:
        return CellOfStage(f"mask {click.row}", strongest, position)
    return CellOfStage("encoding", strongest, position)


def choose_clicked(click: Click, view: View, page: str) -> bool:
    """Choose the clicked cell, or training step; return whether a cell was unfolded."""
    if click.rows == "steps":
        url_state.put("step", click.row)
        return False
    # On the page What if a click on peaks chooses what to edit.
    edits = page == "pages/whatif.py" and click.rows not in ("filter", "classes")
    if page in _WITHOUT or edits:
        if click.position is not None:
            url_state.put("position", click.position)
        return False
    try:
        unfold(cell_of(click, view))
    except ValueError:  # of a message that no figure sends
        return False
    return True


def show(view: View, page: str) -> None:
    """Draw the panel of a page, open if the link names a cell; listen to clicks on its maps."""
    with st.container(key="cell-panel"):
        _panel(view, page)


def _shown() -> tuple[View, str]:
    return st.session_state[_SHOWN]


def _unfold_here(page: str) -> None:
    state = st.session_state
    state.pop("panel folded", None)
    if page != "app.py":  # its picture follows by itself, the figures of pages are drawn again
        state["panel run"] = state.get("panel run", 0) + 1
        state["page follows"] = "later"


def _clicked() -> None:
    click, (view, page) = decode(st.session_state[_KEY].click), _shown()
    if click is None:
        return
    if choose_clicked(click, view, page):
        _unfold_here(page)
    else:
        st.session_state["page follows"] = "now"


def _chosen() -> None:
    view, page = _shown()
    if choose(st.session_state[_KEY].cell, view):
        _unfold_here(page)


def _follow() -> None:
    st.session_state["page follows"] = "now"


def _slides() -> None:
    st.session_state["panel slides"] = True


@st.fragment
def _panel(view: View, page: str) -> None:
    state = st.session_state
    # Streamlit keeps the callbacks of every page for the whole session: none may hold a view.
    state[_SHOWN] = view, page
    follows = state.pop("page follows", None)
    if follows == "now":
        st.rerun()
    data: dict[str, Any] = {"open": False, "offers": page not in _WITHOUT}
    cell = None if page in _WITHOUT else _unfolded(view, page)
    slides = state.pop("panel slides", False)
    if cell is not None and (described := _describe(view, cell, slides)):
        data |= described | {"open": True}
    if follows == "later":
        data["follow"] = state["panel run"]
    _component()(
        key=_KEY,
        data=data,
        on_click_change=_clicked,
        on_cell_change=_chosen,
        on_follow_change=_follow,
        on_slide_change=_slides,
    )
    url_state.write_from_fragment()


def _usual(view: View) -> CellOfStage:
    cell = view.followed_cell
    return CellOfStage(f"mask {cell.output}", cell.filter, cell.position)


def _unfolded(view: View, page: str) -> CellOfStage | None:
    """Return the cell to show; Look inside has one until the panel is closed."""
    text = url_state.get("unfolded")
    if text is not None:
        return _from_text(text)
    if page == "pages/inside.py" and not st.session_state.get("panel folded"):
        return _usual(view)
    return None


def fields(view: View) -> None:
    """Draw the fields that choose a cell of a mask; a change of one keeps the other two."""
    cell, model = view.followed_cell, view.checkpoint.model

    def chosen() -> None:
        output, row, position = (int(st.session_state[f"cell {part}"]) for part in _PARTS)
        unfold(CellOfStage(f"mask {output - 1}", row, position))

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


def _stages(view: View, output: int) -> dict[str, Stage]:
    model, outputs = view.checkpoint.model, view.prediction.outputs
    if output not in outputs:
        outputs = np.array([output])
    return {one.key: one for one in results.network_stages(model, view.areas, outputs)}


def _words(view: View) -> Words:
    patterns = patterns_of(view.checkpoint.model)
    return Words(view.library.axis, patterns, view.classes, view.output_name)


def _slide(
    view: View, cell: CellOfStage, n_positions: int, dilation: int | None
) -> list[dict[str, Any]]:
    """Return the arithmetic of a cell's row at every position, from left to right as drawn."""
    words, frames = _words(view), []
    for position in reversed(range(n_positions)):
        here = replace(cell, position=position)
        arithmetic = explain(view.checkpoint.model, view.areas, cell.key, cell.row, position)
        frames.append(
            {
                "title": words.sentence(here, arithmetic.result, dilation),
                "cell": here.as_data(),
                "arithmetic": words.arithmetic(arithmetic),
            }
        )
    return frames


def _describe(view: View, cell: CellOfStage, slides: bool = False) -> dict[str, Any] | None:
    """Return what the panel draws, with `slides` also to slide; None if there is no such cell."""
    model, names = view.checkpoint.model, view.library.names
    of_output = cell.kind in ("mask", "separated", "multiplets", "classes")
    output = int(cell.number) if of_output else view.followed_output
    if cell.kind not in STEPS or output >= model.n_outputs:
        return None
    found = _stages(view, output)
    try:
        arithmetic = explain(model, view.areas, cell.key, cell.row, cell.position)
    except ValueError:
        return None
    patterns, words = patterns_of(model), _words(view)
    stage = found[cell.key.replace("residual", "block")]
    position, n_filter = url_state.get("position"), url_state.get("filter")
    if position is None:
        position = view.followed_cell.position
    way = way_of(
        cell,
        found,
        output,
        min(position, model.config.n_positions - 1),
        None if n_filter is None else min(n_filter, model.config.n_filters - 1),
    )
    effect = ""
    if cell.kind in ("mask", "separated"):
        at = Cell(output, cell.row, cell.position)
        effect = describe_effect(trace_cell(model, view.areas, at), names, model.kind)
    edited = f", {len(view.edits)} edits" if view.edits else ""
    return {
        "title": words.sentence(cell, arithmetic.result, stage.dilation),
        "about": f"{view.title}{edited} · {view.model_name}",
        "cell": cell.as_data(),
        "way": [one.as_data() | {"label": STEPS[one.kind], "here": one == cell} for one in way],
        "rows": row_order(stage, patterns),
        "positions": stage.values.shape[1],
        "arithmetic": words.arithmetic(arithmetic),
        "effect": effect,
        "slide": _slide(view, cell, stage.values.shape[1], stage.dilation) if slides else None,
    }
