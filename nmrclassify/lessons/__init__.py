"""Guided lessons: each claim in them is computed by the package's own code when the lesson runs."""

from nmrclassify.lessons import (
    accuracy,
    classical,
    dilation,
    mask,
    memory,
    mixture,
    number,
    order,
    overlap,
    reshape,
    shifts,
    softmax,
)
from nmrclassify.lessons.lesson import Claim, Facts, Lesson, Report, Step

# In teaching order.
LESSONS: dict[str, Lesson] = {
    module.LESSON.name: module.LESSON
    for module in (
        mixture,
        mask,
        order,
        softmax,
        reshape,
        memory,
        dilation,
        overlap,
        number,
        shifts,
        classical,
        accuracy,
    )
}

__all__ = ["LESSONS", "Claim", "Facts", "Lesson", "Report", "Step", "lesson"]


def lesson(name: str) -> Lesson:
    """Return the lesson called `name`.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in LESSONS:
        raise ValueError(f"lesson is {name!r}; expected one of {', '.join(LESSONS)}")
    return LESSONS[name]
