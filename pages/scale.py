"""Full scale: a mixture of up to a hundred compounds, and one of them coloured in it."""

import streamlit as st

from nmrclassify.lessons.glossary import term
from nmrclassify.ui import page, peak_page, peak_picture, peak_uploads, peak_views

with page.frame("pages/scale.py") as opened:
    selection = peak_page.choose_mixture(opened.problems)

st.title("Full scale")
st.markdown(
    "Grey: the spectrum of a mixture of dozens of compounds. **Orange: one compound that the"
    f" network has separated from it**, by a {term('mask')} over the peaks. The network gets the"
    " peaks and a"
    " library of compounds. It does not get which of them are in the mixture, nor in what amounts."
)
result = peak_page.peak_result(selection)
compound = peak_picture.heading(result, selection.seed)
peak_picture.notes(result)
peak_picture.show_picture(result, compound)

left, right = st.columns([3, 2])
with left:
    st.subheader("Which compounds are there?")
    peak_views.compound_table(result)
with right:
    st.subheader("Which probability is high enough?")
    peak_views.threshold_view(result)

st.subheader("The compound in orange, multiplet by multiplet")
peak_views.compound_view(result, compound)

st.subheader("Tables")
peak_views.downloads(result)
peak_views.program(selection, compound)
peak_uploads.show_uploads()
peak_views.growth_view()
