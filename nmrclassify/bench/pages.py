"""Seconds to the first page, ms from pointer to painted picture, in Chromium (two minutes).

Beside it, in the same run, the first page of an app that shows one line of text: Streamlit alone.
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nmrclassify.bench._browser import (
    NETWORK_PAINTED,
    chromium,
    server,
    settled,
    wait_for_network,
)

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOADS, CLICKS = 7, 25
EMPTY = "import streamlit\n\nstreamlit.text('ready')\n"


def _seconds_to(page: "Page", address: str, empty: bool) -> float:
    began = time.perf_counter()
    page.goto(address)
    if empty:
        page.get_by_text("ready", exact=True).wait_for()
    else:
        wait_for_network(page)
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    return time.perf_counter() - began


def _loads(browser: "Browser", app: str, empty: str) -> dict[str, list[float]]:
    """Return the seconds of first pages, in turn of the app and of the empty page."""
    seconds: dict[str, list[float]] = {}
    for turn in range(LOADS + 1):
        for address, name in ((app, "first_page"), (empty, "empty_page")):
            context = browser.new_context(viewport={"width": 1366, "height": 768})
            page = context.new_page()
            for again in ("", "_again"):
                spent = _seconds_to(page, address, name == "empty_page")
                if turn:  # the first visitor warms the server
                    seconds.setdefault(name + again, []).append(spent)
                page.wait_for_timeout(500)
            context.close()
    return seconds


def _pointer(browser: "Browser", address: str) -> dict[str, list[float]]:
    """Return the ms of each kind of change of the network's picture."""
    page = browser.new_page(viewport={"width": 1366, "height": 768})
    page.goto(address)
    wait_for_network(page)
    page.wait_for_timeout(1500)
    times: dict[str, list[float]] = {"mixture": [], "panel": [], "position": []}
    for turn in range(CLICKS):
        for what, spent in times.items():
            box = page.locator("[data-key=encoding] .map").bounding_box()
            assert box is not None
            x = box["x"] + (0.05 + 0.9 * turn / CLICKS) * box["width"]
            y = box["y"] + (0.05 + 0.9 * turn / CLICKS) * box["height"]
            page.mouse.move(box["x"] + (0.95 - 0.8 * turn / CLICKS) * box["width"], y)
            page.wait_for_timeout(100)
            page.evaluate(NETWORK_PAINTED, what)
            if what == "mixture":
                page.get_by_role("button", name="Next").first.click()
            elif what == "panel":
                page.mouse.click(x, y)
            else:
                page.mouse.move(x, y)
            spent.append(page.evaluate("window.painted"))
            settled(page)
    return times


def _summary(name: str, times: list[float]) -> dict:
    return {
        f"{name}_ms_median": round(statistics.median(times)),
        f"{name}_ms_95th": round(statistics.quantiles(times, n=20)[-1]),
        f"{name}_ms_range": [round(min(times)), round(max(times))],
    }


def run() -> dict:
    """Return seconds to the first page, with an empty cache and again, and ms of a click."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY)
        with server() as app, server(script=script) as empty, chromium() as browser:
            seconds = _loads(browser, app, empty)
            times = _pointer(browser, app)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        **{f"{name}_seconds_median": round(value, 2) for name, value in medians.items()},
        "first_page_seconds_range": [round(pick(seconds["first_page"]), 2) for pick in (min, max)],
        "first_page_over_empty_page": round(medians["first_page"] / medians["empty_page"], 2),
        "first_page_again_over_empty_page": round(
            medians["first_page_again"] / medians["empty_page_again"], 2
        ),
        **_summary("next_mixture", times["mixture"]),
        **_summary("click_to_arithmetic", times["panel"]),
        **_summary("hover", times["position"]),
        "loads": LOADS,
        "clicks": CLICKS,
    }
