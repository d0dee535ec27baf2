"""Settings of a training: those of a run or checkpoint in the controls, and in words."""

from dataclasses import replace

import streamlit as st

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.presets import PRESETS
from nmrclassify.mixtures.spec import usual_config
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training.checkpoints import PACKAGED, Checkpoint
from nmrclassify.training.recipes import recipe
from nmrclassify.ui import page, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.url_parameters import PARAMETERS

RECIPE_TITLES = {
    "queries": "Queries: random compounds, jitter, noise",
    "thorough": "Thorough: for queries, minutes",
    "disturbed": "Disturbed: for queries, all disturbances at once, minutes",
    "modern": "Modern: for slots",
    "long": "Long: for slots, minutes",
    "sgd": "Original: SGD, learning rate 0.01",
    "momentum": "Original: SGD, 0.0001, momentum 0.99",
    "adam": "Original: Adam, 0.0001",
}

MORE = (
    ("batch_size", "Mixtures per step", 8),
    ("weight_decay", "Weight decay", None),
    ("reconstruction_weight", "Reconstruction weight", None),
    ("mask_weight", "Mask weight", None),
    ("concentration_spread", "Concentration spread", None),
    ("repeats", "Repeats", None),
    ("added_noise", "Added noise", None),
    ("added_jitter", "Added jitter", None),
    ("added_common_shift", "Added common shift", None),
    ("remix", "Remix", None),
    ("unknown", "Unknown compounds", None),
    ("unknown_replaces", "Unknown in place of one", None),
)


def name_of(kind: str) -> str:
    """Return the short name of a kind of network."""
    return NETWORKS[kind].title.split(":")[0]


def describe_data(dataset: Dataset) -> str:
    """Return data in words: library, seed, and what differs from the preset."""
    preset, config = dataset.preset, dataset.config
    usual = usual_config(preset)
    title = PRESETS[preset].title.split(" (")[0] if preset in PRESETS else "Own library"
    words = [f"**{title}**", f"seed {dataset.seed}"]
    if (config.n_sources, config.number_varies) != (usual.n_sources, usual.number_varies):
        words.append(f"{'1 to ' * config.number_varies}{config.n_sources} compounds")
    if config.repetition != usual.repetition:
        words.append("repeats" if config.repetition else "no repeats")
    if config.concentration_high != usual.concentration_high:
        words.append(
            f"concentrations {config.concentration_low:.2g} to {config.concentration_high:g}"
        )
    words += [f"jitter {config.shift_jitter:g}"] * (config.shift_jitter != usual.shift_jitter)
    words += [f"noise {config.noise:g}"] * (config.noise != usual.noise)
    return ", ".join(words)


def describe_network(checkpoint: Checkpoint) -> str:
    """Return kind and size of a network, and its data, in words."""
    model = checkpoint.model
    return (
        f"**{name_of(model.kind)}**, {model.config.n_filters} filters, on"
        f" {describe_data(checkpoint.dataset)}; weights seed {checkpoint.seed}"
    )


def show_loaded(checkpoint: Checkpoint, model: str) -> None:
    """Show a run or an uploaded checkpoint, called `model` in links, with its kind of network."""
    page.show_checkpoint(checkpoint, model)
    url_state.forget("network", "filters", "recipe")
    st.session_state.pop("settings follow", None)


def follow_loaded(view: View) -> None:
    """Choose the kind of network of a run or upload that is new here, unless the link has one."""
    key = view.chosen.key
    if st.session_state.get("settings follow") == key:
        return
    st.session_state["settings follow"] = key
    others = (*PACKAGED, "untrained", "training")
    if key in others or url_state.is_step_in_history() or url_state.get("network", ""):
        return
    config = view.checkpoint.model.config
    url_state.correct("network", view.checkpoint.model.kind)
    if str(config.n_filters) in PARAMETERS["filters"].options:
        url_state.correct("filters", str(config.n_filters))


def show_settings(checkpoint: Checkpoint, model: str) -> None:
    """Put what was trained, and how, into the controls and the link; `model` is its name there."""
    config = checkpoint.training
    page.show_checkpoint(checkpoint, model)
    fields = ("optimiser", "learning_rate", "steps", "own_levels", *(field for field, *_ in MORE))
    shown = {field: getattr(config, field) for field in fields}
    kind = checkpoint.model.kind
    names = [NETWORKS[kind].usual_recipe, *RECIPE_TITLES]
    shown["recipe"] = next((n for n in names if replace(recipe(n), **shown) == config), None)
    shown |= {"network": kind, "filters": str(checkpoint.model.config.n_filters)}
    for key, value in (shown | {"weights_seed": checkpoint.seed}).items():
        url_state.put(key, value)
