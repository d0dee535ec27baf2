"""Clicks on maps: one listener for a page tells which cell of which figure was clicked.

Streamlit hears of no click on a heatmap (streamlit#8760), but Plotly does, and says so to who listens in the browser.
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from ..drawing import GAP

# Plotly forgets its listeners whenever Streamlit mounts a figure anew, so they are added as the pointer goes down.
_LISTEN = """
export default function({ setTriggerValue }) {
  const told = (chart) => ({ points }) => {
    const point = points[0];
    if (!point || !point.data.meta || !Array.isArray(point.pointNumber)) return;
    const [row, column] = point.pointNumber;
    setTriggerValue('cell', { chart, meta: point.data.meta, row, column });
  };
  const listen = (event) => {
    const plot = event.target.closest?.('.js-plotly-plot');
    const chart = plot?.closest('[class*="st-key-"]')?.className.match(/st-key-([\\w-]+)/)?.[1];
    if (!chart) return;
    if (plot.nmrclassifyClick) plot.removeListener?.('plotly_click', plot.nmrclassifyClick);
    plot.nmrclassifyClick = told(chart);
    plot.on('plotly_click', plot.nmrclassifyClick);
  };
  document.addEventListener('pointerdown', listen, true);
  return () => document.removeEventListener('pointerdown', listen, true);
}
"""
_KEY = "clicks on maps"


@dataclass(frozen=True)
class Click:
    """A clicked cell: what its rows are, which row, which position of the axis, which of the network's outputs, where it has them.

    `rows` is the row name of a `MapRow`, or "grid" (filters as small patterns), "steps" (`row` is then the step) or "classes".
    """

    rows: str
    row: int
    position: int | None
    output: int | None


def decode(value: Any) -> Click | None:
    """Return what a message of the browser stands for; None where it is none that a figure of ours could send."""
    try:
        meta, row, column = value["meta"], int(value["row"]), int(value["column"])
        rows = str(meta["rows"])
        if rows == "steps":
            return Click(rows, int(meta["steps"][column]), None, None)
        if rows == "classes":  # with queries each class is an output of its own; with slots each row is one
            return Click(rows, row, None, column if meta["kind"] == "queries" else row)
        if rows == "grid":
            columns = int(meta["columns"])
            at = row // int(meta["height"]) * columns + min(column // int(meta["width"]), columns - 1)
            return Click(rows, at, None, None) if 0 <= at < int(meta["filters"]) else None
        n = int(meta["positions"])
        if row < 0 or column < 0:
            return None
        which, place = divmod(column, n + GAP)
        if not 0 <= place < n:  # between two maps
            return None
        outputs = meta.get("outputs")
        return Click(rows, int(meta["ids"][row]), n - 1 - place, None if outputs is None else int(outputs[which]))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, ZeroDivisionError):
        return None


@st.cache_resource(max_entries=1, show_spinner=False)
def _component():
    return st.components.v2.component("nmrclassify_clicks", js=_LISTEN)


def listen(act) -> None:
    """Call `act` with a `Click` for each cell that is clicked on this page; once a page."""

    def clicked() -> None:
        found = decode(st.session_state[_KEY].cell)
        if found is not None:
            act(found)

    _component()(key=_KEY, on_cell_change=clicked, height=1)
