"""The card of a lesson: it stands on top of the page that the lesson speaks of, in the state that the lesson needs."""

import threading
import time
from collections.abc import Callable

import streamlit as st

from nmrclassify.lessons import LESSONS
from nmrclassify.lessons.lesson import Facts, Lesson, Step
from nmrclassify.ui import charts, url_state

# The card stays in sight while the page that it speaks of moves below it.
_STAYS = (
    "<style>div:has(> .st-key-lesson) {{ position: sticky; top: 3.75rem; z-index: 90; background:"
    " {}; }} .st-key-lesson {{ max-height: 48vh; overflow-y: auto; }}</style>"
)
WORKERS = threading.Semaphore(2)  # lessons train small networks, and there may be two cores
# Shared by all visitors, and never changed: facts depend on nothing but the lesson, and there are
# as many as lessons have.
_facts: dict[Callable, Facts] = {}


def open_step(lesson: str, part: int) -> None:
    """Set the app to the state of a step and go to its page; what the visitor had is kept until the lesson is left."""
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
    """Open a lesson at its first step, with no answer shown yet."""
    for key in [key for key in st.session_state if str(key).startswith(f"revealed {lesson} ")]:
        del st.session_state[key]
    open_step(lesson, 1)


def leave() -> None:
    """Close the lesson, and bring back what the visitor had before it."""
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
            _elsewhere(lesson, part)
            return
        if step.figure is None:
            st.html(_STAYS.format("#171614" if charts.theme().dark else "#ffffff"))
        st.markdown(f"#### {lesson.title}, step {part} of {len(lesson.steps)}: {step.title}")
        facts = _known(step)
        st.markdown(step.look(facts))
        if step.figure is not None:
            charts.chart(
                step.figure(facts, charts.theme()),
                alt=step.alt(facts),
                key="lesson figure",
                clickable=False,
            )
        options = step.options(facts)
        here = f"{name} {part}"
        chosen = st.radio(
            f"**{step.question}**",
            range(len(options)),
            index=None,
            format_func=lambda i: options[i],
            key=f"answer {here}",
            horizontal=True,
        )
        _buttons(lesson, part, here)
        if st.session_state.get(f"revealed {here}"):
            _reveal(step, facts, options, chosen)


def _elsewhere(lesson: Lesson, part: int) -> None:
    words, back, out = st.columns([4, 2, 2], vertical_alignment="center")
    words.markdown(f"You are away from the lesson **{lesson.title}**, step {part}.")
    if back.button("Back to it", icon=":material/school:", width="stretch"):
        open_step(lesson.name, part)
    if out.button("Leave the lesson", icon=":material/close:", width="stretch"):
        leave()


def _known(step: Step) -> Facts:
    """Return the facts of a step, computing them where nobody has yet, with the progress and the time left if that takes long."""
    if step.facts in _facts:
        return _facts[step.facts]
    if step.seconds < 2:
        return _computed(step, lambda share, words: None)
    bar = st.progress(0.0, text=f"Computing, about {step.seconds:.0f} s …")
    began = time.monotonic()

    def report(share: float, words: str) -> None:
        spent = time.monotonic() - began
        left = spent / share * (1 - share) if share > 0.05 else max(step.seconds - spent, 1)
        bar.progress(
            min(max(share, 0.0), 1.0),
            text=f"{words}, about {left:.0f} s left. Go elsewhere to stop it.",
        )

    facts = _computed(step, report)
    bar.empty()
    return facts


def _computed(step: Step, report: Callable[[float, str], None]) -> Facts:
    with WORKERS:
        if step.facts in _facts:  # by another visitor, while this one waited
            return _facts[step.facts]
        _facts[step.facts] = step.facts(report)
    return _facts[step.facts]


def _reveal(step: Step, facts: Facts, options: tuple[str, ...], chosen: int | None) -> None:
    right = step.right(facts)
    if chosen is None:
        st.info(f"The answer: {options[right]}.")
    elif chosen == right:
        st.success(f"Right: {options[right]}.")
    else:
        st.warning(f"Not quite. You said: {options[chosen]}. The answer: {options[right]}.")
    st.markdown(step.reveal(facts))
    marks = "\n".join(
        f"- {'✓' if claim.holds(facts) else '✗ does not hold here:'} {claim.text(facts)}"
        for claim in step.claims
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
        forward = {
            "icon": ":material/chevron_right:",
            "icon_position": "right",
            "shortcut": "Alt+N",
        }
        if not last and st.button("Next step", **forward):
            open_step(lesson.name, part + 1)
        if last and following and st.button("Next lesson", **forward):
            begin(following.name)
        if st.button("Leave the lesson", icon=":material/close:"):
            leave()


def next_lesson(lesson: Lesson) -> Lesson | None:
    """Return the lesson after this one, None after the last."""
    names = list(LESSONS)
    place = names.index(lesson.name) + 1
    return LESSONS[names[place]] if place < len(names) else None
