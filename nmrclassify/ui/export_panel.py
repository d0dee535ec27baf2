"""Take it with you: the link, the program, and every picture and its data of the page that is shown."""

import streamlit as st

from nmrclassify.plots.export import as_table
from nmrclassify.training import checkpoints
from nmrclassify.ui import charts, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.snippets import code, pages

# Plotly's own camera button makes the file; it is told the format and pressed, since it cannot be
# reached by keyboard.
_PICTURES = """
export default function({ data, parentElement }) {
  const root = parentElement.querySelector('div');
  root.replaceChildren();
  for (const key of data) {
    const row = document.createElement('p');
    row.append(key + ' ');
    for (const format of ['png', 'svg']) {
      const button = document.createElement('button');
      button.textContent = format.toUpperCase();
      button.setAttribute('aria-label', `${key} as ${format.toUpperCase()}`);
      button.onclick = () => {
        const plot = document.querySelector(`.st-key-${key.replace(/[^\\w-]/g, '-')} .js-plotly-plot`);
        const camera = plot?.querySelector('.modebar-btn[data-title*="Download"], .modebar-btn[aria-label*="Download"]');
        if (!camera) return;
        plot._context.toImageButtonOptions = { format, filename: `nmrclassify-${key.replace(/[^\\w-]/g, '-')}`, scale: 2 };
        camera.click();
      };
      row.append(button, ' ');
    }
    root.append(row);
  }
}
"""
_CSS = """
p { margin: 0 0 .35rem; font-size: .875rem; color: var(--st-text-color); font-family: var(--st-font); }
button { font: inherit; color: var(--st-text-color); background: var(--st-background-color); cursor: pointer;
  border: 1px solid var(--st-border-color); border-radius: .4rem; padding: .1rem .5rem; }
button:hover, button:focus-visible { border-color: var(--st-primary-color); outline: 2px solid var(--st-primary-color); }
"""


@st.cache_resource(max_entries=1, show_spinner=False)
def _pictures():
    return st.components.v2.component(
        "nmrclassify_pictures", html="<div></div>", css=_CSS, js=_PICTURES
    )


def place(page: str, container, view: View | None) -> None:
    """Draw the panel into `container`; what it offers is made when it is asked for."""
    with container:
        panel = st.expander(
            "Take it with you", icon=":material/download:", key="take it", on_change="rerun"
        )
    if not panel.open:
        return
    with panel:
        address = st.context.url or ""
        query = "&".join(f"{key}={value}" for key, value in url_state.query().items())
        st.markdown("**Link** to just this")
        st.code(
            address.split("?")[0] + (f"?{query}" if query else ""), language=None, wrap_lines=True
        )
        keys, shown = charts.shown_before(), charts.shown()
        if keys:
            st.markdown("**Pictures** on this page")
            _pictures()(data=keys, key="pictures")
            st.markdown("**Their data**")
            for key in keys:
                # Asked for after the page is drawn, so that the table is of what is seen now.
                st.download_button(
                    f"{key} (CSV)",
                    lambda key=key: (
                        as_table(shown[key]).to_csv(index=False)
                        if key in shown
                        else "not on the page any more\n"
                    ),
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
            st.code(code(page, view.recipe), language="python", wrap_lines=True)


def program(text: str) -> None:
    """Offer a program that reproduces what a page shows, where the page knows more than the panel in the sidebar."""
    with st.expander("The same as a Python program", icon=":material/code:"):
        st.code(text, language="python", wrap_lines=True)
