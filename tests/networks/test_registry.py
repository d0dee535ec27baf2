import json
from pathlib import Path

import pytest

from nmrclassify.mixtures.presets import build
from nmrclassify.networks.registry import NETWORKS, RENAMED_TENSORS, current_tensor_name
from nmrclassify.training.checkpoints import from_bytes
from nmrclassify.training.trainer import model_for


def names_in(content):
    size = int.from_bytes(content[:8], "little")
    return [name for name in json.loads(content[8 : 8 + size]) if name != "__metadata__"]


def test_every_tensor_of_a_file_of_version_0_1_has_a_place():
    content = (Path(__file__).parents[1] / "data/version_0.1/metabolites.safetensors").read_bytes()
    old = [name for name in names_in(content) if "model." in name]
    assert {"model.jury.0.weight", "model.separator.knee.weight"} <= set(old)
    new = {current_tensor_name(name) for name in old}
    assert new == {f"model.{name}" for name in from_bytes(content).model.state_dict()}
    assert len(new) == len(old)


@pytest.mark.parametrize("kind", NETWORKS)
def test_present_names_stay(kind):
    for name in model_for(build("quick", 3), 3, kind).state_dict():
        assert current_tensor_name(f"model.{name}") == f"model.{name}"
        assert not any(old in name.split(".") for old in RENAMED_TENSORS)
    assert current_tensor_name("library.areas") == "library.areas"
    assert current_tensor_name("model.judges_bias") == "model.class_heads_bias"


@pytest.mark.parametrize("kind", NETWORKS)
def test_names_of_classes_and_outputs(kind):
    network = NETWORKS[kind]
    assert network.kind == kind
    assert network.class_names(("a", "b"))[:2] == ("a", "b")
    last = network.class_names(("a", "b"))[2]
    assert last == {"queries": "something unknown", "slots": "nothing"}[kind]
    assert network.output_name(1, ("a", "b")) == ("b" if kind == "queries" else "output 2")
