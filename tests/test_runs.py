from dataclasses import replace

import pandas as pd
import pytest
import torch

from nmrclassify import checkpoints, runs
from nmrclassify.training import Trainer, recipe


def test_a_run_is_a_folder_with_all_that_made_it(trained, home):
    run_id = runs.new_id("quick", 3)
    path = runs.save(trained, [{"step": 6, "loss": 1.0}, {"step": 12, "loss": 0.5}], runs.home() / run_id, "app")
    assert path.parent.parent == home / "runs"
    assert sorted(p.name for p in path.parent.iterdir()) == ["config.json", "history.csv", "model.safetensors"]
    assert pd.read_csv(path.parent / "history.csv").step.tolist() == [6, 12]
    run = runs.find(run_id)
    assert (run.made_by, run.preset, run.steps) == ("app", "quick", 12)
    assert runs.listed() == [run] and "12 steps" in run.title
    assert checkpoints.load(path).step == 12


@pytest.mark.parametrize("name", ["", "..", "../x", "/etc", "A", "a/b", "a-b", "x" * 300])
def test_names_never_reach_outside(name):
    with pytest.raises(ValueError, match="no run is called"):
        runs.find(name)


def test_half_written_runs_are_not_listed(home):
    (home / "runs" / "20260101-000000-quick").mkdir(parents=True)
    assert runs.listed() == []


def test_ids_cannot_be_guessed():
    assert runs.new_id("quick", 3)[-12:] != runs.new_id("quick", 3)[-12:]


def test_only_app_runs_are_pruned(trained, monkeypatch):
    monkeypatch.setattr(runs, "MAX_APP_RUNS", 2)
    for day in range(1, 6):
        runs.save(trained, [], runs.home() / f"2026010{day}-000000-quick", "cli" if day == 1 else "app")
    runs.prune_app_runs()
    assert [run.id[:8] for run in runs.listed()] == ["20260105", "20260104", "20260101"]


def test_an_interrupted_training_goes_on_from_disk(quick, tmp_path):
    config = replace(recipe("modern"), steps=10, batch_size=8)
    straight = Trainer(quick, config)
    list(straight.snapshots(5))
    halted = Trainer(quick, config)
    for _ in range(6):
        halted.advance()
    runs.save_state(halted, tmp_path)
    resumed = runs.resume(tmp_path)
    assert resumed.step == 6
    while not resumed.finished:
        resumed.advance()
    for a, b in zip(straight.model.parameters(), resumed.model.parameters()):
        assert torch.equal(a, b)
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        runs.resume(tmp_path)
    with pytest.raises(ValueError, match="no interrupted training"):
        runs.resume(tmp_path / "other")
