"""Figures of what is inside draw what was computed, frame the chosen cell, and clicks on them lead back to it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from nmrclassify.evaluation import interpretation
from nmrclassify.evaluation.interpretation import Activations, Cell, ReceptiveField
from nmrclassify.evaluation.prediction import class_names
from nmrclassify.networks.conv_tasnet import NetworkConfig, Slots
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.plots import activations
from nmrclassify.plots.style import HIGHLIGHT, Theme
from nmrclassify.ui.clicks import decode

THEMES = [Theme(), Theme(dark=True), Theme(large=True), Theme(dark=True, large=True)]
LIGHT = THEMES[0]
TOY = Axis()


@pytest.fixture(params=["slots", "queries"])
def followed(request, quick):
    """A trained model, its classes, and a cell of it that was followed."""
    model = request.getfixturevalue({"slots": "trained", "queries": "learned"}[request.param]).model
    areas = quick.test_mixtures().areas[0]
    trace = interpretation.trace_cell(model, areas, Cell(2, 5, int(areas.sum(axis=0).argmax())))
    return model, areas, trace


def clicks(trace):
    """Return what a click on each cell means, by (row, column), as the browser would send it."""
    meta = json.loads(json.dumps(trace.meta))
    return {
        (i, j): decode({"chart": "c", "meta": meta, "row": i, "column": j})
        for i, j in np.ndindex(*np.shape(trace.z))
    }


def frames(figure, yaxis="y"):
    """Return the frames on one pair of axes."""
    return [
        shape
        for shape in figure.layout.shapes
        if shape.line.color == HIGHLIGHT and (shape.yref or "y") == yaxis
    ]


def signed_square(values):
    """Take the root scale back."""
    values = np.asarray(values, dtype=float)
    return np.sign(values) * values**2


@pytest.mark.parametrize("theme", THEMES, ids=str)
def test_every_figure_is_valid_on_every_page(followed, quick, theme):
    model, areas, trace = followed
    names, axis = quick.library.names, quick.library.axis
    steps, probabilities = (0, 1, 40, 1000), np.random.default_rng(0).random((4, 10))
    drawn = []
    for look in (theme, LIGHT):
        drawn.append(
            [
                activations.cell_trace(trace, names, model.kind, axis, look),
                activations.filter_grid(*interpretation.filters(model), look, 3),
                activations.activation_maps(
                    interpretation.activations(model, areas), axis, look, 3
                ),
                activations.activation_maps(
                    interpretation.activations(model, areas), axis, look, skip=False
                ),
                activations.receptive_field(
                    interpretation.receptive_field(model, areas, 4), axis, look
                ),
                activations.probability_history(
                    steps, probabilities, names, np.array([1]), look, 40
                ),
            ]
        )
    for figure, plain in zip(*drawn, strict=False):
        assert json.loads(figure.to_json())["data"]
        assert figure.layout.font.color == theme.text
        assert figure.layout.font.size == pytest.approx(
            plain.layout.font.size * (1.35 if theme.large else 1)
        )


def test_a_followed_cell_is_drawn_with_its_numbers(followed, quick):
    model, _, trace = followed
    figure = activations.cell_trace(trace, quick.library.names, model.kind, PPM_AXIS, LIGHT)
    windows = [drawn for drawn in figure.data if drawn.type == "heatmap"]
    wanted = (
        (trace.window, True),
        (trace.encoder, False),
        (trace.added, True),
        (trace.multiplets, True),
    )
    for drawn, (values, root) in zip(windows, wanted, strict=True):
        z = signed_square(drawn.z) if root else np.asarray(drawn.z, float)
        assert z == pytest.approx(values[:, ::-1], abs=1e-6)
        assert np.array(drawn.text).tolist() == [
            [f"{v:.3g}" for v in row] for row in values[:, ::-1]
        ]
        # What falls below zero is drawn as nothing on a scale of areas, and no range is cut off
        # above.
        assert list(drawn.y) == list(range(1, 7))
        assert np.max(drawn.z) <= drawn.zmax + 1e-6
    masks, *changes = [drawn for drawn in figure.data if drawn.type == "bar"]
    assert masks.marker.color.count(HIGHLIGHT) == 1
    chosen = masks.marker.color.index(HIGHLIGHT)
    assert masks.x[chosen] == trace.masks[2]
    assert set(masks.x) <= set(trace.masks)
    if model.kind == "slots":
        assert list(masks.y) == ["output 1", "output 2", "output 3"]
    else:  # of the others the largest
        assert sorted(masks.x) == sorted([trace.masks[2], *sorted(np.delete(trace.masks, 2))[-4:]])
    called = class_names(model.kind, quick.library.names)
    for i, (bars, after) in enumerate(
        zip(changes, (trace.closed, trace.opened, trace.silenced), strict=True), 1
    ):
        for name, change, (was, now) in zip(bars.y, bars.x, bars.customdata, strict=False):
            (k,) = [k for k, own in enumerate(called) if own.removeprefix("something ") == name]
            assert change == pytest.approx(trace.evidence[i, k] - trace.evidence[0, k])
            assert (
                was,
                now,
            ) == (
                trace.presence[k],
                after[k],
            )
        likeliest = np.sort(trace.evidence.max(axis=0))[-4:]
        assert {
            called[k].removeprefix("something ")
            for k in range(trace.evidence.shape[1])
            if trace.evidence[:, k].max() >= likeliest[0]
        } == set(bars.y)


@pytest.mark.parametrize("axis", [PPM_AXIS, TOY], ids=["ppm", "toy"])
@pytest.mark.parametrize("position", [0, 1, 10, 19, 20])
def test_the_columns_of_a_window_have_names_of_their_own(learned, quick, axis, position):
    trace = interpretation.trace_cell(
        learned.model, quick.test_mixtures().areas[0], Cell(0, 0, position)
    )
    figure = activations.cell_trace(trace, quick.library.names, "queries", axis, LIGHT)
    for drawn in (drawn for drawn in figure.data if drawn.type == "heatmap"):
        # Two columns of one name would be drawn as one.
        assert len(set(drawn.x)) == 3, f"columns are {drawn.x}"
        for name, at in zip(drawn.x, (position + 1, position, position - 1), strict=False):
            on_axis = [
                f"{axis.centres[p]:.2f}" if axis.unit == "ppm" else str(p) for p in range(21)
            ]
            assert name == on_axis[at] if 0 <= at < 21 else name not in on_axis, (
                f"columns are {drawn.x}"
            )


def test_classes_of_alike_names_have_bars_of_their_own(learned, quick):
    names = tuple(f"glucose phosphate {k}" for k in range(10))
    trace = interpretation.trace_cell(learned.model, quick.test_mixtures().areas[0], Cell(2, 5, 4))
    for bars in activations.cell_trace(trace, names, "queries", PPM_AXIS, LIGHT).data:
        if bars.type == "bar":
            assert len(set(bars.y)) == len(bars.y), f"bars are called {bars.y}"


def test_a_cell_in_words(followed, quick):
    model, _, trace = followed
    called = class_names(model.kind, quick.library.names)
    words = activations.describe_cell(trace, quick.library.names, model.kind, PPM_AXIS)
    assert f"the encoding by filter 5 is {trace.encoding:.3g}." in words
    assert f"{trace.masks[2]:.1%} of it" in words
    assert (f"mask of {called[2]}" if model.kind == "queries" else "mask of output 3") in words
    for values in (trace.closed, trace.opened, trace.silenced):
        k = int(np.argmax(np.abs(values - trace.presence)))
        if abs(values[k] - trace.presence[k]) >= 0.001:
            assert (
                f"{called[k]} would change from {trace.presence[k]:.1%} to {values[k]:.1%}" in words
            )
    same = replace(trace, closed=trace.presence, opened=trace.presence, silenced=trace.presence)
    assert (
        activations.describe_cell(same, quick.library.names, model.kind, PPM_AXIS).count(
            "no class would change"
        )
        == 3
    )


@pytest.mark.parametrize(("n", "n_peaks"), [(64, 6), (10, 4), (2, 2), (37, 3)])
def test_every_cell_of_the_grid_leads_to_its_filter(n, n_peaks):
    rng = np.random.default_rng(0)
    encoder, decoder = rng.normal(size=(2, n, n_peaks, 3))
    figure = activations.filter_grid(encoder, decoder, LIGHT)
    for trace, weights in zip(figure.data, (encoder, decoder), strict=True):
        seen = np.zeros(weights.shape, bool)
        for (i, j), click in clicks(trace).items():
            if np.isnan(trace.z[i, j]):
                assert click is None or click.rows == "grid" and 0 <= click.row < n
                continue
            own = weights[click.row] / np.abs(weights[click.row]).max()
            k, t = np.argwhere(np.isclose(own, trace.z[i, j], rtol=1e-12))[0]
            assert not seen[click.row, k, t]
            assert click.position is None is click.output
            assert (
                trace.text[i][j]
                == f"filter {click.row}, peak {k + 1}, {('right', 'middle', 'left')[t]}:"
                f" {weights[click.row, k, t]:.3g}"
            )
            seen[click.row, k, t] = True
        assert seen.all()


@pytest.mark.parametrize("chosen", [0, 9, 30, 36])
def test_the_chosen_filter_is_framed(chosen):
    rng = np.random.default_rng(1)
    figure = activations.filter_grid(*rng.normal(size=(2, 37, 6, 3)), LIGHT, chosen)
    for trace, axis in zip(figure.data, ("y", "y2"), strict=False):
        (box,) = frames(figure, axis)
        inside_it = {
            click.row
            for (i, j), click in clicks(trace).items()
            if not np.isnan(trace.z[i, j]) and box.x0 < j < box.x1 and box.y0 < i < box.y1
        }
        cells = sum(
            box.x0 < j < box.x1 and box.y0 < i < box.y1 for i, j in np.ndindex(*trace.z.shape)
        )
        assert inside_it == {chosen}
        assert cells == 18
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
def test_every_block_is_drawn_once_in_its_stack(dilations, skip):
    rng = np.random.default_rng(2)
    found = Activations(
        list(dilations),
        rng.normal(size=(len(dilations) - 1, 5, 21)),
        rng.normal(size=(len(dilations), 5, 21)),
    )
    maps = found.skip if skip else found.residual
    figure = activations.activation_maps(found, TOY, LIGHT, position=4, skip=skip)
    headings = [note.text for note in figure.layout.annotations if note.bgcolor]
    assert headings == [f"block {i + 1}: {d}" for i, d in enumerate(dilations[: len(maps)])]
    drawn = [
        trace.z[:, left : left + 21]
        for trace in figure.data
        for left in range(0, trace.z.shape[1], 22)
    ]
    assert signed_square(drawn)[..., ::-1] == pytest.approx(maps, rel=1e-6, abs=1e-9)
    scales = {trace.coloraxis for trace in figure.data}
    assert scales == {"coloraxis"}
    assert figure.layout.coloraxis.cmin == -figure.layout.coloraxis.cmax
    for trace in figure.data:
        for (_, j), click in clicks(trace).items():
            assert (
                click is None
                if j % 22 == 21
                else (click.rows, click.position, click.output) == ("channel", 20 - j % 22, None)
            )


def test_the_column_of_a_position_is_framed_in_every_block():
    found = Activations([1, 2], np.ones((1, 5, 21)), np.ones((2, 5, 21)))
    framed = frames(activations.activation_maps(found, TOY, LIGHT, position=4))
    assert [(box.x0 + 0.5, box.x1 + 0.5, box.y0 + 0.5, box.y1 + 0.5) for box in framed] == [
        (16, 17, 0, 5),
        (38, 39, 0, 5),
    ]
    assert not frames(activations.activation_maps(found, TOY, LIGHT))


@pytest.mark.parametrize("position", [0, 7, 20])
def test_the_reach_of_each_stage_is_framed(position):
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
    told = clicks(trace)
    for i, (box, inside_) in enumerate(zip(frames(figure), field.inside, strict=True)):
        assert box.y0 < i < box.y1
        assert not box.y0 < i - 0.5
        assert not i + 0.5 < box.y1
        framed = sorted(told[i, j].position for j in range(21) if box.x0 < j < box.x1)
        assert framed == np.flatnonzero(inside_).tolist()
        assert (box.x0 + 0.5) % 1 == (box.x1 + 0.5) % 1 == 0


def test_the_strip_shows_every_class_at_every_step():
    rng, steps = np.random.default_rng(4), (0, 1, 2, 5, 11, 40, 300, 1000, 2500, 3000)
    probabilities, called = rng.random((10, 4)), ("a", "b", "c", "something unknown")
    figure = activations.probability_history(steps, probabilities, called, np.array([2]), LIGHT, 40)
    (trace,) = figure.data
    assert np.array_equal(trace.z, probabilities.T)
    assert list(trace.y) == [
        "a",
        "b",
        "◇ c",
        "something unknown",
    ]
    assert [int(x.replace(",", "")) for x in trace.x] == list(steps)
    assert set(figure.layout.xaxis.tickvals) <= set(trace.x)
    assert all(
        click.rows == "steps" and click.row == steps[j] for (_, j), click in clicks(trace).items()
    )
    (box,) = frames(figure)
    assert (box.x0, box.x1, box.y0, box.y1) == (4.5, 5.5, -0.5, 3.5)
    assert list(
        activations.probability_history(steps[:1], probabilities[:1], called, None, LIGHT, 0)
        .data[0]
        .y
    ) == list(called)


def test_a_network_of_one_block_can_be_looked_into():
    torch.manual_seed(0)
    model = Slots(
        NetworkConfig(3, 7, 4, 2, n_filters=4, n_bottleneck=3, n_hidden=5, n_stacks=1, n_layers=1)
    )
    areas, axis = np.random.default_rng(5).random((4, 7)).astype(np.float32), Axis(7, 0.0, 7.0)
    trace = interpretation.trace_cell(model, areas, Cell(1, 3, 6))
    assert activations.cell_trace(trace, ("a", "b", "c"), "slots", axis, LIGHT).to_json()
    assert activations.filter_grid(*interpretation.filters(model), LIGHT, 3).to_json()
    assert activations.receptive_field(
        interpretation.receptive_field(model, areas, 6), axis, LIGHT
    ).to_json()
    assert activations.activation_maps(
        interpretation.activations(model, areas), axis, LIGHT, 6
    ).to_json()


def test_a_single_block_has_no_next_one_to_give_to():
    found = Activations([1], np.empty((0, 5, 21)), np.ones((1, 5, 21)))
    assert activations.activation_maps(found, TOY, LIGHT, 4, skip=False).to_json()
