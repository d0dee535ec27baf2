"""Clicks on maps: one listener for a page reports which cell of which figure was clicked.

Streamlit reports no click on a heatmap (streamlit#8760), and Plotly none on a blank cell. So the
browser computes the cell from the axes of the figure.
"""

from collections.abc import Callable
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
      const x = event.clientX - box.left - xaxis._offset;
      const y = event.clientY - box.top - yaxis._offset;
      if (x < 0 || y < 0 || x >= xaxis._length || y >= yaxis._length) continue;
      const place = xaxis.p2c(x), height = yaxis.p2c(y);
      // Columns of training steps differ in width.
      const edges = trace.meta.edges;
      const column = edges ? edges.findLastIndex((edge) => edge <= place) : Math.round(place);
      // A category axis counts rows from 0; on other axes the first row has its number.
      const first = yaxis.type === 'category' || !trace.y ? 0 : trace.y[0];
      const row = Math.round(height - first);
      return { meta: trace.meta, row, column };
    }
  };
  const pressed = (event) => {
    const plot = event.target.closest?.('.js-plotly-plot');
    const inside = plot && !event.target.closest('.modebar, .legend');
    down = inside ? { plot, x: event.clientX, y: event.clientY } : null;
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
    """A clicked cell.

    Attributes
    ----------
    rows : str
        What the rows of its map are: the row name of a `MapRow`, "grid" (filters as small
        patterns), "steps" or "classes".
    row : int
        The filter, peak, compound, class or training step.
    position : int or None
        On the axis.
    output : int or None
        Of the network.
    """

    rows: str
    row: int
    position: int | None
    output: int | None


def decode(value: Any) -> Click | None:
    """Return the clicked cell of a browser's message; None where no figure could have sent it."""
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
        if rows == "classes":  # each class is an output, or each row is
            return Click(rows, row, None, column if meta["outputs_are_classes"] else row)
        if rows == "grid":
            columns = int(meta["columns"])
            across = min(column // int(meta["width"]), columns - 1)
            at = row // int(meta["height"]) * columns + across
            return Click(rows, int(meta["ids"][at]), None, None)
        n = int(meta["positions"])
        number, place = divmod(column, n + GAP)
        if not 0 <= place < n:  # between two maps
            return None
        outputs = meta.get("outputs")
        output = None if outputs is None else int(outputs[number])
        return Click(rows, int(meta["ids"][row]), n - 1 - place, output)
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
def _component() -> Callable[..., Any]:
    return st.components.v2.component("nmrclassify_clicks", js=_LISTEN)


def listen(act: Callable[[Click], None]) -> None:
    """Call `act` for each cell that is clicked on this page; call this once for a page."""

    def clicked() -> None:
        click = decode(st.session_state[_KEY].cell)
        if click is not None:
            act(click)

    _component()(key=_KEY, on_cell_change=clicked, height=1)
