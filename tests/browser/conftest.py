"""Chromium, and visitors of the app in it."""

import pytest

from nmrclassify.bench import _browser

WIDE = {"width": 1366, "height": 768}


@pytest.fixture(scope="module")
def browser():
    with _browser.chromium() as browser:
        yield browser


@pytest.fixture
def visit(browser):
    """Open an address as a visitor of one's own."""
    contexts = []

    def open_address(address, scheme="light", viewport=WIDE):
        context = browser.new_context(viewport=viewport, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.goto(address)
        page.get_by_role("heading", level=1).wait_for(timeout=30_000)
        return page

    yield open_address
    for context in contexts:
        context.close()
