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
    f"**{view.model_name}** on the {len(view.dataset.test)} test"
    f" {term('composition', 'compositions')}. The grey ranges are"
    f" {term('95 % interval', '95 % intervals')}."
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

st.subheader("Mixture by mixture")
only_wrong = url_state.widget(st.toggle, "Only mixtures with a mistake", "only_wrong")
table = result.table(names)
if only_wrong:
    table = table[~table["wholly right"]]
if table.empty:
    st.success("The network makes no mistake on the test mixtures.")
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

st.subheader("Can the probabilities be trusted?")
left, right = st.columns(2)
with left:
    # Several mixtures of each composition: amounts, shifts and noise may differ between them.
    several = results.evaluation(view.checkpoint, view.dataset, max(1, 720 // len(mixtures)))
    bins = calibration.reliability(*several.statements())
    charts.chart(
        curves.reliability_diagram(bins, view.theme),
        key="reliability",
        alt=(
            f"Reliability diagram: expected calibration error {bins.expected_calibration_error:.3f}"
            f" over {bins.n.sum()} predictions"
        ),
    )
    st.caption(
        "Of the predictions with a probability of 80 %, 80 % should be true; then the curve is on"
        f" the diagonal. **Expected calibration error {bins.expected_calibration_error:.3f}** over"
        f" {bins.n.sum()} predictions. The logits are divided by a temperature,"
        f" {float(view.checkpoint.model.temperature):.2f}, that was fitted on"
        f" {len(view.checkpoint.dataset.validation)} validation compositions. Raise noise or shift"
        " jitter in the sidebar to test the probabilities on mixtures that cause mistakes."
    )
with right:
    if result.unknown is None:
        st.info(
            "Slots have no output for an unknown compound: they always give it the name of a"
            " compound of the library."
        )
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
            f"{len(has_unknown)} mixtures of the test compositions; half of them contain an unknown"
            " compound, which is not in the library. *Something unknown* is the probability that"
            " the network gives for it. *Residual* is the share of the mixture that the separated"
            " compounds do not explain."
        )
