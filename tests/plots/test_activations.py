from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.evaluation import interpretation
from nmrclassify.evaluation.filters import filter_patterns
from nmrclassify.evaluation.interpretation import Activations, Cell, ReceptiveField
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.networks.slots import Slots
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.plots import activations
from nmrclassify.plots.export import as_table
from nmrclassify.plots.outputs import output_names
from nmrclassify.plots.style import HIGHLIGHT, Theme

THEMES = [Theme(), Theme(dark=True), Theme(large=True), Theme(dark=True, large=True)]
LIGHT = THEMES[0]
TOY = Axis()


@pytest.fixture(params=["slots", "queries"])
def traced(request, quick):
    """A trained model, a mixture, and the trace of a cell."""
    model = request.getfixturevalue({"slots": "trained", "queries": "learned"}[request.param]).model
    areas = quick.test_mixtures().areas[0]
    trace = interpretation.trace_cell(model, areas, Cell(2, 5, int(areas.sum(axis=0).argmax())))
    return model, areas, trace


@pytest.mark.parametrize("theme", THEMES, ids=str)
def test_every_figure_has_the_colours_and_sizes_of_its_page(traced, quick, theme):
    model, areas, trace = traced
    names, axis = quick.library.names, quick.library.axis
    steps, probabilities = (0, 1, 40, 1000), np.random.default_rng(0).random((4, 10))
    gradients = interpretation.receptive_field(model, areas, 4)
    blocks = interpretation.activations(model, areas)
    small, drawn = (
        [
            activations.cell_trace(trace, names, model.kind, axis, look),
            activations.filter_grid(*interpretation.filters(model), look, 3),
            activations.activation_maps(blocks, axis, look, 3),
            activations.activation_maps(blocks, axis, look, skip=False),
            activations.receptive_field(gradients, axis, look),
            activations.probability_history(steps, probabilities, names, np.array([1]), look, 40),
        ]
        for look in (LIGHT, theme)
    )
    for plain, figure in zip(small, drawn, strict=True):
        assert figure.layout.font.color == theme.text
        assert figure.layout.font.size == pytest.approx(theme.points(plain.layout.font.size))


def test_a_traced_cell_is_drawn_with_its_numbers(traced, quick, values):
    model, _, trace = traced
    figure = activations.cell_trace(trace, quick.library.names, model.kind, PPM_AXIS, LIGHT)
    windows = [drawn for drawn in figure.data if drawn.type == "heatmap"]
    wanted = (trace.window, trace.encoder, trace.added, trace.multiplets)
    for drawn, expected in zip(windows, wanted, strict=True):
        assert values(drawn) == pytest.approx(expected[:, ::-1], abs=1e-6)
        text = [[f"{v:.3g}" for v in row] for row in expected[:, ::-1]]
        assert np.array(drawn.text).tolist() == text
        assert list(drawn.y) == list(range(1, 7))
        assert np.max(drawn.z) <= drawn.zmax + 1e-6
    masks, *changes = [drawn for drawn in figure.data if drawn.type == "bar"]
    assert masks.marker.color.count(HIGHLIGHT) == 1
    chosen = masks.marker.color.index(HIGHLIGHT)
    assert masks.x[chosen] == trace.masks[2]
    assert set(masks.x) <= set(trace.masks)
    if model.kind == "slots":
        called = output_names(model.predict(traced[1]), quick.library.names)
        assert list(masks.y) == list(called)
    else:  # of the others the largest
        assert sorted(masks.x) == sorted([trace.masks[2], *sorted(np.delete(trace.masks, 2))[-4:]])
    classes = model.class_names(quick.library.names)
    for i, (bars, after) in enumerate(
        zip(changes, (trace.closed, trace.opened, trace.silenced), strict=True), 1
    ):
        for name, change, (was, now) in zip(bars.y, bars.x, bars.customdata, strict=True):
            (k,) = [k for k, full in enumerate(classes) if full.removeprefix("something ") == name]
            assert change == pytest.approx(trace.log_odds[i, k] - trace.log_odds[0, k])
            assert (was, now) == (trace.presence[k], after[k])
        likeliest = np.sort(trace.log_odds.max(axis=0))[-4:]
        assert {
            classes[k].removeprefix("something ")
            for k in range(trace.log_odds.shape[1])
            if trace.log_odds[:, k].max() >= likeliest[0]
        } == set(bars.y)


@pytest.mark.parametrize("axis", [PPM_AXIS, TOY], ids=["ppm", "toy"])
@pytest.mark.parametrize("position", [0, 1, 10, 19, 20])
def test_the_columns_of_a_window_have_different_names(learned, quick, axis, position):
    trace = interpretation.trace_cell(
        learned.model, quick.test_mixtures().areas[0], Cell(0, 0, position)
    )
    figure = activations.cell_trace(trace, quick.library.names, "queries", axis, LIGHT)
    for drawn in (drawn for drawn in figure.data if drawn.type == "heatmap"):
        # Two columns of one name would be drawn as one.
        assert len(set(drawn.x)) == 3, f"columns are {drawn.x}"
        for name, at in zip(drawn.x, (position + 1, position, position - 1), strict=True):
            on_axis = [
                f"{axis.centres[p]:.2f}" if axis.unit == "ppm" else str(p) for p in range(21)
            ]
            assert name == on_axis[at] if 0 <= at < 21 else name not in on_axis, (
                f"columns are {drawn.x}"
            )


def test_classes_of_similar_names_have_different_bars(learned, quick):
    names = tuple(f"glucose phosphate {k}" for k in range(10))
    trace = interpretation.trace_cell(learned.model, quick.test_mixtures().areas[0], Cell(2, 5, 4))
    for bars in activations.cell_trace(trace, names, "queries", PPM_AXIS, LIGHT).data:
        if bars.type == "bar":
            assert len(set(bars.y)) == len(bars.y), f"bars are classes {bars.y}"


def test_the_effect_of_a_mask_in_words(traced, quick):
    model, _, trace = traced
    classes = model.class_names(quick.library.names)
    words = activations.describe_effect(trace, quick.library.names, model.kind)
    for values in (trace.closed, trace.opened, trace.silenced):
        k = int(np.argmax(np.abs(values - trace.presence)))
        if abs(values[k] - trace.presence[k]) >= 0.001:
            assert (
                f"{classes[k]} would change from {trace.presence[k]:.1%} to {values[k]:.1%}"
                in words
            )
    same = replace(trace, closed=trace.presence, opened=trace.presence, silenced=trace.presence)
    said = activations.describe_effect(same, quick.library.names, model.kind)
    assert said == "Whatever the masks of this output are here, no class would change."


@pytest.mark.parametrize(("n", "n_peaks"), [(64, 6), (10, 4), (2, 2), (37, 3)])
def test_a_click_on_a_cell_of_the_grid_names_its_filter(n, n_peaks, clicks):
    rng = np.random.default_rng(0)
    encoder, decoder = rng.normal(size=(2, n, n_peaks, 3))
    figure = activations.filter_grid(encoder, decoder, LIGHT)
    names = [pattern.name for pattern in filter_patterns(encoder)]
    for trace, weights in zip(figure.data, (encoder, decoder), strict=True):
        seen = np.zeros(weights.shape, bool)
        for (i, j), click in clicks(trace).items():
            if np.isnan(trace.z[i, j]):
                assert click is None or click.rows == "grid" and 0 <= click.row < n
                continue
            pattern = weights[click.row] / np.abs(weights[click.row]).max()
            k, t = np.argwhere(np.isclose(pattern, trace.z[i, j], rtol=1e-12))[0]
            assert not seen[click.row, k, t]
            assert click.position is None is click.output
            assert (
                trace.text[i][j] == f"filter {click.row} ({names[click.row]}) · peak {k + 1},"
                f" {('right', 'middle', 'left')[t]} · weight {weights[click.row, k, t]:.3g}"
            )
            seen[click.row, k, t] = True
        assert seen.all()


@pytest.mark.parametrize("chosen", [0, 9, 30, 36])
def test_the_chosen_filter_is_framed(chosen, clicks, frames):
    rng = np.random.default_rng(1)
    figure = activations.filter_grid(*rng.normal(size=(2, 37, 6, 3)), LIGHT, chosen)
    for trace, axis in zip(figure.data, ("y", "y2"), strict=True):
        ((left, right, top, bottom),) = frames(figure, axis)
        inside = [
            (click.row, bool(np.isnan(trace.z[i, j])))
            for (i, j), click in clicks(trace).items()
            if left < j < right and top < i < bottom
        ]
        assert inside == 18 * [(chosen, False)]
    assert not frames(activations.filter_grid(*rng.normal(size=(2, 37, 6, 3)), LIGHT))


@pytest.mark.parametrize(
    ("dilations", "skip"),
    [
        ([1, 2, 4, 8] * 3, True),
        ([1, 2, 4, 8] * 3, False),
        ([1, 2], True),
        ([1, 2], False),
        ([1] * 3, False),
        ([1], True),
    ],
)
def test_every_block_is_drawn_once_in_its_stack(dilations, skip, clicks, values, headings):
    rng = np.random.default_rng(2)
    shape = (len(dilations), 5, 21)
    residual, skips = rng.normal(size=shape)[1:], rng.normal(size=shape)
    blocks = Activations(list(dilations), residual, skips)
    maps = skips if skip else residual
    figure = activations.activation_maps(blocks, TOY, LIGHT, position=4, skip=skip)
    found = headings(figure)
    assert found == [f"block {i + 1} dilation {d}" for i, d in enumerate(dilations[: len(maps)])]
    drawn = [
        values(trace)[:, left : left + 21]
        for trace in figure.data
        for left in range(0, trace.z.shape[1], 22)
    ]
    assert np.array(drawn)[..., ::-1] == pytest.approx(maps, rel=1e-6, abs=1e-9)
    assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
    assert figure.layout.coloraxis.cmin == -figure.layout.coloraxis.cmax
    clicked = 0  # cells of the first row of each map, in order
    for trace in figure.data:
        for (i, j), click in clicks(trace).items():
            if i:
                assert click is None or click.row == i
            elif j % 22 == 21:
                assert click is None
            else:
                position = 20 - j % 22
                assert (click.rows, click.position, click.output) == ("channel", position, None)
                number = found[clicked // 21].split()[1]
                assert click.stage == f"{'block' if skip else 'residual'} {number}"
                clicked += 1


def test_the_column_of_a_position_is_framed_in_every_block(frames):
    blocks = Activations([1, 2], np.ones((1, 5, 21)), np.ones((2, 5, 21)))
    framed = frames(activations.activation_maps(blocks, TOY, LIGHT, position=4))
    assert framed == [(15.5, 16.5, -0.5, 4.5), (37.5, 38.5, -0.5, 4.5)]
    assert not frames(activations.activation_maps(blocks, TOY, LIGHT))


@pytest.mark.parametrize("position", [0, 7, 20])
def test_the_reach_of_each_stage_is_framed(position, clicks, frames):
    reach = np.array([1, 2, 4, 30])
    strength = np.random.default_rng(3).random((4, 21))
    field = ReceptiveField(
        position, ("encoding", "block 1", "block 2", "to the masks"), reach, strength
    )
    figure = activations.receptive_field(field, TOY, LIGHT)
    (trace,) = figure.data
    assert np.asarray(trace.z)[:, ::-1] == pytest.approx(strength)
    assert list(trace.y) == list(field.stages)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    by_cell = clicks(trace)
    for i, (box, inside) in enumerate(zip(frames(figure), field.inside, strict=True)):
        left, right, top, bottom = box
        assert i - 0.5 <= top < i < bottom <= i + 0.5
        framed = sorted(by_cell[i, j].position for j in range(21) if left < j < right)
        assert framed == np.flatnonzero(inside).tolist()
        assert left % 1 == right % 1 == 0.5


def test_the_history_shows_every_class_at_every_step(clicks, frames):
    rng, steps = np.random.default_rng(4), (0, 1, 2, 5, 11, 40, 300, 1000, 2500, 3000)
    probabilities, classes = rng.random((10, 4)), ("a", "b", "c", "something unknown")
    figure = activations.probability_history(
        steps, probabilities, classes, np.array([2]), LIGHT, 40, "share named"
    )
    (trace,) = figure.data
    assert figure.layout.coloraxis.colorbar.title.text == "share named"
    assert np.array_equal(trace.z, probabilities.T)
    assert list(trace.y) == ["a", "b", "◇ c", "something unknown"]
    # Each step lies in its column; the columns fill the axis.
    assert len(trace.x) == len(steps) + 1
    assert (trace.x[:-1] < np.sqrt(steps)).all()
    assert (np.sqrt(steps) < trace.x[1:]).all()
    assert list(figure.layout.xaxis.range) == [trace.x[0], trace.x[-1]]
    assert as_table(figure)["column"].unique().tolist() == list(steps)
    for (_, j), click in clicks(trace).items():
        assert (click.rows, click.row) == ("steps", steps[j])
    assert frames(figure) == [(trace.x[5], trace.x[6], -0.5, 3.5)]


def test_a_history_of_one_step_can_be_drawn_without_the_truth():
    probabilities = np.array([[0.1, 0.9]])
    (trace,) = activations.probability_history((7,), probabilities, ("a", "b"), None, LIGHT, 7).data
    assert list(trace.y) == ["a", "b"]
    assert trace.x[0] < 7**0.5 < trace.x[1]


def test_a_network_of_one_block_can_be_drawn(values):
    torch.manual_seed(0)
    model = Slots(
        NetworkConfig(3, 7, 4, 2, n_filters=4, n_bottleneck=3, n_hidden=5, n_stacks=1, n_layers=1)
    )
    areas, axis = np.random.default_rng(5).random((4, 7)).astype(np.float32), Axis(7, 0.0, 7.0)
    trace = interpretation.trace_cell(model, areas, Cell(1, 3, 6))
    figure = activations.cell_trace(trace, ("a", "b", "c"), model.kind, axis, LIGHT)
    assert values(figure.data[0]) == pytest.approx(trace.window[:, ::-1], abs=1e-6)
    encoder, decoder = interpretation.filters(model)
    for grid in activations.filter_grid(encoder, decoder, LIGHT, 3).data:
        assert np.isfinite(grid.z).sum() == encoder.size
    field = interpretation.receptive_field(model, areas, 6)
    (trace,) = activations.receptive_field(field, axis, LIGHT).data
    assert list(trace.y) == ["encoding", "to the masks"]
    blocks = interpretation.activations(model, areas)
    for skip in (True, False):  # the last block has no residual
        (trace,) = activations.activation_maps(blocks, axis, LIGHT, 6, skip).data
        assert values(trace)[:, ::-1] == pytest.approx(blocks.skip[0], abs=1e-6)
