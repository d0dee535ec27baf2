"""Figures and tables on a page, in the same way for all pages."""

from collections.abc import Callable
from typing import Any, TypeAlias

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from nmrclassify.files.tables import csv_text
from nmrclassify.plots.style import Theme
from nmrclassify.ui import url_state

# What Take it with you offers: a figure, or what makes the table of another picture.
Picture: TypeAlias = go.Figure | Callable[[], pd.DataFrame]
_CONFIG = {
    "displaylogo": False,
    # What remains saves the figure, and shows it in the whole window.
    "modeBarButtonsToRemove": [
        *("select2d", "lasso2d", "autoScale2d", "zoom2d", "pan2d"),
        *("zoomIn2d", "zoomOut2d", "resetScale2d"),
    ],
    "displayModeBar": "hover",
}


def theme() -> Theme:
    """Return the theme that the visitor has chosen."""
    return Theme(dark=st.context.theme.type == "dark", large=url_state.get("presenter"))


def start_page() -> None:
    """Start the list of the page's pictures; that of the previous run stays until the next run."""
    st.session_state["charts before"] = list(st.session_state.get("charts shown", {}))
    st.session_state["charts shown"] = {}


def shown() -> dict[str, Picture]:
    """Return the pictures of this run of the page so far, by their keys."""
    return st.session_state.setdefault("charts shown", {})


def shown_before() -> list[str]:
    """Return the keys of the pictures of the previous run."""
    return st.session_state.get("charts before", [])


def chart(figure: go.Figure, alt: str, key: str, clickable: bool = True, **options: Any) -> None:
    """Show a figure.

    Parameters
    ----------
    alt : str
        Description for screen readers.
    clickable : bool
        Whether a click on a map chooses a cell. False for maps of another mixture or model than the
        page's.
    **options
        Of `st.plotly_chart`.
    """
    shown()[key] = figure
    if not clickable:
        for trace in figure.data:
            if trace.meta:
                trace.meta = trace.meta | {"rows": None}
    # No theme of Streamlit: the figure has its colours, and Streamlit would search all of it.
    st.plotly_chart(
        figure, theme=None, width="stretch", config=_CONFIG, key=key, alt=alt, **options
    )


def download(label: str, table: pd.DataFrame, name: str, help: str | None = None) -> None:
    """Offer a table as CSV."""
    st.download_button(
        label,
        lambda: csv_text(table),
        name,
        "text/csv",
        icon=":material/download:",
        help=help,
        on_click="ignore",
    )
