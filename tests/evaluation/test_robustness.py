from nmrclassify.evaluation.robustness import NETWORKS, SEEDS, SWEEPS, measured

# Sweeps that came after the last full run of `bench robustness`: to be emptied by the next one.
NOT_MEASURED = {"common_shift", "unknown"}


def test_the_packaged_sweeps_are_complete():
    rows = measured()
    assert set(SWEEPS) - set(rows["sweep"]) == NOT_MEASURED
    for name, swept in rows.groupby("sweep"):
        methods = set(swept["method"])
        assert methods >= {"least squares", "matching pursuit", "exhaustive", "queries"}
        assert methods <= {"least squares", "matching pursuit", "exhaustive", *NETWORKS}
        points = swept.groupby(["value", "method"])["seed"].apply(
            lambda seeds: tuple(sorted(seeds))
        )
        assert set(points) == {SEEDS}
        assert len(points) == len(SWEEPS[name].values) * len(methods)
    assert rows["exact_match"].between(0, 1).all()


def test_each_row_of_a_network_says_what_it_was_trained_on():
    rows = measured()
    trained = rows["method"].isin(NETWORKS)
    assert (rows["trained_on"].fillna("") != "").eq(trained).all()
    assert (rows["number_known"] == (rows["sweep"] != "number")).all()
