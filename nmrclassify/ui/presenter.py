"""Presenter mode: large type and no controls, for a projector."""

import streamlit as st

from nmrclassify.ui import url_state

_LARGE = """
<style>
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"],
[data-testid="stSidebarCollapsedControl"] { display: none; }
.stMainBlockContainer { max-width: 1500px; padding-left: 2.5rem; padding-right: 2.5rem; }
.stMainBlockContainer [data-testid="stMarkdownContainer"] p,
.stMainBlockContainer [data-testid="stMarkdownContainer"] li,
.stMainBlockContainer label p { font-size: 1.35rem; line-height: 1.5; }
.stMainBlockContainer [data-testid="stCaptionContainer"] p { font-size: 1.15rem; }
.stMainBlockContainer button p { font-size: 1.2rem; }
</style>
"""


def switch() -> None:
    """Draw the switch in the sidebar."""
    st.button(
        "Presenter mode",
        on_click=url_state.put,
        args=("presenter", True),
        icon=":material/present_to_all:",
        width="stretch",
        help="Large text without controls (Alt+P)",
    )


def apply() -> None:
    """In presenter mode, enlarge the text, hide the controls and draw the button that leaves it."""
    if url_state.get("presenter"):
        st.html(_LARGE)
        st.button(
            "Leave presenter mode",
            on_click=url_state.put,
            args=("presenter", None),
            icon=":material/close_fullscreen:",
            shortcut="Alt+P",
            type="tertiary",
        )
