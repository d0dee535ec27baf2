"""The button that copies the link to the page as it is now."""

from collections.abc import Callable
from typing import Any

import streamlit as st

# Without a secure connection a browser has no `navigator.clipboard`.
_COPY = """
export default function({ parentElement }) {
  const button = parentElement.querySelector('button');
  const say = (text) => {
    button.textContent = text;
    setTimeout(() => { button.textContent = 'Copy link'; }, 3000);
  };
  const by_selection = (text) => {
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  };
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      say('Link copied');
    } catch {
      say(by_selection(location.href) ? 'Link copied' : 'Copy the address of this page');
    }
  };
}
"""
_CSS = """
button { font: .875rem var(--st-font); cursor: pointer; width: 100%; min-height: 2.5rem;
  color: var(--st-text-color); background: var(--st-background-color);
  border: 1px solid var(--st-border-color); border-radius: var(--st-button-radius, .5rem);
  padding: .35rem .75rem; }
button:hover, button:focus-visible {
  border-color: var(--st-primary-color); outline: 2px solid var(--st-primary-color); }
"""


@st.cache_resource(max_entries=1, show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "nmrclassify_copy_link",
        html="<button type='button' aria-live='polite'>Copy link</button>",
        css=_CSS,
        js=_COPY,
    )


def button() -> None:
    """Draw the button; the address of a page holds its whole state."""
    _component()(key="copy link")
