"""The program of a page draws the page's figure again, from nothing but the package."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nmrclassify.evaluation import interpretation
from nmrclassify.evaluation.compare_predictions import compare_predictions
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.evaluation.prediction import match_truth, predict
from nmrclassify.evaluation.robustness import SWEEPS, measured
from nmrclassify.mixtures import grid_files
from nmrclassify.mixtures.edits import (
    Add,
    Amount,
    Cut,
    Mixture,
    Move,
    Noise,
    apply,
    from_text,
    to_text,
)
from nmrclassify.mixtures.grid import (
    MixtureConfig,
    generator,
    mix_at,
    unknown_compounds,
    with_unknown,
)
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.nmr.axis import PPM_AXIS
from nmrclassify.plots import activations, classes, comparison, curves, maps
from nmrclassify.plots.style import Theme
from nmrclassify.training import checkpoints, runs, trainer
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.trainer import TrainConfig, Trainer, model_for
from nmrclassify.ui.model_picker import Chosen
from nmrclassify.ui.panels import View
from nmrclassify.ui.snippets import Recipe, code, compared, pages

EDITS = to_text((Add(5, "d", 2.0), Move(3, 0.5), Amount(4, 1.5), Cut(9), Noise(0.05, 3)))
FEW = TrainConfig(steps=3, batch_size=8)


@pytest.fixture(autouse=True)
def few_validation_mixtures(monkeypatch):
    """Calibrate on few mixtures: the fit takes longer than these trainings."""
    monkeypatch.setattr(trainer, "VALIDATION_MIXTURES", 40)


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.shipped()


def recipe(checkpoint, model="shipped", number=1, last=True, **more):
    """Return the recipe of a model on the data that it was trained on."""
    own = checkpoint.dataset
    cell = {"output": 2, "filter": 5, "position": 6}
    return Recipe(
        own.preset,
        own.seed,
        own.config,
        model,
        checkpoint.model.kind,
        checkpoint.training,
        checkpoint.seed,
        checkpoint.step,
        last,
        number,
        **(cell | more),
    )


def sample_of(data, recipe):
    """Return a recipe's mixture before and after its edits."""
    if recipe.labels is not None:
        mixtures = mix_at(
            data.library,
            recipe.labels[None],
            recipe.concentrations[None],
            data.config,
            generator(data.seed, "view"),
        )
    else:
        mixtures = data.test_mixtures()[recipe.number - 1 : recipe.number]
    if recipe.foreign is not None:
        stranger = unknown_compounds(
            data.library, 1, generator(data.seed, "unknown", recipe.foreign)
        )
        mixtures = with_unknown(mixtures, stranger, np.ones(1))
    plain = Mixture.of(mixtures, 0)
    return plain, apply(plain, from_text(recipe.edits), data.library)


def drawn(page, recipe, data, model, plain, sample):
    """Return a page's main figure, drawn by the package from a state."""
    names, axis, theme = data.library.names, data.library.axis, Theme()
    if page == "pages/robustness.py":
        results = measured()
        return curves.robustness(
            curves.over_seeds(results[results["sweep"] == "shift_jitter"]),
            SWEEPS["shift_jitter"].title,
            theme,
        )
    if page == "pages/evaluate.py":
        counts = evaluate(
            model, data.test_mixtures(), recipe.training.reconstruction_weight
        ).confusion()
        return classes.confusion(
            counts, names if len(counts) == len(names) else (*names, "nothing"), theme
        )
    if page == "pages/mixtures.py":
        return maps.area_maps(
            [("Mixture: 6 peaks x positions", sample.areas[None])], axis, theme, outputs=False
        )
    if page == "pages/inside.py":
        trace = interpretation.trace_cell(
            model, sample.areas, interpretation.Cell(recipe.output, recipe.filter, recipe.position)
        )
        return activations.cell_trace(trace, names, model.kind, axis, theme)
    if page == "pages/whatif.py":
        return comparison.multiplet_change(
            compare_predictions((model, plain.areas), (model, sample.areas)), names, axis, theme
        )
    given = predict(model, sample.areas)
    headings = classes.headings(given, names, None)
    if page == "pages/masks.py":
        return maps.mask_maps(
            [("Masks the network estimated", given.masks)],
            axis,
            theme,
            headings,
            indices=given.outputs,
        )
    if page == "pages/separation.py":
        return maps.area_maps(
            [("Separated by the network", given.multiplets)],
            axis,
            theme,
            headings,
            indices=given.outputs,
        )
    truth = None
    if sample.labels is not None:
        truth = match_truth(
            given,
            sample.areas,
            sample.sources,
            sample.labels,
            recipe.training.reconstruction_weight,
            sample.unknown,
            sample.concentrations,
        )
    return maps.overview(sample.areas, given, names, axis, theme, truth)


def run(program, monkeypatch):
    """Run a program without its last line, where nothing of Streamlit can be had; return what it leaves."""
    assert program.endswith("\nfigure.show()\n")
    monkeypatch.setitem(sys.modules, "streamlit", None)
    left = {}
    exec(compile(program.removesuffix("figure.show()\n"), "program", "exec"), left)
    return left


def tidy(program):
    """Say what a reader would mind in a program: imports that are not at its top, not used, or not in order."""
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


def check(page, recipe, data, model, monkeypatch):
    """Compare what a page's program draws with the figure of the same state."""
    program = code(page, recipe)
    tidy(program)
    plain, sample = sample_of(data, recipe)
    found = run(program, monkeypatch)["figure"]
    assert found.to_json() == drawn(page, recipe, data, model, plain, sample).to_json(), program


# The shipped model does not train when its recipe is run, so all of its states can be tried.
STATES = {
    "first": {},
    "another": {"number": 12},
    "edited": {"edits": EDITS},
    "foreign": {"foreign": 4, "number": 5},
    "foreign and edited": {"foreign": 0, "edits": EDITS},
    "chosen": {
        "number": None,
        "labels": np.array([0, 3, 7]),
        "concentrations": np.array([0.75, 1.0, 1.333333], np.float32),
    },
    "chosen, foreign and edited": {
        "number": None,
        "labels": np.array([0, 3, 7]),
        "concentrations": np.array([0.75, 1.0, 2.5], np.float32),
        "foreign": 0,
        "edits": "cut_3",
    },
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("page", pages())
def test_every_page_of_the_shipped_model_is_drawn_again(page, state, shipped, monkeypatch):
    check(page, recipe(shipped, **STATES[state]), shipped.dataset, shipped.model, monkeypatch)


@pytest.mark.parametrize("page", pages())
@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_an_untrained_network_is_drawn_again(page, kind, quick, monkeypatch):
    model = model_for(quick, 5, kind)
    own = recipe(Checkpoint(model, quick, TrainConfig(), 5, 0, {}), "untrained", 4)
    check(page, own, quick, model, monkeypatch)


@pytest.mark.parametrize("kind", ["slots", "queries"])
def test_a_step_of_a_training_is_drawn_again(kind, quick, monkeypatch):
    trainer = Trainer(quick, replace(FEW, learning_rate=2e-3, reconstruction_weight=3.0), 9, kind)
    while not trainer.finished:
        trainer.advance()
    for step in (0, 2, 3):
        model = trainer.training_history.network(step)
        own = recipe(
            Checkpoint(model, quick, trainer.config, 9, step, {}),
            "training",
            2,
            step == 3,
            edits="cut_3",
        )
        for page in (
            ("app.py", "pages/masks.py", "pages/evaluate.py") if step == 3 else ("pages/inside.py",)
        ):
            check(page, own, quick, model, monkeypatch)


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
    assert name in code("app.py", recipe(kept, name))
    assert "Trainer" not in code("app.py", recipe(kept, name))
    check("app.py", recipe(kept, name), quick, kept.model, monkeypatch)
    past = Checkpoint(trainer.training_history.network(1), quick, FEW, 4, 1, {})
    assert name not in code("app.py", recipe(past, name, last=False))
    check("app.py", recipe(past, name, last=False), quick, past.model, monkeypatch)


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
    model = model_for(data, 6, "slots")
    own = recipe(Checkpoint(model, data, TrainConfig(), 6, 0, {}), "untrained", 3)
    assert ("MixtureConfig(" in code("app.py", own)) == (config != PRESETS[preset].mixture)
    for page in ("app.py", "pages/evaluate.py"):
        check(page, own, data, model, monkeypatch)


def test_an_uploaded_model_is_opened_from_its_file(shipped, quick, trained, tmp_path, monkeypatch):
    checkpoints.save(trained, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    check(
        "app.py",
        recipe(trained, "upload", 3),
        quick,
        checkpoints.load(Path("model.safetensors")).model,
        monkeypatch,
    )


def test_outputs_are_matched_by_the_weight_of_the_training(quick, trained, tmp_path, monkeypatch):
    own = replace(trained, training=replace(trained.training, reconstruction_weight=0.0))
    checkpoints.save(own, tmp_path / "model.safetensors")
    monkeypatch.chdir(tmp_path)
    for page in ("app.py", "pages/evaluate.py"):
        check(page, recipe(own, "upload", 3), quick, trained.model, monkeypatch)


@pytest.mark.parametrize("page", pages())
def test_an_uploaded_mixture_is_read_from_its_file(page, shipped, tmp_path, monkeypatch):
    data, own = shipped.dataset, recipe(shipped, number=None, edits="cut_3~add_5_t_1")
    text = grid_files.areas_table(data.test_mixtures().areas[2], PPM_AXIS).to_csv(index=False)
    (tmp_path / "mixture.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    plain = Mixture(grid_files.read_mixture(text, PPM_AXIS, 6))
    found = run(code(page, own), monkeypatch)["figure"]
    expected = drawn(
        page, own, data, shipped.model, plain, apply(plain, from_text(own.edits), data.library)
    )
    assert found.to_json() == expected.to_json()
    tidy(code(page, own))


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
        model = model_for(data, 5, "queries")
        own = recipe(Checkpoint(model, data, TrainConfig(), 5, 0, {}), "untrained", 2, axis=axis)
        assert own.preset == "own"
        for page in ("app.py", "pages/mixtures.py"):
            check(page, own, data, model, monkeypatch)


def test_a_model_is_trained_on_its_own_mixtures_whatever_is_looked_at(quick, monkeypatch):

    trainer = Trainer(quick, FEW, 9, "queries")
    while not trainer.finished:
        trainer.advance()
    checkpoint = Checkpoint.from_trainer(trainer, {})
    noisy = build(
        "quick", quick.seed, MixtureConfig(noise=0.3)
    )  # by the sliders under "How mixtures are made"
    plain = Mixture.of(noisy.test_mixtures(), 1)
    view = View(
        noisy, Chosen("training", "", checkpoint), plain, plain, (), "", Theme(), {"number": 2}
    )
    own = view.recipe
    model = run(code("app.py", own), monkeypatch)["model"]
    assert predict(model, plain.areas).probabilities == pytest.approx(
        predict(checkpoint.model, plain.areas).probabilities, abs=1e-6
    )


@pytest.mark.parametrize(
    "edits", ["amount_{more}_1", "amount_{there}_0"], ids=["one more than outputs", "one less"]
)
def test_a_mixture_that_slots_cannot_be_matched_to_is_drawn_without_the_truth(
    edits, trained, quick, monkeypatch
):
    labels = quick.test_mixtures().labels[0]
    more = int(np.setdiff1d(np.arange(10), labels)[0]) + 1
    model = model_for(quick, 5, "slots")
    own = recipe(
        Checkpoint(model, quick, TrainConfig(), 5, 0, {}),
        "untrained",
        1,
        edits=edits.format(more=more, there=int(labels[0]) + 1),
    )
    plain, sample = sample_of(quick, own)
    # The pages show no truth then: it has no place among the outputs, or among their classes.
    assert len(sample.labels) != 3 or (sample.labels >= 10).any()
    checkpoint = Checkpoint(model, quick, TrainConfig(), 5, 0, {})
    view = View(
        quick, Chosen("untrained", "", checkpoint), plain, sample, (), "", Theme(), {"number": 1}
    )
    own = replace(own, truth=view.recipe.truth)
    given = predict(model, sample.areas)
    expected = maps.overview(sample.areas, given, quick.library.names, quick.library.axis, Theme())
    assert run(code("app.py", own), monkeypatch)["figure"].to_json() == expected.to_json()


def test_a_program_runs_by_itself(shipped):
    """In a fresh interpreter, where any import of Streamlit on the way would fail."""
    program = code("pages/inside.py", recipe(shipped, edits=EDITS)).replace(
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
        code("pages/quiz.py", recipe(shipped))
    assert all((Path(__file__).parents[2] / page).is_file() for page in pages())


def test_two_states_side_by_side(shipped, quick, monkeypatch):
    """The program of the page Compare: two models, and the same compounds and edits with another noise."""
    plain = recipe(shipped, edits=EDITS)
    noisy = replace(plain, mixture=replace(plain.mixture, noise=0.2), model="untrained", step=0)
    made = run(compared(plain, noisy), monkeypatch)
    assert not np.array_equal(made["sample_a"].areas, made["sample_b"].areas)
    assert np.array_equal(made["sample_a"].labels, made["sample_b"].labels)
    found = compare_predictions(
        (made["model_a"], made["sample_a"].areas), (made["model_b"], made["sample_b"].areas)
    )
    assert made["change"].presence == pytest.approx(found.presence)
    titles = [note.text for note in made["figure"].layout.annotations]
    assert "<b>Separated, A</b>" in titles
    assert "<b>Separated, B</b>" in titles
    assert len(made["figure"].data) == 3
