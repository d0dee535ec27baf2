"""What the tests of figures share: predictions to draw, and what a figure says about its cells."""

import json
from typing import NamedTuple

import numpy as np
import pytest

from nmrclassify.evaluation.prediction import match_truth
from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.nmr.library import Library
from nmrclassify.plots.style import HIGHLIGHT
from nmrclassify.ui.clicks import decode


class Case(NamedTuple):
    """A mixture (P, L), the prediction of a model, the truth and the library."""

    areas: np.ndarray
    prediction: Prediction
    truth: Truth
    library: Library


def _case(checkpoint, quick) -> Case:
    mixtures = quick.test_mixtures()
    areas, sources, labels = mixtures.areas[0], mixtures.sources[0], mixtures.labels[0]
    prediction = checkpoint.model.predict(areas)
    amounts = mixtures.concentrations[0]
    truth = match_truth(prediction, areas, sources, labels, 1.0, None, amounts)
    return Case(areas, prediction, truth, quick.library)


@pytest.fixture
def slots(trained, quick) -> Case:
    return _case(trained, quick)


@pytest.fixture
def queries(learned, quick) -> Case:
    return _case(learned, quick)


@pytest.fixture
def clicks():
    """Return a function: what a click on each cell of a trace means, by (row, column)."""

    def clicks(trace):
        meta = json.loads(json.dumps(trace.meta))  # as the browser sends it
        return {
            (i, j): decode({"meta": meta, "row": i, "column": j})
            for i, j in np.ndindex(*np.shape(trace.z))
        }

    return clicks


@pytest.fixture
def frames():
    """Return a function: the frames (left, right, top, bottom) on one pair of axes."""

    def frames(figure, yaxis="y"):
        return [
            (shape.x0, shape.x1, shape.y0, shape.y1)
            for shape in figure.layout.shapes
            if shape.line.color == HIGHLIGHT and (shape.yref or "y") == yaxis
        ]

    return frames


@pytest.fixture
def headings():
    """Return a function: the headings above the maps of a figure, each in one line."""

    def headings(figure):
        return [
            note.text.replace("<br>", " ").replace("\xa0", " ")
            for note in figure.layout.annotations
            if note.bgcolor
        ]

    return headings


@pytest.fixture
def values():
    """Return a function: the values of a map, on whatever scale it is drawn."""

    def values(trace):
        z = np.asarray(trace.z, dtype=float)
        return np.sign(z) * z**2 if trace.meta["root"] else z

    return values
