import os

import pytest

from nmrclassify.bench import reliability


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_killed_training_is_resumed_to_the_same_bytes(tmp_path):
    found = reliability.kills(tmp_path, n_random=2, every=61)
    assert found["lost"] == []
    assert found["write_points"] >= 2
    assert found["resumed_from_a_state"]
