"""What changes to Plotly figures: two answers side by side with their difference, and occlusion. Pure, as in `figures`."""

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.compare_predictions import Comparison, Occlusion
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import similarity_order, weak_cells
from nmrclassify.evaluation.prediction import class_names
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.maps import LEGEND, area_scale, mask_scale
from nmrclassify.plots.style import OUTPUT_COLOURS, ColourScale, MapRow, Theme, finish, peak, stack

TOLD = ("before", "after")


def _headings(found: Comparison, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(
        class_names(kind, names)[k].removeprefix("something ")
        for kind, k in zip(found.kinds, found.labels, strict=False)
    )


def mixture_change(
    before: np.ndarray,
    after: np.ndarray,
    axis: Axis,
    theme: Theme,
    told: tuple[str, str] = TOLD,
    position: int | None = None,
) -> go.Figure:
    """Draw two mixtures (P, L) below each other and their difference on a diverging scale; one alone where they are the same."""
    mark = None if position is None else (None, position)
    scale, change = area_scale(theme, before, after), after - before
    if not change.any():
        return stack(
            [MapRow("<b>Mixture</b>", before[None], scale, height=110, outputs=False, mark=mark)],
            axis,
            theme,
        )
    high = max(peak(change), 1e-3 * scale.high)
    return stack(
        [
            MapRow(
                f"<b>Mixture, {told[0]}</b>",
                before[None],
                scale,
                height=84,
                outputs=False,
                mark=mark,
            ),
            MapRow(
                f"<b>Mixture, {told[1]}</b>",
                after[None],
                scale,
                height=84,
                outputs=False,
                mark=mark,
            ),
            MapRow(
                "<b>Difference</b> (blue: more)",
                change[None],
                ColourScale("difference", -high, high, theme.differences, root=True),
                height=84,
                outputs=False,
                mark=mark,
            ),
        ],
        axis,
        theme,
    )


def mask_change(
    found: Comparison,
    names: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    told: tuple[str, str] = TOLD,
    cell: Cell | None = None,
    difference: bool = True,
) -> go.Figure:
    """Draw the masks of two answers, filters in one order, and their difference where filters are the same in both."""
    order = similarity_order(np.nan_to_num(np.concatenate(list(found.masks))))
    # Blank only where both mixtures are silent.
    hidden = (weak_cells(found.first.encoding) & weak_cells(found.second.encoding))[order]
    first, second = (np.where(hidden, np.nan, side[:, order]) for side in found.masks)
    spot = None if cell is None else (cell.filter, cell.position)
    same = {
        "row_name": "filter",
        "height": 150,
        "indices": found.outputs,
        "ids": order,
        "mark": spot,
    }
    scale = mask_scale()
    rows = [
        MapRow(f"<b>Masks, {told[0]}</b>", first, scale, headings=_headings(found, names), **same),
        MapRow(f"<b>Masks, {told[1]}</b>", second, scale, **same),
    ]
    if difference:
        rows.append(
            MapRow(
                f"<b>Difference, {told[1]} minus {told[0]}</b>",
                second - first,
                ColourScale("difference", -1.0, 1.0, theme.differences),
                **same,
            )
        )
    return stack(rows, axis, theme)


def multiplet_change(
    found: Comparison,
    names: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    told: tuple[str, str] = TOLD,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw the separated multiplets of two answers and their difference."""
    first, second = found.multiplets
    scale, change = area_scale(theme, np.nan_to_num(found.multiplets)), second - first
    high = max(peak(np.nan_to_num(change)), 1e-3 * scale.high)
    same = {
        "height": 84,
        "indices": found.outputs,
        "mark": None if cell is None else (None, cell.position),
    }
    return stack(
        [
            MapRow(
                f"<b>Separated, {told[0]}</b>",
                first,
                scale,
                headings=_headings(found, names),
                **same,
            ),
            MapRow(f"<b>Separated, {told[1]}</b>", second, scale, **same),
            MapRow(
                "<b>Difference</b> (blue: more)",
                change,
                ColourScale("difference", -high, high, theme.differences, root=True),
                **same,
            ),
        ],
        axis,
        theme,
    )


def presence_change(
    found: Comparison,
    called: tuple[str, ...],
    theme: Theme,
    told: tuple[str, str] = TOLD,
    present: np.ndarray | None = None,
) -> go.Figure:
    """Draw the probability of each compound in two answers, one bar beside the other; a diamond marks what is in the mixture."""
    names = [
        f"◇ {name}" if present is not None and k in present else name
        for k, name in enumerate(called)
    ]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "y": names,
            "x": probabilities,
            "name": label,
            "marker": {"color": colour},
            "hovertemplate": f"{label}: %{{y}} %{{x:.1%}}<extra></extra>",
        }
        for label, probabilities, colour in zip(
            told, found.presence, (OUTPUT_COLOURS[7], OUTPUT_COLOURS[0]), strict=False
        )
    ]
    return finish(
        traces,
        theme,
        90 + 28 * len(names),
        barmode="group",
        showlegend=True,
        legend=LEGEND | {"traceorder": "normal"},
        xaxis={
            "title": {
                "text": "probability" + (" (◇ in the mixture)" if present is not None else "")
            },
            "range": [-0.01, 1.02],
            "tickformat": ".0%",
        },
        yaxis={"autorange": "reversed", "type": "category", "dtick": 1, "showgrid": False},
    )


def occlusion_map(
    found: Occlusion, called: tuple[str, ...], axis: Axis, theme: Theme, position: int | None = None
) -> go.Figure:
    """Draw by how much each class's probability falls when the multiplet at a position is taken away."""
    scale = ColourScale("fall", -1.0, 1.0, theme.differences)
    row = MapRow(
        "<b>Fall of probability</b>",
        found.fall[None],
        scale,
        "compound",
        24 * len(called),
        names=called,
        outputs=False,
        mark=None if position is None else (None, position),
    )
    return stack([row], axis, theme)
