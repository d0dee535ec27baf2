"""Chromium, and visitors of the app in it; all tests of this folder are browser tests."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from nmrclassify.bench import _browser

MISSING = _browser.missing()
if MISSING and os.environ.get("CI") == "true":
    pytest.fail(MISSING, pytrace=False)
expect.set_options(timeout=30_000)
WIDE = {"width": 1366, "height": 768}


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if MISSING:
                item.add_marker(pytest.mark.skip(reason=MISSING))


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
