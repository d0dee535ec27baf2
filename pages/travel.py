"""Time travel: every view of the network, moved through its training by a slider or a player."""

import streamlit as st

from nmrclassify.ui import controls, traveller, views, workspace
from nmrclassify.ui.session import training_box

view = workspace.setup("pages/travel.py", slider=False)

st.title("Time travel")
st.markdown(
    "A training keeps its weights at some of its steps, close together at first, when most is"
    " learnt. Move through them: masks, separated multiplets and classes are computed anew from the"
    " weights of each step. The step stays when you go to another page."
)
views.mixture_heading(view)
job = training_box().job
if job is not None and job.active and view.chosen.key == "training":
    st.fragment(controls.watched_progress, run_every=2.0)()
if view.chosen.can_travel:
    traveller.player(view)
else:
    traveller.nothing_to_travel(view)
