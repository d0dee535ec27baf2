"""Mixtures at full scale as Plotly figures: the spectrum with one compound coloured in it, its multiplets, the curve.

Pure functions, as in `nmrclassify.figures`; no trace has more than `MAX_POINTS` points.
"""

from html import escape

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.identify import Identification
from nmrclassify.evaluation.peak_metrics import Tally
from nmrclassify.evaluation.peak_threshold import PrecisionRecallCurve
from nmrclassify.plots.spectrum_layers import SampledCurve, SpectrumLayers, sample_range
from nmrclassify.plots.style import Theme, finish

N_POINTS = 2_400  # of each trace: two for each pixel of a wide screen
N_PANELS = 8
LEGEND = {
    "orientation": "h",
    "y": 1.02,
    "yanchor": "bottom",
    "x": 0,
    "traceorder": "normal",
    "itemclick": False,
    "itemdoubleclick": False,
}


def colours(theme: Theme) -> dict[str, str]:
    """Return the colours of the mixture and its body, of what is explained, of the chosen compound and of the truth."""
    if theme.dark:
        return {
            "mixture": "#8b95a8",
            "body": "#4a5364",
            "explained": "#56b4e9",
            "chosen": "#ff8c42",
            "truth": "#f2f4f8",
        }
    return {
        "mixture": "#7b8494",
        "body": "#d3d8e1",
        "explained": "#0072b2",
        "chosen": "#d55e00",
        "truth": "#1f2430",
    }


def _outline(
    drawing: SampledCurve, name: str, colour: str, fill: str | None = None, **line
) -> dict:
    filled = {"fill": "tozeroy", "fillcolor": fill} if fill else {}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(name),
        "x0": drawing.start,
        "dx": drawing.step,
        "y": drawing.heights.astype(np.float32),
        "line": {"color": colour, "width": 1} | line,
        "hoverinfo": "skip",
    } | filled


def _ppm_axis(low: float, high: float, **more) -> dict:
    return {
        "range": [high, low],
        "showgrid": False,
        "zeroline": False,
        "title": {"text": "chemical shift (ppm)", "standoff": 4},
    } | more


def overview(
    layers: SpectrumLayers, places: np.ndarray, low: float, high: float, theme: Theme
) -> go.Figure:
    """Draw the whole axis, a frame around the range that is looked at, and a mark at each place of the chosen compound.

    Parameters
    ----------
    layers : SpectrumLayers
    places : ndarray
        Where the chosen compound's multiplets were found, in ppm.
    low, high : float
        The range that is looked at, in ppm.
    theme : Theme
    """
    axis, colour = layers.axis, colours(theme)
    drawings = [
        sample_range(axis, heights, axis.low, axis.high, N_POINTS)
        for heights in (layers.mixture, layers.chosen)
    ]
    # By the square root, so that the small peaks of a mixture over two decades show beside the
    # large ones.
    drawings = [SampledCurve(d.start, d.step, np.sqrt(d.heights)) for d in drawings]
    top = max(float(drawings[0].heights.max()), 1e-9)
    marks = {
        "type": "scatter",
        "mode": "markers",
        "x": places,
        "y": np.full(len(places), -0.07 * top),
        "name": "its multiplets",
        "marker": {"symbol": "triangle-up", "size": 9, "color": colour["chosen"]},
        "hovertemplate": "a multiplet at %{x:.3f} ppm<extra></extra>",
    }
    # A narrow range would be a hairline: the frame is drawn wide enough to be seen.
    middle, half = (low + high) / 2, max(high - low, 0.006 * (axis.high - axis.low)) / 2
    frame = {
        "type": "rect",
        "x0": middle - half,
        "x1": middle + half,
        "y0": 0,
        "y1": 1,
        "yref": "paper",
        "line": {"color": theme.text, "width": 1.5},
        "fillcolor": theme.text,
        "opacity": 0.18,
    }
    return finish(
        [
            _outline(drawings[0], "mixture", colour["mixture"], colour["body"]),
            _outline(drawings[1], "chosen", colour["chosen"], colour["chosen"]),
            marks,
        ],
        theme,
        170,
        margin={"l": 12, "r": 12, "t": 8, "b": 44},
        shapes=[frame],
        dragmode="select",
        selectdirection="h",
        xaxis=_ppm_axis(axis.low, axis.high, dtick=1, fixedrange=True),
        yaxis={"visible": False, "range": [-0.16 * top, 1.05 * top], "fixedrange": True},
        hovermode="closest",
    )


def detail(layers: SpectrumLayers, low: float, high: float, name: str, theme: Theme) -> go.Figure:
    """Draw a range of the spectrum: the mixture, what the named compounds explain, and one compound coloured inside."""
    colour = colours(theme)
    parts = [
        ("the mixture", layers.mixture, "mixture", {"fill": colour["body"]}),
        (name, layers.chosen, "chosen", {"fill": colour["chosen"]}),
        ("all named compounds", layers.explained, "explained", {}),
        ("what it truly brings", layers.truth, "truth", {"width": 1.5, "dash": "dot"}),
    ]
    traces = [
        _outline(sample_range(layers.axis, heights, low, high, N_POINTS), label, colour[key], **how)
        for label, heights, key, how in parts
        if heights is not None
    ]
    traces[0] |= {"hoverinfo": "all", "hovertemplate": "%{x:.4f} ppm<extra></extra>"}
    top = max(float(traces[0]["y"].max()), 1e-9)
    return finish(
        traces,
        theme,
        350,
        showlegend=True,
        legend=LEGEND,
        margin={"l": 12, "r": 12, "t": 44, "b": 44},
        xaxis=_ppm_axis(low, high, fixedrange=True, nticks=8),
        yaxis={"visible": False, "range": [-0.02 * top, 1.05 * top], "fixedrange": True},
    )


def _sticks(ppm: np.ndarray, areas: np.ndarray, colour: str, width: float, **more) -> dict:
    """Return vertical lines from 0 as one trace."""
    gap = np.full(len(ppm), np.nan)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": np.stack([ppm, ppm, gap], axis=1).ravel(),
        "y": np.stack([np.zeros(len(ppm)), areas, gap], axis=1).ravel(),
        "line": {"color": colour, "width": width},
        "hoverinfo": "skip",
    } | more


def neighbourhoods(
    found: Identification, compound: int, multiplets: np.ndarray, theme: Theme
) -> go.Figure:
    """Draw the neighbourhood of each of some multiplets, at most `N_PANELS`, two beside each other.

    A grey stick is a peak of the mixture, its coloured part is what the mask lets through, and a
    ring is where, and how large, the library's line would be at the place and the amount that were
    found.
    """
    compounds, peaks, colour = found.compounds, found.peaks, colours(theme)
    own = found.separated(compound)
    shown = multiplets[:N_PANELS]
    rows = -(-len(shown) // 2)
    height, gap, top_margin = 130, 62, 96
    total = rows * (height + gap)
    traces, layout, titles = [], {}, []
    first_line = compounds.first_line
    for i, m in enumerate(shown):
        lines = slice(first_line[m], first_line[m + 1])
        shift = 0.0 if np.isnan(found.shifts[m]) else float(found.shifts[m])
        centre = float(compounds.ppm[m]) + shift
        at = centre + compounds.offsets[lines] / peaks.axis.mhz
        reach = max(at.max() - centre, centre - at.min()) + 12 / peaks.axis.mhz
        near = np.flatnonzero(np.abs(peaks.ppm - centre) <= reach)
        # The strongest are enough where there are more than can be told apart.
        near = np.sort(near[np.argsort(-peaks.areas[near], kind="stable")][:600])
        there = own[near] > 0
        expected = found.amounts[compound] * compounds.areas[lines]
        suffix = str(i + 1) if i else ""
        on = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": i == 0}
        rings = {
            "type": "scatter",
            "mode": "markers",
            "x": at,
            "y": expected,
            "name": "line of the library, moved there",
            "marker": {
                "symbol": "circle-open",
                "size": 8,
                "color": theme.text,
                "line": {"width": 1.5},
            },
            "hovertemplate": "%{x:.4f} ppm, expected area %{y:.3g}<extra></extra>",
        }
        traces += [
            _sticks(
                peaks.ppm[near], peaks.areas[near], colour["mixture"], 3, name="peak of the mixture"
            )
            | on,
            _sticks(
                peaks.ppm[near][there],
                own[near][there],
                colour["chosen"],
                3,
                name="its own part, by the mask",
            )
            | on,
            rings | on,
        ]
        row, column = divmod(i, 2)
        top = 1 - row * (height + gap) / total
        domain = [0.0, 0.47] if column == 0 else [0.53, 1.0]
        if len(shown) == 1:
            domain = [0.0, 1.0]
        y = [max(0.0, top - height / total), top]
        # A neighbour can be a hundred times as large: what is looked at sets the height, and what
        # is higher is cut.
        scale = max(float(own[near].max(initial=0.0)), float(expected.max()))
        highest = min(float(peaks.areas[near].max(initial=scale)), 4 * scale)
        grid = {
            "gridcolor": theme.grid,
            "linecolor": theme.grid,
            "showgrid": False,
            "zeroline": False,
        }
        layout[f"xaxis{suffix}"] = grid | {
            "anchor": f"y{suffix}",
            "domain": domain,
            "range": [centre + reach, centre - reach],
            "nticks": 4,
            "tickformat": ".2f",
            "tickangle": 0,
            "fixedrange": True,
        }
        layout[f"yaxis{suffix}"] = {
            "anchor": f"x{suffix}",
            "domain": y,
            "range": [0, 1.12 * max(highest, scale, 1e-9)],
            "visible": False,
            "fixedrange": True,
        }
        titles.append(
            {
                "text": f"<b>{escape(compounds.kinds[m])}</b> at {centre:.3f} ppm",
                "x": domain[0],
                "xref": "paper",
                "xanchor": "left",
                "y": top,
                "yref": "paper",
                "yanchor": "bottom",
                "yshift": 2,
                "showarrow": False,
                "font": {"size": 12},
            }
        )
    settings = {name: layout.pop(name) for name in ("xaxis", "yaxis")}
    return finish(
        traces,
        theme,
        total + top_margin,
        showlegend=True,
        legend=LEGEND | {"y": 1, "yref": "container", "yanchor": "top"},
        margin={"l": 12, "r": 12, "t": top_margin, "b": 0},
        annotations=titles,
        **settings,
        **layout,
    )


def precision_recall(
    curve: PrecisionRecallCurve, threshold: float, tally: Tally, theme: Theme
) -> go.Figure:
    """Draw precision over recall as the threshold falls, and the point of the present threshold."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": curve.recall,
            "y": curve.precision,
            "customdata": curve.threshold,
            "line": {"color": colours(theme)["explained"], "width": 2, "shape": "hv"},
            "hovertemplate": (
                "threshold %{customdata:.2f}: found %{x:.0%}, right %{y:.0%}<extra></extra>"
            ),
        },
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [tally.recall],
            "y": [tally.precision],
            "text": [f" {threshold:.2f} "],
            "textposition": "bottom left" if tally.recall > 0.5 else "bottom right",
            "textfont": {"size": 13},
            "marker": {
                "size": 13,
                "color": colours(theme)["chosen"],
                "line": {"color": theme.text, "width": 1.5},
            },
            "hovertemplate": "here: found %{x:.0%}, right %{y:.0%}<extra></extra>",
        },
    ]
    return finish(
        traces,
        theme,
        300,
        margin={"t": 12, "r": 12},
        xaxis={
            "title": {"text": "recall: found, of those in it"},
            "range": [-0.03, 1.05],
            "tickformat": ".0%",
            "fixedrange": True,
        },
        yaxis={
            "title": {"text": "precision: right, of those named"},
            "range": [-0.03, 1.05],
            "tickformat": ".0%",
            "fixedrange": True,
        },
    )
