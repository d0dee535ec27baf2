"""Seconds to the first page, and ms from click to painted figure, in Chromium (a minute)."""

import statistics
import time

from nmrclassify.bench._browser import CLICK_TO_PAINTED, chromium, server, wait_for_figure

LOADS, CLICKS = 7, 25


def run() -> dict:
    """Return seconds to the first page, with an empty cache and again, and ms of a click."""
    with server() as address, chromium() as browser:
        new: list[float] = []
        returning: list[float] = []
        for turn in range(LOADS + 1):
            context = browser.new_context(viewport={"width": 1366, "height": 768})
            page = context.new_page()
            for seconds in (new, returning):
                began = time.perf_counter()
                page.goto(address)
                wait_for_figure(page)
                page.evaluate(
                    "() => new Promise(done => requestAnimationFrame(() =>"
                    " requestAnimationFrame(done)))"
                )
                if turn:  # the first visitor warms the server
                    seconds.append(time.perf_counter() - began)
                page.wait_for_timeout(500)
            if turn < LOADS:
                context.close()
        page.wait_for_timeout(1500)
        clicks = []
        for _ in range(CLICKS):
            button = page.get_by_role("button", name="Next", exact=False).first.element_handle()
            clicks.append(button.evaluate(CLICK_TO_PAINTED))
            page.wait_for_timeout(700)
    return {
        "first_page_seconds_median": round(statistics.median(new), 2),
        "first_page_seconds_range": [round(min(new), 2), round(max(new), 2)],
        "first_page_again_seconds_median": round(statistics.median(returning), 2),
        "click_to_painted_ms_median": round(statistics.median(clicks)),
        "click_to_painted_ms_range": [round(min(clicks)), round(max(clicks))],
        "loads": LOADS,
        "clicks": CLICKS,
    }
