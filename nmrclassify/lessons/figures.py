"""Figures that only lessons draw: curves and bars."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.plots.style import OUTPUT_COLOURS, Theme, finish

DASHES = ("solid", "dash", "dot", "dashdot")
LEGEND = {"orientation": "h", "y": -0.24, "yanchor": "top", "x": 0, "traceorder": "normal"}


def lines(
    curves: dict[str, tuple[np.ndarray, np.ndarray]],
    x: str,
    y: str,
    theme: Theme,
    levels: dict[str, float] | None = None,
    per_cent: bool = False,
    logarithmic: bool = False,
    y_range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw curves over one axis, each with its own colour, dashes and name.

    Parameters
    ----------
    curves : dict
        Name to x and y values, each of shape (n,).
    x, y : str
        Axis titles.
    levels : dict, optional
        Name to the height of a thin horizontal line.
    per_cent : bool
        Whether the y values are shares, from 0 to 1.
    logarithmic : bool
        Whether the y axis is logarithmic.
    y_range : tuple, optional
        Ends of the y axis.
    """
    value = "%{y:.0%}" if per_cent else "%{y:.3g}"
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers" if len(values) < 12 else "lines",
            "name": name,
            "x": at,
            "y": values,
            "line": {"color": OUTPUT_COLOURS[i % 8], "dash": DASHES[i % 4], "width": 2},
            "hovertemplate": f"{name}: {value} at %{{x:.4g}}<extra></extra>",
        }
        for i, (name, (at, values)) in enumerate(curves.items())
    ]
    ends = [min(at[0] for at, _ in curves.values()), max(at[-1] for at, _ in curves.values())]
    traces += [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "x": ends,
            "y": [height, height],
            "hoverinfo": "skip",
            "line": {"color": theme.text, "dash": "dot", "width": 1},
        }
        for name, height in (levels or {}).items()
    ]
    vertical: dict[str, Any] = {"title": {"text": y}}
    if logarithmic:
        vertical |= {"type": "log", "exponentformat": "power"}
    if per_cent:
        vertical |= {"tickformat": ".0%", "range": [-0.02, 1.03]}
    if y_range is not None:
        vertical["range"] = list(y_range)
    return _with_legend(traces, theme, 330, xaxis={"title": {"text": x}}, yaxis=vertical)


def bars(
    groups: list[str],
    series: dict[str, np.ndarray],
    x: str,
    y: str,
    theme: Theme,
    errors: dict[str, np.ndarray] | None = None,
    per_cent: bool = False,
    y_range: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw bars side by side, one colour for each series, with the number above each bar.

    Parameters
    ----------
    groups : list of str
        Labels of the horizontal axis.
    series : dict
        Name to heights, shape (groups,).
    x, y : str
        Axis titles.
    errors : dict, optional
        Name to the distances of the lowest and the highest of several runs from the height, shape
        (2, groups).
    per_cent : bool
        Whether the heights are shares, from 0 to 1.
    y_range : tuple, optional
        Ends of the y axis.
    """
    traces = []
    for i, (name, heights) in enumerate(series.items()):
        text = [f"{100 * v:.0f}" if per_cent else f"{v:.3g}" for v in heights]
        trace = {
            "type": "bar",
            "name": name,
            "x": groups,
            "y": heights,
            "marker": {"color": OUTPUT_COLOURS[i % 8]},
            "text": text,
            "textposition": "outside",
            "cliponaxis": False,
            "hovertemplate": f"{name}, %{{x}}: %{{text}}<extra></extra>",
        }
        if errors:
            low, high = errors[name]
            spread = {
                "type": "data",
                "array": high,
                "symmetric": False,
                "arrayminus": low,
                "thickness": 1,
                "width": 3,
            }
            # A number above the bar would be hidden by the line of its spread.
            trace |= {
                "error_y": spread | {"color": theme.text},
                "textposition": "inside",
                "insidetextanchor": "start",
            }
        traces.append(trace)
    vertical: dict[str, Any] = {"title": {"text": y}}
    if per_cent:
        vertical |= {"tickformat": ".0%", "range": [0, 1.08]}
    if y_range is not None:
        vertical["range"] = list(y_range)
    return _with_legend(
        traces,
        theme,
        330,
        barmode="group",
        bargap=0.25,
        xaxis={"title": {"text": x}, "showgrid": False, "type": "category"},
        yaxis=vertical,
    )


def _with_legend(traces: list[dict], theme: Theme, height: int, **layout: Any) -> go.Figure:
    # The legend stands below: on a narrow screen, each name needs its own line.
    several = len(traces) > 1
    margin = {"b": 60 + 20 * len(traces)} if several else {}
    return finish(
        traces,
        theme,
        height + (20 * len(traces) if several else 0),
        showlegend=several,
        legend=LEGEND,
        margin=margin,
        **layout,
    )
