"""Figures of what changes: the difference that is drawn is the difference, and clicks on it name the right cell."""

import json

import numpy as np
import pytest

from nmrclassify.evaluation.compare_predictions import Comparison, compare_predictions, occlude
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import weak_cells
from nmrclassify.evaluation.prediction import class_names
from nmrclassify.nmr.axis import PPM_AXIS
from nmrclassify.plots import comparison, curves
from nmrclassify.plots.style import HIGHLIGHT, Theme
from nmrclassify.training.trainer import model_for
from nmrclassify.ui.clicks import decode

THEMES = [Theme(), Theme(dark=True), Theme(large=True), Theme(dark=True, large=True)]
LIGHT = THEMES[0]


@pytest.fixture
def found(either, quick):
    """The same network's answers to two mixtures."""
    areas = quick.test_mixtures().areas
    return compare_predictions((either.model, areas[0]), (either.model, areas[5]))


@pytest.fixture
def lopsided(trained, quick) -> Comparison:
    """Answers of two trainings, where some outputs stand alone."""
    areas = quick.test_mixtures().areas[0]
    pair = compare_predictions((trained.model, areas), (model_for(quick, 11, "slots"), areas))
    assert np.isnan(pair.masks).any()
    return pair


def area(trace):
    """Return the values of a map on a root scale."""
    z = np.asarray(trace.z, dtype=float)
    return np.sign(z) * z**2 if trace.meta["root"] else z


def frames(figure, yaxis):
    """Return the frames of a row of maps as (columns, rows), half-open, in places of the axes."""
    return [
        ((shape.x0 + 0.5, shape.x1 + 0.5), (shape.y0 + 0.5, shape.y1 + 0.5))
        for shape in figure.layout.shapes
        if shape.line.color == HIGHLIGHT and shape.yref == yaxis
    ]


def clicks(trace):
    """Return what a click on each cell means, by (row, column), as the browser would send it."""
    meta = json.loads(json.dumps(trace.meta))
    return {
        (i, j): decode({"chart": "c", "meta": meta, "row": i, "column": j})
        for i, j in np.ndindex(*np.shape(trace.z))
    }


def drawn(found, quick, theme):
    """Return all figures of a change."""
    names, axis, called = (
        quick.library.names,
        quick.library.axis,
        class_names(found.first.kind, quick.library.names)[: found.presence.shape[1]],
    )
    before, after = quick.test_mixtures().areas[:2]
    history = [{"step": s, "loss": 2.0 / s, "test_compound_accuracy": 0.1 * s} for s in (1, 2, 3)]
    return [
        comparison.mixture_change(before, after, axis, theme, position=4),
        comparison.mask_change(found, names, axis, theme, cell=Cell(0, 7, 4)),
        comparison.mask_change(found, names, axis, theme, ("A", "B"), difference=False),
        comparison.multiplet_change(found, names, axis, theme, cell=Cell(0, 7, 4)),
        comparison.presence_change(found, called, theme, present=np.array([2, 3])),
        curves.compare_learning_curves((history, []), ("A", "B"), theme, (2, None)),
    ]


@pytest.mark.parametrize("theme", THEMES, ids=str)
def test_every_figure_is_valid_on_every_page(found, lopsided, quick, theme):
    for pair in (found, lopsided):
        for figure, plain in zip(
            drawn(pair, quick, theme), drawn(pair, quick, LIGHT), strict=False
        ):
            assert json.loads(figure.to_json())["data"]
            assert figure.layout.font.color == theme.text
            assert figure.layout.font.size == pytest.approx(
                plain.layout.font.size * (1.35 if theme.large else 1)
            )


def test_a_changed_mixture_is_drawn_with_its_difference(quick):
    before, after = quick.test_mixtures().areas[:2]
    figure = comparison.mixture_change(before, after, PPM_AXIS, LIGHT, ("A", "B"), position=4)
    for trace, values in zip(
        figure.data, (before, after, after.astype(float) - before), strict=True
    ):
        assert area(trace)[:, ::-1] == pytest.approx(values, abs=1e-6)
    assert figure.data[0].coloraxis == figure.data[1].coloraxis != figure.data[2].coloraxis
    scale = figure.layout[figure.data[2].coloraxis]
    assert scale.cmin == -scale.cmax
    assert scale.cmax**2 == pytest.approx(np.abs(after - before).max())
    titles = [note.text for note in figure.layout.annotations]
    assert "<b>Mixture, A</b>" in titles
    assert "<b>Mixture, B</b>" in titles
    for yaxis in ("y", "y2", "y3"):
        ((columns, rows),) = frames(figure, yaxis)
        assert columns == (16, 17)
        assert rows == (
            1,
            7,
        )


def test_one_mixture_alone_is_drawn_where_nothing_changed(quick):
    areas = quick.test_mixtures().areas[0]
    figure = comparison.mixture_change(areas, areas.copy(), PPM_AXIS, LIGHT)
    assert len(figure.data) == 1
    assert area(figure.data[0])[:, ::-1] == pytest.approx(areas, abs=1e-6)
    assert not frames(figure, "y")


def test_a_tiny_change_is_not_blown_up(quick):
    areas = quick.test_mixtures().areas[0]
    figure = comparison.mixture_change(areas, areas + np.float32(1e-7), PPM_AXIS, LIGHT)
    assert figure.layout.coloraxis2.cmax**2 == pytest.approx(1e-3 * areas.max(), rel=1e-3)


def test_clicks_on_changed_masks_name_the_cell_that_was_drawn(found, lopsided, quick):
    for pair in (found, lopsided):
        figure = comparison.mask_change(pair, quick.library.names, quick.library.axis, LIGHT)
        hidden = weak_cells(pair.first.encoding) & weak_cells(pair.second.encoding)
        wanted = (*pair.masks, pair.masks[1] - pair.masks[0])
        for trace, maps in zip(figure.data, wanted, strict=True):
            seen = set()
            for (i, j), click in clicks(trace).items():
                if click is None:
                    assert np.isnan(trace.z[i, j])
                    continue
                c = j // 22  # the map; each output stands in one, or in two that both A and B have
                assert click.rows == "filter"
                assert pair.outputs[c] == click.output
                expected = (
                    np.nan
                    if hidden[click.row, click.position]
                    else maps[c, click.row, click.position]
                )
                assert trace.z[i, j] == pytest.approx(expected, nan_ok=True)
                seen.add((c, click.row, click.position))
            assert len(seen) == maps.size


def test_clicks_on_changed_multiplets_name_the_position_and_the_output(found, quick):
    figure = comparison.multiplet_change(found, quick.library.names, quick.library.axis, LIGHT)
    for trace, maps in zip(
        figure.data, (*found.multiplets, found.multiplets[1] - found.multiplets[0]), strict=True
    ):
        for (i, j), click in clicks(trace).items():
            if click is not None:
                at = found.outputs.tolist().index(click.output)
                assert click.rows == "peak"
                assert area(trace)[i, j] == pytest.approx(
                    maps[at, click.row, click.position], abs=1e-6
                )


def test_masks_are_framed_where_the_cell_is(found, quick):
    cell = Cell(int(found.outputs[0]), 17, 6)
    figure = comparison.mask_change(
        found, quick.library.names, quick.library.axis, LIGHT, cell=cell
    )
    for trace, yaxis in zip(figure.data, ("y", "y2", "y3"), strict=True):
        told, framed = clicks(trace), frames(figure, yaxis)
        assert len(framed) == len(found.labels)
        for (left, right), (low, high) in framed:
            assert right - left == high - low == 1
            click = told[int(low), int(left)]
            assert (click.row, click.position) == (cell.filter, cell.position)


def test_two_trainings_get_no_difference(lopsided, quick):
    figure = comparison.mask_change(
        lopsided, quick.library.names, quick.library.axis, LIGHT, ("A", "B"), difference=False
    )
    assert len(figure.data) == 2
    scale = figure.layout.coloraxis
    assert (scale.cmin, scale.cmax) == (0, 1)


def test_headings_name_each_pair(found, quick):
    called = class_names(found.first.kind, quick.library.names)
    for figure in (
        f(found, quick.library.names, quick.library.axis, LIGHT)
        for f in (comparison.mask_change, comparison.multiplet_change)
    ):
        assert [note.text for note in figure.layout.annotations if note.bgcolor] == [
            called[k].removeprefix("something ") for k in found.labels
        ]


def test_probabilities_stand_beside_each_other(found, quick):
    called = class_names(found.first.kind, quick.library.names)[: found.presence.shape[1]]
    figure = comparison.presence_change(found, called, LIGHT, ("A", "B"), np.array([2, 9]))
    assert [bar.name for bar in figure.data] == ["A", "B"]
    for bar, row in zip(figure.data, found.presence, strict=False):
        assert np.array_equal(bar.x, row)
        assert [name.removeprefix("◇ ") for name in bar.y] == list(called)
        assert [k for k, name in enumerate(bar.y) if name.startswith("◇")] == [2, 9]
    plain = comparison.presence_change(found, called, LIGHT)
    assert list(plain.data[0].y) == list(called)
    assert "◇" not in plain.layout.xaxis.title.text


@pytest.mark.parametrize("theme", THEMES, ids=str)
def test_occlusion_is_drawn_as_it_was_measured(either, quick, theme):
    areas = quick.test_mixtures().areas[0]
    worth = occlude(either.model, areas)
    called = class_names(either.model.kind, quick.library.names)[: len(worth.presence)]
    figure = comparison.occlusion_map(worth, called, quick.library.axis, theme, 3)
    (trace,) = figure.data
    assert list(trace.y) == list(called)
    assert (
        figure.layout.coloraxis.cmin,
        figure.layout.coloraxis.cmax,
    ) == (-1, 1)
    for (i, j), click in clicks(trace).items():
        assert click.rows == "compound"
        assert click.output is None
        assert trace.z[i, j] == pytest.approx(worth.fall[click.row, click.position], nan_ok=True)
    ((columns, rows),) = frames(figure, "y")
    assert columns == (17, 18)
    assert rows == (0, len(called))
    assert figure.to_json()


def test_two_trainings_are_drawn_with_their_steps():
    histories = tuple(
        [{"step": s, "loss": loss / s, "test_compound_accuracy": s / 40} for s in range(1, last)]
        for loss, last in ((3.0, 9), (5.0, 30))
    )
    figure = curves.compare_learning_curves(histories, ("A", "B"), LIGHT, (4, 7))
    for i, history in enumerate(histories):
        loss, share = figure.data[2 * i : 2 * i + 2]
        assert list(loss.x) == list(share.x) == [row["step"] for row in history]
        assert loss.name == "AB"[i]
        assert list(loss.y) == [row["loss"] for row in history]
        assert list(share.y) == [row["test_compound_accuracy"] for row in history]
        assert share.xaxis == "x2"
        assert not share.showlegend
    assert [shape.x0 for shape in figure.layout.shapes] == [4, 4, 7, 7]
    assert {shape.xref for shape in figure.layout.shapes} == {"x", "x2"}
    assert figure.data[0].line.dash != figure.data[2].line.dash  # told apart without colour
    assert not curves.compare_learning_curves(
        (histories[0], []), ("A", "B"), LIGHT, (None, 5)
    ).layout.shapes


def test_the_difference_of_equal_answers_is_drawn_as_none(either, quick):
    areas = quick.test_mixtures().areas[0]
    pair = compare_predictions((either.model, areas), (either.model, areas))
    figure = comparison.multiplet_change(pair, quick.library.names, quick.library.axis, LIGHT)
    difference = np.asarray(figure.data[2].z, float)
    assert not difference[np.isfinite(difference)].any()
    assert figure.to_json()
