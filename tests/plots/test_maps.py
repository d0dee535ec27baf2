from dataclasses import replace

import numpy as np
import pytest

from nmrclassify.evaluation.filters import filter_patterns, readable_order
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import weak_cells
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.nmr.axis import PPM_AXIS
from nmrclassify.nmr.library import metabolite_library
from nmrclassify.plots import classes, curves, maps
from nmrclassify.plots.style import Theme, compound_colour

LIGHT, DARK = Theme(False), Theme(True)
PATTERNS = filter_patterns(np.random.default_rng(0).random((64, 6, 3)))


def overview(case, theme=LIGHT, truth=True, cell=None, patterns=None):
    areas, prediction, true, library = case
    true = true if truth else None
    return maps.overview(
        areas, prediction, library.names, library.axis, theme, true, cell, patterns
    )


def test_a_line_spectrum_decreases_to_the_right(slots):
    figure = maps.line_spectrum(slots.areas, PPM_AXIS, LIGHT)
    assert figure.layout.xaxis.range == (10.5, 0.0)
    assert figure.layout.xaxis.title.text == "chemical shift (ppm)"
    assert sorted(figure.data[0].y) == pytest.approx(sorted(slots.areas[slots.areas > 0]))


@pytest.mark.parametrize(("name", "ppm"), [("formate", 8.25), ("acetate", 1.75), ("ethanol", 3.75)])
def test_sticks_are_centred_in_their_position(name, ppm):
    library = metabolite_library()
    areas = library.areas[library.names.index(name)]
    (bars,) = maps.line_spectrum(areas, PPM_AXIS, LIGHT).data
    x, y = np.asarray(bars.x), np.asarray(bars.y)
    near = np.abs(x - ppm) < 0.25
    assert (x[near] * y[near]).sum() / y[near].sum() == pytest.approx(ppm)
    n_peaks = np.count_nonzero(areas[:, int(ppm / 0.5)])
    assert f"peak 1 of {n_peaks}" in np.asarray(bars.customdata)[near][0]


def test_masks_are_always_drawn_from_0_to_1(slots):
    figure = maps.mask_maps([("faint", 0.01 * slots.prediction.masks)], PPM_AXIS, LIGHT)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0.0, 1.0)


def test_differences_are_symmetric_around_zero(slots, values):
    change = slots.prediction.multiplets - slots.truth.sources
    rows = [("a", slots.prediction.multiplets), ("b", slots.truth.sources)]
    figure = maps.area_maps(rows, PPM_AXIS, LIGHT, difference=change)
    first, second = figure.layout.coloraxis, figure.layout.coloraxis2
    assert -second.cmin == second.cmax == first.cmax
    assert [trace.coloraxis for trace in figure.data] == ["coloraxis", "coloraxis", "coloraxis2"]
    assert values(figure.data[2])[:, :21][:, ::-1] == pytest.approx(change[0], abs=1e-6)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_overview_of_slots_shows_a_block_of_bars_for_each_output(slots, theme):
    bars = [trace for trace in overview(slots, theme).data if trace.type == "bar"]
    assert [list(bar.x) for bar in bars] == [list(row) for row in slots.prediction.probabilities]
    for bar in bars:
        assert list(bar.marker.color) == [compound_colour(k, 10) for k in range(10)]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_overview_of_slots_shows_the_softmax_as_a_heatmap(slots, theme, frames):
    figure = overview(slots, theme)
    heatmap = figure.data[-1]
    assert np.array_equal(heatmap.z, slots.prediction.probabilities)
    assert list(heatmap.x) == list(slots.library.names)
    assert len(set(heatmap.y)) == 3
    framed = [(top + 0.5, left + 0.5) for left, _, top, _ in frames(figure, heatmap.yaxis)]
    assert framed == list(enumerate(slots.truth.labels))
    assert not frames(overview(slots, theme, truth=False), heatmap.yaxis)


@pytest.mark.parametrize("name", ["slots", "queries"])
def test_equal_positions_stand_below_each_other(name, request):
    case = request.getfixturevalue(name)
    figure = overview(case)
    maps_ = [t for t in figure.data if t.type == "heatmap" and t.meta["rows"] != "classes"]
    axes = [figure.layout[trace.xaxis.replace("x", "xaxis")] for trace in maps_]
    assert len({(axis.range, axis.tickvals, axis.ticktext) for axis in axes}) == 1
    assert len({np.shape(trace.z)[1] for trace in maps_}) == 1
    # The bars of an output are as wide as its maps.
    if name == "slots":
        bars = [trace for trace in figure.data if trace.type == "bar"]
        low, high = figure.layout[bars[0].xaxis.replace("x", "xaxis")].range
        left, right = axes[0].range
        for i, bar in enumerate(bars):
            for share, column in ((bar.base[0], 22 * i - 0.5), (bar.base[0] + 1, 22 * i + 20.5)):
                place = (share - low) / (high - low)
                assert place == pytest.approx((column - left) / (right - left))


@pytest.mark.parametrize("name", ["slots", "queries"])
def test_the_truth_shows_all_that_was_mixed(name, request, values, clicks, headings):
    case = request.getfixturevalue(name)
    missed = case.areas * 0.3
    truth = replace(case.truth, unshown=missed[None], unshown_labels=np.array([4]))
    counts = np.where(np.arange(10) == 4, 0, case.prediction.counts)
    prediction = replace(case.prediction, counts=counts)
    n, library = len(prediction.named), case.library
    figure = maps.overview(case.areas, prediction, library.names, library.axis, LIGHT, truth)
    found = headings(figure)
    assert found[n:] == [f"{library.names[4]} missed"]
    _, masks, separated, true = figure.data[:4]
    last = slice(22 * n, 22 * n + 21)
    assert values(true)[:, last][:, ::-1] == pytest.approx(missed, abs=1e-6)
    for trace in (masks, separated):
        assert np.isnan(np.asarray(trace.z)[:, last]).all()
        assert all(click is None for (_, j), click in clicks(trace).items() if j >= 22 * n)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_the_overview_of_queries_shows_one_bar_for_each_compound(queries, theme):
    _, prediction, truth, library = queries
    figure = overview(queries, theme)
    (bars,) = [trace for trace in figure.data if trace.type == "bar"]
    assert list(bars.y) == [*library.names, "unknown"]
    assert list(bars.x) == list(prediction.probabilities[0])
    assert list(bars.marker.color) == [compound_colour(k, 10) for k in range(11)]
    (marks,) = [trace for trace in figure.data if trace.type == "scatter"]
    assert list(marks.y) == [library.names[k] for k in truth.present]


@pytest.mark.parametrize("case", ["slots", "queries"])
def test_the_overview_shows_the_separated_multiplets(case, request, values, headings):
    case = request.getfixturevalue(case)
    figure = overview(case)
    separated = values(figure.data[2])[:, :21][:, ::-1]
    assert separated == pytest.approx(case.prediction.multiplets[0], abs=1e-6)
    found = headings(figure)
    assert found == list(classes.headings(case.prediction, case.library.names, case.truth))
    assert [h[-1] for h in found] == ["✓" if right else "✗" for right in case.truth.right]
    # Without the truth there is no row of sources and no diamond.
    assert len(overview(case, truth=False).data) == len(figure.data) - 2


def test_a_single_compound_of_queries_can_be_drawn(learned, quick, headings):
    areas, names, axis = quick.library.areas[4], quick.library.names, quick.library.axis
    prediction = learned.model.predict(areas)
    figure = maps.overview(areas, prediction, names, axis, LIGHT)
    assert "compound 4" in headings(figure)


def test_every_figure_has_titled_axes(slots, trained, quick):
    areas, prediction, truth, library = slots
    keys = ("loss", "classification", "reconstruction", "train_accuracy", "test_compound_accuracy")
    history = [{"step": s} | dict.fromkeys(keys, 0.5) for s in (1, 2, 3)]
    counts = evaluate(trained.model, quick.test_mixtures()).confusion()
    three, axis = ("a", "b", "c"), library.axis
    rows = [("a", prediction.multiplets), ("b", truth.sources)]
    for figure in (
        maps.area_maps(rows, axis, LIGHT, three),
        maps.mask_maps([("m", prediction.masks)], axis, LIGHT),
        maps.line_spectrum(areas, axis, LIGHT, truth.sources, three),
        maps.library_map(metabolite_library(), LIGHT),
        curves.learning_curves(history, LIGHT),
        classes.class_bars(prediction, library.names, LIGHT),
        classes.class_heatmap(prediction, library.names, LIGHT, truth),
        classes.cost_matrix(truth, three, three, 1.0, LIGHT),
        classes.confusion(counts, library.names, LIGHT),
    ):
        assert any(axis.title.text for axis in figure.select_xaxes())
        numeric = [axis for axis in figure.select_yaxes() if axis.type != "category"]
        assert all(axis.title.text for axis in numeric)


@pytest.mark.parametrize("name", ["slots", "queries"])
def test_clicks_on_the_overview_name_the_cell_that_was_drawn(name, request, clicks, values):
    case = request.getfixturevalue(name)
    areas, prediction, truth, _ = case
    mixture, masks, separated, true = overview(case).data[:4]
    outputs = prediction.named.tolist() if name == "queries" else [0, 1, 2]
    hidden = weak_cells(prediction.encoding)
    for (i, j), click in clicks(masks).items():
        if click is None:
            assert j % 22 == 21
            assert np.isnan(masks.z[i, j])
            continue
        assert click.rows == "filter"
        f, p = click.row, click.position
        expected = np.nan if hidden[f, p] else prediction.masks[outputs.index(click.output), f, p]
        assert masks.z[i, j] == pytest.approx(expected, nan_ok=True)
    for trace, arrays in ((separated, prediction.multiplets), (true, truth.sources)):
        drawn = values(trace)
        for (i, j), click in clicks(trace).items():
            if click is not None:
                assert click.rows == "peak"
                expected = arrays[outputs.index(click.output), click.row, click.position]
                assert drawn[i, j] == pytest.approx(expected, abs=1e-6)
    drawn = values(mixture)
    for (i, j), click in clicks(mixture).items():
        if click is None:
            assert j % 22 == 21
            continue
        assert (click.rows, click.output) == ("peak", None)
        assert drawn[i, j] == pytest.approx(areas[click.row, click.position], abs=1e-6)


def test_clicks_on_sorted_masks_name_the_cell_that_was_drawn(queries, clicks):
    _, prediction, _, library = queries
    order = readable_order(PATTERNS)
    assert order.tolist() != list(range(64))
    both = (prediction.masks, 1 - prediction.masks)
    rows = [("a", both[0][:, order]), ("b", both[1][:, order])]
    outputs = prediction.outputs
    figure = maps.mask_maps(rows, library.axis, LIGHT, indices=outputs, ids=order)
    for trace, masks in zip(figure.data, both, strict=True):
        for (i, j), click in clicks(trace).items():
            if click is not None:
                output = outputs.tolist().index(click.output)
                assert trace.z[i, j] == masks[output, click.row, click.position]


@pytest.mark.parametrize("cell", [Cell(1, 0, 0), Cell(2, 63, 20), Cell(0, 17, 6)], ids=str)
@pytest.mark.parametrize("ordered", [False, True])
def test_the_frame_is_around_the_cell(slots, cell, ordered, clicks, frames):
    _, prediction, _, library = slots
    order = readable_order(PATTERNS) if ordered else np.arange(64)
    ids, masks = order if ordered else None, prediction.masks[:, order]
    axis = library.axis
    whole = overview(slots, cell=cell, patterns=PATTERNS if ordered else None)
    multiplets = prediction.multiplets
    for figure, yaxis, n_maps, whole_column in (
        (maps.mask_maps([("m", masks)], axis, LIGHT, ids=ids, cell=cell), "y", 3, False),
        (whole, "y2", 3, False),
        (whole, "y", 3, True),
        (whole, "y4", 3, True),
        (maps.area_maps([("a", multiplets)], axis, LIGHT, cell=cell), "y", 3, True),
        (
            maps.area_maps([("a", multiplets)], axis, LIGHT, cell=cell, difference=multiplets),
            "y2",
            3,
            True,
        ),
    ):
        (trace,) = [t for t in figure.data if t.type == "heatmap" and t.yaxis == yaxis]
        by_cell, framed = clicks(trace), frames(figure, yaxis)
        assert len(framed) == n_maps
        first = 1 if whole_column else 0  # peaks count from 1, filters from 0
        for left, right, top, bottom in framed:
            inside = {
                click
                for (i, j), click in by_cell.items()
                if left < j < right and top < i + first < bottom
            }
            assert {click.position for click in inside} == {cell.position}
            assert right - left == 1
            rows = set(range(6)) if whole_column else {cell.filter}
            assert {click.row for click in inside} == rows
    assert not frames(overview(slots), "y2")


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_for_a_projector_has_larger_type(slots, dark):
    small, large = (overview(slots, Theme(dark, large)) for large in (False, True))
    assert large.layout.font.size == pytest.approx(1.35 * small.layout.font.size)
    sizes = [[note.font.size for note in figure.layout.annotations] for figure in (small, large)]
    assert sizes[1] == pytest.approx([1.35 * size for size in sizes[0]])
    for one, other in zip(small.data, large.data, strict=True):
        if one.type == "heatmap":
            assert np.array_equal(one.z, other.z, equal_nan=True)
    assert large.layout.font.color == Theme(dark).text
    assert large.layout.height >= small.layout.height
