"""Files that version 0.1 wrote open, and a training that it interrupted goes on.

`data/version_0.1` was made with `train --preset quick --seed 3 --model slots --steps 12` of version
0.1, once to the end and once interrupted at step 7, for a network of 8 filters, 4 bottleneck and 8
hidden channels, and 1 stack of 2 layers.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from nmrclassify import cli
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures.grid import generator
from nmrclassify.networks import peak_weights
from nmrclassify.nmr.library import LibraryConfig, random_library
from nmrclassify.training import checkpoints, history, run_states, runs
from nmrclassify.training.recipes import TrainConfig

OLD = Path(__file__).parent / "data" / "version_0.1"


@pytest.fixture
def finished(home):
    """The finished run, in the folder of runs."""
    folder = runs.home() / "20260101-000000-slots-quick-s3-0123456789ab"
    shutil.copytree(OLD / "finished", folder)
    return runs.find(folder.name)


def test_the_packaged_models_of_version_0_1_open():
    model = checkpoints.load(OLD / "metabolites.safetensors")
    assert (model.version, model.model.kind, model.step) == ("0.1.0", "queries", 3000)
    scale = peak_weights.shipped()
    assert 0 < scale.threshold < 1
    assert scale.made["steps"] > 0


def test_a_checkpoint_opens_with_the_results_that_it_states(finished):
    found = checkpoints.load(finished.folder / "model.safetensors")
    assert (found.version, found.model.kind, found.step, found.seed) == ("0.1.0", "slots", 12, 3)
    assert found.training == TrainConfig(
        steps=12,
        learning_rate=3e-3,
        weight_decay=1e-2,
        mask_weight=0.0,
        concentration_spread=1.5,
        repeats=0.4,
        added_noise=0.05,
        unknown_replaces=0.0,
    )
    assert not found.model.config.non_negative_encoder
    assert (found.model.encoder.weight < 0).any()
    assert found.model.config.relu_before_classes
    assert found.dataset.preset == "quick"
    assert found.model.config.n_filters == 8
    result = evaluate(found.model, found.dataset.test_mixtures()).summary()
    assert result.keys() - found.metrics.keys() == {"mask_distance", "mask_distance_ci95"}
    assert not found.metrics.keys() - result.keys()
    assert result["compound_accuracy"] == pytest.approx(
        found.metrics["compound_accuracy"], abs=1e-6
    )
    assert result["si_sdr_improvement_db"] == pytest.approx(
        found.metrics["si_sdr_improvement_db"], abs=1e-3
    )


def test_a_run_opens_with_its_curves_and_its_training_history(finished):
    assert runs.listed() == [finished]
    assert (finished.made_by, finished.model, finished.preset, finished.steps) == (
        "cli",
        "slots",
        "quick",
        12,
    )
    assert [row["step"] for row in runs.history(finished)] == list(range(1, 13))
    model = checkpoints.load(finished.folder / "model.safetensors").model
    kept = history.load(finished.folder / history.FILE, model)
    assert kept.steps == tuple(range(13))
    last = kept.network(12).state_dict()
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())


def test_its_random_library_is_drawn_again(finished):
    stored = checkpoints.load(finished.folder / "model.safetensors").dataset.library
    drawn = random_library(LibraryConfig(filled=0.0), generator(3, "library"))
    assert stored.names == drawn.names
    assert np.array_equal(stored.areas, drawn.areas)


def test_an_interrupted_training_goes_on_to_the_same_numbers(tmp_path, finished):
    folder = tmp_path / "interrupted"
    shutil.copytree(OLD / "interrupted", folder)
    trainer = run_states.resume(folder)
    assert trainer.step == 7
    assert trainer.config.mask_weight == 0
    before = trainer.model.encoder.weight.clone()
    trainer.model.constrain()
    assert torch.equal(trainer.model.encoder.weight, before)
    assert cli.main(["train", "--resume", "--out", str(folder)]) == 0
    resumed = checkpoints.load(folder / "model.safetensors")
    expected = checkpoints.load(finished.folder / "model.safetensors")
    assert resumed.step == 12
    for name, value in expected.model.state_dict().items():
        np.testing.assert_allclose(resumed.model.state_dict()[name], value, atol=1e-4, err_msg=name)
    kept = history.load(folder / history.FILE, resumed.model)
    assert kept.steps == tuple(range(13))
