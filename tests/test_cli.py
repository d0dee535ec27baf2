import json
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nmrclassify import checkpoints
from nmrclassify.answers import answer
from nmrclassify.cli import main
from nmrclassify.mixtures import mix_at
from nmrclassify.presets import build
from nmrclassify.tables import areas_table, read_library, read_mixture
from nmrclassify.training import recipe

ROOT = Path(__file__).parents[1]


def run(capsys, *arguments):
    """Run the command line with --json; return what it printed."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_generate(capsys, tmp_path):
    found = run(capsys, "generate", "--preset", "original", "--seed", 7, "--out", tmp_path)
    assert set(found) == {"n_train", "n_test", "n_compounds", "n_positions", "n_peaks", "occupancy_compound", "occupancy_mixture", "sha256"}
    assert (found["n_train"], found["n_test"], found["n_compounds"], found["n_positions"], found["n_peaks"]) == (10, 10, 10, 21, 6)
    assert 0.1 < found["occupancy_compound"] < 0.3 and found["occupancy_mixture"] <= 0.6
    assert run(capsys, "generate", "--preset", "original", "--seed", 7, "--out", tmp_path / "again")["sha256"] == found["sha256"]
    data = build("original", 7)
    library = read_library((tmp_path / "library.csv").read_bytes(), data.library.axis, 6)
    assert library.areas == pytest.approx(data.library.areas)
    mixtures = data.test_mixtures()
    assert read_mixture((tmp_path / "test_mixtures.csv").read_bytes(), data.library.axis, 6, "4") == pytest.approx(mixtures.areas[3])
    contents = pd.read_csv(tmp_path / "test_contents.csv")
    assert contents.compound.tolist() == [data.library.names[k] for k in mixtures.labels.ravel()]


@pytest.mark.parametrize("model, parameters, recipe_name", [("slots", 48_630, "modern"), ("queries", 152_265, "queries")])
def test_train_evaluate_separate(capsys, tmp_path, model, parameters, recipe_name):
    done = run(capsys, "train", "--preset", "quick", "--model", model, "--steps", 10, "--out", tmp_path / "run")
    assert set(done) == {"seconds", "steps", "parameters", "checkpoint", "test"}
    assert (done["steps"], done["parameters"]) == (10, parameters)
    made = checkpoints.load(Path(done["checkpoint"]))
    assert made.model.kind == model and made.training == replace(recipe(recipe_name), steps=10)
    assert float(made.model.temperature) != 1
    assert {"n_mixtures", "compound_accuracy", "exact_match", "si_sdr_improvement_db"} <= set(done["test"])
    found = run(capsys, "evaluate", done["checkpoint"])
    assert found["test"] == done["test"]
    assert run(capsys, "evaluate", done["checkpoint"], "--draws", 2)["test"]["n_mixtures"] == 72
    table = tmp_path / "mixture.csv"
    data = build("quick", 7)
    areas = data.test_mixtures().areas[0]
    areas_table(areas, data.library.axis).to_csv(table, index=False)
    found = run(capsys, "separate", done["checkpoint"], table, "--out", tmp_path / "out" / "separated.csv")["compounds"]
    given = answer(made.model, areas)
    called = (*data.library.names, "something unknown")
    assert [row["name"] for row in found] == [called[k] for k in given.named]
    assert [row["probability"] for row in found] == pytest.approx(given.confidence.tolist(), abs=1e-4)
    keys = {"slots": {"name", "probability"}, "queries": {"name", "probability", "count", "amount"}}[model]
    assert all(row.keys() == (keys if k < 10 else {"name", "probability"}) for row, k in zip(found, given.named))
    if model == "queries":
        assert [row["count"] for row in found if "count" in row] == given.counts[given.named[given.named < 10]].tolist()
    else:
        assert len(found) == 3
    assert pd.read_csv(tmp_path / "out" / "separated.csv").output.nunique() == len(found)
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 10


def test_separate_tells_how_much_of_each_compound_queries_find(capsys, tmp_path, learned, quick):
    model, table = tmp_path / "model.safetensors", tmp_path / "mixture.csv"
    checkpoints.save(learned, model)
    labels = quick.test[0]
    amounts = np.array([[1.0, 1.6, 0.7]], np.float32)
    areas = mix_at(quick.library, labels[None], amounts, quick.config, np.random.default_rng(0)).areas[0]
    areas_table(areas, quick.library.axis).to_csv(table, index=False)
    found = run(capsys, "separate", model, table)["compounds"]
    assert {row["name"] for row in found} == {quick.library.names[k] for k in labels}
    assert all(row["count"] == 1 for row in found)
    for row in found:
        assert row["amount"] == pytest.approx(amounts[0, labels.tolist().index(quick.library.names.index(row["name"]))], abs=0.35)
    assert main(["separate", str(model), str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line, row in zip(lines, found):
        assert line.startswith(row["name"]) and line.endswith(f"amount {row['amount']:.3g}")


def test_named_metabolites_that_were_never_trained_on_are_named(capsys, tmp_path):
    model = checkpoints.shipped()
    names = model.dataset.library.names
    rows = [row for row in model.dataset.test.tolist() if len(set(row)) == 3]
    right = 0
    for number, row in enumerate(rows[:12]):
        amounts = np.ones((1, 3), np.float32)
        made = mix_at(model.dataset.library, np.array([row]), amounts, model.dataset.config, np.random.default_rng(number))
        path = tmp_path / f"{number}.csv"
        areas_table(made.areas[0], model.dataset.library.axis).to_csv(path, index=False)
        found = {compound["name"] for compound in run(capsys, "separate", "shipped", path)["compounds"]}
        right += found == {names[k] for k in row}
    assert right >= 9


def test_runs_go_to_one_place_when_no_folder_is_named(capsys, home):
    done = run(capsys, "train", "--preset", "original", "--recipe", "adam", "--steps", 2)
    path = Path(done["checkpoint"])
    assert path.parent.parent == home / "runs" and "-queries-original-s7-" in path.parent.name
    assert checkpoints.load(path).training == replace(recipe("adam"), steps=2)


def test_json_is_the_only_thing_on_stdout_and_progress_is_on_stderr(capsys, tmp_path):
    assert main(["train", "--preset", "quick", "--steps", "2", "--out", str(tmp_path), "--json"]) == 0
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert "step/s" in captured.err or "2/2" in captured.err


def test_bench_list(capsys):
    assert "generation" in run(capsys, "bench", "--list")["benches"]


MISTAKES = {
    "no command": [],
    "preset": ["generate", "--preset", "fast", "--out", "x"],
    "seed": ["generate", "--seed", "-1", "--out", "x"],
    "steps": ["train", "--steps", "0"],
    "missing checkpoint": ["evaluate", "nothing.safetensors"],
    "pickle": ["evaluate", __file__],
    "draws": ["evaluate", "shipped", "--draws", "0"],
    "missing mixture": ["separate", "shipped", "nothing.csv"],
    "not a mixture": ["separate", "shipped", __file__],
    "bench": ["bench", "nothing"],
    "bench name": ["bench"],
    "resume": ["train", "--resume"],
    "resume with steps": ["train", "--resume", "--out", "x", "--steps", "9"],
    "huge seed": ["train", "--seed", str(2**63)],
    "model": ["train", "--model", "both"],
    "recipe": ["train", "--recipe", "best"],
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_sentence_and_exit_code_2(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert main(MISTAKES[name]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and captured.err.startswith("nmrclassify: ")


@pytest.mark.parametrize("command", ["generate", "train", "evaluate", "separate", "bench"])
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example: python -m nmrclassify {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("model, steps", [("slots", 150), ("queries", 40)])
def test_an_interrupted_training_is_resumed(tmp_path, capsys, model, steps):
    out = tmp_path / "run"
    training = ["train", "--preset", "quick", "--model", model, "--steps", str(steps)]
    command = [sys.executable, "-m", "nmrclassify", *training, "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    seen = ""
    while not re.search(rf"[1-9]\d*/{steps} ", seen):
        read = process.stderr.read(1)
        assert read, seen
        seen += read
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 130 and "--resume" in rest and "Traceback" not in rest
    done = run(capsys, "train", "--resume", "--out", out)
    assert done["steps"] == steps
    straight = run(capsys, *training, "--out", tmp_path / "straight")
    assert straight["test"] == done["test"]
    first, second = (checkpoints.load(Path(d["checkpoint"])).model.state_dict() for d in (done, straight))
    assert all(bool((first[key] == second[key]).all()) for key in first)
    assert float(first["temperature"]) != 1  # calibrated, after the same steps, on the same mixtures
