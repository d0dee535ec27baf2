"""Showing figures and tables: one way for all pages."""

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from ..drawing import Theme

_CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"], "displayModeBar": "hover"}


def theme() -> Theme:
    """Return the colours of the visitor's present theme."""
    return Theme(dark=st.context.theme.type == "dark")


def chart(figure: go.Figure, alt: str, key: str, **options) -> None:
    """Show a figure with a description for screen readers; `options` are those of `st.plotly_chart`."""
    # Streamlit's own theming walks the whole figure in the browser; ours is in the figure already.
    st.plotly_chart(figure, theme=None, width="stretch", config=_CONFIG, key=key, alt=alt, **options)


def download(label: str, table: pd.DataFrame, name: str, help: str | None = None) -> None:
    """Offer a table as CSV."""
    st.download_button(label, lambda: table.to_csv(index=False), name, "text/csv", icon=":material/download:", help=help, on_click="ignore")
