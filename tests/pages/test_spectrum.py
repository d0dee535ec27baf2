"""An uploaded spectrum on the page Full scale: its processing, and the evidence in it."""

import re

import pandas as pd
import pytest

from nmrclassify.ui.peak_edits import PeakEdit, edited_peaks

SCALE = "pages/scale.py"
SAMPLE = "Mixture (spectrum or table)"


@pytest.fixture
def app(open_page, bruker_zip):
    app = open_page(SCALE)
    assert not app.toggle  # nothing of it for a drawn mixture
    app.upload(SAMPLE, bruker_zip, "sample.zip")
    return app


def field(app, kind, label):
    return next(element for element in getattr(app, kind) if element.label == label)


def table(app, column):
    return next(frame.value for frame in app.dataframe if column in frame.value)


def words(app):
    return app.texts.replace("\\", "")


def test_a_spectrum_is_shown_with_its_facts_and_steps(app):
    assert "500.00 MHz · D2O · noesypr1d · 298.1 K · 64 scans" in words(app)
    for sentence in (
        "A baseline of",
        "The noise has a standard deviation",
        "was taken for the reference",
        "The regions -0.2 to 0.2, 4.58 to 4.92 ppm were cut out.",
        "lines were fitted",
    ):
        assert sentence in words(app)
    figure = app.figure("spectrum")
    names = [trace["name"] for trace in figure["data"]]
    assert names[:3] == ["measured", "processed", "fitted lines"]
    high, low = figure["layout"]["xaxis"]["range"]
    assert high > low
    assert len(figure["layout"]["shapes"]) == 2
    assert set(app.link) == {"scale_library", "scale_mixture"}


def test_a_step_is_switched_off_and_the_link_carries_it(app):
    field(app, "toggle", "Baseline").set_value(False).run()
    assert "A baseline of" not in words(app)
    assert app.link["spectrum_baseline"] == "no"
    field(app, "toggle", "Cut regions").set_value(False).run()
    assert not app.figure("spectrum")["layout"].get("shapes")
    field(app, "toggle", "Fit lines").set_value(False).run()
    assert "maxima of the curvature" in words(app)
    app.press("Reset the processing")
    assert "A baseline of" in words(app)
    assert set(app.link) == {"scale_library", "scale_mixture"}
    assert not app.has_button("Reset the processing")


def test_a_region_is_moved_and_its_peaks_are_gone(app):
    before = int(app.metric_values["Peaks"])
    field(app, "slider", "Solvent: water (ppm)").set_range(4.1, 5.4).run()
    assert not app.exception
    assert app.link["spectrum_regions"] == "-0.2_0.2~4.1_5.4"
    assert "4.1 to 5.4 ppm were cut out" in words(app)
    assert field(app, "slider", "Solvent: water (ppm)").value == (4.1, 5.4)
    assert int(app.metric_values["Peaks"]) != before
    # A region without width cuts nothing.
    field(app, "slider", "Reference (ppm)").set_range(0.0, 0.0).run()
    assert "The regions 4.1 to 5.4 ppm were cut out" in words(app)


def test_a_drag_selects_where_it_cuts_and_a_change_is_undone(app):
    assert app.figure("spectrum")["layout"]["dragmode"] == "zoom"
    field(app, "button_group", "Drag across the spectrum to").set_value("cut").run()
    assert app.figure("spectrum")["layout"]["dragmode"] == "select"
    assert not app.has_button("Undo")
    for low, high in ((4.1, 5.4), (4.2, 5.2)):
        field(app, "slider", "Solvent: water (ppm)").set_range(low, high).run()
    app.press("Undo")
    assert app.link["spectrum_regions"] == "-0.2_0.2~4.1_5.4"
    app.press("Undo")
    assert field(app, "slider", "Solvent: water (ppm)").value == (4.58, 4.92)
    assert not app.has_button("Undo")


def test_regions_of_a_link_have_the_labels_of_what_they_are(app):
    app.query_params["spectrum_regions"] = "7_7.5~4.4_5~-0.1_0.1"
    app.run()
    values = {slider.label: slider.value for slider in app.slider}
    assert values["Region 1 (ppm)"] == (7, 7.5)
    assert values["Solvent: water (ppm)"] == (4.4, 5)
    assert values["Reference (ppm)"] == (-0.1, 0.1)


def test_the_reference_is_moved_by_hand_from_what_was_found(app):
    reference = field(app, "selectbox", "Reference")
    reference.set_value("by hand").run()
    shift = field(app, "number_input", "Shift of the axis (ppm)")
    assert 0.001 < abs(shift.value) < 0.06  # of the standard that was found
    assert app.link["spectrum_reference"] == "by hand"
    first = app.figure("spectrum")["data"][1]["x0"]
    shift.set_value(shift.value + 0.1).run()
    assert not app.exception
    assert app.figure("spectrum")["data"][1]["x0"] != first
    assert "by hand" in words(app)
    assert "spectrum_shift" in app.link


def test_the_ph_is_estimated_or_by_hand_and_moves_the_library(app):
    assert "pH 7.4 (assumed)" in words(app)
    assert "No other pH fits clearly better than 7.4" in words(app)
    before = table(app, "library (ppm)")
    field(app, "radio", "pH of the sample").set_value("by hand").run()
    assert app.link["spectrum_ph_from"] == "by hand"
    field(app, "number_input", "pH").set_value(2.0).run()
    assert not app.exception
    assert app.link["spectrum_ph"] == "2"
    assert "pH 2.0 (by hand)" in words(app)
    after = table(app, "library (ppm)")
    assert not after["library (ppm)"].equals(before["library (ppm)"])
    app.press("Reset the processing")
    assert "pH 7.4 (assumed)" in words(app)


def test_a_processing_that_leaves_no_peak_can_be_reset(app):
    app.query_params["spectrum_regions"] = "-1_12"
    app.run()
    assert any("nothing to separate" in info.value for info in app.info)
    app.press("Reset the processing")
    assert app.figure("spectrum")["data"]


def test_the_evidence_for_a_compound_and_the_rest(app):
    found = table(app, "expected")
    assert (found["outcome"] == "✓ found").any()
    assert re.search(r"Named \(\d+%\): .* lines? (is|are) there", words(app))
    chooser = field(app, "selectbox", "Compound in orange")
    assert len(chooser.options) == 128  # "Why not X?" is asked of any
    chooser.select_index(len(chooser.options) - 1).run()
    other = table(app, "expected")
    assert not other["ppm"].equals(found["ppm"])
    assert re.search(r"Not named \(0%\): .* missing", words(app))
    rest = table(app, "of the whole area")
    assert rest["of the whole area"].is_monotonic_decreasing
    names = [trace["name"] for trace in app.figure("spectrum")["data"]]
    assert names[-1] == "explained by none"


def test_a_known_concentration_of_the_standard_makes_the_amounts_absolute(app):
    relative = table(app, "mol %")
    named = relative["outcome"] == "named"
    assert relative["mol %"].sum() == pytest.approx(100)
    assert relative["mol %"][~named].isna().all()
    assert (relative["from"][named] < relative["mol %"][named]).all()
    assert field(app, "selectbox", "Concentration known of").options[0] == "DSS or TSP (0 ppm)"
    field(app, "number_input", "in mM (0: unknown)").set_value(0.5).run()
    absolute = table(app, "mM")
    assert app.link["known_mm"] == "0.5"
    ratio = absolute["mM"][named] / relative["mol %"][named]
    assert ratio.max() == pytest.approx(ratio.min())
    # The same, with a named compound that has this concentration.
    chosen = field(app, "selectbox", "Concentration known of")
    chosen.select_index(chosen.options.index(absolute["compound"][0])).run()
    mm = float(absolute["mM"][0])
    field(app, "number_input", "in mM (0: unknown)").set_value(mm).run()
    assert not app.exception
    assert table(app, "mM")["mM"][named].tolist() == pytest.approx(absolute["mM"][named].tolist())


def test_a_list_of_peaks_has_no_spectrum(open_page):
    app = open_page(SCALE)
    app.upload(SAMPLE, "ppm,area\n1.31,3\n1.33,3\n4.11,1\n", "peaks.csv")
    assert not app.toggle
    assert "The spectrum" not in [heading.value for heading in app.subheader]


def test_the_report_is_offered(app):
    (button,) = (b for b in app.get("download_button") if b.proto.label == "Report as HTML")
    assert not button.proto.disabled


def test_the_multiplets_of_a_compound_can_be_copied(app):
    (line,) = [code.value for code in app.code if " 1H NMR (" in code.value]
    name, _, rest = line.partition(": ")
    assert rest.startswith("1H NMR (500 MHz, D2O) δ ")
    assert f"**{name}.** Named (" in words(app)


LINE = "1H NMR (400 MHz, D2O) δ 4.10 (q, J = 6.9 Hz, 1H), 1.32 (d, J = 6.9 Hz, 3H)"


def test_multiplets_of_a_paper_are_pasted(open_page):
    app = open_page(SCALE)
    paste = field(app, "text_area", "Or paste multiplets from a paper")
    paste.set_value(LINE).run()
    assert not app.exception
    assert "A report at 400 MHz in D2O. 2 multiplets, split into 6 lines" in words(app)
    assert app.link["scale_mixture"] == "file"
    assert app.metric_values["Peaks"] == "6"
    field(app, "text_area", "Or paste multiplets from a paper").set_value("1H NMR δ 1.3").run()
    assert "pasted text: line 1: there is no shift with brackets" in words(app)
    field(app, "text_area", "Or paste multiplets from a paper").set_value("").run()
    assert "scale_mixture" not in app.link and not app.exception


def test_edited_peaks_are_identified_and_the_edit_is_undone(app):
    before = app.metric_values
    app.press("Use these peaks")  # AppTest cannot edit a table: as it is
    assert "The peaks were edited by hand" in words(app)
    edits = app.session_state["peak edits"]
    assert len(edits[0].peaks.areas) == int(before["Peaks"])
    few = edited_peaks(pd.DataFrame({"ppm": [1.0, 2.0], "area": [1.0, 1.0]}), edits[0].peaks.axis)
    app.session_state["peak edits"] = [*edits, PeakEdit(edits[0].of, few, "few")]
    app.run()
    assert app.metric_values["Peaks"] == "2"
    app.press("Undo the edit")
    app.press("Undo the edit")
    assert app.metric_values["Peaks"] == before["Peaks"]
    assert "edited by hand" not in words(app)
    # After another processing they are other peaks.
    app.session_state["peak edits"] = edits
    field(app, "toggle", "Fit lines").set_value(False).run()
    assert "edited by hand" not in words(app)
