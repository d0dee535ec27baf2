"""The network as one connected picture: stages and predictions -> what the component draws.

The result is plain data for JSON. `nmrclassify/ui/diagram.js` draws it, and computes no network.
"""

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from nmrclassify.evaluation.filters import FilterPattern, readable_order
from nmrclassify.evaluation.stages import Stage
from nmrclassify.networks.prediction import Prediction, Truth, percent
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.map_rows import centre_label
from nmrclassify.plots.outputs import output_colours, output_names
from nmrclassify.plots.style import HIGHLIGHT, PROBABILITIES, Theme, compound_colour, largest

STEPS = 2**15 - 1  # of a value sent as a whole number: the largest of its stage
COLOURS = 64  # of a scale


@dataclass(frozen=True)
class _Kind:
    """How the stages of one kind are drawn.

    Attributes
    ----------
    column : int
        From the left; blocks take one column for each stack.
    box : str
        Which of the three boxes holds it: "apart", "mask" or "together"; the mixture is in none.
    scale : str
        Its colours: "areas", "differences" or "mask".
    does : str
        What it does, for Play and for screen readers.
    folded : bool
        Whether it is drawn while its box is folded.
    """

    column: int
    box: str
    scale: str
    does: str
    folded: bool


_KINDS = {
    "mixture": _Kind(0, "", "areas", "The mixture: peak areas along the ppm axis.", True),
    "encoding": _Kind(
        1, "apart", "areas", "The encoder compares every position with its filters.", True
    ),
    "bottleneck": _Kind(
        2, "apart", "differences", "A norm and a 1x1 convolution leave fewer channels.", False
    ),
    "block": _Kind(
        3,
        "mask",
        "differences",
        "Each position is combined with those at distance {dilation} to either side.",
        False,
    ),
    "skip sum": _Kind(6, "mask", "differences", "The outputs of all blocks are added up.", False),
    "mask": _Kind(7, "mask", "mask", "A mask for each output: what belongs to its compound.", True),
    "separated": _Kind(8, "together", "areas", "Mask times encoding.", False),
    "multiplets": _Kind(9, "together", "areas", "The decoder turns it back into multiplets.", True),
    "classes": _Kind(10, "together", "mask", "The probability of each compound.", True),
}
BOXES = (
    ("apart", "1 Take apart"),
    ("mask", "2 Mask"),
    ("together", "3 Put together"),
)
_TITLES = {
    "mixture": "Mixture",
    "encoding": "Encoding",
    "bottleneck": "Bottleneck",
    "skip sum": "Sum of skips",
    "mask": "Mask",
    "separated": "Masked",
    "multiplets": "Separated",
    "classes": "Compounds",
}


def _kind(stage: Stage) -> str:
    if stage.dilation is not None:
        return "block"
    return stage.key if stage.output is None else stage.key.rpartition(" ")[0]


def _packed(values: np.ndarray, highest: float) -> str:
    """Return values as 16-bit whole numbers, little-endian, in base 64: exact to 1 in 30,000."""
    scaled = np.round(values / highest * STEPS).clip(-STEPS, STEPS).astype("<i2")
    return base64.b64encode(scaled.tobytes()).decode()


def _colours(scale: list | str) -> list[str]:
    """Return `COLOURS` colours of a scale as "#rrggbb"."""
    from plotly.colors import get_colorscale

    stops = get_colorscale(scale) if isinstance(scale, str) else scale
    places = [place for place, _ in stops]
    rgb = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in stops])
    at = np.linspace(0, 1, COLOURS)
    parts = np.stack([np.interp(at, places, rgb[:, i]) for i in range(3)], axis=1)
    return ["#" + "".join(f"{round(part):02x}" for part in row) for row in parts]


def describe_network(
    found: list[Stage],
    prediction: Prediction,
    truth: Truth | None,
    names: tuple[str, ...],
    axis: Axis,
    patterns: list[FilterPattern],
    n_layers: int,
    theme: Theme,
) -> dict[str, Any]:
    """Return all that the diagram draws.

    Parameters
    ----------
    found : list of Stage
        Of the outputs that `prediction` shows.
    truth : Truth, optional
        The sources matched to the outputs.
    names : tuple of str
        Of the compounds.
    patterns : list of FilterPattern
        What each filter responds to.
    n_layers : int
        Blocks in a stack.
    """
    order = readable_order(patterns)
    called = output_names(prediction, names)
    colours = output_colours(prediction, names)
    outputs = prediction.outputs.tolist()
    area = max(largest(stage.values) for stage in found if stage.rows == "peak")
    stages = []
    for stage in found:
        kind = _kind(stage)
        shown = _KINDS[kind]
        slot = None if stage.output is None else outputs.index(stage.output)
        column, row = shown.column, slot
        title, does = _TITLES.get(kind, ""), shown.does
        if stage.dilation is not None:
            stack, row = divmod(int(stage.key.split()[1]) - 1, n_layers)
            column += stack
            title, does = f"dilation {stage.dilation}", does.format(dilation=stage.dilation)
        ids = np.arange(len(stage.values))
        if stage.rows == "filter":
            ids = order
        highest = area if stage.rows == "peak" else largest(stage.values)
        if shown.scale == "mask":
            highest = 1.0
        scale = shown.scale
        if scale == "areas" and stage.rows == "filter" and stage.values.min() < 0:
            scale = "differences"  # a network of version 0.1
        size = "×".join(map(str, stage.values.shape[: 1 if kind == "classes" else 2]))
        name = "" if slot is None else called[slot]
        stages.append(
            {
                "key": stage.key,
                "kind": kind,
                "title": name if kind == "mask" else title,
                "name": name,
                "layer": stage.layer,
                "shape": size,
                "box": shown.box,
                "column": column,
                "row": row,
                "folded": shown.folded,
                "rows": stage.rows,
                "ids": ids.tolist(),
                "height": len(stage.values),
                "values": _packed(stage.values[ids], highest),
                "highest": highest,
                "scale": scale,
                "reach": stage.reach,
                "dilation": stage.dilation,
                "does": does,
                "class": None if slot is None else int(prediction.named[slot]),
                "colour": "" if slot is None else colours[slot],
                "text": _text(stage, title, name, does, prediction.class_names(names), axis),
            }
        )
    truths = []
    if truth is not None:
        for slot, output in enumerate(outputs):
            areas = truth.sources[slot]
            truths.append({"output": output, "height": len(areas), "values": _packed(areas, area)})
    classes = prediction.class_names(names)[: len(found[-1].values)]
    true_classes = [] if truth is None else [int(k) for k in np.flatnonzero(truth.counts > 0)]
    return {
        "stages": stages,
        "truths": truths,
        "outputs": outputs,
        "outputs_are_classes": prediction.outputs_are_classes,
        "trained": prediction.trained,
        "boxes": [{"key": key, "title": title} for key, title in BOXES],
        "positions": [centre_label(axis, i) for i in range(axis.n_positions)],
        "unit": axis.unit,
        "ends": [f"{axis.low:g}", f"{axis.high:g}"],
        "filters": [pattern.name for pattern in patterns],
        "classes": [
            {"name": name, "colour": compound_colour(k, len(names)), "true": k in true_classes}
            for k, name in enumerate(classes)
        ],
        "confidence": [percent(p) for p in prediction.confidence],
        "scales": {
            "areas": _colours(theme.areas),
            "differences": _colours(theme.differences),
            "mask": _colours(PROBABILITIES),
        },
        "theme": {
            "text": theme.text,
            "grid": theme.grid,
            "empty": theme.empty,
            "highlight": HIGHLIGHT,
            "dark": theme.dark,
            "large": theme.large,
        },
    }


def network_table(
    found: list[Stage], prediction: Prediction, names: tuple[str, ...], axis: Axis
) -> pd.DataFrame:
    """Return the values of all stages, one in each row.

    The columns are ``part, row, column, value``: the stage, its peak (from 1), filter, channel or
    compound, and the centre of the position on the axis (empty for a compound).
    """
    outputs, called = prediction.outputs.tolist(), output_names(prediction, names)
    classes = prediction.class_names(names)
    centres = [centre_label(axis, i) for i in range(axis.n_positions)]
    tables = []
    for stage in found:
        kind = _kind(stage)
        title = stage.key if kind == "block" else _TITLES[kind]
        if stage.output is not None:
            title += f" {stage.output + 1}: {called[outputs.index(stage.output)]}"
        rows, columns = stage.values.shape
        named: list[Any] = list(range(rows))
        if stage.rows == "class":
            named = list(classes[:rows])
        elif stage.rows == "peak":
            named = [row + 1 for row in named]
        tables.append(
            pd.DataFrame(
                {
                    "part": title,
                    "row": np.repeat(np.array(named, dtype=object), columns),
                    "column": centres * rows if stage.rows != "class" else "",
                    "value": stage.values.ravel(),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _text(
    stage: Stage, title: str, name: str, does: str, classes: tuple[str, ...], axis: Axis
) -> str:
    """Return a stage in words, for screen readers."""
    rows, columns = stage.values.shape
    row, column = np.unravel_index(np.abs(stage.values).argmax(), stage.values.shape)
    value = f"{stage.values[row, column]:.3g}"
    whose = f" of {name}" if name else ""
    if stage.rows == "class":
        return f"{title}{whose}: {does} The likeliest is {classes[row]}, {value}."
    return (
        f"{title}{whose}: {does} {rows} {stage.rows}s by {columns} positions. The strongest value"
        f" is {value}, {stage.rows} {row + (stage.rows == 'peak')} at"
        f" {centre_label(axis, int(column))}."
    )
