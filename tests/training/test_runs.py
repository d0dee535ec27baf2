import json
import re
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save as save_tensors

from nmrclassify.networks.registry import RENAMED_TENSORS
from nmrclassify.training import checkpoints, history, runs
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.recipes import recipe
from nmrclassify.training.trainer import Trainer


def test_a_run_is_a_folder_with_all_that_made_it(either, home):
    kind, steps = either.model.kind, either.step
    run_id = runs.new_id(kind, "quick", 3)
    assert re.fullmatch(f"[0-9]{{8}}-[0-9]{{6}}-{kind}-quick-s3-[0-9a-f]{{12}}", run_id)
    path = runs.save(
        either, [{"step": 6, "loss": 1.0}, {"step": 12, "loss": 0.5}], runs.home() / run_id, "app"
    )
    assert path.parent.parent == home / "runs"
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "config.json",
        "history.csv",
        "model.safetensors",
    ]
    assert pd.read_csv(path.parent / "history.csv").step.tolist() == [6, 12]
    run = runs.find(run_id)
    assert (run.made_by, run.model, run.preset, run.steps) == ("app", kind, "quick", steps)
    assert run.compound_accuracy == either.metrics["compound_accuracy"]
    assert runs.listed() == [run]
    assert f"{kind} on quick · {steps} steps" in run.title
    assert checkpoints.load(path).step == steps
    config = json.loads((path.parent / "config.json").read_text())
    assert (config["model"], config["model_config"]) == (kind, asdict(either.model.config))
    assert config["training"] == asdict(either.training)
    assert config["metrics"] == either.metrics


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
        runs.save(
            trained, [], runs.home() / f"2026010{day}-000000-quick", "cli" if day == 1 else "app"
        )
    runs.prune_app_runs()
    assert [run.id[:8] for run in runs.listed()] == ["20260105", "20260104", "20260101"]


def name_tensors_as_0_1(path):
    """Give the tensors of a file the names of version 0.1."""
    with safe_open(path, "pt") as file:
        names, header = file.keys(), file.metadata()
        tensors = {name: file.get_tensor(name) for name in names}
    for old, new in RENAMED_TENSORS.items():
        for name in [name for name in tensors if f"{name}.".startswith(f"model.{new}.")]:
            tensors[name.replace(new, old, 1)] = tensors.pop(name)
    assert "model.separator.knee.weight" in tensors
    path.write_bytes(save_tensors(tensors, metadata=header))


@pytest.mark.parametrize("version", ["0.1", "present"])
@pytest.mark.parametrize(("name", "kind"), [("modern", "slots"), ("queries", "queries")])
def test_an_interrupted_training_goes_on_from_disk(quick, tmp_path, name, kind, version):
    config = replace(recipe(name), steps=10, batch_size=8)
    straight = Trainer(quick, config, kind=kind)
    list(straight.snapshots(5))
    halted = Trainer(quick, config, kind=kind)
    for _ in range(6):
        halted.advance()
    runs.save_state(halted, tmp_path)
    if version == "0.1":
        name_tensors_as_0_1(tmp_path / "start.safetensors")
        name_tensors_as_0_1(tmp_path / "state.safetensors")
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


def saved(quick, folder, made_by="app", steps=6):
    """Train a little, keep it with its steps, and return the training and its run."""
    trainer = Trainer(quick, replace(recipe("modern"), steps=steps, batch_size=4))
    *_, last = trainer.snapshots(3)
    runs.save(
        Checkpoint.from_trainer(trainer, last.test),
        trainer.history,
        runs.home() / folder,
        made_by,
        trainer.training_history,
    )
    return trainer, runs.find(folder)


def test_a_run_keeps_its_steps_and_its_curves(quick):
    trainer, run = saved(quick, "20260101-000000-slots-quick")
    assert sorted(p.name for p in run.folder.iterdir()) == [
        "config.json",
        "history.csv",
        "model.safetensors",
        history.FILE,
    ]
    model = checkpoints.load(run.folder / "model.safetensors").model
    kept = history.load(run.folder / history.FILE, model)
    assert kept.steps == trainer.training_history.steps == tuple(range(7))
    last = kept.network(6).state_dict()
    assert all(torch.equal(value, last[name]) for name, value in model.state_dict().items())
    found = runs.history(run)
    assert [row["step"] for row in found] == [3, 6]
    assert found[0].keys() == trainer.history[0].keys()
    for row, own in zip(found, trainer.history, strict=False):
        assert row == pytest.approx(own)


def test_curves_that_cannot_be_read_are_none(quick):
    _, run = saved(quick, "20260101-000000-slots-quick", steps=3)
    path = run.folder / "history.csv"
    for content in (b"", b"\n", b"a,b\n1,2\n3,4,5\n", b"\xff\xfe\x00", b'"'):
        path.write_bytes(content)
        assert runs.history(run) == []
    path.unlink()
    assert runs.history(run) == []


def test_a_run_without_a_history_has_none(trained):
    runs.save(trained, [], runs.home() / "20260101-000000-slots-quick", "cli")
    assert runs.history(runs.find("20260101-000000-slots-quick")) == []


def test_the_steps_of_old_app_runs_make_room_for_new_ones(quick, monkeypatch):
    monkeypatch.setattr(runs, "MAX_APP_TIMELINES", 2)
    monkeypatch.setattr(runs, "MAX_APP_RUNS", 4)
    trainer, _ = saved(quick, "20260101-000000-slots-quick", "cli", steps=3)
    checkpoint = Checkpoint.from_trainer(trainer, {"compound_accuracy": 0.5})
    for day in range(2, 8):
        runs.save(
            checkpoint,
            [],
            runs.home() / f"2026010{day}-000000-slots-quick",
            "app",
            trainer.training_history,
        )
    runs.prune_app_runs()
    left = {run.id[:8]: (run.folder / history.FILE).is_file() for run in runs.listed()}
    assert left == {
        "20260107": True,
        "20260106": True,
        "20260105": False,
        "20260104": False,
        "20260101": True,
    }
    runs.prune_app_runs()  # again, with nothing left to remove
    assert len(runs.listed()) == 5


def test_an_interrupted_training_of_before_that_kept_no_steps_goes_on(quick, tmp_path):
    halted = Trainer(quick, replace(recipe("modern"), steps=8, batch_size=4))
    for _ in range(5):
        halted.advance()
    runs.save_state(halted, tmp_path)
    (tmp_path / history.FILE).unlink()
    resumed = runs.resume(tmp_path)
    while not resumed.finished:
        resumed.advance()
    assert resumed.training_history.steps[-1] == 8


@pytest.mark.parametrize("content", [b"", b"x" * 300])
def test_damaged_steps_of_an_interrupted_training_are_told(quick, tmp_path, content):
    halted = Trainer(quick, replace(recipe("modern"), steps=8, batch_size=4))
    halted.advance()
    runs.save_state(halted, tmp_path)
    (tmp_path / history.FILE).write_bytes(content)
    with pytest.raises(ValueError, match="is damaged"):
        runs.resume(tmp_path)
