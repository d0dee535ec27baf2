"""The data of any figure as one long table, so that every picture can be taken along as CSV."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go


def as_table(figure: go.Figure) -> pd.DataFrame:
    """Return the values that a figure draws, one row each: which part of it, x, y and the value.

    Heatmaps give ``part, row, column, value`` with blank cells left out and values in their own
    unit, whatever the colour scale does; all other traces ``part, x, y`` (and ``error_low,
    error_high`` where they are drawn).
    """
    tables = [
        _heatmap(trace, i) if trace.type == "heatmap" else _trace(trace, i)
        for i, trace in enumerate(figure.data)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _name(trace: go.Figure, i: int) -> str:
    title = str((trace.meta or {}).get("title", "")) if isinstance(trace.meta, dict) else ""
    words = title.replace("<b>", "").replace("</b>", "") or str(trace.name or "")
    return f"{i + 1}: {words}" if words else str(i + 1)


def _heatmap(trace: go.Heatmap, i: int) -> pd.DataFrame:
    z = np.asarray(trace.z)
    z = z if z.dtype.kind == "f" else z.astype(float)
    if isinstance(trace.meta, dict) and trace.meta.get("root"):
        z = np.sign(z) * z**2  # the colour scale's square root is taken back
    if isinstance(trace.meta, dict) and "log_offset" in trace.meta:
        z = 10**z - trace.meta["log_offset"]
    x = np.asarray(trace.x if trace.x is not None else np.arange(z.shape[1]))
    y = np.asarray(trace.y if trace.y is not None else np.arange(z.shape[0]))
    row, column = np.nonzero(np.isfinite(z))
    return pd.DataFrame(
        {"part": _name(trace, i), "row": y[row], "column": x[column], "value": z[row, column]}
    )


def _trace(trace: go.Figure, i: int) -> pd.DataFrame:
    x, y = (np.asarray(v) if v is not None else None for v in (trace.x, trace.y))
    n = len(y) if y is not None else len(x) if x is not None else 0
    if x is None:
        x = (getattr(trace, "x0", None) or 0.0) + np.arange(n) * (getattr(trace, "dx", None) or 1.0)
    table = pd.DataFrame({"part": _name(trace, i), "x": x, "y": y}, index=range(n))
    error = getattr(trace, "error_y", None)
    if error is not None and error.array is not None:
        high = np.asarray(error.array, dtype=float)
        low = high if error.arrayminus is None else np.asarray(error.arrayminus, dtype=float)
        table["error_low"], table["error_high"] = low, high
    return table
