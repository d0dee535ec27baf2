"""Figures of curves: learning, robustness, reliability, receiver operating characteristic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy.special import stdtrit

from nmrclassify.evaluation.calibration import Reliability, Roc
from nmrclassify.plots.style import (
    HIGHLIGHT,
    OUTPUT_COLOURS,
    Theme,
    finish,
    note,
    share_axis,
    step_axis,
)

# Networks have full lines, classical methods dashed ones; each has one colour in all figures.
STYLES = {
    "queries": (OUTPUT_COLOURS[0], "solid", "circle"),
    "queries without least squares": (OUTPUT_COLOURS[5], "dot", "circle-open"),
    "queries, own mixtures only": (OUTPUT_COLOURS[5], "dot", "circle-open"),
    "slots": (OUTPUT_COLOURS[3], "solid", "square"),
    "least squares": (OUTPUT_COLOURS[1], "dash", "triangle-up"),
    "matching pursuit": (OUTPUT_COLOURS[4], "dash", "triangle-down"),
    "exhaustive": (OUTPUT_COLOURS[7], "dashdot", "diamond"),
}
CORNER = {
    "x": 0.98,
    "xanchor": "right",
    "y": 0.05,
    "yanchor": "bottom",
}  # legend at the lower right


def over_seeds(table: pd.DataFrame, measure: str = "exact_match") -> pd.DataFrame:
    """Return mean and 95 % t interval over seeds, for each sweep, value and method.

    Parameters
    ----------
    table : DataFrame
        Of the robustness bench: one row for each sweep, value, method and seed.
    measure : str
        The column to average.

    Returns
    -------
    DataFrame
        With the columns sweep, value, method, mean, count, low and high.
    """
    groups = table.groupby(["sweep", "value", "method"], sort=False)[measure]
    grouped = groups.agg(["mean", "std", "count"]).reset_index()
    n = grouped["count"]
    half = stdtrit(np.maximum(n - 1, 1), 0.975) * grouped["std"] / np.sqrt(n)
    half = half.where(n > 1, 0.0)
    grouped["low"] = (grouped["mean"] - half).clip(0, 1)
    grouped["high"] = (grouped["mean"] + half).clip(0, 1)
    return grouped.drop(columns="std")


def robustness(table: pd.DataFrame, title: str, theme: Theme) -> go.Figure:
    """Draw the share of mixtures wholly right over one sweep, with 95 % intervals over seeds.

    `table` is one sweep of what `over_seeds` returns.
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
        420,
        showlegend=True,
        # Above: on a narrow screen it needs several lines, and the plot makes room for them.
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        xaxis={"title": {"text": title}, "tickvals": values, "type": "log" if wide else "linear"},
        yaxis=share_axis("mixtures wholly right", -0.02, 1.03),
    )


def reliability_diagram(bins: Reliability, theme: Theme) -> go.Figure:
    """Draw observed frequencies over predicted probabilities, beside the diagonal.

    The diagonal is perfect calibration; beside a circle stands its number of predictions.
    """
    filled = bins.n > 0
    traces: list[dict] = [
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
            "mode": "lines+markers+text",
            "text": [f"{n:,}" for n in bins.n[filled]],
            # Inside the plot at both ends.
            "textposition": [
                "middle right" if stated < 0.5 else "middle left" for stated in bins.stated[filled]
            ],
            "textfont": {"size": theme.points(11)},
            "x": bins.stated[filled],
            "y": bins.came_true[filled],
            "name": "this model",
            "line": {"color": OUTPUT_COLOURS[0], "width": 2},
            "marker": {"size": 6 + 3 * np.log10(bins.n[filled])},
            "customdata": bins.n[filled],
            "hovertemplate": (
                "predicted %{x:.0%}, observed %{y:.0%}, %{customdata} predictions<extra></extra>"
            ),
        },
    ]
    return finish(
        traces,
        theme,
        340,
        showlegend=True,
        legend=CORNER,
        xaxis=share_axis("predicted probability", -0.03, 1.03),
        yaxis=share_axis("observed frequency", -0.03, 1.03),
    )


def roc_curves(curves: dict[str, Roc], theme: Theme) -> go.Figure:
    """Draw the share of unknown compounds detected over false alarms, one curve a score."""
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
            "hovertemplate": "false alarms %{x:.1%}, detected %{y:.1%}<extra></extra>",
        }
        for i, (name, curve) in enumerate(curves.items())
    ]
    return finish(
        traces,
        theme,
        340,
        showlegend=True,
        legend=CORNER,
        xaxis=share_axis("false alarms", -0.02, 1.02),
        yaxis=share_axis("unknown compounds detected", -0.02, 1.03),
    )


def learning_curves(history: list[dict], theme: Theme, step: int | None = None) -> go.Figure:
    """Draw the loss and its parts (log scale), accuracy and mask distance, with a line at `step`.

    Parts that a run of version 0.1 has not measured are left out.
    """
    curves = (
        ("loss", "total", OUTPUT_COLOURS[0], "solid", ""),
        ("classification", "classification", OUTPUT_COLOURS[1], "dot", ""),
        ("reconstruction", "reconstruction", OUTPUT_COLOURS[2], "dash", ""),
        ("masks", "masks", OUTPUT_COLOURS[5], "dashdot", ""),
        ("train_accuracy", "in training", OUTPUT_COLOURS[4], "dot", "2"),
        ("test_compound_accuracy", "unseen", OUTPUT_COLOURS[3], "solid", "2"),
        ("test_mask_distance", "mask distance", OUTPUT_COLOURS[7], "dashdot", "2"),
    )
    mode = "lines+markers" if len(history) < 3 else "lines"
    traces = [
        _curve(history, key, panel, name, {"color": colour, "dash": dash, "width": 2}, mode=mode)
        for key, name, colour, dash, panel in curves
        if any(row[key] for row in _measured(history, key))
    ]
    lines = [] if step is None else _step_lines(step, {"color": HIGHLIGHT, "width": 3})
    return _two_panels(traces, lines, "<b>Compounds right</b>", theme, "share, or mask distance")


def compare_learning_curves(
    histories: Sequence[list[dict]],
    labels: tuple[str, str],
    theme: Theme,
    steps: tuple[int | None, int | None] = (None, None),
) -> go.Figure:
    """Draw loss and the share of unseen compounds right of two trainings.

    A dotted line marks a step of each.
    """
    traces, lines = [], []
    styles = ((OUTPUT_COLOURS[7], "dash"), (OUTPUT_COLOURS[0], "solid"))
    for history, label, (colour, dash), step in zip(histories, labels, styles, steps, strict=True):
        line = {"color": colour, "dash": dash, "width": 2}
        traces += [
            _curve(history, "loss", "", label, line),
            _curve(history, "test_compound_accuracy", "2", label, line),
        ]
        if step is not None and history:
            lines += _step_lines(step, line | {"dash": "dot"})
    return _two_panels(traces, lines, "<b>Unseen right</b>", theme, "share right")


def _measured(history: list[dict], key: str) -> list[dict]:
    """Return the rows that have a value; runs of version 0.1 lack some, in files as NaN."""
    return [row for row in history if row.get(key) is not None and row[key] == row[key]]


def _curve(history: list[dict], key: str, panel: str, name: str, line: dict, **more: Any) -> dict:
    """Return one measure of a training over its steps; `panel` is "" for the left, "2" right."""
    history = _measured(history, key)
    steps = [row["step"] for row in history]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": np.sqrt(steps),
        "y": [row[key] for row in history],
        "customdata": steps,
        "hovertemplate": f"{name} at step %{{customdata:,}}: %{{y:.3g}}<extra></extra>",
        "meta": {"steps": steps},
        "name": name,
        "line": line,
        "xaxis": f"x{panel}",
        "yaxis": f"y{panel}",
        "legend": f"legend{panel}",
    } | more


def _step_lines(step: int, line: dict) -> list[dict]:
    """Return a vertical line at a step in both panels."""
    return [
        {
            "type": "line",
            "xref": f"x{panel}",
            "yref": f"y{panel} domain",
            "x0": step**0.5,
            "x1": step**0.5,
            "y0": 0,
            "y1": 1,
            "line": line,
        }
        for panel in ("", "2")
    ]


def _decades(traces: list[dict]) -> dict:
    """Return the ticks of a log axis for the traces of the left panel.

    They are powers of ten, with 2 and 5 times those where there are few; Plotly's own leave the
    power out ("2, 1, 5").
    """
    values = [y for t in traces if t["yaxis"] == "y" for y in t["y"] if y > 0]
    if not values:
        return {}
    low, high = np.log10(min(values)), np.log10(max(values))
    factors = (1,) if high - low > 2.5 else (1, 2, 5)
    powers = range(int(np.floor(low)) - 1, int(np.ceil(high)) + 1)
    ticks = [m * 10.0**e for e in powers for m in factors]
    return {"tickvals": ticks, "ticktext": [f"{tick:g}" for tick in ticks]}


def _two_panels(
    traces: list[dict], shapes: list[dict], right: str, theme: Theme, right_axis: str
) -> go.Figure:
    """Return a figure with the loss at the left and a share, titled `right`, at the right.

    Below each panel stands its own legend.
    """
    grid = {"gridcolor": theme.grid, "zerolinecolor": theme.grid}
    step = step_axis(max((t["meta"]["steps"][-1] for t in traces if t["meta"]["steps"]), default=0))
    starts = (0.0, 0.6)
    entries = max(sum(t["legend"] == name for t in traces) for name in ("legend", "legend2"))
    foot = theme.points(20) * entries + 8  # of the legends, in pixels
    bottom = round(foot + theme.points(50))
    height = 240 + bottom
    below = {"yref": "container", "y": foot / height, "yanchor": "top"}
    return finish(
        traces,
        theme,
        height,
        showlegend=True,
        legend=below | {"x": starts[0]},
        legend2=below | {"x": starts[1]},
        margin={"b": bottom},
        annotations=[note("<b>Loss</b>", starts[0], 1), note(right, starts[1], 1)],
        shapes=shapes,
        xaxis=step | {"domain": [starts[0], 0.4]},
        yaxis={"type": "log", "title": {"text": "loss"}} | _decades(traces),
        xaxis2=grid | step | {"domain": [starts[1], 1], "anchor": "y2"},
        yaxis2=grid | share_axis(right_axis, 0, 1.02) | {"anchor": "x2"},
    )
