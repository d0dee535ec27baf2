"""The main figure of each page: the page and its printed program call the same function."""

from functools import lru_cache

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from nmrclassify.evaluation.compare_predictions import Comparison
from nmrclassify.evaluation.filters import FilterPattern
from nmrclassify.evaluation.interpretation import Cell, CellTrace
from nmrclassify.evaluation.metrics import Evaluation
from nmrclassify.evaluation.robustness import SWEEPS, measured
from nmrclassify.mixtures.edits import Mixture
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.plots import activations, classes, comparison, curves, maps, mask_maps
from nmrclassify.plots.outputs import output_colours, output_names
from nmrclassify.plots.style import Theme

LIGHT = Theme()


def overview(
    mixture: Mixture,
    prediction: Prediction,
    truth: Truth | None,
    library: Library,
    theme: Theme = LIGHT,
    cell: Cell | None = None,
    patterns: list[FilterPattern] | None = None,
) -> go.Figure:
    """Draw mixture, masks, separated multiplets, truth and probabilities.

    The filters are sorted by `patterns`, if these are given.
    """
    return maps.overview(
        mixture.areas, prediction, library.names, library.axis, theme, truth, cell, patterns
    )


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
    patterns: list[FilterPattern],
    library: Library,
    theme: Theme = LIGHT,
    cell: Cell | None = None,
    sort: bool = True,
    show_weak: bool = False,
    only_wrong: bool = False,
) -> go.Figure:
    """Draw the mask of each output, the ideal mask and their difference below each other.

    The parameters are those of `mask_maps.masks_beside_ideal`.
    """
    return mask_maps.masks_beside_ideal(
        prediction,
        ideal,
        patterns,
        classes.headings(prediction, library.names, truth),
        output_names(prediction, library.names),
        output_colours(prediction, library.names),
        library.axis,
        theme,
        cell,
        sort,
        show_weak,
        only_wrong,
    )


def separation(
    prediction: Prediction,
    truth: Truth | None,
    library: Library,
    theme: Theme = LIGHT,
    cell: Cell | None = None,
) -> go.Figure:
    """Draw the separated multiplets of each output, the true ones, and the difference."""
    rows, difference = [("Separated by the network", prediction.multiplets)], None
    if truth is not None:
        rows.append(("Truth: all that was mixed", maps.with_unshown(truth)))
        difference = prediction.multiplets - truth.sources
    return maps.area_maps(
        rows,
        library.axis,
        theme,
        cell=cell,
        difference=difference,
        **maps.all_columns(prediction, library.names, truth),
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


@lru_cache(maxsize=len(SWEEPS))
def robustness_means(sweep: str) -> pd.DataFrame:
    """Return what `curves.over_seeds` does of one sweep of the packaged table; read-only."""
    rows = measured()
    return curves.over_seeds(rows[rows["sweep"] == sweep])


def robustness(sweep: str, theme: Theme = LIGHT) -> go.Figure:
    """Draw the packaged accuracies of all methods over one sweep."""
    return curves.robustness(robustness_means(sweep), SWEEPS[sweep].title, theme)
