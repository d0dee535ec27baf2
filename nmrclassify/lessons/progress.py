"""Reporting from work of several parts, so that it can be stopped and what is left be estimated."""

from collections.abc import Callable

from nmrclassify.lessons.lesson import Report


def part(report: Report, start: float, end: float) -> Report:
    """Return a report for a part of the work, whose shares from 0 to 1 are the whole's from `start` to `end`."""
    return lambda share, words: report(start + (end - start) * share, words)


def counted(report: Report, total: int, what: str) -> Callable[[int], None]:
    """Return a function of the steps taken out of `total`, which reports them as a share."""
    return lambda done: report(done / total, f"{what}: step {done} of {total}")
