import numpy as np
import pytest

from nmrclassify.plots.style import OUTPUT_COLOURS, ColourScale, Theme


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
