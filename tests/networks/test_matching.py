from itertools import permutations

import numpy as np
import pytest

from nmrclassify.networks.matching import assign


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_assignment_is_the_cheapest_of_all_permutations(size):
    cost = np.random.default_rng(size).normal(size=(30, size, size))
    rows = np.arange(size)
    for matrix, assignment in zip(cost, assign(cost), strict=False):
        cheapest = min(matrix[rows, list(p)].sum() for p in permutations(range(size)))
        assert sorted(assignment) == list(rows)
        assert matrix[rows, assignment].sum() == pytest.approx(cheapest)


def test_undefined_costs_are_refused():
    with pytest.raises(ValueError, match="not a finite number"):
        assign(np.array([[[0.0, np.nan], [0.0, 1.0]]]))
