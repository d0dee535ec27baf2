"""Curves to Plotly figures: robustness, reliability, receiver operating characteristic. Pure functions, as in `figures`."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import t as student_t

from .calibration import Reliability, Roc
from .drawing import OUTPUT_COLOURS, Theme, finish

# Networks are drawn full, classical methods dashed; one colour each wherever they appear.
STYLES = {
    "queries": (OUTPUT_COLOURS[0], "solid", "circle"),
    "queries, own mixtures only": (OUTPUT_COLOURS[5], "dot", "circle-open"),
    "slots": (OUTPUT_COLOURS[3], "solid", "square"),
    "least squares": (OUTPUT_COLOURS[1], "dash", "triangle-up"),
    "matching pursuit": (OUTPUT_COLOURS[4], "dash", "triangle-down"),
    "exhaustive": (OUTPUT_COLOURS[7], "dashdot", "diamond"),
}


def over_seeds(table: pd.DataFrame, measure: str = "exact_match") -> pd.DataFrame:
    """Return mean and 95 % t interval over seeds for each sweep, value and method of a robustness table."""
    grouped = table.groupby(["sweep", "value", "method"], sort=False)[measure].agg(["mean", "std", "count"]).reset_index()
    n = grouped["count"]
    half = (student_t.ppf(0.975, np.maximum(n - 1, 1)) * grouped["std"] / np.sqrt(n)).where(n > 1, 0.0)
    grouped["low"], grouped["high"] = (grouped["mean"] - half).clip(0, 1), (grouped["mean"] + half).clip(0, 1)
    return grouped.drop(columns="std")


def robustness(table: pd.DataFrame, title: str, theme: Theme) -> go.Figure:
    """Draw the share of mixtures wholly right over the values of one sweep, with 95 % intervals over seeds.

    `table` is what `over_seeds` returns, of one sweep.
    """
    traces = []
    for method, (colour, dash, symbol) in STYLES.items():
        rows = table[table["method"] == method].sort_values("value")
        if rows.empty:
            continue
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "name": method, "x": rows["value"].to_numpy(), "y": rows["mean"].to_numpy(),
                "line": {"color": colour, "dash": dash, "width": 2}, "marker": {"symbol": symbol, "size": 8},
                "error_y": {
                    "type": "data", "array": (rows["high"] - rows["mean"]).to_numpy(), "symmetric": False,
                    "arrayminus": (rows["mean"] - rows["low"]).to_numpy(), "thickness": 1, "width": 3,
                },
                "hovertemplate": f"{method}: %{{y:.1%}} at %{{x:g}}<extra></extra>",
            }
        )
    values = np.sort(table["value"].unique())
    wide = values.min() > 0 and values.max() / values.min() >= 5
    return finish(
        traces, theme, 380, showlegend=True, legend={"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0}, margin={"b": 110},
        xaxis={"title": {"text": title}, "tickvals": values, "type": "log" if wide else "linear"},
        yaxis={"title": {"text": "mixtures wholly right"}, "range": [-0.02, 1.03], "tickformat": ".0%"},
    )


def reliability_diagram(bins: Reliability, theme: Theme) -> go.Figure:
    """Draw what came true over what was stated, beside the diagonal of perfect honesty; circles grow with the statements."""
    filled = bins.n > 0
    traces = [
        {
            "type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "hoverinfo": "skip", "name": "perfectly calibrated",
            "line": {"color": OUTPUT_COLOURS[7], "dash": "dash", "width": 1},
        },
        {
            "type": "scatter", "mode": "lines+markers", "x": bins.stated[filled], "y": bins.came_true[filled], "name": "this model",
            "line": {"color": OUTPUT_COLOURS[0], "width": 2}, "marker": {"size": 6 + 3 * np.log10(bins.n[filled])},
            "customdata": bins.n[filled],
            "hovertemplate": "said %{x:.0%}, came true %{y:.0%}, %{customdata} statements<extra></extra>",
        },
    ]
    return finish(
        traces, theme, 340, showlegend=True, legend={"x": 0.98, "xanchor": "right", "y": 0.05, "yanchor": "bottom"},
        xaxis={"title": {"text": "stated probability"}, "range": [-0.03, 1.03], "tickformat": ".0%"},
        yaxis={"title": {"text": "share that came true"}, "range": [-0.03, 1.03], "tickformat": ".0%"},
    )


def roc_curves(curves: dict[str, Roc], theme: Theme) -> go.Figure:
    """Draw true alarms over false alarms, one curve a score."""
    traces = [
        {
            "type": "scatter", "mode": "lines", "x": curve.false_alarms, "y": curve.true_alarms, "name": f"{name}: area {curve.area:.3f}",
            "line": {"color": OUTPUT_COLOURS[i % 8], "width": 2, "dash": ("solid", "dash", "dot")[i % 3]},
            "hovertemplate": "false alarms %{x:.1%}, found %{y:.1%}<extra></extra>",
        }
        for i, (name, curve) in enumerate(curves.items())
    ]
    return finish(
        traces, theme, 340, showlegend=True, legend={"x": 0.98, "xanchor": "right", "y": 0.05, "yanchor": "bottom"},
        xaxis={"title": {"text": "false alarms"}, "range": [-0.02, 1.02], "tickformat": ".0%"},
        yaxis={"title": {"text": "unknown compounds found"}, "range": [-0.02, 1.03], "tickformat": ".0%"},
    )
