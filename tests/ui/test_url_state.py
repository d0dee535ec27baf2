"""Every value that comes with a link is checked."""

import re
from urllib.parse import parse_qsl

import pytest

from nmrclassify.mixtures.edits import Amount, Cut
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.spec import MixtureSpec, link_text
from nmrclassify.ui import url_parameters, url_state

BAD = {
    "preset": ["fast", "", "METABOLITES"],
    "seed": ["-1", "1.5", "9" * 30, "x", "²"],
    "model": ["../x", "A", "", "a/b", "<b>", "x" * 101],
    "number": ["0", "-3", "20001"],
    "sources": ["0", "9", "3.0"],
    "jitter": ["nan", "inf", "-0.1", "3.1", ""],
    "noise": ["1.01", "one"],
    "repetition": ["true", "1"],
    "compound_1": ["-1", "65"],
    "network": ["transformer"],
    "number_varies": ["1"],
    "sweep": ["seeds"],
    "amount_1": ["0", "101", "nan"],
    "steps": ["0", "50001"],
    "learning_rate": ["0", "2"],
    "optimiser": ["lbfgs"],
    "scale_library": ["", "877", "Own"],
    "scale_mixture": ["upload"],
    "scale_compounds": ["0", "101", "7.5"],
    "scale_jitter": ["-0.001", "0.051", "nan", "1e"],
    "scale_noise": ["0.11", "inf"],
    "scale_unknown": ["11", "-1"],
    "scale_seed": ["-1", "9" * 12],
    "spectrum_baseline": ["1", "off"],
    "spectrum_reference": ["DSS", ""],
    "spectrum_shift": ["-21", "nan"],
    "spectrum_regions": ["", "4.9_4.6", "4.6_4.9~x"],
    "spectrum_threshold": ["1.9", "101"],
    "compound": ["0", "5001", "compound 1"],
    "threshold": ["0", "1", "nan"],
    "ppm_low": ["-1.1", "nan", "12,5"],
    "ppm_high": ["12.1", "inf"],
    "output": ["0", "-1", "66", "1.0", ""],
    "filter": ["512", "-1", "x"],
    "position": ["512", "-1", "3.5"],
    "step": ["-1", "50001", "1e3"],
    "edits": [
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
    "model_b": ["../x", "A", "", "x" * 101],
    "step_b": ["-1", "50001", ""],
    "noise_b": ["1.01", "-0.1", "nan"],
    "jitter_b": ["3.1", "inf"],
    "unedited_b": ["1", "true"],
    "lesson": ["", "Masks", "a b", "a-b", "../x", "x" * 21, "l3"],
    "lesson_step": ["0", "10", "one"],
    "quiz_seed": ["-1", "x"],
    "quiz_level": ["hard", "c"],
    "quiz_round": ["0", "-1", "9" * 10],
    "presenter": ["on", "1", ""],
}


@pytest.mark.parametrize(
    ("key", "text"), [(key, text) for key, texts in BAD.items() for text in texts]
)
def test_bad_values_are_refused(key, text):
    with pytest.raises(ValueError, match="expected"):
        url_parameters.PARAMETERS[key].parse(text)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("preset", "quick"),
        ("seed", 12),
        ("model", "20260101-000000-quick-s7-abc"),
        ("jitter", 0.25),
        ("repetition", True),
        ("number", 3),
    ],
)
def test_values_survive_the_way_through_a_link(key, value):
    assert url_parameters.PARAMETERS[key].parse(link_text(value)) == value


GOOD = {
    "scale_mhz": "400",
    "spectrum_baseline": "no",
    "spectrum_reference": "by hand",
    "spectrum_shift": "-0.155",
    "spectrum_cut": "no",
    "spectrum_regions": "4.5_5.1~-0.2_0.2",
    "spectrum_threshold": "5",
    "spectrum_fit": "no",
    "preset": "own",
    "model": "queries",
    "mixture": "choose",
    "recipe": "adam",
    "optimiser": "sgd",
    "spread": "2.5",
    "jitter": "0.25",
    "noise": "0.5",
    "network": "slots",
    "filters": "16",
    "sweep": "noise",
    "added_jitter": "0.5",
    "remix": "0.7",
    "unknown": "0.3",
    "unknown_replaces": "0.25",
    "learning_rate": "0.01",
    "weight_decay": "0.1",
    "reconstruction_weight": "2",
    "concentration_spread": "1.5",
    "repeats": "0.4",
    "added_noise": "0.05",
    "scale_library": "metabolites",
    "scale_mixture": "file",
    "scale_compounds": "40",
    "scale_jitter": "0.003",
    "scale_noise": "0.001",
    "scale_unknown": "2",
    "scale_seed": "12",
    "spectrum_ph_from": "by hand",
    "compound": "545",
    "threshold": "0.71",
    "ppm_low": "3.1415",
    "ppm_high": "-0.5",
    "output": "65",
    "filter": "511",
    "position": "20",
    "step": "700",
    "slot": "3",
    "unfolded": "skip-sum~31~20",
    "blocks": "residual",
    "edits": "add_5_d_2~cut_5~move_3_-0.5~scale_3_0.25~amount_4_0~noise_0.1_7",
    "model_b": "untrained",
    "step_b": "0",
    "noise_b": "0.25",
    "jitter_b": "1.5",
    "unedited_b": "no",
    "lesson": "masks",
    "lesson_step": "3",
    "quiz_round": "12",
    "quiz_seed": "5",
    "quiz_level": "unlisted",
    "presenter": "yes",
}


@pytest.mark.parametrize("key", url_parameters.PARAMETERS)
def test_every_parameter_of_a_link_comes_back_as_it_was_written(key):
    for text in ("yes", "3") if key not in GOOD else (GOOD[key],):
        try:
            value = url_parameters.PARAMETERS[key].parse(text)
        except ValueError:
            continue
        assert link_text(value) == text
        return
    pytest.fail(f"no example was taken for {key}")


def test_every_parameter_is_described_and_has_a_default_that_a_link_may_hold():
    for name, parameter in url_parameters.PARAMETERS.items():
        assert re.fullmatch(r"[a-z_]+\d?", name)
        assert parameter.name == name
        assert parameter.meaning
        if parameter.default is not None:
            assert parameter.parse(link_text(parameter.default)) == parameter.default


def test_no_edits_at_all_are_a_good_value():
    assert url_parameters.PARAMETERS["edits"].parse("") == ""


@pytest.fixture
def state(monkeypatch):
    """A session's state, without a page."""
    kept = {}
    monkeypatch.setattr(url_state.st, "session_state", kept)
    return kept


def test_a_whole_state_is_replaced_or_left_alone(state):
    url_state.put("seed", 12)
    url_state.put("number", 3)
    url_state.replace_all({"preset": "quick", "edits": "cut_3", "position": "0"})
    assert url_state.query() == {"preset": "quick", "edits": "cut_3", "position": "0"}
    assert url_state.get("position") == 0
    assert url_state.get("seed", 7) == 7
    with pytest.raises(ValueError, match="expected"):
        url_state.replace_all({"seed": "5", "position": "-1"})
    assert url_state.query() == {"preset": "quick", "edits": "cut_3", "position": "0"}


def test_replacing_the_state_forgets_what_the_widgets_hold(state):
    state["widget seed"], state["something else"] = 5, 6
    url_state.replace_all({"seed": "9"})
    assert "widget seed" not in state
    assert state["something else"] == 6


# Links as version 0.1 wrote them, and what version 0.1 read in them.
OLD_LINKS = {
    "n=3&foreign=yes&sort=no&silent=yes": {
        "number": 3,
        "unknown_compound": True,
        "sort_filters": False,
        "weak_cells": True,
    },
    "a2=2.5&c1=4&c2=4&c3=9&mixture=choose&preset=quick&repeat=yes&seed=12": {
        "amount_2": 2.5,
        "compound_1": 4,
        "compound_2": 4,
        "compound_3": 9,
        "mixture": "choose",
        "preset": "quick",
        "repetition": True,
        "seed": 12,
    },
    "a1=1.5&a3=3&a4=4&a5=5&a6=6&a7=7&a8=8&c4=1&c5=2&c6=3&c7=4&c8=0&sources=8&varies=yes": {
        "amount_1": 1.5,
        "amount_3": 3.0,
        "amount_4": 4.0,
        "amount_5": 5.0,
        "amount_6": 6.0,
        "amount_7": 7.0,
        "amount_8": 8.0,
        "compound_4": 1,
        "compound_5": 2,
        "compound_6": 3,
        "compound_7": 4,
        "compound_8": 0,
        "sources": 8,
        "number_varies": True,
    },
    "balance=2&batch=32&decay=0.1&grain=0.05&network=slots&optimiser=sgd&rate=0.01&recipe=adam": {
        "reconstruction_weight": 2.0,
        "batch_size": 32,
        "weight_decay": 0.1,
        "added_noise": 0.05,
        "network": "slots",
        "optimiser": "sgd",
        "learning_rate": 0.01,
        "recipe": "adam",
    },
    "levels=yes&remix=0.7&steps=300&strange=0.3&twice=0.4&weights=3&widen=1.5&wobble=0.5": {
        "own_levels": True,
        "remix": 0.7,
        "steps": 300,
        "unknown": 0.3,
        "repeats": 0.4,
        "weights_seed": 3,
        "concentration_spread": 1.5,
        "added_jitter": 0.5,
    },
    "at=700&filter=8&model=20260101-000000-queries-quick-s7-abc&output=2&position=0": {
        "step": 700,
        "filter": 8,
        "model": "20260101-000000-queries-quick-s7-abc",
        "output": 2,
        "position": 0,
    },
    "edit=add_5_d_2~cut_3&jitter=0.4&noise=0.1&spread=2.5&wrong=yes&sweep=noise&slot=2": {
        "edits": "add_5_d_2~cut_3",
        "jitter": 0.4,
        "noise": 0.1,
        "spread": 2.5,
        "only_wrong": True,
        "sweep": "noise",
        "slot": 2,
    },
    "other=untrained&otherat=20&otherjitter=1.5&othernoise=0.25&otherplain=yes&blocks=residual": {
        "model_b": "untrained",
        "step_b": 20,
        "jitter_b": 1.5,
        "noise_b": 0.25,
        "unedited_b": True,
        "blocks": "residual",
    },
    "lesson=mask&part=2&present=yes": {"lesson": "mask", "lesson_step": 2, "presenter": True},
    "round=4&seed=5": {"quiz_round": 4, "seed": 5},
    "compound=7&draw=5&hiss=0.001&library=metabolites&shift=0.003&size=40&strangers=2": {
        "compound": 7,
        "scale_seed": 5,
        "scale_noise": 0.001,
        "scale_library": "metabolites",
        "scale_jitter": 0.003,
        "scale_compounds": 40,
        "scale_unknown": 2,
    },
    "high=3.5&low=2&sample=file&sure=0.3": {
        "ppm_high": 3.5,
        "ppm_low": 2.0,
        "scale_mixture": "file",
        "threshold": 0.3,
    },
}


class Address(dict):
    """The parameters of a URL, as Streamlit has them."""

    to_dict = dict.copy

    def from_dict(self, texts):
        self.clear()
        self.update(texts)


@pytest.fixture
def address(state, monkeypatch):
    """A session's URL, without a page."""
    kept = Address()
    monkeypatch.setattr(url_state.st, "query_params", kept)
    return kept


@pytest.mark.parametrize("link", OLD_LINKS)
def test_a_link_of_version_0_1_opens_the_same_state_and_is_written_anew(link, address):
    address.update(parse_qsl(link))
    assert url_state.read("app.py") == []
    expected = OLD_LINKS[link]
    assert {key: url_state.get(key) for key in expected} == expected
    url_state.write()
    assert address == {key: link_text(value) for key, value in expected.items()}


def test_the_links_of_version_0_1_hold_every_old_name():
    held = {key for link in OLD_LINKS for key, _ in parse_qsl(link)}
    assert held >= url_parameters.OLD_NAMES.keys()
    assert not url_parameters.OLD_NAMES.keys() & url_parameters.PARAMETERS.keys()


def test_a_bad_value_under_an_old_name_is_refused_and_a_present_name_goes_first(address):
    address.update({"grain": "2", "n": "3", "number": "5"})
    (problem,) = url_state.read("app.py")
    assert problem.startswith("The link has `grain=2`; expected a number from 0 to 1.")
    assert url_state.get("number") == 5
    assert url_state.get("added_noise") is None


@pytest.mark.parametrize(
    "spec",
    [
        MixtureSpec(number=12),
        MixtureSpec("quick", 3, number=4, unknown=True, edits=(Cut(3), Amount(4, 1.5))),
        MixtureSpec(compounds=(4, 4, 9), concentrations=(1.0, 2.5, 1.0)),
        MixtureSpec("quick", 1, MixtureConfig(5, True, 0.5, 2.0, 0.2, 0.1, True), compounds=(3, 0)),
        MixtureSpec(),
    ],
)
def test_a_mixture_is_written_into_the_link_and_nothing_is_left_of_the_one_before(spec, state):
    assert spec.link().keys() <= set(url_parameters.MIXTURE)
    url_state.put("position", 3)
    url_state.put_mixture(MixtureSpec("original", 9, number=3, unknown=True, edits=(Cut(1),)))
    url_state.put_mixture(spec)
    assert url_state.query() == spec.link() | {"position": "3"}
