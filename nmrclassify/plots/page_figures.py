"""The main figure of each page: the page and its printed program call the same function."""

import numpy as np
import plotly.graph_objects as go

from nmrclassify.evaluation.compare_predictions import Comparison
from nmrclassify.evaluation.interpretation import Cell, CellTrace
from nmrclassify.evaluation.masks import similarity_order, weak_cells
from nmrclassify.evaluation.metrics import Evaluation
from nmrclassify.evaluation.robustness import SWEEPS, measured
from nmrclassify.mixtures.edits import Mixture
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.plots import activations, classes, comparison, curves, maps
from nmrclassify.plots.style import Theme

LIGHT = Theme()


def overview(
    mixture: Mixture,
    prediction: Prediction,
    truth: Truth | None,
    library: Library,
    theme: Theme = LIGHT,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw mixture, masks, separated multiplets, truth and probabilities."""
    return maps.overview(mixture.areas, prediction, library.names, library.axis, theme, truth, cell)


def mixture(
    mixture: Mixture, library: Library, theme: Theme = LIGHT, cell: Cell | None = None
) -> go.Figure:
    """Draw the mixture as the network gets it."""
    title = f"Mixture: {library.n_peaks} peaks x positions"
    return maps.area_maps(
        [(title, mixture.areas[None])], library.axis, theme, outputs=False, cell=cell
    )


def masks(
    prediction: Prediction,
    truth: Truth | None,
    ideal: np.ndarray | None,
    library: Library,
    theme: Theme = LIGHT,
    cell: Cell | None = None,
    sort: bool = True,
    show_weak: bool = False,
) -> go.Figure:
    """Draw the masks, the ideal masks, shape (C, N, L), and the masked encodings of each output.

    `sort` puts similar filters side by side; `show_weak` also draws masks where the encoding is
    weak.
    """
    order, hidden = shown_cells(prediction, sort, show_weak)
    rows = [("Masks estimated by the network", prediction.masks)]
    if ideal is not None:
        rows.append(("Ideal ratio masks, from the true sources", ideal))
    largest = max(float(np.abs(prediction.encoding).max()), 1e-9)
    strength = np.abs(prediction.separated_encodings) / largest
    rows.append(("Masked encodings, relative strength", strength))
    return maps.mask_maps(
        [(title, np.where(hidden, np.nan, values[:, order])) for title, values in rows],
        library.axis,
        theme,
        classes.headings(prediction, library.names, truth),
        indices=prediction.outputs,
        ids=order,
        cell=cell,
    )


def shown_cells(
    prediction: Prediction, sort: bool, show_weak: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of the filters, shape (N,), and which cells are left blank, shape (N, L)."""
    n_filters = len(prediction.encoding)
    order = similarity_order(prediction.masks) if sort else np.arange(n_filters)
    return order, weak_cells(prediction.encoding)[order] & (not show_weak)


def separation(
    prediction: Prediction,
    truth: Truth | None,
    library: Library,
    theme: Theme = LIGHT,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw the separated multiplets of each output, and the true ones below."""
    rows = [("Separated by the network", prediction.multiplets)]
    if truth is not None:
        rows.append(("Truth: all that was mixed", maps.with_unshown(truth)))
    return maps.area_maps(
        rows,
        library.axis,
        theme,
        maps.all_headings(prediction, library.names, truth),
        indices=prediction.outputs,
        cell=cell,
    )


def cell_trace(trace: CellTrace, kind: str, library: Library, theme: Theme = LIGHT) -> go.Figure:
    """Draw one cell from the mixture to the classes; `kind` is that of the network."""
    return activations.cell_trace(trace, library.names, kind, library.axis, theme)


def change(
    change: Comparison,
    library: Library,
    theme: Theme = LIGHT,
    cell: Cell | None = None,
    sides: tuple[str, str] = comparison.BEFORE_AFTER,
) -> go.Figure:
    """Draw the separated multiplets of two predictions and their difference."""
    return comparison.multiplet_change(change, library.names, library.axis, theme, sides, cell)


def confusion(result: Evaluation, library: Library, theme: Theme = LIGHT) -> go.Figure:
    """Draw how often each true compound is named as each compound."""
    counts = result.confusion()
    return classes.confusion(counts, (*library.names, "nothing")[: len(counts)], theme)


def robustness(sweep: str, theme: Theme = LIGHT) -> go.Figure:
    """Draw the packaged accuracies of all methods over one sweep."""
    results = measured()
    rows = curves.over_seeds(results[results["sweep"] == sweep])
    return curves.robustness(rows, SWEEPS[sweep].title, theme)
