import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import nmrclassify
from nmrclassify import bench, cli
from nmrclassify.bench import generation
from nmrclassify.cli import main
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures import peak_files, spectrum_files
from nmrclassify.mixtures.grid import mix_at
from nmrclassify.mixtures.grid_files import areas_table, read_library, read_mixture
from nmrclassify.mixtures.peaks import PeakMixtureConfig, Peaks, draw_mixture
from nmrclassify.mixtures.presets import build
from nmrclassify.networks import peak_weights
from nmrclassify.nmr.axis import FULL_AXIS, Axis
from nmrclassify.nmr.compound_files import common_metabolites, read_compounds
from nmrclassify.nmr.line_shapes import spectrum
from nmrclassify.nmr.spin_systems import second_order
from nmrclassify.nmr.titration import at_ph
from nmrclassify.training import (
    checkpoints,
    peak_calibration,
    peak_trainer,
    run_files,
    run_states,
    runs,
)
from nmrclassify.training.recipes import recipe

ROOT = Path(__file__).parents[1]


def run(capsys, *arguments):
    """Run the command line with --json; return what it printed."""
    assert main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_generate(capsys, tmp_path):
    found = run(capsys, "generate", "--preset", "original", "--seed", 7, "--out", tmp_path)
    assert set(found) == {
        "n_train",
        "n_test",
        "n_compounds",
        "n_positions",
        "n_peaks",
        "occupancy_compound",
        "occupancy_mixture",
        "sha256",
    }
    assert (
        found["n_train"],
        found["n_test"],
        found["n_compounds"],
        found["n_positions"],
        found["n_peaks"],
    ) == (10, 10, 10, 21, 6)
    assert 0.1 < found["occupancy_compound"] < 0.3
    assert found["occupancy_mixture"] <= 0.6
    assert (
        run(capsys, "generate", "--preset", "original", "--seed", 7, "--out", tmp_path / "again")[
            "sha256"
        ]
        == found["sha256"]
    )
    data = build("original", 7)
    library = read_library((tmp_path / "library.csv").read_bytes(), data.library.axis, 6)
    assert library.areas == pytest.approx(data.library.areas)
    mixtures = data.test_mixtures()
    assert read_mixture(
        (tmp_path / "test_mixtures.csv").read_bytes(), data.library.axis, 6, "4"
    ) == pytest.approx(mixtures.areas[3])
    contents = pd.read_csv(tmp_path / "test_contents.csv")
    assert contents.compound.tolist() == [data.library.names[k] for k in mixtures.labels.ravel()]


@pytest.mark.parametrize(
    ("model", "parameters", "recipe_name"),
    [("slots", 88_949, "modern"), ("queries", 157_319, "queries")],
)
def test_train_evaluate_separate(capsys, tmp_path, model, parameters, recipe_name):
    done = run(
        capsys,
        "train",
        "--preset",
        "quick",
        "--model",
        model,
        "--steps",
        10,
        "--out",
        tmp_path / "run",
    )
    assert set(done) == {"seconds", "steps", "parameters", "checkpoint", "test"}
    assert (done["steps"], done["parameters"]) == (10, parameters)
    made = checkpoints.load(Path(done["checkpoint"]))
    assert made.model.kind == model
    assert made.training == replace(recipe(recipe_name), steps=10)
    assert float(made.model.temperature) != 1
    assert {"n_mixtures", "compound_accuracy", "exact_match", "si_sdr_improvement_db"} <= set(
        done["test"]
    )
    found = run(capsys, "evaluate", done["checkpoint"])
    assert found["test"] == done["test"]
    assert run(capsys, "evaluate", done["checkpoint"], "--draws", 2)["test"]["n_mixtures"] == 72
    table = tmp_path / "mixture.csv"
    data = build("quick", 7)
    areas = data.test_mixtures().areas[0]
    areas_table(areas, data.library.axis).to_csv(table, index=False)
    found = run(
        capsys, "separate", done["checkpoint"], table, "--out", tmp_path / "out" / "separated.csv"
    )["compounds"]
    given = made.model.predict(areas)
    called = (*data.library.names, "something unknown")
    assert [row["name"] for row in found] == [called[k] for k in given.named]
    assert [row["probability"] for row in found] == pytest.approx(
        given.confidence.tolist(), abs=1e-4
    )
    keys = {
        "slots": {"name", "probability"},
        "queries": {"name", "probability", "count", "amount"},
    }[model]
    assert all(
        row.keys() == (keys if k < 10 else {"name", "probability"})
        for row, k in zip(found, given.named, strict=False)
    )
    if model == "queries":
        assert [row["count"] for row in found if "count" in row] == given.counts[
            given.named[given.named < 10]
        ].tolist()
    else:
        assert len(found) == 3
    assert pd.read_csv(tmp_path / "out" / "separated.csv").output.nunique() == len(found)
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 10


def test_separate_tells_how_much_of_each_compound_queries_find(capsys, tmp_path, learned, quick):
    model, table = tmp_path / "model.safetensors", tmp_path / "mixture.csv"
    checkpoints.save(learned, model)
    labels = quick.test[0]
    amounts = np.array([[1.0, 1.6, 0.7]], np.float32)
    areas = mix_at(
        quick.library, labels[None], amounts, quick.config, np.random.default_rng(0)
    ).areas[0]
    areas_table(areas, quick.library.axis).to_csv(table, index=False)
    found = run(capsys, "separate", model, table)["compounds"]
    assert {row["name"] for row in found} == {quick.library.names[k] for k in labels}
    assert all(row["count"] == 1 for row in found)
    for row in found:
        assert row["amount"] == pytest.approx(
            amounts[0, labels.tolist().index(quick.library.names.index(row["name"]))], abs=0.35
        )
    assert main(["separate", str(model), str(table)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line, row in zip(lines, found, strict=False):
        assert line.startswith(row["name"])
        assert line.endswith(f"amount {row['amount']:.3g}")


@pytest.mark.parametrize(("name", "least"), [("reference", 7), ("queries", 9)])
def test_named_metabolites_that_were_never_trained_on_are_named(capsys, tmp_path, name, least):
    model = checkpoints.shipped(name)
    names = model.dataset.library.names
    rows = [row for row in model.dataset.test.tolist() if len(set(row)) == 3]
    right = 0
    for number, row in enumerate(rows[:12]):
        amounts = np.ones((1, 3), np.float32)
        made = mix_at(
            model.dataset.library,
            np.array([row]),
            amounts,
            model.dataset.config,
            np.random.default_rng(number),
        )
        path = tmp_path / f"{number}.csv"
        areas_table(made.areas[0], model.dataset.library.axis).to_csv(path, index=False)
        found = {compound["name"] for compound in run(capsys, "separate", name, path)["compounds"]}
        right += found == {names[k] for k in row}
    assert right >= least


@pytest.mark.parametrize("preset", checkpoints.PACKAGED_PRESETS)
@pytest.mark.parametrize("name", ["reference", "queries", "shipped"])
def test_packaged_models_are_called_by_name(capsys, name, preset):
    found = run(capsys, "evaluate", name, "--preset", preset)["test"]
    model = checkpoints.shipped("reference" if name == "shipped" else name, preset)
    data, weight = model.dataset, model.training.reconstruction_weight
    expected = evaluate(model.model, data.test_mixtures(7, 1), weight).summary()
    assert found["compound_accuracy"] == expected["compound_accuracy"]
    if preset == "metabolites":
        assert run(capsys, "evaluate", name)["test"] == found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "best"], "expected reference, queries, shipped"),
        (["separate", "best", "mixture.csv"], "expected reference, queries, shipped"),
        (["evaluate", "runs/model.safetensors", "--preset", "original"], "leave it out"),
        (["evaluate", "queries", "--preset", "quick"], "--preset"),
        (["package-models", "--only", "quick-queries"], "--only"),
    ],
)
def test_names_that_are_not_there_are_explained(capsys, arguments, message):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_runs_go_to_one_place_when_no_folder_is_named(capsys, home):
    done = run(capsys, "train", "--preset", "original", "--recipe", "adam", "--steps", 2)
    path = Path(done["checkpoint"])
    assert path.parent.parent == home / "runs"
    assert "-queries-original-s7-" in path.parent.name
    assert checkpoints.load(path).training == replace(recipe("adam"), steps=2)


def test_json_is_the_only_thing_on_stdout_and_progress_is_on_stderr(capsys, tmp_path):
    assert (
        main(["train", "--preset", "quick", "--steps", "2", "--out", str(tmp_path), "--json"]) == 0
    )
    captured = capsys.readouterr()
    json.loads(captured.out)
    assert "step/s" in captured.err or "2/2" in captured.err


def test_bench_list(capsys):
    assert "generation" in run(capsys, "bench", "--list")["benches"]


def test_a_bench_writes_its_result_with_its_origin(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(generation, "run", lambda: {"mixtures": 3})
    result = run(capsys, "bench", "generation", "--out", str(tmp_path / "new" / "result.json"))
    assert json.loads((tmp_path / "new" / "result.json").read_text()) == result
    assert result["mixtures"] == 3
    origin = result["measured_with"]
    assert origin["command"] == "python -m nmrclassify bench generation"
    assert origin["version"] == nmrclassify.__version__
    assert origin["seeds"] == [7]
    assert "CPU cores, torch 2" in origin["machine"]
    assert main(["bench", "generation", "--out", str(tmp_path / "table.csv")]) == 2
    assert "no table for" in capsys.readouterr().err


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
    "resume at full scale": ["train-scale", "--resume", "--out", "x"],
    "resume with seed": ["train-scale", "--resume", "--out", "x", "--seed", "7"],
    "workers": ["train-scale", "--out", "x", "--workers", "-1"],
    "missing peaks": ["identify", "nothing.csv"],
    "not peaks": ["identify", __file__],
    "missing library": ["identify", __file__, "--library", "nothing.csv"],
    "unknown method": ["identify", __file__, "--compare", "nnls"],
    "missing network": ["identify", __file__, "--network", "nothing.safetensors"],
    "not a network": ["identify", __file__, "--network", __file__],
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_sentence_and_exit_code_2(capsys, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    assert main(MISTAKES[name]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("nmrclassify: ")


@pytest.mark.parametrize(
    "command", ["generate", "train", "evaluate", "separate", "train-scale", "identify", "bench"]
)
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example: python -m nmrclassify {command}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("model", ["slots", "queries"])
def test_an_encoder_of_fewer_filters_is_trained_and_opened(tmp_path, capsys, model):
    options = ("--preset", "quick", "--model", model, "--steps", 2, "--filters", 16)
    done = run(capsys, "train", *options, "--out", tmp_path / "run")
    assert checkpoints.load(Path(done["checkpoint"])).model.config.n_filters == 16
    assert run(capsys, "evaluate", done["checkpoint"])["test"] == done["test"]
    assert main(["train", "--filters", "1", "--out", str(tmp_path / "other")]) == 2
    assert "n_filters is 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "steps", "number"),
    [("slots", 150, signal.SIGINT), ("queries", 40, signal.SIGTERM)],
)
def test_an_interrupted_training_is_resumed(tmp_path, capsys, model, steps, number):
    out = tmp_path / "run"
    training = ["train", "--preset", "quick", "--model", model, "--steps", str(steps)]
    command = [sys.executable, "-m", "nmrclassify", *training, "--out", str(out)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    seen = ""
    while not re.search(rf"[1-9]\d*/{steps} ", seen):
        read = process.stderr.read(1)
        assert read, seen
        seen += read
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait(60) == 128 + number
    assert "--resume" in rest
    assert "Traceback" not in rest
    done = run(capsys, "train", "--resume", "--out", out)
    assert done["steps"] == steps
    straight = run(capsys, *training, "--out", tmp_path / "straight")
    assert straight["test"] == done["test"]
    first, second = (
        checkpoints.load(Path(d["checkpoint"])).model.state_dict() for d in (done, straight)
    )
    assert all(bool((first[key] == second[key]).all()) for key in first)
    assert (
        float(first["temperature"]) != 1
    )  # calibrated, after the same steps, on the same mixtures


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_a_training_between_two_steps(number):
    before = signal.getsignal(number)
    with cli._training(5, 0) as (_, signals):
        assert not signals()
        os.kill(os.getpid(), number)
        assert signals() and signals.number == number
    assert signal.getsignal(number) is before


TRAIN = ("train", "--preset", "quick", "--model", "queries", "--steps", "3")


def test_a_training_replaces_another_only_where_that_is_meant(tmp_path, capsys):
    out = str(tmp_path / "run")
    model = tmp_path / "run" / "model.safetensors"
    assert main([*TRAIN, "--out", out, "--save-every", "0"]) == 2
    assert "--save-every is 0; expected 1 or more steps" in capsys.readouterr().err
    run(capsys, *TRAIN, "--out", out)
    kept = model.read_bytes()
    assert main([*TRAIN, "--seed", "8", "--out", out]) == 2
    assert "finished training; choose another --out, or add --overwrite" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", out]) == 2
    assert "the one there is finished" in capsys.readouterr().err
    assert model.read_bytes() == kept
    run(capsys, *TRAIN, "--seed", "8", "--out", out, "--overwrite")
    assert checkpoints.load(model).seed == 8
    with run_files.locked(tmp_path / "run"):
        assert main([*TRAIN, "--out", out, "--overwrite"]) == 2
    assert f"process {os.getpid()} writes the folder" in capsys.readouterr().err


def test_a_full_disk_is_estimated_with_its_path_and_ends_no_training(tmp_path, capsys, monkeypatch):
    free, full, slept = shutil.disk_usage(tmp_path).free, [True], []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free * (not full)))
    assert main([*TRAIN, "--out", str(tmp_path / "run")]) == 2
    said = capsys.readouterr().err
    assert f"the disk of {tmp_path / 'run'} has 0.0 MB of free space; expected at least" in said
    # Full for the first state, and for the first try to write the model.
    full.clear()
    save_state, save, states = run_states.save_state, runs.save, []

    def fail_once(*arguments):
        states.append(arguments)
        if len(states) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save_state(*arguments)

    def fail_until_slept(*arguments):
        if 30 not in slept:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(*arguments)

    monkeypatch.setattr(run_states, "save_state", fail_once)
    monkeypatch.setattr(runs, "save", fail_until_slept)
    # Not of the module: threads of other tests sleep, too.
    monkeypatch.setattr(cli, "time", SimpleNamespace(sleep=slept.append))
    assert main([*TRAIN, "--out", str(tmp_path / "run"), "--save-every", "1"]) == 0
    said = capsys.readouterr().err
    assert f"step 1 is not saved: {tmp_path / 'run'} cannot be written (No space" in said
    assert "it is tried again in 30 s" in said
    assert len(states) == 2 and slept.count(30) == 1
    assert checkpoints.load(tmp_path / "run" / "model.safetensors").step == 3


def test_a_model_that_cannot_be_written_ends_with_what_remains(tmp_path, capsys, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "SAVE_ATTEMPTS", 1)
    monkeypatch.setattr(runs, "save", fail)
    assert main([*TRAIN, "--out", str(tmp_path), "--save-every", "1"]) == 2
    said = capsys.readouterr().err
    assert f"{tmp_path} cannot be written (No space left on device)" in said
    assert f"`train --resume --out {tmp_path}` continues from the state saved last" in said
    monkeypatch.undo()
    assert run(capsys, "train", "--resume", "--out", tmp_path)["steps"] == 3


@pytest.fixture
def mixture(tmp_path):
    """Five packaged metabolites, and a file of their peaks."""
    compounds = common_metabolites()
    config = PeakMixtureConfig(n_low=5, n_high=5, jitter=0.003, decades=0.3)
    made = draw_mixture(compounds, config, np.random.default_rng(0))
    peak_files.peaks_table(made.peaks).to_csv(tmp_path / "peaks.csv", index=False)
    return {compounds.names[k] for k in made.present}, tmp_path / "peaks.csv"


def test_identify(capsys, tmp_path, mixture):
    there, path = mixture
    out, masks = tmp_path / "new" / "answer.csv", tmp_path / "new" / "masks.csv"
    found = run(capsys, "identify", path, "--out", out, "--masks", masks)
    assert set(found) == {"compounds", "note", "mhz", "ph", "threshold", "seconds"}
    assert found["mhz"] == 600
    assert found["note"].startswith("A list of")
    always = {"name", "probability", "amount", "concentration"}
    assert all(always <= set(row) <= always | {"alike"} for row in found["compounds"])
    probabilities = [row["probability"] for row in found["compounds"]]
    assert probabilities == sorted(probabilities, reverse=True)
    assert all(found["threshold"] <= chance <= 1 for chance in probabilities)
    named = {name for row in found["compounds"] for name in (row["name"], *row.get("alike", []))}
    assert len(there & named) >= 3
    assert len(found["compounds"]) <= 10
    table = pd.read_csv(out)
    assert list(table) == ["compound", "probability", "amount", "mol %", "from", "to"]
    assert len(table) == common_metabolites().n_compounds
    shares, peaks = pd.read_csv(masks), pd.read_csv(path)
    assert list(shares) == ["compound", "ppm", "area", "share"]
    assert set(shares.compound) <= {row["name"] for row in found["compounds"]}
    assert shares.share.between(0, 1).all()
    areas = dict(zip(peaks.ppm, peaks.area, strict=False))
    assert [areas[ppm] for ppm in shares.ppm] == pytest.approx(shares.area.tolist(), rel=1e-5)
    assert not shares.duplicated(["compound", "ppm"]).any()
    assert (shares.area * shares.share).sum() > 0.5 * peaks.area.sum()
    lines = tmp_path / "lines.txt"
    assert main(["identify", str(path), "--spread", "0.003", "--multiplets", str(lines)]) == 0
    assert len(lines.read_text(encoding="utf-8").splitlines()) == len(found["compounds"])
    assert " 1H NMR (600 MHz) δ " in lines.read_text(encoding="utf-8")
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == found["note"]
    assert " mol % (" in lines[0]


def test_identify_compares_with_a_classical_method(capsys, monkeypatch, mixture):
    there, path = mixture
    found = run(capsys, "identify", path, "--compare", "least squares")
    comparison = found["comparison"]
    rows = comparison["compounds"]
    assert comparison["method"] == "least squares"
    assert {row["name"] for row in rows if row["named"]} == {
        row["name"] for row in found["compounds"]
    }
    assert all(row["named"] or row["method_named"] for row in rows)
    both = [row["name"] for row in rows if row["named_by"] == "both"]
    assert len(there & set(both)) >= 2
    assert comparison["summary"].startswith(f"Both name {len(both)},")
    assert main(["identify", str(path), "--compare", "least squares"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert comparison["summary"] in lines
    assert any(line.startswith(f"{both[0]}  both  network: ") for line in lines)
    monkeypatch.setitem(sys.modules, "magnetstein", None)
    assert main(["identify", str(path), "--compare", "optimal transport"]) == 2
    assert "needs the package magnetstein, which is missing" in capsys.readouterr().err


def test_amounts_are_in_mm_where_a_concentration_is_known(capsys, mixture):
    first = run(capsys, "identify", mixture[1])["compounds"][0]
    assert sum(
        row["concentration"]["value"] for row in run(capsys, "identify", mixture[1])["compounds"]
    ) == pytest.approx(100)
    rows = run(capsys, "identify", mixture[1], "--known", f"{first['name']}=2.5")["compounds"]
    assert rows[0]["concentration"]["value"] == pytest.approx(2.5)
    assert {row["concentration"]["unit"] for row in rows} == {"mM"}
    for row in rows:
        concentration = row["concentration"]
        assert concentration["from"] < concentration["value"] < concentration["to"]
        assert concentration["value"] == pytest.approx(2.5 * row["amount"] / first["amount"])
    for given, expected in (
        ("helium=1", "'helium', whose concentration is given, is not found in this mixture"),
        ("DSS=1", "'DSS', whose concentration is given, is not found"),
        ("DSS", "'DSS' is no known concentration; expected a compound and mM, such as DSS=0.5"),
        (f"{first['name']}=-1", "mm is -1; expected a number above 0"),
    ):
        assert main(["identify", str(mixture[1]), "--known", given]) == 2
        assert expected in capsys.readouterr().err


def test_a_compound_without_an_amount_is_a_line_without_one():
    row = {"name": "glucose", "probability": 0.5, "amount": None}
    row["concentration"] = {"value": None, "from": None, "to": None, "unit": "mol %"}
    assert cli._line(row) == "glucose  50.0 %"
    row["concentration"]["value"] = 12.0
    assert cli._line(row) == "glucose  50.0 %  12 mol %"


def test_identify_searches_the_ph_of_peaks_if_asked(capsys, tmp_path):
    library = common_metabolites()
    names = ["glycine", "alanine", "lactate", "citrate", "valine", "glutamate", "malate", "serine"]
    acid = second_order(at_ph(library, 2.5), FULL_AXIS.mhz)
    acid = acid.select([library.names.index(name) for name in names])
    peaks = Peaks.from_lines(acid.line_ppm(FULL_AXIS.mhz), acid.areas)
    path = tmp_path / "peaks.csv"
    peak_files.peaks_table(peaks).to_csv(path, index=False)
    usual = run(capsys, "identify", path)
    assert usual["ph"] == 7.4
    asked = run(capsys, "identify", path, "--ph", "auto")
    assert asked["ph"] == pytest.approx(2.5, abs=0.5)
    assert "The pH was estimated as" in asked["note"]
    named, as_usual = ({row["name"] for row in found["compounds"]} for found in (asked, usual))
    assert len(named & set(names)) >= 7 > len(as_usual & set(names))
    assert run(capsys, "identify", path, "--ph", "2.5")["ph"] == 2.5
    assert main(["identify", str(path), "--ph", "15"]) != 0
    assert "ph is 15.0; expected a number from 0.5 to 12" in capsys.readouterr().err


def test_identify_lists_compounds_alike_once_and_tells_what_was_left_out(capsys, tmp_path, mixture):
    there, path = mixture
    compounds = common_metabolites()
    table = compounds.frame()
    chosen = min(there)
    twin = table[table.compound == chosen].assign(compound="twin", protons=lambda t: 2 * t.protons)
    bad = pd.DataFrame(
        {"compound": "bad", "ppm": 99.0, "kind": "s", "j_hz": "", "protons": np.arange(30) + 1}
    )
    pd.concat([bad, table, twin]).to_csv(tmp_path / "library.csv", index=False)
    assert main(["identify", str(path), "--library", str(tmp_path / "library.csv"), "--json"]) == 0
    captured = capsys.readouterr()
    rows = json.loads(captured.out)["compounds"]
    both = [row for row in rows if {"twin", chosen} & {row["name"], *row.get("alike", [])}]
    assert all({"twin", chosen} <= {row["name"], *row["alike"]} for row in both)
    assert len(both) <= 1
    said = captured.err.splitlines()
    # 30 rows, the compound without one, and the packaged table's multiplets that are merged or
    # humps.
    problems = read_compounds(tmp_path / "library.csv").problems
    assert len(said) == 21
    assert said[-1] == f"nmrclassify: {len(problems) - 20} more such rows"
    assert len(problems) > 31
    assert said[0] == "nmrclassify: row 2: ppm is '99.0'; expected a chemical shift from -5 to 20"


def test_identify_takes_pure_compounds_and_tables_together(capsys, tmp_path):
    pure = tmp_path / "pure"
    pure.mkdir()
    lines = "ppm,area\n1.326,1.5\n1.314,1.5\n4.121,.12\n4.109,.38\n4.098,.38\n4.086,.12\n"
    (pure / "lactate (4H).csv").write_text(lines)
    (tmp_path / "mixture.csv").write_text(lines + "1.906,3\n8.44,.5\n")
    library = ["--library", str(pure), "--library", "metabolites"]
    assert main(["identify", str(tmp_path / "mixture.csv"), *library, "--json"]) == 0
    captured = capsys.readouterr()
    rows = {row["name"]: row["amount"] for row in json.loads(captured.out)["compounds"]}
    assert rows["lactate"] == pytest.approx(1, rel=0.1)
    assert "acetate" in rows
    assert "compound 'lactate' is left out, because lactate (4H).csv has it" in captured.err
    assert "Lines kept: 6, in groups: 2. They count as 4 protons." in captured.err


def test_identify_says_when_nothing_is_named(capsys, tmp_path):
    path = tmp_path / "peaks.csv"
    path.write_text("ppm,area\n11.7,1\n11.8,1\n")
    assert run(capsys, "identify", path)["compounds"] == []
    assert main(["identify", str(path), "--masks", str(tmp_path / "masks.csv")]) == 0
    first, note = capsys.readouterr().out.splitlines()
    assert first == "no compound is named"
    assert note.startswith("A list of 2 peaks. This is not explained by the library: no compound")
    assert (tmp_path / "masks.csv").read_text() == "compound,ppm,area,share\n"


def test_identify_reads_no_file_that_is_too_large(capsys, tmp_path, monkeypatch):
    path = tmp_path / "peaks.csv"
    path.write_text("ppm,area\n1,1\n")
    monkeypatch.setattr(peak_files, "MAX_BYTES", 10)
    monkeypatch.setattr(spectrum_files, "MAX_BYTES", 10)
    monkeypatch.setattr(Path, "read_bytes", None)
    assert main(["identify", str(path)]) == 2
    assert "the file has more than 10 bytes; expected at most that" in capsys.readouterr().err


def test_identify_reads_the_zip_of_an_experiment_and_takes_its_frequency(capsys, tmp_path):
    compounds = common_metabolites()
    names = {"lactate", "alanine", "formate", "glycine"}
    axis = Axis(2**16, -1.0, 12.0, "ppm", 500.13)
    chosen = [k for k, name in enumerate(compounds.names) if name in names]
    rows = np.isin(compounds.compound[compounds.line_multiplet], chosen)
    peaks = Peaks.from_lines(compounds.line_ppm(axis.mhz)[rows], compounds.areas[rows], axis)
    heights = 1e6 * spectrum(axis, peaks.positions, peaks.areas)
    stated = {"SF": axis.mhz, "OFFSET": axis.high, "SW_p": 13 * axis.mhz, "SI": axis.n_positions}
    stated |= {"NC_proc": 0, "BYTORDP": 0, "DTYPP": 0, "XDIM": 0}
    with zipfile.ZipFile(tmp_path / "sample.zip", "w") as archive:
        archive.writestr("a/1/acqus", "##$NUC1= <1H>\n##END=\n")
        procs = "".join(f"##${key}= {value}\n" for key, value in stated.items())
        archive.writestr("a/1/pdata/1/procs", f"{procs}##END=\n")
        archive.writestr("a/1/pdata/1/1r", np.round(heights[::-1]).astype("<i4").tobytes())
    found = run(capsys, "identify", tmp_path / "sample.zip")
    assert found["mhz"] == pytest.approx(500.13)
    assert found["note"].startswith("Bruker, processed spectrum")
    assert names <= {row["name"] for row in found["compounds"]}
    assert run(capsys, "identify", tmp_path / "sample.zip", "--mhz", "600")["mhz"] == 600
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"reference": "by hand", "shift": 1.5}')
    found = run(capsys, "identify", tmp_path / "sample.zip", "--recipe", recipe)
    assert "shifted by +1.5000 ppm by hand" in found["note"]
    recipe.write_text('{"threshold": 0}')
    assert main(["identify", str(tmp_path / "sample.zip"), "--recipe", str(recipe)]) == 2
    assert "threshold is 0; expected" in capsys.readouterr().err
    (tmp_path / "broken.zip").write_bytes((tmp_path / "sample.zip").read_bytes()[:-100])
    assert main(["identify", str(tmp_path / "broken.zip")]) == 2
    assert "the archive cannot be unpacked" in capsys.readouterr().err


@pytest.fixture
def small(monkeypatch):
    """Training at full scale, made small."""
    sizes = {"libraries": 2, "compounds": 30, "n_low": 3, "n_high": 6}
    monkeypatch.setattr(
        peak_trainer, "PeakTrainConfig", partial(peak_trainer.PeakTrainConfig, **sizes)
    )
    recipe = PeakMixtureConfig(n_low=3, n_high=6)
    monkeypatch.setattr(
        peak_calibration,
        "calibrate_network",
        partial(peak_calibration.calibrate_network, mixtures=1, n_compounds=30, recipe=recipe),
    )


def test_train_scale_and_its_network(capsys, tmp_path, small, mixture):
    out = tmp_path / "run"
    command = ["train-scale", "--out", out, "--batch", 1, "--workers", 0]
    done = run(capsys, *command, "--steps", 2, "--seed", 3)
    assert done["steps"] == 2
    assert (done["config"]["batch"], done["config"]["seed"]) == (1, 3)
    trained = peak_weights.load(Path(done["network"]))
    assert trained.threshold == done["threshold"]
    assert not trained.network.training
    found = run(capsys, "identify", mixture[1], "--network", done["network"])
    assert found["threshold"] == trained.threshold
    # A second training would overwrite the first.
    assert main([*map(str, command)]) == 2
    assert "add --resume to continue it, or choose another --out" in capsys.readouterr().err
    again = run(capsys, "train-scale", "--resume", "--out", out, "--workers", 0)
    assert again["config"] == done["config"]
    assert again["steps"] == 2


def test_an_interrupted_training_at_full_scale_is_resumed(capsys, tmp_path, small, monkeypatch):
    command = ["train-scale", "--batch", "1", "--steps", "3", "--workers", "0", "--out"]
    step = peak_trainer.PeakTrainer.train_step

    def interrupted(trainer, batch):
        signal.raise_signal(signal.SIGINT)
        return step(trainer, batch)

    with monkeypatch.context() as patch:
        patch.setattr(peak_trainer.PeakTrainer, "train_step", interrupted)
        assert main([*command, str(tmp_path / "a")]) == 130
    assert "stopped at step 1; `train-scale --resume --out" in capsys.readouterr().err
    done = run(capsys, "train-scale", "--resume", "--workers", 0, "--out", tmp_path / "a")
    straight = run(capsys, *command, tmp_path / "b")
    assert (done["steps"], done["config"]["seed"]) == (3, 7)
    first, second = (
        peak_weights.load(Path(d["network"])).network.state_dict() for d in (done, straight)
    )
    assert all(bool((first[key] == second[key]).all()) for key in first)


def test_full_scale_help_tells_how_to_train_on_two_gpus(capsys):
    with pytest.raises(SystemExit):
        main(["train-scale", "--help"])
    assert "torchrun --nproc-per-node 2 -m nmrclassify train-scale" in " ".join(
        capsys.readouterr().out.split()
    )


def test_numbers_that_json_lacks_become_null(capsys, monkeypatch):
    result = {
        "a": float("nan"),
        "b": [1.5, np.float64("inf"), {"c": (-float("inf"), None, "NaN", 3)}],
    }
    monkeypatch.setattr(bench, "run", lambda name: result)
    assert main(["bench", "x", "--json"]) == 0
    expected = {"a": None, "b": [1.5, None, {"c": [None, None, "NaN", 3]}]}
    assert (
        json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(name))
        == expected
    )
