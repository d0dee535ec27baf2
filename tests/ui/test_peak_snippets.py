"""The programs of the page Full scale do what the page does."""

import numpy as np
import pytest

from nmrclassify.evaluation.identify import Detector
from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture
from nmrclassify.nmr.axis import FULL_AXIS
from nmrclassify.nmr.compound_files import common_metabolites
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.ui.peak_snippets import LIBRARIES, code


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("n_unknown", [0, 2])
def test_a_program_finds_what_the_package_finds(library, n_unknown, monkeypatch):
    config = PeakMixtureConfig(n_low=12, n_high=12, jitter=0.003, n_unknown=n_unknown)
    shown = []
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: shown.append(figure))
    space: dict = {}
    exec(code(library, 7, 8, config, 3, 5), space)
    compounds = (
        second_order(common_metabolites(), FULL_AXIS.mhz)
        if library == "metabolites"
        else synthetic_compounds(SyntheticConfig(), np.random.default_rng(7))
    )
    unknown = (
        synthetic_compounds(SyntheticConfig(n_compounds=200), np.random.default_rng(8))
        if n_unknown
        else None
    )
    mixture = draw_mixture(compounds, config, np.random.default_rng([3, 0]), FULL_AXIS, unknown)
    found = Detector(compounds).identify(mixture.peaks)
    assert np.array_equal(space["prediction"].named, found.named)
    assert len(shown) == 1
    assert len(shown[0].data[0].y) > 1000


def test_an_uploaded_library_has_no_program():
    with pytest.raises(ValueError, match="'own'; expected synthetic or metabolites"):
        code("own", 7, 8, PeakMixtureConfig(), 1, 0)
