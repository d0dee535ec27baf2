"""Glossary: every term of the app in one or two sentences."""

import streamlit as st

from nmrclassify.lessons.glossary import GROUPS
from nmrclassify.ui import page

with page.frame("pages/glossary.py"):
    pass

st.title("Glossary")
st.markdown(
    "Every term of the app in one or two sentences. Pages link a term where they first use it."
)
with st.container(key="glossary"):
    for group, terms in GROUPS.items():
        st.markdown(
            f"## {group}\n"
            + "\n".join(
                f"### {term.name}\n{term.meaning}"
                + (f" Its number is {term.symbol} in shapes." if len(term.symbol) == 1 else "")
                for term in terms
            )
        )
