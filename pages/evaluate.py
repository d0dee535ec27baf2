"""Evaluate: every unseen test mixture, right or wrong and how sure, the confusions, and the figures with intervals."""

import streamlit as st

from nmrclassify.evaluation import calibration, unknown
from nmrclassify.evaluation.metrics import evaluate
from nmrclassify.plots import classes, curves
from nmrclassify.ui import charts, page, panels, url_state

view = page.setup("pages/evaluate.py")
names = view.library.names

st.title("Evaluate")
st.markdown(
    f"**{view.model_name}** on all {len(view.dataset.test)} compositions kept for the test. No"
    " figure is averaged over training; the grey ranges are 95 % intervals."
)
if not view.checkpoint.step:
    st.info(
        "This network is untrained, so these are the figures of guessing. Train it on the page"
        " *Train or load*."
    )
mixtures = view.dataset.test_mixtures()
seen = int(view.checkpoint.trained_on(mixtures.labels).sum())
if seen:
    st.warning(
        f"{seen} of these compositions were, or may have come up, in this model's training: it was"
        " made with another split. Choose its seed."
    )
result = evaluate(view.checkpoint.model, mixtures, view.checkpoint.training.reconstruction_weight)
summary = result.summary()

tiles = st.columns(4)
tiles[0].metric("Test mixtures", summary["n_mixtures"])
for tile, label, key in (
    (tiles[1], "Compounds right", "compound_accuracy"),
    (tiles[2], "Mixtures wholly right", "exact_match"),
):
    low, high = summary[f"{key}_ci95"]
    tile.metric(
        label,
        f"{summary[key]:.1%}",
        f"{low:.0%} to {high:.0%}",
        delta_color="off",
        delta_arrow="off",
    )
gain, (low, high) = summary["si_sdr_improvement_db"], summary["si_sdr_improvement_db_ci95"]
tiles[3].metric(
    "SI-SDR improvement",
    "none" if gain is None else f"{gain:.1f} dB",
    None if low is None else f"{low:.1f} to {high:.1f} dB",
    delta_color="off",
    delta_arrow="off",
    help="How much closer the separated multiplets are to their source than the mixture is.",
)

st.subheader("Mixture by mixture")
only_wrong = url_state.widget(st.toggle, "Only those with a mistake", "wrong", False)
table = result.table(names)
if only_wrong:
    table = table[~table["wholly right"]]
if table.empty:
    st.success("No mistake on any test mixture.")
else:
    st.caption("Select a row to open its mixture on the page *Masks*.")
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"test table {only_wrong}",
        column_config={
            "confidence": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent", help="Of the least sure output"
            ),
            "SI-SDR improvement (dB)": st.column_config.NumberColumn(format="%.1f"),
        },
    )
    if event.selection.rows:
        panels.forget_edits("mixture")
        url_state.put("n", int(table.iloc[event.selection.rows[0]]["number"]))
        st.switch_page("pages/masks.py", query_params=url_state.query())
charts.download("Table as CSV", table, "test_mixtures.csv")

st.subheader("What is mistaken for what")
counts = result.confusion()
wrong = int(counts.sum() - counts.trace())
labels = names if len(counts) == len(names) else (*names, "nothing")
charts.chart(
    classes.confusion(counts, labels, view.theme),
    alt=(
        f"Confusion matrix: {int(counts.trace())} of {int(counts.sum())} compounds named right,"
        f" {wrong} mistaken"
    ),
    key="confusion",
)

st.subheader("Can its probabilities be trusted?")
left, right = st.columns(2)
with left:
    # Every composition several times: where amounts, shifts or noise vary, each tells more.
    several = view.dataset.test_mixtures(draws=max(1, 720 // len(mixtures)))
    bins = calibration.reliability(
        *evaluate(
            view.checkpoint.model, several, view.checkpoint.training.reconstruction_weight
        ).statements()
    )
    charts.chart(
        curves.reliability_diagram(bins, view.theme),
        key="reliability",
        alt=(
            f"Reliability diagram: expected calibration error {bins.expected_calibration_error:.3f}"
            f" over {bins.n.sum()} statements"
        ),
    )
    st.caption(
        "Of all it calls 80 % likely, 80 % should be true: on the diagonal. **Expected calibration"
        f" error {bins.expected_calibration_error:.3f}** over {bins.n.sum()} statements. The"
        f" temperature that divides the logits, {float(view.checkpoint.model.temperature):.2f}, was"
        f" fitted on {len(view.checkpoint.dataset.validation)} compositions kept for validation."
        " Raise noise or shift jitter in the sidebar to see it tested where mistakes happen."
    )
with right:
    if result.unknown is None:
        st.info(
            "Slots have no output for what is not in the library: a foreign compound is always"
            " called by a name that it has not."
        )
    else:
        scores, foreign = unknown.unknown_scores(view.checkpoint.model, view.dataset)
        found = {name: calibration.roc(values, foreign) for name, values in scores.items()}
        charts.chart(
            curves.roc_curves(found, view.theme),
            key="roc",
            alt="Receiver operating characteristic for unknown compounds: "
            + ", ".join(f"{k} {v.area:.3f}" for k, v in found.items()),
        )
        st.caption(
            f"{len(foreign)} mixtures of the test compositions, every other one with a compound"
            " that is not in the library. *Something unknown* is the network's own output for it;"
            " *residual* is the share of the mixture that its compounds do not explain."
        )
