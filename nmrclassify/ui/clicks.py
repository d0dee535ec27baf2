"""Clicks on maps: the browser's message for a click, and the cell that it names.

Streamlit reports no click on a heatmap (streamlit#8760), and Plotly none on a blank cell. So the
browser computes the cell from the axes of the figure (`cell_panel.js`).
"""

from dataclasses import dataclass
from typing import Any

from nmrclassify.plots.map_rows import GAP


@dataclass(frozen=True)
class Click:
    """A clicked cell.

    Attributes
    ----------
    rows : str
        What the rows of its map are: the row name of a `MapRow`, "grid" (filters as small
        patterns), "steps" or "classes".
    row : int
        The filter, peak, channel, compound, class or training step.
    position : int or None
        On the axis.
    output : int or None
        Of the network.
    stage : str or None
        Of the network, as in `evaluation.stages`, where the map says it.
    """

    rows: str
    row: int
    position: int | None
    output: int | None
    stage: str | None = None


def decode(value: Any) -> Click | None:
    """Return the clicked cell of a browser's message; None where no figure could have sent it."""
    try:
        meta, row, column = value["meta"], int(value["row"]), int(value["column"])
        rows = str(meta["rows"] or "")
        if row < 0 or column < 0 or not rows:
            return None
        if rows == "steps":
            return Click(rows, int(meta["steps"][column]), None, None)
        if rows == "classes":  # each class is an output, or each row is
            return Click(rows, column, None, column if meta["outputs_are_classes"] else row)
        if rows == "grid":
            columns = int(meta["columns"])
            across = min(column // int(meta["width"]), columns - 1)
            at = row // int(meta["height"]) * columns + across
            return Click(rows, int(meta["ids"][at]), None, None)
        n = int(meta["positions"])
        number, place = divmod(column, n + GAP)
        if not 0 <= place < n:  # between two maps
            return None
        outputs = meta.get("outputs")
        output = None if outputs is None else int(outputs[number])
        stages = meta.get("stages")
        stage = str(stages[number]) if stages else None
        return Click(rows, int(meta["ids"][row]), n - 1 - place, output, stage)
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        ZeroDivisionError,
        OverflowError,
    ):
        return None
