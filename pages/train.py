"""Train or load: settings, a training with live curves and masks, checkpoints in and out."""

import streamlit as st

from nmrclassify.evaluation.prediction import describe_prediction
from nmrclassify.lessons.glossary import term
from nmrclassify.plots import curves
from nmrclassify.training.jobs import Job
from nmrclassify.ui import charts, diagram, loaded_model, page, panels, training_controls, uploads
from nmrclassify.ui.session import this_visit

view = page.setup("pages/train.py")

st.title("Train or load")
st.markdown(
    f"Train on {len(view.dataset.train)} {term('composition', 'compositions')}, test on"
    f" {len(view.dataset.test)} others.",
    help=f"Recipes with {term('remix')} also combine compounds at random. Curves of accuracy are"
    " measured on the test compositions, which are never used for training.",
)
training_controls.training_settings(view)


def present_job() -> Job:
    """Return this visit's training; draw the whole page again if the visit has ended meanwhile."""
    job = this_visit().job
    if job is None:
        st.rerun()
    return job


def live_figures() -> None:
    """Progress and accuracy; drawn again every second while the job is active."""
    job = present_job()
    training_controls.progress(job)
    if job.state == "interrupted":
        training_controls.go_on_or_discard(view, job)
    snapshot, test = job.latest, job.latest.test
    figures = [(f"{figure['label']} (test)", figure) for figure in panels.accuracy(test)]
    columns = st.columns(3)
    columns[0].metric("Step", f"{snapshot.step:,} of {snapshot.steps:,}")
    columns[0].metric("Loss", f"{snapshot.loss:.3g}" if snapshot.step else "not yet")
    for i, (label, figure) in enumerate(figures):
        columns[1 + i // 2].metric(label, figure["value"], help=figure["help"])
    if not job.active and st.session_state.get("was active"):
        st.session_state["was active"] = False
        training_controls.show_result(job)
        st.rerun()
    st.session_state["was active"] = job.active


def live_pictures() -> None:
    """Curves and one test mixture; drawn every four seconds, since new charts flicker."""
    job = present_job()
    data = job.dataset
    snapshot, truth = job.latest, job.pinned_truth
    if snapshot.step:
        share = f"{snapshot.test['compound_accuracy']:.1%} of compounds right on test compositions"
        charts.chart(
            curves.learning_curves(job.history, view.theme),
            alt=f"Loss {snapshot.loss:.3g}, {share}",
            key="curves",
        )
    st.subheader(f"One test mixture at step {snapshot.step:,}")
    st.caption(describe_prediction(snapshot.pinned, data.library.names, truth))
    diagram.show_moving(
        job.checkpoint().model,
        job.pinned.areas[0],
        snapshot.pinned,
        truth,
        data.library,
        view.theme,
        "network",
    )


def wait_for_held() -> None:
    """Draw the whole page again once the visit's training of before is free."""
    if not this_visit().held:
        st.rerun()


visit = this_visit()
job = visit.job
if visit.problem:
    st.warning(f"{visit.problem[0].upper()}{visit.problem[1:]}.")
if visit.held:
    st.info("Your last training is being saved. It appears here in a few seconds.")
    st.fragment(wait_for_held, run_every=1.0)()
elif job is None:
    st.caption("There is no training in this visit yet: press *Start*.")
else:
    training_controls.about_training(view, job)
    st.fragment(live_figures, run_every=1.0 if job.active else None)()
    st.fragment(live_pictures, run_every=4.0 if job.active else None)()
if loaded_model.is_other(view, job):
    loaded_model.show(view)

st.subheader("Load a model")
left, right = st.columns(2)
with left:
    uploads.checkpoint_file()
    loaded_model.confirm_upload(view)
with right:
    training_controls.earlier_runs()
training_controls.download_model(view)
