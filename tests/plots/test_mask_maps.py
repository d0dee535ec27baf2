import re

import numpy as np
import pytest

from nmrclassify.evaluation import masks
from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.plots import mask_maps, page_figures
from nmrclassify.plots.export import as_table
from nmrclassify.plots.mask_maps import Division
from nmrclassify.plots.outputs import output_names
from nmrclassify.plots.style import NO_COMPOUND, Theme, compound_colour

LIGHT, DARK = Theme(), Theme(dark=True)


@pytest.fixture(params=["slots", "queries"])
def case(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def checkpoint(request, case, trained, learned):
    return learned if case.prediction.outputs_are_classes else trained


@pytest.fixture
def ideal(case, checkpoint):
    return masks.ideal_ratio_masks(checkpoint.model, case.truth.sources)


def drawn(case, checkpoint, ideal, **options):
    patterns, theme = patterns_of(checkpoint.model), options.pop("theme", LIGHT)
    return page_figures.masks(
        case.prediction, case.truth, ideal, patterns, case.library, theme, **options
    )


def divisions():
    rng = np.random.default_rng(2)
    shares = rng.dirichlet([1, 1, 1], 21).T
    read = Division.of("masks", 0.8 * shares, np.array([4, 0, 10]), ("d", "a", "?"), 10)
    return read, Division.of("truth", shares, np.array([4, 0, 10]), ("d", "a", "?"), 10)


def test_divisions_have_the_order_and_colours_of_the_library():
    read, _ = divisions()
    assert read.names == ("a", "d", "?")
    assert read.colours == (compound_colour(0, 10), compound_colour(4, 10), NO_COMPOUND)


@pytest.mark.parametrize("axis", [PPM_AXIS, Axis()], ids=["ppm", "position"])
def test_bars_show_the_masks_above_and_the_truth_below(slots, axis):
    read, true = divisions()
    wrong = np.zeros(21, bool)
    wrong[np.flatnonzero(slots.areas.any(axis=0))[:2]] = True
    figure = mask_maps.multiplet_shares(slots.areas, read, true, wrong, axis, LIGHT, 4)
    height = slots.areas.sum(axis=0)
    up, down = np.zeros(21), np.zeros(21)
    for bar in figure.data:
        if bar.type == "bar":
            at = [int(np.argmin(np.abs(axis.centres - x))) for x in bar.x]
            (up if bar.name.endswith("masks") else down)[at] += bar.y
    assert up == pytest.approx(height, abs=0.02 * float(height.max()))
    assert down == pytest.approx(-height, abs=0.02 * float(height.max()))
    grey = {bar.name: bar.marker.color for bar in figure.data if bar.type == "bar"}
    assert grey["no output, masks"] == NO_COMPOUND
    crosses = [note.x for note in figure.layout.annotations if note.text == "✗"]
    assert crosses == list(axis.centres[wrong])
    assert figure.layout.xaxis.range[0] > figure.layout.xaxis.range[1]


def test_shares_above_1_are_drawn_relative_to_their_sum():
    areas = np.ones((6, 21))
    read = Division("masks", np.full((3, 21), 0.9), ("a", "b", "c"), ("#000000",) * 3)
    figure = mask_maps.multiplet_shares(areas, read, None, np.zeros(21, bool), PPM_AXIS, LIGHT)
    bars = [bar for bar in figure.data if bar.type == "bar"]
    assert np.sum([bar.y for bar in bars[:3]], axis=0) == pytest.approx(np.full(21, 6.0))
    assert not len(bars[3].y)


def test_a_click_on_a_bar_names_its_position(slots, clicks):
    read, true = divisions()
    figure = mask_maps.multiplet_shares(
        slots.areas, read, true, np.zeros(21, bool), PPM_AXIS, LIGHT
    )
    (cells,) = [trace for trace in figure.data if trace.type == "heatmap"]
    found = clicks(cells)
    assert [found[0, j].position for j in range(21)] == list(reversed(range(21)))
    assert cells.x[20] == "0.25 ppm"
    assert len(as_table(figure)) == sum(len(t.y) for t in figure.data if t.type == "bar")


def test_all_figures_of_the_page_have_one_axis(case, checkpoint, ideal):
    read, true = divisions()
    figures = [
        mask_maps.multiplet_shares(case.areas, read, true, np.zeros(21, bool), PPM_AXIS, LIGHT),
        drawn(case, checkpoint, ideal),
        mask_maps.encoding_and_sums(
            case.prediction, patterns_of(checkpoint.model), PPM_AXIS, LIGHT
        ),
    ]
    for figure in figures:
        assert (figure.layout.margin.l, figure.layout.margin.r) == (46, 66)
        for axis in figure.select_xaxes():
            assert axis.domain is None
            assert not axis.automargin
        assert not any(axis.automargin for axis in figure.select_yaxes())
    # 21 positions over the whole width, in all of them.
    low, high = figures[0].layout.xaxis.range
    assert abs(low - high) == pytest.approx(21 * PPM_AXIS.width)
    for figure in figures[1:]:
        assert {axis.range for axis in figure.select_xaxes()} == {(-0.5, 20.5)}


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("sort", [True, False])
def test_mask_ideal_and_difference_are_drawn_for_each_output(
    case, checkpoint, ideal, clicks, theme, sort
):
    prediction = case.prediction
    figure = drawn(case, checkpoint, ideal, sort=sort, theme=theme)
    weak = masks.weak_cells(prediction.encoding)
    away = prediction.masks - ideal
    assert len(figure.data) == 3 * len(prediction.outputs)
    for i, trace in enumerate(figure.data):
        m = i // 3
        expected = (prediction.masks[m], ideal[m], away[m])[i % 3]
        for (row, column), click in clicks(trace).items():
            assert click.output == prediction.outputs[m]
            value = expected[click.row, click.position]
            value = np.nan if weak[click.row, click.position] else value
            assert trace.z[row, column] == pytest.approx(value, nan_ok=True, abs=1e-6)
    scale = figure.layout.coloraxis2
    assert (scale.cmin, scale.cmax) == (-1, 1)
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1)
    assert figure.layout.coloraxis.colorbar.title.text == "mask"


def test_only_large_differences_can_be_drawn(slots, trained):
    ideal = masks.ideal_ratio_masks(trained.model, slots.truth.sources)
    figure = drawn(slots, trained, ideal, only_wrong=True)
    away = masks.disagreements(slots.prediction.masks, ideal, slots.prediction.encoding)
    for m, trace in enumerate(figure.data[2::3]):
        shown = np.abs(np.asarray(trace.z)[np.isfinite(trace.z)])
        assert len(shown) == (np.abs(away[m]) > masks.DISAGREES).sum() > 0
        assert shown.min() > masks.DISAGREES


def test_the_text_under_the_pointer_is_compound_ppm_filter_and_value(slots, trained):
    figure = drawn(slots, trained, None)
    first = figure.data[0]
    patterns = patterns_of(trained.model)
    text = first.hovertemplate.replace("%{x}", first.x[3]).replace("%{y}", first.y[5])
    named = re.escape(output_names(slots.prediction, slots.library.names)[0])
    f = first.meta["ids"][5]
    at = "position 17" if slots.library.axis.unit == "position" else "8.75 ppm"
    assert re.fullmatch(
        rf"{named} · {at} · filter {f} \({patterns[f].name}\) · mask %{{z:.3g}}<extra></extra>",
        text,
    )
    assert len(figure.data) == 3  # without the truth, masks only


def test_the_cell_is_framed_in_the_maps_of_its_output(slots, trained, frames):
    ideal = masks.ideal_ratio_masks(trained.model, slots.truth.sources)
    figure = drawn(slots, trained, ideal, cell=Cell(1, 9, 6))
    framed = [i for i in range(9) if frames(figure, f"y{i + 1}" if i else "y")]
    assert framed == [3, 4, 5]
    ids = figure.data[3].meta["ids"]
    ((left, right, top, bottom),) = frames(figure, "y4")
    assert (left + right) / 2 == 20 - 6
    assert (top + bottom) / 2 == ids.index(9)


def test_rows_are_grouped_by_where_filters_respond(slots, trained):
    patterns = patterns_of(trained.model)
    figure = drawn(slots, trained, None)
    order = figure.data[0].meta["ids"]
    axis, start = figure.layout.yaxis, 0
    sizes = {"own": 0, "left": 0, "right": 0}
    for pattern in patterns:
        sizes[mask_maps.GROUPS[pattern.place]] += 1
    assert axis.ticktext == tuple(name for name, size in sizes.items() if size)
    for name, middle in zip(axis.ticktext, axis.tickvals, strict=True):
        members = order[start : start + sizes[name]]
        assert {mask_maps.GROUPS[patterns[i].place] for i in members} == {name}
        assert middle == pytest.approx(start + (sizes[name] - 1) / 2)
        start += sizes[name]


def test_sums_are_drawn_below_the_encoding(case, checkpoint, clicks):
    prediction, patterns = case.prediction, patterns_of(checkpoint.model)
    figure = mask_maps.encoding_and_sums(prediction, patterns, PPM_AXIS, LIGHT, show_weak=True)
    total, second = prediction.masks.sum(axis=0), masks.overlap(prediction.masks)
    strength = np.abs(prediction.encoding) / np.abs(prediction.encoding).max()
    for trace, expected in zip(figure.data, (strength, total, second), strict=True):
        for (i, j), click in clicks(trace).items():
            assert click.output is None
            assert trace.z[i, j] == pytest.approx(expected[click.row, click.position], abs=1e-5)
