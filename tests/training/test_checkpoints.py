import copy
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_tensors

from nmrclassify import files
from nmrclassify.evaluation.metrics import METRICS
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training import checkpoints
from nmrclassify.training.checkpoints import (
    NETWORK_0_1,
    Checkpoint,
    CheckpointError,
    from_bytes,
    load,
    save,
    to_bytes,
)
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer


@pytest.fixture
def content(trained):
    return to_bytes(trained)


@pytest.fixture(scope="module")
def varying():
    """Both kinds of model on a data set whose mixtures hold one to three compounds."""
    data = build("quick", 3, MixtureConfig(number_varies=True))
    made = {}
    for kind in ("slots", "queries"):
        trainer = Trainer(data, replace(recipe("queries"), steps=4, batch_size=8), kind=kind)
        for _ in range(2):
            trainer.advance()
        made[kind] = Checkpoint.from_trainer(trainer, {})
    return made


def parts(content):
    """Return header metadata and tensors, to forge."""
    from safetensors.torch import load as load_tensors

    size = int.from_bytes(content[:8], "little")
    return json.loads(
        json.loads(content[8 : 8 + size])["__metadata__"]["nmrclassify"]
    ), load_tensors(content)


def same_answers(first, second, mixtures):
    """Whether two models answer bit for bit alike."""
    # Torch rounds the last bit of a product another way where a weight wants a gradient: both are
    # to want none.
    models = [copy.deepcopy(model).requires_grad_(False) for model in (first, second)]
    for areas in mixtures:
        one, other = (vars(model.predict(areas)) for model in models)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
    return True


def test_what_is_saved_comes_back(either, quick, tmp_path):
    path = tmp_path / "a" / "model.safetensors"
    save(either, path)
    assert path.read_bytes() == to_bytes(either)
    found = load(path)
    assert found.model.kind == either.model.kind
    assert found.model.config == either.model.config
    assert found.model.n_parameters == either.model.n_parameters > 40_000
    assert float(found.model.temperature) == float(either.model.temperature) != 1
    assert same_answers(found.model, either.model, quick.test_mixtures().areas[:6])
    assert found.dataset.digest() == either.dataset.digest()
    assert np.array_equal(found.dataset.validation, quick.validation)
    assert len(quick.validation)
    assert (found.training, found.seed, found.step, found.metrics) == (
        either.training,
        either.seed,
        either.step,
        either.metrics,
    )
    assert set(found.metrics) == set(METRICS)
    assert sorted(p.name for p in path.parent.iterdir()) == ["model.safetensors"]
    assert to_bytes(found) == to_bytes(either)


@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_mixtures_of_any_number_come_back(varying, kind):
    checkpoint = varying[kind]
    found = from_bytes(to_bytes(checkpoint))
    assert found.dataset.config.number_varies
    assert found.dataset.digest() == checkpoint.dataset.digest()
    assert (found.dataset.test == 10).any()
    assert found.model.config.n_compounds == 10
    assert kind == "queries" or found.model.classifier.out_features == 11
    assert same_answers(found.model, checkpoint.model, found.dataset.test_mixtures().areas[:4])


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_networks_configuration_comes_back(quick, kind):
    sizes = replace(
        NETWORKS[kind].sizes_for(quick),
        n_filters=16,
        n_bottleneck=8,
        non_negative_encoder=False,
        relu_before_classes=True,
    )
    trainer = Trainer(quick, replace(recipe("modern"), steps=2, batch_size=8), 5, kind, sizes)
    trainer.advance()
    checkpoint = Checkpoint.from_trainer(trainer, {})
    found = from_bytes(to_bytes(checkpoint))
    assert found.model.config == sizes != NETWORKS[kind].sizes_for(quick)
    assert (found.model.encoder.weight < 0).any()
    assert same_answers(found.model, checkpoint.model, quick.test_mixtures().areas[:4])


def test_settings_that_a_file_lacks_are_those_of_version_0_1(trained):
    former = NETWORK_0_1
    training = replace(trained.training, mask_weight=0.0, unknown_replaces=0.0)
    sizes = replace(trained.model.config, **former)
    content = to_bytes(
        Checkpoint.from_trainer(Trainer(trained.dataset, training, network=sizes), {})
    )
    header = parts(content)[0]
    for name in former:
        del header["model_config"][name]
    for name in ("mask_weight", "unknown_replaces"):
        del header["training"][name]
    found = from_bytes(forge(content, header))
    assert found.model.config == sizes
    assert found.training == training


def test_a_checkpoint_without_validation_compositions_comes_back(quick):
    data = replace(quick, validation=quick.validation[:0])
    trainer = Trainer(data, replace(recipe("queries"), steps=2, batch_size=8), kind="queries")
    found = from_bytes(to_bytes(Checkpoint.from_trainer(trainer, {})))
    assert found.dataset.validation.shape == (0, 3)
    assert found.dataset.digest() == data.digest()


def test_a_crash_leaves_the_old_file_whole(trained, tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    save(trained, path)
    before = path.read_bytes()

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        save(replace(trained, step=999), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "model.bin"])
def test_other_formats_are_refused(trained, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"anything")
    with pytest.raises(CheckpointError, match="other formats can run code"):
        load(path)
    with pytest.raises(ValueError, match="expected one ending in"):
        save(trained, path)
    with pytest.raises(CheckpointError, match="no file at"):
        load(tmp_path / "missing.safetensors")


def test_large_files_are_refused_unread(tmp_path):
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(checkpoints.MAX_BYTES + 1)
    with pytest.raises(CheckpointError, match="expected at most"):
        load(path)


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"short",
        b"\xff" * 64,
        b"\x02\x00\x00\x00\x00\x00\x00\x00[]",
        b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
        b"\x80\x04K\x01.",
    ],
)
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
    return save_tensors(
        {k: v for k, v in (old_tensors | (tensors or {})).items() if v is not None},
        metadata=changed,
    )


def test_a_file_from_before_the_axis_had_a_frequency_is_read(trained, content):
    axis = parts(content)[0]["axis"]
    assert axis.pop("mhz") == 600
    assert (
        from_bytes(forge(content, {"axis": axis})).dataset.library.axis
        == trained.dataset.library.axis
    )


FORGERIES = {
    "format": ({"format": "other"}, {}, "format 'other'"),
    "kind": ({"model": "magic"}, {}, "model 'magic'"),
    "huge": ({"model_config": {"n_filters": 10**9}}, {}, "n_filters is"),
    "unknown size": ({"model_config": {"colour": 3}}, {}, "colour"),
    "other size": ({"model_config": {"n_filters": 32}}, {}, "expected"),
    "nan": ({}, {"model.encoder.weight": torch.full((64, 18), float("nan"))}, "undefined number"),
    "shape": ({}, {"model.encoder.weight": torch.zeros(64, 20)}, "encoder.weight"),
    "dtype": ({}, {"model.encoder.weight": torch.zeros(64, 18, dtype=torch.float64)}, "F64"),
    "format of before": (
        {"format": "nmrclassify-1"},
        {},
        "format 'nmrclassify-1'; expected 'nmrclassify-2'",
    ),
    "slots as queries": ({"model": "queries"}, {}, "tensor 'model"),
    "kind as a list": ({"model": ["slots"]}, {}, "does not describe"),
    "validation out of range": (
        {},
        {"split.validation": torch.full((4, 3), 99)},
        "split.validation names a compound outside 0..9",
    ),
    "negative validation": (
        {},
        {"split.validation": torch.full((4, 3), -1)},
        "split.validation names a compound outside 0..9",
    ),
    "padded validation": (
        {},
        {"split.validation": torch.tensor([[1, 2, 10]])},
        "split.validation names a compound outside 0..9",
    ),
    "padded training": (
        {},
        {"split.train": torch.tensor([[1, 2, 10]])},
        "split.train names a compound outside 0..9",
    ),
    "padded test": (
        {},
        {"split.test": torch.tensor([[1, 2, 10]])},
        "split.test names a compound outside 0..9",
    ),
    "no validation": ({}, {"split.validation": None}, "split.validation is None"),
    "long validation": (
        {},
        {"split.validation": torch.zeros(501, 3, dtype=torch.int64)},
        "split.validation is I64",
    ),
    "unsorted validation": ({}, {"split.validation": torch.tensor([[3, 2, 1]])}, "not sorted"),
    "no training": (
        {},
        {"split.train": torch.zeros(0, 3, dtype=torch.int64)},
        "split.train is I64",
    ),
    "validation of floats": (
        {},
        {"split.validation": torch.zeros(4, 3)},
        "split.validation is F32",
    ),
    "negative encoder": (
        {},
        {"model.encoder.weight": torch.full((64, 18), -0.5)},
        "a weight of -0.5; expected 0 or more",
    ),
    "no temperature": ({}, {"model.temperature": None}, "model.temperature"),
    "zero temperature": (
        {},
        {"model.temperature": torch.tensor(0.0)},
        "temperature is 0; expected a number above 0",
    ),
    "negative temperature": (
        {},
        {"model.temperature": torch.tensor(-1.0)},
        "temperature is -1; expected a number above 0",
    ),
    "nan temperature": ({}, {"model.temperature": torch.tensor(float("nan"))}, "undefined number"),
    "infinite temperature": (
        {},
        {"model.temperature": torch.tensor(float("inf"))},
        "undefined number",
    ),
    "huge temperature": ({}, {"model.temperature": torch.tensor(1e30)}, "temperature is"),
    "many temperatures": ({}, {"model.temperature": torch.ones(2)}, "model.temperature"),
    "zero reference": (
        {},
        {"model.reference": torch.tensor(0.0)},
        "model.reference",
    ),
    "extra": ({}, {"model.extra": torch.zeros(3)}, "model.extra"),
    "missing": ({}, {"model.encoder.weight": None}, "encoder.weight"),
    "labels": ({}, {"split.test": torch.full((4, 3), 99)}, "outside 0..9"),
    "split shape": ({}, {"split.test": torch.zeros(4, 2, dtype=torch.int64)}, "split.test"),
    "seed": ({"seed": -1}, {}, "whole numbers"),
    "axis": (
        {"axis": {"n_positions": 21, "low": 0, "high": float("inf"), "unit": "ppm"}},
        {},
        "axis is",
    ),
    "axis of full scale": (
        {"axis": {"n_positions": 65_536, "low": 0.0, "high": 12.0, "unit": "ppm"}},
        {},
        "65536 positions",
    ),
    "spectrometer as text": (
        {"axis": {"n_positions": 21, "low": 0.0, "high": 10.5, "unit": "ppm", "mhz": "600"}},
        {},
        "does not describe",
    ),
    "negative library": ({}, {"library.areas": torch.full((10, 6, 21), -1.0)}, "negative"),
    "training": ({"training": {"steps": 10**12}}, {}, "steps is"),
    "names": ({"names": 3}, {}, "does not describe"),
    "metrics": ({"metrics": [1]}, {}, "metrics are"),
    "other metrics": ({"metrics": {"foo": 1}}, {}, "metrics are"),
    "metrics as text": ({"metrics": None}, {}, "metrics are"),
    "flag": (
        {"dataset": {"preset": "quick", "seed": 1, "mixture": {"repetition": "maybe"}}},
        {},
        "expected true or false",
    ),
    "overflow": ({}, {"model.encoder.weight": torch.full((64, 18), 3e38)}, "finite"),
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
        tensors, message = (
            {"split.test": parts(content)[1]["split.train"][:4]},
            "are in another part as well",
        )
    with pytest.raises(CheckpointError, match=message) as error:
        from_bytes(forge(content, header, tensors))
    assert "\n" not in str(error.value)


QUERIES_FORGERIES = {
    "queries as slots": ({"model": "slots"}, {}, "tensor 'model"),
    "nan": ({}, {"model.class_heads": torch.full((11, 195, 24), float("nan"))}, "undefined number"),
    "shape": ({}, {"model.class_heads": torch.zeros(11, 192, 25)}, "model.class_heads"),
    "other library": ({}, {"model.library": torch.zeros(9, 126)}, "model.library"),
    "missing": ({}, {"model.templates": None}, "model.templates"),
    "overflow": ({}, {"model.unmixing": torch.full((126, 10), 3e38)}, "finite"),
    "no scale": ({}, {"model.asinh_scales": torch.zeros(3)}, "finite"),
    "zero temperature": ({}, {"model.temperature": torch.tensor(0.0)}, "temperature is 0"),
    "padded test": (
        {},
        {"split.test": torch.tensor([[1, 2, 10]])},
        "split.test names a compound outside 0..9",
    ),
}


@pytest.mark.parametrize("name", QUERIES_FORGERIES)
def test_forged_queries_are_refused_in_one_sentence(learned, name):
    header, tensors, message = QUERIES_FORGERIES[name]
    with pytest.raises(CheckpointError, match=message) as error:
        from_bytes(forge(to_bytes(learned), header, tensors))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_padded_compositions_belong_to_a_number_that_varies(varying, kind):
    content = to_bytes(varying[kind])
    header = parts(content)[0]
    with pytest.raises(CheckpointError, match="outside 0..10"):
        from_bytes(forge(content, {}, {"split.validation": torch.tensor([[1, 2, 11]])}))
    fixed = header["dataset"] | {"mixture": header["dataset"]["mixture"] | {"number_varies": False}}
    with pytest.raises(CheckpointError, match="outside 0..9|do not fit its mixtures"):
        from_bytes(forge(content, {"dataset": fixed}))


def test_loading_does_not_touch_global_randomness(content):
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    from_bytes(content)
    assert torch.equal(torch.rand(2), expected)


def test_the_split_of_the_shipped_model_has_each_composition_once():
    model = checkpoints.shipped()
    parts = [
        {tuple(row) for row in part.tolist()}
        for part in (model.dataset.train, model.dataset.validation, model.dataset.test)
    ]
    assert all(parts)
    assert len(set.union(*parts)) == sum(map(len, parts)) == 120
    assert not model.trained_on(model.dataset.test).any()
    assert not model.trained_on(model.dataset.validation).any()
    assert np.array_equal(
        np.unique(np.concatenate([model.dataset.train, model.dataset.test])), np.arange(10)
    )


def test_what_training_saw_is_known(trained, quick):
    assert trained.trained_on(quick.train[:, ::-1]).all()
    assert not trained.trained_on(quick.test).any()
    a, b, _ = quick.train[0]
    repeated = replace(trained, training=replace(trained.training, repeats=0.4))
    assert repeated.trained_on(np.array([[a, a, b], [a, b, b]])).all()
    assert not repeated.trained_on(np.array([[a, a, a]])).any()
    assert not trained.trained_on(np.array([[a, a, b]])).any()
    assert not replace(trained, step=0).trained_on(quick.train).any()


def test_what_a_remixed_training_saw_is_known(learned, quick):
    distinct = quick.train, quick.validation, quick.test
    assert learned.training.remix
    assert learned.trained_on(distinct[0][:, ::-1]).all()
    for kept in distinct[1:]:
        assert not learned.trained_on(kept).any()
        assert not learned.trained_on(kept[:, ::-1]).any()
    one, two, four = (np.arange(size)[None] for size in (1, 2, 4))
    for other in (one, two, four):  # queries are trained on other numbers as well
        assert learned.trained_on(other).all()
        assert not replace(learned, step=0).trained_on(other).any()
    assert not replace(learned, step=0).trained_on(quick.train).any()
    plain = replace(learned, training=replace(learned.training, remix=0.0))
    assert plain.trained_on(quick.train).all()
    assert not plain.trained_on(two).any()
    assert not plain.trained_on(quick.validation).any()


@pytest.mark.parametrize("name", ["queries", "modern"])
@pytest.mark.parametrize("kind", ["slots", "queries"])
@pytest.mark.parametrize("number_varies", [False, True])
def test_what_training_saw_is_what_training_drew(kind, name, number_varies):
    data = build("quick", 3, MixtureConfig(number_varies=number_varies))
    # Two compounds beside an unknown one are no composition of the library.
    config = replace(recipe(name), unknown_replaces=0.0, repeats=0.4 * (name == "modern"))
    trainer = Trainer(data, replace(config, steps=2), kind=kind)
    trainer.step = 1
    checkpoint = Checkpoint.from_trainer(trainer, {})
    widen = config.augmented(data, any_number=kind == "queries")
    drawn = {
        tuple(sorted(k for k in row if k < 10))
        for step in range(120)
        for row in data.training_batch(step, 128, widen).labels.tolist()
    }
    for size in range(1, 6):
        rows = np.array(list(combinations(range(10), size)))
        saw = checkpoint.trained_on(rows)
        expected = np.array([tuple(row) in drawn for row in rows.tolist()])
        # Of many compositions not each has come about in these steps, so here only what has is
        # compared.
        assert saw[expected].all(), size
        if size <= 3:
            assert np.array_equal(saw, expected), size


def test_what_cannot_be_drawn_was_not_seen(learned):
    # Remixing draws different compounds where none repeats in a mixture, and at most one more than
    # the data set's own number.
    assert not learned.trained_on(np.array([[3, 3, 5]])).any()
    assert not learned.trained_on(np.arange(5)[None]).any()


def test_steps_of_one_training_have_the_same_filters_and_others_have_not(quick):
    config = replace(recipe("modern"), steps=3, batch_size=4)

    def after(steps=3, data=quick, config=config, seed=3, kind="slots"):
        trainer = Trainer(data, config, seed, kind)
        for _ in range(steps):
            trainer.advance()
        return Checkpoint.from_trainer(trainer, {})

    own = after()
    assert own.same_filters(own)
    assert own.same_filters(after(1))
    assert after(0).same_filters(own)
    others = {
        "seed": after(seed=4),
        "kind": after(0, kind="queries"),
        "recipe": after(0, config=replace(config, learning_rate=1e-3)),
        "data": after(0, data=build("quick", 4)),
        "library": after(0, data=build("metabolites", 3)),
        "mixing": after(0, data=build("quick", 3, MixtureConfig(noise=0.3))),
    }
    for name, other in others.items():
        assert not own.same_filters(other), f"another {name} is another training"
        assert not other.same_filters(own), f"another {name} is another training"
