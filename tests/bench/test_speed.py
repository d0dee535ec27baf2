"""The measurement of speed runs; how fast it is, is not tested."""

import pytest

from nmrclassify.bench import speed
from nmrclassify.networks.conv_tasnet import NetworkConfig


def test_the_estimators_are_compared_and_timed(monkeypatch):
    monkeypatch.setattr(speed, "REPEATS", {1: 1})
    monkeypatch.setattr(speed, "NETWORK_REPEATS", {1: 1})
    monkeypatch.setattr(speed, "THREADS", (1,))
    speed.parity(NetworkConfig())
    result = speed.run()
    rows = result["mask_estimators"]
    assert {row["what"] for row in rows} == {"training", "inference"}
    assert all(row["ours_per_second"] > 0 for row in rows)


def test_weights_that_differ_are_reported(monkeypatch):
    wrong = {"peer": lambda encoding: encoding[:, None].expand(-1, speed.MASKS, -1, -1) + 2}
    monkeypatch.setattr(speed, "available", lambda *_: (wrong, {}))
    monkeypatch.setattr(speed, "copy_weights", lambda *_: None)
    with pytest.raises(ValueError, match="peer with our weights is .* off our masks"):
        speed.parity(NetworkConfig())
