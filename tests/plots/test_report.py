import re
from html.parser import HTMLParser

import numpy as np
import pytest

from nmrclassify.evaluation.concentrations import KnownConcentration
from nmrclassify.evaluation.identify import Detector
from nmrclassify.mixtures.peak_files import read_sample
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.plots.report import report

VOID = {"meta"}


class Balance(HTMLParser):
    """Checks that each element ends."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def library():
    return common_metabolites()


def made(content, library):
    sample = read_sample(content, library=library)
    return sample, Detector(library, axis=sample.peaks.axis).identify(sample.peaks)


def test_a_report_holds_names_steps_and_settings_and_loads_nothing(bruker_zip, library):
    sample, prediction = made(bruker_zip, library)
    text = report(prediction, sample, "<mine> & co", "128 metabolites")
    for k in prediction.named:
        assert f"<td>{library.names[k]}" in text
    for step in sample.processed.steps:
        assert step.sentence.split("'")[0][:40] in text
    assert "&lt;mine&gt; &amp; co" in text and "<mine>" not in text
    assert " · pH 7.4 (assumed) · " in text
    assert "noesypr1d" in text and "&quot;baseline&quot;: true" in text
    assert "nmrclassify 0" in text and "PyTorch" in text
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", text)
    assert len(text) < 200_000
    check = Balance()
    check.feed(text)
    assert not check.open


def test_a_report_states_concentrations_and_why_others_are_not_named(bruker_zip, library):
    sample, prediction = made(bruker_zip, library)
    assert "mol % (90% interval)" in report(prediction, sample, "x", "y")
    amount = float(prediction.amounts[prediction.named[0]])
    known = KnownConcentration("<own>", 2.5, amount)
    text = report(prediction, sample, "x", "y", known)
    assert "mM (90% interval)" in text and "By &lt;own&gt;: 2.5 mM." in text
    first = library.names[prediction.named[0]]
    assert re.search(rf"<td>{first}.*?</td><td class=n>2\.5 \([\d.]+ to [\d.]+\)", text)
    assert text.count("Not named (") == 12


def test_the_picture_has_the_spectrum_from_high_to_low_ppm(bruker_zip, library):
    sample, prediction = made(bruker_zip, library)
    text = report(prediction, sample, "x", "y")
    points = re.findall(r'points="([^"]+)"', text)
    assert len(points) == 2  # spectrum and fitted lines
    x, y = np.array([p.split(",") for p in points[0].split()], dtype=float).T
    assert (np.diff(x) < 0).all()  # ascending ppm run to the left
    assert x.min() >= 0 and x.max() <= 1000
    peaks = prediction.peaks
    low, high = peaks.ppm.min() - 0.3, peaks.ppm.max() + 0.3
    heights = np.where(
        (sample.processed.spectrum.ppm > low) & (sample.processed.spectrum.ppm < high),
        sample.processed.spectrum.heights,
        0,
    )
    highest = sample.processed.spectrum.ppm[heights.argmax()]
    assert x[y.argmin()] == pytest.approx((high - highest) / (high - low) * 1000, abs=1)


def test_a_list_of_peaks_is_drawn_as_sticks(library):
    sample, prediction = made("ppm,area\n1.31,3\n1.33,3\n4.11,1\n", library)
    text = report(prediction, sample, "peaks.csv", "y")
    assert len(re.findall(r"M[\d.]+ 300V", text)) == 3
    assert "Processing" not in text
