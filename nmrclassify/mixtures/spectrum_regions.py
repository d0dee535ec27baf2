"""Regions of a spectrum as text, such as "4.58_4.92~-0.2_0.2": what a link carries."""

from nmrclassify.files import quoted

MAX_REGIONS = 8
PPM = (-20.0, 40.0)

Regions = tuple[tuple[float, float], ...]


def from_text(text: str) -> Regions:
    """Return the regions in ppm that a text states, each with the lower end first.

    A region without width cuts nothing: it stands for one that is switched off.

    Raises
    ------
    ValueError
        If it states no such regions.
    """
    try:
        regions = tuple((float(low), float(high)) for low, high in _pairs(text))
    except ValueError:
        regions = ()
    good = all(PPM[0] <= low <= high <= PPM[1] for low, high in regions)
    if not regions or not good or len(regions) > MAX_REGIONS:
        raise ValueError(
            f"expected 1 to {MAX_REGIONS} regions in ppm such as 4.58_4.92~-0.2_0.2, not"
            f" {quoted(text[:40])}"
        )
    return regions


def _pairs(text: str) -> list[list[str]]:
    return [part.split("_") for part in text.split("~")]


def to_text(regions: Regions) -> str:
    """Return the text that `from_text` reads."""
    return "~".join(f"{low:g}_{high:g}" for low, high in regions)


def cut(regions: Regions, low: float, high: float) -> Regions:
    """Return the regions with one from `low` to `high`, in the place of those that it touches.

    Beside `MAX_REGIONS` others it takes the place of the nearest one.
    """
    new = _within_bounds(low, high)
    touched = [i for i, (a, b) in enumerate(regions) if a <= new[1] and b >= new[0]]
    if not touched and len(regions) >= MAX_REGIONS:
        middle = sum(new) / 2
        touched = [min(range(len(regions)), key=lambda i: abs(sum(regions[i]) / 2 - middle))]
    if not touched:
        return (*regions, new)
    kept = (new if i == touched[0] else r for i, r in enumerate(regions) if i not in touched[1:])
    return tuple(kept)


def keep(regions: Regions, low: float, high: float) -> Regions:
    """Return the regions without the part from `low` to `high`.

    The last one is left without width, so that there are regions to state. Where this would make
    more than `MAX_REGIONS`, nothing changes.
    """
    low, high = _within_bounds(low, high)
    rest = list[tuple[float, float]]()
    for a, b in regions:
        pieces = [(a, min(b, low)), (max(a, high), b)] if a < high and b > low else [(a, b)]
        rest += [(left, right) for left, right in pieces if left < right or left == a == b]
    if len(rest) > MAX_REGIONS:
        return regions
    return tuple(rest) or ((low, low),)


def _within_bounds(low: float, high: float) -> tuple[float, float]:
    first, last = sorted(round(min(max(value, PPM[0]), PPM[1]), 2) for value in (low, high))
    return first, last
