"""Arrays to Plotly figures. Pure functions: no widget, no state; a fixed colour range wherever pictures are compared.

Maps of the C outputs stand side by side in one heatmap with a gap between them: one trace draws several times faster
than C subplots, and the eye compares along one row.
"""

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from .answers import Answer, Truth, percent
from .library import Axis, Library
from .masks import overlap, shares

# M. Okabe and K. Ito's palette, distinguishable with any colour vision; always beside a text label.
OUTPUT_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#999999")
MASK_SCALE, AREA_SCALE, DIFFERENCE_SCALE = "Viridis", "Cividis", "RdBu"
GAP = 1  # empty columns between side-by-side maps


@dataclass(frozen=True)
class Theme:
    """Colours of the page that a figure is drawn on."""

    dark: bool = False

    @property
    def text(self) -> str:
        return "#f2f4f8" if self.dark else "#1f2430"

    @property
    def grid(self) -> str:
        return "#3a4150" if self.dark else "#dfe3ea"

    @property
    def empty(self) -> str:
        """Background of a plot where there is nothing to show."""
        return "#1b2029" if self.dark else "#eef0f4"


def _finish(figure: go.Figure, theme: Theme, height: int, **layout) -> go.Figure:
    figure.update_layout(
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": theme.text, "size": 12},
        margin={"l": 64, "r": 8, "t": 30, "b": 44} | layout.pop("margin", {}),
        hoverlabel={"bgcolor": theme.empty, "font": {"color": theme.text}},
        showlegend=layout.pop("showlegend", False),
        dragmode=False,
        **layout,
    )
    figure.update_xaxes(gridcolor=theme.grid, zerolinecolor=theme.grid, linecolor=theme.grid, automargin=True)
    figure.update_yaxes(gridcolor=theme.grid, zerolinecolor=theme.grid, linecolor=theme.grid, automargin=True)
    return figure


def _number(value: float) -> str:
    return f"{value:g}"


def _place(axis: Axis, position: int) -> str:
    """One position in words, for hovering."""
    if axis.unit == "position":
        return f"position {position}"
    left = axis.low + position * axis.width
    return f"{left:.2f} to {left + axis.width:.2f} {axis.unit}"


def _side_by_side(maps: np.ndarray) -> np.ndarray:
    """Lay C maps of shape (rows, L) side by side, positions decreasing to the right: (rows, C * (L + GAP) - GAP)."""
    gap = np.full((maps.shape[1], GAP), np.nan)
    parts = [part for m in maps for part in (m[:, ::-1].astype(float), gap)]
    return np.concatenate(parts[:-1], axis=1)


def _columns(n_maps: int, n_positions: int) -> list[tuple[int, int]]:
    """Return the (map, position) that each column of a side-by-side map shows; position -1 in a gap."""
    one = [(p) for p in range(n_positions - 1, -1, -1)]
    columns = [(m, p) for m in range(n_maps) for p in one + [-1] * GAP]
    return columns[:-GAP]


def _ticks(axis: Axis, n_maps: int) -> tuple[list[int], list[str]]:
    """Tick places and labels for side-by-side maps: a few round values in each."""
    n = axis.n_positions
    step = max(1, round(n / (4 if n_maps > 1 else 10)))
    places = list(range(0, n, step))
    at, text = [], []
    for m in range(n_maps):
        for p in reversed(places):
            at.append(m * (n + GAP) + n - 1 - p)
            text.append(_number(round(float(axis.centres[p]) - (axis.width / 2 if axis.unit == "ppm" else 0), 3)))
    if axis.unit == "ppm":  # a round ppm value is the edge between two positions
        at = [place + 0.5 for place in at]
    return at, text


def _map_trace(maps: np.ndarray, axis: Axis, what: str, coloraxis: str, outputs: bool, row_name: str) -> go.Heatmap:
    """One heatmap trace of maps (C, rows, L) with a sentence for each cell on hovering."""
    columns = _columns(len(maps), axis.n_positions)
    where = [(f"output {m + 1}, " if outputs else "") + _place(axis, p) if p >= 0 else "" for m, p in columns]
    return go.Heatmap(
        z=_side_by_side(maps),
        x=np.arange(len(columns)),
        y=np.arange(maps.shape[1]),
        customdata=np.broadcast_to(np.array(where), (maps.shape[1], len(columns))),
        hovertemplate=f"{row_name} %{{y}}, %{{customdata}}<br>{what} %{{z:.3g}}<extra></extra>",
        hoverongaps=False,
        coloraxis=coloraxis,
    )


def _scale(title: str, low: float, high: float, scale: str, y: float, length: float) -> dict:
    """A coloraxis with a slim bar at the right."""
    bar = {
        "title": {"text": title, "side": "right", "font": {"size": 11}},
        "thickness": 9,
        "len": length,
        "y": y,
        "yanchor": "middle",
        "x": 1.005,
        "xpad": 2,
        "tickfont": {"size": 10},
        "outlinewidth": 0,
        "nticks": 4,
    }
    return {"cmin": low, "cmax": high, "colorscale": scale, "colorbar": bar}


def _peak(value: np.ndarray) -> float:
    """Upper end of a colour range: the largest value, never zero."""
    return float(max(np.abs(value).max(), 1e-6))


def _row_titles(figure: go.Figure, titles: list[str], theme: Theme) -> None:
    """Write a plain-language title at the left above each row of a one-column figure."""
    for row, title in enumerate(titles, start=1):
        domain = figure.layout[f"yaxis{row if row > 1 else ''}"].domain
        figure.add_annotation(
            text=title, x=0, xref="paper", xanchor="left", y=domain[1], yref="paper", yanchor="bottom", yshift=2,
            showarrow=False, font={"size": 13, "color": theme.text}, align="left",
        )


def _output_headings(figure: go.Figure, texts: list[str], row: int, axis: Axis) -> None:
    """Write a coloured heading above each of the side-by-side maps of one row."""
    n, suffix = axis.n_positions, row if row > 1 else ""
    for i, text in enumerate(texts):
        figure.add_annotation(
            text=text, x=i * (n + GAP) + (n - 1) / 2, xref=f"x{suffix}", y=1, yref=f"y{suffix} domain",
            yanchor="bottom", showarrow=False, font={"size": 13, "color": "white"},
            bgcolor=OUTPUT_COLOURS[i % 8], borderpad=2,
        )


def headings(given: Answer, names: tuple[str, ...], truth: Truth | None) -> list[str]:
    """Return a short heading for each output: what it named, how surely, and a mark for right or wrong."""
    chances = given.probabilities
    texts = []
    for i, row in enumerate(chances):
        best = int(row.argmax())
        mark = "" if truth is None else (" ✓" if best == truth.labels[i] else " ✗")
        texts.append(f"{names[best]}{mark}")
    return texts


def overview(
    areas: np.ndarray, given: Answer, names: tuple[str, ...], axis: Axis, theme: Theme, truth: Truth | None = None,
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
    """
    n_outputs, n_classes = given.probabilities.shape
    heights = [90, 170, 90] + ([90] if truth is not None else []) + [17 * n_classes + 10]
    gaps, top, bottom = 56, 26, 40
    total = sum(heights) + gaps * (len(heights) - 1)
    titles = ["<b>The mixture</b>, all that the network sees", "<b>Masks</b>: what each output lets through"]
    titles += ["<b>Separated</b>: mixture through each mask"]
    titles += ["<b>Truth</b>: what was mixed"] if truth is not None else []
    titles += ["<b>Which compound?</b> Probability by output"]
    figure = make_subplots(rows=len(heights), cols=1, row_heights=heights, vertical_spacing=gaps / total)
    largest = _peak(areas)
    rows = [areas[None], given.masks, given.multiplets] + ([truth.sources] if truth is not None else [])
    for row, maps in enumerate(rows, start=1):
        is_mask = row == 2
        trace = _map_trace(
            maps, axis, "mask" if is_mask else "area", "coloraxis2" if is_mask else "coloraxis", row > 1,
            "filter" if is_mask else "peak",
        )
        if not is_mask:
            trace.y = np.arange(1, maps.shape[1] + 1)
        figure.add_trace(trace, row, 1)
        at, text = _ticks(axis, len(maps))
        figure.update_xaxes(tickvals=at, ticktext=text, showgrid=False, zeroline=False, row=row, col=1)
        figure.update_yaxes(
            title="filter" if is_mask else "peak", showgrid=False, zeroline=False, row=row, col=1,
            dtick=None if is_mask else 1 if len(areas) < 4 else 5, tick0=0 if is_mask else 1,
        )
    figure.update_xaxes(title={"text": axis.title, "standoff": 2}, row=len(rows), col=1)
    bars = len(heights)
    pitch = 1.12
    for i, chances in enumerate(given.probabilities):
        figure.add_trace(
            go.Bar(
                y=list(names), x=chances, base=np.full(n_classes, i * pitch), orientation="h",
                marker={"color": OUTPUT_COLOURS[i % 8]}, name=f"output {i + 1}",
                customdata=chances, hovertemplate=f"output {i + 1}: %{{y}} %{{customdata:.1%}}<extra></extra>",
            ),
            bars, 1,
        )
        if truth is not None:
            figure.add_trace(
                go.Scatter(
                    y=[names[truth.labels[i]]], x=[i * pitch + 0.02], mode="markers",
                    marker={"symbol": "diamond-open", "color": theme.text, "size": 8},
                    hovertemplate=f"true compound of output {i + 1}: %{{y}}<extra></extra>",
                ),
                bars, 1,
            )
        figure.add_vline(x=i * pitch, line={"color": theme.grid, "width": 1}, row=bars, col=1)
    figure.update_xaxes(
        tickvals=[i * pitch + v for i in range(n_outputs) for v in (0, 0.5, 1)],
        ticktext=["0", "½", "1"] * n_outputs, range=[-0.02, n_outputs * pitch - 0.1], showgrid=False, zeroline=False,
        title={"text": "probability" + (" (◇ true compound)" if truth is not None else ""), "standoff": 2}, row=bars, col=1,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, tickfont={"size": 11}, row=bars, col=1)
    domains = [figure.layout[f"yaxis{r if r > 1 else ''}"].domain for r in range(1, len(heights) + 1)]
    middle = [sum(d) / 2 for d in domains]
    size = [d[1] - d[0] for d in domains]
    _row_titles(figure, titles, theme)
    _finish(
        figure, theme, total + top + bottom, barmode="overlay", bargap=0.25,
        margin={"t": top, "b": bottom, "r": 58, "l": 72},
        coloraxis=_scale("peak area", 0.0, largest, AREA_SCALE, middle[0], size[0] * 1.15),
        coloraxis2=_scale("mask, 0 to 1", 0.0, 1.0, MASK_SCALE, middle[1], size[1]),
    )
    for annotation in figure.layout.annotations:
        annotation.yshift = 4
    return figure


def maps(
    stacks: list[tuple[str, np.ndarray]], axis: Axis, theme: Theme, *, what: str, row_name: str, scale: str,
    low: float, high: float, outputs: bool = True, height: int = 110, names: list[str] | None = None,
    headings: list[str] | None = None,
) -> go.Figure:
    """Draw rows of side-by-side maps on one fixed colour scale.

    Parameters
    ----------
    stacks : list of (title, ndarray of shape (C, rows, L))
    what, row_name : str
        What the colour and the vertical axis show, with units.
    scale, low, high
        Plotly colour scale and its range.
    outputs : bool
        Whether the side-by-side maps are the network's outputs.
    height : int
        Of one row, in pixels.
    names : list of str, optional
        Labels of the vertical axis; numbers from 0 where not given.
    headings : list of str, optional
        A heading above each map of the first row.
    """
    gap, top = 52, 52 if headings else 30
    total = height * len(stacks) + gap * (len(stacks) - 1)
    figure = make_subplots(rows=len(stacks), cols=1, vertical_spacing=gap / total if len(stacks) > 1 else None)
    for row, (_, stack) in enumerate(stacks, start=1):
        trace = _map_trace(stack, axis, what, "coloraxis", outputs, row_name)
        start = 1 if row_name == "peak" else 0
        trace.y = names or np.arange(start, start + stack.shape[1])
        figure.add_trace(trace, row, 1)
        at, text = _ticks(axis, len(stack))
        figure.update_xaxes(tickvals=at, ticktext=text, showgrid=False, zeroline=False, row=row, col=1)
        figure.update_yaxes(title="" if names else row_name, showgrid=False, zeroline=False, row=row, col=1)
        if names:
            figure.update_yaxes(autorange="reversed", row=row, col=1)
    figure.update_xaxes(title={"text": axis.title, "standoff": 2}, row=len(stacks), col=1)
    _row_titles(figure, [f"<b>{title}</b>" for title, _ in stacks], theme)
    for annotation in figure.layout.annotations:
        annotation.yshift = 24 if headings and annotation is figure.layout.annotations[0] else 4
    if headings:
        _output_headings(figure, headings, 1, axis)
    coloraxis = _scale(what, low, high, scale, 0.5, min(1.0, 220 / total))
    return _finish(figure, theme, total + top + 40, coloraxis=coloraxis, margin={"t": top, "b": 40, "r": 62})


def area_maps(stacks: list[tuple[str, np.ndarray]], axis: Axis, theme: Theme, **options) -> go.Figure:
    """Draw maps of peak areas (C, P, L) on the scale of the largest area among them."""
    high = max(_peak(stack) for _, stack in stacks)
    return maps(stacks, axis, theme, what="peak area", row_name="peak", scale=AREA_SCALE, low=0.0, high=high, **options)


def difference_maps(stacks: list[tuple[str, np.ndarray]], axis: Axis, theme: Theme, high: float, **options) -> go.Figure:
    """Draw maps of area differences on a diverging scale, symmetric around zero, up to `high`."""
    return maps(
        stacks, axis, theme, what="area difference", row_name="peak", scale=DIFFERENCE_SCALE, low=-high, high=high, **options
    )


def mask_maps(stacks: list[tuple[str, np.ndarray]], axis: Axis, theme: Theme, **options) -> go.Figure:
    """Draw maps of values from 0 to 1 (filters x positions), always on the scale 0 to 1."""
    options = {"height": 190, "what": "0 to 1"} | options
    return maps(stacks, axis, theme, row_name="filter", scale=MASK_SCALE, low=0.0, high=1.0, **options)


def library_map(library: Library, theme: Theme) -> go.Figure:
    """Draw a whole library as one map, compounds x positions, coloured by multiplet area."""
    totals = library.areas.sum(axis=1)[None]  # (1, K, L)
    return maps(
        [("Each row is a pure compound", totals)], library.axis, theme, what="multiplet area", row_name="compound",
        scale=AREA_SCALE, low=0.0, high=_peak(totals), outputs=False, height=max(120, 24 * library.n_compounds),
        names=list(library.names),
    )


def line_spectrum(
    areas: np.ndarray, axis: Axis, theme: Theme, sources: np.ndarray | None = None, names: list[str] | None = None
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
    n_peaks, n_positions = areas.shape
    offset = (np.arange(n_peaks) - (n_peaks - 1) / 2) / (n_peaks + 1)  # in positions
    origin = axis.centres[0]
    x = origin + (np.arange(n_positions)[None] + offset[:, None]) * axis.width  # (P, L)
    parts = areas[None] if sources is None else sources
    labels = ["mixture"] if names is None else names
    figure = go.Figure()
    for i, (part, label) in enumerate(zip(parts, labels)):
        filled = np.abs(part) > 1e-9
        figure.add_trace(
            go.Bar(
                x=x[filled], y=part[filled], name=label, width=axis.width * 0.1,
                marker={"color": OUTPUT_COLOURS[i % 8] if sources is not None else theme.text, "line": {"width": 0}},
                hovertemplate=f"{label}: area %{{y:.3g}} at %{{x:.2f}} {axis.unit}<extra></extra>",
            )
        )
    half = axis.width / 2
    figure.update_xaxes(
        title=axis.title, range=[axis.centres[-1] + half, axis.centres[0] - half], zeroline=False,
        dtick=1 if axis.unit == "ppm" else 2, showgrid=False,
    )
    figure.update_yaxes(title="peak area", rangemode="tozero")
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 12}}
    return _finish(figure, theme, 300, barmode="relative", showlegend=sources is not None, legend=legend)


def learning_curves(history: list[dict], theme: Theme) -> go.Figure:
    """Draw loss (log scale) and the share of compounds right, on training batches and on unseen compositions."""
    figure = make_subplots(rows=1, cols=2, horizontal_spacing=0.14, subplot_titles=("Loss (falls)", "Compounds right (rises)"))
    steps = [row["step"] for row in history]
    mode = "lines" if len(history) > 1 else "markers"
    dashes = {"loss": "solid", "classification": "dot", "reconstruction": "dash"}
    labels = {"loss": "loss", "classification": "cross entropy (nats)", "reconstruction": "relative squared error"}
    for (key, dash), colour in zip(dashes.items(), OUTPUT_COLOURS):
        line = {"dash": dash, "color": colour}
        figure.add_trace(go.Scatter(x=steps, y=[row[key] for row in history], name=labels[key], mode=mode, line=line), 1, 1)
    for key, label, colour in (
        ("train_accuracy", "training batches", OUTPUT_COLOURS[4]), ("test_compound_accuracy", "unseen compositions", OUTPUT_COLOURS[3]),
    ):
        values = [row[key] for row in history]
        figure.add_trace(go.Scatter(x=steps, y=values, name=label, mode=mode, line={"color": colour, "width": 2.5}), 1, 2)
    figure.update_yaxes(type="log", row=1, col=1)
    figure.update_yaxes(range=[0, 1.02], tickformat=".0%", row=1, col=2)
    figure.update_xaxes(title="step")
    legend = {"orientation": "h", "y": -0.28, "yanchor": "top", "x": 0}
    return _finish(figure, theme, 340, showlegend=True, legend=legend, margin={"b": 96, "t": 40})


def sum_and_overlap(masks: np.ndarray, axis: Axis, theme: Theme) -> go.Figure:
    """Draw the sum of the masks over C and the second-highest mask, side by side, both from 0 to 1."""
    pair = np.stack([masks.mean(axis=0), overlap(masks)])
    return mask_maps(
        [("Left: mean of the masks. Right: second-highest mask", pair)], axis, theme, outputs=False, what="0 to 1",
    )


def ownership(multiplets: np.ndarray, axis: Axis, theme: Theme, names: list[str]) -> go.Figure:
    """Draw each output's share of the separated area at each position as stacked bars."""
    figure = go.Figure()
    for i, (share, name) in enumerate(zip(shares(multiplets), names)):
        figure.add_trace(
            go.Bar(
                x=axis.centres, y=share, name=name, width=axis.width * 0.92, marker={"color": OUTPUT_COLOURS[i % 8]},
                hovertemplate=f"{name}: %{{y:.0%}} at %{{x:.2f}} {axis.unit}<extra></extra>",
            )
        )
    half = axis.width / 2
    figure.update_xaxes(title=axis.title, range=[axis.centres[-1] + half, axis.centres[0] - half], showgrid=False, zeroline=False)
    figure.update_yaxes(title="share of the area", range=[0, 1], tickformat=".0%")
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    return _finish(figure, theme, 260, barmode="stack", showlegend=True, legend=legend)


def class_heatmap(given: Answer, names: tuple[str, ...], theme: Theme, truth: Truth | None = None) -> go.Figure:
    """Draw the softmax as outputs x compounds, with a frame around each true compound."""
    chances = given.probabilities
    figure = go.Figure(
        go.Heatmap(
            z=chances, x=list(names), y=[f"output {i + 1}" for i in range(len(chances))], coloraxis="coloraxis",
            text=[[f"{p:.2f}" if p >= 0.005 else "" for p in row] for row in chances], texttemplate="%{text}",
            hovertemplate="%{y}: %{x} %{z:.1%}<extra></extra>", xgap=1, ygap=1,
        )
    )
    if truth is not None:
        for i, k in enumerate(truth.labels):
            figure.add_shape(type="rect", x0=k - 0.5, x1=k + 0.5, y0=i - 0.5, y1=i + 0.5, line={"color": "#E69F00", "width": 3})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, title="compound" + (" (framed: the true one)" if truth is not None else ""))
    scale = _scale("probability", 0.0, 1.0, MASK_SCALE, 0.5, 1.0)
    return _finish(figure, theme, 130 + 44 * len(chances), coloraxis=scale, margin={"r": 62, "t": 10})


def class_bars(given: Answer, names: tuple[str, ...], theme: Theme) -> go.Figure:
    """Draw the softmax as bars, one colour an output."""
    figure = go.Figure()
    for i, chances in enumerate(given.probabilities):
        figure.add_trace(
            go.Bar(
                x=list(names), y=chances, name=f"output {i + 1}", marker={"color": OUTPUT_COLOURS[i % 8]},
                hovertemplate=f"output {i + 1}: %{{x}} %{{y:.1%}}<extra></extra>",
            )
        )
    figure.update_yaxes(title="probability", range=[0, 1])
    figure.update_xaxes(title="compound", showgrid=False)
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}
    return _finish(figure, theme, 280, barmode="group", showlegend=True, legend=legend)


def cost_matrix(truth: Truth, source_names: list[str], weight: float, theme: Theme) -> go.Figure:
    """Draw the cost of every pairing of output and source; frames mark the chosen assignment.

    `source_names` are in the order the sources were mixed, as the columns of the costs are.
    """
    cost = truth.classification + weight * truth.reconstruction
    figure = go.Figure(
        go.Heatmap(
            z=np.log10(cost + 1e-4), x=[f"{j + 1}: {name}" for j, name in enumerate(source_names)],
            y=[f"output {i + 1}" for i in range(len(cost))], colorscale=MASK_SCALE, showscale=False, xgap=2, ygap=2,
            text=[[f"{value:.3g}" for value in row] for row in cost], texttemplate="%{text}", textfont={"size": 14},
            customdata=np.stack([truth.classification, truth.reconstruction], axis=-1),
            hovertemplate=(
                "%{y} with %{x}: cost %{text}<br>cross entropy %{customdata[0]:.3g} nats, "
                "relative squared error %{customdata[1]:.3g}<extra></extra>"
            ),
        )
    )
    for i, j in enumerate(truth.pairing):
        figure.add_shape(type="rect", x0=j - 0.5, x1=j + 0.5, y0=i - 0.5, y1=i + 0.5, line={"color": "#E69F00", "width": 4})
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, title="source (framed: the chosen assignment)")
    return _finish(figure, theme, 120 + 56 * len(cost), margin={"t": 10})


def confusion(counts: np.ndarray, names: tuple[str, ...], theme: Theme) -> go.Figure:
    """Draw counts of (true compound, named compound) over a test set."""
    figure = go.Figure(
        go.Heatmap(
            z=counts, x=list(names), y=list(names), coloraxis="coloraxis", xgap=1, ygap=1,
            text=[[str(v) if v else "" for v in row] for row in counts], texttemplate="%{text}",
            hovertemplate="%{y} was named %{x}: %{z} times<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed", title="true compound", showgrid=False)
    figure.update_xaxes(title="named compound", showgrid=False)
    scale = _scale("times", 0, max(int(counts.max()), 1), AREA_SCALE, 0.5, 1.0)
    return _finish(figure, theme, 170 + 30 * len(counts), coloraxis=scale, margin={"r": 62, "t": 10})


def alt_text(given: Answer, names: tuple[str, ...]) -> str:
    """Return the class probabilities in words, for a screen reader."""
    chances = given.probabilities
    return "; ".join(f"output {i + 1} {names[row.argmax()]} {percent(row.max())}" for i, row in enumerate(chances))
