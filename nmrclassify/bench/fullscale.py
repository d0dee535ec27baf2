"""The page Full scale in Chromium: opening it, a new mixture, and a zoom, until it is painted."""

import re
import statistics
import time
from typing import Any

from nmrclassify.bench._browser import PAINTED, chromium, server, wait_for_figure

MIXTURES, ZOOMS, BOXES, LOADS = 9, ("In", "Left", "Out") * 5, 5, 5
VIEW = "ppm_low=2&ppm_high=4"
TIMED = "() => window.painted"


def _figures(page: Any) -> None:
    wait_for_figure(page)
    page.wait_for_function(
        "document.querySelectorAll('.js-plotly-plot .scatterlayer path.js-line').length > 2"
    )
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def _settle(page: Any) -> None:
    page.wait_for_function(
        "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
    )
    page.wait_for_timeout(700)


def _click(page: Any, name: str, prediction: bool = False) -> dict:
    # The accessible name of a button begins with that of its symbol.
    button = (
        page.get_by_test_id("stMain")
        .get_by_role("button", name=re.compile(rf"\b{name}$"))
        .element_handle()
    )
    page.evaluate(PAINTED, {"event": "click", "prediction": prediction})
    button.evaluate("button => button.click()")
    return page.evaluate(TIMED)


def _box(page: Any, turn: int) -> dict:
    """Select a range in the lower figure; the time starts when the mouse button is released."""
    box = page.locator(".js-plotly-plot .nsewdrag").nth(1).bounding_box()
    place, height = (lambda share: box["x"] + share * box["width"]), box["y"] + box["height"] / 2
    left = 0.35 + 0.07 * turn
    page.mouse.move(place(left), height)
    page.mouse.down()
    page.mouse.move(place(left + 0.03), height, steps=4)
    page.mouse.move(place(left + 0.06), height + 2, steps=4)
    page.evaluate(PAINTED, {"event": "mouseup", "prediction": False})
    page.mouse.up()
    return page.evaluate(TIMED)


def _measured(name: str, values: list[float]) -> dict:
    return {
        f"{name}_ms_median": round(statistics.median(values)),
        f"{name}_ms_range": [round(min(values)), round(max(values))],
    }


def run() -> dict:
    """Return milliseconds to the first figure, to a new mixture, and to a new range.

    A new mixture is painted when both figures and all metrics show it. The whole page is painted
    when the tables and figures below show it, too.
    """
    opened, answered, finished = [], [], []
    with server() as address, chromium() as browser:
        for turn in range(LOADS + 1):
            page = browser.new_context(viewport={"width": 1366, "height": 900}).new_page()
            began = time.perf_counter()
            page.goto(f"{address}/scale")
            _figures(page)
            if turn:  # the first visitor fills the caches of the server
                opened.append(1000 * (time.perf_counter() - began))
            _settle(page)
            if turn < LOADS:
                page.context.close()
        for turn in range(MIXTURES):
            took = _click(page, "New mixture", prediction=True)
            answered.append(took["painted"])
            finished.append(took["finished"])
            page.wait_for_url(re.compile(f"scale_seed={turn + 2}"))
            _settle(page)
        seconds = float(page.get_by_test_id("stMetricValue").last.inner_text())
        page.goto(f"{address}/scale?{VIEW}")
        _figures(page)
        _settle(page)
        zoomed, boxed = [], []
        for name in ZOOMS:
            zoomed.append(_click(page, name)["painted"])
            _settle(page)
        for turn in range(BOXES):
            boxed.append(_box(page, turn)["painted"])
            _settle(page)
    return (
        _measured("first_figure_on_a_warm_server", opened)
        | _measured("new_mixture_click_to_answer_painted", answered)
        | _measured("new_mixture_click_to_whole_page", finished)
        | _measured("zoom_click_to_painted", zoomed)
        | _measured("zoom_box_to_painted", boxed)
        | {
            "network_seconds_of_the_last": seconds,
            "loads": LOADS,
            "mixtures": MIXTURES,
            "zooms": len(ZOOMS),
            "boxes": BOXES,
        }
    )
