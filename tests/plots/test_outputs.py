from dataclasses import replace

import numpy as np

from nmrclassify.plots.classes import headings, short, unshown_headings
from nmrclassify.plots.outputs import output_colours, output_names, true_names
from nmrclassify.plots.style import NO_COMPOUND, compound_colour


def test_outputs_are_called_and_coloured_after_their_compounds(slots):
    prediction, names = slots.prediction, slots.library.names
    different = replace(prediction, named=np.array([7, 2, 10]))
    assert output_names(different, names) == ("compound 7", "compound 2", "nothing")
    assert output_colours(different, names) == (
        compound_colour(7, 10),
        compound_colour(2, 10),
        NO_COMPOUND,
    )


def test_two_outputs_of_one_compound_have_different_names(slots):
    prediction = replace(slots.prediction, named=np.array([4, 1, 4]))
    called = output_names(prediction, slots.library.names)
    assert called == ("compound 4 (output 1)", "compound 1", "compound 4 (output 3)")
    colours = output_colours(prediction, slots.library.names)
    assert colours[0] == colours[2] != colours[1]


def test_outputs_of_an_untrained_network_have_numbers_and_no_verdict(slots, queries):
    names = slots.library.names
    prediction = replace(slots.prediction, trained=False)
    assert output_names(prediction, names) == ("output 1", "output 2", "output 3")
    assert headings(prediction, names, slots.truth) == ("output 1", "output 2", "output 3")
    assert output_colours(prediction, names) == (NO_COMPOUND,) * 3
    # An output of queries stands for its compound before any training.
    prediction, truth = replace(queries.prediction, trained=False), queries.truth
    named = tuple(prediction.class_names(names)[k] for k in prediction.named)
    assert headings(prediction, names, truth) == tuple(short(named))
    absent = replace(truth, unshown_labels=np.array([5, 10]))
    assert unshown_headings(prediction, names, absent) == (names[5], "unknown")


def test_sources_without_an_output_follow(slots):
    names = slots.library.names
    truth = replace(slots.truth, labels=np.array([1, 1, 10]), unshown_labels=np.array([5]))
    assert true_names(truth, names) == (
        "compound 1 (1)",
        "compound 1 (2)",
        "unknown",
        "compound 5",
    )
    assert output_colours(slots.prediction, names, truth)[3:] == (compound_colour(5, 10),)
