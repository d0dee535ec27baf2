import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from nmrclassify import checkpoints
from nmrclassify.checkpoints import CheckpointError, from_bytes, load, save, to_bytes
from nmrclassify.metrics import evaluate
from nmrclassify.presets import build
from nmrclassify.training import recipe


@pytest.fixture
def content(trained):
    return to_bytes(trained)


def parts(content):
    """Return header metadata and tensors, to forge."""
    from safetensors.torch import load as load_tensors

    size = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["nmrclassify"]), load_tensors(content)


def test_what_is_saved_comes_back(trained, content, tmp_path):
    path = tmp_path / "a" / "model.safetensors"
    save(trained, path)
    assert path.read_bytes() == content
    found = load(path)
    x = torch.rand(2, 6, 21)
    assert torch.equal(found.model(x)[0], trained.model(x)[0])
    assert found.dataset.digest() == trained.dataset.digest()
    assert (found.training, found.seed, found.step, found.metrics) == (trained.training, trained.seed, trained.step, trained.metrics)
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.safetensors"]


def test_a_crash_leaves_the_old_file_whole(trained, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save(trained, path)
    before = path.read_bytes()

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints.os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        save(replace(trained, step=999), path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.bin"])
def test_other_formats_are_refused(trained, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with pytest.raises(CheckpointError, match="other formats can run code"):
        load(path)
    with pytest.raises(ValueError, match="expected a name ending in"):
        save(trained, path)
    with pytest.raises(CheckpointError, match="no checkpoint at"):
        load(tmp_path / "missing.safetensors")


def test_large_files_are_refused_unread(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(checkpoints.MAX_BYTES + 1)
    with pytest.raises(CheckpointError, match="expected at most"):
        load(path)


@pytest.mark.parametrize("junk", [b"", b"short", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00[]", b"\x02\x00\x00\x00\x00\x00\x00\x00{}", b"\x80\x04K\x01."])
def test_junk_is_refused(junk):
    with pytest.raises(CheckpointError):
        from_bytes(junk)


def test_a_cut_off_file_is_refused(content):
    for length in (100, len(content) // 2, len(content) - 1):
        with pytest.raises(CheckpointError):
            from_bytes(content[:length])


def forge(content, header=None, tensors=None):
    old_header, old_tensors = parts(content)
    changed = {"nmrclassify": json.dumps(old_header | (header or {}))}
    return save_tensors({k: v for k, v in (old_tensors | (tensors or {})).items() if v is not None}, metadata=changed)


FORGERIES = {
    "format": ({"format": "other"}, {}, "format 'other'"),
    "kind": ({"model": "magic"}, {}, "model 'magic'"),
    "huge": ({"model_config": {"n_filters": 10**9}}, {}, "n_filters is"),
    "unknown size": ({"model_config": {"colour": 3}}, {}, "colour"),
    "other size": ({"model_config": {"n_filters": 32}}, {}, "expected"),
    "nan": ({}, {"model.encoder.weight": torch.full((64, 6, 3), float("nan"))}, "undefined number"),
    "shape": ({}, {"model.encoder.weight": torch.zeros(64, 6, 5)}, "encoder.weight"),
    "dtype": ({}, {"model.encoder.weight": torch.zeros(64, 6, 3, dtype=torch.float64)}, "F64"),
    "extra": ({}, {"model.extra": torch.zeros(3)}, "model.extra"),
    "missing": ({}, {"model.encoder.weight": None}, "encoder.weight"),
    "labels": ({}, {"split.test": torch.full((4, 3), 99)}, "outside 0..9"),
    "split shape": ({}, {"split.test": torch.zeros(4, 2, dtype=torch.int64)}, "split.test"),
    "seed": ({"seed": -1}, {}, "whole numbers"),
    "axis": ({"axis": {"n_positions": 21, "low": 0, "high": float("inf"), "unit": "ppm"}}, {}, "axis is"),
    "negative library": ({}, {"library.areas": torch.full((10, 6, 21), -1.0)}, "negative"),
    "training": ({"training": {"steps": 10**12}}, {}, "steps is"),
    "names": ({"names": 3}, {}, "does not describe"),
    "metrics": ({"metrics": [1]}, {}, "metrics are"),
    "other metrics": ({"metrics": {"foo": 1}}, {}, "metrics are"),
    "metrics as text": ({"metrics": None}, {}, "metrics are"),
    "flag": ({"dataset": {"preset": "quick", "seed": 1, "mixture": {"repetition": "maybe"}}}, {}, "expected true or false"),
    "overflow": ({}, {"model.encoder.weight": torch.full((64, 6, 3), 3e38)}, "finite"),
    "unsorted split": ({}, {"split.test": torch.tensor([[3, 2, 1]])}, "not sorted"),
    "overlapping split": ({}, {"split.test": None}, "split.test"),
    "markup": ({"names": ["[a](b)"] + [f"c{i}" for i in range(9)]}, {}, "may hold"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forgeries_are_refused_in_one_sentence(content, name):
    header, tensors, message = FORGERIES[name]
    if name == "metrics as text":
        header = {"metrics": {key: "x" for key in parts(content)[0]["metrics"]}}
    if name == "overlapping split":
        tensors, message = {"split.test": parts(content)[1]["split.train"][:4]}, "are in the training part"
    with pytest.raises(CheckpointError, match=message) as error:
        from_bytes(forge(content, header, tensors))
    assert "\n" not in str(error.value)


def test_the_shipped_model_is_what_its_recipe_makes():
    model = checkpoints.shipped()
    assert model.training == recipe("long") and model.step == model.training.steps and model.seed == model.dataset.seed == 7
    assert model.dataset.preset == "metabolites" and model.dataset.digest() == build("metabolites", 7).digest()


def test_loading_does_not_touch_global_randomness(content):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    from_bytes(content)
    assert torch.equal(torch.rand(2), expected)


def test_the_shipped_model_is_small_and_as_good_as_it_says():
    model = checkpoints.shipped()
    assert len(to_bytes(model)) < 1_000_000
    result = evaluate(model.model, model.dataset.test_mixtures()).summary()
    assert result["compound_accuracy"] == pytest.approx(model.metrics["compound_accuracy"], abs=0.02)
    assert result["compound_accuracy"] >= 0.92
    assert not {tuple(row) for row in model.dataset.test.tolist()} & {tuple(row) for row in model.dataset.train.tolist()}
    assert np.array_equal(np.unique(np.concatenate([model.dataset.train, model.dataset.test])), np.arange(10))


def test_what_training_saw_is_known(trained, quick):
    assert trained.trained_on(quick.train[:, ::-1]).all() and not trained.trained_on(quick.test).any()
    a, b, _ = quick.train[0]
    assert trained.trained_on(np.array([[a, a, b], [a, b, b]])).all()
    assert not trained.trained_on(np.array([[a, a, a]])).any()
    plain = replace(trained, training=replace(trained.training, repeats=0.0))
    assert not plain.trained_on(np.array([[a, a, b]])).any()
    assert not replace(trained, step=0).trained_on(quick.train).any()
