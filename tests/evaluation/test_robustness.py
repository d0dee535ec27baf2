from nmrclassify.evaluation.robustness import NETWORKS, SEEDS, SWEEPS, measured


def test_the_packaged_sweeps_are_complete():
    rows = measured()
    assert set(rows["sweep"]) == set(SWEEPS)
    for name, sweep in SWEEPS.items():
        swept = rows[rows["sweep"] == name]
        networks = set(NETWORKS) if name == "training" else {"queries", "slots"}
        assert set(swept["method"]) == networks | {
            "least squares",
            "matching pursuit",
            "exhaustive",
        }
        points = swept.groupby(["value", "method"])["seed"].apply(
            lambda seeds: tuple(sorted(seeds))
        )
        assert set(points) == {SEEDS}
        assert len(points) == len(sweep.values) * swept["method"].nunique()
    assert rows["exact_match"].between(0, 1).all()
