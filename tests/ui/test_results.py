"""Results that all visitors share: computed once for equal inputs, anew for others."""

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st
import torch

from nmrclassify.evaluation import metrics
from nmrclassify.training.checkpoints import shipped
from nmrclassify.ui import results


@pytest.fixture
def counted(monkeypatch):
    """Clear the caches, and collect the models that are evaluated."""
    st.cache_data.clear()
    evaluated, evaluate = [], metrics.evaluate

    def counting(model, *arguments):
        evaluated.append(model)
        return evaluate(model, *arguments)

    monkeypatch.setattr(metrics, "evaluate", counting)
    return evaluated


def test_visitors_at_the_same_time_share_one_computation(counted, monkeypatch):
    checkpoint, counting = shipped(), metrics.evaluate
    started, go_on = threading.Event(), threading.Event()

    def slow(*arguments):
        started.set()
        assert go_on.wait(60)
        return counting(*arguments)

    monkeypatch.setattr(metrics, "evaluate", slow)
    with ThreadPoolExecutor(4) as visitors:
        waiting = [
            visitors.submit(results.evaluation, checkpoint, checkpoint.dataset) for _ in range(4)
        ]
        assert started.wait(60)
        go_on.set()
        tables = [one.result().predicted for one in waiting]
    assert len(counted) == 1
    for table in tables[1:]:
        np.testing.assert_array_equal(table, tables[0])


def test_equal_models_share_and_others_do_not(counted):
    checkpoint = shipped()
    same = replace(checkpoint, model=copy.deepcopy(checkpoint.model))
    results.evaluation(checkpoint, checkpoint.dataset)
    results.evaluation(same, checkpoint.dataset)
    assert len(counted) == 1
    other = copy.deepcopy(checkpoint.model)
    with torch.no_grad():
        next(other.parameters()).flatten()[0] += 1e-3
    results.evaluation(replace(checkpoint, model=other), checkpoint.dataset)
    results.evaluation(checkpoint, checkpoint.dataset, 2)
    seed = checkpoint.dataset.seed + 1
    results.evaluation(checkpoint, replace(checkpoint.dataset, seed=seed))
    assert len(counted) == 4


def test_a_visitor_cannot_change_what_others_get(counted):
    checkpoint = shipped()
    results.evaluation(checkpoint, checkpoint.dataset).presence[:] = 0
    assert results.evaluation(checkpoint, checkpoint.dataset).presence.any()
    assert len(counted) == 1


def test_predictions_are_those_of_the_model_and_the_mixture():
    checkpoint = shipped()
    for areas in checkpoint.dataset.test_mixtures().areas[:3]:
        expected = checkpoint.model.predict(areas)
        for _ in range(2):
            np.testing.assert_array_equal(
                results.prediction(checkpoint.model, areas).masks, expected.masks
            )
