import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.baselines import beside_network as beside
from nmrclassify.baselines.peak_tuning import named
from nmrclassify.baselines.peaks import LeastSquares
from nmrclassify.evaluation.identify import Detector
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds

SPECTRA = Path(__file__).parents[2] / "docs" / "results" / "spectra.json"
K = 60  # the twin of compound 0 is number 60
LEAST_SQUARES = "least squares"


@pytest.fixture(scope="module")
def library():
    return synthetic_compounds(SyntheticConfig(n_compounds=K), np.random.default_rng(500))


@pytest.fixture(scope="module")
def mixture(library):
    config = PeakMixtureConfig(n_low=10, n_high=10, jitter=0.002, decades=1.0)
    return draw_mixture(library.select(range(10)), config, np.random.default_rng(0))


@pytest.fixture(scope="module")
def prediction(library, mixture):
    with_twin = library.with_compounds(replace(library.select([0]), names=("twin",)))
    return Detector(with_twin).identify(mixture.peaks)


@pytest.fixture(scope="module")
def amounts(prediction):
    return beside.method_amounts(prediction, LEAST_SQUARES)


def test_the_constants_are_what_the_bench_chose():
    chosen = json.loads(SPECTRA.read_text())["least squares"]
    assert chosen == f"{beside.SETTING}, threshold {beside.THRESHOLD:.2g}"


def test_least_squares_gets_one_compound_of_each_group(library, prediction, amounts, mixture):
    assert prediction.first_of_group[K] == 0 and not prediction.offset
    # At the mean places of a group, which a twin does not move.
    alone = LeastSquares(library, **beside.SETTING)(mixture.peaks)
    np.testing.assert_allclose(amounts[:K], alone, rtol=1e-4, atol=1e-6)
    assert amounts[0] > 0 and amounts[K] == 0


def test_the_peaks_are_moved_by_the_offset_that_the_network_found(prediction, amounts):
    peaks = prediction.peaks
    away = replace(
        prediction, peaks=Peaks.from_lines(peaks.ppm + 0.15, peaks.areas, peaks.axis), offset=0.15
    )
    moved = beside.method_amounts(away, LEAST_SQUARES)
    np.testing.assert_allclose(moved, amounts, rtol=0.05, atol=0.02 * amounts.max())
    wrong = beside.method_amounts(replace(away, offset=0.0), LEAST_SQUARES)
    assert np.abs(wrong - amounts).max() > 0.3 * amounts.max()


def test_the_table_has_what_either_names_and_the_differences_first(prediction, amounts, mixture):
    amounts = amounts.copy()
    one, other = prediction.named[0], int(np.flatnonzero(~prediction.is_named)[-2])
    amounts[one], amounts[other] = 0.0, amounts.max()
    table = beside.comparison_table(prediction, amounts, mixture.present)
    names = prediction.compounds.names
    by_method = named(prediction.compounds, amounts, beside.THRESHOLD)
    either = {names[k] for k in {*prediction.named, *np.flatnonzero(by_method)}}
    assert len(table) == len(either) and set(table["compound"]) == either
    assert "twin" not in either and len(either) < K
    who = beside.named_by(table, LEAST_SQUARES).tolist()
    assert who == sorted(who, key=["network", LEAST_SQUARES, "both"].index)
    rows = table.set_index("compound")
    assert rows["named"][names[one]] and not rows["method_named"][names[one]]
    assert rows["method_named"][names[other]] and not rows["named"][names[other]]
    assert rows["probability"][names[one]] == prediction.probabilities[one]
    assert rows["amount"][names[one]] == prediction.amounts[one]
    assert rows["method_amount"][names[other]] == amounts[other]
    assert rows["in_mixture"].tolist() == [names.index(name) < 10 for name in rows.index]
    sentence = beside.comparison_sentence(table, LEAST_SQUARES)
    n_both, n_one = who.count("both"), who.count("network")
    assert sentence.startswith(f"Both name {n_both} (")
    assert f"in the mixture), only the network {n_one} (" in sentence
    assert f"only least squares {who.count(LEAST_SQUARES)} (" in sentence
    unknown = beside.comparison_table(prediction, amounts)
    assert list(table)[:-1] == list(unknown)
    assert "(" not in beside.comparison_sentence(unknown, LEAST_SQUARES)


def test_a_table_can_be_empty(prediction):
    nothing = beside.comparison_table(replace(prediction, threshold=1.1), np.zeros(K + 1))
    assert not len(nothing)
    assert "Both name 0," in beside.comparison_sentence(nothing, LEAST_SQUARES)


def test_an_unknown_or_a_missing_method_is_one_sentence(prediction, monkeypatch):
    with pytest.raises(ValueError, match="'nnls' is no method .* expected least squares or"):
        beside.method_amounts(prediction, "nnls")
    monkeypatch.setitem(sys.modules, "magnetstein", None)
    assert beside.installed_methods() == [LEAST_SQUARES]
    with pytest.raises(ValueError, match="needs the package magnetstein.*pip install magnetstein"):
        beside.method_amounts(prediction, "optimal transport")


def test_optimal_transport_has_the_same_unit(prediction, mixture):
    pytest.importorskip("magnetstein")
    found = beside.method_amounts(prediction, "optimal transport")
    largest = mixture.present[mixture.amounts.argmax()]
    assert found[largest] == pytest.approx(mixture.amounts.max(), rel=0.3)
