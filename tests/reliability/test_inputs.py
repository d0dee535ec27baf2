import random

from nmrclassify.bench import reliability
from nmrclassify.ui.url_parameters import PARAMETERS


def test_damaged_inputs_are_read_or_refused(tmp_path):
    found = reliability.inputs(tmp_path, 320)
    assert found["escapes"] == []
    refused = {name: counts["refused"] for name, counts in found["readers"].items()}
    assert refused.pop("steps of a state") == 0  # the training goes on without them
    assert sum(refused.values()) > 100 and refused["mixture"] and refused["checkpoint"]


def test_damaged_links_keep_their_values_in_bounds():
    rng = random.Random(1)
    texts = ("1", "0.5", "slots", "metabolites", "yes", "1:2.5:d", "20260101-000000-quick")
    for _ in range(400):
        text = reliability.mutated(rng.choice(texts).encode(), rng).decode("utf-8", "replace")
        for parameter in PARAMETERS.values():
            try:
                value = parameter.parse(text)
            except ValueError as error:
                assert len(str(error)) < 1000
                continue
            if parameter.is_number:
                assert parameter.low <= value <= parameter.high
