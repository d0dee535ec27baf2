"""Train or load: settings, a stoppable training with live curves and masks, checkpoints in and out."""

import streamlit as st

from nmrclassify import figures
from nmrclassify.answers import verdict
from nmrclassify.ui import charts, controls, uploads, workspace
from nmrclassify.ui.session import training_box

view = workspace.setup("pages/train.py")
names, axis = view.library.names, view.library.axis

st.title("Train or load")
st.markdown(
    f"Training shows the network mixtures from **{len(view.dataset.train)} compositions** of the data chosen in the sidebar. "
    f"The curves on the right of the pair are measured on **{len(view.dataset.test)} others** that it never trains on."
)
controls.training_settings(view)
box = training_box()


def live() -> None:
    """Progress, curves and the pinned mixture; drawn again each second while the job is active."""
    job = box.job
    if job is None:
        st.info("Nothing is being trained in this visit. Press *Start*; the curves and the masks appear here.")
        return
    controls.progress(job)
    snapshot = job.latest
    test = snapshot.test
    for column, label, value in zip(
        st.columns(4),
        ("Step", "Loss", "Compounds right (unseen)", "Mixtures wholly right (unseen)"),
        (
            f"{snapshot.step:,} of {snapshot.steps:,}", f"{snapshot.loss:.3g}" if snapshot.step else "not yet",
            f"{test['compound_accuracy']:.1%}", f"{test['exact_match']:.1%}",
        ),
    ):
        column.metric(label, value)
    if job.history and snapshot.step:
        charts.chart(
            figures.learning_curves(job.history, view.theme),
            alt=f"Loss {snapshot.loss:.3g}, {test['compound_accuracy']:.1%} of compounds right on unseen compositions", key="curves",
        )
    data = job.dataset
    st.subheader("One unseen mixture, now")
    st.caption(verdict(snapshot.pinned, data.library.names, job.pinned_truth))
    charts.chart(
        figures.overview(job.pinned.areas[0], snapshot.pinned, data.library.names, data.library.axis, view.theme, job.pinned_truth),
        alt=f"Masks and separated multiplets at step {snapshot.step}. {figures.alt_text(snapshot.pinned, data.library.names)}",
        key="pinned",
    )
    if not job.active and st.session_state.get("was active"):
        st.session_state["was active"] = False
        controls.show_result(job)
        st.rerun()
    st.session_state["was active"] = job.active


st.fragment(live, run_every=1.0 if box.job is not None and box.job.active else None)()

st.subheader("Load a model")
left, right = st.columns(2)
with left:
    uploads.checkpoint_file()
with right:
    controls.earlier_runs()
controls.download_model(view)
