"""Messages of the network's picture, and the cell that a link unfolds."""

import pytest
import streamlit as st

from nmrclassify.ui import diagram, url_state


@pytest.fixture
def state(monkeypatch):
    state = {}
    monkeypatch.setattr(st, "session_state", state)
    return state


def test_a_chosen_cell_goes_into_the_link_and_to_the_other_pages(state):
    diagram.choose({"key": "mask 2", "row": 43, "position": 12})
    assert url_state.query() == {
        "unfolded": "mask-2~43~12",
        "position": "12",
        "filter": "43",
        "output": "3",
    }
    diagram.choose({"key": "classes 1", "row": 4, "position": 0})
    assert url_state.query()["unfolded"] == "classes-1~4~0"
    assert url_state.query()["position"] == "12"  # a class has none
    diagram.choose({"key": ""})
    assert "unfolded" not in url_state.query()


@pytest.mark.parametrize("key", ["skip sum", "block 12", "mixture", "separated 10"])
def test_the_text_of_a_cell_gives_the_cell(key):
    text = diagram._to_text(key, 5, 7)
    assert url_state.PARAMETERS["unfolded"].parse(text) == text
    assert diagram._from_text(text) == (key, 5, 7)


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
def test_messages_that_the_picture_cannot_send_change_nothing(state, message):
    diagram.choose(message)
    assert url_state.query() == {}
