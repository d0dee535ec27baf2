import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, replace

import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save as save_tensors

from nmrclassify import cli
from nmrclassify.networks.registry import RENAMED_TENSORS
from nmrclassify.training import checkpoints, history, run_files, run_states, runs
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
        "manifest.json",
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


NAME = "20260101-000000-slots-quick"
DAMAGED = {
    "no model": (
        "config.json",
        lambda c: c.replace('"model"', '"m"'),
        "config.json has no 'model'",
    ),
    "infinite": (
        "config.json",
        lambda c: c.replace('"steps": 12', '"steps": Infinity'),
        "steps is",
    ),
    "negative": ("config.json", lambda c: c.replace(": 12,", ": -1,", 1), "steps is"),
    "digits": (
        "config.json",
        lambda c: c.replace('"steps": 12', f'"steps": {10**400}'),
        "a whole number has 401 digits; expected 18 at most",
    ),
    "nested": ("config.json", lambda c: "[" * 100_000, "nested too deep"),
    "cut": ("config.json", lambda c: c[:99], "config.json is not JSON"),
    "list": ("config.json", lambda c: "[1]", "is not as nmrclassify writes it"),
    "large": ("config.json", lambda c: c + " " * 300_000, "more than 262,144 bytes"),
    "no step": ("history.csv", lambda c: "loss\n1\n", "history.csv has no column 'step'"),
    "cut model": ("model.safetensors", lambda c: c[:-9], "model.safetensors is damaged: it has"),
    "manifest": ("manifest.json", lambda c: "{}", "manifest.json is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("old", [False, True])
def test_damaged_runs_are_listed_with_the_reason(trained, kind, old):
    name, change, reason = DAMAGED[kind]
    folder = runs.save(trained, [{"step": 1}], runs.home() / NAME, "cli").parent
    if old and name in ("manifest.json", "model.safetensors"):
        return
    if old:
        (folder / "manifest.json").unlink()
        config = json.loads((folder / "config.json").read_text())
        del config["manifest"]
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        assert runs.find(NAME).damage == ""
    content = (folder / name).read_bytes().decode("latin-1")
    (folder / name).write_bytes(change(content).encode("latin-1"))
    (run,) = runs.listed()
    # With a manifest, the size tells first.
    assert reason in run.damage or f"{name} is damaged" in run.damage
    assert f"damaged: {run.damage}" in run.title
    with pytest.raises(ValueError, match="is damaged"):
        runs.find(NAME)


def test_one_flipped_bit_of_a_model_or_its_steps_is_found(quick):
    _, run = saved(quick, NAME)
    model = checkpoints.load(run.folder / "model.safetensors").model
    assert len(runs.training_history(run, model)) == 7
    for name, load in (
        (history.FILE, lambda: runs.training_history(run, model)),
        ("model.safetensors", lambda: runs.find(NAME)),
    ):
        content = bytearray((run.folder / name).read_bytes())
        content[-5] ^= 4
        (run.folder / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name} is damaged: its SHA-256"):
            load()


def test_a_run_without_its_manifest_is_not_complete(trained):
    folder = runs.save(trained, [], runs.home() / NAME, "app").parent
    (folder / "manifest.json").unlink()
    assert runs.listed() == []
    runs.prune_app_runs()
    assert folder.is_dir()  # it may be being written
    os.utime(folder, (0, 0))
    with run_files.locked(folder):
        os.utime(folder, (0, 0))
        runs.prune_app_runs()
    assert folder.is_dir()
    os.utime(folder, (0, 0))
    runs.prune_app_runs()
    assert not folder.exists()


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


def without_checksums(folder):
    """Turn a state into one of before."""
    path = folder / "state.safetensors"
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["state"])
    del header["sha256"], header["parts"]
    path.write_bytes(save_tensors(tensors, metadata={"state": json.dumps(header)}))
    (steps,) = folder.glob("steps-*.safetensors")
    steps.rename(folder / history.FILE)


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
    run_states.save_state(halted, tmp_path)
    if version == "0.1":
        without_checksums(tmp_path)
        name_tensors_as_0_1(tmp_path / "start.safetensors")
        name_tensors_as_0_1(tmp_path / "state.safetensors")
    resumed = run_states.resume(tmp_path)
    assert (resumed.step, resumed.model.kind) == (6, kind)
    while not resumed.finished:
        resumed.advance()
    states = straight.model.state_dict(), resumed.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert float(resumed.model.temperature) != 1  # both calibrated, on the same mixtures
    state = tmp_path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-100])
    with pytest.raises(ValueError, match="is damaged"):
        run_states.resume(tmp_path)
    with pytest.raises(ValueError, match="no interrupted training"):
        run_states.resume(tmp_path / "other")


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
        "manifest.json",
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
    run_states.save_state(halted, tmp_path)
    without_checksums(tmp_path)
    (tmp_path / history.FILE).unlink()
    resumed = run_states.resume(tmp_path)
    while not resumed.finished:
        resumed.advance()
    assert resumed.training_history.steps[-1] == 8


def interrupted(quick, folder, steps=8, seed=None):
    """Train to the middle, and keep the state."""
    trainer = Trainer(quick, replace(recipe("modern"), steps=steps, batch_size=4), seed)
    for _ in range(steps // 2):
        trainer.advance()
    run_states.save_state(trainer, folder)
    return trainer


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("content", [b"", b"x" * 300, None])
def test_a_training_goes_on_without_its_damaged_steps(quick, tmp_path, content, old):
    halted = interrupted(quick, tmp_path)
    if old:
        without_checksums(tmp_path)
    path = tmp_path / (history.FILE if old else "steps-4.safetensors")
    if content is None:
        content = path.read_bytes()[:-99]
    path.write_bytes(content)
    told = []
    resumed = run_states.resume(tmp_path, told.append)
    assert len(told) == 1 and str(path) in told[0] and "goes on without" in told[0]
    for trainer in (resumed, halted):
        list(trainer.snapshots())
    states = resumed.model.state_dict(), halted.model.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert resumed.training_history.steps == (0, 5, 6, 7, 8)


def test_every_flipped_bit_of_a_state_is_found(quick, tmp_path):
    interrupted(quick, tmp_path)
    for name in ("state.safetensors", "start.safetensors"):
        content = (tmp_path / name).read_bytes()
        for place in range(9, len(content), len(content) // 12):
            changed = bytearray(content)
            changed[place] ^= 1 << place % 8
            (tmp_path / name).write_bytes(changed)
            with pytest.raises(ValueError, match="the state in .* is damaged"):
                run_states.resume(tmp_path)
        (tmp_path / name).write_bytes(content)
    assert run_states.resume(tmp_path).step == 4


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("step", float("inf")),
        ("step", -1),
        ("step", 9),
        ("history", [{"loss": 1}]),
        ("history", 3),
        ("since", [[1, 2]]),
        ("seconds", "x"),
        ("more", 1),
    ],
)
def test_forged_states_without_checksums_are_refused(quick, tmp_path, key, value):
    interrupted(quick, tmp_path)
    without_checksums(tmp_path)
    path = tmp_path / "state.safetensors"
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["state"]) | {key: value}
    path.write_bytes(save_tensors(tensors, metadata={"state": json.dumps(header)}))
    with pytest.raises(ValueError, match="is damaged"):
        run_states.resume(tmp_path)


def test_a_resumed_training_replaces_no_other_run(quick, tmp_path):
    folder = runs.home() / NAME
    saved(quick, NAME, "cli", steps=8)
    with pytest.raises(ValueError, match="the one there is finished"):
        run_states.resume(folder)
    interrupted(quick, folder, seed=4)
    with pytest.raises(ValueError, match="weights_seed is 3, .* weights_seed is 4; move one"):
        run_states.resume(folder)
    interrupted(quick, folder)  # the same training, as an old version left it
    assert run_states.resume(folder).step == 4
    with pytest.raises(ValueError, match="interrupted training; add --resume"):
        runs.check_free(folder)
    run_states.remove_state(folder)
    with pytest.raises(ValueError, match="finished training; choose another --out"):
        runs.check_free(folder)
    (folder / "notes.txt").write_text("mine")
    runs.remove(folder)
    runs.check_free(folder)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_folder_is_held_by_one_process(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from nmrclassify.training import run_files\n"
        "with run_files.locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    assert run_files.is_locked(folder)
    with (
        pytest.raises(ValueError, match=f"process {process.pid} writes the folder"),
        run_files.locked(folder),
    ):
        pass
    process.kill()
    process.wait()
    assert not run_files.is_locked(folder)
    (folder / ".model.safetensors.ab12cd34").write_text("half")
    (folder / ".mine").write_text("other")
    with run_files.locked(folder):
        assert sorted(path.name for path in folder.iterdir()) == [".lock", ".mine"]
        assert (folder / ".lock").read_text() == str(os.getpid())
    assert [path.name for path in folder.iterdir()] == [".mine"]


HOMES = {
    "": "NMRCLASSIFY_HOME is ''; expected the path of a folder",
    " ": "NMRCLASSIFY_HOME is ' '; expected",
    "file": "file is a file; expected a folder",
    "file/below": "file is a file; expected a folder",
    "locked": "locked cannot be written; expected a folder",
}


@pytest.mark.parametrize("name", HOMES)
def test_a_home_that_cannot_be_used_is_estimated_in_a_sentence(
    trained, name, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("x")
    (tmp_path / "locked").mkdir(0o555)
    value = str(tmp_path / name) if name.strip() else name
    monkeypatch.setenv("NMRCLASSIFY_HOME", value)
    may = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith("locked") and may(path, mode)
    )
    monkeypatch.chdir(tmp_path)
    assert HOMES[name] in run_files.home_problem()
    assert runs.listed() == []
    runs.prune_app_runs()
    with pytest.raises(ValueError, match="no run is called"):
        runs.find(NAME)
    with pytest.raises(OSError, match="; expected"):
        runs.save(trained, [], runs.home() / NAME, "app")
    assert cli.main(["train", "--preset", "quick", "--steps", "1"]) == 2
    assert HOMES[name] in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
