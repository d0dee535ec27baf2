"""The app in Chromium: one visitor, two visitors at once, dark mode, accessibility."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from nmrclassify.bench import _browser
from nmrclassify.bench._browser import (
    COVERED,
    CUT_OFF,
    settled,
    start_training,
    wait_for_figure,
    wait_for_network,
)
from nmrclassify.ui.places import PAGES

NARROW = {"width": 390, "height": 844}
PATHS = ["" if page == "app.py" else Path(page).stem for page in PAGES]
BARE = ("", "train", "travel", "lessons", "glossary")  # pages without a Plotly figure at first


@pytest.fixture(scope="module")
def address():
    with _browser.server() as address:
        yield address


def go(page, link: str, title: str) -> None:
    """Change the page by the sidebar and the tabs."""
    _browser.go(page, link)
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for()


def choose_option(page, label: str, text: str) -> None:
    """Choose an option of a selectbox by a part of its text; a scroll would close its list."""
    box = page.get_by_role("combobox", name=label, exact=True)
    box.scroll_into_view_if_needed()
    settled(page)
    box.click()
    page.get_by_role("option").filter(has_text=text).first.click()


def expect_in_url(page, *parts: str) -> None:
    """Wait until the address has all of these parts."""
    for part in parts:
        expect(page).to_have_url(re.compile(re.escape(part)))


def test_the_first_page_shows_a_mixture_taken_apart(visit, address):
    page = visit(address)
    wait_for_network(page)
    expect(page.get_by_text("Test mixture 12 of")).to_be_visible()
    expect(page.get_by_text(re.compile("All 3 right")).first).to_be_visible()
    titles = page.locator(".diagram .title")
    for title in ("Mixture", "Encoding", "lactate", "Separated"):
        expect(titles.filter(has_text=title).first).to_be_visible()


def test_make_train_masks_separation(visit, address):
    page = visit(f"{address}/mixtures?preset=quick&seed=5&network=slots")
    wait_for_figure(page)
    go(page, "Train or load", "Train or load")
    page.get_by_label("Steps", exact=True).fill("30")
    page.get_by_label("Steps", exact=True).press("Enter")
    settled(page)
    page.get_by_role("button", name="Start").click()
    page.get_by_text("Finished at step 30 of 30").wait_for(timeout=120_000)
    page.wait_for_url(re.compile("model=2"))
    settled(page)
    expect(page.locator(".js-plotly-plot")).to_have_count(1)
    wait_for_network(page)
    go(page, "Masks", "Masks")
    wait_for_figure(page)
    settled(page)
    expect_in_url(page, "model=2", "preset=quick")
    expect(page.get_by_text("This network is untrained")).to_be_hidden()
    go(page, "Separation", "Separation")
    wait_for_figure(page)
    expect(page.get_by_text("How outputs are matched to sources")).to_be_visible()


def test_a_deep_link_on_a_fresh_server(visit):
    with _browser.server() as fresh:
        page = visit(f"{fresh}/masks?preset=original&seed=9&number=4&sort_filters=no")
        wait_for_figure(page)
        expect(page.get_by_text("Test mixture 4 of 10")).to_be_visible()
        settled(page)
        expect(page.get_by_text("Page not found")).to_be_hidden()
        expect_in_url(page, "/masks?", "preset=original", "seed=9", "number=4", "sort_filters=no")


def test_back_brings_the_page_before(visit, address):
    page = visit(address)
    wait_for_network(page)
    page.get_by_role("button", name="Next").click()
    page.get_by_text("Test mixture 13 of").wait_for()
    go(page, "Masks", "Masks")
    page.get_by_text("Test mixture 13 of").wait_for()
    page.go_back()
    page.get_by_role("heading", name="A network separates an NMR mixture").wait_for()
    page.get_by_text("Test mixture 13 of").wait_for()


def test_one_visitor_trains_and_the_other_is_untouched(visit, address):
    first = visit(f"{address}/train?preset=quick&steps=5000")
    other = visit(f"{address}/train?preset=quick&steps=5000")
    start_training(first)
    expect(other.get_by_text("There is no training in this visit yet")).to_be_visible()
    go(other, "Masks", "Masks")
    wait_for_figure(other)
    expect(other.get_by_text("This network is untrained")).to_be_visible()
    go(first, "Masks", "Masks")
    wait_for_figure(first)
    settled(first)
    expect(first.get_by_text("This network is untrained")).to_be_hidden()
    go(first, "Train or load", "Train or load")
    first.get_by_role("button", name="Stop").click()
    first.get_by_text("Stopped at step").wait_for()


def test_a_third_training_waits_for_a_place(visit, address):
    pages = [visit(f"{address}/train?preset=quick&steps=50000&seed={seed}") for seed in (1, 2)]
    for page in pages:
        start_training(page)
    third = visit(f"{address}/train?preset=quick&steps=20&seed=3")
    third.get_by_role("button", name="Start").click()
    third.get_by_text("Waiting for a free place").wait_for()
    for page in pages:
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped at step").wait_for(timeout=120_000)
    third.get_by_text("Finished at step 20").wait_for(timeout=200_000)


def test_a_row_opens_its_mixture(visit, address):
    page = visit(f"{address}/evaluate")
    wait_for_figure(page)
    grid = page.get_by_test_id("stDataFrame").bounding_box()
    page.mouse.click(grid["x"] + 16, grid["y"] + 35 + 35 * 2 + 17)
    page.get_by_role("heading", name="Masks", exact=True, level=1).wait_for()
    page.get_by_text("Test mixture 3 of").wait_for()


def test_the_keyboard_changes_the_mixture(visit, address):
    page = visit(address)
    wait_for_network(page)
    page.get_by_role("button", name="Next").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Test mixture 13 of").wait_for()


def test_dark_mode_reaches_the_figures(visit, address):
    page = visit(f"{address}/masks", scheme="dark")
    wait_for_figure(page)
    settled(page)
    page.wait_for_function(
        """() => {
            const text = document.querySelector('.js-plotly-plot .xtick text');
            const colour = text && getComputedStyle(text).fill.match(/\\d+/g).slice(0, 3);
            return colour?.every(value => value > 200);
        }"""
    )


def wait_for_range(page, figure: int, condition: str) -> None:
    """Wait until a figure's ppm range, `left` to `right`, fulfils a condition in JavaScript."""
    page.wait_for_function(
        f"""figure => {{
            const plot = document.querySelectorAll('.js-plotly-plot')[figure];
            const range = plot?.layout?.xaxis?.range;
            if (!range) return false;
            const [left, right] = range.map(value => Math.round(100 * value) / 100);
            return {condition};
        }}""",
        arg=figure,
    )


def test_full_scale_zooms_by_buttons_by_the_overview_and_by_a_row(visit, address):
    page = visit(f"{address}/scale?ppm_low=2&ppm_high=4")
    wait_for_figure(page)
    settled(page)
    wait_for_range(page, 0, "left === 4 && right === 2")
    wait_for_range(page, 1, "left === 12 && right === -1")
    points = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].flatMap(plot => plot._fullData.map(trace"
        " => trace._length))"
    )
    assert max(points) <= 5000
    page.get_by_role("button", name="In", exact=True).click()
    page.wait_for_url(re.compile("ppm_high=3.5&ppm_low=2.5"))
    settled(page)
    wait_for_range(page, 0, "left === 3.5 && right === 2.5")
    overview = page.locator(".js-plotly-plot .nsewdrag").nth(1)
    overview.scroll_into_view_if_needed()
    box = overview.bounding_box()
    place, height = (lambda share: box["x"] + share * box["width"]), box["y"] + box["height"] / 2
    page.mouse.move(place(0.3), height)
    page.mouse.down()
    page.mouse.move(place(0.35), height, steps=4)
    page.mouse.move(place(0.4), height + 2, steps=4)
    page.mouse.up()
    page.wait_for_url(re.compile("high=8.1"))
    settled(page)
    wait_for_range(page, 0, "8.0 < left && left < 8.2 && 6.7 < right && right < 6.9")
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    grid = table.bounding_box()
    page.mouse.click(grid["x"] + 16, grid["y"] + 35 + 35 * 3 + 17)
    page.wait_for_url(re.compile(r"\?compound=\d+$"))
    settled(page)
    wait_for_range(page, 0, "!(8.0 < left && left < 8.2 && 6.7 < right && right < 6.9)")


def test_uploads_are_kept_until_they_are_taken_out(visit, address, tmp_path):
    rows = "".join(f"mine{i};{i},3;d;3\n" for i in range(6))
    for name, text in (
        ("mixture.csv", "ppm;multiplicity;area\n1,32;d;3\n"),
        ("library.csv", "compound;ppm;multiplicity;protons\n" + rows),
    ):
        (tmp_path / name).write_text(text, "utf-16")
    page = visit(f"{address}/mixtures")
    page.get_by_text("Use your own mixture or library").click()
    files, cross = page.locator("input[type=file]"), page.get_by_test_id("stFileChipDeleteBtn")
    mixture = page.get_by_text("The mixture is your file mixture.csv")
    library = page.get_by_text("The library is your file library.csv, 6 compounds")
    files.nth(0).set_input_files(tmp_path / "mixture.csv")
    expect(mixture).to_be_visible()
    files.nth(1).set_input_files(tmp_path / "library.csv")
    expect(library).to_be_visible()
    expect(mixture).to_be_visible()
    cross.nth(1).click()
    expect(library).to_have_count(0)
    expect(mixture).to_be_visible()
    page.get_by_role("button", name="Remove the mixture").click()
    expect(mixture).to_have_count(0)
    expect(cross).to_have_count(0)


def test_a_spectrum_is_adjusted_its_evidence_opened_and_its_report_saved(
    visit, address, bruker_zip, tmp_path
):
    (tmp_path / "sample.zip").write_bytes(bruker_zip)
    page = visit(f"{address}/scale")
    page.get_by_text("Use your own mixture or library").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "sample.zip")
    expect(page.get_by_text("4.58 to 4.92 ppm were cut out").first).to_be_visible()
    settled(page)
    page.get_by_role("radio", name="cut", exact=True).click()
    plot = page.locator(".st-key-spectrum .nsewdrag")
    page.wait_for_function(
        "document.querySelector('.st-key-spectrum .js-plotly-plot')?._fullLayout?.dragmode"
        " === 'select'"
    )
    settled(page)
    expect(plot).to_have_count(1)
    plot.scroll_into_view_if_needed()
    box, y = plot.bounding_box(), plot.bounding_box()["y"] + 100
    low, high = plot.evaluate(
        """(node, ends) => {
            const layout = node.closest('.js-plotly-plot')._fullLayout
            return ends.map(ppm => layout.xaxis.d2p(ppm))
        }""",
        [4.3, 5.1],
    )
    page.mouse.move(box["x"] + high, y)
    page.mouse.down()
    page.mouse.move(box["x"] + (low + high) / 2, y + 5)
    page.mouse.move(box["x"] + low, y + 5)
    page.mouse.up()
    page.wait_for_url(
        re.compile("spectrum_regions=-0.2_0.2(~|%7E)4\\.(29|3|31)_5\\.(09|1|11)(&|$)")
    )
    expect(page.get_by_text("4.58 to 4.92 ppm were cut out")).to_have_count(0)
    settled(page)
    choose_option(page, "Reference", "By hand")
    shift = page.get_by_label("Shift of the axis (ppm)")
    shift.fill("-0.01")
    shift.press("Enter")
    expect(page.get_by_text("shifted by -0.0100 ppm by hand").first).to_be_visible()
    settled(page)
    choose_option(page, "Compound in orange", "niacinamide")
    expect_in_url(page, "compound=")
    expect(
        page.get_by_text(re.compile(r"niacinamide\. (Not named|Named) \(\d+%\): "))
    ).to_be_visible()
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Report as HTML").click()
    text = download.value.path().read_text()
    assert "by hand" in text
    assert "sample.zip" in text


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_cut_off_on_a_narrow_screen(visit, address, path):
    page = visit(f"{address}/{path}", viewport=NARROW)
    if path not in BARE:
        wait_for_figure(page)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    boxes = [plot.bounding_box() for plot in page.locator(".js-plotly-plot:visible").all()]
    assert boxes or path in BARE
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= NARROW["width"] + 1 for box in boxes)
    assert not page.evaluate(CUT_OFF)
    assert not page.evaluate(COVERED)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PATHS)
def test_axe_finds_nothing_serious(visit, address, path, scheme):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(f"{address}/{path}", scheme=scheme)
    if path not in BARE:
        wait_for_figure(page)
    settled(page)
    found = [
        v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")
    ]
    assert not found, [(v["id"], [node["html"][:160] for node in v["nodes"]][:4]) for v in found]
