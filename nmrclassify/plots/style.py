"""How figures are drawn: colours, colour ranges, and the parts that all figures share."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

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
# One colour for each compound, by its number in the library; further ones start again. Of M. Okabe
# and K. Ito's hues, moved apart until any two differ with any colour vision (see the tests), and
# visible on a white and on a dark page.
COMPOUND_COLOURS = (
    "#1465FD",
    "#985500",
    "#39A180",
    "#FF65BC",
    "#DD6B3E",
    "#47AEF2",
    "#D7A70D",
    "#5A2EB6",
    "#4C4C49",
    "#86638C",
)
NO_COMPOUND = "#8E949E"  # of "nothing", and of what is not in the library
HIGHLIGHT = "#E69F00"  # of what the user chose
PROBABILITIES = "Viridis"  # colours of masks and probabilities
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "traceorder": "normal"}
# At the foot of the figure, however many lines the entries take on a narrow screen.
LEGEND_BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}


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
        """Colour of blank cells of a map."""
        return "#262c37" if self.dark else "#eceff4"

    @property
    def areas(self) -> list:
        """Scale of one hue for peak areas; it starts near the page's background."""
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
    """A fixed colour range.

    With `root` colours follow the square root, so that small multiplets are visible beside large
    ones.
    """

    title: str
    low: float
    high: float
    colours: str | list
    root: bool = False

    def place(self, values: np.ndarray) -> np.ndarray:
        """Return the places of values on the colour axis."""
        return np.sign(values) * np.sqrt(np.abs(values)) if self.root else values

    def coloraxis(self, theme: Theme, centre: float, length: float) -> dict:
        """Return the Plotly colour axis, with its bar at height `centre` of the figure."""
        bar = {
            "title": {
                "text": f"{self.title}<br>(square-root scale)" if self.root else self.title,
                "side": "right",
                "font": {"size": theme.points(10 if self.root else 11)},
            },
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
            if self.low < 0:  # few enough for a short bar
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


def compound_colour(compound: int, n_compounds: int) -> str:
    """Return the colour of a compound, everywhere in the app; any other class is grey."""
    if not 0 <= compound < n_compounds:
        return NO_COMPOUND
    return COMPOUND_COLOURS[compound % len(COMPOUND_COLOURS)]


def text_on(colour: str) -> str:
    """Return black or white: the text that is easier to read on a colour like "#1465FD"."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    light = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    luminance = float(light @ [0.2126, 0.7152, 0.0722])
    # Contrast as in WCAG 2.1: white on it is 1.05 / (luminance + 0.05), black (luminance + 0.05) /
    # 0.05; they are equal at 0.179.
    return "#000000" if luminance > 0.179 else "#ffffff"


def mask_scale() -> ColourScale:
    """Return the scale of all masks: 0 to 1, whatever the values."""
    return ColourScale("mask", 0.0, 1.0, PROBABILITIES)


def area_scale(theme: Theme, *areas: np.ndarray, title: str = "peak area") -> ColourScale:
    """Return one scale for all maps of areas that are to be compared."""
    return ColourScale(title, 0.0, max(largest(a) for a in areas), theme.areas, root=True)


def difference_scale(
    theme: Theme, high: float, title: str = "difference", root: bool = False
) -> ColourScale:
    """Return a diverging scale from ``-high`` to `high`."""
    return ColourScale(title, -high, high, theme.differences, root)


def probability_scale(theme: Theme, title: str = "probability") -> dict:
    """Return the Plotly colour axis of probabilities, as high as the figure."""
    return ColourScale(title, 0.0, 1.0, PROBABILITIES).coloraxis(theme, 0.5, 1.0)


def finish(traces: list[dict], theme: Theme, height: float, **layout: Any) -> go.Figure:
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
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": theme.text},
        "dragmode": False,
    } | layout
    for name in ("xaxis", "yaxis"):
        settings[name] = axis | settings.get(name, {})
    # Plotly's check of every property takes longer than all else on a page; the tests check all
    # figures instead.
    return go.Figure(
        {"data": traces, "layout": settings},
        _validate=os.environ.get("NMRCLASSIFY_CHECK_FIGURES") == "1",
    )


def frame(
    left: float, right: float, top: float, bottom: float, width: float = 2, **refs: str
) -> list[dict]:
    """Return a frame as two lines, orange on black: visible on the darkest and the brightest cell.

    `refs` are the axes (`xref`, `yref`).
    """
    box = {"type": "rect", "x0": left, "x1": right, "y0": top, "y1": bottom} | refs
    return [
        box | {"line": {"color": "#000000", "width": 2 * width}},
        box | {"line": {"color": HIGHLIGHT, "width": width}},
    ]


def note(text: str, x: float, y: float, **more: Any) -> dict:
    """Return a text whose lower left corner is at (x, y), as shares of the plotting area."""
    return {
        "text": text,
        "x": x,
        "y": y,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
    } | more


def share_axis(title: str, low: float, high: float) -> dict:
    """Return an axis of shares or probabilities, in percent."""
    return {"title": {"text": title}, "range": [low, high], "tickformat": ".0%"}


def step_axis(last: int) -> dict:
    """Return an axis of the square roots of training steps, up to the step `last`.

    A training learns most, and saves most steps, at its start, which a linear axis would squeeze.
    """
    ticks = sorted({0, *(int(float(f"{last * share:.1g}")) for share in (1 / 9, 4 / 9)), last})
    return {
        "title": {"text": "step (√ scale)"},
        "tickvals": [tick**0.5 for tick in ticks],
        "ticktext": [f"{tick:,}" for tick in ticks],
        "tickangle": 0,
        "range": [-0.02 * last**0.5, 1.02 * max(last, 1) ** 0.5],
    }


def horizontal_bars(
    names: Iterable[str], values: np.ndarray, colour: str | list[str], **more: Any
) -> dict:
    """Return a trace of one bar for each name."""
    return {
        "type": "bar",
        "orientation": "h",
        "y": list(names),
        "x": values,
        "marker": {"color": colour},
    } | more


def class_axis(theme: Theme) -> dict:
    """Return a vertical axis of classes, the first at the top."""
    return {
        "autorange": "reversed",
        "tickfont": {"size": theme.points(11)},
        "dtick": 1,
        "type": "category",
    }


def largest(values: np.ndarray) -> float:
    """Return the upper end of a colour range: the largest magnitude, never zero."""
    return float(max(np.abs(values).max(), 1e-6))
