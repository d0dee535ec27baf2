"""The page *Time travel*: choose a saved step of a training, or play all of them."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation.prediction import (
    MAX_SHOWN,
    Prediction,
    class_names,
    describe_prediction,
    listing,
    percent,
    predict,
)
from nmrclassify.plots import activations, classes, curves, maps
from nmrclassify.training.history import first_decided
from nmrclassify.ui import charts, model_picker, training_controls, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.session import training_box

SECONDS = 0.8  # a frame


def player(view: View) -> None:
    """Draw slider, buttons and pictures; in a fragment while it plays, so that nothing else is."""
    if st.session_state.get("playing", False):
        st.fragment(_playing, run_every=SECONDS)(view)
    else:
        _stand(view, playing=False)


def _playing(view: View) -> None:
    _tick(view.chosen.training_history.steps)
    if not st.session_state["playing"]:
        st.rerun()  # ends the fragment
    _stand(view, playing=True)
    url_state.write_from_fragment()


def _stand(view: View, playing: bool) -> None:
    model_picker.step_slider(view.chosen)
    present = _present(view, view.chosen.training_history.steps)
    _controls(view, view.chosen.training_history.steps, present, playing)
    _pictures(view.at(present), present)


def _present(view: View, steps: tuple[int, ...]) -> int:
    at = url_state.get("at")
    return steps[-1] if at is None else view.chosen.training_history.nearest(at)


def _tick(steps: tuple[int, ...]) -> None:
    at = url_state.get("at")
    later = [step for step in steps if at is not None and step > at]
    if not later:
        st.session_state["playing"] = False
        return
    url_state.put("at", later[0] if later[0] != steps[-1] else None)
    if later[0] == steps[-1]:
        st.session_state["playing"] = False


def _play(steps: tuple[int, ...]) -> None:
    if url_state.get("at") is None:
        url_state.put("at", steps[0])
    st.session_state["playing"] = True


def _go(steps: tuple[int, ...], change: int) -> None:
    at = url_state.get("at", steps[-1])
    place = min(range(len(steps)), key=lambda i: abs(steps[i] - at))
    place = min(max(place + change, 0), len(steps) - 1)
    url_state.put("at", None if place == len(steps) - 1 else steps[place])


def _controls(view: View, steps: tuple[int, ...], present: int, playing: bool) -> None:
    with st.container(horizontal=True):
        if playing:
            if st.button("Pause", icon=":material/pause:", shortcut="Alt+K"):
                st.session_state["playing"] = False
                st.rerun()
        elif st.button("Play", icon=":material/play_arrow:", shortcut="Alt+K"):
            _play(steps)
            st.rerun()
        st.button(
            "Start",
            on_click=url_state.put,
            args=("at", steps[0]),
            disabled=present == steps[0],
            icon=":material/first_page:",
        )
        st.button(
            "Step back",
            on_click=_go,
            args=(steps, -1),
            disabled=present == steps[0],
            icon=":material/chevron_left:",
            shortcut="Alt+J",
        )
        st.button(
            "Step forward",
            on_click=_go,
            args=(steps, 1),
            disabled=present == steps[-1],
            icon=":material/chevron_right:",
            shortcut="Alt+L",
        )
        st.button(
            "End",
            on_click=url_state.put,
            args=("at", None),
            disabled=present == steps[-1],
            icon=":material/last_page:",
        )


def _pictures(view: View, present: int) -> None:
    names, axis = view.library.names, view.library.axis
    st.subheader(f"Step {present:,}")
    st.markdown(describe_prediction(view.prediction, names, view.truth))
    given = _in_one_order(view)
    charts.chart(
        maps.overview(
            view.areas, given, names, axis, view.theme, view.peak_truth(given), view.cell
        ),
        key="overview",
        alt=(
            f"Masks and separated multiplets at step {present}."
            f" {classes.alt_text(view.prediction, names)}"
        ),
    )
    st.subheader("Probability of each class during training")
    slot = _slot(view)
    probabilities = _strip(view, slot)
    called = class_names(view.checkpoint.model.kind, names)[: probabilities.shape[1]]
    there = (
        None
        if view.truth is None
        else view.truth.present
        if slot is None
        else view.truth.labels[slot : slot + 1]
    )
    charts.chart(
        activations.probability_history(
            view.chosen.training_history.steps, probabilities, called, there, view.theme, present
        ),
        key="strip",
        alt="Probability of every class at every saved step. "
        + _decided(view, probabilities, called, there),
    )
    st.caption(f"{_decided(view, probabilities, called, there)} Click a column to go to that step.")
    if view.chosen.history:
        last = view.chosen.history[-1]
        st.subheader("Learning curves")
        charts.chart(
            curves.learning_curves(view.chosen.history, view.theme, present),
            key="curves",
            alt=(
                f"Learning curves with a line at step {present}; at the end loss"
                f" {last['loss']:.3g}, {last['test_compound_accuracy']:.1%} of compounds right on"
                " test compositions"
            ),
        )


def _in_one_order(view: View) -> Prediction:
    """Return the prediction with its outputs in the same order at all steps."""
    if view.prediction.kind == "slots":
        return view.prediction
    end = predict(
        view.chosen.training_history.network(view.chosen.training_history.steps[-1]), view.areas
    )
    found = [*sorted(end.named), *(k for k in view.prediction.named if k not in end.named)]
    return predict(view.checkpoint.model, view.areas, np.array(found[:MAX_SHOWN]))


def _slot(view: View) -> int | None:
    """Ask which output of slots is looked at; None for any of them, or where outputs are classes."""
    if view.prediction.kind == "queries":
        return None
    options = list(range(len(view.prediction.named) + 1))
    chosen = url_state.widget(
        st.radio,
        "Which output?",
        "slot",
        0,
        options=options,
        horizontal=True,
        format_func=lambda i: f"output {i}" if i else "any output",
    )
    return chosen - 1 if chosen else None


def _strip(view: View, slot: int | None) -> np.ndarray:
    """Return the probabilities at every step; they are computed once for each mixture."""
    training_history = view.chosen.training_history
    key = (training_history.origin, training_history.steps, view.areas.tobytes(), slot)
    known = st.session_state.get("strip")
    if known is None or known[0] != key:
        known = st.session_state["strip"] = (key, training_history.presences(view.areas, slot))
    return known[1]


def _decided(
    view: View, probabilities: np.ndarray, called: tuple[str, ...], there: np.ndarray | None
) -> str:
    """Say from which step on the probability of each class of interest stays above one half.

    These are the classes in the mixture and those that the last step names.
    """
    steps = view.chosen.training_history.steps
    asked = set(np.flatnonzero(probabilities[-1] > 0.5).tolist()) | (
        set() if there is None else set(there.tolist())
    )
    told = []
    for k in sorted(asked):
        first = first_decided(steps, probabilities[:, k])
        told.append(
            f"{called[k]} from step {first:,}"
            if first is not None
            else f"{called[k]} never ({percent(float(probabilities[-1, k]))} at the end)"
        )
    return (
        f"The probability stays above one half: {listing(told)}."
        if told
        else "No probability is above one half."
    )


def nothing_to_travel(view: View) -> None:
    """Say that this model has no saved steps, and offer a training."""
    job = training_box().job
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
        f"**{view.model_name}** has no saved steps of its training. Train a network here (about one"
        " minute), or open one of your runs on the page *Train or load*.",
        icon=":material/history:",
    )
    st.button(
        "Train a network on these data",
        on_click=training_controls.start_usual,
        args=(view,),
        icon=":material/play_arrow:",
        type="secondary" if view.theme.dark else "primary",
    )
