"""Quiz: name the compounds of a mixture yourself, then see what the network says; the score is kept for the visit."""

import streamlit as st

from nmrclassify.evaluation.prediction import describe_prediction
from nmrclassify.plots import classes, maps
from nmrclassify.ui import charts, page, quiz, url_state

view = page.setup("pages/quiz.py")
library, axis = view.library, view.library.axis

st.title("Quiz: you against the network")
st.markdown(
    "Below are a mixture and the library of all pure compounds. **Which of them are in it?** Find a"
    " multiplet that only one compound has, then see what is left."
)
number = quiz.round_number()
asked = quiz.asked(view, number)
score = st.container()
charts.chart(
    maps.mixture_over_library(
        asked.areas, library, view.theme, None if view.cell is None else view.cell.position
    ),
    key="mixture",
    alt=(
        f"Round {number}, the mixture to be named: {quiz.in_words(asked.areas, axis)}. Below it the"
        f" library: {quiz.library_in_words(library)}"
    ),
)
st.caption(
    "Above, each column is a multiplet and its rows are the peaks: one is a singlet, two a doublet."
    " Below, each row is one compound, and the colour is the area of all its peaks there. Amounts"
    " vary, so that brightness alone does not tell. Click a column to frame it in both."
)

given = quiz.ask(asked)
if given is not None:
    quiz.mark(asked, given)
    right = asked.view.prediction.all_right(asked.view.truth)
    (st.success if right else st.warning)(
        f"The network: {describe_prediction(asked.view.prediction, library.names, asked.view.truth)}",
        icon=":material/neurology:",
    )
    charts.chart(
        maps.overview(
            asked.areas,
            asked.view.prediction,
            library.names,
            axis,
            view.theme,
            asked.view.truth,
            asked.view.cell,
        ),
        key="overview",
        alt=f"How the network took it apart. {classes.alt_text(asked.view.prediction, library.names)}",
    )
    st.button(
        "Next mixture",
        on_click=url_state.put,
        args=("quiz_round", number + 1),
        icon=":material/chevron_right:",
        icon_position="right",
        shortcut="Alt+N",
    )
with score:
    quiz.score_line()
