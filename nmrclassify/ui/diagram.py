"""The network as one picture: a component that draws it, and unfolds the arithmetic of a cell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.evaluation.stages import explain
from nmrclassify.plots.diagram import describe_arithmetic, describe_network
from nmrclassify.ui import results, url_state
from nmrclassify.ui.panels import View

_FOLDER = Path(__file__).parent


@st.cache_resource(max_entries=1, show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "nmrclassify_diagram",
        html='<div class="diagram"></div>',
        css=(_FOLDER / "diagram.css").read_text(encoding="utf-8"),
        js=(_FOLDER / "diagram.js").read_text(encoding="utf-8"),
    )


def _to_text(key: str, row: int, position: int) -> str:
    return f"{key.replace(' ', '-')}~{row}~{position}"


def _from_text(text: str) -> tuple[str, int, int]:
    key, row, position = text.split("~")
    return key.replace("-", " "), int(row), int(position)


def choose(value: Any) -> None:
    """Unfold the cell that a message of the component names, or fold; ignore any other message."""
    try:
        key, row, position = str(value["key"]), int(value.get("row", 0)), value.get("position", 0)
        text = _to_text(key, row, int(position))
        if key:
            url_state.PARAMETERS["unfolded"].parse(text)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        return
    url_state.put("unfolded", text if key else None)
    kind, _, output = key.rpartition(" ")
    if key and kind != "classes":
        # The other pages follow the same cell.
        url_state.put("position", int(position))
        if kind in ("mask", "separated") or key == "encoding":
            url_state.put("filter", row)
        if kind in ("mask", "separated", "multiplets"):
            url_state.put("output", int(output) + 1)


def show(view: View, key: str = "network", unfolds: bool = True) -> None:
    """Draw the network with the view's mixture; a chosen cell is computed in a fragment.

    Parameters
    ----------
    unfolds : bool
        Whether a click unfolds the arithmetic of a cell. Only one picture of a page may.
    """
    model, prediction = view.checkpoint.model, view.prediction
    found = results.network_stages(model, view.areas, prediction.outputs)
    data = describe_network(
        found,
        prediction,
        view.truth,
        view.library.names,
        view.library.axis,
        patterns_of(model),
        model.config.n_layers,
        view.theme,
    )
    data["unfolds"] = unfolds
    if not unfolds:
        _component()(key=key, data=data)
        return

    def chosen() -> None:
        choose(st.session_state[key].cell)

    text = url_state.get("unfolded")
    if text is not None:
        stage, row, position = _from_text(text)
        ids = {one["key"]: one["ids"] for one in data["stages"]}
        if row in ids.get(stage, ()) and position < len(data["positions"]):
            data["cell"] = {"key": stage, "row": ids[stage].index(row), "position": position}
            try:
                data["panel"] = describe_arithmetic(
                    explain(model, view.areas, stage, row, position)
                )
            except ValueError as error:
                data["panel"] = {"problem": f"{error}."}
    _component()(key=key, data=data, on_cell_change=chosen)


@st.fragment
def show_alone(view: View) -> None:
    """Draw the network so that a click on it runs nothing else of the page."""
    show(view)
    url_state.write_from_fragment()
