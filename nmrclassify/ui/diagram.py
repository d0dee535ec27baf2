"""The network as one picture: the component that draws it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.plots.diagram import describe_network, network_table
from nmrclassify.plots.style import Theme
from nmrclassify.ui import charts, results
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


def show(view: View) -> None:
    """Draw the network with the view's mixture; a click unfolds a cell in the panel of the page."""
    model = view.checkpoint.model
    data = _data(
        "network", model, view.areas, view.prediction, view.truth, view.library, view.theme
    )
    _component()(key="network", data=data)
