import json
from pathlib import Path

from nmrclassify.evaluation.robustness import (
    NETWORKS,
    ONE_FOR_ALL,
    OWN_TRAINING,
    SWEEPS,
    measured,
)

RESULT = Path(__file__).parents[2] / "docs" / "results" / "robustness.json"


def test_the_packaged_sweeps_are_complete():
    rows = measured()
    seeds = tuple(json.loads(RESULT.read_text())["measured_with"]["seeds"])
    assert set(rows["sweep"]) == set(SWEEPS)
    for name, swept in rows.groupby("sweep"):
        networks = set(OWN_TRAINING if name == "training" else ONE_FOR_ALL)
        if name == "number":  # slots cannot state it
            networks -= {"slots"}
        methods = {"least squares", "matching pursuit", "exhaustive", *networks}
        assert set(swept["method"]) == methods
        points = swept.groupby(["value", "method"])["seed"].apply(
            lambda seeds: tuple(sorted(seeds))
        )
        assert set(points) == {seeds}
        assert len(points) == len(SWEEPS[name].values) * len(methods)
    assert rows["exact_match"].between(0, 1).all()


def test_each_row_of_a_network_says_what_it_was_trained_on():
    rows = measured()
    trained = rows["method"].isin(NETWORKS)
    assert (rows["trained_on"].fillna("") != "").eq(trained).all()
    assert (rows["number_known"] == (rows["sweep"] != "number")).all()
