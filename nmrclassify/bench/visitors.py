"""Seconds for a page change of one visitor while two others train (minutes)."""

import statistics
import time
from typing import TYPE_CHECKING

from nmrclassify.bench._browser import chromium, server, wait_for_figure

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = (
    ("Masks", "Masks"),
    ("Evaluate", "Evaluate"),
    ("Mixtures", "Mixtures"),
    ("Separation", "Separation"),
)
STEPS = 400


def _start_training(browser: "Browser", address: str, seed: int) -> "Page":
    page = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
    page.goto(f"{address}/train?preset=quick&seed={seed}&steps={STEPS}")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Training:").first.wait_for(timeout=60_000)
    return page


def _change_page(page: "Page", link: str, title: str) -> float:
    """Return seconds from the click to the painted page."""
    began = time.perf_counter()
    page.get_by_test_id("stSidebar").get_by_role("link", name=link).click()
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for()
    wait_for_figure(page)
    page.evaluate(
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )
    return time.perf_counter() - began


def _measure(third: "Page", turns: int) -> list[float]:
    return [_change_page(third, link, title) for _ in range(turns) for link, title in PAGES]


def run() -> dict:
    """Return the seconds of a page change, and how many trainings finished.

    Measured without training; during two trainings whose browsers show another page, as if they
    were on other machines; and while all three browsers draw on this machine.
    """
    with server() as address, chromium() as browser:
        third = browser.new_context(viewport={"width": 1366, "height": 768}).new_page()
        third.goto(address)
        wait_for_figure(third)
        _measure(third, 1)  # warm
        seconds = {"quiet": _measure(third, 2)}
        trainers = [_start_training(browser, address, seed) for seed in (11, 12)]
        for page in trainers:
            _change_page(page, "Masks", "Masks")
        seconds["training"] = _measure(third, 3)
        for page in trainers:
            page.get_by_test_id("stSidebar").get_by_role("link", name="Train or load").click()
            page.get_by_text("Training:").first.wait_for(timeout=60_000)
        seconds["training_and_drawing"] = _measure(third, 2)
        for page in trainers:
            page.get_by_text("Finished at step").first.wait_for(timeout=15 * 60_000)
    figures = {
        f"{name}_seconds_median": round(statistics.median(times), 2)
        for name, times in seconds.items()
    }
    figures |= {f"{name}_seconds_max": round(max(times), 2) for name, times in seconds.items()}
    return figures | {"trainings_finished": len(trainers), "steps_each": STEPS}
