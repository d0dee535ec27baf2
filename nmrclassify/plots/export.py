"""The data of any figure as one long table, to be saved as CSV."""

from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go


def as_table(figure: go.Figure) -> pd.DataFrame:
    """Return the values in a figure, one in each row.

    Heatmaps have the columns ``part, row, column, value``, without their blank cells; values have
    their unit even where colours follow the square root or the logarithm. Other traces have
    ``part, x, y``, and ``error_low, error_high`` where they have error bars.
    """
    tables = [
        _heatmap(trace, i) if trace.type == "heatmap" else _trace(trace, i)
        for i, trace in enumerate(figure.data)
    ]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _meta(trace: Any) -> dict:
    return trace.meta if isinstance(trace.meta, dict) else {}


def _name(trace: Any, i: int) -> str:
    title = str(_meta(trace).get("title", "")).replace("<b>", "").replace("</b>", "")
    words = title or str(trace.name or "")
    return f"{i + 1}: {words}" if words else str(i + 1)


def _heatmap(trace: Any, i: int) -> pd.DataFrame:
    z = np.asarray(trace.z)
    z = z if z.dtype.kind == "f" else z.astype(float)
    if _meta(trace).get("root"):
        z = np.sign(z) * z**2
    if "log_offset" in _meta(trace):
        z = 10**z - _meta(trace)["log_offset"]
    x = _meta(trace).get("steps", trace.x)
    x = np.asarray(x if x is not None else np.arange(z.shape[1]))
    y = np.asarray(trace.y if trace.y is not None else np.arange(z.shape[0]))
    row, column = np.nonzero(np.isfinite(z))
    return pd.DataFrame(
        {"part": _name(trace, i), "row": y[row], "column": x[column], "value": z[row, column]}
    )


def _trace(trace: Any, i: int) -> pd.DataFrame:
    columns = (_meta(trace).get("steps", trace.x), trace.y)
    x, y = (np.asarray(v) if v is not None else None for v in columns)
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
