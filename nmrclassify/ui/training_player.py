"""The page *Time travel*: choose a saved step of a training, or play all of them."""

from collections.abc import Callable
from math import nan

import numpy as np
import streamlit as st

from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.networks.prediction import MAX_SHOWN, Prediction, listing, percent
from nmrclassify.plots import activations, curves
from nmrclassify.plots.outputs import output_names
from nmrclassify.training.history import TrainingHistory, first_decided
from nmrclassify.ui import (
    charts,
    diagram,
    model_picker,
    panels,
    results,
    training_controls,
    url_state,
)
from nmrclassify.ui.panels import View
from nmrclassify.ui.session import this_visit

SECONDS = 0.8  # a frame


def player(view: View) -> None:
    """Draw slider, buttons and pictures; while it plays, only their fragment is redrawn."""
    history = view.chosen.training_history
    if history is None:
        _offer_training(view)
    elif st.session_state.get("playing", False):
        st.fragment(_playing, run_every=SECONDS)(view, history)
    else:
        _present_step(view, history, playing=False)


def _playing(view: View, history: TrainingHistory) -> None:
    _tick(history.steps)
    if not st.session_state["playing"]:
        st.rerun()  # ends the fragment
    _present_step(view, history, playing=True)


def _present_step(view: View, history: TrainingHistory, playing: bool) -> None:
    model_picker.step_slider(history)
    at = url_state.get("step")
    step = history.steps[-1] if at is None else history.nearest(at)
    _controls(history.steps, step, playing)
    _pictures(view.at(step), history, step)


def _tick(steps: tuple[int, ...]) -> None:
    at = url_state.get("step")
    later = [step for step in steps if at is not None and step > at]
    if not later:
        st.session_state["playing"] = False
        return
    # Not yet into the URL: each frame would be an entry of the browser's history.
    url_state.correct("step", later[0] if later[0] != steps[-1] else None)
    if later[0] == steps[-1]:
        st.session_state["playing"] = False


def _play(steps: tuple[int, ...]) -> None:
    if url_state.get("step") is None:
        url_state.put("step", steps[0])
    st.session_state["playing"] = True


def _go(steps: tuple[int, ...], change: int) -> None:
    at = url_state.get("step", steps[-1])
    place = min(range(len(steps)), key=lambda i: abs(steps[i] - at))
    place = min(max(place + change, 0), len(steps) - 1)
    url_state.put("step", None if place == len(steps) - 1 else steps[place])


def _controls(steps: tuple[int, ...], step: int, playing: bool) -> None:
    with st.container(horizontal=True):
        if playing:
            if st.button("Pause", icon=":material/pause:", shortcut="Alt+K"):
                st.session_state["playing"] = False
                st.rerun()
        elif st.button("Play", icon=":material/play_arrow:", shortcut="Alt+K"):
            _play(steps)
            st.rerun()
        first, last = step == steps[0], step == steps[-1]
        buttons: list[tuple[str, str, Callable[..., None], tuple, bool, str | None]] = [
            ("Start", "first_page", url_state.put, ("step", steps[0]), first, None),
            ("Step back", "chevron_left", _go, (steps, -1), first, "Alt+J"),
            ("Step forward", "chevron_right", _go, (steps, 1), last, "Alt+L"),
            ("End", "last_page", url_state.put, ("step", None), last, None),
        ]
        for label, icon, action, args, disabled, shortcut in buttons:
            st.button(
                label,
                on_click=action,
                args=args,
                disabled=disabled,
                icon=f":material/{icon}:",
                shortcut=shortcut,
            )


def _pictures(view: View, history: TrainingHistory, step: int) -> None:
    st.subheader(f"Step {step:,}")
    st.markdown(panels.verdict(view))
    end = history.network(history.steps[-1])
    prediction = _in_one_order(view, end)
    diagram.show_moving(
        view.checkpoint.model,
        view.areas,
        prediction,
        view.truth_of(prediction),
        view.library,
        view.theme,
        "network",
    )
    heading = st.container()
    slot = _slot(view, end)
    probabilities, named = _probabilities(view, history, slot)
    class_labels = view.classes[: probabilities.shape[1]]
    present = (
        None
        if view.truth is None
        else view.truth.present
        if slot is None
        else view.truth.labels[slot : slot + 1]
    )
    summary = _summary(history.steps, probabilities, named, class_labels, present)
    charts.chart(
        activations.probability_history(
            history.steps,
            probabilities,
            class_labels,
            present,
            view.theme,
            step,
            view.prediction.presence_title if slot is None else "probability",
        ),
        key="strip",
        alt=f"Probability of every class at every saved step. {summary}",
    )
    about = view.prediction.about_presence if slot is None else ""
    heading.subheader(
        "Probabilities during training", help=f"Click a column to go to that step. {about}"
    )
    st.caption(summary)
    if view.chosen.history:
        last = view.chosen.history[-1]
        st.subheader("Learning curves")
        charts.chart(
            curves.learning_curves(view.chosen.history, view.theme, step),
            key="curves",
            alt=(
                f"Learning curves with a line at step {step}; at the end loss"
                f" {last.get('loss', nan):.3g}, {last.get('test_compound_accuracy', nan):.1%} of"
                " compounds right on test compositions"
            ),
        )


def _in_one_order(view: View, end: Network) -> Prediction:
    """Return the prediction with its outputs in the same order at all steps."""
    if not view.prediction.outputs_are_classes:
        return view.prediction
    outputs = sorted(results.prediction(end, view.areas).named)
    if view.prediction.trained:
        outputs += [k for k in view.prediction.named if k not in outputs]
    return view.checkpoint.model.predict(view.areas, np.array(outputs[:MAX_SHOWN]))


def _slot(view: View, end: Network) -> int | None:
    """Ask for one output of slots; None for any output, or where outputs are classes.

    An output is called after the compound that it names at the end of the training.
    """
    if view.prediction.outputs_are_classes:
        return None
    called = output_names(results.prediction(end, view.areas), view.library.names)
    options = list(range(len(called) + 1))
    chosen = url_state.widget(
        st.radio,
        "Output",
        "slot",
        0,
        options=options,
        horizontal=True,
        format_func=lambda i: called[i - 1] if i else "any",
        help="Called after the compound that it names at the last step.",
    )
    return chosen - 1 if chosen else None


def _probabilities(
    view: View, history: TrainingHistory, slot: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return `TrainingHistory.presences`; they are computed once for each mixture."""
    key = (history.origin, history.steps, view.areas.tobytes(), slot)
    cached = st.session_state.get("strip")
    if cached is None or cached[0] != key:
        cached = st.session_state["strip"] = (key, history.presences(view.areas, slot))
    return cached[1]


def _summary(
    steps: tuple[int, ...],
    probabilities: np.ndarray,
    named: np.ndarray,
    class_labels: tuple[str, ...],
    present: np.ndarray | None,
) -> str:
    """Describe from which step on each class is named, and which of the mixture is not."""
    decided, missed = [], []
    for k in sorted({*np.flatnonzero(named[-1]), *([] if present is None else present)}):
        first = first_decided(steps, named[:, k])
        if first is not None:
            decided.append(f"{class_labels[k]} from step {first:,}")
        else:
            missed.append(f"{class_labels[k]} ({percent(float(probabilities[-1, k]))})")
    parts = [f"Named to the end: {listing(decided)}."] if decided else []
    if missed:
        parts.append(f"In the mixture, and not named at the end: {listing(missed)}.")
    return " ".join(parts) or "No class is named at the end."


def _offer_training(view: View) -> None:
    """Show that this model has no saved steps, and offer a training."""
    job = this_visit().job
    if job is not None and job.active:
        st.info(
            "A training of this visit is running. You can look at its steps.",
            icon=":material/history:",
        )
        st.button(
            "Show this training",
            on_click=url_state.put,
            args=("model", "training"),
            icon=":material/model_training:",
        )
        return
    if problem := st.session_state.pop("training problem", None):
        st.warning(problem, icon=":material/hourglass:")
    st.info(
        f"**{view.model_name}**: no steps of a training are saved. Train a network here (minutes),"
        " or choose another model in the sidebar.",
        icon=":material/history:",
    )
    st.button(
        "Train on this library",
        on_click=training_controls.start_usual,
        args=(view,),
        icon=":material/play_arrow:",
        type="secondary" if view.theme.dark else "primary",
    )
