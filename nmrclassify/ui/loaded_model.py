"""What the page *Train or load* shows of a model that was not trained just now."""

import streamlit as st

from nmrclassify.plots import curves
from nmrclassify.training.checkpoints import PACKAGED
from nmrclassify.training.jobs import Job
from nmrclassify.ui import charts, model_picker, panels, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.training_settings import describe_network, name_of, show_loaded, show_settings


def confirm_upload(view: View) -> None:
    """Say whether the uploaded checkpoint is the model of the pages."""
    name, upload = st.session_state.get("uploaded as"), st.session_state.get("upload")
    if name is None or upload is None:
        return
    kind = name_of(upload.model.kind)
    if view.chosen.key == "upload":
        st.success(
            f"`{name}` is loaded: {kind}, {upload.step:,} steps. All pages use it now.",
            icon=":material/check_circle:",
        )
    else:
        st.info(f"`{name}` is kept: {kind}, {upload.step:,} steps. The pages use another model.")
        st.button(
            "Use it",
            on_click=_use_upload,
            icon=":material/upload_file:",
        )


# Streamlit keeps what a button refers to until the session ends: names, not models.
def _use_upload() -> None:
    show_loaded(st.session_state["upload"], "upload")


def _use_settings(key: str, preset: str) -> None:
    if key == "upload":
        checkpoint = st.session_state["upload"]
    elif key in PACKAGED:
        checkpoint = model_picker.packaged_model(key, preset)
    else:
        checkpoint = model_picker.run_checkpoint(key)
    show_settings(checkpoint, key)


def is_other(view: View, job: Job | None) -> bool:
    """Return whether the pages show a trained model that is not that of `job`."""
    key = view.chosen.key
    if key in ("untrained", "training"):
        return False
    return job is None or not (key in PACKAGED or key == job.run_id)


def show(view: View) -> None:
    """Show kind, accuracy and curves of the loaded model."""
    chosen, checkpoint = view.chosen, view.checkpoint
    key = chosen.key
    st.subheader(f"Loaded: {view.model_name}")
    st.markdown(f"{describe_network(checkpoint)}.")
    first, *tiles = st.columns(5)
    first.metric("Step", f"{checkpoint.step:,}")
    if checkpoint.metrics:  # measured on the test compositions, at the end of the training
        for tile, figure in zip(tiles, panels.accuracy(checkpoint.metrics), strict=False):
            tile.metric(str(figure["label"]), figure["value"], help=figure["help"])
    history = chosen.history
    if history:
        charts.chart(
            curves.learning_curves(history, view.theme, None if chosen.last else checkpoint.step),
            alt=f"Learning curves of {view.model_name}, {len(history)} measured steps",
            key="loaded curves",
        )
    elif key == "upload":
        st.caption("A checkpoint file carries no curves and no earlier steps; a run does.")
    else:
        st.caption("Its curves are not saved.")
    with st.container(horizontal=True):
        st.button(
            "Use its settings",
            on_click=_use_settings,
            args=(key, view.dataset.preset),
            icon=":material/tune:",
            help="For the next training: network, recipe, and all numbers.",
        )
        if (steps := chosen.training_history) is not None:
            st.page_link(
                "pages/travel.py",
                label=f"Travel through its {len(steps)} saved steps",
                icon=":material/history:",
                query_params=url_state.query(),
            )
