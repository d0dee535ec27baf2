"""Full scale: a mixture of up to a hundred compounds, and one of them coloured in it."""

import streamlit as st

from nmrclassify.lessons.glossary import term
from nmrclassify.ui import (
    page,
    peak_comparison,
    peak_page,
    peak_picture,
    peak_uploads,
    peak_views,
    spectrum_view,
)

with page.frame("pages/scale.py") as opened:
    selection = peak_page.choose_mixture(opened.problems)

st.title("Full scale")
st.markdown(
    "Grey: the spectrum of a mixture. **Orange: one compound that the network has separated from"
    f" it**, by a {term('mask')} over the peaks.",
    help="The network gets a list of picked peaks, each a position and an area, and a library of"
    " compounds. It does not get which of them are in the mixture, nor in what amounts. The grey"
    " curve is drawn from the list.",
)
result = peak_page.peak_result(selection)
compound = peak_picture.heading(result, selection.seed)
peak_picture.notes(result)
peak_picture.show_picture(result, compound)
spectrum_view.show_spectrum(result, compound)

left, right = st.columns([3, 2])
with left:
    st.subheader(
        "Which compounds are there?",
        help="Select a row to see the compound in orange; click a heading to sort. ✗ marks the"
        " mistakes, where the truth is known.",
    )
    peak_views.compound_table(result)
with right:
    st.subheader("Which probability is high enough?")
    peak_views.threshold_view(result)
peak_comparison.show_comparison(result)

st.subheader(
    "The compound in orange, multiplet by multiplet",
    help="A stick is a peak of the mixture; its coloured part is the share of this compound by the"
    " mask. Rings: the lines of the library, with the shift and the amount that the network"
    " estimates. Much higher peaks nearby are cut.",
)
peak_views.compound_view(result, compound)

st.subheader("Tables")
peak_views.downloads(result)
peak_views.program(selection, compound)
peak_uploads.show_uploads()
peak_views.growth_view()
