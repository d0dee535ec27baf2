"""The first visit: its offer, which links and known browsers do not get, and the tour."""

import pytest

from nmrclassify.ui import session
from nmrclassify.ui.tour import STOPS

OFFERED = ("Start with lesson 1", "Show me around", "No, thanks")


def offered(app) -> bool:
    return all(app.has_button(label) for label in OFFERED)


def kept(app) -> bool:
    """Return whether the browser is told to remember the answer."""
    return any("nmrclassify_offer=answered" in one.proto.body for one in app.get("html"))


def test_a_first_visit_is_offered_a_lesson_and_a_tour(open_page):
    app = open_page()
    assert offered(app)
    assert not kept(app)
    app.press("No, thanks")
    assert not offered(app)
    assert kept(app)


@pytest.mark.parametrize("query", [{"number": 3}, {"lesson": "mixture"}, {"presenter": "yes"}])
def test_a_link_that_carries_state_shows_no_offer(open_page, query):
    assert not offered(open_page(**query))


def test_other_pages_and_known_browsers_get_no_offer(open_page, cookies):
    assert not offered(open_page("pages/masks.py"))
    for name in ("nmrclassify_offer", session.COOKIE):
        cookies.clear()
        cookies[name] = "answered"
        assert not offered(open_page())


def test_the_offer_ends_when_the_visitor_goes_on(open_page):
    app = open_page()
    app.switch_page("pages/masks.py").run()
    assert kept(app)
    app.switch_page("app.py").run()
    assert not offered(app)


def test_the_offer_begins_the_first_lesson(open_page):
    app = open_page()
    app.press("Start with lesson 1")
    assert app.link["lesson"] == "mixture"
    assert app.link["lesson_step"] == "1"
    assert kept(app)


def test_the_tour_goes_through_five_pages(open_page):
    app = open_page()
    app.press("Show me around")
    for i, stop in enumerate(STOPS, 1):
        assert f"**{i} of 5.** {stop.text}" in app.texts
        assert app.has_button("Close the tour")
        if i < len(STOPS):
            app.press("Go on")
    assert not app.has_button("Go on")
    app.press("Close the tour")
    assert STOPS[-1].text not in app.texts


def test_the_tour_ends_when_the_visitor_leaves_it(open_page):
    app = open_page()
    app.press("Show me around")
    app.switch_page("pages/compare.py").run()
    assert not app.has_button("Close the tour")
    app.switch_page("app.py").run()
    assert not app.has_button("Close the tour")
