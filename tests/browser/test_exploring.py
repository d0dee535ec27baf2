"""Pages for exploring, in Chromium: time travel, what if, a cell, compare, lessons, export."""

import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from playwright.sync_api import expect

from nmrclassify.bench import _browser
from nmrclassify.bench._browser import CUT_OFF, go, settled, wait_for_figure, wait_for_network
from nmrclassify.lessons import LESSONS
from nmrclassify.mixtures.presets import build
from nmrclassify.training import runs
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

WIDE, NARROW = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
RUN = "20260101-000000-queries-metabolites-s7-0123456789ab"
both_schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A server that has a run with steps to travel through."""
    home = tmp_path_factory.mktemp("home") / "runs"
    trainer = Trainer(
        build("metabolites", 7), replace(recipe("queries"), steps=60, batch_size=32), kind="queries"
    )
    *_, last = trainer.snapshots(10)
    runs.save(
        Checkpoint.from_trainer(trainer, last.test),
        trainer.history,
        home / RUN,
        "cli",
        trainer.training_history,
    )
    with _browser.server(home) as address:
        yield address


@pytest.fixture
def visit(browser, address):
    """Open a path as a visitor of one's own."""
    contexts = []

    def open_path(path, scheme="light", viewport=WIDE):
        context = browser.new_context(viewport=viewport, color_scheme=scheme, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{address}/{path}")
        page.get_by_role("heading", level=1).wait_for(timeout=30_000)
        settled(page)
        return page

    yield open_path
    for context in contexts:
        context.close()


def button(page, name: str):
    """Return the main area's button of this name; its accessible name begins with its icon."""
    return (
        page.get_by_test_id("stMain").get_by_role("button", name=re.compile(rf"\b{name}\b")).first
    )


def click_cell(page, key: str, column: float, row: float, subplot: int = 0) -> None:
    """Click a map at shares of its width and height."""
    plot = page.locator(f".st-key-{key} .js-plotly-plot .nsewdrag").nth(subplot)
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    page.mouse.click(box["x"] + column * box["width"], box["y"] + row * box["height"])


def serious(page) -> list:
    """Return what axe finds that is serious or critical."""
    from axe_playwright_python.sync_playwright import Axe

    found = [
        v for v in Axe().run(page).response["violations"] if v["impact"] in ("serious", "critical")
    ]
    return [(v["id"], [node["html"][:160] for node in v["nodes"]][:4]) for v in found]


# The first mask of the network's picture.
MASK = """() => {
    for (const element of document.querySelectorAll('*')) {
        const map = element.shadowRoot?.querySelector('[data-key^="mask"] canvas');
        if (map) return map.toDataURL();
    }
}"""
CONTENT = """key => JSON.stringify(
    document.querySelector(`.st-key-${key} .js-plotly-plot`)?.data?.map(
        t => [t.z?.bdata, t.z, t.x?.bdata, t.x]))"""


def content(page, key: str) -> str:
    """Return what a figure draws, as text, once it is drawn."""
    return page.wait_for_function(CONTENT, arg=key).json_value()


def wait_for_content(page, key: str, text: str, same: bool = True) -> None:
    """Wait until `content` of a figure is a text, or another one."""
    page.wait_for_function(
        f"""([key, text, same]) => {{
            const now = ({CONTENT})(key);
            return now !== undefined && (now === text) === same;
        }}""",
        arg=[key, text, same],
    )


def wait_for_frames(page, count: int) -> None:
    """Wait until the map of masks has this number of frames around cells."""
    page.wait_for_function(
        """count => document.querySelector('.st-key-masks .js-plotly-plot')?.layout?.shapes?.filter(
            s => s.line?.color === '#E69F00').length === count""",
        arg=count,
    )


def expect_in_url(page, *parts: str) -> None:
    """Wait until the address has all of these parts."""
    for part in parts:
        expect(page).to_have_url(re.compile(re.escape(part)))


# A. Time travel


@both_schemes
def test_time_travel_plays_and_every_page_follows(visit, scheme):
    page = visit(f"travel?model={RUN}", scheme)
    wait_for_figure(page)
    end = page.evaluate(MASK)
    button(page, "Play").click()
    page.wait_for_url(re.compile(r"[?&]step=\d"))
    button(page, "Pause").wait_for()
    # The address follows at the pause: each frame would be an entry of the browser's history.
    # The heading of the frame before may still be there.
    page.get_by_role("heading", name=re.compile(r"^Step \d{2,}")).first.wait_for()
    button(page, "Pause").click()
    button(page, "Play").wait_for()
    settled(page)
    page.wait_for_function(f"({MASK})() !== {end!r}")
    click_cell(page, "strip", 0.3, 0.5)
    page.wait_for_function(f"location.href !== {page.url!r}")
    settled(page)
    step = int(re.search(r"step=(\d+)", page.url)[1])
    # The place of the click on the axis lies in the column of the step that it chose.
    low, high = page.evaluate(
        "document.querySelector('.st-key-strip .js-plotly-plot').layout.xaxis.range"
    )
    steps = page.evaluate(
        "document.querySelector('.st-key-strip .js-plotly-plot').data[0].meta.steps"
    )
    clicked = low + 0.3 * (high - low)
    assert step == min(steps, key=lambda one: abs(one**0.5 - clicked))
    page.get_by_role("heading", name=f"Step {step}").wait_for()
    assert not serious(page)
    go(page, "Masks")
    page.get_by_role("heading", name="Masks", exact=True, level=1).wait_for()
    settled(page)
    expect_in_url(page, f"step={step}")
    expect(page.get_by_test_id("stSidebar").get_by_text("Training step")).to_be_visible()


# B. What if


@both_schemes
def test_what_if_by_click_with_undo_and_difference(visit, scheme):
    page = visit("whatif", scheme)
    wait_for_figure(page)
    before = content(page, "classes")
    click_cell(page, "mixture", (21 - 7 - 0.5) / 21, 0.5)
    page.wait_for_url(re.compile("position=7"))
    settled(page)
    expect(page.locator(".dock .panel")).to_be_hidden()
    button(page, "Remove it").click()
    page.wait_for_url(re.compile("edits=cut_7"))
    settled(page)
    wait_for_content(page, "classes", before, same=False)
    titles = page.locator(".st-key-masks .annotation-text")
    expect(titles.filter(has_text=re.compile("^Difference")).first).to_be_visible()
    assert not serious(page)
    page.keyboard.press("Alt+z")
    page.wait_for_function("!location.href.includes('edits=')")
    wait_for_content(page, "classes", before)
    page.keyboard.press("Alt+y")
    page.wait_for_url(re.compile("edits=cut_7"))


# C. Look inside


@both_schemes
def test_a_click_on_a_mask_unfolds_it_in_the_panel_below_the_map(visit, scheme):
    page = visit("masks", scheme)
    wait_for_figure(page)
    click_cell(page, "masks", 0.27, 0.4)
    panel = page.locator(".dock .panel")
    panel.get_by_role("heading", name=re.compile("^The mask of .* passes .*\\.$")).wait_for()
    expect_in_url(page, "output=", "filter=", "position=", "unfolded=mask")
    wait_for_frames(page, 3)  # the mask of the output, the ideal mask and the difference
    settled(page)
    map_ = page.locator(".st-key-masks .js-plotly-plot .nsewdrag").first.bounding_box()
    assert map_["y"] > 0 and map_["y"] + map_["height"] <= panel.bounding_box()["y"]
    assert not serious(page)
    go(page, "Separation")  # the panel goes along
    panel.get_by_role("heading", name=re.compile("^The mask of .* passes")).wait_for()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    # By keyboard alone: the button before the page, which shows itself when it has the focus.
    settled(page)
    page.locator(".dock .offer").focus()
    page.keyboard.press("Enter")
    panel.get_by_role("heading", name=re.compile("^The mask of ")).wait_for()
    assert panel.evaluate("e => e.getRootNode().activeElement === e")


@pytest.mark.parametrize(
    "path",
    [
        "mixtures",
        "masks",
        "separation",
        "inside",
        "whatif?edits=cut_7",
        f"compare?model={RUN}",
        f"travel?model={RUN}",
        "quiz",
    ],
)
def test_no_map_is_dead(visit, path):
    page = visit(path)
    wait_for_figure(page)
    settled(page)
    folded = page.locator(".stMain details:not([open]):has(.js-plotly-plot) > summary")
    while folded.count():
        folded.first.click()
        settled(page)
    maps = page.evaluate(
        """() => [...document.querySelectorAll('.stMain .js-plotly-plot')].flatMap(plot => {
            const key = plot.closest('[class*="st-key-"]').className.match(/st-key-([\\w-]+)/)[1];
            const number = axis => axis.slice(1) || 1;
            // An axis over another takes its clicks in the area of that one.
            const below = axis => plot.layout[`yaxis${axis.slice(1)}`]?.overlaying || axis;
            const axisOf = trace => below(trace.yaxis ?? 'y');
            const axes = [...new Set(plot.data.map(axisOf))].sort((a, b) => number(a) - number(b));
            return plot.data.filter(t => t.meta?.rows)
                .map(t => [key, axes.indexOf(axisOf(t)), t.meta.rows]);
        })"""
    )
    assert maps
    for turn, (key, subplot, rows) in enumerate(maps):
        before = page.url
        # Another cell each time, so that the link has to change.
        column, row = {
            "classes": (0.85, 0.5),
            "grid": (0.04, 0.08 + 0.6 * (turn % 2)),
        }.get(rows, ((0.025 + 0.0478 * turn) % 1, (0.1 + 0.11 * turn) % 0.85))
        click_cell(page, key, column, row, subplot)
        try:
            page.wait_for_function(f"location.href !== {before!r}", timeout=30_000)
        except Exception as error:
            raise AssertionError(f"a click on {key}, part {subplot}, changes nothing") from error
        settled(page)
        page.keyboard.press("Escape")  # the panel takes a part of the window
        settled(page)


def test_a_term_shows_its_meaning_and_opens_the_glossary_in_the_same_session(visit):
    page = visit("masks?number=5&unfolded=mask-0~5~12")
    wait_for_figure(page)
    panel = page.locator(".dock .panel")
    panel.wait_for()
    link = page.get_by_test_id("stMain").get_by_role("link", name="masks", exact=True)
    link.click()
    meaning = page.locator(".meaning")
    expect(meaning).to_contain_text("masks: A number from 0 (blocks) to 1 (passes)")
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()
    expect(panel).to_be_visible()  # Escape closes what was opened last
    link.press("Enter")
    page.get_by_role("button", name="More in the glossary").press("Enter")
    page.get_by_role("heading", name="Glossary", exact=True, level=1).wait_for()
    assert len(page.context.pages) == 1
    expect_in_url(page, "number=5")
    heading = page.get_by_role("heading", name="mask", exact=True)
    tabs = page.locator(".st-key-tabs").bounding_box()
    page.wait_for_function(
        "([id, low]) => { const { top } = document.getElementById(id).getBoundingClientRect();"
        " return low <= top && top < low + 80; }",
        arg=["mask", tabs["y"] + tabs["height"]],
    )
    expect(heading).to_be_visible()


# D. Compare


@both_schemes
def test_compare_by_link_frames_the_same_cell_on_both_sides(visit, scheme):
    page = visit(f"compare?model={RUN}&step_b=20", scheme)
    wait_for_figure(page)
    for side in "AB":
        expect(page.get_by_text(f"{side}: run 20260101").first).to_be_visible()
    click_cell(page, "masks", 0.1, 0.4)
    page.locator(".dock .panel h2").wait_for()
    page.keyboard.press("Escape")
    settled(page)
    n_maps, n_outputs = page.evaluate(
        """() => {
            const { data } = document.querySelector('.st-key-masks .js-plotly-plot');
            return [data.length, data[0].meta.outputs.length];
        }"""
    )
    assert n_maps == 3
    assert n_outputs > 0
    wait_for_frames(page, 3 * n_outputs)
    expect_in_url(page, f"model={RUN}")
    expect(page).to_have_url(re.compile(r"step_b=\d"))
    assert not serious(page)


# E. Lessons


FOCUSED = """() => {
    const focused = document.activeElement;
    const place = focused?.closest('.st-key-lesson') ? ' of the lesson' : '';
    return focused?.tagName === 'BUTTON' ? focused.innerText : `${focused?.type}${place}`;
}"""


def press_until(page, key: str, focused: str, most: int = 120) -> None:
    """Press a key until the focused button's text, or the type of the focused input, matches."""
    for _ in range(most):
        page.keyboard.press(key)
        if re.search(focused, page.evaluate(FOCUSED)):
            return
    raise AssertionError(f"{focused} is not reached by {key}")


@both_schemes
def test_a_lesson_is_done_with_the_keyboard_alone(visit, scheme):
    page = visit("lessons", scheme)
    lesson = LESSONS["mixture"]
    press_until(page, "Tab", "Begin")
    page.keyboard.press("Enter")
    for part, step in enumerate(lesson.steps, 1):
        page.get_by_text(f"{lesson.title}, step {part} of {len(lesson.steps)}").wait_for(
            timeout=30_000
        )
        settled(page)
        page.keyboard.press("Alt+a")
        page.get_by_text("The answer: ").first.wait_for()
        expect(page.get_by_text("Computed by this app")).to_have_count(int(bool(step.claims)))
        if part == 2:
            assert not serious(page)
        page.keyboard.press("Alt+n")
    following = list(LESSONS)[1]
    page.wait_for_url(re.compile(f"lesson={following}&.*lesson_step=1"))
    page.keyboard.press("Alt+b")  # there is none before
    settled(page)
    press_until(page, "Tab", "Leave")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Lessons", exact=True, level=1).wait_for()
    page.get_by_text(f"{len(lesson.steps)} of {len(lesson.steps)} steps").wait_for()


def test_an_answer_is_chosen_by_keyboard_and_marked(visit):
    page = visit("masks?lesson=mask&lesson_step=1")
    page.get_by_role("radio").first.wait_for(state="attached")
    page.locator(".st-key-lesson input[type=radio]").first.wait_for(state="attached")
    press_until(page, "Tab", "^radio of the lesson$")
    page.keyboard.press("ArrowDown")
    settled(page)
    page.keyboard.press("Alt+a")
    page.get_by_text(re.compile("Right: |Not quite")).first.wait_for()


def test_a_lesson_trains_on_request_with_progress_and_compares(visit):
    name, part = next(
        (n, i)
        for n, lesson in LESSONS.items()
        for i, step in enumerate(lesson.steps, 1)
        if step.facts.trains and step.facts.seconds < 10
    )
    step = LESSONS[name].steps[part - 1]
    page = visit(
        f"{step.page.removeprefix('pages/').removesuffix('.py')}?lesson={name}&lesson_step={part}"
    )
    button(page, "Train it now").click()
    page.get_by_text(re.compile("about [0-9]+ s left")).first.wait_for()
    page.get_by_text("It agrees with the packaged figures").wait_for(timeout=90_000)
    page.keyboard.press("Alt+a")
    page.get_by_text("The answer: ").first.wait_for()
    expect(page.locator(".st-key-lesson")).not_to_contain_text("✗")


# Boxes of the rail, the framed figure and the buttons; and what of the rail is cut off.
RAIL = """(key) => {
  const box = (element) => {
    const { left, right, top, bottom } = element.getBoundingClientRect();
    return { left, right, top, bottom };
  };
  const rail = document.querySelector('.st-key-lesson');
  const inside = [...rail.querySelectorAll('p, label, button, li')].filter((e) => e.offsetWidth);
  const edge = rail.getBoundingClientRect();
  return {
    rail: box(rail),
    target: box(document.querySelector(`.st-key-${key}`)),
    buttons: inside.filter((e) => e.matches('.st-key-lesson-buttons button')).map(box),
    answer: rail.querySelector('.st-key-lesson-answer') &&
      box(rail.querySelector('.st-key-lesson-answer')),
    scrolls: rail.scrollHeight > rail.clientHeight + 1,
    cut: inside.filter((e) => e.scrollWidth > e.clientWidth + 1
      || e.getBoundingClientRect().right > edge.right + 1
      || e.getBoundingClientRect().left < edge.left - 1).map((e) => e.textContent),
    page: document.documentElement.scrollWidth,
  };
}"""


def test_a_wide_window_has_the_lesson_beside_what_it_frames(visit):
    page = visit("masks?lesson=mask&lesson_step=1")
    wait_for_figure(page)
    page.wait_for_function(
        """() => { const box = document.querySelector('.st-key-masks').getBoundingClientRect();
        return box.top < 400; }"""
    )
    settled(page)
    found = page.evaluate(RAIL, "masks")
    assert found["rail"]["right"] == WIDE["width"]
    assert found["rail"]["bottom"] == WIDE["height"]
    assert found["target"]["right"] < found["rail"]["left"]
    assert not found["cut"]
    assert not found["scrolls"]
    page.keyboard.press("Alt+a")
    page.get_by_text("The answer: ").wait_for()
    settled(page)
    found = page.evaluate(RAIL, "masks")
    assert not found["cut"]
    assert len(found["buttons"]) == 3
    for box in found["buttons"]:
        assert found["rail"]["top"] <= box["top"] < box["bottom"] <= WIDE["height"]
    assert found["answer"]["top"] < found["buttons"][0]["top"]


def test_a_narrow_window_has_the_whole_lesson_above_what_it_frames(visit):
    page = visit("masks?lesson=mask&lesson_step=1", viewport=NARROW)
    wait_for_figure(page)
    page.keyboard.press("Alt+a")
    page.get_by_text("The answer: ").wait_for()
    settled(page)
    found = page.evaluate(RAIL, "masks")
    assert not found["cut"]
    assert not found["scrolls"]
    assert found["rail"]["bottom"] <= found["target"]["top"]
    assert found["page"] <= NARROW["width"]
    button(page, "Show it on the page").click()
    expect(page.get_by_text("↑ Lesson")).to_be_visible()
    page.wait_for_function(
        "document.querySelector('.st-key-masks').getBoundingClientRect().top < innerHeight / 2"
    )
    page.get_by_text("↑ Lesson").click()
    page.wait_for_function(
        "document.querySelector('.st-key-lesson').getBoundingClientRect().bottom > 0"
    )


def test_a_reload_keeps_the_answer_and_the_progress(visit):
    page = visit("separation?lesson=mask&lesson_step=3")
    page.locator(".st-key-lesson input[type=radio]").first.wait_for(state="attached")
    page.keyboard.press("Alt+a")
    page.get_by_text("The answer: ").wait_for()
    settled(page)
    page.reload()
    page.get_by_text("The answer: ").wait_for()
    page.goto(page.url.split("/separation")[0] + "/lessons")
    page.get_by_text("1 of 5 steps").wait_for()
    button(page, "Continue").click()
    page.wait_for_url(re.compile("lesson=mask&lesson_step=1"))


@both_schemes
def test_the_quiz_keeps_the_score(visit, scheme):
    page = visit("quiz?quiz_round=3", scheme)
    wait_for_figure(page)
    for name in ("glycine", "ethanol", "lactate"):
        page.get_by_role("button", name=name, exact=True).click()
    button(page, "Check").click()
    page.get_by_text("The network: ").wait_for()
    settled(page)
    assert not serious(page)
    page.reload()
    page.get_by_text("The network: ").wait_for()
    settled(page)
    page.keyboard.press("Alt+n")
    page.wait_for_url(re.compile("quiz_round=4"))


# F. Take it with you


@both_schemes
def test_link_pictures_data_and_program_are_taken_along(visit, browser, scheme):
    page = visit("whatif?edits=cut_7&number=3", scheme)
    wait_for_figure(page)
    page.get_by_test_id("stSidebar").get_by_text("Take it with you").click()
    picture = page.get_by_role("button", name="classes as PNG")
    picture.wait_for()
    settled(page)
    # The component's own style: without it, a button of the browser has square corners.
    assert picture.evaluate("e => parseFloat(getComputedStyle(e).borderRadius)") > 4
    assert not serious(page)
    for name, ending, start in (
        ("classes as PNG", "png", b"\x89PNG"),
        ("classes as SVG", "svg", b"<svg"),
        ("classes (CSV)", "csv", b"part,"),
    ):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        taken = download.value.path().read_bytes()
        assert taken.startswith(start)
        assert download.value.suggested_filename.endswith(ending)
    expect(page.get_by_text("Cut(position=7)").first).to_be_attached()
    code = page.locator("[data-testid=stCode]").filter(has_text="/whatif?").first
    link = code.inner_text().replace("\n", "").strip()
    other = browser.new_context(viewport=WIDE, color_scheme=scheme).new_page()
    other.goto(link)
    wait_for_figure(other)
    settled(other)
    wait_for_content(other, "classes", content(page, "classes"))
    other.context.close()


def test_the_picture_of_the_network_is_taken_along(visit):
    page = visit("?unfolded=mask-0~5~12")
    wait_for_network(page)
    page.get_by_test_id("stSidebar").get_by_text("Take it with you").click()
    page.get_by_role("button", name="network as PNG").wait_for()
    settled(page)
    taken = {}
    for name in ("network as PNG", "network as SVG", "network (CSV)"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name).click()
        taken[download.value.suggested_filename] = download.value.path().read_bytes()
    assert taken["nmrclassify-network.png"].startswith(b"\x89PNG")
    picture = ElementTree.fromstring(taken["nmrclassify-network.svg"])
    drawn = [one.tag.rpartition("}")[2] for one in picture.iter()]
    assert drawn.count("image") == page.locator(".diagram canvas").count() > 20
    words = " ".join(picture.itertext())
    for expected in ("Test mixture 12 of 36: ", "1 Take apart", "dilation 8", "ethanol 98"):
        assert expected in words
    assert b"Mask 1: lactate,5,6.25 ppm,0.44" in taken["nmrclassify-network.csv"]


@both_schemes
def test_presenter_mode_is_large_and_left_by_keyboard(visit, scheme):
    page = visit("", scheme)
    wait_for_network(page)
    page.get_by_test_id("stSidebar").get_by_role("button", name="Presenter mode").click()
    page.wait_for_url(re.compile("presenter=yes"))
    settled(page)
    expect(page.get_by_test_id("stSidebar")).to_be_hidden()
    assert not serious(page)
    names = page.locator(".diagram .name")
    assert names.evaluate_all("all => all.every(e => e.scrollWidth <= e.clientWidth + 1)")
    page.keyboard.press("Alt+p")
    page.get_by_test_id("stSidebar").wait_for()


@pytest.mark.parametrize(
    "path",
    [
        f"travel?model={RUN}",
        "masks?lesson=mask&lesson_step=1",
        "whatif?edits=cut_7~amount_4_2",
        f"compare?model={RUN}&model_b=reference",
    ],
)
def test_nothing_is_cut_off_on_a_narrow_screen(visit, path):
    page = visit(path, viewport=NARROW)
    wait_for_figure(page)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert not page.evaluate(CUT_OFF)
