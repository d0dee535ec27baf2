"""Figures of classes: probabilities of the compounds, the assignment of outputs, and confusions."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.networks.prediction import Prediction, Truth, percent
from nmrclassify.plots.map_rows import Sheet
from nmrclassify.plots.outputs import output_colours, output_names
from nmrclassify.plots.style import (
    HIGHLIGHT,
    LEGEND,
    PROBABILITIES,
    ColourScale,
    Theme,
    class_axis,
    compound_colour,
    finish,
    frame,
    horizontal_bars,
    probability_scale,
    share_axis,
)


def headings(
    prediction: Prediction, names: tuple[str, ...], truth: Truth | None
) -> tuple[str, ...]:
    """Return a short heading for each output: the compound that it names, right or wrong.

    An untrained network is neither.
    """
    if not prediction.trained:
        return tuple(short(output_names(prediction, names)))
    classes = short(prediction.class_names(names))
    if truth is None:
        return tuple(classes[k] for k in prediction.named)
    return tuple(
        classes[k] + (" ✓" if right else " ✗")
        for k, right in zip(prediction.named, truth.right, strict=True)
    )


def unshown_headings(
    prediction: Prediction, names: tuple[str, ...], truth: Truth | None
) -> tuple[str, ...]:
    """Return a short heading for each part of the mixture that stands beside no output."""
    if truth is None:
        return ()
    called = [(*names, "unknown")[k] for k in truth.unshown_labels]
    predicted = np.append(prediction.counts > 0, prediction.predicts_unknown)
    return tuple(
        name if predicted[k] or not prediction.trained else f"{name} missed"
        for name, k in zip(called, truth.unshown_labels, strict=True)
    )


def short(names: Iterable[str]) -> list[str]:
    """Return names of classes for narrow places: "unknown" for "something unknown"."""
    return [name.removeprefix("something ") for name in names]


def marked(names: Iterable[str], present: np.ndarray | None) -> list[str]:
    """Return names of classes, with a diamond at those in the mixture, where that is known."""
    return [
        f"◇ {name}" if present is not None and k in present else name
        for k, name in enumerate(names)
    ]


def alt_text(prediction: Prediction, names: tuple[str, ...]) -> str:
    """Return the class probabilities in words, for a screen reader."""
    return "; ".join(
        f"{name} {percent(p)}"
        for name, p in zip(output_names(prediction, names), prediction.confidence, strict=True)
    )


def class_heights(prediction: Prediction, theme: Theme) -> list[int]:
    """Return the heights of the rows of `add_classes`: bars, and for slots a heatmap."""
    n_outputs, n_classes = prediction.probabilities.shape
    bars = round(theme.points(16)) * n_classes + 8
    return [bars] if prediction.outputs_are_classes else [bars, round(theme.points(24)) * n_outputs]


def add_classes(
    sheet: Sheet,
    row: int,
    prediction: Prediction,
    names: tuple[str, ...],
    truth: Truth | None,
    pitch: float,
    width: float,
) -> None:
    """Draw the probabilities as bars from a row of a sheet on; diamonds mark the truth.

    Below them, slots have a heatmap of outputs x classes. `pitch` is the distance between the bars
    of two outputs, and `width` that of the whole row, in lengths of a bar of probability 1.
    """
    if prediction.outputs_are_classes:
        _presence_bars(sheet, row, prediction, short(prediction.class_names(names)), truth)
    else:
        _softmax_bars(sheet, row, prediction, names, truth, pitch, width)
        _softmax_map(sheet, row + 1, prediction, names, truth)


def _presence_bars(
    sheet: Sheet, row: int, prediction: Prediction, classes: list[str], truth: Truth | None
) -> None:
    """Draw one bar for each compound, in its colour."""
    colours = [compound_colour(k, len(classes) - 1) for k in range(len(classes))]
    x = share_axis("probability" + (" (◇ in the mixture)" if truth else ""), -0.01, 1.02)
    x["title"]["standoff"] = 4
    on = sheet.axes(row, x, class_axis(sheet.theme))
    bars = horizontal_bars(classes, prediction.probabilities[0], colours)
    sheet.traces.append(bars | {"hovertemplate": "%{y} %{x:.1%}<extra></extra>"} | on)
    if truth is not None:
        at = np.full(len(truth.present), 0.02)
        sheet.traces.append(
            _diamonds(sheet.theme, [classes[k] for k in truth.present], at, "in the mixture") | on
        )
    sheet.title(row, "<b>Which compounds?</b> Probability of each")


def _softmax_bars(
    sheet: Sheet,
    row: int,
    prediction: Prediction,
    names: tuple[str, ...],
    truth: Truth | None,
    pitch: float,
    width: float,
) -> None:
    """Draw the softmax of each output, one block of bars beside the other."""
    n_outputs, n_classes = prediction.probabilities.shape
    classes = prediction.class_names(names)
    colours = [compound_colour(k, len(names)) for k in range(n_classes)]
    steps = np.arange(n_outputs) * pitch
    title = "probability" + (" (◇ true compound)" if truth else "")
    x = {
        "tickvals": [s + v for s in steps for v in (0.5, 1)],
        "ticktext": ["½", "1"] * n_outputs,
        "tickangle": 0,
        "range": [0, width],
        "title": {"text": title, "standoff": 4},
    }
    on = sheet.axes(row, x, class_axis(sheet.theme))
    called = output_names(prediction, names)
    for i, probabilities in enumerate(prediction.probabilities):
        bars = horizontal_bars(classes[:n_classes], probabilities, colours)
        details = {
            "base": np.full(n_classes, steps[i]),
            "customdata": probabilities,
            "hovertemplate": f"{called[i]}: %{{y}} %{{customdata:.1%}}<extra></extra>",
        }
        sheet.traces.append(bars | details | on)
        sheet.shapes.append(
            {
                "type": "line",
                "x0": steps[i],
                "x1": steps[i],
                "xref": on["xaxis"],
                "y0": 0,
                "y1": 1,
                "yref": f"{on['yaxis']} domain",
                "line": {"color": sheet.theme.grid, "width": 1},
                "layer": "below",
            }
        )
    if truth is not None:
        known = truth.labels < n_classes
        labels = [classes[k] for k in truth.labels[known]]
        at = steps[known] + 0.03
        sheet.traces.append(_diamonds(sheet.theme, labels, at, "true compound") | on)
    sheet.title(row, "<b>Which compound?</b> Softmax of each output")


def _softmax_map(
    sheet: Sheet, row: int, prediction: Prediction, names: tuple[str, ...], truth: Truth | None
) -> None:
    """Draw the softmax of each output as a heatmap of outputs x classes; frame the truth."""
    n_outputs, n_classes = prediction.probabilities.shape
    outputs = class_axis(sheet.theme) | {"range": [n_outputs - 0.5, -0.5], "autorange": False}
    compounds = {"type": "category", "tickfont": {"size": sheet.theme.points(11)}}
    on = sheet.axes(row, compounds, outputs)
    sheet.layout["coloraxis9"] = probability_scale(sheet.theme) | {"showscale": False}
    sheet.traces.append(
        {
            "type": "heatmap",
            "z": prediction.probabilities,
            "x": list(prediction.class_names(names)[:n_classes]),
            "y": _rows(prediction, names),
            "coloraxis": "coloraxis9",
            "xgap": 1,
            "ygap": 1,
            "text": _percents(prediction.probabilities),
            "texttemplate": "%{text}",
            "textfont": {"size": sheet.theme.points(10)},
            "hovertemplate": "%{y}: %{x} %{z:.1%}<extra></extra>",
            "meta": {"rows": "classes", "outputs_are_classes": False},
        }
        | on
    )
    for i, k in _true_cells(prediction, truth):
        x, y = on["xaxis"], on["yaxis"]
        sheet.shapes += frame(k - 0.5, k + 0.5, i - 0.5, i + 0.5, xref=x, yref=y)
    framed = "; frame: true compound" if truth else ""
    sheet.title(row, f"<b>As a heatmap</b> (%{framed})")


def _percents(probabilities: np.ndarray) -> list[list[str]]:
    """Return texts for narrow cells: percent without the sign, empty below one half."""
    return [[f"{100 * p:.0f}" if p >= 0.005 else "" for p in row] for row in probabilities]


def _true_cells(prediction: Prediction, truth: Truth | None) -> list[tuple[int, int]]:
    """Return row and class of the true compounds among `prediction.probabilities`."""
    if truth is None:
        return []
    if prediction.outputs_are_classes:
        return [(0, int(k)) for k in truth.present]
    n_classes = prediction.probabilities.shape[1]
    return [(i, int(k)) for i, k in enumerate(truth.labels) if k < n_classes]


def _diamonds(theme: Theme, classes: list[str], x: np.ndarray, meaning: str) -> dict:
    return {
        "type": "scatter",
        "mode": "markers",
        "y": classes,
        "x": x,
        "marker": {"symbol": "diamond-open", "color": theme.text, "size": 8, "line": {"width": 2}},
        "hovertemplate": f"{meaning}: %{{y}}<extra></extra>",
    }


def _table_map(
    values: np.ndarray,
    text: list[list[str]],
    x: list[str],
    y: list[str],
    hover: str,
    theme: Theme,
    height: int,
    framed: Iterable[tuple[int, int]] = (),
    meta: dict | None = None,
    **layout: Any,
) -> go.Figure:
    """Draw a small matrix with text in its cells; frame the cells `framed`, as (row, column)."""
    trace = {
        "type": "heatmap",
        "z": values,
        "x": x,
        "y": y,
        "coloraxis": "coloraxis",
        "xgap": 1,
        "ygap": 1,
        "text": text,
        "texttemplate": "%{text}",
        "hovertemplate": hover + "<extra></extra>",
        "meta": meta,
    }
    frames = [
        {
            "type": "rect",
            "x0": j - 0.5,
            "x1": j + 0.5,
            "y0": i - 0.5,
            "y1": i + 0.5,
            "line": {"color": HIGHLIGHT, "width": 4},
        }
        for i, j in framed
    ]
    axis = {"showgrid": False, "type": "category"}
    layout["xaxis"] = axis | layout["xaxis"]
    layout["xaxis"]["title"]["standoff"] = 8  # from names, which are upright on a narrow screen
    layout["yaxis"] = axis | {"autorange": "reversed"} | layout.pop("yaxis", {})
    margin = {"r": 62 if layout["coloraxis"].get("showscale", True) else 8, "t": 10}
    return finish([trace], theme, height, shapes=frames, margin=margin, **layout)


def _rows(prediction: Prediction, names: tuple[str, ...]) -> list[str]:
    """Return the names of the rows of `prediction.probabilities`."""
    if prediction.outputs_are_classes:
        return ["probability"]
    return list(output_names(prediction, names))


def class_heatmap(
    prediction: Prediction, names: tuple[str, ...], theme: Theme, truth: Truth | None = None
) -> go.Figure:
    """Draw probabilities as outputs x compounds, or in one row; frame the true compounds."""
    probabilities = prediction.probabilities
    return _table_map(
        probabilities,
        _percents(probabilities),
        short(prediction.class_names(names)[: probabilities.shape[1]]),
        _rows(prediction, names),
        "%{y}: %{x} %{z:.1%}",
        theme,
        160 + 44 * len(probabilities),
        _true_cells(prediction, truth),
        {"rows": "classes", "outputs_are_classes": prediction.outputs_are_classes},
        coloraxis=probability_scale(theme),
        xaxis={"title": {"text": "in percent" + (" (framed: in the mixture)" if truth else "")}},
    )


def class_bars(prediction: Prediction, names: tuple[str, ...], theme: Theme) -> go.Figure:
    """Draw probabilities as bars: a row of them has the colour of its compound, or each bar has."""
    classes = short(prediction.class_names(names)[: prediction.probabilities.shape[1]])
    colours: tuple[Any, ...] = output_colours(prediction, names)
    if prediction.outputs_are_classes:
        colours = ([compound_colour(k, len(names)) for k in range(len(classes))],)
    traces = [
        {
            "type": "bar",
            "x": classes,
            "y": probabilities,
            "name": label,
            "marker": {"color": colour},
            "hovertemplate": f"{label}: %{{x}} %{{y:.1%}}<extra></extra>",
        }
        for label, colour, probabilities in zip(
            _rows(prediction, names), colours, prediction.probabilities, strict=True
        )
    ]
    return finish(
        traces,
        theme,
        280,
        margin={"r": 62},  # each bar stands below its column of the heatmap
        barmode="group",
        showlegend=len(traces) > 1,
        legend=LEGEND,
        xaxis={
            "title": {"text": "compound", "standoff": 8},
            "showgrid": False,
            "type": "category",
        },
        yaxis={"title": {"text": "probability"}, "range": [0, 1]},
    )


def cost_matrix(
    truth: Truth,
    output_names: Sequence[str],
    source_names: Sequence[str],
    weight: float,
    theme: Theme,
) -> go.Figure:
    """Draw the cost of every pair of output and source; frames mark the chosen assignment.

    Parameters
    ----------
    truth : Truth
        With the costs, as slots have them.
    output_names : sequence of str, length M
    source_names : sequence of str, length C
        In the order of mixing, as the columns of the costs.
    weight : float
        Of the reconstruction in the total cost.

    Raises
    ------
    ValueError
        If the truth has no costs.
    """
    if truth.classification is None or truth.reconstruction is None or truth.pairing is None:
        raise ValueError("the truth has no costs of pairs; expected the truth of a slots network")
    cost = truth.classification + weight * truth.reconstruction
    text = [
        [
            f"{total:.3g}<br>{abs(entropy):.2g} + {weight * error:.2g}"
            for total, entropy, error in zip(*row, strict=True)
        ]
        for row in zip(cost, truth.classification, truth.reconstruction, strict=True)
    ]
    # Costs span decades, so that colours follow their logarithm.
    offset = 1e-3
    return _table_map(
        np.log10(cost + offset),
        text,
        [f"{j + 1}: {name}" for j, name in enumerate(source_names)],
        list(output_names),
        "%{y} with %{x}: cost %{text}",
        theme,
        120 + 56 * len(cost),
        ((i, int(j)) for i, j in enumerate(truth.pairing)),
        {"log_offset": offset},
        coloraxis={"colorscale": PROBABILITIES, "showscale": False, "cmin": -3.0, "cmax": 2.0},
        xaxis={"title": {"text": "source (framed: chosen)"}},
    )


def confusion(counts: np.ndarray, names: tuple[str, ...], theme: Theme) -> go.Figure:
    """Draw counts of (true compound, named compound), shape (K, K), over a test set."""
    scale = ColourScale("times", 0.0, float(max(counts.max(), 1)), theme.areas)
    return _table_map(
        counts,
        [[str(v) if v else "" for v in row] for row in counts],
        list(names),
        list(names),
        "%{y} was named %{x}: %{z} times",
        theme,
        170 + 30 * len(counts),
        coloraxis=scale.coloraxis(theme, 0.5, 1.0),
        xaxis={"title": {"text": "named compound"}},
        yaxis={"title": {"text": "true compound", "standoff": 12}},
    )
