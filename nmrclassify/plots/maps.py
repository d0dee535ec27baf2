"""Figures of mixtures, masks and separated multiplets.

Pure functions from arrays to Plotly figures. Colour ranges are fixed where maps are compared.
"""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.filters import FilterPattern
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import weak_cells
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.axis import Axis
from nmrclassify.nmr.library import Library
from nmrclassify.plots.classes import add_classes, class_heights, headings, unshown_headings
from nmrclassify.plots.map_rows import (
    GAP,
    MapRow,
    Sheet,
    add_rows,
    heading_lines,
    position_label,
    stack,
    titled_rows,
)
from nmrclassify.plots.mask_maps import filter_rows
from nmrclassify.plots.outputs import output_colours, output_names, true_names
from nmrclassify.plots.style import (
    LEGEND,
    OUTPUT_COLOURS,
    Theme,
    area_scale,
    difference_scale,
    finish,
    mask_scale,
)


def overview(
    areas: np.ndarray,
    prediction: Prediction,
    names: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    truth: Truth | None = None,
    cell: Cell | None = None,
    patterns: list[FilterPattern] | None = None,
) -> go.Figure:
    """Draw a mixture, its masks, its separated multiplets beside the truth, and the classes.

    Each output has a column. The mixture stands above each of them, so that equal positions are
    below each other.

    Parameters
    ----------
    areas : ndarray, shape (P, L)
    names : tuple of str, length K
    truth : Truth, optional
        Adds the row of true sources, and the marks for right and wrong.
    cell : Cell, optional
        Framed.
    patterns : list of FilterPattern, length N, optional
        Sorts and names the filters; without it they stand in the network's order.
    """
    scale = area_scale(theme, areas)
    masks = np.where(weak_cells(prediction.encoding), np.nan, prediction.masks)
    filters: dict[str, Any] = {}
    if patterns is not None:
        order, filters = filter_rows(patterns, sort=True)
        masks = masks[:, order]
    columns = all_columns(prediction, names, truth)
    n, shown = len(columns["headings"]), columns["shown"]
    rows = [
        MapRow(
            "<b>Mixture</b>: the input" + (", same for each output" if n > 1 else ""),
            np.repeat(areas[None], n, axis=0),
            scale,
            height=84,
            shown=tuple(f"mixture above {name}" for name in shown),
            outputs=False,
            mark=cell,
        ),
        MapRow(
            "<b>Masks</b>: what each output lets through",
            fill_up(masks, n),
            mask_scale(),
            "filter",
            150,
            mark=cell,
            **columns,
            **filters,
        ),
    ]
    multiplets = [("<b>Separated</b>: the multiplets of each output", prediction.multiplets, shown)]
    if truth is not None:
        true = with_unshown(truth), true_names(truth, names)
        multiplets.append(("<b>Truth</b>: all that was mixed", *true))
    rows += [
        MapRow(
            title,
            fill_up(maps, n),
            scale,
            height=84,
            shown=called,
            indices=prediction.outputs,
            mark=cell,
        )
        for title, maps, called in multiplets
    ]
    heights = [row.height for row in rows] + class_heights(prediction, theme)
    above = 72 + heading_lines(columns["headings"])[1]
    gaps = [26, above] + [50] * len(multiplets) + [70, 66]
    sheet = Sheet(theme, heights, gaps[: len(heights)], bottom=46)
    add_rows(sheet, rows, axis)
    # The bars of an output are as wide as its maps, and below them.
    pitch = 1 + GAP / axis.n_positions
    add_classes(
        sheet, len(rows), prediction, names, truth, pitch, n * pitch - GAP / axis.n_positions
    )
    return sheet.figure(barmode="overlay", bargap=0.25)


def all_columns(
    prediction: Prediction, names: tuple[str, ...], truth: Truth | None
) -> dict[str, Any]:
    """Return the options of a `MapRow` with each output, and each part that has no output.

    Outputs have the name and the colour of the compound that they name.
    """
    rest = [] if truth is None else truth.unshown_labels.tolist()
    called = (*names, "unknown")
    return {
        "headings": headings(prediction, names, truth) + unshown_headings(prediction, names, truth),
        "colours": output_colours(prediction, names, truth),
        "shown": output_names(prediction, names) + tuple(f"{called[k]} (no output)" for k in rest),
        "indices": prediction.outputs,
    }


def with_unshown(truth: Truth) -> np.ndarray:
    """Return the sources beside the outputs, then those without an output, (M + U, P, L)."""
    return np.concatenate([truth.sources, truth.unshown])


def fill_up(maps: np.ndarray, n: int) -> np.ndarray:
    """Return maps (C, rows, L) and blank ones after them, n in all."""
    padding = ((0, n - len(maps)), (0, 0), (0, 0))
    return np.pad(maps.astype(np.float32), padding, constant_values=np.nan)


def area_maps(
    stacks: list[tuple[str, np.ndarray]],
    axis: Axis,
    theme: Theme,
    headings: tuple[str, ...] = (),
    outputs: bool = True,
    indices: np.ndarray | None = None,
    cell: Cell | None = None,
    difference: np.ndarray | None = None,
    **options: Any,
) -> go.Figure:
    """Draw titled rows of area maps (C, P, L) on one scale; `options` as in `MapRow`.

    A last row has the `difference` (C, P, L) of the first from the second, on a scale as wide.
    """
    scale = area_scale(theme, *(maps for _, maps in stacks))
    most = max(len(maps) for _, maps in stacks)
    titled = [(f"<b>{title}</b>", fill_up(maps, most), scale) for title, maps in stacks]
    if difference is not None:
        diverging = difference_scale(theme, scale.high, root=True)
        titled.append(
            ("<b>Difference</b>: separated minus truth", fill_up(difference, most), diverging)
        )
    rows = titled_rows(
        titled,
        headings,
        height=110,
        outputs=outputs,
        indices=indices,
        mark=cell,
        **options,
    )
    return stack(rows, axis, theme)


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
    """Draw titled rows of maps (C, N, L) from 0 to 1; `indices` and `ids` as in `MapRow`."""
    scale = mask_scale()
    rows = titled_rows(
        [(f"<b>{title}</b>", maps, scale) for title, maps in stacks],
        headings,
        row_name="filter",
        height=190,
        outputs=outputs,
        indices=indices,
        ids=ids,
        mark=cell,
    )
    return stack(rows, axis, theme)


def mixture_over_library(
    areas: np.ndarray, library: Library, theme: Theme, position: int | None = None
) -> go.Figure:
    """Draw a mixture (P, L) above the map of the library, on one axis; frame a position."""
    scale = area_scale(theme, areas)
    rows = [
        MapRow("<b>The mixture</b>", areas[None], scale, height=110, outputs=False, mark=position),
        _library_row("<b>The library</b>: each row is a pure compound", library, theme, position),
    ]
    return stack(rows, library.axis, theme)


def library_map(library: Library, theme: Theme) -> go.Figure:
    """Draw a library as one map, compounds x positions, coloured by multiplet area."""
    row = _library_row("<b>Each row is a pure compound</b>", library, theme)
    return stack([row], library.axis, theme)


def _library_row(title: str, library: Library, theme: Theme, position: int | None = None) -> MapRow:
    totals = library.areas.sum(axis=1)[None]  # (1, K, L)
    return MapRow(
        title,
        totals,
        area_scale(theme, totals, title="multiplet area"),
        "compound",
        max(120, 24 * library.n_compounds),
        names=library.names,
        outputs=False,
        mark=position,
    )


def line_spectrum(
    areas: np.ndarray,
    axis: Axis,
    theme: Theme,
    sources: np.ndarray | None = None,
    names: tuple[str, ...] = ("mixture",),
    colours: tuple[str, ...] = OUTPUT_COLOURS,
) -> go.Figure:
    """Draw areas as a line spectrum: one stick a peak, side by side within a position.

    Parameters
    ----------
    areas : ndarray, shape (P, L)
    sources : ndarray, shape (C, P, L), optional
        Divides each stick into coloured parts, one for each source.
    names, colours : tuple of str, length C
        Of the sources.
    """
    traces = []
    parts = areas[None] if sources is None else sources
    for i, (part, name) in enumerate(zip(parts, names, strict=False)):
        filled = np.abs(part) > 1e-9  # (P, L)
        # A multiplet fills the first peaks of its position; its sticks are centred there.
        last = np.where(filled.any(axis=0), len(part) - 1 - filled[::-1].argmax(axis=0), 0)
        # (P, L), in positions
        offset = (np.arange(len(part))[:, None] - last / 2) / (len(part) + 1)
        x = axis.centres + offset * axis.width
        where = [
            [
                f"{position_label(axis, p)}, peak {k + 1} of {last[p] + 1}"
                for p in range(part.shape[1])
            ]
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
                    "color": theme.text if sources is None else colours[i % len(colours)],
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
    """Return an x axis with the largest value at the left, as NMR spectra are drawn."""
    half = axis.width / 2
    ends = [axis.centres[-1] + half, axis.centres[0] - half]
    return {"title": {"text": axis.title}, "range": ends, "showgrid": False, "zeroline": False}
