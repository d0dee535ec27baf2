"""The program of a page draws the page's figure again, from nothing but the package."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.evaluation.compare_predictions import compare_predictions
from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.evaluation.interpretation import Cell, trace_cell
from nmrclassify.evaluation.masks import ideal_masks_of_outputs
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.mixtures import grid_files
from nmrclassify.mixtures.edits import Add, Amount, Cut, Move, Noise
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.nmr.axis import PPM_AXIS
from nmrclassify.plots import page_figures
from nmrclassify.plots.style import Theme
from nmrclassify.training import checkpoints, runs, trainer
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import Trainer, model_for, sizes_for
from nmrclassify.ui.model_picker import Chosen
from nmrclassify.ui.panels import View
from nmrclassify.ui.snippets import code, compared, pages

EDITS = (Add(5, "d", 2.0), Move(3, 0.5), Amount(4, 1.5), Cut(9), Noise(0.05, 3))
FEW = TrainConfig(steps=3, batch_size=8)


@pytest.fixture(autouse=True)
def few_validation_mixtures(monkeypatch):
    """Calibrate on few mixtures: the fit takes longer than these trainings."""
    monkeypatch.setattr(trainer, "VALIDATION_MIXTURES", 40)


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.shipped()


def view_of(checkpoint, model="reference", last=True, dataset=None, areas=None, **mixture):
    """Return the view of a model and a mixture of `dataset`, or of the data it was trained on."""
    data = dataset or checkpoint.dataset
    spec = MixtureSpec(data.preset, data.seed, data.config, **mixture)
    _, plain, sample = spec.realise(data, areas=areas)
    chosen = Chosen(model, "", checkpoint, last=last)
    view = View(data, chosen, spec, plain, sample, "", Theme())
    vars(view)["followed_cell"] = Cell(2, 5, 6)  # as if it had been clicked
    return view


def drawn(page, view):
    """Return a page's main figure, by the function that the page calls."""
    model, library, theme = view.checkpoint.model, view.library, view.theme
    if page == "pages/robustness.py":
        return page_figures.robustness("shift_jitter", theme)
    if page == "pages/evaluate.py":
        weight = view.checkpoint.training.reconstruction_weight
        result = evaluate(model, view.dataset.test_mixtures(), weight)
        return page_figures.confusion(result, library, theme)
    if page == "pages/mixtures.py":
        return page_figures.mixture(view.sample, library, theme)
    if page == "pages/inside.py":
        trace = trace_cell(model, view.areas, view.followed_cell)
        return page_figures.cell_trace(trace, model.kind, library, theme)
    if page == "pages/whatif.py":
        change = compare_predictions((model, view.plain.areas), (model, view.areas))
        return page_figures.change(change, library, theme)
    if page == "pages/masks.py":
        ideal = ideal_masks_of_outputs(model, view.sample, view.truth)
        return page_figures.masks(
            view.prediction, view.truth, ideal, patterns_of(model), library, theme
        )
    if page == "pages/separation.py":
        return page_figures.separation(view.prediction, view.truth, library, theme)
    patterns = patterns_of(model)
    return page_figures.overview(
        view.sample, view.prediction, view.truth, library, theme, patterns=patterns
    )


def run(program, monkeypatch):
    """Run a program without its last line, without Streamlit; return its variables."""
    assert program.endswith("\nfigure.show()\n")
    left = {}
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "streamlit", None)
        exec(compile(program.removesuffix("figure.show()\n"), "program", "exec"), left)
    return left


def check_imports(program):
    """Check that the imports of a program stand at its top, in order, and are all used."""
    tree = ast.parse(program)
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    nested = [
        node
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in imports
    ]
    known = [alias.asname or alias.name for node in imports for alias in node.names]
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not nested and tree.body[: len(imports)] == imports, program
    assert len(set(known)) == len(known), f"imported twice: {known}"
    assert not set(known) - used, f"imported and not used: {set(known) - used}\n{program}"
    modules = [node.module for node in imports]
    assert modules == sorted(set(modules)), f"modules are {modules}"
    assert "streamlit" not in program and "{" not in program.replace("{}", ""), program


def check(page, view, monkeypatch):
    """Compare what a page's program draws with the figure of the same state."""
    program = code(page, view)
    check_imports(program)
    figure = run(program, monkeypatch)["figure"]
    assert figure.to_json() == drawn(page, view).to_json(), program


# The shipped model does not train when its program is run, so all of its states can be tried.
STATES = {
    "first": {"number": 1},
    "another": {"number": 12},
    "edited": {"number": 1, "edits": EDITS},
    "unknown": {"number": 5, "unknown": True},
    "unknown and edited": {"number": 1, "unknown": True, "edits": EDITS},
    "chosen": {"compounds": (1, 4, 8), "concentrations": (0.75, 1.0, 1.333333)},
    "chosen, unknown and edited": {
        "compounds": (8, 1, 4),
        "concentrations": (2.5, 0.75, 1.0),
        "unknown": True,
        "edits": (Cut(3),),
    },
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("page", pages())
def test_every_page_of_the_shipped_model_is_drawn_again(page, state, shipped, monkeypatch):
    check(page, view_of(shipped, **STATES[state]), monkeypatch)


@pytest.mark.parametrize("page", pages())
@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_an_untrained_network_is_drawn_again(page, kind, quick, monkeypatch):
    untrained = Checkpoint(model_for(quick, 5, kind), quick, TrainConfig(), 5, 0, {})
    check(page, view_of(untrained, "untrained", number=4), monkeypatch)


@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_a_step_of_a_training_is_drawn_again(kind, quick, monkeypatch):
    settings = replace(FEW, learning_rate=2e-3, reconstruction_weight=3.0)
    trainer = Trainer(quick, settings, 9, kind, sizes_for(quick, kind, n_filters=16))
    while not trainer.finished:
        trainer.advance()
    for step in (0, 2, 3):
        # The weights of the program's network want gradients: torch then rounds the last bit of a
        # product another way.
        model = trainer.training_history.network(step).requires_grad_()
        past = Checkpoint(model, quick, trainer.config, 9, step, {})
        view = view_of(past, "training", step == 3, number=2, edits=(Cut(3),))
        for page in (
            ("app.py", "pages/masks.py", "pages/evaluate.py") if step == 3 else ("pages/inside.py",)
        ):
            check(page, view, monkeypatch)


def test_a_run_on_disk_is_opened_or_trained_again(quick, monkeypatch, home):
    trainer = Trainer(quick, FEW, 4, "queries")
    *_, last = trainer.snapshots(3)
    path = runs.save(
        Checkpoint.from_trainer(trainer, last.test),
        trainer.history,
        runs.home() / "20260101-000000-queries-quick-s4-abc",
        "app",
        trainer.training_history,
    )
    name, kept = path.parent.name, checkpoints.load(path)
    view = view_of(kept, name, number=1)
    assert name in code("app.py", view)
    assert "Trainer" not in code("app.py", view)
    check("app.py", view, monkeypatch)
    past = Checkpoint(trainer.training_history.network(1), quick, FEW, 4, 1, {})
    view = view_of(past, name, last=False, number=1)
    assert name not in code("app.py", view)
    check("app.py", view, monkeypatch)


@pytest.mark.parametrize(
    ("preset", "config"),
    [
        ("quick", MixtureConfig(noise=0.1, shift_jitter=0.2)),
        ("metabolites", MixtureConfig()),
        ("original", MixtureConfig(repetition=True)),
        (
            "quick",
            MixtureConfig(2, number_varies=True, concentration_low=0.5, concentration_high=2.0),
        ),
    ],
)
def test_other_ways_to_mix_are_drawn_again(preset, config, monkeypatch):
    data = build(preset, 6, config)
    untrained = Checkpoint(model_for(data, 6, "slots"), data, TrainConfig(), 6, 0, {})
    view = view_of(untrained, "untrained", number=3)
    assert ("MixtureConfig(" in code("app.py", view)) == (config != PRESETS[preset].mixture)
    for page in ("app.py", "pages/evaluate.py"):
        check(page, view, monkeypatch)


def test_an_uploaded_model_is_opened_from_its_file(trained, tmp_path, monkeypatch):
    checkpoints.save(trained, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    kept = checkpoints.load(Path("model.safetensors"))
    check("app.py", view_of(kept, "upload", number=3), monkeypatch)


def test_outputs_are_matched_by_the_weight_of_the_training(trained, tmp_path, monkeypatch):
    unweighted = replace(trained, training=replace(trained.training, reconstruction_weight=0.0))
    checkpoints.save(unweighted, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    uploaded = checkpoints.load(tmp_path / "model.safetensors")
    for page in ("app.py", "pages/evaluate.py"):
        check(page, view_of(uploaded, "upload", number=3), monkeypatch)


@pytest.mark.parametrize("page", pages())
def test_an_uploaded_mixture_is_read_from_its_file(page, shipped, tmp_path, monkeypatch):
    areas = shipped.dataset.test_mixtures().areas[2]
    text = grid_files.areas_table(areas, PPM_AXIS).to_csv(index=False)
    (tmp_path / "mixture.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    areas = grid_files.read_mixture(text, PPM_AXIS, 6)
    check(page, view_of(shipped, areas=areas, edits=(Cut(3), Add(5, "t", 1.0))), monkeypatch)


@pytest.mark.parametrize(
    ("preset", "axis"), [("metabolites", PPM_AXIS), ("quick", build("quick", 3).library.axis)]
)
def test_an_uploaded_library_is_read_from_its_file(preset, axis, tmp_path, monkeypatch):
    library = build(preset, 3).library
    text = grid_files.areas_table(library.areas, axis, "compound", library.names).to_csv(
        index=False
    )
    (tmp_path / "library.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    data = build("quick", 5, library=grid_files.read_library(text, axis, 6))
    for config in (data.config, MixtureConfig(noise=0.1)):
        data = build("quick", 5, config, data.library)
        untrained = Checkpoint(model_for(data, 5, "queries"), data, TrainConfig(), 5, 0, {})
        view = view_of(untrained, "untrained", number=2)
        assert view.spec.preset == "own"
        for page in ("app.py", "pages/mixtures.py"):
            check(page, view, monkeypatch)


def test_a_model_is_trained_on_its_own_mixtures_whatever_is_looked_at(quick, monkeypatch):
    trainer = Trainer(quick, FEW, 9, "queries")
    while not trainer.finished:
        trainer.advance()
    checkpoint = Checkpoint.from_trainer(trainer, {})
    # by the sliders under "How mixtures are made"
    noisy = build("quick", quick.seed, MixtureConfig(noise=0.3))
    view = view_of(checkpoint, "training", dataset=noisy, number=2)
    model = run(code("app.py", view), monkeypatch)["model"]
    assert model.predict(view.areas).probabilities == pytest.approx(
        view.prediction.probabilities, abs=1e-6
    )


@pytest.mark.parametrize(
    "one_more", [True, False], ids=["one more than outputs", "one less than outputs"]
)
def test_a_mixture_of_more_or_fewer_compounds_than_slots_is_drawn_with_the_truth(
    one_more, quick, monkeypatch
):
    labels = quick.test_mixtures().labels[0]
    absent = int(np.setdiff1d(np.arange(10), labels)[0]) + 1
    edit = Amount(absent, 1.0) if one_more else Amount(int(labels[0]) + 1, 0.0)
    untrained = Checkpoint(model_for(quick, 5, "slots"), quick, TrainConfig(), 5, 0, {})
    view = view_of(untrained, "untrained", number=1, edits=(edit,))
    assert view.truth.counts.sum() == (4 if one_more else 2)
    assert len(view.truth.unshown) == one_more
    check("app.py", view, monkeypatch)


def test_a_program_runs_by_itself(shipped):
    """In a fresh interpreter, where any import of Streamlit on the way would fail."""
    program = code("pages/inside.py", view_of(shipped, number=1, edits=EDITS)).replace(
        "figure.show()", "print(len(figure.data))"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.modules['streamlit'] = None\n{program}"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=120,
    )
    assert done.returncode == 0 and int(done.stdout) == 8, done.stderr


def test_pages_without_a_program_are_refused(shipped):
    with pytest.raises(ValueError, match="page is 'pages/quiz.py'; expected one of app.py"):
        code("pages/quiz.py", view_of(shipped, number=1))
    assert all((Path(__file__).parents[2] / page).is_file() for page in pages())


def test_two_states_side_by_side(shipped, monkeypatch):
    """Two models, and the same compounds and edits with another noise."""
    plain = view_of(shipped, number=1, edits=EDITS)
    noisy = build("metabolites", shipped.dataset.seed, replace(plain.spec.mixing, noise=0.2))
    untrained = Checkpoint(model_for(noisy, 3, "queries"), noisy, TrainConfig(), 3, 0, {})
    other = view_of(untrained, "untrained", number=1, edits=EDITS)
    program = compared(plain, other)
    check_imports(program)
    result = run(program, monkeypatch)
    assert np.array_equal(result["sample_a"].areas, plain.areas)
    assert np.array_equal(result["sample_b"].areas, other.areas)
    assert not np.array_equal(plain.areas, other.areas)
    assert np.array_equal(plain.labels, other.labels)
    change = compare_predictions((shipped.model, plain.areas), (untrained.model, other.areas))
    assert np.array_equal(result["change"].presence, change.presence)
    expected = page_figures.change(change, plain.library, sides=("A", "B"))
    assert result["figure"].to_json() == expected.to_json()
