"""Controls of the page *Train or load*."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import streamlit as st

from nmrclassify.config import bounds
from nmrclassify.networks.registry import NETWORKS
from nmrclassify.training import checkpoints, cluster, runs
from nmrclassify.training.job_queue import QueueFull
from nmrclassify.training.jobs import Job
from nmrclassify.training.recipes import TrainConfig, recipe
from nmrclassify.training.trainer import Trainer, sizes_for
from nmrclassify.ui import model_picker, url_state
from nmrclassify.ui.panels import View
from nmrclassify.ui.session import own_runs, this_visit
from nmrclassify.ui.training_settings import (
    MORE,
    RECIPE_TITLES,
    describe_data,
    describe_network,
    follow_loaded,
    name_of,
    show_loaded,
    show_settings,
)

KEPT_SECONDS = 10  # a paused training that took so long is kept when another takes its place


def training_settings(view: View) -> None:
    """Draw the settings and the buttons that control this visit's training."""
    follow_loaded(view)
    job = this_visit().job
    interrupted = job is not None and job.state == "interrupted"
    zero, one, six = st.columns([3, 3, 2])
    with zero:
        kind = url_state.widget(
            st.selectbox,
            "Network",
            "network",
            format_func=lambda kind: NETWORKS[kind].title,
            disabled=interrupted,
            help=(
                "Queries estimate how many compounds there are. Slots have one output for each"
                " compound in the mixture, so their number is fixed."
            ),
        )
    two, three, four, five = st.columns(4)
    with one:
        name = url_state.widget(
            st.selectbox,
            "Recipe",
            "recipe",
            NETWORKS[kind].usual_recipe,
            format_func=RECIPE_TITLES.get,
            disabled=interrupted,
            help=(
                "The original recipes train for 1,000 epochs on ten mixtures, one at a time."
                " Choose the data *Original* with them."
            ),
        )
    with six:
        n_filters = int(
            url_state.widget(
                st.selectbox,
                "Filters",
                "filters",
                disabled=interrupted,
                help="Of the encoder. Fewer filters are fewer rows of a mask to read.",
            )
        )
    usual = recipe(name)
    with two:
        optimiser = url_state.widget(
            st.selectbox,
            "Optimiser",
            "optimiser",
            usual.optimiser,
            disabled=interrupted,
            format_func=str.upper,
        )
    with three:
        rate = _number(
            interrupted, "Learning rate", "learning_rate", usual, step=None, format="%.5f"
        )
    with four:
        steps = _number(interrupted, "Steps", "steps", usual, step=100)
    with five:
        seed = url_state.widget(
            st.number_input,
            "Weights seed",
            "weights_seed",
            view.dataset.seed,
            step=1,
            disabled=interrupted,
            help="The same seed gives the same initial weights.",
        )
    chosen = {"optimiser": optimiser, "learning_rate": rate, "steps": steps}
    with st.expander("More settings", icon=":material/tune:"):
        columns = st.columns(3)
        for i, (field, label, step) in enumerate(MORE):
            with columns[i % 3]:
                chosen[field] = _number(interrupted, label, field, usual, step=step)
        chosen["own_levels"] = url_state.widget(
            st.checkbox,
            "Each training mixture has its own level of spread, jitter and noise",
            "own_levels",
            usual.own_levels,
            disabled=interrupted,
        )
    try:
        config = replace(usual, **chosen)
    except ValueError as error:
        st.error(f"{error}.")
        return
    _buttons((view, config, seed, kind, n_filters), job)


def _number(disabled: bool, label: str, field: str, usual: TrainConfig, **options: Any) -> Any:
    limit = bounds(TrainConfig, field)
    return url_state.widget(
        st.number_input,
        label,
        field,
        getattr(usual, field),
        disabled=disabled,
        help=f"{limit.help}; from {limit.low:g} to {limit.high:g}",
        **options,
    )


def _keep_paused() -> bool:
    """Return whether the paused training is worth a run, when another takes its place."""
    job = this_visit().job
    return job is not None and job.latest.seconds >= KEPT_SECONDS


def _prepare(
    view: View, config: TrainConfig, seed: int, kind: str, n_filters: int, keep: bool = False
) -> Job:
    network = sizes_for(view.dataset, kind, n_filters=n_filters)
    before = this_visit().job
    job = this_visit().replace(Trainer(view.dataset, config, seed, kind, network), keep)
    if before is not None and before.run_id is not None and keep:
        st.session_state["kept run"] = before.run_id
    url_state.put("model", "training")
    return job


def _wanted_job(view: View, config: TrainConfig, seed: int, kind: str, n_filters: int) -> Job:
    job = this_visit().job
    if job is None or job.over or not job.matches(view.dataset, config, seed, kind, n_filters):
        job = _prepare(view, config, seed, kind, n_filters, keep=True)
    return job


def _start(view: View, config: TrainConfig, seed: int, kind: str, n_filters: int) -> None:
    st.session_state.pop("asked to start", None)
    job = _wanted_job(view, config, seed, kind, n_filters)
    url_state.put("model", "training")
    _try_to_start(job)


def _try_to_start(job: Job) -> None:
    try:
        job.start()
    except QueueFull as error:
        st.session_state["training problem"] = f"{error}."


def start_usual(view: View) -> None:
    """Start a training on the present data, with the default recipe of the chosen network."""
    kind = view.checkpoint.model.kind
    n_filters = sizes_for(view.dataset, kind).n_filters
    _start(view, recipe(NETWORKS[kind].usual_recipe), view.dataset.seed, kind, n_filters)


def watched_progress() -> None:
    """Show the progress of this visit's training; draw the page again at times, and at the end."""
    job = this_visit().job
    if job is None:
        return
    progress(job)
    steps, seen = len(job.training_history), st.session_state.get("steps seen", 0)
    if not job.active or steps < seen or steps >= seen + 6:
        st.session_state["steps seen"] = steps
        if not job.active:
            show_result(job)
        st.rerun()


def _one_step(view: View, config: TrainConfig, seed: int, kind: str, n_filters: int) -> None:
    job = _wanted_job(view, config, seed, kind, n_filters)
    url_state.put("model", "training")
    job.step()


def _new_seed(view: View, config: TrainConfig, seed: int, kind: str, n_filters: int) -> None:
    url_state.put("weights_seed", seed + 1)
    _prepare(view, config, seed + 1, kind, n_filters, _keep_paused())


def _stop(job: Job) -> None:
    job.stop()
    show_result(job)


def _reset(view: View, config: TrainConfig, seed: int, kind: str, n_filters: int) -> None:
    _prepare(view, config, seed, kind, n_filters, _keep_paused())


def _pause(job: Job) -> None:
    job.pause()


def _buttons(wanted: tuple[View, TrainConfig, int, str, int], job: Job | None) -> None:
    view, config, seed, kind, n_filters = wanted
    state = job.state if job is not None else "none"
    same = job is not None and job.matches(view.dataset, config, seed, kind, n_filters)
    active = job is not None and job.active
    interrupted = state == "interrupted"  # then its own buttons decide first
    busy = active or interrupted
    halted = not busy and state != "paused"
    anew = active and not same
    start = "Continue" if state == "paused" and same else "Start anew" if anew else "Start"
    start_type = "secondary" if busy else _main_type(view)
    buttons: list[tuple[str, str, Callable[..., None], tuple, bool, str | None]] = [
        (
            start,
            "play_arrow",
            _ask_to_start if anew else _start,
            () if anew else wanted,
            busy and not anew,
            "With these data and settings; asks before it ends the present training."
            if anew
            else None,
        ),
        ("Pause", "pause", _pause, (job,), not active, None),
        ("One step", "skip_next", _one_step, wanted, busy, None),
        ("Stop", "stop", _stop, (job,), halted, "Ends the training and saves the model as a run."),
        (
            "Reset",
            "restart_alt",
            _reset,
            wanted,
            busy or job is None,
            "Restores the initial weights.",
        ),
        (
            "New seed",
            "casino",
            _new_seed,
            wanted,
            busy,
            f"Draws other initial weights; the seed is {seed} now.",
        ),
    ]
    for column, (label, icon, action, args, disabled, help_text) in zip(
        st.columns(6), buttons, strict=True
    ):
        column.button(
            label,
            on_click=action,
            args=args,
            type=start_type if label == start else "secondary",
            disabled=disabled,
            icon=f":material/{icon}:",
            width="stretch",
            help=help_text,
        )
    if problem := st.session_state.pop("training problem", None):
        st.warning(problem, icon=":material/hourglass:")
    if kept := st.session_state.pop("kept run", None):
        st.success(f"The training before is kept as run `{kept}`.", icon=":material/save:")
    if not anew:
        st.session_state.pop("asked to start", None)
    elif st.session_state.get("asked to start"):
        _question(wanted, job)


def _ask_to_start(asked: bool = True) -> None:
    st.session_state["asked to start"] = asked


def _question(wanted: tuple[View, TrainConfig, int, str, int], job: Job | None) -> None:
    """Ask whether a new training may end the present one."""
    view, _, _, kind, _ = wanted
    assert job is not None
    with st.container(border=True, key="start-anew"):
        st.markdown(
            f"**End the present training?** {describe_network(job.checkpoint())}; step"
            f" {job.latest.step:,} of {job.latest.steps:,}. Its model is kept as a run. The new one"
            f" trains **{name_of(kind)}** on {describe_data(view.dataset)}."
        )
        with st.container(horizontal=True):
            st.button(
                "End it and start",
                on_click=_start,
                args=wanted,
                icon=":material/play_arrow:",
                type=_main_type(view),
            )
            st.button("Let it go on", on_click=_ask_to_start, args=(False,))


def _main_type(view: View) -> Literal["primary", "secondary"]:
    """Return the type of the main button: on the dark theme, white on light blue is too faint."""
    return "secondary" if view.theme.dark else "primary"


def progress(job: Job) -> None:
    """Show how far a job is, how long it will take, and what it waits for."""
    latest = job.latest
    share = latest.step / latest.steps
    if job.state == "waiting":
        place = f"{job.n_ahead} ahead of you" if job.n_ahead else "you are next"
        text = (
            "Waiting for a free worker of the cluster. It starts automatically."
            if cluster.address()
            else f"Waiting for a free place: {place}. It starts automatically."
        )
    elif job.state == "starting":
        text = "Starting: its process loads the program, which takes some seconds."
    elif job.state == "running":
        left = job.remaining_seconds
        text = f"Training: {share:.0%}" + (
            f", about {_duration(left)} left" if left is not None else ""
        )
    else:
        words = {
            "ready": "Ready: untrained weights",
            "paused": "Paused",
            "interrupted": "Stopped",
            "finished": "Finished",
            "stopped": "Stopped",
            "failed": "Failed",
        }
        text = (
            f"{words[job.state]} at step {latest.step:,} of {latest.steps:,}, after"
            f" {_duration(latest.seconds)}"
        )
    st.progress(share, text=text)
    if job.message:
        (st.error if job.state == "failed" else st.warning)(
            f"{job.message[0].upper()}{job.message[1:]}."
        )
    if job.run_id and not job.active:
        st.success(
            f"Saved as run `{job.run_id}`. The link of this page opens it again.",
            icon=":material/save:",
        )


def _show_data_of_training() -> None:
    if (job := this_visit().job) is not None:
        show_settings(job.checkpoint(), job.run_id or "training")


def about_training(view: View, job: Job) -> None:
    """Say what a job trains on which data, and whether the sidebar shows other data."""
    st.markdown(f"This training: {describe_network(job.checkpoint())}.")
    if job.trains_on(view.dataset):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.info(
            "The sidebar shows other data. What follows is of this training, which keeps its own.",
            icon=":material/database:",
        )
        st.button(
            "Show its data",
            on_click=_show_data_of_training,
            icon=":material/database:",
        )


def go_on_or_discard(view: View, job: Job) -> None:
    """Draw the buttons of a training that stopped by itself."""
    one, other, _ = st.columns([1, 1, 3])
    if one.button(
        "Go on",
        type=_main_type(view),
        icon=":material/play_arrow:",
        width="stretch",
        help="The result is that of a training without a stop.",
    ):
        show_settings(job.checkpoint(), "training")
        _try_to_start(job)
        st.rerun()
    if other.button("Discard", icon=":material/delete:", width="stretch"):
        this_visit().discard()
        if url_state.get("model") == "training":
            url_state.put("model", None)
        st.rerun()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"


def show_result(job: Job) -> None:
    """Make the link open the run that a training saved."""
    if job.run_id and url_state.get("model") == "training":
        url_state.put("model", job.run_id)


def earlier_runs() -> None:
    """Offer the runs that this visitor may open."""
    listed = own_runs()
    st.markdown(
        "**Earlier runs**",
        help=f"Runs are saved in `{runs.home().name}` in the folder that the environment variable"
        " NMRCLASSIFY_HOME names, else in `~/.nmrclassify`. `python -m nmrclassify train` makes"
        " them, too.",
    )
    if not listed:
        st.markdown("None.")
        return
    titles = {run.id: run.title for run in listed}
    chosen = st.selectbox(
        "Run", list(titles), format_func=lambda run_id: titles[run_id], key="run to open"
    )
    st.button("Open this run", on_click=_open, args=(chosen,), icon=":material/folder_open:")
    if problem := st.session_state.pop("run problem", None):
        st.error(problem)


def _open(run_id: str) -> None:
    try:
        show_loaded(model_picker.run_checkpoint(run_id), run_id)
    except ValueError as error:
        st.session_state["run problem"] = f"{error}."


def download_model(view: View) -> None:
    """Offer the present model as a checkpoint."""
    st.download_button(
        f"Download: {view.model_name}",
        lambda: checkpoints.to_bytes(view.checkpoint),
        f"{view.dataset.preset}.safetensors",
        "application/octet-stream",
        icon=":material/download:",
        on_click="ignore",
    )
