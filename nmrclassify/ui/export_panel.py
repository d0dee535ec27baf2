"""The panel Take it with you: the page's link, pictures, data, model and program."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from nmrclassify.files.tables import csv_text
from nmrclassify.plots.export import as_table
from nmrclassify.training import checkpoints
from nmrclassify.ui import charts, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.snippets import code, pages

_CSS = """
p { margin: 0 0 .35rem; font-size: .875rem;
  color: var(--st-text-color); font-family: var(--st-font); }
button { font: inherit; cursor: pointer;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: .4rem; padding: .1rem .5rem; }
button:hover, button:focus-visible {
  border-color: var(--st-primary-color); outline: 2px solid var(--st-primary-color); }
"""


@st.cache_resource(max_entries=1, show_spinner=False)
def _pictures() -> Callable[..., Any]:
    return st.components.v2.component(
        "nmrclassify_pictures",
        html="<div class='pictures'></div>",
        css=_CSS,
        js=Path(__file__).with_name("export_pictures.js").read_text(encoding="utf-8"),
    )


def _csv(key: str, pictures: dict[str, charts.Picture]) -> str:
    """Return the table of a picture of the page."""
    if key not in pictures:
        return "not on the page any more\n"
    picture = pictures[key]
    return csv_text(picture() if callable(picture) else as_table(picture))


def show(page: str, container: Any, view: View | None) -> None:
    """Draw the panel into `container`; its files are made when a button is pressed."""
    with container:
        panel = st.expander(
            "Take it with you", icon=":material/download:", key="take it", on_change="rerun"
        )
    if not panel.open:
        return
    with panel:
        address = st.context.url or ""
        query = "&".join(f"{key}={value}" for key, value in url_state.query().items())
        st.markdown("**Link** to this page as it is now")
        st.code(
            address.split("?")[0] + (f"?{query}" if query else ""), language=None, wrap_lines=True
        )
        keys = charts.shown_before()
        if keys:
            st.markdown("**Pictures** on this page")
            words = "" if view is None else f"{view.title}: {view.contents} · {view.model_name}"
            _pictures()(data=[[key, words] for key in keys], key="pictures")
            st.markdown("**Their data**")
            for key in keys:
                st.download_button(
                    f"{key} (CSV)",
                    partial(_csv, key, charts.shown()),
                    f"nmrclassify-{key.replace(' ', '-')}.csv",
                    "text/csv",
                    key=f"take {key}",
                    on_click="ignore",
                    icon=":material/table:",
                )
        if view is None:
            return
        st.markdown("**Model**")
        st.download_button(
            f"{view.model_name} (safetensors)",
            lambda: checkpoints.to_bytes(view.checkpoint),
            f"{view.dataset.preset}.safetensors",
            "application/octet-stream",
            key="take model",
            on_click="ignore",
            icon=":material/neurology:",
        )
        if page in pages():
            st.markdown("**Program** that draws this page's main picture")
            st.code(code(page, view), language="python", wrap_lines=True)


def show_program(text: str) -> None:
    """Show a program that draws the page, where the panel in the sidebar cannot write it."""
    with st.expander("As a Python program", icon=":material/code:"):
        st.code(text, language="python", wrap_lines=True)
