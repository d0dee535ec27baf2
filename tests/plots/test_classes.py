import numpy as np
import pytest

from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.evaluation.prediction import match_truth
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import build
from nmrclassify.networks.prediction import percent
from nmrclassify.plots import classes, maps
from nmrclassify.plots.style import Theme
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import model_for

THEME = Theme()


def framed(figure):
    """Return the framed cells of a matrix as (row, column)."""
    return [(round(s.y0 + 0.5), round(s.x0 + 0.5)) for s in figure.layout.shapes]


def test_numbers_as_names_stay_names(slots):
    names = tuple(str(100 + i) for i in range(10))
    for figure in (
        classes.class_bars(slots.prediction, names, THEME),
        classes.class_heatmap(slots.prediction, names, THEME, slots.truth),
    ):
        assert figure.layout.xaxis.type == "category"
        assert list(figure.data[0].x) == list(names)


def test_the_truth_is_framed_among_the_probabilities(queries):
    _, prediction, truth, library = queries
    figure = classes.class_heatmap(prediction, library.names, THEME, truth)
    (trace,) = figure.data
    assert list(trace.x) == [*library.names, "unknown"]
    assert list(trace.y) == ["probability"]
    assert np.array_equal(trace.z, prediction.probabilities)
    assert framed(figure) == [(0, k) for k in truth.present]
    assert not framed(classes.class_heatmap(prediction, library.names, THEME))
    (bars,) = classes.class_bars(prediction, library.names, THEME).data
    assert list(bars.x) == [*library.names, "unknown"]
    assert list(bars.y) == list(prediction.probabilities[0])


@pytest.mark.parametrize(("case", "last"), [("slots", "nothing"), ("queries", "something unknown")])
def test_the_description_in_words_names_each_output(case, last, request):
    _, prediction, _, library = request.getfixturevalue(case)
    named = [(*library.names, last)[k] for k in prediction.named]
    assert classes.alt_text(prediction, library.names).split("; ") == [
        f"{name} {percent(probability)}"
        if named.count(name) == 1
        else f"{name} (output {output + 1}) {percent(probability)}"
        for name, output, probability in zip(
            named, prediction.outputs, prediction.confidence, strict=True
        )
    ]


def test_nothing_is_a_class_where_the_number_varies():
    data = build("quick", 3, MixtureConfig(number_varies=True))
    mixtures, model = data.test_mixtures(), model_for(data, 3, "slots")
    row = int(np.flatnonzero((mixtures.labels == 10).any(axis=1))[0])
    areas, names = mixtures.areas[row], data.library.names
    prediction = model.predict(areas)
    truth = match_truth(prediction, areas, mixtures.sources[row], mixtures.labels[row])
    figure = maps.overview(areas, prediction, names, data.library.axis, THEME, truth)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    assert len(bars) == 3
    assert all(list(bar.y) == [*names, "nothing"] for bar in bars)
    figure = classes.class_heatmap(prediction, names, THEME, truth)
    assert framed(figure) == list(enumerate(truth.labels))


def test_a_confusion_matrix_has_room_for_missed_and_false_compounds(learned, quick):
    augmented = recipe("queries").augmented(quick, any_number=True)
    counts = evaluate(learned.model, quick.training_batch(0, 64, augmented)).confusion()
    assert counts.shape == (11, 11)
    names = (*quick.library.names, "nothing")
    (trace,) = classes.confusion(counts, names, THEME).data
    assert np.array_equal(trace.z, counts)
    assert list(trace.x) == list(trace.y) == list(names)
    assert [[int(v or 0) for v in row] for row in trace.text] == counts.tolist()


def test_frames_mark_the_chosen_assignment(slots):
    figure = classes.cost_matrix(slots.truth, ["x", "y", "z"], ["a", "b", "c"], 1.0, THEME)
    assert list(figure.data[0].y) == ["x", "y", "z"]
    assert framed(figure) == list(enumerate(slots.truth.pairing))


def test_queries_have_no_costs_to_draw(queries):
    with pytest.raises(ValueError, match="no costs of pairs"):
        classes.cost_matrix(queries.truth, ["x"], ["a", "b", "c"], 1.0, THEME)
