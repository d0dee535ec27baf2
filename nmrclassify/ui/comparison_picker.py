"""Side B of the page *Compare*: another model or step, or the same mixture with other noise."""

from dataclasses import replace

import streamlit as st

from nmrclassify.plots.map_rows import positions_label
from nmrclassify.ui import model_picker, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.session import own_runs

MAX_RUNS = 8
MIXTURE_OF_B = ("noise_b", "jitter_b", "unedited_b")


def choose(view: View) -> View:
    """Draw the controls of side B, and return its view of the same mixture."""
    wanted = url_state.get("model_b")
    problems: list[str] = []
    same_data = [r for r in own_runs() if r.preset == view.dataset.preset and not r.damage]
    recent = [run.id for run in same_data[:MAX_RUNS]]
    models = model_picker.candidates(
        view.dataset, [wanted, url_state.get("model"), *recent], problems
    )
    for problem in problems:
        st.warning(problem, icon=":material/link_off:")
    # The default is the same training at its start, or the untrained network.
    default = (
        view.chosen.key
        if view.chosen.training_history is not None
        else "untrained"
        if view.chosen.key != "untrained"
        else next(iter(models))
    )
    default = default if default in models else next(iter(models))
    if wanted and wanted not in models:
        st.warning(
            f"The model {wanted[:40]!r} of side B does not exist for these data;"
            f" *{models[default].title}* is used.",
            icon=":material/link_off:",
        )
    one, two, three, four = st.columns(4)
    with one:
        key = url_state.widget(
            st.selectbox,
            "B: model",
            "model_b",
            default,
            options=list(models),
            format_func=model_picker.titles(models).get,
        )
    chosen = models[key]
    with two:
        history = chosen.training_history
        if history is not None:
            # The sides differ in one thing by default: the step, if in nothing else.
            same = key == view.chosen.key and not any(map(url_state.get, MIXTURE_OF_B))
            usual = history.steps[0 if same else -1]
            step = model_picker.step_slider(history, "B: step", "step_b", usual)
            chosen = chosen.at(step)
        else:
            st.text_input(
                "B: step",
                f"{chosen.checkpoint.step:,}, the only one saved",
                disabled=True,
                key=f"no steps {key} {chosen.checkpoint.step}",
            )
    config = view.dataset.config
    with three:
        noise = url_state.widget(
            st.number_input,
            "B: noise",
            "noise_b",
            config.noise,
            step=0.05,
            help="Standard deviation of the noise on each peak area.",
            disabled=view.spec.from_file,
        )
    with four:
        jitter = url_state.widget(
            st.number_input,
            "B: jitter",
            "jitter_b",
            config.shift_jitter,
            step=0.1,
            help="Standard deviation of the shift of each multiplet, in"
            f" {positions_label(view.library.axis)}.",
            disabled=view.spec.from_file,
        )
    other = replace(view, chosen=chosen)
    if view.edits and url_state.widget(st.checkbox, "B: without the edits", "unedited_b"):
        other = other.of_mixture(replace(view.spec, edits=()))
    if not view.spec.from_file and (noise, jitter) != (config.noise, config.shift_jitter):
        config = replace(config, noise=noise, shift_jitter=jitter)
        other = other.of_mixture(
            replace(other.spec, config=config), replace(view.dataset, config=config)
        )
    return other


def describe_model(view: View) -> str:
    """Return the model of a side, and its training step, in words."""
    step = f", step {view.checkpoint.step:,}" if view.chosen.last and view.checkpoint.step else ""
    return view.model_name + step
