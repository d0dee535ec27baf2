"""Figures and names in a lesson's sentences."""


def share(value: float) -> str:
    """Return a share for reading, in whole per cent."""
    return f"{100 * value:.0f} %"


def several(values: list[float]) -> str:
    """Return shares for reading, as "81, 74 and 66 %"."""
    numbers = [f"{100 * value:.0f}" for value in values]
    return (
        f"{', '.join(numbers[:-1])} and {numbers[-1]} %" if len(numbers) > 1 else f"{numbers[0]} %"
    )


def between(interval: tuple[float, float]) -> str:
    """Return an interval of differences in points of a hundred, as "-3 to 12 points"."""
    low, high = (f"{100 * value + 0.0:.0f}" for value in interval)
    return f"{low} to {high} points"
