"""Clicks on maps: one listener for a page tells which cell of which figure was clicked.

Streamlit hears of no click on a heatmap (streamlit#8760), and Plotly of none on a blank cell, so
the place is looked up on the axes of the figure, in the browser.
"""

from dataclasses import dataclass
from typing import Any

import streamlit as st

from nmrclassify.plots.map_rows import GAP

_LISTEN = """
export default function({ setTriggerValue }) {
  let down = null;
  const cellAt = (plot, event) => {
    const box = plot.getBoundingClientRect(), layout = plot._fullLayout;
    for (const trace of plot._fullData ?? []) {
      if (trace.type !== 'heatmap' || !trace.meta?.rows) continue;
      const axis = (name) => layout[name.replace(/^(.)/, '$1axis')];
      const xaxis = axis(trace.xaxis), yaxis = axis(trace.yaxis);
      const x = event.clientX - box.left - xaxis._offset, y = event.clientY - box.top - yaxis._offset;
      if (x < 0 || y < 0 || x >= xaxis._length || y >= yaxis._length) continue;
      const column = Math.round(xaxis.p2c(x)), height = yaxis.p2c(y);
      // Rows with names are numbered; others stand where their numbers are.
      const row = Math.round(yaxis.type === 'category' || !trace.y ? height : height - trace.y[0]);
      return { meta: trace.meta, row, column };
    }
  };
  const pressed = (event) => {
    const plot = event.target.closest?.('.js-plotly-plot');
    down = plot && !event.target.closest('.modebar, .legend') ? { plot, x: event.clientX, y: event.clientY } : null;
  };
  const released = (event) => {
    const { plot, x, y } = down ?? {};
    down = null;
    if (!plot || Math.hypot(event.clientX - x, event.clientY - y) > 5) return;
    const cell = cellAt(plot, event);
    if (cell) setTriggerValue('cell', cell);
  };
  const listeners = [['pointerdown', pressed], ['pointerup', released]];
  listeners.forEach(([name, act]) => document.addEventListener(name, act, true));
  return () => listeners.forEach(([name, act]) => document.removeEventListener(name, act, true));
}
"""
_KEY = "clicks on maps"


@dataclass(frozen=True)
class Click:
    """A clicked cell: what its rows are, which row, which position of the axis, which of the network's outputs, where it has them.

    `rows` is the row name of a `MapRow`, or "grid" (filters as small patterns), "steps" (`row` is
    then the step) or "classes".
    """

    rows: str
    row: int
    position: int | None
    output: int | None


def decode(value: Any) -> Click | None:
    """Return what a message of the browser stands for; None where it is none that a figure of ours could send."""
    try:
        meta, row, column = value["meta"], int(value["row"]), int(value["column"])
        rows = str(meta["rows"] or "")
        if row < 0 or column < 0 or not rows:
            return None
        if rows == "steps":
            return Click(rows, int(meta["steps"][column]), None, None)
        if rows == "window":
            at = int(meta["at"][column])
            return Click("peak", row, at, None) if at >= 0 else None
        if (
            rows == "classes"
        ):  # with queries each class is an output of its own; with slots each row is one
            return Click(rows, row, None, column if meta["kind"] == "queries" else row)
        if rows == "grid":
            columns = int(meta["columns"])
            at = row // int(meta["height"]) * columns + min(
                column // int(meta["width"]), columns - 1
            )
            return Click(rows, at, None, None) if 0 <= at < int(meta["filters"]) else None
        n = int(meta["positions"])
        which, place = divmod(column, n + GAP)
        if not 0 <= place < n:  # between two maps
            return None
        outputs = meta.get("outputs")
        return Click(
            rows,
            int(meta["ids"][row]),
            n - 1 - place,
            None if outputs is None else int(outputs[which]),
        )
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        ZeroDivisionError,
        OverflowError,
    ):
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
