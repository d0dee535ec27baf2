"""Rows of maps below each other, each row with the maps of all outputs side by side.

The maps of a row share one heatmap with a gap between them, and a whole figure is one dictionary:
a single trace draws several times faster than one subplot for each output.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from textwrap import wrap
from typing import Any

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.style import (
    OUTPUT_COLOURS,
    ColourScale,
    Theme,
    finish,
    frame,
    note,
    text_on,
)

GAP = 1  # empty columns between two maps
# Letters in a line of a heading, by the number of maps: so much fits on a narrow screen. Above more
# maps, every other heading stands higher.
HEADING_LETTERS = {1: 40, 2: 18, 3: 11, 4: 9}


@dataclass(frozen=True)
class MapRow:
    """C maps of one kind, drawn side by side.

    Attributes
    ----------
    title : str
        Text above the row.
    maps : ndarray, shape (C, rows, L)
        Cells with NaN stay blank.
    row_name : str
        What the vertical axis counts: "peak", "filter", "compound", "channel" or "stage".
    height : int
        In pixels.
    headings : tuple of str
        One above each map.
    colours : tuple of str
        The background of each heading.
    shown : tuple of str
        What each map shows, for the text under the pointer; no two are alike.
    names : tuple of str
        Labels of the vertical axis, in place of numbers.
    outputs : bool
        Whether the maps are outputs of the network.
    indices : ndarray, shape (C,), optional
        The output of the network that each map shows, for clicks.
    stages : tuple of str
        The stage of the network that each map shows, as in `evaluation.stages`, for clicks.
    ids : ndarray, shape (rows,), optional
        The filter of each row, where filters are sorted.
    id_names : tuple of str
        What each row of `ids` is called under the pointer, such as "43 (triplet)".
    groups : tuple of (str, int)
        Names of the groups of neighbouring rows, and their sizes, for the vertical axis.
    mark : Cell or int, optional
        What to frame in every map: a cell (its column, unless the rows are filters), or the column
        of a position.
    """

    title: str
    maps: np.ndarray
    scale: ColourScale
    row_name: str = "peak"
    height: int = 100
    headings: tuple[str, ...] = ()
    colours: tuple[str, ...] = OUTPUT_COLOURS
    shown: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    outputs: bool = True
    indices: np.ndarray | None = None
    stages: tuple[str, ...] = ()
    ids: np.ndarray | None = None
    id_names: tuple[str, ...] = ()
    groups: tuple[tuple[str, int], ...] = ()
    mark: Cell | int | None = None

    @property
    def first(self) -> int:
        """Number of the first row: peaks count from 1, everything else from 0."""
        return int(self.row_name == "peak" and not self.names and self.ids is None)

    @property
    def row_ids(self) -> list[int]:
        """What each row shows: its filter, or its number from 0."""
        return list(range(self.maps.shape[1])) if self.ids is None else self.ids.tolist()

    def rows(self) -> tuple[list[str] | np.ndarray, dict, str]:
        """Return the labels of the rows, their axis, and the start of a hover text."""
        n, hover = self.maps.shape[1], f"{self.row_name} %{{y}}"
        if self.names:
            return list(self.names), {"type": "category", "range": [n - 0.5, -0.5]}, "%{y}"
        y: dict[str, Any] = {
            "title": {"text": self.row_name},
            "range": [self.first - 0.5, self.first + n - 0.5],
        }
        if self.ids is not None:
            labels = list(self.id_names) or [str(i) for i in self.ids]
            if not self.groups:
                y |= {"title": {"text": f"{self.row_name}s, sorted"}, "showticklabels": False}
                return labels, y | {"type": "category"}, hover
            sizes = np.array([size for _, size in self.groups])
            y |= {
                "type": "category",
                "title": {"text": ""},
                "tickvals": (np.cumsum(sizes) - sizes / 2 - 0.5).tolist(),
                "ticktext": [name for name, _ in self.groups],
                "range": [n - 0.5, -0.5],
            }
            return labels, y, hover
        if self.row_name == "peak":
            y |= {"dtick": 1 if n < 4 else 5, "tick0": 1}
        return np.arange(self.first, self.first + n), y, hover

    def heatmap(self, axis: Axis) -> dict:
        """Return the maps as one trace, without its axes and colours."""
        n_maps, n_rows, n = self.maps.shape
        padding = ((0, 0), (0, 0), (0, GAP))
        padded = np.pad(
            self.maps[..., ::-1].astype(np.float32), padding, constant_values=np.nan
        )  # (C, rows, L + GAP)
        wide = padded.transpose(1, 0, 2).reshape(n_rows, -1)[:, :-GAP]
        # Each column's hover text is its category, which costs nothing for each cell.
        source = "output" if self.outputs else "map"
        columns = []
        for m in range(n_maps):
            prefix = f"{self.shown[m] if self.shown else f'{source} {m + 1}'} · "
            if n_maps == 1 and not self.shown:
                prefix = ""
            columns += [prefix + centre_label(axis, p) for p in reversed(range(n))]
            columns += [f"gap {len(columns) + g}" for g in range(GAP)]
        labels, _, hover = self.rows()
        value = "%{text}" if self.scale.root else "%{z:.3g}"
        trace: dict[str, Any] = {
            "type": "heatmap",
            "z": self.scale.place(wide),
            "x": columns[:-GAP],
            "y": labels,
            "hoverongaps": False,
            "hovertemplate": f"%{{x}} · {hover} · {self.scale.title} {value}<extra></extra>",
            # For clicks on a cell, and for the table of the figure.
            "meta": {
                "rows": self.row_name,
                "ids": self.row_ids,
                "positions": n,
                "root": self.scale.root,
                "title": self.title,
                "outputs": None if self.indices is None else [int(i) for i in self.indices],
                "stages": list(self.stages),
            },
        }
        if self.scale.root:
            trace["text"] = [[f"{v:.3g}" if np.isfinite(v) else "" for v in line] for line in wide]
        return trace


def titled_rows(
    rows: Iterable[tuple[str, np.ndarray, ColourScale]],
    headings: tuple[str, ...] = (),
    **options: Any,
) -> list[MapRow]:
    """Return rows of (title, maps, scale) that share all options; only the first has headings."""
    return [
        MapRow(title, maps, scale, headings=() if i else headings, **options)
        for i, (title, maps, scale) in enumerate(rows)
    ]


@dataclass
class Sheet:
    """A figure under construction: rows from top to bottom, as dictionaries for Plotly."""

    theme: Theme
    heights: list[int]
    gaps: list[int]  # above each row
    bottom: int = 42
    traces: list[dict] = field(default_factory=list)
    layout: dict = field(default_factory=dict)
    annotations: list[dict] = field(default_factory=list)
    shapes: list[dict] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Widen the gaps where the type is larger."""
        self.gaps = [round(self.theme.points(gap)) for gap in self.gaps]
        self.bottom = round(self.theme.points(self.bottom))

    @property
    def total(self) -> int:
        """Height of the plotting area, in pixels."""
        return sum(self.heights) + sum(self.gaps[1:])

    def domain(self, row: int) -> list[float]:
        """Return the vertical extent of a row (from 0) in the plotting area, as shares."""
        above = sum(self.heights[:row]) + sum(self.gaps[1 : row + 1])
        return [1 - (above + self.heights[row]) / self.total, 1 - above / self.total]

    def axes(self, row: int, x: dict, y: dict) -> dict[str, str]:
        """Define the axes of a row, and return the references for its traces."""
        suffix = str(row + 1) if row else ""
        common = {
            "gridcolor": self.theme.grid,
            "zerolinecolor": self.theme.grid,
            "showgrid": False,
            "zeroline": False,
            "automargin": True,
        }
        self.layout[f"xaxis{suffix}"] = common | {"anchor": f"y{suffix}"} | x
        self.layout[f"yaxis{suffix}"] = (
            common | {"anchor": f"x{suffix}", "domain": self.domain(row)} | y
        )
        return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}

    def title(self, row: int, text: str, shift: float = 4) -> None:
        """Write a title at the left above a row."""
        font = {"size": self.theme.points(13)}
        self.annotations.append(
            note(text, 0, self.domain(row)[1], font=font, xshift=-44, yshift=shift, align="left")
        )

    def add_maps(self, row: int, content: MapRow, axis: Axis, coloraxis: str, last: bool) -> None:
        """Draw a row of maps."""
        n_maps, _, n = content.maps.shape
        at, text = ticks(axis, n_maps)
        # A fixed range, since a frame at an edge would widen it.
        x: dict[str, Any] = {
            "type": "category",
            "tickvals": at,
            "ticktext": text,
            "range": [-0.5, n_maps * (n + GAP) - GAP - 0.5],
        }
        if last:
            x["title"] = {"text": axis.title, "standoff": 4}
        on = self.axes(row, x, content.rows()[1])
        refs = {"xref": on["xaxis"], "yref": on["yaxis"]}
        self.traces.append(content.heatmap(axis) | {"coloraxis": coloraxis} | on)
        for m in range(n_maps):
            left = m * (n + GAP) - 0.5
            # The colour of blank cells, below the heatmap.
            blank = {"type": "rect", "layer": "below", "line": {"width": 0}, **refs}
            blank |= {"x0": left, "x1": left + n, "fillcolor": self.theme.empty}
            self.shapes.append(blank | {"y0": 0, "y1": 1, "yref": f"{refs['yref']} domain"})
        if content.mark is not None:
            self._frame(content, content.mark, refs)
        headings, extra = heading_lines(content.headings)
        raised = len(headings) not in HEADING_LETTERS
        for i, heading in enumerate(headings):
            colour = content.colours[i % len(content.colours)]
            self.annotations.append(
                {
                    "text": heading,
                    "x": i * (n + GAP) + (n - 1) / 2,
                    "xref": refs["xref"],
                    "y": 1,
                    "yref": f"{refs['yref']} domain",
                    "yanchor": "bottom",
                    "yshift": 3 + self.theme.points(extra) * (raised and i % 2),
                    "showarrow": False,
                    "font": {
                        "size": self.theme.points(13 if len(headings) < 3 else 12),
                        "color": text_on(colour),
                    },
                    "bgcolor": colour,
                    "borderpad": 2,
                }
            )
        if content.title:
            shift = self.theme.points(26 + extra) if headings else 4
            self.title(row, content.title, shift)

    def _frame(self, content: MapRow, mark: Cell | int, refs: dict) -> None:
        """Frame the marked cell or column in every map of a row."""
        n_maps, n_rows, n = content.maps.shape
        position, top, bottom = mark, 0, n_rows
        if isinstance(mark, Cell):
            position = mark.position
            if content.row_name == "filter" and mark.filter in content.row_ids:
                top = content.row_ids.index(mark.filter)
                bottom = top + 1
        edges = (content.first + top - 0.5, content.first + bottom - 0.5)
        for m in range(n_maps):
            column = m * (n + GAP) + n - 1 - position
            self.shapes += frame(column - 0.5, column + 0.5, *edges, **refs)

    def figure(self, **layout: Any) -> go.Figure:
        """Return the finished figure."""
        top = self.gaps[0]
        margin = {"l": 64, "r": 62, "t": top, "b": self.bottom} | layout.pop("margin", {})
        settings = self.layout | layout | {"annotations": self.annotations, "shapes": self.shapes}
        return finish(
            self.traces, self.theme, self.total + top + self.bottom, margin=margin, **settings
        )


def stack(rows: list[MapRow], axis: Axis, theme: Theme) -> go.Figure:
    """Draw rows of maps below each other; rows of the same scale share its colour bar."""
    gaps = [
        (50 if row.headings else 26) + heading_lines(row.headings)[1] + (22 if i else 0)
        for i, row in enumerate(rows)
    ]
    sheet = Sheet(theme, [row.height for row in rows], gaps)
    add_rows(sheet, rows, axis)
    return sheet.figure()


def add_rows(sheet: Sheet, rows: list[MapRow], axis: Axis) -> None:
    """Draw rows of maps on a sheet, from its top, with one colour bar for each distinct scale."""
    coloraxes: dict[int, str] = {}
    for i, row in enumerate(rows):
        if id(row.scale) not in coloraxes:
            name = coloraxes[id(row.scale)] = f"coloraxis{len(coloraxes) + 1 if coloraxes else ''}"
            low, high = sheet.domain(i)
            length = max(high - low, 76 / sheet.total)
            sheet.layout[name] = row.scale.coloraxis(sheet.theme, (low + high) / 2, length)
        sheet.add_maps(i, row, axis, coloraxes[id(row.scale)], last=i == len(rows) - 1)


def heading_lines(headings: Sequence[str]) -> tuple[list[str], int]:
    """Return headings broken into lines, and their height in pixels beyond that of one line."""
    if not headings:
        return [], 0
    raised = len(headings) not in HEADING_LETTERS
    letters = HEADING_LETTERS[3 if raised else len(headings)]
    # No line starts with a mark.
    whole = [heading.replace(" ✓", "\xa0✓").replace(" ✗", "\xa0✗") for heading in headings]
    lines = [wrap(heading, letters, break_long_words=False) for heading in whole]
    return ["<br>".join(broken) for broken in lines], 16 * (max(map(len, lines)) - 1) + 21 * raised


def position_label(axis: Axis, position: int) -> str:
    """Return a position in words: its number, or its range in ppm."""
    if axis.unit == "position":
        return f"position {position}"
    left = axis.low + position * axis.width
    return f"{left:.2f} to {left + axis.width:.2f} {axis.unit}"


def centre_label(axis: Axis, position: int) -> str:
    """Return a position by its number, or by its centre in ppm."""
    if axis.unit == "position":
        return f"position {position}"
    decimals = max(2, 1 - int(np.floor(np.log10(axis.width))))
    return f"{axis.centres[position]:.{decimals}f} {axis.unit}"


def positions_label(axis: Axis) -> str:
    """Return the unit of shifts in words: positions, and how many ppm one is."""
    return "positions" + (f" of {axis.width:g} ppm" if axis.unit == "ppm" else "")


def ticks(axis: Axis, n_maps: int) -> tuple[list[float], list[str]]:
    """Return tick places and labels for maps side by side: a few round values in each."""
    n = axis.n_positions
    # Several maps have no tick near an edge, where the labels of two neighbours would overlap.
    places = (
        range(0, n, max(1, round(n / 10)))
        if n_maps == 1
        else [round(n * share) for share in (0.2, 0.48, 0.76)]
    )
    # A round ppm value is the edge between two positions; the number of a position is its middle.
    edge = 0.5 if axis.unit == "ppm" else 0.0
    at = [m * (n + GAP) + n - 1 - p + edge for m in range(n_maps) for p in places]
    text = [
        f"{float(axis.centres[p]) - edge * axis.width:.6g}" for _ in range(n_maps) for p in places
    ]
    return at, text
