"""Messages of the browser for the panel, and the cell that a link unfolds."""

from types import SimpleNamespace

import numpy as np
import pytest
import streamlit as st

from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.plots.arithmetic import CellOfStage
from nmrclassify.ui import cell_panel, url_state
from nmrclassify.ui.clicks import Click

VIEW = SimpleNamespace(
    followed_output=1,
    followed_cell=Cell(1, 4, 6),
    prediction=SimpleNamespace(encoding=np.eye(30)[:, ::-1]),  # filter n at position 29 - n
    checkpoint=SimpleNamespace(model=SimpleNamespace(outputs_are_classes=False)),
)


@pytest.fixture
def state(monkeypatch):
    state = {}
    monkeypatch.setattr(st, "session_state", state)
    return state


def test_a_chosen_cell_goes_into_the_link_and_to_the_maps_of_all_pages(state):
    assert cell_panel.choose({"key": "mask 2", "row": 43, "position": 12}, VIEW)
    assert url_state.query() == {
        "unfolded": "mask-2~43~12",
        "position": "12",
        "filter": "43",
        "output": "3",
    }
    assert cell_panel.choose({"key": "classes 1", "row": 4, "position": 0}, VIEW)
    assert url_state.query()["unfolded"] == "classes-1~4~0"
    assert url_state.query()["position"] == "12"  # a class has none
    assert not cell_panel.choose({"key": ""}, VIEW)
    assert "unfolded" not in url_state.query()
    assert cell_panel.choose({"key": "usual"}, VIEW)
    assert url_state.query()["unfolded"] == "mask-1~4~6"


@pytest.mark.parametrize("key", ["skip sum", "block 12", "residual 3", "mixture", "separated 10"])
def test_the_text_of_a_cell_gives_the_cell(key):
    cell = CellOfStage(key, 5, 7)
    text = cell_panel._to_text(cell)
    assert url_state.PARAMETERS["unfolded"].parse(text) == text
    assert cell_panel._from_text(text) == cell


@pytest.mark.parametrize(
    "message",
    [
        None,
        5,
        {},
        {"key": "mask 0"[:3] * 50, "row": 1, "position": 1},
        {"key": "mask 0", "row": "x", "position": 1},
        {"key": "mask 0", "row": -1, "position": 1},
        {"key": "mask 0", "row": 1, "position": None},
        {"key": "<script>", "row": 1, "position": 1},
        {"key": "mask 0", "row": float("inf"), "position": 1},
    ],
)
def test_messages_that_no_map_can_send_change_nothing(state, message):
    assert not cell_panel.choose(message, VIEW)
    assert url_state.query() == {}


@pytest.mark.parametrize(
    ("click", "cell"),
    [
        (Click("filter", 5, 3, 2), CellOfStage("mask 2", 5, 3)),
        (Click("filter", 5, 3, None), CellOfStage("encoding", 5, 3)),
        (Click("peak", 1, 4, 2), CellOfStage("multiplets 2", 1, 4)),
        (Click("peak", 1, 4, None), CellOfStage("encoding", 25, 4)),  # the strongest filter
        (Click("compound", 6, 4, None), CellOfStage("encoding", 25, 4)),
        (Click("channel", 6, 4, None, "block 3"), CellOfStage("block 3", 6, 4)),
        (Click("grid", 31, None, None), CellOfStage("encoding", 31, 6)),
        (Click("classes", 8, None, 0), CellOfStage("classes 0", 8, 0)),
    ],
)
def test_a_click_on_any_map_unfolds_the_cell_that_it_stands_for(click, cell):
    assert cell_panel.cell_of(click, VIEW) == cell


def test_a_click_in_a_history_chooses_the_step(state):
    assert not cell_panel.choose_clicked(Click("steps", 120, None, None), VIEW, "pages/travel.py")
    assert url_state.query() == {"step": "120"}


@pytest.mark.parametrize("page", ["pages/whatif.py", "pages/quiz.py"])
def test_where_a_click_has_another_meaning_it_chooses_the_position_only(state, page):
    assert not cell_panel.choose_clicked(Click("peak", 1, 4, None), VIEW, page)
    assert url_state.query() == {"position": "4"}


def test_a_click_that_no_figure_can_send_unfolds_nothing(state):
    forged = Click("channel", 6, 4, None, "<script>")
    assert not cell_panel.choose_clicked(forged, VIEW, "pages/inside.py")
    assert url_state.query() == {}
