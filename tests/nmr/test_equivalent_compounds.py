import time
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from nmrclassify.nmr.axis import FULL_AXIS, PPM_AXIS
from nmrclassify.nmr.compounds import Compounds
from nmrclassify.nmr.equivalent_compounds import at_group_means, equivalent_compounds
from nmrclassify.nmr.multiplets import first_order, given_lines


def rng(seed=0):
    return np.random.default_rng(seed)


def make(*tables):
    """Compounds of (ppm, kind, couplings, protons) rows."""
    rows = [(k, *row) for k, table in enumerate(tables) for row in table]
    compound, ppm, kinds, couplings, protons = zip(*rows, strict=False)
    return Compounds(
        tuple(f"c{k}" for k in range(len(tables))),
        np.array(compound),
        np.array(ppm),
        np.array(protons),
        kinds,
        couplings,
    )


def brute_alike(compounds, axis, tolerance):
    """Groups by trying every pairing of every pair of compounds."""
    near, first = max(tolerance, axis.width), compounds.first_multiplet
    group = list(range(compounds.n_compounds))

    def fits(i, j):
        a, b = ([m for m in range(first[k], first[k + 1])] for k in (i, j))
        if len(a) != len(b):
            return False
        for order in permutations(b):
            ratio = compounds.protons[a] / compounds.protons[list(order)]
            if (
                np.abs(compounds.ppm[a] - compounds.ppm[list(order)]).max() > near
                or np.ptp(ratio) > 1e-9
            ):
                continue
            lines = [
                [first_order(compounds.kinds[m], compounds.couplings[m]) for m in side]
                for side in (a, order)
            ]
            if all(
                len(x.areas) == len(y.areas)
                and np.abs(x.areas - y.areas).max() < 1e-9
                and np.abs(x.offsets - y.offsets).max() <= 1
                for x, y in zip(*lines, strict=False)
            ):
                return True
        return False

    for i in range(compounds.n_compounds):
        for j in range(i):
            if fits(i, j):
                old, new = group[i], group[j]
                group = [new if g == old else g for g in group]
    return list(map({g: k for k, g in enumerate(dict.fromkeys(group))}.get, group))


@pytest.mark.parametrize("seed", range(6))
def test_compounds_alike_are_those_that_brute_force_finds(seed):
    r = rng(seed)
    tables = []
    for _ in range(40):
        shifts = r.choice([1.0, 1.008, 1.016, 2.0, 2.009], size=r.integers(1, 4)) + r.uniform(
            -0.003, 0.003
        )
        times = r.integers(1, 3)
        kinds = r.choice(["s", "d", "t"], len(shifts))
        js = r.choice([7.0, 8.5, 12.0], len(shifts))
        tables.append(
            [
                (p, k, (float(j),) * (k != "s"), float(times))
                for p, k, j in zip(shifts, kinds, js, strict=False)
            ]
        )
    compounds = make(*tables)
    found = equivalent_compounds(compounds, FULL_AXIS)
    assert found.tolist() == brute_alike(compounds, FULL_AXIS, 0.01)
    assert 1 < found.max() + 1 < 40


def test_what_makes_compounds_alike():
    base = [(1.0, "d", (7.0,), 3.0), (4.0, "q", (7.0,), 1.0)]
    same = [
        [
            (4.005, "q", (7.2,), 2.0),
            (1.009, "d", (6.5,), 6.0),
        ],  # another order, doubled, slightly moved
        [(1.0, "d", (7.0,), 3.0), (4.0, "q", (7.6,), 1.0)],  # outer lines .9 Hz away
    ]
    other = [
        [(1.011, "d", (7.0,), 3.0), (4.0, "q", (7.0,), 1.0)],
        [(1.0, "d", (9.1,), 3.0), (4.0, "q", (7.0,), 1.0)],
        [(1.0, "d", (7.0,), 3.0), (4.0, "q", (7.0,), 2.0)],
        [(1.0, "t", (7.0,), 3.0), (4.0, "q", (7.0,), 1.0)],
        [*base, (7.0, "s", (), 1.0)],
    ]
    for table in same:
        assert equivalent_compounds(make(base, table), FULL_AXIS).tolist() == [0, 0]
    for table in other:
        assert equivalent_compounds(make(base, table), FULL_AXIS).tolist() == [0, 1]
    # A chain is one group; the crossing order of two near multiplets is seen through.
    assert equivalent_compounds(
        make(*([(p, "s", (), 1.0)] for p in (1.0, 5.0, 1.016, 1.008))), FULL_AXIS
    ).tolist() == [0, 1, 0, 0]
    crossing = (
        [(1.0, "s", (), 1.0), (1.004, "d", (9.0,), 1.0)],
        [(1.0, "d", (9.0,), 1.0), (1.004, "s", (), 1.0)],
    )
    assert equivalent_compounds(make(*crossing), FULL_AXIS).tolist() == [0, 0]
    # On bins of half a ppm, much is alike.
    assert equivalent_compounds(
        make(base, [(1.3, "t", (7.0,), 3.0), (4.1, "q", (7.0,), 1.0)]), PPM_AXIS
    ).tolist() == [0, 0]
    # A splitting that no line width resolves is none.
    assert equivalent_compounds(
        make([(1.0, "d", (0.5,), 1.0)], [(1.0, "s", (), 1.0)]), FULL_AXIS
    ).tolist() == [0, 0]


def test_large_compounds_alike_are_found_quickly():
    n, size = 120, 64
    columns = np.repeat(np.arange(n), size), np.tile(np.linspace(1, 9, size), n), np.ones(n * size)
    compounds = Compounds(
        tuple(f"c{k}" for k in range(n)), *columns, ("s",) * n * size, ((),) * n * size
    )
    start = time.process_time()
    assert not equivalent_compounds(compounds, FULL_AXIS).any()
    assert time.process_time() - start < 6  # about 1 s; all pairings of all multiplets took 5 s


def test_too_many_pairs_and_bad_tolerances_are_refused():
    crowd = make(*([(1.0, "s", (), 1.0)] for _ in range(800)))
    with pytest.raises(ValueError, match="more than 300,000 pairs"):
        equivalent_compounds(crowd, FULL_AXIS)
    with pytest.raises(ValueError, match="more than 100 pairs"):
        equivalent_compounds(crowd.select(range(20)), FULL_AXIS, max_pairs=100)
    assert (
        equivalent_compounds(crowd.select(range(10)), FULL_AXIS, max_pairs=100).tolist() == [0] * 10
    )
    for tolerance in (-0.1, float("nan"), 2.0):
        with pytest.raises(ValueError, match="expected 0 to 1 ppm"):
            equivalent_compounds(make([(1.0, "s", (), 1.0)]), FULL_AXIS, tolerance)


def test_ten_thousand_compounds_are_quick():
    r = rng()
    sizes = r.integers(1, 14, 10_000)
    n = int(sizes.sum())
    kinds = r.choice(["s", "d", "t", "dd", "ddd"], n)
    needed = {"s": 0, "d": 1, "t": 1, "dd": 2, "ddd": 3}
    columns = np.repeat(np.arange(10_000), sizes), r.uniform(0, 9, n), r.integers(1, 4, n), kinds
    couplings = [
        tuple(row[: needed[kind]])
        for row, kind in zip(r.uniform(1, 15, (n, 3)).tolist(), kinds, strict=False)
    ]
    start = time.process_time()
    compounds = Compounds(tuple(f"compound {k}" for k in range(10_000)), *columns, couplings)
    assert len(compounds.areas) == len(compounds.offsets)
    assert time.process_time() - start < 6  # about 1.5 s; the bound leaves room for a slow machine
    start = time.process_time()
    assert equivalent_compounds(compounds, FULL_AXIS).max() > 9000
    assert time.process_time() - start < 8


def test_the_first_of_a_group_moves_to_the_mean_of_the_group():
    library = make(
        [(1.0, "s", (), 3), (4.0, "s", (), 2)],
        [(2.0, "s", (), 1)],
        [(4.006, "s", (), 2), (1.004, "s", (), 3)],  # in another order
    )
    groups = equivalent_compounds(library, FULL_AXIS)
    assert groups.tolist() == [0, 1, 0]
    moved = at_group_means(library, groups)
    assert moved.ppm == pytest.approx([1.002, 4.003, 2.0, 4.006, 1.004])
    assert at_group_means(library, np.arange(3)) is library


def test_compounds_are_compared_by_their_given_lines():
    doublet = make([(2.0, "d", (7.0,), 3.0)], [(2.0, "m", (), 3.0)], [(2.0, "d", (7.0,), 3.0)])
    same = given_lines([-3.5, 3.5], [1.0, 1.0])[1]
    other = given_lines([-3.5, 3.5], [1.0, 2.0])[1]
    compounds = replace(doublet, given=(None, same, other))
    assert equivalent_compounds(compounds, FULL_AXIS).tolist() == [0, 0, 1]
