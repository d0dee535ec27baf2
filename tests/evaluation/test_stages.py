"""The stages of a network, and the arithmetic of their cells."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.evaluation.stages import explain, stages
from nmrclassify.networks.slots import Slots
from nmrclassify.training.checkpoints import shipped


@pytest.fixture(scope="module", params=["reference", "queries"])
def case(request):
    checkpoint = shipped(request.param)
    return checkpoint.model, checkpoint.dataset.test_mixtures().areas[6]


def test_stages_are_what_the_network_computes(case):
    model, areas = case
    found = {stage.key: stage for stage in stages(model, areas)}
    prediction = model.predict(areas)
    m = int(prediction.outputs[0])
    np.testing.assert_array_equal(found["mixture"].values, areas.astype(np.float32))
    np.testing.assert_array_equal(found["encoding"].values, prediction.encoding)
    np.testing.assert_array_equal(found[f"mask {m}"].values, prediction.masks[0])
    np.testing.assert_array_equal(found[f"multiplets {m}"].values, prediction.multiplets[0])
    row = prediction.probabilities[m if len(prediction.probabilities) > 1 else 0]
    np.testing.assert_allclose(found[f"classes {m}"].values[:, 0], row, rtol=1e-5)
    assert [stage.dilation for stage in found.values() if stage.dilation] == model.config.dilations
    assert found["skip sum"].reach == model.config.receptive_field // 2 + 1  # and the encoder's


def test_only_the_chosen_outputs_are_returned(case):
    model, areas = case
    outputs = np.array([2, 0])
    found = [stage.output for stage in stages(model, areas, outputs) if stage.output is not None]
    assert found == [2] * 4 + [0] * 4


def test_the_arithmetic_of_every_kind_of_cell_gives_the_value_of_the_cell(case):
    model, areas = case
    random = np.random.default_rng(1)
    for stage in stages(model, areas):
        rows, positions = stage.values.shape
        strongest = np.unravel_index(np.abs(stage.values).argmax(), stage.values.shape)
        cells = [strongest, (0, 0), (rows - 1, positions - 1)]
        cells += [(random.integers(rows), random.integers(positions)) for _ in range(3)]
        for row, position in cells:
            arithmetic = explain(model, areas, stage.key, int(row), int(position))
            close = {"rel": 2e-4, "abs": 2e-5 * float(np.abs(stage.values).max())}
            value = pytest.approx(float(stage.values[row, position]), **close)
            assert arithmetic.result == value, (stage.key, row, position)
            before_sigmoid = arithmetic.total
            for step, result in arithmetic.after:
                if step == "sigmoid" and "divided" not in arithmetic.after[0][0]:
                    assert 1 / (1 + np.exp(-before_sigmoid)) == pytest.approx(result, abs=1e-5)
            if arithmetic.window is not None:
                products = arithmetic.window.weights * arithmetic.window.inputs
                assert products.sum() == pytest.approx(arithmetic.total, rel=1e-4, abs=1e-5)


def test_a_softmax_follows_from_the_sums_of_all_classes():
    checkpoint = shipped("reference")
    model, areas = checkpoint.model, checkpoint.dataset.test_mixtures().areas[2]
    cells = [explain(model, areas, "classes 1", row, 0) for row in range(10)]
    sums = torch.tensor([cell.total for cell in cells]) / model.temperature
    expected = sums.softmax(0).numpy()
    assert [cell.result for cell in cells] == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_block_states_its_taps_at_its_dilation():
    checkpoint = shipped("reference")
    model, areas = checkpoint.model, checkpoint.dataset.test_mixtures().areas[2]
    cell = explain(model, areas, "block 4", 3, 2)  # dilation 8: 6 positions past the low end
    assert cell.before is not None
    names = [term.name for term in cell.before.terms]
    assert names == ["8 to lower ppm (past the end: 0)", "here", "8 to higher ppm"]
    # PReLU and norm follow the three taps; the norm's result is the term that counts most.
    assert cell.before.result == pytest.approx(cell.terms[0].value, rel=1e-5)
    prelu = model.separator.blocks[3].second.weight.item()
    total = cell.before.total
    assert cell.before.after[0][1] == pytest.approx(total if total > 0 else prelu * total, rel=1e-4)


@pytest.mark.parametrize("relu", [True, False])
def test_networks_of_version_0_1_and_untrained_ones_have_stages(relu):
    data = shipped("reference").dataset
    model = Slots(replace(Slots.sizes_for(data), relu_before_classes=relu))
    model.set_data(data)
    areas = data.test_mixtures().areas[0]
    for stage in stages(model, areas):
        result = explain(model, areas, stage.key, 1, 0).result
        assert result == pytest.approx(float(stage.values[1, 0]), rel=1e-3, abs=1e-5)


def test_a_cell_that_does_not_exist_is_refused(case):
    model, areas = case
    with pytest.raises(
        ValueError, match="row 99, position 0 of encoding; expected below 64 and 21"
    ):
        explain(model, areas, "encoding", 99, 0)
    with pytest.raises(ValueError, match="no stage 'mask 99'"):
        explain(model, areas, "mask 99", 0, 0)


def test_the_arithmetic_of_a_residual_gives_what_the_block_adds_to_the_next_input(case):
    from nmrclassify.evaluation.interpretation import activations

    model, areas = case
    residual = activations(model, areas).residual
    for block in (0, len(residual) - 1):
        for row, position in ((0, 0), (5, 7)):
            value = float(residual[block, row, position])
            arithmetic = explain(model, areas, f"residual {block + 1}", row, position)
            assert arithmetic.result == pytest.approx(value, rel=2e-4, abs=2e-5)
    with pytest.raises(ValueError, match="there is no stage"):
        explain(model, areas, f"residual {len(residual) + 1}", 0, 0)
