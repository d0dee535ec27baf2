"""The places of the app, their pages, and which controls of the sidebar act on each page.

A new page is one entry in `PLACES`. Files and addresses of pages do not depend on their place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from nmrclassify.ui import charts, scenes, url_state

# Parts of the sidebar: Data with How mixtures are made, Model, Training step, Mixture.
DATA = frozenset({"data"})
MODEL = DATA | {"model"}
STEP = MODEL | {"step"}
MIXTURE = DATA | {"mixture"}
ALL = STEP | MIXTURE
NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Tab:
    """A page in the row of tabs of its place.

    Attributes
    ----------
    controls : frozenset of str
        The parts of the sidebar that act on the page; the others are left out.
    """

    label: str
    controls: frozenset[str] = ALL


@dataclass(frozen=True)
class Place:
    """A place of the app, with its pages by their files."""

    label: str
    symbol: str
    pages: dict[str, Tab]


PLACES = (
    Place(
        "Explore",
        ":material/visibility:",
        {
            "app.py": Tab("Network"),
            "pages/mixtures.py": Tab("Mixtures", MIXTURE),
            "pages/masks.py": Tab("Masks"),
            "pages/separation.py": Tab("Separation"),
            "pages/inside.py": Tab("Look inside"),
            "pages/whatif.py": Tab("What if"),
        },
    ),
    Place(
        "Train",
        ":material/model_training:",
        {
            "pages/train.py": Tab("Train or load", STEP),
            # Its slider of steps is on the page.
            "pages/travel.py": Tab("Time travel", MODEL | MIXTURE),
            "pages/compare.py": Tab("Compare"),
        },
    ),
    Place(
        "Test",
        ":material/fact_check:",
        {
            "pages/evaluate.py": Tab("Evaluate", STEP),
            "pages/robustness.py": Tab("Robustness", STEP),
        },
    ),
    Place(
        "Learn",
        ":material/school:",
        {
            "pages/lessons.py": Tab("Lessons", NONE),
            "pages/quiz.py": Tab("Quiz", STEP),
            "pages/glossary.py": Tab("Glossary", NONE),
        },
    ),
    Place(
        "Full scale",
        ":material/zoom_in_map:",
        # The page draws the controls of its own data.
        {"pages/scale.py": Tab("Full scale", NONE)},
    ),
)
PAGES = {path: tab for place in PLACES for path, tab in place.pages.items()}

# Streamlit gives neither list of links a name, and marks the present page by bold type alone. On a
# narrow screen the sidebar lies over the page, and stays there when a link in it is followed.
_NAMES = """
export default function({ data }) {
  for (const [key, label, present] of data) {
    const list = document.querySelector(`.st-key-${key}`);
    if (!list) continue;
    list.setAttribute('role', 'navigation');
    list.setAttribute('aria-label', label);
    for (const link of list.querySelectorAll('a')) {
      if (link.textContent.trim().endsWith(present)) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    if (key === 'places' && !list.dataset.closes) {
      list.dataset.closes = 'yes';
      list.addEventListener('click', () => {
        if (matchMedia('(max-width: 768px)').matches)
          document.querySelector('[data-testid=stSidebarCollapseButton] button')?.click();
      });
    }
  }
}
"""
# The tabs stand in the empty head of the page, so that they cost no height. On a narrow screen
# they wrap below it, because the button that opens the sidebar stands there.
_CSS = """<style>
.st-key-places { gap: .15rem; }
.st-key-places a, .st-key-tabs a { padding: .25rem .55rem; min-height: 2rem; white-space: nowrap; }
.st-key-places div:has(> style), .st-key-places div:empty { display: none; }
.st-key-names-of-places { display: none; }
.st-key-offer, .st-key-tour { gap: .5rem; }
.st-key-tabs { gap: .15rem; }
.st-key-tabs button { min-height: 2rem; padding: .25rem .55rem; }
.stMain:has(.st-key-glossary) { scroll-padding-top: .5rem; }
.st-key-tabs [aria-current], .st-key-places [aria-current] {
  box-shadow: inset 0 -2px var(--st-primary-color, #0b6e99); border-radius: .3rem .3rem 0 0; }
@media (min-width: 700px) {
  .stMainBlockContainer:has(.st-key-tabs) { padding-top: .8rem; }
  [data-testid="stHeader"] { background: none; pointer-events: none; }
  [data-testid="stHeader"] :is(button, a) { pointer-events: auto; }
  div:has(> .st-key-tabs) { position: sticky; top: 0; z-index: 999; padding: .35rem 6rem .35rem 0;
    background: BACKGROUND; }
  .stApp:has([data-testid="stExpandSidebarButton"]) .st-key-tabs { padding-left: 2.5rem; }
}
</style>"""


@st.cache_resource(max_entries=1, show_spinner=False)
def _names() -> Callable[..., Any]:
    return st.components.v2.component("nmrclassify_places", html="<span></span>", js=_NAMES)


def place_of(page: str) -> Place:
    """Return the place that holds a page."""
    return next(place for place in PLACES if page in place.pages)


def links(page: str, container: Any) -> None:
    """Draw the places into `container`, and the pages of the present place as a row of tabs.

    A place's link opens the page of it that this session saw last, or its first page.
    """
    here, state = place_of(page), url_state.query()
    seen = st.session_state.setdefault("seen pages", {})
    seen[here.label] = page
    with container, st.container(key="places"):
        st.html(_CSS.replace("BACKGROUND", "#171614" if charts.theme().dark else "#ffffff"))
        for place in PLACES:
            target = seen.get(place.label, next(iter(place.pages)))
            st.page_link(target, label=place.label, icon=place.symbol, query_params=state)
    if len(here.pages) > 1 and not url_state.get("presenter"):
        with st.container(horizontal=True, key="tabs"):
            for path, tab in here.pages.items():
                st.page_link(path, label=tab.label, query_params=state)
            if here.label == "Explore":
                scenes.menu()
        scenes.describe(page)
    with container:
        _names()(
            key="names of places",
            data=[
                ["places", "Places", here.label],
                ["tabs", f"Pages of {here.label}", here.pages[page].label],
            ],
        )
