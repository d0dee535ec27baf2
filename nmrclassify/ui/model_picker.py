"""Which model a page looks at: shipped, trained in this visit, a run, uploaded or untrained; and at which step of its training."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
import streamlit as st

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.training import checkpoints, runs
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.history import FILE as STEPS_FILE
from nmrclassify.training.history import TrainingHistory
from nmrclassify.training.history import load as load_steps
from nmrclassify.training.recipes import TrainConfig
from nmrclassify.training.trainer import model_for, set_threads
from nmrclassify.ui import url_state
from nmrclassify.ui.session import training_box

set_threads()


@st.cache_resource(max_entries=1, show_spinner=False)
def shipped() -> Checkpoint:
    """The trained model that comes with the package; read-only."""
    return checkpoints.shipped()


@st.cache_resource(max_entries=16, show_spinner="Opening the run …")
def run_checkpoint(run_id: str) -> Checkpoint:
    """The model of a run on disk; read-only."""
    return checkpoints.load(runs.find(run_id).folder / "model.safetensors")


# Up to 24 MB each.
@st.cache_resource(max_entries=4, show_spinner="Opening the steps of the run …")
def _run_timeline(run_id: str) -> TrainingHistory | None:
    try:
        return load_steps(runs.find(run_id).folder / STEPS_FILE, run_checkpoint(run_id).model)
    except ValueError:
        return None  # an older run, or one whose steps made room for newer ones


@st.cache_resource(max_entries=16, show_spinner=False)
def _run_history(run_id: str) -> list[dict]:
    return runs.history(runs.find(run_id))


@st.cache_resource(max_entries=32, show_spinner=False)
def dataset_of(name: str, seed: int, mixture: MixtureConfig) -> Dataset:
    """The data of a preset; read-only."""
    return build(name, seed, mixture)


@st.cache_resource(max_entries=16, show_spinner=False)
def _untrained(name: str, seed: int, mixture: MixtureConfig, kind: str) -> Checkpoint:
    return _unlearned(dataset_of(name, seed, mixture), kind)


def _unlearned(dataset: Dataset, kind: str) -> Checkpoint:
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
        "shipped", "upload", "training", "untrained", or the name of a run.
    title : str
        For people.
    checkpoint : Checkpoint
    open_timeline, open_history : callable
        What `timeline` and `history` are read with, when they are asked for: 24 MB of a run are not
        read to list its name.
    last : bool
        Whether this is the model as it is.
    """

    key: str
    title: str
    checkpoint: Checkpoint
    open_timeline: Callable[[], TrainingHistory | None] = lambda: None
    open_history: Callable[[], list[dict]] = list
    last: bool = True

    @cached_property
    def training_history(self) -> TrainingHistory | None:
        """The steps that one can travel to; None where none were kept."""
        return self.open_timeline()

    @cached_property
    def history(self) -> list[dict]:
        """Rows of the training; empty where none were kept."""
        return self.open_history()

    @property
    def can_travel(self) -> bool:
        """Whether there is more than one step to look at."""
        return self.training_history is not None and len(self.training_history) > 1

    def at(self, step: int | None) -> "Chosen":
        """Return the model as it was at the kept step nearest to `step`; as it is for None, and where no steps were kept."""
        if step is None or not self.can_travel:
            return self
        step = self.training_history.nearest(step)
        if step == self.checkpoint.step:
            return self
        past = replace(
            self.checkpoint, model=self.training_history.network(step), step=step, metrics={}
        )
        return replace(self, checkpoint=past, title=f"{self.title}, step {step:,}", last=False)


def fits(checkpoint: Checkpoint, dataset: Dataset) -> bool:
    """Whether a model can answer for a data set: the same library and, as slots need it, the same number of sources."""
    own, kind = checkpoint.dataset, checkpoint.model.kind
    same_number = (
        own.config.n_sources == dataset.config.n_sources
        and own.config.number_varies == dataset.config.number_varies
    )
    return np.array_equal(own.library.areas, dataset.library.areas) and (
        kind == "queries" or same_number
    )


def candidates(
    dataset: Dataset, wanted: Iterable[str | None], problems: list[str]
) -> dict[str, Chosen]:
    """Return the models that can answer for a data set, each as it is; `wanted` may name runs to open as well."""
    training = training_box().job
    sources = [
        ("shipped", "The shipped model", shipped),
        ("upload", "The uploaded model", lambda: st.session_state.get("upload")),
    ]
    if training is not None:
        sources.append(("training", "This visit's training", training.checkpoint))
    names = [
        name
        for name in dict.fromkeys(wanted)
        if name not in (None, "shipped", "upload", "training", "untrained")
    ]
    sources += [(name, f"Run {name[:15]}", partial(run_checkpoint, name)) for name in names]
    found: dict[str, Chosen] = {}
    for key, title, load in sources:
        try:
            checkpoint = load()
        except ValueError as error:
            problems.append(f"{error}.")
            continue
        if checkpoint is None or not fits(checkpoint, dataset):
            continue
        if key == "training":
            found[key] = Chosen(
                key,
                title,
                checkpoint,
                lambda: training.training_history.snapshot(),
                lambda: training.history,
            )
        elif key in names:
            found[key] = Chosen(
                key, title, checkpoint, partial(_run_timeline, key), partial(_run_history, key)
            )
        else:
            found[key] = Chosen(key, title, checkpoint)
    # An own library has no recipe to rebuild it from, so its untrained network is not cached.
    kind = url_state.get("network")
    if dataset.preset in PRESETS:
        untrained = _untrained(dataset.preset, dataset.seed, dataset.config, kind)
    else:
        untrained = _unlearned(dataset, kind)
    found["untrained"] = Chosen("untrained", "Untrained network", untrained)
    return found


def choose(dataset: Dataset, problems: list[str], slider: bool = True) -> Chosen:
    """Draw the choice of a model and, unless the page has its own, of a step of its training; return the model."""
    wanted = url_state.get("model")
    found = candidates(dataset, [wanted], problems)
    default = "shipped" if "shipped" in found else "untrained"
    if wanted and wanted not in found:
        problems.append(
            f"The model {wanted[:40]!r} is not there for these data; {found[default].title.lower()}"
            " is used."
        )
    key = url_state.widget(
        st.selectbox,
        "Model",
        "model",
        default,
        options=list(found),
        format_func=lambda key: found[key].title,
    )
    chosen = found[key]
    if chosen.can_travel and slider:
        step_slider(chosen)
    return chosen.at(url_state.get("step"))


def step_slider(chosen: Chosen, label: str = "Training step", key: str = "step") -> None:
    """Draw the slider over the kept steps of a training."""
    steps = list(chosen.training_history.steps)
    if url_state.get(key) is not None and url_state.get(key) not in steps:
        url_state.correct(key, chosen.training_history.nearest(url_state.get(key)))
    url_state.widget(
        st.select_slider,
        label,
        key,
        steps[-1],
        options=steps,
        format_func=lambda step: f"{step:,}",
        help="All pages show the network as it was at this step. The page *Time travel* plays it.",
    )
