"""Time travel: the network at any saved step of its training, by a slider or a player."""

import streamlit as st

from nmrclassify.lessons.glossary import term
from nmrclassify.ui import page, panels, training_controls, training_player
from nmrclassify.ui.session import this_visit

view = page.setup("pages/travel.py")

st.title("Time travel")
st.markdown(
    f"The network with the {term('weights')} of any training {term('step')}.",
    help="A training saves its weights more often at the beginning, when the network learns most."
    " Other pages then use the same step.",
)
panels.mixture_heading(view, offer=False)
job = this_visit().job
if job is not None and job.active and view.chosen.key == "training":
    st.fragment(training_controls.watched_progress, run_every=2.0)()
training_player.player(view)
