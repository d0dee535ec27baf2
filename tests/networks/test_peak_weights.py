import json
import pickle
from importlib import resources

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from nmrclassify import files
from nmrclassify.evaluation.identify import Detector
from nmrclassify.files import CheckpointError
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.networks import peak_weights
from nmrclassify.networks.peak_network import PeakNetwork, PeakNetworkConfig
from nmrclassify.networks.peak_weights import Trained, load, save, shipped
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

SIZES = {"lines": 4, "places": 6, "hypotheses": 8, "rounds": 2, "judged": 64, "kept": 32}


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(0)
    network = PeakNetwork(PeakNetworkConfig(**SIZES))
    network.temperature.fill_(1.5)
    return Trained(network, 0.4, {"steps": 3, "seconds": 1.25, "config": {"seed": 7}})


@pytest.fixture
def path(trained, tmp_path):
    save(trained, tmp_path / "network.safetensors")
    return tmp_path / "network.safetensors"


@pytest.fixture(scope="module")
def asked():
    """A library, and a mixture of some of it."""
    library = synthetic_compounds(SyntheticConfig(n_compounds=15), np.random.default_rng(0))
    return library, draw_mixture(
        library, PeakMixtureConfig(n_low=5, n_high=5), np.random.default_rng(1)
    ).peaks


def header(path):
    content = path.read_bytes()
    return json.loads(
        json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"][
            "nmrclassify"
        ]
    )


def forge(path, changed=None, tensors=None):
    """Write a file again with another header (None drops an entry) and other tensors."""
    values = {k: v for k, v in (header(path) | (changed or {})).items() if v is not None}
    held = {
        k: v
        for k, v in (load_tensors(path.read_bytes()) | (tensors or {})).items()
        if v is not None
    }
    path.write_bytes(save_tensors(held, metadata={"nmrclassify": json.dumps(values)}))
    return path


def test_what_is_saved_comes_back_and_answers_alike(trained, path, asked):
    found = load(path)
    assert (found.threshold, found.made, found.network.config) == (
        0.4,
        trained.made,
        trained.network.config,
    )
    assert float(found.network.temperature) == 1.5
    assert not found.network.training
    assert all(
        torch.equal(value, trained.network.state_dict()[name])
        for name, value in found.network.state_dict().items()
    )
    assert not any(value.requires_grad for value in found.network.parameters())
    library, peaks = asked
    one, other = (Detector(library, network).identify(peaks) for network in (trained, found))
    for name in ("probabilities", "amounts", "shifts", "shares"):
        assert np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)


def test_the_same_network_is_the_same_bytes(trained, path):
    before = path.read_bytes()
    save(load(path), path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["network.safetensors"]


def test_a_crash_leaves_the_old_file_whole(trained, path, monkeypatch):
    before = path.read_bytes()

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        save(Trained(trained.network, 0.9, {}), path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_other_names_and_missing_files_are_refused(trained, path):
    with pytest.raises(
        ValueError,
        match="'network.pt' is no name for this file; expected one ending in .safetensors",
    ):
        save(trained, path.with_suffix(".pt"))
    with pytest.raises(CheckpointError, match="no file at .*missing.safetensors; give the path"):
        load(path.with_name("missing.safetensors"))
    path.rename(path.with_suffix(".pt"))
    with pytest.raises(
        CheckpointError, match="'network.pt' is not a .safetensors file; other formats can run code"
    ):
        load(path.with_suffix(".pt"))


def test_large_files_are_refused_unread(path, monkeypatch):
    with path.open("wb") as file:
        file.truncate(peak_weights.MAX_BYTES + 1)
    monkeypatch.setattr(
        files.json, "loads", lambda *_: pytest.fail("a file that is too large was parsed")
    )
    with pytest.raises(CheckpointError, match="expected at most 10,485,760"):
        load(path)


@pytest.mark.parametrize(
    "junk", [b"", b"short", b"\xff" * 64, b"\x02" + b"\0" * 7 + b"[]", b"\x02" + b"\0" * 7 + b"{}"]
)
def test_junk_is_refused(path, junk):
    path.write_bytes(junk)
    with pytest.raises(CheckpointError):
        load(path)


def test_a_pickle_under_another_name_is_not_run(path, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(
        CheckpointError, match="is not a .safetensors file|does not describe a usable network"
    ):
        load(path)
    torch.save({"network": Trap()}, path)
    with pytest.raises(CheckpointError):
        load(path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_cut_off_file_is_refused(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(CheckpointError):
        load(path)
    path.write_bytes(content[:-1])
    with pytest.raises(CheckpointError):
        load(path)


WEIGHT = "first.multiplets.0.weight"
FORGERIES = {
    "other format": (
        {"format": "nmrclassify-2"},
        {},
        "format 'nmrclassify-2'; expected 'nmrclassify-scale-1'",
    ),
    "no format": ({"format": None}, {}, "does not describe"),
    "no sizes": ({"network": None}, {}, "does not describe"),
    "sizes as a list": ({"network": [1, 2]}, {}, "does not describe"),
    "unknown size": ({"network": {"colour": 3}}, {}, "colour"),
    "huge size": ({"network": SIZES | {"lines": 10**9}}, {}, "lines is 1000000000; expected"),
    "many rounds": ({"network": SIZES | {"rounds": 9}}, {}, "rounds is 9; expected"),
    "other size": ({"network": SIZES | {"places": 8}}, {}, "is "),
    "fewer rounds": ({"network": SIZES | {"rounds": 1}}, {}, "is "),
    "size as a fraction": ({"network": SIZES | {"lines": 4.0}}, {}, "not a whole number"),
    "nan": ({}, {WEIGHT: torch.full((6, 6), float("nan"))}, "undefined number"),
    "infinite": ({}, {WEIGHT: torch.full((6, 6), float("inf"))}, "undefined number"),
    "shape": ({}, {WEIGHT: torch.zeros(6, 7)}, f"tensor '{WEIGHT}' is "),
    "dtype": ({}, {WEIGHT: torch.zeros(6, 6, dtype=torch.float64)}, f"tensor '{WEIGHT}' is "),
    "half": ({}, {WEIGHT: torch.zeros(6, 6, dtype=torch.bfloat16)}, f"tensor '{WEIGHT}' is "),
    "missing": ({}, {WEIGHT: None}, f"tensor '{WEIGHT}' is "),
    "extra": ({}, {"extra": torch.zeros(3)}, "tensor 'extra' is F32"),
    "no temperature": (
        {},
        {"temperature": None},
        "tensor 'temperature' is no such tensor; expected F32",
    ),
    "zero temperature": ({}, {"temperature": torch.tensor(0.0)}, "temperature 0"),
    "negative temperature": ({}, {"temperature": torch.tensor(-1.0)}, "temperature -1"),
    "huge temperature": ({}, {"temperature": torch.tensor(1e30)}, "temperature 1e\\+30"),
    "no threshold": ({"threshold": None}, {}, "does not describe"),
    "threshold of nothing": ({"threshold": 0.0}, {}, "threshold is 0"),
    "threshold above 1": ({"threshold": 1.5}, {}, "threshold is 1.5"),
    "nan threshold": ({"threshold": float("nan")}, {}, "threshold is nan"),
    "threshold as text": ({"threshold": "high"}, {}, "does not describe"),
    "endless threshold": (
        {"threshold": 10**400},
        {},
        "is not a .safetensors file that nmrclassify",
    ),
    "nothing about its making": ({"made": None}, {}, "does not describe"),
    "making as a number": ({"made": 5}, {}, "does not describe"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_files_are_refused_in_one_sentence(path, name):
    changed, tensors, message = FORGERIES[name]
    with pytest.raises(CheckpointError, match=message):
        load(forge(path, changed, tensors))


@pytest.mark.parametrize(
    "metadata",
    [None, {}, {"nmrclassify": "{"}, {"nmrclassify": "[]"}, {"nmrclassify": "[" * 100_000}],
)
def test_files_without_a_header_of_ours_are_refused(path, metadata):
    path.write_bytes(save_tensors(load_tensors(path.read_bytes()), metadata=metadata))
    with pytest.raises(
        CheckpointError, match="is not a .safetensors file|does not describe a usable network"
    ):
        load(path)


def test_counts_that_are_no_whole_numbers_are_refused_or_do_no_harm(path, asked):
    library, peaks = asked
    try:
        found = load(
            forge(path, {"network": SIZES | {"judged": 64.0, "kept": 32.0, "judged_places": 2.0}})
        )
    except CheckpointError:
        return
    assert np.isfinite(Detector(library, found).identify(peaks).probabilities).all()


def test_weights_that_overflow_are_refused_on_reading_or_asking(path, asked):
    library, peaks = asked
    forge(path, {}, {WEIGHT: torch.full((6, 6), 3e38)})
    with pytest.raises(ValueError, match="finite"):
        Detector(library, load(path)).identify(peaks)


def test_the_shipped_file_is_small_readable_and_says_how_it_was_made():
    with resources.as_file(
        resources.files("nmrclassify").joinpath("data/scale.safetensors")
    ) as file:
        assert file.stat().st_size < peak_weights.MAX_BYTES
        found = load(file)
        stored = header(file)
    assert stored["format"] == peak_weights.FORMAT
    assert 0 < found.threshold < 1
    assert found.made["steps"] > 0
    assert shipped() is shipped()
    assert shipped().network.config == found.network.config
    assert sum(value.numel() for value in found.network.parameters()) * 4 < peak_weights.MAX_BYTES


def test_a_file_of_version_0_1_that_states_no_context_is_read(tmp_path):
    torch.manual_seed(0)
    old = Trained(PeakNetwork(PeakNetworkConfig(**SIZES, context=0)), 0.4, {"steps": 3})
    save(old, tmp_path / "old.safetensors")
    sizes = header(tmp_path / "old.safetensors")["network"]
    del sizes["context"]
    forge(tmp_path / "old.safetensors", {"network": sizes})
    assert load(tmp_path / "old.safetensors").network.config == old.network.config
