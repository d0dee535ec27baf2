"""Figures of masks on one axis: whose multiplet each is, and each mask beside the ideal one."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.filters import FilterPattern, readable_order
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import DISAGREES, OCCUPIED, disagreements, overlap, weak_cells
from nmrclassify.networks.prediction import Prediction
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.map_rows import MapRow, Sheet, add_rows, centre_label, ticks
from nmrclassify.plots.style import (
    HIGHLIGHT,
    NO_COMPOUND,
    PROBABILITIES,
    ColourScale,
    Theme,
    compound_colour,
    difference_scale,
    finish,
    mask_scale,
    note,
    text_on,
)

# Of all figures here, so that equal positions are below each other.
MARGIN = {"l": 46, "r": 66}
MAP_HEIGHT = 96
GROUPS = {"own position": "own", "left neighbour": "left", "right neighbour": "right", "": "none"}


@dataclass(frozen=True)
class Division:
    """How the multiplets of a mixture are divided among m compounds.

    Attributes
    ----------
    title : str
        Who divides them: "masks" or "truth".
    shares : ndarray, shape (m, L)
        In 0..1. Where they add up to more than 1, they are drawn relative to their sum; where to
        less, the rest is grey.
    names, colours : tuple of str, length m
    """

    title: str
    shares: np.ndarray
    names: tuple[str, ...]
    colours: tuple[str, ...]

    @classmethod
    def of(
        cls,
        title: str,
        shares: np.ndarray,
        labels: np.ndarray,
        names: Iterable[str],
        n_compounds: int,
    ) -> "Division":
        """Return the division in the order and the colours of the library.

        Parameters
        ----------
        shares : ndarray, shape (m, L)
        labels : ndarray, shape (m,), int
            The compound of each row; `n_compounds` for what is not in the library.
        names : iterable of str, length m
        """
        order, names = np.argsort(labels, kind="stable"), tuple(names)
        return cls(
            title,
            shares[order],
            tuple(names[i] for i in order),
            tuple(compound_colour(int(labels[i]), n_compounds) for i in order),
        )

    def bars(self, height: np.ndarray, sign: float, axis: Axis) -> list[dict]:
        """Return one trace for each compound; `height` (L,) is the area at each position."""
        shares = self.shares / np.maximum(self.shares.sum(axis=0), 1.0)
        parts = np.concatenate([shares, 1 - shares.sum(axis=0, keepdims=True)])
        names, colours = (*self.names, "no output"), (*self.colours, NO_COMPOUND)
        traces = []
        for part, name, colour in zip(parts, names, colours, strict=True):
            at = np.flatnonzero((part > 0.005) & (height > OCCUPIED * height.max()))
            traces.append(
                {
                    "type": "bar",
                    "name": f"{name}, {self.title}",
                    "x": axis.centres[at],
                    "y": (sign * part * height)[at],
                    "width": axis.width * 0.86,
                    "marker": {"color": colour, "line": {"width": 0}},
                    "customdata": [
                        [centre_label(axis, p), float(part[p]), float(height[p])]
                        for p in at.tolist()
                    ],
                    "hovertemplate": f"{name} · %{{customdata[0]}} · {self.title}"
                    " %{customdata[1]:.0%} of area %{customdata[2]:.3g}<extra></extra>",
                }
            )
        return traces


def multiplet_shares(
    areas: np.ndarray,
    masks: Division,
    truth: Division | None,
    wrong: np.ndarray,
    axis: Axis,
    theme: Theme,
    position: int | None = None,
) -> go.Figure:
    """Draw the multiplets of a mixture as bars, divided by the masks and by the truth.

    Bars that point up are divided by the masks, those that point down by the truth.

    Parameters
    ----------
    areas : ndarray, shape (P, L)
        The mixture.
    wrong : ndarray, shape (L,), bool
        The positions to mark with a cross.
    position : int, optional
        Framed.
    """
    height = np.abs(areas).sum(axis=0)  # (L,)
    largest = max(float(height.max()), 1e-9)
    traces = masks.bars(height, 1.0, axis)
    places = [(masks.title, 0.5)]
    if truth is not None:
        traces += truth.bars(height, -1.0, axis)
        places = [(masks.title, 0.78), (truth.title, 0.22)]
    # Clicks are found on heatmaps: an empty one lies over the bars.
    cells = {
        "type": "heatmap",
        "z": np.full((1, axis.n_positions), np.nan),
        "x": [centre_label(axis, p) for p in reversed(range(axis.n_positions))],
        "y": [0],
        "xaxis": "x2",
        "yaxis": "y2",
        "showscale": False,
        "hoverinfo": "skip",
        "meta": {
            "rows": "peak",
            "ids": [0],
            "positions": axis.n_positions,
            "root": False,
            "title": "",
            "outputs": None,
        },
    }
    side = {"xanchor": "right", "yanchor": "middle", "textangle": -90}
    size = {"size": theme.points(13)}
    notes = [note(title, -0.005, y, font=size, **side) for title, y in places]
    notes += [
        {
            "text": "✗",
            "x": axis.centres[p],
            "y": height[p],
            "yanchor": "bottom",
            "showarrow": False,
            "font": size,
        }
        for p in np.flatnonzero(wrong)
    ]
    high = 1.16 * largest
    at, text = ticks(axis, 1)
    half = axis.width / 2
    ends = [float(axis.centres[-1]) + half, float(axis.centres[0]) - half]
    shapes = []
    if position is not None:
        middle = float(axis.centres[position])
        shapes = [
            {
                "type": "rect",
                "x0": middle - half,
                "x1": middle + half,
                "y0": 0,
                "y1": 1,
                "yref": "paper",
                "line": {"color": HIGHLIGHT, "width": 2},
            }
        ]
    over = {"visible": False, "showgrid": False, "zeroline": False}
    return finish(
        [*traces, cells],
        theme,
        round(theme.points(292 if truth is not None else 190)),
        barmode="relative",
        bargap=0,
        annotations=notes,
        shapes=shapes,
        margin=MARGIN | {"t": 8, "b": round(theme.points(40))},
        xaxis2=over
        | {"overlaying": "x", "type": "category", "range": [-0.5, axis.n_positions - 0.5]},
        yaxis2=over | {"overlaying": "y", "range": [-0.49, 0.49]},
        xaxis={
            "title": {"text": axis.title, "standoff": 4},
            "range": ends,
            "showgrid": False,
            "zeroline": False,
            "tickvals": [ends[0] - (a + 0.5) * axis.width for a in at],
            "ticktext": text,
            "automargin": False,
        },
        yaxis={
            "range": [-high if truth is not None else 0, high],
            "showgrid": False,
            "zeroline": True,
            "zerolinecolor": theme.text,
            "showticklabels": False,
            "automargin": False,
        },
    )


def filter_rows(patterns: list[FilterPattern], sort: bool) -> tuple[np.ndarray, dict]:
    """Return the order of the filters, shape (N,), and the options of a `MapRow` that names them.

    `sort` gives the order for reading, otherwise filters stand in the network's order.
    """
    order = readable_order(patterns) if sort else np.arange(len(patterns))
    options: dict[str, Any] = {
        "ids": order,
        "id_names": tuple(f"{i} ({patterns[i].name})" for i in order),
    }
    if sort:
        places = [patterns[i].place for i in order]
        options["groups"] = tuple(
            (name, places.count(place)) for place, name in GROUPS.items() if place in places
        )
    return order, options


def _stacked(rows: list[MapRow], gaps: list[int], axis: Axis, theme: Theme) -> Sheet:
    """Return a sheet of rows of single maps, all with the margins of this file."""
    sheet = Sheet(theme, [row.height for row in rows], gaps, bottom=40)
    add_rows(sheet, rows, axis)
    for name, settings in sheet.layout.items():
        if name.startswith(("xaxis", "yaxis")):
            settings["automargin"] = False
            settings |= {"tickfont": {"size": theme.points(11)}, "ticks": ""}
    for i, row in enumerate(rows):
        edges = np.cumsum([size for _, size in row.groups])[:-1] - 0.5
        suffix = str(i + 1) if i else ""
        sheet.shapes += [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "yref": f"y{suffix}",
                "y0": edge,
                "y1": edge,
                "line": {"color": theme.text, "width": 1, "dash": "dot"},
            }
            for edge in edges
        ]
    return sheet


def masks_beside_ideal(
    prediction: Prediction,
    ideal: np.ndarray | None,
    patterns: list[FilterPattern],
    headings: tuple[str, ...],
    names: tuple[str, ...],
    colours: tuple[str, ...],
    axis: Axis,
    theme: Theme,
    cell: Cell | None = None,
    sort: bool = True,
    show_weak: bool = False,
    only_wrong: bool = False,
) -> go.Figure:
    """Draw the mask of each output, below it the ideal mask and the difference, on one axis.

    Parameters
    ----------
    ideal : ndarray, shape (M, N, L), or None
        None where it is not known: then only the masks are drawn.
    patterns : list of FilterPattern, length N
    headings, names, colours : tuple of str, length M
        What stands above each mask, what hovers call it, and the background of the heading.
    cell : Cell, optional
        Framed in the maps of its output.
    sort, show_weak, only_wrong : bool
        Whether filters stand in the order for reading, masks are drawn where the encoding is weak,
        and only those differences are drawn that exceed `DISAGREES`.
    """
    order, options = filter_rows(patterns, sort)
    hidden = weak_cells(prediction.encoding) & (not show_weak)
    values, change = mask_scale(), difference_scale(theme, 1.0, "mask - ideal")
    rows, gaps = [], []
    for m, output in enumerate(prediction.outputs):
        kinds = [("mask", prediction.masks[m], values)]
        if ideal is not None:
            away = disagreements(prediction.masks[m], ideal[m], prediction.encoding)
            if only_wrong:
                away = np.where(np.abs(away) > DISAGREES, away, np.nan)
            kinds += [("ideal mask", ideal[m], values), ("difference", away, change)]
        for title, maps, scale in kinds:
            blank = hidden if scale is values else np.zeros_like(hidden)
            rows.append(
                MapRow(
                    "",
                    np.where(blank, np.nan, maps)[None][:, order],
                    scale,
                    "filter",
                    MAP_HEIGHT,
                    shown=(names[m],),
                    indices=np.array([output]),
                    mark=cell if cell is not None and cell.output == output else None,
                    **options,
                )
            )
            gaps.append((48 if rows[1:] else 30) if title == "mask" else 18)
    sheet = _stacked(rows, gaps, axis, theme)
    per_output = len(rows) // len(prediction.outputs)
    for i in range(len(rows)):
        title = ("Mask", "Ideal mask", "Difference: mask minus ideal mask")[i % per_output]
        top = sheet.domain(i)[1]
        if i % per_output == 0:
            m = i // per_output
            chip = {"bgcolor": colours[m], "borderpad": 2}
            font = {"size": theme.points(13), "color": text_on(colours[m])}
            text = f"<b>{headings[m]}</b>: mask"
            sheet.annotations.append(note(text, 0, top, yshift=5, xshift=2, font=font, **chip))
        else:
            sheet.annotations.append(note(title, 0, top, yshift=1, font={"size": theme.points(12)}))
        if i % per_output != per_output - 1:
            sheet.layout[f"xaxis{i + 1 if i else ''}"] |= {"showticklabels": False, "ticks": ""}
        sheet.traces[i]["meta"]["title"] = f"{names[i // per_output]}, {title.lower()}"
    return sheet.figure(margin=MARGIN)


def encoding_and_sums(
    prediction: Prediction,
    patterns: list[FilterPattern],
    axis: Axis,
    theme: Theme,
    cell: Cell | None = None,
    sort: bool = True,
    show_weak: bool = False,
) -> go.Figure:
    """Draw the encoding, the sum of the masks and the second-highest mask, on one axis.

    The parameters are those of `masks_beside_ideal`.
    """
    order, options = filter_rows(patterns, sort)
    hidden = weak_cells(prediction.encoding) & (not show_weak)
    strength = np.abs(prediction.encoding)
    strength = strength / max(float(strength.max()), 1e-9)
    total = max(float(len(prediction.masks)), 1.0)
    kinds = (
        ("Encoding, relative to the strongest cell", strength, "encoding", 1.0),
        ("Sum of all masks", prediction.masks.sum(axis=0), "sum of masks", total),
        ("Second-highest mask", overlap(prediction.masks), "mask", 1.0),
    )
    rows = [
        MapRow(
            f"<b>{title}</b>",
            np.where(hidden, np.nan, values)[None][:, order],
            ColourScale(quantity, 0.0, high, PROBABILITIES),
            "filter",
            120,
            outputs=False,
            mark=cell,
            **options,
        )
        for title, values, quantity, high in kinds
    ]
    return _stacked(rows, [24, 44, 44], axis, theme).figure(margin=MARGIN)
