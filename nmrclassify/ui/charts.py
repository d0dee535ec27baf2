"""Showing figures and tables: one way for all pages."""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from nmrclassify.plots.style import Theme
from nmrclassify.ui import url_state

_CONFIG = {
    "displaylogo": False,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "displayModeBar": "hover",
}


def theme() -> Theme:
    """Return the colours of the visitor's present theme."""
    return Theme(dark=st.context.theme.type == "dark", large=url_state.get("present", False))


def begin() -> None:
    """Start the list of what a page shows; the list of the run before stays until the next."""
    st.session_state["charts before"] = list(st.session_state.get("charts shown", {}))
    st.session_state["charts shown"] = {}


def shown() -> dict[str, go.Figure]:
    """Return the figures that this run of the page has shown so far, by their keys; it fills as the page goes on."""
    return st.session_state.setdefault("charts shown", {})


def shown_before() -> list[str]:
    """Return the keys of the figures that the run before has shown."""
    return st.session_state.get("charts before", [])


def chart(figure: go.Figure, alt: str, key: str, follow: bool = True, **options) -> None:
    """Show a figure with a description for screen readers; `options` are those of `st.plotly_chart`.

    A click on its maps is followed, unless they are of another mixture or model than the page's:
    `follow` is False then.
    """
    shown()[key] = figure
    if not follow:
        for trace in figure.data:
            if trace.meta:
                trace.meta = trace.meta | {"rows": None}
    # Streamlit's own theming walks the whole figure in the browser; ours is in the figure already.
    st.plotly_chart(
        figure, theme=None, width="stretch", config=_CONFIG, key=key, alt=alt, **options
    )


def download(label: str, table: pd.DataFrame, name: str, help: str | None = None) -> None:
    """Offer a table as CSV."""
    st.download_button(
        label,
        lambda: table.to_csv(index=False),
        name,
        "text/csv",
        icon=":material/download:",
        help=help,
        on_click="ignore",
    )
