"""Every value that comes with a link is checked."""

import pytest

from nmrclassify.ui import url_state

BAD = {
    "preset": ["fast", "", "METABOLITES"],
    "seed": ["-1", "1.5", "9" * 30, "x", "²"],
    "model": ["../x", "A", "", "a/b", "<b>", "x" * 101],
    "n": ["0", "-3", "20001"],
    "sources": ["0", "9", "3.0"],
    "jitter": ["nan", "inf", "-0.1", "3.1", ""],
    "noise": ["1.01", "one"],
    "repeat": ["true", "1"],
    "c1": ["-1", "65"],
    "network": ["transformer"],
    "varies": ["1"],
    "sweep": ["seeds"],
    "a1": ["0", "101", "nan"],
    "steps": ["0", "50001"],
    "rate": ["0", "2"],
    "optimiser": ["lbfgs"],
    "library": ["", "877", "Own"],
    "sample": ["upload"],
    "size": ["0", "101", "7.5"],
    "shift": ["-0.001", "0.051", "nan", "1e"],
    "hiss": ["0.11", "inf"],
    "strangers": ["11", "-1"],
    "draw": ["-1", "9" * 12],
    "compound": ["0", "5001", "compound 1"],
    "sure": ["0", "1", "nan"],
    "low": ["-1.1", "nan", "12,5"],
    "high": ["12.1", "inf"],
    "output": ["0", "-1", "66", "1.0", ""],
    "filter": ["512", "-1", "x"],
    "position": ["512", "-1", "3.5"],
    "at": ["-1", "50001", "1e3"],
    "edit": [
        "cut",
        "cut_x",
        "eval_1",
        "~",
        "move_1_nan",
        "cut_1~",
        "~".join(["cut_1"] * 41),
        "cut_1;cut_2",
        "<b>",
    ],
    "slot": ["0", "9", "any"],
    "blocks": ["both", "", "Skip"],
    "other": ["../x", "A", "", "x" * 101],
    "otherat": ["-1", "50001", ""],
    "othernoise": ["1.01", "-0.1", "nan"],
    "otherjitter": ["3.1", "inf"],
    "otherplain": ["1", "true"],
    "lesson": ["", "Masks", "a b", "a-b", "../x", "x" * 21, "l3"],
    "part": ["0", "10", "one"],
    "round": ["0", "-1", "9" * 10],
    "present": ["on", "1", ""],
}


@pytest.mark.parametrize(
    ("key", "text"), [(key, text) for key, texts in BAD.items() for text in texts]
)
def test_bad_values_are_refused(key, text):
    with pytest.raises(ValueError, match="expected"):
        url_state.PARAMETERS[key](text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preset", "quick"),
        ("seed", 12),
        ("model", "20260101-000000-quick-s7-abc"),
        ("jitter", 0.25),
        ("repeat", True),
        ("n", 3),
    ],
)
def test_values_survive_the_way_through_a_link(key, value):
    assert url_state.PARAMETERS[key](url_state._text(value)) == value


GOOD = {
    "preset": "own",
    "model": "shipped",
    "mixture": "choose",
    "recipe": "adam",
    "optimiser": "sgd",
    "spread": "2.5",
    "jitter": "0.25",
    "noise": "0.5",
    "network": "slots",
    "sweep": "noise",
    "wobble": "0.5",
    "remix": "0.7",
    "strange": "0.3",
    "rate": "0.01",
    "decay": "0.1",
    "balance": "2",
    "widen": "1.5",
    "twice": "0.4",
    "grain": "0.05",
    "library": "metabolites",
    "sample": "file",
    "size": "40",
    "shift": "0.003",
    "hiss": "0.001",
    "strangers": "2",
    "draw": "12",
    "compound": "545",
    "sure": "0.71",
    "low": "3.1415",
    "high": "-0.5",
    "output": "65",
    "filter": "511",
    "position": "20",
    "at": "700",
    "slot": "3",
    "blocks": "residual",
    "edit": "add_5_d_2~cut_5~move_3_-0.5~scale_3_0.25~amount_4_0~noise_0.1_7",
    "other": "untrained",
    "otherat": "0",
    "othernoise": "0.25",
    "otherjitter": "1.5",
    "otherplain": "no",
    "lesson": "masks",
    "part": "3",
    "round": "12",
    "present": "yes",
}


@pytest.mark.parametrize("key", url_state.PARAMETERS)
def test_every_parameter_of_a_link_comes_back_as_it_was_written(key):
    for text in ("yes", "3") if key not in GOOD else (GOOD[key],):
        try:
            value = url_state.PARAMETERS[key](text)
        except ValueError:
            continue
        assert url_state._text(value) == text
        return
    pytest.fail(f"no example was taken for {key}")


def test_every_new_parameter_has_examples_of_both_kinds():
    names = list(url_state.PARAMETERS)
    new = names[names.index("output") : names.index("library")]
    assert set(new) <= BAD.keys()
    assert set(new) <= GOOD.keys()
    for key in new:
        url_state.PARAMETERS[key](GOOD[key])


def test_no_edits_at_all_are_a_good_value():
    assert url_state.PARAMETERS["edit"]("") == ""


@pytest.fixture
def state(monkeypatch):
    """A session's state, without a page."""
    kept = {}
    monkeypatch.setattr(url_state.st, "session_state", kept)
    return kept


def test_a_whole_state_is_replaced_or_left_alone(state):
    url_state.put("seed", 12)
    url_state.put("n", 3)
    url_state.replace_all({"preset": "quick", "edit": "cut_3", "position": "0"})
    assert url_state.query() == {"preset": "quick", "edit": "cut_3", "position": "0"}
    assert url_state.get("position") == 0
    assert url_state.get("seed", 7) == 7
    with pytest.raises(ValueError, match="expected"):
        url_state.replace_all({"seed": "5", "position": "-1"})
    assert url_state.query() == {"preset": "quick", "edit": "cut_3", "position": "0"}


def test_replacing_the_state_forgets_what_the_widgets_hold(state):
    state["widget seed"], state["something else"] = 5, 6
    url_state.replace_all({"seed": "9"})
    assert "widget seed" not in state
    assert state["something else"] == 6
