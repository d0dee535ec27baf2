"""The arithmetic of a cell: stages and sums -> sentences and numbers, which a panel draws.

The result is plain data for JSON. `nmrclassify/ui/cell_panel.js` draws it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nmrclassify.evaluation.filters import FilterPattern, readable_order
from nmrclassify.evaluation.stages import Arithmetic, Stage, Term
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.map_rows import centre_label

# The way of a value through the network, and what the steps are called.
STEPS = {
    "mixture": "Mixture",
    "encoding": "Encoding",
    "bottleneck": "Bottleneck",
    "block": "Block",
    "residual": "Block",
    "skip sum": "Sum of skips",
    "mask": "Mask",
    "separated": "Mask × encoding",
    "multiplets": "Separated",
    "classes": "Compounds",
}


@dataclass(frozen=True)
class CellOfStage:
    """A cell of a stage of `evaluation.stages`; classes have position 0."""

    key: str
    row: int
    position: int

    @property
    def kind(self) -> str:
        """The key without the number of its output or block: "mask", "block"."""
        return self.key if self.key in STEPS else self.key.rpartition(" ")[0]

    @property
    def number(self) -> str:
        """The number in the key; empty where it has none."""
        return "" if self.key in STEPS else self.key.rpartition(" ")[2]

    def as_data(self) -> dict[str, Any]:
        """Return the cell as plain data."""
        return {"key": self.key, "row": self.row, "position": self.position}


@dataclass(frozen=True)
class Words:
    """What positions, filters, outputs and classes of a network are called."""

    axis: Axis
    patterns: list[FilterPattern]
    classes: tuple[str, ...]
    output: Callable[[int], str]

    def at(self, position: int) -> str:
        """Return a position in words."""
        return f"at {centre_label(self.axis, position)}"

    def filter(self, number: int) -> str:
        """Return a filter with the multiplet to which it responds."""
        return f"filter {number} ({self.patterns[number].name})"

    def sentence(self, cell: CellOfStage, value: float, dilation: int | None = None) -> str:
        """Return the value of a cell as a sentence."""
        row, at, number = cell.row, self.at(cell.position), f"{value:.3g}"
        block = f"block {cell.number}" + (f" (dilation {dilation})" if dilation else "")
        match cell.kind:
            case "mixture":
                return f"The mixture has the area {number} in peak {row + 1} {at}."
            case "encoding":
                return f"The encoding by {self.filter(row)} {at} is {number}."
            case "bottleneck":
                return f"Channel {row} of the bottleneck {at} is {number}."
            case "block":
                return f"Channel {row} of {block} {at} is {number}."
            case "residual":
                return f"To channel {row} of its input {at}, {block} adds {number}."
            case "skip sum":
                return f"Channel {row} of the sum of skips {at} is {number}."
        whose = self.output(int(cell.number))
        match cell.kind:
            case "mask":
                return f"The mask of {whose} passes {value:.1%} of {self.filter(row)} {at}."
            case "separated":
                return f"Of {self.filter(row)} {at}, {number} is left for {whose}."
            case "multiplets":
                return f"Peak {row + 1} of the separated {whose} {at} has the area {number}."
        named = self.classes[row]
        where = "" if whose == named else f" in the output {whose}"
        return f"The probability of {named}{where} is {value:.1%}."

    def term(self, name: str) -> str:
        """Return the name of a term with what its filter or position is called."""
        kind, _, rest = name.partition(" ")
        number, comma, more = rest.partition(",")
        if kind == "filter" and number.isdigit():
            return self.filter(int(number)) + comma + more
        if kind == "position" and number.isdigit():
            return centre_label(self.axis, int(number)) + comma + more
        return name

    def arithmetic(self, cell: Arithmetic) -> dict[str, Any]:
        """Return how one value is computed, as plain data."""
        window = None
        if cell.window is not None:
            window = {
                "weights": cell.window.weights.tolist(),
                "inputs": cell.window.inputs.tolist(),
                "rows": list(cell.window.rows),
                "columns": list(cell.window.columns),
            }
        return {
            "rule": cell.rule,
            "terms": [self._term(term) for term in cell.terms],
            "bias": cell.bias,
            "total": cell.total,
            "after": [{"name": name, "value": value} for name, value in cell.after],
            "window": window,
            "before": None if cell.before is None else self.arithmetic(cell.before),
            "result": cell.result,
        }

    def _term(self, term: Term) -> dict[str, Any]:
        name, product = self.term(term.name), term.product
        return {"name": name, "weight": term.weight, "value": term.value, "product": product}


def row_order(stage: Stage, patterns: list[FilterPattern]) -> list[int]:
    """Return the rows of a stage as maps show them from top to bottom."""
    if stage.rows == "filter":
        return readable_order(patterns).tolist()
    return list(range(len(stage.values)))


def way_of(
    cell: CellOfStage, found: dict[str, Stage], output: int, position: int, n_filter: int | None
) -> list[CellOfStage]:
    """Return the cells through which the value of a cell goes, from the mixture to the classes.

    A step has the row of the cell where it counts the same rows, or else its strongest row there.

    Parameters
    ----------
    found : dict of str to Stage
        The stages by their keys, with those of `output`.
    output, position : int
        Of the way; `position` where the cell is a class.
    n_filter : int, optional
        The filter of the way where the cell has none; the strongest there by default.
    """
    at = position if cell.kind == "classes" else cell.position
    rows, way = found[cell.key.replace("residual", "block")].rows, []
    for kind in STEPS:
        if kind in ("block", "residual") and kind != cell.kind:
            continue
        key = kind
        if kind in ("mask", "separated", "multiplets", "classes"):
            key = f"{kind} {output}"
        elif kind == cell.kind:
            key = cell.key
        if key == cell.key:
            way.append(cell)
            continue
        stage = found[key]
        if stage.rows == "class":
            # An output of queries has a class of its own.
            own = output if stage.layer == "sigmoid" else int(stage.values[:, 0].argmax())
            way.append(CellOfStage(key, own, 0))
            continue
        row = int(np.abs(stage.values[:, at]).argmax())
        if stage.rows == "filter":
            row = int(np.abs(found["encoding"].values[:, at]).argmax())
        if stage.rows == "filter" and n_filter is not None and rows != "filter":
            row = n_filter
        if stage.rows == rows:
            row = cell.row
        way.append(CellOfStage(key, row, at))
    return way
