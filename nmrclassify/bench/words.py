"""Words that each page shows as it opens, and clicks for four errands, in Chromium (two minutes).

With `--before`, the app.py of another checkout, the same is counted there, too. A word is a text
between spaces that has a letter. Counted apart: texts in pictures, and the sidebar with the row of
tabs. Texts in closed expanders and popovers are not visible, and not counted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nmrclassify.bench._browser import ROOT, chromium, server, settled

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TIMEOUT = 180_000  # ms, on a busy machine
# Returns the numbers of visible words; the network's picture is in a shadow root.
COUNT = r"""
() => {
  const counted = { page: 0, pictures: 0, sidebar: 0 };
  const pictures = '.js-plotly-plot, .diagram', aside = '[data-testid=stSidebar], .st-key-tabs';
  const hidden = '[data-testid=stIconMaterial], style, script, [data-testid=stHeader], canvas';
  const seen = (element) => {
    if (getComputedStyle(element).fontFamily.includes('Material Symbols')) return false;
    const box = element.getBoundingClientRect();
    return box.width > 2 && box.height > 2
      && element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  };
  const words = (text) => text.split(/\s+/).filter(word => /\p{L}/u.test(word)).length;
  const walk = (node, kind) => {
    if (node.nodeType === Node.TEXT_NODE) {
      if (words(node.data) && seen(node.parentElement)) counted[kind] += words(node.data);
      return;
    }
    if (node.nodeType === Node.ELEMENT_NODE) {
      if (node.matches(hidden)) return;
      if (node.matches('details:not([open])')) {
        const summary = node.querySelector('summary');
        if (summary) walk(summary, kind);
        return;
      }
      if (node.matches(aside)) kind = 'sidebar';
      else if (node.matches(pictures)) kind = 'pictures';
    }
    for (const child of node.childNodes) walk(child, kind);
    if (node.shadowRoot) walk(node.shadowRoot, kind);
  };
  walk(document.querySelector('[data-testid=stApp]'), 'page');
  return counted;
}
"""


def _addresses(script: Path) -> dict[str, str]:
    """Return the path of each page of an app, and its part of the address."""
    pages = sorted(path.stem for path in (script.parent / "pages").glob("*.py"))
    return {"app.py": ""} | {f"pages/{name}.py": name for name in pages}


def count(page: "Page") -> dict[str, int]:
    """Return the visible words of an open page, once they have been the same for a second."""
    page.locator("h1").first.wait_for(timeout=TIMEOUT)
    before: dict[str, int] = {}
    while True:
        settled(page)
        now = page.evaluate(COUNT)
        if now == before:
            return now
        before = now
        page.wait_for_timeout(1_000)


def words(browser: "Browser", address: str, script: Path) -> dict[str, dict[str, int]]:
    """Return the words of each page of the app, opened by its link in a new browser context."""
    counted = {}
    for path, end in _addresses(script).items():
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.goto(f"{address}/{end}")
        counted[path] = count(page)
        context.close()
    return counted


@dataclass(frozen=True)
class Errand:
    """Something that a visitor wants, and what to press for it from the first page on.

    Attributes
    ----------
    reached : str
        A text that the page then shows.
    now, before : tuple of str
        Playwright's selectors of what to press, here and in version 0.2.0 before the five places.
    """

    title: str
    reached: str
    now: tuple[str, ...]
    before: tuple[str, ...]


def _link(label: str) -> str:
    return f'role=link[name="{label}"]'


_LESSON_2, _SHARE = 'role=button[name="Begin"] >> nth=1', "Take it with you"
_COPY = "[data-testid=stSidebar] [data-testid=stCode] >> nth=0"
ERRANDS = (
    Errand(
        "see slots against queries",
        "B: Queries",
        ('role=button[name="Scenes"]', 'role=button[name="Slots against queries"]'),
        (_link("Compare"), "role=combobox[name=/B: model/]", 'role=option[name="Queries"]'),
    ),
    Errand(
        "open lesson 2",
        "step 1 of",
        (_link("Learn"), _LESSON_2),
        (_link("Lessons"), _LESSON_2),
    ),
    Errand(
        "compare two steps of a training",
        "B: Reference network (slots), step 0",
        (_link("Train"), _link("Compare")),
        (_link("Compare"),),
    ),
    Errand(
        "copy the link to the view",
        "",
        ('role=button[name="Copy link"]',),
        (f"summary:has-text('{_SHARE}')", _COPY),
    ),
)


def clicks(browser: "Browser", address: str, before: bool = False) -> dict[str, int]:
    """Return how often one presses for each errand, after doing it on the app."""
    counted = {}
    for errand in ERRANDS:
        context = browser.new_context(viewport={"width": 1366, "height": 768})
        page = context.new_page()
        page.set_default_timeout(TIMEOUT)
        page.goto(address)
        page.locator("h1").first.wait_for(timeout=TIMEOUT)
        settled(page)
        presses = errand.before if before else errand.now
        for selector in presses:
            page.locator(selector).click()
            settled(page)
        if errand.reached:
            page.get_by_text(errand.reached).first.wait_for(timeout=TIMEOUT)
        counted[errand.title] = len(presses)
        context.close()
    return counted


def _measure(script: Path, before: bool) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    with server(script=script) as address, chromium() as browser:
        return words(browser, address, script), clicks(browser, address, before)


def run(before: Path | None = None) -> dict:
    """Return the words of each page and the presses for each errand.

    Parameters
    ----------
    before : Path, optional
        The app.py of a checkout to compare with.
    """
    now, presses = _measure(ROOT / "app.py", False)
    then, pressed = _measure(before.resolve(), True) if before else ({}, {})
    rows: list[dict] = []
    for path, one in now.items():
        row: dict = {"page": path, "words": one["page"]}
        if path in then:
            row |= {
                "before": then[path]["page"],
                "ratio": round(one["page"] / then[path]["page"], 2),
            }
        row |= {"in pictures": one["pictures"], "sidebar and tabs": one["sidebar"]}
        if path in then:
            row["sidebar before"] = then[path]["sidebar"]
        rows.append(row)
    errands = [
        {"from the first page": title, "presses": n}
        | ({"before": pressed[title]} if before else {})
        for title, n in presses.items()
    ]
    return {"table": rows, "clicks": errands}
