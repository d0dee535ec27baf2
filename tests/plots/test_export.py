from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import pytest

from nmrclassify.evaluation import interpretation
from nmrclassify.evaluation.robustness import measured
from nmrclassify.nmr.axis import Axis
from nmrclassify.plots import activations, classes, curves, maps
from nmrclassify.plots.export import as_table
from nmrclassify.plots.map_rows import MapRow, stack
from nmrclassify.plots.outputs import output_names
from nmrclassify.plots.style import ColourScale, Theme

THEME = Theme()


def part(table, i):
    """Return the rows of trace number `i`, from 1."""
    return table[table["part"].map(lambda name: name.split(":")[0]) == str(i)]


@pytest.mark.parametrize("root", [False, True])
def test_the_table_of_a_map_has_its_unit_and_no_blanks_or_gaps(root):
    rng, axis = np.random.default_rng(0), Axis(7, 0.0, 7.0)
    maps = rng.normal(0, 3, (2, 4, 7))
    maps[rng.random(maps.shape) < 0.3] = np.nan
    maps[0, 1, 2] = 0.0
    table = as_table(
        stack(
            [MapRow("<b>Some</b> words", maps, ColourScale("area", -9, 9, "Viridis", root))],
            axis,
            THEME,
        )
    )
    assert set(table["part"]) == {"1: Some words"}
    assert len(table) == np.isfinite(maps).sum()
    assert table.columns.tolist() == ["part", "row", "column", "value"]
    for row in table.to_dict("records"):
        output, position = (int(word.split(" ")[1]) for word in row["column"].split(" · "))
        assert row["value"] == pytest.approx(
            maps[output - 1, int(row["row"]) - 1, position], rel=1e-6
        )
    assert not table["column"].str.contains("gap").any()


def test_the_table_of_the_overview_has_every_map(slots):
    areas, prediction, truth, library = slots
    figure = maps.overview(areas, prediction, library.names, library.axis, THEME, truth)
    table = as_table(figure)
    assert [name.split(":")[0] for name in dict.fromkeys(table["part"])] == [
        str(i + 1) for i in range(len(figure.data))
    ]
    mixture, masks, separated = (part(table, i) for i in (1, 2, 3))
    assert mixture["value"].sum() == pytest.approx(3 * areas.sum(), rel=1e-5)
    assert len(mixture) == 3 * areas.size
    assert separated["value"].sum() == pytest.approx(prediction.multiplets.sum(), rel=1e-4)
    assert (separated["value"] < 0).any()
    strong = ~(np.abs(prediction.encoding) < 0.02 * np.abs(prediction.encoding).max())
    assert len(masks) == 3 * strong.sum()
    assert masks["value"].sum() == pytest.approx(prediction.masks[:, strong].sum(), rel=1e-5)
    # Filters are sorted in the figure; the table has their numbers.
    called = output_names(prediction, library.names)
    for row in masks.sample(40, random_state=0).to_dict("records"):
        name, position = row["column"].split(" · position ")
        output = called.index(name)
        assert row["value"] == pytest.approx(
            prediction.masks[output, int(row["row"]), int(position)]
        )
    bars = table[table["part"].str.match(r"[567]")]
    assert bars["x"].to_numpy() == pytest.approx(prediction.probabilities.ravel())
    assert bars["y"].tolist() == 3 * list(library.names)


def test_names_of_rows_and_columns_are_kept(slots):
    _, prediction, truth, library = slots
    table = as_table(classes.class_heatmap(prediction, library.names, THEME, truth))
    assert len(table) == 30
    called = output_names(prediction, library.names)
    for row in table.to_dict("records"):
        place = called.index(row["row"]), library.names.index(row["column"])
        assert row["value"] == prediction.probabilities[place]


def test_the_table_of_a_traced_cell_has_its_units(trained, quick):
    areas = quick.test_mixtures().areas[0]
    cell = interpretation.Cell(0, 3, int(areas.sum(axis=0).argmax()))
    trace = interpretation.trace_cell(trained.model, areas, cell)
    figure = activations.cell_trace(trace, quick.library.names, "slots", quick.library.axis, THEME)
    table = as_table(figure)
    panels = [part(table, i + 1) for i, drawn in enumerate(figure.data) if drawn.type == "heatmap"]
    for panel, values in zip(
        panels, (trace.window, trace.encoder, trace.added, trace.multiplets), strict=True
    ):
        assert panel["value"].to_numpy() == pytest.approx(values[:, ::-1].ravel(), abs=1e-6)


def test_the_table_of_costs_has_costs_and_not_logarithms(slots):
    table = as_table(classes.cost_matrix(slots.truth, ["x", "y", "z"], ["a", "b", "c"], 2.0, THEME))
    cost = slots.truth.classification + 2.0 * slots.truth.reconstruction
    assert table["value"].to_numpy() == pytest.approx(cost.ravel(), rel=1e-4)


def test_a_line_without_x_counts_from_its_start():
    figure = go.Figure(
        {
            "data": [
                {"type": "scatter", "x0": 2.5, "dx": 0.25, "y": [1.0, 4.0, 9.0], "name": "line"},
                {"type": "scatter", "y": [7.0, 8.0]},
            ]
        }
    )
    table = as_table(figure)
    assert part(table, 1)["x"].tolist() == [2.5, 2.75, 3.0]
    assert part(table, 1)["y"].tolist() == [1, 4, 9]
    assert set(part(table, 1)["part"]) == {"1: line"}
    assert part(table, 2)["x"].tolist() == [0, 1]
    assert set(part(table, 2)["part"]) == {"2"}


def test_a_line_may_start_at_zero():
    table = as_table(
        go.Figure({"data": [{"type": "scatter", "x0": 0, "dx": -0.5, "y": [1.0, 2.0, 3.0]}]})
    )
    assert table["x"].tolist() == [0, -0.5, -1]


def test_the_table_has_both_sides_of_error_bars():
    data = [
        {
            "type": "scatter",
            "x": [1, 2],
            "y": [5.0, 6.0],
            "error_y": {"array": [0.1, 0.2], "arrayminus": [0.3, 0.4], "symmetric": False},
        },
        {"type": "scatter", "x": [1, 2], "y": [5.0, 6.0], "error_y": {"array": [0.5, 0.6]}},
        {"type": "scatter", "x": [1], "y": [2.0]},
    ]
    table = as_table(go.Figure({"data": data}))
    assert part(table, 1)[["error_low", "error_high"]].to_numpy() == pytest.approx(
        np.array([[0.3, 0.1], [0.4, 0.2]])
    )
    assert part(table, 2)[["error_low", "error_high"]].to_numpy() == pytest.approx(
        np.array([[0.5, 0.5], [0.6, 0.6]])
    )
    assert part(table, 3)[["error_low", "error_high"]].isna().all(axis=None)
    assert "error_low" not in as_table(go.Figure({"data": data[2:]}))


def test_the_table_of_robustness_has_the_intervals():
    rows = curves.over_seeds(measured().query("sweep == 'noise'"))
    table = as_table(curves.robustness(rows, "noise", THEME))
    assert len(table) == len(rows)
    for row in table.to_dict("records"):
        method = row["part"].split(": ")[1]
        (expected,) = rows[(rows["method"] == method) & (rows["value"] == row["x"])].to_dict(
            "records"
        )
        assert (
            row["y"],
            row["y"] - row["error_low"],
            row["y"] + row["error_high"],
        ) == pytest.approx((expected["mean"], expected["low"], expected["high"]))


def test_the_table_has_a_row_for_every_value_drawn(slots):
    areas, prediction, truth, library = slots
    for figure in (
        maps.line_spectrum(areas, library.axis, THEME, truth.sources, ("a", "b", "c")),
        classes.class_bars(prediction, library.names, THEME),
        maps.library_map(library, THEME),
    ):
        table = as_table(figure)
        drawn = sum(
            np.isfinite(np.asarray(t.z, float)).sum() if t.type == "heatmap" else len(t.y)
            for t in figure.data
        )
        assert len(table) == drawn
        assert not table["part"].isna().any()
    assert as_table(go.Figure()).empty


def test_a_blank_map_is_an_empty_table(slots):
    _, prediction, _, library = slots
    blank = replace(prediction, masks=np.full_like(prediction.masks, np.nan))
    assert as_table(maps.mask_maps([("m", blank.masks)], library.axis, THEME)).empty
