import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from nmrclassify.evaluation import calibration
from nmrclassify.plots import curves
from nmrclassify.plots.style import Theme


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
        assert [(line.x0, line.x1) for line in lines] == [(step, step), (step, step)]
        assert [(line.xref, line.yref) for line in lines] == [
            ("x", "y domain"),
            ("x2", "y2 domain"),
        ]


def test_curves_that_a_run_of_version_0_1_lacks_are_left_out():
    keys = ("loss", "classification", "reconstruction", "train_accuracy", "test_compound_accuracy")
    old = [{"step": s} | dict.fromkeys(keys, 0.5) for s in (1, 2)]
    new = [row | {"step": 3, "masks": 0.3, "test_mask_distance": 0.1} for row in old[:1]]
    named = ["masks (nats)", "mask distance, unseen"]

    def drawn(history):
        return {trace.name: trace for trace in curves.learning_curves(history, Theme()).data}

    assert not drawn(old).keys() & set(named)
    blank = [row | {"masks": float("nan"), "test_mask_distance": None} for row in old]
    for history in (old + new, blank + new):
        for name, value in zip(named, (0.3, 0.1), strict=True):
            trace = drawn(history)[name]
            assert (list(trace.x), list(trace.y)) == ([3], [value])
    assert drawn(blank).keys() == drawn(old).keys()


def test_two_trainings_are_drawn_with_their_steps():
    histories = tuple(
        [{"step": s, "loss": loss / s, "test_compound_accuracy": s / 40} for s in range(1, last)]
        for loss, last in ((3.0, 9), (5.0, 30))
    )
    figure = curves.compare_learning_curves(histories, ("A", "B"), Theme(), (4, 7))
    for i, history in enumerate(histories):
        loss, share = figure.data[2 * i : 2 * i + 2]
        assert list(loss.x) == list(share.x) == [row["step"] for row in history]
        assert loss.name == "AB"[i]
        assert list(loss.y) == [row["loss"] for row in history]
        assert list(share.y) == [row["test_compound_accuracy"] for row in history]
        assert share.xaxis == "x2"
        assert not share.showlegend
    assert [shape.x0 for shape in figure.layout.shapes] == [4, 4, 7, 7]
    assert {shape.xref for shape in figure.layout.shapes} == {"x", "x2"}
    assert figure.data[0].line.dash != figure.data[2].line.dash  # different without colour, too
    assert not curves.compare_learning_curves(
        (histories[0], []), ("A", "B"), Theme(), (None, 5)
    ).layout.shapes
