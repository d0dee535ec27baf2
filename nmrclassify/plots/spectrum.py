"""Figures of full scale: a spectrum with one compound coloured in it, its multiplets, and a curve.

Pure functions of arrays. No trace has more than `spectrum_layers.MAX_POINTS` points.
"""

from html import escape
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.identify import Identification
from nmrclassify.evaluation.peak_metrics import Tally
from nmrclassify.evaluation.peak_threshold import PrecisionRecallCurve
from nmrclassify.plots.spectrum_layers import SampledCurve, SpectrumLayers, sample_range
from nmrclassify.plots.style import LEGEND, Theme, finish, note, share_axis

N_POINTS = 2_400  # of each trace: two for each pixel of a wide screen
N_PANELS = 8
FIXED_LEGEND = LEGEND | {"itemclick": False, "itemdoubleclick": False}


def colours(theme: Theme) -> dict[str, str]:
    """Return the colours of each layer of a spectrum; "body" is below the mixture's line."""
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


def _outline(curve: SampledCurve, name: str, colour: str, fill: str = "", **line: Any) -> dict:
    """Return a curve as a trace, filled down to 0 if it has a colour for that."""
    filled = {"fill": "tozeroy", "fillcolor": fill} if fill else {}
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(name),
        "x0": curve.start,
        "dx": curve.step,
        "y": curve.heights.astype(np.float32),
        "line": {"color": colour, "width": 1} | line,
        "hoverinfo": "skip",
    } | filled


def _ppm_axis(low: float, high: float, **more: Any) -> dict:
    return {
        "range": [high, low],
        "showgrid": False,
        "zeroline": False,
        "title": {"text": "chemical shift (ppm)", "standoff": 4},
    } | more


def overview(
    layers: SpectrumLayers, places: np.ndarray, low: float, high: float, theme: Theme
) -> go.Figure:
    """Draw the whole axis, with the visible range and the places of the chosen compound.

    Parameters
    ----------
    places : ndarray
        Places of the chosen compound's multiplets, in ppm.
    low, high : float
        The range in the figure above, in ppm.
    """
    axis, colour = layers.axis, colours(theme)

    def whole_axis(heights: np.ndarray) -> SampledCurve:
        # Square roots: amounts differ by a factor of 100, and small peaks are visible, too.
        curve = sample_range(axis, heights, axis.low, axis.high, N_POINTS)
        return SampledCurve(curve.start, curve.step, np.sqrt(curve.heights))

    mixture, chosen = whole_axis(layers.mixture), whole_axis(layers.chosen)
    top = max(float(mixture.heights.max()), 1e-9)
    marks = {
        "type": "scatter",
        "mode": "markers",
        "x": places,
        "y": np.full(len(places), -0.07 * top),
        "name": "its multiplets",
        "marker": {"symbol": "triangle-up", "size": 9, "color": colour["chosen"]},
        "hovertemplate": "a multiplet at %{x:.3f} ppm<extra></extra>",
    }
    # The frame of a narrow range is drawn wider, so that it is visible.
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
            _outline(mixture, "mixture", colour["mixture"], colour["body"]),
            _outline(chosen, "chosen", colour["chosen"], colour["chosen"]),
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
    """Draw a range of the spectrum with one compound coloured in it.

    Parameters
    ----------
    low, high : float
        In ppm.
    name : str
        Of the chosen compound.
    """
    colour = colours(theme)

    def outline(heights: np.ndarray, name: str, key: str, fill: str = "", **line: Any) -> dict:
        curve = sample_range(layers.axis, heights, low, high, N_POINTS)
        return _outline(curve, name, colour[key], fill, **line)

    traces = [
        outline(layers.mixture, "the mixture", "mixture", colour["body"]),
        outline(layers.chosen, name, "chosen", colour["chosen"]),
        outline(layers.explained, "all named compounds", "explained"),
    ]
    if layers.truth is not None:
        traces.append(outline(layers.truth, "its true spectrum", "truth", width=1.5, dash="dot"))
    traces[0] |= {"hoverinfo": "all", "hovertemplate": "%{x:.4f} ppm<extra></extra>"}
    top = max(float(traces[0]["y"].max()), 1e-9)
    return finish(
        traces,
        theme,
        350,
        showlegend=True,
        legend=FIXED_LEGEND,
        margin={"l": 12, "r": 12, "t": 44, "b": 44},
        xaxis=_ppm_axis(low, high, fixedrange=True, nticks=8),
        yaxis={"visible": False, "range": [-0.02 * top, 1.05 * top], "fixedrange": True},
    )


def _sticks(ppm: np.ndarray, areas: np.ndarray, colour: str, width: float, **more: Any) -> dict:
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
    prediction: Identification, compound: int, multiplets: np.ndarray, theme: Theme
) -> go.Figure:
    """Draw the peaks around each of some multiplets, at most `N_PANELS`, in two columns.

    A grey stick is a peak of the mixture, and its coloured part is the compound's by the mask. A
    ring is the position and the area of a line of the library, with the estimated shift and amount.

    Parameters
    ----------
    multiplets : ndarray
        Of that compound, as indices into the library's.
    """
    compounds = prediction.compounds
    shown = multiplets[:N_PANELS]
    n_rows, separated = -(-len(shown) // 2), prediction.separated(compound)
    height, gap, top_margin = 130, 62, 96
    total = n_rows * (height + gap)
    traces: list[dict] = []
    layout: dict[str, dict] = {}
    titles = []
    for i, m in enumerate(shown):
        row, column = divmod(i, 2)
        top = 1 - row * (height + gap) / total
        domain = [0.0, 1.0] if len(shown) == 1 else [[0.0, 0.47], [0.53, 1.0]][column]
        suffix = str(i + 1) if i else ""
        panel_traces, x, y = _neighbourhood(prediction, compound, separated, m, theme)
        on = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}", "showlegend": i == 0}
        traces += [trace | on for trace in panel_traces]
        layout[f"xaxis{suffix}"] = x | {"anchor": f"y{suffix}", "domain": domain}
        layout[f"yaxis{suffix}"] = y | {
            "anchor": f"x{suffix}",
            "domain": [max(0.0, top - height / total), top],
        }
        place = prediction.places(shown[i : i + 1])[0]
        text = f"<b>{escape(compounds.kinds[m])}</b> at {place:.3f} ppm"
        titles.append(note(text, domain[0], top, yshift=2, font={"size": 12}))
    return finish(
        traces,
        theme,
        total + top_margin,
        showlegend=True,
        legend=FIXED_LEGEND | {"y": 1, "yref": "container", "yanchor": "top"},
        margin={"l": 12, "r": 12, "t": top_margin, "b": 0},
        annotations=titles,
        **layout,
    )


def _neighbourhood(
    prediction: Identification, compound: int, separated: np.ndarray, multiplet: int, theme: Theme
) -> tuple[list[dict], dict, dict]:
    """Return the traces of one multiplet's panel, and its axes."""
    compounds, peaks, colour = prediction.compounds, prediction.peaks, colours(theme)
    lines = slice(compounds.first_line[multiplet], compounds.first_line[multiplet + 1])
    centre = float(prediction.places(np.array([multiplet]))[0])
    at = centre + compounds.offsets[lines] / peaks.axis.mhz
    reach = max(at.max() - centre, centre - at.min()) + 12 / peaks.axis.mhz
    near = np.flatnonzero(np.abs(peaks.ppm - centre) <= reach)
    # The 600 strongest: more cannot be distinguished on the screen.
    near = np.sort(near[np.argsort(-peaks.areas[near], kind="stable")][:600])
    coloured = near[separated[near] > 0]
    expected = prediction.amounts[compound] * compounds.areas[lines]
    rings = {
        "type": "scatter",
        "mode": "markers",
        "x": at,
        "y": expected,
        "name": "line of the library, shifted",
        "marker": {"symbol": "circle-open", "size": 8, "color": theme.text, "line": {"width": 1.5}},
        "hovertemplate": "%{x:.4f} ppm, expected area %{y:.3g}<extra></extra>",
    }
    traces = [
        _sticks(
            peaks.ppm[near], peaks.areas[near], colour["mixture"], 3, name="peak of the mixture"
        ),
        _sticks(
            peaks.ppm[coloured],
            separated[coloured],
            colour["chosen"],
            3,
            name="part of this compound, by the mask",
        ),
        rings,
    ]
    # Peaks of other compounds can be a hundred times as high; they are cut at four times.
    scale = max(float(separated[near].max(initial=0.0)), float(expected.max()))
    highest = min(float(peaks.areas[near].max(initial=scale)), 4 * scale)
    x = {
        "gridcolor": theme.grid,
        "linecolor": theme.grid,
        "showgrid": False,
        "zeroline": False,
        "range": [centre + reach, centre - reach],
        "nticks": 4,
        "tickformat": ".2f",
        "tickangle": 0,
        "fixedrange": True,
    }
    y = {"range": [0, 1.12 * max(highest, scale, 1e-9)], "visible": False, "fixedrange": True}
    return traces, x, y


def precision_recall(
    curve: PrecisionRecallCurve, threshold: float, tally: Tally, theme: Theme
) -> go.Figure:
    """Draw precision over recall for all thresholds, and the point of the present one."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": curve.recall,
            "y": curve.precision,
            "customdata": curve.threshold,
            "line": {"color": colours(theme)["explained"], "width": 2, "shape": "hv"},
            "hovertemplate": (
                "threshold %{customdata:.2f}: recall %{x:.0%}, precision %{y:.0%}<extra></extra>"
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
            "hovertemplate": "here: recall %{x:.0%}, precision %{y:.0%}<extra></extra>",
        },
    ]
    return finish(
        traces,
        theme,
        300,
        margin={"t": 12, "r": 12},
        xaxis=share_axis("recall: named, of those in the mixture", -0.03, 1.05)
        | {"fixedrange": True},
        yaxis=share_axis("precision: right, of those named", -0.03, 1.05) | {"fixedrange": True},
    )
