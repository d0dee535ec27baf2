"""Side B of the page *Compare*: another model or step, or the same mixture made in another way."""

from dataclasses import replace

import streamlit as st

from nmrclassify.ui import model_picker, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.session import own_runs

MAX_RUNS = 8


def choose(view: View) -> View:
    """Draw the controls of B, and return B's view of the same mixture."""
    wanted = url_state.get("model_b")
    problems: list[str] = []
    recent = [run.id for run in own_runs() if run.preset == view.dataset.preset][:MAX_RUNS]
    found = model_picker.candidates(
        view.dataset, [wanted, url_state.get("model"), *recent], problems
    )
    for problem in problems:
        st.warning(problem, icon=":material/link_off:")
    # The default is the same training at its start, or the untrained network.
    default = (
        view.chosen.key
        if view.chosen.can_travel
        else "untrained"
        if view.chosen.key != "untrained"
        else next(iter(found))
    )
    default = default if default in found else next(iter(found))
    if wanted and wanted not in found:
        st.warning(
            f"The model {wanted[:40]!r} of side B is not there for these data;"
            f" {found[default].title.lower()} is used.",
            icon=":material/link_off:",
        )
    one, two, three, four = st.columns(4)
    with one:
        key = url_state.widget(
            st.selectbox,
            "B: model",
            "model_b",
            default,
            options=list(found),
            format_func=lambda key: found[key].title,
        )
    chosen = found[key]
    with two:
        if chosen.can_travel:
            steps = list(chosen.training_history.steps)
            usual = steps[0] if key == view.chosen.key else steps[-1]
            if url_state.get("step_b") not in (None, *steps):
                url_state.correct(
                    "step_b", chosen.training_history.nearest(url_state.get("step_b"))
                )
            at = url_state.widget(
                st.select_slider,
                "B: training step",
                "step_b",
                usual,
                options=steps,
                format_func=lambda step: f"{step:,}",
            )
            chosen = chosen.at(at)
        else:
            st.text_input(
                "B: training step",
                f"{chosen.checkpoint.step:,}, the only one kept",
                disabled=True,
                key=f"no steps {key} {chosen.checkpoint.step}",
            )
    config = view.dataset.config
    with three:
        noise = url_state.widget(
            st.number_input,
            "B: noise (peak area)",
            "noise_b",
            config.noise,
            step=0.05,
            disabled=view.spec.from_file,
        )
    with four:
        jitter = url_state.widget(
            st.number_input,
            "B: shift jitter (positions)",
            "jitter_b",
            config.shift_jitter,
            step=0.1,
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


def words(view: View) -> str:
    """Say in short which model at which step a side is."""
    step = f", step {view.checkpoint.step:,}" if view.chosen.last and view.checkpoint.step else ""
    return view.model_name[0].lower() + view.model_name[1:] + step
