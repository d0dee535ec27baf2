"""What if: edit the mixture and see what follows, beside what was; and what each multiplet is worth."""

import numpy as np
import streamlit as st

from nmrclassify.evaluation.compare_predictions import compare_predictions, occlude
from nmrclassify.evaluation.prediction import describe_prediction
from nmrclassify.plots import comparison
from nmrclassify.ui import charts, editor, page, panels, url_state

view = page.setup("pages/whatif.py")
model, axis, names = view.checkpoint.model, view.library.axis, view.library.names
chosen = min(url_state.get("position", editor.usual_position(view)), axis.n_positions - 1)

st.title("What if?")
st.markdown(
    "Change the mixture, and everything after it follows: the masks, the separated multiplets, the"
    " classes. What was stays beside it."
)
panels.mixture_heading(view)
editor.history(view)

left, right = st.columns([3, 1])
with left:
    charts.chart(
        comparison.mixture_change(view.plain.areas, view.areas, axis, view.theme, position=chosen),
        key="mixture",
        alt=(
            f"The mixture before and after {len(view.edits)} edits, and the difference; click a"
            " position to edit it"
        ),
    )
with right:
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

found = compare_predictions((model, view.plain.areas), (model, view.areas))
called = view.classes[: found.presence.shape[1]]
st.subheader("What it hears")
if view.edits:
    change = found.presence[1] - found.presence[0]
    k = int(np.abs(change).argmax())
    st.markdown(
        f"{describe_prediction(view.prediction, names, view.truth)} The largest change: **{called[k]}**, from"
        f" {found.presence[0, k]:.1%} to {found.presence[1, k]:.1%}."
    )
else:
    st.markdown(describe_prediction(view.prediction, names, view.truth))
present = None if view.truth is None else view.truth.present
charts.chart(
    comparison.presence_change(found, called, view.theme, present=present),
    key="classes",
    alt="Probability of each class before and after: "
    + "; ".join(
        f"{name} {a:.0%}, {b:.0%}" for name, a, b in zip(called, *found.presence, strict=False)
    ),
)

st.subheader("What each multiplet is worth")
worth = occlude(model, view.areas)
charts.chart(
    comparison.occlusion_map(worth, called, axis, view.theme, chosen),
    key="occlusion",
    alt=(
        f"Fall of each class's probability when one of {len(worth.positions)} filled positions is"
        f" emptied; the largest is {np.nanmax(worth.fall):.0%}"
    ),
)
st.caption(
    f"Each of the {len(worth.positions)} filled positions is emptied by itself, and the network"
    " asked again. Blue: without it, this compound would be less likely. Orange: it is in the way,"
    " and without it the compound would be more likely. Click a column, and *Remove it* takes that"
    " multiplet away for good."
)

st.subheader("Masks and separated multiplets, before and after")
if not view.edits:
    st.info(
        "Nothing is edited yet. After the first edit, the masks and multiplets before and after it"
        " stand here, with their difference."
    )
    st.stop()
charts.chart(
    comparison.mask_change(found, names, axis, view.theme, cell=view.cell),
    key="masks",
    alt=f"Masks of {len(found.labels)} outputs before and after, and the difference",
)
charts.chart(
    comparison.multiplet_change(found, names, axis, view.theme, cell=view.cell),
    key="separated",
    alt=f"Separated multiplets of {len(found.labels)} outputs before and after, and the difference",
)
