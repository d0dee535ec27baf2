import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from nmrclassify.evaluation import calibration
from nmrclassify.evaluation.robustness import NETWORKS, SEEDS, SWEEPS, measured
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
    own = rows.query("value == 2 and method == 'queries'")["exact_match"]
    low, high = t.interval(0.95, 4, own.mean(), own.std(ddof=1) / np.sqrt(5))
    assert row["mean"] == pytest.approx(own.mean())
    assert (row["low"], row["high"]) == (pytest.approx(max(low, 0)), pytest.approx(min(high, 1)))


@pytest.mark.parametrize("dark", [False, True])
def test_robustness_draws_each_method_once_in_its_own_style(dark):
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


def test_reliability_and_roc_curves_hold_what_was_measured():
    said, came = np.array([0.05, 0.95, 0.95]), np.array([0, 1, 0])
    drawn = curves.reliability_diagram(calibration.reliability(said, came), Theme()).data[1]
    assert list(drawn.y) == [0.0, 0.5]
    assert list(drawn.x) == [0.05, 0.95]
    found = calibration.roc(np.array([0.1, 0.9]), np.array([False, True]))
    assert "area 1.000" in curves.roc_curves({"score": found}, Theme()).data[0].name


def test_the_packaged_sweeps_are_complete():
    rows = measured()
    assert set(rows["sweep"]) == set(SWEEPS)
    for name, sweep in SWEEPS.items():
        own = rows[rows["sweep"] == name]
        networks = set(NETWORKS) if name == "training" else {"queries", "slots"}
        assert set(own["method"]) == networks | {"least squares", "matching pursuit", "exhaustive"}
        points = own.groupby(["value", "method"])["seed"].apply(lambda seeds: tuple(sorted(seeds)))
        assert set(points) == {SEEDS}
        assert len(points) == len(sweep.values) * own["method"].nunique()
    assert rows["exact_match"].between(0, 1).all()
