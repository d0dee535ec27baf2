"""The first visit: the offer of a lesson or a tour, and the tour of five steps."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from nmrclassify.lessons import LESSONS
from nmrclassify.ui import browser_memory, charts, lesson_card, session, url_state

_KEPT = "offer"  # the cookie that says that the offer was answered


@dataclass(frozen=True)
class Stop:
    """A step of the tour: its page, one sentence, and the key of the element that it frames."""

    page: str
    text: str
    framed: str


STOPS = (
    Stop(
        "app.py",
        "This is the network: a mixture enters at the left, and its compounds leave at the right.",
        "network",
    ),
    Stop(
        "pages/mixtures.py",
        "Choose a mixture in the sidebar, or go through them with *Previous* and *Next*.",
        "spectrum",
    ),
    Stop(
        "pages/masks.py",
        "Masks divide each multiplet among the compounds; the truth is below the line.",
        "shares",
    ),
    Stop(
        "pages/train.py",
        "Press *Start* to train a network of your own, and watch it learn.",
        "",
    ),
    Stop(
        "pages/lessons.py",
        "A lesson explains one thing step by step; each step asks a question first.",
        "",
    ),
)
_FRAME = """<style>.st-key-{key} {{ outline: 3px solid #E69F00; outline-offset: 3px;
  border-radius: .3rem; }}</style>"""


def _is_first_visit(page: str) -> bool:
    """Return whether a session begins on the first page, without a link's state, in a new browser.

    A browser is not new if it has answered the offer or has a visit.
    """
    known = browser_memory.recall(_KEPT) or session.COOKIE in st.context.cookies
    return page == "app.py" and not url_state.query() and not known


def _answer() -> None:
    st.session_state["offer"] = False


def _go(i: int | None) -> None:
    """Go to a step of the tour; None ends it."""
    st.session_state["tour"] = i
    if i is not None:
        st.switch_page(STOPS[i].page, query_params=url_state.query())
    st.rerun()


def show(page: str) -> None:
    """Draw the offer on a first visit, or the step of the tour that this page is."""
    state = st.session_state
    if "offer" not in state:
        state["offer"] = _is_first_visit(page)
        state["first visit"] = state["offer"]
    if state["offer"] and page != "app.py":
        state["offer"] = False  # another page was opened: the visitor has found the way
    if state["first visit"] and not state["offer"]:
        browser_memory.remember(_KEPT, "answered")
    if state["offer"]:
        _offer()
    i = state.get("tour")
    if i is None:
        return
    if STOPS[i].page != page:
        state["tour"] = None  # the visitor went elsewhere
        return
    _step(i)


def _offer() -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="offer"):
        st.markdown("**New here?**", width="content")
        # On the dark theme, white on light blue is too faint.
        kind: Literal["primary", "secondary"] = "secondary" if charts.theme().dark else "primary"
        if st.button("Start with lesson 1", icon=":material/school:", type=kind):
            _answer()
            lesson_card.begin(next(iter(LESSONS)))
        if st.button("Show me around", icon=":material/tour:"):
            _answer()
            _go(0)
        st.button("No, thanks", icon=":material/close:", type="tertiary", on_click=_answer)


def _step(i: int) -> None:
    if STOPS[i].framed:
        with st.sidebar:  # at its end: an element without a size still gets a gap
            st.html(_FRAME.format(key=STOPS[i].framed))
    with st.container(horizontal=True, vertical_alignment="center", border=True, key="tour"):
        st.markdown(f"**{i + 1} of {len(STOPS)}.** {STOPS[i].text}", width="stretch")
        last = i + 1 == len(STOPS)
        if not last and st.button(
            "Go on", icon=":material/chevron_right:", icon_position="right", shortcut="Alt+N"
        ):
            _go(i + 1)
        if st.button("Close the tour", icon=":material/close:", type="tertiary"):
            _go(None)
