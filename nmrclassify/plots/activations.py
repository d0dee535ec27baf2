"""What is inside a network to Plotly figures: a cell followed, filters, activations, receptive field. Pure, as in `figures`."""

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.interpretation import Activations, CellTrace, ReceptiveField
from nmrclassify.evaluation.prediction import class_names
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.maps import MASKS, mask_scale
from nmrclassify.plots.style import (
    FRAME,
    OUTPUT_COLOURS,
    ColourScale,
    MapRow,
    Theme,
    finish,
    peak,
    place,
    stack,
)

MOST_BARS = 5


def cell_trace(
    trace: CellTrace, names: tuple[str, ...], kind: str, axis: Axis, theme: Theme
) -> go.Figure:
    """Draw what one cell does, in six panels, numbered: mixture, filter, masks, decoder, separated multiplets, classes.

    Parameters
    ----------
    trace : CellTrace
    names : tuple of str, length K
    kind : str
        Of the network.
    axis : Axis
    theme : Theme
    """
    cell, called = trace.cell, class_names(kind, names)
    positions = _window_positions(trace, axis)
    ppm = [
        "none" if p < 0 else f"{axis.centres[p]:.2f}" if axis.unit == "ppm" else str(p)
        for p in positions
    ]
    areas, weights, added = (
        peak(np.stack([trace.window, trace.multiplets])),
        peak(np.stack([trace.encoder, trace.decoder])),
        peak(trace.added),
    )
    layout, traces, notes = {}, [], []
    # Two columns, so that panels stay readable on a telephone.
    columns, rows = ([0, 0.42], [0.62, 1.0]), ([0.755, 0.97], [0.385, 0.6], [0.015, 0.23])

    def panel(number: int, title: str, x: dict, y: dict) -> dict:
        row, column = divmod(number - 1, 2)
        number = str(number) if number > 1 else ""
        common = {
            "showgrid": False,
            "zeroline": False,
            "tickfont": {"size": theme.points(10)},
            "automargin": False,
        }
        layout[f"xaxis{number}"] = common | {"domain": columns[column], "anchor": f"y{number}"} | x
        layout[f"yaxis{number}"] = common | {"domain": rows[row], "anchor": f"x{number}"} | y
        notes.append(_note(title, columns[column][0], rows[row][1] + 0.005, theme, 12))
        return {"xaxis": f"x{number}", "yaxis": f"y{number}"}

    def window(number: int, title: str, values: np.ndarray, scale: ColourScale) -> None:
        on = panel(
            number,
            f"<b>{number}</b> {title}",
            {"type": "category", "title": {"text": axis.unit, "standoff": 2}},
            {"dtick": 1, "tick0": 1},
        )
        low, high = scale.place(np.array([scale.low, scale.high]))
        # Positions decrease from left to right, as everywhere.
        traces.append(
            {
                "type": "heatmap",
                "z": scale.place(values[:, ::-1].astype(float)),
                "x": ppm[::-1],
                "y": np.arange(1, len(values) + 1),
                "zmin": float(low),
                "zmax": float(high),
                "colorscale": scale.colours,
                "showscale": False,
                "xgap": 1,
                "ygap": 1,
                "text": [[f"{v:.3g}" for v in line] for line in values[:, ::-1]],
                "meta": {
                    "rows": "window",
                    "at": positions[::-1],
                    "root": scale.root,
                    "title": title,
                },
                "hovertemplate": f"peak %{{y}}, %{{x}} {axis.unit}<br>%{{text}}<extra></extra>",
                **on,
            }
        )

    window(1, "Mixture", trace.window, ColourScale("peak area", 0, areas, theme.areas, root=True))
    window(
        2,
        f"x filter {cell.filter}",
        trace.encoder,
        ColourScale("weight", -weights, weights, theme.differences),
    )
    shown = _masks_shown(trace, kind)
    on = panel(
        3,
        f"<b>3</b> = {trace.encoding:.3g}, masks",
        {"range": [0, 1.02], "tickvals": [0, 0.5, 1]},
        {"autorange": "reversed", "type": "category"},
    )
    words = (
        _short([called[m] for m in shown])
        if kind == "queries"
        else [f"output {m + 1}" for m in shown]
    )
    traces.append(
        {
            "type": "bar",
            "orientation": "h",
            "y": words,
            "x": trace.masks[shown],
            "showlegend": False,
            "marker": {"color": [FRAME if m == cell.output else OUTPUT_COLOURS[7] for m in shown]},
            "hovertemplate": "mask of %{y}: %{x:.3f}<extra></extra>",
            **on,
        }
    )
    # No wider than what it adds up to, or a cell that adds nothing would look like one that adds
    # much.
    window(
        4,
        f"Mask {trace.masks[cell.output]:.2g}: adds",
        trace.added,
        ColourScale("area", -max(added, areas), max(added, areas), theme.differences, root=True),
    )
    window(
        5, "Separated", trace.multiplets, ColourScale("peak area", 0, areas, theme.areas, root=True)
    )
    classes = _classes_shown(trace, kind)
    changes = trace.evidence[1:] - trace.evidence[0]
    high = max(float(np.abs(changes[:, classes]).max()), 0.1)
    on = panel(
        6,
        "<b>6</b> Evidence",
        {
            "range": [-1.1 * high, 1.1 * high],
            "nticks": 4,
            "zeroline": True,
            "title": {"text": "change, log odds", "standoff": 2},
        },
        {"autorange": "reversed", "type": "category"},
    )
    states = (
        ("mask 0 here", trace.closed),
        ("mask 1 here", trace.opened),
        ("mask 0 for all filters here", trace.silenced),
    )
    for i, (label, values) in enumerate(states):
        traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": label,
                "y": _short([called[k] for k in classes]),
                "x": changes[i, classes],
                "marker": {"color": OUTPUT_COLOURS[i + 1]},
                "customdata": np.stack([trace.presence[classes], values[classes]], axis=1),
                "hovertemplate": (
                    f"%{{y}}, {label}: %{{customdata[0]:.1%}} to"
                    " %{customdata[1]:.1%}<extra></extra>"
                ),
                **on,
            }
        )
    return finish(
        traces,
        theme,
        660,
        barmode="group",
        showlegend=True,
        annotations=notes,
        margin={"l": theme.points(66), "r": 14, "t": 18, "b": 120},
        legend={
            "orientation": "h",
            "yref": "container",
            "y": 0,
            "yanchor": "bottom",
            "x": 0,
            "traceorder": "normal",
        },
        **layout,
    )


def _note(text: str, x: float, y: float, theme: Theme, size: float) -> dict:
    return {
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": theme.points(size)},
    }


def _short(names: list[str]) -> list[str]:
    names = [name.removeprefix("something ") for name in names]
    short = [name if len(name) <= 11 else name[:10] + "…" for name in names]
    return short if len(set(short)) == len(short) else names


def _window_positions(trace: CellTrace, axis: Axis) -> list[int]:
    # A window at an end has a column beside the axis, which repeats no other's label.
    return [
        trace.cell.position + step if 0 <= trace.cell.position + step < axis.n_positions else -1
        for step in (-1, 0, 1)
    ]


def _masks_shown(trace: CellTrace, kind: str) -> np.ndarray:
    """Return the outputs whose masks are drawn: the cell's, and the largest others."""
    if kind == "slots":
        return np.arange(len(trace.masks))
    order = [m for m in np.argsort(-trace.masks, kind="stable") if m != trace.cell.output]
    return np.array([trace.cell.output, *order[: MOST_BARS - 1]])


def _classes_shown(trace: CellTrace, kind: str) -> np.ndarray:
    """Return the likeliest classes in any of the four states; first, with queries, the one that the clicked mask stands for."""
    order = np.argsort(-trace.evidence.max(axis=0), kind="stable")
    if kind == "queries":
        order = np.concatenate([[trace.cell.output], order[order != trace.cell.output]])
    return order[: MOST_BARS - 1]


def trace_words(trace: CellTrace, names: tuple[str, ...], kind: str, axis: Axis) -> str:
    """Say what one cell does, in one sentence, for captions and screen readers."""
    cell, called = trace.cell, class_names(kind, names)
    of = called[cell.output] if kind == "queries" else f"output {cell.output + 1}"
    changes = {
        "closed here": trace.closed,
        "fully open here": trace.opened,
        "closed for all filters at this position": trace.silenced,
    }
    told = []
    for state, values in changes.items():
        k = int(np.abs(values - trace.presence).argmax())
        change = float(values[k] - trace.presence[k])
        told.append(
            f"{state}, {called[k]} would go from {trace.presence[k]:.1%} to {values[k]:.1%}"
            if abs(change) >= 0.001
            else f"{state}, no class would change"
        )
    return (
        f"At {place(axis, cell.position)} filter {cell.filter} answers the mixture with"
        f" {trace.encoding:.3g}; the mask of {of} lets {trace.masks[cell.output]:.1%} of it"
        f" through, {trace.separated:.3g}, and the decoder makes peak areas of it. Were the mask"
        f" {'; '.join(told)}."
    )


def filter_grid(
    encoder: np.ndarray, decoder: np.ndarray, theme: Theme, chosen: int | None = None
) -> go.Figure:
    """Draw the weights of encoder and decoder, each of shape (N, P, 3), as small multiplet patterns, filter by filter.

    Each pattern has the P peaks as rows and the three positions as columns, the larger ppm left;
    every filter is drawn relative to its own largest weight.
    """
    n, n_peaks, taps = encoder.shape
    columns = int(np.ceil(np.sqrt(n * n_peaks / taps)))
    rows = -(-n // columns)
    both, texts = [], []
    for weights in (encoder, decoder):
        sheet = np.full((rows * (n_peaks + 1) - 1, columns * (taps + 1) - 1), np.nan)
        text = np.full(sheet.shape, "", dtype=object)
        for i, pattern in enumerate(weights):
            row, column = divmod(i, columns)
            top, left = row * (n_peaks + 1), column * (taps + 1)
            sheet[top : top + n_peaks, left : left + taps] = pattern[:, ::-1] / max(
                np.abs(pattern).max(), 1e-12
            )
            place_ = [
                [
                    f"filter {i}, peak {k + 1}, {('right', 'middle', 'left')[t]}:"
                    f" {pattern[k, t]:.3g}"
                    for t in (2, 1, 0)
                ]
                for k in range(n_peaks)
            ]
            text[top : top + n_peaks, left : left + taps] = place_
        both.append(sheet)
        texts.append(text)
    traces, layout, shapes = [], {}, []
    domains = ([0.56, 0.97], [0.0, 0.41])
    for i, (sheet, text) in enumerate(zip(both, texts, strict=False)):
        number = "2" if i else ""
        hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
        # With room for the frame of a pattern at an edge.
        layout[f"xaxis{number}"] = hidden | {"anchor": f"y{number}", "range": [-1, sheet.shape[1]]}
        layout[f"yaxis{number}"] = hidden | {
            "anchor": f"x{number}",
            "domain": domains[i],
            "range": [sheet.shape[0], -1],
        }
        traces.append(
            {
                "type": "heatmap",
                "z": sheet,
                "text": text,
                "hovertemplate": "%{text}<extra></extra>",
                "hoverongaps": False,
                "xaxis": f"x{number}",
                "yaxis": f"y{number}",
                "coloraxis": "coloraxis",
                "meta": {
                    "rows": "grid",
                    "filters": n,
                    "columns": columns,
                    "height": n_peaks + 1,
                    "width": taps + 1,
                },
            }
        )
        if chosen is not None:
            row, column = divmod(chosen, columns)
            box = {
                "type": "rect",
                "xref": f"x{number}",
                "yref": f"y{number}",
                "x0": column * (taps + 1) - 0.9,
                "x1": column * (taps + 1) + taps - 0.1,
                "y0": row * (n_peaks + 1) - 0.9,
                "y1": row * (n_peaks + 1) + n_peaks - 0.1,
            }
            shapes += [
                box | {"line": {"color": "#000000", "width": 4}},
                box | {"line": {"color": FRAME, "width": 2}},
            ]
    notes = [
        _note("<b>Encoder</b>: what each filter looks for", 0, 0.975, theme, 13),
        _note("<b>Decoder</b>: what each filter writes", 0, 0.415, theme, 13),
    ]
    scale = ColourScale("weight, relative", -1.0, 1.0, theme.differences).coloraxis(theme, 0.5, 0.8)
    return finish(
        traces,
        theme,
        640,
        annotations=notes,
        shapes=shapes,
        coloraxis=scale,
        margin={"l": 8, "r": 62, "t": 22, "b": 8},
        **layout,
    )


def activation_maps(
    found: Activations, axis: Axis, theme: Theme, position: int | None = None, skip: bool = True
) -> go.Figure:
    """Draw what every block gives on, one row of maps for each stack of dilations, channels x positions.

    The skips, or the residuals; a lone block has no residual, and its skip is drawn.
    """
    maps = found.skip if skip or not len(found.residual) else found.residual
    first = [i for i, dilation in enumerate(found.dilations[: len(maps)]) if dilation == 1]
    scale = ColourScale("activation", -peak(maps), peak(maps), theme.differences, root=True)
    rows = []
    for start, stop in zip(first, [*first[1:], len(maps)], strict=False):
        headings = tuple(f"block {i + 1}: {found.dilations[i]}" for i in range(start, stop))
        title = "<b>Block: its dilation</b>" if not rows else ""
        rows.append(
            MapRow(
                title,
                maps[start:stop],
                scale,
                "channel",
                104,
                headings,
                outputs=False,
                mark=None if position is None else (None, position),
            )
        )
    return stack(rows, axis, theme)


def receptive_field(field: ReceptiveField, axis: Axis, theme: Theme) -> go.Figure:
    """Draw what each stage at one position depends on, and frame what its convolutions alone can reach."""
    n, stages = axis.n_positions, len(field.stages)
    row = MapRow(
        "<b>Gradient</b>, stage by stage",
        field.strength[None],
        mask_scale(),
        "stage",
        26 * stages,
        names=field.stages,
        outputs=False,
    )
    figure = stack([row], axis, theme)
    shapes = list(figure.layout.shapes)
    for i, reach in enumerate(field.reach):
        low, high = max(field.position - reach, 0), min(field.position + reach, n - 1)
        box = {
            "type": "rect",
            "x0": n - 1 - high - 0.5,
            "x1": n - 1 - low + 0.5,
            "y0": i - 0.46,
            "y1": i + 0.46,
        }
        shapes += [
            box | {"line": {"color": "#000000", "width": 3}},
            box | {"line": {"color": FRAME, "width": 1.5}},
        ]
    figure.update_layout(
        shapes=shapes, coloraxis={"colorbar": {"title": {"text": "gradient, relative"}}}
    )
    return figure


def strip(
    steps: tuple[int, ...],
    probabilities: np.ndarray,
    called: tuple[str, ...],
    present: np.ndarray | None,
    theme: Theme,
    step: int,
) -> go.Figure:
    """Draw the probability of every class over the steps of a training, with a line at `step`.

    Parameters
    ----------
    steps : tuple of int, length T
    chances : ndarray, shape (T, K')
    called : tuple of str, length K'
    present : ndarray or None
        The classes that are in the mixture, marked with a diamond.
    theme : Theme
    step : int
    """
    names = [
        f"◇ {name}" if present is not None and k in present else name
        for k, name in enumerate(called)
    ]
    at = steps.index(step)
    trace = {
        "type": "heatmap",
        "z": probabilities.T,
        "x": [f"{s:,}" for s in steps],
        "y": names,
        "coloraxis": "coloraxis",
        "hovertemplate": "%{y} at step %{x}: %{z:.1%}<extra></extra>",
        "meta": {"rows": "steps", "steps": list(steps)},
    }
    box = {"type": "rect", "x0": at - 0.5, "x1": at + 0.5, "y0": -0.5, "y1": len(names) - 0.5}
    shown = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), 5)).round().astype(int))
    return finish(
        [trace],
        theme,
        90 + 20 * len(names),
        margin={"t": 8, "r": 62},
        coloraxis=ColourScale("probability", 0.0, 1.0, MASKS).coloraxis(theme, 0.5, 1.0),
        shapes=[
            box | {"line": {"color": "#000000", "width": 4}},
            box | {"line": {"color": FRAME, "width": 2}},
        ],
        xaxis={
            "type": "category",
            "title": {"text": "training step"},
            "showgrid": False,
            "range": [-0.5, len(steps) - 0.5],
            "tickvals": [f"{steps[i]:,}" for i in shown],
            "tickangle": 0,
        },
        yaxis={
            "type": "category",
            "range": [len(names) - 0.5, -0.5],
            "showgrid": False,
            "tickfont": {"size": theme.points(11)},
            "dtick": 1,
        },
    )
