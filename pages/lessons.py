"""Lessons: the list of all lessons; an open step with a figure of its own stands here, too."""

import streamlit as st

from nmrclassify.lessons import LESSONS
from nmrclassify.ui import lesson_card, lesson_progress, page

page.setup("pages/lessons.py")
if lesson_card.is_open_on("pages/lessons.py"):
    st.stop()

st.title("Lessons")
done = sum(lesson_progress.n_done(lesson) for lesson in LESSONS.values())
total = sum(len(lesson.steps) for lesson in LESSONS.values())
st.markdown(
    f"{len(LESSONS)} lessons: each step opens a page, asks a question and explains the answer.",
    help="Keys: **Alt+N** next step, **Alt+B** step before, **Alt+A** answer.",
)
if done:
    st.progress(done / total, text=f"{done} of {total} steps done, kept in this browser")
for i, lesson in enumerate(LESSONS.values(), 1):
    steps, n_done = len(lesson.steps), lesson_progress.n_done(lesson)
    with st.container(border=True):
        words, button = st.columns([4, 1], vertical_alignment="center")
        state = f"{n_done} of {steps} steps" if n_done else f"{steps} steps"
        mark = " ✓" if n_done == steps else ""
        words.markdown(f"**{i}. {lesson.title}**{mark} · {state}", help=lesson.aim)
        if button.button(
            "Again" if mark else "Continue" if n_done else "Begin",
            key=f"begin {lesson.name}",
            icon=":material/school:",
            width="stretch",
        ):
            lesson_card.begin_or_go_on(lesson)
