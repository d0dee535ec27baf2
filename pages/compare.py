"""Compare: two models, two steps or two settings on one mixture, side by side."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation.compare_predictions import compare_predictions, same_filters
from nmrclassify.plots import comparison, curves
from nmrclassify.ui import charts, comparison_picker, export_panel, page, panels
from nmrclassify.ui.snippets import compared

view = page.setup("pages/compare.py")
axis, names = view.library.axis, view.library.names

st.title("Compare")
st.markdown(
    "**A** is what the sidebar says. **B** is another model, the same one at another step, or the"
    " same mixture made with more noise or jitter."
)
panels.mixture_heading(view)
other = comparison_picker.choose(view)

for column, side, letter in zip(st.columns(2), (view, other), "AB", strict=False):
    with column:
        st.markdown(f"**{letter}: {comparison_picker.words(side)}**")
        panels.say_verdict(side)

found = compare_predictions(
    (view.checkpoint.model, view.areas), (other.checkpoint.model, other.areas)
)
told, called = ("A", "B"), view.classes[: found.presence.shape[1]]
if np.array_equal(found.first.probabilities, found.second.probabilities) and np.array_equal(
    view.areas, other.areas
):
    st.info("Both sides are the same here. Choose another model, step, noise or jitter for B.")
charts.chart(
    comparison.presence_change(
        found, called, view.theme, told, None if view.truth is None else view.truth.present
    ),
    key="classes",
    alt="Probability of each class, A and B: "
    + "; ".join(
        f"{name} {a:.0%}, {b:.0%}" for name, a, b in zip(called, *found.presence, strict=False)
    ),
)
if not np.array_equal(view.areas, other.areas):
    charts.chart(
        comparison.mixture_change(
            view.areas,
            other.areas,
            axis,
            view.theme,
            told,
            None if view.cell is None else view.cell.position,
        ),
        key="mixture",
        alt="The mixture as A and as B get it, and the difference",
    )
comparable = same_filters(view.checkpoint, other.checkpoint)
st.subheader("Masks")
if found.masks is None:
    st.info(
        "The two networks have different numbers of filters, so their masks cannot stand in one"
        " picture."
    )
else:
    charts.chart(
        comparison.mask_change(found, names, axis, view.theme, told, view.cell, comparable),
        key="masks",
        alt=f"Masks of {len(found.labels)} outputs in A and in B"
        + (", and the difference" if comparable else ""),
    )
    st.caption(
        "Filters stand in the same order above each other. Click a cell: it is framed in all maps."
        if comparable
        else (
            "These two networks started from other weights, or learnt from other data: filter 5 of"
            " A is not filter 5 of B. So no difference is drawn; compare what the masks let"
            " through, below."
        )
    )
st.subheader("Separated multiplets")
charts.chart(
    comparison.multiplet_change(found, names, axis, view.theme, told, view.cell),
    key="separated",
    alt=f"Separated multiplets of {len(found.labels)} outputs in A and in B, and the difference",
)
st.subheader("How they were trained")
histories = (view.chosen.history, other.chosen.history)
if any(histories):
    charts.chart(
        curves.compare_learning_curves(
            histories, told, view.theme, (view.checkpoint.step, other.checkpoint.step)
        ),
        key="curves",
        alt="Loss and share of unseen compounds right over the steps of both trainings",
    )
without = [letter for letter, history in zip("AB", histories, strict=False) if not history]
if without:
    st.caption(
        f"No curves were kept of {' and '.join(without)}: only trainings of this visit and runs"
        " have them."
    )
export_panel.program(compared(view.recipe, other.recipe))
