"""The network: one picture from the mixture to the compounds. Start with `streamlit run app.py`."""

import streamlit as st

from nmrclassify.ui import diagram, network_controls, page, panels

view = page.setup("app.py")

st.title("A network separates an NMR mixture")
network_controls.show(view)
panels.mixture_heading(view)
diagram.show(view)
panels.show_prediction(view)
network_controls.about(view)
