import json

import pytest

from nmrclassify.bench import results


def test_the_page_is_what_the_command_writes():
    assert results.FOLDER.with_suffix(".md").read_text() == results.page()


@pytest.mark.parametrize("path", sorted(results.FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_every_result_states_its_origin(path):
    origin = json.loads(path.read_text())["measured_with"]
    assert origin["command"].startswith("python -m nmrclassify ")
    assert origin["version"]
    assert len(origin["date"]) == 10
    assert isinstance(origin["seeds"], list)
    assert "torch" in origin["machine"] or "taken_over_from" in origin


def test_a_result_of_a_bench_becomes_tables():
    origin = {"command": "c", "seeds": [7], "version": "1", "date": "d", "machine": "m"}
    result = {
        "seconds": 1.23456,
        "range": [1, None],
        "runs": [{"seed": 1, "a": 0.5}, {"seed": 2, "more": True}],
        "task": {"mean": {"exact": 1.0}},
        "measured_with": origin,
    }
    assert (
        results.section("name", result)
        == """## name

| what | figure |
| --- | --- |
| seconds | 1.235 |
| range | 1,  |

runs:

| seed | a | more |
| --- | --- | --- |
| 1 | 0.5 |  |
| 2 |  | True |

task, mean:

| what | figure |
| --- | --- |
| exact | 1 |

*`c`; seed 7; version 1; d; m.*"""
    )
