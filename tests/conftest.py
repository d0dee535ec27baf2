"""Shared fixtures: small data sets and models, a private folder for runs, clean page caches."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["NMRCLASSIFY_CHECK_FIGURES"] = "1"

import time
from dataclasses import replace

import pytest
import torch

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.presets import build
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Keep every test's runs to itself."""
    monkeypatch.setenv("NMRCLASSIFY_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def wait_until():
    """Return a function that waits until a condition holds, and fails after a minute."""

    def wait(condition, before_next_look=lambda: time.sleep(0.01), seconds=60.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"waited for more than {seconds:g} s"
            before_next_look()

    return wait


@pytest.fixture(scope="session")
def quick() -> Dataset:
    """The quick preset."""
    return build("quick", 3)


@pytest.fixture(scope="session")
def trained(quick) -> Checkpoint:
    """A slots model after a few steps: not a good one, but one with a history."""
    trainer = Trainer(quick, replace(recipe("modern"), steps=12, batch_size=16))
    *_, last = trainer.snapshots(6)
    return Checkpoint.from_trainer(trainer, last.test)


@pytest.fixture(scope="session")
def learned(quick) -> Checkpoint:
    """A trained, calibrated queries model that names nearly every unseen mixture."""
    # Short, so with weaker disturbances and less weight decay than those of the recipe.
    short = replace(
        recipe("queries"),
        learning_rate=5e-3,
        weight_decay=1e-2,
        batch_size=64,
        steps=150,
        concentration_spread=2.0,
        added_noise=0.15,
        added_jitter=0.5,
        added_common_shift=0.0,
        remix=0.7,
    )
    trainer = Trainer(quick, short, kind="queries")
    *_, last = trainer.snapshots(75)
    return Checkpoint.from_trainer(trainer, last.test)


@pytest.fixture(params=["slots", "queries"])
def either(request) -> Checkpoint:
    """Both trained models, one after the other."""
    return request.getfixturevalue({"slots": "trained", "queries": "learned"}[request.param])
