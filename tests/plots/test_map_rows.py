import numpy as np
import pytest

from nmrclassify.evaluation.interpretation import Cell
from nmrclassify.nmr.axis import PPM_AXIS, Axis
from nmrclassify.plots.map_rows import MapRow, stack
from nmrclassify.plots.style import HIGHLIGHT, ColourScale, Theme

SCALE = ColourScale("area", 0, 7, "Viridis")


def drawn(maps, **options):
    return stack([MapRow("", maps, SCALE, **options)], PPM_AXIS, Theme())


def test_positions_decrease_to_the_right():
    maps = np.zeros((2, 6, 21))
    maps[0, 0, 3], maps[1, 0, 20] = 5.0, 7.0
    (trace,) = drawn(maps).data
    row = np.asarray(trace.z)[0]
    assert row[21 - 1 - 3] == 5.0
    assert row[22] == 7.0
    assert np.isnan(row[21])
    assert trace.x[17] == "output 1 · 1.75 ppm"


def test_ticks_are_at_round_ppm_values():
    axis = drawn(np.zeros((3, 6, 21))).layout.xaxis
    assert len(axis.tickvals) == 9
    for place, text in zip(axis.tickvals, axis.ticktext, strict=True):
        column = place % 22  # edges, counted from the left end at 10.5 ppm
        assert 10.5 - 0.5 * (column + 0.5) == pytest.approx(float(text))


def test_the_toy_axis_counts_positions():
    assert Axis().title == "position"
    assert Axis().centres.tolist() == list(range(21))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_headings_of_up_to_four_maps_stand_at_one_height(n):
    texts = ("creatinine ✓", "lactate → untrained", "compound 10 ✗", "valine", "a", "b")[:n]
    figure = drawn(np.zeros((n, 6, 21)), headings=texts)
    notes = [note for note in figure.layout.annotations if note.bgcolor]
    assert [n.text.replace("<br>", " ").replace("\xa0", " ") for n in notes] == list(texts)
    assert len({note.yshift for note in notes}) == (1 if n <= 4 else 2)
    # At 390 pixels, a figure is 358 wide, 126 of it margins; a letter has some 6 pixels.
    room = (358 - 126) / n * (1 if n <= 4 else 2)
    lines = [line for note in notes for line in note.text.split("<br>")]
    assert all(6 * len(line) <= max(room, 6 * len("creatinine ✓")) for line in lines)
    # Titles stand above the tallest heading, and the margin has room for both.
    assert figure.layout.margin.t >= max(n.yshift + 16 * (1 + n.text.count("<br>")) for n in notes)


def test_a_mark_frames_the_cell_among_filters_and_the_column_elsewhere(frames):
    cell, ids, names = Cell(1, 9, 0), np.array([7, 5, 9, 2]), ("a", "b", "c", "d")
    maps = np.zeros((2, 4, 21))
    for figure, (top, bottom) in (
        (drawn(maps, mark=cell, row_name="filter", ids=ids), (1.5, 2.5)),
        (drawn(maps, mark=Cell(1, 2, 0), row_name="filter"), (1.5, 2.5)),
        (drawn(maps, mark=cell, row_name="filter"), (-0.5, 3.5)),  # there is no filter 9
        (drawn(maps, mark=0, row_name="filter", ids=ids), (-0.5, 3.5)),
        (drawn(maps, mark=cell, row_name="compound", names=names), (-0.5, 3.5)),
        (drawn(maps, mark=cell), (0.5, 4.5)),  # peaks count from 1
        (drawn(maps, mark=0), (0.5, 4.5)),
    ):
        assert frames(figure) == [(19.5, 20.5, top, bottom), (41.5, 42.5, top, bottom)]
    assert frames(drawn(maps, mark=3)) == [(16.5, 17.5, 0.5, 4.5), (38.5, 39.5, 0.5, 4.5)]
    assert not frames(drawn(maps))


def test_a_frame_is_visible_on_the_darkest_and_the_brightest_cell():
    shapes = drawn(np.zeros((2, 4, 21)), mark=0).layout.shapes
    lines = [(shape.line.color, shape.line.width) for shape in shapes if shape.line.width]
    assert lines == 2 * [("#000000", 4), (HIGHLIGHT, 2)]
