"""The other side of the page *Compare*: another model, another step, or another way to make the same mixture."""

from dataclasses import replace

import streamlit as st

from ..config import bounds
from ..mixtures import MixtureConfig
from . import link, models, workspace
from .session import own_runs
from .views import View

MOST_RUNS = 8


def choose(view: View) -> View:
    """Draw the controls of B, and return B's view of the same mixture."""
    wanted = link.get("other")
    problems: list[str] = []
    recent = [run.id for run in own_runs() if run.preset == view.dataset.preset][:MOST_RUNS]
    found = models.candidates(view.dataset, [wanted, link.get("model"), *recent], problems)
    for problem in problems:
        st.warning(problem, icon=":material/link_off:")
    # By default what teaches most: the same training at its start, or no training at all.
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
        key = link.widget(
            st.selectbox,
            "B: model",
            "other",
            default,
            options=list(found),
            format_func=lambda key: found[key].title,
        )
    chosen = found[key]
    with two:
        if chosen.can_travel:
            steps = list(chosen.timeline.steps)
            usual = steps[0] if key == view.chosen.key else steps[-1]
            if link.get("otherat") not in (None, *steps):
                link.correct("otherat", chosen.timeline.nearest(link.get("otherat")))
            at = link.widget(
                st.select_slider,
                "B: training step",
                "otherat",
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
        noise = link.widget(
            st.number_input,
            "B: noise (peak area)",
            "othernoise",
            config.noise,
            min_value=0.0,
            max_value=bounds(MixtureConfig, "noise").high,
            step=0.05,
            disabled=not view.made,
        )
    with four:
        jitter = link.widget(
            st.number_input,
            "B: shift jitter (positions)",
            "otherjitter",
            config.shift_jitter,
            min_value=0.0,
            max_value=bounds(MixtureConfig, "shift_jitter").high,
            step=0.1,
            disabled=not view.made,
        )
    other = replace(view, chosen=chosen)
    if (noise, jitter) != (config.noise, config.shift_jitter):
        other = workspace.with_settings(other, replace(config, noise=noise, shift_jitter=jitter))
    if view.edits and link.widget(st.checkbox, "B: without the edits", "otherplain", False):
        other = replace(other, sample=other.plain, edits=())
    return other


def words(view: View) -> str:
    """Say in short which model at which step a side is."""
    step = f", step {view.checkpoint.step:,}" if view.chosen.last and view.checkpoint.step else ""
    return view.model_name[0].lower() + view.model_name[1:] + step
