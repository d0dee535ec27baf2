"""How time and memory of an identification grow, as a Plotly figure; a pure function, as in `nmrclassify.figures`."""

from functools import lru_cache
from importlib import resources

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from nmrclassify.plots.style import OUTPUT_COLOURS, Theme, finish

SWEEPS = {
    "positions": "positions on the axis",
    "library": "compounds in the library",
    "mixture": "compounds in the mixture",
}
MEASURES = {"seconds": "seconds", "peak_extra_mib": "peak extra memory (MiB)"}


@lru_cache(maxsize=1)
def measured() -> pd.DataFrame:
    """Return what `bench growth` found when the package was made, with the columns sweep, value, seconds, peak_extra_mib, f1."""
    with resources.files("nmrclassify").joinpath("data/growth.csv").open() as file:
        return pd.read_csv(file)


def slope(values: np.ndarray, measured: np.ndarray) -> float:
    """Return the slope of a line through the logarithms: 1 is linear growth, below 1 slower. NaN where it is undefined."""
    values, measured = np.asarray(values, dtype=float), np.asarray(measured, dtype=float)
    if len(values) < 2 or not (values > 0).all() or not (measured > 0).all():
        return float("nan")
    return float(np.polyfit(np.log(values), np.log(measured), 1)[0])


def growth(table: pd.DataFrame, theme: Theme) -> go.Figure:
    """Draw seconds (above) and memory (below) over each sweep on logarithmic axes, beside dashed lines of linear growth.

    Parameters
    ----------
    table : DataFrame
        What `bench growth` returns: sweep, value, seconds, peak_extra_mib.
    theme : Theme

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
    traces, layout, notes = [], {}, []

    def around(measure: str) -> list[float]:
        # One range for all sweeps, so that they compare by eye.
        values = table.loc[table["sweep"].isin(sweeps), measure].to_numpy(dtype=float)
        return [float(np.log10(values.min()) - 0.3), float(np.log10(values.max()) + 0.5)]

    width = 1 / len(sweeps)
    for column, sweep in enumerate(sweeps):
        rows = table[table["sweep"] == sweep].sort_values("value")
        x = rows["value"].to_numpy(dtype=float)
        shown = [v for v in (10, 100, 1000, 10_000, 100_000) if x.min() <= v <= x.max()]
        domain = [column * width + (0.045 if column else 0.0), (column + 1) * width - 0.015]
        for row, (measure, title) in enumerate(MEASURES.items()):
            y = rows[measure].to_numpy(dtype=float)
            number = 2 * column + row + 1
            suffix, unit = (
                "" if number == 1 else str(number),
                "s" if measure == "seconds" else "MiB",
            )
            axes = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "type": "scatter"}
            # Linear growth from the largest point down: what grows more slowly lies above it on the
            # left.
            traces.append(axes | {
                "mode": "lines", "x": x, "y": y[-1] * x / x[-1], "name": "linear growth", "legendgroup": "linear",
                "showlegend": number == 1, "hoverinfo": "skip",
                "line": {"color": OUTPUT_COLOURS[7], "dash": "dash", "width": 1},
            })  # fmt: skip
            traces.append(axes | {
                "mode": "lines+markers", "x": x, "y": y, "name": "measured", "legendgroup": "measured",
                "showlegend": number == 1, "line": {"color": OUTPUT_COLOURS[0], "width": 2}, "marker": {"size": 8},
                "hovertemplate": f"%{{y:.3g}} {unit} at %{{x:,}} {SWEEPS[sweep]}<extra></extra>",
            })  # fmt: skip
            common = {"type": "log", "gridcolor": theme.grid, "linecolor": theme.grid}
            layout[f"xaxis{suffix}"] = common | {
                "domain": domain, "anchor": f"y{suffix}", "tickvals": shown, "ticktext": [f"{v:,}" for v in shown],
                "title": {"text": SWEEPS[sweep] if row else "", "standoff": 4},
            }  # fmt: skip
            layout[f"yaxis{suffix}"] = common | {
                "domain": [0.0, 0.44] if row else [0.56, 1.0], "anchor": f"x{suffix}", "range": around(measure),
                "dtick": "D2", "title": {"text": "" if column else title},
            }  # fmt: skip
            notes.append({
                "text": f"slope {slope(x, y):.2f}", "xref": f"x{suffix} domain", "yref": f"y{suffix} domain", "x": 0.04,
                "y": 0.96, "xanchor": "left", "yanchor": "top", "showarrow": False, "font": {"size": 12},
            })  # fmt: skip
    return finish(
        traces, theme, 520, showlegend=True, legend={"orientation": "h", "y": 1.06, "yanchor": "bottom", "x": 0},
        annotations=notes, margin={"t": 44, "b": 52}, **layout,
    )  # fmt: skip
