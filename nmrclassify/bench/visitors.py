"""Two visitors train at once while a third changes pages: do both finish, and how long does the third wait?"""

import statistics
import time

from ._browser import chromium, server, wait_for_figure

PAGES = (("Masks", "Masks"), ("Evaluate", "Evaluate"), ("Mixtures", "Mixtures"), ("Separation and classes", "Separation and classes"))
STEPS = 300


def _start_training(browser, address: str, seed: int):
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.goto(f"{address}/train?preset=quick&seed={seed}&steps={STEPS}")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Training:").first.wait_for(timeout=60_000)
    return page


def _change_page(page, link: str, title: str) -> float:
    """Return seconds from the click to the painted page."""
    began = time.perf_counter()
    page.get_by_test_id("stSidebar").get_by_role("link", name=link).click()
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
    wait_for_figure(page)
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return time.perf_counter() - began


def run() -> dict:
    """Return the third visitor's seconds for a page change while two train, without training, and how the two ended."""
    with server() as address, chromium() as browser:
        third = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
        third.goto(address)
        wait_for_figure(third)
        for link, title in PAGES:  # warm
            _change_page(third, link, title)
        quiet = [_change_page(third, link, title) for _ in range(2) for link, title in PAGES]
        trainers = [_start_training(browser, address, seed) for seed in (11, 12)]
        busy = []
        for _ in range(4):
            for link, title in PAGES:
                busy.append(_change_page(third, link, title))
        for page in trainers:
            page.get_by_text("Finished at step").first.wait_for(timeout=15 * 60_000)
    return {
        "quiet_seconds_median": round(statistics.median(quiet), 2),
        "busy_seconds_median": round(statistics.median(busy), 2),
        "busy_seconds_max": round(max(busy), 2),
        "page_changes": len(busy),
        "trainings_finished": len(trainers),
        "steps_each": STEPS,
    }
