"""How a figure calls and colours the outputs of a network: after the compounds that they name."""

from collections import Counter

import numpy as np

from nmrclassify.networks.prediction import Prediction, Truth
from nmrclassify.plots.style import compound_colour


def output_names(prediction: Prediction, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name for each output, no two alike, as `name_outputs`."""
    return name_outputs(
        prediction.output_classes, prediction.outputs, prediction.class_names(names)
    )


def name_outputs(
    classes: np.ndarray, outputs: np.ndarray, class_names: tuple[str, ...]
) -> tuple[str, ...]:
    """Return a name for each output, no two alike: the class that it names.

    Where two outputs name the same class, their numbers are added: "ethanol (output 2)". An output
    that names nothing has its number only.

    Parameters
    ----------
    classes : ndarray, shape (M,)
        -1 where an output names nothing.
    outputs : ndarray, shape (M,)
        The numbers of the outputs, from 0.
    """
    numbers = [f"output {output + 1}" for output in outputs]
    named = [
        class_names[k] if k >= 0 else number for k, number in zip(classes, numbers, strict=True)
    ]
    return distinct(named, numbers)


def true_names(truth: Truth, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return a name for the source of each output, then for those without one; no two alike."""
    labels = [*truth.labels, *truth.unshown_labels]
    called = [names[k] if k < len(names) else "unknown" for k in labels]
    return distinct(called, [str(i + 1) for i in range(len(called))])


def output_colours(
    prediction: Prediction, names: tuple[str, ...], truth: Truth | None = None
) -> tuple[str, ...]:
    """Return the colour of each output: that of the compound that it names.

    With `truth`, the colours of the sources without an output follow.
    """
    labels = [
        *prediction.output_classes,
        *(() if truth is None else truth.unshown_labels),
    ]
    return tuple(compound_colour(int(k), len(names)) for k in labels)


def distinct(names: list[str], marks: list[str]) -> tuple[str, ...]:
    """Return names, with their mark in brackets where two are alike."""
    times = Counter(names)
    return tuple(
        name if times[name] == 1 else f"{name} ({mark})"
        for name, mark in zip(names, marks, strict=True)
    )
