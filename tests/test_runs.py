import json
import re
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch

from nmrclassify import checkpoints, runs
from nmrclassify.training import Trainer, recipe


def test_a_run_is_a_folder_with_all_that_made_it(either, home):
    kind, steps = either.model.kind, either.step
    run_id = runs.new_id(kind, "quick", 3)
    assert re.fullmatch(f"[0-9]{{8}}-[0-9]{{6}}-{kind}-quick-s3-[0-9a-f]{{12}}", run_id)
    path = runs.save(either, [{"step": 6, "loss": 1.0}, {"step": 12, "loss": 0.5}], runs.home() / run_id, "app")
    assert path.parent.parent == home / "runs"
    assert sorted(p.name for p in path.parent.iterdir()) == ["config.json", "history.csv", "model.safetensors"]
    assert pd.read_csv(path.parent / "history.csv").step.tolist() == [6, 12]
    run = runs.find(run_id)
    assert (run.made_by, run.model, run.preset, run.steps) == ("app", kind, "quick", steps)
    assert run.compound_accuracy == either.metrics["compound_accuracy"]
    assert runs.listed() == [run] and f"{kind} on quick · {steps} steps" in run.title
    assert checkpoints.load(path).step == steps
    config = json.loads((path.parent / "config.json").read_text())
    assert (config["model"], config["model_config"]) == (kind, asdict(either.model.config))
    assert config["training"] == asdict(either.training) and config["metrics"] == either.metrics


def test_runs_of_before_that_do_not_say_their_model_are_not_listed(trained, home):
    path = runs.save(trained, [], runs.home() / "20260101-000000-slots-quick", "cli")
    config = json.loads((path.parent / "config.json").read_text())
    del config["model"]
    (path.parent / "config.json").write_text(json.dumps(config))
    assert runs.listed() == []


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "A", "a/b", "a-b", "x" * 300])
def test_names_never_reach_outside(name):
    with pytest.raises(ValueError, match="no run is called"):
        runs.find(name)


def test_half_written_runs_are_not_listed(home):
    (home / "runs" / "20260101-000000-quick").mkdir(parents=True)
    assert runs.listed() == []


def test_ids_cannot_be_guessed():
    assert runs.new_id("slots", "quick", 3)[-12:] != runs.new_id("slots", "quick", 3)[-12:]


def test_only_app_runs_are_pruned(trained, monkeypatch):
    monkeypatch.setattr(runs, "MAX_APP_RUNS", 2)
    for day in range(1, 6):
        runs.save(trained, [], runs.home() / f"2026010{day}-000000-quick", "cli" if day == 1 else "app")
    runs.prune_app_runs()
    assert [run.id[:8] for run in runs.listed()] == ["20260105", "20260104", "20260101"]


@pytest.mark.parametrize("name, kind", [("modern", "slots"), ("queries", "queries")])
def test_an_interrupted_training_goes_on_from_disk(quick, tmp_path, name, kind):
    config = replace(recipe(name), steps=10, batch_size=8)
    straight = Trainer(quick, config, kind=kind)
    list(straight.snapshots(5))
    halted = Trainer(quick, config, kind=kind)
    for _ in range(6):
        halted.advance()
    runs.save_state(halted, tmp_path)
    resumed = runs.resume(tmp_path)
    assert (resumed.step, resumed.model.kind) == (6, kind)
    while not resumed.finished:
        resumed.advance()
    states = straight.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert float(resumed.model.temperature) != 1  # both calibrated, on the same mixtures
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        runs.resume(tmp_path)
    with pytest.raises(ValueError, match="no interrupted training"):
        runs.resume(tmp_path / "other")
