"""What if: edit the mixture and compare predictions; the influence of each multiplet."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation.compare_predictions import compare_predictions, occlude
from nmrclassify.lessons.glossary import term
from nmrclassify.plots import comparison, page_figures
from nmrclassify.ui import charts, editor, page, panels, url_state

view = page.setup("pages/whatif.py")
model, axis, names = view.checkpoint.model, view.library.axis, view.library.names
chosen = min(url_state.get("position", editor.usual_position(view)), axis.n_positions - 1)

st.title("What if")
st.markdown(
    f"Edit the mixture, and see how {term('mask', 'masks')} and"
    f" {term('separated multiplets', 'multiplets')} change."
)
panels.mixture_heading(view)
editor.history(view)

charts.chart(
    comparison.mixture_change(view.plain.areas, view.areas, axis, view.theme, position=chosen),
    key="mixture",
    alt=(
        f"The mixture before and after {len(view.edits)} edits, and the difference; click a"
        " position to edit it"
    ),
)
editor.at_position(view)
with st.expander("Edit in tables, or add noise", icon=":material/table_edit:", expanded=False):
    one, two, three = st.columns([3, 4, 2])
    with one:
        st.markdown("**Compounds**")
        editor.compounds(view)
    with two:
        st.markdown("**Multiplets**")
        editor.multiplets(view)
    with three:
        st.markdown("**Noise**")
        editor.noise(view)

change = compare_predictions((model, view.plain.areas), (model, view.areas))
class_labels = view.classes[: change.presence.shape[1]]
st.subheader("Predicted compounds", help=view.prediction.about_presence or None)
summary = panels.verdict(view)
if view.edits and view.checkpoint.step:
    difference = change.presence[1] - change.presence[0]
    k = int(np.abs(difference).argmax())
    summary += (
        f" The largest change: **{class_labels[k]}**, from {change.presence[0, k]:.1%} to"
        f" {change.presence[1, k]:.1%}."
    )
st.markdown(summary)
present = None if view.truth is None else view.truth.present
charts.chart(
    comparison.presence_change(change, class_labels, view.theme, present=present),
    key="classes",
    alt="Probability of each class before and after: "
    + "; ".join(
        f"{name} {a:.0%}, {b:.0%}"
        for name, a, b in zip(class_labels, *change.presence, strict=True)
    ),
)

occlusion = occlude(model, view.areas)
st.subheader(
    "The influence of each multiplet",
    help=f"Each of the {len(occlusion.positions)} filled positions is emptied in turn"
    f" ({term('occlusion')}), and the network predicts again. Click a column and press *Remove it*"
    " to remove that multiplet from the mixture.",
)
charts.chart(
    comparison.occlusion_map(occlusion, class_labels, axis, view.theme, chosen),
    key="occlusion",
    alt=(
        f"Decrease of each class's probability when one of {len(occlusion.positions)} filled"
        f" positions is emptied; the largest is {np.nanmax(occlusion.fall):.0%}"
    ),
)
st.caption("Without this multiplet, a compound is less (blue) or more (orange) probable.")

if not view.edits:
    st.stop()
st.subheader("Masks and separated multiplets, before and after")
charts.chart(
    comparison.mask_change(change, names, axis, view.theme, cell=view.cell),
    key="masks",
    alt=f"Masks of {len(change.labels)} outputs before and after, and the difference",
)
charts.chart(
    page_figures.change(change, view.library, view.theme, view.cell),
    key="separated",
    alt=f"Separated multiplets of {len(change.labels)} outputs before and after, and difference",
)
