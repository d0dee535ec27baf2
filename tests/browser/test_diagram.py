"""The picture of the network in Chromium: hover, unfold, play, fold, keyboard."""

import re

import pytest
from playwright.sync_api import expect

from nmrclassify.bench import _browser

NARROW = {"width": 390, "height": 844}
# Text that its element cuts off.
CUT_OFF = """root => [...root.querySelectorAll('.title span, .stack, button')]
    .filter(e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'none')
    .map(e => e.textContent)"""


@pytest.fixture(scope="module")
def address():
    with _browser.server() as address:
        yield address


@pytest.fixture
def network(visit, address):
    def open_network(query="", **options):
        page = visit(f"{address}/{query}", **options)
        page.locator(".diagram [data-key='mixture'] canvas").wait_for()
        _browser.settled(page)  # so that nothing moves under the pointer
        return page, page.locator(".diagram")

    return open_network


def centre(page, key, across=0.5, down=0.5):
    box = page.locator(f"[data-key='{key}'] .map").first.bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


# The columns of a map, of 21, where the canvas over the maps has something; "cell": in the colour
# of a frame around a cell, near any edge of its row.
MARKED = """([key, what]) => {
    const root = [...document.querySelectorAll('*')]
        .map(e => e.shadowRoot?.querySelector('.diagram')).find(Boolean);
    const overlay = root.querySelector('.overlay'), over = overlay.getBoundingClientRect();
    const map = root.querySelector(`[data-key="${key}"] .map`).getBoundingClientRect();
    const ratio = overlay.width / over.width, width = Math.round(map.width * ratio);
    const { data } = overlay.getContext('2d').getImageData((map.left - over.left) * ratio,
        (map.top - over.top) * ratio, width, map.height * ratio);
    const columns = new Set();
    for (let i = 0; i < data.length; i += 4) {
        const black = data[i + 3] > 60 && data[i] + data[i + 1] + data[i + 2] < 250;
        const marks = what === 'cell' ? black : data[i + 3] > 0;
        // Not the first and last pixel of a column, which a frame around its neighbour shares.
        const at = ((i / 4) % width + 0.5) / width * 21;
        if (marks && at % 1 > 0.3 && at % 1 < 0.7) columns.add(Math.floor(at));
    }
    return [...columns].sort((a, b) => a - b);
}"""


def framed(page, key):
    """Return the column of the framed cell; a frame is at least 5 pixels wide, a column 3."""
    columns = page.evaluate(MARKED, [key, "cell"])
    return columns[len(columns) // 2] if columns else None


def test_pointing_at_a_map_lights_its_position_in_every_map(network):
    page, diagram = network()
    page.mouse.move(*centre(page, "encoding", 0.64))
    expect(diagram.locator(".overlay")).to_have_attribute("data-position", "7")
    words = diagram.locator(".readout").inner_text()
    assert re.match(r"\d\.\d+ ppm · Encoding, filter \d+ \(.+\): .+ · Mask of ", words), words
    # What reaches the encoding: three positions of the mixture.
    assert page.evaluate(MARKED, ["mixture", ""]) == [12, 13, 14]
    assert framed(page, "encoding") == 13
    page.mouse.move(*centre(page, "block 12", 0.5))
    assert page.evaluate(MARKED, ["mixture", ""]) == list(range(21))
    assert framed(page, "encoding") is None


def test_beside_a_lesson_the_picture_scrolls_to_the_side_and_cuts_nothing_off(network):
    page, diagram = network("?lesson=dilation&lesson_step=1")
    expect(diagram.locator(".stage.block")).to_have_count(12)  # once the lesson has its place
    assert diagram.evaluate(CUT_OFF) == []
    picture = diagram.locator(".picture")
    assert picture.evaluate("e => e.scrollWidth > e.clientWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1366


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_click_unfolds_the_arithmetic_below_the_picture(network, scheme):
    page, diagram = network(scheme=scheme)
    page.mouse.click(*centre(page, "encoding", 0.64))
    panel = page.locator(".dock .panel")
    panel.get_by_text("products").wait_for()
    page.wait_for_url(re.compile("unfolded=encoding"))
    picture, below = diagram.locator(".picture").bounding_box(), panel.bounding_box()
    assert picture["y"] + picture["height"] <= below["y"] < below["y"] + below["height"] <= 769
    assert picture["y"] > 0  # and the picture is still on the screen
    assert framed(page, "encoding") == 13
    panel.get_by_role("button", name="Mask", exact=True).click()
    panel.get_by_role("heading", name=re.compile("^The mask of .* passes")).wait_for()
    page.wait_for_url(re.compile("unfolded=mask"))
    mask = re.search(r"unfolded=(mask-\d)", page.url)[1].replace("-", " ")
    page.mouse.move(0, 0)
    page.wait_for_function(f"([key]) => ({MARKED})([key, 'cell']).length > 0", arg=[mask])
    assert framed(page, "encoding") is None
    page.reload()
    panel.get_by_text("sigmoid", exact=False).first.wait_for()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    page.wait_for_function("() => !location.href.includes('unfolded')")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.stMain')).marginBottom") == "0px"
    )


def test_the_picture_fits_a_screen_of_1366_by_768_without_scrolling(network):
    page, diagram = network()
    box = diagram.locator(".picture").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] <= 768
    assert box["x"] + box["width"] <= 1366
    assert diagram.evaluate(CUT_OFF) == []


def test_play_shows_one_stage_after_the_other_and_can_pause_and_step(network):
    page, diagram = network()
    diagram.get_by_role("button", name="Play").click()
    diagram.get_by_text("2 of 20.").wait_for()
    diagram.get_by_role("button", name="Pause").click()
    says = diagram.locator(".says").inner_text()
    assert diagram.locator(".later").count() > 10
    diagram.get_by_role("button", name="Step").click()
    assert diagram.locator(".says").inner_text() != says
    diagram.get_by_role("button", name="Show all").click()
    assert diagram.locator(".later").count() == 0


def test_boxes_fold_to_their_result_and_unfold(network):
    page, diagram = network()
    assert diagram.locator(".stage.block").count() == 12
    diagram.get_by_role("button", name="2 Mask").click()
    assert diagram.locator(".stage.block").count() == 0
    assert diagram.locator(".stage.mask").count() == 3
    diagram.get_by_role("button", name="Show every layer").click()
    assert diagram.locator(".stage.block").count() == 12


def test_the_keyboard_alone_walks_unfolds_and_folds(network):
    page, diagram = network()
    diagram.locator("[data-key='mask 0']").focus()
    readout = diagram.locator(".readout")
    expect(readout).to_have_text(re.compile("Mask of"))
    before = readout.inner_text()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    # Both keys: another position and another filter.
    position, filter_ = before.split(" ppm")[0], before.split("filter ")[1].split(" ")[0]
    expect(readout).not_to_have_text(re.compile(f"^{position} ppm"))
    expect(readout).not_to_have_text(re.compile(f"filter {filter_} "))
    page.keyboard.press("Enter")
    panel = page.locator(".dock .panel")
    panel.get_by_text("sigmoid", exact=False).first.wait_for()
    panel.focus()
    title = panel.locator("h2").inner_text()
    page.keyboard.press("ArrowLeft")
    expect(panel.locator("h2")).not_to_have_text(title)
    assert panel.evaluate("e => e.getRootNode().activeElement === e")
    page.keyboard.press("Escape")
    page.wait_for_function("() => !location.href.includes('unfolded')")
    expect(panel).to_be_hidden()


def test_a_telephone_shows_three_boxes_one_below_the_other(network):
    page, diagram = network(viewport=NARROW)
    assert diagram.locator(".stage.block").count() == 0
    assert diagram.locator(".stage.mask").count() == 3
    assert diagram.evaluate(CUT_OFF) == []
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390


def test_axe_finds_nothing_serious(network):
    from axe_playwright_python.sync_playwright import Axe

    page, _ = network("?unfolded=mask-0~5~12")
    found = Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def test_slide_shows_the_arithmetic_at_one_position_after_the_other(network):
    page, diagram = network("?unfolded=encoding~17~5")
    panel, at = page.locator(".panel"), diagram.locator(".overlay")
    title, address = panel.locator("h2"), page.url
    chosen = title.inner_text()
    panel.get_by_role("button", name="Slide").click()
    expect(title).to_have_text(re.compile(r"at 10\.25 ppm"))
    for position, ppm in (("19", "9.75"), ("18", "9.25")):
        expect(at).to_have_attribute("data-position", position)
        expect(title).to_have_text(re.compile(f"at {ppm} ppm"))
    panel.get_by_role("button", name="Stop").click()
    expect(title).to_have_text(chosen)
    expect(at).to_have_attribute("data-position", "5")
    assert page.url == address
