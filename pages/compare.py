"""Compare: two models, two steps or two settings on one mixture, side by side."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation.compare_predictions import compare_predictions
from nmrclassify.lessons.glossary import term
from nmrclassify.plots import comparison, curves, page_figures
from nmrclassify.ui import charts, comparison_picker, export_panel, page, panels, results
from nmrclassify.ui.snippets import compared

view = page.setup("pages/compare.py")
axis, names = view.library.axis, view.library.names

st.title("Compare")
st.markdown(
    "**A** is what the sidebar shows; **B** is what you choose here.",
    help=f"B is another model, the same model at another {term('step')} of its training, or the"
    f" same mixture with other {term('noise')} or {term('shift jitter')}.",
)
panels.mixture_heading(view)
other = comparison_picker.choose(view)

for column, side, letter in zip(st.columns(2), (view, other), "AB", strict=True):
    with column:
        st.markdown(f"**{letter}: {comparison_picker.describe_model(side)}**")
        if side.checkpoint.step:
            panels.show_prediction(side)
        else:
            st.info("Untrained")

one_training = view.checkpoint.same_filters(other.checkpoint)
change = compare_predictions(
    (view.checkpoint.model, view.areas), (other.checkpoint.model, other.areas), one_training
)
letters, class_labels = ("A", "B"), view.classes[: change.presence.shape[1]]
if np.array_equal(change.first.probabilities, change.second.probabilities) and np.array_equal(
    view.areas, other.areas
):
    st.info("Both sides are the same. Choose another model, step, noise or jitter for B.")
about = {change.first.about_presence, change.second.about_presence} - {""}
st.subheader("Predicted compounds", help=" ".join(about) or None)
charts.chart(
    comparison.presence_change(
        change,
        class_labels,
        view.theme,
        letters,
        None if view.truth is None else view.truth.present,
    ),
    key="classes",
    alt="Probability of each class, A and B: "
    + "; ".join(
        f"{name} {a:.0%}, {b:.0%}"
        for name, a, b in zip(class_labels, *change.presence, strict=True)
    ),
)
if not np.array_equal(view.areas, other.areas):
    charts.chart(
        comparison.mixture_change(
            view.areas,
            other.areas,
            axis,
            view.theme,
            letters,
            None if view.cell is None else view.cell.position,
        ),
        key="mixture",
        alt="The mixture of A, the mixture of B, and the difference",
    )
st.subheader(
    "Masks",
    help="The filters are in the same order in all maps. Click a cell to frame it in all of them."
    if one_training
    else None,
)
if change.masks is None:
    st.info("No picture of both: the networks have different numbers of filters.")
else:
    charts.chart(
        comparison.mask_change(change, names, axis, view.theme, letters, view.cell, one_training),
        key="masks",
        alt=f"Masks of {len(change.labels)} outputs in A and in B"
        + (", and the difference" if one_training else ""),
    )
    if not one_training:
        st.caption(
            "Filter 5 of A does not correspond to filter 5 of B: no difference is drawn.",
            help="The two networks started from different weights or learned from different data."
            " Compare the separated multiplets below instead.",
        )
st.subheader("Separated multiplets")
charts.chart(
    page_figures.change(change, view.library, view.theme, view.cell, letters),
    key="separated",
    alt=f"Separated multiplets of {len(change.labels)} outputs in A and in B, and the difference",
)
st.subheader("Test mixtures")
sides = [
    panels.accuracy(results.evaluation(side.checkpoint, side.dataset).summary())
    for side in (view, other)
]
st.markdown(
    "| | A | B |\n|---|---|---|\n"
    + "\n".join(
        f"| {a['label']} | {a['value']} | {b['value']} |" for a, b in zip(*sides, strict=True)
    )
)
st.subheader("Learning curves")
histories = (view.chosen.history, other.chosen.history)
if any(histories):
    charts.chart(
        curves.compare_learning_curves(
            histories, letters, view.theme, (view.checkpoint.step, other.checkpoint.step)
        ),
        key="curves",
        alt="Loss and share of unseen compounds right over the steps of both trainings",
    )
without = [letter for letter, history in zip("AB", histories, strict=True) if not history]
if without:
    st.caption(f"{' and '.join(without)}: untrained and uploaded models have no curves.")
export_panel.show_program(compared(view, other))
