"""First page on a warm server, and click to painted figure when the mixture changes, in Chromium."""

import statistics
import time

from ._browser import CLICK_TO_PAINTED, chromium, server, wait_for_figure

LOADS, CLICKS = 7, 25


def run() -> dict:
    """Return medians and ranges: seconds to the first page's figure, milliseconds from click to painted."""
    with server() as address, chromium() as browser:
        loads = []
        for turn in range(LOADS + 1):
            context = browser.new_context(viewport={"width": 1366, "height": 768})
            page = context.new_page()
            began = time.perf_counter()
            page.goto(address)
            wait_for_figure(page)
            page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
            if turn:  # the first visitor warms the server
                loads.append(time.perf_counter() - began)
            if turn < LOADS:
                context.close()
        page.wait_for_timeout(1500)
        clicks = []
        for _ in range(CLICKS):
            button = page.get_by_role("button", name="Next", exact=False).first.element_handle()
            clicks.append(button.evaluate(CLICK_TO_PAINTED))
            page.wait_for_timeout(700)
    return {
        "first_page_seconds_median": round(statistics.median(loads), 2),
        "first_page_seconds_range": [round(min(loads), 2), round(max(loads), 2)],
        "click_to_painted_ms_median": round(statistics.median(clicks)),
        "click_to_painted_ms_range": [round(min(clicks)), round(max(clicks))],
        "loads": LOADS,
        "clicks": CLICKS,
    }
