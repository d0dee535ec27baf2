import json

import numpy as np
import pytest

from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.evaluation.masks import similarity_order, weak_cells
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.evaluation.prediction import match_truth, percent, predict
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.nmr.library import metabolite_library
from nmrclassify.plots import classes, curves, maps
from nmrclassify.plots.map_rows import MapRow, stack
from nmrclassify.plots.style import HIGHLIGHT, OUTPUT_COLOURS, ColourScale, Theme
from nmrclassify.training.trainer import model_for, recipe
from nmrclassify.ui.clicks import decode

LIGHT, DARK = Theme(False), Theme(True)


def looked_at(checkpoint, quick):
    """Return a mixture, what a model makes of it, the truth about it and the library."""
    made = quick.test_mixtures()
    given = predict(checkpoint.model, made.areas[0])
    truth = match_truth(
        given, made.areas[0], made.sources[0], made.labels[0], 1.0, None, made.concentrations[0]
    )
    return made.areas[0], given, truth, quick.library


@pytest.fixture
def shown(trained, quick):
    return looked_at(trained, quick)


@pytest.fixture
def found(learned, quick):
    return looked_at(learned, quick)


def compare_predictions(first: str, second: str) -> float:
    """WCAG 2.1 contrast ratio."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_headings_can_be_read():
    assert all(compare_predictions("#ffffff", colour) >= 4.5 for colour in OUTPUT_COLOURS)
    assert compare_predictions(LIGHT.text, "#ffffff") > 7
    assert compare_predictions(DARK.text, "#0e1117") > 7


def test_positions_decrease_to_the_right():
    arrays = np.zeros((2, 6, 21))
    arrays[0, 0, 3], arrays[1, 0, 20] = 5.0, 7.0
    figure = stack([MapRow("", arrays, ColourScale("area", 0, 7, "Viridis"))], PPM_AXIS, LIGHT)
    row = np.asarray(figure.data[0].z)[0]
    assert row[21 - 1 - 3] == 5.0
    assert row[22] == 7.0
    assert np.isnan(row[21])
    assert figure.data[0].x[17] == "output 1, 1.50 to 2.00 ppm"
    spectrum = maps.line_spectrum(arrays[0], PPM_AXIS, LIGHT)
    assert spectrum.layout.xaxis.range == (10.5, 0.0)
    assert spectrum.layout.xaxis.title.text == "chemical shift (ppm)"


def test_sticks_stand_around_the_middle_of_their_position():
    library = metabolite_library()
    for name, ppm in (("formate", 8.25), ("acetate", 1.75), ("ethanol", 3.75)):
        areas = library.areas[library.names.index(name)]
        bars = maps.line_spectrum(areas, PPM_AXIS, LIGHT).data[0]
        near = np.abs(np.asarray(bars.x) - ppm) < 0.25
        weights = np.asarray(bars.y)[near]
        assert (np.asarray(bars.x)[near] * weights).sum() / weights.sum() == pytest.approx(ppm)
    assert bars.customdata[0].endswith("ppm, peak 1 of 3")


def test_numbers_as_names_stay_names(shown):
    _, given, truth, _ = shown
    names = tuple(str(100 + i) for i in range(10))
    assert classes.class_bars(given, names, LIGHT).layout.xaxis.type == "category"
    assert classes.class_heatmap(given, names, LIGHT, truth).layout.xaxis.type == "category"


def test_ticks_stand_at_round_ppm_values():
    figure = stack(
        [MapRow("", np.zeros((3, 6, 21)), ColourScale("area", 0, 1, "Viridis"))], PPM_AXIS, LIGHT
    )
    axis = figure.layout.xaxis
    for place, text in zip(axis.tickvals, axis.ticktext, strict=False):
        column = place % 22  # edges, counted from the left end at 10.5 ppm
        assert 10.5 - 0.5 * (column + 0.5) == pytest.approx(float(text))


def test_masks_are_always_drawn_from_0_to_1(shown):
    _, given, _, library = shown
    figure = maps.mask_maps([("faint", 0.01 * given.masks)], library.axis, LIGHT)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0.0, 1.0)


def test_differences_are_symmetric_around_zero(shown):
    _, given, truth, library = shown
    figure = maps.difference_maps(
        "residual", given.multiplets - truth.sources, 2.0, library.axis, LIGHT
    )
    assert figure.layout.coloraxis.cmin == -figure.layout.coloraxis.cmax == -2.0


def test_the_square_root_scale_labels_true_areas():
    bar = ColourScale("area", 0.0, 4.0, "Viridis", root=True).coloraxis(LIGHT, 0.5, 1.0)
    assert bar["cmax"] == 2.0
    for place, text in zip(bar["colorbar"]["tickvals"], bar["colorbar"]["ticktext"], strict=False):
        assert place**2 == pytest.approx(float(text))


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_overview_shows_what_was_computed(shown, theme):
    areas, given, truth, library = shown
    figure = maps.overview(areas, given, library.names, library.axis, theme, truth)
    separated = np.asarray(figure.data[2].z, float)[:, :21][:, ::-1]
    assert np.sign(separated) * separated**2 == pytest.approx(given.multiplets[0], abs=1e-6)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert [list(bar.x) for bar in bars] == [list(row) for row in given.probabilities]
    headings = [a.text for a in figure.layout.annotations if a.bgcolor]
    assert headings == list(classes.headings(given, library.names, truth))
    assert all(h[-1] in "✓✗" for h in headings)
    without = maps.overview(areas, given, library.names, library.axis, theme)
    assert len(without.data) == len(figure.data) - 2


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_overview_of_queries_shows_one_bar_a_compound(found, theme):
    areas, given, truth, library = found
    figure = maps.overview(areas, given, library.names, library.axis, theme, truth)
    (bars,) = [trace for trace in figure.data if trace.type == "bar"]
    assert list(bars.y) == [*library.names, "something unknown"]
    assert list(bars.x) == list(given.probabilities[0])
    # A bar has the colour of the output that shows its compound; what is not shown has that of the
    # grid.
    for i, k in enumerate(given.named):
        assert bars.marker.color[k] == OUTPUT_COLOURS[i]
    assert {bars.marker.color[k] for k in set(range(11)) - set(given.named)} == {theme.grid}
    (marks,) = [trace for trace in figure.data if trace.type == "scatter"]
    assert list(marks.y) == [library.names[k] for k in truth.present]
    headings = [a.text for a in figure.layout.annotations if a.bgcolor]
    assert headings == list(classes.headings(given, library.names, truth))
    assert all(h[-1] in "✓✗" for h in headings)
    separated = np.asarray(figure.data[2].z, float)[:, :21][:, ::-1]
    assert np.sign(separated) * separated**2 == pytest.approx(given.multiplets[0], abs=1e-6)
    without = maps.overview(areas, given, library.names, library.axis, theme)
    assert len(without.data) == len(figure.data) - 2


def test_a_lone_compound_of_queries_can_be_drawn(learned, quick):
    areas = quick.library.areas[4]
    given = predict(learned.model, areas)
    figure = maps.overview(areas, given, quick.library.names, quick.library.axis, LIGHT)
    assert "compound 4" in [a.text for a in figure.layout.annotations if a.bgcolor]
    assert maps.sum_and_overlap(
        given.masks, np.zeros(given.encoding.shape, bool), quick.library.axis, LIGHT
    ).to_json()


def test_the_truth_is_framed_among_the_presences(found):
    _, given, truth, library = found
    figure = classes.class_heatmap(given, library.names, LIGHT, truth)
    assert list(figure.data[0].x) == [*library.names, "something unknown"]
    assert list(figure.data[0].y) == ["probability"]
    assert np.array_equal(figure.data[0].z, given.probabilities)
    assert [(round(s.y0 + 0.5), round(s.x0 + 0.5)) for s in figure.layout.shapes] == [
        (0, k) for k in truth.present
    ]
    bars = classes.class_bars(given, library.names, LIGHT).data
    assert len(bars) == 1
    assert list(bars[0].x) == [*library.names, "something unknown"]
    assert list(bars[0].y) == list(given.probabilities[0])


def test_the_description_in_words_names_each_output(found, shown):
    for _, given, _, library in (found, shown):
        called = (*library.names, "something unknown" if given.kind == "queries" else "nothing")
        parts = classes.alt_text(given, library.names).split("; ")
        assert [p.split(" ", 2)[2] for p in parts] == [
            f"{called[k]} {percent(c)}" for k, c in zip(given.named, given.confidence, strict=False)
        ]


def test_nothing_is_drawn_where_the_number_varies():
    data = build("quick", 3, MixtureConfig(number_varies=True))
    made, model = data.test_mixtures(), model_for(data, 3, "slots")
    row = int(np.flatnonzero((made.labels == 10).any(axis=1))[0])
    given = predict(model, made.areas[row])
    truth = match_truth(given, made.areas[row], made.sources[row], made.labels[row])
    figure = maps.overview(
        made.areas[row], given, data.library.names, data.library.axis, LIGHT, truth
    )
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert len(bars) == 3
    assert all(list(bar.y) == [*data.library.names, "nothing"] for bar in bars)
    framed = classes.class_heatmap(given, data.library.names, LIGHT, truth).layout.shapes
    assert [(round(s.y0 + 0.5), round(s.x0 + 0.5)) for s in framed] == list(enumerate(truth.labels))


def test_a_confusion_matrix_has_room_for_what_was_missed_or_made_up(learned, quick):
    result = evaluate(
        learned.model,
        quick.training_batch(0, 64, recipe("queries").augmented(quick, any_number=True)),
    )
    counts = result.confusion()
    assert counts.shape == (11, 11)
    names = (*quick.library.names, "nothing")
    figure = classes.confusion(counts, names, LIGHT)
    assert np.array_equal(figure.data[0].z, counts)
    assert list(figure.data[0].x) == list(figure.data[0].y) == list(names)
    assert [[int(v or 0) for v in row] for row in figure.data[0].text] == counts.tolist()


def test_every_figure_has_titled_axes(shown, trained, quick):
    areas, given, truth, library = shown
    history = [
        {
            "step": s,
            "loss": 1,
            "classification": 1,
            "reconstruction": 1,
            "train_accuracy": 0.5,
            "test_compound_accuracy": 0.4,
        }
        for s in (1, 2, 3)
    ]
    hidden = np.zeros(given.encoding.shape, bool)
    drawn = [
        maps.area_maps(
            [("a", given.multiplets), ("b", truth.sources)], library.axis, LIGHT, ("x", "y", "z")
        ),
        maps.mask_maps([("m", given.masks)], library.axis, LIGHT),
        maps.sum_and_overlap(given.masks, hidden, library.axis, LIGHT),
        maps.line_spectrum(areas, library.axis, LIGHT, truth.sources, ("a", "b", "c")),
        maps.area_shares(given.multiplets, library.axis, LIGHT, ("a", "b", "c")),
        maps.library_map(metabolite_library(), LIGHT),
        classes.class_bars(given, library.names, LIGHT),
        curves.learning_curves(history, LIGHT),
        classes.class_heatmap(given, library.names, LIGHT, truth),
        classes.cost_matrix(truth, ["a", "b", "c"], 1.0, LIGHT),
        classes.confusion(
            evaluate(trained.model, quick.test_mixtures()).confusion(), library.names, LIGHT
        ),
    ]
    for figure in drawn:
        assert any(axis.title.text for axis in figure.select_xaxes())
        named = [axis for axis in figure.select_yaxes() if axis.type == "category"]
        assert all(axis.title.text for axis in figure.select_yaxes() if axis not in named)
        assert figure.to_json()


def test_frames_mark_the_chosen_assignment(shown):
    _, _, truth, _ = shown
    shapes = classes.cost_matrix(truth, ["a", "b", "c"], 1.0, LIGHT).layout.shapes
    assert [(round(s.y0 + 0.5), round(s.x0 + 0.5)) for s in shapes] == list(
        enumerate(truth.pairing)
    )


def test_stacked_shares_keep_the_total(shown):
    _, given, _, library = shown
    figure = maps.area_shares(given.multiplets, library.axis, LIGHT, ("a", "b", "c"))
    total = np.sum([trace.y for trace in figure.data], axis=0)
    assert ((np.abs(total - 1) < 1e-5) | (total == 0)).all()


def test_the_toy_axis_counts_positions():
    assert Axis().title == "position"
    assert Axis().centres.tolist() == list(range(21))


def clicks(trace):
    """Return what a click on each cell means, by (row, column), as the browser would send it."""
    meta = json.loads(json.dumps(trace.meta))
    return {
        (i, j): decode({"chart": "c", "meta": meta, "row": i, "column": j})
        for i, j in np.ndindex(*np.shape(trace.z))
    }


def frames(figure, yaxis):
    """Return the frames of a row of maps, each as (left, right, top, bottom) in places of the axes."""
    return [
        (shape.x0 + 0.5, shape.x1 + 0.5, shape.y0 + 0.5, shape.y1 + 0.5)
        for shape in figure.layout.shapes
        if shape.line.color == HIGHLIGHT and shape.yref == yaxis
    ]


@pytest.mark.parametrize("which", ["slots", "queries"])
def test_clicks_on_the_overview_name_the_cell_that_was_drawn(shown, found, which):
    areas, given, truth, library = {"slots": shown, "queries": found}[which]
    figure = maps.overview(areas, given, library.names, library.axis, LIGHT, truth)
    mixture, masks, separated, true = figure.data[:4]
    outputs = given.named.tolist() if which == "queries" else [0, 1, 2]
    hidden = weak_cells(given.encoding)
    for (i, j), click in clicks(masks).items():
        if click is None:
            assert j % 22 == 21
            assert np.isnan(masks.z[i, j])
            continue
        assert click.rows == "filter"
        f, p = click.row, click.position
        expected = np.nan if hidden[f, p] else given.masks[outputs.index(click.output), f, p]
        assert masks.z[i, j] == pytest.approx(expected, nan_ok=True)
    for trace, arrays in ((separated, given.multiplets), (true, truth.sources)):
        for (i, j), click in clicks(trace).items():
            if click is not None:
                assert click.rows == "peak"
                wanted = arrays[outputs.index(click.output), click.row, click.position]
                assert np.sign(trace.z[i, j]) * trace.z[i, j] ** 2 == pytest.approx(
                    wanted, abs=1e-6
                )
    for (i, j), click in clicks(mixture).items():
        assert (click.rows, click.output) == ("peak", None)
        assert mixture.z[i, j] ** 2 == pytest.approx(areas[click.row, click.position], abs=1e-6)


def test_clicks_on_sorted_masks_name_the_cell_that_was_drawn(found):
    _, given, _, library = found
    order = similarity_order(given.masks)
    assert order.tolist() != list(range(64))
    rows = [("a", given.masks[:, order]), ("b", 1 - given.masks[:, order])]
    figure = maps.mask_maps(rows, library.axis, LIGHT, indices=given.outputs, ids=order)
    for trace, arrays in zip(figure.data, (given.masks, 1 - given.masks), strict=False):
        for (i, j), click in clicks(trace).items():
            if click is not None:
                assert (
                    trace.z[i, j]
                    == arrays[given.outputs.tolist().index(click.output), click.row, click.position]
                )
    hidden = np.zeros(given.encoding.shape, bool)
    both = maps.sum_and_overlap(given.masks[:, order], hidden, library.axis, LIGHT, order).data[0]
    for (i, j), click in clicks(both).items():
        if click is not None:
            assert click.output is None
            own = given.masks[:, click.row, click.position]
            assert both.z[i, j] == pytest.approx(
                own.sum() if j < 21 else np.sort(own)[-2], abs=1e-5
            )


@pytest.mark.parametrize("cell", [Cell(1, 0, 0), Cell(2, 63, 20), Cell(0, 17, 6)], ids=str)
@pytest.mark.parametrize("ordered", [False, True])
def test_the_frame_stands_around_the_cell(shown, cell, ordered):
    areas, given, truth, library = shown
    order = similarity_order(given.masks) if ordered else np.arange(64)
    ids, arrays, hidden = (
        order if ordered else None,
        given.masks[:, order],
        np.zeros(given.encoding.shape, bool),
    )
    drawn = [
        (maps.mask_maps([("m", arrays)], library.axis, LIGHT, ids=ids, cell=cell), "y", 3, False),
        (maps.sum_and_overlap(arrays, hidden, library.axis, LIGHT, ids, cell), "y", 2, False),
        (
            maps.overview(areas, given, library.names, library.axis, LIGHT, truth, cell),
            "y2",
            3,
            False,
        ),
        (
            maps.overview(areas, given, library.names, library.axis, LIGHT, truth, cell),
            "y",
            1,
            True,
        ),
        (
            maps.overview(areas, given, library.names, library.axis, LIGHT, truth, cell),
            "y4",
            3,
            True,
        ),
        (
            maps.area_maps([("a", given.multiplets)], library.axis, LIGHT, cell=cell),
            "y",
            3,
            True,
        ),
        (
            maps.difference_maps("d", given.multiplets, 1.0, library.axis, LIGHT, cell=cell),
            "y",
            3,
            True,
        ),
    ]
    for figure, yaxis, n_maps, whole_column in drawn:
        (trace,) = [t for t in figure.data if t.type == "heatmap" and t.yaxis == yaxis]
        told, framed = clicks(trace), frames(figure, yaxis)
        assert len(framed) == n_maps
        for left, right, top, bottom in framed:
            first = (
                1 if whole_column else 0
            )  # peaks are counted from 1, filters from 0 or by their place in the order
            inside = {
                click
                for (i, j), click in told.items()
                if left <= j < right and top <= i + first < bottom
            }
            assert {click.position for click in inside} == {cell.position}
            assert right - left == 1
            assert {click.row for click in inside} == (
                set(range(6)) if whole_column else {cell.filter}
            )
    assert not frames(maps.overview(areas, given, library.names, library.axis, LIGHT, truth), "y2")


def row(mark, **more):
    """Draw two maps of four rows with a mark."""
    scale = ColourScale("", 0, 1, "Viridis")
    return stack([MapRow("", np.zeros((2, 4, 21)), scale, mark=mark, **more)], PPM_AXIS, LIGHT)


def test_a_mark_frames_the_cell_among_filters_and_the_column_elsewhere():
    cell, ids, names = Cell(1, 9, 0), np.array([7, 5, 9, 2]), ("a", "b", "c", "d")
    for figure, (top, bottom) in (
        (row(cell, row_name="filter", ids=ids), (2, 3)),
        (row(Cell(1, 2, 0), row_name="filter"), (2, 3)),
        (row(cell, row_name="filter"), (0, 4)),  # there is no filter 9
        (row(0, row_name="filter", ids=ids), (0, 4)),
        (row(cell, row_name="compound", names=names), (0, 4)),
        (row(cell), (1, 5)),  # peaks count from 1
        (row(0), (1, 5)),
    ):
        assert frames(figure, "y") == [(20, 21, top, bottom), (42, 43, top, bottom)]
    assert frames(row(3), "y") == [(17, 18, 1, 5), (39, 40, 1, 5)]
    assert not frames(row(None), "y")


def test_a_frame_is_visible_on_the_darkest_and_the_brightest_cell():
    lines = [shape.line for shape in row(0).layout.shapes if shape.line.width]
    assert [(line.color, line.width) for line in lines] == 2 * [("#000000", 4), (HIGHLIGHT, 2)]


def test_learning_curves_have_a_line_at_the_step_that_is_looked_at():
    keys = ("loss", "classification", "reconstruction", "train_accuracy", "test_compound_accuracy")
    history = [{"step": s} | dict.fromkeys(keys, 0.5) for s in (1, 2, 3)]
    assert not curves.learning_curves(history, LIGHT).layout.shapes
    for step in (0, 2):
        lines = curves.learning_curves(history, LIGHT, step).layout.shapes
        assert [(line.x0, line.x1) for line in lines] == [(step, step), (step, step)]
        assert [(line.xref, line.yref) for line in lines] == [
            ("x", "y domain"),
            ("x2", "y2 domain"),
        ]


@pytest.mark.parametrize("dark", [False, True])
def test_a_page_for_a_projector_has_larger_type(shown, dark):
    areas, given, truth, library = shown
    small, large = (
        maps.overview(areas, given, library.names, library.axis, Theme(dark, large), truth)
        for large in (False, True)
    )
    assert large.layout.font.size == pytest.approx(1.35 * small.layout.font.size)
    sizes = [[note.font.size for note in figure.layout.annotations] for figure in (small, large)]
    assert sizes[1] == pytest.approx([1.35 * size for size in sizes[0]])
    assert [trace.z.tolist() for trace in small.data[:1]] == [
        trace.z.tolist() for trace in large.data[:1]
    ]
    assert large.layout.font.color == Theme(dark).text
    assert large.layout.height >= small.layout.height


def test_the_scale_of_differences_labels_both_ends():
    bar = ColourScale("difference", -4.0, 4.0, "Viridis", root=True).coloraxis(LIGHT, 0.5, 1.0)
    assert (bar["cmin"], bar["cmax"]) == (-2.0, 2.0)
    values = [float(text) for text in bar["colorbar"]["ticktext"]]
    assert len(values) == 3
    assert values[0] == -values[2]
    assert values[1] == 0
    assert [np.sign(place) * place**2 for place in bar["colorbar"]["tickvals"]] == pytest.approx(
        values
    )
