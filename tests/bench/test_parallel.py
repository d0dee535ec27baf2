import math

import pytest

from nmrclassify.bench._parallel import run_all


def test_results_have_the_order_of_the_calls():
    calls = [(math.factorial, (n,)) for n in (5, 3, 4, 2)]
    assert run_all(calls, "call") == [120, 6, 24, 2]


def test_an_error_ends_the_measurement():
    with pytest.raises(ValueError, match="factorial"):
        run_all([(math.factorial, (-1,)), (math.factorial, (3,))], "call")
