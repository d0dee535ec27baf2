"""Only a term of the glossary opens it."""

from types import SimpleNamespace

import pytest
import streamlit as st

from nmrclassify.lessons.glossary import TERMS
from nmrclassify.ui import glossary_links


@pytest.mark.parametrize(
    ("message", "chosen"),
    [("mask", "mask"), ("si-sdr-improvement", "si-sdr-improvement"), ("x", None), (None, None)],
)
def test_a_message_names_a_term_or_nothing(monkeypatch, message, chosen):
    state = {"glossary links": SimpleNamespace(term=message)}
    monkeypatch.setattr(st, "session_state", state)
    glossary_links._choose()
    assert state.get("glossary term") == chosen


def test_every_term_can_be_chosen(monkeypatch):
    for term in TERMS.values():
        state = {"glossary links": SimpleNamespace(term=term.anchor)}
        monkeypatch.setattr(st, "session_state", state)
        glossary_links._choose()
        assert state["glossary term"] == term.anchor
