"""What the picture of the network is drawn from."""

import base64
import json

import numpy as np
import pytest

from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.evaluation.prediction import match_mixture
from nmrclassify.evaluation.stages import stages
from nmrclassify.mixtures.edits import Mixture
from nmrclassify.plots.diagram import STEPS, describe_network, network_table
from nmrclassify.plots.style import Theme
from nmrclassify.training.checkpoints import shipped


@pytest.fixture(scope="module", params=["reference", "queries"])
def drawn(request):
    checkpoint = shipped(request.param)
    model, library = checkpoint.model, checkpoint.dataset.library
    mixtures = checkpoint.dataset.test_mixtures()
    areas, prediction = mixtures.areas[11], model.predict(mixtures.areas[11])
    found = stages(model, areas, prediction.outputs)
    truth = match_mixture(prediction, Mixture.of(mixtures, 11), 0.5)
    data = describe_network(
        found,
        prediction,
        truth,
        library.names,
        library.axis,
        patterns_of(model),
        model.config.n_layers,
        Theme(),
    )
    return model, areas, prediction, truth, found, json.loads(json.dumps(data))


def values(of, n_positions, highest):
    whole = np.frombuffer(base64.b64decode(of["values"]), dtype="<i2")
    return whole.reshape(of["height"], -1)[:, :n_positions] / STEPS * highest


def test_every_stage_arrives_with_its_values_in_the_order_of_its_rows(drawn):
    *_, found, data = drawn
    assert [one["key"] for one in data["stages"]] == [stage.key for stage in found]
    for one, stage in zip(data["stages"], found, strict=True):
        close = 1.01 * one["highest"] / STEPS
        np.testing.assert_allclose(
            values(one, stage.values.shape[1], one["highest"]),
            stage.values[one["ids"]],
            atol=close,
        )
        assert one["shape"].split("×")[0] == str(len(stage.values))
        assert one["text"].endswith(".") and one["title"] is not None


def test_maps_of_areas_share_one_scale_and_masks_run_from_0_to_1(drawn):
    *_, data = drawn
    highest = {}
    for one in data["stages"]:
        highest.setdefault(one["rows"] if one["kind"] != "mask" else "mask", set()).add(
            one["highest"]
        )
    assert len(highest["peak"]) == 1 and highest["mask"] == {1.0} and highest["class"] == {1.0}


def test_the_compounds_of_the_mixture_are_marked_and_stand_beside_their_outputs(drawn):
    _, _, prediction, truth, _, data = drawn
    marked = [k for k, one in enumerate(data["classes"]) if one["true"]]
    assert marked == sorted(set(truth.present.tolist()))
    area = data["stages"][0]["highest"]
    for slot, one in enumerate(data["truths"]):
        sent = values(one, prediction.multiplets.shape[-1], area)
        np.testing.assert_allclose(sent, truth.sources[slot], atol=1.01 * area / STEPS)


def test_one_column_follows_another_from_left_to_right(drawn):
    *_, data = drawn
    columns = [one["column"] for one in data["stages"] if one["row"] in (None, 0)]
    assert columns[:3] == [0, 1, 2] and columns[-1] == 10
    blocks = [one for one in data["stages"] if one["kind"] == "block"]
    assert [(one["column"], one["row"]) for one in blocks] == [
        (3 + stack, layer) for stack in range(3) for layer in range(4)
    ]


def test_the_table_has_every_value_of_every_stage_by_name(drawn):
    model, _, prediction, _, found, _ = drawn
    library = shipped("reference").dataset.library
    table = network_table(found, prediction, library.names, library.axis)
    assert list(table.columns) == ["part", "row", "column", "value"]
    assert len(table) == sum(stage.values.size for stage in found)
    assert table.part.nunique() == len(found)
    mixture = table[table.part == "Mixture"]
    np.testing.assert_array_equal(mixture.value, found[0].values.ravel())
    assert mixture.row.tolist()[:: model.config.n_positions] == [1, 2, 3, 4, 5, 6]
    assert mixture.column.tolist()[:2] == ["0.25 ppm", "0.75 ppm"]
    output = prediction.outputs[0] + 1
    classes = table[table.part.str.startswith(f"Compounds {output}: ")]
    assert classes.row.tolist() == list(prediction.class_names(library.names)[: len(classes)])
