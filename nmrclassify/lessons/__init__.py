"""Guided lessons. The app computes every figure in them, and checks every claim, when they run."""

from nmrclassify.lessons import (
    dilation,
    double_softmax,
    ideal_masks,
    least_squares,
    masks,
    mixture,
    number_of_compounds,
    output_order,
    overfitting,
    reported_accuracy,
    reshaped_data,
    shifted_peaks,
)
from nmrclassify.lessons.lesson import Lesson

# In teaching order. To add a lesson, write a file like `mixture.py` and list it here.
LESSONS: dict[str, Lesson] = {
    module.LESSON.name: module.LESSON
    for module in (
        mixture,
        masks,
        output_order,
        double_softmax,
        reshaped_data,
        overfitting,
        dilation,
        ideal_masks,
        number_of_compounds,
        shifted_peaks,
        least_squares,
        reported_accuracy,
    )
}
