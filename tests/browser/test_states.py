"""In Chromium: Back and Forward restore what the address says, on every page."""

import re

import pytest
from playwright.sync_api import expect

from nmrclassify.bench import _browser
from nmrclassify.bench._browser import go, settled

# What the address and the controls of the page say.
SHOWN = """() => [
    location.pathname + location.search,
    document.querySelector('h1')?.textContent,
    ...[...document.querySelectorAll(
        '[data-testid=stNumberInput], [data-testid=stSelectbox], [data-testid=stCheckbox],'
        + ' [data-testid=stRadio], [data-testid=stSlider]'
    )].map(control => [
        control.innerText,
        ...[...control.querySelectorAll('input')].map(i => i.type === 'checkbox'
            || i.type === 'radio' ? i.checked : i.value)
    ].join('|')),
]"""


@pytest.fixture(scope="module")
def address():
    with _browser.server() as address:
        yield address


def shown(page) -> list[str]:
    """Return what the page shows once it is complete."""
    before = None
    while True:
        settled(page)
        page.wait_for_function("!document.querySelector('.stMain [data-stale=true]')")
        if (now := page.evaluate(SHOWN)) == before:
            return now
        before = now


def expect_shown(page, what: list[str]) -> None:
    """Wait until the page shows this."""
    try:
        page.wait_for_function(
            f"what => JSON.stringify(({SHOWN})()) === JSON.stringify(what)", arg=what
        )
    except Exception:
        assert page.evaluate(SHOWN) == what
        raise


def fill(page, label: str, value: int) -> None:
    """Type a number into a field of the sidebar or the page."""
    field = page.get_by_role("spinbutton", name=label, exact=True).first
    field.fill(str(value))
    field.press("Enter")


def check_history(page, acts) -> None:
    """Do `acts`, each of which changes the address; go back over all, then forward."""
    states = [shown(page)]
    for act in acts:
        act()
        expect(page).not_to_have_url(re.compile(re.escape(states[-1][0]) + "$"))
        states.append(shown(page))
    for state in states[-2::-1]:
        page.go_back()
        expect_shown(page, state)
    for state in states[1:]:
        page.go_forward()
        expect_shown(page, state)


def test_back_and_forward_restore_every_change_on_four_pages(visit, address):
    page = visit(f"{address}/masks")
    check_history(
        page,
        [
            lambda: page.get_by_test_id("stMain").get_by_test_id("stCheckbox").first.click(),
            lambda: fill(page, "Number, 1 to 36", 5),
            lambda: go(page, "Separation"),
            lambda: fill(page, "Number, 1 to 36", 9),
            lambda: go(page, "Lessons"),
            lambda: go(page, "Quiz"),
            lambda: page.get_by_test_id("stRadio").get_by_text("Noisy").click(),
            lambda: go(page, "Train or load"),
            lambda: fill(page, "Steps", 50),
        ],
    )


def test_back_undoes_an_edit_and_a_choice_at_full_scale(visit, address):
    page = visit(f"{address}/whatif")
    button = page.get_by_test_id("stMain").get_by_role("button")
    check_history(
        page,
        [
            lambda: button.filter(has_text="Remove it").click(),
            lambda: page.get_by_test_id("stMain").get_by_role("slider").first.press("ArrowRight"),
            lambda: go(page, "Full scale"),
            lambda: button.filter(has_text=re.compile("In$")).first.click(),
        ],
    )


def test_playing_a_training_is_one_entry_of_the_history(visit, address):
    page = visit(f"{address}/travel?model=queries&step=0")
    before = shown(page)
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").wait_for()
    page.wait_for_timeout(2500)
    page.get_by_role("button", name="Pause").click()
    expect(page).not_to_have_url(re.compile(re.escape(before[0]) + "$"))
    page.go_back()
    expect_shown(page, before)
