from itertools import combinations

import numpy as np
import pytest

from nmrclassify.plots.style import (
    COMPOUND_COLOURS,
    NO_COMPOUND,
    OUTPUT_COLOURS,
    ColourScale,
    Theme,
    compound_colour,
    text_on,
)


def contrast_ratio(first: str, second: str) -> float:
    """As defined in WCAG 2.1."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_enough_contrast():
    assert all(contrast_ratio("#ffffff", colour) >= 4.5 for colour in OUTPUT_COLOURS)
    assert contrast_ratio(Theme().text, "#ffffff") > 7
    assert contrast_ratio(Theme(dark=True).text, "#0e1117") > 7


def test_the_square_root_scale_has_labels_of_areas():
    bar = ColourScale("area", 0.0, 4.0, "Viridis", root=True).coloraxis(Theme(), 0.5, 1.0)
    assert bar["cmax"] == 2.0
    assert bar["colorbar"]["title"]["text"].endswith("(square-root scale)")
    ticks = bar["colorbar"]
    assert len(ticks["tickvals"]) > 2
    for place, text in zip(ticks["tickvals"], ticks["ticktext"], strict=True):
        assert place**2 == pytest.approx(float(text))


def test_the_scale_of_differences_has_labels_at_both_ends():
    bar = ColourScale("difference", -4.0, 4.0, "Viridis", root=True).coloraxis(Theme(), 0.5, 1.0)
    assert (bar["cmin"], bar["cmax"]) == (-2.0, 2.0)
    values = [float(text) for text in bar["colorbar"]["ticktext"]]
    assert len(values) == 3
    assert values[0] == -values[2]
    assert values[1] == 0
    places = np.array(bar["colorbar"]["tickvals"])
    assert np.sign(places) * places**2 == pytest.approx(values)


def seen_as(colour: str, vision: np.ndarray) -> np.ndarray:
    """Return a colour's coordinates in B. Ottosson's Oklab, as someone with this vision sees it."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    light = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    to_cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    to_lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    light = np.clip(vision @ light, 0, None)
    return np.array(to_lab) @ np.cbrt(np.array(to_cones) @ light)


# G. M. Machado et al., IEEE TVCG 15(6), 2009, table 1: severity 1.0.
VISIONS = {
    "full": np.eye(3),
    "without red cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "without green cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


@pytest.mark.parametrize("vision", VISIONS)
def test_ten_compounds_have_ten_colours_that_differ(vision):
    seen = [seen_as(colour, VISIONS[vision]) for colour in COMPOUND_COLOURS]
    assert len(seen) == 10
    least = 0.14 if vision == "full" else 0.09
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > least


def test_compounds_are_visible_on_both_pages_and_carry_text():
    for colour in (*COMPOUND_COLOURS, NO_COMPOUND):
        assert contrast_ratio(colour, "#ffffff") > 2
        assert contrast_ratio(colour, "#0e1117") > 2
        assert contrast_ratio(colour, text_on(colour)) >= 4.5


def test_a_compound_keeps_its_colour_and_other_classes_are_grey():
    assert compound_colour(3, 10) == compound_colour(3, 40) == compound_colour(13, 40)
    assert compound_colour(10, 10) == NO_COMPOUND
    assert NO_COMPOUND not in COMPOUND_COLOURS
