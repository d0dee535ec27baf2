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
