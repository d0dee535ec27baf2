"""Figures of classes: probabilities of the compounds, the assignment of outputs, and confusions."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.networks.prediction import Prediction, Truth, percent
from nmrclassify.plots.map_rows import Sheet
from nmrclassify.plots.outputs import output_colours
from nmrclassify.plots.style import (
    HIGHLIGHT,
    LEGEND,
    OUTPUT_COLOURS,
    PROBABILITIES,
    ColourScale,
    Theme,
    class_axis,
    finish,
    horizontal_bars,
    probability_scale,
    share_axis,
)


def headings(
    prediction: Prediction, names: tuple[str, ...], truth: Truth | None
) -> tuple[str, ...]:
    """Return a short heading for each output: the compound that it names, right or wrong."""
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
        name if predicted[k] else f"{name} missed"
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
    classes = prediction.class_names(names)
    return "; ".join(
        f"output {i + 1} {classes[k]} {percent(p)}"
        for i, (k, p) in enumerate(zip(prediction.named, prediction.confidence, strict=True))
    )


def add_class_bars(
    sheet: Sheet, row: int, prediction: Prediction, names: tuple[str, ...], truth: Truth | None
) -> None:
    """Draw the probabilities as bars in a row of a sheet; diamonds mark the truth."""
    draw = _presence_bars if prediction.outputs_are_classes else _softmax_bars
    draw(sheet, row, prediction, prediction.class_names(names), truth)


def _presence_bars(
    sheet: Sheet, row: int, prediction: Prediction, classes: tuple[str, ...], truth: Truth | None
) -> None:
    """Draw one bar for each compound; those that an output shows have the compound's colour."""
    colours = np.full(len(classes), sheet.theme.grid, dtype=object)
    colours[prediction.named] = output_colours(prediction, classes[:-1])
    x = share_axis("probability" + (" (◇ in the mixture)" if truth else ""), -0.01, 1.02)
    x["title"]["standoff"] = 4
    on = sheet.axes(row, x, class_axis(sheet.theme))
    bars = horizontal_bars(classes, prediction.probabilities[0], list(colours))
    sheet.traces.append(bars | {"hovertemplate": "%{y} %{x:.1%}<extra></extra>"} | on)
    if truth is not None:
        at = np.full(len(truth.present), 0.02)
        sheet.traces.append(
            _diamonds(sheet.theme, [classes[k] for k in truth.present], at, "in the mixture") | on
        )
    sheet.title(row, "<b>Which compounds?</b> Probability of each")


def _softmax_bars(
    sheet: Sheet, row: int, prediction: Prediction, classes: tuple[str, ...], truth: Truth | None
) -> None:
    """Draw the softmax of each output, one block of bars beside the other."""
    n_outputs, n_classes = prediction.probabilities.shape
    pitch = 1.12
    steps = np.arange(n_outputs) * pitch
    title = "probability" + (" (◇ true compound)" if truth else "")
    x = {
        "tickvals": [s + v for s in steps for v in (0.5, 1)],
        "ticktext": ["½", "1"] * n_outputs,
        "tickangle": 0,
        "range": [-0.02, n_outputs * pitch - 0.1],
        "title": {"text": title, "standoff": 4},
    }
    on = sheet.axes(row, x, class_axis(sheet.theme))
    colours = output_colours(prediction, classes[:-1])
    for i, probabilities in enumerate(prediction.probabilities):
        bars = horizontal_bars(classes[:n_classes], probabilities, colours[i])
        details = {
            "base": np.full(n_classes, steps[i]),
            "customdata": probabilities,
            "hovertemplate": f"output {i + 1}: %{{y}} %{{customdata:.1%}}<extra></extra>",
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
        labels = [classes[k] for k in truth.labels]
        sheet.traces.append(_diamonds(sheet.theme, labels, steps + 0.03, "true compound") | on)
    sheet.title(row, "<b>Which compound?</b> Probability of each, by output")


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
    layout["yaxis"] = axis | {"autorange": "reversed"} | layout.pop("yaxis", {})
    margin = {"r": 62 if layout["coloraxis"].get("showscale", True) else 8, "t": 10}
    return finish([trace], theme, height, shapes=frames, margin=margin, **layout)


def _rows(prediction: Prediction) -> list[str]:
    """Return the names of the rows of `prediction.probabilities`."""
    if prediction.outputs_are_classes:
        return ["probability"]
    return [f"output {i + 1}" for i in range(len(prediction.probabilities))]


def class_heatmap(
    prediction: Prediction, names: tuple[str, ...], theme: Theme, truth: Truth | None = None
) -> go.Figure:
    """Draw probabilities as outputs x compounds, or in one row; frame the true compounds."""
    probabilities = prediction.probabilities
    framed: list[tuple[int, int]] = []
    if truth is not None and prediction.outputs_are_classes:
        framed = [(0, k) for k in truth.present]
    elif truth is not None:
        framed = list(enumerate(truth.labels))
    return _table_map(
        probabilities,
        [[f"{p:.2f}" if p >= 0.005 else "" for p in row] for row in probabilities],
        list(prediction.class_names(names)[: probabilities.shape[1]]),
        _rows(prediction),
        "%{y}: %{x} %{z:.1%}",
        theme,
        130 + 44 * len(probabilities),
        framed,
        {"rows": "classes", "outputs_are_classes": prediction.outputs_are_classes},
        coloraxis=probability_scale(theme),
        xaxis={"title": {"text": "compound" + (" (framed: in the mixture)" if truth else "")}},
    )


def class_bars(prediction: Prediction, names: tuple[str, ...], theme: Theme) -> go.Figure:
    """Draw probabilities as bars, one colour for each row of them."""
    classes = prediction.class_names(names)[: prediction.probabilities.shape[1]]
    rows = zip(_rows(prediction), prediction.probabilities, strict=True)
    colours = OUTPUT_COLOURS[:1] if prediction.outputs_are_classes else ()
    colours = colours or output_colours(prediction, names)
    traces = [
        {
            "type": "bar",
            "x": list(classes),
            "y": probabilities,
            "name": label,
            "marker": {"color": colours[i % len(colours)]},
            "hovertemplate": f"{label}: %{{x}} %{{y:.1%}}<extra></extra>",
        }
        for i, (label, probabilities) in enumerate(rows)
    ]
    return finish(
        traces,
        theme,
        280,
        barmode="group",
        showlegend=len(traces) > 1,
        legend=LEGEND,
        xaxis={"title": {"text": "compound"}, "showgrid": False, "type": "category"},
        yaxis={"title": {"text": "probability"}, "range": [0, 1]},
    )


def cost_matrix(truth: Truth, source_names: list[str], weight: float, theme: Theme) -> go.Figure:
    """Draw the cost of every pair of output and source; frames mark the chosen assignment.

    Parameters
    ----------
    truth : Truth
        With the costs, as slots have them.
    source_names : list of str, length C
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
        [f"output {i + 1}" for i in range(len(cost))],
        "%{y} with %{x}: cost %{text}",
        theme,
        120 + 56 * len(cost),
        enumerate(truth.pairing),
        {"log_offset": offset},
        coloraxis={"colorscale": PROBABILITIES, "showscale": False, "cmin": -3.0, "cmax": 2.0},
        xaxis={"title": {"text": "source (framed: the chosen assignment)"}},
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
