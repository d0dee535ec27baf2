"""Places, tabs, the menu of a narrow screen, and the tour, in Chromium."""

import re

import pytest
from playwright.sync_api import expect

from nmrclassify.bench import _browser
from nmrclassify.bench._browser import go, settled, wait_for_figure, wait_for_network
from nmrclassify.ui.tour import STOPS

WIDE, NARROW = {"width": 1366, "height": 768}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def address():
    with _browser.server() as address:
        yield address


def present(page, row: str) -> str:
    """Return the link that is marked as the present page, in the row of places or of tabs."""
    marked = page.locator(f".st-key-{row} [aria-current=page]")
    expect(marked).to_have_count(1)
    return marked.inner_text().split("\n")[-1].strip()


def test_tabs_keep_the_state_and_a_place_opens_its_page_of_before(visit, address):
    page = visit(f"{address}/?number=3")
    go(page, "Masks")
    page.get_by_role("heading", name="Masks", exact=True, level=1).wait_for()
    page.get_by_text("Test mixture 3 of").wait_for()
    assert (present(page, "places"), present(page, "tabs")) == ("Explore", "Masks")
    go(page, "Time travel")
    assert (present(page, "places"), present(page, "tabs")) == ("Train", "Time travel")
    page.locator(".st-key-places").get_by_role("link", name="Explore", exact=True).click()
    page.get_by_role("heading", name="Masks", exact=True, level=1).wait_for()
    expect(page).to_have_url(re.compile(r"/masks\?number=3"))


def test_tabs_stay_in_view_and_are_reached_by_keyboard(visit, address):
    page = visit(f"{address}/masks")
    settled(page)
    page.locator("[data-testid=stMain]").evaluate("e => e.scrollTo(0, 800)")
    tab = page.locator(".st-key-tabs").get_by_role("link", name="Separation")
    expect(tab).to_be_in_viewport()
    # Nothing lies over the tab: a click reaches it.
    tab.click(trial=True)
    tab.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Separation", exact=True, level=1).wait_for()


def test_the_menu_of_a_telephone_opens_and_leads_to_a_page(visit, address):
    page = visit(address, viewport=NARROW)
    wait_for_network(page)
    settled(page)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar).not_to_be_in_viewport()
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(sidebar).to_be_in_viewport(ratio=1)  # once it has slid in
    sidebar.get_by_role("link", name="Test", exact=True).click()
    page.get_by_role("heading", name="Evaluate", exact=True, level=1).wait_for()
    expect(sidebar).not_to_be_in_viewport()
    # The tabs wrap, and none is cut off.
    tabs = [tab.bounding_box() for tab in page.locator(".st-key-tabs a").all()]
    assert len(tabs) == 2
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"] for box in tabs)


@pytest.mark.parametrize("viewport", [WIDE, NARROW])
def test_the_tour_shows_five_pages_and_what_it_speaks_of(visit, address, viewport):
    page = visit(address, viewport=viewport)
    page.get_by_role("button", name="Show me around").click()
    for i, stop in enumerate(STOPS, 1):
        page.get_by_text(f"{i} of 5.").wait_for()
        settled(page)
        step = page.locator(".st-key-tour")
        expect(step).to_be_in_viewport(ratio=1)
        assert step.evaluate("e => e.scrollWidth <= e.clientWidth")
        if stop.framed:
            framed = page.locator(f".st-key-{stop.framed}").first
            assert framed.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
            if viewport == WIDE:
                expect(framed).to_be_in_viewport()
        if i < len(STOPS):
            page.keyboard.press("Alt+n")
    page.get_by_role("button", name="Close the tour").click()
    expect(page.locator(".st-key-tour")).to_have_count(0)
    page.goto(address)
    wait_for_network(page)
    settled(page)
    expect(page.get_by_role("button", name="Show me around")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_programs_and_the_open_menu_of_scenes_can_be_read(visit, address, scheme):
    from axe_playwright_python.sync_playwright import Axe

    def pale() -> list[str]:
        found = Axe().run(page).response["violations"]
        nodes = [node for v in found if v["id"] == "color-contrast" for node in v["nodes"]]
        return [node["html"][:160] for node in nodes]

    page = visit(f"{address}/compare?model_b=queries", scheme=scheme)
    wait_for_figure(page)
    settled(page)
    page.get_by_text("As a Python program").click()
    page.locator(".stMain .stCode .token.keyword").first.wait_for()
    assert not pale()
    go(page, "Network")
    wait_for_network(page)
    page.get_by_role("button", name="Scenes").click()
    page.get_by_role("button", name="Two compounds collide").wait_for()
    assert not pale()


def test_one_press_copies_the_link_to_the_view(visit, address):
    page = visit(f"{address}/masks?number=3")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    settled(page)
    page.get_by_role("button", name="Next").first.click()
    page.get_by_text("Test mixture 4 of").wait_for()
    page.get_by_role("button", name="Copy link").click()
    page.get_by_role("button", name="Link copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == f"{address}/masks?number=4"
