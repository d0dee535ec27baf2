"""The browser's message for each cell is read as that cell; any other message as no click."""

import itertools
import json

import numpy as np
import pytest

from nmrclassify.nmr.axis import Axis
from nmrclassify.plots.map_rows import GAP, MapRow, stack
from nmrclassify.plots.style import ColourScale, Theme
from nmrclassify.ui.clicks import Click, decode

META = {
    "rows": "filter",
    "ids": [2, 0, 1],
    "positions": 5,
    "root": False,
    "title": "",
    "outputs": [7, 3],
}
GRID = {"rows": "grid", "ids": [3, 6, 0, 5, 1, 2, 4], "columns": 3, "height": 4, "width": 4}
STEPS = {"rows": "steps", "steps": [0, 1, 5]}


def message(meta, row, column):
    """Return what a click sends, as JSON would carry it."""
    return json.loads(json.dumps({"chart": "masks", "meta": meta, "row": row, "column": column}))


def test_a_click_on_every_cell_of_a_row_names_it():
    maps = np.arange(2 * 3 * 5).reshape(2, 3, 5)  # each value occurs once
    ids = np.array([2, 0, 1])
    row = MapRow(
        "",
        maps[:, ids],
        ColourScale("", 0, 30, "Viridis"),
        "filter",
        indices=np.array([7, 3]),
        ids=ids,
    )
    (trace,) = stack([row], Axis(5, 0.0, 5.0), Theme()).data
    clicked = set()
    for i, j in np.ndindex(*trace.z.shape):
        click = decode(message(trace.meta, i, j))
        if np.isnan(trace.z[i, j]):
            assert click is None
            continue
        assert maps[[7, 3].index(click.output), click.row, click.position] == trace.z[i, j], (
            f"row {i}, column {j}"
        )
        clicked.add(click)
    assert len(clicked) == maps.size
    assert {click.rows for click in clicked} == {"filter"}


def test_maps_of_no_output_give_none():
    click = decode(message(META | {"outputs": None}, 0, 0))
    assert click == Click("filter", 2, 4, None)
    assert decode(message({k: v for k, v in META.items() if k != "outputs"}, 1, 4)) == Click(
        "filter", 0, 0, None
    )


def test_between_two_maps_there_is_no_cell():
    for step in range(GAP):
        assert decode(message(META, 0, 5 + step)) is None


def test_a_grid_gives_the_filter_and_a_history_the_step():
    filters = [decode(message(GRID, 4 * (i // 3), 4 * (i % 3) + 1)) for i in range(9)]
    assert filters == [Click("grid", i, None, None) for i in GRID["ids"]] + [None, None]
    assert [decode(message(STEPS, 0, i)) for i in range(3)] == [
        Click("steps", s, None, None) for s in (0, 1, 5)
    ]
    assert decode(message(STEPS, 0, 3)) is None


ODD = (
    None,
    True,
    -1,
    0,
    1,
    2**63,
    -(2**63),
    10**400,
    1.5,
    -0.5,
    1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
    "",
    "1",
    "x",
    "9" * 5000,
    [],
    [1],
    {},
    {"a": 1},
    [[]],
    {"meta": None},
    b"1",
)


@pytest.mark.parametrize("base", [META, GRID, STEPS])
def test_forged_messages_give_a_click_or_nothing(base):
    keys = (*base, "rows", "ids", "positions", "outputs")
    for key, odd in itertools.product(keys, ODD):
        for row, column in ((0, 0), (2, 10), (-1, -2)):
            click = decode({"meta": base | {key: odd}, "row": row, "column": column})
            assert click is None or isinstance(click, Click)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:12])
def test_forged_places_give_a_click_or_nothing(odd):
    for base in (META, GRID, STEPS):
        for value in (
            {"meta": base, "row": odd, "column": 0},
            {"meta": base, "row": 0, "column": odd},
            {"meta": odd, "row": 0, "column": 0},
            odd,
        ):
            click = decode(value)
            assert click is None or isinstance(click, Click)


def test_numbers_beyond_json_give_a_click_or_nothing():
    # The standard reader of JSON makes infinity of a number that is too large.
    for text in (
        '{"meta": %s, "row": 1e999, "column": 0}',
        '{"meta": %s, "row": 0, "column": -1e999}',
        '{"meta": %s, "row": 0, "column": NaN}',
    ):
        for base in (META, GRID, STEPS):
            click = decode(json.loads(text % json.dumps(base)))
            assert click is None or isinstance(click, Click)


def test_a_click_holds_whole_numbers_only():
    for base, row, column in ((META, "1", "3"), (META, 1.0, 3.0), (GRID, 4, 5.0), (STEPS, 0, "2")):
        click = decode(message(base, row, column))
        assert type(click.row) is int
        assert type(click.position) in (int, type(None))
        assert type(click.output) in (int, type(None))
