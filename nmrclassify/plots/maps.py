"""Arrays to Plotly figures. Pure functions: no widget, no state; a fixed colour range wherever pictures are compared."""

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import overlap, shares, similarity_order, weak_cells
from nmrclassify.evaluation.prediction import Prediction, Truth, class_names, percent
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library
from nmrclassify.plots.style import (
    CROWDED,
    FRAME,
    OUTPUT_COLOURS,
    ColourScale,
    MapRow,
    Sheet,
    Theme,
    add_rows,
    finish,
    peak,
    place,
    stack,
)

MASKS = "Viridis"
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"}


def mask_scale() -> ColourScale:
    """Return the scale of all masks: 0 to 1, whatever the values."""
    return ColourScale("0 to 1", 0.0, 1.0, MASKS)


def area_scale(theme: Theme, *areas: np.ndarray) -> ColourScale:
    """Return one scale for maps of peak areas that are to be compared."""
    return ColourScale("peak area", 0.0, max(peak(a) for a in areas), theme.areas, root=True)


def headings(given: Prediction, names: tuple[str, ...], truth: Truth | None) -> tuple[str, ...]:
    """Return a short heading for each output: what it named, and a mark for right or wrong."""
    # "something unknown" would cover its neighbours on a narrow screen.
    called = (*names, class_names(given.kind, names)[-1].removeprefix("something "))
    marks = (
        [""] * len(given.named)
        if truth is None
        else [" ✓" if right else " ✗" for right in truth.right]
    )
    return tuple(called[k] + mark for k, mark in zip(given.named, marks, strict=False))


def overview(
    areas: np.ndarray,
    given: Prediction,
    names: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    truth: Truth | None = None,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw a mixture being taken apart: mixture, masks, separated multiplets beside the truth, class bars.

    Parameters
    ----------
    areas : ndarray, shape (P, L)
    given : Answer
    names : tuple of str, length K
    axis : Axis
    theme : Theme
    truth : Truth, optional
        Adds the row of true sources, and the marks for right and wrong.
    cell : Cell, optional
        Framed.
    """
    scale, order = area_scale(theme, areas), similarity_order(given.masks)
    seen = np.where(weak_cells(given.encoding), np.nan, given.masks)[:, order]
    here = {"height": 84, "mark": _column(cell)}
    rows = [
        MapRow(
            "<b>Mixture</b>: all that the network sees", areas[None], scale, outputs=False, **here
        ),
        MapRow(
            "<b>Masks</b>: what each output lets through",
            seen,
            mask_scale(),
            "filter",
            150,
            headings(given, names, truth),
            indices=given.outputs,
            ids=order,
            mark=_spot(cell),
        ),
        MapRow(
            "<b>Separated</b>: through each mask",
            given.multiplets,
            scale,
            indices=given.outputs,
            **here,
        ),
    ]
    if truth is not None:
        rows.append(
            MapRow(
                "<b>Truth</b>: what was mixed", truth.sources, scale, indices=given.outputs, **here
            )
        )
    bars = len(rows)
    height = round(theme.points(16)) * given.probabilities.shape[1] + 8
    above = 68 + 21 * (len(given.named) > CROWDED)
    sheet = Sheet(
        theme,
        [row.height for row in rows] + [height],
        [26, above] + [46] * (bars - 2) + [62],
        bottom=46,
    )
    add_rows(sheet, rows, axis)
    (_presence_bars if given.kind == "queries" else _softmax_bars)(
        sheet, bars, given, names, theme, truth
    )
    return sheet.figure(barmode="overlay", bargap=0.25)


def _spot(cell: Cell | None) -> tuple[int, int] | None:
    return None if cell is None else (cell.filter, cell.position)


def _column(cell: Cell | None) -> tuple[None, int] | None:
    return None if cell is None else (None, cell.position)


def _presence_bars(
    sheet: Sheet,
    row: int,
    given: Prediction,
    names: tuple[str, ...],
    theme: Theme,
    truth: Truth | None,
) -> None:
    """Draw one bar for each compound, in the colour of the output that shows it."""
    called, probabilities = class_names(given.kind, names), given.probabilities[0]
    colours = np.full(len(called), theme.grid, dtype=object)
    colours[given.named] = [OUTPUT_COLOURS[i % 8] for i in range(len(given.named))]
    note = " (◇ in the mixture)" if truth is not None else ""
    on = sheet.axes(
        row,
        {
            "range": [-0.01, 1.02],
            "tickformat": ".0%",
            "title": {"text": "probability" + note, "standoff": 4},
        },
        {
            "autorange": "reversed",
            "tickfont": {"size": theme.points(11)},
            "dtick": 1,
            "type": "category",
        },
    )
    sheet.traces.append(
        {
            "type": "bar",
            "orientation": "h",
            "y": list(called),
            "x": probabilities,
            "marker": {"color": list(colours)},
            "hovertemplate": "%{y} %{x:.1%}<extra></extra>",
            **on,
        }
    )
    if truth is not None:
        sheet.traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "y": [called[k] for k in truth.present],
                "x": np.full(len(truth.present), 0.02),
                "marker": {
                    "symbol": "diamond-open",
                    "color": theme.text,
                    "size": 8,
                    "line": {"width": 2},
                },
                "hovertemplate": "in the mixture: %{y}<extra></extra>",
                **on,
            }
        )
    sheet.title(row, "<b>Which compounds?</b> Probability of each")


def _softmax_bars(
    sheet: Sheet,
    row: int,
    given: Prediction,
    names: tuple[str, ...],
    theme: Theme,
    truth: Truth | None,
) -> None:
    """Draw the softmax of each output, one block of bars beside the other."""
    called = class_names(given.kind, names)[: given.probabilities.shape[1]]
    n_outputs, n_classes = given.probabilities.shape
    bars = row
    pitch = 1.12
    steps = np.arange(n_outputs) * pitch
    on = sheet.axes(
        bars,
        {
            "tickvals": [s + v for s in steps for v in (0.5, 1)],
            "ticktext": ["½", "1"] * n_outputs,
            "tickangle": 0,
            "range": [-0.02, n_outputs * pitch - 0.1],
            "title": {
                "text": "probability" + (" (◇ true compound)" if truth is not None else ""),
                "standoff": 4,
            },
        },
        {
            "autorange": "reversed",
            "tickfont": {"size": theme.points(11)},
            "dtick": 1,
            "type": "category",
        },
    )
    for i, probabilities in enumerate(given.probabilities):
        sheet.traces.append(
            {
                "type": "bar",
                "orientation": "h",
                "y": list(called),
                "x": probabilities,
                "base": np.full(n_classes, steps[i]),
                "marker": {"color": OUTPUT_COLOURS[i % 8]},
                "customdata": probabilities,
                "hovertemplate": f"output {i + 1}: %{{y}} %{{customdata:.1%}}<extra></extra>",
                **on,
            }
        )
        sheet.shapes.append(
            {
                "type": "line",
                "x0": steps[i],
                "x1": steps[i],
                "xref": on["xaxis"],
                "y0": 0,
                "y1": 1,
                "yref": f"{on['yaxis']} domain",
                "line": {"color": theme.grid, "width": 1},
                "layer": "below",
            }
        )
    if truth is not None:
        sheet.traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "y": [called[k] for k in truth.labels],
                "x": steps + 0.03,
                "marker": {
                    "symbol": "diamond-open",
                    "color": theme.text,
                    "size": 8,
                    "line": {"width": 2},
                },
                "hovertemplate": "true compound: %{y}<extra></extra>",
                **on,
            }
        )
    sheet.title(bars, "<b>Which compound?</b> Probability of each, by output")


def area_maps(
    stacks: list[tuple[str, np.ndarray]],
    axis: Axis,
    theme: Theme,
    headings: tuple[str, ...] = (),
    outputs: bool = True,
    indices: np.ndarray | None = None,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw rows of area maps (C, P, L) on the scale of the largest area among them; `indices` as in `MapRow`."""
    scale = area_scale(theme, *(maps for _, maps in stacks))
    return stack(
        [
            MapRow(
                f"<b>{title}</b>",
                maps,
                scale,
                headings=headings if i == 0 else (),
                outputs=outputs,
                height=110,
                indices=indices,
                mark=_column(cell),
            )
            for i, (title, maps) in enumerate(stacks)
        ],
        axis,
        theme,
    )


def difference_maps(
    title: str,
    maps: np.ndarray,
    high: float,
    axis: Axis,
    theme: Theme,
    indices: np.ndarray | None = None,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw maps of area differences (C, P, L) on a diverging scale, symmetric around zero, up to `high`."""
    scale = ColourScale("difference", -high, high, theme.differences)
    return stack(
        [MapRow(f"<b>{title}</b>", maps, scale, height=110, indices=indices, mark=_column(cell))],
        axis,
        theme,
    )


def mask_maps(
    stacks: list[tuple[str, np.ndarray]],
    axis: Axis,
    theme: Theme,
    headings: tuple[str, ...] = (),
    outputs: bool = True,
    indices: np.ndarray | None = None,
    ids: np.ndarray | None = None,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw rows of maps (C, N, L) of values from 0 to 1, always on the scale 0 to 1; `indices` and `ids` as in `MapRow`."""
    scale = mask_scale()
    return stack(
        [
            MapRow(
                f"<b>{title}</b>",
                maps,
                scale,
                "filter",
                190,
                headings if i == 0 else (),
                outputs=outputs,
                indices=indices,
                ids=ids,
                mark=_spot(cell),
            )
            for i, (title, maps) in enumerate(stacks)
        ],
        axis,
        theme,
    )


def sum_and_overlap(
    masks: np.ndarray,
    hidden: np.ndarray,
    axis: Axis,
    theme: Theme,
    ids: np.ndarray | None = None,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw the sum of the masks, from 0 to C, beside the second-highest mask, from 0 to 1.

    Parameters
    ----------
    masks : ndarray, shape (C, N, L)
    hidden : ndarray, shape (N, L), bool
        Cells to leave blank.
    """
    both = np.stack([masks.sum(axis=0), overlap(masks)])
    scale = ColourScale("mask", 0.0, float(len(masks)), MASKS)
    title = "<b>Left: sum. Right: second-highest mask</b>"
    shown = np.where(hidden, np.nan, both)
    return stack(
        [MapRow(title, shown, scale, "filter", 190, outputs=False, ids=ids, mark=_spot(cell))],
        axis,
        theme,
    )


def mixture_over_library(
    areas: np.ndarray, library: Library, theme: Theme, position: int | None = None
) -> go.Figure:
    """Draw a mixture (P, L) above the map of the library, on the same axis: what could be in it stands below it."""
    mark = None if position is None else (None, position)
    scale, totals = area_scale(theme, areas), library.areas.sum(axis=1)[None]
    below = ColourScale("multiplet area", 0.0, peak(totals), theme.areas, root=True)
    rows = [
        MapRow("<b>The mixture</b>", areas[None], scale, height=110, outputs=False, mark=mark),
        MapRow(
            "<b>The library</b>: each row is a pure compound",
            totals,
            below,
            "compound",
            max(120, 24 * library.n_compounds),
            names=library.names,
            outputs=False,
            mark=mark,
        ),
    ]
    return stack(rows, library.axis, theme)


def library_map(library: Library, theme: Theme) -> go.Figure:
    """Draw a whole library as one map, compounds x positions, coloured by multiplet area."""
    totals = library.areas.sum(axis=1)[None]  # (1, K, L)
    scale = ColourScale("multiplet area", 0.0, peak(totals), theme.areas, root=True)
    height = max(120, 24 * library.n_compounds)
    row = MapRow(
        "<b>Each row is a pure compound</b>",
        totals,
        scale,
        "compound",
        height,
        names=library.names,
        outputs=False,
    )
    return stack([row], library.axis, theme)


def line_spectrum(
    areas: np.ndarray,
    axis: Axis,
    theme: Theme,
    sources: np.ndarray | None = None,
    names: tuple[str, ...] = ("mixture",),
) -> go.Figure:
    """Draw areas as a line spectrum: the P peaks of a position stand as sticks, side by side inside it.

    Parameters
    ----------
    areas : ndarray, shape (P, L)
    axis : Axis
    theme : Theme
    sources : ndarray, shape (C, P, L), optional
        Draws each stick as the stacked, coloured parts of its sources; `names` labels them.
    """
    traces = []
    for i, (part, name) in enumerate(
        zip(areas[None] if sources is None else sources, names, strict=False)
    ):
        filled = np.abs(part) > 1e-9  # (P, L)
        # A pattern fills its first peaks; its sticks stand symmetrically around the middle of its
        # position.
        last = np.where(filled.any(axis=0), len(part) - 1 - filled[::-1].argmax(axis=0), 0)
        offset = (np.arange(len(part))[:, None] - last / 2) / (
            len(part) + 1
        )  # (P, L), in positions
        x = axis.centres + offset * axis.width
        where = [
            [f"{place(axis, p)}, peak {k + 1} of {last[p] + 1}" for p in range(part.shape[1])]
            for k in range(len(part))
        ]
        traces.append(
            {
                "type": "bar",
                "x": x[filled],
                "y": part[filled],
                "name": name,
                "width": axis.width * 0.1,
                "marker": {
                    "color": theme.text if sources is None else OUTPUT_COLOURS[i % 8],
                    "line": {"width": 0},
                },
                "customdata": np.array(where)[filled],
                "hovertemplate": f"{name}: area %{{y:.3g}} at %{{customdata}}<extra></extra>",
            }
        )
    return finish(
        traces,
        theme,
        280,
        barmode="relative",
        showlegend=sources is not None,
        legend=LEGEND,
        xaxis=_decreasing(axis) | {"dtick": 1 if axis.unit == "ppm" else 2},
        yaxis={"title": {"text": "peak area"}},
    )


def _decreasing(axis: Axis) -> dict:
    """Return an x axis that runs from the largest value at the left to the smallest, as NMR spectra are drawn."""
    half = axis.width / 2
    ends = [axis.centres[-1] + half, axis.centres[0] - half]
    return {"title": {"text": axis.title}, "range": ends, "showgrid": False, "zeroline": False}


def ownership(
    multiplets: np.ndarray, axis: Axis, theme: Theme, names: tuple[str, ...]
) -> go.Figure:
    """Draw each output's share of the separated area at each position as stacked bars."""
    traces = [
        {
            "type": "bar",
            "x": axis.centres,
            "y": share,
            "name": name,
            "width": axis.width * 0.92,
            "marker": {"color": OUTPUT_COLOURS[i % 8]},
            "hovertemplate": f"{name}: %{{y:.0%}} at %{{x:.2f}} {axis.unit}<extra></extra>",
        }
        for i, (share, name) in enumerate(zip(shares(multiplets), names, strict=False))
    ]
    y = {"title": {"text": "share of the area"}, "range": [0, 1], "tickformat": ".0%"}
    return finish(
        traces,
        theme,
        260,
        barmode="stack",
        showlegend=True,
        legend=LEGEND,
        xaxis=_decreasing(axis),
        yaxis=y,
    )


def _table_map(
    values: np.ndarray,
    text: list[list[str]],
    x: list[str],
    y: list[str],
    template: str,
    theme: Theme,
    height: int,
    framed: list[tuple[int, int]] = (),
    meta: dict | None = None,
    **layout,
) -> go.Figure:
    """Draw a small labelled matrix with its numbers in the cells, and frames around the (row, column) in `framed`."""
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
        "hovertemplate": template + "<extra></extra>",
        "meta": meta,
    }
    frames = [
        {
            "type": "rect",
            "x0": j - 0.5,
            "x1": j + 0.5,
            "y0": i - 0.5,
            "y1": i + 0.5,
            "line": {"color": FRAME, "width": 4},
        }
        for i, j in framed
    ]
    xaxis = {"showgrid": False, "type": "category"} | layout.pop("xaxis", {})
    yaxis = {"showgrid": False, "autorange": "reversed", "type": "category"} | layout.pop(
        "yaxis", {}
    )
    margin = {"r": 62 if layout["coloraxis"].get("showscale", True) else 8, "t": 10}
    return finish(
        [trace], theme, height, shapes=frames, xaxis=xaxis, yaxis=yaxis, margin=margin, **layout
    )


def class_heatmap(
    given: Prediction, names: tuple[str, ...], theme: Theme, truth: Truth | None = None
) -> go.Figure:
    """Draw probabilities as outputs x compounds (queries: in one row), with a frame around each true compound."""
    probabilities, called = given.probabilities, class_names(given.kind, names)
    note = "" if truth is None else " (framed: in the mixture)"
    if given.kind == "queries":
        rows, framed = ["presence"], [] if truth is None else [(0, k) for k in truth.present]
    else:
        rows, framed = (
            [f"output {i + 1}" for i in range(len(probabilities))],
            [] if truth is None else list(enumerate(truth.labels)),
        )
    return _table_map(
        probabilities,
        [[f"{p:.2f}" if p >= 0.005 else "" for p in row] for row in probabilities],
        list(called[: probabilities.shape[1]]),
        rows,
        "%{y}: %{x} %{z:.1%}",
        theme,
        130 + 44 * len(probabilities),
        framed,
        {"rows": "classes", "kind": given.kind},
        coloraxis=ColourScale("probability", 0.0, 1.0, MASKS).coloraxis(theme, 0.5, 1.0),
        xaxis={"title": {"text": "compound" + note}},
    )


def class_bars(given: Prediction, names: tuple[str, ...], theme: Theme) -> go.Figure:
    """Draw probabilities as bars, one colour an output (queries: one bar a compound)."""
    called = class_names(given.kind, names)[: given.probabilities.shape[1]]
    labels = (
        ["presence"]
        if given.kind == "queries"
        else [f"output {i + 1}" for i in range(len(given.probabilities))]
    )
    traces = [
        {
            "type": "bar",
            "x": list(called),
            "y": probabilities,
            "name": label,
            "marker": {"color": OUTPUT_COLOURS[i % 8]},
            "hovertemplate": f"{label}: %{{x}} %{{y:.1%}}<extra></extra>",
        }
        for i, (label, probabilities) in enumerate(zip(labels, given.probabilities, strict=False))
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
    """Draw the cost of every pairing of output and source; frames mark the chosen assignment.

    `source_names` are in the order the sources were mixed, as the columns of the costs are.
    """
    cost = truth.classification + weight * truth.reconstruction
    text = [
        [
            f"{total:.3g}<br>{abs(entropy):.2g} + {weight * error:.2g}"
            for total, entropy, error in zip(*row, strict=False)
        ]
        for row in zip(cost, truth.classification, truth.reconstruction, strict=False)
    ]
    # Costs span decades, so colour goes by their logarithm.
    more = 1e-3
    colour = np.log10(cost + more)
    axis = {"colorscale": MASKS, "showscale": False, "cmin": -3.0, "cmax": 2.0}
    return _table_map(
        colour,
        text,
        [f"{j + 1}: {name}" for j, name in enumerate(source_names)],
        [f"output {i + 1}" for i in range(len(cost))],
        "%{y} with %{x}: cost %{text}",
        theme,
        120 + 56 * len(cost),
        list(enumerate(truth.pairing)),
        {"log_of_more": more},
        coloraxis=axis,
        xaxis={"title": {"text": "source (framed: the chosen assignment)"}},
    )


def confusion(counts: np.ndarray, names: tuple[str, ...], theme: Theme) -> go.Figure:
    """Draw counts of (true compound, named compound) over a test set."""
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


def alt_text(given: Prediction, names: tuple[str, ...]) -> str:
    """Return the class probabilities in words, for a screen reader."""
    called = class_names(given.kind, names)
    return "; ".join(
        f"output {i + 1} {called[k]} {percent(p)}"
        for i, (k, p) in enumerate(zip(given.named, given.confidence, strict=False))
    )
