"""The arithmetic of a cell as sentences and plain data, and its way through the network."""

import json

import numpy as np
import pytest

from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.evaluation.stages import explain, stages
from nmrclassify.plots.arithmetic import STEPS, CellOfStage, Words, row_order, way_of
from nmrclassify.plots.outputs import output_names
from nmrclassify.training.checkpoints import shipped


@pytest.fixture(scope="module", params=["reference", "queries"])
def case(request):
    """A model, a mixture, its stages by their keys, an output that is shown, and the words."""
    checkpoint = shipped(request.param)
    model, library = checkpoint.model, checkpoint.dataset.library
    areas = checkpoint.dataset.test_mixtures().areas[6]
    prediction = model.predict(areas)
    called = dict(
        zip(prediction.outputs.tolist(), output_names(prediction, library.names), strict=True)
    )
    words = Words(
        library.axis, patterns_of(model), model.class_names(library.names), called.__getitem__
    )
    found = {stage.key: stage for stage in stages(model, areas, prediction.outputs)}
    return model, areas, found, int(prediction.outputs[0]), words


def test_every_title_is_a_sentence_with_the_value_and_the_place(case):
    _, _, found, _, words = case
    said = {}
    for stage in found.values():
        cell = CellOfStage(stage.key, 1, 0 if stage.rows == "class" else 7)
        sentence = words.sentence(cell, 0.6789, stage.dilation)
        assert sentence[0].isupper() and sentence.endswith(".")
        assert ("67.9%" in sentence) or ("0.679" in sentence), sentence
        assert stage.rows == "class" or "at 3.75 ppm" in sentence
        said[stage.key] = sentence
    assert len(set(said.values())) == len(said)
    assert "(dilation 4)" in said["block 3"]
    assert words.filter(1) in said["encoding"]


def test_arithmetic_is_plain_data_with_the_names_of_filters_and_positions(case):
    model, areas, found, output, words = case
    cell = json.loads(json.dumps(words.arithmetic(explain(model, areas, "encoding", 5, 11))))
    assert sum(t["product"] for t in cell["terms"]) == pytest.approx(cell["result"], abs=1e-5)
    assert np.shape(cell["window"]["weights"]) == (6, 3)
    decoded = words.arithmetic(explain(model, areas, f"multiplets {output}", 0, 7))
    name = decoded["terms"][0]["name"]
    number = int(name.split()[1])
    assert name.startswith(f"{words.filter(number)}, "), name
    assert words.term("position 7") == "3.75 ppm"
    assert words.term("24 others") == "24 others"
    assert words.arithmetic(explain(model, areas, "block 2", 0, 7))["before"]["terms"]


def test_the_way_goes_from_the_mixture_to_the_classes_through_the_cell(case):
    _, _, found, output, _ = case
    for key in ("encoding", f"mask {output}", "block 3", "skip sum", f"classes {output}"):
        cell = CellOfStage(key, 4, 0 if key.startswith("classes") else 7)
        way = way_of(cell, found, output, 7, 9)
        assert way.count(cell) == 1
        kinds = [one.kind for one in way]
        others = {"block", "residual"} - {cell.kind}
        assert kinds == [kind for kind in STEPS if kind not in others]
        rows = {one.kind: one.row for one in way}
        # The filter of the link, unless the cell has one.
        assert rows["mask"] == rows["separated"] == (4 if cell.kind in ("encoding", "mask") else 9)
        if cell.kind in ("block", "skip sum"):
            assert rows["bottleneck"] == 4
        assert {one.position for one in way if one.kind != "classes"} == {7}


def test_the_way_takes_the_strongest_filter_and_peak_where_none_is_chosen(case):
    _, _, found, output, _ = case
    way = way_of(CellOfStage("skip sum", 0, 7), found, output, 7, None)
    rows = {one.kind: one.row for one in way}
    assert rows["encoding"] == rows["mask"] == np.abs(found["encoding"].values[:, 7]).argmax()
    assert rows["mixture"] == found["mixture"].values[:, 7].argmax()


def test_rows_stand_in_the_order_of_the_maps(case):
    _, _, found, output, words = case
    assert sorted(row_order(found["encoding"], words.patterns)) == list(range(64))
    assert row_order(found[f"multiplets {output}"], words.patterns) == list(range(6))
