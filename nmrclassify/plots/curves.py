"""Curves to Plotly figures: learning, robustness, reliability, receiver operating characteristic. Pure functions, as in `figures`."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.stats import t as student_t

from nmrclassify.evaluation.calibration import Reliability, Roc
from nmrclassify.plots.style import FRAME, OUTPUT_COLOURS, Theme, finish

# At the foot of the figure, however many lines the entries take on a narrow screen.
BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}

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
    grouped = (
        table.groupby(["sweep", "value", "method"], sort=False)[measure]
        .agg(["mean", "std", "count"])
        .reset_index()
    )
    n = grouped["count"]
    half = (student_t.ppf(0.975, np.maximum(n - 1, 1)) * grouped["std"] / np.sqrt(n)).where(
        n > 1, 0.0
    )
    grouped["low"], grouped["high"] = (
        (grouped["mean"] - half).clip(0, 1),
        (grouped["mean"] + half).clip(0, 1),
    )
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
                "type": "scatter",
                "mode": "lines+markers",
                "name": method,
                "x": rows["value"].to_numpy(),
                "y": rows["mean"].to_numpy(),
                "line": {"color": colour, "dash": dash, "width": 2},
                "marker": {"symbol": symbol, "size": 8},
                "error_y": {
                    "type": "data",
                    "array": (rows["high"] - rows["mean"]).to_numpy(),
                    "symmetric": False,
                    "arrayminus": (rows["mean"] - rows["low"]).to_numpy(),
                    "thickness": 1,
                    "width": 3,
                },
                "hovertemplate": f"{method}: %{{y:.1%}} at %{{x:g}}<extra></extra>",
            }
        )
    values = np.sort(table["value"].unique())
    wide = values.min() > 0 and values.max() / values.min() >= 5
    return finish(
        traces,
        theme,
        380,
        showlegend=True,
        legend={"orientation": "h", "y": -0.22, "yanchor": "top", "x": 0},
        margin={"b": 110},
        xaxis={"title": {"text": title}, "tickvals": values, "type": "log" if wide else "linear"},
        yaxis={
            "title": {"text": "mixtures wholly right"},
            "range": [-0.02, 1.03],
            "tickformat": ".0%",
        },
    )


def reliability_diagram(bins: Reliability, theme: Theme) -> go.Figure:
    """Draw what came true over what was stated, beside the diagonal of perfect honesty; circles grow with the statements."""
    filled = bins.n > 0
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [0, 1],
            "y": [0, 1],
            "hoverinfo": "skip",
            "name": "perfectly calibrated",
            "line": {"color": OUTPUT_COLOURS[7], "dash": "dash", "width": 1},
        },
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": bins.stated[filled],
            "y": bins.came_true[filled],
            "name": "this model",
            "line": {"color": OUTPUT_COLOURS[0], "width": 2},
            "marker": {"size": 6 + 3 * np.log10(bins.n[filled])},
            "customdata": bins.n[filled],
            "hovertemplate": (
                "said %{x:.0%}, came true %{y:.0%}, %{customdata} statements<extra></extra>"
            ),
        },
    ]
    return finish(
        traces,
        theme,
        340,
        showlegend=True,
        legend={"x": 0.98, "xanchor": "right", "y": 0.05, "yanchor": "bottom"},
        xaxis={
            "title": {"text": "stated probability"},
            "range": [-0.03, 1.03],
            "tickformat": ".0%",
        },
        yaxis={
            "title": {"text": "share that came true"},
            "range": [-0.03, 1.03],
            "tickformat": ".0%",
        },
    )


def roc_curves(curves: dict[str, Roc], theme: Theme) -> go.Figure:
    """Draw true alarms over false alarms, one curve a score."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": curve.false_alarms,
            "y": curve.true_alarms,
            "name": f"{name}: area {curve.area:.3f}",
            "line": {
                "color": OUTPUT_COLOURS[i % 8],
                "width": 2,
                "dash": ("solid", "dash", "dot")[i % 3],
            },
            "hovertemplate": "false alarms %{x:.1%}, found %{y:.1%}<extra></extra>",
        }
        for i, (name, curve) in enumerate(curves.items())
    ]
    return finish(
        traces,
        theme,
        340,
        showlegend=True,
        legend={"x": 0.98, "xanchor": "right", "y": 0.05, "yanchor": "bottom"},
        xaxis={"title": {"text": "false alarms"}, "range": [-0.02, 1.02], "tickformat": ".0%"},
        yaxis={
            "title": {"text": "unknown compounds found"},
            "range": [-0.02, 1.03],
            "tickformat": ".0%",
        },
    )


def learning_curves(history: list[dict], theme: Theme, step: int | None = None) -> go.Figure:
    """Draw loss (log scale) and the share of compounds right, on training batches and on unseen compositions; a line at `step`."""
    curves = (
        ("loss", "loss", OUTPUT_COLOURS[0], "solid", ""),
        ("classification", "cross entropy (nats)", OUTPUT_COLOURS[1], "dot", ""),
        ("reconstruction", "relative squared error", OUTPUT_COLOURS[2], "dash", ""),
        ("train_accuracy", "training batches", OUTPUT_COLOURS[4], "dot", "2"),
        ("test_compound_accuracy", "unseen compositions", OUTPUT_COLOURS[3], "solid", "2"),
    )
    steps = [row["step"] for row in history]
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(history) < 3 else "lines",
            "x": steps,
            "name": name,
            "y": [row[key] for row in history],
            "line": {"color": colour, "dash": dash, "width": 2},
            "xaxis": f"x{panel}",
            "yaxis": f"y{panel}",
        }
        for key, name, colour, dash, panel in curves
    ]
    titles = [
        {
            "text": text,
            "x": x,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "showarrow": False,
        }
        for text, x in (("<b>Loss</b>", 0), ("<b>Compounds right</b>", 0.62))
    ]
    grid = {"gridcolor": theme.grid, "zerolinecolor": theme.grid}
    lines = [
        {
            "type": "line",
            "xref": f"x{panel}",
            "yref": f"y{panel} domain",
            "x0": step,
            "x1": step,
            "y0": 0,
            "y1": 1,
            "line": {"color": FRAME, "width": 3},
        }
        for panel in ("", "2")
        if step is not None
    ]
    return finish(
        traces,
        theme,
        390,
        showlegend=True,
        legend=BELOW,
        margin={"b": 150},
        annotations=titles,
        shapes=lines,
        xaxis={"title": {"text": "step"}, "domain": [0, 0.38]},
        yaxis={"type": "log", "title": {"text": "loss"}},
        xaxis2=grid | {"title": {"text": "step"}, "domain": [0.62, 1], "anchor": "y2"},
        yaxis2=grid
        | {
            "title": {"text": "share right"},
            "anchor": "x2",
            "range": [0, 1.02],
            "tickformat": ".0%",
        },
    )


def two_curves(
    histories: tuple[list[dict], list[dict]],
    told: tuple[str, str],
    theme: Theme,
    steps: tuple[int | None, int | None] = (None, None),
) -> go.Figure:
    """Draw loss and the share of unseen compounds right of two trainings, with a dashed line at a step of each."""
    traces, shapes = [], []
    for history, label, colour, dash, step in zip(
        histories,
        told,
        (OUTPUT_COLOURS[7], OUTPUT_COLOURS[0]),
        ("dash", "solid"),
        steps,
        strict=False,
    ):
        for key, panel in (("loss", ""), ("test_compound_accuracy", "2")):
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "x": [row["step"] for row in history],
                    "y": [row[key] for row in history],
                    "name": label,
                    "line": {"color": colour, "dash": dash, "width": 2},
                    "xaxis": f"x{panel}",
                    "yaxis": f"y{panel}",
                    "showlegend": panel == "",
                }
            )
            if step is not None and history:
                shapes.append(
                    {
                        "type": "line",
                        "xref": f"x{panel}",
                        "yref": f"y{panel} domain",
                        "x0": step,
                        "x1": step,
                        "y0": 0,
                        "y1": 1,
                        "line": {"color": colour, "dash": "dot", "width": 2},
                    }
                )
    titles = [
        {
            "text": text,
            "x": x,
            "xref": "paper",
            "xanchor": "left",
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "showarrow": False,
        }
        for text, x in (("<b>Loss</b>", 0), ("<b>Unseen right</b>", 0.62))
    ]
    grid = {"gridcolor": theme.grid, "zerolinecolor": theme.grid}
    return finish(
        traces,
        theme,
        340,
        showlegend=True,
        legend=BELOW,
        margin={"b": 92},
        annotations=titles,
        shapes=shapes,
        xaxis={"title": {"text": "step"}, "domain": [0, 0.38]},
        yaxis={"type": "log", "title": {"text": "loss"}},
        xaxis2=grid | {"title": {"text": "step"}, "domain": [0.62, 1], "anchor": "y2"},
        yaxis2=grid
        | {
            "title": {"text": "share right"},
            "anchor": "x2",
            "range": [0, 1.02],
            "tickformat": ".0%",
        },
    )
