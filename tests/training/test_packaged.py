"""The packaged models: small files, exact weights, trainings that play, and the command."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify import cli
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training import checkpoints, packaged
from nmrclassify.training.checkpoints import PACKAGED, shipped
from nmrclassify.training.history import unpack
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

ALL = pytest.mark.parametrize(("preset", "name"), packaged.ALL)


def state(model):
    return list(model.state_dict().items())


@ALL
def test_a_packaged_model_is_trained_on_its_preset(preset, name):
    model = shipped(name, preset)
    assert model.model.kind == PACKAGED[name]
    assert model.training == recipe(packaged.RECIPES[name])
    assert model.step == model.training.steps > 0
    assert model.seed == model.dataset.seed == packaged.SEED
    assert model.dataset.digest() == build(preset, packaged.SEED).digest()
    assert (float(model.model.temperature) != 1) == bool(len(model.dataset.validation))


@ALL
def test_a_packaged_model_is_as_good_as_it_says(preset, name):
    model = shipped(name, preset)
    mixtures, weight = model.dataset.test_mixtures(), model.training.reconstruction_weight
    result = evaluate(model.model, mixtures, weight).summary()
    for key in ("compound_accuracy", "exact_match", "mask_distance"):
        assert result[key] == pytest.approx(model.metrics[key], abs=0.02)
    assert not model.trained_on(model.dataset.test).any()


@pytest.mark.parametrize(("name", "least"), [("reference", 0.9), ("queries", 0.95)])
def test_the_models_of_metabolites_name_compounds_of_unseen_mixtures(name, least):
    assert shipped(name).metrics["compound_accuracy"] >= least


def test_all_files_of_the_models_are_small():
    files = [
        path
        for path in packaged.FOLDER.iterdir()
        if path.name.startswith(checkpoints.PACKAGED_PRESETS)
    ]
    assert len(files) == 3 * len(packaged.ALL)
    assert sum(path.stat().st_size for path in files) < 8_000_000


@ALL
def test_a_packaged_training_has_steps_and_rows_up_to_the_model(preset, name):
    model, history = shipped(name, preset), packaged.training_history(name, preset)
    assert 20 <= len(history) <= 40
    assert (history.steps[0], history.steps[-1]) == (0, model.step)
    last = history.network(model.step)
    for (key, exact), (_, kept) in zip(state(model.model), state(last), strict=True):
        assert torch.equal(exact, kept), key
    rows = packaged.rows(name, preset)
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps)) and steps[-1] == model.step and len(rows) >= 20
    assert rows[-1]["test_compound_accuracy"] == pytest.approx(model.metrics["compound_accuracy"])
    assert rows[-1]["loss"] < rows[0]["loss"]


@ALL
def test_a_packaged_training_starts_untrained_and_learns(preset, name):
    history = packaged.training_history(name, preset)
    dataset = build(preset, packaged.SEED)
    learnt = dataset.training_set()[:20]
    right = [
        evaluate(history.network(step), learnt).summary()["compound_accuracy"]
        for step in (history.steps[0], history.steps[-1])
    ]
    assert right[0] < 0.6 < 0.85 < right[1]


@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_packed_steps_predict_what_the_steps_did(kind, quick):
    config = replace(recipe(NETWORKS[kind].usual_recipe), steps=40)
    trainer = Trainer(quick, config, kind=kind)
    while not trainer.finished:
        trainer.advance()
    exact = trainer.training_history
    packed = exact.packed(12)
    assert packed == exact.packed(12)
    history = unpack(packed, trainer.model)
    assert len(history) == 12
    assert set(history.steps) <= set(exact.steps)
    assert len(packed) < 0.75 * 11 * trainer.model.n_parameters  # bytes
    areas = quick.test_mixtures().areas[0]
    for step in history.steps:
        was, found = exact.network(step).predict(areas), history.network(step).predict(areas)
        assert np.abs(was.probabilities - found.probabilities).max() < 0.02
    assert np.array_equal(was.probabilities, found.probabilities)  # the last one


def test_unknown_models_are_refused():
    with pytest.raises(ValueError, match="no packaged model 'best'; expected reference or queries"):
        shipped("best")
    with pytest.raises(ValueError, match="'quick'; expected metabolites or original"):
        shipped("queries", "quick")


def test_the_command_writes_the_files_of_one_model(tmp_path, capsys):
    arguments = ["package-models", "--only", "original-reference", "--steps", "30", "--json"]
    for folder in ("a", "b"):
        assert cli.main([*arguments, "--out", str(tmp_path / folder)]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(result) == ["original-reference"]
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()} for folder in "ab"
    )
    assert first == second
    assert sorted(first) == [
        "original_reference.csv",
        "original_reference.safetensors",
        "original_reference.steps.gz",
    ]
    made = checkpoints.from_bytes(first["original_reference.safetensors"])
    assert (made.step, made.model.kind, made.dataset.preset) == (30, "slots", "original")
    history = unpack(first["original_reference.steps.gz"], made.model)
    assert history.steps[-1] == 30


def test_the_first_mixture_has_shared_positions_and_the_reference_names_all_three():
    model = shipped()
    i = PRESETS["metabolites"].first - 1
    mixtures = model.dataset.test_mixtures()[i : i + 1]
    assert (mixtures.sources[0].any(axis=1).sum(axis=0) > 1).sum() >= 2
    named = model.model.predict(mixtures.areas[0]).named
    assert sorted(named.tolist()) == sorted(mixtures.labels[0].tolist())
    assert len(set(named.tolist())) == 3
