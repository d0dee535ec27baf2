"""How figures are drawn: colours, colour ranges, and rows of maps that stand side by side.

Maps of the C outputs share one heatmap with a gap between them, and a whole figure is built as one
dictionary: a single trace draws several times faster than C subplots, and the eye compares along
one row.
"""

import os
from dataclasses import dataclass, field

import numpy as np
import plotly.graph_objects as go

from nmrclassify.nmr.axis import Axis

# M. Okabe and K. Ito's palette, distinguishable with any colour vision; always beside a text label.
# Darkened where white text on the published tone would fall short of a contrast of 4.5.
OUTPUT_COLOURS = (
    "#0072B2",
    "#B34A00",
    "#007A59",
    "#A3487A",
    "#8A6100",
    "#2878A8",
    "#6B6A00",
    "#666666",
)
GAP = 1  # empty columns between side-by-side maps
CROWDED = 2  # headings in a row
FRAME = "#E69F00"


@dataclass(frozen=True)
class Theme:
    """Colours of the page that a figure is drawn on."""

    dark: bool = False
    large: bool = False  # for a projector

    def points(self, size: float) -> float:
        """Return a type size for this page."""
        return 1.35 * size if self.large else size

    @property
    def text(self) -> str:
        """Colour of text and axes."""
        return "#f2f4f8" if self.dark else "#1f2430"

    @property
    def grid(self) -> str:
        """Colour of grid lines."""
        return "#3a4150" if self.dark else "#dfe3ea"

    @property
    def empty(self) -> str:
        """Colour of a map where there is nothing to show."""
        return "#262c37" if self.dark else "#eceff4"

    @property
    def areas(self) -> list:
        """One-hue scale for peak areas that starts at the colour of nothing."""
        if self.dark:
            return [[0, "#1d222b"], [0.25, "#1f4468"], [0.6, "#3d8fce"], [1, "#e2f1ff"]]
        return [[0, "#f3f5f9"], [0.25, "#bcd3ea"], [0.6, "#3f82bd"], [1, "#08306b"]]

    @property
    def differences(self) -> list:
        """Diverging scale, neutral in the middle: orange below zero, blue above."""
        return [
            [0, "#d55e00"],
            [0.5, "#1d222b" if self.dark else "#f6f7fa"],
            [1, "#56b4e9" if self.dark else "#0072b2"],
        ]


@dataclass(frozen=True)
class ColourScale:
    """A fixed colour range. `root` compresses it by the square root, so that a small multiplet beside a large one shows."""

    title: str
    low: float
    high: float
    colours: str | list
    root: bool = False

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie on the colour axis."""
        return np.sign(values) * np.sqrt(np.abs(values)) if self.root else values

    def coloraxis(self, theme: Theme, centre: float, length: float) -> dict:
        """Return the Plotly colour axis, with its bar at height `centre` of the figure."""
        bar = {
            "title": {"text": self.title, "side": "right", "font": {"size": theme.points(11)}},
            "thickness": 9,
            "len": length,
            "y": centre,
            "yanchor": "middle",
            "x": 1.005,
            "xpad": 2,
            "tickfont": {"size": theme.points(10)},
            "outlinewidth": 0,
            "nticks": 4,
        }
        if self.root:
            steps = np.array([m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)])
            shown = [0.0, *steps[(steps <= self.high) & (steps >= self.high / 6)]]
            if self.low < 0:  # few enough to stand on a short bar
                shown = [-shown[-1], 0.0, shown[-1]]
            bar |= {
                "tickvals": list(self.place(np.array(shown))),
                "ticktext": [f"{v:g}" for v in shown],
            }
        low, high = self.place(np.array([self.low, self.high]))
        return {
            "cmin": float(low),
            "cmax": float(high),
            "colorscale": self.colours,
            "colorbar": bar,
        }


@dataclass(frozen=True)
class MapRow:
    """C maps of one kind, drawn side by side.

    Attributes
    ----------
    title : str
        Plain words above the row.
    maps : ndarray, shape (C, rows, L)
        NaN is left blank.
    scale : Scale
    row_name : str
        What the vertical axis counts: "peak", "filter" or "compound".
    height : int
        Pixels.
    headings : tuple of str
        One above each map.
    names : tuple of str
        Labels of the vertical axis, in place of numbers.
    outputs : bool
        Whether the maps are the network's outputs.
    indices : ndarray, shape (C,), optional
        Which of the network's outputs each map shows, for clicks; none of them where it is left
        out.
    ids : ndarray, shape (rows,), optional
        What the rows are, where they do not stand in order: filters sorted by likeness.
    mark : tuple of (int or None, int or None), optional
        A row (its id) and a position to frame in every map; all rows, or all positions, where one
        is None.
    """

    title: str
    maps: np.ndarray
    scale: ColourScale
    row_name: str = "peak"
    height: int = 100
    headings: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    outputs: bool = True
    indices: np.ndarray | None = None
    ids: np.ndarray | None = None
    mark: tuple[int | None, int | None] | None = None


@dataclass
class Sheet:
    """A figure under construction: rows from top to bottom, as Plotly's own dictionaries."""

    theme: Theme
    heights: list[int]
    gaps: list[int]  # above each row
    bottom: int = 42
    traces: list[dict] = field(default_factory=list)
    layout: dict = field(default_factory=dict)
    annotations: list[dict] = field(default_factory=list)
    shapes: list[dict] = field(default_factory=list)

    def __post_init__(self):
        # Larger type needs wider gaps.
        self.gaps, self.bottom = (
            [round(self.theme.points(gap)) for gap in self.gaps],
            round(self.theme.points(self.bottom)),
        )

    @property
    def total(self) -> int:
        """Height of the plotting area, in pixels."""
        return sum(self.heights) + sum(self.gaps[1:])

    def domain(self, row: int) -> list[float]:
        """Return the vertical extent of a row (from 0) in the plotting area, as shares."""
        above = sum(self.heights[:row]) + sum(self.gaps[1 : row + 1])
        return [1 - (above + self.heights[row]) / self.total, 1 - above / self.total]

    def axes(self, row: int, x: dict, y: dict) -> dict:
        """Define the axes of a row, and return what its traces must name."""
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
        """Write plain words at the left above a row."""
        self.annotations.append(
            {
                "text": text,
                "x": 0,
                "xref": "paper",
                "xanchor": "left",
                "xshift": -44,
                "y": self.domain(row)[1],
                "yref": "paper",
                "yanchor": "bottom",
                "yshift": shift,
                "showarrow": False,
                "font": {"size": self.theme.points(13)},
                "align": "left",
            }
        )

    def add_maps(self, row: int, content: MapRow, axis: Axis, coloraxis: str, last: bool) -> None:
        """Draw a row of maps."""
        maps, scale = content.maps, content.scale
        n_maps, n_rows, n = maps.shape
        columns = [(m, p) for m in range(n_maps) for p in [*range(n - 1, -1, -1), *[-1] * GAP]][
            :-GAP
        ]
        gap = np.full((n_rows, GAP), np.nan, dtype=np.float32)
        wide = np.concatenate(
            [part for m in maps for part in (m[:, ::-1], gap)][:-1], axis=1, dtype=np.float32
        )
        # The columns' names are categories of the axis, so that hovering can say them at no cost
        # for each cell.
        source = "output" if content.outputs else "map"
        prefix = [f"{source} {m + 1}, " if n_maps > 1 else "" for m in range(n_maps)]
        where = [
            prefix[m] + place(axis, p) if p >= 0 else f"gap {i}" for i, (m, p) in enumerate(columns)
        ]
        start = 1 if content.row_name == "peak" else 0
        labels = list(content.names) or None
        ids = np.arange(n_rows) if content.ids is None else content.ids
        number = "%{y}" if labels else f"{content.row_name} %{{y}}"
        rows = labels or (
            np.arange(start, start + n_rows) if content.ids is None else [str(i) for i in ids]
        )
        trace = {
            "type": "heatmap",
            "z": scale.place(wide),
            "x": where,
            "y": rows,
            "coloraxis": coloraxis,
            "hoverongaps": False,
            # What a click on a cell, or a table of the figure, has to know.
            "meta": {
                "rows": content.row_name,
                "ids": ids.tolist(),
                "positions": n,
                "root": scale.root,
                "title": content.title,
                "outputs": None if content.indices is None else [int(i) for i in content.indices],
            },
        }
        shown = "%{z:.3g}"
        if scale.root:
            trace["text"] = [[f"{v:.3g}" if np.isfinite(v) else "" for v in line] for line in wide]
            shown = "%{text}"
        trace["hovertemplate"] = f"{number}, %{{x}}<br>{scale.title} {shown}<extra></extra>"
        at, text = ticks(axis, n_maps)
        # Ranges are given, or the line of a frame at an edge would widen them.
        x = {
            "type": "category",
            "tickvals": at,
            "ticktext": text,
            "range": [-0.5, wide.shape[1] - 0.5],
        } | ({"title": {"text": axis.title, "standoff": 4}} if last else {})
        y: dict = (
            {"range": [n_rows - 0.5, -0.5], "type": "category"}
            if labels
            else {"title": {"text": content.row_name}, "range": [start - 0.5, start + n_rows - 0.5]}
        )
        if content.row_name == "peak" and not labels:
            y |= {"dtick": 1 if n_rows < 4 else 5, "tick0": 1}
        if content.ids is not None and not labels:
            y = {
                "title": {"text": f"{content.row_name}s, sorted"},
                "type": "category",
                "showticklabels": False,
                "range": [-0.5, n_rows - 0.5],
            }
        self.traces.append(trace | self.axes(row, x, y))
        # The empty cells' colour, under the heatmap, wherever a map leaves a cell blank.
        suffix = str(row + 1) if row else ""
        for m in range(n_maps):
            self.shapes.append(
                {
                    "type": "rect",
                    "layer": "below",
                    "xref": f"x{suffix}",
                    "yref": f"y{suffix} domain",
                    "y0": 0,
                    "y1": 1,
                    "x0": m * (n + GAP) - 0.5,
                    "x1": m * (n + GAP) + n - 0.5,
                    "line": {"width": 0},
                    "fillcolor": self.theme.empty,
                }
            )
        if content.mark is not None:
            self._frame(
                content,
                ids,
                f"x{suffix}",
                f"y{suffix}",
                0 if labels or content.ids is not None else start,
            )
        # Neighbours would run into each other on a narrow screen, so every other one stands higher.
        crowded = len(content.headings) > CROWDED
        for i, heading in enumerate(content.headings):
            self.annotations.append(
                {
                    "text": heading,
                    "x": i * (n + GAP) + (n - 1) / 2,
                    "xref": f"x{suffix}",
                    "y": 1,
                    "yref": f"y{suffix} domain",
                    "yanchor": "bottom",
                    "yshift": 3 + self.theme.points(21) * (crowded and i % 2),
                    "showarrow": False,
                    "font": {"size": self.theme.points(13), "color": "white"},
                    "bgcolor": OUTPUT_COLOURS[i % 8],
                    "borderpad": 2,
                }
            )
        if content.title:
            self.title(
                row, content.title, self.theme.points(26 + 21 * crowded) if content.headings else 4
            )

    def _frame(self, content: MapRow, ids: np.ndarray, x: str, y: str, first: int) -> None:
        """Frame the marked cell, row or column in every map of a row."""
        n_maps, n_rows, n = content.maps.shape
        row, position = content.mark
        at = np.flatnonzero(ids == row)
        low, high = (0, n_rows) if row is None or not len(at) else (at[0], at[0] + 1)
        left, right = (0, n) if position is None else (n - 1 - position, n - position)
        for m in range(n_maps):
            box = {
                "type": "rect",
                "xref": x,
                "yref": y,
                "x0": m * (n + GAP) + left - 0.5,
                "x1": m * (n + GAP) + right - 0.5,
                "y0": first + low - 0.5,
                "y1": first + high - 0.5,
            }
            # Two lines, so that the frame is seen on the darkest and on the brightest cell.
            self.shapes += [
                box | {"line": {"color": "#000000", "width": 4}},
                box | {"line": {"color": FRAME, "width": 2}},
            ]

    def figure(self, **layout) -> go.Figure:
        """Return the finished figure."""
        top = self.gaps[0]
        margin = {"l": 64, "r": 62, "t": top, "b": self.bottom} | layout.pop("margin", {})
        settings = self.layout | layout | {"annotations": self.annotations, "shapes": self.shapes}
        return finish(
            self.traces, self.theme, self.total + top + self.bottom, margin=margin, **settings
        )


def finish(traces: list[dict], theme: Theme, height: int, **layout) -> go.Figure:
    """Return a figure with the page's colours."""
    axis = {
        "gridcolor": theme.grid,
        "zerolinecolor": theme.grid,
        "linecolor": theme.grid,
        "automargin": True,
    }
    settings = {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": theme.text, "size": theme.points(12)},
        "margin": {"l": 64, "r": 8, "t": 30, "b": 44} | layout.pop("margin", {}),
        "hoverlabel": {"bgcolor": theme.empty, "font": {"color": theme.text}},
        "showlegend": False,
        "dragmode": False,
    } | layout
    for name in ("xaxis", "yaxis"):
        settings[name] = axis | settings.get(name, {})
    # Checking every property takes Plotly longer than all else that a page does; the tests check
    # all figures instead.
    return go.Figure(
        {"data": traces, "layout": settings},
        _validate=os.environ.get("NMRCLASSIFY_CHECK_FIGURES") == "1",
    )


def stack(rows: list[MapRow], axis: Axis, theme: Theme) -> go.Figure:
    """Draw rows of maps below each other; rows of the same scale share its colour bar."""
    gaps = [
        (50 if row.headings else 26) + 21 * (len(row.headings) > CROWDED) + (22 if i else 0)
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


def place(axis: Axis, position: int) -> str:
    """Say where a position lies, for hovering."""
    if axis.unit == "position":
        return f"position {position}"
    left = axis.low + position * axis.width
    return f"{left:.2f} to {left + axis.width:.2f} {axis.unit}"


def ticks(axis: Axis, n_maps: int) -> tuple[list[float], list[str]]:
    """Return tick places and labels for side-by-side maps: a few round values in each."""
    n = axis.n_positions
    # Beside other maps no tick stands near an edge, where two neighbours' labels would run into
    # each other.
    places = (
        range(0, n, max(1, round(n / 10)))
        if n_maps == 1
        else [round(n * share) for share in (0.2, 0.48, 0.76)]
    )
    # A round ppm value is the edge between two positions; a bare position is its middle.
    edge = 0.5 if axis.unit == "ppm" else 0.0
    at = [m * (n + GAP) + n - 1 - p + edge for m in range(n_maps) for p in places]
    text = [
        f"{float(axis.centres[p]) - edge * axis.width:.6g}" for _ in range(n_maps) for p in places
    ]
    return at, text


def peak(values: np.ndarray) -> float:
    """Return the upper end of a colour range: the largest magnitude, never zero."""
    return float(max(np.abs(values).max(), 1e-6))
