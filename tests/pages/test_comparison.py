"""The section *Compare with least squares* of the page Full scale."""

import numpy as np
import pytest

from nmrclassify.baselines import beside_network
from nmrclassify.ui import peak_comparison

SCALE = "pages/scale.py"
SMALL = {"scale_library": "metabolites", "scale_compounds": "12"}


@pytest.fixture
def calls(monkeypatch):
    """The methods that are computed, in their order."""
    calls, compute = [], beside_network.method_amounts

    def spied(prediction, method):
        calls.append(method)
        return compute(prediction, method)

    monkeypatch.setattr(beside_network, "method_amounts", spied)
    peak_comparison._amounts.clear()  # of other tests
    yield calls
    peak_comparison._amounts.clear()  # some are of a method that is replaced here


def opened(app):
    app.session_state["classical"] = True
    app.run()
    assert not app.exception, app.exception
    return app


def table(app):
    (found,) = (frame.value for frame in app.dataframe if "named by" in frame.value)
    return found


def test_it_is_computed_once_it_is_opened_and_then_kept(open_page, calls):
    app = open_page(SCALE, **SMALL)
    assert not calls and not any("named by" in frame.value for frame in app.dataframe)
    found = table(opened(app))
    assert calls == ["least squares"]
    assert list(found) == [
        "compound",
        "named by",
        "in the mixture",
        "probability",
        "amount",
        "amount, least squares",
    ]
    both, network, method = (
        (found["named by"] == who).sum() for who in ("both", "network", "least squares")
    )
    right = (found["in the mixture"] == "✓")[found["named by"] == "both"].sum()
    assert f"**Both name {both} ({right} in the mixture), only the network" in app.texts
    assert both + network == int(app.metric_values["Named"])
    assert "whose amounts vary tenfold" in app.texts
    # Another threshold of the network changes who names what, and no amount.
    threshold = next(s for s in app.slider if s.label.startswith("Name compounds"))
    threshold.set_value(0.99).run()
    stricter = table(app)
    assert (stricter["named by"] == "least squares").sum() >= method
    assert (stricter["named by"] != "least squares").sum() == int(app.metric_values["Named"])
    assert calls == ["least squares"]
    app.press("New mixture")
    assert calls == ["least squares"] * 2


def test_the_truth_of_a_file_is_not_known(open_page, calls):
    app = open_page(SCALE, scale_library="metabolites")
    app.upload("Mixture (spectrum or table)", "ppm,area\n1.31,3\n1.33,3\n1.91,9\n")
    found = table(opened(app))
    assert "in the mixture" not in found and len(found)
    assert calls == ["least squares"]


def test_other_methods_are_offered_where_they_are_installed(open_page, calls, monkeypatch):
    app = opened(open_page(SCALE, **SMALL))
    assert not any(radio.label == "Method" for radio in app.radio)
    monkeypatch.setattr(beside_network, "installed_methods", lambda: list(beside_network.METHODS))
    monkeypatch.setitem(
        beside_network.METHODS,
        "optimal transport",
        lambda library, axis: lambda peaks: np.ones(library.n_compounds),
    )
    app.run()
    method = next(radio for radio in app.radio if radio.label == "Method")
    method.set_value("optimal transport").run()
    assert not app.exception, app.exception
    assert calls == ["least squares", "optimal transport"]
    assert (table(app)["amount, optimal transport"] <= 1).all()
    assert "only optimal transport" in app.texts


def test_a_library_that_is_too_large_is_for_the_command_line(open_page, calls, monkeypatch):
    monkeypatch.setitem(peak_comparison.MOST_COMPOUNDS, "least squares", 127)
    monkeypatch.setitem(peak_comparison.MOST_COMPOUNDS, "optimal transport", 127)
    app = opened(open_page(SCALE, **SMALL))
    assert not calls
    assert any("more than 127 compounds; this library has 128" in i.value for i in app.info)
