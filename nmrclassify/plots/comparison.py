"""Figures of changes: two predictions side by side with their difference, and occlusion."""

from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.compare_predictions import Comparison, Occlusion
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import weak_cells
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.classes import marked, short
from nmrclassify.plots.map_rows import MapRow, stack, titled_rows
from nmrclassify.plots.mask_maps import filter_rows
from nmrclassify.plots.style import (
    LEGEND,
    OUTPUT_COLOURS,
    ColourScale,
    Theme,
    area_scale,
    compound_colour,
    difference_scale,
    finish,
    horizontal_bars,
    largest,
    mask_scale,
    share_axis,
)

BEFORE_AFTER = ("before", "after")
DIFFERENCE = "<b>Difference</b> (blue: more)"


def mixture_change(
    before: np.ndarray,
    after: np.ndarray,
    axis: Axis,
    theme: Theme,
    labels: tuple[str, str] = BEFORE_AFTER,
    position: int | None = None,
) -> go.Figure:
    """Draw two mixtures (P, L) and their difference below each other; one alone if equal."""
    scale, change = area_scale(theme, before, after), after - before
    if not change.any():
        row = MapRow(
            "<b>Mixture</b>", before[None], scale, height=110, outputs=False, mark=position
        )
        return stack([row], axis, theme)
    rows = (
        (f"<b>Mixture, {labels[0]}</b>", before[None], scale),
        (f"<b>Mixture, {labels[1]}</b>", after[None], scale),
        (DIFFERENCE, change[None], _change_scale(theme, change, scale.high)),
    )
    return stack(titled_rows(rows, height=84, outputs=False, mark=position), axis, theme)


def mask_change(
    comparison: Comparison,
    names: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    labels: tuple[str, str] = BEFORE_AFTER,
    cell: Cell | None = None,
    difference: bool = True,
) -> go.Figure:
    """Draw the masks of two predictions, filters in the order for reading, and their difference.

    Parameters
    ----------
    names : tuple of str, length K
    labels : tuple of two str
        What the two predictions are called.
    cell : Cell, optional
        Framed.
    difference : bool
        Whether to draw the difference, with the filters of both in the order of the first; it
        means nothing unless both networks have the same filters.

    Raises
    ------
    ValueError
        If the masks of the two predictions differ in size.
    """
    if comparison.masks is None:
        raise ValueError("the masks differ in size; expected two networks of equal sizes")
    weak = [weak_cells(side.encoding) for side in (comparison.first, comparison.second)]
    patterns = list(comparison.patterns)
    if difference:
        # Blank only where the encodings of both mixtures are near zero.
        weak, patterns = [weak[0] & weak[1]] * 2, [patterns[0]] * 2
    first, second = np.where(np.stack(weak)[:, None], np.nan, comparison.masks)
    rows = [
        (f"<b>Masks, {labels[0]}</b>", first, mask_scale(), patterns[0]),
        (f"<b>Masks, {labels[1]}</b>", second, mask_scale(), patterns[1]),
    ]
    if difference:
        title = f"<b>Difference, {labels[1]} minus {labels[0]}</b>"
        rows.append((title, second - first, difference_scale(theme, 1.0), patterns[0]))
    columns, maps = _columns(comparison, names), []
    for title, values, scale, of_filters in rows:
        order, options = filter_rows(of_filters, sort=True)
        options |= columns | {"mark": cell}
        maps.append(MapRow(title, values[:, order], scale, "filter", 150, **options))
        columns["headings"] = ()
    return stack(maps, axis, theme)


def multiplet_change(
    comparison: Comparison,
    names: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    labels: tuple[str, str] = BEFORE_AFTER,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw the separated multiplets of two predictions and their difference."""
    first, second = comparison.multiplets
    scale, change = area_scale(theme, np.nan_to_num(comparison.multiplets)), second - first
    rows = (
        (f"<b>Separated, {labels[0]}</b>", first, scale),
        (f"<b>Separated, {labels[1]}</b>", second, scale),
        (DIFFERENCE, change, _change_scale(theme, np.nan_to_num(change), scale.high)),
    )
    maps = titled_rows(rows, height=84, mark=cell, **_columns(comparison, names))
    return stack(maps, axis, theme)


def _change_scale(theme: Theme, change: np.ndarray, high: float) -> ColourScale:
    """Return the scale of a change of areas up to `high`; changes of rounding stay pale."""
    return difference_scale(theme, max(largest(change), 1e-3 * high), root=True)


def _columns(comparison: Comparison, names: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a `MapRow` with the pairs of outputs, called by what they name."""
    called = tuple(short(comparison.class_names(names)))
    return {
        "headings": called,
        "colours": tuple(compound_colour(int(k), len(names)) for k in comparison.labels),
        "shown": tuple(
            name if called.count(name) == 1 else f"{name} (pair {i + 1})"
            for i, name in enumerate(called)
        ),
        "indices": comparison.outputs,
    }


def presence_change(
    comparison: Comparison,
    classes: tuple[str, ...],
    theme: Theme,
    labels: tuple[str, str] = BEFORE_AFTER,
    present: np.ndarray | None = None,
) -> go.Figure:
    """Draw the probability of each compound in two predictions, one bar beside the other.

    Parameters
    ----------
    classes : tuple of str, length K or K + 1
    labels : tuple of two str
        What the two predictions are called.
    present : ndarray of int, optional
        The compounds in the mixture, marked with a diamond.
    """
    names = marked(classes, present)
    colours = (OUTPUT_COLOURS[7], OUTPUT_COLOURS[0])
    traces = [
        horizontal_bars(
            names,
            probabilities,
            colour,
            name=label,
            hovertemplate=f"{label}: %{{y}} %{{x:.1%}}<extra></extra>",
        )
        for label, probabilities, colour in zip(labels, comparison.presence, colours, strict=True)
    ]
    title = " /<br>".join(  # one line would be too long for a narrow screen
        dict.fromkeys((comparison.first.presence_title, comparison.second.presence_title))
    )
    meaning = "" if present is None else " (◇ mixed)"
    return finish(
        traces,
        theme,
        90 + 28 * len(names),
        barmode="group",
        showlegend=True,
        legend=LEGEND,
        xaxis=share_axis(title + meaning, -0.01, 1.02),
        yaxis={"autorange": "reversed", "type": "category", "dtick": 1, "showgrid": False},
    )


def occlusion_map(
    occlusion: Occlusion,
    classes: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    position: int | None = None,
) -> go.Figure:
    """Draw how far the probability of each class falls without the multiplet at each position."""
    row = MapRow(
        "<b>Fall of probability</b>",
        occlusion.fall[None],
        difference_scale(theme, 1.0, "fall of probability"),
        "compound",
        24 * len(classes),
        names=classes,
        outputs=False,
        mark=position,
    )
    return stack([row], axis, theme)
