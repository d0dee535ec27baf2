import json

import numpy as np
import pytest

from nmrclassify.evaluation import peak_threshold
from nmrclassify.evaluation.identify import Detector
from nmrclassify.evaluation.peak_metrics import Tally
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.plots import spectrum
from nmrclassify.plots.spectrum_layers import MAX_POINTS, spectrum_layers
from nmrclassify.plots.style import Theme

LIGHT, DARK = Theme(False), Theme(True)


@pytest.fixture(scope="module")
def case():
    compounds = synthetic_compounds(SyntheticConfig(n_compounds=60), np.random.default_rng(5))
    mixture = draw_mixture(
        compounds, PeakMixtureConfig(n_low=12, n_high=12), np.random.default_rng(6)
    )
    found = Detector(compounds).identify(mixture.peaks)
    return found, mixture, int(mixture.present[0])


def points(figure) -> int:
    return max(len(trace.y) for trace in figure.data)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return float(
        np.dot(
            [0.2126, 0.7152, 0.0722],
            [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts],
        )
    )


@pytest.mark.parametrize(("theme", "page"), [(LIGHT, "#ffffff"), (DARK, "#0e1117")])
def test_what_is_coloured_stands_out_from_the_page_and_from_the_mixture(theme, page):
    colours = spectrum.colours(theme)
    for key, other in (
        ("chosen", page),
        ("mixture", page),
        ("explained", page),
        ("truth", page),
        ("chosen", colours["body"]),
    ):
        high, low = sorted((luminance(colours[key]), luminance(other)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= (3 if other == page else 2.5), key


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize(("low", "high"), [(-1, 12), (3, 4), (3.0, 3.02)])
def test_the_spectrum_decreases_to_the_right_and_stays_small(case, theme, low, high):
    found, mixture, compound = case
    shown = spectrum_layers(found, compound, mixture)
    detail = spectrum.detail(shown, low, high, "a compound", theme)
    assert detail.layout.xaxis.range == (high, low)
    assert [trace.name for trace in detail.data] == [
        "the mixture",
        "a compound",
        "all named compounds",
        "its true spectrum",
    ]
    whole = spectrum.overview(shown, np.array([3.0, 4.0]), low, high, theme)
    assert whole.layout.xaxis.range == (12.0, -1.0)
    assert whole.layout.dragmode == "select"
    assert max(points(detail), points(whole)) <= MAX_POINTS
    assert len(json.dumps(detail.to_plotly_json(), default=lambda a: a.tolist())) < 400_000
    top = np.asarray(detail.data[0].y)
    assert all((np.asarray(trace.y) <= top + 1e-6 * top.max()).all() for trace in detail.data[1:3])


def test_without_the_truth_there_is_no_line_for_it(case):
    found, _, compound = case
    assert len(spectrum.detail(spectrum_layers(found, compound), 1, 2, "x", LIGHT).data) == 3


def test_names_are_not_markup(case):
    found, _, compound = case
    figure = spectrum.detail(spectrum_layers(found, compound), 1, 2, "a<b>b</b>&amp;", LIGHT)
    assert figure.data[1].name == "a&lt;b&gt;b&lt;/b&gt;&amp;amp;"


def test_the_frame_is_seen_however_narrow(case):
    found, _, compound = case
    frame = spectrum.overview(
        spectrum_layers(found, compound), np.zeros(0), 3.0, 3.02, LIGHT
    ).layout.shapes[0]
    assert frame.x1 - frame.x0 > 0.05
    assert (frame.x0 + frame.x1) / 2 == pytest.approx(3.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_each_multiplet_has_a_panel_up_to_a_limit(case, n, theme):
    found, _, compound = case
    multiplets = np.arange(n)
    figure = spectrum.neighbourhoods(found, compound, multiplets, theme)
    shown = min(n, spectrum.N_PANELS)
    assert len(figure.data) == 3 * shown
    assert len(figure.layout.annotations) == shown
    assert sum(bool(trace.showlegend) for trace in figure.data) == 3
    assert points(figure) <= MAX_POINTS
    for k in range(1, shown + 1):
        axis = figure.layout[f"xaxis{k if k > 1 else ''}"]
        assert axis.range[0] > axis.range[1]
        assert 0 <= axis.domain[0] < axis.domain[1] <= 1
        domain = figure.layout[f"yaxis{k if k > 1 else ''}"].domain
        assert 0 <= domain[0] < domain[1] <= 1


def test_the_coloured_part_of_a_stick_is_no_longer_than_the_stick(case):
    found, _, _ = case
    for compound in found.named[:5]:
        first = found.compounds.first_multiplet
        figure = spectrum.neighbourhoods(
            found, int(compound), np.arange(first[compound], first[compound + 1]), LIGHT
        )
        for all_peaks, own in zip(figure.data[::3], figure.data[1::3], strict=True):
            heights = dict(
                zip(np.asarray(all_peaks.x)[1::3], np.asarray(all_peaks.y)[1::3], strict=True)
            )
            assert all(
                y <= heights[x] * (1 + 1e-6)
                for x, y in zip(np.asarray(own.x)[1::3], np.asarray(own.y)[1::3], strict=True)
            )


def test_the_curve_and_its_point(case):
    found, mixture, _ = case
    curve = peak_threshold.precision_recall(found, mixture.present)
    figure = spectrum.precision_recall(curve, 0.5, Tally(7, 8, 10), DARK)
    assert figure.data[1].x == (0.7,)
    assert figure.data[1].y == (0.875,)
    assert figure.data[1].text == (" 0.50 ",)
    assert points(figure) <= MAX_POINTS
