"""Quiz: the visitor names the compounds of a mixture, then sees the prediction of the network."""

import streamlit as st

from nmrclassify.plots import classes, maps
from nmrclassify.ui import charts, page, panels, quiz, url_state

view = page.setup("pages/quiz.py")
library, axis = view.library, view.library.axis

st.title("Quiz: you against the network")
st.markdown(
    "Below are a mixture and the library of all pure compounds. **Which of them are in the"
    " mixture?** Find a multiplet that only one compound has. Then look at the multiplets that are"
    " left."
)
current = quiz.current_round(view)
score = st.container()
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
st.caption(
    "Upper map: each column is a multiplet, and its rows are the peaks. A singlet has one peak, a"
    " doublet has two. Lower map: each row is one compound, and the colour shows the area of all"
    " its peaks in a column. The amounts vary, so the brightness alone does not identify a"
    " compound. Click a column to frame it in both maps."
)

answer = quiz.answer_form(current)
if answer is not None:
    quiz.show_result(current, answer)
    prediction, truth = current.view.prediction, current.view.truth
    box = st.success if current.network_right else st.warning
    (box if view.checkpoint.step else st.info)(
        f"The network: {panels.verdict(current.view)}",
        icon=":material/neurology:",
    )
    charts.chart(
        maps.overview(
            current.areas, prediction, library.names, axis, view.theme, truth, current.view.cell
        ),
        key="overview",
        alt=f"How the network separated it. {classes.alt_text(prediction, library.names)}",
    )
    st.button(
        "Next mixture",
        on_click=url_state.put,
        args=("quiz_round", current.number + 1),
        icon=":material/chevron_right:",
        icon_position="right",
        shortcut="Alt+N",
    )
with score:
    quiz.show_score()
