"""Figures of what is inside a network: one cell, filters, activations, receptive field."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.filters import filter_patterns, readable_order
from nmrclassify.evaluation.interpretation import Activations, CellTrace, ReceptiveField
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.classes import marked, short
from nmrclassify.plots.map_rows import MapRow, stack
from nmrclassify.plots.outputs import name_outputs
from nmrclassify.plots.style import (
    HIGHLIGHT,
    LEGEND_BELOW,
    OUTPUT_COLOURS,
    ColourScale,
    Theme,
    difference_scale,
    finish,
    frame,
    horizontal_bars,
    largest,
    mask_scale,
    note,
    probability_scale,
    step_axis,
)

MAX_BARS = 5


def cell_trace(
    trace: CellTrace, names: tuple[str, ...], kind: str, axis: Axis, theme: Theme
) -> go.Figure:
    """Draw what one cell does, in six numbered panels.

    They are the mixture, the filter, the masks, the decoder, the separated multiplets and the
    classes.

    Parameters
    ----------
    names : tuple of str, length K
    kind : str
        Of the network.
    """
    cell, network = trace.cell, NETWORKS[kind]
    classes, called = network.class_names(names), _called(trace, names, network)
    positions = _window_positions(trace, axis)
    ppm = [
        "none" if p < 0 else f"{axis.centres[p]:.2f}" if axis.unit == "ppm" else str(p)
        for p in positions
    ]
    highest = largest(np.stack([trace.window, trace.multiplets]))
    areas = ColourScale("peak area", 0, highest, theme.areas, root=True)
    weights = difference_scale(theme, largest(np.stack([trace.encoder, trace.decoder])))
    # No narrower than the areas, so that a small addition has a pale colour.
    added = difference_scale(theme, max(largest(trace.added), highest), root=True)
    layout: dict[str, Any] = {}
    traces: list[dict] = []
    notes: list[dict] = []
    # Two columns, so that panels stay readable on a telephone.
    columns, rows = ([0, 0.42], [0.62, 1.0]), ([0.755, 0.97], [0.385, 0.6], [0.015, 0.23])

    def panel(number: int, title: str, x: dict, y: dict) -> dict[str, str]:
        row, column = divmod(number - 1, 2)
        suffix = str(number) if number > 1 else ""
        common = {
            "showgrid": False,
            "zeroline": False,
            "tickfont": {"size": theme.points(10)},
            "automargin": False,
        }
        layout[f"xaxis{suffix}"] = common | {"domain": columns[column], "anchor": f"y{suffix}"} | x
        layout[f"yaxis{suffix}"] = common | {"domain": rows[row], "anchor": f"x{suffix}"} | y
        text, font = f"<b>{number}</b> {title}", {"size": theme.points(12)}
        notes.append(note(text, columns[column][0], rows[row][1] + 0.005, font=font))
        return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}

    def window(number: int, title: str, values: np.ndarray, scale: ColourScale) -> None:
        x = {"type": "category", "title": {"text": axis.unit, "standoff": 2}}
        on = panel(number, title, x, {"dtick": 1, "tick0": 1})
        low, high = scale.place(np.array([scale.low, scale.high]))
        # Positions decrease from left to right, as in all figures.
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
                    "rows": None,
                    "root": scale.root,
                    "title": title,
                },
                "hovertemplate": f"peak %{{y}}, %{{x}} {axis.unit}<br>%{{text}}<extra></extra>",
                **on,
            }
        )

    window(1, "Mixture", trace.window, areas)
    window(2, f"x filter {cell.filter}", trace.encoder, weights)
    shown = _masks_shown(trace, network)
    class_rows = {"autorange": "reversed", "type": "category"}
    on = panel(
        3,
        f"= {trace.encoding:.3g}, masks",
        {"range": [0, 1.02], "tickvals": [0, 0.5, 1]},
        class_rows,
    )
    traces.append(
        horizontal_bars(
            _short([called[m] for m in shown]),
            trace.masks[shown],
            [HIGHLIGHT if m == cell.output else OUTPUT_COLOURS[7] for m in shown],
            showlegend=False,
            hovertemplate="mask of %{y}: %{x:.3f}<extra></extra>",
            **on,
        )
    )
    window(4, f"Mask {trace.masks[cell.output]:.2g}: adds", trace.added, added)
    window(5, "Separated", trace.multiplets, areas)
    shown = _classes_shown(trace, network)
    changes = trace.log_odds[1:, shown] - trace.log_odds[0, shown]
    high = 1.1 * max(float(np.abs(changes).max()), 0.1)
    x = {"range": [-high, high], "nticks": 4, "zeroline": True}
    title = {"text": "change, log odds", "standoff": 2}
    on = panel(6, "Classes", x | {"title": title}, class_rows)
    states = (
        ("mask 0 here", trace.closed),
        ("mask 1 here", trace.opened),
        ("mask 0 for all filters here", trace.silenced),
    )
    for i, (label, values) in enumerate(states):
        hover = f"%{{y}}, {label}: %{{customdata[0]:.1%}} to %{{customdata[1]:.1%}}"
        traces.append(
            horizontal_bars(
                _short([classes[k] for k in shown]),
                changes[i],
                OUTPUT_COLOURS[i + 1],
                name=label,
                customdata=np.stack([trace.presence[shown], values[shown]], axis=1),
                hovertemplate=hover + "<extra></extra>",
                **on,
            )
        )
    return finish(
        traces,
        theme,
        660,
        barmode="group",
        showlegend=True,
        annotations=notes,
        margin={"l": theme.points(66), "r": 14, "t": 18, "b": 120},
        legend=LEGEND_BELOW | {"traceorder": "normal"},
        **layout,
    )


def _called(trace: CellTrace, names: tuple[str, ...], network: type[Network]) -> tuple[str, ...]:
    """Return a name for each output of the network."""
    outputs = np.arange(len(trace.masks))
    return name_outputs(trace.output_classes, outputs, network.class_names(names))


def _short(names: list[str]) -> list[str]:
    """Return names that fit beside a panel, unless two would then be equal."""
    names = short(names)
    cut = [name if len(name) <= 11 else name[:10] + "…" for name in names]
    return cut if len(set(cut)) == len(cut) else names


def _window_positions(trace: CellTrace, axis: Axis) -> list[int]:
    """Return the positions of a window, before to after; -1 stands for one past an end."""
    around = (trace.cell.position + step for step in (-1, 0, 1))
    return [p if 0 <= p < axis.n_positions else -1 for p in around]


def _masks_shown(trace: CellTrace, network: type[Network]) -> np.ndarray:
    """Return the outputs whose masks are drawn: the cell's, and the largest others."""
    if not network.outputs_are_classes:
        return np.arange(len(trace.masks))
    order = [m for m in np.argsort(-trace.masks, kind="stable") if m != trace.cell.output]
    return np.array([trace.cell.output, *order[: MAX_BARS - 1]])


def _classes_shown(trace: CellTrace, network: type[Network]) -> np.ndarray:
    """Return the likeliest classes in any of the four states; first that of the mask, if any."""
    order = np.argsort(-trace.log_odds.max(axis=0), kind="stable")
    if network.outputs_are_classes:
        order = np.concatenate([[trace.cell.output], order[order != trace.cell.output]])
    return order[: MAX_BARS - 1]


def describe_effect(trace: CellTrace, names: tuple[str, ...], kind: str) -> str:
    """Say how the classes would change with the mask of a cell."""
    classes = NETWORKS[kind].class_names(names)
    states = {
        "If this mask value were 0": trace.closed,
        "If it were 1": trace.opened,
        "If the mask were 0 for all filters here": trace.silenced,
    }
    sentences = []
    for state, values in states.items():
        k = int(np.abs(values - trace.presence).argmax())
        change = abs(float(values[k] - trace.presence[k]))
        sentences.append(
            f"{state}, {classes[k]} would change from {trace.presence[k]:.1%} to {values[k]:.1%}."
            if change >= 0.001
            else f"{state}, no class would change."
        )
    if all(sentence.endswith("no class would change.") for sentence in sentences):
        return "Whatever the masks of this output are here, no class would change."
    return " ".join(sentences)


def filter_grid(
    encoder: np.ndarray, decoder: np.ndarray, theme: Theme, chosen: int | None = None
) -> go.Figure:
    """Draw the weights of encoder and decoder as small multiplet patterns, one for each filter.

    A pattern has the P peaks as rows and the three positions as columns, the larger ppm left;
    it is drawn relative to its largest weight. The filters stand in the order for reading.

    Parameters
    ----------
    encoder, decoder : ndarray, shape (N, P, 3)
    chosen : int, optional
        The filter to frame.
    """
    n, n_peaks, taps = encoder.shape
    patterns = filter_patterns(encoder)
    order = readable_order(patterns).tolist()
    columns = int(np.ceil(np.sqrt(n * n_peaks / taps)))
    rows = -(-n // columns)
    height, width = n_peaks + 1, taps + 1  # of a pattern and the gap after it
    traces, layout, shapes = [], {}, []
    domains = ([0.56, 0.97], [0.0, 0.41])
    for suffix, weights, domain in zip(("", "2"), (encoder, decoder), domains, strict=True):
        grid = np.full((rows * height - 1, columns * width - 1), np.nan)
        text = np.full(grid.shape, "", dtype=object)
        for i, n_filter in enumerate(order):
            pattern, name = weights[n_filter], patterns[n_filter].name
            top, left = i // columns * height, i % columns * width
            cells = (slice(top, top + n_peaks), slice(left, left + taps))
            grid[cells] = pattern[:, ::-1] / max(np.abs(pattern).max(), 1e-12)
            text[cells] = [
                [
                    f"filter {n_filter} ({name}) · peak {k + 1}, {side} · weight {weight:.3g}"
                    for side, weight in zip(("left", "middle", "right"), line, strict=True)
                ]
                for k, line in enumerate(pattern[:, ::-1])
            ]
            if n_filter == chosen:
                edges = (left - 0.9, left + taps - 0.1, top - 0.9, top + n_peaks - 0.1)
                shapes += frame(*edges, xref=f"x{suffix}", yref=f"y{suffix}")
        hidden = {"showgrid": False, "zeroline": False, "showticklabels": False, "ticks": ""}
        # The ranges leave room for the frame of a pattern at an edge.
        x = {"anchor": f"y{suffix}", "range": [-1, grid.shape[1]]}
        y = {"anchor": f"x{suffix}", "range": [grid.shape[0], -1], "domain": domain}
        layout[f"xaxis{suffix}"], layout[f"yaxis{suffix}"] = hidden | x, hidden | y
        traces.append(
            {
                "type": "heatmap",
                "z": grid,
                "text": text,
                "hovertemplate": "%{text}<extra></extra>",
                "hoverongaps": False,
                "xaxis": f"x{suffix}",
                "yaxis": f"y{suffix}",
                "coloraxis": "coloraxis",
                "meta": {
                    "rows": "grid",
                    "ids": order,
                    "columns": columns,
                    "height": height,
                    "width": width,
                },
            }
        )
    font = {"size": theme.points(13)}
    return finish(
        traces,
        theme,
        640,
        annotations=[
            note("<b>Encoder</b>: the weights of each filter", 0, 0.975, font=font),
            note("<b>Decoder</b>: the weights of each filter", 0, 0.415, font=font),
        ],
        shapes=shapes,
        coloraxis=difference_scale(theme, 1.0, "weight, relative").coloraxis(theme, 0.5, 0.8),
        margin={"l": 8, "r": 62, "t": 22, "b": 30},
        **layout,
    )


def activation_maps(
    activations: Activations,
    axis: Axis,
    theme: Theme,
    position: int | None = None,
    skip: bool = True,
) -> go.Figure:
    """Draw the output of every block, channels x positions, one row for each stack of dilations.

    Parameters
    ----------
    position : int, optional
        Framed.
    skip : bool
        Whether to draw the skips, in place of the residuals; a lone block has no residual, and its
        skip is drawn.
    """
    skip = skip or not len(activations.residual)
    maps, kind = (activations.skip, "block") if skip else (activations.residual, "residual")
    dilations = activations.dilations[: len(maps)]
    first = [i for i, dilation in enumerate(dilations) if dilation == 1]
    scale = difference_scale(theme, largest(maps), "activation", root=True)
    rows = [
        MapRow(
            "",
            maps[start:stop],
            scale,
            "channel",
            104,
            tuple(f"block {i + 1} dilation {dilations[i]}" for i in range(start, stop)),
            stages=tuple(f"{kind} {i + 1}" for i in range(start, stop)),
            outputs=False,
            mark=position,
        )
        for start, stop in zip(first, [*first[1:], len(maps)], strict=True)
    ]
    return stack(rows, axis, theme)


def receptive_field(field: ReceptiveField, axis: Axis, theme: Theme) -> go.Figure:
    """Draw the gradient of each stage at one position, and frame the reach of its convolutions."""
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
        shapes += frame(n - 1 - high - 0.5, n - 1 - low + 0.5, i - 0.46, i + 0.46, 1.5)
    figure.update_layout(
        shapes=shapes, coloraxis={"colorbar": {"title": {"text": "gradient, relative"}}}
    )
    return figure


def probability_history(
    steps: tuple[int, ...],
    probabilities: np.ndarray,
    classes: tuple[str, ...],
    present: np.ndarray | None,
    theme: Theme,
    step: int,
    title: str = "probability",
) -> go.Figure:
    """Draw the probability of every class over the steps of a training, with a frame at `step`.

    Parameters
    ----------
    steps : tuple of int, length T
    probabilities : ndarray, shape (T, K')
    classes : tuple of str, length K'
    present : ndarray or None
        The classes in the mixture, marked with a diamond.
    title : str
        Of the colour bar.
    """
    names, at = marked(classes, present), steps.index(step)
    around = np.pad(np.sqrt(steps), 1, mode="reflect", reflect_type="odd")
    edges = (around[1:] + around[:-1]) / 2 if len(steps) > 1 else around[:2] + [-0.5, 0.5]
    trace = {
        "type": "heatmap",
        "z": probabilities.T,
        "x": edges,
        "y": names,
        "coloraxis": "coloraxis",
        "customdata": [list(steps)] * len(names),
        "hovertemplate": f"%{{y}} at step %{{customdata:,}}: {title} %{{z:.1%}}<extra></extra>",
        "meta": {"rows": "steps", "steps": list(steps), "edges": edges.tolist()},
    }
    return finish(
        [trace],
        theme,
        90 + 20 * len(names),
        margin={"t": 8, "r": 62},
        coloraxis=probability_scale(theme, title),
        shapes=frame(edges[at], edges[at + 1], -0.5, len(names) - 0.5),
        xaxis=step_axis(steps[-1]) | {"showgrid": False, "range": edges[[0, -1]].tolist()},
        yaxis={
            "type": "category",
            "range": [len(names) - 0.5, -0.5],
            "showgrid": False,
            "tickfont": {"size": theme.points(11)},
            "dtick": 1,
        },
    )
