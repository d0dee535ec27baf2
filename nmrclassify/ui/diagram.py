"""The network as one picture: a component that draws it, and unfolds the arithmetic of a cell."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.evaluation.stages import explain
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.plots.diagram import describe_arithmetic, describe_network, network_table
from nmrclassify.plots.style import Theme
from nmrclassify.ui import charts, results, url_state
from nmrclassify.ui.panels import View

_FOLDER, _KEY = Path(__file__).parent, "network"


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


def _data(
    key: str,
    model: Network,
    areas: np.ndarray,
    prediction: Prediction,
    truth: Truth | None,
    library: Library,
    theme: Theme,
) -> dict[str, Any]:
    stages = results.network_stages(model, areas, prediction.outputs)
    charts.shown()[key] = partial(network_table, stages, prediction, library.names, library.axis)
    return describe_network(
        stages,
        prediction,
        truth,
        library.names,
        library.axis,
        patterns_of(model),
        model.config.n_layers,
        theme,
    )


def show_moving(
    model: Network,
    areas: np.ndarray,
    prediction: Prediction,
    truth: Truth | None,
    library: Library,
    theme: Theme,
    key: str,
) -> None:
    """Draw the network with a mixture, shape (P, L); the maps change in place with its weights."""
    data = _data(key, model, areas, prediction, truth, library, theme)
    _component()(key=key, data=data | {"follows": True})


@st.fragment
def show(view: View) -> None:
    """Draw the network with the view's mixture; a click unfolds a cell, in this fragment only."""
    model = view.checkpoint.model
    data = _data(_KEY, model, view.areas, view.prediction, view.truth, view.library, view.theme)

    def chosen() -> None:
        choose(st.session_state[_KEY].cell)

    text = url_state.get("unfolded")
    if text is not None:
        stage, row, position = _from_text(text)
        ids = {one["key"]: one["ids"] for one in data["stages"]}
        if row in ids.get(stage, ()) and position < len(data["positions"]):
            data["cell"] = {"key": stage, "row": ids[stage].index(row), "position": position}
            cell = explain(model, view.areas, stage, row, position)
            data["panel"] = describe_arithmetic(cell)
    _component()(key=_KEY, data=data, on_cell_change=chosen)
    url_state.write_from_fragment()
