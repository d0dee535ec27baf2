"""The card of a lesson: it stands at the top of the page that the current step opens."""

import threading
import time

import streamlit as st

from nmrclassify.lessons import LESSONS
from nmrclassify.lessons.lesson import Computation, Facts, Lesson, Report, StepText
from nmrclassify.ui import charts, url_state

# The card stays in view while the page scrolls below it.
_STICKY = (
    "<style>div:has(> .st-key-lesson) {{ position: sticky; top: 3.75rem; z-index: 90; background:"
    " {}; }} .st-key-lesson {{ max-height: 48vh; overflow-y: auto; }}</style>"
)
WORKERS = threading.Semaphore(2)  # some lessons train small networks, and there may be two cores
# Shared by all visitors and never changed: facts depend only on their computation.
_facts: dict[Computation, Facts] = {}


def open_step(lesson: str, part: int) -> None:
    """Open the page of a step in its state; keep the visitor's own page until the lesson ends."""
    step = LESSONS[lesson].steps[part - 1]
    if url_state.get("lesson") is None:
        st.session_state["before the lesson"] = (
            st.session_state.get("link page"),
            url_state.query(),
        )
    large = {"presenter": "yes"} if url_state.get("presenter") else {}
    url_state.replace_all(step.state | {"lesson": lesson, "lesson_step": str(part)} | large)
    st.switch_page(step.page, query_params=url_state.query())


def begin(lesson: str) -> None:
    """Open a lesson at its first step, with all answers hidden."""
    for key in [key for key in st.session_state if str(key).startswith(f"revealed {lesson} ")]:
        del st.session_state[key]
    open_step(lesson, 1)


def leave() -> None:
    """Close the lesson and open the page that the visitor had before it."""
    page, query = st.session_state.pop("before the lesson", ("pages/lessons.py", {}))
    url_state.replace_all(query)
    st.switch_page("pages/lessons.py" if page is None else page, query_params=url_state.query())


def show(page: str) -> None:
    """Draw the card of the lesson that the link names, if any."""
    name, part = url_state.get("lesson"), url_state.get("lesson_step")
    if name is None:
        return
    if name not in LESSONS or part > len(LESSONS[name].steps):
        st.warning(
            f"There is no step {part} of a lesson {name!r}; the page Lessons has the list.",
            icon=":material/link_off:",
        )
        return
    lesson = LESSONS[name]
    step = lesson.steps[part - 1]
    with st.container(border=True, key="lesson"):
        if page != step.page:
            _other_page(lesson, part)
            return
        if step.figure is None:
            st.html(_STICKY.format("#171614" if charts.theme().dark else "#ffffff"))
        st.markdown(f"#### {lesson.title}, step {part} of {len(lesson.steps)}: {step.title}")
        facts = _facts_of(step.facts)
        words = step.filled(facts)
        st.markdown(words.text)
        if step.figure is not None:
            figure = step.figure(facts, charts.theme())
            charts.chart(figure, alt=words.alt, key="lesson figure", clickable=False)
        here = f"{name} {part}"
        chosen = st.radio(
            f"**{words.question}**",
            range(len(words.options)),
            index=None,
            format_func=lambda i: words.options[i],
            key=f"answer {here}",
            horizontal=True,
        )
        _buttons(lesson, part, here)
        if st.session_state.get(f"revealed {here}"):
            _reveal(words, chosen)


def _other_page(lesson: Lesson, part: int) -> None:
    words, back, out = st.columns([4, 2, 2], vertical_alignment="center")
    words.markdown(f"The lesson **{lesson.title}**, step {part}, is on another page.")
    if back.button("Back to the lesson", icon=":material/school:", width="stretch"):
        open_step(lesson.name, part)
    if out.button("Leave the lesson", icon=":material/close:", width="stretch"):
        leave()


def _facts_of(computation: Computation) -> Facts:
    """Return the facts of a computation; run it with a progress bar if it is not cached."""
    if computation in _facts or computation.seconds < 2:
        return _compute(computation, lambda share, words: None)
    bar = st.progress(0.0, text=f"Computing, about {computation.seconds:.0f} s …")
    start = time.monotonic()

    def report(share: float, words: str) -> None:
        spent = time.monotonic() - start
        left = spent / share * (1 - share) if share > 0.05 else max(computation.seconds - spent, 1)
        bar.progress(
            min(max(share, 0.0), 1.0),
            text=f"{words}, about {left:.0f} s left. To stop it, open another page.",
        )

    facts = _compute(computation, report)
    bar.empty()
    return facts


def _compute(computation: Computation, report: Report) -> Facts:
    if computation not in _facts:
        with WORKERS:
            # Another visitor may have computed the facts while this one waited.
            if computation not in _facts:
                _facts[computation] = computation.compute(report)
    return _facts[computation]


def _reveal(words: StepText, chosen: int | None) -> None:
    answer = words.options[words.answer]
    if chosen is None:
        st.info(f"The answer: {answer}.")
    elif chosen == words.answer:
        st.success(f"Right: {answer}.")
    else:
        st.warning(f"Not quite. You chose: {words.options[chosen]}. The answer: {answer}.")
    st.markdown(words.reveal)
    marks = "\n".join(
        f"- {'✓' if holds else '✗ not true here:'} {claim}" for claim, holds in words.claims
    )
    if marks:
        st.markdown(f"Computed by this app:\n\n{marks}")


def _buttons(lesson: Lesson, part: int, here: str) -> None:
    last, following = part == len(lesson.steps), next_lesson(lesson)
    if last:
        st.session_state.setdefault("lessons done", set()).add(lesson.name)
    with st.container(horizontal=True):
        st.button(
            "Reveal the answer",
            on_click=st.session_state.__setitem__,
            args=(f"revealed {here}", True),
            icon=":material/lightbulb:",
            shortcut="Alt+A",
            key=f"reveal {here}",
        )
        if st.button("Back", icon=":material/chevron_left:", disabled=part == 1, shortcut="Alt+B"):
            open_step(lesson.name, part - 1)
        if (following or not last) and st.button(
            "Next lesson" if last else "Next step",
            icon=":material/chevron_right:",
            icon_position="right",
            shortcut="Alt+N",
        ):
            if last and following:
                begin(following.name)
            else:
                open_step(lesson.name, part + 1)
        if st.button("Leave the lesson", icon=":material/close:"):
            leave()


def next_lesson(lesson: Lesson) -> Lesson | None:
    """Return the lesson after this one, None after the last."""
    names = list(LESSONS)
    place = names.index(lesson.name) + 1
    return LESSONS[names[place]] if place < len(names) else None
