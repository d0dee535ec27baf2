"""Links to the glossary: a click shows the meaning of the term beside it, and offers the page.

Streamlit opens a link of a text in another tab, which is another session. Here the page *Glossary*
opens in the same session, so that nothing is lost; with Ctrl, a link still opens in a tab.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from nmrclassify.lessons.glossary import TERMS
from nmrclassify.ui import url_state

_PAGE, _KEY, _CHOSEN = "pages/glossary.py", "glossary links", "glossary term"
_HTML = """<div class="meaning" role="dialog" aria-label="Meaning" hidden>
<b></b> <span></span> <button type="button" class="more">More in the glossary</button>
<button type="button" class="close" aria-label="Close">✕</button></div>"""
_CSS = """
.meaning { position: fixed; z-index: 1000; box-sizing: border-box; width: min(22rem, 94vw);
  padding: .6rem 2.4rem .7rem .8rem; border: 1px solid #8a8f99; border-radius: .5rem;
  font: .9rem/1.4 var(--st-font); color: var(--st-text-color);
  background: var(--st-background-color); box-shadow: 0 4px 16px rgba(0, 0, 0, .25); }
.meaning[hidden] { display: none; }
button { font: inherit; cursor: pointer; color: inherit; background: transparent;
  border: 1px solid #8a8f99; border-radius: .4rem; padding: .1rem .5rem; }
.more { display: block; margin-top: .5rem; }
.close { position: absolute; top: .4rem; right: .4rem; }
button:hover, button:focus-visible { outline: 2px solid #e69f00; }
"""
_LISTEN = """
export default function({ data, parentElement, setTriggerValue }) {
  const box = parentElement.querySelector('.meaning');
  const [name, meaning] = box.querySelectorAll('b, span');
  const [more, close] = box.querySelectorAll('button');
  let link = null;
  const hide = (back) => {
    box.hidden = true;
    if (back) link?.focus();
    link = null;
  };
  const show = (found) => {
    link = found;
    name.textContent = `${found.textContent}:`;
    meaning.textContent = found.title;
    box.hidden = false;
    place();
    more.focus({ preventScroll: true });
  };
  const place = () => {
    if (!link) return;
    const at = link.getBoundingClientRect(), { offsetWidth, offsetHeight } = box;
    if (at.bottom < 0 || at.top > innerHeight) { hide(); return; }
    const below = at.bottom + 6 + offsetHeight < innerHeight;
    box.style.left = `${Math.max(4, Math.min(at.left, innerWidth - offsetWidth - 12))}px`;
    box.style.top = `${below ? at.bottom + 6 : Math.max(4, at.top - 6 - offsetHeight)}px`;
  };
  const clicked = (event) => {
    if (event.composedPath().includes(box)) return;
    const found = event.target.closest?.('a[href*="glossary#"]');
    if (!found || event.ctrlKey || event.metaKey || event.shiftKey) { hide(); return; }
    event.preventDefault();
    show(found);
  };
  more.onclick = () => {
    setTriggerValue('term', decodeURIComponent(link.href.split('#')[1]));
    hide();
  };
  close.onclick = () => hide(true);
  const pressed = (event) => {
    if (event.key !== 'Escape' || box.hidden) return;
    event.stopPropagation();
    hide(true);
  };
  // On the window: before the panel of a cell, which Escape closes too.
  const listeners = [['click', clicked], ['keydown', pressed], ['scroll', place]];
  listeners.forEach(([kind, act]) => addEventListener(kind, act, true));
  // Go to the term, again while the page still grows, and never against the visitor.
  const stops = ['wheel', 'touchstart', 'pointerdown', 'keydown'];
  const reach = (term) => {
    let left = 20;
    const stop = () => { left = 0; };
    stops.forEach((kind) => addEventListener(kind, stop, { once: true, capture: true }));
    const look = () => {
      const heading = document.getElementById(term);
      heading?.scrollIntoView({ block: 'start', behavior: 'instant' });
      if (left-- > 0) setTimeout(look, 100);
    };
    look();
  };
  const term = data.here && (data.term || decodeURIComponent(location.hash.slice(1)));
  if (term && box.dataset.term !== term) reach(term);
  box.dataset.term = term || '';
  return () => listeners.forEach(([kind, act]) => removeEventListener(kind, act, true));
}
"""


@st.cache_resource(max_entries=1, show_spinner=False)
def _component() -> Callable[..., Any]:
    return st.components.v2.component(
        "nmrclassify_glossary_links", html=_HTML, css=_CSS, js=_LISTEN
    )


def _choose() -> None:
    anchor = st.session_state[_KEY].term
    if anchor in {term.anchor for term in TERMS.values()}:
        st.session_state[_CHOSEN] = anchor


def listen(page: str) -> None:
    """Show meanings on a page; open the glossary at the term that was chosen, if one was."""
    chosen = st.session_state.get(_CHOSEN, "")
    if page == _PAGE:
        st.session_state.pop(_CHOSEN, None)
    with st.container(key="glossary-links"):  # takes no room in the page
        _component()(key=_KEY, data={"here": page == _PAGE, "term": chosen}, on_term_change=_choose)
    if chosen and page != _PAGE:
        st.switch_page(_PAGE, query_params=url_state.query())
