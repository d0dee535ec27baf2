"""The pages for exploring: look inside, what if, time travel, compare, lessons, quiz, export."""

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from nmrclassify.lessons import LESSONS
from nmrclassify.mixtures.edits import Add, Amount, Cut, Move, Scale
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.axis import Axis
from nmrclassify.training import packaged
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer
from nmrclassify.ui import clicks, editor, lesson_facts

INSIDE, WHATIF, TRAVEL, COMPARE, QUIZ = (
    f"pages/{name}.py" for name in ("inside", "whatif", "travel", "compare", "quiz")
)


def values(trace: dict) -> np.ndarray:
    """Return the numbers of a trace, which travel as bytes."""
    z = trace.get("z", trace.get("x"))
    if isinstance(z, dict):
        return np.frombuffer(__import__("base64").b64decode(z["bdata"]), dtype=z["dtype"]).reshape(
            [int(n) for n in z.get("shape", "-1").split(",")]
        )
    return np.array(z, dtype=float)


# Look inside


def test_slide_brings_the_arithmetic_of_every_position_once(open_page):
    app = open_page("app.py", unfolded="block-3~4~6")
    chosen = app.panel
    assert chosen["slide"] is None
    app.session_state["panel slides"] = True  # what the button's message sets
    app.run()
    frames = app.panel["slide"]
    assert [one["cell"]["position"] for one in frames] == list(range(21))[::-1]
    assert frames[14]["title"] == chosen["title"]
    assert frames[14]["arithmetic"] == chosen["arithmetic"]
    assert len({one["title"] for one in frames}) == 21
    app.run()
    assert app.panel["slide"] is None


def test_the_panel_shows_the_cell_that_the_link_names(open_page):
    app = open_page(INSIDE, model="queries", output=3, filter=7, position=2)
    title = r"The mask of alanine passes [\d.]+% of filter %d \([a-z ,]+\) at 1.25 ppm\."
    assert re.fullmatch(title.replace("%d", "7"), app.panel["title"])
    assert app.panel["cell"] == {"key": "mask 2", "row": 7, "position": 2}
    assert len(app.get("plotly_chart")) == 3
    assert app.link == {"model": "queries", "output": "3", "filter": "7", "position": "2"}
    next(n for n in app.number_input if n.label == "Filter").set_value(8).run()
    assert re.fullmatch(title.replace("%d", "8"), app.panel["title"])
    cell = {"model": "queries", "output": "3", "filter": "8", "position": "2"}
    assert app.link == cell | {"unfolded": "mask-2~8~2"}
    app.radio(key="widget blocks").set_value("residual").run()
    assert app.panel["cell"]["row"] == 8


@pytest.mark.parametrize(
    "query",
    [
        {"output": 11, "filter": 511, "position": 511},
        {"network": "slots", "model": "untrained", "output": 9},
    ],
)
def test_a_cell_beyond_the_network_gives_way_to_the_nearest(open_page, query):
    app = open_page(INSIDE, **query)
    assert app.panel["open"]
    assert len(app.get("plotly_chart")) == 3


@pytest.mark.parametrize("cell", ["mask-0~5~99", "block-99~1~1", "mask-99~1~1", "whatever~1~1"])
def test_a_cell_that_the_network_does_not_have_is_not_unfolded(open_page, cell):
    assert not open_page("app.py", unfolded=cell).panel["open"]


@pytest.mark.parametrize(
    "page",
    ["app.py", "pages/mixtures.py", "pages/masks.py", "pages/separation.py", "pages/whatif.py"],
)
def test_every_page_unfolds_the_cell_of_the_link(open_page, page):
    app = open_page(page, unfolded="mask-0~5~12", output=1, filter=5, position=12)
    assert app.panel["title"].startswith("The mask of lactate passes ")
    way = [step["label"] for step in app.panel["way"]]
    assert way[0] == "Mixture" and way[-1] == "Compounds"
    assert [step["label"] for step in app.panel["way"] if step["here"]] == ["Mask"]
    assert "no class would change" in app.panel["effect"]  # nothing is there


def test_the_quiz_unfolds_nothing(open_page):
    panel = open_page(QUIZ, unfolded="mask-0~5~12").panel
    assert not panel["open"] and not panel["offers"]


# What if


def test_edits_come_by_link_and_can_be_undone_and_redone(open_page):
    app = open_page(WHATIF, edits="move_8_1~amount_4_2")
    assert "2 edits" in app.texts
    assert "move the multiplet at 4.25 ppm by +0.50 ppm" in app.texts
    assert "2 x acetate" in app.texts
    assert len(app.get("plotly_chart")) == 5
    app.press("Undo")
    assert app.link["edits"] == "move_8_1"
    app.press("Redo")
    assert app.link["edits"] == "move_8_1~amount_4_2"
    app.press("Start over")
    assert "edits" not in app.link
    assert len(app.get("plotly_chart")) == 3
    app.press("Redo")
    assert app.link["edits"] == "move_8_1"


def test_an_edit_that_a_link_undid_is_not_offered_to_redo(open_page):
    app = open_page(WHATIF, edits="move_8_1~amount_4_2")
    app.press("Undo")
    assert app.has_button("Redo")
    app.query_params["edits"] = "move_8_1~amount_4_2"
    app.run()
    assert "2 edits" in app.texts
    assert not app.has_button("Redo")


def test_buttons_edit_at_the_chosen_position_and_the_answer_follows(open_page):
    app = open_page(WHATIF, position=7)
    app.press("Remove it")
    assert app.link["edits"] == "cut_7"
    bars = app.figure("classes")["data"]
    before, after = values(bars[0]), values(bars[1])
    assert before[4] > 0.9
    assert after[4] < 0.1
    app.selectbox(key="add kind").set_value("t")
    app.press("Add a multiplet")
    assert app.link["edits"] == "cut_7~add_7_t_1"
    assert "added by hand" in app.texts


def test_a_multiplet_moves_by_ppm_where_the_axis_has_it(open_page):
    app = open_page(WHATIF, position=7)
    (by,) = (field for field in app.number_input if field.label == "Move by (ppm)")
    by.set_value(0.3).run()
    app.press("Move it")
    assert app.link["edits"] == "move_7_0.6"
    assert "move the multiplet at 3.75 ppm by +0.30 ppm" in app.texts


def test_an_edit_that_leaves_nothing_is_refused_with_a_remedy(open_page):
    app = open_page(
        WHATIF,
        mixture="choose",
        compound_1=5,
        compound_2=5,
        compound_3=5,
        repetition="yes",
        position=7,
    )
    app.press("Remove it")
    assert "edits" not in app.link
    assert any("nothing would be left" in w.value for w in app.warning)


def test_edits_reach_every_other_page_and_end_with_their_mixture(open_page):
    app = open_page("pages/masks.py", edits="amount_10_1")
    assert "formate" in app.texts
    assert "1 edit" in app.texts
    app.press("Next")
    assert "edits" not in app.link
    assert "1 edit" not in app.texts


def test_edits_of_other_data_are_left_out_and_said_so(open_page):
    app = open_page(WHATIF, edits="cut_99")
    assert any(
        "not possible here" in w.value and "expected 0 to 20" in w.value for w in app.warning
    )
    app.press("Undo")
    assert not app.warning
    assert "edits" not in app.link


@pytest.mark.parametrize("axis", [Axis(4, 0.0, 4.0), Axis(4, 1.0, 3.0, "ppm")])
def test_the_tables_of_the_editor_make_edits(monkeypatch, axis):
    made = []
    monkeypatch.setattr(editor, "do", lambda view, *edits: made.extend(edits))
    amounts = {"edited_rows": {"3": {"amount": 2.0}}}
    multiplets = {
        "edited_rows": {"0": {"area": 4.0, axis.title: axis.centres[1] + axis.width / 2}},
        "deleted_rows": [1],
        "added_rows": [{axis.title: axis.centres[2], "kind": "d", "area": 3.0}],
    }
    monkeypatch.setattr(editor.st, "session_state", {"amounts": amounts, "multiplets": multiplets})
    editor.edit_amounts(None, "amounts", "amount")
    assert made == [Amount(4, 2.0)]
    made.clear()
    library = SimpleNamespace(axis=axis)
    view = SimpleNamespace(areas=np.array([[0.0, 2.0, 0.0, 1.0]]), library=library)
    editor.edit_multiplets(view, "multiplets", np.array([1, 3]))
    assert made == [Scale(1, 2.0), Move(1, 0.5), Cut(3), Add(2, "d", 3.0)]


# Time travel


def test_time_travel_moves_every_view(open_page, run_id):
    app = open_page(TRAVEL, preset="quick", seed=3, model=run_id)
    assert "Step 30" in app.texts
    assert len(app.get("plotly_chart")) == 2
    steps = app.figure("strip")["data"][0]["meta"]["steps"]
    assert steps[0] == 0
    assert steps[-1] == 30
    at_end = app.network["stages"]
    app.press("Start")
    assert app.link["step"] == "0"
    assert "Step 0" in app.texts
    assert app.network["stages"] != at_end
    app.press("Step forward")
    assert app.link["step"] == str(steps[1])
    masks = open_page("pages/masks.py", preset="quick", seed=3, model=run_id, step=steps[1])
    assert next(s for s in masks.select_slider).value == steps[1]
    assert (
        f"Step {steps[-2]}"
        in open_page(TRAVEL, preset="quick", seed=3, model=run_id, step=steps[-2]).texts
    )


def test_playing_goes_from_step_to_step_and_stops_at_the_end(open_page, run_id):
    app = open_page(TRAVEL, preset="quick", seed=3, model=run_id)
    steps = app.figure("strip")["data"][0]["meta"]["steps"]
    app.press("Play")
    assert app.session_state["playing"]
    for _ in range(len(steps) + 2):
        app.run()
    assert not app.session_state["playing"]
    assert "Step 30" in app.texts


def test_a_model_without_steps_says_so_and_offers_a_training(open_page):
    app = open_page(TRAVEL, model="untrained")
    assert "no steps of a training are saved" in app.texts
    assert app.has_button("Train on this library")


@pytest.mark.parametrize("preset", ["metabolites", "original"])
@pytest.mark.parametrize("model", ["reference", "queries"])
def test_time_travel_needs_no_training(open_page, preset, model):
    app = open_page(TRAVEL, preset=preset, model=model)
    steps = app.figure("strip")["data"][0]["meta"]["steps"]
    assert 20 <= len(steps) <= 40
    assert f"Step {steps[-1]:,}" in app.texts
    assert {c.proto.id.split("-")[-1] for c in app.get("plotly_chart")} >= {"strip", "curves"}
    app.press("Start")
    assert "untrained" in app.texts


def test_compare_needs_no_training(open_page):
    app = open_page(COMPARE)  # the end and the start of the packaged training
    assert "Difference, B minus A" in str(app.figure("masks")["layout"]["annotations"])
    assert "Untrained" in app.texts
    assert app.figure("curves")
    other = open_page(COMPARE, model_b="queries")
    assert "**B: Queries" in other.texts
    assert other.figure("classes") and other.figure("separated")


# Compare


def test_compare_sets_two_steps_side_by_side(open_page, run_id):
    app = open_page(COMPARE, preset="quick", seed=3, model=run_id)
    assert {"masks", "separated", "classes", "curves"} <= {
        c.proto.id.split("-")[-1] for c in app.get("plotly_chart")
    }
    assert "Difference, B minus A" in str(app.figure("masks")["layout"]["annotations"])
    assert sum("step" in line and "Run 2026" in line for line in app.texts.splitlines()) == 2
    for label in (
        "Compounds right",
        "Mixtures wholly right",
        "SI-SDR improvement",
        "Mask distance",
    ):
        assert f"| {label} | " in app.texts


def test_compare_draws_each_output_of_slots_at_two_steps(open_page, saved_run):
    trainer = Trainer(build("quick", 3), replace(recipe("modern"), steps=8, batch_size=8))
    name = saved_run(trainer, 4)
    app = open_page(COMPARE, preset="quick", seed=3, model=name)
    _, _, difference = app.figure("separated")["data"]
    assert np.isfinite(values(difference)).sum() == 3 * 6 * 21
    assert values(difference)[np.isfinite(values(difference))].any()
    assert "at least one output names it" in app.texts


def test_compare_refuses_a_difference_of_masks_of_two_trainings(open_page):
    app = open_page(COMPARE, model_b="untrained")
    assert "Difference" not in str(app.figure("masks")["layout"]["annotations"])
    assert "started from different weights" in app.texts


def test_compare_takes_other_settings_of_the_same_mixture(open_page):
    app = open_page(COMPARE, model_b="reference", noise_b=0.3)
    assert "Difference, B minus A" in str(app.figure("masks")["layout"]["annotations"])
    assert len(app.figure("mixture")["data"]) == 3
    same = open_page(COMPARE, step_b=packaged.training_history().steps[-1])
    assert any("Both sides are the same" in info.value for info in same.info)
    edited = open_page(COMPARE, model_b="reference", edits="cut_7", unedited_b="yes")
    assert len(edited.figure("mixture")["data"]) == 3


def test_an_unknown_other_model_is_said(open_page):
    app = open_page(COMPARE, model_b="20200101-nothing")
    assert any("side B" in w.value for w in app.warning)


# Lessons and quiz


@pytest.mark.parametrize("name", LESSONS)
def test_the_first_step_of_every_lesson_opens_its_page(open_page, name):
    step = LESSONS[name].steps[0]
    app = open_page(step.page, **step.state, lesson=name, lesson_step=1)
    assert LESSONS[name].title in app.texts
    app.press("Reveal the answer")
    assert "The answer: " in app.texts
    assert "✗" not in app.texts
    assert not app.has_button("Reveal the answer")


TARGETS = {
    (step.page, step.target, tuple(step.state.items())): (name, part)
    for name, lesson in LESSONS.items()
    for part, step in enumerate(lesson.steps, 1)
    if step.target
}


def ids(block):
    """Yield the identities of all elements of a block; each ends in the element's key."""
    yield str(getattr(block.proto, "id", ""))
    for child in getattr(block, "children", {}).values():
        yield from ids(child)


@pytest.mark.parametrize(("name", "part"), TARGETS.values())
def test_what_a_step_frames_is_on_its_page(open_page, name, part):
    step = LESSONS[name].steps[part - 1]
    app = open_page(step.page, **step.state, lesson=name, lesson_step=part)
    keys = [key for key in ids(app.main) if key.endswith(f"-{step.target}")]
    assert len(keys) == 1, keys


def test_a_lesson_elsewhere_offers_the_way_back(open_page):
    app = open_page("pages/masks.py", lesson="mixture", lesson_step=2)
    assert LESSONS["mixture"].steps[1].page != "pages/masks.py"
    assert "is on another page" in app.texts
    assert app.has_button("Back to the lesson")


@pytest.mark.parametrize("query", [{"lesson": "alchemy"}, {"lesson": "mask", "lesson_step": 9}])
def test_a_lesson_that_is_not_there_is_said(open_page, query):
    assert any(
        "There is no step" in w.value for w in open_page("pages/lessons.py", **query).warning
    )


def test_the_lesson_list_has_them_all(open_page):
    app = open_page("pages/lessons.py")
    assert sum(b.label == "Begin" for b in app.button) == len(LESSONS) >= 10


def kept(app, name):
    """Return what the page has asked the browser to keep."""
    bodies = [element.proto.body for element in app.get("html")]
    (text,) = [re.search(f"nmrclassify_{name}=([^;]*);", b)[1] for b in bodies if f"_{name}=" in b]
    return text


def test_progress_of_lessons_is_kept_in_the_browser(open_page, cookies):
    app = open_page("pages/masks.py", lesson="mask", lesson_step=1)
    app.radio(key="answer mask 1").set_value(2).run()
    app.press("Reveal the answer")
    assert kept(app, "lessons") == "mask.3----"
    app.press("Next step")
    app.press("Next step")
    assert kept(app, "lessons") == "mask.3n---"
    cookies["nmrclassify_lessons"] = kept(app, "lessons")
    # As after a reload: a new session with what the browser has kept.
    app = open_page("pages/masks.py", lesson="mask", lesson_step=1)
    assert "The answer: " in app.texts
    assert "You chose: " in app.texts
    app = open_page("pages/lessons.py")
    assert "2 of 5 steps" in app.texts
    assert not app.has_button("Again")
    app.press("Continue")
    assert (app.link["lesson"], app.link["lesson_step"]) == ("mask", "3")


def test_a_lesson_that_is_done_begins_again(open_page, cookies):
    cookies["nmrclassify_lessons"] = "mask.1rn11"
    app = open_page("pages/lessons.py")
    assert "5 of 5 steps" in app.texts
    app.press("Again")
    assert app.link["lesson_step"] == "1"
    assert app.has_button("Reveal the answer")


class Unending:
    """A computation that does not end."""

    share, words, error, is_running, seconds_left = 0.5, "training", "", True, 3.0
    started: list = []

    def __init__(self, computation):
        self.started.append(computation)

    def see(self):
        pass


def test_a_step_that_computes_stands_alone_and_starts_once(open_page, monkeypatch):
    monkeypatch.setattr(Unending, "started", [])
    monkeypatch.setattr(lesson_facts, "FactsJob", Unending)
    monkeypatch.setattr(lesson_facts, "packaged_facts", lambda computation: None)
    monkeypatch.setattr(lesson_facts, "_running", {})
    monkeypatch.setattr(lesson_facts, "_computed", {})
    order = LESSONS["order"].steps
    assert order[2].facts == order[3].facts
    app = open_page(order[1].page, **order[1].state, lesson="order", lesson_step=2)
    assert "This is an untrained network" in app.texts
    app.press("Next step")
    assert order[2].title in app.texts
    assert "This is an untrained network" not in app.texts
    assert "about 3 s left" in app.progress_text
    app.press("Next step")
    assert order[3].title in app.texts
    assert "about 3 s left" in app.progress_text
    assert len(Unending.started) == 1


def test_facts_are_computed_live_on_request_and_compared(open_page, monkeypatch):
    monkeypatch.setattr(lesson_facts, "_computed", {})
    step = LESSONS["mixture"].steps[0]
    app = open_page(step.page, **step.state, lesson="mixture", lesson_step=1)
    assert not lesson_facts._computed
    app.press("Compute it now")
    assert list(lesson_facts._computed) == [step.facts]
    assert "It agrees with the packaged figures" in app.texts


def choose(app, names):
    (pills,) = app.get("button_group")
    pills.set_value(names)
    app.press("Check")


def test_the_quiz_marks_the_visitor_beside_the_network_and_keeps_the_score(open_page, cookies):
    app = open_page(QUIZ, quiz_round=4)
    names = list(build("metabolites", 7).library.names)
    assert "3 different compounds are in it" in app.get("button_group")[0].label
    choose(app, names[:2])
    assert "Choose 3. You have chosen 2." in app.texts
    assert "The network: " not in app.texts
    choose(app, names[:3])
    assert "The network: " in app.texts
    assert app.metric_values["Rounds"] == "1"
    assert not app.has_button("Check")
    cookies["nmrclassify_quiz"] = kept(app, "quiz")
    app.press("Next mixture")
    assert app.link["quiz_round"] == "5"
    assert "The network: " not in app.texts
    assert app.metric_values["Rounds"] == "1"
    # As after a reload: the answer stands, and cannot be given twice.
    again = open_page(QUIZ, quiz_round=4)
    assert again.metric_values["Rounds"] == "1"
    assert "The network: " in again.texts
    assert again.get("button_group")[0].value == names[:3]
    assert again.get("button_group")[0].disabled
    assert not again.has_button("Check")
    again.press("Clear the score")
    assert not again.metric
    assert kept(again, "quiz") == ""


def mixtures_of(open_page, **query):
    """Return the first mixtures of a quiz."""
    return [
        values(open_page(QUIZ, quiz_round=n, **query).figure("mixture")["data"][0]).tolist()
        for n in (1, 2, 3)
    ]


def test_a_link_with_a_seed_has_the_same_questions_in_the_same_order(open_page):
    first = mixtures_of(open_page, quiz_seed=5)
    assert mixtures_of(open_page, quiz_seed=5) == first
    assert mixtures_of(open_page, quiz_seed=6) != first
    app = open_page(QUIZ, quiz_seed=5, quiz_round=2)
    (link,) = [code.value for code in app.code if "quiz_seed=5" in code.value]
    assert "quiz_round" not in link
    app.press("Other questions")
    assert app.link["quiz_seed"] != "5"
    assert "quiz_round" not in app.link


def test_the_levels_of_the_quiz(open_page):
    clean, noisy = (
        values(open_page(QUIZ, quiz_level=level).figure("mixture")["data"][0])
        for level in ("clean", "noisy")
    )
    assert (clean == 0).mean() > 0.5
    assert (noisy == 0).mean() < 0.1
    unlisted = []
    for n in range(1, 7):
        app = open_page(QUIZ, quiz_level="unlisted", quiz_round=n)
        (pills,) = app.get("button_group")
        assert pills.options[-1] == "an unlisted compound"
        # The number tells nothing about the unlisted compound.
        assert "3 different compounds are in it" in pills.label
        choose(app, pills.options[-3:])
        (result,) = [text for text in app.texts.splitlines() if text.startswith("You: ")]
        unlisted.append("an unlisted compound" not in result.partition("not in the mixture")[2])
    assert 0 < sum(unlisted) < 6


# Export


def test_link_and_program_are_shown_in_the_opened_panel(open_page):
    app = open_page("pages/masks.py", number=3, edits="cut_7")
    assert "**Program**" not in app.texts
    app.session_state["take it"] = True
    app.run()
    assert "**Program**" in app.texts
    codes = [block.value for block in app.code]
    assert any("edits=cut_7" in block and "number=3" in block for block in codes)
    assert any("Cut(position=7)" in block and "figure.show()" in block for block in codes)


def test_presenter_mode_hides_controls_and_enlarges_type(open_page):
    small, large = open_page("app.py"), open_page("app.py", presenter="yes")
    assert large.network["theme"]["large"] and not small.network["theme"]["large"]
    masks = [open_page("pages/masks.py", presenter=text).figures[0] for text in ("no", "yes")]
    assert masks[1]["layout"]["font"]["size"] > masks[0]["layout"]["font"]["size"]
    large.press("Leave presenter mode")
    assert "presenter" not in large.link


def test_an_edited_mixture_of_slots_with_too_many_compounds_is_still_shown(open_page, quick):
    query = {"preset": "quick", "seed": 3, "model": "untrained", "network": "slots"}
    for edit in (
        "amount_1_1~amount_2_1~amount_3_1~amount_4_1~amount_5_1",
        "amount_1_0~amount_2_0~amount_3_0~add_3_d_1",
    ):
        for page in ("app.py", "pages/masks.py", "pages/separation.py", WHATIF, INSIDE):
            app = open_page(page, **query, edits=edit)
            assert not app.exception
            assert "names no compound" in app.texts or page == "pages/masks.py"
            assert "not known" not in app.texts


def test_when_one_output_of_slots_decided(open_page, home, saved_run):
    trainer = Trainer(
        build("quick", 3), replace(recipe("modern"), steps=12, batch_size=16), kind="slots"
    )
    name = saved_run(trainer, 6)
    app = open_page(TRAVEL, preset="quick", seed=3, model=name)
    any_output = values(app.figure("strip")["data"][0])
    next(r for r in app.radio if r.label == "Output").set_value(2).run()
    second = values(app.figure("strip")["data"][0])
    assert app.link["slot"] == "2"
    assert second.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert (second <= any_output + 1e-6).all()
    assert second.shape == any_output.shape
    (app.switch_page("pages/masks.py")).run()
    assert not app.exception


def test_the_slider_moves_the_pictures_at_once_and_the_links_with_them(open_page, run_id):
    app = open_page(TRAVEL, preset="quick", seed=3, model=run_id)
    steps = app.figure("strip")["data"][0]["meta"]["steps"]
    app.select_slider[0].set_value(steps[3]).run()
    assert f"Step {steps[3]}" in app.texts
    assert app.link["step"] == str(steps[3])
    links = [link.proto.query_string for link in app.get("page_link")]
    assert all(f"step={steps[3]}" in query for query in links)


def test_the_quiz_goes_on_with_other_data(open_page):
    app = open_page(QUIZ, quiz_round=4)
    choose(app, ["ethanol", "glycine", "lactate"])
    next(s for s in app.selectbox if s.label == "Data").set_value("quick").run()
    assert not app.exception
    assert "The network: " not in app.texts


def test_a_mixture_without_a_compound_says_so(open_page):
    app = open_page("pages/mixtures.py", edits="noise_0.1_1~amount_1_0~amount_2_0~amount_5_0")
    assert "no compound" in app.texts
    app = open_page("pages/mixtures.py", number=27, edits="amount_5_0~amount_6_0~amount_8_0")
    assert any("the mixture is empty" in w.value for w in app.warning)


def test_what_a_link_says_is_not_markdown(open_page):
    app = open_page("app.py", edits="[Log in](//evil.com/a)")
    assert not any("](" in w.value for w in app.warning)
    assert any("expected edits" in w.value for w in app.warning)


def test_presenter_mode_outlives_the_steps_of_a_lesson(open_page):
    app = open_page("pages/masks.py", lesson="mask", lesson_step=1, presenter="yes")
    app.press("Next step")
    assert app.link["presenter"] == "yes"
    assert app.link["lesson_step"] == "2"


def test_a_click_in_the_quiz_frames_a_column_and_gives_nothing_away(open_page):
    assert not any(
        "line" in s and s["line"].get("color") == "#E69F00"
        for s in open_page(QUIZ, quiz_round=4).figure("mixture")["layout"]["shapes"]
    )
    shapes = open_page(QUIZ, quiz_round=4, position=3).figure("mixture")["layout"]["shapes"]
    assert [s["x0"] for s in shapes if s["line"].get("color") == "#E69F00"] == [16.5, 16.5]


def test_a_figure_of_another_mixture_is_not_followed(monkeypatch):
    from nmrclassify.plots.maps import library_map
    from nmrclassify.plots.style import Theme
    from nmrclassify.ui import charts

    monkeypatch.setattr(charts.st, "session_state", {})
    monkeypatch.setattr(charts.st, "plotly_chart", lambda *_, **__: None)
    figure = library_map(build("metabolites", 7).library, Theme())
    charts.chart(figure, "", "map", clickable=False)
    assert figure.data[0].meta["rows"] is None
    assert clicks.decode({"meta": figure.data[0].meta, "row": 0, "column": 0}) is None
