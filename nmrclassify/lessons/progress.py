"""Progress of work that has several parts."""

from collections.abc import Callable

from nmrclassify.lessons.lesson import Report


def part_of(report: Report, start: float, end: float) -> Report:
    """Return a report for one part of the work: its 0 to 1 is `start` to `end` of the whole."""
    return lambda share, words: report(start + (end - start) * share, words)


def report_steps(report: Report, total: int, title: str) -> Callable[[int], None]:
    """Return a function that reports the number of steps done as a share of `total`."""
    return lambda done: report(done / total, f"{title}: step {done} of {total}")
