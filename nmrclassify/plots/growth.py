"""A figure of how the time and the memory of one identification grow with its sizes."""

from functools import lru_cache
from importlib import resources

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from nmrclassify.plots.style import LEGEND, OUTPUT_COLOURS, Theme, finish, note

SWEEPS = {
    "positions": "positions on the axis",
    "library": "compounds in the library",
    "mixture": "compounds in the mixture",
}
# On a narrow screen three axes stand side by side.
TITLES = {
    "positions": "positions",
    "library": "compounds<br>in library",
    "mixture": "compounds<br>in mixture",
}
MEASURES = {"seconds": "seconds", "peak_extra_mib": "peak extra memory (MiB)"}
UNITS = {"seconds": "s", "peak_extra_mib": "MiB"}


@lru_cache(maxsize=1)
def measured() -> pd.DataFrame:
    """Return the packaged table of `bench growth`.

    Its columns are sweep, value, seconds, peak_extra_mib and f1.
    """
    with resources.files("nmrclassify").joinpath("data/growth.csv").open() as file:
        return pd.read_csv(file)


def slope(values: np.ndarray, measured: np.ndarray) -> float:
    """Return the slope of a line through the logarithms; 1 is linear growth.

    NaN where it is undefined.
    """
    values, measured = np.asarray(values, dtype=float), np.asarray(measured, dtype=float)
    if len(values) < 2 or not (values > 0).all() or not (measured > 0).all():
        return float("nan")
    return float(np.polyfit(np.log(values), np.log(measured), 1)[0])


def growth(table: pd.DataFrame, theme: Theme) -> go.Figure:
    """Draw seconds (above) and memory (below) over each sweep, on logarithmic axes.

    Parameters
    ----------
    table : DataFrame
        What `bench growth` returns: sweep, value, seconds, peak_extra_mib.

    Raises
    ------
    ValueError
        If the table holds none of the sweeps.
    """
    sweeps = [name for name in SWEEPS if (table["sweep"] == name).any()]
    if not sweeps:
        raise ValueError(
            f"sweeps are {sorted(set(table['sweep']))}; expected some of {', '.join(SWEEPS)}"
        )
    traces: list[dict] = []
    layout: dict[str, dict] = {}
    notes = []
    width = 1 / len(sweeps)
    axis = {"type": "log", "gridcolor": theme.grid, "linecolor": theme.grid}
    for column, sweep in enumerate(sweeps):
        points = table[table["sweep"] == sweep].sort_values("value")
        x = points["value"].to_numpy(dtype=float)
        ticks = [v for v in (10, 100, 1000, 10_000, 100_000) if x.min() <= v <= x.max()]
        domain = [column * width + (0.045 if column else 0.0), (column + 1) * width - 0.015]
        for row, (measure, title) in enumerate(MEASURES.items()):
            y = points[measure].to_numpy(dtype=float)
            number = 2 * column + row + 1
            suffix = "" if number == 1 else str(number)
            traces += [
                trace | {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": number == 1}
                for trace in _curves(x, y, f"{UNITS[measure]} at %{{x:,}} {SWEEPS[sweep]}")
            ]
            layout[f"xaxis{suffix}"] = axis | {
                "domain": domain,
                "anchor": f"y{suffix}",
                "tickvals": ticks,
                "ticktext": [f"{v // 1000}k" if v >= 1000 else str(v) for v in ticks],
                "tickangle": 0,
                "title": {"text": TITLES[sweep] if row else "", "standoff": 4},
            }
            layout[f"yaxis{suffix}"] = axis | {
                "domain": [0.0, 0.44] if row else [0.56, 1.0],
                "anchor": f"x{suffix}",
                "range": _range(table.loc[table["sweep"].isin(sweeps), measure]),
                "dtick": "D2",
                "title": {"text": "" if column else title},
            }
            refs = {"xref": f"x{suffix} domain", "yref": f"y{suffix} domain"}
            text = f"slope {slope(x, y):.2f}"
            notes.append(note(text, 0.04, 0.96, yanchor="top", font={"size": 12}) | refs)
    return finish(
        traces,
        theme,
        520,
        showlegend=True,
        legend=LEGEND | {"y": 1.06},
        annotations=notes,
        margin={"t": 44, "b": 66},
        **layout,
    )


def _range(values: pd.Series) -> list[float]:
    """Return one logarithmic range for all sweeps, so that they can be compared."""
    return [float(np.log10(values.min()) - 0.3), float(np.log10(values.max()) + 0.5)]


def _curves(x: np.ndarray, y: np.ndarray, unit: str) -> list[dict]:
    """Return the measured points, and the line of linear growth through the largest."""
    linear = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y[-1] * x / x[-1],
        "name": "linear growth",
        "legendgroup": "linear",
        "hoverinfo": "skip",
        "line": {"color": OUTPUT_COLOURS[7], "dash": "dash", "width": 1},
    }
    points = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": x,
        "y": y,
        "name": "measured",
        "legendgroup": "measured",
        "line": {"color": OUTPUT_COLOURS[0], "width": 2},
        "marker": {"size": 8},
        "hovertemplate": f"%{{y:.3g}} {unit}<extra></extra>",
    }
    return [linear, points]
