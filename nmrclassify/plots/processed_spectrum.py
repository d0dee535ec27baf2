"""The figure of an uploaded spectrum: measured, processed, fitted, and the evidence in it."""

from html import escape

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.evidence import Evidence
from nmrclassify.mixtures.peaks import Peaks
from nmrclassify.mixtures.spectrum import Spectrum
from nmrclassify.mixtures.spectrum_processing import ProcessedSpectrum
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.spectrum import colours
from nmrclassify.plots.style import LEGEND, Theme, finish

N_POINTS = 16_000  # of each trace: lines of 1 Hz are whole when one zooms in
_MARKED = 400  # markers of a kind


def sampled(
    spectrum: Spectrum, heights: np.ndarray, axis: Axis, n: int = N_POINTS
) -> tuple[float, float, np.ndarray]:
    """Return start and step in ppm, and the highest of neighbouring points within the axis.

    Parameters
    ----------
    heights : ndarray, shape of `spectrum.ppm`

    Returns
    -------
    start, step : float
    highest : ndarray, shape (n,) at most, float32
    """
    first, last = np.searchsorted(spectrum.ppm, [axis.low, axis.high])
    if last - first < 2:
        return axis.low, axis.width, np.zeros(0, dtype=np.float32)
    size = -(-(last - first) // n)
    step = float(spectrum.ppm[-1] - spectrum.ppm[0]) / (len(spectrum.ppm) - 1)
    highest = np.maximum.reduceat(heights[first:last], np.arange(0, last - first, size))
    start = float(spectrum.ppm[first]) + (size - 1) / 2 * step
    return start, size * step, highest.astype(np.float32)


def processed_spectrum(
    measured: Spectrum,
    processed: ProcessedSpectrum | None,
    peaks: Peaks,
    evidence: Evidence,
    unexplained: np.ndarray,
    name: str,
    theme: Theme,
    selects: bool = False,
) -> go.Figure:
    """Draw a spectrum before and after its processing, with marks below the axis.

    Parameters
    ----------
    measured : Spectrum
        As it was read.
    processed : ProcessedSpectrum, optional
        None where the local maxima were picked.
    unexplained : ndarray
        Peaks to mark, as indices into `peaks`.
    name : str
        Of the compound that `evidence` is about.
    selects : bool
        Whether a drag selects a range instead of zooming.
    """
    colour, axis = colours(theme), peaks.axis
    shift = 0.0 if processed is None else processed.shift
    now = measured if processed is None else processed.spectrum

    def curve(spectrum: Spectrum, heights: np.ndarray, label: str, key: str, width: float) -> dict:
        start, step, y = sampled(spectrum, heights, axis)
        return {
            "type": "scatter",
            "mode": "lines",
            "name": label,
            "x0": start + (shift if spectrum is measured else 0.0),
            "dx": step,
            "y": y,
            "line": {"color": colour[key], "width": width},
            "hovertemplate": "%{x:.4f} ppm<extra></extra>",
        }

    inside = (now.ppm >= axis.low) & (now.ppm <= axis.high)
    top = max(float(now.heights[inside].max(initial=0.0)), 1e-9)
    traces = [curve(measured, measured.heights, "measured", "mixture", 1)]
    if processed is not None:
        fitted = "fitted lines" if processed.recipe.fit else "lines"
        traces += [
            curve(now, now.heights, "processed", "truth", 1),
            curve(now, processed.fitted, fitted, "explained", 1.2),
        ]

    def marks(
        ppm: np.ndarray, y: np.ndarray | float, label: str, symbol: str, tone: str, hover: str
    ) -> dict:
        return {
            "type": "scatter",
            "mode": "markers",
            "x": ppm[:_MARKED],
            "y": np.broadcast_to(np.asarray(y, dtype=float), ppm.shape)[:_MARKED],
            "name": escape(label),
            "marker": {
                "symbol": symbol,
                "size": 9,
                "color": tone,
                "line": {"width": 1.5, "color": tone},
            },
            "hovertemplate": f"%{{x:.4f}} ppm: {hover}<extra></extra>",
        }

    found, missing = evidence.speaks_for, evidence.speaks_against
    rest = peaks.ppm[unexplained]
    heights = np.interp(rest, now.ppm, now.heights)
    places, orange = evidence.ppm, colour["chosen"]
    above = np.minimum(heights + 0.03 * top, 1.02 * top)
    traces += [
        marks(places[found], -0.05 * top, f"for {name}", "triangle-up", orange, "found"),
        marks(places[missing], -0.11 * top, f"against {name}", "x-thin", theme.text, "missing"),
        marks(rest, above, "explained by none", "circle-open", theme.text, "unexplained"),
    ]
    cut = [
        {
            "type": "rect",
            "x0": low,
            "x1": high,
            "y0": 0,
            "y1": 1,
            "yref": "paper",
            "line": {"width": 0},
            "fillcolor": theme.text,
            "opacity": 0.12,
            "layer": "below",
        }
        for low, high in (() if processed is None else processed.regions)
    ]
    ends = [float(peaks.ppm.min()) - 0.3, float(peaks.ppm.max()) + 0.3]
    return finish(
        traces,
        theme,
        380,
        showlegend=True,
        legend=LEGEND,
        margin={"l": 12, "r": 12, "t": 60, "b": 44},
        shapes=cut,
        dragmode="select" if selects else "zoom",
        selectdirection="h",
        # A range that was dragged has become a grey area.
        selectionrevision=str(processed and processed.regions),
        # Keeps a visitor's zoom while the processing changes.
        uirevision="spectrum",
        xaxis={
            "range": [min(ends[1], axis.high), max(ends[0], axis.low)],
            "showgrid": False,
            "zeroline": False,
            "title": {"text": "chemical shift (ppm)", "standoff": 4},
        },
        yaxis={"visible": False, "range": [-0.15 * top, 1.06 * top]},
        hovermode="closest",
    )
