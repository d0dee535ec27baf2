"""Full scale: a mixture of up to a hundred compounds among hundreds, taken apart; one compound coloured in its spectrum."""

import streamlit as st

from nmrclassify.ui import page, peak_page, peak_uploads, peak_views

with page.frame("pages/scale.py") as opened:
    wish = peak_page.choose(opened.problems)

st.title("Full scale")
st.markdown(
    "Grey: the spectrum of a mixture, dozens of compounds on top of each other. **Orange: one"
    " compound that the network has taken out of it**, by a mask over the peaks; it is told neither"
    " what is in the mixture nor how much, only the library of what could be."
)
case = peak_page.peak_result(wish)
compound = peak_views.heading(case, wish.seed)
if not len(case.found.named):
    st.info(
        "Nothing is named at this threshold. Lower it below to see what comes next; "
        "the likeliest compound is coloured all the same."
    )
peak_views.draw_picture(case, compound)

left, right = st.columns([3, 2])
with left:
    st.subheader("Which compounds are there?")
    peak_views.ranked(case)
with right:
    st.subheader("How sure is sure enough?")
    peak_views.threshold(case)

st.subheader("The compound in orange, multiplet by multiplet")
peak_views.compound_view(case, compound)

st.subheader("Tables")
peak_views.tables(case)
peak_views.program(wish, compound)
peak_uploads.own_files()
peak_views.growing()
