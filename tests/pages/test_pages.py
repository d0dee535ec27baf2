"""Every page, through the entry point."""

import gc
import re
import threading
from collections import Counter

import numpy as np
import pytest
import streamlit as st

from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.plots.style import HIGHLIGHT
from nmrclassify.training import checkpoints, run_files, runs, visits
from nmrclassify.ui import peak_page, session
from nmrclassify.ui.places import PAGES

PATHS = list(PAGES)


@pytest.mark.parametrize("page", PATHS)
@pytest.mark.parametrize(
    "query",
    [
        {},
        {"preset": "quick", "seed": 3},
        {"preset": "original", "mixture": "choose", "jitter": 0.4, "noise": 0.1},
    ],
)
def test_every_page_opens_with_described_charts(open_page, page, query):
    app = open_page(page, **query)
    assert len(app.title) == 1
    charts = app.get("plotly_chart")
    bare = ("train", "travel", "lessons", "glossary")
    assert charts or page in ("app.py", *(f"pages/{name}.py" for name in bare))
    assert all(chart.proto.alt for chart in charts)
    if not query:  # the axis is in ppm
        shown = [app.texts, *(chart.proto.alt + chart.proto.spec for chart in charts)]
        assert not re.findall(r"position \d+", "".join(shown))


def test_the_first_page_shows_a_trained_model_and_the_truth(open_page):
    app = open_page()
    words = app.texts
    assert "Test mixture 12 of 36" in words
    assert "ethanol" in words
    assert "glycine" in words
    assert "lactate" in words
    assert "unseen in training" in words
    assert app.success[0].value.startswith("All 3 right")
    kinds = Counter(stage["kind"] for stage in app.network["stages"])
    assert kinds["block"] == 12
    assert kinds["mask"] == kinds["separated"] == kinds["multiplets"] == kinds["classes"] == 3
    marked = {one["name"] for one in app.network["classes"] if one["true"]}
    assert marked == {"ethanol", "glycine", "lactate"}
    assert "95 % interval" in words


def test_next_shows_another_mixture_and_the_link_follows(open_page):
    app = open_page(number=1)
    before = app.network["stages"][0]["values"]
    next(b for b in app.button if b.label == "Next").click().run()
    assert app.link["number"] == "2"
    assert app.network["stages"][0]["values"] != before
    again = open_page(number=2)
    assert again.network == app.network
    next(b for b in app.button if b.label == "Previous").click().run()
    next(b for b in app.button if b.label == "Previous").click().run()
    assert app.link["number"] == "36"


def test_a_link_reproduces_all_controls(open_page):
    query = {
        "preset": "quick",
        "seed": "11",
        "mixture": "choose",
        "compound_1": "4",
        "compound_2": "4",
        "compound_3": "9",
        "amount_2": "2.5",
        "noise": "0.05",
        "sort_filters": "no",
    }
    app = open_page("pages/masks.py", **query)
    assert app.link == query
    assert "compound 3 + compound 3 (2.5x) + compound 8" in app.texts
    assert not next(t for t in app.toggle if t.label.startswith("Sort")).value


def test_values_stay_when_the_page_changes(open_page):
    app = open_page(preset="quick", number=5)
    app.switch_page("pages/masks.py").run()  # the links in the sidebar carry the parameters
    assert app.link == {"preset": "quick", "number": "5"}
    assert "Test mixture 5 of 36" in app.texts


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"number": "99999"}, "expected a whole number"),
        ({"jitter": "nan"}, "expected a number from 0 to 3"),
        ({"preset": "fast"}, "expected one of"),
        ({"preset": "own"}, "upload it on the page Mixtures"),
        ({"mixture": "file"}, "upload it on the page Mixtures"),
        ({"model": "20260101-000000-quick-s7-000000000000"}, "no run is called"),
        ({"model": "training"}, "does not exist for these data"),
        (
            {"preset": "quick", "sources": "8", "seed": "1", "compound_1": "99"},
            "expected a whole number",
        ),
    ],
)
def test_bad_links_are_explained_and_the_page_still_works(open_page, query, message):
    app = open_page("app.py", **query)
    assert any(message in warning.value for warning in app.warning), [w.value for w in app.warning]
    assert app.network


def test_a_number_beyond_the_test_set_is_brought_back(open_page):
    app = open_page(preset="original", number=36)
    assert "Test mixture 10 of 10" in app.texts
    assert [w.value for w in app.warning] == [
        "There is no test mixture 36 here: the last one, 10, is shown."
    ]
    assert app.link["number"] == "10"


def test_each_bad_value_of_a_link_gets_one_sentence(open_page):
    warnings = [w.value for w in open_page("pages/masks.py", position=77, filter=500).warning]
    assert warnings == [
        "There is no position 77 here: the last one, 20, is shown.",
        "There is no filter 500 here: the last one, 63, is shown.",
    ]
    (warning,) = open_page(model="20260101-no-such-run").warning
    assert "no run is called" in warning.value and "is used" in warning.value


def test_a_step_back_in_the_history_restores_what_it_showed(open_page):
    app = open_page()
    app.press("Next")
    assert "Test mixture 13 of" in app.texts
    app.query_params.clear()
    app.run()
    assert "Test mixture 12 of" in app.texts
    assert app.link == {}


def test_a_quick_second_click_keeps_the_first(open_page):
    app = open_page()
    app.press("Next")
    app.query_params.clear()  # the browser had not yet heard of n=13 when the second click left it
    app.press("Next")
    assert "Test mixture 14 of" in app.texts
    assert app.link == {"number": "14"}


def test_a_mixture_of_another_axis_is_not_shown_as_this_ones(open_page):
    app = open_page("pages/mixtures.py")
    next(u for u in app.file_uploader if u.label == "Mixture (CSV)").upload(
        "mine.csv", b"ppm,multiplicity,area\n1,s,1\n"
    ).run()
    assert "File mine.csv" in app.texts
    next(s for s in app.selectbox if s.label == "Data").select("quick").run()
    assert "File mine.csv" not in app.texts
    assert not app.exception


def test_markup_in_a_link_stays_text(open_page):
    app = open_page(number="[Click](//evil.example)")
    assert any("?Click" in w.value for w in app.warning)
    assert not any("](" in w.value for w in app.warning)


def test_a_control_of_the_page_reaches_the_link_at_once(open_page):
    app = open_page("pages/masks.py")
    app.toggle[0].set_value(False).run()
    assert app.link == {"sort_filters": "no"}


def test_masks_show_the_share_of_each_multiplet_and_the_differences(open_page):
    app = open_page("pages/masks.py")
    assert re.search(r"The masks give \*\*\d+ of \d+\*\* multiplets to the right output", app.texts)
    assert re.search(r"\*\*[\d,]+ of [\d,]+ cells\*\* differ from the ideal mask", app.texts)
    masks, shares = app.figure("masks"), app.figure("shares")
    assert len(masks["data"]) % 3 == 0  # of each output: mask, ideal mask, difference
    assert all(masks["layout"]["margin"][i] == shares["layout"]["margin"][i] for i in "lr")
    next(t for t in app.toggle if t.label.startswith("Only differences")).set_value(True).run()
    assert app.link["wrong_cells"] == "yes"


@pytest.mark.parametrize("query", [{}, {"model": "queries"}])
def test_separation_shows_probabilities_once_as_heatmap_and_once_as_bars(open_page, query):
    app = open_page("pages/separation.py", **query)
    assert "%" not in app.success[0].value
    assert not any("probability" in table.value for table in app.dataframe)
    drawn = [chart.proto.id.rpartition("-")[2] for chart in app.get("plotly_chart")]
    assert drawn[:3] == ["separated", "classes", "bars"]
    heatmap, bars = app.figure("classes"), app.figure("bars")
    assert heatmap["layout"]["margin"]["r"] == bars["layout"]["margin"]["r"]
    assert len(app.figure("separated")["data"]) == 3  # separated, truth, difference


def test_an_untrained_network_gets_no_verdict_on_its_masks(open_page):
    app = open_page("pages/masks.py", preset="quick", network="slots")
    assert "right output" not in app.texts
    assert not [b for b in app.button if b.label.startswith("Mixture ")]
    assert len(app.figure("masks")["data"]) == 9


def test_one_of_the_worst_masks_opens_its_mixture_with_its_cell(open_page):
    app = open_page("pages/masks.py")
    worst = [b for b in app.button if b.label.startswith("Mixture ")]
    assert worst
    number, mask = re.match(r"Mixture (\d+), .*: mask ([\d.]+), ideal", worst[0].label).groups()
    assert 0 <= float(mask) <= 1
    app.press(worst[0].label)
    assert f"Test mixture {number} of" in app.texts
    assert {"output", "filter", "position"} <= set(app.link)
    framed = [s for s in app.figure("masks")["layout"]["shapes"] if s["type"] == "rect"]
    assert any(s["line"].get("color") == HIGHLIGHT for s in framed)


def test_the_networks_are_offered_by_name_and_one_is_a_click_away(open_page):
    app = open_page()
    model = next(s for s in app.selectbox if s.label == "Model")
    assert model.options == ["Reference network (slots)", "Queries", "Untrained"]
    assert app.link == {}
    (choice,) = app.segmented_control
    choice.set_value("queries").run()
    assert app.link == {"model": "queries"}
    assert app.network["outputs_are_classes"]
    app.switch_page("pages/masks.py").run()
    assert next(s for s in app.selectbox if s.label == "Model").value == "queries"
    app.switch_page("app.py").run()
    app.segmented_control[0].set_value("reference").run()
    assert "model" not in app.link or app.link["model"] == "reference"
    assert not app.network["outputs_are_classes"]


@pytest.mark.parametrize(
    ("query", "model"),
    [
        ({"model": "shipped"}, "queries"),  # what versions 0.1 and 0.2 shipped
        ({"model": "untrained"}, "untrained"),
        ({"model": "untrained", "network": "queries"}, "untrained"),
        ({"sources": 2}, "queries"),
        ({"preset": "original"}, "reference"),
        ({"preset": "original", "model": "queries"}, "queries"),
        ({"preset": "original", "seed": 8}, "untrained"),
        ({"preset": "quick"}, "untrained"),
        ({"preset": "quick", "model": "queries"}, "untrained"),
    ],
)
def test_links_open_the_model_that_they_name_as_far_as_it_exists(open_page, query, model):
    app = open_page(**query)
    assert next(s for s in app.selectbox if s.label == "Model").value == model
    assert not app.warning or model != "untrained"


def test_an_untrained_network_gives_no_verdict_but_leads_to_its_training(open_page):
    app = open_page(preset="quick", seed=3, model="queries")
    assert "untrained" in app.texts
    assert "right" not in "".join(box.value for box in (*app.success, *app.warning, *app.info))
    assert app.link == {"preset": "quick", "seed": "3", "network": "queries"}
    app.press("Train on this library")
    assert app.title[0].value == "Train or load"
    assert next(s for s in app.selectbox if s.label == "Network").value == "queries"
    assert next(n for n in app.number_input if n.label == "Weights seed").value == 3


def test_changing_the_preset_brings_its_own_mixing(open_page):
    app = open_page()
    next(s for s in app.selectbox if s.label == "Data").select("quick").run()
    assert app.link["preset"] == "quick"
    assert "spread" not in app.query_params
    assert "untrained" in app.texts
    app.session_state["mixing"] = True  # open the expander
    app.run()
    assert next(s for s in app.slider if s.label.startswith("Concentrations")).value == 1.0


def test_controls_in_a_closed_expander_keep_their_values(open_page):
    app = open_page("pages/mixtures.py", noise=0.3, sources=2)
    assert not app.slider
    assert app.link == {"noise": "0.3", "sources": "2"}
    app.session_state["mixing"] = True
    app.run()
    noise = next(s for s in app.slider if s.label.startswith("Noise"))
    assert noise.value == 0.3
    noise.set_value(0.1).run()
    app.session_state["mixing"] = False
    app.run()
    assert app.link == {"noise": "0.1", "sources": "2"}
    assert not app.slider


def test_more_sources_make_more_outputs(open_page):
    app = open_page("pages/separation.py", preset="quick", sources=4, network="slots")
    assert app.figures[0]["data"][0]["z"]["shape"] == "6, 87"


def test_training_from_start_to_run_and_back(wait_until, open_page):
    app = open_page("pages/train.py", preset="quick", steps=8)
    app.press("Start")
    wait_until(lambda: "Finished" in app.progress_text, app.run_later, seconds=300)
    run = runs.listed()[0]
    assert app.link["model"] == run.id
    assert run.steps == 8
    assert len(app.figures) == 1 and app.network["stages"]
    again = open_page("pages/masks.py", preset="quick", model=run.id)
    assert not again.warning
    assert "untrained" not in again.texts


def test_step_reset_new_seed_pause_and_stop(wait_until, open_page):
    app = open_page("pages/train.py", preset="quick", steps=5000, seed=2)
    app.press("One step")
    assert "Paused at step 1 of 5,000" in app.progress_text
    first = app.network["stages"][-2]["values"]
    app.press("Reset")
    assert "Ready" in app.progress_text
    app.press("One step")
    assert app.network["stages"][-2]["values"] == first
    app.press("New seed")
    app.press("One step")
    assert app.network["stages"][-2]["values"] != first
    assert app.link["weights_seed"] == "3"
    app.press("Continue")
    wait_until(lambda: "Training:" in app.progress_text, app.run_later, seconds=300)
    app.press("Pause")
    wait_until(lambda: "Paused" in app.progress_text, app.run_later, seconds=300)
    app.press("Stop")
    assert "Stopped" in app.progress_text
    assert len(runs.listed()) == 1


def test_a_reload_and_a_cleared_cache_leave_the_training(wait_until, open_page, cookies):
    first = open_page("pages/train.py", preset="quick", steps=50_000)
    first.press("Start")
    wait_until(lambda: "Training:" in first.progress_text, first.run_later, seconds=300)
    kept = first.session_state["visit"]
    st.cache_resource.clear()  # as the message `clear_cache` of any visitor does
    st.cache_data.clear()
    other = open_page("pages/train.py", preset="quick")
    assert "There is no training in this visit yet" in other.texts
    cookies[session.COOKIE] = kept  # as the browser sends it
    again = open_page("pages/train.py", preset="quick", steps=50_000, model="training")
    assert "Training:" in again.progress_text
    again.press("Stop")
    assert "Stopped at step" in again.progress_text
    assert again.link["model"] == runs.listed()[0].id
    visit = visits.VISITS.find(kept)
    assert [run_files.is_of_visit(run.folder, visit.digest) for run in runs.listed()] == [True]


def test_a_training_that_stopped_by_itself_goes_on_or_is_discarded(wait_until, open_page, cookies):
    cookies[session.COOKIE] = key = "k" * 32
    first = open_page("pages/train.py", preset="quick", steps=50_000, added_noise=0.02)
    first.press("One step")
    visits.VISITS.end_unseen(0)  # as the end of the app does
    again = open_page("pages/train.py")  # not by the link of before
    assert "Stopped at step 1 of 50,000" in again.progress_text
    assert "This training stopped at step 1 when the app ended, or when no page" in again.texts
    disabled = {b.label for b in again.button if b.disabled}
    assert {"Start", "One step", "Reset", "New seed"} <= disabled  # they would replace it
    again.press("Go on")
    assert not again.has_button("Go on")
    assert again.has_button("Pause")
    assert (again.link["preset"], again.link["steps"], again.link["model"]) == (
        "quick",
        "50000",
        "training",
    )
    again.press("Pause")
    again.press("One step")
    assert "Paused at step 2 of 50,000" in again.progress_text  # the same, not a new one
    visits.VISITS.end_unseen(0)
    again = open_page("pages/train.py")
    again.press("Discard")
    assert "There is no training in this visit yet" in again.texts
    assert visits.VISITS.find(key).job is None
    assert runs.listed() == []


@pytest.mark.parametrize("key", ["", "short", "x" * 33, "<script>" * 4])
def test_a_visit_takes_no_key_that_the_app_did_not_make(open_page, cookies, key):
    cookies[session.COOKIE] = key
    app = open_page("pages/train.py", preset="quick")
    assert visits.KEY.fullmatch(app.session_state["visit"])
    assert app.session_state["visit"] != key
    assert any(app.session_state["visit"] in html.proto.body for html in app.get("html"))


def test_uploads(open_page, trained):
    app = open_page("pages/mixtures.py")
    uploader = {u.label: u for u in app.file_uploader}
    uploader["Mixture (CSV)"].upload(
        "mine.csv", b"ppm,multiplicity,area\n1.32,d,3\n4.10,q,1\n8.45,x,1\n", "text/csv"
    ).run()
    assert any(
        "mine.csv: row 4, column 'multiplicity'" in e.value.replace("\\", "") for e in app.error
    )
    uploader = {u.label: u for u in app.file_uploader}
    uploader["Mixture (CSV)"].upload(
        "mine.csv", b"ppm,multiplicity,area\n1.32,d,3\n4.10,q,1\n8.45,s,1\n", "text/csv"
    ).run()
    assert not app.exception
    assert "File mine.csv" in app.texts
    assert "contents not known" in app.texts
    for page in PATHS:
        app.switch_page(page).run()
        assert not app.exception, (page, app.exception)


def test_an_own_library_replaces_the_compounds(open_page):
    app = open_page("pages/mixtures.py")
    table = "compound,ppm,multiplicity,protons\n" + "".join(
        f"mine{i},{i + 0.3},d,3\n" for i in range(6)
    )
    next(u for u in app.file_uploader if u.label == "Library (CSV)").upload(
        "library.csv", table.encode(), "text/csv"
    ).run()
    assert not app.exception, app.exception
    assert app.link["preset"] == "own"
    assert "6 compounds" in app.texts
    app.switch_page("pages/masks.py").run()
    assert next(s for s in app.selectbox if s.label == "Model").value == "untrained"


OWN_MIXTURE = "ppm,multiplicity,area\n1.32,d,3\n4.10,q,1\n"
OWN_LIBRARY = "compound,ppm,multiplicity,protons\n" + "".join(
    f"mine{i},{i + 0.3},d,3\n" for i in range(6)
)
BARE_LIBRARY = "compound,position,multiplicity,area\n" + "".join(
    f"mine{i},{i},d,3\n" for i in range(6)
)


def in_use(app):
    """Return what the page Mixtures says of the uploaded files, and whether they are shown."""
    words = app.texts.replace("\\", "")
    return {
        "mixture": "The mixture is your file **mixture.csv**" in words
        and app.link.get("mixture") == "file"
        and "File mixture.csv" in words,
        "library": "The library is your file **library.csv**, 6 compounds" in words
        and app.link.get("preset") == "own",
    }


@pytest.mark.parametrize("first", ["mixture", "library"])
def test_a_mixture_and_a_library_are_kept_in_any_order_until_they_are_removed(open_page, first):
    app = open_page("pages/mixtures.py")
    for kind in ("mixture", "library") if first == "mixture" else ("library", "mixture"):
        app.upload(
            f"{kind.capitalize()} (CSV)",
            OWN_MIXTURE if kind == "mixture" else OWN_LIBRARY,
            f"{kind}.csv",
        )
    assert in_use(app) == {"mixture": True, "library": True}
    app.switch_page("pages/masks.py").run()
    app.switch_page("pages/mixtures.py").run()
    assert in_use(app) == {"mixture": True, "library": True}  # the uploaders are empty now
    app.press(f"Remove the {first}")
    assert in_use(app) == {"mixture": first != "mixture", "library": first != "library"}
    app.press(f"Remove the {'library' if first == 'mixture' else 'mixture'}")
    assert app.link == {}
    assert not any(button.label.startswith("Remove the") for button in app.button)


@pytest.mark.parametrize("n_compounds", [1, 2, 3, 4])
def test_a_small_library_is_used_or_refused(open_page, n_compounds):
    app = open_page("pages/mixtures.py")
    rows = OWN_LIBRARY.splitlines(keepends=True)[: 1 + n_compounds]
    app.upload("Library (CSV)", "".join(rows), "library.csv")
    if n_compounds < 2:
        assert "library.csv: the library has 1 compound; expected at least 2" in app.error[
            0
        ].value.replace("\\", "")
        assert app.link == {}
    else:
        assert app.link == {"preset": "own"}
        assert f"your file **library.csv**, {n_compounds} compounds" in app.texts.replace("\\", "")
    assert not app.warning


def test_a_file_that_is_taken_out_of_its_uploader_is_removed(open_page):
    app = open_page("pages/mixtures.py")
    app.upload("Mixture (CSV)", OWN_MIXTURE, "mixture.csv")
    app.upload("Library (CSV)", OWN_LIBRARY, "library.csv")
    next(u for u in app.file_uploader if u.label == "Library (CSV)").set_value(None).run()
    assert not app.exception, app.exception
    assert in_use(app) == {"mixture": True, "library": False}
    next(u for u in app.file_uploader if u.label == "Mixture (CSV)").set_value(None).run()
    assert app.link == {}


def test_a_mixture_that_does_not_fit_the_data_is_kept_and_the_reason_is_said(open_page):
    app = open_page("pages/mixtures.py", preset="quick")  # without ppm
    app.upload("Mixture (CSV)", OWN_MIXTURE, "mixture.csv")
    assert not app.error
    assert any("A test mixture is shown in its place" in w.value for w in app.warning)
    assert "mixture.csv is kept, but not used with these data" in app.texts.replace("\\", "")
    app.upload("Library (CSV)", OWN_LIBRARY, "library.csv")
    next(r for r in app.radio if r.label == "Mixture").set_value("file").run()
    assert in_use(app) == {"mixture": True, "library": True}
    app.upload("Library (CSV)", OWN_LIBRARY.replace("ppm", "x"), "bad.csv")
    assert any("bad.csv" in e.value.replace("\\", "") for e in app.error)
    assert in_use(app) == {"mixture": True, "library": True}  # the one before stays
    next(s for s in app.selectbox if s.label == "Data").set_value("quick").run()
    words = app.texts.replace("\\", "")
    assert "library.csv is kept, but not used: choose *Own library*" in words
    assert "mixture.csv is kept, but not used with these data: column 'ppm'" in words
    app.upload("Library (CSV)", BARE_LIBRARY, "library.csv")
    assert in_use(app)["library"]
    app.upload("Mixture (CSV)", "position,multiplicity,area\n3,d,3\n", "mixture.csv")
    assert in_use(app) == {"mixture": True, "library": True}
    app.press("Remove the library")  # the usual data are in ppm, of as many positions
    assert in_use(app) == {"mixture": True, "library": False}


def test_a_checkpoint_can_be_uploaded(open_page, trained):
    app = open_page("pages/train.py")

    def upload():
        return next(u for u in app.file_uploader if u.label.startswith("Checkpoint"))

    upload().upload("model.pt", b"\x80\x04", "application/octet-stream").run()
    assert any("other formats can run code" in e.value for e in app.error)
    upload().upload("bad.safetensors", b"\x00" * 50, "application/octet-stream").run()
    assert any("bad.safetensors" in e.value for e in app.error)
    upload().upload(
        "good.safetensors", checkpoints.to_bytes(trained), "application/octet-stream"
    ).run()
    assert not app.exception, app.exception
    assert app.link["model"] == "upload"
    assert app.link["preset"] == "quick"
    assert next(s for s in app.selectbox if s.label == "Model").value == "upload"


def test_earlier_runs_are_offered_and_opened(open_page, trained):
    runs.save(trained, [], runs.home() / "20260101-000000-quick-s3-0123456789ab", "cli")
    app = open_page("pages/train.py")
    app.press("Open this run")
    assert app.link["model"] == "20260101-000000-quick-s3-0123456789ab"
    assert app.link["preset"] == "quick"
    assert app.link["seed"] == "3"


def test_evaluate_shows_the_figures_of_the_test_set(open_page):
    app = open_page("pages/evaluate.py")
    model = checkpoints.shipped()
    shown = {m.label: m.value for m in app.metric}
    assert shown["Test mixtures"] == str(len(model.dataset.test))
    assert shown["Compounds right"] == f"{model.metrics['compound_accuracy']:.1%}"
    assert 0 < float(shown["Mask distance"]) < 1
    assert shown["SI-SDR improvement"].endswith(" dB")
    counts = np.array(app.figures[0]["data"][0]["text"])
    assert sum(int(v) for v in counts.ravel() if v) == 3 * len(model.dataset.test)


def test_evaluate_measures_calibration_and_unknown_compounds(open_page):
    app = open_page("pages/evaluate.py", model="queries")
    words = app.texts
    assert "Expected calibration error" in words
    assert re.search(r"Half of these \d+ mixtures contain an", words)
    reliability, roc = app.figures[-2:]
    assert [trace["name"] for trace in reliability["data"]] == [
        "perfectly calibrated",
        "this model",
    ]
    assert [trace["name"].split(":")[0] for trace in roc["data"]] == [
        "something unknown",
        "residual",
    ]
    slots = open_page("pages/evaluate.py", preset="quick", network="slots")
    assert any("Slots have no output" in info.value for info in slots.info)


def test_an_unknown_compound_in_the_mixture_is_reported(open_page):
    app = open_page(unknown_compound="yes", model="queries")
    assert "+ an unknown compound" in app.texts
    assert "something unknown" in app.texts.lower()
    assert not app.exception


def test_a_compound_that_is_not_there_is_not_called_alone(open_page):
    # Slots name one compound of the library too many where one of three is unknown.
    app = open_page("pages/separation.py", unknown_compound="yes", edits="amount_1_0")
    assert "none (not in the mixture)" in app.texts
    assert "the only compound" not in app.texts


def test_a_mixture_may_have_fewer_compounds_than_fields(open_page):
    app = open_page(
        "pages/separation.py",
        preset="quick",
        seed=3,
        sources=4,
        number_varies="yes",
        mixture="choose",
        compound_1=2,
        compound_2=5,
        compound_3=0,
        compound_4=0,
    )
    assert "compound 1 + compound 4" in app.texts
    assert not app.exception
    empty = open_page(
        "app.py",
        preset="quick",
        sources=2,
        number_varies="yes",
        mixture="choose",
        compound_1=0,
        compound_2=0,
    )
    assert any("No compound is chosen" in w.value for w in empty.warning)


@pytest.mark.parametrize("network", ["queries", "slots"])
@pytest.mark.parametrize("page", PATHS)
def test_every_page_takes_either_network(open_page, page, network):
    app = open_page(
        page,
        preset="quick",
        seed=3,
        network=network,
        number_varies="yes",
        sources=2,
        unknown_compound="yes",
    )
    assert not app.exception


def test_robustness_compares_on_the_present_mixtures(open_page):
    app = open_page("pages/robustness.py", model="queries")
    table = app.dataframe[0].value
    assert list(table["method"])[1:] == ["least squares", "matching pursuit", "exhaustive"]
    assert table["mixtures wholly right"].iloc[1] > 0.99  # clean and aligned: exact
    assert "intervals overlap" in app.texts
    shifted = open_page("pages/robustness.py", model="queries", jitter=0.5)
    table = shifted.dataframe[0].value
    assert table["mixtures wholly right"].iloc[0] > table["mixtures wholly right"].iloc[1]
    assert "percentage points better" in shifted.texts
    assert open_page("pages/robustness.py", sweep="noise").link["sweep"] == "noise"


def test_compositions_of_the_training_are_reported_as_such(open_page):
    assert any(
        "in this model's training" in w.value
        for w in open_page("pages/evaluate.py", seed=8).warning
    )
    assert not open_page("pages/evaluate.py").warning


def test_visitors_do_not_see_the_runs_of_others(open_page, trained, monkeypatch):
    runs.save(trained, [], runs.home() / "20260101-000000-quick-s3-aaaaaaaaaaaa", "app")
    runs.save(trained, [], runs.home() / "20260102-000000-quick-s3-bbbbbbbbbbbb", "cli")
    app = open_page("pages/train.py")
    assert next(s for s in app.selectbox if s.label == "Run").options == [
        runs.find("20260102-000000-quick-s3-bbbbbbbbbbbb").title
    ]
    monkeypatch.setenv("NMRCLASSIFY_ALL_RUNS", "1")
    assert (
        len(next(s for s in open_page("pages/train.py").selectbox if s.label == "Run").options) == 2
    )


SCALE = "pages/scale.py"
SAMPLE = "Mixture (spectrum or table)"
LIBRARY = "Library (tables, pure compounds)"


def test_full_scale_shows_one_compound_in_its_mixture_and_sends_little(open_page):
    app = open_page(SCALE)
    detail, overview, curve, panels, growth = app.figures
    table = app.dataframe[0].value
    names = [trace["name"] for trace in detail["data"]]
    assert names[0] == "the mixture"
    assert names[1] in list(table["compound"])
    assert names[2] == "all named compounds"
    assert overview["layout"]["xaxis"]["range"] == [12.0, -1.0]
    assert len(curve["data"]) == 2
    assert len(panels["data"]) % 3 == 0
    shown = app.metric_values
    assert shown["In the mixture"] == "75"
    assert int(shown["Right"]) + int(shown["Missed"]) == 75
    assert int(shown["Named"]) == int(shown["Right"]) + int(shown["False alarms"])
    assert set(table.columns) == {"compound", "outcome", "probability", "amount", "truth"}
    assert (table["truth"] != "not in it").sum() == 75
    assert not app.get("selectbox")[0].label.startswith("Data")
    assert app.link == {}
    assert len(growth["data"]) == 12  # three sizes, seconds and memory, beside linear growth


def test_full_scale_comes_back_by_its_link(open_page):
    query = {
        "scale_library": "metabolites",
        "scale_compounds": "40",
        "scale_jitter": "0.003",
        "scale_unknown": "2",
        "scale_seed": "5",
        "compound": "7",
        "ppm_low": "2",
        "ppm_high": "3.5",
        "threshold": "0.3",
    }
    app = open_page(SCALE, **query)
    assert app.link == query
    assert not app.warning
    detail, overview, *_ = app.figures
    assert detail["layout"]["xaxis"]["range"] == [3.5, 2.0]
    assert overview["layout"]["shapes"][0]["x0"] == 2.0
    assert next(s for s in app.selectbox if s.label == "Compound in orange").value == 7
    assert app.metric_values["In the mixture"] == "40"
    assert "128 real metabolites" in app.texts
    app.switch_page("app.py").run()
    assert not app.exception
    assert "Test mixture" in app.texts


def test_the_threshold_moves_the_point_and_the_outcomes(open_page):
    app = open_page(SCALE, scale_compounds=20)
    named = {}
    for value in (0.05, 0.5, 0.95):
        next(s for s in app.slider if s.label.startswith("Name compounds")).set_value(value).run()
        assert not app.exception
        curve = app.figures[2]["data"]
        assert curve[1]["text"] == [f" {value:.2f} "]
        named[value] = int(app.metric_values["Named"])
        assert app.link.get("threshold", "0.5") == f"{value:g}" or value == 0.5
    assert named[0.05] >= named[0.5] >= named[0.95]


def test_buttons_zoom_and_another_compound_moves_the_view(open_page):
    app = open_page(SCALE, scale_compounds=20, ppm_low=2, ppm_high=4)
    app.press("In")
    assert app.figures[0]["layout"]["xaxis"]["range"] == [3.5, 2.5]
    assert app.link["ppm_high"] == "3.5"
    app.press("Left")
    assert app.figures[0]["layout"]["xaxis"]["range"] == [4.0, 3.0]
    app.press("Whole")
    assert app.figures[0]["layout"]["xaxis"]["range"] == [12.0, -1.0]
    chooser = next(s for s in app.selectbox if s.label == "Compound in orange")
    chooser.select_index(3).run()
    assert not app.exception
    name = app.dataframe[0].value["compound"][3]
    assert app.figures[0]["data"][1]["name"] == name
    assert "ppm_low" not in app.link
    assert "ppm_high" not in app.link
    assert app.link["compound"]
    high, low = app.figures[0]["layout"]["xaxis"]["range"]
    estimated = app.dataframe[1].value["estimated (ppm)"][0]
    assert low < estimated < high < low + 0.5
    app.press("New mixture")
    assert app.link == {"scale_seed": "2", "scale_compounds": "20"}


def test_an_own_mixture_has_no_truth(open_page):
    app = open_page(SCALE, scale_library="metabolites")
    app.upload(
        SAMPLE,
        "ppm,kind,j_hz,protons\n1.32,d,6.9,3\n4.11,q,7,1\n8.44,x,,1\n",
        "[a](b).csv",
    )
    assert any(
        "row 4: unknown multiplicity 'x'" in e.value.replace("\\", "") and "](" not in e.value
        for e in app.error
    )
    app.upload(
        SAMPLE,
        "ppm,kind,j_hz,protons\n1.32,d,6.9,3\n4.11,q,6.9,1\n8.44,s,,1\n",
    )
    assert app.link["scale_mixture"] == "file"
    assert "File mine" in app.texts.replace("\\", "")
    assert any("No precision-recall curve" in info.value for info in app.info)
    assert set(app.metric_values) == {"Peaks", "Named", "Area explained", "Seconds"}
    assert app.metric_values["Peaks"] == "7"
    assert "truth" not in app.dataframe[0].value
    assert len(app.figures[0]["data"]) == 3
    app.press("New mixture")
    assert "scale_mixture" not in app.link
    assert "F1" in app.metric_values


PEAKS = "ppm;area\n1,31;3\n1,33;3\n4,09;1\n4,11;3\n4,12;3\n4,14;1\n"  # of lactate


def test_an_uploaded_mixture_is_compared_with_real_metabolites(open_page):
    app = open_page(SCALE)
    assert "Library: **877 invented compounds**" in app.texts
    app.upload(SAMPLE, PEAKS, "peaks.csv")
    assert app.link == {"scale_library": "metabolites", "scale_mixture": "file"}
    words = app.texts.replace("\\", "")
    assert "**File peaks.csv:** A list of 6 peaks." in words
    assert "Compared with **128 real metabolites**" in words
    assert set(app.dataframe[0].value["compound"]) <= set(common_metabolites().names)
    next(s for s in app.selectbox if s.label == "Library").set_value("synthetic").run()
    assert any("877 invented compounds are not real" in w.value for w in app.warning)
    assert not any("threshold" in info.value for info in app.info)
    app.upload(SAMPLE, PEAKS.replace("3\n1,33", "4\n1,33"), "again.csv")
    assert app.link == {"scale_mixture": "file"}  # the library that was chosen stays
    app.press("Compare with 128 real metabolites")
    assert app.link == {"scale_library": "metabolites", "scale_mixture": "file"}
    assert not any("not real" in w.value for w in app.warning)
    next(u for u in app.file_uploader if u.label == SAMPLE).set_value(None).run()
    assert app.link == {"scale_library": "metabolites"}
    assert "Mixture 1" in app.texts


def test_an_own_library_stays_when_a_mixture_is_uploaded(open_page):
    app = open_page(SCALE)
    rows = "".join(f"mine {i};{1 + i / 4:.2f};d;7;3\n" for i in range(8)).replace(".", ",")
    app.upload(LIBRARY, f"compound;ppm;kind;j_hz;protons\n{rows}", "own.csv")
    app.upload(SAMPLE, PEAKS)
    assert app.link == {"scale_library": "own", "scale_mixture": "file"}
    assert "Compared with **8 compounds of own.csv**" in app.texts.replace("\\", "")
    next(u for u in app.file_uploader if u.label == LIBRARY).set_value(None).run()
    assert not app.exception, app.exception
    assert app.link == {"scale_library": "metabolites", "scale_mixture": "file"}


def test_an_own_library_is_looked_for_and_its_problems_are_shown_as_they_are(open_page):
    app = open_page(SCALE)
    rows = "".join(f"mine {i},{1 + i / 4},d,7,3\nmine {i},{5 + i / 5},t,6,2\n" for i in range(12))
    app.upload(
        LIBRARY,
        f"compound,ppm,kind,j_hz,protons\n{rows}<b>x</b>,99,s,,1\n:red[odd],3.3,s,,1\n",
    )
    assert app.link == {"scale_library": "own"}
    assert app.metric_values["In the mixture"] == "13"
    problems = next(d.value for d in app.dataframe if "problem" in d.value)
    assert problems["what was done"].tolist() == ["left out", "left out", "changed"]
    assert "99" in problems["problem"][0]
    assert set(app.dataframe[0].value["compound"]) <= {f"mine {i}" for i in range(12)} | {
        "red(odd)",
        "-red(odd)",
        ":red(odd)",
    }
    app.upload(LIBRARY, "compound,ppm\na,1\n")
    assert any("expected compound" in e.value.replace("\\", "") for e in app.error)
    assert app.link == {"scale_library": "own"}  # the one before stays


def test_a_library_of_pure_compounds_and_a_table_is_looked_for(open_page):
    app = open_page(SCALE)
    uploader = next(u for u in app.file_uploader if u.label == LIBRARY)
    table = "compound,ppm,kind,j_hz,protons\nacetate,1.91,s,,3\nlactate,9,s,,1\n"
    files = {"table.csv": table, "lactate (4H).csv": PEAKS, "bad.csv": "x,y\n1,2\n"}
    uploader.set_value([(name, text.encode(), "text/csv") for name, text in files.items()]).run()
    assert not app.exception, app.exception
    said = " ".join(message.value for message in app.success)
    assert "2 compounds are read; left out: 2" in said.replace("\\", "")
    read = next(d.value for d in app.dataframe if "how it was read" in d.value)
    assert read["compound"].tolist() == ["lactate"]
    problems = next(d.value for d in app.dataframe if "problem" in d.value)
    assert sorted(problems["file"]) == ["bad.csv", "table.csv"]
    app.upload(SAMPLE, PEAKS, "peaks.csv")
    assert app.link == {"scale_library": "own", "scale_mixture": "file"}
    assert "2 compounds of table.csv and 2 more" in app.texts.replace("\\", "")
    found = app.dataframe[0].value.set_index("compound")
    assert found["amount"]["lactate"] == pytest.approx(14 / 4, rel=0.05)


def test_the_frequency_of_a_spectrum_is_shown_and_can_be_changed(open_page):
    app = open_page(SCALE)
    ppm = np.linspace(12, -1, 4096)
    heights = 1e6 / (1 + ((ppm - 1.32) * 300) ** 2)
    values = " ".join(str(int(y)) for y in heights)
    head = {"DATA TYPE": "NMR SPECTRUM", "XUNITS": "PPM", "FIRSTX": 12, "LASTX": -1}
    head |= {".OBSERVE FREQUENCY": 400.13, ".OBSERVE NUCLEUS": "^1H"}
    text = "".join(f"##{key}= {value}\n" for key, value in {"TITLE": "x", **head}.items())
    app.upload(SAMPLE, f"{text}##XYDATA= (X++(Y..Y))\n12 {values}\n##END=\n", "mine.dx")
    (field,) = (n for n in app.number_input if n.label == "Spectrometer (MHz)")
    assert field.value == pytest.approx(400.13)
    assert "The file states it." in field.help
    assert "JCAMP-DX" in app.texts
    field.set_value(600.0).run()
    assert not app.exception
    assert app.link["scale_mhz"] == "600"
    app.upload(SAMPLE, "##TITLE= x\n##END=\n", "bad.dx")
    assert any("no XYDATA or NTUPLES" in e.value for e in app.error)


def test_a_library_beside_the_axis_leaves_nothing_to_separate(open_page):
    app = open_page(SCALE)
    app.upload(LIBRARY, "compound,ppm,kind,j_hz,protons\nfar,15,s,,1\n")
    assert any("nothing to separate" in info.value for info in app.info)
    assert len(app.file_uploader) == 2  # a better one can be given


@pytest.mark.parametrize("query", [{"scale_library": "own"}, {"scale_mixture": "file"}])
def test_a_link_to_an_uploaded_file_is_explained(open_page, query):
    app = open_page(SCALE, **query)
    assert any("which a link cannot carry" in w.value for w in app.warning)
    assert app.metric_values["In the mixture"] == "75"


def test_equivalent_compounds_are_said_to_count_as_one(open_page):
    app = open_page(SCALE)
    rows = "".join(f"mine {i},{1 + i / 4},d,7,3\n" for i in range(8))
    app.upload(LIBRARY, f"compound,ppm,kind,j_hz,protons\n{rows}twin,1,d,7,3\n")
    assert "so they count as one compound: mine 0 = twin" in app.texts
    assert app.metric_values["In the mixture"] == "8"
    app.query_params["compound"] = "9"
    app.run()
    assert not app.exception
    assert any("and mine 0 have equal multiplets" in i.value for i in app.info)


def test_what_the_network_sees_and_does_not_look_for_is_said(open_page):
    app = open_page(SCALE)
    assert "a list of picked peaks" in app.texts
    assert "Lines in one cell of 1 Hz are one peak" in app.texts
    assert "beyond the axis" not in app.texts
    rows = "".join(f"mine {i},{1 + i / 4},d,7,3\n" for i in range(6))
    app.upload(LIBRARY, f"compound,ppm,kind,j_hz,protons\n{rows}mine 0,15,s,,1\nmine 1,-2,s,,1\n")
    assert (
        "2 multiplets of this library lie beyond the axis (-1 to 12 ppm), where the network does"
        " not look for them" in app.texts
    )
    app.upload(SAMPLE, "ppm,area\n1.2,1\n1.3,2\n")
    assert "a list of picked peaks" in app.texts
    assert "1 Hz" not in app.texts


def test_a_compound_without_a_candidate_has_no_amount_and_can_be_chosen(open_page):
    app = open_page(SCALE)
    table = app.dataframe[0]
    assert table.proto.placeholder == ""
    library = peak_page.packaged_library("synthetic")
    mixture = draw_mixture(
        library.detector.compounds,
        PeakMixtureConfig(n_low=75, n_high=75),
        np.random.default_rng([peak_page.SEED, 0]),
    )
    unseen = np.flatnonzero(np.isnan(library.detector.identify(mixture.peaks).amounts))
    app.query_params["compound"] = str(int(unseen[0]) + 1)
    app.run()
    assert not app.exception
    assert len(app.figures) == 4
    assert any("no share of any peak" in info.value for info in app.info)


def test_multiplets_of_a_table_are_compared_with_first_order_lines(open_page, monkeypatch):
    compounds = common_metabolites()
    serine = compounds.select([compounds.names.index("serine")])
    shown = []
    with_detector = peak_page._with_detector

    def spied(*given):
        shown.append(with_detector(*given))
        return shown[-1]

    monkeypatch.setattr(peak_page, "_with_detector", spied)
    peak_page.packaged_library.clear()
    peak_page.library_of_upload.clear()
    for text, first_order in (
        (serine.frame().to_csv(index=False), True),
        ("ppm,area\n3.83,1\n3.93,1\n3.97,1\n", False),
    ):
        app = open_page(SCALE, scale_library="metabolites")
        app.upload(SAMPLE, text)
        assert bool(shown[-1].detector.compounds.given) is not first_order


def test_uploads_push_out_no_packaged_library():
    kept = peak_page.packaged_library("metabolites")
    for i in range(6):
        peak_page.library_of_upload(f"own {i}", "mine", kept.detector.compounds)
    assert peak_page.packaged_library("metabolites") is kept


def test_at_most_two_mixtures_are_identified_at_once(wait_until):
    lock, release, inside, most = threading.Lock(), threading.Event(), 0, 0

    class Blocked:
        def identify(self, peaks):
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            assert release.wait(60)
            with lock:
                inside -= 1

    threads = [
        threading.Thread(target=peak_page.identify, args=(Blocked(), None)) for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    wait_until(lambda: inside >= 2)
    release.set()
    for thread in threads:
        thread.join()
    assert most == 2


def test_when_nothing_is_named_the_page_says_so_and_still_shows_the_likeliest(open_page):
    app = open_page(SCALE, scale_library="metabolites", threshold=0.99)
    app.upload(SAMPLE, "ppm,area\n11.5,1\n")
    assert app.metric_values["Named"] == "0"
    words = "This is not explained by the library: no compound reaches the probability of 99.0 %"
    assert any(words in warning.value for warning in app.warning)
    assert len(app.dataframe[0].value) >= 1
    assert len(app.figures) == 4


def test_a_compound_beside_the_axis_can_be_looked_at(open_page):
    app = open_page(SCALE)
    rows = "".join(f"mine {i},{1 + i / 4},d,7,3\n" for i in range(6))
    app.upload(LIBRARY, f"compound,ppm,kind,j_hz,protons\n{rows}far,15,s,,1\n")
    app.query_params["compound"] = "7"
    app.run()
    assert not app.exception
    assert app.figures[0]["data"][1]["name"] == "far"
    assert app.figures[0]["layout"]["xaxis"]["range"] == pytest.approx([12.0, 11.84])


def test_a_session_holds_no_models_of_earlier_pages(open_page):
    # Streamlit keeps the functions of all widgets of all pages. One of them held each page's
    # models: 2 GB for a class of thirty with eight trainings.
    def models():
        gc.collect()
        return sum(type(thing).__name__ == "Chosen" for thing in gc.get_objects())

    app = open_page()
    at_first = models()
    for path in PATHS[1:]:
        app.switch_page(path).run()
    app.switch_page("app.py").run()
    assert models() <= at_first + 4  # some pages hold their last one


def test_a_link_unfolds_the_arithmetic_of_a_cell(open_page):
    panel = open_page(unfolded="block-4~3~11").panel
    assert panel["open"]
    assert panel["cell"] == {"key": "block 4", "row": 3, "position": 11}
    arithmetic = panel["arithmetic"]
    assert arithmetic["before"]["rule"].startswith("Hidden channel")
    products = sum(term["product"] for term in arithmetic["terms"])
    assert arithmetic["total"] == pytest.approx(products + arithmetic["bias"], abs=1e-5)


@pytest.mark.parametrize("cell", ["mask-9~1~1", "encoding~99~1", "encoding~1~99"])
def test_a_cell_that_the_network_does_not_have_is_not_unfolded(open_page, cell):
    panel = open_page(unfolded=cell).panel
    assert not panel["open"]
    assert "cell" not in panel


def test_noise_and_jitter_above_the_picture_are_those_of_the_link(open_page):
    app = open_page(noise=0.2)
    noise, jitter = (next(s for s in app.slider if s.label.startswith(t)) for t in ("Noise", "Shi"))
    assert noise.value == 0.2
    before = app.network["stages"][0]["values"]
    jitter.set_value(0.4).run()
    assert app.link == {"noise": "0.2", "jitter": "0.4"}
    assert app.network["stages"][0]["values"] != before
