import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from nmrclassify.evaluation import calibration
from nmrclassify.plots import curves
from nmrclassify.plots.activations import probability_history
from nmrclassify.plots.style import Theme

LIGHT = Theme()


def table(values=(1.0, 2.0)):
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {
                "sweep": "noise",
                "value": v,
                "method": m,
                "seed": s,
                "exact_match": rng.random(),
                "compound_accuracy": 1.0,
                "n_mixtures": 9,
            }
            for v in values
            for m in ("queries", "least squares")
            for s in range(5)
        ]
    )


def test_intervals_over_seeds_are_students():
    rows = table()
    row = curves.over_seeds(rows).query("value == 2 and method == 'queries'").iloc[0]
    shares = rows.query("value == 2 and method == 'queries'")["exact_match"]
    low, high = t.interval(0.95, 4, shares.mean(), shares.std(ddof=1) / np.sqrt(5))
    assert row["mean"] == pytest.approx(shares.mean())
    assert (row["low"], row["high"]) == (pytest.approx(max(low, 0)), pytest.approx(min(high, 1)))


@pytest.mark.parametrize("dark", [False, True])
def test_robustness_draws_each_method_once_in_a_different_style(dark):
    figure = curves.robustness(curves.over_seeds(table()), "noise", Theme(dark)).to_dict()
    assert [trace["name"] for trace in figure["data"]] == ["queries", "least squares"]
    assert len({trace["line"]["dash"] for trace in figure["data"]}) == 2
    assert figure["layout"]["yaxis"]["range"][0] < 0
    assert figure["layout"]["xaxis"]["title"]["text"] == "noise"


def test_wide_ranges_are_drawn_on_a_logarithmic_axis():
    kinds = [
        curves.robustness(curves.over_seeds(table(v)), "x", Theme()).layout.xaxis.type
        for v in ((1.0, 10.0), (0.0, 1.0))
    ]
    assert kinds == ["log", "linear"]


def test_reliability_and_roc_curves_show_what_was_measured():
    probabilities, true = np.array([0.05, 0.95, 0.95]), np.array([0, 1, 0])
    bins = calibration.reliability(probabilities, true)
    _, drawn = curves.reliability_diagram(bins, Theme()).data
    assert list(drawn.y) == [0.0, 0.5]
    assert list(drawn.x) == [0.05, 0.95]
    roc = calibration.roc(np.array([0.1, 0.9]), np.array([False, True]))
    (drawn,) = curves.roc_curves({"score": roc}, Theme()).data
    assert drawn.name == "score: area 1.000"
    assert np.array_equal(drawn.x, roc.false_alarms)
    assert np.array_equal(drawn.y, roc.true_alarms)


def test_learning_curves_have_a_line_at_the_chosen_step():
    keys = ("loss", "classification", "reconstruction", "train_accuracy", "test_compound_accuracy")
    history = [{"step": s} | dict.fromkeys(keys, 0.5) for s in (1, 2, 3)]
    assert not curves.learning_curves(history, Theme()).layout.shapes
    for step in (0, 2):
        lines = curves.learning_curves(history, Theme(), step).layout.shapes
        assert [(line.x0, line.x1) for line in lines] == [(step**0.5,) * 2] * 2
        assert [(line.xref, line.yref) for line in lines] == [
            ("x", "y domain"),
            ("x2", "y2 domain"),
        ]


def test_each_panel_has_its_own_legend_and_no_two_entries_read_alike():
    keys = ("loss", "classification", "reconstruction", "masks", "train_accuracy")
    keys += ("test_compound_accuracy", "test_mask_distance")
    figure = curves.learning_curves([{"step": s} | dict.fromkeys(keys, 0.5) for s in (1, 2)], LIGHT)
    for panel in ("", "2"):
        own = [trace for trace in figure.data if trace.yaxis == f"y{panel}"]
        assert {trace.legend for trace in own} == {f"legend{panel}"}
        words = [word for trace in own for word in trace.name.replace(",", "").split()]
        assert len(set(words)) == len(words)
        assert figure.layout[f"legend{panel}"].x == figure.layout[f"xaxis{panel}"].domain[0]
    assert figure.layout.legend.y * figure.layout.height < figure.layout.margin.b


def test_a_heatmap_over_steps_has_the_scale_of_the_curves():
    steps = (0, 14, 28, 57, 100)
    history = [{"step": s, "loss": 1.0, "test_compound_accuracy": 0.5} for s in steps]
    history = [row | {"classification": None, "train_accuracy": None} for row in history]
    history = [row | {"reconstruction": None} for row in history]
    heatmap = probability_history(steps, np.ones((5, 2)), ("a", "b"), None, LIGHT, 57)
    drawn = curves.learning_curves(history, LIGHT, 57)
    axes = [heatmap.layout.xaxis, drawn.layout.xaxis, drawn.layout.xaxis2]
    assert {axis.ticktext for axis in axes} == {("0", "10", "40", "100")}
    for axis in axes:
        assert np.square(axis.tickvals) == pytest.approx([0, 10, 40, 100])
        assert axis.range[0] <= 0 < 10 < axis.range[1]
    assert drawn.data[0].x == pytest.approx(np.sqrt(steps))
    (frame,) = {(shape.x0, shape.x1) for shape in heatmap.layout.shapes}
    assert frame[0] < drawn.layout.shapes[0].x0 < frame[1]


def test_curves_that_a_run_of_version_0_1_lacks_are_left_out():
    keys = ("loss", "classification", "reconstruction", "train_accuracy", "test_compound_accuracy")
    old = [{"step": s} | dict.fromkeys(keys, 0.5) for s in (1, 2)]
    new = [row | {"step": 3, "masks": 0.3, "test_mask_distance": 0.1} for row in old[:1]]
    named = ["masks", "mask distance"]

    def drawn(history):
        return {trace.name: trace for trace in curves.learning_curves(history, Theme()).data}

    assert not drawn(old).keys() & set(named)
    blank = [row | {"masks": float("nan"), "test_mask_distance": None} for row in old]
    for history in (old + new, blank + new):
        for name, value in zip(named, (0.3, 0.1), strict=True):
            trace = drawn(history)[name]
            assert (trace.meta["steps"], list(trace.y)) == ([3], [value])
    assert drawn(blank).keys() == drawn(old).keys()


def test_two_trainings_are_drawn_with_their_steps():
    histories = tuple(
        [{"step": s, "loss": loss / s, "test_compound_accuracy": s / 40} for s in range(1, last)]
        for loss, last in ((3.0, 9), (5.0, 30))
    )
    figure = curves.compare_learning_curves(histories, ("A", "B"), Theme(), (4, 7))
    for i, history in enumerate(histories):
        loss, share = figure.data[2 * i : 2 * i + 2]
        steps = [row["step"] for row in history]
        assert loss.meta["steps"] == share.meta["steps"] == steps
        assert np.allclose(loss.x, np.sqrt(steps))
        assert loss.name == "AB"[i]
        assert list(loss.y) == [row["loss"] for row in history]
        assert list(share.y) == [row["test_compound_accuracy"] for row in history]
        assert share.xaxis == "x2"
        assert (loss.legend, share.legend) == ("legend", "legend2")
    assert [shape.x0**2 for shape in figure.layout.shapes] == pytest.approx([4, 4, 7, 7])
    assert {shape.xref for shape in figure.layout.shapes} == {"x", "x2"}
    assert figure.data[0].line.dash != figure.data[2].line.dash  # different without colour, too
    assert not curves.compare_learning_curves(
        (histories[0], []), ("A", "B"), Theme(), (None, 5)
    ).layout.shapes
