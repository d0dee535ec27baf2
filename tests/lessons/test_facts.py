"""The file of packaged facts: what it can hold, when it is used, and what a difference is."""

import json

import numpy as np
import pytest

from nmrclassify import cli
from nmrclassify.lessons import facts, masks, output_order
from nmrclassify.lessons.lesson import Computation

QUICK, TRAINED = output_order.two_lists, output_order.with_and_without_matching


def stored(computation):
    return facts.packaged_facts(computation)


def test_facts_are_the_same_after_they_were_written_and_read():
    written = {
        "number": 0.1,
        "array": {"float32": np.float32([[0.1, 2], [3, 4e-9]]), "whole": np.arange(3)},
        "list": [1, ("a", True, None)],
    }
    read = facts.decoded(json.loads(json.dumps(facts.encoded(written))))
    assert read["number"] == 0.1
    for name, array in written["array"].items():
        assert read["array"][name].dtype == array.dtype
        assert np.array_equal(read["array"][name], array)
    assert read["list"] == [1, ["a", True, None]]


def test_a_fact_that_no_file_can_hold_is_refused():
    with pytest.raises(ValueError, match="a fact is a object; expected numbers"):
        facts.encoded({"thing": object()})


def test_the_file_is_small():
    assert facts.FILE.stat().st_size < 100_000


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("lowest", 0.1),
        ("lowest_option", 0),
        ("lowest_is_log_n", False),
        ("lists", [["a"], ["b"]]),
        ("n", 3.5),
    ],
)
def test_a_fact_that_differs_is_named(name, change):
    assert facts.differences(QUICK, stored(QUICK)) == []
    found = facts.differences(QUICK, stored(QUICK) | {name: change})
    assert found
    assert all(text.startswith(name) for text in found)


def test_a_missing_fact_and_a_new_one_are_named():
    changed = stored(QUICK) | {"new": 1}
    del changed["lowest"]
    assert [text.split()[0] for text in facts.differences(QUICK, changed)] == ["lowest", "new"]


def test_rounding_is_no_difference():
    close = stored(QUICK)["lowest"] * (1 + 1e-5)
    assert facts.differences(QUICK, stored(QUICK) | {"lowest": close}) == []


def test_after_a_training_on_another_machine_only_what_is_stated_is_compared(monkeypatch):
    share = next(key for key, value in stored(TRAINED).items() if isinstance(value, float))
    near = stored(TRAINED) | {share: stored(TRAINED)[share] * 0.97}
    assert facts.differences(TRAINED, near)
    monkeypatch.setattr(facts, "machine", lambda: "another one")
    assert facts.differences(TRAINED, near) == []
    claim = next(key for key, value in stored(TRAINED).items() if value is True)
    assert facts.differences(TRAINED, stored(TRAINED) | {claim: False})
    assert facts.differences(TRAINED, stored(TRAINED) | {"pairing_option": 2})
    # Without a training nothing enlarges a difference.
    assert facts.differences(QUICK, stored(QUICK) | {"lowest": 1.2})


def test_facts_of_other_code_are_not_used(monkeypatch):
    def two_lists(report):
        return {}

    assert stored(Computation(two_lists, 0.1)) is None
    assert stored(QUICK) is not None
    monkeypatch.setattr(facts, "_data_digest", lambda: "other data")
    assert stored(QUICK) is None
    assert "have changed" in facts.differences(QUICK, {})[0]


def test_texts_are_not_part_of_the_digest():
    code = facts._without_texts(masks)
    assert "def masks_and_encodings" in code
    assert masks.LESSON.title not in code


def test_the_command_line_compares_and_fails(monkeypatch, capsys):
    monkeypatch.setattr(facts, "computations", lambda: {QUICK.name: QUICK})
    assert cli.main(["lessons", "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"] == 0
    other = Computation(QUICK.compute, 0.1)
    monkeypatch.setattr(facts, "computations", lambda: {QUICK.name: other})
    monkeypatch.setattr(facts, "_data_digest", lambda: "other data")
    assert cli.main(["lessons", "--check"]) == 2
    assert "two_lists: its code or its data have changed" in capsys.readouterr().err
    assert cli.main(["lessons"]) == 2
