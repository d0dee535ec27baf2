"""Shared fixtures: small data sets and models, a private folder for runs, clean page caches."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["NMRCLASSIFY_CHECK_FIGURES"] = "1"

import io
import time
import zipfile
from dataclasses import replace

import numpy as np
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


@pytest.fixture(scope="session")
def bruker_zip():
    """A zip of Bruker's folder with a rendered mixture of eight metabolites at 500 MHz."""
    from nmrclassify.mixtures.rendered import RenderConfig, render
    from nmrclassify.nmr.compound_files import common_metabolites

    config = RenderConfig(
        n_low=8, n_high=8, mhz_low=500, mhz_high=500, standard=1.0, offset=0.05, snr_low=500
    )
    spectrum = render(common_metabolites(), config, 3).spectrum
    ppm, heights, n = spectrum.ppm[::-1], spectrum.heights[::-1], len(spectrum.ppm)
    width = float(ppm[0] - ppm[-1]) * 500 * n / (n - 1)

    def parameters(**values):
        return "".join(f"##${key}= {value}\n" for key, value in values.items()) + "##END=\n"

    acqus = {"BF1": 500, "SFO1": 500 * (1 + 4.7e-6), "SW_h": width, "TD": 2 * n, "BYTORDA": 0}
    acqus |= {"DTYPA": 0, "NUC1": "<1H>", "SOLVENT": "<D2O>", "PULPROG": "<noesypr1d>"}
    acqus |= {"TE": 298.1, "NS": 64, "PARMODE": 0, "AQ_mod": 3, "O1": 4.7 * 500}
    procs = {"SF": 500, "OFFSET": ppm[0], "SW_p": width, "SI": n, "NC_proc": 0, "BYTORDP": 0}
    procs |= {"XDIM": 0, "DTYPP": 0, "FTSIZE": n}
    points = np.round(heights / np.abs(heights).max() * 2e9).astype("<i4").tobytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sample/10/acqus", parameters(**acqus))
        archive.writestr("sample/10/pdata/1/procs", parameters(**procs))
        archive.writestr("sample/10/pdata/1/1r", points)
    return file.getvalue()
