import numpy as np
import pytest

from nmrclassify.evaluation.compare_predictions import Comparison, compare_predictions, occlude
from nmrclassify.evaluation.filters import readable_order
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import weak_cells
from nmrclassify.nmr.axis import PPM_AXIS
from nmrclassify.plots import comparison, curves
from nmrclassify.plots.style import Theme
from nmrclassify.training.trainer import model_for

THEMES = [Theme(), Theme(dark=True), Theme(large=True), Theme(dark=True, large=True)]
LIGHT = THEMES[0]


@pytest.fixture
def pair(either, quick):
    """Predictions of one network for two mixtures."""
    areas = quick.test_mixtures().areas
    return compare_predictions((either.model, areas[0]), (either.model, areas[5]))


@pytest.fixture
def two_trainings(trained, quick) -> Comparison:
    """Predictions of two networks for one mixture; some outputs have no partner."""
    areas, other = quick.test_mixtures().areas[0], model_for(quick, 11, "slots")
    other.trained = True
    pair = compare_predictions((trained.model, areas), (other, areas))
    assert np.isnan(pair.masks).any()
    return pair


def drawn(pair, quick, theme):
    """Return all figures of a change."""
    names, axis, classes = (
        quick.library.names,
        quick.library.axis,
        pair.first.class_names(quick.library.names)[: pair.presence.shape[1]],
    )
    before, after = quick.test_mixtures().areas[:2]
    history = [{"step": s, "loss": 2.0 / s, "test_compound_accuracy": 0.1 * s} for s in (1, 2, 3)]
    return [
        comparison.mixture_change(before, after, axis, theme, position=4),
        comparison.mask_change(pair, names, axis, theme, cell=Cell(0, 7, 4)),
        comparison.mask_change(pair, names, axis, theme, ("A", "B"), difference=False),
        comparison.multiplet_change(pair, names, axis, theme, cell=Cell(0, 7, 4)),
        comparison.presence_change(pair, classes, theme, present=np.array([2, 3])),
        curves.compare_learning_curves((history, []), ("A", "B"), theme, (2, None)),
    ]


@pytest.mark.parametrize("theme", THEMES, ids=str)
def test_every_figure_has_the_colours_and_sizes_of_its_page(pair, two_trainings, quick, theme):
    for change in (pair, two_trainings):
        figures, small = drawn(change, quick, theme), drawn(change, quick, LIGHT)
        for figure, plain in zip(figures, small, strict=True):
            assert figure.layout.font.color == theme.text
            assert figure.layout.font.size == pytest.approx(theme.points(plain.layout.font.size))


def test_a_changed_mixture_is_drawn_with_its_difference(quick, values, frames):
    before, after = quick.test_mixtures().areas[:2]
    figure = comparison.mixture_change(before, after, PPM_AXIS, LIGHT, ("A", "B"), position=4)
    wanted = (before, after, after.astype(float) - before)
    for trace, expected in zip(figure.data, wanted, strict=True):
        assert values(trace)[:, ::-1] == pytest.approx(expected, abs=1e-6)
    assert figure.data[0].coloraxis == figure.data[1].coloraxis != figure.data[2].coloraxis
    scale = figure.layout[figure.data[2].coloraxis]
    assert scale.cmin == -scale.cmax
    assert scale.cmax**2 == pytest.approx(np.abs(after - before).max())
    titles = [note.text for note in figure.layout.annotations]
    assert "<b>Mixture, A</b>" in titles
    assert "<b>Mixture, B</b>" in titles
    for yaxis in ("y", "y2", "y3"):
        assert frames(figure, yaxis) == [(15.5, 16.5, 0.5, 6.5)]


def test_one_mixture_alone_is_drawn_where_nothing_changed(quick, values, frames):
    areas = quick.test_mixtures().areas[0]
    figure = comparison.mixture_change(areas, areas.copy(), PPM_AXIS, LIGHT)
    assert len(figure.data) == 1
    assert values(figure.data[0])[:, ::-1] == pytest.approx(areas, abs=1e-6)
    assert not frames(figure)


def test_a_change_of_rounding_stays_pale(quick):
    areas = quick.test_mixtures().areas[0]
    figure = comparison.mixture_change(areas, areas + np.float32(1e-7), PPM_AXIS, LIGHT)
    assert figure.layout.coloraxis2.cmax**2 == pytest.approx(1e-3 * areas.max(), rel=1e-3)


def test_clicks_on_changed_masks_name_the_cell_that_was_drawn(pair, two_trainings, quick, clicks):
    for change in (pair, two_trainings):
        figure = comparison.mask_change(change, quick.library.names, quick.library.axis, LIGHT)
        hidden = weak_cells(change.first.encoding) & weak_cells(change.second.encoding)
        wanted = (*change.masks, change.masks[1] - change.masks[0])
        for trace, maps in zip(figure.data, wanted, strict=True):
            seen = set()
            for (i, j), click in clicks(trace).items():
                if click is None:
                    assert np.isnan(trace.z[i, j])
                    continue
                c = j // 22  # the map; each output stands in one, or in two that both A and B have
                assert click.rows == "filter"
                assert change.outputs[c] == click.output
                expected = (
                    np.nan
                    if hidden[click.row, click.position]
                    else maps[c, click.row, click.position]
                )
                assert trace.z[i, j] == pytest.approx(expected, nan_ok=True)
                seen.add((c, click.row, click.position))
            assert len(seen) == maps.size


def test_clicks_on_changed_multiplets_name_the_position_and_the_output(pair, quick, clicks, values):
    figure = comparison.multiplet_change(pair, quick.library.names, quick.library.axis, LIGHT)
    wanted = (*pair.multiplets, pair.multiplets[1] - pair.multiplets[0])
    for trace, maps in zip(figure.data, wanted, strict=True):
        drawn = values(trace)
        for (i, j), click in clicks(trace).items():
            if click is not None:
                expected = maps[pair.outputs.tolist().index(click.output)]
                assert click.rows == "peak"
                assert drawn[i, j] == pytest.approx(expected[click.row, click.position], abs=1e-6)


def test_masks_are_framed_where_the_cell_is(pair, quick, clicks, frames):
    cell = Cell(int(pair.outputs[0]), 17, 6)
    figure = comparison.mask_change(pair, quick.library.names, quick.library.axis, LIGHT, cell=cell)
    for trace, yaxis in zip(figure.data, ("y", "y2", "y3"), strict=True):
        by_cell, framed = clicks(trace), frames(figure, yaxis)
        assert len(framed) == len(pair.labels)
        for left, right, low, high in framed:
            assert right - left == high - low == 1
            click = by_cell[int(low + 0.5), int(left + 0.5)]
            assert (click.row, click.position) == (cell.filter, cell.position)


def test_two_trainings_get_no_difference(two_trainings, quick):
    figure = comparison.mask_change(
        two_trainings, quick.library.names, quick.library.axis, LIGHT, ("A", "B"), difference=False
    )
    assert len(figure.data) == 2
    # Each side has its own order of the filters, that of its own patterns.
    orders = [readable_order(patterns).tolist() for patterns in two_trainings.patterns]
    assert [trace.meta["ids"] for trace in figure.data] == orders
    assert orders[0] != orders[1]
    scale = figure.layout.coloraxis
    assert (scale.cmin, scale.cmax) == (0, 1)


def test_headings_name_each_pair(pair, quick, headings):
    classes = [
        name.removeprefix("something ") for name in pair.first.class_names(quick.library.names)
    ]
    for figure in (
        f(pair, quick.library.names, quick.library.axis, LIGHT)
        for f in (comparison.mask_change, comparison.multiplet_change)
    ):
        assert headings(figure) == [
            classes[a] if a == b else f"{classes[a]} → {classes[b]}" for a, b in pair.named.T
        ]


def test_the_axis_says_how_the_probabilities_of_several_outputs_are_combined(
    trained, learned, quick
):
    areas, names = quick.test_mixtures().areas[0], quick.library.names
    models = {"slots": trained.model, "queries": learned.model}
    for first, second, title in (
        ("slots", "slots", "an output names it: probability"),
        ("queries", "queries", "probability"),
        ("slots", "queries", "an output names it: probability /<br>probability"),
    ):
        pair = compare_predictions((models[first], areas), (models[second], areas))
        figure = comparison.presence_change(pair, names[: pair.presence.shape[1]], LIGHT)
        assert figure.layout.xaxis.title.text == title


def test_probabilities_stand_beside_each_other(pair, quick):
    classes = pair.first.class_names(quick.library.names)[: pair.presence.shape[1]]
    figure = comparison.presence_change(pair, classes, LIGHT, ("A", "B"), np.array([2, 9]))
    assert [bar.name for bar in figure.data] == ["A", "B"]
    for bar, row in zip(figure.data, pair.presence, strict=True):
        assert np.array_equal(bar.x, row)
        assert [name.removeprefix("◇ ") for name in bar.y] == list(classes)
        assert [k for k, name in enumerate(bar.y) if name.startswith("◇")] == [2, 9]
    plain = comparison.presence_change(pair, classes, LIGHT)
    assert list(plain.data[0].y) == list(classes)
    assert "◇" not in plain.layout.xaxis.title.text


@pytest.mark.parametrize("theme", THEMES, ids=str)
def test_occlusion_is_drawn_as_it_was_measured(either, quick, theme, clicks, frames):
    areas = quick.test_mixtures().areas[0]
    occlusion = occlude(either.model, areas)
    classes = either.model.class_names(quick.library.names)[: len(occlusion.presence)]
    figure = comparison.occlusion_map(occlusion, classes, quick.library.axis, theme, 3)
    (trace,) = figure.data
    assert list(trace.y) == list(classes)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-1, 1)
    for (i, j), click in clicks(trace).items():
        assert click.rows == "compound"
        assert click.output is None
        assert trace.z[i, j] == pytest.approx(
            occlusion.fall[click.row, click.position], nan_ok=True
        )
    assert frames(figure) == [(16.5, 17.5, -0.5, len(classes) - 0.5)]


def test_the_difference_of_equal_predictions_is_zero(either, quick):
    areas = quick.test_mixtures().areas[0]
    pair = compare_predictions((either.model, areas), (either.model, areas))
    figure = comparison.multiplet_change(pair, quick.library.names, quick.library.axis, LIGHT)
    difference = np.asarray(figure.data[2].z, float)
    shown = difference[np.isfinite(difference)]
    assert shown.size == pair.multiplets[0].size
    assert not shown.any()
