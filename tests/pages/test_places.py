"""The places of the app: their links, the tabs of their pages, and the controls of each page."""

from pathlib import Path

import pytest

from nmrclassify.lessons.glossary import TERMS
from nmrclassify.lessons.scenes import SCENES
from nmrclassify.ui.places import ALL, PAGES, PLACES

# Part of the sidebar, and the labels of its controls.
LABELS = {
    "data": {"Data"},
    "model": {"Model"},
    "step": {"Training step"},
    "mixture": {"Mixture", "Number, 1 to 36", "Add an unknown compound"},
}
# A value of a control of each part that pages on which it acts show.
CHANGES = {"mixture": {"number": 5, "unknown_compound": "yes"}, "step": {"step": 180}}


def controls(app) -> set[str]:
    kinds = ("selectbox", "radio", "number_input", "checkbox", "select_slider")
    return {one.label for kind in kinds for one in getattr(app.sidebar, kind)}


def links(part) -> list[str]:
    return [link.proto.label for link in part.get("page_link")]


def test_every_page_has_one_place():
    root = Path(__file__).parents[2]
    files = {f"pages/{path.name}" for path in (root / "pages").glob("*.py")} | {"app.py"}
    listed = [page for place in PLACES for page in place.pages]
    assert sorted(listed) == sorted(files)
    assert [place.label for place in PLACES] == ["Explore", "Train", "Test", "Learn", "Full scale"]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_the_links_and_the_controls_that_act_on_it(open_page, page):
    app = open_page(page)
    here = next(place for place in PLACES if page in place.pages)
    tabs = [tab.label for tab in here.pages.values()]
    assert links(app.sidebar) == [place.label for place in PLACES]
    shown = links(app.main)
    assert shown[: len(tabs)] == tabs * (len(tabs) > 1)
    # Train leads to the steps of the loaded model.
    assert len(shown[len(tabs) :]) == (page == "pages/train.py")
    if here.label == "Full scale":  # it has data of its own
        assert not controls(app) & set.union(*LABELS.values())
        return
    shown = controls(app)
    for part, labels in LABELS.items():
        if part in PAGES[page].controls:
            assert labels <= shown
        else:
            assert not labels & shown
    expander = any(one.label == "How mixtures are made" for one in app.sidebar.expander)
    assert expander == ("data" in PAGES[page].controls)


@pytest.mark.parametrize(
    ("page", "part"),
    [
        (page, part)
        for page, tab in PAGES.items()
        for part in CHANGES
        # Time travel has the step on the page.
        if part not in tab.controls and (page, part) != ("pages/travel.py", "step")
    ],
)
def test_a_control_that_is_left_out_would_change_nothing(open_page, page, part):
    before, after = open_page(page), open_page(page, **CHANGES[part])
    assert after.link == {key: str(value) for key, value in CHANGES[part].items()}
    assert after.texts.replace("Test mixture 5", "Test mixture 12") == before.texts
    assert after.figures == before.figures


def test_values_of_controls_that_a_page_leaves_out_are_kept(open_page):
    query = {"mixture": "choose", "compound_1": 4, "amount_1": 1.5, "unknown_compound": "yes"}
    app = open_page("pages/masks.py", **query)
    before, link = app.texts, app.link
    for page in ("pages/evaluate.py", "pages/lessons.py", "pages/scale.py"):
        app.switch_page(page).run()
        assert app.link == link
    app.switch_page("pages/masks.py").run()
    assert not app.exception
    assert app.texts == before


def test_a_place_opens_its_page_seen_last(open_page):
    app = open_page("pages/masks.py")
    app.switch_page("pages/robustness.py").run()
    places = {link.proto.label: link.proto.page for link in app.get("page_link")}
    assert places["Explore"] == "masks"
    assert places["Test"] == "robustness"
    assert places["Learn"] == "lessons"


def test_a_presenter_sees_no_tabs(open_page):
    app = open_page("pages/masks.py", presenter="yes")
    assert not links(app.main)


def test_all_parts_of_the_sidebar_are_known():
    assert set(LABELS) == ALL


def test_the_glossary_shows_every_term(open_page):
    app = open_page("pages/glossary.py")
    for name, one in TERMS.items():
        assert f"### {name}\n{one.meaning}" in app.texts


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.title)
def test_a_scene_opens_from_the_menu(open_page, scene):
    app = open_page("pages/whatif.py", preset="quick", edits="cut_5")
    app.press(scene.title)
    assert app.link == scene.link()
    assert not app.warning or scene.title in ("Peaks drift",)  # there, the network is wrong
    if "lesson" in scene.state:
        assert "Training mixtures and unseen mixtures" in app.texts
    else:
        assert scene.text in app.texts
        assert scene.text not in open_page(scene.page).texts


def test_only_pages_to_explore_offer_scenes(open_page):
    titles = {scene.title for scene in SCENES}
    assert titles <= {button.label for button in open_page("pages/inside.py").button}
    assert not titles & {button.label for button in open_page("pages/evaluate.py").button}


def test_settings_are_reset_where_they_act(open_page):
    app = open_page("pages/masks.py", number=3, jitter=0.5, edits="cut_7", position=4)
    app.press("Reset settings")
    assert app.link == {}
    assert "Test mixture 12 of 36" in app.texts
    assert not app.has_button("Reset settings")
    assert not open_page("pages/glossary.py", number=3).has_button("Reset settings")
    # A lesson sets them itself.
    lesson = {"lesson": "mask", "lesson_step": 1}
    assert not open_page("pages/masks.py", number=3, **lesson).has_button("Reset settings")
