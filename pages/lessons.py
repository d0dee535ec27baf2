"""Lessons: the list of all lessons."""

import streamlit as st

from nmrclassify.lessons import LESSONS
from nmrclassify.ui import lesson_card, page, url_state

page.setup("pages/lessons.py")
done = st.session_state.get("lessons done", set())

st.title("Lessons")
st.markdown(
    f"There are {len(LESSONS)} lessons of a few steps each. A step opens a page of the app, asks a"
    " question and computes the answer. Keys: **Alt+N** opens the next step, **Alt+B** opens the"
    " step before, **Alt+A** reveals the answer."
)
if done:
    st.progress(len(done) / len(LESSONS), text=f"{len(done)} of {len(LESSONS)} done in this visit")
for i, lesson in enumerate(LESSONS.values(), 1):
    with st.container(border=True):
        words, button = st.columns([5, 1], vertical_alignment="center")
        mark = " ✓" if lesson.name in done else ""
        words.markdown(f"**{i}. {lesson.title}**{mark} · {len(lesson.steps)} steps\n\n{lesson.aim}")
        again = url_state.get("lesson") == lesson.name
        if button.button(
            "Again" if again or mark else "Begin",
            key=f"begin {lesson.name}",
            icon=":material/school:",
            width="stretch",
        ):
            lesson_card.begin(lesson.name)
