"""Evaluate: accuracy on the test mixtures with intervals, mixtures, confusions, calibration."""

import streamlit as st

from nmrclassify.evaluation import calibration
from nmrclassify.lessons.glossary import term
from nmrclassify.plots import curves, page_figures
from nmrclassify.ui import charts, page, panels, results, url_state

view = page.setup("pages/evaluate.py")
names = view.library.names

st.title("Evaluate")
st.markdown(
    f"**{view.model_name}** on {len(view.dataset.test)} test"
    f" {term('composition', 'compositions')}, with {term('95 % interval', '95 % intervals')}."
)
if not view.checkpoint.step:
    panels.offer_training(view)
mixtures = view.dataset.test_mixtures()
seen = int(view.checkpoint.trained_on(mixtures.labels).sum())
if seen:
    st.warning(
        f"{seen} of these compositions were, or may have been, in this model's training, because"
        " it was trained with another split. Choose the seed of its training."
    )
result = results.evaluation(view.checkpoint, view.dataset)
summary = result.summary()

first, *tiles = st.columns(5)
first.metric("Test mixtures", summary["n_mixtures"])
for tile, figure in zip(tiles, panels.accuracy(summary), strict=True):
    tile.metric(
        figure["label"],
        figure["value"],
        figure["interval"],
        help=figure["help"],
        delta_color="off",
        delta_arrow="off",
    )

st.subheader("Mixture by mixture", help="Select a row to open its mixture on the page *Masks*.")
only_wrong = url_state.widget(st.toggle, "Only mistakes", "only_wrong")
table = result.table(names)
if only_wrong:
    table = table[~table["wholly right"]]
if table.empty:
    st.success("The network makes no mistake on the test mixtures.")
else:
    event = st.dataframe(
        table,
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"test table {only_wrong}",
        column_config={
            "confidence": st.column_config.ProgressColumn(
                min_value=0.0, max_value=1.0, format="percent", help="Lowest of all outputs"
            ),
            "SI-SDR improvement (dB)": st.column_config.NumberColumn(format="%.1f"),
            "mask distance": st.column_config.NumberColumn(format="%.3f"),
        },
    )
    if event.selection.rows:
        panels.drop_edits("mixture")
        url_state.put("number", int(table.iloc[event.selection.rows[0]]["number"]))
        st.switch_page("pages/masks.py", query_params=url_state.query())
charts.download("Table as CSV", table, "test_mixtures.csv")

st.subheader("Which compounds are confused?")
counts = result.confusion()
wrong = int(counts.sum() - counts.trace())
charts.chart(
    page_figures.confusion(result, view.library, view.theme),
    alt=(
        f"Confusion matrix: {int(counts.trace())} of {int(counts.sum())} compounds named"
        f" correctly, {wrong} not"
    ),
    key="confusion",
)

# Several mixtures of each composition: amounts, shifts and noise may differ between them.
several = results.evaluation(view.checkpoint, view.dataset, max(1, 720 // len(mixtures)))
bins = calibration.reliability(*several.statements())
st.subheader(
    "Can the probabilities be trusted?",
    help="Of the predictions with a probability of 80 %, 80 % should be true; then the curve is on"
    f" the diagonal. {bins.n.sum():,} predictions. The logits are divided by a"
    f" {term('temperature')}, {float(view.checkpoint.model.temperature):.2f}, that was fitted on"
    f" {len(view.checkpoint.dataset.validation)} validation compositions. Raise noise or shift"
    " jitter in the sidebar to test the probabilities on mixtures that cause mistakes.",
)
left, right = st.columns(2)
with left:
    charts.chart(
        curves.reliability_diagram(bins, view.theme),
        key="reliability",
        alt=(
            f"Reliability diagram: expected calibration error {bins.expected_calibration_error:.3f}"
            f" over {bins.n.sum()} predictions"
        ),
    )
    st.caption(
        f"{term('expected calibration error', 'Expected calibration error')}"
        f" **{bins.expected_calibration_error:.3f}**: 0 is on the diagonal."
    )
with right:
    if result.unknown is None:
        st.info(f"Slots have no output for an {term('unknown compound')}.")
    else:
        scores, has_unknown = results.unknown_scores(view.checkpoint.model, view.dataset)
        curves_by_score = {
            name: calibration.roc(values, has_unknown) for name, values in scores.items()
        }
        charts.chart(
            curves.roc_curves(curves_by_score, view.theme),
            key="roc",
            alt="Receiver operating characteristic for unknown compounds: "
            + ", ".join(f"{k} {v.area:.3f}" for k, v in curves_by_score.items()),
        )
        st.caption(
            f"Half of these {len(has_unknown)} mixtures contain an {term('unknown compound')}.",
            help="*Something unknown* is the probability that the network gives for it. *Residual*"
            " is the share of the mixture that the separated compounds do not explain.",
        )
