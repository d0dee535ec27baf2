import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import read_compounds
from nmrclassify.nmr.equivalent_compounds import equivalent_compounds
from nmrclassify.nmr.synthetic import AROMATIC, GISSMO, HMDB, SyntheticConfig, synthetic_compounds

REFERENCE = Path(__file__).parents[3] / "shared" / "data" / "gissmo_first_order_multiplets.csv"
FIVE = (0.05, 0.25, 0.5, 0.75, 0.95)


@pytest.fixture(scope="module")
def fragments():
    return synthetic_compounds(
        SyntheticConfig(n_compounds=3000, metabolites=0.0, relatives=0.0), np.random.default_rng(1)
    )


@pytest.fixture(scope="module")
def metabolites():
    return synthetic_compounds(
        SyntheticConfig(n_compounds=3000, metabolites=1.0, relatives=0.0), np.random.default_rng(1)
    )


def weighted_quantile(values, weights):
    order = np.argsort(values)
    return values[order][np.searchsorted(np.cumsum(weights[order]) / weights.sum(), FIVE)]


def kinds(compounds):
    """Share of each kind in %, all trees of four and more doublets as m."""
    counted = Counter("m" if kind.startswith("dddd") else kind for kind in compounds.kinds)
    return {kind: 100 * n / compounds.n_multiplets for kind, n in counted.items()}


def all_couplings(compounds):
    return np.array([value for couplings in compounds.couplings for value in couplings])


def test_a_library_is_quick_named_and_follows_from_the_seed():
    synthetic_compounds(SyntheticConfig(n_compounds=10), np.random.default_rng(0))
    start = time.process_time()
    compounds = synthetic_compounds(SyntheticConfig(), np.random.default_rng(3))
    assert time.process_time() - start < 3  # about .2 s; the bound leaves room for a slow machine
    assert compounds.names == tuple(f"compound {k}" for k in range(1, 878))
    assert compounds.frame().equals(
        synthetic_compounds(SyntheticConfig(), np.random.default_rng(3)).frame()
    )
    assert not compounds.frame().equals(
        synthetic_compounds(SyntheticConfig(), np.random.default_rng(4)).frame()
    )


@pytest.mark.parametrize("n", [1, 2, 40, 877])
@pytest.mark.parametrize("seed", range(3))
def test_no_two_compounds_are_alike(n, seed):
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=n), np.random.default_rng(seed))
    assert compounds.n_compounds == n
    assert len(set(equivalent_compounds(compounds, FULL_AXIS))) == n


def test_multiplets_a_compound(fragments, metabolites):
    for compounds, expected in (
        (fragments, (2, 3, 4, 6, 8, 10)),
        (metabolites, (1, 3, 5, 7, 14, 18)),
    ):
        sizes = np.diff(compounds.first_multiplet)
        assert np.quantile(sizes, (*FIVE, 0.99)) == pytest.approx(expected, abs=1)
        assert sizes.min() == 1


def test_shares_of_kinds(fragments, metabolites):
    expected = {
        "d": 20.6,
        "s": 19.8,
        "dd": 19.3,
        "t": 18.3,
        "ddd": 4.1,
        "dt": 3.7,
        "m": 2.8,
        "quint": 2.1,
        "td": 2,
        "tt": 1.9,
        "q": 1.2,
    }
    found = kinds(fragments)
    assert all(
        found[kind] == pytest.approx(share, abs=max(1.0, share / 10))
        for kind, share in expected.items()
    ), found
    expected = {
        "m": 37,
        "s": 15.5,
        "d": 14.6,
        "dd": 13.2,
        "t": 10.2,
        "ddd": 2,
        "td": 1.3,
        "q": 1.3,
        "dt": 1.1,
    }
    found = kinds(metabolites)
    assert all(
        found[kind] == pytest.approx(share, abs=max(1.0, share / 10))
        for kind, share in expected.items()
    ), found


def test_protons_a_multiplet(fragments, metabolites):
    for compounds in (fragments, metabolites):
        shares = [(compounds.protons == n).mean() for n in (1, 2, 3)] + [
            (compounds.protons > 3).mean()
        ]
        assert shares == pytest.approx([0.6, 0.25, 0.1, 0.05], abs=0.015)


def test_shifts(fragments, metabolites):
    # The field's figures: weighted by protons for GISSMO, each multiplet once for HMDB.
    found = weighted_quantile(fragments.ppm, fragments.protons)
    assert found == pytest.approx([1.26, 2.56, 3.87, 7.25, 7.98], abs=0.15)
    assert np.quantile(metabolites.ppm, FIVE) == pytest.approx(
        [0.93, 1.93, 3.46, 5.18, 7.87], abs=0.25
    )
    histogram = 100 * np.histogram(metabolites.ppm, np.arange(11))[0] / metabolites.n_multiplets
    assert histogram == pytest.approx(
        [6.5, 20.2, 17.1, 20.6, 10.3, 4.3, 6.7, 10.3, 3.3, 0.6], abs=1.5
    )


def test_couplings(fragments, metabolites):
    assert np.quantile(all_couplings(fragments), FIVE) == pytest.approx(
        [1.1, 5.0, 7.2, 8.2, 12.6], abs=0.2
    )
    assert np.quantile(all_couplings(metabolites), FIVE) == pytest.approx(
        [1.5, 4.3, 7.0, 8.3, 14.6], abs=0.2
    )


def test_methyl_groups_stand_upfield_as_simple_multiplets(fragments, metabolites):
    for compounds in (fragments, metabolites):
        methyl = compounds.protons == 3
        assert (compounds.ppm[methyl] < 4.1).mean() > 0.95
        assert (
            np.mean(
                [
                    kind in ("s", "d", "t")
                    for kind, is_methyl in zip(compounds.kinds, methyl, strict=False)
                    if is_methyl
                ]
            )
            > 0.95
        )


def test_aromatic_multiplets_come_together_and_are_small(fragments):
    ring = fragments.ppm >= AROMATIC
    assert (fragments.protons[ring] <= 2).mean() > 0.97
    share = np.bincount(fragments.compound, ring) / np.diff(fragments.first_multiplet)
    by_chance = np.mean((1 - ring.mean()) ** np.diff(fragments.first_multiplet))
    assert (share == 0).mean() > 1.8 * by_chance
    one = np.array(
        [
            c[0]
            for c, k, r in zip(fragments.couplings, fragments.kinds, ring, strict=False)
            if r and k == "dd"
        ]
    )
    assert 7 < np.median(one) < 9


def shared(compounds):
    """Share of neighbouring multiplets of one region that have a coupling in common."""
    rows = list(
        zip(
            compounds.compound,
            compounds.ppm >= AROMATIC,
            map(set, compounds.couplings),
            strict=False,
        )
    )
    return np.mean(
        [bool(a[2] & b[2]) for a, b in pairwise(rows) if a[:2] == b[:2] and a[2] and b[2]]
    )


def test_neighbours_share_couplings():
    always, never = (
        synthetic_compounds(SyntheticConfig(sharing=p, relatives=0.0), np.random.default_rng(0))
        for p in (1.0, 0.0)
    )
    assert shared(always) > 0.5
    assert shared(never) < 0.1


def test_the_mix_lies_between():
    low, middle, high = (
        kinds(synthetic_compounds(SyntheticConfig(metabolites=p), np.random.default_rng(0)))["m"]
        for p in (0.0, 0.5, 1.0)
    )
    assert low + 5 < middle < high - 5


@pytest.mark.parametrize(
    "changes",
    [{"n_compounds": 0}, {"n_compounds": 10_001}, {"metabolites": 1.1}, {"sharing": float("nan")}],
)
def test_impossible_configs_are_refused(changes):
    with pytest.raises(ValueError, match=f"{next(iter(changes))} is"):
        SyntheticConfig(**changes)


def test_the_stated_shares_are_shares():
    for statistics in (GISSMO, HMDB):
        assert 0.9 < sum(statistics.kinds.values()) <= 1
        for pairs in (statistics.sizes, statistics.ppm, statistics.couplings):
            share, value = np.array(pairs).T
            assert share[0] == 0
            assert share[-1] == 1
            assert (np.diff(share) > 0).all()
            assert (np.diff(value) >= 0).all()


@pytest.mark.skipif(not REFERENCE.exists(), reason="the reference table is not on this machine")
def test_fragments_resemble_the_reference_table(fragments):
    real = read_compounds(REFERENCE).compounds
    sizes = [np.quantile(np.diff(c.first_multiplet), FIVE) for c in (fragments, real)]
    assert sizes[0] == pytest.approx(sizes[1], abs=1)
    # Shares, not quantiles: the median falls into the gap between aliphatic and aromatic shifts.
    below = [
        [(c.ppm < edge).mean() for edge in (1.5, 2, 3, 4, 5, AROMATIC, 7, 7.5, 8)]
        for c in (fragments, real)
    ]
    assert below[0] == pytest.approx(below[1], abs=0.03)
    found, expected = kinds(fragments), kinds(real)
    assert all(
        found[kind] == pytest.approx(expected[kind], abs=2)
        for kind in ("s", "d", "t", "q", "dd", "ddd", "dt", "m")
    )
    # The field's figures for couplings and those of the table differ by up to 1.4 Hz.
    assert np.quantile(all_couplings(fragments), FIVE) == pytest.approx(
        np.quantile(all_couplings(real), FIVE), abs=1.6
    )
    # The joint shares, which nothing above fixes: protons by region.
    for low, high in ((0, 2), (2, 3), (3, 4), (4, AROMATIC), (AROMATIC, 13)):
        shares = [
            [(c.protons[(low <= c.ppm) & (c.ppm < high)] == n).mean() for n in (1, 2, 3)]
            for c in (fragments, real)
        ]
        assert shares[0] == pytest.approx(shares[1], abs=0.12), (low, high)
    none = [(np.bincount(c.compound, c.ppm >= AROMATIC) == 0).mean() for c in (fragments, real)]
    assert none[0] == pytest.approx(none[1], abs=0.06)


def test_relatives_have_multiplets_nearly_as_another_compound_has_them():
    def likeness(compounds):
        """Mean of the largest share of multiplets that one other has within .01 ppm and 1 Hz."""
        width = np.array([lines.offsets[-1] - lines.offsets[0] for lines in compounds.lines])
        best = np.zeros((compounds.n_compounds, compounds.n_compounds))
        for m, (ppm, kind) in enumerate(zip(compounds.ppm, compounds.kinds, strict=False)):
            near = (
                (np.abs(compounds.ppm - ppm) < 0.01)
                & (np.abs(width - width[m]) < 1)
                & (np.array(compounds.kinds) == kind)
            )
            best[compounds.compound[m], np.unique(compounds.compound[near])] += 1
        np.fill_diagonal(best, 0)
        return (best / np.diff(compounds.first_multiplet)[:, None]).max(axis=1).mean()

    few, many = (
        likeness(
            synthetic_compounds(
                SyntheticConfig(n_compounds=300, relatives=p), np.random.default_rng(0)
            )
        )
        for p in (0.0, 0.8)
    )
    assert many > few + 0.1
