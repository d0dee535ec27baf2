"""Write docs/results.md from docs/results/*.json (seconds); it measures nothing.

A file is what `bench NAME --out docs/results/NAME.json` writes; it may have a `title` and `notes`
too. For `robustness` and `growth` the table is the packaged CSV file.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from nmrclassify.evaluation import robustness
from nmrclassify.plots import growth

FOLDER = Path(__file__).parents[2] / "docs" / "results"
HEADER = """# Results

`python -m nmrclassify bench results` writes this page from `docs/results/*.json`: edit those files,
not this page. "Unseen" compositions never occur in training.
"""


def _robustness() -> pd.DataFrame:
    """Return the share of mixtures wholly right in %, mean of the seeds, one column a method.

    The last columns are the calibration of queries: the expected calibration error, and the share
    of wrong among the compounds that they name with a probability of 90 % or more.
    """
    rows = robustness.measured()
    means = rows.pivot_table("exact_match", ["sweep", "value"], "method") * 100
    networks = [name for name in robustness.NETWORKS if name in means]
    means = means[[*networks, *means.columns.difference(networks)]]
    sweeps = [name for name in robustness.SWEEPS if name in means.index]
    of_queries = rows[rows["method"] == "queries"].groupby(["sweep", "value"])
    calibration = of_queries[["calibration_error", "confident_wrong"]].mean() * 100
    calibration.columns = ["queries: calibration error", "queries: wrong of those named at 90 %"]
    table = means.round(1).join(calibration.round(2)).loc[sweeps].reset_index()
    return table.assign(sweep=[robustness.SWEEPS[name].title for name in table["sweep"]])


PACKAGED: dict[str, Callable[[], pd.DataFrame]] = {
    "robustness": _robustness,
    "growth": growth.measured,
}


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|")


def _table(rows: list[dict]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_text(row.get(key)) for key in columns] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _tables(result: dict, name: str = "") -> Iterator[str]:
    """Yield a table of the single values of a result, then one of each list of rows in it."""
    nested = {}
    for key, value in result.items():
        if isinstance(value, dict) or (
            isinstance(value, list) and value and isinstance(value[0], dict)
        ):
            nested[key] = value
    single = [{"what": key, "figure": result[key]} for key in result if key not in nested]
    heading = [f"{name}:\n"] if name else []
    if single:
        yield "\n".join([*heading, _table(single)])
    for key, value in nested.items():
        path = f"{name}, {key}" if name else key
        if isinstance(value, dict):
            yield from _tables(value, path)
        else:
            yield "\n".join([*([] if key == "table" else [f"{path}:\n"]), _table(value)])


def section(name: str, entry: dict) -> str:
    """Return the heading, notes, tables and origin of one measurement as Markdown."""
    result = dict(entry)
    origin, title = result.pop("measured_with"), result.pop("title", name)
    notes = result.pop("notes", [])
    if name in PACKAGED:
        result = {"table": PACKAGED[name]().to_dict("records")}
    seeds = origin["seeds"]
    parts = [
        f"`{origin['command']}`",
        f"{'seed' if len(seeds) == 1 else 'seeds'} {_text(seeds)}" if seeds else "no seed",
        f"version {origin['version']}",
        origin["date"],
        origin["machine"],
    ]
    if "taken_over_from" in origin:
        parts.append(f"taken over from {origin['taken_over_from']}, not measured anew")
    return "\n\n".join([f"## {title}", *notes, *_tables(result), f"*{'; '.join(parts)}.*"])


def page() -> str:
    """Return the text of docs/results.md.

    Raises
    ------
    ValueError
        If there are no results.
    """
    paths = sorted(FOLDER.glob("*.json"))
    if not paths:
        raise ValueError(
            f"no results in {FOLDER}; run this command in a checkout of the repository"
        )
    sections = [section(path.stem, json.loads(path.read_text())) for path in paths]
    return "\n\n".join([HEADER.strip(), *sections]) + "\n"


def run() -> dict:
    """Write the page; return its path and the number of results."""
    path = FOLDER.with_suffix(".md")
    path.write_text(page())
    return {"page": str(path), "results": len(list(FOLDER.glob("*.json")))}
