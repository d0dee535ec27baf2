"""Train or load: settings, a stoppable training with live curves and masks, checkpoints in and out."""

import streamlit as st

from nmrclassify.evaluation.prediction import describe_prediction
from nmrclassify.plots import classes, curves, maps
from nmrclassify.ui import charts, page, training_controls, uploads
from nmrclassify.ui.session import training_box

view = page.setup("pages/train.py")
names, axis = view.library.names, view.library.axis

st.title("Train or load")
st.markdown(
    f"Training shows the network mixtures of **{len(view.dataset.train)} compositions** of the data"
    " chosen in the sidebar and, where the recipe remixes, of compounds drawn anew. The curves on"
    f" the right of the pair are measured on **{len(view.dataset.test)} others** that it never"
    " trains on."
)
training_controls.training_settings(view)
box = training_box()


def live_figures() -> None:
    """Progress and figures in words; looked at each second while the job is active."""
    job = box.job
    training_controls.progress(job)
    snapshot, test = job.latest, job.latest.test
    for column, label, value in zip(
        st.columns(4),
        ("Step", "Loss", "Compounds right (unseen)", "Mixtures wholly right (unseen)"),
        (
            f"{snapshot.step:,} of {snapshot.steps:,}",
            f"{snapshot.loss:.3g}" if snapshot.step else "not yet",
            f"{test['compound_accuracy']:.1%}",
            f"{test['exact_match']:.1%}",
        ),
        strict=False,
    ):
        column.metric(label, value)
    if not job.active and st.session_state.get("was active"):
        st.session_state["was active"] = False
        training_controls.show_result(job)
        st.rerun()
    st.session_state["was active"] = job.active


def live_pictures() -> None:
    """Curves and the pinned mixture; drawn anew each four seconds, since a new chart flashes and costs the browser."""
    job, data = box.job, box.job.dataset
    snapshot, truth = job.latest, job.pinned_truth
    if snapshot.step:
        share = (
            f"{snapshot.test['compound_accuracy']:.1%} of compounds right on unseen compositions"
        )
        charts.chart(
            curves.learning_curves(job.history, view.theme),
            alt=f"Loss {snapshot.loss:.3g}, {share}",
            key="curves",
        )
    st.subheader(f"One unseen mixture at step {snapshot.step:,}")
    st.caption(describe_prediction(snapshot.pinned, data.library.names, truth))
    charts.chart(
        maps.overview(
            job.pinned.areas[0],
            snapshot.pinned,
            data.library.names,
            data.library.axis,
            view.theme,
            truth,
        ),
        alt=(
            f"Masks and separated multiplets at step {snapshot.step}."
            f" {classes.alt_text(snapshot.pinned, data.library.names)}"
        ),
        key="pinned",
        follow=False,
    )


if box.job is None:
    st.info(
        "Nothing is being trained in this visit. Press *Start*; the curves and the masks appear"
        " here."
    )
else:
    active = box.job.active
    st.fragment(live_figures, run_every=1.0 if active else None)()
    st.fragment(live_pictures, run_every=4.0 if active else None)()

st.subheader("Load a model")
left, right = st.columns(2)
with left:
    uploads.checkpoint_file()
with right:
    training_controls.earlier_runs()
training_controls.download_model(view)
