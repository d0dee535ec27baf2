"""Memory of the server over an hour of use: 1,000 interactions on nine pages (an hour, Linux)."""

import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from nmrclassify.bench._browser import chromium, click_at, go, served, settled, wait_for_figure

if TYPE_CHECKING:
    from playwright.sync_api import Page

INTERACTIONS, SECONDS = 1000, 3600
EVERY = 10  # interactions between two readings of the memory
WARM = 200  # interactions until all pages were shown and caches are full
STEPS = 60


def _memory(pid: int) -> float:
    """Return the resident memory of a process, in MiB."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024


def _press(page: "Page", name: str) -> None:
    page.get_by_test_id("stMain").get_by_role(
        "button", name=re.compile(rf"\b{name}\b")
    ).first.click()


def _click(page: "Page", key: str, column: float, row: float) -> None:
    plot = page.locator(f".st-key-{key} .js-plotly-plot .nsewdrag").first
    plot.wait_for(state="attached")
    page.wait_for_timeout(300)  # a new figure is another element
    plot.scroll_into_view_if_needed()
    click_at(page, plot, column, row)


def _round(page: "Page", turn: int) -> Iterator[Callable[[], None]]:
    """Yield the interactions of one round through the pages, at other places each turn."""
    share = (0.37 * turn) % 0.3
    yield lambda: go(page, "Masks")
    yield lambda: _press(page, "Next")
    yield lambda: _click(page, "masks", share, 0.1 + 2 * share)
    yield lambda: page.keyboard.press("Escape")
    yield lambda: go(page, "Look inside")
    yield lambda: _click(page, "filters", 0.03 + 3 * share, 0.1 + share)
    yield lambda: _click(page, "receptive-field", 3 * share, 0.5)
    yield lambda: go(page, "What if")
    yield lambda: _click(page, "mixture", 0.35 + share, 0.5)
    yield lambda: _press(page, "Add a multiplet")
    yield lambda: _press(page, "Move it")
    yield lambda: _press(page, "Undo")
    yield lambda: go(page, "Time travel")
    yield lambda: _click(page, "strip", 0.15 + share, 0.5)
    yield lambda: _press(page, "Step forward")
    yield lambda: _click(page, "strip", 0.55 + share, 0.5)
    yield lambda: go(page, "Compare")
    yield lambda: _click(page, "separated", share, 0.5)
    yield lambda: page.keyboard.press("Escape")
    yield lambda: go(page, "Separation")
    yield lambda: _press(page, "Next")
    yield lambda: go(page, "Quiz")
    for compound in (3, 4, 5):  # it asks for as many as there are
        yield lambda name=f"compound {compound}": page.get_by_role(  # type: ignore[misc]
            "button", name=name, exact=True
        ).click()
    yield lambda: _press(page, "Check")
    yield lambda: _press(page, "Next mixture")
    yield lambda: go(page, "Mixtures")
    yield lambda: go(page, "Network")
    yield lambda: _press(page, "Next")


def run() -> dict:
    """Return the memory in MiB after the warm-up and at the end, medians of ten readings."""
    memory, failed = [], 0
    with served() as (address, pid), chromium() as browser:
        page = browser.new_context(viewport={"width": 1366, "height": 900}).new_page()
        page.set_default_timeout(10_000)
        page.goto(f"{address}/train?preset=quick&steps={STEPS}")
        page.get_by_role("button", name="Start").click(timeout=60_000)  # all is imported
        page.wait_for_url(re.compile("model=2"), timeout=120_000)
        settled(page)
        began, done = time.monotonic(), 0
        with tqdm(total=INTERACTIONS, file=sys.stderr) as bar:
            for turn in count():
                for act in _round(page, turn):
                    try:
                        act()
                        settled(page)
                    except Exception as error:  # counted; the next interaction follows
                        failed += 1
                        print(f"interaction {done}: {str(error).splitlines()[0]}", file=sys.stderr)
                        page.keyboard.press("Escape")
                    done += 1
                    bar.update()
                    if done % EVERY == 0:
                        memory.append(_memory(pid))
                    if done == INTERACTIONS:
                        break
                    time.sleep(max(0.0, began + done * SECONDS / INTERACTIONS - time.monotonic()))
                if done == INTERACTIONS:
                    break
        wait_for_figure(page)
        shown = page.locator("[data-testid=stException]").count()
        minutes = (time.monotonic() - began) / 60
    first = statistics.median(memory[WARM // EVERY : WARM // EVERY + 10])
    last = statistics.median(memory[-10:])
    return {
        "interactions": done,
        "minutes": round(minutes, 1),
        "failed": failed,
        "exceptions_shown": shown,
        "memory_warm_mib": round(first),
        "memory_end_mib": round(last),
        "change_percent": round(100 * (last - first) / first, 1),
        "memory_mib_each_100": [round(value) for value in memory[9::10]],
    }
