"""Quiz: the visitor names the compounds of a mixture, then sees the prediction of the network."""

import streamlit as st

from nmrclassify.lessons.glossary import term
from nmrclassify.plots import classes, maps
from nmrclassify.ui import charts, page, panels, quiz, url_state

view = page.setup("pages/quiz.py")
library, axis = view.library, view.library.axis

st.title("Quiz: you against the network")
st.markdown(
    f"Find a {term('multiplet')} that only one compound has, then look at those that are left."
)
quiz.choose_level()
current = quiz.current_round(view)
score = st.container()
answer = quiz.answer_form(current)
if answer is not None:
    quiz.show_result(current, answer)
    box = st.success if current.network_right else st.warning
    (box if view.checkpoint.step else st.info)(
        f"The network: {panels.verdict(current.view)}",
        icon=":material/neurology:",
    )
    st.button(
        "Next mixture",
        on_click=url_state.put,
        args=("quiz_round", current.number + 1),
        icon=":material/chevron_right:",
        icon_position="right",
        shortcut="Alt+N",
    )
charts.chart(
    maps.mixture_over_library(
        current.areas, library, view.theme, None if view.cell is None else view.cell.position
    ),
    key="mixture",
    alt=(
        f"Round {current.number}, the mixture to be named:"
        f" {quiz.mixture_in_words(current.areas, axis)}. Below it the library:"
        f" {quiz.library_in_words(library)}"
    ),
)
with st.expander("How to read the maps", icon=":material/help:"):
    st.markdown(
        "Upper map: each column is a multiplet, and its rows are the peaks. A singlet has one peak,"
        " a doublet has two. Lower map: each row is a compound, and the colour is the area of all"
        " its peaks in a column. Amounts vary, so brightness alone identifies no compound. Click a"
        " column to frame it in both maps."
    )
if answer is not None:
    prediction, truth = current.view.prediction, current.view.truth
    charts.chart(
        maps.overview(
            current.areas, prediction, library.names, axis, view.theme, truth, current.view.cell
        ),
        key="overview",
        alt=f"How the network separated it. {classes.alt_text(prediction, library.names)}",
    )
with score:
    quiz.show_score(current.level)
