"""The model of a page: packaged, uploaded, untrained or trained here; and the training step."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.training import checkpoints, packaged, runs
from nmrclassify.training.checkpoints import PACKAGED, PACKAGED_PRESETS, Checkpoint
from nmrclassify.training.history import TrainingHistory
from nmrclassify.training.optimiser import without_compiler
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import model_for, set_threads
from nmrclassify.ui import url_state
from nmrclassify.ui.session import this_visit

TITLES = {"reference": "Reference network (slots)", "queries": "Queries"}

set_threads()
without_compiler()


@st.cache_resource(max_entries=4, show_spinner=False)
def packaged_model(name: str, preset: str) -> Checkpoint:
    """Return a trained model of the package; read-only."""
    return checkpoints.shipped(name, preset)


@st.cache_resource(max_entries=4, show_spinner=False)
def _packaged_training_history(name: str, preset: str) -> TrainingHistory:
    return packaged.training_history(name, preset)


@st.cache_resource(max_entries=16, show_spinner="Opening the run …")
def run_checkpoint(run_id: str) -> Checkpoint:
    """Return the model of a run on disk; read-only."""
    return checkpoints.load(runs.find(run_id).folder / runs.MODEL)


# Up to 24 MB each; read in a few hundredths of a second.
@st.cache_resource(max_entries=2, show_spinner="Opening the steps of the run …")
def _run_training_history(run_id: str) -> TrainingHistory | None:
    try:
        return runs.training_history(runs.find(run_id), run_checkpoint(run_id).model)
    except ValueError:
        return None  # none, damaged, or deleted for those of newer runs


@st.cache_resource(max_entries=16, show_spinner=False)
def _run_rows(run_id: str) -> list[dict]:
    return runs.history(runs.find(run_id))


@st.cache_resource(max_entries=32, show_spinner=False)
def dataset_of(name: str, seed: int, mixture: MixtureConfig) -> Dataset:
    """Return the data of a preset; read-only."""
    return build(name, seed, mixture)


@st.cache_resource(max_entries=16, show_spinner=False)
def _untrained(name: str, seed: int, mixture: MixtureConfig, kind: str) -> Checkpoint:
    return _untrained_checkpoint(dataset_of(name, seed, mixture), kind)


def _untrained_checkpoint(dataset: Dataset, kind: str) -> Checkpoint:
    return Checkpoint(
        model_for(dataset, dataset.seed, kind).requires_grad_(False),
        dataset,
        TrainConfig(),
        dataset.seed,
        0,
        {},
    )


@dataclass(frozen=True)
class Chosen:
    """A model, as it is or at a step of its training.

    Attributes
    ----------
    key : str
        "reference", "queries", "upload", "training", "untrained", or the name of a run.
    title : str
        What pages call it.
    load_steps, load_rows : callable
        Read `training_history` and `history`. Not kept here: a run has up to 24 MB of steps, and
        Streamlit keeps what a widget refers to until the session ends.
    last : bool
        Whether this is the model at the end of its training, not at an earlier step.
    """

    key: str
    title: str
    checkpoint: Checkpoint
    load_steps: Callable[[], TrainingHistory | None] = lambda: None
    load_rows: Callable[[], list[dict]] = list
    last: bool = True

    @property
    def training_history(self) -> TrainingHistory | None:
        """The saved steps of the training; None if there is only one."""
        steps = self.load_steps()
        return steps if steps is not None and len(steps) > 1 else None

    @property
    def history(self) -> list[dict]:
        """The curves of the training, one row for each measured step; empty if not saved."""
        return self.load_rows()

    def at(self, step: int | None) -> "Chosen":
        """Return the model at the saved step nearest to `step`; unchanged without saved steps."""
        history = self.training_history
        if step is None or history is None:
            return self
        step = history.nearest(step)
        if step == self.checkpoint.step:
            return self
        past = replace(self.checkpoint, model=history.network(step), step=step, metrics={})
        return replace(self, checkpoint=past, title=f"{self.title}, step {step:,}", last=False)


def fits(checkpoint: Checkpoint, dataset: Dataset) -> bool:
    """Whether a model fits the data: same library and, if it matters, number of sources."""
    trained_on = checkpoint.dataset
    same_number = (
        trained_on.config.n_sources == dataset.config.n_sources
        and trained_on.config.number_varies == dataset.config.number_varies
    )
    return np.array_equal(trained_on.library.areas, dataset.library.areas) and (
        checkpoint.model.any_number or same_number
    )


def candidates(
    dataset: Dataset, wanted: Iterable[str | None], problems: list[str]
) -> dict[str, Chosen]:
    """Return the models for these data by their keys; `wanted` are keys, runs among them."""
    job = this_visit().job
    models: dict[str, Chosen] = {}

    def add(key: str, title: str, load: Callable[[], Checkpoint | None], **training: Any) -> None:
        try:
            checkpoint = load()
        except ValueError as error:
            problems.append(f"{error}.")
            return
        if checkpoint is not None and fits(checkpoint, dataset):
            models[key] = Chosen(key, title, checkpoint, **training)

    preset = dataset.preset
    for name in PACKAGED if preset in PACKAGED_PRESETS else ():
        add(
            name,
            TITLES[name],
            partial(packaged_model, name, preset),
            load_steps=partial(_packaged_training_history, name, preset),
            load_rows=partial(packaged.rows, name, preset),
        )
    add("upload", "Uploaded model", lambda: st.session_state.get("upload"))
    if job is not None:
        add(
            "training",
            "This visit's training",
            job.checkpoint,
            load_steps=(
                job.training_history.snapshot
                if job.run_id is None
                else partial(_run_training_history, job.run_id)
            ),
            load_rows=partial(list, job.history),
        )
    fixed_keys = (*PACKAGED, "upload", "training", "untrained")
    for run in dict.fromkeys(wanted):
        if run and run not in fixed_keys:
            add(
                run,
                f"Run {run[:15]}",
                partial(run_checkpoint, run),
                load_steps=partial(_run_training_history, run),
                load_rows=partial(_run_rows, run),
            )
    # An uploaded library is not the result of a preset: its untrained network is not cached.
    kind = url_state.get("network")
    if dataset.preset in PRESETS:
        untrained = _untrained(dataset.preset, dataset.seed, dataset.config, kind)
    else:
        untrained = _untrained_checkpoint(dataset, kind)
    models["untrained"] = Chosen("untrained", "Untrained", untrained)
    return models


def titles(models: dict[str, Chosen]) -> dict[str, str]:
    """Return the title of each model by its key, for a widget.

    Streamlit keeps the functions of each widget of each page until the session ends, and all that
    they refer to: with the models themselves, those are the weights of whole trainings.
    """
    return {key: chosen.title for key, chosen in models.items()}


def choose(dataset: Dataset, problems: list[str], slider: bool, shown: bool = True) -> Chosen:
    """Draw the choice of the model and, if `slider`, of its training step; return the model.

    A choice that is not `shown` is the one that the link names.
    """
    wanted = url_state.get("model")
    if wanted in PACKAGED and dataset.preset not in PACKAGED_PRESETS:
        # There is none for these data: show the same network untrained.
        url_state.correct("network", PACKAGED[wanted])
    why: list[str] = []
    models = candidates(dataset, [wanted], why)
    default = next(key for key in (*PACKAGED, "untrained") if key in models)
    if wanted and wanted not in models and wanted not in PACKAGED:
        why = why or [f"The model {wanted[:40]!r} does not exist for these data."]
        why = [f"{' '.join(why)} *{models[default].title}* is used."]
    problems += why
    key = url_state.widget(
        st.selectbox,
        "Model",
        "model",
        default,
        shown,
        options=list(models),
        format_func=titles(models).get,
    )
    chosen = models[key]
    if slider and chosen.training_history is not None:
        step_slider(chosen.training_history)
    return chosen.at(url_state.get("step"))


def step_slider(
    history: TrainingHistory,
    label: str = "Training step",
    key: str = "step",
    default: int | None = None,
) -> int:
    """Draw the slider over the saved steps of a training, and return the step."""
    steps = list(history.steps)
    if url_state.get(key) not in (None, *steps):
        url_state.correct(key, history.nearest(url_state.get(key)))
    return url_state.widget(
        st.select_slider,
        label,
        key,
        steps[-1] if default is None else default,
        options=steps,
        format_func=lambda step: f"{step:,}",
        help="The network has the weights of this step. The page *Time travel* plays all steps.",
    )
